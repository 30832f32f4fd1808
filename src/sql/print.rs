//! SQL laid out for people: a line for each clause, subqueries indented. Only white space changes.

/// Words that begin a line of their own.
const CLAUSES: [&str; 17] = [
    "SELECT",
    "FROM",
    "JOIN",
    "LEFT",
    "LATERAL",
    "WHERE",
    "AND",
    "GROUP",
    "HAVING",
    "WINDOW",
    "ORDER",
    "UNION",
    "SET",
    "RETURNING",
    "INSERT",
    "UPDATE",
    "VALUES",
];

/// `sql` with line breaks between its clauses.
pub(super) fn layout(sql: &str) -> String {
    let mut out = String::new();
    // For each open parenthesis or CASE, whether a query stands in it: clauses of others stay on
    // their line.
    let mut open: Vec<bool> = Vec::new();
    let mut before = "";
    let tokens = tokens(sql);
    for (i, token) in tokens.iter().enumerate() {
        let next = tokens.get(i + 1).copied().unwrap_or_default();
        let breaks = open.iter().all(|query| *query)
            && CLAUSES.contains(token)
            && !matches!(
                (before, *token),
                ("LEFT", "JOIN")
                    | (",", "LATERAL")
                    | ("DISTINCT" | "SELECT" | "DELETE", "FROM")
                    | ("OF" | "KEY" | "NO" | "FOR" | "ON", _)
            )
            && !(*token == "AND" && before_between(&tokens[..i]))
            && !(*token == "LEFT" && next != "JOIN");
        let statement_ends = before == ";";
        if (breaks && !out.is_empty() && before != "(") || statement_ends {
            newline(&mut out, open.len());
            if *token == "AND" {
                out.push_str("  ");
            }
        } else if breaks && before == "(" {
            newline(&mut out, open.len());
        } else if spaced(before, token, sql, &tokens, i) && !out.ends_with(' ') {
            out.push(' ');
        }
        out.push_str(token);
        match *token {
            "(" => open.push(matches!(next, "SELECT" | "WITH" | "UPDATE" | "INSERT")),
            "CASE" => open.push(false),
            ")" | "END" => drop(open.pop()),
            "," if long(&out) && open.iter().all(|query| *query) => {
                newline(&mut out, open.len());
                out.push_str("  ");
            }
            _ => {}
        }
        before = token;
    }
    out
}

/// Whether the `AND` that comes next belongs to a `BETWEEN`.
fn before_between(tokens: &[&str]) -> bool {
    let words = tokens.iter().rev();
    let mut nearest = words.filter(|t| ["AND", "BETWEEN", "WHERE", "ON"].contains(t));
    nearest.next() == Some(&"BETWEEN")
}

/// Whether the last line is long enough to go on below.
fn long(out: &str) -> bool {
    out.len() - out.rfind('\n').map_or(0, |at| at + 1) > 80
}

fn newline(out: &mut String, depth: usize) {
    while out.ends_with(' ') {
        out.pop();
    }
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}

/// Whether there was white space before the token at `i`.
fn spaced(before: &str, token: &str, sql: &str, tokens: &[&str], i: usize) -> bool {
    let Some(last) = i.checked_sub(1).and_then(|at| tokens.get(at)) else {
        return false;
    };
    let end = last.as_ptr() as usize - sql.as_ptr() as usize + last.len();
    let start = token.as_ptr() as usize - sql.as_ptr() as usize;
    start > end && before != "(" && token != ")"
}

/// Words, quoted names and texts, and single characters, without the white space between them.
fn tokens(sql: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = sql.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => quoted(rest, first),
            '$' if rest.starts_with("$loader$") => {
                let inside = &rest["$loader$".len()..];
                let end = inside.find("$loader$").map(|at| at + 2 * "$loader$".len());
                end.unwrap_or(rest.len())
            }
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (token, behind) = rest.split_at(length);
        tokens.push(token);
        rest = behind.trim_start();
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// The length of a quoted name or text, its quotes included; a quote in it is doubled.
fn quoted(sql: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(found) = sql[at..].find(quote) {
        at += found + 1;
        if !sql[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
    sql.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn clauses_begin_lines() {
        let sql = "INSERT INTO a SELECT x.\"loader n\", 'it''s  FROM' FROM (SELECT s.c1::text FROM s \
                   LEFT JOIN t ON (s.a = t.a AND s.b = t.b) WHERE s._a IN ('u', 'd') OFFSET 0) x FOR UPDATE OF t";
        let expect = "\
INSERT INTO a
SELECT x.\"loader n\", 'it''s  FROM'
FROM (
  SELECT s.c1::text
  FROM s
  LEFT JOIN t ON (s.a = t.a AND s.b = t.b)
  WHERE s._a IN ('u', 'd') OFFSET 0) x FOR UPDATE OF t";
        assert_eq!(layout(sql), expect);
    }

    proptest! {
        #[test]
        fn only_white_space_changes(sql in "([ ()',\"]|SELECT|FROM|AND|[a-z]|::|é|\\$loader\\$){0,40}") {
            let bare = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(bare(&layout(&sql)), bare(&sql));
        }
    }
}
