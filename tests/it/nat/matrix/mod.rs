//! The paths of data connections through each kind of NAT, for portolan and for other clients: the rules are
//! portolan's, the server is vsftpd, and all bytes are compared. Each row states the expected result of each client.

mod clients;
mod gateway;
mod hosts;
mod ipv6;
mod lab;
mod recipe;
mod served;

use std::thread;

use self::{
    clients::{
        Client,
        Expected::{self, Fails, Unable, Works},
        Task, Way,
    },
    lab::{Lab, Place, Server},
};

/// One row: a network, and the expected results in it.
struct Row {
    name: &'static str,
    server: Server,
    /// The rules of each host, as lines of a script with a ruleset `rules`.
    rules: &'static [(Place, &'static str)],
    /// The host of the clients.
    from: Place,
    /// Each mode, and its expected result for portolan, lftp and curl.
    ways: &'static [(Way, [Expected; 3])],
}

const ALL_WORK: [Expected; 3] = [Works; 3];
/// The expected result if the server sees the private address.
const ILLEGAL: Expected = Fails(&["500 Illegal PORT command", "500 Illegal EPRT command"]);
const ALL_ILLEGAL: [Expected; 3] = [ILLEGAL; 3];
/// The expected result if packets are dropped or rejected.
const LOST: Expected = Fails(&[
    "no answer",
    "imed out",
    "timeout",
    "Timeout - reconnecting",
    "max-retries",
    "refused",
    "425 Failed",
    "unreachable",
    "did not connect to",
]);
const ALL_LOST: [Expected; 3] = [LOST; 3];
/// The marker for curl, which never finishes TLS in active mode, even without NAT.
const NOT_CURL: Expected = Unable;

/// Rules that allow all connections out and none in, with none for FTP.
const CLASSIC: &str = r#"rules.masquerade(#{ source: "192.168.50.0/24", out: "wan" }); rules.forwarding(true);
    rules.allow(#{ in: "lan", out: "wan" }); rules.isolate(true);"#;

/// The number of concurrent rows: most of a row is waiting for timeouts.
const AT_A_TIME: usize = 4;

/// Runs every row, and panics with all differences.
fn check(rows: &[Row]) {
    let mut wrong = Vec::new();
    // The name of the test, for the report of skipped rows.
    let name = thread::current().name().unwrap_or("a test").to_owned();
    for some in rows.chunks(AT_A_TIME) {
        thread::scope(|scope| {
            let threads = some.iter().map(|row| {
                let named = thread::Builder::new().name(name.clone());
                named.spawn_scoped(scope, || try_all(row)).unwrap()
            });
            let threads: Vec<_> = threads.collect();
            for (row, thread) in some.iter().zip(threads) {
                let told = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                wrong.extend(told.into_iter().map(|said| format!("=== {}: {said}", row.name)));
            }
        });
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs each mode of a row with each client; returns the differences from the expected results.
fn try_all(row: &Row) -> Vec<String> {
    let Some(lab) = Lab::lay(row.server) else { return Vec::new() };
    lab.server.file("tree/a.txt", "small\r\n");
    lab.server.file("tree/b/large.bin", (0..=255).cycle().take(300_001).collect::<Vec<u8>>());
    lab.server.file("tree/b/c/nothing", "");
    if !row.rules.iter().all(|(place, rules)| lab.rule(*place, rules)) {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    for (number, (way, expected)) in row.ways.iter().enumerate() {
        let Server { is_tls, has_pasv_only, .. } = row.server;
        let (space, server, address) = (lab.space(row.from), &lab.server, lab.address);
        let task = Task { space, server, address, way: *way, is_tls, has_pasv_only, number };
        thread::scope(|scope| {
            let checks = Client::ALL.into_iter().zip(expected);
            let threads = checks.map(|(client, expected)| {
                let task = &task;
                scope.spawn(move || task.check(client, *expected))
            });
            let threads: Vec<_> = threads.collect();
            for thread in threads {
                let told = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                wrong.extend(told.err());
            }
        });
    }
    wrong
}

/// The same with the helper on the control ports.
const HELPER: &str = r#"rules.masquerade(#{ source: "192.168.50.0/24", out: "wan" }); rules.forwarding(true);
    rules.allow(#{ in: "lan", out: "wan" }); rules.isolate(true);
    rules.ftp_helper(#{ ports: [21, 2121], in: "lan" });"#;
/// The same with a range that is forwarded to the client.
const RANGE: &str = r#"rules.masquerade(#{ source: "192.168.50.0/24", out: "wan" }); rules.forwarding(true);
    rules.allow(#{ in: "lan", out: "wan" }); rules.isolate(true);
    rules.ftp_active(#{ ports: "40000-40009", to: "192.168.50.10", in: "wan" });"#;
/// The same with both.
const HELPER_AND_RANGE: &str = r#"rules.masquerade(#{ source: "192.168.50.0/24", out: "wan" }); rules.forwarding(true);
    rules.allow(#{ in: "lan", out: "wan" }); rules.isolate(true);
    rules.ftp_helper(#{ ports: [21, 2121], in: "lan" });
    rules.ftp_active(#{ ports: "40000-40009", to: "192.168.50.10", in: "wan" });"#;
/// The same with connections from port 20 only.
const RANGE_20: &str = r#"rules.masquerade(#{ source: "192.168.50.0/24", out: "wan" }); rules.forwarding(true);
    rules.allow(#{ in: "lan", out: "wan" }); rules.isolate(true);
    rules.ftp_active(#{ ports: "40000-40009", to: "192.168.50.10", in: "wan", server: "203.0.113.10", server_port_20: true });"#;
