//! Records as they were delivered, for who must mend them: delimited values, or JSON a line.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Result, Seek, SeekFrom, Write};

use serde::{Deserialize, Serialize};

use crate::record::rejected::{DELETE, EXTRACTED_AT, GIVEN, OP, TABLE, WHY};

/// A record that is not loaded, with where it stands and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Its table's name as configured.
    pub table: String,
    /// The object that it comes from.
    pub object: String,
    /// Its line, row or number there.
    pub position: u64,
    /// The rules that it breaks.
    pub rule: String,
    /// Why, in words.
    pub reason: String,
    /// Whether it names a row to be deleted.
    pub deletes: bool,
    /// When it was extracted, where that is known.
    pub extracted: Option<String>,
    /// Its fields as they were delivered.
    pub fields: Vec<(String, Delivered)>,
}

/// A value as it was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivered {
    /// An empty cell, or JSON's null.
    Nothing,
    /// A text.
    Text(String),
    /// Any other value, as JSON writes it.
    Json(String),
}

/// Rejected records on their way to a file, in the order in which they were delivered. As delimited values
/// they have one header, which is known when all are there.
pub struct Rejects {
    spool: BufWriter<File>,
    names: Vec<String>,
    /// The least fields that one has.
    least: usize,
    deletes: bool,
    extracted: bool,
    /// The first one's table, and whether there are others.
    tables: (Option<String>, bool),
    /// How many there are.
    pub count: u64,
}

/// How a file of rejected records is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Delimited values as RFC 4180 says, in UTF-8.
    Csv,
    /// A JSON object a line.
    Ndjson,
}

impl Rejects {
    /// None yet.
    ///
    /// # Errors
    /// Where no temporary file can be made.
    pub fn new() -> Result<Rejects> {
        Ok(Rejects {
            spool: BufWriter::new(tempfile::tempfile()?),
            names: Vec::new(),
            least: usize::MAX,
            deletes: false,
            extracted: false,
            tables: (None, false),
            count: 0,
        })
    }

    /// Takes a record.
    ///
    /// # Errors
    /// Where the temporary file cannot be written.
    pub fn push(&mut self, rejected: &Rejected) -> Result<()> {
        for (name, _) in &rejected.fields {
            if !self.names.contains(name) {
                self.names.push(name.clone());
            }
        }
        self.least = self.least.min(rejected.fields.len());
        self.deletes |= rejected.deletes;
        self.extracted |= rejected.extracted.is_some();
        let first = self.tables.0.get_or_insert_with(|| rejected.table.clone());
        self.tables.1 |= *first != rejected.table;
        self.count += 1;
        serde_json::to_writer(&mut self.spool, rejected)?;
        self.spool.write_all(b"\n")
    }

    /// Writes all of them to `out`.
    ///
    /// # Errors
    /// Where that fails.
    pub fn write(self, form: Form, out: &mut impl Write) -> Result<()> {
        let mut file = self.spool.into_inner().map_err(|e| e.into_error())?;
        file.seek(SeekFrom::Start(0))?;
        let columns = Columns {
            given: self.least < self.names.len(),
            names: self.names,
            deletes: self.deletes,
            extracted: self.extracted,
            tables: self.tables.1,
        };
        if form == Form::Csv {
            let ours = columns.ours(&Rejected::default());
            let ours = ours.into_iter().map(|(name, _)| name.to_owned());
            row(out, columns.names.iter().cloned().chain(ours).map(Some))?;
        }
        for line in BufReader::new(file).lines() {
            let rejected: Rejected = serde_json::from_str(&line?)?;
            match form {
                Form::Csv => columns.csv(out, &rejected)?,
                Form::Ndjson => columns.ndjson(out, &rejected)?,
            }
        }
        Ok(())
    }
}

/// What records have.
struct Columns {
    names: Vec<String>,
    /// Whether some have more fields than others.
    given: bool,
    deletes: bool,
    extracted: bool,
    /// Whether they are of several tables.
    tables: bool,
}

