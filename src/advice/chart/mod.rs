//! The chart of the connections of each mode: client, router and server, the steps in their order, and the place where
//! one fails. Pure; the formats are in files of their own.

mod mermaid;
mod svg;
mod text;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use super::firewall_rules::passive_range;
use crate::{
    ftp::{
        doctor::{Advice, Diagnosis, Endpoint, LoginOutcome, ModeProbe, PORT_RANGE},
        site::Mode,
    },
    nat::{
        address::{is_carriers, why_unreachable},
        twin::question,
    },
    observe::visible::visible,
};

pub use self::{mermaid::mermaid, svg::svg, text::steps};

/// The two connections of one mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeChart {
    /// The mode.
    pub mode: Mode,
    /// The mode with its result, such as "Active mode, which fails here".
    pub title: String,
    /// The client's address.
    pub client: String,
    /// The router between, if there is one with NAT.
    pub router: Option<ChartRouter>,
    /// The server's address.
    pub server: String,
    /// The steps in their order.
    pub steps: Vec<ChartStep>,
}

/// A router with NAT between client and server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartRouter {
    /// Its address on the client's side, if it is known.
    pub inside: Option<Ipv4Addr>,
    /// Its address on the server's side, if it is known.
    pub outside: Option<IpAddr>,
    /// Its part in the mode: it has none, or it needs a helper or a range.
    pub part: String,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartStep {
    /// True if the client begins it.
    pub is_outbound: bool,
    /// The ports and the purpose.
    pub text: String,
    /// True if it opens a connection.
    pub opens: bool,
    /// The reason why it fails here.
    pub broken: Option<String>,
    /// The rule of this host that does it, or the reason why its kernel does.
    pub rule: Option<String>,
}

/// A function that returns the reason why this host does not let a connection pass, from an address (its own, if it is
/// not known) to another.
pub type StopReason<'r> = &'r dyn Fn(Option<IpAddr>, SocketAddr) -> Option<String>;

/// Returns the reason why this host does not let a connection pass, by a copy of its network; `None` if it passes, or
/// without root.
pub fn stopped_here(from: Option<IpAddr>, to: SocketAddr) -> Option<String> {
    let own = || {
        let any: IpAddr = if to.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            std::net::Ipv6Addr::UNSPECIFIED.into()
        };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        // Nothing is sent: the kernel chooses the address from which it would be.
        socket.connect(to).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    };
    question::reason(from.or_else(own)?, to, None)
}

/// Returns the charts of both modes, that of the verdict first; without a login one that ends with the control connection.
/// `gateway` is the default router of this host, and `stopped` tells what this host stops.
pub fn charts(
    survey: &Diagnosis,
    verdict: &Advice,
    gateway: Option<Ipv4Addr>,
    stopped: StopReason<'_>,
) -> Vec<ModeChart> {
    let is_entered = |door: &&Endpoint| {
        matches!(door.entry, LoginOutcome::Entered(_))
            && Some(door.address) == verdict.server
            && door.tls == verdict.tls
    };
    let Some(door) = survey.endpoints.iter().find(is_entered) else {
        return unreached(survey, stopped).into_iter().collect();
    };
    let first = verdict.mode.unwrap_or(Mode::Passive);
    let second = if first == Mode::Active { Mode::Passive } else { Mode::Active };
    [first, second].map(|mode| chart(survey, verdict, door, mode, (gateway, stopped))).into()
}

/// Returns the chart of a control connection that fails; `None` if none was tried.
fn unreached(survey: &Diagnosis, stopped: StopReason<'_>) -> Option<ModeChart> {
    let failed = survey.addresses.iter().find_map(|one| {
        let fault = one.reached.as_ref().err()?;
        Some((one.address, fault))
    });
    let (address, fault) = failed?;
    let step = ChartStep {
        is_outbound: true,
        text: format!("any port -> {}: commands", address.port()),
        opens: true,
        broken: Some(visible(&fault.message)),
        rule: stopped(survey.site.source_address, address),
    };
    Some(ModeChart {
        mode: Mode::Passive,
        title: "The control connection, which fails here".to_owned(),
        client: String::new(),
        router: None,
        server: address.ip().to_canonical().to_string(),
        steps: vec![step],
    })
}

