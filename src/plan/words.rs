//! Words such as `NA` that one column refuses, or takes for null, and another stores: what they mean
//! is for a person to say.

use std::collections::BTreeMap;

use crate::table::config::TableConfig;
use crate::table::schema::Table;

/// Words by which deliveries say that there is no value, in any case.
const USUAL: [&str; 12] = [
    "na", "n/a", "#n/a", "nan", "null", "none", "nil", "\\n", "-", "--", "?", "unknown",
];

/// The longest of them.
const LONGEST: usize = 7;

/// Where one word was found.
#[derive(Debug, Default)]
struct Found {
    /// How often each column refused it.
    refused: BTreeMap<usize, u64>,
    /// How often each column took it for null.
    null: BTreeMap<usize, u64>,
    /// How often each column stored it, and where first.
    stored: BTreeMap<usize, (u64, Place)>,
}

/// The number of an object and a position in it.
pub type Place = (usize, u64);

/// The words of one table's records.
#[derive(Debug, Default)]
pub struct Words {
    found: BTreeMap<String, Found>,
    /// Words with a meaning in some column.
    configured: Vec<String>,
}

impl Words {
    /// For the records of a table under `config`.
    pub fn new(table: &Table, config: &TableConfig) -> Words {
        let columns = table.columns.iter();
        let spellings = columns.map(|c| config.spelling_of(&c.name));
        let words = spellings.flat_map(|s| [s.null_words, s.true_words, s.false_words]);
        let mut configured: Vec<String> = words.flatten().flatten().collect();
        configured.sort();
        configured.dedup();
        Words {
            found: BTreeMap::new(),
            configured,
        }
    }

    fn known(&self, text: &str) -> bool {
        let first = text.as_bytes().first().map_or(b' ', u8::to_ascii_lowercase);
        text.len() <= LONGEST
            && b"n#\\-?u".contains(&first)
            && USUAL.iter().any(|word| text.eq_ignore_ascii_case(word))
            || self.configured.iter().any(|word| word == text)
    }

    /// Takes a text that a column refuses.
    pub fn refused(&mut self, text: &str, column: usize) {
        if self.known(text) {
            let found = self.found.entry(text.to_owned()).or_default();
            *found.refused.entry(column).or_default() += 1;
        }
    }

    /// Takes a word that a column takes for null.
    pub fn null(&mut self, text: &str, column: usize) {
        let found = self.found.entry(text.to_owned()).or_default();
        *found.null.entry(column).or_default() += 1;
    }

    /// Takes a text that a column stores.
    pub fn stored(&mut self, text: &str, column: usize, place: Place) {
        if self.known(text) {
            let found = self.found.entry(text.to_owned()).or_default();
            found.stored.entry(column).or_insert((0, place)).0 += 1;
        }
    }

    /// What a reviewer should know of them. `origin` names a place.
    pub fn notes(&self, table: &Table, origin: &dyn Fn(Place) -> String) -> Vec<String> {
        let both = self
            .found
            .iter()
            .filter(|(_, f)| !(f.refused.is_empty() && f.null.is_empty() || f.stored.is_empty()));
        let name = |i: &usize| crate::text::escape(&table.columns[*i].name);
        let times = |n: u64| format!("{n} record{}", if n == 1 { "" } else { "s" });
        both.map(|(word, found)| {
            let columns = |of: &BTreeMap<usize, u64>| {
                let of = of.iter().map(|(column, n)| format!("{} ({})", name(column), times(*n)));
                of.collect::<Vec<_>>().join(", ")
            };
            let mut becomes = Vec::new();
            if !found.refused.is_empty() {
                becomes.push(format!("refused in {}", columns(&found.refused)));
            }
            if !found.null.is_empty() {
                becomes.push(format!("null in {}", columns(&found.null)));
            }
            let stored = found.stored.iter().map(|(column, (n, place))| {
                let first = crate::text::escape(&origin(*place));
                format!("{} ({}, first {first})", name(column), times(*n))
            });
            format!(
                "the word \"{}\" is {} and stored as it is in {}; where it means null, say so in null_words",
                crate::text::escape(word),
                becomes.join(", "),
                stored.collect::<Vec<_>>().join(", ")
            )
        })
        .collect()
    }
}
