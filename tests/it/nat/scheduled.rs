//! A job that asks for active mode behind NAT: its first run falls back, and the later ones begin with the mode that
//! worked.

use super::{Case, HOME, world::OUTSIDE};
use crate::serve::scheduler::{Scheduler, on_request};

#[test]
fn a_job_in_active_mode_falls_back_once_and_starts_in_passive_from_then_on() {
    let Some(case) = Case::lay("a_job_in_active_mode_behind_nat", HOME, &[], false) else { return };
    let jobs = on_request("a", "retries = 2\n[job.connect]\nmode = \"active\"");
    let mut scheduler = Scheduler::new(&jobs).env("SITE", &format!("ftp://tester@{OUTSIDE}"));
    let script = r#"
        let site = ftp::connect(env("SITE"), #{ password: "open+sesame-21" });
        site.get("/a", `got${job::SCHEDULED_FOR.len()}`);
        print(`by ${site.route}, asked for ${site.mode}`);
    "#;
    scheduler.file("a.rhai", script);
    case.world.client.within(|| scheduler.start());
    for fallbacks in [1, 0] {
        drop(scheduler.command(&["trigger", "a", "--wait"]).succeeds().any_stdout());
        let run = scheduler.runs().pop().unwrap();
        let run = scheduler.show(&run["id"]);
        // It is no retry: one attempt, with another mode.
        assert_eq!((run["outcome"].as_str(), run["attempts"].as_i64()), (Some("done"), Some(1)));
        assert_eq!(
            (run["fallbacks"].as_i64(), run["route"].as_str()),
            (Some(fallbacks), Some("epsv"))
        );
        assert_eq!(run["files"], 1);
        let log = scheduler.command(&["show", &run["id"].to_string(), "--log"]).succeeds();
        let words = if fallbacks == 1 {
            assert_eq!(run["each_fallback"][0]["from"], "active");
            assert!(run["each_fallback"][0]["reason"].as_str().unwrap().contains("is private"));
            "fell back from active to passive on 203.0.113.10: "
        } else {
            "passive mode at once, since active mode failed in an earlier run"
        };
        drop(log.stdout_has(words));
    }
    scheduler.stop();
}
