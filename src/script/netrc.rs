//! The logins of `~/.netrc`, the file that curl, lftp and wget use (security class C23).
//!
//! A password is sent to the host and user that its entry names, and to no other: if the entry of a host has no
//! password, or another user, no other entry is tried. `--netrc` and the function `secret` read the file by this one
//! parser, so that it has the same password for both.
//!
//! Words are separated by white space. A word in double quotes may hold white space, and the escapes `\"`, `\\`, `\n`,
//! `\r` and `\t`, as in curl since 7.84; outside of quotes, a backslash is a backslash. A word that begins with `#` starts
//! a comment, unless it is a value: a password may begin with it.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    files,
    ftp::site::Site,
    limits::NETRC_BYTES_MAX,
    secret::Secret,
};

/// The user of a site that names none.
const NOBODY: &str = "anonymous";

/// Returns the path of the file that is used unless another is named: `$NETRC`, or `~/.netrc`.
pub fn usual_path() -> Option<PathBuf> {
    let named = env::var_os("NETRC").map(PathBuf::from);
    named.or_else(|| env::home_dir().map(|home| home.join(".netrc")))
}

/// The logins of one file, in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct Netrc(Vec<NetrcEntry>);

#[derive(Debug, Clone, Default)]
struct NetrcEntry {
    /// The host; `None` for `default`.
    machine: Option<String>,
    login: Option<String>,
    password: Option<Secret>,
    account: Option<Secret>,
}

impl Netrc {
    /// Reads `path`, which must be readable by its owner only: the current user, or root.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_if_any(path)?
            .ok_or_else(|| Error::local("read the logins", path, rustix::io::Errno::NOENT.into()))
    }

    /// Reads `path`; returns `None` if there is no such file.
    fn read_if_any(path: &Path) -> Result<Option<Self>> {
        let Some(text) = files::read_private(path, NETRC_BYTES_MAX)? else { return Ok(None) };
        let at = |why: String| Error::invalid(why).at(path.to_string_lossy());
        Self::parse(&text).map(Some).map_err(at)
    }

    /// Parses the text of such a file; an error names the line and never repeats its text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = NetrcReader::default();
        for (number, line) in (1..).zip(text.lines()) {
            reader.line(line).map_err(|why| format!("line {number} {why}"))?;
        }
        match reader.wanted {
            None => Ok(Self(reader.entries)),
            Some(word) => Err(format!("it ends where `{word}` wants a value")),
        }
    }

    /// Returns the entries that name `machine`; host names are compared without case.
    fn entries_of(&self, machine: &str) -> impl Iterator<Item = &NetrcEntry> {
        self.0.iter().filter(move |entry| {
            entry.machine.as_ref().is_some_and(|host| host.eq_ignore_ascii_case(machine))
        })
    }

    /// Returns the password of the first entry that names `machine`, which is never `default`.
    pub(crate) fn password(&self, machine: &str) -> Result<Option<Secret>, String> {
        let Some(entry) = self.entries_of(machine).next() else { return Ok(None) };
        match &entry.password {
            None => Err(format!("the entry of `{machine}` has no password")),
            Some(password) if password.reveal().is_empty() => {
                Err(format!("the entry of `{machine}` has an empty password"))
            }
            Some(password) => Ok(Some(password.clone())),
        }
    }

    /// Completes the login of `site`, if it has no password and this file has an entry for its host.
    pub fn complete(&self, site: &mut Site) -> Result<()> {
        let mut entries: Vec<_> = self.entries_of(&site.host).collect();
        let is_named = !entries.is_empty();
        if !is_named {
            entries = self.0.iter().filter(|entry| entry.machine.is_none()).take(1).collect();
        }
        if site.password.is_some() || entries.is_empty() {
            return Ok(());
        }
        let is_open = site.user == NOBODY;
        let fits = |entry: &&&NetrcEntry| is_open || entry.login.as_ref() == Some(&site.user);
        let entry = match entries.iter().find(fits) {
            Some(entry) => entry,
            // The `default` entry is for another user: the login stays as the script has it.
            None if !is_named => return Ok(()),
            None => return Err(missing(site, "the netrc file has no entry for that user")),
        };
        let Some(password) = &entry.password else {
            return Err(missing(site, "the netrc file has no password for it"));
        };
        if let Some(login) = &entry.login {
            site.user.clone_from(login);
        }
        site.password = Some(password.clone());
        if site.account.is_none() {
            site.account.clone_from(&entry.account);
        }
        Ok(())
    }
}

