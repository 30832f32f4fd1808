//! Sensitive values, hidden wherever people look.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::plan::{
    DriftReport, Entry, Fingerprint, Fragment, Header, ReferrerReport, Row, Skip, Value, Values,
    Violation, ViolationKind, What,
};
use crate::table::config::TableConfig;
use crate::text::hex;

/// How what stands for a sensitive value begins.
pub(crate) const SIGN: &str = "•••";

/// Puts `•••` and six hex digits in the place of the values of sensitive columns. Equal values of
/// one plan have equal digits, in every column and format. The digits are of a keyed hash, and the
/// key is not shown: nobody finds a value by trying all that it could be. For the same reason other
/// digests stand in the place of those over whole rows and objects.
#[derive(Debug, Clone)]
pub struct Mask {
    hides: Hides,
    tables: BTreeMap<String, Sensitive>,
}

/// What values are hidden in.
#[derive(Debug, Clone)]
enum Hides {
    /// In values; the key of the hash.
    Values(Vec<u8>),
    /// In values, for a file: with so many digits that different values never look equal.
    ForFile(Vec<u8>),
    /// In what was hidden for a file.
    File,
    /// In what is hashed with the plan: nothing of a key that is drawn anew stands there.
    Hashed,
}

/// What is sensitive in a table, and what its rows are named by, in all of its configurations.
#[derive(Debug, Clone, Default)]
struct Sensitive {
    columns: BTreeSet<String>,
    natural_keys: BTreeSet<Vec<String>>,
    groups: BTreeSet<String>,
}

impl Sensitive {
    fn has(&self, column: &String) -> bool {
        self.columns.contains(column)
    }

    fn names_rows(&self) -> bool {
        self.natural_keys.iter().flatten().any(|c| self.has(c))
    }

    fn names_groups(&self) -> bool {
        self.groups.iter().any(|c| self.has(c))
    }
}

/// What stands in the place of a reason that may quote a sensitive value.
const HIDDEN: &str = "the reason is not shown, because it may name a sensitive value";

/// Hex digits that people see of a value, and that stand in a file.
const SEEN: usize = 6;
const FILED: usize = 16;

