//! Any spelling of a plan file, decoded as one stream.

use std::fmt;
use std::io::Read;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::line::EntryLine;
use super::seal::Seal;
use super::{FORMAT, Sections, plan_hash};
use crate::error::{Error, Result};
use crate::plan::{Entry, Fragment, Header};

/// What a plan streams.
pub enum Item {
    /// One object that was read.
    Fragment(Fragment),
    /// One change, skip or violation.
    Entry(Entry),
}

/// What a file says, but for its fragments and entries.
pub(super) struct Parsed {
    pub(super) header: Header,
    pub(super) stated_hash: String,
    /// Of what stands in the file; where values are encrypted, not that of the values.
    pub(super) hash: String,
    pub(super) notes: Option<Box<RawValue>>,
    pub(super) sections: Sections,
    pub(super) seal: Option<Seal>,
    /// The digest of what is sealed.
    sealed: Vec<u8>,
}

impl Parsed {
    /// The hash that the file states of what it shows, and the one that it has.
    pub(super) fn hashes(&self) -> (&str, String) {
        match &self.seal {
            None => (&self.stated_hash, self.hash.clone()),
            Some(seal) => (
                &seal.masked_hash,
                seal.hash(&self.stated_hash, &self.hash, &self.sealed),
            ),
        }
    }
}

/// Decodes what `reader` gives, fragments and entries to `sink`, what is sealed to `sealed`.
pub(super) fn parse_from(
    mut reader: impl Read,
    name: &str,
    sink: &mut dyn FnMut(Item) -> Result<()>,
    sealed: &mut dyn FnMut(&str) -> Result<(), String>,
) -> Result<Parsed> {
    let mut begin = Vec::new();
    let read = reader.by_ref().take(3).read_to_end(&mut begin);
    read.map_err(|e| Error::local(format!("{name}: cannot read the plan")).caused_by(e))?;
    if begin.starts_with(&[0xff, 0xfe])
        || begin.starts_with(&[0xfe, 0xff])
        || begin == *b"\xef\xbb\xbf"
    {
        return Err(Error::plan_refused(format!(
            "{name}: it begins with a byte order mark, so that it is not as the loader wrote it; > in PowerShell does \
             that: write the plan with --out FILE"
        )));
    }
    let reader = begin.as_slice().chain(reader);
    let mut from_sink = None;
    let mut de = serde_json::Deserializer::from_reader(reader);
    let top = Top {
        sink: &mut |item| {
            sink(item).map_err(|e| {
                from_sink = Some(e);
                "stopped"
            })
        },
        sealed,
    };
    let parsed = de.deserialize_map(top).and_then(|p| de.end().map(|()| p));
    match (from_sink, parsed) {
        (Some(e), _) => Err(e),
        (None, Ok(parsed)) => Ok(parsed),
        (None, Err(e)) if e.is_io() => {
            Err(Error::local(format!("{name}: cannot read the plan")).caused_by(e))
        }
        (None, Err(e)) => Err(Error::plan_refused(format!(
            "{name}: not a plan that this version reads: {}; make a new plan",
            crate::text::escape(&e.to_string())
        ))),
    }
}

type Sink<'a> = &'a mut dyn FnMut(Item) -> Result<(), &'static str>;

