//! What changed between two plans, entry by entry, for who reviewed the first.
//!
//! Entries are matched by table, key (or place, where a part of it is missing) and, for violations, kind and field,
//! whatever their order.
//! Two hashes of each entry of the first plan are in memory meanwhile, 48 bytes in all; what differs is spooled.

mod headers;
mod known;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::line::EntryLine;
use super::{Item, PlanFile, entry_json};
use crate::error::{Error, Result};
use crate::plan::masking::Mask;
use crate::plan::{Entry, Fragment, Value, What};
use headers::headers;
use known::Known;

/// How many entries differ, and how many do not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DiffCounts {
    /// In both plans, and not the same.
    pub different: u64,
    /// Only in the second.
    pub added: u64,
    /// Only in the first.
    pub removed: u64,
    /// The same in both.
    pub same: u64,
    /// Of those, how many come from another place of the batch.
    pub moved: u64,
}

/// One fact of the header that is not the same in both plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeaderDifference {
    /// What it is about.
    pub what: String,
    /// What the first plan says.
    pub old: Option<String>,
    /// What the second plan says.
    pub new: Option<String>,
}

/// Objects that only one plan read, or that have another content: the keys of a few, and how many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Objects {
    /// Those that differ, the first of them in plan order.
    pub keys: Vec<String>,
    /// How many there are.
    pub count: u64,
}

/// What changed from one plan to another.
pub struct PlanDiff<'p> {
    old: &'p PlanFile,
    new: &'p PlanFile,
    /// Facts of the headers.
    pub header: Vec<HeaderDifference>,
    /// Objects that only the second plan read.
    pub objects_added: Objects,
    /// Objects that only the first plan read.
    pub objects_removed: Objects,
    /// Objects with another content.
    pub objects_changed: Objects,
    /// Entries.
    pub counts: DiffCounts,
    mask: Mask,
    /// Places in the second plan that differ, and the place in the first of what stood there.
    differing: Vec<(u64, Option<u64>)>,
    /// Entries of the first plan that differ, in its order: place, and where they stand in the spool.
    offsets: Vec<(u64, u64)>,
    different: File,
    removed: File,
}

/// How many objects are named.
const NAMED: usize = 10;

fn spool() -> Result<File> {
    tempfile::tempfile().map_err(failed)
}

fn failed(e: std::io::Error) -> Error {
    Error::io("comparing the plans", e)
}

