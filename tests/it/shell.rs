//! `portolan shell`: its lines come from a pipe, or are typed at a pseudoterminal.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command},
    sync::{Arc, Mutex},
    thread,
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::TempDir;

use crate::{
    serve::scheduler::TIME_MAX,
    support::{
        program::{Portolan, leaks::assert_unsaid},
        server::{Kind, Options, RealServer, Tls},
        wait,
    },
};

fn server(kind: Kind) -> Option<RealServer> {
    let options = Options { tls: Tls::Explicit, ..Options::default() };
    let server = RealServer::start(kind, &options)?;
    server.file("pub/a.csv", "1,2\n");
    server.file("pub/b.csv", "3,4\n");
    server.file("pub/two words.txt", "spaces");
    server.file("pub/deep/c.csv", "5,6\n");
    Some(server)
}

/// Returns the program at its prompt, with `lines` as its input.
fn shell(server: &RealServer, lines: &str) -> Portolan {
    let ca = format!("ca_file={}", server.ca().display());
    Portolan::new()
        .env("PORTOLAN_PASSWORD", RealServer::PASSWORD)
        .args(["--set", &ca, "shell", &server.url()])
        .stdin(lines)
}

#[test]
fn a_look_around_a_server() {
    for kind in Kind::ALL {
        let Some(server) = server(kind) else { return };
        let ran = shell(&server, "pwd\ncd pub\npwd\nls\ncat a.csv\nls *.csv\ncd\npwd\n").run();
        let lines: Vec<_> = ran.stdout_text().lines().collect();
        assert_eq!(&lines[..2], ["/", "/pub"], "{kind:?}");
        let ends: Vec<_> =
            lines[2..6].iter().map(|line| line.split("Z  ").last().unwrap()).collect();
        assert_eq!(ends, ["a.csv", "b.csv", "deep/", "two words.txt"], "{kind:?}: {lines:?}");
        assert_eq!(&lines[6..], ["1,2", "a.csv", "b.csv", "/"], "{kind:?}");
        drop(ran.any_stdout().any_stderr());
    }
}

