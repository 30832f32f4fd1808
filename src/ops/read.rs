//! Fragments into staging: fetched concurrently, parsed on a thread, copied as they come.

mod far;

use std::cell::Cell;
use std::io::BufReader;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc::{self, UnboundedSender};

use super::{Event, OnProgress};
use crate::error::{Error, Remedy, Result};
use crate::pg::Session;
use crate::pg::plan::stage::{self, Stage};
use crate::plan::Fragment;
use crate::plan::ignored::Ignored;
use crate::plan::incoming::{Incoming, Seen, Unreadable};
use crate::plan::words::Words;
use crate::record::{
    Bound, Columns, Delivery, Format, Most, ReadError, Record, Summary, TooLarge, read_records,
    read_records_slice,
};
use crate::source::{Body, Fetched, SourceError};
use crate::table::target::Target;
use crate::text::hex;
use far::{Counted, Far};

/// One object to be read.
pub struct Object {
    /// The table it is for, by number.
    pub table: usize,
    /// How its bytes are written.
    pub format: Format,
    /// Whether its records name rows that are to be deleted.
    pub deletes: bool,
    /// Its key below the root.
    pub key: String,
    /// Its bytes, as they were listed.
    pub size: u64,
}

/// What reading came to.
pub struct Read {
    /// The objects, in order.
    pub fragments: Vec<Fragment>,
    /// Each object's own fragment id, where it has one.
    pub fragment_ids: Vec<Option<String>>,
    /// Records in all.
    pub records: u64,
    /// Words that some columns refused and others stored, one a table.
    pub words: Vec<Words>,
    /// Fields that are no columns and are not loaded, one a table.
    pub ignored: Vec<Ignored>,
    /// Objects whose text could be UTF-8 as well as what its table's is, by number.
    pub seem_utf8: Vec<usize>,
    /// Extraction times that cannot be read, one a table.
    pub unreadable: Vec<Option<Unreadable>>,
}

/// What becomes of one table's staging.
enum Chunk {
    /// COPY lines.
    Lines {
        table: usize,
        rows: u64,
        lines: Bytes,
    },
    /// When records of all tables were extracted.
    Extracted(Bytes),
}

const CHUNK: usize = 1 << 20;
/// How many records.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// In the batch.
    pub records: u64,
    /// In one COPY.
    pub at_once: u64,
    /// How large records may be.
    pub most: Most,
}

/// Reads all objects of a batch into `stages`.
///
/// # Errors
/// [`Source`](crate::ErrorKind::Source) naming every object that cannot be read; [`Blocked`](crate::ErrorKind::Blocked) above
/// the limit of records; [`Database`](crate::ErrorKind::Database).
pub async fn read_batch(
    session: &Session,
    batch_id: &str,
    objects: Vec<Object>,
    fetched: impl Stream<Item = std::result::Result<Fetched, SourceError>>,
    stages: &mut [Stage<'_>],
    limits: Bounds,
    events: OnProgress<'_>,
) -> Result<Read> {
    let mut fetched = std::pin::pin!(fetched);
    let (to_parser, objects_in) = mpsc::channel::<Fetched>(2);
    let (to_copier, chunks) = mpsc::channel::<Chunk>(2);
    let (tell, mut told) = mpsc::unbounded_channel::<Event>();
    let targets: Vec<Target> = stages.iter().map(|s| s.target.clone()).collect();
    let parser = tokio::task::spawn_blocking({
        let batch_id = batch_id.to_owned();
        move || Parser::new(&batch_id, &targets, limits, tell).run(&objects, objects_in, to_copier)
    });
    let fetch = async move {
        while let Some(object) = fetched.next().await {
            let object = object?;
            if to_parser.send(object).await.is_err() {
                break; // the parser stopped, and says why
            }
        }
        Ok(())
    };
    // Once it fails, nobody takes chunks, and the parser stops.
    let copy = async {
        let mut chunks = chunks;
        while let Some(chunk) = chunks.recv().await {
            match chunk {
                Chunk::Lines { table, rows, lines } => {
                    stages[table].copy(session, lines, rows).await?;
                }
                Chunk::Extracted(lines) => stage::extracted(session, lines).await?,
            }
        }
        Ok(())
    };
    let tell = async {
        while let Some(event) = told.recv().await {
            events(event);
        }
    };
    let both: (Result<()>, Result<()>, ()) = tokio::join!(fetch, copy, tell);
    let read = parser
        .await
        .unwrap_or_else(|e| Err(Error::local("reading the fragments").caused_by(e)));
    // A failed fetch or copy ends the parser early: its own complaint is only the consequence.
    both.0.and(both.1)?;
    let (mut read, seen) = read?;
    for (stage, seen) in stages.iter_mut().zip(seen) {
        stage.used = seen.used;
        stage.surely_distinct = seen.surely_distinct;
        stage.extracted = seen.extraction.known;
        stage.deletes = seen.deletes;
        stage.brings = seen.brings;
        stage.again = seen.again;
        stage.twice = seen.twice;
        read.words.push(seen.words);
        read.unreadable.push(seen.extraction.unreadable);
        read.ignored.push(seen.ignored);
    }
    Ok(read)
}

/// The error for a record count above the limit.
fn too_many(records: u64, most: u64) -> Error {
    Error::blocked(format!(
        "the batch has more than {most} records ({records} were read before it stopped)"
    ))
    .with_remedy(Remedy::MoreRecords)
}

fn stopped() -> Error {
    Error::local("staging the records was stopped")
}

struct Parser<'p> {
    batch_id: &'p str,
    tables: &'p [Target],
    incoming: Vec<Incoming<'p>>,
    buffers: Vec<(Vec<u8>, u64)>,
    /// When records of envelopes of many were extracted, as COPY lines.
    moments: Vec<u8>,
    limits: Bounds,
    events: UnboundedSender<Event>,
    records: u64,
    far: Far,
}

