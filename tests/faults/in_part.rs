//! Loads can be undone row by row: what is undone is undone once, what others edited is kept, and the
//! ledger says how far it has come.

use std::sync::atomic::{AtomicU32, Ordering};

use table_loader::plan::{Skip, What};

use crate::harness::{Run, Stage};
use crate::support::plan::Plan;

const TABLES: &str = "CREATE TABLE parent (k text PRIMARY KEY, v text); \
    CREATE TABLE child (k text, n int, parent text REFERENCES parent, v text, PRIMARY KEY (k, n)); \
    INSERT INTO parent VALUES ('p0', 'old')";
const CONFIG: &str = "parent: {natural_key: [k]}\nchild: {natural_key: [k, n]}";

/// One load: `p0` changed, three parents and two children new.
fn loaded() -> Stage {
    let stage = Stage::new(TABLES, CONFIG);
    stage.deliver(
        "b",
        &[
            (
                "parent/1.json",
                r#"[{"k": "p0", "v": "new"}, {"k": "p1", "v": "one"}, {"k": "p2", "v": "two"}, {"k": "p3", "v": "three"}]"#,
            ),
            (
                "child/1.json",
                r#"[{"k": "c", "n": 1, "parent": "p1"}, {"k": "c", "n": 2, "parent": "p2"}]"#,
            ),
        ],
    );
    stage.load("b");
    stage
}

fn roll_back(stage: &Stage, more: &[&str]) -> Run {
    stage.loader(&[&["rollback", "--batch-id", "b", "--force"], more].concat())
}

/// The plan of a rollback.
fn undo(stage: &Stage, more: &[&str]) -> Plan {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("undo_{}.json", NUMBER.fetch_add(1, Ordering::Relaxed));
    let args = ["rollback", "--batch-id", "b", "--out", &name];
    let run = stage.loader(&[&args, more].concat()).exits(0);
    let path = stage.path(&name);
    Plan {
        text: std::fs::read_to_string(&path).unwrap(),
        stderr: run.stderr,
        path,
    }
}

fn queue(stage: &Stage) -> String {
    stage.one("SELECT string_agg(DISTINCT status, ' ') FROM validation_queue")
}

fn application(stage: &Stage, kind: &str) -> String {
    stage.one(&format!(
        "SELECT application FROM loader_ledger WHERE kind = '{kind}' ORDER BY sequence DESC LIMIT 1"
    ))
}

