//! Records as they were delivered, for who must mend them: delimited values, or JSON a line.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Result, Seek, SeekFrom, Write};

use serde::{Deserialize, Serialize};

/// A record that is not loaded, with where it stands and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The object that it comes from.
    pub object: String,
    /// Its line, row or number there.
    pub position: u64,
    /// The rules that it breaks.
    pub rule: String,
    /// Why, in words.
    pub reason: String,
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

/// What stands behind the record's own fields.
const OURS: [&str; 4] = [
    "loader:object",
    "loader:position",
    "loader:rule",
    "loader:reason",
];

/// Rejected records on their way to a file, in the order in which they were delivered. As delimited values
/// they have one header, which is known when all are there.
pub struct Rejects {
    spool: BufWriter<File>,
    names: Vec<String>,
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
        if form == Form::Csv {
            let names = self.names.iter().map(String::as_str).chain(OURS);
            row(out, names.map(|name| Some(name.to_owned())))?;
        }
        for line in BufReader::new(file).lines() {
            let rejected: Rejected = serde_json::from_str(&line?)?;
            match form {
                Form::Csv => csv(out, &self.names, rejected)?,
                Form::Ndjson => ndjson(out, rejected)?,
            }
        }
        Ok(())
    }
}

fn csv(out: &mut impl Write, names: &[String], rejected: Rejected) -> Result<()> {
    let own = names.iter().map(|name| {
        let value = rejected.fields.iter().find(|(of, _)| of == name);
        match value.map(|(_, value)| value) {
            None | Some(Delivered::Nothing) => None,
            Some(Delivered::Text(text) | Delivered::Json(text)) => Some(text.clone()),
        }
    });
    let position = rejected.position.to_string();
    let ours = [
        &rejected.object,
        &position,
        &rejected.rule,
        &rejected.reason,
    ];
    row(out, own.chain(ours.map(|text| Some(text.clone()))))
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

fn ndjson(out: &mut impl Write, rejected: Rejected) -> Result<()> {
    let name = |name: &str| serde_json::Value::from(name).to_string();
    let own = rejected.fields.iter().map(|(field, value)| {
        let value = match value {
            Delivered::Nothing => "null".to_owned(),
            Delivered::Text(text) => name(text),
            Delivered::Json(json) => json.clone(),
        };
        (name(field), value)
    });
    let ours = [
        name(&rejected.object),
        rejected.position.to_string(),
        name(&rejected.rule),
        name(&rejected.reason),
    ];
    let ours = OURS.map(name).into_iter().zip(ours);
    let members = own
        .chain(ours)
        .map(|(name, value)| format!("{name}:{value}"));
    let members: Vec<String> = members.collect();
    writeln!(out, "{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_written_as_it_was_delivered() {
        let first = Rejected {
            object: "o.csv".into(),
            position: 2,
            rule: "invalid_value".into(),
            reason: "n: not \"good\"".into(),
            fields: vec![
                ("a".into(), Delivered::Text("x,\"y\"\n".into())),
                ("b".into(), Delivered::Nothing),
            ],
        };
        let second = Rejected {
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
            "a,b,c,loader:object,loader:position,loader:rule,loader:reason\n\
             \"x,\"\"y\"\"\n\",,,o.csv,2,invalid_value,\"n: not \"\"good\"\"\"\n\
             \"\",,\"[1, 2.50]\",\"\",3,\"\",\"\"\n"
        );
        assert_eq!(
            written(Form::Ndjson),
            "{\"a\":\"x,\\\"y\\\"\\n\",\"b\":null,\"loader:object\":\"o.csv\",\"loader:position\":2,\
             \"loader:rule\":\"invalid_value\",\"loader:reason\":\"n: not \\\"good\\\"\"}\n\
             {\"c\":[1, 2.50],\"a\":\"\",\"loader:object\":\"\",\"loader:position\":3,\"loader:rule\":\"\",\"loader:reason\":\"\"}\n"
        );
    }
}
