//! Saved sites: `sites.toml`, `@NAME` in place of URLs, `portolan site`, password commands, and proxies of the
//! environment.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::{program::Portolan, rehearsal::Rehearsal};

/// Returns a server with some files, and its URL.
fn server() -> (Rehearsal, String) {
    let server = Rehearsal::start(&[], false);
    server.file("in/a.csv", "one");
    server.file("in/b.csv", "two");
    let url = format!("ftp://tester@{}", server.server.address());
    (server, url)
}

/// Returns the program in a directory with a site `acme`, whose password is a secret of that directory.
fn with_site(url: &str) -> Portolan {
    let site = format!("[site.acme]\nurl = \"{url}/in\"\npassword = \"secret:ACME\"\n");
    let program = Portolan::new().file("sites.toml", site).file("secrets/ACME", "open+sesame-21\n");
    let secret = program.folder().join("secrets/ACME");
    fs::set_permissions(secret, fs::Permissions::from_mode(0o600)).unwrap();
    program
}

#[test]
fn a_site_works_wherever_a_url_does() {
    let (server, url) = server();
    let program = with_site(&url).file("new.csv", "three");
    let run = |words: &[&str]| program.clone_with(words.iter().copied()).run().any_stderr();
    run(&["cat", "@acme/a.csv"]).stdout("one");
    run(&["cat", "@acme/*.csv"]).stdout("onetwo");
    run(&["ls", "@acme"]).stdout_has("a.csv\n");
    run(&["ls", "@acme//in/"]).stdout_has("a.csv\n");
    run(&["put", "new.csv", "@acme/"]).any_stdout();
    assert_eq!(server.bytes("in/new.csv").unwrap(), b"three");
    run(&["mv", "@acme/new.csv", "@acme/moved.csv"]).any_stdout();
    run(&["mirror", "@acme/", "down"]).any_stdout().any_files();
    assert!(program.folder().join("down/moved.csv").exists());
    run(&["rm", "@acme/moved.csv"]).any_stdout();
    assert!(server.bytes("in/moved.csv").is_none());
    run(&["doctor", "@acme"]).any_stdout();
    run(&["site", "test", "acme"]).stdout_has("acme: works: tester on 127.0.0.1 without TLS");
}

