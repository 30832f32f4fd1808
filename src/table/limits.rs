//! Limits against accidents: the most rows of one table that a plan may insert, update or delete.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::action::{Action, Counts};

/// The most rows of a table that one plan may change, by action; what is not named is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The most rows to insert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insert: Option<Limit>,
    /// The most rows to update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<Limit>,
    /// The most rows to delete, or to mark as deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<Limit>,
}

/// A number of rows, or a part of the rows that the table has when the plan is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// So many rows.
    Rows(u64),
    /// A part of the table's rows.
    Share {
        /// Hundredths of a per cent, rounded down to whole rows.
        hundredths: u64,
        /// So many are allowed in any case: of a small table a part is next to nothing.
        floor: u64,
    },
}

/// A limit given for one plan, in place of the tables' own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// The table as configured; `None` for every table.
    pub table: Option<String>,
    /// What it limits.
    pub action: Action,
    /// How many.
    pub limit: Limit,
}

/// A limit that a plan exceeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded<'a> {
    /// The table as configured.
    pub table: &'a str,
    /// What there is too much of.
    pub action: Action,
    /// So many rows.
    pub number: u64,
    /// What is allowed.
    pub limit: Limit,
    /// The rows that the table had.
    pub rows: u64,
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Limits::default()
    }

    /// Whether the table's rows have to be counted.
    pub fn needs_rows(&self) -> bool {
        let shares = [self.insert, self.update, self.delete].into_iter();
        shares.flatten().any(|l| matches!(l, Limit::Share { .. }))
    }

    /// The limit of one action; what writes no row has none.
    pub fn of(&self, action: Action) -> Option<Limit> {
        match action {
            Action::Insert => self.insert,
            Action::Update => self.update,
            Action::Delete => self.delete,
            Action::Skip | Action::Violation => None,
        }
    }

    /// Sets the limit of one action.
    pub fn set(&mut self, action: Action, limit: Limit) {
        match action {
            Action::Insert => self.insert = Some(limit),
            Action::Update => self.update = Some(limit),
            Action::Delete => self.delete = Some(limit),
            Action::Skip | Action::Violation => {}
        }
    }

    /// What a rollback is limited to of a load for which `allowed` was in effect in place of these: of each action what was
    /// allowed, where that is not less than these, which are not limited themselves where they are not named.
    #[must_use]
    pub fn of_rollback(self, allowed: Limits) -> Limits {
        let wider = |own: Option<Limit>, allowed: Option<Limit>| {
            let (own, allowed) = own.zip(allowed)?;
            Some(match (own, allowed) {
                (Limit::Rows(rows), Limit::Rows(other)) => Limit::Rows(rows.max(other)),
                // Which is more depends on the table.
                _ => allowed,
            })
        };
        Limits {
            insert: wider(self.insert, allowed.insert),
            update: wider(self.update, allowed.update),
            delete: wider(self.delete, allowed.delete),
        }
    }

    /// The limits that `counts` exceed, for a table that has `rows`.
    pub fn exceeded<'a>(
        &self,
        table: &'a str,
        counts: &Counts,
        rows: u64,
    ) -> impl Iterator<Item = Exceeded<'a>> + use<'a> {
        let (own, counts) = (*self, *counts);
        Action::CHANGES.into_iter().filter_map(move |action| {
            let number = counts.of(action);
            let limit = own.of(action).filter(|l| number > l.most(rows))?;
            Some(Exceeded {
                table,
                action,
                number,
                limit,
                rows,
            })
        })
    }
}

/// The limits for the table `name`: its own, replaced by what is given for all tables, and that by
/// what is given for this one.
pub fn in_effect(mut own: Limits, name: &str, given: &[Allowance]) -> Limits {
    let for_all = given.iter().filter(|a| a.table.is_none());
    let for_this = given.iter().filter(|a| a.table.as_deref() == Some(name));
    for allowance in for_all.chain(for_this) {
        own.set(allowance.action, allowance.limit);
    }
    own
}

