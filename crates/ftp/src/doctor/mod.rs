//! A survey of one server from the local host: every endpoint and every data-connection method is tried, and the
//! results are recorded.

mod advice;
mod certificate;
mod diagnosis;
mod endpoints;
mod findings;
mod firewall_rules;
mod modes;
mod prober;
mod server;
mod total_failure;
mod value;
mod verdict;

pub use self::{
    certificate::ServerCertificate,
    diagnosis::{
        Address, Diagnosis, Endpoint, HiddenFiles, LoginOutcome, ModeProbe, Reuse, ServerInfo,
        Sessions, TlsInfo,
    },
    findings::{DoctorFinding, FindingSeverity, findings},
    firewall_rules::{AllowedConnection, rules},
    prober::{DoctorOptions, OPTIONS, survey},
    value::value,
    verdict::{Advice, ms_text, verdict},
};
