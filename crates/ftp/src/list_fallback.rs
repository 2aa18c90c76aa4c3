//! Forms of listing: each falls back to another, whatever a server answers to it, and an empty result is trusted only
//! if the server has shown entries in that form before.

use crate::reply::CausedByReply as _;
use std::slice;

use super::{
    absence_check::is_denial,
    control::FtpCommand,
    list::StatListing,
    list_command::ListCommand,
    listing::{Entry, EntryKind, Listing, ListingReader},
    path::RemotePath,
    session::Session,
    transfer::NextTransfer,
};
use portolan_core::error::{Error, ErrorKind, Origin, Result};
use portolan_proto::{ReplyCode, Verb};

/// The maximum number of names of one directory that are queried one by one, if a server lists only names.
const NAMES_ASKED_MAX: usize = 2000;

/// The words by which servers report an empty directory that they have no listing for.
const EMPTY: [&str; 13] = [
    "no files",
    "no file ",
    "no entries",
    "no members",
    "no data sets",
    "no matching",
    "no items",
    "nothing ",
    "is empty",
    "empty directory",
    "empty folder",
    "directory empty",
    "folder empty",
];

/// The results of the forms that were tried so far.
#[derive(Debug, Default)]
struct TriedCommands {
    forms: Vec<ListCommand>,
    /// The number of forms that showed an empty directory.
    empty: usize,
    /// The most informative listing without entries: one with unparsed lines, else an empty one.
    listing: Option<Listing>,
    refusal: Option<(ListCommand, Error)>,
}

impl TriedCommands {
    fn empty(&mut self, form: ListCommand, listing: Listing) {
        self.forms.push(form);
        self.empty += usize::from(listing.refused_count == 0);
        let is_worse = |known: &Listing| known.refused_count >= listing.refused_count;
        if !self.listing.as_ref().is_some_and(is_worse) {
            self.listing = Some(listing);
        }
    }

    /// Records a refusal. Of several, one about the directory takes precedence over one about the command, and
    /// otherwise that of LIST.
    fn refused(&mut self, form: ListCommand, error: Error) {
        self.forms.push(form);
        let is_better = match &self.refusal {
            None => true,
            Some((_, known)) if known.kind == ErrorKind::Unsupported => {
                error.kind != ErrorKind::Unsupported || form == ListCommand::List
            }
            Some(_) => form == ListCommand::List && error.kind != ErrorKind::Unsupported,
        };
        if is_better {
            self.refusal = Some((form, error));
        }
    }

    fn outcome(self) -> Result<Listing> {
        match (self.listing, self.refusal) {
            (Some(listing), _) => Ok(listing),
            (None, Some((_, error))) => Err(error),
            (None, None) => Err(Error::protocol("no form of listing is left for this server")),
        }
    }
}

impl Session {
    /// Lists `path` over a data connection, in the first form that shows something.
    pub(super) async fn list_over_data(
        &mut self,
        path: &RemotePath,
        next: NextTransfer<'_>,
    ) -> Result<Listing> {
        if let Some(own) = self.site.list_command.clone() {
            let own = own.into_bytes();
            let is_mlsd = own.to_ascii_uppercase().starts_with(b"MLSD");
            self.enter(path).await?;
            let reader =
                || if is_mlsd { ListingReader::mlsd().of(path) } else { ListingReader::list() };
            return self.fetch_listing(&FtpCommand::parse(own)?, reader, next).await;
        }
        let mut tried = TriedCommands::default();
        for form in ListCommand::ALL {
            if !self.may_list_in(form, &tried) {
                continue;
            }
            if !matches!(form, ListCommand::Facts | ListCommand::Status) {
                // LIST interprets patterns and options in its argument, so it gets none: it is sent inside the
                // directory.
                self.enter_meanwhile(path).await?;
            }
            match self.list_in(form, path, next).await {
                Ok(listing) if is_telling(&listing) => {
                    self.note_forms(form, &listing, &tried);
                    return Ok(listing);
                }
                Ok(listing) => {
                    let is_believed =
                        self.data_path.profile.lists_in(form) && listing.refused_count == 0;
                    if is_believed {
                        return Ok(listing);
                    }
                    tried.empty(form, listing);
                }
                Err(error) if is_empty_folder(&error) => tried.empty(form, Listing::nothing()),
                // A form that works for other directories is refused for this one.
                Err(error) if !is_refusal(&error) => return Err(error),
                Err(error)
                    if error.reply_code() == ReplyCode::FILE_UNAVAILABLE
                        && self.data_path.profile.lists_in(form) =>
                {
                    return Err(error);
                }
                // If the user may not list the directory, another form does not help.
                Err(error)
                    if form == ListCommand::List
                        && error.reply_code() == ReplyCode::FILE_UNAVAILABLE
                        && is_denial(&error.message) =>
                {
                    return Err(error);
                }
                Err(error) => {
                    if form == ListCommand::Facts && error.kind == ErrorKind::Unsupported {
                        self.features.named.remove("MLSD");
                        self.features.named.remove("MLST");
                    }
                    // Saved with the next data connection that carries a listing.
                    if form == ListCommand::ListAll && error.reply_code().is_permanent() {
                        self.data_path.profile.record_listing(form, false);
                    }
                    tried.refused(form, error);
                }
            }
        }
        tried.outcome()
    }

