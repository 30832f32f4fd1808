//! Numbers, bits and booleans.

use super::{NOTHING, Type};

pub const TYPES: &[Type] = &[
    Type {
        name: "smallint",
        texts: &["-32768", "5", "6"],
        ..NOTHING
    },
    Type {
        name: "int",
        values: &[
            ("0", Some("0")),
            ("1", Some("1")),
            ("2", Some("2")),
            ("3", Some("3")),
            ("\"8\"", Some("8")),
        ],
        misfits: &[
            ("\"x\"", Some("x")),
            ("1.5", Some("1.5")),
            ("99999999999", Some("99999999999")),
            ("\"\"", Some("")),
            ("[1]", None),
        ],
        texts: &["0", "-7", "2147483647", "42"],
        keys: &[
            ("1", "1"),
            ("2", "2"),
            ("-3", "-3"),
            ("40", "40"),
            ("5", "5"),
            ("600", "600"),
            ("7", "7"),
            ("8", "8"),
            ("90", "90"),
            ("10", "10"),
        ],
        checks: &["@ > 1", "@ % 2 = 1", "10 / @ > 1", "@ IS NOT NULL", "@ < 8"],
        defaults: &["2", "0", "1 + 1"],
        unique: &["(@)", "(@) WHERE @ > 1", "((@ % 4))", "((6 / @))"],
        generated: ("int", &["100 / @", "@ + 1"]),
        ..NOTHING
    },
    Type {
        name: "bigint",
        values: &[
            ("9007199254740993", Some("9007199254740993")),
            ("-9223372036854775808", Some("-9223372036854775808")),
            ("\"1234567890123456789\"", Some("1234567890123456789")),
        ],
        texts: &["9223372036854775807", "-1", "12"],
        ..NOTHING
    },
    Type {
        name: "numeric",
        values: &[
            (
                "1234567890123456789012345678901234567890",
                Some("1234567890123456789012345678901234567890"),
            ),
            (
                "0.1234567890123456789012345678901234567890",
                Some("0.1234567890123456789012345678901234567890"),
            ),
            (
                "\"-12345678901234567890.12345678901234567890\"",
                Some("-12345678901234567890.12345678901234567890"),
            ),
            ("1.500", Some("1.500")),
            ("1e3", Some("1000")),
            ("\"NaN\"", Some("NaN")),
            ("\"-Infinity\"", Some("-Infinity")),
        ],
        texts: &[
            "1",
            "1.0",
            "1.00",
            "-0.000",
            "NaN",
            "123456789012345678901234567890.123456789",
            "1e-20",
        ],
        keys: &[
            ("1.50", "1.5"),
            ("2", "2.000"),
            ("-0.1", "-0.10"),
            ("1e3", "1000"),
            ("7.0", "7.0"),
            ("8", "8"),
            ("9", "9.0"),
            ("11", "11"),
        ],
        ..NOTHING
    },
    Type {
        name: "numeric(10,3)",
        values: &[("5", Some("5.000"))],
        ..NOTHING
    },
    Type {
        name: "float8",
        values: &[
            ("-0.0", Some("-0")),
            ("1e300", Some("1e+300")),
            ("\"NaN\"", Some("NaN")),
            ("0.1", Some("0.1")),
            ("5e-324", Some("5e-324")),
        ],
        texts: &[
            "-0",
            "0",
            "NaN",
            "Infinity",
            "0.1",
            "1e-300",
            "123456789.123456789",
        ],
        ..NOTHING
    },
    Type {
        name: "float4",
        values: &[("0.1", Some("0.1"))],
        texts: &["-0", "0.1", "1e10", "16777217"],
        ..NOTHING
    },
    Type {
        name: "boolean",
        values: &[
            ("true", Some("t")),
            ("\"no\"", Some("f")),
            ("0", Some("f")),
            ("false", Some("f")),
        ],
        misfits: &[("\"maybe\"", Some("maybe")), ("7", Some("7"))],
        texts: &["true", "false"],
        checks: &["@", "@ IS TRUE"],
        defaults: &["true"],
        unique: &["(@)", "(@) WHERE @"],
        generated: ("boolean", &["NOT @"]),
        ..NOTHING
    },
    Type {
        name: "bit(4)",
        values: &[("\"1010\"", Some("1010"))],
        ..NOTHING
    },
    Type {
        name: "varbit",
        values: &[("\"\"", Some(""))],
        texts: &["", "1", "10110"],
        ..NOTHING
    },
    Type {
        name: "numeric(12,3)",
        texts: &["1.5", "2.250", "0.0005", "-3", "999999999.999"],
        ..NOTHING
    },
    Type {
        name: "bit(3)",
        texts: &["101", "000"],
        ..NOTHING
    },
    Type {
        name: "money",
        texts: &["12.50", "-3.00"],
        ..NOTHING
    },
    Type {
        name: "pg_lsn",
        texts: &["16/B374D848", "0/0"],
        ..NOTHING
    },
    Type {
        name: "numeric(4,1)",
        values: &[
            ("1", Some("1.0")),
            ("2.5", Some("2.5")),
            ("\"3.00\"", Some("3.0")),
        ],
        lossy: &[("2.54", "2.54")],
        misfits: &[("12345", Some("12345")), ("\"z\"", Some("z"))],
        checks: &["@ < 3", "@ <> 2.5"],
        defaults: &["9.9"],
        unique: &["(@)", "(round(@))"],
        generated: ("numeric", &["@ * 2", "1 / (@ - 1)"]),
        ..NOTHING
    },
];
