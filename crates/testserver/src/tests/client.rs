//! A minimal blocking client that shows the bytes on the wire and trusts none of them.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};

/// A timeout longer than anything the tests wait for on purpose.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A connection under TLS.
pub(super) type Secure = StreamOwned<ClientConnection, TcpStream>;

trait ClientStream: Read + Write {}

impl<T: Read + Write> ClientStream for T {}

/// A control connection.
pub(super) struct Client {
    control: BufReader<Box<dyn ClientStream>>,
    /// The same connection, for its addresses and its timeout.
    socket: TcpStream,
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { control: BufReader::new(Box::new(socket.try_clone().unwrap())), socket }
    }

    /// Switches to TLS; fails if the server's certificate is not valid for `name`.
    pub(super) fn secure(&mut self, config: &Arc<ClientConfig>, name: &str) -> io::Result<()> {
        assert!(self.control.buffer().is_empty(), "bytes in clear behind the reply to AUTH");
        let tls = secure(self.socket.try_clone()?, config, name)?;
        self.control = BufReader::new(Box::new(tls));
        Ok(())
    }

    pub(super) fn login(&mut self) {
        assert_eq!(self.ask("USER me"), "331 Please specify the password.");
        assert_eq!(self.ask("PASS secret"), "230 Login successful.");
        assert_eq!(self.ask("TYPE I"), "200 Switching to Binary mode.");
    }

    pub(super) fn send(&mut self, line: impl AsRef<[u8]>) {
        let wire = [line.as_ref(), b"\r\n"].concat();
        // A later reply shows if the server is still there.
        drop(self.control.get_mut().write_all(&wire));
    }

    /// Reads one line, without its end; returns `None` at the end of the connection.
    pub(super) fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let read = match self.control.read_until(b'\n', &mut line) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            read => read.unwrap(),
        };
        (read > 0).then(|| String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Reads one reply, its lines joined by a bar; returns `(end)` at the end of the connection.
    pub(super) fn reply(&mut self) -> String {
        let Some(mut reply) = self.line() else { return "(end)".to_owned() };
        if reply.get(3..4) == Some("-") {
            let last = format!("{} ", &reply[..3]);
            loop {
                let line = self.line().unwrap();
                reply = format!("{reply}|{line}");
                if line.starts_with(&last) {
                    break;
                }
            }
        }
        reply
    }

    pub(super) fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.reply()
    }

    /// Sends a command that begins a transfer.
    pub(super) fn begin(&mut self, command: &str) {
        let reply = self.ask(command);
        assert!(reply.starts_with("150 "), "{command}: {reply}");
    }

    /// Returns true if nothing is received for a while.
    pub(super) fn is_silent(&mut self) -> bool {
        self.wait_at_most(Duration::from_millis(150));
        let nothing = matches!(self.control.fill_buf(), Err(error) if is_timeout(&error));
        self.wait_at_most(PATIENCE);
        nothing
    }

    fn wait_at_most(&mut self, time: Duration) {
        self.socket.set_read_timeout(Some(time)).unwrap();
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub(super) fn server(&self) -> SocketAddr {
        self.socket.peer_addr().unwrap()
    }

    /// Returns the port of an `EPSV`.
    pub(super) fn extended_port(&mut self) -> u16 {
        let reply = self.ask("EPSV");
        reply.split('|').nth(3).unwrap_or_else(|| panic!("{reply}")).parse().unwrap()
    }

    /// Opens a data connection by `EPSV`.
    pub(super) fn passive(&mut self) -> TcpStream {
        let port = self.extended_port();
        let socket = TcpStream::connect((self.server().ip(), port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// Opens a listener and announces it to the server by `EPRT`.
    pub(super) fn active(&mut self) -> TcpListener {
        let listener = TcpListener::bind((self.address().ip(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let family = if address.is_ipv4() { 1 } else { 2 };
        let reply = self.ask(&format!("EPRT |{family}|{}|{}|", address.ip(), address.port()));
        assert_eq!(reply, "200 EPRT command successful.");
        listener
    }

    /// Downloads passively. Returns the first reply, the data or the kind of its failure, and the final reply.
    pub(super) fn get(
        &mut self,
        command: &str,
    ) -> (String, Result<Vec<u8>, io::ErrorKind>, String) {
        let data = self.passive();
        let first = self.ask(command);
        let bytes = all(data);
        (first, bytes, self.reply())
    }

    /// Uploads passively. Returns the final reply.
    pub(super) fn put(&mut self, command: &str, bytes: &[u8]) -> String {
        let mut data = self.passive();
        self.begin(command);
        data.write_all(bytes).unwrap();
        data.shutdown(Shutdown::Write).unwrap();
        self.reply()
    }

    /// Returns a listing as lines.
    pub(super) fn list(&mut self, command: &str) -> Vec<String> {
        let (_, bytes, last) = self.get(command);
        assert_eq!(last, "226 Transfer complete.");
        String::from_utf8(bytes.unwrap()).unwrap().lines().map(str::to_owned).collect()
    }
}

/// Performs the handshake at once, so that an invalid certificate fails here.
pub(super) fn secure(
    socket: TcpStream,
    config: &Arc<ClientConfig>,
    name: &str,
) -> io::Result<Secure> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut tls = StreamOwned::new(connection, socket);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    Ok(tls)
}

/// Reads everything until the end of a data connection.
pub(super) fn all(mut data: impl Read) -> Result<Vec<u8>, io::ErrorKind> {
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes).map(|_| bytes).map_err(|error| error.kind())
}

pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
