use super::*;
use proptest::prelude::*;

const CSV: Format = Format::Csv(delivery::Sign::COMMA);

/// One record as the tests see it.
pub(super) fn show(record: &Record<'_>) -> String {
    let fields = record.fields.iter().map(|(name, value)| match value {
        Value::Json(raw) => format!("{name}={raw}"),
        Value::Cell(cell) | Value::Number(cell) | Value::Moment(cell) => format!("{name}:{cell}"),
        Value::Blank => format!("{name}=null"),
    });
    let words: Vec<_> = fields.collect();
    words.join(" ")
}

/// Reads one byte at a time, so that every value is cut at every place.
struct Drip<'a>(&'a [u8]);

impl window::Window for (Drip<'_>, usize) {
    fn bytes(&self) -> &[u8] {
        &self.0.0[..self.1]
    }
    fn grow(&mut self) -> io::Result<bool> {
        let more = self.1 < self.0.0.len();
        self.1 += usize::from(more);
        Ok(more)
    }
    fn consume(&mut self, count: usize) {
        self.0.0 = &self.0.0[count..];
        self.1 -= count;
    }
}

pub(super) type Read = (Vec<String>, Result<Summary, String>);

fn read_with(
    read: impl FnOnce(
        &mut dyn FnMut(Record<'_>) -> Result<(), String>,
    ) -> Result<Summary, ReadError<String>>,
) -> Read {
    let mut seen = Vec::new();
    let result = read(&mut |record| {
        let line = format!("{} {}", seen.len(), show(&record));
        seen.push(line.trim_end().to_owned());
        Ok(())
    });
    (seen, result.map_err(|error| error.to_string()))
}

/// Reads `text` in every way there is, which must not differ.
pub(super) fn read(text: &[u8], delivery: &Delivery<'_>) -> Read {
    let slice = read_with(|sink| read_records_slice(text, delivery, sink));
    let stream = read_with(|sink| read_records(io::Cursor::new(text), delivery, sink));
    assert_eq!(stream, slice);
    if delivery.format == Format::Json {
        let dripping = read_with(|sink| json::read((Drip(text), 0), delivery, sink));
        assert_eq!(dripping, slice);
    }
    slice
}

#[track_caller]
fn check_of(delivery: &Delivery<'_>, text: &str, expect: &[&str]) -> Summary {
    let (seen, result) = read(text.as_bytes(), delivery);
    assert_eq!(seen, expect, "{result:?}");
    let summary = result.unwrap();
    assert_eq!(summary.records, expect.len() as u64);
    summary
}

#[track_caller]
fn check_error_of(delivery: &Delivery<'_>, text: impl AsRef<[u8]>, expect: &str) {
    assert_eq!(read(text.as_ref(), delivery).1.unwrap_err(), expect);
}

#[track_caller]
fn check(text: &str, expect: &[&str]) -> Summary {
    check_of(&Delivery::new(Format::Json), text, expect)
}

#[track_caller]
fn check_error(text: impl AsRef<[u8]>, expect: &str) {
    check_error_of(&Delivery::new(Format::Json), text, expect);
}

#[test]
fn every_shape_is_read() {
    check(r#"{"a": 1, "b": null}"#, &["0 a=1 b=null"]);
    check(
        r#" [{"a": 1}, {"a": {"b": [ 2 ]}}] "#,
        &["0 a=1", "1 a={\"b\": [ 2 ]}"],
    );
    check(
        "{\"a\": 1}\n{\"a\": 2}\r\n\n {\"a\": 3}\n",
        &["0 a=1", "1 a=2", "2 a=3"],
    );
    check("{\n\"a\": 1\n}\n{\n\"a\": 2\n}", &["0 a=1", "1 a=2"]);
    check(r#"{"fragment_id": "f", "data": {"a": 1}}"#, &["0 a=1"]);
    check(
        r#"{"table_name": "t", "records": [{"a": 1}, {"a": 2}]}"#,
        &["0 a=1", "1 a=2"],
    );
    check(
        r#"[{"data": {"a": 1}, "batch_id": "b"}, {"data": {}}]"#,
        &["0 a=1", "1"],
    );
    check(
        "{\"data\": {\"a\": 1}}\n{\"x\": 1, \"data\": {}}",
        &["0 a=1", "1"],
    );
    check(
        "[{\"records\": [{\"a\": 1}]}, {\"batch_id\": \"c\", \"records\": [{}, {\"data\": {}}]}]",
        &["0 a=1", "1", "2 data={}"],
    );
}

#[test]
fn a_record_stands_in_its_line_or_is_counted() {
    let places = |text: &str, format| {
        let mut places = Vec::new();
        let delivery = Delivery::new(format);
        let read = read_records_slice(text.as_bytes(), &delivery, &mut |record| {
            places.push(record.position);
            Ok::<_, ()>(())
        });
        assert!(read.is_ok());
        places
    };
    assert_eq!(places("{}\n\n{\n}\n{}", Format::Json), [1, 3, 5]);
    assert_eq!(
        places("\n{\"data\": {}}\n{\"data\":\n{}}", Format::Json),
        [2, 3]
    );
    assert_eq!(places("[{},\n\n{}]", Format::Json), [1, 2]);
    assert_eq!(
        places(
            "\n{\"records\": [{},\n{}]}\n{\"records\": [{}]}",
            Format::Json
        ),
        [1, 2, 3]
    );
    assert_eq!(places("a\n\n\"x\ny\"\nz\n", CSV), [3, 5]);
}

#[test]
fn nothing_is_no_record() {
    for text in [
        "",
        " \n\t\r\n",
        "[]",
        " [ ] ",
        "\u{feff}",
        r#"{"records": []}"#,
    ] {
        check(text, &[]);
    }
    check("{}", &["0"]);
    check("[{}, {}]", &["0", "1"]);
}

#[test]
fn an_envelope_is_told_by_the_type_of_what_it_holds() {
    check(
        r#"{"data": "x", "records": 5}"#,
        &["0 data=\"x\" records=5"],
    );
    check(r#"{"data": {"data": {"a": 1}}}"#, &["0 data={\"a\": 1}"]);
    check(r#"{"data": {"records": [1]}}"#, &["0 records=[1]"]);
    check(
        r#"{"batch_id": "b", "table_name": 1}"#,
        &["0 batch_id=\"b\" table_name=1"],
    );
}

#[test]
fn what_an_envelope_says_may_come_after_its_records() {
    let summary = check(
        r#"{"batch_id": "b", "records": [{}], "table_name": "t", "fragment_id": 7, "x": [1]}"#,
        &["0"],
    );
    let provenance = Provenance {
        fragment_id: Some("7".into()),
        table_name: Some("t".into()),
        batch_id: Some("b".into()),
        extracted_at: None,
        op: None,
    };
    assert_eq!(summary.provenance, provenance);
    assert_eq!(summary.disagreement("t", "b", None), None);
    assert_eq!(summary.disagreement("u", "b", None).unwrap().position, 1);
    let late = check(
        r#"[{"records": [{}, {}], "batch_id": "x"}, {"records": [{}], "batch_id": "b"}]"#,
        &["0", "1", "2"],
    );
    assert_eq!(late.disagreement("t", "b", None).unwrap().position, 1);
    assert_eq!(
        late.provenance,
        Provenance::default(),
        "of several, none is the file's"
    );
    let disagreement = late.disagreement("t", "x", None).unwrap();
    assert_eq!(
        disagreement.to_string(),
        r#"record 3: its envelope's batch_id is "b", but its path says "x""#
    );
}

/// A delivery in JSON for a table with these columns.
fn of<'a>(columns: &'a [&'a str], envelope: Option<&'a delivery::Envelope>) -> Delivery<'a> {
    Delivery {
        format: Format::Json,
        columns: Columns(columns),
        envelope,
        records: None,
        csv: &UNSAID.0,
        excel: &UNSAID.1,
        most: Most::default(),
    }
}

#[test]
fn what_the_table_has_as_columns_is_no_envelope() {
    let lims = r#"{"id": 1, "source": "lims", "data": {"id": 77}}"#;
    let whole = r#"0 id=1 source="lims" data={"id": 77}"#;
    check_of(&of(&["id", "data"], None), lims, &[whole]);
    check_of(&of(&["id", "source"], None), lims, &[whole]);
    check_of(&of(&["id"], None), lims, &[whole]);
    check_of(&of(&["site"], None), lims, &["0 id=77"]);
    let many = r#"{"id": 1, "records": [{"id": 77}]}"#;
    let whole = r#"0 id=1 records=[{"id": 77}]"#;
    check_of(&of(&["id", "records"], None), many, &[whole]);
    check_of(&of(&["id"], None), many, &[whole]);
    check_of(&of(&["site"], None), many, &["0 id=77"]);
    for both in [
        r#"{"data": [{"id": 1}], "records": [{"id": 77}]}"#,
        r#"{"records": [{"id": 77}], "data": [{"id": 1}]}"#,
        r#"{"records": [{"id": 77}], "data": {"id": 1}}"#,
    ] {
        let e = read(both.as_bytes(), &of(&["site"], None)).1.unwrap_err();
        assert!(e.contains("`data` and `records` in one object"), "{e}");
    }
    check_error_of(
        &of(&["id"], None),
        r#"{"records": [{"id": 77}], "id": 1}"#,
        "line 1, column 25: what stands beside `records` are columns of the table: whether `records` holds the \
         records is not clear; say so in tables.yaml (`envelope`)",
    );
}

#[test]
fn what_tables_yaml_says_is_the_envelope() {
    let data = delivery::Envelope::Field("data".into());
    let columns = ["id", "data"];
    let said = of(&columns, Some(&data));
    check_of(
        &said,
        r#"[{"id": 1, "data": {"id": 77}}, {"data": {"id": 78, "data": {}}}]"#,
        &["0 id=77", "1 id=78 data={}"],
    );
    check_of(
        &said,
        r#"{"x": 1, "data": [{"id": 77}], "id": 1}"#,
        &["0 id=77"],
    );
    check_error_of(
        &said,
        r#"{"id": 1, "data": 5}"#,
        "record 1, line 1, column 1: no object and no array in a field `data`, in which tables.yaml says \
         (`envelope`) that records stand",
    );
    let never = delivery::Envelope::Never;
    check_of(
        &of(&[], Some(&never)),
        r#"[{"data": {}}, {"records": [1]}, {"a": 1}]"#,
        &["0 data={}", "1 records=[1]", "2 a=1"],
    );
    let countries = delivery::Envelope::Field("3166-1".into());
    check_of(
        &of(&["id"], Some(&countries)),
        r#"{"3166-1": [{"id": "NA"}, {"id": "DE"}]}"#,
        &["0 id=\"NA\"", "1 id=\"DE\""],
    );
}

#[test]
fn the_objects_of_a_file_hold_records_alike() {
    let error = |what: &str, first: &str| {
        format!(
            "this is {what}, and what the file begins with is {first}; deliver either, or say in tables.yaml \
             (`envelope`) which it is"
        )
    };
    let (one, many) = (
        "an envelope with a record in `data`",
        "an envelope with records in `records`",
    );
    for (text, place, what, first) in [
        (
            "[{}, {\"data\": {}}]",
            "record 2, line 1, column 6",
            one,
            "a record",
        ),
        (
            "{\"data\": {}}\n{}",
            "record 2, line 2, column 1",
            "a record",
            one,
        ),
        (
            "{\"a\": 1}\n{\"records\": []}",
            "record 2, line 2, column 1",
            many,
            "a record",
        ),
        (
            "{\"records\": []}\n{\"a\": 1}",
            "record 1, line 2, column 1",
            "a record",
            many,
        ),
        (
            "[{\"records\": [{}]}, {\"data\": {}}]",
            "record 2, line 1, column 21",
            one,
            many,
        ),
    ] {
        check_error(text, &format!("{place}: {}", error(what, first)));
    }
}

#[test]
fn names_are_decoded() {
    check(r#"{"\u0061\n\ud83d\ude00é": 1}"#, &["0 a\n😀é=1"]);
    check(r#"{"dat\u0061": {"a": 1}}"#, &["0 a=1"]);
    check(r#"{"r\u0065cords": [{"a": 1}]}"#, &["0 a=1"]);
}

#[test]
fn a_byte_order_mark_is_skipped() {
    check("\u{feff}[{\"a\": 1}]", &["0 a=1"]);
    check_error(
        "{}\n\u{feff}{}",
        "record 2, line 2, column 1: expected a record (an object), found '\\u{feff}'",
    );
}

#[test]
fn what_is_no_shape_of_records_is_refused() {
    check_error(
        "5",
        "record 1, line 1, column 1: expected a record (an object), found a number",
    );
    check_error(
        "[{}, null]",
        "record 2, line 1, column 6: expected a record (an object), found null",
    );
    check_error(
        "[[{}]]",
        "record 1, line 1, column 2: expected a record (an object), found an array",
    );
    check_error(
        "{}\n\"x\"",
        "record 2, line 2, column 1: expected a record (an object), found a string",
    );
    let both = "`data` and `records` in one object: which of them holds the records is not clear; \
                say so in tables.yaml (`envelope`)";
    for text in [
        r#"{"data": {}, "records": 1}"#,
        r#"{"data": {}, "records": [{}]}"#,
        r#"{"records": [{}], "data": {}}"#,
    ] {
        let error = read(text.as_bytes(), &Delivery::new(Format::Json)).1;
        assert!(
            error.as_ref().is_err_and(|e| e.ends_with(both)),
            "{text}: {error:?}"
        );
    }
    check_error(
        r#"{"data": {}, "table_name": ["t"]}"#,
        "record 1, line 1, column 1: the envelope's table_name is not a single value",
    );
}

#[test]
fn what_is_not_json_is_refused() {
    check_error(
        "gsid,a\n1,2",
        "record 1, line 1, column 1: expected a record (an object), found 'g'",
    );
    check_error(
        "{\"a\": 1,\n \"b\": x}",
        "record 1, line 2, column 7: expected value",
    );
    check_error("{\"a\": 01}", "record 1, line 1, column 8: invalid number");
    check_error(
        "{\"a\": 1 \"b\": 2}",
        "record 1, line 1, column 9: expected `,` or `}` after the field, found a string",
    );
    check_error(
        "{\"a\": 1,}",
        "record 1, line 1, column 9: expected a field name in double quotes, found '}'",
    );
    check_error(
        "[{},]",
        "record 2, line 1, column 5: expected a record (an object), found ']'",
    );
    check_error(
        "{a: 1}",
        "record 1, line 1, column 2: expected a field name in double quotes, found 'a'",
    );
    check_error(
        "{\"a\" 1}",
        "record 1, line 1, column 6: expected `:` after the field name, found a number",
    );
    for (text, word) in [
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("-Infinity", "-Infinity"),
        ("[1, NaN]", "NaN"),
    ] {
        let column = 7 + text.find(word).unwrap();
        check_error(
            format!("{{\"a\": {text}}}"),
            &format!(
                "record 1, line 1, column {column}: {word} is no JSON; write the text \"{word}\", or null"
            ),
        );
    }
    check_error(
        b"{\"a\": \"\xff\"}",
        "record 1, line 1, column 8: invalid UTF-8",
    );
    check_error(
        b"\xff\xfe{\0}\0",
        "line 1, column 1: the file is UTF-16, and is read only as UTF-8",
    );
    check_error(
        b"\x1f\x8b\x08\0",
        "line 1, column 1: the file is compressed by gzip; let its name end in .gz",
    );
}

#[test]
fn what_is_cut_off_is_refused() {
    for text in [
        "{",
        "{\"a",
        "{\"a\"",
        "{\"a\":",
        "{\"a\": \"",
        "{\"a\": 1",
        "{\"a\": [1, {",
        "{\"a\": tr",
        "{\"a\": 1,",
    ] {
        let error = read(text.as_bytes(), &Delivery::new(Format::Json))
            .1
            .unwrap_err();
        assert!(error.contains("the text ends too early"), "{text}: {error}");
    }
    check_error(
        "[{},\n{}",
        "line 2, column 3: the text ends too early: expected `,` or `]` after the record",
    );
    check_error(
        "[{},",
        "record 2, line 1, column 5: the text ends too early: expected a record (an object)",
    );
    check_error(
        "{\"records\": [{}]",
        "line 1, column 17: the text ends too early: expected `,` or `}` after the field",
    );
}

#[test]
fn what_trails_is_refused() {
    check_error(
        "{} {}",
        "line 1, column 4: expected the end or a new line after the record, found an object",
    );
    check_error(
        "{}]",
        "line 1, column 3: expected the end or a new line after the record, found ']'",
    );
    check_error(
        "[{}]\n{}",
        "line 2, column 1: expected the end after the array, found an object",
    );
}

#[test]
fn repeated_names_are_refused() {
    check_error(
        r#"{"a": 1, "b": 2, "\u0061": 3}"#,
        "record 1, line 1, column 28: the field \"a\" is given twice",
    );
    check_error(
        "{\"data\": {}}\n{\"data\": {\"a\": 1, \"a\": 1}}",
        "record 2, line 2, column 24: the field \"a\" is given twice",
    );
    check_error(
        r#"{"x": 1, "x": 1, "data": {}}"#,
        "record 1, line 1, column 15: the field \"x\" is given twice",
    );
    check_error(
        r#"{"x": 1, "records": [], "x": 1}"#,
        "record 1, line 1, column 23: the field \"x\" is given twice",
    );
    check_error(
        r#"{"records": [{}], "records": [{}]}"#,
        "line 1, column 17: the field \"records\" is given twice",
    );
}

#[test]
fn names_that_are_no_text_are_refused() {
    check_error(
        r#"[{}, {"a\u0000": 1}]"#,
        "record 2, line 1, column 15: U+0000 in a name",
    );
    check_error(
        r#"{"\ud800": 1}"#,
        "record 1, line 1, column 9: unexpected end of hex escape",
    );
}

#[test]
fn depth_is_no_danger() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let text = format!("{{\"a\": {deep}}}\n{}", "[{\"a\":".repeat(100_000));
    let (seen, result) =
        read_with(|sink| read_records_slice(text.as_bytes(), &Delivery::new(Format::Json), sink));
    assert_eq!(seen, [format!("0 a={deep}")]);
    assert!(result.is_err());
    for nested in [
        "[",
        "{\"a\":",
        "{\"data\":",
        "{\"records\":[",
        "[{\"records\":[",
    ] {
        let text = nested.repeat(100_000);
        assert!(
            read_with(|sink| read_records_slice(
                text.as_bytes(),
                &Delivery::new(Format::Json),
                sink
            ))
            .1
            .is_err()
        );
    }
}

#[test]
fn the_sink_stops_the_reading() {
    let mut seen = 0;
    let result = read_records_slice(b"[{}, {}, {}]", &Delivery::new(Format::Json), &mut |_| {
        seen += 1;
        if seen == 2 { Err("full") } else { Ok(()) }
    });
    assert!(matches!(result, Err(ReadError::Sink("full"))));
    assert_eq!(seen, 2);
}

#[test]
fn a_reader_may_fail() {
    struct Broken(bool);
    impl io::Read for Broken {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let begun = std::mem::replace(&mut self.0, true);
            (&b"[{}, \n"[if begun { 6 } else { 0 }..])
                .read(into)
                .and_then(|count| match count {
                    0 => Err(io::Error::other("gone")),
                    count => Ok(count),
                })
        }
    }
    impl io::Seek for Broken {
        fn seek(&mut self, _: io::SeekFrom) -> io::Result<u64> {
            Err(io::Error::other("gone"))
        }
    }
    for format in [Format::Json, CSV, Format::Excel] {
        let reader = io::BufReader::new(Broken(false));
        let result = read_records(reader, &Delivery::new(format), &mut |_| Ok::<_, ()>(()));
        assert!(matches!(result, Err(ReadError::Read(_))));
    }
}

proptest! {
    #[test]
    fn records_survive_every_shape(
        rows in proptest::collection::vec(
            proptest::collection::btree_map("[a-c\\\\\"é]{0,3}", "\\PC{0,8}", 0..4), 0..5)
    ) {
        prop_assume!(rows.iter().all(|row| !row.contains_key("data") && !row.contains_key("records")));
        let expect: Vec<_> = rows.iter().enumerate().map(|(i, row)| {
            let fields: Vec<_> = row.iter()
                .map(|(name, value)| format!("{name}={}", serde_json::to_string(value).unwrap()))
                .collect();
            format!("{i} {}", fields.join(" ")).trim_end().to_owned()
        }).collect();
        let lines: Vec<_> = rows.iter().map(|row| serde_json::to_string(row).unwrap()).collect();
        let pretty: Vec<_> = rows.iter().map(|row| serde_json::to_string_pretty(row).unwrap()).collect();
        let list = lines.join(",");
        for text in [lines.join("\n"), pretty.join("\n"), format!("[{list}]"), format!("{{\"records\":[{list}]}}")] {
            let (seen, result) = read(text.as_bytes(), &Delivery::new(Format::Json));
            prop_assert_eq!(&seen, &expect);
            prop_assert_eq!(result.unwrap().records, rows.len() as u64);
        }
    }

    /// Whatever is read as one record is an object to serde_json too, and the reverse.
    #[test]
    fn what_is_json_is_what_serde_json_says(text in r#"[\[\]{}",:\\u0 \n1.e+a-]{0,30}"#) {
        let text = format!("[{{\"a\": {text}}}]");
        let ours = read(text.as_bytes(), &Delivery::new(Format::Json)).1.is_ok();
        let theirs: Result<Vec<std::collections::HashMap<String, Box<serde_json::value::RawValue>>>, _> =
            serde_json::from_str(&text);
        if ours {
            prop_assert!(theirs.is_ok(), "{}", text);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), format in prop_oneof![Just(Format::Json), Just(CSV)]) {
        let _ = read(&bytes, &Delivery::new(format));
    }
}
