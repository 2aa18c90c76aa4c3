//! `portolan doctor` against real servers: what it says, and that it leaves nothing behind.

use crate::support::{
    program::Portolan,
    server::{Kind, Options, RealServer, Tls},
};

fn doctor(server: &RealServer, arguments: &[&str]) -> Portolan {
    let trust = format!("ca_file={}", server.ca().display());
    Portolan::new()
        .env("PORTOLAN_PASSWORD", RealServer::PASSWORD)
        .args(["doctor", &server.url(), "--set", &trust])
        .args(arguments.iter().copied())
}

#[test]
fn every_mode_of_a_real_server_works_and_nothing_is_left() {
    for kind in Kind::ALL {
        for tls in [Tls::Off, Tls::Explicit, Tls::Implicit] {
            let options = Options { tls, ..Options::default() };
            if kind.lacks(&options).is_some() {
                continue;
            }
            let Some(server) = RealServer::start(kind, &options) else { continue };
            let ran = doctor(&server, &[]).run();
            ran.succeeds().any_stdout().any_stderr();
        }
    }
}
