//! Rejected records come back as a file: as they were delivered, with line, reason and rule.

use crate::deliveries::workbook;
use crate::support::World;

fn world(settings: &str) -> World {
    let world = World::in_folder(
        "CREATE TABLE t (id text PRIMARY KEY, n int, v text)",
        &format!("t: {{natural_key: [id], on_invalid: reject{settings}}}"),
    );
    world.set("LOADER_QUEUE", "off");
    world.put(
        "b",
        "t/1.csv",
        "id,n,v\na,1,x\nb,many,\"y, z\"\nc,,\nd,1e99,\n,7,q\n",
    );
    world.put(
        "b",
        "t/2.ndjson",
        "{\"id\": \"e\", \"n\": {\"x\": [1, 2.50]}, \"w\": \"\"}\n{\"id\": \"f\"}\n{\"id\": \"g\", \"n\": \"9\\u00e9\"}\n",
    );
    world
}

fn read(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.path(name)).unwrap()
}

#[test]
fn what_is_not_loaded_comes_back_and_can_be_delivered_again() {
    let world = world("");
    let plan = world.plan_with("b", &["--rejects", "back.csv"]);
    assert!(
        plan.stderr.contains("5 rejected records: back.csv"),
        "{}",
        plan.stderr
    );
    let csv = read(&world, "back.csv");
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(
        lines[0],
        "id,n,v,w,loader:object,loader:position,loader:rule,loader:reason,loader:empty,loader:given,loader:json"
    );
    assert!(
        lines[1].starts_with(
            "b,many,\"y, z\",,staging/b/t/1.csv,3,invalid_value,n: not a whole number"
        ),
        "{csv}"
    );
    assert!(
        lines[2].starts_with("d,1e99,,,staging/b/t/1.csv,5,invalid_value,"),
        "{csv}"
    );
    assert!(
        lines[3].starts_with(",7,q,,staging/b/t/1.csv,6,missing_key,"),
        "{csv}"
    );
    assert!(
        lines[4].starts_with("e,\"{\"\"x\"\": [1, 2.50]}\",,\"\",staging/b/t/2.ndjson,1,invalid_value; unknown_field,"),
        "{csv}"
    );
    assert!(
        lines[5].starts_with("g,9é,,,staging/b/t/2.ndjson,3,invalid_value,"),
        "{csv}"
    );
    world.apply(&plan).ok();

    world.plan_with("b", &["--rejects", "back.ndjson"]);
    let json = read(&world, "back.ndjson");
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["id"], &first["n"], &first["loader:position"]),
        (&"b".into(), &"many".into(), &3.into())
    );
    assert!(json.contains("\"n\":{\"x\": [1, 2.50]}"), "{json}");

    // Mended, the file is a delivery.
    let mended = csv
        .replace("many", "2")
        .replace("1e99", "3")
        .replace("\n,7,q", "\nh,7,q")
        .replace("9é", "9");
    let mended: Vec<&str> = mended.lines().filter(|l| !l.starts_with("e,")).collect();
    world.put(
        "c",
        "t.csv",
        mended
            .join("\n")
            .replace(",w,", ",")
            .replace(",,staging", ",staging"),
    );
    let again = world.plan("c");
    assert_eq!(
        again.lines(),
        [
            "+ t id=b: n=\"2\" v=\"y, z\"",
            "+ t id=d: n=\"3\" v=null",
            "+ t id=g: n=\"9\"",
            "+ t id=h: n=\"7\" v=\"q\"",
        ]
    );
}

#[test]
fn each_object_has_its_file_in_a_folder() {
    let world = world("");
    let run = world
        .try_plan("b", &["--out", "p.json", "--rejects", "back/"])
        .ok();
    run.says("5 rejected records: back/");
    let csv = read(&world, "back/staging/b/t/1.csv.rejected.csv");
    assert_eq!(csv.lines().count(), 4, "{csv}");
    let json = read(&world, "back/staging/b/t/2.ndjson.rejected.ndjson");
    assert_eq!(json.lines().count(), 2, "{json}");
    // An object whose own name says its table: what comes back, is delivered again as it is.
    world.put("e", "t.csv", "id,n\nk,x\n");
    world
        .try_plan("e", &["--rejects", "back/"])
        .ok()
        .says("1 rejected record");
    let back = read(&world, "back/staging/e/t/t.csv.rejected.csv");
    world.put("f", "t/t.csv.rejected.csv", back.replace(",x", ",4"));
    assert_eq!(world.plan("f").lines(), ["+ t id=k: n=\"4\""]);
    // What is mended since is brought by nobody who delivers the folder.
    world.put("e", "t.csv", "id,n\nk,5\n");
    world
        .try_plan("e", &["--rejects", "back/"])
        .ok()
        .says("No rejected record: back/; 1 file of an earlier plan, of which no record is rejected now, is removed");
    assert!(!world.path("back/staging/e/t/t.csv.rejected.csv").exists());
    assert_eq!(read(&world, "back/staging/b/t/1.csv.rejected.csv"), csv);
    // Of a plan that blocks all are told, too; and where there are none, that is said.
    world.configure("t: {natural_key: [id]}");
    world
        .try_plan("b", &["--rejects", "x.csv"])
        .ok()
        .says("5 rejected records");
    world.put("d", "t.csv", "id\nz\n");
    world
        .try_plan("d", &["--rejects", "x.csv"])
        .ok()
        .says("No rejected record: x.csv");
    assert_eq!(read(&world, "x.csv").lines().count(), 1);
    world
        .try_plan("d", &["--rejects", "x.txt"])
        .exits(1)
        .says("--rejects is \"x.txt\", which neither ends in .csv or .ndjson nor is a folder");
    world
        .loader(&[
            "load",
            "--batch-id",
            "d",
            "--force",
            "--rejects",
            "y.ndjson",
        ])
        .ok();
    assert_eq!(read(&world, "y.ndjson"), "");
}

