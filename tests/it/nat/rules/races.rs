//! Several commands at once: only one at a time changes rules, and the final rules are those of one of them.

use super::{Gate, OFFICE};

#[test]
fn of_several_that_apply_at_once_one_wins_and_can_be_undone() {
    for is_shared in [true, false] {
        let Some(gate) = Gate::lay() else { return };
        let others = gate.others();
        let scripts: Vec<_> =
            (1..=6).map(|number| OFFICE.replace("40009", &format!("4000{number}"))).collect();
        let running: Vec<_> = scripts
            .iter()
            .enumerate()
            .map(|(number, script)| {
                let program = gate.portolan(script).args(["nat", "apply", "gate.rhai"]);
                // Each with a state of its own, as root and a service have.
                let own = gate.state.path().join(number.to_string());
                let program = if is_shared { program } else { program.env("PORTOLAN_STATE", own) };
                gate.router.within(|| program.spawn())
            })
            .collect();
        let mut winners = 0;
        for running in running {
            let ran = running.wait().any_end().any_stdout().any_stderr();
            let said = [ran.stdout_text(), ran.stderr_text()].concat();
            let is_won = said.contains("office: applied");
            winners += u32::from(is_won);
            let is_told =
                ["(nat.busy)", "(nat.changed_since_plan)"].map(|name| said.contains(name));
            assert!(is_won || is_told.contains(&true), "{said}");
        }
        assert!(winners > 0);
        // Exactly one of the plans is empty.
        let fits = scripts.iter().filter(|script| {
            let ran = gate.nat(script, &["plan"]).any_end().any_stderr();
            let is_same = ran.stdout_text().contains("No changes.");
            drop(ran.any_stdout());
            is_same
        });
        assert_eq!(fits.count(), 1, "{}", gate.rules());
        if is_shared {
            gate.done(OFFICE, &["revert"]);
            assert_eq!((gate.rules(), gate.forwards()), (others, ["0", "0"].map(str::to_owned)));
        }
    }
}
