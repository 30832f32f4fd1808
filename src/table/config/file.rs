//! The shape of `tables.yaml`: a map of tables, and what holds for all of them.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::TableConfig;

/// What stands in `tables.yaml`.
#[derive(Default)]
pub(super) struct File {
    /// What holds for all tables.
    pub(super) defaults: Option<TableConfig>,
    pub(super) tables: BTreeMap<String, TableConfig>,
}

/// What each part of the file says, by name.
pub(super) type Said = BTreeMap<String, BTreeMap<String, IgnoredAny>>;

/// What each table says for itself alone.
pub(super) const OWN: [&str; 5] = [
    "natural_key",
    "depends_on",
    "references",
    "columns",
    "spelling",
];

/// `table`, and what `defaults` say where it does not; `own` are the settings that it says itself, `of_all`
/// those that they say.
///
/// # Errors
/// Where one of them cannot be written down and read again.
pub(super) fn with_defaults<'s>(
    table: &TableConfig,
    own: &BTreeMap<String, IgnoredAny>,
    defaults: &TableConfig,
    of_all: impl Iterator<Item = &'s String>,
) -> serde_json::Result<TableConfig> {
    let (mut table, defaults) = (
        serde_json::to_value(table)?,
        serde_json::to_value(defaults)?,
    );
    for setting in of_all.filter(|setting| !own.contains_key(*setting)) {
        // What is as it is without a word is not written down.
        match (table.as_object_mut(), defaults.get(setting)) {
            (Some(table), Some(value)) => drop(table.insert(setting.clone(), value.clone())),
            (Some(table), None) => drop(table.remove(setting)),
            (None, _) => {}
        }
    }
    serde_json::from_value(table)
}

/// The key beside the tables' names that says what holds for all of them.
pub const DEFAULTS: &str = "defaults";

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
                        file.defaults = Some(map.next_value()?);
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
        let mut defaults = TableConfig::json_schema(generator).to_value();
        defaults["description"] =
            "What holds for all tables, where they do not say otherwise.".into();
        if let Some(fields) = defaults.as_object_mut() {
            fields.remove("required");
        }
        for own in OWN {
            if let Some(properties) = defaults["properties"].as_object_mut() {
                properties.remove(own);
            }
        }
        json_schema!({
            "type": "object",
            "properties": { DEFAULTS: defaults },
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
