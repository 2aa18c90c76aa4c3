//! The scheduler as its users have it: a jobs file, a process that goes on, and what can be asked of it.
//!
//! `PORTOLAN_CAMPAIGN` gives the number of kills, `PORTOLAN_SOAK_SECONDS` the length of the soak.

mod basics;
mod drains;
mod exported;
mod hostile;
mod kills;
mod limits;
mod rights;
pub(crate) mod scheduler;
mod secrets;
mod soak;
mod starts;
pub(crate) mod told;
mod why;
