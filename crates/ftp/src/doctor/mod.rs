//! A survey of one server from the local host: every endpoint and every data-connection method is tried, and the
//! results are recorded.

mod advice;
mod certificate;
mod diagnosis;
mod endpoints;
mod findings;
mod modes;
mod prober;
mod server;
mod total_failure;
mod value;
mod verdict;

pub use self::{
    advice::PORT_RANGE,
    certificate::ServerCertificate,
    diagnosis::{
        Address, Diagnosis, Endpoint, HiddenFiles, LoginOutcome, ModeProbe, Reuse, ServerInfo,
        Sessions, TlsInfo,
    },
    findings::{DoctorFinding, FindingSeverity, findings},
    prober::{DoctorOptions, OPTIONS, survey},
    value::value,
    verdict::{Advice, ms_text, verdict},
};
