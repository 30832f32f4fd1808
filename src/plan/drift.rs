//! Drift: rows that are no longer what the plan was made from.

use std::fmt;

use serde::{Serialize, Serializer};

use super::{Action, Kind, Values, display_key};
use crate::error::{Error, ErrorKind};
use crate::text::cut::{WIDEST, quoted, quoted_pair};
use crate::text::escape;

/// At most this many drifted rows of a table are named; the rest is counted.
pub const NAMED: usize = 10_000;

/// How a row differs from what the plan saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftState {
    /// It has other content.
    Changed,
    /// It is gone.
    Vanished,
    /// It is there, and was not.
    Appeared,
    /// Later loads changed it, and left it as it had been.
    Reloaded,
}

impl fmt::Display for DriftState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DriftState::Changed => "changed",
            DriftState::Vanished => "vanished",
            DriftState::Appeared => "appeared",
            DriftState::Reloaded => "loaded since with the same outcome",
        })
    }
}

/// One column of a row that drifted, as far as the plan knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DriftColumn {
    /// Its name.
    pub column: String,
    /// What the plan saw; the outer option is whether it recorded it.
    pub planned_from: Option<Option<String>>,
    /// What is there now.
    pub now: Option<String>,
    /// What the plan would write, where it would.
    pub planned_to: Option<Option<String>>,
}

/// A step from one value to another: what it is, and both values.
pub type Step<'a> = (&'static str, Option<&'a str>, Option<&'a str>);

impl DriftColumn {
    /// From what the plan saw to what is there now, and from that to what was planned, where a value has more than
    /// `widest` characters: of such values only what differs is worth showing. Else nothing.
    pub fn steps(&self, widest: usize) -> Vec<Step<'_>> {
        let known = [&self.planned_from, &self.planned_to].into_iter().flatten();
        let mut values = known.chain([&self.now]).flatten();
        if !values.any(|v| v.char_indices().nth(widest).is_some()) {
            return Vec::new();
        }
        let now = self.now.as_deref();
        let as_planned = self.planned_to.as_ref() == Some(&self.now);
        let word = match as_planned {
            true => "plan saw → now, as planned",
            false => "plan saw → now",
        };
        let from = (self.planned_from.iter()).map(|from| (word, from.as_deref(), now));
        let to = (self.planned_to.iter()).map(|to| ("now → planned", now, to.as_deref()));
        from.chain(to).filter(|(_, a, b)| a != b).collect()
    }

    /// What the plan saw, what is there now and what was planned, for people.
    pub fn words(&self) -> String {
        let steps = self.steps(WIDEST).into_iter();
        let steps: Vec<String> = steps
            .map(|(step, a, b)| format!("{step} {}", quoted_pair(a, b)))
            .collect();
        if !steps.is_empty() {
            return steps.join("; ");
        }
        let known = |word: &str, v: &Option<Option<String>>| {
            (v.as_ref()).map(|v| format!("{word} {}", quoted(v.as_deref())))
        };
        let now = format!("now {}", quoted(self.now.as_deref()));
        let from = known("plan saw", &self.planned_from).into_iter();
        let parts = from.chain([now]).chain(known("planned", &self.planned_to));
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// One row that is not as planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DriftRow {
    /// Its table.
    pub table: String,
    /// Its natural key.
    pub key: Values,
    /// How it differs.
    pub state: DriftState,
    /// What was planned for it; in JSON its word. `None`, in JSON `rollback`, where no plan was made,
    /// because it was to be taken back.
    #[serde(serialize_with = "serialize_planned")]
    pub action: Option<Action>,
    /// Its planned columns, where they differ from what the plan saw.
    pub columns: Vec<DriftColumn>,
    /// Who changed it last, as far as the audit log knows.
    pub by: Option<String>,
}

impl DriftRow {
    /// What was planned for it, in a word.
    pub fn planned(&self) -> &'static str {
        word(self.action)
    }

    /// What became of the row, for people.
    pub fn found(&self) -> String {
        let elsewhere = self.state == DriftState::Changed && self.columns.is_empty();
        // Of a row that is skipped the plan names no column at all.
        if elsewhere && self.action != Some(Action::Skip) {
            format!("{}, in columns that the plan does not name", self.state)
        } else {
            self.state.to_string()
        }
    }
}

fn word(planned: Option<Action>) -> &'static str {
    planned.map_or("rollback", Action::word)
}

fn serialize_planned<S: Serializer>(action: &Option<Action>, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(word(*action))
}

/// Every row that is not as the plan saw it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DriftReport {
    /// What the plan does, or would do.
    pub kind: Kind,
    /// The rows, in plan order.
    pub rows: Vec<DriftRow>,
    /// How many further rows are not named, because there are very many.
    pub more: u64,
}

impl DriftReport {
    /// The report that `error` was made from, where rows are not as planned.
    pub fn of(error: &Error) -> Option<&DriftReport> {
        error.cause()
    }

    /// How many rows are not as the plan saw them, named or not.
    pub fn count(&self) -> u64 {
        self.rows.len() as u64 + self.more
    }

    /// What stands in the place of the rows that are not named.
    pub fn unnamed(&self) -> Option<String> {
        (self.more > 0).then(|| format!("… and {} more rows, which are not named here", self.more))
    }
}

impl fmt::Display for DriftReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.count();
        let (rows_are, them) = if n == 1 {
            ("row is", "it")
        } else {
            ("rows are", "them")
        };
        // A rollback without a plan compares with what the load left.
        let unplanned = self.rows.iter().any(|row| row.action.is_none());
        let saw = if unplanned {
            "the load left"
        } else {
            "the plan saw"
        };
        write!(
            f,
            "{n} {rows_are} not as {saw} {them}; nothing was written:"
        )?;
        for row in &self.rows {
            let by = row
                .by
                .as_ref()
                .map(|b| format!("; changed by {}", escape(b)))
                .unwrap_or_default();
            write!(
                f,
                "\n  {} {}: {} (planned: {}{by})",
                escape(&row.table),
                display_key(&row.key),
                row.found(),
                row.planned()
            )?;
            for c in &row.columns {
                write!(f, "\n    {}: {}", escape(&c.column), c.words())?;
            }
        }
        if let Some(unnamed) = self.unnamed() {
            write!(f, "\n  {unnamed}")?;
        }
        write!(f, "\n{}", self.kind.after_drift())
    }
}

impl std::error::Error for DriftReport {}

impl From<DriftReport> for Error {
    fn from(report: DriftReport) -> Error {
        Error::of(ErrorKind::Drift, report)
    }
}
