//! What PostgreSQL is given for a delivered value: the text that its column's input function reads.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

use super::Value;
use crate::table::schema::Shape;

/// Why a value cannot be given to a column. Displays as the end of "{column} is {value}, …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// An object for a column, or an array element, that is not JSON.
    Object,
    /// An array for a column that holds single values.
    Array,
    /// An array with more dimensions than PostgreSQL has.
    Dimensions,
    /// Text with U+0000.
    Nul,
    /// Text with half of a surrogate pair.
    Surrogate,
    /// Not JSON; no record from [`read_records`](super::read_records) has such a value.
    NotJson,
}

/// PostgreSQL's limit on array dimensions (`MAXDIM`).
const MAX_DIMENSIONS: usize = 6;

/// The text by which a column of `shape` is given `value`; `None` is SQL NULL.
///
/// The text is not yet known to be valid for the column's type: that is PostgreSQL's to say.
///
/// # Errors
///
/// `Misfit` for objects and arrays where the column takes none, and for characters that
/// PostgreSQL cannot store.
pub fn column_text<'a>(value: &Value<'a>, shape: Shape) -> Result<Option<Cow<'a, str>>, Misfit> {
    let raw = match (*value, shape) {
        // In a cell the word null is JSON's: that there is no value, an empty one says.
        (Value::Cell(cell) | Value::Number(cell) | Value::Moment(cell), Shape::Json) => {
            return json(cell.trim_ascii()).map(|json| Some(Cow::Borrowed(json)));
        }
        (Value::Cell(cell) | Value::Number(cell) | Value::Moment(cell), _) => {
            return storable(cell).map(|cell| Some(Cow::Borrowed(cell)));
        }
        (Value::Json(raw), _) => raw,
        (Value::Blank, _) => return Ok(None),
    };
    if raw == "null" {
        return Ok(None);
    }
    let text = match (shape, raw.as_bytes().first()) {
        (Shape::Json, _) => Cow::Borrowed(json(raw)?),
        (_, Some(b'"')) => string(raw)?,
        (_, Some(b'{')) => return Err(Misfit::Object),
        (Shape::Scalar, Some(b'[')) => return Err(Misfit::Array),
        (
            Shape::Array {
                delimiter,
                element_json,
            },
            Some(b'['),
        ) => {
            let mut literal = Literal {
                text: String::new(),
                delimiter,
                element_json,
            };
            literal.array(raw, 1)?;
            Cow::Owned(literal.text)
        }
        _ => Cow::Borrowed(raw),
    };
    Ok(Some(text))
}

/// An array literal in the making.
struct Literal {
    text: String,
    delimiter: char,
    element_json: bool,
}

impl Literal {
    fn array(&mut self, raw: &str, dimension: usize) -> Result<(), Misfit> {
        if dimension > MAX_DIMENSIONS {
            return Err(Misfit::Dimensions);
        }
        let elements: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_| Misfit::NotJson)?;
        self.text.push('{');
        for (i, element) in elements.iter().enumerate() {
            if i > 0 {
                self.text.push(self.delimiter);
            }
            let raw = element.get();
            match raw.as_bytes().first() {
                Some(b'n') => self.text.push_str("NULL"),
                _ if self.element_json => self.quoted(json(raw)?),
                Some(b'"') => self.quoted(&string(raw)?),
                Some(b'[') => self.array(raw, dimension + 1)?,
                Some(b'{') => return Err(Misfit::Object),
                _ => self.text.push_str(raw),
            }
        }
        self.text.push('}');
        Ok(())
    }

    fn quoted(&mut self, element: &str) {
        self.text.push('"');
        for part in element.split_inclusive(['"', '\\']) {
            if let Some(special @ ('"' | '\\')) = part.chars().next_back() {
                self.text.push_str(&part[..part.len() - 1]);
                self.text.push('\\');
                self.text.push(special);
            } else {
                self.text.push_str(part);
            }
        }
        self.text.push('"');
    }
}

/// The text of a JSON string.
fn string(raw: &str) -> Result<Cow<'_, str>, Misfit> {
    let inside = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
    let inside = inside.ok_or(Misfit::NotJson)?;
    if !inside.contains('\\') {
        return Ok(Cow::Borrowed(inside));
    }
    json(raw)?;
    serde_json::from_str(raw)
        .map(Cow::Owned)
        .map_err(|_| Misfit::NotJson)
}

