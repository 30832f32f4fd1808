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

/// serde's message in the words of who writes the file; of an unknown field, with the nearest valid one.
pub(super) fn in_plain_words(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let given = quoted.next();
    match given.and_then(|g| nearest(g, quoted)) {
        Some(near) if message.contains("unknown") => {
            return format!("{message}; did you mean `{near}`?");
        }
        _ => {}
    }
    if message.contains("character that cannot start any token") {
        return format!("{message}; YAML is indented with spaces, not with tabs");
    }
    let Some((found, expected)) = message.rsplit_once(", expected ") else {
        return message.to_owned();
    };
    let plain = [
        ("struct TableConfig", "settings: {natural_key: [id]}"),
        ("struct ", "settings: {name: value}"),
        ("a sequence", "a list: [a, b]"),
        (
            "a map of tables",
            "tables with their settings: {samples: {natural_key: [id]}}",
        ),
        ("a map", "names with their values: {a: b}"),
    ];
    let plain = plain.iter().find_map(|(words, plain)| {
        let rest = expected.strip_prefix(words)?;
        let rest = match words.ends_with(' ') {
            true => rest.trim_start_matches(|c: char| c.is_alphanumeric()),
            false => rest,
        };
        Some(format!("{found}, expected {plain}{rest}"))
    });
    plain.unwrap_or_else(|| message.to_owned())
}
