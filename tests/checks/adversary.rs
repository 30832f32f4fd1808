//! Values by which a loader could be led to store something else than what was sent: each is stored
//! as it was given, or listed beside what is stored, or refused.

use crate::support::World;

/// What the groups' columns are made of beside PostgreSQL's own types.
const TYPES: &str = "
CREATE EXTENSION citext; CREATE EXTENSION hstore;
CREATE TYPE mood AS ENUM ('sad', 'happy', ' so ');
CREATE TYPE pair AS (n numeric(4,1), t varchar(3));
CREATE TYPE nest AS (p pair, l pair[]);
CREATE DOMAIN moment AS timestamptz;
CREATE DOMAIN code AS varchar(3);
CREATE DOMAIN codes AS varchar(3)[];
CREATE DOMAIN cents AS numeric(6,2);
CREATE DOMAIN rounded AS cents;
CREATE TYPE prices AS RANGE (subtype = cents);
CREATE TYPE floats AS RANGE (subtype = float4);
CREATE TYPE words AS RANGE (subtype = text, collation = \"C\");
";

/// A column's type, what `tables.yaml` says of it, and what is given as JSON with what it becomes:
/// `=` is stored so, `~` stored so and listed beside what was given, `!` refused, `null` stored as null.
type Group = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const GROUPS: &[Group] = &[
    // Dates in another order, of two digits, in other calendars, with more than a day.
    (
        "date",
        "",
        &[
            (r#""15-Jan-24""#, "!"),
            (r#""01-02-03""#, "!"),
            (r#""2024-13-01""#, "!"),
            (r#""2024-02-30""#, "!"),
            (r#""2024-01-15 BC""#, "=2024-01-15 BC"),
            (r#""2024-01-15T23:30:00-08:00""#, "!"),
            (r#""2024-01-15T00:00:01""#, "!"),
            (r#""2024-01-15 00:00:00.000001""#, "!"),
            (r#""２０２４-01-15""#, "!"),
            (r#""2024‐01‐15""#, "!"),
            (r#""\u00a02024-01-15""#, "!"),
            (r#""\ufeff2024-01-15""#, "!"),
            (r#""2024-01-15\u200b""#, "!"),
            ("20240115", "=2024-01-15"),
            ("2024", "!"),
            ("45306", "!"),
            (r#""Infinity""#, "!"),
            (r#""99999999-01-01""#, "!"),
            (r#""10000-01-01""#, "=10000-01-01"),
            (r#""5874898-01-01""#, "!"),
            ("true", "!"),
            (r#""""#, "!"),
            (r#""  ""#, "!"),
        ],
    ),
    (
        "date[]",
        "",
        &[
            (r#"["15-Jan-24"]"#, "!"),
            (r#"["2024-01-15T10:00:00"]"#, "!"),
            (r#"["tomorrow", "2024-01-15"]"#, "!"),
            (r#"["20240115"]"#, "={2024-01-15}"),
        ],
    ),
    // Formats that say more than the column keeps, or not enough.
    (
        "date",
        r#"formats: ["%d.%m.%Y %H:%M:%S", "%d/%m/%Y"]"#,
        &[
            (r#""15.01.2024 00:00:00""#, "=2024-01-15"),
            (r#""15.01.2024 23:30:00""#, "~2024-01-15"),
            (r#""15/01/2024""#, "=2024-01-15"),
            (r#""15/01/24""#, "!"),
            (r#""31/02/2024""#, "!"),
            (r#""2024-01-15""#, "!"),
            (r#""1/2/2024""#, "=2024-02-01"),
        ],
    ),
    (
        "date",
        r#"formats: ["%d.%m.%Y %H:%M%z"]"#,
        &[
            (r#""15.01.2024 00:00+0000""#, "~2024-01-15"),
            (r#""15.01.2024 23:30-0800""#, "~2024-01-15"),
        ],
    ),
    (
        "time",
        r#"formats: ["%d.%m.%Y %H:%M:%S%.f", "%H.%M"]"#,
        &[
            (r#""15.01.2024 10:00:00.5""#, "~10:00:00.5"),
            (r#""10.30""#, "=10:30:00"),
        ],
    ),
    (
        "timestamp",
        r#"formats: ["%d.%m.%Y %H:%M:%S%.f"]"#,
        &[
            (
                r#""15.01.2024 10:00:00.123456""#,
                "=2024-01-15 10:00:00.123456",
            ),
            (
                r#""15.01.2024 10:00:00.1234567""#,
                "~2024-01-15 10:00:00.123457",
            ),
            (r#""15.01.2024 10:00:00""#, "=2024-01-15 10:00:00"),
        ],
    ),
    (
        "timestamp(0)",
        r#"formats: ["%d.%m.%Y %H:%M:%S%.f"]"#,
        &[(r#""15.01.2024 10:00:00.6""#, "~2024-01-15 10:00:01")],
    ),
    (
        "timestamptz(3)",
        r#"{formats: ["%d.%m.%Y %H:%M:%S%.f"], time_zone: UTC}"#,
        &[(
            r#""15.01.2024 10:00:00.1236""#,
            "~2024-01-15 10:00:00.124+00",
        )],
    ),
    (
        "timestamptz",
        r#"formats: ["%d.%m.%Y %H:%M:%S %z"]"#,
        &[
            (r#""15.01.2024 10:00:00 +0530""#, "=2024-01-15 04:30:00+00"),
            (r#""15.01.2024 10:00:00 EST""#, "!"),
            (r#""15.01.2024 10:00:00""#, "!"),
        ],
    ),
    // Moments: counted, without offset, in zones, at changes of clocks.
    (
        "timestamptz",
        "",
        &[
            ("1705271231", "!"),
            ("1705271231.5", "!"),
            (r#""1705271231000""#, "!"),
            (r#""2024-01-15 10:00""#, "!"),
            (r#""2024-01-15 10:00 IST""#, "!"),
            (r#""2024-01-15 10:00 PST8PDT""#, "!"),
            (r#""2024-01-15 10:00 EST5EDT""#, "!"),
            (r#""2024-01-15 10:00 +1""#, "!"),
            (r#""2024-01-15 10:00 UTC+3""#, "!"),
            (r#""2024-01-15 10:00 Etc/GMT+3""#, "=2024-01-15 13:00:00+00"),
            (
                r#""2024-07-15 10:00 europe/berlin""#,
                "=2024-07-15 08:00:00+00",
            ),
            (
                r#""2024-01-15T10:00:00.9999999Z""#,
                "~2024-01-15 10:00:01+00",
            ),
            (r#""2024-01-15T10:00:00.Z""#, "!"),
            (r#""infinity""#, "=infinity"),
            (r#""allballs""#, "!"),
            (r#""2024-01-15T10:00:00−05:00""#, "!"),
        ],
    ),
    (
        "timestamptz",
        "time_zone: America/New_York",
        &[
            (r#""2024-01-15 10:00""#, "~2024-01-15 15:00:00+00"),
            (r#""2024-01-15""#, "~2024-01-15 05:00:00+00"),
            (r#""2024-03-10 02:30""#, "!"),
            (r#""2024-11-03 01:30""#, "!"),
            (r#""2024-01-15 10:00Z""#, "=2024-01-15 10:00:00+00"),
        ],
    ),
    (
        "timestamptz",
        "epoch: milliseconds",
        &[
            ("1705271231123", "~2024-01-14 22:27:11.123+00"),
            ("1705271231123.4567", "~2024-01-14 22:27:11.123457+00"),
            (r#""-1""#, "~1969-12-31 23:59:59.999+00"),
            ("1.7e12", "!"),
            (r#""２""#, "!"),
        ],
    ),
    (
        "timestamp",
        "",
        &[
            (r#""2019-05-01T13:45:00+05:00""#, "!"),
            (r#""2019-05-01T13:45:00Z""#, "!"),
            (r#""2019-05-01 13:45:00 UTC""#, "!"),
            (r#""2019-05-01 13:45:00 +00""#, "!"),
            (r#""2019-05-01 25:00""#, "!"),
            (r#""2019-05-01 13:45:00.0000001""#, "~2019-05-01 13:45:00"),
        ],
    ),
    (
        "time(2)",
        "",
        &[
            (r#""23:59:59.999""#, "~24:00:00"),
            (r#""23:59:59.99""#, "=23:59:59.99"),
            (r#""13:45:00Z""#, "!"),
            (r#""13:45 Europe/Berlin""#, "!"),
            (r#""24:00:01""#, "!"),
            (r#""1345""#, "!"),
        ],
    ),
    (
        "timetz",
        "",
        &[
            (r#""12:30:00.1234567+02""#, "~12:30:00.123457+02"),
            (r#""12:30:00+15:59:59""#, "=12:30:00+15:59:59"),
            (r#""12:30:00+16""#, "!"),
            (r#""12:30""#, "!"),
        ],
    ),
    (
        "moment[]",
        "",
        &[
            (r#"["now"]"#, "!"),
            (r#"["epoch"]"#, "!"),
            (r#"["2024-01-15 10:00"]"#, "!"),
            (
                r#"["2024-01-15 10:00:00.1234567Z"]"#,
                r#"~{"2024-01-15 10:00:00.123457+00"}"#,
            ),
            (
                r#"[["2024-01-15 10:00Z"], [null]]"#,
                r#"={{"2024-01-15 10:00:00+00"},{NULL}}"#,
            ),
        ],
    ),
    // Intervals, their fields, and what a double cannot hold.
    (
        "interval",
        "",
        &[
            (r#""1 day 25:00:00""#, "=1 day 25:00:00"),
            (r#""P1M""#, "=1 mon"),
            (r#""PT1M""#, "=00:01:00"),
            (r#""P1.5D""#, "!"),
            (r#""1.5 years""#, "!"),
            (r#""-1 year 2 mons""#, "=-10 mons"),
            (r#""1 m""#, "!"),
            (r#""PT9007199254.740993S""#, "=2501999:47:34.740993"),
            (r#""9007199254.740993 seconds""#, "=2501999:47:34.740993"),
            (r#""PT0.0000005S""#, "~00:00:00"),
            ("90", "!"),
            (r#""1 day ago""#, "!"),
            (r#""3 quarters""#, "!"),
        ],
    ),
    (
        "interval hour to minute",
        "",
        &[
            (r#""1 day 05:06:00""#, "=1 day 05:06:00"),
            (r#""1 day 05:06:07""#, "~1 day 05:06:00"),
            (r#""7 seconds""#, "~00:00:00"),
        ],
    ),
    (
        "interval(3)[]",
        "",
        &[(r#"["1.2345 seconds"]"#, "~{00:00:01.235}")],
    ),
    // Whole numbers.
    (
        "integer",
        "",
        &[
            ("1e3", "=1000"),
            ("1.0", "=1"),
            ("1.5", "!"),
            ("-0", "=0"),
            ("2147483648", "!"),
            ("1e400", "!"),
            ("1e-400", "!"),
            ("0e400", "=0"),
            (r#""1,000""#, "!"),
            (r#""1 000""#, "!"),
            (r#""1\u00a0000""#, "!"),
            (r#""1'000""#, "!"),
            (r#""१२३""#, "!"),
            (r#""１２３""#, "!"),
            (r#""−5""#, "!"),
            (r#""－5""#, "!"),
            (r#""5-""#, "!"),
            (r#""(5)""#, "!"),
            (r#""0x1F""#, "!"),
            (r#""0b1""#, "!"),
            (r#""1_000""#, "!"),
            (r#""\u00a05""#, "!"),
            (r#"" 5\t""#, "=5"),
            ("true", "!"),
            (r#""NaN""#, "!"),
            (r#""½""#, "!"),
            (r#""5%""#, "!"),
        ],
    ),
    (
        "bigint",
        "",
        &[
            ("9223372036854775807", "=9223372036854775807"),
            ("9223372036854775808", "!"),
            ("9.3e18", "!"),
            ("9223372036854775807.0", "=9223372036854775807"),
        ],
    ),
    (
        "smallint[]",
        "",
        &[
            ("[32768]", "!"),
            ("[1.5]", "!"),
            ("[1.0, 2e2]", "={1,200}"),
            ("[[1], [2, 3]]", "!"),
            ("[[]]", "!"),
            ("[[], []]", "!"),
            ("[]", "={}"),
        ],
    ),
    // Numbers with decimals.
    (
        "numeric",
        "",
        &[
            ("1e400", "="),
            ("1.10", "=1.10"),
            ("-0", "=0"),
            ("-0.00", "=0.00"),
            (r#""12,5""#, "!"),
            (r#""1,234""#, "!"),
            (r#""1.234.567""#, "!"),
            (r#""1.234,5""#, "!"),
            (r#""$5""#, "!"),
            (r#""NaN""#, "=NaN"),
            (r#""nan""#, "!"),
            (r#""+Infinity""#, "!"),
            (r#""Infinity""#, "=Infinity"),
            (r#""1e""#, "!"),
            (r#""1e5.5""#, "!"),
            (r#""٫5""#, "!"),
        ],
    ),
    (
        "numeric(10,2)[]",
        "",
        &[
            ("[1.239]", "~{1.24}"),
            ("[1.230]", "={1.23}"),
            ("[[1.005], [null]]", "~{{1.01},{NULL}}"),
            ("[123456789.0]", "!"),
        ],
    ),
    (
        "numeric(4,-2)",
        "",
        &[
            ("12345", "~12300"),
            ("12300", "=12300"),
            ("1.23e4", "=12300"),
        ],
    ),
    ("rounded", "", &[("1.239", "~1.24"), ("9999.999", "!")]),
    ("rounded[]", "", &[("[1.239, 2]", "~{1.24,2.00}")]),
    (
        "numeric",
        "decimal_comma: true",
        &[
            (r#""12,5""#, "=12.5"),
            (r#""1.234,5""#, "!"),
            (r#""1,234,5""#, "!"),
            (r#""12.5""#, "!"),
            ("12.5", "=12.5"),
            (r#""-,5""#, "=-0.5"),
        ],
    ),
    (
        "numeric[]",
        "decimal_comma: true",
        &[
            ("[12.5]", "={12.5}"),
            (r#"["12,5", 1.5]"#, "!"),
            (r#"["12,5", null]"#, "={12.5,NULL}"),
            (r#""{\"12,5\"}""#, "={12.5}"),
        ],
    ),
    (
        "integer",
        "decimal_comma: true",
        &[(r#""1,000""#, "=1"), (r#""1,5""#, "!")],
    ),
    (
        "float8",
        "",
        &[
            ("0.1", "=0.1"),
            ("1e400", "!"),
            ("1e-400", "!"),
            ("-0", "=-0"),
            ("9007199254740993", "~9.007199254740992e+15"),
            ("9007199254740992", "=9.007199254740992e+15"),
            (
                "0.1000000000000000055511151231257827021181583404541015625",
                "=0.1",
            ),
            ("0.10000000000000001234", "~0.1"),
            (r#""0x1p3""#, "!"),
            (r#""inf""#, "!"),
            ("123456789012345678", "~1.2345678901234568e+17"),
        ],
    ),
    (
        "float4",
        "",
        &[
            ("0.1", "=0.1"),
            ("16777217", "~1.6777216e+07"),
            ("3.4e39", "!"),
            ("0.30000001", "=0.3"),
            ("0.30000002", "~0.3"),
        ],
    ),
    (
        "float4[]",
        "",
        &[("[16777217, 0.5]", "~{1.6777216e+07,0.5}")],
    ),
    (
        "money",
        "",
        &[
            (r#""12,5""#, "!"),
            ("1.005", "~$1.01"),
            (r#""1e2""#, "!"),
            (r#""(5.00)""#, "!"),
            (r#""€5""#, "!"),
            ("-5", "=-$5.00"),
            (r#""92233720368547758.07""#, "=$92,233,720,368,547,758.07"),
            (r#""92233720368547758.08""#, "!"),
        ],
    ),
    (
        "money[]",
        "",
        &[
            ("[1.005, 1234.5]", r#"~{$1.01,"$1,234.50"}"#),
            ("[1234.5]", r#"={"$1,234.50"}"#),
        ],
    ),
    // Numbers without sign, and names of things.
    (
        "oid",
        "",
        &[
            ("-1", "!"),
            (r#""010""#, "!"),
            ("4294967295", "=4294967295"),
            ("4294967296", "!"),
            ("1.0", "!"),
        ],
    ),
    (
        "oidvector",
        "",
        &[
            (r#""1 2""#, "=1 2"),
            (r#""-1""#, "!"),
            (r#""010""#, "!"),
            (r#""1,2""#, "!"),
        ],
    ),
    (
        "int2vector",
        "",
        &[
            (r#""1 -2""#, "=1 -2"),
            (r#""1.5""#, "!"),
            (r#""99999""#, "!"),
        ],
    ),
    (
        "regclass",
        "",
        &[
            (r#""pg_class""#, "=pg_class"),
            (r#""PG_CLASS""#, "~pg_class"),
            (r#""no_such_table""#, "!"),
        ],
    ),
    (
        "regtype",
        "",
        &[
            (r#""int4""#, "~integer"),
            (r#""integer""#, "=integer"),
            (r#""numeric(10,2)""#, "~numeric"),
        ],
    ),
    (
        "xid8",
        "",
        &[
            ("18446744073709551615", "=18446744073709551615"),
            ("18446744073709551616", "!"),
        ],
    ),
    ("pg_lsn", "", &[(r#""0/01""#, "=0/1"), (r#""1""#, "!")]),
    // Texts and what cuts them.
    (
        "varchar(3)",
        "",
        &[
            (r#""abcd""#, "!"),
            (r#""abc ""#, "!"),
            (r#""ab ""#, "=ab "),
            (r#""äöü""#, "=äöü"),
            (r#""e\u0301xy""#, "!"),
            ("1234", "!"),
            ("true", "!"),
        ],
    ),
    (
        "codes",
        "",
        &[
            (r#"["abcd"]"#, "!"),
            (r#"["abc "]"#, "!"),
            (r#"["ab"]"#, "={ab}"),
            (r#"" { ab , \"abc \" } ""#, "!"),
        ],
    ),
    ("code[]", "", &[(r#"["abcd"]"#, "!"), (r#"["abc  "]"#, "!")]),
    (
        "char(3)[]",
        "",
        &[
            (r#"["a", "abc   "]"#, r#"={"a  ",abc}"#),
            (r#"["abcd"]"#, "!"),
        ],
    ),
    ("bpchar", "", &[(r#""ab  ""#, "=ab  ")]),
    (
        "name",
        "",
        &[
            (r#""ääääääääääääääääääääääääääääääää""#, "!"),
            (r#""a""#, "=a"),
        ],
    ),
    (
        "name[]",
        "",
        &[(
            r#"["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]"#,
            "!",
        )],
    ),
    (
        "\"char\"",
        "",
        &[
            (r#""ab""#, "!"),
            (r#""ä""#, "!"),
            (r#""""#, "="),
            (r#""\\""#, "=\\"),
        ],
    ),
    (
        "mood",
        "",
        &[
            (r#""Sad""#, "!"),
            (r#""sad ""#, "!"),
            (r#"" so ""#, "= so "),
            (r#""sad\u00a0""#, "!"),
        ],
    ),
    (
        "mood[]",
        "",
        &[(r#"["Sad"]"#, "!"), (r#"[" so "]"#, r#"={" so "}"#)],
    ),
    (
        "text",
        "",
        &[
            (r#"" a ""#, "= a "),
            (r#""\u00a0a\u200b""#, "=\u{a0}a\u{200b}"),
            (r#""\ufeffa""#, "=\u{feff}a"),
            (r#""a\u0000""#, "!"),
            (r#""e\u0301""#, "=e\u{301}"),
            ("1e400", "=1e400"),
            ("-0", "=-0"),
            ("1.10", "=1.10"),
            ("true", "=true"),
            (r#""\\N""#, "=\\N"),
            (r#""\\.""#, "=\\."),
            (r#""now""#, "=now"),
            ("[1]", "!"),
            ("{}", "!"),
            ("null", "null"),
        ],
    ),
    (
        "text[]",
        "",
        &[
            (
                r#"["null", null, "", " a ", "NULL"]"#,
                r#"={"null",NULL,""," a ","NULL"}"#,
            ),
            (r#""{a, b }""#, "={a,b}"),
            (r#"[["a"], []]"#, "!"),
            (r#"[[]]"#, "!"),
            (r#"["a\u0000"]"#, "!"),
            (r#"[true, 1.10]"#, "={true,1.10}"),
        ],
    ),
    ("citext", "", &[(r#"" Ab ""#, "= Ab "), (r#""ÀB""#, "=ÀB")]),
    ("citext[]", "", &[(r#"["Ab", " c"]"#, r#"={Ab," c"}"#)]),
    (
        "hstore",
        "",
        &[
            (r#""\"a\"=>\"1\"""#, r#"="a"=>"1""#),
            (r#""a=>1, a=>2""#, r#"~"a"=>"1""#),
            (r#""a""#, "!"),
            (r#""\"a b\"=>NULL""#, r#"="a b"=>NULL"#),
        ],
    ),
    // Bytes and bits.
    (
        "bytea",
        "",
        &[
            (r#""0xdeadbeef""#, "!"),
            (r#""deadbeef""#, "!"),
            (r#""aGVsbG8=""#, "!"),
            (r#""\\xDEAD""#, "=\\xdead"),
            (r#""\\x de ad""#, "!"),
            (r#""a\\\\b""#, "!"),
            ("12", "!"),
            (r#""""#, "!"),
        ],
    ),
    (
        "bytea[]",
        "",
        &[(r#"["hello"]"#, "!"), (r#"["\\x00"]"#, r#"={"\\x00"}"#)],
    ),
    (
        "bytea",
        "bytes: base64",
        &[
            (r#""aGVsbG8=""#, "=\\x68656c6c6f"),
            (r#""aGVsbG8""#, "!"),
            (r#""aGVsbG9=""#, "!"),
            (r#""aGVs bG8=""#, "!"),
            (r#""\\x00""#, "!"),
        ],
    ),
    (
        "bit(4)",
        "",
        &[
            ("1010", "=1010"),
            (r#""10101""#, "!"),
            (r#""101""#, "!"),
            (r#""xA""#, "!"),
        ],
    ),
    (
        "bit(2)[]",
        "",
        &[(r#"["101"]"#, "!"), (r#"["10"]"#, "={10}")],
    ),
    ("varbit(3)", "", &[(r#""1010""#, "!"), (r#""1""#, "=1")]),
    (
        "uuid",
        "",
        &[
            (r#""a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1""#, "!"),
            (
                r#""A0EEBC999C0B4EF8BB6D6BB9BD380A11""#,
                "=a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            ),
        ],
    ),
    (
        "inet",
        "",
        &[
            (r#""010.0.0.1""#, "!"),
            (r#""1.2.3""#, "!"),
            (r#""fe80::1%eth0""#, "!"),
            (r#""1.2.3.4/24""#, "=1.2.3.4/24"),
        ],
    ),
    (
        "cidr",
        "",
        &[
            (r#""10.1.2.3""#, "=10.1.2.3/32"),
            (r#""10.1""#, "!"),
            (r#""10.1.2.3/8""#, "!"),
        ],
    ),
    ("macaddr8", "", &[(r#""08:00:2b:01:02:03""#, "!")]),
    (
        "boolean",
        "",
        &[
            ("1", "=t"),
            ("2", "!"),
            (r#""TRUE""#, "=t"),
            (r#""tr""#, "!"),
            (r#""oui""#, "!"),
            (r#""ｔrue""#, "!"),
        ],
    ),
    (
        "boolean",
        "{true_words: [J], false_words: [N]}",
        &[
            (r#""J""#, "=t"),
            (r#""j""#, "!"),
            (r#""t""#, "!"),
            ("false", "=f"),
            ("0", "=f"),
        ],
    ),
    // JSON and XML.
    (
        "jsonb",
        "",
        &[
            (r#"{"a": 1, "a": 2}"#, "!"),
            (r#"[{"b": {"a": 1, "\u0061": 2}}]"#, "!"),
            (r#"{"a": "\u0000"}"#, "!"),
            (r#"{"a": -0, "b": 1e2}"#, r#"={"a": 0, "b": 100}"#),
            (r#"{"a": 1.10}"#, r#"={"a": 1.10}"#),
            (r#""text""#, r#"="text""#),
            (
                r#"{"a": 0.1000000000000000055511151231257827021181583404541015625}"#,
                r#"={"a": 0.1000000000000000055511151231257827021181583404541015625}"#,
            ),
        ],
    ),
    (
        "jsonb[]",
        "",
        &[
            (r#"[{"a": 1, "a": 2}]"#, "!"),
            (r#"[null, {"a": null}]"#, r#"={NULL,"{\"a\": null}"}"#),
        ],
    ),
    (
        "json",
        "",
        &[(r#"{ "a":1 , "a":2}"#, r#"={ "a":1 , "a":2}"#)],
    ),
    (
        "xml",
        "",
        &[
            (r#""<a>  </a>""#, "=<a>  </a>"),
            (r#""<a>""#, "!"),
            (r#""<?xml version=\"1.0\"?><a/>""#, "~<a/>"),
        ],
    ),
    (
        "tsvector",
        "",
        &[
            (r#""a:1A,1B""#, "~'a':1A"),
            (r#""b a""#, "='a' 'b'"),
            (r#""a:20000""#, "~'a':16383"),
        ],
    ),
    // Composed values.
    (
        "pair",
        "",
        &[
            (r#""(1.25,ab)""#, "~(1.3,ab)"),
            (r#""(1.2,abcd)""#, "!"),
            (r#""(1.2,\"abc \")""#, "!"),
            (r#""(1.2)""#, "!"),
            (r#""(,)""#, "=(,)"),
            (r#"{"n": 1}"#, "!"),
        ],
    ),
    (
        "pair[]",
        "",
        &[
            (r#"["(1.25,a)"]"#, r#"~{"(1.3,a)"}"#),
            (r#"["(1,abcd)"]"#, "!"),
        ],
    ),
    (
        "nest",
        "",
        &[
            (r#""(\"(1.25,a)\",)""#, r#"~("(1.3,a)",)"#),
            (r#""(,\"{\"\"(1.25,a)\"\"}\")""#, r#"~(,"{""(1.3,a)""}")"#),
            (r#""(,\"{\"\"(1,abcd)\"\"}\")""#, "!"),
        ],
    ),
    (
        "prices",
        "",
        &[
            (r#""[1.239,2]""#, "~[1.24,2.00]"),
            (r#""[1.231,1.234)""#, "~empty"),
            (r#""[1,2)""#, "=[1.00,2.00)"),
        ],
    ),
    (
        "floats",
        "",
        &[
            (r#""[16777216,16777217)""#, "~empty"),
            (r#""[0.5,16777217]""#, "~[0.5,1.6777216e+07]"),
        ],
    ),
    (
        "words",
        "",
        &[
            (r#""[a,b c)""#, "=[a,\"b c\")"),
            (r#""(a,a)""#, "~empty"),
            (r#""[ a,b)""#, "=[\" a\",b)"),
        ],
    ),
    (
        "int4range",
        "",
        &[
            (r#""(1,2)""#, "~empty"),
            (r#""(1,3)""#, "=[2,3)"),
            (r#""[1.0,3)""#, "=[1,3)"),
            (r#""[1.5,3)""#, "!"),
            (r#""[5,5]""#, "=[5,6)"),
        ],
    ),
    (
        "daterange",
        "",
        &[
            (r#""[2024-01-01,now)""#, "!"),
            (r#""[15-Jan-24,)""#, "!"),
            (r#""[2024-01-01,2024-01-31]""#, "=[2024-01-01,2024-02-01)"),
        ],
    ),
    (
        "int4multirange",
        "",
        &[
            (r#""{[1,3),[2,5)}""#, "~{[1,5)}"),
            (r#""{[1,3),[3,5)}""#, "~{[1,5)}"),
            (r#""{[5,8),[1,3)}""#, "={[1,3),[5,8)}"),
            (r#""{[1,1)}""#, "~{}"),
            (r#""{}""#, "={}"),
        ],
    ),
    (
        "tstzmultirange",
        "",
        &[(
            r#""{[2024-01-01T00:00Z,2024-01-02T00:00:00.0000001Z)}""#,
            r#"~{["2024-01-01 00:00:00+00","2024-01-02 00:00:00+00")}"#,
        )],
    ),
    (
        "point",
        "",
        &[
            (r#""(1,2)""#, "=(1,2)"),
            (r#""1 2""#, "!"),
            (r#""(0.10000000000000001234,2)""#, "~(0.1,2)"),
            (r#""(1e400,2)""#, "!"),
        ],
    ),
    ("box", "", &[(r#""(0,0),(1,1)""#, "=(1,1),(0,0)")]),
    (
        "point[]",
        "",
        &[(
            r#"["(9007199254740993,0)"]"#,
            r#"~{"(9.007199254740992e+15,0)"}"#,
        )],
    ),
    // Words that mean null.
    (
        "integer",
        "null_words: [NA, '-']",
        &[
            (r#""NA""#, "~null"),
            (r#""na""#, "!"),
            (r#""-""#, "~null"),
            (r#""NA ""#, "!"),
        ],
    ),
    (
        "text",
        "null_words: [NA]",
        &[
            (r#""NA""#, "~null"),
            (r#""NA ""#, "=NA "),
            (r#""\u004eA""#, "~null"),
        ],
    ),
];

#[test]
fn nothing_is_stored_as_something_else() {
    let world = World::new(TYPES, "");
    world.set("LOADER_QUEUE", "off");
    let mut config = String::new();
    for (t, (ty, settings, cases)) in GROUPS.iter().enumerate() {
        world.sql(&format!("CREATE TABLE t{t} (id int PRIMARY KEY, v {ty})"));
        let settings = settings.trim_start_matches('{').trim_end_matches('}');
        config += &format!(
            "t{t}: {{natural_key: [id], on_invalid: reject, spelling: {{v: {{{settings}}}}}}}\n"
        );
        let lines = cases.iter().enumerate();
        let lines = lines.map(|(i, (given, _))| format!("{{\"id\": {i}, \"v\": {given}}}\n"));
        world.put("b", &format!("t{t}.ndjson"), lines.collect::<String>());
    }
    world.configure(&config);
    let plan = world.plan("b");
    // What a client, a role or a database has set reads no value otherwise.
    let name = &world.database;
    world.sql(&format!(
        "ALTER DATABASE {name} SET TimeZone = 'Asia/Tokyo'; ALTER DATABASE {name} SET DateStyle = 'SQL, DMY'; \
         ALTER ROLE CURRENT_USER IN DATABASE {name} SET TimeZone = 'America/Caracas'; \
         ALTER DATABASE {name} SET IntervalStyle = 'sql_standard'; ALTER DATABASE {name} SET lc_monetary = 'C'"
    ));
    world.set("TZ", "America/New_York");
    world.set("PGTZ", "Pacific/Auckland");
    assert!(
        world.plan("b").text == plan.text,
        "another plan under other settings"
    );
    world.apply(&plan).ok();
    let mut wrong = Vec::new();
    let mut told = 0;
    for entry in plan.entries() {
        let t: usize = entry["table"].as_str().unwrap()[1..].parse().unwrap();
        let i: usize = entry["key"]["id"].as_str().unwrap().parse().unwrap();
        let (ty, settings, cases) = GROUPS[t];
        let (given, expect) = cases[i];
        told += 1;
        let here = world.cells(&format!(
            "SELECT format('%s', v), v IS NOT DISTINCT FROM NULL FROM t{t} WHERE id = {i}"
        ));
        let here = here.first().map(|row| match row[1].as_deref() {
            Some("t") => "null".to_owned(),
            _ => row[0].clone().unwrap_or_default(),
        });
        let value = &entry["values"]["v"];
        let found = if entry["action"] == "violation" {
            match (entry["kind"].as_str(), &here) {
                (Some("invalid_value"), None) => "!".to_owned(),
                _ => format!("{} and {here:?} is there", entry["kind"]),
            }
        } else {
            let said = |v: &serde_json::Value| v.as_str().unwrap_or("null").to_owned();
            let (mark, said) = match (value.get("given"), value.get("stored")) {
                (Some(_), Some(stored)) => ("~", said(stored)),
                _ if value.is_null() => ("", said(value)),
                _ => ("=", said(value)),
            };
            match here {
                Some(here) if here == said => format!("{mark}{said}"),
                here => format!("{mark}{said} is planned, and {here:?} is there"),
            }
        };
        // A number of four hundred digits is told by its beginning.
        let expect = match (ty, given) {
            ("numeric", "1e400") => format!("=1{}", "0".repeat(400)),
            _ => expect.to_owned(),
        };
        if found != expect {
            wrong.push(format!(
                "{ty} {settings} {given}: {found}, not {expect}: {}",
                entry["message"]
            ));
        }
    }
    let all: usize = GROUPS.iter().map(|(.., cases)| cases.len()).sum();
    assert!(
        wrong.is_empty(),
        "{} of {all}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(told, all, "each record is told once");
    let again = world.plan("b");
    assert_eq!(again.count("insert"), 0, "a second plan is empty");
    assert_eq!(again.count("update"), 0, "a second plan is empty");
}
