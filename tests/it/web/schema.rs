//! The API against its own description, by schemathesis: requests that the description allows must be accepted and
//! answered as it says, others refused, and nothing may be an error of the server.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use super::client::Site;
use crate::{serve::scheduler::on_request, support::server::skip};

/// The seed of all requests.
const SEED: &str = "17";
/// The most requests for each operation in each phase.
const EXAMPLES: &str = "25";

/// The actions on jobs and runs. The names are mostly those of the dictionaries, so each must meet one that exists.
const ACTIONS: &[&str] = &["/pause", "/resume", "/trigger", "/stop"];

/// The settings of schemathesis: names of jobs and numbers of runs that exist, since hardly any invented one does. One
/// phase tries invalid tokens, once for each operation: after ten in a minute the server refuses to look at more.
const SETTINGS: &str = r#"
[dictionaries.jobs]
values = ["good", "bad", "nobody"]
[dictionaries.runs]
values = [1, 2, 3, 9999]
[parameters]
"path.name" = { dictionary = "jobs", probability = 0.8 }
"path.id" = { dictionary = "runs", probability = 0.8 }
[phases.fuzzing.checks.ignored_auth]
enabled = false
[phases.stateful.checks.ignored_auth]
enabled = false
"#;

/// Returns the program; `None` if it is not here, which has then been reported.
fn schemathesis() -> Option<PathBuf> {
    let packages = env::var_os("PORTOLAN_TEST_SERVERS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-servers"),
        PathBuf::from,
    );
    let program = packages.join("schemathesis/bin/schemathesis");
    if program.is_file() {
        return Some(program);
    }
    skip("no schemathesis here: run tests/servers/install");
    None
}

/// Runs schemathesis against a scheduler with these keys of `[runner]`, with a token or without.
fn check(runner: &str, is_logged_in: bool) {
    let Some(program) = schemathesis() else { return };
    let jobs = on_request("good", "") + &*on_request("bad", "[job.args]\nday = \"x\"");
    let site = Site::start_with(runner, &jobs, |files| {
        files.file("good.rhai", "print(\"a good word\");");
        files.file("bad.rhai", "throw \"no good\";");
    });
    for job in ["good", "bad"] {
        drop(
            site.scheduler
                .command(&["trigger", job, "--wait"])
                .any_code()
                .any_stdout()
                .any_stderr(),
        );
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("schemathesis.toml"), SETTINGS).unwrap();
    let mut command = Command::new(program);
    command
        .args(["run", &format!("http://{}/api/v1/openapi.json", site.address)])
        .args(["--seed", SEED, "--max-examples", EXAMPLES, "--no-color"])
        .args(["--generation-database", "none", "--continue-on-failure", "--warnings", "off"])
        .args(["--report-har-path", "requests.har"])
        // A stream that does not end: `web::api` reads it.
        .args(["--exclude-path", "/events"])
        .current_dir(folder.path())
        .env("HOME", folder.path());
    if is_logged_in {
        let token = site.token("tester", "operate");
        command.args(["-H", &format!("Authorization: Bearer {token}")]);
    }
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    for phase in ["Coverage", "Fuzzing", "Stateful"] {
        assert!(said.contains(&format!("✅  {phase}")), "{phase}: {said}");
    }
    let cases = said.lines().find_map(|line| line.trim().split_once(" generated, "));
    let count: u32 = cases.and_then(|(count, _)| count.parse().ok()).unwrap_or_default();
    assert!(count > 500, "{said}");
    let sent = std::fs::read_to_string(folder.path().join("requests.har")).unwrap();
    for action in if is_logged_in { ACTIONS } else { &[] } {
        assert!(found(&sent, action), "{action}: all answers say that there is none");
    }
    drop(site.stop());
}

/// Returns true if a request to a path that ends so found its job or run.
fn found(sent: &str, action: &str) -> bool {
    let sent: serde_json::Value = serde_json::from_str(sent).unwrap();
    let entries = sent.pointer("/log/entries").and_then(serde_json::Value::as_array).unwrap();
    entries.iter().any(|entry| {
        let url = entry.pointer("/request/url").and_then(serde_json::Value::as_str).unwrap();
        let status = entry.pointer("/response/status").and_then(serde_json::Value::as_u64);
        url.ends_with(action) && matches!(status.unwrap(), 200..=299 | 409)
    })
}

#[test]
fn schemathesis_finds_the_api_to_be_as_it_is_described() {
    check("", true);
}

#[test]
fn schemathesis_finds_that_reading_needs_no_token_where_anybody_may_read() {
    check("anonymous_read = true", false);
}
