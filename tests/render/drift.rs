//! Drift reports in every format.

use table_loader::plan::{
    Action, DriftColumn, DriftReport, DriftRow, DriftState, Kind, Referrer, ReferrerReport,
};
use table_loader::render::drift::About;
use table_loader::render::markdown::LARGEST;
use table_loader::render::text::{self, Style};
use table_loader::render::{html, markdown};
use unicode_width::UnicodeWidthStr;

use crate::browser::Browser;
use crate::fixture::{self, HOSTILE};

fn about() -> About {
    About {
        kind: Kind::Load,
        of: "batch_20240115_143022".into(),
        hash: Some("sha256:ab".into()),
    }
}

fn column(
    name: &str,
    from: Option<Option<&str>>,
    now: Option<&str>,
    to: Option<Option<&str>>,
) -> DriftColumn {
    DriftColumn {
        column: name.into(),
        planned_from: from.map(|v| v.map(str::to_owned)),
        now: now.map(str::to_owned),
        planned_to: to.map(|v| v.map(str::to_owned)),
    }
}

fn row(
    key: &str,
    state: DriftState,
    action: &str,
    by: Option<&str>,
    columns: Vec<DriftColumn>,
) -> DriftRow {
    DriftRow {
        table: "specimen".into(),
        key: fixture::values(&[("gsid", Some("GSID-0010")), ("sample_id", Some(key))]),
        state,
        action: Action::of_word(action),
        columns,
        by: by.map(str::to_owned),
    }
}

fn report() -> DriftReport {
    let by = Some("@curator at 2024-01-15 00:00:00+00 (batch other)");
    DriftReport {
        kind: Kind::Load,
        rows: vec![
            row(
                "SMP|2",
                DriftState::Changed,
                "update",
                by,
                vec![
                    column("freezer", Some(Some("B/7")), Some("some`where"), Some(None)),
                    column("volume_ml", Some(None), Some("1.500"), Some(Some("2.000"))),
                ],
            ),
            row("SMP-3", DriftState::Vanished, "skip", None, vec![]),
            DriftRow {
                table: "lcl".into(),
                ..row(
                    "SMP-4",
                    DriftState::Appeared,
                    "insert",
                    by,
                    vec![column("note", None, Some(""), Some(Some("third")))],
                )
            },
        ],
        more: 0,
    }
}

fn hostile() -> DriftReport {
    let rows = HOSTILE.iter().map(|bad| DriftRow {
        table: (*bad).into(),
        key: fixture::values(&[(bad, Some(bad))]),
        by: Some((*bad).into()),
        columns: vec![
            column(bad, Some(Some(bad)), Some(bad), Some(Some(bad))),
            column("x", None, Some(&bad.repeat(3_000)), None),
        ],
        ..row("", DriftState::Changed, "update", None, vec![])
    });
    DriftReport {
        kind: Kind::Load,
        rows: rows.collect(),
        more: 0,
    }
}

