//! The numbers of a plan's entries, which its header states.

use std::collections::BTreeMap;

use crate::action::Counts;
use crate::plan::{Effect, Entry, Header, What};

/// Entries by table, of violations the records, and those that block or leave records out: what is
/// allowed and what is shown follows from the numbers in the header, which must be these.
#[derive(Default)]
pub(super) struct Counted {
    tables: BTreeMap<String, Counts>,
    blocking: u64,
    rejected: u64,
}

impl Counted {
    /// Counts one entry.
    pub(super) fn add(&mut self, entry: &Entry) {
        if entry.what.is_further() {
            return;
        }
        self.table(&entry.table).add(entry.what.action());
        if let What::Violation(v) = &entry.what {
            self.blocking += u64::from(v.effect == Effect::Block);
            self.rejected += u64::from(v.effect == Effect::Reject);
        }
    }

    /// The counts of one table so far.
    pub(super) fn table(&mut self, table: &str) -> &mut Counts {
        self.tables.entry(table.to_owned()).or_default()
    }

    /// Whether the header states these numbers.
    pub(super) fn agrees(&self, header: &Header) -> bool {
        let mut stated: BTreeMap<String, Counts> = BTreeMap::new();
        let mut tables = header.tables.iter();
        let once = tables.all(|t| stated.insert(t.table.clone(), t.counts).is_none());
        stated.retain(|_, c| *c != Counts::default());
        once && self.tables == stated
            && self.blocking == header.blocking
            && self.rejected == header.rejected
            && header.sum() == header.summary
    }
}
