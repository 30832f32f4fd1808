//! Several at once: applies of one plan, of overlapping plans, and sessions of other programs
//! between verification and write.

use std::process::Child;
use std::time::Duration;

use postgres::Client;
use table_loader::internal::DATABASE_LOCK;

use crate::harness::{Run, Stage, State, eventually, finish, one};

const TABLE: &str = "CREATE TABLE t (k text PRIMARY KEY, v text); INSERT INTO t VALUES ('a', 'old'), ('b', 'old'), ('c', 'old')";
const CONFIG: &str = "t: {natural_key: [k]}";
/// Updates a and b, inserts n, finds c unchanged.
const BATCH: &str = r#"[{"k": "a", "v": "new"}, {"k": "b", "v": "new"}, {"k": "n", "v": "new"}, {"k": "c", "v": "old"}]"#;

/// A stage with a plan `b.json` of [`BATCH`].
fn planned() -> Stage {
    let stage = Stage::new(TABLE, CONFIG);
    stage.deliver("b", &[("t/1.json", BATCH)]);
    stage.plan("b");
    stage
}

fn start(stage: &Stage, args: &[&str]) -> Child {
    let mut all = vec!["apply"];
    all.extend(args);
    all.push("--force");
    stage.command(&all).spawn().unwrap()
}

fn end(child: Child) -> Run {
    finish("apply", child)
}

/// Waits until a session of the loader waits for a lock.
fn waits(stage: &Stage) {
    eventually("the loader waits for a lock", || {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
            AND application_name = 'table-loader' AND wait_event_type = 'Lock'";
        stage.one(waiting) == "1"
    });
}

/// Another program does `first`; an apply starts and waits for it; it does `then`. How the apply ended.
fn meets(stage: &Stage, first: &str, then: &str) -> Run {
    let mut other = stage.connect();
    other.batch_execute(&format!("BEGIN; {first}")).unwrap();
    let apply = start(stage, &["b.json"]);
    waits(stage);
    other.batch_execute(then).unwrap();
    end(apply)
}

