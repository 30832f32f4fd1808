//! The flags that override limits for one plan.

use crate::action::Action;
use crate::table::limits::{Allowance, Limit};

/// Limits for one plan, in place of those in `tables.yaml`.
#[derive(clap::Args, Debug, Clone)]
pub struct LimitArgs {
    /// Allow a plan to insert at most this many rows of each table: 500, or 10% of the table, or TABLE=500 for one table (repeatable)
    #[arg(long, value_name = "[TABLE=]LIMIT", value_parser = given)]
    max_inserts: Vec<Given>,
    /// Allow a plan to update at most this many rows of each table
    #[arg(long, value_name = "[TABLE=]LIMIT", value_parser = given)]
    max_updates: Vec<Given>,
    /// Allow a plan to delete at most this many rows of each table
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

/// How large what is delivered may be.
#[derive(clap::Args, Debug, Clone)]
pub struct SizeArgs {
    /// The most bytes of an object, as 500MiB or 1GiB
    #[arg(long, env = "LOADER_MAX_OBJECT", default_value = "1GiB", value_parser = size, value_name = "SIZE")]
    pub max_object: u64,
    /// The most bytes of an object when it is unpacked
    #[arg(long, env = "LOADER_MAX_UNPACKED", default_value = "4GiB", value_parser = size, value_name = "SIZE")]
    pub max_unpacked: u64,
    /// The most bytes of a record, and of each value in it
    #[arg(long, env = "LOADER_MAX_VALUE", default_value = "64MiB", value_parser = size, value_name = "SIZE")]
    pub max_value: u64,
}

/// A number of bytes: `1000000`, `500KiB`, `64MiB`, `1GiB`.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err("a size is a number of bytes, or one with KiB, MiB, GiB or TiB".into()),
    };
    let number: Option<u64> = digits.parse().ok();
    let bytes = number.and_then(|n| n.checked_mul(unit)).filter(|n| *n > 0);
    bytes.ok_or_else(|| "a size is a number of bytes above 0, such as 64MiB".into())
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_bytes() {
        assert_eq!(size("1000"), Ok(1000));
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("1 GiB"), Ok(1 << 30));
        for wrong in ["", "0", "MiB", "1MB", "-1", "1.5GiB", "99999999TiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
