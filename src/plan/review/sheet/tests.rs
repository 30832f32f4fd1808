use super::*;
use crate::plan::review::name::key_of;
use crate::plan::{ReferredRow, Skip, Value as PlanValue, What};

const HEADER: [&str; 7] = [DECISION, COMMENT, TABLE, KEY, PLAN_HASH, REVIEWER, ENTRY];

fn named(table: &str, key: &str) -> Named {
    let entry = Entry {
        table: table.into(),
        key: [("no".to_owned(), key.into())].into(),
        what: What::Skip(Skip::Missing),
        extracted: None,
        group: None,
        from: vec!["b/ü.csv#2".into()],
    };
    Named::of(&entry, key_of(&entry.key))
}

fn row(decision: &str, comment: &str, named: &Named, reviewer: &str) -> Vec<String> {
    let shown = [named.shown_table(), named.shown_key()];
    let shown = shown.map(|text| inert_cell(&text).into_owned());
    let [table, key] = shown;
    [
        decision,
        comment,
        &table,
        &key,
        "sha256:1",
        reviewer,
        &named.cell(),
    ]
    .map(str::to_owned)
    .into()
}

fn file(delimiter: &str, rows: &[Vec<String>]) -> String {
    let header: Vec<String> = HEADER.map(str::to_owned).into();
    let lines = std::iter::once(&header).chain(rows).map(|row| {
        let cells = row
            .iter()
            .map(|c| format!("\"{}\"", c.replace('"', "\"\"")));
        cells.collect::<Vec<_>>().join(delimiter) + "\r\n"
    });
    lines.collect()
}

#[track_caller]
fn refused(rows: &[Vec<String>], says: &str) {
    let e = Review::read("f.csv", file(",", rows).as_bytes())
        .unwrap_err()
        .to_string();
    assert!(e.starts_with("f.csv: ") && e.contains(says), "{e}");
}

#[test]
fn what_a_spreadsheet_program_saves_is_read_back() {
    let rows = [
        row("Leave out", " =was wrong; \"x\"\nü", &named("t", "007"), ""),
        row("", "", &named("t", "2024-01-02"), "Ada"),
        row("accept", "", &named("-t", "ü"), ""),
        row("", "sure?", &named("t", "4"), ""),
    ];
    let whole = file(",", &rows);
    let semicolons = file(";", &rows);
    let tabs = file("\t", &rows);
    let utf16: Vec<u8> = "\u{feff}"
        .encode_utf16()
        .chain(tabs.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let (windows, _, _) = encoding_rs::WINDOWS_1252.encode(&semicolons);
    for bytes in [
        whole.as_bytes(),
        format!("\u{feff}{semicolons}").as_bytes(),
        &utf16,
        &windows,
    ] {
        let review = Review::read("f", bytes).unwrap();
        assert_eq!(
            (review.plan_hash.as_str(), review.reviewer.as_str()),
            ("sha256:1", "Ada")
        );
        let found: Vec<String> = review
            .decisions
            .iter()
            .map(|d| {
                format!(
                    "{} {:?} {:?} {}",
                    d.decision.word(),
                    d.key["no"],
                    d.comment,
                    d.from[0]
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                "leave_out Some(\"007\") Some(\"=was wrong; \\\"x\\\"\\nü\") b/ü.csv#2",
                "accept Some(\"ü\") None b/ü.csv#2",
                "question Some(\"4\") Some(\"sure?\") b/ü.csv#2",
            ]
        );
    }
}

#[test]
fn what_was_changed_is_refused() {
    let good = row("accept", "", &named("t", "007"), "Ada");
    let with = |column: &str, text: &str| {
        let mut row = good.clone();
        row[HEADER.iter().position(|c| *c == column).unwrap()] = text.to_owned();
        row
    };
    refused(
        &[with(DECISION, "ok")],
        "row 2: the decision is \"ok\", which is none of accept, leave_out, question",
    );
    refused(
        &[with(KEY, "no=7")],
        "row 2: the column key reads \"no=7\", and the row is about \"no=007\"",
    );
    refused(&[with(TABLE, "u")], "the column table reads \"u\"");
    refused(
        &[with(ENTRY, "7")],
        "row 2: the column entry does not name an entry of a plan",
    );
    refused(
        &[with(ENTRY, "")],
        "which names the entry of the plan that it is about, is empty",
    );
    refused(
        &[with(REVIEWER, "")],
        "write your name into the column reviewer of one row",
    );
    refused(
        &[good.clone(), with(REVIEWER, "Ben")],
        "two reviewers, Ada and Ben",
    );
    refused(&[with(PLAN_HASH, "")], "plan_hash is empty");
    refused(
        &[good.clone(), with(PLAN_HASH, "sha256:2")],
        "about two plans",
    );
    for text in [
        "",
        "decision,comment\naccept,\n",
        "a\tb\n1\t2\n",
        "PK\u{3}\u{4}",
        "\u{0}\u{1}",
    ] {
        Review::read("f", text.as_bytes()).unwrap_err();
    }
}

#[test]
fn a_key_that_refers_to_a_row_is_shown_by_its_name() {
    let row_of = |key: &str| ReferredRow {
        stored: "4711".into(),
        table: "subjects".into(),
        key: [("gsid".to_owned(), key.into())].into(),
    };
    let entry = Entry {
        key: [(
            "subject".to_owned(),
            PlanValue::Referred(Box::new(row_of("S-1"))),
        )]
        .into(),
        table: "samples".into(),
        what: What::Skip(Skip::Missing),
        extracted: None,
        group: None,
        from: vec!["s.csv#2".into()],
    };
    let named = Named::of(&entry, key_of(&entry.key));
    assert_eq!(named.shown_key(), "subject=4711 (subjects gsid=S-1)");
    let read = Review::read(
        "f.csv",
        file(",", &[row("leave out", "no", &named, "Ada")]).as_bytes(),
    )
    .unwrap();
    assert_eq!(read.decisions[0].key, key_of(&entry.key));
}
