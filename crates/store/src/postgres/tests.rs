use super::{
    test_server::{TestDatabase, new_database},
    *,
};
use crate::{Store, fleet::WorkerRecord, history::Health};
use jiff::Timestamp;
use portolan_core::error::ErrorKind;

/// Returns the error of an attempt to use the store at an address, which has `PORT` and `NAME` in it.
fn refused(database: &TestDatabase, address: &str) -> (ErrorKind, String) {
    let address = address.replace("PORT", &database.port.to_string());
    let address = address.replace("NAME", &database.name);
    let fault = PostgresSettings::parse(&address).and_then(|it| Store::connect(&it)).unwrap_err();
    (fault.kind, fault.to_string())
}

#[test]
fn a_store_that_cannot_be_used_is_one_clear_error() {
    let Some(database) = new_database() else { return };
    let store = Store::connect(&database.settings()).unwrap();
    store
        .query(|sql| sql.batch("CREATE ROLE nobody_may NOLOGIN; CREATE ROLE guest LOGIN"))
        .unwrap();
    for (address, kind, words) in [
        (
            "postgres://portolan@127.0.0.1:1/NAME?sslmode=disable",
            ErrorKind::Unreachable,
            "Connection refused",
        ),
        (
            "postgres://portolan@127.0.0.1:PORT/elsewhere?sslmode=disable",
            ErrorKind::NotFound,
            "database \"elsewhere\" does not exist; `createdb` makes it",
        ),
        (
            "postgres://nobody_may:secret@127.0.0.1:PORT/NAME?sslmode=disable",
            ErrorKind::Denied,
            "is not permitted to log in",
        ),
        // A database of another role: it may connect, and nothing else.
        (
            "postgres://guest@127.0.0.1:PORT/NAME?sslmode=disable",
            ErrorKind::Denied,
            "the role needs the right to create tables",
        ),
    ] {
        let (found, text) = refused(&database, address);
        assert!(text.contains(words) && !text.contains("secret"), "{address}: {text}");
        assert_eq!(found, kind, "{address}: {text}");
        assert!(text.starts_with("postgres://"), "{text}");
    }
}

#[test]
fn a_server_is_believed_only_with_a_certificate_for_its_name() {
    let Some(database) = new_database() else { return };
    let own = database.certificate.display().to_string();
    let address = |host: &str, roots: &str| {
        format!("postgres://portolan@{host}:{}/{}?{roots}", database.port, database.name)
    };
    let with_own = format!("sslrootcert={own}");
    let good = format!("{}&hostaddr=127.0.0.1", address("localhost", &with_own));
    Store::connect(&PostgresSettings::parse(&good).unwrap()).unwrap();
    for address in [
        // A name that the certificate does not have, and an authority that is not trusted.
        address("127.0.0.1", &with_own),
        format!("{}&hostaddr=127.0.0.1", address("localhost", "sslmode=verify-full")),
    ] {
        let (kind, text) = refused(&database, &address);
        assert_eq!(kind, ErrorKind::Tls, "{address}: {text}");
        assert!(text.contains("certificate"), "{text}");
    }
}

#[test]
fn a_store_of_a_newer_portolan_is_refused_and_left_alone() {
    let Some(database) = new_database() else { return };
    let store = Store::connect(&database.settings()).unwrap();
    store.query(|sql| sql.execute("INSERT INTO migrations (number) VALUES (999)", &[])).unwrap();
    let fault = Store::connect(&database.settings()).unwrap_err();
    assert!(fault.message.contains("a newer portolan wrote it (its schema is 999"), "{fault}");
    assert!(fault.message.ends_with("use that one"), "{fault}");
}

#[test]
fn many_may_open_a_new_store_at_once() {
    let Some(database) = new_database() else { return };
    std::thread::scope(|scope| {
        let open = || scope.spawn(|| Store::connect(&database.settings()).map(drop));
        let all: Vec<_> = (0..8).map(|_| open()).collect();
        for one in all {
            one.join().unwrap().unwrap();
        }
    });
}

#[test]
fn the_release_of_the_leader_is_forgotten_when_the_last_two_machines_leave_at_once() {
    let Some(database) = new_database() else { return };
    let mut store = Store::connect(&database.settings()).unwrap();
    let mut others = [0, 1].map(|_| Store::connect(&database.settings()).unwrap());
    for round in 0..20 {
        let boots = ["one", "two"].map(|name| {
            let worker = WorkerRecord { name: name.into(), ..WorkerRecord::default() };
            (name, store.register_worker(&worker).unwrap())
        });
        let lease = store.take_lease("one", &store.lease().unwrap()).unwrap().unwrap();
        assert!(store.lead_with(&lease, "r1").unwrap());
        store.release_lease(&lease).unwrap();
        let start = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for (other, (name, boot)) in others.iter_mut().zip(boots) {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    other.remove_worker(name, boot).unwrap();
                });
            }
        });
        assert_eq!(store.lease().unwrap().release, "", "round {round}");
    }
}

