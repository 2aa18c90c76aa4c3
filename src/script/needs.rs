//! The permissions that each function of scripts asks for: one row for each function.
//!
//! `portolan check --permissions` reads the permissions of a script from here, and a test calls every function with and
//! without them. A function that has no row fails that test: a new function says here what it may do.

use std::iter;

use crate::permissions::PermissionKind::{
    self, Delete, Env, Http, Nat, Net, Read, RemoteDelete, Run, Secret, Write,
};

/// A function and the permissions that it asks for.
#[derive(Debug)]
pub struct FunctionNeeds {
    /// The name by which it is called: `ftp::connect`, `site.get`.
    pub path: &'static str,
    /// The permissions, in the order in which they are asked for.
    pub needs: &'static [PermissionNeed],
}

/// A permission that a function asks for, and its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermissionNeed {
    /// The permission itself, without an object.
    Plain(PermissionKind),
    /// The permission for the argument of that number, from 0 behind the dot.
    Argument(PermissionKind, usize),
    /// The permission for the host of the URL that is the argument of that number.
    Url(PermissionKind, usize),
    /// The permission for the host of the saved site that is the argument of that number.
    Site(PermissionKind, usize),
    /// The permission for the program that begins the array in the argument of that number.
    Program(usize),
    /// The permission for the path or the proxy that an option names.
    Option(PermissionKind, &'static str),
    /// The permission, for the argument of that number if there is one, when an option is given and not `false`.
    If(&'static str, PermissionKind, Option<usize>),
    /// The permission, unless an option is `false`.
    Unless(&'static str, PermissionKind),
    /// The permission for that object, when an option is given and not `false`.
    IfFor(&'static str, PermissionKind, &'static str),
    /// The permission, unless an option is given and not `false`.
    IfNot(&'static str, PermissionKind),
    /// The permission for the directory of the path that is the argument of that number.
    Folder(PermissionKind, usize),
    /// The permission for each key of the map that an option is.
    Keys(PermissionKind, &'static str),
    /// The permission to remove files of servers, when an option has commands that may do so.
    Commands(&'static str),
    /// The permission, if the plan in the argument of that number was saved as text: its own function has asked otherwise.
    SavedPlan(PermissionKind, usize),
}

impl PermissionNeed {
    /// Returns the kind of the permission.
    pub const fn kind(self) -> PermissionKind {
        match self {
            Self::Plain(kind)
            | Self::Argument(kind, _)
            | Self::Url(kind, _)
            | Self::Site(kind, _)
            | Self::Option(kind, _)
            | Self::If(_, kind, _)
            | Self::Unless(_, kind)
            | Self::IfFor(_, kind, _)
            | Self::IfNot(_, kind)
            | Self::Folder(kind, _)
            | Self::Keys(kind, _)
            | Self::SavedPlan(kind, _) => kind,
            Self::Program(_) => Run,
            Self::Commands(_) => RemoteDelete,
        }
    }
}

/// Returns the row of the function `path`.
pub fn needs(path: &str) -> Option<&'static FunctionNeeds> {
    FUNCTIONS.iter().find(|row| row.path == path)
}

/// Returns true for a raw command that removes nothing on any server. What other `SITE` and unknown commands do is the
/// server's secret.
pub fn removes_nothing(command: &str) -> bool {
    const KNOWN: [&str; 20] = [
        "NOOP", "HELP", "STAT", "FEAT", "SYST", "PWD", "CWD", "CDUP", "SIZE", "MDTM", "MLST",
        "OPTS", "TYPE", "HASH", "XCRC", "XMD5", "CLNT", "LIST", "NLST", "MLSD",
    ];
    // What `site.chmod` and `site.set_modified` do without a permission, and what asks.
    const KNOWN_OF_SITE: [&str; 5] = ["HELP", "CHMOD", "UMASK", "UTIME", "IDLE"];
    // They switch the form of names and listings, by a word or a number: IBM i, IIS, and others.
    const FORMS_OF_SITE: [&str; 4] = ["NAMEFMT", "LISTFMT", "DIRSTYLE", "UTF8"];
    let mut words = command.split_whitespace();
    let verb = words.next().unwrap_or_default();
    let is_one_of =
        |known: &[&str], word: &str| known.iter().any(|one| one.eq_ignore_ascii_case(word));
    if !verb.eq_ignore_ascii_case("SITE") {
        return is_one_of(&KNOWN, verb);
    }
    // z/OS carries out each word that it knows, whatever the others are: all of them have to be known.
    let is_form =
        |word: &str| word.bytes().all(|b| b.is_ascii_digit()) || is_one_of(&["ON", "OFF"], word);
    match words.next() {
        Some(word) if is_one_of(&KNOWN_OF_SITE, word) => true,
        Some(word) if is_one_of(&FORMS_OF_SITE, word) => words.all(is_form),
        Some(word) => iter::once(word)
            .chain(words)
            .flat_map(|word| word.split(','))
            .all(is_data_set_attribute),
        None => false,
    }
}

/// Returns true for a word of SITE that on z/OS is an attribute of new data sets. FILETYPE is none, except with the value
/// that it has anyhow: with JES, DELE purges jobs.
fn is_data_set_attribute(word: &str) -> bool {
    const ATTRIBUTES: [&str; 7] =
        ["RECFM", "LRECL", "BLKSIZE", "PRIMARY", "SECONDARY", "TRACKS", "CYLINDERS"];
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    let is_one = ATTRIBUTES.iter().any(|one| one.eq_ignore_ascii_case(name));
    (is_one && value.bytes().all(|b| b.is_ascii_alphanumeric()))
        || word.eq_ignore_ascii_case("FILETYPE=SEQ")
}

/// Returns the SITE command that the option `site` means by `text`, in which the word itself may be missing.
pub fn site_command(text: &str) -> String {
    let is_whole =
        text.trim_start().get(..5).is_some_and(|word| word.eq_ignore_ascii_case("site "));
    if is_whole { text.to_owned() } else { format!("SITE {text}") }
}

const fn row(path: &'static str, needs: &'static [PermissionNeed]) -> FunctionNeeds {
    FunctionNeeds { path, needs }
}

const CONNECT: &[PermissionNeed] = &[
    PermissionNeed::Url(Net, 0),
    PermissionNeed::Option(Net, "proxy"),
    PermissionNeed::Option(Read, "ca_file"),
    PermissionNeed::Option(Read, "client_cert"),
    PermissionNeed::Option(Read, "client_key"),
    PermissionNeed::If("map_ports", Nat, None),
    PermissionNeed::Commands("site"),
    PermissionNeed::Commands("list_command"),
];
const SAVED: &[PermissionNeed] = &[
    PermissionNeed::Site(Net, 0),
    PermissionNeed::Option(Net, "proxy"),
    PermissionNeed::Option(Read, "ca_file"),
    PermissionNeed::Option(Read, "client_cert"),
    PermissionNeed::Option(Read, "client_key"),
    PermissionNeed::If("map_ports", Nat, None),
    PermissionNeed::Commands("site"),
    PermissionNeed::Commands("list_command"),
];
const DEPLOY: &[PermissionNeed] = &[
    PermissionNeed::Unless("delete", RemoteDelete),
    PermissionNeed::If("check_url", RemoteDelete, None),
    PermissionNeed::IfFor("git", Run, "git"),
    PermissionNeed::Option(Http, "check_url"),
    PermissionNeed::Argument(Read, 0),
    PermissionNeed::Option(Read, "maintenance"),
    PermissionNeed::Option(Read, "include_from"),
    PermissionNeed::Option(Read, "exclude_from"),
    PermissionNeed::Option(Read, "files_from"),
];
const REMOTE_DELETE: &[PermissionNeed] = &[PermissionNeed::Plain(RemoteDelete)];
const NAT: &[PermissionNeed] = &[PermissionNeed::Plain(Nat)];
const READ: &[PermissionNeed] = &[PermissionNeed::Argument(Read, 0)];
const COPY: &[PermissionNeed] =
    &[PermissionNeed::Argument(Read, 0), PermissionNeed::Argument(Write, 1)];
const WRITE: &[PermissionNeed] = &[PermissionNeed::Argument(Write, 0)];
const UP: &[PermissionNeed] = &[
    PermissionNeed::Argument(Read, 0),
    PermissionNeed::Option(Read, "include_from"),
    PermissionNeed::Option(Read, "exclude_from"),
    PermissionNeed::Option(Read, "files_from"),
    PermissionNeed::If("delete", RemoteDelete, None),
    PermissionNeed::If("move", Delete, Some(0)),
];
const DOWN: &[PermissionNeed] = &[
    PermissionNeed::Argument(Write, 1),
    PermissionNeed::Option(Read, "include_from"),
    PermissionNeed::Option(Read, "exclude_from"),
    PermissionNeed::Option(Read, "files_from"),
    PermissionNeed::If("delete", Delete, Some(1)),
    PermissionNeed::If("move", RemoteDelete, None),
];
const HTTP: &[PermissionNeed] = &[PermissionNeed::Url(Http, 0)];

/// Every function of portolan, by name. What asks for nothing works on values, or on a session that has been allowed.
pub const FUNCTIONS: &[FunctionNeeds] = &[
    row("array.join", &[]),
    row("array.sum", &[]),
    row("base64::decode", &[]),
    row("base64::encode", &[]),
    row("csv::format", &[]),
    row("csv::parse", &[]),
    row("csv::read", READ),
    row("csv::rows", READ),
    row("csv::write", WRITE),
    row("env", &[PermissionNeed::Argument(Env, 0)]),
    row("exit", &[]),
    row("fail", &[]),
    row("fail_temporarily", &[]),
    row("fault", &[]),
    row("format_duration", &[]),
    row("format_size", &[]),
    row("ftp::connect", CONNECT),
    row("ftp::doctor", CONNECT),
    row("ftp::site", SAVED),
    row("http::get", HTTP),
    row("http::head", HTTP),
    row("http::post", HTTP),
    row("http::put", HTTP),
    row("json::format", &[]),
    row("json::parse", &[]),
    row("json::pretty", &[]),
    row("json::read", READ),
    row("json::write", WRITE),
    row("local::append", WRITE),
    row("local::check_sums", &[PermissionNeed::Folder(Read, 0)]),
    row("local::chmod", WRITE),
    row("local::copy", COPY),
    row("local::delete", &[PermissionNeed::Argument(Delete, 0)]),
    row("local::delete_tree", &[PermissionNeed::Argument(Delete, 0)]),
    row("local::exists", READ),
    row("local::find", READ),
    row("local::glob", READ),
    row("local::gunzip", COPY),
    row("local::gzip", COPY),
    row("local::hash", READ),
    row("local::lines", READ),
    row("local::list", READ),
    row("local::mkdir", WRITE),
    row("local::modified", READ),
    row("local::move", &[PermissionNeed::Argument(Delete, 0), PermissionNeed::Argument(Write, 1)]),
    row("local::read", READ),
    row("local::read_blob", READ),
    row("local::rename", &[PermissionNeed::Argument(Write, 0), PermissionNeed::Argument(Write, 1)]),
    row("local::sha256", READ),
    row("local::size", READ),
    row("local::tar", COPY),
    row("local::temp_dir", &[]),
    row("local::untar", COPY),
    row("local::unzip", COPY),
    row("local::write", WRITE),
    // The files are read as well; they are below the folder of the list.
    row(
        "local::write_sums",
        &[PermissionNeed::Argument(Read, 1), PermissionNeed::Argument(Write, 0)],
    ),
    row("local::zip", COPY),
    row("log::debug", &[]),
    row("log::error", &[]),
    row("log::info", &[]),
    row("log::warn", &[]),
    row("nat::detect", NAT),
    row("nat::external_address", NAT),
    row("nat::interfaces", NAT),
    row("nat::map_ports", NAT),
    row("nat::masquerade", NAT),
    row("nat::ruleset", &[]),
    row("nat::suggest", NAT),
    row("nat::with_open", NAT),
    row("now", &[]),
    row("number.format", &[]),
    row("parallel", &[]),
    row("parse_time", &[]),
    row("path::extension", &[]),
    row("path::file_name", &[]),
    row("path::join", &[]),
    row("path::parent", &[]),
    row("path::stem", &[]),
    row("path::with_extension", &[]),
    row("plan.to_json", &[]),
    row("retry", &[]),
    row("rules.accept", &[]),
    row("rules.allow", &[]),
    row("rules.apply", NAT),
    row("rules.clamp_mss", &[]),
    row("rules.confirm", NAT),
    row("rules.forward", &[]),
    row("rules.forwarding", &[]),
    row("rules.ftp_active", &[]),
    row("rules.ftp_helper", &[]),
    row("rules.ftp_server", &[]),
    row("rules.isolate", &[]),
    row("rules.masquerade", &[]),
    row("rules.plan", NAT),
    row("rules.revert", NAT),
    row("rules.rollback", NAT),
    row("rules.status", NAT),
    row(
        "run::command",
        &[
            PermissionNeed::Program(0),
            PermissionNeed::Keys(Env, "env"),
            PermissionNeed::Option(Read, "cwd"),
        ],
    ),
    row("secret", &[PermissionNeed::Argument(Secret, 0)]),
    row("site.append", &[PermissionNeed::Argument(Read, 0)]),
    // What a plan does was asked for when it was made, by `plan_up` or `plan_down`; of a saved one it is not known.
    row(
        "site.apply",
        &[
            PermissionNeed::SavedPlan(Read, 0),
            PermissionNeed::SavedPlan(Write, 0),
            PermissionNeed::SavedPlan(Delete, 0),
            PermissionNeed::SavedPlan(RemoteDelete, 0),
        ],
    ),
    row("site.cd", &[]),
    row("site.checksum", &[]),
    row("site.chmod", &[]),
    row("site.close", &[]),
    row("site.delete", REMOTE_DELETE),
    row("site.delete_tree", REMOTE_DELETE),
    row("site.deploy", DEPLOY),
    row("site.detect", NAT),
    row("site.exists", &[]),
    row("site.features", &[]),
    row("site.find", &[]),
    row(
        "site.get",
        &[
            PermissionNeed::Argument(Write, 1),
            PermissionNeed::If("move", RemoteDelete, None),
            PermissionNeed::Commands("site"),
        ],
    ),
    row("site.glob", &[]),
    row("site.list", &[]),
    row("site.mirror_down", DOWN),
    row("site.mirror_up", UP),
    row("site.mkdir", &[]),
    row("site.modified", &[]),
    row("site.move", &[]),
    row("site.names", &[]),
    row("site.plan_down", DOWN),
    row("site.plan_up", UP),
    row("site.prune", &[PermissionNeed::IfNot("dry_run", RemoteDelete)]),
    row(
        "site.put",
        &[
            PermissionNeed::Argument(Read, 0),
            PermissionNeed::If("move", Delete, Some(0)),
            PermissionNeed::Commands("site"),
        ],
    ),
    row("site.pwd", &[]),
    row("site.quote", REMOTE_DELETE),
    row("site.read", &[]),
    row("site.read_blob", &[]),
    row("site.rename", &[]),
    row("site.rmdir", REMOTE_DELETE),
    row("site.rollback", REMOTE_DELETE),
    row("site.set_modified", &[]),
    row("site.size", &[]),
    row("site.stat", &[]),
    row("site.write", &[]),
    row("sleep", &[]),
    row("state::delete", &[]),
    row("state::get", &[]),
    row("state::keys", &[]),
    row("state::set", &[]),
    row("text.captures", &[]),
    row("text.captures_all", &[]),
    row("text.escape_regex", &[]),
    row("text.find_all", &[]),
    row("text.lines", &[]),
    row("text.matches", &[]),
    row("text.named_captures", &[]),
    row("text.pad_left", &[]),
    row("text.pad_right", &[]),
    row("text.repeat", &[]),
    row("text.replace_regex", &[]),
    row("text.replaced", &[]),
    row("text.split_regex", &[]),
    row("text.trimmed", &[]),
    row("time", &[]),
    row("time.contains", &[]),
    row("time.format", &[]),
    row("time.in_zone", &[]),
    row("time.len", &[]),
    row("time.split", &[]),
    row("time.start_of", &[]),
    row("time.starts_with", &[]),
    row("time.sub_string", &[]),
    row("to_json", &[]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_site_that_only_switch_forms_remove_nothing() {
        for (command, wanted) in [
            ("SITE NAMEFMT 1", true),
            ("site listfmt 0", true),
            ("SITE DIRSTYLE", true),
            ("SITE UTF8 ON", true),
            ("SITE CHMOD 644 a.txt", true),
            ("SITE RECFM=FB LRECL=80 BLKSIZE=27920", true),
            ("SITE CYLINDERS PRIMARY=5,SECONDARY=2 filetype=seq", true),
            ("SITE FILETYPE=SEQ RECFM=VB", true),
            ("SITE FILETYPE=JES", false),
            ("SITE RECFM=FB FILETYPE=JES", false),
            ("SITE BLKSIZE=0,FILETYPE=JES", false),
            ("SITE TRACKS FILE=JES", false),
            ("SITE NAMEFMT 1 FILETYPE=JES", false),
            ("SITE UTF8 FILETYPE=JES", false),
            ("SITE FILETYPE", false),
            ("SITE FILETYPE=SQL", false),
            ("SITE RECFM=FB;DELE", false),
            ("SITE EXEC rm a.txt", false),
            ("SITE", false),
            ("DELE a.txt", false),
            ("RECFM=FB", false),
        ] {
            assert_eq!(removes_nothing(command), wanted, "{command}");
        }
    }
}