/// What is said of limits that were replaced for one plan, so that a reviewer sees it.
pub fn replaced(own: &Limits, now: &Limits) -> Vec<String> {
    let actions = [
        (Action::Insert, own.insert, now.insert),
        (Action::Update, own.update, now.update),
        (Action::Delete, own.delete, now.delete),
    ];
    let replaced = actions.into_iter().filter_map(|(action, own, now)| {
        let (own, now) = own.zip(now).filter(|(own, now)| own != now)?;
        Some(format!(
            "limit of rows to {action} changed from {own} to {now} by --max-{action}s"
        ))
    });
    replaced.collect()
}

/// How a limit is written.
const FORMS: &str =
    "a number of rows (1000) or a part of the table's rows (10%, 0.25%, or \"10%, at least 10\")";

impl Limit {
    /// The most rows that are allowed where the table has `rows`.
    pub fn most(self, rows: u64) -> u64 {
        match self {
            Limit::Rows(n) => n,
            Limit::Share { hundredths, floor } => {
                let share = u128::from(rows) * u128::from(hundredths) / 10_000;
                u64::try_from(share).unwrap_or(u64::MAX).max(floor)
            }
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Limit::Rows(n) => write!(f, "{n}"),
            Limit::Share { hundredths, floor } => {
                match (hundredths / 100, hundredths % 100) {
                    (whole, 0) => write!(f, "{whole}%")?,
                    (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10)?,
                    (whole, part) => write!(f, "{whole}.{part:02}%")?,
                }
                match floor {
                    0 => Ok(()),
                    n => write!(f, ", at least {n}"),
                }
            }
        }
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Limit, String> {
        let wrong = || format!("\"{text}\" is not {FORMS}");
        // Digits alone: no sign, no exponent.
        let number = |digits: &str| {
            if digits.bytes().all(|b| b.is_ascii_digit()) {
                digits.parse::<u64>().map_err(|_| wrong())
            } else {
                Err(wrong())
            }
        };
        let (share, floor) = match text.split_once(',') {
            None => (text, 0),
            Some((share, floor)) => {
                let floor = floor.trim_start().strip_prefix("at least ");
                (share, number(floor.ok_or_else(wrong)?.trim())?)
            }
        };
        let Some(share) = share.trim_end().strip_suffix('%') else {
            return number(text).map(Limit::Rows);
        };
        let share = share.trim_end();
        let (whole, part) = share.split_once('.').unwrap_or((share, "0"));
        let part = match part.len() {
            1 => number(part)? * 10,
            2 => number(part)?,
            _ => return Err(wrong()),
        };
        let hundredths = number(whole)?
            .checked_mul(100)
            .and_then(|w| w.checked_add(part));
        hundredths
            .map(|hundredths| Limit::Share { hundredths, floor })
            .ok_or_else(wrong)
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Limit::Rows(n) => s.serialize_u64(*n),
            Limit::Share { .. } => s.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Limit;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(FORMS)
            }
            fn visit_u64<E>(self, n: u64) -> Result<Limit, E> {
                Ok(Limit::Rows(n))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Limit, E> {
                text.parse().map_err(E::custom)
            }
        }
        d.deserialize_any(Visitor)
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of rows (`1000`), or a part of the rows that the table has (`10%`, `0.25%`), with a floor if wanted (`10%, at least 10`).",
            "oneOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,2})? *%( *, *at least +[0-9]+ *)?$"},
            ],
        })
    }
}

