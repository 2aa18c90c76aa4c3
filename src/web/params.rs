//! The parameters of requests, checked: an unknown one is an error, as a misspelt filter would show everything.

use std::sync::Arc;

use axum::{
    Extension,
    body::{Body, HttpBody, to_bytes},
    extract::{Path, Query, State, rejection::PathRejection},
    http::{HeaderMap, Uri, header::CONTENT_TYPE},
};
use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::{
    access::Caller,
    api::{BODY_BYTES_MAX, BODY_TIME_MAX},
    gate::header,
    server::WebState,
};
use crate::{
    error::{Error, ErrorKind, Origin, Result, web_codes::WEB_TOO_LARGE},
    observe::visible::visible,
    schedule::moments::past,
    store::history::{RunFilter, RunState},
};

/// The state that requests share, as handlers get it.
pub(super) type SharedWeb = State<Arc<WebState>>;
/// The variable part of a path.
pub(super) type PathText = Result<Path<String>, PathRejection>;
/// The sender of a request, as handlers get it.
pub(super) type FromCaller = Extension<Caller>;

/// The maximum number of entries of a list in one response.
const LIMIT_MAX: u32 = 1_000;
/// The number of entries without `limit`.
pub(super) const LIMIT: u32 = 100;
/// The maximum number of characters of a reason for a pause: it is shown in one line.
const REASON_CHARS_MAX: usize = 200;

/// The parameters of the list of jobs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobsQuery {
    /// A part of the name, of the description or of a tag.
    pub(super) q: Option<String>,
    /// `failing`, `paused` or `running`.
    pub(super) state: Option<String>,
    limit: Option<String>,
    /// The name of the last job of the list before.
    pub(super) cursor: Option<String>,
    /// The result of the request before; only the page uses it.
    pub(super) note: Option<String>,
}

/// The states by which jobs are filtered.
pub(super) const JOB_STATES: [&str; 3] = ["failing", "paused", "running"];

impl JobsQuery {
    /// Returns the number of jobs to list, `usual` without one. Fails for a value that cannot be used.
    pub(super) fn checked(&self, usual: u32) -> Result<u32> {
        if let Some(state) = &self.state
            && !state.is_empty()
            && !JOB_STATES.contains(&state.as_str())
        {
            return Err(no_such("state", state, &JOB_STATES));
        }
        number("limit", self.limit.as_deref(), usual, LIMIT_MAX)
    }
}

/// The parameters of the list of runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunsQuery {
    pub(super) job: Option<String>,
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
    failed: Option<String>,
    pub(super) outcome: Option<String>,
    limit: Option<String>,
    /// The number of the last run of the list before.
    cursor: Option<String>,
    pub(super) note: Option<String>,
}

impl RunsQuery {
    /// Returns true if only runs that failed are wanted.
    pub(super) fn is_failed(&self) -> bool {
        matches!(self.failed.as_deref(), Some("true" | "1" | "on" | ""))
    }

    /// Returns the filter. Fails for a value that cannot be used.
    pub(super) fn filter(&self, now: Timestamp) -> Result<RunFilter> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let time = |text: &Option<String>| given(text).map(|text| past(&text, now)).transpose();
        if let Some(failed) = &self.failed
            && !matches!(failed.as_str(), "true" | "false" | "1" | "0" | "on" | "")
        {
            return Err(no_such("failed", failed, &["true", "false"]));
        }
        let state = given(&self.outcome).map(|word| {
            word.parse::<RunState>().map_err(|_| no_such("outcome", &word, RunState::NAMES))
        });
        let below = given(&self.cursor).map(|text| {
            let wrong =
                |_| Error::invalid(format!("`cursor` is no number of a run: `{}`", visible(&text)));
            text.parse().map_err(wrong)
        });
        Ok(RunFilter {
            job: given(&self.job),
            since: time(&self.since)?,
            until: time(&self.until)?,
            failed: self.is_failed(),
            state: state.transpose()?,
            below: below.transpose()?,
            most: limit(self.limit.as_deref())?,
        })
    }
}

/// The parameters of the list of slots to come.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NextQuery {
    hours: Option<String>,
    limit: Option<String>,
}

/// The maximum number of hours to look ahead.
const HOURS_MAX: u32 = 24 * 31;

