//! What is accepted for each of PostgreSQL's types, and what each becomes: `docs/values.md` lists it
//! with examples, from which the tests are made.
//!
//! A value that is accepted is either surely stored as it was given, or has to be compared with what
//! PostgreSQL would store. All else is refused, with an accepted spelling where there is one.

mod bytes;
mod composed;
mod geometry;
mod interval;
mod json;
mod literal;
mod network;
mod number;
mod otherwise;
mod search;
mod spelled;
pub mod spelling;
mod text;
mod time;

use std::borrow::Cow;

pub use interval::Fields;
pub use spelled::{PLAIN, Spelled, formatted};

/// A type, as far as it decides about what is accepted. Domains are what they are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `text` and what is stored like it; `varchar(n)` with its most characters.
    Text(Option<u32>),
    /// `char(n)`: blanks at the end are padding.
    Padded(u32),
    /// `name`: 63 bytes.
    Name,
    /// `"char"`: one byte.
    Byte,
    /// An enum, with its labels.
    Label(Vec<String>),
    /// `boolean`.
    Boolean,
    /// `smallint`, `integer`, `bigint`.
    Integer,
    /// `numeric`, with its scale where it has one.
    Decimal(Option<i32>),
    /// `real`.
    Single,
    /// `double precision`.
    Double,
    /// `money`.
    Money,
    /// A number without sign, at most so large: `oid`, `xid`, `cid`, `xid8`.
    Number(u64),
    /// `int2vector`, `oidvector`: numbers between blanks, with the largest where they have no sign.
    Numbers(Option<u64>),
    /// `date`.
    Date,
    /// `time`, `timetz`, with the most digits behind the seconds.
    Time(Zoned, usize),
    /// `timestamp`, `timestamptz`, with the most digits behind the seconds.
    Timestamp(Zoned, usize),
    /// `interval`, with what it keeps.
    Interval(Fields),
    /// `bytea`.
    Bytes,
    /// `bit`, `varbit`; the database judges their length.
    Bits,
    /// `uuid`.
    Uuid,
    /// `inet`, `cidr`.
    Address,
    /// `macaddr`, `macaddr8`, with the number of bytes.
    Hardware(usize),
    /// `point`, `box` and their kin.
    Geometry(Figure),
    /// `tid`.
    Place,
    /// `pg_lsn`.
    LogPosition,
    /// `json`.
    Json,
    /// `jsonb`.
    Jsonb,
    /// `tsvector`.
    Lexemes,
    /// Types whose text is kept as it is, or compared: `xml`, `jsonpath`, `tsquery`, `regclass` and
    /// their kin.
    Printed(Printed),
    /// An array.
    Array {
        /// What its elements are.
        element: Box<Kind>,
        /// What stands between them.
        delimiter: char,
    },
    /// A range over what its bounds are.
    Range(Box<Kind>),
    /// A multirange over what its ranges' bounds are.
    Multirange(Box<Kind>),
    /// A composite type: what its fields are.
    Composite(Vec<Kind>),
}

impl Kind {
    /// Whether it, or something of which it consists, `is` so.
    pub fn any(&self, is: &dyn Fn(&Kind) -> bool) -> bool {
        let parts = match self {
            Kind::Array { element, .. } => std::slice::from_ref(&**element),
            Kind::Range(of) | Kind::Multirange(of) => std::slice::from_ref(&**of),
            Kind::Composite(fields) => fields.as_slice(),
            _ => &[],
        };
        is(self) || parts.iter().any(|part| part.any(is))
    }
}

/// Whether a time has an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zoned {
    /// It must have one.
    Yes,
    /// It must have none.
    No,
}

/// A geometric type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    Point,
    Line,
    Segment,
    Box,
    Path,
    Polygon,
    Circle,
}

/// What is done with a value that is printed otherwise than it was given, where the type has no
/// grammar of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Printed {
    /// It is listed: reading depends on nothing but the text.
    Listed,
    /// It is listed, but for a number: it is another thing in another database, and what is printed
    /// for it may not be read again.
    Named,
    /// It is refused: reading may depend on more than the text, for example on the clock.
    Refused,
}

/// What is given to PostgreSQL for a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted<'a> {
    /// The text that the type's input function reads.
    pub text: Cow<'a, str>,
    /// Whether it is stored as given.
    pub kept: Kept,
}

