//! The page between its top and its rows: the tables, what the updates come to, and what the script
//! fills.

use maud::{Markup, html};

use super::graph::{self, IN_BAR, bar, sign};
use crate::action::Action;
use crate::plan::{Header, TablePlan};
use crate::planfile::PlanFile;
use crate::render::profile::{Profile, TableProfile};
use crate::render::select::Filter;
use crate::render::takes_no_decisions;
use crate::render::text::FEW;
use crate::text::escape;

/// A bar for each table, and the drawing.
pub fn overview(header: &Header) -> Markup {
    let tables = &header.tables;
    html! {
        section.tables aria-label="Tables" {
            table {
                thead { tr {
                    th scope="col" { "Table" }
                    th.wide scope="col" { span.hidden { "Share of each" } }
                    @for action in IN_BAR {
                        th.number scope="col" { span class=(action) aria-hidden="true" { (sign(action)) } span.word { " " (column(header, action)) } }
                    }
                } }
                tbody { @for (i, table) in tables.iter().enumerate() {
                    tr {
                        th scope="row" { a href="#changes" data-table=(i) { (escape(&table.table)) } }
                        td.wide {
                            svg.bar viewBox="0 0 600 10" preserveAspectRatio="none" aria-hidden="true" {
                                @for (kind, at, width) in bar(&table.counts, 600.0) {
                                    rect class=(kind) x=(at) width=(width) height="10" {}
                                }
                            }
                        }
                        @for action in IN_BAR {
                            @let n = table.counts.of(action);
                            td.number {
                                @if n == 0 { span.none { "·" } }
                                @else { a class=(action) href="#changes" data-table=(i) data-action=(action.urgency()) { (n) } }
                            }
                        }
                    }
                    @for warning in &table.notes(header.kind) {
                        tr.note { td colspan="7" { "Note: " (escape(warning)) } }
                    }
                } }
            }
        }
        @if let Some(drawing) = graph::draw(tables) {
            details.drawn {
                summary { "What the tables refer to" }
                div.drawing tabindex="0" role="group" aria-label="Tables and what they refer to" { (drawing) }
            }
        }
    }
}

/// What the updates of each column come to, where there are many.
pub fn columns(profile: &Profile, tables: &[TablePlan]) -> Markup {
    let found = tables
        .iter()
        .filter_map(|t| profile.table(&t.table).map(|p| (t, p)));
    let found: Vec<(&TablePlan, &TableProfile)> = found.filter(|(_, p)| p.updates >= FEW).collect();
    html! {
        @if !found.is_empty() {
            section.columns aria-label="What the updates come to, by column" {
                h2 { "What the updates come to" }
                table {
                    thead { tr { th scope="col" { "Table" } th scope="col" { "Column" } th scope="col" { "Updates" } } }
                    tbody { @for (table, profile) in found { @for column in profile.changed() {
                        tr {
                            td { (escape(&table.table)) }
                            th scope="row" { (escape(&column.name)) }
                            td { (column.words(profile.updates)) }
                        }
                    } } }
                }
            }
        }
    }
}

/// The head of a column of counts.
fn column(header: &Header, action: Action) -> &'static str {
    match action {
        Action::Skip => header.skips().heading(),
        Action::Violation => "violations",
        other => other.word(),
    }
}

/// The frame that the script fills.
pub fn changes(plan: &PlanFile, filter: &Filter, name: &str) -> Markup {
    let header = &plan.header;
    let left = header.summary.skip;
    html! {
        section #changes aria-label="Changes" {
            (decisions(plan))
            form.tools #tools role="search" autocomplete="off" {
                input #search type="search" placeholder="Search keys and values  ( / )" aria-label="Search keys and values" spellcheck="false";
                span.actions role="group" aria-label="Actions" {
                    @for action in Action::BY_URGENCY {
                        button.chip.(action) type="button" name=(action) data-toggle=(action.urgency()) aria-pressed=(action != Action::Skip) hidden[!filter.of_action(action)] {
                            span.sign aria-hidden="true" { (sign(action)) } " " (column(header, action)) " " b {}
                        }
                    }
                }
                span.break {}
                select #table aria-label="Table" { option value="" { "all tables" } }
                select #column aria-label="Column" { option value="" { "all columns" } }
                select #group aria-label="Group" hidden { option value="" { "all groups" } }
                select #kind aria-label="Kind of violation" { option value="" { "all kinds" } }
                select #decided aria-label="Decision" { option value="" { "any decision" } }
                label { input #grouped type="checkbox" checked; " alike as one" }
                label hidden { input #unusual type="checkbox"; " unusual only " b {} }
                button #reset type="reset" { "Reset" }
                p #state role="status" aria-live="polite" { "Reading…" }
            }
            ul #left {}
            @if left > 0 && !filter.of_action(Action::Skip) {
                p.dim { (header.skips()) ": not on this page, "
                    code { "loader show " (escape(name)) " --format html --all" } " puts them on it." }
            }
            noscript { p { "This page needs its own script to list the changes; "
                code { "loader show --all" } " lists them as text." } }
            div #list role="feed" aria-label="Changes" aria-busy="true" {}
            p.keys { kbd { "/" } " search  " kbd { "j" } " " kbd { "k" } " next, previous  " kbd { "Enter" } " open, close  "
                kbd { "a" } " accept  " kbd { "l" } " leave out  " kbd { "q" } " question  " kbd { "c" } " comment  "
                kbd { "Esc" } " leave the search or the comment" }
        }
    }
}

/// What was decided on this page, and the file that it becomes.
fn decisions(plan: &PlanFile) -> Markup {
    let none = takes_no_decisions(plan);
    html! {
        @if let Some(why) = none { p.dim { (why) } }
        section.decisions #decisions aria-label="Decisions" hidden[none.is_some()] {
            h2 { "Your decisions" }
            p #tally role="status" aria-live="polite" {}
            div.file {
                label { "Your name " input #reviewer autocomplete="off" spellcheck="false" size="18" maxlength="200"; }
                button #save type="button" { "Save decisions" }
                label.button { "Read a file of decisions" input #load type="file" accept=".json,application/json"; }
                button #clear type="button" { "Clear" }
            }
            p #told role="status" aria-live="polite" {}
            p.dim { "Mark rows as accepted, left out or in question, with a comment where you like. Decisions stay in this browser; \
                the file that you save goes to " code { "loader plan --decisions FILE" } "." }
        }
    }
}
