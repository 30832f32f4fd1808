//! A record as its table sees it: one COPY line for staging, with what is wrong about it.

mod cell;
mod finding;
mod keys;
mod references;
mod seen;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;

use serde::Serialize;

use crate::plan::ViolationKind;
use crate::plan::ignored::{Ignored, Why};
use crate::plan::reading::{Reading, word};
use crate::plan::words::{Place, Words};
use crate::record::rejected::Ours;
use crate::record::{Record, Value};
use crate::sql::copytext::push_copy_text;
use crate::sql::ident::nearest;
use crate::table::config::OnUnknown;
use crate::table::schema::{Column, Table};
use crate::table::target::Target;
use crate::types::spelling::Spelling;
use crate::types::{Kind, Spelled, Zoned};

pub use cell::BLANK;
use cell::Cell;
pub use finding::Finding;
use finding::shorten;
use keys::Keys;
use references::References;
pub use seen::{Extraction, Seen, Unreadable};

/// What an extraction time is.
const EXTRACTED: Kind = Kind::Timestamp(Zoned::Yes, 6);

const COMPUTED: &str =
    "the database computes this column; leave it out of the records, or list it in ignore_fields";

/// What becomes of a field.
#[derive(Debug, Clone, Copy)]
enum Field {
    Column(usize),
    /// The database computes it, or it alone gives numbers.
    Generated(usize),
    /// Not loaded; others may refer to it by this value.
    Said(usize),
    Dropped,
    /// Set by the load itself.
    Stamp,
}

/// Turns the records of one table into COPY lines.
pub struct Incoming<'a> {
    /// The table's name as configured.
    name: &'a str,
    table: &'a Table,
    fields: HashMap<&'a str, Field>,
    references: References<'a>,
    keys: Vec<usize>,
    readings: Vec<Reading<'a>>,
    words: Words,
    /// Whether any record so far gave this column.
    used: Vec<bool>,
    given_columns: String,
    given: Keys,
    /// Columns without which a record is left out.
    required: Vec<usize>,
    on_unknown: OnUnknown,
    /// Whether names that nobody knows are not repeated where a record has no other: they may be sensitive values.
    hides_names: bool,
    ignored: Ignored,
    /// How extraction times are spelled: as the table's dates are, or else as validators write them.
    times: [Spelled; 2],
    extraction: Extraction,
    /// The fields that say which row a record is for.
    key_fields: BTreeSet<&'a str>,
    /// Whether any record so far names a row to be deleted.
    deletes: bool,
    /// Whether any record so far does not.
    brings: bool,
    /// Whether any record so far was rejected before, and is delivered again.
    again: bool,
    /// Columns of which any record so far gives both a value and what it is looked up by.
    twice: BTreeSet<usize>,
}

/// The loader's own columns of a staging table, in order.
pub const STAGE_COLUMNS: &str =
    "_n, _object, _position, _given, _findings, _rounded, _extracted, _left_out, _goes";

