//! Whether tables that were there before will do: their columns by the catalogs, and all else by
//! writing what loads and rollbacks write, reading it again, and taking it back.

use crate::error::{Error, Remedy, Result};
use crate::pg::Session;
use crate::pg::apply::origin::Origin;
use crate::pg::apply::{queued, record};
use crate::plan::{Header, Kind};
use crate::sql::{Ident, Literal, Statement, Values};

/// What a column must be able to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Text,
    /// Text of any length.
    AnyText,
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
            Holds::Text | Holds::AnyText => &["text", "varchar"],
            Holds::Number => &["int8", "int4"],
            Holds::Json => &["jsonb"],
            Holds::Uuid => &["uuid"],
            Holds::Uuids => &["_uuid"],
            Holds::Time => &["timestamptz", "timestamp"],
            Holds::Truth => &["bool"],
        }
    }
}

use Holds::{AnyText, Json, Number, Text, Time, Truth, Uuid, Uuids};

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
            ("error_message", AnyText),
            ("application", Uuid),
        ],
    ),
    (
        "audit_log",
        &[
            ("id", Number),
            ("table_name", Text),
            ("operation", Text),
            ("record_id", AnyText),
            ("old_values", Json),
            ("new_values", Json),
            ("batch_id", Text),
            ("changed_by", Text),
            ("changed_at", Time),
            ("application", Uuid),
            ("plan_hash", Text),
            ("origin", AnyText),
            ("extracted_at", Time),
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
            ("error_message", AnyText),
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
            ("undoes_in_part", Uuids),
            ("tables", Json),
            ("records", Number),
            ("rejected", Number),
        ],
    ),
    ("loader_identity", &[("lineage", Text), ("only_row", Truth)]),
];

const DOING: &str = "checking the loader's tables";

/// One thing that loads or rollbacks do with a table.
pub(super) struct Trial {
    /// What it is, for people.
    what: String,
    /// Does it.
    pub(super) write: Statement,
    /// Asks whether it is there as it was written, as SQL.
    read: String,
}

impl Trial {
    pub(super) fn read(&self) -> Statement {
        Statement::new(&*self.what, &*self.read)
    }
}

/// What has the names of the loader's tables.
pub(super) struct Seen {
    /// These names.
    pub(super) found: Vec<String>,
    /// What of it the migrations cannot make a table of the loader.
    wrong: Vec<String>,
}

impl Seen {
    /// The error that says so, where something is wrong.
    pub(super) fn refused(&self, schema: &str) -> Option<Error> {
        all_is_well(schema, &self.wrong).err()
    }
}

/// What is in `schema` under the names of the loader's tables, by the catalogs alone.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub(super) async fn look(session: &Session, schema: &str) -> Result<Seen> {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for row in session.rows(&relations(schema)).await? {
        let (name, kind) = (row.text(0)?, row.text(1)?);
        found.push(name.to_owned());
        if kind != "table" {
            wrong.push(format!("{name} is a {kind}, and must be a table"));
        } else if let Some((table, wanted)) = COLUMNS.iter().find(|(table, _)| *table == name) {
            let is_old = |column: &str| !is_added(table, column);
            wrong.extend(columns(session, schema, table, wanted, is_old).await?);
        }
    }
    Ok(Seen { found, wrong })
}

pub(super) fn relations(schema: &str) -> Statement {
    let mut values = Values::default();
    let names = COLUMNS
        .iter()
        .map(|(table, _)| *table)
        .chain([super::MIGRATIONS]);
    let sql = format!(
        "SELECT c.relname, CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view' \
           WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence' \
           WHEN 'c' THEN 'type' ELSE 'index' END \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = {} AND c.relname = ANY ({}) ORDER BY 1",
        values.text(schema),
        values.texts(names)
    );
    Statement::with(DOING, sql, values)
}