impl<'p> PlanDiff<'p> {
    /// Compares two plans.
    ///
    /// # Errors
    /// [`PlanRefused`](crate::ErrorKind::PlanRefused) where the sensitive values of one are encrypted and it was not
    /// opened, or a file changed; [`Io`](crate::ErrorKind::Io).
    pub fn new(old: &'p PlanFile, new: &'p PlanFile) -> Result<PlanDiff<'p>> {
        for plan in [old, new] {
            // The stand-ins of two plans have nothing in common.
            if let Some(seal) = &plan.seal {
                return Err(seal.closed(&plan.name));
            }
        }
        let mask = mask(old, new);
        let [was, is] = [old, new].map(|plan| mask.header(plan.header.clone()));
        let mut diff = PlanDiff {
            old,
            new,
            header: headers(&was, &is),
            objects_added: Objects::default(),
            objects_removed: Objects::default(),
            objects_changed: Objects::default(),
            counts: DiffCounts::default(),
            mask,
            differing: Vec::new(),
            offsets: Vec::new(),
            different: spool()?,
            removed: spool()?,
        };
        let removed = diff.compare()?;
        diff.keep(&removed)?;
        Ok(diff)
    }

    /// The two plans.
    pub fn plans(&self) -> [&'p PlanFile; 2] {
        [self.old, self.new]
    }

    /// Finds what differs, and returns the places in the first plan of what is only there.
    fn compare(&mut self) -> Result<Vec<u64>> {
        let mut known = Known::default();
        let mut objects: HashMap<String, (u128, bool)> = HashMap::new();
        self.old.stream(&mut |item| {
            match item {
                Item::Fragment(f) => {
                    objects.insert(f.key.clone(), (content_of_object(&f), false));
                }
                Item::Entry(entry) => known.add(identity_and_content(&entry), from(&entry)),
            }
            Ok(())
        })?;
        known.sort();
        let (new, counts) = (self.new, &mut self.counts);
        let mut place = 0;
        new.stream(&mut |item| {
            match item {
                Item::Fragment(f) => {
                    let list = match objects.get_mut(&f.key) {
                        None => &mut self.objects_added,
                        Some((content, found)) => {
                            *found = true;
                            if *content == content_of_object(&f) {
                                return Ok(());
                            }
                            &mut self.objects_changed
                        }
                    };
                    list.add(f.key);
                }
                Item::Entry(entry) => {
                    let [id, content] = identity_and_content(&entry);
                    match known.take(id) {
                        None => {
                            counts.added += 1;
                            self.differing.push((place, None));
                        }
                        Some(old) if old.content == content => {
                            counts.same += 1;
                            counts.moved += u64::from(old.from != from(&entry));
                        }
                        Some(old) => {
                            counts.different += 1;
                            self.differing.push((place, Some(old.place)));
                        }
                    }
                    place += 1;
                }
            }
            Ok(())
        })?;
        let mut gone: Vec<String> = objects
            .into_iter()
            .filter(|(_, (_, found))| !found)
            .map(|(key, _)| key)
            .collect();
        gone.sort();
        gone.into_iter()
            .for_each(|key| self.objects_removed.add(key));
        let removed = known.left();
        self.counts.removed = removed.len() as u64;
        Ok(removed)
    }

    /// Spools what of the first plan will be shown.
    fn keep(&mut self, removed: &[u64]) -> Result<()> {
        let places = self.differing.iter().filter_map(|(_, old)| *old);
        self.offsets = places.map(|place| (place, 0)).collect();
        self.offsets.sort_unstable();
        let mut different = BufWriter::new(&self.different);
        let mut gone = BufWriter::new(&self.removed);
        let (mut place, mut offset) = (0, 0);
        let mut removed = removed.iter().peekable();
        let mut offsets = self.offsets.iter_mut().peekable();
        self.old.stream(&mut |item| {
            let Item::Entry(entry) = item else {
                return Ok(());
            };
            let line = |entry| {
                entry_json(entry)
                    .map(|json| json + "\n")
                    .map_err(|e| failed(e.into()))
            };
            if removed.next_if(|r| **r == place).is_some() {
                gone.write_all(line(entry)?.as_bytes()).map_err(failed)?;
            } else if let Some((_, at)) = offsets.next_if(|(old, _)| *old == place) {
                let line = line(entry)?;
                *at = offset;
                offset += line.len() as u64;
                different.write_all(line.as_bytes()).map_err(failed)?;
            }
            place += 1;
            Ok(())
        })?;
        different.flush().map_err(failed)?;
        gone.flush().map_err(failed)
    }

    /// Gives what differs to `sink`, in the second plan's order, sensitive values masked with
    /// stand-ins that are the same for both plans.
    ///
    /// # Errors
    /// [`PlanRefused`](crate::ErrorKind::PlanRefused) where a file changed; [`Io`](crate::ErrorKind::Io); and whatever `sink` returns.
    pub fn different(&self, sink: &mut dyn FnMut([Entry; 2]) -> Result<()>) -> Result<()> {
        self.changed(&mut |new, old| match old {
            Some(old) => sink([self.masked(old), self.masked(new)]),
            None => Ok(()),
        })
    }

    /// Gives what only the second plan has to `sink`, in order.
    ///
    /// # Errors
    /// As [`PlanDiff::different`].
    pub fn added(&self, sink: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        self.changed(&mut |new, old| match old {
            Some(_) => Ok(()),
            None => sink(self.masked(new)),
        })
    }

    /// Gives what only the first plan has to `sink`, in order.
    ///
    /// # Errors
    /// As [`PlanDiff::different`].
    pub fn removed(&self, sink: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        self.gone(&mut |old| sink(self.masked(old)))
    }

    /// Gives all that differs to `sink`, as it was and as it is, with its values, which nobody may see: what the second
    /// plan has in its order, then what only the first has.
    ///
    /// # Errors
    /// As [`PlanDiff::different`].
    pub(crate) fn unmasked(
        &self,
        sink: &mut dyn FnMut(Option<Entry>, Option<Entry>) -> Result<()>,
    ) -> Result<()> {
        self.changed(&mut |new, old| sink(old, Some(new)))?;
        self.gone(&mut |old| sink(Some(old), None))
    }

    fn gone(&self, sink: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        let mut file = &self.removed;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        for line in BufReader::new(file).lines() {
            sink(entry(&line.map_err(failed)?)?)?;
        }
        Ok(())
    }

    fn changed(&self, sink: &mut dyn FnMut(Entry, Option<Entry>) -> Result<()>) -> Result<()> {
        let mut different = BufReader::new(&self.different);
        let mut line = String::new();
        let mut differing = self.differing.iter().peekable();
        let mut place = 0;
        self.new.stream(&mut |item| {
            let Item::Entry(new) = item else {
                return Ok(());
            };
            let here = differing.next_if(|(n, _)| *n == place);
            place += 1;
            let Some((_, old)) = here else {
                return Ok(());
            };
            let old = match old.and_then(|old| self.spooled_at(old)) {
                None => None,
                Some(offset) => {
                    different.seek(SeekFrom::Start(offset)).map_err(failed)?;
                    line.clear();
                    different.read_line(&mut line).map_err(failed)?;
                    Some(entry(&line)?)
                }
            };
            sink(new, old)
        })
    }

    /// Where in the spool the entry stands that has this place in the first plan.
    fn spooled_at(&self, place: u64) -> Option<u64> {
        let found = self.offsets.binary_search_by_key(&place, |(old, _)| *old);
        found.ok().map(|n| self.offsets[n].1)
    }

    /// The entry as it is shown here: with stand-ins that are the same for both plans.
    fn masked(&self, mut entry: Entry) -> Entry {
        self.mask.entry(&mut entry);
        entry
    }
}

