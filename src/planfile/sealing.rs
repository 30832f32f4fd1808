//! Encrypting a plan for who may see its sensitive values, and opening it.

use std::io::{BufReader, Seek, SeekFrom, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::age::{Identities, Recipients};
use super::line::EntryLine;
use super::parse::Item;
use super::read::PlanFile;
use super::seal::Seal;
use super::write::{PlanWriter, Section, write_file};
use super::{Sections, plan_hash};
use crate::error::{Error, Result};
use crate::plan::Header;
use crate::plan::masking::Mask;

/// Bytes of what is sealed in one line.
const LINE: usize = 3 * 1024;

/// The part of a plan that is seen, as it comes.
struct Shown {
    mask: Mask,
    fragments: Section,
    changes: Section,
}

impl Shown {
    fn new(plan: &PlanFile, salt: &str) -> Result<Shown> {
        let tables = plan.header.tables.iter();
        Ok(Shown {
            mask: Mask::for_file(
                salt.as_bytes(),
                tables.map(|t| (t.table.as_str(), &t.config)),
            ),
            fragments: Section::new()?,
            changes: Section::new()?,
        })
    }

    fn take(&mut self, item: Item) -> Result<()> {
        match item {
            Item::Fragment(mut fragment) => {
                self.mask.fragment(&mut fragment);
                self.fragments.push(&fragment)
            }
            Item::Entry(mut entry) => {
                self.mask.entry(&mut entry);
                self.changes.push(&EntryLine::from(entry))
            }
        }
    }

    fn sections(&self) -> Sections {
        Sections {
            fragments: self.fragments.digest(),
            changes: self.changes.digest(),
        }
    }
}

/// Writes `plan` to `out` with its sensitive values encrypted for `recipients`; a plan without
/// sensitive columns is written as it is. Returns its hash, and that of the file as it is seen.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where `out` cannot be written; [`PlanRefused`](crate::ErrorKind::PlanRefused) where the file changed.
pub fn seal(
    plan: &PlanFile,
    recipients: &Recipients,
    out: impl Write + Seek,
) -> Result<(String, Option<String>)> {
    let mut plain = PlanWriter::new()?;
    // Two random UUIDs have 244 random bits.
    let salt = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
    let salt = salt.map(|u| u.simple().to_string()).concat();
    let mut shown = Shown::new(plan, &salt)?;
    let secret = !shown.mask.is_idle();
    plan.stream(&mut |item| {
        match &item {
            Item::Fragment(fragment) => plain.fragment(fragment)?,
            Item::Entry(entry) => plain.entry(entry.clone())?,
        }
        if secret {
            shown.take(item)?;
        }
        Ok(())
    })?;
    let mut header = plan.header.clone();
    header.salt = None;
    if !secret {
        let (_, hash) = plain.finish(header, out)?;
        return Ok((hash, None));
    }
    let mut lines = Lines {
        section: Section::new()?,
        pending: Vec::with_capacity(LINE),
    };
    let mut hash = String::new();
    recipients.encrypt(&mut lines, |encrypted| {
        let salted = Header {
            salt: Some(salt),
            ..header.clone()
        };
        let failed = |e| Error::io("writing the plan to a temporary file", e);
        let mut whole = tempfile::tempfile().map_err(failed)?;
        hash = plain.finish(salted, &whole)?.1;
        whole.rewind().map_err(failed)?;
        std::io::copy(&mut whole, encrypted)
            .map(drop)
            .map_err(|e| Error::io("writing the plan", e))
    })?;
    let sealed = lines.finish()?;
    let bad_json = |e: serde_json::Error| Error::local("writing the plan").caused_by(e);
    let mut seal = Seal {
        masked_hash: String::new(),
        recipients: recipients.names().to_vec(),
    };
    let header = shown.mask.header(header);
    let seen = plan_hash(&header, &shown.sections()).map_err(bad_json)?;
    seal.masked_hash = seal.hash(&hash, &seen, &sealed.digest());
    let mut more = vec![
        ("masked_hash", json!(seal.masked_hash)),
        ("recipients", json!(seal.recipients)),
    ];
    more.extend(plan.notes.as_ref().map(|notes| ("notes", json!(notes))));
    write_file(
        out,
        (&header, &hash),
        &more,
        (shown.fragments, shown.changes, Some(sealed)),
    )?;
    Ok((hash, Some(seal.masked_hash)))
}

/// What is written to it, as lines of base64.
struct Lines {
    section: Section,
    pending: Vec<u8>,
}

impl Lines {
    fn line(&mut self, bytes: usize) -> Result<()> {
        let line = BASE64.encode(&self.pending[..bytes]);
        self.pending.drain(..bytes);
        self.section.push(&line)
    }

    fn finish(mut self) -> Result<Section> {
        if !self.pending.is_empty() {
            self.line(self.pending.len())?;
        }
        Ok(self.section)
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        while self.pending.len() >= LINE {
            self.line(LINE)
                .map_err(|e| std::io::Error::other(e.to_string()))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl PlanFile {
    /// The plan with its values, where they are encrypted. What was sealed stands in an unlinked
    /// temporary file until the plan is dropped. A plan of which nothing is encrypted is
    /// returned as it is.
    ///
    /// # Errors
    /// [`PlanRefused`](crate::ErrorKind::PlanRefused) where none of `identities` opens it, or what is sealed is not
    /// what the file shows; [`Io`](crate::ErrorKind::Io).
    pub fn unseal(self, identities: &Identities) -> Result<PlanFile> {
        let Some(seal) = &self.seal else {
            return Ok(self);
        };
        let temporary = || {
            tempfile::tempfile().map_err(|e| Error::io("making a temporary file for the plan", e))
        };
        let mut sealed = temporary()?;
        self.read_again(&mut |_| Ok(()), &mut |line| {
            let bytes = BASE64
                .decode(line)
                .map_err(|e| format!("\"sealed\": {e}"))?;
            sealed.write_all(&bytes).map_err(|e| e.to_string())
        })?;
        sealed
            .seek(SeekFrom::Start(0))
            .map_err(|e| Error::io("reading the plan", e))?;
        let refused = |why: &str| Error::plan_refused(format!("{}: {why}", self.name));
        let mut plain = temporary()?;
        identities.decrypt(
            BufReader::with_capacity(1 << 16, sealed),
            &mut plain,
            &|why| match why {
                Some(why) => refused(&format!(
                    "what is sealed in the plan was changed or is damaged ({why}); make a new plan"
                )),
                None => refused(&format!(
                    "{} does not open the plan: it is encrypted for {}",
                    identities.name(),
                    seal.recipients.join(", ")
                )),
            },
        )?;
        let opened = PlanFile::verify(plain, self.name.clone())?;
        let (None, Some(salt)) = (&opened.seal, &opened.header.salt) else {
            return Err(refused(
                "what is sealed in the plan is not a plain plan; make a new plan",
            ));
        };
        let mut shown = Shown::new(&opened, salt)?;
        opened.stream(&mut |item| shown.take(item))?;
        let seen = shown.mask.header(Header {
            salt: None,
            ..opened.header.clone()
        });
        let same =
            opened.hash == self.hash && seen == self.header && shown.sections() == self.sections;
        if !same {
            return Err(refused(
                "what the plan shows is not what is sealed in it: it was changed after it was made; \
                 make a new plan and have that reviewed",
            ));
        }
        Ok(PlanFile {
            masked_hash: self.masked_hash,
            notes: self.notes,
            ..opened
        })
    }
}
