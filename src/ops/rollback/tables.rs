//! The tables of the applications that are taken back: what was done to them, and how they are now.

use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::ops::targets::{Needs, dependencies, unguarded};
use crate::pg::ledger::{self, Application};
use crate::pg::undo::Written;
use crate::pg::{Session, catalog, referred};
use crate::plan::{LedgerTable, TablePlan};
use crate::table::graph;
use crate::table::target::Target;

/// The tables of all applications that are meant, each once, with what they wrote in sum.
pub(super) fn merge(
    applications: &[&Application],
    is_meant: impl Fn(&str) -> bool,
) -> Result<Vec<LedgerTable>> {
    let mut tables: Vec<LedgerTable> = Vec::new();
    for application in applications {
        for table in &application.tables {
            if table.counts.changes() == 0 || !is_meant(&table.table) {
                continue;
            }
            if !table.config.audit_changes {
                return Err(Error::blocked(format!(
                    "table {} was loaded by application {} without audit_changes, so that its rows cannot be put back",
                    table.table, application.application
                )));
            }
            let Some(known) = tables.iter_mut().find(|t| t.table == table.table) else {
                tables.push(table.clone());
                continue;
            };
            if let Some(what) = differs(known, table) {
                let (name, id) = (&table.table, &application.application);
                let what = format!("table {name}: {what} in application {id} than in others");
                return Err(Error::blocked(what).with_remedy(Remedy::OneByOne));
            }
            if known.schema != table.schema {
                known.schema.clear();
            }
            for (column, of) in &table.types {
                let known = known.types.entry(column.clone());
                known.or_insert_with(|| of.clone()); // the table had no such column any more, or again
            }
            let (sum, c) = (&mut known.counts, &table.counts);
            sum.insert += c.insert;
            sum.update += c.update;
            sum.delete += c.delete;
        }
    }
    Ok(tables)
}

/// What was otherwise in one load of a table than in another, so that one plan cannot take both back.
fn differs(known: &LedgerTable, table: &LedgerTable) -> Option<String> {
    let retyped = |(column, of): (&String, &String)| {
        let other = table.types.get(column);
        other.is_some_and(|other| other != of)
    };
    if known.relation != table.relation {
        let (now, other) = (&known.relation, &table.relation);
        return Some(format!("it was {other}, not {now},"));
    }
    if known.config.natural_key != table.config.natural_key {
        return Some("the natural key was another one".into());
    }
    if known.types.iter().any(retyped) {
        return Some("the type of a column was another one".into());
    }
    if known.config.soft_delete != table.config.soft_delete {
        return Some("soft_delete was otherwise".into());
    }
    if known.config.stamps != table.config.stamps {
        return Some("stamps were others".into());
    }
    None
}

/// Whether loads write this column: as given, as a stamp, or as the mark of deleted rows.
pub(super) fn is_ours(target: &Target, written: &Written, column: &str) -> bool {
    written.columns.iter().any(|c| c == column)
        || target.config.is_stamp(column)
        || target.mark() == Some(column)
}

/// The columns that triggers may set again: stamps, what they were seen to set (`by_trigger`), and whatever no load wrote.
pub(super) fn triggered(target: &Target, written: &Written, by_trigger: &[String]) -> Vec<String> {
    let Target { table, config, .. } = target;
    if !target.may_be_set() {
        return Vec::new();
    }
    let names = table.columns.iter().map(|c| &c.name);
    names
        .filter(|c| !config.natural_key.contains(c))
        .filter(|c| config.is_stamp(c) || by_trigger.contains(c) || !is_ours(target, written, c))
        .cloned()
        .collect()
}

/// Those of them that its triggers may set in rows that are inserted again: what they are known to set, and of rows
/// that loads brought (`of_rollbacks`) what these did not give. What else a row held, a rollback restores, or refuses:
/// also what only triggers of other tables set, which would count what comes back a second time.
pub(super) fn left_to_triggers(
    target: &Target,
    written: &Written,
    of_rollbacks: bool,
) -> Vec<String> {
    let mut left = triggered(target, written, &written.by_trigger);
    let may_set = !target.table.triggers.is_empty();
    let is_set = |c: &String| of_rollbacks || written.by_trigger.contains(c);
    left.retain(|c| target.config.is_stamp(c) || may_set && is_set(c));
    left
}

