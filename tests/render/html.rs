//! `render::html`, in a browser.

use table_loader::plan::{Action, Effect, Kind, Skip, ViolationKind, What};
use table_loader::render::html;
use table_loader::render::select::Filter;

use crate::browser::Browser;
use crate::fixture::{self, HOSTILE, Plan};

/// A plan's page, beside the plan.
pub fn page(plan: &Plan, filter: &Filter) -> (std::path::PathBuf, String) {
    let mut out = Vec::new();
    html::plan(&plan.open(), filter, "plan.json", &mut out).unwrap();
    let path = plan.path().with_extension("html");
    std::fs::write(&path, &out).unwrap();
    (path, String::from_utf8(out).unwrap())
}

fn all() -> Filter {
    Filter {
        actions: Action::BY_URGENCY.to_vec(),
        ..Filter::default()
    }
}

/// The page's own text without style and script, which are files.
fn without_files(page: &str) -> String {
    let mut text = page.to_owned();
    for (from, to) in [
        ("<style>", "</style>"),
        ("<script type=\"module\">", "</script>"),
    ] {
        let start = text.find(from).unwrap() + from.len();
        let end = start + text[start..].find(to).unwrap();
        text.replace_range(start..end, "…");
    }
    let start = text.find("script-src").unwrap();
    let end = start + text[start..].find(';').unwrap();
    text.replace_range(start..end, "script-src …");
    let start = text.find("style-src").unwrap();
    let end = start + text[start..].find(';').unwrap();
    text.replace_range(start..end, "style-src …");
    text.replace("><", ">\n<")
}

const STATE: &str = "document.querySelector('#state').textContent";
const TITLES: &str =
    "[...document.querySelectorAll('.row .title')].map((t) => t.textContent).join('\\n')";
const CURRENT: &str =
    "document.querySelector('.row.current')?.querySelector('.key').textContent ?? ''";

#[test]
fn a_plan_with_everything_in_it() {
    let (_, text) = page(&fixture::everything(true), &all());
    assert!(!text.contains("078-05") && !text.contains("219-09"));
    snapshot!("html", without_files(&text));
}

