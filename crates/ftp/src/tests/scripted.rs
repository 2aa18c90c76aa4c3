//! A minimal server for tests with configurable quirks: its handling of packets, its names of directories, its
//! greeting.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{secret::Secret, site::Site};

/// The handling of a packet of several commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Packets {
    /// Normal handling.
    #[default]
    Whole,
    /// Executes the first command and drops the rest.
    FirstOnly,
    /// Executes the first command, replies, and closes the connection.
    CloseBehindFirst,
    /// Drops the whole packet.
    NoneAtAll,
    /// Executes the first command, and refuses the rest with one reply.
    OneForTheRest,
    /// Executes all commands, with a wait of two seconds after the first.
    Late,
}

/// The quirks of the server.
#[derive(Debug, Clone)]
pub(super) struct Oddities {
    pub(super) greeting: Vec<u8>,
    pub(super) packets: Packets,
    /// The command that a packet must contain for the quirk to apply; any if this is empty.
    pub(super) since: &'static str,
    /// The commands that get a second reply, with that reply.
    pub(super) twice: Vec<(&'static str, &'static str)>,
    /// The reply to PWD; `{}` is the directory, and `{\}` the same with backslashes.
    pub(super) pwd: &'static str,
    /// True if names have no slashes; they are listed in the format of z/OS.
    pub(super) is_flat: bool,
    /// True if it reports the sizes of files, and repeats the number of REST.
    pub(super) is_talkative: bool,
}

impl Default for Oddities {
    fn default() -> Self {
        Self {
            greeting: b"220 ready\r\n".to_vec(),
            packets: Packets::Whole,
            since: "",
            twice: Vec::new(),
            pwd: "257 \"{}\" is the folder",
            is_flat: false,
            is_talkative: true,
        }
    }
}

#[derive(Debug, Default)]
struct ScriptedState {
    files: BTreeMap<String, Vec<u8>>,
    log: Vec<String>,
    /// The number of commands in each packet.
    packets: Vec<usize>,
}

/// The server; it ends with the test's runtime.
pub(super) struct ScriptedServer {
    pub(super) site: Site,
    state: Arc<Mutex<ScriptedState>>,
}

impl ScriptedServer {
    /// Starts the server on a free port.
    pub(super) async fn start(oddities: Oddities) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(ScriptedState::default()));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let talk = ScriptedDialogue::new(tcp, oddities.clone(), Arc::clone(&shared));
                tokio::spawn(talk.serve());
            }
        });
        Self { site: site(address), state }
    }

    /// Creates a file.
    pub(super) fn file(&self, path: &str, bytes: &[u8]) {
        self.state.lock().unwrap().files.insert(path.into(), bytes.to_vec());
    }

    /// Returns the content of the file at `path`.
    pub(super) fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        self.state.lock().unwrap().files.get(path).cloned()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.state.lock().unwrap().files.keys().cloned().collect()
    }

    /// Returns the commands that were executed.
    pub(super) fn commands(&self) -> Vec<String> {
        self.state.lock().unwrap().log.clone()
    }

    /// Returns the largest number of commands in one packet.
    pub(super) fn largest_packet(&self) -> usize {
        self.state.lock().unwrap().packets.iter().copied().max().unwrap_or(0)
    }

    pub(super) fn forget_packets(&self) {
        self.state.lock().unwrap().packets.clear();
    }

    pub(super) fn count(&self, start: &str) -> usize {
        self.commands().iter().filter(|line| line.starts_with(start)).count()
    }
}

fn site(address: SocketAddr) -> Site {
    let mut site = Site::new("127.0.0.1");
    site.port = address.port();
    site.user = "tester".into();
    site.password = Some(Secret::new("secret"));
    site.reply_timeout = Duration::from_secs(20);
    site
}

struct ScriptedDialogue {
    tcp: TcpStream,
    oddities: Oddities,
    state: Arc<Mutex<ScriptedState>>,
    folder: String,
    data: Option<TcpListener>,
    rename: Option<String>,
}

