//! The rights of requests: tokens and their roles, logins, other sites, other host names.

use rustix::process::Signal;

use super::client::Site;
use crate::{
    serve::scheduler::{Scheduler, on_request},
    support::program::Portolan,
};

const READ: [&str; 12] = [
    "/api/v1/jobs",
    "/api/v1/jobs/a",
    "/api/v1/runs",
    "/api/v1/runs/1",
    "/api/v1/runs/1/log",
    "/api/v1/servers",
    "/api/v1/next",
    "/api/v1/events",
    "/metrics",
    "/api/v1/nothing",
    "/api/v1/jobs?limit=x",
    "/api/v1/runs?job=a",
];

const ACT: [&str; 4] = [
    "/api/v1/jobs/a/trigger",
    "/api/v1/jobs/a/pause",
    "/api/v1/jobs/a/resume",
    "/api/v1/runs/1/stop",
];

fn site(runner: &str) -> Site {
    let site = Site::start(runner, &on_request("a", ""));
    site.scheduler.file("a.rhai", "");
    site
}

/// Returns the value of a hidden field of a page.
fn csrf(page: &str) -> String {
    let field = page.split("name=\"csrf\" value=\"").nth(1).unwrap_or_else(|| panic!("{page}"));
    field.split('"').next().unwrap().to_owned()
}

#[test]
fn without_a_token_nothing_is_read_and_nothing_done() {
    let site = site("");
    for path in READ {
        let answer = site.get(path).send();
        answer.is_error(401, "web.login_required");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"portolan\""));
    }
    for path in ACT {
        site.post(path).send().is_error(401, "web.login_required");
    }
    for page in ["/", "/runs", "/runs/1", "/jobs/a", "/calendar", "/servers"] {
        let answer = site.get(page).send();
        assert_eq!(answer.status, 303, "{page}");
        assert!(answer.header("location").unwrap().starts_with("/login?next=%2F"), "{answer:?}");
    }
    assert_eq!(site.post("/jobs/a/trigger").send().status, 401);
    for path in ["/login", "/healthz", "/assets/style.css", "/api/v1/openapi.json"] {
        assert_eq!(site.get(path).send().status, 200, "{path}");
    }
    assert!(site.scheduler.runs().is_empty());
    drop(site.stop());
}

#[test]
fn a_token_may_do_what_its_role_allows_until_it_is_revoked() {
    let site = site("");
    let (read, operate) = (site.token("reader", "read"), site.token("alice", "operate"));
    assert_ne!(read, operate);
    site.get("/api/v1/jobs").bearer(&read).send().is(200);
    for path in ACT {
        site.post(path).bearer(&read).send().is_error(403, "web.role");
    }
    assert!(site.scheduler.runs().is_empty());
    site.post("/api/v1/jobs/a/trigger").bearer(&operate).send().is(202);
    for wrong in ["", "x", &operate[1..], &format!("{operate}0"), &operate.to_uppercase()] {
        site.get("/api/v1/jobs").bearer(wrong).send().is_error(401, "web.login_required");
    }
    site.get("/healthz").bearer("x").send().is_error(401, "web.login_required");
    let basic = site.get("/api/v1/jobs").header("Authorization", "Basic YTpi").send();
    basic.is_error(401, "web.login_required");
    drop(
        site.scheduler
            .command(&["token", "revoke", "alice"])
            .succeeds()
            .stdout("`alice` is revoked\n"),
    );
    site.get("/api/v1/jobs").bearer(&operate).send().is_error(401, "web.login_required");
    site.get("/api/v1/jobs").bearer(&read).send().is(200);
    drop(site.stop());
}

