//! Ways round the names of hosts: a name that changes its address, a server that names another one, redirects.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::support::{mounts::Mounts, program::Portolan, rehearsal::Rehearsal};

/// A name server on an address of the loopback, which answers with one address after another; the last one stays.
struct ChangingNames {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl ChangingNames {
    fn start(host: u8, answers: &'static [Ipv4Addr]) -> Self {
        let address = SocketAddr::from(([127, 77, 15, host], 53));
        let socket = UdpSocket::bind(address).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        // It ends with the process of the tests.
        thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                let query = query.get(..length).unwrap();
                let number = count.load(Ordering::SeqCst);
                let address = answers.get(number).or(answers.last()).unwrap();
                let (reply, is_answer) = reply(query, *address).unwrap();
                count.fetch_add(usize::from(is_answer), Ordering::SeqCst);
                socket.send_to(&reply, from).unwrap();
            }
        });
        Self { address, asked }
    }

    /// Opens a namespace in which it is the name server; `None` if that is impossible here, which has then been reported.
    fn room(&self, folder: &std::path::Path) -> Option<Mounts> {
        let file = folder.join("resolv.conf");
        let text = format!("nameserver {}\noptions timeout:2 attempts:1\n", self.address.ip());
        std::fs::write(&file, text).unwrap();
        Mounts::open(&format!("mount --bind '{}' /etc/resolv.conf", file.display()))
    }
}

/// Returns the reply to a query with one question (RFC 1035, 4.1), and true if it has the address: a question for one of IPv6
/// is answered by none.
fn reply(query: &[u8], address: Ipv4Addr) -> Option<(Vec<u8>, bool)> {
    let end = 12 + query.get(12..)?.iter().position(|byte| *byte == 0)? + 5;
    let is_v4 = query.get(end - 4..end - 2)? == [0, 1];
    let mut reply = query.get(..2)?.to_vec();
    reply.extend([0x81, 0x80, 0, 1, 0, u8::from(is_v4), 0, 0, 0, 0]);
    reply.extend(query.get(12..end)?);
    if is_v4 {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        reply.extend(address.octets());
    }
    Some((reply, is_v4))
}

/// Counts the connections with an address of this host.
fn counted() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let came = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&came);
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            count.fetch_add(1, Ordering::SeqCst);
            stream.write_all(b"220 here\r\n").ok();
        }
    });
    (port, came)
}

const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

#[test]
fn a_name_that_changes_its_address_leads_nowhere() {
    let (port, came) = counted();
    for (host, call, flag) in [
        (1, "http::get(\"http://a.test:PORT/\", #{ timeout: \"2s\" })", "--allow-http=*.test"),
        (2, "http::get(\"http://a.test:PORT/\", #{ timeout: \"2s\" })", "--allow-http=a.test:PORT"),
        (3, "ftp::connect(\"ftp://a.test:PORT\", #{ connect_timeout: \"2s\" })", "--allow-net=*"),
        (
            4,
            "ftp::connect(\"ftp://a.test:PORT\", #{ connect_timeout: \"2s\" })",
            "--allow-net=*.test:PORT",
        ),
    ] {
        let names = ChangingNames::start(host, &[OUTSIDE, Ipv4Addr::LOCALHOST]);
        let scratch = tempfile::tempdir().unwrap();
        let Some(room) = names.room(scratch.path()) else { return };
        // The first attempt goes outside; the second one would lead back.
        let text =
            format!("for turn in 0..2 {{ try {{ {call}; }} catch (err) {{ print(err.kind); }} }}");
        let port = port.to_string();
        let program = Portolan::new().script(&text.replace("PORT", &port));
        let ran = room.enter(program.args([flag.replace("PORT", &port)])).run();
        let said = ran.stdout_text().to_owned();
        ran.succeeds().any_stdout().any_stderr().forget();
        let kinds: Vec<_> = said.lines().collect();
        assert!(kinds.len() == 2 && kinds[0] != "denied_by_policy", "{call}: {said}");
        assert_eq!(kinds[1], "denied_by_policy", "{call}");
        assert!(names.asked.load(Ordering::SeqCst) >= 2, "{call}");
    }
    assert_eq!(came.load(Ordering::SeqCst), 0);
}

/// Shows that the way is open without the rule: the name itself may lead here if it is named for FTP.
#[test]
fn a_name_that_is_named_for_ftp_may_lead_to_this_host() {
    let (port, came) = counted();
    let names = ChangingNames::start(5, &[Ipv4Addr::LOCALHOST]);
    let scratch = tempfile::tempdir().unwrap();
    let Some(room) = names.room(scratch.path()) else { return };
    let text = format!("ftp::connect(\"ftp://a.test:{port}\", #{{ reply_timeout: \"1s\" }});");
    let program = Portolan::new().script(&text).args([format!("--allow-net=a.test:{port}")]);
    room.enter(program).run().any_code().any_stderr().forget();
    assert!(came.load(Ordering::SeqCst) > 0);
}

/// Answers each request with a redirect to `target`.
fn redirecting(target: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut request = [0; 2048];
            drop(stream.read(&mut request));
            let head =
                format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(head.as_bytes()).ok();
        }
    });
    port
}

#[test]
fn a_redirect_leads_to_nothing_that_is_not_named() {
    let (other, came) = counted();
    let server = Rehearsal::start(&[], false);
    let address = server.server.address();
    for target in [
        format!("http://127.0.0.1:{other}/"),
        format!("http://localhost:{other}/"),
        format!("http://[::ffff:127.0.0.1]:{other}/"),
        format!("http://2130706433:{other}/"),
        format!("//127.0.0.1:{other}/"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://[fe80::1]/".to_owned(),
        "ftp://127.0.0.1/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let port = redirecting(target.clone());
        // By the function, and by the question of a deployment, which follows redirects of its host only.
        let asks = format!("http::get(\"http://127.0.0.1:{port}/\", #{{ timeout: \"3s\" }});");
        let deploys = format!(
            "ftp::connect(args[0]).deploy(\"dist\", #{{ delete: false, check_url: \"http://127.0.0.1:{port}/\" }});"
        );
        for text in [asks, deploys] {
            let program = Portolan::new().file("dist/a", "a").script(&text).args([
                format!("--allow-http=127.0.0.1:{port}"),
                format!("--allow-net={address}"),
                "--allow-read=dist".to_owned(),
                "--allow-remote-delete".to_owned(),
                format!("ftp://tester@{address}"),
            ]);
            let ran = program.env("PORTOLAN_PASSWORD", "open+sesame-21").run();
            assert_ne!(ran.code(), 0, "{target}: {text}");
            ran.any_code().any_stdout().any_stderr().any_files().forget();
        }
    }
    assert_eq!(came.load(Ordering::SeqCst), 0);
}

#[test]
fn a_server_that_names_another_address_gets_no_connection_there() {
    let server = Rehearsal::start(&["pasv-foreign", "epsv-refused"], false);
    server.file("a.txt", "text");
    let address = server.server.address();
    let script = "print(ftp::connect(args[0], #{ mode: \"passive\" }).read(\"/a.txt\"));";
    let program = Portolan::new().env("PORTOLAN_PASSWORD", "open+sesame-21").script(script);
    let flags = [format!("--allow-net={address}"), format!("ftp://tester@{address}")];
    program.args(flags).run().succeeds().stdout("text\n").any_stderr().forget();
}
