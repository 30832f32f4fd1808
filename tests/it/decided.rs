//! What reviewers decided row by row, and the plan that comes of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Plan, Run, World};

/// A decision about the first entry of a plan whose line begins so.
fn decision(plan: &Plan, line: &str, verdict: &str, comment: &str) -> Value {
    let (lines, entries) = (plan.lines(), plan.entries());
    let at = lines.iter().position(|l| l.starts_with(line));
    let entry = &entries[at.unwrap_or_else(|| panic!("{line}: {lines:#?}"))];
    // A row to which a key refers is named by its number, or by what is known of one that is new.
    let key = entry["key"].as_object().unwrap().iter();
    let key = key.map(|(column, value)| {
        let words = match (&value["stored"], &value["new"], value["key"]["no"].as_str()) {
            (Value::String(_), ..) => value["stored"].clone(),
            (_, Value::String(table), Some(no)) => json!(format!("{table} no={no} (new)")),
            _ => value.clone(),
        };
        (column.clone(), words)
    });
    let key: serde_json::Map<String, Value> = key.collect();
    json!({"table": entry["table"], "key": key, "decision": verdict, "comment": comment,
        "from": entry["from"]})
}

/// Writes a reviewer's decisions about a plan.
fn decide(
    world: &World,
    plan: &Plan,
    file: &str,
    reviewer: &str,
    decisions: &[(&str, &str, &str)],
) {
    let decisions = decisions.iter();
    let decisions: Vec<Value> = decisions
        .map(|(line, verdict, comment)| decision(plan, line, verdict, comment))
        .collect();
    let file_content = json!({"format": "table-loader-decisions/1", "plan_hash": plan.hash(),
        "reviewer": reviewer, "decisions": decisions});
    world.write(file, file_content.to_string());
}

fn refused(world: &World, files: &[&str]) -> Run {
    let more: Vec<&str> = files.iter().flat_map(|f| ["--decisions", f]).collect();
    world.try_plan("b", &more)
}

fn messages(plan: &Plan) -> Vec<String> {
    let entries = plan.entries();
    let left_out = entries.iter().filter(|e| e["reason"] == "left_out");
    left_out
        .map(|e| {
            format!(
                "{}|{}",
                e["message"].as_str().unwrap_or("∅"),
                e["by"].as_str().unwrap_or("∅")
            )
        })
        .collect()
}

const SHOP: &str = "\
    CREATE TABLE customers (customer_no text PRIMARY KEY, name text, email text UNIQUE); \
    CREATE TABLE orders (id int PRIMARY KEY, customer text REFERENCES customers, before int REFERENCES orders); \
    CREATE TABLE items (id int PRIMARY KEY, in_order int NOT NULL REFERENCES orders); \
    INSERT INTO customers VALUES ('C-3', 'old', 'x@x')";
const TABLES: &str = "customers: {natural_key: [customer_no]}\norders: {natural_key: [id]}\nitems: {natural_key: [id]}";

fn shop() -> World {
    let world = World::in_folder(SHOP, TABLES);
    world.deliver(
        "b",
        "customers.csv",
        "customer_no,name\nC-1,one\nC-2,two\nC-3,new\nC-1,one\n",
    );
    world.deliver(
        "b",
        "orders.csv",
        "id,customer,before\n1,C-1,\n2,C-2,1\n3,C-3,\n4,C-2,\n5,C-2,2\n",
    );
    world.deliver("b", "items.csv", "id,in_order\n10,1\n11,4\n12,5\n");
    world
}

#[test]
fn what_is_left_out_takes_what_needs_it_along_and_nothing_else_changes() {
    let world = shop();
    let plan = world.plan("b");
    decide(
        &world,
        &plan,
        "ada.json",
        "Ada",
        &[
            (
                "+ customers customer_no=C-1",
                "leave_out",
                "withdrew consent",
            ),
            ("~ customers customer_no=C-3", "leave_out", ""),
            ("+ items id=11", "accept", "fine"),
        ],
    );
    decide(
        &world,
        &plan,
        "ben.json",
        "Ben",
        &[("+ items id=11", "accept", "")],
    );
    let decided = world.plan_with("b", &["--decisions", "ada.json", "--decisions", "ben.json"]);
    assert_eq!(
        decided.lines(),
        [
            "= customers customer_no=C-1: left_out",
            "= customers customer_no=C-1: left_out",
            "+ customers customer_no=C-2: name=\"two\"",
            "= customers customer_no=C-3: left_out",
            "= orders id=1: left_out",
            "= orders id=2: left_out",
            "+ orders id=3: before=null customer=\"C-3\"",
            "+ orders id=4: before=null customer=\"C-2\"",
            "= orders id=5: left_out",
            "= items id=10: left_out",
            "+ items id=11: in_order=\"4\"",
            "= items id=12: left_out",
        ]
    );
    assert_eq!(
        messages(&decided),
        [
            "withdrew consent|Ada",
            "a copy of a record that is left out|Ada",
            "∅|Ada",
            "its parent customers C-1 is left out|Ada",
            "its parent orders 1 is left out|Ada",
            "its parent orders 2 is left out|Ada",
            "its parent orders 1 is left out|Ada",
            "its parent orders 5 is left out|Ada",
        ]
    );
    for text in [
        "Left out as decided: 3 rows.",
        "5 rows left out with them:",
        "orders id=1 (staging/b/orders.csv#2): its parent customers C-1 is left out",
        "Nothing else differs from the plan that was reviewed.",
        &format!(
            "3 rows are left out as decided about plan {} by Ada",
            plan.hash()
        ),
    ] {
        assert!(decided.stderr.contains(text), "{text}: {}", decided.stderr);
    }
    // The comparison that people have shows the same.
    let shown = world.loader(&["show", plan.name(), decided.name()]).ok();
    shown
        .says("left_out")
        .says("8 different")
        .says("4 the same");
    world.apply(&decided).ok();
    assert_eq!(
        world.rows("SELECT name FROM customers ORDER BY customer_no"),
        ["two", "old"]
    );
    assert_eq!(world.rows("SELECT id FROM orders ORDER BY 1"), ["3", "4"]);
}