#[test]
fn tokens_are_listed_without_their_secrets_and_kept_as_hashes() {
    let site = site("");
    let token = site.token("alice", "operate");
    let ran = site.scheduler.command(&["--json", "token", "add", "ci", "--expires", "90d"]);
    let mut ran = ran.succeeds();
    let made = ran.json();
    assert_eq!((made["role"].as_str(), made["name"].as_str()), (Some("read"), Some("ci")));
    let secret = made["token"].as_str().unwrap().to_owned();
    let mut ran = site.scheduler.command(&["--json", "token", "list"]).succeeds();
    let listed = ran.json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(listed[0]["role"], "operate");
    assert!(listed[0]["expires_at"].is_null() && listed[1]["expires_at"].is_string(), "{listed}");
    drop(site.scheduler.command(&["token", "list"]).succeeds().stdout_has("alice").any_stdout());
    let again = site.scheduler.command(&["token", "add", "alice"]).fails_with(2);
    drop(again.stderr_has("there is a token `alice` already").any_stderr());
    let gone = site.scheduler.command(&["token", "revoke", "alise"]).fails_with(2);
    drop(gone.stderr_has("did you mean `alice`?").any_stderr());
    for wrong in [["a b", "--role", "read"], ["b", "--role", "admin"], ["b", "--expires", "soon"]] {
        let ran = site.scheduler.command(&[&["token", "add"][..], &wrong].concat());
        drop(ran.fails_with(2).any_stderr());
    }
    for name in std::fs::read_dir(site.scheduler.state())
        .unwrap()
        .flatten()
        .filter(|name| name.path().is_file())
    {
        let bytes = std::fs::read(name.path()).unwrap();
        for secret in [&token, &secret] {
            let has = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!has, "{} holds a token", name.path().display());
        }
    }
    drop(site.stop());
}

#[test]
fn anonymous_reading_is_for_loopback_and_acting_is_refused() {
    let site = site("anonymous_read = true");
    site.get("/api/v1/jobs").send().is(200);
    assert_eq!(site.get("/").send().status, 200);
    for path in ACT {
        site.post(path).send().is_error(401, "web.login_required");
    }
    // No forms for those who may not use them.
    assert!(!site.get("/").send().text.contains("/trigger"));
    drop(site.stop());
}

#[test]
fn requests_of_other_sites_and_for_other_names_are_refused() {
    let site = site("listen_hosts = [\"Jobs.Example.com\"]");
    let token = site.token("alice", "operate");
    let trigger = || site.post("/api/v1/jobs/a/trigger").bearer(&token);
    for origin in
        ["http://evil.example", "null", "https://localhost.evil.example", "http://127.0.0.1:1"]
    {
        trigger().header("Origin", origin).send().is_error(403, "web.cross_site");
        site.get("/api/v1/jobs")
            .bearer(&token)
            .header("Origin", origin)
            .send()
            .is_error(403, "web.cross_site");
    }
    trigger().header("Sec-Fetch-Site", "cross-site").send().is_error(403, "web.cross_site");
    for host in
        ["evil.example", "localhost.evil.example:80", "192.0.2.1", "127.0.0.1.evil.example", ""]
    {
        trigger().header("Host", host).send().is_error(421, "web.host");
        let page = site.get("/login").header("Host", host).send();
        assert_eq!(page.status, 421, "{host}");
    }
    assert!(site.scheduler.runs().is_empty());
    let port = site.address.split(':').nth(1).unwrap();
    for host in
        ["localhost", &format!("localhost:{port}"), "127.0.0.1", "[::1]:80", "jobs.example.com:443"]
    {
        site.get("/api/v1/jobs").bearer(&token).header("Host", host).send().is(200);
    }
    let own = format!("http://{}", site.address);
    trigger().header("Origin", &own).header("Sec-Fetch-Site", "same-origin").send().is(202);
    drop(site.stop());
}

