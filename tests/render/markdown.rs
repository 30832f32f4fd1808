//! `render::markdown`.

use table_loader::plan::{Effect, Kind, ViolationKind};
use table_loader::render::markdown::{self, LARGEST};
use table_loader::render::select::{Filter, Selection};

use crate::fixture::{self, HOSTILE, Plan};

fn shown(plan: &Plan) -> String {
    linked(plan, None)
}

fn linked(plan: &Plan, page: Option<&str>) -> String {
    let filter = Filter {
        limit: Some(markdown::ROWS),
        page: page.map(str::to_owned),
        ..Filter::default()
    };
    let file = plan.open();
    let selection = Selection::of(&file, &filter).unwrap();
    let mut out = Vec::new();
    markdown::selection(&file, &selection, &filter, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_plan_with_everything_in_it() {
    let text = shown(&fixture::everything(true));
    assert!(!text.contains("078-05"));
    snapshot!("markdown", text);
}

#[test]
fn a_comment_without_room_for_all_links_to_the_page() {
    let link = "[the page](https://ci.example/plans/b1.html?job=1#x) has all of it";
    let page = Some("https://ci.example/plans/b1.html?job=1#x");
    let cut = linked(&fixture::many(3_000), page);
    assert!(cut.contains(link) && cut.len() <= LARGEST);
    assert!(!linked(&fixture::everything(true), page).contains("the page"));
    for address in [
        "javascript:alert(1)",
        "https://x.example/a)[b](c",
        "https://x.example/ a",
        "https://",
    ] {
        assert!(!markdown::is_address(address), "{address}");
    }
}

/// Takes away what this renderer itself writes; what is left must hold no markup at all.
fn left_over(line: &str) -> String {
    let mut rest = line.to_owned();
    for tag in [
        "<code>",
        "</code>",
        "<br>",
        "<i>",
        "</i>",
        "<details><summary>",
        "</summary>",
        "</details>",
    ] {
        rest = rest.replace(tag, "");
    }
    rest
}

#[test]
fn no_value_breaks_out_of_its_cell() {
    let text = shown(&fixture::hostile());
    assert!(text.len() <= LARGEST);
    assert!(text.starts_with("<!-- table-loader plan sha256:"));
    let mut columns = 0;
    for line in text.lines().skip(1) {
        let rest = left_over(line);
        assert!(
            !rest.contains(['<', '>', '\\']) || line.starts_with("> "),
            "{line}"
        );
        assert!(
            rest.matches('`').count().is_multiple_of(2) && !rest.contains("``"),
            "{line}"
        );
        // Outside of code there is neither mention nor link nor image.
        let bare: String = rest.split('`').step_by(2).collect();
        assert!(
            !bare.contains(['@', '[', ']', '$', '_', '~'])
                && !bare.contains("://")
                && !bare.contains("www."),
            "{line}"
        );
        assert!(
            !bare.replace("&#", "").contains('#') || line.starts_with("### "),
            "{line}"
        );
        if line.starts_with('|') {
            let found = line.matches('|').count();
            if columns == 0 {
                columns = found;
            }
            assert_eq!(found, columns, "{line}");
        } else {
            columns = 0;
        }
    }
    for bad in HOSTILE
        .iter()
        .filter(|b| b.contains(['<', '\u{202e}', '\u{1b}']))
    {
        assert!(!text.contains(bad), "{bad}");
    }
    assert!(text.contains("…") && text.contains(" bytes)"));
}

#[test]
fn a_large_plan_is_cut_on_rows_with_a_share_for_each_table() {
    let text = shown(&fixture::many(5_000));
    assert!(
        text.len() <= LARGEST && text.len() > LARGEST * 9 / 10,
        "{}",
        text.len()
    );
    for table in ["subjects", "families", "specimen", "lcl", "dna"] {
        assert!(
            text.contains(&format!("<summary><code>{table}</code>: ")),
            "{table}"
        );
        assert!(text.contains(&format!("`{table}-0")), "{table}");
    }
    assert!(text.contains("more; `loader show` has them"));
    assert!(!text.contains("[!WARNING]"));
    assert_eq!(
        text.matches("<details>").count(),
        text.matches("</details>").count()
    );
    assert_eq!(text.matches("| `invalid").count(), 0);
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("Plan: ") && last.ends_with("violations (5 left out)."),
        "{last}"
    );
}

#[test]
fn violations_and_deletes_are_cut_last_and_it_says_so() {
    let plan = |n: usize| {
        let entries = (0..n).map(|i| {
            let id = format!("{i:06}");
            let key = [("id", Some(id.as_str()))];
            match i % 3 {
                0 => fixture::entry("t", &key, fixture::delete(&[("note", Some(&id))], false)),
                1 => fixture::entry("t", &key, fixture::insert(&[("note", Some(&id))])),
                _ => fixture::entry(
                    "t",
                    &key,
                    fixture::violation(
                        ViolationKind::InvalidValue,
                        Effect::Block,
                        "n",
                        (None, Some(&id)),
                        &format!("bad as {id}"),
                    ),
                ),
            }
        });
        fixture::write(
            Kind::Load,
            vec![fixture::table("t", r#"{"natural_key": ["id"]}"#, &[], 0)],
            entries,
        )
    };
    let some = shown(&plan(900));
    assert_eq!(some.matches("invalid&#95;value").count(), 300);
    assert!(
        some.contains("`000897`") && some.contains("300 inserts") && !some.contains("[!WARNING]")
    );
    let many = shown(&plan(30_000));
    assert!(many.len() <= LARGEST && many.contains("[!WARNING]"));
    assert!(
        many.contains("10000 violations")
            && many.contains("10000 deletes")
            && many.contains("10000 inserts")
    );
    assert!(many.matches("invalid&#95;value").count() > 100 && many.matches("| `0").count() > 300);
}

#[test]
fn very_many_tables_still_fit() {
    let tables = (0..2_000).map(|t| {
        fixture::table(
            &format!("table_{t:04}"),
            r#"{"natural_key": ["id"]}"#,
            &[],
            0,
        )
    });
    let entries = (0..2_000).map(|t| {
        fixture::entry(
            &format!("table_{t:04}"),
            &[("id", Some("1"))],
            fixture::insert(&[("n", Some("1"))]),
        )
    });
    let text = shown(&fixture::write(Kind::Load, tables.collect(), entries));
    assert!(text.len() <= LARGEST, "{}", text.len());
    assert!(text.contains("… and 1900 more tables."));
    assert!(
        text.ends_with(
            "Plan: 2000 to insert, 0 to update, 0 to delete, 0 unchanged, 0 violations.\n"
        )
    );
}

fn alike(n: usize) -> Plan {
    let entries = (0..n).map(|i| {
        let id = format!("{i:06}");
        let mut entry = fixture::entry(
            "t",
            &[("id", Some(&id))],
            fixture::violation(
                ViolationKind::InvalidValue,
                Effect::Block,
                "n",
                (None, Some(&id)),
                "not a number",
            ),
        );
        entry.from = vec![format!("staging/b1/t/site_{}.csv#{}", i % 12, i + 2)];
        entry
    });
    let table = fixture::table("t", r#"{"natural_key": ["id"]}"#, &[], 0);
    fixture::write(Kind::Load, vec![table], entries)
}

#[test]
fn each_violation_has_a_row_while_there_is_room() {
    let text = shown(&alike(200));
    assert!(text.contains("**200 records in 12 files** | invalid&#95;value `n` (blocks) |"));
    for i in 0..200 {
        let row = format!(
            "\n| `{i:06}` | | `{i:06}` | | `staging/b1/t/site_{}.csv#{}` |\n",
            i % 12,
            i + 2
        );
        assert!(text.contains(&row), "{row}");
    }
    let many = shown(&alike(5_000));
    assert!(
        many.len() <= LARGEST && many.len() > LARGEST * 9 / 10,
        "{}",
        many.len()
    );
    let named = many.lines().filter(|l| l.starts_with("| `0")).count();
    let rest = format!("| … and {} more | | | | |", 5_000 - named);
    assert!(many.contains("`000000`") && many.contains(&rest), "{rest}");
}

/// Of many notes the first are those that must not be missed; what has no room is counted.
#[test]
fn notes_have_a_share_of_the_comment_and_the_grave_ones_stand_first() {
    let of = |tables: usize, warning: &str| {
        let tables = (0..tables).map(|t| {
            let mut table =
                fixture::table(&format!("t{t:02}"), r#"{"natural_key": ["id"]}"#, &[], 0);
            table.warnings.push(warning.into());
            if t == 70 {
                table.config.audit_changes = false;
                let limit = "limit of rows to delete changed from 0 to 10 by --max-deletes";
                table.warnings.push(limit.into());
            }
            table
        });
        let entries = (0..2_000).map(|n| {
            let id = format!("{n:06}");
            // Rows alike would take little room.
            let value = format!("value {id}");
            let row = fixture::insert(&[("v", Some(&value))]);
            fixture::entry("t00", &[("id", Some(&id))], row)
        });
        shown(&fixture::write(Kind::Load, tables.collect(), entries))
    };
    let text = of(80, "its triggers run when this is applied: touch");
    assert_eq!(text.matches("its triggers run").count(), 80, "{text}");
    let first = text
        .find("\n- `t70`: limit of rows to delete changed")
        .unwrap();
    assert!(first < text.find("\n- `t00`: ").unwrap(), "{text}");
    assert!(text.find("\n- `t70`: <code>audit").unwrap() < text.find("\n- `t00`: ").unwrap());
    let text = of(90, &"word ".repeat(60));
    assert!(
        text.len() <= LARGEST && text.contains("to delete changed"),
        "{text}"
    );
    let named = text.lines().filter(|l| l.contains(": word")).count();
    assert!(named < 90, "{text}");
    let rest = format!("- … and {} more notes; `loader show` has them.", 90 - named);
    assert!(text.contains(&rest), "{rest}: {text}");
}

#[test]
fn what_stands_out_is_cut_to_its_share() {
    let columns: Vec<String> = (0..200).map(|n| format!("measurement_{n:03}")).collect();
    let entries = (0..30).map(|n| {
        let id = format!("{n:06}");
        let changes: Vec<(&str, Option<&str>, Option<&str>)> = columns
            .iter()
            .map(|c| (c.as_str(), Some("7.25"), Some("72.5")))
            .collect();
        fixture::entry("w", &[("id", Some(&id))], fixture::update(&changes))
    });
    let table = fixture::table("w", r#"{"natural_key": ["id"]}"#, &[], 201);
    let text = shown(&fixture::write(Kind::Load, vec![table], entries));
    assert!(text.len() <= LARGEST, "{}", text.len());
    assert!(
        text.contains("30 unusual changes") && text.contains("<br>and 195 more |"),
        "{text}"
    );
}
