//! Tests of every command, with replies like those of real servers.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpStream},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    time::Duration,
};

use jiff::Timestamp;
use socket2::{Domain, Socket, Type};

use super::{
    Scratch, TEXT,
    client::{Client, all},
};
use crate::AllowedLogin;
use portolan_proto::Verb;

#[test]
fn simple_commands_have_the_replies_of_real_servers() {
    let scratch = Scratch::new();
    let mut client = scratch.client();
    for (command, reply) in [
        ("SYST", "215 UNIX Type: L8"),
        ("NOOP", "200 NOOP ok."),
        ("noop", "200 NOOP ok."),
        ("MODE S", "200 Set to S."),
        ("MODE B", "504 Only S is known."),
        ("STRU F", "200 Set to F."),
        ("TYPE X", "504 Only A and I are known."),
        ("OPTS UTF8 ON", "200 Always in UTF8 mode."),
        ("OPTS MLST size;", "200 MLST OPTS size;"),
        ("OPTS NONSENSE", "501 Option not understood."),
        ("ACCT x", "202 No account is needed."),
        ("PWD", "257 \"/\" is the current directory."),
        ("CWD in", "250 Directory successfully changed."),
        ("PWD", "257 \"/in\" is the current directory."),
        ("CDUP", "250 Directory successfully changed."),
        ("CWD nowhere", "550 No such file or directory."),
        ("CWD a.txt", "550 Not a directory."),
        ("MKD new", "257 \"/new\" created."),
        ("MKD new", "550 File exists."),
        ("RMD new", "250 Remove directory operation successful."),
        ("RMD /", "550 Permission denied."),
        ("DELE in", "550 Is a directory."),
        ("DELE gone", "550 No such file or directory."),
        ("DELE", "501 An argument is missing."),
        ("SIZE a.txt", "213 14"),
        ("SIZE in", "550 Not a regular file."),
        ("RNTO b", "503 RNFR required first."),
        ("RNFR gone", "550 No such file or directory."),
        ("REST 3", "350 Restart position accepted (3)."),
        ("REST x", "501 REST wants a number."),
        ("ABOR", "225 No transfer to ABOR."),
        ("RETR a.txt", "425 Use PORT or PASV first."),
        ("EPSV 2", "522 Network protocol not supported, use (1)"),
        ("EPRT |2|::1|2000|", "522 Network protocol not supported, use (1)"),
        ("EPRT |1|127.0.0.1|x|", "501 Bad EPRT."),
        ("PORT 127,0,0,9,200,1", "500 Illegal PORT command."),
        ("PORT 127,0,0,1,0,20", "500 Illegal PORT command."),
        ("PORT 1,2,3", "501 Bad PORT."),
        ("AUTH TLS", "500 Unknown command."),
        ("XYZZY", "500 Unknown command."),
        ("GREETING", "500 Unknown command."),
        ("EPSV ALL", "200 EPSV ALL command successful."),
        ("PASV", "501 Not allowed after EPSV ALL."),
        ("EPRT |1|127.0.0.1|2000|", "501 Not allowed after EPSV ALL."),
        ("QUIT", "221 Goodbye."),
    ] {
        assert_eq!(client.ask(command), reply, "{command}");
    }
    assert_eq!(client.reply(), "(end)");
}

#[test]
fn features_and_help_leave_out_what_is_switched_off() {
    let scratch = Scratch::with(|setup| setup.without = vec![Verb::Mlsd, Verb::Epsv]);
    let mut client = scratch.client();
    assert_eq!(
        client.ask("FEAT"),
        "211-Features:| EPRT| HASH SHA-256*| MDTM| MFMT| PASV| REST STREAM| SIZE| TVFS| UTF8|211 End"
    );
    assert_eq!(client.ask("EPSV"), "500 Unknown command.");
    assert!(!client.ask("HELP").contains("MLSD"));
}

