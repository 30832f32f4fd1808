//! What is looked up for the records of a table: references of `tables.yaml`, against the tables found.

mod sql;

use std::collections::BTreeMap;

use super::mark::Mark;
use super::reference::{By, Reference};
use super::schema::{Column, Equality, ForeignKey, Identity, Table};
use crate::sql::Qualified;
use crate::types::Kind;

/// What is looked up for the records of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lookups {
    /// One after the other: what one needs stands before it.
    pub all: Vec<Lookup>,
    /// The fields of records by which is looked up, as columns of a staging table.
    pub fields: Vec<Column>,
    /// References that no foreign key holds, as if one did.
    pub loose: Vec<ForeignKey>,
}

/// One row that is looked up for each record, by a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// Its number among the table's.
    pub number: usize,
    /// The column of the table for whose sake it is, by index.
    pub of: usize,
    /// Whether that column gets the answer; else another lookup does.
    pub answers: bool,
    /// The table in which is looked up, as `tables.yaml` names it.
    pub table: String,
    /// That table in the database.
    pub relation: Qualified,
    /// Its object id.
    pub oid: u32,
    /// Where its rows are asked about.
    pub rows: Qualified,
    /// Its column to which is referred.
    pub target: Column,
    /// The other columns of the foreign key, where that has several: of the table that refers, and of this one.
    pub beside: Vec<(String, String, Equality)>,
    /// The columns by which is looked up.
    pub by: Vec<Part>,
    /// Whether a unique key makes these find one row at most.
    pub unique: bool,
    /// The column that marks its deleted rows, and how.
    pub mark: Option<(Column, Mark)>,
    /// Whether a foreign key holds the reference.
    pub held: bool,
}

/// One column by which is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The column of the table in which is looked up.
    pub column: Column,
    /// How its values are compared.
    pub equality: Equality,
    /// Where the value comes from.
    pub from: Origin,
}

/// Where the value of a column comes from by which is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From a field, by its number among the table's.
    Field(usize),
    /// From another lookup, by its number.
    Lookup(usize),
}

/// The tables in which is looked up, by the names that `tables.yaml` has for them; each with the column
/// that marks its deleted rows.
pub type Parents = BTreeMap<String, (Table, Option<String>)>;

/// Why a reference cannot be: a word of it that stands in `tables.yaml`, and what is wrong.
pub type Wrong = (String, String);

/// How a column is compared with that to which it refers, which no foreign key made sure that it can be: as text, where
/// types differ that have no equality of their own.
fn comparison(of: &Column, target: &Column) -> Equality {
    let is_number = |c: &Column| {
        let kind = &c.kind;
        matches!(
            kind,
            Kind::Integer | Kind::Decimal(_) | Kind::Single | Kind::Double
        )
    };
    if of.base_type == target.base_type || is_number(of) && is_number(target) {
        return target.equality.clone();
    }
    Equality {
        schema: "pg_catalog".into(),
        operator: "=".into(),
        collation: None,
        as_type: Some("text".into()),
    }
}

/// Numbers of staging columns for fields; a table's own are below.
const FIRST_FIELD: i16 = 10_000;

