//! Notice of changes: of interfaces, addresses, routes and forwarding by rtnetlink, of rules by nftables.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{RecvFlags, SocketFlags, bind, netlink, recv},
};
use tokio::io::unix::AsyncFd;

use super::netlink::open;

/// The multicast groups of rtnetlink (`linux/rtnetlink.h`): links, addresses, routes, policy rules, and the forwarding
/// of an interface, for both families.
const ROUTE_GROUPS: [u32; 9] = [1, 5, 7, 8, 9, 11, 19, 24, 25];
/// The group of nftables (`linux/netfilter/nfnetlink.h`). Its notices need `CAP_NET_ADMIN`.
const TABLE_GROUPS: [u32; 1] = [7];
/// The time without a notice after which a change is over: a new interface is a dozen of them.
const QUIET: Duration = Duration::from_millis(100);
/// The maximum time to wait for that.
const QUIET_MAX: Duration = Duration::from_secs(1);

/// The notices of the kernel since it was opened.
#[derive(Debug)]
pub struct NetworkNotices {
    routes: AsyncFd<OwnedFd>,
    /// The notices of nftables; `None` if this kernel has none, or not for this user.
    tables: Option<AsyncFd<OwnedFd>>,
}

impl NetworkNotices {
    /// Subscribes, within a runtime of tokio.
    ///
    /// # Errors
    /// If the kernel gives no notice of changes of the network.
    pub fn open() -> io::Result<Self> {
        let tables = subscribe(Some(netlink::NETFILTER), &TABLE_GROUPS).ok();
        Ok(Self { routes: subscribe(None, &ROUTE_GROUPS)?, tables })
    }

    /// Waits for a change, and until it is over.
    ///
    /// # Errors
    /// If the notices cannot be read any longer.
    pub async fn changed(&self) -> io::Result<()> {
        self.next().await?;
        let settled = async {
            while let Ok(next) = tokio::time::timeout(QUIET, self.next()).await {
                next?;
            }
            Ok(())
        };
        // Longer ones are checked in between.
        tokio::time::timeout(QUIET_MAX, settled).await.unwrap_or(Ok(()))
    }

    async fn next(&self) -> io::Result<()> {
        let Some(tables) = &self.tables else { return drain(&self.routes).await };
        tokio::select! {
            done = drain(&self.routes) => done,
            done = drain(tables) => done,
        }
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe, since a type may change its descriptor; `OwnedFd` does not"
)]
fn subscribe(
    protocol: Option<rustix::net::Protocol>,
    groups: &[u32],
) -> io::Result<AsyncFd<OwnedFd>> {
    let socket = open(protocol, SocketFlags::NONBLOCK)?;
    let mask = groups.iter().fold(0, |mask, group| mask | 1 << (group - 1));
    bind(&socket, &netlink::SocketAddrNetlink::new(0, mask))?;
    AsyncFd::new(socket)
}

/// Waits for a notice, and reads all that there are: what they say is looked up, not believed.
async fn drain(socket: &AsyncFd<OwnedFd>) -> io::Result<()> {
    // The rest of a notice is dropped.
    let mut buffer = [0; 16];
    let mut guard = socket.readable().await?;
    loop {
        match recv(socket.get_ref().as_fd(), &mut buffer, RecvFlags::TRUNC) {
            // Some were lost, which is a change as well.
            Ok(_) | Err(Errno::NOBUFS | Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                guard.clear_ready();
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
}
