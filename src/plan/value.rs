//! What a column of a record or row holds, as a plan says it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::strict::unique_map;

/// Column to value, sorted by name.
pub type Values = BTreeMap<String, Value>;

/// A whole row as the database prints it: column to text or null, sorted by name.
pub type Row = BTreeMap<String, Option<String>>;

/// What a column holds. Texts are as PostgreSQL prints them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A text.
    Text(String),
    /// What is not as it was given: the column keeps less, or `tables.yaml` says what it means.
    Rounded(Box<Rounded>),
    /// What refers to a row that is there, which was looked up by a key.
    Referred(Box<ReferredRow>),
    /// What the database will give a row that is new in this plan.
    New(Box<NewRow>),
}

/// A row that is there, and that was looked up by a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReferredRow {
    /// What the column keeps.
    pub stored: String,
    /// Its table as `references` in `tables.yaml` names it.
    pub table: String,
    /// The key by which it was looked up.
    pub key: Values,
}

/// A value that its column does not keep as it was given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rounded {
    /// What the column keeps.
    pub stored: Option<String>,
    /// What was given.
    pub given: String,
}

/// A row that is new in the plan, whose number the database will give.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NewRow {
    /// Its table as configured.
    pub table: String,
    /// Its natural key.
    pub key: Values,
}

/// Shows a key as `column=value, …`, and what is not seen in it as `\u{…}`.
pub fn display_key(key: &Values) -> String {
    let parts: Vec<String> = key
        .iter()
        .map(|(c, v)| {
            let value = v
                .words()
                .map_or("null".into(), |v| crate::text::visible(&v));
            format!("{}={value}", crate::text::visible(c))
        })
        .collect();
    parts.join(", ")
}

impl Value {
    /// The text to store, or `None` for null.
    ///
    /// # Errors
    /// The row that has no number before the plan is applied.
    pub fn stored(&self) -> Result<Option<&str>, &NewRow> {
        match self {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            Value::Rounded(rounded) => Ok(rounded.stored.as_deref()),
            Value::Referred(row) => Ok(Some(&row.stored)),
            Value::New(row) => Err(row),
        }
    }

    /// The text to store where it says something by itself: the number of a row that was looked up does not.
    pub fn own(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Rounded(rounded) => rounded.stored.as_deref(),
            Value::Null | Value::Referred(_) | Value::New(_) => None,
        }
    }

    /// The value for people, or `None` for null.
    pub fn words(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::Referred(row) => Some(Cow::Owned(format!(
                "{} ({} {})",
                row.stored,
                row.table,
                display_key(&row.key)
            ))),
            Value::New(row) => Some(Cow::Owned(format!(
                "{} {} (new)",
                row.table,
                display_key(&row.key)
            ))),
            Value::Null => None,
            Value::Text(text) => Some(Cow::Borrowed(text)),
            Value::Rounded(rounded) => rounded.stored.as_deref().map(Cow::Borrowed),
        }
    }

    /// What was given, where that is not what is stored.
    pub fn given(&self) -> Option<&str> {
        match self {
            Value::Rounded(rounded) => Some(&rounded.given),
            _ => None,
        }
    }

    /// The same, beside what was given for it.
    #[must_use]
    pub fn rounded_from(self, given: String) -> Value {
        let stored = match self {
            Value::Null => None,
            Value::Text(stored) => Some(stored),
            other => return other,
        };
        Value::Rounded(Box::new(Rounded { stored, given }))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Value {
        text.map_or(Value::Null, Value::Text)
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Value {
        text.map(str::to_owned).into()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => s.serialize_none(),
            Value::Text(text) => s.serialize_str(text),
            Value::Rounded(r) => Object {
                stored: Some(r.stored.as_deref().map(Cow::Borrowed)),
                given: Some(Cow::Borrowed(&r.given)),
                ..Object::default()
            }
            .serialize(s),
            Value::Referred(row) => Object {
                stored: Some(Some(Cow::Borrowed(&row.stored))),
                table: Some(Cow::Borrowed(&row.table)),
                key: Some(Cow::Borrowed(&row.key)),
                ..Object::default()
            }
            .serialize(s),
            Value::New(row) => Object {
                new: Some(Cow::Borrowed(&row.table)),
                key: Some(Cow::Borrowed(&row.key)),
                ..Object::default()
            }
            .serialize(s),
        }
    }
}

/// A value that is neither text nor null, as it stands in a file.
#[derive(Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "null_too"
    )]
    stored: Option<Option<Cow<'a, str>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    given: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    new: Option<Cow<'a, str>>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "owned_map"
    )]
    key: Option<Cow<'a, Values>>,
}

