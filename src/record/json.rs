//! Records in JSON: one, several, in an array, or in envelopes.
//!
//! What stands around the records is read here, so that memory follows the largest of them and each
//! fault has its place; a record's own text is `serde_json`'s.

mod object;
mod placed;
mod text;

use std::ops::Range;

use self::object::{Envelopes, Fields, Holds, fields, provenance};
use self::text::{Fault, Text};
use super::window::Window;
use super::{Delivery, Provenance, ReadError, Record, Summary, TooLarge, Value, rejected};
use crate::table::delivery::Envelope;

/// Reads every record in `window`.
pub(super) fn read<E>(
    window: impl Window,
    delivery: &Delivery<'_>,
    sink: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
) -> Result<Summary, ReadError<E>> {
    let mut text = Text::new(window)?;
    // Rejected records stand as they are, wherever those of their table do.
    let rejected = begins_with_field(&mut text, rejected::WHY[0])?;
    let (set, records) = match rejected {
        true => (Some(&Envelope::Never), None),
        false => (delivery.envelope, delivery.records),
    };
    let mut reader = Reader {
        text,
        envelopes: Envelopes {
            set,
            columns: delivery.columns,
        },
        holds: None,
        sink,
        summary: Summary::default(),
        lines: false,
        first: false,
        deletes: false,
        width: 0,
        most: delivery.most.record,
    };
    match records {
        Some(records) => reader.placed(records)?,
        None => reader.file()?,
    }
    Ok(reader.summary)
}

/// Whether `text` begins with an object whose first field is `name`.
fn begins_with_field(text: &mut Text<impl Window>, name: &str) -> Result<bool, Fault> {
    if text.next()? != Some(b'{') {
        return Ok(false);
    }
    // What is no such object is told where it is read.
    match text.name(&mut 1, true) {
        Ok(Some(first)) => Ok(text
            .utf8(first)
            .is_ok_and(|first| first[1..].strip_suffix('"') == Some(name))),
        Err(Fault::Read(error)) => Err(Fault::Read(error)),
        Ok(None) | Err(Fault::Malformed(_)) => Ok(false),
    }
}

struct Reader<'a, 's, W, E> {
    text: Text<W>,
    envelopes: Envelopes<'a>,
    /// How the objects of this file hold records, once one has been seen.
    holds: Option<Holds>,
    sink: &'s mut dyn FnMut(Record<'_>) -> Result<(), E>,
    summary: Summary,
    /// Whether the object that is read is one of several that begin on lines of their own.
    lines: bool,
    /// Whether no member of the object that is walked through was seen yet.
    first: bool,
    /// Whether the records of the envelope that is read are to be deleted.
    deletes: bool,
    /// Number of fields in the last record: a guess at the next one's.
    width: usize,
    /// The most bytes of a record.
    most: u64,
}

impl<W: Window, E> Reader<'_, '_, W, E> {
    fn file(&mut self) -> Result<(), ReadError<E>> {
        if self.text.next()? == Some(b'[') {
            self.array(Self::object)?;
            self.summary.provenance = Provenance::default();
            return match self.text.next()? {
                None => Ok(()),
                Some(_) => Err(self.text.unexpected(0, "the end after the array"))?,
            };
        }
        let mut line = 0;
        let mut objects = 0;
        while self.text.next()?.is_some() {
            self.lines = true;
            if self.text.line() == line {
                let wanted = "the end or a new line after the record";
                Err(self.text.unexpected(0, wanted))?;
            }
            self.object()?;
            line = self.text.line();
            objects += 1;
        }
        // What an envelope says is said of the whole file where it is the only one.
        if objects > 1 {
            self.summary.provenance = Provenance::default();
        }
        Ok(())
    }

    /// Reads the array at the start of the window, each element by `element`.
    fn array(
        &mut self,
        element: fn(&mut Self) -> Result<(), ReadError<E>>,
    ) -> Result<(), ReadError<E>> {
        self.text.consume(1);
        if self.text.next()? == Some(b']') {
            self.text.consume(1);
            return Ok(());
        }
        loop {
            element(self)?;
            match self.text.next()? {
                Some(b',') => self.text.consume(1),
                Some(b']') => break self.text.consume(1),
                _ => Err(self.text.unexpected(0, "`,` or `]` after the record"))?,
            }
        }
        Ok(())
    }

