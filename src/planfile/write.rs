//! Writing: entries are held in sorted runs as they come; at the end the header is written, and then they are,
//! in order.

use std::collections::BTreeMap;
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

/// The lines of a section as they stand in a plan: one canonical line an item, commas between.
#[derive(Default)]
struct Lines {
    begun: bool,
    hasher: Sha256,
}

impl Lines {
    /// Writes a line with its end to `out`; JSON escapes every line end within it.
    fn push(&mut self, out: &mut impl Write, line: &[u8]) -> std::io::Result<()> {
        self.hasher.update(line);
        let before: &[u8] = if self.begun { b",\n" } else { b"\n" };
        self.begun = true;
        out.write_all(before)?;
        out.write_all(line.strip_suffix(b"\n").unwrap_or(line))
    }

    /// The digest of its lines so far.
    fn digest(&self) -> Vec<u8> {
        self.hasher.clone().finalize().to_vec()
    }
}

/// A section that is spooled to an unlinked temporary file as it will stand in the plan.
pub(super) struct Section {
    spool: BufWriter<File>,
    lines: Lines,
    line: Vec<u8>,
}

impl Section {
    pub(super) fn new() -> Result<Section> {
        let file = tempfile::tempfile()
            .map_err(|e| Error::io("making a temporary file for the plan", e))?;
        Ok(Section {
            spool: BufWriter::with_capacity(1 << 16, file),
            lines: Lines::default(),
            line: Vec::new(),
        })
    }

    pub(super) fn push(&mut self, item: &impl Serialize) -> Result<()> {
        write_line(&mut self.line, item)?;
        self.lines
            .push(&mut self.spool, &self.line)
            .map_err(spooling)
    }

    /// The digest of its lines so far.
    pub(super) fn digest(&self) -> Vec<u8> {
        self.lines.digest()
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

/// Takes fragments and entries; `finish` writes the file.
pub struct PlanWriter {
    fragments: Section,
    /// The entries, by what they stand behind and then by their own keys.
    entries: Unordered,
    behind: u64,
    key: Vec<u8>,
    line: Vec<u8>,
    counted: Counted,
    /// By table the columns that are written, each with how many updates could mark their rows by it.
    columns: BTreeMap<String, BTreeMap<String, u64>>,
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
            entries: Unordered::new(),
            behind: 0,
            key: Vec::new(),
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

    /// Adds one entry behind all others.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) where the temporary file cannot be written.
    pub fn entry(&mut self, entry: Entry) -> Result<()> {
        self.go_on();
        self.unordered(&[], entry)?;
        self.go_on();
        Ok(())
    }

    /// Adds one entry among those since [`PlanWriter::go_on`], in the order of `key`.
    ///
    /// # Errors
    /// As [`PlanWriter::entry`].
    pub fn unordered(&mut self, key: &[u8], entry: Entry) -> Result<()> {
        self.count(&entry);
        write_line(&mut self.line, &EntryLine::from(entry))?;
        self.key.clear();
        self.key.extend_from_slice(&self.behind.to_be_bytes());
        self.key.extend_from_slice(key);
        self.entries.push(&self.key, &self.line).map_err(spooling)
    }

    /// From here on, entries stand behind all that there are.
    pub fn go_on(&mut self) {
        self.behind += 1;
    }

    fn count(&mut self, entry: &Entry) {
        self.counted.add(entry);
        let columns: Vec<&String> = match &entry.what {
            What::Insert { values, .. } => values.keys().collect(),
            What::Update { set, .. } => set.keys().collect(),
            What::Delete { .. } | What::Skip(_) | What::Violation(_) => return,
        };
        if !self.columns.contains_key(&entry.table) {
            self.columns.insert(entry.table.clone(), BTreeMap::new());
        }
        if let Some(known) = self.columns.get_mut(&entry.table) {
            for column in columns {
                if !known.contains_key(column) {
                    known.insert(column.clone(), 0);
                }
            }
            for column in entry.what.marks() {
                known.entry(column.clone()).and_modify(|n| *n += 1);
            }
        }
    }

    /// Completes `header` with counts and with the columns that are written, of those that its tables name
    /// in their order, writes the plan to `out`, from where that is, and returns header and hash.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) where `out` cannot be written.
    pub fn finish(
        mut self,
        mut header: Header,
        mut out: impl Write + Seek,
    ) -> Result<(Header, String)> {
        header.blocking = self.counted.blocking;
        for table in &mut header.tables {
            let found = self.counted.table(&table.table);
            table.counts = found.counts;
            table.skips = found.skips;
            table.rejected = found.rejected;
            let mut written = self.columns.remove(&table.table).unwrap_or_default();
            let mark = table.config.soft_delete.column();
            table.marks = mark
                .and_then(|c| written.get(c).copied())
                .unwrap_or_default();
            table
                .columns
                .retain(|column| written.remove(column).is_some());
            table.columns.extend(written.into_keys());
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
        let hash = self
            .write(&header, &mut out)
            .map_err(|e| Error::io("writing the plan", e))?;
        Ok((header, hash))
    }

    /// Writes the plan and returns its hash, which is known last and stands first.
    fn write(mut self, header: &Header, out: &mut (impl Write + Seek)) -> std::io::Result<String> {
        let begin = out.stream_position()?;
        let notes = self.notes.map(|notes| ("notes", serde_json::json!(notes)));
        let notes: Vec<_> = notes.into_iter().collect();
        let mut sections = Sections {
            fragments: self.fragments.digest(),
            changes: Vec::new(),
        };
        let unknown = format!("sha256:{:064}", 0);
        let head = header_json(header, &unknown, FORMAT, &notes)?;
        let mut file = BufWriter::with_capacity(1 << 16, &mut *out);
        file.write_all(head.as_bytes())?;
        self.fragments.copy_to(&mut file)?;
        file.write_all(CHANGES)?;
        let mut lines = Lines::default();
        self.entries
            .drain(&mut |line| lines.push(&mut file, line))?;
        file.write_all(END)?;
        file.flush()?;
        drop(file);
        let end = out.stream_position()?;
        sections.changes = lines.digest();
        let hash = plan_hash(header, &sections)?;
        let before = head.find(&unknown).unwrap_or_default();
        out.seek(SeekFrom::Start(begin + before as u64))?;
        out.write_all(hash.as_bytes())?;
        out.seek(SeekFrom::Start(end))?;
        out.flush()?;
        Ok(hash)
    }
}

/// What opens the list of entries, behind that of fragments.
const CHANGES: &[u8] = b"\n],\n\"changes\": [";
/// What closes the last list, and the plan.
const END: &[u8] = b"\n]\n}\n";

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
    out.write_all(CHANGES)?;
    changes.copy_to(out)?;
    if let Some(sealed) = sealed {
        write!(out, "\n],\n\"sealed\": [")?;
        sealed.copy_to(out)?;
    }
    out.write_all(END)
}
