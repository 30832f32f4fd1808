//! Plans made in memory: everything that can stand in one, hostile rows, and very many rows.

use std::fs::File;
use std::path::PathBuf;

use table_loader::config::TableConfig;
use table_loader::internal::PlanWriter;
use table_loader::plan::{
    Counts, Effect, Entry, Fingerprint, Fragment, Header, Kind, Qualified, Skip, TablePlan,
    TargetDatabase, Value, Values, Violation, ViolationKind, What,
};
use table_loader::planfile::{Made, PlanFile};

/// A plan file in a folder that goes when it goes.
pub struct Plan {
    folder: tempfile::TempDir,
}

impl Plan {
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("plan.json")
    }

    pub fn open(&self) -> PlanFile {
        PlanFile::open(&self.path()).unwrap()
    }
}

pub fn value(v: &str) -> Option<String> {
    Some(v.to_owned())
}

pub fn values(pairs: &[(&str, Option<&str>)]) -> Values {
    let own = |(c, v): &(&str, Option<&str>)| ((*c).to_owned(), (*v).into());
    pairs.iter().map(own).collect()
}

pub fn table(name: &str, config: &str, parents: &[&str], width: u64) -> TablePlan {
    let mut config: serde_json::Value = serde_json::from_str(config).unwrap();
    // Unless it is said, a load deletes nothing.
    config["limits"] = serde_json::json!({"delete": 1000});
    let config: TableConfig = serde_json::from_value(config).unwrap();
    TablePlan {
        table_kind: Default::default(),
        table: name.into(),
        relation: Qualified {
            schema: "public".into(),
            name: name.into(),
        },
        config,
        schema: "sha256:00".into(),
        parents: parents.iter().map(|p| (*p).to_owned()).collect(),
        width,
        rows: None,
        columns: Vec::new(),
        numbers: Vec::new(),
        alive: Default::default(),
        own_limits: None,
        counts: Counts::default(),
        marks: 0,
        skips: Default::default(),
        rejected: 0,
        triggered: Vec::new(),
        left_to_triggers: Vec::new(),
        passed_over: Default::default(),
        warnings: Vec::new(),
    }
}

pub fn entry(table: &str, key: &[(&str, Option<&str>)], what: What) -> Entry {
    Entry {
        table: table.into(),
        key: values(key),
        what,
        extracted: None,
        group: None,
        from: vec![format!("staging/b1/{table}/frag_1.json#0")],
    }
}

pub fn insert(pairs: &[(&str, Option<&str>)]) -> What {
    What::Insert {
        values: values(pairs),
    }
}

pub fn update(changes: &[(&str, Option<&str>, Option<&str>)]) -> What {
    What::Update {
        set: changes
            .iter()
            .map(|(c, a, b)| ((*c).to_owned(), ((*a).into(), (*b).into())))
            .collect(),
        expect: digest(),
        revives: None,
        stays: Vec::new(),
    }
}

pub fn delete(pairs: &[(&str, Option<&str>)], soft: bool) -> What {
    What::Delete {
        expect: digest(),
        values: values(pairs),
        soft,
    }
}

pub fn digest() -> Fingerprint {
    Fingerprint("0123456789abcdef0123456789abcdef".into())
}

pub fn violation(
    kind: ViolationKind,
    effect: Effect,
    field: &str,
    pair: (Option<&str>, Option<&str>),
    why: &str,
) -> What {
    What::Violation(Violation {
        field: (!field.is_empty()).then(|| field.to_owned()),
        existing: pair.0.map(str::to_owned),
        given: pair.1.map(str::to_owned),
        ..Violation::new(kind, effect, why)
    })
}

/// Writes a plan with these tables and entries.
pub fn write(kind: Kind, tables: Vec<TablePlan>, entries: impl Iterator<Item = Entry>) -> Plan {
    let objects = ["staging/b1/subjects/frag_1.json"];
    write_noted(kind, tables, entries, &objects, None)
}

