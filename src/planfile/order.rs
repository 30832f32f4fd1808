//! Lines that come in any order and leave in the order of their keys, in little memory: sorted runs
//! in temporary files, merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Result, Seek, SeekFrom, Write};

/// Bytes that put rows in the order of their natural keys' texts, as `COLLATE "C"` does; nulls last.
pub fn order_key<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> Vec<u8> {
    let mut order = Vec::with_capacity(64);
    for text in texts {
        match text {
            // No text holds a zero byte, so that a key sorts before what it is the beginning of.
            Some(text) => {
                order.push(1);
                order.extend_from_slice(text.as_bytes());
                order.push(0);
            }
            None => order.push(2),
        }
    }
    order
}

/// What is held in memory before it becomes a run, in bytes.
const RUN: usize = 8 << 20;

/// So many runs of one size are merged into one: what is open, and the memory that reading it takes, hardly grows with
/// the number of lines.
const MERGED: usize = 64;

/// Lines with their keys.
pub(crate) struct Unordered {
    /// Keys and lines, one after the other.
    text: Vec<u8>,
    held: Vec<Held>,
    /// In the order in which their lines came, each with how often it was merged.
    runs: Vec<(u32, File)>,
    most: usize,
    merged: usize,
}

/// Where a key and its line stand in the text.
#[derive(Clone, Copy)]
struct Held {
    start: usize,
    key: u32,
    line: u32,
}

impl Unordered {
    pub(crate) fn new() -> Unordered {
        Unordered {
            text: Vec::new(),
            held: Vec::new(),
            runs: Vec::new(),
            most: RUN,
            merged: MERGED,
        }
    }

    /// Takes a line.
    pub(crate) fn push(&mut self, key: &[u8], line: &[u8]) -> Result<()> {
        self.held.push(Held {
            start: self.text.len(),
            key: size(key)?,
            line: size(line)?,
        });
        self.text.extend_from_slice(key);
        self.text.extend_from_slice(line);
        if self.text.len() >= self.most {
            self.spill()?;
        }
        Ok(())
    }

    /// Gives all lines to `sink` in the order of their keys, and forgets them.
    pub(crate) fn drain(&mut self, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if self.runs.is_empty() {
            self.sort();
            for held in self.held.drain(..) {
                sink(held.parts(&self.text).1)?;
            }
            self.text.clear();
            return Ok(());
        }
        self.spill()?;
        let runs = std::mem::take(&mut self.runs).into_iter();
        merge(runs.map(|(_, file)| file), |run| sink(&run.line))
    }

    fn sort(&mut self) {
        let text = &self.text;
        self.held
            .sort_by(|a, b| a.parts(text).0.cmp(b.parts(text).0));
    }

    /// Writes what is held as a run.
    fn spill(&mut self) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.sort();
        let mut out = NewRun::new()?;
        for held in self.held.drain(..) {
            let (key, line) = held.parts(&self.text);
            out.push(key, line)?;
        }
        self.text.clear();
        self.runs.push((0, out.finish()?));
        self.merge_last()
    }

    /// Merges the last runs into one while there are so many that were merged equally often.
    fn merge_last(&mut self) -> Result<()> {
        while let Some(&(times, _)) = self.runs.last() {
            let others = self.runs.iter().rposition(|(other, _)| *other != times);
            let first = others.map_or(0, |other| other + 1);
            if self.runs.len() - first < self.merged {
                break;
            }
            let mut out = NewRun::new()?;
            let runs = self.runs.drain(first..);
            merge(runs.map(|(_, file)| file), |run| {
                out.push(&run.key, &run.line)
            })?;
            self.runs.push((times + 1, out.finish()?));
        }
        Ok(())
    }
}