impl NextQuery {
    /// Returns the hours to look ahead, and the number of slots. Fails for a value that cannot be used.
    pub(super) fn checked(&self) -> Result<(u32, u32)> {
        let hours = number("hours", self.hours.as_deref(), 24, HOURS_MAX)?;
        Ok((hours, limit(self.limit.as_deref())?))
    }
}

/// The parameters of the log of a run.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    offset: Option<String>,
}

impl LogQuery {
    /// Returns the byte to begin with. Fails for a value that is none.
    pub(super) fn checked(&self) -> Result<u64> {
        let Some(text) = &self.offset else { return Ok(0) };
        // As files have it: no offset is beyond what a signed number has.
        let offset = text.parse::<i64>().ok().and_then(|offset| u64::try_from(offset).ok());
        offset.ok_or_else(|| {
            Error::invalid(format!("`offset` is no number of bytes: `{}`", visible(text)))
        })
    }
}

/// The body of a trigger.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TriggerBody {
    /// The arguments of the job that this run has in place of those of the jobs file.
    #[serde(default)]
    pub(super) args: Map<String, Value>,
}

/// The body of a pause.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseBody {
    /// The reason, shown in `runs` and `why`.
    reason: Option<String>,
}

impl PauseBody {
    /// Returns the reason. Fails for one that is too long.
    pub(super) fn checked(self) -> Result<Option<String>> {
        checked_reason(self.reason)
    }
}

/// Returns a reason for a pause, unless it is empty. Fails for one that is too long.
pub(super) fn checked_reason(reason: Option<String>) -> Result<Option<String>> {
    let reason = reason.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    if reason.as_ref().is_some_and(|text| text.chars().count() > REASON_CHARS_MAX) {
        let message = format!("`reason` has at most {REASON_CHARS_MAX} characters");
        return Err(Error::invalid(message));
    }
    Ok(reason)
}

/// The body of a request that takes nothing: an empty object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoBody {}

/// The form of an action on the page.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActionForm {
    /// The text of the session.
    #[serde(default)]
    pub(super) csrf: String,
    /// The reason for a pause.
    pub(super) reason: Option<String>,
}

/// The form of a login.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginForm {
    #[serde(default)]
    pub(super) token: String,
    #[serde(default)]
    pub(super) next: String,
}

/// The parameters of the login.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct LoginQuery {
    #[serde(default)]
    pub(super) next: String,
}

fn limit(text: Option<&str>) -> Result<u32> {
    number("limit", text, LIMIT, LIMIT_MAX)
}

fn number(name: &str, text: Option<&str>, usual: u32, most: u32) -> Result<u32> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(usual) };
    let value = text.parse().ok().filter(|value| (1..=most).contains(value));
    let wrong = || {
        Error::invalid(format!("`{name}` is a number from 1 to {most}, not `{}`", visible(text)))
    };
    value.ok_or_else(wrong)
}

fn no_such(name: &str, value: &str, known: &[&str]) -> Error {
    Error::invalid(format!("`{name}` is one of {}, not `{}`", known.join(", "), visible(value)))
}

/// Reads the parameters of a request.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T> {
    let read = Query::<T>::try_from_uri(uri);
    read.map(|Query(value)| value).map_err(|error| Error::invalid(visible(error.body_text())))
}

/// Returns the number of a run of a path.
pub(super) fn run_id(path: PathText) -> Result<i64> {
    let text = segment(path)?;
    let id = text.parse().ok().filter(|id| *id > 0);
    id.ok_or_else(|| Error::invalid(format!("`{}` is no number of a run", visible(&text))))
}

/// Returns the name in the path.
pub(super) fn segment(path: PathText) -> Result<String> {
    path.map(|Path(text)| text).map_err(|error| Error::invalid(visible(error.body_text())))
}

/// Reads the body of a request, within its limits of size and time.
pub(super) async fn body(body: Body) -> Result<Vec<u8>> {
    let late =
        |_| Error::new(ErrorKind::Timeout, Origin::Network, "the body did not arrive in time");
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let read = timeout(BODY_TIME_MAX, to_bytes(body, BODY_BYTES_MAX)).await.map_err(late)?;
    read.map(|bytes| bytes.to_vec()).map_err(|_| too_large())
}

