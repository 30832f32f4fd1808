//! References of loaded tables that no foreign key holds: what nobody but the loader knows to stand against a delete.

use crate::error::{Error, ErrorKind, Result};
use crate::pg::own::Own;
use crate::pg::{Session, catalog, referred};
use crate::plan::LedgerTable;
use crate::sql::Statement;
use crate::table::schema::ForeignKey;
use crate::table::target::Target;

/// Tells `targets` which references to them no foreign key holds: those of `targets` themselves, and, to those of
/// which rows may go, those of other tables as these were last loaded.
///
/// # Errors
/// [`Database`](ErrorKind::Database).
pub async fn find_referring(
    session: &Session,
    schema: &str,
    mut targets: Vec<&mut Target>,
    may_go: impl Fn(&Target) -> bool,
) -> Result<()> {
    let own = targets.iter().flat_map(|t| t.lookups.loose.iter().cloned());
    let mut keys: Vec<ForeignKey> = own.collect();
    if targets.iter().any(|t| may_go(t)) {
        for loaded in last_loaded(session, schema).await? {
            let mut own = targets.iter().filter(|t| t.table.name == loaded.relation);
            let is_known = own.any(|t| !t.lookups.is_empty());
            if !is_known && targets.iter().any(|t| may_mean(&loaded, t)) {
                keys.extend(loose(session, &loaded).await?);
            }
        }
    }
    for target in &mut targets {
        let to_it = keys.iter().filter(|key| target.table.is_in(key.parent_oid));
        target.referred = to_it.cloned().collect();
    }
    Ok(())
}

/// Whether rows of a table may refer to those of `target`, as far as names tell: those of a partition have that of
/// the whole.
fn may_mean(loaded: &LedgerTable, target: &Target) -> bool {
    let mut references = loaded.config.references.values();
    let is_part = target.table.above.len() > 1;
    references.any(|r| is_part || target.table.name.is_meant_by(&r.table))
}

/// The references of a table that no foreign key holds; none of one that is not there any more.
async fn loose(session: &Session, loaded: &LedgerTable) -> Result<Vec<ForeignKey>> {
    let table = match catalog::relation(session, &loaded.relation).await {
        Err(e) if e.kind() == ErrorKind::Config => return Ok(Vec::new()),
        table => table?,
    };
    Ok(referred::lookups(session, &loaded.config, &table)
        .await
        .loose)
}

/// The tables that loads brought which look up references, each as it was last loaded.
async fn last_loaded(session: &Session, schema: &str) -> Result<Vec<LedgerTable>> {
    let rows = session.rows(&list(schema)).await?;
    let tables = rows.iter().map(|row| {
        serde_json::from_str(row.text(0)?).map_err(|e| {
            Error::config(format!(
                "the ledger {} holds entries that this version does not read: {e}",
                Own::Ledger.shown(schema)
            ))
        })
    });
    tables.collect()
}

pub(in crate::pg) fn list(schema: &str) -> Statement {
    let sql = format!(
        "SELECT l.entry::text FROM (\
           SELECT DISTINCT ON (t.entry -> 'relation') t.entry FROM {} a, \
             pg_catalog.jsonb_array_elements(a.tables) t(entry) \
           WHERE a.kind = 'load' ORDER BY t.entry -> 'relation', a.sequence DESC) l \
         WHERE pg_catalog.jsonb_exists(l.entry -> 'config', 'references')",
        Own::Ledger.within(schema)
    );
    Statement::new("reading the ledger", sql)
}