/// Ends all other connections with the database, as a server that is restarted does.
fn disconnect(store: &Store) {
    let query = "SELECT COUNT(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let ended: Option<i64> = store.query(|sql| sql.value(query, &[])).unwrap();
    assert!(ended > Some(0));
}

#[test]
fn a_connection_that_broke_is_made_anew_but_not_in_the_middle_of_a_transaction() {
    let Some(database) = new_database() else { return };
    let mut store = Store::connect(&database.settings()).unwrap();
    let other = Store::connect(&database.settings()).unwrap();
    store.pause("a", None, Timestamp::UNIX_EPOCH).unwrap();
    disconnect(&other);
    assert_eq!(store.job_states().unwrap()[0].health, Health::Unknown);
    disconnect(&other);
    store.pause("b", None, Timestamp::UNIX_EPOCH).unwrap();
    let put = "INSERT INTO job_states (job, revision, health) VALUES ($1, '', 'unknown')";
    let cut = store.transact(|sql| {
        sql.execute(put, &values!["c"])?;
        disconnect(&other);
        sql.execute(put, &values!["d"])
    });
    assert_eq!(cut.unwrap_err().kind, ErrorKind::Unreachable);
    let jobs: Vec<_> = store.job_states().unwrap().into_iter().map(|state| state.job).collect();
    assert_eq!(jobs, ["a", "b"]);
}

#[test]
fn what_belongs_to_one_host_is_not_in_a_store_of_many() {
    let Some(database) = new_database() else { return };
    let store = Store::connect(&database.settings()).unwrap();
    let fault = store.script_value("a", "b").unwrap_err();
    assert_eq!(fault.kind, ErrorKind::Unsupported);
    assert!(fault.to_string().contains("in the state folder of each host"), "{fault}");
}

#[test]
fn what_one_process_writes_wakes_the_leader_and_the_worker_that_it_is_for() {
    let Some(database) = new_database() else { return };
    let mut store = Store::connect(&database.settings()).unwrap();
    let place = crate::StorePlace::Server(Box::new(database.settings()));
    let listen = |worker: &str| {
        let (tell, news) = std::sync::mpsc::channel();
        let listener = place.listen(worker, move |one| drop(tell.send(one))).unwrap().unwrap();
        assert_eq!(news.recv_timeout(Duration::from_secs(20)), Ok(crate::StoreNews::Open));
        (listener, news)
    };
    let now = Timestamp::UNIX_EPOCH;
    let (first, of_first) = listen("one");
    let (_second, of_second) = listen("two");
    let wait = Duration::from_secs(20);
    // Nobody leads yet.
    store.ask("a", now).unwrap();
    store.wake_worker("one").unwrap();
    assert_eq!(of_first.recv_timeout(wait), Ok(crate::StoreNews::Worker));
    first.set_leader(true);
    // An order that was not taken yet comes before what is heard.
    let mut heard = None;
    for _ in 0..50 {
        store.pause("a", None, now).unwrap();
        heard = of_first.recv_timeout(Duration::from_millis(200)).ok();
        if heard.is_some() {
            break;
        }
    }
    assert_eq!(heard, Some(crate::StoreNews::Leader));
    store.wake_worker("two").unwrap();
    assert_eq!(of_second.recv_timeout(wait), Ok(crate::StoreNews::Worker));
    assert!(of_second.try_recv().is_err());
    // A listener whose connection breaks says so, and listens again.
    let end = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE application_name = 'portolan listen'";
    while of_first.try_recv().is_ok() {}
    store.query(|sql| sql.query(end, &[])).unwrap();
    assert!(matches!(of_first.recv_timeout(wait), Ok(crate::StoreNews::Lost(_))));
    assert_eq!(of_first.recv_timeout(wait), Ok(crate::StoreNews::Open));
    store.ask("a", now).unwrap();
    assert_eq!(of_first.recv_timeout(wait), Ok(crate::StoreNews::Leader));
}

#[test]
fn statements_are_prepared_unless_a_pooler_shares_the_sessions() {
    let Some(database) = new_database() else { return };
    let prepared = |settings: &PostgresSettings| {
        let count = "SELECT count(*) AS number FROM pg_prepared_statements";
        let store = Store::connect(settings).unwrap();
        let count = store.query(|sql| sql.first(count, &[], |row| row.get::<i64>("number")));
        count.unwrap().unwrap()
    };
    let own = database.certificate.display().to_string();
    let (port, name) = (database.port, &database.name);
    let with_tls =
        format!("postgres://portolan@localhost:{port}/{name}?sslrootcert={own}&hostaddr=127.0.0.1");
    let settings = || database.settings();
    assert!(prepared(&settings()) > 0);
    assert!(prepared(&PostgresSettings::parse(&with_tls).unwrap()) > 0);
    assert_eq!(prepared(&settings().pooled()), 0);
}
