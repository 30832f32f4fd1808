//! What becomes of a row or record: one word for the plan file, the staging tables and people.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of a row or record.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The row is absent and will be inserted.
    Insert,
    /// The row exists and columns of it will change.
    Update,
    /// The row exists and will be removed, or marked.
    Delete,
    /// The record changes nothing.
    Skip,
    /// The record must not be applied as it stands.
    Violation,
}

impl Action {
    /// All, in the order of the summary line.
    pub const ALL: [Action; 5] = [
        Action::Insert,
        Action::Update,
        Action::Delete,
        Action::Skip,
        Action::Violation,
    ];

    /// All, in the order in which a reviewer wants to see them.
    pub const BY_URGENCY: [Action; 5] = [
        Action::Violation,
        Action::Delete,
        Action::Update,
        Action::Insert,
        Action::Skip,
    ];

    /// Those that write rows.
    pub const CHANGES: [Action; 3] = [Action::Insert, Action::Update, Action::Delete];

    /// The word in files, staging tables and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Action::Insert => "insert",
            Action::Update => "update",
            Action::Delete => "delete",
            Action::Skip => "skip",
            Action::Violation => "violation",
        }
    }

    /// The sign before what it is about.
    pub const fn glyph(self) -> &'static str {
        match self {
            Action::Insert => "+",
            Action::Update => "~",
            Action::Delete => "-",
            Action::Skip => "=",
            Action::Violation => "!",
        }
    }

    /// Its place in [`Action::BY_URGENCY`].
    pub const fn urgency(self) -> usize {
        match self {
            Action::Violation => 0,
            Action::Delete => 1,
            Action::Update => 2,
            Action::Insert => 3,
            Action::Skip => 4,
        }
    }

    /// Whether it must be seen before all else.
    pub const fn is_urgent(self) -> bool {
        matches!(self, Action::Violation | Action::Delete)
    }

    /// The action of that word.
    pub fn of_word(word: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|a| a.word() == word)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// How many of each there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Rows to insert.
    pub insert: u64,
    /// Rows to update.
    pub update: u64,
    /// Rows to delete.
    pub delete: u64,
    /// Records that change nothing.
    pub skip: u64,
    /// Violations, whatever their effect.
    pub violation: u64,
}

impl Counts {
    /// How many of one action.
    pub fn of(&self, action: Action) -> u64 {
        match action {
            Action::Insert => self.insert,
            Action::Update => self.update,
            Action::Delete => self.delete,
            Action::Skip => self.skip,
            Action::Violation => self.violation,
        }
    }

    /// How many of one action, to be changed.
    pub fn of_mut(&mut self, action: Action) -> &mut u64 {
        match action {
            Action::Insert => &mut self.insert,
            Action::Update => &mut self.update,
            Action::Delete => &mut self.delete,
            Action::Skip => &mut self.skip,
            Action::Violation => &mut self.violation,
        }
    }

    /// Counts one more of `action`.
    pub fn add(&mut self, action: Action) {
        *self.of_mut(action) += 1;
    }

    /// Both together.
    #[must_use]
    pub fn plus(mut self, other: Counts) -> Counts {
        for action in Action::ALL {
            let sum = self.of_mut(action);
            *sum = sum.saturating_add(other.of(action));
        }
        self
    }

    /// Rows that would be written.
    pub fn changes(&self) -> u64 {
        Action::CHANGES
            .into_iter()
            .fold(0, |sum, action| self.of(action).saturating_add(sum))
    }

    /// Entries of the plan.
    pub fn entries(&self) -> u64 {
        self.changes()
            .saturating_add(self.skip)
            .saturating_add(self.violation)
    }
}

/// Why a record changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The row holds already what the record says.
    Unchanged,
    /// The row exists, and the strategy only inserts.
    Exists,
    /// The row exists, and the resolution keeps it.
    Conflict,
    /// The row is absent, and the strategy only updates.
    Missing,
    /// An identical copy of another record.
    Duplicate,
    /// A later record with the same key wins.
    Superseded,
    /// The row is to be deleted, and is not there.
    Gone,
    /// Somebody said that it is to be left out.
    LeftOut,
    /// The row changed since the load that a rollback takes back, and is kept.
    EditedSince,
    /// The row is gone since the load that a rollback takes back, and stays so.
    GoneSince,
    /// A rollback keeps the row, because rows that stay refer to it.
    ReferredTo,
}

