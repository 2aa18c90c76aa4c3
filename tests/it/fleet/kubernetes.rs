//! A fleet in Kubernetes: `export kubernetes --fleet` against the schemas of its API, and one pod as the kubelet makes it.

use std::{
    env, fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;

use super::machines::{Fleet, ON_REQUEST, TIME_MAX, job};
use crate::support::{
    mounts::Mounts,
    postgres::PostgresServer,
    program::{Portolan, Running},
    server::skip,
    wait,
};

/// The versions whose schemas are installed.
const VERSIONS: [&str; 2] = ["1.31", "1.37"];

/// Returns the folder of the programs of the checker; `None` if it is not here, which has then been reported.
fn checker() -> Option<PathBuf> {
    let packages = env::var_os("PORTOLAN_TEST_SERVERS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-servers"),
        PathBuf::from,
    );
    let folder = packages.join("kubernetes-validate/bin");
    if folder.join("kubernetes-validate").is_file() {
        return Some(folder);
    }
    skip("no kubernetes-validate here: run tests/servers/install");
    None
}

/// Runs a program with this input, which must succeed, and returns what it says.
fn said(program: &Path, words: &[&str], input: &str) -> String {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{words:?}: {text}{errors}\n{input}");
    text
}

/// Returns the documents of a manifest that the API of every version takes.
fn documents(folder: &Path, text: &str) -> Vec<Value> {
    for version in VERSIONS {
        said(&folder.join("kubernetes-validate"), &["-k", version, "--strict", "-"], text);
    }
    let read = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))";
    let all = said(&folder.join("python3"), &["-c", read], text);
    serde_json::from_str::<Value>(&all).unwrap().as_array().unwrap().clone()
}

/// Returns a host with a jobs file whose jobs need three sets of labels, and whose files have odd names and texts.
fn host() -> Portolan {
    let script = |script: &str, more: &str| {
        format!("\n[[job]]\nname = \"{more}\"\nscript = \"{script}\"\ncron = \"{ON_REQUEST}\"\n")
    };
    let dmz = "needs = { network = \"dmz\" }\n";
    let both = "needs = { network = \"dmz\", \"example.com/disk\" = \"big_1\" }\n";
    let jobs = [
        "include = [\"more/*.toml\"]\n[runner]\nmax_running = 6\n".to_owned(),
        script("a.rhai", "a") + "description = \"- 'x': \\\"y\\\" {z} # \u{2028}\"\n",
        script("sub dir/$(POD_NAME) 'b': {c}.rhai", "b") + dmz + "kill_grace = \"2m\"\n",
        script("a.rhai", "c") + both + "not_on = [\"days\"]\n",
        script("a.rhai", "d") + dmz,
    ];
    Portolan::new()
        .file("portolan.toml", jobs.concat())
        .file("more/e.toml", script("a.rhai", "e"))
        .file("days", "2026-12-25 Christmas\n")
        .file("a.rhai", "import \"lib/x\" as x;\nprint(\"\u{1f600}\u{7f}\ttab\");\n")
        .file("lib/x.rhai", "fn f() { 1 }\n")
        .file("sub dir/$(POD_NAME) 'b': {c}.rhai", "---\n# a\n")
}

