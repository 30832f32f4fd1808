//! The last words of a command are true, whoever hears them.

use std::process::Stdio;

use crate::support::{Plan, World};

fn planned() -> (World, Plan) {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "t: {natural_key: [id]}",
    );
    world.deliver("b", "t/1.json", r#"{"id": 1, "v": "one"}"#);
    let plan = world.plan("b");
    (world, plan)
}

/// Runs the loader with a stdout that takes nothing: a full disk, or a reader that is gone.
fn unheard(world: &World, args: &[&str], full: bool) -> (i32, String) {
    let mut command = world.command(args);
    if full {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        command.stdout(full.unwrap());
    } else {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(writer);
    }
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), stderr)
}

#[test]
fn what_happened_is_said_on_stderr_where_stdout_takes_nothing() {
    for full in [true, false] {
        let (world, plan) = planned();
        let name = plan.name();
        let (code, said) = unheard(&world, &["apply", name, "--json"], full);
        assert_eq!(code, 5, "{said}");
        assert!(said.contains("nobody approved this plan"), "{said}");
        let (code, said) = unheard(&world, &["apply", name, "--force", "--json"], full);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("Applied: 1 inserted"), "{said}");
        assert_eq!(world.value("SELECT count(*) FROM t"), "1");
        let (code, said) = unheard(&world, &["apply", name, "--force", "--json"], full);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("Applied already"), "{said}");
    }
}

#[test]
fn a_deadlock_that_outlasts_the_retries_is_a_lock() {
    let (world, plan) = planned();
    world.sql(
        "CREATE FUNCTION stuck() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE 'deadlock detected' USING ERRCODE = 'deadlock_detected'; END $$;
         CREATE TRIGGER stuck BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION stuck()",
    );
    let plan = {
        drop(plan);
        world.plan("b")
    };
    world.set("MAX_RETRIES", "1");
    let refused = world.apply_with(&plan, &["--force", "--json"]).exits(7);
    assert_eq!(refused.json()["reason"], "locked");
    assert_eq!(world.value("SELECT count(*) FROM t"), "0");
}

#[test]
fn the_ledger_knows_which_plans_are_still_to_be_applied() {
    let (world, plan) = planned();
    let at = |name: &str| world.path(&format!("plans/{name}.json"));
    std::fs::create_dir_all(world.path("plans")).unwrap();
    std::fs::copy(world.path(plan.name()), at("b")).unwrap();
    let pending = || world.loader(&["pending"]).ok().stdout;
    assert_eq!(pending(), "plans/b.json\n");
    world.apply(&plan).ok();
    assert_eq!(pending(), "");
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(pending(), "");
    world.deliver("c", "t/1.json", r#"{"id": 2, "v": "two"}"#);
    std::fs::copy(world.path(world.plan("c").name()), at("c")).unwrap();
    // What is no plan is named, and keeps no plan from being named.
    world.write("plans/a.json", "{}");
    let found = world.loader(&["pending", "plans"]).exits(6);
    assert_eq!(found.stdout, "plans/c.json\n");
    found.says("a.json");
    std::fs::remove_file(at("a")).unwrap();
    let states = world.loader(&["pending", "--json"]).ok().json();
    assert_eq!(states["plans"][0]["state"], "rolled_back");
    assert_eq!(states["plans"][1]["state"], "pending");
    assert_eq!(states["plans"][1]["batch_id"], "c");
    let other = World::new("", "{}");
    std::fs::create_dir_all(other.path("plans")).unwrap();
    std::fs::copy(at("c"), other.path("plans/c.json")).unwrap();
    let found = other.loader(&["pending"]).ok();
    assert_eq!(found.stdout, "");
    found.says("made for another database");
    world.loader(&["pending", "no-such-folder"]).exits(1);
}