fn history(stage: &Stage) -> String {
    let text = stage.loader(&["history"]).exits(0).stdout;
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn some_rows_are_undone_and_a_later_rollback_takes_the_rest() {
    let stage = Stage::new(TABLES, CONFIG);
    let before = stage.data();
    drop(stage);
    let stage = loaded();
    let load = application(&stage, "load");
    let rows = ["--table", "child", "--key", r#"["c", 1]"#];
    let children = ["--table", "child", "--key", r#"{"n": "2", "k": "c"}"#];
    roll_back(&stage, &rows)
        .exits(0)
        .says_all(&["1 to delete", "0 inserted, 0 updated, 1 deleted"]);
    assert!(!stage.data().contains("(c,1,"), "{}", stage.data());
    assert_eq!(queue(&stage), "loaded");
    let by = application(&stage, "rollback");
    assert!(
        history(&stage).contains(&format!(
            "application {load}, undone in part: 1 of 6 rows, by {by}"
        )),
        "{}",
        history(&stage)
    );
    let json = stage.loader(&["history", "--json"]).exits(0).json();
    let told = &json["applications"][1];
    assert_eq!(told["undone_in_part_by"][0], by.as_str());
    assert_eq!(told["undone_rows"]["child"], 1);
    assert_eq!(told["undone_by"], serde_json::Value::Null);
    let batches = stage.loader(&["batches"]).exits(0);
    batches.says("undone in part: 1 of 6 rows");
    let audit = stage.loader(&["audit", "--application", &load, "--json"]);
    let audit = audit.exits(0).json();
    let undone = audit["changes"].as_array().unwrap().iter();
    let undone: Vec<_> = undone.filter(|c| c["undone_by"] == by.as_str()).collect();
    assert_eq!(undone.len(), 1, "{audit}");
    assert_eq!(undone[0]["key"], r#"["c","1"]"#);

    // What is undone is not undone again, nor what no load brought.
    let now = stage.state();
    roll_back(&stage, &rows)
        .exits(1)
        .says_all(&[r#"["c","1"]"#, "undone already"]);
    roll_back(&stage, &["--table", "child", "--key", r#"["c", 9]"#])
        .exits(1)
        .says_all(&["child", r#"["c","9"]"#, "none of the loads"]);
    roll_back(&stage, &["--table", "child", "--key", "c"])
        .exits(1)
        .says("the natural key of child is k, n");
    roll_back(&stage, &["--table", "chidl"])
        .exits(1)
        .says("did you mean child?");
    // A plan that was undone in part is neither applied nor to be applied again.
    let hash = hash(&stage);
    for more in [&[][..], &["--again", &load]] {
        let apply = [&["apply", "b.json", "--approve", &hash], more].concat();
        stage
            .loader(&apply)
            .exits(6)
            .says_all(&["undone in part: 1 of 6 rows", "make a new plan"]);
    }
    stage
        .loader(&["check", "b.json"])
        .exits(6)
        .says("undone in part");
    assert_eq!(stage.state(), now);

    // The rest: first one row, then all, as a whole.
    roll_back(&stage, &children).exits(0);
    let then = application(&stage, "rollback");
    let plan = undo(&stage, &[]);
    assert_eq!(plan.count("delete"), 3);
    assert_eq!(plan.json()["header"]["undoes"][0], load.as_str());
    roll_back(&stage, &[]).exits(0).says("1 updated, 3 deleted");
    assert_eq!(stage.data(), before);
    assert_eq!(queue(&stage), "pending");
    roll_back(&stage, &[]).exits(1).says("taken back already");
    // Who took the first rows back is told still.
    let rest = application(&stage, "rollback");
    let told =
        format!("application {load}, rolled back by {rest}, and before in part by {then}, {by}");
    assert!(history(&stage).contains(&told), "{}", history(&stage));
    let json = stage.loader(&["history", "--json"]).exits(0).json();
    let of_load = &json["applications"][3];
    assert_eq!(of_load["undone_by"], rest.as_str());
    assert_eq!(of_load["undone_in_part_by"], serde_json::json!([then, by]));
    assert_eq!(of_load["undone_rows"], serde_json::Value::Null);
    // Now the plan may be applied again.
    stage.apply_again("b.json").exits(0);
}

#[test]
fn who_undid_a_row_is_told_of_each() {
    let stage = loaded();
    roll_back(&stage, &["--table", "child", "--key", r#"["c", 1]"#]).exits(0);
    let first = application(&stage, "rollback");
    roll_back(&stage, &["--table", "child"]).exits(0);
    let second = application(&stage, "rollback");
    roll_back(&stage, &[]).exits(0);
    let rest = application(&stage, "rollback");
    let audit = stage.loader(&["audit", "--json"]).exits(0).stdout;
    let audit: serde_json::Value = serde_json::from_str(&audit).unwrap();
    let changes = audit["changes"]
        .as_array()
        .unwrap_or_else(|| audit.as_array().unwrap());
    let mut of_load = 0;
    for change in changes
        .iter()
        .filter(|c| c["operation"] == "INSERT" && c["batch_id"] == "b")
    {
        let by = match (
            change["table"].as_str().unwrap(),
            change["key"].as_str().unwrap(),
        ) {
            ("child", r#"["c","1"]"#) => &first,
            ("child", _) => &second,
            _ => &rest,
        };
        assert_eq!(change["undone_by"].as_str(), Some(by.as_str()), "{change}");
        of_load += 1;
    }
    assert_eq!(of_load, 5, "{audit}");
}

fn hash(stage: &Stage) -> String {
    let text = std::fs::read_to_string(stage.path("b.json")).unwrap();
    let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
    plan["plan_hash"].as_str().unwrap().to_owned()
}

#[test]
fn rows_that_others_stay_to_refer_to_are_not_undone_alone() {
    let stage = loaded();
    let now = stage.state();
    let parent = ["--table", "parent", "--key", "p1"];
    roll_back(&stage, &parent)
        .exits(4)
        .says_all(&["child", "k=c, n=1", "--with-dependents"]);
    assert_eq!(stage.state(), now);
    // A whole table that others refer to, too; the other way round it goes.
    roll_back(&stage, &["--table", "parent"]).exits(4);
    roll_back(&stage, &["--table", "child"]).exits(0);
    roll_back(&stage, &["--table", "parent"]).exits(0);
    assert_eq!(stage.data(), "parent (p0,old)");
    assert_eq!(queue(&stage), "pending");
}

#[test]
fn rows_that_changed_since_are_kept_and_listed() {
    let stage = loaded();
    stage.sql(
        "UPDATE child SET v = 'theirs' WHERE n = 1; UPDATE parent SET v = 'theirs' WHERE k = 'p0'; \
         DELETE FROM parent WHERE k = 'p3'",
    );
    roll_back(&stage, &[]).exits(3).says("--keep-edited");
    let plan = undo(&stage, &["--keep-edited"]);
    let mut lines = plan.lines();
    lines.sort();
    assert_eq!(
        lines,
        [
            r#"- child k=c n=2: parent="p2" v=null"#,
            r#"- parent k=p2: v="two""#,
            "= child k=c n=1: edited_since",
            "= parent k=p0: edited_since",
            "= parent k=p1: referred_to",
            "= parent k=p3: gone_since",
        ]
    );
    let shown = stage.show(&plan, &[]);
    let said = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "2 changed since, 1 gone since, 1 still referred to",
        "kept, because rows that stay refer to it",
    ] {
        assert!(said.contains(words), "{words}: {shown}");
    }
    stage.apply(&plan).exits(0);
    assert_eq!(
        stage.data(),
        "child (c,1,p1,theirs)\nparent (p0,theirs)\nparent (p1,one)"
    );
    assert_eq!(queue(&stage), "loaded");
    assert!(history(&stage).contains("undone in part: 2 of 6 rows"));
    let now = stage.state();
    roll_back(&stage, &["--keep-edited"])
        .exits(4)
        .says("nothing can be undone");
    assert_eq!(stage.state(), now);
    // What is settled can be undone then.
    stage.sql(
        "UPDATE child SET v = NULL; UPDATE parent SET v = 'new' WHERE k = 'p0'; INSERT INTO parent VALUES ('p3', 'three')",
    );
    roll_back(&stage, &[]).exits(0);
    assert_eq!(stage.data(), "parent (p0,old)");
    assert_eq!(queue(&stage), "pending");
}

#[test]
fn a_row_that_later_loads_brought_and_deleted_again_is_kept_as_one_that_is_gone() {
    let stage = Stage::new(
        "CREATE TABLE t (k text PRIMARY KEY, v text); INSERT INTO t VALUES ('a', 'old'), ('b', 'old')",
        "t: {natural_key: [k], limits: {delete: 9}}",
    );
    stage.deliver("b", &[("t/delete/1.json", r#"[{"k": "a"}, {"k": "b"}]"#)]);
    stage.deliver("again", &[("t/1.json", r#"[{"k": "a", "v": "again"}]"#)]);
    stage.deliver("away", &[("t/delete/1.json", r#"[{"k": "a"}]"#)]);
    for batch in ["b", "again", "away"] {
        stage.load(batch);
    }
    let plan = undo(&stage, &["--keep-edited"]);
    let mut lines = plan.lines();
    lines.sort();
    assert_eq!(lines, [r#"+ t k=b: v="old""#, "= t k=a: gone_since"]);
    stage.check(&plan).exits(0);
    stage.apply(&plan).exits(0);
    assert_eq!(stage.data(), "t (b,old)");
}

#[test]
fn drift_is_refused_when_a_rollback_in_part_is_applied() {
    let stage = loaded();
    stage.sql("UPDATE child SET v = 'theirs' WHERE n = 1");
    let plan = undo(&stage, &["--keep-edited"]);
    for change in [
        "UPDATE child SET v = 'theirs' WHERE n = 2",
        "UPDATE child SET v = NULL, parent = 'p2' WHERE n = 1",
        "DELETE FROM child WHERE n = 1",
    ] {
        stage.sql(&format!(
            "CREATE TABLE kept AS TABLE child; {change}; CREATE TABLE changed AS TABLE child"
        ));
        let now = stage.state();
        let run = stage.apply(&plan);
        assert!(matches!(run.code, Some(3 | 4)), "{change}: {run}");
        assert_eq!(stage.state(), now, "{change}");
        stage.sql("DELETE FROM child; INSERT INTO child TABLE kept; DROP TABLE kept, changed");
    }
    stage.apply(&plan).exits(0);
}

#[test]
fn rows_of_later_loads_are_undone_with_those_to_which_they_refer() {
    let stage = loaded();
    stage.deliver(
        "later",
        &[(
            "child/1.json",
            r#"[{"k": "d", "n": 1, "parent": "p3"}, {"k": "e", "n": 1, "parent": "p0"}, {"k": "c", "n": 2, "v": "later"}]"#,
        )],
    );
    let later = stage.load("later");
    stage.deliver(
        "last",
        &[("child/1.json", r#"{"k": "d", "n": 1, "v": "last"}"#)],
    );
    stage.load("last");
    let now = stage.state();
    let p3 = ["--table", "parent", "--key", "p3"];
    roll_back(&stage, &p3).exits(4);
    assert_eq!(stage.state(), now);
    let with = [&p3[..], &["--with-dependents"]].concat();
    let plan = undo(&stage, &with);
    assert_eq!(
        plan.lines(),
        [
            r#"- child k=d n=1: parent="p3" v="last""#,
            r#"- parent k=p3: v="three""#
        ]
    );
    assert!(
        stage.show(&plan, &[]).contains(&later),
        "the later loads are named"
    );
    // Somebody else's row stands in the way.
    stage.sql("INSERT INTO child VALUES ('x', 1, 'p3')");
    roll_back(&stage, &with)
        .exits(4)
        .says_all(&["child", "k=x, n=1"]);
    stage.sql("DELETE FROM child WHERE k = 'x'");
    roll_back(&stage, &with).exits(0);
    let said = history(&stage);
    for words in [
        "undone in part: 1 of 6 rows",
        "undone in part: 1 of 3 rows",
        "rolled back by",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    stage
        .loader(&["history", "--batch-id", "last"])
        .exits(0)
        .says("rolled back by");
    // Whoever reviews a rollback of that rollback sees what else comes back.
    let taken = application(&stage, "rollback");
    let again = ["rollback", "--application", &taken, "--out", "again.json"];
    stage.loader(&again).exits(0);
    let shown = stage.loader(&["show", "again.json"]).exits(0).stdout;
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    let last = stage.one("SELECT application FROM loader_ledger WHERE batch_id = 'last'");
    let named = format!(
        "the rollback took back loads of other batches, too, which come back with it: batch last ({last}), batch later \
         ({later})"
    );
    assert!(shown.contains(&named), "{named}: {shown}");
    // All that is left of the load, and what the later one did to its rows; not what it did beside.
    roll_back(&stage, &[]).exits(3);
    roll_back(&stage, &["--with-dependents"]).exits(0);
    assert_eq!(stage.data(), "child (e,1,p0,)\nparent (p0,old)");
}

#[test]
fn rollbacks_in_part_are_rolled_back_as_a_whole_and_in_order() {
    let stage = loaded();
    let after = stage.data();
    let one = ["--table", "child", "--key", r#"["c", 1]"#];
    roll_back(&stage, &one).exits(0);
    let first = application(&stage, "rollback");
    roll_back(&stage, &["--table", "child", "--key", r#"["c", 2]"#]).exits(0);
    let take_back = |id: &str, more: &[&str]| {
        stage.loader(&[&["rollback", "--application", id, "--force"], more].concat())
    };
    take_back(&first, &["--table", "child"])
        .exits(1)
        .says("as a whole");
    // Two parts do not mind each other.
    take_back(&first, &[]).exits(0).says("1 inserted");
    let redone = application(&stage, "rollback");
    assert!(history(&stage).contains("undone in part: 1 of 6 rows"));
    roll_back(&stage, &one).exits(0);
    let again = application(&stage, "rollback");
    take_back(&redone, &[])
        .exits(1)
        .says_all(&[&again, "first"]);
    // What took the rest goes before what took a part.
    roll_back(&stage, &[]).exits(0);
    let rest = application(&stage, "rollback");
    take_back(&again, &[]).exits(1).says(&rest);
    take_back(&rest, &[]).exits(0);
    let redone_rest = application(&stage, "rollback");
    assert!(history(&stage).contains("undone in part: 2 of 6 rows"));
    // A rollback that was taken back is not there any more.
    take_back(&again, &[]).exits(0);
    let redone_again = application(&stage, "rollback");
    take_back(&redone_rest, &[]).exits(1).says(&redone_again);
    take_back(&redone_again, &[]).exits(0);
    take_back(&redone_rest, &[]).exits(0);
    assert_eq!(stage.data(), "parent (p0,old)");
    assert_ne!(stage.data(), after);
}

#[test]
fn two_rollbacks_in_part_of_one_load_are_taken_back_the_latest_first() {
    let stage = loaded();
    let loaded = stage.data();
    roll_back(&stage, &["--table", "parent", "--key", "p3"]).exits(0);
    let first = application(&stage, "rollback");
    roll_back(&stage, &[]).exits(0);
    let second = application(&stage, "rollback");
    let take_back = |id: &str| stage.loader(&["rollback", "--application", id, "--force"]);
    take_back(&first).exits(1).says(&second);
    take_back(&second).exits(0);
    take_back(&first).exits(0);
    assert_eq!(stage.data(), loaded);
    assert!(!history(&stage).contains("undone in part"));
    roll_back(&stage, &[]).exits(0);
    assert_eq!(stage.data(), "parent (p0,old)");
}

#[test]
fn a_plan_that_claims_otherwise_than_it_does_is_refused() {
    let stage = loaded();
    let rows = ["--table", "child", "--key", r#"["c", 1]"#];
    let part = undo(&stage, &rows);
    let load = application(&stage, "load");
    let now = stage.state();
    let check = |plan: &Plan| stage.loader(&["check", plan.path.to_str().unwrap()]);
    let refused = |plan: &Plan| {
        check(plan).exits(6);
        stage.apply(plan).exits(6);
        assert_eq!(stage.state(), now);
    };
    // In part, and says as a whole.
    refused(&part.forged(
        |h| (h.undoes, h.undoes_in_part) = (vec![load.clone()], Vec::new()),
        |_| (),
        |_| (),
    ));
    // As a whole, and says in part.
    let whole = undo(&stage, &[]);
    refused(&whole.forged(
        |h| (h.undoes, h.undoes_in_part) = (Vec::new(), vec![load.clone()]),
        |_| (),
        |_| (),
    ));
    // As a whole, and keeps a row.
    refused(&whole.forged(
        |_| (),
        |_| (),
        |e| {
            if e.table == "child" {
                e.what = What::Skip(Skip::EditedSince);
            }
        },
    ));
    // Both.
    refused(&part.forged(|h| h.undoes = vec![load.clone()], |_| (), |_| ()));
    // What another undid meanwhile.
    let part = undo(&stage, &rows);
    let other = part.forged(
        |h| h.tables[0].warnings.push("another".into()),
        |_| (),
        |_| (),
    );
    stage.apply(&part).exits(0);
    stage.sql("INSERT INTO child VALUES ('c', 1, 'p1')"); // by hand: theirs now
    let now = stage.state();
    for plan in [&other, &whole] {
        check(plan).exits(6);
        stage.apply(plan).exits(6);
    }
    assert_eq!(stage.state(), now);
    // Nor is it undone by a new plan.
    let rest = undo(&stage, &["--keep-edited"]);
    assert!(
        rest.lines().iter().all(|l| !l.contains("n=1")),
        "{:?}",
        rest.lines()
    );
    stage.apply(&rest).exits(0);
    assert!(stage.data().contains("(c,1,p1,)"));
}

/// What one leaves is all that there is when the other was applied.
#[test]
fn of_two_rollbacks_that_were_made_side_by_side_the_second_is_made_again() {
    let stage = loaded();
    roll_back(&stage, &["--table", "child"]).exits(0);
    let parents = |keys: &[&str]| {
        let keys = keys.iter().flat_map(|key| ["--key", key]);
        let args: Vec<&str> = ["--table", "parent"].into_iter().chain(keys).collect();
        undo(&stage, &args)
    };
    let one = parents(&["p0"]);
    let rest = parents(&["p1", "p2", "p3"]);
    let check = || stage.loader(&["check", rest.path.to_str().unwrap()]);
    check().exits(0);
    stage.apply(&one).exits(0);
    let now = stage.state();
    for run in [check(), stage.apply(&rest)] {
        run.exits(6).says("the others were taken back since");
    }
    assert_eq!(stage.state(), now);
    roll_back(&stage, &[]).exits(0);
}

/// What a row held before may be somebody else's now, or not allowed any more.
#[test]
fn what_stands_against_putting_a_row_back_is_said_with_what_to_do() {
    let stage = Stage::new(
        "CREATE TABLE t (k int PRIMARY KEY, u text UNIQUE, n int); INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2)",
        "t: {natural_key: [k]}",
    );
    stage.deliver(
        "b",
        &[(
            "t/1.json",
            r#"[{"k": 1, "u": "b"}, {"k": 2, "u": "c", "n": 3}]"#,
        )],
    );
    let plan = stage.plan("b");
    stage.loader(&["apply", &plan, "--force"]).exits(0);
    let after = stage.state();
    let alone = [
        "rollback",
        "--batch-id",
        "b",
        "--table",
        "t",
        "--key",
        "2",
        "--force",
    ];
    stage.loader(&alone).exits(4).says_all(&[
        "t: as these rows were before, they have what must be unique and another row has now (t_u_key): 2 (the row 1 has it)",
    ]);
    let all = ["rollback", "--batch-id", "b", "--force"];
    for (constraint, named) in [
        ("ADD CONSTRAINT later CHECK (u <> 'a')", "later"),
        ("ADD CONSTRAINT much CHECK (n <> 2)", "much"),
    ] {
        stage.sql(&format!("ALTER TABLE t {constraint}"));
        stage.loader(&all).exits(4).says_all(&[
            "t: as these rows were before, they break the check",
            named,
            "have that rule changed until these loads are taken back",
        ]);
        stage.sql(&format!("ALTER TABLE t DROP CONSTRAINT {named}"));
    }
    assert_eq!(stage.state().data, after.data);
    stage.loader(&all).exits(0);
    assert_eq!(
        stage.one("SELECT string_agg(t::text, ' ' ORDER BY k) FROM t"),
        "(1,a,1) (2,b,2)"
    );
}
