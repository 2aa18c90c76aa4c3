//! The parsing of the options of mirrors.

use rhai::Map;

use crate::{
    error::Result,
    limits::{ENTRIES_MAX, MIRROR_RETRIES_MAX},
    mirror::{Compare, MirrorOptions, OnConflict, Quotas, SizeAgeFilter, StateIn},
    script::{options::MIRROR, value::CallOptions},
};
use jiff::Timestamp;

/// Parses `options` as a mirror does, without running one.
pub(in crate::script) fn probe(options: &Map) -> Result<()> {
    read(options, "a mirror", 1, Timestamp::UNIX_EPOCH).map(drop)
}

/// Returns the rules for the options of `what` at the time `now`, and true for a dry run.
pub(super) fn read(
    options: &Map,
    what: &str,
    parallel: u16,
    now: Timestamp,
) -> Result<(MirrorOptions, bool)> {
    let options = CallOptions::new(options, what, MIRROR)?;
    let usual = MirrorOptions { parallel, ..MirrorOptions::default() };
    let most = i64::try_from(ENTRIES_MAX).unwrap_or(i64::MAX);
    let ago = |key| {
        let time = options.duration(key)?;
        Result::Ok(time.map(|time| SizeAgeFilter::ago(now, time)))
    };
    let rules = MirrorOptions {
        delete: options.flag("delete")?.unwrap_or(usual.delete),
        include: options.texts("include")?,
        exclude: options.texts("exclude")?,
        compare: options.choice("compare", &Compare::ALL)?.unwrap_or(usual.compare),
        max_delete: options
            .number("max_delete", 0, most)?
            .and_then(|most| u64::try_from(most).ok()),
        parallel: options.sessions("parallel")?.unwrap_or(usual.parallel),
        resume: options.flag("resume")?.unwrap_or(usual.resume),
        retries: options
            .number("retries", 0, MIRROR_RETRIES_MAX.into())?
            .and_then(|retries| u16::try_from(retries).ok())
            .unwrap_or(usual.retries),
        rate_limit: options.rate("rate_limit")?,
        preserve_times: options.flag("preserve_times")?.unwrap_or(usual.preserve_times),
        newer_only: options.flag("newer_only")?.unwrap_or(usual.newer_only),
        on_conflict: options.choice("on_conflict", &OnConflict::ALL)?.unwrap_or(usual.on_conflict),
        trash: options.text("trash")?,
        follow_links: options.flag("follow_links")?.unwrap_or(usual.follow_links),
        staged: options.flag("staged")?.unwrap_or(usual.staged),
        verify: options.flag("verify")?,
        in_place: options.in_place("inplace")?,
        state: options.choice("state", &StateIn::ALL)?.unwrap_or(usual.state),
        trust_state: options.flag("trust_state")?.unwrap_or(usual.trust_state),
        bounds: SizeAgeFilter {
            min_size: options.size("min_size")?,
            max_size: options.size("max_size")?,
            after: ago("newer_than")?,
            before: ago("older_than")?,
        },
        caps: Quotas {
            max_file_size: options.size("max_file_size")?,
            max_total: options.size("max_total")?,
            min_free: options.size("min_free")?,
        },
    };
    Ok((rules, options.flag("dry_run")?.unwrap_or(false)))
}
