//! Errors, events, clocks, limits and output: the lowest layer, which every other crate uses.

pub mod buffer;
pub mod cancel;
pub mod clock;
pub mod duration;
pub mod encoding;
pub mod error;
pub mod exit_code;
pub mod limits;
pub mod observe;
pub mod option_table;
pub mod random;
pub mod recording;
pub mod secret;
pub mod similar;
