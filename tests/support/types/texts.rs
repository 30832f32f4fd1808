//! Texts, and what reads like one.

use super::{NOTHING, Type};

pub const TYPES: &[Type] = &[
    Type {
        name: "uuid",
        values: &[(
            "\"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11\"",
            Some("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        )],
        texts: &[
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "{A0EEBC999C0B4EF8BB6D6BB9BD380A12}",
        ],
        keys: &[
            (
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            ),
            (
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12",
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12",
            ),
            (
                "00000000-0000-0000-0000-000000000000",
                "00000000-0000-0000-0000-000000000000",
            ),
            (
                "ffffffff-0000-0000-0000-000000000000",
                "ffffffff-0000-0000-0000-000000000000",
            ),
            (
                "ffffffff-0000-0000-0000-000000000001",
                "ffffffff-0000-0000-0000-000000000001",
            ),
            (
                "ffffffff-0000-0000-0000-000000000002",
                "ffffffff-0000-0000-0000-000000000002",
            ),
        ],
        ..NOTHING
    },
    Type {
        name: "inet",
        values: &[
            ("\"192.168.0.1/32\"", Some("192.168.0.1")),
            ("\"::1/64\"", Some("::1/64")),
        ],
        texts: &["10.0.0.1/8", "::1", "10.0.0.1"],
        ..NOTHING
    },
    Type {
        name: "cidr",
        values: &[("\"10.0.0.0/8\"", Some("10.0.0.0/8"))],
        texts: &["10.0.0.0/8", "::/0"],
        ..NOTHING
    },
    Type {
        name: "macaddr",
        values: &[("\"08-00-2b-01-02-03\"", Some("08:00:2b:01:02:03"))],
        texts: &["08:00:2b:01:02:03", "08002b010204"],
        ..NOTHING
    },
    Type {
        name: "bytea",
        values: &[("\"\\\\x00ff5c\"", Some("\\x00ff5c"))],
        texts: &["\\x", "\\x00ff", "\\xdeadbeef"],
        keys: &[
            ("\\x", "\\x"),
            ("\\x00", "\\x00"),
            ("\\xff", "\\xff"),
            ("\\x01", "\\x01"),
            ("\\x02", "\\x02"),
        ],
        ..NOTHING
    },
    Type {
        name: "text",
        values: &[
            ("\"\"", Some("")),
            ("null", None),
            ("\"null\"", Some("null")),
            (r#""\\N""#, Some("\\N")),
            (r#""\\.""#, Some("\\.")),
            (
                r#""a\tb\nc\r\nd\\te\b\f\u000b""#,
                Some("a\tb\nc\r\nd\\te\u{8}\u{c}\u{b}"),
            ),
            (
                "\"😀 e\u{301} \u{202e}gpj.exe\"",
                Some("😀 e\u{301} \u{202e}gpj.exe"),
            ),
            (
                "\"\\ud83d\\ude00 \\\"'$1; drop table x; --\"",
                Some("😀 \"'$1; drop table x; --"),
            ),
            ("1.50", Some("1.50")),
            ("\"a\"", Some("a")),
            ("\"B\"", Some("B")),
            ("\"b\"", Some("b")),
            ("\"long one\"", Some("long one")),
            ("7", Some("7")),
        ],
        misfits: &[("{\"a\": 1}", None), ("\"\\u0000\"", None)],
        texts: &[
            "",
            "a",
            " padded ",
            "tab\there\nand there",
            "\\N",
            "NULL",
            "quo'te\"",
            "é\u{301}\u{202e}",
            "\\.",
        ],
        keys: &[
            ("a", "a"),
            ("A", "A"),
            ("a b", "a b"),
            ("ü", "ü"),
            ("'\"\\", "'\"\\"),
            ("NULL", "NULL"),
            ("", ""),
            ("10", "10"),
            ("9", "9"),
            ("\t", "\t"),
        ],
        checks: &["length(@) < 5", "@ <> 'B'", "@::int > 5 OR length(@) > 1"],
        defaults: &["'d'", "'B'", "upper('loader')"],
        unique: &["(@)", "(lower(@))", "(@) WHERE @ <> 'a'"],
        generated: ("text", &["upper(@)", "@ || '!'", "(@::int)::text"]),
        ..NOTHING
    },
    Type {
        name: "char(5)",
        values: &[("\"ab\"", Some("ab   "))],
        texts: &["ab", "abcde", "x    ", ""],
        ..NOTHING
    },
    Type {
        name: "varchar(3)",
        values: &[
            ("\"äöü\"", Some("äöü")),
            ("\"a\"", Some("a")),
            ("\"abc\"", Some("abc")),
            ("12", Some("12")),
        ],
        misfits: &[("\"abcd\"", Some("abcd")), ("12345", Some("12345"))],
        checks: &["@ <> 'abc'"],
        defaults: &["'v'"],
        unique: &["(@)"],
        generated: ("text", &["reverse(@::text)"]),
        ..NOTHING
    },
    Type {
        name: "varchar(8)",
        texts: &["", "eight ch", "x  ", "ü"],
        ..NOTHING
    },
    Type {
        name: "\"char\"",
        texts: &["a", "b"],
        ..NOTHING
    },
    Type {
        name: "name",
        texts: &["n", "a name"],
        ..NOTHING
    },
    Type {
        name: "char(3)",
        keys: &[
            ("a", "a  "),
            ("b", "b"),
            ("ccc", "ccc"),
            ("dd", "dd "),
            ("e", "e"),
            ("f", "f"),
        ],
        ..NOTHING
    },
];
