//! New rows of a table that refers to itself and has triggers: a trigger may look for the row to which a new one
//! refers, which has to be there by then.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::Context;
use crate::error::Result;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::Fate;
use crate::pg::session::parsed;
use crate::sql::copytext::CopyRow;
use crate::sql::{Statement, Temporary, all};

/// A new row and one to which it refers, by the numbers of their entries.
type Pair = (i64, i64);

impl Context<'_> {
    /// Numbers the new rows of the table anew, so that none comes before one to which it refers, as far as that can
    /// be. Returns whether they have to be written in this order.
    pub(super) async fn put_parents_first(&self, staged: &Staged) -> Result<bool> {
        let Some(statement) = staged.new_of_new() else {
            return Ok(false);
        };
        let mut lines = self.session.copy_out(&statement).await?;
        let (mut pairs, mut line) = (Vec::new(), CopyRow::default());
        while lines.next(&mut line).await? {
            let number = |i| parsed(statement.doing(), line.get(i), i);
            pairs.push((number(0)?, number(1)?));
        }
        if pairs.is_empty() {
            return Ok(false);
        }
        let numbers = parents_first(&pairs);
        if numbers.iter().any(|(from, to)| from != to) {
            self.session.run(&staged.create_renumbered()).await?;
            let lines = numbers.iter().map(|(from, to)| format!("{from}\t{to}\n"));
            let lines: String = lines.collect();
            self.session
                .copy_in(&staged.copy_renumbered(), lines.into_bytes().into())
                .await?;
            self.session.run(&staged.renumber()).await?;
        }
        Ok(true)
    }
}

/// The numbers in these pairs, each with the one that it gets: rows come behind all to which they refer, else in the
/// order in which they are; those that refer to each other in a circle, last.
fn parents_first(pairs: &[Pair]) -> Vec<(i64, i64)> {
    let mut waits: BTreeMap<i64, usize> = BTreeMap::new();
    let mut children: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (child, parent) in pairs {
        *waits.entry(*child).or_default() += 1;
        waits.entry(*parent).or_default();
        children.entry(*parent).or_default().push(*child);
    }
    let free = waits.iter().filter(|(_, waits)| **waits == 0);
    let mut free: BinaryHeap<Reverse<i64>> = free.map(|(n, _)| Reverse(*n)).collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(Reverse(n)) = free.pop() {
        order.push(n);
        for child in children.remove(&n).unwrap_or_default() {
            if let Some(waits) = waits.get_mut(&child) {
                *waits -= 1;
                if *waits == 0 {
                    free.push(Reverse(child));
                }
            }
        }
    }
    let placed: BTreeSet<i64> = order.iter().copied().collect();
    order.extend(waits.keys().filter(|n| !placed.contains(n)));
    order.into_iter().zip(waits.into_keys()).collect()
}

impl Staged {
    /// The new rows that refer to other new ones, each with one of these; `None` where there is no trigger that could
    /// look for them.
    fn new_of_new(&self) -> Option<Statement> {
        let table = &self.target.table;
        if table.triggers.is_empty() || table.kind.is_far() || self.rows.insert < 2 {
            return None;
        }
        let pairs = self.target.keys_to(&self.target).filter_map(|key| {
            let equal = key.pairs().map(|(name, parent_name, equality)| {
                Some(equality.equal(self.inserted("ps", parent_name)?, self.inserted("s", name)?))
            });
            let equal = all(equal.collect::<Option<Vec<_>>>()?);
            Some(format!(
                "SELECT s._n AS child, ps._n AS parent FROM {staged} s JOIN {staged} ps ON {equal} \
                 WHERE s._a = {insert} AND ps._a = {insert} AND s._n <> ps._n",
                staged = self.temporary(),
                insert = Fate::Insert,
            ))
        });
        let pairs: Vec<String> = pairs.collect();
        let all = || format!("COPY ({}) TO STDOUT", pairs.join(" UNION "));
        (!pairs.is_empty()).then(|| self.ordering(all()))
    }

    fn renumbered(&self) -> Temporary {
        Temporary {
            what: "renumbered",
            number: self.target.place,
        }
    }

    fn create_renumbered(&self) -> Statement {
        self.ordering(format!(
            "CREATE TEMPORARY TABLE {} (old bigint, new bigint)",
            self.renumbered().bare()
        ))
    }

    fn copy_renumbered(&self) -> Statement {
        self.ordering(format!("COPY {} FROM STDIN", self.renumbered()))
    }

    fn renumber(&self) -> Statement {
        self.ordering(format!(
            "UPDATE {} s SET _n = r.new FROM {} r WHERE r.old = s._n",
            self.temporary(),
            self.renumbered()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{Pair, parents_first};

    #[test]
    fn rows_come_behind_those_to_which_they_refer() {
        type Case<'c> = (&'c [Pair], &'c [i64]);
        let cases: [Case<'_>; 5] = [
            (&[(2, 1), (3, 2)], &[1, 2, 3]),
            (&[(1, 2), (2, 3)], &[3, 2, 1]),
            // Two parents; rows that do not wait keep their places among each other.
            (&[(1, 8), (1, 4), (4, 9), (5, 4)], &[8, 9, 4, 1, 5]),
            // A circle, and a row that refers to one of it.
            (&[(1, 2), (2, 1), (3, 4), (0, 1)], &[4, 3, 0, 1, 2]),
            (&[], &[]),
        ];
        for (pairs, order) in cases {
            let mut numbers: Vec<i64> = order.to_vec();
            numbers.sort_unstable();
            let expected: Vec<Pair> = order.iter().copied().zip(numbers).collect();
            assert_eq!(parents_first(pairs), expected, "{pairs:?}");
        }
    }
}
