use proptest::prelude::*;

use crate::record::tests::read;
use crate::record::{Columns, Delivery, Format};
use crate::table::delivery::{Csv, Sign};

/// Reads `text` in the dialect that is the JSON `csv`: what is shown of each record, or the error.
fn shown(csv: &str, text: impl AsRef<[u8]>) -> Result<Vec<String>, String> {
    let csv: Csv = serde_json::from_str(csv).map_err(|error| error.to_string())?;
    let delivery = Delivery {
        csv: &csv,
        columns: Columns(&["id"]),
        ..Delivery::new(Format::Csv(Sign::COMMA))
    };
    let (seen, result) = read(text.as_ref(), &delivery);
    let summary = result?;
    assert_eq!(summary.records, seen.len() as u64);
    Ok(seen)
}

#[track_caller]
fn check(csv: &str, text: impl AsRef<[u8]>, expect: &[&str]) {
    assert_eq!(shown(csv, text).unwrap(), expect);
}

#[track_caller]
fn check_error(csv: &str, text: impl AsRef<[u8]>, expect: &[&str]) {
    let error = shown(csv, text).unwrap_err();
    for words in expect {
        assert!(error.contains(words), "{words} is not in {error}");
    }
}

#[test]
fn cells_are_read() {
    check("{}", "id,a\n1,x\n2,\n", &["0 id:1 a:x", "1 id:2 a=null"]);
    check(
        "{}",
        "\u{feff}id,a\r\n\"1,\"\"2\",\"x\ny\"",
        &["0 id:1,\"2 a:x\ny"],
    );
    check("{}", "\u{feff}\"id\"\n1\n", &["0 id:1"]);
    check("{}", "a,b\n\"\",5\" pipe", &["0 a=null b:5\" pipe"]);
    check("{}", "a\n\n1\n\r\n2", &["0 a:1", "1 a:2"]);
    check("{}", "a,b\n\"x\r\ny\",\" 1\"\r\n", &["0 a:x\r\ny b: 1"]);
    check("{}", "a\n\0\n", &["0 a:\0"]);
    for text in ["", "\n", "a,b", "a,b\n\n", "\u{feff}"] {
        check("{}", text, &[]);
    }
}

#[test]
fn behind_a_closing_quote_a_cell_ends() {
    for (text, behind) in [
        ("id,a\n1,\"abc\"def\n", "'d'"),
        ("id,a\n1,\"3\" tube\n", "' '"),
        ("id,a\n1,\"x\"\"\"y\n", "'y'"),
        ("id,a\n1,\"x\"é\n", "'é'"),
        ("id,a\n1,\"x\"\r\"y\"\n", "'\\r'"),
    ] {
        let place = "line 2: behind the closing quote of cell 2 stands ";
        check_error("{}", text, &[place, behind]);
    }
    check_error(
        "{}",
        "id,a\n1,x\n2,\"a \\\"b\\\" c\"\n",
        &["line 3", "say `csv: {escape: \"\\\\\"}`"],
    );
    check_error(
        "{}",
        "id,a\n1, \"x\"\n",
        &["a blank before the quote of cell 2"],
    );
}

#[test]
fn an_open_quote_is_named_where_it_opens() {
    check_error(
        "{}",
        "a,b\nS1,\"tall\nS2,\"short\"\n",
        &["line 3: behind the closing quote of cell 2, which begins in line 2, stands 's'"],
    );
    for text in [
        "a,b\n1,2\n3,\"x\n4,5\n",
        "a,b\n1,2\n3,\"x\n4,\"\"5\n6",
        "a,b\n1,2\n3,\"",
    ] {
        check_error(
            "{}",
            text,
            &["line 3: a quote opens cell 2", "say `csv: {quote: false}`"],
        );
    }
    check_error("{}", "\"a", &["line 1: a quote opens cell 1"]);
    check(
        r#"{"quote": false}"#,
        "a,b\nS1,\"tall\nS2,\"short\"\n",
        &["0 a:S1 b:\"tall", "1 a:S2 b:\"short\""],
    );
}

