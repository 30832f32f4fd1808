//! What a reviewer should see before the rest, as Markdown.

use super::inert::{code, words};
use super::rows::key;
use crate::plan::Header;
use crate::render::profile::Profile;
use crate::render::select::{Filter, Selection};
use crate::render::text::FEW;
use crate::render::verdict::plural;

/// So many changes that stand out are on the first screen of a comment.
const MOST: usize = 25;
/// So many reasons of one change are told.
const REASONS: usize = 5;
/// The most bytes of what is said by column.
const LARGEST: usize = 12_000;

/// The changes that stand out, as many as `room` bytes hold; nothing where none does.
pub fn unusual(selection: &Selection, room: usize) -> String {
    let count = selection.unusual_count;
    if count == 0 {
        return String::new();
    }
    let mut text = format!(
        "\n**❓ {}**\n\n| table | row | why |\n|:--|:--|:--|\n",
        plural(count, "unusual change")
    );
    let shown = selection.unusual.iter().take(MOST);
    let mut more = count;
    for outlier in shown {
        let mut why: Vec<String> = outlier
            .marks
            .iter()
            .take(REASONS)
            .map(|mark| match &mark.column {
                Some(column) => format!("{}: {}", code(column, 63), words(&mark.why, 200)),
                None => words(&mark.why, 200),
            })
            .collect();
        if let Some(others @ 1..) = outlier.marks.len().checked_sub(REASONS) {
            why.push(format!("and {others} more"));
        }
        let row = format!(
            "| {} | {} | {} |\n",
            code(&outlier.entry.table, 63),
            key(&outlier.entry.key),
            why.join("<br>")
        );
        if text.len() + row.len() > room {
            break;
        }
        text += &row;
        more -= 1;
    }
    if more > 0 {
        text += &format!("\n… and {more} more; `loader show --unusual` has them.\n");
    }
    text
}

/// What the changes of each column come to.
pub fn columns(profile: &Profile, header: &Header, filter: &Filter) -> String {
    let mut rows = String::new();
    for table in header.tables.iter().filter(|t| filter.of_table(&t.table)) {
        let found = profile.table(&table.table);
        for column in found
            .filter(|t| t.updates >= FEW)
            .iter()
            .flat_map(|t| t.changed())
        {
            let said = column.words(found.map_or(0, |t| t.updates));
            let row = format!(
                "| {} | {} | {} |\n",
                code(&table.table, 63),
                code(&column.name, 63),
                words(&said, 400)
            );
            if rows.len() + row.len() > LARGEST {
                rows += "\n… and more columns; `loader show` has them.\n";
                return framed(&rows);
            }
            rows += &row;
        }
    }
    if rows.is_empty() {
        return rows;
    }
    framed(&rows)
}

fn framed(rows: &str) -> String {
    format!(
        "\n**What the updates come to, by column**\n\n| table | column | updates |\n|:--|:--|:--|\n{rows}"
    )
}
