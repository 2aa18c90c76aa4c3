//! HTTP requests of scripts: each host is asked for by name, at every redirect, and by the address that it has at the
//! moment of the connection.
//!
//! A name that is allowed may lead to an address of this host or its network today and to another one tomorrow (DNS
//! rebinding). The addresses are therefore looked at where they are used, in the resolver of the client.

mod address;
mod headers;

use std::{
    io::Read,
    sync::{Arc, OnceLock},
    time::Duration,
};

use rhai::{Blob, Dynamic, Map};
use ureq::{
    Agent, Proxy,
    http::{HeaderName, HeaderValue, Method, Request, Uri, header},
    tls::{Certificate, RootCerts, TlsConfig},
    unversioned::transport::DefaultConnector,
};

use self::{
    address::{joined, shown_url, url},
    headers::headers,
};
use super::{
    api::json::parsed,
    run::ScriptRun,
    show,
    value::{self, CallOptions},
};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    limits::{HTTP_BYTES_MAX, HTTP_REDIRECTS_MAX, HTTP_TIME_MAX, RETRIES_MAX},
    observe::visible::visible,
    option_table::{OptionKind, OptionRow, OptionTable},
    permissions::{
        RunPermissions,
        http_resolver::{CheckedResolver, web_place},
    },
    secret::Secret,
};

/// The headers that stay with the host for which they were meant.
const PRIVATE_HEADERS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-api-key"];
/// The answers after which the same request may succeed later.
const TEMPORARY: [u16; 4] = [429, 502, 503, 504];
/// The longest time that a server may ask to wait before the next attempt.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);

/// The options of `http` functions.
#[derive(Debug)]
pub(in crate::script) struct HttpOptions {
    timeout: Duration,
    bytes_max: u64,
    retries: u16,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), bytes_max: HTTP_BYTES_MAX, retries: 0 }
    }
}

/// Every option of `http` functions; `headers`, `body` and `json` are read by [`HttpRequest::new`].
pub(in crate::script) const HTTP: OptionTable<HttpOptions> = OptionTable {
    rows: &[
        OptionRow::<HttpOptions>::new(
            "headers",
            OptionKind::Own,
            "a map of headers; a value is a string, a secret, or an array of both, as in `#{ Authorization: [\"Bearer \", \
             secret(\"TOKEN\")] }`",
        ),
        OptionRow::<HttpOptions>::new(
            "body",
            OptionKind::Own,
            "the content to send: a string or a blob",
        ),
        OptionRow::<HttpOptions>::new(
            "json",
            OptionKind::Own,
            "any value, which is sent as JSON in place of `body`; secrets in it are `***`",
        ),
        OptionRow::<HttpOptions>::new(
            "timeout",
            OptionKind::DurationIn(Duration::from_secs(1)..=HTTP_TIME_MAX, |it, time| {
                it.timeout = time;
            }),
            "the most that one attempt may take, redirects included",
        )
        .usual("30s"),
        OptionRow::<HttpOptions>::new(
            "max_bytes",
            OptionKind::Size(|it, bytes| it.bytes_max = bytes.min(HTTP_BYTES_MAX)),
            "the most that the answer may have, up to 8 MiB",
        )
        .usual("8MiB"),
        OptionRow::<HttpOptions>::new(
            "retries",
            OptionKind::Count(0..=RETRIES_MAX, |it, count| it.retries = count),
            "attempts after the first, if there is no connection or the answer is 429, 502, 503 or 504",
        )
        .usual("0"),
    ],
    usual: HttpOptions::default,
};

/// A request.
#[derive(Debug, Clone)]
pub(in crate::script) struct HttpRequest {
    method: Method,
    target: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Option<Vec<u8>>,
    timeout: Duration,
    bytes_max: u64,
    retries: u16,
}

