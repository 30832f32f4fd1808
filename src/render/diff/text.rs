//! A comparison of two plans as text.

use std::io::Write;

use super::{Asked, Limit, differences, does, failed, objects, summary_line};
use crate::error::Result;
use crate::plan::{Entry, Kind, display_key};
use crate::planfile::PlanFile;
use crate::planfile::diff::{HeaderDifference, PlanDiff};
use crate::render::select::Filter;
use crate::render::text::{Style, entry_text};
use crate::render::verdict::operation;
use crate::text::cut::{quoted_pair, wrap};
use crate::text::escape;

/// What stands before the summary of each plan, on a line of its own.
pub const UNDER: &str = "     ";

/// Writes the comparison as text; of each kind of difference at most `filter.limit` entries.
///
/// # Errors
/// As [`PlanDiff::different`], and [`Io`](crate::ErrorKind::Io) where `out` cannot be written.
pub fn text(
    diff: &PlanDiff<'_>,
    filter: &Filter,
    style: Style,
    out: &mut impl Write,
) -> Result<()> {
    let [old, new] = diff.plans();
    let mut text = String::new();
    for (lead, plan) in [("From ", old), ("To   ", new)] {
        let line = format!("{} {}", title(plan), plan.hash);
        wrap(&mut text, lead, &line, 5, style.width);
        wrap(
            &mut text,
            UNDER,
            &plan.header.summary_line(),
            5,
            style.width,
        );
    }
    let mut put = |lead: &str, line: &str| wrap(&mut text, lead, line, lead.len() + 4, style.width);
    if !diff.header.is_empty() {
        put("", "");
        for h in &diff.header {
            let line = format!("{}: {}", escape(&h.what), from_to(h));
            put("  ", &line);
        }
    }
    for (word, objects) in objects(diff) {
        if objects.count > 0 {
            put("", "");
            put("", &format!("Objects {word}: {}", objects.count));
            for key in &objects.keys {
                put("  ", &escape(key));
            }
            more(&mut put, objects.count - objects.keys.len() as u64);
        }
    }
    out.write_all(text.as_bytes()).map_err(failed)?;
    let asked = Asked::of(diff, filter)?;
    if asked.different > 0 {
        writeln!(out, "\nDifferent:").map_err(failed)?;
        let mut limit = Limit::new(filter);
        diff.different(&mut |pair| {
            if !limit.takes(&pair) {
                return Ok(());
            }
            let mut text = String::new();
            let [was, is] = [does(&pair[0]), does(&pair[1])];
            let before = if was == is {
                String::new()
            } else {
                format!(" (was: {})", escape(&was))
            };
            let entry = &pair[1];
            let glyph = format!("  {} ", style.paint("33", "≠"));
            let line = format!(
                "{} {}: {}{before}",
                escape(&entry.table),
                display_key(&entry.key),
                escape(&is)
            );
            wrap(&mut text, &glyph, &line, 8, style.width);
            for (name, old, new) in differences(diff, &pair) {
                let line = format!("{}: {new}  (was: {old})", escape(&name));
                wrap(&mut text, "      ", &line, 10, style.width);
            }
            out.write_all(text.as_bytes()).map_err(failed)
        })?;
        rest(out, &limit, style)?;
    }
    for (count, name, plan) in [(asked.added, "Added", new), (asked.removed, "Removed", old)] {
        if count == 0 {
            continue;
        }
        writeln!(out, "\n{name}:").map_err(failed)?;
        let mut limit = Limit::new(filter);
        let mut table = String::new();
        let mut sink = |entry: Entry| {
            if !limit.takes(std::slice::from_ref(&entry)) {
                return Ok(());
            }
            let mut text = String::new();
            if table != entry.table {
                table.clone_from(&entry.table);
                wrap(
                    &mut text,
                    "  ",
                    &format!("{}:", escape(&table)),
                    4,
                    style.width,
                );
            }
            let from = entry.from.join(", ");
            if let Some(table) = plan.header.table(&entry.table) {
                let title = display_key(&entry.key);
                entry_text(&mut text, &entry, &title, &from, table, style);
            }
            out.write_all(text.as_bytes()).map_err(failed)
        };
        match name {
            "Added" => diff.added(&mut sink)?,
            _ => diff.removed(&mut sink)?,
        }
        rest(out, &limit, style)?;
    }
    if diff.counts.moved > 0 {
        let n = diff.counts.moved;
        let come = if n == 1 { "comes" } else { "come" };
        writeln!(
            out,
            "\n{n} of the same {come} from another place of the batch."
        )
        .map_err(failed)?;
    }
    let lines = asked.line().into_iter().chain([summary_line(diff)]);
    writeln!(out, "\n{}", lines.collect::<Vec<_>>().join("\n")).map_err(failed)
}

fn rest(out: &mut impl Write, limit: &Limit<'_>, style: Style) -> Result<()> {
    let mut text = String::new();
    more(
        &mut |lead, line| wrap(&mut text, lead, line, lead.len() + 4, style.width),
        limit.more,
    );
    out.write_all(text.as_bytes()).map_err(failed)
}

fn more(put: &mut dyn FnMut(&str, &str), n: u64) {
    if n > 0 {
        put("  ", &format!("… and {n} more"));
    }
}

fn title(plan: &PlanFile) -> String {
    let header = &plan.header;
    let into = match header.kind {
        Kind::Load => "into",
        Kind::Rollback => "in",
    };
    format!(
        "{}: {} {} {into} {}",
        escape(plan.name()),
        operation(header).to_lowercase(),
        escape(&header.batch_id),
        escape(&header.target.database)
    )
}

fn from_to(h: &HeaderDifference) -> String {
    match (&h.old, &h.new) {
        (Some(old), Some(new)) => quoted_pair(Some(old), Some(new)),
        (Some(old), None) => format!("{}, no longer", escape(old)),
        (None, Some(new)) => format!("{}, new", escape(new)),
        (None, None) => String::new(),
    }
}
