//! Changes that stand out from the others of their column. Each rule is one sentence of
//! `docs/review.md`, and finds mistakes of a kind that people make: a point or a unit, a sign, day and
//! month, a shift of all dates, a word that nobody else uses, a key that is almost another.

use crate::plan::{Entry, Value, What};
use crate::render::profile::{
    ColumnProfile, Kind, Profile, TableProfile, day, kind, measured, ratio,
};

/// What a change stands out by; what is worse comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A number is the old one with its point elsewhere, or changes tenfold where others hardly do.
    Magnitude,
    /// A number has the other sign.
    Sign,
    /// Day and month of a date are exchanged.
    Exchanged,
    /// A number, date or time lies far outside of what the others of its column are.
    Range,
    /// A key that is another one but for case, white space and punctuation.
    Key,
    /// A value that nearly no other row has, in a column of few values.
    Rare,
    /// Many dates or times of a column are shifted by the same.
    Shift,
}

impl Rule {
    /// All, in order.
    pub const ALL: [Rule; 7] = [
        Rule::Magnitude,
        Rule::Sign,
        Rule::Exchanged,
        Rule::Range,
        Rule::Key,
        Rule::Rare,
        Rule::Shift,
    ];

    /// Its word on the command line and in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Rule::Magnitude => "magnitude",
            Rule::Sign => "sign",
            Rule::Range => "range",
            Rule::Exchanged => "exchanged",
            Rule::Shift => "shift",
            Rule::Rare => "rare",
            Rule::Key => "key",
        }
    }

    /// The rule of that word.
    pub fn of_word(word: &str) -> Option<Rule> {
        Rule::ALL.into_iter().find(|rule| rule.word() == word)
    }
}

/// Why a change stands out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// By which rule.
    pub rule: Rule,
    /// The column; of a key none.
    pub column: Option<String>,
    /// In words.
    pub why: String,
}

impl Mark {
    /// Column and reason.
    pub fn words(&self) -> String {
        match &self.column {
            Some(column) => format!("{}: {}", crate::text::escape(column), self.why),
            None => self.why.clone(),
        }
    }
}

/// Of so many rows at least is it said what is usual among them.
const ENOUGH: u64 = 20;
/// A column of few values has no more.
const FEW: usize = 20;
/// A value is rare that comes no more often, among at least so many.
const RARE: (u64, u64) = (2, 100);

/// Which rules are applied, to which plan.
pub struct Unusual<'p> {
    profile: &'p Profile,
    rules: &'p [Rule],
}

