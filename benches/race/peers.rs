//! The command of each program for each piece of work, at the best settings that were found for it.

use std::{env, path::Path, process::Command};

use crate::{
    net::Net,
    support::server::RealServer,
    work::{Item, Job},
};

/// The variable with the path of another build of Portolan.
const OTHER: &str = "PORTOLAN_RACE_OTHER";

/// The programs that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Portolan,
    /// Portolan in active mode.
    Active,
    /// Portolan without any option, whatever the others were told: with its own number of sessions, and with what an
    /// earlier run has learned of the server.
    Defaults,
    /// The build of Portolan that `PORTOLAN_RACE_OTHER` names.
    Other,
    Lftp,
    Rclone,
    Ncftp,
    Wget,
    Curl,
}

impl Peer {
    pub(crate) const ALL: [Self; 9] = [
        Self::Portolan,
        Self::Active,
        Self::Defaults,
        Self::Other,
        Self::Lftp,
        Self::Rclone,
        Self::Ncftp,
        Self::Wget,
        Self::Curl,
    ];

    pub(crate) const fn is_ours(self) -> bool {
        matches!(self, Self::Portolan | Self::Active | Self::Defaults | Self::Other)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Portolan => "portolan",
            Self::Active => "portolan active",
            Self::Defaults => "portolan, its defaults",
            Self::Other => "portolan, other build",
            Self::Lftp => "lftp",
            Self::Rclone => "rclone",
            Self::Ncftp => "ncftp",
            Self::Wget => "wget",
            Self::Curl => "curl",
        }
    }

    /// Returns true if the program is installed.
    pub(crate) fn is_installed(self) -> bool {
        let program = match self {
            Self::Other => return env::var_os(OTHER).is_some(),
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

    /// Lets the program learn what an earlier run would have, without any change on either side.
    pub(crate) fn prepare(self, net: &Net, job: &Job<'_>) {
        if self != Self::Defaults {
            return;
        }
        let mut command = self.command(net, job).unwrap();
        if job.item != Item::Login {
            command.arg("--dry-run");
        }
        assert!(command.output().unwrap().status.success());
    }

    /// Returns the command for `job`; `None` if the program cannot do that, or not with that number of sessions.
    pub(crate) fn command(self, net: &Net, job: &Job<'_>) -> Option<Command> {
        let mut command = match self {
            Self::Portolan | Self::Active | Self::Defaults | Self::Other => ours(self, net, job)?,
            Self::Lftp => lftp(net, job),
            Self::Rclone => rclone(net, job),
            Self::Ncftp => ncftp(net, job)?,
            Self::Wget => wget(net, job)?,
            Self::Curl => curl(net, job)?,
        };
        command.env("HOME", job.home).env("LC_ALL", "C.UTF-8");
        Some(command)
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn ours(peer: Peer, net: &Net, job: &Job<'_>) -> Option<Command> {
    if !job.item.is_tree() && (peer == Peer::Active || job.item.is_big() && peer == Peer::Defaults)
    {
        return None;
    }
    let other = env::var(OTHER).ok().filter(|_| peer == Peer::Other);
    let mut command = net.command(other.as_deref().unwrap_or(env!("CARGO_BIN_EXE_portolan")));
    let (url, here) = (net.url() + job.there, text(job.here));
    match job.item {
        Item::Login => command.args(["ls", &url]),
        Item::Down | Item::Unchanged => command.args(["mirror", &url, here]),
        Item::Up | Item::UnchangedUp => command.args(["mirror", here, &url]),
        Item::BigDown => command.args(["get", &url, here]),
        Item::BigUp => command.args(["put", here, &url]),
    };
    let has_sessions = job.item.is_tree() || job.item == Item::BigDown;
    if has_sessions && peer != Peer::Defaults {
        command.args(["--parallel", &job.sessions.to_string()]);
    }
    if peer == Peer::Active {
        command.args(["--set", "mode=active", "--set", "fallback=false"]);
    }
    if net.is_tls {
        command.args(["--set", "insecure=true"]);
    }
    command.arg("--no-progress");
    if peer != Peer::Defaults {
        command.arg("--no-memory");
    }
    Some(command)
}

fn lftp(net: &Net, job: &Job<'_>) -> Command {
    let Job { there, sessions, .. } = *job;
    let here = text(job.here);
    let work = match job.item {
        Item::Login => format!("cls {there}"),
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
    let security = if net.is_tls {
        "set ftp:ssl-force yes; set ftp:ssl-protect-data yes; set ssl:verify-certificate no"
    } else {
        "set ftp:ssl-allow no"
    };
    let settings = "set net:max-retries 2; set net:timeout 20; set ftp:sync-mode no; \
         set xfer:buffer-size 262144; set ftp:use-stat-for-list yes; set ftp:use-allo no; \
         set ftp:use-mdtm-overloaded yes";
    let (user, password) = (RealServer::USER, RealServer::PASSWORD);
    let script =
        format!("{security}; {settings}; open -u {user},{password} -p 21 {}; {work}", Net::host());
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
        Item::Login => command.args(["lsf", &there]),
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
        .env("RCLONE_FTP_EXPLICIT_TLS", net.is_tls.to_string())
        .env("RCLONE_FTP_NO_CHECK_CERTIFICATE", "true")
        // With TLS 1.3 it does not resume the session of the control connection, which vsftpd requires.
        .env("RCLONE_FTP_DISABLE_TLS13", "true")
        .env("RCLONE_FTP_WRITING_MDTM", "true");
    command
}

fn ncftp(net: &Net, job: &Job<'_>) -> Option<Command> {
    let up = matches!(job.item, Item::Up | Item::BigUp);
    if net.is_tls {
        return None;
    }
    let program = match job.item {
        Item::Login => "ncftpls",
        _ if up => "ncftpput",
        _ => "ncftpget",
    };
    let mut command = net.command(program);
    if job.item == Item::Login {
        command.args(["-u", RealServer::USER, "-p", RealServer::PASSWORD]);
        command.arg(format!("ftp://{}{}/", Net::host(), job.there));
        return Some(command);
    }
    // Its own socket buffers would limit it to 6 MB/s at 20 ms.
    command.args(["-V", "-B", "4194304", "-u", RealServer::USER, "-p", RealServer::PASSWORD]);
    let host = Net::host().to_string();
    let (here, there) = (text(job.here), job.there);
    let above = |path: &Path| path.parent().map(|path| text(path).to_owned()).unwrap_or_default();
    match job.item {
        _ if job.sessions > 1 => return None,
        Item::Login | Item::UnchangedUp => return None,
        Item::Down | Item::Unchanged => command.args(["-R", "-T", &host, here, there]),
        Item::Up => command.args(["-R", "-m", &host, there, here]),
        Item::BigDown => command.args([&host, &above(job.here), there]),
        Item::BigUp => command.args([&host, &above(Path::new(there)), here]),
    };
    Some(command)
}

fn wget(net: &Net, job: &Job<'_>) -> Option<Command> {
    let mut command = net.command("wget");
    let url = net.url() + job.there;
    match job.item {
        // It has implicit TLS only.
        _ if job.sessions > 1 || net.is_tls => return None,
        Item::Down | Item::Unchanged => {
            let tree = ["-q", "-r", "-l", "inf", "-N", "-nH", "--cut-dirs=1", "-P"];
            command.args(tree).arg(job.here).arg(url + "/")
        }
        Item::BigDown => command.arg("-q").arg("-O").arg(job.here).arg(url),
        _ => return None,
    };
    Some(command)
}

fn curl(net: &Net, job: &Job<'_>) -> Option<Command> {
    let mut command = net.command("curl");
    command.args(["-s", "--list-only"]);
    if net.is_tls {
        command.args(["--ssl-reqd", "--insecure"]);
    }
    let (user, password) = (RealServer::USER, RealServer::PASSWORD);
    command.arg(format!("ftp://{user}:{password}@{}{}/", Net::host(), job.there));
    (job.item == Item::Login).then_some(command)
}