impl Lookups {
    /// What `references` (column to reference) ask of `table`.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn new(
        table: &Table,
        references: &BTreeMap<String, Reference>,
        parents: &Parents,
    ) -> Result<Lookups, Wrong> {
        let mut lookups = Lookups::default();
        // What refers to its own table needs the others' answers.
        let (own, others): (Vec<_>, Vec<_>) = references.iter().partition(|(_, reference)| {
            let parent = parents.get(&reference.table);
            parent.is_some_and(|(parent, _)| parent.name == table.name)
        });
        for (column, reference) in others.into_iter().chain(own) {
            let of = position(table, column).ok_or_else(|| not_a_column(table, column))?;
            let answer = lookups.add(of, table, column, reference, parents)?;
            let lookup = &mut lookups.all[answer];
            lookup.answers = true;
            let (child, target) = (&table.columns[of], &lookup.target);
            if keeps(child, target, "").is_none() {
                let what = format!(
                    "references: {column} is of type {}, and {}.{}, to which it refers, of type {}; give both the same type",
                    child.type_sql, lookup.table, target.name, target.type_sql
                );
                return Err((column.clone(), what));
            }
            if !lookup.held {
                lookups.loose.push(ForeignKey {
                    name: "references".into(),
                    child: table.name.clone(),
                    child_oid: table.oid,
                    child_rows: table.rows.clone(),
                    columns: vec![column.clone()],
                    parent: lookup.relation.clone(),
                    parent_oid: lookup.oid,
                    parent_rows: lookup.rows.clone(),
                    parent_columns: vec![lookup.target.name.clone()],
                    only: None,
                    parts: Vec::new(),
                    deferrable: true,
                    may_go_first: true,
                    may_change_first: true,
                    match_full: false,
                    equality: vec![comparison(&table.columns[of], &lookup.target)],
                    keeps: false,
                    outlives_parent: true,
                    follows: false,
                });
            }
        }
        Ok(lookups)
    }

    /// Whether nothing is looked up.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The lookups whose answers are columns of the table.
    pub fn answers(&self) -> impl Iterator<Item = &Lookup> {
        self.all.iter().filter(|l| l.answers)
    }

    /// The lookup whose answer is the column at this index.
    pub fn of_column(&self, index: usize) -> Option<&Lookup> {
        self.answers().find(|l| l.of == index)
    }

    /// The fields by which `lookup` is looked up, by number.
    pub fn fields_of(&self, lookup: &Lookup) -> Vec<usize> {
        let parts = lookup.by.iter();
        let fields = parts.flat_map(|part| match part.from {
            Origin::Field(field) => vec![field],
            Origin::Lookup(inner) => self.fields_of(&self.all[inner]),
        });
        fields.collect()
    }

    /// Adds the lookup of `reference` for `column` of `child`, and those that it needs. Returns its number.
    fn add(
        &mut self,
        of: usize,
        child: &Table,
        column: &str,
        reference: &Reference,
        parents: &Parents,
    ) -> Result<usize, Wrong> {
        let wrong = |word: &str, what: String| (word.to_owned(), format!("references: {what}"));
        let name = &reference.table;
        let Some((parent, mark)) = parents.get(name) else {
            return Err(wrong(name, format!("{name} is not in the database")));
        };
        let key = foreign_key(child, column, parent, parents)?;
        if let Some((key, at)) = key {
            // Of several rows with the number, that with the key's other values is meant.
            let others = key.pairs().enumerate().filter(|(i, _)| *i != at);
            let mut others = others.map(|(_, (of_child, of_parent, _))| (of_child, of_parent));
            if let Some((of_child, of_parent)) =
                others.find(|(_, c)| !reference.by.contains_key(*c))
            {
                let columns = key.columns.join(", ");
                return Err(wrong(
                    column,
                    format!(
                        "{column} refers to {name} together with others ({columns}: {}): look it up by {of_parent}, too, \
                         by: {{{of_parent}: {of_child}, …}}",
                        key.name
                    ),
                ));
            }
        }
        let beside = key.map(|(key, at)| {
            let pairs = key.pairs().enumerate().filter(|(i, _)| *i != at);
            let pairs = pairs.map(|(_, (child, parent, equality))| {
                (child.to_owned(), parent.to_owned(), equality.clone())
            });
            pairs.collect()
        });
        let beside = beside.unwrap_or_default();
        let target = match key {
            Some((key, at)) => parent.column(&key.parent_columns[at]),
            None => only_primary(parent),
        };
        let Some(target) = target.cloned() else {
            return Err(wrong(
                column,
                format!(
                    "{column} has no foreign key to {name}, and {name} has no primary key of one column to which it \
                     could refer"
                ),
            ));
        };
        if provisional(&target, "1", "0", "0").is_none() {
            let what = format!(
                "{column} refers to {name}.{} of type {}; what is looked up is an integer, a numeric, a uuid or a text",
                target.name, target.type_sql
            );
            return Err(wrong(column, what));
        }
        if reference.by.is_empty() {
            let what = format!("{column}: by names no column of {name} by which it is looked up");
            return Err(wrong(column, what));
        }
        let names: Vec<String> = reference.by.keys().cloned().collect();
        if let Some(none) = names.iter().find(|n| parent.column(n).is_none()) {
            return Err(not_a_column(parent, none));
        }
        let mut by = Vec::new();
        for (of_parent, equality) in parent.key(&names) {
            let from = match &reference.by[&of_parent.name] {
                By::Field(field) => Origin::Field(self.field(field, of_parent)),
                By::Reference(inner) => {
                    Origin::Lookup(self.add(of, parent, &of_parent.name, inner, parents)?)
                }
            };
            by.push(Part {
                column: of_parent.clone(),
                equality,
                from,
            });
        }
        let is_in_by = |n: &i16| by.iter().any(|part| part.column.number == *n);
        let mut unique = parent.unique.iter();
        let unique = unique.any(|i| i.is_plain() && i.columns.iter().all(is_in_by));
        let mark = mark.as_ref().and_then(|m| parent.column(m));
        let mark = mark.and_then(|c| Some((c.clone(), Mark::of(c).ok()?)));
        let number = self.all.len();
        self.all.push(Lookup {
            number,
            of,
            answers: false,
            table: name.clone(),
            relation: parent.name.clone(),
            oid: parent.oid,
            rows: parent.rows.clone(),
            target,
            beside,
            by,
            unique,
            mark,
            held: key.is_some(),
        });
        Ok(number)
    }

    /// The number of the field with the values of a column by which is looked up.
    fn field(&mut self, name: &str, column: &Column) -> usize {
        let same = |f: &Column| f.name == name && f.base_type_sql == column.base_type_sql;
        if let Some(known) = self.fields.iter().position(same) {
            return known;
        }
        let number = i16::try_from(self.fields.len()).unwrap_or(i16::MAX - FIRST_FIELD);
        self.fields.push(Column {
            number: FIRST_FIELD + number,
            name: name.to_owned(),
            not_null: false,
            default: None,
            default_varies: false,
            sequence: None,
            identity: Identity::None,
            generated: false,
            generation: None,
            generated_from: Vec::new(),
            ..column.clone()
        });
        self.fields.len() - 1
    }
}

