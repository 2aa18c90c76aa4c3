//! Passwords that a program prints, such as that of a password manager.
//!
//! The command comes from the command line or from a file of sites, and from no server or script. A string is a line
//! for the shell, as for rclone and git; an array is a program with its arguments, and no shell reads it.

use std::{
    collections::BTreeMap,
    io::Read,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError, mpsc},
    time::Duration,
};

use crate::{
    error::{Error, ErrorKind, Origin, Result},
    observe::visible::visible,
    secret::Secret,
};

/// The time for the command: the user may have to type the password of the password manager.
const TIME_MAX: Duration = Duration::from_mins(2);

/// The maximum size of its output in bytes: that of a key.
const OUTPUT_BYTES_MAX: u64 = 64 * 1024;

/// The answers so far: a command is asked once in a process, however many sessions there are.
static ANSWERS: Mutex<BTreeMap<Vec<String>, Secret>> = Mutex::new(BTreeMap::new());

/// Reads the value of `password_command`.
pub(super) fn read(value: &toml::Value) -> Result<Vec<String>> {
    let wants = || {
        Error::invalid(
            "`password_command` wants a line for the shell, or an array of a program and its arguments, such as \
             [\"pass\", \"show\", \"acme\"]",
        )
    };
    let words = match value {
        toml::Value::String(line) => return shell(line),
        toml::Value::Array(words) => words.iter().map(|word| word.as_str().map(str::to_owned)),
        _ => return Err(wants()),
    };
    let words: Vec<String> = words.collect::<Option<_>>().ok_or_else(wants)?;
    match words.first() {
        Some(program) if !program.is_empty() => Ok(words),
        _ => Err(wants()),
    }
}

/// Returns the command that has the shell read `line`.
pub fn shell(line: &str) -> Result<Vec<String>> {
    if line.trim().is_empty() {
        return Err(Error::invalid("the password command is empty"));
    }
    Ok(vec!["/bin/sh".into(), "-c".into(), line.into()])
}

/// Runs the command, and returns the first line that it prints. Its errors go to standard error.
pub fn run(words: &[String]) -> Result<Secret> {
    let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = answers.get(words) {
        return Ok(known.clone());
    }
    let secret = ask(words)?;
    answers.insert(words.to_vec(), secret.clone());
    Ok(secret)
}

fn ask(words: &[String]) -> Result<Secret> {
    let (program, arguments) =
        words.split_first().ok_or_else(|| Error::invalid("the password command is empty"))?;
    let wrong = |kind, message: String| Error::new(kind, Origin::Here, message);
    let child =
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| {
        let message = format!("cannot run the password command `{}`: {error}", visible(program));
        wrong(ErrorKind::Local, message)
    })?;
    let output = output(&mut child);
    if output.is_none() {
        // It may have ended just now.
        child.kill().ok();
    }
    let status = child.wait().map_err(|error| {
        wrong(ErrorKind::Local, format!("cannot wait for the password command: {error}"))
    })?;
    let Some(output) = output else {
        let seconds = TIME_MAX.as_secs();
        let message = format!("the password command printed nothing whole within {seconds} s");
        return Err(wrong(ErrorKind::Timeout, message));
    };
    if !status.success() {
        return Err(wrong(ErrorKind::Local, format!("the password command failed: {status}")));
    }
    let text = String::from_utf8(output).ok();
    let line = text.as_deref().and_then(|text| text.lines().next()).unwrap_or_default();
    if line.is_empty() {
        let message = "the password command printed no password in its first line";
        return Err(wrong(ErrorKind::Local, message.into()));
    }
    Ok(Secret::new(line))
}

/// Returns all that the command prints; `None` if it takes too long, or prints too much.
fn output(child: &mut Child) -> Option<Vec<u8>> {
    let pipe = child.stdout.take()?;
    let (done, read) = mpsc::channel();
    let reader = move || {
        let mut bytes = Vec::new();
        let whole = pipe.take(OUTPUT_BYTES_MAX + 1).read_to_end(&mut bytes);
        // The receiver is gone if it took too long.
        done.send(whole.map(|_| bytes)).ok();
    };
    std::thread::Builder::new().name("password".into()).spawn(reader).ok()?;
    let bytes = read.recv_timeout(TIME_MAX).ok()?.ok()?;
    (bytes.len() as u64 <= OUTPUT_BYTES_MAX).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        shell(line).unwrap()
    }

    #[test]
    fn the_first_line_is_the_password() {
        assert_eq!(run(&words("printf 'two words\\nmore\\n'")).unwrap().reveal(), "two words");
        let plain: Vec<_> = ["printf", "%s", "$HOME `x`"].map(str::to_owned).into();
        assert_eq!(run(&plain).unwrap().reveal(), "$HOME `x`");
    }

    #[test]
    fn a_command_without_a_password_is_an_error_that_repeats_nothing() {
        for (line, why) in [
            ("echo hunter2; exit 3", "exit status: 3"),
            ("printf '\\nhunter2\\n'", "no password"),
            ("true", "no password"),
            ("head -c 100000 /dev/zero | tr '\\0' x", "nothing whole"),
        ] {
            let error = run(&words(line)).unwrap_err();
            assert!(error.message.contains(why), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        let gone = run(&["/no/such/program".to_owned()]).unwrap_err();
        assert!(gone.message.contains("/no/such/program"), "{gone}");
        assert!(shell(" ").is_err());
    }

    #[test]
    fn a_command_is_asked_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("count");
        let line = words(&format!("echo x >> '{}'; echo secret", file.display()));
        for _ in 0..3 {
            assert_eq!(run(&line).unwrap().reveal(), "secret");
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "x\n");
    }

    #[test]
    fn a_value_of_another_kind_is_refused() {
        let read_text = |text: &str| {
            let table: toml::Table = text.parse().unwrap();
            read(table.get("a").unwrap())
        };
        assert_eq!(read_text("a = \"pass x\"").unwrap(), ["/bin/sh", "-c", "pass x"]);
        assert_eq!(read_text("a = [\"pass\", \"x y\"]").unwrap(), ["pass", "x y"]);
        for text in ["a = 1", "a = []", "a = [\"\"]", "a = [1]", "a = \"\"", "a = {}"] {
            assert!(read_text(text).is_err(), "{text}");
        }
    }
}
