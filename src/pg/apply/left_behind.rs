//! Rows that refer to what is deleted, where only `references` of `tables.yaml` say so: a foreign key would not
//! have it.

use super::staged::Staged;
use super::staged::fate::Fate;
use crate::error::{Error, ErrorKind, Result};
use crate::pg::{Session, ledger};
use crate::sql::{Ident, Literal, Statement, list};
use crate::table::row::record_id;
use crate::table::schema::ForeignKey;
use crate::table::target::Target;

/// SQLSTATE of what a foreign key refuses.
const FOREIGN_KEY_VIOLATION: &str = "23503";

/// Tells the tables of which rows are deleted which references no foreign key holds.
///
/// # Errors
/// [`Database`](ErrorKind::Database).
pub(super) async fn find(session: &Session, schema: &str, tables: &mut [Staged]) -> Result<()> {
    let deletes = tables.iter().filter(|staged| staged.deletes);
    let deletes: Vec<usize> = deletes.map(|staged| staged.target.place).collect();
    let may_go = |t: &Target| deletes.contains(&t.place) && t.mark().is_none();
    let targets = tables.iter_mut().map(|staged| &mut staged.target);
    ledger::find_referring(session, schema, targets.collect(), may_go).await
}

/// That no row refers to one that is deleted. It is asked when everything is written: until then, rows may refer to
/// others, or go themselves; and whoever brings rows with the loader holds those to which they refer.
///
/// # Errors
/// [`Database`](ErrorKind::Database) as a foreign key would, naming rows.
pub(super) async fn check(session: &Session, tables: &[Staged]) -> Result<()> {
    for staged in tables.iter().filter(|t| t.rows.delete > t.rows.mark) {
        for key in &staged.target.referred {
            let gone = format!("{} p", staged.gone(key));
            key.near_children(&gone).bring(session).await?;
            let rows = session.column(&staged.left_behind(key)).await?;
            if !rows.is_empty() {
                let (child, parent) = (&key.child.name, &staged.target.name);
                let named = rows.iter().map(|id| session.name_row(parent, id));
                let named: Vec<String> = named.collect();
                let what = format!(
                    "rows of {child} refer to rows of {parent} that would go: {} (references of {child} in tables.yaml, \
                     which no foreign key holds)",
                    named.join(", ")
                );
                return Err(Error::new(ErrorKind::Database, what).with_code(FOREIGN_KEY_VIOLATION));
            }
        }
    }
    Ok(())
}

impl Staged {
    /// For `FROM`: what the deleted rows were referred to by.
    fn gone(&self, key: &ForeignKey) -> String {
        let columns = key.parent_columns.iter();
        let columns = columns.filter_map(|c| self.target.table.column(c));
        let values = columns.map(|c| {
            let (name, ty) = (Ident(&c.name), &c.base_type_sql);
            format!("(b.image ->> {})::{ty} AS {name}", Literal(&c.name))
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
}
