//! What a reviewer should see before the rest: changes that stand out, and what the changes of each
//! column come to.

use super::Style;
use crate::plan::display_key;
use crate::render::profile::Profile;
use crate::render::select::{Filter, Selection};
use crate::render::unusual::Mark;
use crate::render::verdict::plural;
use crate::text::cut::wrap;
use crate::text::escape;

/// Of fewer updates nothing is summed up: they can be read.
pub const FEW: u64 = 10;

/// The changes that stand out; nothing where none does.
pub fn unusual(selection: &Selection, filter: &Filter, style: Style) -> String {
    let count = selection.unusual_count;
    if count == 0 {
        return String::new();
    }
    let mut text = format!("{}:\n", style.paint("1", &plural(count, "unusual change")));
    for outlier in &selection.unusual {
        let lead = format!("  {} ", style.paint("35", "?"));
        let entry = &outlier.entry;
        let line = format!("{} {}", escape(&entry.table), display_key(&entry.key));
        wrap(&mut text, &lead, &line, 8, style.width);
        marks(&mut text, &outlier.marks, style);
    }
    let more = count - selection.unusual.len() as u64;
    if more > 0 {
        let line = format!("… and {more} more: {} shows them", filter.each_unusual());
        wrap(&mut text, "  ", &line, 4, style.width);
    }
    text + "\n"
}

/// Why a change stands out, a line each.
pub fn marks(text: &mut String, marks: &[Mark], style: Style) {
    for mark in marks {
        let line = format!("unusual: {}", mark.words());
        wrap(text, "      ", &line, 10, style.width);
    }
}

/// What the changes of each column of a table come to.
pub fn columns(profile: &Profile, table: &str, style: Style) -> String {
    let mut text = String::new();
    let Some(table) = profile.table(table).filter(|t| t.updates >= FEW) else {
        return text;
    };
    for column in table.changed() {
        let line = format!("{}: {}", escape(&column.name), column.words(table.updates));
        wrap(&mut text, "  ", &line, 8, style.width);
    }
    text
}
