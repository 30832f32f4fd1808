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
fn tables_of_an_earlier_version_are_told_from_none() {
    let world = World::in_folder(
        "CREATE TABLE t (id int PRIMARY KEY)",
        "t: {natural_key: [id]}",
    );
    world.set("LOADER_QUEUE", "off");
    world.put("b", "t.csv", "id\n1\n");
    world.sql("ALTER TABLE audit_log DROP COLUMN extracted_at; DELETE FROM loader_migrations WHERE version > 1");
    for args in [&["plan", "--batch-id", "b"][..], &["history"], &["batches"]] {
        world
            .loader(args)
            .exits(1)
            .says("are those of an earlier version: audit_log.extracted_at is not there; run `loader migrate` once");
    }
    world.loader(&["migrate"]).ok();
    world.apply(&world.plan("b")).ok();
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
        run.says("restoring the validation queue")
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

#[test]
fn rows_that_may_be_changed_beside_the_plan_are_read_back_last_of_all() {
    for (table, event, body, says) in [
        (
            "audit_log",
            "INSERT",
            "UPDATE t SET v = 'mine' WHERE id = 2;",
            "1 row was not stored as planned, for example 2",
        ),
        (
            "loader_ledger",
            "INSERT",
            "DELETE FROM t WHERE id = 2;",
            "1 row was not stored as planned, which are not found",
        ),
        (
            "validation_queue",
            "UPDATE",
            "UPDATE t SET v = 'mine';",
            "2 rows were not stored as planned",
        ),
        // What belongs to the loader, nobody else may change.
        (
            "loader_ledger",
            "INSERT",
            "UPDATE audit_log SET new_values = NULL;",
            "public.audit_log",
        ),
    ] {
        let world = world();
        world.configure(
            "t: {natural_key: [id], allow_side_effects: [t, audit_log, public.audit_log]}",
        );
        let plan = world.plan("b");
        let body = format!("{body} RETURN NULL;");
        trigger(&world, table, &format!("AFTER {event}"), &body);
        let before = world.state_without("public.batch_load_log");
        world.apply(&plan).exits(4).says(says);
        assert_eq!(
            world.state_without("public.batch_load_log"),
            before,
            "{table}"
        );
    }
    // A rollback's deletes too.
    let world = world();
    world.configure("t: {natural_key: [id], allow_side_effects: [t]}");
    let plan = world.plan("b");
    world.apply(&plan).ok();
    trigger(
        &world,
        "batch_load_log",
        "AFTER INSERT",
        "IF NEW.status <> 'failed' THEN INSERT INTO t VALUES (2, 'again'); END IF; RETURN NULL;",
    );
    let run = world.loader(&["rollback", "--batch-id", "b", "--force"]);
    run.exits(4)
        .says("1 of the rows that were deleted are there again");
}

/// The loader's tables as the original made them, in a schema of their own.
const ORIGINAL: &str = "
CREATE SCHEMA adopted;
CREATE TABLE adopted.validation_queue (id serial PRIMARY KEY, table_name varchar(100), fragment_id varchar(255),
  s3_key text, validated_data jsonb, status varchar(20) DEFAULT 'pending', batch_id varchar(100),
  created_at timestamp DEFAULT now(), loaded_at timestamp, error_message text);
CREATE TABLE adopted.audit_log (id serial PRIMARY KEY, table_name varchar(100), operation varchar(20),
  record_id text, old_values jsonb, new_values jsonb, batch_id varchar(100), changed_by varchar(100),
  changed_at timestamp DEFAULT now());
CREATE TABLE adopted.batch_load_log (id serial PRIMARY KEY, batch_id varchar(100), operation varchar(20),
  table_name varchar(100), records_affected int, status varchar(20), error_message text, loaded_at timestamp);
";

#[test]
fn tables_of_the_original_are_adopted_and_work() {
    let world = world();
    world.sql(ORIGINAL);
    world.set("LOADER_SCHEMA", "adopted");
    world.loader(&["migrate"]).ok();
    assert_eq!(world.rows("SELECT 1 FROM adopted.audit_log UNION ALL SELECT 2 FROM adopted.loader_ledger UNION ALL SELECT 3 FROM adopted.batch_load_log"), [""; 0]);
    world.sql("INSERT INTO adopted.validation_queue (table_name, s3_key, batch_id) VALUES ('t', 'staging/b/t/1.json', 'b')");
    let before = world.rows("SELECT * FROM t ORDER BY 1");
    let plan = world.plan("b");
    world.apply(&plan).ok();
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.rows("SELECT * FROM t ORDER BY 1"), before);
    assert_eq!(
        world.value("SELECT status FROM adopted.validation_queue"),
        "pending"
    );
    world.loader(&["migrate"]).ok();
}

