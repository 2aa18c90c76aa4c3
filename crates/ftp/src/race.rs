//! The mode `race`: on first contact both modes are tried in parallel, and the session that delivers first is kept.

use std::pin::pin;

use futures_util::future::{Either, select};
use tokio::time::timeout;

use super::{session::Session, site::Mode};
use portolan_core::{
    error::{Error, ErrorKind, Result},
    limits::RACE_LOGIN_TIME,
};

impl Session {
    /// Returns true if both modes are to be tried at once: there is no server record yet, and either mode may be used.
    pub(super) fn wants_race(&self) -> bool {
        // Through a proxy no server can connect to us, so there is nothing to race with.
        // And where the run may make one login only, there is no second session.
        let may_open = self.context.sessions_max.is_none_or(|most| most > 1);
        self.site.modes() == (Mode::Race, true)
            && may_open
            && self.data_path.profile.known().is_none()
    }
}

/// Lets `passive` race against a second session in active mode. One of them is kept and may use all methods again; if
/// the server accepts no second session, `passive` is kept without a race.
pub(super) async fn run(mut passive: Session) -> Result<Session> {
    let Ok(Ok(mut active)) = timeout(RACE_LOGIN_TIME, Box::pin(passive.open_sibling())).await
    else {
        passive.context.stop.check()?;
        return Ok(passive);
    };
    passive.data_path.start_race(Mode::Passive);
    active.data_path.start_race(Mode::Active);
    let (mut kept, other) = match first(&mut passive, &mut active).await {
        Ok(Mode::Active) => (active, passive),
        Ok(_) => (passive, active),
        Err(errors) => {
            passive.context.stop.check()?;
            match errors.map(|error| error.kind == ErrorKind::DataConnection) {
                [true, true] => {
                    let error = passive.no_way_besides(&active);
                    passive.leave();
                    active.leave();
                    return Err(error);
                }
                // Any other failure, such as the lack of permission to list the directory, says nothing against a mode.
                [true, false] => (active, passive),
                [false, _] => (passive, active),
            }
        }
    };
    kept.finish_race(&other);
    other.leave();
    Ok(kept)
}

/// Returns the mode that delivers a listing first, or the errors of passive mode and of active mode.
async fn first(passive: &mut Session, active: &mut Session) -> Result<Mode, [Error; 2]> {
    let sides = (pin!(deliver(passive)), pin!(deliver(active)));
    match select(sides.0, sides.1).await {
        Either::Left((Ok(()), _)) => Ok(Mode::Passive),
        Either::Right((Ok(()), _)) => Ok(Mode::Active),
        Either::Left((Err(error), active)) => match active.await {
            Ok(()) => Ok(Mode::Active),
            Err(other) => Err([error, other]),
        },
        Either::Right((Err(other), passive)) => match passive.await {
            Ok(()) => Ok(Mode::Passive),
            Err(error) => Err([error, other]),
        },
    }
}

async fn deliver(session: &mut Session) -> Result<()> {
    let here = session.folder().clone();
    Box::pin(session.list(&here)).await.map(drop)
}
