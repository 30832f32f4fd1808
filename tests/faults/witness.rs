//! A witness of its own sees every row that any transaction changes: PostgreSQL's logical decoding.
//!
//! Random plans are applied, refused and taken back, two at a time, while two other programs write.
//! Every change that the loader committed is in the audit log and in the plan, with the row that the
//! plan saw before it, and nothing else is; what was refused left nothing.
//! `TEST_WITNESS` is how many applies are tried.

mod decoded;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use postgres::{Client, SimpleQueryMessage};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Run, Stage, number_from};
use crate::support::random::Random;
use crate::support::server;
use decoded::{Change, Row, Transaction, transactions};

const TABLES: &str = "\
CREATE TABLE p (k int PRIMARY KEY, v text, n int NOT NULL DEFAULT 0, at timestamptz);
CREATE TABLE c (k text PRIMARY KEY, p int REFERENCES p, v text, code int UNIQUE DEFERRABLE);
CREATE TABLE s (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, k int NOT NULL, v text, deleted_at timestamptz);
CREATE UNIQUE INDEX ON s (k) WHERE deleted_at IS NULL;
CREATE TABLE h (k int PRIMARY KEY, v text, w text) PARTITION BY HASH (k);
CREATE TABLE h_0 PARTITION OF h FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE h_1 PARTITION OF h FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO p SELECT i, 'it''s old', 0 FROM generate_series(1, 30) i;
INSERT INTO c SELECT 'c' || i, i, 'old', i FROM generate_series(1, 20) i;
INSERT INTO s (k, v) SELECT i, 'old' FROM generate_series(1, 20) i;
INSERT INTO h SELECT i, 'old' FROM generate_series(1, 20) i;
DO $$ DECLARE t regclass; BEGIN FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
  LOOP EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', t); END LOOP; END $$;";

const CONFIG: &str = "\
p: {natural_key: [k], on_invalid: reject, conflict_resolution: replace, stamps: {at: now}}
c: {natural_key: [k], on_invalid: reject, conflict_resolution: replace}
s: {natural_key: [k], on_invalid: reject, soft_delete: true}
h: {natural_key: [k], on_invalid: reject}";

/// The columns of each table, beside its key `k`.
const COLUMNS: [(&str, &[&str]); 4] = [
    ("p", &["v", "n", "at"]),
    ("c", &["p", "v", "code"]),
    ("s", &["id", "v", "deleted_at"]),
    ("h", &["v", "w"]),
];

/// What is the loader's own.
const OWN: [&str; 4] = [
    "audit_log",
    "batch_load_log",
    "loader_ledger",
    "validation_queue",
];

/// Random records for some of the tables.
fn batch(r: &mut Random, tag: &str) -> Vec<(String, String)> {
    let mut fragments = Vec::new();
    for (table, _) in COLUMNS {
        if r.chance(30) {
            continue;
        }
        let mut records = Vec::new();
        for k in 1..=35 {
            if !r.chance(12) {
                continue;
            }
            let v =
                r.pick(&["old", "it's", "new"]).to_owned() + if r.chance(50) { tag } else { "" };
            records.push(match table {
                "p" if r.chance(20) => json!({"k": k, "n": r.below(3)}),
                "c" => {
                    json!({"k": format!("c{k}"), "p": 1 + r.below(33), "v": v, "code": r.below(60)})
                }
                "h" if r.chance(20) => json!({"k": k, "w": v}),
                _ => json!({"k": k, "v": v}),
            });
        }
        let lines: Vec<String> = records.iter().map(Value::to_string).collect();
        if !lines.is_empty() {
            fragments.push((format!("{table}/1.ndjson"), lines.join("\n")));
        }
    }
    fragments
}