#[test]
fn rows_and_header_fit_each_other() {
    check_error(
        "{}",
        "a,b\n1,2\n3\n",
        &["line 3: a row of 1 cells under a header of 2"],
    );
    check_error(
        "{}",
        "a,b\n1,2,3",
        &["line 2: a row of 3 cells under a header of 2"],
    );
    check_error(
        "{}",
        "a,a\n",
        &["line 1: columns 1 and 2 of the header have the same name"],
    );
    check_error(
        "{}",
        "a,\n1,2",
        &["line 1: a column of the header has no name"],
    );
    check_error(
        "{}",
        ",a\n,2\n7,3\n",
        &["line 1: a column of the header has no name"],
    );
    check_error("{}", ",\n", &["line 1: a column of the header has no name"]);
    // Spreadsheet programs save columns and rows in which something stood once.
    check(
        "{}",
        "a,b,,\n1,2,,\n,,,\n3,,,\n,,\n",
        &["0 a:1 b:2", "1 a:3 b=null"],
    );
    check("{}", "a,,b\n1,,2\n", &["0 a:1 b:2"]);
    check(
        "{\"empty\": \"text\"}",
        "a,b\n1,2\n,\n",
        &["0 a:1 b:2", "1 a: b:"],
    );
    check("{}", "a,b\n\"\",\n", &["0 a=null b=null"]);
    check_error("{}", "a,b\n1,2\na,b\n3,4\n", &["line 3: the header again"]);
    check("{}", "a,b\na,a\n", &["0 a:a b:a"]);
}

#[test]
fn a_carriage_return_alone_ends_nothing() {
    check_error(
        "{}",
        "a,b\n1,x\ry\n",
        &["line 2: a carriage return within cell 2"],
    );
    check_error("{}", "a\r1\r", &["line 1: a carriage return within cell 1"]);
    check_error("{}", "a\n1\r", &["a carriage return within cell 1"]);
}

