//! One object whose whole text is there: its fields, and what holds its record.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::text::{Wrong, wrong};
use crate::record::{Columns, MOST_FIELDS, Provenance, Value};
use crate::table::delivery::Envelope;

/// Decoded names with their values, in the order of delivery.
pub(super) type Fields<'t> = Vec<(Cow<'t, str>, Value<'t>)>;

/// The fields of the object that is `text`, each once; `width` is a guess at their number.
pub(super) fn fields(text: &str, width: usize) -> Result<Fields<'_>, Wrong> {
    let mut json = serde_json::Deserializer::from_str(text);
    let fields = json.deserialize_map(Members { width });
    let fields = fields.map_err(|error| wrong(text.as_bytes(), &error))?;
    let mut order: Vec<_> = fields.iter().collect();
    order.sort_by_key(|(name, _)| (name.len(), name));
    match order.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        None => Ok(fields),
        Some(pair) => Err(Wrong {
            at: place(text, &pair[1].1),
            message: format!("the field {:?} is given twice", pair[1].0),
        }),
    }
}

/// Where `value`, a part of `text`, begins in it.
fn place(text: &str, value: &Value<'_>) -> usize {
    match value {
        Value::Json(value) | Value::Cell(value) | Value::Number(value) | Value::Moment(value) => {
            value.as_ptr().addr() - text.as_ptr().addr()
        }
        Value::Blank => 0,
    }
}

struct Members {
    width: usize,
}

impl<'t> Visitor<'t> for Members {
    type Value = Fields<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Fields<'t>, A::Error> {
        let mut fields = Vec::with_capacity(self.width);
        while let Some(name) = map.next_key_seed(Name)? {
            if fields.len() == MOST_FIELDS {
                return Err(A::Error::custom(format_args!(
                    "an object of more than {MOST_FIELDS} fields"
                )));
            }
            fields.push((name, Value::Json(map.next_value::<&RawValue>()?.get())));
        }
        Ok(fields)
    }
}

struct Name;

impl<'t> DeserializeSeed<'t> for Name {
    type Value = Cow<'t, str>;

    fn deserialize<D: Deserializer<'t>>(self, json: D) -> Result<Cow<'t, str>, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'t> Visitor<'t> for Name {
    type Value = Cow<'t, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'t str) -> Result<Cow<'t, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Cow<'t, str>, E> {
        if name.contains('\0') {
            return Err(E::custom("U+0000 in a name"));
        }
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// How an object holds records. The objects of one file do so alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// It is one.
    Record,
    /// One, in the field of that name.
    One(String),
    /// A list of them, in the field of that name.
    Many(String),
}

impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record => f.write_str("a record"),
            Self::One(name) => write!(f, "an envelope with a record in `{name}`"),
            Self::Many(name) => write!(f, "an envelope with records in `{name}`"),
        }
    }
}

/// What is known about the envelopes of a table's deliveries.
#[derive(Clone, Copy)]
pub(super) struct Envelopes<'a> {
    pub(super) set: Option<&'a Envelope>,
    pub(super) columns: Columns<'a>,
}

impl<'a> Envelopes<'a> {
    /// The name of a field whose array may be records: where there is none, or the table has such
    /// a column, an object is never too long to be seen as a whole.
    pub(super) fn list(&self) -> Option<&'a str> {
        match self.set {
            Some(Envelope::Never) => None,
            Some(Envelope::Field(name)) => Some(name),
            None => (!self.columns.contains("records")).then_some("records"),
        }
    }

    /// How an object with these fields holds records.
    pub(super) fn holds(&self, fields: &Fields<'_>) -> Result<Holds, String> {
        let begins = |wanted: &str, with: char| {
            let mut found = fields.iter().filter(|(name, _)| name == wanted);
            found.any(|(_, value)| matches!(value, Value::Json(text) if text.starts_with(with)))
        };
        if let Some(Envelope::Field(name)) = self.set {
            return if begins(name, '{') {
                Ok(Holds::One(name.clone()))
            } else if begins(name, '[') {
                Ok(Holds::Many(name.clone()))
            } else {
                Err(format!(
                    "no object and no array in a field `{name}`, in which tables.yaml says (`envelope`) that records stand"
                ))
            };
        }
        // Where the record's own fields stand beside it, it is none.
        let clear = |held: &str| {
            let mut beside = fields.iter().filter(|(name, _)| name != held);
            !beside.any(|(name, _)| self.columns.contains(name))
        };
        let may = self.set.is_none() && !self.columns.contains("data");
        let one = may && begins("data", '{');
        let many = self.list().is_some() && begins("records", '[');
        match (one, many) {
            (true, _) if fields.iter().any(|(name, _)| name == "records") => Err(BOTH.to_owned()),
            (_, true) if may && begins("data", '[') && clear("records") => Err(BOTH.to_owned()),
            (true, _) if clear("data") => Ok(Holds::One("data".to_owned())),
            (_, true) if clear("records") => Ok(Holds::Many("records".to_owned())),
            _ => Ok(Holds::Record),
        }
    }
}

const BOTH: &str = "`data` and `records` in one object: which of them holds the records is not clear; \
     say so in tables.yaml (`envelope`)";

/// What an envelope with these fields says beside its records.
pub(super) fn provenance(fields: &Fields<'_>) -> Result<Provenance, String> {
    let mut provenance = Provenance::default();
    for (name, value) in fields {
        let slot = match name.as_ref() {
            "fragment_id" => &mut provenance.fragment_id,
            "table_name" => &mut provenance.table_name,
            "batch_id" => &mut provenance.batch_id,
            "extracted_at" => &mut provenance.extracted_at,
            "op" => &mut provenance.op,
            _ => continue,
        };
        let Value::Json(raw) = value else { continue };
        // What is no time is said to be none, and stands in nobody's way.
        if name == "extracted_at" && *raw != "null" {
            let text = serde_json::from_str(raw);
            *slot = Some(text.unwrap_or_else(|_| (*raw).to_owned()));
            continue;
        }
        *slot = match raw.as_bytes().first() {
            Some(b'n') => None,
            Some(b'"') => {
                let text = serde_json::from_str(raw);
                Some(text.map_err(|_| format!("the envelope's {name} is no text"))?)
            }
            Some(b'{' | b'[') => {
                return Err(format!("the envelope's {name} is not a single value"));
            }
            _ => Some((*raw).to_owned()),
        };
    }
    Ok(provenance)
}
