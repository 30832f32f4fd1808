//! A plan's entries as the page's script reads them: JSON in which no value ends the element that
//! holds it. Names that repeat are numbers, and come last.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::plan::{self, Entry, Header, REVIVED, TablePlan, Values, What};
use crate::render::groups::name;
use crate::render::unusual::Mark;
use crate::text::cut::{self, Cut, cut_value, differences, further};
use crate::text::{acts, visible, visible_ends};

/// The longest value in a page, in characters.
pub const WIDEST: usize = 1 << 20;
/// When a page holds so many bytes of values, further ones are cut to [`NARROW`] characters.
const MUCH: usize = 64 << 20;
const NARROW: usize = 1_000;
/// Of longer values, in characters, the page shows what differs; `LONG` of its script.
const LONG: usize = 1_500;

/// Names by number.
#[derive(Default)]
pub struct Names {
    numbers: HashMap<String, usize>,
    names: Vec<String>,
}

impl Names {
    fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        self.names.push(cut_whole(name, NARROW));
        self.numbers.insert(name.to_owned(), self.names.len() - 1);
        self.names.len() - 1
    }
}

type Value = Option<String>;

/// One entry.
#[derive(Serialize, Default)]
#[serde(default)]
struct Row {
    /// Its place in the plan, from 1: it is found again by that.
    n: u64,
    /// Its action, as a number.
    a: usize,
    /// Its table, as a number.
    t: usize,
    /// Entries of one table and action that say the same have the same number here.
    g: usize,
    /// Its group, as a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    b: Option<usize>,
    /// Natural key: column, value.
    k: Vec<(usize, Value)>,
    /// Values of an insert or delete: column, value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    v: Vec<(usize, Value)>,
    /// Columns that an insert leaves null.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    z: Vec<usize>,
    /// What an update sets: column, old, new.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    s: Vec<(usize, Value, Value)>,
    /// What differs between the old and the new value, where one is long; by column.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    d: BTreeMap<usize, Parts>,
    /// Why it is unusual.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    u: Vec<String>,
    /// Values that are rounded: column, as given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    r: Vec<(usize, Value)>,
    /// A word on the whole row.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    violation: Option<Broken>,
    /// Where it comes from: object, position.
    f: Vec<(usize, Value)>,
    /// What names it in a file of decisions, where that is not what is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<About>,
}

/// Of what names an entry in a file of decisions, that which is not what is shown.
#[derive(Serialize, Default, PartialEq)]
struct About {
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<plan::Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Vec<String>>,
}

/// What differs between two values: of JSON the path, the old part, and the new one.
#[derive(Serialize)]
struct Parts {
    parts: Vec<(String, Value, Value)>,
    /// How many more there are, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<String>,
}

#[derive(Serialize)]
struct Broken {
    kind: &'static str,
    effect: &'static str,
    field: Option<usize>,
    old: Value,
    given: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    differ: Option<Parts>,
    why: Value,
}

/// Turns entries into lines of JSON.
pub struct Writer {
    orders: Vec<Order>,
    columns: Names,
    objects: Names,
    groups: Names,
    alike: HashMap<u64, usize>,
    /// The tables whose rows have groups.
    grouped: Vec<bool>,
    bytes: usize,
}

/// The places of a table's columns, the key's before all others.
struct Order(HashMap<String, usize>);

impl Order {
    fn of(table: &TablePlan) -> Order {
        let columns = table.config.natural_key.iter().chain(&table.columns);
        let mut places = HashMap::new();
        for column in columns {
            let next = places.len();
            places.entry(column.clone()).or_insert(next);
        }
        Order(places)
    }

    /// What is known by column, in the table's order; what it has no place for comes last, by name.
    fn sorted<'v, T>(&self, values: &'v BTreeMap<String, T>) -> Vec<(&'v String, &'v T)> {
        let mut sorted: Vec<_> = values.iter().collect();
        sorted.sort_by_key(|(column, _)| self.0.get(*column).copied().unwrap_or(usize::MAX));
        sorted
    }
}

#[derive(Serialize)]
struct Tail<'a> {
    plan: &'a str,
    batch: &'a str,
    tables: Vec<String>,
    widths: Vec<u64>,
    columns: &'a [String],
    objects: &'a [String],
    groups: &'a [String],
    left: &'a [(usize, usize, u64)],
}