#[test]
fn signs_are_settings() {
    check(
        r#"{"delimiter": ";"}"#,
        "a;b\n1,5;\"x;y\"\n",
        &["0 a:1,5 b:x;y"],
    );
    check(r#"{"delimiter": "\t"}"#, "a\tb\n1\t\n", &["0 a:1 b=null"]);
    check(
        r#"{"quote": "'"}"#,
        "a,b\n'x,''y',\"z\"\n",
        &["0 a:x,'y b:\"z\""],
    );
    check(
        r#"{"escape": "\\"}"#,
        "a,b\n\"x \\\"y\\\\\",\\N\n\"\"\"\",c\\d\n",
        &["0 a:x \"y\\ b:\\N", "1 a:\" b:c\\d"],
    );
    check(
        r#"{"escape": "\\"}"#,
        "a\n\"O\\'Hare, é\"\n",
        &["0 a:O'Hare, é"],
    );
    check_error(
        r#"{"escape": "\\"}"#,
        "a\n\"C:\\new\"\n",
        &["line 2", "only quotes and other signs can be escaped"],
    );
    check_error(r#"{"escape": "\\"}"#, "a\n\"x\\", &["a quote opens cell 1"]);
    for wrong in [
        r#"{"delimiter": "ab"}"#,
        r#"{"delimiter": "é"}"#,
        r#"{"quote": "\n"}"#,
        r#"{"escape": "x"}"#,
    ] {
        check_error(wrong, "", &["is not one ASCII character"]);
    }
    check_error(
        r#"{"quote": true}"#,
        "",
        &["false, or the character that stands around cells"],
    );
    check_error(r#"{"delimter": ";"}"#, "", &["unknown field"]);
}

#[test]
fn what_stands_around_the_rows_is_a_setting() {
    check(
        r#"{"header": ["a", "b"]}"#,
        "1,2\n3,4\n",
        &["0 a:1 b:2", "1 a:3 b:4"],
    );
    check_error(
        r#"{"header": ["a", "b"]}"#,
        "a,b\n3,4\n",
        &["line 1: the header again"],
    );
    check(
        r#"{"skip": 2}"#,
        "Export of \"1 May\nby hand\na,b\n1,2\n",
        &["0 a:1 b:2"],
    );
    check(
        r##"{"comment": "#", "skip": 1}"##,
        "title\n# one\na,b\n#two, 3\n1,#2\n# \"",
        &["0 a:1 b:#2"],
    );
    check(r#"{"skip": 5}"#, "a,b\n1,2\n", &[]);
}

#[test]
fn empty_cells_are_null_or_text() {
    let text = "a,b\n,\"\"\n";
    check("{}", text, &["0 a=null b=null"]);
    check(r#"{"empty": "quoted"}"#, text, &["0 a=null b:"]);
    check(r#"{"empty": "text"}"#, text, &["0 a: b:"]);
}

#[test]
fn encodings_are_settings() {
    let latin = b"a,b\ncaf\xe9,\x80\n";
    check(r#"{"encoding": "latin-1"}"#, latin, &["0 a:café b:€"]);
    check(r#"{"encoding": "windows-1252"}"#, latin, &["0 a:café b:€"]);
    check_error(
        "{}",
        latin,
        &["line 2: cell 1 is not UTF-8", "encoding: latin-1"],
    );
    // The last byte of one cell and the first of the next are no letter.
    for split in [
        &b"a,b\nIRM\xc3,\xabx\n"[..],
        b"a,b\n\"IRM\xc3\",\"\xabx\"\n",
    ] {
        check_error("{}", split, &["line 2: cell 1 is not UTF-8"]);
        check(r#"{"encoding": "latin-1"}"#, split, &["0 a:IRMÃ b:«x"]);
    }
    let utf16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let text = "a,b\n\"é\",😀\n";
    for marked in [utf16(text), utf16(&format!("\u{feff}{text}"))] {
        check(r#"{"encoding": "utf-16le"}"#, &marked, &["0 a:é b:😀"]);
        check_error("{}", &marked, &["the file is UTF-16", "encoding: utf-16le"]);
    }
    check_error(
        r#"{"encoding": "utf-16be"}"#,
        utf16(&format!("\u{feff}{text}")),
        &["byte order mark of UTF-16LE", "says UTF-16BE"],
    );
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    check(r#"{"encoding": "utf-16be"}"#, &big, &["0 a:é b:😀"]);
    check_error("{}", &big, &["encoding: utf-16be"]);
    check_error(
        r#"{"encoding": "utf-16le"}"#,
        &utf16(text)[..utf16(text).len() - 1],
        &["what stands before byte", "is not UTF-16LE"],
    );
    check_error(r#"{"encoding": "latin1337"}"#, "", &["is not an encoding"]);
    let large = format!("a\n{}", "é,\"\n".repeat(200_000));
    let csv = r#"{"encoding": "utf-16le", "quote": false, "header": ["a", "b"], "skip": 1}"#;
    assert_eq!(shown(csv, utf16(&large)).unwrap().len(), 200_000);
}

#[test]
fn another_dialect_is_told_by_the_setting_for_it() {
    check_error(
        "{}",
        "id;name\n1;x\n",
        &["the header is one cell", "say `csv: {delimiter: ';'}`"],
    );
    check_error("{}", "id\tname\n", &["say `csv: {delimiter: '\\t'}`"]);
    check_error(
        r#"{"delimiter": ";"}"#,
        "id,name\n",
        &["say `csv: {delimiter: ','}`"],
    );
    check_error(
        "{}",
        "Title\nid,a\n1,2\n",
        &["a row of 2 cells under a header of 1", "csv: {skip: 1}"],
    );
    check_error("{}", b"\x1f\x8b\x08\0", &["compressed by gzip"]);
    check_error("{}", b"PK\x03\x04....", &["an Excel workbook"]);
}

/// A cell as a strict writer writes it.
fn quoted(cell: &str) -> String {
    format!("\"{}\"", cell.replace('"', "\"\""))
}

proptest! {
    #[test]
    fn cells_survive(rows in proptest::collection::vec(("[^\0]{1,6}", "[a,\"\n\r é]{1,6}"), 0..5)) {
        let text: String = rows.iter().map(|(a, b)| format!("{},{}\r\n", quoted(a), quoted(b))).collect();
        let expect: Vec<_> = rows.iter().enumerate()
            .map(|(i, (a, b))| format!("{i} x:{a} y:{b}").trim_end().to_owned()).collect();
        prop_assume!(rows.iter().all(|(a, b)| (a.as_str(), b.as_str()) != ("x", "y")));
        prop_assert_eq!(shown("{}", format!("x,y\n{text}")).unwrap(), expect);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b','), Just(b'\n'), Just(b'\r'), Just(b'\\'), any::<u8>()], 0..60)) {
        for csv in ["{}", r#"{"escape": "\\", "encoding": "latin-1"}"#, r#"{"encoding": "utf-16le", "comment": ","}"#] {
            let _ = shown(csv, &bytes);
        }
    }
}
