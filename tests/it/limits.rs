//! Limits against accidents, and rehearsals.

use crate::support::World;

const SCHEMA: &str = "
CREATE TABLE t (id int PRIMARY KEY, v text);
INSERT INTO t SELECT i, 'old' FROM generate_series(1, 20) i;
CREATE TABLE u (id int PRIMARY KEY);
";

/// Plans five inserts and four updates of `t`, whose twenty rows make 10% two of them.
fn world(limits: &str) -> World {
    let world = World::new(
        SCHEMA,
        &format!("t: {{natural_key: [id], limits: {{{limits}}}}}\nu: {{natural_key: [id]}}"),
    );
    let row = |i: u32| format!("{{\"id\": {i}, \"v\": \"new\"}}\n");
    let rows: String = (1..=4).chain(21..=25).map(row).collect();
    world.deliver("b", "t.ndjson", rows);
    world
}

#[test]
fn a_plan_above_a_limit_is_blocked_and_names_the_flag_that_allows_it() {
    let world = world("insert: 4, update: 10%, delete: 0");
    let plan = world.plan("b");
    assert!(plan.stderr.contains("it exceeds limits"), "{}", plan.stderr);
    let insert = "5 rows to insert, and at most 4 are allowed (limits: insert: 4); if meant, plan with --max-inserts t=5";
    let update = "4 rows to update, and at most 2 are allowed (limits: update: 10%, of 20 rows); if meant, plan with \
                  --max-updates t=4";
    let warnings = &plan.json()["header"]["tables"][0]["warnings"];
    for (i, told) in [insert, update].iter().enumerate() {
        assert_eq!(warnings[i], format!("limit exceeded: {told}"));
    }
    assert_eq!(plan.json()["header"]["tables"][0]["rows"], 20);
    let shown = world.show(&plan, &[]);
    assert!(
        shown.contains("limit exceeded: 5 rows to insert"),
        "{shown}"
    );
    assert!(shown.contains("it exceeds limits"), "{shown}");
    let shown = world.show(&plan, &["--format", "markdown"]);
    assert!(shown.contains("cannot be applied"), "{shown}");
    world.writes_nothing(|| {
        for more in [
            &["--force"][..],
            &["--approve", &plan.hash()],
            &["--dry-run"],
        ] {
            let run = world.apply_with(&plan, more).exits(4);
            run.says(&format!("t: {insert}"))
                .says(&format!("t: {update}"));
        }
        let load = world
            .loader(&["load", "--batch-id", "b", "--force"])
            .exits(4);
        load.says(update);
        let out = ["plan", "--batch-id", "b", "--out", "plan.json", "--json"];
        assert_eq!(world.loader(&out).ok().json()["status"], "blocked");
    });
    // What is allowed is in the plan, and so in what is approved.
    let part = world.plan_with("b", &["--max-inserts", "5"]);
    world.apply(&part).exits(4).says(update);
    let allowed = world.plan_with("b", &["--max-inserts", "t=5", "--max-updates", "20%"]);
    assert_ne!(allowed.hash(), plan.hash());
    let limits = &allowed.json()["header"]["tables"][0]["config"]["limits"];
    assert_eq!(
        *limits,
        serde_json::json!({"insert": 5, "update": "20%", "delete": 0})
    );
    // And it is seen by who approves it.
    for format in ["text", "markdown", "html"] {
        let shown = world.show(&allowed, &["--format", format]);
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        for said in [
            "limit of rows to insert changed from 4 to 5 by --max-inserts",
            "limit of rows to update changed from 10% to 20% by --max-updates",
        ] {
            assert!(shown.contains(said), "{format}: {shown}");
        }
    }
    world.apply(&allowed).ok();
    // A rollback deletes what was inserted, and that is limited too.
    let rollback = ["rollback", "--batch-id", "b", "--force"];
    world.writes_nothing(|| {
        world.loader(&rollback).exits(4).says("--max-deletes t=5");
    });
    world
        .loader(&[&rollback[..], &["--max-deletes", "t=5"]].concat())
        .ok();
    assert_eq!(world.value("SELECT count(*) FROM t WHERE v = 'old'"), "20");
}

