//! The cells of a sheet, row by row.

use std::borrow::Cow;
use std::io::BufRead;

use quick_xml::events::{BytesStart, Event};

use super::package::About;
use super::serial::{self, Kind};
use super::xml::{Xml, attribute, push_text, unescaped};
use super::{Fault, cell_name};
use crate::record::{MOST_FIELDS, Most, TooLarge};

/// A cell that is not empty.
#[derive(Debug)]
pub(super) struct Cell {
    /// Counted from 0.
    pub(super) column: usize,
    pub(super) text: String,
    pub(super) sort: Sort,
}

/// What the file says that a cell is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sort {
    Text,
    /// A number or boolean.
    Number,
    /// A date or time.
    Moment,
}

/// Cells that are merged.
pub(super) struct Merged {
    /// `A2:A5`.
    pub(super) reference: String,
    pub(super) last_row: u64,
}

pub(super) struct Sheet<'a, R> {
    xml: Xml<R>,
    about: &'a About,
    merged: Vec<Merged>,
    /// The last row that was read.
    row: u64,
    most: Most,
}

impl<'a, R: BufRead> Sheet<'a, R> {
    pub(super) fn open(part: R, about: &'a About, most: Most) -> Self {
        Self {
            xml: Xml::new(part, "the sheet", most),
            about,
            merged: Vec::new(),
            row: 0,
            most,
        }
    }

    /// What is merged, known behind the last row.
    pub(super) fn merged(&self) -> &[Merged] {
        &self.merged
    }