impl Writer {
    /// One for a plan with these tables.
    pub fn new(tables: &[TablePlan]) -> Writer {
        Writer {
            orders: tables.iter().map(Order::of).collect(),
            columns: Names::default(),
            objects: Names::default(),
            groups: Names::default(),
            alike: HashMap::new(),
            grouped: tables.iter().map(|t| t.config.group_by.is_some()).collect(),
            bytes: 0,
        }
    }

    /// One entry, masked: its `key` as decisions name it, `place` in the plan, `table` by number, `same` as entries
    /// that say the same, `marks` where it stands out.
    pub fn row(
        &mut self,
        entry: Entry,
        key: plan::Row,
        place: u64,
        table: usize,
        same: u64,
        marks: &[Mark],
    ) -> serde_json::Result<String> {
        let next = self.alike.len();
        let mut row = Row {
            n: place,
            a: entry.what.action().urgency(),
            t: table,
            g: *self.alike.entry(same).or_insert(next),
            u: marks.iter().map(Mark::words).collect(),
            ..Row::default()
        };
        if self.grouped.get(table) == Some(&true) {
            row.b = Some(match entry.group.as_deref() {
                Some(group) if !group.is_empty() => self.groups.number(group),
                none => self.groups.number(&name(none)),
            });
        }
        row.k = self.values(table, &entry.key);
        match &entry.what {
            What::Insert { values } => {
                row.v = self.values(table, values);
                let is_null = |(_, value): &(usize, Value)| value.is_none();
                row.z = row.v.extract_if(.., |v| is_null(v)).map(|v| v.0).collect();
            }
            What::Update { set, revives, .. } => {
                for (name, (a, b)) in self.in_order(table, set) {
                    let column = self.columns.number(name);
                    let (a, b) = (a.words(), b.words());
                    let (old, new) = (self.value(a.as_deref()), self.value(b.as_deref()));
                    let parts = self.parts(a.as_deref(), b.as_deref());
                    row.d.extend(parts.map(|parts| (column, parts)));
                    row.s.push((column, old, new));
                }
                if let Some(rest) = revives {
                    row.v = self.values(table, rest);
                    row.note = Some(REVIVED.into());
                }
            }
            What::Delete { values, soft, .. } => {
                row.v = self.values(table, values);
                row.note = soft.then_some("marked as deleted".into());
            }
            What::Skip(skip) => row.note = Some(skip.why()),
            What::Violation(v) => {
                row.v = self.values(table, &v.values);
                let why = match &v.other {
                    Some(other) => format!("{}; the other record: {}", v.why(), other.from),
                    None => v.why(),
                };
                row.violation = Some(Broken {
                    kind: v.kind.word(),
                    effect: v.effect.words(),
                    field: v.field.as_deref().map(|f| self.columns.number(f)),
                    old: self.value(v.existing.as_deref()),
                    given: self.value(v.given.as_deref()),
                    differ: self.parts(v.existing.as_deref(), v.given.as_deref()),
                    why: self.value(Some(&why)),
                });
            }
        }
        row.r = entry
            .rounded()
            .into_iter()
            .map(|(c, v)| (self.columns.number(c), self.value(Some(v))))
            .collect();
        row.f = entry.from.iter().map(|from| self.origin(from)).collect();
        row.about = about(&entry, key);
        Ok(inert(&serde_json::to_string(&row)?))
    }

    /// What the rows' numbers mean, and which plan they are of; `left` is table, action and number of the entries left out.
    pub fn tail(
        &self,
        plan: &str,
        header: &Header,
        left: &[(usize, usize, u64)],
    ) -> serde_json::Result<String> {
        let tables = &header.tables;
        let tail = Tail {
            plan,
            batch: &header.batch_id,
            tables: tables.iter().map(|t| cut_whole(&t.table, NARROW)).collect(),
            widths: tables.iter().map(|t| t.width).collect(),
            columns: &self.columns.names,
            objects: &self.objects.names,
            groups: &self.groups.names,
            left,
        };
        Ok(inert(&serde_json::to_string(&tail)?))
    }

