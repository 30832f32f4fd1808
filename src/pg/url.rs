//! The URL that names a database, with the options that the driver does not take.

use std::collections::BTreeMap;
use std::str::FromStr;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::error::{Error, Remedy, Result};
use crate::pg::{Database, Roots, SslMode};

/// How such a URL is written.
pub const FORM: &str = "postgresql://user@host:5432/name";
/// What `sslmode` in a URL is called in messages.
pub const IN_URL: &str = "sslmode in the database URL";

impl FromStr for Database {
    type Err = Error;

    /// The database that a URL names, `sslmode` and `sslrootcert` included. Nothing is taken from
    /// the environment.
    fn from_str(url: &str) -> Result<Database> {
        let (config, options) = parse(url)?;
        let roots = Roots::named(options.get("sslrootcert").map(String::as_str));
        let mode = options.get("sslmode").map(|mode| (IN_URL, mode.as_str()));
        let mode = SslMode::chosen(mode, &roots)?;
        Database::new(config, mode, &roots)
    }
}

/// What tokio-postgres does not know, or knows less about, and is looked at here.
const OURS: [&str; 3] = ["sslmode", "sslrootcert", "passfile"];

/// What libpq knows and nothing here does.
const UNKNOWN: [&str; 12] = [
    "service",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcrl",
    "sslcrldir",
    "sslcertmode",
    "requirepeer",
    "krbsrvname",
    "gssencmode",
    "require_auth",
    "replication",
];

/// What a URL (or libpq's `name=value` form) names, and those of its options that the driver does
/// not take: `sslmode`, `sslrootcert`, `passfile`.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) without any part of the URL: each could be a password in the wrong place.
pub fn parse(url: &str) -> Result<(Config, BTreeMap<String, String>)> {
    let wrong = |why: &str| {
        Err(Error::config(format!(
            "the database URL cannot be read{why}; write {FORM}"
        ))
        .with_remedy(Remedy::DatabaseUrl))
    };
    let is_url = url.starts_with("postgresql://") || url.starts_with("postgres://");
    let (rest, options) = if is_url { of_url(url) } else { of_pairs(url) };
    let unsupported = UNKNOWN.iter().find(|name| {
        rest.split(['?', '&', ' '])
            .skip(usize::from(is_url))
            .any(|option| {
                option
                    .strip_prefix(**name)
                    .is_some_and(|o| o.starts_with('='))
            })
    });
    if let Some(name) = unsupported {
        return wrong(&format!(": {name} is not supported"));
    }
    let config: Config = match rest.parse() {
        Ok(config) => config,
        Err(e) => {
            let why = std::error::Error::source(&e).map(ToString::to_string);
            // Only these name nothing but an option.
            return match why.filter(|w| w.starts_with("invalid value for option")) {
                Some(why) => wrong(&format!(": {why}")),
                None => wrong(""),
            };
        }
    };
    let strange = |h: &Host| matches!(h, Host::Tcp(name) if name.contains(['@', ' ']));
    if config.get_hosts().iter().any(strange) {
        return wrong(": a user or password with @ / : or % in it is written with %40 %2F %3A %25");
    }
    Ok((config, options))
}

/// A URL with this port at those of its hosts that name none, as libpq takes it from its variables.
pub fn with_port(url: &str, port: u16) -> String {
    let Some(begin) = url.find("://").map(|at| at + 3) else {
        return url.to_owned();
    };
    let begin = url.find('@').map_or(begin, |at| at + 1);
    let length = url[begin..].find(['/', '?']);
    let end = length.map_or(url.len(), |length| begin + length);
    let hosts = &url[begin..end];
    let in_options = |option: &str| option.starts_with("port=");
    if hosts.is_empty() || url[end..].split(['?', '&']).any(in_options) {
        return url.to_owned();
    }
    let hosts = hosts.split(',').map(|host| {
        // The colons of an address stand in brackets.
        let behind = host.rfind(']').map_or(host, |at| &host[at..]);
        match behind.contains(':') {
            true => host.to_owned(),
            false => format!("{host}:{port}"),
        }
    });
    let hosts: Vec<String> = hosts.collect();
    format!("{}{}{}", &url[..begin], hosts.join(","), &url[end..])
}

/// A URL without the options of [`OURS`], and these.
fn of_url(url: &str) -> (String, BTreeMap<String, String>) {
    let behind_password = url.find('@').unwrap_or(0);
    let Some(mark) = url[behind_password..].find('?') else {
        return (url.to_owned(), BTreeMap::new());
    };
    let (start, query) = (
        &url[..behind_password + mark],
        &url[behind_password + mark + 1..],
    );
    let mut options = BTreeMap::new();
    let mut kept = Vec::new();
    for option in query.split('&') {
        match option.split_once('=') {
            Some((name, value)) if OURS.contains(&name) => {
                options.insert(name.to_owned(), decoded(value));
            }
            _ => kept.push(option),
        }
    }
    let mark = if kept.is_empty() { "" } else { "?" };
    (format!("{start}{mark}{}", kept.join("&")), options)
}

