//! The shape of `tables.yaml`: a map of tables, and what holds for all of them.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::TableConfig;
use crate::types::spelling::Spelling;

/// What stands in `tables.yaml`.
#[derive(Default)]
pub(super) struct File {
    pub(super) defaults: Spelling,
    pub(super) tables: BTreeMap<String, TableConfig>,
}

/// The key beside the tables' names that says what holds for all of them.
pub(super) const DEFAULTS: &str = "defaults";

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = File;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of tables")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<File, A::Error> {
                let mut seen = std::collections::BTreeSet::new();
                let mut file = File::default();
                while let Some(key) = map.next_key::<String>()? {
                    if !seen.insert(key.clone()) {
                        let twice = format_args!("the key `{key}` stands twice");
                        return Err(serde::de::Error::custom(twice));
                    }
                    if key == DEFAULTS {
                        file.defaults = map.next_value()?;
                    } else {
                        file.tables.insert(key, map.next_value()?);
                    }
                }
                Ok(file)
            }
        }
        d.deserialize_map(Visitor)
    }
}

impl JsonSchema for File {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "File".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "properties": { DEFAULTS: generator.subschema_for::<Spelling>() },
            "additionalProperties": generator.subschema_for::<TableConfig>(),
        })
    }
}

/// The JSON Schema of `tables.yaml`, as the text of a file.
pub fn json_schema() -> String {
    let mut schema = schemars::schema_for!(File);
    schema.insert("title".into(), "tables.yaml of the table loader".into());
    schema.insert(
        "description".into(),
        "What the loader knows about each table beyond what the database says.".into(),
    );
    format!("{:#}\n", schema.to_value())
}