impl fmt::Display for Exceeded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (action, number, most) = (self.action, self.number, self.limit.most(self.rows));
        let rows = if number == 1 { "row" } else { "rows" };
        let are = if most == 1 { "is" } else { "are" };
        let word = action.word();
        write!(
            f,
            "{number} {rows} to {word}, and at most {most} {are} allowed (limits: {word}: {}",
            self.limit
        )?;
        if let Limit::Share { .. } = self.limit {
            write!(f, ", of {} rows", self.rows)?;
        }
        let table = crate::text::escape(self.table);
        write!(f, "); if meant, plan with --max-{word}s {table}={number}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(hundredths: u64, floor: u64) -> Limit {
        Limit::Share { hundredths, floor }
    }

    #[test]
    fn limits_are_numbers_or_parts() {
        for (text, limit, shown) in [
            ("0", Limit::Rows(0), "0"),
            ("1000", Limit::Rows(1000), "1000"),
            ("10%", share(1000, 0), "10%"),
            ("10 %", share(1000, 0), "10%"),
            ("0.25%", share(25, 0), "0.25%"),
            ("0.05%", share(5, 0), "0.05%"),
            ("12.50%", share(1250, 0), "12.5%"),
            ("250%", share(25_000, 0), "250%"),
            ("10%, at least 10", share(1000, 10), "10%, at least 10"),
            ("10 % ,at least  7", share(1000, 7), "10%, at least 7"),
        ] {
            assert_eq!(text.parse(), Ok(limit), "{text}");
            assert_eq!(limit.to_string(), shown);
        }
        for text in [
            "",
            "%",
            "-1",
            "+1",
            "1e3",
            "ten",
            "1.5",
            "1.234%",
            ".5%",
            "10, at least 5",
            "10%, 5",
            "10%, at least",
            "10%, at least ten",
            "10%,",
            "1.%",
            "99999999999999999999",
            "99999999999999999999%",
        ] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_part_is_rounded_down_to_whole_rows() {
        let most = |text: &str, rows| text.parse::<Limit>().unwrap().most(rows);
        assert_eq!(most("10%", 109), 10);
        assert_eq!(most("10%", 9), 0);
        assert_eq!(most("0.01%", 10_000), 1);
        assert_eq!(most("100%", u64::MAX), u64::MAX);
        assert_eq!(most("300%", u64::MAX), u64::MAX);
        assert_eq!(most("7", 0), 7);
        assert_eq!(most("10%, at least 10", 0), 10);
        assert_eq!(most("10%, at least 10", 1000), 100);
    }

    #[test]
    fn what_is_given_for_a_table_beats_what_is_given_for_all() {
        let own = Limits {
            delete: Some(Limit::Rows(5)),
            ..Limits::default()
        };
        let allowance = |table: Option<&str>, n| Allowance {
            table: table.map(str::to_owned),
            action: Action::Insert,
            limit: Limit::Rows(n),
        };
        let given = [allowance(Some("a"), 1), allowance(None, 2)];
        let expected = |n| Limits {
            insert: Some(Limit::Rows(n)),
            ..own
        };
        assert_eq!(in_effect(own, "a", &given), expected(1));
        assert_eq!(in_effect(own, "b", &given), expected(2));
    }

    #[test]
    fn what_replaces_a_limit_is_told() {
        let limits = |update, insert| Limits {
            insert,
            update: Some(update),
            delete: None,
        };
        let own = limits(share(3000, 0), None);
        assert_eq!(replaced(&own, &own), [""; 0]);
        // Where there was no limit, none is lifted.
        let now = limits(share(5000, 0), Some(Limit::Rows(7)));
        assert_eq!(
            replaced(&own, &now),
            ["limit of rows to update changed from 30% to 50% by --max-updates"]
        );
    }

    #[test]
    fn what_is_exceeded_is_told_with_the_flag_that_allows_it() {
        let limits = Limits {
            insert: Some(Limit::Rows(10)),
            update: Some(share(1000, 0)),
            delete: Some(Limit::Rows(1)),
        };
        let counts = Counts {
            insert: 10,
            update: 11,
            delete: 2,
            ..Counts::default()
        };
        let told: Vec<String> = limits
            .exceeded("lcl", &counts, 100)
            .map(|e| e.to_string())
            .collect();
        assert_eq!(
            told,
            [
                "11 rows to update, and at most 10 are allowed (limits: update: 10%, of 100 rows); if meant, plan with \
                 --max-updates lcl=11",
                "2 rows to delete, and at most 1 is allowed (limits: delete: 1); if meant, plan with --max-deletes lcl=2"
            ]
        );
    }
}
