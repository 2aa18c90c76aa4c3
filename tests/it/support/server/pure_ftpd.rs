//! Pure-FTPd: accounts in a database that its own tool builds, all other options as arguments; or in a file, if a text for
//! that is given.

use std::process::Command;

use super::{PASSWORD_HASH, Setup, Tls, UID, USER};

/// Writes its files, and returns the arguments to start it with.
pub(super) fn set_up(setup: &Setup<'_>) -> Vec<String> {
    write_accounts(setup);
    let Setup { options, address, .. } = setup;
    if !options.settings.is_empty() {
        setup.write("pure-ftpd.conf", &configuration(setup));
        return vec![setup.path("pure-ftpd.conf")];
    }
    let mut arguments = ALWAYS.map(str::to_owned).to_vec();
    let mut option = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
    option("bind", format!("{},{}", address.ip(), address.port()));
    option("login", format!("puredb:{}", setup.path("users.pdb")));
    option("pidfile", setup.path("pid"));
    option("altlog", format!("clf:{}", setup.path("transfers")));
    option("maxclientsnumber", options.sessions_max.unwrap_or(1000).to_string());
    if let Some(ports) = &options.passive_ports {
        option("passiveportrange", format!("{}:{}", ports.start(), ports.end()));
    }
    if let Some(address) = options.passive_address {
        option("forcepassiveip", address.to_string());
    }
    if let Some(tls) = setup.tls {
        debug_assert_eq!(options.tls, Tls::Explicit);
        option("tls", if options.require_tls { "3" } else { "1" }.to_owned());
        option("certfile", format!("{},{}", tls.certificate.display(), tls.key.display()));
    }
    arguments.extend(options.further.iter().cloned());
    arguments
}

/// Returns the file with the same options as the arguments of a plain server.
fn configuration(setup: &Setup<'_>) -> String {
    let Setup { options, address, .. } = setup;
    debug_assert!(options.tls == Tls::Off && options.further.is_empty());
    let always = [
        "NoAnonymous yes",
        "ChrootEveryone yes",
        "DontResolve yes",
        "MinUID 1",
        "Umask 133:022",
        "SyslogFacility none",
        "MaxClientsNumber 1000",
    ];
    let mut lines = always.map(str::to_owned).to_vec();
    lines.extend([
        format!("Bind {},{}", address.ip(), address.port()),
        format!("PureDB {}", setup.path("users.pdb")),
        format!("PIDFile {}", setup.path("pid")),
        format!("AltLog clf:{}", setup.path("transfers")),
    ]);
    lines.join("\n") + "\n" + options.settings.as_str()
}

fn write_accounts(setup: &Setup<'_>) {
    let root = setup.root.display();
    setup.write("users", &format!("{USER}:{PASSWORD_HASH}:{UID}:{UID}::{root}/./::::::::::::\n"));
    let tool = setup.program.parent().unwrap().with_file_name("bin/pure-pw");
    let built = Command::new(tool)
        .args(["mkdb", &setup.path("users.pdb"), "-f", &setup.path("users")])
        .status();
    assert!(built.unwrap().success(), "pure-pw could not build the accounts");
}

const ALWAYS: [&str; 9] = [
    "--noanonymous",
    "--chrooteveryone",
    "--dontresolve",
    "--minuid",
    "1",
    "--umask",
    "133:022",
    "--syslogfacility",
    "none",
];
