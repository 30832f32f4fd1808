//! What a unique index or an exclusion constraint compares of rows, as SQL. Its expressions name columns without their
//! table: they hold where no other column has such a name.

use super::schema::UniqueIndex;
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

    /// What a row holds in it: `k0`, `k1` and so on, each as `of` says of its expression.
    pub fn keys(&self, of: impl Fn(String) -> String) -> String {
        let keys = self.keys_sql.iter().enumerate();
        list(keys.map(|(i, key)| format!("{} AS k{i}", of(format!("({key})")))))
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
        all((0..self.keys_sql.len())
            .map(|i| self.same(i, &format!("{left}.k{i}"), &format!("{right}.k{i}"))))
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
