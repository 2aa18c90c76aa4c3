//! The tests that run the program, and the rules of the code base.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed, in its helpers too"
)]

mod airflow;
mod as_they_are;
mod bad_input;
mod both_ways;
mod campaign;
mod check;
mod closures;
mod conformance;
mod contracts;
mod deploy;
mod doctor;
mod errors;
mod examples;
mod fleet;
mod full_disk;
mod functions;
mod fuzz;
mod input;
mod interrupt;
mod ladder;
mod language;
mod limits;
mod listings;
mod ls;
mod manuals;
mod memory;
mod mirror;
mod mistakes;
mod nat;
mod one_shot;
mod oneliners;
mod options;
mod output;
mod packaging;
mod permissions;
mod readme;
mod rehearse;
mod remote_fs;
mod replay;
mod run;
mod schedule;
mod scripts;
mod secrets;
mod serve;
mod shell;
mod sites;
mod support;
mod tidy;
mod transfers;
mod web;
mod zoo;
