//! Data that was extracted before what is there already: it is noticed, and refused where that is asked.

use crate::support::World;

fn world(settings: &str) -> World {
    let world = World::in_folder(
        "CREATE TABLE t (id text PRIMARY KEY, v text, w text); \
         CREATE TABLE c (id text PRIMARY KEY, t text REFERENCES t)",
        &format!(
            "t: {{natural_key: [id]{settings}}}\nc: {{natural_key: [id], on_invalid: reject}}"
        ),
    );
    world.set("LOADER_QUEUE", "off");
    world
}

/// An envelope with one record.
fn one(at: &str, record: &str) -> String {
    format!("{{\"extracted_at\": \"{at}\", \"data\": {record}}}")
}

/// Delivers and applies a record that was extracted on that day of 2024.
fn load(world: &World, batch: &str, day: &str, record: &str) {
    let at = format!("2024-{day}T08:00:00Z");
    world.put(batch, "t/1.json", one(&at, record));
    world.apply(&world.plan(batch)).ok();
}

const OLDER: &str = "1 record was extracted before data that changed the same rows already";

/// Whether a plan of this record says that it is older.
fn is_noted(world: &World, batch: &str, day: &str, record: &str) -> bool {
    let at = format!("2024-{day}T08:00:00Z");
    world.put(batch, "t/1.json", one(&at, record));
    world.plan(batch).stderr.contains(OLDER)
}

