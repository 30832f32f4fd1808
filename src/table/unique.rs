//! What a unique index or an exclusion constraint compares of rows, as SQL. Its expressions name columns without their
//! table: they hold where no other column has such a name.

use std::fmt::Display;

use super::schema::{Table, UniqueIndex};
use crate::sql::{all, list};

impl UniqueIndex {
    /// Whether it is over columns alone, of all rows, and checked at once.
    pub fn is_plain(&self) -> bool {
        self.immediate && !self.columns.contains(&0) && self.predicate.is_none()
    }

    /// The condition that a row is in it.
    pub fn holds(&self) -> &str {
        self.predicate.as_deref().unwrap_or("true")
    }

    /// What a row of `table` holds in it: `k0`, `k1` and so on, each as `of` says of its expression.
    pub fn keys(&self, table: &Table, of: impl Fn(String) -> String) -> String {
        let keys = self.expressions(table).enumerate();
        list(keys.map(|(i, key)| format!("{} AS k{i}", of(key))))
    }

    /// A query of what the `rows` of `table` that are in it hold there, beside `own` expressions on them.
    pub fn held(&self, table: &Table, own: &str, rows: impl Display) -> String {
        format!(
            "SELECT * FROM (SELECT {own}, {keys} FROM {rows} x WHERE ({holds})) x WHERE {compares}",
            keys = self.keys(table, |key| key),
            holds = self.holds(),
            compares = self.compares(),
        )
    }

    /// Its expressions, in brackets. Values of domains are of their base types, which can be compared with those of
    /// temporary tables.
    pub fn expressions(&self, table: &Table) -> impl Iterator<Item = String> {
        let keys = self.keys_sql.iter().zip(&self.columns);
        keys.map(|(key, number)| {
            let column = table.column_by_number(*number);
            match column.filter(|c| c.domain) {
                Some(column) => format!("(({key})::{})", column.base_type_sql),
                None => format!("({key})"),
            }
        })
    }

    /// The condition that it compares a row with these keys with others.
    pub fn compares(&self) -> String {
        if self.nulls_not_distinct {
            return "true".into();
        }
        all((0..self.keys_sql.len()).map(|i| format!("k{i} IS DISTINCT FROM NULL")))
    }

    /// The condition that two rows hold the same in it, of their keys.
    pub fn equal(&self, left: &str, right: &str) -> String {
        let count = self.keys_sql.len();
        let same =
            (0..count).map(|i| self.same(i, &format!("{left}.k{i}"), &format!("{right}.k{i}")));
        // By records, in which nulls are equal, many rows can be joined in one order of both; by the others they would
        // be compared one by one.
        let whole = (self.nulls_not_distinct && !self.columns.contains(&0)).then(|| {
            let record = |of: &str| {
                let keys =
                    list((0..count).map(|i| format!("{of}.k{i}{}", self.equality[i].collate())));
                format!("ROW({keys})::pg_catalog.record")
            };
            format!("{} OPERATOR(pg_catalog.=) {}", record(left), record(right))
        });
        all(whole.into_iter().chain(same))
    }

    /// The condition that two values are the same for its `i`-th key.
    pub fn same(&self, i: usize, left: &str, right: &str) -> String {
        let same = self.equality[i].equal(left, right);
        if self.nulls_not_distinct {
            format!(
                "({same} OR {left} IS NOT DISTINCT FROM NULL AND {right} IS NOT DISTINCT FROM NULL)"
            )
        } else {
            same
        }
    }
}
