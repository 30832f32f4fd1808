//! The environment and `.env`, for every command alike: an empty variable counts as not set, and
//! a wrong one is named.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use clap::builder::{BoolishValueParser, Resettable};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};

use crate::error::{Error, Result};
use crate::text::escape;

/// Variables by name: those of the process, before those of `.env`.
#[derive(Clone, Default)]
pub struct Environment {
    file: BTreeMap<String, String>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be passwords.
        f.debug_set().entries(self.file.keys()).finish()
    }
}

impl Environment {
    /// With the `.env` of this folder or the nearest one above it. What it says also becomes part
    /// of the process's environment, where other libraries look.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where it is there and cannot be read.
    pub fn read() -> Result<Environment> {
        let wrong = |e: dotenvy::Error| match e {
            // The line itself may hold a password.
            dotenvy::Error::LineParse(line, _) if line.starts_with('\u{feff}') => Error::config(
                ".env begins with a byte order mark, as some editors on Windows write it; save it as UTF-8 without one",
            ),
            dotenvy::Error::LineParse(_, at) => Error::config(format!(
                ".env: a line cannot be read, at its character {at}; write NAME=value, and a value with spaces or $ \
                 in single quotes"
            )),
            e => Error::config(format!(".env: {e}")),
        };
        let lines = match dotenvy::dotenv_iter() {
            Ok(lines) => lines,
            Err(e) if e.not_found() => return Ok(Environment::default()),
            Err(e) => return Err(wrong(e)),
        };
        let lines: Vec<(String, String)> = lines.collect::<Result<_, _>>().map_err(wrong)?;
        let path = dotenvy::dotenv().map_err(wrong)?;
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("reading .env", e))?;
        if let Some((name, places)) = repeated(&text, &lines) {
            return Err(Error::config(format!(
                ".env: {name} is there more than once{places}; leave one of them"
            )));
        }
        let file = lines.into_iter().collect();
        match unmeant(&text, &file) {
            Some(name) => Err(Error::config(format!(
                ".env: {name}: a $ stands for the value of a variable, which only ${{NAME}} of one that is set surely means; \
                 write a value with a $ of its own in single quotes"
            ))),
            None => Ok(Environment { file }),
        }
    }

    /// The value of a variable that is set and not empty.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where it is not text.
    pub fn text(&self, name: &str) -> Result<Option<String>> {
        match std::env::var(name) {
            Ok(value) if !value.is_empty() => Ok(Some(value)),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(Error::config(format!("{name} is not valid UTF-8")))
            }
            _ => Ok(self.file.get(name).filter(|v| !v.is_empty()).cloned()),
        }
    }

    /// The first of these variables that is set, with its name.
    ///
    /// # Errors
    /// As [`Environment::text`].
    pub fn first(&self, names: &[&'static str]) -> Result<Option<(&'static str, String)>> {
        for name in names {
            if let Some(value) = self.text(name)? {
                return Ok(Some((name, value)));
            }
        }
        Ok(None)
    }

    /// The first of these variables that is set, as a `kind`.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) naming the variable, what it is, and `kind`.
    pub fn number<T: FromStr>(&self, names: &[&'static str], kind: &str) -> Result<Option<T>> {
        let Some((name, value)) = self.first(names)? else {
            return Ok(None);
        };
        let wrong = |_| {
            Error::config(format!(
                "{name} is \"{}\", which is not {kind}",
                escape(&value)
            ))
        };
        value.trim().parse().map(Some).map_err(wrong)
    }

    /// Makes a command take its variables from here: `.env` included, empty ones left out, and
    /// yes and no in all their spellings.
    pub fn adapt(&self, command: Command) -> Command {
        let command = command.mut_args(|arg| self.adapt_arg(arg));
        let names: Vec<String> = command
            .get_subcommands()
            .map(|c| c.get_name().to_owned())
            .collect();
        names
            .iter()
            .fold(command, |c, name| c.mut_subcommand(name, |s| self.adapt(s)))
    }

    fn adapt_arg(&self, arg: Arg) -> Arg {
        let Some(name) = arg.get_env().and_then(|n| n.to_str()).map(str::to_owned) else {
            return arg;
        };
        let mut arg = arg;
        if arg.get_value_parser().type_id() == TypeId::of::<bool>() {
            if matches!(arg.get_action(), ArgAction::SetTrue) {
                // So that `--dry-run=false` beats DRY_RUN=true.
                arg = arg
                    .action(ArgAction::Set)
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .default_value("false")
                    .hide_default_value(true)
                    .value_name("BOOL");
            }
            arg = arg
                .value_parser(BoolishValueParser::new())
                .hide_possible_values(true);
        }
        let set = std::env::var_os(&name);
        if set.is_some_and(|v| v.is_empty()) {
            arg = arg.env(Resettable::Reset);
            if let Some(value) = self.file.get(&name).filter(|v| !v.is_empty()) {
                arg = arg.default_value(value.clone());
            }
        }
        arg
    }

    /// What is wrong with the command line, or with a variable that stands in for a flag.
    pub fn explain(&self, e: &clap::Error, command: &Command, given: &[String]) -> Error {
        let text = |kind| match e.get(kind) {
            Some(ContextValue::String(text)) => Some(text.as_str()),
            _ => None,
        };
        let usage = || {
            let message = e.render().to_string();
            // The usage that comes with it lists what is set, as if it had been written.
            let why = message.split("\n\nUsage:").next().unwrap_or(&message);
            let used = given
                .iter()
                .skip(1)
                .find_map(|g| command.find_subcommand(g));
            let usage = used.unwrap_or(command).clone().render_usage();
            Error::config(format!(
                "{}\n\n{usage}",
                why.trim_start_matches("error: ").trim_end()
            ))
        };
        if !matches!(
            e.kind(),
            ErrorKind::ValueValidation | ErrorKind::InvalidValue
        ) {
            return usage();
        }
        let (Some(shown), Some(value)) = (
            text(ContextKind::InvalidArg),
            text(ContextKind::InvalidValue),
        ) else {
            return usage();
        };
        let flag = shown.split([' ', '=', '[']).next().unwrap_or(shown);
        let long = flag.strip_prefix("--").unwrap_or(flag);
        let by_flag = given
            .iter()
            .any(|g| g == flag || g.strip_prefix(flag).is_some_and(|r| r.starts_with('=')));
        let arg = find(command, long);
        let variable = arg.and_then(|a| a.get_env()).and_then(|n| n.to_str());
        let name = match variable {
            Some(variable) if !by_flag => variable,
            _ => flag,
        };
        let allowed = match e.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(values)) if !values.is_empty() => {
                format!("which is none of {}", values.join(", "))
            }
            _ => match arg.map(|a| a.get_value_parser().type_id()) {
                Some(t) if t == TypeId::of::<bool>() => {
                    "which is none of true, false, yes, no, 1 and 0".to_owned()
                }
                _ => match std::error::Error::source(e) {
                    Some(why) if why.is::<ParseIntError>() => {
                        "which is not a whole number".to_owned()
                    }
                    Some(why) if why.to_string().contains("not in") => {
                        format!("which is out of range: {why}")
                    }
                    Some(why) => format!("which cannot be used: {why}"),
                    None => "which cannot be used".to_owned(),
                },
            },
        };
        Error::config(format!("{name} is \"{}\", {allowed}", escape(value)))
    }
}

