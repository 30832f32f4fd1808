//! All entries of a plan into its temporary tables, while it is read and verified again.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::Staged;
use super::encode::{CHUNK, Counted, Encoded, Encoder, Lines};
use crate::error::{Error, Result};
use crate::pg::{Event, OnProgress, Session, near};
use crate::plan::masking::Mask;
use crate::plan::{Effect, Entry, Fragment, Skip, TablePlan, What};
use crate::planfile::{Executable, Item, PlanFile};
use crate::sql::Statement;
use crate::sql::copytext::push_copy_text;

/// COPY lines for one of the temporary tables.
enum Chunk {
    Entries(Lines),
    Queue(Bytes),
    Rejected(Bytes),
}

const DOING: &str = "staging the plan";

/// The queue's entries of the plan's fragments, and why records of a fragment were left out.
const PREPARE: &str = "CREATE TEMPORARY TABLE loader_queue_entries (id bigint, object text, records bigint, status text, expect text); \
                       CREATE TEMPORARY TABLE loader_rejected (object text, failed bool, message text)";

/// Stages all entries of the plan. When it returns, the plan's hash has been found right again.
///
/// # Errors
/// [`PlanRefused`](crate::ErrorKind::PlanRefused) where the plan is not consistent; [`Database`](crate::ErrorKind::Database).
pub async fn stage(
    session: &Session,
    plan: &Arc<Executable>,
    tables: &mut [Staged],
    on_progress: OnProgress<'_>,
) -> Result<()> {
    let of = plan.plan().header.summary.entries();
    let told = |entries| on_progress(Event::Staging { entries, of });
    told(0);
    near::prepare(session, tables.iter().map(|staged| &staged.target)).await?;
    let mut encoder = Encoder::default();
    let mut into = Vec::new();
    for staged in &*tables {
        session.run(&staged.create()?).await?;
        into.push(staged.copy_into()?);
        encoder.add(staged, &staged.staged_columns()?);
    }
    session.run(&Statement::new(DOING, PREPARE)).await?;
    let copy = |table| Statement::new(DOING, format!("COPY pg_temp.{table} FROM STDIN"));
    let (queue, rejected) = (copy("loader_queue_entries"), copy("loader_rejected"));
    let (sender, mut chunks) = mpsc::channel::<Chunk>(4);
    let reader = tokio::task::spawn_blocking({
        let plan = Arc::clone(plan);
        move || read(plan.plan(), encoder, &sender)
    });
    while let Some(chunk) = chunks.recv().await {
        let (statement, lines) = match chunk {
            Chunk::Entries(Lines { table, lines, n }) => {
                told(n.min(of.saturating_sub(1)));
                (&into[table], lines)
            }
            Chunk::Queue(lines) => (&queue, lines),
            Chunk::Rejected(lines) => (&rejected, lines),
        };
        session.copy_in(statement, lines).await?;
    }
    let (mut encoded, fragments) = reader
        .await
        .map_err(|e| Error::local(DOING).caused_by(e))??;
    for staged in tables {
        let of_table = encoded.remove(&staged.target.name);
        let Counted { rows, sets, stays } = of_table.ok_or_else(|| {
            Error::local(format!(
                "{DOING}: nothing is known of {}",
                staged.target.name
            ))
        })?;
        (staged.rows, staged.sets, staged.stays) = (rows, sets, stays);
        staged.fragments = fragments.get(&staged.target.name).copied().unwrap_or(0);
        session.run(&staged.analyze()).await?;
    }
    told(of);
    Ok(())
}

