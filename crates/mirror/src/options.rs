//! The options of a mirror.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    deploy_rules::DeployRules, pattern_files::PatternFiles, quota::Quotas,
    size_age_filter::SizeAgeFilter, trash_rules::TrashRules,
};
use portolan_core::{error::Result, limits::MIRROR_RETRIES};
use portolan_remote::transfer::InPlace;

/// The method by which two files are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    /// Changes since the last run, if its state is known: by content locally, by size and time on the server. Otherwise
    /// size and time.
    #[default]
    Auto,
    /// Size only.
    Size,
    /// Size and time.
    SizeTime,
    /// Content, by a hash from the server, or by reading the file back if the server offers none.
    Checksum,
}

/// The side that wins if the target has changed since the last run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// The source: the target is made like it.
    #[default]
    Source,
    /// The target: its change is kept.
    Keep,
    /// The newer file; the target's if the times cannot be compared.
    Newer,
    /// Neither: the run fails without doing anything.
    Fail,
}

/// The location of the state that a mirror keeps of both sides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateIn {
    /// On the local host, in the state directory.
    #[default]
    Local,
    /// On the server, beside the files: for hosts that keep no state.
    Remote,
}

/// The options of a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the user's")]
pub struct MirrorOptions {
    /// True if entries that are missing from the source are deleted from the target.
    pub delete: bool,
    /// True if source files are removed once their copies are proven.
    #[serde(rename = "move", skip_serializing_if = "std::ops::Not::not")]
    pub moves: bool,
    /// The patterns of which a file must match one, if there are any.
    pub include: Vec<String>,
    /// The patterns of entries that are neither sent nor deleted; they take precedence over `include`.
    pub exclude: Vec<String>,
    /// The files and directories that take part, with all below them; `None` means all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<BTreeSet<String>>,
    /// True if what `.gitignore` files of the local tree exclude does not take part.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub gitignore: bool,
    /// The number of directory levels that take part: 1 is the directory itself, without those in it.
    pub max_depth: Option<u16>,
    /// The method by which two files are compared.
    pub compare: Compare,
    /// The number of deletes above which nothing is done at all.
    pub max_delete: Option<u64>,
    /// The number of concurrent sessions, or [`PARALLEL_AUTO`](portolan_core::limits::PARALLEL_AUTO).
    pub parallel: u16,
    /// True if files get the modification times that they have in the source.
    pub preserve_times: bool,
    /// True if a file of the target is kept unless that of the source is newer.
    pub newer_only: bool,
    /// True if an interrupted transfer is resumed, provided that the file is provably the same.
    pub resume: bool,
    /// The maximum number of retries of a file after a transient failure.
    pub retries: u16,
    /// The rate limit in bytes per second, for all sessions together.
    pub rate_limit: Option<u64>,
    /// The side that wins if the target has changed since the last run.
    pub on_conflict: OnConflict,
    /// True if each form of a file is transferred once, whatever becomes of it in the target.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub once: bool,
    /// The directory on the target's side that takes deleted files.
    pub trash: Option<String>,
    /// The rules of that directory.
    #[serde(skip_serializing_if = "TrashRules::is_usual")]
    pub trash_rules: TrashRules,
    /// True if no file gets its final name before all have arrived.
    pub staged: bool,
    /// True if symbolic links of the source are followed: locally as long as they stay inside, on a server wherever
    /// they lead.
    pub follow_links: bool,
    /// True if a transfer counts as failed when its size cannot be verified; `None` means that `delete` decides.
    pub verify: Option<bool>,
    /// The use of final names during uploads; `None` means the setting of the connection.
    #[serde(rename = "inplace")]
    pub in_place: Option<InPlace>,
    /// The location of the state of both sides.
    pub state: StateIn,
    /// True if the server is trusted to be as the state says, apart from a few files that are checked.
    pub trust_state: bool,
    /// The limits of size and time within which files take part.
    pub bounds: SizeAgeFilter,
    /// The limits that the run may not exceed.
    pub caps: Quotas,
    /// The rules of a deployment; `None` for any other mirror.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deploy: Option<DeployRules>,
}

impl Default for MirrorOptions {
    fn default() -> Self {
        Self {
            delete: false,
            moves: false,
            include: Vec::new(),
            exclude: Vec::new(),
            files: None,
            gitignore: false,
            max_depth: None,
            compare: Compare::default(),
            max_delete: None,
            parallel: 1,
            preserve_times: true,
            newer_only: false,
            resume: false,
            retries: MIRROR_RETRIES,
            rate_limit: None,
            on_conflict: OnConflict::default(),
            once: false,
            trash: None,
            trash_rules: TrashRules::default(),
            staged: false,
            follow_links: false,
            verify: None,
            in_place: None,
            state: StateIn::default(),
            trust_state: false,
            bounds: SizeAgeFilter::default(),
            caps: Quotas::default(),
            deploy: None,
        }
    }
}

/// A mirror as a user asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MirrorRequest {
    /// The options of the plan, apart from the times below.
    pub options: MirrorOptions,
    /// True if the steps are only reported.
    pub dry_run: bool,
    /// The maximum age of the files that take part.
    pub newer_than: Option<Duration>,
    /// The minimum age of the files that take part.
    pub older_than: Option<Duration>,
    /// The files of patterns and names.
    pub lists: PatternFiles,
}

impl MirrorRequest {
    /// Returns the options for a mirror at the time `now`.
    ///
    /// Reads the files of patterns and names; `allow` returns the path under which a file may be read.
    pub fn options_at(
        mut self,
        now: Timestamp,
        allow: impl FnMut(&str) -> Result<PathBuf>,
    ) -> Result<MirrorOptions> {
        std::mem::take(&mut self.lists).read_into(&mut self.options, allow)?;
        let ago = |age: Option<Duration>| age.map(|age| SizeAgeFilter::ago(now, age));
        let (after, before) = (ago(self.newer_than), ago(self.older_than));
        let bounds = SizeAgeFilter { after, before, ..self.options.bounds };
        let compare = match self.options.compare {
            Compare::Auto if self.options.moves => Compare::Checksum,
            compare => compare,
        };
        Ok(MirrorOptions { compare, bounds, ..self.options })
    }
}