impl ScriptedDialogue {
    fn new(tcp: TcpStream, oddities: Oddities, state: Arc<Mutex<ScriptedState>>) -> Self {
        let folder = if oddities.is_flat { "'OPSUSER.'" } else { "/" };
        Self { tcp, oddities, state, folder: folder.into(), data: None, rename: None }
    }

    async fn serve(mut self) {
        let greeting = self.oddities.greeting.clone();
        drop(self.tcp.write_all(&greeting).await);
        let mut bytes = [0; 8192];
        while let Ok(count @ 1..) = self.tcp.read(&mut bytes).await {
            let packet = String::from_utf8_lossy(&bytes[..count]).into_owned();
            let lines: Vec<_> = packet.split_terminator("\r\n").collect();
            self.state.lock().unwrap().packets.push(lines.len());
            if self.take(&lines).await.is_none() {
                return;
            }
        }
    }

    /// Executes a packet; returns `None` at the end of the session.
    async fn take(&mut self, lines: &[&str]) -> Option<()> {
        let since = self.oddities.since;
        let is_odd = lines.len() > 1 && lines.iter().any(|line| line.starts_with(since));
        let packets = if is_odd { self.oddities.packets } else { Packets::Whole };
        // Commands before the one in question are executed as usual.
        let usual = lines.iter().position(|line| line.starts_with(since)).unwrap_or(0);
        for (at, line) in lines.iter().enumerate() {
            match packets {
                Packets::NoneAtAll => return Some(()),
                Packets::FirstOnly if at > usual => return Some(()),
                Packets::CloseBehindFirst if at > usual => return None,
                Packets::OneForTheRest if at > usual => return self.say("500 Syntax error.").await,
                Packets::Late if at == 1 => tokio::time::sleep(Duration::from_secs(2)).await,
                _ => {}
            }
            self.answer(line).await?;
        }
        Some(())
    }

    async fn say(&mut self, line: &str) -> Option<()> {
        self.tcp.write_all(format!("{line}\r\n").as_bytes()).await.ok()
    }

    async fn answer(&mut self, line: &str) -> Option<()> {
        self.state.lock().unwrap().log.push(line.to_owned());
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        let reply = self.reply(verb, argument).await?;
        self.say(&reply).await?;
        let again = self.oddities.twice.iter().find(|(twice, _)| *twice == verb);
        if let Some((_, again)) = again.copied() {
            self.say(again).await?;
        }
        Some(())
    }

