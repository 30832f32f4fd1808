//! The row that a record found: all its columns as they print, of which the loader makes its digest.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::pg::plan::stage::Stage;
use crate::sql::copytext::CopyRow;
use crate::sql::{Ident, list, text_array};
use crate::table::row::digest_of_texts;
use crate::table::schema::{Column, Table};

/// So many columns can a query have (PostgreSQL's `MaxTupleAttributeNumber`).
const MOST: usize = 1_664;
/// Where an answer says whether a row was found.
const FOUND: usize = 13;
/// A stored value of more bytes stays in the database where only the digest needs it.
const LARGE: usize = 2_000;

/// How the row that a record found is sent, last of all: its digest where that cannot be made of what is
/// sent, and its columns in the order of digests.
pub(super) struct FoundRow {
    /// Where in an answer the digest is; the columns follow.
    at: usize,
    /// Of each column of the table, in table order, where it stands.
    places: Vec<usize>,
    /// Where those stand that a digest is of, in its order.
    of_digest: Vec<usize>,
    /// Columns, by index, that are not sent where they are large.
    spared: Vec<usize>,
    /// The conditions under which all of the row is shown, as SQL: of what is deleted, and of what comes back that
    /// was marked as deleted.
    is_shown: Vec<String>,
    /// Whether the columns are sent as one JSON array, because a query cannot have so many.
    as_one: bool,
}

/// A row as it was sent.
pub(super) struct Texts<'r> {
    columns: Vec<Option<Cow<'r, str>>>,
    digest: Option<&'r str>,
}

/// Whether a line is of a row that was found.
pub(super) fn is_found(line: &CopyRow) -> bool {
    line.get(FOUND) == Some("t")
}

impl FoundRow {
    /// For answers in which it begins at `at`, with the staged values of `compared`, and the value of `group`.
    pub(super) fn of(
        stage: &Stage<'_>,
        compared: &[usize],
        group: Option<usize>,
        at: usize,
    ) -> FoundRow {
        let (table, config) = (&stage.target.table, &stage.target.config);
        let names: Vec<&String> = table.counted(&[]).map(|c| &c.name).collect();
        let columns = table.columns.iter();
        let places = columns.filter_map(|c| names.iter().position(|name| **name == c.name));
        let is_spared = |i: &usize| {
            let is_compared = compared.contains(i) || group == Some(*i);
            !is_compared && table.columns[*i].may_be_large()
        };
        let goes = stage.deletes.then(|| "s._goes IS TRUE".to_owned());
        let mark = stage.target.marks();
        let comes_back = mark.map(|(c, mark)| mark.deleted(&format!("t.{}", Ident(&c.name))));
        FoundRow {
            at,
            spared: (0..table.columns.len()).filter(is_spared).collect(),
            is_shown: goes.into_iter().chain(comes_back).collect(),
            places: places.collect(),
            of_digest: table.places_of_digest(&config.ignore_drift),
            as_one: at + 1 + names.len() > MOST,
        }
    }

    /// What is sent.
    pub(super) fn sql(&self, table: &Table, ignore_drift: &[String]) -> String {
        let spared: Vec<&Column> = self.spared.iter().map(|i| &table.columns[*i]).collect();
        let are_large = |columns: &[&Column]| {
            let sizes = columns.iter();
            let sizes = sizes.map(|c| format!("pg_catalog.pg_column_size(t.{})", Ident(&c.name)));
            let shown = self.is_shown.iter().map(|c| format!(" AND NOT ({c})"));
            format!(
                "GREATEST({}) > {LARGE}{}",
                list(sizes),
                shown.collect::<String>()
            )
        };
        let digest = match spared.as_slice() {
            [] => "NULL".to_owned(),
            spared => {
                let digest = table.digest("t", ignore_drift);
                format!("CASE WHEN {} THEN {digest} END", are_large(spared))
            }
        };
        let sent = |c: &Column, value: String| {
            if spared.contains(&c) {
                format!("CASE WHEN {} THEN NULL ELSE {value} END", are_large(&[c]))
            } else {
                value
            }
        };
        let columns = table.counted(&[]);
        let columns = if self.as_one {
            let texts = text_array(columns.map(|c| sent(c, c.text("t"))));
            format!("pg_catalog.array_to_json({texts})")
        } else {
            list(columns.map(|c| sent(c, c.sent(format!("t.{}", Ident(&c.name))))))
        };
        format!("{digest}, {columns}")
    }

    /// What a line says of the row that was found; `None` where none was.
    pub(super) fn texts<'r>(&self, line: &'r CopyRow) -> Result<Option<Texts<'r>>> {
        if !is_found(line) {
            return Ok(None);
        }
        let begin = self.at + 1;
        let columns = if self.as_one {
            serde_json::from_str(line.get(begin).unwrap_or_default())
                .map_err(|e| Error::local("reading back a row").caused_by(e))?
        } else {
            let columns = begin..begin + self.places.len();
            columns.map(|i| line.get(i).map(Cow::Borrowed)).collect()
        };
        Ok(Some(Texts {
            columns,
            digest: line.get(self.at),
        }))
    }

    /// What the row holds in the table's column with this index, of those that are compared.
    pub(super) fn text<'t>(&self, row: &'t Texts<'_>, column: usize) -> Option<&'t str> {
        row.columns.get(*self.places.get(column)?)?.as_deref()
    }

    /// The row's digest.
    pub(super) fn digest(&self, row: &Texts<'_>) -> String {
        if let Some(digest) = row.digest {
            return digest.to_owned();
        }
        let texts = self.of_digest.iter();
        let texts: Vec<Option<&str>> = texts
            .map(|at| row.columns.get(*at).and_then(Option::as_deref))
            .collect();
        digest_of_texts(&texts)
    }
}
