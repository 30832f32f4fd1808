//! A plan's entries in temporary tables, and what of the database no longer agrees with them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::stage::copy_in;
use super::{Phase, Session, Told};
use crate::config::TableConfig;
use crate::copytext::push_copy_text;
use crate::error::{Error, Result};
use crate::ident::{Ident, Literal, Qualified};
use crate::plan::{
    DriftColumn, DriftReport, DriftRow, DriftState, Effect, Entry, Skip, Values, What,
};
use crate::planfile::{Executable, Item, PlanFile};
use crate::schema::{Column, Table, keys_equal};

/// One table of a plan, staged.
pub struct Planned {
    /// Its name as configured.
    pub name: String,
    /// As found in the database.
    pub table: Table,
    /// Its configuration, from the plan.
    pub config: TableConfig,
    /// The columns that changes write, in the order of the mask.
    pub columns: Vec<String>,
    /// Columns that its triggers may set again.
    pub triggered: Vec<String>,
    /// How many rows of each action were staged.
    pub staged: Staged,
    /// Each action with each set of columns that some row of it writes, as a mask.
    masks: Masks,
    number: usize,
}

/// Actions, each with a mask of the columns that some of its rows write.
type Masks = BTreeSet<(char, String)>;

/// Rows staged, by what is expected of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Staged {
    /// Rows to insert.
    pub insert: u64,
    /// Rows to update.
    pub update: u64,
    /// Rows to delete.
    pub delete: u64,
    /// Skipped records whose row must be as it was, there, or absent.
    pub skip: u64,
}

impl Planned {
    /// The staged entries as SQL: `_n` is the entry's number in the plan, `_a` what is to be done
    /// (`i`, `u`, `d`, or what must still be so: `s` as it was, `p` present, `m` missing).
    pub fn sql_name(&self) -> String {
        format!("pg_temp.loader_planned_{}", self.number)
    }

    /// The different sets of columns of one action, in order.
    pub fn masks(&self, action: char) -> impl Iterator<Item = &String> {
        let of_action = self.masks.iter().filter(move |(a, _)| *a == action);
        of_action.map(|(_, mask)| mask)
    }

    /// The name of a further temporary table of this one.
    pub fn temporary(&self, what: &str) -> String {
        format!("loader_{what}_{}", self.number)
    }

    /// The natural key's columns.
    pub fn key(&self) -> Vec<&Column> {
        let key = self.table.key(&self.config.natural_key);
        key.into_iter().map(|(c, _)| c).collect()
    }

    /// The condition that a staged row `s` and a row `t` of the table have one key.
    pub fn keys_equal(&self) -> String {
        keys_equal(&self.table.key(&self.config.natural_key), "s", "t")
    }

    /// The digest of row `t`.
    pub fn digest(&self) -> String {
        self.table.digest("t", &self.config.ignore_drift)
    }

    /// The columns that changes write.
    pub fn written(&self) -> Result<Vec<&Column>> {
        self.columns
            .iter()
            .map(|name| column(&self.table, &self.name, name))
            .collect()
    }

    /// The staging table's name of a column, where the plan gives its value.
    pub fn staged_column(&self, name: &str) -> Option<String> {
        let is_staged = self.columns.iter().any(|c| c == name)
            || self.config.natural_key.iter().any(|c| c == name);
        let column = self.table.column(name).filter(|_| is_staged);
        column.map(Column::staged)
    }

    fn staged_columns(&self) -> Result<Vec<&Column>> {
        let mut columns = self.key();
        for c in self.written()? {
            if !columns.contains(&c) {
                columns.push(c);
            }
        }
        Ok(columns)
    }

    /// Makes the temporary table.
    async fn create(&self, session: &Session) -> Result<()> {
        let columns: Vec<String> = self
            .staged_columns()?
            .iter()
            .map(|c| {
                let collate = c.collation.as_ref().map(|c| format!(" COLLATE {c}"));
                format!(
                    "{} {}{}",
                    c.staged(),
                    c.base_type_sql,
                    collate.unwrap_or_default()
                )
            })
            .collect();
        let sql = format!(
            "CREATE TEMPORARY TABLE loader_planned_{} (_n bigint, _a \"char\", _expect text, _mask text, \
             _soft bool, _from text, {})",
            self.number,
            columns.join(", ")
        );
        session
            .run(&format!("staging the plan for table {}", self.name), &sql)
            .await
    }
}

