//! Deliveries that are the whole truth of their table, or of a part of it.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Serialize};

use crate::strict::unique_map;

/// Whether a delivery is all there is of its table: then rows that it does not bring are deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Complete {
    /// It is a part; other rows stay.
    #[default]
    No,
    /// It is all.
    All,
    /// It is all of the rows that have these values in these columns.
    Where(BTreeMap<String, String>),
    /// It is all of the rows that have the values which one of its records has in these columns.
    OfEach(Vec<String>),
}

/// `{where: {column: value}}` or `{of_each: [column]}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scope {
    #[serde(
        default,
        rename = "where",
        deserialize_with = "some_map",
        skip_serializing_if = "Option::is_none"
    )]
    of: Option<Map>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of_each: Option<Vec<String>>,
}

type Map = BTreeMap<String, Option<String>>;

fn some_map<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Map>, D::Error> {
    let map: Map = unique_map(d)?;
    match map.iter().find(|(_, value)| value.is_none()) {
        None => Ok(Some(map)),
        Some((column, _)) => Err(serde::de::Error::custom(format_args!(
            "where: {column}: no row has a value that equals null; quote it if the word is meant"
        ))),
    }
}

impl Complete {
    /// Whether rows that a delivery does not bring stay.
    pub fn is_no(&self) -> bool {
        *self == Complete::No
    }

    /// The columns of which the records say by their values which rows a delivery is all of.
    pub fn given(&self) -> Vec<String> {
        match self {
            Complete::OfEach(columns) => columns.clone(),
            Complete::No | Complete::All | Complete::Where(_) => Vec::new(),
        }
    }

    /// The columns whose values say which rows a delivery is all of.
    pub fn columns(&self) -> Vec<String> {
        match self {
            Complete::No | Complete::All => Vec::new(),
            Complete::Where(scope) => scope.keys().cloned().collect(),
            Complete::OfEach(columns) => columns.clone(),
        }
    }
}

impl Serialize for Complete {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Complete::No => s.serialize_bool(false),
            Complete::All => s.serialize_bool(true),
            Complete::Where(of) => Scope {
                of: Some(
                    of.iter()
                        .map(|(c, v)| (c.clone(), Some(v.clone())))
                        .collect(),
                ),
                of_each: None,
            }
            .serialize(s),
            Complete::OfEach(columns) => Scope {
                of: None,
                of_each: Some(columns.clone()),
            }
            .serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for Complete {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Complete;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, {where: {column: value}} or {of_each: [column]}")
            }
            fn visit_bool<E>(self, all: bool) -> Result<Complete, E> {
                Ok(if all { Complete::All } else { Complete::No })
            }
            fn visit_map<M: serde::de::MapAccess<'de>>(self, map: M) -> Result<Complete, M::Error> {
                let scope = Scope::deserialize(MapAccessDeserializer::new(map))?;
                match (scope.of, scope.of_each) {
                    (Some(of), None) if !of.is_empty() => {
                        let of = of.into_iter().filter_map(|(c, v)| Some((c, v?)));
                        Ok(Complete::Where(of.collect()))
                    }
                    (None, Some(columns)) if !columns.is_empty() => Ok(Complete::OfEach(columns)),
                    (Some(_), Some(_)) => Err(serde::de::Error::custom(
                        "`where` and `of_each` in one: a delivery is complete in one way",
                    )),
                    _ => Err(serde::de::Error::custom(
                        "it names no column; for all rows say `complete: true`",
                    )),
                }
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl JsonSchema for Complete {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Complete".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "Whether a delivery is the whole truth of its table (`true`), or of the rows with these values in these columns (`{where: {site: LYN}}`), or with the values that one of its records has there (`{of_each: [site]}`): rows that it does not bring are deleted, and nulls empty their columns.",
            "oneOf": [
                {"type": "boolean"},
                {
                    "type": "object",
                    "properties": {"where": {"type": "object", "minProperties": 1, "additionalProperties": {"type": ["string", "number", "boolean"]}}},
                    "required": ["where"],
                    "additionalProperties": false,
                },
                {
                    "type": "object",
                    "properties": {"of_each": {"type": "array", "minItems": 1, "items": {"type": "string"}}},
                    "required": ["of_each"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}
