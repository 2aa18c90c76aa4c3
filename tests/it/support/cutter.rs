//! A SOCKS proxy to real servers that cuts one of the data connections at a chosen byte.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use socket2::SockRef;

/// The place and the manner of a cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    /// The first data connection to cut, counted from 0.
    pub(crate) connection: u64,
    /// The number of connections to cut, beginning with it.
    pub(crate) times: u64,
    /// The number of bytes before the cut, both directions together.
    pub(crate) bytes: u64,
    /// True for a reset at both ends, false for a normal close.
    pub(crate) is_reset: bool,
}

/// The proxy, for the host of one control connection.
pub(crate) struct Cutter {
    port: u16,
    plan: Arc<Plan>,
}

struct Plan {
    control_port: u16,
    cut: Mutex<(Option<Cut>, u64)>,
}

impl Plan {
    /// Returns the cut of the next data connection, if any.
    fn next(&self) -> Option<Cut> {
        let mut cut = self.cut.lock().unwrap();
        let number = cut.1;
        cut.1 += 1;
        cut.0.filter(|cut| (cut.connection..cut.connection + cut.times).contains(&number))
    }
}

impl Cutter {
    /// Starts a proxy to a server with this control port.
    pub(crate) fn start(control_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let plan = Arc::new(Plan { control_port, cut: Mutex::default() });
        let shared = Arc::clone(&plan);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // Its last user has dropped it, and has connected to wake it up.
                if Arc::strong_count(&shared) == 1 {
                    return;
                }
                let plan = Arc::clone(&shared);
                thread::spawn(move || serve(client, &plan));
            }
        });
        Self { port, plan }
    }

    /// Returns its URL for the option `proxy`.
    pub(crate) fn url(&self) -> String {
        format!("socks5://127.0.0.1:{}", self.port)
    }

    /// Sets the cut, and restarts the count of data connections.
    pub(crate) fn cut(&self, cut: Cut) {
        *self.plan.cut.lock().unwrap() = (Some(cut), 0);
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.plan = Arc::new(Plan { control_port: 0, cut: Mutex::default() });
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// Serves one connection: the SOCKS negotiation, then the bytes, up to the cut in the plan.
fn serve(mut client: TcpStream, plan: &Plan) -> io::Result<()> {
    let mut greeting = [0; 2];
    client.read_exact(&mut greeting)?;
    client.read_exact(&mut vec![0; greeting[1].into()])?;
    client.write_all(&[5, 0])?;
    // Version, CONNECT, 0, the address type.
    let mut head = [0; 4];
    client.read_exact(&mut head)?;
    let mut length = [if head[3] == 1 { 4 } else { 0 }];
    if head[3] == 3 {
        client.read_exact(&mut length)?;
    }
    client.read_exact(&mut vec![0; length[0].into()])?;
    let mut port = [0; 2];
    client.read_exact(&mut port)?;
    let port = u16::from_be_bytes(port);
    // Every server of the tests is local.
    let server = TcpStream::connect(("127.0.0.1", port))?;
    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0])?;
    let cut = if port == plan.control_port { None } else { plan.next() };
    let left = Mutex::new(cut.map(|cut| cut.bytes));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for (from, to) in [(&client, &server), (&server, &client)] {
            scope.spawn(|| pass(from, to, &left, &is_over, cut));
        }
    });
    Ok(())
}

/// Forwards bytes in one direction, until their end or until the cut.
fn pass(
    mut from: &TcpStream,
    mut to: &TcpStream,
    left: &Mutex<Option<u64>>,
    is_over: &AtomicBool,
    cut: Option<Cut>,
) {
    let mut piece = vec![0; 16 * 1024];
    loop {
        let mut most = piece.len();
        if let Some(left) = *left.lock().unwrap() {
            if left == 0 && !is_over.swap(true, Ordering::Relaxed) {
                end(from, to, cut);
            }
            most = most.min(usize::try_from(left).unwrap());
        }
        let read = from.read(piece.get_mut(..most.max(1)).unwrap()).unwrap_or(0);
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        if read == 0 {
            to.shutdown(Shutdown::Write).ok();
            return;
        }
        let mut passing = read as u64;
        if let Some(left) = left.lock().unwrap().as_mut() {
            passing = passing.min(*left);
            *left -= passing;
        }
        let bytes = piece.get(..usize::try_from(passing).unwrap()).unwrap();
        if to.write_all(bytes).is_err() {
            from.shutdown(Shutdown::Both).ok();
            return;
        }
    }
}

/// Ends both connections. A socket with zero linger is reset when it is closed, which is when both directions are done.
fn end(one: &TcpStream, other: &TcpStream, cut: Option<Cut>) {
    for stream in [one, other] {
        if cut.is_some_and(|cut| cut.is_reset) {
            SockRef::from(stream).set_linger(Some(Duration::ZERO)).ok();
            stream.shutdown(Shutdown::Read).ok();
        } else {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}
