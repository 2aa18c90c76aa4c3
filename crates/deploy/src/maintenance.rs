//! The maintenance page: a file that is on the server for the time of a deployment.

use std::{fs, path::Path};

use portolan_core::{
    error::{Error, Result},
    observe::MessageLevel,
};
use portolan_remote::{fs::RemoteFs, path::RemotePath};

use super::remote;

/// The maximum number of bytes of a maintenance page.
const PAGE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A maintenance page, with its content.
#[derive(Debug)]
pub(super) struct MaintenancePage {
    name: Vec<u8>,
    bytes: Vec<u8>,
}

impl MaintenancePage {
    /// Reads the local file `path`.
    pub(super) fn read(path: &str) -> Result<Self> {
        let name = name(path)?.as_bytes().to_vec();
        let size = fs::metadata(path).map_err(|error| Error::local("read", path, error))?.len();
        if size > PAGE_BYTES_MAX {
            let message = format!("a maintenance page has at most {PAGE_BYTES_MAX} bytes");
            return Err(Error::invalid(message).at(path));
        }
        let bytes = fs::read(path).map_err(|error| Error::local("read", path, error))?;
        Ok(Self { name, bytes })
    }

    /// Puts the page into the directory `top`.
    pub(super) async fn put(&self, session: &mut impl RemoteFs, top: &RemotePath) -> Result<()> {
        session.mkdir(top).await?;
        remote::write(session, &top.join(&self.name)?, &self.bytes).await
    }

    /// Removes the page from the directory `top`.
    pub(super) async fn remove(&self, session: &mut impl RemoteFs, top: &RemotePath) -> Result<()> {
        remote::gone(session.remove(&top.join(&self.name)?).await)
    }

    /// Reports that the page stays, since the deployment failed.
    pub(super) fn tell_left(&self, session: &impl RemoteFs, top: &RemotePath) {
        if let Ok(path) = top.join(&self.name) {
            let text = format!("{path}: the maintenance page stays until a deployment succeeds");
            session.observer().message(MessageLevel::Warn, text);
        }
    }
}

fn name(path: &str) -> Result<&str> {
    let name = Path::new(path).file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| Error::invalid("`maintenance` wants a file").at(path))
}

/// Returns the pattern of the page, which the deployment itself leaves alone.
pub(super) fn pattern(path: &str) -> Result<String> {
    let mut pattern = String::from("/");
    for c in name(path)?.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '!' | '#' | ' ') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    Ok(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_a_pattern_of_its_own_name() {
        assert_eq!(pattern("pages/down.html").unwrap(), "/down.html");
        assert_eq!(pattern("a[1].html").unwrap(), "/a\\[1\\].html");
        assert!(pattern("..").is_err());
    }
}
