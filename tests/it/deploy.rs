//! `portolan deploy` and `rollback`: what they send, delete, leave alone, undo and restore.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, AtomicU16, Ordering},
    time::Duration,
};

use rustix::process::Signal;

use crate::support::{
    program::{Portolan, Ran},
    rehearsal::Rehearsal,
    server::{Kind, Options, RealServer},
    wait,
};

/// Files by their paths.
type Files = BTreeMap<String, Vec<u8>>;

fn files(all: &[(&str, &str)]) -> Files {
    all.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

/// Returns every file below `top`, without those of portolan.
fn tree(top: &Path) -> Files {
    let (mut found, mut waiting) = (Files::new(), vec![top.to_owned()]);
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.map(Result::unwrap) {
            if entry.file_name().to_str().unwrap().starts_with(".portolan-") {
                continue;
            }
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

/// Calls `test` with each of the real servers.
fn each(mut test: impl FnMut(&RealServer)) {
    for kind in Kind::ALL {
        let Some(server) = RealServer::start(kind, &Options::default()) else { continue };
        test(&server);
    }
}

/// Returns the program in a fresh folder in which `dist` has these files: a new checkout.
fn checkout(site: &Files) -> Portolan {
    let program = Portolan::new().env("PORTOLAN_PASSWORD", RealServer::PASSWORD);
    site.iter().fold(program, |program, (path, bytes)| program.file(format!("dist/{path}"), bytes))
}

fn deployment(server: &RealServer, site: &Files, flags: &[&str]) -> Portolan {
    let url = server.url() + "htdocs";
    checkout(site).args(["deploy"]).args(flags.iter().copied()).args(["dist", &url])
}

fn deploy(server: &RealServer, site: &Files, flags: &[&str]) -> Ran {
    deployment(server, site, flags).run().any_stderr()
}

fn rollback(server: &RealServer, flags: &[&str]) -> Ran {
    let url = server.url() + "htdocs";
    let program = Portolan::new().env("PORTOLAN_PASSWORD", RealServer::PASSWORD);
    program.args(["rollback"]).args(flags.iter().copied()).args([&url]).run().any_stderr()
}

/// Returns a site of `chunks` files with hashed names, and pages that name them.
fn built(number: usize, chunks: usize) -> Files {
    let mut site = files(&[
        ("index.html", &format!("<p>build {number}")),
        ("about.html", "<p>about"),
        ("robots.txt", "User-agent: *"),
        ("favicon.ico", "icon"),
        ("site.webmanifest", "{}"),
    ]);
    for chunk in 0..chunks {
        site.insert(
            format!("assets/chunk-{chunk}-{number:x}.js"),
            format!("{number}:{chunk}").into(),
        );
    }
    site
}

#[test]
fn files_of_visitors_and_of_the_host_survive_ten_deployments() {
    each(|server| {
        let foreign = files(&[
            ("uploads/photo.jpg", "a photo"),
            ("uploads/2026/other.jpg", "another"),
            (".well-known/acme-challenge/token", "token"),
            (".user.ini", "memory_limit=1"),
            ("assets/by-hand.js", "by hand"),
        ]);
        for (path, bytes) in &foreign {
            server.file(&format!("htdocs/{path}"), bytes);
        }
        fs::create_dir(server.root().join("htdocs/cache")).unwrap();
        server.own_all();
        for number in 0..10 {
            let mut site = built(number, 3 + number % 3);
            site.insert(format!("only-{number}/page.html"), b"x".to_vec());
            deploy(server, &site, &[]).stdout_has(" sent (");
            let wanted: Files = foreign.clone().into_iter().chain(site).collect();
            assert_eq!(tree(&server.root().join("htdocs")), wanted, "{number}");
        }
        assert!(server.root().join("htdocs/cache").is_dir(), "a folder of others is gone");
        assert!(!server.root().join("htdocs/only-8").exists(), "a deployed folder stays");
        let site = built(10, 3);
        deploy(server, &site, &["--delete-unknown", "--max-delete", "100"]).any_stdout();
        assert_eq!(tree(&server.root().join("htdocs")), site);
    });
}

#[test]
fn a_build_in_which_most_names_change_is_deployed_at_once() {
    each(|server| {
        deploy(server, &built(1, 30), &[]).stdout_has("35 files sent");
        let ran = deploy(server, &built(2, 30), &[]);
        ran.stdout_has("31 files sent").stdout_has("30 deleted, 4 unchanged\n");
        assert_eq!(tree(&server.root().join("htdocs")), built(2, 30));
        // The same build from another checkout, with other times.
        wait::until(Duration::from_millis(1100), || None::<()>);
        deploy(server, &built(2, 30), &[]).stdout("0 files sent (0 B), 0 deleted, 35 unchanged\n");
        // Files of others count for the guard, unless a number is named.
        for number in 0..40 {
            server.file(&format!("htdocs/uploads/{number}"), "x");
        }
        server.own_all();
        let ran = deploy(server, &built(2, 30), &["--delete-unknown"]).fails_with(7);
        drop(ran.any_stdout());
        let ran = deploy(server, &built(2, 30), &["--delete-unknown", "--max-delete", "3"]);
        drop(ran.fails_with(7).any_stdout());
        let flags = ["--delete-unknown", "--max-delete", "1000"];
        deploy(server, &built(2, 30), &flags).stdout_has("41 deleted");
        let ran = deploy(server, &Files::new(), &[]);
        drop(ran.fails_with(2).any_stdout());
    });
}

#[test]
fn the_state_is_beside_the_document_root_and_for_its_owner_alone() {
    each(|server| {
        deploy(server, &built(1, 3), &[]).any_stdout();
        let home = server.root().join(".portolan-deploy-htdocs");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&home), mode(&home.join(".portolan-state"))), (0o700, 0o600));
        let inside = fs::read_dir(server.root().join("htdocs")).unwrap();
        let inside: Vec<_> = inside.map(|entry| entry.unwrap().file_name()).collect();
        assert!(inside.iter().all(|name| !name.to_str().unwrap().starts_with(".portolan")));
    });
}

