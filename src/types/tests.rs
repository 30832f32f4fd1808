//! The cases of `docs/values.md`, as far as they can be judged without a database.

use super::*;

/// The rows of the page's tables: type, what is given, what it becomes.
fn cases() -> Vec<[&'static str; 3]> {
    let rows = include_str!("../../docs/values.md").lines();
    rows.filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 2)
        .map(|line| {
            let inside = line.trim_start_matches("| ").trim_end_matches(" |");
            let cells: Vec<&str> = inside.split(" | ").collect();
            let code = |cell: &'static str| cell.trim_start_matches('`').trim_end_matches('`');
            [code(cells[0]), code(cells[1]), cells[2]]
        })
        .collect()
}

/// The type of that name, as the catalogs would describe it.
fn kind(sql: &str) -> Kind {
    if let Some(element) = sql.strip_suffix("[]") {
        return Kind::Array {
            element: Box::new(kind(element)),
            delimiter: ',',
        };
    }
    let (name, modifiers) = sql.split_once('(').unwrap_or((sql, ""));
    let modifiers: Vec<i32> = modifiers
        .trim_end_matches(')')
        .split(',')
        .filter_map(|m| m.parse().ok())
        .collect();
    let first = modifiers.first().copied();
    let places = first.map_or(6, |p| usize::try_from(p).unwrap());
    let count = first.map(|n| u32::try_from(n).unwrap());
    match name {
        "text" => Kind::Text(None),
        "varchar" => Kind::Text(count),
        "char" => Kind::Padded(count.unwrap()),
        "name" => Kind::Name,
        "\"char\"" => Kind::Byte,
        "mood" => Kind::Label(vec!["sad".into(), "happy".into()]),
        "boolean" => Kind::Boolean,
        "smallint" | "int" | "integer" | "bigint" => Kind::Integer,
        "numeric" => Kind::Decimal(first.map(|_| modifiers[1])),
        "percentage" => Kind::Decimal(Some(2)),
        "float4" => Kind::Single,
        "float8" => Kind::Double,
        "money" => Kind::Money,
        "oid" | "xid" => Kind::Number(u32::MAX.into()),
        "xid8" => Kind::Number(u64::MAX),
        "oidvector" => Kind::Numbers(Some(u32::MAX.into())),
        "int2vector" => Kind::Numbers(None),
        "date" => Kind::Date,
        "time" => Kind::Time(Zoned::No, places),
        "timetz" => Kind::Time(Zoned::Yes, places),
        "timestamp" => Kind::Timestamp(Zoned::No, places),
        "timestamptz" | "moment" => Kind::Timestamp(Zoned::Yes, places),
        "interval" if first.is_none() => Kind::Interval(Fields::All),
        name if name.starts_with("interval") => Kind::Interval(Fields::Some),
        "bytea" => Kind::Bytes,
        "bit" | "varbit" => Kind::Bits,
        "uuid" => Kind::Uuid,
        "inet" | "cidr" => Kind::Address,
        "macaddr" => Kind::Hardware(6),
        "macaddr8" => Kind::Hardware(8),
        "point" => Kind::Geometry(Figure::Point),
        "line" => Kind::Geometry(Figure::Line),
        "lseg" => Kind::Geometry(Figure::Segment),
        "box" => Kind::Geometry(Figure::Box),
        "path" => Kind::Geometry(Figure::Path),
        "polygon" => Kind::Geometry(Figure::Polygon),
        "circle" => Kind::Geometry(Figure::Circle),
        "tid" => Kind::Place,
        "pg_lsn" => Kind::LogPosition,
        "json" => Kind::Json,
        "jsonb" => Kind::Jsonb,
        "tsvector" => Kind::Lexemes,
        "xml" | "tsquery" | "jsonpath" => Kind::Printed(Printed::Listed),
        "regclass" | "regproc" => Kind::Printed(Printed::Named),
        "int4range" => Kind::Range(Box::new(Kind::Integer)),
        "numrange" => Kind::Range(Box::new(Kind::Decimal(None))),
        "daterange" => Kind::Range(Box::new(Kind::Date)),
        "tstzrange" => Kind::Range(Box::new(Kind::Timestamp(Zoned::Yes, 6))),
        "int4multirange" => Kind::Multirange(Box::new(Kind::Integer)),
        "datemultirange" => Kind::Multirange(Box::new(Kind::Date)),
        "pair" => Kind::Composite(vec![Kind::Integer, Kind::Text(None)]),
        other => panic!("{other} has no kind here"),
    }
}

