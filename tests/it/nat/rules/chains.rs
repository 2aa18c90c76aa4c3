//! The same rulesets by iptables, without nft: both kinds of it.

use std::{
    fs,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, fs::symlink, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{Gate, OFFICE, echo, reach::connects};
use crate::support::{
    program::{Portolan, Ran},
    rehearsal::Rehearsal,
    server::{Kind, Options, RealServer, Tls, say_skipped, skip},
    wait,
};

/// The kind of iptables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// The one on nftables (`iptables-nft`).
    New,
    /// The legacy one.
    Old,
}

/// A gate on which nft does not work, and only iptables of one kind is available.
struct Old {
    gate: Gate,
    sort: Sort,
    /// A directory of programs that precede those of the system.
    path: TempDir,
}

impl Old {
    /// Sets it up. `None` if that is impossible here, which has then been reported.
    fn lay(sort: Sort) -> Option<Self> {
        let program = match sort {
            Sort::New => "/usr/sbin/xtables-nft-multi",
            Sort::Old => "/usr/sbin/xtables-legacy-multi",
        };
        if !Path::new(program).exists() {
            skip("no iptables here: run tests/servers/install");
            return None;
        }
        let path = TempDir::new().unwrap();
        for name in ["iptables", "iptables-save", "iptables-restore"] {
            let six = name.replacen("ip", "ip6", 1);
            symlink(program, path.path().join(name)).unwrap();
            symlink(program, path.path().join(six)).unwrap();
        }
        let nft = path.path().join("nft");
        fs::write(&nft, "#!/bin/sh\necho no such thing >&2\nexit 1\n").unwrap();
        fs::set_permissions(&nft, fs::Permissions::from_mode(0o755)).unwrap();
        let gate = Gate::lay()?;
        let old = Self { gate, sort, path };
        if let Err(said) =
            old.try_sh("iptables -t nat -A POSTROUTING -s 198.51.100.0/24 -j MASQUERADE")
        {
            say_skipped(
                "rulesets by iptables",
                &format!("the kernel has no {sort:?} iptables: {said}"),
            );
            return None;
        }
        // Foreign rules, which must stay unchanged.
        old.sh("iptables -A FORWARD -s 192.0.2.1 -j DROP
            iptables -N MINE; iptables -A MINE -d 192.0.2.9 -j REJECT; iptables -A FORWARD -j MINE
            ip6tables -A INPUT -s 2001:db8::1 -j DROP");
        Some(old)
    }

    /// Calls `test` with both kinds, if they are installed.
    fn each(test: impl Fn(Self)) {
        [Sort::New, Sort::Old].into_iter().filter_map(Self::lay).for_each(test);
    }

    fn words(&self) -> String {
        format!("PATH={}:/usr/sbin:/usr/bin:/sbin:/bin", self.path.path().display())
    }

    fn try_sh(&self, script: &str) -> Result<(), String> {
        self.gate.router.try_sh(&format!("{}\n{script}", self.words()))
    }

    #[track_caller]
    fn sh(&self, script: &str) {
        self.try_sh(script).unwrap_or_else(|said| panic!("{:?}: {script}\n{said}", self.sort));
    }

    /// Returns portolan on the router.
    fn portolan(&self, script: &str) -> Portolan {
        self.gate.portolan(script).env("PATH", self.words().trim_start_matches("PATH="))
    }

    fn nat(&self, script: &str, verb: &[&str]) -> Ran {
        let program = self.portolan(script).args(["nat"]).args(verb.to_vec()).args(["gate.rhai"]);
        self.gate.router.within(|| program.run())
    }

    fn run(&self, script: &str) -> Ran {
        let program = self.portolan(script).args(["run", "--allow-nat", "gate.rhai"]);
        self.gate.router.within(|| program.run())
    }

    #[track_caller]
    fn done(&self, script: &str, verb: &[&str]) -> String {
        let ran = self.nat(script, verb).succeeds().any_stderr();
        let text = ran.stdout_text().to_owned();
        drop(ran.any_stdout());
        text
    }

    /// Returns every rule, without the kernel's counters and the time of day.
    fn rules(&self) -> String {
        let script = format!("{}\niptables-save; echo '# six'; ip6tables-save", self.words());
        let all = self.gate.router.read(&script);
        let lines = all
            .lines()
            .filter(|line| !line.starts_with("# Generated") && !line.starts_with("# Completed"));
        lines.map(|line| line.split(" [").next().unwrap().to_owned() + "\n").collect()
    }

    /// Returns the rules that are not ours. An empty table counts as none.
    fn others(&self) -> Vec<String> {
        let rules = self.rules();
        let lines = rules.lines().filter(|line| line.starts_with("-A ") || line.ends_with(" -"));
        lines.filter(|line| !line.contains("PORTOLAN_")).map(str::to_owned).collect()
    }

    fn ours(&self) -> Vec<String> {
        self.rules().lines().filter(|line| line.contains("PORTOLAN_")).map(str::to_owned).collect()
    }
}

#[test]
fn by_iptables_a_plan_after_apply_is_empty_and_a_revert_leaves_nothing() {
    Old::each(|old| {
        echo(&old.gate.server, 7000);
        let before = old.others();
        old.nat(OFFICE, &["plan"])
            .fails_with(2)
            .stdout_has("ruleset office (iptables PORTOLAN_office_*), backend iptables ")
            .stdout_has("  + masquerade 192.168.50.0/24 -> wan\n")
            .stdout_has("  + active range 40000-40009 -> 192.168.50.10 from wan\n")
            .stdout_has("Plan: 4 to add, 0 to change, 0 to remove, 1 warning.\n")
            .stdout_has("+-A PORTOLAN_office_POST -s 192.168.50.0/24 -o wan ");
        assert_eq!((old.others(), old.ours()), (before.clone(), vec![]), "a plan changes nothing");
        assert_eq!(old.done(OFFICE, &["status"]), "office: missing\n");
        assert!(!old.gate.reaches(7000));

        assert_eq!(old.done(OFFICE, &["apply"]), "office: applied\n");
        assert!(old.gate.reaches(7000));
        assert_eq!(old.gate.forwards(), ["1", "1"]);
        let plan = old.done(OFFICE, &["plan"]);
        assert!(plan.ends_with("\nNo changes. The live ruleset matches the plan.\n"), "{plan}");
        assert_eq!(old.done(OFFICE, &["apply"]), "office: unchanged\n");
        assert!(old.done(OFFICE, &["status"]).starts_with("office: applied since 20"));

        let wider = OFFICE.replace("40009", "40019");
        let change =
            "  ~ active range 40000-40009 -> 192.168.50.10 from wan => active range 40000-40019";
        old.nat(&wider, &["plan"]).fails_with(2).stdout_has(change).any_stdout();
        let jumps =
            |old: &Old| old.ours().iter().filter(|line| line.contains("-j PORTOLAN_")).count();
        for script in [&wider, OFFICE, &wider] {
            assert_eq!(old.done(script, &["apply"]), "office: applied\n");
            assert_eq!(jumps(&old), 2, "{:?}", old.ours());
        }
        assert_eq!(old.done(&wider, &["rollback"]), "office: rolled back\n");
        old.done(OFFICE, &["plan"]);
        old.nat(OFFICE, &["rollback"]).fails_with(5).stderr_has("(nat.no_undo)").any_stderr();
        assert_eq!(old.others(), before);

        let reverted = old.nat(OFFICE, &["revert"]).succeeds().stdout("office: reverted\n");
        drop(reverted.stderr_has("no longer translated").any_stderr());
        assert_eq!((old.others(), old.ours()), (before, vec![]));
        assert_eq!(old.gate.forwards(), ["0", "0"]);
    });
}

#[test]
fn by_iptables_a_revert_by_name_finds_rules_that_nothing_is_remembered_of() {
    Old::each(|old| {
        let before = old.others();
        old.done(OFFICE, &["apply"]);
        let lost = TempDir::new().unwrap();
        let revert = || {
            let program = old.portolan(OFFICE).env("PORTOLAN_STATE", lost.path());
            let program = program.args(["nat", "revert", "--ruleset", "office"]);
            old.gate.router.within(|| program.run()).succeeds()
        };
        let reverted = revert().stdout("office: reverted\n");
        drop(reverted.stderr_has("nothing was remembered of it").any_stderr());
        assert_eq!((old.others(), old.ours()), (before.clone(), vec![]));
        drop(revert().stdout("office: nothing to revert\n"));
        assert_eq!(old.others(), before);
    });
}

#[test]
fn by_iptables_a_foreign_change_is_drift_and_applying_corrects_it() {
    Old::each(|old| {
        old.done(OFFICE, &["apply"]);
        let applied = old.ours();
        for change in [
            "iptables -t nat -A PORTOLAN_office_POST -j ACCEPT",
            "iptables -t nat -F PORTOLAN_office_PRE",
            "iptables -t nat -D PREROUTING 1",
            "iptables -t nat -F",
            "iptables -t nat -I PREROUTING -m comment --comment 'portolan:ruleset office' -j PORTOLAN_office_PRE",
            "iptables -N PORTOLAN_office_FWD",
        ] {
            old.sh(change);
            let status = old.done(OFFICE, &["status"]);
            assert!(status.starts_with("office: drifted since "), "{change}: {status}");
            drop(old.nat(OFFICE, &["plan"]).fails_with(2).any_stdout());
            old.done(OFFICE, &["apply"]);
            assert_eq!(old.ours(), applied, "{change}");
        }
        // A foreign rule that jumps to our chain is not ours: it stays, and so does the chain.
        old.sh("iptables -t nat -N THEIRS; iptables -t nat -A THEIRS -j PORTOLAN_office_POST");
        old.done(OFFICE, &["plan"]);
        old.nat(OFFICE, &["revert"]).fails_with(5).stderr_has("(nat.iptables_failed)").any_stderr();
        old.sh("iptables -t nat -F THEIRS");
        old.done(OFFICE, &["revert"]);
        assert_eq!(old.ours(), Vec::<String>::new());
    });
}

#[test]
fn by_iptables_chains_of_our_name_that_are_not_ours_are_left_alone() {
    Old::each(|old| {
        old.sh("iptables -t nat -N PORTOLAN_office_PRE
            iptables -t nat -A PORTOLAN_office_PRE -p tcp --dport 80 -j DNAT --to-destination 192.168.50.9");
        let before = old.rules();
        assert!(old.done(OFFICE, &["status"]).starts_with("office: foreign;"));
        for verb in ["apply", "revert"] {
            old.nat(OFFICE, &[verb]).fails_with(7).stderr_has("(nat.conflict)").any_stderr();
            assert_eq!(old.rules(), before, "{verb}");
        }
        old.done(OFFICE, &["apply", "--force"]);
        old.done(OFFICE, &["plan"]);
    });
}

#[test]
fn by_iptables_what_is_not_confirmed_goes_back_by_itself() {
    Old::each(|old| {
        echo(&old.gate.server, 7000);
        old.done(OFFICE, &["apply"]);
        assert!(old.gate.reaches(7000));
        let applied = old.ours();
        let closed = r#"
            let rules = nat::ruleset("office");
            rules.allow(#{ in: "wan", out: "lan" });
            rules.isolate(true);
            rules.apply(#{ confirm_within: "3s" });
        "#;
        let others = old.others();
        let said = old.done(closed, &["apply"]);
        assert!(said.starts_with("office: on trial until 20"), "{said}");
        assert!(!old.gate.reaches(7000), "the new rules are on trial");
        old.nat(OFFICE, &["apply"]).fails_with(7).stderr_has("(nat.trial_pending)").any_stderr();
        // No process of portolan's is left: the kernel alone ends the trial.
        let is_back = wait::until(Duration::from_secs(20), || old.gate.reaches(7000).then_some(()));
        assert!(is_back.is_some(), "the old rules are not back\n{}", old.rules());
        assert_eq!(old.others(), others);
        let status = old.done(OFFICE, &["status"]);
        assert!(status.contains("its trial is over and the old rules are back"), "{status}");
        old.nat(closed, &["confirm"]).fails_with(5).stderr_has("(nat.no_trial)").any_stderr();
        assert_eq!(old.done(closed, &["rollback"]), "office: rolled back\n");
        assert_eq!(old.ours(), applied);
        old.done(OFFICE, &["plan"]);
        assert!(old.gate.reaches(7000));
    });
}

#[test]
fn by_iptables_a_first_trial_is_ended_by_the_kernel_or_kept_by_its_user() {
    Old::each(|old| {
        echo(&old.gate.server, 7000);
        // Forwarding alone would let it through, and that is still on when the trial is over.
        old.gate.server.sh("ip route add 192.168.50.0/24 via 203.0.113.1");
        old.done(OFFICE, &["apply", "--confirm-within", "2s"]);
        assert!(old.gate.reaches(7000));
        let missing =
            || old.done(OFFICE, &["status"]).starts_with("office: missing;").then_some(());
        assert!(wait::until(Duration::from_secs(20), missing).is_some());
        assert!(!old.gate.reaches(7000), "{}", old.rules());
        old.done(OFFICE, &["rollback"]);
        assert_eq!(old.ours(), Vec::<String>::new());
        assert_eq!(old.gate.forwards(), ["0", "0"]);

        old.done(OFFICE, &["apply", "--confirm-within", "60s"]);
        assert!(old.done(OFFICE, &["status"]).starts_with("office: trial until 20"));
        assert_eq!(old.done(OFFICE, &["confirm"]), "office: confirmed\n");
        assert!(old.gate.reaches(7000));
        old.done(OFFICE, &["plan"]);
        assert!(!old.rules().contains("--datestop"), "nothing of the trial is left");
    });
}

#[test]
fn by_iptables_a_trial_that_nothing_would_end_is_refused() {
    let Some(old) = Old::lay(Sort::New) else { return };
    let before = old.rules();
    // A kernel without that match refuses it in the same way.
    let real = "/usr/sbin/xtables-nft-multi iptables-restore";
    let restore = old.path.path().join("iptables-restore");
    let refusing = "#!/bin/sh\ntext=$(cat)\ncase $text in *' time '*) echo \"Couldn't load match \\`time'\" >&2; exit 2;; esac\n";
    fs::remove_file(&restore).unwrap();
    fs::write(&restore, format!("{refusing}printf '%s\\n' \"$text\" | {real} \"$@\"\n")).unwrap();
    fs::set_permissions(&restore, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = old.nat(OFFICE, &["apply", "--confirm-within", "60s"]).fails_with(5);
    ran.stderr_has("(nat.no_timer)")
        .stderr_has("apply without `confirm_within`, or install nftables")
        .any_stderr();
    assert_eq!(old.rules(), before);
    assert_eq!(old.done(OFFICE, &["apply"]), "office: applied\n");
}

#[test]
fn by_iptables_a_text_that_is_more_than_a_word_changes_nothing() {
    Old::each(|old| {
        let before = old.rules();
        let ran = old.run(super::hostile::SCRIPT).succeeds().any_stderr();
        let said = ran.stdout_text().to_owned();
        assert!(said.ends_with(" tried, 0 taken\n"), "{said}");
        drop(ran.any_stdout());
        assert_eq!(old.rules(), before);
        for name in ["x -j ACCEPT", "x\nCOMMIT", "-F", "x;y", "../x", ""] {
            let option = format!("--ruleset={name}");
            let program = old.portolan("").args(["nat", "revert", &option]);
            let ran = old.gate.router.within(|| program.run());
            ran.fails_with(3).stderr_has("(nat.bad_name)").any_stderr();
        }
        assert_eq!(old.rules(), before);
    });
}

#[test]
fn by_iptables_killed_at_any_moment_it_leaves_others_alone_and_its_own_whole_or_gone() {
    Old::each(|old| {
        let others = old.others();
        let wider = OFFICE.replace("40009", "40019");
        let wanted = [OFFICE, &wider].map(|script| {
            old.done(script, &["apply"]);
            old.ours()
        });
        old.done(OFFICE, &["revert"]);
        let started = std::time::Instant::now();
        old.done(OFFICE, &["apply"]);
        let usual = u64::try_from(started.elapsed().as_millis()).unwrap().max(20);
        let rounds = 12;
        for number in 0..rounds {
            let script = if number % 2 == 0 { &wider } else { OFFICE };
            let verb = if number % 3 == 2 { "revert" } else { "apply" };
            let running = old.portolan(script).args(["nat", verb, "gate.rhai"]);
            let running = old.gate.router.within(|| running.spawn());
            let time = Duration::from_millis(usual * number / rounds);
            assert!(wait::until(time, || None::<()>).is_none());
            running.signal(Signal::KILL);
            drop(running.wait().any_stdout().any_stderr().any_end());
            // A command that had begun is done by then: it takes less time than the whole run.
            let is_whole = || {
                let ours = old.ours();
                (ours.is_empty() || wanted.contains(&ours)).then_some(())
            };
            assert!(
                wait::until(Duration::from_secs(10), is_whole).is_some(),
                "round {number}\n{}",
                old.rules()
            );
            assert_eq!(old.others(), others, "round {number}");
        }
        old.done(OFFICE, &["apply"]);
        assert_eq!(old.ours(), wanted[0]);
        old.done(OFFICE, &["revert"]);
        assert_eq!((old.ours(), old.others()), (vec![], others.clone()));
        assert_eq!(old.gate.forwards(), ["0", "0"]);
    });
}

#[test]
fn by_iptables_what_is_to_last_is_a_script_that_may_run_twice() {
    Old::each(|old| {
        let root = old.gate.state.path().join("root");
        let lasting =
            OFFICE.replace("rules.apply()", &format!("rules.apply(#{{ persist: {root:?} }})"));
        old.done(&lasting, &["apply"]);
        let file = root.join("etc/portolan/nat/office.sh");
        let unit = root.join("etc/systemd/system/portolan-nat-office.service");
        let unit_text = fs::read_to_string(&unit).unwrap();
        assert!(
            unit_text.contains("ExecStart=/bin/sh /etc/portolan/nat/office.sh\n"),
            "{unit_text}"
        );
        assert!(
            unit_text.contains("ExecStop=/bin/sh /etc/portolan/nat/office.sh stop\n"),
            "{unit_text}"
        );
        let (ours, others) = (old.ours(), old.others());
        // It looks for programs in the system's directories, which do not include that of this test.
        let text = fs::read_to_string(&file)
            .unwrap()
            .replace("PATH=", &format!("PATH={}:", old.path.path().display()));
        let here = old.gate.state.path().join("office.sh");
        fs::write(&here, text).unwrap();
        let script = |word: &str| old.sh(&format!("sh {} {word}", here.display()));
        script("stop");
        assert_eq!(old.ours(), Vec::<String>::new());
        script("stop");
        for _ in 0..2 {
            script("");
            assert_eq!(old.ours(), ours);
        }
        assert_eq!(old.others(), others);
        assert_eq!(old.done(&lasting, &["apply"]), "office: unchanged\n");
        old.done(&lasting, &["revert"]);
        assert!(!file.exists() && !unit.exists());
    });
}

#[test]
fn by_iptables_who_has_no_right_may_plan_and_is_told_what_is_wanting() {
    Old::each(|old| {
        let folder = tempfile::Builder::new().prefix("portolan-nobody-").tempdir().unwrap();
        let (script, program) = (folder.path().join("gate.rhai"), folder.path().join("portolan"));
        fs::write(&script, OFFICE).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_portolan"), &program).unwrap();
        let (home, path) = (folder.path().display(), old.path.path().display());
        old.sh(&format!("chmod 755 {home} {path}; chown -R 65534 {home}"));
        let before = old.rules();
        let nobody = |arguments: &[&str]| {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
            command.arg(&program).args(arguments).arg(&script);
            command.env("HOME", folder.path()).env_remove("PORTOLAN_STATE");
            command.env("PATH", old.words().trim_start_matches("PATH="));
            let ran = old.gate.router.within(|| command.output().unwrap());
            (ran.status.code(), String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap())
        };
        let (code, said) = nobody(&["nat", "plan"]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("live state unreadable without CAP_NET_ADMIN"), "{said}");
        assert!(said.contains("+-A PORTOLAN_office_POST -s 192.168.50.0/24 -o wan "), "{said}");
        for arguments in [&["nat", "apply"][..], &["run", "--allow-nat"]] {
            let (code, said) = nobody(arguments);
            assert_eq!(code, Some(5), "{said}");
            assert!(said.contains("(nat.not_permitted)"), "{said}");
        }
        assert_eq!(old.rules(), before);
    });
}

#[test]
fn a_ruleset_stays_in_the_filter_that_has_it() {
    let Some(old) = Old::lay(Sort::New) else { return };
    // Elsewhere on this host nft works.
    let gate = &old.gate;
    gate.done(OFFICE, &["apply", "--backend", "iptables"]);
    assert!(!old.ours().is_empty());
    assert!(gate.done(OFFICE, &["plan"]).contains("backend iptables "), "it is where it was");
    assert!(gate.done(OFFICE, &["status"]).starts_with("office: applied since 20"));
    let elsewhere = OFFICE.replace("\"office\"", "\"office\", #{ backend: \"nft\" }");
    let ran = gate.nat(&elsewhere, &["apply"]).fails_with(7);
    ran.stderr_has("the rules of `office` are in iptables, not in nft")
        .stderr_has("(nat.conflict)")
        .any_stderr();
    gate.done(&elsewhere, &["revert"]);
    assert_eq!(old.ours(), Vec::<String>::new());
    gate.done(&elsewhere, &["apply"]);
    assert!(gate.rules().contains("table inet portolan_office"));
    gate.nat(OFFICE, &["plan", "--backend", "ipfw"])
        .fails_with(2)
        .stderr_has("auto, nft and iptables")
        .any_stderr();
    let wrong = OFFICE.replace("\"office\"", "\"office\", #{ backend: \"ipfw\" }");
    gate.nat(&wrong, &["plan"]).fails_with(1).stderr_has("`backend` wants one of").any_stderr();
}

#[test]
fn by_iptables_a_drop_of_others_is_named_and_a_long_name_is_cut() {
    Old::each(|old| {
        old.sh("iptables -P FORWARD DROP");
        let long = OFFICE.replace("\"office\"", "\"a-name-that-has-thirty-two-bytes\"");
        let mut plan = old.nat(&long, &["plan", "--json"]).fails_with(2);
        let found = plan.json();
        let warning = found["warnings"][0].as_str().unwrap();
        assert!(
            warning.starts_with(
                "ip filter FORWARD (iptables or another script) drops forwarded traffic by default"
            ),
            "{warning}"
        );
        assert!(
            warning.contains(
                "run: iptables -I FORWARD -i lan -o wan -s 192.168.50.0/24 -j ACCEPT && "
            ),
            "{warning}"
        );
        let commands = found["commands"][0].as_str().unwrap();
        assert!(
            commands.starts_with("iptables-restore -w 5 --noflush <<'END'\n*nat\n"),
            "{commands}"
        );
        old.sh(commands);
        // The commands of a plan are the same as those of apply, except for the kernel's settings.
        let plan = old.nat(&long, &["plan"]).fails_with(2);
        drop(
            plan.stdout_has("Plan: 2 to add, 0 to change, 0 to remove, 2 warnings.\n").any_stdout(),
        );
        old.done(&long, &["apply"]);
        old.done(&long, &["plan"]);
        let (gate, inside) = (&old.gate, "192.168.50.10:445");
        gate.route_back();
        echo(&gate.client, 445);
        echo(&gate.server, 7000);
        assert!(!gate.reaches(7000));
        old.sh(warning.split_once("; run: ").unwrap().1);
        assert!(gate.reaches(7000), "{warning}");
        assert!(!connects(&gate.server, inside), "{warning}");
        old.sh("iptables -P FORWARD ACCEPT");
        assert!(connects(&gate.server, inside), "a closed port would be no proof");
        assert!(old.ours().iter().all(|line| line.contains("PORTOLAN_a-name")), "{:?}", old.ours());
        old.done(&long, &["revert"]);
        assert_eq!(old.ours(), Vec::<String>::new());
    });
}

#[test]
fn by_iptables_a_rule_of_others_for_the_same_ports_is_named() {
    Old::each(|old| {
        old.sh("iptables -t nat -N DOCKER; iptables -t nat -A PREROUTING -j DOCKER
            iptables -t nat -A DOCKER -p tcp -m multiport --dports 80,40008 -j DNAT --to-destination 192.168.50.9");
        let words = "ip nat DOCKER leads port 40008 elsewhere as well (-p tcp -m multiport --dports 80,40008 ";
        drop(old.nat(OFFICE, &["plan"]).fails_with(2).stdout_has(words).any_stdout());
        let before = old.rules();
        old.nat(OFFICE, &["apply"]).fails_with(7).stderr_has("(nat.conflict)").any_stderr();
        assert_eq!(old.rules(), before);
        old.done(OFFICE, &["apply", "--force"]);
        let plan = old.done(OFFICE, &["plan"]);
        assert!(plan.contains(words), "{plan}");
        assert!(!plan.contains("PORTOLAN_office_PRE leads"), "its own rule is no rival: {plan}");
        let other = OFFICE.replace("\"office\"", "\"other\"");
        let words = "ip nat PORTOLAN_office_PRE leads port 40000 elsewhere as well";
        drop(old.nat(&other, &["plan"]).fails_with(2).stdout_has(words).any_stdout());
    });
}

#[test]
fn by_iptables_a_revert_tells_of_tables_that_cannot_be_removed() {
    Old::each(|old| {
        let helper = OFFICE
            .replace("rules.forwarding(true);", "rules.ftp_helper(#{}); rules.forwarding(true);");
        let applied = old.nat(&helper, &["apply"]);
        if applied.stderr_text().contains("nat.helper_missing") {
            drop(applied.fails_with(5).any_stderr());
            say_skipped("tables that stay", "the kernel has no FTP connection tracking");
            return;
        }
        drop(applied.succeeds().any_stdout().any_stderr());
        let reverted = old.nat(&helper, &["revert"]).succeeds().stdout("office: reverted\n");
        let is_told = reverted.stderr_text().contains("the empty tables ip raw, ip6 raw stay");
        assert_eq!(is_told, old.sort == Sort::Old, "{:?}", old.sort);
        drop(reverted.any_stderr());
    });
}

/// Checks the classic recipe with the helper: files by both modes, from a real server, through real rules.
#[test]
fn by_iptables_the_classic_recipe_lets_ftp_through_in_both_modes() {
    Old::each(|old| {
        let helper = OFFICE
            .replace("rules.forwarding(true);", "rules.ftp_helper(#{}); rules.forwarding(true);");
        let ran = old.nat(&helper, &["apply"]);
        if ran.stderr_text().contains("nat.helper_missing") {
            drop(ran.fails_with(5).any_stderr());
            say_skipped(
                "the classic recipe by iptables",
                "the kernel has no FTP connection tracking",
            );
            return;
        }
        drop(ran.succeeds().any_stdout().any_stderr());
        let plan = old.done(&helper, &["plan"]);
        assert!(plan.ends_with("\nNo changes. The live ruleset matches the plan.\n"), "{plan}");
        let address = SocketAddr::from(([203, 0, 113, 10], 21));
        let options = Options { listen: Some(address), tls: Tls::Off, ..Options::default() };
        let Some(server) = old.gate.server.within(|| RealServer::start(Kind::Vsftpd, &options))
        else {
            return;
        };
        server.file("a", vec![7; 300_000]);
        let transfer = r#"
            let site = ftp::connect(env("SITE"), #{ password: secret("SITE_PASSWORD"), mode: args[0], fallback: false });
            site.get("/a", "a");
            site.put("a", `/${args[0]}`);
            print(site.mode);
        "#;
        for mode in ["active", "passive"] {
            let program = Portolan::new().server(&server).script(transfer).args([mode]);
            let ran = old.gate.client.within(|| program.run());
            drop(ran.succeeds().stdout(&format!("{mode}\n")).any_stderr().any_files());
            assert_eq!(server.bytes(mode).len(), 300_000);
        }
        // A foreign client: the helper rewrites its announcement.
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--ftp-port", "-", "--disable-eprt", "-m", "20", "-o", "-", "-u"]);
        curl.arg(format!("{}:{}", RealServer::USER, RealServer::PASSWORD))
            .arg("ftp://203.0.113.10/a");
        curl.stdin(Stdio::null()).process_group(0);
        let ran = old.gate.client.within(|| curl.output().unwrap());
        assert_eq!(ran.stdout.len(), 300_000, "{}", String::from_utf8_lossy(&ran.stderr));
        old.done(&helper, &["revert"]);
        assert_eq!(old.ours(), Vec::<String>::new());
    });
}

#[test]
fn by_iptables_rules_are_replaced_under_running_transfers_and_none_breaks() {
    Old::each(|old| {
        let address = SocketAddr::from(([203, 0, 113, 10], 21));
        let server =
            old.gate.server.within(|| Rehearsal::start_at(address, "203.0.113.10", &[], false));
        server.file("a", vec![7; 300_000]);
        old.done(OFFICE, &["apply"]);
        // In active mode only, to an address that only the rules forward: each file needs a new connection through the
        // router.
        let transfers = r#"
            let site = ftp::connect("ftp://tester@203.0.113.10", #{ password: "open+sesame-21", mode: "active", fallback: false,
                port_range: "40000-40009", external_address: "203.0.113.1" });
            let count = 0;
            while !local::exists("stop") {
                site.get("/a", "b");
                count += 1;
            }
            print(count);
        "#;
        let running = old.gate.client.within(|| Portolan::new().script(transfers).spawn());
        let wider = OFFICE.replace("40009", "40019");
        for script in [&wider, OFFICE].repeat(4) {
            old.done(script, &["apply"]);
        }
        old.done(&wider, &["apply", "--confirm-within", "60s"]);
        old.done(&wider, &["confirm"]);
        fs::write(running.folder().join("stop"), "").unwrap();
        let ran = running.wait().succeeds().any_stderr().any_files();
        let count: u32 = ran.stdout_text().trim().parse().unwrap();
        assert!(count > 5, "{count} transfers");
        drop(ran.any_stdout());
    });
}

/// Checks an initramfs or a small container: programs have no `/dev/stdin`.
#[test]
fn by_iptables_rules_are_loaded_where_there_is_no_dev_stdin() {
    Old::each(|old| {
        let program = Portolan::played_by("/usr/bin/unshare").file("gate.rhai", OFFICE);
        let program = program.env("PORTOLAN_STATE", old.gate.state.path());
        let program = program.env("PATH", old.words().trim_start_matches("PATH="));
        let script =
            "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && exec \"$0\" \"$@\"";
        let program = program.args(["--mount", "sh", "-c", script]);
        let program = program.args([env!("CARGO_BIN_EXE_portolan"), "nat", "apply", "gate.rhai"]);
        let ran = old.gate.router.within(|| program.run());
        ran.succeeds().stdout("office: applied\n").any_stderr().forget();
        assert!(!old.ours().is_empty(), "{}", old.rules());
        old.done(OFFICE, &["plan"]);
    });
}

#[test]
fn by_iptables_what_was_not_loaded_is_an_error_and_taken_back() {
    Old::each(|old| {
        let before = (old.rules(), old.gate.forwards());
        // It loads nothing where the router's interfaces are, and says nothing.
        let restore = old.path.path().join("iptables-restore");
        let real = fs::read_link(&restore).unwrap();
        fs::remove_file(&restore).unwrap();
        let text = format!(
            "#!/bin/bash\nif ip link show lan >/dev/null 2>&1; then cat >/dev/null; exit 0; fi\n\
             exec -a iptables-restore {} \"$@\"\n",
            real.display()
        );
        fs::write(&restore, text).unwrap();
        fs::set_permissions(&restore, fs::Permissions::from_mode(0o755)).unwrap();
        let ran = old.nat(OFFICE, &["apply"]).fails_with(5).stderr_has("(nat.iptables_failed)");
        drop(ran.stdout("").any_stderr());
        let rules: String = old
            .rules()
            .lines()
            .filter(|line| !line.starts_with(['*', ':']) && *line != "COMMIT")
            .collect();
        let others: String = before
            .0
            .lines()
            .filter(|line| !line.starts_with(['*', ':']) && *line != "COMMIT")
            .collect();
        assert_eq!((rules, old.gate.forwards()), (others, before.1));
    });
}

#[test]
fn by_iptables_what_is_loaded_at_boot_is_compared_with_what_rules() {
    Old::each(|old| {
        // The script for boot runs the system's iptables, which is the other one.
        if old.sort == Sort::Old {
            return;
        }
        let root = old.gate.state.path().join("root");
        let lasting =
            OFFICE.replace("rules.apply()", &format!("rules.apply(#{{ persist: {root:?} }})"));
        old.done(&lasting, &["apply"]);
        let same = "office: the next boot loads what is in force\n";
        assert_eq!(old.done(&lasting, &["verify", "--boot"]), same);
        let file = root.join("etc/portolan/nat/office.sh");
        let written = fs::read_to_string(&file).unwrap();
        fs::write(&file, written.replace("40009", "40019")).unwrap();
        old.nat(&lasting, &["verify", "--boot"])
            .fails_with(2)
            .stdout_has("40000:40019")
            .any_stderr()
            .forget();
        let drop_in = "etc/systemd/system/netfilter-persistent.service.d/portolan-nat-office.conf";
        let drop_in = fs::read_to_string(root.join(drop_in)).unwrap();
        assert!(drop_in.contains("\nExecStartPost=-"), "{drop_in}");
    });
}
