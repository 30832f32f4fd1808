//! Rows that are not as planned, told on stdout for whoever must decide.

use std::io::Write;

use super::told::{exit_code, told};
use super::{colour, say};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{DriftReport, Kind, ReferrerReport};
use crate::planfile::PlanFile;
use crate::render::drift::About;
use crate::render::{html, markdown, text};

#[derive(clap::Args, Debug, Clone)]
pub struct ReportArgs {
    /// If rows have changed since, write to stdout what the plan saw, what is there now, what was planned,
    /// and who changed it; if others refer to rows that a rollback would delete, which; if it ends with exit 3 for
    /// something else, why. With --json, stdout has the JSON object instead, with the same rows
    #[arg(long, value_enum, value_name = "FORMAT")]
    report: Option<ReportFormat>,
}

#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum ReportFormat {
    /// For a terminal
    Text,
    /// For one pull-request comment
    Markdown,
    /// One page for a browser
    Html,
}

/// What a plan's report is about.
pub fn about(plan: &PlanFile) -> About {
    About {
        kind: plan.header.kind,
        of: match plan.header.kind {
            Kind::Load => plan.header.batch_id.clone(),
            Kind::Rollback => format!("batch {}", plan.header.batch_id),
        },
        hash: Some(plan.hash.clone()),
    }
}

impl ReportArgs {
    /// The exit code of what was done; where it was refused because rows are not as planned and a
    /// report is wanted, after that was written. With `json`, stdout is left to the one object.
    pub fn tell(&self, done: Result<u8>, about: &About, json: bool) -> Result<u8> {
        let (Some(format), Err(refusal), false) = (self.report, &done, json) else {
            return done;
        };
        let drift = DriftReport::of(refusal);
        let referrers = ReferrerReport::of(refusal);
        let finding = match (drift, referrers) {
            (Some(report), _) => Some(about.finding(report)),
            (None, Some(report)) => Some(report.finding()),
            // Which row it is, only the words tell.
            (None, None) if refusal.kind() == ErrorKind::Drift => None,
            (None, None) => return done,
        };
        let stdout = std::io::stdout();
        let style = colour(&stdout);
        let mut out = std::io::BufWriter::new(stdout.lock());
        if let Some(report) = drift {
            match format {
                ReportFormat::Text => text::drift(report, about, style, &mut out)?,
                ReportFormat::Markdown => markdown::drift(report, about, &mut out)?,
                ReportFormat::Html => html::drift(report, about, &mut out)?,
            }
        }
        if let Some(report) = referrers {
            match format {
                ReportFormat::Text => text::referrers(report, about, style, &mut out)?,
                ReportFormat::Markdown => markdown::referrers(report, about, &mut out)?,
                ReportFormat::Html => html::referrers(report, about, &mut out)?,
            }
        }
        if finding.is_none() {
            let why = told(refusal);
            match format {
                ReportFormat::Text => text::refusal(&why, about, style, &mut out)?,
                ReportFormat::Markdown => markdown::refusal(&why, about, &mut out)?,
                ReportFormat::Html => html::refusal(&why, about, &mut out)?,
            }
        }
        out.flush()
            .map_err(|e| Error::io("writing the report", e))?;
        let Some(finding) = finding else {
            return done;
        };
        say(format!("loader: {finding}; nothing was written"));
        Ok(exit_code(refusal))
    }
}
