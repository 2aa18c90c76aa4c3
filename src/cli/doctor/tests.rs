//! Tests that compare whole pages, from surveys made by hand.

use std::{path::Path, time::Duration};

use jiff::Timestamp;

use super::{code, page::page};
use crate::{
    cli::exit,
    fault::{Fault, Kind, Side},
    ftp::{
        data::route::Step,
        path::RemotePath,
        secret::Secret,
        site::{Site, Tls},
        survey::{
            Address, Certificate, Door, Entry, Hidden, Protection, Reuse, Server, Sessions, Survey,
            Trial, verdict,
        },
    },
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn worked(step: Step, address: &str, time: u64) -> Trial {
    let (listing, file) = (Ok(ms(time)), Some(Ok(ms(time))));
    Trial { step, address: address.into(), listing, upload: file.clone(), download: file }
}

fn failed(step: Step, fault: Fault) -> Trial {
    Trial { step, address: String::new(), listing: Err(fault), upload: None, download: None }
}

fn said(code: u16, kind: Kind, words: &str) -> Fault {
    Fault { code, ..Fault::new(kind, Side::Server, format!("the server said \"{words}\"")) }
}

fn door(tls: Tls, trials: Vec<Trial>) -> Door {
    let address = match tls {
        Tls::Implicit => "203.0.113.20:990",
        _ => "203.0.113.20:21",
    };
    let certificate = Certificate {
        subject: "www.example.com".into(),
        issuer: "Example CA".into(),
        expires: Some(at("2026-02-10T12:00:00Z")),
        pin: "ab".repeat(32),
    };
    let protection =
        Protection { version: "TLSv1.3".into(), certificate: Some(certificate), distrust: None };
    Door {
        tls,
        address: address.parse().unwrap(),
        local: Some("198.51.100.7:40001".parse().unwrap()),
        protection: (tls != Tls::Off).then_some(protection),
        entry: Entry::Entered(ms(180)),
        trials,
    }
}

/// Returns a survey of a server that accepts the login, with nothing else known of it.
fn survey(tls: Tls, doors: Vec<Door>) -> Survey {
    let mut site = Site::new("www.example.com");
    site.user = "deploy".into();
    site.password = Some(Secret::new("hunter2"));
    site.folder = Some(RemotePath::parse("htdocs").unwrap());
    site.tls = tls;
    Survey {
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
        doors,
        server: Some(Server::default()),
        left: Vec::new(),
        is_cut_short: false,
    }
}

/// Compares with `pages/NAME.txt` exactly; `PORTOLAN_UPDATE=1` rewrites it.
#[track_caller]
fn shows(survey: &Survey, unicode: bool, name: &str) -> u8 {
    let verdict = verdict(survey);
    let page = page(survey, &verdict, unicode);
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
            worked(Step::Epsv, "203.0.113.20:50123", time),
            worked(Step::Pasv, "203.0.113.20:50124", time + 1),
            worked(Step::Eprt, "198.51.100.7:40007", time - 3),
            worked(Step::Port, "198.51.100.7:40008", time - 2),
        ]
    };
    let doors = vec![door(Tls::Off, trials(11)), door(Tls::Explicit, trials(14))];
    let mut survey = survey(Tls::Off, doors);
    survey.server = Some(Server {
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
        hidden: Some(Hidden { by_list: false, by_list_all: true }),
        reuse: Some(Reuse { resumed: true, required: Some(true) }),
        tls12_only: false,
        sessions: Some(Sessions { open: 2, refusal: Some(said(421, Kind::Busy, "421 Too many")) }),
    });
    assert_eq!(shows(&survey, true, "works"), exit::DONE);
}

#[test]
fn a_client_behind_nat() {
    let silent = || {
        let message = "the server did not connect to 192.168.1.5:40007 in 5 s";
        Fault::new(Kind::DataConnection, Side::Network, message)
    };
    let illegal = said(500, Kind::Unsupported, "500 Illegal PORT command.");
    let mut door = door(
        Tls::Explicit,
        vec![
            worked(Step::Epsv, "203.0.113.20:50123", 14),
            worked(Step::Pasv, "203.0.113.20:50124", 14),
            failed(Step::Eprt, silent()),
            failed(Step::Port, illegal),
        ],
    );
    door.local = Some("192.168.1.5:40001".parse().unwrap());
    let survey = survey(Tls::Explicit, vec![door]);
    assert_eq!(shows(&survey, false, "nat"), exit::DONE);
}

#[test]
fn a_server_from_which_no_data_comes() {
    let refused = Fault::new(
        Kind::Unreachable,
        Side::Network,
        "cannot connect to 203.0.113.20:50123: connection refused",
    );
    let trials = vec![
        failed(Step::Epsv, refused.clone()),
        failed(Step::Pasv, refused),
        failed(Step::Eprt, said(502, Kind::Unsupported, "502 Command not implemented.")),
        failed(Step::Port, said(502, Kind::Unsupported, "502 Command not implemented.")),
    ];
    let survey = survey(Tls::Off, vec![door(Tls::Off, trials)]);
    assert_eq!(shows(&survey, true, "nothing"), exit::LATER);
}

#[test]
fn a_server_that_wants_tls() {
    let mut plain = door(Tls::Off, Vec::new());
    let words = "530 Non-anonymous sessions must use encryption.";
    plain.entry = Entry::Shut(said(530, Kind::Denied, words));
    let trials = vec![
        worked(Step::Epsv, "203.0.113.20:50123", 14),
        failed(Step::Pasv, said(502, Kind::Unsupported, "502 no")),
        failed(Step::Eprt, said(502, Kind::Unsupported, "502 no")),
        failed(Step::Port, said(502, Kind::Unsupported, "502 no")),
    ];
    let survey = survey(Tls::Off, vec![plain, door(Tls::Explicit, trials)]);
    assert_eq!(shows(&survey, true, "tls"), exit::DONE);
}

#[test]
fn a_certificate_that_has_ended() {
    let mut door = door(Tls::Explicit, Vec::new());
    let message = "the server's certificate has expired";
    if let Some(protection) = &mut door.protection {
        protection.distrust = Some(Fault::new(Kind::Tls, Side::Server, message));
    }
    door.entry = Entry::Offered("its certificate is not trusted, so it is not shown the password");
    door.local = None;
    let mut survey = survey(Tls::Explicit, vec![door]);
    survey.at = at("2026-03-01T12:00:00Z");
    survey.server = None;
    assert_eq!(shows(&survey, true, "expired"), exit::NEVER);
}
