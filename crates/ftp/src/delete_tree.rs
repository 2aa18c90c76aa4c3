//! Deletion of directory trees: only what was listed completely, and links themselves, never their targets.

use super::{listing::EntryKind, path::RemotePath, session::Session};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::{DEPTH_MAX, ENTRIES_MAX},
    observe::{Event, Operation},
};

impl Session {
    /// Deletes directory `path` and all its content.
    ///
    /// Everything is listed before anything is deleted; an incomplete listing ends the operation with `guard`.
    pub async fn delete_tree(&mut self, path: &RemotePath) -> Result<()> {
        let top = self.absolute(path)?;
        if top.is_root() {
            let message = "the root of a server is not removed";
            return Err(Error::new(ErrorKind::Guard, Origin::Script, message).at("/"));
        }
        let mut folders = vec![(top.clone(), 0)];
        let mut files = Vec::new();
        let mut next = 0;
        while let Some((folder, depth)) = folders.get(next).cloned() {
            next += 1;
            let listing = self.list(&folder).await?;
            if !listing.complete {
                let message = "its listing is not complete: nothing was removed";
                return Err(
                    Error::new(ErrorKind::Guard, Origin::Server, message).at(folder.to_string())
                );
            }
            if depth >= DEPTH_MAX
                || folders.len() + files.len() + listing.entries.len() > ENTRIES_MAX
            {
                let message = "it is too deep or too large: nothing was removed";
                return Err(
                    Error::new(ErrorKind::Guard, Origin::Server, message).at(folder.to_string())
                );
            }
            for entry in listing.entries {
                let inside = folder.join(&entry.name)?;
                if entry.kind == EntryKind::Dir {
                    folders.push((inside, depth + 1));
                } else {
                    files.push(inside);
                }
            }
        }
        for file in &files {
            self.delete(file).await?;
            self.tell_deleted(file);
        }
        for (folder, _) in folders.iter().rev() {
            self.rmdir(folder).await?;
            self.tell_deleted(folder);
        }
        Ok(())
    }

    fn tell_deleted(&self, path: &RemotePath) {
        let event = Event::Done { verb: Operation::Delete, path: path.to_string() };
        self.context().observer.emit(&event);
    }
}
