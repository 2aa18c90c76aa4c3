//! Parts of one ruleset that hide each other: pure. Of two rules for one packet the first one takes effect.

use std::net::IpAddr;

use super::{
    NatError,
    check::{Family, InterfaceSelector, Net, Ports, Protocol},
    host::HostNetwork,
    model::{Forward, Masquerade, Open, RulesetPart},
    nets::NetSet,
};
use portolan_core::error::Result;

/// Fails with `nat.conflict` if one of the `earlier` parts leaves `part` without effect, fully or for some ports or
/// networks, or the other way round.
pub(super) fn check(earlier: &[RulesetPart], part: &RulesetPart) -> Result<()> {
    match earlier.iter().find_map(|one| refusal(one, part)) {
        None => Ok(()),
        Some(message) => Err(NatError::Conflict.fault(message)),
    }
}

/// Does the same for all `parts` on this host, if it depends on the host which interfaces they name.
pub(super) fn check_here(parts: &[RulesetPart], here: &HostNetwork) -> Result<()> {
    let is_named = |part: &RulesetPart| !matches!(selector(part), Some(InterfaceSelector::Auto));
    if parts.iter().all(is_named) {
        return Ok(());
    }
    let mut earlier: Vec<RulesetPart> = Vec::new();
    for part in parts {
        let all = on_each(part, here)?;
        all.iter().try_for_each(|part| check(&earlier, part))?;
        earlier.extend(all);
    }
    Ok(())
}

/// Returns the interface that decides whether a part and another meet.
const fn selector(part: &RulesetPart) -> Option<&InterfaceSelector> {
    match part {
        RulesetPart::Masquerade(part) => Some(&part.out),
        RulesetPart::Forward(part) => part.device.as_ref(),
        RulesetPart::Open(part) => part.device.as_ref(),
        RulesetPart::Allow(_) | RulesetPart::Helper(_) | RulesetPart::Clamp(_) => None,
    }
}

/// Returns the part on each interface that its selector stands for.
fn on_each(part: &RulesetPart, here: &HostNetwork) -> Result<Vec<RulesetPart>> {
    let Some(found) = selector(part) else { return Ok(vec![part.clone()]) };
    let devices = match part {
        RulesetPart::Masquerade(part) => {
            here.resolve(found, Some(part.source.family()), part.source.nets().first().copied())
        }
        RulesetPart::Forward(part) => here.resolve(found, Some(Family::of(part.to)), None),
        _ => here.resolve(found, None, None),
    };
    let named = |device| {
        let mut part = part.clone();
        let device = InterfaceSelector::Named(device);
        match &mut part {
            RulesetPart::Masquerade(part) => part.out = device,
            RulesetPart::Forward(part) => part.device = Some(device),
            RulesetPart::Open(part) => part.device = Some(device),
            _ => {}
        }
        part
    };
    Ok(devices?.into_iter().map(named).collect())
}

/// Returns a message for each pair of parts of which one is without effect where the other applies, though both may be
/// meant.
pub(super) fn messages(parts: &[RulesetPart]) -> Vec<String> {
    let pairs = parts.iter().enumerate().flat_map(|(at, part)| {
        parts.iter().take(at).filter_map(move |earlier| message(earlier, part))
    });
    pairs.collect()
}

fn refusal(earlier: &RulesetPart, later: &RulesetPart) -> Option<String> {
    match (earlier, later) {
        (RulesetPart::Masquerade(first), RulesetPart::Masquerade(second)) => {
            let net = hidden(first, second).filter(|_| first.to != second.to)?;
            Some(format!(
                "`{first}` comes first and takes {net}, so `{second}` would never apply to it: put the narrower one first, \
                 or name networks that do not overlap"
            ))
        }
        (RulesetPart::Forward(first), RulesetPart::Forward(second)) => {
            let (one, two) = (Scope::of(first), Scope::of(second));
            let port = one.meets(&two).filter(|_| !one.is_narrower(&two))?;
            let advice = if two.is_narrower(&one) {
                "put the narrower one first"
            } else {
                "leave one out, or part them by `in`, `from` or `external`"
            };
            Some(format!(
                "port {port} is forwarded twice: `{first}` comes before `{second}`: {advice}"
            ))
        }
        (RulesetPart::Forward(forward), RulesetPart::Open(open))
        | (RulesetPart::Open(open), RulesetPart::Forward(forward)) => {
            let (one, two) = (Scope::of(forward), Scope::of_open(open)?);
            let port = one.meets(&two).filter(|_| !one.is_narrower(&two))?;
            Some(format!(
                "port {port} is led away by `{forward}` before `{open}` could open it on this host: leave one out, or part \
                 them by `in`, `from` or `external`"
            ))
        }
        _ => None,
    }
}

