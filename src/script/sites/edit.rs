//! Changes of the file of sites. Comments and order stay, and no password is ever written into it.

use std::{
    env, fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rhai::{Dynamic, Map};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value};

use super::{SECRET_PREFIX, SITES_FILE, SavedSite, SiteBook, check_name, places, shown, text_of};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    files::AtomicFile,
    ftp::{
        proxy::Proxy,
        site::OPTIONS,
        url::{Url, without_password},
    },
    observe::visible::visible,
    option_table::OptionKind,
    secret::Secret,
};

/// The jobs file beside which sites are saved, if it exists.
const JOBS_FILE: &str = "portolan.toml";

/// The number of names that are tried for a secret.
const SECRET_NAMES_MAX: u32 = 1000;

/// The number of links to the file of sites that are followed, as on Linux.
const LINKS_MAX: u32 = 40;

/// A site to be saved.
#[derive(Debug, Default)]
pub struct NewSite {
    /// The name.
    pub name: String,
    /// The URL; its password is kept apart.
    pub url: String,
    /// The options of a connection.
    pub options: Map,
    /// The program that prints the password.
    pub password_command: Option<Vec<String>>,
    /// The password, in place of the URL's.
    pub password: Option<Secret>,
}

/// Files that were written or removed.
#[derive(Debug, Default)]
pub struct ChangedFiles {
    /// The file of sites.
    pub file: PathBuf,
    /// The files of secrets.
    pub secrets: Vec<PathBuf>,
}

/// Returns the file to which new sites go: the one that `PORTOLAN_SITES` names, the one of the current directory if it
/// or a jobs file is there, or that of the user.
pub fn usual_file() -> Result<PathBuf> {
    let is_project = Path::new(SITES_FILE).exists() || Path::new(JOBS_FILE).exists();
    match &places()[..] {
        [named] => Ok(named.clone()),
        [here, ..] if is_project => Ok(here.clone()),
        [_, user, ..] => Ok(user.clone()),
        [] => Err(Error::invalid("there is no home directory here: name a file with --file")),
    }
}

/// Returns the directory of the secrets of a file of sites.
fn secrets_of(file: &Path) -> PathBuf {
    let named = env::var_os("PORTOLAN_SECRETS").map(PathBuf::from);
    named.unwrap_or_else(|| file.parent().unwrap_or(Path::new("")).join("secrets"))
}

/// Fails with `invalid` if a site cannot be saved.
pub fn check(site: &NewSite) -> Result<()> {
    check_name(&site.name)?;
    let mut table = toml::Table::new();
    table.insert("url".into(), site.url.clone().into());
    let value = toml::Value::Table(table);
    let mut saved = SavedSite::read(&site.name, Path::new(SITES_FILE), &value)?;
    saved.options.clone_from(&site.options);
    saved.check()
}

