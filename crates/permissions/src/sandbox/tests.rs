use std::{
    fs,
    io::Write,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
};

use super::*;
use crate::PermissionOptions;

fn plan(base: &Path, fill: impl FnOnce(&mut PermissionOptions)) -> SandboxPlan {
    let mut options = PermissionOptions::default();
    fill(&mut options);
    let permissions = RunPermissions::new(&options, base, true).unwrap();
    SandboxPlan::new(&permissions, &OwnPaths::default())
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn ports_follow_from_the_hosts() {
    let root = Path::new("/");
    let of = |net: &[&str], http: &[&str]| {
        let plan = plan(root, |it| (it.net, it.http) = (texts(net), texts(http)));
        (plan.ports, plan.has_network)
    };
    assert_eq!(of(&[], &[]), (ReachablePorts::Only(Vec::new()), false));
    assert_eq!(of(&["a:21"], &[]), (ReachablePorts::All, true));
    assert_eq!(of(&[], &["a:443", "b:80"]), (ReachablePorts::Only(vec![443, 80, 53]), true));
    assert_eq!(of(&[], &["a:443", "b"]), (ReachablePorts::All, true));
    assert_eq!(of(&["a"], &["a:443"]), (ReachablePorts::All, true));
}

#[test]
fn files_to_resolve_names_are_read_only_where_there_are_names() {
    let root = Path::new("/");
    let reads = |plan: &SandboxPlan| plan.read.contains(&"/etc/resolv.conf".into());
    let of = |net: &[&str], http: &[&str]| {
        reads(&plan(root, |it| (it.net, it.http) = (texts(net), texts(http))))
    };
    assert!(!of(&[], &[]) && !of(&["192.0.2.1", "[::1]:21"], &["192.0.2.1:80"]));
    assert!(of(&["192.0.2.1", "a:21"], &[]) && of(&["192.0.2.1"], &["a"]) && of(&["*"], &[]));
    assert!(reads(&plan(root, |it| it.run = texts(&["sh"]))));
    let named = RunPermissions::new(&PermissionOptions::default(), root, true).unwrap();
    let own = OwnPaths { has_names: true, ..OwnPaths::default() };
    assert!(reads(&SandboxPlan::new(&named, &own)));
}

#[test]
fn a_path_that_does_not_exist_opens_its_directory_and_never_the_root() {
    let scratch = tempfile::tempdir().unwrap();
    let base = scratch.path().canonicalize().unwrap();
    fs::create_dir(base.join("in")).unwrap();
    fs::write(base.join("in/file"), "").unwrap();
    for (grant, wanted) in [
        ("in", Some(base.join("in"))),
        ("in/file", Some(base.join("in"))),
        ("in/new/deep", Some(base.join("in"))),
        ("new", Some(base.clone())),
        ("/nowhere/at/all", None),
        ("/", Some(PathBuf::from("/"))),
    ] {
        let plan = plan(&base, |it| (it.write, it.delete) = (texts(&[grant]), texts(&[grant])));
        let wanted: Vec<_> = wanted.into_iter().collect();
        assert_eq!((plan.write, plan.delete), (wanted.clone(), wanted), "{grant}");
    }
}

#[test]
fn programs_are_executed_only_if_some_are_allowed() {
    let root = Path::new("/");
    assert!(plan(root, |it| it.read = texts(&["/usr"])).execute.is_empty());
    assert!(!plan(root, |it| it.run = texts(&["sh"])).execute.is_empty());
    assert!(plan(root, |it| it.nat = true).has_programs);
    let own = tempfile::tempdir().unwrap();
    let dump = own.path().canonicalize().unwrap().join("dump");
    fs::write(&dump, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&dump, fs::Permissions::from_mode(0o755)).unwrap();
    let programs = vec!["gone".to_owned(), dump.to_str().unwrap().to_owned()];
    let own = OwnPaths { programs, ..OwnPaths::default() };
    let named = RunPermissions::new(&PermissionOptions::default(), root, true).unwrap();
    let plan = SandboxPlan::new(&named, &own);
    assert!(plan.has_programs && plan.execute.contains(&dump));
    assert!(named.allow_run(dump.to_str().unwrap()).is_err());
}

#[test]
fn a_wall_that_is_missing_is_told_or_refused() {
    let none = KernelSupport {
        files: false,
        truncation: false,
        ports: false,
        signals: false,
        syscalls: false,
    };
    assert_eq!(none.lacks().len(), 3);
    assert!(none.summary().starts_with("nothing; no Landlock"));
    let old = KernelSupport { files: true, syscalls: true, ..none };
    assert_eq!(old.lacks().len(), 2);
    assert!(demand(&old.lacks(), false).is_ok());
    let error = demand(&old.lacks(), true).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.message.contains("`require_sandbox` demands it: it has Landlock before"));
    let whole = KernelSupport { truncation: true, ports: true, ..old };
    assert!(demand(&whole.lacks(), true).is_ok());
    assert_eq!(whole.summary(), "files, TCP ports, system calls");
}

/// Runs `work` on a thread of its own, which `plan` confines; `None` if this kernel cannot, which is said.
fn confined<T: Send>(plan: &SandboxPlan, work: impl FnOnce() -> T + Send) -> Option<T> {
    let lacks = KernelSupport::detect().lacks();
    if !lacks.is_empty() {
        std::io::stderr().write_all(format!("skipped: {}\n", lacks.join("; ")).as_bytes()).unwrap();
        return None;
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            files::restrict(plan).unwrap();
            syscalls::restrict(plan).unwrap();
            work()
        });
        Some(thread.join().unwrap())
    })
}

#[test]
fn the_kernel_refuses_ports_that_no_host_names() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, elsewhere) = (listener.local_addr().unwrap(), other.local_addr().unwrap());
    let root = Path::new("/");
    let named = plan(root, |it| it.http = vec![format!("127.0.0.1:{}", address.port())]);
    let tried = || {
        let denied = std::io::ErrorKind::PermissionDenied;
        let kind = |result: std::io::Result<()>| result.err().map(|error| error.kind());
        [
            kind(TcpStream::connect(address).map(drop)) == Some(denied),
            kind(TcpStream::connect(elsewhere).map(drop)) == Some(denied),
            kind(TcpListener::bind("127.0.0.1:0").map(drop)) == Some(denied),
        ]
    };
    let Some(refused) = confined(&named, tried) else { return };
    assert_eq!(refused, [false, true, true]);
    assert_eq!(confined(&plan(root, |_| {}), tried), Some([true, true, true]));
    let any = plan(root, |it| it.net = texts(&["127.0.0.1"]));
    assert_eq!(confined(&any, tried), Some([false, false, false]));
}

#[test]
fn a_program_is_started_only_where_one_is_allowed() {
    let root = Path::new("/");
    let starts = || std::process::Command::new("/bin/true").status().is_ok_and(|it| it.success());
    let Some(is_started) = confined(&plan(root, |it| it.run = texts(&["true"])), starts) else {
        return;
    };
    assert!(is_started);
    assert_eq!(confined(&plan(root, |_| {}), starts), Some(false));
}
