//! Fields that are not loaded, because they are no columns of their table, or because loads set these themselves: each is
//! named once for a file.

use std::collections::BTreeMap;

use crate::plan::records;

/// The most fields of a table that are named.
const MOST_FIELDS: usize = 200;
/// The most files in which one is counted by itself.
const MOST_FILES: usize = 3;

/// The fields of one table's records that are not loaded.
#[derive(Debug, Default)]
pub struct Ignored {
    fields: BTreeMap<String, Files>,
    /// Whether there are more than are named.
    more: bool,
}

/// Why a field is not loaded.
#[derive(Debug, Clone, Copy, Default)]
pub enum Why {
    #[default]
    NoColumn,
    Stamp,
}

impl Why {
    fn words(self) -> &'static str {
        match self {
            Why::NoColumn => "is no column and is not loaded",
            Why::Stamp => "is set by each load (stamps), and is not loaded",
        }
    }
}

/// Where one field stands.
#[derive(Debug, Default)]
struct Files {
    why: Why,
    /// The first files by number, each with its records.
    first: Vec<(usize, u64)>,
    /// The last of the others, how many they are, and their records.
    last: usize,
    others: u64,
    records: u64,
}

impl Ignored {
    /// Takes a field of a record in that file.
    pub fn add(&mut self, field: &str, file: usize, why: Why) {
        if let Some(files) = self.fields.get_mut(field) {
            files.add(file);
        } else if self.fields.len() < MOST_FIELDS {
            let files = self.fields.entry(field.to_owned()).or_default();
            files.why = why;
            files.add(file);
        } else {
            self.more = true;
        }
    }

    /// What a reviewer should know of them. `name` names a file.
    pub fn notes(&self, name: &dyn Fn(usize) -> String) -> Vec<String> {
        let notes = self.fields.iter().map(|(field, files)| {
            format!(
                "{} {}: {}",
                crate::text::escape(field),
                files.why.words(),
                files.words(name)
            )
        });
        let more = self.more.then(|| {
            format!("more than {MOST_FIELDS} other fields are no columns and are not loaded either")
        });
        notes.chain(more).collect()
    }
}

impl Files {
    fn add(&mut self, file: usize) {
        if let Some((_, records)) = self.first.iter_mut().find(|(known, _)| *known == file) {
            *records += 1;
        } else if self.first.len() < MOST_FILES {
            self.first.push((file, 1));
        } else {
            // Files come one after the other.
            self.others += u64::from(self.others == 0 || self.last != file);
            self.last = file;
            self.records += 1;
        }
    }

    fn words(&self, name: &dyn Fn(usize) -> String) -> String {
        let first = self.first.iter().map(|(file, n)| {
            let name = crate::text::escape(&name(*file));
            format!("{} of {name}", records(*n))
        });
        let first: Vec<String> = first.collect();
        let others = match self.others {
            0 => String::new(),
            1 => format!(", and {} of another file", records(self.records)),
            n => format!(", and {} of {n} other files", records(self.records)),
        };
        format!("{}{others}", first.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_named_once_up_to_a_few() {
        let mut ignored = Ignored::default();
        for file in [0, 0, 1, 2, 3, 3, 4] {
            ignored.add("x", file, Why::NoColumn);
        }
        ignored.add("y", 4, Why::Stamp);
        assert_eq!(
            ignored.notes(&|file| format!("f{file}")),
            [
                "x is no column and is not loaded: 2 records of f0, 1 record of f1, 1 record of f2, and 3 records of 2 other files",
                "y is set by each load (stamps), and is not loaded: 1 record of f4",
            ]
        );
        for n in 0..10_000 {
            ignored.add(&n.to_string(), 0, Why::NoColumn);
        }
        assert_eq!(ignored.notes(&|_| String::new()).len(), MOST_FIELDS + 1);
    }
}
