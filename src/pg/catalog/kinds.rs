//! What the columns' types are, down to what they are made of: the kind of each, which decides about
//! what is accepted.

use std::collections::HashMap;

use tokio_postgres::Row;

use crate::types::{Fields, Figure, Kind, Printed, Zoned};

/// Every type from which the columns of a table are made.
pub const TYPES: &str = include_str!("types.sql");

/// One type as the catalogs describe it.
struct Type {
    sort: String,
    own: bool,
    name: String,
    base: u32,
    base_modifier: i32,
    element: Option<u32>,
    delimiter: Option<String>,
    bound: Option<u32>,
    fields: Vec<(u32, i32)>,
    immutable: bool,
    labels: Vec<String>,
}

/// What the fingerprint has of the types that were made in the database: one line each, from the answer to
/// [`TYPES`].
pub fn described(rows: &[Row]) -> Vec<String> {
    let lines = rows
        .iter()
        .filter_map(|row| row.get::<_, Option<String>>(13));
    let mut lines: Vec<String> = lines.map(|line| format!("type {line}")).collect();
    lines.sort_unstable();
    lines
}

/// Types by their object id.
pub struct Types(HashMap<u32, Type>);

impl Types {
    /// From the answer to [`TYPES`].
    pub fn new(rows: &[Row]) -> Types {
        let read = |row: &Row| {
            let (types, modifiers): (Vec<u32>, Vec<i32>) = (row.get(9), row.get(10));
            let described = Type {
                sort: row.get(1),
                own: row.get(2),
                name: row.get(3),
                base: row.get(4),
                base_modifier: row.get(5),
                element: row.get(6),
                delimiter: row.get(7),
                bound: row.get(8),
                fields: types.into_iter().zip(modifiers).collect(),
                immutable: row.get(11),
                labels: row.get(12),
            };
            (row.get(0), described)
        };
        Types(rows.iter().map(read).collect())
    }

    /// The kind of the type `oid` with the modifier `modifier` (-1 is none).
    pub fn kind(&self, oid: u32, modifier: i32) -> Kind {
        let Some(of) = self.0.get(&oid) else {
            return Kind::Printed(Printed::Refused);
        };
        let part = |oid, modifier| Box::new(self.kind(oid, modifier));
        match (of.sort.as_str(), of.element, of.bound) {
            ("d", ..) => self.kind(of.base, of.base_modifier),
            ("e", ..) => Kind::Label(of.labels.clone()),
            ("r", _, Some(bound)) => Kind::Range(part(bound, -1)),
            ("m", _, Some(bound)) => Kind::Multirange(part(bound, -1)),
            ("c", ..) => {
                let fields = of.fields.iter();
                Kind::Composite(fields.map(|(oid, m)| self.kind(*oid, *m)).collect())
            }
            (_, Some(element), _) => Kind::Array {
                element: part(element, modifier),
                delimiter: of
                    .delimiter
                    .as_ref()
                    .and_then(|d| d.chars().next())
                    .unwrap_or(','),
            },
            _ if of.own => own(&of.name, modifier),
            _ if of.immutable => Kind::Printed(Printed::Listed),
            _ => Kind::Printed(Printed::Refused),
        }
    }
}

/// The kind of one of PostgreSQL's own base types.
fn own(name: &str, modifier: i32) -> Kind {
    // A length stands in its modifier with the four bytes that say how long it is.
    let length = u32::try_from(modifier - 4).ok();
    let places = usize::try_from(modifier).unwrap_or(6);
    match name {
        "text" | "refcursor" => Kind::Text(None),
        "varchar" => Kind::Text(length),
        "bpchar" => length.map_or(Kind::Text(None), Kind::Padded),
        "name" => Kind::Name,
        "char" => Kind::Byte,
        "bool" => Kind::Boolean,
        "int2" | "int4" | "int8" => Kind::Integer,
        "numeric" => Kind::Decimal(length.map(scale)),
        "float4" => Kind::Single,
        "float8" => Kind::Double,
        "money" => Kind::Money,
        "oid" | "xid" | "cid" => Kind::Number(u32::MAX.into()),
        "xid8" => Kind::Number(u64::MAX),
        "int2vector" => Kind::Numbers(None),
        "oidvector" => Kind::Numbers(Some(u32::MAX.into())),
        "date" => Kind::Date,
        "time" => Kind::Time(Zoned::No, places),
        "timetz" => Kind::Time(Zoned::Yes, places),
        "timestamp" => Kind::Timestamp(Zoned::No, places),
        "timestamptz" => Kind::Timestamp(Zoned::Yes, places),
        "interval" => Kind::Interval(fields(modifier)),
        "bytea" => Kind::Bytes,
        "bit" | "varbit" => Kind::Bits,
        "uuid" => Kind::Uuid,
        "inet" | "cidr" => Kind::Address,
        "macaddr" => Kind::Hardware(6),
        "macaddr8" => Kind::Hardware(8),
        "point" => Kind::Geometry(Figure::Point),
        "line" => Kind::Geometry(Figure::Line),
        "lseg" => Kind::Geometry(Figure::Segment),
        "box" => Kind::Geometry(Figure::Box),
        "path" => Kind::Geometry(Figure::Path),
        "polygon" => Kind::Geometry(Figure::Polygon),
        "circle" => Kind::Geometry(Figure::Circle),
        "tid" => Kind::Place,
        "pg_lsn" => Kind::LogPosition,
        "json" => Kind::Json,
        "jsonb" => Kind::Jsonb,
        "tsvector" => Kind::Lexemes,
        name if name.starts_with("reg") => Kind::Printed(Printed::Named),
        // None of the others holds a time.
        _ => Kind::Printed(Printed::Listed),
    }
}

/// The scale in the modifier of `numeric`: eleven bits with a sign.
fn scale(modifier: u32) -> i32 {
    let bits = i32::try_from(modifier & 0x7ff).unwrap_or_default();
    (bits ^ 0x400) - 0x400
}

/// The modifier of `interval` has a mask of fields, all of which are `7fff`, above a precision.
fn fields(modifier: i32) -> Fields {
    match (modifier, modifier >> 16 & 0x7fff, modifier & 0xffff) {
        (-1, ..) | (_, 0x7fff, 6 | 0xffff) => Fields::All,
        _ => Fields::Some,
    }
}
