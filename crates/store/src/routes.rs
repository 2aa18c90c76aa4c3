//! The server records: which data path worked, for each server and the network it was reached from.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

use super::Store;
use portolan_core::{
    error::Result,
    limits::{ROUTE_AGE_MAX, ROUTES_KEPT_MAX},
};

/// The key of a server record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerKey {
    /// The host name of the server, in lower case.
    pub host: String,
    /// Its control port.
    pub port: u16,
    /// The login name.
    pub login: String,
    /// The local network.
    pub network: String,
    /// The protection of the control connection.
    pub protection: String,
}

/// The record of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The data method that worked.
    pub step: String,
    /// The mode that failed; empty if none did.
    pub failed_mode: String,
    /// True if data connections need TLS 1.2.
    pub tls12_only: bool,
    /// True if the server does not accept `LIST -a`.
    pub refuses_list_all: bool,
    /// True if data connections must use the address that the server announces.
    pub is_elsewhere: bool,
    /// The shortest time from a command to its reply.
    pub round_trip: Duration,
    /// The support for pipelined commands, in words; empty for the default.
    pub habits: String,
}

/// The record of one server with its key and its age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownServer {
    /// The key.
    pub key: ServerKey,
    /// The record.
    pub route: Route,
    /// The time of the last session that confirmed it.
    pub seen_at: Timestamp,
    /// The time from which it is no longer used.
    pub expires_at: Timestamp,
}

impl Store {
    /// Returns the record of `key` if it is still valid at `now`.
    pub fn recall(&self, key: &ServerKey, now: Timestamp) -> Result<Option<Route>> {
        let query = "SELECT step, failed_mode, tls12_only, refuses_list_all, is_elsewhere,
                round_trip_ms, habits FROM routes
            WHERE host = $1 AND port = $2 AND login = $3 AND network = $4 AND protection = $5
                AND seen_at <= $6 AND expires_at > $6";
        let ServerKey { host, port, login, network, protection } = key;
        let values = params![host, port, login, network, protection, now.as_millisecond()];
        self.read(|connection| connection.query_row(query, values, route).optional())
    }

    /// Returns true if there is a record of a session by TLS with the server, however old.
    pub fn has_used_tls(&self, host: &str, port: u16) -> Result<bool> {
        let query =
            "SELECT COUNT(*) FROM routes WHERE host = $1 AND port = $2 AND protection <> 'off'";
        let count = |connection: &rusqlite::Connection| {
            connection.query_row(query, params![host, port], |row| row.get::<_, i64>(0))
        };
        Ok(self.read(count)? > 0)
    }

    /// Stores `route` as the record of `key`; the record not seen for longest is removed if there are too many.
    pub fn remember(&mut self, key: &ServerKey, route: &Route, now: Timestamp) -> Result<()> {
        let put = "INSERT INTO routes (host, port, login, network, protection, step, failed_mode, tls12_only,
                refuses_list_all, is_elsewhere, round_trip_ms, seen_at, expires_at, habits)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
            ON CONFLICT (host, port, login, network, protection) DO UPDATE SET step = excluded.step,
                failed_mode = excluded.failed_mode, tls12_only = excluded.tls12_only,
                refuses_list_all = excluded.refuses_list_all, is_elsewhere = excluded.is_elsewhere,
                round_trip_ms = excluded.round_trip_ms, seen_at = excluded.seen_at, expires_at = excluded.expires_at,
                habits = excluded.habits";
        // The limit is never reached: the excess is always smaller than the maximum.
        let trim = "DELETE FROM routes WHERE (host, port, login, network, protection) IN
            (SELECT host, port, login, network, protection FROM routes
                ORDER BY seen_at DESC, host, port, login, network, protection LIMIT $1 OFFSET $1)";
        let age = SignedDuration::try_from(ROUTE_AGE_MAX).unwrap_or(SignedDuration::MAX);
        let expires = now.saturating_add(age).unwrap_or(Timestamp::MAX);
        let round_trip_ms = i64::try_from(route.round_trip.as_millis()).unwrap_or(i64::MAX);
        let ServerKey { host, port, login, network, protection } = key;
        let Route { step, failed_mode, tls12_only, refuses_list_all, is_elsewhere, habits, .. } =
            route;
        let values = params![
            host,
            port,
            login,
            network,
            protection,
            step,
            failed_mode,
            tls12_only,
            refuses_list_all,
            is_elsewhere,
            round_trip_ms,
            now.as_millisecond(),
            expires.as_millisecond(),
            habits,
        ];
        self.write(|transaction| {
            transaction.execute(put, values)?;
            transaction.execute(trim, [ROUTES_KEPT_MAX])?;
            Ok(())
        })
    }

    /// Returns what is known of every server, those used last first.
    pub fn servers(&self) -> Result<Vec<KnownServer>> {
        let query = "SELECT host, port, login, network, protection, step, failed_mode, tls12_only, refuses_list_all,
                is_elsewhere, round_trip_ms, habits, seen_at, expires_at FROM routes
            ORDER BY seen_at DESC, host, port, login, network, protection";
        self.read(|connection| connection.prepare(query)?.query_map([], server)?.collect())
    }

    /// Removes the record of `key` if `step` is still its method; what another process has stored since stays.
    pub fn forget(&mut self, key: &ServerKey, step: &str) -> Result<()> {
        let delete =
            "DELETE FROM routes WHERE host = $1 AND port = $2 AND login = $3 AND network = $4
            AND protection = $5 AND step = $6";
        let ServerKey { host, port, login, network, protection } = key;
        let values = params![host, port, login, network, protection, step];
        self.write(|transaction| transaction.execute(delete, values).map(drop))
    }
}

