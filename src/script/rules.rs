//! The ruleset that a script holds, and the parsing of its parts from maps.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rhai::{Dynamic, Map};

use super::{
    options::read,
    rule_options::{self as rule, RuleOptions},
    value::CallOptions,
};
use crate::{
    error::Result,
    nat::{
        NatError,
        apply::ApplyOptions,
        check::{Family, Net, Ports},
        machine::{Choice, NatHost},
        model::{
            self, ACCEPT, ACTIVE_RANGE, Allow, Clamp, DATA_PORT, Forward, Helper, Masquerade, Open,
            RulesetPart,
        },
        nets::NetSet,
        plan::RulesetPlan,
        portmap::LeaseJournal,
        ruleset_store::{RulesetRecord, RulesetStore},
    },
};

/// The NAT settings of a script, and the records of its changes.
#[derive(Debug, Clone, Default)]
pub struct NatSettings {
    /// The packet filter that the user requested; otherwise the ruleset decides.
    pub backend: Choice,
    /// The store of the undo records of rules.
    pub ledger: Option<Arc<dyn RulesetStore>>,
    /// The journal of requests to routers, so that no mapping stays behind after a crash.
    pub book: Option<LeaseJournal>,
    /// The collection of rulesets for a script that only describes them (`portolan nat`). Nothing that such a script
    /// applies is applied.
    pub described: Option<Described>,
}

/// The rulesets that a script described, in order.
#[derive(Debug, Clone, Default)]
pub struct Described(Arc<Mutex<Vec<Ruleset>>>);

impl Described {
    /// Returns all of them.
    pub fn all(&self) -> Vec<Ruleset> {
        lock(&self.0).clone()
    }

    /// Adds a ruleset; fails with `nat.conflict` if there is one of the same name.
    pub(super) fn add(&self, ruleset: &Ruleset) -> Result<()> {
        let name = ruleset.model().name().to_owned();
        let mut all = lock(&self.0);
        if all.iter().any(|one| one.model().name() == name) {
            let message = format!("this script has two rulesets of the name `{name}`");
            return Err(NatError::Conflict.fault(message));
        }
        all.push(ruleset.clone());
        Ok(())
    }
}

