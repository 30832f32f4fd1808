use std::io::{Cursor, Write};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::cell_name;
use crate::record::tests::read;
use crate::record::{Delivery, Format, Most, Record, read_records_slice};
use crate::table::delivery::Excel;

/// A workbook of these sheets: each with its name and what stands in its XML.
fn workbook(sheets: &[(&str, &str)]) -> Vec<u8> {
    with(sheets, "", "")
}

fn with(sheets: &[(&str, &str)], properties: &str, texts: &str) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut part = |name: &str, content: &str| {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    };
    let (mut listed, mut related) = (String::new(), String::new());
    for (i, (name, content)) in sheets.iter().enumerate() {
        listed += &format!("<sheet name=\"{name}\" sheetId=\"{i}\" r:id=\"r{i}\"/>");
        related += &format!(
            "<Relationship Id=\"r{i}\" Type=\"x/worksheet\" Target=\"worksheets/s{i}.xml\"/>"
        );
        part(
            &format!("xl/worksheets/s{i}.xml"),
            &format!("<?xml version=\"1.0\"?><worksheet>{content}</worksheet>"),
        );
    }
    part(
        "xl/workbook.xml",
        &format!("<workbook>{properties}<sheets>{listed}</sheets></workbook>"),
    );
    part(
        "xl/_rels/workbook.xml.rels",
        &format!(
            "<Relationships>{related}<Relationship Id=\"t\" Type=\"x/sharedStrings\" Target=\"/xl/sharedStrings.xml\"/>\
             <Relationship Id=\"f\" Type=\"x/styles\" Target=\"styles.xml\"/></Relationships>"
        ),
    );
    part("xl/sharedStrings.xml", &format!("<sst>{texts}</sst>"));
    // Styles 1 to 5: a built-in date, two of its own, an elapsed time, and a number with letters.
    part(
        "xl/styles.xml",
        "<styleSheet><numFmts><numFmt numFmtId=\"164\" formatCode=\"yyyy\\-mm\\-dd hh:mm\"/>\
         <numFmt numFmtId=\"165\" formatCode=\"[$-409]h:mm AM/PM;@\"/><numFmt numFmtId=\"166\" formatCode=\"[h]:mm\"/>\
         <numFmt numFmtId=\"167\" formatCode=\"#,##0.00 &quot;days&quot;\"/></numFmts><cellStyleXfs><xf numFmtId=\"14\"/></cellStyleXfs>\
         <cellXfs><xf numFmtId=\"0\"/><xf numFmtId=\"14\"/><xf numFmtId=\"164\"/><xf numFmtId=\"165\"/>\
         <xf numFmtId=\"166\"/><xf numFmtId=\"167\"/></cellXfs></styleSheet>",
    );
    zip.finish().unwrap().into_inner()
}

/// A sheet of these rows, each of cells in XML from column A on.
fn sheet(rows: &[&str]) -> String {
    let rows: Vec<String> = rows
        .iter()
        .enumerate()
        .map(|(i, cells)| format!("<row r=\"{}\">{cells}</row>", i + 1))
        .collect();
    format!("<sheetData>{}</sheetData>", rows.concat())
}

fn text(reference: &str, text: &str) -> String {
    format!("<c r=\"{reference}\" t=\"inlineStr\"><is><t>{text}</t></is></c>")
}

fn number(reference: &str, style: usize, number: &str) -> String {
    format!("<c r=\"{reference}\" s=\"{style}\"><v>{number}</v></c>")
}

fn shown(excel: &Excel, bytes: &[u8]) -> Result<Vec<String>, String> {
    let delivery = Delivery {
        excel,
        ..Delivery::new(Format::Excel)
    };
    let (seen, result) = read(bytes, &delivery);
    assert_eq!(result?.records, seen.len() as u64);
    Ok(seen)
}

#[track_caller]
fn check(bytes: &[u8], expect: &[&str]) {
    assert_eq!(shown(&Excel::default(), bytes).unwrap(), expect);
}

#[track_caller]
fn check_error(bytes: &[u8], expect: &str) {
    let error = shown(&Excel::default(), bytes).unwrap_err();
    assert!(error.contains(expect), "{error}");
}