#[test]
fn files_go_both_ways_and_names_with_spaces_stand_in_quotes() {
    let Some(server) = server(Kind::Vsftpd) else { return };
    let lines = "cd pub\nget \"two words.txt\"\nmget *.csv\nlcd in\nget a.csv copy.csv\nlcd ..\n\
                 mkdir new/below\nput here.txt new/\nput here.txt new/below/there.txt\nmv b.csv new/b.csv\n\
                 rm a.csv\nchmod 600 new/here.txt\nquote NOOP\n";
    let ran = shell(&server, lines).file("here.txt", "from here").file("in/kept", "").run();
    ran.any_stderr()
        .stdout_has("200 ")
        .wrote("two words.txt", "spaces")
        .wrote("a.csv", "1,2\n")
        .wrote("b.csv", "3,4\n")
        .wrote("in/copy.csv", "1,2\n");
    let at = |path: &str| server.root().join("pub").join(path);
    assert_eq!(server.bytes("pub/new/here.txt"), b"from here");
    assert_eq!(server.bytes("pub/new/below/there.txt"), b"from here");
    assert!(at("new/b.csv").exists() && !at("b.csv").exists() && !at("a.csv").exists());
    assert_eq!(at("new/here.txt").metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn whole_folders_go_both_ways() {
    let Some(server) = server(Kind::Proftpd) else { return };
    let lines =
        "mirror -n pub copy\nmirror pub copy\nmirror -R up pub/up\nfind pub/up\nrm -r pub/up\n";
    let ran = shell(&server, lines).file("up/x/y.txt", "y").run();
    ran.any_stderr()
        .stdout_has("y.txt\n")
        .wrote("copy/a.csv", "1,2\n")
        .wrote("copy/deep/c.csv", "5,6\n")
        .any_files();
    assert!(!server.root().join("pub/up").exists());
}

#[test]
fn script_and_shortcuts_stand_side_by_side_and_what_is_named_stays() {
    let Some(server) = server(Kind::Vsftpd) else { return };
    let lines = "let files = site.glob(\"/pub/**/*.csv\");\n\
                 fn bytes(site, files) {\n  let sum = 0;\n  for one in files { sum += site.size(one); }\n  sum\n}\n\
                 ls pub/deep\n\
                 bytes(site, files)\n\
                 files.len() * 2\n\
                 exit\nnot reached\n";
    let ran = shell(&server, lines).run();
    ran.stdout_has("  c.csv\n12\n6\n");
}

#[test]
fn the_first_line_that_fails_ends_a_pipe_with_the_code_of_a_run() {
    let Some(server) = server(Kind::Vsftpd) else { return };
    for (lines, code, said) in [
        (
            "get gone.csv\nrm pub/a.csv\n",
            5,
            "error: /gone.csv: there is no such file or folder on the server\n",
        ),
        ("cd /gone\nrm pub/a.csv\n", 5, "error: /gone: "),
        (
            "site.lsit(\"a\")\nrm pub/a.csv\n",
            3,
            "error: a session has no function `lsit`\n  --> input:1:6\n  |\n1 | site.lsit(\"a\")\n  |      ^\nhint: did you mean `list`?\n",
        ),
        ("lst pub\nrm pub/a.csv\n", 3, "hint: did you mean `ls`? `help` lists what can be typed\n"),
        (
            "gett --resume a.csv\nrm pub/a.csv\n",
            3,
            "error: there is no command `gett`\nhint: did you mean `get`?",
        ),
        (
            "get --resum a.csv\nrm pub/a.csv\n",
            3,
            "error: `get` has no option --resum; did you mean --resume?\n",
        ),
        ("cd pub &\nrm pub/a.csv\n", 3, "error: `cd` cannot run in the background; get, put,"),
        ("!exit 3\nrm pub/a.csv\n", 5, "error: `exit 3` failed (exit status: 3)\n"),
        ("mv pub/a.csv\nrm pub/a.csv\n", 3, "error: `mv` takes FROM TO\n"),
        ("mget *.zip\nrm pub/a.csv\n", 3, "error: no file on the server matches *.zip\n"),
        ("get \"pub/a.csv\nrm pub/a.csv\n", 3, "error: a \" is opened and never closed\n"),
    ] {
        shell(&server, lines).run().fails_with(code).stderr_has(said);
        assert!(server.root().join("pub/a.csv").exists(), "{lines}: it went on");
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_told_as_everywhere() {
    let Some(server) = server(Kind::Vsftpd) else { return };
    let program = shell(&server, "ls\n").env("PORTOLAN_PASSWORD", "wrong");
    program.run().fails_with(5).stderr_has("hint: check user and password").never_says("wrong\"");
    Portolan::new().args(["shell", "gopher://x"]).run().fails_with(2).stderr_has("error: ");
}

#[test]
fn a_pipe_leaves_no_history() {
    let Some(server) = server(Kind::Vsftpd) else { return };
    shell(&server, "ls\n").args(["--state", "state"]).run().any_stdout().any_files();
    let kept = |folder: &Path| folder.join("state/shell-history").exists();
    let program = shell(&server, "ls\n").args(["--state", "state"]);
    let ran = program.run().any_stdout().any_files();
    assert!(!kept(ran.folder()));
    assert!(fs::read_dir(ran.folder().join("state")).unwrap().count() > 0);
}

#[test]
fn a_rehearsed_mistake_in_the_middle_of_a_block_shows_its_line() {
    let Some(server) = server(Kind::Vsftpd) else { return };
    let lines = "for name in [\"a\"] {\n  site.stat(name).sise\n}\n";
    let ran = shell(&server, lines).run().fails_with(5);
    ran.stderr_has("  --> input:2:8\n");
}

#[test]
fn commands_take_the_options_of_the_command_line() {
    let Some(server) = server(Kind::Vsftpd) else { return };
    let lines = "get --resume --retries 2 pub/a.csv one.csv\nget -r pub/deep copies/\n\
                 put -r up\nput --on-exists skip here.txt pub/a.csv\n\
                 mirror --reverse --exclude '*.tmp' --delete up pub/up\nchmod -R 700 pub/up\n\
                 find pub --name '*.csv' --type f\ndu pub\nless pub/deep/c.csv\n!echo of this machine\nhistory 2\n";
    let ran = shell(&server, lines)
        .file("here.txt", "from here")
        .file("up/x/y.txt", "y")
        .file("up/z.tmp", "z")
        .run();
    let text = ran.stdout_text().to_owned();
    ran.any_stderr()
        .stdout_has("5,6\nof this machine\n")
        .stdout_has("   10  !echo of this machine\n   11  history 2\n")
        .wrote("one.csv", "1,2\n")
        .wrote("copies/deep/c.csv", "5,6\n")
        .any_files();
    for line in ["a.csv", "b.csv", "deep/c.csv"] {
        assert!(text.lines().any(|shown| shown.ends_with(line)), "{line}: {text}");
    }
    assert!(text.contains("4\tdeep/\n") && text.contains("\tpub\n"), "{text}");
    assert_eq!(server.bytes("pub/a.csv"), b"1,2\n");
    let at = |path: &str| server.root().join(path);
    assert!(at("up/x/y.txt").exists() && at("up/z.tmp").exists() && !at("pub/up/z.tmp").exists());
    for path in ["pub/up", "pub/up/x", "pub/up/x/y.txt"] {
        assert_eq!(at(path).metadata().unwrap().permissions().mode() & 0o777, 0o700, "{path}");
    }
}

#[test]
fn a_line_with_an_ampersand_runs_in_the_background() {
    let Some(server) = server(Kind::Proftpd) else { return };
    let lines = "cd pub\nget a.csv &\nmget b.csv deep/*.csv &\nlcd in\n";
    let ran = shell(&server, lines).file("in/kept", "").run().fails_with(3);
    ran.stderr_has("`wait` for it first").any_stdout().any_files();
    let lines =
        "cd pub\nget a.csv &\nmget b.csv deep/*.csv &\nwait\njobs\nlcd in\nget a.csv here.csv\n";
    let ran = shell(&server, lines).file("in/kept", "").run();
    ran.stderr_has("[1] done: get a.csv (1 file, 4 B, ")
        .stderr_has("[2] done: mget b.csv deep/*.csv (2 files, 8 B, ")
        .stdout("")
        .wrote("a.csv", "1,2\n")
        .wrote("b.csv", "3,4\n")
        .wrote("c.csv", "5,6\n")
        .wrote("in/here.csv", "1,2\n");
    // One that fails is told, and ends a pipe with its code.
    let ran = shell(&server, "get gone.csv &\nls pub/deep\n").run().fails_with(5);
    ran.stderr_has("[1] failed: get gone.csv: /gone.csv: there is no such file").any_stdout();
    shell(&server, "wait 7\n").run().fails_with(3).stderr_has("nothing of number 7 runs");
}

#[test]
fn another_server_is_opened_and_this_one_saved() {
    let Some(server) = server(Kind::Vsftpd) else { return };
    let Some(other) = RealServer::start(Kind::Proftpd, &Options::default()) else { return };
    other.file("there.txt", "there");
    let port =
        |server: &RealServer| server.url().rsplit(':').next().unwrap().trim_matches('/').to_owned();
    let lines = format!(
        "cd pub/deep\nbookmark deep\nbookmark\nopen {}\nls\nopen ftp://tester@127.0.0.1:1/\n",
        other.url()
    );
    let ran = shell(&server, &lines).run().any_code();
    let wanted = format!("@deep  ftpes://tester@127.0.0.1:{}//pub/deep/\n", port(&server));
    ran.stdout_has("saved `deep` in ")
        .stdout_has(&wanted)
        .stdout_has("  there.txt\n")
        .any_stderr()
        .any_files();
}

/// The program at a terminal of its own.
struct Terminal {
    keys: File,
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
    /// The length of the output that was waited for already.
    read: usize,
    folder: TempDir,
}

impl Terminal {
    fn open(arguments: &[&str]) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keys).unwrap();
        unlockpt(&keys).unwrap();
        let name = ptsname(&keys, Vec::new()).unwrap().into_string().unwrap();
        let side = File::options().read(true).write(true).open(name).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_portolan"))
            .args(arguments)
            .current_dir(&folder)
            .env_clear()
            .env("HOME", folder.path())
            .env("TERM", "xterm")
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("EDITOR", "sh -c 'echo added >>\"$1\"' sh")
            .env("PAGER", "cat")
            .stdin(side.try_clone().unwrap())
            .stdout(side.try_clone().unwrap())
            .stderr(side)
            .spawn()
            .unwrap();
        let keys = File::from(keys);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut screen, kept) = (keys.try_clone().unwrap(), Arc::clone(&shown));
        thread::spawn(move || {
            let mut piece = [0; 4096];
            // The end of the program is an error of its terminal.
            while let Ok(count @ 1..) = screen.read(&mut piece) {
                kept.lock().unwrap().extend(piece.get(..count).unwrap());
            }
        });
        Self { keys, child, shown, read: 0, folder }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    /// Waits for a text after all those before.
    #[track_caller]
    fn until(&mut self, text: &str) {
        let found = wait::until(TIME_MAX, || {
            let shown = self.shown();
            shown[self.read..].find(text).map(|at| self.read + at + text.len())
        });
        self.read = found.unwrap_or_else(|| panic!("it never showed {text:?}\n{}", self.shown()));
    }

    fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for its end, and returns the exit code.
    fn end(&mut self) -> Option<i32> {
        let status = wait::until(TIME_MAX, || self.child.try_wait().unwrap());
        status.unwrap_or_else(|| panic!("it does not end\n{}", self.shown())).code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        drop(self.child.wait());
        if !thread::panicking() {
            let shown = self.shown.lock().unwrap().clone();
            let said = [("the terminal", &*shown)];
            assert_unsaid(&[RealServer::PASSWORD], &said, self.folder.path());
        }
    }
}

#[test]
fn at_a_terminal_every_command_asks_for_the_password_without_echo() {
    let Some(server) = server(Kind::Vsftpd) else { return };
    let ca = format!("ca_file={}", server.ca().display());
    let ask = "password of tester on 127.0.0.1: ";
    let file = server.url() + "pub/a.csv";
    for (line, shown) in [(&["ls", &server.url()][..], "pub/"), (&["cat", &file], "1,2")] {
        let mut terminal = Terminal::open(&[&["--set", &ca, "--state", "state"], line].concat());
        terminal.until(ask);
        terminal.keys(&format!("{}\r", RealServer::PASSWORD));
        terminal.until(shown);
        assert_eq!(terminal.end(), Some(0), "{}", terminal.shown());
        assert!(!terminal.shown().contains(RealServer::PASSWORD), "{}", terminal.shown());
        // Without an answer nothing is sent.
        let mut terminal = Terminal::open(&[&["--set", &ca, "--state", "state"], line].concat());
        terminal.until(ask);
        terminal.keys("\x03");
        assert_eq!(terminal.end(), Some(130), "{}", terminal.shown());
    }
}

#[test]
fn at_a_terminal_tab_completes_errors_go_on_and_the_history_is_kept() {
    let Some(server) = server(Kind::Vsftpd) else { return };
    let ca = format!("ca_file={}", server.ca().display());
    let mut terminal = Terminal::open(&["--set", &ca, "--state", "state", "shell", &server.url()]);
    terminal.until("password of tester on 127.0.0.1: ");
    terminal.keys(&format!("{}\r", RealServer::PASSWORD));
    terminal.until("127.0.0.1:/> ");
    terminal.keys("cat pub/a.\t\r");
    terminal.until("1,2\r\n");
    terminal.until("127.0.0.1:/> ");
    // A mistake ends a pipe, and not a conversation.
    terminal.keys("cat gone\r");
    terminal.until("error: /gone: ");
    terminal.until("127.0.0.1:/> ");
    // An unfinished line continues in the next one, and Ctrl-C drops it.
    terminal.keys("if true {\r");
    terminal.keys("\x03");
    terminal.until("127.0.0.1:/> ");
    // Two lines back with the arrow key.
    terminal.keys("\x1b[A\x1b[A\r");
    terminal.until("1,2\r\n");
    terminal.until("127.0.0.1:/> ");
    terminal.keys("\x04");
    assert_eq!(terminal.end(), Some(0), "{}", terminal.shown());
    assert!(!terminal.shown().contains(RealServer::PASSWORD), "{}", terminal.shown());
    let history = fs::read_to_string(terminal.folder.path().join("state/shell-history")).unwrap();
    let lines: Vec<_> = history.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines, ["cat pub/a.csv", "cat gone", "cat pub/a.csv"]);
}

#[test]
fn at_a_terminal_a_missing_file_is_answered_with_the_nearest() {
    let Some(server) = server(Kind::Vsftpd) else { return };
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("password");
    fs::write(&file, RealServer::PASSWORD).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let (ca, file) = (format!("ca_file={}", server.ca().display()), file.display().to_string());
    let get = |more: &[&str], path: &str| {
        let url = format!("{}{path}", server.url());
        let words = ["--set", &ca, "--password-file", &file, "get", &url];
        let mut terminal = Terminal::open(&[more, &words].concat());
        assert_eq!(terminal.end(), Some(5), "{}", terminal.shown());
        terminal
    };
    get(&[], "pub/deep/d.csv")
        .until("no such file or folder on the server; did you mean `/pub/deep/c.csv`?");
    get(&[], "pup/a.csv").until("; did you mean `/pub`?");
    let mut json = get(&["--json"], "pub/deep/d.csv");
    json.until("/pub/deep/d.csv");
    assert!(!json.shown().contains("did you mean"), "{}", json.shown());
}

#[test]
fn at_a_terminal_files_are_edited_and_transfers_run_on() {
    let Some(server) = server(Kind::Vsftpd) else { return };
    let ca = format!("ca_file={}", server.ca().display());
    let mut terminal = Terminal::open(&["--set", &ca, "--state", "state", "shell", &server.url()]);
    terminal.until("password of tester on 127.0.0.1: ");
    terminal.keys(&format!("{}\r", RealServer::PASSWORD));
    terminal.until("127.0.0.1:/> ");
    terminal.keys("gett pub/a.csv\r");
    terminal.until("did you mean `get`?");
    terminal.until("127.0.0.1:/> ");
    terminal.keys("get pub/a.csv &\r");
    terminal.until("[1] get pub/a.csv");
    terminal.until("127.0.0.1:/> ");
    terminal.keys("wait\r");
    terminal.until("[1] done: get pub/a.csv (1 file");
    terminal.until("127.0.0.1:/> ");
    // The editor of this terminal adds a line, and then none.
    terminal.keys("edit pub/b.csv\r");
    terminal.until("127.0.0.1:/> ");
    assert_eq!(server.bytes("pub/b.csv"), b"3,4\nadded\n");
    terminal.keys("less pub/b.csv\r");
    terminal.until("3,4\r\nadded\r\n");
    terminal.until("127.0.0.1:/> ");
    terminal.keys("\x04");
    assert_eq!(terminal.end(), Some(0), "{}", terminal.shown());
    assert_eq!(fs::read(terminal.folder.path().join("a.csv")).unwrap(), b"1,2\n");
}