/// Whether what is stored is what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// Surely: nothing of it can get lost.
    Surely,
    /// It has to be compared with what is stored, by [`Kind::keeps`].
    Unless,
    /// What is stored is another text, by what `tables.yaml` says: both are shown.
    Otherwise,
}

/// Why a value is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong.
    pub why: Cow<'static, str>,
    /// Whether that may quote something of the value.
    pub quotes: bool,
    /// An accepted spelling of this very value, where there is one.
    pub instead: Option<String>,
}

/// What reading one value gives.
pub type Read<'a> = Result<Accepted<'a>, Refused>;

impl<'a> Accepted<'a> {
    fn surely(text: &'a str) -> Accepted<'a> {
        Accepted {
            text: Cow::Borrowed(text),
            kept: Kept::Surely,
        }
    }

    fn unless(text: &'a str) -> Accepted<'a> {
        Accepted {
            text: Cow::Borrowed(text),
            kept: Kept::Unless,
        }
    }

    fn kept_if(text: &'a str, surely: bool) -> Accepted<'a> {
        if surely {
            Accepted::surely(text)
        } else {
            Accepted::unless(text)
        }
    }

    fn written(text: String) -> Accepted<'a> {
        Accepted {
            text: Cow::Owned(text),
            kept: Kept::Surely,
        }
    }
}

impl Refused {
    /// For want of an accepted spelling, only why; nothing of the value is in that.
    pub fn because(why: impl Into<Cow<'static, str>>) -> Refused {
        Refused::instead(why, None)
    }

    fn instead(why: impl Into<Cow<'static, str>>, instead: Option<String>) -> Refused {
        Refused {
            why: why.into(),
            quotes: false,
            instead,
        }
    }

    /// Only why, with something of the value in it.
    fn quoting(why: String) -> Refused {
        Refused {
            quotes: true,
            ..Refused::because(why)
        }
    }

    /// What is wrong and what would be accepted, for people.
    pub fn message(&self) -> String {
        match &self.instead {
            Some(instead) => format!("{}; write it as {instead}", self.why),
            None => self.why.clone().into_owned(),
        }
    }
}

/// Whether it is a name of the time zone database.
pub fn is_time_zone(name: &str) -> bool {
    time::named(name).is_ok()
}

impl Kind {
    /// What PostgreSQL is given for `text`, which is spelled as `by` says.
    ///
    /// # Errors
    ///
    /// [`Refused`] where `text` is neither that nor what is written down for this type.
    pub fn given<'a>(&self, text: Cow<'a, str>, by: &Spelled) -> Read<'a> {
        let owned = match text {
            Cow::Borrowed(text) => return self.read_by(text, by),
            Cow::Owned(text) => text,
        };
        let Accepted { text, kept } = self.read_by(&owned, by)?;
        let same = text.len() == owned.len() && matches!(text, Cow::Borrowed(_));
        let text = if same { None } else { Some(text.into_owned()) };
        Ok(Accepted {
            text: Cow::Owned(text.unwrap_or(owned)),
            kept,
        })
    }

