//! Where the records of a JSON file stand, as `tables.yaml` says.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Where the records of a JSON file stand, where they are not at its top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Records {
    /// In the array to which these names lead, from the top.
    At(Vec<String>),
    /// The file is an object of records, whose keys are put into this field.
    KeyInto(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keyed {
    key_into: String,
}

impl Serialize for Records {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Records::At(names) => s.collect_str(&Pointer(names)),
            Records::KeyInto(field) => s.collect_map([("key_into", field)]),
        }
    }
}

/// Names as a JSON pointer (RFC 6901).
pub struct Pointer<'a>(pub &'a [String]);

impl fmt::Display for Pointer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = self.0.iter();
        names.try_for_each(|name| write!(f, "/{}", name.replace('~', "~0").replace('/', "~1")))
    }
}

impl<'de> Deserialize<'de> for Records {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Records;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON pointer such as /result/items, or {key_into: FIELD}")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Records, E> {
                let Some(names) = text.strip_prefix('/') else {
                    return Err(E::custom(format_args!(
                        "{text:?} is not a JSON pointer: it begins with a slash, as /result/items"
                    )));
                };
                let name = |name: &str| name.replace("~1", "/").replace("~0", "~");
                Ok(Records::At(names.split('/').map(name).collect()))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Records, A::Error> {
                let keyed = Keyed::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(Records::KeyInto(keyed.key_into))
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl JsonSchema for Records {
    fn schema_name() -> Cow<'static, str> {
        "Records".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where the records of a JSON file stand: a JSON pointer to their array, or the field into which the keys of an object of records are put.",
            "anyOf": [
                { "type": "string", "pattern": "^/" },
                {
                    "type": "object",
                    "properties": { "key_into": { "type": "string" } },
                    "required": ["key_into"],
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
    fn a_pointer_is_written_as_it_was_read() {
        for text in ["/items", "/a~1b/c~0d", "/"] {
            let records: Records = serde_yaml::from_str(text).unwrap();
            assert_eq!(serde_json::to_value(&records).unwrap(), text);
        }
        let keyed: Records = serde_yaml::from_str("{key_into: code}").unwrap();
        assert_eq!(keyed, Records::KeyInto("code".into()));
        let json = serde_json::to_string(&keyed).unwrap();
        assert_eq!(json, r#"{"key_into":"code"}"#);
        assert_eq!(serde_json::from_str::<Records>(&json).unwrap(), keyed);
    }
}
