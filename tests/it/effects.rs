//! Triggers, rules and foreign-key actions: what was planned is what is stored, and nothing else.

use crate::support::World;

const TABLES: &str = "
CREATE TABLE t (id int PRIMARY KEY, v text, n int DEFAULT 0);
CREATE TABLE other (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text);
INSERT INTO t VALUES (1, 'old');
";

fn trigger(when: &str, body: &str) -> String {
    format!(
        "{TABLES} CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN {body} END $f$; \
         CREATE TRIGGER meddler {when} ON t FOR EACH ROW EXECUTE FUNCTION act()"
    )
}

/// Plans an update and two inserts of `t`.
fn world(schema: &str) -> World {
    let world = World::new(schema, "t: {natural_key: [id]}");
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "v": "new"}, {"id": 2, "v": "two"}, {"id": 3, "v": "three"}]"#,
    );
    world
}

#[track_caller]
fn is_loaded(world: &World) {
    assert_eq!(
        world.rows("SELECT id, v FROM t ORDER BY 1"),
        ["1|new", "2|two", "3|three"]
    );
}

#[test]
fn a_trigger_that_changes_another_table_is_refused_unless_that_is_meant() {
    let world = world(&trigger(
        "AFTER INSERT OR UPDATE",
        "INSERT INTO other (what) VALUES (NEW.v); RETURN NULL;",
    ));
    let plan = world.plan("b");
    assert!(
        plan.text
            .contains("its triggers run when this is applied: meddler")
    );
    world.writes_only_a_failure(|| {
        world
            .apply(&plan)
            .exits(4)
            .says("3 rows of table public.other")
            .says("allow_side_effects")
    });
    world.writes_nothing(|| world.apply_with(&plan, &["--dry-run"]).exits(4));
    for allowed in ["other", "public.other"] {
        world.configure(&format!(
            "t: {{natural_key: [id], allow_side_effects: [{allowed}]}}"
        ));
        let plan = world.plan("b");
        world.writes_nothing(|| world.apply_with(&plan, &["--dry-run"]).ok());
    }
    let plan = world.plan("b");
    world.apply(&plan).ok();
    is_loaded(&world);
    assert_eq!(world.value("SELECT count(*) FROM other"), "3");
}

#[test]
fn a_trigger_that_writes_other_rows_of_the_same_table_is_refused() {
    let world = world(&trigger(
        "AFTER INSERT",
        "UPDATE t SET n = n + 1 WHERE id = 1; RETURN NULL;",
    ));
    let plan = world.plan("b");
    world.writes_only_a_failure(|| world.apply(&plan).exits(4).says("table public.t"));
}

#[test]
fn a_trigger_that_changes_what_was_planned_is_refused_by_name() {
    let world = world(&trigger(
        "BEFORE INSERT",
        "NEW.v := upper(NEW.v); RETURN NEW;",
    ));
    let plan = world.plan("b");
    let run = world.writes_only_a_failure(|| world.apply(&plan).exits(4));
    run.says("t: 2 rows were not stored as planned")
        .says("meddler");
    // And so is one that acts after the row was written.
    let world = self::world(&trigger(
        "AFTER UPDATE",
        "IF pg_trigger_depth() = 1 THEN UPDATE t SET v = 'mine' WHERE id = NEW.id; END IF; RETURN NULL;",
    ));
    let plan = world.plan("b");
    world.writes_only_a_failure(|| world.apply(&plan).exits(4));
}

#[test]
fn a_trigger_that_sets_columns_of_its_own_is_fine() {
    let world = world(&trigger(
        "BEFORE INSERT OR UPDATE",
        "NEW.n := length(NEW.v); RETURN NEW;",
    ));
    let plan = world.plan("b");
    world.apply(&plan).ok();
    is_loaded(&world);
    assert_eq!(world.rows("SELECT n FROM t ORDER BY id"), ["3", "3", "5"]);
    assert_eq!(
        world.rows(
            "SELECT new_values ->> 'n' FROM audit_log WHERE table_name = 't' ORDER BY record_id"
        ),
        ["3", "3", "5"]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
}

#[test]
fn a_trigger_that_swallows_a_row_is_refused() {
    let insert = world(&trigger(
        "BEFORE INSERT",
        "IF NEW.id = 2 THEN RETURN NULL; END IF; RETURN NEW;",
    ));
    let plan = insert.plan("b");
    insert.writes_only_a_failure(|| insert.apply(&plan).says("swallows"));
    let update = world(&trigger("BEFORE UPDATE", "RETURN NULL;"));
    let plan = update.plan("b");
    update.writes_only_a_failure(|| update.apply(&plan).says("swallows"));
}

#[test]
fn a_rule_that_writes_elsewhere_is_refused() {
    let world = world(&format!(
        "{TABLES} CREATE RULE r AS ON INSERT TO t DO ALSO INSERT INTO other (what) VALUES (NEW.v)"
    ));
    let plan = world.plan("b");
    let run = world.writes_only_a_failure(|| world.apply(&plan));
    assert_ne!(run.code, Some(0));
}

#[test]
fn a_failing_trigger_is_told_in_the_databases_own_words() {
    let world = world(&trigger(
        "AFTER INSERT",
        "RAISE 'the freezer is full'; RETURN NULL;",
    ));
    let plan = world.plan("b");
    world.writes_only_a_failure(|| {
        world
            .apply(&plan)
            .exits(1)
            .says("inserting into table t")
            .says("the freezer is full")
    });
}

#[test]
fn a_constraint_that_only_fails_at_the_end_is_told_and_nothing_is_written() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''too late''; END'; \
         CREATE CONSTRAINT TRIGGER late AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()",
        "t: {natural_key: [id]}",
    );
    world.deliver("b", "t/1.json", r#"{"id": 1}"#);
    let plan = world.plan("b");
    world.writes_only_a_failure(|| world.apply(&plan).exits(1).says("too late"));
}

#[test]
fn rows_of_partitions_and_of_inheriting_tables_are_counted_for_their_table() {
    let world = World::new(
        "CREATE TABLE t (id int, part int, v text, PRIMARY KEY (id, part)) PARTITION BY LIST (part); \
         CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); CREATE TABLE t2 PARTITION OF t FOR VALUES IN (2); \
         INSERT INTO t VALUES (1, 1, 'old'), (2, 2, 'old')",
        "t: {natural_key: [id]}",
    );
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "part": 2}, {"id": 2, "part": 2, "v": "new"}, {"id": 3, "part": 1}]"#,
    );
    let plan = world.plan("b");
    assert_eq!(
        (plan.count("update"), plan.count("insert")),
        (2, 1),
        "{:?}",
        plan.lines()
    );
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT tableoid::regclass, id, v FROM t ORDER BY 2"),
        ["t2|1|old", "t2|2|new", "t1|3|∅"]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
}

#[test]
fn triggers_on_columns_fire_for_the_rows_that_change_them_and_no_others() {
    let world = World::new(
        &trigger(
            "AFTER UPDATE OF v",
            "INSERT INTO other (what) VALUES (NEW.id::text); RETURN NULL;",
        ),
        "t: {natural_key: [id], allow_side_effects: [other]}",
    );
    world.sql("INSERT INTO t VALUES (2, 'two')");
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "n": 5}, {"id": 2, "v": "new", "n": 6}]"#,
    );
    let plan = world.plan("b");
    world.apply(&plan).ok();
    assert_eq!(world.rows("SELECT what FROM other"), ["2"]);
}