#[test]
fn no_command_works_without_the_right_login() {
    let account = Some("gold".to_owned());
    let login = AllowedLogin { user: "me".into(), password: "secret".into(), account };
    let scratch = Scratch::with(|setup| setup.login = Some(login));
    let mut client = Client::connect(scratch.server.address());
    assert!(client.reply().starts_with("220"));
    for (command, code) in [
        ("PWD", "530"),
        ("PASS x", "503"),
        ("ACCT x", "503"),
        ("USER me", "331"),
        ("PASS wrong", "530"),
        ("USER me", "331"),
        ("PASS secret", "332"),
        ("PWD", "530"),
        ("ACCT gold", "230"),
        ("PWD", "257"),
    ] {
        assert!(client.ask(command).starts_with(code), "{command}");
    }
    let log = scratch.server.log().join("\n");
    assert!(log.contains("1 > USER me\n1 < 331 Please specify the password.\n1 > PASS ***\n"));
    assert!(!log.contains("secret") && !log.contains("gold"));
}

#[test]
fn downloads_and_uploads_work_in_every_mode() {
    let scratch = Scratch::new();
    let mut client = scratch.client();
    let (first, bytes, last) = client.get("RETR a.txt");
    assert_eq!(
        (first.as_str(), bytes.unwrap().as_slice(), last.as_str()),
        ("150 Opening data connection for a.txt (14 bytes).", TEXT, "226 Transfer complete.")
    );
    assert_eq!(client.put("STOR b", b"b\r\n\0\xff"), "226 Transfer complete.");
    assert_eq!(scratch.read("b"), b"b\r\n\0\xff");
    assert_eq!(client.put("APPE b", b"more"), "226 Transfer complete.");
    assert_eq!(scratch.read("b"), b"b\r\n\0\xffmore");

    let listener = client.active();
    client.begin("RETR a.txt");
    assert_eq!(all(listener.accept().unwrap().0).unwrap(), TEXT);
    assert_eq!(client.reply(), "226 Transfer complete.");

    let listener = client.active();
    client.begin("STOR c");
    listener.accept().unwrap().0.write_all(b"active").unwrap();
    assert_eq!(client.reply(), "226 Transfer complete.");
    assert_eq!(scratch.read("c"), b"active");
}

#[test]
fn pasv_and_port_name_six_numbers() {
    let scratch = Scratch::new();
    let mut client = scratch.client();
    let reply = client.ask("PASV");
    let numbers = reply.split(['(', ')']).nth(1).unwrap();
    let numbers: Vec<u16> = numbers.split(',').map(|number| number.parse().unwrap()).collect();
    assert_eq!(numbers[..4], [127, 0, 0, 1]);
    let data = TcpStream::connect(("127.0.0.1", numbers[4] * 256 + numbers[5])).unwrap();
    client.begin("NLST");
    assert_eq!(all(data).unwrap(), b"a.txt\r\nin\r\n");
    assert_eq!(client.reply(), "226 Transfer complete.");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let [high, low] = listener.local_addr().unwrap().port().to_be_bytes();
    let command = format!("PORT 127,0,0,1,{high},{low}");
    assert_eq!(client.ask(&command), "200 PORT command successful.");
    client.begin("NLST");
    assert_eq!(all(listener.accept().unwrap().0).unwrap(), b"a.txt\r\nin\r\n");
}

#[test]
fn both_modes_work_over_the_newer_protocol() {
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let scratch = Scratch::with(|setup| setup.address = address);
    let mut client = scratch.client();
    assert!(client.ask("PASV").starts_with("425"));
    assert_eq!(client.get("RETR a.txt").1.unwrap(), TEXT);
    let listener = client.active();
    client.send("RETR a.txt");
    assert_eq!(all(listener.accept().unwrap().0).unwrap(), TEXT);
}

#[test]
fn strangers_on_a_passive_port_get_nothing() {
    let scratch = Scratch::new();
    let mut client = scratch.client();
    let address = SocketAddr::new(client.server().ip(), client.extended_port());
    let stranger = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    stranger.bind(&SocketAddr::from(([127, 0, 0, 9], 0)).into()).unwrap();
    stranger.connect(&address.into()).unwrap();
    let data = TcpStream::connect(address).unwrap();
    client.begin("RETR a.txt");
    assert_eq!(all(data).unwrap(), TEXT);
    assert_eq!(all(TcpStream::from(stranger)).unwrap_or_default(), b"");
}

