//! The scheduler as its users have it: a jobs file, a long-running process, and the commands that query it.
//!
//! `PORTOLAN_CAMPAIGN` is the number of kills, `PORTOLAN_SOAK_SECONDS` the length of the soak.

mod around;
mod basics;
mod drains;
mod exported;
mod files;
mod hostile;
mod kills;
mod limits;
mod mails;
mod notices;
mod rates;
mod rights;
pub(crate) mod scheduler;
mod secrets;
mod soak;
mod starts;
mod tasks;
pub(crate) mod told;
mod why;