#[cfg(unix)]
#[test]
fn links_lead_to_the_file_and_pipes_are_written_to() {
    let world = world("");
    world.write("real.csv", "");
    std::os::unix::fs::symlink(world.path("real.csv"), world.path("link.csv")).unwrap();
    world.try_plan("b", &["--rejects", "link.csv"]).ok();
    let csv = read(&world, "real.csv");
    assert!(
        world.path("link.csv").is_symlink() && csv.lines().count() == 6,
        "{csv}"
    );
    let pipe = world.path("pipe.csv");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let reader = std::thread::spawn(move || std::fs::read_to_string(pipe).unwrap());
    world.try_plan("b", &["--rejects", "pipe.csv"]).ok();
    assert_eq!(reader.join().unwrap(), csv);
    world
        .call(&["plan", "--batch-id", "b", "--rejects", "pipe.csv"])
        .env("TRANSACTION_TIMEOUT", "2")
        .env("LOADER_LOCK_TIMEOUT", "1")
        .run()
        .exits(7)
        .says("writing rejected records to pipe.csv: nobody read it for");
}

#[test]
fn sensitive_values_are_masked_unless_that_is_said() {
    let world = world(", sensitive: [v, id]");
    world.put(
        "b",
        "t/3.csv",
        "id,n,v,vv\nsecret-1,many,secret-2,secret-3\n",
    );
    world.try_plan("b", &["--rejects", "masked.csv"]).ok();
    let masked = read(&world, "masked.csv");
    assert!(
        !masked.contains("secret") && masked.contains("•••") && masked.contains("many"),
        "{masked}"
    );
    world
        .try_plan("b", &["--rejects", "plain.csv", "--rejects-plain"])
        .ok();
    let plain = read(&world, "plain.csv");
    for secret in ["secret-1", "secret-2", "secret-3"] {
        assert!(plain.contains(secret), "{plain}");
    }
    world
        .try_plan("b", &["--rejects-plain"])
        .exits(1)
        .says("--rejects");
}

#[test]
fn no_other_file_is_written_over() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY)",
        "t: {natural_key: [id], on_invalid: reject}",
    );
    world.deliver("b", "t/1.csv", "id\n1\nx\n");
    world.write("mine.csv", "a,b\n1,2\n");
    for (flag, file) in [("--rejects", "mine.csv"), ("--out", "tables.yaml")] {
        let before = std::fs::read(world.path(file)).unwrap();
        let run = world.try_plan("b", &[flag, file]);
        run.exits(1).says("a file is there that is something else");
        assert_eq!(std::fs::read(world.path(file)).unwrap(), before, "{flag}");
    }
    // What was written before is written again, and an empty file is none.
    world.write("empty.json", "");
    for _ in 0..2 {
        let args = ["--rejects", "out.csv", "--out", "plan.json"];
        world.try_plan("b", &args).exits(0);
        world.try_plan("b", &["--out", "empty.json"]).exits(0);
    }
}

/// JSON keeps what it is, whichever form it was delivered in and comes back in.
#[test]
fn json_is_the_same_in_both_forms() {
    let values = [
        r#""5""#,
        r#""null""#,
        r#""{\"a\": 1}""#,
        "5.0",
        r#"{"a": ["x", 1e400, "ü"]}"#,
        "true",
        r#"[1, {"b": null}]"#,
        r#""""#,
    ];
    let cell = |value: &str| format!("\"{}\"", value.replace('"', "\"\""));
    let csv = values.iter().enumerate();
    let csv = csv.map(|(i, v)| format!("c{i},{},x\n", cell(&v.replace(", ", ",\n"))));
    let json = values.iter().enumerate();
    let json = json.map(|(i, v)| format!("{{\"id\": \"j{i}\", \"doc\": {v}, \"n\": \"x\"}}\n"));
    let (csv, json): (String, String) = (csv.collect(), json.collect());
    for form in ["csv", "ndjson"] {
        let world = World::in_folder(
            "CREATE TABLE t (id text PRIMARY KEY, doc jsonb, n int)",
            "t: {natural_key: [id], on_invalid: reject}",
        );
        world.set("LOADER_QUEUE", "off");
        world.put("b", "t/1.csv", format!("id,doc,n\n{csv}"));
        world.put("b", "t/2.ndjson", json.as_str());
        let back = format!("back.{form}");
        world.plan_with("b", &["--rejects", &back]);
        let mended = read(&world, &back)
            .replace(",x,staging", ",1,staging")
            .replace("\"n\":\"x\"", "\"n\":1");
        world.put("again", &format!("t/1.{form}"), mended.as_str());
        let plan = world.plan("again");
        assert_eq!(plan.count("insert"), 16, "{form}: {mended}");
        world.apply(&plan).ok();
        for (i, value) in values.iter().enumerate() {
            let stored = format!(
                "SELECT count(*) FROM t WHERE id IN ('c{i}', 'j{i}') AND doc = '{}'::jsonb",
                value.replace('\'', "''")
            );
            assert_eq!(world.rows(&stored), ["2"], "{form}: {value}: {mended}");
        }
    }
}