/// `text`, if PostgreSQL can store it.
fn storable(text: &str) -> Result<&str, Misfit> {
    if text.contains('\0') {
        Err(Misfit::Nul)
    } else {
        Ok(text)
    }
}

/// JSON text as it is, if PostgreSQL can store each of its strings.
fn json(raw: &str) -> Result<&str, Misfit> {
    storable(raw)?;
    if !raw.contains("\\u") {
        return Ok(raw);
    }
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        rest = &rest[at..];
        let length = match escape(rest) {
            None => 2,
            Some(0) => return Err(Misfit::Nul),
            Some(0xd800..=0xdbff) => match rest.get(6..).and_then(escape) {
                Some(0xdc00..=0xdfff) => 12,
                _ => return Err(Misfit::Surrogate),
            },
            Some(0xdc00..=0xdfff) => return Err(Misfit::Surrogate),
            Some(_) => 6,
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(raw)
}

/// The UTF-16 code unit of the `\uXXXX` at the start of `text`, if there is one.
fn escape(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => {
                "which is or holds an object, and only json and jsonb columns take objects"
            }
            Self::Array => "which is an array, and the column takes single values",
            Self::Dimensions => {
                "which has more than 6 levels of arrays, and PostgreSQL takes at most 6"
            }
            Self::Nul => "which contains the character U+0000, and PostgreSQL cannot store it",
            Self::Surrogate => "which contains half of a surrogate pair, and that is no character",
            Self::NotJson => "which is not JSON",
        })
    }
}

