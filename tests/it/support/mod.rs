//! The foundation of the tests: the program as a black box, real servers, trees of files.

pub(crate) mod browser;
pub(crate) mod certificates;
pub(crate) mod cutter;
pub(crate) mod firewalls;
pub(crate) mod fold_disk;
pub(crate) mod mail;
pub(crate) mod mounts;
pub(crate) mod net;
pub(crate) mod postgres;
pub(crate) mod program;
pub(crate) mod rehearsal;
pub(crate) mod rounds;
pub(crate) mod server;
pub(crate) mod tree;
pub(crate) mod wait;
