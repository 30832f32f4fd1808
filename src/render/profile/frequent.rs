//! The most frequent of many values, counted in flat memory.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Counts the values that come most often. As long as there are no more than [`ROOM`] different ones,
/// every count is exact. After that each further value takes one from all counts, so that they say how
/// often a value came at least (Misra and Gries, 1982); those that are left can be counted again, exactly.
#[derive(Debug, Clone)]
pub struct Frequent<T> {
    counts: HashMap<T, Count>,
    seen: u64,
    /// Whether some value found no room.
    full: bool,
    /// Whether those that are left are counted again.
    again: bool,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    /// At least this often.
    least: u64,
    /// When it came first; decides where counts are equal.
    first: u64,
}

/// What comes less often is not told of.
pub const OFTEN: u64 = 3;
/// How many different values are counted at once.
const ROOM: usize = 64;

impl<T> Default for Frequent<T> {
    fn default() -> Frequent<T> {
        Frequent {
            counts: HashMap::new(),
            seen: 0,
            full: false,
            again: false,
        }
    }
}

impl<T: Hash + Eq> Frequent<T> {
    /// Begins to count again those that came `least` times or more by what is known, and says so, where counts are not
    /// exact and there are such: all values are to be given once more.
    pub fn begin_again(&mut self, least: u64) -> bool {
        self.again = self.full && self.counts.values().any(|count| count.least >= least);
        if self.again {
            // Which of the others are left is chance.
            self.counts.retain(|_, count| count.least >= least);
            self.counts.values_mut().for_each(|count| count.least = 0);
        }
        self.again
    }

    /// Counts one that was counted already, where those that are left are counted again.
    pub fn add_again<Q: Hash + Eq + ?Sized>(&mut self, value: &Q)
    where
        T: Borrow<Q>,
    {
        if let Some(count) = self.counts.get_mut(value).filter(|_| self.again) {
            count.least += 1;
        }
    }

    /// Counts one more.
    pub fn add<Q>(&mut self, value: &Q)
    where
        T: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = T> + ?Sized,
    {
        self.seen += 1;
        let first = self.seen;
        if let Some(count) = self.counts.get_mut(value) {
            count.least += 1;
        } else if self.counts.len() < ROOM {
            let count = Count { least: 1, first };
            self.counts.insert(value.to_owned(), count);
        } else {
            self.full = true;
            self.counts.retain(|_, count| {
                count.least -= 1;
                count.least > 0
            });
        }
    }

    /// How many were counted.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// How often a value came, at least.
    pub fn of<Q: Hash + Eq + ?Sized>(&self, value: &Q) -> u64
    where
        T: Borrow<Q>,
    {
        self.counts.get(value).map_or(0, |c| c.least)
    }

    /// How many different ones there are, where they are few enough to be counted exactly.
    pub fn different(&self) -> Option<usize> {
        (!self.full).then_some(self.counts.len())
    }

    /// Values with how often each came at least, the most frequent first.
    pub fn most(&self) -> Vec<(&T, u64)> {
        let mut all: Vec<(&T, &Count)> = self.counts.iter().collect();
        all.sort_by_key(|(_, c)| (u64::MAX - c.least, c.first));
        all.into_iter().map(|(v, c)| (v, c.least)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_counted_exactly_and_of_many_the_frequent_ones_are_found() {
        let mut few = Frequent::default();
        for v in ["a", "b", "a"] {
            few.add(&v);
        }
        assert_eq!(few.most(), [(&"a", 2), (&"b", 1)]);
        assert_eq!((few.different(), few.seen(), few.of("c")), (Some(2), 3, 0));
        let mut many = Frequent::default();
        for n in 0..10_000_u32 {
            many.add(&if n % 3 == 0 { 7 } else { n + 1_000 });
        }
        assert_eq!(many.different(), None);
        let (value, at_least) = many.most()[0];
        assert_eq!(*value, 7);
        assert!((3_000..3_334).contains(&at_least), "{at_least}");
        // Counted again, it is exact; what was exact stays.
        assert!(!many.clone().begin_again(4_000) && !few.begin_again(1));
        assert!(many.begin_again(3));
        for n in 0..10_000_u32 {
            many.add_again(&if n % 3 == 0 { 7 } else { n + 1_000 });
        }
        assert_eq!(many.most(), [(&7, 3_334)]);
        few.add_again("a");
        assert_eq!(few.of("a"), 2);
    }
}
