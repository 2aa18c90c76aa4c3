//! Several machines that share a schedule on PostgreSQL: each is a scheduler with a name and a state folder of its own.

mod awaited;
mod commands;
mod failover;
mod kubernetes;
pub(crate) mod machines;
mod pooled;
mod publish;
mod refused;
mod releases;
