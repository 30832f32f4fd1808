//! Files that people name. What is no plain file, a pipe or a device, is read within bounds: nobody may ever
//! write to it, or nobody end.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use crate::error::{Error, Result};

/// The largest configuration or key file, in bytes.
const LARGEST_TEXT: u64 = 64 << 20;
/// A plan begins within so many bytes, or is none.
const BLANK: usize = 1 << 16;

/// The file with a plan at `path`, open at its start, and its name; `-` is standard input. What is no
/// plain file is copied first, and waited for `patience` long at a time.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where it cannot be read, [`Locked`](crate::ErrorKind::Locked) where nobody
/// writes to it, [`PlanRefused`](crate::ErrorKind::PlanRefused) where it does not begin as a plan.
pub fn plan(path: &Path, patience: Duration) -> Result<(File, String)> {
    let name = path.display().to_string();
    let doing = format!("{name}: cannot read the plan");
    let cannot = |e| Error::io(&doing, e);
    if is_plain(path) {
        return Ok((File::open(path).map_err(cannot)?, name));
    }
    let no_plan = || {
        Error::plan_refused(format!(
            "{name}: not a plan: it does not begin with a brace"
        ))
    };
    let mut spool = tempfile::tempfile().map_err(cannot)?;
    let (mut begun, mut blank) = (false, 0);
    let mut pieces = Pieces::of(path, &doing, patience);
    while let Some(piece) = pieces.next()? {
        if !begun {
            match piece.iter().find(|b| !b.is_ascii_whitespace()) {
                Some(b'{') => begun = true,
                None if blank < BLANK => blank += piece.len(),
                _ => return Err(no_plan()),
            }
        }
        spool.write_all(&piece).map_err(cannot)?;
    }
    spool.rewind().map_err(cannot)?;
    Ok((spool, name))
}

/// The text in the file at `path`; `what` it is, for messages.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where it cannot be read, is too large or no UTF-8,
/// [`Locked`](crate::ErrorKind::Locked) where nobody writes to it.
pub fn text(path: &Path, what: &str, patience: Duration) -> Result<String> {
    let doing = format!("{}: cannot read {what}", path.display());
    let cannot = |e| Error::io(&doing, e);
    let mut bytes = Vec::new();
    if is_plain(path) {
        let file = File::open(path).map_err(cannot)?;
        file.take(LARGEST_TEXT + 1)
            .read_to_end(&mut bytes)
            .map_err(cannot)?;
    } else {
        let mut pieces = Pieces::of(path, &doing, patience);
        while let Some(piece) = pieces.next()?
            && bytes.len() as u64 <= LARGEST_TEXT
        {
            bytes.extend_from_slice(&piece);
        }
    }
    if bytes.len() as u64 > LARGEST_TEXT {
        return Err(Error::local(format!(
            "{doing}: it has more than {LARGEST_TEXT} bytes"
        )));
    }
    String::from_utf8(bytes).map_err(|_| Error::local(format!("{doing}: it is not UTF-8")))
}

/// Whether it is a plain file, or not there at all.
fn is_plain(path: &Path) -> bool {
    path.as_os_str() != "-" && std::fs::metadata(path).map_or(true, |m| m.is_file())
}

/// What comes out of a pipe or a device, piece by piece.
struct Pieces<'a> {
    pieces: Receiver<std::io::Result<Vec<u8>>>,
    doing: &'a str,
    patience: Duration,
}

impl Pieces<'_> {
    fn of<'a>(path: &Path, doing: &'a str, patience: Duration) -> Pieces<'a> {
        let (send, pieces) = sync_channel(4);
        let path = path.to_owned();
        // Nothing can wake a thread that waits for a writer: it ends with the process.
        std::thread::spawn(move || {
            let from: std::io::Result<Box<dyn Read>> = if path.as_os_str() == "-" {
                Ok(Box::new(std::io::stdin()))
            } else {
                File::open(path).map(|file| Box::new(file) as Box<dyn Read>)
            };
            let mut from = match from {
                Ok(from) => from,
                Err(e) => return drop(send.send(Err(e))),
            };
            loop {
                let mut piece = vec![0; 1 << 16];
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
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        match self.pieces.recv_timeout(self.patience) {
            Ok(Ok(piece)) => Ok(Some(piece)),
            Ok(Err(e)) => Err(Error::io(self.doing, e)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(Error::locked(format!(
                "{}: nobody wrote to it for {} s",
                self.doing,
                self.patience.as_secs()
            ))),
        }
    }
}
