//! Names that look like something else: each arrives unchanged in every combination.

use portolan::remote::fs::RemoteFs as _;
use portolan::{error::Error, ftp::path::RemotePath};

use super::{Stand, path};
use crate::support::server::Kind;

const ODD: [&str; 22] = [
    " leading blank",
    "trailing blank ",
    "two  blanks",
    "-leading-dash",
    "-la",
    ".hidden",
    "..dots",
    "~",
    "~root",
    "[a]*?{b}",
    "a -> b",
    "-rw-r--r-- 1 owner group 5 Jan 01 2020 fake.txt",
    "type=file;size=9; fake.txt",
    "total 12",
    "226 Transfer complete.",
    "01-02-20  03:04PM  <DIR>  dos",
    "back\\slash",
    "quo\"te's",
    "%2e%2e%2fx",
    "grüße",
    "日本語",
    "e\u{301}",
];

pub(super) async fn survive_as_they_are(stand: &mut Stand<'_>) -> Result<(), Error> {
    stand.session.mkdir(&path("/work/odd")).await?;
    let long = "n".repeat(255);
    // Pure-FTPd allows no name with a backslash, and substitutes `_` for a blank at the end.
    let is_pure = stand.cell.kind == Kind::PureFtpd;
    let is_taken = |name: &&[u8]| !is_pure || !name.contains(&b'\\') && !name.ends_with(b" ");
    let mut names: Vec<&[u8]> = ODD.iter().map(|name| name.as_bytes()).filter(is_taken).collect();
    names.extend([long.as_bytes(), b"caf\xe9".as_slice(), b"y\xffz"]);
    let folder = path("/work/odd");
    for name in &names {
        let at = folder.join(name)?;
        let sent = stand.put_at(&at, name).await?;
        assert!(sent.verified, "{at}");
    }
    // The files have exactly these names, and the listing returns them.
    let mut wanted: Vec<Vec<u8>> = names.iter().map(|name| name.to_vec()).collect();
    wanted.sort();
    let listing = stand.session.list(&folder).await?;
    assert!(listing.complete, "{:?}", listing.refused);
    let mut listed: Vec<_> = listing.entries.iter().map(|entry| entry.name.clone()).collect();
    listed.sort();
    assert_eq!(shown(&listed), shown(&wanted));
    for name in &names {
        let at = folder.join(name)?;
        assert_eq!(stand.session.read(&at, 999).await?, *name, "{at}");
        assert_eq!(stand.session.size(&at).await?, name.len() as u64, "{at}");
        let entry = stand.session.stat(&at).await?;
        assert_eq!((&entry.name, entry.size), (&name.to_vec(), Some(name.len() as u64)), "{at}");
        within(stand, &folder, name).await?;
    }
    assert_eq!(stand.names("/work/odd").await?, [""; 0]);
    Ok(())
}

/// Makes and uses a directory of that name; renames and removes a file of that name.
async fn within(stand: &mut Stand<'_>, folder: &RemotePath, name: &[u8]) -> Result<(), Error> {
    let at = folder.join(name)?;
    if stand.cell.kind == Kind::Proftpd && name.contains(&b'*') {
        // It allows no directory with an asterisk in its name.
        return stand.session.remove(&at).await;
    }
    stand.session.rename(&at, &folder.join(b"plain")?).await?;
    stand.session.mkdir(&at).await?;
    stand.session.cd(&at).await?;
    stand.put("inside", b"!").await?;
    assert_eq!(stand.names(".").await?, ["inside"], "{at}");
    stand.session.remove(&path("inside")).await?;
    stand.session.cd(&path("/")).await?;
    stand.session.rmdir(&at).await?;
    stand.session.rename(&folder.join(b"plain")?, &at).await?;
    stand.session.remove(&at).await
}

fn shown(names: &[Vec<u8>]) -> Vec<String> {
    names.iter().map(|name| name.escape_ascii().to_string()).collect()
}
