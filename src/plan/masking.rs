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

/// A text in which stand-ins have no more digits than people see.
pub(crate) fn as_seen(text: &str) -> String {
    let mut parts = text.split(SIGN);
    let mut seen = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        let (shown, rest) = match digits {
            FILED => (&part[..SEEN], &part[FILED..]),
            _ => (part, ""),
        };
        seen.extend([SIGN, shown, rest]);
    }
    seen
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

    /// The same for what names rows to the loader: with so many digits that different values never look equal.
    pub(crate) fn for_names(&self) -> Mask {
        let mask = |hides| Mask {
            hides,
            tables: self.tables.clone(),
        };
        match &self.hides {
            Hides::Values(key) | Hides::ForFile(key) => mask(Hides::ForFile(key.clone())),
            // They stand there so already.
            Hides::File => Mask::of_file([]),
            Hides::Hashed => mask(Hides::Hashed),
        }
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

    /// Hides what is sensitive in the key of a row of `table`.
    pub(crate) fn key(&self, table: &str, key: &mut Values) {
        if let Some(sensitive) = self.table(table) {
            self.values(sensitive, key);
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
mod tests;