#[test]
fn of_two_applies_of_one_plan_one_applies() {
    let stage = Stage::new(TABLE, CONFIG);
    for round in 0..20 {
        let batch = format!("b{round}");
        stage.deliver(
            &batch,
            &[(
                "t/1.json",
                &format!(r#"[{{"k": "a", "v": "{round}"}}, {{"k": "n{round}"}}]"#),
            )],
        );
        let plan = stage.plan(&batch);
        let both = [start(&stage, &[&plan]), start(&stage, &[&plan])].map(|c| end(c).exits(0));
        let applied = both
            .iter()
            .filter(|r| r.stderr.contains("Applied: 1 inserted"))
            .count();
        let already = both
            .iter()
            .filter(|r| r.stderr.contains("Applied already"))
            .count();
        assert_eq!((applied, already), (1, 1), "{round}: {both:?}");
        assert_eq!(stage.state().ledger, round + 1);
        assert_eq!(stage.state().audit, 2 * (round + 1));
    }
    stage.is_free();
}

#[test]
fn of_two_overlapping_plans_one_wins_and_the_other_reports_drift() {
    let stage = Stage::new(TABLE, CONFIG);
    for round in 0..10 {
        let plans = ["x", "y"].map(|name| {
            let batch = format!("{name}{round}");
            let rows = format!(r#"[{{"k": "a", "v": "{batch}"}}, {{"k": "{batch}", "v": "{batch}"}}, {{"k": "both{round}", "v": "{batch}"}}]"#);
            stage.deliver(&batch, &[("t/1.json", &rows)]);
            (stage.plan(&batch), batch)
        });
        let runs = [&plans[0], &plans[1]]
            .map(|(plan, _)| start(&stage, &[plan]))
            .map(end);
        let winner = runs
            .iter()
            .position(|r| r.code == Some(0))
            .unwrap_or_else(|| panic!("{runs:?}"));
        let (won, lost) = (&plans[winner].1, &plans[1 - winner].1);
        let [first, second] = runs;
        let loser = if winner == 0 { second } else { first };
        // Who was first is named.
        loser.exits(3).says_all(&[
            "a",
            &format!("both{round}"),
            "curator",
            &format!("batch {won}"),
            "nothing was written",
        ]);
        assert_eq!(stage.one("SELECT v FROM t WHERE k = 'a'"), *won);
        assert_eq!(
            stage.one(&format!("SELECT count(*) FROM t WHERE k = '{lost}'")),
            "0"
        );
        assert_eq!(stage.state().ledger, round + 1);
    }
}

#[test]
fn an_insert_that_races_on_a_key_is_drift_once_it_is_committed() {
    let stage = planned();
    let before = stage.state();
    let insert = "INSERT INTO t VALUES ('n', 'theirs')";
    let json = {
        let mut other = stage.connect();
        other.batch_execute(&format!("BEGIN; {insert}")).unwrap();
        let apply = start(&stage, &["b.json", "--json"]);
        waits(&stage);
        other.batch_execute("COMMIT").unwrap();
        end(apply).exits(3).json()
    };
    let rows = json["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{json}");
    assert_eq!(rows[0]["key"]["n"], serde_json::Value::Null);
    assert_eq!(rows[0]["key"]["k"], "n");
    assert_eq!(rows[0]["state"], "appeared");
    let now = stage.state();
    assert_eq!(
        now,
        State {
            data: now.data.clone(),
            ..before.clone()
        }
    );
    assert!(now.data.contains("(n,theirs)") && now.data.contains("(a,old)"));
    stage.sql("DELETE FROM t WHERE k = 'n'");
    assert_eq!(stage.state(), before);

    // One that is taken back stands in nobody's way.
    meets(&stage, insert, "ROLLBACK").exits(0);
    assert_eq!(stage.one("SELECT v FROM t WHERE k = 'n'"), "new");
}

#[test]
fn what_another_session_does_to_a_planned_row_is_drift_or_harmless() {
    // What it does while we wait for its lock, and whether that is drift.
    let cases = [
        (
            "UPDATE t SET v = 'theirs' WHERE k = 'a'",
            "COMMIT",
            Some("a"),
        ),
        ("UPDATE t SET v = 'theirs' WHERE k = 'b'", "ROLLBACK", None),
        (
            "UPDATE t SET v = 'theirs' WHERE k = 'a'",
            "UPDATE t SET v = 'old' WHERE k = 'a'; COMMIT",
            None,
        ),
        ("DELETE FROM t WHERE k = 'b'", "COMMIT", Some("b")),
        ("DELETE FROM t WHERE k = 'b'", "ROLLBACK", None),
        // The new row is another one, with the same content: found and locked on another try.
        (
            "DELETE FROM t WHERE k = 'a'; INSERT INTO t VALUES ('a', 'old')",
            "COMMIT",
            None,
        ),
        (
            "DELETE FROM t WHERE k = 'a'; INSERT INTO t VALUES ('a', 'theirs')",
            "COMMIT",
            Some("a"),
        ),
        ("UPDATE t SET k = 'z' WHERE k = 'a'", "COMMIT", Some("a")),
        ("UPDATE t SET k = 'n' WHERE k = 'b'", "COMMIT", Some("n")),
        (
            "INSERT INTO t VALUES ('n', 'theirs')",
            "DELETE FROM t WHERE k = 'n'; COMMIT",
            None,
        ),
        (
            "UPDATE t SET v = 'theirs' WHERE k IN ('b', 'c')",
            "COMMIT",
            Some("c"),
        ),
    ];
    for (first, then, drift) in cases {
        let stage = planned();
        let what = format!("{first}; {then}");
        let run = meets(&stage, first, then);
        assert_eq!(
            run.code,
            Some(if drift.is_some() { 3 } else { 0 }),
            "{what}: {run}"
        );
        if let Some(key) = drift {
            assert!(
                run.stderr.contains(&format!("k={key}")) || run.stderr.contains(&format!(" {key}")),
                "{what}: {run}"
            );
            assert!(!stage.data().contains("new"), "{what}");
            assert_eq!(stage.state().ledger, 0, "{what}");
        } else {
            assert_eq!(
                stage.one("SELECT string_agg(v, ' ' ORDER BY k) FROM t"),
                "new new old new",
                "{what}"
            );
        }
        stage.is_free();
    }
}

#[test]
fn a_third_writer_after_delete_and_reinsert_is_not_overwritten() {
    let stage = planned();
    let mut other = stage.connect();
    other
        .batch_execute("BEGIN; DELETE FROM t WHERE k = 'a'; INSERT INTO t VALUES ('a', 'old')")
        .unwrap();
    let apply = start(&stage, &["b.json"]);
    waits(&stage);
    // The third one waits behind, and writes as soon as it can.
    let mut third = stage.connect();
    let writer = std::thread::spawn(move || {
        third
            .execute("UPDATE t SET v = v || '+third' WHERE k = 'a'", &[])
            .unwrap();
    });
    std::thread::sleep(Duration::from_millis(100));
    other.batch_execute("COMMIT").unwrap();
    let run = end(apply);
    writer.join().unwrap();
    let now = stage.one("SELECT v FROM t WHERE k = 'a'");
    match run.code {
        // It was first, and its value stays.
        Some(3) => assert!(matches!(now.as_str(), "old+third" | "old"), "{now}: {run}"),
        // It was second, or saw the row too late to change it.
        Some(0) => assert!(matches!(now.as_str(), "new+third" | "new"), "{now}: {run}"),
        _ => panic!("{run}"),
    }
}

#[test]
fn who_holds_a_lock_for_too_long_is_named() {
    let advisory = format!("SELECT pg_advisory_xact_lock({DATABASE_LOCK})");
    let cases = [
        (advisory.as_str(), "another apply is running"),
        (
            "UPDATE t SET v = 'theirs' WHERE k = 'b'",
            "locking the rows of table t",
        ),
        ("LOCK TABLE t IN ACCESS EXCLUSIVE MODE", "table"),
        ("LOCK TABLE t IN SHARE MODE", "locking the plan's tables"),
        (
            "INSERT INTO t VALUES ('n', 'theirs')",
            "inserting into table t",
        ),
    ];
    for (held, doing) in cases {
        let stage = planned();
        let before = stage.state();
        let mut other = stage.connect();
        let process = one(&mut other, "SELECT pg_backend_pid()");
        other.batch_execute(&format!("BEGIN; {held}")).unwrap();
        let run = end(start(&stage, &["b.json", "--lock-timeout", "1"]));
        let run =
            run.exits(7)
                .says_all(&[doing, "not applied, nothing was written", "--lock-timeout"]);
        assert!(
            run.stderr.contains(&format!("process {process}")),
            "{held}: {run}"
        );
        other.batch_execute("ROLLBACK").unwrap();
        stage.is_free();
        assert_eq!(stage.state(), before, "{held}");
        assert_eq!(
            stage.one("SELECT count(*) FROM batch_load_log WHERE status = 'failed'"),
            "1"
        );
        end(start(&stage, &["b.json"])).exits(0);
    }
}

/// Begins a transaction that holds a row, and does not look for deadlocks while it waits.
const PATIENT: &str = "SET deadlock_timeout = '10min'; BEGIN; UPDATE t SET v = v WHERE k = 'b'";

#[test]
fn a_deadlock_with_another_session_is_tried_again() {
    let stage = planned();
    let mut other: Client = stage.connect();
    other.batch_execute(PATIENT).unwrap();
    let apply = start(&stage, &["b.json"]);
    waits(&stage);
    // Whoever notices first gives way, and the other does not look.
    other
        .batch_execute("UPDATE t SET v = v WHERE k = 'a'")
        .unwrap();
    other.batch_execute("ROLLBACK").unwrap();
    end(apply)
        .exits(0)
        .says_all(&["attempt 2", "deadlock", "Applied:"]);
    assert_eq!(
        stage.one("SELECT string_agg(v, ' ' ORDER BY k) FROM t"),
        "new new old new"
    );

    // Without another try it is said.
    let stage = planned();
    let before = stage.state();
    let mut other: Client = stage.connect();
    other.batch_execute(PATIENT).unwrap();
    let apply = start(&stage, &["b.json", "--max-retries", "0"]);
    waits(&stage);
    other
        .batch_execute("UPDATE t SET v = v WHERE k = 'a'")
        .unwrap();
    other.batch_execute("ROLLBACK").unwrap();
    end(apply).exits(7).says_all(&["deadlock", "not applied"]);
    assert_eq!(stage.state(), before);
}

#[test]
fn without_a_unique_index_a_lock_keeps_a_second_row_with_one_key_away() {
    // By whom, and what the other session has done when apply begins.
    for (index, first) in [
        ("", "INSERT INTO t VALUES ('n', 'theirs')"),
        (
            "",
            "INSERT INTO t VALUES ('n', 'theirs'); SELECT FROM t WHERE k = 'a' FOR UPDATE",
        ),
        (
            "CREATE UNIQUE INDEX ON t (k) WHERE v = 'some'",
            "INSERT INTO t VALUES ('n', 'theirs')",
        ),
        (
            "ALTER TABLE t ADD UNIQUE (k) DEFERRABLE",
            "UPDATE t SET k = 'n' WHERE k = 'c'",
        ),
    ] {
        let stage = Stage::new(
            &format!("{}; {index}", TABLE.replace(" PRIMARY KEY", "")),
            CONFIG,
        );
        stage.deliver(
            "b",
            &[(
                "t/1.json",
                &BATCH.replace(r#", {"k": "c", "v": "old"}"#, ""),
            )],
        );
        stage.plan("b");
        let plan = std::fs::read_to_string(stage.path("b.json")).unwrap();
        assert!(plan.contains("SHARE ROW EXCLUSIVE"), "{plan}");
        meets(&stage, first, "COMMIT").exits(3).says("appeared");
        assert_eq!(
            stage.one("SELECT count(*) FROM t WHERE k = 'n'"),
            "1",
            "{first}"
        );
        stage.is_free();
    }
}

#[test]
fn while_rows_are_written_nobody_brings_their_keys_again() {
    // Apply holds its lock while it waits for something else.
    let stage = Stage::new(
        &format!(
            "{}; CREATE TABLE u (k text PRIMARY KEY); INSERT INTO u VALUES ('a')",
            TABLE.replace(" PRIMARY KEY", "")
        ),
        "t: {natural_key: [k]}\nu: {natural_key: [k], depends_on: [t], conflict_resolution: skip}",
    );
    stage.deliver("b", &[("t/1.json", BATCH), ("u/1.json", r#"{"k": "new"}"#)]);
    stage.plan("b");
    let mut blocker = stage.connect();
    blocker
        .batch_execute("BEGIN; INSERT INTO u VALUES ('new')")
        .unwrap();
    let apply = start(&stage, &["b.json"]);
    waits(&stage);
    let mut other = stage.connect();
    other.batch_execute("SET lock_timeout = '300ms'").unwrap();
    let refused = other
        .batch_execute("INSERT INTO t VALUES ('n', 'theirs')")
        .unwrap_err();
    assert_eq!(refused.code().map(|c| c.code()), Some("55P03"), "{refused}");
    blocker.batch_execute("ROLLBACK").unwrap();
    end(apply).exits(0);
    assert_eq!(stage.one("SELECT count(*) FROM t WHERE k = 'n'"), "1");
}

#[test]
fn the_privilege_for_the_lock_is_named() {
    let stage = Stage::new(&TABLE.replace(" PRIMARY KEY", ""), CONFIG);
    stage.deliver("b", &[("t/1.json", r#"{"k": "n"}"#)]);
    stage.plan("b");
    stage.sql(
        "CREATE ROLE inserter LOGIN; GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO inserter; \
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO inserter; GRANT UPDATE ON validation_queue TO inserter",
    );
    stage.set("DATABASE_URL", &stage.url.replace("loader@", "inserter@"));
    let run = stage.loader(&["apply", "b.json", "--force"]).exits(1);
    run.says_all(&[
        "permission denied for table t",
        "UPDATE, DELETE or TRUNCATE",
    ]);
    stage.sql("DROP OWNED BY inserter; DROP ROLE inserter");
}
