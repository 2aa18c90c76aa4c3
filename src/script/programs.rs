//! Programs that scripts start: by their arguments, without a shell, within limits, and ended with the run.

use std::{
    fs::File,
    io::{Seek, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rhai::{Array, Blob, Dynamic, Map};
use rustix::fs::{MemfdFlags, memfd_create};

use super::{
    run::ScriptRun,
    secrets::OWN_VARIABLES,
    show,
    supervised::{OutputStream, ProgramStream, Supervision},
    value::{self, CallOptions, shown},
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    limits::{PROGRAM_LOG_BYTES_MAX, PROGRAM_OUTPUT_BYTES_MAX, PROGRAM_TIME_MAX},
    observe::{MessageLevel, visible::visible},
    option_table::{OptionKind, OptionRow, OptionTable},
    secret::Secret,
};

/// The options of `run::command`.
#[derive(Debug)]
pub(in crate::script) struct CommandOptions {
    timeout: Duration,
    cwd: Option<String>,
}

impl Default for CommandOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_mins(10), cwd: None }
    }
}

/// Every option of `run::command`; `input` and `env` are read by [`ProgramCall::new`].
pub(in crate::script) const COMMAND: OptionTable<CommandOptions> = OptionTable {
    rows: &[
        OptionRow::<CommandOptions>::new(
            "input",
            OptionKind::Own,
            "what the program reads from its standard input: a string, a blob or a secret; nothing by default",
        ),
        OptionRow::<CommandOptions>::new(
            "timeout",
            OptionKind::DurationIn(Duration::from_secs(1)..=PROGRAM_TIME_MAX, |it, time| {
                it.timeout = time;
            }),
            "the time after which it is ended",
        )
        .usual("10m"),
        OptionRow::<CommandOptions>::new(
            "env",
            OptionKind::Own,
            "a map of environment variables to add; `()` removes one",
        ),
        OptionRow::<CommandOptions>::new(
            "cwd",
            OptionKind::Text(|it, path| {
                it.cwd = Some(path.to_owned());
                Ok(())
            }),
            "the folder in which it is started",
        ),
    ],
    usual: CommandOptions::default,
};

/// A program with all that it is given.
#[derive(Debug)]
pub(in crate::script) struct ProgramCall {
    words: Vec<String>,
    input: Vec<u8>,
    env: Vec<(String, Option<String>)>,
    options: CommandOptions,
}

/// The output of a program so far.
#[derive(Debug, Default)]
struct ProgramOutput {
    output: Vec<u8>,
    errors: Vec<u8>,
    /// The bytes that were logged.
    logged: usize,
}

impl ProgramCall {
    /// Reads the arguments of a call.
    pub(in crate::script) fn new(words: &Array, options: &Map) -> Result<Self> {
        let word = |value: &Dynamic| {
            if value.read_lock::<Secret>().is_some() {
                let message = "a secret among the arguments of a program would be seen by every process: give it as `input`";
                return Err(Error::invalid(message));
            }
            let text = value.clone().into_string().ok().filter(|text| !text.contains('\0'));
            text.ok_or_else(|| {
                let given = shown(value);
                Error::invalid(format!(
                    "run::command wants strings, got {given}: numbers are written `${{n}}`"
                ))
            })
        };
        let words = words.iter().map(word).collect::<Result<Vec<_>>>()?;
        if words.first().is_none_or(String::is_empty) {
            let message = "run::command wants an array with a program and its arguments, as in [\"gpg\", \"--verify\", file]";
            return Err(Error::invalid(message));
        }
        let found = super::options::read(options, "run::command", &COMMAND)?;
        let given = CallOptions::unchecked(options);
        let input = match given.get("input") {
            None => Vec::new(),
            Some(input) => match input.read_lock::<Secret>() {
                Some(secret) => secret.reveal().as_bytes().to_vec(),
                None => value::bytes(input)?,
            },
        };
        Ok(Self { words, input, env: variables(&given)?, options: found })
    }

    fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Runs the program for `run`, and returns `#{ code, stdout, stderr }`.
    pub(in crate::script) fn run(&self, run: &ScriptRun) -> Result<Map> {
        run.only_rulesets()?;
        if run.settings.rehearsal.is_some() {
            let name = visible(self.name());
            run.context.observer.warn(format!(
                "`{name}` is not run in a rehearsal; a run has to allow it: --allow-run={name}"
            ));
            return Ok(result(0, Vec::new(), Vec::new()));
        }
        let program = run.permissions().allow_run(self.name())?;
        for (name, _) in &self.env {
            run.permissions().allow_env(name)?;
        }
        let cwd = self.options.cwd.as_ref().map(|path| run.readable(path)).transpose()?;
        let Some(program) = program else {
            let message = "there is no such program";
            return Err(Error::new(ErrorKind::NotFound, Origin::Here, message).at(self.name()));
        };
        run.uncounted(|| self.supervised(run, program, cwd))
    }

