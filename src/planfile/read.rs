//! Reading: the only way to a plan is through its verification.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::seal::Seal;
use super::{EntryLine, FORMAT, Sections, plan_hash, quick};
use crate::error::{Error, Result};
use crate::plan::masking::Mask;
use crate::plan::{Counts, Effect, Entry, Fragment, Header, Kind, TablePlan, TargetDatabase, What};

/// A plan file whose hash was found right. It stays open, so that nobody can exchange it.
///
/// Where its sensitive values are encrypted and it was not opened with an identity, it has
/// stand-ins in their place; the hash that was found right then is that of the file as it is seen.
#[derive(Debug)]
pub struct PlanFile {
    pub(super) file: File,
    pub(super) name: String,
    /// Everything but fragments and entries.
    pub header: Header,
    /// Its hash, `sha256:…`.
    pub hash: String,
    /// What stands beside it, as JSON: outside the hash, so that nobody vouches for it.
    pub notes: Option<Box<RawValue>>,
    /// Where its sensitive values are encrypted, also where it was opened: the hash of the file as
    /// everybody sees it.
    pub masked_hash: Option<String>,
    pub(super) sections: Sections,
    pub(super) salt: Option<String>,
    /// Of a plan that was not opened.
    pub(super) seal: Option<Seal>,
    /// Whether it stands in the file as it was written.
    pub(super) as_written: bool,
}

/// A plan that nothing in it stands against: the only thing apply takes.
#[derive(Debug)]
pub struct Executable(PlanFile);

impl PlanFile {
    /// The plan in the file `path`, verified as a whole; `-` is standard input.
    ///
    /// # Errors
    /// [`PlanRefused`](crate::ErrorKind::PlanRefused) where it is not a plan, of another version, or was changed;
    /// [`Io`](crate::ErrorKind::Io) where it cannot be read.
    pub fn open(path: &Path) -> Result<PlanFile> {
        let (file, name) = PlanFile::file(path)?;
        PlanFile::verify(file, name)
    }

    /// As [`PlanFile::open`], and gives every fragment and entry to `sink` in the same pass. What
    /// `sink` took is not verified, and must not be used, before this has returned a plan.
    ///
    /// # Errors
    /// As [`PlanFile::open`].
    pub fn open_with(path: &Path, sink: &mut dyn FnMut(Item)) -> Result<PlanFile> {
        let (file, name) = PlanFile::file(path)?;
        PlanFile::verify_with(file, name, sink)
    }

    /// The open file and its name.
    fn file(path: &Path) -> Result<(File, String)> {
        let name = path.display().to_string();
        let cannot = |e: std::io::Error| Error::io(format_args!("{name}: cannot read the plan"), e);
        let file = if name == "-" {
            let mut spool = tempfile::tempfile().map_err(cannot)?;
            std::io::copy(&mut std::io::stdin().lock(), &mut spool).map_err(cannot)?;
            spool
        } else {
            let mut file = File::open(path).map_err(cannot)?;
            if file.metadata().map_err(cannot)?.is_file() {
                file
            } else {
                let mut spool = tempfile::tempfile().map_err(cannot)?;
                std::io::copy(&mut file, &mut spool).map_err(cannot)?;
                spool
            }
        };
        Ok((file, name))
    }

    /// The plan in `file`, verified as a whole; `name` is for messages.
    ///
    /// # Errors
    /// As [`PlanFile::open`].
    pub fn verify(file: File, name: String) -> Result<PlanFile> {
        if let Some(read) = quick::verified(&file) {
            return Ok(PlanFile {
                file,
                name,
                header: read.header,
                hash: read.hash,
                notes: read.notes,
                masked_hash: None,
                sections: read.sections,
                salt: read.salt,
                seal: None,
                as_written: true,
            });
        }
        PlanFile::verify_with(file, name, &mut |_| {})
    }

    fn verify_with(file: File, name: String, sink: &mut dyn FnMut(Item)) -> Result<PlanFile> {
        let mut counted = Counted::default();
        let mut count = |item| {
            if let Item::Entry(entry) = &item {
                counted.add(entry);
            }
            sink(item);
            Ok(())
        };
        let read = parse(&file, &name, &mut count, &mut |_| Ok(()))?;
        let (stated, found) = read.hashes();
        if stated != found {
            return Err(Error::plan_refused(format!(
                "{name}: the plan was changed after it was made: it says {stated}, and its content has \
                 {found}; make a new plan and have that reviewed"
            )));
        }
        if !counted.agrees(&read.header) {
            return Err(Error::plan_refused(format!(
                "{name}: the plan's summary does not agree with its entries; make a new plan"
            )));
        }
        Ok(PlanFile {
            file,
            name,
            masked_hash: read.seal.as_ref().map(|s| s.masked_hash.clone()),
            hash: match &read.seal {
                Some(_) => read.stated_hash,
                None => read.hash,
            },
            header: read.header,
            notes: read.notes,
            sections: read.sections,
            salt: read.salt,
            seal: read.seal,
            as_written: false,
        })
    }

