//! The stable codes of errors, with their causes and remedies: what `portolan explain` and docs/errors.md say.
//!
//! Hints, tests, notifications and programs use the code, never the message, which may change.

pub use super::code_names::{
    CONNECT_REFUSED, CONNECT_UNKNOWN_HOST, DATA_FALLBACK_OFF, DEPLOY_UNDONE, ErrorCode,
    LIMIT_MAX_TOTAL, LIMIT_MIN_FREE, LOCAL_NO_DIRECTORY, LOGIN_DENIED, LOGIN_TOO_MANY_SESSIONS,
    PROGRAM_FAILED, TLS_CERTIFICATE, TLS_NOT_OFFERED, TLS_REQUIRED, TLS_WRONG_PORT,
    TRANSFER_NAME_REFUSED, TRANSFER_NAME_SHORTENED, TRANSFER_RENAME_REFUSED,
    TRANSFER_SOURCE_CHANGED, TRANSFER_TARGET_EXISTS,
};
use super::code_names::{
    LOCAL_NO_DIRECTORY_ROW, LOGIN_DENIED_ROW, LOGIN_TOO_MANY_SESSIONS_ROW, row,
};

/// Returns the explanation of `code`.
pub fn explain(code: &str) -> Option<&'static ErrorCode> {
    ALL.iter().find(|row| row.code == code)
}

/// Every code, sorted: first those of kinds, then those of single errors.
pub const ALL: &[ErrorCode] =
    &super::web_codes::joined::<{ FIRST.len() + super::web_codes::ALL.len() }>(FIRST);