#[test]
fn a_browser_logs_in_acts_with_the_token_of_its_page_and_logs_out() {
    let site = site("");
    let token = site.token("alice", "operate");
    let answer = site.post("/login").form(&format!("token={token}&next=%2Fruns%3Fjob%3Da")).send();
    assert_eq!((answer.status, answer.header("location")), (303, Some("/runs?job=a")));
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(&token) && !cookie.contains("Secure"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let page = site.get("/").header("Cookie", cookie).send();
    assert!(page.status == 200 && page.text.contains("alice (operate)"), "{page:?}");
    let csrf = csrf(&page.text);
    let trigger =
        |form: &str| site.post("/jobs/a/trigger").header("Cookie", cookie).form(form).send();
    for wrong in ["", "csrf=", "csrf=x", &format!("csrf={}", &csrf[1..])] {
        assert_eq!(trigger(wrong).status, 403, "{wrong}");
    }
    let by_api = || site.post("/api/v1/jobs/a/trigger").header("Cookie", cookie);
    by_api().send().is_error(403, "web.csrf");
    by_api().header("Origin", "http://evil.example").send().is_error(403, "web.cross_site");
    assert!(site.scheduler.runs().is_empty());
    by_api().header("X-CSRF-Token", &csrf).send().is(202);
    let done = trigger(&format!("csrf={csrf}"));
    assert_eq!(done.status, 303, "{done:?}");
    assert!(done.header("location").unwrap().contains("note=triggered"), "{done:?}");
    let paused = site
        .post("/jobs/a/pause")
        .header("Cookie", cookie)
        .form(&format!("csrf={csrf}&reason=tea+%26+cake"));
    assert_eq!(paused.send().header("location"), Some("/jobs/a?note=paused"));
    let page = site.get("/jobs/a?note=paused").header("Cookie", cookie).send().text;
    assert!(page.contains("tea &amp; cake") && page.contains("The job is paused"), "{page}");
    let out = site.post("/logout").header("Cookie", cookie).form(&format!("csrf={csrf}")).send();
    assert_eq!((out.status, out.header("location")), (303, Some("/login")));
    assert_eq!(site.get("/").header("Cookie", cookie).send().status, 303);
    drop(site.stop());
}

#[test]
fn a_session_ends_with_its_token_and_a_reader_gets_no_forms() {
    let site = site("");
    let token = site.token("reader", "read");
    let cookie = site.log_in(&token);
    let page = site.get("/").header("Cookie", &cookie).send();
    assert!(page.status == 200 && !page.text.contains("/trigger"), "{page:?}");
    let csrf = csrf(&page.text);
    let act = site.post("/jobs/a/trigger").header("Cookie", &cookie).form(&format!("csrf={csrf}"));
    assert_eq!(act.send().status, 403);
    drop(site.scheduler.command(&["token", "revoke", "reader"]).succeeds().any_stdout());
    assert_eq!(site.get("/").header("Cookie", &cookie).send().status, 303);
    drop(site.stop());
}

#[test]
fn failed_logins_are_counted_and_refused() {
    let site = site("");
    let token = site.token("alice", "operate");
    let log_in = |token: &str| site.post("/login").form(&format!("token={token}&next=%2F")).send();
    for _ in 0..10 {
        let answer = log_in("portolan_wrong");
        assert!(
            answer.status == 401 && answer.text.contains("this token is not valid"),
            "{answer:?}"
        );
    }
    let answer = log_in(&token);
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("60")));
    site.get("/api/v1/jobs").bearer("wrong").send().is_error(429, "web.too_many_logins");
    // A client with a token is not locked out by one without.
    site.get("/api/v1/jobs").bearer(&token).send().is(200);
    drop(site.stop());
}

#[test]
fn an_address_that_others_reach_needs_tls_and_login() {
    let job = on_request("a", "");
    let scheduler = Scheduler::new(&format!("listen = \"0.0.0.0:0\"\n{job}"));
    scheduler.file("a.rhai", "");
    let ran = scheduler.serve(&[]).run().fails_with(2);
    drop(ran.stderr_has("0.0.0.0:0").stderr_has("listen_cert").any_stderr());
    let check = Portolan::new().args(["check"]).args([scheduler.path("portolan.toml")]).run();
    drop(check.fails_with(3).stderr_has("needs TLS").any_stderr().any_stdout());
    scheduler.jobs(&job);
    let ran = scheduler.serve(&["--listen", "192.0.2.1:8080"]).run().fails_with(2);
    drop(ran.stderr_has("needs TLS").stderr_has("web.needs_tls").any_stderr());
    scheduler.jobs(&format!(
        "listen = \"0.0.0.0:0\"\nlisten_cert = \"c.pem\"\nanonymous_read = true\n{job}"
    ));
    let ran = scheduler.serve(&[]).run().fails_with(2);
    drop(ran.stderr_has("`anonymous_read` is for loopback addresses").any_stderr());
    scheduler.jobs(&format!("listen = \"127.0.0.1:0\"\n{job}"));
    let running = scheduler.serve(&[]).spawn();
    running.until_stderr_has("page at http://127.0.0.1:");
    running.signal(Signal::TERM);
    drop(running.wait().succeeds().any_stderr());
}
