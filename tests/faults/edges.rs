//! Rollbacks at the edges: triggers, marks, columns that do not count, roles, and failures that
//! are recorded.

use crate::harness::{Stage, one};
use crate::support::World;

fn last(stage: &Stage) -> String {
    stage.one("SELECT application FROM loader_ledger ORDER BY sequence DESC LIMIT 1")
}

#[test]
fn what_was_taken_back_and_forth_can_be_taken_back_by_its_batch() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text, edits int NOT NULL DEFAULT 0); \
         CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN NEW.edits := OLD.edits + 1; RETURN NEW; END $$; \
         CREATE TRIGGER touch BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch(); \
         INSERT INTO t VALUES ('a', 'old'), ('b', 'old')",
        "t: {natural_key: [k]}",
    );
    let values = "SELECT string_agg(k || v, ' ' ORDER BY k) FROM t";
    stage.deliver(
        "b",
        &[(
            "t/1.json",
            r#"[{"k": "a", "v": "1"}, {"k": "n", "v": "1"}]"#,
        )],
    );
    stage.load("b");
    stage.roll_back("b").exits(0);
    let undo = last(&stage);
    stage
        .loader(&["rollback", "--application", &undo, "--force"])
        .exits(0);
    let redone = last(&stage);
    assert_eq!(stage.one(values), "a1 bold n1");
    // A second load on top of it.
    stage.deliver(
        "b",
        &[(
            "t/1.json",
            r#"[{"k": "a", "v": "2"}, {"k": "b", "v": "2"}]"#,
        )],
    );
    stage.load("b");
    stage
        .roll_back("b")
        .exits(0)
        .says_all(&["2 updated, 1 deleted"]);
    assert_eq!(stage.one(values), "aold bold");
    let undone = format!(
        "SELECT '{redone}' = ANY (undoes::text[]) FROM loader_ledger WHERE application = '{}'",
        last(&stage)
    );
    assert_eq!(stage.one(&undone), "t");
    stage
        .roll_back("b")
        .exits(1)
        .says_all(&["taken back already"]);
    let history = stage
        .loader(&["history", "--batch-id", "b", "--json"])
        .exits(0)
        .json();
    let loads = history["applications"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|a| a["kind"] == "load");
    assert!(
        loads.clone().count() == 2 && loads.clone().all(|a| !a["undone_by"].is_null()),
        "{history}"
    );
}

#[test]
fn a_row_that_would_only_be_marked_still_refers() {
    for action in ["", "ON DELETE CASCADE", "ON DELETE SET NULL"] {
        let stage = Stage::new(
            &format!(
                "CREATE TABLE p (k text PRIMARY KEY); \
                 CREATE TABLE c (k text PRIMARY KEY, p text REFERENCES p {action}, deleted_at timestamptz)"
            ),
            "p: {natural_key: [k]}\nc: {natural_key: [k], soft_delete: true}",
        );
        stage.deliver(
            "b",
            &[
                ("p/1.json", r#"{"k": "p1"}"#),
                ("c/1.json", r#"{"k": "c1", "p": "p1"}"#),
            ],
        );
        stage.load("b");
        let now = stage.state();
        stage
            .roll_back("b")
            .exits(4)
            .says_all(&["c k=c1 refers to p k=p1", "only marked"]);
        assert_eq!(stage.state(), now, "{action}");
        stage.sql("UPDATE c SET p = NULL");
        stage.roll_back("b").exits(3).says_all(&["c1", "changed"]);
    }
}

#[test]
fn columns_whose_drift_does_not_matter_stay_as_others_set_them() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text, note text); INSERT INTO t VALUES ('a', 'old', 'first')",
        "t: {natural_key: [k], ignore_drift: [note]}",
    );
    stage.deliver(
        "b",
        &[(
            "t/1.json",
            r#"[{"k": "a", "v": "1"}, {"k": "n", "v": "1"}]"#,
        )],
    );
    stage.load("b");
    stage.sql("UPDATE t SET note = 'second'");
    stage.deliver(
        "b",
        &[(
            "t/1.json",
            r#"[{"k": "a", "v": "2"}, {"k": "n", "v": "2"}]"#,
        )],
    );
    stage.load("b");
    stage.sql("UPDATE t SET note = 'third'");
    let now = stage.data();
    stage
        .roll_back("b")
        .exits(0)
        .says_all(&["1 updated, 1 deleted"]);
    assert_eq!(stage.data(), "t (a,old,third)");
    stage
        .loader(&["rollback", "--application", &last(&stage), "--force"])
        .exits(0);
    assert_eq!(stage.data(), now);
}