    /// Reads an object that may be a record or an envelope.
    fn object(&mut self) -> Result<(), ReadError<E>> {
        self.expect_object()?;
        // Only an envelope of many is not seen as a whole, and which files have such is known
        // from their first object.
        let list = match &self.holds {
            None | Some(Holds::Many(_)) => self.envelopes.list(),
            Some(Holds::Record | Holds::One(_)) => None,
        };
        let end = match list {
            None => self.text.value(0)?,
            Some(list) => {
                let mut at = 1;
                let mut first = true;
                while let Some(name) = self.text.name(&mut at, first)? {
                    if self.text.starts(at, b'[') && self.is_list(list, &name)? {
                        return self.many(list, name, at);
                    }
                    at = self.text.value(at)?;
                    first = false;
                }
                at
            }
        };
        self.bound(end)?;
        let text = self.text.utf8(0..end)?;
        let whole = fields(text, self.width).map_err(|wrong| self.text.fault_in(text, wrong))?;
        let holds = self.envelopes.holds(&whole);
        let holds = holds.map_err(|message| self.text.fault(0, message))?;
        self.agree(&holds)?;
        let position = if self.lines {
            self.text.line()
        } else {
            self.summary.records + 1
        };
        let fields = match &holds {
            Holds::One(held) => {
                let said = provenance(&whole).map_err(|message| self.text.fault(0, message))?;
                self.summary.note(&said, position);
                self.summary.provenance = said;
                let inside = value(&whole, held);
                fields(inside, self.width).map_err(|wrong| self.text.fault_in(inside, wrong))?
            }
            Holds::Record | Holds::Many(_) => whole,
        };
        self.width = fields.len();
        let (extracted, deletes) = match &holds {
            Holds::One(_) => {
                let said = &self.summary.provenance;
                let deletes = said.deletes();
                let deletes = deletes.map_err(|message| self.text.fault(0, message))?;
                (said.extracted_at.as_deref(), deletes)
            }
            Holds::Record | Holds::Many(_) => (None, false),
        };
        let record = Record {
            position,
            fields,
            extracted,
            deletes,
        };
        (self.sink)(record).map_err(ReadError::Sink)?;
        self.holds = Some(holds);
        self.done(end);
        Ok(())
    }

    /// Reads an object that is a record.
    fn record(&mut self) -> Result<(), ReadError<E>> {
        self.expect_object()?;
        let end = self.text.value(0)?;
        self.bound(end)?;
        let text = self.text.utf8(0..end)?;
        let fields = fields(text, self.width).map_err(|wrong| self.text.fault_in(text, wrong))?;
        self.width = fields.len();
        let position = self.summary.records + 1;
        let record = Record {
            position,
            fields,
            extracted: None,
            deletes: self.deletes,
        };
        (self.sink)(record).map_err(ReadError::Sink)?;
        self.done(end);
        Ok(())
    }

    /// That the record, which ends at `end`, is not larger than is allowed.
    fn bound(&self, end: usize) -> Result<(), ReadError<E>> {
        if end as u64 > self.most {
            return Err(ReadError::Read(TooLarge::record(self.most).into()));
        }
        Ok(())
    }

    /// Leaves the record that ends at `end` behind.
    fn done(&mut self, end: usize) {
        self.summary.records += 1;
        self.text.consume(end);
        self.text.record = None;
    }

    /// Whether the array behind the field name at `name` holds records; the object begins at 0.
    fn is_list(&self, list: &str, name: &Range<usize>) -> Result<bool, Fault> {
        let same = |text: &str| serde_json::from_str::<String>(text).is_ok_and(|text| text == list);
        if !same(self.text.utf8(name.clone())?) {
            return Ok(false);
        }
        let so_far = self.around(list, name, "}")?;
        let so_far = fields(&so_far, self.width);
        let so_far = so_far.map_err(|wrong| self.text.fault(wrong.at, wrong.message))?;
        let holds = self.envelopes.holds(&so_far);
        let holds = holds.map_err(|message| self.text.fault(0, message))?;
        Ok(matches!(holds, Holds::Many(_)))
    }

