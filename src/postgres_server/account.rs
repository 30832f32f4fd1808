//! The user that the server runs as.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;

use super::LaunchError;

/// The user that the server runs as where we are root, which it refuses to run as.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    pub(super) user: u32,
    pub(super) group: u32,
}

impl Account {
    /// `None` unless we are root; else `postgres` or `nobody`, who is then given `folder`.
    pub(super) fn for_server(folder: &Path) -> Result<Option<Self>, LaunchError> {
        let hand_over = || {
            LaunchError::system(format!(
                "give {} to another user than root",
                folder.display()
            ))
        };
        // We made the folder, so its owner is the user that we run as.
        if fs::metadata(folder).map_err(hand_over())?.uid() != 0 {
            return Ok(None);
        }
        let account = Self::named("postgres").or_else(|| Self::named("nobody"));
        let account = account.ok_or_else(|| {
            hand_over()(std::io::Error::other("no user postgres, no user nobody"))
        })?;
        chown(folder, Some(account.user), Some(account.group)).map_err(hand_over())?;
        Ok(Some(account))
    }

    fn named(name: &str) -> Option<Self> {
        let id = |option| {
            let output = Command::new("id").args([option, name]).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        Some(Self {
            user: id("-u")?,
            group: id("-g")?,
        })
    }
}