#[test]
fn what_others_set_in_such_a_column_stays_though_loads_wrote_it_before() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text, w text); INSERT INTO t VALUES ('a', 'old', 'x'), ('b', 'old', 'x'), ('c', 'old', 'x')",
        "t: {natural_key: [k], ignore_drift: [v]}",
    );
    stage.deliver(
        "b",
        &[(
            "t/1.json",
            r#"[{"k": "a", "v": "new"}, {"k": "b", "v": "new", "w": "y"}, {"k": "c", "v": "new"}, {"k": "n", "v": "new"}]"#,
        )],
    );
    stage.load("b");
    stage.sql("UPDATE t SET v = 'by hand' WHERE k <> 'c'");
    let now = stage.data();
    stage
        .loader(&["rollback", "--batch-id", "b", "--out", "undo.json"])
        .exits(0);
    let shown = stage.loader(&["show", "undo.json"]).exits(0);
    // What goes is shown as it is.
    shown.says_all(&["v: \"by hand\"", "w: \"y\" → \"x\"", "v: \"new\" → \"old\""]);
    stage.loader(&["apply", "undo.json", "--force"]).exits(0);
    assert_eq!(
        stage.data(),
        "t (a,\"by hand\",x)\nt (b,\"by hand\",x)\nt (c,old,x)"
    );
    stage
        .loader(&["rollback", "--application", &last(&stage), "--force"])
        .exits(0);
    assert_eq!(stage.data(), now);
}

