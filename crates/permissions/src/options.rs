//! The permissions as the user writes them: flags of `portolan run`, keys of `[job.permissions]`.

use std::path::Path;

use portolan_core::{
    error::{Error, Result},
    option_table::{
        OptionKind::{EachText, Flag},
        OptionRow, OptionTable,
    },
};
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::{host::HostGrant, names, path::PathGrant};

/// A kind of permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum PermissionKind {
    /// Connections with FTP servers.
    Net,
    /// Reading local files and directories.
    Read,
    /// Creating and changing local files and directories.
    Write,
    /// Removing local files and directories.
    Delete,
    /// Removing files and directories of servers.
    RemoteDelete,
    /// Starting programs.
    Run,
    /// HTTP requests.
    Http,
    /// Reading environment variables.
    Env,
    /// Reading secrets.
    Secret,
    /// Changing the NAT rules of this host.
    Nat,
}

impl PermissionKind {
    /// Every kind, in the order of the manual.
    pub const ALL: [Self; 10] = [
        Self::Net,
        Self::Read,
        Self::Write,
        Self::Delete,
        Self::RemoteDelete,
        Self::Run,
        Self::Http,
        Self::Env,
        Self::Secret,
        Self::Nat,
    ];

    /// Returns the key in `[job.permissions]`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns true if it is given or not, without naming anything.
    pub const fn is_flag(self) -> bool {
        matches!(self, Self::RemoteDelete | Self::Nat)
    }

    /// Returns true if its objects are local paths.
    pub const fn is_path(self) -> bool {
        matches!(self, Self::Read | Self::Write | Self::Delete)
    }

    /// Returns the flag of `portolan run` that grants `what`, quoted for a shell where that is needed.
    pub fn flag(self, what: &str) -> String {
        let name = self.as_str().replace('_', "-");
        if self.is_flag() {
            return format!("--allow-{name}");
        }
        // A comma separates two paths: only a directory above can be named then.
        let folders = Path::new(what).ancestors().filter_map(Path::to_str);
        let folder = folders.filter(|_| self.is_path()).find(|folder| !folder.contains(','));
        let what = folder.map_or(what, |folder| if folder.is_empty() { "." } else { folder });
        let is_plain = |c: char| {
            c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | ':' | ',' | '@' | '%' | '+')
        };
        if !what.is_empty() && what.chars().all(is_plain) {
            format!("--allow-{name}={what}")
        } else {
            format!("--allow-{name}='{}'", what.replace('\'', r"'\''"))
        }
    }

    /// Returns the line of `[job.permissions]` that grants all of `what`.
    pub fn line<'t>(self, what: impl IntoIterator<Item = &'t str>) -> String {
        if self.is_flag() {
            return format!("{} = true", self.as_str());
        }
        let quoted: Vec<_> = what.into_iter().map(toml_text).collect();
        format!("{} = [{}]", self.as_str(), quoted.join(", "))
    }
}

/// Returns `text` as a string of TOML.
fn toml_text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => quoted.extend(format!("\\u{:04X}", u32::from(c)).chars()),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// The permissions that a user gives, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PermissionOptions {
    /// FTP servers to connect with.
    pub net: Vec<String>,
    /// Paths to read.
    pub read: Vec<String>,
    /// Paths to write.
    pub write: Vec<String>,
    /// Paths to remove files from.
    pub delete: Vec<String>,
    /// True if files of servers may be removed.
    pub remote_delete: bool,
    /// Programs to start.
    pub run: Vec<String>,
    /// Hosts for HTTP requests.
    pub http: Vec<String>,
    /// Environment variables to read.
    pub env: Vec<String>,
    /// Secrets to read.
    pub secret: Vec<String>,
    /// True if the NAT rules of this host may be changed.
    pub nat: bool,
    /// True if the run must not begin without a sandbox of the kernel.
    pub require_sandbox: bool,
}

impl PermissionOptions {
    /// Returns true if something is allowed but NAT, whose flag is older than the others and restricts nothing.
    pub fn restricts(&self) -> bool {
        let lists = [
            &self.net,
            &self.read,
            &self.write,
            &self.delete,
            &self.run,
            &self.http,
            &self.env,
            &self.secret,
        ];
        self.remote_delete || lists.iter().any(|list| !list.is_empty())
    }

    /// Returns these permissions and those of `other`.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (list, more) in [
            (&mut self.net, &other.net),
            (&mut self.read, &other.read),
            (&mut self.write, &other.write),
            (&mut self.delete, &other.delete),
            (&mut self.run, &other.run),
            (&mut self.http, &other.http),
            (&mut self.env, &other.env),
            (&mut self.secret, &other.secret),
        ] {
            list.extend(more.iter().cloned());
        }
        self.remote_delete |= other.remote_delete;
        self.nat |= other.nat;
        self.require_sandbox |= other.require_sandbox;
        self
    }
}

