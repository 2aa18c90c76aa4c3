//! Servers whose listings show times without a time zone: the additional queries, and the results that depend on them
//! (S58).

use std::{path::Path, time::SystemTime};

use jiff::tz::TimeZone;

use super::{MirrorFixture, MirrorOptions, age, assert_same, fs, write};
use portolan_core::clock::Clock;
use portolan_testserver::ServerSetup;

/// No MLSD, so LIST.
const LISTS: [&str; 2] = ["no-mlsd", "no-mlst"];
const DAY_S: i64 = 24 * 3600;
/// Ages within this hour, in both halves of the year, and so great that only the day is listed.
const AGES_S: [i64; 7] =
    [3600, 20 * DAY_S, 60 * DAY_S, 120 * DAY_S, 170 * DAY_S, 300 * DAY_S, 1000 * DAY_S];

fn in_zone(plans: &[&str], zone: &str, clock_ahead_s: i64) -> MirrorFixture {
    MirrorFixture::with(plans, |setup| {
        let clock = match clock_ahead_s {
            0 => Clock::System,
            ahead => Clock::standing_at(Clock::System.now().as_second() + ahead),
        };
        ServerSetup { zone: TimeZone::get(zone).unwrap(), clock, ..setup }
    })
}

/// Creates files of all ages, in more than one packet of queries.
fn furnish(folder: &Path) -> u64 {
    for number in 0..70 {
        let age_s = AGES_S[number % AGES_S.len()] + 61 * i64::try_from(number).unwrap();
        let name = format!("{}/a name of some length {number}", number % 3);
        write(folder, &name, "bytes");
        age(&folder.join(name), age_s);
    }
    70
}

fn times(folder: &Path) -> Vec<(String, u64)> {
    let mut times = Vec::new();
    for number in 0..70 {
        let name = format!("{}/a name of some length {number}", number % 3);
        let time = fs::metadata(folder.join(&name)).unwrap().modified().unwrap();
        times.push((name, time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()));
    }
    times
}

#[tokio::test]
async fn s58_files_get_their_time_to_the_second_and_the_second_run_is_quiet_in_any_zone() {
    for (zone, clock_ahead_s) in [
        ("UTC", 0),
        ("Asia/Tokyo", 0),
        ("Pacific/Pago_Pago", 0),
        ("Europe/Berlin", 0),
        ("America/St_Johns", 0),
        ("UTC", 3 * DAY_S),
        ("Asia/Tokyo", -3 * DAY_S),
    ] {
        for is_up in [false, true] {
            let about = format!("{zone} {clock_ahead_s} {is_up}");
            let bench = in_zone(&LISTS, zone, clock_ahead_s);
            let (source, target) =
                if is_up { (bench.here(), bench.there()) } else { (bench.there(), bench.here()) };
            let files = furnish(&source);
            let rules = MirrorOptions::default();
            let run =
                async || if is_up { bench.up(&rules).await } else { bench.down(&rules).await };
            let report = run().await.unwrap();
            assert_eq!((report.uploaded + report.downloaded, report.failed), (files, 0), "{about}");
            assert_eq!(times(&source), times(&target), "{about}");
            let asked = bench.count("MDTM");
            if !is_up {
                assert_eq!(asked, 70, "each file once: {about}");
            }
            let report = run().await.unwrap();
            assert_eq!((report.unchanged, &report.plan[..]), (files, &[][..]), "{about}");
            if zone == "UTC" && clock_ahead_s == 0 {
                assert_eq!(bench.count("MDTM"), asked, "nothing hangs on it: {about}");
            }
            // The same size, and another time of the same day.
            let changed = source.join("1/a name of some length 1");
            fs::write(&changed, "BYTES").unwrap();
            age(&changed, AGES_S[1] + 2 * 3600 + 600);
            let report = run().await.unwrap();
            assert_eq!(report.uploaded + report.downloaded, 1, "{about}: {:?}", report.plan);
            assert_same(&source, &target);
            assert_eq!(run().await.unwrap().plan, [""; 0], "{about}");
        }
    }
}

#[tokio::test]
async fn s58_no_file_wins_as_the_newer_one_by_a_time_of_unknown_zone() {
    for (plans, gets_new) in
        [(&LISTS[..], true), (&["no-mlsd", "no-mlst", "reply=MDTM:502 No."], false)]
    {
        let bench = in_zone(plans, "Asia/Tokyo", 0);
        for (name, there_s, here_s) in [("newer there", 600, 7200), ("newer here", 7200, 600)] {
            write(&bench.there(), name, "theirs");
            write(&bench.here(), name, "ours too");
            age(&bench.there().join(name), there_s);
            age(&bench.here().join(name), here_s);
        }
        let rules = MirrorOptions { newer_only: true, ..MirrorOptions::default() };
        let report = bench.down(&rules).await.unwrap();
        // In UTC, each of the listed ones would be newer by hours.
        assert_eq!(report.downloaded, u64::from(gets_new), "{plans:?}: {:?}", report.plan);
        assert_eq!(fs::read(bench.here().join("newer here")).unwrap(), b"ours too", "{plans:?}");
    }
}

#[tokio::test]
async fn a_change_on_a_server_without_mlsd_is_drift_in_the_very_next_run() {
    for zone in ["UTC", "Europe/Berlin"] {
        let bench = in_zone(&LISTS, zone, 0).remembering();
        for name in ["one", "two"] {
            write(&bench.here(), name, "bytes");
        }
        bench.up(&MirrorOptions::default()).await.unwrap();
        fs::write(bench.there().join("one"), "BYTES").unwrap();
        age(&bench.there().join("one"), 600);
        let report = bench.up(&MirrorOptions::default()).await.unwrap();
        let drift = ["one: changed in the target since the last run, overwritten"];
        assert_eq!(
            (report.uploaded, &report.drift[..]),
            (1, &drift.map(String::from)[..]),
            "{zone}"
        );
        assert_same(&bench.here(), &bench.there());
        assert_eq!(bench.up(&MirrorOptions::default()).await.unwrap().plan, [""; 0], "{zone}");
    }
}

#[tokio::test]
async fn times_that_are_not_needed_are_asked_for_once_with_the_bytes() {
    let bench = in_zone(&LISTS, "UTC", 0);
    furnish(&bench.there());
    let rules = MirrorOptions { preserve_times: false, ..MirrorOptions::default() };
    assert_eq!(bench.down(&rules).await.unwrap().downloaded, 70);
    assert_eq!(bench.down(&rules).await.unwrap().unchanged, 70);
    assert_eq!(bench.count("MDTM"), 70);
}
