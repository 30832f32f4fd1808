//! Names that an object has twice: `jsonb` would keep the last of their values.

use std::borrow::Cow;

use super::{Accepted, Read, Refused};

/// A JSON text in which no object has a name twice.
pub fn unrepeated(text: &str) -> Read<'_> {
    match repeated(text) {
        None => Ok(Accepted::surely(text)),
        Some(name) => Err(Refused::quoting(format!(
            "an object in it has the name \"{}\" twice, and jsonb would keep one of the values",
            crate::text::escape(&name)
        ))),
    }
}

/// An open object with its names so far, or an open array.
enum Open<'a> {
    Object(Vec<Cow<'a, str>>),
    Array,
}

impl Open<'_> {
    /// A name that it has twice.
    fn repeated(self) -> Option<String> {
        let Open::Object(mut names) = self else {
            return None;
        };
        names.sort_unstable();
        let twice = names.windows(2).find(|pair| pair[0] == pair[1])?;
        Some(twice[0].clone().into_owned())
    }
}

/// A name that an object in `text` has twice. What is not JSON is for others to judge.
fn repeated(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut at = 0;
    while let Some(found) = bytes[at..]
        .iter()
        .position(|b| matches!(b, b'"' | b'{' | b'[' | b'}' | b']'))
    {
        at += found + 1;
        match bytes[at - 1] {
            b'{' => open.push(Open::Object(Vec::new())),
            b'[' => open.push(Open::Array),
            b'}' | b']' => {
                if let Some(twice) = open.pop().and_then(Open::repeated) {
                    return Some(twice);
                }
            }
            _ => {
                let end = string_end(bytes, at)?;
                let behind = bytes[end + 1..].iter().find(|b| !b.is_ascii_whitespace());
                if let (Some(Open::Object(names)), Some(b':')) = (open.last_mut(), behind) {
                    names.push(decoded(&text[at..end]));
                }
                at = end + 1;
            }
        }
    }
    None
}

/// Where the string ends whose first character is at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn decoded(inside: &str) -> Cow<'_, str> {
    if !inside.contains('\\') {
        return Cow::Borrowed(inside);
    }
    match serde_json::from_str::<String>(&format!("\"{inside}\"")) {
        Ok(name) => Cow::Owned(name),
        Err(_) => Cow::Borrowed(inside),
    }
}
