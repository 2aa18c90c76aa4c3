//! Every function that takes options, and its keys: the parsers and the check use the same list.

use rhai::Map;

use super::{api, rules, site};
use crate::error::Result;

/// The options of `ftp::connect`.
pub const CONNECT: &[&str] = &[
    "user",
    "password",
    "account",
    "mode",
    "fallback",
    "port_range",
    "external_address",
    "map_ports",
    "source_address",
    "tls",
    "ca_file",
    "client_cert",
    "client_key",
    "pin",
    "insecure",
    "connect_timeout",
    "data_timeout",
    "reply_timeout",
    "encoding",
    "list_command",
    "rate_limit",
    "parallel",
    "proxy",
    "inplace",
    "min_rate",
];

/// The additional options of `ftp::doctor`, besides those of `ftp::connect`.
pub const SURVEY: &[&str] = &["read_only", "sessions"];

/// The options of `ftp::doctor`.
pub const DOCTOR: &[&str] = &joined::<{ CONNECT.len() + SURVEY.len() }>(CONNECT, SURVEY);

/// Returns the two lists joined.
#[expect(clippy::indexing_slicing, reason = "worked out by the compiler, which checks the bounds")]
const fn joined<const N: usize>(one: &[&'static str], other: &[&'static str]) -> [&'static str; N] {
    let mut all = [""; N];
    let mut at = 0;
    while at < N {
        all[at] = if at < one.len() { one[at] } else { other[at - one.len()] };
        at += 1;
    }
    all
}

/// The options of `get` and `put`.
pub const TRANSFER: &[&str] =
    &["preserve_times", "resume", "rate_limit", "segments", "verify", "inplace", "retries"];

/// The options of `nat::map_ports`.
pub const MAP_PORTS: &[&str] = &["ports", "lease", "via"];

/// The options of `nat::suggest`.
pub const SUGGEST: &[&str] =
    &["side", "mode", "format", "ports", "control", "from", "external_address"];

/// The options of `retry`.
pub const RETRY: &[&str] = &["attempts", "backoff"];

/// The options of mirrors and of their plans.
pub const MIRROR: &[&str] = &[
    "delete",
    "dry_run",
    "include",
    "exclude",
    "compare",
    "parallel",
    "max_delete",
    "trash",
    "staged",
    "resume",
    "verify",
    "preserve_times",
    "follow_links",
    "newer_only",
    "on_conflict",
    "rate_limit",
    "retries",
    "inplace",
    "state",
    "trust_state",
    "min_size",
    "max_size",
    "newer_than",
    "older_than",
    "max_file_size",
    "max_total",
    "min_free",
];

/// The options of a ruleset's `masquerade`.
pub const NAT_MASQUERADE: &[&str] = &["source", "out", "to"];

/// The options of `nat::ruleset`.
pub const NAT_RULESET: &[&str] = &["backend"];

/// The options of a ruleset's `forward`.
pub const NAT_FORWARD: &[&str] = &["in", "ports", "to", "hairpin", "from", "external"];

/// The options of a ruleset's `allow`.
pub const NAT_ALLOW: &[&str] = &["in", "out", "source"];

/// The options of a ruleset's `ftp_helper`.
pub const NAT_HELPER: &[&str] = &["ports", "in"];

/// The options of a ruleset's `ftp_active`.
pub const NAT_ACTIVE: &[&str] = &["ports", "to", "server", "server_port_20", "in", "external"];

/// The options of a ruleset's `ftp_server`.
pub const NAT_SERVER: &[&str] = &["passive", "control", "to", "in", "hairpin", "from", "external"];

/// The options of `nat::with_open`.
pub const NAT_OPEN: &[&str] =
    &["ports", "to", "server", "server_port_20", "in", "external", "force"];

/// The options of a ruleset's `apply`.
pub const NAT_APPLY: &[&str] = &["confirm_within", "persist", "test", "force", "absent_ok"];

/// A function that takes options.
#[derive(Debug, Clone, Copy)]
pub struct Taker {
    /// The name as it is called, without the value before the dot, except for `rules.apply`.
    pub name: &'static str,
    /// The keys that it accepts.
    pub keys: &'static [&'static str],
    /// Parses options as the function does, and discards them.
    pub read: fn(&Map) -> Result<()>,
}

/// All functions that take options.
pub const TAKERS: &[Taker] = &[
    Taker { name: "ftp::connect", keys: CONNECT, read: site::probe },
    Taker { name: "ftp::doctor", keys: DOCTOR, read: api::doctor::probe },
    Taker { name: "nat::map_ports", keys: MAP_PORTS, read: api::routers::probe_map_ports },
    Taker { name: "nat::suggest", keys: SUGGEST, read: api::routers::probe_suggest },
    Taker { name: "get", keys: TRANSFER, read: api::transfers::probe },
    Taker { name: "put", keys: TRANSFER, read: api::transfers::probe },
    Taker { name: "retry", keys: RETRY, read: api::run::probe },
    Taker { name: "mirror_up", keys: MIRROR, read: api::mirroring::probe },
    Taker { name: "mirror_down", keys: MIRROR, read: api::mirroring::probe },
    Taker { name: "plan_up", keys: MIRROR, read: api::mirroring::probe },
    Taker { name: "plan_down", keys: MIRROR, read: api::mirroring::probe },
    Taker { name: "nat::ruleset", keys: NAT_RULESET, read: rules::probe_backend },
    Taker { name: "nat::masquerade", keys: NAT_MASQUERADE, read: rules::probe_masquerade },
    Taker { name: "nat::with_open", keys: NAT_OPEN, read: rules::probe_opening },
    Taker { name: "masquerade", keys: NAT_MASQUERADE, read: rules::probe_masquerade },
    Taker { name: "forward", keys: NAT_FORWARD, read: rules::probe_forward },
    Taker { name: "allow", keys: NAT_ALLOW, read: rules::probe_allow },
    Taker { name: "ftp_helper", keys: NAT_HELPER, read: rules::probe_helper },
    Taker { name: "ftp_active", keys: NAT_ACTIVE, read: rules::probe_active },
    Taker { name: "ftp_server", keys: NAT_SERVER, read: rules::probe_server },
    // Sessions have an `apply` as well, which takes no options.
    Taker { name: "rules.apply", keys: NAT_APPLY, read: rules::probe_order },
];

/// Returns the function `name`, if it takes options.
pub fn taker(name: &str) -> Option<&'static Taker> {
    TAKERS.iter().find(|taker| taker.name == name)
}