impl Columns {
    /// What stands behind the record's own fields.
    fn ours(&self, rejected: &Rejected) -> Vec<(&'static str, Option<String>)> {
        let why = [
            &rejected.object,
            &rejected.position.to_string(),
            &rejected.rule,
            &rejected.reason,
        ];
        let why = why.map(|text| Some(text.clone()));
        let mut ours: Vec<_> = WHY.into_iter().zip(why).collect();
        if self.tables {
            ours.push((TABLE, Some(rejected.table.clone())));
        }
        if self.deletes {
            ours.push((OP, rejected.deletes.then(|| DELETE.to_owned())));
        }
        if self.extracted {
            ours.push((EXTRACTED_AT, rejected.extracted.clone()));
        }
        if self.given {
            let names = rejected.fields.iter().map(|(name, _)| name.as_str());
            let names = serde_json::Value::from(names.collect::<Vec<_>>());
            ours.push((GIVEN, Some(names.to_string())));
        }
        ours
    }

    fn csv(&self, out: &mut impl Write, rejected: &Rejected) -> Result<()> {
        let own = self.names.iter().map(|name| {
            let value = rejected.fields.iter().find(|(of, _)| of == name);
            match value.map(|(_, value)| value) {
                None | Some(Delivered::Nothing) => None,
                Some(Delivered::Text(text) | Delivered::Json(text)) => Some(text.clone()),
            }
        });
        let ours = self.ours(rejected).into_iter().map(|(_, text)| text);
        row(out, own.chain(ours))
    }

    fn ndjson(&self, out: &mut impl Write, rejected: &Rejected) -> Result<()> {
        let string = |text: &str| serde_json::Value::from(text).to_string();
        let own = rejected.fields.iter().map(|(field, value)| {
            let value = match value {
                Delivered::Nothing => "null".to_owned(),
                Delivered::Text(text) => string(text),
                Delivered::Json(json) => json.clone(),
            };
            (string(field), value)
        });
        let ours = self.ours(rejected).into_iter();
        let ours = ours.filter(|(name, text)| text.is_some() && *name != GIVEN);
        let ours = ours.map(|(name, text)| {
            let text = text.unwrap_or_default();
            let is_number = name == WHY[1];
            let value = if is_number { text } else { string(&text) };
            (string(name), value)
        });
        let members = own
            .chain(ours)
            .map(|(name, value)| format!("{name}:{value}"));
        let members: Vec<String> = members.collect();
        writeln!(out, "{{{}}}", members.join(","))
    }
}

/// One row: nothing is an empty cell, an empty text is one in quotes.
fn row(out: &mut impl Write, cells: impl Iterator<Item = Option<String>>) -> Result<()> {
    let cells = cells.map(|cell| match cell {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains([',', '"', '\r', '\n']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(text) => text,
    });
    let cells: Vec<String> = cells.collect();
    writeln!(out, "{}", cells.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_written_as_it_was_delivered() {
        let first = Rejected {
            table: "t".into(),
            object: "o.csv".into(),
            position: 2,
            rule: "invalid_value".into(),
            reason: "n: not \"good\"".into(),
            deletes: false,
            extracted: None,
            fields: vec![
                ("a".into(), Delivered::Text("x,\"y\"\n".into())),
                ("b".into(), Delivered::Nothing),
            ],
        };
        let second = Rejected {
            table: "t".into(),
            position: 3,
            fields: vec![
                ("c".into(), Delivered::Json("[1, 2.50]".into())),
                ("a".into(), Delivered::Text(String::new())),
            ],
            ..Rejected::default()
        };
        let written = |form| {
            let mut rejects = Rejects::new().unwrap();
            rejects.push(&first).unwrap();
            rejects.push(&second).unwrap();
            let mut out = Vec::new();
            rejects.write(form, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            written(Form::Csv),
            "a,b,c,loader:object,loader:position,loader:rule,loader:reason,loader:given\n\
             \"x,\"\"y\"\"\n\",,,o.csv,2,invalid_value,\"n: not \"\"good\"\"\",\"[\"\"a\"\",\"\"b\"\"]\"\n\
             \"\",,\"[1, 2.50]\",\"\",3,\"\",\"\",\"[\"\"c\"\",\"\"a\"\"]\"\n"
        );
        assert_eq!(
            written(Form::Ndjson),
            "{\"a\":\"x,\\\"y\\\"\\n\",\"b\":null,\"loader:object\":\"o.csv\",\"loader:position\":2,\
             \"loader:rule\":\"invalid_value\",\"loader:reason\":\"n: not \\\"good\\\"\"}\n\
             {\"c\":[1, 2.50],\"a\":\"\",\"loader:object\":\"\",\"loader:position\":3,\"loader:rule\":\"\",\"loader:reason\":\"\"}\n"
        );
    }
}
