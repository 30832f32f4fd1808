//! Bytes on their way from a store to a reader: counted, hashed, and on disk when they are many.

use std::io::{self, BufReader, Read, Seek, Write};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use tempfile::{SpooledData, SpooledTempFile};

use super::{Body, SourceError};

/// What one object may take in memory, in bytes.
const IN_MEMORY: usize = 8 * 1024 * 1024;

/// The bytes of one object, as delivered.
pub(super) struct Spool {
    file: SpooledTempFile,
    hash: Sha256,
    received: u64,
}

impl Spool {
    pub(super) fn new() -> Self {
        Self {
            file: SpooledTempFile::new(IN_MEMORY),
            hash: Sha256::new(),
            received: 0,
        }
    }

    /// Number of bytes written.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// SHA-256 of the bytes written.
    pub(super) fn sha256(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    /// The content; decompressed, to so many bytes at most, where `unpacked` says so. `target` is the
    /// object's name, for messages.
    pub(super) fn body(self, unpacked: Option<u64>, target: &str) -> Result<Body, SourceError> {
        let failed = |error| SourceError::spool(target, error);
        let mut file = self.file;
        if let Some(most) = unpacked {
            file.rewind().map_err(failed)?;
            file = unpack(file, target, most)?;
        }
        file.rewind().map_err(failed)?;
        Ok(match file.into_inner() {
            SpooledData::InMemory(bytes) => Body::Memory(bytes.into_inner()),
            SpooledData::OnDisk(file) => Body::File(file),
        })
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.received += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn unpack(
    mut packed: SpooledTempFile,
    target: &str,
    most: u64,
) -> Result<SpooledTempFile, SourceError> {
    let broken = |found: String| SourceError::Gzip {
        target: target.to_owned(),
        found,
    };
    let failed = |error| SourceError::spool(target, error);
    let mut magic = Vec::new();
    let mut start = (&mut packed).take(2);
    start.read_to_end(&mut magic).map_err(failed)?;
    packed.rewind().map_err(failed)?;
    if magic != [0x1f, 0x8b] {
        return Err(broken(
            "its name ends in .gz, but it does not begin as gzip does".to_owned(),
        ));
    }
    let mut reader = MultiGzDecoder::new(BufReader::new(packed));
    let mut unpacked = SpooledTempFile::new(IN_MEMORY);
    let mut buffer = vec![0; 64 * 1024];
    let mut all = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(unpacked),
            Ok(count) => {
                all += count as u64;
                if all > most {
                    return Err(SourceError::TooLarge {
                        target: target.to_owned(),
                        how: " unpacked",
                        most,
                    });
                }
                unpacked.write_all(&buffer[..count]).map_err(failed)?;
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(broken("it is cut off".to_owned()));
            }
            Err(error) => return Err(broken(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn body(bytes: &[u8], gzip: bool) -> Result<Body, SourceError> {
        let mut spool = Spool::new();
        spool.write_all(bytes).unwrap();
        assert_eq!(spool.received(), bytes.len() as u64);
        spool.body(gzip.then_some(1 << 30), "x.json.gz")
    }

    fn bytes(body: Body) -> Vec<u8> {
        let mut bytes = Vec::new();
        match body {
            Body::Memory(memory) => bytes = memory,
            Body::File(mut file) => drop(file.read_to_end(&mut bytes).unwrap()),
        }
        bytes
    }

    #[test]
    fn the_hash_is_of_what_was_delivered() {
        let mut spool = Spool::new();
        spool.write_all(b"ab").unwrap();
        spool.write_all(b"c").unwrap();
        let sha256 = spool.sha256();
        assert_eq!(sha256[..4], [0xba, 0x78, 0x16, 0xbf]);
    }

    #[test]
    fn large_bodies_are_files() {
        let large = vec![b'x'; IN_MEMORY + 1];
        for (given, packed) in [(large.clone(), false), (gzip(&large), true)] {
            let body = body(&given, packed).unwrap();
            assert!(matches!(body, Body::File(_)));
            assert_eq!(bytes(body), large);
        }
        assert!(matches!(body(&large[1..], false), Ok(Body::Memory(_))));
        assert!(matches!(body(b"", false), Ok(Body::Memory(bytes)) if bytes.is_empty()));
    }

    #[test]
    fn members_of_gzip_are_joined() {
        let two = [gzip(b"a"), gzip(b""), gzip(b"b")].concat();
        assert_eq!(bytes(body(&two, true).unwrap()), b"ab");
        assert_eq!(bytes(body(&gzip(b""), true).unwrap()), b"");
    }

    #[test]
    fn broken_gzip_is_refused() {
        let whole = gzip(&b"some text that is compressed".repeat(100));
        for cut in 0..whole.len() {
            assert!(
                matches!(body(&whole[..cut], true), Err(SourceError::Gzip { .. })),
                "{cut}"
            );
        }
        let mut flipped = whole.clone();
        let last = flipped.len() - 6;
        flipped[last] ^= 1;
        for bytes in [flipped, [whole, b"more".to_vec()].concat(), b"{}".to_vec()] {
            let error = body(&bytes, true).unwrap_err().to_string();
            assert!(
                error.starts_with("cannot decompress x.json.gz: "),
                "{error}"
            );
        }
    }
}
