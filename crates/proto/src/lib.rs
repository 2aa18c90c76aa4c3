//! The protocol as values, without I/O: the verbs of commands and the codes of replies. Shared by the client and the
//! embedded test server.

mod reply_code;
mod verb;

pub use self::{reply_code::ReplyCode, verb::Verb};
