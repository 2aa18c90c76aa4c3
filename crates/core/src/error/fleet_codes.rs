//! The codes of machines that share a schedule, with their explanations.

use super::code_names::{ErrorCode, row};

/// A release was published by a newer portolan.
pub const FLEET_NEWER_RELEASE: &str = "fleet.newer_release";
/// A machine has other jobs than the fleet.
pub const FLEET_OTHER_RELEASE: &str = "fleet.other_release";
/// A release in the store is not what was published.
pub const FLEET_RELEASE_DAMAGED: &str = "fleet.release_damaged";
/// A file or a value that would be published is a secret.
pub const FLEET_SECRET_FILE: &str = "fleet.secret_file";
/// A release would have too many or too large files.
pub const FLEET_TOO_LARGE: &str = "fleet.too_large";

/// Every explanation, sorted.
pub(super) const ROWS: [ErrorCode; 5] = [
    row(
        FLEET_NEWER_RELEASE,
        "A newer portolan has published the release, in a form that this one does not know.",
        "This machine has an older portolan than the one that published.",
        "upgrade portolan on this machine; the others go on meanwhile",
    ),
    row(
        FLEET_OTHER_RELEASE,
        "The jobs of this machine are not those of its fleet: it does not lead.",
        "The jobs file was changed on some machines and not yet on others, or by hand on one.",
        "put the same jobs file on all machines, or let all follow what `portolan publish` publishes; `portolan machines` shows who has which release",
    ),
    row(
        FLEET_RELEASE_DAMAGED,
        "The files of a release in the store are not what was published.",
        "Somebody has changed the tables by hand, or a backup was restored in part.",
        "`portolan publish` publishes it anew; machines keep the release that they have",
    ),
    row(
        FLEET_SECRET_FILE,
        "A file or a value that would be published is a secret.",
        "The jobs file names a file with passwords or a private key, or has a password itself.",
        "name it as `secret:NAME`, which each machine has for itself, or by an absolute path at which each machine has it",
    ),
    row(
        FLEET_TOO_LARGE,
        "The release would have too many files, or too large ones.",
        "The jobs file names data, not only scripts and settings.",
        "keep data on the machines, or fetch it in a job; `portolan publish --dry-run` lists the files",
    ),
];
