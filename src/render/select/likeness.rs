//! Which entries say the same of different rows.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use crate::plan::{Entry, ViolationKind, What};

/// Tells which entries say the same of different rows.
pub struct Likeness(RandomState);

impl Likeness {
    /// One by which entries can be compared with each other, and with no other's.
    #[allow(clippy::new_without_default, reason = "two of them are not the same")]
    pub fn new() -> Likeness {
        Likeness(RandomState::new())
    }

    /// Equal for entries of one table and action that say the same. Of violations those of one field
    /// and rule are alike, whatever the values, and different records with one key. Every delete is
    /// its own: what is lost must be seen; and every change of a row whose key was given otherwise than
    /// it is stored. `place` is the entry's own number.
    pub fn of(&self, entry: &Entry, place: u64) -> u64 {
        let mut h = self.0.build_hasher();
        (&entry.table, entry.what.action().urgency()).hash(&mut h);
        let is_violation = matches!(entry.what, What::Violation(_));
        if !is_violation && entry.key.values().any(|v| v.given().is_some()) {
            place.hash(&mut h);
            return h.finish();
        }
        match &entry.what {
            What::Insert { values } => values.hash(&mut h),
            What::Update { set, revives, .. } => (set, revives).hash(&mut h),
            What::Violation(v) => {
                (v.kind.word(), v.effect as u8, &v.field).hash(&mut h);
                match v.kind {
                    ViolationKind::DuplicateKey => {
                        let key = entry.key.iter().map(|(c, v)| (c, v.words()));
                        key.for_each(|part| part.hash(&mut h));
                    }
                    _ => v.rule().hash(&mut h),
                }
            }
            What::Delete { .. } | What::Skip(_) => place.hash(&mut h),
        }
        h.finish()
    }
}
