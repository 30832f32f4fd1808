//! Rows as text. What cannot be there is an error, not a default.

use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use futures_util::{FutureExt, TryStreamExt};
use tokio_postgres::types::Type;
use tokio_postgres::{CopyOutStream, Row, SimpleQueryRow};

use super::Session;
use super::failure::unexpected;
use super::patience::in_time;
use crate::error::Result;
use crate::sql::copytext::CopyRow;

/// One row of an answer, as text.
#[derive(Debug, Clone)]
pub struct TextRow {
    doing: Arc<str>,
    cells: Vec<Option<String>>,
}

impl TextRow {
    pub(super) fn of_simple(doing: &str, row: &SimpleQueryRow) -> TextRow {
        TextRow {
            doing: doing.into(),
            cells: (0..row.len())
                .map(|i| row.get(i).map(str::to_owned))
                .collect(),
        }
    }

    /// A row that was sent in its own types: texts, numbers and truth values.
    pub(super) fn of(doing: &str, row: &Row) -> Result<TextRow> {
        let cell = |(i, column): (usize, &tokio_postgres::Column)| {
            let read = match *column.type_() {
                Type::BOOL => row
                    .try_get::<_, Option<bool>>(i)
                    .map(|b| b.map(|b| if b { "t" } else { "f" }.to_owned())),
                Type::INT8 => row
                    .try_get::<_, Option<i64>>(i)
                    .map(|n| n.map(|n| n.to_string())),
                _ => row.try_get(i),
            };
            read.map_err(|e| unexpected(doing, &e.to_string()))
        };
        let cells = row.columns().iter().enumerate().map(cell);
        Ok(TextRow {
            doing: doing.into(),
            cells: cells.collect::<Result<_>>()?,
        })
    }

    /// The text in column `i`, null or not.
    pub fn get(&self, i: usize) -> Option<&str> {
        self.cells.get(i)?.as_deref()
    }

    /// The text in column `i`, null or not, taken out.
    pub fn take(&mut self, i: usize) -> Option<String> {
        self.cells.get_mut(i)?.take()
    }

    /// The text in column `i`, which is not null.
    pub fn text(&self, i: usize) -> Result<&str> {
        let missing = || unexpected(&self.doing, &format!("column {} is null", i + 1));
        self.get(i).ok_or_else(missing)
    }

    /// The value in column `i`, which is one.
    pub fn parsed<T: FromStr>(&self, i: usize) -> Result<T> {
        parsed(&self.doing, self.get(i), i)
    }

    /// Whether column `i` is true.
    pub fn is(&self, i: usize) -> bool {
        self.get(i) == Some("t")
    }

    /// The texts of all columns.
    pub fn into_cells(self) -> Vec<Option<String>> {
        self.cells
    }
}

/// The lines of a `COPY … TO STDOUT`, as they come.
pub struct CopyLines<'a> {
    session: &'a Session,
    doing: String,
    lines: Pin<Box<CopyOutStream>>,
}

impl<'a> CopyLines<'a> {
    pub(super) fn new(session: &'a Session, doing: &str, lines: CopyOutStream) -> CopyLines<'a> {
        CopyLines {
            session,
            doing: doing.to_owned(),
            lines: Box::pin(lines),
        }
    }

    /// Reads the next line into `row`; `false` after the last.
    pub async fn next(&mut self, row: &mut CopyRow) -> Result<bool> {
        // Most lines are there already: the time is looked at for the others only.
        let line = match self.lines.try_next().now_or_never() {
            Some(line) => line,
            None => in_time(&self.doing, self.session.patience, self.lines.try_next()).await?,
        };
        let Some(line) = line.map_err(|e| self.session.failed(&self.doing, &e))? else {
            return Ok(false);
        };
        // What cannot be read may be a sensitive value, and is not repeated.
        let read = row.read(&line);
        read.map_err(|_| unexpected(&self.doing, "a line is not UTF-8"))?;
        Ok(true)
    }
}

/// The value in a field of a `COPY`, which is one.
pub(in crate::pg) fn parsed<T: FromStr>(doing: &str, text: Option<&str>, i: usize) -> Result<T> {
    let value = text.and_then(|t| t.parse().ok());
    value.ok_or_else(|| unexpected(doing, &format!("column {} is not of its type", i + 1)))
}
