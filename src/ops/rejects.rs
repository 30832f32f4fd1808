//! The records of a plan that are not loaded, as they were delivered: the objects are read once more.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Lines, Seek, SeekFrom, Write};

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::plan::{PlanRequest, list, pattern};
use crate::error::{Error, Result};
use crate::pg::{Session, catalog, referred};
use crate::plan::masking::Mask;
use crate::plan::{Effect, Entry, Fragment, What};
use crate::planfile::{Item, PlanFile, Unordered};
use crate::record::rejected::Ours;
use crate::record::value::plain_text;
use crate::record::{
    Columns, Delivery, Format, ReadError, Record, Summary, Value, read_records, read_records_slice,
};
use crate::render::rejects::{Delivered, Rejected};
use crate::source::{Body, Layout, ObjectInfo, Source, layout};
use crate::table::config::TableConfig;
use crate::table::lookup::Lookups;
use crate::table::schema::{Column, Shape, Table};
use crate::text::hex;
use crate::types::formatted;

/// Whether sensitive values are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sensitive {
    /// Stand-ins are.
    Masked,
    /// They are.
    Plain,
}

/// One rule that a record breaks.
#[derive(Serialize, Deserialize)]
struct Broken {
    object: usize,
    position: u64,
    rule: String,
    reason: String,
}

/// Gives the records of `plan`, made as `request` says, that are not loaded to `sink`, object by object and
/// in the order in which they stand there.
///
/// # Errors
/// [`Source`](crate::ErrorKind::Source) where an object is not what it was when the plan was made;
/// [`Database`](crate::ErrorKind::Database), [`Io`](crate::ErrorKind::Io), and whatever `sink` returns.
pub async fn rejects(
    request: &PlanRequest,
    plan: &PlanFile,
    sensitive: Sensitive,
    sink: &mut dyn FnMut(Rejected) -> Result<()>,
) -> Result<()> {
    let tables = plan.header.tables.iter();
    let key = uuid::Uuid::new_v4();
    let mask = match sensitive {
        Sensitive::Masked => Mask::new(
            key.as_bytes(),
            tables.map(|t| (t.table.as_str(), &t.config)),
        ),
        Sensitive::Plain => Mask::new(key.as_bytes(), []),
    };
    let (fragments, broken) = broken(plan, &mask)?;
    let mut broken = Ahead::new(broken)?;
    if broken.next.is_none() {
        return Ok(());
    }
    let session = Session::open_to_read(&request.database, request.timeouts).await?;
    let mut found: HashMap<&str, (Table, Lookups)> = HashMap::new();
    for table in &plan.header.tables {
        let relation = catalog::relation(&session, &table.relation).await?;
        let lookups = referred::lookups(&session, &table.config, &relation).await;
        found.insert(&table.table, (relation, lookups));
    }
    let source = Source::open(&request.source).await?;
    let place = pattern(&request.prefix)?.of_batch(&request.batch_id);
    let listed = list(&source, &place, &request.config, &|_| ()).await?;
    let listed = listed.into_iter().map(|info| (info.key.clone(), info));
    let mut listed: HashMap<String, ObjectInfo> = listed.collect();
    while let Some(Broken { object, .. }) = broken.next {
        let fragment = fragments
            .get(object)
            .ok_or_else(|| Error::local("no such object"))?;
        let changed = || {
            Error::unreadable(format!(
                "{}: it is not what it was when the plan was made",
                fragment.key
            ))
        };
        let info = listed.remove(&fragment.key).ok_or_else(changed)?;
        let mut fetched = std::pin::pin!(source.fetch_all(vec![info], 1, request.object_bounds()));
        let fetched = fetched.next().await.ok_or_else(changed)??;
        if hex(&fetched.sha256) != fragment.sha256 {
            return Err(changed());
        }
        let table = plan.header.table(&fragment.table).ok_or_else(changed)?;
        let (relation, lookups) = &found[table.table.as_str()];
        let fields = Fields {
            names: table.config.field_names(relation).collect(),
            table: relation,
            looked_up: &lookups.fields,
            config: &table.config,
            mask: &mask,
        };
        let extensions = |_: &str| table.config.csv.extensions.as_slice();
        let Layout::Fragment {
            format, deletes, ..
        } = layout(&place, &fragment.key, &[], extensions)
        else {
            return Err(changed());
        };
        let known: Vec<&str> = table.config.known_fields(relation).collect();
        let delivery = Delivery::of(&table.config, format, Columns(&known), request.most());
        let extracted = match (format, &fetched.body) {
            // What an envelope of many says of them may stand behind them.
            (Format::Json, Body::Memory(bytes)) => {
                read_records_slice::<Error>(bytes, &delivery, &mut |_| Ok(()))
            }
            (Format::Json, Body::File(file)) => {
                let mut file: &File = file;
                let summary =
                    read_records::<Error>(BufReader::new(file), &delivery, &mut |_| Ok(()));
                let doing = |e| Error::io(format_args!("reading {}", fragment.key), e);
                file.rewind().map_err(doing)?;
                summary
            }
            _ => Ok(Summary::default()),
        };
        let extracted = extracted.map_err(|_| changed())?.extracted;
        let mut number = 0;
        let mut take = |record: Record<'_>| -> Result<()> {
            number += 1;
            let (mut rules, mut reasons) = (Vec::new(), Vec::new());
            while let Some(of_record) = broken.next_of(object, record.position)? {
                rules.push(of_record.rule);
                reasons.push(of_record.reason);
            }
            if rules.is_empty() {
                return Ok(());
            }
            rules.dedup();
            let ours = Ours::of(&record);
            let shown = ours.own(&record);
            let shown =
                shown.map(|(name, value)| (name.clone().into_owned(), fields.shown(name, &value)));
            let unreadable = ours.unreadable.iter();
            let unreadable = unreadable.map(|(name, text, _)| ((*name).to_owned(), text.clone()));
            sink(Rejected {
                says_table: ours.table.is_some(),
                table: ours.table.clone().unwrap_or_else(|| fragment.table.clone()),
                object: fragment.key.clone(),
                position: record.position,
                rule: rules.join("; "),
                reason: reasons.join("; "),
                deletes: deletes || record.deletes || ours.deletes,
                extracted: record
                    .extracted
                    .map(str::to_owned)
                    .or_else(|| ours.extracted.clone())
                    .or_else(|| {
                        let mut said = extracted.iter();
                        let said = said.find(|said| said.records.contains(&number));
                        said.map(|said| said.at.clone())
                    }),
                unreadable: unreadable.collect(),
                fields: shown.collect(),
            })
        };
        let read = match fetched.body {
            Body::Memory(bytes) => read_records_slice(&bytes, &delivery, &mut take),
            Body::File(file) => read_records(BufReader::new(file), &delivery, &mut take),
        };
        match read {
            Ok(_) => {}
            Err(ReadError::Sink(e)) => return Err(e),
            Err(_) => return Err(changed()),
        }
        if broken.next.as_ref().is_some_and(|b| b.object == object) {
            return Err(changed());
        }
    }
    Ok(())
}

