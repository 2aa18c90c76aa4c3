//! `portolan run --record` and `portolan replay`: a run is played again without its servers, and nothing secret is kept.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    program::leaks::assert_kept,
    rehearsal::Rehearsal,
    server::{Kind, Options, RealServer, Tls},
};

const PASSWORD: &str = "canary-7f3a9c";
const CONTENT: &str = "nobody else may read this line of the file\n";

/// A folder with a script, in which runs are recorded and played.
struct Desk(TempDir);

impl Desk {
    fn new(script: &str) -> Self {
        let desk =
            Self(tempfile::Builder::new().prefix("portolan-replay-test-").tempdir().unwrap());
        desk.write("script.rhai", script);
        desk
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.path().join(path)).unwrap()
    }

    fn play(&self, args: &[&str], url: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null());
        command.env_clear().env("HOME", self.0.path()).env("PATH", "/usr/bin:/bin");
        command.env("SITE", url).env("SITE_PASSWORD", PASSWORD).env("PORTOLAN_PASSWORD", PASSWORD);
        command.env("XDG_STATE_HOME", self.0.path().join("state"));
        let output = command.output().unwrap();
        assert_kept(&[PASSWORD, "arg-canary-1", "other-canary-55"], &output, self.0.path());
        output
    }

    /// Records a run, and returns its exit code.
    fn record(&self, url: &str) -> i32 {
        let ran = self.play(&["run", "--record", "r.jsonl", "script.rhai"], url);
        ran.status.code().unwrap()
    }

    /// Plays the recording, and returns what `--json` prints and the exit code.
    fn replay(&self, more: &[&str], url: &str) -> (Value, i32) {
        let args = [&["replay", "--json", "r.jsonl"], more].concat();
        let ran = self.play(&args, url);
        let text = String::from_utf8_lossy(&ran.stdout).into_owned();
        let errors = String::from_utf8_lossy(&ran.stderr).into_owned();
        let value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}\n{errors}"));
        (value, ran.status.code().unwrap())
    }
}

fn url(server: &Rehearsal, scheme: &str) -> String {
    let address = server.server.address();
    format!("{scheme}://tester@{address}")
}

/// Fails unless the replay of the recorded run went as that did.
fn assert_same(desk: &Desk, code: i32, url: &str, what: &str) -> Value {
    let (report, exit) = desk.replay(&[], url);
    let recording = desk.read("r.jsonl");
    let part = |path: &str| report.pointer(path).unwrap_or(&Value::Null);
    assert_eq!(part("/same"), true, "{what}: {report:#}\n{recording}");
    assert_eq!(exit, 0, "{what}");
    assert_eq!(part("/played"), part("/recorded"), "{what}");
    assert_eq!(part("/played/exit"), code, "{what}");
    report
}

