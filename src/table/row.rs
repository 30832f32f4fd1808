//! A table's columns and rows as SQL.

use std::collections::BTreeSet;
use std::fmt::Display;

use sha2::{Digest, Sha256};

use super::schema::{Column, Equality, ForeignKey, Identity, Table};
use crate::sql::ident::words;
use crate::sql::{Ident, Literal, all, list, text_array};
use crate::text::hex;

impl Equality {
    /// The condition that `left` and `right` are equal.
    pub fn equal(&self, left: impl Display, right: impl Display) -> String {
        let (schema, operator) = (Ident(&self.schema), &self.operator);
        match &self.as_type {
            Some(ty) => {
                format!("({left})::{ty} OPERATOR({schema}.{operator}) ({right})::{ty}")
            }
            None => format!(
                "{left}{} OPERATOR({schema}.{operator}) {right}",
                self.collate()
            ),
        }
    }

    /// ` COLLATE …` behind a value, where its type has a collation.
    pub fn collate(&self) -> String {
        collate(self.collation.as_deref())
    }
}

fn collate(collation: Option<&str>) -> String {
    collation.map_or_else(String::new, |c| format!(" COLLATE {c}"))
}

impl Column {
    /// Its value in row `alias` as SQL text: what the type's output function prints, or null.
    pub fn text(&self, alias: &str) -> String {
        text(&format!("{alias}.{}", Ident(&self.name)), self.text_cast)
    }

    /// A value of it as what is sent by COPY prints it, as SQL: as [`Column::text`] does. The output function of
    /// XML leaves out a declaration and a line feed before all else, of which a cast to text keeps both.
    pub fn sent(&self, value: String) -> String {
        if self.base_type == "xml" && self.is_of_own_type() {
            self.printed(&value)
        } else {
            value
        }
    }

    /// What its type prints of a value of it, as SQL.
    pub fn printed(&self, value: &str) -> String {
        text(value, self.text_cast)
    }

    /// The staged value's SQL text; staged columns are named by number.
    pub fn staged_text(&self, alias: &str) -> String {
        text(&format!("{alias}.{}", self.staged()), self.text_cast)
    }

    /// The value of its type below all domains whose text is `text`, as SQL. The cast of a text to `regclass` does not
    /// know the sign for none, which the input function reads.
    pub fn of_text(&self, text: &str) -> String {
        match self.base_type.as_str() {
            "regclass" => format!("pg_catalog.regclassin(pg_catalog.textout({text}))"),
            _ => format!("({text})::{}", self.base_type_sql),
        }
    }

    /// The value that `image` has of it, with its collation, as SQL.
    pub fn of_image(&self, image: &str) -> String {
        let value = self.of_text(&format!("{image} ->> {}", Literal(&self.name)));
        value + &collate(self.collation.as_deref())
    }

    /// Its name in a staging table: no user's name can collide with the loader's own columns there.
    pub fn staged(&self) -> String {
        format!("c{}", self.number)
    }

    /// What makes it a column of a staging table, called `name` there: its type below all domains.
    pub fn defined_as(&self, name: impl Display) -> String {
        let collate = collate(self.collation.as_deref());
        format!("{name} {}{collate}", self.base_type_sql)
    }

    /// SQL that is true only where the staged value and that of row `right` print alike. Where it is
    /// not, they may still do: then the texts themselves have to be compared.
    pub fn surely_alike(&self, left: &str, right: &str) -> String {
        let (staged, stored) = (
            format!("{left}.{}", self.staged()),
            format!("{right}.{}", Ident(&self.name)),
        );
        let own = self.is_of_own_type();
        match self.base_type.as_str() {
            "text" | "varchar" if own => {
                format!("{stored} COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.=) {staged}")
            }
            "bool" | "int2" | "int4" | "int8" | "oid" | "uuid" | "bytea" | "date" | "time"
            | "timestamp" | "timestamptz"
                if own =>
            {
                format!("{stored} OPERATOR(pg_catalog.=) {staged}")
            }
            // With a scale, equal numbers have equal digits.
            "numeric" if own && self.base_type_sql.contains('(') => {
                format!("{stored} OPERATOR(pg_catalog.=) {staged}")
            }
            // The same bytes print the same, and equality may be looser: 1.0 = 1.00, '1 day' = '24 hours'.
            _ => same_bytes(staged, self.stored(right)),
        }
    }