/// A field that is there, though null.
fn null_too<'de, 'a, D: Deserializer<'de>>(d: D) -> Result<Option<Option<Cow<'a, str>>>, D::Error> {
    let text: Option<String> = Deserialize::deserialize(d)?;
    Ok(Some(text.map(Cow::Owned)))
}

fn owned_map<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Cow<'static, Values>>, D::Error> {
    Ok(Some(Cow::Owned(unique_map(d)?)))
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Value, D::Error> {
        struct OfValue;
        impl<'de> Visitor<'de> for OfValue {
            type Value = Value;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text, null, or a value with what was given, or a row that is new")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Value, E> {
                Ok(Value::Text(text))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
                let object = Object::deserialize(MapAccessDeserializer::new(map))?;
                match (
                    object.stored,
                    object.given,
                    object.table,
                    object.new,
                    object.key,
                ) {
                    (Some(Some(stored)), None, Some(table), None, Some(key)) => {
                        Ok(Value::Referred(Box::new(ReferredRow {
                            stored: stored.into_owned(),
                            table: table.into_owned(),
                            key: key.into_owned(),
                        })))
                    }
                    (Some(stored), Some(given), None, None, None) => {
                        let stored = Value::from(stored.as_deref());
                        Ok(stored.rounded_from(given.into_owned()))
                    }
                    (None, None, None, Some(table), Some(key)) => {
                        Ok(Value::New(Box::new(NewRow {
                            table: table.into_owned(),
                            key: key.into_owned(),
                        })))
                    }
                    _ => Err(A::Error::custom(
                        "a value has \"stored\" and \"given\", or \"stored\", \"table\" and \"key\", or \"new\" and \"key\"",
                    )),
                }
            }
        }
        d.deserialize_any(OfValue)
    }
}

impl JsonSchema for Value {
    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let values = generator.subschema_for::<Values>();
        json_schema!({
            "description": "A text as PostgreSQL prints it, or null; what is stored beside what was given, where the \
                column keeps less or tables.yaml says what it means; what is stored beside table and key of the row to \
                which it refers, where that was looked up; or what the database will give a row that is new in this plan.",
            "oneOf": [
                {"type": ["string", "null"]},
                {
                    "type": "object",
                    "properties": {"stored": {"type": ["string", "null"]}, "given": {"type": "string"}},
                    "required": ["stored", "given"],
                    "additionalProperties": false,
                },
                {
                    "type": "object",
                    "properties": {"stored": {"type": "string"}, "table": {"type": "string"}, "key": values},
                    "required": ["stored", "table", "key"],
                    "additionalProperties": false,
                },
                {
                    "type": "object",
                    "properties": {"new": {"type": "string"}, "key": values},
                    "required": ["new", "key"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_spelled_in_one_way() {
        for json in [
            "null",
            r#""5""#,
            r#"{"stored":"1.24","given":"1.239"}"#,
            r#"{"stored":null,"given":"NA"}"#,
            r#"{"stored":"77","table":"customers","key":{"no":"C-1","region":null}}"#,
            r#"{"new":"customers","key":{"no":"C-1","region":null}}"#,
        ] {
            let value: Value = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for (json, why) in [
            ("5", "invalid type: integer `5`, expected a text, null"),
            (r#"{"stored":"1"}"#, "\"stored\" and \"given\""),
            (r#"{"stored":"1","table":"t"}"#, "\"table\" and \"key\""),
            (
                r#"{"stored":null,"table":"t","key":{}}"#,
                "\"table\" and \"key\"",
            ),
            (
                r#"{"stored":"1","given":"1","new":"t"}"#,
                "or \"new\" and \"key\"",
            ),
            (
                r#"{"stored":"1","stored":"2","given":"1"}"#,
                "duplicate field",
            ),
            (r#"{"new":"t","key":{"a":"1","a":"2"}}"#, "stands twice"),
            (r#"{"was":"1"}"#, "unknown field"),
        ] {
            let e = serde_json::from_str::<Value>(json).unwrap_err();
            assert!(e.to_string().contains(why), "{json}: {e}");
        }
    }

    #[test]
    fn a_new_row_has_no_number_yet() {
        let json = r#"{"new":"customers","key":{"no":"C-1"}}"#;
        let value: Value = serde_json::from_str(json).unwrap();
        assert!(value.stored().is_err());
        assert_eq!(value.words().as_deref(), Some("customers no=C-1 (new)"));
    }
}
