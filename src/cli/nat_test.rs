//! `portolan nat test`: tries one packet on a copy of this host.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::{
    ExitResult,
    common::Common,
    report::{self, UsageError},
};
use crate::{
    error::{Error, Result},
    exit_code::Exit,
    nat::{
        check::Interface,
        twin::{
            outcome::{PacketDocument, PacketVerdict},
            packet::Transport,
            question::{self, PacketTest},
        },
    },
};

/// The arguments of `portolan nat test`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct TestArgs {
    /// Source of the packet: an address, or ADDRESS:PORT
    #[arg(long, value_name = "ADDRESS", value_parser = source)]
    from: (IpAddr, Option<u16>),
    /// Destination of the packet
    #[arg(long, value_name = "ADDRESS:PORT")]
    to: SocketAddr,
    /// Protocol: tcp or udp
    #[arg(long, value_name = "PROTOCOL", default_value = "tcp", value_parser = transport)]
    protocol: Transport,
    /// Interface by which it comes in [default: the one that leads to its source]
    #[arg(long = "in", value_name = "DEVICE")]
    device: Option<String>,
    /// Destination that it must reach: an address, or ADDRESS:PORT
    #[arg(long, value_name = "ADDRESS", value_parser = source)]
    expect: Option<(IpAddr, Option<u16>)>,
}

fn source(text: &str) -> std::result::Result<(IpAddr, Option<u16>), String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match (bare.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
        (Ok(address), _) => Ok((address, None)),
        (Err(_), Ok(both)) => Ok((both.ip(), Some(both.port()))),
        (Err(_), Err(_)) => Err("an address such as 203.0.113.30 or [fd00::1]:20 is wanted".into()),
    }
}

fn transport(text: &str) -> std::result::Result<Transport, String> {
    text.parse().map_err(|_| "one of tcp and udp is wanted".into())
}

/// The answer as `--json` has it.
#[derive(Debug, Serialize)]
struct TestDocument<'a> {
    #[serde(flatten)]
    outcome: PacketDocument<'a>,
    /// The parts of the host's rules that could not be copied.
    not_copied: &'a [String],
}

impl TestArgs {
    fn question(&self) -> Result<PacketTest> {
        let device = self.device.as_deref().map(Interface::parse).transpose()?;
        if self.to.port() == 0 {
            return Err(Error::invalid("`--to` needs a port from 1 to 65535"));
        }
        Ok(PacketTest {
            from: self.from.0,
            source_port: self.from.1,
            to: self.to,
            transport: self.protocol,
            device,
            expect: self.expect.map(|(address, port)| SocketAddr::new(address, port.unwrap_or(0))),
        })
    }
}

#[expect(clippy::unnecessary_wraps, reason = "every command returns its exit code like that")]
pub(super) fn run(args: &TestArgs, common: &Common) -> ExitResult {
    let asked = || -> anyhow::Result<_> {
        let question = args.question().map_err(UsageError)?;
        Ok(question::ask(&question)?)
    };
    let answer = match asked() {
        Ok(answer) => answer,
        Err(error) => return Ok(report::failed(&error)),
    };
    let outcome = &answer.outcome;
    if common.json() {
        report::json(&TestDocument { outcome: outcome.document(), not_copied: &answer.missing });
    } else {
        let missing = answer.missing.iter().map(|what| format!("  not copied: {what}\n"));
        report::output(&(outcome.words() + missing.collect::<String>().as_str()));
    }
    Ok(if outcome.verdict == PacketVerdict::Passes { Exit::Done } else { Exit::NatStopped })
}
