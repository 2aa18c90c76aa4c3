//! An nft that hangs, fails or says nothing at one of its calls, whichever that is: the rules are all there, or none of
//! them is, and the exit code says which.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{Gate, OFFICE};
use crate::support::{program::Portolan, program::Ran};

/// The misbehaviour of one call.
const KINDS: [&str; 3] =
    ["exec sleep 600", "echo 'Error: Could not process rule' >&2; exit 1", "exit 0"];

/// An nft whose call number `number` (from 1) does `does`, and whose others are those of the real one.
struct Fake {
    folder: TempDir,
}

impl Fake {
    fn new(number: usize, does: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let (nft, count) = (folder.path().join("nft"), folder.path().join("count"));
        let count = count.display();
        let text = format!(
            "#!/bin/sh\necho x >>{count}\nif [ $(grep -c x {count}) = {number} ]; then {does}; fi\nexec /usr/sbin/nft \"$@\"\n"
        );
        fs::write(&nft, text).unwrap();
        fs::set_permissions(&nft, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn calls(&self) -> usize {
        fs::read_to_string(self.folder.path().join("count")).unwrap_or_default().lines().count()
    }

    fn apply(&self, gate: &Gate) -> Ran {
        let program = gate.portolan(OFFICE);
        let program = with_path(program, self.folder.path()).args(["nat", "apply"]);
        let program = program.args(["--backend", "nft", "gate.rhai"]);
        gate.router.within(|| program.run()).any_end().any_stdout().any_stderr()
    }
}

/// Sets `PATH`, and the time after which a program that hangs is killed.
fn with_path(program: Portolan, folder: &Path) -> Portolan {
    let path: PathBuf = folder.into();
    program.env("PATH", path).env("PORTOLAN_NAT_TOOL_SECONDS", "1")
}

#[test]
fn an_nft_that_misbehaves_at_any_of_its_calls_leaves_nothing_half_applied() {
    let Some(gate) = Gate::lay() else { return };
    let before = (gate.rules(), gate.forwards());
    drop(gate.done(OFFICE, &["apply"]));
    let after = (gate.rules(), gate.forwards());
    drop(gate.done(OFFICE, &["revert"]));
    assert_eq!((gate.rules(), gate.forwards()), before);
    assert_ne!(after, before);
    for does in KINDS {
        let mut failures = 0;
        for number in 1.. {
            let fake = Fake::new(number, does);
            let ran = fake.apply(&gate);
            let about = format!("call {number}, {does}: {}", ran.stderr_text());
            let now = (gate.rules(), gate.forwards());
            if ran.code() == 0 {
                assert_eq!(now, after, "{about}");
            } else {
                failures += 1;
                assert!(ran.stderr_text().contains("error: "), "{about}");
                assert_eq!(now, before, "{about}");
            }
            // What the next one needs: with an nft that works, all goes back.
            drop(gate.nat(OFFICE, &["revert"]).any_end().any_stdout().any_stderr());
            assert_eq!((gate.rules(), gate.forwards()), before, "{about}");
            if fake.calls() < number {
                break;
            }
        }
        assert!(failures >= 3, "{does}: {failures} calls mattered");
    }
}
