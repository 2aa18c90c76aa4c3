//! Data connections. They are implemented here, since suppaftp supports neither a port range nor an external address.

mod active;
pub mod address;
mod connection;
pub mod listen;
pub mod method;
pub mod nat_diagnosis;
pub mod open;
mod open_types;
mod passive;
mod restart;

pub use self::{active::announce, connection::DataConnection};
