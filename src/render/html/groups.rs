//! What a plan has of each group, as a table of the page.

use maud::{Markup, html};

use crate::plan::Header;
use crate::render::groups::{Groups, name, shown};
use crate::text::escape;

/// A row for each group of each table, the largest first.
pub fn groups(groups: &Groups, header: &Header) -> Markup {
    html! {
        @for found in header.tables.iter().filter_map(|t| groups.table(&t.table)) {
            section.columns.groups aria-label={ (escape(&found.table)) " by " (escape(&found.by)) } {
                table {
                    thead { tr {
                        th scope="col" { (escape(&found.table)) " by " (escape(&found.by)) }
                        th.number scope="col" { "insert" } th.number scope="col" { "update" }
                        th.number scope="col" { "delete" } th.number scope="col" { (header.skips().heading()) }
                        th.number scope="col" { "violations" } th scope="col" { "Columns that change" }
                    } }
                    tbody { @for (group, counted) in found.by_size() {
                        @let (words, whole) = counted.words();
                        tr {
                            th scope="row" { (name(group.as_deref())) }
                            @for n in shown(&counted.counts) { td.number { (n) } }
                            td { @if whole { b { (words.join("; ")) } } @else { (words.join("; ")) } }
                        }
                    } }
                }
                @if let Some(more) = found.beyond(usize::MAX) { p { (more) } }
            }
        }
    }
}
