//! Tests of `survey` against the embedded server: capabilities are detected, failures are named, no files are left
//! behind.

use std::time::Duration;

use super::{TestSession, bench, bench_with};
use crate::{
    data::method::DataMethod,
    doctor::{Advice, Diagnosis, DoctorOptions, LoginOutcome, findings, survey, value, verdict},
    secret::Secret,
    session::RunContext,
    site::{Mode, TlsMode as Protection},
};
use portolan_testserver::{CertificateKind, ServerSetup, ServerTls, TestServer};

async fn look(bench: &TestSession, options: &DoctorOptions) -> (Diagnosis, Advice) {
    let found = survey(&bench.site, options, &RunContext::default()).await.unwrap();
    let verdict = verdict(&found);
    (found, verdict)
}

async fn examine(bench: &TestSession) -> (Diagnosis, Advice) {
    look(bench, &DoctorOptions::default()).await
}

/// Returns the methods that did everything at the endpoint with this protection.
fn working(survey: &Diagnosis, tls: Protection) -> Vec<DataMethod> {
    let port_provider = survey.endpoints.iter().filter(|door| door.tls == tls);
    let trials = port_provider.flat_map(|door| &door.trials);
    trials.filter(|trial| trial.fault().is_none()).map(|trial| trial.step).collect()
}

fn told(survey: &Diagnosis) -> String {
    findings(survey).into_iter().map(|finding| finding.text + "\n").collect()
}

const ALL: [DataMethod; 4] =
    [DataMethod::Epsv, DataMethod::Pasv, DataMethod::Eprt, DataMethod::Port];

#[tokio::test]
async fn a_good_server_works_in_every_mode_plain_and_under_tls() {
    let mut bench = bench(&[], true);
    bench.site.tls = Protection::Off;
    let (found, verdict) = examine(&bench).await;
    assert_eq!(working(&found, Protection::Off), ALL);
    assert_eq!(working(&found, Protection::Explicit), ALL);
    assert!(verdict.sentence.starts_with("Use passive mode: it works plain and under TLS, "));
    assert!(verdict.sentence.ends_with(" a file; active mode works as well."));
    assert!(verdict.snippet.starts_with("let site = ftp::connect(\"ftpes://tester@127.0.0.1:"));
    let server = found.server.as_ref().unwrap();
    assert_eq!((server.clock_ahead_s, server.sets_times), (Some(0), Some(true)));
    assert_eq!(server.restarts, Some(true));
    assert!(matches!(server.renames_over, Some(Ok(()))));
    assert_eq!(server.sessions.as_ref().unwrap().open, 4);
    assert!(server.reuse.unwrap().resumed);
    let protection = found.endpoints.iter().find_map(|door| door.protection.as_ref()).unwrap();
    let certificate = protection.certificate.as_ref().unwrap();
    assert_eq!(certificate.subject, "portolan rehearsal server");
    assert!(bench.names().is_empty(), "something is left");
    assert!(found.left.is_empty());
}

#[tokio::test]
async fn what_one_mode_does_not_do_is_said_and_the_other_one_is_recommended() {
    for (plan, mode, works, words) in [
        ("pasv-refused", Mode::Active, &[DataMethod::Eprt, DataMethod::Port][..], "502"),
        ("active-refused", Mode::Passive, &[DataMethod::Epsv, DataMethod::Pasv], ""),
        (
            "epsv-refused",
            Mode::Passive,
            &[DataMethod::Pasv, DataMethod::Eprt, DataMethod::Port],
            "500",
        ),
        ("active-silent", Mode::Passive, &[DataMethod::Epsv, DataMethod::Pasv], "did not connect"),
    ] {
        let mut bench = bench(&[plan], false);
        if plan == "active-silent" {
            bench.site.connect_timeout = Duration::from_secs(1);
        }
        let (found, verdict) = examine(&bench).await;
        assert_eq!(working(&found, Protection::Off), works, "{plan}");
        assert_eq!(verdict.mode, Some(mode), "{plan}");
        assert!(verdict.error.is_none(), "{plan}");
        let failed = found.endpoints.iter().flat_map(|door| &door.trials);
        let failed = failed.filter_map(|trial| trial.fault());
        assert!(failed.map(|error| &error.message).all(|text| text.contains(words)), "{plan}");
        assert!(bench.names().is_empty(), "{plan}: something is left");
    }
}

#[tokio::test]
async fn where_no_mode_works_the_verdict_says_why() {
    let bench = bench(&["pasv-refused", "active-425"], false);
    let (_, verdict) = examine(&bench).await;
    assert_eq!(verdict.mode, None);
    assert!(verdict.sentence.starts_with("The login works, but no data comes through"));
    assert!(verdict.sentence.contains("502"), "{}", verdict.sentence);
    assert!(verdict.error.is_some() && verdict.snippet.is_empty());
}

