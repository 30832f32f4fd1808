//! A comparison of two plans as Markdown.

use std::io::Write;

use super::{Asked, Limit, differences, does, facets, failed, objects, summary_line};
use crate::error::Result;
use crate::plan::{Entry, display_key};
use crate::planfile::diff::PlanDiff;
use crate::render::markdown::{LARGEST, code, link_to};
use crate::render::select::Filter;

/// Writes the comparison as Markdown for one pull-request comment, at most [`LARGEST`] bytes.
///
/// # Errors
/// As [`text`](super::text()).
pub fn markdown(diff: &PlanDiff<'_>, filter: &Filter, out: &mut impl Write) -> Result<()> {
    /// What is kept for the lines after the rows.
    const RESERVE: usize = 1_000;
    let [old, new] = diff.plans();
    let mut text = format!(
        "<!-- table-loader diff {} {} -->\n### Since the plan that was reviewed · {} · {}\n\n",
        old.hash,
        new.hash,
        code(&new.header.batch_id, 100),
        code(&new.header.target.database, 100)
    );
    for (word, plan) in [("from", old), ("to", new)] {
        text += &format!(
            "- {word} {} {}: {}\n",
            code(plan.name(), 100),
            code(&plan.hash, 100),
            plan.header.summary_line()
        );
    }
    let room = |text: &mut String, row: String| {
        let fits = text.len() + row.len() + RESERVE <= LARGEST;
        if fits {
            *text += &row;
        }
        fits
    };
    let mut cut = false;
    let shown = |v: &Option<String>| v.as_deref().map_or("–".to_owned(), |v| code(v, 200));
    if !diff.header.is_empty() {
        text += "\n| | was | is |\n|:--|:--|:--|\n";
        for (i, h) in diff.header.iter().enumerate() {
            let row = format!(
                "| {} | {} | {} |\n",
                code(&h.what, 100),
                shown(&h.old),
                shown(&h.new)
            );
            if !room(&mut text, row) {
                text += &format!("\n… and {} more.\n", diff.header.len() - i);
                break;
            }
        }
    }
    for (word, objects) in objects(diff) {
        let keys: Vec<String> = objects.keys.iter().map(|k| code(k, 200)).collect();
        let more = match objects.count - keys.len() as u64 {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        if objects.count > 0 {
            let row = format!("\nObjects {word}: {}{more}\n", keys.join(", "));
            room(&mut text, row);
        }
    }
    let row_of = |entry: &Entry| {
        format!(
            "{} | {}",
            code(&entry.table, 63),
            code(&display_key(&entry.key), 200)
        )
    };
    let asked = Asked::of(diff, filter)?;
    if asked.different > 0 {
        text += &format!(
            "\n**Different: {}**\n\n| table | row | what | was | is |\n|:--|:--|:--|:--|:--|\n",
            asked.different
        );
        let mut limit = Limit::new(filter);
        diff.different(&mut |pair| {
            if !limit.takes(&pair) {
                return Ok(());
            }
            let mut rows = differences(diff, &pair);
            let [was, is] = [does(&pair[0]), does(&pair[1])];
            if was != is || rows.is_empty() {
                rows.insert(0, ("action".into(), was, is));
            }
            let who = row_of(&pair[1]);
            let rows = rows.iter().map(|(what, was, is)| {
                format!(
                    "| {who} | {} | {} | {} |\n",
                    code(what, 63),
                    code(was, 450),
                    code(is, 450)
                )
            });
            if !room(&mut text, rows.collect()) {
                limit.is_full();
            }
            Ok(())
        })?;
        text += &left_out(&limit);
        cut |= limit.more > 0;
    }
    for (count, name) in [(asked.added, "Added"), (asked.removed, "Removed")] {
        if count == 0 {
            continue;
        }
        let head = format!(
            "\n**{name}: {count}**\n\n| table | row | action | says |\n|:--|:--|:--|:--|\n"
        );
        if !room(&mut text, head) {
            text += &format!("\n{name}: {count}\n");
            continue;
        }
        let mut limit = Limit::new(filter);
        let mut sink = |entry: Entry| {
            if !limit.takes(std::slice::from_ref(&entry)) {
                return Ok(());
            }
            let says: Vec<String> = facets(&entry)
                .into_iter()
                .map(|((_, name), said)| format!("{name}: {}", said.shown()))
                .collect();
            let row = format!(
                "| {} | {} | {} |\n",
                row_of(&entry),
                code(&does(&entry), 100),
                code(&says.join(", "), 450)
            );
            if !room(&mut text, row) {
                limit.is_full();
            }
            Ok(())
        };
        match name {
            "Added" => diff.added(&mut sink)?,
            _ => diff.removed(&mut sink)?,
        }
        text += &left_out(&limit);
        cut |= limit.more > 0;
    }
    if cut {
        text += &link_to(filter);
    }
    let lines = asked.line().into_iter().chain([summary_line(diff)]);
    text += &format!("\n{}\n", lines.collect::<Vec<_>>().join("\n\n"));
    out.write_all(text.as_bytes()).map_err(failed)
}

fn left_out(limit: &Limit<'_>) -> String {
    match limit.more {
        0 => String::new(),
        n => format!("\n… and {n} more; `loader show` of both plans has them.\n"),
    }
}
