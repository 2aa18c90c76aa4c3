//! The codes of machines that share a schedule, with their explanations.

use super::code_names::{ErrorCode, row};

/// A machine has other jobs than the fleet.
pub const FLEET_OTHER_RELEASE: &str = "fleet.other_release";

/// The explanation of [`FLEET_OTHER_RELEASE`].
pub(super) const OTHER_RELEASE: ErrorCode = row(
    FLEET_OTHER_RELEASE,
    "The jobs of this machine are not those of its fleet: it does not lead.",
    "The jobs file was changed on some machines and not yet on others, or by hand on one.",
    "put the same jobs file on all machines; `portolan machines` shows who has which release",
);
