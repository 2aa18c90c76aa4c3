//! Directories as claims: MKD succeeds for exactly one of several concurrent clients (RFC 959, 4.1.3: 257, or 550 if
//! the directory exists).

use super::{control::FtpCommand, path::RemotePath, reply::Reply, session::Session};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::SWEEP_TIME_MAX,
};
use portolan_proto::Verb;

impl Session {
    /// Makes each of `folders`, all in one packet, and returns for each whether it was made now; the error of a refused
    /// one contains the server's words.
    pub(crate) async fn make_now(&mut self, folders: &[RemotePath]) -> Result<Vec<Result<()>>> {
        let commands = self.each(Verb::Mkd, folders)?;
        let replies = self.ask_all(&commands).await?;
        Ok(replies.into_iter().map(|reply| reply.done().map(drop)).collect())
    }

    /// Makes `new` and then removes `old`, in one packet; fails if `old` did not exist any more.
    pub(crate) async fn replace_folder(
        &mut self,
        new: &RemotePath,
        old: &RemotePath,
    ) -> Result<()> {
        let made = [
            self.each(Verb::Mkd, std::slice::from_ref(new))?,
            self.each(Verb::Rmd, std::slice::from_ref(old))?,
        ];
        let replies = self.ask_all(&made.concat()).await?;
        replies.into_iter().next_back().map_or(Ok(()), |reply| reply.done().map(drop))
    }

    /// Removes each of `folders` that exists and is empty, in one packet, even after the signal to stop, provided that
    /// the server answers at once. Returns false if the server could not be asked.
    pub(crate) async fn remove_at_last(&mut self, folders: &[RemotePath]) -> bool {
        let Ok(commands) = self.each(Verb::Rmd, folders) else { return false };
        self.server_folder = None;
        // A second attempt if the reply was lost: the server refuses what is gone by then, which is fine.
        self.ask_at_last(&commands).await.is_ok() || self.ask_at_last(&commands).await.is_ok()
    }

    fn each(&self, verb: Verb, folders: &[RemotePath]) -> Result<Vec<FtpCommand>> {
        folders.iter().map(|path| Ok(FtpCommand::path(verb, &self.absolute(path)?))).collect()
    }

    /// Sends the final commands. After the signal to stop there is time for that only if the server answers at once.
    pub(crate) async fn ask_at_last(&mut self, commands: &[FtpCommand]) -> Result<Vec<Reply>> {
        if !self.context.stop.is_set() {
            return self.ask_all(commands).await;
        }
        self.control.reprieve(SWEEP_TIME_MAX);
        self.control.resync(SWEEP_TIME_MAX / 2).await;
        let replies = self.control.ask_all(commands).await;
        self.control.poison(&Error::new(ErrorKind::Interrupted, Origin::Here, "interrupted"));
        replies
    }
}
