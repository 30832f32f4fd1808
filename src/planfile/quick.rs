//! A plan as it was written has its entries in canonical form, one a line: it is verified without
//! decoding them, and decoded line by line. Whatever looks otherwise is left to the reader that takes
//! any JSON.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::counted::Counted;
use super::line::EntryLine;
use super::parse::{Item, Parsed, parse_from};
use super::{Sections, plan_hash};
use crate::error::{Error, Result};
use crate::plan::{Counts, Entry, Fragment};

/// The longest header that is tried, in bytes.
const LONGEST_HEADER: usize = 16 << 20;

/// Why reading by lines ended early.
enum Stop {
    /// The file is not as it was written.
    Otherwise,
    /// Whoever took the lines refused one.
    Refused(Error),
}

/// The plan in `file`, if it stands there as it was written, its hash is right, and its header
/// states the numbers of its entries.
pub(super) fn verified(file: &File) -> Option<Parsed> {
    let mut counted = Counted::default();
    // Each table's name as JSON, the last one of the file so far at the end.
    let mut tables: Vec<(Vec<u8>, String, Counts)> = Vec::new();
    let mut count = |line: &[u8]| {
        let action = line
            .strip_prefix(b"{\"action\":\"")
            .ok_or(Stop::Otherwise)?;
        let unchanged = action.first() == Some(&b's') && is_unchanged(line);
        // What is counted by more than its action is decoded; there is little of it.
        if matches!(action.first(), Some(b'v' | b's')) && !unchanged {
            counted.add(&entry_of(line)?);
            return Ok(());
        }
        let end = action.iter().position(|b| *b == b'"');
        let name = action[end.ok_or(Stop::Otherwise)?..]
            .strip_prefix(b"\",\"table\":")
            .ok_or(Stop::Otherwise)?;
        let known = tables.iter().rposition(|(json, ..)| name.starts_with(json));
        let at = match known {
            Some(at) => at,
            None => {
                let mut names = serde_json::Deserializer::from_slice(name).into_iter::<String>();
                let table = names.next().and_then(std::result::Result::ok);
                let json = name[..names.byte_offset()].to_vec();
                tables.push((json, table.ok_or(Stop::Otherwise)?, Counts::default()));
                tables.len() - 1
            }
        };
        let counts = &mut tables[at].2;
        *match action.first() {
            Some(b'i') => &mut counts.insert,
            Some(b'u') => &mut counts.update,
            Some(b'd') => &mut counts.delete,
            Some(b's') => &mut counts.skip,
            _ => return Err(Stop::Otherwise),
        } += 1;
        Ok(())
    };
    let parsed = read(file, &mut |_| Ok(()), &mut count).ok()?;
    for (_, table, c) in tables {
        let of_table = counted.table(&table);
        of_table.counts = of_table.counts.plus(c);
        of_table.skips.unchanged += c.skip;
    }
    (parsed.hash == parsed.stated_hash && counted.agrees(&parsed.header)).then_some(parsed)
}

/// Gives every fragment and entry of a plan that was verified so to `sink`, in order. `None` where
/// the file is no longer what it was: what `sink` took must not be used then.
///
/// # Errors
/// Whatever `sink` returns.
pub(super) fn stream(
    file: &File,
    hash: &str,
    sink: &mut dyn FnMut(Item) -> Result<()>,
) -> Result<Option<()>> {
    // Both sections give to one sink, but never at once.
    let sink = std::cell::RefCell::new(sink);
    let give = |item| (sink.borrow_mut())(item).map_err(Stop::Refused);
    let mut fragment = |line: &[u8]| give(Item::Fragment(canonical::<Fragment>(line)?));
    let mut entry = |line: &[u8]| give(Item::Entry(entry_of(line)?));
    match read(file, &mut fragment, &mut entry) {
        Ok(parsed) if parsed.hash == hash => Ok(Some(())),
        Ok(_) | Err(Stop::Otherwise) => Ok(None),
        Err(Stop::Refused(e)) => Err(e),
    }
}

