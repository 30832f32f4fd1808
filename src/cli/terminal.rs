//! How text looks where it is written: in colours or not, and how wide.

use std::io::IsTerminal;
use std::sync::OnceLock;

use clap::ColorChoice;
use unicode_width::UnicodeWidthStr;

use crate::render::text::Style;

/// Columns of a line where nobody says.
const WIDTH: usize = 80;

static CHOSEN: OnceLock<ColorChoice> = OnceLock::new();

/// Sets for the rest of the process when there are colours; the first call counts.
pub fn choose(when: ColorChoice) {
    let _ = CHOSEN.set(when);
}

/// When the command line asks for colours, as far as can be seen before it has been understood: help has
/// colours too.
pub fn wanted(given: &[String]) -> ColorChoice {
    let value = super::value_of(given, "--color").unwrap_or_default();
    value.parse().unwrap_or_default()
}

/// How text looks on a stream: colours and the width where it is a terminal.
pub fn colour(stream: &impl IsTerminal) -> Style {
    let terminal = stream.is_terminal();
    Style {
        colour: has_colours(terminal),
        width: match terminal_size::terminal_size() {
            Some((width, _)) if terminal => usize::from(width.0).clamp(60, 160),
            _ => WIDTH,
        },
    }
}

/// How text looks in a file: in colours only where they are asked for.
pub fn in_file() -> Style {
    Style {
        colour: has_colours(false),
        width: WIDTH,
    }
}

fn has_colours(terminal: bool) -> bool {
    match CHOSEN.get().copied().unwrap_or_default() {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    }
}

/// A text for people with the hashes in it on one line each, where the terminal that is written to would cut
/// them; a command goes on behind a backslash, as a shell reads it.
pub fn whole_hashes(text: &str, stream: &impl IsTerminal) -> String {
    if stream.is_terminal() {
        whole_at(text, colour(stream).width)
    } else {
        text.to_owned()
    }
}

fn whole_at(text: &str, width: usize) -> String {
    const HASH: usize = "sha256:".len() + 64;
    let mut out: Vec<String> = Vec::new();
    for line in text.split('\n') {
        let cut = line.find(" sha256:").filter(|at| {
            let start = line[..at + 1].width();
            HASH + 2 <= width && start / width != (start + HASH - 1) / width
        });
        match cut.map(|at| line.split_at(at)) {
            None => out.push(line.to_owned()),
            Some((before, hash)) => {
                let flag = before.ends_with("--approve");
                let goes_on = if flag { " \\" } else { "" };
                out.push(format!("{before}{goes_on}\n  {}", hash.trim_start()));
            }
        }
    }
    out.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_on_one_line() {
        let hash = format!("sha256:{}", "0123".repeat(16));
        let command = format!("Have it reviewed, then: loader apply plan.json --approve {hash}");
        let shown = whole_at(&command, 80);
        let expected =
            format!("Have it reviewed, then: loader apply plan.json --approve \\\n  {hash}");
        assert_eq!(shown, expected);
        // It fits, or nothing helps.
        let short = format!("Plan {hash}");
        assert_eq!(whole_at(&short, 80), short);
        assert_eq!(whole_at(&command, 160), command);
        assert_eq!(whole_at(&command, 60), command);
        let both = format!("{short}\nthe approval is for {hash}, but");
        let expected = format!("{short}\nthe approval is for\n  {hash}, but");
        assert_eq!(whole_at(&both, 80), expected);
    }
}
