//! The password file of PostgreSQL's own programs: `host:port:database:user:password` a line.

use std::path::Path;

/// What is looked up.
pub struct Wanted<'a> {
    /// The host as it was named; `localhost` for a socket of this machine.
    pub host: &'a str,
    /// The port.
    pub port: &'a str,
    /// The database.
    pub database: &'a str,
    /// The role.
    pub user: &'a str,
}

/// The password in the first line of `text` that fits, where there is one.
pub fn password(text: &str, wanted: &Wanted<'_>) -> Option<String> {
    text.lines().find_map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.starts_with('#') {
            return None;
        }
        let mut rest = line;
        for expected in [wanted.host, wanted.port, wanted.database, wanted.user] {
            let (field, raw, after) = field(rest)?;
            if raw != "*" && field != expected {
                return None;
            }
            rest = after;
        }
        Some(unescape(rest)).filter(|p| !p.is_empty())
    })
}

/// The field at the start of `text`, as meant and as written, and what follows its colon.
fn field(text: &str) -> Option<(String, &str, &str)> {
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ':' => return Some((unescape(&text[..i]), &text[..i], &text[i + 1..])),
            _ => {}
        }
    }
    None
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

/// Why the file must not be used: others can read it, as libpq sees it.
pub fn refusal(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    if !metadata.is_file() {
        return Some(format!(
            "the password file {} is not a plain file and is not used",
            path.display()
        ));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Some(format!(
                "the password file {path} can be read by others and is not used; run chmod 0600 {path}",
                path = path.display()
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<&str>) {
        let wanted = Wanted {
            host: "db.example.org",
            port: "5432",
            database: "idhub",
            user: "loader",
        };
        assert_eq!(password(text, &wanted).as_deref(), expect, "{text}");
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        check(
            "db.example.org:5432:idhub:loader:one\n*:*:*:*:two",
            Some("one"),
        );
        check(
            "other:5432:idhub:loader:one\n*:*:*:loader:two\r\n",
            Some("two"),
        );
        check("# *:*:*:*:one\n\n*:5432:*:someone:two", None);
        check("db.example.org:5432:idhub:loader", None);
        check("*:*:*:*:", None);
    }

    #[test]
    fn colons_and_backslashes_are_escaped() {
        check(r"*:*:*:*:a\:b\\c:d", Some(r"a:b\c:d"));
        check(r"*:*:*:load\er:x", Some("x"));
        check(r"*:*:*:\*:x", None);
    }
}
