//! What loads changed in the rows of a table, whatever they called it and by which key they found its rows.

use std::collections::BTreeMap;

use super::{Application, UndoneRows};
use crate::pg::audit::ON_ROWS;
use crate::plan::LedgerTable;
use crate::sql::{Literal, Qualified, Values, all};
use crate::table::row::record_id;
use crate::table::schema::Table;
use crate::table::target::Target;

impl Application {
    /// Whether it changed rows of this table and the audit log names them as the target does: by the same name and key.
    /// Another table may have this name, where one of another schema was meant.
    pub fn names_as(&self, target: &Target) -> bool {
        let mut tables = self.changed(target);
        tables.any(|t| is_named(t, target))
    }

    /// What it changed of this table, under whatever name, or of one in which rows of this one are seen, too.
    fn changed<'a>(&'a self, target: &'a Target) -> impl Iterator<Item = &'a LedgerTable> {
        let Table { name, kin, .. } = &target.table;
        let tables = self.tables.iter();
        tables.filter(move |t| {
            (t.relation == *name || kin.contains(&t.relation)) && t.counts.changes() > 0
        })
    }
}

fn is_named(table: &LedgerTable, target: &Target) -> bool {
    table.relation == target.table.name
        && table.table == target.name
        && table.config.natural_key == target.config.natural_key
}

/// A query of what these loads changed in rows of a table and is not undone: the name that the target has for the row
/// (`record_id`), and the number in the audit log (`id`). `None` where they changed nothing.
pub(in crate::pg) fn changes(
    loads: &[&Application],
    target: &Target,
    audit_log: &Qualified,
    undone: &UndoneRows,
    values: &mut Values,
) -> Option<String> {
    let mut by_name: BTreeMap<(&str, bool), Vec<String>> = BTreeMap::new();
    for load in loads {
        for table in load.changed(target) {
            let loads = by_name.entry((&table.table, is_named(table, target)));
            loads.or_default().push(load.application.clone());
        }
    }
    let mut selects = Vec::new();
    for ((name, is_named), loads) in by_name {
        let of = format!(
            "a.application = ANY ({}::uuid[]) AND a.table_name = {} AND a.{ON_ROWS}",
            values.texts(&loads),
            values.text(name)
        );
        let ours = all([of].into_iter().chain(undone.remains(audit_log, values)));
        // What the key by which this target finds rows was before and after.
        let images = |image: &str| {
            let key = target.config.natural_key.iter();
            record_id(key.map(|c| format!("(a.{image} ->> {})", Literal(c))))
        };
        let ids = match is_named {
            true => vec!["a.record_id".to_owned()],
            false => vec![images("old_values"), images("new_values")],
        };
        selects.extend(
            ids.into_iter().map(|id| {
                format!("SELECT {id} AS record_id, a.id FROM {audit_log} a WHERE {ours}")
            }),
        );
    }
    (!selects.is_empty()).then(|| selects.join(" UNION ALL "))
}
