//! Jobs on schedules: expressions and zones, the jobs file, and the decisions that are due at a given time.
//!
//! [`plan::Planner`] is pure: it turns [`jobs::Jobs`], earlier decisions, the current time and the running jobs into
//! decisions. Its callers sleep, start processes, open databases and carry the decisions out.

pub mod child;
pub mod cron;
pub mod daemon;
pub mod export;
pub mod facts;
pub mod jobs;
pub mod notify;
pub mod plan;
pub mod simulate;
pub mod slot;
pub mod slot_status;
pub mod zone;

use sha2::{Digest, Sha256};

/// Returns a hash that is the same for the same words on every host and in every version; it spreads jobs over time.
fn stable(words: &[&str]) -> u64 {
    let mut hash = Sha256::new();
    for word in words {
        hash.update(word.as_bytes());
        hash.update([0]);
    }
    let bytes = hash.finalize();
    bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Returns the zone that is most similar to `name`, which may be only its city.
fn nearest_zone<'z>(name: &str, known: &[&'z str]) -> Option<&'z str> {
    let city = name.replace(' ', "_").to_lowercase();
    let is_it = |zone: &&&str| zone.to_lowercase().rsplit('/').next() == Some(city.as_str());
    let by_city = known.iter().find(is_it).copied();
    by_city.or_else(|| crate::script::value::nearest(name, known))
}
