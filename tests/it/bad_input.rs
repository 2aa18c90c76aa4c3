//! Bad input: targets that are no files, archives that are bombs or lead out, empty secrets and URLs, values that no option
//! takes. Each through the command line, scripts and the jobs file.

use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt, symlink},
        net::UnixListener,
    },
    path::Path,
    process::Command,
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::{
    serve::scheduler::Scheduler,
    support::{program::Portolan, rehearsal::Rehearsal},
};

fn url(server: &Rehearsal, path: &str) -> String {
    format!("ftp://tester@127.0.0.1:{}/{path}", server.site.port)
}

fn portolan() -> Portolan {
    Portolan::new().env("PORTOLAN_PASSWORD", "open+sesame-21")
}

/// The kinds of entries that a local target may be in place of a file.
const STANDING: [&str; 9] = [
    "link",
    "dangling",
    "circle",
    "link to folder",
    "link to device",
    "link to full",
    "folder",
    "socket",
    "fifo",
];

/// Puts one of them at `path`; the folder has `behind` and `inside/` besides.
fn stand(folder: &Path, path: &Path, what: &str) {
    fs::write(folder.join("behind"), "untouched").unwrap();
    fs::create_dir_all(folder.join("inside")).unwrap();
    match what {
        "link" => symlink(folder.join("behind"), path).unwrap(),
        "dangling" => symlink("nowhere", path).unwrap(),
        "circle" => symlink(path.file_name().unwrap(), path).unwrap(),
        "link to folder" => symlink(folder.join("inside"), path).unwrap(),
        "link to device" => symlink("/dev/null", path).unwrap(),
        "link to full" => symlink("/dev/full", path).unwrap(),
        "folder" => fs::create_dir(path).unwrap(),
        "socket" => drop(UnixListener::bind(path).unwrap()),
        _ => mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap(),
    }
}

/// Fails unless what was put at `path` is still there, and nothing has come through it.
fn assert_stands(folder: &Path, path: &Path, what: &str, how: &str) {
    let found = fs::symlink_metadata(path).unwrap().file_type();
    let is_it = match what {
        "folder" => found.is_dir(),
        "socket" => found.is_socket(),
        "fifo" => found.is_fifo(),
        _ => found.is_symlink(),
    };
    assert!(is_it, "{how}: {what} is {found:?}");
    assert_eq!(fs::read(folder.join("behind")).unwrap(), b"untouched", "{how}: {what}");
    assert!(!folder.join("nowhere").exists(), "{how}: {what}");
    assert_eq!(fs::read_dir(folder.join("inside")).unwrap().count(), 0, "{how}: {what}");
    for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.starts_with(".portolan-"), "{how}: {what} leaves {name}");
    }
}

/// The pieces of script that write the local file `out`.
const WRITERS: &[&str] = &[
    r#"site.get("/f.csv", "out");"#,
    r#"site.get("/f.csv", "out", #{ resume: true });"#,
    r#"site.get("/f.csv", "out", #{ segments: 2 });"#,
    r#"site.get("/f.csv", "out", #{ type: "ascii" });"#,
    r#"local::write("out", "x");"#,
    r#"local::copy("a.rhai", "out");"#,
    r#"local::write("x", "x"); local::rename("x", "out");"#,
    r#"local::write("x", "x"); local::move("x", "out");"#,
    r#"local::gzip("a.rhai", "out");"#,
    r#"local::gunzip(local::gzip("a.rhai"), "out");"#,
    r#"local::zip("a.rhai", "out");"#,
    r#"local::tar("a.rhai", "out");"#,
    r#"csv::write("out", [#{ a: 1 }]);"#,
    r#"json::write("out", 1);"#,
    r#"local::write_sums("out", ["a.rhai"]);"#,
];