    /// What hides the values of this plan's sensitive columns from people. Its key cannot be had
    /// without the values.
    pub fn mask(&self) -> Mask {
        let tables = self.header.tables.iter();
        let tables = tables.map(|t| (t.table.as_str(), &t.config));
        match (&self.seal, &self.salt) {
            (Some(_), _) => Mask::of_file(tables),
            (None, Some(salt)) => Mask::new(salt.as_bytes(), tables),
            (None, None) => Mask::new(&self.sections.changes, tables),
        }
    }

    /// What it is called in messages: the file's path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its hash has something in it that nobody can guess, as that of a sealed plan has.
    pub fn is_salted(&self) -> bool {
        self.salt.is_some()
    }

    /// For whom its sensitive values are encrypted, where they are and it was not opened.
    pub fn sealed_for(&self) -> Option<&[String]> {
        self.seal.as_ref().map(|s| s.recipients.as_slice())
    }

    /// The hash that names what was verified, and which an approval is given for.
    pub fn verified_hash(&self) -> &str {
        match &self.seal {
            Some(seal) => &seal.masked_hash,
            None => &self.hash,
        }
    }

    /// Whether an approval of `hash` is one of this plan: its own hash, or that of the file as who
    /// reviewed it saw it.
    pub fn is_named(&self, hash: &str) -> bool {
        [Some(&self.hash), self.masked_hash.as_ref()]
            .into_iter()
            .flatten()
            .any(|own| own == hash || own.strip_prefix("sha256:") == Some(hash))
    }

    /// Gives every fragment and entry to `sink`, in order, and fails at the end if the file is
    /// not what was verified.
    ///
    /// # Errors
    /// [`PlanRefused`](crate::ErrorKind::PlanRefused) where the file changed since, and whatever `sink` returns.
    pub fn stream(&self, sink: &mut dyn FnMut(Item) -> Result<()>) -> Result<()> {
        let same = match self.as_written {
            true => quick::stream(&self.file, &self.hash, sink)?.is_some(),
            false => return self.read_again(sink, &mut |_| Ok(())),
        };
        self.unchanged(same)
    }

    /// As [`PlanFile::stream`], with the lines of what is sealed.
    pub(super) fn read_again(
        &self,
        sink: &mut dyn FnMut(Item) -> Result<()>,
        sealed: &mut dyn FnMut(&str) -> Result<(), String>,
    ) -> Result<()> {
        let read = parse(&self.file, &self.name, sink, sealed)?;
        self.unchanged(read.hashes().1 == self.verified_hash())
    }

    fn unchanged(&self, same: bool) -> Result<()> {
        if !same {
            return Err(Error::plan_refused(format!(
                "{}: the plan was changed while it was being used; nothing was written",
                self.name
            )));
        }
        Ok(())
    }

    /// The plan as one that may be applied.
    ///
    /// # Errors
    /// [`Blocked`](crate::ErrorKind::Blocked) where violations or limits stand against it; [`PlanRefused`](crate::ErrorKind::PlanRefused) where
    /// its sensitive values are encrypted and it was not opened.
    pub fn executable(self) -> Result<Executable> {
        if let Some(seal) = &self.seal {
            return Err(Error::plan_refused(seal.closed(&self.name)));
        }
        let Some(against) = self.header.against() else {
            return Ok(Executable(self));
        };
        let advice = match self.header.blocking {
            0 => "make a new plan".to_owned(),
            _ => format!(
                "see `loader show {} --action violation`, mend the records or the configuration, and make a new plan",
                self.name
            ),
        };
        Err(Error::blocked(format!(
            "{}: {against}; {advice}",
            self.name
        )))
    }
}

impl Executable {
    /// The verified plan.
    pub fn plan(&self) -> &PlanFile {
        &self.0
    }
}

/// What a plan streams.
pub enum Item {
    /// One object that was read.
    Fragment(Fragment),
    /// One change, skip or violation.
    Entry(Entry),
}

/// Entries by table, and violations that block: what is allowed and what is shown follows from
/// the numbers in the header, which must be these.
#[derive(Default)]
pub(super) struct Counted {
    tables: BTreeMap<String, Counts>,
    blocking: u64,
}

impl Counted {
    /// Counts one entry.
    pub(super) fn add(&mut self, entry: &Entry) {
        self.table(&entry.table).add(entry.what.action());
        if let What::Violation(v) = &entry.what {
            self.blocking += u64::from(v.effect == Effect::Block);
        }
    }

    /// The counts of one table so far.
    pub(super) fn table(&mut self, table: &str) -> &mut Counts {
        self.tables.entry(table.to_owned()).or_default()
    }