#[test]
fn kubernetes_takes_a_fleet_with_a_deployment_for_each_set_of_labels() {
    let Some(checker) = checker() else { return };
    let secret = "open+sesame-21";
    let host = host()
        .env("PGPASSWORD", secret)
        .env("PORTOLAN_STORE", format!("postgres://p:{secret}@h/d"));
    let words = [
        "export",
        "kubernetes",
        "--fleet",
        "--image",
        "r/p:1 # x",
        "--workers",
        "9",
        "--replicas",
        "3",
    ];
    let ran = host.clone_with(words).run().succeeds();
    let text = ran.stdout_text().to_owned();
    let told = ran.stderr_text();
    assert!(
        told.contains("note: the pods of `portolan-network-dmz` are placed on nodes"),
        "{told}"
    );
    assert!(told.contains("`kubectl label node NODE network=dmz`\n"), "{told}");
    drop(ran.any_stdout().any_stderr());
    let all = documents(&checker, &text);
    let config = &all[0];
    // Each file as it is, at its place.
    let items =
        all[1]["spec"]["template"]["spec"]["volumes"][3]["configMap"]["items"].as_array().unwrap();
    let mut paths = Vec::new();
    for item in items {
        let path = item["path"].as_str().unwrap();
        let text = config["data"][item["key"].as_str().unwrap()].as_str().unwrap();
        assert_eq!(text, fs::read_to_string(host.folder().join(path)).unwrap(), "{path}");
        paths.push(path);
    }
    paths.sort_unstable();
    let wanted = [
        "a.rhai",
        "days",
        "lib/x.rhai",
        "more/e.toml",
        "portolan.toml",
        "sub dir/$(POD_NAME) 'b': {c}.rhai",
    ];
    assert_eq!(paths, wanted);
    assert_eq!(config["data"].as_object().unwrap().len(), wanted.len());
    let names: Vec<_> = all
        .iter()
        .map(|one| (one["kind"].as_str().unwrap(), one["metadata"]["name"].as_str().unwrap()))
        .collect();
    let wanted = [
        ("ConfigMap", "portolan"),
        ("Deployment", "portolan"),
        ("Deployment", "portolan-example-com-disk-big-1-network-dmz"),
        ("Deployment", "portolan-network-dmz"),
    ];
    assert_eq!(names, wanted);
    let labels = [vec![], vec!["example.com/disk=big_1", "network=dmz"], vec!["network=dmz"]];
    for (one, labels) in all[1..].iter().zip(labels) {
        check_deployment(one, &labels);
    }
}

