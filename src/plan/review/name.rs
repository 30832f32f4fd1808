//! What names an entry in a file of decisions: its table, its key, and where it comes from. Of a sensitive key
//! stands there what people see of it, with so many digits that no two keys look equal.

use std::borrow::Cow;

use crate::plan::masking::Mask;
use crate::plan::{Entry, Row, Values};

/// Names the entries of one plan.
pub(crate) struct Names {
    mask: Mask,
    seen: Mask,
}

impl Names {
    /// For a plan whose values people see through `mask`.
    pub(crate) fn new(mask: &Mask) -> Names {
        Names {
            mask: mask.for_names(),
            seen: mask.clone(),
        }
    }

    /// The key by which a decision names an entry, which is not masked.
    pub(crate) fn key(&self, entry: &Entry) -> Row {
        key_of(&masked(&self.mask, entry))
    }

    /// All keys by which a decision may name an entry, which is not masked: of each value what is stored, or the
    /// words for it; a sensitive one also as people see it, which may fit several entries, as earlier versions wrote it.
    pub(crate) fn keys(&self, entry: &Entry) -> Vec<Row> {
        let mut keys = spellings(&masked(&self.mask, entry));
        for key in spellings(&masked(&self.seen, entry)) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    /// The key of an entry, which is not masked, as people see it.
    pub(crate) fn seen(&self, entry: &Entry) -> Values {
        masked(&self.seen, entry)
    }
}

fn masked(mask: &Mask, entry: &Entry) -> Values {
    let mut key = entry.key.clone();
    mask.key(&entry.table, &mut key);
    key
}

/// A key as decisions name it: what is stored, or what is said of a row that is new.
pub(crate) fn key_of(key: &Values) -> Row {
    let texts = key.iter().map(|(column, value)| {
        let text = match value.stored() {
            Ok(stored) => stored.map(str::to_owned),
            Err(_) => value.words().map(Cow::into_owned),
        };
        (column.clone(), text)
    });
    texts.collect()
}

/// The keys that are read as this one: of each value what is stored, or the words for it.
fn spellings(key: &Values) -> Vec<Row> {
    let mut keys = vec![Row::new()];
    for (column, value) in key {
        let words = value.words().map(Cow::into_owned);
        let stored = value.stored().ok().flatten().map(str::to_owned);
        let mut texts = vec![words];
        if stored.is_some() && stored != texts[0] {
            texts.push(stored);
        }
        let more = keys.iter().flat_map(|key| {
            texts.iter().map(|text| {
                let mut key = key.clone();
                key.insert(column.clone(), text.clone());
                key
            })
        });
        keys = more.collect();
    }
    keys
}
