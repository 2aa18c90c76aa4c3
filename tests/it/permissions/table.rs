//! The table of permissions and functions: each is called with all permissions, and with all but one.

use std::collections::{BTreeMap, BTreeSet};

use portolan::{
    permissions::PermissionKind,
    script::{docs, needs::FUNCTIONS},
};

use crate::support::{program::Portolan, rehearsal::Rehearsal};

/// A call of each function that needs a permission, and the kinds that it needs. Those with an option that needs more come
/// again with it.
fn calls() -> Vec<(&'static str, &'static str, Vec<PermissionKind>)> {
    use PermissionKind::{Delete, Env, Http, Nat, Net, Read, RemoteDelete, Run, Secret, Write};
    vec![
        ("env", "env(\"USER\")", vec![Env]),
        ("ftp::connect", "ftp::connect(URL)", vec![Net]),
        ("ftp::connect", "ftp::connect(URL, #{ ca_file: \"in/a\" })", vec![Net, Read]),
        (
            "ftp::connect",
            "ftp::connect(URL, #{ client_cert: \"in/a\", client_key: \"in/a\" })",
            vec![Net, Read],
        ),
        ("ftp::connect", "ftp::connect(URL, #{ proxy: \"http://127.0.0.1:1\" })", vec![Net]),
        ("ftp::connect", "ftp::connect(URL, #{ map_ports: \"auto\" })", vec![Net, Nat]),
        ("ftp::doctor", "ftp::doctor(URL)", vec![Net]),
        ("ftp::site", "ftp::site(\"acme\")", vec![Net]),
        ("http::get", "http::get(\"http://127.0.0.1:1/\")", vec![Http]),
        ("http::head", "http::head(\"http://127.0.0.1:1/\")", vec![Http]),
        ("http::post", "http::post(\"http://127.0.0.1:1/\", #{})", vec![Http]),
        ("http::put", "http::put(\"http://127.0.0.1:1/\", #{})", vec![Http]),
        ("local::append", "local::append(\"in/log\", \"x\")", vec![Write]),
        ("local::copy", "local::copy(\"in/a\", \"in/b\")", vec![Read, Write]),
        ("local::delete", "local::delete(\"in/b\")", vec![Delete]),
        ("local::exists", "local::exists(\"in/a\")", vec![Read]),
        ("local::glob", "local::glob(\"in/*\")", vec![Read]),
        ("local::list", "local::list(\"in\")", vec![Read]),
        ("local::mkdir", "local::mkdir(\"in/new\")", vec![Write]),
        ("local::modified", "local::modified(\"in/a\")", vec![Read]),
        ("local::read", "local::read(\"in/a\")", vec![Read]),
        ("local::read_blob", "local::read_blob(\"in/a\")", vec![Read]),
        ("local::rename", "local::rename(\"in/log\", \"in/log2\")", vec![Write]),
        ("local::sha256", "local::sha256(\"in/a\")", vec![Read]),
        ("local::size", "local::size(\"in/a\")", vec![Read]),
        ("local::write", "local::write(\"in/w\", \"x\")", vec![Write]),
        ("site.detect", "nat::detect(site)", vec![Nat]),
        ("nat::external_address", "nat::external_address()", vec![Nat]),
        ("nat::interfaces", "nat::interfaces()", vec![Nat]),
        ("nat::map_ports", "nat::map_ports(#{ ports: 40000 })", vec![Nat]),
        (
            "nat::masquerade",
            "nat::masquerade(#{ source: \"10.0.0.0/24\", out: \"eth9\" })",
            vec![Nat],
        ),
        ("nat::suggest", "nat::suggest(#{ side: \"client\" })", vec![Nat]),
        ("nat::with_open", "nat::with_open(#{ ports: 40000, to: \"10.0.0.1\" }, || 1)", vec![Nat]),
        ("rules.apply", "nat::ruleset(\"t\").apply()", vec![Nat]),
        ("rules.confirm", "nat::ruleset(\"t\").confirm()", vec![Nat]),
        ("rules.plan", "nat::ruleset(\"t\").plan()", vec![Nat]),
        ("rules.revert", "nat::ruleset(\"t\").revert()", vec![Nat]),
        ("rules.rollback", "nat::ruleset(\"t\").rollback()", vec![Nat]),
        ("rules.status", "nat::ruleset(\"t\").status()", vec![Nat]),
        ("run::command", "run::command([\"true\"])", vec![Run]),
        ("secret", "secret(\"TOKEN\")", vec![Secret]),
        ("site.append", "site.append(\"in/a\", \"/log\")", vec![Read]),
        ("site.delete", "site.delete(\"/log\")", vec![RemoteDelete]),
        ("site.delete_tree", "site.delete_tree(\"/tree\")", vec![RemoteDelete]),
        ("site.get", "site.get(\"/a.txt\", \"in/got\")", vec![Write]),
        (
            "site.get",
            "site.get(\"/gone.txt\", \"in/got\", #{ move: true })",
            vec![Write, RemoteDelete],
        ),
        ("site.mirror_down", "site.mirror_down(\"/pub\", \"in/pub\")", vec![Write]),
        (
            "site.mirror_down",
            "site.mirror_down(\"/pub\", \"in/pub\", #{ delete: true })",
            vec![Write, Delete],
        ),
        ("site.mirror_up", "site.mirror_up(\"in/deep\", \"/up\")", vec![Read]),
        (
            "site.mirror_up",
            "site.mirror_up(\"in/deep\", \"/up\", #{ delete: true })",
            vec![Read, RemoteDelete],
        ),
        ("site.plan_down", "site.plan_down(\"/pub\", \"in/pub\")", vec![Write]),
        ("site.plan_up", "site.plan_up(\"in/deep\", \"/up\")", vec![Read]),
        ("site.put", "site.put(\"in/a\", \"/a2\")", vec![Read]),
        ("site.put", "site.put(\"in/m\", \"/a2\", #{ move: true })", vec![Read, Delete]),
        ("site.quote", "site.quote(\"SITE HELP\")", vec![RemoteDelete]),
        ("site.rmdir", "site.rmdir(\"/empty\")", vec![RemoteDelete]),
    ]
}