#[test]
fn the_state_of_a_mirror_is_read_and_moved_out_of_the_document_root() {
    each(|server| {
        let url = server.url() + "htdocs";
        let mirror = ["mirror", "--state-remote", "--delete", "dist", &url];
        checkout(&built(1, 3)).args(mirror).run().any_stdout().any_stderr();
        assert!(server.root().join("htdocs/.portolan-state").exists());
        let ran = deploy(server, &built(2, 3), &[]);
        ran.stdout_has("4 files sent").stdout_has("3 deleted, 4 unchanged");
        assert!(!server.root().join("htdocs/.portolan-state").exists());
        assert_eq!(tree(&server.root().join("htdocs")), built(2, 3));
    });
}

#[test]
fn where_nothing_may_be_made_beside_the_document_root_the_state_is_in_it() {
    each(|server| {
        fs::create_dir(server.root().join("htdocs")).unwrap();
        server.own_all();
        // As on hosts that give write access below the document root only.
        std::os::unix::fs::chown(server.root(), Some(0), Some(0)).unwrap();
        let ran = deployment(server, &built(1, 3), &["--keep", "2"]).run();
        ran.stderr_has("the state is kept in the deployed folder").any_stdout();
        let state = server.root().join("htdocs/.portolan-state");
        assert_eq!(fs::metadata(state).unwrap().permissions().mode() & 0o777, 0o600);
        deploy(server, &built(2, 3), &["--keep", "2"]).stdout_has("3 deleted");
        rollback(server, &[]).stdout_has("1 deployment undone");
        assert_eq!(tree(&server.root().join("htdocs")), built(1, 3));
    });
}

#[test]
fn histories_and_secrets_stay_here_unless_they_are_asked_for() {
    each(|server| {
        let mut site = files(&[("index.html", "<p>"), ("node_modules/x/i.js", "1")]);
        let secret = files(&[
            (".git/config", "[core]"),
            (".gitignore", "x"),
            (".github/workflows/a.yml", "x"),
            (".env", "KEY=1"),
            (".env.production", "KEY=2"),
            ("node_modules/.cache/a", "x"),
            ("sub/.DS_Store", "x"),
        ]);
        let all: Files = site.clone().into_iter().chain(secret).collect();
        let ran = deployment(server, &all, &[]).run();
        ran.stderr_has("left out by default: ").stderr_has("--no-default-excludes").any_stdout();
        assert_eq!(tree(&server.root().join("htdocs")), site);
        deploy(server, &all, &["--exclude", "!.env.production"]).stdout_has("1 file sent");
        site.insert(".env.production".into(), b"KEY=2".to_vec());
        assert_eq!(tree(&server.root().join("htdocs")), site);
        deploy(server, &all, &["--no-default-excludes"]).any_stdout();
        assert_eq!(tree(&server.root().join("htdocs")), all);
    });
}