/// Whether a text is what stands for a sensitive value.
pub fn is_stand_in(text: &str) -> bool {
    let digits = text.strip_prefix(SIGN).unwrap_or_default();
    matches!(digits.len(), SEEN | FILED) && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

impl Mask {
    /// A mask for these tables. `key` must be unknown to who sees only masked values.
    pub fn new<'a>(
        key: &[u8],
        tables: impl IntoIterator<Item = (&'a str, &'a TableConfig)>,
    ) -> Mask {
        Mask::with(Hides::Values(key.to_vec()), tables)
    }

    /// A mask for what stands in a file beside its encrypted values.
    pub fn for_file<'a>(
        key: &[u8],
        tables: impl IntoIterator<Item = (&'a str, &'a TableConfig)>,
    ) -> Mask {
        Mask::with(Hides::ForFile(key.to_vec()), tables)
    }

    /// A mask over what [`Mask::for_file`] left: people see the same as of the values.
    pub fn of_file<'a>(tables: impl IntoIterator<Item = (&'a str, &'a TableConfig)>) -> Mask {
        Mask::with(Hides::File, tables)
    }

    /// The same for words that are part of the plan, which are to be the same whenever it is made.
    #[must_use]
    pub fn hashed(&self) -> Mask {
        Mask {
            hides: Hides::Hashed,
            tables: self.tables.clone(),
        }
    }

    fn with<'a>(
        hides: Hides,
        tables: impl IntoIterator<Item = (&'a str, &'a TableConfig)>,
    ) -> Mask {
        let mut mask = Mask {
            hides,
            tables: BTreeMap::new(),
        };
        for (table, config) in tables {
            mask.add(table, config);
        }
        mask
    }

    /// Hides what is sensitive by a further configuration of a table, too.
    pub fn add(&mut self, table: &str, config: &TableConfig) {
        let table = self.tables.entry(table.to_owned()).or_default();
        table.columns.extend(config.sensitive.iter().cloned());
        table.natural_keys.insert(config.natural_key.clone());
        table.groups.extend(config.group_by.clone());
    }

    /// What is sensitive in `table`.
    pub fn columns(&self, table: &str) -> impl Iterator<Item = &String> {
        self.tables.get(table).into_iter().flat_map(|t| &t.columns)
    }

    /// The table, if it has sensitive columns.
    fn table(&self, name: &str) -> Option<&Sensitive> {
        let table = self.tables.get(name)?;
        (!table.columns.is_empty()).then_some(table)
    }

    /// Whether there is nothing to hide.
    pub fn is_idle(&self) -> bool {
        self.tables.values().all(|t| t.columns.is_empty())
    }

    /// What people see of a header: the values which say what a delivery is all of may be sensitive.
    #[must_use]
    pub fn header(&self, mut header: Header) -> Header {
        for table in &mut header.tables {
            table.config.hide_scope(|value| self.stand_in(value));
        }
        header
    }

    /// The stand-in of one value.
    pub fn stand_in(&self, value: &str) -> String {
        match &self.hides {
            Hides::Values(key) => format!("{SIGN}{}", &keyed(key, value)[..SEEN]),
            Hides::ForFile(key) => format!("{SIGN}{}", &keyed(key, value)[..FILED]),
            Hides::File => value.chars().take(3 + SEEN).collect(),
            Hides::Hashed => SIGN.to_owned(),
        }
    }

    fn text(&self, text: &mut Option<String>) {
        if let Some(text) = text {
            *text = self.stand_in(text);
        }
    }

    fn value(&self, value: &mut Value) {
        match value {
            Value::Null => {}
            Value::Text(text) => *text = self.stand_in(text),
            Value::Rounded(rounded) => {
                self.text(&mut rounded.stored);
                rounded.given = self.stand_in(&rounded.given);
            }
            Value::Referred(row) => {
                row.stored = self.stand_in(&row.stored);
                row.key.values_mut().for_each(|v| self.value(v));
            }
            Value::New(row) => row.key.values_mut().for_each(|v| self.value(v)),
        }
    }

    fn values(&self, table: &Sensitive, values: &mut Values) {
        for (_, value) in values.iter_mut().filter(|(c, _)| table.has(c)) {
            self.value(value);
        }
    }

    /// Hides what is sensitive in a row of `table`.
    pub fn row(&self, table: &str, row: &mut Row) {
        if let Some(sensitive) = self.table(table) {
            let hidden = row.iter_mut().filter(|(c, _)| sensitive.has(c));
            hidden.for_each(|(_, text)| self.text(text));
        }
    }

    /// Hides what is sensitive in the natural key of a row of `table` as the audit log writes it:
    /// its value, or a JSON array of several.
    pub fn record_id(&self, table: &str, id: &str) -> String {
        let Some(sensitive) = self.table(table).filter(|s| s.names_rows()) else {
            return id.to_owned();
        };
        let parts: Option<Vec<Option<String>>> = serde_json::from_str(id).ok();
        let keys = parts.iter().flat_map(|parts| {
            let keys = sensitive.natural_keys.iter();
            keys.filter(|key| key.len() > 1 && key.len() == parts.len())
        });
        let keys: Vec<&Vec<String>> = keys.collect();
        let Some(mut parts) = parts.filter(|_| !keys.is_empty()) else {
            return self.stand_in(id);
        };
        for (place, part) in parts.iter_mut().enumerate() {
            if keys.iter().any(|key| sensitive.has(&key[place])) {
                self.text(part);
            }
        }
        serde_json::to_string(&parts).unwrap_or_else(|_| self.stand_in(id))
    }

    /// Hides in a fragment what would tell the values in it to who tries all that they could be.
    pub fn fragment(&self, fragment: &mut Fragment) {
        if let Hides::Values(key) | Hides::ForFile(key) = &self.hides
            && self.table(&fragment.table).is_some()
        {
            fragment.sha256 = keyed(key, &fragment.sha256);
            fragment.etag = fragment.etag.as_ref().map(|etag| keyed(key, etag));
        }
    }

    /// Hides what is sensitive in one entry.
    pub fn entry(&self, entry: &mut Entry) {
        let Some(table) = self.table(&entry.table) else {
            return;
        };
        let secrets: Vec<String> = entry
            .key
            .iter()
            .filter(|(c, _)| table.has(c))
            .filter_map(|(_, v)| v.stored().ok()?.map(str::to_owned))
            .collect();
        self.values(table, &mut entry.key);
        if table.names_groups() {
            self.text(&mut entry.group);
        }
        let digest = |expect: &mut Fingerprint| {
            if let Hides::Values(key) | Hides::ForFile(key) = &self.hides {
                let digits = expect.0.len().min(64);
                expect.0 = keyed(key, &expect.0)[..digits].to_owned();
            }
        };
        match &mut entry.what {
            What::Insert { values } => self.values(table, values),
            What::Update {
                set,
                expect,
                revives,
                stays: _,
            } => {
                if let Some(rest) = revives {
                    self.values(table, rest);
                }
                for (_, (old, new)) in set.iter_mut().filter(|(c, _)| table.has(c)) {
                    self.value(old);
                    self.value(new);
                }
                digest(expect);
            }
            What::Delete { values, expect, .. } => {
                self.values(table, values);
                digest(expect);
            }
            What::Skip(Skip::Unchanged(expect)) => digest(expect),
            What::Skip(_) => {}
            What::Violation(violation) => self.violation(table, secrets, violation),
        }
    }

    /// What the database says about a value may repeat it in another spelling, so such words are
    /// left out where they may be about a sensitive value; those that quote none are kept.
    fn violation(&self, table: &Sensitive, mut secrets: Vec<String>, v: &mut Violation) {
        let about = match &v.field {
            // An unknown field may be a sensitive one, misspelt.
            Some(field) => table.has(field) || v.kind == ViolationKind::UnknownField,
            None => true,
        };
        let speaks_of_others = match v.kind {
            // It names the other row by its natural key.
            ViolationKind::UniqueConflict => table.names_rows(),
            // What is checked or computed may be made of any column.
            ViolationKind::CheckFailed => true,
            _ => false,
        };
        if about && v.kind != ViolationKind::UniqueConflict || speaks_of_others {
            let unquoted = v.unquoted(|given| self.stand_in(given));
            v.message = unquoted.unwrap_or_else(|| HIDDEN.to_owned());
            v.quotes = false;
        }
        if about {
            secrets.extend([&v.existing, &v.given].into_iter().flatten().cloned());
            self.text(&mut v.existing);
            self.text(&mut v.given);
            self.text(&mut v.instead);
        }
        self.values(table, &mut v.values);
        if let Some(other) = &mut v.other {
            self.values(table, &mut other.values);
        }
        // The longest first: one may be a part of another.
        secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
        for secret in secrets.iter().filter(|s| s.len() > 2) {
            v.message = v.message.replace(secret.as_str(), &self.stand_in(secret));
        }
    }

    /// Hides what is sensitive in a report of rows that refer to others.
    pub fn referrers(&self, report: &mut ReferrerReport) {
        for row in &mut report.rows {
            let (own, parent) = (&mut row.key, &mut row.parent_key);
            for (table, key) in [(&row.table, own), (&row.parent, parent)] {
                if let Some(table) = self.table(table) {
                    self.values(table, key);
                }
            }
        }
    }

    /// Hides what is sensitive in a drift report.
    pub fn drift(&self, report: &mut DriftReport) {
        for row in &mut report.rows {
            let Some(table) = self.table(&row.table) else {
                continue;
            };
            self.values(table, &mut row.key);
            for column in &mut row.columns {
                if table.has(&column.column) {
                    let outer = [&mut column.planned_from, &mut column.planned_to];
                    outer.into_iter().flatten().for_each(|v| self.text(v));
                    self.text(&mut column.now);
                }
            }
        }
    }
}

/// Hex digits of a hash that nobody can compute without the key.
fn keyed(key: &[u8], text: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(key);
    hasher.update(b"\0");
    hasher.update(text.as_bytes());
    hex(&hasher.finalize())
}

#[cfg(test)]
mod tests {
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
    fn what_any_configuration_of_a_table_calls_sensitive_is_hidden() {
        let first: TableConfig = serde_yaml::from_str("{natural_key: [id]}").unwrap();
        let keyed: TableConfig =
            serde_yaml::from_str("{natural_key: [ssn], group_by: ssn}").unwrap();
        let both: TableConfig = serde_yaml::from_str("{natural_key: [id, ssn]}").unwrap();
        let last: TableConfig =
            serde_yaml::from_str("{natural_key: [id], sensitive: [ssn]}").unwrap();
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
}
