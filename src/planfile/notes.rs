//! What stands beside a plan, outside its hash: nobody approves it, and apply ignores it.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The notes that the loader writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notes {
    /// How the plan came about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    /// How a rehearsal of the plan ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Rehearsal>,
}

/// When, by whom and where a plan was made, as its maker says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// The time (RFC 3339, UTC, seconds).
    pub at: String,
    /// Who.
    pub by: String,
    /// The machine.
    pub on: String,
    /// The database: host, port and name.
    pub database: String,
    /// The loader's version.
    pub version: String,
}

impl Made {
    /// In a line, for people.
    pub fn words(&self) -> String {
        let Made {
            at,
            by,
            on,
            database,
            version,
        } = self;
        format!("made {at} by {by} on {on} for {database}, with loader {version}")
    }
}

/// How a rehearsal ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rehearsal {
    /// The end in a word.
    pub outcome: Outcome,
    /// What was written and rolled back, or why it was refused.
    pub message: String,
}

/// The end of a rehearsal in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything but the commit was done.
    Applies,
    /// The database or the loader refused it.
    Refused,
    /// It was not tried, because violations or limits stand against the plan.
    Blocked,
}

impl Outcome {
    /// The end for people.
    pub fn words(self) -> &'static str {
        match self {
            Outcome::Applies => "it applies",
            Outcome::Refused => "it was refused",
            Outcome::Blocked => "not tried",
        }
    }
}

/// Copies the plan in `file`, as [`super::PlanWriter`] wrote it, to `out` with `notes` behind its hash.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where a file cannot be read or written.
pub fn annotate(mut file: &File, notes: &Notes, out: impl Write) -> Result<()> {
    let copy = || -> std::io::Result<()> {
        file.seek(SeekFrom::Start(0))?;
        let mut lines = BufReader::with_capacity(1 << 16, file);
        let mut out = BufWriter::with_capacity(1 << 16, out);
        let mut line = Vec::new();
        // The brace, the format and the hash.
        for _ in 0..3 {
            line.clear();
            lines.read_until(b'\n', &mut line)?;
            out.write_all(&line)?;
        }
        writeln!(out, "\"notes\": {},", serde_json::to_string(notes)?)?;
        std::io::copy(&mut lines, &mut out)?;
        out.flush()
    };
    copy().map_err(|e| Error::io("writing the plan", e))
}