fn known() -> BTreeSet<String> {
    docs::functions().into_iter().filter(|one| !one.is_property).map(|one| one.path).collect()
}

#[test]
fn every_function_says_which_permissions_it_needs() {
    let rows: BTreeSet<_> = FUNCTIONS.iter().map(|row| row.path.to_owned()).collect();
    let missing: Vec<_> = known().difference(&rows).cloned().collect();
    assert!(missing.is_empty(), "no row in src/script/needs.rs: {missing:?}");
    let calls: BTreeSet<_> = calls().iter().map(|(path, ..)| *path).collect();
    let untried: Vec<_> = FUNCTIONS
        .iter()
        .filter(|row| !row.needs.is_empty() && known().contains(row.path))
        .filter(|row| !calls.contains(row.path))
        .map(|row| row.path)
        .collect();
    assert!(untried.is_empty(), "no call in this table: {untried:?}");
    for (path, call, kinds) in self::calls() {
        let row = FUNCTIONS.iter().find(|row| row.path == path).unwrap();
        let rows: BTreeSet<_> = row.needs.iter().map(|need| need.kind()).collect();
        let kinds: BTreeSet<_> = kinds.into_iter().collect();
        assert!(kinds.is_subset(&rows), "{call} needs {kinds:?}, its row says {rows:?}");
    }
}

/// Runs all calls with every permission but `lacking`, and returns the kind of error of each; empty for none.
fn outcomes(lacking: Option<PermissionKind>) -> BTreeMap<&'static str, String> {
    let server = Rehearsal::start(&[], false);
    for path in ["a.txt", "gone.txt", "pub/p", "tree/t", "log", "empty/.x"] {
        server.file(path, "text");
    }
    let url = format!("ftp://tester:secret@{}", server.server.address());
    let known = known();
    let is_tried = |(path, call, kinds): &(&str, &str, Vec<PermissionKind>)| {
        // What changes the rules of this host is tried only without the permission; namespaces have their own tests.
        let changes = kinds.contains(&PermissionKind::Nat) && lacking != Some(PermissionKind::Nat);
        let needs_site = call.contains("site.") || call.contains("(site)");
        known.contains(*path)
            && !(changes && !matches!(*path, "rules.plan" | "nat::suggest" | "nat::interfaces"))
            && !(needs_site && lacking == Some(PermissionKind::Net))
    };
    let tried: Vec<_> = calls().into_iter().filter(is_tried).collect();
    let mut script = String::new();
    if lacking != Some(PermissionKind::Net) {
        script += "let site = ftp::connect(args[0]);\n";
    }
    for (number, (_, call, _)) in tried.iter().enumerate() {
        let call = call.replace("URL", "args[0]");
        script += &format!(
            "try {{ {call}; print(\"{number} \"); }} catch (err) {{ print(`{number} ${{fault(err).kind}}`); }}\n"
        );
    }
    let flag = |kind: PermissionKind| match kind {
        PermissionKind::Net | PermissionKind::Http => kind.flag("127.0.0.1"),
        PermissionKind::Read | PermissionKind::Write | PermissionKind::Delete => kind.flag("in"),
        PermissionKind::Run => kind.flag("true"),
        PermissionKind::Env => kind.flag("USER"),
        PermissionKind::Secret => kind.flag("TOKEN"),
        PermissionKind::RemoteDelete | PermissionKind::Nat => kind.flag(""),
    };
    let given = PermissionKind::ALL.into_iter().filter(|kind| Some(*kind) != lacking);
    let program = Portolan::new().file("in/a", "a").file("in/m", "m").file("in/deep/x", "x");
    let program = program.file("sites.toml", format!("[site.acme]\nurl = \"{url}\"\n"));
    let program = program.env("TOKEN", "t").script(&script).args(given.map(flag)).args([url]);
    let ran = program.run().any_code().any_stderr().any_files();
    let (said, wrong) = (ran.stdout_text().to_owned(), ran.stderr_text().to_owned());
    ran.any_stdout().forget();
    let found: BTreeMap<_, _> = said.lines().filter_map(|line| line.split_once(' ')).collect();
    let outcome = |(number, (_, call, _)): (usize, &(&str, &'static str, Vec<PermissionKind>))| {
        let kind = found.get(number.to_string().as_str());
        let kind = kind.unwrap_or_else(|| panic!("{call} said nothing: {said}{wrong}"));
        (*call, (*kind).to_owned())
    };
    tried.iter().enumerate().map(outcome).collect()
}

#[test]
fn each_function_is_refused_without_its_permission_and_only_then() {
    for lacking in PermissionKind::ALL.into_iter().map(Some).chain([None]) {
        let found = outcomes(lacking);
        for (_, call, kinds) in calls() {
            let Some(kind) = found.get(call) else { continue };
            let must_be = lacking.is_some_and(|lacking| kinds.contains(&lacking));
            let is_refused = kind == "denied_by_policy";
            assert_eq!(is_refused, must_be, "{call} without {lacking:?}: `{kind}`");
        }
    }
}