const DOWN: &str = r#"
    let site = ftp::connect(env("SITE"), #{ password: secret("SITE_PASSWORD"), insecure: true, reply_timeout: "3s", data_timeout: "3s" });
    print(site.list("/").len());
    site.get("a.txt", "got.txt", #{ retries: 1 });
    print("done");
"#;

const UP: &str = r#"
    let site = ftp::connect(env("SITE"), #{ password: secret("SITE_PASSWORD"), insecure: true, reply_timeout: "3s", data_timeout: "3s" });
    site.put("local.txt", "up.txt", #{ retries: 1 });
    site.delete("a.txt");
    print("done");
"#;

#[test]
fn a_failure_of_a_server_is_played_again_without_it() {
    for (script, fault, code) in [
        (DOWN, None, 0),
        (DOWN, Some("drop-after=1000"), 4),
        (DOWN, Some("retr-426"), 4),
        (DOWN, Some("reply=RETR:550 no such file"), 5),
        (DOWN, Some("reply=PASS:530 wrong"), 5),
        (DOWN, Some("hang-up=RETR"), 4),
        (DOWN, Some("busy-421=RETR"), 4),
        (DOWN, Some("list-550"), 0),
        (DOWN, Some("no-reply=RETR"), 4),
        (DOWN, Some("stall=500"), 4),
        (DOWN, Some("short-226"), 4),
        (DOWN, Some("pasv-refused"), 0),
        (DOWN, Some("pasv-dead"), 0),
        (DOWN, Some("pasv-blackhole"), 0),
        (DOWN, Some("epsv-refused"), 0),
        (DOWN, Some("no-mlsd"), 0),
        (UP, None, 0),
        (UP, Some("stor-552"), 5),
        (UP, Some("stor-drop=1000"), 4),
        (UP, Some("rename-refused"), 0),
        (UP, Some("delete-refused"), 5),
    ] {
        let what = format!("{fault:?}");
        let desk = Desk::new(script);
        desk.write("local.txt", &CONTENT.repeat(40_000));
        let server = Rehearsal::start(fault.as_slice(), false);
        server.file("a.txt", CONTENT.repeat(100));
        let url = url(&server, "ftp");
        assert_eq!(desk.record(&url), code, "{what}");
        drop(server);
        // The file is not there on the other machine; what was got must not be there before.
        fs::remove_file(desk.0.path().join("local.txt")).unwrap();
        fs::remove_file(desk.0.path().join("got.txt")).ok();
        assert_same(&desk, code, &url, &what);
        assert!(!desk.0.path().join("got.txt").exists(), "{what}: a replay writes nothing here");
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_played_again_as_it_was() {
    let desk = Desk::new("ftp::connect(env(\"SITE\"), #{ connect_timeout: \"2s\" });");
    for (url, error) in [
        ("ftp://127.0.0.1:1", "connect.refused"),
        ("ftp://no-such-host.invalid", "connect.unknown_host"),
    ] {
        fs::remove_file(desk.0.path().join("r.jsonl")).ok();
        let code = desk.record(url);
        let report = assert_same(&desk, code, url, url);
        assert_eq!(report["played"]["error"], error);
    }
}

#[test]
fn mirrors_in_parallel_and_under_tls_are_played_again() {
    let script = r#"
        let site = ftp::connect(env("SITE"), #{ password: secret("SITE_PASSWORD"), insecure: true });
        let up = site.mirror_up("site", "/www", #{ parallel: 3 });
        let down = site.mirror_down("/data", "data", #{ parallel: 3 });
        print(`${up.uploaded} ${down.downloaded}`);
    "#;
    for (tls, scheme) in [(false, "ftp"), (true, "ftpes")] {
        let desk = Desk::new(script);
        let server = Rehearsal::start(&[], tls);
        for number in 0..30 {
            desk.write(&format!("site/d{}/f{number}.txt", number % 4), CONTENT);
            server.file(&format!("data/e{}/f{number}.txt", number % 4), CONTENT);
        }
        let url = url(&server, scheme);
        assert_eq!(desk.record(&url), 0);
        drop(server);
        for folder in ["site", "data"] {
            fs::remove_dir_all(desk.0.path().join(folder)).unwrap();
        }
        assert_same(&desk, 0, &url, scheme);
    }
}

#[test]
fn a_run_with_a_real_server_is_played_again_without_it() {
    for (kind, tls) in
        [(Kind::Vsftpd, Tls::Off), (Kind::Vsftpd, Tls::Explicit), (Kind::Proftpd, Tls::Explicit)]
    {
        let options = Options { tls, ..Options::default() };
        let Some(server) = RealServer::start(kind, &options) else { return };
        server.file("a.txt", CONTENT);
        server.own_all();
        let desk =
            Desk::new(&DOWN.replace("secret(\"SITE_PASSWORD\")", "\"open+sesame-21\"").replace(
                "print(\"done\");",
                "site.put(\"got.txt\", \"b.txt\"); site.delete(\"gone.txt\");",
            ));
        let url = server.url();
        let code = desk.record(&url);
        assert_eq!(code, 5, "{}", desk.read("r.jsonl"));
        drop(server);
        fs::remove_file(desk.0.path().join("got.txt")).unwrap();
        assert_same(&desk, code, &url, kind.program());
    }
}

#[test]
fn neither_passwords_nor_contents_are_in_a_recording() {
    let script = r#"
        let site = ftp::connect(env("SITE"), #{ password: secret("SITE_PASSWORD") });
        site.get("a.txt", "got.txt");
        site.put("got.txt", "b.txt");
        let token = secret("OTHER");
        local::write("x", "y");
        print(local::exists("PLAIN"));
        try { site.quote("SITE PLAIN"); } catch (err) { print(err); }
        throw `no: ${token}`;
    "#
    .replace("PLAIN", "other-canary-55");
    let echo = format!("reply=NOOP:200 you are {PASSWORD} or {}", BASE64_STANDARD.encode(PASSWORD));
    let desk = Desk::new(&script);
    let server = Rehearsal::start(
        &["done-as=PASS:230 welcome canary-7f3a9c, %63anary-7f3a9c", &echo],
        false,
    );
    server.file("a.txt", CONTENT.repeat(50));
    let secrets = desk.0.path().join("secrets");
    fs::create_dir(&secrets).unwrap();
    fs::write(secrets.join("OTHER"), "other-canary-55").unwrap();
    Command::new("chmod")
        .args(["600", "secrets/OTHER"])
        .current_dir(desk.0.path())
        .status()
        .unwrap();
    let ran = desk.play(
        &["run", "--record", "r.jsonl", "script.rhai", "ftp://me:arg-canary-1@h/x"],
        &url(&server, "ftp"),
    );
    assert_eq!(ran.status.code(), Some(3), "{}", String::from_utf8_lossy(&ran.stderr));
    let recording = desk.read("r.jsonl");
    for text in [PASSWORD, "anary-7f3a9c", "nobody else may read", "arg-canary-1", "other-canary"] {
        assert!(!recording.contains(text), "{text}\n{recording}");
    }
    assert!(!recording.contains(&BASE64_STANDARD.encode(PASSWORD)), "{recording}");
    assert!(recording.contains("PASS ***"), "{recording}");
    let mode = fs::metadata(desk.0.path().join("r.jsonl")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
}

#[test]
fn a_changed_script_goes_another_way_and_the_command_is_named() {
    let desk = Desk::new(DOWN);
    let server = Rehearsal::start(&["retr-426"], false);
    server.file("a.txt", CONTENT);
    let url = url(&server, "ftp");
    assert_eq!(desk.record(&url), 4);
    drop(server);
    desk.write("other.rhai", &DOWN.replace("a.txt", "b.txt"));
    let (report, exit) = desk.replay(&["other.rhai"], &url);
    assert_eq!((exit, &report["same"]), (1, &Value::Bool(false)), "{report:#}");
    assert_eq!(report["script_is_recorded_one"], false);
    let got = report["difference"]["got"].as_str().unwrap();
    let expected = report["difference"]["expected"].as_str().unwrap();
    assert!(got.contains("b.txt") && expected.contains("a.txt"), "{report:#}");
    let ran = desk.play(&["replay", "r.jsonl", "other.rhai"], &url);
    let text = String::from_utf8_lossy(&ran.stdout);
    assert!(text.contains("replay: the script is not the recorded one\n"), "{text}");
    assert!(text.contains(&format!("expected `{expected}`, got `{got}`")), "{text}");
    assert!(text.ends_with("replay: it went another way than recorded\n"), "{text}");
}

#[test]
fn what_cannot_be_recorded_or_played_is_refused_with_its_reason() {
    let desk = Desk::new("print(1);");
    let refused = |args: &[&str], why: &str| {
        let ran = desk.play(args, "");
        let errors = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(2), "{args:?}: {errors}");
        assert!(errors.contains(why), "{args:?}: {errors}");
    };
    let head = "{\"event\":\"recording\",\"version\":1,\"portolan\":\"9\",\"command\":\"run\"}\n";
    desk.write("taken.jsonl", head);
    desk.write("new.jsonl", &head.replace(":1,", ":7,"));
    desk.write("broken.jsonl", &format!("{head}x\n{head}"));
    desk.write("out.jsonl", &format!("{head}{{\"event\":\"local\",\"path\":\"d\",\"entries\":[{{\"path\":\"../../x\",\"size\":1}}]}}\n"));
    refused(&["run", "--record", "taken.jsonl", "script.rhai"], "there is a file already");
    refused(&["run", "--record", "no/such/r.jsonl", "script.rhai"], "cannot make the recording");
    refused(&["replay", "gone.jsonl"], "gone.jsonl");
    refused(&["replay", "script.rhai"], "this is no recording");
    refused(&["replay", "new.jsonl", "script.rhai"], "play it with a newer one");
    refused(&["replay", "broken.jsonl", "script.rhai"], "line 2 of the recording");
    refused(&["replay", "taken.jsonl"], "name it, as in `portolan replay FILE SCRIPT`");
    refused(&["replay", "out.jsonl", "script.rhai"], "leads out of its directory");
    assert!(!Path::new("/x").exists());
    let ran = desk.play(&["replay", "taken.jsonl", "script.rhai"], "");
    let text = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && text.contains("the recording has no end"), "{text}");
}

#[test]
fn a_recording_of_the_doctor_has_no_host_user_address_or_name() {
    let server = Rehearsal::start(&["greeting=220 nas01.kunde.de ready for Kunde GmbH"], true);
    server.file("Rechnungen/Bilanz.xls", CONTENT);
    let desk = Desk::new("");
    let port = server.server.address().port();
    let place = format!("ftpes://anna@localhost:{port}/Rechnungen");
    let ran = desk.play(&["doctor", &place, "--record", "d.jsonl", "--set", "insecure=true"], "");
    let errors = String::from_utf8_lossy(&ran.stderr);
    let recording = desk.read("d.jsonl");
    assert!(recording.lines().count() > 20, "{errors}\n{recording}");
    for word in
        ["nas01", "kunde", "anna", "localhost", "Rechnung", "Bilanz", PASSWORD, "nobody else"]
    {
        assert!(!recording.to_lowercase().contains(&word.to_lowercase()), "{word}\n{recording}");
    }
    for word in ["host-1.example", "USER user-1", "PASS ***", "EPSV", "\"ended\""] {
        assert!(recording.contains(word), "{word}\n{recording}");
    }
    let ran = desk.play(&["doctor", "--record", "e.jsonl"], "");
    assert_eq!(ran.status.code(), Some(2), "nothing is recorded without a server");
}
