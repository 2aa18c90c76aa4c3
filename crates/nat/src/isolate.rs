//! The rules of an isolated gateway, which drop what nothing allows: pure.

use super::{
    check::{Interface, Ports},
    rules::{CompiledRules, Hook, Maker, Match, Rule, RuleAction, rule},
};

/// The description of the rules that drop.
const REST: &str = "isolate: the rest";

impl Maker<'_> {
    /// Drops forwarded packets that no rule allows, on the interfaces that the ruleset concerns, and packets that belong
    /// to no connection: the kernel does not translate those, so they would leave with their private source.
    pub(super) fn isolate_forward(&mut self, has_helper: bool) {
        let CompiledRules { passing, coming, named, .. } = &self.rules;
        if passing.is_empty() && coming.is_empty() {
            return;
        }
        let all: Vec<_> = passing.union(named).cloned().collect();
        // Neither filter takes a name beside another that stands for it.
        let is_covered = |one: &&Interface| {
            all.iter()
                .any(|other| other != *one && other.covers(one.prefix().unwrap_or(one.as_str())))
        };
        let devices: Vec<_> = all.iter().filter(|one| !is_covered(one)).cloned().collect();
        let has_target =
            self.rules.all.iter().any(|rule| matches!(rule.action, RuleAction::Dnat(_)));
        let mut add = |matches, action, note: &str| {
            self.rules.all.push(rule(Hook::Forward, None, matches, action, note));
        };
        let entering = Match::In(devices.clone());
        add(vec![entering.clone(), Match::Invalid], RuleAction::Drop, "isolate: invalid");
        // The interface of a translated network may be unknown.
        for (source, out) in &self.translated {
            let matches =
                vec![Match::Source(source.clone()), Match::Out(out.clone()), Match::Invalid];
            let family = Some(source.family());
            let drop = rule(Hook::Forward, family, matches, RuleAction::Drop, "isolate: invalid");
            self.rules.all.push(drop);
        }
        let mut add = |matches, action, note: &str| {
            self.rules.all.push(rule(Hook::Forward, None, matches, action, note));
        };
        add(vec![Match::Established], RuleAction::Accept, "isolate: established");
        if has_helper {
            add(vec![Match::FtpData], RuleAction::Accept, "isolate: FTP data");
        }
        add(vec![Match::Related, Match::Icmp], RuleAction::Accept, "isolate: errors");
        if has_target {
            add(vec![Match::Translated, Match::New], RuleAction::Accept, "isolate: forwarded");
        }
        self.allow_before_limits();
        let mut shut = |matches| {
            self.rules.all.push(rule(Hook::Forward, None, matches, RuleAction::Drop, REST));
        };
        shut(vec![entering]);
        // Every interface forwards then: none of the others is a way in.
        if self.rules.is_passing_elsewhere {
            for device in devices {
                shut(vec![Match::Out(device)]);
            }
        }
    }

    /// Adds what is allowed. If an `allow` names less than all traffic between its interfaces, the rest of that traffic is
    /// dropped before a masquerade lets it pass.
    fn allow_before_limits(&mut self) {
        let mut allowed = std::mem::take(&mut self.allowed);
        if !self.limits.is_empty() {
            // Only rules of `allow` match the interface by which packets come in.
            let is_explicit =
                |rule: &Rule| rule.matches.iter().any(|one| matches!(one, Match::In(_)));
            let (explicit, implied): (Vec<_>, Vec<_>) = allowed.into_iter().partition(is_explicit);
            self.rules.all.extend(explicit);
            self.rules.all.append(&mut self.limits);
            allowed = implied;
        }
        self.rules.all.append(&mut allowed);
    }

    /// Drops packets to the host, except for open ports, replies and the SSH ports: an SSH session may be older than
    /// connection tracking, which then does not regard it as established.
    pub(super) fn isolate_input(&mut self, has_helper: bool) {
        if self.opened.is_empty() {
            return;
        }
        let login = self.here.login_ports.iter().map(|port| (*port, *port)).collect();
        let mut add = |matches, action, note: &str| {
            self.rules.all.push(rule(Hook::Input, None, matches, action, note));
        };
        add(vec![Match::Loopback], RuleAction::Accept, "isolate: this machine");
        add(vec![Match::Established], RuleAction::Accept, "isolate: established");
        if has_helper {
            add(vec![Match::FtpData], RuleAction::Accept, "isolate: FTP data");
        }
        if let Ok(login) = Ports::new(login) {
            add(vec![Match::Ports(login)], RuleAction::Accept, "isolate: logins");
        }
        add(vec![Match::Icmp], RuleAction::Accept, "isolate: errors");
        // DHCP asks by multicast, so the kernel does not track the answers as replies; without them the address is
        // lost, and all sessions with it.
        add(vec![Match::Lease], RuleAction::Accept, "isolate: own addresses");
        self.rules.all.append(&mut self.opened);
        let drop: Rule = rule(Hook::Input, None, Vec::new(), RuleAction::Drop, REST);
        self.rules.all.push(drop);
    }
}