fn read(
    plan: &PlanFile,
    mut encoder: Encoder,
    sender: &mpsc::Sender<Chunk>,
) -> Result<(Encoded, HashMap<String, u64>)> {
    let send = |chunk| {
        sender
            .blocking_send(chunk)
            .map_err(|_| Error::local("staging the plan was stopped"))
    };
    let (mut queue, mut rejected) = (Vec::new(), Vec::new());
    let mask = plan.mask();
    let undoes = plan.header.taken_back();
    let undoes: BTreeSet<String> = undoes
        .iter()
        .map(|id| format!("application {id}"))
        .collect();
    // In one order or another, the same for all.
    let mut named: Option<Vec<String>> = None;
    let mut records = 0u64;
    let mut fragments: HashMap<String, u64> = HashMap::new();
    // How many updates mark their rows, which the header must state.
    let mut marks: HashMap<&str, (&str, u64)> = HashMap::new();
    for table in &plan.header.tables {
        if let Some(column) = table.config.soft_delete.column() {
            marks.insert(&table.table, (column, 0));
        }
    }
    plan.stream(&mut |item| {
        match item {
            Item::Fragment(fragment) => {
                records = records.saturating_add(fragment.records);
                push_queue_entries(&mut queue, &fragment);
                *fragments.entry(fragment.table).or_default() += 1;
            }
            Item::Entry(entry) => {
                if !undoes.is_empty() && named.as_ref() != Some(&entry.from) {
                    let from: BTreeSet<String> = entry.from.iter().cloned().collect();
                    if named.is_some() || from != undoes || from.len() != entry.from.len() {
                        return Err(disagrees("list of applications that it takes back"));
                    }
                    named = Some(entry.from.clone());
                }
                if let Some((column, n)) = marks.get_mut(entry.table.as_str()) {
                    *n += u64::from(entry.what.marks().any(|c| c == column));
                }
                push_rejected(&mut rejected, &entry, &mask);
                if let Some(lines) = encoder.entry(&entry)? {
                    send(Chunk::Entries(lines))?;
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
    if records != plan.header.records {
        return Err(disagrees("number of records"));
    }
    let states = |t: &TablePlan| t.marks == marks.get(t.table.as_str()).map_or(0, |(_, n)| *n);
    if !plan.header.tables.iter().all(states) {
        return Err(disagrees("number of rows that updates mark as deleted"));
    }
    for lines in encoder.rest() {
        send(Chunk::Entries(lines))?;
    }
    if !queue.is_empty() {
        send(Chunk::Queue(queue.into()))?;
    }
    if !rejected.is_empty() {
        send(Chunk::Rejected(rejected.into()))?;
    }
    Ok((encoder.end(), fragments))
}

fn disagrees(what: &str) -> Error {
    Error::plan_refused(format!(
        "the plan's header states another {what} than its lines; it was not made by the loader; make a new plan"
    ))
}

fn push_queue_entries(out: &mut Vec<u8>, fragment: &Fragment) {
    for seen in &fragment.queue {
        out.extend_from_slice(format!("{}\t", seen.id).as_bytes());
        push_copy_text(out, Some(&fragment.key));
        out.extend_from_slice(format!("\t{}\t", fragment.records).as_bytes());
        push_copy_text(out, Some(&seen.status));
        out.push(b'\t');
        push_copy_text(out, Some(&seen.expect.0));
        out.push(b'\n');
    }
}

/// Why the entry's record was left out, where it was, for each object that it came from, and whether for
/// what is wrong about it.
fn push_rejected(out: &mut Vec<u8>, entry: &Entry, mask: &Mask) {
    let failed = match &entry.what {
        What::Violation(v) if v.effect == Effect::Reject => true,
        What::Skip(Skip::LeftOut(_)) => false,
        _ => return,
    };
    // The queue's message is for everybody.
    let mut masked = entry.clone();
    mask.entry(&mut masked);
    for from in &entry.from {
        let object = from.rsplit_once('#').map_or(from.as_str(), |(o, _)| o);
        push_copy_text(out, Some(object));
        out.extend_from_slice(if failed { b"\tt\t" } else { b"\tf\t" });
        let message = match &masked.what {
            What::Violation(v) => {
                let field = v.field.as_deref();
                let field = field.map_or_else(String::new, |f| format!(" {f}:"));
                format!("{}:{field} {} ({from})", v.kind.word(), v.why())
            }
            What::Skip(skip) => format!("{} ({from})", skip.why()),
            _ => continue,
        };
        push_copy_text(out, Some(&message));
        out.push(b'\n');
    }
}