/// Another program: changes random rows until told to stop, and says who it is in each transaction.
fn write(stage: &Stage, seed: u64, pause: &AtomicU64, stop: &AtomicBool) {
    let mut client = stage.connect();
    let mut r = Random::new(seed);
    while !stop.load(Ordering::Relaxed) {
        let k = 1 + r.below(35);
        let (a, b) = (r.below(60), r.next() % 1000);
        let work = match r.below(12) {
            0 => format!("UPDATE p SET n = n + 1 WHERE k = {k}"),
            1 => format!("UPDATE p SET v = 'theirs {b}' WHERE k = {k}"),
            2 => format!("INSERT INTO p VALUES ({k}, 'theirs') ON CONFLICT DO NOTHING"),
            3 => format!(
                "DELETE FROM p WHERE k = {k} AND NOT EXISTS (SELECT FROM c WHERE c.p = {k})"
            ),
            4 => format!("UPDATE c SET v = 'theirs {b}', code = {a} WHERE k = 'c{k}'"),
            5 => format!("DELETE FROM c WHERE k = 'c{k}'"),
            6 => format!("INSERT INTO c VALUES ('c{k}', NULL, 'theirs', NULL)"),
            7 => format!("UPDATE c SET k = 'c{}' WHERE k = 'c{k}'", 1 + r.below(35)),
            8 => format!(
                "UPDATE s SET deleted_at = CASE WHEN deleted_at IS NULL THEN now() END WHERE k = {k}"
            ),
            9 => format!("UPDATE h SET v = 'theirs {b}' WHERE k = {k}"),
            // Deleted, and there again as it was.
            10 => format!(
                "WITH d AS (SELECT * FROM h WHERE k = {k}) INSERT INTO h SELECT k + 100, v, w FROM d; \
                DELETE FROM h WHERE k = {k}; UPDATE h SET k = {k} WHERE k = {k} + 100"
            ),
            _ => format!("UPDATE s SET v = 'theirs {b}' WHERE k = {k} AND deleted_at IS NULL"),
        };
        // What a constraint refuses is refused.
        let _ = client.batch_execute(&format!(
            "SELECT pg_logical_emit_message(true, 'writer', ''); {work}"
        ));
        thread::sleep(Duration::from_micros(pause.load(Ordering::Relaxed)));
    }
}

/// What all rounds together did.
#[derive(Debug, Default)]
struct Figures {
    applied: u64,
    taken_back: u64,
    refused: BTreeMap<i32, u64>,
    changes: u64,
    of_others: u64,
}

/// Plans by the application that applied them.
type Plans = BTreeMap<String, Value>;

/// Applies plans at the same time. Returns how each ended.
fn apply(stage: &Stage, plans: &[String], figures: &mut Figures, done: &mut Plans) -> Vec<bool> {
    let started = plans.iter().map(|plan| {
        let args = ["apply", plan, "--force", "--json"];
        stage.command(&args).spawn().unwrap()
    });
    let started: Vec<_> = started.collect();
    let ended = started.into_iter().zip(plans).map(|(child, plan)| {
        let run = crate::harness::finish("apply", child);
        match run.code {
            Some(0) => {
                let application = run.json()["application"].as_str().unwrap().to_owned();
                let text = std::fs::read_to_string(stage.path(plan)).unwrap();
                let plan: Value = serde_json::from_str(&text).unwrap();
                if kind(&plan) == "rollback" {
                    figures.taken_back += 1;
                } else {
                    figures.applied += 1;
                }
                done.insert(application, plan);
                true
            }
            code => {
                refused(&run);
                *figures.refused.entry(code.unwrap()).or_default() += 1;
                false
            }
        }
    });
    ended.collect()
}

fn kind(plan: &Value) -> &str {
    let header = plan.get("header").unwrap_or(plan);
    header["kind"].as_str().unwrap()
}

/// Drift, a violation, or a unique value or parent that another program took or removed.
fn refused(run: &Run) {
    let expected = match run.code {
        Some(3 | 4) => true,
        Some(1) => ["23503", "23505", "40P01"]
            .iter()
            .any(|c| run.stderr.contains(c) || run.stdout.contains(c)),
        _ => false,
    };
    assert!(expected, "{run}");
}

/// The digest of a row as a plan has it: of the texts in the order of the lengths of their columns'
/// names, then of these, as PostgreSQL sends such an array.
fn digest(table: &str, row: &Row) -> String {
    let (_, columns) = COLUMNS.iter().find(|(t, _)| *t == table).unwrap();
    let mut columns: Vec<&str> = columns.iter().copied().chain(["k"]).collect();
    columns.sort_by_key(|c| (c.len(), *c));
    let has_null = columns.iter().any(|c| !row.contains_key(*c));
    let mut sent = Vec::new();
    let count = i32::try_from(columns.len()).unwrap();
    for number in [1, i32::from(has_null), 25, count, 1] {
        sent.extend(number.to_be_bytes());
    }
    for column in columns {
        match row.get(column) {
            None => sent.extend((-1i32).to_be_bytes()),
            Some(text) => {
                sent.extend(i32::try_from(text.len()).unwrap().to_be_bytes());
                sent.extend(text.as_bytes());
            }
        }
    }
    let hash = Sha256::digest(&sent);
    hash[..16].iter().map(|b| format!("{b:02x}")).collect()
}

/// An image of the audit log.
fn image(text: Option<&String>) -> Option<Row> {
    let value: Value = serde_json::from_str(text?).unwrap();
    let cells = value.as_object().unwrap().iter();
    let cells = cells.filter_map(|(c, v)| Some((c.clone(), v.as_str()?.to_owned())));
    Some(cells.collect())
}

/// The table of which `table` is a partition.
fn root(table: &str) -> &str {
    table.split('_').next().unwrap()
}

