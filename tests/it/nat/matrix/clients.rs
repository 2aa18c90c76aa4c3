//! The clients of the matrix, each with the same task: download the files, and upload one.

use std::{
    fmt::Write,
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{
    net::Space,
    program::leaks::assert_kept,
    server::RealServer,
    tree::{Manifest, assert_same},
};

/// The content of the file that each of them uploads.
const UPLOAD: &[u8] = b"from here to there\n";
/// The time limit for a client that must succeed, in seconds: the machine may be shared.
const WORK_TIME: u32 = 60;
/// The time limit for a client that must fail by itself, in seconds.
const FAIL_TIME: u32 = 20;

/// An FTP client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Portolan,
    Lftp,
    Curl,
}

impl Client {
    pub(super) const ALL: [Self; 3] = [Self::Portolan, Self::Lftp, Self::Curl];
}

/// The mode of the data connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Passive by EPSV, or PASV if the server knows no EPSV.
    Passive,
    /// Passive to the address in the reply to PASV, if the client can be configured to trust it.
    PassiveAsTold,
    /// Active by EPRT or PORT with the client's own address.
    Active,
    /// Active by PORT with the external address, and ports that are forwarded to the client.
    ActiveAnnounced,
}

/// The expected result of a client.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected {
    Works,
    /// It fails, with one of these texts in its output.
    Fails(&'static [&'static str]),
    /// The client does not support this, whatever is between it and the server.
    Unable,
}

/// A task of a client.
pub(super) struct Task<'t> {
    pub(super) space: &'t Space,
    pub(super) server: &'t RealServer,
    pub(super) address: SocketAddr,
    pub(super) way: Way,
    pub(super) is_tls: bool,
    pub(super) has_pasv_only: bool,
    /// A number that no other task on this server has.
    pub(super) number: usize,
}

/// The words of curl where vsftpd 3.0.3 has no free port left in its range: it says "500 OOPS" without TLS in a session with it,
/// and ends. The ten ports of a row are shared by its clients; once in some hundred runs they are taken.
const OOPS: &str = "wrong version number";

