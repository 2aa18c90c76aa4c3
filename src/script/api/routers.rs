//! `nat::map_ports` and the functions about the NAT between a session and its server.

use std::{
    net::{IpAddr, Ipv4Addr, TcpListener},
    time::Duration,
};

use rhai::{Dynamic, ImmutableString, Map, NativeCallContext, export_module};

use crate::{
    error::Result,
    limits::{LEASE_TIME_MAX, LEASE_TIME_MIN, MAPPED_PORTS_MAX},
    nat::{
        NatError,
        address::why_unreachable,
        detect::{SessionFacts, Situation},
        gateway::Gateway,
        portmap::{self, Mapped, MappingRequest, Via},
        suggest::software::ServerSoftware,
    },
    option_table::{OptionKind, OptionRow, OptionTable},
    script::{
        api::suggest::wanted,
        options::read,
        raise::{Raise, RhaiResultOf},
        remote::Remote,
        run::ScriptRun,
    },
};

/// The time for the router to say its address: one that answers takes milliseconds.
const ROUTER_TIME_MAX: Duration = Duration::from_secs(2);

/// The options of `nat::map_ports`.
#[derive(Debug, Default)]
pub struct MapPortsOptions {
    ports: Vec<u16>,
    lease: Option<Duration>,
    via: Option<Via>,
}

/// Every option of `nat::map_ports`.
pub(in crate::script) const MAP_PORTS: OptionTable<MapPortsOptions> =
    OptionTable { rows: MAP_PORTS_ROWS, usual: MapPortsOptions::default };

const MAP_PORTS_ROWS: &[OptionRow<MapPortsOptions>] = &[
    OptionRow::<MapPortsOptions>::new(
        "ports",
        OptionKind::Ports(|it, ranges| {
            // One more port than can be mapped is enough to be refused.
            let each = ranges.iter().flat_map(|(first, last)| *first..=*last);
            it.ports = each.take(MAPPED_PORTS_MAX + 1).collect();
            MappingRequest::new(it.ports.clone(), None, None).map(drop)
        }),
        "such as \"40000-40003\", 40000 or [40000, 40001]; one for each parallel transfer, 32 at most",
    ),
    OptionRow::<MapPortsOptions>::new(
        "lease",
        OptionKind::DurationIn(LEASE_TIME_MIN..=LEASE_TIME_MAX, |it, time| it.lease = Some(time)),
        "the requested lifetime of the mappings, an hour without it; they are renewed after half of it, and deleted \
         when the script ends",
    ),
    OptionRow::<MapPortsOptions>::new(
        "via",
        OptionKind::Choice(&[
            ("auto", |it| it.via = None),
            ("pcp", |it| it.via = Some(Via::Pcp)),
            ("nat-pmp", |it| it.via = Some(Via::NatPmp)),
            ("upnp", |it| it.via = Some(Via::Upnp)),
        ]),
        "the protocol, if only that one is to be tried",
    )
    .usual("auto"),
];

fn wish(options: &Map) -> Result<MappingRequest> {
    let given = read(options, "nat::map_ports", &MAP_PORTS)?;
    if given.ports.is_empty() {
        let message = "`ports` is missing: such as \"40000-40003\", 40000 or [40000, 40001]";
        return Err(NatError::BadRange.fault(message));
    }
    MappingRequest::new(given.ports, given.lease, given.via)
}

/// Fails if the user has not allowed NAT changes and a port is privileged or in use: a script may expose only ports on
/// which it listens itself.
fn check_free(wish: &MappingRequest, run: &ScriptRun) -> Result<()> {
    if run.permissions().has_nat() {
        return Ok(());
    }
    for port in wish.ports() {
        let is_free = *port >= 1024 && TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok();
        if !is_free {
            let message = format!(
                "port {port} is not free here: mapping it would open a service of this machine to the Internet, which a \
                 script may do with `--allow-nat` only"
            );
            return Err(NatError::NotAllowed.fault(message));
        }
    }
    Ok(())
}

