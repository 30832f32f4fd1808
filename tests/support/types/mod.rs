//! The one table of PostgreSQL's types: values that each takes and gives back, values that do not
//! fit it, and what may be said of a column of it.

mod made;
mod nested;
mod numbers;
mod texts;
mod times;

/// A type, and what the tests know about it.
pub struct Type {
    /// As in SQL.
    pub name: &'static str,
    /// What stands in JSON, and what PostgreSQL then prints (`format('%s', …)`), or null.
    pub values: &'static [(&'static str, Option<&'static str>)],
    /// What stands in JSON and loses something, and the text that SQL is given.
    pub lossy: &'static [(&'static str, &'static str)],
    /// What stands in JSON and does not fit, and the text that SQL is given; `None` where the
    /// loader refuses it itself.
    pub misfits: &'static [(&'static str, Option<&'static str>)],
    /// Any spelling of more values, as a text.
    pub texts: &'static [&'static str],
    /// Values of keys, no two equal: as stored, and as a record spells it.
    pub keys: &'static [(&'static str, &'static str)],
    /// Conditions on a column `@`.
    pub checks: &'static [&'static str],
    pub defaults: &'static [&'static str],
    /// The key of a unique index, or `EXCLUDE`. Random tables of `checks` have only types with some.
    pub unique: &'static [&'static str],
    /// A type, and expressions of it that a generated column may have.
    pub generated: (&'static str, &'static [&'static str]),
}

const NOTHING: Type = Type {
    name: "",
    values: &[],
    lossy: &[],
    misfits: &[],
    texts: &[],
    keys: &[],
    checks: &[],
    defaults: &[],
    unique: &[],
    generated: ("", &[]),
};

/// Makes the types that are no part of PostgreSQL, once for each database.
pub const SETUP: &str = r#"
CREATE EXTENSION IF NOT EXISTS citext; CREATE EXTENSION IF NOT EXISTS hstore;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'so so', 'it''s "fine"', 'Ü');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN percentage AS numeric(5,2) CHECK (VALUE BETWEEN 0 AND 100);
CREATE DOMAIN short AS varchar(8) CHECK (VALUE <> '');
CREATE DOMAIN amount AS numeric(12,3) CHECK (VALUE > -1000000);
CREATE DOMAIN posint AS int CHECK (VALUE > 0);
CREATE DOMAIN tag AS text CHECK (length(VALUE) BETWEEN 1 AND 3);
CREATE DOMAIN need AS text NOT NULL CHECK (VALUE <> 'x');
CREATE DOMAIN given AS text CHECK (VALUE IS NOT NULL);
"#;

/// All types.
pub fn all() -> impl Iterator<Item = &'static Type> {
    let tables = [
        numbers::TYPES,
        texts::TYPES,
        times::TYPES,
        nested::TYPES,
        made::TYPES,
    ];
    tables.into_iter().flatten()
}

/// Whether a version of PostgreSQL has a type: before 15 no `numeric` has a negative scale.
pub fn exists(ty: &str, version: u32) -> bool {
    version >= 15 || !(ty.starts_with("numeric") && ty.contains(",-"))
}

/// The type of that name.
pub fn named(name: &str) -> &'static Type {
    let found = all().find(|t| t.name == name);
    found.unwrap_or_else(|| panic!("no type {name}"))
}
