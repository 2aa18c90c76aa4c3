//! An nft that is installed and does not work: iptables is used, and the reason is reported.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use tempfile::TempDir;

use super::{Gate, OFFICE};
use crate::support::server::skip;

/// The behaviour of an nft, and the message about it.
const BROKEN: [(&str, &str); 6] = [
    (
        "echo 'nft: error while loading shared libraries' >&2; exit 127",
        "`nft --version`: nft: error while loading",
    ),
    ("exit 1", "`nft --version`: it failed without a word"),
    (
        "case $1 in --version) echo 'nftables v1.0.6 (Lester Gooch #5)';; *) echo 'netlink: Error: cache initialization failed: Protocol not supported' >&2; exit 1;; esac",
        "`nft list tables`: netlink: Error: cache initialization failed: Protocol not supported",
    ),
    ("kill -SEGV $$", "`nft --version`: it failed without a word"),
    ("exit 0", "`nft --version`: it said nothing"),
    ("exec sleep 600", "`nft --version`: it did not end within 1 s and was killed"),
];

#[test]
fn an_nft_that_does_not_work_is_named_with_the_reason_and_iptables_does_its_work() {
    if !Path::new("/usr/sbin/xtables-nft-multi").exists() {
        skip("no iptables here: run tests/servers/install");
        return;
    }
    for (does, words) in BROKEN {
        let Some(gate) = Gate::lay() else { return };
        let path = TempDir::new().unwrap();
        let nft = path.path().join("nft");
        fs::write(&nft, format!("#!/bin/sh\n{does}\n")).unwrap();
        fs::set_permissions(&nft, fs::Permissions::from_mode(0o755)).unwrap();
        let only = |with_iptables: bool| {
            for name in ["iptables", "iptables-save", "iptables-restore"] {
                let six = name.replacen("ip", "ip6", 1);
                for name in [name.to_owned(), six] {
                    let link = path.path().join(name);
                    fs::remove_file(&link).ok();
                    if with_iptables {
                        symlink("/usr/sbin/xtables-nft-multi", link).unwrap();
                    }
                }
            }
        };
        let nat = |args: &[&str]| {
            let program = gate.portolan(OFFICE).env("PATH", path.path().to_str().unwrap());
            let program = program.env("PORTOLAN_NAT_TOOL_SECONDS", "1");
            gate.router.within(|| program.args(args).run())
        };
        only(true);
        let said = format!("  ! nftables does not work here ({words}");
        nat(&["nat", "plan", "gate.rhai"])
            .fails_with(2)
            .stdout_has("backend iptables ")
            .stdout_has(&said)
            .stdout_has("): the rules go to iptables ")
            .stdout_has(", 1 warning.");
        // A user who asks for iptables is not told about nft.
        nat(&["nat", "plan", "--backend", "iptables", "gate.rhai"])
            .fails_with(2)
            .stdout_has(", 0 warnings.");
        let only_nft = nat(&["nat", "plan", "--backend", "nft", "gate.rhai"]);
        only_nft.any_end().any_stdout().any_stderr();
    }
}
