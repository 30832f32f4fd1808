//! What a plan shows beside what it does must be so too: whoever has the loader's library can make a
//! plan with a right hash.

use table_loader::plan::{Kind, What};

use crate::support::{Plan, World};

fn world() -> World {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text, w text, seen text); \
         INSERT INTO t VALUES (1, 'old', 'w', 'a'), (2, NULL, 'w', 'a'); CREATE TABLE u (id int PRIMARY KEY)",
        "t: {natural_key: [id], ignore_drift: [seen]}\nu: {natural_key: [id]}",
    );
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "v": "new"}, {"id": 2, "v": "new"}, {"id": 3}]"#,
    );
    world.deliver("b", "u/1.json", r#"{"id": 1}"#);
    world
}

#[track_caller]
fn is_refused(world: &World, plan: &Plan, says: &str) {
    let run = world.writes_only_a_failure(|| world.apply(plan).exits(6));
    run.says(says);
}

/// The plan with the old value of each update of `column` set to `old`.
fn with_old(plan: &Plan, old: Option<&str>) -> Plan {
    plan.forged(
        |_| {},
        |_| {},
        |entry| {
            if let What::Update { set, .. } = &mut entry.what {
                for (was, _) in set.values_mut() {
                    *was = old.into();
                }
            }
        },
    )
}

#[test]
fn old_values_must_be_those_of_the_rows() {
    let world = world();
    let plan = world.plan("b");
    for old in [Some("harmless"), Some("Old"), Some(""), None] {
        is_refused(&world, &with_old(&plan, old), "shows old values");
    }
    world.apply(&plan).ok();
    // A rollback's too, of updates and of deletes.
    world
        .loader(&["rollback", "--batch-id", "b", "--out", "undo.json"])
        .ok();
    let undo = Plan {
        path: world.path("undo.json"),
        text: std::fs::read_to_string(world.path("undo.json")).unwrap(),
        stderr: String::new(),
    };
    is_refused(
        &world,
        &with_old(&undo, Some("harmless")),
        "shows old values",
    );
    let lost = undo.forged(
        |_| {},
        |_| {},
        |entry| {
            if let What::Delete { values, .. } = &mut entry.what {
                values.insert("v".into(), Some("nothing of note").into());
            }
        },
    );
    is_refused(&world, &lost, "shows old values");
    for of_all in [true, false] {
        let silent = undo.forged(
            |_| {},
            |_| {},
            |entry| {
                if let What::Delete { values, .. } = &mut entry.what {
                    values.retain(|column, _| !of_all && column != "w");
                }
            },
        );
        is_refused(&world, &silent, "does not show all that it holds");
    }
    world.apply(&undo).ok();
}

