//! What a record says in one column.

use std::borrow::Cow;

/// What a record says in one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell<'v> {
    Absent,
    /// An empty cell, which is the column's default in a new row.
    Blank,
    Given(Option<Cow<'v, str>>),
}

impl Cell<'_> {
    /// The letter by which staging knows it.
    pub(super) fn letter(&self) -> char {
        match self {
            Cell::Absent => '0',
            Cell::Given(_) => '1',
            Cell::Blank => BLANK,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Cell::Given(text) => text.as_deref(),
            Cell::Absent | Cell::Blank => None,
        }
    }
}

/// What `_given` has for an empty cell that is the column's default in a new row.
pub const BLANK: char = '2';