fn message(earlier: &RulesetPart, later: &RulesetPart) -> Option<String> {
    match (earlier, later) {
        (RulesetPart::Masquerade(first), RulesetPart::Masquerade(second)) => {
            let all = first.source.covers(&second.source) && hidden(first, second).is_some();
            all.then(|| format!("`{second}` has no effect: `{first}` comes first and covers it"))
        }
        (RulesetPart::Forward(forward), RulesetPart::Open(open))
        | (RulesetPart::Open(open), RulesetPart::Forward(forward)) => {
            let (one, two) = (Scope::of(forward), Scope::of_open(open)?);
            let port = one.meets(&two)?;
            Some(format!(
                "port {port} of `{open}` does not reach this host where `{forward}` applies: the forward comes first"
            ))
        }
        _ => None,
    }
}

/// Returns a network of the second masquerade to which the first one applies as well.
fn hidden(first: &Masquerade, second: &Masquerade) -> Option<Net> {
    // Packets to an exception of the first go on to the second.
    if !is_in(&second.out, &first.out) || first.except.is_some() {
        return None;
    }
    second.source.nets().iter().copied().find(|net| first.source.covers(&(*net).into()))
}

/// The connections to which a part applies.
struct Scope<'p> {
    device: Option<&'p InterfaceSelector>,
    family: Option<Family>,
    protocol: Protocol,
    ports: &'p Ports,
    from: Option<&'p NetSet>,
    except: Option<&'p NetSet>,
    source_port: Option<u16>,
    external: Option<IpAddr>,
}

impl<'p> Scope<'p> {
    fn of(part: &'p Forward) -> Self {
        Self {
            // With hairpin, connections by other interfaces are forwarded as well.
            device: part.device.as_ref().filter(|_| part.hairpin.is_none()),
            family: Some(Family::of(part.to)),
            protocol: part.protocol,
            ports: &part.ports,
            from: part.from.as_ref(),
            except: part.except.as_ref(),
            source_port: part.source_port,
            external: part.external,
        }
    }

    /// Returns the scope of open ports; `None` if all are open, which no forward is meant to contradict.
    fn of_open(part: &'p Open) -> Option<Self> {
        Some(Self {
            device: part.device.as_ref(),
            family: part.from.as_ref().map(NetSet::family),
            protocol: part.protocol.unwrap_or_default(),
            ports: part.ports.as_ref()?,
            from: part.from.as_ref(),
            except: None,
            source_port: part.source_port,
            // The external address of such a part is announced, not matched.
            external: None,
        })
    }

    /// Returns the first port of a connection to which both apply.
    fn meets(&self, other: &Self) -> Option<u16> {
        let port = self.ports.shared(other.ports)?;
        let is_shared =
            both(self.device, other.device, |one, two| is_in(one, two) || is_in(two, one))
                && both(self.family, other.family, |one, two| one == two)
                && both(self.external, other.external, |one, two| one == two)
                && both(self.source_port, other.source_port, |one, two| one == two)
                && both(self.from, other.from, |one, two| one.shared(two).is_some())
                && self.protocol.meets(other.protocol);
        is_shared.then_some(port)
    }

    /// Returns true if this is a special case of the other, apart from the ports: it comes first on purpose.
    fn is_narrower(&self, other: &Self) -> bool {
        let parts = [
            within(self.device, other.device, is_in),
            within(self.external, other.external, |one, two| one == two),
            within(self.source_port, other.source_port, |one, two| one == two),
            within(self.from, other.from, |one, two| two.covers(one)),
            // More exceptions make a part narrower.
            within(self.except, other.except, NetSet::covers),
        ];
        let is_stricter = |part: &Option<bool>| *part == Some(true);
        parts.iter().all(Option::is_some) && parts.iter().any(is_stricter)
    }
}

/// Returns true if the second selector stands for every interface of the first.
fn is_in(one: &InterfaceSelector, other: &InterfaceSelector) -> bool {
    match (one, other) {
        (InterfaceSelector::Named(one), InterfaceSelector::Named(other)) => {
            one == other || other.covers(one.prefix().unwrap_or(one.as_str()))
        }
        _ => one == other,
    }
}

/// Returns true if both conditions can hold at once; a missing one always holds.
fn both<T: Copy>(one: Option<T>, two: Option<T>, meet: impl Fn(T, T) -> bool) -> bool {
    match (one, two) {
        (Some(one), Some(two)) => meet(one, two),
        _ => true,
    }
}

