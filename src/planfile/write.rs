//! Writing: entries are spooled as they come, the header is written before them at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::order::Unordered;
use super::{EntryLine, FORMAT, HeaderLine, plan_hash};
use crate::error::{Error, Result};
use crate::plan::{Counts, Effect, Entry, Fragment, Header, What};

/// A section that is spooled to an unlinked temporary file, one canonical line an item.
struct Section {
    spool: BufWriter<File>,
    hasher: Sha256,
    line: Vec<u8>,
}

impl Section {
    fn new() -> Result<Section> {
        let file = tempfile::tempfile()
            .map_err(|e| Error::io("making a temporary file for the plan", &e))?;
        Ok(Section {
            spool: BufWriter::with_capacity(1 << 16, file),
            hasher: Sha256::new(),
            line: Vec::new(),
        })
    }

    fn push(&mut self, item: &impl Serialize) -> Result<()> {
        let mut line = std::mem::take(&mut self.line);
        write_line(&mut line, item)?;
        let pushed = self.push_line(&line);
        self.line = line;
        pushed.map_err(spooling)
    }

    fn push_line(&mut self, line: &[u8]) -> std::io::Result<()> {
        self.hasher.update(line);
        self.spool.write_all(line)
    }

    /// The spooled lines from their start.
    fn rewound(self) -> Result<File> {
        let failed = |e: &std::io::Error| Error::io("writing the plan to a temporary file", e);
        let mut file = self.spool.into_inner().map_err(|e| failed(e.error()))?;
        file.seek(SeekFrom::Start(0)).map_err(|e| failed(&e))?;
        Ok(file)
    }
}

/// Writes an item's canonical form and a line end in place of what was in `line`.
fn write_line(line: &mut Vec<u8>, item: &impl Serialize) -> Result<()> {
    line.clear();
    serde_json::to_writer(&mut *line, item)
        .map_err(|e| Error::Io(format!("writing the plan: {e}")))?;
    line.push(b'\n');
    Ok(())
}

fn spooling(e: std::io::Error) -> Error {
    Error::io("writing the plan to a temporary file", &e)
}

/// What the entries of one table came to.
#[derive(Debug, Default, Clone)]
pub struct Written {
    /// How many of each kind.
    pub counts: Counts,
    /// Columns that its changes write, beside the key.
    pub columns: BTreeSet<String>,
}

/// Takes fragments and entries in plan order; `finish` writes the file.
pub struct PlanWriter {
    fragments: Section,
    changes: Section,
    unordered: Unordered,
    line: Vec<u8>,
    tables: BTreeMap<String, Written>,
    blocking: u64,
    rejected: u64,
}

impl PlanWriter {
    /// An empty plan.
    ///
    /// # Errors
    /// [`Error::Io`] where no temporary file can be made.
    pub fn new() -> Result<PlanWriter> {
        Ok(PlanWriter {
            fragments: Section::new()?,
            changes: Section::new()?,
            unordered: Unordered::new(),
            line: Vec::new(),
            tables: BTreeMap::new(),
            blocking: 0,
            rejected: 0,
        })
    }

    /// Adds one object that was read.
    ///
    /// # Errors
    /// [`Error::Io`] where the temporary file cannot be written.
    pub fn fragment(&mut self, fragment: &Fragment) -> Result<()> {
        self.fragments.push(fragment)
    }

