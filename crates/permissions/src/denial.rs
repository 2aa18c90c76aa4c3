//! The error of a question that is answered by no.

use portolan_core::{
    error::{Error, ErrorKind, Origin},
    observe::visible::visible,
};

use super::{host::HostGrant, options::PermissionKind};

/// Returns the error for `asked`, with the flag and the key that would allow it.
pub(super) fn denied(kind: PermissionKind, asked: &str) -> Error {
    let asked = visible(asked);
    let act = match kind {
        PermissionKind::Net => format!("connect to {asked}"),
        PermissionKind::Read => format!("read `{asked}`"),
        PermissionKind::Write => format!("write `{asked}`"),
        PermissionKind::Delete => format!("remove `{asked}`"),
        PermissionKind::RemoteDelete => "remove files of servers".to_owned(),
        PermissionKind::Run => format!("start the program `{asked}`"),
        PermissionKind::Http => format!("send HTTP requests to {asked}"),
        PermissionKind::Env => format!("read the environment variable `{asked}`"),
        PermissionKind::Secret => format!("read the secret `{asked}`"),
        PermissionKind::Nat => "change NAT".to_owned(),
    };
    let is_host = matches!(kind, PermissionKind::Net | PermissionKind::Http);
    if is_host && HostGrant::parse(&asked).is_err() {
        let message = format!(
            "this script may not {act}: a permission names a host, or an address as in 192.0.2.1 or [2001:db8::1]"
        );
        return Error::new(ErrorKind::DeniedByPolicy, Origin::Script, message);
    }
    let (flag, line) = (kind.flag(&asked), kind.line([asked.as_str()]));
    let message = format!(
        "this script may not {act}: run it with `{flag}`, or give its job `{line}` in `[job.permissions]`"
    );
    Error::new(ErrorKind::DeniedByPolicy, Origin::Script, message)
}
