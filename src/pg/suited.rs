//! What is about tables, where they are, so that their rows would be loaded as something else or could not be taken back.

use crate::error::Result;
use crate::pg::Session;
use crate::sql::{Statement, Values};
use crate::table::target::Target;
use crate::types::Kind;

const DOING: &str = "looking for what keeps tables from being loaded";

/// What keeps these tables from being loaded, in words.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn unsuited(session: &Session, targets: &[Target]) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for row in session.rows(&without_identity(targets)).await? {
        let (table, part, publication) = (row.text(0)?, row.text(1)?, row.text(2)?);
        problems.push(format!(
            "{table}: the publication {publication} has updates and deletes of {part}, which has no replica identity, so that \
             PostgreSQL refuses them, and no load could be rolled back; a primary key is one, and ALTER TABLE {part} REPLICA \
             IDENTITY makes another"
        ));
    }
    if session.holds(&publishes_parts()).await? {
        for row in session.rows(&beyond_identity(targets)).await? {
            let (table, part, publication) = (row.text(0)?, row.text(1)?, row.text(2)?);
            let (what, remedy) = match row.is(3) {
                true => (
                    "with a row filter over columns that are not in its replica identity",
                    "have the filter ask for columns of the replica identity alone, or make that FULL",
                ),
                false => (
                    "with a list of columns that leaves out some of its replica identity",
                    "have the publication list these too, or all columns",
                ),
            };
            problems.push(format!(
                "{table}: the publication {publication} has updates and deletes of {part} {what}, so that PostgreSQL refuses \
                 them, and no load could be rolled back; {remedy}"
            ));
        }
    }
    let of_money = targets.iter().filter_map(|target| {
        let mut columns = target.table.columns.iter();
        let money = |kind: &Kind| matches!(kind, Kind::Money);
        Some((target, columns.find(|c| c.kind.any(&money))?))
    });
    let of_money: Vec<_> = of_money.collect();
    if !of_money.is_empty() && !has_cents(session).await? {
        problems.extend(of_money.into_iter().map(|(target, column)| {
            format!(
                "{}: {} is money, which the database keeps here without two decimals (lc_monetary), while values are read and \
                 shown with two; give the column the type numeric, or have role and database set lc_monetary to that of a \
                 currency with two decimals",
                target.name, column.name
            )
        }));
    }
    Ok(problems)
}

/// For `FROM`: the names of these tables beside the object ids `oid` of them, their partitions and heirs, as `u`.
fn with_below(targets: &[Target], values: &mut Values) -> String {
    let below = targets
        .iter()
        .flat_map(|t| t.table.below.iter().map(|oid| (&t.name, oid)));
    let (names, oids): (Vec<&String>, Vec<String>) =
        below.map(|(name, oid)| (name, oid.to_string())).unzip();
    format!(
        "ROWS FROM (pg_catalog.unnest({}), pg_catalog.unnest({}::oid[])) u(name, oid)",
        values.texts(names),
        values.texts(oids)
    )
}

/// The tables, of these, their partitions and heirs, that are published with updates or deletes and have no replica
/// identity, each with one such publication. What a publication says of a partitioned table holds for its partitions.
pub(in crate::pg) fn without_identity(targets: &[Target]) -> Statement {
    let mut values = Values::default();
    let tables = with_below(targets, &mut values);
    let sql = format!(
        "SELECT u.name, c.oid::pg_catalog.regclass::text, pg_catalog.min(p.pubname::text) \
         FROM {tables} \
         JOIN pg_catalog.pg_class c ON c.oid = u.oid AND c.relkind = 'r' AND c.relpersistence = 'p' \
         JOIN pg_catalog.pg_publication p ON (p.pubupdate OR p.pubdelete) AND (p.puballtables OR EXISTS (\
           SELECT FROM pg_catalog.pg_publication_tables t JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname \
           JOIN pg_catalog.pg_class o ON o.relnamespace = n.oid AND o.relname = t.tablename WHERE t.pubname = p.pubname \
             AND (o.oid = c.oid OR o.oid IN (SELECT a.relid FROM pg_catalog.pg_partition_ancestors(c.oid) a(relid))))) \
         WHERE c.relreplident = 'n' OR c.relreplident IN ('d', 'i') AND NOT EXISTS (\
           SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate \
             AND CASE c.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END) \
         GROUP BY 1, 2, c.oid ORDER BY 1, 2",
    );
    Statement::with(DOING, sql, values)
}

/// Whether there are publications of tables, and they can be of some rows or columns.
fn publishes_parts() -> Statement {
    let sql = "SELECT pg_catalog.current_setting('server_version_num')::int >= 150000 AND EXISTS (SELECT FROM pg_catalog.pg_publication_rel)";
    Statement::new(DOING, sql)
}

/// The tables, of these, their partitions and heirs, of which some rows or columns are published with updates or deletes,
/// and the replica identity does not go with that; with such a publication, and whether its row filter is why.
fn beyond_identity(targets: &[Target]) -> Statement {
    let mut values = Values::default();
    let tables = with_below(targets, &mut values);
    let sql = format!(
        "SELECT u.name, c.oid::pg_catalog.regclass::text, p.pubname::text, f.beyond \
         FROM {tables} \
         JOIN pg_catalog.pg_class c ON c.oid = u.oid AND c.relkind = 'r' AND c.relpersistence = 'p' \
         JOIN pg_catalog.pg_publication_rel r ON r.prrelid = c.oid \
           OR r.prrelid IN (SELECT a.relid FROM pg_catalog.pg_partition_ancestors(c.oid) a(relid)) \
         JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid AND (p.pubupdate OR p.pubdelete) \
         LEFT JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisvalid \
           AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END \
         CROSS JOIN LATERAL (SELECT \
           ARRAY(SELECT a.attname::text FROM pg_catalog.regexp_matches(r.prqual::text, ':varattno (\\d+)', 'g') m(n) \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = r.prrelid AND a.attnum = m.n[1]::int) AS asked, \
           ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(r.prattrs::int2[]) m(n) \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = r.prrelid AND a.attnum = m.n) AS listed, \
           ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY m(n, at) \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = m.n \
             WHERE m.at <= i.indnkeyatts) AS identity) columns \
         CROSS JOIN LATERAL (SELECT r.prqual IS NOT NULL AND c.relreplident <> 'f' \
           AND NOT columns.asked OPERATOR(pg_catalog.<@) columns.identity AS beyond) f \
         WHERE (c.relreplident = 'f' OR i.indexrelid IS NOT NULL) AND (f.beyond OR r.prattrs IS NOT NULL \
           AND (c.relreplident = 'f' OR NOT columns.identity OPERATOR(pg_catalog.<@) columns.listed)) ORDER BY 1, 2, 3",
    );
    Statement::with(DOING, sql, values)
}

/// Whether one of the currency is kept as a hundred, as it is read and printed in this session.
async fn has_cents(session: &Session) -> Result<bool> {
    let run = |sql: &'static str| Statement::new(DOING, sql);
    session
        .run(&run("BEGIN; SET LOCAL lc_monetary TO DEFAULT"))
        .await?;
    let as_kept = "SELECT pg_catalog.cash_send(1::pg_catalog.numeric::pg_catalog.money) = '\\x0000000000000064'::pg_catalog.bytea";
    let has = session.holds(&run(as_kept)).await?;
    session.run(&run("ROLLBACK")).await?;
    Ok(has)
}
