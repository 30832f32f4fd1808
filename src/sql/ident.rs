//! SQL identifiers: the only way by which a name reaches SQL text.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A name, displayed as a quoted SQL identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ident<'a>(pub &'a str);

impl fmt::Display for Ident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A schema-qualified name, displayed as SQL.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Qualified {
    /// The schema (namespace).
    pub schema: String,
    /// The name of the table, operator's table or other object in it.
    pub name: String,
}

impl Qualified {
    /// Whether a name in the configuration, with its schema or without, means this.
    pub fn is_meant_by(&self, name: &str) -> bool {
        let bare = name.strip_prefix(&self.schema);
        let bare = bare.and_then(|rest| rest.strip_prefix('.'));
        let mut meant = meant_by(name).into_iter();
        let is_this = |(schema, table): (Option<String>, String)| {
            table == self.name && schema.is_none_or(|schema| schema == self.schema)
        };
        bare == Some(&self.name) || meant.any(is_this)
    }

    /// The name in the configuration that means this under any search path: quoted where it would be read as
    /// another.
    pub fn configured(&self) -> String {
        let written = |name: &str, is_quoted: bool| match is_quoted || name.starts_with('"') {
            true => Ident(name).to_string(),
            false => name.to_owned(),
        };
        let schema = written(&self.schema, self.schema.contains('.'));
        format!("{schema}.{}", written(&self.name, false))
    }
}

impl fmt::Display for Qualified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", Ident(&self.schema), Ident(&self.name))
    }
}

/// What a name in the configuration may mean, as schema and table: a table of the search path, and, where it has a
/// dot, one of a schema. Each of the two may be quoted as in SQL: `"my.schema".t`.
pub fn meant_by(name: &str) -> Vec<(Option<String>, String)> {
    let mut meant = vec![(None, name.to_owned())];
    let first = unquoted(name).or_else(|| {
        let (schema, _) = name.split_once('.')?;
        Some((schema.to_owned(), &name[schema.len()..]))
    });
    match first {
        Some((table, "")) => meant.push((None, table)),
        Some((schema, rest)) => {
            if let Some(table) = rest.strip_prefix('.') {
                let quoted = unquoted(table).filter(|(_, behind)| behind.is_empty());
                let table = quoted.map_or_else(|| table.to_owned(), |(table, _)| table);
                meant.push((Some(schema), table));
            }
        }
        None => {}
    }
    meant
}

/// The name that `text` begins with in quotes, and what is behind it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text.strip_prefix('"')?;
    loop {
        let (before, behind) = rest.split_once('"')?;
        name += before;
        // A quote that is doubled stands for one.
        match behind.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, behind)),
        }
    }
}

/// A text displayed as a quoted SQL string literal, whatever it contains.
#[derive(Debug, Clone, Copy)]
pub struct Literal<'a>(pub &'a str);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains('\\') {
            let doubled = self.0.replace('\\', "\\\\").replace('\'', "''");
            write!(f, " E'{doubled}'")
        } else {
            write!(f, "'{}'", self.0.replace('\'', "''"))
        }
    }
}

/// A temporary table of the loader, displayed as SQL: `pg_temp.loader_stage_0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Temporary {
    /// What it is for, in letters that need no quotes.
    pub what: &'static str,
    /// What tells it from the others of its kind.
    pub number: usize,
}

impl Temporary {
    /// Its name without a schema, by which it is created.
    pub fn bare(self) -> String {
        format!("loader_{}_{}", self.what, self.number)
    }
}

impl fmt::Display for Temporary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pg_temp.{}", self.bare())
    }
}

/// The name in `known` that is nearest to `given`, where one is near enough to be meant.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| {
            let same_letters =
                strsim::normalized_damerau_levenshtein(&given.to_lowercase(), &name.to_lowercase());
            (same_letters, name)
        })
        .filter(|(score, _)| *score >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// What to add to a message about a name that is none of `known`: the nearest of them, where one is near enough to be
/// meant, else nothing.
pub fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let near = nearest(given, known);
    near.map(|name| format!("; did you mean {name}?"))
        .unwrap_or_default()
}

