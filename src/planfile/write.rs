//! Writing: entries are spooled as they come, the header is written before them at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::counted::Counted;
use super::head::header_json;
use super::line::EntryLine;
use super::order::Unordered;
use super::{FORMAT, Made, Notes, Sections, plan_hash};
use crate::error::{Error, Result};
use crate::plan::{Entry, Fragment, Header, What};

/// A section that is spooled to an unlinked temporary file as it will stand in the plan: one
/// canonical line an item, commas between.
pub(super) struct Section {
    spool: BufWriter<File>,
    begun: bool,
    hasher: Sha256,
    line: Vec<u8>,
}

impl Section {
    pub(super) fn new() -> Result<Section> {
        let file = tempfile::tempfile()
            .map_err(|e| Error::io("making a temporary file for the plan", e))?;
        Ok(Section {
            spool: BufWriter::with_capacity(1 << 16, file),
            begun: false,
            hasher: Sha256::new(),
            line: Vec::new(),
        })
    }

    pub(super) fn push(&mut self, item: &impl Serialize) -> Result<()> {
        let mut line = std::mem::take(&mut self.line);
        write_line(&mut line, item)?;
        let pushed = self.push_line(&line);
        self.line = line;
        pushed.map_err(spooling)
    }

    /// Takes a line with its end; JSON escapes every line end within it.
    fn push_line(&mut self, line: &[u8]) -> std::io::Result<()> {
        self.hasher.update(line);
        let before: &[u8] = if self.begun { b",\n" } else { b"\n" };
        self.begun = true;
        self.spool.write_all(before)?;
        self.spool
            .write_all(line.strip_suffix(b"\n").unwrap_or(line))
    }

    /// The digest of its lines so far.
    pub(super) fn digest(&self) -> Vec<u8> {
        self.hasher.clone().finalize().to_vec()
    }

    /// Writes all lines to `out`.
    fn copy_to(self, out: &mut impl Write) -> std::io::Result<()> {
        let mut file = self.spool.into_inner().map_err(|e| e.into_error())?;
        file.seek(SeekFrom::Start(0))?;
        std::io::copy(&mut file, out).map(drop)
    }
}

/// Writes an item's canonical form and a line end in place of what was in `line`.
fn write_line(line: &mut Vec<u8>, item: &impl Serialize) -> Result<()> {
    line.clear();
    serde_json::to_writer(&mut *line, item)
        .map_err(|e| Error::local("writing the plan").caused_by(e))?;
    line.push(b'\n');
    Ok(())
}

fn spooling(e: std::io::Error) -> Error {
    Error::io("writing the plan to a temporary file", e)
}

/// Takes fragments and entries in plan order; `finish` writes the file.
pub struct PlanWriter {
    fragments: Section,
    changes: Section,
    unordered: Unordered,
    line: Vec<u8>,
    counted: Counted,
    columns: BTreeMap<String, BTreeSet<String>>,
    notes: Option<Notes>,
}

impl PlanWriter {
    /// An empty plan.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) where no temporary file can be made.
    pub fn new() -> Result<PlanWriter> {
        Ok(PlanWriter {
            fragments: Section::new()?,
            changes: Section::new()?,
            unordered: Unordered::new(),
            line: Vec::new(),
            counted: Counted::default(),
            columns: BTreeMap::new(),
            notes: None,
        })
    }

    /// The plan with notes of how it came about.
    #[must_use]
    pub fn noted(mut self, made: Option<Made>) -> PlanWriter {
        self.notes = made.map(|made| Notes {
            made: Some(made),
            rehearsal: None,
        });
        self
    }

    /// Adds one object that was read.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) where the temporary file cannot be written.
    pub fn fragment(&mut self, fragment: &Fragment) -> Result<()> {
        self.fragments.push(fragment)
    }

    /// Adds one entry.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) where the temporary file cannot be written.
    pub fn entry(&mut self, entry: Entry) -> Result<()> {
        self.count(&entry);
        self.changes.push(&EntryLine::from(entry))
    }