#[test]
fn a_restart_begins_in_the_middle_both_ways() {
    let scratch = Scratch::new();
    let mut client = scratch.client();
    client.ask("REST 4");
    assert_eq!(client.get("RETR a.txt").1.unwrap(), &TEXT[4..]);
    client.ask("REST 4");
    assert_eq!(client.put("STOR a.txt", b"2\n"), "226 Transfer complete.");
    assert_eq!(scratch.read("a.txt"), b"one\n2\n");
    client.ask("REST 100");
    let data = client.passive();
    assert!(client.ask("RETR a.txt").starts_with("554"));
    drop(data);
}

#[test]
fn ascii_converts_line_ends_and_refuses_sizes() {
    let scratch = Scratch::new();
    let mut client = scratch.client();
    client.ask("TYPE A");
    assert_eq!(client.get("RETR a.txt").1.unwrap(), b"one\r\ntwo\r\nthree\r\n");
    assert_eq!(client.put("STOR b", b"x\r\ny\rz\r\n"), "226 Transfer complete.");
    assert_eq!(scratch.read("b"), b"x\ny\rz\n");
    assert_eq!(client.ask("SIZE a.txt"), "550 SIZE not allowed in ASCII mode.");
    assert_eq!(client.ask("REST 1"), "501 REST is not allowed in ASCII mode.");
}

#[test]
fn files_are_renamed_onto_others_and_deleted() {
    let scratch = Scratch::new();
    let mut client = scratch.client();
    client.put("STOR b", b"new");
    assert_eq!(client.ask("RNFR b"), "350 Ready for RNTO.");
    assert_eq!(client.ask("RNTO a.txt"), "250 Rename successful.");
    assert_eq!(scratch.read("a.txt"), b"new");
    assert_eq!(client.ask("DELE a.txt"), "250 Delete operation successful.");
    assert!(!scratch.path().join("a.txt").exists());
}

#[test]
fn times_modes_and_hashes_are_told_and_set() {
    let scratch = Scratch::new();
    let mut client = scratch.client();
    for (command, reply) in [
        ("MFMT 20200102030405 a.txt", "213 Modify=20200102030405; /a.txt"),
        ("MDTM a.txt", "213 20200102030405"),
        ("MFMT 2020 a.txt", "501 MFMT wants YYYYMMDDHHMMSS and a path."),
        ("SITE CHMOD 640 a.txt", "200 SITE CHMOD command ok."),
        ("SITE CHMOD 9 a.txt", "501 SITE CHMOD wants a mode and a path."),
        ("SITE WHO", "500 Unknown SITE command."),
        (
            "HASH a.txt",
            "213 SHA-256 0-13 b6285c57e8797db5d4c51c80d6f11938afda9b11c6a003549709189e9b4b92a2 /a.txt",
        ),
    ] {
        assert_eq!(client.ask(command), reply);
    }
    let mode = fs::metadata(scratch.path().join("a.txt")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn listings_show_what_is_there() {
    let scratch = Scratch::with(|setup| {
        setup.clock = portolan_core::clock::Clock::standing_at(1_600_000_100);
    });
    let file = fs::File::open(scratch.path().join("a.txt")).unwrap();
    file.set_modified(Timestamp::from_second(1_600_000_000).unwrap().into()).unwrap();
    fs::set_permissions(scratch.path().join("a.txt"), fs::Permissions::from_mode(0o644)).unwrap();
    std::os::unix::fs::symlink("a.txt", scratch.path().join("link")).unwrap();
    let mut client = scratch.client();
    client.ask("OPTS MLST type;size;modify;UNIX.mode;");

    let lines = client.list("MLSD");
    let ends: Vec<_> = lines.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(ends, [".", "..", ".hidden", "a.txt", "in", "link"]);
    assert!(lines[0].starts_with("type=cdir;") && lines[1].starts_with("type=pdir;"));
    assert_eq!(lines[3], "type=file;size=14;modify=20200913122640;UNIX.mode=0644; a.txt");
    assert!(lines[5].starts_with("type=OS.unix=slink:a.txt;size=5;"));

    assert_eq!(client.list("NLST"), ["a.txt", "in", "link"]);
    assert_eq!(client.list("NLST -a"), [".", "..", ".hidden", "a.txt", "in", "link"]);
    let lines = client.list("LIST -l /");
    assert!(lines[0].starts_with("-rw-r--r--    1 "), "{}", lines[0]);
    assert!(lines[0].ends_with("14 Sep 13 12:26 a.txt"), "{}", lines[0]);
    assert!(lines[1].starts_with("drwx") && lines[2].ends_with("link -> a.txt"));
    assert_eq!(client.list("LIST a.txt").len(), 1);
    assert!(client.list("LIST in").is_empty());

    let facts = "type=file;size=14;modify=20200913122640;UNIX.mode=0644; /a.txt";
    assert_eq!(client.ask("MLST a.txt"), format!("250-Listing follows:| {facts}|250 End"));
    assert!(client.ask("STAT a.txt").starts_with("213-Status follows:| -rw-r--r-- "));
    assert!(client.ask("STAT").contains("TYPE: BINARY"));
    let data = client.passive();
    assert!(client.ask("MLSD nowhere").starts_with("550"));
    drop(data);
}

#[test]
fn names_are_bytes_and_0xff_comes_doubled() {
    let scratch = Scratch::new();
    let mut client = scratch.client();
    client.send(b"MKD caf\xe9 \xff\xff");
    assert!(client.reply().starts_with("257"));
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9 \xff");
    assert!(scratch.path().join(name).is_dir());
}

#[test]
fn no_path_leads_out() {
    let scratch = Scratch::new();
    std::os::unix::fs::symlink("/", scratch.path().join("out")).unwrap();
    let mut client = scratch.client();
    for command in ["CWD out", "RETR out/etc/passwd", "SIZE out/etc/passwd", "MKD out/tmp/x"] {
        assert_eq!(client.ask(command), "550 Permission denied.", "{command}");
    }
    assert_eq!(client.ask("CWD ../../.."), "250 Directory successfully changed.");
    assert_eq!(client.ask("PWD"), "257 \"/\" is the current directory.");
}

#[test]
fn an_abort_ends_a_transfer_and_keeps_the_session() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("big"), vec![b'x'; 32 << 20]).unwrap();
    let mut client = scratch.client();
    let mut data = client.passive();
    client.begin("RETR big");
    data.read_exact(&mut [0; 1000]).unwrap();
    client.send("NOOP");
    client.send(b"\xff\xf4\xff\xf2ABOR");
    assert_eq!(client.reply(), "426 Transfer aborted.");
    assert_eq!(client.reply(), "200 NOOP ok.");
    assert_eq!(client.reply(), "226 ABOR command successful.");
    drop(data);
    assert_eq!(client.get("RETR a.txt").1.unwrap(), TEXT);
}

