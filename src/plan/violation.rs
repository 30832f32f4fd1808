//! What is wrong about a record, and what follows from it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The rule that a record breaks (SPEC §5).
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
    /// A check constraint fails.
    CheckFailed,
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
            ViolationKind::MissingKey => "missing_key",
            ViolationKind::UnknownField => "unknown_field",
            ViolationKind::GeneratedField => "generated_field",
            ViolationKind::DuplicateKey => "duplicate_key",
            ViolationKind::AmbiguousKey => "ambiguous_key",
            ViolationKind::UniqueConflict => "unique_conflict",
            ViolationKind::MissingParent => "missing_parent",
            ViolationKind::CheckFailed => "check_failed",
            ViolationKind::NotQueued => "not_queued",
            ViolationKind::MissingObject => "missing_object",
        }
    }
}

/// What a violation does to its record and to the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Why, in words; the database's own where it spoke.
    pub message: String,
}
