//! Colours for people: when output has them, and which part of a line.

use std::{env, sync::OnceLock};

/// The wish of the user for colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ColorMode {
    /// On a terminal, unless the environment asks for plain text.
    #[default]
    Auto,
    /// In every output, such as that to a pager.
    Always,
    /// In no output.
    Never,
}

static MODE: OnceLock<ColorMode> = OnceLock::new();

/// Sets the wish of the user for this process; the first call counts.
pub fn set_color_mode(mode: ColorMode) {
    MODE.get_or_init(|| mode);
}

/// Returns true if the output to a stream has colours; `is_terminal` is true if it is a terminal.
pub fn is_coloured(is_terminal: bool) -> bool {
    match MODE.get().copied().unwrap_or_default() {
        ColorMode::Always => true,
        ColorMode::Never => false,
        ColorMode::Auto => is_terminal && !is_plain_wanted(),
    }
}

/// Returns true if the environment asks for plain text (<https://no-color.org>).
fn is_plain_wanted() -> bool {
    let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    is_dumb || env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// A colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// For failures and deletions.
    Red,
    /// For success, and for what is added.
    Green,
    /// For warnings.
    Yellow,
    /// For advice.
    Cyan,
}

impl Paint {
    /// Returns `text` in this colour.
    pub fn on(self, text: &str) -> String {
        let code = match self {
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Cyan => 36,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// The labels of messages.
const LABELS: &[(&str, Paint)] = &[
    ("error:", Paint::Red),
    ("warning:", Paint::Yellow),
    ("hint:", Paint::Cyan),
    ("more:", Paint::Cyan),
    ("note:", Paint::Cyan),
];

/// The first words of the steps of a plan.
const STEPS: &[(&str, Paint)] = &[
    ("put", Paint::Green),
    ("get", Paint::Green),
    ("mkdir", Paint::Green),
    ("restore", Paint::Green),
    ("delete", Paint::Red),
    ("sweep", Paint::Red),
    ("remove", Paint::Red),
    ("chmod", Paint::Yellow),
];

/// The words for the results of runs.
const RESULTS: &[(&str, Paint)] = &[
    ("done", Paint::Green),
    ("partial", Paint::Yellow),
    ("skipped", Paint::Yellow),
    ("interrupted", Paint::Yellow),
    ("failed", Paint::Red),
];

/// Colours the lines of messages that begin with a label, such as `error:`.
pub fn paint_messages(text: &str) -> String {
    each_line(text, |line| {
        let label = LABELS.iter().find(|(label, _)| line.starts_with(label));
        label.map(|(_, paint)| paint.on(line))
    })
}

/// Colours the steps of a plan, one per line.
pub fn paint_steps(text: &str) -> String {
    each_line(text, |line| {
        let first = line.split(' ').next().unwrap_or_default();
        let step = STEPS.iter().find(|(word, _)| *word == first);
        step.map(|(_, paint)| paint.on(line))
    })
}

/// Colours the first result of a run in each line of a table.
pub fn paint_results(text: &str) -> String {
    each_line(text, |line| {
        let mut words = line.split(' ').scan(0, |end, word| {
            let start = *end;
            *end += word.len() + 1;
            Some((start, word))
        });
        let (start, word, paint) = words.find_map(|(start, word)| {
            let (_, paint) = RESULTS.iter().find(|(known, _)| *known == word)?;
            Some((start, word, paint))
        })?;
        let (before, after) = (line.get(..start)?, line.get(start + word.len()..)?);
        Some(format!("{before}{}{after}", paint.on(word)))
    })
}

fn each_line(text: &str, paint: impl Fn(&str) -> Option<String>) -> String {
    let lines = text.split_inclusive('\n').map(|line| {
        let (plain, end) = line.strip_suffix('\n').map_or((line, ""), |plain| (plain, "\n"));
        paint(plain).unwrap_or_else(|| plain.to_owned()) + end
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_steps_and_results_have_their_colours() {
        let labels = paint_messages("error: a: error: b\n  --> f\nhint: c");
        let wanted = "\u{1b}[31merror: a: error: b\u{1b}[0m\n  --> f\n\u{1b}[36mhint: c\u{1b}[0m";
        assert_eq!(labels, wanted);
        let steps = paint_steps("put  a\ndelete  b\n2 to transfer\n");
        assert_eq!(
            steps,
            "\u{1b}[32mput  a\u{1b}[0m\n\u{1b}[31mdelete  b\u{1b}[0m\n2 to transfer\n"
        );
        let results = paint_results("run  outcome\n  7  failed     a failed b\n");
        assert_eq!(results, "run  outcome\n  7  \u{1b}[31mfailed\u{1b}[0m     a failed b\n");
        assert_eq!(paint_messages(""), "");
    }

    #[test]
    fn without_a_wish_only_terminals_have_colours() {
        assert!(!is_coloured(false));
    }
}
