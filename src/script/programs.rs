//! Programs that scripts start: by their arguments, without a shell, within limits, and ended with the run.

use std::{
    fs::File,
    io::{Read, Seek, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::{Duration, Instant},
};

use rhai::{Array, Blob, Dynamic, Map};
use rustix::{
    fs::{MemfdFlags, memfd_create},
    process::{Pid, Signal, kill_process_group},
};

use super::{
    run::ScriptRun,
    secrets::OWN_VARIABLES,
    show,
    value::{self, CallOptions, shown},
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    limits::{PROGRAM_LOG_BYTES_MAX, PROGRAM_OUTPUT_BYTES_MAX, PROGRAM_TIME_MAX},
    observe::{MessageLevel, format_duration, visible::visible},
    option_table::{OptionKind, OptionRow, OptionTable},
    secret::Secret,
};

/// The interval at which the stop signal is looked at while a program is silent.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// The time that a program has to end by itself after SIGTERM.
const END_TIME_MAX: Duration = Duration::from_secs(2);
/// The time in which output may still come after a program has ended: what it started may hold its pipes.
const REST_TIME_MAX: Duration = Duration::from_millis(500);

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

/// The two outputs of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutputStream {
    Output,
    Errors,
}

/// A piece of output, or its end.
type OutputPiece = (OutputStream, Option<Vec<u8>>);

/// The output of a program so far.
#[derive(Debug, Default)]
struct ProgramOutput {
    output: Vec<u8>,
    errors: Vec<u8>,
    /// The bytes that were logged.
    logged: usize,
    /// The ends of both streams that were seen.
    ends: usize,
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
        let child = self.started(run, program, cwd)?;
        let mut group = ProgramGroup { child, is_over: false };
        let (sender, pieces) = channel();
        if let Some(output) = group.child.stdout.take() {
            forward(output, OutputStream::Output, sender.clone())?;
        }
        if let Some(errors) = group.child.stderr.take() {
            forward(errors, OutputStream::Errors, sender.clone())?;
        }
        drop(sender);
        let mut found = ProgramOutput::default();
        let status = self.watch(run, &mut group, &pieces, &mut found)?;
        // What it has started and left ends with it.
        group.kill();
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ok(result(code.into(), found.output, found.errors))
    }

    /// Collects output until the program has ended, or has to.
    fn watch(
        &self,
        run: &ScriptRun,
        group: &mut ProgramGroup,
        pieces: &Receiver<OutputPiece>,
        found: &mut ProgramOutput,
    ) -> Result<ExitStatus> {
        let end = Instant::now() + self.options.timeout;
        let mut ended: Option<(ExitStatus, Instant)> = None;
        loop {
            match pieces.recv_timeout(LOOK_INTERVAL) {
                Ok((stream, Some(bytes))) => self.take(run, found, stream, &bytes)?,
                Ok((_, None)) => found.ends += 1,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if ended.is_none() => {
                    // It has closed its outputs and goes on.
                    run.wait(async {
                        run.context
                            .stop
                            .run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL))
                            .await
                    })?;
                }
                Err(RecvTimeoutError::Disconnected) => found.ends = 2,
            }
            run.context.stop.check()?;
            if ended.is_none() {
                let status = group.child.try_wait();
                let status = status.map_err(|error| Error::local("run", self.name(), error))?;
                ended = status.map(|status| (status, Instant::now()));
            }
            match ended {
                Some((status, since)) if found.ends >= 2 || since.elapsed() > REST_TIME_MAX => {
                    return Ok(status);
                }
                None if Instant::now() >= end => {
                    let time = format_duration(self.options.timeout);
                    let message = format!("it took more than {time} (`timeout`), and was ended");
                    return Err(self.fault(ErrorKind::Timeout, message));
                }
                _ => {}
            }
        }
    }

    /// Takes a piece of output, and logs it within limits.
    fn take(
        &self,
        run: &ScriptRun,
        found: &mut ProgramOutput,
        stream: OutputStream,
        bytes: &[u8],
    ) -> Result<()> {
        let all = match stream {
            OutputStream::Output => &mut found.output,
            OutputStream::Errors => &mut found.errors,
        };
        if all.len() + bytes.len() > PROGRAM_OUTPUT_BYTES_MAX {
            let mib = PROGRAM_OUTPUT_BYTES_MAX / (1024 * 1024);
            let message = format!("its output has more than {mib} MiB: let it write to a file");
            return Err(self.fault(ErrorKind::Guard, message));
        }
        let begin = all.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        all.extend_from_slice(bytes);
        // Whole lines only: the last one may go on.
        let end = all.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        let lines = all.get(begin..end).unwrap_or_default();
        for line in lines.split(|byte| *byte == b'\n') {
            if found.logged > PROGRAM_LOG_BYTES_MAX || line.is_empty() {
                continue;
            }
            found.logged += line.len();
            let text = if found.logged > PROGRAM_LOG_BYTES_MAX {
                "… (more output is not logged)".to_owned()
            } else {
                visible(line)
            };
            let level = match stream {
                OutputStream::Output => MessageLevel::Debug,
                OutputStream::Errors => MessageLevel::Info,
            };
            run.say(level, format!("{}: {text}", visible(self.name())));
        }
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

/// Reads one output on a thread of its own, which ends with the pipe.
fn forward(
    mut source: impl Read + Send + 'static,
    stream: OutputStream,
    sender: Sender<OutputPiece>,
) -> Result<()> {
    let read = move || {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(count) = source.read(&mut piece) {
            let bytes = piece.get(..count).unwrap_or_default().to_vec();
            if bytes.is_empty() || sender.send((stream, Some(bytes))).is_err() {
                break;
            }
        }
        sender.send((stream, None)).ok();
    };
    let thread = std::thread::Builder::new().name("output".into()).spawn(read);
    thread.map(drop).map_err(|error| {
        let message = format!("cannot start a thread for the output of a program: {error}");
        Error::new(ErrorKind::Local, Origin::Here, message)
    })
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

/// A program with all that it has started, which ends at the latest when this is dropped.
struct ProgramGroup {
    child: Child,
    is_over: bool,
}

impl ProgramGroup {
    fn signal(&self, signal: Signal) {
        // The group may be gone already.
        kill_process_group(Pid::from_child(&self.child), signal).ok();
    }

    fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.is_over = true;
    }
}

impl Drop for ProgramGroup {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.signal(Signal::TERM);
        let end = Instant::now() + END_TIME_MAX;
        while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            let (_keep, nobody) = channel::<()>();
            nobody.recv_timeout(LOOK_INTERVAL).ok();
        }
        self.signal(Signal::KILL);
        self.child.wait().ok();
    }
}
