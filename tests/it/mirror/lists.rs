//! Listings of a real server without MLSD: one directory over a data connection and over the control connection, with
//! the same result; then all others over the control connection, many in one packet.

use std::fs;

use crate::support::{
    program::Portolan,
    server::{Kind, Options, RealServer, Tls},
    tree::Manifest,
};

const FOLDERS: usize = 60;

#[test]
fn folders_of_vsftpd_take_no_data_connections_once_it_has_said_the_same_both_ways() {
    for tls in [Tls::Off, Tls::Explicit] {
        let is_protected = tls != Tls::Off;
        let options = Options {
            tls,
            require_tls: is_protected,
            tls_reuse: is_protected,
            ..Options::default()
        };
        let Some(server) = RealServer::start(Kind::Vsftpd, &options) else { return };
        for number in 0..FOLDERS {
            server.file(&format!("tree/folder {number}/deep/file {number}"), format!("{number}"));
        }
        server.own_all();
        let script = r#"
let options = #{ password: secret("SITE_PASSWORD") };
if env("SITE_CA") != () { options.ca_file = env("SITE_CA"); }
let site = ftp::connect(env("SITE"), options);
let report = site.mirror_down("/tree", "copy", #{ parallel: 2 });
print(`${report.downloaded} ${report.failed}`);
site.close();
"#;
        let program = Portolan::new().server(&server).script(script);
        let ran =
            program.args(["--log-level", "debug", "--no-memory"]).run().succeeds().any_files();
        let log = ran.stderr_text().to_owned();
        let count = |command: &str| log.matches(&format!("> {command}")).count();
        assert_eq!((count("LIST"), count("STAT -a .")), (1, 1 + 2 * FOLDERS), "{tls:?}");
        let ran = ran.any_stderr().stdout(&format!("{FOLDERS} 0\n"));
        let source = Manifest::of(&server.root().join("tree")).without_times();
        let copy = Manifest::of(&ran.folder().join("copy")).without_times();
        assert!(source.difference(&copy).is_empty(), "{tls:?}: {}", source.difference(&copy));
        fs::remove_dir_all(ran.folder().join("copy")).unwrap();
    }
}