impl<'p> Unusual<'p> {
    /// What stands out, by `rules`, from the rest of a plan with this profile.
    pub fn new(profile: &'p Profile, rules: &'p [Rule]) -> Unusual<'p> {
        Unusual { profile, rules }
    }

    /// Why an entry, masked, stands out: what is worst first, nothing where it does not.
    pub fn marks(&self, entry: &Entry) -> Vec<Mark> {
        let Some(table) = self.profile.table(&entry.table) else {
            return Vec::new();
        };
        let mut marks = Vec::new();
        match &entry.what {
            What::Insert { values } => {
                self.key(entry, table, &mut marks);
                for (name, value) in values {
                    if let (Some(column), Some(new)) = (table.column(name), value.own()) {
                        self.given(column, new, &mut marks);
                    }
                }
            }
            What::Update { set, .. } => {
                for (name, (old, new)) in set {
                    let (Some(column), Some(new)) = (table.column(name), new.own()) else {
                        continue;
                    };
                    let before = marks.len();
                    if let Some(old) = old.own() {
                        self.changed(column, old, new, &mut marks);
                    }
                    // One reason for a value is enough.
                    if marks.len() == before {
                        self.given(column, new, &mut marks);
                    }
                }
            }
            What::Delete { .. } | What::Skip(_) | What::Violation(_) => {}
        }
        // What was loaded together, goes back to times that lie as close together.
        let is_asked =
            |rule| self.rules.contains(&rule) && !(self.profile.restores && rule == Rule::Shift);
        marks.retain(|mark| is_asked(mark.rule));
        marks.sort();
        marks
    }

    fn key(&self, entry: &Entry, table: &TableProfile, marks: &mut Vec<Mark>) {
        if table.has_alike(&entry.key) {
            let values = entry.key.values().filter_map(Value::words);
            let key = values.collect::<Vec<_>>().join(", ");
            marks.push(Mark {
                rule: Rule::Key,
                column: None,
                why: format!(
                    "another key of this plan differs from \"{}\" only in case, white space or punctuation",
                    crate::text::escape(&key)
                ),
            });
        }
    }

    fn changed(&self, column: &ColumnProfile, old: &str, new: &str, marks: &mut Vec<Mark>) {
        let mut mark = |rule, why: String| {
            marks.push(Mark {
                rule,
                column: Some(column.name.clone()),
                why,
            });
        };
        match kind(old, new) {
            Some(way @ Kind::PowerOfTen(_)) => mark(Rule::Magnitude, way.words()),
            Some(way @ Kind::Sign) => mark(Rule::Sign, way.words()),
            Some(way @ Kind::Exchanged) => mark(Rule::Exchanged, way.words()),
            Some(way @ Kind::Shift(_)) => {
                let alike = column.changes_by(&way);
                if alike >= 5 && alike * 5 >= column.both() {
                    mark(
                        Rule::Shift,
                        format!("{}, as {alike} of {} rows", way.words(), column.rows),
                    );
                }
            }
            Some(Kind::Case | Kind::Space) | None => {
                let usual = column.ratios.quantile(0.5);
                if let (Some(ratio), Some(usual)) = (ratio(old, new), usual)
                    && ratio >= 1.0
                    && usual < 0.3
                {
                    mark(
                        Rule::Magnitude,
                        "changes more than tenfold, and most others less than twofold".into(),
                    );
                }
            }
        }
    }

    fn given(&self, column: &ColumnProfile, new: &str, marks: &mut Vec<Mark>) {
        let mut mark = |rule, why: String| {
            marks.push(Mark {
                rule,
                column: Some(column.name.clone()),
                why,
            });
        };
        if let Some((n, is_time)) = measured(new)
            && column.all.seen() >= ENOUGH
            && let (Some(low), Some(high)) = (column.all.quantile(0.25), column.all.quantile(0.75))
        {
            let far = if is_time { 5.0 } else { 10.0 } * (high - low);
            if far > 0.0 && (n < low - far || n > high + far) {
                let words = |n: f64| if is_time { day(n) } else { n.to_string() };
                let (low, high) = (words(low), words(high));
                mark(
                    Rule::Range,
                    format!("far from the others, of which half lie between {low} and {high}"),
                );
                return;
            }
        }
        let (times, all) = (column.times_given(new), column.values.seen());
        let few = column.values.different().is_some_and(|n| n <= FEW);
        if few && all >= RARE.1 && times <= RARE.0 {
            let values = column.values.different().unwrap_or_default();
            mark(
                Rule::Rare,
                format!("{times} of {all} rows have this value, in a column of {values}"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Fingerprint, Values};

    fn values(pairs: &[(&str, &str)]) -> Values {
        let pairs = pairs.iter();
        pairs
            .map(|(c, v)| ((*c).to_owned(), Value::from(*v)))
            .collect()
    }

    fn entry(key: &str, what: What) -> Entry {
        Entry {
            table: "t".into(),
            key: values(&[("id", key)]),
            what,
            extracted: None,
            group: None,
            from: Vec::new(),
        }
    }

    fn update(key: &str, column: &str, old: &str, new: &str) -> Entry {
        let change = (Value::from(old), Value::from(new));
        entry(
            key,
            What::Update {
                set: [(column.to_owned(), change)].into(),
                expect: Fingerprint(String::new()),
                revives: None,
                stays: Vec::new(),
            },
        )
    }

    fn insert(key: &str, column: &str, value: &str) -> Entry {
        let values = values(&[(column, value)]);
        entry(key, What::Insert { values })
    }

    /// What stands out of these entries: their keys and the rules.
    fn found(entries: &[Entry]) -> Vec<(String, &'static str)> {
        let mut profile = Profile::default();
        entries.iter().for_each(|e| profile.take(e));
        let unusual = Unusual::new(&profile, &Rule::ALL);
        let marked = entries.iter().flat_map(|e| {
            let key = e.key["id"].words().unwrap_or_default().into_owned();
            let marks = unusual.marks(e).into_iter();
            marks.map(move |m| (key.clone(), m.rule.word()))
        });
        marked.collect()
    }

    /// Updates of `column` that nothing is to be said of.
    fn ordinary(column: &str) -> Vec<Entry> {
        let weight = |n: i32| format!("{}.{}", 50 + n % 40, n % 10);
        let updates = (0..200).map(|n| {
            let key = format!("key {}", 1_000 + n);
            update(&key, column, &weight(n), &weight(n * 7 + 3))
        });
        updates.collect()
    }

    fn among(column: &str, more: Vec<Entry>) -> Vec<(String, &'static str)> {
        found(&[ordinary(column), more].concat())
    }

    #[test]
    fn what_is_ordinary_does_not_stand_out() {
        assert_eq!(found(&ordinary("weight")), []);
    }

    #[test]
    fn points_and_signs_and_ranges_stand_out() {
        let planted = vec![
            update("a", "weight", "62.5", "625"),
            update("b", "weight", "62.5", "-62.5"),
            update("c", "weight", "62.5", "998"),
            update("d", "weight", "62.5", "63.5"),
            insert("e", "weight", "9000"),
        ];
        let rules = [
            ("a", "magnitude"),
            ("b", "sign"),
            ("c", "magnitude"),
            ("e", "range"),
        ];
        let expected = rules.map(|(k, r)| (k.to_owned(), r));
        assert_eq!(among("weight", planted), expected);
    }

    #[test]
    fn days_and_months_and_shifts_stand_out() {
        let date = |n: u32| format!("{}-{:02}-{:02}", 1950 + n % 60, 1 + n % 12, 1 + n % 28);
        let mut entries: Vec<Entry> = (0..60)
            .map(|n| update(&format!("k{n}"), "born", &date(n), &date(n * 11 + 5)))
            .collect();
        assert_eq!(found(&entries), []);
        entries.push(update("x", "born", "1980-03-02", "1980-02-03"));
        assert_eq!(found(&entries), [("x".to_owned(), "exchanged")]);
        let shifted = (2..28).map(|n| {
            let (old, new) = (format!("1980-03-{n:02}"), format!("1980-03-{:02}", n - 1));
            update(&format!("s{n}"), "born", &old, &new)
        });
        entries.extend(shifted);
        let shifts = found(&entries).into_iter().filter(|(_, r)| *r == "shift");
        assert_eq!(shifts.count(), 26);
        let mut restoring = Profile::default();
        entries.iter().for_each(|e| restoring.take(e));
        restoring.restores = true;
        let unusual = Unusual::new(&restoring, &Rule::ALL);
        let marks = entries.iter().flat_map(|e| unusual.marks(e));
        assert!(marks.into_iter().all(|mark| mark.rule != Rule::Shift));
    }

    #[test]
    fn days_far_from_all_others_stand_out() {
        let date = |n: u32| format!("{}-{:02}-{:02}", 1950 + n % 60, 1 + n % 12, 1 + n % 28);
        for zone in ["", " 12:30:00+00"] {
            let born = |key: &str, date: &str| insert(key, "born", &format!("{date}{zone}"));
            let mut entries: Vec<Entry> = (0..60).map(|n| born("k", &date(n))).collect();
            entries.extend(["1900-01-01", "2026-11-27"].map(|d| born("usual", d)));
            assert_eq!(found(&entries), []);
            for far in ["0190-03-02", "2204-03-02", "12004-03-02", "9999-12-31"] {
                entries.push(born(far, far));
            }
            entries.push(insert("bc", "born", &format!("0044-03-15{zone} BC")));
            let marked: Vec<String> = found(&entries).into_iter().map(|(k, _)| k).collect();
            assert_eq!(
                marked,
                [
                    "0190-03-02",
                    "2204-03-02",
                    "12004-03-02",
                    "9999-12-31",
                    "bc"
                ]
            );
        }
    }

    #[test]
    fn words_that_nobody_else_uses_stand_out() {
        let mut entries: Vec<Entry> = (0..300)
            .map(|n| {
                insert(
                    &format!("row {n}"),
                    "sex",
                    if n % 2 == 0 { "F" } else { "M" },
                )
            })
            .collect();
        entries.push(insert("odd", "sex", "W"));
        assert_eq!(found(&entries), [("odd".to_owned(), "rare")]);
    }

    #[test]
    fn keys_that_are_almost_another_stand_out() {
        let keys = ["C-001", "c 001", "C-002", "C-0021"];
        let entries = keys.map(|key| insert(key, "name", "x"));
        let expected = ["C-001", "c 001"].map(|k| (k.to_owned(), "key"));
        assert_eq!(found(&entries), expected);
    }
}