    /// What PostgreSQL is given for `text`.
    ///
    /// # Errors
    ///
    /// [`Refused`] where `text` is not what is written down for this type.
    pub fn read<'a>(&self, text: &'a str) -> Read<'a> {
        self.read_by(text, &PLAIN)
    }

    /// Whether it is a date, a time of day or both: what `formats` is about.
    pub fn is_date_or_time(&self) -> bool {
        matches!(self, Kind::Date | Kind::Time(..) | Kind::Timestamp(..))
    }

    /// `text` without the blanks around it, where they mean nothing.
    pub fn bare<'a>(&self, text: &'a str) -> &'a str {
        match self {
            Kind::Text(_) | Kind::Padded(_) | Kind::Name | Kind::Byte | Kind::Label(_) => text,
            Kind::Json | Kind::Jsonb | Kind::Printed(_) => text,
            _ => text.trim_ascii(),
        }
    }

    fn read_by<'a>(&self, text: &'a str, by: &Spelled) -> Read<'a> {
        let bare = self.bare(text);
        if let Some(read) = by.read(self, bare) {
            return read;
        }
        match self {
            Kind::Text(None) | Kind::Json => Ok(Accepted::surely(text)),
            Kind::Label(labels) => text::label(bare, labels),
            Kind::Text(Some(most)) => text::limited(bare, *most),
            Kind::Padded(width) => text::padded(bare, *width),
            Kind::Name => text::name(bare),
            Kind::Byte => text::byte(bare),
            Kind::Boolean => text::boolean(bare),
            Kind::Integer => number::integer(bare),
            Kind::Decimal(scale) => number::decimal(bare, *scale),
            Kind::Single => number::float(bare, number::SINGLE),
            Kind::Double => number::float(bare, number::DOUBLE),
            Kind::Money => number::money(bare),
            Kind::Number(most) => number::unsigned(bare, *most),
            Kind::Numbers(most) => number::several(bare, *most),
            Kind::Date => time::date(bare).unwrap_or_else(|| Err(otherwise::date(bare))),
            Kind::Time(zoned, places) => {
                time::time(bare, *zoned, *places).unwrap_or_else(|| Err(otherwise::time(bare)))
            }
            Kind::Timestamp(zoned, places) => {
                time::timestamp(bare, *zoned, *places, by.zone.as_ref())
                    .unwrap_or_else(|| Err(otherwise::timestamp(bare, *zoned, by.zone.as_ref())))
            }
            Kind::Interval(fields) => interval::interval(bare, fields),
            Kind::Bytes => bytes::bytea(bare),
            Kind::Bits => bytes::bits(bare),
            Kind::Uuid => bytes::uuid(bare),
            Kind::Address => network::address(bare),
            Kind::Hardware(bytes) => network::hardware(bare, *bytes),
            Kind::Geometry(figure) => geometry::figure(bare, *figure),
            Kind::Place => number::place(bare),
            Kind::LogPosition => number::log_position(bare),
            Kind::Jsonb => json::unrepeated(bare),
            Kind::Printed(Printed::Named) if text::is_number(bare) => Err(Refused::because(
                "the number of a thing, which is another one in another database; give its name",
            )),
            Kind::Lexemes | Kind::Printed(_) => Ok(Accepted::unless(bare)),
            Kind::Array { element, delimiter } => composed::array(bare, element, *delimiter, by),
            Kind::Range(bound) => composed::range(bare, bound, by),
            Kind::Multirange(bound) => composed::multirange(bare, bound, by),
            Kind::Composite(fields) => composed::composite(bare, fields, by),
        }
    }

    /// Whether a value that is not [kept](Kind::keeps) is refused: reading it may depend on more than
    /// the text.
    pub fn is_uncertain(&self) -> bool {
        match self {
            Kind::Printed(printed) => *printed == Printed::Refused,
            Kind::Array { element: part, .. } | Kind::Range(part) | Kind::Multirange(part) => {
                part.is_uncertain()
            }
            Kind::Composite(fields) => fields.iter().any(Kind::is_uncertain),
            _ => false,
        }
    }

    /// Whether `stored`, as PostgreSQL prints it, is all of what `given` says. Asked where
    /// [`read`](Kind::read) leaves it open.
    pub fn keeps(&self, given: &str, stored: &str) -> bool {
        if self.read(given).is_ok_and(|a| a.kept == Kept::Surely) {
            return true;
        }
        match self {
            Kind::Decimal(_) | Kind::Money => number::equal(given, stored),
            Kind::Single => number::is_nearest(given, stored, number::SINGLE),
            Kind::Double => number::is_nearest(given, stored, number::DOUBLE),
            Kind::Interval(_) => interval::equal(given, stored),
            Kind::Geometry(figure) => geometry::equal(given, stored, *figure),
            Kind::Lexemes => search::equal(given, stored),
            Kind::Printed(_) => search::spelled_alike(given, stored),
            Kind::Array { element, delimiter } => {
                composed::array_keeps(given, stored, element, *delimiter)
            }
            Kind::Range(bound) => composed::range_keeps(given, stored, bound),
            Kind::Multirange(bound) => composed::multirange_keeps(given, stored, bound),
            Kind::Composite(fields) => composed::composite_keeps(given, stored, fields),
            // What these leave open is what they have too many digits of.
            _ => given == stored,
        }
    }
}

#[cfg(test)]
mod tests;
