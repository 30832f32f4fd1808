//! Sensitive values, hidden wherever people look.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::config::TableConfig;
use crate::plan::{DriftReport, Entry, Values, Violation, ViolationKind, What};
use crate::planfile::hex;

/// Puts `•••` and six hex digits in the place of the values of sensitive columns. Equal values of
/// one plan have equal digits, in every column and format. The digits are of a keyed hash, and the
/// key is not shown: nobody finds a value by trying all that it could be.
#[derive(Debug, Clone)]
pub struct Mask {
    key: Vec<u8>,
    /// Table to its sensitive columns; tables without any are left out.
    sensitive: BTreeMap<String, Vec<String>>,
}

impl Mask {
    /// A mask for these tables. `key` must be unknown to who sees only masked values.
    pub fn new<'a>(
        key: &[u8],
        tables: impl IntoIterator<Item = (&'a str, &'a TableConfig)>,
    ) -> Mask {
        let sensitive = tables
            .into_iter()
            .filter(|(_, config)| !config.sensitive.is_empty())
            .map(|(table, config)| (table.to_owned(), config.sensitive.clone()))
            .collect();
        Mask {
            key: key.to_vec(),
            sensitive,
        }
    }

    /// The stand-in of one value.
    pub fn stand_in(&self, value: &str) -> String {
        let mut hasher = Sha256::new();
        hasher.update(&self.key);
        hasher.update(b"\0");
        hasher.update(value.as_bytes());
        let digits = hex(&hasher.finalize()[..3]);
        format!("•••{digits}")
    }

    fn value(&self, value: &mut Option<String>) {
        if let Some(v) = value {
            *v = self.stand_in(v);
        }
    }

    fn values(&self, columns: &[String], values: &mut Values) {
        for (_, value) in values.iter_mut().filter(|(c, _)| columns.contains(c)) {
            self.value(value);
        }
    }

    /// Hides what is sensitive in a natural key of `table`.
    pub fn key(&self, table: &str, key: &mut Values) {
        if let Some(columns) = self.sensitive.get(table) {
            self.values(columns, key);
        }
    }

    /// Hides what is sensitive in one entry.
    pub fn entry(&self, entry: &mut Entry) {
        let Some(columns) = self.sensitive.get(&entry.table) else {
            return;
        };
        let secrets: Vec<String> = entry
            .key
            .iter()
            .filter(|(c, _)| columns.contains(c))
            .filter_map(|(_, v)| v.clone())
            .collect();
        self.values(columns, &mut entry.key);
        let round = |rounded: &mut BTreeMap<String, String>| {
            for (_, given) in rounded.iter_mut().filter(|(c, _)| columns.contains(c)) {
                *given = self.stand_in(given);
            }
        };
        match &mut entry.what {
            What::Insert { values, rounded } => {
                self.values(columns, values);
                round(rounded);
            }
            What::Update { set, rounded, .. } => {
                for (_, (old, new)) in set.iter_mut().filter(|(c, _)| columns.contains(c)) {
                    self.value(old);
                    self.value(new);
                }
                round(rounded);
            }
            What::Delete { values, .. } => self.values(columns, values),
            What::Skip(_) => {}
            What::Violation(violation) => self.violation(columns, secrets, violation),
        }
    }

    /// What the database says about a value may repeat it in another spelling, so its words are
    /// left out where they may be about a sensitive value; our own are kept without the value.
    fn violation(&self, columns: &[String], mut secrets: Vec<String>, v: &mut Violation) {
        let about = match &v.field {
            // An unknown field may be a sensitive one, misspelt.
            Some(field) => columns.contains(field) || v.kind == ViolationKind::UnknownField,
            None => true,
        };
        if about {
            secrets.extend([&v.existing, &v.given].into_iter().flatten().cloned());
            self.value(&mut v.existing);
            self.value(&mut v.given);
        }
        let ours = matches!(
            v.kind,
            ViolationKind::ImmutableField
                | ViolationKind::NullValue
                | ViolationKind::MissingKey
                | ViolationKind::UnknownField
                | ViolationKind::GeneratedField
                | ViolationKind::NotQueued
                | ViolationKind::MissingObject
        );
        if about && !ours {
            v.message = "the reason is not shown, because it may name a sensitive value".into();
            return;
        }
        // The longest first: one may be a part of another.
        secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
        for secret in secrets.iter().filter(|s| s.len() > 2) {
            v.message = v.message.replace(secret.as_str(), &self.stand_in(secret));
        }
    }

    /// Hides what is sensitive in a drift report.
    pub fn drift(&self, report: &mut DriftReport) {
        for row in &mut report.rows {
            let Some(columns) = self.sensitive.get(&row.table) else {
                continue;
            };
            self.values(columns, &mut row.key);
            for column in &mut row.columns {
                if columns.contains(&column.column) {
                    let outer = [&mut column.planned_from, &mut column.planned_to];
                    outer.into_iter().flatten().for_each(|v| self.value(v));
                    self.value(&mut column.now);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Effect, Skip};

    fn mask(key: &[u8]) -> Mask {
        let config: TableConfig =
            serde_yaml::from_str("{natural_key: [id], sensitive: [id, ssn]}").unwrap();
        Mask::new(key, [("people", &config)])
    }

    fn violation(kind: ViolationKind, field: Option<&str>, message: &str) -> Entry {
        Entry {
            table: "people".into(),
            key: [("id".to_owned(), Some("p-17".to_owned()))].into(),
            what: What::Violation(Violation {
                kind,
                effect: Effect::Block,
                field: field.map(str::to_owned),
                existing: None,
                given: Some("123-45-6789".into()),
                message: message.into(),
            }),
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