/// The names that an expression as the database prints it may mention: its words and what is quoted, without the texts
/// in it and the types behind `::`.
pub fn words(expression: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut rest = expression;
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    while let Some(first) = rest.chars().next() {
        let behind = match first {
            '\'' | '"' => {
                let mut text = String::new();
                let mut behind = &rest[1..];
                // A quote that is doubled stands for one.
                while let Some((before, after)) = behind.split_once(first) {
                    text += before;
                    behind = after;
                    let Some(more) = behind.strip_prefix(first) else {
                        break;
                    };
                    text.push(first);
                    behind = more;
                }
                if first == '"' {
                    words.insert(text);
                }
                behind
            }
            ':' if rest.starts_with("::") => {
                rest[2..].trim_start_matches(|c| is_word(c) || c == '.')
            }
            c if is_word(c) => {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                words.insert(rest[..end].to_owned());
                &rest[end..]
            }
            c => &rest[c.len_utf8()..],
        };
        rest = behind;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_names_are_read_with_quotes_and_without() {
        type Meant = (Option<&'static str>, &'static str);
        let cases: [(&str, &[Meant]); 8] = [
            ("t", &[(None, "t")]),
            ("a.t", &[(None, "a.t"), (Some("a"), "t")]),
            ("a.b.t", &[(None, "a.b.t"), (Some("a"), "b.t")]),
            (r#""a.b".t"#, &[(None, r#""a.b".t"#), (Some("a.b"), "t")]),
            (r#""a.b""#, &[(None, r#""a.b""#), (None, "a.b")]),
            (r#"a."t""#, &[(None, r#"a."t""#), (Some("a"), "t")]),
            (
                r#""a""b"."t.c""#,
                &[(None, r#""a""b"."t.c""#), (Some("a\"b"), "t.c")],
            ),
            (r#""a"#, &[(None, r#""a"#)]),
        ];
        for (name, meant) in cases {
            let found = meant_by(name);
            let found: Vec<_> = found
                .iter()
                .map(|(s, t)| (s.as_deref(), t.as_str()))
                .collect();
            assert_eq!(found, meant, "{name}");
        }
        for (schema, name) in [
            ("a", "t"),
            ("a", "t.b"),
            ("a.b", "t"),
            ("\"a", "t"),
            ("a", "\"t"),
            ("A b", "t"),
        ] {
            let table = Qualified {
                schema: schema.into(),
                name: name.into(),
            };
            let spelled = table.configured();
            assert!(table.is_meant_by(&spelled), "{spelled}");
            let last = meant_by(&spelled).pop();
            assert_eq!(last, Some((Some(schema.into()), name.into())), "{spelled}");
        }
    }

    #[test]
    fn nearest_name() {
        assert_eq!(
            nearest("natural_keys", ["natural_key", "stamps"]),
            Some("natural_key")
        );
        assert_eq!(nearest("xyz", ["natural_key", "stamps"]), None);
    }

    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(Literal("a'b").to_string(), "'a''b'");
        assert_eq!(Literal("a\\'b").to_string(), " E'a\\\\''b'");
    }

    #[test]
    fn words_are_what_may_be_a_column() {
        let of = |expression: &str| words(expression).into_iter().collect::<Vec<_>>().join(" ");
        for (expression, expected) in [
            (
                "(site_id IS NOT NULL) AND (site_id = 3)",
                "3 AND IS NOT NULL site_id",
            ),
            ("v = 'mid id'::id", "v"),
            ("\"a \"\"b\" = 'it''s c'::text", "a \"b"),
            (
                "satisfies_hash_partition('16404'::oid, 2, 0, größe)",
                "0 2 größe satisfies_hash_partition",
            ),
            ("x::pg_catalog.text || E'\\\\'", "E x"),
            ("'", ""),
            ("", ""),
        ] {
            assert_eq!(of(expression), expected, "{expression}");
        }
    }
}
