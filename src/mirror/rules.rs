//! What a user may say about a mirror.

use super::filter::Filter;
use crate::{
    fault::{Fault, Outcome, Side},
    limits::PARALLEL_MAX,
};

/// How two files are held to be the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compare {
    /// What changed since the last run, where that is remembered: content here, size and time there. Else size and
    /// time.
    #[default]
    Auto,
    /// Size alone.
    Size,
    /// Size and time.
    SizeTime,
    /// Content, by a hash. Not in this version.
    Checksum,
}

impl Compare {
    /// Reads the word that scripts and the command line use.
    pub fn parse(word: &str) -> Outcome<Self> {
        match word {
            "auto" => Ok(Self::Auto),
            "size" => Ok(Self::Size),
            "size_time" => Ok(Self::SizeTime),
            "checksum" => Ok(Self::Checksum),
            other => {
                let message = format!("no comparison `{other}`: auto, size, size_time or checksum");
                Err(Fault::invalid(message))
            }
        }
    }
}

/// Who wins where the target has changed since the last run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// The source: the target becomes like it.
    #[default]
    Source,
    /// The target's change stays.
    Keep,
    /// The newer file; the target's where times cannot be compared.
    Newer,
    /// Nobody: nothing at all is done.
    Fail,
}

/// What is to be done, and what not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Whether what is not in the source goes from the target.
    pub delete: bool,
    /// Patterns of which a file must match one, if there are any.
    pub include: Vec<String>,
    /// Patterns of what is neither sent nor deleted; they win over `include`.
    pub exclude: Vec<String>,
    /// When two files are the same.
    pub compare: Compare,
    /// Deletes above which nothing at all is done.
    pub max_delete: Option<u64>,
    /// Sessions to work with at the same time.
    pub parallel: u16,
    /// Whether files get the times that they have in the source.
    pub preserve_times: bool,
    /// Whether a file of the target stays unless that of the source is newer.
    pub newer_only: bool,
    /// Who wins where the target has changed since the last run.
    pub on_conflict: OnConflict,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            delete: false,
            include: Vec::new(),
            exclude: Vec::new(),
            compare: Compare::default(),
            max_delete: None,
            parallel: 1,
            preserve_times: true,
            newer_only: false,
            on_conflict: OnConflict::default(),
        }
    }
}

impl Rules {
    /// The patterns, made ready; fails with `invalid` on one that cannot be meant, and on values out of bounds.
    pub fn check(&self) -> Outcome<Filter> {
        if !(1..=PARALLEL_MAX).contains(&self.parallel) {
            let message = format!("`parallel` wants 1 to {PARALLEL_MAX}, not {}", self.parallel);
            return Err(Fault::invalid(message));
        }
        if self.compare == Compare::Checksum {
            let message = "`compare = \"checksum\"` is not in this version";
            return Err(Fault::unsupported(Side::Here, message));
        }
        Filter::new(&self.include, &self.exclude)
    }
}
