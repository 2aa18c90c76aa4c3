//! The decisions on requests: the host name that they are for, the site that they come from, and what their sender may
//! do. Pure: everything is an argument.

use std::net::{IpAddr, SocketAddr};

use crate::{
    error::{
        Error, ErrorKind, Origin, Result,
        web_codes::{WEB_CROSS_SITE, WEB_HOST, WEB_LOGIN_REQUIRED, WEB_ROLE},
    },
    observe::visible::visible,
    store::tokens::TokenRole,
};

/// The sender of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// A sender without a valid token.
    Anonymous,
    /// A program that sent its token with the request.
    Program {
        /// The name of the token.
        name: String,
        /// Its rights.
        role: TokenRole,
    },
    /// A person who has logged in with a token.
    Person {
        /// The name of the token.
        name: String,
        /// Its rights.
        role: TokenRole,
        /// The text that forms of this session must contain.
        csrf: String,
    },
}

impl Caller {
    /// Returns the name of the token.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::Program { name, .. } | Self::Person { name, .. } => Some(name),
        }
    }

    /// Returns the rights of the sender.
    pub(super) const fn role(&self) -> Option<TokenRole> {
        match self {
            Self::Anonymous => None,
            Self::Program { role, .. } | Self::Person { role, .. } => Some(*role),
        }
    }

    /// Returns the text that forms must contain; empty for a sender that needs none.
    pub(super) fn csrf(&self) -> &str {
        if let Self::Person { csrf, .. } = self { csrf } else { "" }
    }
}

/// The rights that a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AccessNeed {
    /// None: the login, style sheets, the health check.
    Nothing,
    /// Those of a reader.
    Read,
    /// Those of an operator.
    Operate,
}

/// Returns the rights that a request for `path` needs.
pub(super) fn need(is_safe_method: bool, path: &str) -> AccessNeed {
    const OPEN: [&str; 3] = ["/healthz", "/login", "/api/v1/openapi.json"];
    if OPEN.contains(&path) || path.starts_with("/assets/") {
        AccessNeed::Nothing
    } else if is_safe_method || path == "/logout" {
        AccessNeed::Read
    } else {
        AccessNeed::Operate
    }
}

/// Fails unless `caller` has the rights for `need`.
pub(super) fn admit(need: AccessNeed, caller: &Caller, anonymous_read: bool) -> Result<()> {
    let refused = |name, message: &str| {
        Err(Error::new(ErrorKind::Denied, Origin::Script, message).with_name(name))
    };
    match (need, caller.role()) {
        (AccessNeed::Nothing, _)
        | (AccessNeed::Read | AccessNeed::Operate, Some(TokenRole::Operate))
        | (AccessNeed::Read, Some(TokenRole::Read)) => Ok(()),
        (AccessNeed::Read, None) if anonymous_read => Ok(()),
        (AccessNeed::Operate, Some(TokenRole::Read)) => {
            refused(WEB_ROLE, "this token may read, and not run, pause, resume or stop anything")
        }
        (_, None) => refused(WEB_LOGIN_REQUIRED, "a valid token is required"),
    }
}

/// The host names under which the page is served.
#[derive(Debug, Clone)]
pub(super) struct HostNames {
    /// The address that it listens at.
    pub(super) address: SocketAddr,
    /// The names of the configuration, in lower case.
    pub(super) named: Vec<String>,
}

impl HostNames {
    /// Fails unless the page is served under `host`, the value of the header `Host`. A page of another site whose name
    /// was made to point here (DNS rebinding) sends its own name.
    pub(super) fn check(&self, host: &str) -> Result<()> {
        let name = without_port(host).to_ascii_lowercase();
        let literal = name.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        let is_local = self.address.ip().is_loopback();
        let is_known = match literal {
            // A numeric address cannot be rebound.
            Some(ip) => !is_local || ip.is_loopback(),
            None => name == "localhost" || self.named.contains(&name),
        };
        if is_known {
            return Ok(());
        }
        let message = format!("the page is not served as `{}`", visible(&name));
        Err(Error::new(ErrorKind::Refused, Origin::Script, message).with_name(WEB_HOST))
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Fails if a page of another site sent the request: `origin` and `site` are the values of the headers `Origin` and
/// `Sec-Fetch-Site`, of which old browsers send only the first and programs none. Links from elsewhere may be followed.
pub(super) fn check_site(
    is_safe_method: bool,
    host: &str,
    origin: Option<&str>,
    site: Option<&str>,
) -> Result<()> {
    let is_own = |origin: &str| {
        let host_of = |scheme| origin.strip_prefix(scheme);
        let name = host_of("https://").or_else(|| host_of("http://"));
        name.is_some_and(|name| name.eq_ignore_ascii_case(host))
    };
    let is_other = origin.is_some_and(|origin| !is_own(origin))
        || (!is_safe_method && matches!(site, Some("cross-site" | "same-site")));
    if !is_other {
        return Ok(());
    }
    let message = "this request comes from a page of another site";
    Err(Error::new(ErrorKind::Denied, Origin::Script, message).with_name(WEB_CROSS_SITE))
}

/// Returns true if two texts are equal, in a time that does not depend on where they differ.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let differences = one.bytes().zip(other.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(role: TokenRole) -> Caller {
        Caller::Program { name: "ci".into(), role }
    }