/// Gives the lines of all runs to `sink` in the order of their keys; of equal keys, in that of the runs.
fn merge(
    files: impl Iterator<Item = File>,
    mut sink: impl FnMut(&Run) -> Result<()>,
) -> Result<()> {
    let mut heap = BinaryHeap::new();
    for (number, file) in files.enumerate() {
        let mut run = Run {
            key: Vec::new(),
            number,
            line: Vec::new(),
            reader: BufReader::with_capacity(1 << 16, file),
        };
        if run.advance()? {
            heap.push(Reverse(run));
        }
    }
    while let Some(mut first) = heap.peek_mut() {
        sink(&first.0)?;
        if !first.0.advance()? {
            PeekMut::pop(first);
        }
    }
    Ok(())
}

/// A run being written.
struct NewRun(BufWriter<File>);

impl NewRun {
    fn new() -> Result<NewRun> {
        Ok(NewRun(BufWriter::with_capacity(
            1 << 16,
            tempfile::tempfile()?,
        )))
    }

    fn push(&mut self, key: &[u8], line: &[u8]) -> Result<()> {
        self.0.write_all(&size(key)?.to_le_bytes())?;
        self.0.write_all(&size(line)?.to_le_bytes())?;
        self.0.write_all(key)?;
        self.0.write_all(line)
    }

    /// The file, to be read from its beginning.
    fn finish(self) -> Result<File> {
        let mut file = self.0.into_inner().map_err(|e| e.into_error())?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }
}

/// How many bytes these are.
fn size(bytes: &[u8]) -> Result<u32> {
    u32::try_from(bytes.len()).map_err(std::io::Error::other)
}

impl Held {
    fn parts(self, text: &[u8]) -> (&[u8], &[u8]) {
        let key = self.start + self.key as usize;
        (&text[self.start..key], &text[key..key + self.line as usize])
    }
}

/// A run being read; ordered by its next key, and then by its number.
struct Run {
    key: Vec<u8>,
    number: usize,
    line: Vec<u8>,
    reader: BufReader<File>,
}

impl Run {
    /// Goes to the next line; false behind the last.
    fn advance(&mut self) -> Result<bool> {
        let mut sizes = [0; 8];
        if self.reader.read(&mut sizes[..1])? == 0 {
            return Ok(false);
        }
        self.reader.read_exact(&mut sizes[1..])?;
        let size = |at: usize| {
            let bytes = [sizes[at], sizes[at + 1], sizes[at + 2], sizes[at + 3]];
            u32::from_le_bytes(bytes) as usize
        };
        self.key.resize(size(0), 0);
        self.reader.read_exact(&mut self.key)?;
        self.line.resize(size(4), 0);
        self.reader.read_exact(&mut self.line)?;
        Ok(true)
    }
}

impl PartialEq for Run {
    fn eq(&self, other: &Run) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Run {}

impl PartialOrd for Run {
    fn partial_cmp(&self, other: &Run) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Run {
    fn cmp(&self, other: &Run) -> std::cmp::Ordering {
        (&self.key, self.number).cmp(&(&other.key, other.number))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_leave_in_the_order_of_their_keys(
            pairs in proptest::collection::vec(("[ab\0]{0,3}", ".{0,4}"), 0..60),
            most in 1usize..80,
            merged in 2usize..8,
        ) {
            let mut unordered = Unordered { most, merged, ..Unordered::new() };
            // What is pushed after a drain stands for itself.
            for half in pairs.chunks(40) {
                for (key, line) in half {
                    unordered.push(key.as_bytes(), line.as_bytes()).unwrap();
                    for (times, _) in &unordered.runs {
                        let alike = unordered.runs.iter().filter(|(other, _)| other == times);
                        prop_assert!(alike.count() < merged, "few files are open");
                    }
                }
                let mut given = Vec::new();
                unordered.drain(&mut |line| {
                    given.push(String::from_utf8_lossy(line).into_owned());
                    Ok(())
                }).unwrap();
                let mut expect: Vec<_> = half.to_vec();
                expect.sort_by(|a, b| a.0.cmp(&b.0));
                let expect: Vec<String> = expect.into_iter().map(|(_, line)| line).collect();
                prop_assert_eq!(given, expect);
            }
        }
    }
}
