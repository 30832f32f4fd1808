//! The tables of a plan as a drawing: who refers to whom, and what happens in each.

use maud::{Markup, html};

use super::layers::{Measure, layout};
use crate::action::Action;
use crate::plan::{Counts, TablePlan};
use crate::text::cut::fit;
use crate::text::escape;

/// A drawing of more tables shows nothing.
const MOST: usize = 60;
const MEASURE: Measure = Measure {
    node: (184.0, 62.0),
    gap: (64.0, 22.0),
};
/// Beyond this width it is scrolled, and not made smaller.
const BROAD: f64 = 1600.0;
/// Room for arrows and outlines.
const MARGIN: f64 = 14.0;

/// The actions as they stand in a bar.
pub const IN_BAR: [Action; 5] = [
    Action::Insert,
    Action::Update,
    Action::Delete,
    Action::Violation,
    Action::Skip,
];

/// The glyph as it is printed: a minus is as wide as a plus.
pub fn sign(action: Action) -> &'static str {
    match action {
        Action::Delete => "−",
        other => other.glyph(),
    }
}

/// What there is some of, and how much.
fn some(counts: &Counts) -> Vec<(Action, u64)> {
    let all = IN_BAR.into_iter().map(|action| (action, counts.of(action)));
    all.filter(|(_, n)| *n > 0).collect()
}

/// The parts of a bar of `width`: class, left end and width. What is there is seen, however little.
pub fn bar(c: &Counts, width: f64) -> Vec<(&'static str, f64, f64)> {
    let some = some(c).into_iter();
    let some: Vec<_> = some.map(|(action, n)| (action.word(), n as f64)).collect();
    let total: f64 = some.iter().map(|(_, n)| n).sum();
    let least = width / 60.0;
    let free = width - least * some.len() as f64;
    let mut at = 0.0;
    some.into_iter()
        .map(|(kind, n)| {
            let part = (kind, at, least + free * n / total);
            at += part.2;
            part
        })
        .collect()
}

/// The drawing, or nothing where there are too many tables for one.
pub fn draw(tables: &[TablePlan]) -> Option<Markup> {
    if tables.is_empty() || tables.len() > MOST {
        return None;
    }
    let number = |name: &String| tables.iter().position(|t| t.table == *name);
    let mut edges = Vec::new();
    for (child, table) in tables.iter().enumerate() {
        let parents = table.parents.iter().filter_map(number);
        edges.extend(parents.filter(|p| *p != child).map(|p| (p, child)));
    }
    let drawn = layout(tables.len(), &edges, MEASURE);
    let (width, height) = (drawn.size.0 + 2.0 * MARGIN, drawn.size.1 + 2.0 * MARGIN);
    Some(html! {
        svg.graph.broad[width > BROAD] xmlns="http://www.w3.org/2000/svg" width=(round(width)) height=(round(height))
            viewBox={ (-MARGIN) " " (-MARGIN) " " (round(width)) " " (round(height)) }
            role="group" aria-label="Which table refers to which" {
            defs {
                marker #arrow viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto" {
                    path.arrow d="M0 0 L8 4 L0 8 z" {}
                }
            }
            @for points in &drawn.edges {
                path.edge d=(path(points)) marker-end="url(#arrow)" {}
            }
            @for (i, (table, at)) in tables.iter().zip(&drawn.nodes).enumerate() {
                (node(i, table, *at))
            }
        }
    })
}

/// A curve through the points that leaves and arrives level.
fn path(points: &[(f64, f64)]) -> String {
    let mut text = String::new();
    for (i, (x, y)) in points.iter().enumerate() {
        let (x, y) = (round(*x), round(*y));
        text += &match i.checked_sub(1).and_then(|before| points.get(before)) {
            None => format!("M{x} {y}"),
            // Along the side of a layer that it passes, or between two layers.
            Some(_) if i % 2 == 0 => format!(" L{x} {y}"),
            Some((bx, by)) => {
                let middle = round((bx + x) / 2.0);
                format!(" C{middle} {} {middle} {y} {x} {y}", round(*by))
            }
        };
    }
    text
}

fn node(i: usize, table: &TablePlan, (x, y): (f64, f64)) -> Markup {
    let (width, height) = MEASURE.node;
    let inner = width - 24.0;
    let some = some(&table.counts);
    let said: Vec<String> = some
        .iter()
        .map(|(action, n)| format!("{n} {action}"))
        .collect();
    let label = format!(
        "{}: {}",
        escape(&table.table),
        if said.is_empty() {
            "nothing".into()
        } else {
            said.join(", ")
        }
    );
    html! {
        a.node href="#changes" data-table=(i) aria-label=(label) transform={ "translate(" (round(x)) " " (round(y)) ")" } {
            title { (label) }
            @if table.parents.contains(&table.table) {
                path.edge d={ "M" (width - 40.0) " 0 c0 -14 24 -14 24 -2" } marker-end="url(#arrow)" {}
            }
            rect.box width=(width) height=(height) rx="8" {}
            text.name x="12" y="21" { (fit(&table.table, 21)) }
            text.counts x="12" y="40" {
                @for (action, n) in some {
                    tspan class=(action) { (sign(action)) (short(n)) } " "
                }
                @if said.is_empty() { tspan.skip { "nothing" } }
            }
            @for (kind, at, part) in bar(&table.counts, inner) {
                rect class=(kind) x=(round(12.0 + at)) y="48" width=(round(part)) height="5" {}
            }
        }
    }
}

/// A number that fits beside others: `12`, `3.4k`, `27k`.
fn short(n: u64) -> String {
    match n {
        0..10_000 => n.to_string(),
        10_000..1_000_000 => format!("{}k", n / 1000),
        _ => format!("{}M", n / 1_000_000),
    }
}

fn round(v: f64) -> f64 {
    (v * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_full_and_shows_what_is_rare() {
        let c = Counts {
            insert: 1,
            update: 100_000,
            delete: 0,
            skip: 900_000,
            violation: 2,
        };
        let parts = bar(&c, 600.0);
        let kinds: Vec<&str> = parts.iter().map(|p| p.0).collect();
        assert_eq!(kinds, ["insert", "update", "violation", "skip"]);
        assert!(parts.iter().all(|p| p.2 >= 10.0));
        let last = parts[3];
        assert!((last.1 + last.2 - 600.0).abs() < 0.001);
        assert!(bar(&Counts::default(), 600.0).is_empty());
    }
}