#[test]
fn a_dry_run_has_totals_and_the_plan_of_the_real_run_and_changes_nothing() {
    each(|server| {
        server.file("htdocs/visitor.txt", "x");
        server.own_all();
        let before = tree(&server.root());
        let ran = deploy(server, &built(1, 3), &["--dry-run"]);
        let text = ran.stdout_text().to_owned();
        assert!(text.ends_with("\n8 files to send (46 B), 0 to delete, 0 unchanged\n"), "{text}");
        assert!(!text.contains("visitor"), "{text}");
        // What pages need comes before them.
        let at = |line: &str| text.find(line).unwrap_or_else(|| panic!("{line} in {text}"));
        assert!(at("put  assets/chunk-2-1.js") < at("put  about.html"));
        assert!(at("put  site.webmanifest") < at("put  index.html"));
        drop(ran.any_stdout());
        assert_eq!(tree(&server.root()), before);
        assert!(!server.root().join(".portolan-deploy-htdocs").exists());
        let flags = ["--json"];
        let ran = deploy(server, &built(1, 3), &flags);
        let last = ran.stdout_text().lines().last().unwrap();
        let last: serde_json::Value = serde_json::from_str(last).unwrap();
        assert_eq!(last["event"], "deployed");
        let steps = last["plan"].as_array().unwrap();
        let steps: Vec<_> = steps.iter().map(|step| step.as_str().unwrap()).collect();
        let dry: Vec<_> = text.lines().collect();
        assert_eq!(steps, dry[..dry.len() - 1]);
        assert_eq!((&last["uploaded"], &last["planned"]["transfers"]), (&8.into(), &8.into()));
        let events = ran.stdout_text().lines();
        let is_json = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
        assert!(events.clone().count() > 8 && events.clone().all(is_json));
        drop(ran.any_stdout());
    });
}

#[test]
fn a_site_that_is_there_is_adopted_without_sending_what_is_equal() {
    each(|server| {
        for (path, bytes) in built(1, 6) {
            server.file(&format!("htdocs/{path}"), bytes);
        }
        server.file("htdocs/visitor.txt", "x");
        server.own_all();
        let ran = deploy(server, &built(1, 6), &["--adopt"]);
        ran.stdout("0 files sent (0 B), 0 deleted, 11 unchanged\n");
        deploy(server, &built(1, 6), &[]).stdout("0 files sent (0 B), 0 deleted, 11 unchanged\n");
        // From now on it is a site like any other.
        deploy(server, &built(2, 6), &[]).stdout_has("7 files sent").stdout_has("6 deleted");
        assert!(server.root().join("htdocs/visitor.txt").exists());
        // Without the option, unknown files are sent rather than believed.
        fs::remove_dir_all(server.root().join(".portolan-deploy-htdocs")).unwrap();
        deploy(server, &built(2, 6), &[]).stdout_has("11 files sent");
    });
}

#[test]
fn a_staged_deployment_that_is_killed_leaves_the_old_site_and_the_next_one_finishes() {
    each(|server| {
        deploy(server, &built(1, 5), &[]).any_stdout();
        let mut new = built(2, 5);
        new.insert("assets/video.mp4".into(), vec![7; 400_000]);
        let flags = ["--staged", "--rate-limit", "100KiB", "--parallel", "1"];
        let running = deployment(server, &new, &flags).spawn();
        let has_begun = || {
            let entries = fs::read_dir(server.root().join("htdocs/assets")).unwrap();
            let sizes = entries.filter_map(|entry| entry.ok()?.metadata().ok());
            sizes.map(|found| found.len()).find(|size| *size > 50_000)
        };
        assert!(wait::until(Duration::from_mins(1), has_begun).is_some());
        // Another deployment is kept out meanwhile.
        let other = deployment(server, &new, &[]).run().fails_with(4);
        drop(other.stderr_has("another run is at work in this folder").any_stdout());
        running.signal(Signal::KILL);
        drop(running.wait().killed_by(9).any_stdout().any_stderr());
        assert_eq!(tree(&server.root().join("htdocs")), built(1, 5));
        deploy(server, &new, &["--staged"]).stdout_has("7 files sent").stdout_has("5 deleted");
        assert_eq!(tree(&server.root().join("htdocs")), new);
    });
}