/// What a flag forbids, it forbids one plan, and not the one that takes that back.
#[test]
fn what_is_forbidden_for_a_plan_is_not_so_for_its_rollback() {
    for (own, says) in [
        ("", None),
        (", limits: {delete: 2}", Some("at most 2 are allowed")),
    ] {
        let world = World::new(
            "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)",
            &format!("t: {{natural_key: [id]{own}}}"),
        );
        world.deliver("b", "t/1.json", r#"[{"id": 2}, {"id": 3}, {"id": 4}]"#);
        world.deliver("b", "t/delete/1.json", r#"{"id": 1}"#);
        let plan = world.plan_with("b", &["--max-deletes", "1", "--max-updates", "0"]);
        world.apply(&plan).ok();
        let back = ["rollback", "--batch-id", "b", "--force"];
        match says {
            None => {
                world.loader(&back).ok();
                assert_eq!(world.rows("SELECT id FROM t"), ["1"]);
            }
            Some(says) => {
                world.loader(&back).exits(4).says(says);
                let allowed = [&back[..], &["--max-deletes", "3"]].concat();
                world.loader(&allowed).ok();
            }
        }
    }
}

#[test]
fn a_plan_within_its_limits_is_none_the_worse() {
    let world = world("insert: 5, update: 20%");
    let plan = world.plan("b");
    assert_eq!(
        plan.json()["header"]["tables"][0]["warnings"],
        serde_json::json!([])
    );
    world.loader(&["load", "--batch-id", "b", "--force"]).ok();
    assert_eq!(world.value("SELECT count(*) FROM t WHERE v = 'new'"), "9");
}

#[test]
fn what_exceeds_limits_is_told_in_lines_where_it_is_rehearsed() {
    let world = world("insert: 4, update: 10%");
    let run = world.try_plan("b", &["--rehearse", "--out", "plan.json"]);
    run.says("Rehearsed: not tried: it exceeds limits against accidents:\n  t: 5 rows to insert");
}

#[test]
fn check_knows_that_the_table_has_fewer_rows_now() {
    let world = world("update: 20%");
    let plan = world.plan("b");
    world.check(&plan).ok();
    world.sql("DELETE FROM t WHERE id > 10");
    let told = "at most 2 are allowed (limits: update: 20%, of 10 rows)";
    world.check(&plan).exits(6).says(told);
    world.writes_nothing(|| world.apply_with(&plan, &["--dry-run"]).exits(6).says(told));
}

#[test]
fn limits_that_mean_nothing_are_refused() {
    let world = world("insert: 5");
    let plan = |flag: &str, value: &str| world.try_plan("b", &[flag, value]);
    plan("--max-inserts", "many")
        .exits(1)
        .says("is not a number of rows");
    plan("--max-deletes", "T=1")
        .exits(1)
        .says("the limit of rows to delete of table T: the table is not in the plan");
    plan("--max-updates", "u=1")
        .exits(1)
        .says("of table u: the table is not in the plan");
    for (limits, words) in [
        ("insert: -1", "invalid"),
        ("insert: 1.5", "a number of rows"),
        ("update: 10 percent", "is not a number of rows"),
        ("updates: 1", "did you mean `update`?"),
    ] {
        world.configure(&format!("t: {{natural_key: [id], limits: {{{limits}}}}}"));
        world
            .try_plan("b", &[])
            .exits(1)
            .says("tables.yaml")
            .says(words);
    }
}

const DEFERRED: &str = "
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS
  $f$ BEGIN IF NEW.v = 'bad' THEN RAISE EXCEPTION 'no % here', NEW.v; END IF; RETURN NULL; END $f$;
CREATE CONSTRAINT TRIGGER judge AFTER INSERT OR UPDATE ON t DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION judge();
";

#[test]
fn a_rehearsal_tells_at_planning_what_apply_would_say() {
    let world = World::new(DEFERRED, "t: {natural_key: [id]}");
    world.deliver("good", "t/1.json", r#"{"id": 1, "v": "x"}"#);
    world.deliver("bad", "t/1.json", r#"{"id": 2, "v": "bad"}"#);
    world.deliver("worse", "t/1.json", r#"{"id": "x", "v": "bad"}"#);
    world.writes_nothing(|| {
        let plain = world.plan("good");
        let plan = world.plan_with("good", &["--rehearse"]);
        assert_eq!(plan.hash(), plain.hash(), "notes are outside the hash");
        let notes = serde_json::json!({"rehearsal":
            {"outcome": "applies", "message": "1 inserted, 0 updated, 0 deleted, and rolled back"}});
        assert_eq!(plan.json()["notes"], notes);
        let lines = plan.text.lines();
        let without: Vec<&str> = lines.filter(|l| !l.starts_with("\"notes\"")).collect();
        assert_eq!(without, plain.text.lines().collect::<Vec<_>>());
        let shown = world.show(&plan, &[]);
        let said = "Not in the hash: rehearsed: it applies: 1 inserted";
        assert!(shown.contains(said), "{shown}");
        let comment = world.show(&plan, &["--format", "markdown"]);
        assert!(comment.contains(said), "{comment}");
        let json = world.loader(&["show", plan.name(), "--json"]).ok().json();
        assert_eq!(json["notes"], notes);

        let plan = world.plan_with("bad", &["--rehearse"]);
        let notes = &plan.json()["notes"]["rehearsal"];
        assert_eq!(notes["outcome"], "refused");
        assert!(notes["message"].as_str().unwrap().contains("no bad here"), "{notes}");
        let shown = world.show(&plan, &[]);
        assert!(shown.contains("it was refused"), "{shown}");
        assert!(plan.stderr.contains("Rehearsed: it was refused"), "{}", plan.stderr);

        let plan = world.plan_with("worse", &["--rehearse"]);
        let notes = &plan.json()["notes"]["rehearsal"];
        assert_eq!(notes["outcome"], "blocked");
        assert_eq!(notes["message"], "1 violation stands against applying it");
    });
    // What a rehearsal said binds nobody.
    let plan = world.plan_with("good", &["--rehearse", "--out", "p.json"]);
    assert_eq!(plan.text, "");
    let hash = world.loader(&["show", "p.json", "--json"]).ok().json()["plan_hash"].clone();
    world
        .loader(&["apply", "p.json", "--approve", hash.as_str().unwrap()])
        .ok();
}

#[test]
fn what_the_database_said_of_sensitive_columns_is_not_shown() {
    let world = World::new(DEFERRED, "t: {natural_key: [id], sensitive: [v]}");
    world.deliver("bad", "t/1.json", r#"{"id": 2, "v": "bad"}"#);
    let plan = world.plan_with("bad", &["--rehearse"]);
    let shown = world.show(&plan, &[]);
    assert!(shown.contains("rehearsed: it was refused"), "{shown}");
    assert!(!shown.contains("no bad here"), "{shown}");
}

#[test]
fn a_rehearsal_needs_the_role_that_applies_and_says_so() {
    let world = World::new(DEFERRED, "t: {natural_key: [id]}");
    world.deliver("good", "t/1.json", r#"{"id": 1, "v": "x"}"#);
    let role = format!("reader_{}", world.database);
    world.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
    ));
    let url = world.url.clone();
    let (_, rest) = url.split_once('@').unwrap();
    world.set("DATABASE_URL", &format!("postgresql://{role}@{rest}"));
    world.plan("good");
    let run = world.try_plan("good", &["--rehearse"]).exits(1);
    assert_eq!(run.stdout, "");
    run.says("permission denied for table t")
        .says("needs the role that applies");
}

#[test]
fn a_part_of_the_rows_is_of_those_that_are_there_when_the_plan_is_applied_too() {
    let world = world("update: 10%");
    world.deliver(
        "few",
        "t/1.json",
        r#"[{"id": 1, "v": "y"}, {"id": 2, "v": "y"}]"#,
    );
    let plan = world.plan("few");
    assert_eq!(plan.count("update"), 2);
    let forged = plan.forged(
        |header| header.tables[0].rows = Some(1_000_000),
        |_| {},
        |_| {},
    );
    world.sql("DELETE FROM t WHERE id > 15");
    for plan in [&plan, &forged] {
        let run = world.writes_only_a_failure(|| world.apply(plan).exits(6));
        run.says("2 rows to update, and at most 1 is allowed");
    }
    world.sql("INSERT INTO t (id) SELECT i FROM generate_series(16, 20) i");
    world.apply(&plan).ok();
}

/// What stands against a rollback though every row is as the load left it, is known before its review.
#[test]
fn a_rollback_is_rehearsed_too() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, mail text UNIQUE); INSERT INTO t VALUES (1, 'a')",
        "t: {natural_key: [id]}",
    );
    world.deliver("one", "t/1.json", r#"{"id": 1, "mail": "b"}"#);
    let plan = world.plan("one");
    world.apply(&plan).ok();
    let rollback = |file: &str| {
        let args = [
            "rollback",
            "--batch-id",
            "one",
            "--out",
            file,
            "--rehearse",
            "--json",
        ];
        world.loader(&args).ok().json()
    };
    world.writes_nothing(|| {
        let told = rollback("free.json");
        assert_eq!(told["status"], "planned", "{told}");
        assert_eq!(told["rehearsal"]["outcome"], "applies", "{told}");
    });
    // What a function may find elsewhere is not asked before.
    world.sql(
        "CREATE FUNCTION fits(text) RETURNS bool LANGUAGE sql STABLE AS $$ SELECT $1 <> 'a' $$; \
         ALTER TABLE t ADD CONSTRAINT later CHECK (fits(mail))",
    );
    world.writes_nothing(|| {
        let told = rollback("taken.json");
        assert_eq!(told["status"], "refused", "{told}");
        let message = told["rehearsal"]["message"].as_str().unwrap_or_default();
        assert!(
            message.contains("as a constraint or NOT NULL has come since"),
            "{told}"
        );
        world
            .loader(&["show", "taken.json"])
            .ok()
            .says("rehearsed: it was refused");
    });
    // Without a file it would be applied, or not at all (--dry-run).
    world
        .loader(&["rollback", "--batch-id", "one", "--rehearse"])
        .exits(1)
        .says("--out");
}
