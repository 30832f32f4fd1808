//! What a delivery may look like, and that each record in it is stored as it was sent.

use crate::support::World;

fn world(columns: &str, table: &str) -> World {
    let world = World::new(
        &format!("CREATE TABLE t (id int PRIMARY KEY, {columns})"),
        &format!("t: {{natural_key: [id]{table}}}"),
    );
    world.set("LOADER_QUEUE", "off");
    world
}

#[test]
fn a_column_of_the_table_is_no_envelope() {
    let lims = r#"{"id": 1, "source": "lims", "data": {"id": 77}}"#;
    let kept = ["1|lims|{\"id\": 77}"];
    let world = world("source text, data jsonb", "");
    world.put("b", "t/1.json", lims);
    world.apply(&world.plan("b")).ok();
    assert_eq!(world.rows("SELECT id, source, data FROM t"), kept);

    world.configure("t: {natural_key: [id], envelope: data}");
    world.put("c", "t/1.json", lims);
    assert_eq!(world.plan("c").lines(), ["+ t id=77"]);
    world.configure("t: {natural_key: [id], envelope: true}");
    world
        .try_plan("c", &[])
        .exits(1)
        .says("false, or the name of the field that holds the record or the records");
}

#[test]
fn fields_of_a_record_beside_it_are_no_envelope() {
    let world = world("source text", "");
    let lims = r#"{"id": 1, "source": "lims", "data": {"id": 77}}"#;
    world.put("b", "t/1.json", lims);
    world.try_plan("b", &["--out", "plan.json"]).ok();
    let shown = world.loader(&["show", "plan.json"]).ok().stdout;
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains("`envelope: data` in tables.yaml"), "{shown}");
    world.configure("t: {natural_key: [id], envelope: data}");
    assert_eq!(world.plan("b").lines(), ["+ t id=77"]);
    world.configure("t: {natural_key: [id], envelope: false, ignore_fields: [data]}");
    assert_eq!(world.plan("b").lines(), ["+ t id=1: source=\"lims\""]);
}

#[test]
fn records_with_and_without_envelope_do_not_mix() {
    let world = world("v text", "");
    world.put("b", "t/1.ndjson", "{\"id\": 1}\n{\"data\": {\"id\": 2}}\n");
    world
        .try_plan("b", &[])
        .exits(1)
        .says("staging/b/t/1.ndjson: record 2, line 2")
        .says("tables.yaml (`envelope`)");
}

#[test]
fn a_wrapper_of_any_name_is_a_setting() {
    let world = world("v text", ", envelope: 3166-1");
    world.put(
        "b",
        "t/1.json",
        r#"{"3166-1": [{"id": 1, "v": "NA"}, {"id": 2}]}"#,
    );
    assert_eq!(world.plan("b").lines(), ["+ t id=1: v=\"NA\"", "+ t id=2"]);
}

/// The rows of `t` after a delivery of `content` under `name`, with `table` as its settings.
#[track_caller]
fn loaded(columns: &str, table: &str, name: &str, content: impl Into<Vec<u8>>) -> Vec<String> {
    let world = world(columns, table);
    world.put("b", name, content);
    world.apply(&world.plan("b")).ok();
    world.rows("SELECT t::text FROM t ORDER BY 1")
}

