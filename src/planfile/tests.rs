use std::collections::BTreeMap;
use std::io::Cursor;
use std::io::Write;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::action::Counts;
use crate::plan::{
    Effect, Entry, Fingerprint, Fragment, Kind, NewRow, Other, Queued, Skip, TablePlan,
    TargetDatabase, Value, Values, Violation, ViolationKind, What, Why,
};
use crate::sql::Qualified;
use crate::table::config::Config;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,6}",
        "\\PC{0,8}",
        "[\\x00-\\x1f\"\\\\\u{202e}😀]{0,4}"
    ]
}

fn simple() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => option::of(text()).prop_map(Value::from),
        1 => (text(), text()).prop_map(|(stored, given)| Value::Text(stored).rounded_from(given)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let key = btree_map(text(), simple(), 0..2);
    let new = (text(), key).prop_map(|(table, key)| Value::New(Box::new(NewRow { table, key })));
    prop_oneof![6 => simple(), 1 => new]
}

fn values() -> impl Strategy<Value = Values> {
    btree_map(text(), value(), 0..4)
}

fn digest() -> impl Strategy<Value = Fingerprint> {
    "[0-9a-f]{32}".prop_map(Fingerprint)
}

fn skip() -> impl Strategy<Value = Skip> {
    prop_oneof![
        digest().prop_map(Skip::Unchanged),
        Just(Skip::Exists),
        Just(Skip::Conflict),
        Just(Skip::Missing),
        Just(Skip::Duplicate),
        Just(Skip::Superseded),
        (option::of(text()), option::of(text()))
            .prop_map(|(reason, by)| Skip::LeftOut(Why { reason, by })),
    ]
}

fn violation() -> impl Strategy<Value = Violation> {
    let kind = prop_oneof![
        Just(ViolationKind::ImmutableField),
        Just(ViolationKind::NullValue),
        Just(ViolationKind::OlderRecord),
        Just(ViolationKind::RequiredField),
        Just(ViolationKind::MissingObject),
    ];
    let effect = prop_oneof![
        Just(Effect::Block),
        Just(Effect::Reject),
        Just(Effect::Keep)
    ];
    let optional = || option::of(text());
    let other = option::of((text(), values()).prop_map(|(from, values)| Other { from, values }));
    let more = (optional(), values(), other, any::<[bool; 2]>());
    let words = (optional(), optional(), optional(), text());
    (kind, effect, words, more).prop_map(
        |(
            kind,
            effect,
            (field, existing, given, message),
            (instead, values, other, [further, quotes]),
        )| {
            Violation {
                kind,
                effect,
                field,
                existing,
                given,
                message,
                quotes,
                instead,
                values,
                other,
                further,
            }
        },
    )
}

