//! Where in `tables.yaml` a message points to, and what was meant.

use crate::sql::ident::nearest;

/// Line and column (from 1) of the last of `words` found, each looked for behind the one before.
pub(super) fn locate(text: &str, words: &[&str]) -> Option<(usize, usize)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    let mut found = None;
    for word in words.iter().filter(|w| !w.is_empty()) {
        let next = text[at..].match_indices(*word).find(|(i, _)| {
            let (start, end) = (at + i, at + i + word.len());
            !text[..start].chars().next_back().is_some_and(is_word)
                && !text[end..].chars().next().is_some_and(is_word)
        });
        let Some((i, _)) = next else { break };
        found = Some(at + i);
        at += i + word.len();
    }
    let start = found?;
    let line = text[..start].matches('\n').count() + 1;
    let column = text[..start]
        .chars()
        .rev()
        .take_while(|c| *c != '\n')
        .count()
        + 1;
    Some((line, column))
}

/// serde's message for an unknown field, with the nearest valid one.
pub(super) fn with_suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let given = quoted.next();
    match given.and_then(|g| nearest(g, quoted)) {
        Some(near) if message.contains("unknown") => format!("{message}; did you mean `{near}`?"),
        _ => message.to_owned(),
    }
}