#[test]
fn an_empty_cell_is_the_default_where_null_cannot_be() {
    let world = world("n int NOT NULL DEFAULT 7, v text", "");
    world.sql("INSERT INTO t VALUES (2, 5, 'old')");
    world.put("b", "t/1.csv", "id,n,v\n1,,x\n2,,new\n");
    world.apply(&world.plan("b")).ok();
    assert_eq!(
        world.rows("SELECT t::text FROM t ORDER BY 1"),
        ["(1,7,x)", "(2,5,new)"]
    );
    world.put("c", "t/1.json", r#"{"id": 3, "n": null}"#);
    assert_eq!(world.plan("c").lines(), ["! t id=3: null_value n block"]);
    world.configure("t: {natural_key: [id], conflict_resolution: replace}");
    world.put("d", "t/1.csv", "id,n,v\n2,,\n4,,y\n");
    assert_eq!(
        world.plan("d").lines(),
        ["! t id=2: null_value n block", "+ t id=4: v=\"y\""]
    );
    world.put("e", "t/1.csv", "id,n,v\n4,,y\n");
    world.apply(&world.plan("e")).ok();
    assert_eq!(
        world.rows("SELECT t::text FROM t WHERE id = 4"),
        ["(4,7,y)"]
    );
}

/// What `plan` says of a delivery that cannot be read.
#[track_caller]
fn refused(name: &str, content: impl Into<Vec<u8>>, says: &str) {
    let world = world("v text", "");
    world.put("b", name, content);
    world
        .try_plan("b", &[])
        .exits(1)
        .says(&format!("staging/b/{name}: "))
        .says("line ")
        .says(says);
}

#[test]
fn csv_that_is_not_clear_is_refused_with_its_line() {
    refused(
        "t/1.csv",
        "id,v\n1,\"tall\n2,\"short\"\n",
        "cell 2, which begins in line 2",
    );
    refused(
        "t/1.csv",
        "id,v\n1,\"abc\"def\n",
        "behind the closing quote",
    );
    refused(
        "t/1.csv",
        "id,v\n1,\"3\" tube\n",
        "behind the closing quote",
    );
    refused("t/1.csv", "id,v\n1,x\nid,v\n2,y\n", "the header again");
    refused("t/1.csv", "id,v\n1,\"a \\\"b\\\"\"\n", "csv: {escape:");
    refused("t/1.csv", "id;v\n1;x\n", "csv: {delimiter: ';'}");
    refused(
        "t/1.csv",
        b"\x1f\x8b\x08\0".as_slice(),
        "compressed by gzip",
    );
    refused("t/1.json", "{\"id\": NaN}", "NaN is no JSON");
}

#[test]
fn each_dialect_loads_by_settings_alone() {
    assert_eq!(
        loaded(
            "v text",
            ", csv: {delimiter: ';', encoding: latin-1}",
            "t/1.csv",
            b"id;v\n1;caf\xe9\n".as_slice()
        ),
        ["(1,café)"]
    );
    assert_eq!(
        loaded("v text", "", "t.tsv", "id\tv\n1\ta,b\n"),
        ["(1,\"a,b\")"]
    );
    assert_eq!(
        loaded(
            "v text, w text",
            ", csv: {extensions: [dat], header: [id, v, w], escape: \"\\\\\"}",
            "t.dat",
            "1,\"a \\\"b\\\"\",\\N\n"
        ),
        ["(1,\"a \"\"b\"\"\",\"\\\\N\")"]
    );
    assert_eq!(
        loaded(
            "v text",
            ", csv: {skip: 1, comment: '#', empty: text}",
            "t/1.csv",
            "Title\n# by hand\nid,v\n1,\n"
        ),
        ["(1,\"\")"]
    );
    let utf16: Vec<u8> = "\u{feff}id,v\r\n1,é\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(
        loaded("v text", ", csv: {encoding: utf-16le}", "t/1.csv", utf16),
        ["(1,é)"]
    );
}

#[test]
fn settings_of_a_dialect_are_checked_with_their_place() {
    let world = world("v text", "");
    for (setting, says) in [
        ("csv: {delimter: x}", "unknown field `delimter`"),
        ("csv: {delimiter: xx}", "is not one ASCII character"),
        ("csv: {encoding: ebcdic}", "\"ebcdic\" is not an encoding"),
        ("excel: {sheet: [1]}", "expected a string"),
    ] {
        world.configure(&format!("t:\n  natural_key: [id]\n  {setting}\n"));
        world.put("b", "t/1.json", "{}");
        world.try_plan("b", &[]).exits(1).says(says).says("line 3");
    }
}

#[test]
fn a_format_says_all_of_a_day_or_an_hour() {
    let world = world("v time", ", formats: [\"%I:%M\"]");
    world.put("b", "t/1.csv", "id,v\n1,03:15\n");
    world.try_plan("b", &[]).exits(1).says(
        "%I:%M does not say all of a day or an hour: 01:45, which it writes, is read as another",
    );
    world.configure("t: {natural_key: [id], formats: [\"%I:%M %p\"]}");
    world.put("c", "t/1.csv", "id,v\n1,03:15 PM\n");
    assert_eq!(world.plan("c").lines(), ["+ t id=1: v=\"15:15:00\""]);
}

