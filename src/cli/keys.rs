//! For whom a plan's sensitive values are encrypted, and what opens it. Without the feature
//! `encryption` there are no such flags.

use std::fs::File;
use std::path::Path;
#[cfg(feature = "encryption")]
use std::path::PathBuf;
use std::time::Duration;

use super::input;
use crate::error::Result;
use crate::plan::Header;
use crate::planfile::{Outcome, PlanFile, Rehearsal};

/// How long a pipe with recipients is waited for.
#[cfg(feature = "encryption")]
const PATIENCE: Duration = Duration::from_secs(60);

/// For whom sensitive values are encrypted.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct Recipients {
    /// Encrypt the values of sensitive columns for this age public key, age1… (repeatable)
    #[cfg(feature = "encryption")]
    #[arg(long, value_name = "KEY")]
    recipient: Vec<String>,
    /// Encrypt them for the keys in this file, one per line (repeatable)
    #[cfg(feature = "encryption")]
    #[arg(long, value_name = "FILE")]
    recipients_file: Vec<PathBuf>,
}

/// A plan that was written.
#[derive(Debug, Clone)]
pub struct Made {
    /// Everything but its fragments and entries.
    pub header: Header,
    /// Its hash.
    pub hash: String,
    /// Where its values are encrypted, the hash of the file as everybody sees it.
    pub masked_hash: Option<String>,
    /// How its rehearsal ended, where there was one.
    pub rehearsal: Option<Rehearsal>,
    /// How many entries of the queue its apply sets; counted where no row changes.
    pub verdicts: u64,
}

impl Made {
    /// Whether a rehearsal said that apply refuses it.
    pub fn would_be_refused(&self) -> bool {
        let outcome = self.rehearsal.as_ref().map(|r| r.outcome);
        outcome == Some(Outcome::Refused)
    }
}

impl Recipients {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        #[cfg(feature = "encryption")]
        return self.recipient.is_empty() && self.recipients_file.is_empty();
        #[cfg(not(feature = "encryption"))]
        return true;
    }

    /// Writes the plan that `make` makes to `out`, encrypted if there is somebody to do it for.
    pub async fn write(
        &self,
        out: &File,
        make: impl AsyncFnOnce(&File) -> Result<(Header, String)>,
    ) -> Result<Made> {
        #[cfg(feature = "encryption")]
        if let Some(keys) = self.keys()? {
            let plain = super::temporary()?;
            let (header, _) = make(&plain).await?;
            let plan = PlanFile::verify(plain, "the plan".into())?;
            let (hash, masked_hash) = crate::planfile::seal(&plan, &keys, out)?;
            if masked_hash.is_none() {
                super::say(
                    "note: no table of this plan has sensitive columns: nothing is encrypted",
                );
            }
            return Ok(Made {
                header,
                hash,
                masked_hash,
                rehearsal: None,
                verdicts: 0,
            });
        }
        let (header, hash) = make(out).await?;
        Ok(Made {
            header,
            hash,
            masked_hash: None,
            rehearsal: None,
            verdicts: 0,
        })
    }

    #[cfg(feature = "encryption")]
    fn keys(&self) -> Result<Option<crate::planfile::age::Recipients>> {
        let mut texts = self.recipient.clone();
        for path in &self.recipients_file {
            let before = texts.len();
            let text = input::text(path, "the recipients", PATIENCE)?;
            let lines = text.lines().map(str::trim);
            let lines = lines.filter(|l| !l.is_empty() && !l.starts_with('#'));
            texts.extend(lines.map(str::to_owned));
            if texts.len() == before {
                return Err(crate::Error::config(format!(
                    "{}: there is no recipient in it",
                    path.display()
                )));
            }
        }
        if texts.is_empty() {
            return Ok(None);
        }
        let texts = texts.iter().map(|t| t.trim());
        crate::planfile::age::Recipients::parse(texts).map(Some)
    }
}

/// What opens a plan whose sensitive values are encrypted.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct Identity {
    /// A file with the age secret key that opens an encrypted plan; people are shown masked values all the same
    #[cfg(feature = "encryption")]
    #[arg(long, env = "LOADER_IDENTITY", value_name = "FILE")]
    identity: Option<PathBuf>,
}

impl Identity {
    /// The plan in the file `path`, verified; opened if it is sealed and there is a key.
    pub fn open(&self, path: &Path, patience: Duration) -> Result<PlanFile> {
        let (file, name) = input::plan(path, patience)?;
        let plan = PlanFile::verify(file, name)?;
        #[cfg(feature = "encryption")]
        if let (Some(file), Some(_)) = (&self.identity, plan.sealed_for()) {
            let name = file.display().to_string();
            let keys = crate::planfile::age::Identities::parse(
                &name,
                &input::text(file, "the identity", patience)?,
            )?;
            return plan.unseal(&keys);
        }
        Ok(plan)
    }
}
