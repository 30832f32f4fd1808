//! One line of a plan: what becomes of one row or record.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Value, Values, Violation};
use crate::action::{Action, SkipReason};

/// The digest of a whole row: 32 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

/// One line of a plan: a change, a skip or a violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The table's name as configured.
    pub table: String,
    /// The natural key as the current row spells it, or as given.
    pub key: Values,
    /// What it is.
    pub what: What,
    /// Of a change: when what says so was extracted from its source, in UTC, where that is known.
    pub extracted: Option<String>,
    /// Where it comes from: `object#position`, or the application it takes back.
    pub from: Vec<String>,
    /// The value of the column by which its table is grouped, where that has one: of an insert as it will be,
    /// of a violation as its record gives it, and else of the row as it is.
    pub group: Option<String>,
}

/// What an entry says about its row or record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The row is absent and will be inserted with these values beside the key.
    Insert {
        /// Given columns beside the key.
        values: Values,
    },
    /// The row exists and these columns will change.
    Update {
        /// Column to old and new value.
        set: BTreeMap<String, (Value, Value)>,
        /// The row as it must be found.
        expect: Fingerprint,
        /// Where it brings back a row that was marked as deleted: what else this holds that is not null.
        revives: Option<Values>,
        /// The columns that its record gives as the row holds them, where triggers could change them: they stay so.
        stays: Vec<String>,
    },
    /// The row exists and will be removed, or marked.
    Delete {
        /// The row as it must be found.
        expect: Fingerprint,
        /// What is lost, beside the key.
        values: Values,
        /// Whether it is marked instead of removed.
        soft: bool,
    },
    /// A record that changes nothing.
    Skip(Skip),
    /// A record that must not be applied as it stands.
    Violation(Violation),
}

impl What {
    /// What becomes of the row or record.
    pub fn action(&self) -> Action {
        match self {
            What::Insert { .. } => Action::Insert,
            What::Update { .. } => Action::Update,
            What::Delete { .. } => Action::Delete,
            What::Skip(_) => Action::Skip,
            What::Violation(_) => Action::Violation,
        }
    }
}

impl What {
    /// The columns of an updated row that its record gives as they are, and no trigger may change.
    pub fn stays(&self) -> &[String] {
        match self {
            What::Update { stays, .. } => stays,
            _ => &[],
        }
    }

    /// The columns by which an update deletes its row, if they mark deleted rows: from null or false to something else.
    pub fn marks(&self) -> impl Iterator<Item = &String> {
        let set = match self {
            What::Update { set, .. } => Some(set),
            _ => None,
        };
        let lives = |value: &Value| matches!(value.stored(), Ok(None | Some("f")));
        let marked = set.into_iter().flatten();
        let marked = marked.filter(move |(_, (old, new))| lives(old) && !lives(new));
        marked.map(|(column, _)| column)
    }

    /// Whether it tells what becomes of a row that is there: changed, or kept for what the row is.
    pub fn is_of_row(&self) -> bool {
        match self {
            What::Update { .. } | What::Delete { .. } => true,
            What::Skip(skip) => matches!(
                skip,
                Skip::Unchanged(_)
                    | Skip::Exists
                    | Skip::Conflict
                    | Skip::EditedSince
                    | Skip::ReferredTo
            ),
            What::Insert { .. } | What::Violation(_) => false,
        }
    }

    /// Whether it is a violation of a record that has one before it: such a record is counted already.
    pub fn is_further(&self) -> bool {
        matches!(self, What::Violation(v) if v.further)
    }
}

/// What people are told of a row that was marked as deleted and is so no more.
pub const REVIVED: &str = "was deleted; comes back";

/// Why a record changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skip {
    /// [`SkipReason::Unchanged`], with the digest of the row.
    Unchanged(Fingerprint),
    /// [`SkipReason::Exists`]
    Exists,
    /// [`SkipReason::Conflict`]
    Conflict,
    /// [`SkipReason::Missing`]
    Missing,
    /// [`SkipReason::Duplicate`]
    Duplicate,
    /// [`SkipReason::Superseded`]
    Superseded,
    /// [`SkipReason::Gone`]
    Gone,
    /// [`SkipReason::LeftOut`], and who said so.
    LeftOut(Why),
    /// [`SkipReason::EditedSince`]
    EditedSince,
    /// [`SkipReason::GoneSince`]
    GoneSince,
    /// [`SkipReason::ReferredTo`]
    ReferredTo,
}

/// Why a record is left out by name, as who said so.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Why {
    /// The reason, where one is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who said so, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("left out by name")?;
        if let Some(reason) = &self.reason {
            write!(f, ": {}", crate::text::escape(reason))?;
        }
        match &self.by {
            Some(by) => write!(f, " ({})", crate::text::escape(by)),
            None => Ok(()),
        }
    }
}

impl Skip {
    /// The reason alone.
    pub fn reason(&self) -> SkipReason {
        match self {
            Skip::Unchanged(_) => SkipReason::Unchanged,
            Skip::Exists => SkipReason::Exists,
            Skip::Conflict => SkipReason::Conflict,
            Skip::Missing => SkipReason::Missing,
            Skip::Duplicate => SkipReason::Duplicate,
            Skip::Superseded => SkipReason::Superseded,
            Skip::Gone => SkipReason::Gone,
            Skip::LeftOut(_) => SkipReason::LeftOut,
            Skip::EditedSince => SkipReason::EditedSince,
            Skip::GoneSince => SkipReason::GoneSince,
            Skip::ReferredTo => SkipReason::ReferredTo,
        }
    }

    /// Whether the row is one that a rollback leaves as it is, although it is still to be undone.
    pub fn is_kept(&self) -> bool {
        matches!(self, Skip::EditedSince | Skip::GoneSince | Skip::ReferredTo)
    }

    /// Why, for people.
    pub fn why(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Skip::LeftOut(why) => return why.to_string().into(),
            Skip::Unchanged(_) => "unchanged",
            Skip::Exists => "exists, and the table is insert_only",
            Skip::Conflict => "exists, and the existing row is kept",
            Skip::Missing => "does not exist, and the table is update_only",
            Skip::Duplicate => "an identical copy of another record",
            Skip::Superseded => "a later record with the same key wins",
            Skip::Gone => "to be deleted, and not there",
            Skip::EditedSince => "changed since the load, and kept",
            Skip::GoneSince => "gone since the load, and stays so",
            Skip::ReferredTo => "kept, because rows that stay refer to it",
        })
    }
}

impl Entry {
    /// Columns that do not keep what was given for them, and what that was: also of the key, by which it is of
    /// another row than the record seems to name.
    pub fn rounded(&self) -> BTreeMap<&str, &str> {
        let values: Vec<(&String, &Value)> = match &self.what {
            What::Insert { values } => values.iter().collect(),
            What::Update { set, .. } => set.iter().map(|(c, (_, new))| (c, new)).collect(),
            What::Skip(_) | What::Delete { .. } => Vec::new(),
            What::Violation(v) => v.values.iter().collect(),
        };
        self.key
            .iter()
            .chain(values)
            .filter_map(|(c, v)| Some((c.as_str(), v.given()?)))
            .collect()
    }
}
