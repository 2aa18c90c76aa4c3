//! The actions: run now, pause, resume, stop. They go by the store, as those of the commands do.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::{access::Caller, documents::no_run, server::WebState};
use crate::{
    error::{Error, ErrorKind, Origin, Result, web_codes::WEB_NOT_RUNNING},
    observe::MessageLevel,
    schedule::{daemon::Message, facts, jobs::args, slot::SlotId},
    store::{
        Store,
        history::{JobStateRecord, RunState},
    },
};

/// The maximum time that a request waits for the scheduler to begin the run that was asked for.
const BEGIN_TIME_MAX: Duration = Duration::from_secs(2);
/// The time between two looks for that.
const BEGIN_LOOK: Duration = Duration::from_millis(50);

impl WebState {
    /// Asks for a run of a job with `given` in place of some of its arguments. Returns the run, or a value with the
    /// outcome `asked` if it has not begun yet.
    pub(super) async fn trigger(
        &self,
        name: &str,
        given: Map<String, Value>,
        by: &Caller,
    ) -> Result<Value> {
        let (found, now) = (self.job(name)?, self.clock.now());
        let given = Some(Value::Object(given)).filter(|given| *given != json!({}));
        if let Some(given) = &given {
            args::check(&found.name, &found.args, given)?;
        }
        let (given, job) = (given.map(|given| given.to_string()), found.name.to_string());
        let asked = job.clone();
        let ask = move |store: &mut Store| store.ask_for(&asked, given.as_deref(), &[None], now);
        let at = self.stores.with(ask).await?.first().copied().unwrap_or(now);
        self.told(by, &format!("asked for a run of `{job}`"));
        self.wake(Message::Wake)?;
        let (slot, end) = (SlotId::Asked(at).to_string(), Instant::now() + BEGIN_TIME_MAX);
        while Instant::now() < end {
            let (slot, job) = (slot.clone(), job.clone());
            let find = move |store: &mut Store| store.run_of_request(&job, &slot);
            if let Some(run) = self.stores.with(find).await? {
                return Ok(facts::run(&run));
            }
            sleep(BEGIN_LOOK).await;
        }
        Ok(json!({ "job": job, "id": null, "outcome": "asked" }))
    }

    /// Pauses a job, or resumes it. Returns its state.
    #[expect(clippy::option_option, reason = "a pause may be without a reason")]
    pub(super) async fn pause(
        &self,
        name: &str,
        pause: Option<Option<String>>,
        by: &Caller,
    ) -> Result<Value> {
        let (job, now) = (self.job(name)?.name.to_string(), self.clock.now());
        let did = if pause.is_some() { "paused" } else { "resumed" };
        let named = job.clone();
        let state = self.stores.with(move |store| {
            match pause {
                Some(reason) => store.pause(&named, reason.as_deref(), now)?,
                None => drop(store.resume(&named, now)?),
            }
            let usual = || JobStateRecord { job: named.clone(), ..JobStateRecord::default() };
            Ok(store.job_state(&named)?.unwrap_or_else(usual))
        });
        let state = state.await?;
        self.told(by, &format!("{did} `{job}`"));
        self.wake(Message::Wake)?;
        Ok(facts::job(&state))
    }

    /// Asks a run in progress to stop at its next file. Returns the run as it is now.
    pub(super) async fn stop(&self, id: i64, by: &Caller) -> Result<Value> {
        let run = self.stores.with(move |store| store.run(id)).await?.ok_or_else(|| no_run(id))?;
        if run.state != RunState::Running || run.slot.is_none() {
            let message =
                format!("run {id} is {}, and is not run by this scheduler", run.state.as_str());
            let fault = Error::new(ErrorKind::Refused, Origin::Script, message);
            return Err(fault.with_name(WEB_NOT_RUNNING));
        }
        self.told(by, &format!("asked run {id} of `{}` to stop", run.job));
        self.wake(Message::StopRun(id, by.name().unwrap_or_default().to_owned()))?;
        Ok(facts::run(&run))
    }

    fn wake(&self, message: Message) -> Result<()> {
        self.mailbox.send(message).map_err(|_| {
            Error::new(ErrorKind::Interrupted, Origin::Here, "the scheduler is stopping")
        })
    }

    /// Logs who did what.
    fn told(&self, by: &Caller, did: &str) {
        let name = by.name().unwrap_or_default();
        self.observer.message(MessageLevel::Info, format!("`{name}` {did}"));
    }
}