/// What a record says beside its values comes back with it: what it is for, when it was extracted, and what it does
/// not say at all.
#[test]
fn what_stands_beside_a_record_comes_back_with_it() {
    for form in ["csv", "ndjson"] {
        let world = World::in_folder(
            "CREATE TABLE t (id int PRIMARY KEY, a text, b text DEFAULT 'b', k int); \
             INSERT INTO t VALUES (1, 'keep', 'keep', 1), (7, 'x', 'x', 7), (8, 'x', 'x', 8)",
            "t: {natural_key: [id], conflict_resolution: replace, on_invalid: reject, on_older: reject, limits: {delete: 9}}",
        );
        world.set("LOADER_QUEUE", "off");
        world.put(
            "first",
            "t/1.json",
            r#"{"extracted_at": "2024-06-01T00:00:00Z", "records": [{"id": 20, "a": "new"}, {"id": 21, "a": "new"}]}"#,
        );
        let first = world.plan("first");
        world.apply(&first).ok();
        world.put("b", "t/1.csv", "id,k\n1,bad\n");
        world.put("b", "t/2.csv", "id,a,k\n2,,bad\n3,,bad\n");
        world.put("b", "t/delete/gone.csv", "id\n7x\n");
        world.put(
            "b",
            "t/3.ndjson",
            "{\"op\": \"delete\", \"data\": {\"id\": \"8x\"}}\n",
        );
        world.put(
            "b",
            "t/4.ndjson",
            "{\"extracted_at\": \"2024-01-01T00:00:00Z\", \"data\": {\"id\": 20, \"a\": \"old\", \"k\": \"bad\"}}\n",
        );
        world.put(
            "b",
            "t/5.json",
            r#"{"records": [{"id": 21, "a": "old", "k": "bad"}], "extracted_at": "2024-01-01T00:00:00Z"}"#,
        );
        let back = format!("back.{form}");
        world.plan_with("b", &["--rejects", &back]);
        let back = read(&world, &back);
        let mended = back
            .replace(",bad,", ",5,")
            .replace("\"bad\"", "5")
            .replace("7x", "7")
            .replace("8x", "8");
        world.put("again", &format!("t/1.{form}"), mended.as_str());
        let plan = world.plan("again");
        let mut lines = plan.lines();
        lines.sort();
        assert_eq!(
            lines,
            [
                "! t id=20: older_record extracted_at reject",
                "! t id=21: older_record extracted_at reject",
                "+ t id=2: a=null k=\"5\"",
                "+ t id=3: a=null k=\"5\"",
                "- t id=7: a=\"x\" b=\"x\" k=\"7\"",
                "- t id=8: a=\"x\" b=\"x\" k=\"8\"",
                "~ t id=1: k=\"1\"→\"5\"",
            ],
            "{form}: {mended}"
        );
        world.apply(&plan).ok();
    }
}

/// Rejected records are written in one dialect, and read in it, whatever that of their table is.
#[test]
fn rejected_records_have_a_dialect_of_their_own() {
    for (settings, delivery) in [
        (
            "csv: {delimiter: ;, encoding: windows-1252}",
            b"id;n;v\n\"a\";x;\"\xfc;,\"\"\"\n" as &[u8],
        ),
        (
            "csv: {comment: '#', delimiter: '|'}",
            "id|n|v\n\"#1\"|x|\"ü;,\"\"\"\n".as_bytes(),
        ),
        (
            "csv: {quote: false, delimiter: '|'}",
            "id|n|v\n\"q|x|ü;,\"\n".as_bytes(),
        ),
        (
            "csv: {escape: \\, skip: 1}",
            "title\nid,n,v\nb,x,\"ü;,\\\"\"\n".as_bytes(),
        ),
        (
            "csv: {header: [id, n, v], empty: text}",
            "c,x,\"ü;,\"\"\"\n".as_bytes(),
        ),
    ] {
        let world = World::in_folder(
            "CREATE TABLE t (id text PRIMARY KEY, n int, v text)",
            &format!("t: {{natural_key: [id], on_invalid: reject, {settings}}}"),
        );
        world.set("LOADER_QUEUE", "off");
        world.put("b", "t/1.csv", delivery);
        world.plan_with("b", &["--rejects", "back.csv"]);
        let mended = read(&world, "back.csv").replace(",x,", ",1,");
        world.put("again", "t/1.csv", mended.as_str());
        let plan = world.plan("again");
        let key = String::from_utf8_lossy(delivery);
        let key = key
            .lines()
            .last()
            .unwrap()
            .split([';', ',', '|'])
            .next()
            .unwrap();
        let key = if settings.contains("quote") {
            key.to_owned()
        } else {
            key.replace('"', "")
        };
        assert_eq!(
            plan.count("insert"),
            1,
            "{settings}: {mended}: {:?}",
            plan.lines()
        );
        world.apply(&plan).ok();
        assert_eq!(
            world.rows("SELECT id, n, v FROM t"),
            [format!("{key}|1|ü;,\"")],
            "{settings}: {mended}"
        );
    }
}

