//! The verification of uploads under temporary names: the server must have all of their data.

use super::{
    TempUpload, name_taken,
    names::{shortened, sizes},
    types::time_in,
};
use crate::reply::CausedByReply as _;
use crate::{
    control::FtpCommand, listing::Modified, path::RemotePath, reply::Reply, session::Session,
};
use portolan_core::error::{Error, ErrorKind, Origin, Result};
use portolan_proto::Verb;

/// The server's answers about a file under its temporary name.
#[derive(Debug)]
pub(super) struct VerifiedSize {
    /// True if the server reported the full size; false if it reported none.
    pub(super) is_whole: bool,
    /// The modification time of the file on the server.
    pub(super) modified: Option<Modified>,
}

impl Session {
    /// Verifies that the server has all data of each file under its temporary name, by its replies to `questions`; the
    /// first question for each file asks for the size.
    pub(super) async fn verify(
        &mut self,
        files: &[TempUpload],
        questions: Result<Vec<Vec<FtpCommand>>>,
    ) -> Vec<Result<VerifiedSize>> {
        let control = self.control_name(files);
        let mut asked = match questions {
            Ok(mut questions) => {
                questions
                    .extend(control.iter().map(|name| vec![FtpCommand::path(Verb::Size, name)]));
                self.ask_groups(questions, None).await
            }
            Err(error) => vec![Err(error); files.len()],
        };
        if let Some(control) = control
            && asked.len() > files.len()
            && let Some(said) = asked.pop()
            && let Err(error) = self.see_control_name(&control, &asked, said).await
        {
            return files.iter().map(|_| Err(error.clone())).collect();
        }
        let mut results = Vec::with_capacity(files.len());
        for (file, replies) in files.iter().zip(asked) {
            let result = match replies {
                Ok(_) if self.is_mixed(file) => Err(shortened()),
                Ok(replies) => self.judge(file, &replies).await,
                Err(error) => Err(error),
            };
            results.push(result);
        }
        results
    }

    pub(super) fn questions(&self, file: &TempUpload) -> Result<Vec<FtpCommand>> {
        let mut commands = sizes(file);
        if let Some(time) = file.modified {
            commands.push(self.time_command(&file.temporary, time)?);
        }
        commands.push(FtpCommand::path(Verb::Mdtm, &file.temporary));
        Ok(commands)
    }

    async fn judge(&mut self, file: &TempUpload, replies: &[Reply]) -> Result<VerifiedSize> {
        let modified = replies.get(1..).and_then(<[Reply]>::last).and_then(time_in);
        if self.is_taken(file, replies) {
            return Err(name_taken());
        }
        if self.is_text() {
            // The server may count line ends otherwise than they were sent.
            return Ok(VerifiedSize { is_whole: false, modified });
        }
        let told = replies.first().and_then(Reply::size);
        let told = match told {
            Some(told) => Some(told),
            None => self.size_in_folder(&file.temporary).await?,
        };
        let told = self.settled_size(&file.temporary, told, file.size).await?;
        match told {
            Some(told) if told != file.size => {
                self.data_path.profile.disable(Verb::Stor);
                let size = file.size;
                let message =
                    format!("the server has {told} of {size} bytes, though it said all was well");
                Err(Error::new(ErrorKind::DataConnection, Origin::Server, message))
            }
            told => Ok(VerifiedSize { is_whole: told.is_some(), modified }),
        }
    }

    /// Returns the size of an uploaded file from the listing of its directory, or `None` if the directory cannot be
    /// listed.
    async fn size_in_folder(&mut self, path: &RemotePath) -> Result<Option<u64>> {
        match self.find_in_folder(path).await {
            Ok(entry) => Ok(entry.and_then(|entry| entry.size)),
            Err(error) if error.reply_code().is_permanent() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
