//! Saved sites: the file `sites.toml`, in which servers have names.
//!
//! `@acme/in/` is the directory `in/` below the URL of the site `acme`, with the options of the site. A file beside the
//! jobs file counts before that of the user's configuration directory.

pub mod edit;
pub mod import;
pub mod password_command;

use std::{
    env,
    io::Read,
    path::{Path, PathBuf},
};

use rhai::{Dynamic, Map};

use super::{
    secrets,
    site::Overrides,
    value::{CallOptions, unknown_option},
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    files::owned,
    ftp::{
        site::{OPTIONS, PasswordSource, Site},
        url::Url,
    },
    observe::visible::visible,
    option_table::OptionKind,
    similar::nearest,
};

/// The name of the file.
pub const SITES_FILE: &str = "sites.toml";

/// The maximum size of the file in bytes: some thousand sites.
const SITES_BYTES_MAX: u64 = 1024 * 1024;

/// The maximum length of the name of a site in bytes, as that of a job.
const SITE_NAME_BYTES_MAX: usize = 64;

/// The keys of a site that are no options of a connection.
const OWN_KEYS: [&str; 2] = ["url", "password_command"];

/// The beginning of a value that names a secret.
const SECRET_PREFIX: &str = "secret:";

/// The user's configuration directory of portolan, if there is one.
pub fn config_folder() -> Option<PathBuf> {
    let named = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = named.or_else(|| env::home_dir().map(|home| home.join(".config")));
    folder.map(|folder| folder.join("portolan"))
}

/// Returns the files that are read, the one that counts first at the beginning: the one that `PORTOLAN_SITES` names, or
/// that of the current directory, in which the jobs file is, and that of the user.
pub fn places() -> Vec<PathBuf> {
    if let Some(named) = env::var_os("PORTOLAN_SITES").filter(|named| !named.is_empty()) {
        return vec![named.into()];
    }
    let user = config_folder().map(|folder| folder.join(SITES_FILE));
    std::iter::once(PathBuf::from(SITES_FILE)).chain(user).collect()
}

/// Returns true if `text` names a server: by a URL, or by a saved site.
pub fn is_url(text: &str) -> bool {
    text.starts_with('@') || Url::is_one(text)
}

/// Returns the URL that `text` means: itself, or that of a saved site with the options of the site. The password of a
/// site is asked for later. Fails with `invalid`.
pub fn parse_url(text: &str) -> Result<Url> {
    match text.strip_prefix('@') {
        None => Url::parse(text),
        Some(rest) => {
            let (name, path) =
                rest.split_once('/').map_or((rest, None), |(name, path)| (name, Some(path)));
            SiteBook::read()?.find(name)?.url_of(path)
        }
    }
}

/// The sites of all files.
#[derive(Debug, Default)]
pub struct SiteBook {
    files: Vec<(PathBuf, toml::Table)>,
}

impl SiteBook {
    /// Reads the files of [`places`]; one that does not exist is left out.
    pub fn read() -> Result<Self> {
        Self::of(&places())
    }

    /// Reads the files at `paths`.
    pub fn of(paths: &[PathBuf]) -> Result<Self> {
        let mut files = Vec::new();
        for path in paths {
            if let Some(text) = text_of(path)? {
                files.push((path.clone(), sites_in(path, &text)?));
            }
        }
        Ok(Self { files })
    }

