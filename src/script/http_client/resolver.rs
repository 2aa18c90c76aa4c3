//! Names are resolved once, and what they mean is checked before anything is sent there.

use std::sync::{Arc, Mutex, PoisonError};

use ureq::{
    http::Uri,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
};

use super::address::host_of;
use crate::{
    error::{Error, Result},
    permissions::RunPermissions,
};

/// Resolves names, and asks for each address before it is used.
#[derive(Debug)]
pub(super) struct CheckedResolver {
    pub(super) permissions: Arc<RunPermissions>,
    /// The host of the proxy, which the user has set.
    pub(super) proxy: Option<String>,
    /// The denial, which the client could not pass on.
    pub(super) denied: Arc<Mutex<Option<Error>>>,
    pub(super) plain: DefaultResolver,
}

impl Resolver for CheckedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.plain.resolve(uri, config, timeout)?;
        if self.proxy.as_deref() == uri.host() {
            return Ok(found);
        }
        let (host, _) = host_of(uri);
        for address in &found {
            // One of several is enough to refuse all: the next connection may take it.
            let asked = self.permissions.allow_http_address(&host, address.port(), address.ip());
            if let Err(denial) = asked {
                *self.denied.lock().unwrap_or_else(PoisonError::into_inner) = Some(denial);
                return Err(ureq::Error::HostNotFound);
            }
        }
        Ok(found)
    }
}
