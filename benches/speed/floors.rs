//! What a person writes who wants the batch loaded fast: COPY into a staging table and SQL.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::cost::Cost;
use crate::data::FIELDS;
use crate::server::{Result, Run};

/// The least that a piece of work costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Floor {
    /// An upsert.
    A,
    /// An upsert with complete images before and after in an audit log: told apart first.
    BSplit,
    /// The same in one statement.
    BOne,
    /// COPY into an empty table with the same indexes.
    C,
    /// Staging and a comparison of all columns, counted.
    P,
}

const STAGE: &str = "BEGIN; CREATE TEMP TABLE stage (sample_id text, global_subject_id text, sample_type text, \
    collected_at timestamptz, volume_ml numeric(10,3), barcode text, site_id int, freezer text, notes text, \
    meta jsonb, created_at timestamptz, created_by text) ON COMMIT DROP";

/// Columns that a load may change.
fn mutable() -> Vec<&'static str> {
    let fixed = ["sample_id", "created_at"];
    FIELDS.into_iter().filter(|f| !fixed.contains(f)).collect()
}

fn list(columns: &[&str], alias: &str) -> String {
    let named: Vec<String> = columns.iter().map(|c| format!("{alias}{c}")).collect();
    named.join(", ")
}

fn differ(a: &str, b: &str) -> String {
    let columns = mutable();
    format!(
        "({}) IS DISTINCT FROM ({})",
        list(&columns, a),
        list(&columns, b)
    )
}

fn assign(from: &str) -> String {
    let set: Vec<String> = mutable()
        .iter()
        .map(|c| format!("{c} = {from}{c}"))
        .collect();
    format!("{}, updated_at = now()", set.join(", "))
}

const AUDIT: &str = "INSERT INTO audit_log (table_name, operation, record_id, old_values, new_values, batch_id, \
    changed_by, changed_at)";

impl Floor {
    pub fn words(self) -> &'static str {
        match self {
            Floor::A => "A: upsert",
            Floor::BSplit => "B: audited upsert, in steps",
            Floor::BOne => "B: audited upsert, one statement",
            Floor::C => "C: bare COPY",
            Floor::P => "P: compare and count",
        }
    }

    fn statements(self) -> Vec<String> {
        let all = list(&FIELDS, "");
        let staged = list(&FIELDS, "s.");
        let upsert = format!(
            "INSERT INTO specimen AS t ({all}) SELECT {staged} FROM stage s ON CONFLICT (sample_id) DO UPDATE SET {} WHERE {}",
            assign("EXCLUDED."),
            differ("t.", "EXCLUDED.")
        );
        match self {
            Floor::A => vec![upsert],
            Floor::C => Vec::new(),
            Floor::P => vec![format!(
                "SELECT CASE WHEN t.id IS NULL THEN 'insert' WHEN {} THEN 'update' ELSE 'same' END AS what, count(*) \
                 FROM stage s LEFT JOIN specimen t USING (sample_id) GROUP BY 1",
                differ("t.", "s.")
            )],
            Floor::BOne => vec![format!(
                "WITH old AS MATERIALIZED (SELECT t.sample_id, to_jsonb(t) AS j FROM specimen t JOIN stage s USING (sample_id) WHERE {}), \
                 up AS ({upsert} RETURNING t.sample_id, to_jsonb(t) AS newj) \
                 {AUDIT} SELECT 'specimen', CASE WHEN o.sample_id IS NULL THEN 'INSERT' ELSE 'UPDATE' END, up.sample_id, \
                   o.j, up.newj, 'batch', 'system', now() FROM up LEFT JOIN old o USING (sample_id)",
                differ("t.", "s.")
            )],
            Floor::BSplit => vec![
                format!(
                    "CREATE TEMP TABLE act ON COMMIT DROP AS SELECT s.*, t.id AS tid, \
                       CASE WHEN t.id IS NOT NULL THEN to_jsonb(t) END AS oldj \
                     FROM stage s LEFT JOIN specimen t USING (sample_id) WHERE t.id IS NULL OR {}",
                    differ("t.", "s.")
                ),
                "ANALYZE act".into(),
                format!(
                    "WITH up AS (UPDATE specimen t SET {} FROM act s WHERE s.tid IS NOT NULL AND t.id = s.tid \
                       RETURNING t.sample_id, to_jsonb(t) AS newj, s.oldj) \
                     {AUDIT} SELECT 'specimen', 'UPDATE', up.sample_id, up.oldj, up.newj, 'batch', 'system', now() FROM up",
                    assign("s.")
                ),
                format!(
                    "WITH ins AS (INSERT INTO specimen AS t ({all}) SELECT {staged} FROM act s WHERE s.tid IS NULL \
                       RETURNING t.sample_id, to_jsonb(t) AS newj) \
                     {AUDIT} SELECT 'specimen', 'INSERT', ins.sample_id, NULL, ins.newj, 'batch', 'system', now() FROM ins"
                ),
            ],
        }
    }

    /// Does the work, from connecting to the end of the commit; returns its cost, and for P what
    /// it counted.
    pub fn run(self, run: &Run<'_>, csv: &Path) -> Result<(Cost, Vec<(String, u64)>)> {
        run.cost(|| self.work(run, csv))
    }

    fn work(self, run: &Run<'_>, csv: &Path) -> Result<Vec<(String, u64)>> {
        let mut client = run.client()?;
        let into = match self {
            Floor::C => "specimen_c",
            _ => {
                client.batch_execute(STAGE)?;
                "stage"
            }
        };
        let sql = format!(
            "COPY {into} ({}) FROM STDIN (FORMAT csv)",
            list(&FIELDS, "")
        );
        let mut out = client.copy_in(&sql)?;
        let mut file = io::BufReader::with_capacity(1 << 16, File::open(csv)?);
        io::copy(&mut file, &mut out)?;
        out.finish()?;
        let mut counted = Vec::new();
        if self != Floor::C {
            client.batch_execute("ANALYZE stage")?;
            for statement in self.statements() {
                for row in client.query(statement.as_str(), &[])? {
                    let n: i64 = row.get(1);
                    counted.push((row.get(0), n.unsigned_abs()));
                }
            }
            client.batch_execute("COMMIT")?;
        }
        Ok(counted)
    }
}
