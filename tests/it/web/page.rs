//! The pages as HTML: what they show, and that people with a keyboard or a screen reader find it.

use super::client::Site;
use crate::{
    serve::scheduler::{TIME_MAX, on_request},
    support::wait,
};

fn jobs() -> String {
    on_request("good", "description = \"Fetches the catalogue\"")
        + &*on_request("bad", "retries = 1\nbackoff = { initial = \"1ms\" }")
}

#[test]
fn the_list_of_jobs_shows_what_became_of_each_and_offers_the_actions() {
    let site = Site::start("", &jobs());
    site.scheduler.file("good.rhai", "print(\"a good word\");");
    site.scheduler.file("bad.rhai", "throw \"no good\";");
    let cookie = site.log_in(&site.token("alice", "operate"));
    for job in ["good", "bad"] {
        drop(
            site.scheduler
                .command(&["trigger", job, "--wait"])
                .any_code()
                .any_stdout()
                .any_stderr(),
        );
    }
    let page = |path: &str| site.get(path).header("Cookie", &cookie).send();
    let text = page("/").text;
    for part in [
        "<html lang=\"en\">",
        "href=\"#main\"",
        "aria-current=\"page\"",
        "Fetches the catalogue",
        "0 0 29 2 *",
        "no good",
        "class=\"slot done\" href=\"/runs/1\"",
        "<span class=\"hidden\">1 failed</span>",
        "aria-label=\"Run now: good\"",
        "100 %",
        "<th scope=\"col\">Last 30 slots</th>",
    ] {
        assert!(text.contains(part), "{part} not in {text}");
    }
    let text = page("/?q=cata").text;
    assert!(text.contains("href=\"/jobs/good\"") && !text.contains("href=\"/jobs/bad\""), "{text}");
    let text = page("/runs?failed=true").text;
    assert!(text.contains("href=\"/runs/2\"") && !text.contains("href=\"/runs/1\""), "{text}");
    let text = page("/runs/1").text;
    for part in ["Run 1 of good", "a good word", "data-log=\"/api/v1/runs/1/log\"", "role=\"log\""]
    {
        assert!(text.contains(part), "{part} not in {text}");
    }
    assert!(!text.contains("data-follow"), "its log does not grow any more");
    for (path, status) in
        [("/runs/77", 404), ("/jobs/nobody", 404), ("/nothing", 404), ("/runs?limit=x", 400)]
    {
        let answer = page(path);
        assert!(
            answer.status == status && answer.text.contains("role=\"alert\""),
            "{path}: {answer:?}"
        );
    }
    drop(site.stop());
}

#[test]
fn a_run_in_progress_has_a_button_to_stop_it_and_a_log_that_is_followed() {
    let site = Site::start("", &on_request("slow", "kill_grace = \"1s\""));
    site.scheduler.file("slow.rhai", "print(\"begun\"); sleep(\"10m\");");
    let cookie = site.log_in(&site.token("alice", "operate"));
    drop(site.scheduler.command(&["trigger", "slow"]).succeeds().any_stdout());
    let page = |path: &str| site.get(path).header("Cookie", &cookie).send().text;
    let text =
        wait::until(TIME_MAX, || Some(page("/runs/1")).filter(|text| text.contains("begun")));
    let text = text.expect("the page shows the log");
    assert!(text.contains("action=\"/runs/1/stop\"") && text.contains("data-follow"), "{text}");
    let csrf = text.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let stop = site.post("/runs/1/stop").header("Cookie", &cookie).form(&format!("csrf={csrf}"));
    assert_eq!(stop.send().header("location"), Some("/runs/1?note=stopping"));
    let text = wait::until(TIME_MAX, || {
        Some(page("/runs/1")).filter(|text| text.contains("badge interrupted"))
    });
    assert!(text.unwrap().contains("stopped by `alice`"));
    drop(site.stop());
}
