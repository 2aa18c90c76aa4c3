//! The pages for users of other programs: their scripts run against a real server, and use the functions that they
//! mention.

use std::{collections::BTreeSet, fs, path::Path};

use crate::support::{
    program::Portolan,
    server::{Kind, Options, RealServer, Tls},
};

const PAGES: [&str; 3] = ["from-lftp", "from-winscp", "from-net-ftp"];

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Returns the script blocks of a page.
fn scripts(text: &str) -> Vec<&str> {
    text.split("```rhai\n").skip(1).map(|block| block.split("```").next().unwrap()).collect()
}

/// Returns the calls of our functions and properties in `text`: `site.get(`, `local::list(`, `site.route`.
fn called(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for start in ["site.", "local::", "ftp::", "log::", "err."] {
        for (at, _) in text.match_indices(start) {
            let rest = &text[at + start.len()..];
            let name: String =
                rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let is_word_before = text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if !name.is_empty() && !is_word_before {
                found.insert(format!("{start}{name}"));
            }
        }
    }
    found
}

#[test]
fn each_page_ends_with_a_script_that_uses_all_it_names_and_runs() {
    for page in PAGES {
        let text = text(&format!("docs/{page}.md"));
        let script = *scripts(&text).last().unwrap();
        let missing: Vec<_> = called(&text).difference(&called(script)).cloned().collect();
        assert!(missing.is_empty(), "{page}: named and not used: {missing:?}");
        for kind in Kind::ALL {
            let options = Options { tls: Tls::Explicit, ..Options::default() };
            let Some(server) = RealServer::start(kind, &options) else { return };
            Portolan::new()
                .file("page.rhai", script)
                .args(["run", "page.rhai", &server.url()])
                .server(&server)
                .run()
                .succeeds()
                .any_stdout()
                .any_stderr()
                .any_files();
        }
    }
}

#[test]
fn every_method_of_net_ftp_has_its_line() {
    let text = text("docs/from-net-ftp.md");
    for method in [
        "new",
        "login",
        "starttls",
        "stoptls",
        "prot",
        "host",
        "account",
        "authorize",
        "site",
        "quot",
        "ascii",
        "binary",
        "ebcdic",
        "byte",
        "type",
        "rename",
        "delete",
        "cwd",
        "cdup",
        "pwd",
        "passive",
        "restart",
        "abort",
        "quit",
        "mkdir",
        "rmdir",
        "alloc",
        "ls",
        "dir",
        "get",
        "put",
        "put_unique",
        "append",
        "unique_name",
        "mdtm",
        "size",
        "supported",
        "feature",
        "hash",
        "nlst",
        "list",
        "retr",
        "stor",
        "stou",
        "appe",
        "port",
        "eprt",
        "pasv",
        "epsv",
        "pasv_xfer",
        "pasv_xfer_unique",
        "pasv_wait",
        "can_inet6",
        "can_ssl",
        "code",
        "message",
        "ok",
        "status",
        "debug",
    ] {
        let lines = text.lines().filter(|line| line.starts_with("| "));
        let mut first = lines.filter_map(|line| line.split('|').nth(1));
        let names_it = |cell: &str| {
            cell.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == method)
        };
        assert!(first.any(names_it), "{method} is not on the page");
    }
}

#[test]
fn the_scripts_of_the_other_pages_pass_the_check() {
    let mut program = Portolan::new();
    let mut count = 0;
    for page in ["modes", "security"] {
        for (number, script) in scripts(&text(&format!("docs/{page}.md"))).iter().enumerate() {
            program = program.file(format!("scripts/{page}-{number}.rhai"), script);
            count += 1;
        }
    }
    assert!(count >= 3);
    let said = format!("{count} scripts, nothing wrong\n");
    program.args(["check", "scripts"]).run().stderr(&said);
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec!["README.md".to_owned()];
    for folder in
        ["docs", "examples/ci-deploy", "examples/nightly-mirror", "examples/pickup-and-process"]
    {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if Path::new(&name).extension().is_some_and(|end| end == "md") {
                pages.push(format!("{folder}/{name}"));
            }
        }
    }
    let mut lost = Vec::new();
    for page in &pages {
        let text = text(page);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap();
            let is_ours = !path.is_empty() && !path.contains("://");
            if is_ours && !root.join(page).parent().unwrap().join(path).exists() {
                lost.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}