fn column<'t>(table: &'t Table, name: &str, column: &str) -> Result<&'t Column> {
    table.column(column).ok_or_else(|| {
        Error::PlanRefused(format!(
            "the plan writes {name}.{column}, which is not a column of the table; make a new plan"
        ))
    })
}

/// Appends entries as COPY lines; owned, so that it can work on a thread of its own.
struct Encoder {
    tables: HashMap<String, TableEncoder>,
    n: u64,
}

struct TableEncoder {
    number: usize,
    key: Vec<String>,
    written: Vec<String>,
    /// Columns of the staging table, and where each comes from.
    columns: Vec<String>,
    lines: Vec<u8>,
    staged: Staged,
    masks: Masks,
    /// The last row's, which is often the next one's.
    mask: (char, String),
}

/// COPY lines for one of the temporary tables.
enum Chunk {
    /// For the table of this number; up to which entry of the plan.
    Entries(usize, Bytes, u64),
    Queue(Bytes),
    Rejected(Bytes),
}

const CHUNK: usize = 1 << 20;

impl Encoder {
    fn entry(&mut self, entry: &Entry) -> Result<Option<Chunk>> {
        self.n += 1;
        let table = self.tables.get_mut(&entry.table).ok_or_else(|| {
            Error::PlanRefused(format!(
                "the plan has an entry for {}, which is not among its tables",
                entry.table
            ))
        })?;
        let (action, expect, soft) = match &entry.what {
            What::Insert { .. } => ('i', None, false),
            What::Update { expect, .. } => ('u', Some(expect), false),
            What::Delete { expect, soft, .. } => ('d', Some(expect), *soft),
            What::Skip(Skip::Unchanged(expect)) => ('s', Some(expect), false),
            What::Skip(Skip::Exists | Skip::Conflict) => ('p', None, false),
            What::Skip(Skip::Missing) => ('m', None, false),
            What::Skip(Skip::Duplicate | Skip::Superseded) | What::Violation(_) => return Ok(None),
        };
        let value = |column: &str| -> Option<Option<&str>> {
            match &entry.what {
                What::Insert { values, .. } => values.get(column).map(Option::as_deref),
                What::Update { set, .. } => set.get(column).map(|(_, new)| new.as_deref()),
                _ => None,
            }
        };
        let unknown = match &entry.what {
            What::Insert { values, .. } => values.keys().find(|c| !table.written.contains(c)),
            What::Update { set, .. } => set
                .keys()
                .find(|c| !table.written.contains(c) || table.key.contains(c)),
            _ => None,
        };
        let key_is_right = entry.key.len() == table.key.len()
            && table.key.iter().all(|k| entry.key.contains_key(k));
        if let Some(column) = unknown {
            return Err(Error::PlanRefused(format!(
                "the plan writes {}.{column}, which is not among the columns that it says it writes",
                entry.table
            )));
        }
        if !key_is_right {
            return Err(Error::PlanRefused(format!(
                "the plan names a row of {} by {:?}, and its natural key is {:?}",
                entry.table,
                entry.key.keys().collect::<Vec<_>>(),
                table.key
            )));
        }
        match action {
            'i' => table.staged.insert += 1,
            'u' => table.staged.update += 1,
            'd' => table.staged.delete += 1,
            _ => table.staged.skip += 1,
        }
        let out = &mut table.lines;
        out.extend_from_slice(format!("{}\t{action}\t", self.n).as_bytes());
        push_copy_text(out, expect.map(|e| e.0.as_str()));
        out.push(b'\t');
        let begin = out.len();
        out.extend(
            table
                .written
                .iter()
                .map(|c| if value(c).is_some() { b'1' } else { b'0' }),
        );
        if table.mask.0 != action || table.mask.1.as_bytes() != &out[begin..] {
            let mask = String::from_utf8_lossy(&out[begin..]).into_owned();
            table.mask = (action, mask);
            if !table.masks.contains(&table.mask) {
                table.masks.insert(table.mask.clone());
            }
        }
        out.extend_from_slice(if soft { b"\tt\t" } else { b"\tf\t" });
        push_copy_text(out, Some(&entry.from.join(" ")));
        for column in &table.columns {
            out.push(b'\t');
            let cell = match entry.key.get(column) {
                Some(key) => key.as_deref(),
                None => value(column).flatten(),
            };
            push_copy_text(out, cell);
        }
        out.push(b'\n');
        let full = out.len() >= CHUNK;
        Ok(full.then(|| Chunk::Entries(table.number, std::mem::take(out).into(), self.n)))
    }
}

