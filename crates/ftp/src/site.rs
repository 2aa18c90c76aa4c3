//! The settings of a connection: everything a user may specify about one server.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};
use strum::{EnumString, IntoStaticStr};

pub use portolan_core::limits::PARALLEL_AUTO;
pub use portolan_remote::transfer::InPlace;

use super::{
    mask::Mask,
    path::RemotePath,
    proxy::{FORMS as PROXY_FORMS, Proxy},
    secret::Secret,
};
use portolan_core::{
    encoding::from_hex,
    error::{Error, Result},
    limits::{
        CONNECT_TIMEOUT, DATA_TIMEOUT, PARALLEL_MAX, REPLY_TIMEOUT, RETRY_WAIT, RETRY_WAIT_MAX,
    },
    option_table::{
        OptionKind::{
            Address, Choice, CountOrAuto, Duration as Time, DurationIn, Flag, FlagOrAuto, Rate,
            Secret as Hidden, Size, Text,
        },
        OptionRow, OptionTable,
    },
};

/// The minimum rate of a transfer in bytes per second: the slowest links in use (GSM, satellites) carry ten times as
/// much, and an occasional byte that keeps a connection alive is less.
const MIN_RATE: u64 = 100;

/// The silence after which a control connection is probed: NAT boxes forget one after a minute at the earliest.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(30);

/// The longest such time: Linux accepts 32,767 seconds.
const KEEPALIVE_MAX: Duration = Duration::from_hours(9);

/// The protection of the control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum TlsMode {
    /// None.
    Off,
    /// AUTH TLS on the ordinary port (RFC 4217).
    Explicit,
    /// TLS from the first byte, on port 990.
    Implicit,
}

impl TlsMode {
    /// Returns the word that scripts use.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The side that opens the data connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum Mode {
    /// The mode that worked last, else passive.
    Auto,
    /// The server.
    Active,
    /// The client.
    Passive,
    /// The mode that delivers first if nothing is known of the server yet, else as `Auto`.
    Race,
}

impl Mode {
    /// Returns the word that scripts use.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The certificates that are trusted.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// A PEM file of authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The same as text, for the embedded test server of a rehearsal.
    pub ca_pem: Option<String>,
    /// The client certificate, PEM.
    pub client_cert: Option<PathBuf>,
    /// Its key, PEM.
    pub client_key: Option<PathBuf>,
    /// The SHA-256 of the only certificate to trust.
    pub pin: Option<[u8; 32]>,
    /// True to trust any certificate; warned about in every run.
    pub insecure: bool,
    /// True to speak TLS 1.2 only.
    pub tls12_only: bool,
}

/// A server with all settings for reaching it.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its name or address, as the user wrote it.
    pub host: String,
    /// Its control port.
    pub port: u16,
    /// The login name.
    pub user: String,
    /// The password.
    pub password: Option<Secret>,
    /// The account, for servers that ask for one (332).
    pub account: Option<Secret>,
    /// The directory to enter after the login; `None` for the login directory.
    pub folder: Option<RemotePath>,
    /// The protection of the control connection.
    pub tls: TlsMode,
    /// The trusted certificates.
    pub trust: Trust,
    /// The side that opens data connections.
    pub mode: Mode,
    /// True if the other mode may be tried when this one fails.
    pub fallback: bool,
    /// The ports to listen on in active mode.
    pub port_range: Option<RangeInclusive<u16>>,
    /// The address to announce in active mode, if it is not the local one.
    pub external_address: Option<IpAddr>,
    /// True if a router between the local host and the server may be asked to let data connections in.
    pub map_ports: bool,
    /// The address to connect from.
    pub source_address: Option<IpAddr>,
    /// The proxy for all connections.
    pub proxy: Option<Proxy>,
    /// The time limit for making a connection.
    pub connect_timeout: Duration,
    /// The time limit without a byte on a data connection.
    pub data_timeout: Duration,
    /// The time limit for a reply.
    pub reply_timeout: Duration,
    /// The silence on the control connection after which TCP probes it; `None` for no probes.
    pub keepalive: Option<Duration>,
    /// The maximum wait before the first retry after a temporary error.
    pub retry_wait: Duration,
    /// True if names on the server are Latin-1 instead of UTF-8.
    pub latin1: bool,
    /// The command that lists a directory, in place of MLSD or LIST.
    pub list_command: Option<String>,
    /// The number of sessions that a mirror may use, or [`PARALLEL_AUTO`].
    pub parallel: u16,
    /// The rate limit in bytes per second to and from this host, for all sessions of a run together.
    pub rate_limit: Option<u64>,
    /// The minimum rate of a transfer over some minutes in bytes per second; 0 is no limit.
    pub min_rate: u64,
    /// The rule for uploading directly to final names.
    pub in_place: InPlace,
    /// The address of the host to connect to, if one is chosen.
    pub address: Option<SocketAddr>,
    /// The address of the host that answered last, to be tried first.
    pub last_address: Option<IpAddr>,
    /// The address to connect to in place of the host: the embedded test server of a rehearsal.
    pub detour: Option<SocketAddr>,
}

