//! The file's JSON Schema, from its types.

use schemars::JsonSchema;

use super::line::EntryLine;
use super::{FORMAT, Notes};
use crate::plan::{Fragment, Header};

/// A file as a whole, which no reader has in memory.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "it is there for its schema")]
struct File {
    /// The format's name.
    format: String,
    /// SHA-256 over what header, fragments and changes say, `sha256:…`; where values are encrypted,
    /// over the plain ones.
    plan_hash: String,
    /// Where values are encrypted: the hash of what is seen and of what is sealed.
    masked_hash: Option<String>,
    /// Where values are encrypted: the public keys of those who may see them.
    recipients: Option<Vec<String>>,
    /// Outside the hash: what nobody approves, and apply ignores.
    notes: Option<Notes>,
    header: Header,
    /// The objects that were read.
    fragments: Vec<Fragment>,
    /// Changes, skips and violations: tables in their order, then by natural key.
    changes: Vec<EntryLine>,
    /// The whole plan, encrypted: an age file as lines of base64.
    sealed: Option<Vec<String>>,
}

/// The JSON Schema of a plan file, as the text of a file.
pub fn json_schema() -> String {
    let mut schema = schemars::schema_for!(File);
    schema.insert("title".into(), "a plan of the table loader".into());
    schema.insert(
        "description".into(),
        format!("What a batch would change, as {FORMAT}. Approved is its hash, and applied exactly what it says.")
            .into(),
    );
    if let Some(format) = schema.pointer_mut("/properties/format") {
        format["const"] = FORMAT.into();
    }
    format!("{:#}\n", schema.to_value())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_json_schema_in_the_repository_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/plan.schema.json");
        let made = super::json_schema();
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == made,
            "plan.schema.json is old: UPDATE_SCHEMA=1 cargo test --lib json_schema"
        );
    }
}
