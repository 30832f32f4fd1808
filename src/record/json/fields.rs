//! The fields of one object, and what an envelope takes from them.

use std::borrow::Cow;
use std::ops::Range;

use super::text::{Fault, Text};
use crate::record::window::Window;
use crate::record::{Envelope, Value};

/// Where a name and its value stand in the window.
pub(super) struct Field {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
}

impl<W: Window> Text<W> {
    /// The fields of the object at `at`.
    pub(super) fn members(&mut self, mut at: usize) -> Result<Vec<Field>, Fault> {
        at += 1;
        let mut fields = Vec::new();
        while let Some(name) = self.name(&mut at, fields.is_empty())? {
            let end = self.value(at)?;
            fields.push(Field {
                name,
                value: at..end,
            });
            at = end;
        }
        Ok(fields)
    }

    /// The decoded name at `name`.
    pub(super) fn decoded(&self, name: &Range<usize>) -> Result<Cow<'_, str>, Fault> {
        self.string(self.utf8(name.clone())?, name.start)
    }

    /// Decoded names, each once, with their values.
    pub(super) fn named(&self, fields: &[Field]) -> Result<Vec<(Cow<'_, str>, Value<'_>)>, Fault> {
        let end = fields.last().map_or(0, |field| field.value.end);
        let text = self.utf8(0..end)?;
        let named = fields
            .iter()
            .map(|Field { name, value }| {
                let decoded = self.string(&text[name.clone()], name.start)?;
                Ok((decoded, Value::Json(&text[value.clone()])))
            })
            .collect::<Result<Vec<_>, Fault>>()?;
        let mut order: Vec<_> = named.iter().map(|(name, _)| name).zip(fields).collect();
        order.sort_by_key(|(name, _)| (name.len(), *name));
        match order.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(self.repeated(pair[1].1.name.start, pair[1].0)),
            None => Ok(named),
        }
    }

    /// Takes `value` into the envelope where `name` is one of its fields.
    pub(super) fn take(
        &self,
        envelope: &mut Envelope,
        name: &str,
        value: &Range<usize>,
    ) -> Result<(), Fault> {
        let raw = self.utf8(value.clone())?;
        let slot = match name {
            "fragment_id" => &mut envelope.fragment_id,
            "table_name" => &mut envelope.table_name,
            "batch_id" => &mut envelope.batch_id,
            _ => return Ok(()),
        };
        *slot = match raw.as_bytes().first() {
            Some(b'n') => return Ok(()),
            Some(b'"') => Some(self.string(raw, value.start)?.into_owned()),
            Some(b'{' | b'[') => {
                let message = format!("the envelope's {name} is not a single value");
                return Err(self.fault(value.start, message));
            }
            _ => Some(raw.to_owned()),
        };
        Ok(())
    }
}
