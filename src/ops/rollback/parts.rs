//! Which applications a rollback takes back as a whole, and which in part.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::ledger::UndoneRows;
use crate::pg::plan::snapshot::Snapshot;
use crate::pg::undo::Undo;

/// The rows that are taken back, of all that are still to be.
pub(super) struct Parts<'a> {
    session: &'a Session,
    loader_schema: &'a str,
    undone: &'a UndoneRows,
    undos: &'a [Undo<'a>],
    /// The applications that changed tables without an audit log, which are never taken back as a whole.
    unaudited: BTreeSet<String>,
    /// How many rows are kept although they are to be taken back.
    pub(super) kept: u64,
    /// The rows of each table that need no change.
    pub(super) unchanged: BTreeMap<usize, Vec<String>>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(
        session: &'a Session,
        loader_schema: &'a str,
        undone: &'a UndoneRows,
        undos: &'a [Undo<'a>],
        unaudited: BTreeSet<String>,
    ) -> Parts<'a> {
        Parts {
            session,
            loader_schema,
            undone,
            undos,
            unaudited,
            kept: 0,
            unchanged: BTreeMap::new(),
        }
    }

    /// Keeps rows that changed since, and those that would go, or be marked, and to which rows refer that stay.
    pub(super) async fn keep(&mut self, snapshot: &Snapshot<'_>) -> Result<()> {
        for undo in self.undos {
            self.kept += undo.keep_edited(snapshot).await?;
        }
        // What is kept refers to other rows itself.
        loop {
            let mut more = 0;
            for undo in self.undos.iter().rev() {
                more += undo.keep_referred(self.session, self.undos).await?;
            }
            self.kept += more;
            if more == 0 {
                return Ok(());
            }
        }
    }

    /// Whether these rows are all that is still to be taken back of the applications.
    pub(super) async fn is_all(&self, applications: &[String]) -> Result<bool> {
        let mut all: BTreeMap<String, u64> = BTreeMap::new();
        for undo in self.undos {
            for (id, rows) in undo.count_all(self.session).await? {
                *all.entry(id).or_default() += rows;
            }
        }
        let remaining = self
            .undone
            .remaining(self.session, self.loader_schema, applications)
            .await?;
        Ok(applications
            .iter()
            .all(|id| all.get(id) == remaining.get(id) && !self.unaudited.contains(id)))
    }

    /// Those of the applications that changed rows which are taken back or kept.
    pub(super) async fn listed(&self, applications: &[String]) -> Result<Vec<String>> {
        let mut listed = BTreeMap::new();
        for undo in self.undos {
            listed.extend(undo.count_listed(self.session, self.kept > 0).await?);
        }
        let listed = |id: &&String| listed.contains_key(*id);
        Ok(applications.iter().filter(listed).cloned().collect())
    }

    /// That several loads left no row as it was before: no change would say that it was taken back.
    ///
    /// # Errors
    /// [`Blocked`](crate::ErrorKind::Blocked) naming some such rows.
    pub(super) async fn none_cancels_out(&self) -> Result<()> {
        for undo in self.undos {
            let unchanged = self.unchanged.get(&undo.target.place).into_iter().flatten();
            let mut rows: Vec<String> = unchanged.cloned().collect();
            rows.extend(undo.in_between(self.session).await?);
            rows.truncate(5);
            if rows.is_empty() {
                continue;
            }
            let table = &undo.target.name;
            let rows: Vec<String> = rows
                .iter()
                .map(|id| self.session.name_row(table, id))
                .collect();
            return Err(Error::blocked(format!(
                "{}: what later loads did to rows leaves these as they were before, so that nothing is to be written, and \
                 nothing would say that they were taken back: {}; take these rows back load by load, newest first, with \
                 --application, --table and --key, and then the rest",
                crate::text::escape(table),
                rows.join(", ")
            )));
        }
        Ok(())
    }

    /// Those of which nothing is left to be taken back, and the others.
    pub(super) async fn split(
        &self,
        applications: Vec<String>,
    ) -> Result<(Vec<String>, Vec<String>)> {
        let mut undone: BTreeMap<String, u64> = BTreeMap::new();
        for undo in self.undos {
            let unchanged = self.unchanged.get(&undo.target.place);
            let unchanged = unchanged.map_or(&[][..], Vec::as_slice);
            for (id, rows) in undo.count_undone(self.session, unchanged).await? {
                *undone.entry(id).or_default() += rows;
            }
        }
        let remaining = self
            .undone
            .remaining(self.session, self.loader_schema, &applications)
            .await?;
        let is_whole =
            |id: &String| undone.get(id) == remaining.get(id) && !self.unaudited.contains(id);
        Ok(applications.into_iter().partition(is_whole))
    }
}
