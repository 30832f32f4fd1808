//! What others change between plan and apply: where it matters, apply refuses and names the row.

use serde_json::{Value, json};

use crate::support::{Plan, World, snapshot};

const SCHEMA: &str = "
CREATE TABLE t (id int PRIMARY KEY, v text, seen timestamptz);
CREATE TABLE kept (a text, b int, v text, PRIMARY KEY (a, b));
CREATE TABLE held (id int PRIMARY KEY, v text);
CREATE TABLE known (id int PRIMARY KEY, v text);
INSERT INTO t VALUES (1, 'old'), (2, 'same'), (9, 'not in the batch');
INSERT INTO kept VALUES ('k', 1, 'old');
INSERT INTO held VALUES (1, 'old');
";

const TABLES: &str = "
t: {natural_key: [id], ignore_drift: [seen]}
kept: {natural_key: [a, b], update_strategy: insert_only}
held: {natural_key: [id], conflict_resolution: skip}
known: {natural_key: [id], update_strategy: update_only}
";

/// A world with a plan that has each kind of entry that can drift.
fn planned() -> (World, Plan) {
    let world = World::new(SCHEMA, TABLES);
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "v": "new"}, {"id": 2, "v": "same"}, {"id": 3, "v": "third"}]"#,
    );
    world.deliver(
        "b",
        "kept/1.json",
        r#"{"data": {"a": "k", "b": 1, "v": "new"}}"#,
    );
    world.deliver("b", "held/1.json", r#"{"data": {"id": 1, "v": "new"}}"#);
    world.deliver("b", "known/1.json", r#"{"data": {"id": 1, "v": "new"}}"#);
    let plan = world.plan("b");
    let expected = [
        "= held id=1: conflict",
        "= kept a=k b=1: exists",
        "= known id=1: missing",
        r#"~ t id=1: v="old"→"new""#,
        "= t id=2: unchanged",
        r#"+ t id=3: v="third""#,
    ];
    assert_eq!(plan.lines(), expected);
    (world, plan)
}

/// After `sql`, apply and check must refuse and name exactly `row`.
#[track_caller]
fn refused_after(sql: &str, row: &Value) {
    let (world, plan) = planned();
    world.sql(sql);
    let check = world.writes_nothing(|| world.loader(&["check", plan.name(), "--json"]).exits(3));
    assert_eq!(check.json()["rows"], json!([row]), "{sql}");
    let rehearsal = world.writes_nothing(|| world.apply_with(&plan, &["--dry-run"]).exits(3));
    let key: Vec<String> = row["key"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(c, v)| format!("{c}={}", v.as_str().unwrap()))
        .collect();
    let line = format!(
        "{} {}: {} (planned: {}",
        row["table"].as_str().unwrap(),
        key.join(", "),
        row["state"].as_str().unwrap(),
        row["action"].as_str().unwrap()
    );
    rehearsal
        .says(&line)
        .says("1 row is not as the plan saw it");
    let run = world.writes_only_a_failure(|| {
        world
            .apply_with(&plan, &["--json", "--approve", &plan.hash()])
            .exits(3)
    });
    let refused = run.json();
    assert_eq!(refused["rows"], json!([row]), "{sql}");
    assert_eq!(
        (
            &refused["status"],
            &refused["reason"],
            &refused["exit_code"]
        ),
        (&json!("refused"), &json!("drift"), &json!(3))
    );
    let log = "SELECT batch_id, operation, table_name, records_affected, status, error_message FROM batch_load_log";
    let logged = world.value(log);
    assert!(
        logged.starts_with("b|load|all|0|failed|1 row is not"),
        "{logged}"
    );
    assert!(logged.contains(&line), "{logged}");
    // A new plan knows the new state, and can be applied.
    let plan = world.plan("b");
    world.check(&plan).ok().says("it would apply now, unless");
    world.apply(&plan).ok();
}

/// After `sql`, the plan is applied as if nothing had happened.
#[track_caller]
fn applied_after(sql: &str) -> World {
    let (world, plan) = planned();
    world.sql(sql);
    world.check(&plan).ok().says("it would apply now, unless");
    world
        .apply(&plan)
        .ok()
        .says("1 inserted, 1 updated, 0 deleted");
    world
}

#[test]
fn a_row_to_update_that_changed_is_drift() {
    let columns =
        json!([{"column": "v", "planned_from": "old", "now": "theirs", "planned_to": "new"}]);
    refused_after(
        "UPDATE t SET v = 'theirs' WHERE id = 1",
        &json!({"table": "t", "key": {"id": "1"}, "state": "changed", "action": "update", "columns": columns, "by": null}),
    );
}

#[test]
fn a_row_to_update_that_was_set_to_the_planned_value_is_drift_too() {
    let columns =
        json!([{"column": "v", "planned_from": "old", "now": "new", "planned_to": "new"}]);
    refused_after(
        "UPDATE t SET v = 'new' WHERE id = 1",
        &json!({"table": "t", "key": {"id": "1"}, "state": "changed", "action": "update", "columns": columns, "by": null}),
    );
}

#[test]
fn a_row_to_update_that_vanished_is_drift() {
    refused_after(
        "DELETE FROM t WHERE id = 1",
        &json!({"table": "t", "key": {"id": "1"}, "state": "vanished", "action": "update", "columns": [], "by": null}),
    );
}

#[test]
fn a_row_to_insert_that_appeared_is_drift() {
    let columns =
        json!([{"column": "v", "planned_from": null, "now": "theirs", "planned_to": "third"}]);
    refused_after(
        "INSERT INTO t VALUES (3, 'theirs')",
        &json!({"table": "t", "key": {"id": "3"}, "state": "appeared", "action": "insert", "columns": columns, "by": null}),
    );
}

#[test]
fn a_row_to_insert_that_appeared_exactly_as_planned_is_drift_too() {
    refused_after(
        "INSERT INTO t VALUES (3, 'third')",
        &json!({"table": "t", "key": {"id": "3"}, "state": "appeared", "action": "insert", "columns": [], "by": null}),
    );
}

#[test]
fn a_row_skipped_as_unchanged_that_changed_or_vanished_is_drift() {
    let row = |state| json!({"table": "t", "key": {"id": "2"}, "state": state, "action": "skip", "columns": [], "by": null});
    refused_after("UPDATE t SET v = 'theirs' WHERE id = 2", &row("changed"));
    refused_after("DELETE FROM t WHERE id = 2", &row("vanished"));
}

#[test]
fn a_row_skipped_because_it_exists_must_still_exist() {
    let row = |table, key| json!({"table": table, "key": key, "state": "vanished", "action": "skip", "columns": [], "by": null});
    refused_after(
        "DELETE FROM kept",
        &row("kept", json!({"a": "k", "b": "1"})),
    );
    refused_after("DELETE FROM held", &row("held", json!({"id": "1"})));
}

#[test]
fn a_row_skipped_because_it_is_missing_must_still_be_missing() {
    refused_after(
        "INSERT INTO known VALUES (1, 'theirs')",
        &json!({"table": "known", "key": {"id": "1"}, "state": "appeared", "action": "skip", "columns": [], "by": null}),
    );
}

#[test]
fn the_content_of_rows_skipped_by_strategy_does_not_matter() {
    let world = applied_after("UPDATE kept SET v = 'theirs'; UPDATE held SET v = 'theirs'");
    assert_eq!(world.rows("SELECT v FROM kept"), ["theirs"]);
}

#[test]
fn rows_that_the_plan_does_not_mention_do_not_matter() {
    let world = applied_after(
        "UPDATE t SET v = 'theirs' WHERE id = 9; INSERT INTO t VALUES (10, 'x'); INSERT INTO kept VALUES ('k', 2, 'x'); \
         DELETE FROM known; INSERT INTO known VALUES (2, 'x')",
    );
    assert_eq!(
        world.rows("SELECT id, v FROM t ORDER BY 1"),
        ["1|new", "2|same", "3|third", "9|theirs", "10|x"]
    );
}

#[test]
fn a_row_that_was_changed_and_changed_back_is_no_drift() {
    applied_after(
        "UPDATE t SET v = 'theirs'; UPDATE t SET v = CASE id WHEN 1 THEN 'old' WHEN 2 THEN 'same' ELSE 'x' END",
    );
    applied_after("DELETE FROM t WHERE id IN (1, 2); INSERT INTO t VALUES (2, 'same'), (1, 'old')");
}

#[test]
fn columns_whose_drift_is_ignored_do_not_matter_and_keep_their_new_value() {
    let world = applied_after("UPDATE t SET seen = '2024-06-01Z'");
    assert_eq!(
        world.rows("SELECT id, v, seen FROM t ORDER BY 1"),
        [
            "1|new|2024-06-01 00:00:00+00",
            "2|same|2024-06-01 00:00:00+00",
            "3|third|∅",
            "9|not in the batch|2024-06-01 00:00:00+00"
        ]
    );
}

/// What is computed from a column that may drift, drifts with it.
#[test]
fn what_the_database_computes_from_what_may_drift_may_drift() {
    let world = World::new(
        "CREATE TABLE p (code text PRIMARY KEY, price int, stock int, worth int GENERATED ALWAYS AS (price * stock) STORED, note text)",
        "p: {natural_key: [code], ignore_drift: [stock]}",
    );
    world.deliver(
        "a",
        "p/1.csv",
        "code,price,stock,note\nA,1,10,x\nB,2,20,x\n",
    );
    world.apply(&world.plan("a")).ok();
    world.deliver("b", "p/1.csv", "code,note\nA,y\n");
    let plan = world.plan("b");
    world.sql("UPDATE p SET stock = 11 WHERE code = 'A'");
    world.loader(&["check", plan.name()]).exits(0);
    world.apply(&plan).ok();
    world.sql("UPDATE p SET stock = 12 WHERE code = 'A'");
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(
        world.rows("SELECT * FROM p ORDER BY 1"),
        ["A|1|12|12|x", "B|2|20|40|x"]
    );
    world
        .loader(&["rollback", "--batch-id", "a", "--force"])
        .ok();
    assert_eq!(world.rows("SELECT * FROM p"), [""; 0]);
}

/// What apply overwrites is what the plan shows, whatever may drift beside it.
#[test]
fn a_value_that_an_update_overwrites_must_be_as_planned_though_its_column_may_drift() {
    for soft in ["", ", soft_delete: gone"] {
        let world = World::new(
            "CREATE TABLE t (id int PRIMARY KEY, x text, y text, gone date); \
             INSERT INTO t VALUES (1, 'old', 'y'), (2, NULL, 'y'), (3, 'same', 'y')",
            &format!("t: {{natural_key: [id], ignore_drift: [x, y]{soft}}}"),
        );
        world.deliver(
            "b",
            "t/1.json",
            r#"[{"id": 1, "x": "new"}, {"id": 2, "x": "new"}, {"id": 3, "x": "same"}]"#,
        );
        let plan = world.plan("b");
        for format in ["text", "markdown", "html"] {
            let shown = world.show(&plan, &["--format", format]);
            let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(
                shown.contains("others may have changed x, y"),
                "{format}: {shown}"
            );
        }
        world.sql("UPDATE t SET x = 'theirs' WHERE id <> 1; UPDATE t SET y = 'theirs'");
        let check = world.loader(&["check", plan.name(), "--json"]).exits(3);
        let columns =
            json!([{"column": "x", "planned_from": null, "now": "theirs", "planned_to": "new"}]);
        let row = json!({"table": "t", "key": {"id": "2"}, "state": "changed", "action": "update", "columns": columns, "by": null});
        assert_eq!(check.json()["rows"], json!([row]), "{soft}");
        world.writes_only_a_failure(|| world.apply(&plan).exits(3));
        world.sql("UPDATE t SET x = NULL WHERE id = 2");
        world.apply(&plan).ok();
        assert_eq!(
            world.rows("SELECT id, x, y FROM t ORDER BY 1"),
            ["1|new|theirs", "2|new|theirs", "3|theirs|theirs"]
        );
        // A rollback overwrites no less: what was set after it was planned, too.
        world
            .loader(&["rollback", "--batch-id", "b", "--out", "undo.json"])
            .ok();
        world.sql("UPDATE t SET x = 'later' WHERE id = 1");
        let undo = ["apply", "undo.json", "--force"];
        world.writes_only_a_failure(|| world.loader(&undo).exits(3).says("later"));
        world
            .loader(&["rollback", "--batch-id", "b", "--force"])
            .ok();
        assert_eq!(
            world.rows("SELECT id, x FROM t ORDER BY 1"),
            ["1|later", "2|∅", "3|theirs"]
        );
    }
}

#[test]
fn every_drifted_row_is_named_with_whom_the_audit_log_blames() {
    let (world, plan) = planned();
    // Somebody else's batch, loaded by this loader, changes two rows; a third goes by hand.
    world.deliver(
        "other",
        "t/1.json",
        r#"[{"id": 1, "v": "theirs\u001b[31m"}, {"id": 3, "v": "3rd"}]"#,
    );
    world.set("LOADER_ACTOR", "a colleague");
    let other = world.plan("other");
    world.apply(&other).ok();
    world.set("LOADER_ACTOR", "curator");
    world.sql("UPDATE audit_log SET changed_at = '2024-01-15Z'; DELETE FROM kept; DELETE FROM t WHERE id = 2");
    // How long the steps take differs from run to run.
    world.set("LOG_LEVEL", "warning");
    let refused = world.writes_only_a_failure(|| world.apply(&plan).exits(3));
    snapshot("drift", &refused.stderr, &world, &plan);
    // The same for whoever must decide, where a report is asked for.
    for (format, begins) in [
        ("text", "Load of batch "),
        ("markdown", "<!-- table-loader drift sha256:"),
        ("html", "<!DOCTYPE html>"),
    ] {
        let check = world
            .loader(&["check", plan.name(), "--report", format])
            .exits(3);
        assert!(check.stdout.starts_with(begins), "{}", check.stdout);
        for said in ["a colleague", "theirs\\u{1b}[31m", "planned"] {
            assert!(
                check.stdout.contains(said) || format == "markdown",
                "{said}: {}",
                check.stdout
            );
        }
        assert_eq!(
            check.stderr,
            "loader: 4 rows are not as the plan saw them; nothing was written\n"
        );
    }
    world.sql("UPDATE t SET v = 'by hand' WHERE id = 1");
    let refused = world
        .loader(&["rollback", "--batch-id", "other", "--report", "text"])
        .exits(3);
    assert!(
        refused.stdout.contains("not as the load left"),
        "{}",
        refused.stdout
    );
}

#[test]
fn a_plan_that_lost_the_race_leaves_the_winner_alone() {
    // The row appears while apply waits for it: an uncommitted insert of the same key.
    let (world, plan) = planned();
    let mut rival = world.connect();
    rival
        .batch_execute("BEGIN; INSERT INTO t VALUES (3, 'rival')")
        .unwrap();
    let child = world.spawn(&["apply", plan.name(), "--force", "--json"]);
    world.wait_for("SELECT 1 FROM pg_stat_activity WHERE application_name = 'table-loader' AND wait_event_type = 'Lock'");
    rival.batch_execute("COMMIT").unwrap();
    let run = child.finish().exits(3).json();
    assert_eq!(run["rows"][0]["key"], json!({"id": "3"}));
    assert_eq!(run["rows"][0]["state"], "appeared");
    assert_eq!(
        world.rows("SELECT id, v FROM t ORDER BY 1"),
        ["1|old", "2|same", "3|rival", "9|not in the batch"]
    );

    // And an uncommitted update of a row that the plan updates.
    let (world, plan) = planned();
    let mut rival = world.connect();
    rival
        .batch_execute("BEGIN; UPDATE t SET v = 'rival' WHERE id = 1")
        .unwrap();
    let child = world.spawn(&["apply", plan.name(), "--force", "--json"]);
    world.wait_for("SELECT 1 FROM pg_stat_activity WHERE application_name = 'table-loader' AND wait_event_type = 'Lock'");
    rival.batch_execute("COMMIT").unwrap();
    let run = child.finish().exits(3).json();
    assert_eq!(run["rows"][0]["columns"][0]["now"], "rival");
    assert_eq!(world.rows("SELECT v FROM t WHERE id IN (1, 3)"), ["rival"]);

    // A rival that rolls back has not been there.
    let (world, plan) = planned();
    let mut rival = world.connect();
    rival
        .batch_execute(
            "BEGIN; UPDATE t SET v = 'rival' WHERE id = 1; INSERT INTO t VALUES (3, 'rival')",
        )
        .unwrap();
    let child = world.spawn(&["apply", plan.name(), "--force"]);
    world.wait_for("SELECT 1 FROM pg_stat_activity WHERE application_name = 'table-loader' AND wait_event_type = 'Lock'");
    rival.batch_execute("ROLLBACK").unwrap();
    child.finish().ok();
    assert_eq!(
        world.rows("SELECT v FROM t WHERE id IN (1, 3) ORDER BY id"),
        ["new", "third"]
    );
}

#[test]
fn a_lock_that_somebody_holds_is_waited_for_no_longer_than_told() {
    let (world, plan) = planned();
    let mut rival = world.connect();
    rival
        .batch_execute("BEGIN; UPDATE t SET v = 'rival' WHERE id = 1")
        .unwrap();
    world
        .apply_with(&plan, &["--force", "--lock-timeout", "1"])
        .exits(7)
        .says("locking the rows of table t");
    rival.batch_execute("ROLLBACK").unwrap();
    world.apply(&plan).ok();
}

/// More than are asked for at once, of every state, and what differs is another column in each.
#[test]
fn of_many_rows_that_drifted_each_is_told_with_who_changed_it() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text, w text); \
         INSERT INTO t SELECT n, 'old', 'old' FROM generate_series(1, 2100) n",
        "t: {natural_key: [id]}",
    );
    let batch = |id: &str, value: &str, ids: std::ops::RangeInclusive<u32>| {
        let field = |n: u32| if n.is_multiple_of(2) { "v" } else { "w" };
        let records = ids.map(|n| format!("{{\"id\": {n}, \"{}\": \"{value}\"}}\n", field(n)));
        world.put(id, "t.ndjson", records.collect::<String>());
    };
    world.set("LOADER_QUEUE", "off");
    batch("mine", "mine", 1..=2200);
    batch("theirs", "theirs", 1..=2150);
    let plan = world.plan("mine");
    world.apply(&world.plan("theirs")).ok();
    world.sql("UPDATE t SET v = 'by hand', w = 'by hand' WHERE id = 7; DELETE FROM t WHERE id = 8");
    let refused = world
        .apply_with(&plan, &["--force", "--json"])
        .exits(3)
        .json();
    let rows = refused["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2150);
    for row in rows {
        let id: u32 = row["key"]["id"].as_str().unwrap().parse().unwrap();
        let (state, by) = (&row["state"], row["by"].as_str());
        let column = if id.is_multiple_of(2) { "v" } else { "w" };
        let now = row["columns"].as_array().unwrap().iter();
        let now = now.map(|c| (c["column"].as_str().unwrap(), c["now"].as_str().unwrap()));
        let now: Vec<_> = now.collect();
        match id {
            7 => assert_eq!((now, by), (vec![("w", "by hand")], None), "{row}"),
            8 => assert_eq!(
                (now, by, state),
                (vec![], None, &json!("vanished")),
                "{row}"
            ),
            _ => {
                assert_eq!(now[0], (column, "theirs"), "{row}");
                assert_eq!(now.len(), 1, "{row}");
                assert!(by.unwrap().ends_with("(batch theirs)"), "{row}");
                let appeared = if id > 2100 { "appeared" } else { "changed" };
                assert_eq!(state, appeared, "{row}");
            }
        }
    }
}

