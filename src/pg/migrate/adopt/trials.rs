//! What loads and rollbacks do with the loader's tables, done once and taken back.

use super::{DOING, is_refusal};
use crate::error::Result;
use crate::pg::Session;
use crate::pg::apply::origin::Origin;
use crate::pg::apply::{queued, record};
use crate::pg::own::Own;
use crate::plan::{Header, Kind};
use crate::sql::{Literal, Statement, Values};

/// One thing that loads or rollbacks do with a table.
pub(in crate::pg::migrate) struct Trial {
    /// What it is, for people.
    what: String,
    /// Does it.
    pub(in crate::pg::migrate) write: Statement,
    /// Asks whether it is there as it was written, as SQL.
    read: String,
}

impl Trial {
    pub(in crate::pg::migrate) fn read(&self) -> Statement {
        Statement::new(&*self.what, &*self.read)
    }
}

/// What of that which loads and rollbacks do cannot be done, in a transaction.
pub(super) async fn try_all(session: &Session, schema: &str) -> Result<Vec<String>> {
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
pub(in crate::pg::migrate) fn trials(
    schema: &str,
    [id, load, rollback]: [&str; 3],
) -> Result<Vec<Trial>> {
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
    let audit_log = origin.own(Own::AuditLog);
    for (operation, before, after) in states {
        let what = format!("writing {operation} into {}", Own::AuditLog.shown(schema));
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
    let load_log = origin.own(Own::LoadLog);
    for (kind, status) in [
        (Kind::Load, "success"),
        (Kind::Rollback, "success"),
        (Kind::Load, "partial"),
    ] {
        trials.push(Trial {
            what: format!(
                "writing {status} of a {} into {}",
                kind.word(),
                Own::LoadLog.shown(schema)
            ),
            write: record::log_table(&origin, kind, status, NAME, 0),
            read: format!(
                "SELECT pg_catalog.count(*) = 1 FROM {load_log} WHERE {ours} AND operation = '{}' AND status = '{status}' \
                 AND table_name = '{NAME}'",
                kind.word()
            ),
        });
    }
    trials.push(Trial {
        what: format!(
            "writing failed of a load into {}",
            Own::LoadLog.shown(schema)
        ),
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
            what: format!(
                "writing a {} into {}",
                kind.word(),
                Own::Ledger.shown(schema)
            ),
            write: record::enter_in_ledger(&origin, &header, &[], &Default::default())?,
            read: format!(
                "SELECT pg_catalog.count(*) = 1 FROM {} WHERE application = {}::uuid AND kind = '{}' AND {}::uuid = ANY (undoes)",
                origin.own(Own::Ledger),
                Literal(application),
                kind.word(),
                Literal(id)
            ),
        });
    }
    let queue = origin.own(Own::Queue);
    for (status, at, message) in [
        ("loaded", "pg_catalog.now()", "NULL::text"),
        ("failed", "NULL::timestamptz", "'why'::text"),
    ] {
        let what = format!(
            "setting an entry of {} to {status}",
            Own::Queue.shown(schema)
        );
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
    let queue = Own::Queue.within(schema);
    let what = format!("looking into {}", Own::Queue.shown(schema));
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
