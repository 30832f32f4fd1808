//! For random schemas and random, often wrong, records: what a plan lets through applies, and what it
//! finds wrong is wrong.
//!
//! Every case is planned with `reject`, applied (which must succeed), and planned again (which must
//! change nothing). Then each record that was left out is written by plain SQL, and the database must
//! refuse it, for the reason that the plan gave. `PROPERTY_CASES` says how many cases, `PROPERTY_SEED`
//! the first.

use postgres::SimpleQueryMessage;
use serde_json::Value;

use crate::random::{Case, NULLS_NOT_DISTINCT, Record, Table, insert, literal};
use crate::support::types::SETUP;
use crate::support::{Plan, World, number_from, shards};

#[test]
fn what_is_let_through_applies_and_what_is_found_is_true() {
    let world = World::new(SETUP, "");
    world.set("LOADER_QUEUE", "off");
    world.set("LOADER_SOURCE", "in");
    let (first, cases) = (
        number_from("PROPERTY_SEED", 1),
        number_from("PROPERTY_CASES", 25),
    );
    let mut told = Told::default();
    let old = world.value("SELECT current_setting('server_version_num')::int < 150000") == "t";
    let mut failed = Vec::new();
    for seed in first..first + cases {
        let case = Case::new(seed);
        let mut schema = case.schema();
        if old {
            schema = schema.replace(NULLS_NOT_DISTINCT, "");
        }
        world.sql(&schema);
        world.distribute();
        let checked = std::panic::AssertUnwindSafe(|| check(&world, &case, seed, &mut told));
        if std::panic::catch_unwind(checked).is_err() {
            println!("PROPERTY_SEED={seed}");
            println!("{schema}{}{}", case.config("reject"), batch(&case));
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "seeds {failed:?}");
    println!("{cases} cases: {told:?}");
    assert!(
        cases < 25 || told.refused > 0 && told.changes > 0,
        "{told:?}"
    );
}

#[derive(Debug, Default)]
struct Told {
    changes: u64,
    violations: u64,
    /// Records left out that the database refused too.
    refused: u64,
    /// Records left out about which plain SQL says nothing.
    unproved: u64,
}

fn batch(case: &Case) -> String {
    case.records
        .iter()
        .map(|r| format!("{}: {}\n", case.tables[r.table].name, r.json))
        .collect()
}

fn check(world: &World, case: &Case, seed: u64, told: &mut Told) {
    let id = format!("s{seed}");
    for (i, table) in case.tables.iter().enumerate() {
        let of = case.records.iter().filter(|r| r.table == i);
        let lines: String = of.map(|r| format!("{}\n", r.json)).collect();
        world.write(&format!("in/staging/{id}/c.{}.ndjson", table.name), lines);
    }
    world.configure(&case.config("block"));
    if shards::are_asked_for() {
        let refused = world.try_plan(&id, &[]);
        if refused.code == Some(1) && refused.stderr.contains("has no primary key") {
            return;
        }
    }
    let blocking = world.plan(&id).json()["header"]["blocking"]
        .as_u64()
        .unwrap();
    world.configure(&case.config("reject"));
    let plan = world.plan(&id);
    let rejected = plan.json()["header"]["rejected"].as_u64().unwrap();
    assert_eq!(
        blocking == 0,
        rejected == 0,
        "{blocking} block, {rejected} are left out"
    );
    let apply = world.apply_with(&plan, &["--force"]);
    assert_eq!(
        apply.code,
        Some(0),
        "what a plan lets through applies: {}\n{}",
        apply.stderr,
        plan.lines().join("\n")
    );
    let again = world.plan(&id);
    for action in ["insert", "update", "delete"] {
        // What was left out may be free to come now, where another row made room for it.
        if rejected == 0 {
            assert_eq!(again.count(action), 0, "{}", again.news().join("\n"));
        }
        told.changes += plan.count(action);
    }
    told.violations += plan.count("violation");
    for (i, record) in case.records.iter().enumerate() {
        is_true(world, case, record, position(case, i), &plan, told);
    }
}

/// The position of a record among those of its table.
fn position(case: &Case, i: usize) -> usize {
    let table = case.records[i].table;
    case.records[..i]
        .iter()
        .filter(|r| r.table == table)
        .count()
}

/// What the plan says against a record must be what the database says, too.
fn is_true(
    world: &World,
    case: &Case,
    record: &Record,
    position: usize,
    plan: &Plan,
    told: &mut Told,
) {
    let table = &case.tables[record.table];
    let name = format!("c.{}", table.name);
    let from = format!("c.{}.ndjson#{}", table.name, position + 1);
    let entries = plan.entries();
    let is_here =
        |e: &&Value| e["table"] == name.as_str() && e["from"][0].as_str().unwrap().ends_with(&from);
    let violations: Vec<&Value> = entries
        .iter()
        .filter(is_here)
        .filter(|e| e["action"] == "violation")
        .collect();
    if violations.is_empty() {
        return;
    }
    let kinds: Vec<&str> = violations
        .iter()
        .map(|v| v["kind"].as_str().unwrap())
        .collect();
    // What plain SQL does not know, or what was refused together with another.
    let beyond = [
        "missing_key",
        "immutable_field",
        "duplicate_key",
        "unknown_field",
        "generated_field",
        "ambiguous_key",
    ];
    if !record.whole || kinds.iter().any(|k| beyond.contains(k)) {
        told.unproved += 1;
        return;
    }
    let message = violations[0]["message"].as_str().unwrap();
    if let Some((_, other)) = message.split_once("also in the record for ") {
        // The two together must be refused.
        let others = case
            .records
            .iter()
            .filter(|r| r.table == record.table && key_text(r, table) == other);
        let together: Vec<String> = others
            .chain([record])
            .filter_map(|r| write(world, r, table))
            .collect();
        if together.len() > 1 {
            refusal(world, &together).expect("both records together must be refused");
            told.refused += 1;
        } else {
            told.unproved += 1;
        }
        return;
    }
    let Some(sql) = write(world, record, table) else {
        // A value that is none is told of whatever becomes of the record.
        let told_anyway = kinds.iter().all(|k| *k == "invalid_value");
        assert!(
            told_anyway,
            "{kinds:?}, and the record would not be written at all: {}",
            record.json
        );
        told.unproved += 1;
        return;
    };
    let refused = refusal(world, &[sql]);
    let Some((code, constraint)) = refused else {
        // A row that this plan changed may have freed the value, too late for this record; and SQL
        // does not write what is immutable.
        let late = message.contains("the row ") && kinds == ["unique_conflict"]
            || message.contains("rows of ")
            || kinds.contains(&"invalid_value") && !table.immutable.is_empty();
        assert!(
            late,
            "{kinds:?} of {}: the database takes it: {message}",
            record.json
        );
        told.unproved += 1;
        return;
    };
    told.refused += 1;
    if let [kind] = kinds.as_slice() {
        let expected: &[&str] = match *kind {
            "unique_conflict" => &["23505", "23P01"],
            "missing_parent" => &["23503"],
            "null_value" => &["23502", "23514"],
            "missing_key" => &["23502", "23514"],
            "invalid_value" => &["22", "23514", "23502"],
            _ => &["23514", "22"],
        };
        // Where it is a shard that refuses what a domain does not take, Citus has no code for it.
        let expected = if shards::are_asked_for() && code == "XX000" {
            &["XX000"]
        } else {
            expected
        };
        assert!(
            expected.iter().any(|e| code.starts_with(e)),
            "{kind} of {}: the database says {code}: {message}",
            record.json
        );
        if matches!(*kind, "unique_conflict" | "missing_parent") {
            // A shard has the name of its table and its own number.
            let (table, number) = constraint.rsplit_once('_').unwrap_or((&constraint, ""));
            let of_shard = shards::are_asked_for() && number.parse::<u32>().is_ok();
            let constraint = if of_shard { table } else { &constraint };
            assert!(
                message.contains(constraint),
                "{message}: the database names {constraint}"
            );
        }
    }
}

/// A record's key as messages name it.
fn key_text(record: &Record, table: &Table) -> String {
    let value = |k: &String| {
        let given = record.sql.iter().find(|(c, _)| c == k);
        format!(
            "{k}={}",
            given.and_then(|(_, v)| v.as_deref()).unwrap_or_default()
        )
    };
    table.key.iter().map(value).collect::<Vec<_>>().join(", ")
}

/// The statement that writes a record by its table's rules; `None` where they skip it.
fn write(world: &World, record: &Record, table: &Table) -> Option<String> {
    let given = |k: &String| {
        record
            .sql
            .iter()
            .find(|(c, _)| c == k)
            .and_then(|(_, v)| v.clone())
    };
    let keys: Option<Vec<String>> = table
        .key
        .iter()
        .map(|k| Some(format!("{k} = {}", literal(&Some(given(k)?)))))
        .collect();
    let found = keys.filter(|keys| {
        let sql = format!(
            "SELECT 1 FROM c.{} WHERE {}",
            table.name,
            keys.join(" AND ")
        );
        // A key that is no value of its type finds nothing.
        let rows = world.connect().simple_query(&sql).unwrap_or_default();
        rows.iter().any(|m| matches!(m, SimpleQueryMessage::Row(_)))
    });
    let Some(keys) = found else {
        let (names, values): (Vec<_>, Vec<_>) = record.sql.iter().cloned().unzip();
        return (table.strategy != "update_only").then(|| insert(&table.name, &names, &values));
    };
    if table.strategy == "insert_only" || table.resolution == "skip" {
        return None;
    }
    let set: Vec<String> = record
        .sql
        .iter()
        .filter(|(c, v)| {
            !table.key.contains(c)
                && !table.immutable.contains(c)
                && (v.is_some() || table.resolution == "replace")
        })
        .map(|(c, v)| format!("{c} = {}", literal(v)))
        .collect();
    let set = if set.is_empty() {
        "k = k".to_owned()
    } else {
        set.join(", ")
    };
    Some(format!(
        "UPDATE c.{} SET {set} WHERE {}",
        table.name,
        keys.join(" AND ")
    ))
}

/// Why the database refuses statements: SQLSTATE and constraint. Nothing is kept.
fn refusal(world: &World, statements: &[String]) -> Option<(String, String)> {
    let mut client = world.connect();
    let mut transaction = client.transaction().unwrap();
    let sql = format!("{}; SET CONSTRAINTS ALL IMMEDIATE", statements.join("; "));
    let error = transaction.batch_execute(&sql).err()?;
    let error = error
        .as_db_error()
        .unwrap_or_else(|| panic!("{error}: {sql}"));
    Some((
        error.code().code().to_owned(),
        error.constraint().unwrap_or_default().to_owned(),
    ))
}
