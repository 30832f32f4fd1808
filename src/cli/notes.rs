//! What the notes of a plan say of how it came about.

use super::settings::Settings;
use crate::error::Result;
use crate::planfile::Made;

#[derive(clap::Args, Debug)]
pub struct NotesArgs {
    /// Whether the plan's notes, which are not in the hash, say when, by whom and where it was made; without them the
    /// same batch and rows give the same file
    #[arg(long, env = "LOADER_NOTES", value_enum, default_value_t = NotesArg::On)]
    notes: NotesArg,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum NotesArg {
    On,
    Off,
}

impl NotesArgs {
    /// How a plan that is made now came about.
    ///
    /// # Errors
    /// A configuration error where no database is named.
    pub fn made(&self, settings: &Settings) -> Result<Option<Made>> {
        if self.notes == NotesArg::Off {
            return Ok(None);
        }
        let now = jiff::Timestamp::now();
        Ok(Some(Made {
            at: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            by: settings.actor(),
            on: whoami::hostname().unwrap_or_else(|_| "an unnamed machine".into()),
            database: settings.database()?.place(),
            version: env!("CARGO_PKG_VERSION").into(),
        }))
    }
}
