//! Every entry that is asked for by itself, as it comes.

use std::collections::BTreeMap;

use super::Filter;
use crate::action::Action;
use crate::plan::Entry;
use crate::plan::masking::Mask;
use crate::render::unusual::{Mark, Unusual};

/// Chooses entries one by one, each for itself, up to the limit of its table and action.
pub struct Each<'e> {
    filter: &'e Filter,
    mask: &'e Mask,
    unusual: Unusual<'e>,
    taken: BTreeMap<(String, Action), u64>,
}

impl<'e> Each<'e> {
    /// None is chosen yet.
    pub fn new(filter: &'e Filter, mask: &'e Mask, unusual: Unusual<'e>) -> Each<'e> {
        Each {
            filter,
            mask,
            unusual,
            taken: BTreeMap::new(),
        }
    }

    /// The entry, masked, with what stands out in it, if it is asked for.
    pub fn take(&mut self, mut entry: Entry) -> Option<(Entry, Vec<Mark>)> {
        if !self.filter.takes_behind(self.mask, &entry) {
            return None;
        }
        let place = (entry.table.clone(), entry.what.action());
        self.mask.entry(&mut entry);
        let marks = self.unusual.marks(&entry);
        if marks.is_empty() && self.filter.only_unusual {
            return None;
        }
        let taken = self.taken.entry(place).or_default();
        *taken += 1;
        let most = self.filter.limit.map_or(u64::MAX, |n| n as u64);
        (*taken <= most).then_some((entry, marks))
    }
}
