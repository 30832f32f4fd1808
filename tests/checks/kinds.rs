//! One case for each kind of violation: a record that would fail at apply, and exactly what the plan
//! says of it.

use crate::support::{Plan, World};

/// A table with its configuration, what is delivered for it, what must be found, and a statement
/// that proves that the database would have refused.
struct Case {
    table: &'static str,
    schema: &'static str,
    config: &'static str,
    records: &'static str,
    expect: &'static [&'static str],
    proof: (&'static str, &'static str),
}

/// Nothing to prove: what the loader itself refuses.
const NONE: (&str, &str) = ("", "");

/// `kind field given existing position: message`, `-` for what is not said.
fn found(entry: &serde_json::Value) -> String {
    let text = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
    let from = entry["from"][0].as_str().unwrap();
    let (_, position) = from.rsplit_once('#').unwrap();
    format!(
        "{} {} {} {} #{position}: {}",
        text("kind"),
        text("field"),
        text("given"),
        text("existing"),
        text("message")
    )
}

fn check(cases: &[Case]) -> (World, Plan) {
    let world = World::new(
        "CREATE TYPE mood AS ENUM ('sad', 'happy'); \
         CREATE DOMAIN percentage AS numeric(5,2) CHECK (VALUE BETWEEN 0 AND 100); \
         CREATE DOMAIN word AS text CHECK (VALUE IS NOT NULL AND VALUE <> ''); \
         CREATE TABLE parent (id int PRIMARY KEY, code text UNIQUE); INSERT INTO parent VALUES (1, 'one')",
        "",
    );
    world.set("LOADER_QUEUE", "off");
    let mut config = String::new();
    for case in cases {
        world.sql(case.schema);
        world.distribute();
        config += &format!("{}: {{{}}}\n", case.table, case.config);
        world.put("b", &format!("{}.ndjson", case.table), case.records);
    }
    world.configure(&config);
    let plan = world.plan("b");
    let mut failed = Vec::new();
    for case in cases {
        let entries = plan.entries();
        let of = entries
            .iter()
            .filter(|e| e["table"] == case.table && e["action"] == "violation");
        let found: Vec<String> = of.map(found).collect();
        if found != case.expect {
            failed.push(format!("{}:\n{:#?}", case.table, found));
        }
        let (sql, code) = case.proof;
        if !sql.is_empty() {
            let mut client = world.connect();
            let refused = client.batch_execute(sql);
            let refused = refused.expect_err(sql);
            let refused = refused.as_db_error().unwrap();
            assert_eq!(refused.code().code(), code, "{}: {refused}", case.table);
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    (world, plan)
}

#[test]
fn values_that_do_not_fit() {
    let (world, plan) = check(&[
        Case {
            table: "types",
            schema: "CREATE TABLE types (id int PRIMARY KEY, i int, s smallint, v varchar(3), c char(2), b bit(3), n numeric(4,1), \
                     d date, m mood, p percentage, r int4range, a int[], u uuid, j jsonb, t text)",
            config: "natural_key: [id]",
            records: r#"{"id": 0, "i": "eight", "v": "abcd"}
{"id": 1, "s": 40000}
{"id": 2, "c": "abc"}
{"id": 3, "b": "10"}
{"id": 4, "n": 12345}
{"id": 5, "d": "2023-02-29"}
{"id": 6, "m": "glad"}
{"id": 7, "p": 101}
{"id": 8, "r": "[5,1)"}
{"id": 9, "a": [1, "x"]}
{"id": "ten", "u": "no"}
{"id": 11, "j": "\ud800", "t": "a\u0000b"}
{"id": 12, "t": ["a"]}
{"id": 13, "d": "today"}
"#,
            expect: &[
                "invalid_value i eight - #1: not a whole number",
                "invalid_value v abcd - #1: value too long for type character varying(3)",
                "invalid_value s 40000 - #2: value \"40000\" is out of range for type smallint",
                "invalid_value j \"\\ud800\" - #12: which contains half of a surrogate pair, and that is no character",
                "invalid_value t \"a\\u0000b\" - #12: which contains the character U+0000, and PostgreSQL cannot store it",
                "invalid_value t [\"a\"] - #13: which is an array, and the column takes single values",
                "invalid_value d today - #14: the word today stands for the time at which it is read",
                "invalid_value c abc - #3: value too long for type character(2)",
                "invalid_value b 10 - #4: bit string length 2 does not match type bit(3)",
                "invalid_value n 12345 - #5: numeric field overflow",
                "invalid_value d 2023-02-29 - #6: date/time field value out of range: \"2023-02-29\"",
                "invalid_value m glad - #7: not one of the labels sad, happy; did you mean sad?",
                "invalid_value p 101.00 - #8: value for domain percentage violates check constraint \"percentage_check\"",
                "invalid_value r [5,1) - #9: range lower bound must be less than or equal to range upper bound",
                "invalid_value a [1, \"x\"] - #10: x: not a whole number",
                "invalid_value id ten - #11: not a whole number",
                "invalid_value u no - #11: not a UUID",
            ],
            proof: ("INSERT INTO types (id, i) VALUES (0, 'eight')", "22P02"),
        },
        Case {
            table: "nulls",
            schema: "CREATE TABLE nulls (id int PRIMARY KEY, must text NOT NULL, word word, other text NOT NULL DEFAULT 'x')",
            config: "natural_key: [id], conflict_resolution: replace",
            records: r#"{"id": 0, "word": "w"}
{"id": 1, "must": null, "word": "w"}
{"id": 2, "must": "m", "word": null}
{"id": 3, "must": "m"}
{"id": 4, "must": "m", "word": ""}
{"id": 5, "must": "m", "word": "w", "other": null}
"#,
            expect: &[
                "null_value must - - #1: not given, and the column has no default and does not allow null",
                "null_value must - - #2: null, and the column does not allow it",
                "null_value word - - #3: null, and the domain word does not allow it (value for domain word violates check constraint \"word_check\")",
                "null_value word - - #4: null, and the domain word does not allow it (value for domain word violates check constraint \"word_check\")",
                "invalid_value word  - #5: value for domain word violates check constraint \"word_check\"",
                "null_value other - - #6: null, and the column does not allow it",
            ],
            proof: ("INSERT INTO nulls (id, must) VALUES (3, 'm')", "23514"),
        },
        Case {
            table: "nulled",
            schema: "CREATE TABLE nulled (id int PRIMARY KEY, must text NOT NULL); INSERT INTO nulled VALUES (1, 'there')",
            config: "natural_key: [id], conflict_resolution: replace",
            records: "{\"id\": 1, \"must\": null}\n",
            expect: &["null_value must - there #1: null, and the column does not allow it"],
            proof: ("UPDATE nulled SET must = NULL", "23502"),
        },
        Case {
            table: "fields",
            schema: "CREATE TABLE fields (id int PRIMARY KEY, colour text, n int, g int GENERATED ALWAYS AS (n + 1) STORED, \
                     always bigint GENERATED ALWAYS AS IDENTITY)",
            config: "natural_key: [id], ignore_fields: [remark]",
            records: r#"{"id": 0, "color": "red", "remark": "dropped"}
{"id": 1, "g": 2}
{"id": 2, "always": 7}
"#,
            expect: &[
                "unknown_field color red - #1: not a column of the table; did you mean colour?",
                "generated_field g 2 - #2: the database computes this column; leave it out of the records, or list it in ignore_fields",
                "generated_field always 7 - #3: the database computes this column; leave it out of the records, or list it in ignore_fields",
            ],
            proof: ("INSERT INTO fields (id, always) VALUES (2, 7)", "428C9"),
        },
        Case {
            table: "fixed",
            schema: "CREATE TABLE fixed (id int PRIMARY KEY, by text, v text); INSERT INTO fixed VALUES (1, 'me', 'old')",
            config: "natural_key: [id], immutable_fields: [by]",
            records: "{\"id\": 1, \"by\": \"you\", \"v\": \"new\"}\n",
            expect: &[
                "immutable_field by you me #1: the column may be set on insert and never changed",
            ],
            proof: NONE,
        },
    ]);
    world.writes_nothing(|| world.apply_with(&plan, &["--force"]).exits(4));
}

#[test]
fn keys_that_find_no_row_or_too_many() {
    let (_, plan) = check(&[
        Case {
            table: "absent",
            schema: "CREATE TABLE absent (a int, b text, PRIMARY KEY (a, b))",
            config: "natural_key: [a, b]",
            records: "{\"a\": 1}\n{\"a\": 1, \"b\": null}\n{}\n",
            expect: &[
                "missing_key b - - #1: the record has no such field, and it is in the natural key",
                "missing_key b - - #2: null, and it is in the natural key",
                "missing_key a - - #3: the record has no such field, and it is in the natural key",
                "missing_key b - - #3: the record has no such field, and it is in the natural key",
            ],
            proof: ("INSERT INTO absent VALUES (1, NULL)", "23502"),
        },
        Case {
            table: "twice",
            schema: "CREATE TABLE twice (id int PRIMARY KEY, v text)",
            config: "natural_key: [id]",
            records: "{\"id\": 1, \"v\": \"a\"}\n{\"id\": 1, \"v\": \"b\"}\n{\"id\": 2}\n{\"id\": 2}\n",
            expect: &[
                "duplicate_key - - - #1: different records of the batch have this key; keep one of them, or set on_duplicate",
                "duplicate_key - - - #2: different records of the batch have this key; keep one of them, or set on_duplicate",
            ],
            proof: ("INSERT INTO twice VALUES (1, 'a'), (1, 'b')", "23505"),
        },
        Case {
            table: "ambiguous",
            schema: "CREATE TABLE ambiguous (id int, v text); INSERT INTO ambiguous VALUES (1, 'a'), (1, 'b'), (2, 'c')",
            config: "natural_key: [id]",
            records: "{\"id\": 1, \"v\": \"x\"}\n{\"id\": 2, \"v\": \"x\"}\n",
            expect: &[
                "ambiguous_key - - - #1: several rows of the table have this key; a unique index on it would prevent that",
            ],
            proof: ("CREATE UNIQUE INDEX ON ambiguous (id)", "23505"),
        },
        // The key contains a unique index: it still finds one row, and what the index refuses is a conflict.
        Case {
            table: "wider",
            schema: "CREATE TABLE wider (id int PRIMARY KEY, site text NOT NULL, v text); INSERT INTO wider VALUES (1, 'a', 'old')",
            config: "natural_key: [id, site]",
            records: "{\"id\": 1, \"site\": \"a\", \"v\": \"new\"}\n{\"id\": 1, \"site\": \"b\"}\n{\"id\": 2, \"site\": \"a\"}\n{\"id\": 2, \"site\": \"b\"}\n",
            expect: &[
                "unique_conflict id 1 - #2: the unique key wider_pkey would hold this value twice: the row id=1, site=a has it",
                "unique_conflict id 2 - #3: the unique key wider_pkey would hold this value twice: also in the record for id=2, site=b",
                "unique_conflict id 2 - #4: the unique key wider_pkey would hold this value twice: also in the record for id=2, site=a",
            ],
            proof: ("INSERT INTO wider VALUES (1, 'b')", "23505"),
        },
    ]);
    let warnings = |table: &str| {
        let tables = plan.json()["header"]["tables"].clone();
        let tables = tables.as_array().unwrap();
        tables.iter().find(|t| t["table"] == table).unwrap()["warnings"].clone()
    };
    assert_eq!(
        warnings("ambiguous"),
        serde_json::json!([
            "nothing in the database makes the natural key unique; this would: CREATE UNIQUE INDEX ON \"public\".\"ambiguous\" (\"id\"); \
             without it, applying waits for all others that write to the table and keeps them out until it is done \
             (LOCK TABLE … IN SHARE ROW EXCLUSIVE MODE)"
        ])
    );
    assert_eq!(warnings("wider"), serde_json::json!([]));
}

#[test]
fn values_that_another_row_holds() {
    let world = World::new("SELECT 1", "");
    let nulls_not_distinct =
        world.value("SELECT current_setting('server_version_num')::int >= 150000") == "t";
    let mut cases = vec![
        Case {
            table: "email",
            schema: "CREATE TABLE email (id int PRIMARY KEY, mail text UNIQUE); INSERT INTO email VALUES (1, 'a@x'), (2, 'b@x')",
            config: "natural_key: [id]",
            records: "{\"id\": 3, \"mail\": \"a@x\"}\n{\"id\": 2, \"mail\": \"a@x\"}\n{\"id\": 4, \"mail\": \"c@x\"}\n{\"id\": 5, \"mail\": \"c@x\"}\n{\"id\": 6, \"mail\": null}\n{\"id\": 7, \"mail\": null}\n{\"id\": 8, \"mail\": \"b@x\"}\n",
            expect: &[
                "unique_conflict mail a@x - #2: the unique key email_mail_key would hold this value twice: also in the record for id=3",
                "unique_conflict mail a@x - #1: the unique key email_mail_key would hold this value twice: also in the record for id=2",
                "unique_conflict mail c@x - #3: the unique key email_mail_key would hold this value twice: also in the record for id=5",
                "unique_conflict mail c@x - #4: the unique key email_mail_key would hold this value twice: also in the record for id=4",
            ],
            proof: ("INSERT INTO email VALUES (3, 'a@x')", "23505"),
        },
        Case {
            table: "held",
            schema: "CREATE TABLE held (id int PRIMARY KEY, mail text UNIQUE); INSERT INTO held VALUES (1, 'a@x'), (2, 'b@x')",
            config: "natural_key: [id]",
            records: "{\"id\": 3, \"mail\": \"a@x\"}\n",
            expect: &[
                "unique_conflict mail a@x - #1: the unique key held_mail_key would hold this value twice: the row id=1 has it",
            ],
            proof: ("INSERT INTO held VALUES (3, 'a@x')", "23505"),
        },
        Case {
            table: "swapped",
            schema: "CREATE TABLE swapped (id int PRIMARY KEY, slot int UNIQUE); INSERT INTO swapped VALUES (1, 10), (2, 20)",
            config: "natural_key: [id]",
            records: "{\"id\": 1, \"slot\": 20}\n{\"id\": 2, \"slot\": 10}\n",
            expect: &[
                "unique_conflict slot 20 - #1: the unique key swapped_slot_key would hold this value twice: the row id=2 has it and gives it up only later in this plan, or behind 100 others that wait for each other; a deferrable key would allow that, or a batch that changes that row first",
                "unique_conflict slot 10 - #2: the unique key swapped_slot_key would hold this value twice: the row id=1 has it and gives it up only later in this plan, or behind 100 others that wait for each other; a deferrable key would allow that, or a batch that changes that row first",
            ],
            proof: ("UPDATE swapped SET slot = 30 - slot", "23505"),
        },
        Case {
            table: "swappable",
            schema: "CREATE TABLE swappable (id int PRIMARY KEY, slot int UNIQUE DEFERRABLE); INSERT INTO swappable VALUES (1, 10), (2, 20)",
            config: "natural_key: [id]",
            records: "{\"id\": 1, \"slot\": 20}\n{\"id\": 2, \"slot\": 10}\n",
            expect: &[],
            proof: NONE,
        },
        // An update that begins to refer to an inserted row is written after that: it frees nothing for it, but for others.
        Case {
            table: "late",
            schema: "CREATE TABLE late (id int PRIMARY KEY, slot int UNIQUE, p int REFERENCES late); INSERT INTO late VALUES (1, 10, NULL), (2, 20, NULL), (6, 60, NULL)",
            config: "natural_key: [id]",
            records: "{\"id\": 1, \"slot\": 11, \"p\": 5}\n{\"id\": 2, \"slot\": 21}\n{\"id\": 3, \"slot\": 10}\n{\"id\": 4, \"slot\": 20}\n{\"id\": 5, \"slot\": 50}\n{\"id\": 6, \"slot\": 61, \"p\": 7}\n{\"id\": 7, \"slot\": 60}\n",
            expect: &[
                "unique_conflict slot 60 - #7: the unique key late_slot_key would hold this value twice: the row id=6 has it and gives it up only later in this plan, or behind 100 others that wait for each other; a deferrable key would allow that, or a batch that changes that row first",
            ],
            proof: NONE,
        },
        Case {
            table: "partial",
            schema: "CREATE TABLE partial (id int PRIMARY KEY, slot int, active bool); CREATE UNIQUE INDEX one_active ON partial (slot) WHERE active; \
                     INSERT INTO partial VALUES (1, 10, true), (2, 20, false)",
            config: "natural_key: [id]",
            records: "{\"id\": 3, \"slot\": 10, \"active\": false}\n{\"id\": 2, \"slot\": 10, \"active\": true}\n{\"id\": 4, \"slot\": 20, \"active\": true}\n",
            expect: &[
                "unique_conflict slot 10 - #2: the unique key one_active would hold this value twice: the row id=1 has it",
            ],
            proof: (
                "UPDATE partial SET slot = 10, active = true WHERE id = 2",
                "23505",
            ),
        },
        Case {
            table: "expression",
            schema: "CREATE TABLE expression (id int PRIMARY KEY, mail text); CREATE UNIQUE INDEX lower_mail ON expression (lower(mail)); \
                     INSERT INTO expression VALUES (1, 'A@X')",
            config: "natural_key: [id]",
            records: "{\"id\": 2, \"mail\": \"a@x\"}\n{\"id\": 3, \"mail\": \"b@X\"}\n{\"id\": 4, \"mail\": \"B@x\"}\n",
            expect: &[
                "unique_conflict - a@x - #1: the unique key lower_mail would hold this value twice: the row id=1 has it",
                "unique_conflict - b@x - #2: the unique key lower_mail would hold this value twice: also in the record for id=4",
                "unique_conflict - b@x - #3: the unique key lower_mail would hold this value twice: also in the record for id=3",
            ],
            proof: ("INSERT INTO expression VALUES (2, 'a@x')", "23505"),
        },
        Case {
            table: "several",
            schema: "CREATE TABLE several (id int PRIMARY KEY, box text, slot int, UNIQUE (box, slot)); INSERT INTO several VALUES (1, 'a', 1)",
            config: "natural_key: [id]",
            records: "{\"id\": 2, \"box\": \"a\", \"slot\": 1}\n{\"id\": 3, \"box\": \"a\"}\n{\"id\": 4, \"box\": \"a\"}\n{\"id\": 5, \"box\": \"b\", \"slot\": 1}\n",
            expect: &[
                "unique_conflict - a, 1 - #1: the unique key several_box_slot_key would hold this value twice: the row id=1 has it",
            ],
            proof: ("INSERT INTO several VALUES (2, 'a', 1)", "23505"),
        },
        Case {
            table: "excluded",
            schema: "CREATE TABLE excluded (id int PRIMARY KEY, during int4range, EXCLUDE USING gist (during WITH &&)); INSERT INTO excluded VALUES (1, '[1,5)')",
            config: "natural_key: [id]",
            records: "{\"id\": 2, \"during\": \"[4,6)\"}\n{\"id\": 3, \"during\": \"[10,20)\"}\n{\"id\": 4, \"during\": \"[15,16)\"}\n{\"id\": 5, \"during\": \"[6,7)\"}\n",
            expect: &[
                "unique_conflict during [4,6) - #1: the exclusion constraint excluded_during_excl would not hold: the row id=1 has it",
                "unique_conflict during [10,20) - #2: the exclusion constraint excluded_during_excl would not hold: also in the record for id=4",
                "unique_conflict during [15,16) - #3: the exclusion constraint excluded_during_excl would not hold: also in the record for id=3",
            ],
            proof: ("INSERT INTO excluded VALUES (2, '[4,6)')", "23P01"),
        },
        // The row that holds the value has no natural key.
        Case {
            table: "keyless",
            schema: "CREATE TABLE keyless (id int UNIQUE, mail text UNIQUE); INSERT INTO keyless VALUES (NULL, 'a@x')",
            config: "natural_key: [id]",
            records: "{\"id\": 1, \"mail\": \"a@x\"}\n",
            expect: &[
                "unique_conflict mail a@x - #1: the unique key keyless_mail_key would hold this value twice: the row id=null has it",
            ],
            proof: ("INSERT INTO keyless VALUES (1, 'a@x')", "23505"),
        },
    ];
    if nulls_not_distinct {
        cases.push(Case {
            table: "null_once",
            schema: "CREATE TABLE null_once (id int PRIMARY KEY, slot int UNIQUE NULLS NOT DISTINCT); INSERT INTO null_once VALUES (1, NULL)",
            config: "natural_key: [id]",
            records: "{\"id\": 2}\n{\"id\": 3, \"slot\": 1}\n",
            expect: &["unique_conflict slot null - #1: the unique key null_once_slot_key would hold this value twice: the row id=1 has it"],
            proof: ("INSERT INTO null_once VALUES (2)", "23505"),
        });
    }
    let (world, _) = check(&cases);
    // What may change places does, at apply.
    world.put(
        "only",
        "swappable.ndjson",
        "{\"id\": 1, \"slot\": 20}\n{\"id\": 2, \"slot\": 10}\n",
    );
    let plan = world.plan("only");
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT * FROM swappable ORDER BY 1"),
        ["1|20", "2|10"]
    );
}

#[test]
fn rows_that_refer_to_nothing() {
    check(&[
        Case {
            table: "child",
            schema: "CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent, code text REFERENCES parent (code))",
            config: "natural_key: [id]",
            records: "{\"id\": 1, \"p\": 1, \"code\": \"one\"}\n{\"id\": 2, \"p\": 9}\n{\"id\": 3, \"code\": \"two\"}\n{\"id\": 4, \"p\": null}\n",
            expect: &[
                "missing_parent p 9 - #2: no row of parent has id = 9, neither in the database nor among the records of this plan that can be loaded (child_p_fkey)",
                "missing_parent code two - #3: no row of parent has code = two, neither in the database nor among the records of this plan that can be loaded (child_code_fkey)",
            ],
            proof: ("INSERT INTO child VALUES (2, 9)", "23503"),
        },
        Case {
            table: "full",
            schema: "CREATE TABLE pair (a int, b int, PRIMARY KEY (a, b)); INSERT INTO pair VALUES (1, 2); \
                     CREATE TABLE \"full\" (id int PRIMARY KEY, a int, b int, CONSTRAINT pair_key FOREIGN KEY (a, b) REFERENCES pair MATCH FULL)",
            config: "natural_key: [id]",
            records: "{\"id\": 1, \"a\": 1, \"b\": 2}\n{\"id\": 2, \"a\": 1}\n{\"id\": 3, \"a\": 2, \"b\": 2}\n{\"id\": 4}\n",
            expect: &[
                "missing_parent - - - #2: a, b must be given together or be null together (pair_key)",
                "missing_parent - 2, 2 - #3: no row of pair has a, b = 2, 2, neither in the database nor among the records of this plan that can be loaded (pair_key)",
            ],
            proof: ("INSERT INTO \"full\" VALUES (2, 1, NULL)", "23503"),
        },
        // A row is referred to by a value that the plan would change.
        Case {
            table: "moved",
            schema: "CREATE TABLE moved (id int PRIMARY KEY, code text UNIQUE); INSERT INTO moved VALUES (1, 'a'), (2, 'b'); \
                     CREATE TABLE uses (id int PRIMARY KEY, code text REFERENCES moved (code)); INSERT INTO uses VALUES (1, 'a')",
            config: "natural_key: [id]",
            records: "{\"id\": 1, \"code\": \"c\"}\n{\"id\": 2, \"code\": \"d\"}\n",
            expect: &[
                "missing_parent code - - #1: rows of uses refer to the value that this would change (uses_code_fkey); a deferrable key would allow both to change together, or a batch that makes those rows refer to others first",
            ],
            proof: ("UPDATE moved SET code = 'c' WHERE id = 1", "23503"),
        },
        Case {
            table: "uses",
            schema: "SELECT 1",
            config: "natural_key: [id]",
            records: "{\"id\": 2, \"code\": \"b\"}\n{\"id\": 3, \"code\": \"d\"}\n",
            expect: &[
                "missing_parent code b - #1: no row of moved has code = b, neither in the database once this plan has changed others nor among the records of this plan that can be loaded (uses_code_fkey)",
            ],
            proof: NONE,
        },
    ]);
}

#[test]
fn rows_that_break_a_check() {
    check(&[
        Case {
            table: "checked",
            schema: "CREATE TABLE checked (id int PRIMARY KEY, n int CHECK (n > 0), low int, high int, CONSTRAINT ordered CHECK (low <= high)); \
                     INSERT INTO checked VALUES (1, 1, 5, 10)",
            config: "natural_key: [id]",
            records: "{\"id\": 2, \"n\": 0}\n{\"id\": 1, \"low\": 11}\n{\"id\": 3, \"low\": 1}\n{\"id\": 4, \"n\": -1, \"low\": 2, \"high\": 1}\n",
            expect: &[
                "check_failed - - - #2: the check constraint ordered does not hold: (low <= high)",
                "check_failed - - - #1: the check constraint checked_n_check does not hold: (n > 0)",
                "check_failed - - - #4: the check constraint checked_n_check does not hold: (n > 0)",
                "check_failed - - - #4: the check constraint ordered does not hold: (low <= high)",
            ],
            proof: ("UPDATE checked SET low = 11 WHERE id = 1", "23514"),
        },
        // What a record's own values read, hides nothing.
        Case {
            table: "hidden",
            schema: "CREATE TABLE hidden (id int PRIMARY KEY, n int CHECK (n > 0))",
            config: "natural_key: [id]",
            records: "{\"id\": 1, \"n\": 0, \"extra\": \"invalid_value\"}\n{\"id\": 2, \"n\": 0, \"invalid_value\": 1}\n\
                      {\"id\": 3, \"n\": 0, \"extra\": \"{\\\"kind\\\":\\\"invalid_value\\\"}\"}\n",
            expect: &[
                "unknown_field extra invalid_value - #1: not a column of the table; in tables.yaml, `columns` says which column it is, `ignore_fields` that it is not loaded",
                "check_failed - - - #1: the check constraint hidden_n_check does not hold: (n > 0)",
                "unknown_field invalid_value 1 - #2: not a column of the table; in tables.yaml, `columns` says which column it is, `ignore_fields` that it is not loaded",
                "check_failed - - - #2: the check constraint hidden_n_check does not hold: (n > 0)",
                "unknown_field extra {\"kind\":\"invalid_value\"} - #3: not a column of the table; in tables.yaml, `columns` says which column it is, `ignore_fields` that it is not loaded",
                "check_failed - - - #3: the check constraint hidden_n_check does not hold: (n > 0)",
            ],
            proof: ("INSERT INTO hidden VALUES (1, 0)", "23514"),
        },
        Case {
            table: "raises",
            schema: "CREATE TABLE raises (id int PRIMARY KEY, n int, t text, CONSTRAINT divided CHECK (10 / n > 1), g int GENERATED ALWAYS AS (t::int) STORED)",
            config: "natural_key: [id]",
            records: "{\"id\": 1, \"n\": 0}\n{\"id\": 2, \"n\": 2, \"t\": \"7\"}\n{\"id\": 3, \"n\": 20}\n{\"id\": 4, \"t\": \"x\"}\n",
            expect: &[
                "check_failed - - - #1: the check constraint divided does not hold: ((10 / n) > 1) (division by zero)",
                "check_failed - - - #3: the check constraint divided does not hold: ((10 / n) > 1)",
                "check_failed g - - #4: the generated column cannot be computed: (t)::integer (invalid input syntax for type integer: \"x\")",
            ],
            proof: ("INSERT INTO raises VALUES (4, 1, 'x')", "22P02"),
        },
        Case {
            table: "indexed",
            schema: "CREATE TABLE indexed (id int PRIMARY KEY, t text); CREATE UNIQUE INDEX as_number ON indexed ((t::int))",
            config: "natural_key: [id]",
            records: "{\"id\": 1, \"t\": \"7\"}\n{\"id\": 2, \"t\": \"x\"}\n",
            expect: &[
                "check_failed - - - #2: the index as_number cannot hold the row: (t::integer) (invalid input syntax for type integer: \"x\")",
            ],
            proof: ("INSERT INTO indexed VALUES (2, 'x')", "22P02"),
        },
        Case {
            table: "parted",
            schema: "CREATE TABLE parted (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); \
                     CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10)",
            config: "natural_key: [id]",
            records: "{\"id\": 1}\n{\"id\": 10}\n",
            expect: &["check_failed - - - #2: no partition of parted takes the row"],
            proof: ("INSERT INTO parted VALUES (10)", "23514"),
        },
        // What is not known before it is stored is not judged.
        Case {
            table: "unknown",
            schema: "CREATE SEQUENCE own; CREATE FUNCTION next_own() RETURNS bigint LANGUAGE sql AS 'SELECT nextval(''own'')'; \
                     CREATE TABLE unknown (id int PRIMARY KEY, serial serial CHECK (serial IS NOT NULL), own bigint UNIQUE DEFAULT next_own() CHECK (own IS NOT NULL), \
                     by text, CHECK (by IS NOT NULL), CHECK ((unknown.*) IS NOT NULL OR true))",
            config: "natural_key: [id], stamps: {by: actor}",
            records: "{\"id\": 1}\n{\"id\": 2}\n",
            expect: &[],
            proof: NONE,
        },
    ]);
}

const FAMILY: &str = "
CREATE TABLE p (id int PRIMARY KEY, must text NOT NULL, by text);
CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p, up int REFERENCES c, mail text UNIQUE);
INSERT INTO p VALUES (1, 'x', 'me');
";

