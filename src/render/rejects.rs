//! Records as they were delivered, for who must mend them: delimited values, or JSON a line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Result, Seek, SeekFrom, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::rejected::{CELLS, DELETE, EMPTY, EXTRACTED_AT, GIVEN, JSON, OP, TABLE, WHY};

/// A record that is not loaded, with where it stands and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The table's name as configured: whose it says that it is, or that of its object.
    pub table: String,
    /// Whether it says that itself, or has to.
    pub says_table: bool,
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
    /// What was said beside it and could not be read, by its name.
    pub unreadable: Vec<(String, String)>,
    /// Its fields as they were delivered.
    pub fields: Vec<(String, Delivered)>,
}

/// A value as it was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivered {
    /// An empty cell.
    Blank,
    /// JSON's null.
    Null,
    /// A text.
    Text(String),
    /// The text of a cell, where JSON's text would be something else.
    Cell(String),
    /// Any other value, as JSON writes it.
    Json(String),
    /// A value as JSON writes it, of which the text of a cell would be something else.
    OnlyJson(String),
}

/// Rejected records on their way to a file, in the order in which they were delivered. As delimited values
/// they have one header, which is known when all are there.
pub struct Rejects {
    spool: BufWriter<File>,
    names: Vec<String>,
    /// The least fields that one has.
    least: usize,
    /// What stands beside some of them.
    beside: BTreeSet<String>,
    /// The first one's table.
    table: Option<String>,
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
            beside: BTreeSet::new(),
            table: None,
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
        let first = self.table.get_or_insert_with(|| rejected.table.clone());
        if *first != rejected.table {
            self.beside.insert(TABLE.to_owned());
        }
        let beside = rejected.beside(Form::Csv).into_iter();
        self.beside.extend(beside.map(|(name, _)| name));
        self.count += 1;
        serde_json::to_writer(&mut self.spool, rejected)?;
        self.spool.write_all(b"\n")
    }

    /// Writes all of them to `out`.
    ///
    /// # Errors
    /// Where that fails.
    pub fn write(mut self, form: Form, out: &mut impl Write) -> Result<()> {
        let mut file = self.spool.into_inner().map_err(|e| e.into_error())?;
        file.seek(SeekFrom::Start(0))?;
        let says_table = self.beside.contains(TABLE);
        if self.least < self.names.len() {
            self.beside.insert(GIVEN.to_owned());
        }
        let beside = self.beside.iter().map(String::as_str);
        let columns: Vec<&str> = WHY.into_iter().chain(beside).collect();
        if form == Form::Csv {
            let own = self.names.iter().map(String::as_str);
            let header = own.chain(columns.iter().copied());
            row(out, header.map(|name| Some(name.to_owned())))?;
        }
        for line in BufReader::new(file).lines() {
            let mut rejected: Rejected = serde_json::from_str(&line?)?;
            rejected.says_table |= says_table;
            match form {
                Form::Csv => rejected.csv(&self.names, &columns, out)?,
                Form::Ndjson => rejected.ndjson(out)?,
            }
        }
        Ok(())
    }
}

impl Rejected {
    /// Where it stands, and why it is not loaded.
    fn why(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let why = [
            Value::from(self.object.as_str()),
            Value::from(self.position),
            Value::from(self.rule.as_str()),
            Value::from(self.reason.as_str()),
        ];
        WHY.into_iter().zip(why)
    }

