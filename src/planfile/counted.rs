//! The numbers of a plan's entries, which its header states.

use std::collections::BTreeMap;

use crate::action::{Counts, Skips};
use crate::plan::{Effect, Entry, Header, TablePlan, What};

/// The numbers of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TableCounts {
    /// Entries of each kind.
    pub(super) counts: Counts,
    /// Records that change nothing, by why.
    pub(super) skips: Skips,
    /// Records that are left out.
    pub(super) rejected: u64,
}

impl TableCounts {
    fn stated(table: &TablePlan) -> TableCounts {
        TableCounts {
            counts: table.counts,
            skips: table.skips,
            rejected: table.rejected,
        }
    }
}

/// Entries by table, of violations the records, and those that block or leave records out: what is
/// allowed and what is shown follows from the numbers in the header, which must be these.
#[derive(Default)]
pub(super) struct Counted {
    tables: BTreeMap<String, TableCounts>,
    /// Records with violations that stand against applying the plan.
    pub(super) blocking: u64,
}

impl Counted {
    /// Counts one entry.
    pub(super) fn add(&mut self, entry: &Entry) {
        if entry.what.is_further() {
            return;
        }
        let table = self.tables.entry(entry.table.clone()).or_default();
        table.counts.add(entry.what.action());
        if let What::Violation(v) = &entry.what {
            self.blocking += u64::from(v.effect == Effect::Block);
            table.rejected += u64::from(v.effect == Effect::Reject);
        }
        if let What::Skip(skip) = &entry.what {
            *table.skips.of_mut(skip.reason()) += 1;
        }
    }

    /// The numbers of one table so far.
    pub(super) fn table(&mut self, table: &str) -> &mut TableCounts {
        self.tables.entry(table.to_owned()).or_default()
    }

    /// Whether the header states these numbers.
    pub(super) fn agrees(&self, header: &Header) -> bool {
        let mut stated: BTreeMap<String, TableCounts> = BTreeMap::new();
        let mut tables = header.tables.iter();
        let once = tables.all(|t| {
            let before = stated.insert(t.table.clone(), TableCounts::stated(t));
            before.is_none()
        });
        stated.retain(|_, c| *c != TableCounts::default());
        let rejected: u64 = stated.values().map(|t| t.rejected).sum();
        once && self.tables == stated
            && self.blocking == header.blocking
            && rejected == header.rejected
            && header.sum() == header.summary
    }
}
