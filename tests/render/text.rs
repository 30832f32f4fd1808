//! `render::text`.

use table_loader::plan::{Action, Effect, Kind, ViolationKind};
use table_loader::render::select::{Filter, Selection};
use table_loader::render::text::{self, Style};
use unicode_width::UnicodeWidthStr;

use crate::fixture::{self, Plan};

const PLAIN: Style = Style {
    colour: false,
    width: 80,
};

fn shown(plan: &Plan, filter: &Filter) -> String {
    let mut out = Vec::new();
    text::plan(&plan.open(), filter, PLAIN, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn first(limit: usize) -> Filter {
    Filter {
        limit: Some(limit),
        ..Filter::default()
    }
}

#[test]
fn a_plan_with_everything_in_it() {
    let plan = fixture::everything(true);
    snapshot!("text", shown(&plan, &first(20)));
}

#[test]
fn the_way_of_reading_makes_no_difference() {
    let plan = fixture::everything(false);
    let file = plan.open();
    let selection = Selection::of(&file, &first(20)).unwrap();
    let mut out = Vec::new();
    text::selection(&file, &selection, &first(20), PLAIN, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), shown(&plan, &first(20)));
}

#[test]
fn filters_and_limits() {
    let plan = fixture::everything(true);
    let by = |table: &str, action: Action, limit| Filter {
        tables: vec![table.into()],
        actions: vec![action],
        limit,
        ..Filter::default()
    };
    let updates = shown(&plan, &by("subjects", Action::Update, Some(1)));
    assert!(
        updates.contains("20 rows alike: gsid=GSID-0010; gsid=GSID-0011; gsid=GSID-0012"),
        "{updates}"
    );
    assert!(
        updates.contains("… and 2 updates more: --table subjects --action update --all shows them"),
        "{updates}"
    );
    assert!(
        !updates.contains("immutable_field") && !updates.contains("\nspecimen:"),
        "{updates}"
    );
    let every = shown(&plan, &by("subjects", Action::Update, None));
    assert!(
        every.contains("GSID-0029") && !every.contains("alike") && !every.contains("more:"),
        "{every}"
    );
    assert!(
        shown(&plan, &by("families", Action::Skip, Some(20)))
            .contains("family_no=F-1  exists, and the existing row is kept")
    );
    assert!(!shown(&plan, &first(20)).contains("GSID-0040"));
    let keyed = Filter {
        key: Some("SMP-1".into()),
        ..first(20)
    };
    let keyed = shown(&plan, &keyed);
    assert!(
        keyed.contains("sample_id=SMP-1") && !keyed.contains("SMP-0"),
        "{keyed}"
    );
    assert!(keyed.ends_with("3 violations (2 left out).\n"), "{keyed}");
}

#[test]
fn all_stands_in_the_same_order_as_the_first() {
    let plan = fixture::everything(true);
    let all = shown(&plan, &Filter::default());
    let at = |text: &str| {
        all.find(text)
            .unwrap_or_else(|| panic!("{text} is missing in {all}"))
    };
    assert!(
        at("immutable_field") < at("marked as deleted")
            && at("marked as deleted") < at("GSID-0010")
            && at("GSID-0029") < at("+ gsid=GSID-0033")
    );
}

#[test]
fn lines_fit_and_nothing_acts_on_the_terminal() {
    for plan in [fixture::hostile(), fixture::everything(true)] {
        for filter in [
            Filter {
                limit: Some(100),
                ..Filter::default()
            },
            Filter::default(),
        ] {
            let text = shown(&plan, &filter);
            // The last line is one, for whoever looks for it.
            for line in text.lines().filter(|l| !l.starts_with("Plan: ")) {
                assert!(line.width() <= 80, "{line}");
            }
            let acts = |c: char| {
                (c.is_control() && c != '\n')
                    || ('\u{200b}'..='\u{200f}').contains(&c)
                    || ('\u{2028}'..='\u{202e}').contains(&c)
                    || ('\u{2066}'..='\u{2069}').contains(&c)
            };
            assert!(!text.contains(acts), "{text}");
            assert!(text.len() < 120_000, "{}", text.len());
        }
    }
}

#[test]
fn sensitive_values_are_nowhere_and_equal_ones_look_equal() {
    let plan = fixture::everything(true);
    let text = shown(&plan, &Filter::default());
    assert!(
        !text.contains("078-05") && !text.contains("219-09"),
        "{text}"
    );
    let masks: Vec<&str> = text.split("•••").skip(1).map(|t| &t[..6]).collect();
    // Given, and why it is refused; deleted, old; new, inserted.
    assert_eq!(masks.len(), 6, "{text}");
    for alike in masks.chunks(2) {
        assert_eq!(alike[0], alike[1]);
    }
    assert_ne!(masks[3], masks[4]);
}

#[test]
fn a_large_group_that_begins_late_is_found() {
    let singles = (0..3000).map(|n| (n, format!("note {n}")));
    let alike = (3000..6000).map(|n| (n, "same".to_owned()));
    let entries = singles.chain(alike).map(|(n, note)| {
        let id = format!("{n:05}");
        fixture::entry(
            "t",
            &[("id", Some(&id))],
            fixture::update(&[("note", None, Some(&note))]),
        )
    });
    let tables = vec![fixture::table("t", r#"{"natural_key": ["id"]}"#, &[], 0)];
    let plan = fixture::write(table_loader::plan::Kind::Rollback, tables, entries);
    let text = shown(&plan, &first(5));
    assert!(
        text.contains("~ at least 3000 rows alike: id=03000; id=03001; id=03002 and 2997 more"),
        "{text}"
    );
    assert!(text.contains("… and 2996 updates more"), "{text}");
    assert!(
        text.contains("id=00003\n") && !text.contains("id=00004\n"),
        "{text}"
    );
}

#[test]
fn each_violation_is_named_unless_a_limit_is_asked_for() {
    let entries = (0..300).map(|i| {
        let id = format!("{i:06}");
        let mut entry = fixture::entry(
            "t",
            &[("id", Some(&id))],
            fixture::violation(
                ViolationKind::InvalidValue,
                Effect::Block,
                "n",
                (None, Some("x")),
                "not a number",
            ),
        );
        entry.from = vec![format!("staging/b1/t/1.csv#{}", i + 2)];
        entry
    });
    let table = fixture::table("t", r#"{"natural_key": ["id"]}"#, &[], 0);
    let plan = fixture::write(Kind::Load, vec![table], entries);
    let text = shown(&plan, &first(20));
    for i in 0..300 {
        let line = format!("      id={i:06}: \"x\" (staging/b1/t/1.csv#{})\n", i + 2);
        assert!(text.contains(&line), "{line}");
    }
    assert_eq!(text.matches("not a number").count(), 1);
    let folded = Filter {
        folds_violations: true,
        ..first(20)
    };
    let text = shown(&plan, &folded);
    assert_eq!(text.matches("(staging/b1/t/1.csv#").count(), 3);
    assert!(text.contains("and 297 more: "), "{text}");
}

#[test]
fn all_has_the_notes_of_tables_without_entries_too() {
    let tables = ["a", "b", "c"].map(|name| {
        let mut table = fixture::table(name, r#"{"natural_key": ["id"]}"#, &[], 0);
        table.warnings.push(format!("mind {name}"));
        table
    });
    let entry = fixture::entry("b", &[("id", Some("1"))], fixture::insert(&[]));
    let plan = fixture::write(Kind::Load, tables.into(), std::iter::once(entry));
    let all = shown(&plan, &Filter::default());
    for (filter, named) in [
        (Filter::default(), 3),
        (first(20), 3),
        (
            Filter {
                tables: vec!["b".into()],
                ..Filter::default()
            },
            1,
        ),
    ] {
        let text = shown(&plan, &filter);
        assert_eq!(text.matches("note: mind ").count(), named, "{text}");
    }
    assert!(
        all.find("mind a").unwrap() < all.find("mind b").unwrap(),
        "{all}"
    );
    assert_eq!(all, shown(&plan, &first(20)));
}

/// What views show of sensitive groups and keys can be asked for, and so can what has no group.
#[test]
fn what_is_shown_can_be_asked_for() {
    let config = r#"{"natural_key": ["id"], "group_by": "site", "sensitive": ["id", "site"]}"#;
    let row = |id: &str, group: Option<&str>| {
        let change = fixture::update(&[("v", Some(id), Some("new"))]);
        let mut row = fixture::entry("t", &[("id", Some(id))], change);
        row.group = group.map(str::to_owned);
        row
    };
    let rows = [
        row("C-1", Some("LYN")),
        row("C-2", Some("OSL")),
        row("C-3", None),
    ];
    let plan = fixture::write(
        Kind::Load,
        vec![fixture::table("t", config, &[], 3)],
        rows.into_iter(),
    );
    let plan = plan.open();
    let found = |group: Option<&str>, key: Option<&str>| -> Vec<_> {
        let filter = Filter {
            group: group.map(str::to_owned),
            key: key.map(str::to_owned),
            limit: Some(20),
            ..Filter::default()
        };
        let selection = Selection::of(&plan, &filter).unwrap();
        let sections: Vec<_> = selection.table("t").collect();
        let groups = sections.into_iter().flat_map(|section| &section.groups);
        let entries = groups.map(|g| {
            (
                g.entry.group.clone(),
                g.entry.key["id"].words().unwrap().into_owned(),
            )
        });
        entries.collect()
    };
    let all = found(None, None);
    assert_eq!(all.len(), 3);
    let (site, id) = &all[0];
    let site = site.as_deref().unwrap();
    assert!(
        site.starts_with("•••") && id.starts_with("•••"),
        "{site} {id}"
    );
    for (group, key) in [
        (Some(site), None),
        (None, Some(id.as_str())),
        (Some(site), Some(id.as_str())),
        (Some(site), Some("C-1")),
        (Some("LYN"), Some(id.as_str())),
    ] {
        assert_eq!(found(group, key), all[..1], "{group:?} {key:?}");
    }
    assert_eq!(found(Some("(none)"), None), all[2..]);
    assert_eq!(found(Some("•••000000"), None), []);
}
