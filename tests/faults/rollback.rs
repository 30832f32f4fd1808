//! What was loaded can be taken back exactly, and what happened can be looked up.

use crate::harness::Stage;

/// Every kind of column whose text is easily lost on the way.
const TABLES: &str = r#"
CREATE TABLE site (code text PRIMARY KEY, name text NOT NULL);
CREATE TABLE subject (
  id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  number serial,
  gsid text PRIMARY KEY,
  site text REFERENCES site,
  mother text REFERENCES subject,
  note json, doc jsonb, weight float8, dims int[], born date, seen timestamptz, amount numeric(12,3),
  flag bool, raw bytea, span interval, address inet, code char(5), words text[],
  doubled numeric GENERATED ALWAYS AS (amount * 2) STORED,
  kind text NOT NULL DEFAULT 'std',
  updated_at timestamptz NOT NULL DEFAULT '2001-01-01', changed_by text DEFAULT 'nobody', batch text
);
INSERT INTO site VALUES ('S1', 'one'), ('S2', 'two');
INSERT INTO subject (gsid, site, mother, note, doc, weight, dims, born, seen, amount, flag, raw, span, address, code, words)
VALUES ('A', 'S1', NULL, '{"b": 1,   "a": [1.0, -0], "b": 2}', '{"x": null}', '-0', '[2:3]={1,2}', '0044-03-15 BC',
  'infinity', '1.50', true, '\x00ff', '1 mon 24:00:00', '10.0.0.1/8', 'ab', '{"NULL",NULL,"a,b"}'),
 ('B', NULL, 'A', 'null', 'null', 'NaN', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
 ('C', 'S2', NULL, NULL, NULL, 0.1, NULL, '2020-02-02', '2020-02-02 02:02:02.123456+02', 3, false, '', '0', '::1', '', '{}');
"#;
const CONFIG: &str = "
site: {natural_key: [code]}
subject:
  natural_key: [gsid]
  conflict_resolution: replace
  stamps: {updated_at: now, changed_by: actor, batch: batch_id}
";
const BATCH: [(&str, &str); 3] = [
    (
        "site/1.json",
        r#"[{"code": "S1", "name": "uno"}, {"code": "S3", "name": "three"}]"#,
    ),
    (
        "subject/1.json",
        r#"{"fragment_id": "f1", "data": {"gsid": "A", "site": "S3", "mother": "D", "note": {"z": [1, 2.50]}, "doc": {"y": 1},
            "weight": 0, "dims": [7], "born": null, "seen": "2024-01-01T00:00:00Z", "amount": 2.25, "flag": false,
            "raw": "\\x01", "span": "2 days", "address": "10.0.0.2", "code": "xyz", "words": ["q"]}}"#,
    ),
    (
        "subject/2.json",
        r#"{"records": [
            {"gsid": "D", "mother": "E", "note": "a string", "weight": "-0", "dims": "[0:1]={5,6}", "amount": "0.100"},
            {"gsid": "E", "site": "S3", "doc": null, "raw": "\\xdead"},
            {"gsid": "C", "site": "S2"},
            {"gsid": "B", "mother": null, "note": null, "doc": {"a": 1}, "weight": 1}]}"#,
    ),
];

#[test]
fn puts_every_column_back_and_forth() {
    let stage = Stage::new(TABLES, CONFIG);
    stage.deliver("b1", &BATCH);
    let before = stage.data();
    let queue_before = stage.one(QUEUE);
    let loaded = stage.load("b1");
    let after = stage.data();
    let queue_after = stage.one(QUEUE);
    assert_ne!(before, after);
    assert!(after.contains(",curator,b1)"), "{after}");

    stage
        .roll_back("b1")
        .exits(0)
        .says_all(&["3 updated", "3 deleted"]);
    assert_eq!(stage.data(), before);
    assert_eq!(stage.one(QUEUE), queue_before);
    stage.is_free();

    // Everything is taken back already.
    stage
        .roll_back("b1")
        .exits(1)
        .says_all(&["taken back already"]);
    stage
        .loader(&["rollback", "--application", &loaded, "--force"])
        .exits(1)
        .says_all(&["taken back already"]);

    // The rollback of the rollback gives the state after apply, identities and stamps included.
    let undo = stage.one("SELECT application FROM loader_ledger ORDER BY sequence DESC LIMIT 1");
    stage
        .loader(&["rollback", "--application", &undo, "--force"])
        .exits(0)
        .says_all(&["3 inserted"]);
    assert_eq!(stage.data(), after);
    assert_eq!(strip(&stage.one(QUEUE)), strip(&queue_after));

    // And that again.
    let redo = stage.one("SELECT application FROM loader_ledger ORDER BY sequence DESC LIMIT 1");
    stage
        .loader(&["rollback", "--application", &redo, "--force"])
        .exits(0);
    assert_eq!(stage.data(), before);
    assert_eq!(stage.one(QUEUE), queue_before);

    // The batch can be planned and applied again: the same but for identities and the clock.
    let again = stage.plan("b1");
    stage
        .apply_again(&again)
        .exits(0)
        .says_all(&["3 inserted, 3 updated"]);
    stage.roll_back("b1").exits(0);
    assert_eq!(stage.data(), before);
    // The very same plan too, but not unasked.
    stage.loader(&["apply", &again, "--force"]).exits(5);
    stage.apply_again(&again).exits(0).says_all(&["Applied:"]);
    stage
        .loader(&["apply", &again, "--force"])
        .exits(0)
        .says_all(&["Applied already"]);
}

const QUEUE: &str = "SELECT string_agg(concat_ws('|', id, status, loaded_at, error_message, application), E'\\n' ORDER BY id) FROM validation_queue";

/// Id and status of each entry.
fn strip(queue: &str) -> Vec<String> {
    let entry = |l: &str| l.split('|').take(2).collect::<Vec<_>>().join("|");
    queue.lines().map(entry).collect()
}