/// The text that a JSON string says; `None` for what is none, or holds what no text can.
pub fn plain_text(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXTS: Shape = Shape::Array {
        delimiter: ',',
        element_json: false,
    };
    const JSONS: Shape = Shape::Array {
        delimiter: ',',
        element_json: true,
    };

    #[track_caller]
    fn check<'a>(value: Value<'a>, shape: Shape, expect: impl Into<Option<&'a str>>) {
        let text = column_text(&value, shape).unwrap();
        assert_eq!(text.as_deref(), expect.into());
    }

    #[track_caller]
    fn check_misfit(raw: &str, shape: Shape, expect: Misfit) {
        assert_eq!(column_text(&Value::Json(raw), shape), Err(expect));
    }

    #[test]
    fn scalars_are_their_text() {
        check(Value::Json("null"), Shape::Scalar, None);
        check(Value::Json("true"), Shape::Scalar, "true");
        check(Value::Json(r#""""#), Shape::Scalar, "");
        check(Value::Json(r#""null""#), Shape::Scalar, "null");
        check(
            Value::Json(r#""a\"b\u00e9\ud83d\ude00""#),
            Shape::Scalar,
            "a\"bé😀",
        );
        check(Value::Cell("null"), Shape::Scalar, "null");
        check(Value::Cell(r"a\u0000"), Shape::Scalar, r"a\u0000");
        check_misfit("{}", Shape::Scalar, Misfit::Object);
        check_misfit("[1]", Shape::Scalar, Misfit::Array);
    }

    #[test]
    fn numbers_keep_every_digit() {
        for number in [
            "-0",
            "1.10",
            "18446744073709551617",
            "0.10000000000000000000000055",
            "1e400",
            "1E+2",
        ] {
            check(Value::Json(number), Shape::Scalar, number);
            check(Value::Json(number), Shape::Json, number);
        }
    }

    #[test]
    fn json_is_kept_as_written() {
        check(Value::Json("null"), Shape::Json, None);
        check(Value::Json(r#""null""#), Shape::Json, r#""null""#);
        check(
            Value::Json(r#"{"b": 1, "a": [null]}"#),
            Shape::Json,
            r#"{"b": 1, "a": [null]}"#,
        );
        check(Value::Cell(" [1] "), Shape::Json, "[1]");
        check(Value::Cell(" null "), Shape::Json, "null");
    }

    #[test]
    fn arrays_become_literals() {
        check(Value::Json("[]"), TEXTS, "{}");
        check(
            Value::Json(r#"["a", "b\"c", "d\\e", "NULL", "", null, 1e2, true]"#),
            TEXTS,
            r#"{"a","b\"c","d\\e","NULL","",NULL,1e2,true}"#,
        );
        check(
            Value::Json("[[1, 2], [3, null]]"),
            TEXTS,
            "{{1,2},{3,NULL}}",
        );
        check(Value::Json(r#""{1,2}""#), TEXTS, "{1,2}");
        check(Value::Cell("{1,2}"), TEXTS, "{1,2}");
        check(Value::Json("5"), TEXTS, "5");
        let boxes = Shape::Array {
            delimiter: ';',
            element_json: false,
        };
        check(
            Value::Json(r#"["(1,1),(0,0)", null]"#),
            boxes,
            r#"{"(1,1),(0,0)";NULL}"#,
        );
        check_misfit("{}", TEXTS, Misfit::Object);
        check_misfit(r#"[{"a": 1}]"#, TEXTS, Misfit::Object);
        check_misfit("[[[[[[[1]]]]]]]", TEXTS, Misfit::Dimensions);
    }

    #[test]
    fn elements_of_json_arrays_are_json() {
        check(
            Value::Json(r#"["a", null, [1, 2], {"k": "\n"}, 5]"#),
            JSONS,
            r#"{"\"a\"",NULL,"[1, 2]","{\"k\": \"\\n\"}","5"}"#,
        );
        check_misfit(r#"[{"a": "\u0000"}]"#, JSONS, Misfit::Nul);
    }

    #[test]
    fn characters_that_cannot_be_stored_are_found() {
        for shape in [Shape::Scalar, Shape::Json, TEXTS] {
            check_misfit(r#""a\u0000""#, shape, Misfit::Nul);
            check_misfit(r#""\ud800""#, shape, Misfit::Surrogate);
            check_misfit(r#""\ud800\n""#, shape, Misfit::Surrogate);
            check_misfit(r#""\udc00\ud800""#, shape, Misfit::Surrogate);
            assert!(
                column_text(&Value::Json(r#""\\u0000 \\\\ud800 \ud83d\ude00""#), shape).is_ok()
            );
        }
        check_misfit(r#"["a", "\u0000"]"#, TEXTS, Misfit::Nul);
        check_misfit(r#"{"\u0000": 1}"#, Shape::Json, Misfit::Nul);
        check_misfit(r#"[["\\", "\\\ud800"]]"#, Shape::Json, Misfit::Surrogate);
        assert_eq!(
            column_text(&Value::Cell("a\0"), Shape::Scalar),
            Err(Misfit::Nul)
        );
        assert_eq!(
            column_text(&Value::Cell("\"\\u0000\""), Shape::Json),
            Err(Misfit::Nul)
        );
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        check(Value::Json(&deep), Shape::Json, deep.as_str());
        check_misfit(&deep, TEXTS, Misfit::Dimensions);
        let element = format!("[{deep}]");
        let literal = format!("{{\"{deep}\"}}");
        check(Value::Json(&element), JSONS, literal.as_str());
    }

    /// Reads a one-dimensional literal of quoted elements as PostgreSQL does.
    fn elements(literal: &str) -> Vec<String> {
        let mut elements = Vec::new();
        let mut chars = literal[1..literal.len() - 1].chars();
        while let Some(open) = chars.next() {
            if open == ',' {
                continue;
            }
            assert_eq!(open, '"');
            let mut element = String::new();
            loop {
                match chars.next().unwrap() {
                    '"' => break,
                    '\\' => element.push(chars.next().unwrap()),
                    other => element.push(other),
                }
            }
            elements.push(element);
        }
        elements
    }

    proptest! {
        #[test]
        fn strings_survive(texts in proptest::collection::vec("[^\0]*", 0..5)) {
            let raw = serde_json::to_string(&texts).unwrap();
            let literal = column_text(&Value::Json(&raw), TEXTS).unwrap().unwrap();
            prop_assert_eq!(elements(&literal), texts.clone());
            for text in &texts {
                let raw = serde_json::to_string(text).unwrap();
                let read = column_text(&Value::Json(&raw), Shape::Scalar).unwrap();
                prop_assert_eq!(read.as_deref(), Some(text.as_str()));
            }
        }

        #[test]
        fn no_text_panics(raw in r#"[\[\]{}"\\u0d89nul,:1é ]{0,40}"#) {
            for shape in [Shape::Scalar, Shape::Json, TEXTS, JSONS] {
                let _ = column_text(&Value::Json(&raw), shape);
                let _ = column_text(&Value::Cell(&raw), shape);
            }
        }
    }
}