    fn may_list_in(&self, form: ListCommand, tried: &TriedCommands) -> bool {
        if self.data_path.profile.fails_in(form) {
            return false;
        }
        match form {
            ListCommand::Facts => self.features.has("MLSD") || self.features.has("MLST"),
            ListCommand::ListAll | ListCommand::List => true,
            // Two forms that show an empty directory are enough, and unparsed lines are to be reported.
            ListCommand::Status => {
                let is_unread = tried.listing.as_ref().is_some_and(|seen| seen.refused_count > 0);
                let may_ask = self.data_path.profile.may_list_by_stat() && !self.is_flat();
                may_ask && !is_unread && tried.empty < 2
            }
            // An empty directory has no names either.
            ListCommand::Names => tried.listing.is_none(),
        }
    }

    async fn list_in(
        &mut self,
        form: ListCommand,
        path: &RemotePath,
        next: NextTransfer<'_>,
    ) -> Result<Listing> {
        match form {
            ListCommand::Facts => {
                let command = FtpCommand::path(Verb::Mlsd, path);
                let reader = || ListingReader::mlsd().of(path);
                let listing = self.fetch_listing(&command, reader, next).await?;
                self.is_of(path, listing).await
            }
            ListCommand::ListAll => {
                let command = FtpCommand::with(Verb::List, "-a");
                self.fetch_listing(&command, ListingReader::list, next).await
            }
            ListCommand::List => {
                let command = FtpCommand::bare(Verb::List);
                self.fetch_listing(&command, ListingReader::list, next).await
            }
            ListCommand::Status => self.list_by_status(path).await,
            ListCommand::Names => self.list_names(path, next).await,
        }
    }

    /// Records the form in which this server lists, and those that showed nothing where this one did.
    fn note_forms(&mut self, form: ListCommand, listing: &Listing, tried: &TriedCommands) {
        if listing.entries.is_empty() {
            return;
        }
        self.data_path.profile.record_listing(form, true);
        // A form that has listed other directories was refused for this one only, or temporarily.
        let failed = tried.forms.iter().filter(|failed| !self.data_path.profile.lists_in(**failed));
        for failed in failed {
            self.data_path.profile.record_listing(*failed, false);
        }
    }

    async fn list_by_status(&mut self, path: &RemotePath) -> Result<Listing> {
        let none = || {
            let error = Error::unsupported(Origin::Server, "STAT lists no folders");
            Error { code: ReplyCode::NOT_IMPLEMENTED.value(), ..error }
        };
        match self.ask_by_stat(slice::from_ref(path), true).await.map(|mut told| told.pop()) {
            Ok(Some(StatListing::Listing(listing))) => Ok(listing),
            Ok(Some(StatListing::Refused(error))) => Err(error),
            Ok(Some(StatListing::Unclear) | None) => Err(none()),
            Err(error) if error.kind == ErrorKind::Interrupted => Err(error),
            Err(error) => {
                tracing::debug!(target: "portolan", "no listing by STAT: {error}");
                self.data_path.profile.record_listing(ListCommand::Status, false);
                Err(none())
            }
        }
    }

    /// Returns the names from NLST; their types and sizes are queried by name.
    async fn list_names(&mut self, path: &RemotePath, next: NextTransfer<'_>) -> Result<Listing> {
        let command = FtpCommand::bare(Verb::Nlst);
        let mut listing = self.fetch_with(&command, ListingReader::names(), next).await?;
        // If names have no slashes, CWD with one has an unknown effect.
        let asked_max = if self.is_flat() { 0 } else { NAMES_ASKED_MAX };
        let asked = listing.entries.iter_mut().take(asked_max);
        let entries: Vec<_> = asked.collect();
        let mut commands = Vec::with_capacity(entries.len() * 2);
        for entry in &entries {
            let place = path.join(&entry.name)?;
            commands.extend([
                FtpCommand::path(Verb::Size, &place),
                FtpCommand::path(Verb::Cwd, &place),
            ]);
        }
        if !commands.is_empty() {
            self.server_folder = None;
            let replies = self.ask_all(&commands).await?;
            for (entry, replies) in entries.into_iter().zip(replies.chunks_exact(2)) {
                let [size, entered] = replies else { continue };
                identify(entry, size.size(), entered.is_done());
                if size.code == ReplyCode::FILE_UNAVAILABLE && entry.kind == EntryKind::File {
                    entry.kind = EntryKind::Other;
                }
            }
            let host = &self.site.host;
            let text =
                format!("{host} lists names only: their times and permissions are not known");
            self.context.observer.warn_once(text);
        }
        Ok(listing)
    }
}

