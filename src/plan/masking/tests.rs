use super::*;
use crate::plan::Effect;

fn mask(key: &[u8]) -> Mask {
    let config: TableConfig =
        serde_yaml::from_str("{natural_key: [id], sensitive: [id, ssn]}").unwrap();
    Mask::new(key, [("people", &config)])
}

fn violation(kind: ViolationKind, field: Option<&str>, message: &str) -> Entry {
    Entry {
        table: "people".into(),
        key: [("id".to_owned(), "p-17".into())].into(),
        what: What::Violation(Violation {
            field: field.map(str::to_owned),
            given: Some("123-45-6789".into()),
            quotes: true,
            ..Violation::new(kind, Effect::Block, message)
        }),
        extracted: None,
        group: None,
        from: vec!["o#0".into()],
    }
}

#[test]
fn equal_values_have_equal_stand_ins_within_one_plan() {
    let (a, b) = (mask(b"a"), mask(b"b"));
    assert_eq!(a.stand_in("x"), a.stand_in("x"));
    assert_ne!(a.stand_in("x"), a.stand_in("y"));
    assert_ne!(a.stand_in("x"), b.stand_in("x"));
    assert_eq!(a.stand_in("x").chars().count(), 9);
}

#[test]
fn what_names_a_row_to_the_loader_has_more_digits_than_people_see() {
    let seen = mask(b"a");
    let filed = Mask {
        hides: Hides::ForFile(b"a".to_vec()),
        ..seen.clone()
    };
    let names = seen.for_names();
    let stand_in = names.stand_in("x");
    assert_eq!(stand_in.chars().count(), 19);
    assert_eq!(stand_in, filed.for_names().stand_in("x"));
    assert_eq!(as_seen(&stand_in), seen.stand_in("x"));
    assert!(is_stand_in(&stand_in) && is_stand_in(&seen.stand_in("x")));
    // In a file they stand as they are named.
    let of_file = Mask {
        hides: Hides::File,
        ..seen.clone()
    };
    let mut key = Values::from([("id".to_owned(), stand_in.as_str().into())]);
    let before = key.clone();
    of_file.for_names().key("people", &mut key);
    assert_eq!(key, before);
    for (text, shown) in [
        (
            format!("t id={stand_in} (new)"),
            format!("t id={} (new)", seen.stand_in("x")),
        ),
        (
            format!("{stand_in}{stand_in}é"),
            format!("{0}{0}é", seen.stand_in("x")),
        ),
        ("•••0123456789abcde".into(), "•••0123456789abcde".into()),
        ("•••0123456789abcdef0".into(), "•••0123456789abcdef0".into()),
        ("•••".into(), "•••".into()),
        ("none".into(), "none".into()),
        (String::new(), String::new()),
    ] {
        assert_eq!(as_seen(&text), shown);
    }
}

#[test]
fn what_any_configuration_of_a_table_calls_sensitive_is_hidden() {
    let first: TableConfig = serde_yaml::from_str("{natural_key: [id]}").unwrap();
    let keyed: TableConfig = serde_yaml::from_str("{natural_key: [ssn], group_by: ssn}").unwrap();
    let both: TableConfig = serde_yaml::from_str("{natural_key: [id, ssn]}").unwrap();
    let last: TableConfig = serde_yaml::from_str("{natural_key: [id], sensitive: [ssn]}").unwrap();
    let configs = [&first, &keyed, &both, &last];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
        let mask = Mask::new(b"k", order.map(|i| ("people", configs[i])));
        assert!(!mask.is_idle());
        assert_eq!(mask.record_id("people", "123-45"), mask.stand_in("123-45"));
        let parts = mask.record_id("people", r#"["7","123-45"]"#);
        assert_eq!(parts, format!(r#"["7","{}"]"#, mask.stand_in("123-45")));
        let other = "the row ssn=123-45 has it";
        let message = format!("the unique key k would hold this value twice: {other}");
        let mut entry = violation(ViolationKind::UniqueConflict, Some("badge"), &message);
        entry.group = Some("123-45".into());
        mask.entry(&mut entry);
        assert!(!format!("{entry:?}").contains("123-45\""), "{entry:?}");
        assert!(!format!("{entry:?}").contains("ssn=123-45"), "{entry:?}");
    }
}

#[test]
fn no_part_of_an_entry_shows_a_sensitive_value() {
    let mut entries = vec![
        violation(
            ViolationKind::InvalidValue,
            Some("ssn"),
            "\"123-45\" is too short",
        ),
        violation(
            ViolationKind::CheckFailed,
            None,
            "row (p-17, 123-45-6789) fails",
        ),
        violation(
            ViolationKind::UnknownField,
            Some("snn"),
            "not a column: 123-45-6789",
        ),
        violation(
            ViolationKind::MissingKey,
            Some("name"),
            "key p-17 has no name",
        ),
    ];
    for entry in &mut entries {
        if let What::Violation(v) = &mut entry.what
            && v.field.as_deref() == Some("name")
        {
            v.given = None;
        }
        mask(b"k").entry(entry);
        let shown = format!("{entry:?}");
        assert!(
            !shown.contains("123-45") && !shown.contains("p-17"),
            "{shown}"
        );
    }
}

#[test]
fn reasons_that_quote_no_value_are_shown() {
    let other = "the row id=p-17 has it";
    for (kind, message, shown) in [
        (
            ViolationKind::UniqueConflict,
            &*format!("the unique key people_ssn_key would hold this value twice: {other}"),
            "the unique key people_ssn_key would hold this value twice",
        ),
        (
            ViolationKind::CheckFailed,
            "the check constraint c does not hold: f(ssn) (123-45 is odd)",
            "the check constraint c does not hold",
        ),
        (
            ViolationKind::MissingParent,
            "no row of cards has ssn = 123-45-6789, neither here nor there (fk)",
            "no row of cards has ssn = •••S, neither here nor there (fk)",
        ),
        (
            ViolationKind::MissingParent,
            "the batch's own record (p-17)",
            HIDDEN,
        ),
        (
            ViolationKind::InvalidValue,
            "\"123-45\" is too short",
            HIDDEN,
        ),
    ] {
        let mask = mask(b"k");
        let shown = shown.replace("•••S", &mask.stand_in("123-45-6789"));
        let mut entry = violation(kind, Some("ssn"), message);
        mask.entry(&mut entry);
        let What::Violation(v) = entry.what else {
            panic!("a violation");
        };
        assert_eq!(v.message, shown);
    }
    let mut entry = violation(ViolationKind::InvalidValue, Some("ssn"), "not an integer");
    if let What::Violation(v) = &mut entry.what {
        v.quotes = false;
    }
    mask(b"k").entry(&mut entry);
    assert!(format!("{entry:?}").contains("not an integer"));
}

#[test]
fn other_columns_and_tables_are_left_alone() {
    let mut entry = violation(ViolationKind::InvalidValue, Some("name"), "too long");
    let before = entry.clone();
    mask(b"k").entry(&mut entry);
    assert_eq!(before.what, entry.what);
    entry.table = "other".into();
    entry.what = What::Skip(Skip::Exists);
    let before = entry.clone();
    mask(b"k").entry(&mut entry);
    assert_eq!(before, entry);
}