#[test]
fn the_key_of_a_row_that_is_changed_must_be_spelled_as_it_is() {
    let world = World::new(
        "CREATE EXTENSION citext; CREATE TABLE t (id citext PRIMARY KEY, v text); INSERT INTO t VALUES ('Ab', 'old')",
        "t: {natural_key: [id]}",
    );
    world.deliver("b", "t/1.json", r#"{"id": "aB", "v": "new"}"#);
    let plan = world.plan("b");
    let otherwise = plan.forged(
        |_| {},
        |_| {},
        |entry| drop(entry.key.insert("id".into(), Some("AB").into())),
    );
    is_refused(&world, &otherwise, "shows old values");
    world.apply(&plan).ok();
}

#[test]
fn what_may_drift_may_have() {
    let world = world();
    world.deliver("c", "t/1.json", r#"{"id": 1, "v": "new"}"#);
    world.deliver("c", "t/2.json", r#"{"op": "delete", "data": {"id": 2}}"#);
    let plan = world.plan_with("c", &["--max-deletes", "t=1"]);
    world.sql("UPDATE t SET seen = 'z'");
    world.apply(&plan).ok();
}

#[test]
fn numbers_in_the_header_must_be_those_of_the_lines() {
    let world = world();
    let plan = world.plan("b");
    let other = plan.forged(|header| header.records = 1, |_| {}, |_| {});
    is_refused(&world, &other, "number of records");
    let other = plan.forged(|_| {}, |fragment| fragment.records += 1, |_| {});
    is_refused(&world, &other, "number of records");
    // Counts cannot be written wrongly by the library: by hand.
    for (from, to) in [
        ("\"update\":2", "\"update\":1"),
        ("\"insert\":1", "\"insert\":2"),
    ] {
        let text = plan.text.replacen(from, to, 1);
        assert_ne!(text, plan.text);
        let wrong = rehashed(&world, &text);
        for args in [
            ["apply", &wrong, "--force"],
            ["show", &wrong, "--action=update"],
        ] {
            world.writes_nothing(|| world.loader(&args).exits(6).says("summary"));
        }
    }
}

/// Writes the plan with the hash that its text has, as the message of its refusal says.
fn rehashed(world: &World, text: &str) -> String {
    world.write("wrong.json", text);
    let refused = world.loader(&["show", "wrong.json"]).exits(6);
    let hash = |text: &str| {
        let at = text.rfind("sha256:").unwrap();
        text[at..at + "sha256:".len() + 64].to_owned()
    };
    let right = hash(&refused.stderr);
    let stated = serde_json::from_str::<serde_json::Value>(text).unwrap()["plan_hash"]
        .as_str()
        .unwrap()
        .to_owned();
    world.write("wrong.json", text.replacen(&stated, &right, 1));
    "wrong.json".into()
}

#[test]
fn a_rollback_takes_back_what_it_says() {
    let world = world();
    let plan = world.plan("b");
    world.apply(&plan).ok();
    world.deliver("c", "t/1.json", r#"[{"id": 1, "w": "c"}, {"id": 4}]"#);
    let later = world.plan("c");
    world.apply(&later).ok();
    let ids = world.rows("SELECT application FROM loader_ledger ORDER BY sequence");
    world
        .loader(&["rollback", "--batch-id", "c", "--out", "undo.json"])
        .ok();
    let undo = Plan {
        path: world.path("undo.json"),
        text: std::fs::read_to_string(world.path("undo.json")).unwrap(),
        stderr: String::new(),
    };
    let of = |id: &str| vec![format!("application {id}")];
    // Another application than the one whose rows it has.
    let other = undo.forged(
        |header| {
            header.undoes = vec![ids[0].clone()];
            header.batch_id = "b".into();
        },
        |_| {},
        |entry| entry.from = of(&ids[0]),
    );
    is_refused(&world, &other, "are not the rows that were changed there");
    // Its lines say otherwise.
    let other = undo.forged(|_| {}, |_| {}, |entry| entry.from = of(&ids[0]));
    is_refused(&world, &other, "applications that it takes back");
    // Only a part of it, or none.
    let entries = std::cell::Cell::new(0);
    let part = undo.forged(
        |_| {},
        |_| {},
        |entry| {
            entries.set(entries.get() + 1);
            if entries.get() == 1 {
                entry.key.insert("id".into(), Some("99").into());
                entry.what = What::Insert {
                    values: table_loader::plan::Values::new(),
                };
            }
        },
    );
    is_refused(&world, &part, "are not the rows that were changed there");
    let none = undo.forged(|header| header.tables.clear(), |_| {}, |_| {});
    assert_eq!(world.apply(&none).code, Some(6));
    // A load that says it takes something back, or a rollback that takes back nothing.
    let load = plan.forged(
        |header| header.undoes = vec![ids[0].clone()],
        |_| {},
        |_| {},
    );
    world.writes_nothing(|| world.apply(&load).exits(6).says("is a load and takes back"));
    let nothing = undo.forged(|header| header.undoes.clear(), |_| {}, |_| {});
    world.writes_nothing(|| world.apply(&nothing).exits(6).says("takes back nothing"));
    let load = undo.forged(|header| header.kind = Kind::Load, |_| {}, |_| {});
    world.writes_nothing(|| world.apply(&load).exits(6));
    world.apply(&undo).ok();
}

#[test]
fn a_row_of_nulls_in_a_column_is_no_null() {
    let world = World::new(
        "CREATE TYPE pair AS (a int, b text); CREATE TABLE t (id int PRIMARY KEY, p pair, q pair); \
         INSERT INTO t VALUES (1, '(,)', '(,)'), (2, NULL, NULL)",
        "t: {natural_key: [id], conflict_resolution: replace}",
    );
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "p": "(1,x)", "q": null}, {"id": 2, "p": "(,)"}]"#,
    );
    let plan = world.plan("b");
    assert_eq!(
        plan.lines(),
        [
            "~ t id=1: p=\"(,)\"→\"(1,x)\" q=\"(,)\"→null",
            "~ t id=2: p=null→\"(,)\"",
        ]
    );
    world.apply(&plan).ok();
    assert_eq!(world.plan("b").news(), [""; 0]);
}

/// What follows from a plan's own settings is told from them, and not from what its maker says.
#[test]
fn what_cannot_be_taken_back_and_what_lies_elsewhere_is_told_whoever_made_the_plan() {
    let world = world();
    world.sql("CREATE SCHEMA other; CREATE TABLE other.t (LIKE t INCLUDING ALL)");
    let plan = world.plan("b");
    let words = [
        "is off: what is loaded into this table cannot be rolled back",
        "this is the table t of the schema other",
    ];
    let changed = plan.forged(
        |header| {
            header.tables[0].config.audit_changes = false;
            header.tables[0].relation.schema = "other".into();
        },
        |_| {},
        |_| {},
    );
    for format in ["text", "markdown", "html"] {
        for (plan, told) in [(&plan, false), (&changed, true)] {
            let shown = world.show(plan, &["--format", format]);
            let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
            for words in words {
                assert_eq!(shown.contains(words), told, "{format}: {shown}");
            }
        }
    }
}

/// The database would read more into a value than what is seen.
#[test]
fn values_must_be_as_they_are_stored() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, d date, at timestamptz, n numeric(10,2)); INSERT INTO t VALUES (1, '2024-01-01')",
        "t: {natural_key: [id]}",
    );
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "d": "2024-02-01", "at": "2024-02-01T12:00:00Z", "n": 1.5}, {"id": 2, "d": "infinity", "at": "0044-03-15 12:00:00+00 BC", "n": "NaN"}]"#,
    );
    let plan = world.plan("b");
    for (column, value) in [
        ("d", "today"),
        ("d", "epoch"),
        ("at", "now"),
        ("at", "2024-02-01 12:00:00.1234567+00"),
        ("n", "1.005"),
    ] {
        let forged = plan.forged(
            |_| {},
            |_| {},
            |entry| match &mut entry.what {
                What::Update { set, .. } => {
                    set.get_mut(column).unwrap().1 = value.into();
                }
                What::Insert { values } => drop(values.insert(column.into(), value.into())),
                _ => {}
            },
        );
        is_refused(
            &world,
            &forged,
            "a value that would be stored as another one",
        );
    }
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT t::text FROM t ORDER BY id"),
        [
            "(1,2024-02-01,\"2024-02-01 12:00:00+00\",1.50)",
            "(2,infinity,\"0044-03-15 12:00:00+00 BC\",NaN)"
        ]
    );
}

