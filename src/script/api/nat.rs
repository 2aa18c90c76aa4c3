//! `nat::ruleset` and the functions of a ruleset.

use rhai::{Array, Dynamic, FnPtr, ImmutableString, Map, NativeCallContext, export_module};

use super::nat_changes::{apply, changing, plan_map, planned, standing};
use crate::{
    error::Result,
    nat::{
        host::HostNetwork,
        model::{self, RulesetPart},
        open::TemporaryRule,
    },
    script::{
        raise::{Raise, RhaiResultOf},
        rules,
        run::ScriptRun,
    },
};

/// Adds the parts that `read` parses from `options`.
fn add(
    ctx: &NativeCallContext<'_>,
    rules: &rules::Ruleset,
    options: &Map,
    read: impl Fn(&Map) -> Result<Vec<RulesetPart>>,
) -> RhaiResultOf<()> {
    let parts = read(options).or_raise(ctx)?;
    let added = rules.change(|model: &mut model::RulesetSpec| {
        parts.into_iter().try_for_each(|part| model.add(part))
    });
    added.or_raise(ctx)
}

fn begin(ctx: &NativeCallContext<'_>, name: &str, options: &Map) -> RhaiResultOf<rules::Ruleset> {
    let run = ScriptRun::of(ctx)?;
    let begun = || -> Result<_> {
        let rules = rules::Ruleset::new(name, rules::backend(options)?)?;
        if let Some(described) = &run.settings.nat.described {
            described.add(&rules)?;
        }
        Ok(rules)
    };
    begun().or_raise(ctx)
}

/// NAT and packet filter rules of this host that let FTP through.
#[export_module]
#[expect(clippy::unwrap_used, reason = "the macro unwraps arguments that the engine has matched")]
pub mod functions {
    /// A table of rules.
    pub type Ruleset = rules::Ruleset;

