//! The error codes of NAT, as stable names for scripts and programs.

use portolan_core::error::{Error, ErrorKind, Origin};

/// The code of a NAT error. Scripts see its name as `err.code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatError {
    /// The user has not allowed the script to change NAT.
    NotAllowed,
    /// A script that only describes rulesets does something else.
    OnlyRulesets,
    /// The process lacks `CAP_NET_ADMIN`.
    NotPermitted,
    /// Neither nft nor iptables is installed.
    NoBackend,
    /// The name of a ruleset is invalid.
    BadName,
    /// A network or address is invalid.
    BadCidr,
    /// The name of an interface is invalid.
    BadInterface,
    /// The host has no interface of that name.
    UnknownInterface,
    /// Ports cannot be parsed.
    BadRange,
    /// IPv4 and IPv6 are mixed in one rule.
    FamilyMismatch,
    /// Two rules or services claim the same ports.
    Conflict,
    /// The change would lock the user out.
    WouldLockOut,
    /// The live rules are no longer those that the plan saw.
    ChangedSincePlan,
    /// Rules of another program drop the traffic.
    BlockedBy,
    /// The kernel has no FTP connection tracking.
    HelperMissing,
    /// The kernel's settings are read-only.
    SysctlReadonly,
    /// Another portolan process is changing rules.
    Busy,
    /// A trial waits for `confirm` or `rollback`.
    TrialPending,
    /// There is no trial, or it is over.
    NoTrial,
    /// There is no mechanism that would end a trial after portolan has exited.
    NoTimer,
    /// There is no earlier state to go back to.
    NoUndo,
    /// There is no default gateway.
    NoGateway,
    /// The router refused to map the port.
    MappingRefused,
    /// The router's own external address is not public.
    DoubleNat,
    /// The router supports no port mapping protocol.
    NoMapping,
    /// The FTP session that should prove a ruleset failed.
    ProbeFailed,
    /// No twin of the host can be made, in which packets are tried.
    NoTwin,
    /// nft refused the rules.
    NftFailed,
    /// iptables refused the rules.
    IptablesFailed,
    /// systemd could not be told of the unit that loads the rules at boot.
    UnitFailed,
}

impl NatError {
    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotAllowed => "nat.not_allowed",
            Self::OnlyRulesets => "nat.only_rulesets",
            Self::NotPermitted => "nat.not_permitted",
            Self::NoBackend => "nat.no_backend",
            Self::BadName => "nat.bad_name",
            Self::BadCidr => "nat.bad_cidr",
            Self::BadInterface => "nat.bad_interface",
            Self::UnknownInterface => "nat.unknown_interface",
            Self::BadRange => "nat.bad_range",
            Self::FamilyMismatch => "nat.family_mismatch",
            Self::Conflict => "nat.conflict",
            Self::WouldLockOut => "nat.would_lock_out",
            Self::ChangedSincePlan => "nat.changed_since_plan",
            Self::BlockedBy => "nat.blocked_by",
            Self::HelperMissing => "nat.helper_missing",
            Self::SysctlReadonly => "nat.sysctl_readonly",
            Self::Busy => "nat.busy",
            Self::TrialPending => "nat.trial_pending",
            Self::NoTrial => "nat.no_trial",
            Self::NoTimer => "nat.no_timer",
            Self::NoUndo => "nat.no_undo",
            Self::NoGateway => "nat.no_gateway",
            Self::MappingRefused => "nat.mapping_refused",
            Self::DoubleNat => "nat.double_nat",
            Self::NoMapping => "nat.no_mapping",
            Self::ProbeFailed => "nat.probe_failed",
            Self::NoTwin => "nat.no_twin",
            Self::NftFailed => "nat.nft_failed",
            Self::IptablesFailed => "nat.iptables_failed",
            Self::UnitFailed => "nat.unit_failed",
        }
    }

    const fn kind(self) -> ErrorKind {
        match self {
            Self::NotAllowed => ErrorKind::DeniedByPolicy,
            Self::NotPermitted => ErrorKind::Denied,
            Self::BadName
            | Self::BadCidr
            | Self::BadInterface
            | Self::BadRange
            | Self::OnlyRulesets
            | Self::FamilyMismatch => ErrorKind::Invalid,
            Self::UnknownInterface | Self::NoTrial | Self::NoUndo => ErrorKind::NotFound,
            Self::Conflict
            | Self::WouldLockOut
            | Self::ChangedSincePlan
            | Self::BlockedBy
            | Self::ProbeFailed
            | Self::TrialPending => ErrorKind::Guard,
            Self::NoBackend
            | Self::HelperMissing
            | Self::NoMapping
            | Self::NoTimer
            | Self::NoTwin => ErrorKind::Unsupported,
            Self::SysctlReadonly | Self::NftFailed | Self::IptablesFailed | Self::UnitFailed => {
                ErrorKind::Local
            }
            Self::Busy => ErrorKind::Busy,
            Self::NoGateway => ErrorKind::Unreachable,
            Self::MappingRefused | Self::DoubleNat => ErrorKind::Refused,
        }
    }

    const fn side(self) -> Origin {
        match self {
            Self::BadName
            | Self::BadCidr
            | Self::BadInterface
            | Self::BadRange
            | Self::FamilyMismatch
            | Self::OnlyRulesets
            | Self::NotAllowed => Origin::Script,
            Self::NoGateway | Self::MappingRefused | Self::DoubleNat | Self::NoMapping => {
                Origin::Network
            }
            _ => Origin::Here,
        }
    }

    /// Returns a fault with this code.
    pub fn fault(self, message: impl Into<String>) -> Error {
        Error::new(self.kind(), self.side(), message).with_name(self.name())
    }
}