#[test]
fn a_role_that_cannot_read_what_refers_leaves_it_to_the_foreign_key() {
    let stage = Stage::new(
        "CREATE TABLE g (k text PRIMARY KEY); \
         CREATE TABLE p (k text PRIMARY KEY, v text, g text REFERENCES g); INSERT INTO p VALUES ('a', 'old'); \
         CREATE TABLE secret (id int PRIMARY KEY, p text REFERENCES p); \
         DO $$ BEGIN CREATE ROLE edge_loader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO edge_loader; \
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO edge_loader; REVOKE ALL ON secret FROM edge_loader",
        "{p: {natural_key: [k]}, g: {natural_key: [k]}}",
    );
    stage.deliver(
        "b",
        &[
            (
                "p/1.json",
                r#"[{"k": "a", "v": "new"}, {"k": "n", "v": "new", "g": "g"}]"#,
            ),
            ("g/1.json", r#"{"k": "g"}"#),
        ],
    );
    stage.load("b");
    let url = stage.url.replace("loader@", "edge_loader@");
    let roll_back = || {
        stage.loader_with(
            &["rollback", "--batch-id", "b", "--force"],
            &[("DATABASE_URL", &url)],
        )
    };
    stage.sql("INSERT INTO secret VALUES (1, 'n')");
    let now = stage.state();
    roll_back()
        .exits(4)
        .says_all(&["secret", "nothing was written"]);
    assert_eq!(stage.state(), now);
    stage.sql("DELETE FROM secret");
    roll_back().exits(0).says_all(&["1 updated, 2 deleted"]);
    assert_eq!(stage.one("SELECT string_agg(k || v, ' ') FROM p"), "aold");
}

#[test]
fn a_plan_that_is_out_of_date_leaves_its_reason_where_it_belongs() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text)",
        "t: {natural_key: [k]}",
    );
    stage.deliver("b", &[("t/1.json", r#"{"k": "a", "v": "1"}"#)]);
    let plan = stage.plan("b");
    stage.load("b");
    stage
        .loader(&["rollback", "--batch-id", "b", "--out", "undo.json"])
        .exits(0);
    stage.roll_back("b").exits(0);
    stage
        .loader(&["check", "undo.json"])
        .exits(0)
        .says_all(&["was applied at"]);
    // The load is in effect no more, but not by this rollback's doing.
    stage.sql("UPDATE loader_ledger SET plan_hash = 'sha256:other' WHERE kind = 'rollback'");
    for command in [
        &["check", "undo.json"][..],
        &["apply", "undo.json", "--force"],
    ] {
        stage
            .loader(command)
            .exits(6)
            .says_all(&["taken back already"]);
    }
    let failed = "SELECT string_agg(operation || ' ' || error_message, '; ' ORDER BY id) FROM batch_load_log WHERE status = 'failed'";
    assert!(
        stage.one(failed).starts_with("rollback the application"),
        "{}",
        stage.one(failed)
    );
    // Another definition.
    stage.sql("ALTER TABLE t ADD w text; DELETE FROM batch_load_log");
    stage
        .apply_again(&plan)
        .exits(6)
        .says_all(&["the definition of table t"]);
    assert!(
        stage
            .one(failed)
            .starts_with("load the definition of table t"),
        "{}",
        stage.one(failed)
    );
    // Another database is not written to.
    let other = Stage::new("CREATE TABLE t (k text PRIMARY KEY, v text)", "{}");
    let plan = stage.path(&plan).display().to_string();
    other
        .loader(&["apply", &plan, "--force"])
        .exits(6)
        .says_all(&["another database"]);
    assert_eq!(other.one("SELECT count(*) FROM batch_load_log"), "0");
}

/// What the database put into a column when it was added is nobody's.
#[test]
fn columns_that_were_added_with_a_default_keep_no_row() {
    for add in [
        "bigserial",
        "int GENERATED ALWAYS AS IDENTITY",
        "int GENERATED BY DEFAULT AS IDENTITY",
        "uuid DEFAULT gen_random_uuid()",
        "timestamptz DEFAULT now()",
        "timestamptz NOT NULL DEFAULT clock_timestamp()",
        "text NOT NULL DEFAULT timeofday()",
        "text NOT NULL DEFAULT drawn()",
        "int DEFAULT 7; ALTER TABLE t ALTER since DROP DEFAULT",
        "text[] DEFAULT '{a,NULL}'; ALTER TABLE t ALTER since SET DEFAULT '{}'",
    ] {
        let stage = Stage::new(
            "CREATE TABLE t (k text PRIMARY KEY, v text); INSERT INTO t VALUES ('a', 'old'); \
             CREATE FUNCTION drawn() RETURNS text LANGUAGE sql AS $$ SELECT random()::text $$; \
             CREATE TABLE parted (k text PRIMARY KEY, v text) PARTITION BY LIST (k); \
             CREATE TABLE part PARTITION OF parted FOR VALUES IN ('n')",
            "t: {natural_key: [k]}\nparted: {natural_key: [k]}",
        );
        let batch = r#"[{"k": "a", "v": "new"}, {"k": "n", "v": "new"}]"#;
        let parted = r#"[{"k": "n", "v": "new"}]"#;
        stage.deliver("b", &[("t/1.json", batch), ("parted/1.json", parted)]);
        stage.load("b");
        stage.sql(&format!("ALTER TABLE t ADD since {add}"));
        // Before PostgreSQL 17, these are not known there.
        if !add.contains("IDENTITY") {
            let add = add.replace("TABLE t", "TABLE parted");
            stage.sql(&format!("ALTER TABLE parted ADD since {add}"));
        }
        let run = stage.roll_back("b");
        assert_eq!(run.code, Some(0), "{add}: {run}");
        assert_eq!(
            stage.one("SELECT string_agg(k || v, ' ') FROM t"),
            "aold",
            "{add}"
        );
    }
}

/// A table that is written anew forgets what its rows had when a column was added.
#[test]
fn what_a_migration_put_into_a_column_is_told_from_an_edit_by_its_default() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text, n int)",
        "t: {natural_key: [k]}",
    );
    stage.deliver("b", &[("t/1.json", r#"[{"k": "n", "v": "new"}]"#)]);
    stage.load("b");
    stage.sql(
        "ALTER TABLE t ADD since text NOT NULL DEFAULT 'e'; ALTER TABLE t ALTER since DROP DEFAULT; \
         ALTER TABLE t ALTER n TYPE bigint",
    );
    stage
        .roll_back("b")
        .exits(3)
        .says("since came into the table after the load. If a migration filled it, make the value the column's default");
    stage.sql("ALTER TABLE t ALTER since SET DEFAULT 'e'");
    stage.roll_back("b").exits(0).says_all(&["1 deleted"]);
}

#[test]
fn a_table_that_has_other_columns_since_is_put_back_as_far_as_it_goes() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text, old int DEFAULT 1); INSERT INTO t VALUES ('a', 'old')",
        "t: {natural_key: [k]}",
    );
    let batch = r#"[{"k": "a", "v": "new"}, {"k": "n", "v": "new"}]"#;
    stage.deliver("b", &[("t/1.json", batch)]);
    stage.load("b");
    stage.sql("ALTER TABLE t DROP old; ALTER TABLE t ADD since text NOT NULL DEFAULT 'x'; UPDATE t SET since = k");
    // What somebody put into a new column would go with the row.
    let now = stage.data();
    let refused = stage.roll_back("b").exits(3).says_all(&["k=n", "changed"]);
    assert!(!refused.stderr.contains("k=a"), "{refused}");
    assert_eq!(stage.data(), now);
    stage.sql("UPDATE t SET since = 'x' WHERE k = 'n'");
    let now = stage.data();
    stage
        .roll_back("b")
        .exits(0)
        .says_all(&["1 updated, 1 deleted"]);
    assert_eq!(stage.data(), "t (a,old,a)");
    stage
        .loader(&["rollback", "--application", &last(&stage), "--force"])
        .exits(0);
    assert_eq!(stage.data(), now);
    // What was changed since, is found as ever.
    stage.sql("UPDATE t SET v = 'theirs' WHERE k = 'n'");
    stage.roll_back("b").exits(3).says_all(&["k=n", "changed"]);
    stage.sql("UPDATE t SET v = 'new' WHERE k = 'n'");
    // Values that have no place any more are not lost silently.
    stage.sql("ALTER TABLE t RENAME v TO w");
    let now = stage.data();
    stage
        .roll_back("b")
        .exits(4)
        .says_all(&["column v", "no more", "audit"]);
    assert_eq!(stage.data(), now);
}

