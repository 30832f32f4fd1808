//! How a column marks rows as deleted.

use super::schema::Column;
use crate::sql::Ident;

/// What a column that marks deleted rows holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// When the row was deleted; null of rows that live.
    Time,
    /// Whether it is; false or null of rows that live.
    Flag,
}

impl Mark {
    /// How `column` can mark rows, or what it would have to be.
    ///
    /// # Errors
    /// What the column is instead, in words.
    pub fn of(column: &Column) -> Result<Mark, String> {
        match column.base_type.as_str() {
            "bool" => Ok(Mark::Flag),
            _ if column.is_timestamp() && !column.not_null => Ok(Mark::Time),
            _ => Err(format!(
                "{} is {}{}; deleted rows are marked in a date or time that can be null, or in a boolean",
                column.name,
                column.type_sql,
                if column.not_null { " NOT NULL" } else { "" }
            )),
        }
    }

    /// The SQL condition that a row lives whose mark holds `value`.
    pub fn lives(self, value: &str) -> String {
        match self {
            Mark::Time => format!("{value} IS NULL"),
            Mark::Flag => format!("{value} IS NOT TRUE"),
        }
    }

    /// Whether `condition`, as the database prints it, is that a row lives which is marked so in `column`.
    pub fn is_life(self, column: &Column, condition: &str) -> bool {
        let printed = [column.name.clone(), Ident(&column.name).to_string()];
        printed.iter().any(|name| {
            condition == format!("({})", self.lives(name))
                || self == Mark::Flag && column.not_null && condition == format!("(NOT {name})")
        })
    }

    /// The SQL condition that a row is deleted whose mark holds `value`.
    pub fn deleted(self, value: &str) -> String {
        match self {
            Mark::Time => format!("{value} IS NOT NULL"),
            Mark::Flag => format!("{value} IS TRUE"),
        }
    }

    /// What a row is marked with, as SQL.
    pub fn now(self) -> &'static str {
        match self {
            Mark::Time => "pg_catalog.now()",
            Mark::Flag => "true",
        }
    }

    /// What a row holds that is brought back, as PostgreSQL prints it.
    pub fn alive(self) -> Option<&'static str> {
        match self {
            Mark::Time => None,
            Mark::Flag => Some("f"),
        }
    }

    /// Whether a row is deleted whose mark PostgreSQL prints so.
    pub fn is_deleted(self, value: Option<&str>) -> bool {
        match self {
            Mark::Time => value.is_some(),
            Mark::Flag => value == Some("t"),
        }
    }

    /// `value`, and what a row holds that is brought back in place of null, as SQL.
    pub fn or_alive(self, value: &str) -> String {
        match self {
            Mark::Time => value.to_owned(),
            Mark::Flag => format!("coalesce({value}, false)"),
        }
    }
}
