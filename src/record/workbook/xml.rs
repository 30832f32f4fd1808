//! What all parts of a workbook need of XML.

use std::io::{self, BufRead, Read};

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::Fault;
use crate::record::{Most, TooLarge};

/// The events of one part.
pub(super) struct Xml<R> {
    reader: Reader<Metered<R>>,
    buffer: Vec<u8>,
    part: String,
    most: Most,
}

/// A part that counts what is read of it, since an event began and in all.
struct Metered<R> {
    part: R,
    event: u64,
    all: u64,
    most: Most,
}

impl<R: BufRead> Read for Metered<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.part.read(into)?;
        self.count(count)?;
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Metered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.count(0)?;
        self.part.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.event += count as u64;
        self.all += count as u64;
        self.part.consume(count);
    }
}

impl<R> Metered<R> {
    fn count(&mut self, count: usize) -> io::Result<()> {
        self.event += count as u64;
        self.all += count as u64;
        if self.event > self.most.record {
            return Err(TooLarge::record(self.most.record).into());
        }
        if self.all > self.most.unpacked {
            return Err(TooLarge::unpacked(self.most.unpacked).into());
        }
        Ok(())
    }
}

impl<R: BufRead> Xml<R> {
    pub(super) fn new(part: R, name: &str, most: Most) -> Self {
        let metered = Metered {
            part,
            event: 0,
            all: 0,
            most,
        };
        let mut reader = Reader::from_reader(metered);
        reader.config_mut().expand_empty_elements = true;
        Self {
            reader,
            buffer: Vec::new(),
            part: name.to_owned(),
            most,
        }
    }

    /// The next event; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Event<'_>>, Fault> {
        self.buffer.clear();
        self.reader.get_mut().event = 0;
        match self.reader.read_event_into(&mut self.buffer) {
            Ok(Event::Eof) => Ok(None),
            // Entities that a document declares can grow without bound; workbooks have none.
            Ok(Event::DocType(_)) => Err(Fault::new(format!(
                "{} declares a document type",
                self.part
            ))),
            Ok(event) => Ok(Some(event)),
            Err(quick_xml::Error::Io(error)) if TooLarge::of(&error).is_some() => Err(Fault::Read(
                TooLarge::of(&error).map_or_else(|| io::ErrorKind::Other.into(), io::Error::from),
            )),
            Err(quick_xml::Error::Io(error)) => {
                Err(Fault::new(format!("{} cannot be read: {error}", self.part)))
            }
            Err(error) => Err(Fault::new(format!("{} is not XML: {error}", self.part))),
        }
    }

    /// The text up to the end of the element that was begun last, whose name is `name`.
    pub(super) fn text(&mut self, name: &[u8]) -> Result<String, Fault> {
        let mut text = String::new();
        while let Some(event) = self.next()? {
            match event {
                Event::End(end) if end.local_name().as_ref() == name => break,
                event => push_text(&mut text, &event)?,
            }
            if text.len() as u64 > self.most.record {
                return Err(Fault::Read(TooLarge::record(self.most.record).into()));
            }
        }
        Ok(text)
    }
}

/// Appends what `event` says as text; nothing for an element.
pub(super) fn push_text(text: &mut String, event: &Event<'_>) -> Result<(), Fault> {
    let broken = |_| Fault::new("a text of the workbook is not UTF-8");
    match event {
        Event::Text(more) => text.push_str(&more.xml10_content().map_err(broken)?),
        Event::CData(more) => text.push_str(&more.xml10_content().map_err(broken)?),
        Event::GeneralRef(reference) => text.push(character(reference)?),
        _ => {}
    }
    Ok(())
}

fn character(reference: &BytesRef<'_>) -> Result<char, Fault> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Ok(character);
    }
    match &**reference {
        b"lt" => Ok('<'),
        b"gt" => Ok('>'),
        b"amp" => Ok('&'),
        b"quot" => Ok('"'),
        b"apos" => Ok('\''),
        other => Err(Fault::new(format!(
            "&{}; in a text of the workbook is not known",
            String::from_utf8_lossy(other)
        ))),
    }
}

/// The attribute `name` of an element, whatever its prefix is.
pub(super) fn attribute(element: &BytesStart<'_>, name: &[u8]) -> Option<String> {
    let attributes = element.attributes().flatten();
    let mut found = attributes.filter(|a| a.key.local_name().as_ref() == name);
    let value = found
        .next()?
        .normalized_value(XmlVersion::Explicit1_0)
        .ok()?;
    Some(value.into_owned())
}

/// The text that a cell means: `_x000D_` is how a workbook writes a character that XML cannot have.
pub(super) fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("_x") {
        let digits = rest
            .get(at + 2..at + 6)
            .filter(|_| rest[at + 6..].starts_with('_'));
        let code = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match code
            .and_then(|d| u32::from_str_radix(d, 16).ok())
            .and_then(char::from_u32)
        {
            Some(character) => {
                out.push_str(&rest[..at]);
                out.push(character);
                rest = &rest[at + 7..];
            }
            None => {
                out.push_str(&rest[..at + 2]);
                rest = &rest[at + 2..];
            }
        }
    }
    out.push_str(rest);
    out
}