/// The tables as they are now, in dependency order, each with what was done to it. Those that are meant by `allowed`,
/// triggers of others change.
pub(super) async fn order(
    session: &Session,
    loader_schema: &str,
    ledgered: Vec<LedgerTable>,
    undone: impl Fn(&str) -> u64,
    allowed: &BTreeSet<String>,
) -> Result<Vec<(Target, Written)>> {
    let mut found = Vec::with_capacity(ledgered.len());
    for ledger in ledgered {
        let table = catalog::relation(session, &ledger.relation).await;
        let table = table.map_err(|e| match e.kind() {
            ErrorKind::Config => e.and(
                "; give it its name of then until these loads are taken back, or take back the rows of the other tables \
                 (--table)",
            ),
            _ => e,
        })?;
        let mut key = ledger.config.natural_key.iter();
        if let Some(gone) = key.find(|c| table.column(c).is_none()) {
            return Err(Error::blocked(format!(
                "{}: the table has no column {} any more, by which the loads found its rows: it was renamed or dropped; give it \
                 its name again until they are taken back",
                ledger.table,
                crate::text::escape(gone)
            )));
        }
        found.push((ledger, table));
    }
    let needs: Vec<Needs<'_>> = found
        .iter()
        .map(|(l, table)| (l.table.as_str(), table, &l.config))
        .collect();
    let names: BTreeSet<String> = found.iter().map(|(l, _)| l.table.clone()).collect();
    let order = graph::order(&names, &dependencies(&needs))?;
    found.sort_by_key(|(l, _)| order.iter().position(|n| *n == l.table));
    let mut ordered = Vec::with_capacity(found.len());
    for (place, (ledger, table)) in found.into_iter().enumerate() {
        // Its rows have their numbers; but people know them by name.
        let lookups = referred::lookups(session, &ledger.config, &table).await;
        let mut target = Target::new(ledger.table, table, ledger.config, lookups, place);
        target.may_follow(allowed);
        let written = Written {
            undone: undone(&target.name),
            columns: ledger.columns,
            by_trigger: ledger.by_trigger,
            types: ledger.types,
            schema: ledger.schema,
            counts: ledger.counts,
        };
        ordered.push((target, written));
    }
    let inserted = ordered.iter().filter(|(_, w)| w.counts.insert > 0);
    let inserted: Vec<usize> = inserted.map(|(t, _)| t.place).collect();
    let may_go = |t: &Target| inserted.contains(&t.place) && t.mark().is_none();
    let all = ordered.iter_mut().map(|(t, _)| t).collect();
    ledger::find_referring(session, loader_schema, all, may_go).await?;
    Ok(ordered)
}

/// What the plan says of a table; `left` are the columns that are left to its triggers.
pub(super) fn planned(
    (target, written): &(Target, Written),
    parents: Vec<String>,
    rows: Option<u64>,
    left: Vec<String>,
    warnings: Vec<String>,
) -> TablePlan {
    TablePlan {
        triggered: triggered(target, written, &written.by_trigger),
        left_to_triggers: left,
        warnings,
        ..TablePlan::of(target, parents, rows)
    }
}

/// What a reviewer should know; `left` are the columns that are left to its triggers.
pub(super) fn warnings((target, written): &(Target, Written), left: &[String]) -> Vec<String> {
    let mut warnings: Vec<String> = unguarded(target).into_iter().collect();
    let retyped = target.table.columns.iter().filter_map(|column| {
        let then = written.types.get(&column.name)?;
        (*then != column.base_type_sql).then(|| {
            format!(
                "{} was {then} when it was loaded and is {} now: what it held is cast to that, however it was converted",
                crate::text::escape(&column.name),
                column.base_type_sql
            )
        })
    });
    warnings.extend(retyped);
    let triggers = &target.table.triggers;
    if !triggers.is_empty() {
        let names: Vec<_> = left.iter().map(|c| crate::text::escape(c)).collect();
        warnings.push(format!(
            "its triggers run when this is applied, and what they set in columns that no load gave is not put back: {}{}",
            triggers.join(", "),
            match names.as_slice() {
                [] => String::new(),
                names => format!("; in rows that are inserted again, they may set {}", names.join(", ")),
            }
        ));
    }
    warnings
}
