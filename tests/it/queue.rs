//! The validator's queue has a say.

use crate::support::World;

fn world() -> World {
    World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY)",
        "t: {natural_key: [id]}\nu: {natural_key: [id]}",
    )
}

#[test]
fn a_batch_without_entries_is_refused_unless_there_is_no_queue() {
    let world = world();
    world.put("b", "t/1.json", r#"{"id": 1}"#);
    world.deliver("other", "t/1.json", r#"{"id": 1}"#);
    world
        .try_plan("b", &[])
        .exits(4)
        .says("has no entries for batch b")
        .says("--queue off");
    let plan = world.plan_with("b", &["--queue", "off"]);
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT batch_id, status FROM validation_queue"),
        ["other|pending"]
    );
    world.set("LOADER_QUEUE", "off");
    assert_eq!(world.plan("b").lines(), ["= t id=1: unchanged"]);
}

#[test]
fn a_fragment_that_the_validator_refused_stops_the_batch() {
    let world = world();
    world.deliver("b", "t/1.json", r#"{"id": 1}"#);
    world.deliver("b", "t/2.json", r#"{"id": 2}"#);
    world.sql("UPDATE validation_queue SET status = 'failed', error_message = 'birth year in the future' WHERE s3_key LIKE '%2.json'");
    let run = world.try_plan("b", &[]).exits(4);
    run.says("1 fragment failed validation")
        .says("staging/b/t/2.json: birth year in the future");
    assert_eq!(world.plan_with("b", &["--queue", "off"]).count("insert"), 2);
}

#[test]
fn a_verdict_that_comes_behind_the_plan_is_drift() {
    let world = world();
    world.deliver("b", "t/1.json", r#"{"id": 1}"#);
    let plan = world.plan("b");
    // Another fragment, and what is to come, are none of this plan's.
    world.sql("INSERT INTO validation_queue (batch_id, table_name, s3_key, status) VALUES ('b', 't', 'staging/b/t/2.json', 'pending')");
    world.check(&plan).ok();
    for status in ["failed", "in_review"] {
        world.sql(&format!(
            "INSERT INTO validation_queue (batch_id, table_name, s3_key, status) VALUES ('b', 't', 'staging/b/t/1.json', '{status}')"
        ));
        let refused = world.apply_with(&plan, &["--force"]).exits(3);
        refused.says("validation_queue").says(status);
        assert!(world.rows("SELECT id FROM t").is_empty());
        world.sql(&format!(
            "DELETE FROM validation_queue WHERE status = '{status}'"
        ));
    }
    world.apply(&plan).ok();
}

#[test]
fn objects_and_entries_must_match() {
    let world = world();
    world.deliver("b", "t/1.json", r#"{"id": 1}"#);
    world.put("b", "t/2.json", r#"{"id": 2}"#);
    world.sql("INSERT INTO validation_queue (batch_id, table_name, s3_key) VALUES ('b', 't', 'staging/b/t/gone.json')");
    let plan = world.plan("b");
    let entries = plan.entries();
    let problems: Vec<_> = entries
        .iter()
        .filter(|e| e["action"] == "violation")
        .collect();
    assert_eq!(problems.len(), 2, "{entries:?}");
    assert_eq!(
        (&problems[0]["kind"], &problems[0]["from"][0]),
        (&"not_queued".into(), &"staging/b/t/2.json".into())
    );
    assert_eq!(
        (&problems[1]["kind"], &problems[1]["from"][0]),
        (&"missing_object".into(), &"staging/b/t/gone.json".into())
    );
    assert_eq!(plan.json()["header"]["blocking"], 2);
    world.writes_nothing(|| world.apply_with(&plan, &["--force"]).exits(4));
    // Entries of a table of which the batch has no object at all.
    world.sql("INSERT INTO validation_queue (batch_id, table_name, s3_key) VALUES ('b', 'u', 'staging/b/u/1.json')");
    world
        .try_plan("b", &[])
        .exits(4)
        .says("staging/b/u/1.json (table u)");
}

#[test]
fn a_plan_that_only_settles_the_queue_is_applied() {
    let world = world();
    world.sql("INSERT INTO t VALUES (1, NULL)");
    world.deliver("b", "t/1.json", r#"{"id": 1}"#);
    let plan = world.plan("b");
    assert_eq!(plan.lines(), ["= t id=1: unchanged"]);
    world.write("plans/b.json", &plan.text);
    // A plan is no schema, whatever its batch is called.
    world.write("plans/new.schema.json", &plan.text);
    world.write("plans/plan.schema.json", "{}");
    let both = "plans/b.json\nplans/new.schema.json\n";
    assert_eq!(world.loader(&["pending"]).ok().stdout, both);
    world
        .apply_with(&plan, &[])
        .ok()
        .says("Applied: 0 inserted");
    assert_eq!(
        world.rows("SELECT status FROM validation_queue"),
        ["loaded"]
    );
    assert_eq!(world.loader(&["pending"]).ok().stdout, "");
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(
        world.rows("SELECT status FROM validation_queue"),
        ["pending"]
    );
    world.sql("DELETE FROM validation_queue");
    world.apply_with(&plan, &["--force", "--dry-run"]).exits(3);
}

#[test]
fn entries_are_found_by_key_by_address_or_by_fragment_id() {
    let world = world();
    world.put("b", "t/1.json", r#"{"id": 1}"#);
    world.put("b", "t/2.json", r#"{"id": 2}"#);
    world.put(
        "b",
        "t/3.json",
        r#"{"fragment_id": "f3", "data": {"id": 3}}"#,
    );
    world.put("b", "t/4.json", r#"{"id": 4}"#);
    world.sql(
        "INSERT INTO validation_queue (batch_id, table_name, s3_key, fragment_id) VALUES ('b', 't', 'staging/b/t/1.json', 'f3'), \
         ('b', 't', 's3://fragments/staging/b/t/2.json', NULL), ('b', 't', NULL, 'f3'), ('b', 't', 'staging/b/t/4.json', 'x'), \
         ('b', 't', 'staging/b/t/4.json', 'y'), ('c', 't', 'staging/b/t/1.json', NULL)",
    );
    let plan = world.plan("b");
    assert_eq!(plan.count("violation"), 0, "{:?}", plan.lines());
    world.apply(&plan).ok();
    assert_eq!(
        world.rows(
            "SELECT batch_id, status, count(*) FROM validation_queue GROUP BY 1, 2 ORDER BY 1"
        ),
        ["b|loaded|5", "c|pending|1"]
    );
}

#[test]
fn only_entries_of_the_plans_own_fragments_change() {
    let world = world();
    world.deliver("b", "t/1.json", r#"{"id": 1}"#);
    world.deliver("b", "u/1.json", r#"{"id": 1}"#);
    let plan = world.plan_with("b", &["--table-name", "t"]);
    // An entry that comes after the plan is not the plan's.
    world.sql("INSERT INTO validation_queue (batch_id, table_name, s3_key) VALUES ('b', 't', 'staging/b/t/later.json')");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT s3_key, status FROM validation_queue ORDER BY 1"),
        [
            "staging/b/t/1.json|loaded",
            "staging/b/t/later.json|pending",
            "staging/b/u/1.json|pending"
        ]
    );
}

#[test]
fn any_change_of_an_entry_since_the_plan_is_drift() {
    for (change, now) in [
        (
            "UPDATE validation_queue SET status = 'failed', error_message = 'wrong'",
            "plan saw \"pending\", now \"failed\"",
        ),
        (
            "UPDATE validation_queue SET error_message = 'wrong'",
            ": changed, in columns",
        ),
        (
            "UPDATE validation_queue SET validated_data = '{}'",
            ": changed, in columns",
        ),
        (
            "UPDATE validation_queue SET table_name = 'u'",
            ": changed, in columns",
        ),
        (
            "UPDATE validation_queue SET status = 'loaded'",
            "now \"loaded\"",
        ),
        ("DELETE FROM validation_queue", ": vanished"),
    ] {
        let world = world();
        world.deliver("b", "t/1.json", r#"{"id": 1}"#);
        let plan = world.plan("b");
        world.check(&plan).ok();
        world.sql(change);
        let refused = world.writes_only_a_failure(|| world.apply(&plan).exits(3));
        refused.says("validation_queue").says(now);
        world.check(&plan).exits(3).says(now);
        world.writes_nothing(|| world.apply_with(&plan, &["--dry-run"]).exits(3));
    }
}

#[test]
fn a_verdict_that_comes_while_apply_waits_is_not_overwritten() {
    let world = world();
    world.deliver("b", "t/1.json", r#"{"id": 1}"#);
    let plan = world.plan("b");
    let mut validator = world.connect();
    validator
        .batch_execute(
            "BEGIN; UPDATE validation_queue SET status = 'failed', error_message = 'wrong'",
        )
        .unwrap();
    let apply = world.spawn(&["apply", plan.name(), "--approve", &plan.hash()]);
    world.wait_for(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'table-loader' \
         AND wait_event_type = 'Lock'",
    );
    validator.batch_execute("COMMIT").unwrap();
    apply.finish().exits(3).says("now \"failed\"");
    assert_eq!(
        world.rows("SELECT status, error_message FROM validation_queue"),
        ["failed|wrong"]
    );
    assert_eq!(world.rows("SELECT id FROM t"), [""; 0]);
}

#[test]
fn what_the_plan_says_of_an_entry_must_be_so() {
    let world = world();
    world.deliver("b", "t/1.json", r#"{"id": 1}"#);
    world.sql("UPDATE validation_queue SET status = 'loaded'");
    let plan = world.plan("b");
    let made = plan.forged(
        |_| {},
        |fragment| fragment.queue[0].status = "pending".into(),
        |_| {},
    );
    world.writes_only_a_failure(|| {
        world
            .apply(&made)
            .exits(3)
            .says("plan saw \"pending\", now \"loaded\"")
    });
}

#[test]
fn only_statuses_that_are_known_are_loaded() {
    for status in ["rejected", "invalid", "validating", "skipped", "Failed", ""] {
        let world = world();
        world.deliver("b", "t/1.json", r#"{"id": 1}"#);
        world.deliver("b", "t/2.json", r#"{"id": 2}"#);
        world.sql(&format!(
            "UPDATE validation_queue SET status = '{status}' WHERE s3_key LIKE '%2.json'"
        ));
        let run = world.try_plan("b", &[]).exits(4);
        run.says("1 fragment is")
            .says(status)
            .says("staging/b/t/2.json");
    }
}

#[test]
fn an_entry_for_another_table_than_the_object_is_none() {
    let world = world();
    world.deliver("b", "t/1.json", r#"{"id": 1}"#);
    world.deliver("b", "u/1.json", r#"{"id": 1}"#);
    world.sql("UPDATE validation_queue SET table_name = 'u' WHERE s3_key LIKE '%/t/%'");
    let plan = world.plan("b");
    assert_eq!(plan.news()[0], "! t: not_queued block");
    assert!(
        plan.text.contains("in the validation queue is for table u"),
        "{}",
        plan.text
    );
    world.writes_nothing(|| world.apply(&plan).exits(4));
}

#[test]
fn what_our_own_apply_loaded_or_failed_does_not_stand_in_the_way() {
    let world = world();
    world.configure("t: {natural_key: [id], on_invalid: reject}\nu: {natural_key: [id]}");
    world.deliver("b", "t/1.json", r#"[{"id": 1}, {"id": "x"}]"#);
    let plan = world.plan("b");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT status FROM validation_queue"),
        ["failed"]
    );
    world.deliver("b", "t/1.json", r#"[{"id": 1}, {"id": 2}]"#);
    let plan = world.plan("b");
    assert_eq!(plan.lines(), ["= t id=1: unchanged", "+ t id=2"]);
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT status, error_message FROM validation_queue"),
        ["loaded|∅"]
    );
    assert_eq!(world.plan("b").lines().len(), 2);
}

#[test]
fn what_a_validator_says_after_a_load_counts() {
    let world = world();
    world.configure("t: {natural_key: [id], on_invalid: reject}\nu: {natural_key: [id]}");
    world.deliver("b", "t/1.json", r#"[{"id": 1}, {"id": "x"}]"#);
    world.deliver("b", "t/2.json", r#"{"id": 2}"#);
    world.apply(&world.plan("b")).ok();
    let states = "SELECT status FROM validation_queue ORDER BY s3_key";
    assert_eq!(world.rows(states), ["failed", "loaded"]);
    // It knows nothing of the column `application`.
    for (of, set) in [
        ("1", "error_message = 'row 2 is damaged'"),
        (
            "2",
            "status = 'failed', loaded_at = NULL, error_message = 'row 2 is damaged'",
        ),
        (
            "2",
            "status = 'checking', error_message = 'row 2 is damaged'",
        ),
    ] {
        world.sql(&format!(
            "BEGIN; CREATE TABLE IF NOT EXISTS seen AS SELECT * FROM validation_queue; \
             UPDATE validation_queue SET {set} WHERE s3_key LIKE '%{of}.json'; COMMIT"
        ));
        let refused = world.loader(&["plan", "--batch-id", "b"]).exits(4);
        refused.says("row 2 is damaged");
        if set.contains("failed") || of == "1" {
            world.loader(&["batches"]).ok().says("failed validation");
        }
        world.sql(
            "UPDATE validation_queue q SET status = s.status, loaded_at = s.loaded_at, error_message = s.error_message \
             FROM seen s WHERE s.id = q.id",
        );
        world.loader(&["batches"]).ok().says("partly loaded");
        world.plan("b");
    }
}

#[test]
fn an_entry_is_that_of_one_object() {
    let world = world();
    world.deliver(
        "b",
        "t/1.json",
        r#"{"fragment_id": "f", "data": {"id": 1}}"#,
    );
    world.deliver(
        "b",
        "t/2.json",
        r#"{"fragment_id": "f", "data": {"id": 2}}"#,
    );
    world.sql("DELETE FROM validation_queue");
    world.sql(
        "INSERT INTO validation_queue (table_name, fragment_id, batch_id) VALUES ('t', 'f', 'b')",
    );
    let plan = world.plan("b");
    let claims = plan.lines();
    let claims = claims.iter().filter(|line| line.contains("not_queued"));
    assert_eq!(claims.count(), 2, "{}", plan.text);
    assert!(plan.text.contains("is that of 2 objects"), "{}", plan.text);
    world.writes_nothing(|| world.apply(&plan).exits(4));
}

#[test]
fn an_entry_that_cannot_be_put_back_fails_the_rollback() {
    let world = world();
    world.deliver("b", "t/1.json", r#"{"id": 1}"#);
    world.apply(&world.plan("b")).ok();
    world.sql(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
         CREATE TRIGGER keep BEFORE UPDATE ON validation_queue FOR EACH ROW EXECUTE FUNCTION keep()",
    );
    let back = ["rollback", "--batch-id", "b", "--force"];
    world.writes_only_a_failure(|| {
        let run = world.loader(&back).exits(1);
        run.says("restoring the validation queue")
    });
    world.sql("DROP TRIGGER keep ON validation_queue");
    // What somebody else set since is theirs, and stays.
    world.sql("UPDATE validation_queue SET status = 'archived'");
    world.loader(&back).ok();
    assert_eq!(
        world.rows("SELECT status FROM validation_queue"),
        ["archived"]
    );
    assert_eq!(world.rows("SELECT count(*) FROM t"), ["0"]);
}

/// A plan that would change nothing and cannot be applied either is not done with.
#[test]
fn a_plan_that_is_blocked_is_pending() {
    let world = world();
    world.set("LOADER_QUEUE", "off");
    world.put("b", "t/1.json", r#"{"id": "x"}"#);
    let plan = world.plan("b");
    world.write("plans/b.json", &plan.text);
    assert_eq!(world.loader(&["pending"]).ok().stdout, "plans/b.json\n");
}

/// Without the queue, apply has nothing to write of records that are left out.
#[test]
fn a_plan_of_records_that_are_left_out_or_unchanged_is_not_pending() {
    let world = world();
    world.configure("t: {natural_key: [id], on_invalid: reject}");
    world.set("LOADER_QUEUE", "off");
    world.put("b", "t/1.json", r#"{"id": "x"}"#);
    let plan = world.plan("b");
    world.write("plans/b.json", &plan.text);
    world.apply(&plan).ok().says("There is nothing to apply");
    assert_eq!(world.loader(&["pending"]).ok().stdout, "");
}

/// Where no row changes, the queue may still wait for the verdicts that an apply sets.
#[test]
fn a_plan_that_only_sets_verdicts_is_one_to_apply() {
    let world = world();
    world.deliver("b", "t/1.json", r#"{"id": 1}"#);
    world.apply(&world.plan("b")).ok();
    world.deliver("c", "t/1.json", r#"{"id": 1}"#);
    let plan = [
        "plan",
        "--batch-id",
        "c",
        "--out",
        "c.json",
        "--detailed-exitcode",
    ];
    let run = world.loader(&plan).exits(2);
    run.says("No row changes; applying it sets 1 entry of the queue.")
        .says("then: loader apply c.json --approve sha256:")
        .omits("There is nothing to apply");
    world.loader(&["apply", "c.json", "--force"]).ok();
    world
        .loader(&plan)
        .exits(0)
        .says("There is nothing to apply");
}

/// Notes are not in the hash: whatever they hold, a plan is shown.
#[test]
fn notes_that_are_nested_deeply_are_told_as_unreadable() {
    let world = world();
    world.set("LOADER_QUEUE", "off");
    world.put("b", "t/1.json", r#"{"id": 1}"#);
    let text = world.plan_with("b", &["--rehearse"]).text;
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let noted = text.replacen("\"notes\": {", &format!("\"notes\": {{\"x\": {deep}, "), 1);
    let noted = noted.replacen("\"notes\":{", &format!("\"notes\":{{\"x\":{deep},"), 1);
    assert_ne!(noted, text);
    world.write("deep.json", noted);
    let told = world.loader(&["show", "deep.json", "--json"]).ok().json();
    assert!(told["notes"]["unreadable"].is_string(), "{told}");
}