#[test]
fn decisions_of_which_none_leaves_out_give_the_same_plan() {
    let world = shop();
    let plan = world.plan("b");
    decide(
        &world,
        &plan,
        "d.json",
        "Ada",
        &[("+ orders id=4", "accept", "")],
    );
    let run = world
        .try_plan("b", &["--decisions", "d.json", "-o", "again.json"])
        .ok();
    run.says("Nothing is left out: the plan is the one that was reviewed.");
    let again = world.loader(&["show", "again.json", "--json"]).ok().json();
    assert_eq!(again["plan_hash"], plan.hash());
}

/// The plan that comes of decisions is reviewed in turn, and all decisions together lead to the next one.
#[test]
fn a_plan_that_was_made_by_decisions_is_decided_about_in_turn() {
    let world = shop();
    let plan = world.plan("b");
    let c2 = "+ customers customer_no=C-2";
    let o3 = "+ orders id=3";
    decide(
        &world,
        &plan,
        "1.json",
        "Ada",
        &[(c2, "accept", ""), ("+ orders id=4", "leave_out", "late")],
    );
    let first = world.plan_with("b", &["--decisions", "1.json"]);
    decide(
        &world,
        &first,
        "2.json",
        "Ben",
        &[(o3, "leave_out", "twice")],
    );
    for files in [["1.json", "2.json"], ["2.json", "1.json"]] {
        let second = world.plan_with("b", &["--decisions", files[0], "--decisions", files[1]]);
        let left_out = messages(&second);
        assert!(left_out.contains(&"late|Ada".to_owned()), "{left_out:?}");
        assert!(left_out.contains(&"twice|Ben".to_owned()), "{left_out:?}");
        assert!(
            second
                .text
                .contains(&format!("{} and {}", plan.hash(), first.hash()))
        );
        let changed = world.loader(&["show", first.name(), second.name()]).ok();
        assert!(changed.stdout.contains("orders"));
        world.writes_nothing(|| world.apply_with(&second, &["--dry-run"]).ok());
        // And a third time.
        decide(&world, &second, "3.json", "Ada", &[(c2, "accept", "")]);
        let third = world.plan_with(
            "b",
            &[
                "--decisions",
                "3.json",
                "--decisions",
                "2.json",
                "--decisions",
                "1.json",
            ],
        );
        assert_eq!(third.hash(), second.hash());
    }
    refused(&world, &["2.json"])
        .exits(6)
        .says(&format!("the decisions are about plan {}", first.hash()))
        .says("one that was made by decisions (name those, too)");
}

#[test]
fn decisions_that_cannot_stand_are_refused() {
    let world = shop();
    let plan = world.plan("b");
    let c2 = "+ customers customer_no=C-2";
    decide(
        &world,
        &plan,
        "question.json",
        "Ada",
        &[(c2, "question", "who is that?")],
    );
    refused(&world, &["question.json"])
        .exits(5)
        .says("1 question is open:")
        .says("customers customer_no=C-2 (staging/b/customers.csv#3): Ada says question (question.json: who is that?)");
    decide(&world, &plan, "out.json", "Ada", &[(c2, "leave_out", "")]);
    decide(&world, &plan, "in.json", "Ben", &[(c2, "accept", "")]);
    refused(&world, &["out.json", "in.json"])
        .exits(5)
        .says("Ada says leave_out (out.json), Ben says accept (in.json)");
    // About what is not in the plan: another place, another key, no place.
    let good = world.loader(&["show", plan.name(), "--json"]).ok();
    drop(good);
    let content = std::fs::read_to_string(world.path("out.json")).unwrap();
    for (from, to, says) in [
        ("customers.csv#3", "customers.csv#7", "no such row"),
        (
            "\"C-2\"",
            "\"C-9\"",
            "has another key in the plan: customer_no=C-2",
        ),
        ("[\"staging/b/customers.csv#3\"]", "[]", "`from` is missing"),
        ("\"customers\"", "\"clients\"", "no such row"),
    ] {
        let wrong = content.replace(from, to);
        assert_ne!(wrong, content);
        world.write("wrong.json", wrong);
        refused(&world, &["wrong.json"])
            .exits(1)
            .says("decisions about what is not in the plan:")
            .says(says);
    }
    // About another plan: the database changed since.
    world.sql("UPDATE customers SET name = 'other' WHERE customer_no = 'C-3'");
    let now = world.plan("b");
    refused(&world, &["out.json"])
        .exits(6)
        .says(&format!("the decisions are about plan {}", plan.hash()))
        .says(&format!("the batch makes plan {} now", now.hash()))
        .says("`loader show OLD NEW`");
    for content in ["", "{}", "PK", "a,b\n1,2\n", "\u{0}"] {
        world.write("wrong.json", content);
        refused(&world, &["wrong.json"])
            .exits(1)
            .says("wrong.json: ");
    }
}

