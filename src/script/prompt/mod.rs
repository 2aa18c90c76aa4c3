//! An interactive prompt on a session: lines of script one after the other, and shortcuts for common commands.

mod complete;
mod listings;
mod options;
mod shortcuts;
mod shown;
mod transfers;
mod words;

use std::{panic::AssertUnwindSafe, path::Path, sync::Arc, time::Instant};

use rhai::{AST, Dynamic, Engine, EvalAltResult, LexError, Map, ParseErrorType, Scope};

use self::shortcuts::ShortcutStep;
pub use self::{
    complete::{Candidate, Completer},
    words::literal,
};
use super::{
    attend::watched,
    check::{self, ScriptFinding, Severity},
    docs, engine,
    raise::ScriptFailure,
    remote::Remote,
    run::{ScriptRun, Settings, crashed},
    site::site_of,
    source::ScriptSource,
    value::NameText,
};
use crate::{
    error::{Error, Result},
    ftp::{session::RunContext, session::Session, url::Url},
    observe::{Event, visible::visible},
    remote::nearest::with_nearest_name,
};

/// The name of the input in errors.
const INPUT: &str = "input";

/// The outcome of a line.
#[derive(Debug, PartialEq, Eq)]
pub enum PromptResult {
    /// The line is done; there may be more.
    Done,
    /// The line ends the prompt.
    End,
    /// The line asks for something that the program around the prompt has to do.
    Ask(PromptRequest),
}

/// A request to the program around the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromptRequest {
    /// To run a command of this machine.
    Run(String),
    /// To show a file of the server page by page.
    Page(String),
    /// To open a file of the server in an editor.
    Edit(String),
    /// To open another session.
    Open(String),
    /// To save the server and the folder under a name, or to list what is saved.
    Bookmark(Option<String>),
    /// To show the last lines.
    History(Option<usize>),
    /// To run a line in the background.
    Background(String),
    /// To list what runs in the background.
    Jobs,
    /// To wait for it, or for one of it.
    Wait(Option<usize>),
    /// To stop one of it.
    Kill(usize),
}

/// The reason why a line failed.
#[derive(Debug)]
pub enum Trouble {
    /// An error while it ran, or a syntax error.
    Failed(Box<ScriptFailure>),
    /// Findings of the check, such as unknown functions; the line did not run.
    Wrong(Vec<ScriptFinding>),
    /// A command that does not exist.
    Unknown {
        /// The word that was typed.
        word: String,
        /// The nearest command.
        near: Option<&'static str>,
    },
}

impl From<Error> for Trouble {
    fn from(fault: Error) -> Self {
        Self::Failed(Box::new(fault.into()))
    }
}

/// A session and the state that the lines so far have created.
pub struct Prompt {
    /// The run of the last line.
    run: Arc<ScriptRun>,
    scope: Scope<'static>,
    /// The functions defined by earlier lines.
    functions: AST,
    /// The folder in which the session began.
    start: String,
    is_partial: bool,
    /// True if the local folder must not change: transfers in the background have names of it.
    holds_folder: bool,
    lost: fn(&Error),
}

impl Prompt {
    /// Connects to `url`. All other methods must be called on the same thread. `lost` ends the process when a line
    /// exceeds a limit and does not come to its end.
    pub fn open(
        url: &Url,
        settings: Settings,
        context: &RunContext,
        lost: fn(&Error),
    ) -> Result<Self> {
        let run = ScriptRun::new(settings, context)?;
        let site = run.aim(site_of(url, &run.settings.overrides)?, &Map::new())?;
        let session = run.wait(Session::open(site, run.context.clone()))?;
        let remote = Remote::new(session);
        let start = folder(&remote).unwrap_or_default();
        let mut scope = engine::scope(&run.settings);
        scope.push("site", remote);
        let run = Arc::new(run);
        Ok(Self {
            run,
            scope,
            functions: AST::empty(),
            start,
            is_partial: false,
            holds_folder: false,
            lost,
        })
    }

    /// Returns the location of the session, such as `ftp.example.org:/pub`.
    pub fn title(&self) -> String {
        match self.site().map(|site| (visible(site.host()), folder(&site))) {
            Some((host, Some(folder))) => format!("{host}:{}", visible(folder)),
            _ => "(closed)".into(),
        }
    }