/// Every permission: a flag of `portolan run`, and a key of `[job.permissions]`.
pub const PERMISSIONS: OptionTable<PermissionOptions> =
    OptionTable { rows: ROWS, usual: PermissionOptions::default };

type PermissionRow = OptionRow<PermissionOptions>;

const ROWS: &[PermissionRow] = &[
    PermissionRow::new(
        "net",
        EachText(|it, texts| hosts(&mut it.net, texts)),
        "the FTP servers to connect with, such as [\"ftp.example.org\", \"*.example.com:2121\", \"[2001:db8::1]:21\"]; \
         without a port every port of the host is allowed, and `*.example.com` stands for the hosts below that name",
    )
    .flag("allow-net", "Let the script connect with this FTP server (`*.NAME`: all below it)")
    .value_name("HOST[:PORT]"),
    PermissionRow::new(
        "read",
        EachText(|it, texts| paths(&mut it.read, texts)),
        "the files and directories to read, with everything below them",
    )
    .flag("allow-read", "Let the script read this directory, or file")
    .value_name("DIR"),
    PermissionRow::new(
        "write",
        EachText(|it, texts| paths(&mut it.write, texts)),
        "the files and directories to create and to change, with everything below them",
    )
    .flag("allow-write", "Let the script write in this directory, or this file")
    .value_name("DIR"),
    PermissionRow::new(
        "delete",
        EachText(|it, texts| paths(&mut it.delete, texts)),
        "the directories to remove local files from, and the files to remove",
    )
    .flag("allow-delete", "Let the script remove files in this directory, or this file")
    .value_name("DIR"),
    PermissionRow::new(
        "remote_delete",
        Flag(|it, on| it.remote_delete = on),
        "remove files and directories of servers",
    )
    .usual("false")
    .flag("allow-remote-delete", "Let the script remove files of servers"),
    PermissionRow::new(
        "run",
        EachText(|it, texts| texts_of(&mut it.run, texts, "run", "a program, such as \"git\"")),
        "the programs to start, by the name that the script gives or by path; needed in every run",
    )
    .flag("allow-run", "Let the script start this program")
    .value_name("PROGRAM"),
    PermissionRow::new(
        "http",
        EachText(|it, texts| hosts(&mut it.http, texts)),
        "the hosts for HTTP requests, written as for `net`; addresses of this host and of its link, such as 127.0.0.1 \
         and 169.254.169.254, have to be named as such, whatever name leads to them; needed in every run",
    )
    .flag("allow-http", "Let the script send HTTP requests to this host")
    .value_name("HOST[:PORT]"),
    PermissionRow::new(
        "env",
        EachText(|it, texts| names::check(&mut it.env, texts, "env")),
        "the environment variables to read; a `*` at the end stands for any ending",
    )
    .flag("allow-env", "Let the script read this environment variable")
    .value_name("NAME"),
    PermissionRow::new(
        "secret",
        EachText(|it, texts| names::check(&mut it.secret, texts, "secret")),
        "the secrets to read, by the name that `secret()` is given; a `*` at the end stands for any ending",
    )
    .flag("allow-secret", "Let the script read this secret")
    .value_name("NAME"),
    PermissionRow::new(
        "nat",
        Flag(|it, on| it.nat = on),
        "change the NAT rules of this host; needed in every run",
    )
    .usual("false")
    .flag("allow-nat", "Let the script change the NAT rules of this host"),
    PermissionRow::new(
        "require_sandbox",
        Flag(|it, on| it.require_sandbox = on),
        "refuse to start where the kernel cannot enforce the permissions as well; `portolan doctor` shows what it can",
    )
    .usual("false")
    .flag("require-sandbox", "Refuse to start where the kernel cannot enforce this"),
];

fn hosts(list: &mut Vec<String>, texts: &[String]) -> Result<()> {
    texts.iter().try_for_each(|text| HostGrant::parse(text).map(drop))?;
    list.extend_from_slice(texts);
    Ok(())
}

fn paths(list: &mut Vec<String>, texts: &[String]) -> Result<()> {
    // Where they lead is known in the directory of the run.
    texts.iter().try_for_each(|text| PathGrant::check(text))?;
    list.extend_from_slice(texts);
    Ok(())
}

fn texts_of(list: &mut Vec<String>, texts: &[String], key: &str, wants: &str) -> Result<()> {
    if texts.iter().any(|text| text.is_empty() || text.contains('\0')) {
        return Err(Error::invalid(format!("`{key}` wants {wants}")));
    }
    list.extend_from_slice(texts);
    Ok(())
}