#[test]
fn no_script_writes_over_a_device_a_link_or_a_folder() {
    let server = Rehearsal::start(&[], false);
    server.file("f.csv", "some bytes");
    for writer in WRITERS {
        for what in STANDING {
            // A file goes into a folder: that is no replacement.
            let enters =
                writer.contains("get(") || writer.contains("move(") || writer.contains("copy(");
            if enters && matches!(what, "folder" | "link to folder") {
                continue;
            }
            // Outside of the folder whose files the support reads.
            let scratch = tempfile::tempdir().unwrap();
            let folder = scratch.path().to_owned();
            let out = format!("\"{}\"", folder.join("out").display());
            let writer = writer.replace("\"out\"", &out);
            let script = format!("let site = ftp::connect(args[0]);\n{writer}");
            let program = portolan().file("a.rhai", script);
            stand(&folder, &folder.join("out"), what);
            let ran = program.args(["run", "a.rhai", &url(&server, "")]).run();
            let ran = ran.any_code().any_stderr().any_stdout().any_files();
            assert!(ran.code() != 0, "{writer} {what}");
            assert!(
                ["the target is a", "is a directory"]
                    .iter()
                    .any(|why| ran.stderr_text().contains(why)),
                "{writer} {what}: {}",
                ran.stderr_text()
            );
            assert_stands(&folder, &folder.join("out"), what, &writer);
        }
    }
}

#[test]
fn no_command_and_no_job_writes_over_what_is_no_file() {
    let server = Rehearsal::start(&[], false);
    server.file("in/out", "some bytes");
    for what in STANDING {
        for flags in [&[][..], &["--resume"], &["--on-exists", "overwrite"]] {
            if matches!(what, "folder" | "link to folder" | "fifo") {
                continue;
            }
            let scratch = tempfile::tempdir().unwrap();
            let folder = scratch.path().to_owned();
            stand(&folder, &folder.join("out"), what);
            let out = folder.join("out").display().to_string();
            let program = portolan().args(["get"]).args(flags.iter().copied());
            let ran = program.args([&url(&server, "in/out"), &out]).run();
            ran.fails_with(5).stderr_has("the target is a").any_files();
            assert_stands(&folder, &folder.join("out"), what, "get");
        }
        for line in
            [&["get", "-r"][..], &["mirror"], &["mirror", "--staged"], &["mirror", "--delete"]]
        {
            let scratch = tempfile::tempdir().unwrap();
            let folder = scratch.path().to_owned();
            fs::create_dir(folder.join("copy")).unwrap();
            let (place, target) =
                if line[0] == "get" { ("copy/in", "copy/") } else { ("copy", "copy") };
            fs::create_dir_all(folder.join(place)).unwrap();
            let out = folder.join(place).join("out");
            stand(&folder, &out, what);
            let target = format!("{}/{target}", folder.display());
            let program = portolan().args(line.iter().copied());
            let program = program.args([&url(&server, "in"), &target]);
            let ran = program.run().any_code().any_stderr().any_stdout().any_files();
            if !line.contains(&"--delete") || what == "folder" {
                // With --delete, an entry of the target that is in the way of a file of the source may go; nothing else.
                assert!(
                    ran.code() != 0 || what == "folder",
                    "{line:?} {what}: {}",
                    ran.stderr_text()
                );
            }
            assert_eq!(fs::read(folder.join("behind")).unwrap(), b"untouched", "{line:?} {what}");
            assert_eq!(fs::read_dir(folder.join("inside")).unwrap().count(), 0, "{line:?} {what}");
        }
        if matches!(what, "folder" | "link to folder") {
            continue;
        }
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().to_owned();
        stand(&folder, &folder.join("out"), what);
        let job = format!(
            "\n[[job]]\nname = \"in\"\ncron = \"0 0 29 2 *\"\n[job.get]\nfrom = \"{}\"\nto = \"{}\"\n[job.connect]\n\
             password = \"secret:FTP\"\n",
            url(&server, "in/out"),
            folder.join("out").display()
        );
        let scheduler = Scheduler::new(&job).env("FTP", "open+sesame-21");
        let ran = scheduler.command(&["run", "--job", "in"]).any_code().any_stdout();
        assert!(ran.code() != 0, "{what}");
        drop(ran.stderr_has("the target is a"));
        assert_stands(&folder, &folder.join("out"), what, "[job.get]");
    }
}

