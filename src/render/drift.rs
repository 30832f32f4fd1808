//! What a drift report is about, and its words: the same in all formats.

use crate::plan::{DriftReport, Kind};

/// What was refused.
#[derive(Debug, Clone)]
pub struct About {
    /// Whether a batch was to be loaded or taken back.
    pub kind: Kind,
    /// The batch, or `application …`.
    pub of: String,
    /// The plan's hash, where there is a plan.
    pub hash: Option<String>,
}

impl About {
    /// What was refused, before its name.
    pub fn what(&self) -> &'static str {
        match self.kind {
            Kind::Load => "Load of batch",
            Kind::Rollback => "Rollback of",
        }
    }

    /// What was found, in a line.
    pub fn finding(&self, report: &DriftReport) -> String {
        let (rows_are, them) = match report.count() {
            1 => ("1 row is".to_owned(), "it"),
            n => (format!("{n} rows are"), "them"),
        };
        // A rollback without a plan compares with what the load left.
        match self.hash {
            Some(_) => format!("{rows_are} not as the plan saw {them}"),
            None => format!("{rows_are} not as the load left {them}"),
        }
    }

    /// What followed, and what to do next.
    pub fn advice(&self) -> String {
        format!("Nothing was written. {}", self.kind.after_drift())
    }
}
