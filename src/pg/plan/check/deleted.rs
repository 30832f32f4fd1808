//! Rows that are to be deleted and to which others would still refer.

use super::{After, Asked, CHANGED, COUNTS, GOES, N, ROW, TABLE, VALID, children_by};
use crate::error::Result;
use crate::pg::Session;
use crate::plan::ViolationKind;
use crate::sql::{Literal, Statement, all as every};
use crate::table::schema::ForeignKey;

/// At most so many of the rows that refer are named.
const NAMED: usize = 3;

impl After<'_> {
    /// Records that name a row to be deleted, to which rows would still refer.
    pub(super) async fn still_referred(
        &self,
        session: &Session,
        all: &[After<'_>],
        asked: Asked,
    ) -> Result<u64> {
        let mut found = 0;
        if !self.stage.deletes || self.target.mark().is_some() {
            return Ok(found); // a marked row can still be referred to
        }
        for key in self.target.referrers() {
            let going = format!("{} WHERE a.{GOES}", self.now());
            key.near_children(&going).bring(session).await?;
            let find = self.still_referring(key, all, asked);
            found += self.note_all(session, &find).await?;
        }
        Ok(found)
    }

    pub(in crate::pg) fn still_referring(
        &self,
        key: &ForeignKey,
        all: &[After<'_>],
        asked: Asked,
    ) -> Statement {
        let (going, refers) = (self.now(), key.refers("p", "c"));
        let goes = format!("a.{GOES} AND {}", asked.about("a"));
        let mut stays = Vec::new();
        let mut would_refer = String::new();
        let mut named = "NULL".to_owned();
        for child in children_by(key, all) {
            stays.push(format!("NOT {}", child.goes("c")));
            stays.push(format!("NOT {}", child.changes(&key.columns, "c")));
            would_refer += &format!(
                " UNION SELECT a.{N}, {} FROM {going} JOIN {} c ON {refers} WHERE {goes} AND c.{CHANGED} AND c.{COUNTS}",
                child.named_as("c"),
                child.temporary(),
            );
            named = child.named_as("c");
        }
        let stays = every(stays);
        let (name, fk) = (self.target.other(&key.child), &key.name);
        let end = if key.outlives_parent {
            format!("; have these deleted too, or make them refer to others first ({fk})")
        } else {
            format!(
                ", and the database would change or delete them unseen ({fk}, ON DELETE), so that no rollback could put them \
                 back; have these deleted too, or make them refer to others first"
            )
        };
        // Joined, and not asked for each row that goes: no index need be there for it.
        let select = format!(
            "SELECT r.n, NULL::text, NULL::text, {refers_to} || coalesce(' (' || r.who || ')', '') || {end} FROM (\
               SELECT x.n, pg_catalog.string_agg(x.who, '; ' ORDER BY x.who) AS who FROM (\
                 SELECT y.n, y.who, pg_catalog.row_number() OVER (PARTITION BY y.n ORDER BY y.who) AS place FROM (\
                   SELECT a.{N} AS n, {named} AS who FROM {going} JOIN {child_table} c ON {refers} WHERE {goes} AND {stays}\
                   {would_refer}) y) x WHERE x.place <= {NAMED} GROUP BY x.n) r",
            refers_to = Literal(&format!("rows of {name} refer to it")),
            end = Literal(&end),
            child_table = key.child_rows,
        );
        // Rows of tables that are not in the plan are not named, nor those beside which no key may be shown.
        let mut children = children_by(key, all);
        match children.any(|child| child.target.config.sensitive.is_empty()) {
            true => self.find(ViolationKind::StillReferred, &select),
            false => self.find_unquoted(ViolationKind::StillReferred, &select),
        }
    }

    /// The condition that this plan deletes the row `alias` of this table.
    pub(super) fn goes(&self, alias: &str) -> String {
        if !self.stage.deletes {
            return "false".into();
        }
        format!(
            "EXISTS (SELECT FROM {} q WHERE q.{GOES} AND q.{VALID} AND q.{ROW} = {alias}.ctid AND q.{TABLE} = {alias}.tableoid)",
            self.temporary()
        )
    }

    /// The key of a row for people, as SQL; null where it may not be shown beside rows of another table.
    fn named_as(&self, alias: &str) -> String {
        if self.target.config.sensitive.is_empty() {
            self.target.record_id(alias)
        } else {
            "NULL::text".into()
        }
    }
}