/// A workbook with one sheet: its rows, each of cells in XML.
pub fn workbook(rows: &[&str]) -> Vec<u8> {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let rows: Vec<String> = (rows.iter().enumerate())
        .map(|(i, cells)| format!("<row r=\"{}\">{cells}</row>", i + 1))
        .collect();
    for (name, content) in [
        ("xl/workbook.xml", "<workbook><sheets><sheet name=\"s\" r:id=\"a\"/></sheets></workbook>".to_owned()),
        (
            "xl/_rels/workbook.xml.rels",
            "<Relationships><Relationship Id=\"a\" Type=\"x/worksheet\" Target=\"worksheets/s.xml\"/>\
             <Relationship Id=\"b\" Type=\"x/styles\" Target=\"styles.xml\"/></Relationships>"
                .to_owned(),
        ),
        (
            "xl/styles.xml",
            "<styleSheet><cellXfs><xf numFmtId=\"0\"/><xf numFmtId=\"14\"/></cellXfs></styleSheet>".to_owned(),
        ),
        (
            "xl/worksheets/s.xml",
            format!("<worksheet><sheetData>{}</sheetData></worksheet>", rows.concat()),
        ),
    ] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn a_workbook_is_a_delivery() {
    let text =
        |at: &str, text: &str| format!("<c r=\"{at}\" t=\"inlineStr\"><is><t>{text}</t></is></c>");
    let header = text("A1", "id") + &text("B1", "n") + &text("C1", "d");
    let row = "<c r=\"A3\"><v>1</v></c><c r=\"B3\"><v>48.053808600000004</v></c><c r=\"C3\" s=\"1\"><v>45306</v></c>";
    let world = world("n numeric, d date", "");
    world.put("b", "t.xlsx", workbook(&[&header, "", row]));
    let plan = world.plan("b");
    assert_eq!(plan.entries()[0]["from"][0], "staging/b/t.xlsx#3");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT t::text FROM t"),
        ["(1,48.0538086,2024-01-15)"]
    );
    world.put(
        "c",
        "t.xlsx",
        workbook(&[&header, "<c r=\"A2\" t=\"e\"><v>#N/A</v></c>"]),
    );
    world
        .try_plan("c", &[])
        .exits(1)
        .says("staging/c/t.xlsx: A2: the error #N/A");
}

#[test]
fn numbers_and_dates_of_a_workbook_are_spelled_by_no_setting() {
    let text =
        |at: &str, text: &str| format!("<c r=\"{at}\" t=\"inlineStr\"><is><t>{text}</t></is></c>");
    let header = text("A1", "id") + &text("B1", "n") + &text("C1", "d");
    let values =
        "<c r=\"A2\"><v>1</v></c><c r=\"B2\"><v>48.05</v></c><c r=\"C2\" s=\"1\"><v>45296</v></c>";
    let texts = text("A3", "2") + &text("B3", "48,05") + &text("C3", "2024-06-01");
    let settings = ", decimal_comma: true, formats: [\"%Y-%d-%m\"]";
    let world = world("n numeric, d date", settings);
    world.put("b", "t.xlsx", workbook(&[&header, values, &texts]));
    world.apply(&world.plan("b")).ok();
    assert_eq!(
        world.rows("SELECT t::text FROM t ORDER BY 1"),
        ["(1,48.05,2024-01-05)", "(2,48.05,2024-01-06)"]
    );
}

#[test]
fn a_file_that_seems_to_be_utf_8_is_told() {
    for (bytes, told) in [
        ("id,v\n1,nüchtern\n".as_bytes(), true),
        (b"id,v\n1,n\xfcchtern\n", false),
        (b"id,v\n1,n\xc3\xbc\xfcchtern\n", false),
        (b"id,v\n1,plain\n", false),
        (b"id,v\n1,cut\xc3", false),
    ] {
        let world = World::new(
            "CREATE TABLE t (id int PRIMARY KEY, v text)",
            "t: {natural_key: [id], csv: {encoding: windows-1252}}",
        );
        world.deliver("b", "t/1.csv", bytes);
        let plan = world.plan("b");
        assert_eq!(
            plan.text.contains("t/1.csv is read as windows-1252, as `csv: {encoding: …}` says, and seems to be UTF-8"),
            told,
            "{}",
            plan.text
        );
    }
}

