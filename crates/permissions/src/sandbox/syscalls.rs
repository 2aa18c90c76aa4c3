//! System calls that no run needs, refused by a seccomp filter.

use std::collections::{BTreeMap, BTreeSet};

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter, sock_filter,
};

use super::SandboxPlan;

/// The bit of the second table of system calls on `x86_64`.
const X32: u32 = 0x4000_0000;

/// `fchmodat2`, which libc names for some systems only; new calls have one number on all.
const FCHMODAT2: i64 = 452;

/// The calls that no run makes, whatever it may: change mounts, namespaces, clocks and the kernel; look into other processes; use
/// keys and performance counters; get round the checks of paths by handles.
const NEVER: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mbind,
    libc::SYS_migrate_pages,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_move_pages,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
];

/// Modules of the kernel, which only NAT may load.
const MODULES: &[i64] = &[libc::SYS_init_module, libc::SYS_finit_module];

/// Starting programs.
const EXECUTE: &[i64] = &[libc::SYS_execve, libc::SYS_execveat];

/// Owners, permissions and attributes by path, which Landlock does not see: the run itself changes them by descriptor
/// only, and programs that it starts change them by path.
const METADATA: &[i64] = &[
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_mknodat,
    libc::SYS_symlinkat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mknod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utime,
];

/// Calls that are refused as unknown, so that libraries take the older one, whose arguments a filter can see; and the rings
/// by which calls pass a filter unseen.
const UNKNOWN: &[i64] = &[
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// The flags of `clone` that make namespaces.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// The offset of the low half of the first argument in `struct seccomp_data`.
const FIRST_ARGUMENT: u32 = if cfg!(target_endian = "big") { 20 } else { 16 };

type CallRules = BTreeMap<i64, Vec<SeccompRule>>;

/// Restricts this thread, and those that it starts.
pub(super) fn restrict(plan: &SandboxPlan) -> Result<(), seccompiler::Error> {
    apply_filter(&filter(plan)?)
}

/// Returns the filter of a run: first the calls that are refused whatever their arguments are, then those that depend on
/// them. The kernel works through it for each call that there is, when it is installed, so it must be short.
fn filter(plan: &SandboxPlan) -> Result<BpfProgram, BackendError> {
    let mut program = compiled(sockets(plan)?)?;
    let is_number = |one: &sock_filter| u32::from(one.code) == LOAD && one.k == 0;
    let at = program.iter().position(is_number).map_or(program.len(), |at| at + 1);
    program.splice(at..at, table(&refused(plan)).into_iter().chain(without_namespaces()));
    Ok(program)
}

/// The instructions of a filter (`linux/filter.h`): load a word of the call, compare, go on elsewhere, end.
const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const IS_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IS_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const HAS_ANY: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const GO: u32 = libc::BPF_JMP | libc::BPF_JA;
const END: u32 = libc::BPF_RET | libc::BPF_K;

/// Returns an instruction that skips the next `then` ones if its condition holds.
fn step(code: u32, k: u32, then: usize) -> sock_filter {
    let (code, jt) = (u16::try_from(code), u8::try_from(then));
    sock_filter { code: code.unwrap_or_default(), jt: jt.unwrap_or_default(), jf: 0, k }
}

/// Returns the instructions that decide about `clone`, if its number is loaded: one for all namespaces in place of eight for
/// each.
fn without_namespaces() -> [sock_filter; 6] {
    let flags = NAMESPACES.iter().fold(0, |all, flag| all | flag.unsigned_abs());
    [
        step(IS_EQUAL, u32::try_from(libc::SYS_clone).unwrap_or_default(), 1),
        step(GO, 4, 0),
        step(LOAD, FIRST_ARGUMENT, 0),
        step(HAS_ANY, flags, 1),
        step(END, libc::SECCOMP_RET_ALLOW, 0),
        step(END, libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs(), 0),
    ]
}

/// Returns the instructions that refuse the loaded number of a call if it is in `calls`, with the error there: a binary
/// search whose steps lead to one end for each error, or behind all, where the filter goes on with the others.
fn table(calls: &BTreeMap<u32, i32>) -> BpfProgram {
    let ranges = ranges(calls);
    let errors: BTreeSet<i32> = ranges.iter().filter_map(|(_, error)| *error).collect();
    let mut program = Vec::new();
    search(&ranges, &mut program);
    let steps = program.len();
    let end_of = |error: Option<i32>| match error {
        Some(error) => steps + errors.range(..error).count(),
        None => steps + errors.len(),
    };
    let resolved = program.iter().enumerate().map(|(at, one)| {
        let [is_true, is_false] = one.targets.map(|target| match target {
            Target::Step(next) => next - at - 1,
            Target::End(error) => end_of(error) - at - 1,
        });
        let jf = u8::try_from(is_false).unwrap_or_default();
        sock_filter { jf, ..step(IS_AT_LEAST, one.first, is_true) }
    });
    let refusal = |error: &i32| libc::SECCOMP_RET_ERRNO | error.unsigned_abs();
    let ends = errors.iter().map(|error| step(END, refusal(error), 0));
    resolved.chain(ends).collect()
}

/// A step of a search: numbers from `first` on lead to the first target, others to the second.
struct SearchStep {
    first: u32,
    targets: [Target; 2],
}

#[derive(Clone, Copy)]
enum Target {
    /// Another step of the search.
    Step(usize),
    /// The end: the error, or none.
    End(Option<i32>),
}

/// Returns the ranges of numbers that are decided alike, in order: the first number of each, and the error.
fn ranges(calls: &BTreeMap<u32, i32>) -> Vec<(u32, Option<i32>)> {
    let mut ranges = vec![(0, None)];
    let mut add = |first: u32, error: Option<i32>| {
        ranges.pop_if(|(last, _)| *last == first);
        if ranges.last().is_none_or(|(_, last)| *last != error) {
            ranges.push((first, error));
        }
    };
    for (number, error) in calls {
        add(*number, Some(*error));
        add(number + 1, None);
    }
    // Refused as unknown, as by kernels that are built without this table; other processors have no such numbers.
    add(X32, Some(libc::ENOSYS));
    ranges
}

/// Adds the steps that find the range of a number to `program`. Returns the first of them.
fn search(ranges: &[(u32, Option<i32>)], program: &mut Vec<SearchStep>) -> Target {
    match ranges {
        [] => Target::End(None),
        [(_, error)] => Target::End(*error),
        _ => {
            let (below, above) = ranges.split_at(ranges.len() / 2);
            let at = program.len();
            let first = above.first().map_or(0, |(first, _)| *first);
            program.push(SearchStep { first, targets: [Target::End(None); 2] });
            let below = search(below, program);
            let above = search(above, program);
            if let Some(step) = program.get_mut(at) {
                step.targets = [above, below];
            }
            Target::Step(at)
        }
    }
}

fn compiled(rules: CallRules) -> Result<BpfProgram, BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()
}

