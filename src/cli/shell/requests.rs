//! The requests of the prompt to the program around it: commands of this machine, pagers, editors, other sessions, saved
//! sites, the history, and transfers in the background.

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    path::Path,
    process::Command,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    jobs::{BackgroundJobs, JobPlace},
    lost, show,
};
use crate::{
    cli::{common::Common, report},
    error::{Error, ErrorKind, Origin, Result},
    exit_code::Exit,
    ftp::{site::TlsMode, url::Url},
    limits::PROMPT_LINES_KEPT_MAX,
    observe::visible::visible,
    script::{
        prompt::{Prompt, PromptRequest, literal},
        sites::{
            SiteBook,
            edit::{self, NewSite},
        },
    },
};

/// The characters of a path that stand for themselves in a URL.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The state of the program around a prompt.
pub(super) struct PromptHost<'c> {
    pub(super) common: &'c Common,
    pub(super) place: JobPlace,
    pub(super) jobs: BackgroundJobs,
    /// The lines so far.
    pub(super) lines: Vec<String>,
    pub(super) is_watched: bool,
}

impl PromptHost<'_> {
    /// Remembers a line for `history`.
    pub(super) fn remember(&mut self, line: &str) {
        if !line.trim().is_empty() {
            if self.lines.len() >= PROMPT_LINES_KEPT_MAX {
                self.lines.remove(0);
            }
            self.lines.push(line.to_owned());
        }
    }

    /// Does what a line has asked for. Returns the exit code of a failure, which has been printed.
    pub(super) fn perform(
        &mut self,
        request: PromptRequest,
        prompt: &mut Prompt,
    ) -> Result<(), Exit> {
        let done = match request {
            PromptRequest::Run(command) => run(&command),
            PromptRequest::Page(remote) => return page(prompt, &remote),
            PromptRequest::Edit(remote) => return edit_file(prompt, &remote),
            PromptRequest::Open(text) => self.open(&text, prompt),
            PromptRequest::Bookmark(Some(name)) => self.bookmark(&name, prompt),
            PromptRequest::Bookmark(None) => bookmarks(),
            PromptRequest::History(count) => {
                self.history(count);
                Ok(())
            }
            PromptRequest::Background(line) => {
                let place = JobPlace { folder: prompt.folder(), ..self.place.clone() };
                self.jobs.begin(line, place)
            }
            PromptRequest::Jobs => {
                self.jobs.list();
                Ok(())
            }
            PromptRequest::Wait(number) => self.jobs.wait(number, &self.place.context.stop),
            PromptRequest::Kill(number) => self.jobs.kill(number),
        };
        done.map_err(|fault| report::fault(&fault))
    }

    fn history(&self, count: Option<usize>) {
        let skipped = count.map_or(0, |count| self.lines.len().saturating_sub(count));
        let lines = self.lines.iter().enumerate().skip(skipped);
        let lines = lines.map(|(at, line)| format!("{:5}  {}\n", at + 1, visible(line)));
        report::output(&lines.collect::<String>());
    }

    /// Opens another session in place of that of `prompt`, which stays if that fails.
    fn open(&mut self, text: &str, prompt: &mut Prompt) -> Result<()> {
        let (url, password) = super::login(text, self.common, self.is_watched)?;
        let settings = crate::script::run::Settings { password, ..self.place.settings.clone() };
        let other = Prompt::open(&url, settings.clone(), &self.place.context, lost)?;
        let before = std::mem::replace(prompt, other);
        if let Err(fault) = before.close() {
            tracing::debug!(target: "portolan", "the session did not end well: {fault}");
        }
        (self.place.url, self.place.settings) = (url, settings);
        Ok(())
    }

    /// Saves the server and the folder of `prompt` as a site. The password is not saved.
    fn bookmark(&self, name: &str, prompt: &Prompt) -> Result<()> {
        let name = name.strip_prefix('@').unwrap_or(name);
        let site = NewSite {
            name: name.to_owned(),
            url: address(&self.place.url, prompt.folder().as_deref()),
            options: self.common.overrides()?.map().clone(),
            ..NewSite::default()
        };
        let changed = edit::add(&edit::usual_file()?, site, false)?;
        let file = visible(changed.file.as_os_str().as_encoded_bytes());
        report::output(&format!("saved `{name}` in {file}, without a password\n"));
        Ok(())
    }
}

/// Returns the URL of a `folder` on the server of `url`, without a password.
fn address(url: &Url, folder: Option<&str>) -> String {
    let site = &url.site;
    let (scheme, usual) = match site.tls {
        TlsMode::Off => ("ftp", 21),
        TlsMode::Explicit => ("ftpes", 21),
        TlsMode::Implicit => ("ftps", 990),
    };
    let user = match site.user.as_str() {
        "anonymous" => String::new(),
        user => format!("{}@", utf8_percent_encode(user, PLAIN)),
    };
    let host = if site.host.contains(':') { format!("[{}]", site.host) } else { site.host.clone() };
    let port = if site.port == usual { String::new() } else { format!(":{}", site.port) };
    let path = folder
        .map(|folder| format!("/{}/", utf8_percent_encode(folder.trim_end_matches('/'), PLAIN)));
    format!("{scheme}://{user}{host}{port}{}", path.unwrap_or_default())
}

