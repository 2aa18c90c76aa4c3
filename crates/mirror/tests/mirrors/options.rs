//! Options of mirrors: patterns, bounds, caps, trash, comparison by content, plans that are applied later.

use std::time::Duration;

use super::{MirrorFixture, MirrorOptions, age, assert_same, deleting, fs, remote, shown, write};
use portolan_core::{clock::Clock, error::ErrorKind};
use portolan_mirror as mirror;
use portolan_mirror::{Compare, MirrorPlan, Quotas, SizeAgeFilter};

#[tokio::test]
async fn the_file_with_patterns_holds_for_both_sides_and_stays_where_it_is() {
    for is_up in [true, false] {
        let bench = MirrorFixture::new(&[]);
        let (source, target) =
            if is_up { (bench.here(), bench.there()) } else { (bench.there(), bench.here()) };
        write(&bench.here(), ".portolanignore", "*.map\n!keep.map\nold/\n");
        for name in ["a.css", "a.map", "keep.map", "old/x"] {
            write(&source, name, "x");
        }
        for name in ["b.map", "gone"] {
            write(&target, name, "y");
        }
        let report =
            if is_up { bench.up(&deleting()).await } else { bench.down(&deleting()).await };
        let report = report.unwrap();
        assert_eq!((report.uploaded + report.downloaded, report.deleted), (2, 1), "{is_up}");
        for (name, is_there) in
            [("a.css", true), ("keep.map", true), ("a.map", false), ("b.map", true), ("old", false)]
        {
            assert_eq!(target.join(name).exists(), is_there, "{name} {is_up}");
        }
        assert_eq!(target.join(".portolanignore").exists(), !is_up);
    }
}

#[tokio::test]
async fn levels_below_the_depth_are_neither_sent_nor_deleted() {
    for (is_up, levels) in [(true, 1), (false, 1), (true, 2), (false, 2)] {
        let bench = MirrorFixture::new(&[]);
        let (source, target) =
            if is_up { (bench.here(), bench.there()) } else { (bench.there(), bench.here()) };
        let new = [("a", 1), ("d/b", 2), ("d/e/c", 3)];
        let extra = [("gone", 1), ("d/gone", 2), ("f/g/gone", 3)];
        for (name, _) in new {
            write(&source, name, "new");
        }
        for (name, _) in extra {
            write(&target, name, "old");
        }
        let rules = MirrorOptions { max_depth: Some(levels), ..deleting() };
        let report = if is_up { bench.up(&rules).await } else { bench.down(&rules).await };
        let report = report.unwrap();
        let count = u64::from(levels);
        let moved = report.uploaded + report.downloaded;
        assert_eq!((moved, report.deleted), (count, count), "{is_up} {levels}");
        for (name, depth) in new {
            assert_eq!(target.join(name).exists(), depth <= levels, "{name} {is_up} {levels}");
        }
        for (name, depth) in extra {
            assert_eq!(target.join(name).exists(), depth > levels, "{name} {is_up} {levels}");
        }
    }
}

#[tokio::test]
async fn files_out_of_bounds_are_neither_sent_nor_deleted() {
    let now = Clock::System.now();
    let bounds = SizeAgeFilter {
        min_size: Some(2),
        max_size: Some(4),
        after: Some(SizeAgeFilter::ago(now, Duration::from_hours(24))),
        before: None,
    };
    let rules = MirrorOptions { bounds, ..deleting() };
    let bench = MirrorFixture::new(&[]);
    for (name, text) in [("small", "1"), ("fits", "333"), ("large", "55555"), ("old", "333")] {
        write(&bench.here(), name, text);
        write(&bench.there(), format!("extra {name}"), text);
    }
    age(&bench.here().join("old"), 90_000);
    age(&bench.there().join("extra old"), 90_000);
    // A local file within the bounds replaces whatever is there.
    write(&bench.there(), "fits", "much too large");
    let report = bench.up(&rules).await.unwrap();
    assert_eq!((report.uploaded, report.deleted, report.skipped), (1, 1, 3));
    assert!(!bench.there().join("extra fits").exists());
    assert_eq!(fs::read(bench.there().join("fits")).unwrap(), b"333");
}

#[tokio::test]
async fn s50_a_run_that_would_go_beyond_its_caps_does_nothing() {
    for (caps, message) in [
        (
            Quotas { max_file_size: Some(4), ..Quotas::default() },
            "it has 5 bytes, and `max_file_size` is 4: nothing was changed",
        ),
        (
            Quotas { max_total: Some(7), ..Quotas::default() },
            "8 bytes would move, and `max_total` is 7: nothing was changed",
        ),
        (Quotas { min_free: Some(u64::MAX), ..Quotas::default() }, "`min_free` is"),
    ] {
        let bench = MirrorFixture::new(&[]);
        write(&bench.there(), "a", "55555");
        write(&bench.there(), "b", "333");
        let before = bench.all();
        let fault = bench.down(&MirrorOptions { caps, ..deleting() }).await.unwrap_err();
        assert_eq!(fault.kind, ErrorKind::Guard);
        assert!(fault.message.contains(message), "{fault}");
        assert_eq!(bench.changes(&before), []);
        let caps = Quotas { max_file_size: Some(5), max_total: Some(8), min_free: Some(1) };
        assert_eq!(bench.down(&MirrorOptions { caps, ..deleting() }).await.unwrap().downloaded, 2);
    }
}

