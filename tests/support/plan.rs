//! A plan as the loader wrote it.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;
use table_loader::internal::{Item, PlanWriter};
use table_loader::plan::{Entry, Fragment, Header};
use table_loader::planfile::PlanFile;

/// A plan file.
pub struct Plan {
    pub path: PathBuf,
    pub text: String,
    pub stderr: String,
}

impl Plan {
    /// Its name in the folder where the loader runs.
    pub fn name(&self) -> &str {
        self.path.file_name().unwrap().to_str().unwrap()
    }

    /// All of it.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// Its hash as it states it.
    pub fn hash(&self) -> String {
        let hash = self.json()["plan_hash"].clone();
        hash.as_str().unwrap().to_owned()
    }

    /// Another plan with a right hash: this one with its parts changed, as somebody could make it who
    /// has the loader's library.
    pub fn forged(
        &self,
        of_header: impl Fn(&mut Header),
        of_fragment: impl Fn(&mut Fragment),
        of_entry: impl Fn(&mut Entry),
    ) -> Plan {
        let file = PlanFile::open(&self.path).unwrap();
        let mut writer = PlanWriter::new().unwrap();
        file.stream(&mut |item| match item {
            Item::Fragment(mut fragment) => {
                of_fragment(&mut fragment);
                writer.fragment(&fragment)
            }
            Item::Entry(mut entry) => {
                of_entry(&mut entry);
                writer.entry(entry)
            }
        })
        .unwrap();
        let mut header = file.header;
        of_header(&mut header);
        let mut out = std::io::Cursor::new(Vec::new());
        writer.finish(header, &mut out).unwrap();
        let out = out.into_inner();
        let path = self.path.with_file_name(format!("forged_{}", self.name()));
        std::fs::write(&path, &out).unwrap();
        Plan {
            path,
            text: String::from_utf8(out).unwrap(),
            stderr: String::new(),
        }
    }

    /// Its changes, skips and violations.
    pub fn entries(&self) -> Vec<Value> {
        self.json()["changes"].as_array().unwrap().clone()
    }

    /// How many of `action` its summary counts.
    pub fn count(&self, action: &str) -> u64 {
        self.json()["header"]["summary"][action].as_u64().unwrap()
    }

    /// Its tables in order.
    pub fn tables(&self) -> Vec<String> {
        let tables = self.json()["header"]["tables"].clone();
        let tables = tables.as_array().unwrap().iter();
        tables
            .map(|t| t["table"].as_str().unwrap().to_owned())
            .collect()
    }

    /// One line for each entry: `+ t id=1: a="x"`, `~ t id=1: a="x"→null`, `= t id=1: unchanged`,
    /// `! t id=1: invalid_value age block`.
    pub fn lines(&self) -> Vec<String> {
        self.entries().iter().map(line).collect()
    }

    /// [`Plan::lines`] without the skips as `unchanged`.
    pub fn news(&self) -> Vec<String> {
        let mut lines = self.lines();
        lines.retain(|l| !l.ends_with(": unchanged"));
        lines
    }
}

/// A value: what is stored; of a row that was looked up, its key: `<C-1>`, of a new one `+<C-1>`.
fn shown(value: &Value) -> String {
    let Some(key) = value.get("key") else {
        return value.get("stored").unwrap_or(value).to_string();
    };
    let key = key.as_object().unwrap().values();
    let parts: Vec<String> = key
        .map(|v| v.as_str().map_or_else(|| shown(v), str::to_owned))
        .collect();
    let new = if value.get("new").is_some() { "+" } else { "" };
    format!("{new}<{}>", parts.join(" "))
}

fn line(entry: &Value) -> String {
    let text = |name: &str| entry[name].as_str().unwrap_or_default();
    let pairs = |name: &str| {
        let map = entry[name].as_object().unwrap();
        let pair = |(column, value): (&String, &Value)| match value.as_array() {
            Some(both) => format!("{column}={}→{}", shown(&both[0]), shown(&both[1])),
            None => format!("{column}={}", shown(value)),
        };
        map.iter().map(pair).collect::<Vec<_>>().join(" ")
    };
    let keys = entry["key"].as_object().unwrap().iter();
    let key = keys.fold(String::new(), |mut key, (column, value)| {
        let value = match value {
            Value::Object(_) => shown(value),
            _ => value.as_str().unwrap_or("null").to_owned(),
        };
        let _ = write!(key, " {column}={value}");
        key
    });
    let (glyph, rest) = match text("action") {
        "insert" => ('+', pairs("values")),
        "update" => ('~', pairs("set")),
        "delete" => ('-', pairs("values")),
        "skip" => ('=', text("reason").to_owned()),
        _ => {
            let words = [text("kind"), text("field"), text("effect")];
            let words = words.into_iter().filter(|w| !w.is_empty());
            ('!', words.collect::<Vec<_>>().join(" "))
        }
    };
    format!("{glyph} {}{key}: {rest}", text("table"))
        .trim_end_matches([':', ' '])
        .to_owned()
}
