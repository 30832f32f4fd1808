//! Where batches lie below a source: a path in which names stand for the batch and for the table.

use std::fmt;

/// A path with `{batch_id}` and `{table}` in it, or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Batch,
    Table,
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Pattern {
    /// The pattern `text`. Where it ends in a name or a placeholder it is a folder; of `{table}` at its end
    /// nothing need be said: a table's name is that of a folder there, or of a file.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let written = text;
        let text = text.trim_end_matches('/');
        let text = text.strip_suffix("{table}").unwrap_or(text);
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or("a brace is not closed")?;
            let part = match name {
                "batch_id" => Part::Batch,
                "table" => Part::Table,
                other => return Err(format!("{{{other}}} is neither {{batch_id}} nor {{table}}")),
            };
            if parts.contains(&part) {
                return Err(format!("{{{name}}} stands in it twice"));
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let apart = |part: &Part| matches!(part, Part::Text(text) if text.contains('/'));
            if parts.iter().any(|p| !matches!(p, Part::Text(_))) && !parts.last().is_some_and(apart)
            {
                return Err(
                    "{batch_id} and {table} stand in one name; put a slash between them".into(),
                );
            }
            parts.push(part);
            rest = behind;
        }
        // What stands behind a table's name belongs to names of files; all else is a folder.
        let in_file = parts.contains(&Part::Table) && !rest.is_empty() && !written.ends_with('/');
        let rest = rest.trim_end_matches('/');
        if in_file {
            parts.push(Part::Text(rest.to_owned()));
        } else if !rest.is_empty() || !parts.is_empty() {
            parts.push(Part::Text(format!("{rest}/")));
        }
        Ok(Pattern {
            text: written.to_owned(),
            parts,
        })
    }

    /// Whether it says where the batch's id stands.
    pub fn names_batches(&self) -> bool {
        self.parts.contains(&Part::Batch)
    }

    /// Where one batch lies.
    pub fn of_batch(&self, batch_id: &str) -> Place {
        let mut parts: Vec<Part> = Vec::new();
        for part in &self.parts {
            let text = match part {
                Part::Text(text) => text,
                Part::Batch => batch_id,
                Part::Table => {
                    parts.push(Part::Table);
                    continue;
                }
            };
            match parts.last_mut() {
                Some(Part::Text(before)) => before.push_str(text),
                _ => parts.push(Part::Text(text.to_owned())),
            }
        }
        let table_first = {
            let at = |wanted: &Part| self.parts.iter().position(|part| part == wanted);
            at(&Part::Table) < at(&Part::Batch) && at(&Part::Table).is_some()
        };
        Place { parts, table_first }
    }

    /// The folder below which all batches lie.
    pub fn folder(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => folder_of(text),
            _ => "",
        }
    }

    /// The id of the batch to which the object `key` would belong.
    pub fn batch_of<'k>(&self, key: &'k str) -> Option<&'k str> {
        let mut rest = key;
        for (i, part) in self.parts.iter().enumerate() {
            let next = match self.parts.get(i + 1) {
                Some(Part::Text(text)) => text.as_str(),
                _ => "/",
            };
            match part {
                Part::Text(text) => rest = rest.strip_prefix(text.as_str())?,
                Part::Table => rest = &rest[name_before(rest, next)?.len()..],
                // Whatever file lies there belongs to it.
                Part::Batch => return name_before(rest, folder_of(next)),
            }
        }
        None
    }
}

/// Where one batch lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Texts, and the table between them at most.
    parts: Vec<Part>,
    /// Whether each table has a folder with batches in it.
    table_first: bool,
}

impl Place {
    /// The folders in which objects of the batch are to be looked for; `tables` are those that it may have.
    pub fn folders<'t>(&self, tables: impl Iterator<Item = &'t String>) -> Vec<String> {
        match self.parts.as_slice() {
            [] => vec![String::new()],
            [Part::Text(before), Part::Table, Part::Text(behind)] if self.table_first => tables
                .map(|table| folder_of(&format!("{before}{table}{behind}")).to_owned())
                .collect(),
            [Part::Table, Part::Text(behind)] if self.table_first => tables
                .map(|table| folder_of(&format!("{table}{behind}")).to_owned())
                .collect(),
            [Part::Text(before), ..] => vec![folder_of(before).to_owned()],
            _ => vec![String::new()],
        }
    }

    /// What of `key` tells its table: the name in the place of `{table}`, or without one the path below the
    /// batch; `None` where it lies elsewhere.
    pub fn find<'k>(&self, key: &'k str) -> Option<Found<'k>> {
        match self.parts.as_slice() {
            [] => Some(Found::Path(key)),
            [Part::Text(before)] => key.strip_prefix(before.as_str()).map(Found::Path),
            [.., Part::Table, Part::Text(behind)] => {
                let rest = match &self.parts[0] {
                    Part::Text(before) => key.strip_prefix(before.as_str())?,
                    Part::Table | Part::Batch => key,
                };
                let table = name_before(rest, behind)?;
                Some(Found::Table(table, &rest[table.len() + behind.len()..]))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Table => f.write_str("{table}"),
            Part::Batch => f.write_str("{batch_id}"),
        })
    }
}