/// A ruleset, shared by all copies of the value.
#[derive(Debug, Clone)]
pub struct Ruleset(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    model: model::RulesetSpec,
    /// The packet filter that the script requested.
    backend: Choice,
    /// The id of the plan that the script has seen.
    seen: Option<String>,
    /// The options with which the script wants it applied; `None` until it has said so.
    order: Option<ApplyOptions>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ruleset {
    /// Creates an empty ruleset for the filter `backend`.
    pub fn new(name: &str, backend: Choice) -> Result<Self> {
        let model = model::RulesetSpec::new(name)?;
        let inner = Inner { model, backend, seen: None, order: None };
        Ok(Self(Arc::new(Mutex::new(inner))))
    }

    /// Returns the current rules.
    pub fn model(&self) -> model::RulesetSpec {
        lock(&self.0).model.clone()
    }

    /// Returns the options with which the script wants it applied.
    pub fn order(&self) -> ApplyOptions {
        lock(&self.0).order.clone().unwrap_or_default()
    }

    /// Returns true if the script has applied it: then it is complete.
    pub fn is_ordered(&self) -> bool {
        lock(&self.0).order.is_some()
    }

    /// Stores the options with which the script wants it applied.
    pub fn ordered(&self, order: ApplyOptions) {
        lock(&self.0).order = Some(order);
    }

    /// Changes the rules; an earlier plan is no longer valid.
    pub fn change<T>(&self, change: impl FnOnce(&mut model::RulesetSpec) -> T) -> T {
        let mut inner = lock(&self.0);
        inner.seen = None;
        change(&mut inner.model)
    }

    /// Returns the packet filter of its rules: `wanted` takes precedence over the script.
    pub fn backend(&self, wanted: Choice) -> Choice {
        if wanted == Choice::Auto { lock(&self.0).backend } else { wanted }
    }

    /// Returns the stored record of this ruleset.
    pub fn record(&self, ledger: Option<&dyn RulesetStore>) -> Result<Option<RulesetRecord>> {
        let name = self.model().name().to_owned();
        Ok(ledger.map(|ledger| ledger.load(&name)).transpose()?.flatten())
    }

    /// Plans it, and records that the script has seen that plan.
    pub fn plan(&self, wanted: Choice, ledger: Option<&dyn RulesetStore>) -> Result<RulesetPlan> {
        let (_, plan) = self.fresh_plan(wanted, ledger)?;
        lock(&self.0).seen = Some(plan.id());
        Ok(plan)
    }

    /// Plans it for immediate use, on the host to which it applies. Fails with `nat.conflict` if its rules are in
    /// another filter than the requested one.
    pub fn fresh_plan(
        &self,
        wanted: Choice,
        ledger: Option<&dyn RulesetStore>,
    ) -> Result<(NatHost, RulesetPlan)> {
        let (model, record) = (self.model(), self.record(ledger)?);
        let choice = self.backend(wanted);
        let machine = NatHost::this(choice, record.as_ref())?;
        machine.fits(choice, model.name())?;
        let plan = machine.plan(&model, record.as_ref())?;
        Ok((machine, plan))
    }

    /// Returns the id of the plan that the script has seen last, and clears it.
    pub fn seen(&self) -> Option<String> {
        lock(&self.0).seen.take()
    }
}

/// Parses ports: 21, "50000-50009", or an array of such.
pub fn ports(options: &CallOptions<'_>, key: &str) -> Result<Option<Ports>> {
    let wrong = || {
        let message = format!(
            "`{key}` wants ports such as 21, \"50000-50009\" or [21, 2121], got {}",
            options.get(key).map(super::show::text).unwrap_or_default()
        );
        NatError::BadRange.fault(message)
    };
    let Some(value) = options.get(key) else { return Ok(None) };
    let one = |value: &Dynamic| -> Result<Vec<(u16, u16)>> {
        if let Ok(number) = value.as_int() {
            let port = u16::try_from(number).map_err(|_| wrong())?;
            return Ok(Ports::new(vec![(port, port)])?.ranges().to_vec());
        }
        let text = value.clone().into_string().map_err(|_| wrong())?;
        Ok(Ports::parse(&text)?.ranges().to_vec())
    };
    let ranges = match value.read_lock::<rhai::Array>() {
        Some(array) => {
            array.iter().map(one).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect()
        }
        None => one(value)?,
    };
    Ports::new(ranges).map(Some)
}

/// Parses the packet filter of a ruleset.
pub fn backend(map: &Map) -> Result<Choice> {
    read(map, "nat::ruleset", &rule::RULESET)
}

/// Returns the families of all networks, IPv4 first.
fn families(nets: &[Net]) -> Vec<Family> {
    let has = |family: &Family| nets.iter().any(|net| net.family() == *family);
    [Family::V4, Family::V6].into_iter().filter(has).collect()
}

/// Returns the networks of that family as a set; `None` if there are none.
fn of_family(nets: &[Net], family: Family) -> Result<Option<NetSet>> {
    let nets: Vec<_> = nets.iter().filter(|net| net.family() == family).copied().collect();
    set(nets)
}

/// Returns the networks as a set of one family; `None` if there are none.
fn set(nets: Vec<Net>) -> Result<Option<NetSet>> {
    if nets.is_empty() { Ok(None) } else { NetSet::new(nets).map(Some) }
}

/// Fails with `nat.family_mismatch` if `key` names networks of another family than `others`.
fn same_families(nets: &[Net], key: &str, families: &[Family], others: &str) -> Result<()> {
    let strange = nets.iter().find(|net| !families.contains(&net.family()));
    let Some(net) = strange else { return Ok(()) };
    let message = format!("`{key}` names {net}, and {others} no network of its address family");
    Err(NatError::FamilyMismatch.fault(message))
}

/// Parses a masquerade: a part for each family of its networks.
pub fn masquerade(map: &Map) -> Result<Vec<RulesetPart>> {
    let what = "masquerade";
    let given = read(map, what, &rule::MASQUERADE)?;
    let sources = NetSet::by_family(&given.source)?;
    RuleOptions::need(sources.first(), what, "source")?;
    let out = RuleOptions::need(given.out, what, "out")?;
    same_families(&given.except, "except", &families(&given.source), "`source`")?;
    let part = |source: NetSet| {
        let except = of_family(&given.except, source.family())?;
        Ok(RulesetPart::Masquerade(Masquerade { source, out: out.clone(), to: given.to, except }))
    };
    sources.into_iter().map(part).collect()
}

/// Parses a forward.
pub fn forward(map: &Map) -> Result<Vec<RulesetPart>> {
    let what = "forward";
    let mut given = read(map, what, &rule::FORWARD)?;
    let ports = RuleOptions::need(given.ports.take(), what, "ports")?;
    let to = RuleOptions::need(given.to, what, "to")?;
    forwarded(what, given, ports, to)
}

/// Returns ports that are forwarded to the host `to`.
fn forwarded(
    what: &'static str,
    given: RuleOptions,
    ports: Ports,
    to: IpAddr,
) -> Result<Vec<RulesetPart>> {
    Ok(vec![RulesetPart::Forward(Forward {
        what,
        device: given.device,
        protocol: given.protocol.unwrap_or_default(),
        ports,
        to,
        to_port: given.to_port,
        hairpin: given.hairpin,
        from: set(given.from)?,
        except: set(given.except)?,
        source_port: given.server_port_20.then_some(DATA_PORT),
        external: given.external,
    })])
}

/// Returns ports that are open on this host: a part for each family of the networks that may connect.
fn opened(
    what: &'static str,
    given: RuleOptions,
    ports: Option<Ports>,
) -> Result<Vec<RulesetPart>> {
    let part = Open {
        what,
        device: given.device,
        protocol: given.protocol,
        ports,
        from: None,
        source_port: given.server_port_20.then_some(DATA_PORT),
        external: given.external,
    };
    let sets = NetSet::by_family(&given.from)?;
    if sets.is_empty() {
        return Ok(vec![RulesetPart::Open(part)]);
    }
    let of = |from| RulesetPart::Open(Open { from: Some(from), ..part.clone() });
    Ok(sets.into_iter().map(of).collect())
}

/// Parses a rule for packets that may pass: a part for each family of its networks.
pub fn allow(map: &Map) -> Result<Vec<RulesetPart>> {
    let what = "allow";
    let given = read(map, what, &rule::ALLOW)?;
    let RuleOptions { source, targets, except, protocol, ports, .. } = given;
    let device = RuleOptions::need(given.device, what, "in")?;
    let out = RuleOptions::need(given.out, what, "out")?;
    let whole =
        Allow { device, out, source: None, to: None, except: None, protocol, ports, family: None };
    let nets = [source.as_slice(), &targets].concat();
    let mut named = families(&nets);
    if named.is_empty() && except.is_empty() {
        return Ok(vec![RulesetPart::Allow(whole)]);
    }
    if named.is_empty() {
        // Everything but the exceptions, in both families.
        named = vec![Family::V4, Family::V6];
    }
    for (nets, key, others, name) in
        [(&source, "source", &targets, "`to`"), (&targets, "to", &source, "`source`")]
    {
        if !others.is_empty() {
            same_families(nets, key, &families(others), name)?;
        }
    }
    same_families(&except, "except", &named, "the rest of the rule")?;
    let of = |family: Family| {
        let sets = [&source, &targets, &except].map(|nets| of_family(nets, family));
        let [source, to, except] = sets;
        let part = Allow { source: source?, to: to?, except: except?, ..whole.clone() };
        let family = Some(family).filter(|_| part.named_family().is_none());
        Ok(RulesetPart::Allow(Allow { family, ..part }))
    };
    named.into_iter().map(of).collect()
}

/// Parses ports of services of this host.
pub fn accept(map: &Map) -> Result<Vec<RulesetPart>> {
    let mut given = read(map, "accept", &rule::ACCEPT)?;
    let ports = given.ports.take();
    opened(ACCEPT, given, ports)
}

/// Parses an interface with a limit on segments.
pub fn clamp_mss(map: &Map) -> Result<Vec<RulesetPart>> {
    let what = "clamp_mss";
    let given = read(map, what, &rule::CLAMP)?;
    let out = RuleOptions::need(given.out, what, "out")?;
    Ok(vec![RulesetPart::Clamp(Clamp { out })])
}

/// Parses a helper: a part for each family of its servers.
pub fn ftp_helper(map: &Map) -> Result<Vec<RulesetPart>> {
    let given = read(map, "ftp_helper", &rule::HELPER)?;
    let ports = given.ports.map_or_else(|| Ports::parse("21"), Ok)?;
    let device = given.device;
    let part = |server| {
        RulesetPart::Helper(Helper { ports: ports.clone(), device: device.clone(), server })
    };
    let servers = NetSet::by_family(&given.from)?;
    if servers.is_empty() {
        return Ok(vec![part(None)]);
    }
    Ok(servers.into_iter().map(|server| part(Some(server))).collect())
}

/// Parses an active range: forwarded to the client, or opened on this host if it is the client.
pub fn ftp_active(map: &Map) -> Result<Vec<RulesetPart>> {
    let what = "ftp_active";
    active(read(map, what, &rule::ACTIVE)?, what)
}

/// Parses an opening that lasts as long as a closure.
pub fn opening(map: &Map) -> Result<(Vec<RulesetPart>, bool)> {
    let what = "nat::with_open";
    let given = read(map, what, &rule::OPENING)?;
    RuleOptions::need(given.to, what, "to")?;
    let force = given.force;
    active(given, what).map(|parts| (parts, force))
}

fn active(mut given: RuleOptions, what: &str) -> Result<Vec<RulesetPart>> {
    let ports = RuleOptions::need(given.ports.take(), what, "ports")?;
    match given.to {
        Some(to) => forwarded(ACTIVE_RANGE, given, ports, to),
        None => opened(ACTIVE_RANGE, given, Some(ports)),
    }
}

/// Parses a server: forwarded to it, or opened on this host if it is the server.
pub fn ftp_server(map: &Map) -> Result<Vec<RulesetPart>> {
    let mut given = read(map, "ftp_server", &rule::SERVER)?;
    let passive = RuleOptions::need(given.passive.take(), "ftp_server", "passive")?;
    let control = given.control.take().map_or_else(|| Ports::parse("21"), Ok)?;
    let ports = Ports::new([control.ranges(), passive.ranges()].concat())?;
    let what = "ftp server";
    match given.to {
        Some(to) => forwarded(what, given, ports, to),
        None => opened(what, RuleOptions { external: None, ..given }, Some(ports)),
    }
}

/// Parses the options of `apply`; the closure to test with is left to the caller.
pub fn order(map: &Map) -> Result<ApplyOptions> {
    read(map, "apply", &rule::APPLY)
}
