//! Transfers of files, by the command and by scripts, that meet an error on the way.

mod boxes;
mod changing;
mod killed;
mod limits;
mod targets;
mod tries;

use crate::support::{program::Portolan, rehearsal::Rehearsal};

/// Returns the program with the password of the embedded server.
fn portolan() -> Portolan {
    Portolan::new().env("PORTOLAN_PASSWORD", "open+sesame-21")
}

/// Returns the URL of `path` on the server.
fn url(stage: &Rehearsal, path: &str) -> String {
    format!("ftp://tester@127.0.0.1:{}/{path}", stage.site.port)
}

/// Returns a script that opens a session `site` and then runs `text`.
fn script(stage: &Rehearsal, text: &str) -> String {
    format!(
        "let site = ftp::connect(\"{}\", #{{ password: \"open+sesame-21\" }});\n{text}",
        url(stage, "")
    )
}