    fn in_order<'v, T>(
        &self,
        table: usize,
        values: &'v BTreeMap<String, T>,
    ) -> Vec<(&'v String, &'v T)> {
        match self.orders.get(table) {
            Some(order) => order.sorted(values),
            None => values.iter().collect(),
        }
    }

    fn values(&mut self, table: usize, values: &Values) -> Vec<(usize, Value)> {
        self.in_order(table, values)
            .into_iter()
            .map(|(c, v)| (self.columns.number(c), self.value(v.words().as_deref())))
            .collect()
    }

    fn value(&mut self, value: Option<&str>) -> Value {
        let widest = if self.bytes > MUCH { NARROW } else { WIDEST };
        let shown = cut_whole(value?, widest);
        self.bytes += shown.len();
        Some(shown)
    }

    /// What differs between two values, where one is too long to be looked through.
    fn parts(&mut self, old: Option<&str>, new: Option<&str>) -> Option<Parts> {
        let (old, new) = (old?, new?);
        let long = |v: &str| v.char_indices().nth(LONG).is_some();
        if old == new || !long(old) && !long(new) {
            return None;
        }
        let (found, more) = differences(old, new, cut::WIDEST);
        let shown = |cut: Cut| {
            let mark = |is_cut| if is_cut { "…" } else { "" };
            format!(
                "{}{}{}",
                mark(cut.left),
                cut.text,
                mark(cut.right.is_some())
            )
        };
        let parts: Vec<_> = (found.into_iter())
            .map(|d| (d.path, d.old.map(shown), d.new.map(shown)))
            .collect();
        let texts =
            (parts.iter()).flat_map(|(path, old, new)| [Some(path), old.as_ref(), new.as_ref()]);
        self.bytes += texts.flatten().map(String::len).sum::<usize>();
        let more = further(more);
        Some(Parts { parts, more })
    }

    /// `object#position` as two, because many records come from one object.
    fn origin(&mut self, from: &str) -> (usize, Value) {
        match from.rsplit_once('#') {
            Some((object, position)) => (self.objects.number(object), self.value(Some(position))),
            None => (self.objects.number(from), None),
        }
    }
}

/// A value escaped, and its size where it is too long for the page.
fn cut_whole(value: &str, widest: usize) -> String {
    let cut = cut_value(value, 0, widest);
    match cut.right {
        None => visible_ends(&cut.text),
        Some(bytes) => format!("{}… (cut here: {bytes} bytes in all)", cut.text),
    }
}

/// What names an entry whose key decisions name so, where it does not look as it is.
fn about(entry: &Entry, key: plan::Row) -> Option<About> {
    let seen = |text: &str| text.len() <= NARROW && visible(text) == text;
    let is_key = key.iter().zip(entry.key.values()).all(|((c, v), shown)| {
        seen(c) && v.as_deref().is_none_or(seen) && *v == shown.words().map(Cow::into_owned)
    });
    let is_from = entry.from.iter().all(|from| seen(from));
    let about = About {
        table: (!seen(&entry.table)).then(|| entry.table.clone()),
        key: (!is_key).then_some(key),
        from: (!is_from).then(|| entry.from.clone()),
    };
    (about != About::default()).then_some(about)
}

/// JSON in which nothing can end or begin an element, and that shows what it holds. Outside of strings
/// it has no such characters.
fn inert(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            // `#`, lest a line of a log is a command to the CI that keeps it.
            '<' | '>' | '&' | '#' => out += &format!("\\u{:04x}", u32::from(c)),
            _ if acts(c) => {
                for half in c.encode_utf16(&mut [0; 2]) {
                    out += &format!("\\u{half:04x}");
                }
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_element_ends_in_json_and_it_says_the_same() {
        let value = "##[error] </script><!-- & \u{2028}\u{e0041}\u{202e}";
        let json = serde_json::to_string(value).unwrap();
        let safe = inert(&json);
        assert!(!safe.contains(['<', '>', '&', '#']) && safe.is_ascii());
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), value);
    }

    #[test]
    fn very_long_values_say_so() {
        assert_eq!(cut_whole("abc", 3), "abc");
        assert_eq!(cut_whole("abcé", 3), "abc… (cut here: 5 bytes in all)");
    }
}