#[test]
fn a_script_connects_to_a_site_in_three_ways() {
    let (_server, url) = server();
    let script = r#"
        print(ftp::connect("@acme").read("a.csv"));
        print(ftp::connect("@acme/").exists("b.csv"));
        print(ftp::site("acme").mode);
        print(ftp::site("acme", #{ mode: "passive" }).mode);
        try { ftp::site("acne"); } catch (err) { print(err.message); }
    "#;
    let program = with_site(&url).script(script);
    let told = "one\ntrue\nauto\npassive\nthere is no saved site `acne`; did you mean `@acme`?\n";
    program.run().any_stderr().stdout(told);
    let check = Portolan::new()
        .file("sites.toml", "[site.acme]\nurl = \"ftp://h\"\n")
        .file("a.rhai", "ftp::connect(\"@acne/in\");")
        .args(["check", "a.rhai"]);
    check.run().any_stdout().stderr_has("did you mean `@acme`?");
}

#[test]
fn set_and_a_script_count_before_the_options_of_a_site() {
    let (_server, url) = server();
    let file = format!(
        "[site.acme]\nurl = \"{url}/in\"\nmode = \"active\"\npassword = \"open+sesame-21\"\n"
    );
    let script =
        "print(ftp::site(\"acme\").mode); print(ftp::site(\"acme\", #{ mode: \"race\" }).mode);";
    let program = Portolan::new().file("sites.toml", file).script(script);
    program.run().any_stderr().stdout("active\nrace\n");
    program.clone_with(["--set", "mode=passive"]).run().any_stderr().stdout("passive\npassive\n");
}

#[test]
fn a_site_is_added_shown_and_removed_without_its_password_being_shown() {
    let (_server, url) = server();
    let with_password = url.replace("tester@", "tester:open+sesame-21@");
    let program = Portolan::new().file("portolan.toml", "");
    let run = |words: &[&str]| {
        program.clone_with(words.iter().copied()).run().never_says("open+sesame-21@").any_files()
    };
    let added = ["site", "add", "acme", &format!("{with_password}/in"), "--set", "parallel=2"];
    run(&added).stdout("saved `acme` in sites.toml\nits password: secrets/ACME\n");
    let text = fs::read_to_string(program.folder().join("sites.toml")).unwrap();
    let wanted =
        format!("[site.acme]\nurl = \"{url}/in\"\npassword = \"secret:ACME\"\nparallel = 2\n");
    assert_eq!(text, wanted);
    let kept = fs::metadata(program.folder().join("secrets/ACME")).unwrap();
    assert_eq!(kept.permissions().mode() & 0o777, 0o600);
    run(&["cat", "@acme/a.csv"]).any_stderr().stdout("one");
    run(&["site", "list"]).stdout(
        &format!("site  url                             file\nacme  {url}/in  sites.toml\n")
            .replace("                             ", &" ".repeat(url.len() + 2)),
    );
    run(&["site", "show", "acme"]).stdout_has("the secret ACME");
    let mut shown = run(&["site", "show", "acme", "--json"]);
    let shown = shown.json();
    assert_eq!((&shown["options"]["parallel"], &shown["name"]), (&"2".into(), &"acme".into()));
    run(&added).fails_with(2).stderr_has("--replace");
    run(&["site", "add", "acme", &url, "--replace"]).stdout("saved `acme` in sites.toml\n");
    run(&["site", "add", "b", &with_password]).any_stdout();
    run(&["site", "remove", "b"]).stdout("removed `b` in sites.toml\nits password: secrets/B\n");
    assert!(!program.folder().join("secrets/B").exists());
    run(&["ls", "@b"]).fails_with(2).stderr_has("there is no saved site `b`");
}

#[test]
fn without_a_jobs_file_a_site_is_saved_for_the_user() {
    let (_server, url) = server();
    let home = tempfile::tempdir().unwrap();
    let program = Portolan::new().env("XDG_CONFIG_HOME", home.path());
    let with_password = url.replace("tester@", "tester:open+sesame-21@");
    let run = |words: &[&str]| program.clone_with(words.iter().copied()).run();
    run(&["site", "add", "acme", &with_password]).any_stdout();
    let kept = home.path().join("portolan/secrets/ACME");
    assert_eq!(fs::read_to_string(kept).unwrap(), "open+sesame-21\n");
    run(&["cat", "@acme/in/a.csv"]).any_stderr().stdout("one");
    run(&["site", "remove", "@acme"]).any_stdout();
    assert!(!home.path().join("portolan/secrets/ACME").exists());
}

#[test]
fn a_password_command_is_asked_once_and_its_failure_is_no_login() {
    let (_server, url) = server();
    let file = format!(
        "[site.acme]\nurl = \"{url}/in\"\npassword_command = \"echo x >> asked; echo open+sesame-21\"\n\
         [site.argv]\nurl = \"{url}/in\"\npassword_command = [\"printf\", \"open+sesame-21\"]\n\
         [site.bad]\nurl = \"{url}/in\"\npassword_command = \"echo hunter2; exit 3\"\n"
    );
    let program = Portolan::new().file("sites.toml", file);
    let run = |words: &[&str]| program.clone_with(words.iter().copied()).run().any_files();
    run(&["cat", "@acme/a.csv", "@acme/b.csv"]).any_stderr().stdout("onetwo");
    assert_eq!(fs::read_to_string(program.folder().join("asked")).unwrap(), "x\n");
    run(&["cat", "@argv/a.csv"]).any_stderr().stdout("one");
    let bad = run(&["cat", "@bad/a.csv"]).any_code().never_says("hunter2");
    bad.stderr_has("the password command failed");
    let by_flag = ["--password-command", "echo open+sesame-21", "cat", &format!("{url}/in/a.csv")];
    run(&by_flag).any_stderr().stdout("one");
    // Anybody could have written the command.
    let path = program.folder().join("sites.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    run(&["cat", "@acme/a.csv"]).any_code().stderr_has("`password_command` is not run");
    assert_eq!(fs::read_to_string(program.folder().join("asked")).unwrap(), "x\n");
}

#[test]
fn an_empty_secret_or_url_is_named_before_a_login() {
    let (server, url) = server();
    let empty = Portolan::new()
        .env("ACME", "")
        .file("sites.toml", format!("[site.acme]\nurl = \"{url}\"\npassword = \"secret:ACME\"\n"));
    empty.clone_with(["ls", "@acme"]).run().fails_with(2).stderr_has("the secret `ACME` is empty");
    let script = format!("ftp::connect(\"{url}\", #{{ password: secret(\"ACME\") }});");
    let run = Portolan::new().env("ACME", "").script(&script).run();
    run.any_code().stderr_has("the secret `ACME` is empty");
    let by_variable = Portolan::new().env("PORTOLAN_PASSWORD", "").args(["ls", &url]);
    by_variable.run().fails_with(2).stderr_has("PORTOLAN_PASSWORD");
    let option = Portolan::new().args(["--set", "password=", "ls", &url]);
    option.run().fails_with(2).stderr_has("`password` is empty");
    for words in [&["ls", ""][..], &["put", "a", ""], &["mirror", ".", ""]] {
        let ran = Portolan::new().file("a", "").args(words.iter().copied()).run();
        ran.fails_with(2).stderr_has("empty: a variable that it comes from may not be set");
    }
    assert!(server.server.log().iter().all(|line| !line.contains("PASS")));
}

#[test]
fn a_proxy_of_the_environment_is_used_and_said() {
    let (_server, url) = server();
    // Nothing listens there.
    let program = Portolan::new()
        .env("PORTOLAN_PASSWORD", "open+sesame-21")
        .env("all_proxy", "socks5://127.0.0.1:9")
        .args(["cat", &format!("{url}/in/a.csv")]);
    program.run().any_code().stderr_has("all_proxy");
    program.clone_with(["--set", "proxy=none"]).run().any_stderr().stdout("one");
    program.clone_with(["-q"]).env("no_proxy", "127.0.0.0/8").run().any_stderr().stdout("one");
    let wrong = program.clone_with(["-q"]).env("FTP_PROXY", "ftp://me:hunter2@gate");
    wrong.run().fails_with(2).never_says("hunter2").stderr_has("FTP_PROXY");
}

#[test]
fn sites_of_other_programs_are_imported_and_their_passwords_only_if_asked_for() {
    let (server, _url) = server();
    let port = server.server.address().port();
    let xml = format!(
        "<?xml version=\"1.0\"?><FileZilla3><Servers><Server><Host>127.0.0.1</Host><Port>{port}</Port><Protocol>6</Protocol>\
         <User>tester</User><Pass encoding=\"base64\">c2VjcmV0</Pass><Logontype>1</Logontype><Name>My shop</Name>\
         <RemoteDir>1 0 2 in</RemoteDir></Server><Server><Host>h</Host><Protocol>1</Protocol><Name>ssh</Name></Server>\
         </Servers></FileZilla3>"
    );
    let conf = format!(
        "[clone]\ntype = ftp\nhost = 127.0.0.1\nport = {port}\nuser = tester\npass = \
         YWFhYWFhYWFhYWFhYWFhYXAQDRE0Cg\n[s3]\ntype = s3\n"
    );
    let program = Portolan::new()
        .file("portolan.toml", "")
        .file("sitemanager.xml", xml)
        .file("rclone.conf", conf)
        .file("other.txt", "hello\n");
    let run = |words: &[&str]| {
        program.clone_with(words.iter().copied()).run().any_files().never_says("c2VjcmV0")
    };
    let dry = run(&["site", "import", "sitemanager.xml", "--dry-run"]).any_stderr();
    dry.stdout_has("would save `My-shop`: ftp://tester@127.0.0.1");
    assert!(!program.folder().join("sites.toml").exists());
    let saved = run(&["site", "import", "sitemanager.xml"]);
    let saved = saved.stderr("left out `ssh`: its protocol is SFTP\n");
    saved.stdout_has("without its password (--passwords keeps it)");
    assert!(!program.folder().join("secrets").exists());
    let again = run(&["site", "import", "sitemanager.xml", "--passwords"]).fails_with(2);
    again.stderr_has("there is a site `My-shop` already");
    let kept = run(&["site", "import", "sitemanager.xml", "--passwords", "--replace"]);
    kept.any_stderr().stdout_has("saved `My-shop`");
    run(&["cat", "@My-shop/a.csv"]).any_stderr().stdout("one");
    let text = fs::read_to_string(program.folder().join("sites.toml")).unwrap();
    assert!(text.contains("secret:MY_SHOP") && !text.contains("secret\""), "{text}");
    run(&["site", "import", "rclone.conf", "--passwords"]).any_stderr().stdout_has("saved `clone`");
    run(&["cat", "@clone/in/b.csv"]).any_stderr().stdout("two");
    run(&["site", "import", "other.txt"]).fails_with(2).stderr_has("sitemanager.xml");
}
