//! Rows that refer to what is deleted or not there, where only `references` of `tables.yaml` say so: a foreign key
//! would not have it.

use super::staged::Staged;
use super::staged::fate::{Fate, STORED};
use crate::error::{Error, ErrorKind, Result, sqlstate};
use crate::pg::privileges::may_read;
use crate::pg::{Session, ledger, referred};
use crate::plan::Kind;
use crate::planfile::PlanFile;
use crate::sql::{Ident, Literal, Statement, all, list};
use crate::table::row::{keys_equal, record_id};
use crate::table::schema::ForeignKey;
use crate::table::target::Target;

/// Tells the tables of which rows are deleted which references no foreign key holds; those of a rollback, which
/// looks up nothing, also their own.
///
/// # Errors
/// [`Database`](ErrorKind::Database).
pub(super) async fn find(
    session: &Session,
    plan: &PlanFile,
    schema: &str,
    tables: &mut [Staged],
) -> Result<()> {
    if plan.header.kind == Kind::Rollback {
        for staged in &mut *tables {
            let Target { config, table, .. } = &staged.target;
            let found = referred::lookups(session, config, table).await;
            staged.target.lookups.loose = found.loose;
        }
    }
    let deletes = tables.iter().filter(|staged| staged.deletes);
    let deletes: Vec<usize> = deletes.map(|staged| staged.target.place).collect();
    let may_go = |t: &Target| deletes.contains(&t.place) && t.mark().is_none();
    let targets = tables.iter_mut().map(|staged| &mut staged.target);
    ledger::find_referring(session, schema, targets.collect(), may_go).await
}

/// That no row refers to one that is deleted, and none that is put back to one that is not there. It is asked when
/// everything is written: until then, rows may refer to others, or go themselves; and whoever brings rows with the
/// loader holds those to which they refer.
///
/// # Errors
/// [`Database`](ErrorKind::Database) as a foreign key would, naming rows.
pub(super) async fn check(session: &Session, tables: &[Staged]) -> Result<()> {
    for staged in tables.iter().filter(|t| t.rows.delete > t.rows.mark) {
        for key in &staged.target.referred {
            let gone = format!("{} p", staged.gone(key));
            key.near_children(&gone).bring(session).await?;
            let (child, parent) = (&staged.target.other(&key.child), &staged.target.name);
            let what = format!("rows of {child} refer to rows of {parent} that would go");
            none(session, &staged.left_behind(key), staged, &what, child).await?;
        }
    }
    // What a load brings was looked up, and is asked again by its key.
    let put_back = tables.iter().filter(|t| t.target.lookups.is_empty());
    for staged in put_back.filter(|t| t.rows.insert + t.rows.update > 0) {
        let loose = &staged.target.lookups.loose;
        if !loose.is_empty() {
            staged.beside().near().bring(session).await?;
        }
        for key in loose {
            key.near_parents(&staged.put_back()?).bring(session).await?;
            let (child, parent) = (&staged.target.name, &staged.target.other(&key.parent));
            let what =
                format!("rows of {child} would refer to rows of {parent} that are not there");
            none(session, &staged.bereft(key)?, staged, &what, child).await?;
        }
    }
    Ok(())
}

/// That no row refers to one that would be deleted, as far as the role may see: what apply leaves to the foreign keys, or
/// asks when it has locked the rows, for those who only look.
///
/// # Errors
/// [`Drift`](ErrorKind::Drift) naming the foreign key.
pub async fn check_referred(session: &Session, tables: &[Staged]) -> Result<()> {
    for staged in tables.iter().filter(|t| t.rows.delete > t.rows.mark) {
        for key in staged.target.referrers() {
            let may_read = may_read(format!("looking at {}", key.child), [&key.child]);
            if !session.holds(&may_read).await? {
                continue;
            }
            staged.beside().near().bring(session).await?;
            let from = staged.going();
            key.near_children(&from).bring(session).await?;
            let count = staged.count_followers(key, &from, tables);
            let rows = session.count(&count).await?;
            if rows > 0 {
                let what = format!(
                    "{}: {rows} row{} of {} refer{} to rows that this plan deletes, since it was made ({}); make a new plan and \
                     have it reviewed",
                    staged.target.name,
                    if rows == 1 { "" } else { "s" },
                    staged.target.other(&key.child),
                    if rows == 1 { "s" } else { "" },
                    key.name,
                );
                let what = crate::text::escape(&what);
                return Err(Error::new(ErrorKind::Drift, what));
            }
        }
    }
    Ok(())
}

