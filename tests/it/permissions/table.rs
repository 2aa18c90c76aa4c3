//! The table of permissions and functions: each is called with all permissions, and with all but one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use portolan::{
    permissions::PermissionKind,
    script::{docs, needs::FUNCTIONS},
};

use crate::support::{program::Portolan, rehearsal::Rehearsal};

use PermissionKind::{Delete, Env, Http, Nat, Net, Read, RemoteDelete, Run, Secret, Write};

/// The path of a function, a call of it, and the kinds of permissions that the call needs.
type TriedCall = (&'static str, &'static str, &'static [PermissionKind]);

/// A call of each function that needs a permission. Those with an option that needs more come again with it.
const CALLS: &[TriedCall] = &[
    ("env", "env(\"USER\")", &[Env]),
    ("ftp::connect", "ftp::connect(URL)", &[Net]),
    ("ftp::connect", "ftp::connect(URL, #{ ca_file: \"in/a\" })", &[Net, Read]),
    (
        "ftp::connect",
        "ftp::connect(URL, #{ client_cert: \"in/a\", client_key: \"in/a\" })",
        &[Net, Read],
    ),
    ("ftp::connect", "ftp::connect(URL, #{ proxy: \"http://127.0.0.1:1\" })", &[Net]),
    ("ftp::connect", "ftp::connect(URL, #{ map_ports: \"auto\" })", &[Net, Nat]),
    ("ftp::connect", "ftp::connect(URL, #{ site: \"FILETYPE=SQL\" })", &[Net, RemoteDelete]),
    (
        "ftp::connect",
        "ftp::connect(URL, #{ site: [\"UMASK 022\", \"site purge\"] })",
        &[Net, RemoteDelete],
    ),
    ("ftp::connect", "ftp::connect(URL, #{ site: [\"UMASK 022\", \"site chmod 644 a\"] })", &[Net]),
    ("ftp::connect", "ftp::connect(URL, #{ list_command: \"DELE /a.txt\" })", &[Net, RemoteDelete]),
    ("ftp::connect", "ftp::connect(URL, #{ list_command: \"LIST -a\" })", &[Net]),
    ("ftp::doctor", "ftp::doctor(URL)", &[Net]),
    (
        "ftp::doctor",
        "ftp::doctor(URL, #{ ca_file: \"in/a\", site: \"PURGE\" })",
        &[Net, Read, RemoteDelete],
    ),
    ("ftp::doctor", "ftp::doctor(URL, #{ map_ports: \"auto\" })", &[Net, Nat]),
    ("ftp::site", "ftp::site(\"acme\")", &[Net]),
    (
        "ftp::site",
        "ftp::site(\"acme\", #{ ca_file: \"in/a\", site: \"PURGE\" })",
        &[Net, Read, RemoteDelete],
    ),
    ("ftp::site", "ftp::site(\"acme\", #{ map_ports: \"auto\" })", &[Net, Nat]),
    ("http::get", "http::get(\"http://127.0.0.1:1/\")", &[Http]),
    ("http::head", "http::head(\"http://127.0.0.1:1/\")", &[Http]),
    ("http::post", "http::post(\"http://127.0.0.1:1/\", #{})", &[Http]),
    ("http::put", "http::put(\"http://127.0.0.1:1/\", #{})", &[Http]),
    ("local::append", "local::append(\"in/log\", \"x\")", &[Write]),
    ("local::copy", "local::copy(\"in/a\", \"in/b\")", &[Read, Write]),
    ("local::delete", "local::delete(\"in/b\")", &[Delete]),
    ("local::exists", "local::exists(\"in/a\")", &[Read]),
    ("local::glob", "local::glob(\"in/*\")", &[Read]),
    ("local::list", "local::list(\"in\")", &[Read]),
    ("local::mkdir", "local::mkdir(\"in/new\")", &[Write]),
    ("local::modified", "local::modified(\"in/a\")", &[Read]),
    ("local::read", "local::read(\"in/a\")", &[Read]),
    ("local::read_blob", "local::read_blob(\"in/a\")", &[Read]),
    ("local::rename", "local::rename(\"in/log\", \"in/log2\")", &[Write]),
    ("local::sha256", "local::sha256(\"in/a\")", &[Read]),
    ("local::size", "local::size(\"in/a\")", &[Read]),
    ("local::write", "local::write(\"in/w\", \"x\")", &[Write]),
    // Plans whose totals were changed, so that they seem to delete nothing.
    ("site.apply", "site.apply(args[1])", &[Read, RemoteDelete]),
    ("site.apply", "site.apply(args[2])", &[Write, Delete]),
    ("site.deploy", "site.deploy(\"in/deep\")", &[Read, RemoteDelete]),
    ("site.deploy", "site.deploy(\"in/deep\", #{ delete: false })", &[Read]),
    ("site.deploy", "site.deploy(\"in/deep\", #{ delete: false, git: true })", &[Read, Run]),
    (
        "site.deploy",
        "site.deploy(\"in/deep\", #{ check_url: \"http://127.0.0.1:1/\" })",
        &[Read, RemoteDelete, Http],
    ),
    ("site.rollback", "site.rollback()", &[RemoteDelete]),
    ("site.detect", "nat::detect(site)", &[Nat]),
    ("csv::read", "csv::read(\"in/a\")", &[Read]),
    ("csv::rows", "csv::rows(\"in/a\")", &[Read]),
    ("csv::write", "csv::write(\"in/rows\", [[1]])", &[Write]),
    ("json::read", "json::read(\"in/a\")", &[Read]),
    ("json::write", "json::write(\"in/value\", 1)", &[Write]),
    ("local::check_sums", "local::check_sums(\"in/a\")", &[Read]),
    ("local::chmod", "local::chmod(\"in/a\", \"644\")", &[Write]),
    ("local::delete_tree", "local::delete_tree(\"in/gone\")", &[Delete]),
    ("local::find", "local::find(\"in\")", &[Read]),
    ("local::gunzip", "local::gunzip(\"in/a\", \"in/unpacked\")", &[Read, Write]),
    ("local::gzip", "local::gzip(\"in/a\", \"in/a.gz\")", &[Read, Write]),
    ("local::gzip", "local::gzip(\"in/a\")", &[Read, Write]),
    ("local::hash", "local::hash(\"in/a\", \"md5\")", &[Read]),
    ("local::lines", "local::lines(\"in/a\")", &[Read]),
    ("local::move", "local::move(\"in/none\", \"in/moved\")", &[Delete, Write]),
    ("local::tar", "local::tar(\"in/deep\", \"in/a.tar\")", &[Read, Write]),
    ("local::untar", "local::untar(\"in/a\", \"in/untar\")", &[Read, Write]),
    ("local::unzip", "local::unzip(\"in/a\", \"in/unzip\")", &[Read, Write]),
    ("local::write_sums", "local::write_sums(\"in/sums\", [])", &[Write]),
    ("local::write_sums", "local::write_sums(\"in/sums\", [\"in/a\"])", &[Read, Write]),
    ("local::zip", "local::zip(\"in/deep\", \"in/a.zip\")", &[Read, Write]),
    ("site.prune", "site.prune(\"/pub\", #{ keep_last: 9 })", &[RemoteDelete]),
    ("site.prune", "site.prune(\"/pub\", #{ keep_last: 9, dry_run: true })", &[]),
    ("nat::external_address", "nat::external_address()", &[Nat]),
    ("nat::interfaces", "nat::interfaces()", &[Nat]),
    ("nat::map_ports", "nat::map_ports(#{ ports: 40000 })", &[Nat]),
    ("nat::masquerade", "nat::masquerade(#{ source: \"10.0.0.0/24\", out: \"eth9\" })", &[Nat]),
    ("nat::suggest", "nat::suggest(#{ side: \"client\" })", &[Nat]),
    ("nat::with_open", "nat::with_open(#{ ports: 40000, to: \"10.0.0.1\" }, || 1)", &[Nat]),
    ("rules.apply", "nat::ruleset(\"t\").apply()", &[Nat]),
    ("rules.confirm", "nat::ruleset(\"t\").confirm()", &[Nat]),
    ("rules.plan", "nat::ruleset(\"t\").plan()", &[Nat]),
    ("rules.revert", "nat::ruleset(\"t\").revert()", &[Nat]),
    ("rules.rollback", "nat::ruleset(\"t\").rollback()", &[Nat]),
    ("rules.status", "nat::ruleset(\"t\").status()", &[Nat]),
    ("run::command", "run::command([\"true\"])", &[Run]),
    (
        "run::command",
        "run::command([\"true\"], #{ env: #{ USER: \"x\" }, cwd: \"in\" })",
        &[Run, Env, Read],
    ),
    ("secret", "secret(\"TOKEN\")", &[Secret]),
    ("site.append", "site.append(\"in/a\", \"/log\")", &[Read]),
    ("site.delete", "site.delete(\"/log\")", &[RemoteDelete]),
    ("site.delete_tree", "site.delete_tree(\"/tree\")", &[RemoteDelete]),
    ("site.get", "site.get(\"/a.txt\", \"in/got\")", &[Write]),
    ("site.get", "site.get(\"/gone.txt\", \"in/got\", #{ move: true })", &[Write, RemoteDelete]),
    ("site.get", "site.get(\"/a.txt\", \"in/got\", #{ site: \"PURGE\" })", &[Write, RemoteDelete]),
    ("site.mirror_down", "site.mirror_down(\"/pub\", \"in/pub\")", &[Write]),
    (
        "site.mirror_down",
        "site.mirror_down(\"/moved\", \"in/pub\", #{ move: true })",
        &[Write, RemoteDelete],
    ),
    (
        "site.mirror_down",
        "site.mirror_down(\"/pub\", \"in/pub\", #{ delete: true })",
        &[Write, Delete],
    ),
    (
        "site.mirror_down",
        "site.mirror_down(\"/pub\", \"in/pub\", #{ exclude_from: \"in/a\" })",
        &[Read, Write],
    ),
    ("site.mirror_up", "site.mirror_up(\"in/deep\", \"/up\")", &[Read]),
    (
        "site.mirror_up",
        "site.mirror_up(\"in/moved\", \"/moved2\", #{ move: true })",
        &[Read, Delete],
    ),
    (
        "site.mirror_up",
        "site.mirror_up(\"in/deep\", \"/up\", #{ delete: true })",
        &[Read, RemoteDelete],
    ),
    ("site.plan_down", "site.plan_down(\"/pub\", \"in/pub\")", &[Write]),
    ("site.plan_down", "site.plan_down(\"/pub\", \"in/pub\", #{ delete: true })", &[Write, Delete]),
    (
        "site.plan_down",
        "site.plan_down(\"/pub\", \"in/pub\", #{ move: true })",
        &[Write, RemoteDelete],
    ),
    (
        "site.plan_down",
        "site.plan_down(\"/pub\", \"in/pub\", #{ files_from: \"in/a\" })",
        &[Read, Write],
    ),
    ("site.plan_up", "site.plan_up(\"in/deep\", \"/up\")", &[Read]),
    (
        "site.plan_up",
        "site.plan_up(\"in/deep\", \"/up\", #{ delete: true })",
        &[Read, RemoteDelete],
    ),
    ("site.plan_up", "site.plan_up(\"in/deep\", \"/up\", #{ move: true })", &[Read, Delete]),
    ("site.put", "site.put(\"in/a\", \"/a2\")", &[Read]),
    ("site.put", "site.put(\"in/m\", \"/a2\", #{ move: true })", &[Read, Delete]),
    ("site.put", "site.put(\"in/a\", \"/a2\", #{ site: \"PURGE\" })", &[Read, RemoteDelete]),
    ("site.quote", "site.quote(\"SITE PURGE\")", &[RemoteDelete]),
    ("site.quote", "site.quote(\"XRMD /d\")", &[RemoteDelete]),
    ("site.quote", "site.quote(\"SITE HELP\")", &[]),
    // Two commands in one are none.
    ("site.quote", "site.quote(\"STAT\\r\\nDELE /a.txt\")", &[]),
    ("site.rmdir", "site.rmdir(\"/empty\")", &[RemoteDelete]),
];

fn known() -> BTreeSet<String> {
    docs::functions().into_iter().filter(|one| !one.is_property).map(|one| one.path).collect()
}

#[test]
fn every_function_says_which_permissions_it_needs() {
    let rows: BTreeSet<_> = FUNCTIONS.iter().map(|row| row.path.to_owned()).collect();
    let missing: Vec<_> = known().difference(&rows).cloned().collect();
    assert!(missing.is_empty(), "no row in src/script/needs.rs: {missing:?}");
    let calls: BTreeSet<_> = CALLS.iter().map(|(path, ..)| *path).collect();
    let untried: Vec<_> = FUNCTIONS
        .iter()
        .filter(|row| !row.needs.is_empty() && known().contains(row.path))
        .filter(|row| !calls.contains(row.path))
        .map(|row| row.path)
        .collect();
    assert!(untried.is_empty(), "no call in this table: {untried:?}");
    for (path, call, kinds) in CALLS {
        let row = FUNCTIONS.iter().find(|row| row.path == *path).unwrap();
        let rows: BTreeSet<_> = row.needs.iter().map(|need| need.kind()).collect();
        let kinds: BTreeSet<_> = kinds.iter().copied().collect();
        assert!(kinds.is_subset(&rows), "{call} needs {kinds:?}, its row says {rows:?}");
    }
    // What a function needs with some option only is tried as well.
    for row in FUNCTIONS.iter().filter(|row| known().contains(row.path)) {
        let tried = CALLS.iter().filter(|(path, ..)| *path == row.path);
        let tried: BTreeSet<_> = tried.flat_map(|(.., kinds)| kinds.iter().copied()).collect();
        let rows: BTreeSet<_> = row.needs.iter().map(|need| need.kind()).collect();
        assert_eq!(tried, rows, "the calls of `{}` here, and its row in needs.rs", row.path);
    }
}

/// Returns a plan up and one down, which delete something and do not say so in their totals.
fn plans(program: &Portolan, url: &str) -> Vec<String> {
    let plan = |call: &str| {
        let text = format!("print(ftp::connect(args[0]).{call}.to_json());");
        let program = program.clone_with(["run", "plan.rhai", url]).file("plan.rhai", text);
        let ran = program.run().succeeds().any_stderr().any_files();
        let text = ran.stdout_text().to_owned();
        ran.any_stdout().forget();
        let changed = text.replace("\"deletes\": 1", "\"deletes\": 0");
        assert_ne!(changed, text);
        changed
    };
    vec![
        plan("plan_up(\"in/deep\", \"/up\", #{ delete: true })"),
        plan("plan_down(\"/pub\", \"in/pub\", #{ delete: true })"),
    ]
}

/// Runs all calls with every permission but `lacking`, and returns the kind of error of each; empty for none.
fn outcomes(lacking: Option<PermissionKind>) -> BTreeMap<&'static str, String> {
    let server = Rehearsal::start(&[], false);
    for path in ["a.txt", "gone.txt", "pub/p", "tree/t", "log", "empty/.x", "up/old", "moved/m"] {
        server.file(path, "text");
    }
    let url = format!("ftp://tester:open+sesame-21@{}", server.server.address());
    let known = known();
    let is_tried = |(path, call, kinds): &TriedCall| {
        // What changes the rules of this host is tried only without the permission; namespaces have their own tests.
        let changes = kinds.contains(&Nat) && lacking != Some(Nat);
        let needs_site = call.contains("site.") || call.contains("(site)");
        known.contains(*path)
            && (!changes || matches!(*path, "rules.plan" | "nat::suggest" | "nat::interfaces"))
            && !(needs_site && lacking == Some(Net))
    };
    let tried: Vec<_> = CALLS.iter().copied().filter(is_tried).collect();
    let mut script = String::new();
    if lacking != Some(Net) {
        script += "let site = ftp::connect(args[0]);\n";
    }
    for (number, (_, call, _)) in tried.iter().enumerate() {
        let call = call.replace("URL", "args[0]");
        writeln!(
            script,
            "try {{ {call}; print(\"{number} \"); }} catch (err) {{ print(`{number} ${{fault(err).kind}}`); }}"
        )
        .unwrap();
    }
    let flag = |kind: PermissionKind| match kind {
        Net | Http => kind.flag("127.0.0.1"),
        Read | Write | Delete => kind.flag("in"),
        Run => kind.flag("true,git"),
        Env => kind.flag("USER"),
        Secret => kind.flag("TOKEN"),
        RemoteDelete | Nat => kind.flag(""),
    };
    let given = PermissionKind::ALL.into_iter().filter(|kind| Some(*kind) != lacking);
    let program = Portolan::new().file("in/a", "a").file("in/m", "m").file("in/deep/x", "x");
    let program = program.file("in/moved/x", "x").file("in/pub/old", "old");
    let plans = plans(&program, &url);
    let program = program.file("sites.toml", format!("[site.acme]\nurl = \"{url}\"\n"));
    let program =
        program.env("TOKEN", "t").script(&script).args(given.map(flag)).args([url]).args(plans);
    let ran = program.run().any_code().any_stderr().any_files();
    let (said, wrong) = (ran.stdout_text().to_owned(), ran.stderr_text().to_owned());
    ran.any_stdout().forget();
    let found: BTreeMap<_, _> = said.lines().filter_map(|line| line.split_once(' ')).collect();
    let outcome = |(number, (_, call, _)): (usize, &TriedCall)| {
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
        for (_, call, kinds) in CALLS {
            let Some(kind) = found.get(*call) else { continue };
            let must_be = lacking.is_some_and(|lacking| kinds.contains(&lacking));
            let is_refused = kind == "denied_by_policy";
            assert_eq!(is_refused, must_be, "{call} without {lacking:?}: `{kind}`");
        }
    }
}
