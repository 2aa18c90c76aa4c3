//! The option `--color`.

use std::ffi::OsString;

use clap::ValueEnum;

use crate::observe::paint::ColorMode;

/// The times at which output has colours.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ColorWhen {
    Auto,
    Always,
    Never,
}

impl ColorWhen {
    /// Returns the wish in a command line that may not be one that can be read.
    pub(super) fn scan(args: &[OsString]) -> Self {
        let mut words = args.iter().filter_map(|word| word.to_str());
        let mut wish = None;
        while let Some(word) = words.next() {
            match word.strip_prefix("--color") {
                Some("") => wish = words.next(),
                Some(rest) => wish = rest.strip_prefix('=').or(wish),
                None if word == "--" => break,
                None => {}
            }
        }
        wish.and_then(|word| Self::from_str(word, false).ok()).unwrap_or(Self::Auto)
    }

    /// Returns the wish for what portolan itself prints.
    pub(super) const fn mode(self) -> ColorMode {
        match self {
            Self::Auto => ColorMode::Auto,
            Self::Always => ColorMode::Always,
            Self::Never => ColorMode::Never,
        }
    }

    /// Returns the wish for what clap prints.
    pub(super) const fn choice(self) -> clap::ColorChoice {
        match self {
            Self::Auto => clap::ColorChoice::Auto,
            Self::Always => clap::ColorChoice::Always,
            Self::Never => clap::ColorChoice::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wish_is_found_in_a_line_that_cannot_be_read() {
        for (line, wanted) in [
            ("portolan --color=never nosuch", ColorMode::Never),
            ("portolan ls --color always --nosuch", ColorMode::Always),
            ("portolan ls --color sometimes", ColorMode::Auto),
            ("portolan run a.rhai -- --color=never", ColorMode::Auto),
            ("portolan --colour=never", ColorMode::Auto),
        ] {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(ColorWhen::scan(&args).mode(), wanted, "{line}");
        }
    }
}
