//! Whether tables that were there before will do: their columns by the catalogs, and all else by
//! writing what loads and rollbacks write, reading it again, and taking it back.

use crate::error::{Error, Remedy, Result};
use crate::pg::Session;
use crate::sql::{Ident, Literal, Statement};

/// What a column must be able to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Text,
    /// Numbers, in the order in which rows were written where they are numbered.
    Number,
    /// JSON that can be compared.
    Json,
    Uuid,
    Uuids,
    Time,
    Truth,
}

impl Holds {
    /// The types that do, by their names in the catalogs, the one that we would take first.
    fn types(self) -> &'static [&'static str] {
        match self {
            Holds::Text => &["text", "varchar"],
            Holds::Number => &["int8", "int4"],
            Holds::Json => &["jsonb"],
            Holds::Uuid => &["uuid"],
            Holds::Uuids => &["_uuid"],
            Holds::Time => &["timestamptz", "timestamp"],
            Holds::Truth => &["bool"],
        }
    }
}

use Holds::{Json, Number, Text, Time, Truth, Uuid, Uuids};

/// The columns that must be there, by table: what the original had, and ours.
pub(super) const COLUMNS: [(&str, &[(&str, Holds)]); 5] = [
    (
        "validation_queue",
        &[
            ("id", Number),
            ("table_name", Text),
            ("fragment_id", Text),
            ("s3_key", Text),
            ("status", Text),
            ("batch_id", Text),
            ("loaded_at", Time),
            ("error_message", Text),
            ("application", Uuid),
        ],
    ),
    (
        "audit_log",
        &[
            ("id", Number),
            ("table_name", Text),
            ("operation", Text),
            ("record_id", Text),
            ("old_values", Json),
            ("new_values", Json),
            ("batch_id", Text),
            ("changed_by", Text),
            ("changed_at", Time),
            ("application", Uuid),
            ("plan_hash", Text),
            ("origin", Text),
        ],
    ),
    (
        "batch_load_log",
        &[
            ("batch_id", Text),
            ("operation", Text),
            ("table_name", Text),
            ("records_affected", Number),
            ("status", Text),
            ("error_message", Text),
            ("loaded_at", Time),
            ("application", Uuid),
        ],
    ),
    (
        "loader_ledger",
        &[
            ("sequence", Number),
            ("application", Uuid),
            ("plan_hash", Text),
            ("kind", Text),
            ("batch_id", Text),
            ("actor", Text),
            ("applied_at", Time),
            ("undoes", Uuids),
            ("tables", Json),
            ("records", Number),
            ("rejected", Number),
        ],
    ),
    ("loader_identity", &[("lineage", Text), ("only_row", Truth)]),
];

const DOING: &str = "checking the loader's tables";

/// One thing that loads or rollbacks do with a table.
struct Trial {
    /// What it is, for people.
    what: String,
    /// Does it.
    write: String,
    /// Asks whether it is there as it was written.
    read: String,
}

/// That loads and rollbacks can work with the loader's tables in `schema`.
///
/// # Errors
/// A configuration error with all that stands against it; what the server said.
pub(super) async fn check(session: &Session, schema: &str) -> Result<()> {
    let mut wrong = columns(session, schema).await?;
    // What is of another type would only be told a second time.
    if wrong.is_empty() {
        wrong = try_all(session, schema).await?;
    } else if let Ok(more) = try_all(session, schema).await {
        wrong.extend(more);
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::config(format!(
        "tables in the schema {schema} cannot be adopted, because loads or rollbacks would fail:\n  {}",
        wrong.join("\n  ")
    ))
    .with_remedy(Remedy::OtherLoaderSchema))
}

/// Columns that are missing or of another type.
async fn columns(session: &Session, schema: &str) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (table, columns) in COLUMNS {
        let sql = format!(
            "SELECT a.attname, coalesce(b.typname, t.typname), pg_catalog.format_type(a.atttypid, a.atttypmod) \
             FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
             LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype \
             JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = {} AND c.relname = {} AND a.attnum > 0 AND NOT a.attisdropped",
            Literal(schema),
            Literal(table)
        );
        let found = session.rows(&Statement::new(DOING, sql)).await?;
        for (column, holds) in columns {
            let types = holds.types();
            let found = found.iter().find(|row| row.get(0) == Some(*column));
            match found {
                None => wrong.push(format!(
                    "{table}.{column} is missing; it must be {}",
                    types[0]
                )),
                Some(row) if !row.get(1).is_some_and(|t| types.contains(&t)) => {
                    wrong.push(format!(
                        "{table}.{column} is {}, and must be {}",
                        row.get(2).unwrap_or("?"),
                        types.join(" or ")
                    ));
                }
                Some(_) => {}
            }
        }
    }
    Ok(wrong)
}