    #[test]
    fn acting_needs_the_right_to_act_and_reading_may_be_for_everybody() {
        let told =
            |need, caller: &Caller, open| admit(need, caller, open).err().and_then(|e| e.name);
        for open in [false, true] {
            assert_eq!(
                told(AccessNeed::Operate, &Caller::Anonymous, open),
                Some(WEB_LOGIN_REQUIRED)
            );
            assert_eq!(told(AccessNeed::Operate, &program(TokenRole::Read), open), Some(WEB_ROLE));
            assert_eq!(told(AccessNeed::Operate, &program(TokenRole::Operate), open), None);
            assert_eq!(told(AccessNeed::Read, &program(TokenRole::Read), open), None);
            assert_eq!(told(AccessNeed::Read, &program(TokenRole::Operate), open), None);
            assert_eq!(told(AccessNeed::Nothing, &Caller::Anonymous, open), None);
        }
        assert_eq!(told(AccessNeed::Read, &Caller::Anonymous, true), None);
        assert_eq!(told(AccessNeed::Read, &Caller::Anonymous, false), Some(WEB_LOGIN_REQUIRED));
    }

    #[test]
    fn each_request_needs_the_rights_of_its_method() {
        for (is_safe, path, wanted) in [
            (true, "/", AccessNeed::Read),
            (true, "/api/v1/jobs", AccessNeed::Read),
            (true, "/metrics", AccessNeed::Read),
            (false, "/api/v1/jobs/a/trigger", AccessNeed::Operate),
            (false, "/nowhere", AccessNeed::Operate),
            (false, "/logout", AccessNeed::Read),
            (false, "/login", AccessNeed::Nothing),
            (true, "/assets/style.css", AccessNeed::Nothing),
            (true, "/healthz", AccessNeed::Nothing),
        ] {
            assert_eq!(need(is_safe, path), wanted, "{path}");
        }
    }

    #[test]
    fn only_known_host_names_are_served() {
        let names = |address: &str| HostNames {
            address: address.parse().unwrap(),
            named: vec!["jobs.example.com".into()],
        };
        let local = names("127.0.0.1:8080");
        for host in
            ["localhost:8080", "LOCALHOST", "127.0.0.1:8080", "[::1]:9", "Jobs.Example.com:443"]
        {
            assert!(local.check(host).is_ok(), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "",
            "192.0.2.1:8080",
            "jobs.example.com.",
            "a b",
        ] {
            assert_eq!(local.check(host).unwrap_err().name, Some(WEB_HOST), "{host}");
        }
        let open = names("0.0.0.0:8080");
        assert!(open.check("192.0.2.1:8080").is_ok());
        assert!(open.check("evil.example:8080").is_err());
    }

    #[test]
    fn requests_of_other_sites_are_refused_and_their_links_work() {
        let told = |is_safe, origin, site| check_site(is_safe, "localhost:1", origin, site).is_ok();
        assert!(told(false, None, None), "a program");
        assert!(told(false, Some("http://localhost:1"), Some("same-origin")));
        assert!(told(false, Some("https://LOCALHOST:1"), None));
        assert!(told(true, None, Some("cross-site")), "a link");
        for origin in ["http://evil.example", "null", "", "http://localhost:2", "http://localhost"]
        {
            assert!(!told(false, Some(origin), None), "{origin}");
            assert!(!told(true, Some(origin), None), "{origin}");
        }
        assert!(!told(false, None, Some("cross-site")));
        assert!(!told(false, None, Some("same-site")));
    }

    #[test]
    fn texts_are_compared_whole() {
        assert!(is_same("abc", "abc") && is_same("", ""));
        assert!(!is_same("abc", "abd") && !is_same("abc", "ab") && !is_same("", "a"));
    }
}
