//! Rows that refer to what taking a load back would delete, or to values that it would change.

use std::collections::BTreeMap;

use super::Undo;
use crate::error::{Error, Result};
use crate::pg::privileges::may_read;
use crate::pg::referred::{self, Referred};
use crate::pg::{Session, catalog, ledger};
use crate::plan::masking::Mask;
use crate::plan::{LedgerTable, Referrer, ReferrerReport, Values as Key};
use crate::sql::{Ident, Literal, Statement, all, any, list};
use crate::table::schema::{ForeignKey, Table};

/// At most so many rows of each foreign key are named.
const NAMED: u64 = 1_000;

/// How rows go that others refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pg) enum Going {
    /// They are deleted, or lose the values to which others refer.
    Deleted,
    /// They are marked as deleted, and can still be referred to.
    Marked,
}

impl Undo<'_> {
    /// Rows that refer to a row which taking this back would delete, and which are not taken back
    /// themselves, by key. `mask` learns what is sensitive of tables that are named only here.
    ///
    /// # Errors
    /// [`Database`](crate::ErrorKind::Database).
    pub async fn referrers(
        &self,
        session: &Session,
        all: &[Undo<'_>],
        mask: &mut Mask,
    ) -> Result<ReferrerReport> {
        let mut report = ReferrerReport::default();
        for key in self.kept_from() {
            // Without the right to read the referring table, the foreign key itself has to speak.
            if session.holds(&can_read_child(key)).await? {
                self.near_children(session, key, Going::Deleted).await?;
                let found = session.count(&self.count_referring(key, all)).await?;
                if found > 0 {
                    let named = self.named_referrers(session, key, all, mask).await?;
                    report.more += found.saturating_sub(named.len() as u64);
                    report.rows.extend(named);
                }
            }
        }
        Ok(report)
    }

    /// Copies the rows that refer to what would go so, where they are in shards.
    pub(super) async fn near_children(
        &self,
        session: &Session,
        key: &ForeignKey,
        going: Going,
    ) -> Result<()> {
        let (staged, rows) = (self.temporary(), &self.target.table.rows);
        let same = self.is_its_row("s", "p");
        self.beside().near().bring(session).await?;
        let lost = self.lost(key, "p", going);
        let lost = format!("{staged} s JOIN {rows} p ON {same} WHERE {lost}");
        key.near_children(&lost).bring(session).await
    }

    async fn named_referrers(
        &self,
        session: &Session,
        key: &ForeignKey,
        all: &[Undo<'_>],
        mask: &mut Mask,
    ) -> Result<Vec<Referrer>> {
        let child = all.iter().find(|u| u.target.table.name == key.child);
        let (name, table, columns) = match child {
            Some(Undo { target, .. }) => {
                let columns = target.config.natural_key.clone();
                (target.name.clone(), target.table.clone(), columns)
            }
            None => {
                let table = catalog::relation(session, &key.child).await?;
                let known = self.loaded_before(session, key).await?;
                if let Some(known) = &known {
                    mask.add(&known.table, &known.config);
                }
                let columns = key_columns(&table, known.as_ref());
                let name = known.map_or_else(|| self.target.other(&key.child), |known| known.table);
                (name, table, columns)
            }
        };
        let only_marked = child.is_some_and(|c| c.target.mark().is_some());
        let referring = self.referring(key, all, &named_by(&table, &columns));
        let mut rows = Vec::new();
        for mut found in session.rows(&referring).await? {
            let (own, parent, stays) = (found.take(0), found.take(1), found.is(2));
            let own: BTreeMap<String, Option<String>> =
                serde_json::from_str(own.as_deref().unwrap_or("{}"))
                    .map_err(|e| Error::local(doing(key)).caused_by(e))?;
            let parent = parent.unwrap_or_default();
            let natural_key = &self.target.config.natural_key;
            rows.push(Referrer {
                table: name.clone(),
                key: own.into_iter().map(|(c, v)| (c, v.into())).collect(),
                parent: self.target.name.clone(),
                parent_key: referred::key_of(natural_key, &parent).unwrap_or_default(),
                constraint: key.name.clone(),
                parent_stays: stays,
                only_marked,
            });
        }
        let parents = rows.iter_mut().map(|row| &mut row.parent_key);
        name_keys(session, self, parents.collect()).await;
        if let Some(child) = child {
            name_keys(
                session,
                child,
                rows.iter_mut().map(|row| &mut row.key).collect(),
            )
            .await;
        }
        Ok(rows)
    }

    /// How a table that refers was configured when it was last loaded, where it was.
    async fn loaded_before(
        &self,
        session: &Session,
        key: &ForeignKey,
    ) -> Result<Option<LedgerTable>> {
        let all = ledger::applications(session, self.loader_schema, None).await?;
        let mut tables = all.into_iter().flat_map(|a| a.tables);
        Ok(tables.find(|t| t.relation == key.child))
    }

    /// The rows that refer to what would be deleted, each as JSON of `named` and with the key of the row to
    /// which it refers; `all` are the tables that are taken back.
    pub(in crate::pg) fn referring(
        &self,
        key: &ForeignKey,
        all: &[Undo<'_>],
        named: &str,
    ) -> Statement {
        let sql = format!(
            "SELECT {named}, s.record_id, s.before IS NOT NULL FROM {} ORDER BY s.record_id COLLATE \"C\", {named} COLLATE \"C\" LIMIT {NAMED}",
            self.still_referring(key, all, Going::Deleted)
        );
        Statement::new(doing(key), sql)
    }

    /// How many rows refer to what would be deleted.
    pub(in crate::pg) fn count_referring(&self, key: &ForeignKey, all: &[Undo<'_>]) -> Statement {
        let sql = format!(
            "SELECT pg_catalog.count(*) FROM {}",
            self.still_referring(key, all, Going::Deleted)
        );
        Statement::new(doing(key), sql)
    }

    /// For `FROM`: the rows `s` that would go so, with the rows `c` that refer to them and stay.
    pub(super) fn still_referring(
        &self,
        key: &ForeignKey,
        all: &[Undo<'_>],
        going: Going,
    ) -> String {
        let children = all
            .iter()
            .filter(|u| u.target.table.shares_rows(key.child_oid));
        let spared: String = children
            .map(|child| format!(" AND NOT {}", child.lets_go(key, going)))
            .collect();
        format!(
            "{staged} s JOIN {rows} t ON {same} JOIN {child} c ON {refers} WHERE {lost}{spared}",
            staged = self.temporary(),
            rows = self.target.table.rows,
            same = self.is_its_row("s", "t"),
            lost = self.lost(key, "t", going),
            child = key.child_rows,
            refers = key.refers("t", "c"),
        )
    }

    /// The foreign keys of others that may stand against taking this back. A row that is only marked as deleted can
    /// still be referred to.
    pub fn kept_from(&self) -> impl Iterator<Item = &ForeignKey> {
        let keys = self.target.referrers();
        keys.filter(|key| self.target.mark().is_none() || self.moves(key))
    }

    /// Whether taking this back may change the values to which a foreign key refers, and those who refer to them do not
    /// follow.
    fn moves(&self, key: &ForeignKey) -> bool {
        let natural = &self.target.config.natural_key;
        !key.follows && !(key.parent_columns.iter()).all(|c| natural.contains(c))
    }

    /// The condition that row `row` of change `s` goes so; by `key` others refer to it. Another row that gets the values to
    /// which they refer is another one.
    fn lost(&self, key: &ForeignKey, row: &str, going: Going) -> String {
        if going == Going::Marked {
            return self.gets_marked("s", row).unwrap_or("false".into());
        }
        let goes = match self.target.mark() {
            Some(_) => "false",
            None => "s.before IS NULL",
        };
        if !self.moves(key) {
            return goes.to_owned();
        }
        let columns = key.parent_columns.iter();
        let columns = columns.filter_map(|c| self.target.table.column(c));
        let changes = columns.map(|c| {
            let name = Literal(&c.name);
            format!(
                "pg_catalog.jsonb_exists(s.before, {name}) AND (s.before ->> {name}) IS DISTINCT FROM {}",
                c.text(row)
            )
        });
        any([goes.to_owned()].into_iter().chain(changes))
    }

    /// Where deletes only mark rows: the condition that taking change `s` back marks its row `row`, which lives.
    fn gets_marked(&self, s: &str, row: &str) -> Option<String> {
        let (column, mark) = self.target.marks()?;
        let value = |image: &str| {
            let name = Literal(&column.name);
            column.of_text(&format!("{s}.{image} ->> {name}"))
        };
        let again = all([mark.deleted(&value("before")), mark.lives(&value("after"))]);
        let marked = any([format!("{s}.before IS NULL"), again]);
        let lives = mark.lives(&format!("{row}.{}", Ident(&column.name)));
        Some(format!("{marked} AND {lives}"))
    }

    /// The condition that taking this back makes row `c` refer to something else, or that it goes with the row to which
    /// it refers.
    fn lets_go(&self, key: &ForeignKey, going: Going) -> String {
        let columns = key
            .columns
            .iter()
            .filter_map(|c| self.target.table.column(c));
        let other = any(columns.map(|c| {
            let before = format!("s2.before ->> {}", Literal(&c.name));
            format!("{before} IS DISTINCT FROM {}", c.text("c"))
        }));
        let lets_go = match (self.gets_marked("s2", "c"), going) {
            (None, _) => format!("s2.before IS NULL OR {other}"),
            // A row that is only marked goes on referring.
            (Some(_), Going::Deleted) => format!("s2.before IS NOT NULL AND {other}"),
            (Some(marked), Going::Marked) => format!("{marked} OR {other}"),
        };
        let same = self.is_its_row("s2", "c");
        let same = all([same]
            .into_iter()
            .chain(self.target.table.is_of(key.child_oid, "c")));
        format!(
            "EXISTS (SELECT FROM {} s2 WHERE {same} AND ({lets_go}))",
            self.temporary()
        )
    }
}

/// By which columns a row is named whose table is not taken back: as it was last loaded, else by its primary
/// key; by none where there is neither.
fn key_columns(table: &Table, known: Option<&LedgerTable>) -> Vec<String> {
    let there = |columns: &&Vec<String>| columns.iter().all(|c| table.column(c).is_some());
    let known = known.map(|known| &known.config.natural_key).filter(there);
    let primary = table.unique.iter().find(|index| index.primary);
    let numbers = primary.map_or(&[][..], |index| &index.columns);
    let named = |n: &i16| Some(table.column_by_number(*n)?.name.clone());
    let primary = || numbers.iter().map(named).collect();
    known.cloned().or_else(primary).unwrap_or_default()
}

/// What names row `c`, as JSON: these columns, or its place.
pub(in crate::pg) fn named_by(table: &Table, columns: &[String]) -> String {
    let columns = columns.iter().filter_map(|c| table.column(c));
    let mut pairs: Vec<String> = columns
        .map(|c| format!("{}, {}", Literal(&c.name), c.text("c")))
        .collect();
    if pairs.is_empty() {
        pairs.push("'ctid', c.ctid".to_owned());
    }
    format!(
        "pg_catalog.json_build_object({})::pg_catalog.text",
        list(pairs)
    )
}

/// Puts the rows to which numbers in keys of a table refer in their place.
async fn name_keys(session: &Session, undo: &Undo<'_>, keys: Vec<&mut Key>) {
    let (table, lookups) = (&undo.target.table, &undo.target.lookups);
    let mut numbers = BTreeMap::new();
    for key in &keys {
        referred::collect(table, lookups, key, &mut numbers);
    }
    if !numbers.is_empty() {
        let found = Referred::find(session, table, lookups, &numbers).await;
        keys.into_iter().for_each(|key| found.put(key));
    }
}

pub(super) fn doing(key: &ForeignKey) -> String {
    format!(
        "looking for rows of {} that refer to what would be deleted",
        key.child
    )
}

pub(super) fn can_read_child(key: &ForeignKey) -> Statement {
    may_read(doing(key), [&key.child])
}