#[test]
fn uploads_send_regular_files_and_what_is_meant_to_be_read_as_a_stream() {
    let server = Rehearsal::start(&[], false);
    for what in ["dangling", "circle", "link to folder", "folder", "socket"] {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().to_owned();
        stand(&folder, &folder.join("out"), what);
        let out = folder.join("out").display().to_string();
        let ran = portolan().args(["put", &out, &url(&server, "got")]).run();
        let ran = ran.any_code().any_stderr();
        assert!(ran.code() != 0, "{what}");
        assert!(server.bytes("got").is_none(), "{what}");
        drop(ran.any_files());
    }
    // What cannot be written is no success.
    server.file("f", "some bytes");
    let full = portolan().args(["get", &url(&server, "f"), "/dev/full"]).run();
    full.any_code().stderr_has("no space left on device");
    assert!(fs::metadata("/dev/full").unwrap().file_type().is_char_device());
}

/// Runs a shell command in `folder`.
fn sh(folder: &Path, line: &str) {
    let status = Command::new("sh").args(["-c", line]).current_dir(folder).status().unwrap();
    assert!(status.success(), "{line}");
}

/// Archives that must not be unpacked: the call, what its refusal says, and the commands that make them.
const ARCHIVES: &[(&str, &str, &[&str])] = &[
    (
        r#"local::gunzip("a.gz", "to/a")"#,
        "times its size",
        &["head -c 300000000 /dev/zero | gzip -9 > a.gz"],
    ),
    (
        r#"local::gunzip("a.gz", "to/a", #{ max_bytes: "1MiB" })"#,
        "max_bytes",
        &["head -c 3000000 /dev/zero | gzip > a.gz"],
    ),
    (
        r#"local::gunzip("a.gz", "to/a")"#,
        "damaged",
        &[
            "printf 'no gzip' > a.gz",
            "seq 100000 | gzip | head -c 5000 > a.gz",
            "seq 1000 | gzip > a.gz; printf junk >> a.gz",
        ],
    ),
    (
        r#"local::untar("a.tar", "to")"#,
        "the archive unpacks to",
        &["truncate -s 1T big && tar -cSf a.tar big && rm big"],
    ),
    (
        r#"local::untar("a.tgz", "to")"#,
        "the archive unpacks to",
        &["head -c 300000000 /dev/zero > big && tar -czf a.tgz big && rm big"],
    ),
    (
        r#"local::untar("a.tar", "to", #{ max_files: 100 })"#,
        "more than 100 files",
        &["mkdir d && (cd d && seq 200 | xargs touch) && tar -cf a.tar d"],
    ),
    (
        r#"local::untar("a.tar", "to")"#,
        "leads out of the folder",
        &[
            "touch x && tar -cPf a.tar --transform 's,^,../outside-,' x",
            "touch x && tar -cPf a.tar --transform 's,^,ok/../../outside-,' x",
            "touch x && tar -cPf a.tar \"$PWD/x\"",
            "touch good x && tar -cPf a.tar --transform 's,^x,../outside-x,' good x",
        ],
    ),
    (
        r#"local::untar("a.tar", "to")"#,
        "damaged",
        &["seq 1000 > x && tar -cf a.tar x && truncate -s 1000 a.tar"],
    ),
    (
        r#"local::untar("a.tgz", "to")"#,
        "damaged",
        &["mkdir d && (cd d && seq 200 | xargs touch) && tar -cf - d | gzip | gzip > a.tgz"],
    ),
];

#[test]
fn an_archive_that_is_a_bomb_or_leads_out_ends_with_an_error_and_no_file() {
    let lines = ARCHIVES
        .iter()
        .flat_map(|(call, why, lines)| lines.iter().map(move |line| (line, call, why)));
    for (line, call, why) in lines {
        let program = Portolan::new().file("a.rhai", format!("{call};"));
        let folder = program.folder().to_owned();
        fs::create_dir(folder.join("to")).unwrap();
        sh(&folder, line);
        let ran = program.args(["run", "a.rhai"]).run().any_code().any_stdout().any_files();
        assert!(ran.code() != 0, "{line}");
        assert!(ran.stderr_text().contains(*why), "{line}: {}", ran.stderr_text());
        drop(ran.any_stderr());
        assert_eq!(files_below(&folder.join("to")), Vec::<String>::new(), "{line}");
        assert!(!folder.join("outside-x").exists(), "{line}");
    }
}

