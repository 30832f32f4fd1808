//! Whether reading shows that no two records have one key.

use std::hash::{BuildHasher, RandomState};

use crate::table::schema::{Column, Equality};
use crate::table::target::Target;

/// Hashes of the keys, by which it is known that no two of them are one key: then the database need
/// not look for records with one key.
pub(super) struct Keys {
    hashes: Option<Vec<u64>>,
    hasher: RandomState,
}

/// Behind so many records of a batch (8 MB of hashes) the database looks.
const MOST_KEYS: u64 = 1 << 20;

impl Keys {
    /// Only of texts that are compared by their bytes is it known that they are stored as given.
    pub(super) fn new(target: &Target) -> Keys {
        let key = target.key();
        let as_given = |(c, equality): &(&Column, Equality)| {
            c.base_type == "text"
                && c.base_type_sql == "text"
                && equality.is_of_bytes()
                && !target.config.references.contains_key(&c.name)
        };
        Keys {
            hashes: key.iter().all(as_given).then(Vec::new),
            hasher: RandomState::new(),
        }
    }

    /// Takes the key of the `n`-th record of the batch.
    pub(super) fn push<'k>(&mut self, n: u64, key: impl Iterator<Item = Option<&'k str>>) {
        match &mut self.hashes {
            Some(hashes) if n <= MOST_KEYS => {
                hashes.push(self.hasher.hash_one(key.collect::<Vec<_>>()));
            }
            hashes => *hashes = None,
        }
    }

    pub(super) fn surely_distinct(self) -> bool {
        self.hashes.is_some_and(|mut hashes| {
            hashes.sort_unstable();
            hashes.is_sorted_by(|a, b| a < b)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_surely_distinct_until_one_comes_again() {
        let distinct = |keys: &[(u64, [Option<&str>; 2])]| {
            let mut given = Keys {
                hashes: Some(Vec::new()),
                hasher: RandomState::new(),
            };
            for (n, key) in keys {
                given.push(*n, key.iter().copied());
            }
            given.surely_distinct()
        };
        let different = [
            (1, [Some("a"), Some("bc")]),
            (2, [Some("ab"), Some("c")]),
            (3, [Some("abc"), None]),
            (4, [None, Some("abc")]),
        ];
        assert!(distinct(&different));
        let again = [(MOST_KEYS, [Some("ab"), Some("c")])];
        assert!(!distinct(&[different.as_slice(), &again].concat()));
        // What was not taken can be anything.
        let late = [(MOST_KEYS + 1, [Some("d"), Some("d")])];
        assert!(!distinct(&[different.as_slice(), &late].concat()));
        assert!(!distinct(&[late.as_slice(), &different].concat()));
    }

    #[test]
    fn only_bytes_are_known_to_differ() {
        let equality = |operator: &str, collation: Option<&str>| Equality {
            as_type: None,
            schema: "pg_catalog".into(),
            operator: operator.into(),
            collation: collation.map(str::to_owned),
        };
        assert!(equality("=", Some("pg_catalog.\"default\"")).is_of_bytes());
        assert!(equality("=", Some("pg_catalog.\"C\"")).is_of_bytes());
        for (operator, collation) in [
            ("=", Some("public.ignoring_case")),
            ("=", None),
            ("~=~", Some("pg_catalog.\"default\"")),
        ] {
            assert!(!equality(operator, collation).is_of_bytes());
        }
    }
}
