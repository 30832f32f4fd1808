//! How `tables.yaml` says that a column is looked up by a key of the table to which it refers.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Serialize};

use crate::strict::unique_map;

/// A column that records do not bring: it is looked up by a key of the table to which it refers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The table to which the column refers.
    pub table: String,
    /// The columns of that table's key, each with the field that brings its value, or with a reference
    /// where it refers to a table itself.
    #[serde(deserialize_with = "unique_map")]
    #[schemars(extend("minProperties" = 1))]
    pub by: BTreeMap<String, By>,
}

/// Where the value of a column comes from by which is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// From this field of the record.
    Field(String),
    /// It is looked up itself.
    Reference(Reference),
}

impl Reference {
    /// The fields of a record by which is looked up.
    pub fn fields(&self) -> BTreeSet<&str> {
        let mut fields = BTreeSet::new();
        for by in self.by.values() {
            match by {
                By::Field(field) => drop(fields.insert(field.as_str())),
                By::Reference(reference) => fields.extend(reference.fields()),
            }
        }
        fields
    }

    /// The tables in which is looked up.
    pub fn tables(&self) -> BTreeSet<&str> {
        let mut tables = BTreeSet::from([self.table.as_str()]);
        for by in self.by.values() {
            if let By::Reference(reference) = by {
                tables.extend(reference.tables());
            }
        }
        tables
    }

    /// Whether one of the columns by which is looked up `is` so, of its table.
    pub fn any(&self, is: &impl Fn(&str, &str) -> bool) -> bool {
        self.by.iter().any(|(column, by)| {
            is(&self.table, column) || matches!(by, By::Reference(inner) if inner.any(is))
        })
    }
}

impl Serialize for By {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            By::Field(field) => s.serialize_str(field),
            By::Reference(reference) => reference.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<By, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = By;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field, or a reference with `table` and `by`")
            }
            fn visit_str<E: serde::de::Error>(self, field: &str) -> Result<By, E> {
                if field.is_empty() {
                    return Err(E::invalid_value(serde::de::Unexpected::Str(field), &self));
                }
                Ok(By::Field(field.to_owned()))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<By, A::Error> {
                Reference::deserialize(MapAccessDeserializer::new(map)).map(By::Reference)
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl JsonSchema for By {
    fn schema_name() -> Cow<'static, str> {
        "By".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The field that brings the value, or a reference where the column refers to a table itself.",
            "anyOf": [{ "type": "string", "minLength": 1 }, generator.subschema_for::<Reference>()],
        })
    }
}
