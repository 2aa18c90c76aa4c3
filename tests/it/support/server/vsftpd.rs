//! vsftpd: accounts through PAM, a configuration of `key=VALUE` lines. A wrong password is answered at once (Pure-FTPd
//! takes five seconds for it, which cannot be configured).

use std::fs;

use super::{PASSWORD_HASH, Setup, Tls, USER};

/// Writes its files, and returns the arguments to start it with.
pub(super) fn set_up(setup: &Setup<'_>) -> Vec<String> {
    write_accounts(setup);
    fs::create_dir(setup.folder.join("empty")).unwrap();
    setup.write("vsftpd.conf", &configuration(setup));
    vec![setup.path("vsftpd.conf")]
}

fn write_accounts(setup: &Setup<'_>) {
    // It looks up its own unprivileged user too.
    let nobody = "nobody:x:65534:65534::/nonexistent:/bin/false\n";
    setup.write("passwd", &(nobody.to_owned() + setup.account("x").as_str()));
    setup.write("shadow", &format!("{USER}:{PASSWORD_HASH}:19000:0:99999:7:::\n"));
    fs::create_dir(setup.folder.join("pam.d")).unwrap();
    let pam = "auth required pam_unix.so nodelay\n\
               account required pam_permit.so\n\
               session required pam_permit.so\n";
    setup.write("pam.d/vsftpd", pam);
}

fn configuration(setup: &Setup<'_>) -> String {
    let Setup { options, address, .. } = setup;
    let mut lines = vec![
        format!("listen_port={}", address.port()),
        format!("secure_chroot_dir={}", setup.path("empty")),
        format!("vsftpd_log_file={}", setup.path("log")),
        format!("xferlog_file={}", setup.path("transfers")),
        format!("pasv_enable={}", yes(!options.no_passive)),
        format!("port_enable={}", yes(!options.no_active)),
    ];
    lines.extend(ALWAYS.map(str::to_owned));
    lines.extend(if options.ipv6 {
        ["listen=NO".into(), "listen_ipv6=YES".into(), format!("listen_address6={}", address.ip())]
    } else {
        ["listen=YES".into(), "listen_ipv6=NO".into(), format!("listen_address={}", address.ip())]
    });
    if let Some(ports) = &options.passive_ports {
        lines.push(format!("pasv_min_port={}", ports.start()));
        lines.push(format!("pasv_max_port={}", ports.end()));
    }
    lines.extend(options.passive_address.map(|address| format!("pasv_address={address}")));
    lines.extend(options.sessions_max.map(|sessions| format!("max_clients={sessions}")));
    if let Some(tls) = setup.tls {
        lines.extend([
            "ssl_enable=YES".into(),
            "ssl_tlsv1=YES".into(),
            "ssl_sslv2=NO".into(),
            "ssl_sslv3=NO".into(),
            "ssl_ciphers=HIGH".into(),
            format!("rsa_cert_file={}", tls.certificate.display()),
            format!("rsa_private_key_file={}", tls.key.display()),
            format!("implicit_ssl={}", yes(options.tls == Tls::Implicit)),
            format!("force_local_logins_ssl={}", yes(options.require_tls)),
            format!("force_local_data_ssl={}", yes(options.require_tls)),
            format!("require_ssl_reuse={}", yes(options.tls_reuse)),
        ]);
    }
    lines.extend(options.further.iter().cloned());
    lines.join("\n") + "\n" + options.settings.as_str()
}

const ALWAYS: [&str; 16] = [
    "background=NO",
    "nopriv_user=nobody",
    "pam_service_name=vsftpd",
    "anonymous_enable=NO",
    "local_enable=YES",
    "write_enable=YES",
    "local_umask=022",
    "chroot_local_user=YES",
    "allow_writeable_chroot=YES",
    "use_localtime=NO",
    "connect_from_port_20=NO",
    "xferlog_enable=YES",
    "dual_log_enable=YES",
    "log_ftp_protocol=YES",
    "max_per_ip=0",
    "delay_failed_login=0",
];

fn yes(on: bool) -> &'static str {
    if on { "YES" } else { "NO" }
}
