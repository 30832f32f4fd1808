//! Records in JSON, in every shape in which they come.

mod fields;
mod text;

use std::collections::HashSet;
use std::ops::Range;

use self::fields::Field;
use self::text::{Fault, Text};
use super::window::Window;
use super::{Envelope, ReadError, Record, Summary, Value};

/// Reads every record in `window`.
pub(super) fn read<E>(
    window: impl Window,
    sink: &mut dyn FnMut(Record<'_>) -> Result<(), E>,
) -> Result<Summary, ReadError<E>> {
    let mut reader = Reader {
        text: Text::new(window)?,
        sink,
        summary: Summary::default(),
        width: 0,
    };
    reader.fragment()?;
    Ok(reader.summary)
}

struct Reader<'s, W, E> {
    text: Text<W>,
    sink: &'s mut dyn FnMut(Record<'_>) -> Result<(), E>,
    summary: Summary,
    /// Number of fields in the last record: a guess at the next one's.
    width: usize,
}

/// Where an object stands, which decides what it may be.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// At the top or in an array there: a record, or an envelope of one or of many.
    Fragment,
    /// In `records`: a record, or an envelope of one.
    Records,
}

impl<W: Window, E> Reader<'_, W, E> {
    fn fragment(&mut self) -> Result<(), ReadError<E>> {
        let none = Envelope::default();
        match self.text.next()? {
            None => return Ok(()),
            Some(b'[') => {
                self.array(Place::Fragment, &none)?;
                return match self.text.next()? {
                    None => Ok(()),
                    Some(_) => Err(self.text.unexpected(0, "the end after the array"))?,
                };
            }
            Some(_) => self.summary.envelope = self.object(Place::Fragment, &none)?,
        }
        loop {
            let line = self.text.line();
            if self.text.next()?.is_none() {
                return Ok(());
            }
            if self.text.line() == line {
                Err(self
                    .text
                    .unexpected(0, "the end or a new line after the record"))?;
            }
            self.object(Place::Fragment, &none)?;
            self.summary.envelope = Envelope::default();
        }
    }

    /// Reads the array at the start of the window.
    fn array(&mut self, place: Place, outer: &Envelope) -> Result<(), ReadError<E>> {
        self.text.consume(1);
        if self.text.next()? == Some(b']') {
            self.text.consume(1);
            return Ok(());
        }
        loop {
            self.object(place, outer)?;
            match self.text.next()? {
                Some(b',') => self.text.consume(1),
                Some(b']') => break self.text.consume(1),
                _ => Err(self.text.unexpected(0, "`,` or `]` after the record"))?,
            }
        }
        Ok(())
    }

    /// Reads a record or an envelope, and returns what the envelope says.
    fn object(&mut self, place: Place, outer: &Envelope) -> Result<Envelope, ReadError<E>> {
        self.text.record = Some(self.summary.records);
        if self.text.next()? != Some(b'{') {
            Err(self.text.unexpected(0, "a record (an object)"))?;
        }
        let mut fields = Vec::with_capacity(self.width);
        let mut at = 1;
        while let Some(name) = self.text.name(&mut at, fields.is_empty())? {
            if self.text.starts(at, b'[') && self.text.decoded(&name)? == "records" {
                return match place {
                    Place::Fragment => self.many(&fields, name, at, outer),
                    Place::Records => {
                        Err(self.text.fault(name.start, "`records` within `records`"))?
                    }
                };
            }
            let end = self.text.value(at)?;
            fields.push(Field {
                name,
                value: at..end,
            });
            at = end;
        }
        let envelope = self.one(&fields, outer)?;
        self.summary.records += 1;
        self.width = fields.len();
        self.text.consume(at);
        self.text.record = None;
        Ok(envelope)
    }

    /// Hands on the record that an object with these fields is, or has as its `data`.
    fn one(&mut self, fields: &[Field], outer: &Envelope) -> Result<Envelope, ReadError<E>> {
        let position = self.summary.records;
        let outside = self.text.named(fields)?;
        let Some(data) = outside.iter().position(|(name, value)| {
            name == "data" && matches!(value, Value::Json(text) if text.starts_with('{'))
        }) else {
            let record = Record {
                position,
                fields: outside,
                envelope: outer,
            };
            (self.sink)(record).map_err(ReadError::Sink)?;
            return Ok(Envelope::default());
        };
        let mut envelope = outer.clone();
        for ((name, _), field) in outside.iter().zip(fields) {
            if name == "records" {
                Err(self.text.fault(field.name.start, BOTH))?;
            }
            self.text.take(&mut envelope, name, &field.value)?;
        }
        self.summary.note(&envelope, position);
        let inside = self.text.members(fields[data].value.start)?;
        let record = Record {
            position,
            fields: self.text.named(&inside)?,
            envelope: &envelope,
        };
        (self.sink)(record).map_err(ReadError::Sink)?;
        Ok(envelope)
    }

    /// Reads an envelope of many from the value of its `records` on, at `at`.
    fn many(
        &mut self,
        before: &[Field],
        records: Range<usize>,
        at: usize,
        outer: &Envelope,
    ) -> Result<Envelope, ReadError<E>> {
        let first = self.summary.records;
        let mut envelope = outer.clone();
        let mut names = HashSet::new();
        for Field { name, value } in before {
            self.beside(&mut envelope, &mut names, name, value)?;
        }
        self.beside(&mut envelope, &mut names, &records, &(at..at))?;
        self.text.consume(at);
        self.array(Place::Records, &envelope)?;
        let mut at = 0;
        while let Some(name) = self.text.name(&mut at, false)? {
            let end = self.text.value(at)?;
            self.beside(&mut envelope, &mut names, &name, &(at..end))?;
            self.text.consume(end);
            at = 0;
        }
        self.text.consume(at);
        self.summary.note(&envelope, first);
        Ok(envelope)
    }

    /// Takes up a field that stands beside `records`.
    fn beside(
        &self,
        envelope: &mut Envelope,
        names: &mut HashSet<String>,
        name: &Range<usize>,
        value: &Range<usize>,
    ) -> Result<(), Fault> {
        let text = self.text.decoded(name)?;
        if text == "data" {
            return Err(self.text.fault(name.start, BOTH));
        }
        self.text.take(envelope, &text, value)?;
        match names.replace(text.into_owned()) {
            None => Ok(()),
            Some(twice) => Err(self.text.repeated(name.start, &twice)),
        }
    }
}

const BOTH: &str =
    "`data` and `records` in one object: which of them holds the records is not clear";
