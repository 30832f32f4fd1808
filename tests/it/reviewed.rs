//! Two plans compared for who reviewed the first, and plans of every state and age shown.

use crate::biobank::everything;
use crate::support::{Plan, World};

const SCHEMA: &str = "
CREATE TABLE sites (site text PRIMARY KEY, city text, pin text);
CREATE TABLE boxes (box text PRIMARY KEY, site text REFERENCES sites, shelf int, volume numeric(6,1));
INSERT INTO sites VALUES ('S1', 'Lyon', '1111'), ('S2', 'Nice', '2222'), ('S3', 'Metz', '3333');
INSERT INTO boxes VALUES ('B1', 'S1', 1, 1.0), ('B2', 'S1', 2, 2.0), ('B3', 'S2', 3, 3.0), ('B4', 'S2', 4, 4.0);
";
const TABLES: &str = "
sites: {natural_key: [site], sensitive: [pin]}
boxes: {natural_key: [box], on_invalid: reject}
";

/// A batch planned, and planned again after it was delivered anew and the database went on.
fn twice() -> (World, Plan, Plan) {
    let world = World::new(SCHEMA, TABLES);
    world.deliver("b", "sites.json", r#"[{"site": "S1", "city": "Lyons", "pin": "1112"}, {"site": "S3", "pin": "3334"}, {"site": "S9", "city": "Brest"}]"#);
    world.deliver("b", "boxes/1.json", r#"[{"box": "B1", "shelf": 10}, {"box": "B2", "shelf": 20}, {"box": "B3", "shelf": 3}, {"box": "B8", "shelf": "top"}]"#);
    world.deliver(
        "b",
        "boxes/2.json",
        r#"[{"box": "B4", "shelf": 40}, {"box": "B9", "site": "S2"}]"#,
    );
    let first = world.plan("b");
    world.sql("UPDATE boxes SET volume = 9.5 WHERE box = 'B2'; UPDATE boxes SET shelf = 33 WHERE box = 'B3'; DELETE FROM boxes WHERE box = 'B4'");
    world.deliver("b", "sites.json", r#"[{"site": "S1", "city": "Lyons", "pin": "1113"}, {"site": "S2", "city": "Nizza"}, {"site": "S3", "pin": "3334"}]"#);
    world.deliver("b", "boxes/1.json", r#"[{"box": "B1", "shelf": 11}, {"box": "B2", "shelf": 20}, {"box": "B3", "shelf": 3}, {"box": "B8", "shelf": "high"}]"#);
    world.deliver(
        "b",
        "boxes/3.json",
        r#"[{"box": "B7", "site": "S2", "volume": "1.25"}]"#,
    );
    world.configure(&TABLES.replace(
        "on_invalid: reject",
        "on_invalid: reject, on_duplicate: last",
    ));
    let second = world.plan("b");
    (world, first, second)
}

fn text(world: &World, first: &Plan, second: &Plan, format: &str) -> String {
    let shown = world
        .loader(&["show", first.name(), second.name(), "--format", format])
        .ok()
        .stdout;
    let shown = shown
        .replace(&first.hash(), "sha256:…1")
        .replace(&second.hash(), "sha256:…2");
    let shown = shown
        .replace(first.name(), "first.json")
        .replace(second.name(), "second.json");
    shown.replace(&world.database, "biobank")
}

#[test]
fn what_changed_between_two_plans() {
    let (world, first, second) = twice();
    for format in ["text", "markdown"] {
        let shown = text(&world, &first, &second, format);
        let masked = stand_ins(&shown);
        snapshot(&format!("compared_{format}"), &masked);
        assert!(
            !shown.contains("1113") && !shown.contains("1112"),
            "{shown}"
        );
        let last = "Compared: 6 different, 2 added, 1 removed, 2 the same.";
        assert_eq!(shown.lines().last(), Some(last), "{shown}");
    }
    let page = text(&world, &first, &second, "html");
    for part in [
        "Compared: 6 different, 2 added, 1 removed, 2 the same.",
        "<span class=\"v old\">&quot;1&quot; → &quot;10&quot;</span>",
        "sha256:…1",
        "on_duplicate",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(
        !page.contains("1113") && !page.contains("<script"),
        "{page}"
    );
    let articles = |page: &str| page.matches("<article").count();
    let one = [
        "show",
        first.name(),
        second.name(),
        "--format",
        "html",
        "--limit",
        "1",
    ];
    let one = world.loader(&one).ok().stdout;
    assert_eq!((articles(&page), articles(&one)), (9, 3));
    let json: serde_json::Value =
        serde_json::from_str(&text(&world, &first, &second, "json")).unwrap();
    assert_eq!(
        json["counts"],
        serde_json::json!({"different": 6, "added": 2, "removed": 1, "same": 2, "moved": 1})
    );
    assert_eq!(json["entries"].as_array().unwrap().len(), 9);
    assert_eq!(
        json["objects"]["added"]["keys"][0],
        "staging/b/boxes/3.json"
    );

    // The other way round, and the same twice.
    let back = world.loader(&["show", second.name(), first.name()]).ok();
    back.says("Compared: 6 different, 1 added, 2 removed, 2 the same.");
    let same = world
        .loader(&["show", first.name(), first.name(), "--detailed-exitcode"])
        .ok();
    let count = first.entries().len();
    same.says(&format!(
        "Compared: 0 different, 0 added, 0 removed, {count} the same."
    ));
    world
        .loader(&["show", first.name(), second.name(), "--detailed-exitcode"])
        .exits(2);

    // Only a part of it; the last line still counts all.
    let part = world
        .loader(&[
            "show",
            first.name(),
            second.name(),
            "--table",
            "boxes",
            "--action",
            "insert",
        ])
        .ok()
        .stdout;
    assert!(
        part.contains("box=B7")
            && !part.contains("site=S2")
            && part.contains("Compared: 6 different"),
        "{part}"
    );
    let one = world
        .loader(&["show", first.name(), second.name(), "--limit", "1"])
        .ok()
        .stdout;
    assert!(
        one.contains("… and 5 more") && one.contains("… and 1 more"),
        "{one}"
    );
    world
        .loader(&["show", first.name(), second.name(), "--table", "bxs"])
        .exits(1)
        .says("no table bxs");
    world
        .loader(&["show", first.name(), "nowhere.json"])
        .exits(1)
        .says("nowhere.json");
    world
        .loader(&["show", first.name(), "--detailed-exitcode"])
        .exits(1);
    let edited = second.text.replacen("\"Nizza\"", "\"Genua\"", 1);
    world.write("edited.json", edited);
    world
        .loader(&["show", first.name(), "edited.json"])
        .exits(6)
        .says("was changed after it was made");
}

/// Digits of stand-ins are different in every run.
fn stand_ins(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("•••") {
        let end = at + "•••".len();
        out += &rest[..end];
        rest = rest[end..].trim_start_matches(|c: char| c.is_ascii_hexdigit());
        out += "xxxxxx";
    }
    out + rest
}

fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// The order of entries does not matter, and entries with one name are matched one by one.
#[test]
fn entries_are_matched_whatever_their_order() {
    let world = everything();
    let plan = world.plan("b");
    let run = world
        .loader(&[
            "plan",
            "--batch-id",
            "b",
            "--table-name",
            "subjects",
            "--out",
            "less.json",
        ])
        .ok();
    drop(run);
    let shown = world
        .loader(&["show", plan.name(), "less.json", "--all"])
        .ok();
    let all = plan.entries();
    let kept = all.iter().filter(|e| e["table"] == "subjects").count();
    shown.says(&format!(
        "Compared: 0 different, 0 added, {} removed, {kept} the same.",
        all.len() - kept
    ));
}

#[test]
fn a_plan_of_every_state_can_be_shown() {
    let world = everything();
    let plan = world.plan("b");
    let stale = world.plan("b");
    world
        .loader(&["check", plan.name()])
        .ok()
        .says("it would apply now, unless");
    let before = world.show(&plan, &[]);
    world.apply(&plan).ok();

    // Without a database an applied plan is shown as before; with one it is said to be applied.
    let url = world.url.clone();
    world.set("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none");
    assert_eq!(world.show(&plan, &[]), before);
    world.loader(&["check", plan.name()]).exits(1);
    world.set("DATABASE_URL", &url);
    let checked = world.loader(&["check", plan.name(), "--json"]).ok().json();
    assert_eq!(checked["status"], "applied");
    world
        .loader(&["check", plan.name()])
        .ok()
        .says("It was applied at ");

    // Taken back it would apply again; overtaken it would not, and is shown all the same.
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    world
        .loader(&["check", plan.name()])
        .ok()
        .says("It would apply now, with a new approval");
    world.sql("UPDATE subjects SET sex = 'X' WHERE global_subject_id = 'G1'");
    world.loader(&["check", stale.name()]).exits(3).says("G1");
    assert_eq!(
        world.show(&stale, &[]),
        before.replace(plan.name(), stale.name())
    );

    // A blocked one says what blocks it, and what can be done.
    let tables = std::fs::read_to_string(world.path("tables.yaml")).unwrap();
    world.configure(
        &tables
            .replace("on_invalid: reject", "on_invalid: block")
            .replace("\"on_invalid\": \"reject\"", "\"on_invalid\": \"block\""),
    );
    let blocked = world.plan("b");
    assert!(
        blocked.stderr.contains("cannot be applied"),
        "{}",
        blocked.stderr
    );
    world
        .loader(&["show", blocked.name()])
        .ok()
        .says("This plan cannot be applied")
        .says("blocks");
    world
        .loader(&["check", blocked.name()])
        .exits(4)
        .says("--action violation");
}

/// Every version reads what any earlier one wrote, so far `table-loader-plan/1`; what a later one
/// writes is refused, and told apart from a file that is no plan.
#[test]
fn earlier_plans_are_read_and_later_ones_are_refused() {
    let world = everything();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/plans/example.json");
    let text = std::fs::read_to_string(example).unwrap();
    assert!(
        text.starts_with("{\n\"format\": \"table-loader-plan/1\","),
        "the first format"
    );
    for format in ["text", "markdown", "json"] {
        world
            .loader(&["show", example, "--format", format])
            .ok()
            .says("global_subject_id");
    }
    let as_format = |format: &str| {
        let name = "other.json";
        world.write(name, text.replacen("table-loader-plan/1", format, 1));
        name
    };
    // A later format may have any other fields, before or after its name.
    let later = as_format("table-loader-plan/2\",\n\"later\": {\"a\": 1},\n\"x\": \"");
    for args in [
        &["show", later][..],
        &["show", example, later],
        &["check", later],
        &["apply", later, "--force"],
    ] {
        let refused = world.writes_nothing(|| world.loader(args)).exits(6);
        refused
            .says("\"table-loader-plan/2\"")
            .says("reads \"table-loader-plan/1\"")
            .says("newer version of loader");
    }
    let view = as_format("table-loader-view/1");
    world
        .loader(&["show", view])
        .exits(6)
        .says("no plan but what `loader show --format json` writes");
    let strange = as_format("something-else/1");
    world
        .loader(&["show", strange])
        .exits(6)
        .says("is no plan of a loader");
}

#[test]
fn a_reader_that_has_seen_enough_ends_show_without_a_word() {
    let (world, first, second) = twice();
    world.loader(&["migrate"]).ok();
    let shown: [&[&str]; 4] = [
        &["show", first.name(), "--all"],
        &["show", first.name(), "--format", "html"],
        &["show", first.name(), second.name()],
        &["history"],
    ];
    for args in shown {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = world.command(args);
        let output = command.stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {said}");
        assert!(!said.contains("pipe"), "{args:?}: {said}");
    }
    // A plan that nobody reads to its end is not made.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = world.command(&["plan", "--batch-id", "b"]);
    let output = command.stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_child_of_a_parent_that_is_marked_as_deleted_is_noted() {
    let schema = "CREATE TABLE p (id int PRIMARY KEY, v text, deleted_at timestamptz); \
        CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p, v text); \
        INSERT INTO p VALUES (1, 'x', NULL), (2, 'x', now()), (3, 'x', now()); INSERT INTO c VALUES (9, 2, 'old')";
    let tables = "p: {natural_key: [id], soft_delete: true}\nc: {natural_key: [id]}";
    let world = World::new(schema, tables);
    let says = "2 records refer to rows of p that are marked as deleted";
    world.deliver(
        "b",
        "c/1.json",
        r#"[{"id": 1, "p": 1}, {"id": 2, "p": 2}, {"id": 3, "p": 3}, {"id": 9, "v": "new"}]"#,
    );
    let plan = world.plan("b");
    assert!(
        plan.stderr.contains(&format!("note: c: {says}")),
        "{}",
        plan.stderr
    );
    assert!(world.show(&plan, &[]).contains(says));
    assert!(world.show(&plan, &["--format", "markdown"]).contains(says));
    // One that the same batch brings back counts.
    world.deliver("b", "p/1.json", r#"{"id": 3, "v": "y"}"#);
    let plan = world.plan("b");
    assert!(
        plan.stderr
            .contains("note: c: 1 record refers to a row of p that is marked as deleted"),
        "{}",
        plan.stderr
    );
    world.apply(&plan).ok();
}

/// What is different about an entry is always said, and what only the header tells is a difference, too.
#[test]
fn whatever_differs_is_said() {
    let world = World::in_folder(
        "CREATE TABLE p (id int PRIMARY KEY, x int CHECK (x < 100)); INSERT INTO p VALUES (1, 1); \
         CREATE TABLE a (id numeric(6,2) PRIMARY KEY, x text); INSERT INTO a VALUES (2.00, 'old'); \
         CREATE TABLE m (id text PRIMARY KEY, x text, y text); INSERT INTO m VALUES ('1', 's', 'y'), ('2', 'x', 'y')",
        "p: {natural_key: [id]}\na: {natural_key: [id]}\nm: {natural_key: [id]}\n",
    );
    let compared = |first: &Plan, second: &Plan| {
        let run = world.loader(&["show", first.name(), second.name(), "--detailed-exitcode"]);
        let shown = run.exits(2).stdout;
        // Lines are wrapped.
        shown.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    // Another value breaks the check.
    world.deliver("p", "p.csv", "id,x\n1,150\n");
    let first = world.plan("p");
    world.deliver("p", "p.csv", "id,x\n1,250\n");
    let shown = compared(&first, &world.plan("p"));
    assert!(shown.contains("x: \"250\" (was: \"150\")"), "{shown}");

    // The key of what is to be deleted is given otherwise.
    world.deliver("a", "a/delete/1.csv", "id\n2.00\n");
    let first = world.plan("a");
    world.deliver("a", "a/delete/1.csv", "id\n2.004\n");
    let shown = compared(&first, &world.plan("a"));
    assert!(
        shown.contains("id, before rounding: \"2.004\" (was: nothing)"),
        "{shown}"
    );

    // A column is emptied in all rows, which is ignored.
    world.deliver("m", "m.csv", "id,x\n1,new\n2,x\n");
    let first = world.plan("m");
    world.deliver("m", "m.csv", "id,x,y\n1,new,\n2,x,\n");
    let shown = compared(&first, &world.plan("m"));
    assert!(
        shown.contains("says null") && shown.contains("y 2"),
        "{shown}"
    );

    // Another part of the row is looked at; nobody changed it.
    world.deliver("m", "m.csv", "id,x\n1,new\n");
    let first = world.plan("m");
    world.configure("m: {natural_key: [id], ignore_drift: [y]}");
    let shown = compared(&first, &world.plan("m"));
    assert!(
        shown.contains("whether it changed since the first plan is not known"),
        "{shown}"
    );
}

/// What filters hide is not counted with what they ask for.
#[test]
fn of_a_part_its_own_counts_are_said() {
    let (world, first, second) = twice();
    let part = |format: &str| {
        let plans = ["show", first.name(), second.name(), "--format", format];
        let asked = ["--table", "boxes", "--action", "insert", "--limit", "1"];
        world.loader(&[&plans[..], &asked].concat()).ok().stdout
    };
    let shown = part("text");
    assert!(
        shown.ends_with("\nAsked for: 1 different, 1 added, 0 removed.\nCompared: 6 different, 2 added, 1 removed, 2 the same.\n"),
        "{shown}"
    );
    for (format, said) in [
        ("markdown", "**Added: 1**"),
        ("html", "Asked for: 1 different, 1 added, 0 removed."),
        (
            "json",
            "\"asked_for\": {\"added\":1,\"different\":1,\"removed\":0}",
        ),
    ] {
        let shown = part(format);
        assert!(shown.contains(said), "{format}: {shown}");
    }
}