    /// Holds one entry until [`PlanWriter::put_in_order`]; what is held leaves in the order of `key`.
    ///
    /// # Errors
    /// As [`PlanWriter::entry`].
    pub fn unordered(&mut self, key: &[u8], entry: Entry) -> Result<()> {
        self.count(&entry);
        write_line(&mut self.line, &EntryLine::from(entry))?;
        self.unordered.push(key, &self.line).map_err(spooling)
    }

    /// Adds the entries that are held.
    ///
    /// # Errors
    /// As [`PlanWriter::entry`].
    pub fn put_in_order(&mut self) -> Result<()> {
        let changes = &mut self.changes;
        self.unordered
            .drain(&mut |line| changes.push_line(line))
            .map_err(spooling)
    }

    fn count(&mut self, entry: &Entry) {
        self.counted.add(entry);
        let columns: Vec<&String> = match &entry.what {
            What::Insert { values, .. } => values.keys().collect(),
            What::Update { set, .. } => set.keys().collect(),
            What::Delete { .. } | What::Skip(_) | What::Violation(_) => return,
        };
        if !self.columns.contains_key(&entry.table) {
            self.columns.insert(entry.table.clone(), BTreeSet::new());
        }
        if let Some(known) = self.columns.get_mut(&entry.table) {
            for column in columns {
                if !known.contains(column) {
                    known.insert(column.clone());
                }
            }
        }
    }

    /// Completes `header` with counts and with the columns that are written, of those that its tables name
    /// in their order, writes the plan to `out` and returns header and hash.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) where `out` cannot be written.
    pub fn finish(mut self, mut header: Header, out: impl Write) -> Result<(Header, String)> {
        header.blocking = self.counted.blocking;
        for table in &mut header.tables {
            let found = self.counted.table(&table.table);
            table.counts = found.counts;
            table.skips = found.skips;
            table.rejected = found.rejected;
            let mut written = self.columns.remove(&table.table).unwrap_or_default();
            table.columns.retain(|column| written.remove(column));
            table.columns.extend(written);
            // A plan that is written again says so already.
            let exceeded: Vec<String> = table
                .exceeded(header.kind)
                .map(|e| format!("limit exceeded: {e}"))
                .filter(|warning| !table.warnings.contains(warning))
                .collect();
            table.warnings.extend(exceeded);
        }
        header.summary = header.sum();
        header.rejected = header.tables.iter().map(|t| t.rejected).sum();
        let sections = Sections {
            fragments: self.fragments.digest(),
            changes: self.changes.digest(),
        };
        let hash = plan_hash(&header, &sections)
            .map_err(|e| Error::local("writing the plan").caused_by(e))?;
        let notes = self.notes.map(|notes| ("notes", serde_json::json!(notes)));
        let notes: Vec<_> = notes.into_iter().collect();
        write_file(
            out,
            (&header, &hash),
            &notes,
            (self.fragments, self.changes, None),
        )?;
        Ok((header, hash))
    }
}

/// Writes a plan file: the header, with `more` after its hash, and the sections: fragments, changes,
/// and what is sealed.
pub(super) fn write_file(
    out: impl Write,
    (header, hash): (&Header, &str),
    more: &[(&str, serde_json::Value)],
    sections: (Section, Section, Option<Section>),
) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    write_parts(&mut out, (header, hash), more, sections)
        .and_then(|()| out.flush())
        .map_err(|e| Error::io("writing the plan", e))
}

fn write_parts(
    out: &mut impl Write,
    (header, hash): (&Header, &str),
    more: &[(&str, serde_json::Value)],
    (fragments, changes, sealed): (Section, Section, Option<Section>),
) -> std::io::Result<()> {
    out.write_all(header_json(header, hash, FORMAT, more)?.as_bytes())?;
    fragments.copy_to(out)?;
    write!(out, "\n],\n\"changes\": [")?;
    changes.copy_to(out)?;
    if let Some(sealed) = sealed {
        write!(out, "\n],\n\"sealed\": [")?;
        sealed.copy_to(out)?;
    }
    writeln!(out, "\n]\n}}")
}
