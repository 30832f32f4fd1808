//! The changes that are taken back, beside the rows as they are now.

use std::collections::{BTreeMap, BTreeSet};

use super::RollbackRequest;
use super::inverse::{inverse, kept};
use super::scope::Scope;
use crate::error::{Remedy, Result};
use crate::ops::{Event, OnProgress};
use crate::pg::Session;
use crate::pg::plan::snapshot::Snapshot;
use crate::pg::referred::{self, Referred};
use crate::pg::undo::Undo;
use crate::plan::masking::Mask;
use crate::plan::{Action, DriftReport, DriftRow, Kind, ReferrerReport, Skip, What};
use crate::planfile::PlanWriter;
use crate::table::target::Target;
use crate::text::escape;

/// What has come of the tables that were compared: the plan's entries, and what stands against them.
pub(super) struct Compared<'a> {
    session: &'a Session,
    undos: &'a [Undo<'a>],
    events: OnProgress<'a>,
    /// Number of changes that the loads made, and of those that were compared.
    of: u64,
    read: u64,
    pub(super) writer: PlanWriter,
    /// Number of entries that change a row.
    pub(super) changes: u64,
    drift: DriftReport,
    referrers: ReferrerReport,
}

impl<'a> Compared<'a> {
    /// Nothing yet.
    ///
    /// # Errors
    /// As [`PlanWriter::new`].
    pub(super) fn new(
        session: &'a Session,
        undos: &'a [Undo<'a>],
        events: OnProgress<'a>,
    ) -> Result<Compared<'a>> {
        Ok(Compared {
            session,
            undos,
            events,
            of: undos.iter().map(|u| u.written.counts.changes()).sum(),
            read: 0,
            writer: PlanWriter::new()?,
            changes: 0,
            drift: DriftReport {
                kind: Kind::Rollback,
                ..DriftReport::default()
            },
            referrers: ReferrerReport::default(),
        })
    }

    /// Compares the rows of one table, whose changes are taken back `from` these applications. Returns the record ids
    /// of those that need no change.
    ///
    /// # Errors
    /// As [`inverse`]; [`Database`](crate::ErrorKind::Database).
    pub(super) async fn compare(
        &mut self,
        undo: &Undo<'_>,
        snapshot: &Snapshot<'_>,
        from: &[String],
        (keep_edited, mask): (bool, &mut Mask),
    ) -> Result<Vec<String>> {
        let (events, session) = (self.events, self.session);
        events(Event::phase_of("compare", &undo.target.name));
        let (of, read) = (self.of, self.read);
        let told = |changes: u64| {
            events(Event::Undoing {
                table: undo.target.name.clone(),
                changes: changes.min(of),
                of,
            });
        };
        told(read);
        let mut rows = 0;
        let mut unchanged = Vec::new();
        let (writer, changes) = (&mut self.writer, &mut self.changes);
        let left = undo
            .stream(snapshot, &mut |undone| {
                rows += 1;
                if rows % 1_000 == 0 {
                    told((read + rows).min(of.saturating_sub(1)));
                }
                let record_id = undone.record_id.clone();
                let Some(entry) = inverse(undo, undone, from, session)? else {
                    return Ok(());
                };
                if matches!(entry.what, What::Skip(Skip::Unchanged(_))) {
                    unchanged.push(record_id);
                }
                *changes += u64::from(entry.what.action() != Action::Skip);
                writer.unordered(&undo.order(&entry.key), entry)
            })
            .await?;
        self.drift.rows.extend(left.rows);
        self.drift.more += left.more;
        if keep_edited {
            undo.each_kept(session, &mut |key, skip| {
                let entry = kept(undo, key, skip, from);
                writer.unordered(&undo.order(&entry.key), entry)
            })
            .await?;
        }
        writer.go_on();
        let referring = undo.referrers(session, self.undos, mask).await?;
        self.referrers.rows.extend(referring.rows);
        self.referrers.more += referring.more;
        self.read += undo.written.counts.changes();
        told(self.read);
        Ok(unchanged)
    }

    /// Whether rows stand against it.
    pub(super) fn is_refused(&self) -> bool {
        self.drift.count() > 0 || self.referrers.count() > 0
    }

    /// Refuses where rows stand against it.
    ///
    /// # Errors
    /// [`Drift`](crate::ErrorKind::Drift) naming rows that changed since, and who changed them;
    /// [`Blocked`](crate::ErrorKind::Blocked) naming rows that refer to what would be deleted.
    pub(super) async fn refuse(
        &mut self,
        request: &RollbackRequest,
        scope: &Scope<'_>,
        mask: &Mask,
    ) -> Result<()> {
        let mut drift = std::mem::take(&mut self.drift);
        if drift.count() > 0 {
            for undo in self.undos {
                name_rows(self.session, undo.target, &mut drift).await;
            }
            mask.drift(&mut drift);
            let filled = self.undos.iter().flat_map(|undo| undo.filled(&drift.rows));
            let filled: BTreeSet<String> = filled.map(|c| escape(c)).collect();
            let filled: Vec<String> = filled.into_iter().collect();
            let mut error = scope.stands_against(drift.into(), request.helps(Remedy::KeepEdited));
            if !filled.is_empty() {
                error = error.and(format!(
                    "\n{} came into the table after the load. If a migration filled it, make the value the column's default \
                     until these loads are rolled back.",
                    filled.join(", ")
                ));
            }
            return Err(error);
        }
        let mut referrers = std::mem::take(&mut self.referrers);
        if referrers.count() > 0 {
            mask.referrers(&mut referrers);
            return Err(scope.stands_against(referrers.into(), request.helps(Remedy::Dependents)));
        }
        Ok(())
    }
}

/// Names the rows to which the keys of a table's rows refer.
async fn name_rows(session: &Session, target: &Target, drift: &mut DriftReport) {
    let Target { table, lookups, .. } = target;
    let mut numbers = BTreeMap::new();
    let is_here = |row: &&mut DriftRow| row.table == target.name;
    for row in drift.rows.iter_mut().filter(is_here) {
        referred::collect(table, lookups, &row.key, &mut numbers);
    }
    if numbers.is_empty() {
        return;
    }
    let found = Referred::find(session, table, lookups, &numbers).await;
    for row in drift.rows.iter_mut().filter(is_here) {
        found.put(&mut row.key);
    }
}
