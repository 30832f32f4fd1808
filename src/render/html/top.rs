//! What a reviewer decides by, before any detail: whether the plan can be applied, where, who made it
//! when and from what, what it comes to, what stands out, and what is wrong.

use maud::{Markup, html};

use super::graph::sign;
use crate::action::Action;
use crate::plan::{Effect, Header, Violation, What, display_key};
use crate::planfile::{Made, Notes, PlanFile};
use crate::render::select::{Group, Outlier, Selection};
use crate::render::verdict::{Verdict, left_out, noted, operation, plural, records};
use crate::text::cut::fit;
use crate::text::escape;

/// So many changes that stand out, and so many reasons of violations, are named here.
pub const NAMED: usize = 6;

/// The verdict, and what the plan is.
pub fn top(plan: &PlanFile, selection: &Selection, name: &str) -> Markup {
    let header = &plan.header;
    let identity = plan.masked_hash.as_ref().map(|_| " --identity FILE");
    let verdict = Verdict::of(header);
    let class = match verdict {
        Verdict::Blocked { .. } => "blocked",
        Verdict::Nothing => "nothing",
        Verdict::Applicable => "fine",
    };
    let (made, beside) = notes(plan);
    html! {
        header.top {
            div.what {
                p.over { (operation(header)) }
                h1 { (escape(&header.batch_id)) }
                p.verdict.(class) { (verdict) }
                @if let Some(what) = left_out(header) { p.verdict.rejected { (what) "." } }
            }
            dl {
                div { dt { "Database" } dd {
                    (escape(&header.target.database))
                    @if let Some(made) = &made { span.dim { " at " (fit(&made.database, 300)) } }
                } }
                @if let Some(made) = &made {
                    div { dt { "Made" } dd {
                        (fit(&made.at, 100)) " by " (fit(&made.by, 200))
                        span.dim { " on " (fit(&made.on, 200)) ", with loader " (fit(&made.version, 50)) }
                    } }
                }
                @if let Some(sources) = selection.sources.words() { div { dt { "Source" } dd { (sources) ", " (plural(header.records, "record")) } } }
                @if !header.undoes.is_empty() {
                    div { dt { "Takes back" } dd.code { (header.undoes.join(", ")) } }
                }
                @if !header.undoes_in_part.is_empty() {
                    div { dt { "Takes back in part" } dd.code { (header.undoes_in_part.join(", ")) } }
                }
                div { dt { "Plan" } dd.code.all { (plan.hash) } }
                @for line in crate::render::sealed(plan) { div { dt { "Encrypted" } dd { (line) } } }
                @if verdict == Verdict::Applicable {
                    div { dt { "To apply it" } dd.code.all { "loader apply " (escape(name)) @if let Some(i) = identity { (i) } " --approve " (plan.verified_hash()) } }
                }
                @if made.is_some() { div { dt {} dd.dim { "Not in the hash: where the database is, and when, by whom and on what the plan was made." } } }
            }
        }
        @if let Some(noted) = beside { p.noted { "Not in the hash: " (noted) } }
        (totals(header))
        @if selection.unusual_count > 0 || header.summary.violation > 0 {
            div.review {
                (violations(header, selection))
                (unusual(selection))
            }
        }
    }
}

/// How the plan came about, and what its notes say beside it.
fn notes(plan: &PlanFile) -> (Option<Made>, Option<String>) {
    let Some(notes) = &plan.notes else {
        return (None, None);
    };
    let mut rest = notes.get().to_owned();
    let mut made = None;
    if let Ok(mut known) = serde_json::from_str::<Notes>(notes.get()) {
        made = known.made.take();
        rest = serde_json::to_string(&known).unwrap_or(rest);
    }
    let noted = noted(&plan.header, &rest);
    (made, Some(noted).filter(|noted| !noted.is_empty()))
}

/// What the plan comes to, as links to what is behind each number.
fn totals(header: &Header) -> Markup {
    let count = |action: Action| header.summary.of(action);
    html! {
        section.totals aria-label="What it comes to" {
            @for action in Action::CHANGES {
                a.total.(action) href="#changes" data-action=(action.urgency()) {
                    b { span aria-hidden="true" { (sign(action)) } (count(action)) } " to " (action)
                }
            }
            a.total.violation href="#changes" data-action=(Action::Violation.urgency()) {
                b { span aria-hidden="true" { (sign(Action::Violation)) } (count(Action::Violation)) }
                @if count(Action::Violation) == 1 { " violation" } @else { " violations" }
            }
            span.total { (header.skips()) }
        }
    }
}

/// Violations by reason, those that block first.
fn violations(header: &Header, selection: &Selection) -> Markup {
    let sections = header.tables.iter().filter_map(|table| {
        let section = selection.table(&table.table).next()?;
        Some(section.groups.iter())
    });
    let mut reasons: Vec<(&Group, &Violation)> = sections
        .flatten()
        .filter_map(|group| match &group.entry.what {
            What::Violation(violation) => Some((group, violation)),
            _ => None,
        })
        .collect();
    reasons.sort_by_key(|(group, v)| (v.effect != Effect::Block, u64::MAX - group.count));
    let more = reasons.len().saturating_sub(NAMED) as u64;
    let tables = header.tables.iter();
    let sections = tables.filter_map(|table| selection.table(&table.table).next());
    let unread: u64 = sections.map(|section| section.more).sum();
    html! {
        @if !reasons.is_empty() {
            section aria-label="Violations by reason" {
                h2 { "Violations by reason" }
                ul.reasons { @for (group, v) in reasons.iter().take(NAMED) {
                    li {
                        a href="#changes" data-table=[place(header, &group.entry.table)] data-kind=(v.kind.word()) {
                            span.violation { (v.kind.word()) }
                            @if let Some(field) = &v.field { " " (escape(field)) }
                            " in " (escape(&group.entry.table))
                        }
                        ": " (how_many(group, v)) ", " (v.effect.words())
                        span.dim { (fit(&v.why(), 160)) }
                    }
                } }
                @if more > 0 { p.dim { "and " (plural(more, "more reason")) } }
                @if unread > 0 { p.dim { "and " (plural(unread, "more violation")) " for these and other reasons" } }
            }
        }
    }
}

fn how_many(group: &Group, v: &Violation) -> String {
    match group.count {
        1 => "1 record".to_owned(),
        _ => records(group, v),
    }
}

fn place(header: &Header, table: &str) -> Option<usize> {
    header.tables.iter().position(|t| t.table == table)
}

/// The changes that stand out most.
fn unusual(selection: &Selection) -> Markup {
    let shown: Vec<&Outlier> = selection.unusual.iter().take(NAMED).collect();
    let more = selection.unusual_count.saturating_sub(shown.len() as u64);
    html! {
        @if !shown.is_empty() {
            section aria-label="Unusual" {
                h2 { a href="#changes" data-unusual="1" { (plural(selection.unusual_count, "unusual change")) } }
                ul.reasons { @for outlier in shown {
                    li {
                        (escape(&outlier.entry.table)) " " b { (fit(&display_key(&outlier.entry.key), 200)) }
                        span.dim { @for (i, mark) in outlier.marks.iter().take(2).enumerate() { @if i > 0 { "; " } (fit(&mark.words(), 160)) } }
                    }
                } }
                @if more > 0 { p.dim { "and " (more) " more" } }
            }
        }
    }
}