    /// What else is said beside it in a file of this form, by name.
    fn beside(&self, form: Form) -> BTreeMap<String, Value> {
        let mut beside = BTreeMap::new();
        let mut say = |name: &str, value: Value| drop(beside.insert(name.to_owned(), value));
        if self.says_table {
            say(TABLE, Value::from(self.table.as_str()));
        }
        if self.deletes {
            say(OP, Value::from(DELETE));
        }
        if let Some(at) = &self.extracted {
            say(EXTRACTED_AT, Value::from(at.as_str()));
        }
        match form {
            Form::Csv => {
                let empty = self.fields.iter().filter_map(|(name, value)| {
                    let value = match value {
                        Delivered::Null => Value::Null,
                        Delivered::Text(text) | Delivered::Cell(text) if text.is_empty() => {
                            Value::from("")
                        }
                        _ => return None,
                    };
                    Some((name.clone(), value))
                });
                let empty: serde_json::Map<String, Value> = empty.collect();
                if !empty.is_empty() {
                    say(EMPTY, Value::Object(empty));
                }
                let json = self.fields.iter();
                let json = json.filter(|(_, v)| matches!(v, Delivered::OnlyJson(_)));
                let json: Vec<&str> = json.map(|(name, _)| name.as_str()).collect();
                if !json.is_empty() {
                    say(JSON, Value::from(json));
                }
            }
            Form::Ndjson => {
                let fields = self.fields.iter();
                let cells =
                    fields.filter(|(_, v)| matches!(v, Delivered::Blank | Delivered::Cell(_)));
                let cells: Vec<&str> = cells.map(|(name, _)| name.as_str()).collect();
                if !cells.is_empty() {
                    say(CELLS, Value::from(cells));
                }
            }
        }
        for (name, text) in &self.unreadable {
            say(name, Value::from(text.as_str()));
        }
        beside
    }

    /// Its row, with cells for `names`, and for what stands beside it.
    fn csv(&self, names: &[String], columns: &[&str], out: &mut impl Write) -> Result<()> {
        let own = names.iter().map(|name| {
            let value = self.fields.iter().find(|(of, _)| of == name);
            match value.map(|(_, value)| value) {
                None | Some(Delivered::Blank | Delivered::Null) => None,
                Some(
                    Delivered::Text(text)
                    | Delivered::Cell(text)
                    | Delivered::Json(text)
                    | Delivered::OnlyJson(text),
                ) => Some(text.clone()),
            }
        });
        let mut beside = self.beside(Form::Csv);
        beside.extend(self.why().map(|(name, value)| (name.to_owned(), value)));
        beside.entry(GIVEN.to_owned()).or_insert_with(|| {
            let given = self.fields.iter().map(|(name, _)| name.as_str());
            Value::from(given.collect::<Vec<_>>())
        });
        let beside = columns.iter().map(|name| match beside.get(*name)? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        });
        row(out, own.chain(beside))
    }

    /// Its line. By the name of its first field the file is known.
    fn ndjson(&self, out: &mut impl Write) -> Result<()> {
        let string = |text: &str| Value::from(text).to_string();
        let beside = self.beside(Form::Ndjson).into_iter();
        let ours = self
            .why()
            .map(|(name, value)| (name.to_owned(), value))
            .chain(beside);
        let ours = ours.map(|(name, value)| (name, value.to_string()));
        let own = self.fields.iter().map(|(name, value)| {
            let value = match value {
                Delivered::Blank | Delivered::Null => "null".to_owned(),
                Delivered::Text(text) | Delivered::Cell(text) => string(text),
                Delivered::Json(json) | Delivered::OnlyJson(json) => json.clone(),
            };
            (name.clone(), value)
        });
        let members = ours
            .chain(own)
            .map(|(name, value)| format!("{}:{value}", string(&name)));
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
            fields: vec![
                ("a".into(), Delivered::Text("x,\"y\"\n".into())),
                ("b".into(), Delivered::Blank),
                ("n".into(), Delivered::Null),
            ],
            ..Rejected::default()
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
            "a,b,n,c,loader:object,loader:position,loader:rule,loader:reason,loader:empty,loader:given\n\
             \"x,\"\"y\"\"\n\",,,,o.csv,2,invalid_value,\"n: not \"\"good\"\"\",\"{\"\"n\"\":null}\",\"[\"\"a\"\",\"\"b\"\",\"\"n\"\"]\"\n\
             \"\",,,\"[1, 2.50]\",\"\",3,\"\",\"\",\"{\"\"a\"\":\"\"\"\"}\",\"[\"\"c\"\",\"\"a\"\"]\"\n"
        );
        assert_eq!(
            written(Form::Ndjson),
            "{\"loader:object\":\"o.csv\",\"loader:position\":2,\"loader:rule\":\"invalid_value\",\
             \"loader:reason\":\"n: not \\\"good\\\"\",\"loader:cells\":[\"b\"],\"a\":\"x,\\\"y\\\"\\n\",\"b\":null,\"n\":null}\n\
             {\"loader:object\":\"\",\"loader:position\":3,\"loader:rule\":\"\",\"loader:reason\":\"\",\"c\":[1, 2.50],\"a\":\"\"}\n"
        );
    }
}
