//! Rows that are to be deleted and to which others would still refer.

use super::{After, Asked, CHANGED, COUNTS, GOES, N, ROW, TABLE, VALID};
use crate::error::Result;
use crate::pg::Session;
use crate::sql::{Literal, Statement};
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
        let loose = all.iter().flat_map(|child| &child.target.lookups.loose);
        let loose = loose.filter(|key| key.parent == self.target.table.name);
        for key in self.target.table.referrers.iter().chain(loose) {
            let going = format!("{} WHERE a.{GOES}", self.now());
            key.near_children(&going).bring(session).await?;
            let find = self.still_referring(key, all, asked);
            found += session.execute(&find).await?;
        }
        Ok(found)
    }

    pub(in crate::pg) fn still_referring(
        &self,
        key: &ForeignKey,
        all: &[After<'_>],
        asked: Asked,
    ) -> Statement {
        let child = all.iter().find(|c| c.target.table.name == key.child);
        let mut stays = "true".to_owned();
        let mut would_refer = String::new();
        let mut named = "NULL".to_owned();
        if let Some(child) = child {
            stays = format!(
                "NOT {} AND NOT {}",
                child.goes("c"),
                child.changes(&key.columns, "c")
            );
            would_refer = format!(
                " UNION SELECT {} FROM {} c WHERE c.{CHANGED} AND c.{COUNTS} AND {}",
                child.named_as("c"),
                child.temporary(),
                key.refers("t", "c")
            );
            named = child.named_as("c");
        }
        let (name, fk) = (&key.child.name, &key.name);
        let end = if key.outlives_parent {
            format!("; have these deleted too, or make them refer to others first ({fk})")
        } else {
            format!(
                ", and the database would change or delete them unseen ({fk}, ON DELETE), so that no rollback could put them \
                 back; have these deleted too, or make them refer to others first"
            )
        };
        let select = format!(
            "SELECT a.{N}, NULL::text, NULL::text, {refers_to} || coalesce(' (' || r.who || ')', '') || {end} \
             FROM {after} a JOIN {table} t ON t.ctid = a.{ROW} AND t.tableoid = a.{TABLE}, \
             LATERAL (SELECT pg_catalog.count(*) AS n, pg_catalog.string_agg(x.who, '; ') AS who FROM (\
               SELECT {named} AS who FROM {child_table} c WHERE {refers} AND {stays}{would_refer} \
               ORDER BY who LIMIT {NAMED}) x) r \
             WHERE a.{GOES} AND {asked} AND r.n > 0",
            refers_to = Literal(&format!("rows of {name} refer to it")),
            end = Literal(&end),
            after = self.temporary(),
            table = self.target.table.rows,
            child_table = key.child_rows,
            refers = key.refers("t", "c"),
            asked = asked.about("a"),
        );
        self.find("still_referred", &select)
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
