//! What an object is, by its key.

use super::pattern::{Found, Place};
use crate::record::Format;
use crate::table::delivery::Sign;

/// What an object in a batch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Records for one table.
    Fragment {
        /// The table.
        table: String,
        /// How the records are written.
        format: Format,
        /// Whether the object is compressed.
        gzip: bool,
        /// Whether its records name rows that are to be deleted.
        deletes: bool,
    },
    /// Not a fragment, and called so that nobody would take it for one.
    Ignored,
    /// What would be a fragment of this table, but that it is hidden, or named in `ignore`.
    NotRead {
        /// The table.
        table: String,
        /// Why it is passed over.
        why: &'static str,
    },
    /// Neither of them, and why; nothing in a batch is passed over in silence.
    Unknown(String),
}

/// The validator's report lies beside the fragments.
pub(crate) const REPORT: &str = "validation_report.json";

/// The folder below a table's in which records name rows that are to be deleted.
const DELETE: &str = "delete";

/// What the object `key` of the batch at `place` is.
///
/// Where the place says nothing of tables, fragments are `<place><table>/<name>`, with more folders between
/// the two or not, and `<place><table>.<extension>`; those below a folder `delete` behind the table name rows
/// that are to be deleted. The extension is `json`, `ndjson`, `jsonl`, `csv`, `tsv`, `xlsx` or one that
/// `extensions` says the table's delimited values have, and `.gz` may follow it. Names in `ignore`
/// are the last part of a key.
pub fn layout<'c>(
    place: &Place,
    key: &str,
    ignore: &[String],
    extensions: impl Fn(&str) -> &'c [String],
) -> Layout {
    let found = place.find(key);
    let path = match found {
        Some(Found::Path(path)) => path,
        Some(Found::Table(..)) | None => key,
    };
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let begins = |sign: &str| path.split('/').any(|part| part.starts_with(sign));
    let why = if begins("..") {
        return Layout::Unknown("its name begins with two dots, which hide no file".to_owned());
    } else if begins(".") {
        "its name begins with a dot"
    } else if ignore.iter().any(|given| given == name) {
        "its name is among those to be ignored"
    } else {
        return of_fragment(place, found, path, extensions);
    };
    match of_fragment(place, found, path, extensions) {
        // A validator's report, and what macOS puts beside files, are none.
        Layout::Fragment { table, .. } if name != REPORT && !name.starts_with("._") => {
            Layout::NotRead { table, why }
        }
        _ => Layout::Ignored,
    }
}

/// What the object at `path` is that nothing hides.
fn of_fragment<'c>(
    place: &Place,
    found: Option<Found<'_>>,
    path: &str,
    extensions: impl Fn(&str) -> &'c [String],
) -> Layout {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let plain = strip_extension(name, "gz").unwrap_or(name);
    let (stem, extension) = plain.rsplit_once('.').unwrap_or((plain, ""));
    let table = match (found, folders.split('/').next()) {
        (None, _) => {
            return Layout::Unknown(format!("it is not below {place}, as the prefix says"));
        }
        (Some(Found::Table(table, _)), _) => table,
        (_, Some(table)) if !folders.is_empty() => table,
        _ => stem,
    };
    let Some(format) = known(extension).or_else(|| {
        let mut said = extensions(table).iter();
        said.any(|said| said.trim_start_matches('.').eq_ignore_ascii_case(extension))
            .then_some(Format::Csv(Sign::COMMA))
    }) else {
        return Layout::Unknown(
            "its name does not end in .json, .ndjson, .jsonl, .csv, .tsv or .xlsx, or one of them and .gz; for other \
             endings of delimited values say `csv: {extensions: [txt]}` for the table in tables.yaml"
                .to_owned(),
        );
    };
    // The folder in which it lies below its table's.
    let within = match found {
        Some(Found::Table(_, rest)) => rest.split_once('/').map(|(folder, _)| folder),
        _ => folders.split('/').nth(1),
    };
    let deletes = within == Some(DELETE);
    if let Some(folder) = within
        && !deletes
        && folder.to_ascii_lowercase().starts_with(DELETE)
    {
        return Layout::Unknown(format!(
            "its folder is called {folder}, and rows to be deleted are named below {DELETE}/"
        ));
    }
    if table.is_empty() || path.starts_with('/') {
        return Layout::Unknown("the name of its table is empty".to_owned());
    }
    Layout::Fragment {
        table: table.to_owned(),
        format,
        gzip: is_gzip(name),
        deletes,
    }
}

