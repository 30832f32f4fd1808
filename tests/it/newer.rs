//! What PostgreSQL 18 brought. Before, there is nothing to see here.

use crate::support::World;
use crate::support::server::shared;

fn is_there() -> bool {
    shared().version() >= 18
}

#[test]
fn a_period_is_another_one_where_it_only_overlaps() {
    if !is_there() {
        return;
    }
    let world = World::new(
        "CREATE EXTENSION btree_gist; \
         CREATE TABLE t (id int, during int4range, v text, PRIMARY KEY (id, during WITHOUT OVERLAPS)); \
         INSERT INTO t VALUES (1, '[1,5)', 'old')",
        "t: {natural_key: [id, during]}",
    );
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "during": "[1,5)", "v": "new"}, {"id": 1, "during": "[5,9)"}, {"id": 2, "during": "[1,5)"}]"#,
    );
    world.apply(&world.plan("b")).ok();
    let rows = "SELECT t::text FROM t ORDER BY id, during";
    let stored = [r#"(1,"[1,5)",new)"#, r#"(1,"[5,9)",)"#, r#"(2,"[1,5)",)"#];
    assert_eq!(world.rows(rows), stored);
    world.deliver("c", "t/1.json", r#"{"id": 1, "during": "[2,4)", "v": "x"}"#);
    let plan = world.plan("c");
    assert_eq!(plan.count("violation"), 1, "{}", plan.text);
    let shown = world.show(&plan, &[]);
    assert!(shown.contains("unique_conflict"), "{shown}");
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.rows(rows), [r#"(1,"[1,5)",old)"#]);
}

#[test]
fn what_is_not_enforced_stands_against_nothing() {
    if !is_there() {
        return;
    }
    let world = World::new(
        "CREATE TABLE p (id int PRIMARY KEY); INSERT INTO p VALUES (1), (2); \
         CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p NOT ENFORCED, \
           v int CONSTRAINT positive CHECK (v > 0) NOT ENFORCED); \
         INSERT INTO c VALUES (1, 1)",
        "{p: {natural_key: [id], complete: true, limits: {delete: 9}}, c: {natural_key: [id]}}",
    );
    world.deliver("b", "p/1.json", r#"{"id": 2}"#);
    world.deliver("b", "c/1.json", r#"{"id": 2, "p": 3, "v": -1}"#);
    world
        .apply(&world.plan("b"))
        .ok()
        .says("1 inserted, 0 updated, 1 deleted");
}

#[test]
fn a_value_that_a_row_must_have_from_now_on_is_missed_by_the_plan() {
    if !is_there() {
        return;
    }
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v int, w int); INSERT INTO t VALUES (1), (2); \
         ALTER TABLE t ADD CONSTRAINT given NOT NULL v NOT VALID",
        "t: {natural_key: [id], on_invalid: reject}",
    );
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "w": 1}, {"id": 2, "v": 2}, {"id": 3, "v": 3}, {"id": 4, "v": null}]"#,
    );
    let plan = world.plan("b");
    let shown = world.show(&plan, &[]);
    assert!(shown.contains("given does not hold"), "{shown}");
    world.apply(&plan).ok();
    let stored = world.rows("SELECT t::text FROM t ORDER BY 1");
    assert_eq!(stored, ["(1,,)", "(2,2,)", "(3,3,)"]);
}

#[test]
fn a_column_that_is_computed_when_it_is_read_is_one_that_is_computed() {
    if !is_there() {
        return;
    }
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v int, w int GENERATED ALWAYS AS (v * 2) VIRTUAL CHECK (w < 100)); \
         INSERT INTO t VALUES (1, 1)",
        "t: {natural_key: [id], on_invalid: reject}",
    );
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "v": 5}, {"id": 2, "v": 7}, {"id": 3, "v": 50}, {"id": 4, "v": 2000000000}]"#,
    );
    let plan = world.plan("b");
    assert_eq!(plan.count("violation"), 2, "{}", plan.text);
    world.apply(&plan).ok();
    let rows = "SELECT t::text FROM t ORDER BY 1";
    assert_eq!(world.rows(rows), ["(1,5,10)", "(2,7,14)"]);
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.rows(rows), ["(1,1,2)"]);
}
