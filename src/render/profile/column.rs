//! What the changes of one column come to.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::civil::{DateTime, date};
use sha2::{Digest, Sha256};

use super::frequent::{Frequent, OFTEN};
use super::kind::{Kind, kind, number, time};
use super::sample::Sample;
use crate::text::hex;

/// Of longer values only the beginning is kept, in bytes, and a hash.
const LONGEST: usize = 100;
/// Between the two. No text of PostgreSQL has it.
const HASHED: char = '\0';

/// What the changes of one column come to.
#[derive(Debug)]
pub struct ColumnProfile {
    /// Its name.
    pub name: String,
    /// Rows whose update changes it.
    pub rows: u64,
    /// Of these, how many had null before.
    pub filled: u64,
    /// Of these, how many have null after.
    pub emptied: u64,
    /// Old and new value, of those that have both.
    pub(super) changes: Frequent<(String, String)>,
    /// In which way the old value becomes the new one, where it is one of the known ways. There are few
    /// but for shifts.
    ways: BTreeMap<Kind, u64>,
    shifts: Frequent<Kind>,
    /// New values, those of inserted rows too.
    pub values: Frequent<String>,
    /// Numbers and times of updated rows, before and after.
    pub(super) before: Sample,
    pub(super) after: Sample,
    /// Numbers and times of all new values.
    pub all: Sample,
    /// By how many powers of ten numbers change, without direction.
    pub ratios: Sample,
    /// Whether there are times among them.
    pub(super) times: bool,
}

impl ColumnProfile {
    pub(super) fn new(name: &str) -> ColumnProfile {
        ColumnProfile {
            name: name.to_owned(),
            rows: 0,
            filled: 0,
            emptied: 0,
            changes: Frequent::default(),
            ways: BTreeMap::new(),
            shifts: Frequent::default(),
            values: Frequent::default(),
            before: Sample::default(),
            after: Sample::default(),
            all: Sample::default(),
            ratios: Sample::default(),
            times: false,
        }
    }

    /// Takes the value of an inserted row.
    pub(super) fn given(&mut self, new: &str) {
        self.values.add(&*counted(new));
        if let Some(n) = self.measure(new) {
            self.all.add(n);
        }
    }

    /// Takes the change of an updated row.
    pub(super) fn changed(&mut self, old: Option<&str>, new: Option<&str>) {
        self.rows += 1;
        match (old, new) {
            (None, Some(new)) => {
                self.filled += 1;
                self.given(new);
            }
            (Some(_), None) => self.emptied += 1,
            (Some(old), Some(new)) => {
                self.given(new);
                let change = (counted(old).into_owned(), counted(new).into_owned());
                self.changes.add(&change);
                match kind(old, new) {
                    Some(shift @ Kind::Shift(_)) => self.shifts.add(&shift),
                    Some(way) => *self.ways.entry(way).or_default() += 1,
                    None => {}
                }
                if let (Some(a), Some(b)) = (self.measure(old), self.measure(new)) {
                    self.before.add(a);
                    self.after.add(b);
                    if let Some(ratio) = ratio(old, new) {
                        self.ratios.add(ratio);
                    }
                }
            }
            (None, None) => {}
        }
    }

    /// Begins to count again what is not counted exactly and may be told; whether there is such.
    pub(super) fn begin_again(&mut self) -> bool {
        self.changes.begin_again(OFTEN) | self.shifts.begin_again(OFTEN)
    }

    /// Takes the change of an updated row again.
    pub(super) fn changed_again(&mut self, old: &str, new: &str) {
        let change = (counted(old).into_owned(), counted(new).into_owned());
        self.changes.add_again(&change);
        if let Some(shift @ Kind::Shift(_)) = kind(old, new) {
            self.shifts.add_again(&shift);
        }
    }

    /// A number, or a time in days.
    fn measure(&mut self, text: &str) -> Option<f64> {
        let (n, is_time) = measured(text)?;
        self.times |= is_time;
        Some(n)
    }