/// What tells an object's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'k> {
    /// The table itself, and the path behind it.
    Table(&'k str, &'k str),
    /// The path below the batch, whose first name is the table's.
    Path(&'k str),
}

/// The name at the start of `text`, before `next`; no slash is in it.
fn name_before<'t>(text: &'t str, next: &str) -> Option<&'t str> {
    let name = &text[..text.find(next)?];
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// `path` up to its last slash.
fn folder_of(path: &str) -> &str {
    &path[..path.rfind('/').map_or(0, |at| at + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, folders: &[&str], found: &[(&str, Option<Found<'_>>)]) {
        let pattern = Pattern::parse(pattern).unwrap();
        let place = pattern.of_batch("b1");
        let tables = ["lcl".to_owned(), "dna".to_owned()];
        assert_eq!(place.folders(tables.iter()), folders);
        for (key, what) in found {
            assert_eq!(place.find(key), *what, "{key}");
            if what.is_some() && pattern.names_batches() {
                assert_eq!(pattern.batch_of(key), Some("b1"), "{key}");
            }
        }
    }

    #[test]
    fn batches_and_tables_are_found_where_the_pattern_says() {
        let (path, table) = (|p| Some(Found::Path(p)), |t, r| Some(Found::Table(t, r)));
        for pattern in [
            "staging/{batch_id}/",
            "staging/{batch_id}",
            "staging/{batch_id}/{table}",
        ] {
            check(
                pattern,
                &["staging/b1/"],
                &[
                    ("staging/b1/lcl.csv", path("lcl.csv")),
                    ("staging/b10/lcl.csv", None),
                ],
            );
        }
        check("", &[""], &[("lcl.csv", path("lcl.csv"))]);
        check(
            "in",
            &["in/"],
            &[("in/lcl.csv", path("lcl.csv")), ("inn/lcl.csv", None)],
        );
        check(
            "{table}/{batch_id}",
            &["lcl/b1/", "dna/b1/"],
            &[
                ("lcl/b1/x.csv", table("lcl", "x.csv")),
                ("lcl/b2/x.csv", None),
                ("b1/x.csv", None),
            ],
        );
        check(
            "x/{table}/batch={batch_id}/",
            &["x/lcl/batch=b1/", "x/dna/batch=b1/"],
            &[("x/lcl/batch=b1/deep/x.csv", table("lcl", "deep/x.csv"))],
        );
        check(
            "x/{batch_id}/data_{table}.csv",
            &["x/b1/"],
            &[
                ("x/b1/data_lcl.csv", table("lcl", "")),
                ("x/b1/data_a.b.csv.gz", table("a.b", ".gz")),
                ("x/b1/lcl.csv", None),
                ("x/b1/data_d/lcl.csv", None),
            ],
        );
        let pattern = Pattern::parse("x/{batch_id}/data_{table}.csv").unwrap();
        assert_eq!(pattern.batch_of("x/b1/readme.txt"), Some("b1"));
        assert_eq!(
            (pattern.batch_of("y/b1/data_t.csv"), pattern.folder()),
            (None, "x/")
        );
    }

    #[test]
    fn what_is_no_pattern_is_said() {
        for (text, says) in [
            ("{batch}/", "{batch} is neither {batch_id} nor {table}"),
            ("{batch_id}/{batch_id}", "{batch_id} stands in it twice"),
            (
                "{table}_{batch_id}",
                "{batch_id} and {table} stand in one name",
            ),
            ("a/{batch_id", "a brace is not closed"),
        ] {
            let error = Pattern::parse(text).unwrap_err();
            assert!(error.starts_with(says), "{error}");
        }
    }
}