/// A pointer to the records may go through arrays (RFC 6901).
#[test]
fn records_may_stand_in_an_element_of_an_array() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY)",
        "t: {natural_key: [id], records: /1/items/0}",
    );
    world.deliver(
        "b",
        "t/1.json",
        r#"[{"items": [[{"id": 9}]]}, {"items": [[{"id": 1}, {"id": 2}], 5]}, null]"#,
    );
    assert_eq!(world.plan("b").lines(), ["+ t id=1", "+ t id=2"]);
    world.deliver("c", "t/1.json", r#"[{"items": [[]]}]"#);
    world
        .try_plan("c", &[])
        .exits(1)
        .says("no element 1 in the array before this");
    world.configure("t: {natural_key: [id], records: /1}");
    world.deliver("d", "t/1.json", r#"{"0": [], "1": [{"id": 3}]}"#);
    assert_eq!(world.plan("d").lines(), ["+ t id=3"]);
}

/// What is said beside an array of records of what they are for, and of when, holds for them as in an envelope.
#[test]
fn what_stands_beside_the_records_is_heeded() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b')",
        "t: {natural_key: [id], records: /result/items, on_older: reject, limits: {delete: 5}}",
    );
    let deliver = |batch: &str, content: &str| {
        world.deliver(
            batch,
            "t/1.json",
            format!(r#"{{"op": "none", "result": {{{content}}}}}"#),
        );
    };
    deliver(
        "b",
        r#""extracted_at": "2025-01-01T00:00:00Z", "batch_id": "theirs", "items": [{"id": 2, "v": "new"}]"#,
    );
    let plan = world.plan("b");
    assert_eq!(plan.lines(), [r#"~ t id=2: v="b"→"new""#]);
    world.apply(&plan).ok();
    deliver(
        "c",
        r#""items": [{"id": 2, "v": "old"}], "extracted_at": "2024-01-01T00:00:00Z""#,
    );
    assert_eq!(
        world.plan("c").lines(),
        ["! t id=2: older_record extracted_at reject"]
    );
    deliver("d", r#""op": "delete", "items": [{"id": 1, "v": "x"}]"#);
    assert_eq!(world.plan("d").lines(), [r#"- t id=1: v="a""#]);
    deliver("e", r#""items": [{"id": 1, "v": "x"}], "op": "delete""#);
    world
        .try_plan("e", &[])
        .exits(1)
        .says("it must stand before the records");
    deliver("f", r#""op": "replace", "items": [{"id": 1, "v": "x"}]"#);
    world
        .try_plan("f", &[])
        .exits(1)
        .says("which is none of upsert, delete");
}

/// An empty cell that is said to be a text is no JSON, and a number of JSON is what a cell of its digits would be.
#[test]
fn texts_and_numbers_are_read_as_their_columns_say() {
    let world = World::new(
        "CREATE TABLE t (id int PRIMARY KEY, j jsonb, b bytea)",
        "t: {natural_key: [id], on_invalid: reject, bytes: hex, csv: {empty: quoted}}",
    );
    world.deliver("b", "t/1.csv", "id,j,b\n1,\"\",\n2,\"\"\"\"\"\",10\n");
    world.deliver(
        "b",
        "t/2.json",
        r#"[{"id": 3, "b": 10}, {"id": 4, "b": "10"}]"#,
    );
    let plan = world.plan("b");
    assert!(
        plan.lines()
            .contains(&"! t id=1: invalid_value j reject".to_owned()),
        "{:?}",
        plan.lines()
    );
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT id, j, b FROM t ORDER BY id"),
        ["2|\"\"|\\x10", "3|∅|\\x10", "4|∅|\\x10"]
    );
}
