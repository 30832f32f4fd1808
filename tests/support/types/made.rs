//! Types that a database makes for itself, by [`SETUP`] or an extension.

use super::{NOTHING, Type};

pub const TYPES: &[Type] = &[
    Type {
        name: "mood",
        values: &[
            ("\"it's \\\"fine\\\"\"", Some("it's \"fine\"")),
            ("\"sad\"", Some("sad")),
            ("\"ok\"", Some("ok")),
        ],
        misfits: &[("\"glad\"", Some("glad")), ("1", Some("1"))],
        texts: &["so so", "it's \"fine\"", "Ü"],
        checks: &["@ <> 'sad'"],
        defaults: &["'ok'"],
        unique: &["(@)"],
        ..NOTHING
    },
    Type {
        name: "mood[]",
        values: &[(
            r#"["sad", "it's \"fine\""]"#,
            Some(r#"{sad,"it's \"fine\""}"#),
        )],
        texts: &["{\"so so\",Ü}", "{}"],
        ..NOTHING
    },
    Type {
        name: "percentage",
        values: &[("99.5", Some("99.50"))],
        ..NOTHING
    },
    Type {
        name: "pair",
        values: &[("\"(1,\\\"a, b\\\")\"", Some("(1,\"a, b\")"))],
        texts: &["(1,x)", "(,)", "(-2,\"a \"\"b\"\", c\")"],
        ..NOTHING
    },
    Type {
        name: "short",
        texts: &["x", "domain", "two  "],
        keys: &[
            ("a", "a"),
            ("b", "b"),
            ("c", "c"),
            ("d", "d"),
            ("eight ch", "eight ch"),
            ("f", "f"),
        ],
        ..NOTHING
    },
    Type {
        name: "amount",
        texts: &["1", "1.5", "-0", "7.125"],
        ..NOTHING
    },
    Type {
        name: "citext",
        texts: &["Mixed", "MIXED", "other"],
        keys: &[
            ("Ab", "aB"),
            ("c", "c"),
            ("D", "d"),
            ("e f", "E F"),
            ("g", "g"),
            ("H", "H"),
            ("i", "I"),
            ("j", "j"),
        ],
        ..NOTHING
    },
    Type {
        name: "hstore",
        texts: &["\"a\"=>\"1\", \"b\"=>NULL", ""],
        ..NOTHING
    },
    Type {
        name: "posint",
        values: &[("1", Some("1")), ("5", Some("5"))],
        misfits: &[("0", Some("0")), ("-1", Some("-1")), ("\"x\"", Some("x"))],
        checks: &["@ < 5"],
        defaults: &["1", "0"],
        unique: &["(@)"],
        generated: ("int", &["10 / (@ - 5)"]),
        ..NOTHING
    },
    Type {
        name: "tag",
        values: &[("\"a\"", Some("a")), ("\"xyz\"", Some("xyz"))],
        misfits: &[("\"\"", Some("")), ("\"long!\"", Some("long!"))],
        checks: &["@ <> 'a'"],
        defaults: &["'t'", "'too long'"],
        unique: &["(@)"],
        generated: ("text", &["upper(@)"]),
        ..NOTHING
    },
    Type {
        name: "need",
        values: &[("\"a\"", Some("a")), ("\"y\"", Some("y"))],
        misfits: &[("\"x\"", Some("x"))],
        defaults: &["'n'", "'x'"],
        unique: &["(@)"],
        ..NOTHING
    },
    Type {
        name: "given",
        values: &[("\"a\"", Some("a")), ("\"\"", Some(""))],
        defaults: &["'g'"],
        unique: &["(@)"],
        ..NOTHING
    },
];
