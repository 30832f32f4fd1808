//! Files that people name. What is no plain file, a pipe or a device, is read and written within bounds:
//! nobody may ever be at its other end, or nobody end.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use crate::error::{Error, Result};

/// The largest file of settings, keys or certificates, in bytes.
const LARGEST_TEXT: u64 = 64 << 20;
/// Bytes that are passed on at once.
const PIECE: usize = 1 << 16;

/// Whether it is a plain file, or not there at all.
pub fn is_plain(path: &Path) -> bool {
    std::fs::metadata(path).map_or(true, |m| m.is_file())
}

/// The text in the file at `path`; `what` it is, for messages.
///
/// # Errors
/// As [`bytes`], and where it is no UTF-8.
pub fn text(path: &Path, what: &str, patience: Duration) -> Result<String> {
    let doing = format!("{}: cannot read {what}", path.display());
    text_of(&doing, bytes(path, what, patience)?)
}

/// The bytes of the file at `path`; `what` it is, for messages.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where it cannot be read or is too large,
/// [`Locked`](crate::ErrorKind::Locked) where nobody writes to it.
pub fn bytes(path: &Path, what: &str, patience: Duration) -> Result<Vec<u8>> {
    let doing = format!("{}: cannot read {what}", path.display());
    if is_plain(path) {
        let file = File::open(path).map_err(|e| Error::io(&doing, e))?;
        return bytes_of(&doing, |bytes| {
            let read = file.take(LARGEST_TEXT + 1).read_to_end(bytes);
            read.map(drop).map_err(|e| Error::io(&doing, e))
        });
    }
    Pieces::of_file(path, &doing, patience).bytes()
}

fn bytes_of(doing: &str, read: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_TEXT {
        return Err(Error::local(format!(
            "{doing}: it has more than {LARGEST_TEXT} bytes"
        )));
    }
    Ok(bytes)
}

fn text_of(doing: &str, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| Error::local(format!("{doing}: it is not UTF-8")))
}

/// What comes out of a pipe or a device, piece by piece.
pub struct Pieces<'a> {
    pieces: Receiver<std::io::Result<Vec<u8>>>,
    doing: &'a str,
    patience: Duration,
}

impl<'a> Pieces<'a> {
    /// Of the file at `path`, waited for `patience` long at a time.
    pub fn of_file(path: &Path, doing: &'a str, patience: Duration) -> Pieces<'a> {
        let path = path.to_owned();
        Pieces::of(move || File::open(path), doing, patience)
    }

    /// Of what `open` gives.
    pub fn of<R: Read>(
        open: impl FnOnce() -> std::io::Result<R> + Send + 'static,
        doing: &'a str,
        patience: Duration,
    ) -> Pieces<'a> {
        let (send, pieces) = sync_channel(4);
        // Nothing can wake a thread that waits for a writer: it ends with the process.
        std::thread::spawn(move || {
            let mut from = match open() {
                Ok(from) => from,
                Err(e) => return drop(send.send(Err(e))),
            };
            loop {
                let mut piece = vec![0; PIECE];
                let read = from.read(&mut piece);
                let sent = match read {
                    Ok(0) => return,
                    Ok(count) => {
                        piece.truncate(count);
                        send.send(Ok(piece))
                    }
                    Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                    Err(e) => return drop(send.send(Err(e))),
                };
                if sent.is_err() {
                    return;
                }
            }
        });
        Pieces {
            pieces,
            doing,
            patience,
        }
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// As [`text`].
    pub fn next(&mut self) -> Result<Option<Vec<u8>>> {
        match self.pieces.recv_timeout(self.patience) {
            Ok(Ok(piece)) => Ok(Some(piece)),
            Ok(Err(e)) => Err(Error::io(self.doing, e)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(silent(self.doing, "wrote to it", self.patience)),
        }
    }

    /// All of them as one text.
    ///
    /// # Errors
    /// As [`text`].
    pub fn text(self) -> Result<String> {
        text_of(self.doing, self.bytes()?)
    }

    /// All of them.
    ///
    /// # Errors
    /// As [`bytes`].
    pub fn bytes(mut self) -> Result<Vec<u8>> {
        bytes_of(self.doing, |bytes| {
            while bytes.len() as u64 <= LARGEST_TEXT
                && let Some(piece) = self.next()?
            {
                bytes.extend_from_slice(&piece);
            }
            Ok(())
        })
    }
}

/// Writes all that is in `from` to the pipe or device at `path`, whose reader is waited for `patience`
/// long at a time.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where it cannot be written, [`Locked`](crate::ErrorKind::Locked) where
/// nobody reads it.
pub fn fill(
    path: &Path,
    mut from: impl Read + Send + 'static,
    doing: &str,
    patience: Duration,
) -> Result<()> {
    let (send, written) = sync_channel(4);
    let path = path.to_owned();
    // As above: it ends with the process.
    std::thread::spawn(move || {
        let mut copy = || -> std::io::Result<()> {
            let mut out = std::fs::OpenOptions::new().write(true).open(&path)?;
            let mut piece = vec![0; PIECE];
            loop {
                let count = from.read(&mut piece)?;
                if count == 0 {
                    return Ok(());
                }
                out.write_all(&piece[..count])?;
                if send.send(Ok(())).is_err() {
                    return Ok(());
                }
            }
        };
        if let Err(e) = copy() {
            drop(send.send(Err(e)));
        }
    });
    loop {
        match written.recv_timeout(patience) {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(Error::io(doing, e)),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => return Err(silent(doing, "read it", patience)),
        }
    }
}

/// The error for a pipe at whose other end nobody is.
fn silent(doing: &str, what: &str, patience: Duration) -> Error {
    Error::locked(format!(
        "{doing}: nobody {what} for {} s",
        patience.as_secs()
    ))
}
