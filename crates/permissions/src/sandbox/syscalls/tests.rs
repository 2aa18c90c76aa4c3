//! The filter as the kernel reads it: an interpreter of its instructions (`linux/filter.h`).

use std::path::Path;

use super::*;
use crate::{PermissionOptions, RunPermissions, sandbox::OwnPaths};

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

/// Returns what `program` decides about the call `number` with the first argument `argument`.
fn decision(program: &[sock_filter], number: u32, argument: u64) -> u32 {
    let arch = match std::env::consts::ARCH {
        "x86_64" => 0xc000_003e,
        "aarch64" => 0xc000_00b7,
        other => panic!("no number of {other} here"),
    };
    let [low, high] =
        [argument & 0xffff_ffff, argument >> 32].map(|half| u32::try_from(half).unwrap());
    let (mut at, mut value) = (0, 0);
    loop {
        let sock_filter { code, jt, jf, k } = program[at];
        at += 1;
        let is_true = match u32::from(code) {
            0x20 => {
                value = [number, arch, 0, 0, low, high][k as usize / 4];
                continue;
            }
            0x54 => {
                value &= k;
                continue;
            }
            0x06 => return k,
            0x05 => {
                at += k as usize;
                continue;
            }
            0x15 => value == k,
            0x45 => value & k != 0,
            0x25 => value > k,
            0x35 => value >= k,
            code => panic!("no instruction {code:#x} here"),
        };
        at += usize::from(if is_true { jt } else { jf });
    }
}

fn plan(fill: impl FnOnce(&mut PermissionOptions)) -> SandboxPlan {
    let mut options = PermissionOptions::default();
    fill(&mut options);
    let permissions = RunPermissions::new(&options, Path::new("/"), true).unwrap();
    SandboxPlan::new(&permissions, &OwnPaths::default())
}

fn errno(error: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | error.unsigned_abs()
}

/// Returns the rule that refuses `clone` with `flag`.
fn namespace(flag: i32) -> SeccompRule {
    let flag = u64::from(flag.unsigned_abs());
    let (length, is_set) = (SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag));
    SeccompRule::new(vec![SeccompCondition::new(0, length, is_set, flag).unwrap()]).unwrap()
}

/// Returns the filter that the library makes of the same rules.
fn of_library(plan: &SandboxPlan, error: i32) -> BpfProgram {
    let calls = refused(plan).into_iter().filter(|(_, own)| *own == error);
    let mut rules: CallRules = calls.map(|(number, _)| (i64::from(number), Vec::new())).collect();
    if error == libc::EPERM {
        rules.extend(sockets(plan).unwrap());
        rules.insert(libc::SYS_clone, NAMESPACES.map(namespace).to_vec());
    }
    let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let refuse = SeccompAction::Errno(error.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).unwrap().try_into().unwrap()
}

#[test]
fn the_filter_decides_as_those_of_the_library_in_fewer_steps() {
    for plan in [
        plan(|_| {}),
        plan(|it| it.net = vec!["h".to_owned()]),
        plan(|it| it.run = vec!["sh".to_owned()]),
        plan(|it| it.nat = true),
    ] {
        let whole = filter(&plan).unwrap();
        let both = [of_library(&plan, libc::ENOSYS), of_library(&plan, libc::EPERM)];
        for number in 0..1024 {
            for argument in [0, 1, 2, 10, 16, 17, 0x1000_0000, 0x7e02_0000, 1 << 40] {
                let mut wanted = both.iter().map(|one| decision(one, number, argument));
                let wanted = wanted.find(|found| *found != ALLOW).unwrap_or(ALLOW);
                let found = decision(&whole, number, argument);
                assert_eq!(found, wanted, "{number} {argument:#x} {plan:?}");
            }
        }
        let length: usize = both.iter().map(Vec::len).sum();
        assert!(whole.len() * 3 < length && whole.len() < 160, "{} of {length}", whole.len());
    }
}

#[test]
fn calls_are_refused_as_unknown_as_forbidden_or_by_their_argument() {
    let offline = filter(&plan(|_| {})).unwrap();
    let online = filter(&plan(|it| it.net = vec!["h".to_owned()])).unwrap();
    let call = |number: i64| u32::try_from(number).unwrap();
    let inet = u64::from(libc::AF_INET.unsigned_abs());
    let unix = u64::from(libc::AF_UNIX.unsigned_abs());
    let thread = u64::from(libc::CLONE_VM.unsigned_abs());
    let namespace = u64::from(libc::CLONE_NEWUSER.unsigned_abs());
    for (program, number, argument, wanted) in [
        (&offline, libc::SYS_read, 0, ALLOW),
        (&offline, libc::SYS_ptrace, 0, errno(libc::EPERM)),
        (&offline, libc::SYS_execve, 0, errno(libc::EPERM)),
        (&offline, libc::SYS_clone3, 0, errno(libc::ENOSYS)),
        (&offline, libc::SYS_io_uring_setup, 0, errno(libc::ENOSYS)),
        (&offline, libc::SYS_socket, inet, errno(libc::EPERM)),
        (&online, libc::SYS_socket, inet, ALLOW),
        (&online, libc::SYS_socket, unix, errno(libc::EPERM)),
        (&online, libc::SYS_clone, thread, ALLOW),
        (&online, libc::SYS_clone, thread | namespace, errno(libc::EPERM)),
    ] {
        assert_eq!(decision(program, call(number), argument), wanted, "{number} {argument:#x}");
    }
    // The second table of calls, in which each of them is there again.
    #[cfg(target_arch = "x86_64")]
    for number in [libc::SYS_read, libc::SYS_ptrace, libc::SYS_socket] {
        assert_eq!(decision(&online, call(number) | X32, inet), errno(libc::ENOSYS), "{number}");
    }
}
