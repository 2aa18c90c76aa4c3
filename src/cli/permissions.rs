//! The permissions of a run, from the flags of `portolan run`.

use std::{iter, sync::Arc};

use serde_json::json;

use super::{
    flags::{OptionCommand, OptionFlags},
    report,
};
use crate::{
    error::{Error, Result},
    option_table::OptionTable,
    permissions::{PERMISSIONS, PermissionOptions, PermissionSet, PermissionUsage, RunPermissions},
};

/// `portolan run`, for its flags.
#[derive(Debug, Clone)]
pub(super) struct PermissionFlags;

impl OptionCommand for PermissionFlags {
    type Options = PermissionOptions;
    const TABLE: OptionTable<PermissionOptions> = PERMISSIONS;
    const NAME: &'static str = "run";
}

/// The flags about permissions.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Permissions (with one of them, what is not named is refused)")]
pub(super) struct PermissionArgs {
    #[command(flatten)]
    flags: OptionFlags<PermissionFlags>,
    /// Allow the script nothing: no server, no file, no secret
    #[arg(long)]
    deny_all: bool,
    /// At the end, print the permissions that the run has used
    #[arg(long)]
    audit: bool,
}

impl PermissionArgs {
    /// Returns the record of what the run uses, if it is wanted.
    pub(super) fn usage(&self) -> Option<Arc<PermissionUsage>> {
        self.audit.then(Arc::default)
    }

    /// Returns what the flags allow, and true if what they do not name is refused.
    pub(super) fn options(&self) -> Result<(PermissionOptions, bool)> {
        let options = self.flags.options()?;
        if self.deny_all && (options.restricts() || options.nat) {
            let message = "`--deny-all` allows nothing: leave it out, or the `--allow-` flags";
            return Err(Error::invalid(message));
        }
        let is_named = self.deny_all || options.restricts();
        Ok((options, is_named))
    }
}

/// Prints what a run has used: the block that would allow it, and what was refused.
pub(super) fn print_usage(usage: &PermissionUsage, is_json: bool) {
    let (granted, refused) = (usage.granted(), usage.refused());
    if is_json {
        report::json(
            &json!({ "event": "permissions", "permissions": granted, "refused": refused }),
        );
        return;
    }
    let mut lines = block(&granted);
    if !refused.is_empty() {
        lines.push("# refused:".to_owned());
        lines.extend(refused.lines().iter().map(|line| format!("#   {line}")));
    }
    report::output(&(lines.join("\n") + "\n"));
}

/// Returns the lines of the table `[job.permissions]` that allows `set`.
pub(super) fn block(set: &PermissionSet) -> Vec<String> {
    iter::once("[job.permissions]".to_owned()).chain(set.lines()).collect()
}

/// Returns the permissions that `options` name for a run in the working directory.
pub(super) fn permissions(options: &PermissionOptions, is_named: bool) -> Result<RunPermissions> {
    let here = std::env::current_dir();
    let here = here.map_err(|error| Error::local("find the working directory", ".", error))?;
    RunPermissions::new(options, &here, is_named)
}