#[tokio::test]
async fn shortcomings_are_findings_and_no_failures() {
    for (plan, finding) in [
        ("no-mlsd", "MLSD"),
        ("no-mfmt", "no MFMT"),
        ("rename-onto-refused", "a rename does not replace the file that has the name"),
        ("tls-refused", "the server offers no TLS"),
    ] {
        let bench = bench(&[plan], false);
        let (found, verdict) = examine(&bench).await;
        assert_eq!(working(&found, Protection::Off), ALL, "{plan}");
        assert!(verdict.error.is_none(), "{plan}");
        assert!(told(&found).contains(finding), "{plan}:\n{}", told(&found));
        assert!(bench.names().is_empty(), "{plan}: something is left");
    }
}

#[tokio::test]
async fn sessions_are_counted_as_far_as_they_are_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let setup = ServerSetup { sessions_max: 2, ..ServerSetup::at(folder.path()) };
    let server = TestServer::start(setup).unwrap();
    let mut bench = bench(&[], false);
    bench.site.port = server.address().port();
    let (found, _) = examine(&bench).await;
    let sessions = found.server.as_ref().unwrap().sessions.clone().unwrap();
    assert_eq!(sessions.open, 2);
    assert_eq!(sessions.refusal.unwrap().code, 421);
    assert!(told(&found).contains("sessions are limited to 2 at a time"));
    let (found, _) = look(&bench, &DoctorOptions { sessions: 1, ..DoctorOptions::default() }).await;
    assert_eq!(found.server.unwrap().sessions.unwrap().open, 1);
}

#[tokio::test]
async fn no_password_goes_where_the_certificate_does_not_hold() {
    for certificate in
        [CertificateKind::Expired, CertificateKind::WrongName, CertificateKind::SelfSigned]
    {
        let mut bench = bench_with(&[], Some(ServerTls { certificate, ..ServerTls::default() }));
        let (found, verdict) = examine(&bench).await;
        assert_eq!((bench.count("PASS"), bench.count("USER")), (0, 0), "{certificate:?}");
        assert!(verdict.sentence.contains("certificate"), "{}", verdict.sentence);
        assert!(verdict.sentence.ends_with("no password was sent, and no mode was tried."));
        assert!(told(&found).contains("pin: \""));
        // Without a password there is no secret to lose, and the modes are tried.
        bench.site.password = None;
        bench.site.user = "anonymous".into();
        let (found, verdict) = examine(&bench).await;
        assert_eq!(working(&found, Protection::Explicit), ALL, "{certificate:?}");
        assert!(verdict.error.is_none());
        assert!(told(&found).contains("its certificate is not trusted"));
    }
}

#[tokio::test]
async fn an_url_under_tls_sends_no_password_in_clear() {
    let bench = bench(&["tls-refused"], true);
    let (found, verdict) = examine(&bench).await;
    assert_eq!((bench.count("PASS"), bench.count("USER")), (0, 0));
    assert!(found.endpoints.iter().all(|door| !matches!(door.entry, LoginOutcome::Entered(_))));
    assert!(verdict.sentence.starts_with("The server answers, but does not let us in: "));
}

#[tokio::test]
async fn a_server_that_wants_tls_is_gone_into_by_tls() {
    let mut bench = bench_with(&[], Some(ServerTls { required: true, ..ServerTls::default() }));
    bench.site.tls = Protection::Off;
    let (found, verdict) = examine(&bench).await;
    assert_eq!(working(&found, Protection::Explicit), ALL);
    assert!(verdict.sentence.starts_with("Use passive mode: it works under TLS, "));
    assert!(told(&found).contains("no way in without TLS"));
}

#[tokio::test]
async fn read_only_sends_no_command_that_changes_anything() {
    let bench = bench(&[], false);
    bench.file(".hidden", "x");
    let (found, verdict) =
        look(&bench, &DoctorOptions { read_only: true, ..DoctorOptions::default() }).await;
    let changing = ["STOR", "APPE", "DELE", "RNFR", "RNTO", "MKD", "RMD", "MFMT", "SITE", "STOU"];
    for verb in changing {
        assert_eq!(bench.count(verb), 0, "{verb}");
    }
    assert!(verdict.sentence.contains(" a listing; "), "{}", verdict.sentence);
    assert!(found.server.unwrap().hidden.unwrap().by_list_all);
}

#[tokio::test]
async fn what_cannot_be_removed_is_named() {
    let bench = bench(&["delete-refused"], false);
    let (found, _) = examine(&bench).await;
    let mut left: Vec<_> = found.left.iter().map(|name| name.trim_start_matches('/')).collect();
    left.sort_unstable();
    assert_eq!(left, bench.names());
    assert!(told(&found).contains("is left on the server"));
}

