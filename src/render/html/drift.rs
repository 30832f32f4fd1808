//! A drift report as a page. It needs no script.

use std::io::Write;

use maud::{Markup, html};

use super::{WIDEST, page_start, value};
use crate::error::{Error, Result};
use crate::plan::{DriftColumn, DriftReport, DriftRow, ReferrerReport, Values};
use crate::render::drift::About;
use crate::text::cut::quoted_pair;
use crate::text::escape;

/// Writes every row with what the plan saw, what is there now, what was planned, and who changed it.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where `out` cannot be written.
pub fn drift(report: &DriftReport, about: &About, out: &mut impl Write) -> Result<()> {
    let failed = |e: std::io::Error| Error::io("writing the report", e);
    let title = format!("{} {}", about.what(), escape(&about.of));
    let top = html! {
        header.top {
            div.what {
                p.over { (title) }
                h1 { (about.finding(report)) }
                p.verdict.blocked { (about.advice()) }
            }
            @if let Some(hash) = &about.hash {
                dl { div { dt { "Plan" } dd.code.all { (hash) } } }
            }
        }
    };
    write!(
        out,
        "{}{}",
        page_start(&title, false).into_string(),
        top.into_string()
    )
    .map_err(failed)?;
    for row in &report.rows {
        writeln!(out, "{}", one(row).into_string()).map_err(failed)?;
    }
    if let Some(unnamed) = report.unnamed() {
        writeln!(out, "{}", html! { p { (unnamed) } }.into_string()).map_err(failed)?;
    }
    writeln!(out, "</body></html>").map_err(failed)
}

/// Writes why a plan was refused, where words alone tell it.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where `out` cannot be written.
pub fn refusal(why: &str, about: &About, out: &mut impl Write) -> Result<()> {
    let title = format!("{} {}", about.what(), escape(&about.of));
    let page = html! {
        header.top {
            div.what {
                p.over { (title) }
                h1 { "Refused" }
                @for line in why.lines() { p.verdict.blocked { (escape(line)) } }
            }
            @if let Some(hash) = &about.hash {
                dl { div { dt { "Plan" } dd.code.all { (hash) } } }
            }
        }
    };
    writeln!(
        out,
        "{}{}</body></html>",
        page_start(&title, false).into_string(),
        page.into_string()
    )
    .map_err(|e| Error::io("writing the report", e))
}

/// Writes which rows stand in the way of a rollback: what refers to what.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) where `out` cannot be written.
pub fn referrers(report: &ReferrerReport, about: &About, out: &mut impl Write) -> Result<()> {
    let failed = |e: std::io::Error| Error::io("writing the report", e);
    let title = format!("{} {}", about.what(), escape(&about.of));
    let page = html! {
        header.top {
            div.what {
                p.over { (title) }
                h1 { (report.finding()) }
                p.verdict.blocked { "Nothing was written. " (report.advice()) }
            }
        }
        @for row in &report.rows {
            article.drift {
                h2 { (named(&row.table, &row.key)) }
                p.found {
                    b.delete { "refers to" } " " (named(&row.parent, &row.parent_key))
                    span.dim { " · " (escape(&row.constraint)) }
                    @if !row.advice().is_empty() { ", " (row.advice()) }
                }
            }
        }
        @if let Some(unnamed) = report.unnamed() { p { (unnamed) } }
    };
    writeln!(
        out,
        "{}{}</body></html>",
        page_start(&title, false).into_string(),
        page.into_string()
    )
    .map_err(failed)
}

/// A row by its table and key.
fn named(table: &str, key: &Values) -> Markup {
    html! {
        span.dim { (escape(table)) " " }
        @for (i, (column, v)) in key.iter().enumerate() {
            @if i > 0 { " " }
            @if key.len() > 1 { span.dim { (escape(column)) " " } }
            (value(v.words().as_deref(), ""))
        }
    }
}

fn one(row: &DriftRow) -> Markup {
    html! {
        article.drift {
            h2 { (named(&row.table, &row.key)) }
            p.found {
                b.delete { (row.found()) }
                @if let Some(by) = &row.by { " by " (escape(by)) }
                span.dim { " · planned: " (row.planned()) }
            }
            @if !row.columns.is_empty() {
                table {
                    thead { tr { th scope="col" { "column" } th scope="col" { "plan saw" } th scope="col" { "now" } th scope="col" { "planned" } } }
                    tbody { @for column in &row.columns { (line(column)) } }
                }
            }
        }
    }
}

fn line(c: &DriftColumn) -> Markup {
    let steps = c.steps(WIDEST);
    if !steps.is_empty() {
        return html! {
            tr {
                td { (escape(&c.column)) }
                td colspan="3" { @for (i, (step, a, b)) in steps.into_iter().enumerate() {
                    @if i > 0 { br; }
                    span.dim { (step) " " } span.v { (quoted_pair(a, b)) }
                } }
            }
        };
    }
    let known = |v: &Option<Option<String>>, class| match v {
        None => html! { span.dim { "–" } },
        Some(v) => value(v.as_deref(), class),
    };
    html! {
        tr {
            td { (escape(&c.column)) }
            td { (known(&c.planned_from, "old")) }
            td { (value(c.now.as_deref(), "now")) }
            td { (known(&c.planned_to, "new")) }
        }
    }
}
