//! What can be chosen for a table.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to do with existing and missing rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Insert what is absent, update what exists.
    #[default]
    Upsert,
    /// Insert what is absent, skip what exists.
    InsertOnly,
    /// Update what exists, skip what is absent.
    UpdateOnly,
}

/// How an existing row and a record combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// Given values win, but null never replaces a value.
    #[default]
    Merge,
    /// Given values win, null included.
    Replace,
    /// The existing row stays.
    Skip,
}

/// What a violation of an immutable column does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnImmutable {
    /// The plan cannot be applied.
    #[default]
    Block,
    /// The record is left out.
    Reject,
    /// The existing value stays, the record's other columns are applied.
    Keep,
}

/// What any other violation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnInvalid {
    /// The plan cannot be applied.
    #[default]
    Block,
    /// The record is left out, and those that depend on it.
    Reject,
}

/// What becomes of different records with one natural key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDuplicate {
    /// The plan cannot be applied.
    #[default]
    Block,
    /// All of them are left out.
    Reject,
    /// The last one, in object and position order, wins.
    Last,
}

/// What becomes of records that were extracted before data which changed their rows already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnOlder {
    /// They are loaded, and the plan says how many there are.
    #[default]
    Note,
    /// The plan cannot be applied.
    Block,
    /// They are left out.
    Reject,
}

impl OnOlder {
    /// The word in `tables.yaml`.
    pub fn word(self) -> &'static str {
        match self {
            OnOlder::Note => "note",
            OnOlder::Block => "block",
            OnOlder::Reject => "reject",
        }
    }

    pub(super) fn is_default(&self) -> bool {
        *self == OnOlder::default()
    }
}

/// What becomes of a value that is given for a column which a sequence numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GivenNumbers {
    /// It is stored, and the sequence is moved behind it.
    #[default]
    Advance,
    /// It is a violation.
    Refuse,
}

/// What a stamp column is set to by every load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stamp {
    /// The time of the applying transaction.
    Now,
    /// Who applies.
    Actor,
    /// The batch's id.
    BatchId,
    /// What a trigger of the table gives it.
    Trigger,
}

/// What becomes of fields that are no columns of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// They are violations.
    #[default]
    Block,
    /// They are not loaded, and the plan names them.
    Ignore,
}

impl OnUnknown {
    pub(super) fn is_default(&self) -> bool {
        *self == OnUnknown::default()
    }
}

impl GivenNumbers {
    pub(super) fn is_default(&self) -> bool {
        *self == GivenNumbers::default()
    }
}
