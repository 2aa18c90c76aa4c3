//! Transfers of files as people and scripts ask for them, where something goes wrong on the way.

mod boxes;
mod changing;
mod limits;
mod targets;
mod tries;

use crate::support::{program::Portolan, rehearsal::Rehearsal};

/// The program with the password of the embedded server.
fn portolan() -> Portolan {
    Portolan::new().env("PORTOLAN_PASSWORD", "secret")
}

/// The place of `path` on the server.
fn url(stage: &Rehearsal, path: &str) -> String {
    format!("ftp://tester@127.0.0.1:{}/{path}", stage.site.port)
}

/// A script that has a session `site` and then does `text`.
fn script(stage: &Rehearsal, text: &str) -> String {
    format!("let site = ftp::connect(\"{}\", #{{ password: \"secret\" }});\n{text}", url(stage, ""))
}
