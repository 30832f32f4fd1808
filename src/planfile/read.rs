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

use super::{EntryLine, FORMAT, plan_hash};
use crate::error::{Error, Result};
use crate::mask::Mask;
use crate::plan::{Counts, Effect, Entry, Fragment, Header, Kind, TablePlan, Target, What};

/// A plan file whose hash was found right. It stays open, so that nobody can exchange it.
#[derive(Debug)]
pub struct PlanFile {
    file: File,
    name: String,
    /// Everything but fragments and entries.
    pub header: Header,
    /// Its hash, `sha256:…`.
    pub hash: String,
    /// What stands beside it, as JSON: outside the hash, so that nobody vouches for it.
    pub notes: Option<Box<RawValue>>,
    /// The digest of its entries, which stands nowhere but in the computation of the hash.
    entries: Vec<u8>,
}

/// A plan that nothing in it stands against: the only thing apply takes.
#[derive(Debug)]
pub struct Executable(PlanFile);

impl PlanFile {
    /// The plan in the file `path`, verified as a whole; `-` is standard input.
    ///
    /// # Errors
    /// [`Error::PlanRefused`] where it is not a plan, of another version, or was changed;
    /// [`Error::Io`] where it cannot be read.
    pub fn open(path: &Path) -> Result<PlanFile> {
        PlanFile::open_with(path, &mut |_| {})
    }

    /// As [`PlanFile::open`], and gives every fragment and entry to `sink` in the same pass. What
    /// `sink` took is not verified, and must not be used, before this has returned a plan.
    ///
    /// # Errors
    /// As [`PlanFile::open`].
    pub fn open_with(path: &Path, sink: &mut dyn FnMut(Item)) -> Result<PlanFile> {
        let name = path.display().to_string();
        let cannot =
            |e: std::io::Error| Error::io(format_args!("{name}: cannot read the plan"), &e);
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
        PlanFile::verify_with(file, name, sink)
    }

    /// The plan in `file`, verified as a whole; `name` is for messages.
    ///
    /// # Errors
    /// As [`PlanFile::open`].
    pub fn verify(file: File, name: String) -> Result<PlanFile> {
        PlanFile::verify_with(file, name, &mut |_| {})
    }

    fn verify_with(file: File, name: String, sink: &mut dyn FnMut(Item)) -> Result<PlanFile> {
        let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
        let mut blocking = 0;
        let read = parse(&file, &name, &mut |item| {
            if let Item::Entry(entry) = &item {
                match counts.get_mut(&entry.table) {
                    Some(counts) => counts.add(&entry.what),
                    None => counts
                        .entry(entry.table.clone())
                        .or_default()
                        .add(&entry.what),
                }
                if let What::Violation(v) = &entry.what {
                    blocking += u64::from(v.effect == Effect::Block);
                }
            }
            sink(item);
            Ok(())
        })?;
        let stated = read.stated_hash;
        if stated != read.hash {
            return Err(Error::PlanRefused(format!(
                "{name}: the plan was changed after it was made: it says {stated}, and its content has \
                 {}; make a new plan and have that reviewed",
                read.hash
            )));
        }
        // What is allowed and what is shown follows from the counts.
        let header = &read.header;
        let stated = header
            .tables
            .iter()
            .filter(|t| t.counts != Counts::default());
        let stated: BTreeMap<String, Counts> =
            stated.map(|t| (t.table.clone(), t.counts)).collect();
        if counts != stated || blocking != header.blocking || header.sum() != header.summary {
            return Err(Error::PlanRefused(format!(
                "{name}: the plan's summary does not agree with its entries; make a new plan"
            )));
        }
        Ok(PlanFile {
            file,
            name,
            header: read.header,
            hash: read.hash,
            notes: read.notes,
            entries: read.entries,
        })
    }

    /// What hides the values of this plan's sensitive columns from people. Its key cannot be had
    /// without the values.
    pub fn mask(&self) -> Mask {
        let tables = self.header.tables.iter();
        Mask::new(&self.entries, tables.map(|t| (t.table.as_str(), &t.config)))
    }

    /// Gives every fragment and entry to `sink`, in order, and fails at the end if the file is
    /// not what was verified.
    ///
    /// # Errors
    /// [`Error::PlanRefused`] where the file changed since, and whatever `sink` returns.
    pub fn stream(&self, sink: &mut dyn FnMut(Item) -> Result<()>) -> Result<()> {
        let read = parse(&self.file, &self.name, sink)?;
        if read.hash != self.hash {
            return Err(Error::PlanRefused(format!(
                "{}: the plan was changed while it was being used; nothing was written",
                self.name
            )));
        }
        Ok(())
    }

    /// The plan as one that may be applied.
    ///
    /// # Errors
    /// [`Error::Blocked`] where violations or limits stand against it.
    pub fn executable(self) -> Result<Executable> {
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
        Err(Error::Blocked(format!(
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

struct Parsed {
    header: Header,
    stated_hash: String,
    hash: String,
    notes: Option<Box<RawValue>>,
    entries: Vec<u8>,
}

fn parse(file: &File, name: &str, sink: &mut dyn FnMut(Item) -> Result<()>) -> Result<Parsed> {
    let mut handle = file;
    handle
        .seek(SeekFrom::Start(0))
        .map_err(|e| Error::io(format_args!("{name}: cannot read the plan"), &e))?;
    parse_from(BufReader::with_capacity(1 << 18, handle), name, sink)
}

fn parse_from(
    reader: impl Read,
    name: &str,
    sink: &mut dyn FnMut(Item) -> Result<()>,
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
    };
    let parsed = de.deserialize_map(top).and_then(|p| de.end().map(|()| p));
    match (from_sink, parsed) {
        (Some(e), _) => Err(e),
        (None, Ok(parsed)) => Ok(parsed),
        (None, Err(e)) if e.is_io() => Err(Error::Io(format!("{name}: cannot read the plan: {e}"))),
        (None, Err(e)) => Err(Error::PlanRefused(format!(
            "{name}: not a plan that this version reads: {e}; make a new plan"
        ))),
    }
}

type Sink<'a> = &'a mut dyn FnMut(Item) -> Result<(), &'static str>;

struct Top<'a> {
    sink: Sink<'a>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Format,
    PlanHash,
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
        while let Some(field) = map.next_key::<Field>()? {
            match field {
                Field::Format => {
                    let found: String = map.next_value()?;
                    if found != FORMAT {
                        return Err(A::Error::custom(format_args!(
                            "its format is \"{found}\", and this version reads \"{FORMAT}\""
                        )));
                    }
                    once(&mut format, "format", found)?;
                }
                Field::PlanHash => once::<String, _>(&mut hash, "plan_hash", map.next_value()?)?,
                Field::Kind => once::<Kind, _>(&mut kind, "kind", map.next_value()?)?,
                Field::BatchId => once::<String, _>(&mut batch, "batch_id", map.next_value()?)?,
                Field::Undoes => once::<Vec<String>, _>(&mut undoes, "undoes", map.next_value()?)?,
                Field::Target => once::<Target, _>(&mut target, "target", map.next_value()?)?,
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
        let fragments = need(fragments, "fragments")?;
        let entries = need::<Sha256, _>(changes, "changes")?.finalize().to_vec();
        let stated_hash = need(hash, "plan_hash")?;
        let hash = plan_hash(&header, fragments, &entries).map_err(A::Error::custom)?;
        Ok(Parsed {
            header,
            stated_hash,
            hash,
            notes,
            entries,
        })
    }
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
