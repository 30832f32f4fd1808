//! Rows that are not undone although they are still to be: they changed since, or rows that stay refer to
//! them.

use super::Undo;
use super::referrers::{Going, can_read_child, doing};
use crate::error::{Error, Result};
use crate::pg::Session;
use crate::pg::plan::snapshot::Snapshot;
use crate::plan::{DriftState, Skip, Values};
use crate::sql::copytext::CopyRow;
use crate::sql::{Statement, Temporary};
use crate::table::schema::ForeignKey;

impl Undo<'_> {
    fn kept(&self) -> Temporary {
        Temporary {
            what: "kept",
            number: self.target.place,
        }
    }

    /// Makes room for rows that are kept.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn prepare_kept(&self, session: &Session) -> Result<()> {
        session.run(&self.create_kept()).await
    }

    pub(in crate::pg) fn create_kept(&self) -> Statement {
        let sql = format!(
            "CREATE TEMPORARY TABLE {} (record_id text, image jsonb, reason text)",
            self.kept().bare()
        );
        self.reading(sql, crate::sql::Values::default())
    }

    /// Keeps the rows that are not as they were left. Returns how many.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn keep_edited(&self, snapshot: &Snapshot<'_>) -> Result<u64> {
        let (mut edited, mut gone) = (Vec::new(), Vec::new());
        self.compare(snapshot, &mut |_| Ok(()), &mut |row| {
            match row.state {
                // Later loads brought it and deleted it again.
                DriftState::Reloaded if row.applied.after.is_none() => gone.push(row.record_id),
                DriftState::Changed | DriftState::Appeared | DriftState::Reloaded => {
                    edited.push(row.record_id);
                }
                DriftState::Vanished => gone.push(row.record_id),
            }
            Ok(())
        })
        .await?;
        let mut kept = 0;
        for (ids, reason) in [(edited, Skip::EditedSince), (gone, Skip::GoneSince)] {
            if !ids.is_empty() {
                kept += snapshot.session.execute(&self.keep(&ids, &reason)).await?;
            }
        }
        Ok(kept)
    }

    /// Keeps the rows that would be deleted, or marked as deleted, and to which rows refer that stay. Returns how many.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn keep_referred(&self, session: &Session, all: &[Undo<'_>]) -> Result<u64> {
        let deleted = self.kept_from().map(|key| (key, Going::Deleted));
        let marks = self.target.mark().is_some();
        let marked = self.target.referrers().filter(|_| marks);
        let mut kept = 0;
        for (key, going) in deleted.chain(marked.map(|key| (key, Going::Marked))) {
            if session.holds(&can_read_child(key)).await? {
                self.near_children(session, key, going).await?;
                kept += session.execute(&self.keep_for(key, all, going)).await?;
            }
        }
        Ok(kept)
    }

    pub(in crate::pg) fn keep(&self, ids: &[String], reason: &Skip) -> Statement {
        let mut values = crate::sql::Values::default();
        let only = format!("s.record_id = ANY ({})", values.texts(ids));
        let sql = format!("WITH {}", self.move_to_kept("", &only, reason));
        self.reading(sql, values)
    }

    pub(in crate::pg) fn keep_for(
        &self,
        key: &ForeignKey,
        all: &[Undo<'_>],
        going: Going,
    ) -> Statement {
        let sql = format!(
            "WITH referred AS (SELECT DISTINCT s.record_id FROM {}), {}",
            self.still_referring(key, all, going),
            self.move_to_kept(
                " USING referred r",
                "s.record_id = r.record_id",
                &Skip::ReferredTo
            )
        );
        Statement::new(doing(key), sql)
    }

    fn move_to_kept(&self, using: &str, only: &str, reason: &Skip) -> String {
        format!(
            "gone AS (DELETE FROM {undo} s{using} WHERE {only} RETURNING s.record_id, coalesce(s.after, s.before) AS image) \
             INSERT INTO {kept} SELECT g.record_id, g.image, '{reason}' FROM gone g",
            undo = self.temporary(),
            kept = self.kept(),
            reason = reason.reason(),
        )
    }

    pub(in crate::pg) fn list_kept(&self) -> Statement {
        let sql = format!(
            "COPY (SELECT k.image::text, k.reason FROM {} k) TO STDOUT",
            self.kept()
        );
        self.reading(sql, crate::sql::Values::default())
    }

    /// Gives the rows that are kept to `sink`, by their natural keys, in any order, and why each is.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database), and whatever `sink` returns.
    pub async fn each_kept(
        &self,
        session: &Session,
        sink: &mut dyn FnMut(Values, Skip) -> Result<()>,
    ) -> Result<()> {
        let list = self.list_kept();
        let mut lines = session.copy_out(&list).await?;
        let mut line = CopyRow::default();
        while lines.next(&mut line).await? {
            let image = self.image(line.get(0))?;
            let reason = line.get(1).unwrap_or_default();
            let kept = [Skip::EditedSince, Skip::GoneSince, Skip::ReferredTo];
            let skip = kept.into_iter().find(|skip| skip.reason().word() == reason);
            let skip = skip.ok_or_else(|| Error::local(format!("rows are kept for {reason}")))?;
            sink(self.key_of(image.as_ref()), skip)?;
        }
        Ok(())
    }

    /// Some rows that were only there in between.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn in_between(&self, session: &Session) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT s.record_id FROM {} s WHERE s.before IS NULL AND s.after IS NULL ORDER BY 1 LIMIT 5",
            self.temporary()
        );
        session
            .column(&self.reading(sql, crate::sql::Values::default()))
            .await
    }

    /// The names of the rows that are undone or kept, but for those that were only there in between, as SQL.
    pub fn listed(&self, with_kept: bool) -> String {
        let undone = format!(
            "SELECT s.record_id FROM {} s WHERE (s.before IS NOT NULL OR s.after IS NOT NULL)",
            self.temporary()
        );
        match with_kept {
            true => format!(
                "{undone} UNION ALL SELECT k.record_id FROM {} k",
                self.kept()
            ),
            false => undone,
        }
    }
}
