//! System calls that no run needs, refused by a seccomp filter.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

use super::SandboxPlan;

/// The bit of the second table of system calls on `x86_64`.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;

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

type CallRules = BTreeMap<i64, Vec<SeccompRule>>;

/// Restricts this thread, and those that it starts.
pub(super) fn restrict(plan: &SandboxPlan) -> Result<(), seccompiler::Error> {
    for (rules, error) in [(unknown(), libc::ENOSYS), (refused(plan)?, libc::EPERM)] {
        let errno = u32::try_from(error).unwrap_or_default();
        apply_filter(&program(rules, errno)?)?;
    }
    Ok(())
}

fn program(rules: CallRules, errno: u32) -> Result<BpfProgram, BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno), arch)?.try_into()
}

fn unknown() -> CallRules {
    UNKNOWN.iter().map(|call| (*call, Vec::new())).collect()
}

fn refused(plan: &SandboxPlan) -> Result<CallRules, BackendError> {
    let mut rules = CallRules::new();
    let mut refuse = |calls: &[i64]| rules.extend(calls.iter().map(|call| (*call, Vec::new())));
    refuse(NEVER);
    if !plan.has_nat {
        refuse(MODULES);
    }
    if !plan.has_programs {
        refuse(EXECUTE);
        refuse(METADATA);
    }
    let families = families(plan);
    let none_of = families
        .iter()
        .map(|family| condition(0, SeccompCmpOp::Ne, *family))
        .collect::<Result<Vec<_>, _>>()?;
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(none_of)?]);
    let namespaces = NAMESPACES.iter().map(|flag| {
        let flag = u64::from(flag.unsigned_abs());
        let is_set =
            SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag)?;
        SeccompRule::new(vec![is_set])
    });
    rules.insert(libc::SYS_clone, namespaces.collect::<Result<Vec<_>, _>>()?);
    #[cfg(target_arch = "x86_64")]
    {
        let others: Vec<_> =
            rules.iter().map(|(call, rules)| (call | X32, rules.clone())).collect();
        rules.extend(others);
    }
    Ok(rules)
}

/// Returns the kinds of sockets that the run needs. Local sockets lead to services that trust whoever connects: only
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
