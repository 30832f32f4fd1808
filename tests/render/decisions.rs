//! Decisions on the page of a plan: marked, kept, saved, and read again.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use table_loader::plan::{Effect, Kind, Review, Skip, ViolationKind, What};
use table_loader::render::select::Filter;

use crate::browser::Browser;
use crate::fixture::{self, entry};
use crate::html::page;

/// Two records with one key that differ, one that breaks two rules, one whose key no reader sees as it is, and
/// changes.
fn plan() -> fixture::Plan {
    let tables = vec![fixture::table("t", r#"{"natural_key": ["id"]}"#, &[], 3)];
    let fault = |kind, field: &str| {
        fixture::violation(kind, Effect::Reject, field, (None, Some("x")), "why")
    };
    let from = |n: usize, mut entry: table_loader::plan::Entry| {
        entry.from = vec![format!("staging/b1/t/1.json#{n}")];
        entry
    };
    let row = |id: &str, what: What| entry("t", &[("id", Some(id))], what);
    let update = |site: &str| fixture::update(&[("site", Some("Boston"), Some(site))]);
    let mut second = fault(ViolationKind::NullValue, "v");
    if let What::Violation(v) = &mut second {
        v.further = true;
    }
    let entries = vec![
        from(
            1,
            entry("t", &[("id", None)], fault(ViolationKind::MissingKey, "id")),
        ),
        from(2, row(" C\u{202e}", fixture::insert(&[("v", Some("1"))]))),
        from(3, row("C-1", fault(ViolationKind::DuplicateKey, ""))),
        from(4, row("C-1", fault(ViolationKind::DuplicateKey, ""))),
        from(5, row("C-2", fault(ViolationKind::InvalidValue, "w"))),
        from(5, row("C-2", second)),
        from(6, row("C-3", update("Lyon"))),
        from(7, row("C-4", update("Lyon"))),
        from(8, row("C-5", What::Skip(Skip::Conflict))),
    ];
    fixture::write(Kind::Load, tables, entries.into_iter())
}

fn tally(browser: &mut Browser) -> String {
    let tally = browser.eval("document.querySelector('#tally').textContent");
    tally.as_str().unwrap().to_owned()
}

fn told(browser: &mut Browser) -> String {
    let told = browser.eval("document.querySelector('#told').textContent");
    told.as_str().unwrap().to_owned()
}

/// Presses what is shown as `word` in the row of place `n`.
fn mark(browser: &mut Browser, n: u64, does: &str) {
    browser.eval(&format!(
        "[...document.querySelectorAll('.row')].find((r) => r.querySelector('.link').textContent === '#{n}')\
         .querySelector('[data-does={does}]').click()"
    ));
}

fn save(browser: &mut Browser, folder: &Path) -> Value {
    browser.saves_in(folder);
    browser.eval("document.querySelector('#save').click()");
    let file = folder.join("decisions-batch_20240115_143022.json");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        if let Ok(saved) = serde_json::from_str(&text) {
            return saved;
        }
        assert!(std::time::Instant::now() < deadline, "{text}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn read(browser: &mut Browser, file: &Path, says: &str) {
    browser.choose_file("#load", file);
    let says = json!(says);
    browser.until(&format!(
        "document.querySelector('#told').textContent.includes({says})"
    ));
}

#[test]
fn what_is_marked_is_kept_saved_and_read_again() {
    let plan = plan();
    let (path, _) = page(&plan, &Filter::default());
    let hash = plan.open().hash;
    let mut browser = Browser::start();
    browser.open(&path, "#alike=0");
    browser.eval("document.querySelector('#changes').scrollIntoView()");
    browser.until("document.querySelectorAll('.row').length === 8");
    assert_eq!(
        tally(&mut browser),
        "0 accepted · 0 left out · 0 in question · 7 not decided"
    );
    mark(&mut browser, 1, "leave_out");
    mark(&mut browser, 2, "question");
    mark(&mut browser, 4, "leave_out");
    // Both faults of the record are decided with it.
    mark(&mut browser, 6, "accept");
    let pressed = "document.querySelectorAll('.decide .accept[aria-pressed=true]').length";
    assert_eq!(browser.eval(pressed), 2);
    // By the keyboard, with a comment; what is marked twice is not marked.
    mark(&mut browser, 7, "accept");
    browser.press("a");
    browser.press("c");
    browser.call(
        "Input.insertText",
        json!({"text": "is \"Lyon\" </script> right?"}),
    );
    browser.press("Escape");
    let now = "2 left out · 2 in question · 2 not decided";
    assert_eq!(tally(&mut browser), format!("1 accepted · {now}"));

    // Without a name nothing is saved.
    browser.eval("document.querySelector('#save').click()");
    assert_eq!(
        told(&mut browser),
        "Write your name first: the file says whose decisions they are."
    );
    browser.call("Input.insertText", json!({"text": "Ada"}));
    browser.open(&path, "");
    assert_eq!(tally(&mut browser), format!("1 accepted · {now}"));
    let folder = tempfile::tempdir().unwrap();
    let saved = save(&mut browser, folder.path());
    let from = |n: u64| json!([format!("staging/b1/t/1.json#{n}")]);
    let expected = json!({
        "format": "table-loader-decisions/1",
        "plan_hash": hash,
        "reviewer": "Ada",
        "decisions": [
            {"table": "t", "key": {"id": null}, "decision": "leave_out", "from": from(1)},
            {"table": "t", "key": {"id": " C\u{202e}"}, "decision": "question", "from": from(2)},
            {"table": "t", "key": {"id": "C-1"}, "decision": "leave_out", "from": from(4)},
            {"table": "t", "key": {"id": "C-2"}, "decision": "accept", "from": from(5)},
            {"table": "t", "key": {"id": "C-3"}, "decision": "question", "comment": "is \"Lyon\" </script> right?", "from": from(6)},
        ],
    });
    assert_eq!(saved, expected);
    // What `plan --decisions` reads.
    let name = "decisions-batch_20240115_143022.json";
    let bytes = std::fs::read(folder.path().join(name)).unwrap();
    let review = Review::read(name, &bytes).unwrap();
    assert_eq!(serde_json::to_value(review).unwrap(), expected);

    // The file is read again, whole or not at all.
    let file = folder.path().join("decisions-batch_20240115_143022.json");
    read(&mut browser, &file, "has decisions already");
    browser.eval("document.querySelector('#clear').click()");
    assert_eq!(tally(&mut browser), format!("1 accepted · {now}"));
    browser.eval("document.querySelector('#clear').click()");
    let none = "0 accepted · 0 left out · 0 in question · 7 not decided";
    assert_eq!(tally(&mut browser), none);
    let changed = |what: &str, to: Value| {
        let mut other = saved.clone();
        *other.pointer_mut(what).unwrap() = to;
        let file = folder.path().join("other.json");
        std::fs::write(&file, other.to_string()).unwrap();
        file
    };
    for (what, to, says) in [
        (
            "/plan_hash",
            "sha256:00",
            "It is for another plan: sha256:00.",
        ),
        (
            "/format",
            "table-loader-decisions/2",
            "It is no file of decisions.",
        ),
        (
            "/decisions/1/decision",
            "constructor",
            "Its decision 2 is not one of",
        ),
    ] {
        read(&mut browser, &changed(what, json!(to)), says);
        assert_eq!(tally(&mut browser), none, "{what}");
    }
    // No entry is decided in two ways.
    let mut twice = saved["decisions"].as_array().unwrap().clone();
    let mut other = twice[0].clone();
    let is_accepted = other["decision"] == "accept";
    other["decision"] = json!(if is_accepted { "leave_out" } else { "accept" });
    twice.push(other);
    let last = twice.len();
    read(
        &mut browser,
        &changed("/decisions", json!(twice)),
        &format!("Its decisions 1 and {last} decide one entry in two ways."),
    );
    assert_eq!(tally(&mut browser), none);
    // What is decided elsewhere stays in the file.
    let elsewhere = json!({"table": "u", "key": {"id": "1"}, "decision": "accept"});
    let mut all = saved["decisions"].as_array().unwrap().clone();
    all.push(elsewhere);
    read(
        &mut browser,
        &changed("/decisions", json!(all)),
        "Read 6 decisions of Ada.",
    );
    let more = "1 more on entries that are not on this page";
    assert_eq!(tally(&mut browser), format!("1 accepted · {now} · {more}"));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(save(&mut browser, folder.path())["decisions"], json!(all));
    browser.is_quiet();
}

/// Of many rows two look the same, because people see few digits of what stands for their keys.
#[test]
fn rows_that_are_seen_alike_are_decided_each_for_itself() {
    let config = r#"{"natural_key": ["id"], "sensitive": ["id"]}"#;
    let rows = (1..=12_000).map(|n| {
        let id = format!("C-{n}");
        let deleted = fixture::delete(&[("v", Some("x"))], false);
        let mut row = entry("t", &[("id", Some(&id))], deleted);
        row.from = vec!["not delivered".into()];
        row
    });
    let plan = fixture::write(Kind::Load, vec![fixture::table("t", config, &[], 2)], rows);
    let (path, text) = page(&plan, &Filter::default());
    let pieces = text.split("<script class=\"rows\" type=\"application/json\">");
    let pieces = pieces.skip(1).map(|piece| piece.split("</script>").next());
    let rows: Vec<Value> = pieces
        .flat_map(|piece| serde_json::from_str::<Vec<Value>>(piece.unwrap()).unwrap())
        .collect();
    let mut by_key: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for row in &rows {
        let seen = row["k"][0][1].as_str().unwrap();
        by_key
            .entry(seen)
            .or_default()
            .push(row["n"].as_u64().unwrap());
    }
    let find = |n: usize| by_key.iter().find(|(_, rows)| rows.len() == n).unwrap();
    let (seen, twins) = find(2);
    let mut browser = Browser::start();
    browser.open(&path, &format!("#alike=0&row={}", twins[1]));
    mark(&mut browser, twins[1], "leave_out");
    let one = "0 accepted · 1 left out · 0 in question · 11,999 not decided";
    assert_eq!(tally(&mut browser), one);
    let folder = tempfile::tempdir().unwrap();
    browser.eval("document.querySelector('#reviewer').value = 'Ada'");
    let saved = save(&mut browser, folder.path());
    let named = saved["decisions"][0]["key"]["id"].as_str().unwrap();
    assert!(
        named.starts_with(seen) && named.len() > seen.len(),
        "{named}"
    );
    assert_eq!(saved["decisions"].as_array().unwrap().len(), 1);
    // Read again it is about the same row.
    let clear = |browser: &mut Browser| {
        browser.eval("document.querySelector('#clear').click()");
        browser.eval("document.querySelector('#clear').click()");
    };
    clear(&mut browser);
    let file = folder.path().join("decisions-batch_20240115_143022.json");
    read(&mut browser, &file, "Read 1 decision of Ada.");
    assert_eq!(tally(&mut browser), one);
    let kept = folder.path().join("kept.json");
    std::fs::rename(&file, &kept).unwrap();
    assert_eq!(save(&mut browser, folder.path()), saved);
    // As an earlier version named rows: where that could be another one, the file is refused.
    clear(&mut browser);
    let none = "0 accepted · 0 left out · 0 in question · 12,000 not decided";
    for (key, says, tally_then) in [
        (
            *seen,
            "Its decision 1 could be about more than one entry",
            none,
        ),
        (*find(1).0, "Read 1 decision of Ada.", one),
    ] {
        let mut earlier = saved.clone();
        earlier["decisions"][0]["key"]["id"] = json!(key);
        let file = folder.path().join("earlier.json");
        std::fs::write(&file, earlier.to_string()).unwrap();
        read(&mut browser, &file, says);
        assert_eq!(tally(&mut browser), tally_then, "{key}");
    }
    browser.is_quiet();
}

/// What was typed stays where a mark is taken away, also when the page is opened again.
#[test]
fn a_comment_stays_without_its_mark() {
    let plan = plan();
    let (path, _) = page(&plan, &Filter::default());
    let mut browser = Browser::start();
    browser.open(&path, "#alike=0");
    browser.eval("document.querySelector('#changes').scrollIntoView()");
    browser.until("document.querySelectorAll('.row').length === 8");
    let comment = "document.querySelector('.row.current textarea').value";
    mark(&mut browser, 7, "leave_out");
    browser.press("c");
    browser.call("Input.insertText", json!({"text": "withdrew consent"}));
    browser.press("Escape");
    browser.press("l");
    let none = "0 accepted · 0 left out · 0 in question · 7 not decided";
    assert_eq!(tally(&mut browser), none);
    assert_eq!(browser.eval(comment), "withdrew consent");
    browser.open(&path, "");
    assert_eq!(tally(&mut browser), none);
    browser.open(&path, "#alike=0&row=7");
    assert_eq!(browser.eval(comment), "withdrew consent");
    browser.press("l");
    let folder = tempfile::tempdir().unwrap();
    browser.eval("document.querySelector('#reviewer').value = 'Ada'");
    let saved = save(&mut browser, folder.path());
    assert_eq!(saved["decisions"][0]["comment"], "withdrew consent");
    // What is cleared is gone.
    browser.eval("document.querySelector('#clear').click()");
    browser.eval("document.querySelector('#clear').click()");
    browser.open(&path, "#alike=0&row=7");
    assert_eq!(browser.eval(comment), "");
    browser.is_quiet();
}

#[test]
fn rows_alike_are_decided_together_and_what_is_not_decided_is_found() {
    let plan = fixture::everything(false);
    let (path, _) = page(&plan, &Filter::default());
    let mut browser = Browser::start();
    browser.open(&path, "#table=subjects&actions=update&column=site");
    mark(&mut browser, 3, "accept");
    assert_eq!(
        tally(&mut browser),
        "20 accepted · 0 left out · 0 in question · 11 not decided"
    );
    let mut choose = |value: &str| {
        browser.eval(&format!(
            "{{ const s = document.querySelector('#decided'); s.value = '{value}'; s.dispatchEvent(new Event('change', {{bubbles: true}})) }}"
        ));
        browser.settled();
        browser.eval("document.querySelector('#state').textContent")
    };
    assert_eq!(choose("none"), "0 of 31 entries");
    assert_eq!(choose("accept"), "20 of 31 entries, those alike as one: 1");
    mark(&mut browser, 3, "accept");
    assert_eq!(
        tally(&mut browser),
        "0 accepted · 0 left out · 0 in question · 31 not decided"
    );
    browser.is_quiet();
}
