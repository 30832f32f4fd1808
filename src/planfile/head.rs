//! The beginning of a file: its format, its hash, and the header, one field or table a line.

use std::io::{Result, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::plan::Header;

/// The beginning of a file of this format, up to the list of fragments, which is opened; `more` stands
/// behind the hash.
///
/// # Errors
/// Where the header cannot be serialized.
pub fn header_json(
    header: &Header,
    hash: &str,
    format: &str,
    more: &[(&str, serde_json::Value)],
) -> serde_json::Result<String> {
    let mut text = String::from("{\n");
    let mut line = |name: &str, value: &str| text += &format!("\"{name}\": {value},\n");
    line("format", &serde_json::to_string(format)?);
    line("plan_hash", &serde_json::to_string(hash)?);
    for (name, value) in more {
        line(name, &value.to_string());
    }
    let mut lines = Vec::new();
    header.serialize(&mut Serializer::with_formatter(
        &mut lines,
        Lines::default(),
    ))?;
    line("header", &String::from_utf8_lossy(&lines));
    text += "\"fragments\": [";
    Ok(text)
}

/// One line for each field of the object and each object of a list in it, so that people can diff.
#[derive(Default)]
struct Lines {
    depth: usize,
    /// Whether the list has objects.
    broken: bool,
}

impl Formatter for Lines {
    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> Result<()> {
        if self.depth == 2 {
            self.broken = true;
            out.write_all(b"\n")?;
        }
        self.depth += 1;
        out.write_all(b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> Result<()> {
        self.depth -= 1;
        match self.depth {
            0 => out.write_all(b"\n}"),
            _ => out.write_all(b"}"),
        }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> Result<()> {
        match (first, self.depth) {
            (true, 1) => out.write_all(b"\n"),
            (false, 1) => out.write_all(b",\n"),
            (true, _) => Ok(()),
            (false, _) => out.write_all(b","),
        }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> Result<()> {
        match self.depth {
            1 => out.write_all(b": "),
            _ => out.write_all(b":"),
        }
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> Result<()> {
        self.depth += 1;
        out.write_all(b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> Result<()> {
        self.depth -= 1;
        if self.depth == 1 && std::mem::take(&mut self.broken) {
            out.write_all(b"\n")?;
        }
        out.write_all(b"]")
    }
}