fn position(table: &Table, column: &str) -> Option<usize> {
    table.columns.iter().position(|c| c.name == column)
}

fn not_a_column(table: &Table, column: &str) -> Wrong {
    let of = &table.name.name;
    let hint = table.columns_like(column);
    let what = format!("references: {column} is not a column of {of}; {hint}");
    (column.to_owned(), what)
}

/// The foreign key of `column` to `parent`, and the column's place in it; that of one column if there
/// are several. A foreign key to another table alone is [`Wrong`].
fn foreign_key<'t>(
    child: &'t Table,
    column: &str,
    parent: &Table,
    parents: &Parents,
) -> Result<Option<(&'t ForeignKey, usize)>, Wrong> {
    let keys = child.foreign_keys.iter().filter(|k| k.only.is_none());
    let keys = keys.filter_map(|k| Some((k, k.columns.iter().position(|c| c == column)?)));
    let keys: Vec<_> = keys.collect();
    let to_parent = keys.iter().filter(|(key, _)| key.parent == parent.name);
    let found = to_parent.min_by_key(|(key, _)| key.columns.len()).copied();
    match (found, keys.first()) {
        // It stands for that to which the other table's own column refers.
        (None, Some(_))
            if keys
                .iter()
                .any(|(key, at)| hands_on(key, *at, parent, parents)) =>
        {
            Ok(None)
        }
        (None, Some((key, _))) => {
            let (is, said) = (&key.parent, &parent.name);
            let (is, said) = match is.name == said.name {
                true => (is.configured(), said.configured()),
                false => (is.name.clone(), said.name.clone()),
            };
            let why = format!(
                "references: {column} refers to {is} ({}), not to {said}",
                key.name
            );
            Err((parent.name.name.clone(), why))
        }
        (found, _) => Ok(found),
    }
}

