//! Tests of the fault plans that need more than the dialogues in `talks`.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use super::{
    Scratch, TEXT,
    client::{Client, all, is_timeout},
};
use crate::FaultPlan;

/// A fault plan, and its test.
pub(super) type FaultCase = (&'static str, fn(&Scratch));

const DONE: &str = "226 Transfer complete.";
const UNKNOWN: &str = "500 Unknown command.";
const NO_CONNECTION: &str = "425 Failed to establish connection.";

/// The fault plans.
pub(super) const CASES: &[FaultCase] = &[
    ("pasv-dead", |scratch| {
        let mut client = scratch.client();
        let port = client.extended_port();
        let error = TcpStream::connect((client.server().ip(), port)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }),
    ("pasv-blackhole", |scratch| {
        let mut client = scratch.client();
        let address = SocketAddr::new(client.server().ip(), client.extended_port());
        let error = TcpStream::connect_timeout(&address, Duration::from_millis(300)).unwrap_err();
        assert!(is_timeout(&error), "{error}");
    }),
    ("pasv-foreign", |scratch| {
        let reply = scratch.client().ask("PASV");
        assert!(reply.starts_with("227 Entering Passive Mode (10,255,255,1,"), "{reply}");
    }),
    ("pasv-nonsense", |scratch| {
        let mut client = scratch.client();
        assert!(client.ask("PASV").contains(",1216,"));
        assert_eq!(client.ask("EPSV"), "229 Entering Extended Passive Mode (|||1000000|)");
    }),
    ("pasv-odd", |scratch| {
        let mut client = scratch.client();
        assert!(client.ask("PASV").starts_with("227 Entering Passive Mode. 127,0,0,1,"));
        assert!(client.ask("EPSV").starts_with("229 Extended Passive Mode OK (!!!"));
    }),
    ("active-overtaken", |scratch| {
        let mut client = scratch.client();
        client.send("PORT 127,0,0,1,9,9\r\nRETR a.txt");
        assert_eq!(client.reply(), "150 File status okay.");
        assert_eq!(client.reply(), "200 PORT command successful.");
        // Sent by itself, it is answered in turn.
        assert_eq!(client.ask("PORT 127,0,0,1,9,9"), "200 PORT command successful.");
    }),
    ("active-late=100", |scratch| {
        let mut client = scratch.client();
        let listener = client.active();
        let started = Instant::now();
        client.begin("RETR a.txt");
        assert_eq!(all(listener.accept().unwrap().0).unwrap(), TEXT);
        assert!(started.elapsed() >= Duration::from_millis(90));
    }),
    ("begin-125", |scratch| {
        let (first, bytes, last) = scratch.client().get("RETR a.txt");
        assert!(first.starts_with("125 ") && last == DONE, "{first} {last}");
        assert_eq!(bytes.unwrap(), TEXT);
    }),
    ("active-silent", |scratch| {
        let mut client = scratch.client();
        let listener = client.active();
        client.begin("RETR a.txt");
        assert!(client.is_silent());
        listener.set_nonblocking(true).unwrap();
        assert!(is_timeout(&listener.accept().unwrap_err()));
    }),
    ("active-late-425", |scratch| {
        let mut client = scratch.client();
        let _listener = client.active();
        client.begin("RETR a.txt");
        assert_eq!(client.reply(), NO_CONNECTION);
    }),
    ("active-stranger", |scratch| {
        let mut client = scratch.client();
        let listener = client.active();
        client.begin("RETR a.txt");
        let (stranger, from) = listener.accept().unwrap();
        assert_eq!(from.ip().to_string(), "127.0.0.9");
        assert_eq!(all(listener.accept().unwrap().0).unwrap(), TEXT);
        assert_ne!(all(stranger).unwrap(), TEXT);
    }),
    ("drop-after=5", |scratch| {
        let mut client = scratch.client();
        let mut data = client.passive();
        client.begin("RETR a.txt");
        let mut start = [0; 5];
        data.read_exact(&mut start).unwrap();
        assert_eq!(start, TEXT[..5]);
        assert_eq!(all(data).unwrap_err(), ErrorKind::ConnectionReset);
        assert_eq!(client.reply(), "426 Connection closed; transfer aborted.");
        assert_eq!(client.ask("NOOP"), "200 NOOP ok.");
    }),
    ("stall=3", |scratch| {
        let mut client = scratch.client();
        let mut data = client.passive();
        client.begin("RETR a.txt");
        let mut start = [0; 3];
        data.read_exact(&mut start).unwrap();
        assert_eq!(start, TEXT[..3]);
        data.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
        assert!(is_timeout(&data.read(&mut start).unwrap_err()));
        assert!(client.is_silent());
        assert_eq!(client.ask("ABOR"), "426 Transfer aborted.");
    }),
    ("stor-stall=3", |scratch| {
        let mut client = scratch.client();
        let mut data = client.passive();
        client.begin("STOR b");
        data.write_all(b"123456").unwrap();
        data.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(client.is_silent());
        scratch.until(|| scratch.read("b") == b"123");
    }),
    ("listing-stall=3", |scratch| {
        let mut client = scratch.client();
        let mut data = client.passive();
        client.begin("NLST");
        data.read_exact(&mut [0; 3]).unwrap();
        assert!(client.is_silent());
    }),
    ("drop-after=15", |scratch| downloads(scratch, "RETR a.txt", TEXT)),
    ("short-226", |scratch| downloads(scratch, "RETR a.txt", &TEXT[..7])),
    ("short=3", |scratch| downloads(scratch, "RETR a.txt", &TEXT[..3])),
    ("dot-names-refused", |scratch| {
        let mut client = scratch.client();
        let _data = client.passive();
        assert_eq!(client.ask("STOR .b"), "553 Prohibited file name.");
        assert_eq!(client.put("STOR b", b"12"), DONE);
    }),
    ("rewritten", |scratch| {
        let (_, bytes, last) = scratch.client().get("RETR a.txt");
        let turned: Vec<u8> = TEXT.iter().map(|byte| !byte).collect();
        assert_eq!((bytes.unwrap(), last.as_str()), ([&TEXT[..7], &turned[7..]].concat(), DONE));
        assert_eq!(scratch.read("a.txt"), turned);
    }),
    ("retr-451", |scratch| {
        let (_, bytes, last) = scratch.client().get("RETR a.txt");
        assert_eq!(
            (bytes.unwrap().as_slice(), last.as_str()),
            (TEXT, "451 Local error in processing.")
        );
    }),
    ("retr-reset", |scratch| {
        let mut client = scratch.client();
        let mut data = client.passive();
        client.begin("RETR a.txt");
        let mut all_of_it = vec![0; TEXT.len()];
        data.read_exact(&mut all_of_it).unwrap();
        assert_eq!(all_of_it, TEXT);
        assert_eq!(all(data).unwrap_err(), ErrorKind::ConnectionReset);
        assert_eq!(client.reply(), DONE);
    }),
    ("retr-open", |scratch| {
        let mut client = scratch.client();
        let mut data = client.passive();
        client.begin("RETR a.txt");
        data.read_exact(&mut vec![0; TEXT.len()]).unwrap();
        assert_eq!(client.reply(), DONE);
        data.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
        assert!(is_timeout(&data.read(&mut [0]).unwrap_err()));
    }),
    ("long-226", |scratch| {
        downloads(scratch, "RETR a.txt", &[TEXT, b"and some more\n"].concat());
    }),
    ("stor-short", |scratch| {
        assert_eq!(scratch.client().put("STOR b", b"12345678"), DONE);
        assert_eq!(scratch.read("b"), b"1234");
    }),
    ("stor-452", |scratch| {
        let reply = scratch.client().put("STOR b", b"1234");
        assert_eq!(reply, "452 Insufficient storage space.");
    }),
    ("stor-552", |scratch| {
        assert_eq!(scratch.client().put("STOR b", b"1234"), "552 Quota exceeded.");
    }),
    ("stor-451", |scratch| {
        let reply = scratch.client().put("STOR b", b"1234");
        assert_eq!(reply, "451 Local error in processing.");
    }),
    ("slow=40", |scratch| {
        let start = Instant::now();
        downloads(scratch, "RETR a.txt", TEXT);
        assert!(start.elapsed() > Duration::from_millis(300));
    }),
    ("late-226", |scratch| {
        let start = Instant::now();
        downloads(scratch, "RETR a.txt", TEXT);
        assert!(start.elapsed() > Duration::from_secs(2));
    }),
    ("early-226", |scratch| {
        let mut client = scratch.client();
        let data = client.passive();
        client.begin("RETR a.txt");
        assert_eq!(client.reply(), DONE);
        assert_eq!(all(data).unwrap(), TEXT);
        assert_eq!(client.ask("NOOP"), "200 NOOP ok.");
    }),
    ("double-226", |scratch| {
        let mut client = scratch.client();
        assert_eq!(client.get("RETR a.txt").2, DONE);
        assert_eq!(client.reply(), DONE);
    }),
    ("no-final", |scratch| {
        let mut client = scratch.client();
        let data = client.passive();
        client.begin("RETR a.txt");
        assert_eq!(all(data).unwrap(), TEXT);
        assert!(client.is_silent());
    }),
    ("slow-control", |scratch| {
        let start = Instant::now();
        let mut client = Client::connect(scratch.server.address());
        assert_eq!(client.reply(), "220 portolan rehearsal ready.");
        assert!(start.elapsed() > Duration::from_millis(100));
    }),
    ("double-reply", |scratch| {
        let mut client = scratch.client();
        client.ask("DELE a.txt");
        assert_eq!(client.reply(), "250 Delete operation successful.");
    }),
    ("no-reply=SIZE", |scratch| {
        let mut client = scratch.client();
        client.send("SIZE a.txt");
        assert!(client.is_silent());
        assert_eq!(client.ask("NOOP"), "200 NOOP ok.");
    }),
    ("reply=NOOP:200 a\\0b\\x07\\r\\n200 c", |scratch| {
        let mut client = scratch.client();
        assert_eq!(client.ask("NOOP"), "200 a\0b\x07");
        assert_eq!(client.reply(), "200 c");
    }),
    ("greeting=230 in already", |scratch| {
        let mut client = Client::connect(scratch.server.address());
        assert_eq!(client.reply(), "230 in already");
    }),
    ("greeting-endless", |scratch| {
        let mut client = Client::connect(scratch.server.address());
        assert!((0..2000).all(|_| client.line().unwrap().starts_with("220-")));
    }),
    ("feat-endless", |scratch| {
        let mut client = scratch.client();
        client.send("FEAT");
        assert!((0..2000).all(|_| client.line().unwrap().starts_with("211-")));
    }),
    ("late-reply=NOOP", |scratch| {
        let mut client = scratch.client();
        let start = Instant::now();
        assert_eq!(client.ask("NOOP"), "200 NOOP ok.");
        assert!(start.elapsed() > Duration::from_secs(2));
    }),
    ("lost-reply=DELE", |scratch| {
        let mut client = scratch.client();
        client.send("DELE a.txt");
        assert!(client.is_silent());
        scratch.until(|| !scratch.path().join("a.txt").exists());
        assert_eq!(client.ask("NOOP"), "200 NOOP ok.");
    }),
    ("control-cut=40", |scratch| {
        let mut client = Client::connect(scratch.server.address());
        assert_eq!(client.reply(), "220 portolan rehearsal ready.");
        assert_eq!(client.ask("USER me"), "331 Pleas");
        assert_eq!(client.reply(), "(end)");
    }),
    ("control-pause=40", |scratch| {
        let started = Instant::now();
        let mut client = Client::connect(scratch.server.address());
        client.reply();
        assert_eq!(client.ask("USER me"), "331 Please specify the password.");
        assert!(started.elapsed() >= Duration::from_millis(300));
    }),
    ("lost-at=4", |scratch| {
        let mut client = scratch.client();
        client.send("NOOP");
        assert!(client.is_silent());
        assert_eq!(client.ask("SYST"), "215 UNIX Type: L8");
    }),
    ("line-feeds", |scratch| {
        let mut socket = TcpStream::connect(scratch.server.address()).unwrap();
        let mut greeting = [0; 30];
        socket.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"220 portolan rehearsal ready.\n");
    }),
    ("greeting-endless-line", |scratch| {
        let mut socket = TcpStream::connect(scratch.server.address()).unwrap();
        let mut greeting = vec![0; 1 << 20];
        socket.read_exact(&mut greeting).unwrap();
        assert!(!greeting.contains(&b'\n'));
    }),
    ("listing-endless-line", |scratch| {
        let mut client = scratch.client();
        let mut data = client.passive();
        client.begin("MLSD");
        let mut listing = vec![0; 1 << 20];
        data.read_exact(&mut listing).unwrap();
        assert!(!listing.contains(&b'\n'));
    }),
    ("listing-drop=9", |scratch| {
        let (_, bytes, last) = scratch.client().get("MLSD");
        assert_eq!(bytes.unwrap_err(), ErrorKind::ConnectionReset);
        assert!(last.starts_with("426"));
    }),
    ("list-426", |scratch| {
        let (_, bytes, last) = scratch.client().get("NLST");
        assert_eq!(bytes.unwrap(), b"a.txt\r\nin\r\n");
        assert!(last.starts_with("426"));
    }),
    ("listing-end=226-Some.\\r\\n226 Not all", |scratch| {
        let (_, bytes, last) = scratch.client().get("NLST");
        assert_eq!(bytes.unwrap(), b"a.txt\r\nin\r\n");
        assert!(last.ends_with("226 Not all"), "{last}");
    }),
    ("retr-426", |scratch| {
        let (_, bytes, last) = scratch.client().get("RETR a.txt");
        assert_eq!(bytes.unwrap(), TEXT);
        assert!(last.starts_with("426"));
    }),
    ("stor-drop=3", |scratch| {
        let mut client = scratch.client();
        let mut data = client.passive();
        client.begin("STOR b");
        data.write_all(b"123456").unwrap();
        assert_eq!(all(data).unwrap_err(), ErrorKind::ConnectionReset);
        assert_eq!(client.reply(), "426 Connection closed; transfer aborted.");
        assert_eq!(scratch.read("b"), b"123");
    }),
    ("list-empty", |scratch| downloads(scratch, "MLSD", b"")),
    ("listing=type=file; ../x\\n", |scratch| downloads(scratch, "LIST", b"type=file; ../x\n")),
    ("listing-cut=9", |scratch| downloads(scratch, "MLSD", b"type=cdir")),
    ("listing-endless", |scratch| {
        let mut client = scratch.client();
        let mut data = client.passive();
        client.ask("MLSD");
        data.read_exact(&mut vec![0; 8 << 20]).unwrap();
        drop(data);
        assert!(client.reply().starts_with("426"));
    }),
    ("login-530", |scratch| login_ends_with(scratch, "530 Login incorrect.")),
    ("login-421", |scratch| login_ends_with(scratch, "421 Too many users, try later.")),
];

/// Downloads exactly these bytes, with 226 at the end and the session in step.
fn downloads(scratch: &Scratch, command: &str, wanted: &[u8]) {
    let mut client = scratch.client();
    let (first, bytes, last) = client.get(command);
    assert!(first.starts_with("150 "), "{first}");
    assert_eq!(last, DONE);
    assert_eq!(String::from_utf8_lossy(&bytes.unwrap()), String::from_utf8_lossy(wanted));
    assert_eq!(client.ask("NOOP"), "200 NOOP ok.");
}

fn login_ends_with(scratch: &Scratch, reply: &str) {
    let mut client = Client::connect(scratch.server.address());
    client.reply();
    client.ask("USER me");
    assert_eq!(client.ask("PASS x"), reply);
}

#[test]
fn every_other_plan_does_what_it_says() {
    std::thread::scope(|scope| {
        for (plan, look) in CASES {
            let case = move || look(&Scratch::with_plan(plan));
            std::thread::Builder::new().name((*plan).to_owned()).spawn_scoped(scope, case).unwrap();
        }
    });
}

#[test]
fn an_upload_that_breaks_leaves_a_short_file() {
    let scratch = Scratch::new();
    let mut client = scratch.client();
    let mut data = client.passive();
    client.begin("STOR a.txt");
    data.write_all(b"sho").unwrap();
    client.send("ABOR");
    assert_eq!(client.reply(), "426 Transfer aborted.");
    assert!(scratch.read("a.txt").len() < TEXT.len());
}

#[test]
fn a_client_that_hangs_up_during_a_transfer_is_noticed() {
    let scratch = Scratch::with(|setup| {
        setup.sessions_max = 1;
        setup.plans = vec![FaultPlan::parse("slow=1").unwrap()];
    });
    let mut client = scratch.client();
    let _data = client.passive();
    client.begin("RETR a.txt");
    drop(client);
    let deadline = Instant::now() + Duration::from_secs(20);
    while Client::connect(scratch.server.address()).reply().starts_with("421") {
        assert!(Instant::now() < deadline, "the session before still runs");
    }
}

#[test]
fn a_command_is_missing_for_a_number_of_times_or_on_one_path() {
    let scratch = Scratch::with_plan("no-size*2");
    let mut client = scratch.client();
    assert!(!client.ask("FEAT").contains("SIZE"));
    assert_eq!(client.ask("SIZE a.txt"), UNKNOWN);
    assert_eq!(client.ask("SIZE a.txt"), UNKNOWN);
    assert_eq!(client.ask("SIZE a.txt"), "213 14");
    assert!(client.ask("FEAT").contains("SIZE"));
    let scratch = Scratch::with_plan("no-size@/in");
    let mut client = scratch.client();
    assert!(client.ask("FEAT").contains("SIZE"));
    assert_eq!(client.ask("SIZE in/a"), UNKNOWN);
    assert_eq!(client.ask("SIZE a.txt"), "213 14");
}

#[test]
fn plans_join() {
    let scratch = Scratch::with(|setup| {
        let plans = ["epsv-refused", "pasv-foreign", "short=2*1"];
        setup.plans = plans.map(|plan| FaultPlan::parse(plan).unwrap()).to_vec();
    });
    let mut client = scratch.client();
    assert_eq!(client.ask("EPSV"), UNKNOWN);
    assert!(client.ask("PASV").contains("10,255,255,1"));
    let listener = client.active();
    client.ask("RETR a.txt");
    assert_eq!(all(listener.accept().unwrap().0).unwrap(), &TEXT[..2]);
    assert_eq!(client.reply(), DONE);
    let listener = client.active();
    client.ask("RETR a.txt");
    assert_eq!(all(listener.accept().unwrap().0).unwrap(), TEXT);
}