/// `%41` is `A`.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = (bytes[i] == b'%')
            .then(|| {
                text.get(i + 1..i + 3)
                    .and_then(|h| u8::from_str_radix(h, 16).ok())
            })
            .flatten();
        out.push(hex.unwrap_or(bytes[i]));
        i += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// `name=value name='value'` without the options of [`OURS`], and these.
fn of_pairs(text: &str) -> (String, BTreeMap<String, String>) {
    let (mut kept, mut options) = (String::new(), BTreeMap::new());
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let Some((name, after)) = rest.split_once('=') else {
            kept += rest; // tokio-postgres says what is wrong with it
            break;
        };
        let (value, length) = pair_value(after.trim_start());
        let end = rest.len() - after.trim_start().len() + length;
        match name.trim() {
            name if OURS.contains(&name) => drop(options.insert(name.to_owned(), value)),
            _ => kept += &format!("{} ", &rest[..end]),
        }
        rest = rest[end..].trim_start();
    }
    (kept, options)
}

/// The value at the start of `text`, and how many bytes it takes there.
fn pair_value(text: &str) -> (String, usize) {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            '\'' if quoted => return (value, i + 1),
            c if c.is_whitespace() && !quoted => return (value, i),
            c => value.push(c),
        }
    }
    (value, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expect: &str) {
        let (config, options) = parse(url).unwrap();
        let hosts: Vec<String> = config
            .get_hosts()
            .iter()
            .map(|h| match h {
                Host::Tcp(name) => name.clone(),
                #[cfg(unix)]
                Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        let password = config.get_password().map(String::from_utf8_lossy);
        let got = format!(
            "{} {:?} {} {} {options:?}",
            config.get_user().unwrap_or("-"),
            password.as_deref().unwrap_or("-"),
            hosts.join(","),
            config.get_dbname().unwrap_or("-")
        );
        assert_eq!(got, expect, "{url}");
    }

    #[test]
    fn a_url_is_read_with_its_tls_options() {
        check("postgresql://u@h/d", r#"u "-" h d {}"#);
        check(
            "postgres://u:p%40w?x@h:1/d?sslmode=verify-full&connect_timeout=3&sslrootcert=%2Fa%20b.pem",
            r#"u "p@w?x" h d {"sslmode": "verify-full", "sslrootcert": "/a b.pem"}"#,
        );
        check(
            "postgresql:///d?sslmode=require",
            r#"- "-"  d {"sslmode": "require"}"#,
        );
        check(
            r"host=h user = u password='a b\'c' sslmode=verify-ca sslrootcert='/a b' dbname=d",
            r#"u "a b'c" h d {"sslmode": "verify-ca", "sslrootcert": "/a b"}"#,
        );
    }

    #[test]
    fn authorities_that_sign_for_anybody_need_the_right_name_too() {
        let mode = |options: &str| {
            let url = format!("postgresql://h/d?{options}");
            let database = url.parse::<Database>();
            database.map_or_else(|e| e.to_string(), |d| format!("{d:?}"))
        };
        assert!(mode("sslrootcert=system").contains("mode: VerifyFull"));
        assert!(mode("").contains("mode: Prefer"));
        let weak = mode("sslrootcert=system&sslmode=require");
        assert!(weak.contains("verify-full"), "{weak}");
    }

    #[test]
    fn hosts_without_a_port_get_the_one_of_the_environment() {
        for (url, expect) in [
            ("postgresql://h", "postgresql://h:7"),
            ("postgresql://u:1@h/d?x=@:", "postgresql://u:1@h:7/d?x=@:"),
            (
                "postgres://u@h:1,i,[::1],[::1]:2/d",
                "postgres://u@h:1,i:7,[::1]:7,[::1]:2/d",
            ),
            ("postgresql:///d", "postgresql:///d"),
            ("postgresql://h/d?port=3", "postgresql://h/d?port=3"),
            (
                "postgresql://h?sslmode=require",
                "postgresql://h:7?sslmode=require",
            ),
            ("host=h dbname=d", "host=h dbname=d"),
        ] {
            assert_eq!(with_port(url, 7), expect);
        }
    }

    #[test]
    fn no_password_gets_into_a_message() {
        for url in [
            "postgresql://u:s3cret@more@h/d",
            "postgresql://u:s3cret@h:port/d",
            "postgresql://u:s3cret",
            "postgresql://u:s3cret@h/d?s3cret=1",
            "host=h password=a s3cret=b",
            "host=h password=a s3cret",
            "s3cret",
            "https://u:s3cret@h/d",
            "postgresql://u:s3cret@h/d?sslkey=s3cret",
        ] {
            let e = parse(url).unwrap_err().to_string();
            assert!(!e.contains("s3cret"), "{e}");
            assert!(e.contains("the database URL"), "{e}");
        }
    }

    #[test]
    fn an_option_that_is_not_supported_is_named() {
        for url in ["postgresql://h/d?service=x", "host=h service=x"] {
            let e = parse(url).unwrap_err().to_string();
            assert!(e.contains("service is not supported"), "{e}");
        }
    }
}