/// An answer.
#[derive(Debug)]
struct HttpAnswer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl HttpRequest {
    /// Reads the URL and the options of a call of `name`.
    pub(in crate::script) fn new(
        method: Method,
        name: &str,
        address: &str,
        options: &Map,
    ) -> Result<Self> {
        let found = super::options::read(options, name, &HTTP)?;
        let given = CallOptions::unchecked(options);
        let mut headers = headers(&given)?;
        let body = match (given.get("body"), given.get("json")) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid("`body` and `json` exclude each other"));
            }
            (Some(body), None) if body.read_lock::<Secret>().is_some() => {
                let message =
                    "a secret is sent as a header only, as in `headers: #{ Authorization: … }`";
                return Err(Error::invalid(message));
            }
            (Some(body), None) => Some(value::bytes(body)?),
            (None, Some(json)) => {
                if !headers.iter().any(|(name, _)| name == header::CONTENT_TYPE) {
                    let kind = HeaderValue::from_static("application/json");
                    headers.push((header::CONTENT_TYPE, kind));
                }
                Some(show::json(json).into_bytes())
            }
            (None, None) => None,
        };
        let has_body = matches!(method, Method::POST | Method::PUT);
        if body.is_some() && !has_body {
            return Err(Error::invalid(format!("{name} sends no body: there is `http::post`")));
        }
        Ok(Self {
            method,
            target: url(address)?,
            headers,
            body: if has_body { Some(body.unwrap_or_default()) } else { None },
            timeout: found.timeout,
            bytes_max: found.bytes_max,
            retries: found.retries,
        })
    }

    /// Sends the request for `run`, and returns the answer as a map.
    pub(in crate::script) fn send(self, run: &ScriptRun) -> Result<Map> {
        run.only_rulesets()?;
        let (host, port) = web_place(&self.target);
        if run.settings.rehearsal.is_some() {
            let (method, target) = (&self.method, shown_url(&self.target));
            run.context.observer.warn(format!(
                "{method} {target} is not sent in a rehearsal; a run has to allow it: --allow-http={host}"
            ));
            let nothing = HttpAnswer { status: 200, headers: Vec::new(), body: Vec::new() };
            return Ok(nothing.into_map());
        }
        run.permissions().allow_http(&host, port)?;
        let mut pause = Duration::from_secs(1);
        for attempt in 0.. {
            let answer = self.attempt(run);
            let again = match &answer {
                Ok(answer) => TEMPORARY.contains(&answer.status),
                Err(error) => error.is_retryable(),
            };
            if !again || attempt >= self.retries {
                return answer.map(HttpAnswer::into_map);
            }
            let asked = answer.as_ref().ok().and_then(HttpAnswer::retry_after);
            let why = answer
                .map_or_else(|error| error.to_string(), |it| format!("{host}: {}", it.status));
            let text = format!("{why}; trying again ({} of {})", attempt + 1, self.retries);
            run.context.observer.warn(text);
            let time = asked.unwrap_or(pause).min(RETRY_AFTER_MAX);
            run.wait(async {
                run.context.stop.run_until_cancelled(tokio::time::sleep(time)).await
            })?;
            pause = pause.saturating_mul(2);
        }
        Err(Error::invalid("no attempt was made"))
    }

    /// Makes one attempt on a thread of its own, which a stop of the run does not wait for: it ends by its time limit.
    fn attempt(&self, run: &ScriptRun) -> Result<HttpAnswer> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (request, permissions) = (self.clone(), Arc::clone(&run.context.permissions));
        let thread = std::thread::Builder::new().name("http".into()).spawn(move || {
            // The receiver is gone if the run was stopped.
            sender.send(request.follow(&permissions)).ok();
        });
        thread.map_err(|error| {
            let message = format!("cannot start a thread for HTTP: {error}");
            Error::new(ErrorKind::Local, Origin::Here, message)
        })?;
        run.wait(async {
            let answer = run.context.stop.run_until_cancelled(receiver).await?;
            answer.map_err(|_| Error::protocol("the thread for HTTP failed"))?
        })
    }

    /// Sends the request, and follows redirects.
    fn follow(mut self, permissions: &Arc<RunPermissions>) -> Result<HttpAnswer> {
        let end = std::time::Instant::now() + self.timeout;
        for _ in 0..=HTTP_REDIRECTS_MAX {
            let (host, port) = web_place(&self.target);
            permissions.allow_http(&host, port)?;
            let left = end.saturating_duration_since(std::time::Instant::now());
            let answer = self.once(permissions, left.max(Duration::from_millis(1)))?;
            let Some(next) = self.redirected(&answer)? else { return Ok(answer) };
            self = next;
        }
        let message = format!("more than {HTTP_REDIRECTS_MAX} redirects");
        Err(self.fault(ErrorKind::Protocol, &message))
    }

    fn fault(&self, kind: ErrorKind, message: &str) -> Error {
        Error::new(kind, Origin::Server, message).at(shown_url(&self.target))
    }

    fn once(&self, permissions: &Arc<RunPermissions>, time: Duration) -> Result<HttpAnswer> {
        let proxy = Proxy::try_from_env().filter(|proxy| !proxy.is_no_proxy(&self.target));
        let proxy_host = proxy.as_ref().map(|proxy| proxy.host().to_owned());
        let resolver = CheckedResolver::new(Arc::clone(permissions), proxy_host);
        let denial = resolver.denial();
        if proxy.is_some() {
            self.behind_proxy(permissions)?;
        }
        let config = Agent::config_builder()
            .timeout_global(Some(time))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .proxy(proxy)
            .tls_config(TlsConfig::builder().root_certs(roots()).build())
            .user_agent(concat!("portolan/", env!("CARGO_PKG_VERSION")))
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), resolver);
        let mut request = Request::builder().method(self.method.clone()).uri(self.target.clone());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let bad =
            |error: ureq::http::Error| Error::invalid(format!("the request is not valid: {error}"));
        let sent = match &self.body {
            Some(body) => agent.run(request.body(body.as_slice()).map_err(bad)?),
            None => agent.run(request.body(()).map_err(bad)?),
        };
        match (sent, denial.take()) {
            (_, Some(denial)) => Err(denial),
            (Ok(answer), None) => self.read(answer),
            (Err(error), None) => Err(self.failed(&error)),
        }
    }

    /// Asks for the address in a URL that a proxy would connect with; names are resolved by the proxy.
    fn behind_proxy(&self, permissions: &RunPermissions) -> Result<()> {
        let (host, port) = web_place(&self.target);
        let address = match host.parse() {
            Ok(address) => address,
            Err(_) if host.eq_ignore_ascii_case("localhost") => {
                std::net::Ipv4Addr::LOCALHOST.into()
            }
            Err(_) => return Ok(()),
        };
        permissions.allow_http_address(&host, port, address)
    }

    fn read(&self, answer: ureq::http::Response<ureq::Body>) -> Result<HttpAnswer> {
        let status = answer.status().as_u16();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = answer.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let mut body = Vec::new();
        let mut source = answer.into_body().into_reader().take(self.bytes_max.saturating_add(1));
        source.read_to_end(&mut body).map_err(|error| self.failed(&ureq::Error::from(error)))?;
        if body.len() as u64 > self.bytes_max {
            let message =
                format!("the answer has more than {} bytes (`max_bytes`)", self.bytes_max);
            return Err(self.fault(ErrorKind::Guard, &message));
        }
        Ok(HttpAnswer { status, headers, body })
    }

    fn failed(&self, error: &ureq::Error) -> Error {
        let kind = match error {
            ureq::Error::Timeout(_) => ErrorKind::Timeout,
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                ErrorKind::Timeout
            }
            ureq::Error::Io(error) if error.to_string().contains("certificate") => ErrorKind::Tls,
            ureq::Error::Io(_) | ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
                ErrorKind::Unreachable
            }
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) => ErrorKind::Tls,
            _ => ErrorKind::Protocol,
        };
        self.fault(kind, &visible(format!("the request failed: {error}")))
    }

    /// Returns the request to which a redirect leads; `None` if the answer is none.
    fn redirected(&self, answer: &HttpAnswer) -> Result<Option<Self>> {
        if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        let Some(location) = answer.header("location") else { return Ok(None) };
        let target = joined(&self.target, location)
            .ok_or_else(|| self.fault(ErrorKind::Protocol, "it redirects to what is no URL"))?;
        let target = url(&target)?;
        if self.target.scheme_str() == Some("https") && target.scheme_str() == Some("http") {
            return Err(self.fault(ErrorKind::Tls, "it redirects from https to http"));
        }
        let mut next = self.clone();
        if web_place(&target) != web_place(&self.target) {
            next.headers.retain(|(name, _)| !PRIVATE_HEADERS.contains(&name.as_str()));
        }
        // As every browser does, and RFC 9110, 15.4 allows.
        let is_turned = answer.status == 303 && self.method != Method::HEAD
            || matches!(answer.status, 301 | 302) && self.method == Method::POST;
        if is_turned {
            (next.method, next.body) = (Method::GET, None);
            next.headers.retain(|(name, _)| name != header::CONTENT_TYPE);
        }
        next.target = target;
        Ok(Some(next))
    }
}

