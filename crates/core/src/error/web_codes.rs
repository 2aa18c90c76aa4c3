//! The codes of the page and its API, with their explanations.

use super::code_names::{ErrorCode, row};

/// A request from a page of another site.
pub const WEB_CROSS_SITE: &str = "web.cross_site";
/// A request of a browser without the token of its page.
pub const WEB_CSRF: &str = "web.csrf";
/// A request for another host name.
pub const WEB_HOST: &str = "web.host";
/// A request without a valid token.
pub const WEB_LOGIN_REQUIRED: &str = "web.login_required";
/// A request for a method that the resource does not have.
pub const WEB_METHOD: &str = "web.method";
/// An address that other hosts can reach, without a certificate.
pub const WEB_NEEDS_TLS: &str = "web.needs_tls";
/// A run that cannot be stopped.
pub const WEB_NOT_RUNNING: &str = "web.not_running";
/// A token without the right to act.
pub const WEB_ROLE: &str = "web.role";
/// A request that is too large.
pub const WEB_TOO_LARGE: &str = "web.too_large";
/// Too many failed logins.
pub const WEB_TOO_MANY_LOGINS: &str = "web.too_many_logins";

/// Joins the codes before those of the page and these.
#[expect(clippy::indexing_slicing, reason = "an index out of bounds is an error of the compiler")]
pub(super) const fn joined<const N: usize>(first: &[ErrorCode]) -> [ErrorCode; N] {
    let mut all = [first[0]; N];
    let mut at = 0;
    while at < N {
        all[at] = if at < first.len() { first[at] } else { ALL[at - first.len()] };
        at += 1;
    }
    all
}

/// Every code, sorted.
pub(super) const ALL: &[ErrorCode] = &[
    row(
        WEB_CROSS_SITE,
        "A page of another site sent this request.",
        "Another web site tries to act in your name, or a reverse proxy changes `Host` but not `Origin`.",
        "nothing was done; a reverse proxy must pass `Host` on as it came",
    ),
    row(
        WEB_CSRF,
        "The request of a browser lacks the token of its page.",
        "The page is older than the login, or another site sent the request.",
        "load the page again; programs send `Authorization: Bearer TOKEN` and need none",
    ),
    row(
        WEB_HOST,
        "The page is not served under this host name.",
        "A reverse proxy, or an entry of DNS that points here: an attacker's site could do the same (DNS rebinding).",
        "name the host in `listen_hosts` of `[runner]`, or use the address itself",
    ),
    row(
        WEB_LOGIN_REQUIRED,
        "A valid token is required.",
        "No token was sent, or it is misspelt, expired or revoked.",
        "`portolan token add NAME` makes one; programs send it as `Authorization: Bearer TOKEN`, people log in with it at `/login`",
    ),
    row(
        WEB_METHOD,
        "The resource does not support this method.",
        "A POST where only GET is possible, or the other way round.",
        "`/api/v1/openapi.json` lists every resource with its methods",
    ),
    row(
        WEB_NEEDS_TLS,
        "An address that other hosts can reach needs TLS.",
        "`listen` names an address that is not one of the loopback interface, and there is no `listen_cert`.",
        "set `listen_cert` and `listen_key`, or listen at 127.0.0.1 behind a reverse proxy or an SSH tunnel",
    ),
    row(
        WEB_NOT_RUNNING,
        "The run is not in progress.",
        "It has ended, it waits for its turn, or it was started by hand.",
        "`/api/v1/runs/ID` shows its state; pause the job to keep a waiting one from starting",
    ),
    row(
        WEB_ROLE,
        "The token may read, but not act.",
        "It has the role `read`.",
        "`portolan token add NAME --role operate` makes one that may run, pause, resume and stop",
    ),
    row(
        WEB_TOO_LARGE,
        "The request is too large.",
        "Its body is longer than any request that the page or its API understands.",
        "the bodies are forms and small JSON objects of at most 16 KiB",
    ),
    row(
        WEB_TOO_MANY_LOGINS,
        "Too many logins failed.",
        "Too many failed logins from this address: guessed tokens, or a program that still uses a revoked one.",
        "wait a minute; valid tokens of API requests are accepted all the time",
    ),
];
