//! What changed from one plan to another as a page. It needs no script.

use std::io::Write;

use maud::{Markup, html};

use super::{page_start, value};
use crate::error::{Error, Result};
use crate::plan::Entry;
use crate::planfile::PlanFile;
use crate::planfile::diff::PlanDiff;
use crate::render::diff::{
    Asked, Limit, differences, differs, does, facets, objects, summary_line,
};
use crate::render::select::Filter;
use crate::text::cut::fit;
use crate::text::escape;

/// The most entries of each kind of difference in a page.
const MOST: usize = 5_000;

/// Writes the comparison as a page; of each kind of difference at most `filter.limit` entries, and at
/// most 5,000.
///
/// # Errors
/// As [`PlanDiff::different`], and [`Io`](crate::ErrorKind::Io) where `out` cannot be written.
pub fn comparison(diff: &PlanDiff<'_>, filter: &Filter, out: &mut impl Write) -> Result<()> {
    let filter = &Filter {
        limit: Some(filter.limit.map_or(MOST, |limit| limit.min(MOST))),
        ..filter.clone()
    };
    let [_, new] = diff.plans();
    let title = format!("Compared: batch {}", escape(&new.header.batch_id));
    let mut put = |part: Markup| {
        let part = part.into_string();
        writeln!(out, "{part}").map_err(failed)
    };
    put(page_start(&title, false))?;
    let c = Asked::of(diff, filter)?;
    put(top(diff, &c))?;
    if c.different > 0 {
        put(heading(c.different, "different"))?;
        let mut limit = Limit::new(filter);
        diff.different(&mut |pair| {
            if limit.takes(&pair) {
                put(different(diff, &pair))
            } else {
                Ok(())
            }
        })?;
        put(more(&limit))?;
    }
    for (count, word) in [(c.added, "added"), (c.removed, "removed")] {
        if count == 0 {
            continue;
        }
        put(heading(count, word))?;
        let mut limit = Limit::new(filter);
        let mut sink = |entry: Entry| {
            if limit.takes(std::slice::from_ref(&entry)) {
                put(only(&entry, word))
            } else {
                Ok(())
            }
        };
        match word {
            "added" => diff.added(&mut sink)?,
            _ => diff.removed(&mut sink)?,
        }
        put(more(&limit))?;
    }
    writeln!(out, "</main></body></html>").map_err(failed)
}

fn failed(e: std::io::Error) -> Error {
    Error::io("writing the comparison", e)
}

/// Which plans they are, what it comes to, and what their headers and objects say.
fn top(diff: &PlanDiff<'_>, asked: &Asked) -> Markup {
    let [old, new] = diff.plans();
    let class = if differs(diff) { "rejected" } else { "fine" };
    html! {
        header.top {
            div.what {
                p.over { "Since the plan that was reviewed" }
                h1 { (escape(&new.header.batch_id)) }
                p.verdict.(class) { (summary_line(diff)) }
                @if let Some(line) = asked.line() { p { (line) } }
            }
            dl {
                div { dt { "Database" } dd { (escape(&new.header.target.database)) } }
                (which("From", old))
                (which("To", new))
            }
        }
        (maud::PreEscaped("<main>"))
        @if !diff.header.is_empty() {
            section.drift aria-label="What the headers say" {
                table {
                    thead { tr { th scope="col" { "header" } th scope="col" { "was" } th scope="col" { "is" } } }
                    tbody { @for h in &diff.header { tr {
                        th scope="row" { (escape(&h.what)) }
                        td { (value(h.old.as_deref(), "old")) }
                        td { (value(h.new.as_deref(), "new")) }
                    } } }
                }
            }
        }
        @for (word, objects) in objects(diff) {
            @if objects.count > 0 {
                p { "Objects " (word) ": " (objects.count)
                    @for key in &objects.keys { br; code { (escape(key)) } }
                    @if objects.count > objects.keys.len() as u64 { br; "…" } }
            }
        }
        @if diff.counts.moved > 0 { p { (diff.counts.moved) " of the same from another place of the batch." } }
    }
}

fn which(word: &str, plan: &PlanFile) -> Markup {
    html! {
        div { dt { (word) } dd {
            (escape(plan.name())) span.dim { ": " (plan.header.summary_line()) } br; span.code.all { (plan.hash) }
        } }
    }
}

fn heading(count: u64, word: &str) -> Markup {
    html! { h2.kind { (count) " " (word) } }
}

fn more(limit: &Limit<'_>) -> Markup {
    html! { @if limit.more > 0 { p.dim { "… and " (limit.more) " more; " code { "loader show --format json" } " has them." } } }
}

fn key_of(entry: &Entry) -> Markup {
    html! {
        span.dim { (escape(&entry.table)) " " }
        @for (i, (column, v)) in entry.key.iter().enumerate() {
            @if i > 0 { " " }
            @if entry.key.len() > 1 { span.dim { (escape(column)) " " } }
            (value(v.words().as_deref(), ""))
        }
    }
}

/// An entry that both plans have, and what it says otherwise.
fn different(diff: &PlanDiff<'_>, pair: &[Entry; 2]) -> Markup {
    let [was, is] = [does(&pair[0]), does(&pair[1])];
    html! {
        article.drift {
            h3 { (key_of(&pair[1])) }
            p.found { (escape(&is)) @if was != is { span.dim { " (was: " (escape(&was)) ")" } } span.dim { (from(&pair[1])) } }
            table {
                thead { tr { th scope="col" { "column" } th scope="col" { "was" } th scope="col" { "is" } } }
                tbody { @for (what, old, new) in differences(diff, pair) { tr {
                    th scope="row" { (escape(&what)) }
                    td { span.v.old { (old) } }
                    td { span.v.new { (new) } }
                } } }
            }
        }
    }
}

/// An entry that one plan has.
fn only(entry: &Entry, word: &str) -> Markup {
    let class = if word == "added" { "new" } else { "old" };
    html! {
        article.drift {
            h3 { (key_of(entry)) }
            p.found { (escape(&does(entry))) span.dim { (from(entry)) } }
            table {
                tbody { @for ((_, name), said) in facets(entry) { tr {
                    th scope="row" { (escape(&name)) }
                    td { span.v.(class) { (said.shown()) } }
                } } }
            }
        }
    }
}

fn from(entry: &Entry) -> String {
    match entry.from.as_slice() {
        [] => String::new(),
        from => format!(" · from {}", fit(&from.join(", "), 500)),
    }
}