/// The plan's tables as they are now, their schemas compared with those it was made for.
///
/// # Errors
/// [`Error::PlanRefused`] naming the table whose definition changed.
pub async fn tables(session: &Session, plan: &PlanFile) -> Result<Vec<Planned>> {
    let mut tables = Vec::new();
    for (number, planned) in plan.header.tables.iter().enumerate() {
        let table = super::introspect::table(session, &planned.table)
            .await
            .map_err(|e| match e {
                Error::Config(message) => Error::PlanRefused(format!("{message}; make a new plan")),
                other => other,
            })?;
        if table.fingerprint != planned.schema {
            return Err(Error::PlanRefused(format!(
                "the definition of table {} (columns, constraints, triggers) changed after the plan was made; \
                 make a new plan",
                planned.table
            )));
        }
        tables.push(Planned {
            name: planned.table.clone(),
            table,
            config: planned.config.clone(),
            columns: planned.columns.clone(),
            triggered: planned.triggered.clone(),
            staged: Staged::default(),
            masks: Masks::new(),
            number,
        });
    }
    Ok(tables)
}

/// Stages all entries of the plan. When it returns, the plan's hash has been found right again.
///
/// # Errors
/// [`Error::PlanRefused`] where the plan is not consistent; [`Error::Database`].
pub async fn stage(
    session: &Session,
    plan: &Arc<Executable>,
    tables: &mut [Planned],
    told: Told<'_>,
) -> Result<()> {
    let doing = "staging the plan";
    let entries = plan.plan().header.summary.entries();
    told(Phase::Staging, 0, entries);
    let mut encoder = Encoder {
        tables: HashMap::new(),
        n: 0,
    };
    let mut into = Vec::new();
    for planned in &*tables {
        planned.create(session).await?;
        let columns = planned.staged_columns()?;
        let list: Vec<String> = columns.iter().map(|c| c.staged()).collect();
        into.push(format!(
            "COPY {} (_n, _a, _expect, _mask, _soft, _from, {}) FROM STDIN",
            planned.sql_name(),
            list.join(", ")
        ));
        encoder.tables.insert(
            planned.name.clone(),
            TableEncoder {
                number: planned.number,
                key: planned.config.natural_key.clone(),
                written: planned.columns.clone(),
                columns: columns.iter().map(|c| c.name.clone()).collect(),
                lines: Vec::new(),
                staged: Staged::default(),
                masks: Masks::new(),
                mask: (' ', String::new()),
            },
        );
    }
    session
        .run(
            doing,
            "CREATE TEMPORARY TABLE loader_queue_entries (id bigint, object text); \
             CREATE TEMPORARY TABLE loader_rejected (object text, message text)",
        )
        .await?;
    let (sender, mut chunks) = mpsc::channel::<Chunk>(4);
    let reader = tokio::task::spawn_blocking({
        let plan = Arc::clone(plan);
        move || read(plan.plan(), encoder, &sender)
    });
    while let Some(chunk) = chunks.recv().await {
        let (sql, lines) = match chunk {
            Chunk::Entries(number, lines, n) => {
                told(Phase::Staging, n.min(entries.saturating_sub(1)), entries);
                (into[number].as_str(), lines)
            }
            Chunk::Queue(lines) => ("COPY pg_temp.loader_queue_entries FROM STDIN", lines),
            Chunk::Rejected(lines) => ("COPY pg_temp.loader_rejected FROM STDIN", lines),
        };
        copy_in(session, sql, lines)
            .await
            .map_err(|e| session.failed(doing, &e))?;
    }
    let mut staged = reader
        .await
        .map_err(|e| Error::Io(format!("{doing}: {e}")))??;
    for planned in tables {
        (planned.staged, planned.masks) = staged.remove(&planned.name).unwrap_or_default();
        let key: Vec<String> = planned.key().iter().map(|c| c.staged()).collect();
        let analyze = format!("ANALYZE {} (_a, {})", planned.sql_name(), key.join(", "));
        session.run(doing, &analyze).await?;
    }
    told(Phase::Staging, entries, entries);
    Ok(())
}

