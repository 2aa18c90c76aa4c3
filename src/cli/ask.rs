//! The question for a password, at a terminal.

use std::{
    borrow::Cow,
    env,
    fs::File,
    io::{self, IsTerminal},
};

use rustyline::{
    Behavior, ColorMode, Config, Editor, Helper,
    completion::Completer,
    error::ReadlineError,
    highlight::{CmdKind, Highlighter},
    hint::Hinter,
    history::FileHistory,
    validate::Validator,
};

use super::table::is_terminal;
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    secret::Secret,
};

/// Terminals on which the editor cannot turn the echo off.
const ECHOING_TERMS: [&str; 3] = ["dumb", "cons25", "emacs"];

/// Returns true if a user can be asked for a password: at a terminal, also if standard output leads elsewhere.
pub(super) fn may_ask_password() -> bool {
    let is_echoing = env::var("TERM").is_ok_and(|term| ECHOING_TERMS.contains(&&*term));
    io::stdin().is_terminal()
        && io::stderr().is_terminal()
        && !is_echoing
        && (is_terminal() || File::options().read(true).write(true).open("/dev/tty").is_ok())
}

/// Asks for the password of `user` without echo; returns `None` if the input is empty.
pub(super) fn ask_password(user: &str, host: &str) -> Result<Option<Secret>> {
    let config = Config::builder().auto_add_history(false).color_mode(ColorMode::Forced);
    let behavior = if is_terminal() { Behavior::Stdio } else { Behavior::PreferTerm };
    let editor = Editor::<NoEcho, FileHistory>::with_config(config.behavior(behavior).build());
    let mut editor = editor.map_err(|error| trouble(&error))?;
    editor.set_helper(Some(NoEcho));
    match editor.readline(&format!("password of {user} on {host}: ")) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty()).map(Secret::new)),
        Err(ReadlineError::Eof | ReadlineError::Interrupted) => {
            Err(Error::new(ErrorKind::Interrupted, Origin::Here, "interrupted"))
        }
        Err(error) => Err(trouble(&error)),
    }
}

fn trouble(error: &ReadlineError) -> Error {
    Error::new(ErrorKind::Local, Origin::Here, format!("cannot read from this terminal: {error}"))
}

/// A highlighter that shows nothing of the typed text.
struct NoEcho;

impl Highlighter for NoEcho {
    fn highlight<'l>(&self, _: &'l str, _: usize) -> Cow<'l, str> {
        Cow::Borrowed("")
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        true
    }
}

impl Completer for NoEcho {
    type Candidate = String;
}
impl Hinter for NoEcho {
    type Hint = String;
}
impl Validator for NoEcho {}
impl Helper for NoEcho {}
