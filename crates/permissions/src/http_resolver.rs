//! The resolver of HTTP clients: names are resolved once, and what they mean is checked before anything is sent there. A
//! name that changes its address between a check and its use leads nowhere (DNS rebinding).

use std::sync::{Arc, Mutex, PoisonError};

use portolan_core::error::{Error, Result};
use ureq::{
    http::Uri,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
};

use super::RunPermissions;

/// Resolves names, and asks for each address before it is used.
#[derive(Debug)]
pub struct CheckedResolver {
    permissions: Arc<RunPermissions>,
    /// The host of the proxy, which the user has set.
    proxy: Option<String>,
    denied: ResolverDenial,
    plain: DefaultResolver,
}

/// The denial of an address, which a client could not pass on.
#[derive(Debug, Clone, Default)]
pub struct ResolverDenial(Arc<Mutex<Option<Error>>>);

impl ResolverDenial {
    /// Returns the denial, if there was one.
    pub fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl CheckedResolver {
    /// Creates one that asks `permissions`. The host of a `proxy` is not asked for.
    pub fn new(permissions: Arc<RunPermissions>, proxy: Option<String>) -> Self {
        Self {
            permissions,
            proxy,
            denied: ResolverDenial::default(),
            plain: DefaultResolver::default(),
        }
    }

    /// Returns the place of a denial.
    pub fn denial(&self) -> ResolverDenial {
        self.denied.clone()
    }
}

impl Resolver for CheckedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.plain.resolve(uri, config, timeout)?;
        if self.proxy.is_some() && self.proxy.as_deref() == uri.host() {
            return Ok(found);
        }
        let (host, _) = web_place(uri);
        for address in &found {
            // One of several is enough to refuse all: the next connection may take it.
            let asked = self.permissions.allow_http_address(&host, address.port(), address.ip());
            if let Err(denial) = asked {
                *self.denied.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(denial);
                return Err(ureq::Error::HostNotFound);
            }
        }
        Ok(found)
    }
}

/// Returns the host of a URL without brackets, and the port.
pub fn web_place(target: &Uri) -> (String, u16) {
    let host = target.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let usual = if target.scheme_str() == Some("https") { 443 } else { 80 };
    (host, target.port_u16().unwrap_or(usual))
}
