//! Types whose values are known by what they print.

use std::collections::{BTreeMap, BTreeSet};

/// Whether both text search vectors have the same lexemes at the same places.
pub fn equal(given: &str, stored: &str) -> bool {
    lexemes(given).is_some_and(|given| lexemes(stored) == Some(given))
}

/// Lexemes with their positions and weights.
fn lexemes(text: &str) -> Option<BTreeMap<String, BTreeSet<String>>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Some(found);
        }
        let quoted = chars.next_if_eq(&'\'').is_some();
        let mut lexeme = String::new();
        loop {
            match chars.next() {
                Some('\\') => lexeme.push(chars.next()?),
                Some('\'') if quoted => match chars.next_if_eq(&'\'') {
                    Some(quote) => lexeme.push(quote),
                    None => break,
                },
                Some(c) => lexeme.push(c),
                None if quoted => return None,
                None => break,
            }
            let ends = |c: &char| c.is_whitespace() || *c == ':';
            if !quoted && chars.peek().is_none_or(ends) {
                break;
            }
        }
        let mut positions = String::new();
        if chars.next_if_eq(&':').is_some() {
            while let Some(c) = chars.next_if(|c| !c.is_whitespace()) {
                positions.push(c.to_ascii_uppercase());
            }
        }
        // D is the weight of a position that names none.
        let positions = positions.split(',').map(|p| p.trim_end_matches('D'));
        let all = found.entry(lexeme).or_default();
        all.extend(positions.filter(|p| !p.is_empty()).map(str::to_owned));
    }
}

/// Whether two texts differ in nothing but blanks, quotes and parentheses.
pub fn spelled_alike(given: &str, stored: &str) -> bool {
    let matters = |c: &char| !c.is_whitespace() && !"'\"()".contains(*c);
    given == stored
        || given
            .chars()
            .filter(matters)
            .eq(stored.chars().filter(matters))
}