impl SkipReason {
    /// All, in the order of sums.
    pub const ALL: [SkipReason; 11] = [
        SkipReason::Unchanged,
        SkipReason::Exists,
        SkipReason::Conflict,
        SkipReason::Missing,
        SkipReason::Duplicate,
        SkipReason::Superseded,
        SkipReason::Gone,
        SkipReason::LeftOut,
        SkipReason::EditedSince,
        SkipReason::GoneSince,
        SkipReason::ReferredTo,
    ];

    /// The word in files and staging tables.
    pub const fn word(self) -> &'static str {
        match self {
            SkipReason::Unchanged => "unchanged",
            SkipReason::Exists => "exists",
            SkipReason::Conflict => "conflict",
            SkipReason::Missing => "missing",
            SkipReason::Duplicate => "duplicate",
            SkipReason::Superseded => "superseded",
            SkipReason::Gone => "gone",
            SkipReason::LeftOut => "left_out",
            SkipReason::EditedSince => "edited_since",
            SkipReason::GoneSince => "gone_since",
            SkipReason::ReferredTo => "referred_to",
        }
    }

    /// What people read beside a number.
    const fn in_sums(self) -> &'static str {
        match self {
            SkipReason::LeftOut => "left out by name",
            SkipReason::EditedSince => "changed since",
            SkipReason::GoneSince => "gone since",
            SkipReason::ReferredTo => "still referred to",
            other => other.word(),
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Records that change nothing, by why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Skips {
    /// The row holds already what the record says.
    #[serde(skip_serializing_if = "is_zero")]
    pub unchanged: u64,
    /// The row exists, and the strategy only inserts.
    #[serde(skip_serializing_if = "is_zero")]
    pub exists: u64,
    /// The row exists, and the resolution keeps it.
    #[serde(skip_serializing_if = "is_zero")]
    pub conflict: u64,
    /// The row is absent, and the strategy only updates.
    #[serde(skip_serializing_if = "is_zero")]
    pub missing: u64,
    /// Identical copies of other records.
    #[serde(skip_serializing_if = "is_zero")]
    pub duplicate: u64,
    /// A later record with the same key wins.
    #[serde(skip_serializing_if = "is_zero")]
    pub superseded: u64,
    /// The row is to be deleted, and is not there.
    #[serde(skip_serializing_if = "is_zero")]
    pub gone: u64,
    /// Somebody said that they are to be left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// The row changed since the load that a rollback takes back, and is kept.
    #[serde(skip_serializing_if = "is_zero")]
    pub edited_since: u64,
    /// The row is gone since the load that a rollback takes back.
    #[serde(skip_serializing_if = "is_zero")]
    pub gone_since: u64,
    /// A rollback keeps the row, because rows that stay refer to it.
    #[serde(skip_serializing_if = "is_zero")]
    pub referred_to: u64,
}

/// Whether a number goes without saying.
pub(crate) fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Skips {
    /// Whether there are none; then a plan does not name them.
    pub fn is_empty(&self) -> bool {
        *self == Skips::default()
    }

    /// How many for one reason.
    pub fn of(mut self, reason: SkipReason) -> u64 {
        *self.of_mut(reason)
    }

    /// How many for one reason, to be changed.
    pub fn of_mut(&mut self, reason: SkipReason) -> &mut u64 {
        match reason {
            SkipReason::Unchanged => &mut self.unchanged,
            SkipReason::Exists => &mut self.exists,
            SkipReason::Conflict => &mut self.conflict,
            SkipReason::Missing => &mut self.missing,
            SkipReason::Duplicate => &mut self.duplicate,
            SkipReason::Superseded => &mut self.superseded,
            SkipReason::Gone => &mut self.gone,
            SkipReason::LeftOut => &mut self.left_out,
            SkipReason::EditedSince => &mut self.edited_since,
            SkipReason::GoneSince => &mut self.gone_since,
            SkipReason::ReferredTo => &mut self.referred_to,
        }
    }

    /// How many there are of those that are not loaded although they say something else than the rows,
    /// each with its words.
    fn others(self) -> impl Iterator<Item = (u64, &'static str)> {
        let others = SkipReason::ALL.into_iter();
        let others = others.filter(|reason| *reason != SkipReason::Unchanged);
        others.map(move |reason| (self.of(reason), reason.in_sums()))
    }

    /// Both together.
    #[must_use]
    pub fn plus(mut self, other: Skips) -> Skips {
        for reason in SkipReason::ALL {
            let sum = self.of_mut(reason);
            *sum = sum.saturating_add(other.of(reason));
        }
        self
    }

    /// Rows that a rollback leaves as they are, although they are still to be undone.
    pub fn kept(self) -> u64 {
        let gone_too = self.edited_since.saturating_add(self.gone_since);
        gone_too.saturating_add(self.referred_to)
    }

    /// How many of them say something else than the rows do, and are not loaded.
    pub fn not_loaded(&self) -> u64 {
        let each = self.others().map(|(n, _)| n);
        each.fold(0, u64::saturating_add)
    }

    /// Why those are not loaded: `3 exists, 2 missing`.
    pub fn reasons(&self) -> String {
        let others = self.others().filter(|(n, _)| *n > 0);
        let each: Vec<String> = others.map(|(n, word)| format!("{n} {word}")).collect();
        each.join(", ")
    }

    /// What one word covers: `unchanged` where all of them are.
    pub fn heading(&self) -> &'static str {
        if self.not_loaded() == 0 {
            "unchanged"
        } else {
            "skipped"
        }
    }
}