    /// Whether a value of it may have many bytes: what is known not to is of a fixed size.
    pub fn may_be_large(&self) -> bool {
        !matches!(
            self.base_type.as_str(),
            "bool"
                | "int2"
                | "int4"
                | "int8"
                | "oid"
                | "float4"
                | "float8"
                | "uuid"
                | "date"
                | "time"
                | "timetz"
                | "timestamp"
                | "timestamptz"
                | "interval"
        ) || !self.is_of_own_type()
    }

    /// Whether its type is one of PostgreSQL's own: a name with a schema is not.
    fn is_of_own_type(&self) -> bool {
        !self.base_type_sql.contains(['.', '"'])
    }

    /// What the database gives a new row in it, as SQL; `None` where that is nothing.
    pub fn by_database(&self) -> Option<String> {
        match (self.identity, &self.sequence, &self.default) {
            (Identity::ByDefault | Identity::Always, Some(sequence), _) => Some(format!(
                "pg_catalog.nextval({}::pg_catalog.regclass)",
                Literal(&sequence.to_string())
            )),
            (_, _, default) => default.as_ref().map(|default| format!("({default})")),
        }
    }

    /// Its value in row `alias`, of the type that it is staged as.
    pub fn stored(&self, alias: &str) -> String {
        let name = Ident(&self.name);
        if self.domain {
            format!("{alias}.{name}::{}", self.base_type_sql)
        } else {
            format!("{alias}.{name}")
        }
    }
}

/// The condition that two lists of values of the same types are the same bytes.
pub fn same_bytes(left: impl Display, right: impl Display) -> String {
    format!("ROW({left})::record OPERATOR(pg_catalog.*=) ROW({right})::record")
}

/// What the type of a value prints of it, as SQL; whether a cast to text is that, is known.
pub fn text(value: &str, text_cast: bool) -> String {
    if text_cast {
        format!("({value})::pg_catalog.text")
    } else {
        format!("CASE WHEN {value} IS DISTINCT FROM NULL THEN pg_catalog.format('%s', {value}) END")
    }
}

/// The natural key that rows `left` and `right` have in common; `left` is a staged one.
pub fn keys_equal(key: &[(&Column, Equality)], left: &str, right: &str) -> String {
    all(key.iter().map(|(column, equality)| {
        equality.equal(
            format_args!("{right}.{}", Ident(&column.name)),
            format_args!("{left}.{}", column.staged()),
        )
    }))
}

/// A row's natural key as one text: its value, or a JSON array of several. `texts` are its columns'.
pub fn record_id(texts: impl IntoIterator<Item = String>) -> String {
    let texts: Vec<String> = texts.into_iter().collect();
    match texts.as_slice() {
        [one] => one.clone(),
        several => format!(
            "pg_catalog.array_to_json({})::pg_catalog.text",
            text_array(several)
        ),
    }
}

impl ForeignKey {
    /// The condition that the row `child` refers to the row `parent`.
    pub fn refers(&self, parent: &str, child: &str) -> String {
        let equal = self.pairs().map(|(of_child, of_parent, equality)| {
            equality.equal(
                format_args!("{parent}.{}", Ident(of_parent)),
                format_args!("{child}.{}", Ident(of_child)),
            )
        });
        let is_part = format!("{parent}.tableoid IN ({})", list(&self.parts));
        let is_part = Some(is_part).filter(|_| !self.parts.is_empty());
        all(equal.chain(is_part))
    }

    /// Its columns, those they refer to, and how these are equal.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str, &Equality)> {
        let columns = self.columns.iter().zip(&self.parent_columns);
        let pairs = columns.zip(&self.equality);
        pairs.map(|((child, parent), equality)| (child.as_str(), parent.as_str(), equality))
    }
}

impl Table {
    /// For each column, whether an expression reads it: these columns, or else those that it mentions, and what they are
    /// generated from.
    pub fn reads(&self, read: &[i16], expression: &str) -> Vec<bool> {
        let columns = &self.columns;
        let words = match read {
            [] => words(expression),
            _ => BTreeSet::new(),
        };
        let mentioned = |c: &Column| words.contains(&c.name);
        let mut reads: Vec<bool> = columns
            .iter()
            .map(|c| read.contains(&c.number) || mentioned(c))
            .collect();
        for (i, c) in columns.iter().enumerate() {
            if reads[i] {
                for (j, of) in columns.iter().enumerate() {
                    reads[j] |= c.generated_from.contains(&of.number);
                }
            }
        }
        reads
    }

    /// The columns in the order of keys that jsonb has (length, then bytes): what is built in that
    /// order need not be sorted.
    fn by_name(&self) -> Vec<&Column> {
        let mut columns: Vec<&Column> = self.columns.iter().collect();
        columns.sort_by_key(|c| (c.name.len(), c.name.as_bytes()));
        columns
    }

