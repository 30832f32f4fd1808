//! When a row is written: the order that apply keeps, and that plan foresees.

use std::fmt;

/// When a row of a table is written; of one table, in this order. Displayed, it is a number as SQL.
///
/// The tables' early inserts come first, from the first table to the last; then their first updates;
/// deletes from the last table to the first, each before its table's updates where these cease to refer
/// to rows of other tables that go; then, from the first table to the last, updates and inserts; and the
/// last updates behind it all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::pg) enum Phase {
    /// New rows to which updates refer that have to be written before a row goes.
    EarlyInsert,
    /// Updates that cease to refer to a row which is deleted before their table's deletes are done.
    FirstUpdate,
    /// Rows that go, and rows that are marked.
    Delete,
    /// All other updates.
    Update,
    /// All other new rows.
    Insert,
    /// Updates that begin to refer to a row which is inserted after their table's updates.
    LastUpdate,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", *self as u8)
    }
}
