//! Our side of the race, in a process of its own, so that its processor time and memory can be measured.

use std::{io, path::Path};

use portolan::{
    files::{AtomicFile, SourceFile},
    ftp::{
        path::RemotePath,
        session::{RunContext, Session},
        transfer::{RemoteMeta, TransferOptions},
        url::Url,
    },
    remote::stream::{StreamSink, StreamSource},
};

/// Runs one task: `put` or `get` of the large file, or `put pipe` from standard input and `get pipe` to standard output.
pub(crate) fn transfer(task: &str, mut arguments: impl Iterator<Item = String>) {
    let (url, file) = (arguments.next().unwrap(), arguments.next().unwrap());
    let mut site = Url::parse(&url).unwrap().site;
    site.trust.ca_file = arguments.next().map(Into::into);
    let work = async {
        let mut session = Session::open(site, RunContext::default()).await?;
        let remote = RemotePath::parse("big")?;
        let file = Path::new(&file);
        let options = TransferOptions::default();
        match task {
            "put" => {
                session.upload_file(SourceFile::open(file)?, &remote, false).await?;
            }
            "put pipe" => {
                let mut source = StreamSource::new(io::stdin(), "standard input");
                session.put_from(&mut source, &remote, &options).await?;
            }
            "get pipe" => {
                #[expect(clippy::disallowed_methods, reason = "the file goes there")]
                let output = io::stdout();
                let mut sink = StreamSink::new(output, "standard output");
                session.get_into(&remote, &mut sink, &options).await?;
                sink.finish()?;
            }
            _ => {
                let landing = AtomicFile::begin(file)?;
                session.download(&remote, landing, RemoteMeta::default(), false).await?;
            }
        }
        session.close().await;
        Ok::<(), portolan::error::Error>(())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Err(fault) = runtime.block_on(work) {
        panic!("{task}: {fault}");
    }
}