impl<'a> Incoming<'a> {
    /// For records of `target`.
    pub fn new(target: &'a Target) -> Incoming<'a> {
        let Target { table, config, .. } = target;
        let mut fields = HashMap::new();
        for (i, column) in table.columns.iter().enumerate() {
            let field = if config.is_stamp(&column.name) {
                Field::Stamp
            } else if config.takes(column) {
                Field::Column(i)
            } else {
                Field::Generated(i)
            };
            fields.insert(column.name.as_str(), field);
        }
        // A field has the name that the setting gives it, and no second one by a column that is called so.
        let of_columns = fields.clone();
        for (name, column) in &config.columns {
            if let Some(field) = of_columns.get(column.as_str()) {
                fields.insert(name, *field);
            }
        }
        let referred = |c: &Column| {
            let mut keys = table.referrers.iter();
            keys.any(|key| key.parent_columns.contains(&c.name))
        };
        for name in &config.ignore_fields {
            let mut columns = table.columns.iter();
            let field = match columns.position(|c| c.name == *name && referred(c)) {
                Some(i) => Field::Said(i),
                None => Field::Dropped,
            };
            fields.insert(name, field);
        }
        for (column, reference) in &config.references {
            // The field of that name says the key, and not the number.
            if reference.fields().contains(column.as_str()) {
                fields.remove(column.as_str());
            }
        }
        let is_key = |name: &String| config.natural_key.contains(name);
        let by_reference = config.references.iter().filter(|(c, _)| is_key(c));
        let by_reference: BTreeSet<&str> = by_reference
            .flat_map(|(_, reference)| reference.fields())
            .collect();
        let names = by_reference.iter().copied();
        let names = names.chain(config.columns.keys().map(String::as_str));
        let by_reference: Vec<&str> = names
            .filter(|name| {
                config
                    .looked_up_as(name)
                    .any(|of| by_reference.contains(of))
            })
            .collect();
        let by_column = fields.iter().filter_map(|(name, field)| match field {
            Field::Column(i) if is_key(&table.columns[*i].name) => Some(*name),
            _ => None,
        });
        let key_fields = by_column.chain(by_reference).collect();
        Incoming {
            key_fields,
            deletes: false,
            brings: false,
            again: false,
            twice: BTreeSet::new(),
            table,
            fields,
            name: &target.name,
            references: References::new(target),
            keys: (0..table.columns.len())
                .filter(|i| is_key(&table.columns[*i].name))
                .collect(),
            readings: (table.columns.iter().map(|c| Reading::new(c, config))).collect(),
            words: Words::new(table, config),
            used: vec![false; table.columns.len()],
            given_columns: String::new(),
            given: Keys::new(target),
            required: (0..table.columns.len())
                .filter(|i| config.required_fields.contains(&table.columns[*i].name))
                .collect(),
            on_unknown: config.on_unknown,
            hides_names: !config.sensitive.is_empty(),
            ignored: Ignored::default(),
            times: times(config.own_spelling()),
            extraction: Extraction::default(),
        }
    }

    /// What the records have shown.
    pub fn seen(self) -> Seen {
        Seen {
            used: self.used,
            surely_distinct: self.given.surely_distinct(),
            words: self.words,
            extraction: self.extraction,
            deletes: self.deletes,
            brings: self.brings,
            again: self.again,
            twice: self.twice,
            ignored: self.ignored,
        }
    }

    /// When `records` records were extracted, from `at`, what their envelope says, as staging takes it;
    /// `None` where that is no moment. `first` is the place of the first of them.
    pub fn extracted<'t>(
        &mut self,
        at: &'t str,
        records: u64,
        first: Place,
    ) -> Option<Cow<'t, str>> {
        let [own, plain] = self.times.each_ref();
        let read = EXTRACTED.given(Cow::Borrowed(at), own);
        let read = read.or_else(|why| EXTRACTED.given(Cow::Borrowed(at), plain).map_err(|_| why));
        let why = match read {
            Ok(read) if !read.text.ends_with("infinity") => {
                self.extraction.known = true;
                return Some(read.text);
            }
            Ok(_) => "no moment".to_owned(),
            Err(refused) => refused.message(),
        };
        let given = at.chars().take(40).collect::<String>();
        let unreadable = self
            .extraction
            .unreadable
            .get_or_insert_with(|| Unreadable {
                records: 0,
                first,
                why: format!("\"{}\": {why}", crate::text::escape(&given)),
            });
        unreadable.records += records;
        None
    }

    /// Appends the COPY line of `record`, the `n`-th of the batch, from object number `object`.
    pub fn push(&mut self, out: &mut Vec<u8>, n: u64, object: usize, record: &Record<'_>) {
        let width = self.table.columns.len();
        let mut cells = vec![Cell::Absent; width];
        let mut findings = Vec::new();
        let mut rounded = BTreeMap::new();
        let mut said = Vec::new();
        let mut looked_up = self.references.none();
        let mut found = Vec::new();
        let ours = Ours::of(record);
        let deletes = record.deletes || ours.deletes;
        self.deletes |= deletes;
        self.brings |= !deletes;
        self.again |= ours.again;
        findings.extend(Finding::of_ours(&ours, self.name));
        for (name, value) in ours.own(record) {
            let value = &value;
            // Of a row that is to be deleted nothing matters but its key.
            if deletes && !self.key_fields.contains(name.as_ref()) {
                continue;
            }
            let is_looked_up = self.references.read(
                name.as_ref(),
                value,
                &mut looked_up,
                &mut findings,
                &mut rounded,
            );
            match self.fields.get(name.as_ref()) {
                Some(Field::Dropped) => {}
                Some(Field::Stamp) => {
                    if !deletes {
                        self.ignored.add(name, object, Why::Stamp);
                    }
                }
                // What cannot be read refers to nothing.
                Some(Field::Said(i)) => {
                    said.extend((self.readings[*i].read(value).ok()).map(|taken| (*i, taken.text)))
                }
                Some(Field::Generated(i)) => {
                    let column = &self.table.columns[*i].name;
                    let message = match column == name.as_ref() {
                        true => COMPUTED.to_owned(),
                        false => format!("given as {name}: {COMPUTED}"),
                    };
                    findings.push(Finding {
                        given: shorten(value),
                        ..Finding::new(ViolationKind::GeneratedField, column, message)
                    });
                }
                None if is_looked_up => {}
                None => match self.on_unknown {
                    OnUnknown::Block => findings.push(self.unknown(name, value)),
                    OnUnknown::Ignore => self.ignored.add(name, object, Why::NoColumn),
                },
                Some(Field::Column(i)) if cells[*i] != Cell::Absent => findings.push(Finding {
                    given: shorten(value),
                    ..Finding::new(
                        ViolationKind::InvalidValue,
                        &self.table.columns[*i].name,
                        "given by two fields of the record, one of which `columns` in tables.yaml names",
                    )
                }),
                Some(Field::Column(i))
                    if *value == Value::Blank && self.table.columns[*i].blank_is_default() =>
                {
                    self.used[*i] = true;
                    cells[*i] = Cell::Blank;
                }
                Some(Field::Column(i)) => {
                    let reading = &self.readings[*i];
                    self.used[*i] = true;
                    match reading.read(value) {
                        Ok(taken) => {
                            if let Some(asked) = taken.asked {
                                if taken.text.is_none() {
                                    self.words.null(&asked.given, *i);
                                }
                                rounded.insert(reading.column().name.as_str(), asked);
                            } else if let Some(text) = &taken.text
                                && matches!(reading.column().kind, Kind::Text(_) | Kind::Padded(_))
                            {
                                self.words.stored(text, *i, (object, record.position));
                            }
                            cells[*i] = Cell::Given(taken.text);
                        }
                        Err(refused) => {
                            if let Some(word) = word(value) {
                                self.words.refused(&word, *i);
                            }
                            let column = &reading.column().name;
                            findings.push(Finding {
                                given: shorten(value),
                                instead: refused.instead,
                                quotes: refused.quotes,
                                ..Finding::new(ViolationKind::InvalidValue, column, refused.why)
                            });
                            cells[*i] = Cell::Given(None);
                        }
                    }
                }
            }
        }
        if self.hides_names && cells.iter().chain(&looked_up).all(|c| *c == Cell::Absent) {
            self.hide_names(&mut findings);
        }
        for (i, whole) in self.references.given(&looked_up) {
            self.used[i] = true;
            if cells[i] == Cell::Absent {
                cells[i] = Cell::Given(None);
            } else if cells[i].text().is_some() {
                self.twice.insert(i);
            }
            if whole {
                found.push(i);
            }
        }
        let required = self.required.iter().filter(|_| !deletes);
        for i in required.filter(|i| !found.contains(i)) {
            let name = &self.table.columns[*i].name;
            let said = findings.iter().any(|f| f.field.as_deref() == Some(name));
            let missing = match &cells[*i] {
                Cell::Absent => "the record has no such field, and without it is left out",
                Cell::Blank => "an empty cell, without which a record is left out",
                Cell::Given(None) => "null, and without it a record is left out",
                Cell::Given(Some(text)) if text.is_empty() => {
                    "an empty text, without which a record is left out"
                }
                Cell::Given(Some(_)) => continue,
            };
            if !said {
                findings.push(Finding::new(ViolationKind::RequiredField, name, missing));
            }
        }
        for i in self.keys.iter().filter(|i| !found.contains(i)) {
            let name = &self.table.columns[*i].name;
            let said = findings.iter().any(|f| f.field.as_deref() == Some(name));
            let missing = match &cells[*i] {
                Cell::Absent => "the record has no such field, and it is in the natural key",
                Cell::Blank => "an empty cell, and it is in the natural key",
                Cell::Given(None) => "null, and it is in the natural key",
                Cell::Given(Some(_)) => continue,
            };
            if !said {
                findings.push(Finding::new(ViolationKind::MissingKey, name, missing));
            }
        }
        let text = |i: &usize| cells[*i].text();
        self.given.push(n, self.keys.iter().map(text));
        self.given_columns.clear();
        self.given_columns.extend(cells.iter().map(Cell::letter));
        for (i, text) in said {
            cells[i] = Cell::Given(text);
        }
        let findings = (!findings.is_empty()).then(|| json(&findings));
        let rounded = (!rounded.is_empty()).then(|| json(&rounded));
        // Memory takes whatever is written to it.
        let _ = write!(
            out,
            "{n}\t{object}\t{}\t{}\t",
            record.position, self.given_columns
        );
        push_copy_text(out, findings.as_deref());
        out.push(b'\t');
        push_copy_text(out, rounded.as_deref());
        out.push(b'\t');
        let place = (object, record.position);
        let extracted = record.extracted.or(ours.extracted.as_deref());
        let extracted = extracted.and_then(|at| self.extracted(at, 1, place));
        push_copy_text(out, extracted.as_deref());
        out.push(b'\t');
        push_copy_text(out, None);
        out.extend_from_slice(if deletes { b"\tt" } else { b"\tf" });
        for cell in cells.iter().chain(&looked_up) {
            out.push(b'\t');
            push_copy_text(out, cell.text());
        }
        out.push(b'\n');
    }

    /// In place of all fields that are no columns, says that the record has no others.
    fn hide_names(&self, findings: &mut Vec<Finding>) {
        let all = findings.len();
        findings.retain(|f| f.kind != ViolationKind::UnknownField);
        if findings.len() < all {
            findings.push(Finding {
                field: None,
                ..Finding::new(
                    ViolationKind::UnknownField,
                    "",
                    "none of its fields is a column of the table; their names are not shown, as they may be sensitive values: \
                     where a file has no header, `csv: {header: […]}` in tables.yaml names its columns, and where records stand \
                     under their keys, `records: {key_into: …}` says in which column these belong",
                )
            });
        }
    }

    fn unknown(&self, name: &str, value: &Value<'_>) -> Finding {
        let begins = |with: &str| match value {
            Value::Json(raw) => {
                let mut tokens = raw.chars().filter(|c| !c.is_whitespace());
                with.chars().all(|c| tokens.next() == Some(c))
            }
            _ => false,
        };
        let columns = self.table.columns.iter().map(|c| c.name.as_str());
        let hint = if matches!(name, "data" | "records") && (begins("{") || begins("[")) {
            format!("; where the record is in it, say `envelope: {name}` in tables.yaml")
        } else if let Some(near) = nearest(name, columns) {
            format!("; did you mean {near}?")
        } else if begins("[{") {
            let pointer = name.replace('~', "~0").replace('/', "~1");
            format!("; where the records are in it, say `records: /{pointer}` in tables.yaml")
        } else {
            "; in tables.yaml, `columns` says which column it is, `ignore_fields` that it is not loaded".to_owned()
        };
        let message = format!("not a column of the table{hint}");
        Finding {
            given: shorten(value),
            ..Finding::new(
                ViolationKind::UnknownField,
                &name.replace('\0', "\u{fffd}"),
                message,
            )
        }
    }
}

fn times(own: Spelling) -> [Spelled; 2] {
    let plain = Spelling {
        formats: None,
        ..own.clone()
    };
    [own, plain].map(|spelling| Spelled::new(&spelling).unwrap_or_default())
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|e| e.to_string())
}