impl HttpAnswer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
    }

    fn into_map(self) -> Map {
        let is_json = self.header("content-type").is_some_and(|kind| kind.contains("json"));
        let mut headers = Map::new();
        for (name, value) in &self.headers {
            let known = headers.get(name.as_str()).map(show::text);
            let value = known.map_or_else(|| value.clone(), |known| format!("{known}, {value}"));
            headers.insert(name.as_str().into(), value.into());
        }
        let (body, json) = match String::from_utf8(self.body) {
            Ok(text) => {
                let json = if is_json { parsed(&text).ok() } else { None };
                (Dynamic::from(text), json)
            }
            Err(error) => (Dynamic::from_blob(Blob::from(error.into_bytes())), None),
        };
        Map::from([
            ("status".into(), i64::from(self.status).into()),
            ("headers".into(), headers.into()),
            ("body".into(), body),
            ("json".into(), json.unwrap_or(Dynamic::UNIT)),
        ])
    }
}

/// Returns the certificates that this host trusts, as for FTPS; without any, those of Mozilla.
fn roots() -> RootCerts {
    static ROOTS: OnceLock<RootCerts> = OnceLock::new();
    let found = ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs().certs;
        let all: Vec<_> =
            found.iter().map(|der| Certificate::from_der(der.as_ref()).to_owned()).collect();
        if all.is_empty() { RootCerts::WebPki } else { RootCerts::from(all) }
    });
    found.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_stays_with_its_host() {
        let mut options = Map::new();
        let given = Map::from([("Authorization".into(), Dynamic::from(Secret::new("hunter2")))]);
        options.insert("headers".into(), given.into());
        options.insert("json".into(), 5.into());
        let request =
            HttpRequest::new(Method::POST, "http::post", "https://h/a", &options).unwrap();
        assert!(!format!("{request:?}").contains("hunter2"));
        let to = |status, location: &str| {
            let headers = vec![("location".to_owned(), location.to_owned())];
            request.redirected(&HttpAnswer { status, headers, body: Vec::new() })
        };
        let names = |request: &HttpRequest| {
            request.headers.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>()
        };
        let same = to(307, "/b").unwrap().unwrap();
        assert_eq!((names(&same).len(), &same.method), (2, &Method::POST));
        let other = to(302, "https://other/b").unwrap().unwrap();
        assert_eq!((names(&other).len(), other.method), (0, Method::GET));
        assert!(to(302, "http://h/a").unwrap_err().message.contains("from https to http"));
        assert!(to(302, "file:///etc/passwd").is_err());
        assert!(to(200, "/b").unwrap().is_none());
    }
}