fn read(
    plan: &PlanFile,
    mut encoder: Encoder,
    sender: &mpsc::Sender<Chunk>,
) -> Result<BTreeMap<String, (Staged, Masks)>> {
    let send = |chunk| {
        sender
            .blocking_send(chunk)
            .map_err(|_| Error::Io("staging the plan was stopped".into()))
    };
    let (mut queue, mut rejected) = (Vec::new(), Vec::new());
    let mask = plan.mask();
    plan.stream(&mut |item| {
        match item {
            Item::Fragment(fragment) => {
                for id in &fragment.queue {
                    queue.extend_from_slice(format!("{id}\t").as_bytes());
                    push_copy_text(&mut queue, Some(&fragment.key));
                    queue.push(b'\n');
                }
            }
            Item::Entry(entry) => {
                if let What::Violation(v) = &entry.what
                    && v.effect == Effect::Reject
                {
                    // The queue's message is for everybody.
                    let mut masked = entry.clone();
                    mask.entry(&mut masked);
                    let What::Violation(v) = &masked.what else {
                        return Ok(());
                    };
                    for from in &entry.from {
                        let object = from.rsplit_once('#').map_or(from.as_str(), |(o, _)| o);
                        push_copy_text(&mut rejected, Some(object));
                        rejected.push(b'\t');
                        let field = v
                            .field
                            .as_deref()
                            .map(|f| format!(" {f}:"))
                            .unwrap_or_default();
                        let message = format!("{}:{field} {} ({from})", v.kind.word(), v.message);
                        push_copy_text(&mut rejected, Some(&message));
                        rejected.push(b'\n');
                    }
                }
                if let Some(chunk) = encoder.entry(&entry)? {
                    send(chunk)?;
                }
            }
        }
        if queue.len() >= CHUNK {
            send(Chunk::Queue(std::mem::take(&mut queue).into()))?;
        }
        if rejected.len() >= CHUNK {
            send(Chunk::Rejected(std::mem::take(&mut rejected).into()))?;
        }
        Ok(())
    })?;
    for table in encoder.tables.values_mut() {
        if !table.lines.is_empty() {
            send(Chunk::Entries(
                table.number,
                std::mem::take(&mut table.lines).into(),
                encoder.n,
            ))?;
        }
    }
    if !queue.is_empty() {
        send(Chunk::Queue(queue.into()))?;
    }
    if !rejected.is_empty() {
        send(Chunk::Rejected(rejected.into()))?;
    }
    Ok(encoder
        .tables
        .into_iter()
        .map(|(name, t)| (name, (t.staged, t.masks)))
        .collect())
}

impl Planned {
    /// The SQL of all staged rows of which the database is not as planned, with the state.
    ///
    /// Where deletes only mark rows, a key may find marked rows beside the live one; the planned
    /// row is the one with the expected digest, and no other live row may stand beside it.
    fn drift_sql(&self, select: &str, actions: &str) -> String {
        let (stage, table, equal, digest) = (
            self.sql_name(),
            &self.table.name,
            self.keys_equal(),
            self.digest(),
        );
        match self.config.soft_delete.column() {
            None => format!(
                "SELECT {select} FROM (SELECT s.*, t.tableoid AS _row, \
                   CASE WHEN t.tableoid IS NULL THEN CASE WHEN s._a NOT IN ('i', 'm') THEN 'vanished' END \
                     WHEN s._a IN ('i', 'm') THEN 'appeared' \
                     WHEN s._a <> 'p' AND {digest} <> s._expect THEN 'changed' END AS _state \
                 FROM {stage} s LEFT JOIN {table} t ON {equal} WHERE s._a IN ({actions})) s \
                 WHERE s._state IS NOT NULL"
            ),
            Some(mark) => format!(
                "SELECT {select} FROM (SELECT s.*, CASE \
                   WHEN f.found = 0 THEN CASE WHEN s._a NOT IN ('i', 'm') THEN 'vanished' END \
                   WHEN s._a IN ('i', 'm') THEN 'appeared' \
                   WHEN s._a <> 'p' AND (f.same <> 1 OR f.live_others > 0) THEN 'changed' END AS _state \
                 FROM {stage} s, LATERAL (SELECT pg_catalog.count(*) AS found, \
                   pg_catalog.count(*) FILTER (WHERE {digest} = s._expect) AS same, \
                   pg_catalog.count(*) FILTER (WHERE {digest} <> s._expect AND t.{mark} IS NULL) AS live_others \
                   FROM {table} t WHERE {equal}) f WHERE s._a IN ({actions})) s \
                 WHERE s._state IS NOT NULL",
                mark = Ident(mark)
            ),
        }
    }