/// What stands for a sensitive value is no value, wherever it comes from.
#[test]
fn a_stand_in_is_not_stored() {
    for form in ["csv", "ndjson"] {
        let world = World::in_folder(
            "CREATE TABLE p (code text PRIMARY KEY, id int GENERATED BY DEFAULT AS IDENTITY UNIQUE); INSERT INTO p VALUES ('S1'); \
             CREATE TABLE t (ssn text PRIMARY KEY, s text, j jsonb, k int, p int REFERENCES p (id))",
            "p: {natural_key: [code], sensitive: [code]}\n\
             t: {natural_key: [ssn], sensitive: [ssn, s, j], on_invalid: reject, references: {p: {table: p, by: {code: place}}}}",
        );
        world.set("LOADER_QUEUE", "off");
        world.put(
            "b",
            "t/1.json",
            r#"[{"ssn": "1", "s": "secret", "j": {"a": 1}, "k": "bad", "place": "S1"}, {"ssn": "2", "k": "bad"}]"#,
        );
        let back = format!("back.{form}");
        world.plan_with("b", &["--rejects", &back]);
        let masked = read(&world, &back)
            .replace(",bad,", ",5,")
            .replace("\"bad\"", "5");
        assert!(
            !masked.contains("secret") && !masked.contains("S1"),
            "{masked}"
        );
        world.put("again", &format!("t/1.{form}"), masked.as_str());
        let plan = world.plan("again");
        assert_eq!(plan.count("insert"), 0, "{form}: {:?}", plan.lines());
        assert_eq!(plan.lines().len(), 5, "{form}: {:?}", plan.lines());
        assert!(
            plan.text.contains("what stands for a sensitive value"),
            "{}",
            plan.text
        );
        world.plan_with("b", &["--rejects", &back, "--rejects-plain"]);
        let plain = read(&world, &back)
            .replace(",bad,", ",5,")
            .replace("\"bad\"", "5");
        world.put("plain", &format!("t/1.{form}"), plain.as_str());
        let plan = world.plan("plain");
        assert_eq!(plan.count("insert"), 2, "{form}: {:?}", plan.lines());
    }
}

#[test]
fn what_the_loader_wrote_beside_a_record_is_not_guessed() {
    let world = World::in_folder(
        "CREATE TABLE t (id text PRIMARY KEY, v text)",
        "t: {natural_key: [id], on_invalid: reject}",
    );
    world.set("LOADER_QUEUE", "off");
    let csv = "id,v,loader:object,loader:position,loader:rule,loader:reason,loader:op,loader:given\n\
               a,,o,1,r,r,remove,\nb,,o,2,r,r,,id v\nc,,o,3,r,r,,\"[\"\"id\"\"]\"\n";
    world.put("b", "t/1.csv", csv);
    assert_eq!(
        world.plan("b").lines(),
        [
            "! t id=a: invalid_value loader:op reject",
            "! t id=b: invalid_value loader:given reject",
            "+ t id=c",
        ]
    );
}

/// A number that JSON or a workbook spells comes back as it is, also where cells have a comma before the decimals.
#[test]
fn numbers_are_the_same_where_a_comma_stands_before_the_decimals() {
    let text = |text: &str| format!("<c t=\"inlineStr\"><is><t>{text}</t></is></c>");
    let number = |number: &str| format!("<c><v>{number}</v></c>");
    for form in ["csv", "ndjson"] {
        let world = World::in_folder(
            "CREATE TABLE t (id text PRIMARY KEY, n numeric(10,3), f float8, label text, k int)",
            "t: {natural_key: [id], on_invalid: reject, decimal_comma: true}",
        );
        world.set("LOADER_QUEUE", "off");
        world.put(
            "b",
            "t/1.csv",
            "id,n,f,label,k\nc,\"1,5\",\"-2,25\",\"1.5\",bad\n",
        );
        world.put(
            "b",
            "t/2.ndjson",
            r#"{"id": "j", "n": 1.5, "f": -2.25, "label": "1.5", "k": "bad"}"#,
        );
        world.put(
            "b",
            "t/3.ndjson",
            r#"{"id": "s", "n": "1,5", "f": "-2,25", "label": 1.5, "k": "bad"}"#,
        );
        world.put(
            "b",
            "t/4.xlsx",
            workbook(&[
                &["id", "n", "f", "label", "k"].map(text).concat(),
                &[
                    text("x"),
                    number("1.5"),
                    number("-2.25"),
                    number("1.5"),
                    text("bad"),
                ]
                .concat(),
            ]),
        );
        let back = format!("back.{form}");
        world.plan_with("b", &["--rejects", &back]);
        let mended = read(&world, &back)
            .replace(",bad,", ",5,")
            .replace("\"bad\"", "5");
        world.put("again", &format!("t/1.{form}"), mended.as_str());
        let plan = world.plan("again");
        assert_eq!(plan.count("insert"), 4, "{form}: {mended}");
        world.apply(&plan).ok();
        assert_eq!(
            world.rows("SELECT DISTINCT n, f, label FROM t"),
            ["1.500|-2.25|1.5"],
            "{form}: {mended}"
        );
    }
}