    /// Returns true if a mirror left files undone in any line so far.
    pub const fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// Returns the folder of the session on the server, if it is open.
    pub fn folder(&self) -> Option<String> {
        self.site().as_ref().and_then(folder)
    }

    /// Sets whether the local folder must stay the same.
    pub const fn hold_folder(&mut self, is_held: bool) {
        self.holds_folder = is_held;
    }

    /// Executes `line`, and reports its outcome to the observer.
    pub fn answer(&mut self, line: &str) -> Result<PromptResult, Trouble> {
        self.execute(|prompt| prompt.take(line))
    }

    /// Executes a piece of script that the user did not type.
    pub fn perform(&mut self, text: &str) -> Result<(), Trouble> {
        self.execute(|prompt| prompt.generated(text).map(|()| PromptResult::Done)).map(drop)
    }

    fn execute(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<PromptResult, Trouble>,
    ) -> Result<PromptResult, Trouble> {
        self.run.context.stop.reset();
        self.run = Arc::new(self.run.next());
        let (observer, started) = (self.run.context.observer.clone(), Instant::now());
        observer.emit(&Event::RunStarted { script: INPUT.into() });
        let run = Arc::clone(&self.run);
        let result = watched(&run, self.lost, || self.caught(work));
        self.is_partial |= self.run.is_partial();
        let fault = match &result {
            Err(Trouble::Failed(failure)) => Some(failure.fault.clone()),
            _ => None,
        };
        observer.emit(&Event::RunDone { fault, took: started.elapsed() });
        result
    }

    /// Does the `work` of a line; a panic in one of our functions must end this line and nothing else.
    fn caught(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<PromptResult, Trouble>,
    ) -> Result<PromptResult, Trouble> {
        let work = AssertUnwindSafe(|| work(self));
        std::panic::catch_unwind(work).unwrap_or_else(|_| Err(Trouble::Failed(crashed())))
    }

    fn take(&mut self, line: &str) -> Result<PromptResult, Trouble> {
        if line.trim().is_empty() {
            return Ok(PromptResult::Done);
        }
        if let Some(command) = shortcuts::local_command(line).filter(|command| !command.is_empty())
        {
            return Ok(PromptResult::Ask(PromptRequest::Run(command.to_owned())));
        }
        if let Some(line) = shortcuts::in_background(line)? {
            return Ok(PromptResult::Ask(PromptRequest::Background(line.to_owned())));
        }
        let Some(shortcut) = shortcuts::of(line) else {
            let value = self.script(line)?;
            self.show(&value);
            return Ok(PromptResult::Done);
        };
        match shortcut.read(line)? {
            ShortcutStep::Script(text) => self.generated(&text)?,
            ShortcutStep::List(text, form) => {
                let value = self.generated_value(&text)?;
                if let Some(text) = shown::listed(&value, form) {
                    self.say(text);
                }
            }
            ShortcutStep::Ask(request) => return Ok(PromptResult::Ask(request)),
            ShortcutStep::Here(_) if self.holds_folder => {
                let message = "the local names of what runs in the background are of this folder: `wait` for it first";
                return Err(Error::invalid(message).into());
            }
            ShortcutStep::Start => {
                if let Some(site) = self.site() {
                    let start = site.names().path(&self.start)?;
                    site.within(&self.run, async |session, _| session.cd(&start).await)?;
                }
            }
            ShortcutStep::Here(folder) => {
                let folder = folder.or_else(|| std::env::var("HOME").ok());
                let folder = folder.unwrap_or_else(|| "/".into());
                std::env::set_current_dir(&folder)
                    .map_err(|error| Error::local("go there", &folder, error))?;
            }
            ShortcutStep::WhereHere => {
                let here = std::env::current_dir();
                let here = here.map_err(|error| Error::local("tell the folder", ".", error))?;
                self.say(here.to_string_lossy().into_owned());
            }
            ShortcutStep::Help(None) => self.say(shortcuts::help()),
            ShortcutStep::Help(Some(name)) => self.say(explained(&name)?),
            ShortcutStep::End => return Ok(PromptResult::End),
        }
        Ok(PromptResult::Done)
    }

