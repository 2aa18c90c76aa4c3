//! The ways of a planned ruleset, tried in a twin: what others drop, with a remedy that was seen to work, and what others
//! lead elsewhere.

use std::collections::BTreeSet;

use super::{
    Twin,
    layout::Layout,
    outcome::{PacketOutcome, PacketVerdict, changes_destination},
    packet::Packet,
    probes::{PathProbe, names_port, probes, strangers, untried},
    trace::TracedRule,
    unavailable,
};
use crate::{
    backend::Backend,
    conflicts::{shortened, warning},
    foreign::{ForeignEffects, Warning, blocked, by_default},
    host::HostNetwork,
    iptables,
    listing::FilterTable,
    remedies::{DropPlace, Remedy, TableOwner, line, remedies},
    tools,
    ways::{ConnectionPath, PathKind},
};
use portolan_core::{error::Result, observe::visible::visible};

/// The maximum number of rules of others that are told; whatever mends these shows the next ones.
const DROPS_MAX: usize = 12;

/// A planned ruleset, and the host on which it is planned.
#[derive(Clone, Copy)]
pub(crate) struct PlanRehearsal<'r> {
    pub(crate) ways: &'r [ConnectionPath],
    pub(crate) here: &'r HostNetwork,
    pub(crate) backend: &'r dyn Backend,
    /// The name of its table.
    pub(crate) table: &'r str,
    /// The text that is loaded.
    pub(crate) body: &'r str,
    /// The tables of all programs.
    pub(crate) everything: &'r [FilterTable],
}