/// A rollback has to put back all that the loads did: what a plan leaves out nobody sees.
#[test]
fn a_rollback_puts_back_all_that_the_audit_log_has() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text, w text, n numeric(10,2)); INSERT INTO t VALUES (1, 'old', 'w', 1), (2, 'old', 'w', 2)",
        "t: {natural_key: [id], limits: {delete: 1}}",
    );
    let before = world.rows("SELECT t::text FROM t ORDER BY id");
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": 1, "v": "new", "w": "x", "n": 1.5}, {"id": 3, "v": "new"}]"#,
    );
    world.deliver("b", "t/2.json", r#"{"op": "delete", "data": {"id": 2}}"#);
    world.apply(&world.plan("b")).ok();
    // Of a column that has another type since, other texts may say the same.
    world.sql("ALTER TABLE t ALTER n TYPE numeric(12,4), ADD COLUMN later int DEFAULT 7");
    world
        .loader(&["rollback", "--batch-id", "b", "--out", "undo.json"])
        .ok();
    let undo = Plan {
        path: world.path("undo.json"),
        text: std::fs::read_to_string(world.path("undo.json")).unwrap(),
        stderr: String::new(),
    };
    let forged: [fn(&mut What); 4] = [
        |what| {
            if let What::Update { set, .. } = what {
                set.remove("w");
            }
        },
        |what| {
            if let What::Update { set, .. } = what {
                set.get_mut("v").unwrap().1 = "evil".into();
            }
        },
        |what| {
            if let What::Update { expect, .. } = what {
                *what = What::Skip(table_loader::plan::Skip::Unchanged(expect.clone()));
            }
        },
        |what| {
            if let What::Insert { values } = what {
                values.insert("v".into(), "evil".into());
            }
        },
    ];
    for forge in forged {
        let forged = undo.forged(|_| {}, |_| {}, |entry| forge(&mut entry.what));
        is_refused(
            &world,
            &forged,
            "does not make rows of t what they were before",
        );
    }
    world.apply(&undo).ok();
    assert_eq!(
        world.rows("SELECT ROW(id, v, w, n::numeric(10,2))::text FROM t ORDER BY id"),
        before
    );
}