    /// The object at 0 up to the field name at `name`, then `list` as if it were empty, then `rest`.
    fn around(&self, list: &str, name: &Range<usize>, rest: &str) -> Result<String, Fault> {
        let before = self.text.utf8(0..name.start)?;
        let list = serde_json::Value::from(list);
        Ok(format!("{before}{list}:[]{rest}"))
    }

    /// Reads an envelope of many whose field `list`, at `name`, has its array at `at`.
    fn many(&mut self, list: &str, name: Range<usize>, at: usize) -> Result<(), ReadError<E>> {
        let holds = Holds::Many(list.to_owned());
        self.agree(&holds)?;
        self.holds = Some(holds);
        let first = self.summary.records + 1;
        let mut around = self.around(list, &name, "")?;
        self.deletes = self.deletes_around(&format!("{around}}}"))?;
        self.text.consume(at);
        self.array(Self::record)?;
        let mut at = 0;
        while self.text.name(&mut at, false)?.is_some() {
            at = self.text.value(at)?;
        }
        // All but the records, in which names must not come twice either.
        around += self.text.utf8(0..at)?;
        let around = fields(&around, self.width);
        let around = around.map_err(|wrong| self.text.fault(0, wrong.message))?;
        let holds = self.envelopes.holds(&around);
        if !matches!(
            holds.map_err(|message| self.text.fault(0, message))?,
            Holds::Many(_)
        ) {
            let message = format!(
                "what stands beside `{list}` are columns of the table: whether `{list}` holds the records is not \
                 clear; say so in tables.yaml (`envelope`)"
            );
            Err(self.text.fault(0, message))?;
        }
        self.heed(&around, list, first)?;
        self.text.consume(at);
        Ok(())
    }

    /// Heeds what stands around the records of `list`, of which the first is the number `first`.
    fn heed(&mut self, around: &Fields<'_>, list: &str, first: u64) -> Result<(), Fault> {
        let said = provenance(around).map_err(|message| self.text.fault(0, message))?;
        let deletes = said.deletes();
        if deletes.map_err(|message| self.text.fault(0, message))? != self.deletes {
            let message = format!(
                "the envelope's op stands behind `{list}`; it must stand before the records"
            );
            return Err(self.text.fault(0, message));
        }
        self.summary.note(&said, first);
        let records = first..=self.summary.records;
        if let (Some(at), false) = (&said.extracted_at, records.is_empty()) {
            self.summary.extracted(records, at);
        }
        self.summary.provenance = said;
        Ok(())
    }

    /// Whether the records of an envelope of many are to be deleted, by what stands before them.
    fn deletes_around(&self, before: &str) -> Result<bool, Fault> {
        let before = fields(before, self.width);
        let before = before.map_err(|wrong| self.text.fault(wrong.at, wrong.message))?;
        let said = provenance(&before).and_then(|said| said.deletes());
        said.map_err(|message| self.text.fault(0, message))
    }

    /// That the next is an object, which begins a record.
    fn expect_object(&mut self) -> Result<(), ReadError<E>> {
        self.text.record = Some(self.summary.records + 1);
        match self.text.next()? {
            Some(b'{') => Ok(()),
            _ => Err(self.text.unexpected(0, "a record (an object)"))?,
        }
    }

    /// That the objects of a file hold records alike.
    fn agree(&self, holds: &Holds) -> Result<(), Fault> {
        match &self.holds {
            Some(before) if before != holds => Err(self.text.fault(
                0,
                format!(
                    "this is {holds}, and what the file begins with is {before}; deliver either, or say in \
                     tables.yaml (`envelope`) which it is"
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// The text of the field `name`.
fn value<'t>(fields: &Fields<'t>, name: &str) -> &'t str {
    let found = fields.iter().find(|(given, _)| given == name);
    match found {
        Some((_, Value::Json(text))) => text,
        Some(_) | None => "{}",
    }
}
