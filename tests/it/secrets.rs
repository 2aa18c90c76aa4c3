//! Passwords: never shown, whatever a script or a server does with them.

use crate::support::{
    program::Portolan,
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
                // The name of the variable has it in capitals; the word itself is the password.
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
    let url = server.url().replace("tester@", "tester:secret@");
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
    portolan().env("PORTOLAN_PASSWORD", "secret").run().succeeds().stdout_has("a.txt");
    let by_file = portolan().file("password", "secret\r\n").args(["--password-file", "password"]);
    by_file.env("PORTOLAN_PASSWORD", "wrong").run().succeeds().stdout_has("a.txt");
    portolan()
        .args(["--password-file", "gone"])
        .run()
        .any_stdout()
        .fails_with(2)
        .stderr("error: gone: cannot read the secret: no such file or directory\n");
    portolan().args(["--set", "password=secret"]).run().succeeds().stdout_has("a.txt");
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