/// Returns the calls that are refused whatever their arguments are, and the error of each.
fn refused(plan: &SandboxPlan) -> BTreeMap<u32, i32> {
    let mut calls = BTreeMap::new();
    let mut refuse = |numbers: &[i64], error: i32| {
        let numbers = numbers.iter().filter_map(|number| u32::try_from(*number).ok());
        calls.extend(numbers.map(|number| (number, error)));
    };
    refuse(NEVER, libc::EPERM);
    if !plan.has_nat {
        refuse(MODULES, libc::EPERM);
    }
    if !plan.has_programs {
        refuse(EXECUTE, libc::EPERM);
        refuse(METADATA, libc::EPERM);
    }
    refuse(UNKNOWN, libc::ENOSYS);
    calls
}

/// Returns the rule about sockets: those of other families are refused.
fn sockets(plan: &SandboxPlan) -> Result<CallRules, BackendError> {
    let families = families(plan);
    let none_of = families
        .iter()
        .map(|family| condition(0, SeccompCmpOp::Ne, *family))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(CallRules::from([(libc::SYS_socket, vec![SeccompRule::new(none_of)?])]))
}

/// Returns the kinds of sockets that the run needs. Local sockets lead to services that trust every client: only
/// programs get them.
fn families(plan: &SandboxPlan) -> Vec<i32> {
    // There must be one to compare with; this one has not existed since Linux 2.6.
    let mut families = vec![libc::AF_UNSPEC];
    if plan.has_network {
        families.extend([libc::AF_INET, libc::AF_INET6]);
    }
    if plan.has_programs {
        families.extend([libc::AF_UNIX, libc::AF_NETLINK]);
    }
    families
}

fn condition(index: u8, op: SeccompCmpOp, value: i32) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, op, u64::from(value.unsigned_abs()))
}

#[cfg(test)]
mod tests;