    /// How often values change in this way; shifts at least so often, where that is less than three times.
    pub fn changes_by(&self, way: &Kind) -> u64 {
        match way {
            Kind::Shift(_) => self.shifts.of(way),
            _ => self.ways.get(way).copied().unwrap_or(0),
        }
    }

    /// In which ways values change and how often, the most frequent first.
    pub fn by_way(&self) -> Vec<(&Kind, u64)> {
        let mut all: Vec<(&Kind, u64)> = self.ways.iter().map(|(way, n)| (way, *n)).collect();
        all.extend(self.shifts.most());
        all.sort_by_key(|(_, n)| u64::MAX - n);
        all
    }

    /// Rows with a value before and after.
    pub fn both(&self) -> u64 {
        self.rows - self.filled - self.emptied
    }

    /// How often a new value comes.
    pub fn times_given(&self, new: &str) -> u64 {
        self.values.of(&*counted(new))
    }
}

/// A number, or a date or time in days since 1970, and whether it is one.
pub fn measured(text: &str) -> Option<(f64, bool)> {
    match number(text) {
        Some(n) => Some((n, false)),
        None => days(text).map(|days| (days, true)),
    }
}

/// 1970-01-01.
const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

/// Days since 1970 of a date or time; about so many where the year is not one of four digits.
fn days(text: &str) -> Option<f64> {
    if let Some(at) = time(text) {
        return Some(at.duration_since(EPOCH).as_secs_f64() / 86_400.0);
    }
    let (year, rest) = text.split_once('-')?;
    let is_date = rest.as_bytes().get(2) == Some(&b'-') && matches!(year.len(), 4..=6);
    let year: i32 = year.parse().ok().filter(|_| is_date)?;
    let year = if text.ends_with(" BC") {
        1 - year
    } else {
        year
    };
    Some(f64::from(year - 1970) * 365.2425)
}

/// The day that is so many days after 1970.
pub fn day(days: f64) -> String {
    let at = EPOCH.checked_add(jiff::SignedDuration::from_hours((days * 24.0) as i64));
    at.map_or_else(
        |_| format!("{days} days after 1970"),
        |at| at.date().to_string(),
    )
}

/// By how many powers of ten a number changes, without direction; `None` where one of them is 0.
pub fn ratio(old: &str, new: &str) -> Option<f64> {
    let (a, b) = (number(old)?, number(new)?);
    (a != 0.0 && b != 0.0).then(|| (b / a).abs().log10().abs())
}

/// What stands for a value while values are counted: itself, or of a long one its beginning and a hash of all of it.
fn counted(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST {
        return text.into();
    }
    let beginning = &text[..text.floor_char_boundary(LONGEST)];
    let hash = hex(&Sha256::digest(text)[..8]);
    format!("{beginning}{HASHED}{hash}").into()
}

/// A value that was counted, for people, with `…` behind what is not all of it.
pub(super) fn beginning(counted: &str) -> Cow<'_, str> {
    match counted.split_once(HASHED) {
        Some((beginning, _)) => format!("{beginning}…").into(),
        None => counted.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_counted_as_a_whole() {
        let long = |end: &str| "records/".repeat(20) + end;
        let mut column = ColumnProfile::new("url");
        for n in 0..12_u32 {
            let (old, new) = (long(&n.to_string()), long(&(n + 100).to_string()));
            column.changed(Some(&old), Some(&new));
        }
        assert_eq!(column.words(12), "12 of 12 updates");
        assert_eq!(column.times_given(&long("100")), 1);
        let mut column = ColumnProfile::new("url");
        for _ in 0..12 {
            column.changed(Some("none"), Some(&long("1")));
        }
        let words = column.words(12);
        assert!(
            words.starts_with("12 of 12 updates: all \"none\" → \"records/"),
            "{words}"
        );
        assert!(words.ends_with("…\""), "{words}");
    }
}
