//! Rows that change what others refer to.

use super::order::NEVER;
use super::references::only_column;
use super::{After, Asked, CHANGED, COUNTS, GOES, N, ROW, TABLE, VALID, children_by};
use crate::error::Result;
use crate::pg::Session;
use crate::plan::ViolationKind;
use crate::sql::{Ident, Literal, Statement, all};
use crate::table::schema::ForeignKey;

impl After<'_> {
    /// Rows whose change would leave rows that refer to them without a parent.
    pub(super) async fn children(
        &self,
        session: &Session,
        all: &[After<'_>],
        asked: Asked,
    ) -> Result<u64> {
        let mut found = 0;
        for key in &self.target.table.referrers {
            let moves = key.parent_columns.iter().any(|c| self.moves(c));
            if !moves || key.follows && may_follow(key, all) {
                continue;
            }
            // Whoever may not read the children must not be asked to where nothing moves.
            if session.holds(&self.some_leave(key)).await? {
                key.near_children(&self.now()).bring(session).await?;
                found += self
                    .note_all(session, &self.bereft(key, all, asked))
                    .await?;
            }
        }
        Ok(found)
    }

    /// Whether this plan changes what a row is referred to by.
    pub(in crate::pg) fn some_leave(&self, key: &ForeignKey) -> Statement {
        let (table, leaves) = (&self.target.table.rows, self.leaves(key, "t"));
        self.checking(format!(
            "SELECT EXISTS (SELECT FROM {table} t WHERE {leaves})"
        ))
    }

    /// Rows that change what others refer to, which do not change with them.
    pub(in crate::pg) fn bereft(
        &self,
        key: &ForeignKey,
        others: &[After<'_>],
        asked: Asked,
    ) -> Statement {
        let also_moved = children_by(key, others).map(|child| {
            let in_time = match key.keeps && key.deferrable {
                true => String::new(),
                false => {
                    let (child, own) = (child.moment("q"), self.moment("a"));
                    format!(" AND {child} < {NEVER} AND {child} <= {own}")
                }
            };
            format!(" AND NOT {}", child.moved(&key.columns, "c", &in_time))
        });
        let also_moved: String = also_moved.collect();
        let (child_name, name) = (self.target.other(&key.child), &key.name);
        let message = if key.keeps {
            format!(
                "rows of {child_name} refer to the value that this would change ({name}); a deferrable key would allow both to \
                 change together, or a batch that makes those rows refer to others first"
            )
        } else if key.follows {
            format!(
                "rows of {child_name} refer to the value that this would change, and the database would change them too ({name}, \
                 ON UPDATE), which the plan does not show; if that is meant, add {child_name} to allow_side_effects"
            )
        } else {
            format!(
                "rows of {child_name} refer to the value that this would change, and the database would take that from them \
                 ({name}, ON UPDATE), which no rollback could give back; make those rows refer to others first"
            )
        };
        let select = format!(
            "SELECT a.{N}, {field}, NULL::text, {message}::text FROM {after} a \
             JOIN {table} t ON t.ctid = a.{ROW} AND t.tableoid = a.{TABLE} \
             WHERE a.{CHANGED} AND {asked} AND {leaves} AND EXISTS (SELECT FROM {child} c WHERE {refers}{also_moved})",
            field = only_column(&key.parent_columns),
            message = Literal(&message),
            after = self.temporary(),
            table = self.target.table.rows,
            asked = asked.about("a"),
            leaves = self.leaves(key, "t"),
            child = key.child_rows,
            refers = key.refers("t", "c"),
        );
        self.find_unquoted(ViolationKind::MissingParent, &select)
    }

    /// The condition that this plan changes what the row `alias` of this table is referred to by.
    pub(super) fn leaves(&self, key: &ForeignKey, alias: &str) -> String {
        self.changes(&key.parent_columns, alias)
    }

    /// The condition that this plan changes one of these columns of the row `alias` of this table.
    pub(super) fn changes(&self, columns: &[String], alias: &str) -> String {
        self.written_as(alias, &differs(columns, alias))
    }

    /// The condition that this plan changes one of these columns of the row `alias` of this table, or deletes it, with
    /// a further condition on how that is written, `q`.
    fn moved(&self, columns: &[String], alias: &str, how: &str) -> String {
        let differs = differs(columns, alias);
        let moves = format!("(q.{GOES} AND q.{VALID} OR {differs}){how}");
        self.written_as(alias, &moves)
    }

    fn written_as(&self, alias: &str, how: &str) -> String {
        format!(
            "EXISTS (SELECT FROM {} q WHERE q.{ROW} = {alias}.ctid AND q.{TABLE} = {alias}.tableoid AND {how})",
            self.temporary()
        )
    }
}

/// The condition that `q` writes something else to one of these columns of row `alias`.
fn differs(columns: &[String], alias: &str) -> String {
    let same = columns.iter();
    let same = same.map(|c| format!("q.{0} IS NOT DISTINCT FROM {alias}.{0}", Ident(c)));
    format!("q.{CHANGED} AND q.{COUNTS} AND NOT ({})", all(same))
}

/// Whether the rows that refer by this key may change with their parents, unseen.
fn may_follow(key: &ForeignKey, all: &[After<'_>]) -> bool {
    let allowed = all.iter();
    let mut allowed = allowed.flat_map(|t| &t.target.config.allow_side_effects);
    allowed.any(|name| key.child.is_meant_by(name))
}