fn bookmarks() -> Result<()> {
    let book = SiteBook::read()?;
    let line = |(name, _): (&str, &Path)| match book.find(name) {
        Ok(site) => format!("@{}  {}\n", visible(name), visible(site.public_url())),
        Err(fault) => format!("@{}  {}\n", visible(name), visible(&fault.message)),
    };
    report::output(&book.names().into_iter().map(line).collect::<String>());
    Ok(())
}

/// Runs a command of this machine by the shell.
fn run(command: &str) -> Result<()> {
    ended(Command::new("sh").arg("-c").arg(command).status(), command)
}

fn ended(status: io::Result<std::process::ExitStatus>, command: &str) -> Result<()> {
    let status = status.map_err(|error| Error::local("start", command, error))?;
    if status.success() {
        return Ok(());
    }
    let message = format!("`{}` failed ({status})", visible(command));
    Err(Error::new(ErrorKind::Local, Origin::Here, message))
}

/// Opens `file` in the program that the first of the environment `variables` names, or in the `usual` one.
fn program(variables: &[&str], usual: &str, file: &Path) -> Result<()> {
    let named = variables.iter().filter_map(std::env::var_os).find(|value| !value.is_empty());
    let named = named.unwrap_or_else(|| OsString::from(usual));
    // Such a variable may have arguments.
    let mut line = named.clone();
    line.push(" \"$1\"");
    let status = Command::new("sh").arg("-c").arg(line).arg("sh").arg(file).status();
    ended(status, &named.to_string_lossy())
}

/// Shows the file `remote` page by page; without a terminal, at once.
fn page(prompt: &mut Prompt, remote: &str) -> Result<(), Exit> {
    let printed = |fault: Error| report::fault(&fault);
    #[expect(clippy::disallowed_methods, reason = "it is only asked if it is a terminal")]
    let is_watched = io::stdout().is_terminal();
    if !is_watched {
        let text = format!("site.read({})", literal(remote));
        return prompt.perform(&text).map_err(|trouble| show(&trouble, &text));
    }
    let folder = scratch().map_err(printed)?;
    let file = fetched(prompt, remote, folder.path(), "file")?;
    program(&["PAGER"], "less", &file).map_err(printed)
}

fn scratch() -> Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix("portolan-").tempdir();
    folder.map_err(|error| Error::local("make a temporary folder", std::env::temp_dir(), error))
}

/// Fetches the file `remote` into `folder` as `name`.
fn fetched(
    prompt: &mut Prompt,
    remote: &str,
    folder: &Path,
    name: &str,
) -> Result<std::path::PathBuf, Exit> {
    let file = folder.join(name);
    let text = format!("site.get({}, {}); ()", literal(remote), literal(&file.to_string_lossy()));
    prompt.perform(&text).map_err(|trouble| show(&trouble, &text))?;
    Ok(file)
}

/// Opens the file `remote` in an editor, and sends it back if it was changed, unless the server's was changed meanwhile.
fn edit_file(prompt: &mut Prompt, remote: &str) -> Result<(), Exit> {
    let printed = |fault: Error| report::fault(&fault);
    let folder = scratch().map_err(printed)?;
    let base = remote.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("file");
    let base = if matches!(base, "." | "..") { "file" } else { base };
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| report::fault(&Error::local("read", path, error)))
    };
    let file = fetched(prompt, remote, folder.path(), base)?;
    let before = read(&file)?;
    program(&["VISUAL", "EDITOR"], "vi", &file).map_err(printed)?;
    let after = read(&file)?;
    if after == before {
        report::print("nothing was changed, so nothing was sent\n");
        return Ok(());
    }
    let second = scratch().map_err(printed)?;
    let again = fetched(prompt, remote, second.path(), "again").and_then(|file| read(&file));
    let is_same = again.as_ref().is_ok_and(|again| *again == before);
    let text = format!("site.put({}, {}); ()", literal(&file.to_string_lossy()), literal(remote));
    let sent = if is_same {
        prompt.perform(&text).map_err(|trouble| show(&trouble, &text))
    } else if again.is_ok() {
        let message = "it was changed on the server meanwhile, and not sent";
        Err(report::fault(&Error::new(ErrorKind::Guard, Origin::Here, message).at(remote)))
    } else {
        again.map(drop)
    };
    if sent.is_err() {
        let kept = folder.keep().join(base);
        report::print(&format!(
            "your version is kept as {}\n",
            visible(kept.as_os_str().as_encoded_bytes())
        ));
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_folder_comes_back_and_has_no_password() {
        for (url, folder, wanted) in [
            ("ftp://h/a", Some("/pub/two words"), "ftp://h//pub/two%20words/"),
            ("ftpes://me:word@h:2121", Some("/"), "ftpes://me@h:2121//"),
            ("ftps://m%40e@[::1]/", None, "ftps://m%40e@[::1]"),
        ] {
            let shown = address(&Url::parse(url).unwrap(), folder);
            assert_eq!(shown, wanted);
            let again = Url::parse(&shown).unwrap();
            assert_eq!(
                again
                    .path
                    .map(|path| path.to_string())
                    .as_deref()
                    .map(|path| path.trim_end_matches('/')),
                folder.map(|path| path.trim_end_matches('/')),
                "{shown}"
            );
        }
    }
}
