//! Whether a plan can be applied: the same words in all formats.

use std::fmt;

use super::select::Group;
use crate::plan::{Header, Kind, Violation};
use crate::planfile::{Notes, Outcome, Rehearsal};
use crate::text::cut::fit;

/// What stands between a plan and its apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It cannot be applied.
    Blocked {
        /// Violations that must be fixed first.
        violations: u64,
        /// Whether it exceeds limits.
        limits: bool,
    },
    /// It changes nothing.
    Nothing,
    /// It can be applied.
    Applicable,
}

impl Verdict {
    /// The verdict on a plan.
    pub fn of(header: &Header) -> Verdict {
        let limits = header.exceeded().next().is_some();
        if header.blocking > 0 || limits {
            Verdict::Blocked {
                violations: header.blocking,
                limits,
            }
        } else if header.summary.changes() == 0 {
            Verdict::Nothing
        } else {
            Verdict::Applicable
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Blocked { violations, limits } => {
                f.write_str("This plan cannot be applied: ")?;
                if *violations > 0 {
                    write!(
                        f,
                        "{} must be fixed first",
                        plural(*violations, "violation")
                    )?;
                }
                match (violations, limits) {
                    (_, false) => f.write_str("."),
                    (0, true) => f.write_str("it exceeds limits."),
                    (_, true) => f.write_str(", and it exceeds limits."),
                }
            }
            Verdict::Nothing => f.write_str("There is nothing to apply."),
            Verdict::Applicable => f.write_str("This plan can be applied."),
        }
    }
}

/// What a plan does, before the name of its batch.
pub fn operation(header: &Header) -> &'static str {
    match header.kind {
        Kind::Load => "Load of batch",
        Kind::Rollback if header.of_rollbacks => "Rollback of a rollback of batch",
        Kind::Rollback => "Rollback of batch",
    }
}

/// What a rollback takes back, where that is more than one load, or not all of it.
pub fn takes_back(header: &Header) -> Option<String> {
    let in_part = &header.undoes_in_part;
    let whole = match header.undoes.as_slice() {
        [] => None,
        [_] if in_part.is_empty() => None,
        [one] => Some(format!("Takes back the application {one}")),
        several => Some(format!(
            "Takes back {} applications: {}",
            several.len(),
            several.join(", ")
        )),
    };
    let in_part = (!in_part.is_empty()).then(|| {
        format!(
            "Takes back in part, and leaves the rest to a later rollback: {}",
            in_part.join(", ")
        )
    });
    let parts: Vec<String> = whole.into_iter().chain(in_part).collect();
    (!parts.is_empty()).then(|| parts.join(". "))
}

/// How many records are left out, where some are.
pub fn left_out(header: &Header) -> Option<String> {
    match header.rejected {
        0 => None,
        n => Some(crate::plan::left_out(n)),
    }
}

/// How many records a group of violations is about, and in how many files, where in several.
pub fn records(group: &Group, v: &Violation) -> String {
    match group.objects() {
        _ if v.is_of_object() => format!("{} objects", group.count),
        0 | 1 => format!("{} records", group.count),
        n => format!("{} records in {n} files", group.count),
    }
}

/// A number of things.
pub fn plural(n: u64, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

/// The notes for other programs, without what may be a sensitive value.
pub fn shown(header: &Header, notes: &str) -> serde_json::Value {
    let hidden = serde_json::json!({"hidden": "it may hold sensitive values"});
    match serde_json::from_str::<Notes>(notes) {
        Ok(mut notes) => {
            if let Some(told) = &mut notes.rehearsal
                && is_hidden(header, told)
            {
                told.message = "not shown, because it may hold sensitive values".into();
            }
            serde_json::to_value(notes).unwrap_or(hidden)
        }
        Err(_) if header.has_sensitive() => hidden,
        Err(_) => serde_json::from_str(notes).unwrap_or(hidden),
    }
}

/// Whether the database's own words about a rehearsal may repeat sensitive values.
fn is_hidden(header: &Header, rehearsal: &Rehearsal) -> bool {
    rehearsal.outcome == Outcome::Refused && header.has_sensitive()
}

fn rehearsed(header: &Header, rehearsal: &Rehearsal) -> String {
    let outcome = rehearsal.outcome.words();
    if is_hidden(header, rehearsal) {
        return format!(
            "rehearsed: {outcome}; why stands in the file, and may hold sensitive values"
        );
    }
    let lines = rehearsal.message.lines().map(str::trim);
    let message = fit(&lines.collect::<Vec<_>>().join(" "), 2_000);
    format!("rehearsed: {outcome}: {message}")
}

/// What the notes say, in a line. The database's own words may repeat values that are not to be shown.
pub fn noted(header: &Header, notes: &str) -> String {
    match serde_json::from_str::<Notes>(notes) {
        Ok(Notes { made, rehearsal }) => {
            let made = made.map(|made| fit(&made.words(), 500));
            let rehearsed = rehearsal.map(|rehearsal| rehearsed(header, &rehearsal));
            let parts: Vec<String> = made.into_iter().chain(rehearsed).collect();
            parts.join("; ")
        }
        Err(_) => format!("notes: {}", fit(notes, 200)),
    }
}
