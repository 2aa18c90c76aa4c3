//! Files and ports, by Landlock.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath,
    PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
    make_bitflags,
};
use std::path::PathBuf;

use super::{ReachablePorts, SandboxPlan};

/// The newest version of the interface whose rights are all used here; an older kernel holds what it knows.
const NEWEST: ABI = ABI::V7;

/// Returns the rights in a directory to write: no links, devices and pipes, which no run makes.
fn writing() -> BitFlags<AccessFs> {
    reading()
        | make_bitflags!(AccessFs::{
            WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir | Refer
        })
}

fn reading() -> BitFlags<AccessFs> {
    make_bitflags!(AccessFs::{ReadFile | ReadDir})
}

/// Restricts this thread, and those that it starts, to the files and ports of `plan`.
pub(super) fn restrict(plan: &SandboxPlan) -> Result<(), RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?;
    if plan.ports != ReachablePorts::All {
        ruleset = ruleset.handle_access(AccessNet::from_all(NEWEST))?;
    }
    // A program of the run may not end or ask processes outside of it.
    ruleset = ruleset.scope(Scope::from_all(NEWEST))?;
    let mut created = ruleset.create()?;
    let deleting = make_bitflags!(AccessFs::{ReadDir | RemoveFile | RemoveDir});
    let executing = reading() | AccessFs::Execute;
    let using = make_bitflags!(AccessFs::{ReadFile | WriteFile | IoctlDev});
    for (paths, access) in [
        (&plan.read, reading()),
        (&plan.write, writing()),
        (&plan.delete, deleting),
        (&plan.tidied, AccessFs::RemoveDir.into()),
        (&plan.execute, executing),
        (&plan.devices, using),
    ] {
        created = allow(created, paths, access)?;
    }
    if let ReachablePorts::Only(ports) = &plan.ports {
        for port in ports {
            created = created.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
        }
    }
    created.restrict_self().map(drop)
}

/// Allows `access` below each of `paths` that exists. What does not exist cannot be opened either.
fn allow(
    mut created: RulesetCreated,
    paths: &[PathBuf],
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    // The library leaves out what files do not have; nothing may be left of it.
    let is_for_files = access.intersects(AccessFs::from_file(NEWEST));
    for path in paths {
        let Ok(open) = PathFd::new(path) else { continue };
        if is_for_files || path.is_dir() {
            created = created.add_rule(PathBeneath::new(open, access))?;
        }
    }
    Ok(created)
}
