//! The search for the secrets of a run in all that it says and leaves behind: results, events and messages, also those of
//! a crash; history, logs and other state; temporary files; new files. Every run of the program ends with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fmt, fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex},
};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use regex::bytes::Regex;

/// The files to which users write secrets, by name or ending. A secret may stand there, and nowhere else that a run writes.
const USERS_FILES: [(&str, &str); 6] = [
    (".netrc", "the logins that curl and ftp read, too"),
    ("netrc", "the same under the name that `NETRC` gives"),
    ("portolan.toml", "a jobs file may have the password of a URL"),
    ("sites.toml", "a user may write a password in the place of the name of a secret"),
    (".rhai", "a user may write a password in a script"),
    (".new", "the file that the tests write, and rename to one of these"),
];
/// The directory of secrets: its files are for their owner only.
const SECRETS_FOLDER: &str = "secrets";
/// The bytes of a file that are looked through: all of any history or log.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The minimum length of a secret that is looked for: shorter ones occur by chance, in Base64 above all.
const SECRET_BYTES_MIN: usize = 7;

/// Returns true if `text` occurs nowhere by chance: a word of letters does.
pub(crate) fn is_searchable(text: &str) -> bool {
    text.len() >= SECRET_BYTES_MIN && !text.chars().all(|c| c.is_alphabetic() || c == '-')
}

/// A secret that was found where none may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leak {
    place: String,
    form: &'static str,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a secret is in {}, {}", self.place, self.form)
    }
}

/// The texts to look for: each form of each secret is a group of the pattern.
#[derive(Debug)]
pub(crate) struct SecretSearch {
    pattern: Regex,
    forms: Vec<&'static str>,
}

impl SecretSearch {
    /// Returns the search for `secrets`; `None` if there is none. Tests use the same ones again and again.
    pub(crate) fn of(secrets: &BTreeSet<String>) -> Option<Arc<Self>> {
        static MADE: LazyLock<Mutex<BTreeMap<BTreeSet<String>, Arc<SecretSearch>>>> =
            LazyLock::new(Mutex::default);
        if secrets.is_empty() {
            return None;
        }
        let mut made = MADE.lock().unwrap();
        if let Some(known) = made.get(secrets) {
            return Some(Arc::clone(known));
        }
        let mut texts: BTreeMap<Vec<u8>, &'static str> = BTreeMap::new();
        for (form, text) in secrets.iter().flat_map(|secret| forms(secret)) {
            texts.entry(text).or_insert(form);
        }
        let groups: Vec<_> = texts.keys().map(|text| format!("({})", literal(text))).collect();
        let pattern = Regex::new(&format!("(?-u){}", groups.join("|"))).unwrap();
        let search = Arc::new(Self { pattern, forms: texts.into_values().collect() });
        made.insert(secrets.clone(), Arc::clone(&search));
        Some(search)
    }

    /// Returns the form of the first secret in `bytes`.
    pub(crate) fn in_bytes(&self, bytes: &[u8]) -> Option<&'static str> {
        let found = self.pattern.captures(bytes)?;
        let number = (1..found.len()).find(|number| found.get(*number).is_some())?;
        self.forms.get(number - 1).copied()
    }

    /// Returns the first secret in `bytes`, which are shown as `place`.
    pub(crate) fn in_text(&self, place: &str, bytes: &[u8]) -> Option<Leak> {
        self.in_bytes(bytes).map(|form| Leak { place: place.to_owned(), form })
    }

    /// Returns the first secret in the files below `folder`, or in one of their names. `is_users` tells the files that
    /// the test wrote itself.
    pub(crate) fn below(&self, folder: &Path, is_users: &impl Fn(&Path) -> bool) -> Option<Leak> {
        // What is gone meanwhile is no place any more.
        let mut paths: Vec<_> =
            fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        paths.into_iter().find_map(|path| {
            let kind = fs::symlink_metadata(&path).ok()?.file_type();
            let place = path.display().to_string();
            if let Some(form) = self.in_bytes(path.file_name()?.as_bytes()) {
                return Some(Leak { place: format!("the name {place}"), form });
            }
            if kind.is_dir() {
                return self.below(&path, is_users);
            }
            if !kind.is_file() || is_users(&path) {
                return None;
            }
            self.in_text(&place, &beginning(&path)?)
        })
    }
}

