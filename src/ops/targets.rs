//! The tables of a plan: their order, and what the header says of each.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::pg::plan::snapshot::Snapshot;
use crate::sql::ident::did_you_mean;
use crate::sql::{Ident, list};
use crate::table::config::TableConfig;
use crate::table::graph::Dependency;
use crate::table::kind::TableKind;
use crate::table::limits::Allowance;
use crate::table::schema::Table;
use crate::table::target::{Guard, Target};

/// A table by name, with its configuration.
pub(super) type Needs<'a> = (&'a str, &'a Table, &'a TableConfig);

/// What the foreign keys between these tables, `references` and `depends_on` ask for.
pub(super) fn dependencies(tables: &[Needs<'_>]) -> Vec<Dependency> {
    let mut dependencies = Vec::new();
    for (name, table, config) in tables {
        for key in &table.foreign_keys {
            let parent = tables.iter();
            let parent = parent.filter(|(_, t, _)| t.shares_rows(key.parent_oid));
            dependencies.extend(parent.map(|(parent, ..)| Dependency {
                parent: (*parent).to_owned(),
                child: (*name).to_owned(),
                because: key.name.clone(),
                deferrable: key.deferrable,
            }));
        }
        let because = |parent: &String, because: &str, deferrable| Dependency {
            parent: parent.clone(),
            child: (*name).to_owned(),
            because: because.into(),
            deferrable,
        };
        let parents = config.references.values().map(|r| &r.table);
        let parents: BTreeSet<&String> = parents.collect();
        for parent in parents {
            let held = |d: &Dependency| d.child == *name && d.parent == *parent;
            let is_here = tables.iter().any(|(other, ..)| other == parent);
            if is_here && !dependencies.iter().any(held) {
                // Nothing checks it before all is written.
                dependencies.push(because(parent, "references", true));
            }
        }
        let needed = config.depends_on.iter();
        dependencies.extend(needed.map(|parent| because(parent, "depends_on", false)));
    }
    dependencies
}

/// That each limit given for one table is for one of `tables`: a misspelt one would limit nothing.
pub(super) fn check_limits(limits: &[Allowance], tables: &[String]) -> Result<()> {
    let mut named = limits
        .iter()
        .filter_map(|l| Some((l.action, l.table.as_ref()?)));
    match named.find(|(_, table)| !tables.contains(table)) {
        None => Ok(()),
        Some((action, table)) => {
            let near = did_you_mean(table, tables.iter().map(String::as_str));
            Err(Error::config(format!(
                "the limit of rows to {action} of table {table}: the table is not in the plan{near}"
            )))
        }
    }
}

/// How many rows the table has in the snapshot, where a limit is a part of them.
pub(super) async fn rows(snapshot: &Snapshot<'_>, target: &Target) -> Result<Option<u64>> {
    if !target.config.limits.needs_rows() {
        return Ok(None);
    }
    snapshot.rows(target).await.map(Some)
}

/// Which of the plan's tables `child` refers to, by name.
pub(super) fn parents<'a>(
    child: &Target,
    targets: impl IntoIterator<Item = &'a Target>,
) -> Vec<String> {
    let parents = targets.into_iter().filter(|t| child.refers_to(t));
    let parents: BTreeSet<&str> = parents.map(|t| t.name.as_str()).collect();
    parents.into_iter().map(str::to_owned).collect()
}

/// What should be known about a table that apply locks as a whole, because its rows are in shards, or because no
/// index makes its natural key unique.
pub(super) fn unguarded(target: &Target) -> Option<String> {
    let key = &target.config.natural_key;
    let what = match (target.guard(), target.table.key_index(key)) {
        (Guard::Index, _) => return None,
        (Guard::Shards, _) => {
            return Some(format!(
                "its rows are {}, so that they were not all read at one moment; applying compares each of them again, and \
                 waits for all others that write to the table and keeps them out until it is done \
                 (LOCK TABLE … IN SHARE ROW EXCLUSIVE MODE)",
                target.table.kind
            ));
        }
        (Guard::Lock, Some(index)) => format!(
            "the natural key is unique only where {} ({})",
            index.predicate.as_deref().unwrap_or("true"),
            index.name
        ),
        // Such an index has to have the columns by which the table is partitioned.
        (Guard::Lock, None) if target.table.kind == TableKind::Partitioned => {
            "nothing in the database makes the natural key unique in all partitions".to_owned()
        }
        (Guard::Lock, None) => format!(
            "nothing in the database makes the natural key unique; this would: CREATE UNIQUE INDEX ON {} ({})",
            target.table.name,
            list(key.iter().map(|c| Ident(c)))
        ),
    };
    Some(format!(
        "{what}; without it, applying waits for all others that write to the table and keeps them out until it is done \
         (LOCK TABLE … IN SHARE ROW EXCLUSIVE MODE)"
    ))
}