fn chart(
    survey: &Diagnosis,
    verdict: &Advice,
    door: &Endpoint,
    mode: Mode,
    (gateway, stopped): (Option<Ipv4Addr>, StopReason<'_>),
) -> ModeChart {
    let is_active = mode == Mode::Active;
    let mut trials = door.trials.iter().filter(|trial| trial.step.is_active() == is_active);
    let works = trials.clone().find(|trial| trial.carries());
    let tried = works.or_else(|| trials.next());
    let (name, result) = match (verdict.mode == Some(mode), works.is_some(), tried.is_some()) {
        (true, ..) => (mode, "to be used"),
        (false, true, _) => (mode, "for comparison"),
        (false, false, true) => (mode, "which fails here"),
        (false, false, false) => (mode, "not tried"),
    };
    let name = if name == Mode::Active { "Active" } else { "Passive" };
    let server = door.address.ip().to_canonical();
    let ours = door.local.map(|local| local.ip().to_canonical());
    ModeChart {
        mode,
        title: format!("{name} mode, {result}"),
        client: ours.map(|ours| ours.to_string()).unwrap_or_default(),
        router: router(survey, ours, server, is_active, gateway),
        server: server.to_string(),
        steps: steps_of(survey, door, tried, is_active, stopped),
    }
}

/// Returns the router between, as far as the addresses tell of one.
fn router(
    survey: &Diagnosis,
    ours: Option<IpAddr>,
    server: IpAddr,
    is_active: bool,
    gateway: Option<Ipv4Addr>,
) -> Option<ChartRouter> {
    let ours = ours?;
    let is_far = why_unreachable(server).is_none();
    let told = survey.server.as_ref().and_then(|server| server.sees_us_at);
    // An address of the server's own side is that of a balancer.
    let is_outside = |there: &IpAddr| {
        let carriers = matches!(there, IpAddr::V4(there) if is_carriers(*there));
        *there != ours && (!is_far || carriers || why_unreachable(*there).is_none())
    };
    let outside = survey.site.external_address.or(told.filter(is_outside));
    let is_between = outside.is_some() || is_far && why_unreachable(ours).is_some();
    let range = survey.site.port_range.clone().unwrap_or(PORT_RANGE);
    let part = if is_active {
        format!("reads PORT (helper), or forwards {}-{}", range.start(), range.end())
    } else {
        "masquerades; passive mode needs no more".to_owned()
    };
    let inside = gateway.filter(|_| ours.is_ipv4());
    is_between.then_some(ChartRouter { inside, outside, part })
}

fn steps_of(
    survey: &Diagnosis,
    door: &Endpoint,
    tried: Option<&ModeProbe>,
    is_active: bool,
    stopped: StopReason<'_>,
) -> Vec<ChartStep> {
    let step = |is_outbound, opens, text: String| ChartStep {
        is_outbound,
        text,
        opens,
        broken: None,
        rule: None,
    };
    let control = door.address.port();
    let local = door.local.map_or("any port".to_owned(), |local| local.port().to_string());
    let seen = tried.and_then(|trial| trial.address.parse::<SocketAddr>().ok());
    let fault = tried.and_then(|trial| trial.listing.as_ref().err());
    let command = tried.map_or(if is_active { "PORT" } else { "PASV" }.to_owned(), |trial| {
        trial.step.as_str().to_ascii_uppercase()
    });
    let mut steps = vec![step(true, true, format!("{local} -> {control}: commands"))];
    let mut data = if is_active {
        let range = survey.site.port_range.clone().unwrap_or(PORT_RANGE);
        let here =
            seen.map_or(format!("{}-{}", range.start(), range.end()), |seen| seen.to_string());
        steps.push(step(true, false, format!("{command}: this machine names {here}")));
        step(false, true, format!("20 or above 1023 -> {here}: data"))
    } else {
        let range = passive_range(survey, control);
        let there = seen
            .map_or(format!("{}-{}", range.start(), range.end()), |seen| seen.port().to_string());
        steps.push(step(true, false, command));
        steps.push(step(false, false, format!("the server names port {there}")));
        step(true, true, format!("any port -> {there}: data"))
    };
    // A command that is refused fails before the connection.
    let is_refused = fault.is_some_and(|fault| fault.code >= 500);
    let why = fault.map(|fault| {
        let own = survey.own_filters.join(", ");
        let own = if own.is_empty() || is_active { own } else { format!(" (filter here: {own})") };
        format!("{}{}", visible(&fault.message), if is_active { "" } else { &own })
    });
    if let Some(command) = steps.get_mut(1).filter(|_| is_refused) {
        command.broken = why;
    } else {
        let (ours, theirs) = (door.local.map(|local| local.ip()), door.address.ip());
        let from = if is_active { Some(theirs) } else { ours };
        // What reached the server, and was answered by it, was not stopped here.
        data.rule = seen.filter(|_| why.is_some()).and_then(|to| stopped(from, to));
        data.broken = why;
    }
    steps.push(data);
    steps
}

/// One direction of a connection, for filters that keep no state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatelessChannel {
    /// `passive` or `active`.
    pub mode: &'static str,
    /// The sender, with its ports.
    pub from: String,
    /// The receiver, with its ports.
    pub to: String,
    /// True if the first packet of the connection goes that way; all others carry ACK.
    pub opens: bool,
    /// The purpose.
    pub what: &'static str,
}

/// The ports from which an ordinary program opens connections.
const OWN_PORTS: &str = "1024-65535";

/// Returns the channels of both modes, in both directions, for filters without connection tracking on either side.
pub fn channels(survey: &Diagnosis, verdict: &Advice) -> Vec<StatelessChannel> {
    let Some(server) = verdict.server else { return Vec::new() };
    let ours = survey.endpoints.iter().find_map(|door| door.local);
    let told = survey.server.as_ref().and_then(|server| server.sees_us_at);
    let client = told.or(ours.map(|ours| ours.ip().to_canonical()));
    let client = client.map_or("client".to_owned(), |client| client.to_string());
    let (host, control) = (server.ip().to_canonical().to_string(), server.port().to_string());
    let words = |range: std::ops::RangeInclusive<u16>| format!("{}-{}", range.start(), range.end());
    let passive = words(passive_range(survey, server.port()));
    let range = words(survey.site.port_range.clone().unwrap_or(PORT_RANGE));
    let mut all = Vec::new();
    let mut pair = |mode, from: [&str; 2], to: [&str; 2], what| {
        let [from, to] = [from, to].map(|[host, ports]| format!("{host} {ports}"));
        all.push(StatelessChannel { mode, from: from.clone(), to: to.clone(), opens: true, what });
        all.push(StatelessChannel { mode, from: to, to: from, opens: false, what });
    };
    for mode in ["passive", "active"] {
        pair(mode, [&client, OWN_PORTS], [&host, &control], "commands");
        if mode == "passive" {
            pair(mode, [&client, OWN_PORTS], [&host, &passive], "data");
        } else {
            pair(mode, [&host, "20"], [&client, &range], "data");
        }
    }
    all
}

#[cfg(test)]
mod tests;
