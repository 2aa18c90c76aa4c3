//! The length of campaigns.

use std::env;

/// Returns the number of rounds of a campaign: `PORTOLAN_CAMPAIGN`, or `usual` if that is not set.
pub(crate) fn rounds(usual: usize) -> usize {
    let Ok(text) = env::var("PORTOLAN_CAMPAIGN") else { return usual };
    let rounds = text.parse().ok().filter(|rounds| *rounds > 0);
    rounds.unwrap_or_else(|| panic!("PORTOLAN_CAMPAIGN is a number of rounds, and not {text:?}"))
}
