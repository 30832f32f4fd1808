//! JSON of which nothing is lost: maps in which a repeated key is an error, where serde's own keep the last one
//! silently, and numbers with all their digits.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The text of a single value, `None` for null: of a number or a boolean as it is written. Outside, `None` for an array
/// and an object.
pub fn scalar(value: &RawValue) -> Option<Option<String>> {
    let raw = value.get();
    match raw.as_bytes().first() {
        Some(b'[' | b'{') => None,
        Some(b'"') => serde_json::from_str(raw).ok(),
        Some(b'n') => Some(None),
        _ => Some(Some(raw.to_owned())),
    }
}

/// Deserializes a map, refusing a repeated key by name.
pub fn unique_map<'de, D, V>(d: D) -> Result<BTreeMap<String, V>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    struct Unique<V>(PhantomData<V>);
    impl<'de, V: Deserialize<'de>> Visitor<'de> for Unique<V> {
        type Value = BTreeMap<String, V>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some(key) = access.next_key::<String>()? {
                if map.contains_key(&key) {
                    return Err(A::Error::custom(format_args!(
                        "the key `{key}` stands twice"
                    )));
                }
                let value = access.next_value()?;
                map.insert(key, value);
            }
            Ok(map)
        }
    }
    d.deserialize_map(Unique(PhantomData))
}