    /// Creates the ruleset `name`, which has the table `inet portolan_<name>` to itself; nothing is changed until it is
    /// applied. Raises `nat.bad_name`.
    ///
    /// ```rhai
    /// let rules = nat::ruleset("office");
    /// rules.masquerade(#{ source: "192.168.0.0/24", out: "eth1" });
    /// rules.forwarding(true);
    /// print(rules.plan().diff);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn ruleset(ctx: NativeCallContext<'_>, name: &str) -> RhaiResultOf<Ruleset> {
        begin(&ctx, name, &Map::new())
    }

    /// Creates a ruleset with options.
    ///
    /// {options of `nat::ruleset`}
    ///
    /// ```rhai
    /// let rules = nat::ruleset("office", #{ backend: "iptables" });
    /// rules.masquerade(#{ source: "192.168.0.0/24", out: "eth1" });
    /// print(rules.plan().commands);
    /// ```
    #[rhai_fn(name = "ruleset", return_raw, volatile)]
    pub fn ruleset_with(
        ctx: NativeCallContext<'_>,
        name: &str,
        options: Map,
    ) -> RhaiResultOf<Ruleset> {
        begin(&ctx, name, &options)
    }

    /// Applies a ruleset `classic` that masquerades the network `source` on the outgoing interface `out`, and forwards
    /// packets. Returns the result of `apply`.
    ///
    /// ```rhai
    /// nat::masquerade(#{ source: "192.168.0.0/24", out: "eth1" });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn masquerade(ctx: NativeCallContext<'_>, options: Map) -> RhaiResultOf<Map> {
        let rules = begin(&ctx, "classic", &Map::new())?;
        add(&ctx, &rules, &options, rules::masquerade)?;
        rules.change(|model| model.forwarding(true));
        apply(&ctx, &rules, &Map::new())
    }

    /// Opens a range of ports to a host behind this one while `work` runs: the kernel closes it at the end of `work` or
    /// of the program, however that ends. Returns the result of `work`. Needs nft.
    ///
    /// {options of `nat::with_open`}
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org", #{ mode: "active", port_range: "40000-40009" });
    /// nat::with_open(#{ ports: "40000-40009", to: "192.168.0.10" }, || site.get("/a.zip", "a.zip"));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn with_open(
        ctx: NativeCallContext<'_>,
        options: Map,
        work: FnPtr,
    ) -> RhaiResultOf<Dynamic> {
        let run = ScriptRun::of(&ctx)?;
        let opened = || -> Result<Option<TemporaryRule>> {
            let (parts, force) = rules::opening(&options)?;
            if run.is_nat_inert() {
                return Ok(None);
            }
            run.permissions().allow_nat()?;
            TemporaryRule::new(parts, force).map(Some)
        };
        let open = opened().or_raise(&ctx)?;
        if run.settings.nat.described.is_some() {
            return Ok(Dynamic::UNIT);
        }
        let result = work.call_within_context(&ctx, ());
        drop(open);
        result
    }

    /// Returns the network interfaces of this host: maps of `name`, `networks` (the networks behind it), and
    /// `is_default` (true for the interface of the default route).
    ///
    /// ```rhai
    /// for one in nat::interfaces() { print(`${one.name}: ${one.networks}`); }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn interfaces(ctx: NativeCallContext<'_>) -> RhaiResultOf<Array> {
        ScriptRun::of(&ctx)?.permissions().allow_nat_questions().or_raise(&ctx)?;
        let here = HostNetwork::look();
        let map = |name: &String| {
            let nets = here.routes.iter().filter(|(_, device)| device == name);
            let nets: Array = nets.map(|(net, _)| net.to_string().into()).collect();
            let is_default = here.default_device.as_ref() == Some(name);
            let entries: [(&str, Dynamic); 3] = [
                ("name", name.clone().into()),
                ("networks", nets.into()),
                ("is_default", is_default.into()),
            ];
            let map: Map = entries.into_iter().map(|(key, value)| (key.into(), value)).collect();
            Dynamic::from_map(map)
        };
        Ok(here.interfaces.iter().map(map).collect())
    }

    /// The name of the ruleset.
    #[rhai_fn(global, get = "name", pure)]
    pub fn name(rules: &mut Ruleset) -> ImmutableString {
        rules.model().name().into()
    }

    /// Masquerades packets from the network `source` that leave by the interface `out`.
    ///
    /// {options of `masquerade`}
    ///
    /// ```rhai
    /// let rules = nat::ruleset("office");
    /// rules.masquerade(#{ source: "192.168.0.0/24", out: "auto" });
    /// ```
    #[rhai_fn(name = "masquerade", global, return_raw, volatile)]
    pub fn add_masquerade(
        ctx: NativeCallContext<'_>,
        rules: &mut Ruleset,
        options: Map,
    ) -> RhaiResultOf<()> {
        add(&ctx, rules, &options, rules::masquerade)
    }

    /// Forwards connections to `ports` of this host to the host `to`. Of two forwards of one port the narrower one
    /// comes first; otherwise the second raises `nat.conflict`.
    ///
    /// {options of `forward`}
    ///
    /// ```rhai
    /// let rules = nat::ruleset("office");
    /// rules.forward(#{ in: "eth1", ports: [80, 443], to: "10.0.0.5", hairpin: "10.0.0.0/24" });
    /// rules.forward(#{ in: "eth1", ports: 2222, to: "10.0.0.5", to_port: 22, from: ["203.0.113.0/24"] });
    /// rules.forward(#{ in: "eth1", ports: 51820, protocol: "udp", to: "10.0.0.6" });
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn forward(
        ctx: NativeCallContext<'_>,
        rules: &mut Ruleset,
        options: Map,
    ) -> RhaiResultOf<()> {
        add(&ctx, rules, &options, rules::forward)
    }

    /// Allows packets from the interface `in` to the interface `out`, if the ruleset is isolated. With `to` and `ports`
    /// it is a pinhole for a server with an IPv6 address of its own, or a limit: of the packets between its interfaces
    /// that a `masquerade` would let out, only those that it names pass.
    ///
    /// {options of `allow`}
    ///
    /// ```rhai
    /// let rules = nat::ruleset("office");
    /// rules.allow(#{ in: "eth0", out: "eth1", except: "10.0.0.0/8" });
    /// rules.allow(#{ in: "eth1", out: "eth0", to: "2001:db8::5", ports: [21, "50000-50009"] });
    /// rules.isolate(true);
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn allow(
        ctx: NativeCallContext<'_>,
        rules: &mut Ruleset,
        options: Map,
    ) -> RhaiResultOf<()> {
        add(&ctx, rules, &options, rules::allow)
    }

    /// Accepts connections to services of this host, if the ruleset is isolated: without it, an isolated ruleset that
    /// opens ports of this host drops those to all others, from inside as well. Needs one of `ports`, `in` and `from`.
    ///
    /// {options of `accept`}
    ///
    /// ```rhai
    /// let rules = nat::ruleset("office");
    /// rules.ftp_server(#{ passive: "50000-50009" });
    /// rules.accept(#{ ports: 53, protocol: "both", in: "eth0" });
    /// rules.accept(#{ ports: [80, 443], from: ["192.168.0.0/24", "fd00::/64"] });
    /// rules.isolate(true);
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn accept(
        ctx: NativeCallContext<'_>,
        rules: &mut Ruleset,
        options: Map,
    ) -> RhaiResultOf<()> {
        add(&ctx, rules, &options, rules::accept)
    }

    /// Limits the TCP segments of connections through an interface to the size that fits it (MSS clamping). That is
    /// done without this function for the interfaces of `masquerade` and `forward` whose packets are smaller than those
    /// of Ethernet, such as `ppp0`: hosts learn of them by ICMP errors, which many networks drop, and then transfers
    /// hang.
    ///
    /// {options of `clamp_mss`}
    ///
    /// ```rhai
    /// let rules = nat::ruleset("office");
    /// rules.masquerade(#{ source: "192.168.0.0/24", out: "eth1" });
    /// rules.clamp_mss(#{ out: "eth1" });
    /// ```
    #[rhai_fn(name = "clamp_mss", global, return_raw, volatile)]
    pub fn clamp_one(
        ctx: NativeCallContext<'_>,
        rules: &mut Ruleset,
        options: Map,
    ) -> RhaiResultOf<()> {
        add(&ctx, rules, &options, rules::clamp_mss)
    }

    /// Limits the TCP segments of connections through all interfaces of `masquerade` and `forward`, or, with `false`,
    /// through none of them.
    ///
    /// ```rhai
    /// let rules = nat::ruleset("office");
    /// rules.masquerade(#{ source: "192.168.0.0/24", out: "ppp0" });
    /// rules.clamp_mss(false);
    /// ```
    #[rhai_fn(name = "clamp_mss", global, volatile)]
    pub fn clamp_all(rules: &mut Ruleset, on: bool) {
        rules.change(|model| model.clamp_all(on));
    }

    /// Drops packets that arrive on the interfaces of the ruleset unless it allows them, and, if it opens ports of this
    /// host, packets to all other ports of the host except the SSH ports. No other function drops packets; without this
    /// one none are dropped.
    ///
    /// ```rhai
    /// let rules = nat::ruleset("office");
    /// rules.ftp_server(#{ passive: "50000-50009" });
    /// rules.isolate(true);
    /// ```
    #[rhai_fn(global, volatile)]
    pub fn isolate(rules: &mut Ruleset, on: bool) {
        rules.change(|model| model.isolate(on));
    }

    /// Enables IP forwarding between the interfaces of the ruleset, if it is not enabled already; `revert` restores the
    /// previous settings.
    ///
    /// ```rhai
    /// let rules = nat::ruleset("office");
    /// rules.masquerade(#{ source: "192.168.0.0/24", out: "eth1" });
    /// rules.forwarding(true);
    /// ```
    #[rhai_fn(global, volatile)]
    pub fn forwarding(rules: &mut Ruleset, on: bool) {
        rules.change(|model| model.forwarding(on));
    }

    /// Enables the kernel's FTP helper on the control ports `ports`: it reads plain FTP, and opens and translates the
    /// announced ports. It cannot read TLS. Without `server`, any server to which a client connects may have ports of
    /// that client opened.
    ///
    /// {options of `ftp_helper`}
    ///
    /// ```rhai
    /// let rules = nat::ruleset("office");
    /// rules.ftp_helper(#{ ports: [21, 2121], in: "eth0", server: "203.0.113.20" });
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn ftp_helper(
        ctx: NativeCallContext<'_>,
        rules: &mut Ruleset,
        options: Map,
    ) -> RhaiResultOf<()> {
        add(&ctx, rules, &options, rules::ftp_helper)
    }

    /// Lets data connections of active mode reach the client: `ports` of this host are forwarded to the client `to`, or
    /// opened on this host if `to` is missing and the host is the client: its own sessions in active mode then listen
    /// there, unless they have a `port_range`. It works with TLS as well.
    ///
    /// {options of `ftp_active`}
    ///
    /// ```rhai
    /// let rules = nat::ruleset("office");
    /// rules.ftp_active(#{ ports: "40000-40009", to: "192.168.0.10", server: "203.0.113.20" });
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn ftp_active(
        ctx: NativeCallContext<'_>,
        rules: &mut Ruleset,
        options: Map,
    ) -> RhaiResultOf<()> {
        add(&ctx, rules, &options, rules::ftp_active)
    }

    /// Makes an FTP server reachable: its control ports `control` (21) and its range `passive` are forwarded to the
    /// host `to`, or opened on this host if `to` is missing and the host is the server. It works with TLS as well.
    ///
    /// {options of `ftp_server`}
    ///
    /// ```rhai
    /// let rules = nat::ruleset("office");
    /// rules.ftp_server(#{ passive: "50000-50009", control: 21, to: "10.0.0.5", hairpin: "10.0.0.0/24" });
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn ftp_server(
        ctx: NativeCallContext<'_>,
        rules: &mut Ruleset,
        options: Map,
    ) -> RhaiResultOf<()> {
        add(&ctx, rules, &options, rules::ftp_server)
    }

    /// Returns the changes that `apply` would make; changes nothing, and needs no privileges.
    ///
    /// The map has `changed`, `diff` (of the listing), `add`, `change`, `remove`, `warnings`, `sysctl`, `modules` and
    /// `commands` (arrays), `backend`, `table`, `id`, and `live_readable`: true if the current rules could be read. A
    /// later `apply` of the same ruleset is refused if its plan would differ.
    ///
    /// ```rhai
    /// let rules = nat::ruleset("office");
    /// rules.masquerade(#{ source: "192.168.0.0/24", out: "eth1" });
    /// let plan = rules.plan();
    /// for warning in plan.warnings { log::warn(warning); }
    /// if plan.changed { print(plan.diff); }
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn plan(ctx: NativeCallContext<'_>, rules: &mut Ruleset) -> RhaiResultOf<Map> {
        let run = ScriptRun::of(&ctx)?;
        planned(&run, rules).and_then(|plan| plan_map(&plan)).or_raise(&ctx)
    }

    /// Applies the ruleset atomically: all of it or nothing. Raises `nat.not_allowed`, `nat.not_permitted`,
    /// `nat.would_lock_out`, `nat.changed_since_plan` and others.
    ///
    /// Returns a map of `changed`, `verified`, `trial_until` (a time, or `()`), `id` and `snapshot` (the previous
    /// rules).
    ///
    /// ```rhai
    /// let rules = nat::ruleset("office");
    /// rules.masquerade(#{ source: "192.168.0.0/24", out: "eth1" });
    /// if rules.apply().changed { print("new rules"); }
    /// ```
    #[rhai_fn(name = "apply", global, return_raw, volatile)]
    pub fn apply_plain(ctx: NativeCallContext<'_>, rules: &mut Ruleset) -> RhaiResultOf<Map> {
        apply(&ctx, rules, &Map::new())
    }

    /// Applies the ruleset with options.
    ///
    /// {options of `rules.apply`}
    ///
    /// ```rhai
    /// let rules = nat::ruleset("office");
    /// rules.masquerade(#{ source: "192.168.0.0/24", out: "eth1" });
    /// rules.apply(#{ confirm_within: "60s", persist: true });
    /// ```
    #[rhai_fn(name = "apply", global, return_raw, volatile)]
    pub fn apply_with(
        ctx: NativeCallContext<'_>,
        rules: &mut Ruleset,
        options: Map,
    ) -> RhaiResultOf<Map> {
        apply(&ctx, rules, &options)
    }

    /// Confirms the rules of a trial. Raises `nat.no_trial` if there is none, or it is over.
    ///
    /// ```rhai
    /// nat::ruleset("office").confirm();
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn confirm(ctx: NativeCallContext<'_>, rules: &mut Ruleset) -> RhaiResultOf<()> {
        changing(&ctx, rules, |run, machine, name| {
            machine.confirm(name, &*run.nat_ledger()?, run.context.clock.now())
        })
    }

    /// Rolls back the last change. Raises `nat.no_undo` if there is no record of one.
    ///
    /// ```rhai
    /// nat::ruleset("office").rollback();
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn rollback(ctx: NativeCallContext<'_>, rules: &mut Ruleset) -> RhaiResultOf<()> {
        changing(&ctx, rules, |run, machine, name| {
            machine.rollback(name, &*run.nat_ledger()?, run.context.clock.now())
        })
    }

    /// Removes the ruleset's table, and every setting and file that belongs to it. Translation ends for established
    /// connections as well.
    ///
    /// ```rhai
    /// nat::ruleset("office").revert();
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn revert(ctx: NativeCallContext<'_>, rules: &mut Ruleset) -> RhaiResultOf<()> {
        changing(&ctx, rules, |run, machine, name| {
            machine.revert(name, false, &*run.nat_ledger()?, run.context.clock.now()).map(drop)
        })
    }

    /// Returns the state of the ruleset: "applied", "trial", "drifted" (something else has changed its table, or a kernel
    /// setting or an interface that it needs), "missing" or "foreign" (the table of this name is not portolan's).
    ///
    /// ```rhai
    /// let rules = nat::ruleset("office");
    /// if rules.status() != "applied" { log::warn("the office has no NAT"); }
    /// ```
    #[rhai_fn(global, return_raw, volatile)]
    pub fn status(
        ctx: NativeCallContext<'_>,
        rules: &mut Ruleset,
    ) -> RhaiResultOf<ImmutableString> {
        let run = ScriptRun::of(&ctx)?;
        let looked = || -> Result<ImmutableString> {
            run.permissions().allow_nat_questions()?;
            let (machine, model) = (standing(&run, rules)?, rules.model());
            let record = rules.record(run.settings.nat.ledger.as_deref())?;
            // A ruleset without parts does not specify the expected rules.
            let plan = match model.parts() {
                [] => None,
                _ => Some(machine.compare(&model, record.as_ref())?),
            };
            let now = run.context.clock.now();
            let status = machine.status(model.name(), plan.as_ref(), record.as_ref(), now)?;
            Ok(status.state.as_str().into())
        };
        looked().or_raise(&ctx)
    }
}