    /// Returns the names of all sites, in alphabetical order, each with its file.
    pub fn names(&self) -> Vec<(&str, &Path)> {
        let mut found: Vec<(&str, &Path)> = Vec::new();
        for (path, sites) in &self.files {
            for name in sites.keys() {
                if !found.iter().any(|(known, _)| known == name) {
                    found.push((name, path));
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// Returns a site. Fails with `invalid` for one that is not there, and suggests the most similar name.
    pub fn find(&self, name: &str) -> Result<SavedSite> {
        let found = self.files.iter().find_map(|(path, sites)| Some((path, sites.get(name)?)));
        match found {
            Some((path, site)) => SavedSite::read(name, path, site),
            None => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let names: Vec<_> = self.names().into_iter().map(|(name, _)| name).collect();
        let hint = match nearest(name, &names) {
            Some(near) => format!("; did you mean `@{near}`?"),
            None if names.is_empty() => {
                let places: Vec<_> = places().iter().map(|path| shown(path)).collect();
                format!(
                    ": there is no {}; `portolan site add NAME URL` saves one",
                    places.join(" and no ")
                )
            }
            None => format!("; there are {}", names.join(", ")),
        };
        Error::invalid(format!("there is no saved site `{}`{hint}", visible(name)))
    }
}

/// Returns a path as an error shows it.
fn shown(path: &Path) -> String {
    visible(path.as_os_str().as_encoded_bytes())
}

/// Returns the text of a file, or `None` if there is no such file.
pub(super) fn text_of(path: &Path) -> Result<Option<String>> {
    let cannot = |error| Error::local("read the saved sites", path, error);
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(error)),
    };
    let mut text = String::new();
    file.take(SITES_BYTES_MAX + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > SITES_BYTES_MAX {
        let message = format!("a file of sites of more than {SITES_BYTES_MAX} bytes is not read");
        return Err(Error::invalid(message).at(shown(path)));
    }
    Ok(Some(text))
}

/// Returns the tables of the sites in a file.
fn sites_in(path: &Path, text: &str) -> Result<toml::Table> {
    let wrong = |message: String| Error::invalid(message).at(shown(path));
    let mut whole: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let message = error.message().lines().next().unwrap_or("not TOML").to_owned();
        wrong(format!("line {line} is not TOML: {}", visible(message)))
    })?;
    let sites = whole.remove("site");
    if let Some(key) = whole.keys().next() {
        let hint = "a site begins with `[site.NAME]`";
        return Err(wrong(format!("there is no key `{}` here; {hint}", visible(key))));
    }
    match sites {
        None => Ok(toml::Table::new()),
        Some(toml::Value::Table(sites)) => Ok(sites),
        Some(_) => Err(wrong("`site` wants tables: a site begins with `[site.NAME]`".into())),
    }
}

/// Fails with `invalid` for a name that a site cannot have.
pub fn check_name(name: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_good = name.len() <= SITE_NAME_BYTES_MAX
        && name.chars().all(is_plain)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if is_good {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "a site cannot be called \"{}\": a name has up to {SITE_NAME_BYTES_MAX} letters, digits, `-`, `_` and `.`, and \
         begins with a letter or digit",
        visible(name)
    )))
}

/// A server with its options, under a name.
#[derive(Debug)]
pub struct SavedSite {
    /// The name.
    pub name: String,
    /// The file that has it.
    pub file: PathBuf,
    /// The URL, as it is written there.
    pub url: String,
    /// The options of a connection, as they are written there.
    pub options: Map,
    /// The program that prints the password.
    pub password_command: Option<Vec<String>>,
}