#[test]
fn a_rollback_restores_byte_for_byte_release_by_release() {
    each(|server| {
        server.file("htdocs/visitor.txt", "x");
        server.file("htdocs/index.html", "the page of the host");
        server.own_all();
        let mut states = vec![tree(&server.root().join("htdocs"))];
        for number in 1..5 {
            let mut site = built(number, 4 + number % 2);
            site.insert(format!("v{number}/deep/a.css"), b"p {}".to_vec());
            deploy(server, &site, &["--keep", "3"]).any_stdout();
            states.push(tree(&server.root().join("htdocs")));
        }
        let ran = rollback(server, &["--list"]);
        let ids: Vec<_> = ran.stdout_text().lines().map(str::to_owned).collect();
        assert!(ids.len() == 3 && ids[0].ends_with("  5 added, 1 replaced, 6 deleted"), "{ids:?}");
        drop(ran.any_stdout());
        let plan = rollback(server, &["--dry-run"]);
        plan.stdout_has("restore  index.html\n").stdout_has("1 deployment to undo: ");
        assert_eq!(&tree(&server.root().join("htdocs")), states.last().unwrap());
        for back in (1..4).rev() {
            rollback(server, &[]).stdout_has("1 deployment undone: ");
            assert_eq!(tree(&server.root().join("htdocs")), states[back], "{back}");
        }
        drop(rollback(server, &[]).fails_with(5));
        // A deployment after it sends what differs, and deletes what is its own.
        deploy(server, &built(9, 2), &[]).any_stdout();
        let mut wanted = built(9, 2);
        wanted.insert("visitor.txt".into(), b"x".to_vec());
        assert_eq!(tree(&server.root().join("htdocs")), wanted);
    });
}

/// A web server that answers every question with the code of the moment.
struct Web {
    port: u16,
    code: &'static AtomicU16,
    is_over: &'static AtomicBool,
}

impl Web {
    fn start(code: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let code: &AtomicU16 = Box::leak(Box::new(AtomicU16::new(code)));
        let is_over: &AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                drop(stream.read(&mut [0; 4096]));
                let code = code.load(Ordering::SeqCst);
                let head =
                    format!("HTTP/1.1 {code} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                drop(stream.write_all(head.as_bytes()));
            }
        });
        Self { port, code, is_over }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/health", self.port)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_site_that_does_not_answer_is_put_back_as_it_was() {
    let web = Web::start(200);
    each(|server| {
        web.code.store(200, Ordering::SeqCst);
        server.file("htdocs/visitor.txt", "x");
        server.own_all();
        let url = web.url();
        deploy(server, &built(1, 4), &["--check-url", &url]).stdout_has("9 files sent");
        let before = tree(&server.root().join("htdocs"));
        web.code.store(500, Ordering::SeqCst);
        let page =
            deployment(server, &built(2, 4), &["--check-url", &url, "--maintenance", "down.html"]);
        let ran = page.file("down.html", "back soon").run().fails_with(5);
        let ran = ran.stderr_has("does not answer 200: it answered 500");
        drop(ran.stderr_has("the deployment was undone").stderr_has("deploy.undone").any_stdout());
        assert_eq!(tree(&server.root().join("htdocs")), before);
        web.code.store(200, Ordering::SeqCst);
        deploy(server, &built(2, 4), &["--check-url", &url]).stdout_has("5 files sent");
        let mut wanted = built(2, 4);
        wanted.insert("visitor.txt".into(), b"x".to_vec());
        assert_eq!(tree(&server.root().join("htdocs")), wanted);
        let ran = deploy(server, &built(2, 4), &["--check-url", "www.example.com"]).fails_with(2);
        drop(ran.any_stdout());
    });
}

