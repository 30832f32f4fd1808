//! The part of a text that a reader has in view.

use std::io::{self, BufRead, Read};

use super::TooLarge;

/// Bytes in view, which grow at the end and are consumed at the start.
pub(super) trait Window {
    /// What is in view.
    fn bytes(&self) -> &[u8];

    /// Brings more into view; false where the text has no more.
    fn grow(&mut self) -> io::Result<bool>;

    /// Drops the first `count` bytes in view.
    fn consume(&mut self, count: usize);
}

impl Window for &[u8] {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn grow(&mut self) -> io::Result<bool> {
        Ok(false)
    }

    fn consume(&mut self, count: usize) {
        *self = &self[count..];
    }
}

/// A window over a reader. It doubles when it grows, so that scanning a long value again from its
/// start after each growth stays linear; beyond `most` bytes it does not grow.
pub(super) struct Buffered<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    most: u64,
}

impl<R: BufRead> Buffered<R> {
    const LEAST: usize = 256 * 1024;

    pub(super) fn new(reader: R, most: u64) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            start: 0,
            most,
        }
    }
}

impl<R: BufRead> Window for Buffered<R> {
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn grow(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let held = self.buffer.len() as u64;
        // What stands behind a record is in view with it.
        let room = (self.most + Self::LEAST as u64).saturating_sub(held);
        if room == 0 {
            return Err(TooLarge::record(self.most).into());
        }
        let more = held.max(Self::LEAST as u64).min(room);
        let read = (&mut self.reader)
            .take(more)
            .read_to_end(&mut self.buffer)?;
        Ok(read > 0)
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_follows_what_is_not_consumed() {
        let mut window = Buffered::new(
            io::BufReader::new(io::repeat(b'x').take(20_000_000)),
            1 << 20,
        );
        let mut total = 0;
        while window.grow().unwrap() {
            let consumed = window.bytes().len() - 10;
            window.consume(consumed);
            total += consumed;
        }
        assert_eq!(total + window.bytes().len(), 20_000_000);
        assert!(window.buffer.capacity() < 4 * Buffered::<io::Empty>::LEAST);
    }

    #[test]
    fn what_is_too_large_is_not_held() {
        let mut window = Buffered::new(io::BufReader::new(io::repeat(b'x')), 1 << 20);
        let error = loop {
            if let Err(e) = window.grow() {
                break e;
            }
        };
        assert!(TooLarge::of(&error).is_some());
        assert!(window.buffer.capacity() < 1 << 22);
    }
}