#[test]
fn older_data_is_noted_on_every_page() {
    let world = world("");
    load(&world, "new", "01-10", r#"{"id": "a", "v": "new"}"#);
    world.put(
        "old",
        "t/1.json",
        one("2024-01-09T23:00:00Z", r#"{"id": "a", "v": "old"}"#),
    );
    let plan = world.plan("old");
    assert_eq!(plan.lines(), ["~ t id=a: v=\"new\"→\"old\""]);
    assert_eq!(plan.entries()[0]["extracted"], "2024-01-09 23:00:00+00");
    assert!(plan.stderr.contains(OLDER), "{}", plan.stderr);
    for format in ["text", "markdown", "html", "json"] {
        let shown = world.show(&plan, &["--format", format]);
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains("extracted before data"), "{format}: {shown}");
        assert!(shown.contains("data 2024-01-10"), "{format}: {shown}");
    }
    world.apply(&plan).ok();
    let audit = world
        .loader(&["audit", "--table", "t", "--json"])
        .ok()
        .json();
    let times: Vec<_> = (audit["changes"].as_array().unwrap().iter())
        .map(|c| c["extracted_at"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(times, ["2024-01-09 23:00:00+00", "2024-01-10 08:00:00+00"]);
    world
        .loader(&["audit", "--table", "t"])
        .ok()
        .says("(extracted 2024-01-09 23:00:00+00)");
}

#[test]
fn only_what_would_change_a_row_again_is_older() {
    let world = world("");
    load(&world, "one", "01-10", r#"{"id": "a", "v": "1"}"#);
    let noted = |batch: &str, day: &str, record: &str| is_noted(&world, batch, day, record);
    assert!(!noted("later", "01-11", r#"{"id": "a", "v": "2"}"#));
    assert!(!noted("same", "01-10", r#"{"id": "a", "v": "2"}"#));
    assert!(!noted("unchanged", "01-09", r#"{"id": "a", "v": "1"}"#));
    assert!(!noted("another", "01-09", r#"{"id": "b", "v": "2"}"#));
    assert!(noted("older", "01-09", r#"{"id": "a", "w": "2"}"#));
    // Of what says no time nothing is known, and nothing is said.
    world.put("csv", "t.csv", "id,v\na,2\n");
    assert!(!world.plan("csv").stderr.contains("extracted"));
    world.apply(&world.plan("csv")).ok();
    assert!(noted("still", "01-09", r#"{"id": "a", "v": "1"}"#));
}

#[test]
fn a_rollback_takes_the_time_back_with_the_change() {
    let world = world("");
    load(&world, "one", "01-10", r#"{"id": "a", "v": "1"}"#);
    load(&world, "two", "01-20", r#"{"id": "a", "v": "2"}"#);
    assert!(is_noted(&world, "x", "01-15", r#"{"id": "a", "v": "3"}"#));
    world
        .loader(&["rollback", "--batch-id", "two", "--force"])
        .ok();
    assert!(!is_noted(&world, "x", "01-15", r#"{"id": "a", "v": "3"}"#));
    assert!(is_noted(&world, "y", "01-09", r#"{"id": "a", "v": "3"}"#));
    // Taking that back brings the change and its time again.
    let history = world.loader(&["history", "--json"]).ok().json();
    let rollback = history["applications"][0]["application"].as_str().unwrap();
    let undo = ["rollback", "--application", rollback];
    world
        .loader(&[&undo[..], &["--out", "undo.json"]].concat())
        .ok();
    // What is undone is a rollback, and who approves it reads so.
    let shown = world.loader(&["show", "undo.json"]).ok();
    shown.says("Rollback of a rollback of batch two in");
    world.loader(&[&undo[..], &["--force"]].concat()).ok();
    world
        .loader(&["history"])
        .ok()
        .says("rollback of a rollback of batch two by");
    assert!(is_noted(&world, "x", "01-15", r#"{"id": "a", "v": "3"}"#));
    // What came back so goes again: that is what it is called, though it takes back a rollback.
    let again = ["rollback", "--batch-id", "two"];
    world
        .loader(&[&again[..], &["--out", "again.json"]].concat())
        .ok();
    let shown = world.loader(&["show", "again.json"]).ok();
    shown.says("Rollback of batch two in");
    world.loader(&[&again[..], &["--force"]].concat()).ok();
    let history = world.loader(&["history"]).ok().stdout;
    let kinds: Vec<&str> = history.matches("rollback of a rollback").collect();
    assert_eq!(kinds.len(), 1, "{history}");
}

#[test]
fn settings_refuse_older_data() {
    let world = world(", on_older: reject");
    load(&world, "one", "01-10", r#"{"id": "a", "v": "1"}"#);
    world
        .loader(&["rollback", "--batch-id", "one", "--force"])
        .ok();
    load(&world, "two", "01-20", r#"{"id": "a", "v": "2"}"#);
    world.sql("DELETE FROM t");
    // Both would be inserted; the first one's row was changed by newer data before it was deleted.
    let old = one("2024-01-15T08:00:00Z", r#"{"id": "a", "v": "3"}"#);
    let other = one("2024-01-15T08:00:00Z", r#"{"id": "b", "v": "3"}"#);
    world.put("x", "t/1.json", old);
    world.put("x", "t/2.json", other);
    world.put("x", "c.csv", "id,t\n1,a\n2,b\n");
    let plan = world.plan("x");
    assert_eq!(
        plan.lines(),
        [
            "! t id=a: older_record extracted_at reject",
            "+ t id=b: v=\"3\"",
            "! c id=1: missing_parent t reject",
            "+ c id=2: t=\"b\"",
        ]
    );
    let shown = world.show(&plan, &[]);
    assert!(shown.contains("2024-01-20 08:00:00+00"), "{shown}");
    let lines = world.plan_with("x", &["--on-older", "block"]).lines();
    assert_eq!(lines[0], "! t id=a: older_record extracted_at block");
    let plan = world.plan_with("x", &["--on-older", "note"]);
    assert_eq!(plan.lines()[0], "+ t id=a: v=\"3\"");
    assert!(
        plan.stderr
            .contains("on_older: reject is replaced by note for this plan")
    );
    let run = world.loader_with(
        &[
            "plan",
            "--batch-id",
            "x",
            "--out",
            "p.json",
            "--detailed-exitcode",
        ],
        &[("LOADER_ON_OLDER", "block")],
    );
    run.exits(4);
    world
        .loader_with(
            &["plan", "--batch-id", "x"],
            &[("LOADER_ON_OLDER", "never")],
        )
        .exits(1)
        .says("LOADER_ON_OLDER is \"never\", which is none of note, block, reject");
    world.configure("t:\n  natural_key: [id]\n  on_older: refuse\nc: {natural_key: [id]}\n");
    world
        .try_plan("x", &[])
        .exits(1)
        .says("unknown variant `refuse`")
        .says("line 3");
}

#[test]
fn each_record_has_the_time_of_its_own_envelope() {
    let world = world("");
    let file = [
        r#"{"records": [{"id": "a"}, {"id": "b"}], "extracted_at": "2024-01-10T08:00:00+02:00"}"#,
        r#"{"extracted_at": "2024-01-11T08:00:00.5Z", "records": [{"id": "c"}]}"#,
        r#"{"records": [{"id": "d"}], "extracted_at": null}"#,
    ];
    world.put("b", "t/1.ndjson", file.join("\n"));
    world.put(
        "b",
        "t/2.json",
        format!("[{}]", one("2024-01-12T00:00:00Z", r#"{"id": "e"}"#)),
    );
    let plan = world.plan("b");
    let times: Vec<String> = (plan.entries().iter())
        .map(|e| format!("{} {}", e["key"]["id"], e["extracted"]))
        .collect();
    assert_eq!(
        times,
        [
            r#""a" "2024-01-10 06:00:00+00""#,
            r#""b" "2024-01-10 06:00:00+00""#,
            r#""c" "2024-01-11 08:00:00.5+00""#,
            r#""d" null"#,
            r#""e" "2024-01-12 00:00:00+00""#,
        ]
    );
    // Changing one changes what was approved.
    let text = plan
        .text
        .replace("2024-01-12 00:00:00+00", "2025-01-12 00:00:00+00");
    world.write("forged.json", text);
    world.loader(&["apply", "forged.json", "--force"]).exits(6);
}

#[test]
fn a_time_that_cannot_be_read_is_said() {
    let world = world("");
    for at in ["2024-01-10T08:00:00", "yesterday", "infinity"] {
        world.put("b", "t/1.json", one(at, r#"{"id": "a", "v": "1"}"#));
        let plan = world.plan("b");
        assert!(
            plan.stderr
                .contains("when 1 record was extracted cannot be read")
                && plan
                    .stderr
                    .contains(&format!("staging/b/t/1.json#1 is \"{at}\"")),
            "{}",
            plan.stderr
        );
        assert_eq!(plan.entries()[0]["extracted"], serde_json::Value::Null);
    }
    world
        .try_plan("b", &["--on-older", "block"])
        .exits(1)
        .says("staging/b/t/1.json#1: the envelope's extracted_at is \"infinity\"");
    world.configure("t: {natural_key: [id], time_zone: Europe/Berlin}");
    world.put(
        "b",
        "t/1.json",
        one("2024-01-10T08:00:00", r#"{"id": "a", "v": "1"}"#),
    );
    let plan = world.plan_with("b", &["--on-older", "block"]);
    assert_eq!(plan.entries()[0]["extracted"], "2024-01-10 07:00:00+00");
    // Formats are those of the records' dates; the envelope is the validator's.
    world.configure("t: {natural_key: [id], formats: [\"%d.%m.%Y\"]}");
    for at in ["2024-01-10T08:00:00Z", "10.01.2024"] {
        world.put("b", "t/1.json", one(at, r#"{"id": "a", "v": "1"}"#));
        let run = world.try_plan("b", &["--on-older", "block"]);
        match at {
            "10.01.2024" => drop(run.exits(1).says("the envelope's extracted_at is")),
            _ => drop(run.ok()),
        }
    }
}

#[test]
fn rows_that_go_have_a_time_too() {
    let world = world(", limits: {delete: 9}");
    load(&world, "one", "01-10", r#"{"id": "a", "v": "1"}"#);
    let gone = |day: &str| {
        format!(
            "{{\"extracted_at\": \"2024-{day}T08:00:00Z\", \"op\": \"delete\", \"data\": {{\"id\": \"a\"}}}}"
        )
    };
    // An older delivery would delete what newer data brought.
    world.put("old", "t/1.json", gone("01-09"));
    assert!(world.plan("old").stderr.contains(OLDER));
    let lines = world.plan_with("old", &["--on-older", "reject"]).lines();
    assert_eq!(lines, ["! t id=a: older_record extracted_at reject"]);
    world.put("new", "t/1.json", gone("01-20"));
    let plan = world.plan("new");
    assert!(!plan.stderr.contains(OLDER), "{}", plan.stderr);
    assert_eq!(plan.entries()[0]["extracted"], "2024-01-20 08:00:00+00");
    world.apply(&plan).ok();
    // What was deleted by newer data would come back.
    assert!(is_noted(
        &world,
        "again",
        "01-15",
        r#"{"id": "a", "v": "1"}"#
    ));
    assert!(!is_noted(
        &world,
        "later",
        "01-21",
        r#"{"id": "a", "v": "1"}"#
    ));
    // A delivery of everything that is older than a row does not know of it.
    load(&world, "two", "01-22", r#"{"id": "b", "v": "1"}"#);
    world.configure(
        "t: {natural_key: [id], limits: {delete: 9}, complete: true}\nc: {natural_key: [id]}",
    );
    world.put(
        "all",
        "t/1.json",
        r#"{"records": [{"id": "c"}], "extracted_at": "2024-01-21T00:00:00Z"}"#,
    );
    let plan = world.plan("all");
    assert!(
        plan.lines().iter().any(|l| l.starts_with("- t id=b")),
        "{:?}",
        plan.lines()
    );
    assert!(plan.stderr.contains(OLDER), "{}", plan.stderr);
}

/// What a note says of them is the same whenever the plan is made.
#[test]
fn a_sensitive_key_of_an_older_record_is_not_named() {
    let world = world(", sensitive: [id]");
    load(&world, "new", "03-02", r#"{"id": "1", "v": "new"}"#);
    let old = one("2024-03-01T08:00:00Z", r#"{"id": "1", "v": "old"}"#);
    world.put("old", "t/1.json", old);
    let plan = || world.plan("old");
    let first = plan();
    assert!(
        first.text.contains("for example ••• (extracted"),
        "{}",
        first.text
    );
    assert_eq!(first.hash(), plan().hash());
}

/// A load that called the table or the rows otherwise brought newer data all the same.
#[test]
fn newer_data_is_known_under_whatever_name_it_came() {
    let world = World::in_folder(
        "CREATE TABLE t (a text NOT NULL DEFAULT 'A', id text UNIQUE NOT NULL, v text, UNIQUE (a, id));
         CREATE TABLE p (id text PRIMARY KEY, v text) PARTITION BY RANGE (id);
         CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('A') TO ('Z')",
        "t: {natural_key: [a, id]}\np: {natural_key: [id]}",
    );
    world.set("LOADER_QUEUE", "off");
    let deliver = |batch: &str, table: &str, day: &str, v: &str| {
        let record = format!(r#"{{"a": "A", "id": "K", "v": "{v}"}}"#);
        let record = match table.starts_with('p') && table != "public.t" {
            true => record.replace(r#""a": "A", "#, ""),
            false => record,
        };
        let at = format!("2024-01-{day}T08:00:00Z");
        world.put(batch, &format!("{table}/1.json"), one(&at, &record));
        world.plan(batch)
    };
    world.apply(&deliver("new", "t", "05", "5")).ok();
    world.apply(&deliver("newp", "p", "05", "5")).ok();
    for (i, (config, table)) in [
        ("t: {natural_key: [id, a], on_older: reject}", "t"),
        ("t: {natural_key: [id], on_older: block}", "t"),
        (
            "public.t: {natural_key: [a, id], on_older: reject}",
            "public.t",
        ),
        ("p1: {natural_key: [id], on_older: reject}", "p1"),
    ]
    .into_iter()
    .enumerate()
    {
        world.configure(config);
        let plan = deliver(&format!("old{i}"), table, "03", "3");
        assert_eq!(plan.count("violation"), 1, "{config}");
        assert!(plan.text.contains("older_record"), "{config}");
        let plan = deliver(&format!("newer{i}"), table, "06", "6");
        assert_eq!(plan.count("violation"), 0, "{config}");
    }
    // What was taken back changed nothing.
    world.configure("t: {natural_key: [a, id], limits: {delete: 9}}");
    world
        .loader(&["rollback", "--batch-id", "new", "--force"])
        .ok();
    world.configure("t: {natural_key: [id, a], on_older: reject}");
    assert_eq!(deliver("again", "t", "03", "3").count("violation"), 0);
    // It is noted where it is not refused.
    world.configure("public.p: {natural_key: [id]}");
    assert!(
        deliver("noted", "public.p", "03", "3")
            .stderr
            .contains(OLDER)
    );
}

/// Of records that are alike, the newest says how old they are.
#[test]
fn of_equal_records_the_newest_counts() {
    let records = |months: &[&str], id: &str| -> String {
        let one = |month: &&str| {
            one(
                &format!("2024-{month}-01T00:00:00Z"),
                &format!(r#"{{"id": "{id}", "v": "7"}}"#),
            )
        };
        months.iter().map(one).collect::<Vec<_>>().join("\n")
    };
    for months in [["05", "07"], ["07", "05"]] {
        let world = world(", on_older: reject");
        world.put(
            "june",
            "t.ndjson",
            one("2024-06-01T00:00:00Z", r#"{"id": "a", "v": "2"}"#),
        );
        world.apply(&world.plan("june")).ok();
        world.put(
            "both",
            "t.ndjson",
            records(&months, "a") + "\n" + &records(&months, "n"),
        );
        world.apply(&world.plan("both")).ok();
        assert_eq!(
            world.rows("SELECT id, v FROM t ORDER BY 1"),
            ["a|7", "n|7"],
            "{months:?}"
        );
        world.put(
            "late",
            "t.ndjson",
            one("2024-06-01T00:00:00Z", r#"{"id": "n", "v": "1"}"#),
        );
        assert_eq!(world.plan("late").count("violation"), 1, "{months:?}");
    }
}
