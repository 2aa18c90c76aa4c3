//! `trash` with `overwritten` and `keep`: on the command line, in scripts, and in the jobs file.

use std::fs;

use super::{mirror, url};
use crate::support::{program::Portolan, rehearsal::Rehearsal};

/// Returns the names in a directory, in order.
fn names(folder: &std::path::Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_flag_keeps_overwritten_files_as_its_keys_say() {
    let stage = Rehearsal::start(&[], false);
    stage.file("in/page", "first");
    stage.file("in/.old/page~20200101T000000Z", "older");
    stage.file("in/.old/page~20200102T000000Z", "old");
    let program = mirror(&stage).file("dist/page", "the second");
    let trash = "folder=.old,overwritten=true,keep=2";
    let ran = program.clone_with(["--trash", trash, "dist", &url(&stage)]).run();
    drop(ran.succeeds().any_stdout().any_stderr());
    let left = names(&stage.root().join("in/.old"));
    assert_eq!((left.len(), &*left[0]), (2, "page~20200102T000000Z"), "{left:?}");
    assert_eq!(stage.bytes(&format!("in/.old/{}", left[1])).unwrap(), b"first");
    assert_eq!(stage.bytes("in/page").unwrap(), b"the second");
    for (text, said) in [
        ("folder=.old,keep=0", "wants a number of versions from 1"),
        ("folder=.old,overwriten=true", "did you mean `overwritten`?"),
        ("overwritten=true", "wants a `folder`"),
    ] {
        let ran = program.clone_with(["--trash", text, "dist", &url(&stage)]).run();
        drop(ran.fails_with(2).stderr_has(said));
    }
}

#[test]
fn scripts_and_jobs_take_a_map() {
    let stage = Rehearsal::start(&[], false);
    let address = url(&stage);
    stage.file("in/page", "the second");
    let script = format!(
        "let site = ftp::connect(\"{address}\");\n\
         site.mirror_down(\".\", \"copy\", #{{ trash: #{{ folder: \"old\", overwritten: true, keep: \"30d\" }} }});"
    );
    let jobs = format!(
        "[[job]]\nname = \"down\"\ncron = \"@daily\"\n[job.mirror]\nfrom = \"{address}\"\nto = \"copy\"\n\
         trash = {{ folder = \"old\", overwritten = true }}\n[job.connect]\npassword = \"secret:FTP\"\n"
    );
    let program = Portolan::new()
        .env("PORTOLAN_PASSWORD", "open+sesame-21")
        .file("portolan.toml", jobs)
        .file("copy/page", "first")
        .script(&script);
    drop(program.run().succeeds().any_stdout().any_stderr().any_files());
    let old = program.folder().join("copy/old");
    let kept = names(&old);
    assert!(kept.len() == 1 && kept[0].starts_with("page~20"), "{kept:?}");
    assert_eq!(fs::read(old.join(&kept[0])).unwrap(), b"first");
    stage.file("in/page", "the third, which is longer");
    let job = Portolan::new()
        .env("FTP", "open+sesame-21")
        .args(["run", "--job", "down"])
        .file("portolan.toml", fs::read(program.folder().join("portolan.toml")).unwrap())
        .file("copy/page", "before");
    drop(job.run().succeeds().any_stdout().any_stderr().any_files());
    assert_eq!(fs::read(job.folder().join("copy/old/page")).unwrap(), b"before");
}
