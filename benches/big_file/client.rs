//! Our side of the race, in a process of its own, so that its processor time and memory can be told.

use std::path::Path;

use portolan::{
    files::{Landing, Reading},
    ftp::{
        path::RemotePath,
        session::{Context, Session},
        transfer::Known,
        url::Url,
    },
};

/// Does one task: `put` or `get` of the large file.
pub(crate) fn transfer(task: &str, mut arguments: impl Iterator<Item = String>) {
    let (url, file) = (arguments.next().unwrap(), arguments.next().unwrap());
    let mut site = Url::parse(&url).unwrap().site;
    site.trust.ca_file = arguments.next().map(Into::into);
    let work = async {
        let mut session = Session::open(site, Context::default()).await?;
        let remote = RemotePath::parse("big")?;
        let file = Path::new(&file);
        if task == "put" {
            session.upload_file(Reading::open(file)?, &remote, false).await?;
        } else {
            let landing = Landing::begin(file)?;
            session.download(&remote, landing, Known::default(), false).await?;
        }
        session.close().await;
        Ok::<(), portolan::fault::Fault>(())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Err(fault) = runtime.block_on(work) {
        panic!("{task}: {fault}");
    }
}
