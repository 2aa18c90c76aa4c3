//! The commands that list: `MLSD`, `LIST` and `NLST` over a data connection, `MLST` and `STAT` without one.

use std::io;

use super::{
    command::{Command, Verb},
    listing::{Entry, Relation, children},
    plan::Scene,
    reply::{Answer, Reply},
    root::Place,
    session::{Next, Session},
    transfer::Cargo,
};

impl Session {
    /// `MLSD`, `LIST` and `NLST`.
    pub(super) async fn list(
        &mut self,
        scene: &Scene<'_>,
        place: &Place,
        command: &Command,
    ) -> io::Result<Next> {
        let lines = match command.verb {
            Verb::Mlsd => self.facts_in(place),
            verb => self.long(place, shows_hidden(&command.argument), verb == Verb::List),
        };
        match lines {
            Ok(lines) => self.transfer(scene, Cargo::text(&lines)).await,
            Err(error) => {
                self.port.close();
                self.say(scene, Reply::refusal(&error)).await
            }
        }
    }

    /// `MLST`.
    pub(super) fn facts_of(&self, place: &Place) -> Answer {
        let entry = Entry::read(&self.stage.root.entry(place)?, &place.bytes())?;
        let line = entry.facts(Relation::Child, &self.facts);
        Ok(Reply::lines(250, "Listing follows:", &[line], "End"))
    }

    /// `STAT`, of the session or of a path.
    pub(super) fn status(&self, place: &Place, command: &Command) -> Answer {
        if command.argument.is_empty() {
            let state = if self.converts { "TYPE: ASCII" } else { "TYPE: BINARY" };
            return Ok(Reply::lines(211, "FTP server status:", &[state.into()], "End of status"));
        }
        let lines = self.long(place, shows_hidden(&command.argument), true)?;
        Ok(Reply::lines(213, "Status follows:", &lines, "End of status"))
    }

    fn facts_in(&self, place: &Place) -> io::Result<Vec<Vec<u8>>> {
        let folder = self.stage.root.target(place)?;
        let mut lines = vec![Entry::read(&folder, b".")?.facts(Relation::Current, &self.facts)];
        let above = self.stage.root.target(&place.parent())?;
        lines.push(Entry::read(&above, b"..")?.facts(Relation::Parent, &self.facts));
        for entry in children(&folder)? {
            lines.push(entry.facts(Relation::Child, &self.facts));
        }
        Ok(lines)
    }

    fn long(&self, place: &Place, hidden: bool, details: bool) -> io::Result<Vec<Vec<u8>>> {
        let path = self.stage.root.target(place)?;
        let mut entries = Vec::new();
        if path.is_dir() {
            if hidden {
                entries.push(Entry::read(&path, b".")?);
                let above = self.stage.root.target(&place.parent())?;
                entries.push(Entry::read(&above, b"..")?);
            }
            entries
                .extend(children(&path)?.into_iter().filter(|entry| hidden || !entry.is_hidden()));
        } else {
            entries.push(Entry::read(&path, place.name())?);
        }
        let (now, zone) = (self.stage.setup.clock.now(), &self.stage.setup.zone);
        let line =
            |entry: &Entry| if details { entry.long(now, zone) } else { entry.name().to_vec() };
        Ok(entries.iter().map(line).collect())
    }
}

/// Whether the options before the path hold an `a`.
fn shows_hidden(argument: &[u8]) -> bool {
    argument
        .split(|byte| *byte == b' ')
        .take_while(|word| word.starts_with(b"-"))
        .any(|word| word.contains(&b'a'))
}
