//! The options of rulesets: those of each kind of rule, and those of `apply`.

use std::net::IpAddr;

use crate::{
    error::{Error, Result},
    nat::{
        apply::ApplyOptions,
        check::{self, InterfaceSelector, Net, Ports, Protocol},
        history::check_comment,
        machine::Choice as Backend,
        nets::NetSet,
    },
    option_table::{
        OptionKind::{self, Choice, Duration, EachText, Flag, FlagOrPath, Own, Text},
        OptionRow, OptionTable,
    },
    script::sites::parse_url,
};

/// The options of a rule. Each kind of rule has its own table of them.
#[derive(Debug, Default)]
pub struct RuleOptions {
    pub(super) device: Option<InterfaceSelector>,
    pub(super) out: Option<InterfaceSelector>,
    /// The source networks; any if there are none.
    pub(super) source: Vec<Net>,
    pub(super) to: Option<IpAddr>,
    pub(super) to_port: Option<Ports>,
    /// The destination networks; any if there are none.
    pub(super) targets: Vec<Net>,
    pub(super) except: Vec<Net>,
    pub(super) protocol: Option<Protocol>,
    pub(super) ports: Option<Ports>,
    pub(super) passive: Option<Ports>,
    pub(super) control: Option<Ports>,
    pub(super) hairpin: Option<Net>,
    /// The networks of clients or servers; any if there are none.
    pub(super) from: Vec<Net>,
    pub(super) external: Option<IpAddr>,
    pub(super) server_port_20: bool,
    pub(super) force: bool,
}

impl RuleOptions {
    /// Returns a required value of the function `what`.
    pub(super) fn need<T>(value: Option<T>, what: &str, key: &str) -> Result<T> {
        value.ok_or_else(|| Error::invalid(format!("{what} needs `{key}`")))
    }
}

type RuleRow = OptionRow<RuleOptions>;

const fn table(rows: &'static [RuleRow]) -> OptionTable<RuleOptions> {
    OptionTable { rows, usual: RuleOptions::default }
}

/// The setters that several rows share.
type TextSetter = fn(&mut RuleOptions, &str) -> Result<()>;
const DEVICE: TextSetter = |it, text| keep(&mut it.device, InterfaceSelector::parse(text));
const OUT: TextSetter = |it, text| keep(&mut it.out, InterfaceSelector::parse(text));
const TO: TextSetter = |it, text| keep(&mut it.to, check::address(text));
const HAIRPIN: TextSetter = |it, text| keep_net(&mut it.hairpin, text);
const EXTERNAL: TextSetter = |it, text| keep(&mut it.external, check::address(text));
const PORTS: OptionKind<RuleOptions> =
    OptionKind::Ports(|it, ranges| keep(&mut it.ports, Ports::new(ranges.to_vec())));
const SOURCE: OptionKind<RuleOptions> = EachText(|it, texts| keep_nets(&mut it.source, texts));
const FROM: OptionKind<RuleOptions> = EachText(|it, texts| keep_nets(&mut it.from, texts));
const EXCEPT: OptionKind<RuleOptions> = EachText(|it, texts| keep_nets(&mut it.except, texts));
const PROTOCOL: OptionKind<RuleOptions> = Choice(&[
    ("tcp", |it| it.protocol = Some(Protocol::Tcp)),
    ("udp", |it| it.protocol = Some(Protocol::Udp)),
    ("both", |it| it.protocol = Some(Protocol::Both)),
]);
const PORT_20: OptionKind<RuleOptions> = Flag(|it, on| it.server_port_20 = on);

fn keep<T>(field: &mut Option<T>, value: Result<T>) -> Result<()> {
    *field = Some(value?);
    Ok(())
}

/// Stores a network; "any" is the explicit form of leaving the option out.
fn keep_net(field: &mut Option<Net>, text: &str) -> Result<()> {
    if text == "any" { Ok(()) } else { keep(field, Net::parse(text)) }
}

/// Stores networks, as [`keep_net`] does.
fn keep_nets(field: &mut Vec<Net>, texts: &[String]) -> Result<()> {
    if !matches!(texts, [one] if one == "any") {
        let nets = texts.iter().map(|text| Net::parse(text)).collect::<Result<Vec<_>>>()?;
        // Those of each family are a set, and at least one is not empty.
        if NetSet::by_family(&nets)?.is_empty() {
            NetSet::new(Vec::new())?;
        }
        *field = nets;
    }
    Ok(())
}