    /// How many staged rows with one of `actions` (SQL list) are not as planned.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn count_drift(&self, session: &Session, actions: &str) -> Result<i64> {
        let doing = format!("comparing table {} with the plan", self.name);
        let sql = self.drift_sql("pg_catalog.count(*)", actions);
        session.number(&doing, &sql).await
    }
}

/// At most this many drifted rows are named; the rest is counted.
const NAMED: usize = 10_000;

/// Every staged row that is not as planned, or `None` where all are.
///
/// # Errors
/// [`Error::Database`], [`Error::PlanRefused`].
pub async fn drift(
    session: &Session,
    plan: &Arc<Executable>,
    tables: &[Planned],
) -> Result<Option<DriftReport>> {
    let mut found: BTreeMap<u64, DriftRow> = BTreeMap::new();
    for planned in tables {
        let doing = format!("finding out what changed in table {}", planned.name);
        let sql = planned.drift_sql("s._n, s._state, s._a", "'i', 'u', 'd', 's', 'p', 'm'");
        let sql = format!("{sql} ORDER BY s._n LIMIT {NAMED}");
        for row in session.texts(&doing, &sql).await? {
            let text = |i: usize| row[i].as_deref().unwrap_or_default();
            let state = match text(1) {
                "vanished" => DriftState::Vanished,
                "appeared" => DriftState::Appeared,
                _ => DriftState::Changed,
            };
            let action = match text(2) {
                "i" => "insert",
                "u" => "update",
                "d" => "delete",
                _ => "skip",
            };
            let n = text(0).parse().unwrap_or_default();
            found.insert(
                n,
                DriftRow {
                    table: planned.name.clone(),
                    key: Values::new(),
                    state,
                    action: action.into(),
                    columns: Vec::new(),
                    by: None,
                },
            );
        }
    }
    if found.is_empty() {
        return Ok(None);
    }
    recall(plan, &mut found)?;
    for (n, row) in &mut found {
        if let Some(planned) = tables.iter().find(|p| p.name == row.table) {
            look_up(
                session,
                &plan.plan().header.target.loader_schema,
                planned,
                *n,
                row,
            )
            .await?;
        }
    }
    let mut report = DriftReport {
        rows: found.into_values().collect(),
    };
    plan.plan().mask().drift(&mut report);
    Ok(Some(report))
}

/// Fills in keys and planned values from the plan file.
fn recall(plan: &Arc<Executable>, found: &mut BTreeMap<u64, DriftRow>) -> Result<()> {
    let mut n = 0;
    plan.plan().stream(&mut |item| {
        let Item::Entry(entry) = item else {
            return Ok(());
        };
        n += 1;
        let Some(row) = found.get_mut(&n) else {
            return Ok(());
        };
        let mut planned = |column: String, from, to| {
            row.columns.push(DriftColumn {
                column,
                planned_from: from,
                now: None,
                planned_to: to,
            });
        };
        match entry.what {
            What::Insert { values, .. } => {
                values
                    .into_iter()
                    .for_each(|(c, v)| planned(c, None, Some(v)));
            }
            What::Update { set, .. } => {
                set.into_iter()
                    .for_each(|(c, (old, new))| planned(c, Some(old), Some(new)));
            }
            What::Delete { values, .. } => {
                values
                    .into_iter()
                    .for_each(|(c, v)| planned(c, Some(v), None));
            }
            What::Skip(_) | What::Violation(_) => {}
        }
        row.key = entry.key;
        Ok(())
    })
}

