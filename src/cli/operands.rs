//! The operands of commands on files: URLs of one server, patterns in them, and local files.

use std::path::{Path, PathBuf};

use super::common::Common;
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    ftp::{
        listing::EntryKind,
        path::{RemotePath, component},
        session::Session,
        site::Site,
        url::Url,
    },
    remote::fs::RemoteFs as _,
    script::sites::parse_url,
};

/// Standard input as a source, or standard output as a target.
pub(super) const STANDARD: &str = "-";

/// Parses `texts` as URLs of one server, and returns them with its settings.
pub(super) fn urls(texts: &[String], common: &Common) -> Result<(Site, Vec<Url>)> {
    let mut urls: Vec<Url> = texts.iter().map(|text| parse_url(text)).collect::<Result<_>>()?;
    let first = urls.first().ok_or_else(|| Error::invalid("a URL is wanted"))?;
    let is_same = |other: &&Url| {
        let (one, other) = (&first.site, &other.site);
        one.host.eq_ignore_ascii_case(&other.host)
            && (one.port, one.tls) == (other.port, other.tls)
            && one.user == other.user
    };
    if let Some(at) = urls.iter().position(|url| !is_same(&url)) {
        let other = texts.get(at).map(String::as_str).unwrap_or_default();
        let host = parse_url(other).map(|url| url.site.host).unwrap_or_default();
        return Err(Error::invalid(format!(
            "all URLs must be of one server and one login: {host} is another than {}",
            first.site.host
        )));
    }
    let site = common.site(first)?;
    urls.iter_mut().try_for_each(|url| url.encode(site.encoding))?;
    Ok((site, urls))
}

/// Returns the path of a URL; that of the login directory if it has none.
pub(super) fn path_of(url: &Url) -> Result<RemotePath> {
    let path = url.path.clone().map_or_else(|| RemotePath::parse("."), Ok)?;
    Ok(path.in_encoding(url.site.encoding))
}

/// Returns the files that a URL means: those that match its pattern, or the one that it names.
pub(super) async fn expand(session: &mut Session, url: &Url) -> Result<Vec<RemotePath>> {
    let named = path_of(url)?;
    let Some(pattern) = &url.pattern else { return Ok(vec![named]) };
    let found = session.glob(pattern).await?;
    if !found.is_empty() {
        return Ok(found);
    }
    // A name may have such characters itself.
    if session.exists(&named).await? {
        return Ok(vec![named]);
    }
    let message = format!("no file matches `{named}`");
    Err(Error::new(ErrorKind::NotFound, Origin::Server, message))
}

/// Returns true if a URL names a directory of the server.
pub(super) async fn is_folder(session: &mut Session, url: &Url) -> Result<bool> {
    if url.is_folder || url.pattern.is_some() {
        return Ok(url.pattern.is_none());
    }
    let entry = session.stat(&path_of(url)?).await?;
    Ok(entry.kind == EntryKind::Dir)
}

/// Returns the name in `folder` for the remote file `remote`.
pub(super) fn local_name(folder: &Path, remote: &RemotePath) -> Result<PathBuf> {
    component(remote.name())?;
    let name = remote.encoding().decode(remote.name())?;
    component(&name)?;
    let name = std::str::from_utf8(&name);
    let name = name.map_err(|_| Error::invalid("its name is not UTF-8: name the local file"))?;
    Ok(folder.join(name))
}
