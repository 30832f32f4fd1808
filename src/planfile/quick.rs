//! A plan as it was written is verified without decoding its entries: their lines are what was
//! hashed. Whatever looks otherwise is left to the reader that decodes everything.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};

use sha2::{Digest, Sha256};

use super::plan_hash;
use super::read::{Parsed, parse_from};
use crate::plan::Counts;

/// The longest header that is tried, in bytes.
const LONGEST_HEADER: usize = 16 << 20;

/// The plan in `file`, if it stands there as it was written and its hash is right.
pub(super) fn verified(file: &File) -> Option<Parsed> {
    let mut handle = file;
    handle.seek(SeekFrom::Start(0)).ok()?;
    let mut lines = Lines {
        reader: BufReader::with_capacity(1 << 18, handle),
        line: Vec::new(),
    };
    let mut header = Vec::new();
    loop {
        match lines.next()? {
            b"\"fragments\": [" => break,
            line if header.len() < LONGEST_HEADER => header.extend_from_slice(line),
            _ => return None,
        }
    }
    header.extend_from_slice(b"\"fragments\": [], \"changes\": []}");
    let mut parsed = parse_from(header.as_slice(), "", &mut |_| Ok(())).ok()?;
    let mut counts = Counts::default();
    let fragments = lines.section(b"],", &mut |_| Some(()))?;
    if lines.next()? != b"\"changes\": [" {
        return None;
    }
    let entries = lines.section(b"]", &mut |line| {
        *match line.strip_prefix(b"{\"action\":\"")?.first()? {
            b'i' => &mut counts.insert,
            b'u' => &mut counts.update,
            b'd' => &mut counts.delete,
            b's' => &mut counts.skip,
            b'v' => &mut counts.violation,
            _ => return None,
        } += 1;
        Some(())
    })?;
    if lines.next()? != b"}" || lines.next().is_some() {
        return None;
    }
    parsed.entries = entries.finalize().to_vec();
    parsed.hash = plan_hash(&parsed.header, fragments, &parsed.entries).ok()?;
    (parsed.hash == parsed.stated_hash && counts == parsed.header.summary).then_some(parsed)
}

struct Lines<R> {
    reader: R,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// The next line without its end; none behind the last, or where reading fails.
    fn next(&mut self) -> Option<&[u8]> {
        self.line.clear();
        self.reader.read_until(b'\n', &mut self.line).ok()?;
        self.line.strip_suffix(b"\n")
    }

    /// The digest of the lines up to `end`.
    fn section(&mut self, end: &[u8], each: &mut dyn FnMut(&[u8]) -> Option<()>) -> Option<Sha256> {
        let mut hasher = Sha256::new();
        loop {
            let line = self.next()?;
            if line == end {
                return Some(hasher);
            }
            let line = line.strip_suffix(b",").unwrap_or(line);
            each(line)?;
            hasher.update(line);
            hasher.update(b"\n");
        }
    }
}