/// Fills in what is there now, and who changed it. Columns that are as the plan saw them are left out.
async fn look_up(
    session: &Session,
    loader_schema: &str,
    planned: &Planned,
    n: u64,
    row: &mut DriftRow,
) -> Result<()> {
    let doing = format!("finding out what changed in table {}", planned.name);
    let key = planned.key();
    let record_id = record_id(&key, "t");
    let columns: Vec<&Column> = row
        .columns
        .iter()
        .filter_map(|c| planned.table.column(&c.column))
        .collect();
    let mut select = vec![record_id];
    select.extend(columns.iter().map(|c| c.text("t")));
    let order = match planned.config.soft_delete.column() {
        Some(mark) => format!("t.{} IS NULL DESC", Ident(mark)),
        None => "1".into(),
    };
    let sql = format!(
        "SELECT {} FROM {} s JOIN {} t ON {} WHERE s._n = {n} ORDER BY {order} LIMIT 1",
        select.join(", "),
        planned.sql_name(),
        planned.table.name,
        planned.keys_equal()
    );
    let now = session.texts(&doing, &sql).await?.into_iter().next();
    let staged_id = match &now {
        Some(values) => values[0].clone(),
        None => {
            let values: Vec<&str> = planned
                .config
                .natural_key
                .iter()
                .filter_map(|k| row.key.get(k)?.as_deref())
                .collect();
            Some(match values.as_slice() {
                [one] => (*one).to_owned(),
                several => serde_json::to_string(several).unwrap_or_default(),
            })
        }
    };
    match now {
        Some(values) => {
            for (column, value) in row.columns.iter_mut().zip(values.into_iter().skip(1)) {
                column.now = value;
            }
            row.columns
                .retain(|c| c.planned_from.as_ref() != Some(&c.now));
            if row.state == DriftState::Appeared {
                row.columns
                    .retain(|c| c.planned_to.as_ref() != Some(&c.now));
            }
        }
        None => row.columns.clear(),
    }
    // Only who brought the row to its present state is to be named, not who changed it before.
    let same = match row.state {
        DriftState::Vanished => "a.operation = 'DELETE'".to_owned(),
        DriftState::Changed | DriftState::Appeared => format!(
            "a.new_values = (SELECT {} FROM {} s JOIN {} t ON {} WHERE s._n = {n} ORDER BY {order} LIMIT 1)",
            planned.table.image("t"),
            planned.sql_name(),
            planned.table.name,
            planned.keys_equal()
        ),
    };
    let sql = format!(
        "SELECT coalesce(a.changed_by, '?') || ' at ' || coalesce(a.changed_at::text, '?') || \
         coalesce(' (batch ' || a.batch_id || ')', '') FROM (SELECT * FROM {}.audit_log \
         WHERE table_name = {} AND record_id = {} ORDER BY id DESC LIMIT 1) a WHERE {same}",
        Ident(loader_schema),
        Literal(&planned.name),
        Literal(&staged_id.unwrap_or_default()),
    );
    // The planning role may not read the audit log; then nobody is named.
    if readable(session, loader_schema, "audit_log").await? {
        row.by = session
            .texts(&doing, &sql)
            .await?
            .into_iter()
            .flatten()
            .next()
            .flatten();
    }
    Ok(())
}

async fn readable(session: &Session, schema: &str, table: &str) -> Result<bool> {
    let name = Qualified {
        schema: schema.into(),
        name: table.into(),
    };
    let sql = format!(
        "SELECT pg_catalog.has_table_privilege({}, 'SELECT')::int4::int8",
        Literal(&name.to_string())
    );
    Ok(session.number("asking for privileges", &sql).await? == 1)
}

/// A row's natural key as one text: its value, or a JSON array of several.
pub fn record_id(key: &[&Column], alias: &str) -> String {
    let texts: Vec<String> = key.iter().map(|c| c.text(alias)).collect();
    match texts.as_slice() {
        [one] => one.clone(),
        several => format!(
            "pg_catalog.array_to_json(ARRAY[{}]::pg_catalog.text[])::pg_catalog.text",
            several.join(", ")
        ),
    }
}
