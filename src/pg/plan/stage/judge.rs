//! Values that do not fit are told from those that do, by functions that assign a text to a
//! variable of the column's type: an assignment refuses what a cast would cut off.

use super::{OWN_COLUMNS, Stage};
use crate::plan::ViolationKind;
use crate::plan::incoming::STAGE_COLUMNS;
use crate::sql::{Literal, Statement, list};
use crate::table::schema::Column;
use crate::table::target::Target;
use crate::types::Kind;

impl Stage<'_> {
    fn judging(&self, sql: String) -> Statement {
        Statement::new(self.doing("checking the values of"), sql)
    }

    /// The table of raw texts, and for each column its judges.
    pub(in crate::pg) fn create_raw(&self) -> Statement {
        let columns = self.read_columns();
        let mut sql = format!(
            "CREATE TEMPORARY TABLE {} ({OWN_COLUMNS}, {});",
            self.raw().bare(),
            list(columns.map(|c| format!("{} text", c.staged())))
        );
        for column in self.read_columns() {
            sql += &judges(&self.suffix(column), &column.base_type_sql, column);
        }
        self.judging(sql)
    }

    fn suffix(&self, column: &Column) -> String {
        format!("{}_{}", self.target.place, column.number)
    }

    /// A cast of all raw texts of a column.
    pub(in crate::pg) fn cast_all(&self, column: &Column) -> Statement {
        let (value, raw) = (column.of_text(&column.staged()), self.raw());
        self.judging(format!("SELECT pg_catalog.count({value}) FROM {raw}"))
    }

    /// A raw text of which a cast tells everything.
    pub(super) fn cast(&self, column: &Column) -> String {
        column.of_text(&format!("r.{}", column.staged()))
    }

    /// A raw text's value, or null where it does not fit.
    pub(super) fn fitting(&self, column: &Column) -> String {
        let suffix = self.suffix(column);
        format!("pg_temp.loader_fit_{suffix}(r.{})", column.staged())
    }

    /// Notes the raw texts of a column that do not fit.
    pub(in crate::pg) fn find_unfit(&self, column: &Column) -> Statement {
        let cell = format!("r.{}", column.staged());
        self.judging(format!(
            "INSERT INTO pg_temp.loader_findings (_t, _n, kind, field, given, message) SELECT {number}, r._n, '{kind}', {field}, {given}, w.why \
             FROM {raw} r, LATERAL (SELECT pg_temp.loader_why_{suffix}({cell})) w(why) WHERE w.why IS NOT NULL",
            number = self.target.place,
            kind = ViolationKind::InvalidValue,
            field = Literal(self.about(column)),
            given = shortened(&cell),
            raw = self.raw(),
            suffix = self.suffix(column),
        ))
    }

    /// The table's column that a staged column is about: one by which is looked up has no name there.
    fn about<'c>(&'c self, column: &'c Column) -> &'c str {
        let Target { table, lookups, .. } = self.target;
        let field = lookups.fields.iter().position(|f| f == column);
        let mut answers = lookups.answers();
        let of = field.and_then(|f| answers.find(|l| lookups.fields_of(l).contains(&f)));
        of.map_or(&column.name, |lookup| &table.columns[lookup.of].name)
    }

    /// Takes the raw rows over into the staging table.
    pub(in crate::pg) fn take_over(&self, values: &[String]) -> Statement {
        let own = STAGE_COLUMNS.split(", ").map(|c| format!("r.{c}"));
        let (stage, raw) = (self.temporary(), self.raw());
        self.judging(format!(
            "INSERT INTO {stage} ({}) SELECT {}, {} FROM {raw} r; TRUNCATE {raw}",
            self.columns(),
            list(own),
            list(values),
        ))
    }

    fn judging_domains(&self, sql: String) -> Statement {
        Statement::new(self.doing("checking the domains of"), sql)
    }

    /// A cast of all staged values of a column to its domain.
    pub(in crate::pg) fn cast_to_domain(&self, column: &Column) -> Statement {
        let (stage, cell, ty) = (self.temporary(), column.staged(), &column.type_sql);
        self.judging_domains(format!(
            "SELECT pg_catalog.count({cell}::{ty}) FROM {stage} WHERE {cell} IS DISTINCT FROM NULL"
        ))
    }

    /// Notes the staged values of a column that its domain refuses.
    pub(in crate::pg) fn find_outside_domain(&self, column: &Column) -> Statement {
        let suffix = format!("{}_domain", self.suffix(column));
        let (stage, text) = (self.temporary(), column.staged_text("s"));
        self.judging_domains(format!(
            "{judges} INSERT INTO pg_temp.loader_findings (_t, _n, kind, field, given, message) SELECT {number}, s._n, '{kind}', {field}, {given}, w.why \
             FROM {stage} s, LATERAL (SELECT pg_temp.loader_why_{suffix}({text})) w(why) \
             WHERE s.{cell} IS DISTINCT FROM NULL AND w.why IS NOT NULL",
            judges = judges(&suffix, &column.type_sql, column),
            number = self.target.place,
            kind = ViolationKind::InvalidValue,
            field = Literal(&column.name),
            given = shortened(&text),
            cell = column.staged(),
        ))
    }
}

/// A text as SQL, cut where it is very long.
fn shortened(text: &str) -> String {
    format!(
        "CASE WHEN pg_catalog.length({text}) > 2000 THEN pg_catalog.left({text}, 2000) || '... (' || \
         pg_catalog.octet_length({text}) || ' bytes)' ELSE {text} END"
    )
}

/// Two functions on text: `loader_fit_…` gives the value or null, `loader_why_…` the reason why
/// it does not fit or null.
fn judges(suffix: &str, ty: &str, column: &Column) -> String {
    // PL/pgSQL assigns no text to a row; and reading one refuses what does not fit its fields.
    let value = match column.kind {
        Kind::Composite(_) => format!("v::{ty}"),
        _ if column.base_type == "regclass" => column.of_text("v"),
        _ => "v".to_owned(),
    };
    format!(
        "CREATE FUNCTION pg_temp.loader_fit_{suffix}(v text) RETURNS {ty} LANGUAGE plpgsql AS $loader$
DECLARE x {ty}; BEGIN IF v IS NULL THEN RETURN NULL; END IF; x := {value}; RETURN x;
EXCEPTION WHEN insufficient_privilege THEN RAISE; WHEN OTHERS THEN RETURN NULL; END $loader$;
CREATE FUNCTION pg_temp.loader_why_{suffix}(v text) RETURNS text LANGUAGE plpgsql AS $loader$
BEGIN IF v IS NOT NULL THEN DECLARE x {ty} := {value}; BEGIN END; END IF; RETURN NULL;
EXCEPTION WHEN insufficient_privilege THEN RAISE; WHEN OTHERS THEN RETURN pg_catalog.left(SQLERRM, 2000); END $loader$;
"
    )
}
