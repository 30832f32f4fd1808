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
}

/// `{where: {column: value}}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scope {
    #[serde(rename = "where", deserialize_with = "unique_map")]
    of: BTreeMap<String, String>,
}

impl Complete {
    /// Whether rows that a delivery does not bring stay.
    pub fn is_no(&self) -> bool {
        *self == Complete::No
    }

    /// The columns whose values say which rows a delivery is all of.
    pub fn columns(&self) -> impl Iterator<Item = &String> {
        let scope = match self {
            Complete::No | Complete::All => None,
            Complete::Where(scope) => Some(scope.keys()),
        };
        scope.into_iter().flatten()
    }
}

impl Serialize for Complete {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Complete::No => s.serialize_bool(false),
            Complete::All => s.serialize_bool(true),
            Complete::Where(of) => Scope { of: of.clone() }.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for Complete {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Complete;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or {where: {column: value}}")
            }
            fn visit_bool<E>(self, all: bool) -> Result<Complete, E> {
                Ok(if all { Complete::All } else { Complete::No })
            }
            fn visit_map<M: serde::de::MapAccess<'de>>(self, map: M) -> Result<Complete, M::Error> {
                let scope = Scope::deserialize(MapAccessDeserializer::new(map))?;
                if scope.of.is_empty() {
                    return Err(serde::de::Error::custom(
                        "`where` names no column; for all rows say `complete: true`",
                    ));
                }
                Ok(Complete::Where(scope.of))
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
            "description": "Whether a delivery is the whole truth of its table (`true`), or of the rows with these values in these columns (`{where: {site: LYN}}`): rows that it does not bring are deleted, and nulls empty their columns.",
            "oneOf": [
                {"type": "boolean"},
                {
                    "type": "object",
                    "properties": {"where": {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}}},
                    "required": ["where"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}
