//! The page in a real browser: what it shows, that its script keeps it current, that a keyboard is enough, and that axe
//! finds no obstacle for people who do not see, or do not see well. Pictures are kept in `target/tmp/screenshots`.

use std::{fs, path::PathBuf};

use super::client::Site;
use crate::{
    serve::scheduler::on_request,
    support::{
        browser::{Browser, ENTER, TAB, View},
        rehearsal::Rehearsal,
    },
};

/// Markup that would rename the page if anything took it for more than text.
const MARKUP: &str =
    "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>";

/// Returns the folder of the pictures.
fn pictures() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Starts a scheduler whose jobs are in every state that the page shows.
fn site(server: &Rehearsal) -> Site {
    let good = "description = \"Fetches the catalogue\"\ntags = [\"supplier\", \"night\"]";
    let bad = format!(
        "description = \"\"\"{MARKUP}\"\"\"\nretries = 1\nbackoff = {{ initial = \"1ms\" }}"
    );
    let hourly = "\n[[job]]\nname = \"hourly\"\nscript = \"good.rhai\"\ncron = \"7 * * * *\"\ntimezone = \"Asia/Tokyo\"\n";
    let late = "\n[[job]]\nname = \"orders\"\nscript = \"good.rhai\"\nwatch = { directory = \".\", match = \"*.csv\" }\n";
    let jobs = [
        &*on_request("good", good),
        &*on_request("bad", &bad),
        &*on_request("slow", "kill_grace = \"1s\""),
        &*on_request("resting", ""),
        &*on_request("off", "enabled = false"),
        hourly,
        late,
    ];
    let port = server.site.port;
    Site::start_with("", &jobs.concat(), |files| {
        let script = format!(
            "let s = ftp::connect(\"ftp://tester@127.0.0.1:{port}\", #{{ password: \"open+sesame-21\" }});
            s.get(\"prices.csv\", \"prices.csv\"); print(\"a good word\");"
        );
        files.file("good.rhai", &script);
        files.file("bad.rhai", &format!("print(`{MARKUP}`); throw `{MARKUP}`;"));
        files.file("slow.rhai", "for n in 0..6000 { print(`line ${n}`); sleep(0.1); }");
    })
}

/// Runs jobs until each outcome is in history, and leaves one run in progress.
fn live(site: &Site) {
    for job in ["good", "bad", "good", "bad", "good"] {
        drop(
            site.scheduler
                .command(&["trigger", job, "--wait"])
                .any_code()
                .any_stdout()
                .any_stderr(),
        );
    }
    let pause = ["pause", "resting", "--reason", "supplier moves house"];
    drop(site.scheduler.command(&pause).succeeds().any_stdout());
    drop(site.scheduler.command(&["trigger", "slow"]).succeeds().any_stdout());
    drop(site.scheduler.until_outcome("slow", "running"));
}

fn log_in(browser: &Browser, site: &Site, token: &str) {
    browser.open(&format!("http://{}/login", site.address));
    browser.write("#token", token);
    browser.press(ENTER);
    browser.until("return document.title == 'Jobs · portolan'");
}

#[test]
fn axe_finds_nothing_on_any_page_in_light_dark_and_on_a_phone() {
    let Some(browser) = Browser::start() else { return };
    let server = Rehearsal::start(&[], false);
    server.file("prices.csv", "x".repeat(70_000));
    let site = site(&server);
    live(&site);
    let login = [("login", "/login"), ("login-again", "/login?next=%2Fruns")];
    let pages = [
        ("jobs", "/"),
        ("jobs-none", "/?q=nothing"),
        ("job", "/jobs/good"),
        ("job-paused", "/jobs/resting"),
        ("run", "/runs/1"),
        ("run-failed", "/runs/2"),
        ("run-live", "/runs/6"),
        ("runs", "/runs"),
        ("calendar", "/calendar"),
        ("servers", "/servers"),
        ("missing", "/runs/77"),
    ];
    let mut found = Vec::new();
    let mut look = |all: &[(&str, &str)]| {
        for (view, (name, path)) in
            View::ALL.iter().flat_map(|view| all.iter().map(move |page| (view, page)))
        {
            browser.show_as(*view);
            browser.open(&format!("http://{}{path}", site.address));
            browser.picture(&pictures().join(format!("{name}-{}.png", view.name)));
            let of = |what: String| format!("{name} {}: {what}", view.name);
            found.extend(browser.violations().into_iter().map(of));
            // A page that must be scrolled sideways is none for a phone.
            let wide = browser.script("return document.documentElement.scrollWidth - innerWidth");
            found.extend(
                wide.as_i64()
                    .filter(|wide| *wide > 0)
                    .map(|wide| of(format!("{wide} pixels too wide"))),
            );
            let title = browser.script("return document.title");
            assert!(title.as_str().unwrap().ends_with(" · portolan"), "{name}: {title}");
            let is_missing = |said: &String| *name == "missing" && said.contains("404");
            found.extend(browser.complaints().into_iter().filter(|said| !is_missing(said)).map(of));
        }
    };
    look(&login);
    log_in(&browser, &site, &site.token("alice", "operate"));
    look(&pages);
    assert!(found.is_empty(), "{found:#?}");
    drop(site.stop());
}

#[test]
fn a_person_runs_pauses_resumes_and_stops_jobs_in_a_browser() {
    let Some(browser) = Browser::start() else { return };
    let server = Rehearsal::start(&[], false);
    server.file("prices.csv", "x");
    let site = site(&server);
    let page = |path: &str| browser.open(&format!("http://{}{path}", site.address));
    // Without a login every page is the one of the login, and what one wanted comes after it.
    page("/jobs/good");
    browser.write("#token", "portolan_wrong");
    browser.press(ENTER);
    browser.until("return document.querySelector('[role=alert]') != null");
    // That the response was 401.
    assert_eq!(browser.complaints().len(), 1);
    browser.write("#token", &site.token("alice", "operate"));
    browser.press(ENTER);
    browser.until("return location.pathname == '/jobs/good'");
    assert!(browser.text().contains("alice (operate)"), "{}", browser.text());

    // The list changes by itself when a run begins and ends elsewhere.
    page("/");
    drop(site.scheduler.command(&["trigger", "good", "--wait"]).any_code().any_stdout());
    browser.until("return document.querySelector('a.slot.done[href=\"/runs/1\"]') != null");
    browser.until(
        "return document.getElementById('announce').textContent.startsWith('Run 1 of good')",
    );

    page("/jobs/good");
    browser.write("input[name=reason]", "supplier <b>moves</b>");
    browser.press(ENTER);
    browser.until("return location.search == '?note=paused'");
    assert!(browser.text().contains("supplier <b>moves</b>"), "{}", browser.text());
    browser.click("form[action$='/resume'] button");
    browser.until("return location.search == '?note=resumed'");

    // Run now, and look at its log while it is written.
    page("/jobs/slow");
    browser.click("form[action$='/trigger'] button");
    browser.until("return location.search == '?note=triggered'");
    page("/runs/2");
    browser.until("return document.getElementById('log').textContent.includes('line 12\\n')");
    browser.click("button.danger");
    browser.accept();
    browser.until("return document.querySelector('#run .badge.interrupted') != null");
    assert!(browser.text().contains("stopped by `alice`"), "{}", browser.text());

    browser.click("form[action='/logout'] button");
    page("/");
    browser.until("return document.title == 'Log in · portolan'");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    drop(site.stop());
}

#[test]
fn a_keyboard_alone_reaches_everything_and_shows_where_it_is() {
    let Some(browser) = Browser::start() else { return };
    let server = Rehearsal::start(&[], false);
    server.file("prices.csv", "x");
    let site = site(&server);
    browser.show_as(View::ALL[0]);
    log_in(&browser, &site, &site.token("alice", "operate"));
    let focus = || {
        let place = "const it = document.activeElement; const seen = getComputedStyle(it);
            return it == document.body ? ['', false] : [it.getAttribute('aria-label') || it.getAttribute('name') || it.innerText || '',
                seen.outlineStyle != 'none' && parseFloat(seen.outlineWidth) >= 2]";
        let value = browser.script(place);
        (value[0].as_str().unwrap_or_default().trim().to_owned(), value[1] == true)
    };
    let mut reached = Vec::new();
    for _ in 0..60 {
        browser.press(TAB);
        let (name, is_seen) = focus();
        if name.is_empty() {
            continue;
        }
        assert!(is_seen, "`{name}` has the focus, and nobody sees it");
        reached.push(name);
    }
    assert_eq!(reached.first().map(String::as_str), Some("Skip to the content"), "{reached:?}");
    let wanted = [
        "Jobs",
        "Runs",
        "Calendar",
        "Servers",
        "Log out",
        "q",
        "state",
        "Filter",
        "good",
        "Run now: good",
    ];
    for wanted in wanted.into_iter().chain(["Pause: good", "Run now: orders"]) {
        assert!(reached.iter().any(|name| name == wanted), "{wanted} is not in {reached:?}");
    }
    // The first link leaves out the navigation.
    browser.open(&format!("http://{}/", site.address));
    browser.press(&format!("{TAB}{ENTER}"));
    browser.until("return document.activeElement.id == 'main'");
    browser.press(TAB);
    assert_eq!(focus().0, "q");
    drop(site.stop());
}
