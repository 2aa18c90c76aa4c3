//! Trees: what differs between two, as a plan, and the plan done.

pub mod report;
