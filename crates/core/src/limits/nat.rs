//! Limits of NAT rules and of routers.

use std::time::Duration;

/// The maximum number of ports and ranges in one NAT rule; each packet is compared with all of them.
pub const NAT_RANGES_MAX: usize = 64;
/// The maximum number of networks in one NAT rule: iptables has a rule for each, and a rule of two sets one for each
/// pair.
pub const NAT_NETS_MAX: usize = 64;
/// The maximum number of ports that one NAT rule leads to other ports, one by one.
pub const NAT_PORT_PAIRS_MAX: usize = 1_024;
/// The maximum number of parts in one NAT ruleset: far more than a gateway has, and few enough to be planned and loaded
/// within seconds.
pub const NAT_PARTS_MAX: usize = 4_096;
/// The maximum number of bytes in a listing of nft or iptables: a set of a million addresses is some 20 MiB.
pub const NAT_LISTING_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The maximum size of a file of iptables lines to import: the rules of a host with thousands of containers fit.
pub const NAT_IMPORT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The maximum number of commands in such a file.
pub const NAT_IMPORT_COMMANDS_MAX: usize = 50_000;
/// The maximum number of characters in the reason of a change of NAT: one line of a table.
pub const NAT_COMMENT_LENGTH_MAX: usize = 200;
/// The number of changes of one ruleset that are kept: years of them, each with its rules.
pub const NAT_HISTORY_KEPT_MAX: u32 = 100;
/// The time limit for nft, iptables and modprobe: they take milliseconds, unless the host is very busy.
pub const NAT_TOOL_TIME_MAX: Duration = Duration::from_mins(1);
/// The minimum duration of a trial of rules: the user needs time to test them and to type `confirm`.
pub const NAT_TRIAL_MIN: Duration = Duration::from_secs(1);
/// The maximum duration of a trial of rules.
pub const NAT_TRIAL_MAX: Duration = Duration::from_hours(24);
/// The default duration of a trial of rules while a script tests them.
pub const NAT_TRIAL_USUAL: Duration = Duration::from_mins(1);

/// The default lifetime of a port mapping on a router; it is renewed at half of it.
pub const LEASE_TIME: Duration = Duration::from_hours(1);
/// The minimum lifetime: below it, a slow router could not be asked again in time.
pub const LEASE_TIME_MIN: Duration = Duration::from_secs(5);
/// The maximum lifetime that is believed; UPnP has the same limit.
pub const LEASE_TIME_MAX: Duration = Duration::from_hours(7 * 24);
/// The minimum time between two attempts to renew a lease.
pub const LEASE_RETRY_MIN: Duration = Duration::from_secs(1);
/// The time limit for releasing all leases of a run.
pub const RELEASE_TIME_MAX: Duration = Duration::from_secs(3);
/// The maximum number of ports that are mapped together: as many as transfers may run at a time.
pub const MAPPED_PORTS_MAX: usize = 32;
/// The minimum number of ports that `map_ports: "auto"` requests, since a mirror may have more sessions than its
/// connection specified.
pub const MAPPED_PORTS_AUTO: usize = 8;
/// The maximum number of ports of a ruleset's range that a run listens on in turn: far more than it has transfers.
pub const OPENED_PORTS_MAX: usize = 1024;
/// The time after which a router that refused a port is asked again.
pub const MAP_AGAIN_AFTER: Duration = Duration::from_mins(5);
/// The maximum number of lease journals that are read: each run has one, and few crash.
pub const LEASE_PAGES_MAX: usize = 64;
/// The maximum number of bytes in such a journal: a line has some 10 KiB at most, and every renewal adds one.
pub const LEASE_PAGE_BYTES_MAX: u64 = 1024 * 1024;
/// The wait for a router's first answer to PCP or NAT-PMP (RFC 6886, 3.1); it doubles with each attempt.
pub const ROUTER_FIRST_WAIT: Duration = Duration::from_millis(250);
/// The maximum of that wait.
pub const ROUTER_WAIT_MAX: Duration = Duration::from_secs(1);
/// The number of times the same datagram is sent: with the waits, a missing router is detected after 1.75 s.
pub const ROUTER_TRIES: usize = 3;
/// The time limit for finding a router by UPnP, its description included.
pub const ROUTER_SEARCH_TIMEOUT: Duration = Duration::from_secs(3);
/// The time limit for one answer by UPnP.
pub const ROUTER_REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// The maximum number of entries of a router's list that are read.
pub const ROUTER_ENTRIES_MAX: u32 = 256;
/// The maximum number of characters of a router's message that an error repeats.
pub const ROUTER_WORDS_MAX: usize = 200;