/// Returns the pattern of exactly these bytes.
fn literal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + format!("\\x{byte:02x}").as_str())
}

fn beginning(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).ok()?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, FILE_BYTES_MAX), &mut bytes).ok()?;
    Some(bytes)
}

/// Returns the forms in which `secret` may leak, each with its name.
pub(crate) fn forms(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let percent = |keeps: fn(u8) -> bool, upper: bool| -> String {
        let one = |byte: u8| match (keeps(byte), upper) {
            (true, _) => char::from(byte).to_string(),
            (false, true) => format!("%{byte:02X}"),
            (false, false) => format!("%{byte:02x}"),
        };
        secret.bytes().map(one).collect()
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let json = serde_json::to_string(secret).unwrap();
    let html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let hex = |upper: bool| {
        let one = |byte: u8| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
        secret.bytes().map(one).collect::<String>()
    };
    let texts = [
        ("plain", secret.to_owned()),
        ("URL-encoded", percent(is_plain, true)),
        ("URL-encoded", percent(is_plain, false)),
        ("URL-encoded", percent(|_| false, true)),
        ("URL-encoded", percent(is_plain, true).replace("%20", "+")),
        ("JSON-escaped", json.trim_matches('"').to_owned()),
        ("JSON-escaped", json.trim_matches('"').replace('/', "\\/")),
        ("JSON-escaped", in_ascii(json.trim_matches('"'))),
        ("escaped", secret.escape_debug().to_string()),
        ("escaped", secret.escape_default().to_string()),
        ("HTML-escaped", html),
        ("hexadecimal", hex(false)),
        ("hexadecimal", hex(true)),
    ];
    let texts = texts.into_iter().map(|(form, text)| (form, text.into_bytes()));
    texts.chain(base64_forms(secret)).collect()
}

fn in_ascii(text: &str) -> String {
    let escaped = |c: char| -> String {
        let mut units = [0; 2];
        let units = c.encode_utf16(&mut units).iter();
        if c.is_ascii() {
            return c.into();
        }
        units.fold(String::new(), |text, unit| text + format!("\\u{unit:04x}").as_str())
    };
    text.chars().map(escaped).collect()
}

/// Returns what the Base64 of any text has in it that has `secret` in it: three forms, by where the secret begins.
fn base64_forms(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut found = Vec::new();
    for before in 0..3_usize {
        let text = [vec![0; before], secret.as_bytes().to_vec()].concat();
        // Those characters that depend on nothing else.
        let (first, end) = ((before * 8).div_ceil(6), text.len() * 8 / 6);
        for engine in [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD] {
            let code = engine.encode(&text);
            found.push(("Base64", code.as_bytes().get(first..end).unwrap().to_vec()));
        }
    }
    found
}

/// Returns true for a file in which the user may have written a secret.
pub(crate) fn is_users_file(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let is_private = || {
        let mode = fs::metadata(path).map(|found| found.permissions().mode());
        mode.is_ok_and(|mode| matches!(mode & 0o777, 0o600 | 0o400))
    };
    let is_kept = path.parent().is_some_and(|folder| folder.ends_with(SECRETS_FOLDER));
    USERS_FILES.iter().any(|(end, _)| name == *end || (end.starts_with('.') && name.ends_with(end)))
        || (is_kept && is_private())
}

/// The files that were there before a run, by path, with what changes when one is written.
#[derive(Debug, Default)]
pub(crate) struct FilesBefore(BTreeMap<PathBuf, (u64, u64, i64, i64)>);

impl FilesBefore {
    /// Lists the files below `folder`.
    pub(crate) fn of(folder: &Path) -> Self {
        let mut before = Self::default();
        before.add(folder);
        before
    }

    fn add(&mut self, folder: &Path) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => self.add(&path),
                Ok(found) => drop(self.0.insert(path, stamp(&found))),
                Err(_) => {}
            }
        }
    }

    /// Returns true if `path` was there with what it has now.
    pub(crate) fn has(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|now| self.0.get(path) == Some(&stamp(&now)))
    }
}