#[test]
fn permissions_are_kept_or_fixed_for_each_kind() {
    each(|server| {
        let site = files(&[("cgi/run.cgi", "#!/bin/sh"), ("index.html", "<p>")]);
        let mode = |path: &str| {
            let path = server.root().join("htdocs").join(path);
            fs::metadata(path).unwrap().permissions().mode() & 0o777
        };
        let program = deployment(server, &site, &["--modes", "keep"]);
        let local = program.folder().join("dist/cgi/run.cgi");
        fs::set_permissions(&local, fs::Permissions::from_mode(0o755)).unwrap();
        program.run().any_stdout().any_stderr();
        assert_eq!((mode("cgi/run.cgi"), mode("index.html")), (0o755, 0o644));
        // A change of permissions alone is deployed, too.
        let program = deployment(server, &site, &["--modes", "keep"]);
        let local = program.folder().join("dist/cgi/run.cgi");
        fs::set_permissions(&local, fs::Permissions::from_mode(0o750)).unwrap();
        program.run().any_stdout().any_stderr();
        assert_eq!(mode("cgi/run.cgi"), 0o750);
        let fixed = "files=640,directories=751,executable=700";
        let mut larger = site.clone();
        larger.insert("new/a.css".into(), b"p {}".to_vec());
        deploy(server, &larger, &["--modes", fixed]).any_stdout();
        assert_eq!((mode("new"), mode("new/a.css"), mode("index.html")), (0o751, 0o640, 0o640));
        drop(deploy(server, &site, &["--modes", "rwx"]).fails_with(2).any_stdout());
    });
}

#[test]
fn only_tracked_files_are_sent_with_git() {
    let Some(server) = RealServer::start(Kind::Vsftpd, &Options::default()) else { return };
    let site = files(&[("index.html", "<p>"), ("css/a.css", "p {}"), ("draft.html", "x")]);
    let git = |program: &Portolan, words: &[&str]| {
        let done =
            Command::new("git").current_dir(program.folder().join("dist")).args(words).output();
        assert!(done.unwrap().status.success(), "{words:?}");
    };
    let program = deployment(&server, &site, &["--git"]);
    git(&program, &["init", "--quiet"]);
    git(&program, &["add", "index.html", "css"]);
    program.run().any_stdout().any_stderr();
    let wanted = files(&[("index.html", "<p>"), ("css/a.css", "p {}")]);
    assert_eq!(tree(&server.root().join("htdocs")), wanted);
    let program = deployment(&server, &site, &["--git"]);
    git(&program, &["init", "--quiet"]);
    git(&program, &["add", "index.html"]);
    program.run().stdout_has("2 deleted").any_stderr();
    assert_eq!(tree(&server.root().join("htdocs")), files(&[("index.html", "<p>")]));
    let ran = deployment(&server, &site, &["--git"]).env("GIT_DIR", "/nonexistent").run();
    drop(ran.fails_with(2).stderr_has("git").any_stdout());
}

#[test]
fn a_failure_is_temporary_only_if_nothing_arrived() {
    let deploy = |faults: &[&str], code| {
        let server = Rehearsal::start(faults, false);
        let url = format!("ftp://tester@127.0.0.1:{}/htdocs", server.site.port);
        let program = checkout(&built(1, 2)).args(["deploy", "--retries", "0", "dist", &url]);
        let ran =
            program.env("PORTOLAN_PASSWORD", "open+sesame-21").run().any_stdout().any_stderr();
        drop(ran.fails_with(code));
    };
    deploy(&["reply=STOR:450 Try again."], 4);
    deploy(&["reply=STOR:553 Never."], 6);
    deploy(&["reply=STOR:450 Try again.@/htdocs/assets"], 6);
}

