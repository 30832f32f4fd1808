//! Text in another encoding than UTF-8.

use std::cell::Cell;
use std::io::{self, BufRead, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};

/// A reader of the UTF-8 of what `reader` has in another encoding.
pub(super) struct Decoded<'a, R> {
    reader: R,
    decoder: Decoder,
    as_utf8: AsUtf8<'a>,
    /// Decoded, and not yet read.
    text: Vec<u8>,
    read: usize,
    /// Bytes decoded.
    position: u64,
    ended: bool,
}

/// Whether bytes that are read as letters of one byte each could be UTF-8, as those of other files hardly ever can.
struct AsUtf8<'a> {
    decoder: Option<Decoder>,
    scratch: Vec<u8>,
    is_ascii: bool,
    /// Where that is told, when all is read.
    seems: &'a Cell<bool>,
}

impl AsUtf8<'_> {
    fn take(&mut self, bytes: &[u8], last: bool) {
        let Some(decoder) = &mut self.decoder else {
            return;
        };
        self.is_ascii &= bytes.is_ascii();
        let room = decoder.max_utf8_buffer_length(bytes.len());
        self.scratch.resize(room.unwrap_or(4 * bytes.len()), 0);
        let (_, _, _, wrong) = decoder.decode_to_utf8(bytes, &mut self.scratch, last);
        if wrong {
            self.decoder = None;
        } else if last {
            self.seems.set(!self.is_ascii);
        }
    }
}

impl<'a, R: BufRead> Decoded<'a, R> {
    /// `seems_utf8` is told whether it may be UTF-8 just as well.
    pub(super) fn new(reader: R, encoding: &'static Encoding, seems_utf8: &'a Cell<bool>) -> Self {
        let is_single_byte = encoding.is_single_byte();
        Self {
            as_utf8: AsUtf8 {
                decoder: is_single_byte.then(|| UTF_8.new_decoder_without_bom_handling()),
                scratch: Vec::new(),
                is_ascii: true,
                seems: seems_utf8,
            },
            reader,
            decoder: encoding.new_decoder_with_bom_removal(),
            text: Vec::new(),
            read: 0,
            position: 0,
            ended: false,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let bytes = self.reader.fill_buf()?;
        let last = bytes.is_empty();
        let encoding = self.decoder.encoding();
        if self.position == 0
            && let Some((other, _)) = Encoding::for_bom(bytes)
            && other != encoding
        {
            let (other, set) = (other.name(), encoding.name());
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "the file begins with the byte order mark of {other}, and `csv: {{encoding: …}}` in tables.yaml says {set}"
                ),
            ));
        }
        let room = self
            .decoder
            .max_utf8_buffer_length_without_replacement(bytes.len());
        self.text.resize(room.unwrap_or(16 * bytes.len()), 0);
        let (result, taken, written) =
            self.decoder
                .decode_to_utf8_without_replacement(bytes, &mut self.text, last);
        self.text.truncate(written);
        self.as_utf8.take(&bytes[..taken], last);
        self.read = 0;
        self.position += taken as u64;
        self.reader.consume(taken);
        if let DecoderResult::Malformed(..) = result {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "what stands before byte {} is not {}; `csv: {{encoding: …}}` in tables.yaml says how the file is encoded",
                    self.position + 1,
                    self.decoder.encoding().name()
                ),
            ));
        }
        self.ended = last;
        Ok(())
    }
}

impl<R: BufRead> Read for Decoded<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.read == self.text.len() && !self.ended {
            self.fill()?;
        }
        let count = into.len().min(self.text.len() - self.read);
        into[..count].copy_from_slice(&self.text[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}
