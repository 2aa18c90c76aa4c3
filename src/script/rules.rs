//! The ruleset that a script holds, and the parsing of its parts from maps.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhai::{Dynamic, Map};

use super::{options, value::CallOptions};
use crate::{
    error::{Error, Result},
    nat::{
        NatError,
        apply::ApplyOptions,
        check::{self, InterfaceSelector, Net, Ports},
        machine::{Choice, NatHost},
        model::{
            self, ACTIVE_RANGE, Allow, DATA_PORT, Forward, Helper, Masquerade, Open, RulesetPart,
        },
        plan::RulesetPlan,
        portmap::LeaseJournal,
        ruleset_store::{RulesetRecord, RulesetStore},
    },
};

/// The NAT permissions of a script, and the records of its changes.
#[derive(Debug, Clone, Default)]
pub struct NatSettings {
    /// True if the user allows it to change rules (`--allow-nat`).
    pub is_allowed: bool,
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
    /// The options with which the script wants it applied.
    order: ApplyOptions,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ruleset {
    /// Creates an empty ruleset for the filter `backend`.
    pub fn new(name: &str, backend: Choice) -> Result<Self> {
        let model = model::RulesetSpec::new(name)?;
        let inner = Inner { model, backend, seen: None, order: ApplyOptions::default() };
        Ok(Self(Arc::new(Mutex::new(inner))))
    }

    /// Returns the current rules.
    pub fn model(&self) -> model::RulesetSpec {
        lock(&self.0).model.clone()
    }

    /// Returns the options with which the script wants it applied.
    pub fn order(&self) -> ApplyOptions {
        lock(&self.0).order.clone()
    }

    /// Stores the options with which the script wants it applied.
    pub fn ordered(&self, order: ApplyOptions) {
        lock(&self.0).order = order;
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

/// Returns a required string.
fn wanted(options: &CallOptions<'_>, key: &str, what: &str) -> Result<String> {
    let wrong = || Error::invalid(format!("{what} needs `{key}`"));
    options.text(key)?.ok_or_else(wrong)
}

fn device(options: &CallOptions<'_>, key: &str) -> Result<Option<InterfaceSelector>> {
    options.text(key)?.map(|text| InterfaceSelector::parse(&text)).transpose()
}

fn net(options: &CallOptions<'_>, key: &str) -> Result<Option<Net>> {
    // "any" is the explicit form of leaving the option out.
    let text = options.text(key)?.filter(|text| text != "any");
    text.map(|text| Net::parse(&text)).transpose()
}

fn address(options: &CallOptions<'_>, key: &str) -> Result<Option<std::net::IpAddr>> {
    options.text(key)?.map(|text| check::address(&text)).transpose()
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

fn wanted_ports(options: &CallOptions<'_>, key: &str, what: &str) -> Result<Ports> {
    ports(options, key)?.ok_or_else(|| Error::invalid(format!("{what} needs `{key}`")))
}

/// Parses the packet filter of a ruleset.
pub fn backend(map: &Map) -> Result<Choice> {
    let options = CallOptions::new(map, "nat::ruleset", options::NAT_RULESET)?;
    let words = Choice::ALL.map(|choice| (choice.word(), choice));
    Ok(options.choice("backend", &words)?.unwrap_or_default())
}

/// Parses a masquerade.
pub fn masquerade(map: &Map) -> Result<Vec<RulesetPart>> {
    let options = CallOptions::new(map, "masquerade", options::NAT_MASQUERADE)?;
    let source = Net::parse(&wanted(&options, "source", "masquerade")?)?;
    let out = InterfaceSelector::parse(&wanted(&options, "out", "masquerade")?)?;
    Ok(vec![RulesetPart::Masquerade(Masquerade { source, out, to: address(&options, "to")? })])
}

/// Parses a forward.
pub fn forward(map: &Map) -> Result<Vec<RulesetPart>> {
    let options = CallOptions::new(map, "forward", options::NAT_FORWARD)?;
    let part = Forward {
        what: "forward",
        device: device(&options, "in")?,
        ports: wanted_ports(&options, "ports", "forward")?,
        to: check::address(&wanted(&options, "to", "forward")?)?,
        hairpin: net(&options, "hairpin")?,
        from: net(&options, "from")?,
        source_port: None,
        external: address(&options, "external")?,
    };
    Ok(vec![RulesetPart::Forward(part)])
}

/// Parses a rule for packets that may pass.
pub fn allow(map: &Map) -> Result<Vec<RulesetPart>> {
    let options = CallOptions::new(map, "allow", options::NAT_ALLOW)?;
    let part = Allow {
        device: InterfaceSelector::parse(&wanted(&options, "in", "allow")?)?,
        out: InterfaceSelector::parse(&wanted(&options, "out", "allow")?)?,
        source: net(&options, "source")?,
    };
    Ok(vec![RulesetPart::Allow(part)])
}

/// Parses a helper.
pub fn ftp_helper(map: &Map) -> Result<Vec<RulesetPart>> {
    let options = CallOptions::new(map, "ftp_helper", options::NAT_HELPER)?;
    let ports = match ports(&options, "ports")? {
        Some(ports) => ports,
        None => Ports::parse("21")?,
    };
    Ok(vec![RulesetPart::Helper(Helper { ports, device: device(&options, "in")? })])
}

/// Parses an active range: forwarded to the client, or opened on this host if it is the client.
pub fn ftp_active(map: &Map) -> Result<Vec<RulesetPart>> {
    let options = CallOptions::new(map, "ftp_active", options::NAT_ACTIVE)?;
    active(&options, "ftp_active")
}

/// Parses an opening that lasts as long as a closure.
pub fn opening(map: &Map) -> Result<(RulesetPart, bool)> {
    let options = CallOptions::new(map, "nat::with_open", options::NAT_OPEN)?;
    wanted(&options, "to", "nat::with_open")?;
    let force = options.flag("force")?.unwrap_or(false);
    let part = active(&options, "nat::with_open")?.pop();
    part.map(|part| (part, force)).ok_or_else(|| Error::invalid("there is nothing to open"))
}

fn active(options: &CallOptions<'_>, what: &str) -> Result<Vec<RulesetPart>> {
    let ports = wanted_ports(options, "ports", what)?;
    let from = net(options, "server")?;
    let device = device(options, "in")?;
    let is_fixed = options.flag("server_port_20")?.unwrap_or(false);
    let source_port = is_fixed.then_some(DATA_PORT);
    let what = ACTIVE_RANGE;
    let external = address(options, "external")?;
    Ok(vec![match address(options, "to")? {
        Some(to) => {
            let hairpin = None;
            RulesetPart::Forward(Forward {
                what,
                device,
                ports,
                to,
                hairpin,
                from,
                source_port,
                external,
            })
        }
        None => RulesetPart::Open(Open { what, device, ports, from, source_port, external }),
    }])
}

/// Parses a server: forwarded to it, or opened on this host if it is the server.
pub fn ftp_server(map: &Map) -> Result<Vec<RulesetPart>> {
    let options = CallOptions::new(map, "ftp_server", options::NAT_SERVER)?;
    let control = ports(&options, "control")?.map_or_else(|| Ports::parse("21"), Ok)?;
    let passive = wanted_ports(&options, "passive", "ftp_server")?;
    let ports = Ports::new([control.ranges(), passive.ranges()].concat())?;
    let (device, from) = (device(&options, "in")?, net(&options, "from")?);
    let what = "ftp server";
    Ok(vec![match address(&options, "to")? {
        Some(to) => RulesetPart::Forward(Forward {
            what,
            device,
            ports,
            to,
            hairpin: net(&options, "hairpin")?,
            from,
            source_port: None,
            external: address(&options, "external")?,
        }),
        None => {
            RulesetPart::Open(Open { what, device, ports, from, source_port: None, external: None })
        }
    }])
}

/// Parses the options of `apply`; the closure to test with is left to the caller.
pub fn order(map: &Map) -> Result<ApplyOptions> {
    let options = CallOptions::new(map, "apply", options::NAT_APPLY)?;
    let persist = match options.get("persist").map(Dynamic::as_bool) {
        None | Some(Ok(false)) => None,
        Some(Ok(true)) => Some("/".into()),
        Some(Err(_)) => options.path("persist")?,
    };
    Ok(ApplyOptions {
        confirm_within: options.duration("confirm_within")?,
        persist,
        force: options.flag("force")?.unwrap_or(false),
        absent_ok: options.flag("absent_ok")?.unwrap_or(false),
        plan_id: None,
    })
}

/// Returns `map` with defaults for missing required keys, to check the values that are present.
fn filled(map: &Map, needed: &[(&str, &str)]) -> Map {
    let mut full: Map = needed.iter().map(|(key, text)| ((*key).into(), (*text).into())).collect();
    full.extend(map.clone());
    full
}

pub(super) fn probe_backend(map: &Map) -> Result<()> {
    backend(map).map(drop)
}

/// Parses the options of both `masquerade` functions, and discards them.
pub(super) fn probe_masquerade(map: &Map) -> Result<()> {
    masquerade(&filled(map, &[("source", "10.0.0.0/8"), ("out", "auto")])).map(drop)
}

pub(super) fn probe_forward(map: &Map) -> Result<()> {
    forward(&filled(map, &[("ports", "21"), ("to", "10.0.0.1")])).map(drop)
}

pub(super) fn probe_allow(map: &Map) -> Result<()> {
    allow(&filled(map, &[("in", "auto"), ("out", "auto")])).map(drop)
}

pub(super) fn probe_helper(map: &Map) -> Result<()> {
    ftp_helper(map).map(drop)
}

pub(super) fn probe_active(map: &Map) -> Result<()> {
    ftp_active(&filled(map, &[("ports", "40000-40009")])).map(drop)
}

pub(super) fn probe_server(map: &Map) -> Result<()> {
    // A control port outside of any passive range.
    ftp_server(&filled(map, &[("passive", "1"), ("control", "2")])).map(drop)
}

pub(super) fn probe_opening(map: &Map) -> Result<()> {
    opening(&filled(map, &[("ports", "40000-40009"), ("to", "10.0.0.1")])).map(drop)
}

pub(super) fn probe_order(map: &Map) -> Result<()> {
    order(map).map(drop)
}