#[test]
fn links_and_devices_of_an_archive_are_left_out_and_lead_nothing_out() {
    for line in [
        // A link to a folder outside, and then a file in it.
        "mkdir -p out d && ln -s \"$PWD/out\" d/l && tar -cf a.tar d && rm d/l && mkdir d/l && touch d/l/x && tar -rf a.tar d/l/x",
        "mkdir d && mkfifo d/pipe && touch d/good && ln d/good d/hard && tar -cf a.tar d && rm -r d",
    ] {
        let script = "for file in local::untar(\"a.tar\", \"to\") { print(file); }";
        let program = Portolan::new().file("a.rhai", script);
        let folder = program.folder().to_owned();
        sh(&folder, line);
        let ran = program.args(["run", "a.rhai"]).run().any_code().any_stdout().any_stderr();
        drop(ran.any_files());
        assert!(!folder.join("out/x").exists(), "{line}");
        for file in files_below(&folder.join("to")) {
            let found = fs::symlink_metadata(folder.join("to").join(&file)).unwrap();
            assert!(found.is_file(), "{line}: {file}");
        }
    }
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries.map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(
                files_below(&entry.path()).into_iter().map(|path| format!("{name}/{path}")),
            );
        } else {
            found.push(name);
        }
    }
    found
}

#[test]
fn an_empty_secret_or_url_is_named_before_any_login() {
    let server = Rehearsal::start(&[], false);
    let there = url(&server, "");
    let program = |name: &str, text: &str| {
        let program = Portolan::new().file(name, text);
        let path = program.folder().join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        program
    };
    let cases: [(Portolan, Vec<&str>, &str); 9] = [
        (Portolan::new().env("PORTOLAN_PASSWORD", ""), vec!["ls", &there], "PORTOLAN_PASSWORD"),
        (program("pw", "\n"), vec!["--password-file", "pw", "ls", &there], "pw"),
        (Portolan::new(), vec!["--password-command", "true", "ls", &there], "password"),
        (portolan(), vec!["ls", ""], "empty"),
        (portolan().file("d/a", ""), vec!["deploy", "d", ""], "empty"),
        (portolan().file("d/a", ""), vec!["mirror", "d", ""], "empty"),
        (portolan(), vec!["get", "", "x"], "empty"),
        (portolan(), vec!["rm", ""], "empty"),
        (
            Portolan::new()
                .file("a.rhai", "ftp::connect(args[0], #{ password: secret(\"FTP_PASSWORD\") });")
                .env("FTP_PASSWORD", ""),
            vec!["run", "a.rhai", &there],
            "FTP_PASSWORD",
        ),
    ];
    for (program, line, named) in cases {
        let ran = program.args(line.clone()).run().any_code().any_stdout().any_files();
        assert!(ran.code() != 0 && ran.code() != 4, "{line:?}: {}", ran.code());
        let words = ran.stderr_text().to_owned();
        assert!(words.contains(named), "{line:?}: {words}");
        drop(ran.any_stderr());
    }
    let script = Portolan::new().file("a.rhai", "ftp::connect(env(\"FTP_URL\") ?? \"\");");
    script.args(["run", "a.rhai"]).run().any_code().stderr_has("empty");
    let job = format!(
        "\n[[job]]\nname = \"in\"\ncron = \"0 0 29 2 *\"\n[job.get]\nfrom = \"{}\"\nto = \"out\"\n[job.connect]\n\
         password = \"secret:FTP\"\n",
        url(&server, "f")
    );
    let scheduler = Scheduler::new(&job).env("FTP", "");
    scheduler.command(&["run", "--job", "in"]).any_code().any_stdout().stderr_has("`FTP` is empty");
    assert!(
        server.server.log().iter().all(|line| !line.contains("PASS") && !line.contains("USER"))
    );
}