/// Writes a plan made from these objects, that says how it came about.
pub fn write_noted(
    kind: Kind,
    tables: Vec<TablePlan>,
    entries: impl Iterator<Item = Entry>,
    objects: &[&str],
    made: Option<Made>,
) -> Plan {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { folder };
    let mut writer = PlanWriter::new().unwrap().noted(made);
    for key in objects {
        let fragment = Fragment {
            key: (*key).into(),
            table: "subjects".into(),
            etag: None,
            sha256: "00".into(),
            records: 1,
            queue: Vec::new(),
        };
        writer.fragment(&fragment).unwrap();
    }
    let mut records = 0;
    for entry in entries {
        records += 1;
        writer.entry(entry).unwrap();
    }
    let header = Header {
        kind,
        batch_id: "batch_20240115_143022".into(),
        undoes: Vec::new(),
        undoes_in_part: Vec::new(),
        redone_by: Vec::new(),
        of_rollbacks: false,
        target: TargetDatabase {
            database: "idhub".into(),
            identity: "1/2".into(),
            lineage: "3".into(),
            loader_schema: "public".into(),
            search_path: vec!["public".into()],
        },
        records,
        blocking: 0,
        rejected: 0,
        summary: Counts::default(),
        tables,
        salt: None,
    };
    writer
        .finish(header, File::create(plan.path()).unwrap())
        .unwrap();
    plan
}

