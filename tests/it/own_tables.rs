//! The loader's own tables: what somebody has put on them is noticed before anything is committed,
//! and tables that were there before are adopted only where loads and rollbacks will work.

use crate::support::World;

fn world() -> World {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'old'); CREATE TABLE other (id int)",
        "t: {natural_key: [id]}",
    );
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "v": "new"}, {"id": 2, "v": "two"}]"#,
    );
    world
}

/// Puts a trigger on one of the loader's tables.
fn trigger(world: &World, table: &str, when: &str, body: &str) {
    world.sql(&format!(
        "CREATE OR REPLACE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN {body} END $f$; \
         CREATE TRIGGER own {when} ON {table} FOR EACH ROW EXECUTE FUNCTION own()"
    ));
}

#[test]
fn what_a_trigger_swallows_in_the_loaders_own_tables_is_noticed_before_the_commit() {
    for (table, event) in [
        ("loader_ledger", "INSERT"),
        ("batch_load_log", "INSERT"),
        ("audit_log", "INSERT"),
        ("validation_queue", "UPDATE"),
    ] {
        let world = world();
        let plan = world.plan("b");
        trigger(&world, table, &format!("BEFORE {event}"), "RETURN NULL;");
        let before = world.state_without("public.batch_load_log");
        let run = world.apply(&plan);
        assert_ne!(run.code, Some(0), "{table}: {run:?}");
        assert!(
            run.stderr.contains("nothing was written"),
            "{table}: {run:?}"
        );
        assert_eq!(
            world.state_without("public.batch_load_log"),
            before,
            "{table}"
        );
    }
}

#[test]
fn a_ledger_entry_that_a_trigger_takes_away_or_changes_is_no_entry() {
    for (when, body) in [
        (
            "BEFORE INSERT",
            "NEW.application := gen_random_uuid(); RETURN NEW;",
        ),
        (
            "AFTER INSERT",
            "DELETE FROM loader_ledger WHERE application = NEW.application; RETURN NULL;",
        ),
    ] {
        let world = world();
        let plan = world.plan("b");
        trigger(&world, "loader_ledger", when, body);
        world.writes_only_a_failure(|| {
            let run = world.apply(&plan);
            assert_ne!(run.code, Some(0), "{when}: {run:?}");
            run.says("loader_ledger")
        });
    }
}

#[test]
fn a_rollback_that_cannot_restore_the_queue_is_refused() {
    let world = world();
    let plan = world.plan("b");
    world.apply(&plan).ok();
    trigger(
        &world,
        "audit_log",
        "BEFORE INSERT",
        "IF NEW.operation = 'QUEUE' THEN RETURN NULL; END IF; RETURN NEW;",
    );
    world.writes_only_a_failure(|| {
        let run = world.loader(&["rollback", "--batch-id", "b", "--force"]);
        assert_ne!(run.code, Some(0), "{run:?}");
        run.says("validation_queue")
    });
}

#[test]
fn a_trigger_on_the_loaders_own_tables_changes_no_row_unseen() {
    for (table, event, body) in [
        (
            "audit_log",
            "INSERT",
            "UPDATE t SET v = 'mine' WHERE id = 2;",
        ),
        (
            "loader_ledger",
            "INSERT",
            "UPDATE t SET v = 'mine' WHERE id = 1;",
        ),
        ("validation_queue", "UPDATE", "UPDATE t SET v = 'mine';"),
        (
            "batch_load_log",
            "INSERT",
            "IF NEW.status <> 'failed' THEN INSERT INTO other VALUES (1); END IF;",
        ),
        (
            "loader_ledger",
            "INSERT",
            "INSERT INTO audit_log (table_name, operation) VALUES ('t', 'INSERT');",
        ),
        (
            "loader_ledger",
            "INSERT",
            "UPDATE audit_log SET new_values = NULL;",
        ),
    ] {
        let world = world();
        let plan = world.plan("b");
        trigger(
            &world,
            table,
            &format!("AFTER {event}"),
            &format!("{body} RETURN NULL;"),
        );
        let before = world.state_without("public.batch_load_log");
        let run = world.apply(&plan).exits(4);
        run.says("that the plan does not mention");
        assert_eq!(
            world.state_without("public.batch_load_log"),
            before,
            "{table}: {body}"
        );
    }
}
