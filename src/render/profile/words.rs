//! A column's profile in words, the same in all formats.

use super::column::{ColumnProfile, beginning};
use super::frequent::OFTEN;
use super::kind::Kind;
use super::sample::ENOUGH;
use crate::render::verdict::plural;
use crate::text::cut::quoted_pair;

/// Of frequent changes at most so many are named.
const NAMED: usize = 2;

impl ColumnProfile {
    /// What its changes come to, for people: `353 of 1200 updates, all one day earlier`.
    pub fn words(&self, updates: u64) -> String {
        let mut parts = Vec::new();
        if self.filled > 0 {
            parts.push(all_or(self.filled, self.rows, "from null"));
        }
        if self.emptied > 0 {
            parts.push(all_or(self.emptied, self.rows, "to null"));
        }
        for (kind, n) in self.by_way() {
            // What is done to a few rows alone is worth a word only if it is likely to be a mistake.
            let telling = matches!(kind, Kind::PowerOfTen(_) | Kind::Sign | Kind::Exchanged);
            if telling || n >= OFTEN {
                parts.push(all_or(n, self.rows, &kind.words()));
            }
        }
        let frequent = self.changes.most().into_iter();
        let frequent = frequent.map(|((old, new), n)| (beginning(old), beginning(new), n));
        // Of two that begin alike there is nothing to show.
        let frequent = frequent.filter(|(old, new, n)| *n >= OFTEN && old != new);
        for (old, new, n) in frequent.take(NAMED) {
            parts.push(all_or(n, self.rows, &quoted_pair(Some(&*old), Some(&*new))));
        }
        parts.extend(self.spread());
        let of = format!("{} of {}", self.rows, plural(updates, "update"));
        if parts.is_empty() {
            return of;
        }
        format!("{of}: {}", parts.join("; "))
    }

    /// How its numbers are spread before and after, where there are enough of them.
    fn spread(&self) -> Option<String> {
        if self.times || self.before.seen() < ENOUGH {
            return None;
        }
        let ends = |part| Some((self.before.quantile(part)?, self.after.quantile(part)?));
        // A few that lie far away would leave one bar for all others.
        let ((a, b), (c, d)) = (ends(0.02)?, ends(0.98)?);
        let (least, most) = (a.min(b), c.max(d));
        (least < most).then(|| {
            format!(
                "mostly {least} to {most}: before |{}| after |{}|",
                self.before.bars(least, most),
                self.after.bars(least, most)
            )
        })
    }
}

fn all_or(n: u64, of: u64, what: &str) -> String {
    if n == of && of > 1 {
        format!("all {what}")
    } else {
        format!("{n} {what}")
    }
}