#[test]
fn what_would_change_more_than_was_decided_is_refused() {
    let world = shop();
    // C-3 gives up a value that C-4 takes, and C-5 is there twice.
    world.deliver(
        "b",
        "customers.csv",
        "customer_no,name,email\nC-3,new,y@y\nC-4,four,x@x\nC-5,a,\nC-5,b,\n",
    );
    for name in ["orders.csv", "items.csv"] {
        std::fs::remove_file(world.path(&format!("source/staging/b/{name}"))).unwrap();
    }
    world.sql("DELETE FROM validation_queue WHERE table_name <> 'customers'");
    let plan = world.plan("b");
    assert_eq!(plan.count("violation"), 2, "{:?}", plan.lines());
    decide(
        &world,
        &plan,
        "c3.json",
        "Ada",
        &[("~ customers customer_no=C-3", "leave_out", "")],
    );
    refused(&world, &["c3.json"])
        .exits(4)
        .says("would change more than was decided:")
        .says("customers customer_no=C-4 (staging/b/customers.csv#3): violation unique_conflict")
        .says("(was: insert)");
    // A violation that vanishes with its rival is named as a change to be reviewed.
    decide(
        &world,
        &plan,
        "c5.json",
        "Ada",
        &[("! customers customer_no=C-5", "leave_out", "older")],
    );
    let decided = world.plan_with("b", &["--decisions", "c5.json"]);
    assert_eq!(
        decided.lines()[2..],
        [
            "= customers customer_no=C-5: left_out",
            "+ customers customer_no=C-5: email=null name=\"b\"",
        ]
    );
    let said = "1 row could not be loaded beside them, and will be: have these reviewed:\n  customers customer_no=C-5 (staging/b/customers.csv#5): insert";
    assert!(decided.stderr.contains(said), "{}", decided.stderr);
}

#[test]
fn rows_that_are_named_by_a_key_are_taken_along_too() {
    let world = World::in_folder(
        "CREATE TABLE customers (id serial PRIMARY KEY, no text NOT NULL UNIQUE, born date); \
         CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, \
           pos int NOT NULL, UNIQUE (customer_id, pos)); \
         CREATE TABLE items (order_id int NOT NULL REFERENCES orders, line int, PRIMARY KEY (order_id, line))",
        "customers: {natural_key: [no], sensitive: [no]}\n\
         orders:\n  natural_key: [customer_id, pos]\n  references:\n    customer_id: {table: customers, by: {no: customer}}\n\
         items:\n  natural_key: [order_id, line]\n  references:\n    order_id: {table: orders, by: {customer_id: {table: customers, by: {no: customer}}, pos: pos}}",
    );
    world.deliver(
        "b",
        "customers.csv",
        "no,born\nC-1,2000-01-01\nC-2,2001-01-01\n",
    );
    world.deliver("b", "orders.csv", "customer,pos\nC-1,1\nC-1,2\nC-2,1\n");
    world.deliver("b", "items.csv", "customer,pos,line\nC-1,1,1\nC-2,1,1\n");
    let plan = world.plan("b");
    assert_eq!(plan.count("insert"), 7);
    // As the page saves it: the key of people who are not to be known is a stand-in.
    let seen = world
        .loader(&["show", plan.name(), "--format", "json"])
        .ok()
        .json();
    let entry = &seen["changes"][0];
    assert!(entry["key"]["no"].as_str().unwrap().starts_with("•••"));
    // A key as the plan has it, with what is known of the row to which it refers.
    let item = &seen["changes"][6];
    assert!(item["key"]["order_id"].is_object(), "{item}");
    let accepted =
        json!({"table": "items", "key": item["key"], "decision": "accept", "from": item["from"]});
    let file = json!({"format": "table-loader-decisions/1", "plan_hash": plan.hash(), "reviewer": "Ada", "decisions": [accepted]});
    world.write("a.json", file.to_string());
    let same = world.plan_with("b", &["--decisions", "a.json"]);
    assert_eq!(same.hash(), plan.hash());
    let decision = json!({"table": "customers", "key": entry["key"], "decision": "leave_out", "from": entry["from"]});
    let file = json!({"format": "table-loader-decisions/1", "plan_hash": plan.hash(), "reviewer": "Ada", "decisions": [decision]});
    world.write("d.json", file.to_string());
    let decided = world.plan_with("b", &["--decisions", "d.json"]);
    assert_eq!(decided.count("insert"), 3, "{:#?}", decided.lines());
    assert_eq!(
        messages(&decided),
        [
            "∅|Ada",
            "its parent customers (staging/b/customers.csv#2) is left out|Ada",
            "its parent customers (staging/b/customers.csv#2) is left out|Ada",
            "its parent customers (staging/b/customers.csv#2) is left out|Ada",
        ]
    );
    world.apply(&decided).ok();
    assert_eq!(world.rows("SELECT no FROM customers"), ["C-2"]);
}

#[test]
fn rows_that_a_complete_delivery_does_not_bring_stay_if_that_is_decided() {
    let world = World::in_folder(
        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')",
        "t: {natural_key: [id], complete: true, limits: {delete: 5}}",
    );
    world.deliver("b", "t.csv", "id,v\n1,a\n");
    let plan = world.plan("b");
    decide(
        &world,
        &plan,
        "d.json",
        "Ada",
        &[("- t id=3", "leave_out", "still there")],
    );
    let decided = world.plan_with("b", &["--decisions", "d.json"]);
    assert_eq!(
        decided.lines(),
        [
            "= t id=1: unchanged",
            "- t id=2: v=\"b\"",
            "= t id=3: left_out"
        ]
    );
    world.apply(&decided).ok();
    assert_eq!(world.rows("SELECT id FROM t ORDER BY 1"), ["1", "3"]);
    world
        .loader(&["rollback", "--batch-id", "b", "--force"])
        .ok();
    assert_eq!(world.rows("SELECT id FROM t ORDER BY 1"), ["1", "2", "3"]);
}

