//! The tests that run the program, and the rules of the house.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed, in its helpers too"
)]

mod both_ways;
mod campaign;
mod conformance;
mod ladder;
mod nat;
mod readme;
mod scripts;
mod support;
mod tidy;
