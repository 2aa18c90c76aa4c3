//! Tests of the model of a ruleset.

use super::*;
use crate::check::Interface;

pub(crate) fn device(name: &str) -> InterfaceSelector {
    InterfaceSelector::Named(Interface::parse(name).unwrap())
}

pub(crate) fn forward(ports: &str, to: &str) -> Forward {
    Forward {
        what: "forward",
        device: Some(device("wan0")),
        protocol: Protocol::Tcp,
        ports: Ports::parse(ports).unwrap(),
        to: to.parse().unwrap(),
        to_port: None,
        hairpin: None,
        from: None,
        except: None,
        source_port: None,
        external: None,
    }
}

pub(crate) fn nets(text: &str) -> NetSet {
    NetSet::new(text.split(' ').map(|net| Net::parse(net).unwrap()).collect()).unwrap()
}

pub(crate) fn masquerade(source: &str, out: &str) -> Masquerade {
    Masquerade { source: nets(source), out: device(out), to: None, except: None }
}

pub(crate) fn allow(device_in: &str, out: &str) -> Allow {
    let (device, out) = (device(device_in), device(out));
    let (source, to, except) = (None, None, None);
    Allow { device, out, source, to, except, protocol: None, ports: None, family: None }
}

pub(crate) fn open(what: &'static str, ports: &str) -> Open {
    let ports = Some(Ports::parse(ports).unwrap());
    let (from, source_port, external) = (None, None, None);
    Open { what, device: None, protocol: None, ports, from, source_port, external }
}

#[test]
fn a_name_is_one_word() {
    for name in ["office", "a", "Gate-2_b", "0"] {
        assert!(RulesetSpec::new(name).is_ok(), "{name}");
    }
    for name in ["", "-a", "_a", "a b", "a;", "a\"", "a{", "ä", "a\n", "a/b", &"x".repeat(33)] {
        assert_eq!(RulesetSpec::new(name).unwrap_err().name, Some("nat.bad_name"), "{name:?}");
    }
}

#[test]
fn one_port_goes_one_way() {
    let mut rules = RulesetSpec::new("x").unwrap();
    let first = forward("21,50000-50009", "10.0.0.5");
    rules.add(RulesetPart::Forward(first.clone())).unwrap();
    // An identical part is not added again.
    rules.add(RulesetPart::Forward(first)).unwrap();
    assert_eq!(rules.parts().len(), 1);
    let fault = rules.add(RulesetPart::Forward(forward("50009", "10.0.0.6"))).unwrap_err();
    assert_eq!(fault.name, Some("nat.conflict"));
    assert!(fault.message.starts_with("port 50009 is forwarded twice"), "{fault}");
    rules.add(RulesetPart::Forward(forward("50010", "10.0.0.6"))).unwrap();
    let elsewhere = Forward { device: Some(device("wan1")), ..forward("21", "10.0.0.6") };
    rules.add(RulesetPart::Forward(elsewhere)).unwrap();
    rules.add(RulesetPart::Forward(forward("21", "fd00::5"))).unwrap();
    assert_eq!(rules.parts().len(), 4);
}

#[test]
fn one_rule_is_of_one_family() {
    let mut rules = RulesetSpec::new("x").unwrap();
    let out = InterfaceSelector::Auto;
    let mixed = Masquerade { out, to: "fd00::1".parse().ok(), ..masquerade("10.0.0.0/8", "x") };
    let six = Some(nets("fd00::/8"));
    let away = Masquerade { except: six.clone(), ..masquerade("10.0.0.0/8", "x") };
    let pinhole = Allow { source: Some(nets("10.0.0.0/8")), to: six.clone(), ..allow("a", "b") };
    let plain = forward("21", "10.0.0.5");
    for part in [
        RulesetPart::Masquerade(mixed),
        RulesetPart::Masquerade(away),
        RulesetPart::Allow(pinhole),
        RulesetPart::Forward(Forward { from: six.clone(), ..plain.clone() }),
        RulesetPart::Forward(Forward { except: six, ..plain.clone() }),
        RulesetPart::Forward(Forward { hairpin: Net::parse("fd00::/8").ok(), ..plain.clone() }),
        RulesetPart::Forward(Forward { external: "fd00::1".parse().ok(), ..plain }),
    ] {
        assert_eq!(rules.add(part).unwrap_err().name, Some("nat.family_mismatch"));
    }
    assert!(rules.parts().is_empty());
}

#[test]
fn nothing_is_led_to_loopback_or_away_from_it() {
    let mut rules = RulesetSpec::new("x").unwrap();
    let own = forward("21", "127.0.0.2");
    let external = "127.0.0.1".parse().ok();
    let away = Forward { external, ..forward("21", "10.0.0.5") };
    for part in [own, away, forward("21", "::1")] {
        let fault = rules.add(RulesetPart::Forward(part)).unwrap_err();
        assert_eq!(fault.name, Some("nat.bad_cidr"), "{fault}");
    }
    assert!(rules.parts().is_empty());
}

#[test]
fn ports_are_led_to_one_or_to_as_many() {
    let to_port = |text: &str| Ports::parse(text).ok();
    let mut rules = RulesetSpec::new("x").unwrap();
    for (ports, to) in [("80", "8080"), ("88,443", "8080"), ("8000-8009", "9000-9009")] {
        let part = Forward { to_port: to_port(to), ..forward(ports, "10.0.0.5") };
        rules.add(RulesetPart::Forward(part)).unwrap();
    }
    for (ports, to) in [("81", "80-81"), ("90-99", "80-81"), ("20000-40000", "10001-30001")] {
        let part = Forward { to_port: to_port(to), ..forward(ports, "10.0.0.5") };
        let fault = rules.add(RulesetPart::Forward(part)).unwrap_err();
        assert_eq!(fault.name, Some("nat.bad_range"), "{ports} {to}");
    }
}

#[test]
fn the_host_is_never_opened_to_all() {
    let mut rules = RulesetSpec::new("x").unwrap();
    let all = Open { ports: None, ..open("accept", "1") };
    assert!(rules.add(RulesetPart::Open(all.clone())).is_err());
    rules.add(RulesetPart::Open(Open { device: Some(device("lan0")), ..all })).unwrap();
}