/// The rows of comma-separated values in which a plan is decided about, without the header, as their cells.
fn rows_of_csv(csv: &str) -> Vec<Vec<String>> {
    let lines = csv.split("\r\n").skip(1);
    let cells = lines.filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    cells
        .map(|cells| cells.splitn(12, "\",\"").map(str::to_owned).collect())
        .collect()
}

/// Of such a row the key as people see it, what becomes of it, and what names it.
fn key_said_and_name(row: &[String]) -> (&str, &str, Value) {
    let name = row[11].replace("\"\"", "\"");
    (&row[5], &row[6], serde_json::from_str(&name).unwrap())
}

/// A file of decisions in which what `name` names is left out.
fn leave_out(world: &World, plan: &Plan, file: &str, name: &Value) {
    let decision = json!({"table": name["table"], "key": name["key"], "from": name["from"],
        "decision": "leave_out", "comment": "stays"});
    let content = json!({"format": "table-loader-decisions/1", "plan_hash": plan.hash(), "reviewer": "Ada",
        "decisions": [decision]});
    world.write(file, content.to_string());
}

/// Two rows of which people see the same key, and one of which they see another.
fn twins(rows: &[Vec<String>]) -> [&[String]; 3] {
    let mut by_key: BTreeMap<&str, Vec<&[String]>> = BTreeMap::new();
    for row in rows {
        by_key.entry(&row[5]).or_default().push(row);
    }
    let of = |n: usize| by_key.values().find(|rows| rows.len() == n);
    let (two, one) = (of(2).expect("of more rows, two have one stand-in"), of(1));
    [two[0], two[1], one.unwrap()[0]]
}

/// Of many rows two look the same, because people see few digits of what stands for their keys.
#[test]
fn a_decision_is_about_one_row_where_two_are_seen_alike() {
    let world = World::in_folder(
        "CREATE TABLE people (ssn text PRIMARY KEY, name text); \
         INSERT INTO people SELECT 'S' || n, 'n' || n FROM generate_series(1, 12000) n",
        "people: {natural_key: [ssn], sensitive: [ssn], complete: true, limits: {delete: 12000}}",
    );
    world.deliver("b", "people.csv", "ssn,name\nS1,n1\n");
    let plan = world.plan("b");
    let csv = world.show(&plan, &["--format", "csv"]);
    let rows = rows_of_csv(&csv);
    let [one, other, alone] = twins(&rows);
    let left_out = |file: &str| {
        let decided = world.plan_with("b", &["--decisions", file]);
        let entries = decided.entries().into_iter();
        let left_out = entries.filter(|e| e["reason"] == "left_out");
        let keys: Vec<Value> = left_out.map(|e| e["key"]["ssn"].clone()).collect();
        keys
    };
    let key_of = |row: &[String]| json!(row[6].replace("name: \"\"n", "S").replace('"', ""));
    for (row, file) in [(other, "page.json"), (one, "page.json"), (other, "d.csv")] {
        let name = key_said_and_name(row).2;
        match file {
            "d.csv" => {
                let line = format!("\"{}\"", row.join("\",\""));
                let decided = line.replacen("\"\",\"\"", "\"leave_out\",\"stays\"", 1);
                let decided = decided.replacen("\"\",\"{", "\"Ada\",\"{", 1);
                assert_eq!(csv.matches(&line).count(), 1, "{line}");
                world.write(file, csv.replace(&line, &decided));
            }
            _ => leave_out(&world, &plan, file, &name),
        }
        assert_eq!(left_out(file), [key_of(row)], "{file}");
    }
    // As an earlier version named them: a stand-in as it is seen.
    let seen = |row: &[String]| {
        let key = key_said_and_name(row).0.replace("ssn=", "");
        json!({"table": "people", "key": {"ssn": key}, "from": ["not delivered"]})
    };
    leave_out(&world, &plan, "alone.json", &seen(alone));
    assert_eq!(left_out("alone.json"), [key_of(alone)]);
    leave_out(&world, &plan, "either.json", &seen(one));
    let (key, ..) = key_said_and_name(one);
    refused(&world, &["either.json"])
        .exits(1)
        .says("either.json: decisions that could be about more than one row of the plan:")
        .says(&format!("\n  people {key} (not delivered)\n"))
        .says("make the page, the workbook or the comma-separated values anew with `loader show`");
    // What is told of a row has its key as people see it.
    let name = key_said_and_name(alone).2;
    leave_out(&world, &plan, "d.json", &name);
    let text = std::fs::read_to_string(world.path("d.json")).unwrap();
    world.write("d.json", text.replace("leave_out", "question"));
    let (key, ..) = key_said_and_name(alone);
    refused(&world, &["d.json"])
        .exits(5)
        .says(&format!("people {key} (not delivered): Ada says question"));
}

/// A copy goes with the record that is left out, and not with one that only looks the same.
#[test]
fn copies_of_a_record_that_is_seen_alike_stay() {
    let world = World::in_folder(
        "CREATE TABLE people (ssn text PRIMARY KEY, name text)",
        "people: {natural_key: [ssn], sensitive: [ssn]}",
    );
    world.set("MAX_RECORDS_PER_BATCH", "24000");
    let lines = (1..=24_000).map(|n| format!("S{0},n{0}\n", n % 12_000));
    let lines: String = lines.collect();
    world.deliver("b", "people.csv", format!("ssn,name\n{lines}"));
    let plan = world.plan("b");
    let rows = rows_of_csv(&world.show(&plan, &["--format", "csv"]));
    assert_eq!(rows.len(), 12_000);
    let [one, ..] = twins(&rows);
    leave_out(&world, &plan, "d.json", &key_said_and_name(one).2);
    let decided = world.plan_with("b", &["--decisions", "d.json"]);
    assert_eq!(
        messages(&decided),
        ["stays|Ada", "a copy of a record that is left out|Ada"]
    );
}

