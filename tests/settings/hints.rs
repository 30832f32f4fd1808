//! What a new user is told: what happened, to what, and what to do next.

use std::process::Stdio;

use super::world::{planned, with_batch};
use crate::support::World;

/// Who asks for a row whose key has a fixed length need not write the blanks behind it.
#[test]
fn a_key_of_a_fixed_length_is_found_without_its_blanks() {
    let world = World::in_folder(
        "CREATE TABLE one (code char(6) PRIMARY KEY, v int); CREATE TABLE two (code char(6), n int, PRIMARY KEY (code, n))",
        "one: {natural_key: [code]}\ntwo: {natural_key: [code, n]}",
    );
    world.deliver("b", "one.csv", "code,v\nR1,1\nR11,1\n");
    world.deliver("b", "two.csv", "code,n\nR1,1\n");
    world.apply(&world.plan("b")).ok();
    for (table, key) in [
        ("one", "R1"),
        ("one", "R1    "),
        ("one", r#"["R1"]"#),
        ("two", r#"["R1", 1]"#),
    ] {
        let audit = ["audit", "--table", table, "--key", key, "--json"];
        let found = world.loader(&audit).ok().json();
        assert_eq!(
            found["changes"].as_array().unwrap().len(),
            1,
            "{table} {key}"
        );
    }
}

#[test]
fn records_that_are_not_loaded_are_not_called_unchanged() {
    let world = with_batch();
    world.write(
        "tables.yaml",
        "subjects: {natural_key: [gsid], update_strategy: update_only, on_invalid: reject, conflict_resolution: merge}\n",
    );
    world.write(
        "source/staging/b1/subjects/more.json",
        r#"[{"gsid": "G1", "sex": "M"}, {"gsid": "G9", "age": 1, "weight": 2}]"#,
    );
    planned(&world);
    let shown = world.loader(&["show", "plan.json"]).ok();
    let line = "Plan: 0 to insert, 1 to update, 0 to delete, 0 unchanged, 3 skipped, 1 violation (1 left out).";
    assert_eq!(shown.stdout.lines().last(), Some(line), "{shown}");
    shown
        .says("subjects: 1 to update, 0 unchanged, 3 skipped (2 missing, 1 duplicate)")
        .says("skipped  violations")
        .says("Skipped: 2 missing, 1 duplicate.");
    let markdown = world
        .loader(&["show", "plan.json", "--format", "markdown"])
        .ok();
    markdown
        .says("| skipped | violations |")
        .says(line)
        .says("1 record left out");
    let page = world
        .loader(&["show", "plan.json", "--format", "html"])
        .ok();
    page.says("2 missing, 1 duplicate")
        .says("1 record left out");
    // One record, however many violations it has.
    let told = world
        .loader(&["apply", "plan.json", "--force", "--json"])
        .ok()
        .json();
    let number = |name: &str| told[name].as_u64().unwrap();
    assert_eq!(
        (
            number("errors"),
            number("records_skipped"),
            number("records_updated")
        ),
        (1, 3, 1)
    );
    let sum = [
        "records_loaded",
        "records_updated",
        "records_skipped",
        "errors",
    ]
    .map(number)
    .iter()
    .sum::<u64>();
    assert_eq!(number("total_records"), sum);
    assert_eq!(told["tables"]["subjects"]["errors"], 1);
    world.loader(&["history"]).ok().says("1 record left out");
    assert_eq!(world.rows("SELECT rejected FROM loader_ledger"), ["1"]);
}

#[test]
fn what_is_left_out_is_in_the_last_words_of_an_apply() {
    let world = with_batch();
    world.write(
        "tables.yaml",
        "subjects: {natural_key: [gsid], on_invalid: reject}\n",
    );
    world.write(
        "source/staging/b1/subjects/bad.json",
        r#"{"gsid": "G9", "age": 1}"#,
    );
    planned(&world);
    let applied = world.loader(&["apply", "plan.json", "--force"]).ok();
    applied.says("Applied: 2 inserted, 1 updated, 0 deleted, 1 record left out.");
}

#[test]
fn a_key_is_found_however_its_numbers_are_written() {
    let world = World::empty();
    world.sql("CREATE TABLE lines (no text, line int, v text, PRIMARY KEY (no, line))");
    world.write("tables.yaml", "lines: {natural_key: [no, line]}\n");
    world.write(
        "source/staging/b1/lines.json",
        r#"[{"no": "O100", "line": 1, "v": "x"}, {"no": "O100", "line": 2}]"#,
    );
    world.loader(&["migrate"]).ok();
    world.loader(&["load", "--batch-id", "b1", "--force"]).ok();
    for key in [r#"["O100","1"]"#, r#"["O100",1]"#, r#"[ "O100", 1 ]"#] {
        let found = world
            .loader(&["audit", "--table", "lines", "--key", key, "--json"])
            .ok();
        assert_eq!(
            found.json()["changes"].as_array().unwrap().len(),
            1,
            "{key}"
        );
    }
    let none = world
        .loader(&["audit", "--table", "lines", "--key", r#"["O100",3]"#])
        .ok();
    none.says("no such change").omits("No load was of");
    let key = ["audit", "--table", "line", "--key", "O100"];
    for args in [&key[..], &key[..3]] {
        let typo = world.loader(args).ok();
        typo.says("No load was of a table line; did you mean lines?");
    }
}

#[test]
fn a_variable_beside_a_url_that_says_otherwise_is_named() {
    let world = with_batch();
    for (variable, value) in [
        ("DB_USER", "loader_plan"),
        ("DB_HOST", "elsewhere"),
        ("DB_NAME", "other"),
        ("DB_PORT", "1"),
    ] {
        let run = world.loader_with(&["history"], &[(variable, value)]).ok();
        run.says(&format!(
            "warning: {variable} is {value} and is not used: the database URL says "
        ));
    }
    let user = world
        .url
        .split("//")
        .nth(1)
        .unwrap()
        .split('@')
        .next()
        .unwrap();
    world
        .loader_with(&["history"], &[("DB_USER", user)])
        .ok()
        .omits("is not used");
}

#[test]
fn a_rollback_of_several_loads_says_how_many() {
    let world = with_batch();
    world.loader(&["load", "--batch-id", "b1", "--force"]).ok();
    world
        .loader(&["rollback", "--batch-id", "b1", "--dry-run"])
        .ok()
        .omits("Takes back");
    world.write("source/staging/b1/subjects/more.json", r#"{"gsid": "G9"}"#);
    world.loader(&["load", "--batch-id", "b1", "--force"]).ok();
    let ids = world
        .rows("SELECT application FROM loader_ledger ORDER BY sequence DESC")
        .join(", ");
    let says = format!("Takes back 2 applications: {ids}");
    world
        .loader(&["rollback", "--batch-id", "b1", "--out", "undo.json"])
        .ok();
    let text = world.loader(&["show", "undo.json"]).ok();
    assert!(text.stdout.replace("\n  ", " ").contains(&says), "{text}");
    let markdown = world
        .loader(&["show", "undo.json", "--format", "markdown"])
        .ok();
    markdown.says("Takes back 2 applications");
}

#[test]
fn a_plan_that_was_not_made_is_not_mistaken_for_the_one_before() {
    let world = with_batch();
    planned(&world);
    let before = std::fs::read(world.path("plan.json")).unwrap();
    world.write("source/staging/b1/subjects/cut.json", "{\"gsid\": ");
    let args = ["plan", "--batch-id", "b1", "--out", "plan.json"];
    world
        .loader(&args)
        .exits(1)
        .says("plan.json is still what it was before");
    assert_eq!(std::fs::read(world.path("plan.json")).unwrap(), before);
    let args = ["plan", "--batch-id", "b1", "--out", "new.json"];
    world.loader(&args).exits(1).omits("is still what it was");
    assert!(!world.path("new.json").exists());
}

#[test]
fn objects_of_a_table_that_is_not_configured_are_named() {
    let world = with_batch();
    world.write("source/staging/b1/subject/a.json", "{}");
    world.write("source/staging/b1/subject/b.json", "{}");
    world.write("source/staging/b1/tubes.csv", "a\n1\n");
    let refused = world.loader(&["plan", "--batch-id", "b1"]).exits(1);
    refused.says_all(&[
        "table subject is not configured; did you mean subjects? (staging/b1/subject/a.json and 1 more)",
        "(staging/b1/tubes.csv)",
        "loader init --table NAME",
        "--ignore",
    ]);
}

#[test]
fn what_has_no_key_is_called_by_where_it_comes_from() {
    let world = with_batch();
    world.set("LOADER_QUEUE", "required");
    world.sql(
        "INSERT INTO validation_queue (batch_id, table_name, s3_key) VALUES
           ('b1', 'subjects', 'staging/b1/subjects/gone.json')",
    );
    planned(&world);
    let text = world.loader(&["show", "plan.json"]).ok().stdout;
    for heading in [
        "  ! staging/b1/subjects/frag_1.json\n",
        "  ! staging/b1/subjects/gone.json\n",
    ] {
        assert!(text.contains(heading), "{text}");
    }
    let markdown = world
        .loader(&["show", "plan.json", "--format", "markdown"])
        .ok();
    markdown
        .says("| `staging/b1/subjects/gone.json` | missing")
        .omits("|  |");
}

#[test]
fn commands_that_lack_something_say_what() {
    let world = with_batch();
    let refused = world.loader(&["rollback"]).exits(1);
    refused.says_all(&["--batch-id <ID>", "--application <ID>"]);
    let refused = world.loader(&["pending"]).exits(1);
    refused.says_all(&["plans", "loader pending FOLDER"]);
    let none = world.loader(&["history", "--batch-id", "x"]).ok();
    none.says("Nothing of batch x has been applied")
        .omits("yet");
    world
        .loader(&["history"])
        .ok()
        .says("Nothing has been applied yet");
    // Nor do usage lines show what .env says.
    world.write(
        ".env",
        "LOADER_IGNORE=secret.json\nLOADER_PREFIX=x/{batch_id}/\n",
    );
    for args in [
        &["plan"][..],
        &["load", "--strange"],
        &["rollback"],
        &["apply"],
    ] {
        let refused = world.loader(args).exits(1).says("Usage:");
        assert!(
            !refused.stderr.contains("--ignore <NAME>") && !refused.stderr.contains("secret"),
            "{refused}"
        );
        assert!(!refused.stderr.contains("--prefix"), "{refused}");
    }
}

#[test]
fn a_search_that_finds_nothing_says_so() {
    let world = with_batch();
    planned(&world);
    let says = "No entry of the plan matches";
    for more in [
        &["--key", "zzz"][..],
        &["--action", "delete"],
        &["--key", "zzz", "--format", "markdown"],
    ] {
        world
            .loader(&[&["show", "plan.json"], more].concat())
            .ok()
            .says(says);
    }
    world.loader(&["show", "plan.json"]).ok().omits(says);
    world
        .loader(&["show", "plan.json", "--key", "G1"])
        .ok()
        .omits(says);
}

#[test]
fn the_view_for_programs_has_the_notes_and_the_comment_the_command() {
    let world = with_batch();
    world
        .loader(&[
            "plan",
            "--batch-id",
            "b1",
            "--out",
            "plan.json",
            "--rehearse",
        ])
        .ok();
    let json = world
        .loader(&["show", "plan.json", "--format", "json"])
        .ok()
        .json();
    assert_eq!(json["notes"]["rehearsal"]["outcome"], "applies");
    let hash = json["plan_hash"].as_str().unwrap().to_owned();
    let comment = world
        .loader(&["show", "plan.json", "--format", "markdown"])
        .ok();
    comment.says(&format!(
        "Plan `{hash}`. To apply it: `loader apply plan.json --approve {hash}`"
    ));
    // What a trigger said may be a sensitive value.
    world.write(
        "tables.yaml",
        "subjects: {natural_key: [gsid], sensitive: [sex]}\n",
    );
    world.sql(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not %', NEW.sex; END $$; \
         CREATE TRIGGER no BEFORE INSERT ON subjects FOR EACH ROW EXECUTE FUNCTION no()",
    );
    world
        .loader(&[
            "plan",
            "--batch-id",
            "b1",
            "--out",
            "plan.json",
            "--rehearse",
        ])
        .ok();
    let json = world
        .loader(&["show", "plan.json", "--format", "json"])
        .ok()
        .json();
    assert_eq!(json["notes"]["rehearsal"]["outcome"], "refused");
    assert!(
        json["notes"]["rehearsal"]["message"]
            .as_str()
            .unwrap()
            .starts_with("not shown"),
        "{json}"
    );
}

#[test]
fn a_reader_that_has_seen_enough_hears_no_complaint() {
    let world = with_batch();
    planned(&world);
    let shown: [&[&str]; 12] = [
        &["show", "plan.json", "--json"],
        &["show", "plan.json", "--format", "json"],
        &["history", "--json"],
        &["audit", "--json"],
        &["batches"],
        &["batches", "--json"],
        &["graph"],
        &["graph", "--json"],
        &["init"],
        &["pending", ".", "--json"],
        &["completions", "bash"],
        &["man"],
    ];
    for args in shown.into_iter().chain([&["demo"][..], &["--help"]]) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = world.command(args);
        let child = command
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {said}");
        assert!(!said.contains("ipe"), "{args:?}: {said}");
    }
    // A plan that was written is there, whoever hears of it.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = world.command(&["plan", "--batch-id", "b1", "--out", "again.json", "--json"]);
    let output = command.stdout(writer).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("Plan: 2 to insert, 1 to update") && world.path("again.json").exists(),
        "{said}"
    );
}