fn route(row: &Row<'_>) -> rusqlite::Result<Route> {
    let round_trip_ms: i64 = row.get("round_trip_ms")?;
    Ok(Route {
        step: row.get("step")?,
        failed_mode: row.get("failed_mode")?,
        tls12_only: row.get("tls12_only")?,
        refuses_list_all: row.get("refuses_list_all")?,
        is_elsewhere: row.get("is_elsewhere")?,
        habits: row.get("habits")?,
        round_trip: Duration::from_millis(u64::try_from(round_trip_ms).unwrap_or(0)),
    })
}

fn server(row: &Row<'_>) -> rusqlite::Result<KnownServer> {
    let time = |name: &str| {
        let ms: i64 = row.get(name)?;
        Ok::<_, rusqlite::Error>(Timestamp::from_millisecond(ms).unwrap_or_default())
    };
    let key = ServerKey {
        host: row.get("host")?,
        port: row.get("port")?,
        login: row.get("login")?,
        network: row.get("network")?,
        protection: row.get("protection")?,
    };
    let (seen_at, expires_at) = (time("seen_at")?, time("expires_at")?);
    Ok(KnownServer { key, route: route(row)?, seen_at, expires_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_S: i64 = 24 * 60 * 60;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn key(host: &str) -> ServerKey {
        ServerKey {
            host: host.into(),
            port: 21,
            login: "tester".into(),
            network: "192.0.2.0/24".into(),
            protection: "off".into(),
        }
    }

    fn route(step: &str) -> Route {
        Route {
            step: step.into(),
            failed_mode: "active".into(),
            tls12_only: true,
            refuses_list_all: true,
            is_elsewhere: true,
            round_trip: Duration::from_millis(20),
            habits: "alone twice=CWD".into(),
        }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        (folder, store)
    }

    fn count(store: &Store) -> i64 {
        let count = "SELECT COUNT(*) FROM routes";
        store.read(|connection| connection.query_row(count, [], |row| row.get(0))).unwrap()
    }

    #[test]
    fn what_was_remembered_is_recalled_by_the_next_to_open_the_store() {
        let (folder, mut store) = store();
        assert_eq!(store.recall(&key("a"), at(100)).unwrap(), None);
        store.remember(&key("a"), &route("epsv"), at(100)).unwrap();
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.recall(&key("a"), at(101)).unwrap(), Some(route("epsv")));
    }

    #[test]
    fn servers_are_listed_with_all_that_is_known_the_latest_first() {
        let (_folder, mut store) = store();
        assert_eq!(store.servers().unwrap(), []);
        store.remember(&key("a"), &route("epsv"), at(100)).unwrap();
        store.remember(&key("b"), &route("port"), at(200)).unwrap();
        let record = |host: &str, step: &str, seconds: i64| KnownServer {
            key: key(host),
            route: route(step),
            seen_at: at(seconds),
            expires_at: at(seconds + 7 * DAY_S),
        };
        let wanted = [record("b", "port", 200), record("a", "epsv", 100)];
        assert_eq!(store.servers().unwrap(), wanted);
    }

    #[test]
    fn every_part_of_the_key_counts() {
        let (_folder, mut store) = store();
        store.remember(&key("a"), &route("epsv"), at(100)).unwrap();
        for other in [
            ServerKey { port: 2121, ..key("a") },
            ServerKey { login: "another".into(), ..key("a") },
            ServerKey { network: "198.51.100.0/24".into(), ..key("a") },
            ServerKey { protection: "explicit".into(), ..key("a") },
            key("b"),
        ] {
            assert_eq!(store.recall(&other, at(100)).unwrap(), None, "{other:?}");
        }
    }

    #[test]
    fn the_latest_takes_the_place_of_what_was_known() {
        let (_folder, mut store) = store();
        store.remember(&key("a"), &route("epsv"), at(100)).unwrap();
        let later = Route { failed_mode: String::new(), tls12_only: false, ..route("eprt") };
        store.remember(&key("a"), &later, at(200)).unwrap();
        assert_eq!(store.recall(&key("a"), at(200)).unwrap(), Some(later));
        assert_eq!(count(&store), 1);
    }

    #[test]
    fn after_seven_days_it_is_looked_at_again_and_kept_until_replaced() {
        let (_folder, mut store) = store();
        store.remember(&key("a"), &route("epsv"), at(0)).unwrap();
        for (now, holds) in [(7 * DAY_S - 1, true), (7 * DAY_S, false)] {
            assert_eq!(store.recall(&key("a"), at(now)).unwrap().is_some(), holds, "{now}");
        }
        assert_eq!(count(&store), 1);
        store.remember(&key("a"), &route("epsv"), at(8 * DAY_S)).unwrap();
        assert_eq!(store.recall(&key("a"), at(14 * DAY_S)).unwrap(), Some(route("epsv")));
    }

    #[test]
    fn what_is_dated_later_than_now_is_not_believed() {
        let (_folder, mut store) = store();
        store.remember(&key("a"), &route("epsv"), at(100 * DAY_S)).unwrap();
        assert_eq!(store.recall(&key("a"), at(DAY_S)).unwrap(), None);
    }

    #[test]
    fn only_the_step_that_failed_is_forgotten() {
        let (_folder, mut store) = store();
        store.remember(&key("a"), &route("epsv"), at(100)).unwrap();
        store.forget(&key("a"), "eprt").unwrap();
        assert_eq!(store.recall(&key("a"), at(100)).unwrap(), Some(route("epsv")));
        store.forget(&key("b"), "epsv").unwrap();
        store.forget(&key("a"), "epsv").unwrap();
        assert_eq!(store.recall(&key("a"), at(100)).unwrap(), None);
    }

    #[test]
    fn of_too_many_the_oldest_give_way() {
        let (_folder, mut store) = store();
        let max = i64::from(ROUTES_KEPT_MAX);
        // All but two rows of a full table, in one transaction.
        store
            .write(|transaction| {
                for number in 0..max - 2 {
                    let row = "INSERT INTO routes VALUES ($1, 21, 'x', 'x', 'x', 'epsv', '', FALSE, FALSE, 0, $2, $3, FALSE, '')";
                    transaction.execute(row, params![format!("old-{number}"), number, i64::MAX])?;
                }
                Ok(())
            })
            .unwrap();
        for number in 0..4 {
            store.remember(&key(&format!("new-{number}")), &route("epsv"), at(100)).unwrap();
        }
        assert_eq!(count(&store), max);
        let oldest = "SELECT MIN(seen_at) FROM routes";
        let oldest: i64 = store.read(|all| all.query_row(oldest, [], |row| row.get(0))).unwrap();
        assert_eq!(oldest, 2);
    }
}
