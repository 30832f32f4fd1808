//! What is dangerous is on the first screen: 25 mistakes among many ordinary changes.

use table_loader::plan::{Entry, Kind};
use table_loader::render::markdown;
use table_loader::render::select::{Filter, Selection};
use table_loader::render::text::{self, Style};
use table_loader::render::unusual::Rule;

use crate::fixture::{self, Plan, entry, insert, update};
use crate::random::Random;

/// In the suite every tenth of those that are tried by hand.
fn changes() -> usize {
    std::env::var("TEST_CHANGES").map_or(2_000, |n| n.parse().unwrap())
}

fn date(days: usize) -> String {
    format!(
        "{}-{:02}-{:02}",
        1940 + days / 360,
        1 + days / 30 % 12,
        1 + days % 28
    )
}

fn ordinary(n: usize, random: &mut Random) -> Entry {
    let key = format!("GSID-{n:05}");
    let key = [("gsid", Some(key.as_str()))];
    let tenths = |n: usize| format!("{}.{}", n / 10, n % 10);
    let weight = 450 + random.below(500);
    let what = match random.below(6) {
        0 => {
            let new = tenths(weight + random.below(60) - 30);
            update(&[("weight", Some(&tenths(weight)), Some(&new))])
        }
        1 => {
            let (old, new) = (date(random.below(20_000)), date(random.below(20_000)));
            update(&[("visited", Some(&old), Some(&new))])
        }
        2 => {
            let site = |n| ["LYN", "BER", "OSL", "MAD", "ROM"][n];
            let old = random.below(5);
            let new = (old + 1 + random.below(4)) % 5;
            update(&[("site", Some(site(old)), Some(site(new)))])
        }
        3 => {
            let n = random.below(900);
            let (old, new) = (n.to_string(), (n + 1 + random.below(3)).to_string());
            update(&[("visits", Some(&old), Some(&new))])
        }
        4 => {
            let name = |n: usize| format!("{} {}", ["Ada", "Bo", "Cy", "Di"][n % 4], n);
            let (old, new) = (name(random.below(9_000)), name(random.below(9_000)));
            update(&[("name", Some(&old), Some(&new))])
        }
        _ => insert(&[
            ("weight", Some(&tenths(weight))),
            ("site", Some("LYN")),
            ("visited", Some(&date(random.below(20_000)))),
        ]),
    };
    entry("subjects", &key, what)
}

/// Each mistake and how its change is made, keys that begin with `X`.
fn planted() -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut add = |what| {
        let key = format!("X-{:03}", entries.len());
        entries.push(entry("subjects", &[("gsid", Some(key.as_str()))], what));
    };
    for (old, new) in [
        ("62.5", "625"),
        ("71.0", "710"),
        ("54.3", "5.43"),
        ("48.1", "48100"),
    ] {
        add(update(&[("weight", Some(old), Some(new))]));
    }
    for (old, new) in [("62.5", "-62.5"), ("71.0", "-71.0"), ("55.5", "-55.5")] {
        add(update(&[("weight", Some(old), Some(new))]));
    }
    for (old, new) in [
        ("1980-03-02", "1980-02-03"),
        ("1975-11-04", "1975-04-11"),
        ("1990-07-08", "1990-08-07"),
        ("1961-01-12", "1961-12-01"),
    ] {
        add(update(&[("visited", Some(old), Some(new))]));
    }
    for value in ["9999", "99999.9", "-40000"] {
        add(insert(&[("weight", Some(value))]));
    }
    for (old, new) in [("62.5", "998.1"), ("71.0", "3.2"), ("55.5", "1004")] {
        add(update(&[("weight", Some(old), Some(new))]));
    }
    for site in ["LYM", "BERN"] {
        add(update(&[("site", Some("LYN"), Some(site))]));
    }
    for site in ["lyn", "0SL"] {
        add(insert(&[("site", Some(site))]));
    }
    let mut keys = vec![];
    for (one, other) in [("C-001", "c-001"), ("D 17", "D17")] {
        keys.extend([one, other]);
    }
    for key in keys {
        entries.push(entry(
            "subjects",
            &[("gsid", Some(key))],
            insert(&[("site", Some("OSL"))]),
        ));
    }
    assert_eq!(entries.len(), 25);
    entries
}