#[test]
fn the_queue_is_as_it_stood_before() {
    let stage = Stage::new(
        "CREATE TABLE t (k int PRIMARY KEY, v int CHECK (v < 100))",
        "t: {natural_key: [k], on_invalid: reject}",
    );
    stage.deliver(
        "b",
        &[
            ("t/good.json", r#"{"k": 1, "v": 1}"#),
            ("t/bad.json", r#"{"k": 2, "v": "many"}"#),
        ],
    );
    stage.sql(
        "UPDATE validation_queue SET loaded_at = '2020-01-01', error_message = 'seen' WHERE s3_key LIKE '%good%'",
    );
    let before = stage.one(QUEUE);
    stage.load("b");
    let now = stage.one(QUEUE);
    assert!(
        now.contains("|loaded|") && now.contains("|failed|"),
        "{now}"
    );
    assert_eq!(stage.one("SELECT status FROM batch_load_log"), "partial");
    stage.roll_back("b").exits(0);
    assert_eq!(stage.one(QUEUE), before);
}

#[test]
fn loads_of_one_batch_are_composed_newest_first() {
    let stage = Stage::new(
        "CREATE TABLE t (k int PRIMARY KEY, a text, b text); INSERT INTO t VALUES (1, 'old', 'old'), (2, 'old', 'old')",
        "t: {natural_key: [k]}",
    );
    let before = stage.data();
    stage.deliver(
        "b",
        &[("t/1.json", r#"[{"k": 1, "a": "x"}, {"k": 3, "a": "new"}]"#)],
    );
    let first = stage.load("b");
    let between = stage.data();
    stage.deliver(
        "b",
        &[(
            "t/1.json",
            r#"[{"k": 1, "a": "y", "b": "y"}, {"k": 2, "b": "z"}, {"k": 3, "a": "newer"}]"#,
        )],
    );
    let second = stage.load("b");

    // The older one cannot go first.
    stage
        .loader(&["rollback", "--application", &first, "--force"])
        .exits(3)
        .says_all(&["t", "1", "3", &second]);
    // Both at once, and one after the other.
    stage
        .roll_back("b")
        .exits(0)
        .says_all(&["2 updated", "1 deleted"]);
    assert_eq!(stage.data(), before);
    let both = stage.one("SELECT application FROM loader_ledger WHERE kind = 'rollback'");
    stage
        .loader(&["rollback", "--application", &both, "--force"])
        .exits(0);
    stage
        .loader(&["rollback", "--application", &second, "--force"])
        .exits(0);
    assert_eq!(stage.data(), between);
    stage
        .loader(&["rollback", "--application", &first, "--force"])
        .exits(0);
    assert_eq!(stage.data(), before);
}

const PAIR: &str = "CREATE TABLE parent (k text PRIMARY KEY, v text); \
    CREATE TABLE child (k text PRIMARY KEY, parent text REFERENCES parent {ACTION}, v text); \
    INSERT INTO parent VALUES ('p0', 'old'); INSERT INTO child VALUES ('c0', 'p0', 'old')";
const PAIR_CONFIG: &str = "parent: {natural_key: [k]}\nchild: {natural_key: [k]}";

fn pair(action: &str) -> Stage {
    let stage = Stage::new(&PAIR.replace("{ACTION}", action), PAIR_CONFIG);
    stage.deliver(
        "b",
        &[
            (
                "parent/1.json",
                r#"[{"k": "p0", "v": "new"}, {"k": "p1", "v": "one"}]"#,
            ),
            ("child/1.json", r#"[{"k": "c1", "parent": "p1"}]"#),
        ],
    );
    stage.load("b");
    stage
}

#[test]
fn refuses_rows_that_changed_since() {
    let stage = pair("");
    stage.sql("UPDATE parent SET v = 'theirs' WHERE k IN ('p0', 'p1')");
    let now = stage.state();
    stage
        .roll_back("b")
        .exits(3)
        .says_all(&["parent", "p0", "p1", "changed"])
        .omits("c1");
    let rows = stage
        .loader(&["rollback", "--batch-id", "b", "--force", "--json"])
        .exits(3)
        .json();
    assert_eq!(rows["rows"].as_array().unwrap().len(), 2, "{rows}");
    assert_eq!(stage.state(), now);
}

#[test]
fn refuses_rows_that_a_later_batch_changed_and_names_it() {
    let stage = pair("");
    stage.deliver("later", &[("parent/1.json", r#"{"k": "p1", "v": "two"}"#)]);
    let later = stage.load("later");
    let now = stage.state();
    stage
        .roll_back("b")
        .exits(3)
        .says_all(&["p1", "curator", "batch later", &later])
        .omits("p0");
    assert_eq!(stage.state(), now);
    // Once the later one is taken back, the earlier one can be.
    stage.roll_back("later").exits(0);
    stage.roll_back("b").exits(0);
}

/// A row that later loads changed and left as it had been is theirs now: that its values are those of the older load
/// says nothing.
#[test]
fn refuses_rows_that_later_loads_left_as_they_were() {
    for trigger in ["", MODIFIED] {
        let stage = Stage::new(
            &format!(
                "CREATE TABLE t (k text PRIMARY KEY, v text, modified int NOT NULL DEFAULT 0); {trigger}; \
                 INSERT INTO t VALUES ('K', 'v0'), ('gone', 'v0'), ('own', 'v0')"
            ),
            "t: {natural_key: [k], limits: {delete: 5}}",
        );
        let first = r#"[{"k": "K", "v": "v1"}, {"k": "N", "v": "n"}, {"k": "own", "v": "v1"}]"#;
        stage.deliver(
            "a",
            &[
                ("t/1.json", first),
                ("t/delete/1.json", r#"[{"k": "gone"}]"#),
            ],
        );
        stage.deliver(
            "b",
            &[
                (
                    "t/1.json",
                    r#"[{"k": "K", "v": "v2"}, {"k": "gone", "v": "v2"}]"#,
                ),
                ("t/delete/1.json", r#"[{"k": "N"}]"#),
            ],
        );
        let again = r#"[{"k": "K", "v": "v1"}, {"k": "N", "v": "n"}]"#;
        stage.deliver(
            "c",
            &[
                ("t/1.json", again),
                ("t/delete/1.json", r#"[{"k": "gone"}]"#),
            ],
        );
        let before = stage.data();
        stage.load("a");
        let undo = ["rollback", "--batch-id", "a", "--out", "undo.json"];
        stage.loader(&undo).exits(0);
        stage.load("b");
        let last = stage.load("c");
        let now = stage.state();
        let why = ["loaded since with the same outcome", &last, "--keep-edited"];
        stage
            .roll_back("a")
            .exits(3)
            .says_all(&["k=K", "k=N", "k=gone"])
            .says_all(&why)
            .omits("own");
        // A plan from before says so too, when it is asked and when it is applied.
        for args in [
            &["check", "undo.json"][..],
            &["apply", "undo.json", "--force"],
        ] {
            stage.loader(args).exits(3);
        }
        assert_eq!(stage.state(), now);
        // They can be kept, or taken back too, or stand no longer against it once they are taken back.
        stage
            .loader(&[
                "rollback",
                "--batch-id",
                "a",
                "--keep-edited",
                "--out",
                "kept.json",
            ])
            .exits(0)
            .says_all(&["1 to update"]);
        stage
            .loader(&[
                "rollback",
                "--batch-id",
                "a",
                "--with-dependents",
                "--force",
            ])
            .exits(0);
        let values = |data: &str| data.replace(char::is_numeric, "");
        assert_eq!(values(&stage.data()), values(&before));
        // Or one after the other, newest first.
        for batch in ["a", "b", "c"] {
            let plan = stage.plan(batch);
            stage.apply_again(&plan).exits(0);
        }
        for batch in ["c", "b", "a"] {
            stage.roll_back(batch).exits(0);
        }
        assert_eq!(values(&stage.data()), values(&before));
    }
}

const MODIFIED: &str = "CREATE FUNCTION modified() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN NEW.modified := coalesce(OLD.modified, 0) + 1; RETURN NEW; END $$; \
    CREATE TRIGGER modified BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION modified()";

/// Two loads of a batch, and between them loads of another that ended where they had begun.
#[test]
fn refuses_rows_that_others_loaded_in_between() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text); INSERT INTO t VALUES ('K', 'v0')",
        "t: {natural_key: [k]}",
    );
    for (batch, v) in [("a", "v1"), ("b", "v2"), ("b", "v1"), ("a", "v3")] {
        stage.deliver(
            batch,
            &[("t/1.json", &format!(r#"{{"k": "K", "v": "{v}"}}"#))],
        );
        stage.load(batch);
    }
    let now = stage.state();
    stage.roll_back("a").exits(3).says("loaded since");
    assert_eq!(stage.state(), now);
    // And a rollback of a rollback.
    let undo = "SELECT application FROM loader_ledger ORDER BY sequence DESC LIMIT 1";
    let newest = stage.one(undo);
    stage
        .loader(&["rollback", "--application", &newest, "--force"])
        .exits(0);
    let rollback = stage.one(undo);
    for (batch, v) in [("d", "v4"), ("e", "v1")] {
        stage.deliver(
            batch,
            &[("t/1.json", &format!(r#"{{"k": "K", "v": "{v}"}}"#))],
        );
        stage.load(batch);
    }
    stage
        .loader(&["rollback", "--application", &rollback, "--force"])
        .exits(3)
        .says("loaded since");
    for batch in ["e", "d"] {
        stage.roll_back(batch).exits(0);
    }
    stage
        .loader(&["rollback", "--application", &rollback, "--force"])
        .exits(0);
    assert_eq!(stage.data(), "t (K,v3)");
}

#[test]
fn refuses_rows_that_are_gone() {
    let stage = pair("");
    stage.sql("DELETE FROM child WHERE k = 'c1'");
    let now = stage.state();
    stage.roll_back("b").exits(3).says_all(&["child", "c1"]);
    assert_eq!(stage.state(), now);
}

#[test]
fn refuses_keys_that_appeared_again() {
    let stage = pair("");
    stage.roll_back("b").exits(0);
    let undo = stage.one("SELECT application FROM loader_ledger WHERE kind = 'rollback'");
    stage.sql("INSERT INTO parent VALUES ('p1', 'theirs')");
    let now = stage.state();
    stage
        .loader(&["rollback", "--application", &undo, "--force"])
        .exits(3)
        .says_all(&["parent", "p1"]);
    assert_eq!(stage.state(), now);
}

/// What `check` and `apply` say of a row that refers since to one which goes.
const REFERS: &str = "1 row of child refers to rows that this plan deletes, since it was made";

#[test]
fn refuses_what_others_refer_to_whatever_the_foreign_key_would_do() {
    for action in [
        "",
        "ON DELETE CASCADE",
        "ON DELETE SET NULL",
        "ON DELETE SET DEFAULT",
    ] {
        let stage = pair(action);
        // Planned while nobody referred to it …
        stage
            .loader(&["rollback", "--batch-id", "b", "--out", "undo.json"])
            .exits(0);
        stage.sql("INSERT INTO child VALUES ('theirs', 'p1', 'x')");
        let now = stage.state();
        // … and applied when somebody does.
        stage.loader(&["check", "undo.json"]).exits(3).says(REFERS);
        let run = stage.loader(&["apply", "undo.json", "--force"]);
        // Where nothing would stand against it, the rows that would change are counted.
        match action {
            "" => run.exits(3).says(REFERS),
            _ => run.exits(4),
        };
        assert_eq!(stage.state(), now, "{action}");
        stage
            .roll_back("b")
            .exits(4)
            .says_all(&["theirs", "child", "parent"]);
        assert_eq!(stage.state(), now, "{action}");
        stage.sql("UPDATE child SET parent = 'p0' WHERE k = 'theirs'");
        stage.roll_back("b").exits(0);
        assert!(stage.data().contains("(theirs,p0,x)"));
    }
}

#[test]
fn refuses_what_a_table_outside_the_load_refers_to() {
    for action in ["", "ON DELETE CASCADE", "ON DELETE SET NULL"] {
        let stage = pair("");
        stage.sql(&format!(
            "CREATE TABLE other (id int, parent text REFERENCES parent {action}); INSERT INTO other VALUES (7, 'p1')"
        ));
        let now = stage.state();
        stage.roll_back("b").exits(4).says_all(&["other", "parent"]);
        assert_eq!(stage.state(), now, "{action}");
    }
}

/// A value that goes back, and that rows hold which refer to it: whether the database would refuse it or take it from them.
#[test]
fn refuses_to_change_what_others_refer_to_whatever_the_foreign_key_would_do() {
    for action in ["", "ON UPDATE SET NULL", "ON UPDATE SET DEFAULT"] {
        for (allowed, code) in [("", 4), (", allow_side_effects: [kid]", 3)] {
            let stage = Stage::new(
                &format!(
                    "CREATE TABLE item (k text PRIMARY KEY, u text UNIQUE); INSERT INTO item VALUES ('1', 'old'); \
                     CREATE TABLE kid (id int PRIMARY KEY, u text REFERENCES item (u) {action})"
                ),
                &format!("item: {{natural_key: [k]{allowed}}}"),
            );
            stage.deliver("b", &[("item.json", r#"[{"k": "1", "u": "new"}]"#)]);
            stage.load("b");
            let out = ["rollback", "--batch-id", "b", "--out", "undo.json"];
            stage.loader(&out).exits(0);
            stage.sql("INSERT INTO kid VALUES (7, 'new')");
            let now = stage.state();
            stage
                .roll_back("b")
                .exits(4)
                .says("kid id=7 refers to item k=1, of which that value would change");
            assert_eq!(stage.state(), now, "{action}");
            let run = stage.loader(&["apply", "undo.json", "--force"]);
            if !action.is_empty() {
                run.exits(code).omits("came since");
            }
            assert_eq!(stage.state(), now, "{action}");
            stage.sql("DELETE FROM kid");
            stage.roll_back("b").exits(0);
        }
    }
}

#[test]
fn refuses_where_somebody_else_wrote_between_two_loads() {
    let stage = Stage::new(
        "CREATE TABLE t (k int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'old'), (2, 'old')",
        "t: {natural_key: [k]}",
    );
    stage.deliver(
        "b",
        &[("t/1.json", r#"[{"k": 1, "v": "x"}, {"k": 2, "v": "x"}]"#)],
    );
    stage.load("b");
    stage.sql("UPDATE t SET v = 'theirs' WHERE k = 2");
    stage.deliver(
        "b",
        &[("t/1.json", r#"[{"k": 1, "v": "y"}, {"k": 2, "v": "y"}]"#)],
    );
    stage.load("b");
    let now = stage.state();
    stage
        .roll_back("b")
        .exits(4)
        .says_all(&["between two of these loads", "2"]);
    assert_eq!(stage.state(), now);
}

#[test]
fn an_edited_or_stale_rollback_is_refused() {
    let stage = pair("");
    stage
        .loader(&["rollback", "--batch-id", "b", "--out", "undo.json"])
        .exits(0);
    let text = std::fs::read_to_string(stage.path("undo.json")).unwrap();
    stage.write("edited.json", text.replace("\"old\"", "\"mine\""));
    let now = stage.state();
    stage.loader(&["apply", "edited.json", "--force"]).exits(6);
    stage.loader(&["apply", "undo.json"]).exits(5);
    stage.sql("UPDATE parent SET v = 'theirs' WHERE k = 'p0'");
    stage
        .loader(&["apply", "undo.json", "--force"])
        .exits(3)
        .says_all(&["p0"]);
    stage.sql("UPDATE parent SET v = 'new' WHERE k = 'p0'");
    assert_eq!(stage.state(), now);
    stage.loader(&["apply", "undo.json", "--force"]).exits(0);
    stage
        .loader(&["apply", "undo.json", "--force"])
        .exits(0)
        .says_all(&["Applied already"]);
}

#[test]
fn what_was_taken_back_is_not_taken_back_by_another_plan_though_all_rows_are_as_it_saw_them() {
    let stage = pair("");
    stage
        .loader(&[
            "rollback",
            "--batch-id",
            "b",
            "--max-deletes",
            "90%",
            "--out",
            "other.json",
        ])
        .exits(0);
    stage.sql(
        "CREATE TABLE loaded_parent AS TABLE parent; CREATE TABLE loaded_child AS TABLE child",
    );
    stage.roll_back("b").exits(0);
    // Somebody else enters the same by hand: that is theirs now.
    stage.sql(
        "SET session_replication_role = replica; DELETE FROM parent; DELETE FROM child; \
         INSERT INTO parent TABLE loaded_parent; INSERT INTO child TABLE loaded_child",
    );
    let now = stage.state();
    stage
        .loader(&["apply", "other.json", "--force"])
        .exits(6)
        .says_all(&["was taken back already"]);
    assert_eq!(stage.state(), now);
}

#[test]
fn soft_delete_marks_and_revives() {
    let stage = Stage::new(
        "CREATE TABLE t (id serial, k text, v text, deleted_at timestamptz, updated_at timestamptz DEFAULT '2001-01-01'); \
         CREATE UNIQUE INDEX ON t (k); \
         INSERT INTO t (k, v) VALUES ('a', 'old'); INSERT INTO t (k, v, deleted_at) VALUES ('gone', 'v', '2020-01-01')",
        "t: {natural_key: [k], soft_delete: true}",
    );
    stage.deliver(
        "b",
        &[(
            "t/1.json",
            r#"[{"k": "a", "v": "new"}, {"k": "n", "v": "n"}, {"k": "gone", "v": "v"}]"#,
        )],
    );
    let before = stage.data();
    let plan = stage.plan("b");
    stage
        .loader(&["show", &plan])
        .exits(0)
        .says_all(&["deleted_at", "gone"]);
    stage
        .loader(&["apply", &plan, "--force"])
        .exits(0)
        .says_all(&["1 inserted, 2 updated"]);
    let after = stage.data();
    assert_eq!(
        stage.one("SELECT count(*) FROM t WHERE deleted_at IS NULL"),
        "3"
    );

    stage.roll_back("b").exits(0);
    assert_eq!(
        stage.one("SELECT string_agg(k, ' ' ORDER BY k) FROM t WHERE deleted_at IS NOT NULL"),
        "gone n"
    );
    // All but the row that is marked instead of removed is as before.
    let rest: Vec<String> = stage
        .data()
        .lines()
        .filter(|l| !l.contains(",n,n,"))
        .map(str::to_owned)
        .collect();
    assert_eq!(rest.join("\n"), before);

    // The rollback of the rollback takes the marks away.
    let undo = stage.one("SELECT application FROM loader_ledger WHERE kind = 'rollback'");
    stage
        .loader(&["rollback", "--application", &undo, "--force"])
        .exits(0);
    assert_eq!(stage.data(), after);
    let redo = stage.one("SELECT application FROM loader_ledger ORDER BY sequence DESC LIMIT 1");
    stage
        .loader(&["rollback", "--application", &redo, "--force"])
        .exits(0);

    // A record for the marked row revives it, and the plan says so.
    let plan = stage.plan("b");
    let shown = stage.loader(&["show", &plan]).exits(0);
    let n = shown.stdout.lines().find(|l| l.contains("k=n"));
    assert!(
        n.is_some_and(|l| l.contains("(was deleted; comes back)")),
        "{shown}"
    );
    stage
        .loader(&["apply", &plan, "--force"])
        .exits(0)
        .says_all(&["0 inserted, 3 updated"]);
    assert_eq!(
        stage.one("SELECT count(*) FROM t WHERE deleted_at IS NULL"),
        "3"
    );
}

#[test]
fn soft_delete_without_such_a_column_is_a_configuration_error() {
    for (value, column) in [("true", "deleted_at"), ("removed_on", "removed_on")] {
        let stage = Stage::new(
            "CREATE TABLE t (k text PRIMARY KEY)",
            &format!("t: {{natural_key: [k], soft_delete: {value}}}"),
        );
        stage.deliver("b", &[("t/1.json", r#"{"k": "a"}"#)]);
        stage
            .loader(&["plan", "--batch-id", "b", "--out", "p.json"])
            .exits(1)
            .says_all(&["soft_delete", column]);
    }
}

#[test]
fn without_an_audit_log_there_is_no_rollback() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text); CREATE TABLE u (k text PRIMARY KEY)",
        "t: {natural_key: [k], audit_changes: false}\nu: {natural_key: [k]}",
    );
    stage.deliver(
        "b",
        &[("t/1.json", r#"{"k": "a"}"#), ("u/1.json", r#"{"k": "b"}"#)],
    );
    let plan = stage.plan("b");
    stage
        .loader(&["show", &plan])
        .exits(0)
        .says_all(&["audit_changes"]);
    stage.loader(&["apply", &plan, "--force"]).exits(0);
    let now = stage.state();
    stage
        .roll_back("b")
        .exits(4)
        .says_all(&["audit_changes", "t"]);
    // Nor where the log was tidied up.
    stage.deliver("c", &[("u/1.json", r#"{"k": "c"}"#)]);
    stage.load("c");
    stage.sql("DELETE FROM audit_log WHERE batch_id = 'c'");
    stage.roll_back("c").exits(4).says_all(&["audit log", "u"]);
    assert_eq!(now.data.lines().count() + 1, stage.data().lines().count());
}

#[test]
fn a_trigger_that_sets_a_column_does_not_stand_in_the_way() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text, updated_at timestamptz DEFAULT '2001-01-01', edits int NOT NULL DEFAULT 0); \
         CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN NEW.updated_at := clock_timestamp(); NEW.edits := OLD.edits + 1; RETURN NEW; END $$; \
         CREATE TRIGGER touch BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch(); \
         INSERT INTO t VALUES ('a', 'old'), ('b', 'old')",
        "t: {natural_key: [k]}",
    );
    stage.deliver(
        "b",
        &[(
            "t/1.json",
            r#"[{"k": "a", "v": "new"}, {"k": "c", "v": "new"}]"#,
        )],
    );
    let before = stage.one("SELECT string_agg(concat_ws(' ', k, v), E'\\n' ORDER BY k) FROM t");
    stage.load("b");
    stage
        .loader(&["rollback", "--batch-id", "b", "--out", "undo.json"])
        .exits(0);
    stage
        .loader(&["show", "undo.json"])
        .exits(0)
        .says_all(&["touch"]);
    stage.loader(&["apply", "undo.json", "--force"]).exits(0);
    assert_eq!(
        stage.one("SELECT string_agg(concat_ws(' ', k, v), E'\\n' ORDER BY k) FROM t"),
        before
    );
    assert_eq!(stage.one("SELECT edits FROM t WHERE k = 'a'"), "2");
    assert_eq!(
        stage.one("SELECT edits || updated_at::text FROM t WHERE k = 'b'"),
        "02001-01-01 00:00:00+00"
    );
}

#[test]
fn rollbacks_of_rollbacks_go_on_where_triggers_set_columns() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text, seen timestamptz, edits int, removed_on timestamptz); \
         CREATE TABLE u (k text PRIMARY KEY, v text, seen timestamptz, edits int NOT NULL DEFAULT 7); \
         CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS \
           $$ BEGIN NEW.seen := clock_timestamp(); NEW.edits := coalesce(OLD.edits, 0) + 1; RETURN NEW; END $$; \
         CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch(); \
         CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON u FOR EACH ROW EXECUTE FUNCTION touch(); \
         INSERT INTO t (k, v) VALUES ('a', 'old'); INSERT INTO u (k, v) VALUES ('a', 'old')",
        "{t: {natural_key: [k], soft_delete: removed_on}, u: {natural_key: [k]}}",
    );
    let batch = r#"[{"k": "a", "v": "new"}, {"k": "n", "v": "new"}]"#;
    stage.deliver("b", &[("t/1.json", batch), ("u/1.json", batch)]);
    let live = "SELECT string_agg(concat_ws(' ', k, v), ', ' ORDER BY k) || ' / ' \
        || (SELECT string_agg(concat_ws(' ', k, v), ', ' ORDER BY k) FROM u) FROM t WHERE removed_on IS NULL";
    let before = stage.one(live);
    let mut last = stage.load("b");
    let after = stage.one(live);
    assert_eq!(after, "a new, n new / a new, n new");
    for round in 0..3 {
        for expected in [&before, &after] {
            let run = stage.loader(&["rollback", "--application", &last, "--force", "--json"]);
            last = run.exits(0).json()["application"]
                .as_str()
                .unwrap()
                .to_owned();
            assert_eq!(stage.one(live), *expected, "round {round}");
        }
    }
}

/// A trigger counts a row's versions, and the table is another one, or is called otherwise, when the later load comes.
#[test]
fn an_earlier_load_is_taken_back_after_a_later_one_whatever_else_became_of_the_table() {
    let by_code = "item: {natural_key: [code], ignore_drift: [x]}";
    let edit = "ALTER TABLE item DISABLE TRIGGER vers; UPDATE item SET x = 9; ALTER TABLE item ENABLE TRIGGER vers";
    for (between, config, object) in [
        ("SELECT 1", by_code, "item/1.json"),
        (
            "ALTER TABLE item ADD extra text DEFAULT 'e'",
            by_code,
            "item/1.json",
        ),
        ("ALTER TABLE item DROP old", by_code, "item/1.json"),
        (
            "ALTER TABLE item ALTER p TYPE numeric(10,3)",
            by_code,
            "item/1.json",
        ),
        (
            "ALTER TABLE item ALTER at TYPE timestamptz",
            by_code,
            "item/1.json",
        ),
        (
            "ALTER TABLE item ALTER version TYPE bigint",
            by_code,
            "item/1.json",
        ),
        (
            "ALTER TABLE item ADD g text GENERATED ALWAYS AS (upper(name)) STORED",
            by_code,
            "item/1.json",
        ),
        (edit, by_code, "item/1.json"),
        (
            "SELECT 1",
            "public.item: {natural_key: [code], ignore_drift: [x]}",
            "public.item/1.json",
        ),
        (
            "SELECT 1",
            "item: {natural_key: [id], ignore_drift: [x]}",
            "item/1.json",
        ),
    ] {
        let what = format!("{between} {config}");
        let stage = Stage::new(
            "CREATE TABLE item (id int PRIMARY KEY, code text UNIQUE, name text, old text DEFAULT 'o', x int, \
               p numeric(8,2) DEFAULT 1, at timestamp DEFAULT '2024-01-01 10:00', version int NOT NULL DEFAULT 1); \
             CREATE FUNCTION vers() RETURNS trigger LANGUAGE plpgsql AS \
               $$ BEGIN NEW.version := OLD.version + 1; RETURN NEW; END $$; \
             CREATE TRIGGER vers BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION vers(); \
             INSERT INTO item (id, code, name) VALUES (1, 'A', 'old')",
            by_code,
        );
        stage.set("LOADER_QUEUE", "off");
        let rows = |name: &str| {
            format!(
                r#"[{{"id": 1, "code": "A", "name": "{name}"}}, {{"id": 2, "code": "B", "name": "{name}"}}]"#
            )
        };
        stage.deliver("one", &[("item/1.json", &rows("one"))]);
        stage.load("one");
        stage.sql(between);
        stage.configure(config);
        stage.deliver("two", &[(object, &rows("two"))]);
        stage.load("two");
        stage.roll_back("two").exits(0);
        // What somebody else changes is found as ever.
        stage.sql("ALTER TABLE item DISABLE TRIGGER vers; UPDATE item SET p = 7");
        let refused = stage.roll_back("one");
        assert_eq!(refused.code, Some(3), "{what}: {refused}");
        stage.sql("UPDATE item SET p = 1; ALTER TABLE item ENABLE TRIGGER vers");
        let run = stage.roll_back("one");
        assert_eq!(run.code, Some(0), "{what}: {run}");
        assert_eq!(
            stage.rows("SELECT code, name FROM item"),
            ["A|old"],
            "{what}"
        );
    }
}

/// A place is unique, and what moves out of it refers to another box: one there already, or one
/// that comes with the batch.
#[test]
fn a_place_that_one_row_leaves_another_may_take() {
    let stage = Stage::new(
        "CREATE TABLE box (k text PRIMARY KEY); \
         CREATE TABLE tube (k text PRIMARY KEY, box text REFERENCES box, place int, beside text REFERENCES tube, UNIQUE (box, place)); \
         INSERT INTO box VALUES ('x'), ('y'); INSERT INTO tube VALUES ('a', 'x', 1), ('b', 'x', 2), ('c', 'y', 1)",
        "{box: {natural_key: [k]}, tube: {natural_key: [k]}}",
    );
    let before = stage.data();
    stage.deliver(
        "b",
        &[
            ("box/1.json", r#"{"k": "z"}"#),
            (
                "tube/1.json",
                r#"[{"k": "a", "box": "y", "place": 5}, {"k": "b", "box": "z", "place": 1},
                    {"k": "n", "box": "x", "place": 1}, {"k": "m", "box": "x", "place": 2, "beside": "n"}, {"k": "c", "beside": "m"}]"#,
            ),
        ],
    );
    stage.load("b");
    let after = stage.data();
    stage
        .roll_back("b")
        .exits(0)
        .says_all(&["3 updated, 3 deleted"]);
    assert_eq!(stage.data(), before);
    let undo = stage.one("SELECT application FROM loader_ledger ORDER BY sequence DESC LIMIT 1");
    let redo = stage.loader(&["rollback", "--application", &undo, "--force"]);
    redo.exits(0).says_all(&["3 inserted, 3 updated"]);
    assert_eq!(stage.data(), after);
}

#[test]
fn history_and_audit_tell_who_when_what_from_where_and_undone_by_what() {
    let stage = pair("");
    let load = stage.one("SELECT application FROM loader_ledger");
    stage
        .command(&["rollback", "--batch-id", "b", "--force"])
        .env("LOADER_ACTOR", "dana")
        .output()
        .unwrap();
    let undo = stage.one("SELECT application FROM loader_ledger WHERE kind = 'rollback'");
    let year = stage.one("SELECT extract(year FROM now())");

    let text = stage.loader(&["history"]).exits(0);
    let rolled_back = format!("rolled back by {undo}");
    let lines: Vec<&str> = text.stdout.lines().collect();
    assert!(lines.iter().all(|l| l.chars().count() <= 80), "{text}");
    let paragraph = |of: &str| {
        let at = lines.iter().position(|l| l.contains(of)).unwrap();
        lines[at..]
            .iter()
            .take(3)
            .copied()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let line = paragraph("load of batch b");
    for word in ["curator", &year, &load, "in effect"] {
        assert_eq!(line.contains(word), word != "in effect", "{word}: {text}");
    }
    assert!(
        text.stdout
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .contains(&rolled_back),
        "{text}"
    );
    let line = paragraph("rollback of batch b");
    for word in ["dana", "in effect", &undo] {
        assert!(line.contains(word), "{word}: {text}");
    }
    let json = stage
        .loader(&["history", "--batch-id", "b", "--json"])
        .exits(0)
        .json();
    let all = json["applications"].as_array().unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0]["undoes"][0], load.as_str());
    assert_eq!(all[1]["undone_by"], undo.as_str());
    assert_eq!(all[1]["actor"], "curator");
    assert!(all[1]["applied_at"].as_str().unwrap().starts_with(&year));
    assert_eq!(
        stage
            .loader(&["history", "--batch-id", "none"])
            .exits(0)
            .says_all(&["Nothing of batch none has been applied"])
            .stdout,
        ""
    );

    let text = stage
        .loader(&["audit", "--table", "parent", "--key", "p0"])
        .exits(0)
        .says_all(&[
            "curator",
            "dana",
            "staging/b/parent/1.json#1",
            "v: \"old\" → \"new\"",
            &rolled_back,
            "batch b",
        ]);
    let back = text
        .stdout
        .lines()
        .position(|l| l.contains("\"new\" → \"old\""))
        .unwrap();
    let forth = text
        .stdout
        .lines()
        .position(|l| l.contains("\"old\" → \"new\""))
        .unwrap();
    assert!(back < forth, "newest first: {text}");
    let json = stage
        .loader(&[
            "audit",
            "--batch-id",
            "b",
            "--application",
            &load,
            "--table",
            "child",
            "--json",
        ])
        .exits(0)
        .json();
    let changes = json["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 1, "{json}");
    let c = &changes[0];
    assert_eq!(c["operation"], "INSERT");
    assert_eq!(c["key"], "c1");
    assert_eq!(c["changed_by"], "curator");
    assert_eq!(c["origin"], "staging/b/child/1.json#1");
    assert_eq!(c["undone_by"], undo.as_str());
    assert_eq!(c["before"], serde_json::Value::Null);
    assert_eq!(c["after"]["parent"], "p1");
}

/// What a trigger makes of a row that is put back is not what was approved: refused, where the trigger is not known to
/// set that column.
#[test]
fn a_row_that_a_trigger_changes_as_it_is_put_back_is_refused() {
    for (what, changes) in [
        ("status", "NEW.status := 'draft'"),
        ("owner", "NEW.owner := NULL"),
        ("owner", "NEW.owner := upper(NEW.owner)"),
    ] {
        let stage = Stage::new(
            &format!(
                "CREATE TABLE t (id int PRIMARY KEY, status text, owner text); \
                 INSERT INTO t VALUES (1, 'approved', 'ada'), (2, 'approved', 'bob'); \
                 CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {changes}; RETURN NEW; END $$; \
                 CREATE TRIGGER change BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION change()"
            ),
            "t: {natural_key: [id], limits: {delete: 5}}",
        );
        let before = stage.data();
        stage.deliver("b", &[("t/delete/1.json", r#"[{"id": 1}]"#)]);
        stage.load("b");
        let after = stage.data();
        stage.roll_back("b").exits(4).says_all(&[
            "1 row was not stored as planned",
            what,
            "change",
            "disabled",
        ]);
        assert_eq!(stage.data(), after, "{changes}");
        stage.sql("ALTER TABLE t DISABLE TRIGGER change");
        stage.roll_back("b").exits(0);
        assert_eq!(stage.data(), before, "{changes}");
    }
    // A stamp is set as ever.
    let stage = Stage::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text, seen timestamptz); INSERT INTO t VALUES (1, 'a', '2001-01-01'); \
         CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.seen := now(); RETURN NEW; END $$; \
         CREATE TRIGGER see BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION see()",
        "t: {natural_key: [id], stamps: {seen: trigger}, limits: {delete: 5}}",
    );
    stage.deliver("b", &[("t/delete/1.json", r#"[{"id": 1}]"#)]);
    stage.load("b");
    stage.roll_back("b").exits(0);
    assert_eq!(
        stage.one("SELECT id || v FROM t WHERE seen > '2002-01-01'"),
        "1a"
    );
}

/// Where later loads left rows as they had been, nothing would say that these were taken back, unless everything is.
#[test]
fn rows_whose_changes_cancel_out_are_not_taken_back_in_part() {
    let stage = Stage::new(
        "CREATE TABLE w (k text PRIMARY KEY, v text); INSERT INTO w VALUES ('1', 'a'), ('2', 'a'), ('3', 'a')",
        "w: {natural_key: [k], limits: {delete: 5}}",
    );
    let before = stage.data();
    stage.deliver(
        "b0",
        &[(
            "w/1.json",
            r#"[{"k": "1", "v": "b"}, {"k": "2", "v": "b"}]"#,
        )],
    );
    stage.deliver(
        "b1",
        &[(
            "w/1.json",
            r#"[{"k": "1", "v": "a"}, {"k": "3", "v": "c"}]"#,
        )],
    );
    stage.load("b0");
    stage.load("b1");
    let loaded = stage.state();
    let of = [
        "rollback",
        "--batch-id",
        "b0",
        "--force",
        "--with-dependents",
    ];
    stage
        .loader(&of)
        .exits(4)
        .says_all(&["w: ", "taken back: 1;", "load by load, newest first"]);
    assert_eq!(stage.state(), loaded);
    stage
        .loader(&[
            "rollback",
            "--batch-id",
            "b1",
            "--force",
            "--table",
            "w",
            "--key",
            "1",
        ])
        .exits(0);
    stage.loader(&of).exits(0);
    stage.roll_back("b1").exits(0);
    assert_eq!(stage.data(), before);
    // One that was only there in between.
    stage.deliver(
        "c0",
        &[(
            "w/1.json",
            r#"[{"k": "9", "v": "n"}, {"k": "1", "v": "z"}]"#,
        )],
    );
    stage.deliver(
        "c1",
        &[
            ("w/delete/1.json", r#"[{"k": "9"}]"#),
            ("w/1.json", r#"[{"k": "2", "v": "y"}]"#),
        ],
    );
    stage.load("c0");
    stage.load("c1");
    stage
        .loader(&[
            "rollback",
            "--batch-id",
            "c0",
            "--force",
            "--with-dependents",
        ])
        .exits(4)
        .says_all(&["taken back: 9;"]);
    // Where it is all that the later load did, both are taken back.
    stage.deliver(
        "d0",
        &[(
            "w/1.json",
            r#"[{"k": "3", "v": "q"}, {"k": "2", "v": "q"}]"#,
        )],
    );
    stage.deliver("d1", &[("w/1.json", r#"[{"k": "3", "v": "a"}]"#)]);
    stage.load("d0");
    stage.load("d1");
    stage
        .loader(&[
            "rollback",
            "--batch-id",
            "d0",
            "--force",
            "--with-dependents",
        ])
        .exits(0);
    assert_eq!(stage.one("SELECT v FROM w WHERE k = '3'"), "a");
}

/// Rows cannot come back to refer to what others took away since: that is said before anything is written.
#[test]
fn refuses_what_would_refer_to_rows_that_are_gone() {
    let stage = Stage::new(
        "CREATE TABLE p (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, k text UNIQUE NOT NULL);
         CREATE TABLE c (k text PRIMARY KEY, p int REFERENCES p, v text);
         INSERT INTO p (k) VALUES ('own')",
        "p: {natural_key: [k], limits: {delete: 5}}
c: {natural_key: [k], conflict_resolution: replace, limits: {delete: 5}, references: {p: {table: p, by: {k: p}}}}",
    );
    let start = stage.data();
    stage.deliver("b1", &[("p/1.json", r#"[{"k": "P"}, {"k": "Q"}]"#)]);
    stage.deliver(
        "b2",
        &[(
            "c/1.json",
            r#"[{"k": "i", "p": "P"}, {"k": "j", "p": "Q"}, {"k": "n", "p": null}]"#,
        )],
    );
    stage.deliver(
        "b3",
        &[
            ("c/delete/1.json", r#"[{"k": "i"}]"#),
            (
                "c/1.json",
                r#"[{"k": "j", "p": "own"}, {"k": "n", "p": "own"}]"#,
            ),
        ],
    );
    for batch in ["b1", "b2", "b3"] {
        stage.load(batch);
    }
    stage.roll_back("b1").exits(0);
    let now = stage.state();
    stage.roll_back("b3").exits(4).says_all(&[
        "c: as these rows were before, they refer to rows of p that are gone since (c_p_fkey): i, j;",
        "loader history",
    ]);
    assert_eq!(stage.state(), now);
    // What would not refer to them comes back.
    let of = [
        "rollback",
        "--batch-id",
        "b3",
        "--force",
        "--table",
        "c",
        "--key",
    ];
    stage.loader(&[&of[..], &["n"]].concat()).exits(0);
    stage
        .loader(&[&of[..], &["j"]].concat())
        .exits(4)
        .says("(c_p_fkey): j;");
    let undone =
        stage.one("SELECT application FROM loader_ledger ORDER BY sequence DESC OFFSET 1 LIMIT 1");
    stage
        .loader(&["rollback", "--application", &undone, "--force"])
        .exits(0);
    stage.roll_back("b3").exits(0);
    stage.roll_back("b2").exits(0);
    stage.roll_back("b1").exits(0);
    assert_eq!(stage.data(), start);
    // What goes by one load comes back by one rollback, and not one without the other.
    for batch in ["b1", "b2"] {
        stage.apply_again(&stage.plan(batch)).exits(0);
    }
    let loaded = stage.data();
    stage.deliver(
        "b4",
        &[
            ("p/delete/1.json", r#"[{"k": "P"}, {"k": "Q"}]"#),
            ("c/delete/1.json", r#"[{"k": "i"}, {"k": "j"}]"#),
        ],
    );
    stage.load("b4");
    stage
        .loader(&["rollback", "--batch-id", "b4", "--force", "--table", "c"])
        .exits(4)
        .says("(c_p_fkey): i, j;");
    stage.roll_back("b4").exits(0);
    assert_eq!(stage.data(), loaded);
}

/// A load is not taken back as a whole where rows of it that are not in the audit log stay.
#[test]
fn a_load_with_a_table_without_audit_log_is_taken_back_in_part() {
    let stage = Stage::new(
        "CREATE TABLE w (k text PRIMARY KEY, v text); CREATE TABLE x (k text PRIMARY KEY, v text)",
        "{w: {natural_key: [k]}, x: {natural_key: [k], audit_changes: false}}",
    );
    let one = r#"[{"k": "1", "v": "a"}]"#;
    stage.deliver("b", &[("w/1.json", one), ("x/1.json", one)]);
    stage.load("b");
    stage
        .loader(&["rollback", "--batch-id", "b", "--force", "--table", "w"])
        .exits(0);
    stage
        .loader(&["history"])
        .exits(0)
        .says_all(&["undone in part"]);
    assert_eq!(stage.one("SELECT count(*) FROM x"), "1");
    assert_eq!(stage.one("SELECT count(*) FROM w"), "0");
}

/// A rollback of several loads may change columns that no load gave: who takes it back puts these back, too.
#[test]
fn what_a_rollback_changed_by_itself_comes_back_beside_what_triggers_set() {
    for child in [false, true] {
        let stage = Stage::new(
            "CREATE TABLE a (id serial PRIMARY KEY, k text UNIQUE NOT NULL, v text, upd text);
             CREATE TABLE b (k text PRIMARY KEY, a_id int NOT NULL REFERENCES a);
             CREATE SEQUENCE ticks; CREATE FUNCTION tick() RETURNS trigger LANGUAGE plpgsql AS
               $f$ BEGIN NEW.upd := 't' || nextval('ticks'); RETURN NEW; END $f$;
             CREATE TRIGGER tick BEFORE INSERT OR UPDATE ON a FOR EACH ROW EXECUTE FUNCTION tick();
             INSERT INTO a (k, v) VALUES ('A', 's'), ('B', 's')",
            "a: {natural_key: [k], limits: {delete: 9}, stamps: {upd: trigger}}
b: {natural_key: [k], limits: {delete: 9}, references: {a_id: {table: a, by: {k: a}}}}",
        );
        stage.deliver("l1", &[("a/delete/1.json", r#"[{"k": "A"}]"#)]);
        stage.deliver(
            "l2",
            &[(
                "a/1.json",
                r#"[{"k": "A", "v": "z"}, {"k": "B", "v": "y"}]"#,
            )],
        );
        if child {
            stage.deliver("l2", &[("b/1.json", r#"[{"k": "n", "a": "A"}]"#)]);
        }
        stage.load("l1");
        stage.load("l2");
        let rows =
            || stage.rows("SELECT a.id, a.k, v, b.k FROM a LEFT JOIN b ON a_id = id ORDER BY a.k");
        let loaded = rows();
        assert!(loaded[0].starts_with("3|A|z"), "{loaded:?}");
        stage
            .loader(&[
                "rollback",
                "--batch-id",
                "l1",
                "--with-dependents",
                "--force",
            ])
            .exits(0);
        let taken_back = rows();
        assert!(taken_back[0].starts_with("1|A|s"), "{taken_back:?}");
        let last = "SELECT application FROM loader_ledger ORDER BY sequence DESC LIMIT 1";
        let undone = stage.one(last);
        stage
            .loader(&["rollback", "--application", &undone, "--force"])
            .exits(0);
        assert_eq!(rows(), loaded);
        let redone = stage.one(last);
        stage
            .loader(&["rollback", "--application", &redone, "--force"])
            .exits(0);
        assert_eq!(rows(), taken_back);
    }
}

/// A batch that was loaded twice, and another one in between.
#[test]
fn what_another_load_did_in_between_is_taken_back_with_both() {
    let stage = Stage::new(
        "CREATE TABLE a (k text PRIMARY KEY, v int); INSERT INTO a VALUES ('A', 0), ('B', 0), ('C', 0)",
        "a: {natural_key: [k]}",
    );
    let before = stage.data();
    stage.deliver(
        "b0",
        &[("a/1.json", r#"[{"k": "A", "v": 1}, {"k": "C", "v": 7}]"#)],
    );
    stage.deliver(
        "b1",
        &[("a/1.json", r#"[{"k": "A", "v": 2}, {"k": "B", "v": 2}]"#)],
    );
    stage.load("b0");
    stage.load("b1");
    stage.deliver("b0", &[("a/1.json", r#"[{"k": "A", "v": 3}]"#)]);
    stage.load("b0");
    let now = stage.state();
    stage.roll_back("b0").exits(4).says_all(&[
        "a: another load, or somebody else, changed rows between two of these loads, for example A",
        "--with-dependents also rolls back what other loads did in between",
    ]);
    assert_eq!(stage.state(), now);
    stage
        .loader(&[
            "rollback",
            "--batch-id",
            "b0",
            "--with-dependents",
            "--force",
        ])
        .exits(0);
    assert_eq!(
        stage.rows("SELECT k, v FROM a ORDER BY k"),
        ["A|0", "B|2", "C|0"]
    );
    stage.roll_back("b1").exits(0);
    assert_eq!(stage.data(), before);
    // Where it was somebody else, nobody can take it back.
    stage.deliver("c", &[("a/1.json", r#"[{"k": "A", "v": 1}]"#)]);
    stage.load("c");
    stage.sql("UPDATE a SET v = 8 WHERE k = 'A'");
    stage.deliver("c", &[("a/1.json", r#"[{"k": "A", "v": 9}]"#)]);
    stage.load("c");
    let now = stage.state();
    for more in [&[][..], &["--with-dependents"]] {
        let args = [&["rollback", "--batch-id", "c", "--force"], more].concat();
        stage.loader(&args).exits(4).says("somebody else");
    }
    assert_eq!(stage.state(), now);
}

/// Loads that are taken back at once leave what others set in between as they do one by one.
#[test]
fn what_somebody_set_between_two_loads_stays_where_its_drift_does_not_matter() {
    for second in [r#"{"k": "A", "v": 2}"#, r#"{"k": "A", "v": 2, "x": 7}"#] {
        for at_once in [true, false] {
            let stage = Stage::new(
                "CREATE TABLE a (k text PRIMARY KEY, v int, x int); INSERT INTO a VALUES ('A', 0, 0), ('B', 0, 0)",
                "a: {natural_key: [k], ignore_drift: [x]}",
            );
            let first = r#"[{"k": "A", "v": 1, "x": 1}, {"k": "B", "v": 1, "x": 1}]"#;
            stage.deliver("b", &[("a/1.json", first)]);
            let one = stage.load("b");
            stage.sql("UPDATE a SET x = 5 WHERE k = 'A'");
            stage.deliver("b", &[("a/1.json", second)]);
            let two = stage.load("b");
            if at_once {
                stage.roll_back("b").exits(0);
            } else {
                for load in [&two, &one] {
                    let rollback = ["rollback", "--application", load, "--force"];
                    stage.loader(&rollback).exits(0);
                }
            }
            assert_eq!(
                stage.rows("SELECT k, v, x FROM a ORDER BY k"),
                ["A|0|5", "B|0|0"],
                "{second} {at_once}"
            );
        }
    }
}

/// What must be unique, and another row has since, is known before a rollback is reviewed.
#[test]
fn refuses_values_that_another_row_has_taken() {
    let stage = Stage::new(
        "CREATE TABLE a (id serial PRIMARY KEY, k text UNIQUE NOT NULL, u text UNIQUE, e text, v text);
         CREATE UNIQUE INDEX a_e ON a (lower(e)) WHERE v <> 'free';
         INSERT INTO a (k, u, e, v) VALUES ('A', 'one', 'x', 's'), ('B', 'two', 'y', 's'), ('C', 'five', 'z', 's')",
        "a: {natural_key: [k], limits: {delete: 9}}",
    );
    let start = stage.data();
    stage.deliver(
        "l1",
        &[(
            "a/1.json",
            r#"[{"k": "A", "u": "three"}, {"k": "B", "u": "one"}, {"k": "C", "v": "c"}]"#,
        )],
    );
    stage.load("l1");
    stage.sql("UPDATE a SET v = 'by hand' WHERE k = 'B'");
    let now = stage.state();
    stage.roll_back("l1").exits(3);
    let keep = ["rollback", "--batch-id", "l1", "--keep-edited", "--force"];
    stage.loader(&keep).exits(4).says(
        "a: as these rows were before, they have what must be unique and another row has now (a_u_key): A (the row B has it);",
    );
    assert_eq!(stage.state(), now);
    stage
        .loader(&[
            "rollback",
            "--batch-id",
            "l1",
            "--force",
            "--table",
            "a",
            "--key",
            "C",
        ])
        .exits(0);
    stage.sql("UPDATE a SET v = 's' WHERE k = 'B'");
    stage.roll_back("l1").exits(0);
    assert_eq!(stage.data(), start);
    // A later load took it, and what is an index of expressions, of some rows.
    stage.deliver(
        "l2",
        &[("a/1.json", r#"[{"k": "A", "u": "three", "e": "q"}]"#)],
    );
    stage.deliver("l3", &[("a/1.json", r#"[{"k": "B", "u": "one"}]"#)]);
    stage.deliver("l4", &[("a/1.json", r#"[{"k": "A", "u": "four"}]"#)]);
    for batch in ["l2", "l3", "l4"] {
        stage.load(batch);
    }
    let with = [
        "rollback",
        "--batch-id",
        "l2",
        "--with-dependents",
        "--force",
    ];
    stage
        .loader(&with)
        .exits(4)
        .says("(a_u_key): A (the row B has it);");
    stage.roll_back("l3").exits(0);
    stage.sql("UPDATE a SET e = 'X' WHERE k = 'C'");
    stage
        .loader(&with)
        .exits(4)
        .says("(a_e): A (the row C has it);");
    stage.sql("UPDATE a SET v = 'free' WHERE k = 'C'");
    stage.loader(&with).exits(0);
    stage.sql("UPDATE a SET v = 's', e = 'z' WHERE k = 'C'");
    assert_eq!(stage.data(), start);
    // What goes by the same rollback, gives it up.
    stage.deliver(
        "l5",
        &[
            ("a/delete/1.json", r#"[{"k": "A"}]"#),
            ("a/1.json", r#"[{"k": "D", "u": "one", "e": "x"}]"#),
        ],
    );
    stage.load("l5");
    stage.roll_back("l5").exits(0);
    assert_eq!(stage.data(), start);
}

/// A column whose drift does not matter stays as others set it: its value of before need not be free.
#[test]
fn a_value_that_does_not_come_back_may_be_taken() {
    let stage = Stage::new(
        "CREATE TABLE a (k text PRIMARY KEY, u text UNIQUE, v text); INSERT INTO a VALUES ('A', 'a', 's'), ('B', 'b', 's')",
        "a: {natural_key: [k], ignore_drift: [u]}",
    );
    stage.deliver(
        "l",
        &[("a/1.json", r#"[{"k": "A", "u": "n", "v": "new"}]"#)],
    );
    stage.load("l");
    stage.sql("UPDATE a SET u = 'c' WHERE k = 'A'; UPDATE a SET u = 'a' WHERE k = 'B'");
    stage.roll_back("l").exits(0);
    assert_eq!(
        stage.rows("SELECT k, u, v FROM a ORDER BY k"),
        ["A|c|s", "B|a|s"]
    );
}

/// What triggers set in rows of other loads is no excuse where a load gave the value and its rollback does not put it back.
#[test]
fn a_value_that_a_load_gave_comes_back_or_the_rollback_is_refused() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, x int, status text DEFAULT 'new'); INSERT INTO t VALUES ('a', 1), ('b', 1); \
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF new.x > 10 AND new.status = old.status THEN new.status := 'big'; END IF; \
         IF old.status = 'approved' THEN new.status := 'approved'; END IF; RETURN new; END $$; \
         CREATE TRIGGER f BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "t: {natural_key: [k]}",
    );
    stage.deliver("b0", &[("t/1.json", r#"{"k": "a", "x": 11}"#)]);
    stage.deliver("b1", &[("t/1.json", r#"{"k": "b", "status": "approved"}"#)]);
    stage.load("b0");
    stage.load("b1");
    let now = stage.state();
    stage
        .roll_back("b1")
        .exits(4)
        .says_all(&["t: 1 row was not stored as planned", "b (status)"]);
    assert_eq!(stage.state(), now);
    // What only the trigger set is still left to it.
    stage.roll_back("b0").exits(0);
    stage.sql("ALTER TABLE t DISABLE TRIGGER f");
    stage.roll_back("b1").exits(0);
    assert_eq!(stage.one("SELECT status FROM t WHERE k = 'b'"), "new");
}

/// Loads of one batch that treated rows otherwise are not taken back as if they had been alike.
#[test]
fn loads_of_one_batch_with_other_settings_are_taken_back_one_by_one() {
    for (first, then, expected) in [
        (
            "t: {natural_key: [k], soft_delete: true, complete: true, limits: {delete: 9}}",
            "t: {natural_key: [k]}",
            "table t: soft_delete was otherwise in application",
        ),
        (
            "t: {natural_key: [k], stamps: {src: batch_id}}",
            "t: {natural_key: [k]}",
            "table t: stamps were others in application",
        ),
    ] {
        let stage = Stage::new(
            "CREATE TABLE t (k text PRIMARY KEY, x int, deleted_at timestamptz, src text); \
             INSERT INTO t VALUES ('a', 1, NULL, 'hand'), ('b', 2, NULL, 'hand')",
            first,
        );
        let before = stage.data();
        stage.deliver("b", &[("t/1.json", r#"{"k": "b", "x": 3}"#)]);
        stage.load("b");
        stage.configure(then);
        stage.deliver("b", &[("t/1.json", r#"{"k": "b", "x": 4}"#)]);
        stage.load("b");
        let now = stage.state();
        stage
            .roll_back("b")
            .exits(4)
            .says_all(&[expected, "one by one with --application"]);
        assert_eq!(stage.state(), now);
        for load in stage
            .one("SELECT string_agg(application::text, ' ' ORDER BY sequence DESC) FROM loader_ledger")
            .split(' ')
        {
            stage
                .loader(&["rollback", "--application", load, "--force"])
                .exits(0);
        }
        assert_eq!(stage.data(), before, "{first}");
    }
}

/// Rows that are put back bring what others' triggers counted, and these count once more what else is put back.
#[test]
fn what_triggers_of_other_tables_count_is_put_back_as_it_was() {
    for (stamps, own) in [
        ("", ""),
        (", stamps: {total: trigger}", ""),
        (
            ", stamps: {total: trigger, seen: trigger}",
            "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.seen := clock_timestamp(); RETURN new; END $$; \
             CREATE TRIGGER see BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION see();",
        ),
    ] {
        let stage = Stage::new(
            &format!(
                "CREATE TABLE orders (no text PRIMARY KEY, customer text, total numeric NOT NULL DEFAULT 0, seen timestamptz); \
                 CREATE TABLE lines (no text NOT NULL REFERENCES orders, line int, amount numeric(10,2) NOT NULL, PRIMARY KEY (no, line)); \
                 CREATE FUNCTION add_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                   IF tg_op <> 'INSERT' THEN UPDATE orders SET total = total - old.amount WHERE no = old.no; END IF; \
                   IF tg_op <> 'DELETE' THEN UPDATE orders SET total = total + new.amount WHERE no = new.no; END IF; RETURN NULL; END $$; \
                 CREATE TRIGGER r AFTER INSERT OR UPDATE OR DELETE ON lines FOR EACH ROW EXECUTE FUNCTION add_up(); {own} \
                 INSERT INTO orders VALUES ('O1', 'a'), ('O2', 'a'); \
                 INSERT INTO lines VALUES ('O1', 1, 10), ('O2', 1, 5), ('O2', 2, 6)"
            ),
            &format!(
                "orders: {{natural_key: [no], limits: {{delete: 9}}{stamps}}}\n\
                 lines: {{natural_key: [no, line], allow_side_effects: [orders], limits: {{delete: 9}}}}"
            ),
        );
        let all = || {
            [
                "SELECT no, customer, total FROM orders ORDER BY 1",
                "SELECT * FROM lines ORDER BY 1, 2",
            ]
            .map(|sql| stage.rows(sql))
        };
        let start = all();
        stage.deliver(
            "b1",
            &[
                ("orders.csv", "no,customer\nO1,A\nO3,C\n"),
                ("lines.csv", "no,line,amount\nO1,1,15\nO1,2,7\nO3,1,3\n"),
            ],
        );
        stage.load("b1");
        let loaded = all();
        assert_eq!(loaded[0], ["O1|A|22.00", "O2|a|11.00", "O3|C|3.00"]);
        // An order that goes, with one of the lines of another.
        stage.deliver(
            "b2",
            &[
                ("orders/delete/1.csv", "no\nO2\n"),
                ("lines/delete/1.csv", "no,line\nO2,1\nO2,2\nO1,2\n"),
                ("orders.csv", "no,customer\nO1,B\n"),
            ],
        );
        stage.load("b2");
        assert_eq!(all()[0], ["O1|B|15.00", "O3|C|3.00"]);
        stage.roll_back("b2").exits(0);
        assert_eq!(all(), loaded, "{stamps}");
        stage.roll_back("b1").exits(0);
        assert_eq!(all(), start, "{stamps}");
        // And forth again.
        let last = "SELECT application FROM loader_ledger ORDER BY sequence DESC LIMIT 1";
        let back = ["rollback", "--application", &stage.one(last), "--force"];
        stage.loader(&back).exits(0);
        assert_eq!(all(), loaded, "{stamps}");
    }
}

/// A plan that was applied twice is in effect where either application is.
#[test]
fn of_two_applications_of_a_plan_the_one_in_effect_counts() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, x int)",
        "t: {natural_key: [k]}",
    );
    stage.deliver("b", &[("t/1.json", r#"{"k": "a", "x": 1}"#)]);
    stage.load("b");
    let plan = "b.json";
    let application =
        || stage.one("SELECT application FROM loader_ledger ORDER BY sequence DESC LIMIT 1");
    let take_back = |id: &str| {
        stage
            .loader(&["rollback", "--application", id, "--force"])
            .exits(0);
        application()
    };
    let first = application();
    let rollback = take_back(&first);
    stage.apply_again(plan).exits(0);
    take_back(&application());
    // The first is in effect again.
    take_back(&rollback);
    let now = stage.state();
    stage.loader(&["check", plan]).says(&first);
    stage
        .loader(&["apply", plan, "--force"])
        .exits(0)
        .says("Applied already");
    assert_eq!(stage.state(), now);
}

/// What the queue said before is what it said before all that is taken back, whichever load goes first.
#[test]
fn the_queue_does_not_go_back_to_a_load_that_was_taken_back() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, x int)",
        "t: {natural_key: [k]}",
    );
    let mut loads = Vec::new();
    stage.deliver("b", &[("t/1.json", r#"{"k": "a", "x": 1}"#)]);
    for row in [r#"{"k": "a", "x": 1}"#, r#"{"k": "b", "x": 1}"#] {
        stage.deliver("b", &[("t/1.json", row)]);
        stage.load("b");
        loads.push(
            stage.one("SELECT application FROM loader_ledger ORDER BY sequence DESC LIMIT 1"),
        );
    }
    for load in loads {
        stage
            .loader(&["rollback", "--application", &load, "--force"])
            .exits(0);
    }
    assert_eq!(stage.data(), "");
    assert_eq!(
        stage.one("SELECT string_agg(status || coalesce(' ' || application, ''), ',') FROM validation_queue"),
        "pending"
    );
}

/// What a trigger does that came after the load, tables.yaml allows since.
#[test]
fn side_effects_of_a_rollback_may_be_allowed_after_the_load() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text); CREATE TABLE seen (k text); INSERT INTO t VALUES ('a', 'old')",
        "t: {natural_key: [k]}",
    );
    let before = stage.data();
    stage.deliver("b", &[("t/1.json", r#"{"k": "a", "v": "new"}"#)]);
    stage.load("b");
    stage.sql(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (new.k); RETURN new; END $$; \
         CREATE TRIGGER f BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
    );
    let now = stage.state();
    stage
        .roll_back("b")
        .exits(4)
        .says("add seen to allow_side_effects in tables.yaml");
    assert_eq!(stage.state(), now);
    stage.configure("t: {natural_key: [k], allow_side_effects: [seen]}");
    stage.roll_back("b").exits(0);
    assert_eq!(stage.data(), format!("seen (a)\n{before}"));
}

/// What brought loads of several batches back, or loads that are taken back again since, is not taken back for one of them.
#[test]
fn a_batch_is_taken_back_alone_though_it_came_back_with_another() {
    let tables = "CREATE TABLE p (id int PRIMARY KEY, v text); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p, v text)";
    let config = "p: {natural_key: [id]}\nc: {natural_key: [id]}";
    let redone = || {
        let stage = Stage::new(tables, config);
        stage.deliver(
            "b1",
            &[(
                "p/1.json",
                r#"[{"id": 1, "v": "parent"}, {"id": 2, "v": "unrelated"}]"#,
            )],
        );
        stage.deliver("b2", &[("c/1.json", r#"{"id": 1, "p": 1, "v": "child"}"#)]);
        let loads = [stage.load("b1"), stage.load("b2")];
        let both = [
            "rollback",
            "--batch-id",
            "b1",
            "--force",
            "--with-dependents",
            "--json",
        ];
        let both = stage.loader(&both).ok().json()["application"]
            .as_str()
            .unwrap()
            .to_owned();
        stage
            .loader(&["rollback", "--application", &both, "--force"])
            .exits(0);
        (stage, loads)
    };
    let counts = "SELECT (SELECT count(*) FROM p) || ' ' || (SELECT count(*) FROM c)";
    let (stage, _) = redone();
    assert_eq!(stage.one(counts), "2 1");
    // Somebody's edit of a row of the other batch is nobody's matter here.
    stage.sql("UPDATE p SET v = 'edited' WHERE id = 2");
    stage.roll_back("b2").exits(0);
    assert_eq!(stage.one(counts), "2 0");
    stage.sql("UPDATE p SET v = 'unrelated' WHERE id = 2");
    stage.roll_back("b1").exits(0);
    assert_eq!(stage.one(counts), "0 0");

    let (stage, _) = redone();
    let before = stage.state();
    stage.roll_back("b1").exits(4).says("c id=1 refers to");
    assert_eq!(stage.state(), before);

    // One of them is taken back by itself since.
    let (stage, [_, second]) = redone();
    stage
        .loader(&["rollback", "--application", &second, "--force"])
        .exits(0);
    stage.roll_back("b1").exits(0);
    assert_eq!(stage.one(counts), "0 0");

    // Two loads of one batch.
    let stage = Stage::new(tables, config);
    stage.deliver("b", &[("p/1.json", r#"{"id": 1, "v": "x"}"#)]);
    stage.load("b");
    stage.deliver(
        "b",
        &[("p/1.json", r#"[{"id": 1, "v": "x"}, {"id": 2, "v": "y"}]"#)],
    );
    let second = stage.load("b");
    let both = stage
        .loader(&["rollback", "--batch-id", "b", "--force", "--json"])
        .ok();
    let both = both.json()["application"].as_str().unwrap().to_owned();
    stage
        .loader(&["rollback", "--application", &both, "--force"])
        .exits(0);
    assert_eq!(stage.one(counts), "2 0");
    stage
        .loader(&["rollback", "--application", &second, "--force"])
        .exits(0);
    assert_eq!(stage.one(counts), "1 0");
    stage.roll_back("b").exits(0);
    assert_eq!(stage.one(counts), "0 0");
}

/// A table that has another name now is told with what helps, and does not keep the others from being taken back.
#[test]
fn a_table_with_another_name_keeps_no_other_from_being_taken_back() {
    let stage = Stage::new(
        "CREATE TABLE d (k int PRIMARY KEY); CREATE TABLE t (k int PRIMARY KEY)",
        "d: {natural_key: [k]}\nt: {natural_key: [k]}",
    );
    stage.deliver(
        "b",
        &[("d/1.json", r#"{"k": 1}"#), ("t/1.json", r#"{"k": 1}"#)],
    );
    stage.load("b");
    stage.sql("ALTER TABLE d RENAME TO e");
    stage.roll_back("b").exits(1).says_all(&[
        "no longer there: it was dropped, or has another name",
        "give it its name of then",
        "--table",
    ]);
    stage
        .loader(&["rollback", "--batch-id", "b", "--table", "t", "--force"])
        .exits(0);
    stage.sql("ALTER TABLE e RENAME TO d");
    stage.roll_back("b").exits(0);
    assert_eq!(
        stage.one("SELECT (SELECT count(*) FROM d) + (SELECT count(*) FROM t)"),
        "0"
    );
}