fn markdown(report: &DriftReport) -> String {
    let mut out = Vec::new();
    markdown::drift(report, &about(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn text(report: &DriftReport, about: &About) -> String {
    let style = Style {
        colour: false,
        width: 80,
    };
    let mut out = Vec::new();
    text::drift(report, about, style, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn page(report: &DriftReport) -> String {
    let mut out = Vec::new();
    html::drift(report, &about(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn it_says_what_was_planned_from_what_is_now_what_was_planned_and_who() {
    snapshot!("markdown_drift", markdown(&report()));
    snapshot!("text_drift", text(&report(), &about()));
    let page = page(&report());
    let body = page.find("</style>").unwrap();
    snapshot!("html_drift", page[body..].replace("><", ">\n<"));
    let undo = About {
        kind: Kind::Rollback,
        hash: None,
        ..about()
    };
    let undo = text(
        &DriftReport {
            kind: Kind::Rollback,
            rows: vec![report().rows.remove(0)],
            more: 0,
        },
        &undo,
    );
    assert!(
        undo.ends_with("take later loads back first.\n1 row is not as the load left it.\n"),
        "{undo}"
    );
}

/// In no format three beginnings that are alike.
#[test]
fn of_long_values_what_differs_is_shown() {
    let value = |word: &str| format!("{}withdrawal: {word}", "word ".repeat(600));
    let [saw, now, to] = ["NO", "UNKNOWN", "YES"].map(value);
    let of = |from: &str, to: &str| DriftReport {
        kind: Kind::Load,
        rows: vec![row(
            "SMP-2",
            DriftState::Changed,
            "update",
            None,
            vec![column("note", Some(Some(from)), Some(&now), Some(Some(to)))],
        )],
        more: 0,
    };
    let report = of(&saw, &to);
    for told in [
        text(&report, &about()),
        page(&report),
        markdown(&report),
        report.to_string(),
    ] {
        for word in ["drawal: NO", "drawal: UNKNOWN", "drawal: YES"] {
            let told: Vec<&str> = told.split_whitespace().collect();
            assert!(told.join(" ").contains(word), "{word}: {told:?}");
        }
    }
    let same = of(&saw, &now).to_string();
    assert!(
        same.contains("note: plan saw → now, as planned …\""),
        "{same}"
    );
}

#[test]
fn rows_that_are_not_named_are_counted() {
    let many = DriftReport {
        more: 12_345,
        ..report()
    };
    let said = "… and 12345 more rows, which are not named here";
    for told in [text(&many, &about()), page(&many), many.to_string()] {
        assert!(
            told.contains(said) && told.contains("12348 rows are not as the plan saw them"),
            "{told}"
        );
    }
    let comment = markdown(&many);
    assert!(
        comment.contains("… and 12345 more.") && comment.contains("12348 rows are"),
        "{comment}"
    );
}

#[test]
fn a_long_comment_is_cut_on_rows() {
    let mut long = report();
    long.rows = vec![long.rows.remove(2); 5_000];
    let long = markdown(&long);
    assert!(long.len() <= LARGEST && long.contains("… and ") && long.ends_with(" more.\n"));
}

#[test]
fn hostile_rows_do_nothing() {
    let text = text(&hostile(), &about());
    for line in text.lines() {
        assert!(
            line.width() <= 80 && !line.contains(char::is_control),
            "{line}"
        );
    }
    let page = page(&hostile());
    assert_eq!(page.matches("<script").count(), 0);
    for bad in HOSTILE
        .iter()
        .filter(|b| b.contains(['<', '\u{202e}', '\u{1b}']))
    {
        assert!(
            !page.contains(bad) && !text.contains(bad) || bad.contains('<') && !page.contains(bad),
            "{bad}"
        );
        assert!(!markdown(&hostile()).contains(bad), "{bad}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drift.html");
    std::fs::write(&path, page).unwrap();
    let mut browser = Browser::start();
    browser.open(&path, "");
    assert_eq!(
        browser.eval("document.querySelectorAll('article.drift').length"),
        HOSTILE.len()
    );
    assert_eq!(
        browser.eval("document.querySelectorAll('article script, article img, article a').length"),
        0
    );
    assert_eq!(
        browser.eval("document.title"),
        "Load of batch batch_20240115_143022"
    );
    browser.is_quiet();
}

#[test]
fn rows_that_refer_to_what_a_rollback_would_delete() {
    let about = About {
        kind: Kind::Rollback,
        of: "batch b|1".into(),
        hash: None,
    };
    let row = |id: &str, constraint: &str, only_marked| Referrer {
        table: "samples".into(),
        key: fixture::values(&[("sample_id", Some(id))]),
        parent: "subjects".into(),
        parent_key: fixture::values(&[("site", Some("LYN")), ("subject_no", Some("17"))]),
        constraint: constraint.into(),
        parent_stays: false,
        only_marked,
    };
    let report = ReferrerReport {
        rows: vec![
            row("S|1<b>", "samples_site_fkey", false),
            row("S2", "samples_site_fkey", false),
            row("S2", "samples_other_fkey", true),
        ],
        more: 2,
    };
    let mut out = Vec::new();
    markdown::referrers(&report, &about, &mut out).unwrap();
    snapshot!("markdown_referrers", String::from_utf8(out).unwrap());
    let style = Style {
        colour: false,
        width: 80,
    };
    let mut out = Vec::new();
    text::referrers(&report, &about, style, &mut out).unwrap();
    snapshot!("text_referrers", String::from_utf8(out).unwrap());
    let mut out = Vec::new();
    html::referrers(&report, &about, &mut out).unwrap();
    let page = String::from_utf8(out).unwrap();
    for part in [
        "S|1&lt;b&gt;",
        "samples_other_fkey",
        "and 2 more rows",
        "5 rows refer to",
    ] {
        assert!(page.contains(part), "{part}");
    }
}
