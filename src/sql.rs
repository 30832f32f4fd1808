//! How SQL is made: names and literals, statements that say what they are for, COPY text.

pub mod copytext;
pub mod ident;
mod print;
pub mod statement;

use std::fmt::Display;

pub use ident::{Ident, Literal, Qualified, Temporary};
pub use statement::{Bound, Place, Statement, Values};

/// `parts` between commas.
pub fn list<T: Display>(parts: impl IntoIterator<Item = T>) -> String {
    joined(parts, ", ")
}

/// The condition that all of `parts` hold; `true` of none.
pub fn all<T: Display>(parts: impl IntoIterator<Item = T>) -> String {
    match joined(parts, " AND ") {
        none if none.is_empty() => "true".into(),
        some => some,
    }
}

/// The condition that one of `parts` holds, in parentheses; `false` of none.
pub fn any<T: Display>(parts: impl IntoIterator<Item = T>) -> String {
    match joined(parts, " OR ") {
        none if none.is_empty() => "false".into(),
        some => format!("({some})"),
    }
}

/// An array of the texts `parts`, each SQL.
pub fn text_array<T: Display>(parts: impl IntoIterator<Item = T>) -> String {
    format!("ARRAY[{}]::pg_catalog.text[]", list(parts))
}

fn joined<T: Display>(parts: impl IntoIterator<Item = T>, between: &str) -> String {
    let mut all = String::new();
    for part in parts {
        if !all.is_empty() {
            all += between;
        }
        all += &part.to_string();
    }
    all
}
