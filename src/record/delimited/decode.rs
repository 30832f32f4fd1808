//! Text in another encoding than UTF-8.

use std::io::{self, BufRead, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding};

/// A reader of the UTF-8 of what `reader` has in another encoding.
pub(super) struct Decoded<R> {
    reader: R,
    decoder: Decoder,
    /// Decoded, and not yet read.
    text: Vec<u8>,
    read: usize,
    /// Bytes decoded.
    position: u64,
    ended: bool,
}

impl<R: BufRead> Decoded<R> {
    pub(super) fn new(reader: R, encoding: &'static Encoding) -> Self {
        Self {
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

impl<R: BufRead> Read for Decoded<R> {
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