    /// The whole row `alias` as SQL: a text array of what the columns' types print, or null.
    /// `left_out` names columns that do not count.
    fn texts(&self, alias: &str, left_out: &[String]) -> String {
        text_array(self.counted(left_out).map(|c| c.text(alias)))
    }

    /// The columns of a digest, in its order.
    pub fn counted(&self, left_out: &[String]) -> impl Iterator<Item = &Column> {
        let columns = self.by_name().into_iter();
        columns.filter(|c| !left_out.contains(&c.name))
    }

    /// Which of all columns, in the order of digests, a digest is of.
    pub fn places_of_digest(&self, left_out: &[String]) -> Vec<usize> {
        let columns = self.counted(&[]).enumerate();
        let counted = columns.filter(|(_, c)| !left_out.contains(&c.name));
        counted.map(|(at, _)| at).collect()
    }

    /// The digest of the whole row `alias` as SQL: 32 hex digits, the first half of the SHA-256 of
    /// how PostgreSQL sends an array of its texts, in which each text stands with its length.
    pub fn digest(&self, alias: &str, left_out: &[String]) -> String {
        digest_of(&self.texts(alias, left_out))
    }

    /// The image of the whole row `alias` as SQL: a jsonb object, column to text or null.
    pub fn image(&self, alias: &str) -> String {
        self.image_of(&self.texts(alias, &[]))
    }

    /// Digest and image of row `alias` for a query over a subquery `outer`, which must end in
    /// `OFFSET 0`: so both come from texts that are made once.
    pub fn once(&self, alias: &str, outer: &str, left_out: &[String]) -> Once {
        let texts = self.texts(alias, &[]);
        let (select, compared) = if left_out.is_empty() {
            (format!("{texts} AS texts"), "texts")
        } else {
            let compared = self.texts(alias, left_out);
            (
                format!("{texts} AS texts, {compared} AS compared"),
                "compared",
            )
        };
        Once {
            select,
            digest: digest_of(&format!("{outer}.{compared}")),
            image: self.image_of(&format!("{outer}.texts")),
        }
    }

    fn image_of(&self, texts: &str) -> String {
        let columns = self.by_name();
        let names = columns.iter().map(|c| Literal(&c.name));
        format!("pg_catalog.jsonb_object({}, {texts})", text_array(names))
    }

    /// The natural key of row `alias` as one text.
    pub fn record_id(&self, natural_key: &[String], alias: &str) -> String {
        let key = self.key(natural_key).into_iter();
        record_id(key.map(|(column, _)| column.text(alias)))
    }

    /// The columns of the natural key in a staging table.
    pub fn staged_key(&self, natural_key: &[String]) -> String {
        let key = self.key(natural_key).into_iter();
        list(key.map(|(column, _)| column.staged()))
    }
}

/// SQL for a row's digest and image, see [`Table::once`].
pub struct Once {
    /// What the subquery selects.
    pub select: String,
    /// The digest, in the outer query.
    pub digest: String,
    /// The image, in the outer query.
    pub image: String,
}

/// What [`digest_of`] makes of these texts: PostgreSQL sends an array as its number of dimensions, whether
/// there are nulls, the type of its elements (25 is text), their number, the first one's index, and each with
/// its length before it, or -1 for null.
pub fn digest_of_texts(texts: &[Option<&str>]) -> String {
    let len = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let mut digest = Sha256::new();
    let has_nulls = i32::from(texts.iter().any(Option::is_none));
    for n in [1, has_nulls, 25, len(texts.len()), 1] {
        digest.update(n.to_be_bytes());
    }
    for text in texts {
        digest.update(text.map_or(-1, |t| len(t.len())).to_be_bytes());
        digest.update(text.unwrap_or_default());
    }
    hex(&digest.finalize()[..16])
}

/// The digest of an array of texts, as SQL: 32 hex digits.
pub fn digest_of(texts: &str) -> String {
    format!(
        "pg_catalog.encode(pg_catalog.substr(pg_catalog.sha256(pg_catalog.array_send({texts})), 1, 16), 'hex')"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_what_postgresql_makes() {
        // SELECT encode(substr(sha256(array_send(ARRAY[…]::text[])), 1, 16), 'hex')
        for (texts, digest) in [
            (
                [Some("a"), None, Some("ä b"), Some("")].as_slice(),
                "48b684be92df6a1b0e7978af66f21a52",
            ),
            (&[Some("a")], "8a0c5d039abb2bb4d3358625f99e4de7"),
        ] {
            assert_eq!(digest_of_texts(texts), digest);
        }
    }
}
