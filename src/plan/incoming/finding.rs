//! What is wrong about a record, before the database has looked at it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::plan::{Effect, Value as Stored, Violation, ViolationKind};
use crate::record::Value;
use crate::record::rejected::{Ours, TABLE};

/// What is wrong about a record, before the database has looked at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which rule it breaks.
    pub kind: ViolationKind,
    /// The field it is about.
    pub field: Option<String>,
    /// The value as given, cut where it is very long.
    pub given: Option<String>,
    /// Why.
    pub message: String,
    /// Whether that may quote a value.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub quotes: bool,
    /// An accepted spelling of the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
    /// The values that it is about, where they are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<BTreeMap<String, Option<String>>>,
}

impl Finding {
    pub(super) fn new(kind: ViolationKind, field: &str, message: impl Into<String>) -> Finding {
        Finding {
            kind,
            field: Some(field.to_owned()),
            given: None,
            message: message.into(),
            quotes: false,
            instead: None,
            values: None,
        }
    }

    /// What is wrong about what the loader wrote beside a rejected record.
    pub(super) fn of_ours(ours: &Ours, table: &str) -> impl Iterator<Item = Finding> {
        let of = ours.table.as_ref().filter(|of| *of != table);
        let of = of.map(|of| {
            let why = "the record of another table; a file for each is written by --rejects with a folder";
            (TABLE, of, why)
        });
        let unreadable = ours
            .unreadable
            .iter()
            .map(|(field, given, why)| (*field, given, *why));
        unreadable.chain(of).map(|(field, given, why)| Finding {
            given: Some(given.clone()),
            ..Finding::new(ViolationKind::InvalidValue, field, why)
        })
    }

    /// The violation that it is.
    pub fn violation(self, effect: Effect) -> Violation {
        let values = self.values.into_iter().flatten();
        Violation {
            field: self.field,
            given: self.given,
            instead: self.instead,
            quotes: self.quotes,
            values: values.map(|(c, v)| (c, Stored::from(v))).collect(),
            ..Violation::new(self.kind, effect, self.message)
        }
    }

    /// How each finding of this kind begins as JSON, and no text in one can go on: its quotes would
    /// be escaped.
    pub fn begins(kind: ViolationKind) -> String {
        format!("{{\"kind\":\"{}\"", kind.word())
    }
}

/// The longest value that a violation repeats, in characters.
const LONGEST: usize = 2_000;

/// A value for people: its text, cut where it is very long; null is `None`.
pub(super) fn shorten(value: &Value<'_>) -> Option<String> {
    let text = match value {
        Value::Json("null") | Value::Blank => return None,
        Value::Json(raw) => serde_json::from_str::<String>(raw)
            .ok()
            .filter(|s| !s.contains('\0'))
            .unwrap_or_else(|| (*raw).to_owned()),
        Value::Cell(cell) | Value::Number(cell) | Value::Moment(cell) => {
            (*cell).replace('\0', "\u{fffd}")
        }
    };
    match text.char_indices().nth(LONGEST) {
        None => Some(text),
        Some((end, _)) => Some(format!("{}… ({} bytes)", &text[..end], text.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_told_by_how_it_begins() {
        let begins = Finding::begins(ViolationKind::InvalidValue);
        let finding = |kind, given: &str| Finding {
            given: Some(given.into()),
            ..Finding::new(kind, "invalid_value", begins.clone())
        };
        let contains =
            |finding: Finding| serde_json::to_string(&finding).unwrap().contains(&begins);
        assert!(contains(finding(ViolationKind::InvalidValue, "x")));
        assert!(!contains(finding(
            ViolationKind::UnknownField,
            "invalid_value"
        )));
        assert!(!contains(finding(ViolationKind::UnknownField, &begins)));
    }
}