    /// Executes a piece of script that was made of what the user typed.
    fn generated(&mut self, text: &str) -> Result<(), Trouble> {
        let value = self.generated_value(text)?;
        self.show(&value);
        Ok(())
    }

    fn generated_value(&mut self, text: &str) -> Result<Dynamic, Trouble> {
        self.evaluate(&source(text)).map_err(|mut failure| {
            failure.place = None;
            failure.calls.clear();
            let fault = failure.fault.clone();
            let site = self.site().filter(|_| self.run.context.is_watched);
            let explained = site.map(|site| {
                site.within(&self.run, async |session, _| {
                    let encoding = session.site().encoding;
                    Ok(with_nearest_name(session, fault, encoding).await)
                })
            });
            if let Some(Ok(fault)) = explained {
                failure.fault = fault;
            }
            Trouble::Failed(failure)
        })
    }

    /// Returns the value of a piece of script, which is checked first, like a script before its run.
    fn script(&mut self, line: &str) -> Result<Dynamic, Trouble> {
        let source = source(line);
        let mut errors = self.check(line);
        if !errors.is_empty() {
            if let Some(word) = unknown_command(line)
                && !self.variables().iter().any(|name| name == word)
            {
                let near = shortcuts::near(word);
                return Err(Trouble::Unknown { word: visible(word), near });
            }
            add_shortcut(&mut errors, line);
            return Err(Trouble::Wrong(errors));
        }
        self.evaluate(&source).map_err(Trouble::Failed)
    }

    fn evaluate(&mut self, source: &ScriptSource) -> Result<Dynamic, Box<ScriptFailure>> {
        let engine = engine::for_run(&self.run, source);
        let read = |error: EvalAltResult| Box::new(ScriptFailure::read(error, INPUT));
        let compiled = engine.compile_with_scope(&self.scope, source.text());
        let ast = compiled.map_err(|error| read(EvalAltResult::from(error)))?;
        let mut whole = self.functions.merge(&ast);
        whole.set_source(INPUT);
        self.functions = whole.clone_functions_only();
        let value = engine.eval_ast_with_scope(&mut self.scope, &whole);
        value.map_err(|error| read(*error))
    }

    /// Checks `line` with the known variables and functions declared on the lines before it.
    fn check(&self, line: &str) -> Vec<ScriptFinding> {
        let mut known: Vec<String> = Vec::new();
        for (name, is_constant, value) in self.scope.iter().filter(|(name, ..)| *name != "args") {
            let word = if is_constant { "const" } else { "let" };
            let value =
                if value.is::<Remote>() { "ftp::connect(\"ftp://h\")" } else { "env(\"\")" };
            known.push(format!("{word} {name} = {value};"));
        }
        // Closures of earlier lines have names that no line can use.
        let functions = self.functions.iter_functions();
        for function in functions.filter(|function| !function.name.contains('$')) {
            known.push(format!("fn {}({}) {{}}", function.name, function.params.join(", ")));
        }
        let text = format!("{}\n{line}", known.join("\n"));
        let before = known.len().max(1);
        let mut errors = check::check(&source(&text));
        errors.retain(|finding| finding.level == Severity::Error && finding.place.line > before);
        for finding in &mut errors {
            finding.place.line -= before;
        }
        errors
    }

    /// Creates the reader that detects unfinished lines.
    pub fn reader(&self) -> LineValidator {
        LineValidator { engine: engine::bare(), scope: self.scope.clone() }
    }

    /// Creates the completer of lines on this session.
    pub fn completer(&self) -> Option<Completer> {
        Some(Completer::new(self.site()?, Arc::clone(&self.run), self.variables()))
    }

    fn variables(&self) -> Vec<String> {
        self.scope.iter().map(|(name, ..)| name.to_owned()).collect()
    }

    fn site(&self) -> Option<Remote> {
        self.scope.get_value("site")
    }

    fn show(&self, value: &Dynamic) {
        if let Some(text) = shown::shown(value) {
            self.say(text);
        }
    }

    fn say(&self, text: String) {
        self.run.context.observer.emit(&Event::Printed { text });
    }

    /// Ends the session.
    pub fn close(self) -> Result<()> {
        self.run.context.stop.reset();
        self.site().map_or(Ok(()), |site| site.close_within(&self.run))
    }
}