/// `840 unchanged`, and behind it, where there are any, `5 skipped (3 exists, 2 missing)`.
impl fmt::Display for Skips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} unchanged", self.unchanged)?;
        match self.not_loaded() {
            0 => Ok(()),
            n => write!(f, ", {n} skipped ({})", self.reasons()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_action_has_one_word() {
        for action in Action::ALL {
            assert_eq!(Action::of_word(action.word()), Some(action));
            assert_eq!(
                serde_json::to_string(&action).unwrap(),
                format!("\"{action}\"")
            );
            assert_eq!(Action::BY_URGENCY[action.urgency()], action);
        }
        assert_eq!(Action::of_word("Insert"), None);
    }

    #[test]
    fn skips_are_counted_by_the_word_of_their_reason() {
        for reason in SkipReason::ALL {
            let word = serde_json::to_value(reason).unwrap();
            assert_eq!(word, reason.word());
            let mut skips = Skips::default();
            *skips.of_mut(reason) = 2;
            let json = serde_json::json!({ reason.word(): 2 });
            assert_eq!(serde_json::to_value(skips).unwrap(), json);
            assert_eq!(skips.plus(skips).of(reason), 4);
        }
    }

    #[test]
    fn what_is_not_loaded_is_not_called_unchanged() {
        let mut skips = Skips {
            unchanged: 840,
            ..Skips::default()
        };
        assert_eq!(
            (skips.to_string().as_str(), skips.heading()),
            ("840 unchanged", "unchanged")
        );
        skips.exists = 3;
        skips.missing = 2;
        let words = "840 unchanged, 5 skipped (3 exists, 2 missing)";
        assert_eq!(
            (skips.to_string().as_str(), skips.heading()),
            (words, "skipped")
        );
        assert_eq!(skips.plus(skips).exists, 6);
    }

    #[test]
    fn counts_are_those_of_each_action() {
        let mut counts = Counts::default();
        for action in Action::ALL {
            counts.add(action);
            assert_eq!(counts.of(action), 1);
        }
        let twice = counts.plus(counts);
        assert_eq!((twice.changes(), twice.entries()), (6, 10));
        let most = Counts {
            insert: u64::MAX,
            ..twice
        };
        assert_eq!(most.plus(most).changes(), u64::MAX);
    }
}