/// The options of both `masquerade` functions.
pub const MASQUERADE: OptionTable<RuleOptions> = table(&[
    RuleRow::new(
        "source",
        SOURCE,
        "the network whose packets are masqueraded, or an array of such",
    ),
    RuleRow::new(
        "out",
        Text(OUT),
        "the interface by which they leave; \"auto\" is every one by which the kernel reaches far addresses, \"ppp*\" all \
         whose names begin with ppp",
    ),
    RuleRow::new("to", Text(TO), "the address that they get, in place of the interface's"),
    RuleRow::new(
        "except",
        EXCEPT,
        "the destinations for which they keep their source, such as the networks behind a VPN",
    ),
]);

/// The options of `forward`.
pub const FORWARD: OptionTable<RuleOptions> = table(&[
    RuleRow::new("in", Text(DEVICE), "only connections that arrive on this interface"),
    RuleRow::new("ports", PORTS, "the ports, such as 21, \"50000-50009\" or [80, 443]"),
    RuleRow::new(
        "protocol",
        Choice(&[
            ("tcp", |it| it.protocol = None),
            ("udp", |it| it.protocol = Some(Protocol::Udp)),
            ("both", |it| it.protocol = Some(Protocol::Both)),
        ]),
        "the protocol of the ports",
    )
    .usual("tcp"),
    RuleRow::new("to", Text(TO), "the host to which they are forwarded"),
    RuleRow::new(
        "to_port",
        OptionKind::Ports(|it, ranges| keep(&mut it.to_port, Ports::new(ranges.to_vec()))),
        "the port of that host, or as many as `ports`, in order; without it, the same ports",
    ),
    RuleRow::new(
        "hairpin",
        Text(HAIRPIN),
        "the network from which the external address must work as well",
    ),
    RuleRow::new(
        "from",
        FROM,
        "only connections from this network, or from those of an array; \"any\" is any source",
    ),
    RuleRow::new("except", EXCEPT, "the addresses of this host for which it does not apply"),
    RuleRow::new(
        "external",
        Text(EXTERNAL),
        "only connections to this address of the host; without it, to any",
    ),
]);

/// The options of `allow`.
pub const ALLOW: OptionTable<RuleOptions> = table(&[
    RuleRow::new("in", Text(DEVICE), "the interface by which the packets arrive"),
    RuleRow::new("out", Text(OUT), "the interface by which they leave"),
    RuleRow::new("source", SOURCE, "only packets from this network, or from those of an array"),
    RuleRow::new(
        "to",
        EachText(|it, texts| keep_nets(&mut it.targets, texts)),
        "only packets to this host or network, or to those of an array",
    ),
    RuleRow::new("except", EXCEPT, "no packets to this network, or to those of an array"),
    RuleRow::new("ports", PORTS, "only packets to these ports"),
    RuleRow::new("protocol", PROTOCOL, "only this protocol; with `ports` TCP without it"),
]);

/// The options of `accept`.
pub const ACCEPT: OptionTable<RuleOptions> = table(&[
    RuleRow::new("ports", PORTS, "the ports of this host; without it, all"),
    RuleRow::new("protocol", PROTOCOL, "only this protocol; with `ports` TCP without it"),
    RuleRow::new("in", Text(DEVICE), "only connections that arrive on this interface"),
    RuleRow::new("from", FROM, "only connections from this network, or from those of an array"),
]);

/// The options of `clamp_mss`.
pub const CLAMP: OptionTable<RuleOptions> =
    table(&[RuleRow::new("out", Text(OUT), "the interface whose packets are small")]);

/// The options of `ftp_helper`.
pub const HELPER: OptionTable<RuleOptions> = table(&[
    RuleRow::new("ports", PORTS, "the control ports, 21 without it"),
    RuleRow::new(
        "in",
        Text(DEVICE),
        "for connections of other hosts: only those that arrive on this interface",
    ),
    RuleRow::new(
        "server",
        FROM,
        "only for connections to this server, or to those of an array, by the addresses to which clients connect",
    ),
]);

/// The options of `ftp_active`.
pub const ACTIVE: OptionTable<RuleOptions> = table(&[
    RuleRow::new("ports", PORTS, "the ports to which servers connect"),
    RuleRow::new(
        "to",
        Text(TO),
        "the client to which they are forwarded; without it they are opened on this host",
    ),
    RuleRow::new("server", FROM, "only from this server, or from those of an array"),
    RuleRow::new("server_port_20", PORT_20, "only from the server's port 20").usual("false"),
    RuleRow::new("in", Text(DEVICE), "only packets that arrive on this interface"),
    RuleRow::new(
        "external",
        Text(EXTERNAL),
        "only packets for this address; without `to`, the address that sessions of this host announce",
    ),
]);

