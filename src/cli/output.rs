//! A file that is there as a whole when all went well, and else as it was.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::source::pipe;

/// What becomes the file at a path.
pub struct Output {
    /// Where; a link goes on leading to the file.
    path: PathBuf,
    doing: String,
    whole: Whole,
}

enum Whole {
    /// Beside the file, in whose place it is put.
    Beside(tempfile::NamedTempFile),
    /// Something other than a file stands there (a pipe, a device): the whole is written to it.
    Through(File, Duration),
}

impl Output {
    /// Nothing yet of the file at `path`, whose folder must be there, and which is replaced only if it is
    /// empty or says `own` near its beginning; without `own` never. A pipe's reader is waited for `patience` long.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io), saying what was being `doing`; [`Config`](crate::ErrorKind::Config) where another file
    /// is there.
    pub fn new(
        path: &Path,
        doing: String,
        own: Option<&str>,
        patience: Duration,
    ) -> Result<Output> {
        let failed = |e: std::io::Error| Error::io(&doing, e);
        if path.as_os_str() == "-" {
            return Err(Error::config(format!(
                "{doing}: - stands for no file here; standard output is where it goes when no file is named"
            )));
        }
        if !pipe::is_plain(path) {
            let whole = Whole::Through(tempfile::tempfile().map_err(failed)?, patience);
            let path = path.to_owned();
            return Ok(Output { path, doing, whole });
        }
        let path = if path.exists() {
            std::fs::canonicalize(path).map_err(failed)?
        } else {
            path.to_owned()
        };
        if path.exists() && !is_own(&path, own).map_err(failed)? {
            let what = match own {
                Some(_) => "that is something else",
                None => "already, and somebody's work may stand in it",
            };
            return Err(Error::config(format!(
                "{doing}: a file is there {what}; name another one, or remove it"
            )));
        }
        let folder = folder_of(&path);
        if !folder.is_dir() {
            return Err(Error::local(format!(
                "{doing}: there is no folder {}",
                folder.display()
            )));
        }
        let whole = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        Ok(Output {
            path,
            doing,
            whole: Whole::Beside(whole),
        })
    }

    /// What is written to.
    pub fn file(&self) -> &File {
        match &self.whole {
            Whole::Beside(file) => file.as_file(),
            Whole::Through(file, _) => file,
        }
    }

    /// Whether a file from before stays where nothing is put in its place.
    pub fn replaces(&self) -> bool {
        matches!(self.whole, Whole::Beside(_)) && self.path.exists()
    }

    /// Lets everybody read the file.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io).
    pub fn for_everybody(&self) -> Result<()> {
        #[cfg(unix)]
        if let Whole::Beside(file) = &self.whole {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::Permissions::from_mode(0o644);
            let set = file.as_file().set_permissions(mode);
            set.map_err(|e| Error::io(&self.doing, e))?;
        }
        Ok(())
    }

    /// Puts what was written in its place.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io); [`Locked`](crate::ErrorKind::Locked) where nobody reads a pipe.
    pub fn finish(self) -> Result<()> {
        let failed = |e: std::io::Error| Error::io(&self.doing, e);
        match self.whole {
            Whole::Beside(file) => {
                let put = file.persist(&self.path);
                put.map(drop).map_err(|e| failed(e.error))
            }
            Whole::Through(mut file, patience) => {
                file.rewind().map_err(failed)?;
                pipe::fill(&self.path, file, &self.doing, patience)
            }
        }
    }
}

/// Whether a file is empty, or says this near its beginning.
///
/// # Errors
/// Those of reading it.
pub fn is_own(path: &Path, says: Option<&str>) -> std::io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(1 << 16).read_to_end(&mut start)?;
    let start = String::from_utf8_lossy(&start);
    Ok(start.trim().is_empty() || says.is_some_and(|says| start.contains(says)))
}

/// The folder in which a file is.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
