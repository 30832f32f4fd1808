//! How far reading has come.

use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use crate::ops::Event;

/// After so many records it is told how far reading has come.
const TOLD: u64 = 1_000;

/// A file of which is known how many bytes were read.
pub struct Counted<'c> {
    pub file: File,
    pub read: &'c Cell<u64>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.read.set(self.read.get() + n as u64);
        Ok(n)
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}

/// How far reading has come.
#[derive(Clone, Copy, Default)]
pub struct Far {
    /// Objects that are read.
    pub objects: u64,
    /// Objects in all.
    pub of: u64,
    /// Bytes of the objects that are read.
    pub bytes: u64,
    /// Bytes in all.
    pub of_bytes: u64,
}

impl Far {
    /// Where so many records are read, and so many bytes of those of the next object, whose size was listed;
    /// now and then.
    pub fn within(self, records: u64, size: u64, (read, whole): (u64, u64)) -> Option<Event> {
        // What is unpacked, or read twice, has other bytes than were listed.
        let part = read.min(whole) as f64 / whole.max(1) as f64;
        let event = || self.event(records, (size as f64 * part) as u64);
        records.is_multiple_of(TOLD).then(event)
    }

    /// Where so many records are read, and `part` of the bytes of the next object.
    pub fn event(self, records: u64, part: u64) -> Event {
        Event::Reading {
            objects: self.objects,
            of: self.of,
            records,
            bytes: self.bytes + part,
            of_bytes: self.of_bytes,
        }
    }
}
