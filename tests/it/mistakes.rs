//! Common mistakes of beginners, and the messages for them: the problem, its place, and the remedy.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

use crate::support::{
    certificates::Certificate,
    program::Portolan,
    server::{Kind, Options, RealServer, Tls, free_ports},
};

/// The expected result of a mistake: the exit code, and the exact message.
struct Told<'t> {
    code: i32,
    says: &'t [&'t str],
}

const fn told<'t>(code: i32, says: &'t [&'t str]) -> Told<'t> {
    Told { code, says }
}

/// Checks a command line with a mistake in it.
fn line(program: Portolan, arguments: &[&str], told: &Told<'_>) {
    let mut ran = program.args(arguments.iter().copied()).run().fails_with(told.code);
    for text in told.says {
        ran = ran.stderr_has(text);
    }
    drop(ran.any_stdout());
}

/// Checks a script with a mistake in it.
fn script(text: &str, told: &Told<'_>) {
    line(Portolan::new().file("script.rhai", text), &["run", "script.rhai"], told);
}

fn plain() -> Option<RealServer> {
    RealServer::start(Kind::Vsftpd, &Options::default())
}

fn knowing(password: &str) -> Portolan {
    Portolan::new().env("PORTOLAN_PASSWORD", password)
}

#[test]
fn a_wrong_password_or_user() {
    let Some(server) = plain() else { return };
    let wanted = told(
        5,
        &[
            "error: 127.0.0.1: the login as `tester` failed: the server said \"530 Login incorrect.\"\n",
            "hint: check user and password; a password comes from secret(\"NAME\"), --password-file, --netrc or PORTOLAN_PASSWORD\n",
        ],
    );
    line(knowing("wrong"), &["ls", &server.url()], &wanted);
    let secret = told(
        5,
        &[
            "error: there is no secret `WWW_PASWORD`: set the environment variable WWW_PASWORD, or give a systemd \
           credential or a file secrets/WWW_PASWORD (mode 0600) of that name\n  --> script.rhai:1:28\n",
        ],
    );
    script("let options = #{ password: secret(\"WWW_PASWORD\") };", &secret);
    let file = told(2, &["error: gone.txt: cannot read the secret: no such file or directory\n"]);
    line(Portolan::new(), &["--password-file", "gone.txt", "ls", &server.url()], &file);
}

#[test]
fn a_wrong_port_or_host() {
    let port = free_ports(1);
    let url = format!("ftp://127.0.0.1:{}/", port.start());
    let refused = format!(
        "error: 127.0.0.1: cannot connect to 127.0.0.1:{}: connection refused\n",
        port.start()
    );
    let says = [
        refused.as_str(),
        "hint: nothing listens at that port: is the server up? ftp:// and ftpes:// use port 21, ftps:// 990",
    ];
    line(Portolan::new(), &["ls", &url], &told(4, &says));
    let lost = told(
        4,
        &[
            "cannot find the host",
            "hint: is it spelt right? a URL is ftp://user@host:port/folder/file\n",
        ],
    );
    line(Portolan::new(), &["ls", "ftp://no-such-host.invalid/"], &lost);
    let port = told(
        2,
        &["error: `ftp://me@h:99999` is no URL of a server: `99999` is no port (1 to 65535)\n"],
    );
    line(Portolan::new(), &["ls", "ftp://me@h:99999"], &port);
}

#[test]
fn a_wrong_scheme() {
    let Some(server) = plain() else { return };
    let address = server.address();
    let sftp = told(
        2,
        &[
            "the scheme `sftp` is not ftp, ftpes or ftps; it goes over SSH, which is another protocol",
        ],
    );
    line(Portolan::new(), &["ls", "sftp://h/"], &sftp);
    let slash = told(
        2,
        &["error: `ftp:/h/pub` is no URL of a server: two slashes must follow the colon\n"],
    );
    line(Portolan::new(), &["ls", "ftp:/h/pub"], &slash);
    let implicit = format!("ftps://tester@{address}/");
    let early = told(
        5,
        &[
            "the server answered the TLS handshake with something else: is this its TLS port?\n",
            "hint: ftpes:// turns to TLS on the ordinary port 21; ftps:// begins with it on port 990\n",
        ],
    );
    line(knowing("open+sesame-21"), &["ls", &implicit], &early);
    let explicit = format!("ftpes://tester@{address}/");
    let none = told(
        5,
        &[
            "the server refused TLS, saying \"530 Please login with USER and PASS.\"\n",
            "hint: ftp:// is without TLS; ftps:// begins with TLS on port 990\n",
        ],
    );
    line(knowing("open+sesame-21"), &["ls", &explicit], &none);
}

#[test]
fn a_certificate_that_is_not_to_be_believed() {
    let unknown = "the server's certificate is from an unknown authority: name it with `ca_file`, or `pin` the certificate";
    for (certificate, knows_authority, says) in [
        (Certificate::Good, false, unknown),
        (Certificate::SelfSigned, true, unknown),
        (Certificate::Expired, true, "the server's certificate has expired"),
        (Certificate::WrongName, true, "the server's certificate is not for `127.0.0.1` but for "),
    ] {
        let options = Options { tls: Tls::Explicit, certificate, ..Options::default() };
        let Some(server) = RealServer::start(Kind::Vsftpd, &options) else { return };
        let says = [
            says,
            "hint: ca_file=FILE trusts another authority, pin=SHA256 this one certificate: `portolan doctor URL` shows it\n",
        ];
        let ca = format!("ca_file={}", server.ca().display());
        let url = server.url();
        let known = ["--set", &ca, "ls", &url];
        let arguments = if knows_authority { &known[..] } else { &known[2..] };
        line(knowing("open+sesame-21"), arguments, &told(5, &says));
    }
    let Some(server) = plain() else { return };
    let gone = told(5, &["error: gone.pem: cannot read certificates: "]);
    let url = format!("ftpes://tester@{}/", server.address());
    line(knowing("open+sesame-21"), &["--set", "ca_file=gone.pem", "ls", &url], &gone);
}

#[test]
fn a_wrong_path() {
    let Some(server) = plain() else { return };
    server.file("pub/a.csv", "1");
    let url = |path: &str| server.url() + path;
    let gone = told(5, &["error: /gone: there is no such file or folder on the server\n"]);
    line(knowing("open+sesame-21"), &["ls", &url("gone")], &gone);
    let folder = told(
        5,
        &[
            "error: /pub: the server said \"550 Failed to open file.\"\n",
            "of a folder where a file is wanted (`mirror` takes folders)",
        ],
    );
    line(knowing("open+sesame-21"), &["get", &url("pub")], &folder);
    let star = told(
        5,
        &[
            "error: /pub/*.csv: there is no such file or folder on the server\n",
            "hint: a * is a name here: patterns go with `portolan get`, `cat` and `rm`, `mget` in",
        ],
    );
    line(knowing("open+sesame-21"), &["du", &url("pub/*.csv")], &star);
    let above = told(
        5,
        &[
            "error: /x/a.csv: there is no folder /x on the server; `portolan mkdir`, or site.mkdir() in a script, makes it\n",
        ],
    );
    line(knowing("open+sesame-21").file("a.csv", ""), &["put", "a.csv", &url("x/a.csv")], &above);
    // The nearest name costs a listing, which nobody waits for in a pipe.
    let alone = told(5, &["error: /pub/b.csv: there is no such file or folder on the server\n"]);
    line(knowing("open+sesame-21"), &["get", &url("pub/b.csv")], &alone);
    line(knowing("open+sesame-21"), &["rm", &url("pub/b.csv")], &alone);
    let near =
        "error: report.cvs: cannot open: no such file or directory; did you mean `report.csv`?\n";
    let program = knowing("open+sesame-21").file("report.csv", "");
    line(program, &["put", "report.cvs", &url("")], &told(5, &[near]));
    let local = told(5, &["error: gone.csv: cannot open: no such file or directory\n"]);
    line(knowing("open+sesame-21"), &["put", "gone.csv", &url("")], &local);
    let near =
        "error: dits: cannot open the folder: no such file or directory; did you mean `dist`?\n";
    let program = knowing("open+sesame-21").file("dist/a", "");
    line(program, &["mirror", "--delete", "dits", &url("")], &told(5, &[near]));
    let into = told(
        5,
        &[
            "cannot open the folder: no such file or directory\n",
            "hint: folders above a file are not made by themselves",
        ],
    );
    line(knowing("open+sesame-21"), &["get", &url("pub/a.csv"), "deep/a.csv"], &into);
    let tree = told(
        5,
        &["error: /pub: this is a folder: --recursive removes it with all that is in it\n"],
    );
    line(knowing("open+sesame-21"), &["rm", &url("pub")], &tree);
}

#[test]
fn a_missing_permission() {
    let Some(server) = plain() else { return };
    server.file("locked/a.csv", "1");
    let locked = server.root().join("locked");
    std::os::unix::fs::chown(&locked, Some(0), Some(0)).unwrap();
    let url = server.url() + "locked/b.csv";
    let refused = told(
        5,
        &[
            "error: /locked/b.csv: the server said \"553 Could not create file.\"\n",
            "hint: servers say this of what may not be read or written",
        ],
    );
    line(knowing("open+sesame-21").file("b.csv", ""), &["put", "b.csv", &url], &refused);
    fs::set_permissions(locked.join("a.csv"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    std::os::unix::fs::chown(locked.join("a.csv"), Some(0), Some(0)).unwrap();
    let unreadable =
        told(5, &["error: /locked/a.csv: the server said \"550 Failed to open file.\"\n"]);
    line(knowing("open+sesame-21"), &["get", &(server.url() + "locked/a.csv")], &unreadable);
}

#[test]
fn a_mode_that_does_not_exist_or_does_not_work() {
    let options = Options { no_active: true, ..Options::default() };
    let Some(server) = RealServer::start(Kind::Vsftpd, &options) else { return };
    let word = told(
        2,
        &[
            "error: `mode` wants one of \"auto\", \"active\", \"passive\", \"race\", got \"pasive\"; did you mean \"passive\"?\n",
        ],
    );
    line(Portolan::new(), &["--set", "mode=pasive", "ls", &server.url()], &word);
    let ports = told(
        2,
        &[
            "error: `port_range` wants ports from 1024 to 65535, the lower first, such as \"50000-50010\", got \"20-21\"\n",
        ],
    );
    line(Portolan::new(), &["--set", "port_range=20-21", "ls", &server.url()], &ports);
    let held = told(4, &["hint: with `fallback: true` the other mode is tried as well\n"]);
    let arguments = ["--set", "mode=active", "--set", "fallback=false", "ls"];
    let url = server.url();
    let arguments: Vec<_> = arguments.into_iter().chain([url.as_str()]).collect();
    line(knowing("open+sesame-21"), &arguments, &held);
}

#[test]
fn an_option_that_does_not_exist() {
    let key = told(
        3,
        &[
            "error: `ftp::connect` has no option `pasword`\n  --> script.rhai:1:28\n  |\n1 | ftp::connect(\"ftp://h\", #{ pasword: *** });\n",
            "hint: did you mean `password`?\n\n1 error, nothing was run\n",
        ],
    );
    script("ftp::connect(\"ftp://h\", #{ pasword: 1 });", &key);
    let set = told(2, &["error: --set has no option `pasive`"]);
    line(Portolan::new(), &["--set", "pasive=true", "ls", "ftp://h"], &set);
    let pair = told(2, &["error: --set wants KEY=VALUE, such as mode=passive, got `mode`\n"]);
    line(Portolan::new(), &["--set", "mode", "ls", "ftp://h"], &pair);
    let flag = told(
        2,
        &[
            "error: unexpected argument '--paralel' found\n",
            "tip: a similar argument exists: '--parallel'\n",
        ],
    );
    line(Portolan::new(), &["mirror", "a", "ftp://h/", "--paralel", "4"], &flag);
    let command = told(
        2,
        &[
            "error: unrecognized subcommand 'mirorr'\n",
            "tip: a similar subcommand exists: 'mirror'\n",
        ],
    );
    line(Portolan::new(), &["mirorr", "a", "b"], &command);
    let time = told(
        3,
        &[
            "error: `connect_timeout` wants a duration such as \"90s\" or \"5m\", got \"5\"\n  --> script.rhai:1:45\n",
        ],
    );
    script("ftp::connect(\"ftp://h\", #{ connect_timeout: \"5\" });", &time);
    let fault = told(2, &["error: there is no fault `actve-425`; did you mean `active-425`?\n"]);
    line(
        Portolan::new().file("a.rhai", ""),
        &["rehearse", "a.rhai", "--fault", "actve-425"],
        &fault,
    );
}

#[test]
fn a_mirror_between_the_wrong_sides_or_with_a_wrong_pattern() {
    let sides =
        told(2, &["error: one side must be a URL (ftp://, ftpes:// or ftps://), and none is\n"]);
    line(Portolan::new(), &["mirror", "a", "b"], &sides);
    let glob = told(
        2,
        &["error: cannot read the pattern `[a`: ", "unclosed character class; missing ']'\n"],
    );
    line(Portolan::new(), &["mirror", "a", "ftp://h/", "--exclude", "[a"], &glob);
    let order =
        told(2, &["error: `put` wants the file first and then the URL: portolan put FILE URL"]);
    line(Portolan::new(), &["put", "ftp://h/a", "a"], &order);
    let Some(server) = plain() else { return };
    server.file("site/index.html", "x");
    server.file("site/a.html", "x");
    let empty = told(
        7,
        &[
            "error: the source has no files at all, and 2 deletes would follow: nothing was changed\n",
        ],
    );
    let program = knowing("open+sesame-21");
    fs::create_dir(program.folder().join("dist")).unwrap();
    line(program, &["mirror", "--delete", "dist", &(server.url() + "site")], &empty);
    assert!(server.root().join("site/index.html").exists());
    let gone = told(5, &["error: gone: cannot open the folder: no such file or directory\n"]);
    line(knowing("open+sesame-21"), &["mirror", "gone", &(server.url() + "site")], &gone);
}

#[test]
fn quotes_and_words_of_other_languages() {
    let quotes = told(
        3,
        &[
            "error: invalid character: 'ftp://h'\n  --> script.rhai:1:14\n",
            "hint: a text stands in double quotes: single ones hold one character\n",
        ],
    );
    script("ftp::connect('ftp://h');", &quotes);
    let open = told(
        3,
        &[
            "error: open string is not terminated\n  --> script.rhai:1:7\n",
            "hint: a text ends in its line; one in `backticks` may go on in the next\n",
        ],
    );
    script("print(\"a);", &open);
    let null = told(
        3,
        &[
            "error: 'null' is a reserved keyword\n  --> script.rhai:1:9\n",
            "hint: nothing is written `()`\n",
        ],
    );
    script("let x = null;", &null);
    let semicolon = told(
        3,
        &[
            "error: expecting ';' to terminate this statement\n  --> script.rhai:2:1\n",
            "hint: something is missing before this place: a semicolon at the end of the line above, or a } below it\n",
        ],
    );
    script("let x = 1\nprint(x);", &semicolon);
    let map = told(
        3,
        &[
            "error: there is no variable `mode`\n",
            "hint: options stand in `#{ … }`, with a # in front\n",
        ],
    );
    script("ftp::connect(\"ftp://h\", { mode: \"active\" });", &map);
    let word = told(
        3,
        &["error: there is no variable `active`\n", "hint: a text stands in quotes: \"active\"\n"],
    );
    script("ftp::connect(\"ftp://h\", #{ mode: active });", &word);
    let dot = told(
        3,
        &[
            "error: there is no variable `ftp`\n  --> script.rhai:1:1\n",
            "hint: what `ftp` has stands behind two colons: `ftp::…`\n",
        ],
    );
    script("ftp.connect(\"ftp://h\");", &dot);
    let made = told(
        3,
        &["error: there is no variable `site`\n", "hint: a name is made by `let site = …`\n"],
    );
    script("site = ftp::connect(\"ftp://h\");", &made);
}

#[test]
fn functions_that_are_called_otherwise() {
    let upload =
        told(3, &["error: a session has no function `upload`\n", "hint: did you mean `put`?\n"]);
    script("let site = ftp::connect(\"ftp://h\"); site.upload(\"a\", \"b\");", &upload);
    let near = told(
        3,
        &[
            "error: there is no function `ftp::conect`\n  --> script.rhai:1:6\n",
            "hint: did you mean `ftp::connect`?\n",
        ],
    );
    script("ftp::conect(\"ftp://h\");", &near);
    let count = told(
        3,
        &[
            "error: `get` takes 2 or 3 arguments, 1 given\n",
            "hint: `site.get(remote: string, local: string) -> Report`",
        ],
    );
    script("let site = ftp::connect(\"ftp://h\"); site.get(\"a\");", &count);
    let few = told(
        3,
        &[
            "error: array index 0 out of bounds: array is empty\n  --> script.rhai:1:12\n",
            "hint: the script was given too few arguments: `portolan run SCRIPT ARGUMENT…`; `args.len()` counts them\n",
        ],
    );
    script("print(args[0]);", &few);
    let import = told(
        3,
        &[
            "error: lib.rhai: cannot import \"lib\": no such file or directory\n  --> script.rhai:1:8\n",
        ],
    );
    script("import \"lib\" as lib; lib::f();", &import);
    let gone = told(2, &["error: gone.rhai: cannot read the script: no such file or directory\n"]);
    line(Portolan::new(), &["run", "gone.rhai"], &gone);
    let flags = told(
        2,
        &[
            "error: unexpected argument '--dry-run' found\n",
            "tip: to pass '--dry-run' as a value, use '-- --dry-run'\n",
        ],
    );
    line(Portolan::new(), &["run", "gone.rhai", "--dry-run"], &flags);
}

#[test]
fn a_closure_that_uses_the_session_which_the_line_is_still_asking() {
    let script = |text: &str| {
        let text = format!("let site = ftp::connect(\"ftpes://h\");\n{text}");
        let program = Portolan::new().file("tree/a", "x").file("script.rhai", text);
        program.args(["rehearse", "--tree", "tree", "script.rhai"]).run().any_stderr()
    };
    let entangled = "print(site.names(\"/\").filter(|name| site.exists(`/${name}`)));";
    script(entangled).fails_with(3).stderr_has("keep the answer first, as in `let names = ");
    let kept =
        "let names = site.names(\"/\"); print(names.filter(|name| site.exists(`/${name}`)));";
    script(kept).stdout("[\"a\"]\n");
}

#[test]
fn a_misspelt_script_or_secret_names_the_nearest() {
    let program = Portolan::new().file("scripts/nightly.rhai", "print(1);");
    let near = "error: scripts/nightli.rhai: cannot read the script: no such file or directory; did you mean \
                `scripts/nightly.rhai`?\n";
    line(program, &["run", "scripts/nightli.rhai"], &told(2, &[near]));
    let program = Portolan::new().env("FTP_PASSWORD", "open+sesame-21");
    let program = program.file("a.rhai", "let p = secret(\"FTP_PASWORD\");");
    let near = told(5, &["(mode 0600) of that name; did you mean `FTP_PASSWORD`?\n"]);
    line(program, &["run", "a.rhai"], &near);
    let program = Portolan::new().env("FTP_PASSWORD", OsStr::from_bytes(b"open\xffsesame-21"));
    let program = program.file("a.rhai", "let p = secret(\"FTP_PASSWORD\");");
    let odd = "the environment variable FTP_PASSWORD is no secret: it is not UTF-8";
    line(program, &["run", "a.rhai"], &told(5, &[odd]));
}

#[test]
fn what_the_language_takes_otherwise() {
    let own = "hint: a function sees only its own variables: give it `x` as an argument\n";
    script("fn f() { print(x) }\nlet x = 1;\nf();", &told(3, &[own]));
    let keys = "hint: `for` goes over arrays, ranges and texts; over a map it takes its keys";
    script("for (name, sum) in #{ a: 1 } { print(name); }", &told(3, &[keys]));
    script("let m = #{ a: 1 };\nfor (name, sum) in m { print(name); }", &told(3, &[keys]));
    script(
        "fail_temporarily(\"the day is not closed yet\");",
        &told(4, &["error: the day is not closed yet\n"]),
    );
    let text = "try { throw \"x\"; } catch (err) { print(err.message); }\n\
                let tries = [];\n\
                let v = retry(#{ backoff: \"1ms\" }, || {\n\
                    tries.push(1);\n\
                    if tries.len() < 3 { fail_temporarily(\"not yet\"); }\n\
                    tries.len()\n\
                });\n\
                print(v);\n";
    let ran = Portolan::new().script(text).run();
    ran.succeeds().stdout("x\n3\n").stderr_has("not yet; trying again (2 of 2)");
}

#[test]
fn the_name_of_an_empty_secret_is_told_whatever_comments_say_of_it() {
    let text = "// Permissions: --allow-secret=FTP_PASSWORD\nlet options = #{};\n\
                options.password = secret(\"FTP_PASSWORD\");\n";
    let program = Portolan::new().env("FTP_PASSWORD", "").file("script.rhai", text);
    let told = told(5, &["error: the secret `FTP_PASSWORD` is empty: "]);
    line(program, &["run", "script.rhai"], &told);
}
