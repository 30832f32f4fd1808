//! What a plan has of each group, as Markdown.

use super::inert::{code, words};
use crate::plan::Header;
use crate::render::groups::{Groups, name, shown};
use crate::render::select::Filter;

/// The most bytes of it.
const LARGEST: usize = 10_000;
/// So many groups of a table are named.
const MOST: usize = 50;

/// A row for each group, the largest first: its counts, and which columns change in how many of its rows.
pub fn groups(groups: &Groups, header: &Header, filter: &Filter) -> String {
    let mut text = String::new();
    for table in header.tables.iter().filter(|t| filter.of_table(&t.table)) {
        let Some(found) = groups.table(&table.table) else {
            continue;
        };
        text += &format!(
            "\n**{} by {}**\n\n| {} | insert | update | delete | {} | violations | columns that change |\n\
             |:--|--:|--:|--:|--:|--:|:--|\n",
            code(&table.table, 63),
            code(&found.by, 63),
            code(&found.by, 63),
            header.skips().heading()
        );
        let mut named = 0;
        for (group, counted) in found.by_size().into_iter().take(MOST) {
            let (changes, whole) = counted.words();
            let changes = words(&changes.join("; "), 300);
            let changes = if whole {
                format!("❗ {changes}")
            } else {
                changes
            };
            let counts = shown(&counted.counts).map(|n| n.to_string()).join(" | ");
            let row = format!(
                "| {} | {counts} | {changes} |\n",
                code(&name(group.as_deref()), 100)
            );
            if text.len() + row.len() > LARGEST {
                break;
            }
            text += &row;
            named += 1;
        }
        if let Some(more) = found.beyond(named) {
            text += &format!("\n{}\n", words(&more, 300));
        }
        if text.len() > LARGEST {
            break;
        }
    }
    text
}