/// Whether an object is compressed, which its extension says.
pub(super) fn is_gzip(key: &str) -> bool {
    strip_extension(key, "gz").is_some()
}

/// The format of files with this extension.
fn known(extension: &str) -> Option<Format> {
    let known = [
        ("json", Format::Json),
        ("ndjson", Format::Json),
        ("jsonl", Format::Json),
        ("csv", Format::Csv(Sign::COMMA)),
        ("tsv", Format::Csv(Sign::TAB)),
        ("xlsx", Format::Excel),
    ];
    let mut known = known.into_iter();
    known.find_map(|(name, format)| name.eq_ignore_ascii_case(extension).then_some(format))
}

fn strip_extension<'a>(name: &'a str, extension: &str) -> Option<&'a str> {
    let (stem, found) = name.rsplit_once('.')?;
    found.eq_ignore_ascii_case(extension).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Pattern;
    use proptest::prelude::*;

    const CSV: Format = Format::Csv(Sign::COMMA);

    fn place(prefix: &str) -> Place {
        Pattern::parse(prefix).unwrap().of_batch("b")
    }

    fn of(key: &str) -> Layout {
        let ignore = ["validation_report.json".to_owned()];
        layout(&place("staging/b1/"), key, &ignore, |_| &[])
    }

    #[track_caller]
    fn check(key: &str, table: &str, format: Format, gzip: bool) {
        assert_eq!(
            of(key),
            Layout::Fragment {
                table: table.into(),
                format,
                gzip,
                deletes: false
            }
        );
    }

    #[test]
    fn fragments_are_found_by_folder_and_by_name() {
        check("staging/b1/lcl/frag_7.json", "lcl", Format::Json, false);
        check(
            "staging/b1/lcl/2024/01/a.b.ndjson",
            "lcl",
            Format::Json,
            false,
        );
        check("staging/b1/lcl.jsonl.gz", "lcl", Format::Json, true);
        check("staging/b1/lcl.CSV", "lcl", CSV, false);
        check("staging/b1/lcl/x.csv.gz", "lcl", CSV, true);
        check("staging/b1/qa.lcl.csv", "qa.lcl", CSV, false);
        check("staging/b1/lcl.json/x.csv", "lcl.json", CSV, false);
    }

    #[test]
    fn what_is_to_be_deleted_stands_in_a_folder_of_its_own() {
        for (key, expected) in [
            ("staging/b1/lcl/delete/1.csv", true),
            ("staging/b1/lcl/delete/2024/1.json.gz", true),
            ("staging/b1/lcl/1.csv", false),
            ("staging/b1/lcl/2024/delete/1.csv", false),
            ("staging/b1/lcl/delete.csv", false),
            ("staging/b1/delete/1.csv", false),
        ] {
            let Layout::Fragment { table, deletes, .. } = of(key) else {
                panic!("{key}");
            };
            assert_eq!(
                (deletes, table == "lcl"),
                (expected, key.contains("lcl")),
                "{key}"
            );
        }
    }

    #[test]
    fn a_folder_that_is_nearly_that_one_is_refused() {
        for key in [
            "lcl/Delete/1.csv",
            "lcl/deletes/1.csv",
            "lcl/DELETED/2024/1.json",
        ] {
            let of = of(&format!("staging/b1/{key}"));
            assert!(matches!(of, Layout::Unknown(_)), "{key}: {of:?}");
        }
    }

    #[test]
    fn other_endings_are_those_of_the_table() {
        let said = ["txt".to_owned(), ".dat".to_owned()];
        let of = |key: &str| {
            let extensions = |table: &str| if table == "t" { said.as_slice() } else { &[] };
            layout(&place("b/"), key, &[], extensions)
        };
        let found = |gzip| Layout::Fragment {
            table: "t".into(),
            format: CSV,
            gzip,
            deletes: false,
        };
        assert_eq!(of("b/t.txt"), found(false));
        assert_eq!(of("b/t/a/x.DAT.gz"), found(true));
        assert!(matches!(of("b/u.txt"), Layout::Unknown(_)));
        assert!(matches!(of("b/u/x.dat"), Layout::Unknown(_)));
        check("staging/b1/t.tsv", "t", Format::Csv(Sign::TAB), false);
    }

    #[test]
    fn what_is_hidden_or_named_is_ignored() {
        for key in [
            "validation_report.json",
            "lcl/validation_report.json",
            ".DS_Store",
            "lcl/._x.json",
            "lcl/.x.tmp",
        ] {
            assert_eq!(of(&format!("staging/b1/{key}")), Layout::Ignored, "{key}");
        }
        for (key, of_table) in [
            ("lcl/.x.json", "lcl"),
            ("lcl/.part/x.csv", "lcl"),
            (".git/a.json", ".git"),
        ] {
            let not_read = Layout::NotRead {
                table: of_table.to_owned(),
                why: "its name begins with a dot",
            };
            assert_eq!(of(&format!("staging/b1/{key}")), not_read, "{key}");
        }
    }

    #[test]
    fn nothing_else_is_passed_over() {
        for key in [
            "staging/b1/_SUCCESS",
            "staging/b1/lcl/notes.txt",
            "staging/b1/lcl",
            "staging/b1/lcl/x.gz",
            "staging/b1/lcl/x.json.bz2",
            "staging/b1//x.json",
            "staging/b1/..x.json",
            "staging/b1/lcl/..x.json",
            "staging/b1/../x.json",
            "staging/b10/lcl/x.json",
            "other/lcl/x.json",
        ] {
            assert!(matches!(of(key), Layout::Unknown(_)), "{key}");
        }
    }

    #[test]
    fn a_prefix_is_a_folder() {
        assert_eq!(
            layout(&place("staging/b1"), "staging/b1/t/x.csv", &[], |_| &[]),
            layout(&place("b/"), "b/t/x.csv", &[], |_| &[])
        );
        assert!(matches!(
            layout(&place("staging/b1"), "staging/b10/t/x.csv", &[], |_| &[]),
            Layout::Unknown(_)
        ));
        assert!(matches!(
            layout(&place(""), "t/x.csv", &[], |_| &[]),
            Layout::Fragment { .. }
        ));
    }

    proptest! {
        #[test]
        fn what_is_written_is_found(
            table in "[a-z_é][a-z0-9_. ]{0,8}", name in "[a-z_][a-z0-9_. ]{0,8}",
            extension in prop_oneof!["json", "ndjson", "jsonl", "csv"], gzip: bool,
        ) {
            let format = if extension == "csv" { CSV } else { Format::Json };
            let end = if gzip { format!("{extension}.gz") } else { extension };
            let expect = Layout::Fragment { table: table.clone(), format, gzip, deletes: false };
            prop_assert_eq!(layout(&place("p/"), &format!("p/{table}/{name}.{end}"), &[], |_| &[]), expect.clone());
            prop_assert_eq!(layout(&place("p/"), &format!("p/{table}.{end}"), &[], |_| &[]), expect);
        }

        #[test]
        fn no_key_panics(prefix in "[a/.]{0,4}", key in "[a/.jsongzé]{0,12}") {
            layout(&place(&prefix), &key, &[], |_| &[]);
        }
    }
}
