//! What two plans say differently of themselves and their tables, beside their entries.

use std::collections::{BTreeMap, BTreeSet};

use super::HeaderDifference;
use crate::plan::{Header, TablePlan};

/// The facts that differ between two headers. What is counted follows from the entries.
pub(super) fn headers(old: &Header, new: &Header) -> Vec<HeaderDifference> {
    let mut found = Vec::new();
    let mut put = |what: String, old: Option<String>, new: Option<String>| {
        if old != new {
            found.push(HeaderDifference { what, old, new });
        }
    };
    for ((what, old), (_, new)) in facts(old).into_iter().zip(facts(new)) {
        put(what.to_owned(), Some(old), Some(new));
    }
    let names = |h: &Header| -> Vec<String> { h.tables.iter().map(|t| t.table.clone()).collect() };
    let (before, after) = (names(old), names(new));
    for name in before.iter().filter(|n| !after.contains(n)) {
        put(format!("table {name}"), Some("in the plan".into()), None);
    }
    for name in after.iter().filter(|n| !before.contains(n)) {
        put(format!("table {name}"), None, Some("in the plan".into()));
    }
    let common = |names: &[String], others: &[String]| {
        let common = names.iter().filter(|n| others.contains(n));
        Some(common.cloned().collect::<Vec<_>>().join(", "))
    };
    put(
        "order of tables".into(),
        common(&before, &after),
        common(&after, &before),
    );
    for (a, b) in new
        .tables
        .iter()
        .filter_map(|b| Some((old.table(&b.table)?, b)))
    {
        let (name, mut a, mut b) = (&b.table, facts_of_table(a), facts_of_table(b));
        let all: BTreeSet<String> = a.keys().chain(b.keys()).cloned().collect();
        for fact in all {
            put(
                format!("table {name}, {fact}"),
                a.remove(&fact),
                b.remove(&fact),
            );
        }
    }
    found
}

fn facts(h: &Header) -> Vec<(&'static str, String)> {
    let target = &h.target;
    vec![
        ("kind", h.kind.word().into()),
        ("batch", h.batch_id.clone()),
        ("database", target.database.clone()),
        ("server", target.identity.clone()),
        ("lineage", target.lineage.clone()),
        (
            "schema of the loader's tables",
            target.loader_schema.clone(),
        ),
        ("search path", target.search_path.join(", ")),
        ("applications taken back", h.undoes.join(", ")),
        (
            "applications taken back in part",
            h.undoes_in_part.join(", "),
        ),
        ("applications brought back by", h.redone_by.join(", ")),
        ("records", h.records.to_string()),
        ("violations that block", h.blocking.to_string()),
        ("records left out", h.rejected.to_string()),
    ]
}

fn facts_of_table(t: &TablePlan) -> BTreeMap<String, String> {
    let text = |v: &serde_json::Value| match v {
        serde_json::Value::String(s) => s.clone(),
        other => other.to_string(),
    };
    let mut facts: BTreeMap<String, String> = match serde_json::to_value(&t.config) {
        Ok(serde_json::Value::Object(fields)) => {
            fields.iter().map(|(k, v)| (k.clone(), text(v))).collect()
        }
        _ => BTreeMap::new(),
    };
    facts.insert("relation".into(), t.relation.to_string());
    facts.insert("definition in the database".into(), t.schema.clone());
    facts.insert("refers to".into(), t.parents.join(", "));
    facts.insert("left to its triggers".into(), t.triggered.join(", "));
    let of_triggers = t.left_to_triggers.join(", ");
    facts.insert("left to triggers in new rows".into(), of_triggers);
    let notes = t.warnings.iter().cloned().chain(t.passed_over.words());
    facts.insert("notes".into(), notes.collect::<Vec<_>>().join("; "));
    facts
}
