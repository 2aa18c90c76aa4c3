//! The suite that every database passes: each of its tests is one for SQLite and two for PostgreSQL, with prepared
//! statements and without.

use super::Store;

/// Makes tests of functions that take a new store.
macro_rules! conformance {
    ($($test:ident),* $(,)?) => {
        mod on_sqlite {
            $(
                #[test]
                fn $test() {
                    $crate::conformance::on_sqlite(super::$test);
                }
            )*
        }

        #[cfg(feature = "postgres")]
        mod on_pooled_postgres {
            $(
                #[test]
                fn $test() {
                    $crate::conformance::on_pooled_postgres(super::$test);
                }
            )*
        }

        #[cfg(feature = "postgres")]
        mod on_postgres {
            $(
                #[test]
                fn $test() {
                    $crate::conformance::on_postgres(super::$test);
                }
            )*
        }
    };
}
pub(crate) use conformance;

/// Runs a test with a new store in SQLite.
pub(crate) fn on_sqlite(test: impl FnOnce(&mut Store)) {
    let folder = tempfile::tempdir().unwrap();
    test(&mut Store::open(folder.path()).unwrap());
}

/// Runs a test with a new store in PostgreSQL, if there is a server here.
#[cfg(feature = "postgres")]
pub(crate) fn on_postgres(test: impl FnOnce(&mut Store)) {
    let Some(database) = crate::postgres::test_server::new_database() else { return };
    test(&mut Store::connect(&database.settings()).unwrap());
}

/// Works like [`on_postgres`], with the statements as they are where a pooler shares the sessions of the server.
#[cfg(feature = "postgres")]
pub(crate) fn on_pooled_postgres(test: impl FnOnce(&mut Store)) {
    let Some(database) = crate::postgres::test_server::new_database() else { return };
    test(&mut Store::connect(&database.settings().pooled()).unwrap());
}
