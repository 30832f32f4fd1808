//! Files that people name on the command line, `-` among them.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::source::pipe::{self, Pieces};

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
    if !is_stdin(path) && pipe::is_plain(path) {
        return Ok((File::open(path).map_err(cannot)?, name));
    }
    let no_plan = || {
        Error::plan_refused(format!(
            "{name}: not a plan: it does not begin with a brace"
        ))
    };
    let mut spool = tempfile::tempfile().map_err(cannot)?;
    let (mut begun, mut blank) = (false, 0);
    let mut pieces = pieces(path, &doing, patience);
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

/// The text in the file at `path`, `-` for standard input; `what` it is, for messages.
///
/// # Errors
/// As [`pipe::text`].
pub fn text(path: &Path, what: &str, patience: Duration) -> Result<String> {
    if is_stdin(path) {
        let doing = format!("cannot read {what} from standard input");
        return pieces(path, &doing, patience).text();
    }
    pipe::text(path, what, patience)
}

/// The bytes of the file at `path`, `-` for standard input; `what` it is, for messages.
///
/// # Errors
/// As [`pipe::bytes`].
pub fn bytes(path: &Path, what: &str, patience: Duration) -> Result<Vec<u8>> {
    if is_stdin(path) {
        let doing = format!("cannot read {what} from standard input");
        return pieces(path, &doing, patience).bytes();
    }
    pipe::bytes(path, what, patience)
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn pieces<'a>(path: &Path, doing: &'a str, patience: Duration) -> Pieces<'a> {
    if is_stdin(path) {
        Pieces::of(|| Ok(std::io::stdin()), doing, patience)
    } else {
        Pieces::of_file(path, doing, patience)
    }
}
