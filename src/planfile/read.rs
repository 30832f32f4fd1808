//! Reading: the only way to a plan is through its verification.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::Path;

use serde_json::value::RawValue;

use super::counted::Counted;
use super::parse::{Item, Parsed, parse_from};
use super::seal::Seal;
use super::{Sections, quick};
use crate::error::{Error, Remedy, Result};
use crate::plan::masking::Mask;
use crate::plan::{Header, Kind};

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
    /// Of a plan that was not opened.
    pub(super) seal: Option<Seal>,
    /// Whether it stands in the file as it was written.
    pub(super) as_written: bool,
}

/// A plan that nothing in it stands against: the only thing apply takes.
#[derive(Debug)]
pub struct Executable(PlanFile);

impl PlanFile {
    /// The plan in the file `path`, verified as a whole.
    ///
    /// # Errors
    /// [`PlanRefused`](crate::ErrorKind::PlanRefused) where it is not a plan, of another version, or was changed;
    /// [`Io`](crate::ErrorKind::Io) where it cannot be read.
    pub fn open(path: &Path) -> Result<PlanFile> {
        let name = path.display().to_string();
        let file = File::open(path)
            .map_err(|e| Error::io(format_args!("{name}: cannot read the plan"), e))?;
        PlanFile::verify(file, name)
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
                seal: None,
                as_written: true,
            });
        }
        PlanFile::verify_with(file, name, &mut |_| {})
    }

    /// As [`PlanFile::verify`], and gives every fragment and entry to `sink` in the same pass. What
    /// `sink` took is not verified, and must not be used, before this has returned a plan.
    ///
    /// # Errors
    /// As [`PlanFile::open`].
    pub fn verify_with(file: File, name: String, sink: &mut dyn FnMut(Item)) -> Result<PlanFile> {
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
            seal: read.seal,
            as_written: false,
        })
    }

    /// Whether it was made from the same objects as `other`, with the same entries in the queue.
    pub(crate) fn has_objects_of(&self, other: &PlanFile) -> bool {
        self.sections.fragments == other.sections.fragments
    }

    /// What hides the values of this plan's sensitive columns from people. Its key cannot be had
    /// without the values.
    pub(crate) fn mask(&self) -> Mask {
        let tables = self.header.tables.iter();
        let tables = tables.map(|t| (t.table.as_str(), &t.config));
        match (&self.seal, &self.header.salt) {
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
        self.header.salt.is_some()
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
        if !self.as_written {
            return self.read_again(sink, &mut |_| Ok(()));
        }
        let same = quick::stream(&self.file, &self.hash, sink)?.is_some();
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
            return Err(seal.closed(&self.name));
        }
        let header = &self.header;
        let taken_back = header.taken_back();
        let unlike: BTreeSet<&String> = taken_back.iter().collect();
        let wrong = taken_back.is_empty() != (header.kind == Kind::Load);
        if wrong || unlike.len() != taken_back.len() {
            return Err(Error::plan_refused(format!(
                "{}: the plan is a {} and takes back {}: it was not made by the loader; make a new plan",
                self.name,
                header.kind.word(),
                if taken_back.is_empty() {
                    "nothing".to_owned()
                } else {
                    taken_back.join(", ")
                }
            )));
        }
        let Some(against) = header.against() else {
            return Ok(Executable(self));
        };
        let error = Error::blocked(format!("{}: {against}", self.name));
        Err(if self.header.blocking == 0 {
            error.and("; make a new plan")
        } else {
            error.with_remedy(Remedy::Mend(self.name))
        })
    }
}

impl Executable {
    /// The verified plan.
    pub fn plan(&self) -> &PlanFile {
        &self.0
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