/// Every code but those of the page.
const FIRST: &[ErrorCode] = &[
    row(
        "busy",
        "The server cannot do it now (reply 4yz).",
        "Too many users or connections, a file that another client has open, a server that is shutting down.",
        "try again later: `--retries` and the `retries` of a job do so by themselves; fewer sessions (`--parallel`) may help",
    ),
    row(
        "data_connection",
        "The data connection could not be opened, or broke.",
        "A firewall or NAT between client and server lets the control connection through, but not the ports of the data connections.",
        "`portolan doctor URL` tries every mode and names the firewall rules",
    ),
    row(
        "denied",
        "A login or a permission was refused (reply 430, 530 or 532).",
        "A wrong user name or password, an account that is locked, or one that may not log in from this address.",
        "check user, password and account; ask the operator of the server what its log says",
    ),
    row(
        "denied_by_policy",
        "The permissions of the run do not include what the script asked for.",
        "`portolan run` was given an `--allow-...` flag, or the job has a table `[job.permissions]`, and neither names this; `http`, `run` and `nat` have to be allowed in every run.",
        "the message names the flag and the key that would allow it; `portolan check --permissions SCRIPT` prints all that a script needs",
    ),
    row(
        "full",
        "A disk or a quota is full, locally or on the server (reply 452 or 552, ENOSPC).",
        "The message names the side. On a server it is often the quota of the account.",
        "make room on that side, then run it again: what was complete stays, the rest is transferred",
    ),
    row(
        "guard",
        "A safety rule stopped the run before it changed anything.",
        "More deletes than `max_delete`, an incomplete listing, a target that changed (`on_conflict = \"fail\"`), rules that would lock the user out.",
        "look at the plan (`--dry-run`, `nat plan`); if it is what you want, raise the limit or confirm as the message says",
    ),
    row(
        "interrupted",
        "The run was stopped by a signal, by its time limit, or by the next slot.",
        "Ctrl-C, `systemctl stop`, `run_timeout`, `stall_timeout` or `overlap = \"replace\"`.",
        "run it again: transfers are resumed or started over, and temporary files of this run are removed",
    ),
    row(
        "invalid",
        "A value cannot be used: an option, a URL, a path, an argument, a script.",
        "A spelling mistake, a value of another type, or one out of range.",
        "`portolan check FILE` points at every such value; `portolan functions NAME` lists the options of a function",
    ),
    row(
        "local",
        "A local file or directory cannot be read or written.",
        "Missing permissions, a read-only file system, a file of another user, a path that is too long.",
        "check owner and permissions of the path in the message, for the user that portolan runs as",
    ),
    row(
        "not_found",
        "A file or directory does not exist, and there is evidence of it.",
        "A spelling mistake, a path relative to another directory than expected, a file that has been moved or removed.",
        "`portolan ls URL` shows the names that the server has; paths that begin with one slash are relative to the login directory in URLs, `//` is the root",
    ),
    row(
        "protocol",
        "The server sent a reply or a listing that violates FTP, or that answers another command.",
        "A server that is not an FTP server, a firewall that rewrites the control connection, a defect of the server.",
        "check host and port; `-vv` shows every command and reply, and `portolan doctor URL` compares the modes",
    ),
    row(
        "refused",
        "The server refused a command (reply 5yz), and there is no evidence that a file is missing.",
        "Missing permissions on the server, a command that it does not implement, a name that it does not allow.",
        "servers say this of what may not be read or written, and of a folder where a file is wanted (`mirror` takes folders) and `-r` is missing: `portolan ls` shows both",
    ),
    row(
        "timeout",
        "No answer arrived in time.",
        "A firewall that drops packets, a server that is overloaded, a connection that was lost.",
        "check host, port and firewall; `connect_timeout`, `reply_timeout` and `data_timeout` set the limits",
    ),
    row(
        "tls",
        "A TLS handshake, a certificate, or the end of a TLS connection is invalid.",
        "A server without TLS at that port, a certificate that is not trusted, a TLS version that one side does not support, a connection that was cut.",
        "`portolan doctor URL` shows the certificate and what the server supports",
    ),
    row(
        "unreachable",
        "No connection could be made.",
        "The host does not exist or is down, no route leads to it, or nothing listens at the port.",
        "check host and port; `portolan doctor URL` tries every address and port",
    ),
    row(
        "unsupported",
        "The server, or this version of portolan, does not support it.",
        "The server lacks a command or an extension that the option needs.",
        "`portolan doctor URL` lists what the server supports; leave out the option that needs it",
    ),
    row(
        CONNECT_REFUSED,
        "The host refused the connection.",
        "No program listens at that port, or a firewall rejects it.",
        "nothing listens at that port: is the server up? ftp:// and ftpes:// use port 21, ftps:// 990; for another port, use ftp://host:2121",
    ),
    row(
        CONNECT_UNKNOWN_HOST,
        "The name of the server cannot be resolved.",
        "A spelling mistake in the host, or a name server that does not answer.",
        "is it spelt right? a URL is ftp://user@host:port/folder/file",
    ),
    row(
        DATA_FALLBACK_OFF,
        "The data connection failed in one mode, and the other was not tried.",
        "`fallback` is off, or the mode was given with `--mode` for a server that needs the other.",
        "with `fallback: true` the other mode is tried as well",
    ),
    row(
        DEPLOY_UNDONE,
        "The site did not answer 200 after the deployment, which was undone.",
        "A fault in what was deployed, or an address of `check_url` that never answers 200.",
        "look at the site's own error log; `check_url` wants an address that answers 200 before the deployment, too",
    ),
    super::fleet_codes::ROWS[0],
    super::fleet_codes::ROWS[1],
    super::fleet_codes::ROWS[2],
    super::fleet_codes::ROWS[3],
    super::fleet_codes::ROWS[4],
    row(
        LIMIT_MAX_TOTAL,
        "The run would transfer more than `max_total`.",
        "The source has grown, or the mirror runs for the first time.",
        "look at what would be transferred with --dry-run, and raise `max_total` if it is right",
    ),
    row(
        LIMIT_MIN_FREE,
        "The local disk would have less free than `min_free` after the run.",
        "The disk is nearly full, or the source has grown.",
        "make room on the disk, or lower `min_free`",
    ),
    LOCAL_NO_DIRECTORY_ROW,
    LOGIN_DENIED_ROW,
    LOGIN_TOO_MANY_SESSIONS_ROW,
    row(
        "nat.bad_cidr",
        "A network or an address is invalid.",
        "Host bits are set (192.168.1.7/24), the prefix is out of range, or the text is no address.",
        "write networks as 192.168.1.0/24 or 2001:db8::/64",
    ),
    row(
        "nat.bad_interface",
        "The name of an interface is invalid.",
        "It is empty, longer than 15 bytes, or has characters that the kernel does not allow.",
        "`ip link` lists the interfaces of this host",
    ),
    row(
        "nat.bad_name",
        "The name of a rule set is invalid.",
        "Names have letters, digits and `_`, and begin with a letter.",
        "choose a name like `office` or `web_1`",
    ),
    row(
        "nat.bad_range",
        "Ports cannot be parsed.",
        "A port is 1 to 65535; a range has its smaller port first.",
        "write 21, \"50000-50099\" or [21, 990]",
    ),
    row(
        "nat.blocked_by",
        "Rules of another program drop the traffic.",
        "A firewall (ufw, firewalld, docker, own rules) drops forwarded packets by default.",
        "allow the traffic in that firewall, as the message says",
    ),
    row(
        "nat.busy",
        "Another portolan process is changing rules.",
        "Two `apply`, `confirm` or `rollback` run at the same time.",
        "wait until the other process has ended, and try again",
    ),
    row(
        "nat.changed_since_plan",
        "The rules are no longer those that the plan saw.",
        "Someone changed the rules between plan and apply.",
        "plan again, look at the changes, and apply that plan",
    ),
    row(
        "nat.conflict",
        "Two rules or services claim the same ports, or a table is not portolan's.",
        "A forward for a port that a local service or another rule uses; a table of the same name that another program made.",
        "use another port or name, or remove the other rule",
    ),
    row(
        "nat.double_nat",
        "The router's own external address is not public.",
        "The router is itself behind NAT (carrier-grade NAT, RFC 6598, or a second router).",
        "use passive mode, or map the ports on the outer router as well",
    ),
    row(
        "nat.family_mismatch",
        "IPv4 and IPv6 are mixed in one rule.",
        "Source, destination and external address of a rule are of different families.",
        "write one rule per family",
    ),
    row(
        "nat.helper_missing",
        "The kernel has no connection tracking for FTP.",
        "The module nf_conntrack_ftp is missing, as in many containers and minimal kernels.",
        "load it on the host (`modprobe nf_conntrack_ftp`), or forward a fixed port range",
    ),
    row(
        "nat.iptables_failed",
        "iptables refused the rules.",
        "A missing kernel module, a version mismatch between iptables and the kernel, or a lock that another program holds.",
        "the output of iptables in the message has the reason; `--backend nft` uses nftables",
    ),
    row(
        "nat.mapping_refused",
        "The router refused to map the port.",
        "The port is taken, port mapping is disabled for this host, or the request is outside its limits.",
        "enable UPnP or PCP for this host on the router, or forward the port there by hand",
    ),
    row(
        "nat.nft_failed",
        "nft refused the rules.",
        "A missing kernel module, or a version of nft that lacks a feature.",
        "the output of nft in the message has the reason",
    ),
    row(
        "nat.no_backend",
        "Neither nft nor iptables is installed.",
        "A minimal system or container.",
        "install nftables (Debian: `apt install nftables`)",
    ),
    row(
        "nat.no_gateway",
        "There is no default gateway.",
        "The host is not connected, or is itself the gateway.",
        "`ip route` shows the routes; name the router with `via`",
    ),
    row(
        "nat.no_mapping",
        "The router supports no protocol for port mapping.",
        "UPnP, NAT-PMP and PCP are disabled or not implemented.",
        "use passive mode, or forward the ports on the router by hand",
    ),
    row(
        "nat.no_timer",
        "No mechanism would end a trial after portolan has exited.",
        "There is neither systemd nor another timer that survives the process.",
        "apply with `--force` while you have other access, or keep the process running",
    ),
    row(
        "nat.no_trial",
        "There is no trial to confirm or roll back, or it is over.",
        "The time to confirm has passed and the previous rules are restored, or it was confirmed already.",
        "`portolan nat status` shows the state; apply again",
    ),
    row(
        "nat.no_twin",
        "No copy of the host's network can be made in which a packet is tried.",
        "This needs root, `unshare`, `ip` and `nft`, and a kernel that may make network namespaces.",
        "run as root, outside of a container without privileges; install iproute2 and nftables",
    ),
    row(
        "nat.no_undo",
        "There is no earlier state to go back to.",
        "The rule set was never applied, or its record was removed.",
        "`portolan nat status` shows the state; `revert` removes the rules",
    ),
    row(
        "nat.not_allowed",
        "The script may not change NAT.",
        "Scripts may do so only if the user allows it.",
        "run it with `--allow-nat`, or set `allow = [\"nat\"]` in the job",
    ),
    row(
        "nat.not_permitted",
        "The process may not change the rules of the kernel.",
        "It lacks the capability CAP_NET_ADMIN.",
        "run it as root, with `setpriv`, or in a unit with `AmbientCapabilities=CAP_NET_ADMIN`",
    ),
    row(
        "nat.only_rulesets",
        "`portolan nat` reached a part of a script that does something else than to describe rulesets.",
        "A transfer or a question to a server before a ruleset is applied.",
        "put the rulesets before the first transfer, or in a script of their own",
    ),
    row(
        "nat.probe_failed",
        "The FTP session that should prove a ruleset failed, and the old rules are back.",
        "The server does not answer, or the rules do not let the named mode through.",
        "look at the step that is named: `portolan doctor URL` and `portolan nat test` tell more",
    ),
    row(
        "nat.sysctl_readonly",
        "The network settings of the kernel are read-only.",
        "A container without privileges, or a read-only /proc/sys.",
        "set them on the host, as the message says",
    ),
    row(
        "nat.trial_pending",
        "A trial waits for `confirm` or `rollback`.",
        "Rules were applied with `confirm_within`, and the time has not passed.",
        "`portolan nat confirm` keeps them, `portolan nat rollback` restores the previous rules",
    ),
    row(
        "nat.unit_failed",
        "systemd could not be told of the unit that loads the rules at boot.",
        "The system is starting or shutting down, or systemd does not answer.",
        "run the command in the message, and `systemctl status` for the unit",
    ),
    row(
        "nat.unknown_interface",
        "The host has no interface of that name.",
        "A spelling mistake, or an interface that is down or renamed.",
        "`ip link` lists the interfaces; `absent_ok` accepts one that comes later",
    ),
    row(
        "nat.would_lock_out",
        "The change would take away the port by which the user is logged in.",
        "A forward covers the SSH port of this host.",
        "leave that port out, or apply with `--force` if you have other access",
    ),
    row(
        PROGRAM_FAILED,
        "A program before or after the work of a job failed.",
        "It ended with another exit status than 0, was ended by a signal, or could not be started.",
        "the log of the run has its output; `retries` tries the attempt again, unless `retry_on` lacks \"program\"",
    ),
    row(
        TLS_CERTIFICATE,
        "The certificate of the server is not trusted.",
        "It is self-signed, expired, for another host, or of a certificate authority that this host does not know.",
        "ca_file=FILE trusts another authority, pin=SHA256 this one certificate: `portolan doctor URL` shows it",
    ),
    row(
        TLS_NOT_OFFERED,
        "The server refused AUTH TLS (RFC 4217).",
        "It has no TLS, or only implicit TLS on another port.",
        "ftp:// is without TLS; ftps:// begins with TLS on port 990",
    ),
    row(
        TLS_REQUIRED,
        "The server refused a login, a command or a transfer that is not encrypted.",
        "It allows FTP only with TLS.",
        "ftpes:// encrypts what is said and what is moved; ftps:// does so on port 990",
    ),
    row(
        TLS_WRONG_PORT,
        "The server answered the TLS handshake with something else.",
        "The port expects explicit TLS (AUTH TLS), or is not one of an FTP server.",
        "ftpes:// turns to TLS on the ordinary port 21; ftps:// begins with it on port 990",
    ),
    row(
        TRANSFER_NAME_REFUSED,
        "The server refused the temporary name of an upload.",
        "It allows only certain names, such as those of a drop box, or no names that begin with a dot.",
        IN_PLACE,
    ),
    row(
        TRANSFER_NAME_SHORTENED,
        "The server shortened the temporary name of an upload, and other files with it.",
        "Its file system has short names, and names that differ only at their end are the same there.",
        "use shorter names, or upload with `--inplace`",
    ),
    row(
        TRANSFER_RENAME_REFUSED,
        "The server refused to rename an uploaded file to its final name.",
        "The account may not rename, or the name is not allowed.",
        IN_PLACE,
    ),
    row(
        TRANSFER_SOURCE_CHANGED,
        "A file was changed while it was transferred.",
        "Another program writes to it.",
        "something writes to this file: send it when nothing does, or have it written under another name and renamed",
    ),
    row(
        TRANSFER_TARGET_EXISTS,
        "The target of a transfer exists, and may not be replaced.",
        "`on_exists` is \"fail\", or every name with a number is taken.",
        "`--on-exists` overwrite replaces it, skip leaves it, rename gives the new file a name with a number",
    ),
];

/// The remedy for servers that refuse temporary names or renames.
const IN_PLACE: &str = "`--inplace`, or `inplace: true` in a script, sends files under their final names at once; what the name holds is lost when it begins";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn codes_are_sorted_and_unique_and_every_kind_has_one() {
        let (kinds, single): (Vec<_>, Vec<_>) = ALL.iter().partition(|row| !row.code.contains('.'));
        for part in [&kinds, &single] {
            assert!(part.is_sorted_by(|one: &&ErrorCode, next| one.code < next.code), "{part:?}");
        }
        let mut words = ErrorKind::ALL.map(ErrorKind::as_str);
        words.sort_unstable();
        assert_eq!(kinds.iter().map(|row| row.code).collect::<Vec<_>>(), words);
    }

    #[test]
    fn explanations_are_sentences_and_hints_are_clauses() {
        for row in ALL {
            assert!(row.meaning.ends_with('.') && row.cause.ends_with('.'), "{}", row.code);
            assert!(!row.remedy.ends_with('.') && row.remedy.len() > 10, "{}", row.code);
        }
    }
}