/// A record of another table in the same file is none of this one.
#[test]
fn rejected_records_of_several_tables_are_told_apart() {
    for form in ["csv", "ndjson"] {
        let world = World::in_folder(
            "CREATE TABLE parents (p text PRIMARY KEY, v int); CREATE TABLE kids (p text REFERENCES parents, line int, PRIMARY KEY (p, line))",
            "defaults: {on_invalid: reject, on_unknown: ignore}\nparents: {natural_key: [p]}\nkids: {natural_key: [p, line]}",
        );
        world.set("LOADER_QUEUE", "off");
        world.put("b", "parents.csv", "p,v\nP1,x\n");
        world.put("b", "kids.csv", "p,line\nP2,1\n");
        let back = format!("back.{form}");
        world.plan_with("b", &["--rejects", &back]);
        let mended = read(&world, &back)
            .replace(",x,", ",7,")
            .replace("\"x\"", "7");
        world.put("again", &format!("parents.{form}"), mended.as_str());
        let plan = world.plan("again");
        assert_eq!(
            plan.lines(),
            [
                "+ parents p=P1: v=\"7\"",
                "! parents p=P2: invalid_value loader:table reject"
            ],
            "{mended}"
        );
    }
    let world = World::in_folder(
        "CREATE TABLE t (k int PRIMARY KEY)",
        "t: {natural_key: [k]}",
    );
    world.set("LOADER_QUEUE", "off");
    world.put("b", "t.csv", "k\nx\n");
    world
        .try_plan("b", &["--out", "r.csv", "--rejects", "r.csv"])
        .exits(1)
        .says("--rejects and --out name the same file");
    world
        .try_plan("b", &["--out", "-"])
        .exits(1)
        .says("- stands for no file here");
}

/// Mended records are not all there is of a table of which deliveries are complete: what was loaded before stays.
#[test]
fn mended_records_of_a_complete_delivery_delete_nothing() {
    for complete in ["true", "{where: {site: LYN}}", "{of_each: [site]}"] {
        for back in ["back.csv", "back.ndjson"] {
            // With of_each, nothing may be left out.
            let on_invalid = if complete.contains("of_each") {
                "block"
            } else {
                "reject"
            };
            let world = World::new(
                "CREATE TABLE cp (k text PRIMARY KEY, site text, v int NOT NULL, w text)",
                &format!(
                    "cp: {{natural_key: [k], complete: {complete}, limits: {{delete: 10}}, on_invalid: {on_invalid}}}"
                ),
            );
            world.set("LOADER_QUEUE", "off");
            world.put(
                "g1",
                "cp.csv",
                "k,site,v,w\n1,LYN,1,a\n2,LYN,x,b\n3,LYN,3,c\n",
            );
            let plan = world.plan_with("g1", &["--rejects", back]);
            if on_invalid == "reject" {
                world.apply(&plan).ok();
            } else {
                world.sql("INSERT INTO cp VALUES ('1', 'LYN', 1, 'a'), ('3', 'LYN', 3, 'c')");
            }
            let mended = read(&world, back)
                .replace(",x,", ",2,")
                .replace(r#":"x""#, ":2");
            world.put("g2", &format!("cp/{back}"), mended);
            let plan = world.plan("g2");
            let news = plan.news();
            let is_it = news.len() == 1 && news[0].starts_with("+ cp k=2: ");
            assert!(is_it, "{complete} {back}: {news:?}");
            assert!(plan.text.contains("it brings rejected records again"));
            world.apply(&plan).ok();
            assert_eq!(
                world.rows("SELECT k, v FROM cp ORDER BY 1"),
                ["1|1", "2|2", "3|3"]
            );
        }
    }
}

/// Null, an empty text, an empty cell and no field are four things, whichever form they come back in, and after a
/// spreadsheet program has saved the file, which drops the quotes of an empty text.
#[test]
fn what_has_no_value_is_still_what_it_was() {
    for form in ["csv", "ndjson"] {
        let world = World::in_folder(
            "CREATE TABLE t (id text PRIMARY KEY, n int NOT NULL DEFAULT 7, v text NOT NULL DEFAULT 'd', w text, k int)",
            "t: {natural_key: [id], on_invalid: reject, conflict_resolution: replace}",
        );
        world.set("LOADER_QUEUE", "off");
        world.put(
            "b",
            "t/1.json",
            r#"[{"id": "null", "n": null, "k": 1},
                {"id": "empty", "v": "", "w": "", "k": "bad"},
                {"id": "absent", "k": "bad"},
                {"id": "both", "v": "", "w": null, "k": "bad"}]"#,
        );
        world.put("b", "t/2.csv", "id,n,v,w,k\nblank,,,,bad\nquoted,,x,,bad\n");
        let back = format!("back.{form}");
        world.plan_with("b", &["--rejects", &back]);
        let written = read(&world, &back);
        let mended = written.replace(",bad,", ",5,").replace("\"bad\"", "5");
        // As a spreadsheet program saves it.
        let mended = match form {
            "csv" => mended.replace(",\"\",", ",,").replace(",\"\",", ",,"),
            _ => mended,
        };
        assert!(!mended.contains(",\"\","), "{mended}");
        world.put("again", &format!("t/1.{form}"), mended.as_str());
        let plan = world.plan("again");
        let refused = plan
            .lines()
            .contains(&"! t id=null: null_value n reject".to_owned());
        assert!(refused, "{mended}: {:?}", plan.lines());
        world.apply(&plan).ok();
        assert_eq!(
            world.rows("SELECT id, n, '<' || v || '>', '<' || w || '>', k FROM t ORDER BY id"),
            [
                "absent|7|<d>|∅|5",
                "blank|7|<d>|∅|5",
                "both|7|<>|∅|5",
                "empty|7|<>|<>|5",
                "quoted|7|<x>|∅|5"
            ],
            "{form}: {mended}"
        );
    }
}