fn too_large() -> Error {
    let message = format!("the body is longer than {BODY_BYTES_MAX} bytes, or was cut");
    Error::new(ErrorKind::Invalid, Origin::Script, message).with_name(WEB_TOO_LARGE)
}

/// Reads the body of an API request: nothing, or JSON that says so. A form of another site cannot send that.
pub(super) async fn json<T: DeserializeOwned + Default>(
    headers: &HeaderMap,
    from: Body,
) -> Result<T> {
    let bytes = body(from).await?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    let kind = header(headers, &CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let message = "the body is JSON: send `Content-Type: application/json`";
        return Err(Error::unsupported(Origin::Script, message));
    }
    let read = serde_json::from_slice(&bytes);
    read.map_err(|error| {
        Error::invalid(format!("the body is not as it should be: {}", visible(error.to_string())))
    })
}

/// Reads the form of a page.
pub(super) async fn form<T: DeserializeOwned>(from: Body) -> Result<T> {
    let bytes = body(from).await?;
    let text = String::from_utf8_lossy(&bytes);
    // The form of a page has the syntax of a query.
    let uri = Uri::builder().path_and_query(format!("/?{text}")).build();
    query(&uri.map_err(|_| Error::invalid("the form cannot be read"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(text: &str) -> Result<RunFilter> {
        let now = Timestamp::from_second(1_000_000).unwrap();
        query::<RunsQuery>(&format!("/runs?{text}").parse().unwrap())?.filter(now)
    }

    #[test]
    fn filters_of_runs_are_read_and_checked() {
        let filter = runs("job=a&since=1h&failed=true&limit=5&cursor=7&outcome=done").unwrap();
        assert_eq!((filter.job.as_deref(), filter.below, filter.most), (Some("a"), Some(7), 5));
        assert_eq!(filter.since.unwrap().as_second(), 1_000_000 - 3600);
        assert!(filter.failed && filter.state == Some(RunState::Done));
        let empty = runs("job=&since=&until=&outcome=&limit=&cursor=").unwrap();
        assert_eq!((empty.job, empty.since, empty.state, empty.most), (None, None, None, 100));
        for (text, wanted) in [
            ("limit=0", "`limit` is a number from 1 to 1000, not `0`"),
            ("limit=1001", "`limit` is a number from 1 to 1000"),
            ("limit=x", "`limit` is"),
            ("cursor=x", "`cursor` is no number of a run: `x`"),
            ("outcome=don", "`outcome` is one of waiting, running, done"),
            ("failed=maybe", "`failed` is one of true, false, not `maybe`"),
            ("since=yestermorn", "is no time"),
            ("jobs=a", "unknown field `jobs`"),
            ("limit=1&limit=2", "duplicate field"),
        ] {
            let told = runs(text).unwrap_err().message;
            assert!(told.contains(wanted), "{text}: {told}");
        }
    }

    #[test]
    fn a_parameter_without_a_value_is_as_left_out() {
        let jobs = |text: &str| query::<JobsQuery>(&format!("/jobs?{text}").parse().unwrap());
        assert_eq!(jobs("q=a=").unwrap().q.as_deref(), Some("a="));
        for text in ["q=", "state=", "limit=", "q=&state=&limit="] {
            assert_eq!(jobs(text).unwrap().checked(LIMIT).unwrap(), LIMIT, "{text}");
        }
        let next = query::<NextQuery>(&"/next?hours=&limit=".parse().unwrap()).unwrap();
        assert_eq!(next.checked().unwrap(), (24, LIMIT));
        // As a word alone is one in a command line.
        assert!(runs("failed=").unwrap().failed && !runs("job=").unwrap().failed);
        let offset = |text: &str| LogQuery { offset: Some(text.to_owned()) }.checked();
        assert_eq!(offset("9223372036854775807").unwrap(), i64::MAX.unsigned_abs());
        for text in ["9223372036854775808", "-1", "x", ""] {
            assert!(offset(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(checked_reason(Some("  moving ".into())).unwrap().as_deref(), Some("moving"));
        assert_eq!(checked_reason(Some(" ".into())).unwrap(), None);
        assert!(checked_reason(Some("x".repeat(201))).is_err());
    }
}
