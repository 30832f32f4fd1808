//! Which rows of tables in shards matter to a question, and are copied before it.

use super::Rows;
use crate::sql::{Ident, Literal, all, list};
use crate::table::lookup::{Lookup, Lookups, Origin};
use crate::table::schema::{Column, Equality, ForeignKey, Table};
use crate::table::target::Target;
use crate::types::Kind;

impl Table {
    /// The rows `t` beside the query `keys`.
    pub(in crate::pg) fn near(&self, keys: String, on: String) -> Rows<'_> {
        Rows {
            of: &self.name,
            near: &self.rows,
            keys,
            on,
            parts: None,
        }
    }

    /// The rows with the least and the greatest number in a column; `None` of a column that holds no numbers.
    pub(in crate::pg) fn near_outmost(&self, column: &Column) -> Option<Rows<'_>> {
        if !matches!(column.kind, Kind::Integer | Kind::Decimal(_)) {
            return None;
        }
        let name = Ident(&column.name);
        let outmost = ["min", "max"].map(|outmost| {
            format!(
                "SELECT pg_catalog.{outmost}(x.{name}) AS outmost FROM {} x",
                self.name
            )
        });
        let on = column.equality.equal(format_args!("t.{name}"), "s.outmost");
        Some(self.near(outmost.join(" UNION "), on))
    }

    /// The columns of the primary key, with their equality: what tells rows in shards apart.
    pub(in crate::pg) fn identity(&self) -> Vec<(&Column, &Equality)> {
        let primary = self.unique.iter().find(|index| index.primary);
        let parts = primary
            .into_iter()
            .flat_map(|index| index.columns.iter().zip(&index.equality));
        parts
            .filter_map(|(n, equality)| Some((self.column_by_number(*n)?, equality)))
            .collect()
    }
}

impl ForeignKey {
    /// The rows to which rows `a` refer; `from` is what follows `FROM`.
    pub(in crate::pg) fn near_parents(&self, from: &str) -> Rows<'_> {
        let columns = self.columns.iter().map(|c| format!("a.{}", Ident(c)));
        Rows {
            of: &self.parent,
            near: &self.parent_rows,
            keys: format!("SELECT DISTINCT {} FROM {from}", list(columns)),
            on: self.refers("t", "s"),
            parts: None,
        }
    }

    /// The rows that refer to rows `p`; `from` is what follows `FROM`.
    pub(in crate::pg) fn near_children(&self, from: &str) -> Rows<'_> {
        let columns = self
            .parent_columns
            .iter()
            .map(|c| format!("p.{}", Ident(c)));
        Rows {
            of: &self.child,
            near: &self.child_rows,
            keys: format!("SELECT DISTINCT {} FROM {from}", list(columns)),
            on: self.refers("s", "t"),
            parts: None,
        }
    }
}

impl Lookups {
    /// The rows with the numbers `n` of the query `keys`, and those by which they are named in turn.
    pub(in crate::pg) fn near_numbers<'l>(
        &'l self,
        lookup: &'l Lookup,
        keys: String,
    ) -> Vec<Rows<'l>> {
        let target = format!("t.{}", Ident(&lookup.target.name));
        let on = lookup.target.equality.equal(target, "s.n");
        let mut rows = Vec::new();
        for part in &lookup.by {
            if let Origin::Lookup(inner) = part.from {
                let inner_keys = format!(
                    "SELECT DISTINCT t.{} AS n FROM {} t JOIN ({keys}) s ON {on}",
                    Ident(&part.column.name),
                    lookup.rows
                );
                rows.extend(self.near_numbers(&self.all[inner], inner_keys));
            }
        }
        rows.insert(
            0,
            Rows {
                of: &lookup.relation,
                near: &lookup.rows,
                keys,
                on,
                parts: None,
            },
        );
        rows
    }

    /// The rows with the keys that stand as JSON in `k` of the query `keys`, and those by which they are named
    /// in turn.
    pub(in crate::pg) fn near_keys<'l>(&'l self, lookup: &'l Lookup, keys: &str) -> Vec<Rows<'l>> {
        let mut inner_rows = Vec::new();
        let on = all(lookup.by.iter().map(|part| {
            let (column, name) = (Ident(&part.column.name), Literal(&part.column.name));
            let value = match part.from {
                Origin::Field(_) => format!("(s.k ->> {name})::{}", part.column.base_type_sql),
                Origin::Lookup(inner) => {
                    let inner = &self.all[inner];
                    let number = format!(
                        "(s.k -> {name} ->> 'stored')::{}",
                        inner.target.base_type_sql
                    );
                    let numbers = format!("SELECT DISTINCT {number} AS n FROM ({keys}) s");
                    inner_rows.extend(self.near_numbers(inner, numbers));
                    inner_rows.extend(self.near_keys(
                        inner,
                        &format!("SELECT DISTINCT s.k -> {name} -> 'key' AS k FROM ({keys}) s"),
                    ));
                    number
                }
            };
            part.equality.equal(format!("t.{column}"), value)
        }));
        inner_rows.push(Rows {
            of: &lookup.relation,
            near: &lookup.rows,
            keys: keys.to_owned(),
            on,
            parts: None,
        });
        inner_rows
    }
}

/// The rows by which those of `target` that were copied are named: what their numbers refer to.
pub(in crate::pg) fn names(target: &Target) -> Vec<Rows<'_>> {
    let lookups = &target.lookups;
    let rows = lookups.answers().flat_map(|lookup| {
        let column = &target.table.columns[lookup.of].name;
        let keys = format!(
            "SELECT DISTINCT t.{} AS n FROM {} t",
            Ident(column),
            target.table.rows
        );
        lookups.near_numbers(lookup, keys)
    });
    rows.collect()
}
