//! ProFTPD: accounts in files of its own, a configuration of directives.

use std::{fs, os::unix::fs::PermissionsExt};

use super::{PASSWORD_HASH, Setup, Tls, UID};

/// Writes its files, and returns the arguments to start it with.
pub(super) fn set_up(setup: &Setup<'_>) -> Vec<String> {
    setup.write("users", &setup.account(PASSWORD_HASH));
    setup.write("groups", &format!("testers:x:{UID}:\n"));
    for name in ["users", "groups"] {
        // It refuses such files if others can read them.
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(setup.folder.join(name), private).unwrap();
    }
    setup.write("proftpd.conf", &configuration(setup));
    vec!["--nodaemon".into(), "--config".into(), setup.path("proftpd.conf")]
}

fn configuration(setup: &Setup<'_>) -> String {
    let Setup { options, address, .. } = setup;
    let mut lines = Vec::new();
    lines
        .extend(setup.cache.map(|cache| format!("ModulePath {}/usr/lib/proftpd", cache.display())));
    lines.extend(setup.tls.map(|_| "LoadModule mod_tls.c".to_owned()));
    lines.extend(ALWAYS.map(str::to_owned));
    lines.extend([
        format!("UseIPv6 {}", on(options.ipv6)),
        format!("DefaultAddress {}", address.ip()),
        format!("Port {}", address.port()),
        format!("AuthUserFile {}", setup.path("users")),
        format!("AuthGroupFile {}", setup.path("groups")),
        format!("PidFile {}", setup.path("pid")),
        format!("ScoreboardFile {}", setup.path("scoreboard")),
        format!("SystemLog {}", setup.path("log")),
        format!("TransferLog {}", setup.path("transfers")),
        format!("ExtendedLog {} ALL dialogue", setup.path("dialogue")),
    ]);
    if let Some(ports) = &options.passive_ports {
        lines.push(format!("PassivePorts {} {}", ports.start(), ports.end()));
    }
    lines.extend(options.passive_address.map(|address| format!("MasqueradeAddress {address}")));
    let full = "421 Too many sessions";
    lines.extend(options.sessions_max.map(|sessions| format!("MaxClients {sessions} \"{full}\"")));
    let refused = [(options.no_passive, "PASV EPSV"), (options.no_active, "PORT EPRT")];
    for (_, commands) in refused.iter().filter(|(refused, _)| *refused) {
        lines.push(format!("<Limit {commands}>\n  DenyAll\n</Limit>"));
    }
    if let Some(tls) = setup.tls {
        lines.extend([
            "TLSEngine on".into(),
            "TLSVerifyClient off".into(),
            format!("TLSLog {}", setup.path("tls.log")),
            format!("TLSECCertificateFile {}", tls.certificate.display()),
            format!("TLSECCertificateKeyFile {}", tls.key.display()),
            format!("TLSRequired {}", on(options.require_tls)),
        ]);
        let switches = [
            (options.tls == Tls::Implicit, "UseImplicitSSL"),
            (!options.tls_reuse, "NoSessionReuseRequired"),
        ];
        for (_, switch) in switches.iter().filter(|(on, _)| *on) {
            lines.push(format!("TLSOptions {switch}"));
        }
        if options.tls12_only {
            // Without it, its own default enables 1.3 again.
            lines.push("TLSProtocol TLSv1.2".into());
        }
    }
    lines.extend(options.further.iter().cloned());
    lines.join("\n") + "\n" + options.settings.as_str()
}

const ALWAYS: [&str; 21] = [
    "ServerName \"portolan test\"",
    "ServerType standalone",
    "DefaultServer on",
    "SocketBindTight on",
    "User nobody",
    "Group nogroup",
    "UseReverseDNS off",
    "WtmpLog off",
    "TimesGMT on",
    "AuthOrder mod_auth_file.c",
    "RequireValidShell off",
    "DefaultRoot ~",
    "Umask 022",
    "AllowOverwrite on",
    "AllowStoreRestart on",
    "AllowRetrieveRestart on",
    "DelayEngine off",
    "ControlsEngine off",
    "MaxInstances none",
    // Active data connections need not come from the port below the control port.
    "RootRevoke UseNonCompliantActiveTransfer",
    "LogFormat dialogue \"%r -> %s %S\"",
];

fn on(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}