    /// Returns a path in the form in which files are stored, or `None` if such a server could have no such file.
    fn path(&self, argument: &str) -> Option<String> {
        if !self.oddities.is_flat {
            let folder = self.folder.trim_end_matches('/');
            let is_whole = argument.starts_with('/');
            return Some(if is_whole { argument.into() } else { format!("{folder}/{argument}") });
        }
        let name = match argument.strip_prefix('\'') {
            Some(whole) => whole.strip_suffix('\'')?.strip_prefix("OPSUSER.")?,
            None => argument,
        };
        let is_part = |part: &str| {
            (1..=8).contains(&part.len())
                && part
                    .chars()
                    .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || "$#@".contains(c))
        };
        name.split('.').all(is_part).then(|| name.to_owned())
    }

    async fn reply(&mut self, verb: &str, argument: &str) -> Option<String> {
        const NO: &str = "550 no such file";
        let size = |state: &ScriptedState, path: &Option<String>| {
            path.as_ref().and_then(|path| state.files.get(path)).map(Vec::len)
        };
        let path = self.path(argument);
        Some(match verb {
            "USER" => "331 password".into(),
            "PASS" => "230 in".into(),
            "TYPE" | "NOOP" => "200 ok".into(),
            "PWD" => self.pwd(),
            "CWD" if self.oddities.is_flat => "501 A qualifier is not valid".into(),
            "CWD" if ["/", "/d", "/d/"].contains(&argument) => {
                self.folder = argument.into();
                "250 there".into()
            }
            "CWD" => NO.into(),
            "SIZE" if self.oddities.is_flat => "500 unknown command SIZE".into(),
            "SIZE" => size(&self.state.lock().unwrap(), &path)
                .map_or(NO.into(), |size| format!("213 {size}")),
            "REST" if self.oddities.is_talkative => format!("350 restarting at {argument}"),
            "REST" => "350 go on".into(),
            "MKD" => "550 exists".into(),
            "DELE" => {
                let gone = path.and_then(|path| self.state.lock().unwrap().files.remove(&path));
                gone.map_or(NO, |_| "250 gone").into()
            }
            "RNFR" => {
                let is_there = size(&self.state.lock().unwrap(), &path).is_some();
                self.rename = path.filter(|_| is_there);
                self.rename.as_ref().map_or(NO, |_| "350 to what").into()
            }
            "RNTO" => {
                let mut state = self.state.lock().unwrap();
                match (self.rename.take().and_then(|from| state.files.remove(&from)), path) {
                    (Some(bytes), Some(path)) => {
                        state.files.insert(path, bytes);
                        "250 renamed".into()
                    }
                    _ => "503 RNFR first".into(),
                }
            }
            "EPSV" => {
                let data = TcpListener::bind("127.0.0.1:0").await.ok()?;
                let port = data.local_addr().ok()?.port();
                self.data = Some(data);
                format!("229 go on (|||{port}|)")
            }
            "LIST" if !argument.is_empty() && self.oddities.is_flat => NO.into(),
            "LIST" => {
                let lines = self.listing();
                self.send(&lines).await?
            }
            "RETR" => {
                let bytes =
                    path.and_then(|path| self.state.lock().unwrap().files.get(&path).cloned());
                match bytes {
                    Some(bytes) => self.send(&bytes).await?,
                    None => NO.into(),
                }
            }
            "STOR" => self.store(path).await?,
            "QUIT" => {
                self.say("221 bye").await;
                return None;
            }
            _ => format!("500 unknown command {verb}"),
        })
    }

    async fn store(&mut self, path: Option<String>) -> Option<String> {
        match path {
            Some(path) => self.receive(path).await,
            None => Some("501 Invalid data set name".into()),
        }
    }

    fn pwd(&self) -> String {
        let backwards = self.folder.replace('/', "\\");
        self.oddities.pwd.replace("{}", &self.folder).replace("{\\}", &backwards)
    }

    fn listing(&self) -> Vec<u8> {
        let state = self.state.lock().unwrap();
        if self.oddities.is_flat {
            let head =
                "Volume Unit    Referred Ext Used Recfm Lrecl BlkSz Dsorg Dsname\r\n".to_owned();
            let line = |name: &String| {
                format!("WYOSPT 3420   2023/05/21  1   15  FB      80 27920  PS  {name}\r\n")
            };
            return state
                .files
                .keys()
                .map(line)
                .fold(head, |all, line| all + line.as_str())
                .into_bytes();
        }
        let folder = format!("{}/", self.folder.trim_end_matches('/'));
        let mut lines = String::new();
        for (path, bytes) in &state.files {
            if let Some(name) = path.strip_prefix(&folder).filter(|name| !name.contains('/')) {
                let size = bytes.len();
                let line = format!("-rw-r--r--   1 u g {size} Jan 02  2025 {name}\r\n");
                lines += &line;
            }
        }
        if folder == "/" {
            lines += "drwxr-xr-x   2 u g 4096 Jan 02  2025 d\r\n";
        }
        lines.into_bytes()
    }

    async fn send(&mut self, bytes: &[u8]) -> Option<String> {
        let (mut data, _) = self.data.take()?.accept().await.ok()?;
        self.say("150 here").await?;
        data.write_all(bytes).await.ok()?;
        Some("226 done".into())
    }

    async fn receive(&mut self, path: String) -> Option<String> {
        let (mut data, _) = self.data.take()?.accept().await.ok()?;
        self.say("150 send").await?;
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes).await.ok()?;
        self.state.lock().unwrap().files.insert(path, bytes);
        Some("226 done".into())
    }
}