    /// Reads the cells of the next row that are not empty, and returns its number.
    pub(super) fn next(&mut self, cells: &mut Vec<Cell>) -> Result<Option<u64>, Fault> {
        cells.clear();
        let (mut column, mut held) = (0, 0);
        while let Some(event) = self.xml.next()? {
            match event {
                Event::Start(element) => match element.local_name().as_ref() {
                    b"row" => {
                        let number = attribute(&element, b"r").and_then(|r| r.parse().ok());
                        let row = number.unwrap_or(self.row + 1);
                        if row <= self.row {
                            return Err(Fault::new(format!(
                                "row {row} comes behind row {}",
                                self.row
                            )));
                        }
                        self.row = row;
                    }
                    b"c" => {
                        let cell = Begun::of(&element, self.row, column)?;
                        column = cell.column + 1;
                        let (text, sort) = self.cell(&cell)?;
                        held += text.len() as u64;
                        if held > self.most.record {
                            return Err(Fault::Read(TooLarge::record(self.most.record).into()));
                        }
                        if cells.len() == MOST_FIELDS {
                            return Err(Fault::new(format!(
                                "row {}: a row of more than {MOST_FIELDS} cells",
                                self.row
                            )));
                        }
                        if !text.is_empty() {
                            cells.push(Cell {
                                column: cell.column,
                                text,
                                sort,
                            });
                        }
                    }
                    b"mergeCell" => {
                        let reference = attribute(&element, b"ref").unwrap_or_default();
                        let last = reference.rsplit(':').next().and_then(place);
                        if self.merged.len() == MOST_FIELDS {
                            return Err(Fault::new(format!(
                                "more than {MOST_FIELDS} merged cells"
                            )));
                        }
                        self.merged.push(Merged {
                            last_row: last.map_or(u64::MAX, |(_, row)| row),
                            reference,
                        });
                    }
                    _ => {}
                },
                Event::End(element) if element.local_name().as_ref() == b"row" => {
                    return Ok(Some(self.row));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// The text of the cell that was begun, and what it is.
    fn cell(&mut self, cell: &Begun) -> Result<(String, Sort), Fault> {
        let (mut value, mut inline) = (None, String::new());
        let (mut formula, mut inside, mut phonetic) = (false, false, false);
        loop {
            let Some(event) = self.xml.next()? else {
                return Err(Fault::new("the sheet ends within a cell"));
            };
            match &event {
                Event::Start(element) => match element.local_name().as_ref() {
                    b"v" => value = Some(self.xml.text(b"v")?),
                    b"f" => {
                        formula = true;
                        self.xml.text(b"f")?;
                    }
                    b"rPh" => phonetic = true,
                    b"t" => inside = !phonetic,
                    _ => {}
                },
                Event::End(element) => match element.local_name().as_ref() {
                    b"c" => break,
                    b"rPh" => phonetic = false,
                    b"t" => inside = false,
                    _ => {}
                },
                other if inside => push_text(&mut inline, other)?,
                _ => {}
            }
        }
        let wrong = |what: String| Err(Fault::new(format!("{}: {what}", cell.name)));
        // Some programs write an empty value where they computed none; only a text may be empty.
        let computed = |value: &String| !formula || cell.kind == "str" || !value.trim().is_empty();
        let Some(value) = value.filter(computed) else {
            if formula {
                return wrong("a formula without a stored value; open the workbook in a spreadsheet program and save it".into());
            }
            return Ok((unescaped(&inline), Sort::Text));
        };
        match cell.kind.as_str() {
            "s" => {
                let text = value
                    .trim()
                    .parse::<usize>()
                    .ok()
                    .and_then(|i| self.about.texts.get(i));
                match text {
                    Some(text) => Ok((text.clone(), Sort::Text)),
                    None => wrong(format!("there is no shared text {value}")),
                }
            }
            "str" => Ok((unescaped(&value), Sort::Text)),
            "b" => {
                // As XML Schema spells a boolean.
                let text = match value.trim() {
                    "1" | "true" => "true",
                    "0" | "false" => "false",
                    "" => "",
                    other => return wrong(format!("{other} is no boolean of a workbook")),
                };
                Ok((text.to_owned(), Sort::Number))
            }
            "d" => Ok((value, Sort::Moment)),
            // Any other text may be a value that is hidden elsewhere.
            "e" if value.starts_with('#') => wrong(format!("the error {value}")),
            "e" => wrong("an error".to_owned()),
            "n" => {
                let number = value.trim();
                let kind = match self.about.styles.get(cell.style) {
                    Some(kind) => *kind,
                    None if cell.style == 0 => Kind::Number,
                    None => return wrong(format!("a style that is not there: {}", cell.style)),
                };
                match kind {
                    Kind::Number => Ok((meant(number).into_owned(), Sort::Number)),
                    _ if number.is_empty() => Ok((String::new(), Sort::Moment)),
                    kind => match serial::text(number, kind, self.about.from_1904) {
                        Ok(text) => Ok((text, Sort::Moment)),
                        Err(what) => wrong(what),
                    },
                }
            }
            other => wrong(format!("a kind of value that is not known: {other}")),
        }
    }
}

/// The number that was typed. Excel writes all 17 digits of the double which it keeps (`1.1` as `1.1000000000000001`): of
/// these the shortest number is meant that is the same double, as programs that read workbooks take it. Digits that are
/// not those of a double are meant as they stand.
fn meant(number: &str) -> Cow<'_, str> {
    let digits = |text: &str| {
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        digits
            .trim_start_matches('0')
            .trim_end_matches('0')
            .to_owned()
    };
    let own = digits(number);
    match number.parse::<f64>() {
        Ok(double) if own.len() > 15 && own == digits(&format!("{double:.16e}")) => {
            let size = double.abs();
            match (1e-7..1e17).contains(&size) {
                true => Cow::from(double.to_string()),
                false => Cow::from(format!("{double:E}")),
            }
        }
        _ => Cow::from(number),
    }
}

/// What the start of a cell says.
struct Begun {
    name: String,
    column: usize,
    kind: String,
    style: usize,
}

impl Begun {
    fn of(element: &BytesStart<'_>, row: u64, next: usize) -> Result<Self, Fault> {
        let column = match attribute(element, b"r") {
            None => next,
            Some(reference) => match place(&reference) {
                Some((column, of)) if of == row && column >= next => column,
                _ => {
                    return Err(Fault::new(format!(
                        "the cell {reference} in row {row} is out of its place"
                    )));
                }
            },
        };
        let name = cell_name(column, row);
        let style = match attribute(element, b"s") {
            None => 0,
            Some(style) => style
                .parse()
                .map_err(|_| Fault::new(format!("the style of the cell {name} is no number")))?,
        };
        Ok(Self {
            name,
            column,
            kind: attribute(element, b"t").unwrap_or_else(|| "n".to_owned()),
            style,
        })
    }
}

/// Column, from 0, and row, from 1, of a cell's name.
fn place(reference: &str) -> Option<(usize, u64)> {
    let digits = reference.find(|c: char| c.is_ascii_digit())?;
    let (letters, row) = reference.split_at(digits);
    if letters.is_empty() || letters.len() > 3 {
        return None;
    }
    let mut column = 0;
    for letter in letters.bytes() {
        if !letter.is_ascii_uppercase() {
            return None;
        }
        column = column * 26 + usize::from(letter - b'A') + 1;
    }
    Some((column - 1, row.parse().ok()?))
}