    /// Adds one entry.
    ///
    /// # Errors
    /// [`Error::Io`] where the temporary file cannot be written.
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
        if !self.tables.contains_key(&entry.table) {
            self.tables.insert(entry.table.clone(), Written::default());
        }
        if let Some(table) = self.tables.get_mut(&entry.table) {
            table.counts.add(&entry.what);
            let mut write = |column: &String| {
                if !table.columns.contains(column) {
                    table.columns.insert(column.clone());
                }
            };
            match &entry.what {
                What::Insert { values, .. } => values.keys().for_each(&mut write),
                What::Update { set, .. } => set.keys().for_each(&mut write),
                What::Violation(v) => match v.effect {
                    Effect::Block => self.blocking += 1,
                    Effect::Reject => self.rejected += 1,
                    Effect::Keep => {}
                },
                What::Delete { .. } | What::Skip(_) => {}
            }
        }
    }

    /// What came of each table so far.
    pub fn written(&self, table: &str) -> Written {
        self.tables.get(table).cloned().unwrap_or_default()
    }

    /// Completes `header` with counts, writes the plan to `out` and returns header and hash.
    ///
    /// # Errors
    /// [`Error::Io`] where `out` cannot be written.
    pub fn finish(self, mut header: Header, out: impl Write) -> Result<(Header, String)> {
        header.blocking = self.blocking;
        header.rejected = self.rejected;
        header.summary = Counts::default();
        for table in &mut header.tables {
            let written = self.tables.get(&table.table).cloned().unwrap_or_default();
            table.counts = written.counts;
            table.columns = written.columns.into_iter().collect();
            let (sum, c) = (&mut header.summary, &table.counts);
            sum.insert += c.insert;
            sum.update += c.update;
            sum.delete += c.delete;
            sum.skip += c.skip;
            sum.violation += c.violation;
        }
        let bad_json = |e: serde_json::Error| Error::Io(format!("writing the plan: {e}"));
        let hash = plan_hash(
            &header,
            self.fragments.hasher.clone(),
            &self.changes.hasher.clone().finalize(),
        )
        .map_err(bad_json)?;
        let mut out = BufWriter::with_capacity(1 << 16, out);
        write_file(&mut out, &header, &hash, self.fragments, self.changes)
            .and_then(|()| out.flush())
            .map_err(|e| Error::io("writing the plan", &e))?;
        Ok((header, hash))
    }
}

fn write_file(
    out: &mut impl Write,
    header: &Header,
    hash: &str,
    fragments: Section,
    changes: Section,
) -> std::io::Result<()> {
    let h = HeaderLine::from(header);
    writeln!(out, "{{")?;
    writeln!(out, "\"format\": {},", serde_json::to_string(FORMAT)?)?;
    writeln!(out, "\"plan_hash\": {},", serde_json::to_string(hash)?)?;
    writeln!(out, "\"kind\": {},", serde_json::to_string(&h.kind)?)?;
    writeln!(out, "\"batch_id\": {},", serde_json::to_string(h.batch_id)?)?;
    writeln!(out, "\"undoes\": {},", serde_json::to_string(h.undoes)?)?;
    writeln!(out, "\"target\": {},", serde_json::to_string(h.target)?)?;
    writeln!(out, "\"records\": {},", h.records)?;
    writeln!(out, "\"blocking\": {},", h.blocking)?;
    writeln!(out, "\"rejected\": {},", h.rejected)?;
    writeln!(out, "\"summary\": {},", serde_json::to_string(h.summary)?)?;
    write!(out, "\"tables\": [")?;
    for (i, table) in h.tables.iter().enumerate() {
        let comma = if i == 0 { "\n" } else { ",\n" };
        write!(out, "{comma}{}", serde_json::to_string(table)?)?;
    }
    writeln!(out, "\n],")?;
    write!(out, "\"fragments\": [")?;
    copy_lines(fragments, out)?;
    writeln!(out, "\n],")?;
    write!(out, "\"changes\": [")?;
    copy_lines(changes, out)?;
    writeln!(out, "\n]\n}}")
}

/// Copies lines `a\nb\n` as `\na,\nb`: JSON escapes every line end within a line.
fn copy_lines(section: Section, out: &mut impl Write) -> std::io::Result<()> {
    let file = section
        .rewound()
        .map_err(|e| std::io::Error::other(e.to_string()))?;
    let mut reader = BufReader::new(file);
    let mut buffer = vec![0; 1 << 16];
    let mut pending: &[u8] = b"\n";
    loop {
        let n = reader.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..n];
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            out.write_all(pending)?;
            out.write_all(&rest[..end])?;
            pending = b",\n";
            rest = &rest[end + 1..];
        }
        if !rest.is_empty() {
            out.write_all(pending)?;
            out.write_all(rest)?;
            pending = b"";
        }
    }
}
