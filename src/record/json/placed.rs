//! Records of a file that `tables.yaml` says where to find: deeper in it, or under their keys.

use std::borrow::Cow;
use std::collections::HashMap;

use super::object::fields;
use super::{Reader, Window};
use crate::record::{ReadError, Record, Value};
use crate::table::delivery::{Pointer, Records};

/// What beside the array of records says something about them.
const HEEDED: [&str; 2] = ["op", "extracted_at"];

impl<W: Window, E> Reader<'_, '_, W, E> {
    /// Reads a file whose records stand where `records` says.
    pub(super) fn placed(&mut self, records: &Records) -> Result<(), ReadError<E>> {
        match records {
            Records::At(names) => self.at(names, names)?,
            Records::KeyInto(field) => self.keyed(field)?,
        }
        self.text.record = None;
        match self.text.next()? {
            None => Ok(()),
            Some(_) => Err(self.text.unexpected(0, "the end after the records"))?,
        }
    }

    /// Reads the array to which `names`, what is left of `all`, lead.
    fn at(&mut self, names: &[String], all: &[String]) -> Result<(), ReadError<E>> {
        let Some((wanted, deeper)) = names.split_first() else {
            return match self.text.next()? {
                Some(b'[') => self.array(Self::record),
                _ => Err(self
                    .text
                    .unexpected(0, "an array of records, as `records` in tables.yaml says"))?,
            };
        };
        if let (Some(b'['), Ok(number)) = (self.text.next()?, wanted.parse()) {
            return self.element(number, deeper, all);
        }
        let (mut found, mut first) = (false, 0);
        let mut around = String::from("{");
        self.expect_members()?;
        while let Some(name) = self.member()? {
            if name != *wanted {
                let end = self.text.value(0)?;
                if deeper.is_empty() && HEEDED.contains(&&*name) {
                    let comma = if around.len() > 1 { "," } else { "" };
                    around += &format!("{comma}\"{name}\":{}", self.text.utf8(0..end)?);
                }
                self.text.consume(end);
            } else if found {
                Err(self
                    .text
                    .fault(0, format!("the field {wanted:?} is given twice")))?;
            } else {
                found = true;
                first = self.summary.records + 1;
                self.deletes = self.deletes_around(&format!("{around}}}"))?;
                self.at(deeper, all)?;
            }
        }
        if found {
            if deeper.is_empty() {
                around.push('}');
                let around = fields(&around, self.width);
                let around = around.map_err(|wrong| self.text.fault(0, wrong.message))?;
                self.heed(&around, wanted, first)?;
            }
            return Ok(());
        }
        let at = Pointer(all);
        let message = format!(
            "no field {wanted:?} in the object before this, and `records` in tables.yaml says that the records are at {at}"
        );
        Err(self.text.fault(0, message))?
    }

    /// Reads the array to which `names`, what is left of `all`, lead from the element `number` of the array that is next.
    fn element(
        &mut self,
        number: usize,
        names: &[String],
        all: &[String],
    ) -> Result<(), ReadError<E>> {
        self.text.consume(1);
        let mut at = 0;
        while self.text.next()? != Some(b']') {
            if at == number {
                self.at(names, all)?;
            } else {
                let end = self.text.value(0)?;
                self.text.consume(end);
            }
            at += 1;
            match self.text.next()? {
                Some(b',') => self.text.consume(1),
                Some(b']') => {}
                _ => Err(self.text.unexpected(0, "`,` or `]` after the element"))?,
            }
        }
        self.text.consume(1);
        if at > number {
            return Ok(());
        }
        let at = Pointer(all);
        let message = format!(
            "no element {number} in the array before this, and `records` in tables.yaml says that the records are at {at}"
        );
        Err(self.text.fault(0, message))?
    }

    /// Reads the object whose members are records, and puts their keys into `field`.
    fn keyed(&mut self, field: &str) -> Result<(), ReadError<E>> {
        let mut keys = HashMap::new();
        self.expect_members()?;
        loop {
            self.text.record = Some(self.summary.records + 1);
            let mut at = 0;
            let Some(name) = self.text.name(&mut at, self.summary.records == 0)? else {
                self.text.consume(at);
                return Ok(());
            };
            if !self.text.starts(at, b'{') {
                Err(self.text.unexpected(at, "a record (an object)"))?;
            }
            let end = self.text.value(at)?;
            self.bound(end)?;
            let (key, text) = (self.text.utf8(name)?, self.text.utf8(at..end)?);
            // The key itself may be a sensitive value.
            let position = self.summary.records + 1;
            if let Some(first) = keys.insert(key.to_owned(), position) {
                let message = format!("the key is that of record {first}, too");
                Err(self.text.fault(0, message))?;
            }
            let mut fields =
                fields(text, self.width).map_err(|wrong| self.text.fault_in(text, wrong))?;
            if fields.iter().any(|(name, _)| name == field) {
                let message = format!(
                    "the record has a field {field:?}, into which `records` in tables.yaml puts its key"
                );
                Err(self.text.fault(at, message))?;
            }
            fields.push((Cow::Borrowed(field), Value::Json(key)));
            self.width = fields.len();
            let record = Record {
                position: self.summary.records + 1,
                fields,
                extracted: None,
                deletes: false,
            };
            (self.sink)(record).map_err(ReadError::Sink)?;
            self.done(end);
        }
    }

    /// Moves into the object that is next.
    fn expect_members(&mut self) -> Result<(), ReadError<E>> {
        match self.text.next()? {
            Some(b'{') => self.text.consume(1),
            _ => Err(self
                .text
                .unexpected(0, "an object, as `records` in tables.yaml says"))?,
        }
        self.first = true;
        Ok(())
    }

    /// Moves to the value of the next member of the object, and returns its name; `None` behind the object.
    fn member(&mut self) -> Result<Option<String>, ReadError<E>> {
        let mut at = 0;
        let first = std::mem::replace(&mut self.first, false);
        let name = match self.text.name(&mut at, first)? {
            None => None,
            Some(name) => {
                let begins = name.start;
                let name = serde_json::from_str(self.text.utf8(name)?);
                let misspelled = |_| self.text.fault(begins, "a name that is no text");
                Some(name.map_err(misspelled)?)
            }
        };
        self.text.consume(at);
        Ok(name)
    }
}