#[tokio::test]
async fn s50_a_file_of_unknown_size_ends_at_the_cap_and_nothing_of_it_stays() {
    let plans = ["listing=type=cdir; .\\r\\ntype=file; endless", "reply=SIZE:502 No."];
    let bench = MirrorFixture::new(&plans);
    write(&bench.there(), "endless", vec![7; 600_000]);
    let caps = Quotas { max_file_size: Some(100_000), ..Quotas::default() };
    let report = bench.down(&MirrorOptions { caps, ..deleting() }).await.unwrap();
    assert_eq!((report.downloaded, report.failed), (0, 1));
    assert_eq!(report.errors[0].kind, ErrorKind::Guard, "{}", report.errors[0]);
    assert_eq!(fs::read_dir(bench.here()).unwrap().count(), 0);
    let caps = Quotas { max_file_size: Some(600_000), ..Quotas::default() };
    assert_eq!(
        bench.down(&MirrorOptions { caps, ..MirrorOptions::default() }).await.unwrap().downloaded,
        1
    );
}

#[tokio::test]
async fn what_goes_is_kept_in_the_trash_and_nothing_there_is_lost() {
    for (is_up, trash) in [(true, "old files"), (true, "/trash"), (false, "old files")] {
        let bench = MirrorFixture::new(&[]);
        let (source, target) =
            if is_up { (bench.here(), bench.there()) } else { (bench.there(), bench.here()) };
        write(&source, "stays", "x");
        let rules = MirrorOptions { trash: Some(trash.to_owned()), ..deleting() };
        let bin = match trash.strip_prefix('/') {
            Some(name) => bench.there().parent().unwrap().join(name),
            None => target.join(trash),
        };
        for text in ["first", "second"] {
            write(&target, "gone", text);
            write(&target, "sub/gone", text);
            let report = if is_up { bench.up(&rules).await } else { bench.down(&rules).await };
            let report = report.unwrap();
            assert_eq!((report.failed, report.deleted), (0, 3), "{:?}", report.errors);
            assert!(!target.join("gone").exists() && !target.join("sub").exists());
        }
        assert_eq!(fs::read(bin.join("gone")).unwrap(), b"first");
        assert_eq!(fs::read(bin.join("sub/gone")).unwrap(), b"first");
        for folder in [bin.clone(), bin.join("sub")] {
            let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
            let second =
                names.filter(|entry| entry.file_name().to_string_lossy().starts_with("gone~"));
            let texts: Vec<_> = second.map(|entry| fs::read(entry.path()).unwrap()).collect();
            assert_eq!(texts, [b"second"]);
        }
        // The trash itself is no part of the mirror.
        let report = if is_up { bench.up(&rules).await } else { bench.down(&rules).await };
        assert_eq!(report.unwrap().plan, [""; 0]);
    }
}

#[tokio::test]
async fn s59_content_decides_where_that_is_asked_for() {
    for plans in [&[][..], &["reply=HASH:550 No."], &["no-hash"]] {
        for is_up in [true, false] {
            let bench = MirrorFixture::new(plans);
            let (source, target) =
                if is_up { (bench.here(), bench.there()) } else { (bench.there(), bench.here()) };
            for (name, text) in [("same", "bytes"), ("other", "bytes"), ("longer", "bytes more")] {
                write(&source, name, text);
            }
            for (name, text) in [("same", "bytes"), ("other", "BYTES"), ("longer", "bytes")] {
                write(&target, name, text);
                age(&target.join(name), 90_000);
            }
            let time = fs::metadata(source.join("other")).unwrap().modified().unwrap();
            fs::File::open(target.join("other")).unwrap().set_modified(time).unwrap();
            let rules = MirrorOptions { compare: Compare::Checksum, ..MirrorOptions::default() };
            let run =
                async || if is_up { bench.up(&rules).await } else { bench.down(&rules).await };
            let report = run().await.unwrap();
            let moved: Vec<_> = report.plan.iter().map(|line| line.split("  ").nth(1)).collect();
            assert_eq!(moved, [Some("longer"), Some("other")], "{plans:?} {is_up}");
            assert_eq!((report.unchanged, report.failed), (1, 0));
            assert_eq!(run().await.unwrap().unchanged, 3);
            assert_same(&source, &target);
        }
    }
}