impl PlanRehearsal<'_> {
    /// Tries every way. Fails with `nat.no_twin` where nothing can be tried.
    pub(crate) fn effects(&self) -> Result<ForeignEffects> {
        let rules: Vec<&str> = self
            .everything
            .iter()
            .flat_map(|table| &table.chains)
            .flat_map(|chain| &chain.rules)
            .map(String::as_str)
            .collect();
        let probes = probes(self.ways, self.here, &rules);
        if probes.is_empty() {
            return Ok(ForeignEffects::default());
        }
        let strangers = strangers(self.ways, self.here);
        let mut twin = self.twin(&probes, &strangers)?;
        let before = twin.send(&packets(&probes))?;
        self.load(&twin)?;
        let mut after = twin.send(&packets(&probes))?;
        let mut found = self.conflicts(&probes, &before, &after);
        let mut told: Vec<TracedRule> = Vec::new();
        let (mut done, mut shut): (Vec<String>, Option<Vec<bool>>) = (Vec::new(), None);
        while told.len() < DROPS_MAX {
            let Some(rule) = self.next_drop(&after, &told) else { break };
            let shut: &[bool] = match &shut {
                Some(shut) => shut,
                None => shut.insert(kept_out(&twin, &strangers)?),
            };
            let concerned: BTreeSet<usize> = probes
                .iter()
                .zip(&after)
                .filter(|(_, outcome)| outcome.rule.as_ref() == Some(&rule))
                .map(|(probe, _)| probe.way)
                .collect();
            let place = self.place(&rule, &after);
            let mut commands = Vec::new();
            for way in concerned.iter().filter_map(|at| self.ways.get(*at)) {
                let Some(remedy) = self.working(
                    &mut twin,
                    (&place, way),
                    (&rule, &probes),
                    (&strangers, shut),
                    &mut done,
                )?
                else {
                    continue;
                };
                commands.extend(remedy.shown);
            }
            let does = self.does(&rule, &place, &concerned);
            found.warnings.push(blocked(&place, &does, line(commands)));
            told.push(rule);
            after = twin.send(&packets(&probes))?;
        }
        found.warnings.extend(too_many(&untried(self.ways, self.here, &probes), self.ways.len()));
        Ok(found)
    }

    /// Returns a twin in which only the others' rules are, and every interface forwards: the kernel's own switches are
    /// told apart.
    fn twin(&self, probes: &[PathProbe], strangers: &[Packet]) -> Result<Twin> {
        let layout = Layout::read().ok_or_else(|| unavailable("`ip -j addr` fails"))?;
        let packets = probes.iter().map(|probe| &probe.packet).chain(strangers);
        let devices = packets.filter_map(|packet| packet.device.clone()).collect();
        let mut twin = Twin::of_this_host(layout, &devices)?;
        twin.expected.addresses.extend(probes.iter().map(|probe| probe.expected.ip()));
        twin.expected.ports.extend(probes.iter().map(|probe| probe.expected.port()));
        twin.open()?;
        twin.space.within(|| self.backend.remove(self.table))??;
        Ok(twin)
    }

    fn load(&self, twin: &Twin) -> Result<()> {
        twin.space.within(|| self.backend.load(self.table, self.body))?
    }

    /// Returns the first rule of others that drops a packet and is not told yet.
    fn next_drop(&self, outcomes: &[PacketOutcome], told: &[TracedRule]) -> Option<TracedRule> {
        let dropped = outcomes.iter().filter(|outcome| outcome.verdict == PacketVerdict::Dropped);
        let mut rules = dropped.filter_map(|outcome| outcome.rule.clone());
        rules.find(|rule| !self.is_own(rule) && !told.contains(rule))
    }

    fn is_own(&self, rule: &TracedRule) -> bool {
        rule.table == self.table || iptables::is_chain_of(self.table, &rule.table, &rule.chain)
    }

    /// Returns the first remedy for a way that lets it pass that rule, and lets nothing else in. A remedy that cannot be
    /// tried, since it is a program's own, is taken as it is.
    fn working(
        &self,
        twin: &mut Twin,
        (place, way): (&DropPlace, &ConnectionPath),
        (rule, probes): (&TracedRule, &[PathProbe]),
        (strangers, kept_out): (&[Packet], &[bool]),
        done: &mut Vec<String>,
    ) -> Result<Option<Remedy>> {
        let own: Vec<_> =
            probes.iter().filter(|probe| self.ways.get(probe.way) == Some(way)).cloned().collect();
        for remedy in remedies(place, way) {
            if remedy.tried.is_empty() {
                return Ok(Some(remedy));
            }
            let command = line(remedy.tried.clone());
            let is_run = run(twin, &command)?;
            let passes = is_run
                && twin
                    .send(&packets(&own))?
                    .iter()
                    .all(|outcome| outcome.rule.as_ref() != Some(rule));
            let now = if passes { self::kept_out(twin, strangers)? } else { Vec::new() };
            let is_tight = now.iter().zip(kept_out).all(|(now, before)| *now || !*before);
            if passes && is_tight {
                done.push(command);
                return Ok(Some(remedy));
            }
            // What it has changed is undone in a new twin.
            *twin = self.twin(probes, strangers)?;
            self.load(twin)?;
            for command in done.iter() {
                run(twin, command)?;
            }
        }
        Ok(None)
    }

    /// Returns the place of a rule: the program that maintains it, and its hook.
    fn place(&self, rule: &TracedRule, outcomes: &[PacketOutcome]) -> DropPlace {
        let table = self
            .everything
            .iter()
            .find(|table| table.family == rule.family && table.name == rule.table);
        let outcome = outcomes.iter().find(|outcome| outcome.rule.as_ref() == Some(rule));
        let base = outcome.and_then(|outcome| outcome.base.clone());
        let chain =
            base.as_ref().and_then(|base| table?.chains.iter().find(|chain| chain.name == *base));
        let hook = chain.and_then(|chain| chain.hook.as_ref()).map(|place| place.hook.clone());
        let is_legacy = base.is_none();
        let hook = hook.unwrap_or_else(|| match rule.chain.as_str() {
            "INPUT" | "PREROUTING" | "POSTROUTING" => rule.chain.to_lowercase(),
            _ => "forward".into(),
        });
        let owner = table.filter(|_| !is_legacy).map_or(TableOwner::Iptables, TableOwner::of);
        DropPlace {
            owner,
            family: visible(&rule.family),
            table: visible(&rule.table),
            chain: visible(&rule.chain),
            hook,
            is_legacy,
        }
    }

    /// Returns the words for what a rule does.
    fn does(&self, rule: &TracedRule, place: &DropPlace, concerned: &BTreeSet<usize>) -> String {
        let is_here = place.hook == "input";
        if rule.rule == "policy drop" {
            return by_default(is_here, "policy drop");
        }
        let table = self
            .everything
            .iter()
            .find(|table| table.family == rule.family && table.name == rule.table);
        let chain =
            table.and_then(|table| table.chains.iter().find(|chain| chain.name == rule.chain));
        let is_last = chain.is_some_and(|chain| {
            chain.hook.is_some() && chain.ends_in_a_drop() && chain.rules.last() == Some(&rule.rule)
        });
        if is_last {
            return by_default(is_here, "its last rule");
        }
        let notes: Vec<_> = concerned
            .iter()
            .filter_map(|at| self.ways.get(*at))
            .map(|way| way.note.as_str())
            .collect();
        let first = notes.first().copied().unwrap_or_default();
        let more =
            if notes.len() > 1 { format!(" and {} more", notes.len() - 1) } else { String::new() };
        format!("drops `{first}`{more} by its rule `{}`", visible(&rule.rule))
    }

    /// Returns the rules of others that lead ports of the ruleset elsewhere: before it, or in its place.
    fn conflicts(
        &self,
        probes: &[PathProbe],
        before: &[PacketOutcome],
        after: &[PacketOutcome],
    ) -> ForeignEffects {
        let mut found = ForeignEffects::default();
        let mut open = Vec::new();
        let mut seen: Vec<(TracedRule, usize)> = Vec::new();
        for (probe, (before, after)) in probes.iter().zip(before.iter().zip(after)) {
            let Some(way) = self.ways.get(probe.way).filter(|way| way.kind == PathKind::Forwarded)
            else {
                continue;
            };
            let rival = [before, after].into_iter().find_map(|outcome| self.rival(outcome));
            let Some(rule) = rival.filter(|rule| !seen.contains(&(rule.clone(), probe.way))) else {
                continue;
            };
            let port = probe.packet.to.port();
            let is_ours = after.destination == probe.expected;
            let first = if is_ours { "portolan's" } else { "theirs" };
            let TracedRule { family, table, chain, rule: text } = &rule;
            let text = format!(
                "{} {} {} leads port {port} elsewhere as well ({}): of that rule and `{}` only the one that comes first is \
                 heard of, which is {first}",
                visible(family),
                visible(table),
                visible(chain),
                visible(text),
                way.note
            );
            let list = if names_port(&rule.rule, port) { &mut found.conflicts } else { &mut open };
            list.push(text);
            seen.push((rule, probe.way));
        }
        found.warnings.extend(shortened(open).into_iter().map(warning));
        found.conflicts = shortened(found.conflicts);
        found
    }

    /// Returns the rule of others that translates the destination of a packet.
    fn rival(&self, outcome: &PacketOutcome) -> Option<TracedRule> {
        let mut others = outcome.translated.iter().filter(|rule| !self.is_own(rule));
        others.find(|rule| changes_destination(rule)).cloned()
    }
}

/// Returns the warning for the ways that were not tried, if any.
fn too_many(untried: &[&ConnectionPath], all: usize) -> Option<Warning> {
    let (first, more) = untried.split_first()?;
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    let text = format!(
        "of {all} ways of this ruleset, {} were tried beside the rules of others, some of each kind; not tried: `{}`{more}",
        all - untried.len(),
        first.note
    );
    Some(Warning { about: "sample", text, remedy: String::new() })
}

fn packets(probes: &[PathProbe]) -> Vec<Packet> {
    probes.iter().map(|probe| probe.packet.clone()).collect()
}

/// Returns true for each packet that does not pass.
fn kept_out(twin: &Twin, strangers: &[Packet]) -> Result<Vec<bool>> {
    let outcomes = twin.send(strangers)?;
    Ok(outcomes.iter().map(|outcome| outcome.verdict != PacketVerdict::Passes).collect())
}

/// Runs a command for a shell in the twin; returns true if it succeeds.
fn run(twin: &Twin, command: &str) -> Result<bool> {
    twin.space.within(|| tools::run(&["sh", "-c", command], "").is_ok_and(|ran| ran.ok))
}
