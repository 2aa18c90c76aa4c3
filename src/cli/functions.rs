//! `portolan functions`: the manual of the language.

use super::{common::Common, exit};

/// What `portolan functions` takes.
#[derive(Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct Args {
    /// One function, such as ftp::connect or get
    name: Option<String>,
}

pub(super) fn run(_args: &Args, _common: &Common) -> u8 {
    exit::DONE
}
