//! The listing commands: `MLSD`, `LIST` and `NLST` over a data connection, `MLST` and `STAT` without one.

use std::{io, path::Path, sync::atomic::Ordering};

use jiff::tz::{Offset, TimeZone};

use super::{
    command::ClientCommand,
    effect::Effect,
    forms::ListingStyle,
    listing::{ListedFile, Relation, children},
    plan::Scene,
    reply::{CommandResult, ServerReply},
    root::ServedPath,
    session::{ClientSession, Next},
    transfer::Cargo,
};
use portolan_proto::{ReplyCode, Verb};

/// The final reply of a truncated listing, as Pure-FTPd sends it.
const TRUNCATED: &str = "Output truncated, there are more matches than are shown.";

impl ClientSession {
    /// Executes `MLSD`, `LIST` or `NLST`.
    pub(super) async fn list(
        &mut self,
        scene: &Scene<'_>,
        place: &ServedPath,
        command: &ClientCommand,
    ) -> io::Result<Next> {
        let has_options = command.verb != Verb::Mlsd && command.argument.starts_with(b"-");
        let lines = match command.verb {
            _ if has_options && self.stage.plans.have(&Effect::OptionsAreNames) => Ok(Vec::new()),
            Verb::Mlsd => self.facts_in(place),
            verb => {
                let shows_hidden = shows_hidden(&command.argument)
                    || self.stage.plans.have(&Effect::OptionsAreNames);
                self.long(place, shows_hidden, verb == Verb::List)
            }
        };
        match lines {
            Ok(_) if !self.empty_reply().is_empty() && self.is_empty(place) => {
                self.port.close();
                self.say(scene, ServerReply::exactly(format!("{}\r\n", self.empty_reply()).into()))
                    .await
            }
            Ok(lines) => self.transfer(scene, Cargo::text(&lines)).await,
            Err(error) => {
                self.port.close();
                self.say(scene, ServerReply::refusal(&error)).await
            }
        }
    }

    /// Executes `MLST`.
    pub(super) fn facts_of(&self, place: &ServedPath) -> CommandResult {
        let entry = ListedFile::read(&self.stage.root.entry(place)?, &place.bytes())?;
        let line = entry.facts(Relation::Child, &self.facts);
        Ok(ServerReply::lines(ReplyCode::FILE_ACTION_OKAY, "Listing follows:", &[line], "End"))
    }

    /// Executes `STAT` for the session or for a path.
    pub(super) fn status(&mut self, place: &ServedPath, command: &ClientCommand) -> CommandResult {
        if command.argument.is_empty() {
            let state = if self.converts { "TYPE: ASCII" } else { "TYPE: BINARY" };
            return Ok(ServerReply::lines(
                ReplyCode::SYSTEM_STATUS,
                "FTP server status:",
                &[state.into()],
                "End of status",
            ));
        }
        let lines = self.long(place, shows_hidden(&command.argument), true)?;
        Ok(ServerReply::lines(ReplyCode::FILE_STATUS, "Status follows:", &lines, "End of status"))
    }

    /// Returns true if it is an empty directory.
    fn is_empty(&self, place: &ServedPath) -> bool {
        self.stage
            .root
            .target(place)
            .and_then(|path| children(&path))
            .is_ok_and(|all| all.is_empty())
    }

    /// Returns the reply to a listing of an empty directory; an empty text if it is an ordinary listing.
    fn empty_reply(&self) -> &'static str {
        let replies = self.stage.plans.all(|effect| match effect {
            Effect::Empty(reply) => Some(*reply),
            _ => None,
        });
        replies.first().copied().unwrap_or_default()
    }

    /// Returns the entries of a directory that the server shows.
    fn shown(&mut self, folder: &Path) -> io::Result<Vec<ListedFile>> {
        let plans = &self.stage.plans;
        let mut entries = children(folder)?;
        self.closing = None;
        if plans.have(&Effect::HidesDots) {
            entries.retain(|entry| !entry.is_hidden());
        }
        let ends = plans.all(|effect| match effect {
            Effect::Truncates { entries, says_so } => Some((*entries, *says_so)),
            _ => None,
        });
        for (end, says_so) in ends {
            if entries.len() > end {
                entries.truncate(end);
                self.closing = says_so.then_some(TRUNCATED);
            }
        }
        Ok(entries)
    }

    /// Returns the time zone of `LIST`, an hour later once summer time has begun.
    fn zone(&self) -> TimeZone {
        let stage = &self.stage;
        let is_summer =
            stage.plans.have(&Effect::SummerTime) && stage.farewells.load(Ordering::Relaxed) > 0;
        if is_summer { TimeZone::fixed(Offset::constant(1)) } else { stage.setup.zone.clone() }
    }

    fn facts_in(&mut self, place: &ServedPath) -> io::Result<Vec<Vec<u8>>> {
        let folder = self.stage.root.target(place)?;
        let mut lines =
            vec![ListedFile::read(&folder, b".")?.facts(Relation::Current, &self.facts)];
        let above = self.stage.root.target(&place.parent())?;
        lines.push(ListedFile::read(&above, b"..")?.facts(Relation::Parent, &self.facts));
        for entry in self.shown(&folder)? {
            lines.push(entry.facts(Relation::Child, &self.facts));
        }
        Ok(lines)
    }

    fn long(
        &mut self,
        place: &ServedPath,
        hidden: bool,
        details: bool,
    ) -> io::Result<Vec<Vec<u8>>> {
        let path = self.stage.root.target(place)?;
        let mut entries = Vec::new();
        if path.is_dir() {
            if hidden && self.stage.form == ListingStyle::Unix {
                entries.push(ListedFile::read(&path, b".")?);
                let above = self.stage.root.target(&place.parent())?;
                entries.push(ListedFile::read(&above, b"..")?);
            }
            let shown = self.shown(&path)?;
            entries.extend(shown.into_iter().filter(|entry| hidden || !entry.is_hidden()));
        } else {
            entries.push(ListedFile::read(&path, place.name())?);
        }
        let (now, zone) = (self.stage.setup.clock.now(), self.zone());
        let (form, in_root) = (self.stage.form, place.name().is_empty());
        if !details {
            return Ok(entries.iter().map(|entry| entry.name().to_vec()).collect());
        }
        let head = form.head(in_root).map(|head| head.as_bytes().to_vec());
        let lines = entries.iter().map(|entry| form.line(entry, in_root, now, &zone));
        Ok(head.into_iter().chain(lines).collect())
    }
}

/// Returns true if the options before the path contain an `a`.
fn shows_hidden(argument: &[u8]) -> bool {
    argument
        .split(|byte| *byte == b' ')
        .take_while(|word| word.starts_with(b"-"))
        .any(|word| word.contains(&b'a'))
}
