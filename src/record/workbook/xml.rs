//! What all parts of a workbook need of XML.

use std::io::BufRead;

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::Fault;

/// The events of one part.
pub(super) struct Xml<R> {
    reader: Reader<R>,
    buffer: Vec<u8>,
    part: String,
}

impl<R: BufRead> Xml<R> {
    pub(super) fn new(reader: R, part: &str) -> Self {
        let mut reader = Reader::from_reader(reader);
        reader.config_mut().expand_empty_elements = true;
        Self {
            reader,
            buffer: Vec::new(),
            part: part.to_owned(),
        }
    }

    /// The next event; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Event<'_>>, Fault> {
        self.buffer.clear();
        match self.reader.read_event_into(&mut self.buffer) {
            Ok(Event::Eof) => Ok(None),
            // Entities that a document declares can grow without bound; workbooks have none.
            Ok(Event::DocType(_)) => Err(Fault::new(format!(
                "{} declares a document type",
                self.part
            ))),
            Ok(event) => Ok(Some(event)),
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
