//! What a plan has of each group, as text.

use tabled::builder::Builder;

use super::{Style, of_counts};
use crate::plan::Header;
use crate::render::groups::{TableGroups, name, shown};
use crate::text::cut::{fit, fit_end, wrap};
use crate::text::escape;

/// So many groups of a table are shown where no limit is asked for.
const USUAL: usize = 20;

/// A row of counts for each group, the largest first, and what changes in it.
pub fn groups(groups: &TableGroups, header: &Header, limit: Option<usize>, style: Style) -> String {
    let all = groups.by_size();
    let limit = limit.map_or(usize::MAX, |limit| limit.max(USUAL));
    let few = &all[..limit.min(all.len())];
    let mut rows = Builder::default();
    rows.push_record([
        &*format!("by {}", escape(&groups.by)),
        "insert",
        "update",
        "delete",
        header.skips().heading(),
        "violations",
    ]);
    let number = |n: u64| if n == 0 { "·".into() } else { n.to_string() };
    let widest = style.width.saturating_sub(52).max(12);
    let called = |group: Option<&str>| match groups.of_files {
        true => fit_end(&name(group), widest),
        false => fit(&name(group), widest),
    };
    for (group, found) in few {
        let mut row = vec![called(group.as_deref())];
        row.extend(shown(&found.counts).map(number));
        rows.push_record(row);
    }
    let mut text = of_counts(rows) + "\n";
    for (group, found) in few {
        let (words, whole) = found.words();
        if !words.is_empty() {
            let called = called(group.as_deref());
            let called = if whole {
                style.paint("1", &called)
            } else {
                called
            };
            let lead = format!("    {called}: ");
            wrap(&mut text, &lead, &words.join("; "), 8, style.width);
        }
    }
    if let Some(more) = groups.beyond(few.len()) {
        wrap(&mut text, "    ", &more, 8, style.width);
    }
    text
}