impl Objects {
    fn add(&mut self, key: String) {
        self.count += 1;
        if self.keys.len() < NAMED {
            self.keys.push(key);
        }
    }
}

fn entry(line: &str) -> Result<Entry> {
    let line: EntryLine = serde_json::from_str(line).map_err(|e| failed(e.into()))?;
    Entry::try_from(line).map_err(|e| failed(std::io::Error::other(e)))
}

/// One mask for both plans, which hides what either calls sensitive.
fn mask(old: &PlanFile, new: &PlanFile) -> Mask {
    let key = [&old.sections.changes[..], &new.sections.changes[..]].concat();
    let salts = [&old.header.salt, &new.header.salt].into_iter().flatten();
    let key = salts.fold(key, |key, salt| [&key, salt.as_bytes()].concat());
    let mut mask = Mask::new(&key, []);
    for table in old.header.tables.iter().chain(&new.header.tables) {
        mask.add(&table.table, &table.config);
    }
    mask
}

/// What an entry is about, and what it says, but for where it comes from.
fn identity_and_content(entry: &Entry) -> [u128; 2] {
    let about = match &entry.what {
        What::Violation(v) => format!("{} {:?}", v.kind.word(), v.field),
        _ => String::new(),
    };
    // The key's row is the same however the key was given.
    let key: Vec<_> = entry.key.iter().map(|(c, v)| (c, v.words())).collect();
    // Without its whole key, a record is told from others by its place.
    let is_named = !key.is_empty() && key.iter().all(|(_, words)| words.is_some());
    let place = Some(&entry.from).filter(|_| !is_named);
    let id = hash(&format!("{:?} {key:?} {about} {place:?}", entry.table));
    let given: Vec<_> = entry.key.values().map(Value::given).collect();
    [id, hash(&format!("{:?} {given:?}", entry.what))]
}

fn content_of_object(f: &Fragment) -> u128 {
    hash(&format!("{:?} {} {}", f.table, f.sha256, f.records))
}

fn from(entry: &Entry) -> u32 {
    hash(&format!("{:?}", entry.from)) as u32
}

fn hash(text: &str) -> u128 {
    let digest = Sha256::digest(text.as_bytes());
    digest[..16]
        .iter()
        .fold(0, |n, byte| n << 8 | u128::from(*byte))
}
