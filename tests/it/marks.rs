//! Columns that mark deleted rows: dates and times that can be null, booleans, and nothing else.

use table_loader::plan::{Values, What};

use crate::support::World;

#[test]
fn a_boolean_marks_rows_and_false_and_null_live() {
    for (column, alive) in [
        ("gone boolean NOT NULL DEFAULT false", "f"),
        ("gone boolean", "∅"),
        ("gone boolean DEFAULT false", "f"),
    ] {
        let world = World::new(
            &format!(
                "CREATE TABLE t (id int, v text, {column}); CREATE UNIQUE INDEX ON t (id) WHERE gone IS NOT TRUE; \
                 INSERT INTO t (id, v) VALUES (1, 'alive'), (3, 'dead'); UPDATE t SET gone = true WHERE id = 3; \
                 INSERT INTO t VALUES (2, 'dead', true); INSERT INTO t (id, v) VALUES (2, 'alive')"
            ),
            "t: {natural_key: [id], soft_delete: gone}",
        );
        let before = world.rows("SELECT * FROM t ORDER BY id, gone");
        world.deliver(
            "b",
            "t/1.json",
            r#"[{"id": 1, "v": "new"}, {"id": 2, "v": "new"}, {"id": 3, "v": "back"}, {"id": 4}]"#,
        );
        let plan = world.plan("b");
        assert_eq!(
            plan.news(),
            [
                "~ t id=1: v=\"alive\"→\"new\"",
                "~ t id=2: v=\"alive\"→\"new\"",
                "~ t id=3: gone=\"t\"→\"f\" v=\"dead\"→\"back\"",
                "+ t id=4",
            ],
            "{column}"
        );
        assert!(plan.text.contains("\"revives\":true"));
        assert!(!plan.text.contains("SHARE ROW EXCLUSIVE"), "{}", plan.text);
        world.apply(&plan).ok();
        assert_eq!(
            world.rows("SELECT id, v, gone FROM t ORDER BY id, gone NULLS FIRST"),
            [
                format!("1|new|{alive}"),
                format!("2|new|{alive}"),
                "2|dead|t".into(),
                "3|back|f".into(),
                format!("4|∅|{alive}"),
            ],
            "{column}"
        );
        assert_eq!(world.plan("b").news(), [""; 0]);
        // The new row is only marked, and the audit log has it as it is then.
        world
            .loader(&["rollback", "--batch-id", "b", "--force"])
            .ok();
        assert_eq!(
            world.rows("SELECT * FROM t WHERE id < 4 ORDER BY id, gone"),
            before,
            "{column}"
        );
        assert_eq!(world.rows("SELECT gone FROM t WHERE id = 4"), ["t"]);
        assert_eq!(
            world.value("SELECT new_values ->> 'gone' FROM audit_log WHERE operation = 'DELETE'"),
            "t"
        );
        // And taken back in turn, it lives again.
        world
            .loader(&["rollback", "--application", &last(&world), "--force"])
            .ok();
        assert_eq!(world.rows("SELECT gone FROM t WHERE id = 4"), [alive]);
    }
}

fn last(world: &World) -> String {
    world.value("SELECT application FROM loader_ledger ORDER BY sequence DESC LIMIT 1")
}