/// What follows from decisions is found by the rows' own keys, and told with those that the reviewer saw.
#[test]
fn what_follows_from_decisions_is_the_same_where_keys_are_sensitive() {
    for (sensitive, key) in [("", "ssn=S3"), ("sensitive: [ssn], ", "ssn=•••")] {
        let world = World::in_folder(
            "CREATE TABLE people (ssn text PRIMARY KEY, name text); \
             INSERT INTO people SELECT 'S' || n, 'n' || n FROM generate_series(1, 6) n; \
             CREATE TABLE child (id text PRIMARY KEY, ssn text REFERENCES people); \
             INSERT INTO child VALUES ('c1', 'S1')",
            &format!(
                "people: {{natural_key: [ssn], {sensitive}complete: true, limits: {{delete: 9}}}}\n\
                 child: {{natural_key: [id], {sensitive}}}"
            ),
        );
        world.deliver("b", "people.csv", "ssn,name\nS1,n1\n");
        world.deliver("b", "child.csv", "id,ssn\nc1,S3\n");
        let name_in = |plan: &Plan, line: &str| {
            let entries = plan.lines().into_iter().position(|l| l.starts_with(line));
            let entry = &plan.entries()[entries.unwrap()];
            let rows = rows_of_csv(&world.show(plan, &["--format", "csv"]));
            let of_entry = rows
                .into_iter()
                .find(|row| match entry["values"]["name"].as_str() {
                    Some(name) => row[6].contains(name),
                    None => row[4] == entry["action"].as_str().unwrap(),
                });
            let row = of_entry.unwrap();
            let (key, _, name) = key_said_and_name(&row);
            (key.to_owned(), name)
        };
        // The row may go when no record refers to it any more.
        let plan = world.plan("b");
        let (seen, _) = name_in(&plan, "! people ssn=S3");
        assert!(seen.starts_with(key), "{seen}");
        let (_, child) = name_in(&plan, "~ child id=c1");
        leave_out(&world, &plan, "1.json", &child);
        let first = world.plan_with("b", &["--decisions", "1.json"]);
        let said = format!(
            "Left out as decided: 1 row.\n1 row could not be loaded beside them, and will be: have these reviewed:\n  \
             people {seen} (not delivered): delete\nNothing else differs"
        );
        assert!(first.stderr.contains(&said), "{said}: {}", first.stderr);
        // What was decided in one review is known in the next ones.
        let mut files = vec!["--decisions", "1.json"];
        let mut last = first;
        for (file, line) in [("2.json", "- people ssn=S4"), ("3.json", "- people ssn=S5")] {
            leave_out(&world, &last, file, &name_in(&last, line).1);
            files.extend(["--decisions", file]);
            last = world.plan_with("b", &files);
            let said = "Left out as decided: 1 row.\nNothing else differs";
            assert!(last.stderr.contains(said), "{file}: {}", last.stderr);
        }
        let lines = last.lines();
        let go = lines.iter().filter(|l| l.starts_with("- "));
        assert_eq!(go.count(), 3, "{lines:?}");
    }
}

/// What a person does in a spreadsheet program: puts texts into empty cells of a sheet.
fn typed(book: &[u8], sheet: usize, cells: &[(&str, &str)]) -> Vec<u8> {
    edited(book, |name, mut xml| {
        if name != format!("xl/worksheets/sheet{sheet}.xml") {
            return xml;
        }
        for (cell, text) in cells {
            let row = cell.trim_start_matches(char::is_alphabetic);
            let start = xml.find(&format!("<row r=\"{row}\"")).unwrap();
            // Cells of a row stand in order, and a reader does not mind where they do not.
            let end = start + xml[start..].find("</row>").unwrap();
            let inserted = format!("<c r=\"{cell}\" t=\"inlineStr\"><is><t>{text}</t></is></c>");
            let at = match cell.starts_with('A') {
                true => start + xml[start..].find('>').unwrap() + 1,
                false => match xml[start..end].find("<c r=\"C") {
                    Some(c) => start + c,
                    None => end,
                },
            };
            xml.insert_str(at, &inserted);
        }
        xml
    })
}

/// The workbook with each of its parts, all of which are texts, as `edit` makes it of its name and content.
fn edited(book: &[u8], edit: impl Fn(&str, String) -> String) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(book)).unwrap();
    let mut out = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for i in 0..archive.len() {
        let mut part = archive.by_index(i).unwrap();
        let name = part.name().unwrap().into_owned();
        let mut content = String::new();
        std::io::Read::read_to_string(&mut part, &mut content).unwrap();
        let content = edit(&name, content);
        out.start_file(name, zip::write::SimpleFileOptions::default())
            .unwrap();
        std::io::Write::write_all(&mut out, content.as_bytes()).unwrap();
    }
    out.finish().unwrap().into_inner()
}

/// The workbook with a further sheet, which holds what the sheet of changes holds.
fn with_a_copy_of_changes(book: &[u8]) -> Vec<u8> {
    edited(book, |name, content| match name {
        "xl/workbook.xml" => content.replace(
            "</sheets>",
            "<sheet name=\"changes Copy\" sheetId=\"9\" r:id=\"rId2\"/></sheets>",
        ),
        _ => content,
    })
}

