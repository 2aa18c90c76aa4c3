//! Names, messages and logs that were made to be markup, and secrets that must not leave.

use super::client::Site;
use crate::{serve::scheduler::on_request, support::rehearsal::Rehearsal};

const MARKUP: &str = "<img src=x onerror=alert(1)>\"'&</script><script>alert(2)</script>";

/// Fails if a page has an element or an attribute that none of ours has.
#[track_caller]
fn is_clean(page: &str) {
    for part in ["<img", "onerror=alert(1)>", "<script>", "</script><script", "\u{202e}", "\u{1b}"]
    {
        assert!(!page.contains(part), "{part:?} in {page}");
    }
}

#[test]
fn names_messages_and_logs_are_text_and_never_markup() {
    let server = Rehearsal::start(&[], false);
    let name = "<img src=x onerror=alert(1)>&'.txt";
    server.file(name, "bytes");
    let script = format!(
        r#"let s = ftp::connect("ftp://tester@127.0.0.1:{}", #{{ password: "open+sesame-21" }});
        s.get("<img src=x onerror=alert(1)>&'.txt", "a");
        print(`{MARKUP}`); print("\u202eabc\x1b[2J");
        throw `{MARKUP}`;"#,
        server.site.port
    );
    let jobs = on_request("a", &format!("description = '''{}'''", MARKUP.replace('\'', "")));
    let site =
        Site::start_with("anonymous_read = true", &jobs, |files| files.file("a.rhai", &script));
    let token = site.token("alice", "operate");
    let cookie = site.log_in(&token);
    drop(site.scheduler.command(&["trigger", "a", "--wait"]).any_code().any_stdout().any_stderr());
    let pause = site.post("/api/v1/jobs/a/pause").bearer(&token);
    let reason = serde_json::json!({ "reason": format!("{MARKUP}\u{202e}\u{1b}[2J") });
    pause.json(&reason.to_string()).send().is(200);
    let run = site.get("/api/v1/runs/1").send();
    assert_eq!(run.is(200)["each_file"][0]["path"], format!("/{name}"), "{run:?}");
    assert_eq!(run.header("x-content-type-options"), Some("nosniff"));
    for path in [
        "/",
        "/jobs/a",
        "/runs",
        "/runs/1",
        "/runs?job=%3Cimg%20src=x%3E",
        "/calendar",
        "/servers",
        "/?q=%3Cimg%20src%3Dx%3E%22",
        "/login?next=%22%3E%3Cimg%20src=x%3E",
        "/%3Cimg%3E",
    ] {
        for cookie in [&cookie, ""] {
            let answer = site.get(path).header("Cookie", cookie).send();
            assert!([200, 404].contains(&answer.status), "{path}: {answer:?}");
            is_clean(&answer.text);
            assert!(answer.header("content-type").unwrap().starts_with("text/html"), "{answer:?}");
        }
    }
    let page = site.get("/runs/1").send().text;
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;&amp;"), "{page}");
    assert!(page.contains("\\u{202e}abc") || page.contains("\\u202e"), "{page}");
    let log = site.get("/api/v1/runs/1/log").send();
    assert_eq!(log.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(log.header("x-content-type-options"), Some("nosniff"));
    drop(site.stop());
}

#[test]
fn every_response_forbids_foreign_scripts_and_frames() {
    let site = Site::start("", &on_request("a", ""));
    site.scheduler.file("a.rhai", "");
    for path in [
        "/",
        "/login",
        "/healthz",
        "/api/v1/jobs",
        "/api/v1/openapi.json",
        "/assets/page.js",
        "/nothing",
    ] {
        let answer = site.get(path).send();
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"),
            "{path}"
        );
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
        let is_kept = path.starts_with("/assets/");
        assert_eq!(answer.header("cache-control") == Some("no-store"), !is_kept, "{path}");
    }
    let page = site.get("/login").send().text;
    for inline in ["<style", " style=", "<script>", "onclick", "javascript:", "http://", "https://"]
    {
        assert!(!page.contains(inline), "{inline} in {page}");
    }
    drop(site.stop());
}

#[test]
fn no_secret_is_in_any_response() {
    let canary = "c4n4ry-5ecret";
    let more = format!("[job.connect]\npassword = \"{canary}\"\n[job.args]\nkey = \"{canary}\"");
    let site = Site::start(
        "",
        &on_request(
            "a",
            &format!("on_failure = {{ webhook = \"http://127.0.0.1:9/{canary}\" }}\n{more}"),
        ),
    );
    site.scheduler.file("a.rhai", "ftp::connect(\"ftp://tester@127.0.0.1:1\");");
    let token = site.token("alice", "operate");
    let cookie = site.log_in(&token);
    drop(site.scheduler.command(&["trigger", "a", "--wait"]).any_code().any_stdout().any_stderr());
    for path in [
        "/",
        "/jobs/a",
        "/runs",
        "/runs/1",
        "/servers",
        "/calendar",
        "/api/v1/jobs",
        "/api/v1/jobs/a",
        "/api/v1/runs",
        "/api/v1/runs/1",
        "/api/v1/runs/1/log",
        "/api/v1/servers",
        "/metrics",
    ] {
        let by_cookie = site.get(path).header("Cookie", &cookie).send();
        assert_eq!(by_cookie.status, 200, "{path}: {by_cookie:?}");
        for secret in [canary, token.as_str()] {
            assert!(!by_cookie.text.contains(secret), "{path}: {by_cookie:?}");
        }
    }
    assert!(!site.said().contains(&token));
    drop(site.stop());
}
