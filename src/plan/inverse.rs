//! The change that takes a change back.

use std::collections::BTreeMap;

use super::{Fingerprint, Row, Skip, What};

/// A change that was made, with the complete row on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedChange {
    /// The row before; `None` where there was none.
    pub before: Option<Row>,
    /// The row after; `None` where there is none.
    pub after: Option<Row>,
}

impl AppliedChange {
    /// The change that takes this one back. Inverting twice gives the change itself.
    #[must_use]
    pub fn invert(self) -> AppliedChange {
        AppliedChange {
            before: self.after,
            after: self.before,
        }
    }

    /// What makes this change of a row whose present digest is `digest`, or `None` where both
    /// sides are absent. `is_key` names the columns of the natural key, `writes` those that may be
    /// written, and `soft` says that deletes mark rows.
    pub fn what(
        self,
        digest: Option<Fingerprint>,
        is_key: impl Fn(&str) -> bool,
        writes: impl Fn(&str) -> bool,
        soft: bool,
    ) -> Option<What> {
        let beside_key =
            |row: Row| -> Row { row.into_iter().filter(|(c, _)| !is_key(c)).collect() };
        match (self.before, self.after, digest) {
            (None, Some(after), _) => Some(What::Insert {
                values: beside_key(after)
                    .into_iter()
                    .filter(|(c, _)| writes(c))
                    .map(|(c, v)| (c, v.into()))
                    .collect(),
            }),
            (Some(before), None, Some(expect)) => Some(What::Delete {
                expect,
                values: beside_key(before)
                    .into_iter()
                    .map(|(c, v)| (c, v.into()))
                    .collect(),
                soft,
            }),
            (Some(before), Some(mut after), Some(expect)) => {
                let set: BTreeMap<_, _> = beside_key(before)
                    .into_iter()
                    .filter(|(c, _)| writes(c))
                    .filter_map(|(c, old)| {
                        let new = after.remove(&c)?;
                        (old != new).then(|| (c, (old.into(), new.into())))
                    })
                    .collect();
                Some(if set.is_empty() {
                    What::Skip(Skip::Unchanged(expect))
                } else {
                    What::Update {
                        set,
                        expect,
                        revives: None,
                        stays: Vec::new(),
                    }
                })
            }
            (None, None, _) | (Some(_), _, None) => None,
        }
    }
}
