//! Queries for paths by name, independent of what the listings show.

use super::{
    control::FtpCommand,
    listing::{Entry, EntryKind, parse_mlst},
    path::RemotePath,
    reply::Reply,
    session::Session,
    transfer::types::time_in,
};
use portolan_core::error::Result;
use portolan_proto::{ReplyCode, Verb};
pub use portolan_remote::facts::PathFacts;

impl Session {
    /// Returns the server's answer for each of `paths`, each queried as a directory (`true`) or as a file, in as few
    /// round trips as the commands fit into. `None` if the server has nothing of that name, or does not say.
    pub(crate) async fn answers(
        &mut self,
        paths: &[(RemotePath, bool)],
    ) -> Result<Vec<Option<PathFacts>>> {
        let paths: Result<Vec<_>> =
            paths.iter().map(|(path, is_folder)| Ok((self.absolute(path)?, *is_folder))).collect();
        let paths = paths?;
        let has_mlst = self.features.has("MLST") || self.features.has("MLSD");
        let questions = |path: &RemotePath, is_folder: bool| match (has_mlst, is_folder) {
            (true, _) => vec![FtpCommand::path(Verb::Mlst, path)],
            (false, true) => vec![FtpCommand::path(Verb::Cwd, path)],
            (false, false) => {
                vec![FtpCommand::path(Verb::Size, path), FtpCommand::path(Verb::Mdtm, path)]
            }
        };
        let asked: Vec<_> =
            paths.iter().map(|(path, is_folder)| questions(path, *is_folder)).collect();
        let replies = self.ask_all(&asked.concat()).await?;
        if !has_mlst {
            self.server_folder = None;
        }
        let mut replies = replies.iter();
        let mut answers = Vec::with_capacity(paths.len());
        for ((path, is_folder), asked) in paths.iter().zip(&asked) {
            let said: Vec<_> = replies.by_ref().take(asked.len()).collect();
            answers.push(match (said.as_slice(), is_folder) {
                ([facts], _) if has_mlst => told(facts, path),
                ([entered], true) => entered.is_done().then_some(PathFacts {
                    is_folder: true,
                    size: None,
                    modified: None,
                }),
                ([size, time], false) => {
                    let size = Some(*size).filter(|reply| reply.code == ReplyCode::FILE_STATUS);
                    let (size, modified) = (size.and_then(Reply::number), time_in(time));
                    let is_there = size.is_some() || modified.is_some();
                    is_there.then_some(PathFacts { is_folder: false, size, modified })
                }
                _ => None,
            });
        }
        Ok(answers)
    }
}

/// Returns the facts of `path` from a reply to MLST.
fn told(reply: &Reply, path: &RemotePath) -> Option<PathFacts> {
    if !reply.is_done() {
        return None;
    }
    let facts = reply.inner_lines().next().map(<[u8]>::trim_ascii_start);
    let entry = facts.and_then(|facts| parse_mlst(facts, path.name()))?;
    let Entry { kind, size, modified, .. } = entry;
    let is_folder = match kind {
        EntryKind::Dir => true,
        EntryKind::File => false,
        _ => return None,
    };
    Some(PathFacts { is_folder, size: size.filter(|_| !is_folder), modified })
}