fn missing(site: &Site, why: &str) -> Error {
    Error::invalid(format!("no login as `{}`: {why}", site.user)).with_host(&site.host)
}

/// Returns the password that the file at `path` has for `machine`. A file that others can read, or that cannot be
/// parsed, is an error only if it mentions `machine`: other secrets are not in it.
pub(super) fn password(path: &Path, machine: &str) -> Result<Option<Secret>> {
    match Netrc::read_if_any(path) {
        Ok(None) => Ok(None),
        Ok(Some(netrc)) => {
            netrc.password(machine).map_err(|why| Error::invalid(why).at(path.to_string_lossy()))
        }
        Err(error) => {
            let text = files::read_untrusted(path, NETRC_BYTES_MAX).unwrap_or_default();
            let mut words = text.split(|c: char| c.is_whitespace() || c == '"');
            let is_mentioned = words.any(|word| word.eq_ignore_ascii_case(machine));
            if is_mentioned { Err(error) } else { Ok(None) }
        }
    }
}

/// The words that are followed by a value.
const KEYS: [&str; 4] = ["machine", "login", "password", "account"];

/// The state of the parser.
#[derive(Default)]
struct NetrcReader {
    entries: Vec<NetrcEntry>,
    /// The word whose value comes next, on this line or a later one.
    wanted: Option<&'static str>,
    /// True if the lines belong to a macro, up to an empty one.
    in_macro: bool,
}

impl NetrcReader {
    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err("has a control character");
        }
        if self.in_macro {
            self.in_macro = !line.trim().is_empty();
            return Ok(());
        }
        let mut rest = line.trim_start();
        while !rest.is_empty() {
            if let Some(key) = self.wanted.take() {
                let (value, after) = value(rest)?;
                self.set(key, value)?;
                rest = after.trim_start();
                continue;
            }
            let (word, after) = plain_word(rest);
            rest = after.trim_start();
            match word {
                comment if comment.starts_with('#') => return Ok(()),
                "default" => self.entries.push(NetrcEntry::default()),
                "macdef" => {
                    self.in_macro = true;
                    return Ok(());
                }
                _ => {
                    let key = KEYS.into_iter().find(|key| *key == word);
                    self.wanted = Some(key.ok_or("has a word that is no part of a netrc file")?);
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), &'static str> {
        if key == "machine" {
            self.entries.push(NetrcEntry { machine: Some(value), ..NetrcEntry::default() });
            return Ok(());
        }
        let entry = self.entries.last_mut().ok_or("comes before any `machine`")?;
        match key {
            "login" => entry.login = Some(value),
            "password" => entry.password = Some(Secret::new(value)),
            _ => entry.account = Some(Secret::new(value)),
        }
        Ok(())
    }
}

/// Splits a word without quotes off `text`.
fn plain_word(text: &str) -> (&str, &str) {
    text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))
}

/// Splits a value off `text`, plain or in quotes; returns it and the rest.
fn value(text: &str) -> Result<(String, &str), &'static str> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = plain_word(text);
        return Ok((word.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok((value, chars.as_str())),
            '\\' => value.extend(chars.next().map(|escaped| match escaped {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                other => other,
            })),
            c => value.push(c),
        }
    }
    Err("has a quote that is never closed")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const FILE: &str = "