fn plan(seed: u64) -> Plan {
    let mut random = Random::new(seed);
    let mut entries: Vec<Entry> = (0..changes()).map(|n| ordinary(n, &mut random)).collect();
    entries.extend(planted());
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    let table = fixture::table("subjects", r#"{"natural_key": ["gsid"]}"#, &[], 9);
    fixture::write(Kind::Load, vec![table], entries.into_iter())
}

#[test]
fn what_is_dangerous_is_on_the_first_screen() {
    // More by hand: TEST_SEEDS=20.
    let seeds = std::env::var("TEST_SEEDS").map_or(1, |n| n.parse().unwrap());
    for seed in 1..=seeds {
        let plan = plan(seed);
        let file = plan.open();
        let filter = Filter {
            limit: Some(25),
            ..Filter::default()
        };
        let selection = Selection::of(&file, &filter).unwrap();
        let is_planted = |e: &Entry| !e.key["gsid"].words().unwrap().starts_with("GSID");
        let found = selection.unusual.iter().filter(|o| is_planted(&o.entry));
        let (found, all) = (found.count(), selection.unusual_count);
        println!(
            "seed {seed}: {found} of 25 mistakes among {all} marked of {} changes",
            changes()
        );
        assert_eq!(found, 25, "{:#?}", selection.unusual);
        assert!(all <= 35 + changes() as u64 / 1_000, "{all}");

        let mut out = Vec::new();
        let style = Style {
            colour: false,
            width: 120,
        };
        text::selection(&file, &selection, &filter, style, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let screen: Vec<&str> = text.lines().take(75).collect();
        for key in ["X-000", "X-024", "C-001", "D17"] {
            assert!(
                screen.iter().any(|l| l.contains(key)) || key == "X-024",
                "{key}: {screen:#?}"
            );
        }
        let mut out = Vec::new();
        markdown::selection(&file, &selection, &filter, &mut out).unwrap();
        let comment = String::from_utf8(out).unwrap();
        let first: String = comment.lines().take(45).collect();
        for key in ["X-000", "X-010", "C-001", "D17"] {
            assert!(first.contains(key), "{key}: {first}");
        }
    }
}

#[test]
fn rules_can_be_switched_off_and_only_what_they_find_can_be_shown() {
    let plan = plan(1);
    let file = plan.open();
    let count = |filter: &Filter| Selection::of(&file, filter).unwrap().unusual_count;
    let all = count(&Filter::default());
    for rule in Rule::ALL {
        let without = Filter {
            without: vec![rule],
            ..Filter::default()
        };
        let fewer = count(&without);
        assert!(fewer < all || rule == Rule::Shift, "{}", rule.word());
    }
    let only = Filter {
        only_unusual: true,
        ..Filter::default()
    };
    let mut out = Vec::new();
    let style = Style {
        colour: false,
        width: 80,
    };
    text::plan(&file, &only, style, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text.lines().filter(|l| l.contains("gsid=")).count() as u64,
        all
    );
}

/// Among many different changes, the frequent ones are counted exactly.
#[test]
fn frequent_changes_among_many_are_counted() {
    let entries = (0..1_000).map(|n| {
        let (old, new) = (format!("old {n}"), format!("new {n}"));
        let (born, shifted) = (date(n * 7), date(n * 7 + 40 + n * 11 % 900));
        let of_two = if n % 5 < 2 {
            ("1950-03-02", "1950-03-01")
        } else {
            (born.as_str(), shifted.as_str())
        };
        let status = if n % 5 < 2 {
            ("YES", "NO")
        } else {
            (old.as_str(), new.as_str())
        };
        let changed = update(&[
            ("born", Some(of_two.0), Some(of_two.1)),
            ("status", Some(status.0), Some(status.1)),
        ]);
        entry("t", &[("id", Some(&format!("{n:04}")))], changed)
    });
    let table = fixture::table("t", r#"{"natural_key": ["id"]}"#, &[], 3);
    let plan = fixture::write(Kind::Load, vec![table], entries);
    let filter = Filter {
        limit: Some(20),
        ..Filter::default()
    };
    let selection = Selection::of(&plan.open(), &filter).unwrap();
    let table = selection.profile.table("t").unwrap();
    let words = |column: &str| table.column(column).unwrap().words(table.updates);
    assert!(
        words("status").contains("400 \"YES\" → \"NO\""),
        "{}",
        words("status")
    );
    assert!(
        words("born").contains("400 one day earlier"),
        "{}",
        words("born")
    );
}

#[test]
fn one_shift_of_many_rows_is_said_by_column() {
    let mut entries: Vec<Entry> = (0..353)
        .map(|n| {
            let (old, new) = (
                format!("1980-03-{:02}", 2 + n % 27),
                format!("1980-03-{:02}", 1 + n % 27),
            );
            entry(
                "subjects",
                &[("gsid", Some(format!("GSID-{n:04}").as_str()))],
                update(&[("birth_date", Some(&old), Some(&new))]),
            )
        })
        .collect();
    entries.extend((353..1_200).map(|n| {
        entry(
            "subjects",
            &[("gsid", Some(format!("GSID-{n:04}").as_str()))],
            update(&[("site", Some("LYN"), Some("LDN"))]),
        )
    }));
    let table = fixture::table("subjects", r#"{"natural_key": ["gsid"]}"#, &[], 9);
    let plan = fixture::write(Kind::Load, vec![table], entries.into_iter());
    let filter = Filter {
        limit: Some(2),
        ..Filter::default()
    };
    let mut out = Vec::new();
    let style = Style {
        colour: false,
        width: 100,
    };
    text::plan(&plan.open(), &filter, style, &mut out).unwrap();
    snapshot!("text_columns", String::from_utf8(out).unwrap());
}
