//! Limits of the store.

use std::time::Duration;

/// The time limit for waiting on another writer of the store; a write takes milliseconds unless the other process
/// hangs.
pub const STORE_BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// The interval at which the store is copied.
pub const STORE_BACKUP_INTERVAL: Duration = Duration::from_hours(24);
/// The free disk space below which a failed write of the store is reported as a full disk: SQLite asks for more at
/// once.
pub const STORE_ROOM_MIN: u64 = 64 * 1024;
/// The time for which a server record is valid; after it the requested mode is tried again.
pub const ROUTE_AGE_MAX: Duration = Duration::from_hours(7 * 24);
/// The maximum number of server records: more servers than one person has, and few enough to be searched instantly.
pub const ROUTES_KEPT_MAX: u32 = 1_000;
/// The maximum number of record writes of one session: a data path that changes often must not make every file wait
/// for a disk.
pub const ROUTE_WRITES_MAX: u32 = 8;
