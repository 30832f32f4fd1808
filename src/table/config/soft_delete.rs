//! How a table deletes.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// Whether deletes mark rows, and in which column.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SoftDelete {
    /// Rows are removed.
    #[default]
    Off,
    /// Rows are marked in the column `deleted_at`.
    On,
    /// Rows are marked in this column.
    Column(String),
}

impl Serialize for SoftDelete {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            SoftDelete::Off => s.serialize_bool(false),
            SoftDelete::On => s.serialize_bool(true),
            SoftDelete::Column(name) => s.serialize_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for SoftDelete {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = SoftDelete;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or the name of a column")
            }
            fn visit_bool<E>(self, on: bool) -> Result<SoftDelete, E> {
                Ok(if on { SoftDelete::On } else { SoftDelete::Off })
            }
            fn visit_str<E>(self, column: &str) -> Result<SoftDelete, E> {
                Ok(SoftDelete::Column(column.to_owned()))
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl JsonSchema for SoftDelete {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SoftDelete".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "Whether deletes mark rows (in `deleted_at`, or in the column named) instead of removing them.",
            "type": ["boolean", "string"],
        })
    }
}

impl SoftDelete {
    /// The column that marks a deleted row.
    pub fn column(&self) -> Option<&str> {
        match self {
            SoftDelete::Off => None,
            SoftDelete::On => Some("deleted_at"),
            SoftDelete::Column(name) => Some(name),
        }
    }
}