/// The plan's objects, and a file with the rules that their records break, in the order in which the records
/// stand.
fn broken(plan: &PlanFile, mask: &Mask) -> Result<(Vec<Fragment>, File)> {
    let doing = |e| Error::io("collecting rejected records", e);
    let mut fragments = Vec::new();
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut unordered = Unordered::new();
    let mut n: u64 = 0;
    plan.stream(&mut |item| {
        let entry = match item {
            Item::Fragment(fragment) => {
                numbers.insert(fragment.key.clone(), fragments.len());
                fragments.push(fragment);
                return Ok(());
            }
            Item::Entry(entry) => entry,
        };
        let Some(broken) = of_entry(entry, mask, &numbers) else {
            return Ok(());
        };
        n += 1;
        let order = [broken.object as u64, broken.position, n];
        let order: Vec<u8> = order.iter().flat_map(|n| n.to_be_bytes()).collect();
        let mut line = serde_json::to_vec(&broken)
            .map_err(|e| Error::local("collecting rejected records").caused_by(e))?;
        line.push(b'\n');
        unordered.push(&order, &line).map_err(doing)
    })?;
    let mut file = BufWriter::new(tempfile::tempfile().map_err(doing)?);
    unordered
        .drain(&mut |line| file.write_all(line))
        .map_err(doing)?;
    let mut file = file.into_inner().map_err(|e| doing(e.into_error()))?;
    file.seek(SeekFrom::Start(0)).map_err(doing)?;
    Ok((fragments, file))
}

/// The rule that an entry's record breaks, where it is not loaded for it.
fn of_entry(mut entry: Entry, mask: &Mask, numbers: &HashMap<String, usize>) -> Option<Broken> {
    mask.entry(&mut entry);
    let What::Violation(v) = entry.what else {
        return None;
    };
    if v.effect == Effect::Keep || v.is_of_object() {
        return None;
    }
    let (object, position) = entry.from.first()?.rsplit_once('#')?;
    Some(Broken {
        object: *numbers.get(object)?,
        position: position.parse().ok()?,
        rule: v.kind.word().to_owned(),
        reason: match &v.field {
            Some(field) => format!("{field}: {}", v.why()),
            None => v.why(),
        },
    })
}

/// The fields that records of a table have.
struct Fields<'a> {
    names: Vec<&'a str>,
    table: &'a Table,
    /// Those by which other tables' rows are looked up, as columns of these.
    looked_up: &'a [Column],
    config: &'a TableConfig,
    mask: &'a Mask,
}

