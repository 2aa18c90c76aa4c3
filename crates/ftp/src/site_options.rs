//! The options of `ftp::connect`, one row for each.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    path::{NameEncoding, RemotePath},
    proxy::{FORMS as PROXY_FORMS, Proxy},
    secret::Secret,
    site::{AddressFamily, InPlace, Mode, PARALLEL_AUTO, ProxyOrigin, Site, TempNames, TlsMode},
};
use portolan_core::{
    encoding::from_hex,
    error::{Error, Result},
    limits::{DURATION_MAX, PARALLEL_MAX, RETRY_WAIT_MAX},
    observe::visible::visible,
    option_table::{
        OptionKind::{
            Address, Choice, CountOrAuto, DurationIn, EachText, Flag, FlagOrAuto, Pairs, Rate,
            Secret as Hidden, Size, Text,
        },
        OptionRow, OptionTable,
    },
    similar::nearest,
};

/// The longest silence before a probe: Linux accepts 32,767 seconds.
const KEEPALIVE_MAX: Duration = Duration::from_hours(9);

/// The time limits of a connection: within no time at all nothing arrives.
const TIME_LIMITS: RangeInclusive<Duration> = Duration::from_millis(1)..=DURATION_MAX;

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
        Hidden(SECRET, |site, text| store(&mut site.password, given("password", text)?)),
        "the password, in place of the URL's; `secret(\"NAME\")` returns one",
    ),
    SiteRow::new(
        "account",
        Hidden(SECRET, |site, text| store(&mut site.account, given("account", text)?)),
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
        "family",
        Choice(&[
            ("any", |site| site.family = AddressFamily::Any),
            ("ipv4", |site| site.family = AddressFamily::V4),
            ("ipv6", |site| site.family = AddressFamily::V6),
        ]),
        "the addresses of the host to connect to. With \"any\", those of both families are tried in turn, a moment apart; \
         the one that answers is used, and is tried first later",
    )
    .usual("any"),
    SiteRow::new(
        "tls",
        Choice(&[
            ("off", |site| site.set_tls(TlsMode::Off)),
            ("explicit", |site| site.set_tls(TlsMode::Explicit)),
            ("implicit", |site| site.set_tls(TlsMode::Implicit)),
            ("if_offered", |site| {
                site.set_tls(TlsMode::Explicit);
                site.tls_if_offered = true;
            }),
        ]),
        "the protection of the connection, in place of the URL's; with \"if_offered\" a server that offers no TLS is used \
         without, unless an earlier session with it was protected",
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
        DurationIn(TIME_LIMITS, |site, time| site.connect_timeout = time),
        "the time limit for making a connection",
    )
    .usual("15s"),
    SiteRow::new(
        "data_timeout",
        DurationIn(TIME_LIMITS, |site, time| site.data_timeout = time),
        "the time limit without a byte on a data connection",
    )
    .usual("60s"),
    SiteRow::new(
        "reply_timeout",
        DurationIn(TIME_LIMITS, |site, time| site.reply_timeout = time),
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
        Text(|site, label| {
            site.encoding = NameEncoding::parse(label)?;
            Ok(())
        }),
        "the encoding of names on the server: \"latin-1\", or any label of the WHATWG list, such as \"windows-1251\", \
         \"shift_jis\", \"gbk\", \"big5\" or \"koi8-r\". Local names, those of scripts and of URLs are UTF-8; a name \
         that would not be the same when it comes back is refused",
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
    .usual("auto"),
    SiteRow::new(
        "proxy",
        Hidden(PROXY_FORMS, proxy),
        "`\"socks5://[user:password@]host[:1080]\"` or `\"http://[user:password@]host[:8080]\"`; it carries every \
         connection of the session, in passive mode, and resolves the server's name. `secret(\"NAME\")` returns one \
         that contains a password. Without it `ftp_proxy` and `all_proxy` of the environment count, and `no_proxy`; \
         `\"none\"` connects directly",
    ),
    SiteRow::new(
        "inplace",
        FlagOrAuto(|site, when| site.in_place = InPlace::when(when)),
        "upload directly under the final name, as for `put`",
    )
    .usual("auto"),
    SiteRow::new(
        "temp",
        Pairs(|site, parts| store(&mut site.temp, Box::new(temp_names(parts)?))),
        "the form of the temporary names of uploads, as `#{ suffix: \".tmp\" }`: `prefix` and `suffix` are set around the \
         name of the file, `directory` is below that of the file, or absolute, and must exist. For receivers that leave such \
         names alone. By default they are `.portolan-….part`, which no two uploads share; uploads that can be resumed and \
         those of `staged` mirrors keep those names",
    ),
    SiteRow::new(
        "site",
        EachText(|site, commands| {
            site.site_commands = site_commands(commands)?;
            Ok(())
        }),
        "SITE commands that are sent after the login, in each session, such as `\"UMASK 022\"`; a string or an array",
    ),
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

/// Returns the secret for the option `key`, which must not be empty: what it was to come from may not be set.
fn given(key: &str, text: &str) -> Result<Secret> {
    if text.is_empty() {
        let message =
            format!("`{key}` is empty: the secret or variable that it comes from is not set");
        return Err(Error::invalid(message));
    }
    Ok(Secret::new(text))
}

fn proxy(site: &mut Site, text: &str) -> Result<()> {
    site.proxy_origin = ProxyOrigin::Option;
    site.proxy = if text == "none" { None } else { Some(Proxy::parse(text)?) };
    Ok(())
}

/// Returns SITE commands without the word itself, which may be given.
pub(super) fn site_commands(commands: &[String]) -> Result<Vec<String>> {
    let bare = commands.iter().map(|command| {
        let command = command.trim();
        let rest = command.get(..5).filter(|word| word.eq_ignore_ascii_case("site "));
        let bare = rest.and_then(|_| command.get(5..)).unwrap_or(command).trim();
        if bare.is_empty() || bare.contains(['\r', '\n', '\0']) {
            let message = "`site` wants commands of one line each, such as \"UMASK 022\"";
            return Err(Error::invalid(message));
        }
        Ok(bare.to_owned())
    });
    bare.collect()
}

/// The parts of the form of temporary names.
const TEMP_PARTS: [&str; 3] = ["prefix", "suffix", "directory"];

fn temp_names(parts: &[(String, String)]) -> Result<TempNames> {
    let mut names = TempNames::default();
    for (key, text) in parts {
        let is_part = !text.contains(['/', '\r', '\n', '\0']);
        match key.as_str() {
            "prefix" if is_part => names.prefix.clone_from(text),
            "suffix" if is_part => names.suffix.clone_from(text),
            "directory" if text.is_empty() => {}
            "directory" => {
                let path = RemotePath::parse(text).map_err(|error| {
                    Error::invalid(format!("`directory` of `temp`: {}", error.message))
                })?;
                names.directory = Some(path);
            }
            "prefix" | "suffix" => {
                let message = format!("`{key}` of `temp` wants a part of a name, without slashes");
                return Err(Error::invalid(message));
            }
            other => {
                let near = nearest(other, &TEMP_PARTS);
                let hint = near.map_or_else(
                    || format!("it has {}", TEMP_PARTS.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                let message = format!("`temp` has no part `{}`; {hint}", visible(other));
                return Err(Error::invalid(message));
            }
        }
    }
    if names == TempNames::default() {
        let message =
            "`temp` wants a `prefix`, a `suffix` or a `directory`, such as #{ suffix: \".tmp\" }";
        return Err(Error::invalid(message));
    }
    Ok(names)
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