# Mine.
machine ftp.example.org login anna password #1st
machine FTP.example.org
    login bert password \"two \\\"words\\\"\" account books
macdef init
machine trap login x password y

machine open.example.org login carl
machine any.example.org password alone
default login guest password me@example.org
";

    fn login(text: &str, user: &str, host: &str) -> Result<(String, Option<String>)> {
        let mut site = Site::new(host);
        user.clone_into(&mut site.user);
        Netrc::parse(text).unwrap().complete(&mut site)?;
        Ok((site.user, site.password.map(|password| password.reveal().to_owned())))
    }

    #[test]
    fn a_host_and_its_user_have_their_own_password() {
        for (user, host, wanted) in [
            ("anonymous", "ftp.example.org", ("anna", "#1st")),
            ("anna", "ftp.example.org", ("anna", "#1st")),
            ("bert", "ftp.example.org", ("bert", "two \"words\"")),
            ("anonymous", "any.example.org", ("anonymous", "alone")),
            ("anonymous", "trap", ("guest", "me@example.org")),
            ("guest", "elsewhere", ("guest", "me@example.org")),
        ] {
            let found = login(FILE, user, host).unwrap();
            assert_eq!((found.0.as_str(), found.1.as_deref().unwrap()), wanted, "{user}@{host}");
        }
        assert_eq!(login(FILE, "anna", "elsewhere").unwrap(), ("anna".into(), None));
        assert_eq!(login("", "anna", "elsewhere").unwrap(), ("anna".into(), None));
    }

    /// Returns the password of machine `h` for `secret("h")`, and for `--netrc`, which has to be the same.
    fn password_of_h(text: &str) -> Result<Option<String>, String> {
        let netrc = Netrc::parse(text)?;
        let of_secret = netrc.password("h");
        let mut site = Site::new("H");
        let of_site = netrc.complete(&mut site).map(|()| site.password);
        match (&of_secret, of_site) {
            (Ok(Some(secret)), Ok(of_site)) => assert_eq!(Some(secret), of_site.as_ref(), "{text}"),
            // Only a connection uses `default`, and only it may have an empty password.
            (Ok(None), Ok(Some(_))) => assert!(text.contains("default"), "{text}"),
            (Err(_), Ok(Some(of_site))) => assert_eq!(of_site.reveal(), "", "{text}"),
            (Ok(None), Ok(None)) | (Err(_), Err(_)) => {}
            (_, of_site) => panic!("{text}: {of_secret:?}, {of_site:?}"),
        }
        of_secret.map(|secret| secret.map(|secret| secret.reveal().to_owned()))
    }

    #[test]
    fn a_secret_and_a_login_have_the_same_password_read_as_curl_reads_it() {
        for (text, wanted) in [
            ("machine h login me password pw", Some("pw")),
            ("machine H password pw", Some("pw")),
            ("machine h password back\\slash", Some("back\\slash")),
            ("machine h password mid\"quote", Some("mid\"quote")),
            ("machine h password \"p w\\\"q\"", Some("p w\"q")),
            (r#"machine h password "a\\b\tc\nd\re\f""#, Some("a\\b\tc\nd\ref")),
            ("machine \"h\" password \"a\"login me", Some("a")),
            ("machine g password no\nmachine h\n  login me\n  password\n pw\n", Some("pw")),
            ("# machine h password no\nmachine h password #1 # the first", Some("#1")),
            ("machine h login me # password no\n password yes", Some("yes")),
            ("macdef init\nmachine h password no\n\nmachine h password yes", Some("yes")),
            ("machine password password no machine h password yes", Some("yes")),
            ("machine h password yes machine h password no", Some("yes")),
            ("machine h password yes\r\n", Some("yes")),
            ("default login me password no", None),
            ("machine g password no", None),
            ("", None),
        ] {
            assert_eq!(password_of_h(text), Ok(wanted.map(str::to_owned)), "{text}");
        }
        for text in [
            "machine h login me\nmachine g password no",
            "machine h login me\nmachine h password no",
            "machine h login me default password no",
            "machine h password \"\"",
            "machine h password a\0b",
            "machine h password p w",
            "machine h password \"p w",
        ] {
            assert!(password_of_h(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn s63_no_password_is_taken_from_another_entry() {
        for (user, host) in [
            ("mallory", "ftp.example.org"),
            ("carl", "open.example.org"),
            ("anonymous", "open.example.org"),
            ("carl", "any.example.org"),
        ] {
            let fault = login(FILE, user, host).unwrap_err();
            assert!(fault.message.starts_with("no login as `"), "{fault}");
        }
        let empty = login("default", "anonymous", "h").unwrap_err();
        assert!(empty.message.contains("has no password"), "{empty}");
        // A password from the script or the URL is kept.
        let mut site = Site::new("ftp.example.org");
        site.password = Some(Secret::new("mine"));
        Netrc::parse(FILE).unwrap().complete(&mut site).unwrap();
        assert_eq!((site.user.as_str(), site.password.unwrap().reveal()), ("anonymous", "mine"));
    }

    #[test]
    fn s64_a_password_goes_to_no_host_of_another_name() {
        let file = "machine ftp.example.org login anna password hunter2";
        for host in [
            "127.0.0.1",
            "example.org",
            "www.ftp.example.org",
            "ftp.example.org.evil.example",
            "ftp.example.orgs",
            "ftp.example.or",
            "ftp-example.org",
            "",
        ] {
            for user in ["anna", "anonymous"] {
                let found = login(file, user, host).unwrap();
                assert_eq!(found, (user.to_owned(), None), "{user}@{host}");
            }
        }
    }

    #[test]
    fn s63_what_is_wrong_is_told_by_its_line_and_not_repeated() {
        for (text, why) in [
            ("machine h login a password hunter\u{7}2", "line 1 has a control character"),
            ("machine h\nlogin a password hun\0ter2", "line 2 has a control character"),
            ("login a password hunter2", "line 1 comes before any `machine`"),
            ("machine h hunter2", "line 1 has a word that is no part of a netrc file"),
            ("machine h password \"hunter2", "line 1 has a quote that is never closed"),
            ("machine h password", "it ends where `password` wants a value"),
        ] {
            assert_eq!(Netrc::parse(text).unwrap_err(), why);
        }
    }

    #[test]
    fn s63_only_a_file_that_no_other_user_can_read_or_replace_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("netrc");
        std::fs::write(&file, FILE).unwrap();
        let set = |mode| std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        set(0o600);
        assert_eq!(Netrc::read(&file).unwrap().0.len(), 5);
        for mode in [0o640, 0o604, 0o620] {
            set(mode);
            assert!(Netrc::read(&file).unwrap_err().message.contains("chmod 600"));
        }
        set(0o600);
        let link = folder.path().join("link");
        symlink(&file, &link).unwrap();
        Netrc::read(&link).unwrap_err();
        assert!(Netrc::read(folder.path()).unwrap_err().message.contains("this is none"));
        Netrc::read(&folder.path().join("gone")).unwrap_err();
    }

    #[test]
    fn a_bad_file_is_in_the_way_only_of_secrets_that_it_mentions() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("netrc");
        let lay = |text: &str, mode| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        };
        for (text, mode) in [
            ("machine \"H\" password pw", 0o644),
            ("machine h password p w", 0o600),
            ("machine h password \"pw", 0o600),
        ] {
            lay(text, mode);
            password(&file, "h").unwrap_err();
            assert_eq!(password(&file, "g").unwrap(), None, "{text}");
        }
        lay("machine h password pw", 0o600);
        assert_eq!(password(&file, "H").unwrap().unwrap().reveal(), "pw");
        assert_eq!(password(&folder.path().join("gone"), "h").unwrap(), None);
        assert_eq!(password(folder.path(), "h").unwrap(), None);
    }
}
