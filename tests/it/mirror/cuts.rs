//! The campaigns R1 and R2 against vsftpd, through a proxy that cuts one data connection at a random byte, by a close
//! or a reset.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use portolan::{
    error::Result,
    ftp::{
        proxy::Proxy,
        secret::Secret,
        session::{RunContext, Session},
        site::Site,
    },
    mirror::{self, MirrorOptions, report::Report},
};

use super::campaign::{Draw, OLD, look_on, new_bytes, parts, play};
use crate::support::{
    cutter::{Cut, Cutter},
    rehearsal::{path, run},
    rounds::rounds,
    server::{Kind, Options, RealServer},
};

/// A directory of the server with a proxy to it, for one round at a time.
struct Lane {
    name: String,
    there: PathBuf,
    site: Site,
    cutter: Cutter,
}

/// Returns as many lanes as there are concurrent rounds; `None` if there is no vsftpd.
fn lanes() -> Option<(RealServer, Mutex<Vec<Lane>>)> {
    let server = RealServer::start(Kind::Vsftpd, &Options::default())?;
    let port = server.address().port();
    let mut lanes = Vec::new();
    for number in 0..16 {
        let name = format!("lane{number}");
        let there = server.root().join(&name);
        fs::create_dir(&there).unwrap();
        fs::set_permissions(&there, fs::Permissions::from_mode(0o777)).unwrap();
        let cutter = Cutter::start(port);
        let mut site = Site::new("127.0.0.1");
        site.port = port;
        site.user = RealServer::USER.into();
        site.password = Some(Secret::new(RealServer::PASSWORD));
        site.proxy = Some(Proxy::parse(&cutter.url()).unwrap());
        lanes.push(Lane { name, there, site, cutter });
    }
    server.own_all();
    Some((server, Mutex::new(lanes)))
}

/// Mirrors one file of `size` bytes, while a data connection is cut at some point.
fn mirrored(
    lane: &Lane,
    draw: &mut Draw,
    size: u64,
    here: &std::path::Path,
    is_up: bool,
) -> (String, Result<Report>) {
    // The first is usually that of the listing.
    let cut = Cut {
        connection: draw.one_of(&[0, 1, 1, 1, 1, 2]),
        times: draw.one_of(&[1, 1, 2]),
        bytes: draw.below(size + 1),
        is_reset: draw.below(2) == 0,
    };
    let resume = draw.below(4) == 0;
    lane.cutter.cut(cut);
    let remote = path(&format!("/{}", lane.name));
    let report = run(async {
        let mut session = Session::open(lane.site.clone(), RunContext::default()).await?;
        let rules = MirrorOptions { retries: 1, resume, ..MirrorOptions::default() };
        if is_up {
            mirror::up(&mut session, None, here, &remote, &rules, false).await
        } else {
            mirror::down(&mut session, None, &remote, here, &rules, false).await
        }
    });
    (format!("{cut:?}, resume {resume}, {size} bytes: {report:?}"), report)
}

#[test]
fn r1_the_same_from_vsftpd() {
    let Some((_server, lanes)) = lanes() else { return };
    play("R1 with vsftpd", rounds(100), |draw, number| {
        let lane = lanes.lock().unwrap().pop().unwrap();
        let new = new_bytes(number, draw.below(200_000) + 10);
        fs::write(lane.there.join("a"), &new).unwrap();
        let here = tempfile::tempdir().unwrap();
        fs::write(here.path().join("a"), OLD).unwrap();
        let (about, report) = mirrored(&lane, draw, new.len() as u64, here.path(), false);
        let found = fs::read(here.path().join("a")).unwrap();
        let is_done = report.as_ref().is_ok_and(|report| report.downloaded == 1);
        assert!(found == if is_done { &new[..] } else { OLD }, "round {number}, {about}");
        assert!(
            is_done || report.is_err() || report.unwrap().failed > 0,
            "round {number}, {about}"
        );
        assert!(
            about.contains("resume true") || parts(here.path()) == 0,
            "round {number}, {about}"
        );
        lanes.lock().unwrap().push(lane);
    });
}

#[test]
fn r2_the_same_to_vsftpd() {
    let Some((_server, lanes)) = lanes() else { return };
    play("R2 with vsftpd", rounds(60), |draw, number| {
        let lane = lanes.lock().unwrap().pop().unwrap();
        let new = new_bytes(number, draw.below(200_000) + 10);
        let there = lane.there.join("a");
        fs::write(&there, OLD).unwrap();
        let here = tempfile::tempdir().unwrap();
        fs::write(here.path().join("a"), &new).unwrap();
        let over = AtomicBool::new(false);
        let ((about, report), seen) = thread::scope(|scope| {
            let looking = scope.spawn(|| look_on(&there, OLD, &new, &over));
            let done = mirrored(&lane, draw, new.len() as u64, here.path(), true);
            over.store(true, Ordering::Relaxed);
            (done, looking.join().unwrap())
        });
        assert_eq!(seen, Ok(()), "a second client saw other bytes: round {number}, {about}");
        let found = fs::read(&there).unwrap();
        let is_done = report.as_ref().is_ok_and(|report| report.uploaded == 1);
        assert!(found == new || !is_done && found == OLD, "round {number}, {about}");
        assert!(
            is_done || report.is_err() || report.unwrap().failed > 0,
            "round {number}, {about}"
        );
        lanes.lock().unwrap().push(lane);
    });
}
