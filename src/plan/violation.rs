//! What is wrong about a record, and what follows from it.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Values;
use crate::strict::unique_map;

/// The rule that a record breaks.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ViolationKind {
    /// An immutable column would change.
    ImmutableField,
    /// The value does not fit the column's type, length, enum or domain.
    InvalidValue,
    /// A column that must have a value has none.
    NullValue,
    /// A column without which a record is left out is absent, null or empty.
    RequiredField,
    /// A column of the natural key is absent or null.
    MissingKey,
    /// The field is no column of the table.
    UnknownField,
    /// The column is computed by the database.
    GeneratedField,
    /// Different records of the batch have one natural key.
    DuplicateKey,
    /// Several rows match the natural key.
    AmbiguousKey,
    /// Another row holds a value of another unique key.
    UniqueConflict,
    /// The row referred to does not exist and is not in the plan.
    MissingParent,
    /// Other rows refer to the row that is to be deleted.
    StillReferred,
    /// A check constraint fails.
    CheckFailed,
    /// The record was extracted before data that changed its row already.
    OlderRecord,
    /// The object has no entry in the validation queue.
    NotQueued,
    /// The validation queue names an object that is not there.
    MissingObject,
}

impl ViolationKind {
    /// The word in the plan file.
    pub fn word(self) -> &'static str {
        match self {
            ViolationKind::ImmutableField => "immutable_field",
            ViolationKind::InvalidValue => "invalid_value",
            ViolationKind::NullValue => "null_value",
            ViolationKind::RequiredField => "required_field",
            ViolationKind::MissingKey => "missing_key",
            ViolationKind::UnknownField => "unknown_field",
            ViolationKind::GeneratedField => "generated_field",
            ViolationKind::DuplicateKey => "duplicate_key",
            ViolationKind::AmbiguousKey => "ambiguous_key",
            ViolationKind::UniqueConflict => "unique_conflict",
            ViolationKind::MissingParent => "missing_parent",
            ViolationKind::StillReferred => "still_referred",
            ViolationKind::CheckFailed => "check_failed",
            ViolationKind::OlderRecord => "older_record",
            ViolationKind::NotQueued => "not_queued",
            ViolationKind::MissingObject => "missing_object",
        }
    }
}

impl fmt::Display for ViolationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a violation does to its record and to the plan.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The plan cannot be applied.
    Block,
    /// The record is left out.
    Reject,
    /// The rest of the record is applied.
    Keep,
}

impl Effect {
    /// What follows, for people.
    pub fn words(self) -> &'static str {
        match self {
            Effect::Block => "blocks",
            Effect::Reject => "record left out",
            Effect::Keep => "existing value stays",
        }
    }
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub kind: ViolationKind,
    /// What follows from it.
    pub effect: Effect,
    /// The field it is about, where it is one.
    pub field: Option<String>,
    /// The value in the database, where there is one.
    pub existing: Option<String>,
    /// The value as given, where there is one.
    pub given: Option<String>,
    /// Why, in words; the database's own where it spoke. Records that break a rule in one way have
    /// the same words, but for a value that the database repeats.
    pub message: String,
    /// Whether the words may quote a value of the record or of another row.
    pub quotes: bool,
    /// An accepted spelling of the given value, where there is one.
    pub instead: Option<String>,
    /// The values that it is about, where they are several: those that a check reads, or those by
    /// which a record differs from another one.
    pub values: Values,
    /// The other record that it is about.
    pub other: Option<Other>,
    /// Whether another one of the same record stands before it: records are counted, by their first.
    pub further: bool,
}

/// Another record of the batch, which cannot be loaded beside the one that a violation is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Other {
    /// Where it comes from.
    pub from: String,
    /// Its values in the columns in which the two differ; a column is missing where it is not given.
    #[serde(deserialize_with = "unique_map")]
    pub values: Values,
}

impl Violation {
    /// One of which nothing is known but this; no value is quoted in the words.
    pub fn new(kind: ViolationKind, effect: Effect, message: impl Into<String>) -> Violation {
        Violation {
            kind,
            effect,
            field: None,
            existing: None,
            given: None,
            message: message.into(),
            quotes: false,
            instead: None,
            values: Values::new(),
            other: None,
            further: false,
        }
    }

    /// Why, and what would be accepted, for people.
    pub fn why(&self) -> String {
        match &self.instead {
            Some(instead) => format!("{}; write it as {instead}", self.message),
            None => self.message.clone(),
        }
    }

    /// What records that break a rule in one way have in common: the words without the value, which
    /// the database may repeat in them, and without the row that has the value already.
    pub fn rule(&self) -> Cow<'_, str> {
        match (self.kind, &self.given) {
            (ViolationKind::UniqueConflict, _) => {
                let key = self.message.split_once(": ");
                key.map_or(self.message.as_str(), |(key, _)| key).into()
            }
            (ViolationKind::MissingParent, Some(given)) => self
                .message
                .replacen(&format!(" = {given}"), " = …", 1)
                .into(),
            (_, Some(given)) => self.message.replace(&format!("\"{given}\""), "…").into(),
            (_, None) => self.message.as_str().into(),
        }
    }

    /// As much of why as surely quotes no value, but for the one that is given, in whose place `stands_in`
    /// stands; `None` where nothing is known to.
    pub fn unquoted(&self, stands_in: impl Fn(&str) -> String) -> Option<String> {
        if !self.quotes {
            return Some(self.message.clone());
        }
        match (self.kind, &self.given) {
            (ViolationKind::UniqueConflict, _) => Some(self.rule().into_owned()),
            // Our own words stand before what the database says of the row.
            (ViolationKind::CheckFailed, _) => {
                let (ours, _) = self.message.split_once(": ")?;
                Some(ours.to_owned())
            }
            (ViolationKind::MissingParent, Some(given)) => {
                let (before, after) = self.message.split_once(&format!(" = {given}, "))?;
                let ours = before.starts_with("no row of ");
                ours.then(|| format!("{before} = {}, {after}", stands_in(given)))
            }
            _ => None,
        }
    }

    /// What is said of this record alone: of a unique value, who has it already.
    pub fn of_record(&self) -> Option<&str> {
        let unique = self.kind == ViolationKind::UniqueConflict;
        let (_, who) = self.message.split_once(": ").filter(|_| unique)?;
        Some(who)
    }

    /// Whether it is about an object of the batch, and no record of it.
    pub fn is_of_object(&self) -> bool {
        matches!(
            self.kind,
            ViolationKind::NotQueued | ViolationKind::MissingObject
        )
    }
}