/// A rejected record that is rejected again says everything once, and still says what could not be read.
#[test]
fn rejected_records_are_rejected_again() {
    for form in ["csv", "ndjson"] {
        let world = World::in_folder(
            "CREATE TABLE t (id int PRIMARY KEY, v text, k int); INSERT INTO t VALUES (7, 'x', 1)",
            "t: {natural_key: [id], on_invalid: reject, limits: {delete: 9}}",
        );
        world.set("LOADER_QUEUE", "off");
        world.put(
            "b",
            "t/1.json",
            r#"[{"id": 1, "v": "", "k": "bad"}, {"id": 2, "k": "bad"}]"#,
        );
        world.put(
            "b",
            "t/2.ndjson",
            r#"{"op": "delete", "data": {"id": "7x"}}"#,
        );
        world.put(
            "b",
            "t/3.csv",
            "id,loader:object,loader:position,loader:rule,loader:reason,loader:op\n3,o,1,r,r,remove\n",
        );
        let file = format!("back.{form}");
        world.plan_with("b", &["--rejects", &file]);
        let first = read(&world, &file);
        world.put("again", &format!("t/1.{form}"), first.as_str());
        world.plan_with("again", &["--rejects", &file]);
        let second = read(&world, &file);
        let words = |text: &str| {
            let fields = [
                "\"id\"", "\"v\"", "\"k\"", "op", "remove", "7x", "given", "empty", "reason",
            ];
            fields.map(|field| text.matches(field).count())
        };
        assert_eq!(words(&first), words(&second), "{first}{second}");
        let mended = second
            .replace(",bad,", ",5,")
            .replace("\"bad\"", "5")
            .replace("7x", "7");
        world.put("mended", &format!("t/1.{form}"), mended.as_str());
        let plan = world.plan("mended");
        let mut lines = plan.lines();
        lines.sort();
        assert_eq!(
            lines,
            [
                "! t id=3: invalid_value loader:op reject",
                "+ t id=1: k=\"5\" v=\"\"",
                "+ t id=2: k=\"5\"",
                "- t id=7: k=\"1\" v=\"x\"",
            ],
            "{mended}"
        );
    }
}

