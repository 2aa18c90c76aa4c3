//! Tests that compare whole pages, from surveys made by hand.

use std::{path::Path, time::Duration};

use jiff::Timestamp;

use super::{code, page::page};
use crate::{
    advice::{chart::charts, rules_with},
    error::{Error, ErrorKind, Origin},
    exit_code::Exit,
    ftp::{
        data::method::DataMethod,
        doctor::{
            Address, Diagnosis, Endpoint, HiddenFiles, LoginOutcome, ModeProbe, Reuse,
            ServerCertificate, ServerInfo, Sessions, TlsInfo, verdict,
        },
        path::RemotePath,
        secret::Secret,
        site::{Site, TlsMode},
    },
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn worked(step: DataMethod, address: &str, time: u64) -> ModeProbe {
    let (listing, file) = (Ok(ms(time)), Some(Ok(ms(time))));
    ModeProbe { step, address: address.into(), listing, upload: file.clone(), download: file }
}

fn failed(step: DataMethod, fault: Error) -> ModeProbe {
    ModeProbe { step, address: String::new(), listing: Err(fault), upload: None, download: None }
}

fn said(code: u16, kind: ErrorKind, words: &str) -> Error {
    Error { code, ..Error::new(kind, Origin::Server, format!("the server said \"{words}\"")) }
}

fn door(tls: TlsMode, trials: Vec<ModeProbe>) -> Endpoint {
    let address = match tls {
        TlsMode::Implicit => "203.0.113.20:990",
        _ => "203.0.113.20:21",
    };
    let certificate = ServerCertificate {
        subject: "www.example.com".into(),
        issuer: "Example CA".into(),
        expires: Some(at("2026-02-10T12:00:00Z")),
        pin: "ab".repeat(32),
    };
    let protection =
        TlsInfo { version: "TLSv1.3".into(), certificate: Some(certificate), distrust: None };
    Endpoint {
        tls,
        address: address.parse().unwrap(),
        local: Some("198.51.100.7:40001".parse().unwrap()),
        protection: (tls != TlsMode::Off).then_some(protection),
        entry: LoginOutcome::Entered(ms(180)),
        trials,
    }
}

/// Returns a survey of a server that accepts the login, with nothing else known of it.
fn survey(tls: TlsMode, endpoints: Vec<Endpoint>) -> Diagnosis {
    let mut site = Site::new("www.example.com");
    site.user = "deploy".into();
    site.password = Some(Secret::new("hunter2"));
    site.folder = Some(RemotePath::parse("htdocs").unwrap());
    site.tls = tls;
    Diagnosis {
        site,
        read_only: false,
        at: at("2026-02-01T12:00:00Z"),
        took: ms(2100),
        lookup: None,
        addresses: vec![Address {
            address: "203.0.113.20:21".parse().unwrap(),
            reached: Ok(ms(12)),
        }],
        greeting: Some("(vsFTPd 3.0.3)".into()),
        endpoints,
        server: Some(ServerInfo::default()),
        left: Vec::new(),
        own_filters: Vec::new(),
        is_cut_short: false,
    }
}

/// Compares with `pages/NAME.txt` exactly; `PORTOLAN_UPDATE=1` rewrites it.
#[track_caller]
fn shows(survey: &Diagnosis, unicode: bool, name: &str) -> Exit {
    let verdict = verdict(survey);
    let page = page(
        survey,
        &verdict,
        &charts(survey, &verdict, None, &|_, _| None),
        &rules_with(survey, &verdict, &[]),
        unicode,
    );
    assert!(!page.contains("hunter2"));
    assert!(page.lines().all(|line| line.chars().count() <= 80), "too wide:\n{page}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/doctor/pages");
    let file = folder.join(name).with_extension("txt");
    if std::env::var_os("PORTOLAN_UPDATE").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    assert!(page == std::fs::read_to_string(&file).unwrap(), "not {}:\n{page}", file.display());
    code(&verdict)
}

#[test]
fn a_server_where_everything_works() {
    let trials = |time| {
        vec![
            worked(DataMethod::Epsv, "203.0.113.20:50123", time),
            worked(DataMethod::Pasv, "203.0.113.20:50124", time + 1),
            worked(DataMethod::Eprt, "198.51.100.7:40007", time - 3),
            worked(DataMethod::Port, "198.51.100.7:40008", time - 2),
        ]
    };
    let endpoints = vec![door(TlsMode::Off, trials(11)), door(TlsMode::Explicit, trials(14))];
    let mut survey = survey(TlsMode::Off, endpoints);
    survey.server = Some(ServerInfo {
        system: Some("UNIX Type: L8".into()),
        features: [("MLSD", ""), ("HASH", "SHA-256*;MD5")]
            .map(|(name, with)| (name.to_owned(), with.to_owned()))
            .into(),
        folder: "/htdocs".into(),
        round_trip: Some(ms(9)),
        sees_us_at: None,
        passive_address: Some([203, 0, 113, 20].into()),
        restarts: Some(true),
        clock_ahead_s: Some(7200),
        sets_times: Some(false),
        renames_over: Some(Ok(())),
        hidden: Some(HiddenFiles { by_list: false, by_list_all: true }),
        reuse: Some(Reuse { resumed: true, required: Some(true) }),
        tls12_only: false,
        sessions: Some(Sessions {
            open: 2,
            refusal: Some(said(421, ErrorKind::Busy, "421 Too many")),
        }),
    });
    assert_eq!(shows(&survey, true, "works"), Exit::Done);
}

#[test]
fn a_client_behind_nat() {
    let silent = || {
        let message = "the server did not connect to 192.168.1.5:40007 in 5 s";
        Error::new(ErrorKind::DataConnection, Origin::Network, message)
    };
    let illegal = said(500, ErrorKind::Unsupported, "500 Illegal PORT command.");
    let mut door = door(
        TlsMode::Explicit,
        vec![
            worked(DataMethod::Epsv, "203.0.113.20:50123", 14),
            worked(DataMethod::Pasv, "203.0.113.20:50124", 14),
            failed(DataMethod::Eprt, silent()),
            failed(DataMethod::Port, illegal),
        ],
    );
    door.local = Some("192.168.1.5:40001".parse().unwrap());
    let survey = survey(TlsMode::Explicit, vec![door]);
    assert_eq!(shows(&survey, false, "nat"), Exit::Done);
}

#[test]
fn a_server_from_which_no_data_comes() {
    let refused = Error::new(
        ErrorKind::Unreachable,
        Origin::Network,
        "cannot connect to 203.0.113.20:50123: connection refused",
    );
    let trials = vec![
        failed(DataMethod::Epsv, refused.clone()),
        failed(DataMethod::Pasv, refused),
        failed(DataMethod::Eprt, said(502, ErrorKind::Unsupported, "502 Command not implemented.")),
        failed(DataMethod::Port, said(502, ErrorKind::Unsupported, "502 Command not implemented.")),
    ];
    let survey = survey(TlsMode::Off, vec![door(TlsMode::Off, trials)]);
    assert_eq!(shows(&survey, true, "nothing"), Exit::Later);
}

#[test]
fn a_server_that_wants_tls() {
    let mut plain = door(TlsMode::Off, Vec::new());
    let words = "530 Non-anonymous sessions must use encryption.";
    plain.entry = LoginOutcome::Shut(said(530, ErrorKind::Denied, words));
    let trials = vec![
        worked(DataMethod::Epsv, "203.0.113.20:50123", 14),
        failed(DataMethod::Pasv, said(502, ErrorKind::Unsupported, "502 no")),
        failed(DataMethod::Eprt, said(502, ErrorKind::Unsupported, "502 no")),
        failed(DataMethod::Port, said(502, ErrorKind::Unsupported, "502 no")),
    ];
    let survey = survey(TlsMode::Off, vec![plain, door(TlsMode::Explicit, trials)]);
    assert_eq!(shows(&survey, true, "tls"), Exit::Done);
}

#[test]
fn a_certificate_that_has_ended() {
    let mut door = door(TlsMode::Explicit, Vec::new());
    let message = "the server's certificate has expired";
    if let Some(protection) = &mut door.protection {
        protection.distrust = Some(Error::new(ErrorKind::Tls, Origin::Server, message));
    }
    door.entry =
        LoginOutcome::Offered("its certificate is not trusted, so it is not shown the password");
    door.local = None;
    let mut survey = survey(TlsMode::Explicit, vec![door]);
    survey.at = at("2026-03-01T12:00:00Z");
    survey.server = None;
    assert_eq!(shows(&survey, true, "expired"), Exit::Never);
}
