//! Which of the rows that applications changed are to be undone, where not all are.

use std::collections::BTreeSet;

use super::Undo;
use crate::error::{Error, Result};
use crate::pg::Session;
use crate::sql::{Ident, Place, Statement, Values, list};
use crate::table::row::{keys_equal, record_id};

/// Which rows of a table are to be undone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selected {
    /// The applications whose rows are chosen.
    pub applications: Vec<String>,
    /// Those of these keys, each in the order of the natural key's columns; all where there is no list.
    pub keys: Option<Vec<Vec<String>>>,
    /// Further rows, of whatever application, by the audit log's name of them.
    pub further: BTreeSet<String>,
}

impl Undo<'_> {
    /// Leaves the rows that are selected.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) with the first key that none of the applications changed; [`Database`](crate::ErrorKind::Database).
    pub(super) async fn select(&self, session: &Session, selected: &Selected) -> Result<()> {
        if let Some(keys) = &selected.keys
            && let Some(key) = session
                .column(&self.not_changed(selected, keys))
                .await?
                .first()
        {
            let undone = session.holds(&self.was_changed(selected, key)).await?;
            let why = if undone {
                "was undone already"
            } else {
                "was changed by none of the loads that are to be undone"
            };
            return Err(Error::config(format!(
                "{} {} {why}",
                crate::text::escape(&self.target.name),
                session.name_row(&self.target.name, key)
            )));
        }
        session.run(&self.unselect(selected)).await
    }

    /// The names of the keys that none of the applications changed.
    pub(in crate::pg) fn not_changed(
        &self,
        selected: &Selected,
        keys: &[Vec<String>],
    ) -> Statement {
        let mut values = Values::default();
        let of_key = self.target.key_columns().into_iter();
        let sql = format!(
            "SELECT {id} FROM {keys} k WHERE NOT EXISTS (SELECT FROM {undo} s WHERE {same} AND {chosen})",
            id = record_id(of_key.map(|c| c.text("k"))),
            keys = self.keys(keys, &mut values),
            undo = self.temporary(),
            same = keys_equal(&self.target.key(), "s", "k"),
            chosen = self.chosen(selected, &mut values),
        );
        self.reading(sql, values).at_once()
    }

    /// Whether the applications changed a row, which was undone since.
    fn was_changed(&self, selected: &Selected, record_id: &str) -> Statement {
        let mut values = Values::default();
        let sql = format!(
            "SELECT EXISTS (SELECT FROM {} a WHERE {} AND a.record_id = {})",
            self.audit_log(),
            self.of(&selected.applications, &mut values),
            values.text(record_id)
        );
        self.reading(sql, values)
    }

    pub(in crate::pg) fn unselect(&self, selected: &Selected) -> Statement {
        let mut values = Values::default();
        let by_key = selected.keys.as_ref().map_or_else(String::new, |keys| {
            format!(
                " AND EXISTS (SELECT FROM {} k WHERE {})",
                self.keys(keys, &mut values),
                keys_equal(&self.target.key(), "s", "k")
            )
        });
        let sql = format!(
            "DELETE FROM {undo} s WHERE NOT (s.record_id = ANY ({further}) OR {chosen}{by_key})",
            undo = self.temporary(),
            further = values.texts(&selected.further),
            chosen = self.chosen(selected, &mut values),
        );
        self.reading(sql, values).at_once()
    }

    /// The condition that one of the chosen applications changed row `s`.
    fn chosen(&self, selected: &Selected, values: &mut Values) -> String {
        format!(
            "EXISTS (SELECT FROM {} a WHERE {} AND a.record_id = s.record_id)",
            self.audit_log(),
            crate::sql::all(
                [self.of(&selected.applications, values)]
                    .into_iter()
                    .chain(self.undone.remains(&self.audit_log(), values))
            )
        )
    }

    /// For `FROM`: these keys, with the names and types of their columns.
    fn keys(&self, keys: &[Vec<String>], values: &mut Values) -> String {
        let columns = self.target.key_columns();
        let arrays: Vec<Place> = (0..columns.len())
            .map(|n| values.texts(keys.iter().filter_map(|key| key.get(n).cloned())))
            .collect();
        let cells = columns.iter().enumerate().map(|(n, column)| {
            let value = column.of_text(&format!("x.k{n}"));
            format!("{value} AS {}", Ident(&column.name))
        });
        format!(
            "(SELECT {cells} FROM ROWS FROM ({unnested}) x({names}))",
            cells = list(cells),
            unnested = list(
                arrays
                    .iter()
                    .map(|array| format!("pg_catalog.unnest({array}::text[])"))
            ),
            names = list((0..columns.len()).map(|n| format!("k{n}"))),
        )
    }
}