/// Compares two conditions: `None` if the first is not within the second, and otherwise true if it is stricter.
fn within<T: Copy + PartialEq>(
    one: Option<T>,
    two: Option<T>,
    is_in: impl Fn(T, T) -> bool,
) -> Option<bool> {
    match (one, two) {
        (None, None) => Some(false),
        (Some(_), None) => Some(true),
        (None, Some(_)) => None,
        (Some(one), Some(two)) => is_in(one, two).then(|| one != two),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        RulesetSpec,
        tests::{device, forward, masquerade, nets, open},
    };

    /// Adds both parts; returns the refusal, or the messages.
    fn judged(first: RulesetPart, second: RulesetPart) -> Result<Vec<String>> {
        let mut rules = RulesetSpec::new("x")?;
        rules.add(first)?;
        rules.add(second)?;
        Ok(messages(rules.parts()))
    }

    #[track_caller]
    fn refused(first: &RulesetPart, second: &RulesetPart) {
        let fault = judged(first.clone(), second.clone()).unwrap_err();
        assert_eq!(fault.name, Some("nat.conflict"), "{first} {second}");
        for part in [first, second] {
            assert!(fault.message.contains(&format!("`{part}`")), "{fault}");
        }
    }

    #[track_caller]
    fn fine(first: &RulesetPart, second: &RulesetPart) {
        assert_eq!(judged(first.clone(), second.clone()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_masquerade_hides_a_narrower_one_after_it() {
        let to = |source: &str, to: &str| {
            let to = to.parse().ok();
            RulesetPart::Masquerade(Masquerade { to, ..masquerade(source, "wan0") })
        };
        let (wide, narrow) = (to("10.0.0.0/8", ""), to("10.1.0.0/16", "203.0.113.9"));
        refused(&wide, &narrow);
        refused(&to("10.0.0.0/8", "203.0.113.9"), &to("10.1.0.0/16 192.168.0.0/16", ""));
        refused(&to("10.1.0.0/16", "203.0.113.8"), &narrow);
        fine(&narrow, &wide);
        let elsewhere = RulesetPart::Masquerade(Masquerade {
            to: "203.0.113.9".parse().ok(),
            ..masquerade("10.1.0.0/16", "wan1")
        });
        fine(&wide, &elsewhere);
        let except = Some(nets("172.16.0.0/12"));
        let part = Masquerade { except, ..masquerade("10.0.0.0/8", "wan0") };
        fine(&RulesetPart::Masquerade(part), &narrow);
        let told = judged(wide, to("10.1.0.0/16", "")).unwrap();
        assert_eq!(
            told,
            [
                "`masquerade 10.1.0.0/16 -> wan0` has no effect: `masquerade 10.0.0.0/8 -> wan0` comes first and covers it"
            ]
        );
    }

    #[test]
    fn a_forward_hides_a_narrower_one_after_it() {
        let from = |from: &str, to: &str| {
            let from = (!from.is_empty()).then(|| nets(from));
            RulesetPart::Forward(Forward { from, ..forward("21", to) })
        };
        let (all, net, host) = (
            from("", "10.0.0.5"),
            from("203.0.113.0/24", "10.0.0.6"),
            from("203.0.113.9", "10.0.0.7"),
        );
        refused(&net, &host);
        refused(&all, &host);
        refused(&all, &net);
        fine(&host, &net);
        fine(&net, &all);
        fine(&net, &from("198.51.100.0/24", "10.0.0.8"));
        let with = |change: fn(&mut Forward)| {
            let mut part = forward("20-22", "10.0.0.9");
            change(&mut part);
            RulesetPart::Forward(part)
        };
        fine(&all, &with(|part| part.protocol = Protocol::Udp));
        refused(&all, &with(|part| part.protocol = Protocol::Both));
        // With hairpin it comes in by any interface.
        let hairpin = with(|part| part.hairpin = Some(Net::parse("10.0.0.0/24").unwrap()));
        refused(&hairpin, &all);
        fine(&all, &hairpin);
        let external = with(|part| part.external = "203.0.113.2".parse().ok());
        refused(&all, &external);
        fine(&external, &all);
        let except = with(|part| part.except = Some(nets("203.0.113.2")));
        fine(&except, &all);
        refused(&all, &except);
    }

    #[test]
    fn a_port_is_not_both_opened_here_and_led_away() {
        let own = RulesetPart::Open(open("ftp server", "21,50000-50009"));
        let anywhere = Forward { device: None, ..forward("50005", "10.0.0.5") };
        refused(&own, &RulesetPart::Forward(anywhere.clone()));
        refused(&RulesetPart::Forward(anywhere), &own);
        let told = judged(own.clone(), RulesetPart::Forward(forward("21", "10.0.0.5"))).unwrap();
        let [told] = told.as_slice() else { panic!("{told:?}") };
        assert!(told.contains("`forward 21 -> 10.0.0.5 from wan0` applies"), "{told}");
        fine(&own, &RulesetPart::Forward(forward("22", "10.0.0.5")));
        let udp = Open { protocol: Some(Protocol::Udp), ..open("accept", "21") };
        fine(&RulesetPart::Open(udp), &RulesetPart::Forward(forward("21", "10.0.0.5")));
        let inside = Open { device: Some(device("lan0")), ..open("accept", "21") };
        fine(&RulesetPart::Open(inside), &RulesetPart::Forward(forward("21", "10.0.0.5")));
        let all = Open { ports: None, device: Some(device("wan0")), ..open("accept", "1") };
        fine(&RulesetPart::Open(all), &RulesetPart::Forward(forward("21", "10.0.0.5")));
        let same = Open { device: Some(device("wan0")), ..open("accept", "21") };
        refused(&RulesetPart::Open(same), &RulesetPart::Forward(forward("21", "10.0.0.5")));
    }
}