impl Task<'_> {
    /// Runs the task with `client`, and compares all bytes if it must work. Returns a text with the differences from
    /// the expected result.
    pub(super) fn check(&self, client: Client, expected: Expected) -> Result<(), String> {
        let is_to_work = match expected {
            Expected::Works => true,
            Expected::Fails(_) => false,
            Expected::Unable => return Ok(()),
        };
        let folder = tempfile::Builder::new().prefix("portolan-matrix-").tempdir().unwrap();
        let name = format!("up-{}-{client:?}.bin", self.number);
        fs::write(folder.path().join("up.bin"), UPLOAD).unwrap();
        let commands = match client {
            Client::Portolan => vec![self.portolan(folder.path(), &name, is_to_work)],
            Client::Lftp => vec![self.lftp(&name, is_to_work)],
            Client::Curl => self.curl(&name, is_to_work),
        };
        let mut said = String::new();
        let mut is_done = true;
        for command in commands {
            let mut is_this_done = self.run(&command, folder.path(), is_to_work, &mut said);
            if !is_this_done && client == Client::Curl && said.contains(OOPS) {
                is_this_done = self.run(&command, folder.path(), is_to_work, &mut said);
            }
            is_done &= is_this_done;
        }
        match expected {
            Expected::Works if is_done && !said.contains("500 Illegal") => {
                self.compare(client, folder.path(), &name);
                Ok(())
            }
            Expected::Fails(words) if !is_done && words.iter().any(|word| said.contains(word)) => {
                Ok(())
            }
            _ => Err(format!("{client:?} {:?}: wanted {expected:?}, got\n{said}", self.way)),
        }
    }

    fn run(&self, words: &[String], folder: &Path, is_to_work: bool, said: &mut String) -> bool {
        let time = if is_to_work { WORK_TIME } else { FAIL_TIME };
        let mut command = Command::new("timeout");
        command.args(["-k", "1", &time.to_string()]).args(words).current_dir(folder);
        command.env("HOME", folder).env("LC_ALL", "C").env_remove("PORTOLAN_STATE");
        command.env("SITE_PASSWORD", RealServer::PASSWORD).stdin(Stdio::null());
        let ran = self.space.within(|| command.output().unwrap());
        if words.first().is_some_and(|program| program == env!("CARGO_BIN_EXE_portolan")) {
            assert_kept(&[RealServer::PASSWORD], &ran, folder);
        }
        for bytes in [ran.stdout, ran.stderr] {
            said.push_str(&String::from_utf8_lossy(&bytes));
        }
        writeln!(said, "== {:?}", ran.status.code()).unwrap();
        ran.status.success()
    }

    /// Compares the downloaded and the uploaded files byte by byte.
    fn compare(&self, client: Client, folder: &Path, name: &str) {
        if client == Client::Curl {
            let got = fs::read(folder.join("got.bin")).unwrap();
            assert!(got == self.server.bytes("tree/b/large.bin"), "{client:?}: other bytes");
        } else {
            let tree = self.server.root().join("tree");
            assert!(Manifest::of(&tree).has("b/large.bin"));
            assert_same(&tree, &folder.join("got"));
        }
        assert_eq!(self.server.bytes(name), UPLOAD, "{client:?}");
    }

    fn portolan(&self, folder: &Path, name: &str, is_to_work: bool) -> Vec<String> {
        let scheme = if self.is_tls { "ftpes" } else { "ftp" };
        let further;
        let (mode, further) = match self.way {
            Way::Passive | Way::PassiveAsTold => ("passive", ""),
            Way::Active => ("active", ""),
            Way::ActiveAnnounced => {
                let outside =
                    if self.address.is_ipv6() { "2001:db8:113::1" } else { "203.0.113.1" };
                further = format!("port_range: \"40000-40009\", external_address: \"{outside}\",");
                ("active", further.as_str())
            }
        };
        let time = if is_to_work { 30 } else { 3 };
        let script = format!(
            "let site = ftp::connect(\"{scheme}://{user}@{address}\", #{{
                password: secret(\"SITE_PASSWORD\"), mode: \"{mode}\", fallback: false, insecure: {tls}, {further}
                connect_timeout: \"{time}s\", data_timeout: \"{time}s\",
            }});
            site.mirror_down(\"/tree\", \"got\");
            site.put(\"up.bin\", \"/{name}\");
            print(site.route);
            site.close();\n",
            user = RealServer::USER,
            address = self.address,
            tls = self.is_tls,
        );
        fs::write(folder.join("task.rhai"), script).unwrap();
        // A success must come at once, and not by a retry: the log shows that.
        let level = if is_to_work { "debug" } else { "error" };
        let program = env!("CARGO_BIN_EXE_portolan");
        [program, "--log-level", level, "run", "task.rhai"].map(str::to_owned).into()
    }

    fn lftp(&self, name: &str, is_to_work: bool) -> Vec<String> {
        let yes = |on: bool| if on { "yes" } else { "no" };
        let is_passive = matches!(self.way, Way::Passive | Way::PassiveAsTold);
        let time = if is_to_work { 30 } else { 4 };
        let mut lines: Vec<String> = [
            "net:max-retries 1",
            "net:persist-retries 0",
            "cmd:fail-exit yes",
            "ssl:verify-certificate no",
            "ftp:auto-passive-mode no",
            "ftp:ssl-protect-data yes",
        ]
        .map(|line| format!("set {line}"))
        .into();
        lines.push(format!("set net:timeout {time}"));
        lines.push(format!("set ftp:ssl-allow {0}; set ftp:ssl-force {0}", yes(self.is_tls)));
        lines.push(format!("set ftp:passive-mode {}", yes(is_passive)));
        lines.push(format!("set ftp:prefer-epsv {}", yes(!self.has_pasv_only)));
        lines.push(format!("set ftp:fix-pasv-address {}", yes(self.way != Way::PassiveAsTold)));
        if self.way == Way::ActiveAnnounced {
            lines.push("set ftp:port-range 40000-40009; set ftp:port-ipv4 203.0.113.1".to_owned());
        }
        let host = match self.address.ip() {
            ip if ip.is_ipv6() => format!("[{ip}]"),
            ip => ip.to_string(),
        };
        let (user, password) = (RealServer::USER, RealServer::PASSWORD);
        lines.push(format!("debug 5; open -u {user},{password} -p {} {host}", self.address.port()));
        lines.push(format!("mirror tree got; put up.bin -o {name}; exit"));
        ["lftp", "--norc", "-c", &lines.join("; ")].map(str::to_owned).into()
    }

    /// Two commands, since curl does one thing at a time.
    fn curl(&self, name: &str, is_to_work: bool) -> Vec<Vec<String>> {
        let time = if is_to_work { "30" } else { "6" };
        let login = format!("{}:{}", RealServer::USER, RealServer::PASSWORD);
        let mut words =
            vec!["curl", "-sS", "-v", "-g", "--connect-timeout", time, "--max-time", time];
        words.extend(["-u", &login]);
        if self.is_tls {
            words.extend(["--ssl-reqd", "-k"]);
        }
        match self.way {
            Way::Passive => {}
            Way::PassiveAsTold => words.push("--no-ftp-skip-pasv-ip"),
            Way::Active => words.extend(["-P", "-"]),
            Way::ActiveAnnounced => words.extend(["-P", "203.0.113.1:40000-40009"]),
        }
        let url = |path: &str| format!("ftp://{}/{path}", self.address);
        let (down, up) = (url("tree/b/large.bin"), url(name));
        let tasks = [["-o", "got.bin", &down], ["-T", "up.bin", &up]];
        // One failure is enough.
        let count = if is_to_work { 2 } else { 1 };
        let whole =
            |task: [&str; 3]| words.iter().copied().chain(task).map(str::to_owned).collect();
        tasks.into_iter().take(count).map(whole).collect()
    }
}
