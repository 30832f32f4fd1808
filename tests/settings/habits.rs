//! What people do beside the main way: where a plan is written, what exit codes and refusals tell.

use std::io::Read;

use super::world::with_batch;

const PLAN: [&str; 4] = ["plan", "--batch-id", "b1", "--out"];

#[test]
#[cfg(unix)]
fn out_writes_through_links_and_pipes() {
    use std::os::unix::fs::PermissionsExt;
    let world = with_batch();
    world.write("real.json", "");
    std::os::unix::fs::symlink(world.path("real.json"), world.path("link.json")).unwrap();
    world
        .call(&[&PLAN[..], &["link.json"]].concat())
        .run()
        .exits(0);
    assert!(world.path("link.json").is_symlink());
    let plan = std::fs::read_to_string(world.path("real.json")).unwrap();
    assert!(plan.contains("\"plan_hash\""), "{plan}");

    let pipe = world.path("pipe");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        std::fs::File::open(pipe)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    });
    world.call(&[&PLAN[..], &["pipe"]].concat()).run().exits(0);
    assert_eq!(reader.join().unwrap(), plan);

    let mode = |name: &str| {
        std::fs::metadata(world.path(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("real.json"), 0o644);
    // Sensitive values in plain are for who made the plan.
    world.write(
        "tables.yaml",
        "subjects: {natural_key: [gsid], sensitive: [sex]}\n",
    );
    world
        .call(&[&PLAN[..], &["secret.json"]].concat())
        .run()
        .exits(0);
    assert_eq!(mode("secret.json"), 0o600);

    let nowhere = world.call(&[&PLAN[..], &["nowhere/plan.json"]].concat());
    nowhere.run().exits(1).says("there is no folder nowhere");
}

#[test]
fn a_detailed_exit_code_tells_plans_that_cannot_be_applied() {
    let world = with_batch();
    let plan = |more: &[&str]| {
        let args = [
            &PLAN[..],
            &["p.json", "--detailed-exitcode", "--json"],
            more,
        ]
        .concat();
        world.call(&args).run()
    };
    assert_eq!(plan(&[]).exits(2).json()["status"], "planned");
    assert_eq!(
        plan(&["--max-inserts", "0"]).exits(4).json()["status"],
        "blocked"
    );
    assert_eq!(
        plan(&["--rehearse"]).exits(2).json()["rehearsal"]["outcome"],
        "applies"
    );
    world.sql(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$; \
         CREATE TRIGGER no BEFORE INSERT ON subjects FOR EACH ROW EXECUTE FUNCTION no()",
    );
    let refused = plan(&["--rehearse"]).exits(4).json();
    assert_eq!(refused["status"], "refused");
    assert!(
        refused["rehearsal"]["message"]
            .as_str()
            .unwrap()
            .contains("not today")
    );
    let told = world.call(&[&PLAN[..], &["p.json", "--rehearse"]].concat());
    let told = told.run().exits(0).says("Apply would refuse this plan now");
    assert!(!told.stderr.contains("--approve"), "{}", told.stderr);
}

#[test]
fn a_report_of_a_validator_is_never_a_fragment_whatever_else_is_ignored() {
    let world = with_batch();
    world.write(
        "source/staging/b1/validation_report.json",
        r#"{"status": "VALIDATED"}"#,
    );
    world.write("source/staging/b1/README.txt", "");
    let args = [&PLAN[..], &["p.json", "--ignore", "README.txt"]].concat();
    world.call(&args).run().exits(0);
}

#[test]
fn a_fragment_without_records_is_noted() {
    let world = with_batch();
    world.write("source/staging/b1/subjects/cut_off.ndjson", "");
    world
        .call(&[&PLAN[..], &["p.json"]].concat())
        .run()
        .exits(0)
        .says("note: subjects: there is no record in staging/b1/subjects/cut_off.ndjson");
}

#[test]
fn what_is_unusual_is_shown_alone_and_without_rules() {
    let world = with_batch();
    world.write(
        "source/staging/b1/subjects/alike.json",
        r#"[{"gsid": "C-001"}, {"gsid": "c 001"}]"#,
    );
    world
        .call(&[&PLAN[..], &["p.json"]].concat())
        .run()
        .exits(0);
    let show = |more: &[&str]| {
        let args = [&["show", "p.json"], more].concat();
        world.call(&args).run().exits(0).stdout
    };
    for more in [&["--unusual"][..], &["--unusual", "--all"]] {
        let shown = show(more);
        assert!(shown.contains("gsid=C-001") && shown.contains("gsid=c 001"));
        assert!(
            shown.contains("unusual: another key") && !shown.contains("gsid=G2"),
            "{shown}"
        );
    }
    let shown = show(&["--without-rule", "key"]);
    assert!(
        !shown.contains("unusual") && shown.contains("gsid=G2"),
        "{shown}"
    );
    world
        .call(&["show", "p.json", "--without-rule", "other"])
        .run()
        .exits(1)
        .says("magnitude");
    // Of two plans it is not told.
    for more in [
        &["--unusual"][..],
        &["--without-rule", "key"],
        &["--by", "source"],
    ] {
        world
            .call(&[&["show", "p.json", "p.json"], more].concat())
            .run()
            .exits(1)
            .says("cannot be used with");
    }
}
