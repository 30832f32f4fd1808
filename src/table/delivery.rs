//! How a table's records are delivered, as `tables.yaml` says.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Which field of a JSON object holds the record or the records, where the file does not show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Envelope {
    /// Every object is a record.
    Never,
    /// Every object holds its record, or its records, in this field.
    Field(String),
}

impl Serialize for Envelope {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Envelope::Never => s.serialize_bool(false),
            Envelope::Field(name) => s.serialize_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Envelope;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("false, or the name of the field that holds the record or the records")
            }
            fn visit_bool<E: serde::de::Error>(self, on: bool) -> Result<Envelope, E> {
                if on {
                    return Err(E::invalid_value(serde::de::Unexpected::Bool(on), &self));
                }
                Ok(Envelope::Never)
            }
            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Envelope, E> {
                if name.is_empty() {
                    return Err(E::invalid_value(serde::de::Unexpected::Str(name), &self));
                }
                Ok(Envelope::Field(name.to_owned()))
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl JsonSchema for Envelope {
    fn schema_name() -> Cow<'static, str> {
        "Envelope".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The field of a JSON object that holds the record or the records; `false` where every object is a record.",
            "anyOf": [{ "const": false }, { "type": "string", "minLength": 1 }],
        })
    }
}
