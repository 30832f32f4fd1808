//! Whatever differs between two long values is seen or counted, in every format.

use table_loader::plan::Kind;
use table_loader::render::select::{Filter, Selection};
use table_loader::render::text::{self, Style};
use table_loader::render::{json, markdown, sheet};

use crate::fixture::{self, HOSTILE, entry, update};
use crate::html::page;
use crate::random::Random;

/// A long text, and the same with so many of its words replaced, none near another: what is near is one
/// difference.
fn pair(random: &mut Random) -> (String, String, usize) {
    let words = 40 + random.below(400);
    let hostile = random.chance(30);
    let old: Vec<String> = (0..words)
        .map(|n| match hostile && random.chance(10) {
            true => HOSTILE[random.below(HOSTILE.len())].to_owned(),
            false => format!("w{n}"),
        })
        .collect();
    let mut new = old.clone();
    let wanted = 1 + random.below(20);
    let mut replaced = 0;
    for n in (0..words).step_by(12) {
        if replaced < wanted && random.chance(60) {
            new[n] = format!("Changed{replaced:03}");
            replaced += 1;
        }
    }
    if replaced == 0 {
        new[words - 1] = "Changed000".into();
        replaced = 1;
    }
    (old.join(" "), new.join(" "), replaced)
}

/// How many further differences a text says there are.
fn counted(text: &str) -> usize {
    let before = text.split(" more difference").next().unwrap_or_default();
    let number = before.rsplit(' ').next().unwrap_or_default();
    match text.contains(" more difference") {
        true => number.parse().unwrap(),
        false => 0,
    }
}

#[test]
fn what_differs_is_seen_or_counted_in_every_format() {
    // More by hand: TEST_PAIRS=2000.
    let pairs = std::env::var("TEST_PAIRS").map_or(12, |n| n.parse().unwrap());
    let mut random = Random::new(7);
    for case in 0..pairs {
        let (old, new, replaced) = pair(&mut random);
        let changed = update(&[("note", Some(&old), Some(&new))]);
        let rows = [entry("t", &[("id", Some("1"))], changed)];
        let table = fixture::table("t", r#"{"natural_key": ["id"]}"#, &[], 2);
        let plan = fixture::write(Kind::Load, vec![table], rows.into_iter());
        let (file, filter) = (plan.open(), Filter::default());
        let few = Filter {
            limit: Some(20),
            ..Filter::default()
        };
        let selection = Selection::of(&file, &few).unwrap();
        let style = Style {
            colour: false,
            width: 100,
        };
        let [mut one, mut all, mut comment, mut whole, mut cells] = [const { Vec::new() }; 5];
        text::selection(&file, &selection, &few, style, &mut one).unwrap();
        text::plan(&file, &filter, style, &mut all).unwrap();
        markdown::selection(&file, &selection, &few, &mut comment).unwrap();
        json::plan(&file, &filter, &mut whole).unwrap();
        sheet::csv(&file, &filter, &mut cells).unwrap();
        let html = page(&plan, &filter).1;
        let formats = [one, all, comment, whole, cells, html.into_bytes()];
        for (format, shown) in formats.into_iter().enumerate() {
            let shown = String::from_utf8(shown).unwrap();
            // Lines are wrapped.
            let shown: Vec<&str> = shown.split_whitespace().collect();
            let shown = shown.join(" ");
            let seen = (0..replaced).filter(|n| shown.contains(&format!("Changed{n:03}")));
            let seen = seen.count();
            assert!(
                seen > 0 && seen + counted(&shown) >= replaced,
                "case {case}, format {format}: {seen} of {replaced}: {shown}"
            );
        }
    }
}
