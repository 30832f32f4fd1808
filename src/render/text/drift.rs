//! A drift report, and one of rows that refer to others, as text for a terminal.

use std::io::Write;

use super::Style;
use crate::error::{Error, Result};
use crate::plan::{DriftReport, ReferrerReport, display_key};
use crate::render::drift::About;
use crate::text::cut::wrap;
use crate::text::escape;

/// Writes every row with what the plan saw, what is there now, what was planned, and who changed it.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where `out` cannot be written.
pub fn drift(
    report: &DriftReport,
    about: &About,
    style: Style,
    out: &mut impl Write,
) -> Result<()> {
    let failed = |e: std::io::Error| Error::io("writing the report", e);
    let mut text = String::new();
    let title = format!("{} {}", about.what(), escape(&about.of));
    wrap(&mut text, "", &title, 2, style.width);
    if let Some(hash) = &about.hash {
        text += &format!("{hash}\n");
    }
    let mut table = None;
    for row in &report.rows {
        if table != Some(&row.table) {
            table = Some(&row.table);
            let name = style.paint("1", &super::fit(&row.table, style.width));
            text += &format!("\n{name}\n");
        }
        let by = row.by.as_ref().map(|by| format!(" by {}", escape(by)));
        let line = format!(
            "{}: {}{} (planned: {})",
            display_key(&row.key),
            row.found(),
            by.unwrap_or_default(),
            row.planned()
        );
        wrap(
            &mut text,
            &format!("  {} ", style.paint("31", "!")),
            &line,
            8,
            style.width,
        );
        for c in &row.columns {
            let line = format!("{}: {}", escape(&c.column), c.words());
            wrap(&mut text, "      ", &line, 10, style.width);
        }
        // One row at a time in memory.
        out.write_all(text.as_bytes()).map_err(failed)?;
        text.clear();
    }
    if let Some(unnamed) = report.unnamed() {
        text.push('\n');
        wrap(&mut text, "  ", &unnamed, 2, style.width);
    }
    text.push('\n');
    wrap(&mut text, "", &about.advice(), 0, style.width);
    text += &format!("{}.\n", about.finding(report));
    out.write_all(text.as_bytes()).map_err(failed)
}

/// Writes why a plan was refused, where words alone tell it.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where `out` cannot be written.
pub fn refusal(why: &str, about: &About, style: Style, out: &mut impl Write) -> Result<()> {
    let mut text = String::new();
    let title = format!("{} {}", about.what(), escape(&about.of));
    wrap(&mut text, "", &title, 2, style.width);
    if let Some(hash) = &about.hash {
        text += &format!("{hash}\n");
    }
    text.push('\n');
    for line in why.lines() {
        wrap(&mut text, "", &escape(line), 2, style.width);
    }
    out.write_all(text.as_bytes())
        .map_err(|e| Error::io("writing the report", e))
}

/// Writes every row that stands in the way of a rollback: what refers to what.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where `out` cannot be written.
pub fn referrers(
    report: &ReferrerReport,
    about: &About,
    style: Style,
    out: &mut impl Write,
) -> Result<()> {
    let mut text = String::new();
    let title = format!("{} {}", about.what(), escape(&about.of));
    wrap(&mut text, "", &title, 2, style.width);
    let mut last = None;
    for row in &report.rows {
        let group = (&row.table, &row.parent, &row.constraint);
        if last != Some(group) {
            last = Some(group);
            text.push('\n');
            let table = style.paint("1", &super::fit(&row.table, style.width));
            let refers = format!(
                "refers to {} ({}){}",
                escape(&row.parent),
                escape(&row.constraint),
                match row.advice() {
                    "" => String::new(),
                    advice => format!(", {advice}"),
                }
            );
            wrap(&mut text, &format!("{table} "), &refers, 4, style.width);
        }
        let line = format!(
            "{} refers to {}",
            display_key(&row.key),
            display_key(&row.parent_key)
        );
        let lead = format!("  {} ", style.paint("31", "!"));
        wrap(&mut text, &lead, &line, 8, style.width);
    }
    if let Some(unnamed) = report.unnamed() {
        text.push('\n');
        wrap(&mut text, "  ", &unnamed, 2, style.width);
    }
    text.push('\n');
    let advice = format!("Nothing was written. {}", report.advice());
    wrap(&mut text, "", &advice, 0, style.width);
    text += &format!("{}.\n", report.finding());
    out.write_all(text.as_bytes())
        .map_err(|e| Error::io("writing the report", e))
}