/// Sets the type and size of `entry` according to SIZE and CWD.
fn identify(entry: &mut Entry, size: Option<u64>, is_folder: bool) {
    (entry.kind, entry.size) =
        if is_folder { (EntryKind::Dir, None) } else { (EntryKind::File, size) };
}

/// Returns true if a listing shows an entry or at least the directory itself.
const fn is_telling(listing: &Listing) -> bool {
    !listing.entries.is_empty() || listing.vouched
}

/// Returns true if a server refused a listing, and may accept another form of it: not for lack of a connection, a login
/// or TLS.
fn is_refusal(error: &Error) -> bool {
    let code = error.reply_code();
    let concerns_connection = matches!(
        code,
        ReplyCode::SERVICE_UNAVAILABLE | ReplyCode::CANNOT_OPEN_DATA | ReplyCode::TRANSFER_ABORTED
    );
    let is_final = concerns_connection || code.concerns_login() || code.concerns_protection();
    let is_of_command = matches!(
        error.kind,
        ErrorKind::Refused | ErrorKind::NotFound | ErrorKind::Unsupported | ErrorKind::Busy
    );
    is_of_command && code.is_refusal() && !is_final
}

/// Returns true if the answer to a listing means that the directory is empty: success without any data, or in words.
fn is_empty_folder(error: &Error) -> bool {
    match error.reply_code() {
        ReplyCode::FILE_BUSY | ReplyCode::FILE_UNAVAILABLE => says_empty(&error.message),
        code => code.is_completion() && error.side == Origin::Server,
    }
}

fn says_empty(words: &str) -> bool {
    let words: String = words
        .chars()
        .map(|letter| if letter.is_alphanumeric() { letter.to_ascii_lowercase() } else { ' ' })
        .collect();
    // Servers use these words for a missing file or directory as well.
    let is_missing = words.contains("no such file or") || words.contains("no such directory");
    let none_found = words.split_once(" no ").is_some_and(|(_, rest)| rest.contains("found"));
    !is_missing
        && !is_denial(&words)
        && (none_found || EMPTY.iter().any(|empty| format!("{words} ").contains(empty)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, words: &str) -> Error {
        let message = format!("the server said \"{code} {words}\"");
        Error { code, ..Error::new(ErrorKind::Refused, Origin::Server, message) }
    }

    #[test]
    fn an_empty_folder_is_one_however_the_server_says_so() {
        for (code, words) in [
            (226, "Transfer complete."),
            (250, "Done"),
            (450, "No files found"),
            (550, "No files found."),
            (550, "The directory is empty"),
            (450, "Empty directory."),
            (550, "No data sets found."),
            (550, "No members found"),
            (450, "no matching entries"),
            (550, "Nothing to list"),
        ] {
            assert!(is_empty_folder(&refused(code, words)), "{code} {words}");
        }
        for (code, words) in [
            (550, "Permission denied."),
            (550, "Access is denied: no files found"),
            (550, "No such file or directory."),
            (550, "/in/empty.d: not a directory"),
            (450, "File busy."),
            (502, "no files here"),
            (550, "x: No such directory"),
            (550, "empty: cannot be read"),
        ] {
            assert!(!is_empty_folder(&refused(code, words)), "{code} {words}");
        }
    }

    #[test]
    fn of_several_refusals_that_of_the_folder_is_told() {
        let unsupported =
            |code, words| Error { kind: ErrorKind::Unsupported, ..refused(code, words) };
        for (first, second, code) in [
            (unsupported(502, "?"), refused(550, "denied"), 550),
            (refused(550, "denied"), unsupported(502, "?"), 550),
            (unsupported(500, "?"), unsupported(504, "?"), 504),
        ] {
            let mut tried = TriedCommands::default();
            tried.refused(ListCommand::Facts, first);
            tried.refused(ListCommand::List, second);
            assert_eq!(tried.outcome().unwrap_err().code, code);
        }
    }
}