impl Site {
    /// Returns the name that its certificate must have.
    pub fn certified_name(&self) -> &str {
        if self.detour.is_some() { "localhost" } else { &self.host }
    }

    /// Fails with `invalid` if two settings contradict each other.
    pub fn check(&self) -> Result<()> {
        if self.proxy.is_some() && self.mode == Mode::Active && !self.fallback {
            let message = "a `proxy` cannot carry mode \"active\", and `fallback` is false";
            return Err(Error::invalid(message));
        }
        Ok(())
    }

    /// Returns the mask for the replies to its login.
    pub(super) fn login_mask(&self) -> Mask {
        let proxy = self.proxy.iter().filter_map(Proxy::password);
        Mask::at_login(&self.user, self.password.as_ref(), self.account.iter().chain(proxy))
    }

    /// Changes the protection; the port follows it if it is a default port.
    fn set_tls(&mut self, tls: TlsMode) {
        match (tls, self.port) {
            (TlsMode::Implicit, 21) => self.port = 990,
            (TlsMode::Off | TlsMode::Explicit, 990) => self.port = 21,
            _ => {}
        }
        self.tls = tls;
    }

    /// Returns the mode to try first, and whether the other may be tried after it. Through a proxy no server can
    /// connect to us.
    pub(super) fn modes(&self) -> (Mode, bool) {
        if self.proxy.is_some() { (Mode::Passive, false) } else { (self.mode, self.fallback) }
    }

    /// Returns the server `host` with default settings: anonymous, plain, `auto`.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: 21,
            user: "anonymous".into(),
            password: None,
            account: None,
            folder: None,
            tls: TlsMode::Off,
            trust: Trust::default(),
            mode: Mode::Auto,
            fallback: true,
            port_range: None,
            external_address: None,
            map_ports: false,
            source_address: None,
            proxy: None,
            connect_timeout: CONNECT_TIMEOUT,
            data_timeout: DATA_TIMEOUT,
            reply_timeout: REPLY_TIMEOUT,
            keepalive: Some(KEEPALIVE),
            retry_wait: RETRY_WAIT,
            latin1: false,
            list_command: None,
            parallel: 1,
            min_rate: MIN_RATE,
            in_place: InPlace::Auto,
            rate_limit: None,
            address: None,
            last_address: None,
            detour: None,
        }
    }
}

/// Every option of `ftp::connect`.
pub const OPTIONS: OptionTable<Site> = OptionTable { rows: ROWS, usual: || Site::new("") };

type SiteRow = OptionRow<Site>;

/// The message for a password or an account of another type.
const SECRET: &str = "a string or a secret()";

