//! Data connections: every mode, and from the one that fails to the one that works.

use super::{bench, round_trip};
use crate::ftp::site::Mode;

#[tokio::test]
async fn a_file_goes_up_and_comes_down_in_every_mode_plain_and_protected() {
    for tls in [false, true] {
        for (mode, route) in [(Mode::Passive, "epsv"), (Mode::Active, "eprt")] {
            let mut bench = bench(&[], tls);
            bench.site.mode = mode;
            let session = round_trip(&bench).await.unwrap();
            assert_eq!(session.route(), route);
            assert!(bench.folder.path().join("a/b/x y").exists());
            session.close().await;
        }
    }
}

#[tokio::test]
async fn the_session_goes_over_to_the_mode_that_works() {
    for (plan, mode, route) in [
        ("pasv-refused", Mode::Passive, "eprt"),
        ("epsv-refused", Mode::Passive, "pasv"),
        ("eprt-refused", Mode::Active, "port"),
        ("active-refused", Mode::Active, "epsv"),
        ("active-425", Mode::Active, "epsv"),
        ("active-late-425", Mode::Active, "epsv"),
        ("pasv-dead", Mode::Passive, "eprt"),
        ("pasv-nonsense", Mode::Passive, "eprt"),
    ] {
        let mut bench = bench(&[plan], false);
        bench.site.mode = mode;
        let session = round_trip(&bench)
            .await
            .unwrap_or_else(|fault| panic!("{plan}: {fault}\n{:#?}", bench.server.log()));
        assert_eq!(session.route(), route, "{plan}");
    }
}