#[test]
fn a_deployment_from_a_script_takes_the_same_options() {
    each(|server| {
        server.file("htdocs/visitor.txt", "x");
        server.own_all();
        let script = r#"
            let site = ftp::connect(args[0]);
            let plan = site.deploy("dist", #{ folder: "/htdocs/new", dry_run: true });
            print(plan.plan.len());
            let done = site.deploy("dist", #{ keep: 2, modes: #{ files: "640" }, last: ["*.txt"] });
            print(`${done.uploaded} ${done.deleted}`);
            if args.len() > 1 { print(site.rollback().restored); }
        "#;
        let run = |number, more: &[&str]| {
            let url = server.url() + "htdocs";
            let program = checkout(&built(number, 2)).script(script);
            program.args([&url]).args(more.iter().copied()).run().any_stderr()
        };
        run(1, &[]).stdout("9\n7 0\n");
        run(2, &["back"]).stdout("9\n3 2\n3\n");
        let mut wanted = built(1, 2);
        wanted.insert("visitor.txt".into(), b"x".to_vec());
        assert_eq!(tree(&server.root().join("htdocs")), wanted);
    });
}

#[test]
fn ci_systems_get_annotations_values_and_a_summary() {
    let Some(server) = RealServer::start(Kind::Vsftpd, &Options::default()) else { return };
    let ran = deployment(&server, &built(1, 2), &["--ci", "github"])
        .env("GITHUB_OUTPUT", "out.txt")
        .env("GITHUB_STEP_SUMMARY", "summary.md")
        .file("out.txt", "")
        .file("summary.md", "")
        .run()
        .any_stderr();
    let line = "7 files sent (43 B), 0 deleted, 0 unchanged\n";
    let ran = ran.stdout(&format!("{line}::notice title=Deployed::{line}"));
    let values = fs::read_to_string(ran.folder().join("out.txt")).unwrap();
    assert!(values.starts_with("changed=7\nuploaded=7\ndeleted=0\n"), "{values}");
    let table = "| sent | size | deleted | unchanged | failed |\n|---|---|---|---|---|\n| 7 | 43 B | 0 | 0 | 0 |\n";
    assert_eq!(fs::read_to_string(ran.folder().join("summary.md")).unwrap(), table);
    drop(ran.any_files());
    let ran = deployment(&server, &built(1, 2), &["--ci", "gitlab"]).run().any_stderr();
    let values = fs::read_to_string(ran.folder().join("portolan.env")).unwrap();
    assert!(values.starts_with("PORTOLAN_CHANGED=0\nPORTOLAN_UPLOADED=0\n"), "{values}");
    drop(ran.any_stdout().any_files());
    let ran = deployment(&server, &built(1, 2), &["--ci", "github"]);
    let ran = ran.env("PORTOLAN_PASSWORD", "wrong").run().fails_with(5).any_stderr();
    drop(ran.stdout_has("::error title=Not deployed::"));
    // A failure has its values and its summary as well.
    for (flags, password, code, title, summary) in [
        (&[][..], "wrong", 5, "::error title=Not deployed::", "**Not deployed**: "),
        (&["--dry-run"], RealServer::PASSWORD, 0, "::notice title=Dry run::", "| sent | size |"),
    ] {
        let flags = [&["--ci", "github"], flags].concat();
        let ran = deployment(&server, &built(2, 2), &flags)
            .env("PORTOLAN_PASSWORD", password)
            .env("GITHUB_OUTPUT", "out.txt")
            .env("GITHUB_STEP_SUMMARY", "summary.md")
            .run()
            .fails_with(code)
            .any_stderr()
            .stdout_has(title);
        let read = |name: &str| fs::read_to_string(ran.folder().join(name)).unwrap();
        assert!(read("summary.md").starts_with(summary), "{}", read("summary.md"));
        for name in ["changed", "uploaded", "deleted", "unchanged", "failed", "bytes", "release"] {
            assert!(read("out.txt").contains(&format!("{name}=")), "{name}: {}", read("out.txt"));
        }
        drop(ran.any_files());
    }
}

#[test]
fn commands_run_around_a_deployment_and_know_its_outcome() {
    let Some(server) = RealServer::start(Kind::Vsftpd, &Options::default()) else { return };
    let hooks = [
        "--before",
        "echo built > dist/built.txt",
        "--after",
        "echo $PORTOLAN_DEPLOY_OUTCOME $PORTOLAN_DEPLOY_UPLOADED ${PORTOLAN_PASSWORD:-none} > after.txt",
        "--on-failure",
        "echo $PORTOLAN_DEPLOY_OUTCOME > failed.txt",
    ];
    let ran = deployment(&server, &built(1, 2), &hooks).run().any_stdout().any_stderr();
    ran.wrote("after.txt", "done 8 none\n").wrote("dist/built.txt", "built\n");
    assert_eq!(server.bytes("htdocs/built.txt"), b"built\n");
    let program = deployment(&server, &built(1, 2), &hooks).env("PORTOLAN_PASSWORD", "wrong");
    let ran = program.run().fails_with(5).any_stdout().any_stderr();
    drop(ran.wrote("failed.txt", "failed\n").wrote("dist/built.txt", "built\n"));
    let ran = deployment(&server, &built(3, 2), &["--before", "exit 3"]).run().fails_with(5);
    drop(ran.stderr_has("the command `exit 3` failed").any_stdout());
    assert!(!server.root().join("htdocs/assets/chunk-0-3.js").exists());
}
