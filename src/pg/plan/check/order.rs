//! When each row would be written, as `pg::apply` does: see [`Phase`].

use super::{After, CHANGED, COUNTS, GOES, NEW, REFERS, ROW, TABLE, VALID, WHEN};
use crate::error::Result;
use crate::pg::Session;
use crate::pg::phase::Phase;
use crate::sql::Statement;
use crate::table::schema::ForeignKey;

/// Finds when each row would be written.
pub(super) async fn find(session: &Session, all: &mut [After<'_>]) -> Result<()> {
    let mut leaves = vec![false; all.len()];
    let mut descends = leaves.clone();
    for phase in [Phase::FirstUpdate, Phase::Update] {
        for (i, after) in all.iter().enumerate() {
            let before = phase == Phase::Update;
            let parents = all.iter().filter(|p| p.deletes());
            for parent in parents.filter(|p| (p.target.place < after.target.place) == before) {
                for key in after.target.keys_to(parent.target) {
                    let found = session.execute(&after.leaving(key, parent, phase)).await? > 0;
                    leaves[i] |= found;
                    descends[i] |= found && before;
                }
            }
        }
    }
    if leaves.contains(&true) {
        let of_updates = format!("a.{REFERS} AND a.{WHEN} IS NOT NULL");
        let of_early = format!("a.{NEW} AND a.{WHEN} = {}", Phase::EarlyInsert);
        let mut found = find_early(session, all, &of_updates).await?;
        while found > 0 {
            found = find_early(session, all, &of_early).await?;
        }
    }
    let asked = all.iter().zip(descends);
    for (after, descends) in asked.filter(|(after, _)| !after.unique.is_empty()) {
        let is_later = |p: &&After<'_>| p.target.place >= after.target.place || descends;
        for parent in all.iter().filter(is_later) {
            for key in after.target.keys_to(parent.target) {
                session.run(&after.last(key, parent)).await?;
            }
        }
    }
    for (after, leaves) in all.iter_mut().zip(leaves) {
        after.leaves = leaves;
    }
    Ok(())
}

async fn find_early(session: &Session, all: &[After<'_>], of: &str) -> Result<u64> {
    let mut found = 0;
    for after in all {
        for parent in all {
            for key in after
                .target
                .keys_to(parent.target)
                .filter(|key| !key.deferrable)
            {
                found += session
                    .execute(&after.needed_early(key, parent, of))
                    .await?;
            }
        }
    }
    Ok(found)
}

impl After<'_> {
    /// Whether rows of the table go, and are not only marked.
    fn deletes(&self) -> bool {
        self.stage.deletes && self.target.mark().is_none()
    }

    /// Marks the updates that cease to refer to a row of `parent` that goes.
    pub(in crate::pg) fn leaving(
        &self,
        key: &ForeignKey,
        parent: &After<'_>,
        phase: Phase,
    ) -> Statement {
        self.checking(format!(
            "UPDATE {rows} a SET {WHEN} = {phase} FROM {table} c, {parents} g JOIN {parent} p ON p.ctid = g.{ROW} AND p.tableoid = g.{TABLE} \
             WHERE a.{REFERS} AND a.{WHEN} IS NULL AND c.ctid = a.{ROW} AND c.tableoid = a.{TABLE} AND g.{GOES} AND g.{VALID} AND {refers}",
            rows = self.temporary(),
            table = self.target.table.rows,
            parents = parent.temporary(),
            parent = parent.target.table.rows,
            refers = key.refers("p", "c"),
        ))
    }

    /// Marks the new rows of `parent` to which those rows `a` refer that `of` says. Where a key is
    /// deferrable, that it will hold is enough.
    pub(in crate::pg) fn needed_early(
        &self,
        key: &ForeignKey,
        parent: &After<'_>,
        of: &str,
    ) -> Statement {
        self.checking(format!(
            "UPDATE {} p SET {WHEN} = {} FROM {} a WHERE p.{NEW} AND p.{WHEN} = {} AND {of} AND a.{COUNTS} AND {}",
            parent.temporary(),
            Phase::EarlyInsert,
            self.temporary(),
            Phase::Insert,
            key.refers("p", "a")
        ))
    }

    /// Marks the updates, of those that are not marked, that begin to refer to a new row of `parent`.
    pub(in crate::pg) fn last(&self, key: &ForeignKey, parent: &After<'_>) -> Statement {
        self.checking(format!(
            "UPDATE {} a SET {WHEN} = {} FROM {} p WHERE a.{REFERS} AND a.{CHANGED} AND a.{WHEN} IS NULL AND p.{NEW} AND p.{COUNTS} AND {}",
            self.temporary(),
            Phase::LastUpdate,
            parent.temporary(),
            key.refers("p", "a")
        ))
    }
}

/// The number of the phase in which row `alias` is written.
pub(super) fn phase_of(alias: &str) -> String {
    format!("coalesce({alias}.{WHEN}, {})", Phase::Update)
}