#[test]
fn a_fault_that_many_records_share_is_one_row() {
    let kind = ViolationKind::UnknownField;
    let why = "not a column of the table; did you mean name?";
    let entries = (0..3000).map(|n| {
        let (id, given) = (format!("{n:05}"), format!("name {n}"));
        let what = match n {
            1500 => {
                let kind = ViolationKind::InvalidValue;
                let pair = (None, Some("15-Jan-24"));
                fixture::violation(
                    kind,
                    Effect::Block,
                    "taken",
                    pair,
                    "not a date as YYYY-MM-DD",
                )
            }
            _ => fixture::violation(kind, Effect::Block, "nmae", (None, Some(&given)), why),
        };
        fixture::entry("t", &[("id", Some(&id))], what)
    });
    let tables = vec![fixture::table("t", r#"{"natural_key": ["id"]}"#, &[], 0)];
    let plan = fixture::write(table_loader::plan::Kind::Load, tables, entries);
    let (path, _) = page(&plan, &all());
    let mut browser = Browser::start();
    browser.open(&path, "");
    browser.eval("document.querySelector('#changes').scrollIntoView()");
    browser.until("document.querySelectorAll('.row').length === 2");
    let titles = browser.eval(TITLES).as_str().unwrap().to_owned();
    assert_eq!(titles, "t00000and 2,998 more records\nt01500");
    let said = "[...document.querySelectorAll('.row')].map((r) => r.querySelector('.said').textContent).join('\\n')";
    assert_eq!(
        browser.eval(said),
        "unknown_field nmae name 0 (blocks)\ninvalid_value taken 15-Jan-24 (blocks)"
    );
    browser.press("j");
    browser.press("Enter");
    let opened = browser.eval("document.activeElement.textContent");
    assert!(
        opened.as_str().unwrap().contains("00001 name 1"),
        "{opened}"
    );
}

/// What differs between long values is seen in closed and in opened rows.
#[test]
fn of_long_values_what_differs_is_shown() {
    let far = "word ".repeat(400);
    let note = |typo: &str, word: &str| format!("{typo} {far}withdrawal: {word}");
    let json = |word: &str| format!(r#"{{"a": "{far}", "z": {{"consent": "{word}"}}}}"#);
    let medium = |word: &str| format!("{}{word}{}", "m ".repeat(150), "n ".repeat(550));
    let pairs = [
        ("note", note("tpyo", "NO"), note("typo", "YES")),
        ("json", json("NO"), json("YES")),
        ("medium", medium("NO"), medium("YES")),
    ];
    let set: Vec<_> = pairs
        .iter()
        .map(|(c, a, b)| (*c, Some(a.as_str()), Some(b.as_str())))
        .collect();
    let immutable = fixture::violation(
        ViolationKind::ImmutableField,
        Effect::Keep,
        "note",
        (Some(&pairs[0].1), Some(&pairs[0].2)),
        "may not change",
    );
    let entries = [
        fixture::entry("t", &[("id", Some("1"))], fixture::update(&set)),
        fixture::entry("t", &[("id", Some("2"))], immutable),
    ];
    let tables = vec![fixture::table("t", r#"{"natural_key": ["id"]}"#, &[], 5)];
    let plan = fixture::write(Kind::Load, tables, entries.into_iter());
    let (path, _) = page(&plan, &all());
    let mut browser = Browser::start();
    browser.open(&path, "");
    let sides = "[...document.querySelectorAll('.row.current .old, .row.current .new')].map((side) => side.textContent)";
    for row in ["violation", "update"] {
        browser.press("j");
        let columns = if row == "update" { 3 } else { 1 };
        for step in ["closed", "open"] {
            let shown = browser.eval(sides);
            let shown: Vec<&str> = shown
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v.as_str().unwrap())
                .collect();
            assert_eq!(shown.len(), columns * 2, "{row} {step}: {shown:?}");
            for (n, side) in shown.iter().enumerate() {
                let word = ["NO", "YES"][n % 2];
                assert!(side.contains(word), "{row} {step}: {side}");
            }
            let marks = "document.querySelectorAll('.row.current mark').length > 0";
            assert_eq!(browser.eval(marks), true, "{row} {step}");
            browser.press("Enter");
        }
    }
    browser.press("Enter");
    browser.eval("document.querySelector('.row.current .more').click()");
    let whole = browser.eval(sides);
    assert!(whole.to_string().contains("word word word"), "{whole}");
    browser.is_quiet();
}

/// Of tables that have groups, rows stand with theirs, and can be chosen by it.
#[test]
fn rows_are_found_by_their_group() {
    let by_site = r#"{"natural_key": ["id"], "group_by": "site"}"#;
    let tables = vec![
        fixture::table("s", by_site, &[], 3),
        fixture::table("t", r#"{"natural_key": ["id"]}"#, &[], 3),
    ];
    let row = |table: &str, id: &str, group: Option<&str>| {
        let change = fixture::update(&[("v", Some("1"), Some("2"))]);
        let mut entry = fixture::entry(table, &[("id", Some(id))], change);
        entry.group = group.map(str::to_owned);
        entry
    };
    let entries = vec![
        row("s", "1", Some("LYN")),
        row("s", "2", Some("LYN")),
        row("s", "3", Some("BOS")),
        row("s", "4", Some("<b>\u{202e}")),
        row("s", "5", None),
        row("t", "6", None),
    ];
    let plan = fixture::write(Kind::Load, tables, entries.into_iter());
    let (path, _) = page(&plan, &all());
    let mut browser = Browser::start();
    browser.open(&path, "");
    let choices =
        "[...document.querySelectorAll('#group option')].map((o) => o.textContent).join('\\n')";
    let choices = browser.eval(choices).as_str().unwrap().to_owned();
    assert_eq!(
        choices,
        "all groups\n(none) (1)\n<b>\\u{202e} (1)\nBOS (1)\nLYN (2)"
    );
    browser.eval(
        "{ const s = document.querySelector('#group'); s.value = 'LYN'; s.dispatchEvent(new Event('change', {bubbles: true})) }",
    );
    browser.settled();
    assert_eq!(browser.eval(STATE), "2 of 6 entries, those alike as one: 1");
    assert_eq!(browser.eval("location.hash"), "#group=LYN");
    assert_eq!(browser.eval(TITLES), "s1and 1 alikeLYN · 1 of 3 columns");
    browser.press("/");
    browser.type_text("bos");
    assert_eq!(browser.eval(STATE), "0 of 6 entries");
    // Rows alike of several groups stand under all of them.
    browser.open(&path, "#table=s");
    assert_eq!(
        browser.eval(TITLES),
        "s1and 4 alikeLYN and 3 more groups · 1 of 3 columns"
    );
    browser.press("j");
    browser.press("Enter");
    let groups =
        "[...document.querySelectorAll('.keys-alike .group')].map((g) => g.textContent).join(' ')";
    let groups_alike = browser.eval(groups);
    assert_eq!(groups_alike, "LYN LYN BOS <b>\\u{202e} (none)");
    browser.press("/");
    browser.eval("document.querySelector('#reset').click()");
    browser.settled();
    browser.type_text("bos");
    assert_eq!(browser.eval(STATE), "1 of 6 entries");
    // Without groups there is nothing to choose.
    let plan = fixture::everything(false);
    let (path, _) = page(&plan, &all());
    browser.open(&path, "");
    assert_eq!(
        browser.eval("document.querySelector('#group').hidden"),
        true
    );
}

#[test]
fn it_opens_filters_finds_and_links_without_error_or_request() {
    let plan = fixture::everything(false);
    let (path, _) = page(&plan, &all());
    let mut browser = Browser::start();
    browser.open(&path, "");
    assert_eq!(
        browser.eval(STATE),
        "31 of 36 entries, those alike as one: 11"
    );
    // Each table has its columns, with what choosing them would leave.
    let columns = "[...document.querySelectorAll('#column optgroup')].map((g) => g.label + [...g.children].map((o) => ' ' + o.textContent).join('')).join('\\n')";
    let columns = browser.eval(columns).as_str().unwrap().to_owned();
    assert!(
        columns.ends_with("lcl medium (1) passage_number (1)"),
        "{columns}"
    );
    browser.eval("document.querySelector('#list').scrollIntoView()");
    browser.until("document.querySelectorAll('.row').length === 11");
    let titles = browser.eval(TITLES).as_str().unwrap().to_owned();
    assert!(titles.starts_with("subjectsGSID-0003\nspecimengsid GSID-9999 sample_id SMP-7\nsubjectsGSID-0004marked as deleted\n"), "{titles}");
    assert!(
        titles.contains("subjectsGSID-0010and 19 alike1 of 9 columns\n"),
        "{titles}"
    );

    // The keyboard: search, down into the list, along it, open.
    browser.press("/");
    browser.type_text("smp-8");
    assert_eq!(browser.eval(STATE), "1 of 36 entries");
    browser.press("Enter");
    assert_eq!(browser.eval(CURRENT), "gsid GSID-0010 sample_id SMP-8");
    browser.press("Enter");
    let open = "document.activeElement.textContent";
    let opened = browser.eval(open).as_str().unwrap().to_owned();
    assert!(
        opened.contains("freezerC/3") && opened.contains("from staging/b1/specimen/frag_1.json#0"),
        "{opened}"
    );
    browser.press("/");
    browser.press("Escape");
    browser.eval("new Promise((done) => setTimeout(done, 250))");
    browser.settled();
    browser.press("j");
    browser.press("j");
    assert_eq!(browser.eval(CURRENT), "gsid GSID-9999 sample_id SMP-7");
    browser.press("ArrowDown");
    browser.press("k");
    browser.press("k");
    assert_eq!(browser.eval(CURRENT), "GSID-0003");

    // Filters, which stand in the address.
    browser.eval("document.querySelector('a[data-table=\"0\"][data-action=\"2\"]').click()");
    browser.until(&format!(
        "{STATE} === '22 of 36 entries, those alike as one: 3'"
    ));
    assert_eq!(
        browser.eval("location.hash"),
        "#table=subjects&actions=update"
    );
    let choose = |browser: &mut Browser, id: &str, value: &str| {
        browser.eval(&format!(
            "{{ const s = document.querySelector('#{id}'); s.value = '{value}'; s.dispatchEvent(new Event('change', {{bubbles: true}})) }}"
        ));
        browser.settled();
    };
    let counts = browser.eval("document.querySelector('.actions').textContent");
    let counts = counts.as_str().unwrap().replace(' ', "");
    assert_eq!(counts, "!violations1−delete1~update22+insert1=skipped4");
    choose(&mut browser, "column", "ssn");
    assert_eq!(browser.eval(STATE), "1 of 36 entries");
    browser.eval("document.querySelector('#reset').click()");
    browser.settled();
    choose(&mut browser, "kind", "missing_parent");
    assert_eq!(
        browser.eval(TITLES),
        "specimengsid GSID-9999 sample_id SMP-7"
    );
    assert_eq!(browser.eval("location.hash"), "#kind=missing_parent");
    browser.eval("document.querySelector('#reset').click(), document.querySelector('[data-toggle=\"4\"]').click()");
    browser.settled();
    assert_eq!(browser.eval(STATE), "36 entries, those alike as one: 16");
    browser.eval("document.querySelector('#grouped').click()");
    browser.settled();
    assert_eq!(browser.eval(STATE), "36 entries");
    assert_eq!(
        browser.eval("location.hash"),
        "#actions=violation%2Cdelete%2Cupdate%2Cinsert%2Cskip&alike=0"
    );

    // Links to rows: one by itself, one of a group, one that is not listed at first.
    for (row, key) in [
        (34, "gsid GSID-9999 sample_id SMP-7"),
        (9, "GSID-0016"),
        (27, "GSID-0041"),
    ] {
        browser.open(&path, &format!("#row={row}"));
        browser.until(&format!("{CURRENT} === '{key}'"));
        assert_eq!(
            browser.eval("document.activeElement.classList.contains('open')"),
            true
        );
    }
    browser.open(&path, "#row=99");
    browser.until(&format!(
        "{STATE} === 'Row 99 of the plan is not on this page.'"
    ));
    browser.is_quiet();
}

#[test]
fn columns_and_keys_stand_in_the_tables_order_and_nulls_are_counted() {
    let mut table = fixture::table("t", r#"{"natural_key": ["z", "a"]}"#, &[], 6);
    table.columns = ["volume", "box", "note", "gone"].map(String::from).to_vec();
    let key = [("a", Some("1")), ("z", Some("2"))];
    let values = [
        ("box", Some("B")),
        ("gone", None),
        ("note", None),
        ("volume", Some("1")),
    ];
    let mut entries = vec![fixture::entry("t", &key, fixture::insert(&values))];
    entries.push(fixture::entry("t", &key, What::Skip(Skip::Exists)));
    let plan = fixture::write(Kind::Load, vec![table], entries.into_iter());
    // What changes nothing is not carried.
    let (path, text) = page(&plan, &Filter::default());
    assert!(text.contains("0 unchanged, 1 skipped (1 exists): not on this page"));
    let mut browser = Browser::start();
    browser.open(&path, "");
    assert_eq!(browser.eval(TITLES), "tz 2 a 1");
    let said = "document.querySelector('.said').textContent";
    assert_eq!(browser.eval(said), "volume 1, box B, 2 null");
    browser.press("j");
    browser.press("Enter");
    assert_eq!(browser.eval(said), "2 null: note, gone");
    assert_eq!(browser.eval(STATE), "1 entry");
    browser.is_quiet();
}

#[test]
fn hostile_rows_do_nothing() {
    let plan = fixture::hostile();
    let (path, text) = page(&plan, &all());
    assert_eq!(
        text.matches("<script").count(),
        text.matches("</script>").count()
    );
    for bad in HOSTILE
        .iter()
        .filter(|b| b.contains(['<', '\u{202e}', '\u{1b}', '\u{2028}']))
    {
        assert!(!text.contains(bad), "{bad}");
    }
    let mut browser = Browser::start();
    browser.open(&path, "#alike=0");
    let title = browser.eval("document.title").as_str().unwrap().to_owned();
    let mut steps = 0;
    loop {
        // Every row is drawn and opened.
        browser.press("j");
        browser.press("Enter");
        steps += 1;
        if browser.eval("document.querySelector('.row.current').ariaPosInSet === document.querySelector('.row.current').ariaSetSize").as_bool().unwrap() {
            break;
        }
        assert!(steps < 200);
    }
    assert_eq!(steps, HOSTILE.len() * 4 + 1);
    browser.press("/");
    browser.type_text("huge");
    browser.press("Enter");
    browser.press("Enter");
    browser.eval("document.querySelector('.row.current .more').click()");
    let huge = "document.querySelector('.row.current .new').textContent.length";
    assert_eq!(browser.eval(huge), 120_000 * r"<b>&\u{202e}".len());
    // No value became an element, an attribute that acts, or a link to elsewhere.
    let own = "[...document.querySelectorAll('body *')].filter((e) => !['A','ARTICLE','B','BUTTON','CODE','DD','DEFS','DETAILS','DIV','DL','DT','FORM','G','H1','H2','HEADER','I','INPUT','KBD','LABEL','LI','MAIN','MARK','MARKER','NOSCRIPT','OPTGROUP','OPTION','P','PATH','RECT','SCRIPT','SECTION','SELECT','SPAN','SUMMARY','SVG','TABLE','TBODY','TD','TEXT','TEXTAREA','TH','THEAD','TITLE','TR','TSPAN','UL'].includes(e.tagName.toUpperCase()) || [...e.attributes].some((a) => a.name.startsWith('on') || a.name === 'src' || (a.name === 'href' && !a.value.startsWith('#')))).map((e) => e.outerHTML)";
    assert_eq!(browser.eval(own), serde_json::json!([]));
    assert_eq!(
        browser
            .eval(r#"document.querySelectorAll('script:not([type="application/json"])').length"#),
        1
    );
    assert_eq!(browser.eval("document.title"), title.as_str());
    browser.is_quiet();
}

#[test]
fn it_is_light_and_dark_as_the_reader_has_it() {
    let plan = fixture::showcase();
    let (path, _) = page(&plan, &Filter::default());
    let mut browser = Browser::start();
    let paper = "getComputedStyle(document.body).backgroundColor";
    for (scheme, colour) in [("light", "rgb(255, 255, 255)"), ("dark", "rgb(18, 22, 27)")] {
        browser.media(scheme);
        browser.open(&path, "");
        assert_eq!(browser.eval(paper), colour);
        // The pictures of the documentation: LOADER_SCREENSHOTS=docs.
        if let Some(folder) = std::env::var_os("LOADER_SCREENSHOTS") {
            let file = |name: &str| std::path::Path::new(&folder).join(format!("page-{name}.png"));
            std::fs::write(file(scheme), browser.screenshot(1280, 1800)).unwrap();
            if scheme == "light" {
                std::fs::write(file("phone"), browser.screenshot(390, 1400)).unwrap();
            }
        }
    }
    browser.is_quiet();
}

#[test]
fn on_paper_the_first_rows_stand_one_after_the_other() {
    let plan = fixture::many(600);
    let (path, _) = page(&plan, &all());
    let mut browser = Browser::start();
    browser.open(&path, "#alike=0");
    browser.eval("window.dispatchEvent(new Event('beforeprint'))");
    let rows = "document.querySelectorAll('.row').length";
    assert_eq!(browser.eval(rows), 300);
    let rest = browser.eval("document.querySelector('#list > p').textContent");
    assert_eq!(rest, "… and 300 more; loader show --all lists them.");
    browser.eval("window.dispatchEvent(new Event('afterprint'))");
    let drawn = browser.eval("document.querySelectorAll('.row').length");
    assert!((1..60).contains(&drawn.as_u64().unwrap()), "{drawn}");
}

#[test]
fn of_very_many_rows_only_those_on_the_screen_are_drawn() {
    let plan = fixture::many(50_000);
    let (path, text) = page(&plan, &all());
    let largest = text
        .split("<script class=\"rows\"")
        .map(str::len)
        .max()
        .unwrap();
    assert!(largest < 100_000, "{largest}");
    let mut browser = Browser::start();
    browser.open(&path, "");
    let drawn = "document.querySelectorAll('.row').length";
    assert!(browser.eval(drawn).as_u64().unwrap() < 60);
    browser.press("/");
    browser.type_text("LCL-0035001");
    assert_eq!(browser.eval(STATE), "1 of 50,000 entries");
    assert_eq!(browser.eval(TITLES), "lcllcl-00350012 of 8 columns");
    browser.eval("location.hash = 'row=49999'");
    browser.until(&format!("{CURRENT} === 'dna-0049998'"));
    assert!(browser.eval(drawn).as_u64().unwrap() < 60);
    let seen = "(() => { const r = document.querySelector('.row.current').getBoundingClientRect(); return r.top >= 0 && r.bottom <= innerHeight })()";
    assert_eq!(browser.eval(seen), true);
    browser.is_quiet();
}

#[test]
fn what_does_not_fit_is_left_out_by_share_and_it_says_so() {
    let plan = fixture::many(3_000);
    let filter = Filter {
        limit: Some(100),
        ..all()
    };
    let (path, text) = page(&plan, &filter);
    assert_eq!(text.matches("{\"n\":").count(), 5 * 200 + 3);
    let mut browser = Browser::start();
    browser.open(&path, "");
    let left = browser
        .eval("[...document.querySelectorAll('#left li')].map((l) => l.textContent).join('\\n')");
    let left = left.as_str().unwrap();
    assert!(left.starts_with("320 updates of subjects are not on this page; loader show --table subjects --action update --all lists them.\n"), "{left}");
}
