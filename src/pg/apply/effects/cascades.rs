//! What foreign keys do beside the plan, where nobody would see it: the servers that have shards count no rows for us,
//! and what a table may suffer beside the plan is not counted. It is asked, before anything is written, whether a key
//! would do anything.

use crate::action::{Action, Counts};
use crate::error::{Error, ErrorKind, Result};
use crate::pg::Session;
use crate::pg::apply::staged::Staged;
use crate::pg::apply::staged::fate::{CHANGED, Fate};
use crate::pg::apply::write::writes;
use crate::sql::{Ident, Statement, all, any, list};
use crate::table::row::keys_equal;
use crate::table::schema::ForeignKey;
use crate::table::target::allowed;

/// The foreign keys to a table that would change rows which refer to what is deleted, and those that would where what
/// they refer by changes, where a plan makes these changes of it.
fn keys<'s>(
    staged: &'s Staged,
    counts: &Counts,
) -> impl Iterator<Item = (&'s ForeignKey, Action)> + use<'s> {
    let deletes = counts.delete > 0 && staged.target.mark().is_none();
    let updates = counts.update > 0;
    let moves = |key: &ForeignKey| {
        let mut columns = key.parent_columns.iter();
        columns.any(|c| staged.columns.contains(c))
    };
    let keys = staged.target.table.referrers.iter();
    keys.flat_map(move |key| {
        let deletes = deletes && !key.outlives_parent;
        let updates = updates && !key.keeps && moves(key);
        let deletes = deletes.then_some((key, Action::Delete));
        deletes
            .into_iter()
            .chain(updates.then_some((key, Action::Update)))
    })
}

/// The tables whose rows would be changed so, which nobody else may write to meanwhile.
pub(in crate::pg::apply) fn followers(
    staged: &Staged,
    counts: &Counts,
) -> impl Iterator<Item = String> {
    keys(staged, counts).map(|(key, _)| key.child.to_string())
}

/// That no foreign key changes rows which the plan does not, but for rows that follow (`ON UPDATE CASCADE`) where that
/// is allowed: these follow back.
///
/// # Errors
/// [`Drift`](ErrorKind::Drift) naming the key, where the table may be changed beside the plan, as that has violations of
/// rows that were there when it was made; else [`Blocked`](ErrorKind::Blocked).
pub(in crate::pg::apply) async fn check(session: &Session, tables: &[Staged]) -> Result<()> {
    let allowed = allowed(tables.iter().map(|t| &t.target.config));
    for staged in tables {
        for (key, action) in keys(staged, &staged.rows_changed()) {
            let is_allowed = allowed.iter().any(|name| key.child.is_meant_by(name));
            // Such rows follow back when it is rolled back.
            let follows = action == Action::Update && key.follows;
            // What is not allowed is counted, here.
            let is_counted = !is_allowed && !staged.target.table.kind.is_far();
            if is_counted || is_allowed && follows {
                continue;
            }
            let from = staged.changing(key, action);
            key.near_children(&from).bring(session).await?;
            let count = staged.count_followers(key, &from, tables);
            let rows = session.count(&count).await?;
            if rows == 0 {
                continue;
            }
            let (table, name) = (&key.child, crate::text::escape(&key.name));
            let s = if rows == 1 { "" } else { "s" };
            let what = format!(
                "applying this plan would also change {rows} row{s} of table {table} that the plan does not mention, by the \
                 foreign key {name} (ON DELETE or ON UPDATE)"
            );
            return Err(if follows {
                Error::blocked(format!(
                    "{what}: nothing was written; if that is meant, add {} to allow_side_effects in tables.yaml and make a new \
                     plan",
                    crate::text::escape(&staged.target.other(&key.child))
                ))
            } else {
                let what = format!(
                    "{what}, which no rollback could give back: nothing was written; make a new plan, which names those rows, \
                     or have them refer to others first"
                );
                // What is not allowed is refused as where it is counted.
                let kind = match is_allowed {
                    true => ErrorKind::Drift,
                    false => ErrorKind::Blocked,
                };
                Error::new(kind, what)
            });
        }
    }
    Ok(())
}

impl Staged {
    fn rows_changed(&self) -> Counts {
        Counts {
            update: self.rows.update,
            delete: self.rows.delete,
            ..Counts::default()
        }
    }

    /// Whether foreign keys may change what refers to its rows: then nobody may begin to refer to these meanwhile.
    pub(in crate::pg::apply) fn has_followers(&self) -> bool {
        keys(self, &self.rows_changed()).next().is_some()
    }

    /// For `FROM`, with its condition: rows `p` that are deleted, or of which what `key` refers to is updated.
    fn changing(&self, key: &ForeignKey, action: Action) -> String {
        let which = match action {
            Action::Delete => format!("s._a = {} AND NOT s._soft", Fate::Delete),
            _ => {
                let columns = self.columns.iter().enumerate();
                let referred = columns.filter(|(_, c)| key.parent_columns.contains(c));
                let written = any(referred.map(|(i, _)| writes("s", i)));
                format!("s._a = {} AND {written}", Fate::Update)
            }
        };
        format!(
            "{versions} b JOIN {staged} s ON s._n = b._n JOIN {rows} p ON p.tableoid = b._table AND p.ctid = b._tid WHERE {which}",
            versions = self.versions(),
            staged = self.temporary(),
            rows = self.target.table.rows,
        )
    }

    /// How many rows refer by `key` to rows `p` of `from`, and are not changed by the plan themselves, which has
    /// these tables.
    pub(in crate::pg) fn count_followers(
        &self,
        key: &ForeignKey,
        from: &str,
        tables: &[Staged],
    ) -> Statement {
        let children = tables
            .iter()
            .filter(|t| t.target.table.shares_rows(key.child_oid));
        let planned = children.map(|child| {
            let same = keys_equal(&child.target.key(), "s", "c");
            let is_of = child.target.table.is_of(key.child_oid, "c");
            format!(
                " AND NOT EXISTS (SELECT FROM {} s WHERE s._a IN ({CHANGED}) AND {})",
                child.temporary(),
                all([same].into_iter().chain(is_of))
            )
        });
        let planned: String = planned.collect();
        let columns = key.parent_columns.iter().map(|c| format!("p.{}", Ident(c)));
        let place = (!key.parts.is_empty()).then(|| "p.tableoid".to_owned());
        let sql = format!(
            "SELECT pg_catalog.count(*) FROM {} c WHERE EXISTS (SELECT FROM (SELECT {} FROM {from}) p WHERE {}){planned}",
            key.child_rows,
            list(columns.chain(place)),
            key.refers("p", "c")
        );
        Statement::new(
            format!(
                "looking for rows of {} that refer to what would change",
                key.child
            ),
            sql,
        )
    }
}