fn mapped_value(mapped: &Mapped) -> Map {
    let mut map = Map::new();
    let outside = mapped.leases.iter().map(|lease| i64::from(lease.external).into());
    map.insert("ports".into(), Dynamic::from_array(outside.collect()));
    let pair = |lease: &portmap::Lease| {
        let mut pair = Map::new();
        pair.insert("internal".into(), i64::from(lease.internal).into());
        pair.insert("external".into(), i64::from(lease.external).into());
        Dynamic::from_map(pair)
    };
    map.insert("pairs".into(), Dynamic::from_array(mapped.leases.iter().map(pair).collect()));
    if let Some(lease) = mapped.leases.first() {
        map.insert("via".into(), lease.via.as_str().into());
        map.insert("external".into(), lease.address.to_string().into());
        map.insert("gateway".into(), lease.router.to_string().into());
        let seconds = lease.time.map(|time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
        map.insert("lease".into(), seconds.map_or(Dynamic::UNIT, Dynamic::from_int));
    }
    map
}

fn situation_value(facts: &SessionFacts, found: Situation) -> Map {
    let text = |address: Option<IpAddr>| {
        address.map_or(Dynamic::UNIT, |address| address.to_string().into())
    };
    let mut map = Map::new();
    map.insert("client_nat".into(), found.client_nat.into());
    map.insert("server_nat".into(), found.server_nat.into());
    map.insert("cgnat".into(), found.cgnat.into());
    map.insert("local".into(), text(Some(facts.ours)));
    map.insert("seen_as".into(), text(facts.seen_as));
    map.insert("server".into(), text(Some(facts.server)));
    map.insert("server_says".into(), text(facts.server_says));
    map.insert("gateway".into(), text(facts.gateway.map(IpAddr::from)));
    map.insert("router_outside".into(), text(facts.router_outside.map(IpAddr::from)));
    map.insert("balancer".into(), found.balancer.into());
    map.insert("mode".into(), found.mode.into());
    map.insert("advice".into(), found.advice.into());
    map
}

/// Home routers, and the NAT between client and server.
#[export_module]
#[expect(clippy::unwrap_used, reason = "the macro unwraps arguments that the engine has matched")]
pub mod functions {
    /// A session with one server.
    pub type Session = Remote;

    /// Requests port mappings for `ports` to this host from the home router, until the script ends.
    ///
    /// {options of `nat::map_ports`}
    ///
    /// The map has `via`, `external` (the router's external address), `ports` (external), `pairs` (of `internal` and
    /// `external`), `gateway` and `lease` (seconds; `()` if the router has no lifetimes). Sessions in active mode use
    /// the ports automatically. It needs no privileges, and `--allow-nat` only for ports below 1024 or on which another
    /// program listens.
    ///
    /// Raises `nat.no_gateway`, `nat.no_mapping` (the router supports none of the three protocols),
    /// `nat.mapping_refused`, `nat.double_nat` (the router itself is behind NAT), `nat.bad_range` and
    /// `nat.not_allowed`.
    ///
    /// ```rhai
    /// let way = nat::map_ports(#{ ports: "40000-40003", lease: "30m" });
    /// print(`${way.external} by ${way.via}`);
    /// let site = ftp::connect("ftp://ftp.example.org", #{ mode: "active", port_range: "40000-40003" });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn map_ports(ctx: NativeCallContext<'_>, options: Map) -> RhaiResultOf<Map> {
        let run = ScriptRun::of(&ctx)?;
        let asked = || -> Result<Mapped> {
            let wish = wish(&options)?;
            run.permissions().allow_nat_questions()?;
            if run.is_nat_inert() {
                return Ok(Mapped::rehearsed(&wish));
            }
            check_free(&wish, &run)?;
            let stop = run.context.stop.clone();
            run.wait(async { stop.run_until_cancelled(Box::pin(run.leases.map(&wish))).await? })
        };
        asked().map(|mapped| mapped_value(&mapped)).or_raise(&ctx)
    }

    /// Returns the external address of the home router, as it reports it by NAT-PMP or `UPnP`; nothing is mapped.
    ///
    /// Raises `nat.no_gateway`, `nat.no_mapping` if the router does not report it, and `nat.double_nat` if the address
    /// is private.
    ///
    /// ```rhai
    /// print(nat::external_address());
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn external_address(ctx: NativeCallContext<'_>) -> RhaiResultOf<ImmutableString> {
        let run = ScriptRun::of(&ctx)?;
        let asked = || -> Result<Ipv4Addr> {
            run.permissions().allow_nat_questions()?;
            if run.is_nat_inert() {
                return Ok(Ipv4Addr::LOCALHOST);
            }
            let gateway = Gateway::find()?;
            let stop = run.context.stop.clone();
            run.wait(async {
                stop.run_until_cancelled(Box::pin(portmap::external_address(&gateway))).await?
            })
        };
        asked().map(|address| address.to_string().into()).or_raise(&ctx)
    }

    /// Detects the NAT between this host and the server of a session, from the addresses that both sides report.
    ///
    /// The map has `client_nat`, `server_nat` and `cgnat` (true or false), `local` (the local address), `seen_as` (the
    /// same as the server sees it, or `()`), `server`, `server_says` (the address in its reply to PASV, or `()`),
    /// `gateway` (the local router, or `()`), `router_outside` (the address that the router says it has outside, or `()`;
    /// another one than `seen_as` tells of a carrier's NAT behind it), `balancer` (true if a load balancer or proxy is
    /// before the server), `mode` (the one with the fewest requirements) and `advice` (instructions
    /// in sentences).
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// let found = nat::detect(site);
    /// if found.client_nat { print(found.advice); }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn detect(ctx: NativeCallContext<'_>, site: &mut Session) -> RhaiResultOf<Map> {
        let found = site.with(&ctx, async |session, run| {
            run.permissions().allow_nat_questions()?;
            session.addresses().await
        })?;
        let run = ScriptRun::of(&ctx)?;
        let gateway = Gateway::find().ok();
        // Only a home router in front of a private address is asked.
        let is_home =
            why_unreachable(found.ours).is_some() && why_unreachable(found.server).is_none();
        let router_outside = match &gateway {
            Some(gateway) if is_home && !run.is_nat_inert() => {
                let stop = run.context.stop.clone();
                let asked = run.wait(async {
                    let asked = Box::pin(portmap::outside_of(gateway));
                    stop.run_until_cancelled(tokio::time::timeout(ROUTER_TIME_MAX, asked)).await
                });
                asked.or_raise(&ctx)?.ok().flatten()
            }
            _ => None,
        };
        let facts = SessionFacts {
            ours: found.ours,
            server: found.server,
            seen_as: found.seen_as,
            server_says: found.server_says,
            is_encrypted: found.is_encrypted,
            gateway: gateway.map(|gateway| gateway.address),
            router_outside,
            software: ServerSoftware::of(&found.software),
        };
        let situation = facts.situation();
        Ok(situation_value(&facts, situation))
    }

    /// Returns packet filter rules, router or cloud settings, or server settings that let FTP through, as text to copy;
    /// nothing is changed.
    ///
    /// They open the control port and a limited range, which the server has to be set to: the formats "vsftpd",
    /// "proftpd", "pure-ftpd", "filezilla" and "iis" have those settings. Rules of packet filters are inserted before
    /// others. For this host (always with `side: "client"`, and with `side: "server"` if it listens on `control`) the
    /// chains are named in which nft has to let them in.
    ///
    /// {options of `nat::suggest`}
    ///
    /// ```rhai
    /// print(nat::suggest(#{ side: "client", mode: "active", format: "ufw", from: "203.0.113.20" }));
    /// print(nat::suggest(#{ side: "server", format: "openwrt", to: "192.168.1.5" }));
    /// print(nat::suggest(#{ side: "server", format: "aws", from: "198.51.100.0/24" }));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn suggest(ctx: NativeCallContext<'_>, options: Map) -> RhaiResultOf<ImmutableString> {
        // For this host it names chains of the packet filter.
        ScriptRun::of(&ctx)?.permissions().allow_nat_questions().or_raise(&ctx)?;
        wanted(&options).and_then(|wanted| wanted.text()).map(Into::into).or_raise(&ctx)
    }
}