#[test]
fn a_workbook_and_comma_separated_values_say_the_same_as_the_page() {
    let world = shop();
    world.deliver(
        "b",
        "customers.csv",
        "customer_no,name\n007,one\n2024-01-02,two\n=1+1,\"=HYPERLINK(1)\"\n9,a\n9,b\n",
    );
    for name in ["orders.csv", "items.csv"] {
        std::fs::remove_file(world.path(&format!("source/staging/b/{name}"))).unwrap();
    }
    world.sql("DELETE FROM validation_queue WHERE table_name <> 'customers'");
    let plan = world.plan("b");
    let marks = [
        ("+ customers customer_no=007", "leave_out", "no consent"),
        ("+ customers customer_no=2024-01-02", "accept", ""),
        ("+ customers customer_no==1+1", "leave_out", "a formula"),
        ("! customers customer_no=9", "leave_out", "older"),
    ];
    decide(&world, &plan, "d.json", "Ada", &marks);
    let of_page = world.plan_with("b", &["--decisions", "d.json"]);
    assert_eq!(of_page.count("insert"), 2, "{:#?}", of_page.lines());

    let shown = world
        .command(&["show", plan.name(), "--format", "xlsx"])
        .output()
        .unwrap();
    assert!(shown.status.success(), "{shown:?}");
    world.write("empty.xlsx", &shown.stdout);
    refused(&world, &["empty.xlsx"]).exits(1).says(
        "nobody is named as its reviewer: write your name beside reviewer in the sheet summary",
    );
    let book = typed(&shown.stdout, 1, &[("B2", "Ada")]);
    let book = typed(
        &book,
        2,
        &[
            ("A2", "leave_out"),
            ("B2", "no consent"),
            ("A3", "Accept"),
            ("A4", "leave out"),
            ("B4", "a formula"),
        ],
    );
    let book = typed(&book, 3, &[("A2", "leave_out"), ("B2", "older")]);
    world.write("d.xlsx", &book);
    let of_workbook = world.plan_with("b", &["--decisions", "d.xlsx"]);
    assert_eq!(of_workbook.hash(), of_page.hash());
    // Decisions that nobody reads are no decisions; a sheet without is somebody's own.
    world.write("copy.xlsx", with_a_copy_of_changes(&book));
    refused(&world, &["copy.xlsx"]).exits(1).says(
        "copy.xlsx: the sheet changes Copy has decisions, and only those in the sheets changes and violations are read",
    );
    let undecided = typed(&shown.stdout, 1, &[("B2", "Ada")]);
    world.write("copy.xlsx", with_a_copy_of_changes(&undecided));
    world.plan_with("b", &["--decisions", "copy.xlsx"]);

    let shown = world
        .loader(&["show", plan.name(), "--format", "csv"])
        .ok()
        .stdout;
    assert!(
        shown.contains("\"customer_no==1+1\"") && shown.contains("\"customers\""),
        "{shown}"
    );
    let lines: Vec<String> = shown
        .split("\r\n")
        .map(|line| {
            let mark = marks
                .iter()
                .find(|(l, ..)| line.contains(&format!("\"{}\"", l.rsplit(' ').next().unwrap())));
            // Of the two records with one key the first.
            match mark.filter(|_| !line.contains("customers.csv#6\"")) {
                Some((_, verdict, comment)) => line
                    .replacen("\"\",\"\"", &format!("{verdict},{comment}"), 1)
                    .replacen("\"\",\"{", "Ada,\"{", 1),
                None => line.to_owned(),
            }
        })
        .collect();
    world.write("d.csv", lines.join("\r\n"));
    let of_csv = world.plan_with("b", &["--decisions", "d.csv"]);
    assert_eq!(of_csv.hash(), of_page.hash());
    // One and the other together.
    let of_all = world.plan_with(
        "b",
        &[
            "--decisions",
            "d.csv",
            "--decisions",
            "d.xlsx",
            "--decisions",
            "d.json",
        ],
    );
    assert_eq!(of_all.count("insert"), 2);
}