/// Whether a migration adds this column to a table that lacks it.
fn is_added(table: &str, column: &str) -> bool {
    let runner = super::runner();
    let adds = format!("ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {column} ");
    let mut migrations = runner.get_migrations().iter();
    migrations.any(|m| m.sql().is_some_and(|sql| sql.contains(&adds)))
}

/// That loads and rollbacks can work with the loader's tables in `schema`. What is tried is taken back.
///
/// # Errors
/// A configuration error with all that stands against it; what the server said.
pub(super) async fn check(session: &Session, schema: &str) -> Result<()> {
    try_migrations(
        session,
        schema,
        &[],
        &Seen {
            found: Vec::new(),
            wrong: Vec::new(),
        },
    )
    .await
}

/// That they can once `migrations` have run on what was `seen`. These too are taken back.
///
/// # Errors
/// As [`check`].
pub(super) async fn try_migrations(
    session: &Session,
    schema: &str,
    migrations: &[Statement],
    seen: &Seen,
) -> Result<()> {
    session.run(&Statement::new(DOING, "BEGIN")).await?;
    let wrong = faults(session, schema, migrations, seen).await;
    session.run(&Statement::new(DOING, "ROLLBACK")).await?;
    all_is_well(schema, &wrong?)
}

/// What stands against the tables once `migrations` have run, in a transaction.
async fn faults(
    session: &Session,
    schema: &str,
    migrations: &[Statement],
    seen: &Seen,
) -> Result<Vec<String>> {
    for migration in migrations {
        match session.run(migration).await {
            Ok(()) => {}
            // The first that fails says less than what was seen.
            Err(e) if is_refusal(&e) && !seen.wrong.is_empty() => return Ok(seen.wrong.clone()),
            Err(e) if is_refusal(&e) => return Ok(vec![format!("{:#}", super::of_owner(e))]),
            Err(e) => return Err(e),
        }
    }
    let mut wrong = Vec::new();
    for (table, wanted) in COLUMNS {
        wrong.extend(columns(session, schema, table, wanted, |_| true).await?);
    }
    // What is of another type would only be told a second time.
    if wrong.is_empty() {
        // Where something was loaded, it works; and what others put on the tables since need not run.
        if !session.holds(&was_used(schema)).await? {
            wrong = try_all(session, schema).await?;
        }
    } else if let Ok(more) = try_all(session, schema).await {
        wrong.extend(more);
    }
    Ok(wrong)
}

/// # Errors
/// A configuration error with what is `wrong`.
fn all_is_well(schema: &str, wrong: &[String]) -> Result<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::config(format!(
        "tables in the schema {schema} cannot be adopted, because loads or rollbacks would fail:\n  {}",
        wrong.join("\n  ")
    ))
    .with_remedy(Remedy::OtherLoaderSchema))
}

/// Whether the server says no, and would say it again.
fn is_refusal(e: &Error) -> bool {
    e.code().is_some() && !e.is_transient()
}

/// Whether something was loaded with these tables.
pub(super) fn was_used(schema: &str) -> Statement {
    let sql = format!(
        "SELECT EXISTS (SELECT FROM {}.loader_ledger)",
        Ident(schema)
    );
    Statement::new(DOING, sql)
}

/// A table's columns: type, as it is written, and whether it holds texts of any length.
pub(super) fn columns_of(schema: &str, table: &str) -> Statement {
    let sql = format!(
        "SELECT a.attname, coalesce(b.typname, t.typname), pg_catalog.format_type(a.atttypid, a.atttypmod), \
           CASE WHEN b.oid IS NULL THEN a.atttypmod ELSE t.typtypmod END < 0 \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype \
         JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = {} AND c.relname = {} AND a.attnum > 0 AND NOT a.attisdropped",
        Literal(schema),
        Literal(table)
    );
    Statement::new(DOING, sql)
}