#[test]
fn a_row_deleted_twice_is_found_by_the_deletion_that_was_ours() {
    let world = World::new(
        "CREATE TABLE t (id int, v text, gone bool NOT NULL DEFAULT false); \
         CREATE UNIQUE INDEX ON t (id) WHERE NOT gone; INSERT INTO t VALUES (1, 'long dead', true)",
        "t: {natural_key: [id], soft_delete: gone, update_strategy: insert_only}",
    );
    world.sql("INSERT INTO t VALUES (2, 'one', true), (2, 'two', true)");
    world.deliver("b", "t/1.json", r#"{"id": 3, "v": "new"}"#);
    let plan = world.plan("b");
    assert!(!plan.text.contains("SHARE ROW EXCLUSIVE"), "{}", plan.text);
    world.apply(&plan).ok();
    world.sql("INSERT INTO t VALUES (3, 'older', true)");
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(
        world.rows("SELECT new_values ->> 'v' FROM audit_log WHERE operation = 'DELETE'"),
        ["new"]
    );
}

#[test]
fn any_date_or_time_that_can_be_null_marks_rows() {
    for column in ["date", "timestamp", "timestamptz", "timestamp(0)"] {
        let world = World::new(
            &format!(
                "CREATE TABLE t (id int PRIMARY KEY, gone {column}); INSERT INTO t VALUES (1, '2020-01-01')"
            ),
            "t: {natural_key: [id], soft_delete: gone}",
        );
        world.deliver("b", "t/1.json", r#"[{"id": 1}, {"id": 2}]"#);
        let plan = world.plan("b");
        world.apply(&plan).ok();
        assert_eq!(
            world.rows("SELECT id, gone FROM t ORDER BY 1"),
            ["1|∅", "2|∅"]
        );
        world
            .loader(&["rollback", "--batch-id", "b", "--force"])
            .ok();
        assert_eq!(
            world.rows("SELECT id, gone IS NULL FROM t ORDER BY 1"),
            ["1|f", "2|f"]
        );
    }
}

/// However precise the column is, and whatever a trigger sets as the time.
#[test]
fn what_was_marked_is_put_back_and_marked_again() {
    let clock = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF new.gone IS NOT NULL AND old.gone IS NULL THEN new.gone := clock_timestamp(); END IF; RETURN new; END $$; \
                 CREATE TRIGGER f BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()";
    for (column, key, further) in [
        ("timestamptz(0)", "PRIMARY KEY (id)", ""),
        ("timestamptz(3)", "UNIQUE (id)", ""),
        ("third", "PRIMARY KEY (id)", ""),
        ("timestamptz", "PRIMARY KEY (id)", clock),
        ("timestamptz", "UNIQUE (id)", clock),
        ("date", "PRIMARY KEY (id)", clock),
    ] {
        let world = World::new(
            &format!(
                "CREATE DOMAIN third AS timestamptz(3); \
                 CREATE TABLE t (id int, v text, gone {column}, {key}); INSERT INTO t VALUES (1, 'a'), (2, 'b'); {further}"
            ),
            "t: {natural_key: [id], soft_delete: gone, complete: true, limits: {delete: 10}}",
        );
        let all = "SELECT id, v, gone IS NULL FROM t ORDER BY 1";
        let before = world.rows(all);
        world.deliver("b", "t.json", r#"[{"id": 2}, {"id": 3}]"#);
        let plan = world.plan("b");
        world.apply(&plan).ok();
        let loaded = world.rows(all);
        assert_eq!(loaded, ["1|a|f", "2|b|t", "3|∅|t"]);
        let undo = |what: &[&str]| {
            world
                .loader(&[&["rollback", "--force"], what].concat())
                .ok();
        };
        undo(&["--batch-id", "b"]);
        // What it had brought is only marked.
        let rolled_back = world.rows(all);
        assert_eq!(rolled_back[..2], before[..], "{column}");
        assert_eq!(rolled_back[2], "3|∅|f", "{column}");
        // The same time again, a clock does not give.
        if further.is_empty() {
            undo(&["--application", &last(&world)]);
            assert_eq!(world.rows(all), loaded, "{column}");
            undo(&["--batch-id", "b"]);
            assert_eq!(world.rows(all), rolled_back, "{column}");
        }
        let gone = "SELECT count(*) FROM audit_log WHERE operation = 'DELETE' AND new_values ->> 'gone' IS NULL";
        assert_eq!(world.value(gone), "0", "{column}");
    }
}

#[test]
fn a_row_that_came_again_on_the_day_of_its_mark_can_be_marked() {
    let world = World::new(
        "CREATE TABLE t (id serial PRIMARY KEY, k text, v int, gone date); \
         CREATE UNIQUE INDEX ON t (k) WHERE gone IS NULL; INSERT INTO t (k, v) VALUES ('a', 1), ('b', 2)",
        "t: {natural_key: [k], soft_delete: gone, complete: true, limits: {delete: 10}}",
    );
    for v in [1, 9] {
        let batch = format!("b{v}");
        world.deliver(&batch, "t.json", r#"[{"k": "b", "v": 2}]"#);
        let plan = world.plan(&batch);
        world.apply(&plan).ok();
        assert_eq!(
            world.rows("SELECT new_values ->> 'v' FROM audit_log WHERE operation = 'DELETE' ORDER BY id DESC LIMIT 1"),
            [v.to_string()]
        );
        if v == 1 {
            world.sql("INSERT INTO t (k, v) VALUES ('a', 9)");
        }
    }
    world
        .loader(&["rollback", "--batch-id", "b9", "--force"])
        .ok();
    assert_eq!(
        world.rows("SELECT k, v FROM t WHERE gone IS NULL ORDER BY 1"),
        ["a|9", "b|2"]
    );
}

/// A key that somebody used again while its row was marked cannot be given back: that is known before anybody reviews it.
#[test]
fn a_rollback_that_would_bring_a_key_back_which_is_in_use_again_is_refused() {
    let in_use =
        "t: as these rows were before, they have what must be unique and another row has now";
    let two = "t: other rows that are not marked as deleted have the natural key of rows that are to be taken back: 1";
    for (id, unique, refused) in [
        (
            "serial PRIMARY KEY",
            "CREATE UNIQUE INDEX t_live ON t (k) WHERE gone IS NULL",
            format!("{in_use} (t_live): 1 (another row with this key has it)"),
        ),
        (
            "int",
            "CREATE UNIQUE INDEX t_live ON t (k) WHERE gone IS NULL",
            format!("{in_use} (t_live): 1 (another row with this key has it)"),
        ),
        (
            "serial PRIMARY KEY",
            "CREATE UNIQUE INDEX t_mail ON t (mail) WHERE gone IS NULL",
            format!("{in_use} (t_mail): 1 (another row with this key has it)"),
        ),
        ("serial PRIMARY KEY", "", two.to_owned()),
        ("int", "", two.to_owned()),
    ] {
        let world = World::new(
            &format!(
                "CREATE TABLE t (id {id}, k text NOT NULL, mail text, gone timestamptz); {unique}; \
                 INSERT INTO t (k, mail) VALUES ('1', 'x'), ('2', 'y')"
            ),
            "t: {natural_key: [k], soft_delete: gone, limits: {delete: 1}}",
        );
        let all = || world.rows("SELECT k, mail, gone IS NULL FROM t ORDER BY 1, 3, 2");
        let before = all();
        world.deliver("b", "t/delete/1.csv", "k\n1\n");
        world.apply(&world.plan("b")).ok();
        world.sql("INSERT INTO t (k, mail) VALUES ('1', 'x')");
        let rollback = ["rollback", "--batch-id", "b", "--force"];
        world.writes_nothing(|| world.loader(&rollback).exits(4).says(&refused));
        // One that is marked itself is in nobody's way.
        world.sql("UPDATE t SET gone = '2020-01-01', mail = 'z' WHERE k = '1' AND gone IS NULL");
        world.loader(&rollback).ok();
        world.sql("DELETE FROM t WHERE mail = 'z'");
        assert_eq!(all(), before, "{id} {unique}");
    }
}

/// Without marks, too, a key can find several rows where no index of all rows keeps them apart.
#[test]
fn a_rollback_of_rows_that_their_keys_do_not_tell_from_others_is_refused() {
    for unique in ["", "CREATE UNIQUE INDEX t_active ON t (k) WHERE active"] {
        let world = World::new(
            &format!(
                "CREATE TABLE t (id serial PRIMARY KEY, k text NOT NULL, active bool DEFAULT true); {unique}; \
                 INSERT INTO t (k) VALUES ('1'), ('2')"
            ),
            "t: {natural_key: [k]}",
        );
        world.deliver("b", "t/1.csv", "k,active\n1,false\n3,false\n");
        world.apply(&world.plan("b")).ok();
        let rollback = ["rollback", "--batch-id", "b", "--force"];
        for key in ["1", "3"] {
            world.sql(&format!("INSERT INTO t (k) VALUES ('{key}')"));
            // The index speaks of the row that is active again, and not of the one that goes.
            let refused = match (key, unique) {
                ("1", index) if !index.is_empty() => {
                    "(t_active): 1 (another row with this key has it)".to_owned()
                }
                _ => format!(
                    "t: other rows have the natural key of rows that are to be taken back: {key}"
                ),
            };
            world.writes_nothing(|| world.loader(&rollback).exits(4).says(&refused));
            world.sql(&format!("DELETE FROM t WHERE k = '{key}' AND active"));
        }
        world.loader(&rollback).ok();
        assert_eq!(
            world.rows("SELECT k, active FROM t ORDER BY 1"),
            ["1|t", "2|t"]
        );
    }
}

/// What a load brought and others marked is told of that row, not of the one that has its key since, and so is who did it.
#[test]
fn what_is_not_as_the_load_left_it_is_told_of_its_own_row() {
    let world = World::new(
        "CREATE TABLE t (id serial PRIMARY KEY, k text NOT NULL, v text, gone timestamptz); \
         CREATE UNIQUE INDEX ON t (k) WHERE gone IS NULL",
        "t: {natural_key: [k], soft_delete: gone, limits: {delete: 1}}",
    );
    world.deliver("a", "t/1.csv", "k,v\n1,x\n");
    world.apply(&world.plan("a")).ok();
    world.deliver("b", "t/delete/1.csv", "k\n1\n");
    world.apply(&world.plan("b")).ok();
    world.sql("INSERT INTO t (k, v) VALUES ('1', 'new')");
    world.deliver("c", "t/1.csv", "k,v\n1,changed\n");
    world.apply(&world.plan("c")).ok();
    world.writes_nothing(|| {
        let run = world
            .loader(&["rollback", "--batch-id", "a", "--force"])
            .exits(3);
        run.says_all(&[
            "t k=1: changed",
            "(batch b, ",
            "gone: plan saw null, now \"2",
        ])
        .omits("id: plan saw")
        .omits("(batch c, ")
    });
}

/// What refers to a marked row with the key of a live one that a load changed, does not refer to that one.
#[test]
fn what_refers_to_a_marked_row_keeps_no_change_of_the_live_one() {
    let world = World::new(
        "CREATE TABLE s (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, k text, v text, gone date); \
         CREATE UNIQUE INDEX ON s (k) WHERE gone IS NULL; CREATE TABLE r (id int PRIMARY KEY, s int NOT NULL REFERENCES s); \
         INSERT INTO s (k, v, gone) VALUES ('1', 'old', '2024-01-01'), ('1', 'live', NULL); INSERT INTO r VALUES (1, 1)",
        "s: {natural_key: [k], soft_delete: gone, limits: {delete: 1}}",
    );
    let all = || world.rows("SELECT id, v, gone IS NULL FROM s ORDER BY id");
    let before = all();
    for (batch, file, content) in [
        ("changes", "s/1.csv", "k,v\n1,new\n"),
        ("marks", "s/delete/1.csv", "k\n1\n"),
    ] {
        for how in [&[][..], &["--keep-edited"]] {
            let batch = format!("{batch}{}", how.len());
            world.deliver(&batch, file, content);
            world.apply(&world.plan(&batch)).ok();
            assert_ne!(all(), before);
            let rollback = ["rollback", "--batch-id", &batch, "--force"];
            world.loader(&[&rollback, how].concat()).ok();
            assert_eq!(all(), before, "{batch}");
        }
    }
}

/// A marked row that refers to what would go stays, whatever becomes of the live one with its key.
#[test]
fn a_marked_row_goes_on_referring_though_the_live_one_with_its_key_lets_go() {
    let world = World::new(
        "CREATE TABLE p (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, k text NOT NULL UNIQUE); \
         CREATE TABLE c (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, k text NOT NULL, p int REFERENCES p, gone date); \
         CREATE UNIQUE INDEX ON c (k) WHERE gone IS NULL; INSERT INTO p (k) VALUES ('x'); \
         INSERT INTO c (k, p, gone) VALUES ('1', 1, '2024-01-01'), ('1', 1, NULL)",
        "p: {natural_key: [k]}\n\
         c: {natural_key: [k], soft_delete: gone, references: {p: {table: p, by: {k: parent}}}}",
    );
    world.deliver("b", "p.csv", "k\ny\n");
    world.deliver("b", "c.csv", "k,parent\n1,y\n");
    world.apply(&world.plan("b")).ok();
    let rollback = ["rollback", "--batch-id", "b", "--force"];
    world.sql("UPDATE c SET p = 2 WHERE id = 1");
    world.writes_nothing(|| {
        let run = world.loader(&rollback).exits(4);
        run.says("c k=1 refers to p k=y")
    });
    world.sql("UPDATE c SET p = 1 WHERE id = 1");
    world.loader(&rollback).ok();
    assert_eq!(world.rows("SELECT k FROM p"), ["x"]);
    assert_eq!(world.rows("SELECT p FROM c"), ["1", "1"]);
}

/// A trigger that keeps rows from being marked is one that changes what is written.
#[test]
fn a_mark_that_a_trigger_takes_off_again_is_refused() {
    for (column, alive) in [
        ("timestamptz", "NULL"),
        ("bool NOT NULL DEFAULT false", "false"),
    ] {
        for audited in [true, false] {
            let world = World::new(
                &format!(
                    "CREATE TABLE t (id int PRIMARY KEY, gone {column}); INSERT INTO t VALUES (1), (2); \
                     CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.gone := {alive}; RETURN new; END $$; \
                     CREATE TRIGGER f BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()"
                ),
                &format!(
                    "t: {{natural_key: [id], soft_delete: gone, complete: true, limits: {{delete: 10}}, audit_changes: {audited}}}"
                ),
            );
            let before = world.rows("SELECT * FROM t ORDER BY 1");
            world.deliver("b", "t.json", r#"[{"id": 2}, {"id": 3}]"#);
            let plan = world.plan("b");
            world.apply(&plan).exits(4).says_all(&[
                "t: 1 rows were to be marked as deleted, and 0 are",
                "nothing was written",
            ]);
            assert_eq!(world.rows("SELECT * FROM t ORDER BY 1"), before);
        }
    }
}

#[test]
fn no_other_column_does() {
    for column in [
        "int DEFAULT 0",
        "text DEFAULT ''",
        "timestamptz NOT NULL DEFAULT now()",
        "interval",
        "boolean[]",
        "jsonb",
    ] {
        let world = World::new(
            &format!("CREATE TABLE t (id int PRIMARY KEY, gone {column})"),
            "t: {natural_key: [id], soft_delete: gone}",
        );
        world.deliver("b", "t/1.json", r#"{"id": 1}"#);
        let run = world.try_plan("b", &[]).exits(1);
        run.says("tables.yaml: 1:").says("soft_delete: t: gone is");
    }
}

/// What a load brought that was rolled back is in the row still, and comes back to life with it.
#[test]
fn what_comes_back_with_a_row_is_shown() {
    let long = "x".repeat(9_000);
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text, diagnosis text, ssn text, notes text, twice text GENERATED ALWAYS AS (diagnosis || diagnosis) STORED, \
           empty text, deleted_at timestamptz)",
        "t: {natural_key: [id], soft_delete: true, sensitive: [ssn]}",
    );
    let first = format!(
        r#"{{"id": 1, "v": "old", "diagnosis": "wrong", "ssn": "078-05-1120", "notes": "{long}"}}"#
    );
    world.deliver("first", "t/1.json", first);
    world.apply(&world.plan("first")).ok();
    world
        .loader(&["rollback", "--batch-id", "first", "--force"])
        .ok();
    world.deliver("b", "t/1.json", r#"{"id": 1, "v": "new"}"#);
    let plan = world.plan("b");
    let entry = &plan.entries()[0];
    assert_eq!(entry["set"]["v"], serde_json::json!(["old", "new"]));
    assert_eq!(
        entry["values"],
        serde_json::json!({"diagnosis": "wrong", "ssn": "078-05-1120", "notes": long, "twice": "wrongwrong"})
    );
    for format in ["text", "markdown", "html", "csv", "json"] {
        let shown = world.show(&plan, &["--format", format]);
        assert!(shown.contains("wrongwrong"), "{format}: {shown}");
        assert!(!shown.contains("078-05"), "{format}: {shown}");
    }
    // It has to be so: a plan with a right hash that says less or other is refused.
    let forged = |change: fn(&mut Values)| {
        plan.forged(
            |_| {},
            |_| {},
            |entry| {
                if let What::Update { revives, .. } = &mut entry.what {
                    change(revives.as_mut().unwrap());
                }
            },
        )
    };
    for change in [
        |values: &mut Values| drop(values.remove("diagnosis")),
        |values: &mut Values| drop(values.insert("diagnosis".into(), "right".into())),
        |values: &mut Values| drop(values.insert("empty".into(), "something".into())),
    ] {
        let run = world.writes_only_a_failure(|| world.apply(&forged(change)).exits(6));
        run.says("shows old values");
    }
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT v, diagnosis, deleted_at IS NULL FROM t"),
        ["new|wrong|t"]
    );
    assert_eq!(world.plan("b").news(), [""; 0]);
}

/// Rows to which kept rows refer are kept, whether a rollback would delete them or only mark them.
#[test]
fn rows_to_which_edited_rows_refer_are_kept_where_they_would_be_marked() {
    for (parent, child) in [(false, false), (true, false), (true, true), (false, true)] {
        let soft = |is: bool| if is { ", soft_delete: gone" } else { "" };
        let world = World::new(
            "CREATE TABLE p (id serial PRIMARY KEY, k text UNIQUE NOT NULL, above int REFERENCES p, gone timestamptz); \
             CREATE TABLE c (k text PRIMARY KEY, p int REFERENCES p, v int, gone timestamptz); \
             INSERT INTO p (k, gone) VALUES ('back', '2020-01-01')",
            &format!(
                "p: {{natural_key: [k], references: {{above: {{table: p, by: {{k: above}}}}}}{}}}\n\
                 c: {{natural_key: [k], references: {{p: {{table: p, by: {{k: parent}}}}}}{}}}",
                soft(parent),
                soft(child)
            ),
        );
        let back = if parent { "{\"k\": \"back\"}," } else { "" };
        world.deliver(
            "b",
            "p.json",
            format!(r#"[{back} {{"k": "top"}}, {{"k": "mid", "above": "top"}}, {{"k": "low"}}]"#),
        );
        world.deliver(
            "b",
            "c.json",
            r#"[{"k": "1", "parent": "mid", "v": 1}, {"k": "2", "parent": "low", "v": 1}, {"k": "3", "parent": "back", "v": 1}]"#,
        );
        world.apply(&world.plan("b")).ok();
        world.sql("UPDATE c SET v = 9 WHERE k IN ('1', '3')");
        let rollback = [
            "rollback",
            "--batch-id",
            "b",
            "--keep-edited",
            "--out",
            "u.json",
        ];
        world.loader(&rollback).ok();
        let shown = world.loader(&["show", "--all", "u.json"]).ok();
        // A marked child goes on referring: the row to which it refers cannot be deleted.
        let stays = child && !parent;
        let kept = match parent || stays {
            true => "3 still referred to",
            false => "2 still referred to",
        };
        shown.says_all(&["2 changed since", kept]);
        world.loader(&["apply", "u.json", "--force"]).ok();
        let low = if stays { vec!["low"] } else { vec![] };
        let lives = "SELECT k FROM p WHERE gone IS NULL AND k <> 'back' ORDER BY 1";
        assert_eq!(
            world.rows(lives),
            [low, vec!["mid", "top"]].concat(),
            "{parent} {child}"
        );
        assert_eq!(
            world.rows("SELECT k FROM c WHERE gone IS NULL ORDER BY 1"),
            ["1", "3"]
        );
        if stays {
            continue;
        }
        // When that is settled, all of it goes.
        world.sql("UPDATE c SET v = 1");
        world
            .loader(&["rollback", "--batch-id", "b", "--force"])
            .ok();
        assert_eq!(world.rows(lives), [""; 0]);
        let now = "SELECT k, gone IS NULL FROM p WHERE k = 'back'";
        assert_eq!(world.rows(now), ["back|f"]);
    }
}

/// A row with a mark that says that it is alive is not one that is deleted.
#[test]
fn references_to_rows_that_live_are_not_noted() {
    let world = World::new(
        "CREATE TABLE p (k text PRIMARY KEY, del boolean DEFAULT false); INSERT INTO p VALUES ('a', false), ('b', true), ('c', NULL); \
         CREATE TABLE c (k text PRIMARY KEY, p text REFERENCES p)",
        "p: {natural_key: [k], soft_delete: del}\nc: {natural_key: [k]}",
    );
    world.deliver("b", "c/1.csv", "k,p\n1,a\n2,c\n");
    assert!(!world.plan("b").text.contains("marked as deleted"));
    world.deliver("b", "c/2.csv", "k,p\n3,b\n");
    let plan = world.plan("b");
    assert!(
        plan.text
            .contains("1 record refers to a row of p that is marked as deleted")
    );
}

/// A record of a row that is marked already, and that it leaves so, changes the rest.
#[test]
fn a_row_that_stays_marked_is_changed_and_put_back() {
    for (mark, before) in [("timestamptz", "2026-01-01T00:00Z"), ("boolean", "true")] {
        let world = World::new(
            &format!(
                "CREATE TABLE t (id serial PRIMARY KEY, k text, name text, gone {mark}); \
                 INSERT INTO t (k, name, gone) VALUES ('1', 'a', '{before}'), ('2', 'b', '{before}'), ('2', 'c', NULL)"
            ),
            "t: {natural_key: [k], soft_delete: gone, conflict_resolution: replace}",
        );
        let all = || world.rows("SELECT id, k, name, gone IS NULL FROM t ORDER BY id");
        let now = all();
        world.deliver("b", "t/1.csv", format!("k,name,gone\n1,A,{before}\n2,C,\n"));
        world.apply(&world.plan("b")).ok();
        assert_eq!(all(), ["1|1|A|f", "2|2|b|f", "3|2|C|t"]);
        assert_eq!(world.plan("b").news(), [""; 0]);
        world
            .loader(&["rollback", "--batch-id", "b", "--force"])
            .ok();
        assert_eq!(all(), now);
    }
}

#[test]
fn rows_that_refer_to_what_the_plan_itself_marks_are_noted() {
    let world = World::new(
        "CREATE TABLE dev (id serial PRIMARY KEY, serial text NOT NULL UNIQUE, deleted_at timestamptz); \
         CREATE TABLE own (k int PRIMARY KEY, dev_id int NOT NULL REFERENCES dev); \
         INSERT INTO dev (serial, deleted_at) VALUES ('A', NULL), ('B', now()), ('C', NULL), ('D', now()); \
         INSERT INTO own VALUES (1, 1)",
        "dev: {natural_key: [serial], soft_delete: true, limits: {delete: 5}}\n\
         own: {natural_key: [k], references: {dev_id: {table: dev, by: {serial: dev}}}}",
    );
    for (batch, of, note) in [
        (
            "marks",
            r#"[{"k": 2, "dev": "A"}, {"k": 1, "dev": "A"}]"#,
            "1 record refers to a row of dev that is marked as deleted",
        ),
        (
            "both",
            r#"[{"k": 2, "dev": "A"}, {"k": 3, "dev": "B"}, {"k": 4, "dev": "C"}, {"k": 5, "dev": "D"}]"#,
            "2 records refer to rows of dev that are marked as deleted",
        ),
    ] {
        world.deliver(batch, "dev/delete/x.json", r#"{"serial": "A"}"#);
        world.deliver(batch, "dev.json", r#"[{"serial": "D"}, {"serial": "C"}]"#);
        world.deliver(batch, "own.json", of);
        let plan = world.plan(batch);
        assert!(plan.text.contains(note), "{batch}: {}", plan.text);
    }
}