/// Adds a site to `file`. Its secrets go to the directory of secrets, readable by their owner only. Fails with `guard`
/// if there is one of that name, unless it may be replaced.
pub fn add(file: &Path, mut site: NewSite, may_replace: bool) -> Result<ChangedFiles> {
    check_name(&site.name)?;
    let url = Url::parse(&site.url)?;
    site.password = site.password.or(url.site.password);
    let mut document = read(file)?;
    let known = document.get("site").and_then(|sites| sites.get(&site.name)).is_some();
    if known && !may_replace {
        let message = format!("there is a site `{}` already: --replace replaces it", site.name);
        return Err(Error::new(ErrorKind::Guard, Origin::Script, message).at(shown(file)));
    }
    let folder = secrets_of(file);
    let mut secrets = Vec::new();
    let mut table = Table::new();
    table.insert("url", text(&url_without_password(&site.url)?));
    if let Some(password) = site.password.take() {
        site.options.insert("password".into(), Dynamic::from(password));
    }
    for row in OPTIONS.rows {
        let Some(value) = site.options.get(row.key) else { continue };
        let hidden = matches!(row.kind, OptionKind::Secret(..)).then(|| hidden(row.key, value));
        let item = match hidden.flatten() {
            Some(secret) => {
                let suffix = if row.key == "password" { "" } else { row.key };
                let name = secret_name(&folder, &site.name, suffix, known)?;
                secrets.push((folder.join(&name), secret));
                text(&format!("{SECRET_PREFIX}{name}"))
            }
            None => Item::Value(toml_value(value)?),
        };
        table.insert(row.key, item);
    }
    if let Some(words) = &site.password_command {
        let value = match &words[..] {
            [shell, flag, line] if shell == "/bin/sh" && flag == "-c" => Value::from(line.as_str()),
            words => Value::Array(words.iter().map(String::as_str).collect::<Array>()),
        };
        table.insert("password_command", Item::Value(value));
    }
    let sites = document.entry("site").or_insert_with(|| {
        let mut sites = Table::new();
        sites.set_implicit(true);
        Item::Table(sites)
    });
    let Some(sites) = sites.as_table_mut() else {
        return Err(Error::invalid("`site` is no table here").at(shown(file)));
    };
    sites.insert(&site.name, Item::Table(table));
    // Checked as it will be read, before anything is written.
    let written = document.to_string();
    let whole = super::sites_in(file, &written)?;
    let value = whole.get(&site.name).ok_or_else(|| Error::invalid("the site was not added"))?;
    SavedSite::read(&site.name, file, value)?;
    for (path, secret) in &secrets {
        keep(path, secret)?;
    }
    write(file, &written)?;
    let secrets = secrets.into_iter().map(|(path, _)| path).collect();
    Ok(ChangedFiles { file: file.to_owned(), secrets })
}

/// Removes a site, and the secrets that `add` has written for it if no other site uses them.
pub fn remove(name: &str) -> Result<ChangedFiles> {
    let book = SiteBook::read()?;
    let Some((_, file)) = book.names().into_iter().find(|(known, _)| *known == name) else {
        return Err(book.unknown(name));
    };
    let file = file.to_owned();
    let mut document = read(&file)?;
    let table = document.get_mut("site").and_then(Item::as_table_like_mut);
    let removed = table.and_then(|sites| sites.remove(name));
    let rest = document.to_string();
    let own = own_secrets(name, removed.as_ref()).into_iter();
    let unused = own.filter(|secret| !rest.contains(&format!("\"{SECRET_PREFIX}{secret}\"")));
    let folder = secrets_of(&file);
    write(&file, &rest)?;
    let mut secrets = Vec::new();
    for path in unused.map(|secret| folder.join(secret)) {
        match fs::remove_file(&path) {
            Ok(()) => secrets.push(path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::local("remove the secret", &path, error)),
        }
    }
    Ok(ChangedFiles { file, secrets })
}

