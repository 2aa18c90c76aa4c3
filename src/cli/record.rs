//! A run by hand leaves a record as well: `portolan runs` has it.

use std::{path::PathBuf, sync::Arc, time::Instant};

use super::{common::Common, exit};
use crate::{
    clock::Clock,
    limits::{RETENTION_AGE, RETENTION_RUNS},
    observe::{Level, Observer, account::Accounts},
    schedule::facts,
    store::{
        self, Store,
        history::{Attempt, Cause, NewRun, State, Sum},
    },
};

/// The record of the run that goes on.
pub(super) struct Record {
    folder: Option<PathBuf>,
    script: String,
    job: String,
    accounts: Arc<Accounts>,
    clock: Clock,
    started_at: jiff::Timestamp,
    begun: Instant,
}

/// Every so many records the old ones are removed.
const BETWEEN_PRUNES: i64 = 50;

impl Record {
    /// Begins the record of a run of `script`.
    pub(super) fn begin(
        common: &Common,
        script: &std::path::Path,
        accounts: Arc<Accounts>,
    ) -> Self {
        let clock = Clock::System;
        let stem = script.file_stem().unwrap_or_default();
        Self {
            folder: common.state_folder(),
            script: script.display().to_string(),
            job: stem.to_string_lossy().into_owned(),
            accounts,
            started_at: clock.now(),
            clock,
            begun: Instant::now(),
        }
    }

    /// Writes it. Where there is no place for it the run is none the worse.
    pub(super) fn end(self, code: u8, observer: &Observer) {
        let Some(folder) = &self.folder else { return };
        let account = self.accounts.account();
        let state = match code {
            exit::DONE => State::Done,
            exit::IN_PART => State::Partial,
            exit::INTERRUPTED => State::Interrupted,
            _ => State::Failed,
        };
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let fault = account.fault.as_ref();
        let took = jiff::SignedDuration::try_from(self.begun.elapsed()).unwrap_or_default();
        let attempt = Attempt {
            number: 1,
            started_at: self.started_at,
            ended_at: Some(self.started_at.checked_add(took).unwrap_or_else(|_| self.clock.now())),
            state,
            sum: Sum {
                files: number(account.files),
                bytes: number(account.bytes),
                route: account.route.clone(),
                exit_code: Some(i64::from(code)),
                error_kind: fault.map(|fault| fault.kind.clone()),
                error: fault.map(|fault| fault.words.clone()),
            },
        };
        let run = NewRun {
            job: self.job.clone(),
            revision: String::new(),
            slot: None,
            script: self.script.clone(),
            cause: Cause::Manual,
            scheduled_for: None,
            up_to: None,
            moved_from: None,
            wait: None,
            state,
            reason: None,
            covers: 1,
        };
        let (files, fallbacks) = facts::parts(1, &account);
        let written =
            store::make_folder(folder).and_then(|()| Store::open(folder)).and_then(|mut store| {
                let id = store.record(&run, &attempt, &files, &fallbacks)?;
                if id % BETWEEN_PRUNES == 0 {
                    let age = jiff::SignedDuration::try_from(RETENTION_AGE).unwrap_or_default();
                    let before = self.clock.now().checked_sub(age).unwrap_or(jiff::Timestamp::MIN);
                    store.prune(&self.job, RETENTION_RUNS, before)?;
                }
                Ok(())
            });
        if let Err(fault) = written {
            observer.say(Level::Debug, format!("this run leaves no record: {fault}"));
        }
    }
}
