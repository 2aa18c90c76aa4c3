//! The nearest name on a server for a path that is not there.

use std::time::Duration;

use portolan_core::{
    error::{Error, ErrorKind, Origin},
    observe::visible::visible,
    similar::{is_numbered_alike, nearest},
};

use super::{fs::RemoteFs, name_encoding::NameEncoding, path::RemotePath};

/// The maximum time of the listings that suggest a name: an error is not held up for long.
const SUGGESTION_TIME_MAX: Duration = Duration::from_secs(1);
/// The maximum number of directories that are listed: if a directory is missing, the one above it is.
const SUGGESTION_LEVELS_MAX: u32 = 4;

/// Returns `fault` with the name most similar to that of the file or directory that is not on the server, if one is.
pub async fn with_nearest_name(
    session: &mut impl RemoteFs,
    fault: Error,
    encoding: NameEncoding,
) -> Error {
    if fault.kind != ErrorKind::NotFound || fault.side != Origin::Server {
        return fault;
    }
    let stop = session.stop().clone();
    let Some(path) = fault.path.clone() else { return fault };
    let found = nearest_path(session, path, encoding);
    tokio::pin!(found);
    // A listing is stopped, not dropped: the session is used further.
    let found = tokio::select! {
        found = &mut found => found,
        () = tokio::time::sleep(SUGGESTION_TIME_MAX) => {
            stop.set();
            let late = found.await;
            stop.reset();
            late
        }
    };
    match found {
        Some(near) => {
            Error { message: format!("{}; did you mean `{near}`?", fault.message), ..fault }
        }
        None => fault,
    }
}

async fn nearest_path(
    session: &mut impl RemoteFs,
    path: String,
    encoding: NameEncoding,
) -> Option<String> {
    let bytes = encoding.bytes_of(&path).ok()?;
    let path = RemotePath::parse(bytes).ok()?.in_encoding(encoding);
    let mut path = session.absolute(&path).ok()?;
    for _ in 0..SUGGESTION_LEVELS_MAX {
        if path.is_root() {
            return None;
        }
        let folder = path.parent();
        match session.list(&folder).await {
            Ok(listing) => {
                let name = encoding.text(path.name());
                // A pattern that is taken for a name has a hint of its own.
                if name.contains(['*', '?', '[']) {
                    return None;
                }
                let names: Vec<_> =
                    listing.entries.iter().map(|entry| encoding.text(&entry.name)).collect();
                let known: Vec<_> = names.iter().map(String::as_str).collect();
                let near = nearest(&name, &known)?;
                if is_numbered_alike(&name, near) {
                    return None;
                }
                let near = folder.join(&encoding.bytes_of(near).ok()?).ok()?;
                return Some(visible(near.to_string()));
            }
            Err(missing) if missing.kind == ErrorKind::NotFound => path = folder,
            Err(_) => return None,
        }
    }
    None
}