/// Delivers parents and children of which some are bad, for a configuration of both tables.
fn family(config: &str) -> (World, Plan) {
    let world = World::new(
        FAMILY,
        &format!(
            "p: {{natural_key: [id], immutable_fields: [by], {config}}}\nc: {{natural_key: [id], {config}}}"
        ),
    );
    world.deliver("b", "p/null.json", r#"{"id": 2, "must": null}"#);
    world.deliver(
        "b",
        "p/twice.json",
        r#"[{"id": 3, "must": "a"}, {"id": 3, "must": "b"}]"#,
    );
    world.deliver("b", "p/by.json", r#"{"id": 1, "must": "new", "by": "you"}"#);
    world.deliver("b", "p/good.json", r#"{"id": 4, "must": "a"}"#);
    world.deliver("b", "c/of_null.json", r#"{"id": 20, "p": 2, "mail": "m"}"#);
    world.deliver("b", "c/of_twice.json", r#"{"id": 30, "p": 3}"#);
    world.deliver("b", "c/of_by.json", r#"{"id": 10, "p": 1, "mail": "m"}"#);
    world.deliver("b", "c/of_good.json", r#"{"id": 40, "p": 4}"#);
    world.deliver(
        "b",
        "c/grandchild.json",
        r#"[{"id": 21, "up": 20}, {"id": 22, "up": 21}]"#,
    );
    let plan = world.plan("b");
    (world, plan)
}

#[test]
fn what_blocks_and_what_is_left_out_with_all_that_depends_on_it() {
    let (world, plan) = family("on_invalid: block");
    assert_eq!(
        plan.news(),
        [
            "! p id=1: immutable_field by block",
            "! p id=2: null_value must block",
            "! p id=3: duplicate_key block",
            "! p id=3: duplicate_key block",
            r#"+ p id=4: must="a""#,
            "! c id=10: unique_conflict mail block",
            "! c id=20: unique_conflict mail block",
            r#"+ c id=21: up="20""#,
            r#"+ c id=22: up="21""#,
            r#"+ c id=30: p="3""#,
            r#"+ c id=40: p="4""#,
        ]
    );
    world.writes_nothing(|| world.apply_with(&plan, &["--force"]).exits(4));

    let (world, plan) = family("on_invalid: reject, on_immutable: reject, on_duplicate: reject");
    assert_eq!(
        plan.news(),
        [
            "! p id=1: immutable_field by reject",
            "! p id=2: null_value must reject",
            "! p id=3: duplicate_key reject",
            "! p id=3: duplicate_key reject",
            r#"+ p id=4: must="a""#,
            // Its mail is free: the other record with it is left out.
            r#"+ c id=10: mail="m" p="1""#,
            "! c id=20: missing_parent p reject",
            "! c id=20: unique_conflict mail reject",
            "! c id=21: missing_parent up reject",
            "! c id=22: missing_parent up reject",
            "! c id=30: missing_parent p reject",
            r#"+ c id=40: p="4""#,
        ]
    );
    assert_eq!(plan.json()["header"]["blocking"], 0);
    world.apply(&plan).ok();
    assert_eq!(world.rows("SELECT id FROM c ORDER BY 1"), ["10", "40"]);
    assert_eq!(
        world.rows(
            "SELECT s3_key, status, error_message FROM validation_queue ORDER BY status, s3_key"
        ),
        [
            "staging/b/c/grandchild.json|failed|missing_parent: up: no row of c has id = 20, neither in the database nor among the records \
             of this plan that can be loaded (c_up_fkey) (staging/b/c/grandchild.json#1) and 1 more",
            "staging/b/c/of_null.json|failed|missing_parent: p: no row of p has id = 2, neither in the database nor among the records of \
             this plan that can be loaded (c_p_fkey) (staging/b/c/of_null.json#1) and 1 more",
            "staging/b/c/of_twice.json|failed|missing_parent: p: no row of p has id = 3, neither in the database nor among the records of \
             this plan that can be loaded (c_p_fkey) (staging/b/c/of_twice.json#1)",
            "staging/b/p/by.json|failed|immutable_field: by: the column may be set on insert and never changed (staging/b/p/by.json#1)",
            "staging/b/p/null.json|failed|null_value: must: null, and the column does not allow it (staging/b/p/null.json#1)",
            "staging/b/p/twice.json|failed|duplicate_key: different records of the batch have this key; keep one of them, or set \
             on_duplicate (staging/b/p/twice.json#1) and 1 more",
            "staging/b/c/of_by.json|loaded|∅",
            "staging/b/c/of_good.json|loaded|∅",
            "staging/b/p/good.json|loaded|∅",
        ]
    );

    let (world, plan) = family("on_invalid: reject, on_immutable: keep, on_duplicate: last");
    assert_eq!(
        plan.news(),
        [
            r#"~ p id=1: must="x"→"new""#,
            "! p id=1: immutable_field by keep",
            "! p id=2: null_value must reject",
            "= p id=3: superseded",
            r#"+ p id=3: must="b""#,
            r#"+ p id=4: must="a""#,
            r#"+ c id=10: mail="m" p="1""#,
            "! c id=20: missing_parent p reject",
            "! c id=20: unique_conflict mail reject",
            "! c id=21: missing_parent up reject",
            "! c id=22: missing_parent up reject",
            r#"+ c id=30: p="3""#,
            r#"+ c id=40: p="4""#,
        ]
    );
    world.apply(&plan).ok();
    assert_eq!(
        world.rows("SELECT * FROM p ORDER BY 1"),
        ["1|new|me", "3|b|∅", "4|a|∅"]
    );
}

#[test]
fn one_bad_value_in_ten_is_reported_each_in_its_place() {
    let world = World::new(
        "CREATE TABLE big (id int PRIMARY KEY, n int CHECK (n < 1000000), v varchar(5), mail text UNIQUE)",
        "big: {natural_key: [id]}",
    );
    world.set("LOADER_QUEUE", "off");
    world.set("MAX_RECORDS_PER_BATCH", "100000");
    let bad = [
        r#""n": "x""#,
        r#""v": "123456""#,
        r#""n": 1000000"#,
        r#""mail": "same""#,
        r#""n": "y", "v": "123456""#,
    ];
    let record = |i: usize| match i % 10 {
        3 => format!("{{\"id\": {i}, {}}}\n", bad[i / 10 % bad.len()]),
        _ => format!("{{\"id\": {i}, \"n\": {i}, \"v\": \"abc\", \"mail\": \"m{i}\"}}\n"),
    };
    world.put(
        "b",
        "big.ndjson",
        (0..10_000).map(record).collect::<String>(),
    );
    let plan = world.plan("b");
    assert_eq!(
        (plan.count("insert"), plan.count("violation")),
        (9_000, 1_000)
    );
    let mut seen = vec![0; 10_000];
    for entry in plan.entries() {
        let id: usize = entry["key"]["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(entry["from"][0], format!("staging/b/big.ndjson#{}", id + 1));
        if entry["action"] == "violation" {
            seen[id] += 1;
        }
    }
    for (id, seen) in seen.into_iter().enumerate() {
        let expected = match (id % 10, id / 10 % bad.len()) {
            (3, 4) => 2,
            (3, _) => 1,
            _ => 0,
        };
        assert_eq!(seen, expected, "record {id}");
    }
}
