//! A record whose lines have not all come.

use super::answer::is_marked;
use super::found_row::is_found;
use crate::sql::copytext::CopyRow;

/// A record, and the lines for the first two rows that its key found, the one that counts first.
pub(super) struct Pending {
    pub(super) n: u64,
    pub(super) first: CopyRow,
    second: Option<CopyRow>,
}

impl Pending {
    pub(super) fn new(n: u64, first: CopyRow) -> Pending {
        Pending {
            n,
            first,
            second: None,
        }
    }

    /// Takes a further line; the row that was there for it is given back.
    pub(super) fn add(&mut self, line: &mut CopyRow, spare: Option<CopyRow>) {
        if self.second.is_none() {
            self.second = Some(std::mem::replace(line, spare.unwrap_or_default()));
        }
    }

    /// Whether a row was found.
    pub(super) fn found(&self) -> bool {
        is_found(&self.first)
    }

    /// Whether the row that counts is marked as deleted.
    pub(super) fn deleted(&self) -> bool {
        is_marked(&self.first)
    }

    /// Whether another row counts as much.
    pub(super) fn ambiguous(&self) -> bool {
        let second = self.second.as_ref();
        second.is_some_and(|second| is_marked(second) == self.deleted())
    }

    pub(super) fn into_lines(self) -> impl Iterator<Item = CopyRow> {
        [Some(self.first), self.second].into_iter().flatten()
    }
}