/// What names a row is read back, and never cut; where a workbook has no room for it, that is said.
#[test]
fn rows_with_long_keys_are_decided_about_too() {
    let world = World::in_folder("CREATE TABLE t (id text, v text)", "t: {natural_key: [id]}");
    let (long, longer) = ("k".repeat(20_000), "é".repeat(6_000));
    world.deliver(
        "b",
        "t/1.json",
        format!(r#"[{{"id": "{long}", "v": "1"}}, {{"id": "{longer}", "v": "2"}}]"#),
    );
    let plan = world.plan("b");
    let csv = world.show(&plan, &["--format", "csv"]);
    let decided = csv
        .replace("\"\",\"\",\"t\"", "leave_out,none,\"t\"")
        .replace("\"\",\"{", "Ada,\"{");
    world.write("d.csv", decided);
    let of_csv = world.plan_with("b", &["--decisions", "d.csv"]);
    assert_eq!((of_csv.count("insert"), of_csv.count("skip")), (0, 2));
    let refused = world.loader(&["show", plan.name(), "--format", "xlsx", "-o", "a.xlsx"]);
    refused
        .exits(1)
        .says("is too long for a cell of a workbook")
        .says("decide about this plan on its page");
    let book = world
        .command(&["show", plan.name(), "--format", "xlsx", "--key", &long])
        .output()
        .unwrap();
    assert!(book.status.success(), "{book:?}");
    let book = typed(&book.stdout, 1, &[("B2", "Ada")]);
    let book = typed(&book, 2, &[("A2", "leave_out")]);
    world.write("d.xlsx", &book);
    let of_workbook = world.plan_with("b", &["--decisions", "d.xlsx"]);
    assert_eq!(of_workbook.count("insert"), 1);
}

#[test]
fn reviewers_see_what_a_row_holds_and_null_is_not_empty() {
    let world = World::in_folder(
        "CREATE TABLE t (id text PRIMARY KEY, sex text); INSERT INTO t VALUES ('p1', 'F'), ('p2', ''), ('p3', NULL), ('p4', 'F')",
        "t: {natural_key: [id], immutable_fields: [sex], conflict_resolution: replace}",
    );
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"id": "p1", "sex": "M"}, {"id": "p2", "sex": "M"}, {"id": "p3", "sex": "M"}, {"id": "p4", "sex": ""}]"#,
    );
    let plan = world.plan("b");
    let lines = plan.lines();
    let existing = |id: &str| {
        lines
            .iter()
            .any(|l| l.starts_with(&format!("! t id={id}:")))
    };
    let csv = world.show(&plan, &["--format", "csv"]);
    for (id, said) in [
        ("p1", r#"sex: ""F"" → ""M"""#),
        ("p2", r#"sex: """" → ""M"""#),
        ("p3", r#"sex: null → ""M"""#),
        ("p4", r#"sex: ""F"" → """""#),
    ] {
        assert!(!existing(id) || csv.contains(said), "{said}: {csv}");
    }
    assert!(existing("p1") && existing("p4"), "{lines:?}");
}

/// Subjects with numbers, and visits that are all there are.
const VISITS: &str = "\
subjects: {natural_key: [no]}
visits:
  natural_key: [subject_id, day]
  complete: true
  limits: {delete: 9}
  references: {subject_id: {table: subjects, by: {no: subject}}}
";

#[test]
fn a_new_parent_is_left_out_of_what_is_complete_and_its_children_keep_its_name() {
    let world = World::in_folder(
        "CREATE TABLE subjects (id serial PRIMARY KEY, no text UNIQUE NOT NULL); \
         CREATE TABLE visits (subject_id int REFERENCES subjects, day date, note text, PRIMARY KEY (subject_id, day)); \
         INSERT INTO subjects (no) VALUES ('P1'); \
         INSERT INTO visits VALUES (1, '2024-01-01', 'a'), (1, '2024-01-02', 'b')",
        VISITS,
    );
    world.deliver("b", "subjects.csv", "no\nP1\nP2\n");
    world.deliver(
        "b",
        "visits.csv",
        "subject,day,note\nP1,2024-01-01,a\nP2,2024-01-05,c\nP2,2024-01-06,d\n",
    );
    let plan = world.plan("b");
    assert_eq!(
        plan.news(),
        [
            "+ subjects no=P2",
            "- visits day=2024-01-02 subject_id=<P1>: note=\"b\"",
            "+ visits day=2024-01-05 subject_id=+<P2>: note=\"c\"",
            "+ visits day=2024-01-06 subject_id=+<P2>: note=\"d\"",
        ]
    );
    let subject = ("+ subjects no=P2", "leave_out", "no consent");
    decide(&world, &plan, "1.json", "Ada", &[subject]);
    let first = world.plan_with("b", &["--decisions", "1.json"]);
    let lines = [
        "= subjects no=P1: unchanged",
        "= subjects no=P2: left_out",
        "- visits day=2024-01-02 subject_id=<P1>: note=\"b\"",
        "= visits day=2024-01-01 subject_id=<P1>: unchanged",
        "= visits day=2024-01-05 subject_id=+<P2>: left_out",
        "= visits day=2024-01-06 subject_id=+<P2>: left_out",
    ];
    let sorted = |plan: &Plan| {
        let mut lines = plan.lines();
        lines.sort();
        lines
    };
    let mut wanted = lines.map(str::to_owned);
    wanted.sort();
    assert_eq!(sorted(&first), wanted);
    let shown = world.show(&first, &["--action", "skip"]);
    assert!(
        shown.contains("(subjects no=P2 (new))")
            || shown.contains("subject_id=subjects no=P2 (new)"),
        "{shown}"
    );
    // With one of its children, and with what the delivery does not bring; and in a second review.
    let visit = ("+ visits day=2024-01-05", "leave_out", "too old");
    let gone = ("- visits day=2024-01-02", "leave_out", "still there");
    decide(&world, &plan, "2.json", "Ada", &[subject, visit, gone]);
    let second = world.plan_with("b", &["--decisions", "2.json"]);
    wanted.sort_by_key(|line| line.starts_with('-'));
    wanted[5] = "= visits day=2024-01-02 subject_id=<P1>: left_out".to_owned();
    wanted.sort();
    assert_eq!(sorted(&second), wanted);
    let mut said = messages(&second);
    said.sort();
    assert_eq!(
        said,
        [
            "its parent subjects P2 is left out|Ada",
            "no consent|Ada",
            "still there|Ada",
            "too old|Ada"
        ]
    );
    decide(&world, &plan, "3.json", "Ada", &[visit]);
    let third = world.plan_with("b", &["--decisions", "3.json"]);
    decide(
        &world,
        &third,
        "4.json",
        "Ben",
        &[subject, ("- visits", "accept", "")],
    );
    let both = world.plan_with("b", &["--decisions", "3.json", "--decisions", "4.json"]);
    assert_eq!(sorted(&both), sorted(&first));
    world.apply(&both).ok();
    assert_eq!(world.rows("SELECT * FROM visits"), ["1|2024-01-01|a"]);
}

#[test]
fn rows_that_go_for_the_sake_of_a_record_stay_with_it() {
    // P-1 moved to another center: its old row goes when the new one comes, and not without it.
    let world = World::in_folder(
        "CREATE TABLE ids (center int, local_id text, PRIMARY KEY (center, local_id)); INSERT INTO ids VALUES (8, 'P-1'), (8, 'P-2')",
        "ids: {natural_key: [center, local_id], complete: {of_each: [local_id]}, limits: {delete: 9}}",
    );
    world.deliver("b", "ids.csv", "center,local_id\n42,P-1\n8,P-2\n");
    let plan = world.plan("b");
    let comes = ("+ ids center=42 local_id=P-1", "leave_out", "wrong");
    let goes = "- ids center=8 local_id=P-1";
    for (file, decisions) in [
        ("1.json", vec![comes]),
        ("2.json", vec![comes, (goes, "accept", "")]),
    ] {
        decide(&world, &plan, file, "Ada", &decisions);
        refused(&world, &[file])
            .exits(4)
            .says("center=8, local_id=P-1 (not delivered): not in the plan (was: delete)");
    }
    decide(
        &world,
        &plan,
        "3.json",
        "Ada",
        &[comes, (goes, "leave_out", "so it stays")],
    );
    let decided = world.plan_with("b", &["--decisions", "3.json"]);
    assert_eq!(
        decided.lines(),
        [
            "= ids center=42 local_id=P-1: left_out",
            "= ids center=8 local_id=P-2: unchanged"
        ]
    );
    // A refusal names a row by the key that the reviewer saw.
    world.configure(
        "ids: {natural_key: [center, local_id], sensitive: [local_id], complete: {of_each: [local_id]}, limits: {delete: 9}}",
    );
    let plan = world.plan("b");
    let rows = rows_of_csv(&world.show(&plan, &["--format", "csv"]));
    let row = |action: &str| rows.iter().find(|row| row[4] == action).unwrap();
    let (seen, ..) = key_said_and_name(row("delete"));
    let (.., comes) = key_said_and_name(row("insert"));
    leave_out(&world, &plan, "4.json", &comes);
    refused(&world, &["4.json"])
        .exits(4)
        .says(&format!(
            "\n  ids {seen} (not delivered): not in the plan (was: delete)\n"
        ))
        .omits("P-1");
}

/// Records without a key are told apart by their place, and a decision says it.
#[test]
fn one_of_several_records_without_a_key_is_left_out() {
    let world = World::in_folder(
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "t: {natural_key: [id]}",
    );
    world.deliver(
        "b",
        "t.ndjson",
        "{\"v\": \"a\"}\n{\"v\": \"b\"}\n{\"id\": 1}\n{\"v\": \"c\"}\n",
    );
    let plan = world.plan("b");
    let keyless: Vec<Value> = (plan.entries().into_iter())
        .filter(|e| e["action"] == "violation")
        .collect();
    assert_eq!(keyless.len(), 3);
    for chosen in [&[0][..], &[1], &[0, 2], &[0, 1, 2]] {
        let decisions = chosen.iter().map(|n| {
            let e = &keyless[*n];
            json!({"table": "t", "key": e["key"], "from": e["from"], "decision": "leave_out", "comment": "none"})
        });
        let decisions: Vec<Value> = decisions.collect();
        let content = json!({"format": "table-loader-decisions/1", "plan_hash": plan.hash(), "reviewer": "Ada", "decisions": decisions});
        world.write("d.json", content.to_string());
        let next = world.plan_with("b", &["--decisions", "d.json"]);
        assert_eq!(
            next.count("violation"),
            3 - chosen.len() as u64,
            "{chosen:?}"
        );
    }
    let e = &keyless[0];
    let content = json!({"format": "table-loader-decisions/1", "plan_hash": plan.hash(), "reviewer": "Ada",
        "decisions": [{"table": "t", "key": e["key"], "decision": "accept"}]});
    world.write("d.json", content.to_string());
    let run = refused(&world, &["d.json"]);
    assert!(run.stderr.contains("`from` is missing"), "{run}");
}

/// Rows that a complete delivery does not bring all come from nowhere: each is found by its key.
#[test]
fn rows_that_are_not_delivered_are_found_by_their_key() {
    let world = World::in_folder(
        "CREATE TABLE t (id text PRIMARY KEY); INSERT INTO t SELECT 'row ' || n FROM generate_series(1, 4001) n",
        "t: {natural_key: [id], complete: true}",
    );
    world.deliver("b", "t.csv", "id\nrow 1\n");
    let limit = ["--max-deletes", "t=4000"];
    let plan = world.plan_with("b", &limit);
    let decisions = |rows: std::ops::Range<u32>| {
        let rows = rows.map(|n| {
            let verdict = if n % 2 == 0 { "accept" } else { "leave_out" };
            json!({"table": "t", "key": {"id": format!("row {n}")}, "decision": verdict, "from": ["not delivered"]})
        });
        let file = json!({"format": "table-loader-decisions/1", "plan_hash": plan.hash(), "reviewer": "Ada",
            "decisions": rows.collect::<Vec<_>>()});
        world.write("d.json", file.to_string());
        [&limit[..], &["--decisions", "d.json"]].concat()
    };
    let began = std::time::Instant::now();
    let decided = world.plan_with("b", &decisions(2..4002));
    // By the square of their number this took minutes.
    assert!(began.elapsed().as_secs() < 40, "{:?}", began.elapsed());
    let lines = decided.lines();
    let goes = lines.iter().filter(|l| l.starts_with("- ")).count();
    assert_eq!((goes, lines.len()), (2000, 4001));
    // What is not there has no other key.
    world
        .try_plan("b", &decisions(4001..4003))
        .exits(1)
        .says("t id=row 4002 (not delivered): no such row");
}