struct Top<'a> {
    sink: Sink<'a>,
    sealed: &'a mut dyn FnMut(&str) -> Result<(), String>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Format,
    PlanHash,
    MaskedHash,
    Recipients,
    Header,
    Fragments,
    Changes,
    Sealed,
    Notes,
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = Parsed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plan")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parsed, A::Error> {
        fn once<T, E: serde::de::Error>(
            slot: &mut Option<T>,
            name: &'static str,
            value: T,
        ) -> Result<(), E> {
            match slot.replace(value) {
                None => Ok(()),
                Some(_) => Err(E::duplicate_field(name)),
            }
        }
        fn need<T, E: serde::de::Error>(slot: Option<T>, name: &'static str) -> Result<T, E> {
            slot.ok_or_else(|| E::missing_field(name))
        }
        let (mut format, mut hash, mut header, mut notes) = (None, None, None, None);
        let (mut fragments, mut changes, mut sealed) = (None, None, None);
        let (mut masked, mut recipients) = (None, None);
        while let Some(field) = map.next_key::<Field>()? {
            match field {
                Field::Format => {
                    let found: String = map.next_value()?;
                    if found != FORMAT {
                        return Err(A::Error::custom(other_format(&found)));
                    }
                    once(&mut format, "format", found)?;
                }
                Field::PlanHash => once::<String, _>(&mut hash, "plan_hash", map.next_value()?)?,
                Field::MaskedHash => {
                    once::<String, _>(&mut masked, "masked_hash", map.next_value()?)?;
                }
                Field::Recipients => {
                    once::<Vec<String>, _>(&mut recipients, "recipients", map.next_value()?)?;
                }
                Field::Header => once::<Header, _>(&mut header, "header", map.next_value()?)?,
                Field::Fragments => {
                    let sink = &mut *self.sink;
                    let digest = map.next_value_seed(Section(&mut |line: Fragment, h| {
                        hash_line(h, &line)?;
                        sink(Item::Fragment(line)).map_err(str::to_owned)
                    }))?;
                    once(&mut fragments, "fragments", digest)?;
                }
                Field::Changes => {
                    let sink = &mut *self.sink;
                    let digest = map.next_value_seed(Section(&mut |line: EntryLine, h| {
                        hash_line(h, &line)?;
                        sink(Item::Entry(Entry::try_from(line)?)).map_err(str::to_owned)
                    }))?;
                    once(&mut changes, "changes", digest)?;
                }
                Field::Sealed => {
                    let sink = &mut *self.sealed;
                    let digest = map.next_value_seed(Section(&mut |line: String, h| {
                        hash_line(h, &line)?;
                        sink(&line)
                    }))?;
                    once(&mut sealed, "sealed", digest)?;
                }
                Field::Notes => once::<Box<RawValue>, _>(&mut notes, "notes", map.next_value()?)?,
            }
        }
        need(format, "format")?;
        let header: Header = need(header, "header")?;
        let sections = Sections {
            fragments: need::<Sha256, _>(fragments, "fragments")?
                .finalize()
                .to_vec(),
            changes: need::<Sha256, _>(changes, "changes")?.finalize().to_vec(),
        };
        let stated_hash = need(hash, "plan_hash")?;
        let hash = plan_hash(&header, &sections).map_err(A::Error::custom)?;
        let seal = match (masked, recipients, sealed.is_some()) {
            (None, None, false) => None,
            (Some(_), Some(_), true) if header.salt.is_some() => {
                return Err(A::Error::custom(
                    "a plan with \"sealed\" shows its \"salt\"",
                ));
            }
            // Nobody who has no key can verify these: they must at least look like what they are.
            (Some(_), Some(recipients), true)
                if !is_hash(&stated_hash) || !recipients.iter().all(|r| is_recipient(r)) =>
            {
                return Err(A::Error::custom("its hash or its recipients are none"));
            }
            (Some(masked_hash), Some(recipients), true) => Some(Seal {
                masked_hash,
                recipients,
            }),
            _ => {
                return Err(A::Error::custom(
                    "of \"masked_hash\", \"recipients\" and \"sealed\" one is missing",
                ));
            }
        };
        Ok(Parsed {
            header,
            stated_hash,
            hash,
            notes,
            sections,
            seal,
            sealed: sealed.map(|h| h.finalize().to_vec()).unwrap_or_default(),
        })
    }
}

/// Why a file of this format is not read. Every version reads what any earlier one wrote.
fn other_format(found: &str) -> String {
    if found.starts_with("table-loader-plan/") {
        return format!(
            "its format is \"{found}\", and this version reads \"{FORMAT}\": use the newer version of loader that \
             wrote it"
        );
    }
    if found == crate::plan::review::FORMAT {
        return "it is no plan but what a reviewer decided: use the plan, or plan again with --decisions and this file"
            .into();
    }
    if found.starts_with("table-loader-") {
        return format!(
            "it is no plan but what `loader show --format json` writes (\"{found}\"): use the plan itself"
        );
    }
    format!("its format, \"{found}\", is no plan of a loader")
}

fn is_hash(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_recipient(text: &str) -> bool {
    let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.starts_with("age1") && text.len() < 100 && text.bytes().all(letters)
}

fn hash_line(hasher: &mut Sha256, line: &impl serde::Serialize) -> Result<(), String> {
    let mut bytes = serde_json::to_vec(line).map_err(|e| e.to_string())?;
    bytes.push(b'\n');
    hasher.update(&bytes);
    Ok(())
}

/// A list of which one item is in memory at a time; returns the digest of its canonical lines.
struct Section<'a, T>(&'a mut dyn FnMut(T, &mut Sha256) -> Result<(), String>);

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Section<'_, T> {
    type Value = Sha256;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Sha256, D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Section<'_, T> {
    type Value = Sha256;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Sha256, A::Error> {
        let mut hasher = Sha256::new();
        while let Some(item) = seq.next_element()? {
            (self.0)(item, &mut hasher).map_err(A::Error::custom)?;
        }
        Ok(hasher)
    }
}