/// Checks one transaction of the loader against its own audit log and its plan.
fn check(transaction: &Transaction, done: &mut Plans) -> u64 {
    let of = |name: &'static str| transaction.changes.iter().filter(move |c| c.table == name);
    let what = |text: &str| format!("transaction {}: {text}: {transaction:#?}", transaction.xid);
    let ledger: Vec<&Row> = of("loader_ledger")
        .filter_map(|c| c.after.as_ref())
        .collect();
    assert_eq!(ledger.len(), 1, "{}", what("one entry of the ledger"));
    let application = &ledger[0]["application"];
    let plan = done
        .remove(application)
        .unwrap_or_else(|| panic!("{}", what("nobody was told that it was applied")));
    for own in OWN {
        let only_added = of(own).all(|c| c.before.is_none());
        assert!(only_added || own == "validation_queue", "{}", what(own));
    }

    // Both ways: what was changed is in the audit log, and what is in there was changed.
    let mut changed: Vec<Change> = transaction.changes.clone();
    changed.retain(|c| !OWN.contains(&c.table.as_str()));
    for change in &mut changed {
        change.table = root(&change.table).to_owned();
    }
    let mut audited: Vec<Change> = Vec::new();
    let mut queued: Vec<(Option<String>, Option<String>)> = Vec::new();
    for entry in of("audit_log") {
        let entry = entry.after.as_ref().unwrap();
        assert_eq!(&entry["application"], application);
        if entry["operation"] == "QUEUE" {
            let status = |side: &str| image(entry.get(side))?.remove("status");
            queued.push((status("old_values"), status("new_values")));
            continue;
        }
        audited.push(Change {
            table: entry["table_name"].clone(),
            before: image(entry.get("old_values")),
            after: image(entry.get("new_values")),
        });
    }
    changed.sort();
    audited.sort();
    assert_eq!(changed, audited, "{}", what("the audit log"));
    let status = |row: &Option<Row>| row.as_ref()?.get("status").cloned();
    let mut set: Vec<_> = of("validation_queue")
        .map(|c| (status(&c.before), status(&c.after)))
        .collect();
    set.sort();
    queued.sort();
    assert_eq!(set, queued, "{}", what("the queue"));

    // What was changed is what the plan says, and from the state that it says.
    let mut left: BTreeSet<(String, String)> = BTreeSet::new();
    let mut entries: BTreeMap<(String, String), &Value> = BTreeMap::new();
    for entry in plan["changes"].as_array().unwrap() {
        if !["insert", "update", "delete"].contains(&entry["action"].as_str().unwrap()) {
            continue;
        }
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        let id = (text(&entry["table"]), text(&entry["key"]["k"]));
        left.insert(id.clone());
        entries.insert(id, entry);
    }
    for change in &changed {
        let row = change.before.as_ref().or(change.after.as_ref()).unwrap();
        let id = (change.table.clone(), row["k"].clone());
        assert!(
            left.remove(&id),
            "{}",
            what(&format!("{id:?} is not planned"))
        );
        let entry = entries[&id];
        let is = |row: &Row, column: &String, value: &Value| {
            row.get(column).map(String::as_str) == value.as_str()
        };
        if let Some(before) = &change.before {
            assert_eq!(
                entry["expect"].as_str(),
                Some(digest(&change.table, before).as_str()),
                "{}",
                what(&format!("{id:?} was overwritten unseen: {entry}"))
            );
        }
        for (column, value) in entry["values"].as_object().into_iter().flatten() {
            let row = change.before.as_ref().or(change.after.as_ref()).unwrap();
            assert!(
                is(row, column, value),
                "{}",
                what(&format!("{id:?}.{column}: {entry}"))
            );
        }
        for (column, both) in entry["set"].as_object().into_iter().flatten() {
            assert!(
                is(change.before.as_ref().unwrap(), column, &both[0]),
                "{}",
                what(&format!("{id:?}: {entry}"))
            );
            assert!(
                is(change.after.as_ref().unwrap(), column, &both[1]),
                "{}",
                what(&format!("{id:?}: {entry}"))
            );
        }
        if let (Some(before), Some(after), "update") = (
            &change.before,
            &change.after,
            entry["action"].as_str().unwrap(),
        ) {
            let set = entry["set"].as_object().unwrap();
            let columns: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for column in columns
                .into_iter()
                .filter(|c| !set.contains_key(*c) && *c != "at")
            {
                assert_eq!(
                    before.get(column),
                    after.get(column),
                    "{}",
                    what(&format!("{id:?}.{column}"))
                );
            }
        }
    }
    assert!(
        left.is_empty(),
        "{}",
        what(&format!("planned and not done: {left:?}"))
    );
    changed.len() as u64
}