/// A workbook with the header `a`, `b` and one cell in B2.
fn one(cell: &str) -> Vec<u8> {
    let header = text("A1", "a") + &text("B1", "b");
    workbook(&[("s", &sheet(&[&header, &(text("A2", "x") + cell)]))])
}

#[test]
fn columns_have_letters() {
    for (column, name) in [
        (0, "A1"),
        (25, "Z1"),
        (26, "AA1"),
        (701, "ZZ1"),
        (702, "AAA1"),
    ] {
        assert_eq!(cell_name(column, 1), name);
    }
}

#[test]
fn rows_are_records_and_stand_where_they_stand() {
    let rows = [
        text("A1", "id") + &text("C1", "v"),
        number("A2", 0, "1") + &text("C2", "é &amp; &lt;&#x41;_x000D_ _x005F_x000D_"),
        String::new(),
        "<c r=\"A4\" s=\"1\"/>".to_owned(),
        text("A5", "2"),
    ];
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let book = workbook(&[("s", &sheet(&rows))]);
    check(&book, &["0 id:1 v:é & <A\r _x000D_", "1 id:2 v=null"]);
    let mut places = Vec::new();
    let delivery = Delivery::new(Format::Excel);
    read_records_slice(&book, &delivery, &mut |record| {
        places.push(record.position);
        Ok::<_, ()>(())
    })
    .unwrap();
    assert_eq!(places, [2, 5]);
    check(&workbook(&[("s", "")]), &[]);
}

#[test]
fn numbers_keep_every_digit() {
    for given in [
        "0.1",
        "0.30000000000000004",
        "12345678901234567890.12345678901234567890",
        "1E-3",
        "-0",
    ] {
        check(
            &one(&number("B2", 0, given)),
            &[&format!("0 a:x b:{given}")],
        );
        check(
            &one(&number("B2", 5, given)),
            &[&format!("0 a:x b:{given}")],
        );
    }
}

