//! The question to the site after a deployment: does it answer?

use std::{sync::Arc, time::Duration};

use portolan_core::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Origin, Result},
    observe::visible::visible,
};
use portolan_permissions::{RunPermissions, http_resolver::CheckedResolver};
use ureq::unversioned::{resolver::DefaultResolver, transport::DefaultConnector};

/// The number of questions before the site counts as broken: caches of PHP take a moment to see new files.
const TRIES: u32 = 3;
/// The time between two of them.
const PAUSE: Duration = Duration::from_secs(2);
/// The time within which a site answers.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

/// The maximum number of redirects.
const REDIRECTS_MAX: usize = 5;

/// Fails with `invalid` on an address that is not one of a web site.
pub(super) fn valid(url: &str) -> Result<()> {
    let is_web = ["http://", "https://"].iter().any(|scheme| {
        url.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
            && url.len() > scheme.len()
    });
    if is_web && !url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "`check_url` wants an http:// or https:// address, not `{}`",
        visible(url)
    )))
}

/// The permissions of the script that asks for a deployment; `None` if the user asks.
pub type WebPermissions = Option<Arc<RunPermissions>>;

/// Asks `url` until it answers 200, a few times. Fails with its last answer, and with `denied_by_policy` where `permissions`
/// do not allow an address.
pub(super) async fn answers(
    url: &str,
    permissions: &WebPermissions,
    stop: &CancelToken,
) -> Result<()> {
    let mut words = String::new();
    for tries in 0..TRIES {
        if tries > 0 {
            stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await?;
        }
        let (address, permissions) = (url.to_owned(), permissions.clone());
        // Questions block, and the sessions share this thread.
        let asked = tokio::task::spawn_blocking(move || ask(&address, &permissions));
        match stop.run_until_cancelled(asked).await? {
            Ok(Ok(200)) => return Ok(()),
            Ok(Ok(code)) => words = format!("it answered {code}"),
            Ok(Err(error)) if error.kind == ErrorKind::DeniedByPolicy => return Err(error),
            Ok(Err(error)) => words = visible(&error.message),
            Err(error) => words = error.to_string(),
        }
    }
    let message = format!("the site does not answer 200: {words}");
    Err(Error::new(ErrorKind::Refused, Origin::Network, message).at(visible(without_query(url))))
}

/// Returns an address without its query, which may hold a secret.
fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or(url)
}

/// Returns a denial with the redirect that led to it: the script did not name that address.
fn after_redirect(error: Error, first: &str, url: &str) -> Error {
    if error.kind != ErrorKind::DeniedByPolicy || url == first {
        return error;
    }
    let (from, to) = (visible(without_query(first)), visible(without_query(url)));
    let message = format!("`check_url` {from} redirects to {to}, and {}", error.message);
    Error { message, ..error }
}

/// Asks `first` once, and follows redirects within its host.
fn ask(first: &str, permissions: &WebPermissions) -> Result<u16> {
    let mut url = first.to_owned();
    for _ in 0..=REDIRECTS_MAX {
        let (code, location) =
            once(&url, permissions).map_err(|error| after_redirect(error, first, &url))?;
        let location = location.filter(|_| (300..400).contains(&code));
        match location.and_then(|to| redirected(&url, &to)) {
            Some(next) => url = next,
            None => return Ok(code),
        }
    }
    let message = format!("more than {REDIRECTS_MAX} redirects");
    Err(Error::new(ErrorKind::Refused, Origin::Server, message))
}

/// Returns the status of `url`, and the place to which it redirects.
fn once(url: &str, permissions: &WebPermissions) -> Result<(u16, Option<String>)> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_TIME_MAX))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("portolan/", env!("CARGO_PKG_VERSION")))
        .build();
    let connector = DefaultConnector::default();
    let (agent, denial) = match permissions {
        None => {
            let agent = ureq::Agent::with_parts(config, connector, DefaultResolver::default());
            (agent, None)
        }
        Some(permissions) => {
            // A redirect may lead to another port.
            if let Some((host, port)) = web_host(url) {
                permissions.allow_http(&host, port)?;
            }
            let proxy = config.proxy().map(|proxy| proxy.host().to_owned());
            let resolver = CheckedResolver::new(Arc::clone(permissions), proxy);
            let denial = resolver.denial();
            (ureq::Agent::with_parts(config, connector, resolver), Some(denial))
        }
    };
    let answer = agent.get(url).header("cache-control", "no-cache").call();
    if let Some(denied) = denial.and_then(|denial| denial.take()) {
        return Err(denied);
    }
    let answer = answer
        .map_err(|error| Error::new(ErrorKind::Unreachable, Origin::Network, error.to_string()))?;
    let location = answer.headers().get("location").and_then(|value| value.to_str().ok());
    Ok((answer.status().as_u16(), location.map(str::to_owned)))
}

/// Returns the host and the port of a web address.
pub fn web_host(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?;
    let usual = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) => (host, port.parse().ok()?),
        _ => (authority, usual),
    };
    Some((host.trim_matches(['[', ']']).to_ascii_lowercase(), port))
}

/// Returns the address to which `url` redirects; `None` if that is of another host.
fn redirected(url: &str, to: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let origin = rest.split(['/', '?', '#']).next()?;
    let next = if to.contains("://") {
        to.to_owned()
    } else if let Some(rest) = to.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if to.starts_with('/') {
        format!("{scheme}://{origin}{to}")
    } else {
        let path = rest.get(origin.len()..)?.split(['?', '#']).next()?;
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{origin}{folder}/{to}")
    };
    let is_same = web_host(&next)?.0 == web_host(url)?.0;
    (is_same && valid(&next).is_ok()).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_web_sites_are_checked() {
        for good in ["http://a/", "https://www.example.com/health?x=1", "HTTPS://a"] {
            assert!(valid(good).is_ok(), "{good}");
        }
        for bad in
            ["", "www.example.com", "ftp://a/", "http://", "https://a b/", "file:///etc/passwd"]
        {
            assert!(valid(bad).is_err(), "{bad}");
        }
        assert_eq!(without_query("https://a/b?key=1#c"), "https://a/b");
    }

    #[test]
    fn a_denied_redirect_is_named() {
        let denied = || Error::new(ErrorKind::DeniedByPolicy, Origin::Script, "may not");
        let (from, to) = ("http://a/x?key=1", "https://a/x?key=1");
        let said = "`check_url` http://a/x redirects to https://a/x, and may not";
        assert_eq!(after_redirect(denied(), from, to).message, said);
        assert_eq!(after_redirect(denied(), from, from).message, "may not");
        let other = Error::new(ErrorKind::Timeout, Origin::Network, "late");
        assert_eq!(after_redirect(other, from, to).message, "late");
    }

    #[test]
    fn redirects_are_followed_within_the_host_only() {
        let from = "http://www.example.com/a/b?x=1";
        for (to, next) in [
            ("https://www.example.com/", Some("https://www.example.com/")),
            ("/en/", Some("http://www.example.com/en/")),
            ("c", Some("http://www.example.com/a/c")),
            ("//WWW.example.com/x", Some("http://WWW.example.com/x")),
            ("http://169.254.169.254/latest/", None),
            ("file:///etc/passwd", None),
        ] {
            assert_eq!(redirected(from, to).as_deref(), next, "{to}");
        }
        assert_eq!(web_host("https://u:p@A.example:8443/x"), Some(("a.example".into(), 8443)));
        assert_eq!(web_host("http://[::1]/"), Some(("::1".into(), 80)));
    }
}