impl SavedSite {
    /// Reads the table of a site, and checks it as far as no secret is needed.
    fn read(name: &str, file: &Path, value: &toml::Value) -> Result<Self> {
        let read = || -> Result<Self> {
            check_name(name)?;
            let table =
                value.as_table().ok_or_else(|| Error::invalid("a table is wanted: [site.NAME]"))?;
            let known: Vec<_> = OWN_KEYS.into_iter().chain(OPTIONS.keys()).collect();
            if let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) {
                return Err(Error::invalid(unknown_option(&visible(key), "a saved site", &known)));
            }
            let url = table.get("url").and_then(toml::Value::as_str);
            let url = url.ok_or_else(|| {
                Error::invalid("it has no `url`, such as url = \"ftpes://me@ftp.example.org/in\"")
            })?;
            let options = table.iter().filter(|(key, _)| !OWN_KEYS.contains(&key.as_str()));
            let options = options.map(|(key, value)| (key.as_str().into(), dynamic(value)));
            let command = table.get("password_command").map(password_command::read).transpose()?;
            let site = Self {
                name: name.to_owned(),
                file: file.to_owned(),
                url: url.to_owned(),
                options: options.collect(),
                password_command: command,
            };
            site.check()?;
            Ok(site)
        };
        read().map_err(|error| {
            let message = format!("site `{}`: {}", visible(name), error.message);
            Error { message, ..error }.at(shown(file))
        })
    }

    fn check(&self) -> Result<()> {
        if self.url.starts_with('@') {
            return Err(Error::invalid("`url` wants a URL, and not another site"));
        }
        let url = Url::parse(&self.url)?;
        if url.pattern.is_some() {
            return Err(Error::invalid("`url` names a server and a directory, and no pattern"));
        }
        let has_password = self.options.contains_key("password") || url.site.password.is_some();
        if self.password_command.is_some() && has_password {
            return Err(Error::invalid(
                "it has a `password` and a `password_command`: one is enough",
            ));
        }
        let mut site = url.site;
        let plain: Map =
            self.named_secrets().fold(self.options.clone(), |mut options, (key, _)| {
                options.remove(key);
                options
            });
        CallOptions::new(&plain, "a saved site", &OPTIONS.keys())?.fill(&OPTIONS, &mut site)?;
        site.check()
    }

    /// Returns the options whose values are secrets by name, with the names.
    pub fn named_secrets(&self) -> impl Iterator<Item = (&'static str, String)> {
        let hidden = OPTIONS.rows.iter().filter(|row| matches!(row.kind, OptionKind::Secret(..)));
        hidden.filter_map(|row| {
            let text = self.options.get(row.key)?.clone().into_string().ok()?;
            Some((row.key, text.strip_prefix(SECRET_PREFIX)?.to_owned()))
        })
    }

    /// Returns the name of the secret that is its password, if it is one.
    pub fn password_secret(&self) -> Option<String> {
        self.named_secrets().find(|(key, _)| *key == "password").map(|(_, name)| name)
    }

    /// Returns the source of its password for people; `None` if it has no password.
    pub fn password_source(&self) -> Option<String> {
        if self.password_command.is_some() {
            return Some("the password command".into());
        }
        if let Some(name) = self.password_secret() {
            return Some(format!("the secret {name}"));
        }
        let is_written = self.options.contains_key("password")
            || Url::parse(&self.url).is_ok_and(|url| url.site.password.is_some());
        is_written.then(|| format!("written in {}", shown(&self.file)))
    }

    /// Returns the URL that may be shown: without a password.
    pub fn public_url(&self) -> String {
        crate::ftp::url::without_password(&self.url)
    }

    /// Returns the options that may be shown, in the order of the manual; a secret is named or hidden.
    pub fn public_options(&self) -> Vec<(&'static str, String)> {
        let given = OPTIONS.rows.iter().filter_map(|row| {
            let value = self.options.get(row.key)?;
            let text = super::show::text(value);
            let is_hidden = matches!(row.kind, OptionKind::Secret(..));
            let is_named = text.starts_with(SECRET_PREFIX);
            Some((row.key, if is_hidden && !is_named { "***".to_owned() } else { text }))
        });
        given.collect()
    }

    /// Returns the URL of `path` below the site, with the options of the site.
    pub fn url_of(&self, path: Option<&str>) -> Result<Url> {
        let text = match path {
            None => self.url.clone(),
            Some(path) => below(&self.url, path),
        };
        let mut url = Url::parse(&text)?;
        let mut options = self.options.clone();
        let mut password = self.password_command.clone().map(PasswordSource::Command);
        for (key, name) in self.named_secrets() {
            options.remove(key);
            match key {
                "password" => password = Some(PasswordSource::Secret(name)),
                _ => drop(
                    options.insert(key.into(), Dynamic::from(secrets::find(&name, false)?.secret)),
                ),
            }
        }
        if matches!(password, Some(PasswordSource::Command(_))) {
            self.trusted()?;
        }
        CallOptions::new(&options, "a saved site", &OPTIONS.keys())?
            .fill(&OPTIONS, &mut url.site)?;
        url.site.password_from = password;
        Ok(url)
    }

    /// Fails with `local` if others could have written the file: it names a program that is run.
    fn trusted(&self) -> Result<()> {
        let exposed = owned::exposed(&self.file);
        match exposed.map_err(|error| Error::local("look at", &self.file, error))? {
            None => Ok(()),
            Some(exposed) => {
                let why = format!("its `password_command` is not run: {}", exposed.words());
                Err(Error::new(ErrorKind::Local, Origin::Here, why).at(shown(&self.file)))
            }
        }
    }
}

/// Returns the URL of `path` below `base`; an absolute path is one of the server.
fn below(base: &str, path: &str) -> String {
    let start = base.find("://").map_or(0, |at| at + 3);
    let (before, rest) = base.split_at_checked(start).unwrap_or(("", base));
    let (authority, folder) = rest.split_once('/').unwrap_or((rest, ""));
    if path.starts_with('/') {
        return format!("{before}{authority}/{path}");
    }
    // An encoded slash at the beginning of the path of a site makes it absolute.
    let folder = folder.rsplit_once(";type=").map_or(folder, |(folder, _)| folder);
    let slash = if folder.is_empty() || folder.ends_with('/') { "" } else { "/" };
    format!("{before}{authority}/{folder}{slash}{path}")
}

/// Returns the value of TOML as a script would write it.
fn dynamic(value: &toml::Value) -> Dynamic {
    match value {
        toml::Value::String(text) => text.clone().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(flag) => (*flag).into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(all) => Dynamic::from_array(all.iter().map(dynamic).collect()),
        toml::Value::Table(table) => Dynamic::from_map(
            table.iter().map(|(key, value)| (key.as_str().into(), dynamic(value))).collect(),
        ),
    }
}

/// Fills in the password of `site` from its source, if it has none. In a rehearsal it is made up: it reaches nothing
/// real.
pub fn ask_password(site: &mut Site, is_rehearsal: bool) -> Result<()> {
    let source = site.password_from.take().filter(|_| site.password.is_none());
    site.password = match source {
        None => return Ok(()),
        Some(_) if is_rehearsal => Some(crate::secret::Secret::new("rehearsal")),
        Some(PasswordSource::Secret(name)) => Some(secrets::find(&name, false)?.secret),
        Some(PasswordSource::Command(words)) => Some(password_command::run(&words)?),
    };
    Ok(())
}

/// Returns the options of `--set` as a map, for a site that is saved with them.
pub fn options_of(overrides: &Overrides) -> &Map {
    overrides.map()
}

#[cfg(test)]
mod tests;
