//! Records that were extracted before data which changed their rows already, and would change them again.

use super::After;
use crate::error::Result;
use crate::pg::Session;
use crate::pg::beside::{ABSENT, FOUND};
use crate::pg::ledger::{self, Application, UndoneRows};
use crate::pg::own::Own;
use crate::pg::plan::snapshot::Snapshot;
use crate::pg::plan::stage::Stage;
use crate::plan::ViolationKind;
use crate::plan::decision::writes_sql;
use crate::sql::{Qualified, Statement, Values, all, any};
use crate::table::config::OnOlder;
use crate::table::row::record_id;

/// What was found of older records.
#[derive(Debug, Default)]
pub struct Older {
    /// What a reviewer should know, each of a table by number.
    pub notes: Vec<(usize, String)>,
    /// The numbers of the tables of which such records stand among the findings.
    pub tables: Vec<usize>,
}

/// What the audit log says of the rows.
pub(in crate::pg) struct Audited<'a> {
    pub(in crate::pg) log: &'a Qualified,
    /// The applications that are taken back or named other rows so, and the rows of others that are taken back.
    pub(in crate::pg) undone: &'a (Vec<String>, UndoneRows),
    /// Loads in effect that named the rows otherwise.
    pub(in crate::pg) renamed: Vec<&'a Application>,
}

