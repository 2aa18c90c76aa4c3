//! The tests that run the program, and the rules of the house.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed, in its helpers too"
)]

mod conformance;
mod input;
mod interrupt;
mod limits;
mod oneliners;
mod rehearse;
mod run;
mod secrets;
mod support;
mod tidy;
