//! The checks of the options of a mirror, and their patterns as a filter.

use std::path::Path;

use super::{
    deploy_rules::DeployRules,
    filter::{Filter, FilterSources, ignore_file},
    gitignore::GitignoreFiles,
    options::{Compare, MirrorOptions},
    own_files::{CLAIM_FOLDER, STATE_FILE},
};
use portolan_core::{
    error::{Error, Result},
    limits::{MIRROR_RETRIES_MAX, PARALLEL_AUTO, PARALLEL_MAX},
};
use portolan_remote::{path::component, transfer::InPlace};

impl MirrorOptions {
    /// Compiles the patterns, with those in the ignore file of the local directory `local`. Fails with `invalid` on a
    /// pattern that cannot be meant, and on options that are out of range.
    pub fn filter(&self, local: &Path) -> Result<Filter> {
        if self.parallel != PARALLEL_AUTO && !(1..=PARALLEL_MAX).contains(&self.parallel) {
            let message =
                format!("`parallel` wants 1 to {PARALLEL_MAX} or \"auto\", not {}", self.parallel);
            return Err(Error::invalid(message));
        }
        if self.retries > MIRROR_RETRIES_MAX {
            let message =
                format!("`retries` wants 0 to {MIRROR_RETRIES_MAX}, not {}", self.retries);
            return Err(Error::invalid(message));
        }
        if self.trust_state && self.compare != Compare::Auto {
            let message = "`trust_state` goes with `compare = \"auto\"` only";
            return Err(Error::invalid(message));
        }
        if self.once && self.moves {
            let message =
                "`once` does not go with `move`: what was moved is no longer in the source";
            return Err(Error::invalid(message));
        }
        if self.once && self.compare != Compare::Auto {
            let message = "`once` goes with `compare = \"auto\"` only: the state of the last run has what was sent";
            return Err(Error::invalid(message));
        }
        if self.staged && self.in_place == Some(InPlace::Always) {
            let message = "`inplace` gives each file its name at once, and `staged` none before all have arrived";
            return Err(Error::invalid(message));
        }
        self.check_trash()?;
        self.check_move()?;
        if let Some(rules) = &self.deploy {
            rules.last_files()?;
        }
        let defaults = self.deploy.as_ref().map_or(&[][..], DeployRules::excludes);
        let ignored = ignore_file(local)?;
        let gitignore = self.gitignore.then(|| GitignoreFiles::read(local)).transpose()?;
        let filter = Filter::of(FilterSources {
            defaults,
            gitignore,
            ignored: &ignored,
            exclude: &self.exclude,
            include: &self.include,
            files: self.files.as_ref(),
        })?;
        Ok(filter.down_to(self.max_depth).without(STATE_FILE).without(CLAIM_FOLDER))
    }

    /// Fails with `invalid` on options with which files could leave the source without a proof, or leave both sides.
    fn check_move(&self) -> Result<()> {
        let message = if !self.moves {
            return Ok(());
        } else if self.delete {
            "`move` empties the source, and `delete` would then delete from the target what was moved"
        } else if self.follow_links {
            "`move` removes no links: not with `follow_links`"
        } else if self.compare != Compare::Checksum {
            "`move` goes with `compare = \"checksum\"` only, its default: a file goes only where its copy is proven"
        } else {
            return Ok(());
        };
        Err(Error::invalid(message))
    }

    fn check_trash(&self) -> Result<()> {
        let Some(trash) = &self.trash else { return Ok(()) };
        let parts = trash.strip_prefix('/').unwrap_or(trash).trim_end_matches('/');
        if parts.split('/').any(|part| component(part.as_bytes()).is_err()) {
            let message = format!("`trash` wants a folder, and `{trash}` names none");
            return Err(Error::invalid(message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trash_must_be_a_folder_that_can_be_named() {
        let rules = |trash: &str| MirrorOptions {
            trash: Some(trash.to_owned()),
            ..MirrorOptions::default()
        };
        let here = Path::new("/nowhere");
        for good in ["old", ".trash", "/old/files", "a/b/"] {
            assert!(rules(good).filter(here).is_ok(), "{good}");
        }
        for bad in ["", "/", ".", "..", "../x", "a//b", "a/../b"] {
            assert!(rules(bad).filter(here).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_move_that_skips_what_was_sent_is_refused_in_words_of_its_own() {
        for compare in [Compare::Checksum, Compare::Auto] {
            let rules =
                MirrorOptions { once: true, moves: true, compare, ..MirrorOptions::default() };
            let error = rules.filter(Path::new("/nowhere")).unwrap_err();
            let words = "`once` does not go with `move`: what was moved is no longer in the source";
            assert_eq!(error.message, words);
        }
    }
}