fn source(text: &str) -> ScriptSource {
    ScriptSource::from_text(text, INPUT, Path::new("."))
}

fn folder(site: &Remote) -> Option<String> {
    let names: NameText = site.names();
    site.look(|session| names.text(session.folder().as_bytes()))
}

/// Returns the text that `help NAME` shows.
fn explained(name: &str) -> Result<String> {
    let all = docs::functions();
    let found = docs::find(&all, name);
    let command = shortcuts::explained(name);
    if let (Some(command), true) = (&command, found.is_empty()) {
        return Ok(command.clone());
    }
    if found.is_empty() {
        let near = docs::near(&all, name).map(|near| format!("; did you mean `{near}`?"));
        let message = format!("there is no function `{name}`{}", near.unwrap_or_default());
        return Err(Error::invalid(message));
    }
    let texts = found.iter().flat_map(|entry| &entry.overloads).map(|overload| {
        let text = overload.text.replace('\n', "\n  ");
        format!("{}\n  {text}\n", overload.signature)
    });
    let texts: Vec<_> = command.map(|command| command + "\n").into_iter().chain(texts).collect();
    Ok(texts.join("\n").trim_end().to_owned())
}

/// Adds the hint that an unknown function may be meant as a shortcut.
fn add_shortcut(errors: &mut [ScriptFinding], line: &str) {
    let word = line.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let rest = line.trim_start().strip_prefix(word).unwrap_or_default();
    let is_word_alone = rest.trim().is_empty() || rest.starts_with(' ');
    if let (Some(first), Some(near), true) =
        (errors.first_mut(), shortcuts::near(word), is_word_alone)
    {
        first.hint = Some(format!("did you mean `{near}`? `help` lists what can be typed"));
    }
}

/// Returns the first word of a line that is written like a command: a word alone, or with words after it.
fn unknown_command(line: &str) -> Option<&str> {
    const WORDS: [&str; 20] = [
        "let", "const", "if", "else", "while", "loop", "do", "until", "for", "in", "fn", "return",
        "throw", "try", "catch", "switch", "import", "export", "true", "false",
    ];
    let line = line.trim();
    let word = line.split(char::is_whitespace).next()?;
    let rest = line.get(word.len()..)?.trim_start();
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let is_word = word.starts_with(char::is_alphabetic) && word.chars().all(is_name);
    // `a + b`, `f (x)` and `x = 1` are script.
    let is_operand = |c: char| c.is_alphanumeric() || "-~/.'\"*_@".contains(c);
    let is_sum = rest.starts_with("- ") || rest.starts_with("* ") || rest.starts_with("/ ");
    let is_command = rest.is_empty() || (rest.starts_with(is_operand) && !is_sum);
    (is_word && is_command && !WORDS.contains(&word) && !line.contains(['\n', ';'])).then_some(word)
}

/// The detection of lines that continue on the next one.
pub struct LineValidator {
    engine: Engine,
    scope: Scope<'static>,
}

impl LineValidator {
    /// Returns true if `text` is incomplete: a block without its end, a call without its arguments. An empty line
    /// always ends it.
    pub fn is_unfinished(&self, text: &str) -> bool {
        let is_ended = text.rsplit_once('\n').is_some_and(|(_, last)| last.trim().is_empty());
        let is_command = shortcuts::of(text).is_some() || shortcuts::local_command(text).is_some();
        !is_ended && !is_command && is_unfinished(&self.engine, &self.scope, text)
    }
}

/// Returns true if parsing `text` fails only because it ends too early.
fn is_unfinished(engine: &Engine, scope: &Scope<'_>, text: &str) -> bool {
    let Err(error) = engine.compile_with_scope(scope, text) else { return false };
    let is_open_text =
        matches!(error.err_type(), ParseErrorType::BadInput(LexError::UnterminatedString));
    if is_open_text {
        return text.matches('`').count() % 2 == 1;
    }
    let lines = text.lines().count().max(1);
    let last = text.lines().last().unwrap_or_default().trim_end().chars().count();
    let (line, column) = (error.1.line(), error.1.position());
    // At the end of the input the engine gives the position after the last character, or none.
    line.is_none_or(|line| line >= lines && column.is_none_or(|column| column > last))
}

#[cfg(test)]
mod tests;
