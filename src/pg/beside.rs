//! Staged rows beside the rows of their table: the one place that says how they meet.

use crate::pg::near::Rows;
use crate::sql::{Ident, Temporary, list};
use crate::table::row::keys_equal;
use crate::table::target::Target;

/// That a staged row found a row `t`.
pub const FOUND: &str = "t.tableoid IS NOT NULL";
/// That it found none.
pub const ABSENT: &str = "t.tableoid IS NULL";

/// How many rows a key can find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// One at most.
    OneRow,
    /// Several: those of one staged row have to come together, first the one that counts.
    Rows,
}

/// Staged rows `s`, and the rows `t` of their table that have the same natural key.
///
/// Where deletes only mark rows, a key can find marked rows beside a live one. Then the live one
/// counts, and a marked one only where none is live.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    staged: Temporary,
    target: &'a Target,
}

impl<'a> Beside<'a> {
    /// The rows of `staged` beside those of their table.
    pub fn new(staged: Temporary, target: &'a Target) -> Beside<'a> {
        Beside { staged, target }
    }

    /// The rows that the staged ones find.
    pub(in crate::pg) fn near(&self) -> Rows<'a> {
        let key = self.target.key_columns().into_iter();
        let keys = list(key.map(|c| format!("s.{}", c.staged())));
        let keys = format!("SELECT DISTINCT {keys} FROM {} s", self.staged);
        Rows {
            parts: self.target.keys_by_shard(),
            ..self.target.table.near(keys, self.keys_equal())
        }
    }

    /// For `FROM`: each `s` with each `t` that it finds, or with none.
    pub fn each(&self) -> String {
        let (staged, table) = (self.staged, &self.target.table.rows);
        format!("{staged} s LEFT JOIN {table} t ON {}", self.keys_equal())
    }

    /// For `FROM`: each `s` with each `t` that it finds.
    pub fn found(&self) -> String {
        let (staged, table) = (self.staged, &self.target.table.rows);
        format!("{staged} s JOIN {table} t ON {}", self.keys_equal())
    }

    /// For `FROM`: each `s` with `f`, what `aggregates` make of all rows `t` that it finds, if it is one `of` these;
    /// nulls where it finds none.
    pub fn summed(&self, aggregates: &str, of: &str) -> String {
        let (staged, found) = (self.staged, self.found());
        format!(
            "{staged} s LEFT JOIN (SELECT s._n, {aggregates} FROM {found} WHERE {of} GROUP BY s._n) f ON f._n = s._n"
        )
    }

    /// The condition that `s` and `t` have one key.
    pub fn keys_equal(&self) -> String {
        keys_equal(&self.target.key(), "s", "t")
    }

    /// Behind `ORDER BY s._n`: of the rows that one `s` finds, first the one that counts.
    pub fn then_live_first(&self) -> String {
        match self.target.mark() {
            Some(_) => format!(", {} DESC", self.live()),
            None => String::new(),
        }
    }

    /// The condition that `t` is not marked as deleted.
    pub fn live(&self) -> String {
        match self.target.marks() {
            Some((column, mark)) => mark.lives(&format!("t.{}", Ident(&column.name))),
            None => "true".into(),
        }
    }
}