const ROWS: &[SiteRow] = &[
    SiteRow::new(
        "user",
        Text(|site, name| {
            name.clone_into(&mut site.user);
            Ok(())
        }),
        "the login name, in place of the URL's",
    ),
    SiteRow::new(
        "password",
        Hidden(SECRET, |site, text| store(&mut site.password, Secret::new(text))),
        "the password, in place of the URL's; `secret(\"NAME\")` returns one",
    ),
    SiteRow::new(
        "account",
        Hidden(SECRET, |site, text| store(&mut site.account, Secret::new(text))),
        "the account, for servers that ask for one; `secret(\"NAME\")` returns one",
    ),
    SiteRow::new(
        "mode",
        Choice(&[
            ("auto", |site| site.mode = Mode::Auto),
            ("active", |site| site.mode = Mode::Active),
            ("passive", |site| site.mode = Mode::Passive),
            ("race", |site| site.mode = Mode::Race),
        ]),
        "the side that opens data connections; \"auto\" is the mode that worked last, otherwise passive",
    )
    .usual("auto"),
    SiteRow::new("fallback", Flag(|site, on| site.fallback = on), "try the other mode")
        .usual("true"),
    SiteRow::new(
        "port_range",
        Text(|site, text| store(&mut site.port_range, port_range(text)?)),
        "the ports to listen on in active mode, such as \"50000-50010\". Without it and `external_address`, a ruleset \
         of this host that opens a range (`ftp_active` without `to`) provides both",
    ),
    SiteRow::new(
        "external_address",
        Address(|site, address| site.external_address = Some(address)),
        "the address to announce in active mode",
    ),
    SiteRow::new(
        "map_ports",
        Choice(&[("auto", |site| site.map_ports = true), ("off", |site| site.map_ports = false)]),
        "\"auto\" requests the ports from the home router, when active mode is tried from a private address with an \
         outside server; without `port_range` any free ports are used. If a mapping fails, this is logged, and the \
         session continues without it",
    )
    .usual("off"),
    SiteRow::new(
        "source_address",
        Address(|site, address| site.source_address = Some(address)),
        "the local address to connect from",
    ),
    SiteRow::new(
        "tls",
        Choice(&[
            ("off", |site| site.set_tls(TlsMode::Off)),
            ("explicit", |site| site.set_tls(TlsMode::Explicit)),
            ("implicit", |site| site.set_tls(TlsMode::Implicit)),
        ]),
        "the protection of the connection, in place of the URL's",
    ),
    SiteRow::new(
        "ca_file",
        Text(|site, path| store(&mut site.trust.ca_file, path.into())),
        "a PEM file of CAs to trust besides the system's",
    ),
    SiteRow::new(
        "client_cert",
        Text(|site, path| store(&mut site.trust.client_cert, path.into())),
        "a PEM file with the client's own certificate",
    ),
    SiteRow::new(
        "client_key",
        Text(|site, path| store(&mut site.trust.client_key, path.into())),
        "a PEM file with its key",
    ),
    SiteRow::new(
        "pin",
        Text(|site, text| store(&mut site.trust.pin, pin(text)?)),
        "the SHA-256 of the only certificate to trust",
    ),
    SiteRow::new(
        "insecure",
        Flag(|site, on| site.trust.insecure = on),
        "trust any certificate; warned about in every run",
    )
    .usual("false"),
    SiteRow::new(
        "connect_timeout",
        Time(|site, time| site.connect_timeout = time),
        "the time limit for making a connection",
    )
    .usual("15s"),
    SiteRow::new(
        "data_timeout",
        Time(|site, time| site.data_timeout = time),
        "the time limit without a byte on a data connection",
    )
    .usual("60s"),
    SiteRow::new(
        "reply_timeout",
        Time(|site, time| site.reply_timeout = time),
        "the time limit for a reply",
    )
    .usual("30s"),
    SiteRow::new(
        "keepalive",
        DurationIn(Duration::ZERO..=KEEPALIVE_MAX, |site, time| {
            site.keepalive = Some(time).filter(|time| time.as_secs() > 0);
        }),
        "the silence on the control connection after which TCP probes it, so that NAT boxes and firewalls do not \
         forget it during a long transfer; 0 turns this off",
    )
    .usual("30s"),
    SiteRow::new(
        "retry_wait",
        DurationIn(Duration::ZERO..=RETRY_WAIT_MAX, |site, time| site.retry_wait = time),
        "the longest wait before the first retry after a temporary error; twice as long before each further one, up to \
         a minute, of which a random part is waited",
    )
    .usual("1s"),
    SiteRow::new(
        "encoding",
        Choice(&[
            ("utf-8", |site| site.latin1 = false),
            ("utf8", |site| site.latin1 = false),
            ("latin-1", |site| site.latin1 = true),
            ("latin1", |site| site.latin1 = true),
            ("iso-8859-1", |site| site.latin1 = true),
        ]),
        "the encoding of names on the server",
    )
    .usual("utf-8"),
    SiteRow::new(
        "list_command",
        Text(|site, command| store(&mut site.list_command, command.to_owned())),
        "the command for listings in place of MLSD or LIST, such as \"LIST -a\"",
    ),
    SiteRow::new(
        "rate_limit",
        Rate(|site, rate| site.rate_limit = rate),
        "bytes per second to and from the host, in all sessions of the run together, such as `\"2MiB\"`",
    ),
    SiteRow::new(
        "parallel",
        CountOrAuto(1..=PARALLEL_MAX, |site, sessions| {
            site.parallel = sessions.unwrap_or(PARALLEL_AUTO);
        }),
        "the number of sessions that a mirror may use; with \"auto\" as many as make it faster",
    )
    .usual("1"),
    SiteRow::new(
        "proxy",
        Hidden(PROXY_FORMS, |site, text| store(&mut site.proxy, Proxy::parse(text)?)),
        "`\"socks5://[user:password@]host[:1080]\"` or `\"http://[user:password@]host[:8080]\"`; it carries every \
         connection of the session, in passive mode, and resolves the server's name. `secret(\"NAME\")` returns one \
         that contains a password",
    ),
    SiteRow::new(
        "inplace",
        FlagOrAuto(|site, when| site.in_place = InPlace::when(when)),
        "upload directly under the final name, as for `put`",
    )
    .usual("auto"),
    SiteRow::new(
        "min_rate",
        Size(|site, rate| site.min_rate = rate),
        "bytes per second that a transfer must reach over five minutes, otherwise it fails; 0 is no limit",
    )
    .usual("100"),
];

#[expect(clippy::unnecessary_wraps, reason = "the setters of rows may fail")]
fn store<T>(field: &mut Option<T>, value: T) -> Result<()> {
    *field = Some(value);
    Ok(())
}

fn port_range(text: &str) -> Result<RangeInclusive<u16>> {
    let wrong = || {
        Error::invalid(format!(
            "`port_range` wants ports from 1024 to 65535, the lower first, such as \"50000-50010\", got \"{text}\""
        ))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let first: u16 = first.trim().parse().map_err(|_| wrong())?;
    let last: u16 = last.trim().parse().map_err(|_| wrong())?;
    if first < 1024 || first > last {
        return Err(wrong());
    }
    Ok(first..=last)
}

/// Parses the SHA-256 of a certificate: 64 hexadecimal digits, with or without colons and the prefix `sha256/`.
fn pin(text: &str) -> Result<[u8; 32]> {
    let digits: String = text.trim_start_matches("sha256/").chars().filter(|c| *c != ':').collect();
    from_hex(&digits).ok_or_else(|| {
        let wants = "the SHA-256 of the certificate in 64 hexadecimal digits";
        Error::invalid(format!("`pin` wants {wants}, got \"{text}\""))
    })
}