    /// Whether the header states these numbers.
    pub(super) fn agrees(&self, header: &Header) -> bool {
        let mut stated: BTreeMap<String, Counts> = BTreeMap::new();
        let mut tables = header.tables.iter();
        let once = tables.all(|t| stated.insert(t.table.clone(), t.counts).is_none());
        stated.retain(|_, c| *c != Counts::default());
        once && self.tables == stated
            && self.blocking == header.blocking
            && header.sum() == header.summary
    }
}

pub(super) struct Parsed {
    pub(super) header: Header,
    pub(super) stated_hash: String,
    pub(super) salt: Option<String>,
    /// Of what stands in the file; where values are encrypted, not that of the values.
    pub(super) hash: String,
    notes: Option<Box<RawValue>>,
    pub(super) sections: Sections,
    seal: Option<Seal>,
    /// The digest of what is sealed.
    sealed: Vec<u8>,
}

impl Parsed {
    /// The hash that the file states of what it shows, and the one that it has.
    fn hashes(&self) -> (&str, String) {
        match &self.seal {
            None => (&self.stated_hash, self.hash.clone()),
            Some(seal) => (
                &seal.masked_hash,
                seal.hash(&self.stated_hash, &self.hash, &self.sealed),
            ),
        }
    }
}

fn parse(
    file: &File,
    name: &str,
    sink: &mut dyn FnMut(Item) -> Result<()>,
    sealed: &mut dyn FnMut(&str) -> Result<(), String>,
) -> Result<Parsed> {
    let mut handle = file;
    handle
        .seek(SeekFrom::Start(0))
        .map_err(|e| Error::io(format_args!("{name}: cannot read the plan"), e))?;
    let reader = BufReader::with_capacity(1 << 18, handle);
    parse_from(reader, name, sink, sealed)
}

pub(super) fn parse_from(
    reader: impl Read,
    name: &str,
    sink: &mut dyn FnMut(Item) -> Result<()>,
    sealed: &mut dyn FnMut(&str) -> Result<(), String>,
) -> Result<Parsed> {
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
    Salt,
    Kind,
    BatchId,
    Undoes,
    Target,
    Records,
    Blocking,
    Rejected,
    Summary,
    Tables,
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
        let (mut format, mut hash, mut kind, mut batch, mut undoes) =
            (None, None, None, None, None);
        let (mut target, mut records, mut blocking, mut rejected) = (None, None, None, None);
        let (mut summary, mut tables, mut notes) = (None, None, None);
        let (mut fragments, mut changes) = (None, None);
        let (mut salt, mut masked, mut recipients, mut sealed) = (None, None, None, None);
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
                Field::Salt => once::<String, _>(&mut salt, "salt", map.next_value()?)?,
                Field::Kind => once::<Kind, _>(&mut kind, "kind", map.next_value()?)?,
                Field::BatchId => once::<String, _>(&mut batch, "batch_id", map.next_value()?)?,
                Field::Undoes => once::<Vec<String>, _>(&mut undoes, "undoes", map.next_value()?)?,
                Field::Target => {
                    once::<TargetDatabase, _>(&mut target, "target", map.next_value()?)?
                }
                Field::Records => once::<u64, _>(&mut records, "records", map.next_value()?)?,
                Field::Blocking => once::<u64, _>(&mut blocking, "blocking", map.next_value()?)?,
                Field::Rejected => once::<u64, _>(&mut rejected, "rejected", map.next_value()?)?,
                Field::Summary => once::<Counts, _>(&mut summary, "summary", map.next_value()?)?,
                Field::Tables => {
                    once::<Vec<TablePlan>, _>(&mut tables, "tables", map.next_value()?)?;
                }
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
        let header = Header {
            kind: need(kind, "kind")?,
            batch_id: need(batch, "batch_id")?,
            undoes: need(undoes, "undoes")?,
            target: need(target, "target")?,
            records: need(records, "records")?,
            blocking: need(blocking, "blocking")?,
            rejected: need(rejected, "rejected")?,
            summary: need(summary, "summary")?,
            tables: need(tables, "tables")?,
        };
        let sections = Sections {
            fragments: need::<Sha256, _>(fragments, "fragments")?
                .finalize()
                .to_vec(),
            changes: need::<Sha256, _>(changes, "changes")?.finalize().to_vec(),
        };
        let stated_hash = need(hash, "plan_hash")?;
        let hash = plan_hash(&header, salt.as_deref(), &sections).map_err(A::Error::custom)?;
        let seal = match (masked, recipients, sealed.is_some()) {
            (None, None, false) => None,
            (Some(_), Some(_), true) if salt.is_some() => {
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
            salt,
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
    match found.starts_with("table-loader-") {
        true => format!(
            "it is no plan but what `loader show --format json` writes (\"{found}\"): use the plan itself"
        ),
        false => format!("its format, \"{found}\", is no plan of a loader"),
    }
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