#[test]
fn a_config_map_has_the_programs_and_certificates_that_jobs_name() {
    let Some(checker) = checker() else { return };
    let keys = "before = [\"./hook.sh\"]\nfinally = [\"sh\", \"last.sh\"]\n[job.connect]\nca_file = \"ca.pem\"\n";
    let mirror = format!(
        "\n[[job]]\nname = \"m\"\ncron = \"{ON_REQUEST}\"\nmirror = {{ from = \"ftp://h/a\", to = \"catalogue\" }}\n"
    );
    let host = Portolan::new()
        .file("portolan.toml", [job("a", ON_REQUEST, keys), mirror].concat())
        .file("a.rhai", "")
        .file("hook.sh", "#!/bin/sh\n")
        .file("last.sh", "exit 0\n")
        .file("ca.pem", "-----BEGIN CERTIFICATE-----\n");
    let program = fs::Permissions::from_mode(0o755);
    fs::set_permissions(host.folder().join("hook.sh"), program).unwrap();
    let ran = host.clone_with(["export", "kubernetes", "--fleet"]).run().succeeds();
    let all = documents(&checker, ran.stdout_text());
    ran.stderr_has("lost: `m`: local directories with relative paths are in an emptyDir")
        .any_stdout()
        .any_stderr();
    let items = at(&all[1], "/spec/template/spec/volumes/3/configMap/items").as_array().unwrap();
    let found: Vec<_> = items
        .iter()
        .map(|item| (item["path"].as_str().unwrap(), item.get("mode").and_then(Value::as_i64)))
        .collect();
    let wanted = [
        ("portolan.toml", None),
        ("a.rhai", None),
        ("ca.pem", None),
        ("hook.sh", Some(0o755)),
        ("last.sh", None),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn pods_that_run_what_is_published_have_no_config_map() {
    let Some(checker) = checker() else { return };
    let words = ["export", "kubernetes", "--fleet", "--published"];
    let ran = host().clone_with(words).run().succeeds();
    let text = ran.stdout_text().to_owned();
    ran.stderr_has("note: the pods wait until `portolan publish`").any_stdout().any_stderr();
    let all = documents(&checker, &text);
    assert_eq!(all.len(), 3);
    for one in &all {
        assert_eq!(one["kind"], "Deployment");
        let pod = at(one, "/spec/template/spec");
        let args = at(pod, "/containers/0/args").as_array().unwrap();
        assert_eq!((&args[0], &args[1]), (&"serve".into(), &"--published".into()));
        assert!(!pod.to_string().contains("/etc/portolan"), "{pod:#}");
        let volumes = at(pod, "/volumes").as_array().unwrap();
        assert!(volumes.iter().all(|volume| volume["name"] != "jobs"), "{volumes:?}");
    }
}

/// Returns what a JSON pointer leads to.
fn at<'v>(value: &'v Value, pointer: &str) -> &'v Value {
    value.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {value:#}"))
}

/// Checks a `Deployment` of machines with these labels.
fn check_deployment(one: &Value, labels: &[&str]) {
    let selector = at(one, "/spec/selector/matchLabels");
    assert_eq!(selector, at(one, "/spec/template/metadata/labels"));
    assert_eq!(at(one, "/spec/replicas"), 3);
    let pod = at(one, "/spec/template/spec");
    for (pointer, wanted) in [
        ("/terminationGracePeriodSeconds", Value::from(150)),
        ("/automountServiceAccountToken", false.into()),
        ("/securityContext/runAsNonRoot", true.into()),
        ("/securityContext/runAsUser", 1000.into()),
        ("/securityContext/seccompProfile/type", "RuntimeDefault".into()),
        ("/containers/0/startupProbe/httpGet/path", "/healthz".into()),
        ("/containers/0/readinessProbe/httpGet/path", "/healthz".into()),
        ("/containers/0/livenessProbe/httpGet/path", "/healthz".into()),
    ] {
        assert_eq!(at(pod, pointer), &wanted, "{pointer}");
    }
    for kind in ["/initContainers/0", "/containers/0"] {
        let container = at(pod, kind);
        assert_eq!(at(container, "/image"), "r/p:1 # x");
        assert_eq!(at(container, "/securityContext/readOnlyRootFilesystem"), true);
        assert_eq!(at(container, "/securityContext/allowPrivilegeEscalation"), false);
        assert_eq!(at(container, "/securityContext/capabilities/drop/0"), "ALL");
        assert!(at(container, "/resources/limits/memory").is_string());
    }
    for (variable, key) in [("PORTOLAN_STORE", "url"), ("PGPASSWORD", "password")] {
        let all = at(pod, "/containers/0/env").as_array().unwrap();
        let found = all.iter().find(|one| at(one, "/name") == variable).unwrap();
        assert_eq!(at(found, "/valueFrom/secretKeyRef/name"), "portolan-store");
        assert_eq!(at(found, "/valueFrom/secretKeyRef/key"), key);
        assert_eq!(found.get("value"), None);
    }
    let args = at(pod, "/containers/0/args").as_array().unwrap();
    let pairs: Vec<_> = args.iter().zip(args.iter().skip(1)).collect();
    let given = pairs.iter().filter(|(flag, _)| *flag == "--label").map(|(_, label)| *label);
    assert_eq!(given.collect::<Vec<_>>(), labels);
    assert!(pairs.iter().any(|(flag, count)| *flag == "--workers" && *count == "9"), "{args:?}");
    let nodes = pod.get("nodeSelector").and_then(Value::as_object);
    assert_eq!(nodes.map_or(0, serde_json::Map::len), labels.len());
}

#[test]
fn what_a_cluster_would_refuse_or_show_is_refused() {
    let jobs = |more: &str| job("a", ON_REQUEST, more);
    let big = "x".repeat(1024 * 1024 - 20);
    let login = "mirror = { from = \"ftp://me:open+sesame-21@h/a\", to = \"a\" }\n";
    let task = format!("[[job]]\nname = \"a\"\ncron = \"{ON_REQUEST}\"\n{login}");
    for (jobs, script, words) in [
        (jobs(""), format!("//{big}"), "a ConfigMap takes 1048576"),
        (jobs("needs = { \"-x\" = \"y\" }"), String::new(), "a node in Kubernetes cannot have the label `-x=y`"),
        (jobs("needs = { \"a/b/c\" = \"d\" }"), String::new(), "cannot have the label `a/b/c=d`"),
        (jobs("[job.connect]\npassword = \"open+sesame-21\""), String::new(), "no place for secrets: write `secret:NAME`"),
        (task, String::new(), "no place for secrets"),
        (
            "[runner]\nstore = \"postgres://p:open+sesame-21@h/d\"\n".to_owned() + &*jobs(""),
            String::new(),
            "no place for secrets",
        ),
        (
            "[mail]\nsmtp = \"h\"\nfrom = \"a@example.com\"\nuser = \"a\"\npassword = \"open+sesame-21\"\n".to_owned() + &*jobs(""),
            String::new(),
            "no place for secrets",
        ),
        (jobs(""), "let name = \"x\";\nimport name as x;\n".to_owned(), "known only at run time"),
    ] {
        let host = Portolan::new().file("portolan.toml", &jobs).file("a.rhai", script);
        let ran = host.args(["export", "kubernetes", "--fleet"]).run();
        assert_eq!(ran.code(), 2, "{words}: {}", ran.stderr_text());
        ran.fails_with(2).stderr_has(words).any_stderr();
    }
    let host = Portolan::new().file("portolan.toml", jobs("")).file("a.rhai", "");
    for (words, message) in [
        (&["export", "crontab", "--fleet"][..], "`--fleet` is for Kubernetes"),
        (&["export", "kubernetes", "--workers", "2"], "--fleet"),
    ] {
        host.clone_with(words.iter().copied()).run().fails_with(2).stderr_has(message).any_stderr();
    }
}

/// The directories of a pod, as the kubelet makes them: everybody may write those of volumes by their modes, the files of a
/// `ConfigMap` are behind links, and its mount is read-only. `init` is the command of the container that begins first.
fn pod(folder: &Path, config: &Path, init: &str) -> Option<Mounts> {
    Mounts::open(&format!(
        "mount -t tmpfs -o mode=0777 tmpfs {0}/etc
        mkdir {0}/etc/..2026_12_01
        cp -r {1}/. {0}/etc/..2026_12_01/
        chmod -R go-w {0}/etc/..2026_12_01
        ln -s ..2026_12_01 {0}/etc/..data
        for file in {1}/*; do ln -s ..data/\"${{file##*/}}\" {0}/etc/; done
        chmod 0777 {0}/etc
        mount -o remount,ro {0}/etc
        mount -t tmpfs -o mode=0777 tmpfs {0}/volume
        ( {init} )
        mount --bind {0}/volume/state {0}/state
        mount --bind {0}/volume/jobs {0}/jobs
        mount -t tmpfs -o mode=0777 tmpfs {0}/secrets
        mkdir {0}/secrets/..2026_12_01
        printf word >{0}/secrets/..2026_12_01/WORD
        chmod 0440 {0}/secrets/..2026_12_01/WORD
        ln -s ..2026_12_01/WORD {0}/secrets/WORD",
        folder.display(),
        config.display()
    ))
}

