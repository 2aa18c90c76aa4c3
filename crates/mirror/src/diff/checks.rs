//! Checks that refuse a plan as a whole: too many deletes, conflicts, too many bytes.

use super::{
    super::{
        plan::{Action, Step},
        quota::Quotas,
        sync_base::SyncBase,
    },
    Diff,
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    observe::visible::visible,
};

/// The number of files above which a plan may not delete more than half.
const FEW_FILES: usize = 10;
/// The maximum number of changed files that an error names.
const CONFLICTS_NAMED: usize = 5;

impl Diff<'_> {
    /// Fails if so much is to be deleted that it is more likely a mistake than intended (S53, S54).
    pub(super) fn guard(&self, base: Option<&SyncBase>) -> Result<()> {
        let deletes = self.deletes.len();
        let is_empty = self.source.files() == 0 && self.options.delete;
        let known_before = if is_empty { self.known_before(base) } else { 0 };
        if known_before > 0 {
            let message = format!(
                "the source has no files, and had {known_before} in the last run: is it mounted? Nothing was changed"
            );
            return Err(Error::new(ErrorKind::Guard, Origin::Here, message));
        }
        if deletes == 0 {
            return Ok(());
        }
        // What a deployment put there and now replaces or removes is no surprise.
        let counts =
            |(path, act): &&(&[u8], Action)| *act == Action::DeleteFile && !self.is_deployed(path);
        let files = self.deletes.iter().filter(counts).count();
        let known = self.target.files();
        let mut advice = "";
        let message = if self.source.files() == 0 {
            let noun = if deletes == 1 { "delete" } else { "deletes" };
            format!("the source has no files at all, and {deletes} {noun} would follow")
        } else if self.options.max_delete.is_some_and(|max| self.counts.deletes > max) {
            let max = self.options.max_delete.unwrap_or(0);
            let noun = if deletes == 1 { "delete" } else { "deletes" };
            format!("{deletes} {noun} would be needed, and `max_delete` is {max}")
        } else if self.options.max_delete.is_none() && known > FEW_FILES && files > known / 2 {
            // A `max_delete` is the user's own answer to how many are too many.
            advice = "; `max_delete` allows more";
            format!("{files} of the {known} files of the target would be deleted, more than half")
        } else {
            return Ok(());
        };
        let message = format!("{message}: nothing was changed{advice}");
        Err(Error::new(ErrorKind::Guard, Origin::Here, message))
    }

    /// Fails if the target has changed and neither side is to win.
    pub(super) fn agree(&self) -> Result<()> {
        if self.conflicts == 0 {
            return Ok(());
        }
        let first = self.drift.iter().filter(|drift| drift.kept).take(CONFLICTS_NAMED);
        let named: Vec<_> = first.map(|drift| visible(&drift.path)).collect();
        let (count, named) = (self.conflicts, named.join(", "));
        let noun = if count == 1 { "file" } else { "files" };
        let message = format!(
            "{count} {noun} of the target changed since the last run ({named}), and `on_conflict` is \"fail\": nothing \
             was changed"
        );
        Err(Error::new(ErrorKind::Refused, Origin::Here, message))
    }

    /// Fails if more is to be transferred than the limits allow (S50).
    pub(super) fn cap(&self) -> Result<()> {
        let Quotas { max_file_size, max_total, .. } = self.options.caps;
        let fault = |message: String| {
            Error::new(ErrorKind::Guard, Origin::Here, format!("{message}: nothing was changed"))
        };
        let is_over =
            |step: &&Step| max_file_size.zip(step.size).is_some_and(|(max, size)| size > max);
        if let Some(step) = self.files.iter().find(is_over) {
            let (size, max) = (step.size.unwrap_or(0), max_file_size.unwrap_or(0));
            let message = format!("it has {size} bytes, and `max_file_size` is {max}");
            return Err(fault(message).at(visible(&step.path)));
        }
        match max_total.filter(|max| self.counts.bytes > *max) {
            None => Ok(()),
            Some(max) => {
                let bytes = self.counts.bytes;
                Err(fault(format!("{bytes} bytes would move, and `max_total` is {max}")))
            }
        }
    }
}