fn what() -> impl Strategy<Value = What> {
    let pair = (value(), value());
    let update = (
        btree_map(text(), pair, 0..3),
        digest(),
        proptest::option::of(values()),
        proptest::collection::vec(text(), 0..3),
    );
    prop_oneof![
        values().prop_map(|values| What::Insert { values }),
        update.prop_map(|(set, expect, revives, stays)| What::Update {
            set,
            expect,
            revives,
            stays,
        }),
        (digest(), values(), any::<bool>()).prop_map(|(expect, values, soft)| What::Delete {
            expect,
            values,
            soft
        }),
        skip().prop_map(What::Skip),
        violation().prop_map(What::Violation),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let table = prop_oneof![Just("t".to_owned()), Just("Größe \"x\"".to_owned())];
    (table, values(), what(), vec(text(), 0..3)).prop_map(|(table, key, what, from)| Entry {
        table,
        key,
        what,
        extracted: None,
        group: None,
        from,
    })
}

fn fragment() -> impl Strategy<Value = Fragment> {
    let queued = (any::<i64>(), text(), digest());
    let queued = queued.prop_map(|(id, status, expect)| Queued { id, status, expect });
    (text(), option::of(text()), any::<u64>(), vec(queued, 0..3)).prop_map(
        |(key, etag, records, queue)| Fragment {
            key,
            table: "t".into(),
            etag,
            sha256: String::new(),
            records,
            queue,
        },
    )
}

fn header() -> Header {
    let config = "t: {natural_key: [id], stamps: {who: actor}, soft_delete: gone}\n\
        \"Größe \\\"x\\\"\": {natural_key: [a, b], on_immutable: keep}";
    let config = Config::parse("tables.yaml", config).unwrap();
    let tables = config.tables.into_iter().map(|(table, config)| TablePlan {
        table_kind: Default::default(),
        relation: Qualified {
            schema: "public".into(),
            name: table.clone(),
        },
        table,
        config,
        schema: "sha256:00".into(),
        parents: vec!["t".into()],
        width: 3,
        rows: None,
        columns: Vec::new(),
        numbers: Vec::new(),
        alive: BTreeMap::new(),
        own_limits: None,
        counts: Counts::default(),
        marks: 0,
        skips: Default::default(),
        rejected: 0,
        triggered: vec!["u".into()],
        left_to_triggers: Vec::new(),
        passed_over: Default::default(),
        warnings: vec!["mind the\ngap".into()],
    });
    Header {
        kind: Kind::Load,
        batch_id: "b".into(),
        undoes: vec!["an application".into()],
        undoes_in_part: Vec::new(),
        redone_by: Vec::new(),
        of_rollbacks: false,
        target: TargetDatabase {
            database: "d".into(),
            identity: "1/2".into(),
            lineage: "l".into(),
            loader_schema: "public".into(),
            search_path: vec!["ext".into(), "public".into()],
        },
        records: u64::MAX,
        blocking: 0,
        rejected: 0,
        summary: Counts::default(),
        tables: tables.collect(),
        salt: None,
    }
}

fn encode(fragments: &[Fragment], entries: &[Entry]) -> (Header, String, Vec<u8>) {
    let mut writer = PlanWriter::new().unwrap();
    fragments.iter().for_each(|f| writer.fragment(f).unwrap());
    entries
        .iter()
        .for_each(|e| writer.entry(e.clone()).unwrap());
    let mut out = Cursor::new(Vec::new());
    let (header, hash) = writer.finish(header(), &mut out).unwrap();
    (header, hash, out.into_inner())
}

fn open(bytes: &[u8]) -> PlanFile {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    PlanFile::verify(file, "a plan".into()).unwrap()
}

fn decode(plan: &PlanFile) -> (Vec<Fragment>, Vec<Entry>) {
    let (mut fragments, mut entries) = (Vec::new(), Vec::new());
    plan.stream(&mut |item| {
        match item {
            Item::Fragment(f) => fragments.push(f),
            Item::Entry(e) => entries.push(e),
        }
        Ok(())
    })
    .unwrap();
    (fragments, entries)
}

proptest! {
    #[test]
    fn what_is_decoded_is_what_was_encoded(fragments in vec(fragment(), 0..4), entries in vec(entry(), 0..8)) {
        let (header, hash, bytes) = encode(&fragments, &entries);
        let plan = open(&bytes);
        prop_assert_eq!(&plan.header, &header);
        prop_assert_eq!(&plan.hash, &hash);
        prop_assert_eq!(decode(&plan), (fragments.clone(), entries.clone()));
        prop_assert_eq!(encode(&fragments, &entries).2, bytes, "the same plan has the same bytes");
    }

    #[test]
    fn the_hash_does_not_depend_on_the_spelling(entries in vec(entry(), 0..6)) {
        let (_, hash, bytes) = encode(&[], &entries);
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        for spelled in [serde_json::to_vec(&value), serde_json::to_vec_pretty(&value)] {
            let plan = open(&spelled.unwrap());
            prop_assert_eq!(&plan.hash, &hash);
            prop_assert_eq!(&decode(&plan).1, &entries);
        }
    }

    #[test]
    fn plans_that_say_different_things_have_different_hashes(a in vec(entry(), 0..4), b in vec(entry(), 0..4)) {
        let hashes = (encode(&[], &a).1, encode(&[], &b).1);
        prop_assert_eq!(a == b, hashes.0 == hashes.1);
    }

    #[test]
    fn each_entry_is_one_line(entries in vec(entry(), 0..8)) {
        let (header, _, bytes) = encode(&[], &entries);
        let lines = String::from_utf8(bytes).unwrap().lines().count();
        let fixed = 20 + header.tables.len();
        prop_assert_eq!(lines, fixed + entries.len());
    }
}

#[test]
fn what_is_no_json_is_no_plan() {
    let insert = |key: &str| Entry {
        table: header().tables[0].table.clone(),
        key: BTreeMap::from([("k".to_owned(), key.into())]),
        what: What::Insert {
            values: BTreeMap::new(),
        },
        extracted: None,
        group: None,
        from: Vec::new(),
    };
    let (_, _, bytes) = encode(&[], &[insert("a"), insert("b")]);
    let text = String::from_utf8(bytes).unwrap();
    let refused = |text: String| {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        PlanFile::verify(file, "p".into()).unwrap_err().to_string()
    };
    assert!(text.contains("},\n{\"action\"") && text.ends_with("}\n]\n}\n"));
    refused(text.replacen("},\n{\"action\"", "}\n{\"action\"", 1));
    refused(text.replacen("}\n]\n}\n", "},\n]\n}\n", 1));
}

#[test]
fn a_plan_of_nothing_is_a_plan() {
    let (header, hash, bytes) = encode(&[], &[]);
    let plan = open(&bytes);
    assert_eq!((&plan.header, &plan.hash), (&header, &hash));
    assert_eq!(decode(&plan), (Vec::new(), Vec::new()));
}

#[cfg(feature = "encryption")]
mod sealed {
    use super::*;
    use crate::planfile::age::{Identities, Recipients};

    fn everything_secret(entries: &[Entry]) -> Vec<String> {
        let mut names = std::collections::BTreeSet::new();
        for entry in entries {
            names.extend(entry.key.keys().cloned());
            match &entry.what {
                What::Insert { values } | What::Delete { values, .. } => {
                    names.extend(values.keys().cloned());
                }
                What::Update { set, revives, .. } => {
                    names.extend(set.keys().cloned());
                    names.extend(revives.iter().flatten().map(|(c, _)| c.clone()));
                }
                What::Skip(_) | What::Violation(_) => {}
            }
        }
        names.into_iter().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_opened_is_what_was_sealed(fragments in vec(fragment(), 0..4), entries in vec(entry(), 1..8)) {
            let mut header = header();
            header.tables[0].config.sensitive = everything_secret(&entries);
            header.tables[1].config.sensitive = vec!["a".into()];
            let mut writer = PlanWriter::new().unwrap();
            fragments.iter().for_each(|f| writer.fragment(f).unwrap());
            entries.iter().for_each(|e| writer.entry(e.clone()).unwrap());
            let mut out = Cursor::new(Vec::new());
            let (header, _) = writer.finish(header, &mut out).unwrap();
            let plain = open(&out.into_inner());

            let [one, other] = [0, 1].map(|_| ::age::x25519::Identity::generate());
            let name = |k: &::age::x25519::Identity| k.to_public().to_string();
            let keys = |k: &::age::x25519::Identity| {
                let text = ::age::secrecy::ExposeSecret::expose_secret(&k.to_string()).to_owned();
                Identities::parse("key", &text).unwrap()
            };
            let for_both = [name(&one), name(&other)];
            let recipients = Recipients::parse(for_both.iter().map(String::as_str)).unwrap();
            let mut sealed = Cursor::new(Vec::new());
            let (hash, masked) = seal(&plain, &recipients, &mut sealed).unwrap();
            let sealed = sealed.into_inner();

            let closed = open(&sealed);
            prop_assert_eq!((&closed.header, &closed.hash, &closed.masked_hash), (&header, &hash, &masked));
            prop_assert!(closed.is_named(&hash) && closed.is_named(&masked.unwrap()));
            prop_assert!(!closed.is_named("") && !closed.is_named("sha256:"));
            prop_assert_eq!(decode(&closed).1.len(), entries.len());
            prop_assert!(closed.executable().is_err());
            let stranger = ::age::x25519::Identity::generate();
            prop_assert!(open(&sealed).unseal(&keys(&stranger)).is_err());
            let opened = open(&sealed).unseal(&keys(&other)).unwrap();
            prop_assert_eq!(&opened.hash, &hash);
            prop_assert_eq!(decode(&opened), (fragments, entries));
            // Reformatted it is the same plan.
            let value: serde_json::Value = serde_json::from_slice(&sealed).unwrap();
            let pretty = open(&serde_json::to_vec_pretty(&value).unwrap());
            prop_assert_eq!(pretty.unseal(&keys(&one)).unwrap().hash, hash);
        }
    }
}