/// A plan with everything in it that a load can have.
pub fn everything(blocked: bool) -> Plan {
    let mut subjects = table(
        "subjects",
        r#"{"natural_key": ["gsid"], "immutable_fields": ["created_by"], "sensitive": ["ssn"], "soft_delete": true}"#,
        &[],
        9,
    );
    subjects
        .warnings
        .push("its triggers run when this is applied: subjects_touch".into());
    let families = table("families", r#"{"natural_key": ["family_no"]}"#, &[], 3);
    let mut specimen = table(
        "specimen",
        r#"{"natural_key": ["gsid", "sample_id"], "on_invalid": "reject"}"#,
        &["subjects", "families", "specimen"],
        12,
    );
    specimen.warnings.push("nothing in the database makes the natural key unique; this would: CREATE UNIQUE INDEX ON public.specimen (\"gsid\", \"sample_id\")".into());
    let lcl = table("lcl", r#"{"natural_key": ["niddk_no"]}"#, &["specimen"], 7);
    let gsid = |n: usize| format!("GSID-{n:04}");
    let mut entries = Vec::new();
    if blocked {
        entries.push(entry(
            "subjects",
            &[("gsid", Some("GSID-0002"))],
            violation(
                ViolationKind::ImmutableField,
                Effect::Block,
                "created_by",
                (Some("manual"), Some("lims")),
                "the column may be set on insert and never changed",
            ),
        ));
    }
    entries.push(entry(
        "subjects",
        &[("gsid", Some("GSID-0003"))],
        violation(
            ViolationKind::InvalidValue,
            Effect::Reject,
            "ssn",
            (None, Some("078-05-112O")),
            "value \"078-05-112O\" for domain ssn violates check constraint \"ssn_check\"",
        ),
    ));
    entries.push(entry(
        "subjects",
        &[("gsid", Some("GSID-0004"))],
        delete(
            &[
                ("sex", Some("F")),
                ("ssn", Some("078-05-1120")),
                ("note", None),
            ],
            true,
        ),
    ));
    for n in 10..30 {
        entries.push(entry(
            "subjects",
            &[("gsid", Some(&gsid(n)))],
            update(&[("site", Some("Boston"), Some("Boston, MA"))]),
        ));
    }
    entries.push(Entry {
        what: What::Update {
            set: [
                (
                    "deleted_at".into(),
                    (value("2024-01-01 00:00:00+00").into(), Value::Null),
                ),
                (
                    "ssn".into(),
                    (value("078-05-1120").into(), "219-09-9999".into()),
                ),
            ]
            .into(),
            expect: digest(),
            revives: Some(values(&[("site", Some("Boston")), ("sex", Some("F"))])),
            stays: Vec::new(),
        },
        ..entry(
            "subjects",
            &[("gsid", Some("GSID-0031"))],
            What::Skip(Skip::Exists),
        )
    });
    entries.push(entry("subjects", &[("gsid", Some("GSID-0032"))], update(&[("sex", None, Some("F")), ("note", Some("first line\nsecond line"), Some("first line\nsecond line, a good deal longer than the one before, so that it cannot stand on one line of eighty columns"))])));
    entries.push(entry(
        "subjects",
        &[("gsid", Some("GSID-0033"))],
        insert(&[
            ("sex", Some("M")),
            ("ssn", Some("219-09-9999")),
            ("birth_year", Some("1971")),
            ("created_by", Some("lims")),
        ]),
    ));
    for n in 40..44 {
        entries.push(entry(
            "subjects",
            &[("gsid", Some(&gsid(n)))],
            What::Skip(Skip::Unchanged(digest())),
        ));
    }
    entries.push(entry(
        "families",
        &[("family_no", Some("F-1"))],
        What::Skip(Skip::Conflict),
    ));
    for n in 0..3 {
        let sample = format!("SMP-{n}");
        let mut values = values(&[
            ("volume_ml", Some("1.500")),
            ("freezer", Some("B/7")),
            ("box", None),
        ]);
        if n == 2 {
            let volume = Value::from("1.500").rounded_from("1.50049".into());
            values.insert("volume_ml".into(), volume);
        }
        entries.push(Entry {
            what: What::Insert { values },
            ..entry(
                "specimen",
                &[("gsid", Some("GSID-0033")), ("sample_id", Some(&sample))],
                What::Skip(Skip::Exists),
            )
        });
    }
    entries.push(entry(
        "specimen",
        &[("gsid", Some("GSID-9999")), ("sample_id", Some("SMP-7"))],
        violation(
            ViolationKind::MissingParent,
            Effect::Reject,
            "gsid",
            (None, Some("GSID-9999")),
            "there is no such row in subjects, and none in this plan",
        ),
    ));
    entries.push(entry(
        "specimen",
        &[("gsid", Some("GSID-0010")), ("sample_id", Some("SMP-8"))],
        delete(
            &[("volume_ml", Some("0.250")), ("freezer", Some("C/3"))],
            false,
        ),
    ));
    entries.push(entry(
        "lcl",
        &[("niddk_no", Some("12345"))],
        update(&[
            ("passage_number", Some("5"), Some("8")),
            (
                "medium",
                Some(&("RPMI ".repeat(80) + "old")),
                Some(&("RPMI ".repeat(80) + "new")),
            ),
        ]),
    ));
    write(
        Kind::Load,
        vec![subjects, families, specimen, lcl],
        entries.into_iter(),
    )
}

/// Values that try to break out of what they are shown in.
pub const HOSTILE: [&str; 18] = [
    "<script>document.title='hacked'</script>",
    "</script><script>document.title='hacked'</script><!--",
    "<img src=https://evil.example/x onerror=document.title='hacked'>",
    "javascript:document.title='hacked'",
    "[click](javascript:alert(1)) ![x](https://evil.example/x.png) https://evil.example www.evil.example",
    "a | b \\| c \\\\| d",
    "``` ``` ` `` ~~~",
    "</code></summary></details></td></table><h1>out</h1>",
    "@everyone @octocat #1 !1 GH-1 user@evil.example",
    "\u{202e}drowssap\u{202c} \u{2066}x\u{2069} zero\u{200b}width \u{2028}\u{2029}",
    "\u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7} \u{9b}31m \u{8}\r\n\t\0",
    "&lt;b&gt; &amp; &#60; &#x3c;",
    "\"><b a='\"'>",
    "--> <!-- table-loader plan sha256:0000 -->",
    "*bold* _it_ **b** ~~s~~ # h\n# heading\n- [ ] task\n| a | b |\n|---|---|",
    "$x^2$ $$y$$ :smile: <!-- c -->",
    "  leading and trailing  ",
    "",
];

/// Rows in which every part that can hold text is hostile.
pub fn hostile() -> Plan {
    let name = "ev|il`<b>@x\u{202e}";
    let mut evil = table(name, r#"{"natural_key": ["id"]}"#, &[], 4);
    evil.warnings
        .extend(HOSTILE.iter().map(|v| (*v).to_owned()));
    let mut entries = Vec::new();
    for bad in HOSTILE {
        let mut violation = entry(
            name,
            &[("id", Some(bad)), (bad, Some(bad))],
            violation(
                ViolationKind::InvalidValue,
                Effect::Reject,
                bad,
                (Some(bad), Some(bad)),
                bad,
            ),
        );
        violation.from = vec![bad.to_owned()];
        entries.push(violation);
        entries.push(entry(
            name,
            &[("id", Some(bad)), (bad, Some(bad))],
            delete(&[(bad, Some(bad))], false),
        ));
        entries.push(entry(
            name,
            &[("id", Some(bad)), (bad, Some(bad))],
            update(&[(bad, Some(bad), None), ("x", Some("plain"), Some(bad))]),
        ));
        entries.push(entry(
            name,
            &[("id", Some(bad)), (bad, Some(bad))],
            insert(&[(bad, Some(bad))]),
        ));
    }
    let huge = "<b>&\u{202e}".repeat(120_000);
    entries.push(entry(
        name,
        &[("id", Some("huge"))],
        insert(&[("x", Some(&huge))]),
    ));
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    write(Kind::Load, vec![evil], entries.into_iter())
}

/// `n` changes over five tables: mostly distinct updates, many inserts, some alike.
pub fn many(n: usize) -> Plan {
    let names = ["subjects", "families", "specimen", "lcl", "dna"];
    let parents: [&[&str]; 5] = [
        &[],
        &["subjects"],
        &["subjects"],
        &["specimen"],
        &["specimen", "lcl"],
    ];
    let tables = names
        .iter()
        .zip(parents)
        .map(|(name, parents)| table(name, r#"{"natural_key": ["id"]}"#, parents, 8));
    let entries = (0..n).map(|i| {
        let table = names[i * names.len() / n.max(1)];
        let id = format!("{table}-{i:07}");
        let key = [("id", Some(id.as_str()))];
        match i % 10 {
            0..4 => entry(
                table,
                &key,
                update(&[
                    (
                        "volume_ml",
                        Some(&format!("{}.500", i % 977)),
                        Some(&format!("{}.750", i % 983)),
                    ),
                    ("freezer", Some("A/1"), Some(&format!("B/{i}"))),
                ]),
            ),
            4..7 => entry(
                table,
                &key,
                update(&[("status", Some("pending"), Some("validated"))]),
            ),
            7 if i % 1000 == 7 => entry(
                table,
                &key,
                violation(
                    ViolationKind::InvalidValue,
                    Effect::Reject,
                    "sex",
                    (None, Some("X")),
                    "not one of F, M",
                ),
            ),
            _ => entry(
                table,
                &key,
                insert(&[
                    ("volume_ml", Some(&format!("{i}.125"))),
                    ("freezer", Some("C/7")),
                    ("collected_at", Some("2024-01-15 00:00:00+00")),
                    ("operator", Some("A. Technician")),
                ]),
            ),
        }
    });
    write(Kind::Load, tables.collect(), entries)
}

/// A load as a curator may meet it: eight tables, some hundred changes, a few things to look at.
pub fn showcase() -> Plan {
    let config = |key: &str| format!(r#"{{"natural_key": [{key}]}}"#);
    let mut subjects = table(
        "subjects",
        r#"{"natural_key": ["gsid"], "immutable_fields": ["created_by"], "sensitive": ["ssn"], "soft_delete": true}"#,
        &[],
        14,
    );
    subjects
        .warnings
        .push("its triggers run when this is applied: subjects_touch".into());
    let tables = vec![
        table("centers", &config(r#""center""#), &[], 6),
        subjects,
        table("consents", &config(r#""gsid", "form""#), &["subjects"], 8),
        table(
            "visits",
            &config(r#""gsid", "visit_no""#),
            &["centers", "subjects"],
            11,
        ),
        table(
            "specimen",
            r#"{"natural_key": ["sample_id"], "on_invalid": "reject"}"#,
            &["subjects", "visits", "specimen"],
            17,
        ),
        table("lcl", &config(r#""niddk_no""#), &["specimen"], 9),
        table(
            "dna",
            &config(r#""dna_id""#),
            &["specimen", "lcl", "centers"],
            12,
        ),
    ];
    let mut entries = vec![entry(
        "centers",
        &[("center", Some("Lyon"))],
        update(&[(
            "contact",
            Some("samples@chu.example"),
            Some("biobank@chu.example"),
        )]),
    )];
    let immutable = violation(
        ViolationKind::ImmutableField,
        Effect::Reject,
        "created_by",
        (Some("redcap"), Some("lims")),
        "the column may be set on insert and never changed",
    );
    let gone = delete(
        &[
            ("sex", Some("F")),
            ("ssn", Some("078-05-1120")),
            ("birth_year", Some("1948")),
        ],
        true,
    );
    for n in 0..64 {
        let id = format!("GSID-{:04}", 1000 + 7 * n);
        let key = [("gsid", Some(id.as_str()))];
        entries.push(match n {
            3 | 45 => entry("subjects", &key, immutable.clone()),
            9 => entry("subjects", &key, gone.clone()),
            12 => entry(
                "subjects",
                &key,
                update(&[
                    ("birth_year", Some("1963"), Some("1936")),
                    (
                        "note",
                        Some("enrolled at visit 2, consent pending"),
                        Some("enrolled at visit 2, consent given 2024-01-12"),
                    ),
                    ("ssn", Some("219-09-9999"), Some("219-09-9990")),
                ]),
            ),
            13 | 27 => entry(
                "subjects",
                &key,
                update(&[
                    ("sex", None, Some("M")),
                    ("site", Some("Boston"), Some("Boston, MA")),
                ]),
            ),
            14..=33 => entry(
                "subjects",
                &key,
                update(&[("site", Some("Boston"), Some("Boston, MA"))]),
            ),
            34..=39 => entry(
                "subjects",
                &key,
                insert(&[
                    ("sex", Some(if n % 2 == 0 { "F" } else { "M" })),
                    ("birth_year", Some("1971")),
                    ("site", Some("Lyon")),
                    ("created_by", Some("lims")),
                ]),
            ),
            _ => entry("subjects", &key, What::Skip(Skip::Unchanged(digest()))),
        });
    }
    for n in 0..12 {
        let id = format!("GSID-{:04}", 1238 + 7 * n);
        entries.push(entry(
            "consents",
            &[("gsid", Some(&id)), ("form", Some("v3"))],
            insert(&[("signed_on", Some("2024-01-12"))]),
        ));
    }
    for n in 0..90 {
        let id = format!("GSID-{:04}", 1000 + 7 * (n / 2));
        let visit = format!("{}", n % 2 + 1);
        let key = [
            ("gsid", Some(id.as_str())),
            ("visit_no", Some(visit.as_str())),
        ];
        entries.push(match n % 9 {
            0 => entry(
                "visits",
                &key,
                update(&[("status", Some("planned"), Some("done"))]),
            ),
            _ => entry("visits", &key, What::Skip(Skip::Unchanged(digest()))),
        });
    }
    for n in 0..120 {
        let (id, volume, place) = (
            format!("SMP-{:05}", 20_400 + n),
            format!("{}.500", n % 5),
            format!("B/{}", n / 10),
        );
        let key = [("sample_id", Some(id.as_str()))];
        entries.push(match n {
            17 => entry(
                "specimen",
                &key,
                violation(
                    ViolationKind::InvalidValue,
                    Effect::Reject,
                    "volume_ml",
                    (None, Some("1,5")),
                    "invalid input syntax for type numeric: \"1,5\"",
                ),
            ),
            58 => entry(
                "specimen",
                &key,
                violation(
                    ViolationKind::MissingParent,
                    Effect::Reject,
                    "gsid",
                    (None, Some("GSID-9999")),
                    "there is no such row in subjects, and none in this plan",
                ),
            ),
            70 => entry(
                "specimen",
                &key,
                update(&[("volume_ml", Some("1.500"), Some("15.00"))]),
            ),
            71..80 => entry(
                "specimen",
                &key,
                update(&[
                    ("freezer", Some("A/3"), Some("C/1")),
                    ("volume_ml", Some("2.000"), Some(&volume)),
                ]),
            ),
            _ => entry(
                "specimen",
                &key,
                insert(&[
                    ("gsid", Some("GSID-1238")),
                    ("freezer", Some(&place)),
                    ("volume_ml", Some(&volume)),
                    ("kind", Some("plasma")),
                    ("box", None),
                    ("thawed_at", None),
                    ("note", None),
                ]),
            ),
        });
    }
    let alike = insert(&[
        ("gsid", Some("GSID-1238")),
        ("freezer", Some("B/11")),
        ("volume_ml", Some("2.500")),
        ("kind", Some("plasma")),
    ]);
    entries.push(entry(
        "specimen",
        &[("sample_id", Some("smp 20519"))],
        alike,
    ));
    for n in 0..9 {
        let id = format!("{}", 12_340 + n);
        entries.push(entry(
            "lcl",
            &[("niddk_no", Some(&id))],
            update(&[("passage_number", Some("5"), Some("8"))]),
        ));
    }
    entries.push(entry(
        "lcl",
        &[("niddk_no", Some("12399"))],
        delete(
            &[("passage_number", Some("2")), ("medium", Some("RPMI"))],
            false,
        ),
    ));
    for n in 0..30 {
        let id = format!("DNA-{:04}", 800 + n);
        entries.push(entry(
            "dna",
            &[("dna_id", Some(&id))],
            insert(&[
                ("sample_id", Some("SMP-20401")),
                ("ng_per_ul", Some("48.20")),
            ]),
        ));
    }
    let folder = "staging/batch_20240115_143022";
    let files: Vec<String> = tables
        .iter()
        .map(|t| format!("{folder}/{}/delivery_1.csv", t.table))
        .collect();
    for (line, entry) in entries.iter_mut().enumerate() {
        let file = format!("{folder}/{}/delivery_1.csv", entry.table);
        entry.from = vec![format!("{file}#{}", line + 2)];
    }
    let made = Made {
        at: "2024-01-15T14:32:10Z".into(),
        by: "curation".into(),
        on: "loader-1".into(),
        database: "db.example.org:5432/idhub".into(),
        version: "0.1.0".into(),
    };
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    write_noted(Kind::Load, tables, entries.into_iter(), &files, Some(made))
}