#[tokio::test]
async fn what_ends_midway_leaves_nothing_either() {
    for plan in ["drop-after=100", "short=100", "hang-up-after=STOR", "lost-reply=STOR*1"] {
        let mut bench = bench(&[plan], false);
        bench.site.reply_timeout = Duration::from_secs(4);
        let (found, _) = examine(&bench).await;
        assert!(found.left.is_empty(), "{plan}: {:?}", found.left);
        assert!(bench.names().is_empty(), "{plan}: something is left");
    }
}

#[tokio::test]
async fn when_the_time_is_over_what_was_seen_is_told() {
    let bench = bench(&["active-silent"], false);
    // Long enough for the passive methods, shorter than the wait in active mode.
    let time = Duration::from_secs(4);
    let (found, verdict) = look(&bench, &DoctorOptions { time, ..DoctorOptions::default() }).await;
    assert!(found.is_cut_short && found.took < 5 * time, "{:?}", found.took);
    assert_eq!(working(&found, Protection::Off), [DataMethod::Epsv, DataMethod::Pasv]);
    assert_eq!(verdict.mode, Some(Mode::Passive));
    assert!(bench.names().is_empty());
}

#[tokio::test]
async fn a_stop_ends_it_and_leaves_nothing() {
    let bench = bench(&["late-reply=STOR"], false);
    let context = RunContext::default();
    let stop = context.stop.clone();
    let options = DoctorOptions::default();
    let looking = survey(&bench.site, &options, &context);
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.set();
    };
    let (found, ()) = tokio::join!(looking, stopping);
    assert_eq!(found.unwrap_err().kind, portolan_core::error::ErrorKind::Interrupted);
}

#[tokio::test]
async fn a_host_that_is_not_there_is_a_verdict_too() {
    let mut bench = bench(&[], false);
    bench.site.host = "no-such-host.invalid".into();
    let (found, verdict) = examine(&bench).await;
    assert!(found.addresses.is_empty());
    assert!(verdict.sentence.starts_with("The name no-such-host.invalid is not known here"));
    let document = value(&found, &verdict);
    assert_eq!(document.get("works"), Some(&false.into()));
    bench.site.host = "127.0.0.1".into();
    bench.site.port = 1;
    bench.site.password = Some(Secret::new("secret"));
    let (_, verdict) = examine(&bench).await;
    assert!(verdict.sentence.starts_with("Nothing answers at 127.0.0.1, port 1: "));
}

#[tokio::test]
async fn a_certificate_that_is_an_authoritys_is_named_with_the_way_to_believe_it() {
    let certificate = CertificateKind::Authority;
    let bench = bench_with(&[], Some(ServerTls { certificate, ..ServerTls::default() }));
    let (found, verdict) = examine(&bench).await;
    let told = told(&found);
    for text in [verdict.sentence.as_str(), told.as_str()] {
        assert!(text.contains("(CA:TRUE), as `openssl req -x509` makes it"), "{text}");
        assert!(text.contains("`pin` it"), "{text}");
        assert!(!text.contains("OtherError") && !text.contains("CaUsedAsEndEntity"), "{text}");
    }
    let pin = told.split("pin: \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let mut site = bench.site.clone();
    let bytes: Vec<u8> =
        (0..64).step_by(2).map(|at| u8::from_str_radix(&pin[at..at + 2], 16).unwrap()).collect();
    site.trust.pin = Some(bytes.try_into().unwrap());
    crate::session::Session::open(site, RunContext::default()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_sees_two_addresses_of_ours_is_named_as_the_cause() {
    for words in [
        "425 Security: Bad IP connecting.",
        "425 Data connection refused: client address mismatch",
        "425 Rejected data connection from another host",
    ] {
        let plan = format!("reply=MLSD:{words}");
        let bench = bench(&[&plan], false);
        let (found, verdict) = examine(&bench).await;
        assert!(working(&found, Protection::Off).is_empty());
        let why = "the server sees two addresses of this machine";
        assert!(verdict.sentence.contains(why), "{}", verdict.sentence);
        assert!(!verdict.sentence.contains("cannot be reached"), "{}", verdict.sentence);
    }
}

#[tokio::test]
async fn an_entrance_where_tls_begins_at_once_is_pointed_out() {
    let start = portolan_testserver::TlsStart::Implicit;
    let mut bench = bench_with(&[], Some(ServerTls { start, ..ServerTls::default() }));
    bench.site.tls = Protection::Explicit;
    let (found, verdict) = examine(&bench).await;
    assert!(verdict.sentence.contains("use ftps://"), "{}", verdict.sentence);
    assert!(working(&found, Protection::Explicit).is_empty());
}
