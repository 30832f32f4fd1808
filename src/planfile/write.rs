//! Writing: entries are spooled as they come, the header is written before them at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use serde::Serialize;
use sha2::{Digest, Sha256};

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
        self.line.clear();
        serde_json::to_writer(&mut self.line, item)
            .map_err(|e| Error::Io(format!("writing the plan: {e}")))?;
        self.line.push(b'\n');
        self.hasher.update(&self.line);
        self.spool
            .write_all(&self.line)
            .map_err(|e| Error::io("writing the plan to a temporary file", &e))
    }

    /// The spooled lines from their start.
    fn rewound(self) -> Result<File> {
        let failed = |e: &std::io::Error| Error::io("writing the plan to a temporary file", e);
        let mut file = self.spool.into_inner().map_err(|e| failed(e.error()))?;
        file.seek(SeekFrom::Start(0)).map_err(|e| failed(&e))?;
        Ok(file)
    }
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
        self.changes.push(&EntryLine::from(entry))
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
        for table in &mut header.tables {
            let written = self.tables.get(&table.table).cloned().unwrap_or_default();
            table.counts = written.counts;
            table.columns = written.columns.into_iter().collect();
            let exceeded: Vec<String> = table
                .exceeded()
                .map(|e| format!("limit exceeded: {e}"))
                .collect();
            table.warnings.extend(exceeded);
        }
        header.summary = header.sum();
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
    out.write_all(header_json(header, hash, FORMAT)?.as_bytes())?;
    copy_lines(fragments, out)?;
    writeln!(out, "\n],")?;
    write!(out, "\"changes\": [")?;
    copy_lines(changes, out)?;
    writeln!(out, "\n]\n}}")
}

/// The beginning of a file of this format, up to the list of fragments, which is opened.
///
/// # Errors
/// Where the header cannot be serialized.
pub fn header_json(header: &Header, hash: &str, format: &str) -> serde_json::Result<String> {
    fn line(name: &str, value: &impl Serialize) -> serde_json::Result<String> {
        Ok(format!("\"{name}\": {},\n", serde_json::to_string(value)?))
    }
    let h = HeaderLine::from(header);
    let mut text = String::from("{\n");
    text += &line("format", &format)?;
    text += &line("plan_hash", &hash)?;
    text += &line("kind", &h.kind)?;
    text += &line("batch_id", &h.batch_id)?;
    text += &line("undoes", &h.undoes)?;
    text += &line("target", &h.target)?;
    text += &line("records", &h.records)?;
    text += &line("blocking", &h.blocking)?;
    text += &line("rejected", &h.rejected)?;
    text += &line("summary", &h.summary)?;
    let tables: Result<Vec<String>, _> = h.tables.iter().map(serde_json::to_string).collect();
    let tables: String = tables?.iter().map(|t| format!("\n{t},")).collect();
    text += &format!("\"tables\": [{}\n],\n", tables.trim_end_matches(','));
    text += "\"fragments\": [";
    Ok(text)
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