/// What of that which loads and rollbacks do cannot be done. Everything is taken back.
async fn try_all(session: &Session, schema: &str) -> Result<Vec<String>> {
    let id = uuid::Uuid::new_v4().to_string();
    session.run(&Statement::new(DOING, "BEGIN")).await?;
    let tried = async {
        let mut wrong = Vec::new();
        for trial in trials(schema, &id) {
            session
                .run(&Statement::new(DOING, "SAVEPOINT trial"))
                .await?;
            match attempt(session, &trial).await {
                Ok(true) => session.run(&Statement::new(DOING, "RELEASE trial")).await?,
                Ok(false) => {
                    wrong.push(format!(
                        "{}: it is not there as it was written; a trigger, rule or policy of the table changes it",
                        trial.what
                    ));
                    session
                        .run(&Statement::new(DOING, "ROLLBACK TO trial"))
                        .await?;
                }
                Err(e) if e.code().is_some() && !e.is_transient() => {
                    wrong.push(format!("{e:#}"));
                    session
                        .run(&Statement::new(DOING, "ROLLBACK TO trial"))
                        .await?;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(wrong)
    };
    let wrong = tried.await;
    session.run(&Statement::new(DOING, "ROLLBACK")).await?;
    wrong
}

async fn attempt(session: &Session, trial: &Trial) -> Result<bool> {
    let write = Statement::new(&*trial.what, &*trial.write);
    session.run(&write).await?;
    session
        .holds(&Statement::new(&*trial.what, &*trial.read))
        .await
}

fn trials(schema: &str, id: &str) -> Vec<Trial> {
    let (plain, schema) = (schema, Ident(schema));
    let (hash, uuid) = (Literal(HASH), format!("{}::uuid", Literal(id)));
    let mut trials = Vec::new();
    let image = "'{\"a\": \"1\"}'::jsonb";
    let states = [
        ("INSERT", "NULL", image),
        ("UPDATE", image, image),
        ("DELETE", image, "NULL"),
        ("QUEUE", image, image),
    ];
    for (operation, before, after) in states {
        trials.push(Trial {
            what: format!("writing {operation} into {plain}.audit_log"),
            write: format!(
                "INSERT INTO {schema}.audit_log (table_name, operation, record_id, old_values, new_values, batch_id, \
                 changed_by, changed_at, application, plan_hash, origin) VALUES ('t', '{operation}', '[\"1\", \"a\"]', {before}, \
                 {after}, 'batch', 'actor', pg_catalog.now(), {uuid}, {hash}, 'staging/batch/t/1.json#0')"
            ),
            read: format!(
                "SELECT pg_catalog.count(*) = 1 FROM {schema}.audit_log WHERE application = {uuid} AND operation = '{operation}' \
                 AND table_name = 't' AND record_id = '[\"1\", \"a\"]' AND batch_id = 'batch' AND changed_by = 'actor' \
                 AND changed_at::timestamptz = pg_catalog.now() AND plan_hash = {hash} AND origin = 'staging/batch/t/1.json#0' \
                 AND old_values IS NOT DISTINCT FROM {before} AND new_values IS NOT DISTINCT FROM {after} AND id > coalesce(\
                 (SELECT pg_catalog.max(id) FROM {schema}.audit_log o WHERE o.application = {uuid} AND o.operation <> '{operation}'), id - 1)"
            ),
        });
    }
    let logged = [
        ("load", "success", "NULL"),
        ("rollback", "success", "NULL"),
        ("load", "partial", "NULL"),
        ("load", "failed", "'why'"),
    ];
    for (operation, status, message) in logged {
        trials.push(Trial {
            what: format!("writing {status} of a {operation} into {plain}.batch_load_log"),
            write: format!(
                "INSERT INTO {schema}.batch_load_log (batch_id, operation, table_name, records_affected, status, error_message, \
                 loaded_at, application) VALUES ('batch', '{operation}', 't', 0, '{status}', {message}, pg_catalog.now(), {uuid})"
            ),
            read: format!(
                "SELECT pg_catalog.count(*) = 1 FROM {schema}.batch_load_log WHERE application = {uuid} AND operation = '{operation}' \
                 AND status = '{status}' AND error_message IS NOT DISTINCT FROM {message}"
            ),
        });
    }
    for kind in ["load", "rollback"] {
        trials.push(Trial {
            what: format!("writing a {kind} into {plain}.loader_ledger"),
            write: format!(
                "INSERT INTO {schema}.loader_ledger (application, plan_hash, kind, batch_id, actor, applied_at, undoes, tables, \
                 records, rejected) VALUES (pg_catalog.gen_random_uuid(), {hash}, '{kind}', {batch}, 'actor', pg_catalog.now(), \
                 ARRAY[{uuid}], '[]', 0, 0)",
                batch = Literal(id),
            ),
            read: format!(
                "SELECT pg_catalog.count(*) = 1 FROM {schema}.loader_ledger WHERE batch_id = {} AND kind = '{kind}' \
                 AND {uuid} = ANY (undoes)",
                Literal(id)
            ),
        });
    }
    trials.extend(queue_trials(plain, &uuid));
    trials
}

/// As long as a plan's.
const HASH: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// An entry of the queue is set to what loads set it to: one that is there, else one made for it,
/// where the columns that the loader knows of are enough for one.
fn queue_trials(plain: &str, uuid: &str) -> Vec<Trial> {
    let schema = Ident(plain);
    let entry = format!(
        "DO $make$ BEGIN IF NOT EXISTS (SELECT FROM {schema}.validation_queue) THEN BEGIN \
           INSERT INTO {schema}.validation_queue (table_name, s3_key, batch_id) VALUES ('t', 'staging/batch/t/1.json', 'batch'); \
         EXCEPTION WHEN integrity_constraint_violation THEN NULL; END; END IF; END $make$"
    );
    let states = [
        ("loaded", "pg_catalog.now()", "NULL"),
        ("failed", "NULL", "'why'"),
    ];
    let trials = states.map(|(status, at, message)| Trial {
        what: format!("setting an entry of {plain}.validation_queue to {status}"),
        write: format!(
            "{entry}; UPDATE {schema}.validation_queue SET status = '{status}', loaded_at = {at}, error_message = {message}, \
             application = {uuid} WHERE id = (SELECT pg_catalog.min(id) FROM {schema}.validation_queue)"
        ),
        read: format!(
            "SELECT pg_catalog.count(*) = 1 OR NOT EXISTS (SELECT FROM {schema}.validation_queue) FROM {schema}.validation_queue \
             WHERE application = {uuid} AND status = '{status}' AND loaded_at::timestamptz IS NOT DISTINCT FROM {at} \
             AND error_message IS NOT DISTINCT FROM {message}"
        ),
    });
    trials.into()
}