/// Reads what the witness has seen since it was asked last, and checks it.
fn ask(client: &mut Client, figures: &mut Figures, done: &mut Plans) {
    let sql = "SELECT xid, data FROM pg_logical_slot_get_changes('witness', NULL, NULL, 'include-timestamp', 'off')";
    let seen = client.simple_query(sql).unwrap();
    let lines = seen.into_iter().filter_map(|m| match m {
        SimpleQueryMessage::Row(row) => Some((row.get(0)?.to_owned(), row.get(1)?.to_owned())),
        _ => None,
    });
    for transaction in transactions(lines) {
        let tables: BTreeSet<&str> = transaction
            .changes
            .iter()
            .map(|c| c.table.as_str())
            .collect();
        if transaction.messages.iter().any(|m| m == "writer") {
            assert!(tables.iter().all(|t| !OWN.contains(t)));
            figures.of_others += transaction.changes.len() as u64;
        } else if tables.contains("loader_ledger") {
            figures.changes += check(&transaction, done);
        } else {
            // Deliveries, and notes of what was refused.
            let none_but = |name: &str| tables.iter().all(|t| *t == name);
            let only_added = transaction.changes.iter().all(|c| c.before.is_none());
            assert!(
                only_added && (none_but("validation_queue") || none_but("batch_load_log")),
                "{transaction:#?}"
            );
        }
    }
    assert!(
        done.is_empty(),
        "applied, and the witness saw nothing of it: {done:?}"
    );
}

#[test]
fn a_witness_sees_that_what_is_applied_was_planned_and_is_in_the_audit_log() {
    let server = server::start(&[
        ("wal_level", "logical"),
        ("max_replication_slots", "2"),
        ("max_connections", "50"),
    ]);
    let stage = Stage::on(&server, TABLES, CONFIG);
    stage.sql("SELECT pg_create_logical_replication_slot('witness', 'test_decoding')");
    let wanted = number_from("TEST_WITNESS", 24);
    let seed = number_from("TEST_SEED", 1);
    let (pause, stop) = (AtomicU64::new(100_000), AtomicBool::new(false));
    let mut figures = Figures::default();
    thread::scope(|scope| {
        for n in 1..=2 {
            let (stage, pause, stop) = (&stage, &pause, &stop);
            scope.spawn(move || write(stage, seed * 1000 + n, pause, stop));
        }
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut witness = stage.connect();
            witness
                .batch_execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'")
                .unwrap();
            let mut r = Random::new(seed);
            let mut done = Plans::new();
            let mut round = 0;
            let tried = |f: &Figures| f.applied + f.taken_back + f.refused.values().sum::<u64>();
            while tried(&figures) < wanted {
                round += 1;
                let batches: Vec<String> =
                    ["a", "b"].iter().map(|n| format!("{n}{round}")).collect();
                let planned = batches.iter().filter_map(|name| {
                    let fragments = batch(&mut r, name);
                    let listed: Vec<(&str, &str)> = fragments
                        .iter()
                        .map(|(n, c)| (n.as_str(), c.as_str()))
                        .collect();
                    stage.deliver(name, &listed);
                    (!listed.is_empty()).then(|| stage.plan(name))
                });
                let planned: Vec<String> = planned.collect();
                let before = figures.refused.values().sum::<u64>();
                let applied = apply(&stage, &planned, &mut figures, &mut done);
                ask(&mut witness, &mut figures, &mut done);
                // Whatever of them is in effect is taken back, or refused.
                let undo = planned.iter().zip(applied).filter_map(|(plan, applied)| {
                    let batch = plan.strip_suffix(".json").unwrap();
                    if !applied || r.chance(40) {
                        return None;
                    }
                    let out = format!("undo_{plan}");
                    let run = stage.loader(&["rollback", "--batch-id", batch, "--out", &out]);
                    match run.code {
                        Some(0) if stage.path(&out).exists() => Some(out),
                        Some(0) => None,
                        _ => {
                            refused(&run);
                            *figures.refused.entry(run.code.unwrap()).or_default() += 1;
                            None
                        }
                    }
                });
                let undo: Vec<String> = undo.collect();
                apply(&stage, &undo, &mut figures, &mut done);
                ask(&mut witness, &mut figures, &mut done);
                // About half of them are to be refused.
                let now = pause.load(Ordering::Relaxed);
                let many = figures.refused.values().sum::<u64>() > before;
                let next = if many { now * 3 / 2 } else { now * 2 / 3 + 200 };
                pause.store(next.min(1_000_000), Ordering::Relaxed);
            }
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(failure) = played {
            println!("play it again with TEST_SEED={seed}");
            std::panic::resume_unwind(failure);
        }
    });
    println!("witness, seed {seed}: {figures:?}");
    assert!(
        figures.applied > 0 && figures.changes > 0 && figures.of_others > 0,
        "{figures:?}"
    );
    assert!(
        wanted < 20 || (figures.taken_back > 0 && !figures.refused.is_empty()),
        "{figures:?}"
    );
    stage.is_free();
}
