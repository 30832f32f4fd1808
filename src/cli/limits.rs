//! The flags that override limits for one plan.

use crate::action::Action;
use crate::table::limits::{Allowance, Limit};

/// Limits for one plan, in place of those in `tables.yaml`.
#[derive(clap::Args, Debug, Clone)]
pub struct LimitArgs {
    /// Allow a plan to insert at most this many rows: 500, or 10% of the table, or TABLE=500 for one table (repeatable)
    #[arg(long, value_name = "[TABLE=]LIMIT", value_parser = given)]
    max_inserts: Vec<Given>,
    /// Allow a plan to update at most this many rows
    #[arg(long, value_name = "[TABLE=]LIMIT", value_parser = given)]
    max_updates: Vec<Given>,
    /// Allow a plan to delete at most this many rows
    #[arg(long, value_name = "[TABLE=]LIMIT", value_parser = given)]
    max_deletes: Vec<Given>,
}

type Given = (Option<String>, Limit);

fn given(text: &str) -> Result<Given, String> {
    let (table, limit) = match text.rsplit_once('=') {
        Some((table, limit)) => (Some(table.to_owned()), limit),
        None => (None, text),
    };
    Ok((table, limit.parse()?))
}

impl LimitArgs {
    /// All that were given.
    pub fn allowances(&self) -> Vec<Allowance> {
        let of = |action, given: &[Given]| -> Vec<Allowance> {
            let allowance = |(table, limit): &Given| Allowance {
                table: table.clone(),
                action,
                limit: *limit,
            };
            given.iter().map(allowance).collect()
        };
        [
            of(Action::Insert, &self.max_inserts),
            of(Action::Update, &self.max_updates),
            of(Action::Delete, &self.max_deletes),
        ]
        .concat()
    }
}
