//! The command of each program for each piece of work, at the best settings that were found for it.

use std::{path::Path, process::Command};

use crate::{
    net::Net,
    support::server::RealServer,
    work::{Item, Job},
};

/// The programs that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Portolan,
    /// Portolan in active mode.
    Active,
    /// Portolan with `--parallel auto`.
    Auto,
    Lftp,
    Rclone,
    Ncftp,
    Wget,
}

impl Peer {
    pub(crate) const ALL: [Self; 7] = [
        Self::Portolan,
        Self::Active,
        Self::Auto,
        Self::Lftp,
        Self::Rclone,
        Self::Ncftp,
        Self::Wget,
    ];

    pub(crate) const fn is_ours(self) -> bool {
        matches!(self, Self::Portolan | Self::Active | Self::Auto)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Portolan => "portolan",
            Self::Active => "portolan active",
            Self::Auto => "portolan auto",
            Self::Lftp => "lftp",
            Self::Rclone => "rclone",
            Self::Ncftp => "ncftp",
            Self::Wget => "wget",
        }
    }

    /// Returns true if the program is installed.
    pub(crate) fn is_installed(self) -> bool {
        let program = match self {
            Self::Ncftp => "ncftpget",
            other => other.name(),
        };
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
        self.is_ours() || found.is_ok_and(|found| found.status.success())
    }

    /// Returns true if the program puts the source directory itself into the target.
    pub(crate) fn nests(self, item: Item) -> bool {
        self == Self::Ncftp && matches!(item, Item::Down | Item::Up | Item::Unchanged)
    }

    /// Returns the command for `job`; `None` if the program cannot do that, or not with that number of sessions.
    pub(crate) fn command(self, net: &Net, job: &Job<'_>) -> Option<Command> {
        let mut command = match self {
            Self::Portolan | Self::Active | Self::Auto => ours(self, net, job)?,
            Self::Lftp => lftp(net, job),
            Self::Rclone => rclone(net, job),
            Self::Ncftp => ncftp(net, job)?,
            Self::Wget => wget(net, job)?,
        };
        command.env("HOME", job.home).env("LC_ALL", "C.UTF-8");
        Some(command)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn ours(peer: Peer, net: &Net, job: &Job<'_>) -> Option<Command> {
    let is_tree = job.item.is_tree();
    let sessions = match peer {
        Peer::Auto if is_tree && job.sessions > 1 => "auto".to_owned(),
        Peer::Active if is_tree => job.sessions.to_string(),
        Peer::Portolan => job.sessions.to_string(),
        _ => return None,
    };
    let mut command = net.command(env!("CARGO_BIN_EXE_portolan"));
    let (url, here) = (Net::url() + job.there, text(job.here));
    match job.item {
        Item::Down | Item::Unchanged => command.args(["mirror", &url, here]),
        Item::Up | Item::UnchangedUp => command.args(["mirror", here, &url]),
        Item::BigDown => command.args(["get", &url, here]),
        Item::BigUp => command.args(["put", here, &url]),
    };
    if job.item != Item::BigUp {
        command.args(["--parallel", &sessions]);
    }
    if peer == Peer::Active {
        command.args(["--set", "mode=active", "--set", "fallback=false"]);
    }
    command.args(["--no-progress", "--no-memory"]);
    Some(command)
}

fn lftp(net: &Net, job: &Job<'_>) -> Command {
    let Job { there, sessions, .. } = *job;
    let here = text(job.here);
    let work = match job.item {
        Item::Down | Item::Unchanged => format!("mirror --no-perms -P {sessions} {there} {here}"),
        Item::Up | Item::UnchangedUp => {
            format!("mirror -R --no-perms -P {sessions} {here} {there}")
        }
        Item::BigDown if sessions > 1 => format!("pget -c -n {sessions} {there} -o {here}"),
        Item::BigDown => format!("get {there} -o {here}"),
        Item::BigUp => format!("put {here} -o {there}"),
    };
    // Several commands in flight, lists on the control connection, no commands that change nothing here; uploads keep
    // their times, as those of the others do.
    let settings = "set ftp:ssl-allow no; set net:max-retries 2; set net:timeout 20; set ftp:sync-mode no; \
         set xfer:buffer-size 262144; set ftp:use-stat-for-list yes; set ftp:use-allo no; \
         set ftp:use-mdtm-overloaded yes";
    let (user, password) = (RealServer::USER, RealServer::PASSWORD);
    let script = format!("{settings}; open -u {user},{password} -p 21 {}; {work}", Net::host());
    let mut command = net.command("lftp");
    command.args(["--norc", "-c", &script]);
    command
}

fn rclone(net: &Net, job: &Job<'_>) -> Command {
    let mut command = net.command("rclone");
    let sessions = job.sessions.to_string();
    command.args(["--transfers", &sessions, "--checkers", &sessions, "--retries", "1"]);
    // Its parallel streams of one file treat the server's 426 as a failure.
    command.args(["--multi-thread-streams", "0"]);
    let there = format!(":ftp:{}", job.there);
    let here = text(job.here);
    match job.item {
        Item::Down | Item::Unchanged => command.args(["sync", &there, here]),
        Item::Up | Item::UnchangedUp => command.args(["sync", here, &there]),
        Item::BigDown => command.args(["copyto", &there, here]),
        Item::BigUp => command.args(["copyto", here, &there]),
    };
    let obscured = Command::new("rclone").args(["obscure", RealServer::PASSWORD]).output().unwrap();
    command
        .env("RCLONE_CONFIG", job.home.join("rclone.conf"))
        .env("RCLONE_FTP_HOST", Net::host().to_string())
        .env("RCLONE_FTP_PORT", "21")
        .env("RCLONE_FTP_USER", RealServer::USER)
        .env("RCLONE_FTP_PASS", String::from_utf8(obscured.stdout).unwrap().trim())
        .env("RCLONE_FTP_WRITING_MDTM", "true");
    command
}

fn ncftp(net: &Net, job: &Job<'_>) -> Option<Command> {
    let up = matches!(job.item, Item::Up | Item::BigUp);
    let mut command = net.command(if up { "ncftpput" } else { "ncftpget" });
    // Its own socket buffers would limit it to 6 MB/s at 20 ms.
    command.args(["-V", "-B", "4194304", "-u", RealServer::USER, "-p", RealServer::PASSWORD]);
    let host = Net::host().to_string();
    let (here, there) = (text(job.here), job.there);
    let above = |path: &Path| path.parent().map(|path| text(path).to_owned()).unwrap_or_default();
    match job.item {
        _ if job.sessions > 1 => return None,
        Item::UnchangedUp => return None,
        Item::Down | Item::Unchanged => command.args(["-R", "-T", &host, here, there]),
        Item::Up => command.args(["-R", "-m", &host, there, here]),
        Item::BigDown => command.args([&host, &above(job.here), there]),
        Item::BigUp => command.args([&host, &above(Path::new(there)), here]),
    };
    Some(command)
}

fn wget(net: &Net, job: &Job<'_>) -> Option<Command> {
    let mut command = net.command("wget");
    let url = Net::url() + job.there;
    match job.item {
        _ if job.sessions > 1 => return None,
        Item::Down | Item::Unchanged => {
            let tree = ["-q", "-r", "-l", "inf", "-N", "-nH", "--cut-dirs=1", "-P"];
            command.args(tree).arg(job.here).arg(url + "/")
        }
        Item::BigDown => command.arg("-q").arg("-O").arg(job.here).arg(url),
        _ => return None,
    };
    Some(command)
}
