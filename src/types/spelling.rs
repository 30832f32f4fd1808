//! How a delivery spells values, where otherwise than `docs/values.md` says.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// From when times are counted, and in what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Epoch {
    /// Seconds since 1970-01-01 00:00:00 UTC.
    Seconds,
    /// Milliseconds since then.
    Milliseconds,
}

/// How bytes are written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Base64 with padding.
    Base64,
    /// Pairs of hexadecimal digits, without `\x`.
    Hex,
}

/// How values are spelled.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spelling {
    /// How dates and times are written, in the notation of strftime; then in no other way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formats: Option<Vec<String>>,
    /// The time zone of times without offset: a name of the time zone database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Times that are numbers count from 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Whether a comma stands before the decimals of numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal_comma: Option<bool>,
    /// How bytes are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Encoding>,
    /// Words that mean null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words")]
    pub null_words: Option<Vec<String>>,
    /// Words that mean true; beside them only `true` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words")]
    pub true_words: Option<Vec<String>>,
    /// Words that mean false; beside them only `false` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words")]
    pub false_words: Option<Vec<String>>,
}

/// A word may be one that YAML takes for a number or a truth value.
pub fn words(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["array", "null"], "items": {"type": ["string", "number", "boolean"]}})
}

impl Spelling {
    /// What this says, and `below` where it says nothing.
    #[must_use]
    pub fn or(&self, below: &Spelling) -> Spelling {
        let (own, mut below) = (self.clone(), below.clone());
        // What is said of these values alone is not said otherwise by what holds for all.
        if own.formats.is_some() {
            below.epoch = None;
        }
        let said = [&own.null_words, &own.true_words, &own.false_words];
        let said: Vec<&String> = said.into_iter().flatten().flatten().collect();
        for of_all in [
            &mut below.null_words,
            &mut below.true_words,
            &mut below.false_words,
        ]
        .into_iter()
        .flatten()
        {
            of_all.retain(|word| !said.contains(&word));
        }
        Spelling {
            formats: own.formats.or(below.formats),
            time_zone: own.time_zone.or(below.time_zone),
            epoch: own.epoch.or(below.epoch),
            decimal_comma: own.decimal_comma.or(below.decimal_comma),
            bytes: own.bytes.or(below.bytes),
            null_words: own.null_words.or(below.null_words),
            true_words: own.true_words.or(below.true_words),
            false_words: own.false_words.or(below.false_words),
        }
    }
}
