//! The limits of the program, each with its reason. Everything that comes from outside is bounded here.

mod nat;
mod schedule;
mod script;
mod session;
mod store;
mod transfer;

pub use self::{nat::*, schedule::*, script::*, session::*, store::*, transfer::*};