#[test]
fn numbers_are_those_that_were_typed() {
    // As Excel writes them: all digits of the double.
    for (written, typed) in [
        ("1.1000000000000001", "1.1"),
        ("7.0000000000000007E-2", "0.07"),
        ("-4.3499999999999996", "-4.35"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("1.2300000000000001E-9", "1.23E-9"),
        ("1.0000000000000001E+22", "1.0000000000000001E+22"),
        ("9.9999999999999992E+22", "1E23"),
        ("123456789012345.67", "123456789012345.67"),
        // No digits of a double.
        ("1.10000000000000011", "1.10000000000000011"),
        ("1234567890123456.7", "1234567890123456.7"),
        ("12345678901234567", "12345678901234567"),
    ] {
        check(
            &one(&number("B2", 0, written)),
            &[&format!("0 a:x b:{typed}")],
        );
    }
}

#[test]
fn dates_are_numbers_with_a_format() {
    for (style, given, expect) in [
        (1, "45306", "2024-01-15"),
        (1, "45306.5", "2024-01-15T12:00:00"),
        (2, "45306.604421296296", "2024-01-15T14:30:22"),
        (2, "45306.000001", "2024-01-15T00:00:00.086400"),
        (2, "45305.9999999999", "2024-01-15"),
        (3, "0.604421296296", "14:30:22"),
        (1, "1", "1900-01-01"),
        (1, "59", "1900-02-28"),
        (1, "61", "1900-03-01"),
        (4, "1.25", "30:00:00"),
        (4, "0.5", "12:00:00"),
        (0, "45306", "45306"),
    ] {
        check(
            &one(&number("B2", style, given)),
            &[&format!("0 a:x b:{expect}")],
        );
    }
    check_error(
        &one(&number("B2", 1, "60")),
        "B2: the cell is formatted as a date, and its number is no date of a workbook",
    );
    check_error(
        &one(&number("B2", 1, "-1")),
        "B2: the cell is formatted as a date, and its number is no date of a workbook",
    );
    // Without its style a date would be a number.
    for (style, expect) in [
        ("99", "B2: a style that is not there: 99"),
        ("one", "B2 is no number"),
    ] {
        let cell = format!("<c r=\"B2\" s=\"{style}\"><v>45306</v></c>");
        check_error(&one(&cell), expect);
    }
    let header = text("A1", "a");
    let rows = sheet(&[&header, &number("A2", 1, "43844")]);
    let book = with(&[("s", &rows)], "<workbookPr date1904=\"1\"/>", "");
    check(&book, &["0 a:2024-01-15"]);
}

#[test]
fn every_kind_of_cell_has_a_value_or_is_refused() {
    for (cell, expect) in [
        ("<c r=\"B2\" t=\"b\"><v>1</v></c>", "b:true"),
        ("<c r=\"B2\" t=\"str\"><f>A1</f><v>x</v></c>", "b:x"),
        ("<c r=\"B2\" t=\"str\"><f>A1</f><v></v></c>", "b=null"),
        ("<c r=\"B2\"><f>1+1</f><v>2</v></c>", "b:2"),
        ("<c r=\"B2\" t=\"d\"><v>2024-01-15</v></c>", "b:2024-01-15"),
        ("<c t=\"b\"><v>0</v></c>", "b:false"),
        ("<c r=\"B2\" t=\"b\"><v>true</v></c>", "b:true"),
        ("<c r=\"B2\" t=\"b\"><v>false</v></c>", "b:false"),
        ("<c r=\"B2\" t=\"b\"><v></v></c>", "b=null"),
        (
            "<c r=\"B2\" t=\"inlineStr\"><is><r><t>a</t></r><r><t>b</t></r><rPh><t>c</t></rPh></is></c>",
            "b:ab",
        ),
    ] {
        check(&one(cell), &[&format!("0 a:x {expect}")]);
    }
    check_error(
        &one("<c r=\"B2\"><f>1+1</f></c>"),
        "B2: a formula without a stored value",
    );
    for empty in ["<v></v>", "<v/>", "<v> </v>"] {
        for kind in ["", " t=\"n\"", " t=\"b\""] {
            check_error(
                &one(&format!("<c r=\"B2\"{kind}><f>1+1</f>{empty}</c>")),
                "B2: a formula without a stored value",
            );
        }
    }
    check_error(
        &one("<c r=\"B2\" t=\"e\"><v>#N/A</v></c>"),
        "B2: the error #N/A",
    );
    check_error(
        &one("<c r=\"B2\" t=\"s\"><v>7</v></c>"),
        "B2: there is no shared text 7",
    );
    check_error(
        &one("<c r=\"A2\"><v>7</v></c>"),
        "the cell A2 in row 2 is out of its place",
    );
    check_error(
        &one(&text("C2", "y")),
        "C2: a value stands in a column without a name",
    );
    let rows = sheet(&[
        "<c r=\"A1\" t=\"s\"><v>1</v></c>",
        "<c r=\"A2\" t=\"s\"><v>0</v></c>",
    ]);
    let texts = "<si><t xml:space=\"preserve\"> x </t></si><si><r><t>a</t></r><r><t>b</t></r><rPh><t>c</t></rPh></si>";
    check(&with(&[("s", &rows)], "", texts), &["0 ab: x"]);
}

#[test]
fn no_row_is_lost() {
    let rows = sheet(&[&text("A1", "a"), &text("A2", "x")]);
    let merged = format!("{rows}<mergeCells><mergeCell ref=\"A2:A5\"/></mergeCells>");
    check_error(&workbook(&[("s", &merged)]), "the cells A2:A5 are merged");
    let both = [("one", rows.as_str()), ("two", rows.as_str())];
    check_error(
        &workbook(&both),
        "several sheets have cells: [\"one\", \"two\"]; say which is meant: `excel: {sheet: \"one\"}`",
    );
    check(
        &workbook(&[("one", "<sheetData/>"), ("two", &rows)]),
        &["0 a:x"],
    );
    let two = Excel {
        sheet: Some("two".into()),
        ..Excel::default()
    };
    assert_eq!(shown(&two, &workbook(&both)).unwrap(), ["0 a:x"]);
    let none = Excel {
        sheet: Some("three".into()),
        ..Excel::default()
    };
    let error = shown(&none, &workbook(&both)).unwrap_err();
    assert!(error.contains("there is no sheet \"three\""), "{error}");
    let hidden = rows.replace("<row r=\"2\">", "<row r=\"2\" hidden=\"1\">");
    check(&workbook(&[("s", &hidden)]), &["0 a:x"]);
    let again = sheet(&[&text("A1", "a"), &text("A2", "x"), &text("A3", "a")]);
    check_error(&workbook(&[("s", &again)]), "row 3: the header again");
    let twice = sheet(&[&(text("A1", "a") + &text("B1", "a"))]);
    check_error(
        &workbook(&[("s", &twice)]),
        "A1 and B1 of the header have the same name",
    );
}

#[test]
fn what_stands_around_the_rows_is_a_setting() {
    let rows = sheet(&[&text("A1", "Title"), &text("A2", "a"), &text("A3", "x")]);
    let title = format!("{rows}<mergeCells><mergeCell ref=\"A1:F1\"/></mergeCells>");
    let skip = Excel {
        skip: 1,
        ..Excel::default()
    };
    assert_eq!(
        shown(&skip, &workbook(&[("s", &title)])).unwrap(),
        ["0 a:x"]
    );
    let named = Excel {
        skip: 2,
        header: vec!["v".into()],
        ..Excel::default()
    };
    assert_eq!(
        shown(&named, &workbook(&[("s", &rows)])).unwrap(),
        ["0 v:x"]
    );
}

#[test]
fn what_is_no_workbook_is_refused() {
    check_error(b"id,v\n1,2\n", "the file is no Excel workbook");
    let book = one(&text("B2", "y"));
    for cut in (0..book.len()).step_by(97) {
        assert!(shown(&Excel::default(), &book[..cut]).is_err(), "{cut}");
    }
    for at in (0..book.len()).step_by(13) {
        let mut broken = book.clone();
        broken[at] ^= 0x55;
        let _ = shown(&Excel::default(), &broken);
    }
    let doctype = "<!DOCTYPE x [<!ENTITY y \"z\">]>";
    check_error(&workbook(&[("s", doctype)]), "");
    check_error(
        &one("<c r=\"B2\" t=\"inlineStr\"><is><t>&y;</t></is></c>"),
        "&y;",
    );
}

/// Reads a workbook in which records and parts have these bounds.
fn bounded(bytes: &[u8], record: u64, unpacked: u64) -> Result<u64, String> {
    let delivery = Delivery {
        most: Most { record, unpacked },
        ..Delivery::new(Format::Excel)
    };
    let mut ignore = |_: Record<'_>| Ok::<(), String>(());
    let read = read_records_slice(bytes, &delivery, &mut ignore);
    read.map(|summary| summary.records)
        .map_err(|e| e.to_string())
}

#[test]
fn a_part_that_unpacks_to_too_much_is_refused_by_name() {
    let value = |i: usize| {
        if i == 1 {
            "head"
        } else {
            "aaaaaaaaaaaaaaaaaaaa"
        }
    };
    let rows: Vec<String> = (1..=3000)
        .map(|i| text(&format!("A{i}"), value(i)))
        .collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let large = workbook(&[("S", &sheet(&rows))]);
    assert!(large.len() < 50_000);
    assert_eq!(bounded(&large, 50_000, 1 << 20), Ok(2999));
    let refused = bounded(&large, 50_000, 50_000).unwrap_err();
    assert!(
        refused.contains("a workbook that holds, unpacked, parts of more than 50000 bytes"),
        "{refused}"
    );
}

#[test]
fn a_cell_or_a_row_that_is_too_large_is_refused() {
    let long = "a".repeat(10_000);
    let says = "a record or a value of more than 9000 bytes";
    let shared = with(
        &[(
            "S",
            &sheet(&[
                "<c r=\"A1\" t=\"s\"><v>0</v></c>",
                "<c r=\"A2\"><v>1</v></c>",
            ]),
        )],
        "",
        &format!("<si><t>{long}</t></si>"),
    );
    let cells: Vec<String> = ["A", "B", "C"]
        .iter()
        .map(|c| text(&format!("{c}1"), &format!("{c}{}", &long[..4000])))
        .collect();
    for bytes in [
        workbook(&[("S", &sheet(&[&text("A1", &long)]))]),
        workbook(&[("S", &sheet(&[&cells.concat()]))]),
        shared,
    ] {
        bounded(&bytes, 1 << 20, 1 << 20).unwrap();
        let refused = bounded(&bytes, 9_000, 1 << 20).unwrap_err();
        assert!(refused.contains(says), "{refused}");
    }
}