/// The first variable that is twice in `.env`, of which these are the `text` and what it sets, and in which lines that is.
fn repeated(text: &str, set: &[(String, String)]) -> Option<(String, String)> {
    let mut seen = std::collections::BTreeSet::new();
    let (name, _) = set.iter().find(|(name, _)| !seen.insert(name))?;
    let sets = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let rest = line.strip_prefix(name.as_str());
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let places = (1..).zip(text.lines()).filter(|(_, line)| sets(line));
    let places: Vec<String> = places.map(|(at, _)| at.to_string()).collect();
    let places = match places.is_empty() {
        true => String::new(),
        false => format!(" (lines {})", places.join(", ")),
    };
    Some((name.clone(), places))
}

/// What no value holds, in the place of `$`.
const DOLLAR: char = '\u{f8ff}';

/// The first variable of `.env`, of which these are the `text` and the values, where a `$` was taken for that of a variable
/// and may not have been meant so: `pa$word` became `pa`.
fn unmeant(text: &str, values: &BTreeMap<String, String>) -> Option<String> {
    // Read again with something else for each `$`, all but those that stay differ.
    let mut marked = String::with_capacity(text.len());
    let mut escaped = false;
    for c in text.chars() {
        marked.push(if c == '$' && !escaped { DOLLAR } else { c });
        escaped = c == '\\' && !escaped;
    }
    let lines = dotenvy::from_read_iter(marked.as_bytes());
    let is_set = |rest: &str| {
        let name = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let is_set = |name| values.contains_key(name) || std::env::var_os(name).is_some();
        name.is_some_and(|(name, _)| is_set(name))
    };
    let substituted = |(name, value): &(String, String)| {
        let stays = values
            .get(name)
            .is_some_and(|v| *v == value.replace(DOLLAR, "$"));
        !stays && !value.split(DOLLAR).skip(1).all(is_set)
    };
    lines.flatten().find(substituted).map(|(name, _)| name)
}

/// The argument with that long name, in the command or one below it.
fn find<'c>(command: &'c Command, long: &str) -> Option<&'c Arg> {
    command
        .get_arguments()
        .find(|a| a.get_long() == Some(long))
        .or_else(|| command.get_subcommands().find_map(|c| find(c, long)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_there_twice_is_named_with_its_lines() {
        for (text, says) in [
            ("A=1\nB=2", None),
            ("A=1\n#A=2\nAA=3", None),
            ("A=1\nB=2\n export A = 2", Some(" (lines 1, 3)")),
        ] {
            let set: Vec<_> = dotenvy::from_read_iter(text.as_bytes()).flatten().collect();
            let found = repeated(text, &set);
            assert_eq!(found.map(|(_, places)| places).as_deref(), says, "{text}");
        }
    }

    #[test]
    fn a_dollar_stands_for_what_is_surely_meant() {
        for (text, says) in [
            ("A='pa$word'", None),
            (r"A=pa\$word", None),
            ("A=pa$word", Some("A")),
            ("A=\"pa$word\"", Some("A")),
            ("A=pa$$", Some("A")),
            ("B=1\nA=${B}/x", None),
            ("B=1\nA=$B/x", Some("A")),
            ("A=${NOBODY_SETS_THIS}/x", Some("A")),
            ("A='$x'\nB=\"${A}\"", None),
            ("# $x\nA=1 # $y", None),
            ("A=1\nA=2", None),
        ] {
            let values = dotenvy::from_read_iter(text.as_bytes()).flatten().collect();
            assert_eq!(unmeant(text, &values).as_deref(), says, "{text}");
        }
    }
}
