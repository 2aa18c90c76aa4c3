//! A fleet behind pgbouncer in transaction mode: each transaction may get another session of the server.

use std::{
    collections::BTreeSet,
    env, fs,
    io::Write,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use jiff::Timestamp;
use tempfile::TempDir;

use super::machines::{Fleet, ON_REQUEST, TIME_MAX, job};
use crate::support::{
    postgres::PostgresServer,
    server::{free_ports, skip},
    wait,
};

/// Starts pgbouncer as another user than root, which it refuses, and ends it at the end of its input.
const SCRIPT: &str = r#"
cd /
trap '' HUP INT TERM
as() { exec "$@"; }
if [ "$(id -u)" = 0 ]; then
    user=postgres; id "$user" >/dev/null 2>&1 || user=nobody
    as() { exec setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@"; }
    if (as test -x "$PROGRAM"); then
        chown -R "$user" "$FOLDER"
    else
        # The program is in a folder of root alone.
        as() { exec unshare --user --map-user=65534 "$@"; }
    fi
fi
as "$PROGRAM" -q "$FOLDER/pgbouncer.ini" >>"$FOLDER/log" 2>&1 &
pooler=$!
read -r _
kill -TERM $pooler
wait $pooler
"#;

/// The sessions with the server that all machines share.
const SESSIONS: u32 = 2;

/// A running pgbouncer.
struct Pooler {
    port: u16,
    folder: TempDir,
    shell: Child,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        drop(self.shell.wait());
    }
}

impl Pooler {
    /// Starts it in front of a server; `None` if it is not here, which has then been reported.
    fn start(server: &PostgresServer) -> Option<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-servers");
        let servers = env::var_os("PORTOLAN_TEST_SERVERS").map_or(here, PathBuf::from);
        let places = [servers, PathBuf::from("/")].into_iter();
        let Some(program) =
            places.map(|place| place.join("usr/sbin/pgbouncer")).find(|it| it.is_file())
        else {
            skip("no pgbouncer here: run tests/servers/install");
            return None;
        };
        let port = *free_ports(1).start();
        let folder = tempfile::Builder::new().prefix("portolan-pgbouncer-").tempdir().unwrap();
        let place = folder.path().display();
        let settings = format!(
            "[databases]\npostgres = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {place}/users\npool_mode = transaction\n\
             default_pool_size = {SESSIONS}\nmax_client_conn = 100\n",
            server.port()
        );
        fs::write(folder.path().join("pgbouncer.ini"), settings).unwrap();
        let login = format!("\"portolan\" \"{}\"\n", PostgresServer::PASSWORD);
        fs::write(folder.path().join("users"), login).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT]).env("PROGRAM", program).env("FOLDER", folder.path());
        let shell = shell.stdin(Stdio::piped()).spawn().unwrap();
        let pooler = Self { port, folder, shell };
        let answers = wait::until(TIME_MAX, || TcpStream::connect(("127.0.0.1", port)).ok());
        assert!(answers.is_some(), "pgbouncer does not answer: {}", pooler.log());
        Some(pooler)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

#[test]
fn a_fleet_behind_a_pooler_in_transaction_mode_loses_and_doubles_nothing() {
    let more = "overlap = \"allow\"\nmisfire = \"all\"\nmax_catchup = 100\ncatchup_spread = \"0s\"";
    let jobs = job("tick", "* * * * * *", more) + &*job("a", ON_REQUEST, "");
    let mut pooler = None;
    let fleet = Fleet::behind(&jobs, |server| {
        pooler = Pooler::start(server);
        pooler.as_ref().map(|pooler| pooler.port)
    });
    let (Some(mut fleet), Some(pooler)) = (fleet, pooler) else { return };
    fleet.file("tick.rhai", "");
    fleet.file("a.rhai", "print(\"hello\");");
    // More sessions than the pooler has: three machines with two or three each, and the commands.
    for name in ["one", "two", "three"] {
        fleet.start(name, &[]);
    }
    let leader = fleet.leader();
    fleet.machine(&leader).until_stderr_has("no notifications of the database arrive");
    fleet.until_known("a");
    fleet
        .command(&["trigger", "a", "--wait"])
        .succeeds()
        .stdout_has("is done")
        .any_stdout()
        .any_stderr();
    fleet.command(&["pause", "a"]).succeeds().stdout_has("is paused").any_stdout();
    fleet.kill(&leader);
    let killed = fleet.runs().len();
    wait::until(TIME_MAX, || (fleet.runs().len() > killed + 5).then_some(())).unwrap();
    assert_ne!(fleet.leader(), leader);
    fleet.stop_all();
    let mut seconds = BTreeSet::new();
    for run in fleet.runs().iter().filter(|run| run["job"] == "tick") {
        let at: Timestamp = run["scheduled_for"].as_str().unwrap().parse().unwrap();
        assert!(seconds.insert(at.as_second()), "twice: {run}");
    }
    let (first, last) = (*seconds.first().unwrap(), *seconds.last().unwrap());
    let missing: Vec<_> = (first..=last).filter(|second| !seconds.contains(second)).collect();
    assert!(missing.is_empty(), "missing {missing:?}\n{}", pooler.log());
    writeln!(std::io::stderr(), "{} slots behind pgbouncer", seconds.len()).unwrap();
}
