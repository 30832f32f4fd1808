//! The row that a record found: all its columns as they print, of which the loader makes its digest.

use std::borrow::Cow;

use super::answer;
use crate::error::{Error, Result};
use crate::pg::plan::stage::Stage;
use crate::sql::copytext::CopyRow;
use crate::sql::{Ident, list, text_array};
use crate::table::row::digest_of_texts;
use crate::table::schema::Table;

/// So many columns can a query have (PostgreSQL's `MaxTupleAttributeNumber`).
const MOST: usize = 1_664;

/// How the row that a record found is sent: its columns in the order of digests, last of all.
pub(super) struct FoundRow {
    /// Where in an answer it begins.
    at: usize,
    /// Of each column of the table, in table order, where it stands.
    places: Vec<usize>,
    /// Where those stand that a digest is of, in its order.
    of_digest: Vec<usize>,
    /// Whether it is sent as one JSON array, because a query cannot have so many columns.
    as_one: bool,
}

/// The texts of a row, as they were sent.
pub(super) struct Texts<'r>(Vec<Option<Cow<'r, str>>>);

impl FoundRow {
    /// For answers with so many staged values.
    pub(super) fn of(stage: &Stage<'_>, width: usize, is_grouped: bool) -> FoundRow {
        let (table, config) = (&stage.target.table, &stage.target.config);
        let names: Vec<&String> = table.counted(&[]).map(|c| &c.name).collect();
        let columns = table.columns.iter();
        let places = columns.filter_map(|c| names.iter().position(|name| **name == c.name));
        let counted = |name: &String| !config.ignore_drift.contains(name);
        let of_digest = (0..names.len()).filter(|i| counted(names[*i]));
        let at = answer::behind(stage, width) + usize::from(is_grouped);
        FoundRow {
            at,
            places: places.collect(),
            of_digest: of_digest.collect(),
            as_one: at + names.len() > MOST,
        }
    }

    /// The columns that are sent.
    pub(super) fn sql(&self, table: &Table) -> String {
        let columns = table.counted(&[]);
        if self.as_one {
            let texts = text_array(columns.map(|c| c.text("t")));
            return format!("pg_catalog.array_to_json({texts})");
        }
        list(columns.map(|c| format!("t.{}", Ident(&c.name))))
    }

    /// What a line says of the row that was found; `None` where none was.
    pub(super) fn texts<'r>(&self, line: &'r CopyRow) -> Result<Option<Texts<'r>>> {
        if !answer::is_found(line) {
            return Ok(None);
        }
        let texts = if self.as_one {
            serde_json::from_str(line.get(self.at).unwrap_or_default())
                .map_err(|e| Error::local("reading back a row").caused_by(e))?
        } else {
            let columns = 0..self.places.len();
            columns
                .map(|i| line.get(self.at + i).map(Cow::Borrowed))
                .collect()
        };
        Ok(Some(Texts(texts)))
    }

    /// What the row holds in the table's column with this index.
    pub(super) fn text<'t>(&self, row: &'t Texts<'_>, column: usize) -> Option<&'t str> {
        row.0.get(*self.places.get(column)?)?.as_deref()
    }

    /// The row's digest.
    pub(super) fn digest(&self, row: &Texts<'_>) -> String {
        let texts = self.of_digest.iter();
        let texts: Vec<Option<&str>> = texts
            .map(|at| row.0.get(*at).and_then(Option::as_deref))
            .collect();
        digest_of_texts(&texts)
    }
}