/// Command lines with a wrong value, and what is said of it; `U` is a server that does not exist.
const NONSENSE: &[(&str, &str)] = &[
    ("mirror --trash foldr=.old . U", "`trash` has no key `foldr`; did you mean `folder`?"),
    ("mirror --trash folder=.o,keep=3x . U", "`keep` of `trash` wants a number of versions"),
    ("mirror --exclude re:( . U", "cannot read the pattern `re:(`: unclosed group"),
    ("mirror --compare content . U", "one of auto, size, size_time, checksum is wanted"),
    ("mirror --max-delete many . U", "a number of at least 0 is wanted"),
    ("mirror --retries 21 . U", "a number from 0 to 20 is wanted"),
    ("mirror --parallel 99 . U", "a number from 1 to 32 is wanted, or auto"),
    ("mirror --min-size 5X . U", "a size is wanted, such as 4096 or 64MiB"),
    ("mirror --newer-than soon . U", "a time is wanted, such as 90s, 36h or 7d"),
    ("mirror --move --delete . U", "`move` empties the source"),
    ("get --retries many U/a", "a number from 0 to 20 is wanted"),
    ("get --on-exists skp U/a", "one of overwrite, skip, fail, rename is wanted"),
    ("get --type text U/a", "one of binary, ascii is wanted"),
    ("get --rate-limit fast U/a", "a number of bytes per second is wanted"),
    ("get --move U/a -", "--move removes files once their copies are verified"),
    ("get --move U/a /dev/null", "--move removes files once their copies are verified"),
    ("put --move - U/a", "--move removes files, and a stream is none"),
    ("put - U/", "standard input has no name"),
    ("prune U/ --keep-last 3 --match [", "`[` is no pattern"),
    ("prune U/", "say what stays: --keep-last COUNT"),
    ("prune U/ --older-than 7", "`older_than` wants an age"),
    ("chmod 9z9 U/a", "permissions are octal"),
    ("hash --algorithm md6 U/a", "possible values: sha256, sha1, md5, crc32"),
    ("--set encoding=latin9x ls U/", "another label of the WHATWG list"),
    ("--set family=ipv5 ls U/", "did you mean \"ipv6\"?"),
    ("--set tls=maybe ls U/", "one of \"off\", \"explicit\", \"implicit\", \"if_offered\""),
    ("--set temp=prefx=x ls U/", "`temp` has no part `prefx`; did you mean `prefix`?"),
    ("--set temp=prefix=../ ls U/", "wants a part of a name, without slashes"),
    ("--set inplace=perhaps ls U/", "`inplace` wants true, false or \"auto\""),
    ("--set parallel=0 ls U/", "a whole number from 1 to 32, or \"auto\""),
    ("--set verify=false ls U/", "--set has no option `verify`; did you mean `insecure`?"),
    ("--set charset=gbk ls U/", "did you mean `encoding`?"),
    (
        "--set connect_timeout=0 ls U/",
        "`connect_timeout` wants a time of more than 0 seconds, up to 30 days",
    ),
    ("--set reply_timeout=0s ls U/", "`reply_timeout` wants a time of more than 0 seconds"),
    ("--set data_timeout=-5 ls U/", "`data_timeout` wants a duration such as \"90s\""),
    ("--set data_timeout=99999d ls U/", "`data_timeout` wants a duration such as \"90s\""),
    ("--set keepalive=10h ls U/", "`keepalive` wants a time from 0 seconds to 9 hours"),
    ("--set min_rate=-1 ls U/", "`min_rate` wants a size such as 4096"),
    ("--set rate_limit=-1 ls U/", "`rate_limit` wants bytes per second"),
    ("--set pasive=1 ls U/", "--set has no option `pasive`"),
    ("nat suggest --format pure-ftp", "pure-ftpd, filezilla, iis is wanted"),
    ("nat suggest --ports 5-1", "is no range of ports"),
];

#[test]
fn nonsense_in_an_option_is_named_before_any_connection() {
    for (line, why) in NONSENSE {
        let line = line.replace('U', "ftp://tester@127.0.0.1:1");
        let program = portolan().args(line.split(' '));
        let ran = program.run().any_stdout();
        assert_eq!(ran.code(), 2, "{line}: {}", ran.stderr_text());
        assert!(ran.stderr_text().contains(why), "{line}: {}", ran.stderr_text());
        drop(ran.any_code().any_stderr());
    }
}