/// The options of `ftp_server`.
pub const SERVER: OptionTable<RuleOptions> = table(&[
    RuleRow::new(
        "passive",
        OptionKind::Ports(|it, ranges| keep(&mut it.passive, Ports::new(ranges.to_vec()))),
        "the range of the server's passive ports",
    ),
    RuleRow::new(
        "control",
        OptionKind::Ports(|it, ranges| keep(&mut it.control, Ports::new(ranges.to_vec()))),
        "the server's control ports, 21 without it",
    ),
    RuleRow::new(
        "to",
        Text(TO),
        "the server to which they are forwarded; without it they are opened on this host",
    ),
    RuleRow::new("in", Text(DEVICE), "as for `forward`"),
    RuleRow::new("hairpin", Text(HAIRPIN), "as for `forward`"),
    RuleRow::new("from", FROM, "only from this network, or from those of an array"),
    RuleRow::new("external", Text(EXTERNAL), "as for `forward`"),
]);

/// The options of `nat::with_open`.
pub const OPENING: OptionTable<RuleOptions> = table(&[
    RuleRow::new("ports", PORTS, "the ports to open"),
    RuleRow::new("to", Text(TO), "the host to which they are forwarded"),
    RuleRow::new("server", FROM, "only from this server, or from those of an array"),
    RuleRow::new("server_port_20", PORT_20, "only from the server's port 20").usual("false"),
    RuleRow::new("in", Text(DEVICE), "only packets that arrive on this interface"),
    RuleRow::new("external", Text(EXTERNAL), "only packets for this address"),
    RuleRow::new(
        "force",
        Flag(|it, on| it.force = on),
        "also if the ports belong to a service of this host",
    )
    .usual("false"),
]);

/// The options of `nat::ruleset`.
pub const RULESET: OptionTable<Backend> = OptionTable {
    rows: &[OptionRow::<Backend>::new(
        "backend",
        Choice(&[
            ("auto", |it| *it = Backend::Auto),
            ("nft", |it| *it = Backend::Nft),
            ("iptables", |it| *it = Backend::Iptables),
        ]),
        "the packet filter for its rules; \"auto\" is the one that has them already, otherwise nft if it works, \
         otherwise iptables, with chains of its own, `PORTOLAN_<name>_…`",
    )
    .usual("auto")],
    usual: Backend::default,
};

/// The options of a ruleset's `apply`.
pub const APPLY: OptionTable<ApplyOptions> = OptionTable {
    rows: &[
        OptionRow::<ApplyOptions>::new(
            "confirm_within",
            Duration(|it, time| it.confirm_within = Some(time)),
            "on trial; the kernel itself removes the rules after this time, unless `confirm` is called",
        ),
        OptionRow::<ApplyOptions>::new(
            "persist",
            FlagOrPath(
                |it, on| it.persist = on.then(|| "/".into()),
                |it, folder| it.persist = Some(folder.into()),
            ),
            "also after a reboot, once confirmed; a string is the folder below which its files are written, in place \
             of `/`",
        )
        .usual("false"),
        OptionRow::<ApplyOptions>::new(
            "test",
            Own,
            "a closure that is called during the trial (of 60 s, unless `confirm_within` is given); if it raises an \
             error or returns `false` the old rules are restored, otherwise the new ones are confirmed",
        ),
        OptionRow::<ApplyOptions>::new(
            "probe",
            Text(|it, text| {
                parse_url(text)?;
                it.probe = Some(text.to_owned());
                Ok(())
            }),
            "the URL of an FTP server with which sessions are held during the trial (of 60 s, unless `confirm_within` is \
             given), from an inside address of this host, in passive and active mode, plain and under TLS; if a mode fails \
             that the rules should let through, the old rules are restored, otherwise the new ones are confirmed",
        ),
        OptionRow::<ApplyOptions>::new(
            "force",
            Flag(|it, on| it.force = on),
            "also if it may cut off connections to this host",
        )
        .usual("false"),
        OptionRow::<ApplyOptions>::new(
            "absent_ok",
            Flag(|it, on| it.absent_ok = on),
            "also with interfaces that do not exist yet",
        )
        .usual("false"),
        OptionRow::<ApplyOptions>::new(
            "comment",
            Text(|it, text| {
                check_comment(text)?;
                it.comment = Some(text.to_owned());
                Ok(())
            }),
            "the reason, for `portolan nat log`",
        ),
    ],
    usual: ApplyOptions::default,
};