/// What only the database can refuse: it is about a value's size, or about what there is.
const FOR_THE_DATABASE: [[&str; 2]; 11] = [
    ["date", "2023-02-29"],
    ["date", "0000-00-00"],
    ["smallint", "40000"],
    ["numeric(4,1)", "12345"],
    ["float8", "1e400"],
    ["bit(4)", "10"],
    ["varbit(2)", "101"],
    ["cidr", "10.0.0.1/8"],
    ["jsonb", "{\"a\""],
    ["int4range", "[5,1)"],
    ["percentage", "101"],
];

#[test]
fn every_case_of_the_page_is_read_as_it_says() {
    let cases = cases();
    assert!(cases.len() > 250, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for [ty, given, becomes] in cases {
        let read = kind(ty).read(given);
        let found = match &read {
            Err(refused) => match &refused.instead {
                Some(instead) => format!("refused → `{instead}`"),
                None => "refused".to_owned(),
            },
            Ok(accepted) => {
                let stored = becomes.split('`').nth(1);
                let lists = accepted.kept == Kept::Unless
                    && !stored.is_some_and(|stored| kind(ty).keeps(given, stored));
                match (stored, lists) {
                    (None, _) if FOR_THE_DATABASE.contains(&[ty, given]) => becomes.to_owned(),
                    (None, _) => "accepted".to_owned(),
                    (Some(stored), true) => format!("`{stored}`, rounded"),
                    (Some(stored), false) => format!("`{stored}`"),
                }
            }
        };
        if found != becomes {
            wrong.push(format!("{ty} {given}: {found}, not {becomes}: {read:?}"));
        }
        // What a refusal proposes is accepted, and surely kept.
        if let Err(Refused {
            instead: Some(instead),
            ..
        }) = &read
        {
            assert!(
                kind(ty).read(instead).is_ok_and(|a| a.kept == Kept::Surely),
                "{ty} {given}: {instead}"
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in r#"[\[\]{}()<>"\\',:;.+\-/ 0-9a-zA-Zé]{0,24}"#) {
        for [ty, ..] in cases() {
            let kind = kind(ty);
            let _ = kind.read(&text);
            let _ = kind.keeps(&text, &text);
        }
    }
}

#[test]
fn what_is_proposed_is_spelled_as_the_delivery_spells() {
    let spelling = spelling::Spelling {
        decimal_comma: Some(true),
        ..spelling::Spelling::default()
    };
    let by = Spelled::new(&spelling).unwrap();
    let refused = Kind::Decimal(None)
        .given("1 234,5".into(), &by)
        .unwrap_err();
    let instead = refused.instead.unwrap();
    assert_eq!(instead, "1234,5");
    let read = Kind::Decimal(None).given(instead.into(), &by).unwrap();
    assert_eq!(read.text, "1234.5");
}

/// What a format reads is what it would write: else digits are missing, or parts contradict each other.
#[test]
fn a_format_reads_what_it_would_write() {
    for (ty, format, given, read) in [
        (
            "timestamp",
            "%d.%m.%Y %H:%M:%S",
            "15.01.2024 10:20:59",
            Some("2024-01-15 10:20:59"),
        ),
        (
            "timestamp",
            "%d.%m.%Y %H:%M:%S",
            "5.1.2024 9:20:00",
            Some("2024-01-05 09:20:00"),
        ),
        (
            "timestamp",
            "%d.%m.%Y %H:%M:%S",
            "15.01.2024 10:20:60",
            None,
        ),
        ("timestamp", "%d.%m.%Y %T", "15.01.2024 10:20:60", None),
        (
            "timestamptz",
            "%d.%m.%Y %H:%M:%S%.f %z",
            "31.12.2016 23:59:60.5 +0000",
            None,
        ),
        (
            "timestamptz",
            "%d.%m.%Y %H:%M:%S%.f %z",
            "31.12.2016 23:59:59.50 +0100",
            Some("2016-12-31 23:59:59.5+01"),
        ),
        (
            "timestamptz",
            "%d.%m.%Y %H:%M:%S%.f %z",
            "31.12.2016 23:59:59 +0100",
            Some("2016-12-31 23:59:59+01"),
        ),
        (
            "timestamptz",
            "%d.%m.%Y %H:%M:%S%.f %z",
            "31.12.2016 23:59:59.000 -0330",
            Some("2016-12-31 23:59:59-03:30"),
        ),
        (
            "timestamptz",
            "%d.%m.%Y %H:%M%:::z",
            "31.12.2016 23:59+02",
            Some("2016-12-31 23:59:00+02"),
        ),
        (
            "timestamptz",
            "%d.%m.%Y %H:%M%:::z",
            "31.12.2016 23:59+02:00",
            Some("2016-12-31 23:59:00+02"),
        ),
        (
            "timestamptz",
            "%d.%m.%Y %H:%M%:::z",
            "31.12.2016 23:59+05:30",
            Some("2016-12-31 23:59:00+05:30"),
        ),
        ("time", "%H%M", "0130", Some("01:30:00")),
        ("time", "%H%M", "1300", Some("13:00:00")),
        ("time", "%H%M", "130", None),
        ("time", "%H%M%S", "12345", None),
        ("time", "%H%M%S", "012345", Some("01:23:45")),
        ("date", "%Y%m%d", "20240115", Some("2024-01-15")),
        ("date", "%Y%m%d", "2024115", None),
        ("date", "%y%m%d", "011103", Some("2001-11-03")),
        ("date", "%y%m%d", "11103", None),
        ("timestamp", "%Y%m%d%H%M", "20240115123", None),
        (
            "timestamp",
            "%Y%m%d%H%M",
            "202401150123",
            Some("2024-01-15 01:23:00"),
        ),
        (
            "timestamp",
            "%d.%m.%Y %H:%M %p",
            "15.01.2024 23:30 PM",
            Some("2024-01-15 23:30:00"),
        ),
        (
            "timestamp",
            "%d.%m.%Y %H:%M %p",
            "15.01.2024 23:30 AM",
            None,
        ),
        (
            "timestamp",
            "%d.%m.%Y %I:%M %p",
            "15.01.2024 11:30 pm",
            Some("2024-01-15 23:30:00"),
        ),
        (
            "timestamptz",
            "%d.%m.%Y %H:%M %:z[%:Q]",
            "15.01.2024 10:00 +05:00[Europe/Berlin]",
            None,
        ),
        (
            "timestamptz",
            "%d.%m.%Y %H:%M %:z[%:Q]",
            "15.01.2024 10:00 +01:00[Europe/Berlin]",
            Some("2024-01-15 10:00:00+01"),
        ),
        ("date", "%Y-%m-%d %j", "2024-01-15 200", None),
        ("date", "%Y-%m-%d %j", "2024-01-15 015", Some("2024-01-15")),
        ("date", "%d.%m.%Y W%V", "15.01.2024 W09", None),
        ("date", "%d.%m.%Y W%V", "15.01.2024 W03", Some("2024-01-15")),
        ("time", "%H:%M %M", "10:20 30", None),
        ("date", "%d.%m.%Y %b", "15.01.2024 Feb", None),
        ("date", "%d.%m.%Y %y", "15.01.2024 23", None),
        ("date", "%e %B %Y", " 5 january 2024", Some("2024-01-05")),
        ("date", "%d-%b-%y", "15-JAN-24", Some("2024-01-15")),
        (
            "date",
            "%A, %d %b %Y",
            "Monday, 15 Jan 2024",
            Some("2024-01-15"),
        ),
        ("date", "%G-W%V-%u", "2024-W03-1", Some("2024-01-15")),
        ("date", "%D", "1/5/24", Some("2024-01-05")),
        // An offset that is letters to the format.
        (
            "timestamptz",
            "%Y-%m-%dT%H:%M:%SZ",
            "2024-07-15T10:00:00Z",
            Some("2024-07-15 10:00:00+00"),
        ),
        (
            "timestamptz",
            "%d.%m.%Y %H:%M UTC",
            "15.07.2024 10:00 UTC",
            Some("2024-07-15 10:00:00+00"),
        ),
        (
            "timestamptz",
            "%Y-%m-%d %H:%M:%S+02",
            "2024-07-15 10:00:00+02",
            Some("2024-07-15 10:00:00+02"),
        ),
        (
            "timestamptz",
            "%Y-%m-%d %H:%M:%S -03:30",
            "2024-07-15 10:00:00 -03:30",
            Some("2024-07-15 10:00:00-03:30"),
        ),
        (
            "timestamp",
            "%Y-%m-%dT%H:%M:%SZ",
            "2024-07-15T10:00:00Z",
            Some("2024-07-15 10:00:00"),
        ),
        // Decimals are behind their own point.
        (
            "timestamp",
            "%d.%m.%Y %H:%M:%S%.f",
            "1.5.2024 10:00:00",
            Some("2024-05-01 10:00:00"),
        ),
        // Of which there are none, at a full minute, and at midnight.
        (
            "timestamp",
            "%d.%m.%Y %H:%M:%S%.f",
            "15.01.2024 14:30:00.000",
            Some("2024-01-15 14:30:00"),
        ),
        (
            "timestamp",
            "%d.%m.%Y %H:%M:%S%.f",
            "15.01.2024 00:00:00.000",
            Some("2024-01-15 00:00:00"),
        ),
        (
            "timestamptz",
            "%d.%m.%Y %H:%M:%S%.f %z",
            "15.01.2024 14:00:00.0 +0200",
            Some("2024-01-15 14:00:00+02"),
        ),
        (
            "timestamp",
            "%d.%m.%Y %H:%M:%S.%f",
            "1.5.2024 10:00:00.500",
            Some("2024-05-01 10:00:00.5"),
        ),
        (
            "timestamp",
            "%d.%m.%Y %H:%M:%S,%3f",
            "1.10.2024 9:00:00,500",
            Some("2024-10-01 09:00:00.5"),
        ),
        // The year's own digits.
        ("timestamp", "%d.%m.%Y %H%M", "15.01.24 0024", None),
        ("timestamp", "%d.%m.%Y %H%M", "15.01.24 0025", None),
        (
            "timestamp",
            "%d.%m.%Y %H%M",
            "15.01.2024 0024",
            Some("2024-01-15 00:24:00"),
        ),
        ("date", "%d.%m.%Y", "15.01.0024", Some("0024-01-15")),
    ] {
        let spelling = spelling::Spelling {
            formats: Some(vec![format.to_owned()]),
            ..Default::default()
        };
        let spelled = Spelled::new(&spelling).unwrap();
        let kind = kind(ty);
        let found = kind.read_by(given, &spelled).map(|a| a.text.into_owned());
        assert_eq!(found.as_deref().ok(), read, "{ty} {format} {given}");
    }
}

#[test]
fn a_moment_is_written_as_a_format_that_says_all_of_it() {
    let formats = ["%d.%m.%Y", "%d.%m.%y %H:%M", "%d.%m.%Y %H:%M:%S"].map(str::to_owned);
    for (moment, written) in [
        ("2024-03-02", Some("02.03.2024")),
        ("2024-03-02 00:00:00", Some("02.03.2024")),
        ("2024-03-02 10:30:00", Some("02.03.24 10:30")),
        ("1924-03-02 10:30:00", Some("02.03.1924 10:30:00")),
        ("2024-03-02 10:30:15", Some("02.03.2024 10:30:15")),
        ("2024-03-02 10:30:15.5", None),
        ("10:30:00", None),
    ] {
        assert_eq!(
            super::formatted(&formats, moment).as_deref(),
            written,
            "{moment}"
        );
    }
    assert_eq!(super::formatted(&[], "2024-03-02"), None);
}

/// A column's own formats are the only way to read it; where two settings of one place read it differently, none is right.
#[test]
fn numbers_are_dates_or_counts_and_words_true_or_false() {
    let parse = |yaml: &str| serde_yaml::from_str::<spelling::Spelling>(yaml).unwrap();
    let read = |spelling: &spelling::Spelling, ty: &str, given: &str| {
        let spelled = Spelled::new(spelling).unwrap();
        let kind = kind(ty);
        kind.read_by(given, &spelled)
            .map(|a| a.text.into_owned())
            .ok()
    };
    let all = parse("{epoch: seconds, time_zone: UTC, true_words: [J], false_words: [N]}");
    let own = parse("{formats: ['%Y%m%d']}").or(&all);
    assert_eq!(
        read(&own, "timestamptz", "20240115").unwrap(),
        "2024-01-15 00:00:00+00"
    );
    let both = parse("{formats: ['%Y%m%d'], epoch: seconds, time_zone: UTC}");
    assert_eq!(read(&both, "timestamptz", "20240115"), None);
    assert_eq!(
        read(&both, "timestamptz", "1705271231").unwrap(),
        "2024-01-14 22:27:11+00"
    );
    // What time it was in a zone long ago, the server may know better.
    let there = parse("{epoch: seconds, time_zone: Europe/Amsterdam}");
    assert_eq!(read(&there, "timestamp", "-1"), None);
    assert_eq!(
        read(&there, "timestamp", "1").unwrap(),
        "1970-01-01 01:00:01"
    );
    assert_eq!(
        read(&both, "timestamp", "-1").unwrap(),
        "1969-12-31 23:59:59"
    );
    // JSON may write a count with an exponent.
    for (count, time) in [
        ("1.705271231E9", "2024-01-14 22:27:11+00"),
        ("17052712315e-1", "2024-01-14 22:27:11.5+00"),
        ("-1e0", "1969-12-31 23:59:59+00"),
        ("5E-1", "1970-01-01 00:00:00.5+00"),
        ("1.7052712315e+9", "2024-01-14 22:27:11.5+00"),
    ] {
        assert_eq!(
            read(&both, "timestamptz", count).as_deref(),
            Some(time),
            "{count}"
        );
    }
    for none in ["1e", "e9", "1e999999999999", "1e31", "1.e.9", "1e9e9"] {
        assert_eq!(read(&both, "timestamptz", none), None, "{none}");
    }
    // A date is the day of which a count is the midnight.
    let counts = parse("{epoch: milliseconds}");
    let berlin = parse("{epoch: milliseconds, time_zone: Europe/Berlin}");
    assert_eq!(
        read(&counts, "date", "1705276800000").unwrap(),
        "2024-01-15"
    );
    assert_eq!(read(&counts, "date", "-86400000").unwrap(), "1969-12-31");
    assert_eq!(
        read(&berlin, "date", "1705273200000").unwrap(),
        "2024-01-15"
    );
    for (spelling, count) in [
        (&counts, "1705276800001"),
        (&counts, "1705273200000"),
        (&berlin, "1705276800000"),
        // Digits of a day as they stand would be one, too.
        (&parse("{epoch: seconds}"), "19700131"),
    ] {
        let is_read = read(spelling, "date", count);
        let day = is_read.as_deref().filter(|day| *day != "1970-01-31");
        assert_eq!(day, None, "{count}");
    }
    assert_eq!(read(&all, "date", "20240115").unwrap(), "2024-01-15");
    assert_eq!(read(&all, "date", "19785600"), None);
    assert_eq!(read(&all, "date", "2024-01-15").unwrap(), "2024-01-15");
    let withdrawn = parse("{false_words: [J]}").or(&all);
    assert_eq!(read(&withdrawn, "boolean", "J").unwrap(), "false");
    // A column's own words do not mean null, whatever does elsewhere.
    let nulls = parse("{null_words: ['-', N]}");
    let own = parse("{true_words: [J], false_words: [N]}").or(&nulls);
    assert_eq!(own.null_words.as_deref(), Some(&["-".to_owned()][..]));
    assert_eq!(read(&own, "boolean", "N").unwrap(), "false");
    let own = parse("{null_words: [J]}").or(&all);
    assert_eq!(own.true_words.as_deref(), Some(&[][..]));
    assert!(Spelled::new(&parse("{null_words: [x], false_words: [x]}")).is_err());
    let contrary = parse("{true_words: ['false']}");
    assert_eq!(read(&contrary, "boolean", "false"), None);
    assert!(Spelled::new(&parse("{true_words: [x], false_words: [x]}")).is_err());
}

/// What is proposed in place of a date says what it says.
#[test]
fn no_other_day_is_proposed() {
    for (given, proposed) in [
        ("15 January 2024", Some("2024-01-15")),
        ("Monday, 15 January 2024", Some("2024-01-15")),
        ("Tuesday, 15 January 2024", None),
        ("-2024-01-15", None),
    ] {
        let refused = Kind::Date.given(given.into(), &PLAIN).unwrap_err();
        assert_eq!(refused.instead.as_deref(), proposed, "{given}");
    }
}
