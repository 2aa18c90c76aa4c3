//! Passwords: never shown, whatever a script or a server does with them.

use crate::support::{
    program::Portolan,
    rehearsal::Rehearsal,
    server::{Kind, Options, RealServer, Tls},
    tree::Manifest,
};

const CANARY: &str = "canary-7f3a9c";

#[test]
fn s66_a_secret_in_any_print_message_or_file_is_three_stars() {
    Portolan::new()
        .env("TOKEN", CANARY)
        .script(
            r#"
            let s = secret("TOKEN");
            print(s);
            print("a" + s);
            print(s + "b");
            print(`c ${s} d`);
            print([s]);
            print(#{ s: s });
            print(#{ s: [s] }.to_json());
            print([s].to_json());
            print(s.to_string());
            print(s.to_debug());
            debug(s);
            let text = "e";
            text += s;
            local::write("out.txt", text);
            log::warn(s);
            log::warn([#{ s: s }]);
            try { throw s; } catch (err) { print(fault(err).message); }
            try { ftp::connect("ftp://h", #{ mode: s }); } catch (err) { print(err.message); }
            try { ftp::connect("ftp://h", #{ password: [s] }); } catch (err) { print(err.message); }
            throw s;
            "#,
        )
        .run()
        .fails_with(3)
        .never_says(CANARY)
        .wrote("out.txt", "e***")
        .stdout(concat!(
            "***\na***\n***b\nc *** d\n[***]\n#{\"s\": ***}\n{\"s\":[\"***\"]}\n[\"***\"]\n***\n***\n",
            "***\n`mode` wants a string, got ***\n`password` wants a string or a secret()\n",
        ))
        .stderr(concat!(
            "warning: ***\nwarning: [#{\"s\": ***}]\n",
            "error: ***\n  --> script.rhai:22:13\n   |\n22 |             throw s;\n   |             ^\n",
        ));
}

#[test]
fn s65_a_password_is_in_no_output_no_file_and_no_list_of_processes() {
    let script = r#"
        let site = ftp::connect(env("SITE"), #{ password: secret("SITE_PASSWORD"), ca_file: env("SITE_CA") });
        site.put("a.txt", "a.txt");
        print(site.read("a.txt"));
        try { site.get("gone", "gone"); } catch (err) { print(err); print([err].to_json()); }
        try { site.quote("SITE NONSENSE"); } catch (err) { print(err); }
        print("waiting");
        sleep("1s");
        fail("over");
    "#;
    for (kind, tls) in
        [(Kind::Vsftpd, Tls::Off), (Kind::Proftpd, Tls::Explicit), (Kind::PureFtpd, Tls::Off)]
    {
        let Some(server) = RealServer::start(kind, &Options { tls, ..Options::default() }) else {
            return;
        };
        for format in ["text", "json"] {
            for json in [&[][..], &["--json"][..]] {
                let portolan = Portolan::new()
                    .server(&server)
                    .env("RUST_LOG", "trace")
                    .file("a.txt", "content")
                    .args(["--log-level", "debug", "--log-format", format])
                    .args(json.iter().copied())
                    .script(script);
                let running = portolan.spawn();
                running.until_stdout_has("waiting");
                let line = std::fs::read(format!("/proc/{}/cmdline", running.id())).unwrap();
                assert!(!String::from_utf8_lossy(&line).contains(RealServer::PASSWORD));
                let ran = running.wait().fails_with(3).any_stdout().stderr_has("over");
                // The name of the variable has it in capitals; the lower-case word is the password.
                ran.never_says(RealServer::PASSWORD);
            }
        }
    }
}

#[test]
fn s65_a_password_that_the_server_repeats_is_hidden() {
    let script = r#"
        try { ftp::connect("ftp://me@ftp.example.org", #{ password: secret("TOKEN") }); }
        catch (err) { print(err); print(err.message); print([err].to_json()); throw err; }
    "#;
    for at in ["PASS", "USER"] {
        for json in [&[][..], &["--json"][..]] {
            Portolan::new()
                .env("TOKEN", CANARY)
                .args(["--log-level", "debug"])
                .args(json.iter().copied())
                .args([
                    "rehearse",
                    "--fault",
                    &format!("reply={at}:530 {CANARY} is not the password of me"),
                ])
                .args(["script.rhai"])
                .file("script.rhai", script)
                .run()
                .fails_with(5)
                .any_stdout()
                .stderr_has("error: ftp.example.org: ")
                .never_says(CANARY);
        }
    }
}

#[test]
fn s65_a_password_in_a_url_is_taken_and_warned_about_and_not_repeated() {
    let Some(server) = RealServer::start(Kind::Vsftpd, &Options::default()) else { return };
    let url = server.url().replace("tester@", "tester:open+sesame-21@");
    let script =
        format!("let site = ftp::connect(\"{url}\"); print(site.pwd()); site.read(\"gone\");");
    Portolan::new()
        .args(["--log-level", "debug"])
        .script(&script)
        .run()
        .fails_with(5)
        .stdout("/\n")
        .stderr_has("a password stands in the URL: secret(\"NAME\") keeps it out of scripts");
}

#[test]
fn a_password_comes_from_a_file_or_the_environment_and_the_file_wins() {
    let Some(server) = RealServer::start(Kind::Vsftpd, &Options::default()) else { return };
    server.file("a.txt", "x");
    let portolan = || Portolan::new().args(["ls", &server.url()]);
    portolan().env("PORTOLAN_PASSWORD", "open+sesame-21").run().succeeds().stdout_has("a.txt");
    let by_file =
        portolan().file("password", "open+sesame-21\r\n").args(["--password-file", "password"]);
    by_file.env("PORTOLAN_PASSWORD", "wrong").run().succeeds().stdout_has("a.txt");
    portolan()
        .args(["--password-file", "gone"])
        .run()
        .any_stdout()
        .fails_with(2)
        .stderr("error: gone: cannot read the secret: no such file or directory\n");
    // A part of a secret is not a secret.
    portolan()
        .file("password", "x".repeat(65 * 1024))
        .args(["--password-file", "password"])
        .run()
        .any_stdout()
        .fails_with(2)
        .stderr("error: password: a secret of more than 65536 bytes is not read\n");
    portolan().args(["--set", "password=open+sesame-21"]).run().succeeds().stdout_has("a.txt");
}

#[test]
fn a_secret_that_is_not_there_says_where_it_could_come_from() {
    Portolan::new().script("secret(\"WWW_PASSWORD\");").run().fails_with(5).stderr_has(
        "error: there is no secret `WWW_PASSWORD`: set the environment variable WWW_PASSWORD, or give a systemd credential",
    );
    let named = Portolan::new().file("credentials/TOKEN", "from-systemd\n");
    let folder = named.folder().join("credentials");
    let before = Manifest::of(named.folder());
    let ran = named.env("CREDENTIALS_DIRECTORY", folder).script("print(secret(\"TOKEN\"));").run();
    assert!(before.has("credentials/TOKEN"));
    ran.succeeds().stdout("***\n");
}

/// A script that calls many operations of a session, prints their results, and ends with a deletion.
const ASKS: &str = r#"
    let site = ftp::connect(env("SITE"), #{ password: secret("TOKEN"), account: secret("ACCOUNT") });
    print(site.features());
    let asked = [
        || site.list("/"), || site.names("/"), || site.size("a.txt"), || site.modified("a.txt"),
        || site.read("a.txt"), || site.write("b.txt", "x"), || site.mkdir("c"), || site.rename("a.txt", "d"),
        || site.quote("SYST"), || site.quote("SITE HELP"), || site.quote("STAT"), || site.pwd(),
    ];
    for one in asked {
        try { print(one.call()); } catch (err) { print(err); print(err.message); print([err].to_json()); }
    }
    site.delete("a.txt");
"#;

fn holds_below(folder: &std::path::Path, text: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).find_map(|path| {
        if path.is_dir() {
            return holds_below(&path, text);
        }
        let bytes = std::fs::read(&path).unwrap();
        bytes.windows(text.len()).any(|part| part == text.as_bytes()).then_some(path)
    })
}

#[test]
fn s65_a_secret_that_the_server_repeats_in_any_reply_and_form_is_hidden() {
    // The plain text; some of it percent-encoded; Base64 of it, and of `tester:` before it; hexadecimal; the account.
    let forms = [
        CANARY,
        "can%61ry-7f3a9%63",
        "Y2FuYXJ5LTdmM2E5Yw==",
        "dGVzdGVyOmNhbmFyeS03ZjNhOWM=",
        "63616e6172792d376633613963",
        "account-51d0",
    ];
    for form in forms {
        for verbs in [
            &["EPSV", "PASV", "EPRT", "PORT", "SIZE", "MDTM", "DELE"][..],
            &["MLSD", "LIST", "NLST", "RETR", "STOR", "MKD", "RNFR", "DELE"],
            &["CWD", "SYST", "SITE", "STAT", "MLST", "DELE"],
        ] {
            let faults: Vec<_> =
                verbs.iter().map(|verb| format!("reply={verb}:550 no, {form} is not")).collect();
            let faults: Vec<_> = faults.iter().map(String::as_str).collect();
            let server = Rehearsal::start(&faults, false);
            server.file("a.txt", "text");
            for json in [&[][..], &["--json"][..]] {
                let ran = Portolan::new()
                    .env("SITE", format!("ftp://tester@{}", server.server.address()))
                    .env("TOKEN", CANARY)
                    .env("ACCOUNT", "account-51d0")
                    .args(["--log-level", "debug", "--state", "state"])
                    .args(json.iter().copied())
                    .script(ASKS)
                    .run()
                    .fails_with(5)
                    .any_stdout()
                    .any_files()
                    .stderr_has("no, *** is not")
                    .never_says(form);
                assert!(ran.stdout_text().contains("no, *** is not"), "{}", ran.stdout_text());
                assert_eq!(holds_below(ran.folder(), form), None, "{form}");
            }
        }
    }
}

#[test]
fn s65_a_password_in_the_closing_reply_of_a_listing_or_in_what_is_no_reply_is_hidden() {
    for fault in [
        format!("reply=FEAT:211-Features\r\n MDTM\r\n X-{CANARY}\r\n211 End"),
        format!("reply=NOOP:{CANARY} is no reply"),
        format!("reply=DELE:{CANARY} is no reply at all, and {CANARY} neither"),
        format!("listing={CANARY} is no line of any format\r\n"),
        format!("reply=QUIT:221 good night {CANARY}"),
    ] {
        let server = Rehearsal::start(&[&fault], false);
        server.file("a.txt", "text");
        let portolan = Portolan::new()
            .env("SITE", format!("ftp://tester@{}", server.server.address()))
            .env("TOKEN", CANARY)
            .env("ACCOUNT", "x")
            .env("PORTOLAN_PASSWORD", CANARY)
            .args(["--log-level", "debug"]);
        let ran = portolan.clone_with(["--state", "state"]).script(ASKS).run().any_code();
        let ran = ran.any_stdout().any_stderr().any_files().never_says(CANARY);
        assert_eq!(holds_below(ran.folder(), CANARY), None, "{fault}");
        let url = format!("ftp://tester@{}/", server.server.address());
        for words in [&["ls"][..], &["doctor"], &["mirror", "--dry-run"], &["get"]] {
            let target = (words[0] == "mirror").then_some("copy");
            let ran =
                portolan.clone_with(words.iter().copied().chain([url.as_str()]).chain(target));
            ran.run().any_code().any_stdout().any_stderr().any_files().never_says(CANARY).forget();
        }
    }
}

/// Returns scripts with a password in them, most of which do not compile or fail.
fn careless() -> Vec<String> {
    let url = format!("ftp://me:{CANARY}@127.0.0.1:1/");
    let encoded = CANARY.replace('-', "%2D");
    vec![
        format!("ftp::connect(\"{url}\");"),
        format!("ftp::connect(\"ftp://me:{encoded}@127.0.0.1:1/\");"),
        format!("ftp::connect(`ftp://me:{CANARY}@${{\"127.0.0.1\"}}:1/`);"),
        format!("ftp::connect(\"ftp://me@127.0.0.1:1\", #{{ password: \"{CANARY}\" }});"),
        format!("ftp::connect(\"ftp://me@127.0.0.1:1\", #{{ password: `{CANARY}\n`, mode: 7 }});"),
        format!("ftp::connect(\"ftp://me@127.0.0.1:1\", #{{ pasword: \"{CANARY}\" }});"),
        format!("ftp::connect(\"ftp://me@127.0.0.1:1\", #{{ password: \"{CANARY} }});"),
        format!("ftp::connect(\"ftp://me@127.0.0.1:1\", #{{ password: '{CANARY}' }});"),
        format!("ftp::connect(\"ftp://me@127.0.0.1:1\", #{{ password \"{CANARY}\" }});"),
        format!("ftp::connect(\"ftp://me@127.0.0.1:1\", #{{ password: {CANARY} }});"),
        format!("let p = \"{CANARY}\" ftp::connect(\"ftp://me@127.0.0.1:1\", #{{ password: p }});"),
        format!("let token = \"{CANARY}\"; nothing(token);"),
        format!("let api_key = \"{CANARY}\"; throw api_key;"),
        format!("ftp::connect(\"ftp://h\", #{{ proxy: \"socks5://u:{CANARY}@127.0.0.1:1\" }}, 3);"),
        format!("let s = ftp::connect(\"ftp://127.0.0.1:1\"); s.quote(\"PASS {CANARY}\""),
        format!("nothing(); // password: {CANARY}"),
        format!(
            "fn go(p) {{ ftp::connect(\"ftp://127.0.0.1:1\", #{{ password: p }}) }} go(\"{CANARY}\");"
        ),
    ]
}

#[test]
fn a_password_that_stands_in_a_script_is_in_no_excerpt_message_event_or_history() {
    for script in careless() {
        let portolan = Portolan::new().file("a.rhai", &script).args(["--state", "state"]);
        for words in
            [&["check"][..], &["--json", "check"], &["run"], &["--json", "run"], &["rehearse"]]
        {
            let ran = portolan.clone_with(words.iter().copied().chain(["a.rhai"])).run();
            let ran = ran.any_code().any_stdout().any_stderr().any_files();
            let end = CANARY.rsplit('-').next().unwrap();
            assert!(!ran.stderr_text().contains(end), "{script}\n{}", ran.stderr_text());
            assert!(!ran.stdout_text().contains(end), "{script}\n{}", ran.stdout_text());
            assert!(!ran.stdout_text().is_empty() || !ran.stderr_text().is_empty(), "{script}");
        }
        let state = portolan.folder().join("state");
        if state.exists() {
            assert_eq!(holds_below(&state, CANARY), None, "{script}");
        }
    }
}

#[test]
fn a_password_that_stands_in_a_jobs_file_is_in_no_diagnosis() {
    for line in [
        format!("connect = {{ password = \"{CANARY}\" }}"),
        format!("connect = {{ password = \"{CANARY}\", mode = \"sideways\" }}"),
        format!("connect = {{ password = {CANARY} }}"),
        format!("connect = {{ password = '{CANARY}' "),
        format!("connect = {{ account = \"\"\"{CANARY}\"\"\", port_range = \"1\" }}"),
        format!("connect = {{ proxy = \"gopher://u:{CANARY}@h\" }}"),
        format!("args = [\"ftp://me:{CANARY}@h\"]\nargz = 1"),
        format!("ping = \"{CANARY}://hc\""),
        format!("on_failure = {{ webhook = \"h/{CANARY}\" }}"),
        format!("password = \"{CANARY}\""),
        format!("token: \"{CANARY}\""),
    ] {
        let jobs = format!("[[job]]\nname = \"a\"\nscript = \"a.rhai\"\n{line}\n");
        let portolan = Portolan::new().file("portolan.toml", jobs).file("a.rhai", "");
        for words in [
            &["check", "portolan.toml"][..],
            &["--json", "check", "portolan.toml"],
            &["next"],
            &["--json", "next"],
            &["export", "systemd"],
        ] {
            let ran = portolan.clone_with(words.iter().copied()).run();
            ran.any_code().any_stdout().any_stderr().any_files().never_says(CANARY).forget();
        }
    }
}
