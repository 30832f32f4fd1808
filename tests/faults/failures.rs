//! A failed apply leaves its reason, and the queue as it was.

use crate::harness::{Run, Stage};

const TABLE: &str = "CREATE TABLE t (k text PRIMARY KEY, v text, w text UNIQUE); CREATE TABLE log (line text); \
    INSERT INTO t VALUES ('a', 'old', NULL), ('b', 'old', 'taken')";
const BATCH: &str = r#"[{"k": "a", "v": "new"}, {"k": "n", "v": "new", "w": "mine"}]"#;

/// Makes `spoil` come between plan and apply, and compares what is left with what was said.
fn check(spoil: &str, env: &[(&str, &str)], code: i32) -> Run {
    let stage = Stage::new(TABLE, "t: {natural_key: [k]}");
    stage.deliver("b", &[("t/1.json", BATCH)]);
    let plan = stage.plan("b");
    stage.sql(spoil);
    let before = stage.state();
    let run = stage
        .loader_with(&["apply", &plan, "--force"], env)
        .exits(code);
    assert_eq!(stage.state(), before, "{spoil}: {run}");
    let left = stage.one("SELECT string_agg(concat_ws('|', batch_id, operation, records_affected, status, loaded_at IS NOT NULL, application), ' ') FROM batch_load_log");
    assert_eq!(left, "b|load|0|failed|t", "{spoil}: {run}");
    let reason = stage.one("SELECT error_message FROM batch_load_log");
    assert!(
        run.stderr.contains(&reason) && !reason.is_empty(),
        "{reason:?} is not in {run}"
    );
    stage.is_free();
    run
}

#[test]
fn drift_is_left_as_the_reason() {
    check("UPDATE t SET v = 'theirs' WHERE k = 'a'", &[], 3).says_all(&["theirs"]);
    check("INSERT INTO t VALUES ('n')", &[], 3);
    check("DELETE FROM t WHERE k = 'a'", &[], 3);
    // In the database's own words.
    check("UPDATE t SET w = 'mine' WHERE k = 'b'", &[], 3).says_all(&["mine", "23505"]);
}

#[test]
fn a_rehearsal_leaves_nothing() {
    let stage = Stage::new(TABLE, "t: {natural_key: [k]}");
    stage.deliver("b", &[("t/1.json", BATCH)]);
    let plan = stage.plan("b");
    let before = stage.state();
    stage
        .loader(&["apply", &plan, "--dry-run"])
        .exits(0)
        .says_all(&["Nothing was written"]);
    assert_eq!(stage.state(), before);
    stage.sql("UPDATE t SET v = 'theirs' WHERE k = 'a'");
    stage.loader(&["apply", &plan, "--dry-run"]).exits(3);
    assert_eq!(stage.one("SELECT count(*) FROM batch_load_log"), "0");
    stage.is_free();
}

#[test]
fn a_rollback_that_fails_leaves_its_reason_too() {
    let stage = Stage::new(TABLE, "t: {natural_key: [k]}");
    stage.deliver("b", &[("t/1.json", BATCH)]);
    stage.load("b");
    stage
        .loader(&["rollback", "--batch-id", "b", "--out", "undo.json"])
        .exits(0);
    stage.sql("UPDATE t SET v = 'theirs' WHERE k = 'a'");
    let before = stage.state();
    stage.loader(&["apply", "undo.json", "--force"]).exits(3);
    assert_eq!(stage.state(), before);
    assert_eq!(
        stage.one(
            "SELECT operation || records_affected FROM batch_load_log WHERE status = 'failed'"
        ),
        "rollback0"
    );
}