#[test]
fn a_deleted_row_is_not_put_back_without_the_values_of_a_column_that_is_gone() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text, w text); INSERT INTO t VALUES ('a', 'one', NULL), ('b', 'two', NULL)",
        "t: {natural_key: [k], limits: {delete: 5}}",
    );
    stage.deliver(
        "b",
        &[("t/1.json", r#"{"op": "delete", "data": {"k": "a"}}"#)],
    );
    stage.load("b");
    for (other, back) in [("v", false), ("w", true)] {
        stage.sql(&format!("ALTER TABLE t RENAME {other} TO other"));
        if back {
            stage.roll_back("b").exits(0).says_all(&["1 inserted"]);
        } else {
            stage
                .roll_back("b")
                .exits(4)
                .says_all(&["values of the column v", "no more", "audit"]);
        }
        stage.sql(&format!("ALTER TABLE t RENAME other TO {other}"));
    }
    assert_eq!(stage.data(), "t (a,one,)\nt (b,two,)");
}

#[test]
fn a_column_that_came_between_two_loads_is_looked_at_row_by_row() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text)",
        "t: {natural_key: [k]}",
    );
    stage.deliver("b", &[("t/1.json", r#"[{"k": "a", "v": "1"}]"#)]);
    stage.load("b");
    stage.sql("ALTER TABLE t ADD since text");
    stage.deliver("b", &[("t/2.json", r#"[{"k": "b", "v": "2"}]"#)]);
    stage.load("b");
    // The first load's images do not know the column, and those of the second do.
    stage.sql("UPDATE t SET since = 'theirs' WHERE k = 'a'");
    let refused = stage.roll_back("b").exits(3).says_all(&["k=a", "changed"]);
    assert!(!refused.stderr.contains("k=b"), "{refused}");
    stage.sql("UPDATE t SET since = NULL");
    stage.roll_back("b").exits(0).says_all(&["2 deleted"]);
    assert_eq!(stage.one("SELECT count(*) FROM t"), "0");
}

/// The trigger of a later load filled it, and after that load's rollback again.
#[test]
fn a_column_that_came_with_a_trigger_keeps_no_row() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text)",
        "t: {natural_key: [k]}",
    );
    let rows = |v: &str| format!(r#"[{{"k": "a", "v": "{v}"}}, {{"k": "b", "v": "{v}"}}]"#);
    stage.deliver("one", &[("t/1.json", &rows("one"))]);
    stage.deliver("two", &[("t/1.json", &rows("two"))]);
    stage.load("one");
    stage.sql(
        "ALTER TABLE t ADD lower text, ADD note text; UPDATE t SET note = 'theirs' WHERE k = 'b'",
    );
    stage.sql(
        "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.lower := lower(NEW.v); RETURN NEW; END $$; \
         CREATE TRIGGER fill BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION fill()",
    );
    stage.load("two");
    stage.roll_back("two").exits(0);
    // What somebody put into a new column before the later load would go with the row.
    stage
        .roll_back("one")
        .exits(3)
        .says_all(&["k=b", "changed"])
        .omits("k=a");
    stage
        .loader(&["rollback", "--batch-id", "one", "--keep-edited", "--force"])
        .exits(0)
        .says_all(&["1 deleted"]);
    assert_eq!(stage.data(), "t (b,one,one,theirs)");
}

#[test]
fn a_refused_rollback_says_what_differs_and_what_can_be_done() {
    let stage = Stage::new(
        "CREATE TABLE p (k text PRIMARY KEY); \
         CREATE TABLE t (k text PRIMARY KEY, v text, p text REFERENCES p, deleted_at timestamptz)",
        "p: {natural_key: [k]}\nt: {natural_key: [k], soft_delete: true}",
    );
    stage.deliver(
        "b",
        &[
            ("p/1.json", r#"{"k": "x"}"#),
            ("t/1.json", r#"{"k": "a", "v": "1", "p": "x"}"#),
        ],
    );
    stage
        .loader(&["plan", "--batch-id", "b", "--out", "b.json"])
        .exits(0)
        .says_all(&["cannot remove new rows of p to which they refer"]);
    stage.loader(&["apply", "b.json", "--force"]).exits(0);
    stage
        .roll_back("b")
        .exits(4)
        .says_all(&["only marked", "give both tables soft_delete, or neither"]);
    stage.sql("UPDATE t SET v = '2', p = NULL");
    let report = stage.loader(&["rollback", "--batch-id", "b", "--report", "markdown"]);
    report
        .exits(3)
        .says_all(&["`v`: `1` → `2`", "`p`: `x` → <i>null</i>"]);
    stage.roll_back("b").exits(3).says_all(&[
        "1 row is not as the load left it",
        "v: plan saw \"1\", now \"2\"",
        "take later loads back first",
    ]);
    stage.sql("UPDATE t SET v = '1', p = 'x'; DELETE FROM t");
    // Nobody is asked without a terminal, and told how to approve.
    let last = last(&stage);
    stage.sql("INSERT INTO t VALUES ('a', '1', NULL, NULL); ALTER TABLE t DROP p");
    stage
        .loader(&["rollback", "--batch-id", "b"])
        .exits(5)
        .says_all(&["loader rollback --batch-id b --approve sha256:"]);
    stage
        .loader(&["rollback", "--application", &last])
        .exits(5)
        .says_all(&[&format!(
            "loader rollback --application {last} --approve sha256:"
        )]);
}

#[test]
fn what_triggers_set_in_our_own_rollbacks_is_nobodys_change() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text, w text, edits int NOT NULL DEFAULT 0); \
         CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN NEW.edits := OLD.edits + 1; RETURN NEW; END $$; \
         CREATE TRIGGER touch BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch(); \
         INSERT INTO t VALUES ('a', 'old')",
        "t: {natural_key: [k]}",
    );
    let values = "SELECT string_agg(concat_ws(' ', k, v, w), ', ' ORDER BY k) FROM t";
    for (batch, v) in [("one", 1), ("two", 2), ("three", 3)] {
        let rows = format!(r#"[{{"k": "a", "v": "{v}"}}, {{"k": "n", "v": "{v}"}}]"#);
        stage.deliver(batch, &[("t/1.json", &rows)]);
    }
    stage.load("one");
    stage.load("two");
    stage.roll_back("two").exits(0);
    stage.load("three");
    stage.roll_back("three").exits(0);
    stage
        .roll_back("one")
        .exits(0)
        .says_all(&["1 updated, 1 deleted"]);
    assert_eq!(stage.one(values), "a old");

    // What somebody else set in between is.
    stage.load("one");
    stage.sql("UPDATE t SET w = 'theirs' WHERE k = 'n'");
    stage.load("two");
    stage.roll_back("two").exits(0);
    stage
        .roll_back("one")
        .exits(3)
        .says_all(&["k=n: changed"])
        .omits("k=a");
    assert_eq!(stage.one(values), "a 1, n 1 theirs");
}

#[test]
fn a_table_whose_columns_have_other_types_since_is_put_back_in_these() {
    let before = "('a', 5, 'old', '2024-01-01 10:00', true)";
    for (alter, back) in [
        (
            "ALTER n TYPE numeric(10,2)",
            "t (a,5.00,old,\"2024-01-01 10:00:00\",t)",
        ),
        (
            "ALTER n TYPE bigint",
            "t (a,5,old,\"2024-01-01 10:00:00\",t)",
        ),
        ("ALTER n TYPE text", "t (a,5,old,\"2024-01-01 10:00:00\",t)"),
        (
            "ALTER v TYPE varchar(3)",
            "t (a,5,old,\"2024-01-01 10:00:00\",t)",
        ),
        (
            "ALTER at TYPE timestamptz USING at AT TIME ZONE 'UTC'",
            "t (a,5,old,\"2024-01-01 10:00:00+00\",t)",
        ),
        (
            "ALTER yes TYPE int USING yes::int",
            "t (a,5,old,\"2024-01-01 10:00:00\",1)",
        ),
    ] {
        let stage = Stage::new(
            &format!(
                "CREATE TABLE t (k text PRIMARY KEY, n int, v text, at timestamp, yes bool); INSERT INTO t VALUES {before}"
            ),
            "t: {natural_key: [k]}",
        );
        let batch = r#"[{"k": "a", "n": 6, "v": "new", "at": "2024-02-01 00:00", "yes": false}, {"k": "n", "n": 1}]"#;
        stage.deliver("b", &[("t/1.json", batch)]);
        stage.load("b");
        stage.sql(&format!("SET TimeZone = 'UTC'; ALTER TABLE t {alter}"));
        let now = stage.data();
        // What was changed since, is found as ever.
        stage.sql("UPDATE t SET n = 7 WHERE k = 'a'");
        stage.roll_back("b").exits(3).says_all(&["k=a", "changed"]);
        stage.sql("UPDATE t SET n = 6 WHERE k = 'a'");
        let run = stage.roll_back("b");
        assert_eq!(run.code, Some(0), "{alter}: {run}");
        let data = stage.with(|client| {
            client.batch_execute("SET TimeZone = 'UTC'").unwrap();
            one(client, "SELECT 't ' || t::text FROM t")
        });
        assert_eq!(data, back, "{alter}");
        stage
            .loader(&["rollback", "--application", &last(&stage), "--force"])
            .exits(0);
        assert_eq!(stage.data(), now, "{alter}");
    }
}

/// A time without zone became one of a moment, in the database's zone; of rows that are gone, nothing tells in which.
#[test]
fn times_that_have_a_zone_since_are_put_back_as_the_same_times() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, n int, at timestamp); \
         INSERT INTO t VALUES ('a', 1, '2024-07-01 12:00'), ('b', 2, '2024-07-01 13:00'); \
         CREATE TABLE u (k text PRIMARY KEY, n int, at timestamp); INSERT INTO u SELECT * FROM t",
        "t: {natural_key: [k]}\nu: {natural_key: [k], limits: {delete: 9}}",
    );
    let database = stage.one("SELECT current_database()");
    stage.sql(&format!(
        "ALTER DATABASE {database} SET timezone = 'Europe/Berlin'"
    ));
    let at = "SELECT string_agg(k || n || (at AT TIME ZONE 'Europe/Berlin'), ' ' ORDER BY k) FROM ";
    stage.deliver(
        "b",
        &[(
            "t/1.json",
            r#"[{"k": "a", "n": 7}, {"k": "b", "at": "2024-01-01 10:00"}]"#,
        )],
    );
    stage.load("b");
    stage.deliver("gone", &[("u/delete/1.json", r#"[{"k": "a"}]"#)]);
    stage.load("gone");
    stage.sql(
        "SET TimeZone = 'Europe/Berlin'; ALTER TABLE t ALTER at TYPE timestamptz; ALTER TABLE u ALTER at TYPE timestamptz",
    );
    let shown = stage.loader(&["rollback", "--batch-id", "b", "--out", "undo.json"]);
    shown.exits(0);
    let shown = stage.loader(&["show", "undo.json"]).exits(0).stdout;
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    let note = "note: at was timestamp without time zone when it was loaded and is timestamp with time zone now";
    assert!(shown.contains(note), "{shown}");
    stage.roll_back("b").exits(0);
    assert_eq!(
        stage.one(&format!("{at} t")),
        "a12024-07-01 12:00:00 b22024-07-01 13:00:00"
    );
    let now = stage.state();
    stage.roll_back("gone").exits(4).says_all(&[
        "u: the type of at was",
        "in which time zone",
        "give it its type of then",
    ]);
    assert_eq!(stage.state(), now);
    stage.sql("SET TimeZone = 'Europe/Berlin'; ALTER TABLE u ALTER at TYPE timestamp");
    stage.roll_back("gone").exits(0);
    assert_eq!(
        stage.one("SELECT string_agg(k || at, ' ' ORDER BY k) FROM u"),
        "a2024-07-01 12:00:00 b2024-07-01 13:00:00"
    );
}

/// Types that are not the server's own, under whatever name they are found since.
#[test]
fn a_type_is_the_same_under_another_name_and_may_be_another_under_its_own() {
    let schema = "CREATE SCHEMA app; CREATE SCHEMA more; \
        CREATE DOMAIN app.amount AS numeric(12,4); CREATE DOMAIN public.amount AS numeric(12,2); \
        CREATE DOMAIN app.code AS text CHECK (value ~ '^[A-Z]'); CREATE TYPE app.status AS ENUM ('a', 'b', 'c'); \
        CREATE TYPE app.pair AS (x int, y text); CREATE DOMAIN app.needed AS app.status NOT NULL; \
        CREATE TABLE public.t (k text PRIMARY KEY, n app.amount, co app.code, st app.status, p app.pair, sa app.status[], nn app.needed DEFAULT 'a'); \
        INSERT INTO public.t VALUES ('a', 1.2345, 'ABCD', 'c', '(1,x)', '{a,c}')";
    let load = r#"[{"k": "a", "n": 2, "co": "B", "st": "a", "p": "(2,y)", "sa": "{b}"}, {"k": "b", "n": 0.0001, "co": "C", "st": "b"}]"#;
    for (alter, refused) in [
        ("SELECT 1", None),
        // The names mean others then, or nothing.
        ("ALTER DATABASE $ SET search_path = public", None),
        ("ALTER DATABASE $ SET search_path = more, public", None),
        ("ALTER TYPE app.status RENAME TO state", None),
        (
            "ALTER DOMAIN app.code RENAME TO codes; CREATE DOMAIN app.code AS varchar(2)",
            None,
        ),
        (
            "ALTER DOMAIN app.amount RENAME TO amounts; CREATE DOMAIN app.amount AS numeric(3,1)",
            None,
        ),
        (
            "ALTER TYPE app.pair RENAME TO pairs; ALTER TYPE app.pairs SET SCHEMA more",
            None,
        ),
        ("ALTER TYPE app.status SET SCHEMA public", None),
        (
            "ALTER TABLE public.t ALTER co TYPE text, ALTER n TYPE numeric",
            None,
        ),
        (
            "ALTER TABLE public.t ALTER st TYPE text, ALTER p TYPE text",
            None,
        ),
        (
            "ALTER TYPE app.status RENAME TO old; CREATE TYPE app.status AS ENUM ('a', 'b'); \
             ALTER TABLE public.t ALTER st TYPE app.status USING st::text::app.status",
            Some(
                "the type of st app.status is defined otherwise than when it was loaded, and cannot hold all that it held",
            ),
        ),
        (
            "ALTER TYPE app.pair ADD ATTRIBUTE z int",
            Some("the type of p app.pair is defined otherwise"),
        ),
        (
            "ALTER TABLE public.t ALTER n TYPE public.amount",
            Some("the type of n was numeric(12,4) when it was loaded and is numeric(12,2) now"),
        ),
    ] {
        let stage = Stage::new(schema, "t: {natural_key: [k]}");
        let database = stage.one("SELECT current_database()");
        stage.sql(&format!(
            "ALTER DATABASE {database} SET search_path = app, public"
        ));
        stage.deliver("b", &[("t/1.json", load)]);
        stage.load("b");
        stage.sql(&alter.replace('$', &database));
        let row = "SELECT string_agg(t::text, ' ' ORDER BY k) FROM public.t";
        let loaded = stage.one(row);
        match refused {
            None => {
                stage.roll_back("b").exits(0);
                assert_eq!(
                    stage.one(row),
                    "(a,1.2345,ABCD,c,\"(1,x)\",\"{a,c}\",a)",
                    "{alter}"
                );
            }
            Some(why) => {
                stage
                    .loader(&["rollback", "--batch-id", "b", "--out", "undo.json"])
                    .exits(4)
                    .says(why);
                assert_eq!(stage.one(row), loaded, "{alter}");
            }
        }
    }
}

/// What a rule that came since forbids is said before anybody approves the rollback.
#[test]
fn rules_that_came_since_are_named_when_the_rollback_is_planned() {
    let update = ("item/1.json", r#"[{"code": "A", "name": "b", "n": 1}]"#);
    let delete = ("item/delete/1.json", r#"[{"code": "A"}]"#);
    for (delivered, alter, why) in [
        (
            update,
            "ALTER TABLE item ALTER name SET NOT NULL",
            Some("have no value in name, which has to have one now: A;"),
        ),
        (
            delete,
            "ALTER TABLE item ALTER name SET NOT NULL",
            Some("have no value in name"),
        ),
        (
            delete,
            "ALTER TABLE item ADD z int NOT NULL DEFAULT 1; ALTER TABLE item ALTER z DROP DEFAULT",
            Some("have no value in z"),
        ),
        (
            update,
            "ALTER TABLE item ADD CONSTRAINT positive CHECK (n > 0) NOT VALID",
            Some("break the check positive: (n > 0): A;"),
        ),
        (
            delete,
            "ALTER TABLE item RENAME TO old; CREATE TABLE item (LIKE old INCLUDING ALL) PARTITION BY RANGE (code); \
             CREATE TABLE later PARTITION OF item FOR VALUES FROM ('B') TO ('Z'); INSERT INTO item SELECT * FROM old",
            Some("fit into no partition that is there now: A;"),
        ),
        // What is allowed comes back.
        (
            delete,
            "ALTER TABLE item ADD z int NOT NULL DEFAULT 1, ADD CHECK (n < 0 OR code <> 'A')",
            None,
        ),
        (
            update,
            "ALTER TABLE item ADD z int NOT NULL DEFAULT 1, ADD CHECK (n < 2)",
            None,
        ),
    ] {
        let stage = Stage::new(
            "CREATE TABLE item (code text PRIMARY KEY, name text, n int); INSERT INTO item VALUES ('A', NULL, -1), ('B', 'b', 1)",
            "item: {natural_key: [code], limits: {delete: 9}}",
        );
        stage.deliver("b", &[delivered]);
        stage.load("b");
        stage.sql(alter);
        let planned = stage.loader(&["rollback", "--batch-id", "b", "--out", "undo.json"]);
        match why {
            Some(why) => drop(planned.exits(4).says(why)),
            None => {
                stage.loader(&["apply", "undo.json", "--force"]).exits(0);
                assert_eq!(
                    stage.one("SELECT code || n FROM item WHERE name IS NULL"),
                    "A-1",
                    "{alter}"
                );
            }
        }
    }
}

#[test]
fn a_type_that_cannot_hold_what_was_there_is_named() {
    for (alter, why) in [
        (
            "ALTER n TYPE numeric(10,1)",
            "cannot hold all that it held before the load",
        ),
        (
            "ALTER v TYPE varchar(3)",
            "cannot hold all that it held before the load",
        ),
        ("ALTER v TYPE int USING 0", "cannot be cast"),
    ] {
        let stage = Stage::new(
            "CREATE TABLE t (k text PRIMARY KEY, n numeric, v text); INSERT INTO t VALUES ('a', 5.25, 'before')",
            "t: {natural_key: [k]}",
        );
        stage.deliver("b", &[("t/1.json", r#"{"k": "a", "n": 6, "v": "new"}"#)]);
        stage.load("b");
        stage.sql(&format!("ALTER TABLE t {alter}"));
        let before = stage.state();
        stage
            .roll_back("b")
            .exits(4)
            .says_all(&["the type of", why]);
        assert_eq!(stage.state(), before, "{alter}");
    }
}

#[test]
fn a_column_that_is_gone_matters_only_where_an_update_changed_it() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text, x text); INSERT INTO t VALUES ('a', 'old', 'x')",
        "t: {natural_key: [k]}",
    );
    stage.deliver(
        "b",
        &[(
            "t/1.json",
            r#"[{"k": "a", "v": "new"}, {"k": "n", "x": "given"}]"#,
        )],
    );
    stage.load("b");
    stage.sql("ALTER TABLE t DROP x");
    stage.roll_back("b").exits(0);
    assert_eq!(stage.data(), "t (a,old)");
}

#[test]
fn a_column_that_went_between_two_loads_matters_only_where_one_changed_it() {
    for (first, back) in [
        (r#"[{"k": "a", "v": "one"}]"#, true),
        (r#"[{"k": "a", "v": "one", "x": "given"}]"#, false),
    ] {
        let stage = Stage::new(
            "CREATE TABLE t (k text PRIMARY KEY, v text, x text); INSERT INTO t VALUES ('a', 'old', 'x')",
            "t: {natural_key: [k]}",
        );
        stage.deliver("b", &[("t/1.json", first)]);
        stage.load("b");
        stage.sql("ALTER TABLE t DROP x");
        stage.deliver("b", &[("t/1.json", r#"[{"k": "a", "v": "two"}]"#)]);
        stage.load("b");
        if back {
            stage.roll_back("b").exits(0);
            assert_eq!(stage.data(), "t (a,old)");
        } else {
            let refused = stage.roll_back("b").exits(4);
            refused.says_all(&["values of the column x", "no more"]);
            assert_eq!(stage.data(), "t (a,two)");
        }
    }
}

#[test]
fn a_column_that_the_database_computes_since_matters_where_a_load_changed_it() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, x int, y int); INSERT INTO t VALUES ('a', 1, 1), ('b', 1, 1)",
        "t: {natural_key: [k]}",
    );
    for (batch, row) in [
        ("one", r#"{"k": "a", "y": 2}"#),
        ("two", r#"{"k": "b", "x": 5, "y": 1}"#),
    ] {
        stage.deliver(batch, &[("t/1.json", row)]);
        stage.load(batch);
    }
    stage.sql("ALTER TABLE t DROP y, ADD y int GENERATED ALWAYS AS (CASE k WHEN 'a' THEN 2 ELSE 1 END) STORED");
    let now = stage.state();
    stage
        .roll_back("one")
        .exits(4)
        .says("of the column y, which the database computes now");
    assert_eq!(stage.state(), now);
    stage.roll_back("two").exits(0);
    assert_eq!(stage.data(), "t (a,1,2)\nt (b,1,1)");
}

/// The audit log knows rows by their keys, which another type of a key column may spell otherwise.
#[test]
fn a_key_of_another_type_is_found_or_refused_as_such() {
    for (of, keys, to, spelled_alike) in [
        (
            "date",
            ["2024-01-01", "2024-01-02", "2024-01-03"],
            "timestamp",
            false,
        ),
        ("int", ["1", "2", "3"], "numeric(5,1)", false),
        ("int", ["1", "2", "3"], "bigint", true),
        ("text", ["a", "b", "c"], "char(4)", false),
        ("text", ["a", "b", "c"], "varchar(4)", true),
    ] {
        let [updated, deleted, inserted] = keys;
        let world = World::new(
            &format!(
                "CREATE TABLE t (k {of} PRIMARY KEY, v text); INSERT INTO t VALUES ('{updated}', 'x'), ('{deleted}', 'y')"
            ),
            "t: {natural_key: [k], limits: {delete: 1}}",
        );
        let before = world.rows("SELECT k::text, v FROM t ORDER BY 1");
        world.deliver("b", "t.csv", format!("k,v\n{updated},z\n{inserted},n\n"));
        world.deliver("b", "t/delete/1.csv", format!("k\n{deleted}\n"));
        world.apply(&world.plan("b")).ok();
        let now = world.rows("SELECT k::text, v FROM t ORDER BY 1");
        let retype = |to: &str| world.sql(&format!("ALTER TABLE t ALTER k TYPE {to}"));
        let rollback = || world.loader(&["rollback", "--batch-id", "b", "--force"]);
        retype(to);
        if spelled_alike {
            rollback().ok();
        } else {
            rollback()
                .exits(4)
                .says("the type of k, a column of the natural key, was")
                .says("give it its type of then until these loads are taken back");
            retype(of);
            assert_eq!(world.rows("SELECT k::text, v FROM t ORDER BY 1"), now);
            rollback().ok();
        }
        assert_eq!(
            world.rows("SELECT k::text, v FROM t ORDER BY 1"),
            before,
            "{of} {to}"
        );
    }
}

/// How a value that no row holds any more was converted, nobody knows: in which zone, or in which style.
#[test]
fn values_that_loads_emptied_are_not_put_back_by_guess() {
    for (ty, first, alter) in [
        (
            "timestamp",
            "2024-07-01 12:00",
            "timestamptz USING at AT TIME ZONE 'Asia/Tokyo'",
        ),
        (
            "timestamptz",
            "2024-07-01 12:00Z",
            "timestamp USING at AT TIME ZONE 'Asia/Tokyo'",
        ),
        ("date", "2024-07-01", "text USING to_char(at, 'DD/MM/YYYY')"),
    ] {
        let stage = Stage::new(
            &format!(
                "CREATE TABLE t (k text PRIMARY KEY, at {ty}); INSERT INTO t VALUES ('a', '{first}'), ('b', '{first}')"
            ),
            "t: {natural_key: [k], conflict_resolution: replace}",
        );
        stage.deliver("b", &[("t/1.json", r#"{"k": "a", "at": null}"#)]);
        stage.load("b");
        stage.sql(&format!("ALTER TABLE t ALTER at TYPE {alter}"));
        let before = stage.state();
        stage.roll_back("b").exits(4).says_all(&[
            "t: the type of at was",
            "in which time zone or style it was converted is not known",
        ]);
        assert_eq!(stage.state(), before, "{ty}");
    }
}