#[test]
fn a_download_that_the_client_drops_is_426() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("big"), vec![b'x'; 32 << 20]).unwrap();
    let mut client = scratch.client();
    let data = client.passive();
    client.begin("RETR big");
    drop(data);
    assert_eq!(client.reply(), "426 Connection closed; transfer aborted.");
    assert_eq!(client.ask("NOOP"), "200 NOOP ok.");
}

#[test]
fn commands_in_one_packet_are_answered_in_their_order() {
    let scratch = Scratch::new();
    let mut client = scratch.client();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    client.send(format!("SIZE a.txt\r\nEPRT |1|127.0.0.1|{port}|\r\nRETR a.txt\r\nMDTM gone"));
    assert_eq!(client.reply(), "213 14");
    assert!(client.reply().starts_with("200"));
    assert!(client.reply().starts_with("150"));
    assert_eq!(all(listener.accept().unwrap().0).unwrap(), TEXT);
    assert!(client.reply().starts_with("226"));
    assert!(client.reply().starts_with("550"));
}

#[test]
fn limits_hold() {
    let scratch = Scratch::with(|setup| {
        setup.sessions_max = 1;
        setup.idle_timeout = Duration::from_secs(3);
        setup.open_timeout = Duration::from_millis(100);
    });
    let mut client = scratch.client();
    assert!(Client::connect(scratch.server.address()).reply().starts_with("421"));
    assert_eq!(client.ask(&"x".repeat(20_000)), "500 Command line too long.");
    assert_eq!(client.ask("NOOP"), "200 NOOP ok.");
    client.extended_port();
    assert_eq!(client.ask("RETR a.txt"), "425 Failed to establish connection.");
    assert_eq!(client.reply(), "421 Timeout.");
    assert_eq!(client.reply(), "(end)");
}

#[test]
fn the_server_ends_when_it_is_dropped() {
    let scratch = Scratch::new();
    let mut client = scratch.client();
    drop(scratch.server);
    assert_eq!(client.line(), None);
}