/// A refusal has to be read by people, and must not need the memory of all that was loaded.
#[test]
fn a_refused_rollback_names_the_first_rows_and_counts_the_rest() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "t: {natural_key: [id]}",
    );
    world.set("LOADER_QUEUE", "off");
    world.set("MAX_RECORDS_PER_BATCH", "20000");
    let records = (10_001..=20_002).map(|id| format!("{{\"id\": {id}, \"v\": \"a\"}}\n"));
    world.put("b", "t.ndjson", records.collect::<String>());
    world.apply(&world.plan("b")).ok();
    world.sql("UPDATE t SET v = 'b' WHERE id > 10001; DELETE FROM t WHERE id = 10001");
    let refused = world.writes_nothing(|| {
        let rollback = ["rollback", "--batch-id", "b", "--report", "text"];
        world.loader(&rollback).exits(3)
    });
    let refused = refused.says("10002 rows are not as the load left them");
    let refused = refused.says("… and 2 more rows, which are not named here");
    let named = |id: &str| refused.stdout.contains(id);
    assert!(named("10001") && named("20000"), "{}", refused.stdout);
    assert!(!named("20001") && !named("20002"), "{}", refused.stdout);
}

#[test]
fn a_parent_that_somebody_deleted_is_drift() {
    let world = World::new(
        "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p); \
         INSERT INTO p VALUES (1), (2); INSERT INTO c VALUES (7, 1)",
        "c: {natural_key: [id]}",
    );
    world.deliver("b", "c/1.json", r#"[{"id": 7, "p": 2}, {"id": 8, "p": 2}]"#);
    let plan = world.plan("b");
    world.sql("DELETE FROM p WHERE id = 2");
    world.writes_only_a_failure(|| {
        let refused = world.apply_with(&plan, &["--force", "--json"]).exits(3);
        assert_eq!(refused.json()["reason"], "drift");
        refused
            .says("is not present in table")
            .says("nothing was written");
    });
    // A report tells it too, but where the one object is asked for.
    for (format, begins) in [
        ("text", "Load of batch b\n"),
        ("markdown", "<!-- table-loader drift sha256:"),
        ("html", "<!DOCTYPE html>"),
    ] {
        let report = ["--force", "--report", format];
        let refused = world.apply_with(&plan, &report).exits(3);
        let told = refused.stdout.split_whitespace().collect::<Vec<_>>();
        let told = told.join(" ");
        assert!(refused.stdout.starts_with(begins), "{told}");
        assert!(told.contains("is not present in table"), "{told}");
        assert!(refused.stderr.contains("is not present in table"));
        let both = [&report[..], &["--json"]].concat();
        let refused = world.apply_with(&plan, &both).exits(3);
        assert_eq!(refused.json()["reason"], "drift");
    }
    world.sql("UPDATE c SET p = NULL");
    let both = ["--force", "--report", "text", "--json"];
    let refused = world.apply_with(&plan, &both).exits(3);
    assert_eq!(refused.json()["rows"][0]["state"], "changed");
    world.sql("UPDATE c SET p = 1");
    world.sql("INSERT INTO p VALUES (2)");
    world.apply(&plan).ok();
}

#[test]
fn a_unique_value_that_another_row_took_since_is_drift() {
    for unique in [
        "UNIQUE (code)",
        "UNIQUE (code) DEFERRABLE INITIALLY DEFERRED",
        "EXCLUDE (code WITH =)",
    ] {
        let world = World::new(
            &format!(
                "CREATE TABLE t (id int PRIMARY KEY, code int, {unique}); INSERT INTO t VALUES (1, 1)"
            ),
            "t: {natural_key: [id]}",
        );
        world.deliver(
            "b",
            "t/1.json",
            r#"[{"id": 1, "code": 37}, {"id": 2, "code": 38}]"#,
        );
        let plan = world.plan("b");
        for code in [37, 38] {
            world.sql(&format!("INSERT INTO t VALUES (9, {code})"));
            let run = world.writes_only_a_failure(|| world.apply(&plan).exits(3));
            run.says("since the plan was made").says("make a new plan");
            world.sql("DELETE FROM t WHERE id = 9");
        }
        world.apply(&plan).ok();
    }
}

/// Where no index makes a key unique, a second row with it that came since the plan is drift.
#[test]
fn a_second_row_with_a_key_is_drift() {
    for (second, change) in [
        ("(1, 'dup')", r#"{"id": 1, "v": "u"}"#),
        ("(1, 'x')", r#"{"id": 1, "v": "u"}"#),
        ("(1, 'u')", r#"{"id": 1, "v": "u"}"#),
        ("(1, 'dup')", r#"{"op": "delete", "data": {"id": 1}}"#),
    ] {
        let world = World::new(
            "CREATE TABLE t (id int, v text); INSERT INTO t VALUES (1, 'x')",
            "t: {natural_key: [id], limits: {delete: 5}}",
        );
        world.deliver("b", "t/1.json", change);
        let plan = world.plan("b");
        world.sql(&format!("INSERT INTO t VALUES {second}"));
        world
            .writes_only_a_failure(|| world.apply(&plan).exits(3))
            .says("further rows with the natural key")
            .says("1; nothing was written");
    }
}

/// What others took away is loaded again by who names the application.
#[test]
fn a_plan_whose_rows_others_took_away_is_applied_once_more() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (2, 'old')",
        "t: {natural_key: [id]}",
    );
    world.set("LOADER_QUEUE", "off");
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "v": "b"}, {"id": 2, "v": "b"}]"#,
    );
    let plan = world.plan("b");
    world.apply(&plan).ok();
    let application = &world.rows("SELECT application FROM loader_ledger")[0];
    world
        .apply(&plan)
        .ok()
        .says("Applied already")
        .says(&format!("`--again {application}` applies it once more"));
    // Its rows are there: they are not as the plan saw them.
    world
        .apply_with(&plan, &["--again", application, "--approve", &plan.hash()])
        .exits(3);
    world.sql("DELETE FROM t WHERE id = 1; UPDATE t SET v = 'old'");
    world
        .apply_with(&plan, &["--again", application, "--approve", &plan.hash()])
        .ok()
        .says("1 inserted, 1 updated");
    assert_eq!(world.rows("SELECT id, v FROM t ORDER BY 1"), ["1|b", "2|b"]);
}