/// That a question for some rows of a table finds none.
async fn none(
    session: &Session,
    find: &Statement,
    staged: &Staged,
    what: &str,
    child: &str,
) -> Result<()> {
    let rows = session.column(find).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let rows = rows.iter();
    let named = rows.map(|id| session.name_row(&staged.target.name, id));
    let named: Vec<String> = named.collect();
    let what = format!(
        "{what}: {} (references of {child} in tables.yaml, which no foreign key holds)",
        named.join(", ")
    );
    Err(Error::new(ErrorKind::Database, what).with_code(sqlstate::FOREIGN_KEY_VIOLATION))
}

impl Staged {
    /// For `FROM`, with its condition: the rows `p` that are to be deleted.
    fn going(&self) -> String {
        format!(
            "{} s JOIN {} p ON {} WHERE s._a = {} AND NOT s._soft",
            self.temporary(),
            self.target.table.rows,
            keys_equal(&self.target.key(), "s", "p"),
            Fate::Delete,
        )
    }

    /// For `FROM`: what the deleted rows were referred to by.
    fn gone(&self, key: &ForeignKey) -> String {
        let columns = key.parent_columns.iter();
        let columns = columns.filter_map(|c| self.target.table.column(c));
        let values = columns.map(|c| {
            let value = c.of_text(&format!("b.image ->> {}", Literal(&c.name)));
            format!("{value} AS {}", Ident(&c.name))
        });
        let key = self.target.key_columns().into_iter();
        let id = record_id(key.map(|c| format!("(b.image ->> {})", Literal(&c.name))));
        format!(
            "(SELECT {id} AS loader_id, {} FROM {} b JOIN {} s ON s._n = b._n WHERE s._a = {} AND NOT s._soft)",
            list(values),
            self.versions(),
            self.temporary(),
            Fate::Delete,
        )
    }

    /// Some of the deleted rows to which rows refer, and instead of which no other is there now.
    pub(in crate::pg) fn left_behind(&self, key: &ForeignKey) -> Statement {
        let sql = format!(
            "SELECT DISTINCT p.loader_id FROM {gone} p JOIN {children} c ON {refers} \
             WHERE NOT EXISTS (SELECT FROM {parents} t WHERE {same}) ORDER BY 1 LIMIT 5",
            gone = self.gone(key),
            children = key.child_rows,
            refers = key.refers("p", "c"),
            parents = self.target.table.rows,
            same = key.refers("t", "c"),
        );
        Statement::new(
            format!(
                "looking for rows of {} that refer to what is deleted",
                key.child
            ),
            sql,
        )
    }

    /// For `FROM`: the staged rows `s` beside the rows `a` that were written.
    fn put_back(&self) -> Result<String> {
        let found = self.found_written(&self.fits()?)?;
        Ok(format!("{found} CROSS JOIN LATERAL (SELECT t.*) a"))
    }

    /// Some of the rows that are written and begin to refer to nothing.
    pub(in crate::pg) fn bereft(&self, key: &ForeignKey) -> Result<Statement> {
        let columns = key.columns.iter();
        let columns = columns.filter_map(|c| self.target.table.column(c));
        let begins = columns.map(|c| {
            let (now, name) = (c.text("a"), Literal(&c.name));
            format!("{now} IS NOT NULL AND {now} IS DISTINCT FROM (b.image ->> {name})")
        });
        let sql = format!(
            "SELECT {id} FROM {put_back} LEFT JOIN {versions} b ON b._n = s._n \
             WHERE s._a IN ({STORED}) AND {begins} AND NOT EXISTS (SELECT FROM {parents} p WHERE {refers}) \
             ORDER BY s._n LIMIT 5",
            id = self.target.record_id("a"),
            put_back = self.put_back()?,
            versions = self.versions(),
            begins = all(begins),
            parents = key.parent_rows,
            refers = key.refers("p", "a"),
        );
        let doing = format!(
            "looking for rows of {} that refer to nothing",
            self.target.name
        );
        Ok(Statement::new(doing, sql))
    }
}