/// Whether the column at this place of a foreign key of several refers to what is, in the other table, itself a reference to
/// the primary key of `parent`: of a row of a site, the site.
fn hands_on(key: &ForeignKey, at: usize, parent: &Table, parents: &Parents) -> bool {
    let mut tables = parents.values().map(|(table, _)| table);
    let between = tables.find(|table| table.name == key.parent);
    let mut on = between.into_iter().flat_map(|table| &table.foreign_keys);
    let primary = only_primary(parent).map(|column| &column.name);
    key.columns.len() > 1
        && on.any(|on| {
            on.parent == parent.name
                && on.columns == [key.parent_columns[at].clone()]
                && on.parent_columns.first() == primary
        })
}

/// The one column of the primary key.
fn only_primary(table: &Table) -> Option<&Column> {
    let primary = table.unique.iter().find(|i| i.primary)?;
    match primary.columns.as_slice() {
        [one] => table.column_by_number(*one),
        _ => None,
    }
}

/// The condition that a column keeps a value, SQL, of the column to which it refers, and prints it alike; empty where it
/// does so with all. `None` where that is not known of their types.
pub fn keeps(column: &Column, target: &Column, value: &str) -> Option<String> {
    let ty = &column.base_type_sql;
    if *ty == target.base_type_sql || matches!(column.kind, Kind::Text(None)) {
        return Some(String::new());
    }
    let alike = format!("({value})::{ty}::text = ({value})::text");
    if matches!(column.kind, Kind::Text(_) | Kind::Padded(_) | Kind::Name) {
        return Some(alike);
    }
    let (lowest, highest) = match (most(column), &*column.base_type) {
        _ if !is_number(target) => return None,
        (Some(highest), _) if most(target).is_some_and(|most| most <= highest) => {
            return Some(String::new());
        }
        (Some(highest), _) => ((-highest - 1).to_string(), highest.to_string()),
        (None, "numeric") if ty == "numeric" => return Some(String::new()),
        (None, "numeric") => {
            let inside = ty.strip_prefix("numeric(")?.strip_suffix(')')?;
            let (precision, scale) = inside.split_once(',').unwrap_or((inside, "0"));
            let digits: i32 = precision.trim().parse().ok()?;
            let digits = digits.checked_sub(scale.trim().parse().ok()?)?;
            let highest = format!("(10::pg_catalog.numeric ^ {digits} - 1)");
            (format!("-{highest}"), highest)
        }
        _ => return None,
    };
    // What is outside cannot be cast.
    Some(format!(
        "CASE WHEN {value} BETWEEN {lowest} AND {highest} THEN {alike} ELSE false END"
    ))
}

/// Whether stand-ins for values of a column are numbers.
pub fn is_number(column: &Column) -> bool {
    matches!(
        column.base_type.as_str(),
        "int2" | "int4" | "int8" | "numeric"
    )
}

/// The most that an integer column holds; `None` of other types.
fn most(column: &Column) -> Option<i64> {
    match column.base_type.as_str() {
        "int2" => Some(i16::MAX.into()),
        "int4" => Some(i32::MAX.into()),
        "int8" => Some(i64::MAX),
        _ => None,
    }
}

/// Whether what stands for the number of a new row is one that its row could get, so that the rules which hold for rows
/// can be asked of it.
pub fn is_like_a_number(column: &Column) -> bool {
    most(column).is_some()
}

/// A value of `column` that no row of its table has, as SQL: it stands for the row that is the `rank`-th
/// (SQL, from 1) of those that will be new. There is none below the number `lowest` and above `highest`. `None` for
/// types that have no such value.
pub fn provisional(column: &Column, rank: &str, lowest: &str, highest: &str) -> Option<String> {
    let ty = &column.base_type_sql;
    let below = format!("{lowest} - ({rank})");
    Some(match (column.base_type.as_str(), most(column)) {
        (_, Some(most)) => format!(
            "(CASE WHEN {highest}::pg_catalog.numeric + ({rank}) <= {most} THEN {highest} + ({rank}) ELSE {below} END)::{ty}"
        ),
        _ if is_number(column) => format!("({below})::{ty}"),
        ("uuid", _) => format!(
            "('ffffffff-ffff-ffff-ffff-' || pg_catalog.lpad(pg_catalog.to_hex({rank}), 12, '0'))::{ty}"
        ),
        ("text" | "varchar", _) => format!("(pg_catalog.chr(1) || ({rank}))::{ty}"),
        _ => return None,
    })
}
