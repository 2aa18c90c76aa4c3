//! Remote file systems: what servers of every protocol have in common, below each protocol and below what uses them.
//!
//! ```text
//! fs           the seam: the trait of a session      memory       its implementation in memory
//! path         names and paths on a server           entry        entries of a directory, and their times
//! facts        answers about single paths            source_sink  the local end of a transfer: files and memory
//! transfer     results and rules of transfers        pending      transfers whose bytes have arrived
//! listing      a directory as far as it is known     hash         algorithms of hashes
//! hints        what follows a transfer               rate_limit   bytes per second
//! prune        retention: old files that go          shared_rate  rate limits of several processes
//! nearest      the name that a missing one may mean
//! ```

pub mod entry;
pub mod facts;
pub mod fs;
pub mod hash;
pub mod hints;
pub mod listing;
pub mod memory;
pub mod name_encoding;
pub mod nearest;
pub mod path;
pub mod pending;
pub mod prune;
pub mod rate_limit;
pub mod shared_rate;
pub mod source_sink;
pub mod stream;
pub mod transfer;
pub mod transfer_options;