/// Looks for such records in all tables.
///
/// # Errors
/// [`Database`](crate::ErrorKind::Database).
pub async fn older(
    snapshot: &Snapshot<'_>,
    loader_schema: &str,
    stages: &[Stage<'_>],
) -> Result<Older> {
    let mut older = Older::default();
    let dated: Vec<&Stage<'_>> = stages.iter().filter(|s| s.extracted).collect();
    if dated.is_empty() {
        return Ok(older);
    }
    let session = snapshot.session;
    // What was taken back changed no row.
    let undone = ledger::undone(session, loader_schema).await?;
    let all = ledger::applications(session, loader_schema, None).await?;
    let audit_log = Own::AuditLog.within(loader_schema);
    for stage in dated {
        let after = After::new(stage);
        // Nor did loads that name other rows so: of a table of another schema, or by another key.
        let others = all.iter().filter(|a| {
            let mut tables = a.tables.iter();
            tables.any(|t| t.table == stage.target.name) && !a.names_as(stage.target)
        });
        let mut undone = undone.clone();
        undone.0.extend(others.map(|a| a.application.clone()));
        // But those that named the same rows otherwise: by another name of the table, or another key.
        let renamed = all
            .iter()
            .filter(|a| a.is_load() && a.undone_by.is_none() && !a.names_as(stage.target));
        let audited = Audited {
            log: &audit_log,
            undone: &undone,
            renamed: renamed.collect(),
        };
        if stage.target.config.on_older == OnOlder::Note {
            let note = after.note_older(session, &audited).await?;
            older
                .notes
                .extend(note.map(|note| (stage.target.place, note)));
        } else if session.execute(&after.find_older(&audited)).await? > 0 {
            older.tables.push(stage.target.place);
        }
    }
    Ok(older)
}

impl After<'_> {
    /// How many there are, in words, with one of them.
    async fn note_older(&self, session: &Session, audited: &Audited<'_>) -> Result<Option<String>> {
        let row = session.row(&self.count_older(audited)).await?;
        let records: u64 = row.parsed(0)?;
        if records == 0 {
            return Ok(None);
        }
        let (were, them) = match records {
            1 => ("1 record was", "it"),
            _ => (&*format!("{records} records were"), "them"),
        };
        Ok(Some(format!(
            "{were} extracted before data that changed the same rows already, and {verb} loaded all the same, for example {} \
             (extracted {}, the row's data {}); on_older can block {them} or leave {them} out",
            session.name_row_in_plan(&self.target.name, row.text(1)?),
            row.text(2)?,
            row.text(3)?,
            verb = if records == 1 { "is" } else { "are" },
        )))
    }

    /// How many there are, and of the first its key, its time and that of its row.
    pub(in crate::pg) fn count_older(&self, audited: &Audited<'_>) -> Statement {
        let mut values = Values::default();
        let older = self.select_older(audited, &mut values);
        let sql = format!(
            "SELECT pg_catalog.count(*) OVER (), x.id, x.extracted::text, x.newest::text FROM ({older}) x \
             UNION ALL SELECT 0, NULL, NULL, NULL LIMIT 1"
        );
        Statement::with(self.doing("looking for older data among"), sql, values)
    }

    /// Notes them among the findings.
    pub(in crate::pg) fn find_older(&self, audited: &Audited<'_>) -> Statement {
        let mut values = Values::default();
        let older = self.select_older(audited, &mut values);
        let sql = format!(
            "INSERT INTO pg_temp.loader_findings (_t, _n, kind, field, given, message, quotes, vals) \
             SELECT {}, x.n, '{}', 'extracted_at', x.extracted::text, \
               'extracted before data that changed the row already; deliver what is newer, or see on_older', false, \
               pg_catalog.json_build_object('the row''s data', x.newest::text)::text FROM ({older}) x",
            self.target.place,
            ViolationKind::OlderRecord
        );
        Statement::with(self.doing("looking for older data among"), sql, values)
    }

    /// A query of them: their numbers, keys, times, and the time of the newest data of their rows.
    fn select_older(&self, audited: &Audited<'_>, values: &mut Values) -> String {
        let (target, beside) = (self.target, self.stage.beside());
        let Audited {
            log,
            undone,
            renamed,
        } = audited;
        // What these changed has the row's name of now made of the images, which no index finds.
        let renamed = ledger::changes(renamed, target, log, &undone.1, values);
        let (with, beside_named, newest) = match renamed {
            None => (String::new(), "", "d.newest"),
            Some(changes) => (
                format!(
                    "WITH renamed AS MATERIALIZED (SELECT c.record_id, pg_catalog.max(a.extracted_at) AS newest \
                     FROM ({changes}) c JOIN {log} a ON a.id = c.id WHERE a.extracted_at IS NOT NULL GROUP BY 1) "
                ),
                " LEFT JOIN renamed o ON o.record_id = r.id AND o.newest > r.extracted",
                "greatest(d.newest, o.newest)",
            ),
        };
        let of_record = record_id(target.key_columns().iter().map(|c| c.staged_text("s")));
        let parts = self.parts();
        let mut conditions = vec![
            "s._extracted IS NOT NULL".to_owned(),
            format!("(s._goes OR {})", writes_sql(&target.config, FOUND, ABSENT)),
        ];
        conditions.extend(self.stage.is_for_its_row("s"));
        format!(
            "{with}SELECT r.n, r.id, r.extracted, {newest} AS newest FROM (\
               SELECT DISTINCT ON (s._n) s._n AS n, s._extracted AS extracted, CASE WHEN {FOUND} THEN {of_row} ELSE {of_record} END AS id, \
                 CASE WHEN s._goes THEN {FOUND} AND {live} ELSE {ABSENT} OR {differs} END AS changes \
               FROM {from} WHERE {conditions} ORDER BY s._n{then_live_first}) r \
             CROSS JOIN LATERAL (SELECT pg_catalog.max(a.extracted_at) AS newest FROM {log} a WHERE a.record_id = r.id \
               AND a.table_name = {table} AND a.extracted_at > r.extracted AND {in_effect}) d{beside_named} \
             WHERE r.changes AND {newest} IS NOT NULL ORDER BY r.n",
            of_row = target.record_id("t"),
            live = beside.live(),
            differs = any(&parts.differs),
            from = beside.each(),
            conditions = all(conditions),
            then_live_first = beside.then_live_first(),
            table = values.text(&target.name),
            in_effect = all([format!(
                "a.application <> ALL ({}::uuid[])",
                values.texts(&undone.0)
            )]
            .into_iter()
            .chain(undone.1.remains(log, values))),
        )
    }
}