    fn fault(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(kind, Origin::Here, message).at(visible(self.name()))
    }

    fn started(&self, run: &ScriptRun, program: PathBuf, cwd: Option<PathBuf>) -> Result<Child> {
        let failed = |error: std::io::Error| Error::local("run", self.name(), error);
        let mut command = Command::new(program);
        let passes = |name: &std::ffi::OsString| {
            let name = name.to_string_lossy();
            !OWN_VARIABLES.contains(&&*name) && run.permissions().passes_env(&name)
        };
        command
            .args(self.words.get(1..).unwrap_or_default())
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| passes(name)))
            // A confined run writes temporary files nowhere else.
            .envs(run.settings.temp.iter().map(|temp| ("TMPDIR", temp)))
            .process_group(0)
            .stdin(memory(&self.input).map_err(failed)?)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(cwd) = cwd {
            command.current_dir(cwd);
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.spawn().map_err(failed)
    }

    fn supervised(&self, run: &ScriptRun, program: PathBuf, cwd: Option<PathBuf>) -> Result<Map> {
        let mut child = self.started(run, program, cwd)?;
        let name = visible(self.name());
        let rules = Supervision {
            name: &name,
            timeout: Some(self.options.timeout),
            stop: &run.context.stop,
            is_group: true,
        };
        let mut outputs: Vec<ProgramStream> = Vec::new();
        outputs.extend(child.stdout.take().map(|it| (OutputStream::Output, Box::new(it) as _)));
        outputs.extend(child.stderr.take().map(|it| (OutputStream::Errors, Box::new(it) as _)));
        let mut found = ProgramOutput::default();
        let status =
            rules.wait(child, outputs, |stream, line| self.take(run, &mut found, stream, line))?;
        run.context.stop.check()?;
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ok(result(code.into(), found.output, found.errors))
    }

    /// Takes a line of output, and logs it within limits.
    fn take(
        &self,
        run: &ScriptRun,
        found: &mut ProgramOutput,
        stream: OutputStream,
        line: &[u8],
    ) -> Result<()> {
        let (all, level) = match stream {
            OutputStream::Output => (&mut found.output, MessageLevel::Debug),
            OutputStream::Errors => (&mut found.errors, MessageLevel::Info),
        };
        if all.len() + line.len() > PROGRAM_OUTPUT_BYTES_MAX {
            let mib = PROGRAM_OUTPUT_BYTES_MAX / (1024 * 1024);
            let message = format!("its output has more than {mib} MiB: let it write to a file");
            return Err(self.fault(ErrorKind::Guard, message));
        }
        all.extend_from_slice(line);
        let line = line.trim_ascii_end();
        if found.logged > PROGRAM_LOG_BYTES_MAX || line.is_empty() {
            return Ok(());
        }
        found.logged += line.len();
        let text = if found.logged > PROGRAM_LOG_BYTES_MAX {
            "… (more output is not logged)".to_owned()
        } else {
            visible(line)
        };
        run.say(level, format!("{}: {text}", visible(self.name())));
        Ok(())
    }
}

/// Returns the variables to set or to remove.
fn variables(given: &CallOptions<'_>) -> Result<Vec<(String, Option<String>)>> {
    let Some(found) = given.get("env") else { return Ok(Vec::new()) };
    let map = found.read_lock::<Map>().ok_or_else(|| {
        Error::invalid(format!(
            "`env` wants a map such as #{{ LANG: \"C\" }}, got {}",
            shown(found)
        ))
    })?;
    let mut all = Vec::new();
    for (name, value) in map.iter() {
        let name = name.as_str();
        if name.is_empty() || name.contains(['=', '\0']) {
            let shown = visible(name);
            return Err(Error::invalid(format!("`{shown}` is no name of an environment variable")));
        }
        if value.read_lock::<Secret>().is_some() {
            let message = format!(
                "the secret for `{name}` would be seen by every program that it starts: give it as `input`"
            );
            return Err(Error::invalid(message));
        }
        let text = (!value.is_unit()).then(|| show::text(value));
        if text.as_ref().is_some_and(|text| text.contains('\0')) {
            return Err(Error::invalid(format!("the value of `{name}` has a zero byte")));
        }
        all.push((name.to_owned(), text));
    }
    Ok(all)
}

/// Returns the input as an anonymous file: a program need not read it, and a pipe would block.
fn memory(input: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(memfd_create("input", MemfdFlags::CLOEXEC)?);
    file.write_all(input)?;
    file.rewind()?;
    Ok(file)
}

fn result(code: i64, output: Vec<u8>, errors: Vec<u8>) -> Map {
    let text = |bytes: Vec<u8>| match String::from_utf8(bytes) {
        Ok(text) => Dynamic::from(text),
        Err(error) => Dynamic::from_blob(Blob::from(error.into_bytes())),
    };
    Map::from([
        ("code".into(), code.into()),
        ("stdout".into(), text(output)),
        ("stderr".into(), text(errors)),
    ])
}