/// Returns the secrets of a site that are called as `add` calls them: others may be used elsewhere.
fn own_secrets(name: &str, site: Option<&Item>) -> Vec<String> {
    let values = site.and_then(Item::as_table_like);
    let values = values.into_iter().flat_map(toml_edit::TableLike::iter);
    let named = values.filter_map(|(_, value)| value.as_str()?.strip_prefix(SECRET_PREFIX));
    let base = base_name(name);
    let is_own = |secret: &&str| {
        secret.strip_prefix(&base).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    named.filter(is_own).map(str::to_owned).collect()
}

/// Returns the secret of an option if it must not be in the file.
fn hidden(key: &str, value: &Dynamic) -> Option<Secret> {
    let secret = value.clone().try_cast::<Secret>();
    let secret = secret.or_else(|| value.clone().into_string().ok().map(Secret::new))?;
    let text = secret.reveal();
    let is_public = match key {
        "proxy" => !Proxy::parse(text).is_ok_and(|proxy| proxy.has_password()),
        _ => text.is_empty(),
    };
    (!is_public && !text.starts_with(SECRET_PREFIX)).then_some(secret)
}

/// Returns the name of the secrets of a site: `acme-2` has `ACME_2`.
fn base_name(site: &str) -> String {
    site.to_ascii_uppercase().replace(['-', '.'], "_")
}

/// Returns a name for a secret of a site that no other one has.
fn secret_name(folder: &Path, site: &str, suffix: &str, is_own: bool) -> Result<String> {
    let mut base = base_name(site);
    if !suffix.is_empty() {
        base = format!("{base}_{}", suffix.to_ascii_uppercase());
    }
    let is_free = |name: &String| is_own || !folder.join(name).exists();
    let numbered = (2..SECRET_NAMES_MAX).map(|number| format!("{base}_{number}"));
    let mut names = std::iter::once(base.clone()).chain(numbered);
    names.find(is_free).ok_or_else(|| Error::invalid("there are too many secrets of that name"))
}

/// Writes a secret, readable by its owner only.
fn keep(path: &Path, secret: &Secret) -> Result<()> {
    if secret.reveal().contains(['\n', '\r', '\0']) {
        return Err(Error::invalid("a password of several lines cannot be kept in a file"));
    }
    make_folder(path)?;
    if path.exists() {
        // The new file inherits the permissions of the old one.
        let closed = fs::set_permissions(path, fs::Permissions::from_mode(0o600));
        closed.map_err(|error| Error::local("set the permissions", path, error))?;
    }
    let mut file = AtomicFile::begin(path)?;
    file.ask_mode(0o600);
    file.write_all(format!("{}\n", secret.reveal()).as_bytes())?;
    file.commit(None).map(drop)
}

fn make_folder(path: &Path) -> Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Error::local("create the directory", folder, error))
}

fn read(file: &Path) -> Result<DocumentMut> {
    let text = text_of(file)?.unwrap_or_default();
    // Read as it is used first: its errors are better.
    super::sites_in(file, &text)?;
    text.parse().map_err(|error: toml_edit::TomlError| {
        Error::invalid(format!("not TOML: {}", visible(error.message()))).at(shown(file))
    })
}

fn write(file: &Path, text: &str) -> Result<()> {
    make_folder(file)?;
    // Users keep such files elsewhere, with a link to them: the link stays, also before the file exists.
    let file = behind_links(file);
    make_folder(&file)?;
    let mut landing = AtomicFile::begin(&file)?;
    landing.ask_mode(0o600);
    landing.write_all(text.as_bytes())?;
    landing.commit(None).map(drop)
}

/// Returns the file to which a link leads, whether it exists or not; `file` itself if it is none.
fn behind_links(file: &Path) -> PathBuf {
    if let Ok(found) = file.canonicalize() {
        return found;
    }
    let mut file = file.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(target) = fs::read_link(&file) else { break };
        file = file.parent().unwrap_or(Path::new("")).join(target);
    }
    file
}

fn text(value: &str) -> Item {
    Item::Value(Value::from(value))
}

/// Returns a URL without its password.
fn url_without_password(url: &str) -> Result<String> {
    let shown = without_password(url);
    let bare = shown.replacen(":***@", "@", 1);
    // A password that cannot be cut out must not be written anywhere.
    match Url::parse(&bare) {
        Ok(parsed) if parsed.site.password.is_none() => Ok(bare),
        _ => Err(Error::invalid("the password cannot be taken out of this URL: write it without")),
    }
}

fn toml_value(value: &Dynamic) -> Result<Value> {
    let wrong = || Error::invalid(format!("`{value}` cannot be saved as an option"));
    if let Ok(flag) = value.as_bool() {
        return Ok(flag.into());
    }
    if let Ok(number) = value.as_int() {
        return Ok(number.into());
    }
    if let Ok(number) = value.as_float() {
        return Ok(number.into());
    }
    if let Some(all) = value.read_lock::<rhai::Array>() {
        return Ok(Value::Array(all.iter().map(toml_value).collect::<Result<Array>>()?));
    }
    if let Some(map) = value.read_lock::<Map>() {
        let pairs = map.iter().map(|(key, value)| Ok((key.to_string(), toml_value(value)?)));
        return Ok(Value::InlineTable(pairs.collect::<Result<InlineTable>>()?));
    }
    value.clone().into_string().map(Value::from).map_err(|_| wrong())
}