/// Columns of a table that are missing, where they must be there by now, or of another type.
async fn columns(
    session: &Session,
    schema: &str,
    table: &str,
    wanted: &[(&str, Holds)],
    is_due: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let found = session.rows(&columns_of(schema, table)).await?;
    for (column, holds) in wanted {
        let types = holds.types();
        let found = found.iter().find(|row| row.get(0) == Some(*column));
        match found {
            None if !is_due(column) => {}
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
            Some(row) if *holds == AnyText && !row.is(3) => wrong.push(format!(
                "{table}.{column} is {}, and must hold text of any length",
                row.get(2).unwrap_or("?")
            )),
            Some(_) => {}
        }
    }
    Ok(wrong)
}

/// What of that which loads and rollbacks do cannot be done, in a transaction.
async fn try_all(session: &Session, schema: &str) -> Result<Vec<String>> {
    let ids = [(); 3].map(|()| uuid::Uuid::new_v4().to_string());
    let mut wrong = Vec::new();
    for trial in trials(schema, ids.each_ref().map(String::as_str))? {
        session
            .run(&Statement::new(DOING, "SAVEPOINT trial"))
            .await?;
        let fault = match attempt(session, &trial).await {
            Ok(true) => None,
            Ok(false) => Some(format!(
                "{}: it is not there as it was written; a trigger, rule or policy of the table changes it",
                trial.what
            )),
            Err(e) if is_refusal(&e) => Some(format!("{e:#}")),
            Err(e) => return Err(e),
        };
        let end = if fault.is_none() {
            "RELEASE trial"
        } else {
            "ROLLBACK TO trial"
        };
        session.run(&Statement::new(DOING, end)).await?;
        wrong.extend(fault);
    }
    Ok(wrong)
}

async fn attempt(session: &Session, trial: &Trial) -> Result<bool> {
    session.run(&trial.write).await?;
    session.holds(&trial.read()).await
}

/// As long as a plan's.
const HASH: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// As long as the longest name in the database.
const NAME: &str = "abcdefghijklmnopqrstuvwxyz_abcdefghijklmnopqrstuvwxyz_123456789";

