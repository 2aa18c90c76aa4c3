//! A PostgreSQL server for tests: one for the process, on a free port of loopback, with a database for each test.
//!
//! `tests/servers/install` fetches its programs. Where there are none the tests are skipped, which is reported on one line;
//! with `PORTOLAN_REQUIRE_SERVERS=1` they fail instead.

use std::{
    env, fs,
    io::Write,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use super::{PostgresSession, PostgresSettings};
use crate::sql::Sql;

/// The maximum time from the start of the server to its first answer.
const START_TIME_MAX: Duration = Duration::from_mins(1);

/// Starts the server as another user than root, and removes everything when the end of its input says that the tests have
/// ended, in whatever way.
const SCRIPT: &str = r#"
cd /
# A signal that ends all processes of the tests ends this one by its input.
trap '' HUP INT TERM
as() { exec "$@"; }
if [ "$(id -u)" = 0 ]; then
    user=postgres; id "$user" >/dev/null 2>&1 || user=nobody
    as() { exec setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@"; }
    if (as test -x "$PROGRAMS/postgres"); then
        chown "$user" "$FOLDER" "$FOLDER/server.key"
    else
        # The programs are in a folder of root alone.
        as() { exec unshare --user --map-user=65534 "$@"; }
    fi
fi
(as "$PROGRAMS/initdb" -D "$FOLDER/data" -A trust -U portolan -E UTF8 --no-locale -N) >"$FOLDER/log" 2>&1
as "$PROGRAMS/postgres" -D "$FOLDER/data" -k "$FOLDER" -p "$PORT" -c listen_addresses=127.0.0.1 \
    -c ssl=on -c ssl_cert_file="$FOLDER/server.pem" -c ssl_key_file="$FOLDER/server.key" \
    -c fsync=off -c max_connections=300 -c log_min_messages=fatal >>"$FOLDER/log" 2>&1 &
server=$!
read -r _
kill -QUIT $server 2>/dev/null
wait $server
rm -rf "$FOLDER"
"#;

/// A server that runs as long as the process.
struct TestPostgres {
    port: u16,
    folder: PathBuf,
    _input: ChildStdin,
}

/// A new, empty database.
pub(crate) struct TestDatabase {
    pub(crate) port: u16,
    pub(crate) name: String,
    /// The certificate of the server, which is for `localhost`.
    pub(crate) certificate: PathBuf,
}

impl TestDatabase {
    pub(crate) fn settings(&self) -> PostgresSettings {
        let Self { port, name, .. } = self;
        let address = format!("postgres://portolan@127.0.0.1:{port}/{name}?sslmode=disable");
        PostgresSettings::parse(&address).unwrap()
    }
}

/// Returns a new, empty database; `None` if there is no server here.
pub(crate) fn new_database() -> Option<TestDatabase> {
    static SERVER: OnceLock<Option<TestPostgres>> = OnceLock::new();
    static LAST: AtomicU32 = AtomicU32::new(0);
    let server = SERVER.get_or_init(start).as_ref()?;
    let name = format!("test{}", LAST.fetch_add(1, Ordering::Relaxed));
    let session = server.until_ready();
    session.batch(&format!("CREATE DATABASE {name}")).unwrap();
    Some(TestDatabase { name, ..server.database() })
}

#[expect(
    clippy::zombie_processes,
    reason = "the shell outlives this process, whose end it waits for"
)]
fn start() -> Option<TestPostgres> {
    let Some(programs) = programs() else {
        let is_required = env::var_os("PORTOLAN_REQUIRE_SERVERS").is_some_and(|value| value == "1");
        assert!(!is_required, "PostgreSQL is not here: tests/servers/install fetches it");
        writeln!(std::io::stderr(), "skipped: PostgreSQL is not here").unwrap();
        return None;
    };
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let folder = tempfile::Builder::new().prefix("portolan-postgres-").tempdir().unwrap().keep();
    certify(&folder);
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT])
        .env("PROGRAMS", programs)
        .env("FOLDER", &folder)
        .env("PORT", port.to_string())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let input = shell.stdin.take().unwrap();
    Some(TestPostgres { port, folder, _input: input })
}

/// Writes a certificate for `localhost`, and its key.
fn certify(folder: &Path) {
    let wanted = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    fs::write(folder.join("server.pem"), wanted.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
    fs::set_permissions(folder.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
}

/// Returns the folder of the programs: those of the tests, or those of the system.
fn programs() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-servers");
    let servers = env::var_os("PORTOLAN_TEST_SERVERS").map_or(here, PathBuf::from);
    let roots = [servers, PathBuf::from("/")];
    let mut found = roots.iter().flat_map(|root| {
        let versions = fs::read_dir(root.join("usr/lib/postgresql")).into_iter().flatten();
        versions.flatten().map(|version| version.path().join("bin"))
    });
    found.find(|folder| folder.join("postgres").exists() && folder.join("initdb").exists())
}

impl TestPostgres {
    fn database(&self) -> TestDatabase {
        let certificate = self.folder.join("server.pem");
        TestDatabase { port: self.port, name: "postgres".into(), certificate }
    }

    fn until_ready(&self) -> PostgresSession {
        let settings = self.database().settings();
        let end = Instant::now() + START_TIME_MAX;
        loop {
            match PostgresSession::open(settings.clone()) {
                Ok(session) => return session,
                Err(error) if Instant::now() > end => {
                    let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                    panic!("PostgreSQL does not answer: {error}\n{log}");
                }
                Err(_) => {
                    let (_keep, silent) = std::sync::mpsc::channel::<()>();
                    silent.recv_timeout(Duration::from_millis(50)).unwrap_err();
                }
            }
        }
    }
}
