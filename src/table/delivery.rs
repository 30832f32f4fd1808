//! How a table's records are delivered, as `tables.yaml` says.

mod records;

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub use records::{Pointer, Records};

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

/// How files of delimited values are written, where it is not as RFC 4180 says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Csv {
    /// What stands between two cells; a comma, and in `.tsv` files a tab, without this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "char")]
    pub delimiter: Option<Sign>,
    /// What stands around a cell; `false` where quotes are as good as letters.
    #[serde(skip_serializing_if = "Quote::is_double")]
    pub quote: Quote,
    /// What stands before a quote, or before itself, within a quoted cell; without this, a quote within one is doubled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "char")]
    pub escape: Option<Sign>,
    /// The encoding's name in the Encoding Standard; `utf-8` without this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub encoding: Option<Encoding>,
    /// The names of the columns, for files without a header.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub header: Vec<String>,
    /// Lines above the header, which are not read.
    #[serde(skip_serializing_if = "is_zero")]
    pub skip: u64,
    /// What lines begin with that are not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub comment: Option<String>,
    /// Which empty cells are the empty text and not null.
    #[serde(skip_serializing_if = "Empty::is_null")]
    pub empty: Empty,
    /// Other endings of such files' names, beside `.csv` and `.tsv`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<String>,
}

impl Csv {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Csv::default()
    }

    /// A setting by which rows of records would be read as something else, and why.
    pub fn contradiction(&self) -> Option<(&'static str, String)> {
        let delimiter = self.delimiter.unwrap_or(Sign::COMMA);
        let quote = match self.quote {
            Quote::Sign(quote) => Some(quote),
            Quote::Never => None,
        };
        if quote == Some(delimiter) {
            return Some(("quote", "is what stands between cells".to_owned()));
        }
        if self.escape == Some(delimiter) {
            return Some(("escape", "is what stands between cells".to_owned()));
        }
        let comment = self.comment.as_deref()?;
        let begins = |sign: Sign| comment.as_bytes().first() == Some(&sign.byte());
        let of_rows = if comment.is_empty() {
            "every row"
        } else if begins(delimiter) {
            "a row whose first cell is empty"
        } else if quote.is_some_and(begins) {
            "a row whose first cell is quoted"
        } else {
            return None;
        };
        let why =
            format!("is {comment:?}, with which {of_rows} begins, so that records would be lost");
        Some(("comment", why))
    }
}

/// Where records stand in an Excel workbook.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Excel {
    /// The sheet's name; without this, the only one that has cells.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub sheet: Option<String>,
    /// Rows above the header, which are not read.
    #[serde(skip_serializing_if = "is_zero")]
    pub skip: u64,
    /// The names of the columns from A on, for sheets without a header.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub header: Vec<String>,
}

impl Excel {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Excel::default()
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Which empty cells are the empty text; the others are null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Empty {
    /// None: each is null.
    #[default]
    Null,
    /// Those in quotes.
    Quoted,
    /// All.
    Text,
}

impl Empty {
    fn is_null(&self) -> bool {
        *self == Empty::Null
    }
}

/// One character with a meaning in delimited values: ASCII, and no letter, digit or line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sign(u8);

impl Sign {
    /// A comma.
    pub const COMMA: Sign = Sign(b',');
    /// A semicolon.
    pub const SEMICOLON: Sign = Sign(b';');
    /// A tab.
    pub const TAB: Sign = Sign(b'\t');

    /// The character as a byte.
    pub fn byte(self) -> u8 {
        self.0
    }
}

impl Serialize for Sign {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_char(char::from(self.0))
    }
}

impl<'de> Deserialize<'de> for Sign {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        match text.as_bytes() {
            [b] if b.is_ascii()
                && !b.is_ascii_alphanumeric()
                && !matches!(b, b'\n' | b'\r' | 0) =>
            {
                Ok(Sign(*b))
            }
            _ => Err(serde::de::Error::custom(format!(
                "{text:?} is not one ASCII character that is no letter, digit or line end"
            ))),
        }
    }
}

/// What stands around cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quote {
    /// Nothing.
    Never,
    /// This character.
    Sign(Sign),
}

impl Default for Quote {
    fn default() -> Self {
        Quote::Sign(Sign(b'"'))
    }
}

impl Quote {
    fn is_double(&self) -> bool {
        *self == Quote::default()
    }
}

impl Serialize for Quote {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Quote::Never => s.serialize_bool(false),
            Quote::Sign(sign) => sign.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for Quote {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Quote;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("false, or the character that stands around cells")
            }
            fn visit_bool<E: serde::de::Error>(self, on: bool) -> Result<Quote, E> {
                if on {
                    return Err(E::invalid_value(serde::de::Unexpected::Bool(on), &self));
                }
                Ok(Quote::Never)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Quote, E> {
                Sign::deserialize(serde::de::value::StrDeserializer::new(text)).map(Quote::Sign)
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl JsonSchema for Quote {
    fn schema_name() -> Cow<'static, str> {
        "Quote".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What stands around a cell; `false` where quotes are as good as letters.",
            "anyOf": [{ "const": false }, { "type": "string", "minLength": 1, "maxLength": 1 }],
        })
    }
}

/// An encoding of the Encoding Standard (<https://encoding.spec.whatwg.org>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding(pub &'static encoding_rs::Encoding);

impl Serialize for Encoding {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0.name().to_ascii_lowercase())
    }
}

impl<'de> Deserialize<'de> for Encoding {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let label = String::deserialize(d)?;
        let known = match label.to_ascii_lowercase().as_str() {
            "latin-1" => Some(encoding_rs::WINDOWS_1252),
            other => encoding_rs::Encoding::for_label_no_replacement(other.as_bytes()),
        };
        known.map(Encoding).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "{label:?} is not an encoding: known are utf-8, utf-16le, utf-16be, latin-1, windows-1252 and the \
                 others of https://encoding.spec.whatwg.org"
            ))
        })
    }
}
