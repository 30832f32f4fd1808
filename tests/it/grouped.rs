//! Plans summed up by a column of the table, and by the files of the batch.

use serde_json::{Value, json};

use crate::support::World;

const SCHEMA: &str = "
CREATE TABLE subjects (gsid text PRIMARY KEY, site char(3), born int CHECK (born > 1900), note text);
INSERT INTO subjects SELECT 'L' || n, 'LYN', 1950 FROM generate_series(1, 4) n;
INSERT INTO subjects VALUES ('O1', 'OSL', 1950), ('O2', 'OSL', 1960), ('N1', NULL, 1970);
";

fn world(more: &str) -> World {
    let tables = format!("subjects: {{natural_key: [gsid], group_by: site{more}}}");
    let world = World::in_folder(SCHEMA, &tables);
    // All of one site move, one other row changes, one stays; a new row, bad ones, one without a site.
    world.deliver(
        "b",
        "subjects/lyon.csv",
        "gsid,site\nL1,LYO\nL2,LYO\nL3,LYO\nL4,LYO\n",
    );
    world.deliver(
        "b",
        "subjects/rest.csv",
        "gsid,site,born\nO1,OSL,1951\nO2,,1960\nO3,OSL,1980\nO4,OSL,19x1\nO5,OSLO,1990\nN1,,1971\nX1,,1999\n",
    );
    world
}

#[test]
fn entries_have_a_group_and_are_summed_up_by_it() {
    let world = world(", on_invalid: reject");
    let plan = world.plan("b");
    let entries = plan.json();
    let word = |e: &Value, field: &str| e[field].as_str().unwrap_or("?").to_owned();
    let changes = entries["changes"].as_array().unwrap().iter();
    let groups: Vec<String> = changes
        .map(|e| {
            format!(
                "{} {} {}",
                word(e, "action"),
                word(&e["key"], "gsid"),
                e["group"]
            )
        })
        .collect();
    assert_eq!(
        groups,
        [
            "update L1 \"LYN\"",
            "update L2 \"LYN\"",
            "update L3 \"LYN\"",
            "update L4 \"LYN\"",
            "update N1 null",
            "update O1 \"OSL\"",
            "skip O2 \"OSL\"",
            "insert O3 \"OSL\"",
            "violation O4 \"OSL\"",
            // What cannot be read is no group.
            "violation O5 null",
            "insert X1 null",
        ]
    );
    let text = world.show(&plan, &[]);
    for line in [
        "  by site  insert  update  delete  unchanged  violations",
        "  LYN           ·       4       ·          ·           ·",
        "  (none)        1       1       ·          ·           1",
        "  OSL           1       1       ·          1           1",
        "    LYN: all 4 rows change site to \"LYO\"",
        "    OSL: 1 of 2 change born",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let comment = world.show(&plan, &["--format", "markdown"]);
    let row = "| `LYN` | 0 | 4 | 0 | 0 | 0 | ❗ all 4 rows change site to \"LYO\" |";
    assert!(comment.contains(row), "{comment}");
    let page = world.show(&plan, &["--format", "html"]);
    assert!(page.contains("<b>all 4 rows change site to &quot;LYO&quot;</b>"));
    let rows = world.show(&plan, &["--format", "csv"]);
    assert!(rows.contains(r#""table","group","action","key""#), "{rows}");
    for row in [
        r#""subjects","OSL","violation","gsid=O4""#,
        r#""subjects","(none)","violation","gsid=O5""#,
    ] {
        assert!(rows.contains(row), "{row}\n{rows}");
    }
    let osl = world.show(&plan, &["--group", "OSL", "--action", "violation"]);
    assert!(osl.contains("gsid=O4") && !osl.contains("gsid=O5"), "{osl}");
    let sources = world.show(&plan, &["--by", "source"]);
    let line = "    staging/b/subjects/lyon.csv: all 4 rows change site to \"LYO\"";
    assert!(sources.contains(line), "{sources}");
    let view = world.show(&plan, &["--format", "json"]);
    let view: Value = serde_json::from_str(&view).unwrap();
    let lyon = &view["groups"][0];
    assert_eq!(
        (&lyon["group"], &lyon["by"]),
        (&json!("LYN"), &json!("site"))
    );
    assert_eq!(lyon["columns"], json!({"site": 4}));
    let mut sources = view["sources"].as_array().unwrap().iter();
    let lyon = sources.find(|s| s["group"] == "staging/b/subjects/lyon.csv");
    assert_eq!(lyon.unwrap()["counts"]["update"], 4);
    // It is part of what is approved.
    let other = plan
        .text
        .replacen("\"group\":\"LYN\"", "\"group\":\"OSL\"", 1);
    world.write("other.json", other);
    world.loader(&["show", "other.json"]).exits(6);
    world.apply(&plan).ok();
    // Taken back, each row is in the group in which it is then.
    let undo = ["rollback", "--batch-id", "b", "--out", "undo.json"];
    world.loader(&undo).ok();
    let text = world.loader(&["show", "undo.json"]).ok().stdout;
    assert!(
        text.contains("LYO: all 4 rows change site to \"LYN\""),
        "{text}"
    );
}

#[test]
fn a_group_is_masked_and_must_be_a_column() {
    let hidden = world(", sensitive: [site], on_invalid: reject");
    let plan = hidden.plan("b");
    for format in ["text", "markdown", "html", "json"] {
        let shown = hidden.show(&plan, &["--format", format]);
        assert!(!shown.contains("LYN") && !shown.contains("LYO"), "{format}");
        assert!(shown.contains("•••"), "{format}");
    }
    hidden.configure("subjects: {natural_key: [gsid], group_by: sites}");
    let run = hidden.try_plan("b", &[]).exits(1);
    run.says_all(&["group_by", "sites", "did you mean site?"]);
    // Without it, nothing of a plan is otherwise.
    hidden.configure("subjects: {natural_key: [gsid], on_invalid: reject}");
    let plan = hidden.plan("b");
    assert!(!plan.text.contains("group"));
}

/// Records that are left out, and second ones of a row, are no rows that stay as they are.
#[test]
fn all_rows_of_a_group_are_those_that_are_there() {
    let world = world("");
    world.deliver(
        "c",
        "subjects/lyon.csv",
        "gsid,site\nL1,LYO\nL2,LYO\nL3,LYO\nL4,LYO\nL4,LYO\n",
    );
    world.deliver(
        "c",
        "subjects/more.csv",
        "gsid,site,born\nL5,LYN,1950\nL6,LYN,1950\n",
    );
    world.write("out.txt", "subjects L5\n");
    let plan = world.plan_with("c", &["--leave-out", "out.txt"]);
    world
        .loader(&["show", plan.name(), "--by", "group"])
        .ok()
        .says("all 4 rows that are not left out or refused change site");
}
