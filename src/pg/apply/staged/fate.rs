//! What apply does with the row of a staged entry, or expects of it.

use std::fmt;

use crate::action::Action;
use crate::plan::{Skip, What};

/// What apply does with the row of a staged entry, or expects of it. The staging table's column `_a`
/// holds its letter; displayed, it is that letter as SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::pg) enum Fate {
    /// The row is absent, and is inserted.
    Insert,
    /// The row is as the plan saw it, and is updated.
    Update,
    /// The row is as the plan saw it, and is deleted or marked.
    Delete,
    /// The row is as the plan saw it, and stays.
    Unchanged,
    /// The row is there, whatever it holds, and stays.
    Present,
    /// The row is absent, and stays so.
    Missing,
}

/// A list of fates, displayed as SQL for `IN`.
#[derive(Clone, Copy)]
pub(in crate::pg) struct Fates(pub &'static [Fate]);

/// All there are.
pub(in crate::pg) const ALL: Fates = Fates(&[
    Fate::Insert,
    Fate::Update,
    Fate::Delete,
    Fate::Unchanged,
    Fate::Present,
    Fate::Missing,
]);
/// Those of rows that stay as they are or were not there.
pub(in crate::pg) const UNWRITTEN: Fates =
    Fates(&[Fate::Insert, Fate::Unchanged, Fate::Present, Fate::Missing]);
/// Those of rows that are there and are written.
pub(in crate::pg) const CHANGED: Fates = Fates(&[Fate::Update, Fate::Delete]);
/// Those after which the row is there as the plan says.
pub(in crate::pg) const STORED: Fates = Fates(&[Fate::Insert, Fate::Update]);
/// Those of rows that must be absent.
pub(in crate::pg) const ABSENT: Fates = Fates(&[Fate::Insert, Fate::Missing]);

impl Fate {
    /// The fate of an entry's row; none where the entry concerns no row.
    pub fn of(what: &What) -> Option<Fate> {
        Some(match what {
            What::Insert { .. } => Fate::Insert,
            What::Update { .. } => Fate::Update,
            What::Delete { .. } => Fate::Delete,
            What::Skip(Skip::Unchanged(_)) => Fate::Unchanged,
            What::Skip(Skip::Exists | Skip::Conflict | Skip::EditedSince | Skip::ReferredTo) => {
                Fate::Present
            }
            What::Skip(Skip::Missing | Skip::Gone | Skip::GoneSince) => Fate::Missing,
            What::Skip(Skip::Duplicate | Skip::Superseded | Skip::LeftOut(_))
            | What::Violation(_) => return None,
        })
    }

    /// The letter in the staging table.
    pub const fn letter(self) -> char {
        match self {
            Fate::Insert => 'i',
            Fate::Update => 'u',
            Fate::Delete => 'd',
            Fate::Unchanged => 's',
            Fate::Present => 'p',
            Fate::Missing => 'm',
        }
    }

    /// The fate of that letter.
    pub fn of_letter(letter: &str) -> Option<Fate> {
        let mut letters = letter.chars();
        let one = letters.next().filter(|_| letters.next().is_none())?;
        ALL.0.iter().copied().find(|f| f.letter() == one)
    }

    /// What the plan calls it.
    pub const fn action(self) -> Action {
        match self {
            Fate::Insert => Action::Insert,
            Fate::Update => Action::Update,
            Fate::Delete => Action::Delete,
            Fate::Unchanged | Fate::Present | Fate::Missing => Action::Skip,
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.letter())
    }
}

impl fmt::Display for Fates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fate) in self.0.iter().enumerate() {
            write!(f, "{}{fate}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_told_apart() {
        for fate in ALL.0 {
            assert_eq!(Fate::of_letter(&fate.letter().to_string()), Some(*fate));
        }
        assert_eq!((Fate::of_letter("iu"), Fate::of_letter("")), (None, None));
        assert_eq!(ABSENT.to_string(), "'i', 'm'");
    }
}