/// That a row was marked as deleted since is told, though the plan does not speak of the mark.
#[test]
fn a_row_that_was_marked_since_is_told_to_be() {
    for (column, mark, told) in [
        (
            "gone timestamptz",
            "timestamptz '2024-05-01 00:00+00'",
            "now \"2024-05-01 00:00:00+00\"",
        ),
        ("gone bool NOT NULL DEFAULT false", "true", "now \"t\""),
    ] {
        let world = World::new(
            &format!(
                "CREATE TABLE t (id int PRIMARY KEY, v text, {column}); INSERT INTO t VALUES (1, 'a'), (2, 'b')"
            ),
            "t: {natural_key: [id], soft_delete: gone}",
        );
        world.deliver("b", "t/1.csv", "id,v\n1,x\n2,b\n");
        let plan = world.plan("b");
        world.sql(&format!("UPDATE t SET gone = {mark}"));
        world
            .apply(&plan)
            .exits(3)
            .says("t id=1: changed (planned: update)")
            .says("t id=2: changed (planned: skip)")
            .says(&format!("\n    gone: {told}"));
        // Of a row whose other columns changed, the mark is not told.
        world.sql("UPDATE t SET gone = DEFAULT, v = 'else'");
        let run = world.apply(&plan).exits(3);
        assert!(!run.stderr.contains("gone"), "{}", run.stderr);
    }
}