/// Why a record was not taken: the batch is too large, or nobody takes lines any more.
enum Stop {
    TooMany,
    Closed,
}

impl<'p> Parser<'p> {
    fn new(
        batch_id: &'p str,
        tables: &'p [Target],
        limits: Bounds,
        events: UnboundedSender<Event>,
    ) -> Parser<'p> {
        Parser {
            batch_id,
            tables,
            incoming: tables.iter().map(Incoming::new).collect(),
            buffers: tables.iter().map(|_| (Vec::new(), 0)).collect(),
            moments: Vec::new(),
            limits,
            events,
            records: 0,
            far: Far::default(),
        }
    }

    fn run(
        mut self,
        objects: &[Object],
        mut fetched: mpsc::Receiver<Fetched>,
        chunks: mpsc::Sender<Chunk>,
    ) -> Result<(Read, Vec<Seen>)> {
        let mut read = Read {
            fragments: Vec::with_capacity(objects.len()),
            fragment_ids: Vec::with_capacity(objects.len()),
            records: 0,
            words: Vec::new(),
            unreadable: Vec::new(),
            ignored: Vec::new(),
            seem_utf8: Vec::new(),
        };
        let mut unreadable = Vec::new();
        self.far.of = objects.len() as u64;
        self.far.of_bytes = objects.iter().map(|o| o.size).sum();
        for (number, object) in objects.iter().enumerate() {
            let Some(body) = fetched.blocking_recv() else {
                return Err(Error::local("reading the fragments was stopped"));
            };
            let name = &self.tables[object.table].name;
            let before = self.records;
            let summary = match self.object(number, object, body.body, &chunks) {
                Ok(summary) => summary,
                Err(ReadError::Sink(Stop::TooMany)) => {
                    return Err(too_many(self.records, self.limits.records));
                }
                Err(ReadError::Sink(Stop::Closed)) => return Err(stopped()),
                Err(ReadError::Malformed(m)) => {
                    unreadable.push(format!("{}: {m}", object.key));
                    continue;
                }
                Err(ReadError::Read(e)) if TooLarge::of(&e).is_some() => {
                    let remedy = match TooLarge::of(&e).map(|t| t.bound) {
                        Some(Bound::Unpacked) => Remedy::LargerUnpacked,
                        _ => Remedy::LargerValue,
                    };
                    let at = self.records - before + 1;
                    return Err(Error::unreadable(format!(
                        "{}: record {at} or what follows it is {e}",
                        object.key
                    ))
                    .with_remedy(remedy));
                }
                Err(ReadError::Read(e)) => {
                    unreadable.push(format!("{}: {e}", object.key));
                    continue;
                }
            };
            if self
                .extracted(object.table, number, before, &summary, &chunks)
                .is_err()
            {
                return Err(stopped());
            }
            let op = object.deletes.then_some("delete");
            if let Some(d) = summary.disagreement(name, self.batch_id, op) {
                unreadable.push(format!("{}: {d}", object.key));
            }
            if summary.seems_utf8 {
                read.seem_utf8.push(read.fragments.len());
            }
            read.fragments.push(Fragment {
                key: object.key.clone(),
                table: name.clone(),
                etag: body.object.etag,
                sha256: hex(&body.sha256),
                records: summary.records,
                queue: Vec::new(),
            });
            read.fragment_ids.push(summary.provenance.fragment_id);
            self.far.objects += 1;
            self.far.bytes += object.size;
            self.tell(self.far.event(self.records, 0));
        }
        if !unreadable.is_empty() {
            let shown = unreadable.len().min(50);
            let more = match unreadable.len() - shown {
                0 => String::new(),
                n => format!("\n  and {n} more"),
            };
            return Err(Error::unreadable(format!(
                "{} of {} objects of batch {} cannot be read; mend tables.yaml where it says so, else have them delivered again:\n  {}{more}",
                unreadable.len(),
                objects.len(),
                self.batch_id,
                unreadable[..shown].join("\n  ")
            )));
        }
        for table in 0..self.buffers.len() {
            if self.flush(table, &chunks).is_err() {
                return Err(stopped());
            }
        }
        if self.send_moments(&chunks).is_err() {
            return Err(stopped());
        }
        read.records = self.records;
        let seen = self.incoming.into_iter().map(Incoming::seen);
        Ok((read, seen.collect()))
    }

    fn object(
        &mut self,
        number: usize,
        object: &Object,
        body: Body,
        chunks: &mpsc::Sender<Chunk>,
    ) -> std::result::Result<Summary, ReadError<Stop>> {
        let Target { table, config, .. } = &self.tables[object.table];
        let columns: Vec<&str> = config.known_fields(table).collect();
        let delivery = Delivery::of(config, object.format, Columns(&columns), self.limits.most);
        let (far, whole, read) = (self.far, body.len(), Cell::new(0));
        let mut sink = |mut record: Record<'_>| {
            record.deletes |= object.deletes;
            self.records += 1;
            if let Some(event) = far.within(self.records, object.size, (read.get(), whole)) {
                self.tell(event);
            }
            if self.records > self.limits.records {
                return Err(Stop::TooMany);
            }
            let (lines, rows) = &mut self.buffers[object.table];
            self.incoming[object.table].push(lines, self.records, number, &record);
            *rows += 1;
            if lines.len() >= CHUNK || *rows >= self.limits.at_once {
                self.flush(object.table, chunks)?;
            }
            Ok(())
        };
        match body {
            Body::Memory(bytes) => read_records_slice(&bytes, &delivery, &mut sink),
            Body::File(file) => {
                let file = Counted { file, read: &read };
                let reader = BufReader::with_capacity(1 << 18, file);
                read_records(reader, &delivery, &mut sink)
            }
        }
    }

    /// Says of records that were handed on when they were extracted: `before` them stood so many of the
    /// batch.
    fn extracted(
        &mut self,
        table: usize,
        object: usize,
        before: u64,
        summary: &Summary,
        chunks: &mpsc::Sender<Chunk>,
    ) -> std::result::Result<(), Stop> {
        for said in &summary.extracted {
            let (first, last) = (*said.records.start(), *said.records.end());
            let incoming = &mut self.incoming[table];
            let Some(at) = incoming.extracted(&said.at, last - first + 1, (object, first)) else {
                continue;
            };
            let (first, last) = (before + first, before + last);
            let line = format!("{table}\t{first}\t{last}\t{at}\n");
            self.moments.extend_from_slice(line.as_bytes());
        }
        if self.moments.len() >= CHUNK {
            self.send_moments(chunks)?;
        }
        Ok(())
    }

    fn tell(&self, event: Event) {
        // Nobody listens where reading was given up.
        let _ = self.events.send(event);
    }

    fn send_moments(&mut self, chunks: &mpsc::Sender<Chunk>) -> std::result::Result<(), Stop> {
        if self.moments.is_empty() {
            return Ok(());
        }
        let lines = std::mem::take(&mut self.moments);
        let sent = chunks.blocking_send(Chunk::Extracted(lines.into()));
        sent.map_err(|_| Stop::Closed)
    }

    fn flush(
        &mut self,
        table: usize,
        chunks: &mpsc::Sender<Chunk>,
    ) -> std::result::Result<(), Stop> {
        let (lines, rows) = std::mem::take(&mut self.buffers[table]);
        if rows == 0 {
            return Ok(());
        }
        let chunk = Chunk::Lines {
            table,
            rows,
            lines: lines.into(),
        };
        chunks.blocking_send(chunk).map_err(|_| Stop::Closed)
    }
}
