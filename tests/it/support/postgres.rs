//! A PostgreSQL server for one test, on a free port of loopback, with a password and TLS.
//!
//! `tests/servers/install` fetches its programs. Where there are none the test is skipped, which is reported on one line;
//! with `PORTOLAN_REQUIRE_SERVERS=1` it fails instead.

use std::{
    env, fs,
    io::Write,
    net::{Ipv4Addr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    time::Duration,
};

use super::{
    certificates::{self, Certificate},
    server::free_ports,
    wait,
};

/// The maximum time of a start: a busy machine makes a database in a few seconds.
const START_TIME_MAX: Duration = Duration::from_mins(1);

/// Starts the server as another user than root, stops and starts it at each line of its input, and removes everything at the
/// end of that, which comes with the end of the test.
const SCRIPT: &str = r#"
cd /
# Whoever ends the tests by a signal to all of their processes ends this one by its input.
trap '' HUP INT TERM
as() { exec "$@"; }
if [ "$(id -u)" = 0 ]; then
    user=postgres; id "$user" >/dev/null 2>&1 || user=nobody
    as() { exec setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@"; }
    if (as test -x "$PROGRAMS/postgres"); then
        chown "$user" "$FOLDER" "$FOLDER"/*
    else
        # The programs are in a folder of root alone.
        as() { exec unshare --user --map-user=65534 "$@"; }
    fi
fi
(as "$PROGRAMS/initdb" -D "$FOLDER/data" -A scram-sha-256 --pwfile="$FOLDER/word" -U portolan -E UTF8 --no-locale -N) \
    >"$FOLDER/log" 2>&1
start() {
    as "$PROGRAMS/postgres" -D "$FOLDER/data" -k "$FOLDER" -p "$PORT" -c listen_addresses=127.0.0.1 \
        -c ssl=on -c ssl_cert_file="$FOLDER/server.pem" -c ssl_key_file="$FOLDER/server.key" \
        -c fsync=off -c max_connections=100 >>"$FOLDER/log" 2>&1 &
    server=$!
}
start
while read -r word; do
    case $word in
        start) start ;;
        stop) kill -QUIT $server; wait $server ;;
    esac
done
kill -QUIT $server 2>/dev/null
wait $server
rm -rf "$FOLDER"
"#;

/// A running server.
pub(crate) struct PostgresServer {
    port: u16,
    folder: PathBuf,
    input: ChildStdin,
    /// The number of starts before the last one.
    starts: usize,
}

impl PostgresServer {
    /// The password of the role `portolan`.
    pub(crate) const PASSWORD: &str = "open+sesame-21";

    /// Starts a server; `None` if its programs are not here.
    #[expect(
        clippy::zombie_processes,
        reason = "the shell outlives this process, whose end it waits for"
    )]
    pub(crate) fn start() -> Option<Self> {
        let programs = programs_or_skip()?;
        let port = *free_ports(1).start();
        let folder = tempfile::Builder::new().prefix("portolan-postgres-").tempdir().unwrap();
        let folder = folder.keep();
        certificates::write(Certificate::Good, &folder);
        fs::set_permissions(folder.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(folder.join("word"), Self::PASSWORD).unwrap();
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .env("PROGRAMS", programs)
            .env("FOLDER", &folder)
            .env("PORT", port.to_string())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let input = shell.stdin.take().unwrap();
        let server = Self { port, folder, input, starts: 0 };
        server.until_ready();
        Some(server)
    }

    fn until_ready(&self) {
        let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let starts = || log().matches("database system is ready to accept connections").count();
        let found = wait::until(START_TIME_MAX, || (starts() > self.starts).then_some(()));
        assert!(found.is_some(), "PostgreSQL does not answer\n{}", log());
    }

    /// Returns the address of its database, without a password.
    pub(crate) fn address(&self) -> String {
        format!("postgres://portolan@127.0.0.1:{}/postgres", self.port)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Returns the file with the authority of its certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Ends it at once, as a loss of power does.
    pub(crate) fn stop(&mut self) {
        self.input.write_all(b"stop\n").unwrap();
        let address = (Ipv4Addr::LOCALHOST, self.port);
        let gone = wait::until(START_TIME_MAX, || TcpStream::connect(address).err());
        assert!(gone.is_some(), "PostgreSQL does not end");
    }

    /// Starts it again.
    pub(crate) fn start_again(&mut self) {
        self.starts += 1;
        self.input.write_all(b"start\n").unwrap();
        self.until_ready();
    }
}

/// Returns the folder of the programs; `None`, which is reported, if the test is to be skipped.
pub(crate) fn programs_or_skip() -> Option<PathBuf> {
    let found = programs();
    if found.is_none() {
        let is_required = env::var_os("PORTOLAN_REQUIRE_SERVERS").is_some_and(|one| one == "1");
        assert!(!is_required, "PostgreSQL is not here: tests/servers/install fetches it");
        std::io::stderr().write_all(b"skipped: PostgreSQL is not here\n").unwrap();
    }
    found
}

/// Returns the folder of the programs: those of the tests, or those of the system.
fn programs() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-servers");
    let servers = env::var_os("PORTOLAN_TEST_SERVERS").map_or(here, PathBuf::from);
    let roots = [servers, PathBuf::from("/")];
    let mut found = roots.iter().flat_map(|root| {
        let versions = fs::read_dir(root.join("usr/lib/postgresql")).into_iter().flatten();
        versions.flatten().map(|version| version.path().join("bin"))
    });
    found.find(|folder| folder.join("postgres").exists() && folder.join("initdb").exists())
}