/// Rejected records stand as they are, wherever their table's do.
#[test]
fn rejected_records_have_no_envelope() {
    for (settings, delivery) in [
        ("records: /a/b", r#"{"a": {"b": [{"id": 1, "v": "x"}]}}"#),
        ("records: {key_into: id}", r#"{"1": {"v": "x"}}"#),
        ("envelope: payload", r#"{"payload": {"id": 1, "v": "x"}}"#),
        ("envelope: payload", r#"{"payload": [{"id": 1, "v": "x"}]}"#),
    ] {
        for form in ["csv", "ndjson"] {
            let world = World::in_folder(
                "CREATE TABLE t (id int PRIMARY KEY, v int)",
                &format!("t: {{natural_key: [id], on_invalid: reject, {settings}}}"),
            );
            world.set("LOADER_QUEUE", "off");
            world.put("b", "t/1.json", delivery);
            let back = format!("back.{form}");
            world.plan_with("b", &["--rejects", &back]);
            let mended = read(&world, &back);
            let mended = mended
                .replace("\"x\"", "4")
                .replace(",x,", ",4,")
                .replace("x,1,", "4,1,");
            world.put("again", &format!("t/1.{form}"), mended.as_str());
            let plan = world.plan("again");
            assert_eq!(plan.lines(), ["+ t id=1: v=\"4\""], "{settings}: {mended}");
        }
    }
}

/// What a value is, is the same whichever form it comes back in: JSON's null in a cell, a word that means null, an
/// array, and what is no JSON at all.
#[test]
fn what_is_json_and_what_is_not_is_still_so() {
    for form in ["csv", "ndjson"] {
        let world = World::in_folder(
            "CREATE TABLE t (id text PRIMARY KEY, j jsonb, a int[], x text[], d numeric[], js jsonb[], k int)",
            "t: {natural_key: [id], on_invalid: reject, decimal_comma: true, null_words: [NA], csv: {empty: quoted}}",
        );
        world.set("LOADER_QUEUE", "off");
        world.put(
            "b",
            "t/1.json",
            r#"[{"id": "word", "j": "NA", "k": "bad"},
                {"id": "text", "j": "MA", "k": "bad"},
                {"id": "arrays", "a": [1, null, 2], "x": ["p", "q,\"r\"", null], "d": [1.5], "js": [{"a": 1}, "s"], "k": "bad"},
                {"id": "nested", "a": [[1, 2], [3, 4]], "x": [], "k": "bad"}]"#,
        );
        world.put(
            "b",
            "t/2.csv",
            "id,j,a,k\nnull,null,\"{1,2}\",bad\nnone,\"{a: \"\"b\"\"}\",,bad\nempty,\"\",[0:1]={7\\,8},bad\n"
                .replace("[0:1]={7\\,8}", "\"[0:1]={7,8}\""),
        );
        let back = format!("back.{form}");
        world.plan_with("b", &["--rejects", &back]);
        let mended = read(&world, &back)
            .replace(",bad,", ",5,")
            .replace("\"bad\"", "5");
        world.put("again", &format!("t/1.{form}"), mended.as_str());
        let plan = world.plan("again");
        let refused = plan.lines();
        for key in ["none", "empty"] {
            let refused = refused.contains(&format!("! t id={key}: invalid_value j reject"));
            assert!(refused, "{form}: {key}: {mended}: {:?}", plan.lines());
        }
        world.apply(&plan).ok();
        assert_eq!(
            world.rows("SELECT id, j, a, x, d, js FROM t ORDER BY id"),
            [
                "arrays|∅|{1,NULL,2}|{p,\"q,\\\"r\\\"\",NULL}|{1.5}|{\"{\\\"a\\\": 1}\",\"\\\"s\\\"\"}",
                "nested|∅|{{1,2},{3,4}}|{}|∅|∅",
                "null|null|{1,2}|∅|∅|∅",
                "text|\"MA\"|∅|∅|∅|∅",
                "word|∅|∅|∅|∅|∅",
            ],
            "{form}: {mended}"
        );
    }
}

/// A program that saves the file again puts quotes around each cell, or other signs between them: what a record does not
/// give, and what is null, is so still.
#[test]
fn rejected_records_are_the_same_when_another_program_has_saved_them() {
    let delivery = "{\"k\": \"z\", \"a\": \"new\", \"n\": \"x\"}\n{\"k\": \"y\", \"a\": null, \"b\": \"q\", \"n\": \"x\"}\n\
                    {\"k\": \"w\", \"a\": \"\", \"n\": \"x\"}\n";
    for csv in [
        "{empty: quoted}",
        "{empty: text}",
        "{delimiter: ;}",
        "{header: [k, a, b, n]}",
    ] {
        for (between, quotes) in [(",", true), (";", false), (";", true), ("\t", false)] {
            let world = World::in_folder(
                "CREATE TABLE t (k text PRIMARY KEY, a text, b text DEFAULT 'd', n int); \
                 INSERT INTO t VALUES ('z', 'keep', 'keep', 0)",
                &format!(
                    "t: {{natural_key: [k], on_invalid: reject, conflict_resolution: replace, csv: {csv}}}"
                ),
            );
            world.set("LOADER_QUEUE", "off");
            world.put("b", "t/1.ndjson", delivery);
            world.plan_with("b", &["--rejects", "back.csv"]);
            let written = read(&world, "back.csv");
            let mut rows = csv_rows(&written);
            for cell in rows.iter_mut().flatten().filter(|cell| *cell == "x") {
                *cell = "5".into();
            }
            let saved = rows.iter().map(|row| {
                let cells = row.iter().map(|cell| {
                    if quotes || cell.contains([',', ';', '"', '\t']) {
                        format!("\"{}\"", cell.replace('"', "\"\""))
                    } else {
                        cell.clone()
                    }
                });
                cells.collect::<Vec<_>>().join(between) + "\r\n"
            });
            let saved: String = saved.collect();
            world.put("again", "t/1.csv", saved.as_str());
            let plan = world.plan("again");
            world.apply(&plan).ok();
            assert_eq!(
                world.rows("SELECT * FROM t ORDER BY k"),
                ["w||d|5", "y|∅|q|5", "z|new|keep|5"],
                "{csv}: {saved}"
            );
        }
    }
}

/// The cells of delimited values.
fn csv_rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    rows
}

/// A date cell is written as the column reads it by which is looked up.
#[test]
fn a_date_in_a_workbook_by_which_a_text_is_looked_up_comes_back_as_it_is_read() {
    for ty in ["text", "date"] {
        let world = World::in_folder(
            &format!(
                "CREATE TABLE lot (id int PRIMARY KEY, no {ty} UNIQUE NOT NULL); \
                 CREATE TABLE use (k text PRIMARY KEY, lot_id int REFERENCES lot, n int CHECK (n > 0)); \
                 INSERT INTO lot VALUES (1, '2024-01-15'){}",
                if ty == "text" {
                    ", (2, '15.01.2024')"
                } else {
                    ""
                }
            ),
            "{defaults: {formats: ['%d.%m.%Y'], on_invalid: reject}, lot: {natural_key: [\"no\"]}, \
             use: {natural_key: [k], references: {lot_id: {table: lot, by: {\"no\": lot}}}}}",
        );
        world.set("LOADER_QUEUE", "off");
        let header = ["k", "lot", "n"].map(|name| format!("<c t=\"str\"><v>{name}</v></c>"));
        let row = "<c t=\"str\"><v>A</v></c><c s=\"1\"><v>45306</v></c><c><v>-1</v></c>";
        world.put("b", "use/1.xlsx", workbook(&[&header.concat(), row]));
        world.plan_with("b", &["--rejects", "back.csv"]);
        let mended = read(&world, "back.csv").replace(",-1,", ",1,");
        world.put("again", "use/1.csv", mended.as_str());
        world.apply(&world.plan("again")).ok();
        assert_eq!(
            world.rows("SELECT lot_id FROM use"),
            ["1"],
            "{ty}: {mended}"
        );
    }
}

/// Delivered as it is, with nothing mended, what was refused is refused; and what would have been stored is that.
#[test]
fn values_are_the_same_in_either_form() {
    for form in ["csv", "ndjson"] {
        let world = World::in_folder(
            "CREATE TABLE p (amt numeric(8,2) PRIMARY KEY, id int GENERATED BY DEFAULT AS IDENTITY UNIQUE); \
             INSERT INTO p VALUES (1.5); \
             CREATE TABLE t (k text PRIMARY KEY, visit text, seen date, j jsonb, note text, a int[], s text[], p int REFERENCES p (id), n int)",
            "{p: {natural_key: [amt]}, t: {natural_key: [k], on_invalid: reject, null_words: [NA], decimal_comma: true, \
              formats: ['%d.%m.%Y'], references: {p: {table: p, by: {amt: amount}}}}}",
        );
        world.set("LOADER_QUEUE", "off");
        let row = "<c t=\"str\"><v>moment</v></c><c s=\"1\"><v>45306</v></c><c s=\"1\"><v>45306</v></c><c><v>1.5</v></c><c t=\"str\"><v>x</v></c>";
        let header = ["k", "visit", "seen", "amount", "n"];
        let header = header
            .map(|name| format!("<c t=\"str\"><v>{name}</v></c>"))
            .concat();
        world.put("b", "t/1.xlsx", workbook(&[&header, row]));
        world.put(
            "b",
            "t/2.csv",
            "k,j,a,s,n\nword,\"\"\"NA\"\"\",\"[1,2]\",\"[\"\"x\"\",\"\"y\"\"]\",x\nnull,NA,,,x\n",
        );
        world.put(
            "b",
            "t/3.ndjson",
            "{\"k\": \"object\", \"note\": {\"a\": 1}}\n{\"k\": \"half\", \"note\": \"Smile \\ud83d\"}\n\
             {\"k\": \"number\", \"amount\": 1.5, \"n\": \"x\"}\n",
        );
        let back = format!("back.{form}");
        world.plan_with("b", &["--rejects", &back]);
        let mended = read(&world, &back)
            .replace(",x,", ",5,")
            .replace("\"n\":\"x\"", "\"n\":5");
        world.put("again", &format!("t/1.{form}"), mended.as_str());
        let plan = world.plan("again");
        for key in ["object", "half"] {
            let refused = plan
                .lines()
                .contains(&format!("! t k={key}: invalid_value note reject"));
            assert!(refused, "{form}: {key}: {mended}: {:?}", plan.lines());
        }
        world.apply(&plan).ok();
        assert_eq!(
            world.rows("SELECT k, visit, seen, j, a, s, p.amt, n FROM t LEFT JOIN p ON p.id = t.p ORDER BY k"),
            [
                "moment|2024-01-15|2024-01-15|∅|∅|∅|1.50|5",
                "null|∅|∅|∅|∅|∅|∅|5",
                "number|∅|∅|∅|∅|∅|1.50|5",
                "word|∅|∅|\"NA\"|{1,2}|{x,y}|∅|5",
            ],
            "{form}: {mended}"
        );
    }
}
