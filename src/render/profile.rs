//! What a plan's changes come to, column by column: how many rows change it, from what to what, and in
//! which way. It is made in memory that does not grow with the plan, in one pass, or two where a column has
//! many different changes of which some are frequent; from what people may see: of sensitive columns only
//! which values are equal.

mod column;
mod frequent;
mod kind;
mod sample;
mod words;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::error::Result;
use crate::plan::masking::SIGN;
use crate::plan::{Entry, Kind as PlanKind, Value, Values, What};
use crate::planfile::{Item, PlanFile};

pub use column::ColumnProfile;
pub use column::{day, measured, ratio};
pub use kind::{Kind, kind};

/// What a plan's changes come to.
#[derive(Debug, Default)]
pub struct Profile {
    tables: Vec<TableProfile>,
    /// Whether the plan puts back what was there.
    pub restores: bool,
}

/// What the changes of one table come to.
#[derive(Debug)]
pub struct TableProfile {
    name: String,
    /// Rows to update.
    pub updates: u64,
    columns: Vec<ColumnProfile>,
    keys: Keys,
}

/// Keys that are alike but for case, white space and punctuation.
#[derive(Debug, Default)]
struct Keys {
    hasher: RandomState,
    /// Hash of what is compared, hash of the key, and whether another key was alike.
    seen: HashMap<u64, (u64, bool)>,
}

/// Of so many keys of a table is it known which are alike.
const MOST_KEYS: usize = 1 << 18;

impl Profile {
    /// The profile of a verified plan.
    ///
    /// # Errors
    /// As [`PlanFile::stream`].
    pub fn of(plan: &PlanFile) -> Result<Profile> {
        let mask = plan.mask();
        let mut profile = Profile {
            restores: plan.header.kind == PlanKind::Rollback,
            ..Profile::default()
        };
        plan.stream(&mut |item| {
            if let Item::Entry(mut entry) = item {
                mask.entry(&mut entry);
                profile.take(&entry);
            }
            Ok(())
        })?;
        if profile.begin_again() {
            plan.stream(&mut |item| {
                if let Item::Entry(mut entry) = item {
                    mask.entry(&mut entry);
                    profile.take_again(&entry);
                }
                Ok(())
            })?;
        }
        Ok(profile)
    }

    /// Begins to count again what is not counted exactly and may be told; whether there is such.
    fn begin_again(&mut self) -> bool {
        let columns = self.tables.iter_mut().flat_map(|t| &mut t.columns);
        columns.fold(false, |any, column| column.begin_again() | any)
    }

    /// Takes one entry again, masked.
    fn take_again(&mut self, entry: &Entry) {
        let What::Update { set, .. } = &entry.what else {
            return;
        };
        let Some(table) = self.tables.iter_mut().rfind(|t| t.name == entry.table) else {
            return;
        };
        for (name, (old, new)) in set {
            if let (Some(old), Some(new)) = (old.words(), new.words()) {
                table.column_mut(name).changed_again(&old, &new);
            }
        }
    }

    /// What is known of a table.
    pub fn table(&self, name: &str) -> Option<&TableProfile> {
        self.tables.iter().find(|t| t.name == name)
    }

    /// Takes one entry, masked.
    pub(super) fn take(&mut self, entry: &Entry) {
        // Entries come table by table, so it is nearly always the last one.
        let at = match self.tables.iter().rposition(|t| t.name == entry.table) {
            Some(at) => at,
            None => {
                self.tables.push(TableProfile::new(&entry.table));
                self.tables.len() - 1
            }
        };
        self.tables[at].take(entry);
    }
}

impl TableProfile {
    fn new(name: &str) -> TableProfile {
        TableProfile {
            name: name.to_owned(),
            updates: 0,
            columns: Vec::new(),
            keys: Keys::default(),
        }
    }

    fn take(&mut self, entry: &Entry) {
        self.keys.take(&entry.key);
        match &entry.what {
            What::Insert { values } => {
                for (name, value) in values {
                    if let Some(new) = value.own() {
                        self.column_mut(name).given(new);
                    }
                }
            }
            What::Update { set, .. } => {
                self.updates += 1;
                for (name, (old, new)) in set {
                    let (old, new) = (old.words(), new.words());
                    self.column_mut(name)
                        .changed(old.as_deref(), new.as_deref());
                }
            }
            What::Delete { .. } | What::Skip(_) | What::Violation(_) => {}
        }
    }

    fn column_mut(&mut self, name: &str) -> &mut ColumnProfile {
        let at = match self.columns.iter().position(|c| c.name == name) {
            Some(at) => at,
            None => {
                self.columns.push(ColumnProfile::new(name));
                self.columns.len() - 1
            }
        };
        &mut self.columns[at]
    }

    /// What is known of a column.
    pub fn column(&self, name: &str) -> Option<&ColumnProfile> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// The columns that some update changes, by name.
    pub fn changed(&self) -> Vec<&ColumnProfile> {
        let mut changed: Vec<&ColumnProfile> = self.columns.iter().filter(|c| c.rows > 0).collect();
        changed.sort_by(|a, b| a.name.cmp(&b.name));
        changed
    }

    /// Whether another key of this plan is alike but for case, white space and punctuation.
    pub fn has_alike(&self, key: &Values) -> bool {
        let (alike, _) = self.keys.hashes(key);
        self.keys
            .seen
            .get(&alike)
            .is_some_and(|(_, others)| *others)
    }
}

impl Keys {
    fn hashes(&self, key: &Values) -> (u64, u64) {
        let mut alike = String::new();
        for value in key.values().filter_map(Value::words) {
            let letters = value.chars().filter(|c| c.is_alphanumeric());
            alike.extend(letters.flat_map(char::to_lowercase));
            alike.push('\n');
        }
        (self.hasher.hash_one(&alike), self.hasher.hash_one(key))
    }

    fn take(&mut self, key: &Values) {
        // A masked key says only which are equal.
        if key
            .values()
            .any(|v| v.words().is_some_and(|w| w.starts_with(SIGN)))
        {
            return;
        }
        let (alike, own) = self.hashes(key);
        let room = self.seen.len() < MOST_KEYS;
        match self.seen.get_mut(&alike) {
            Some((first, others)) => *others |= *first != own,
            None if room => {
                self.seen.insert(alike, (own, false));
            }
            None => {}
        }
    }
}