/// Does what the kubelet does with the volumes of the manifest.
fn lay_out(fleet: &Fleet, all: &[Value]) {
    for folder in ["config", "pod", "pod/etc", "pod/secrets", "pod/state", "pod/jobs", "pod/volume"]
    {
        fs::create_dir(fleet.path(folder)).unwrap();
    }
    let [config, _, deployment] = all else { panic!("{all:#?}") };
    let volumes = at(deployment, "/spec/template/spec/volumes/3/configMap/items");
    for item in volumes.as_array().unwrap() {
        let path = fleet.path("config").join(at(item, "/path").as_str().unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let key = at(item, "/key").as_str().unwrap();
        fs::write(path, at(config, "/data").get(key).unwrap().as_str().unwrap()).unwrap();
    }
}

#[test]
fn a_pod_of_the_manifest_joins_the_fleet_and_runs_its_jobs() {
    let Some(checker) = checker() else { return };
    let jobs = job("a", ON_REQUEST, "needs = { network = \"dmz\" }");
    let Some(fleet) = Fleet::new(&jobs) else { return };
    fs::create_dir(fleet.path("scripts")).unwrap();
    let text = fleet.read("portolan.toml").replace("\"a.rhai\"", "\"scripts/a.rhai\"");
    // The address comes from the Secret.
    let lines = text.lines().filter(|line| !line.starts_with("store ="));
    fleet.file("portolan.toml", &lines.collect::<Vec<_>>().join("\n"));
    fleet.file(
        "scripts/a.rhai",
        "if secret(\"WORD\") == \"\" { throw \"none\" }\nlocal::write(\"seen\", \"x\");",
    );
    let ran = fleet
        .program()
        .args(["export", "kubernetes", "--fleet", "--jobs"])
        .args([fleet.path("portolan.toml")])
        .run();
    let text = ran.stdout_text().to_owned();
    drop(ran.succeeds().any_stdout().any_stderr());
    let all = documents(&checker, &text);
    let pod_spec = &all[2]["spec"]["template"]["spec"];
    lay_out(&fleet, &all);
    let path = |name: &str| fleet.path("pod").join(name).display().to_string();
    let place = |text: &str| {
        text.replace("/etc/portolan", &path("etc"))
            .replace("/volume", &path("volume"))
            .replace("/srv/portolan", &path("jobs"))
            .replace("/var/lib/portolan", &path("state"))
            .replace("/run/portolan/secrets", &path("secrets"))
            .replace("$(POD_NAME)", "pod-1")
            .replace("0.0.0.0:9464", "127.0.0.1:0")
    };
    let container = &pod_spec["containers"][0];
    let args: Vec<_> = container["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|arg| place(arg.as_str().unwrap()))
        .collect();
    let secrets = place(container["env"][3]["value"].as_str().unwrap());
    let start = |mounts: &Mounts, args: &[String]| {
        let program = Portolan::new().watched(&fleet.path("pod")).args(args.to_vec());
        let program = program
            .env("PGPASSWORD", PostgresServer::PASSWORD)
            .env("PORTOLAN_STORE", fleet.address());
        mounts.enter(program.env("CREDENTIALS_DIRECTORY", &secrets)).spawn()
    };
    let init = at(pod_spec, "/initContainers/0/command").as_array().unwrap();
    assert_eq!((&init[0], &init[1]), (&"sh".into(), &"-c".into()));
    let init = place(init[2].as_str().unwrap());
    let Some(mounts) = pod(&fleet.path("pod"), &fleet.path("config"), &init) else { return };
    // Whoever may write the directory by its mode can swap the jobs outside of this mount.
    let exposed: Vec<_> = args.iter().map(|arg| arg.replace(&path("jobs"), &path("etc"))).collect();
    let ran = start(&mounts, &exposed).wait();
    ran.any_code().stderr_has("everybody may swap what is in this folder").any_stderr().any_files();
    let running = start(&mounts, &args);
    running.until_stderr_has("machine `pod-1` shares the schedule of");
    let answer =
        wait::until(TIME_MAX, || Some(health(&running)).filter(|text| text.contains("200 OK")));
    assert!(answer.is_some(), "{}", health(&running));
    fleet.until_known("a");
    fleet
        .command(&["trigger", "a", "--wait"])
        .succeeds()
        .stdout_has("is done")
        .any_stdout()
        .any_stderr();
    assert_eq!(fleet.json(&["show", "last"])["machine"], "pod-1");
    let seen = mounts.path(&fleet.path("pod/jobs/seen"));
    assert_eq!(fs::read_to_string(seen).unwrap(), "x");
    running.signal(Signal::TERM);
    running.wait().succeeds().any_stdout().any_stderr().any_files();
}

/// Returns the answer to a probe.
fn health(running: &Running) -> String {
    let said = running.stderr_text();
    let (_, rest) = said.split_once("metrics at http://").unwrap();
    let mut stream = TcpStream::connect(rest.split('/').next().unwrap()).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
