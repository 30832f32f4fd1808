//! A plan's entries in temporary tables.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::error::{Error, ErrorKind, Result};
use crate::pg::plan::stage::copy_in;
use crate::pg::{Phase, Session, Step, Told};
use crate::plan::{Effect, Entry, Skip, What};
use crate::planfile::{Executable, Item, PlanFile};
use crate::sql::copytext::push_copy_text;
use crate::table::config::TableConfig;
use crate::table::schema::{Column, Table, keys_equal};

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
        Error::plan_refused(format!(
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
    /// Where each column of the staging table comes from.
    columns: Vec<StagedFrom>,
    lines: Vec<u8>,
    staged: Staged,
    masks: Masks,
    /// The last row's, which is often the next one's.
    mask: (char, String),
}

/// Where a staged value comes from: the entry's key, or one of the columns that the plan writes.
enum StagedFrom {
    Key(String),
    Written(usize),
}

/// COPY lines for one of the temporary tables.
enum Chunk {
    /// For the table of this number; up to which entry of the plan.
    Entries(usize, Bytes, u64),
    Queue(Bytes),
    Rejected(Bytes),
}

const CHUNK: usize = 1 << 20;

fn staged_from(planned: &Planned, column: &str) -> StagedFrom {
    let is_key = planned.config.natural_key.iter().any(|k| k == column);
    match planned.columns.iter().position(|c| c == column) {
        Some(at) if !is_key => StagedFrom::Written(at),
        _ => StagedFrom::Key(column.to_owned()),
    }
}

impl Encoder {
    fn entry(&mut self, entry: &Entry) -> Result<Option<Chunk>> {
        self.n += 1;
        let table = self.tables.get_mut(&entry.table).ok_or_else(|| {
            Error::plan_refused(format!(
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
        // Each value's place among the columns that the plan writes. Both are in one order, so that a
        // column is mostly where the one before it ended.
        let mut cells: Vec<Option<Option<&str>>> = vec![None; table.written.len()];
        let (mut unknown, mut next) = (None, 0);
        let mut set = |column, value| {
            let mut places = (next..cells.len()).chain(0..next);
            match places.find(|i| &table.written[*i] == column) {
                Some(at) => (cells[at], next) = (Some(value), at + 1),
                None => unknown = Some(column),
            }
        };
        match &entry.what {
            What::Insert { values, .. } => values.iter().for_each(|(c, v)| set(c, v.as_deref())),
            What::Update { set: new, .. } => {
                for (c, (_, v)) in new {
                    set(c, v.as_deref());
                }
                unknown = unknown.or_else(|| table.key.iter().find(|k| new.contains_key(*k)));
            }
            _ => {}
        }
        let key_is_right = entry.key.len() == table.key.len()
            && table.key.iter().all(|k| entry.key.contains_key(k));
        if let Some(column) = unknown {
            return Err(Error::plan_refused(format!(
                "the plan writes {}.{column}, which is not among the columns that it says it writes",
                entry.table
            )));
        }
        if !key_is_right {
            return Err(Error::plan_refused(format!(
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
        let bits = cells.iter();
        out.extend(bits.map(|c| if c.is_some() { b'1' } else { b'0' }));
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
            let cell = match column {
                StagedFrom::Key(key) => entry.key.get(key).and_then(Option::as_deref),
                StagedFrom::Written(at) => cells[*at].flatten(),
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
/// [`PlanRefused`](crate::ErrorKind::PlanRefused) naming the table whose definition changed.
pub async fn tables(session: &Session, plan: &PlanFile) -> Result<Vec<Planned>> {
    let mut tables = Vec::new();
    for (number, planned) in plan.header.tables.iter().enumerate() {
        let table = crate::pg::catalog::table(session, &planned.table)
            .await
            .map_err(|e| match e.kind() {
                ErrorKind::Config => e.with_kind(ErrorKind::PlanRefused).and("; make a new plan"),
                _ => e,
            })?;
        if table.fingerprint != planned.schema {
            return Err(Error::plan_refused(format!(
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
/// [`PlanRefused`](crate::ErrorKind::PlanRefused) where the plan is not consistent; [`Database`](crate::ErrorKind::Database).
pub async fn stage(
    session: &Session,
    plan: &Arc<Executable>,
    tables: &mut [Planned],
    told: Told<'_>,
) -> Result<()> {
    let doing = "staging the plan";
    let entries = plan.plan().header.summary.entries();
    told(Step::Done(Phase::Staging, 0, entries));
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
                columns: columns
                    .iter()
                    .map(|c| staged_from(planned, &c.name))
                    .collect(),
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
                told(Step::Done(
                    Phase::Staging,
                    n.min(entries.saturating_sub(1)),
                    entries,
                ));
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
        .map_err(|e| Error::local(doing).caused_by(e))??;
    for planned in tables {
        (planned.staged, planned.masks) = staged.remove(&planned.name).unwrap_or_default();
        let key: Vec<String> = planned.key().iter().map(|c| c.staged()).collect();
        let analyze = format!("ANALYZE {} (_a, {})", planned.sql_name(), key.join(", "));
        session.run(doing, &analyze).await?;
    }
    told(Step::Done(Phase::Staging, entries, entries));
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
            .map_err(|_| Error::local("staging the plan was stopped"))
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
