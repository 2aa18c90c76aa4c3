//! Functions of scripts that need no server: text, tables, archives, programs, HTTP, values that are kept.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread::{self, JoinHandle},
};

use crate::support::{program::Portolan, rehearsal::Rehearsal};

/// Runs `text`, which must print exactly `wanted`.
#[track_caller]
fn prints(text: &str, wanted: &str) {
    drop(Portolan::new().script(text).run().succeeds().stdout(wanted).any_files());
}

#[test]
fn an_array_of_two_hundred_thousand_lines_is_collected() {
    let portolan = Portolan::new().file("lines", "a line of a file\n".repeat(200_000)).script(
        "let all = []; for line in local::lines(\"lines\") { all.push(line); } all += \"x\"; print(all.len());",
    );
    portolan.run().succeeds().stdout("200001\n");
}

#[test]
fn lines_and_rows_of_a_file_larger_than_a_string_are_read_one_by_one() {
    let text = format!("id;name\n{}", "7;\"Müller; Ltd\"\n".repeat(700_000));
    assert!(text.len() > 9 * 1024 * 1024);
    let script = "let count = 0; let bytes = 0;
        for line in local::lines(\"t.csv\") { bytes += line.len(); }
        for row in csv::rows(\"t.csv\", #{ separator: \";\" }) { if row.id == \"7\" { count += 1; } }
        print(count); print(bytes);
        try { csv::read(\"t.csv\") } catch (err) { print(err.message); }";
    let wanted = "700000\n10500007\nhas more than 8388608 bytes, too many to read at once\n";
    Portolan::new().file("t.csv", text).script(script).run().succeeds().stdout(wanted);
}

#[test]
fn tables_json_and_base64_come_back_as_they_were() {
    prints(
        "let rows = [#{ id: 1, name: \"a;b\" }, #{ id: 2, name: \"q\\\"\\nz\" }];
         csv::write(\"t.csv\", rows, #{ separator: \";\", columns: [\"name\", \"id\"] });
         print(local::read(\"t.csv\"));
         print(csv::read(\"t.csv\", #{ separator: \";\" })[1].name == rows[1].name);
         json::write(\"t.json\", [1, (), \"x\", 2.5]);
         print(json::format(json::read(\"t.json\")));
         print(base64::decode(base64::encode(\"grün\")).as_string());",
        "name;id\n\"a;b\";1\n\"q\"\"\nz\";2\n\ntrue\n[1,null,\"x\",2.5]\ngrün\n",
    );
    let run = |text: &str| Portolan::new().script(text).run().fails_with(3);
    run("json::parse(\"{\");").stderr_has("error: it is not JSON: EOF while parsing");
    run("csv::parse(\"a,b\\n1\\n\");").stderr_has("line 2 has 1 fields, and the header has 2");
    run("csv::parse(\"a,b\\n1,\\\"x\\n2,y\\n\");")
        .stderr_has("the quote at line 2, column 3 is never closed");
    let rows = "for row in csv::rows(\"t\", #{ separator: \";\", header: false }) { print(row); }";
    let ran = Portolan::new().file("t", "ä;\"x\n").script(rows).run().fails_with(3);
    ran.stderr_has("t: it cannot be read as CSV: the quote at line 1, column 3 is never closed");
    run("csv::parse(\"a\", #{ separator: \"ab\" });").stderr_has("wants one ASCII character");
    run("csv::parse(\"a\", #{ seperator: \";\" });").stderr_has("did you mean `separator`?");
    run("\"x\".matches(\"(\");").stderr_has("`(` is not a regular expression: unclosed group");
}

#[test]
fn a_script_ends_the_program_with_a_code_of_its_own() {
    for code in [0, 1, 2, 4, 9, 42, 125] {
        for text in [
            format!("print(1); exit({code}); print(2);"),
            format!("print(1); try {{ exit({code}); }} catch {{ print(3); }} print(2);"),
            format!("print(1); [3].map(|x| exit({code})); print(2);"),
            format!(
                "print(1); try {{ [3].map(|x| exit({code})); }} catch {{ print(3); }} print(2);"
            ),
            format!("fn f() {{ exit({code}) }} print(1); f(); print(2);"),
        ] {
            let ran = Portolan::new().script(&text).run();
            let ran = if code == 0 { ran.succeeds() } else { ran.fails_with(code) };
            ran.stdout("1\n").stderr("");
        }
    }
    for code in ["126", "255", "-1", "100000000000"] {
        let ran = Portolan::new().script(&format!("exit({code});")).run().fails_with(3);
        ran.stderr_has(&format!("error: exit takes a code from 0 to 125, got {code}\n"));
    }
}

#[test]
fn archives_are_packed_and_unpacked_and_bombs_leave_nothing() {
    let portolan = Portolan::new().file("d/a.txt", "one").file("d/b/c.txt", "two").script(
        "local::zip(\"d\", \"a.zip\"); local::tar([\"d\", \"script.rhai\"], \"a.tar.gz\");
         print(local::unzip(\"a.zip\", \"z\").order());
         print(local::untar(\"a.tar.gz\", \"t\").order());
         print(local::read(local::gunzip(local::gzip(\"d/a.txt\"), \"x.txt\")));
         local::write(\"zeros\", \"0\".repeat(8000000)); local::gzip(\"zeros\");
         try { local::gunzip(\"zeros.gz\", \"big\", #{ max_bytes: \"1MiB\" }); } catch (err) { print(err.kind); }
         print(local::exists(\"big\"));
         local::write_sums(\"d/SHA256SUMS\", [\"d/a.txt\", \"d/b/c.txt\"]);
         print(local::check_sums(\"d/SHA256SUMS\"));
         local::write(\"d/a.txt\", \"changed\");
         print(local::check_sums(\"d/SHA256SUMS\"));
         print(local::hash(\"d/b/c.txt\", \"md5\"));
         print(local::find(\"d\").filter(|entry| entry.kind == \"file\").map(|entry| entry.path).order());
         local::move(\"d/b/c.txt\", \"moved/\"); print(local::exists(\"moved/c.txt\"));
         local::chmod(\"moved/c.txt\", \"600\"); print(local::list(\"moved\")[0].permissions);
         print(local::delete_tree(\"d\")); print(local::exists(\"d\"));",
    );
    let wanted = "[\"z/a.txt\", \"z/b/c.txt\"]\n[\"t/d/a.txt\", \"t/d/b/c.txt\", \"t/script.rhai\"]\none\nguard\nfalse\n\
        []\n[\"a.txt\"]\nb8a9f715dbb64fd5c56e7783c6820a61\n[\"d/SHA256SUMS\", \"d/a.txt\", \"d/a.txt.gz\", \"d/b/c.txt\"]\ntrue\n0600\n5\nfalse\n";
    drop(portolan.run().succeeds().stdout(wanted).any_files());
}

#[test]
fn values_are_kept_from_run_to_run_by_script() {
    let portolan = Portolan::new()
        .file("a.rhai", "let n = state::get(\"n\") ?? 0; state::set(\"n\", n + 1); print(n); print(state::keys());")
        .file("b.rhai", "print(state::get(\"n\") ?? \"none\");")
        .file("secret.rhai", "state::set(\"s\", [secret(\"PW\")]);")
        .env("PW", "hunter2");
    let run = |line: [&str; 2]| portolan.clone_with(line).run();
    run(["run", "a.rhai"]).succeeds().stdout("0\n[\"n\"]\n").any_stderr();
    // A rehearsal sees what is kept, and keeps nothing.
    run(["rehearse", "a.rhai"]).succeeds().stdout_has("[\"n\"]\n").any_stderr();
    run(["run", "a.rhai"]).succeeds().stdout("1\n[\"n\"]\n").any_stderr();
    run(["run", "b.rhai"]).succeeds().stdout("none\n").any_stderr();
    let refused = run(["run", "secret.rhai"]).fails_with(3).stderr_has("a secret is not kept");
    drop(refused.never_says("hunter2"));
}

/// Answers requests one after another, and returns what came.
fn served(answers: Vec<String>) -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = thread::spawn(move || {
        let mut came = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && lines.read_line(&mut head).unwrap() > 0 {}
            let length = head.to_ascii_lowercase();
            let length = length.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.trim().parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            lines.read_exact(&mut body).unwrap();
            came.push(format!("{head}{}", String::from_utf8(body).unwrap()));
            stream.write_all(answer.as_bytes()).unwrap();
        }
        came
    });
    (port, thread)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

#[test]
fn http_requests_carry_headers_and_json_and_read_the_answer() {
    let json = answer("200 OK", "Content-Type: application/json\r\nX-A: 1\r\n", r#"{"id":7}"#);
    let missing = answer("404 Not Found", "", "no");
    let (port, came) = served(vec![json.clone(), missing, json]);
    let script = format!(
        "let url = \"http://127.0.0.1:{port}/a?b=c\";
         let found = http::post(url, #{{ json: #{{ n: 1 }}, headers: #{{ Authorization: [\"Bearer \", secret(\"TOKEN\")] }} }});
         print(`${{found.status}} ${{found.headers[\"x-a\"]}} ${{found.json.id}} ${{found.body}}`);
         let gone = http::get(url); print(`${{gone.status}} ${{gone.body}} ${{gone.json == ()}}`);
         print(http::put(url, #{{ body: \"text\" }}).status);"
    );
    let portolan = Portolan::new().env("TOKEN", "hunter2").script(&script);
    let portolan = portolan.clone_with(["--allow-http=127.0.0.1", "--allow-secret=TOKEN"]);
    let ran = portolan.run().succeeds().stdout("200 1 7 {\"id\":7}\n404 no true\n200\n");
    drop(ran.never_says("hunter2").any_stderr());
    let came = came.join().unwrap();
    assert!(came[0].starts_with("POST /a?b=c HTTP/1.1\r\n"), "{}", came[0]);
    let head = came[0].to_ascii_lowercase();
    assert!(head.contains("authorization: bearer hunter2\r\n"), "{head}");
    assert!(head.contains("content-type: application/json\r\n") && head.ends_with("{\"n\":1}"));
    assert!(came[2].starts_with("PUT ") && came[2].ends_with("\r\n\r\ntext"), "{}", came[2]);
}

#[test]
fn http_has_to_be_allowed_also_after_a_redirect_and_for_addresses_of_this_host() {
    let (port, came) = served(vec![answer("302 Found", "Location: http://localhost:1/\r\n", "")]);
    let url = format!("http://127.0.0.1:{port}/");
    let run = |text: &str, allowed: &[&str]| {
        let portolan = Portolan::new().script(text);
        portolan.clone_with(allowed.iter().copied()).run().fails_with(5)
    };
    run(&format!("http::get(\"{url}\");"), &[]).stderr_has("--allow-http");
    run(&format!("http::get(\"{url}\");"), &["--allow-http=127.0.0.1"]).stderr_has("localhost");
    came.join().unwrap();
    // A wildcard names no address of this host, whatever leads to it.
    for host in ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "169.254.169.254"] {
        let text = format!("http::get(\"http://{host}:9/\", #{{ timeout: \"2s\" }});");
        let portolan = Portolan::new().script(&text).clone_with(["--allow-http=*"]);
        let ran = portolan.run().fails_with(5);
        ran.stderr_has("--allow-http=");
    }
    let ran = Portolan::new().script("http::get(\"file:///etc/passwd\");").run().fails_with(3);
    ran.stderr_has("`file:///etc/passwd` is no URL of http:// or https://");
}

#[test]
fn programs_get_arguments_input_and_environment_and_no_shell() {
    let script = "let found = run::command([\"sh\", \"-c\", \"cat; echo $A >&2; pwd; exit 3\"], #{
            input: \"from here\\n\", env: #{ A: \"b c\" }, cwd: \"d\" });
        print(`${found.code} ${found.stdout.contains(\"from here\")} ${found.stdout.contains(\"/d\")} ${found.stderr}`);
        print(run::command([\"echo\", \"*\", \"$HOME\", \"; ls\"]).stdout);
        try { run::command([\"sleep\", \"60\"], #{ timeout: \"1s\" }); } catch (err) { print(err.kind); }
        try { run::command([\"no-such-program-here\"]); } catch (err) { print(err.kind); }";
    let portolan = Portolan::new().file("d/x", "").script(script);
    let portolan = portolan.clone_with(["--allow-run=*", "--allow-env=A", "--allow-read=."]);
    let wanted = "3 true true b c\n\n* $HOME ; ls\n\ntimeout\nnot_found\n";
    portolan.run().succeeds().stdout(wanted).any_stderr();
    let refused = Portolan::new().script("run::command([\"ls\"]);").run().fails_with(5);
    refused.stderr_has("--allow-run=ls");
    for (text, said) in [
        ("run::command([]);", "wants an array with a program"),
        ("run::command([\"ls\", 5]);", "wants strings, got 5"),
        ("run::command([\"ls\", secret(\"PW\")]);", "give it as `input`"),
        ("run::command([\"ls\"], #{ env: #{ A: secret(\"PW\") } });", "give it as `input`"),
    ] {
        let portolan = Portolan::new().env("PW", "hunter2").script(text);
        let portolan = portolan.clone_with(["--allow-run=*", "--allow-secret=PW"]);
        drop(portolan.run().fails_with(3).stderr_has(said).never_says("hunter2"));
    }
}

#[test]
fn a_program_that_prints_too_much_or_leaves_others_behind_is_ended() {
    let script = "try { run::command([\"yes\"]); } catch (err) { print(err.kind); }
        print(run::command([\"sh\", \"-c\", \"sleep 1000 & echo $!\"]).stdout.trimmed());";
    let portolan = Portolan::new().script(script).clone_with(["--allow-run=*"]);
    let ran = portolan.run().succeeds().any_stderr().any_stdout();
    let (kind, process) = ran.stdout_text().trim().split_once('\n').unwrap();
    assert_eq!(kind, "guard");
    let name = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // A zombie that was not reaped yet runs nothing.
    assert!(!name.contains("(sleep) S") && !name.contains("(sleep) R"), "{name}");
}

#[test]
fn several_servers_are_served_at_once_and_every_error_is_the_first() {
    let servers = [Rehearsal::start(&[], false), Rehearsal::start(&[], false)];
    for server in &servers {
        server.file("a.csv", "abc");
    }
    let urls = servers
        .iter()
        .map(|one| format!("\"ftp://tester:open+sesame-21@{}\"", one.server.address()));
    let urls = urls.collect::<Vec<_>>().join(", ");
    let script = format!(
        "let found = parallel([{urls}, {urls}], 4, |url| {{
             let site = ftp::connect(url); let size = site.size(\"/a.csv\"); site.close(); size }});
         print(found); print(parallel([], 3, |x| x)); print(parallel([1, 2, 3], 2, |x| x * 2));
         try {{ parallel([1, 2, 3], 3, |x| if x > 1 {{ fail(`no ${{x}}`) }}); }} catch (err) {{ print(err.message); }}
         parallel([1, 2], 2, |x| exit(9)); print(\"on\");"
    );
    let ran = Portolan::new().script(&script).run().fails_with(9);
    ran.stdout("[3, 3, 3, 3]\n[]\n[2, 4, 6]\nno 2\n").any_stderr();
    let ran = Portolan::new().script("parallel([1], 99, |x| x);").run().fails_with(3);
    ran.stderr_has("parallel takes a number from 1 to 16, got 99");
}

#[test]
fn prune_deletes_what_is_old_and_refuses_too_much() {
    let server = Rehearsal::start(&[], false);
    for number in 0..12 {
        let name = format!("backup/db-{number:02}.gz");
        server.file(&name, "x");
        let at = std::time::SystemTime::UNIX_EPOCH
            + std::time::Duration::from_secs(1_700_000_000 + number * 86_400);
        let file = fs::File::options().write(true).open(server.root().join(&name)).unwrap();
        file.set_modified(at).unwrap();
    }
    server.file("backup/notes.txt", "x");
    let url = format!("ftp://tester:open+sesame-21@{}/backup/", server.server.address());
    let run = |args: &[&str]| {
        let line = ["prune", &url].into_iter().chain(args.iter().copied());
        Portolan::new().args(line.map(str::to_owned)).run()
    };
    let ran = run(&["--keep-last", "3", "--match", "db-*"]).fails_with(7);
    ran.stderr_has("9 of the 12 files would be deleted, more than half: `--max-delete` allows it");
    // A dry run shows the plan, and ends as the run would.
    let ran = run(&["--keep-last", "3", "--match", "db-*", "--dry-run"]).fails_with(7);
    let why = "without --dry-run nothing would be deleted: 9 of the 12 files would be deleted";
    assert!(ran.stdout_text().starts_with("delete db-00.gz\ndelete db-01.gz\n"));
    ran.any_stdout().stderr_has(why).stderr_has("9 files would be deleted");
    assert!(server.bytes("backup/db-00.gz").is_some());
    let ran = run(&["--keep-last", "10", "--match", "db-*.gz", "--dry-run"]).succeeds();
    ran.stdout("delete db-00.gz\ndelete db-01.gz\n").any_stderr();
    assert!(server.bytes("backup/db-00.gz").is_some());
    drop(run(&["--keep-last", "10", "--match", "db-*.gz"]).succeeds().any_stdout().any_stderr());
    assert!(server.bytes("backup/db-01.gz").is_none() && server.bytes("backup/db-02.gz").is_some());
    assert!(server.bytes("backup/notes.txt").is_some());
    run(&["--keep-last", "1", "--max-delete", "3"]).fails_with(7).stderr_has("`max_delete` is 3");
    run(&[]).fails_with(2).stderr_has("say what stays");
    let script = format!(
        "let site = ftp::connect(\"ftp://tester:open+sesame-21@{}\");
         let done = site.prune(\"/backup\", #{{ keep_last: 8, older_than: \"1d\", match: \"db-*\" }});
         print(done.deleted); print(done.kept);
         site.move(\"/backup/notes.txt\", \"/archive/2026/\");",
        server.server.address()
    );
    let ran = Portolan::new().script(&script).run().succeeds();
    ran.stdout("[\"/backup/db-02.gz\", \"/backup/db-03.gz\"]\n8\n").any_stderr();
    assert!(server.bytes("archive/2026/notes.txt").is_some());
}

/// Returns the blocks of a page: the language, whether it is rehearsed, and the text.
fn blocks(page: &str) -> Vec<(String, bool, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/");
    let text = fs::read_to_string(format!("{path}{page}")).unwrap();
    let mut all = Vec::new();
    let mut open: Option<(String, bool, String)> = None;
    let mut is_rehearsed = false;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some((language.to_owned(), is_rehearsed, String::new()));
                is_rehearsed = false;
            }
            (Some(_), Some("")) => all.extend(open.take()),
            (Some((.., text)), _) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => is_rehearsed |= line.contains("<!-- rehearsed -->"),
        }
    }
    all
}

#[test]
fn the_tour_prints_what_it_says() {
    let all = blocks("tour.md");
    let mut shown = 0;
    for pair in all.windows(2) {
        let [(language, is_rehearsed, text), (output, _, wanted)] = pair else { continue };
        if language != "rhai" || output != "text" {
            continue;
        }
        shown += 1;
        if *is_rehearsed {
            let portolan = Portolan::new()
                .file("a.rhai", text)
                .file("tree/in/old.csv", "x")
                .env("SHOP_PASSWORD", "x")
                .args(["rehearse", "a.rhai", "--tree", "tree"]);
            drop(portolan.run().succeeds().stdout(wanted).any_stderr().any_files());
        } else {
            let ran = Portolan::new().script(text).run().succeeds();
            drop(ran.stdout(wanted).any_stderr().any_files());
        }
    }
    assert_eq!(shown, all.iter().filter(|(language, ..)| language == "rhai").count());
    assert!(shown >= 8);
}

#[test]
fn the_scripts_of_the_cookbook_pass_the_check_and_a_rehearsal() {
    let sums = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  order.csv\n";
    let yesterday = (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24))
        .in_tz("Europe/Berlin")
        .unwrap()
        .strftime("%Y%m%d")
        .to_string();
    let outputs =
        ["1 files picked up\n", "", "1 files\n", "", "0 B freed, 0 kept\n", "2 new files\n"];
    let scripts: Vec<_> =
        blocks("cookbook.md").into_iter().filter(|(language, ..)| language == "rhai").collect();
    assert_eq!(scripts.len(), outputs.len());
    for ((_, _, text), wanted) in scripts.iter().zip(outputs) {
        let is_first = text.contains("SHA256SUMS");
        let mut portolan = Portolan::new()
            .file("a.rhai", text)
            .file("in/.keep", "")
            .file("prices.csv", "x")
            .file(format!("orders-{yesterday}.csv"), "id;amount\n7;1,50\n")
            .file("tree/in/.keep", "")
            .file("tree/backup/.keep", "")
            .file("tree/out/order.csv", "abc")
            .file("tree/out/ready.flag", "");
        if is_first {
            portolan = portolan.file("tree/out/SHA256SUMS", sums);
        }
        let check = portolan.clone_with(["check", "a.rhai"]).run().succeeds();
        drop(check.any_stdout().any_stderr());
        let line = ["rehearse", "a.rhai", "--tree", "tree"];
        let ran = portolan.clone_with(line).run();
        drop(ran.succeeds().stdout(wanted).any_stderr().any_files());
    }
}