impl Fields<'_> {
    /// What stands for a field's value: of sensitive columns, and of what no column is known of in a table that
    /// has such, a stand-in.
    fn shown(&self, name: &str, value: &Value<'_>) -> Delivered {
        let column = self.config.columns.get(name).map_or(name, String::as_str);
        let of_table = self.table.column(column);
        let shape = of_table.map_or(Shape::Scalar, |c| c.shape);
        let is_json = shape == Shape::Json;
        let is_array = matches!(shape, Shape::Array { .. });
        let shown = match value {
            Value::Blank => return Delivered::Blank,
            Value::Json("null") => return Delivered::Null,
            // There a text is JSON, in a cell as it is written, and in JSON as what it is, but for a null of its own.
            Value::Cell(text) if is_json => match serde_json::from_str::<&RawValue>(text) {
                Ok(raw) if raw.get() != "null" && !self.is_null_text(column, raw.get()) => {
                    Delivered::Json(text.replace(['\r', '\n'], " "))
                }
                _ => Delivered::Cell((*text).to_owned()),
            },
            // There the text of a cell may be JSON's array, and one of JSON not.
            Value::Cell(text) if is_array => Delivered::Cell((*text).to_owned()),
            Value::Moment(text) => {
                let mut looked_up = self.looked_up.iter();
                let read_as = of_table.or_else(|| looked_up.find(|c| c.name == name));
                let is_formatted = read_as.is_none_or(|c| c.kind.is_date_or_time());
                let formats = self.config.spelling_of(column).formats;
                let formats = formats.filter(|_| is_formatted).unwrap_or_default();
                Delivered::Text(formatted(&formats, text).unwrap_or_else(|| (*text).to_owned()))
            }
            Value::Cell(text) => Delivered::Text((*text).to_owned()),
            // A text has to read as the number that it was.
            Value::Number(number) | Value::Json(number)
                if number.parse::<f64>().is_ok() && self.has_decimal_comma(column) =>
            {
                Delivered::Text(number.replace('.', ","))
            }
            // What the other table's column is, is not known here.
            Value::Number(number) | Value::Json(number)
                if number.parse::<f64>().is_ok() && self.is_looked_up(name) =>
            {
                Delivered::OnlyJson((*number).to_owned())
            }
            Value::Number(number) => Delivered::Json((*number).to_owned()),
            // A word that means null does so without quotes.
            Value::Json(raw) => {
                match plain_text(raw).filter(|text| !is_json || self.is_null(column, text)) {
                    Some(text) => Delivered::Text(text),
                    None if is_json || is_array || !raw.starts_with(['{', '[', '"']) => {
                        Delivered::Json((*raw).to_owned())
                    }
                    None => Delivered::OnlyJson((*raw).to_owned()),
                }
            }
        };
        let is_sensitive = |column: &str| self.config.sensitive.iter().any(|c| c == column);
        let references = self.config.references.iter();
        let mut of_references = references
            .filter(|(_, r)| r.fields().contains(name))
            .peekable();
        let hidden = match of_references.peek() {
            Some(_) => of_references.any(|(column, _)| is_sensitive(column)),
            None => is_sensitive(column) || !self.names.contains(&name),
        };
        if self.mask.is_idle() || self.config.sensitive.is_empty() || !hidden {
            return shown;
        }
        match shown {
            Delivered::Text(text)
            | Delivered::Cell(text)
            | Delivered::Json(text)
            | Delivered::OnlyJson(text) => Delivered::Text(self.mask.stand_in(&text)),
            Delivered::Blank | Delivered::Null => shown,
        }
    }
}

impl Fields<'_> {
    /// Whether a word means null in a column.
    fn is_null(&self, column: &str, word: &str) -> bool {
        let words = self.config.spelling_of(column).null_words;
        words.is_some_and(|words| words.iter().any(|null| null == word))
    }

    /// Whether JSON is a text with a word that means null in a column.
    fn is_null_text(&self, column: &str, raw: &str) -> bool {
        plain_text(raw).is_some_and(|word| self.is_null(column, &word))
    }

    /// Whether it is looked up by a field that is no column.
    fn is_looked_up(&self, name: &str) -> bool {
        let mut references = self.config.references.values();
        !self.names.contains(&name) && references.any(|r| r.fields().contains(name))
    }

    /// Whether a comma stands before the decimals of a column's numbers.
    fn has_decimal_comma(&self, column: &str) -> bool {
        let is_number = self.table.column(column).is_some_and(|c| c.category == 'N');
        is_number && self.config.spelling_of(column).decimal_comma == Some(true)
    }
}

/// The rules that are broken, the next one in view.
struct Ahead {
    lines: Lines<BufReader<File>>,
    next: Option<Broken>,
}

impl Ahead {
    fn new(file: File) -> Result<Ahead> {
        let mut ahead = Ahead {
            lines: BufReader::new(file).lines(),
            next: None,
        };
        ahead.advance()?;
        Ok(ahead)
    }

    fn advance(&mut self) -> Result<Option<Broken>> {
        let doing = "reading rejected records";
        let line = self
            .lines
            .next()
            .transpose()
            .map_err(|e| Error::io(doing, e))?;
        let next = line.map(|line| serde_json::from_str(&line)).transpose();
        let next = next.map_err(|e| Error::local(doing).caused_by(e))?;
        Ok(std::mem::replace(&mut self.next, next))
    }

    /// The next one, where it is of that record.
    fn next_of(&mut self, object: usize, position: u64) -> Result<Option<Broken>> {
        match &self.next {
            Some(next) if next.object == object && next.position == position => self.advance(),
            _ => Ok(None),
        }
    }
}
