//! The parts of a workbook: which sheets it has, its shared texts, and which formats are dates.

use std::io::{self, BufReader, Read, Seek};

use quick_xml::events::Event;
use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

use super::Fault;
use super::serial::{Kind, builtin, custom};
use super::xml::{Xml, attribute, push_text, unescaped};
use crate::record::{Most, TooLarge};

pub(super) struct Package<R> {
    archive: ZipArchive<R>,
    most: Most,
}

/// What must be known to read a sheet.
#[derive(Default)]
pub(super) struct About {
    /// Names and parts of the sheets, in order.
    sheets: Vec<(String, String)>,
    /// Whether days are counted from 1904.
    pub(super) from_1904: bool,
    /// The texts to which cells refer.
    pub(super) texts: Vec<String>,
    /// What a number in a cell of each style is.
    pub(super) styles: Vec<Kind>,
}

impl About {
    /// The names of the sheets, in order.
    pub(super) fn names(self) -> Vec<String> {
        self.sheets.into_iter().map(|(name, _)| name).collect()
    }
}

/// How many times as large as one record all shared texts together may be.
const TEXTS: u64 = 4;

/// A part while it is read.
pub(super) type Part<'p, R> = BufReader<ZipFile<'p, R>>;

impl<R: Read + Seek> Package<R> {
    pub(super) fn open(reader: R, most: Most) -> Result<Self, Fault> {
        match ZipArchive::new(reader) {
            Ok(archive) => Ok(Self { archive, most }),
            Err(ZipError::Io(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                Err(Fault::Read(error))
            }
            Err(_) => Err(Fault::new(
                "the file is no Excel workbook (.xlsx), or it is cut off or encrypted",
            )),
        }
    }

    /// The part of that name.
    pub(super) fn part(&mut self, name: &str) -> Result<Part<'_, R>, Fault> {
        match self.archive.by_name(name) {
            Ok(part) => Ok(BufReader::new(part)),
            Err(error) => Err(Fault::new(format!(
                "the workbook's part {name} cannot be read: {error}"
            ))),
        }
    }