/// Whether a line of a skip says that nothing would change. The reason stands behind the key, in which a
/// column may have its name.
fn is_unchanged(line: &[u8]) -> bool {
    let reason = memchr::memmem::rfind(line, b"\"reason\":");
    reason.is_some_and(|at| line[at..].starts_with(b"\"reason\":\"unchanged\""))
}

fn entry_of(line: &[u8]) -> std::result::Result<Entry, Stop> {
    Entry::try_from(canonical::<EntryLine>(line)?).map_err(|_| Stop::Otherwise)
}

/// What a line says, if it says so in canonical form.
fn canonical<T: Serialize + DeserializeOwned>(line: &[u8]) -> std::result::Result<T, Stop> {
    let item: T = serde_json::from_slice(line).map_err(|_| Stop::Otherwise)?;
    let mut again = Same(line);
    serde_json::to_writer(&mut again, &item).map_err(|_| Stop::Otherwise)?;
    if again.0.is_empty() {
        Ok(item)
    } else {
        Err(Stop::Otherwise)
    }
}

/// Takes the bytes that it holds, in order, and no others.
struct Same<'a>(&'a [u8]);

impl Write for Same<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self
            .0
            .strip_prefix(bytes)
            .ok_or(std::io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

type Take<'a> = &'a mut dyn FnMut(&[u8]) -> std::result::Result<(), Stop>;

/// Reads header and lines; the hash is over the lines as they stand.
fn read(file: &File, fragment: Take<'_>, entry: Take<'_>) -> std::result::Result<Parsed, Stop> {
    let mut handle = file;
    handle
        .seek(SeekFrom::Start(0))
        .map_err(|_| Stop::Otherwise)?;
    let mut lines = Lines {
        reader: BufReader::with_capacity(1 << 18, handle),
        line: Vec::new(),
    };
    let mut header = Vec::new();
    loop {
        match lines.next()? {
            b"\"fragments\": [" => break,
            line if header.len() < LONGEST_HEADER => header.extend_from_slice(line),
            _ => return Err(Stop::Otherwise),
        }
    }
    header.extend_from_slice(b"\"fragments\": [], \"changes\": []}");
    let mut parsed = parse_from(header.as_slice(), "", &mut |_| Ok(()), &mut |_| Ok(()))
        .map_err(|_| Stop::Otherwise)?;
    let fragments = lines.section(b"],", fragment)?;
    if lines.next()? != b"\"changes\": [" {
        return Err(Stop::Otherwise);
    }
    let entries = lines.section(b"]", entry)?;
    if lines.next()? != b"}" || !lines.ended() {
        return Err(Stop::Otherwise);
    }
    parsed.sections = Sections {
        fragments: fragments.finalize().to_vec(),
        changes: entries.finalize().to_vec(),
    };
    parsed.hash = plan_hash(&parsed.header, &parsed.sections).map_err(|_| Stop::Otherwise)?;
    Ok(parsed)
}

struct Lines<R> {
    reader: R,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// The next line without its end; none behind the last, or where reading fails.
    fn next(&mut self) -> std::result::Result<&[u8], Stop> {
        self.line.clear();
        self.reader
            .read_until(b'\n', &mut self.line)
            .map_err(|_| Stop::Otherwise)?;
        self.line.strip_suffix(b"\n").ok_or(Stop::Otherwise)
    }

    /// Whether nothing follows, with a line end or without.
    fn ended(&mut self) -> bool {
        self.reader.fill_buf().is_ok_and(<[u8]>::is_empty)
    }

    /// The digest of the lines up to `end`.
    fn section(&mut self, end: &[u8], take: Take<'_>) -> std::result::Result<Sha256, Stop> {
        let mut hasher = Sha256::new();
        // A comma stands between two lines, and nowhere else.
        let mut comma = None;
        loop {
            let line = self.next()?;
            match (line == end, comma) {
                (true, Some(true)) | (false, Some(false)) => return Err(Stop::Otherwise),
                (true, _) => return Ok(hasher),
                (false, _) => {}
            }
            let item = line.strip_suffix(b",");
            comma = Some(item.is_some());
            let line = item.unwrap_or(line);
            take(line)?;
            hasher.update(line);
            hasher.update(b"\n");
        }
    }
}