#[tokio::test]
async fn s43_what_cannot_be_seen_to_have_arrived_is_said_and_nothing_is_deleted() {
    let silent = ["reply=SIZE:502 No.", "listing=type=cdir; ."];
    let bench = MirrorFixture::new(&silent);
    write(&bench.here(), "a", "bytes");
    let report = bench.up(&MirrorOptions::default()).await.unwrap();
    assert_eq!(
        (report.uploaded, report.unverified, report.failed),
        (1, 1, 0),
        "{:?}",
        report.errors
    );
    let report =
        bench.up(&MirrorOptions { verify: Some(true), ..MirrorOptions::default() }).await.unwrap();
    assert_eq!((report.unverified, report.failed), (1, 1));
    let report = bench.up(&deleting()).await.unwrap();
    assert!(report.failed >= 1 && report.deleted == 0);
    // A listing shows it as well as SIZE.
    let bench = MirrorFixture::new(&["reply=SIZE:502 No."]);
    write(&bench.here(), "a", "bytes");
    let report = bench.up(&deleting()).await.unwrap();
    assert_eq!((report.verified, report.unverified, report.failed), (1, 0, 0));
}

/// A change made to one side.
type SideChange = fn(&MirrorFixture);

#[tokio::test]
async fn a_plan_is_done_later_unless_either_side_has_changed() {
    let bench = MirrorFixture::new(&[]);
    for name in ["a", "sub/b"] {
        write(&bench.here(), name, "bytes");
    }
    write(&bench.there(), "a", "other bytes");
    write(&bench.there(), "extra", "y");
    let mut session = bench.session().await;
    let (here, there) = (bench.here(), remote("/in"));
    let plan = mirror::plan_up(&mut session, None, &here, &there, &deleting()).await.unwrap();
    let saved = plan.to_json();
    let read = MirrorPlan::from_json(&saved).unwrap();
    assert_eq!((read.lines(), read.to_json()), (plan.lines(), saved.clone()));

    let changes: [(&str, SideChange); 4] = [
        ("a", |bench| write(&bench.here(), "a", "longer than before")),
        ("a", |bench| write(&bench.there(), "a", "yet others")),
        ("extra", |bench| fs::remove_file(bench.there().join("extra")).unwrap()),
        ("more", |bench| write(&bench.here(), "more", "x")),
    ];
    for (path, change) in changes {
        let other = MirrorFixture::new(&[]);
        for (from, to) in [(bench.here(), other.here()), (bench.there(), other.there())] {
            copy(&from, &to);
        }
        let mut session = other.session().await;
        let plan =
            mirror::plan_up(&mut session, None, &other.here(), &there, &deleting()).await.unwrap();
        change(&other);
        let before = other.all();
        let fault = mirror::apply(&mut session, None, &plan).await.unwrap_err();
        assert_eq!(
            (fault.kind, fault.path.as_deref()),
            (ErrorKind::Refused, Some(path)),
            "{fault}"
        );
        assert_eq!(other.changes(&before), []);
    }

    let report = mirror::apply(&mut session, None, &read).await.unwrap();
    assert_eq!((report.uploaded, report.deleted, report.failed), (2, 1, 0));
    assert_same(&bench.here(), &bench.there());
    // Once applied, it is no plan of the current state any more.
    let fault = mirror::apply(&mut session, None, &read).await.unwrap_err();
    assert_eq!(fault.kind, ErrorKind::Refused);
    let mut elsewhere = MirrorFixture::new(&[]).session().await;
    let fault = mirror::apply(&mut elsewhere, None, &read).await.unwrap_err();
    assert_eq!(fault.kind, ErrorKind::Invalid);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for name in ["a", "sub/b", "extra"] {
        if let Ok(bytes) = fs::read(from.join(name)) {
            write(to, name, bytes);
        }
    }
}

#[test]
fn what_is_no_plan_is_refused_with_the_reason() {
    for (text, why) in [("", "EOF while parsing"), ("{}", "missing field"), ("7", "invalid type")] {
        let fault = MirrorPlan::from_json(text).unwrap_err();
        assert_eq!(fault.kind, ErrorKind::Invalid);
        assert!(fault.message.starts_with("this is not a plan of portolan: "), "{fault}");
        assert!(fault.message.contains(why), "{fault}");
    }
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_remembers_nothing() {
    let bench = MirrorFixture::new(&[]).remembering();
    write(&bench.here(), "a", "bytes");
    let before = bench.all();
    let mut session = bench.session().await;
    let (here, there) = (bench.here(), remote("/in"));
    let report =
        mirror::up(&mut session, bench.states().as_ref(), &here, &there, &deleting(), true)
            .await
            .unwrap();
    assert_eq!((report.plan.len(), report.uploaded), (1, 0));
    let changes = shown(&bench.changes(&before));
    assert!(changes.iter().all(|line| line.contains(" state")), "{changes:?}");
    assert!(bench.up(&deleting()).await.unwrap().drift.is_empty());
}
