//! Names that a server stores in another form, so that two of them may become one: truncated, or with a replacement for
//! each character that it does not support.

use std::collections::BTreeMap;

use super::{
    endpoints::{Endpoints, place},
    tree::{Node, NodeKind, ScanResult, name_of},
};
use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    observe::visible::visible,
};
use portolan_remote::fs::RemoteFs;

/// The length in bytes of the longest name that every server keeps.
const SHORT_NAME: usize = 8;
/// The length in bytes of the longest name that is kept by a server that keeps temporary names.
const KEPT_NAME: usize = 40;
/// The files in a directory of the target whose listed names are not known.
#[derive(Default)]
pub(super) struct UnlistedFiles {
    pub(super) paths: Vec<Vec<u8>>,
    /// The listed paths there that nothing explains.
    pub(super) names: Vec<Vec<u8>>,
}

/// Leaves out of the source the files that exist under unlisted names, in each directory that lists fewer names than
/// there are files that could have them: some of them are the same there.
pub(super) async fn refuse_merged(
    session: &mut impl RemoteFs,
    source: &mut ScanResult,
    heading: &Endpoints,
    left: BTreeMap<Vec<u8>, UnlistedFiles>,
) -> Result<()> {
    for UnlistedFiles { paths, names } in left.into_values() {
        if paths.len() <= names.len() || paths.len() < 2 {
            continue;
        }
        if let Some(longest) = names.iter().max_by_key(|name| name.len()) {
            let longer = [longest.as_slice(), b"x"].concat();
            session.ask_long_name(&place(&heading.remote, &longer)?).await?;
        }
        let shortens = session.capabilities().shortens_names;
        // If the listing is truncated, names are missing that no server changes.
        if paths.iter().any(|path| !may_be_changed(name_of(path), shortens)) {
            continue;
        }
        let message = format!(
            "the server has these {} names for {} files: some of them are one there",
            paths.len(),
            names.len()
        );
        for path in paths {
            let fault = Error::new(ErrorKind::Refused, Origin::Server, message.clone());
            source.faults.push(fault.at(visible(&path)));
            source.tree.cut(&path);
            source.tree.set(path, Node::of(NodeKind::Other));
        }
    }
    Ok(())
}

/// Returns true if some server may store `name` in another form: with replacements for characters that it does not
/// accept, without the part after a `?`, or truncated. `shortens` is true if the server is known to truncate names.
pub(super) fn may_be_changed(name: &[u8], shortens: bool) -> bool {
    let most = if shortens { SHORT_NAME } else { KEPT_NAME };
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    name.len() > most || !name.iter().all(is_plain) || name.ends_with(b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_plain_letters_are_kept_unless_they_are_cut() {
        let long = "a-name-of-more-than-forty-bytes-is-a-long-name.txt";
        for (name, shortens, may_be) in [
            ("index.html", false, false),
            ("index.html", true, true),
            ("README", true, false),
            ("Read Me.txt", false, true),
            ("caf\u{e9}", false, true),
            ("a.php?b", false, true),
            ("end.", false, true),
            (long, false, true),
        ] {
            assert_eq!(may_be_changed(name.as_bytes(), shortens), may_be, "{name} {shortens}");
        }
    }
}
