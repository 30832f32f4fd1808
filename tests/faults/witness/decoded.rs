//! What PostgreSQL's own logical decoding (`test_decoding`) says that a transaction did.

use std::collections::BTreeMap;

/// A row: column to text, without those that are null.
pub type Row = BTreeMap<String, String>;

/// One change of one row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    pub table: String,
    pub before: Option<Row>,
    pub after: Option<Row>,
}

/// One committed transaction, in the order of commits.
#[derive(Debug, Default)]
pub struct Transaction {
    pub xid: String,
    /// Prefixes of the messages that it left in the log by `pg_logical_emit_message`.
    pub messages: Vec<String>,
    pub changes: Vec<Change>,
}

/// The transactions of these lines.
pub fn transactions(lines: impl Iterator<Item = (String, String)>) -> Vec<Transaction> {
    let mut all: Vec<Transaction> = Vec::new();
    for (xid, line) in lines {
        if line.starts_with("BEGIN") {
            all.push(Transaction {
                xid,
                ..Transaction::default()
            });
        } else if let Some(rest) = line.strip_prefix("message: ") {
            let prefix = rest.split("prefix: ").nth(1).unwrap();
            let prefix = prefix.split(',').next().unwrap().to_owned();
            all.last_mut().unwrap().messages.push(prefix);
        } else if let Some(rest) = line.strip_prefix("table ") {
            all.last_mut().unwrap().changes.push(change(rest));
        }
    }
    all
}

fn change(text: &str) -> Change {
    let (table, rest) = text.split_once(": ").unwrap();
    let (operation, rest) = rest.split_once(": ").unwrap();
    let (before, after) = match operation {
        "INSERT" => (None, Some(row(rest))),
        "DELETE" => (Some(row(rest)), None),
        "UPDATE" => {
            let (before, after) = rest
                .strip_prefix("old-key: ")
                .and_then(|r| r.split_once(" new-tuple: "))
                .unwrap_or_else(|| panic!("no old row: {text}"));
            (Some(row(before)), Some(row(after)))
        }
        _ => panic!("{operation} of {table}"), // TRUNCATE among them
    };
    Change {
        table: table.strip_prefix("public.").unwrap_or(table).to_owned(),
        before,
        after,
    }
}

/// `name[type]:value …`, texts in quotes.
fn row(mut text: &str) -> Row {
    let mut row = Row::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once('[').unwrap();
        let (_, rest) = rest.split_once("]:").unwrap();
        let (value, left) = match rest.strip_prefix('\'') {
            None => {
                let (value, left) = rest.split_once(' ').unwrap_or((rest, ""));
                ((value != "null").then(|| value.to_owned()), left)
            }
            Some(quoted) => {
                let (value, left) = unquote(quoted);
                (Some(value), left.strip_prefix(' ').unwrap_or(left))
            }
        };
        row.extend(value.map(|v| (name.to_owned(), v)));
        text = left;
    }
    row
}

/// Up to the quote that ends it, and what comes behind.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (part, behind) = rest.split_once('\'').unwrap();
        value += part;
        match behind.strip_prefix('\'') {
            None => return (value, behind),
            Some(more) => {
                value.push('\'');
                rest = more;
            }
        }
    }
}

#[test]
fn rows_are_read_as_they_are_printed() {
    let text = "public.t: UPDATE: old-key: k[integer]:1 v[text]:'it''s new-tuple: a' new-tuple: k[integer]:1 \
                v[text]:null u[uuid[]]:'{}' at[timestamp with time zone]:'2020-01-01 00:00:00+00' b[boolean]:true";
    // A value that looks like the middle is told from it by its quotes, or the row cannot be read.
    let plain = text.replace(" new-tuple: a'", "'");
    let read = change(&plain);
    assert_eq!(read.before.unwrap()["v"], "it's");
    let after = read.after.unwrap();
    assert_eq!(after.get("v"), None);
    assert_eq!((&*after["u"], &*after["b"]), ("{}", "true"));
}
