//! The tables of a batch, in the order in which they are loaded.

use std::collections::{BTreeMap, BTreeSet};

use super::PlanRequest;
use crate::error::{Error, Remedy, Result};
use crate::ops::targets::{Needs, check_limits, dependencies};
use crate::pg::{Session, catalog, ledger, near, suited};
use crate::sql::Qualified;
use crate::table::config::TableConfig;
use crate::table::graph;
use crate::table::kind::TableKind;
use crate::table::limits;
use crate::table::mark::Mark;
use crate::table::schema::Table;
use crate::table::target::{Target, allowed};

/// The tables of which deletes only mark rows, with the column and how it marks them, among those that `targets`
/// are and refer to.
pub(super) async fn marks(
    request: &PlanRequest,
    session: &Session,
    targets: &[Target],
) -> Result<Vec<(Qualified, String, Mark)>> {
    let own = targets.iter().filter_map(|t| {
        let (column, mark) = t.marks()?;
        Some((t.table.name.clone(), column.name.clone(), mark))
    });
    let mut marks: Vec<(Qualified, String, Mark)> = own.collect();
    for key in targets.iter().flat_map(Target::foreign_keys) {
        if targets.iter().any(|t| t.table.name == key.parent) {
            continue;
        }
        let configured = request.config.tables.iter();
        for (name, config) in configured.filter(|(name, _)| key.parent.is_meant_by(name)) {
            let Some(mark) = config.soft_delete.column() else {
                continue;
            };
            let parent = catalog::table(session, name).await?;
            let column = parent.column(mark).filter(|_| parent.name == key.parent);
            if let Some(how) = column.and_then(|column| Mark::of(column).ok()) {
                marks.push((parent.name, mark.to_owned(), how));
            }
        }
    }
    Ok(marks)
}

/// The tables in dependency order. With a subset of the batch's tables, a parent that is left out is
/// refused.
pub(super) async fn order(
    request: &PlanRequest,
    session: &Session,
    names: &BTreeSet<String>,
) -> Result<Vec<Target>> {
    let config = &request.config;
    let listed: Vec<String> = names.iter().cloned().collect();
    let tables = catalog::tables(session, config, &listed).await?;
    let needs: Vec<Needs<'_>> = listed
        .iter()
        .zip(&tables)
        .map(|(name, table)| (name.as_str(), table, &config.tables[name]))
        .collect();
    let dependencies = dependencies(&needs);
    if !request.only.is_empty()
        && let Some(d) = dependencies.iter().find(|d| {
            request.only.contains(&d.child)
                && !request.only.contains(&d.parent)
                && names.contains(&d.parent)
        })
    {
        return Err(Error::config(format!(
            "table {} depends on {} ({}), which the batch brings too",
            d.child, d.parent, d.because
        ))
        .with_remedy(Remedy::AlsoTable(d.parent.clone())));
    }
    let is_wanted =
        |name: &str| request.only.is_empty() || request.only.iter().any(|only| only == name);
    let wanted = names.iter().filter(|n| is_wanted(n)).cloned().collect();
    share_no_rows(needs.iter().filter(|(name, ..)| is_wanted(name)))?;
    let ordered = graph::order(&wanted, &dependencies)?;
    check_limits(&request.limits, &ordered)?;
    let mut by_name: BTreeMap<String, Table> = listed.into_iter().zip(tables).collect();
    let found = ordered.into_iter().filter_map(|name| {
        let table = by_name.remove(&name)?;
        Some((name, table))
    });
    let mut targets = Vec::new();
    for (place, (name, table)) in found.enumerate() {
        near::can_be_loaded(&table)?;
        let mut own = config.resolve(&name, &table)?;
        if let Some(strategy) = request.strategy {
            own.update_strategy = strategy;
            if let Some(what) = own.contradicts_complete(&name) {
                return Err(Error::config(format!("--strategy: {what}")));
            }
        }
        if let Some(on_older) = request.on_older {
            own.on_older = on_older;
        }
        own.immutable_fields.extend(kept_by_shards(&table, &own));
        own.limits = limits::in_effect(own.limits, &name, &request.limits);
        let parents = catalog::parents(session, &own).await?;
        let lookups = config.lookups(&name, &table, &own, parents)?;
        targets.push(Target::new(name, table, own, lookups, place));
    }
    let allowed = allowed(targets.iter().map(|t| &t.config));
    for target in &mut targets {
        target.may_follow(&allowed);
    }
    if let Some(problem) = suited::unsuited(session, &targets)
        .await?
        .into_iter()
        .next()
    {
        return Err(Error::config(problem));
    }
    let all = targets.iter_mut().collect();
    ledger::find_referring(session, &request.loader_schema, all, Target::may_lose_rows).await?;
    Ok(targets)
}

/// That no row is one of two tables: what the batch says of it as a row of the one, it could say otherwise as a row
/// of the other.
fn share_no_rows<'n>(tables: impl Iterator<Item = &'n Needs<'n>> + Clone) -> Result<()> {
    for (name, table, _) in tables.clone() {
        let shares = |(other, t, _): &&Needs<'_>| other != name && table.below.contains(&t.oid);
        let Some((other, t, _)) = tables.clone().find(shares) else {
            continue;
        };
        let how = if t.oid == table.oid {
            format!("{name} and {other} are both the table {}", table.name)
        } else if t.is_in(table.oid) {
            format!("{other} is a partition of {name}")
        } else {
            format!("{other} inherits from {name}, so that its rows are rows of that, too")
        };
        return Err(Error::config(format!(
            "{how}; a batch brings records for one of them: deliver all under one name, or in two batches"
        )));
    }
    Ok(())
}

/// The column by which a table's rows are distributed, where records could change it: a row would be in the wrong
/// shard then, and no server allows that.
fn kept_by_shards(table: &Table, config: &TableConfig) -> Option<String> {
    let TableKind::Distributed { column } = &table.kind else {
        return None;
    };
    let kept = config.natural_key.contains(column) || config.immutable_fields.contains(column);
    (!kept).then(|| column.clone())
}