    fn xml(&mut self, name: &str) -> Result<Xml<Part<'_, R>>, Fault> {
        let most = self.most;
        Ok(Xml::new(self.part(name)?, name, most))
    }

    pub(super) fn about(&mut self) -> Result<About, Fault> {
        let mut about = About::default();
        let mut sheets = Vec::new();
        let mut xml = self.xml("xl/workbook.xml")?;
        while let Some(event) = xml.next()? {
            let Event::Start(element) = event else {
                continue;
            };
            match element.local_name().as_ref() {
                b"workbookPr" => {
                    let value = attribute(&element, b"date1904");
                    about.from_1904 = matches!(value.as_deref(), Some("1" | "true"));
                }
                b"sheet" => {
                    sheets.extend(attribute(&element, b"name").zip(attribute(&element, b"id")))
                }
                _ => {}
            }
        }
        drop(xml);
        let (mut targets, mut texts, mut styles) = (Vec::new(), None, None);
        let mut xml = self.xml("xl/_rels/workbook.xml.rels")?;
        while let Some(event) = xml.next()? {
            let Event::Start(element) = event else {
                continue;
            };
            let target = attribute(&element, b"Target").unwrap_or_default();
            let path = match target.strip_prefix('/') {
                Some(path) => path.to_owned(),
                None => format!("xl/{target}"),
            };
            let kind = attribute(&element, b"Type").unwrap_or_default();
            match kind.rsplit('/').next() {
                Some("worksheet") => {
                    targets.extend(attribute(&element, b"Id").map(|id| (id, path)))
                }
                Some("sharedStrings") => texts = Some(path),
                Some("styles") => styles = Some(path),
                _ => {}
            }
        }
        drop(xml);
        for (name, id) in sheets {
            let target = targets.iter().find(|(known, _)| *known == id);
            // Chart sheets have no cells.
            about
                .sheets
                .extend(target.map(|(_, path)| (name, path.clone())));
        }
        if let Some(path) = texts {
            let most = self.most;
            about.texts = texts_in(self.xml(&path)?, most)?;
        }
        if let Some(path) = styles {
            about.styles = styles_in(self.xml(&path)?)?;
        }
        Ok(about)
    }

    /// The part of the sheet that is `named`, or else of the only one that has cells.
    pub(super) fn sheet(&mut self, about: &About, named: Option<&str>) -> Result<String, Fault> {
        let names: Vec<&str> = about.sheets.iter().map(|(name, _)| name.as_str()).collect();
        if let Some(named) = named {
            let found = about.sheets.iter().find(|(name, _)| name == named);
            return found.map(|(_, part)| part.clone()).ok_or_else(|| {
                Fault::new(format!(
                    "there is no sheet {named:?}, which tables.yaml names (`excel`); there is {names:?}"
                ))
            });
        }
        let mut filled = Vec::new();
        for (name, part) in &about.sheets {
            if self.has_cells(part)? {
                filled.push((name, part));
            }
        }
        match (filled.as_slice(), about.sheets.first()) {
            ([(_, part)], _) => Ok((*part).clone()),
            ([], Some((_, part))) => Ok(part.clone()),
            ([], None) => Err(Fault::new("the workbook has no sheet")),
            (several, _) => Err(Fault::new(format!(
                "several sheets have cells: {:?}; say which is meant: `excel: {{sheet: {:?}}}` for this table in \
                 tables.yaml",
                several.iter().map(|(name, _)| name).collect::<Vec<_>>(),
                several[0].0
            ))),
        }
    }

    /// Whether a cell of the sheet has a value.
    fn has_cells(&mut self, part: &str) -> Result<bool, Fault> {
        let mut xml = self.xml(part)?;
        while let Some(event) = xml.next()? {
            if let Event::Start(element) = event
                && matches!(element.local_name().as_ref(), b"v" | b"is" | b"f")
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The shared texts: of rich ones the runs together, without how they are pronounced.
fn texts_in(mut xml: Xml<impl io::BufRead>, most: Most) -> Result<Vec<String>, Fault> {
    let (mut texts, mut held) = (Vec::new(), 0);
    let mut text = String::new();
    let (mut inside, mut phonetic) = (false, false);
    while let Some(event) = xml.next()? {
        match &event {
            Event::Start(element) => match element.local_name().as_ref() {
                b"si" => text.clear(),
                b"rPh" => phonetic = true,
                b"t" => inside = !phonetic,
                _ => {}
            },
            Event::End(element) => match element.local_name().as_ref() {
                b"si" => {
                    // All of them are held, with what each takes beside its text.
                    held += (text.len() + size_of::<String>()) as u64;
                    if held > TEXTS * most.record {
                        return Err(Fault::Read(TooLarge::record(TEXTS * most.record).into()));
                    }
                    texts.push(unescaped(&text));
                }
                b"rPh" => phonetic = false,
                b"t" => inside = false,
                _ => {}
            },
            other if inside => {
                push_text(&mut text, other)?;
                if text.len() as u64 > most.record {
                    return Err(Fault::Read(TooLarge::record(most.record).into()));
                }
            }
            _ => {}
        }
    }
    Ok(texts)
}

/// What numbers are by each style of `cellXfs`.
fn styles_in(mut xml: Xml<impl io::BufRead>) -> Result<Vec<Kind>, Fault> {
    let mut formats: Vec<(String, Kind)> = Vec::new();
    let mut styles = Vec::new();
    let mut inside = false;
    while let Some(event) = xml.next()? {
        match &event {
            Event::Start(element) => match element.local_name().as_ref() {
                b"numFmt" => {
                    let code = attribute(element, b"formatCode").unwrap_or_default();
                    let id = attribute(element, b"numFmtId").unwrap_or_default();
                    formats.push((id, custom(&code)));
                }
                b"cellXfs" => inside = true,
                b"xf" if inside => {
                    let id = attribute(element, b"numFmtId").unwrap_or_default();
                    let own = formats.iter().find(|(known, _)| *known == id);
                    styles.push(own.map_or_else(|| builtin(&id), |(_, kind)| *kind));
                }
                _ => {}
            },
            Event::End(element) if element.local_name().as_ref() == b"cellXfs" => inside = false,
            _ => {}
        }
    }
    Ok(styles)
}