fn stamp(found: &fs::Metadata) -> (u64, u64, i64, i64) {
    (found.ino(), found.len(), found.ctime(), found.ctime_nsec())
}

/// The secrets that users wrote into files.
#[derive(Debug, Default)]
pub(crate) struct UsersSecrets {
    /// Their values.
    pub(crate) values: BTreeSet<String>,
    /// The names by which scripts and jobs files ask for others.
    pub(crate) names: BTreeSet<String>,
}

impl UsersSecrets {
    /// Reads files of secrets, logins of netrc files, and the passwords of URLs and options in jobs files, files of sites
    /// and scripts, all below `folder`.
    pub(crate) fn below(folder: &Path) -> Self {
        let mut found = Self::default();
        found.add(folder);
        found
    }

    fn add(&mut self, folder: &Path) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let Ok(kind) = fs::symlink_metadata(&path) else { continue };
            if kind.is_dir() {
                self.add(&path);
                continue;
            }
            let is_secret = folder.ends_with(SECRETS_FOLDER);
            if !kind.is_file() || !(is_secret || is_users_file(&path)) {
                continue;
            }
            let text = beginning(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            if is_secret {
                self.values.extend(text.lines().next().map(str::to_owned));
            } else if path.to_string_lossy().ends_with("netrc") {
                self.values.extend(logins_in(&text));
            } else {
                self.values.extend(secrets_in(&text));
                self.names.extend(secret_names_in(&text));
            }
        }
    }
}

/// Returns the names of the secrets that `text` asks for.
fn secret_names_in(text: &str) -> BTreeSet<String> {
    static ASKED: LazyLock<regex::Regex> =
        LazyLock::new(|| regex::Regex::new(r#"secret(?:\("|:)([A-Za-z0-9_.-]+)"#).unwrap());
    ASKED.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

/// Returns the passwords of the URLs and options in `text`.
pub(crate) fn secrets_in(text: &str) -> BTreeSet<String> {
    static WRITTEN: LazyLock<regex::Regex> = LazyLock::new(|| {
        let url = r#"://[^/\s:@"'`]*:([^/\s@"'`]+)@"#;
        let option = r#"\bpassword"?\s*[:=]\s*"([^"\\]+)""#;
        regex::Regex::new(&format!("{url}|{option}")).unwrap()
    });
    let all = WRITTEN.captures_iter(text).flat_map(|found| {
        found.iter().skip(1).flatten().map(|one| one.as_str().to_owned()).collect::<Vec<_>>()
    });
    // The name of a secret, and what a test fills in, are none.
    let all = all.filter(|text| !text.contains(['{', '$', '*']) && !text.starts_with("secret:"));
    all.flat_map(|text| [percent_decoded(&text), text]).collect()
}

fn percent_decoded(text: &str) -> String {
    let bytes = portolan::encoding::percent_decoded(text).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the passwords of a netrc file.
fn logins_in(text: &str) -> BTreeSet<String> {
    let words: Vec<_> = text.split_whitespace().collect();
    let pairs = words.windows(2).filter_map(|pair| match pair {
        ["password", password] => Some(password.trim_matches('"').to_owned()),
        _ => None,
    });
    pairs.collect()
}

/// Fails if one of `secrets` is in the output of a program that a test has started itself, or below `folder`.
#[track_caller]
pub(crate) fn assert_kept(secrets: &[&str], output: &std::process::Output, folder: &Path) {
    assert_unsaid(secrets, &[("stdout", &output.stdout), ("stderr", &output.stderr)], folder);
}

/// Fails if one of `secrets` is in the texts of a program that a test has started itself, or below `folder`.
#[track_caller]
pub(crate) fn assert_unsaid(secrets: &[&str], said: &[(&str, &[u8])], folder: &Path) {
    let secrets = secrets.iter().map(|secret| (*secret).to_owned()).collect();
    let Some(search) = SecretSearch::of(&secrets) else { return };
    let leak = said.iter().find_map(|(place, bytes)| search.in_text(place, bytes));
    let leak = leak.or_else(|| search.below(folder, &is_users_file));
    assert!(leak.is_none(), "{}", leak.unwrap());
}