/// What loads and rollbacks write, by what writes it there: changes of application `id`, and in the ledger, which
/// has each application once, `load` and `rollback`.
pub(super) fn trials(schema: &str, [id, load, rollback]: [&str; 3]) -> Result<Vec<Trial>> {
    let origin = Origin {
        actor: NAME,
        batch_id: NAME,
        application: id,
        plan_hash: HASH,
        loader_schema: schema,
    };
    let ours = format!("application = {}::uuid", Literal(id));
    let mut trials = vec![make_entry(schema)];
    let image = "'{\"a\": \"1\"}'::jsonb";
    let states = [
        ("INSERT", "NULL", image),
        ("UPDATE", image, image),
        ("DELETE", image, "NULL"),
    ];
    let audit_log = origin.own_table("audit_log");
    for (operation, before, after) in states {
        let what = format!("writing {operation} into {schema}.audit_log");
        let mut values = Values::default();
        let write = format!(
            "{} VALUES ('{NAME}', '{operation}', '[\"1\", \"a\"]', {before}, {after}, {}, 'staging/batch/t/1.json#0', pg_catalog.now())",
            origin.insert_audit(),
            origin.columns(&mut values)
        );
        let read = format!(
            "SELECT pg_catalog.count(*) = 1 FROM {audit_log} WHERE {ours} AND operation = '{operation}' \
             AND table_name = '{NAME}' AND record_id = '[\"1\", \"a\"]' AND batch_id = '{NAME}' AND changed_by = '{NAME}' \
             AND changed_at::timestamptz - pg_catalog.now() BETWEEN '-1 s' AND '1 s' AND plan_hash = '{HASH}' AND origin = 'staging/batch/t/1.json#0' \
             AND old_values IS NOT DISTINCT FROM {before} AND new_values IS NOT DISTINCT FROM {after} AND id > coalesce(\
             (SELECT pg_catalog.max(id) FROM {audit_log} o WHERE o.{ours} AND o.operation <> '{operation}'), id - 1)"
        );
        trials.push(Trial {
            write: Statement::with(&*what, write, values),
            what,
            read,
        });
    }
    let load_log = origin.own_table("batch_load_log");
    for (kind, status) in [
        (Kind::Load, "success"),
        (Kind::Rollback, "success"),
        (Kind::Load, "partial"),
    ] {
        trials.push(Trial {
            what: format!("writing {status} of a {} into {schema}.batch_load_log", kind.word()),
            write: record::log_table(&origin, kind, status, NAME, 0),
            read: format!(
                "SELECT pg_catalog.count(*) = 1 FROM {load_log} WHERE {ours} AND operation = '{}' AND status = '{status}' \
                 AND table_name = '{NAME}'",
                kind.word()
            ),
        });
    }
    trials.push(Trial {
        what: format!("writing failed of a load into {schema}.batch_load_log"),
        write: record::log_failure(schema, Kind::Load, id, "why"),
        read: format!(
            "SELECT pg_catalog.count(*) = 1 FROM {load_log} WHERE batch_id = {} AND status = 'failed' AND error_message = 'why'",
            Literal(id)
        ),
    });
    for (kind, application) in [(Kind::Load, load), (Kind::Rollback, rollback)] {
        let origin = Origin {
            application,
            ..origin.clone()
        };
        let header = Header {
            undoes: vec![id.to_owned()],
            ..Header::empty(kind, NAME)
        };
        trials.push(Trial {
            what: format!("writing a {} into {schema}.loader_ledger", kind.word()),
            write: record::enter_in_ledger(&origin, &header, &[], &Default::default())?,
            read: format!(
                "SELECT pg_catalog.count(*) = 1 FROM {} WHERE application = {}::uuid AND kind = '{}' AND {}::uuid = ANY (undoes)",
                origin.own_table("loader_ledger"),
                Literal(application),
                kind.word(),
                Literal(id)
            ),
        });
    }
    let queue = origin.own_table("validation_queue");
    for (status, at, message) in [
        ("loaded", "pg_catalog.now()", "NULL::text"),
        ("failed", "NULL::timestamptz", "'why'::text"),
    ] {
        let what = format!("setting an entry of {schema}.validation_queue to {status}");
        let states = format!(
            "SELECT pg_catalog.min(id) AS id, '{status}'::text AS status, {at} AS loaded_at, {message} AS error_message, \
               {}::uuid AS application FROM {queue} HAVING pg_catalog.min(id) IS NOT NULL",
            Literal(id)
        );
        trials.push(Trial {
            write: queued::set(&origin, &what, &states, "true", Values::default()),
            what,
            read: format!(
                "SELECT NOT EXISTS (SELECT FROM {queue}) OR EXISTS (SELECT FROM {queue} WHERE {ours} AND status = '{status}' \
                   AND loaded_at::timestamptz IS NOT DISTINCT FROM {at} AND error_message IS NOT DISTINCT FROM {message}) \
                 AND EXISTS (SELECT FROM {audit_log} WHERE {ours} AND operation = 'QUEUE' AND new_values ->> 'status' = '{status}')"
            ),
        });
    }
    Ok(trials)
}

/// Makes an entry of the queue where there is none, and where the columns that the loader knows of
/// are enough for one.
fn make_entry(schema: &str) -> Trial {
    let queue = format!("{}.validation_queue", Ident(schema));
    let what = format!("looking into {schema}.validation_queue");
    let sql = format!(
        "DO $make$ BEGIN IF NOT EXISTS (SELECT FROM {queue}) THEN BEGIN \
           INSERT INTO {queue} (table_name, s3_key, batch_id) VALUES ('t', 'staging/batch/t/1.json', 'batch'); \
         EXCEPTION WHEN integrity_constraint_violation THEN NULL; END; END IF; END $make$"
    );
    Trial {
        write: Statement::new(&*what, sql),
        what,
        read: "SELECT true".into(),
    }
}