#[test]
fn tables_with_which_loads_or_rollbacks_would_fail_are_not_adopted() {
    let world = world();
    world.set("LOADER_SCHEMA", "adopted");
    // What is different about them, and what is said.
    for (change, says) in [
        ("ALTER TABLE adopted.audit_log ALTER old_values TYPE json", "audit_log.old_values is json"),
        ("ALTER TABLE adopted.audit_log ALTER new_values TYPE text", "audit_log.new_values is text"),
        ("ALTER TABLE adopted.audit_log DROP id, ADD id uuid DEFAULT gen_random_uuid()", "audit_log.id is uuid"),
        ("ALTER TABLE adopted.audit_log ALTER id DROP DEFAULT", "id"),
        ("ALTER TABLE adopted.audit_log ALTER new_values SET NOT NULL", "new_values"),
        ("ALTER TABLE adopted.audit_log ALTER old_values SET NOT NULL", "old_values"),
        ("ALTER TABLE adopted.audit_log ADD CHECK (operation IN ('INSERT', 'UPDATE'))", "DELETE"),
        ("ALTER TABLE adopted.audit_log ADD CHECK (operation IN ('INSERT', 'UPDATE', 'DELETE'))", "QUEUE"),
        ("ALTER TABLE adopted.audit_log ADD why text NOT NULL", "why"),
        ("ALTER TABLE adopted.audit_log ALTER operation TYPE varchar(3)", "too long"),
        ("ALTER TABLE adopted.audit_log ALTER record_id TYPE varchar(255)", "audit_log.record_id is character varying(255)"),
        ("ALTER TABLE adopted.audit_log ALTER table_name TYPE varchar(30)", "too long"),
        ("ALTER TABLE adopted.audit_log ALTER batch_id TYPE varchar(30)", "too long"),
        ("ALTER TABLE adopted.batch_load_log ALTER error_message TYPE varchar(500)", "batch_load_log.error_message is"),
        ("ALTER TABLE adopted.validation_queue ALTER error_message TYPE varchar(500)", "validation_queue.error_message is"),
        ("CREATE TRIGGER own BEFORE INSERT ON adopted.audit_log FOR EACH ROW EXECUTE FUNCTION swallow()", "audit_log"),
        ("CREATE TRIGGER own BEFORE INSERT ON adopted.audit_log FOR EACH ROW EXECUTE FUNCTION garble()", "audit_log"),
        ("CREATE RULE own AS ON INSERT TO adopted.audit_log DO INSTEAD NOTHING", "audit_log"),
        ("ALTER TABLE adopted.batch_load_log ADD CHECK (status IN ('success', 'failed'))", "partial"),
        ("ALTER TABLE adopted.batch_load_log ALTER error_message SET NOT NULL", "error_message"),
        ("ALTER TABLE adopted.validation_queue ADD CHECK (status IN ('pending', 'validated'))", "loaded"),
        ("ALTER TABLE adopted.validation_queue DROP id, ADD id uuid DEFAULT gen_random_uuid()", "validation_queue.id is uuid"),
        ("DROP TABLE adopted.audit_log; CREATE TABLE adopted.audit_log (id bigserial, table_name text, operation text,
            record_id text, old_values jsonb, new_values jsonb, batch_id text, changed_by text, changed_at timestamptz)
            PARTITION BY RANGE (changed_at);
          CREATE TABLE adopted.audit_2020 PARTITION OF adopted.audit_log FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')", "no partition"),
    ] {
        world.sql("DROP SCHEMA IF EXISTS adopted CASCADE");
        world.sql(ORIGINAL);
        world.sql("CREATE OR REPLACE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
          CREATE OR REPLACE FUNCTION garble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.new_values := '{}'; RETURN NEW; END $$;");
        world.sql(change);
        let run = world.loader(&["migrate"]);
        assert_eq!(run.code, Some(1), "{change}: {run:?}");
        assert!(run.stderr.contains(says), "{change}: {says:?} is not in {run:?}");
        assert!(run.stderr.contains("cannot be adopted"), "{change}: {run:?}");
        // Nor is anything loaded with them.
        let run = world.loader(&["load", "--batch-id", "b", "--force"]);
        assert_eq!(run.code, Some(1), "{change}: {run:?}");
        assert!(run.stderr.contains("loader migrate"), "{change}: {run:?}");
    }
    // Once they are as they must be, they are adopted.
    world.sql("DROP SCHEMA adopted CASCADE");
    world.sql(ORIGINAL);
    world.sql("ALTER TABLE adopted.audit_log ALTER old_values TYPE json");
    world.loader(&["migrate"]).exits(1);
    world.sql("ALTER TABLE adopted.audit_log ALTER old_values TYPE jsonb");
    world.loader(&["migrate"]).ok();
    world.set("LOADER_QUEUE", "off");
    world.loader(&["load", "--batch-id", "b", "--force"]).ok();
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
}

#[test]
fn what_was_put_on_tables_with_which_loads_work_does_not_run_for_a_look() {
    let world = world();
    world.loader(&["load", "--batch-id", "b", "--force"]).ok();
    trigger(
        &world,
        "audit_log",
        "BEFORE INSERT",
        "RAISE 'it ran'; RETURN NEW;",
    );
    world.loader(&["migrate"]).ok();
}

#[test]
fn tables_that_cannot_be_adopted_are_left_as_they_are() {
    let world = world();
    world.set("LOADER_SCHEMA", "app");
    // An application's own, and what is said of it.
    for (theirs, says) in [
        (
            "CREATE TABLE app.audit_log (id bigserial PRIMARY KEY, who text, at timestamptz DEFAULT now())",
            "audit_log.record_id is missing; it must be text",
        ),
        (
            "CREATE TABLE app.audit_log (id bigserial PRIMARY KEY, record_id text, changed_by text NOT NULL)",
            "audit_log.operation is missing; it must be text",
        ),
        (
            "CREATE VIEW app.audit_log AS SELECT 1 AS id",
            "audit_log is a view, and must be a table",
        ),
        (
            "CREATE SEQUENCE app.loader_identity",
            "loader_identity is a sequence, and must be a table",
        ),
        (
            "CREATE TABLE app.batch_load_log (LIKE public.batch_load_log INCLUDING ALL, why text NOT NULL)",
            "\"why\"",
        ),
        (
            "CREATE TABLE app.loader_ledger (LIKE public.loader_ledger); CREATE VIEW app.v AS SELECT 1; \
             CREATE TABLE app.audit_log (LIKE public.audit_log); ALTER TABLE app.audit_log DROP application; \
             CREATE UNIQUE INDEX ON app.audit_log ((1))",
            "audit_log",
        ),
    ] {
        world.sql("DROP SCHEMA IF EXISTS app CASCADE; CREATE SCHEMA app");
        world.sql(theirs);
        let there = "SELECT c.relname, c.relkind, a.attname FROM pg_class c LEFT JOIN pg_attribute a \
                     ON a.attrelid = c.oid AND a.attnum > 0 WHERE c.relnamespace = 'app'::regnamespace ORDER BY 1, 2, 3";
        let before = world.rows(there);
        let run = world.loader(&["migrate"]).exits(1);
        for said in ["in the schema app cannot be adopted", says, "LOADER_SCHEMA"] {
            assert!(
                run.stderr.contains(said),
                "{theirs}: {said:?} is not in {run:?}"
            );
        }
        assert!(
            !run.stderr.contains("application is missing"),
            "{theirs}: {run:?}"
        );
        assert_eq!(world.rows(there), before, "{theirs}");
    }
    // What another role owns.
    world.sql(
        "DROP SCHEMA app CASCADE; CREATE SCHEMA app; CREATE TABLE app.audit_log (LIKE public.audit_log); \
         ALTER TABLE app.audit_log DROP origin; CREATE ROLE migrates_elsewhere LOGIN; GRANT ALL ON SCHEMA app TO migrates_elsewhere",
    );
    world.set(
        "DATABASE_URL",
        &world.url.replace("://loader", "://migrates_elsewhere"),
    );
    let run = world.loader(&["migrate"]).exits(1);
    for said in [
        "cannot be adopted",
        "must be owner of table audit_log",
        "own the tables in it",
        "LOADER_SCHEMA",
    ] {
        assert!(run.stderr.contains(said), "{said:?} is not in {run:?}");
    }
}

#[test]
fn all_that_is_wrong_with_tables_is_said_at_once() {
    let world = world();
    world.sql(ORIGINAL);
    world.sql(
        "ALTER TABLE adopted.audit_log ALTER old_values TYPE json, ADD CHECK (operation <> 'DELETE');
         ALTER TABLE adopted.batch_load_log ALTER error_message SET NOT NULL;
         ALTER TABLE adopted.validation_queue ADD CHECK (status <> 'failed');
         INSERT INTO adopted.validation_queue (table_name, batch_id) VALUES ('t', 'b');",
    );
    world.set("LOADER_SCHEMA", "adopted");
    let run = world.loader(&["migrate"]).exits(1);
    for said in [
        "audit_log.old_values is json",
        "DELETE",
        "error_message",
        "failed",
    ] {
        assert!(run.stderr.contains(said), "{said}: {run:?}");
    }
    // What was tried is taken back, and the same is said the next time.
    assert_eq!(
        world.rows("SELECT id, status FROM adopted.validation_queue"),
        ["1|pending"]
    );
    assert_eq!(world.rows("SELECT 1 FROM adopted.audit_log"), [""; 0]);
    let again = world.loader(&["migrate"]).exits(1);
    assert!(
        again.stderr.contains("audit_log.old_values is json"),
        "{again:?}"
    );
}

#[test]
fn a_load_of_which_the_audit_log_lacks_a_change_is_not_taken_back() {
    let world = world();
    let plan = world.plan("b");
    world.apply(&plan).ok();
    world.sql("DELETE FROM audit_log WHERE record_id = '1' AND table_name = 't'");
    let run = world.writes_nothing(|| {
        world
            .loader(&["rollback", "--batch-id", "b", "--force"])
            .exits(4)
    });
    run.says("the audit log has 1 changes of this load and the ledger says 2");
}
