//! Arrays, ranges, JSON and other types with an inside.

use super::{NOTHING, Type};

pub const TYPES: &[Type] = &[
    Type {
        name: "int4range",
        values: &[
            ("\"[1,5]\"", Some("[1,6)")),
            ("\"[1,5)\"", Some("[1,5)")),
            ("\"[4,6]\"", Some("[4,7)")),
            ("\"empty\"", Some("empty")),
            ("\"[10,20)\"", Some("[10,20)")),
        ],
        misfits: &[("\"[5,1)\"", Some("[5,1)")), ("\"5\"", Some("5"))],
        texts: &["[1,5)", "(1,5]", "empty", "(,)"],
        checks: &["lower(@) <> 4"],
        defaults: &["'[7,8)'"],
        unique: &["(@)", "EXCLUDE"],
        generated: ("int", &["lower(@)"]),
        ..NOTHING
    },
    Type {
        name: "tstzrange",
        values: &[(
            "\"[2024-01-01T00:00Z,2024-02-01T00:00Z)\"",
            Some("[\"2024-01-01 00:00:00+00\",\"2024-02-01 00:00:00+00\")"),
        )],
        texts: &["[2024-01-01 00:00:00+00,)", "empty"],
        ..NOTHING
    },
    Type {
        name: "point",
        values: &[("\"(1.5,-2)\"", Some("(1.5,-2)"))],
        texts: &["(1,2)", "(-0,1e300)"],
        ..NOTHING
    },
    Type {
        name: "tsvector",
        values: &[("\"'a':1 'b':2\"", Some("'a':1 'b':2"))],
        texts: &["'a':1 'b':2A", ""],
        ..NOTHING
    },
    Type {
        name: "xml",
        values: &[("\"<a b='c'/>\"", Some("<a b='c'/>"))],
        texts: &["<a>&lt;</a>", "text <b/>"],
        ..NOTHING
    },
    Type {
        name: "jsonpath",
        values: &[("\"$.\\\"a\\\"[*]\"", Some("$.\"a\"[*]"))],
        ..NOTHING
    },
    Type {
        name: "jsonb",
        values: &[
            (
                r#"{"b": 1.50, "a": [null, true, "x"]}"#,
                Some(r#"{"a": [null, true, "x"], "b": 1.50}"#),
            ),
            ("\"text\"", Some("\"text\"")),
            ("12345678901234567890.5", Some("12345678901234567890.5")),
            ("null", None),
            ("\"null\"", Some("\"null\"")),
            ("[null]", Some("[null]")),
        ],
        texts: &[
            "{\"x\": null}",
            "null",
            "\"text\"",
            "[1.0, 2.50]",
            "{\"b\": 1, \"a\": {\"c\": []}}",
            "1.10",
        ],
        ..NOTHING
    },
    Type {
        name: "json",
        values: &[
            (
                r#"{ "b" :1.50,"a":[ ], "a": 2 }"#,
                Some(r#"{ "b" :1.50,"a":[ ], "a": 2 }"#),
            ),
            ("\"\\u00e9\"", Some("\"\\u00e9\"")),
        ],
        texts: &[
            "{\"b\": 1,   \"a\": [1.0, -0], \"b\": 2}",
            "null",
            "\"text\"",
            "[1,  2.50]",
            "1e5",
            "\"\\u0041\\u00e9\"",
        ],
        ..NOTHING
    },
    Type {
        name: "int[]",
        values: &[
            ("[1, null, 3]", Some("{1,NULL,3}")),
            ("[[1, 2], [3, 4]]", Some("{{1,2},{3,4}}")),
            ("[]", Some("{}")),
            ("[1, 2]", Some("{1,2}")),
            ("[null]", Some("{NULL}")),
        ],
        misfits: &[
            ("[[1], [2, 3]]", Some("{{1},{2,3}}")),
            ("[\"x\"]", Some("{x}")),
        ],
        texts: &[
            "{}",
            "{1,2}",
            "[2:3]={1,2}",
            "{{1,2},{3,NULL}}",
            "[-1:0]={5,6}",
        ],
        checks: &["cardinality(@) > 0", "@[1] < 2"],
        defaults: &["'{3}'"],
        unique: &["(@)"],
        generated: ("int", &["cardinality(@)"]),
        ..NOTHING
    },
    Type {
        name: "text[]",
        values: &[
            (
                r#"["a", null, "null", "NULL", "", "with \"quotes\" and \\", "a,b{c}", " "]"#,
                Some(r#"{a,NULL,"null","NULL","","with \"quotes\" and \\","a,b{c}"," "}"#),
            ),
            ("\"{x,y}\"", Some("{x,y}")),
        ],
        texts: &[
            "{}",
            "{\"NULL\",NULL,\"a,b\"}",
            "[0:0]={x}",
            "{\"\\\\\",\"{}\",\"\"}",
        ],
        ..NOTHING
    },
    Type {
        name: "numeric[]",
        values: &[(
            "[1234567890123456789012345678901234567890, 1.50]",
            Some("{1234567890123456789012345678901234567890,1.50}"),
        )],
        texts: &["{1.0,1.00}", "{NaN}", "[5:6]={-0.0,3}"],
        ..NOTHING
    },
    Type {
        name: "jsonb[]",
        values: &[(
            r#"[{"a": "b"}, "x", null]"#,
            Some(r#"{"{\"a\": \"b\"}","\"x\"",NULL}"#),
        )],
        texts: &["{\"1\",\"{\\\"a\\\": 1}\"}", "{}"],
        ..NOTHING
    },
    Type {
        name: "box[]",
        values: &[(
            r#"["(1,1),(0,0)", "(3,3),(2,2)"]"#,
            Some("{(1,1),(0,0);(3,3),(2,2)}"),
        )],
        ..NOTHING
    },
    Type {
        name: "int4multirange",
        texts: &["{[1,3),[5,7)}", "{}"],
        ..NOTHING
    },
    Type {
        name: "polygon",
        texts: &["((0,0),(1,1),(1,0))"],
        ..NOTHING
    },
];
