//! Symbolic links of a server that is the source of a mirror, followed on request.
//!
//! A link is the server's own affair: the content that it shows under a path is fetched, wherever the link leads there.
//! So a link to a file is a file, and one to a directory a directory. Nothing is written or deleted through a link,
//! since only those of the source are followed. A cycle must not happen: a link that leads to a directory that contains
//! it.

use super::{
    endpoints::place,
    filter::FilterDecision,
    scan::RemoteScan,
    tree::{Node, Why, above},
};
use portolan_core::{error::Result, limits::LINKS_DEEP_MAX};
use portolan_remote::{facts::LinkTarget, fs::RemoteFs, path::RemotePath};

impl RemoteScan<'_> {
    /// Resolves the links that were found, and adds their targets to the tree.
    pub(super) async fn follow(&mut self, session: &mut impl RemoteFs) -> Result<()> {
        for (path, target) in std::mem::take(&mut self.links) {
            match session.link_target(&place(self.top, &path)?).await? {
                LinkTarget::Nothing => self.survey.leave_out(path, Why::Nowhere)?,
                LinkTarget::File { size, modified } => {
                    if self.filter.part(&path, false) == FilterDecision::Out {
                        self.survey.tree.keep_folder_of(&path);
                    } else {
                        self.survey.tree.add(path, Node::file(size, modified, None))?;
                    }
                }
                LinkTarget::Folder { folder } => {
                    self.enter_link(path, target.as_deref(), folder)?;
                }
            }
        }
        Ok(())
    }

    /// Adds the link `path` to a directory; the server has named that `folder` itself, or the listing its `target`.
    fn enter_link(
        &mut self,
        path: Vec<u8>,
        target: Option<&[u8]>,
        folder: Option<RemotePath>,
    ) -> Result<()> {
        let part = self.filter.part(&path, true);
        if part == FilterDecision::Out {
            self.survey.tree.keep_folder_of(&path);
            return Ok(());
        }
        let encoding = self.top.encoding();
        let told = target.and_then(|target| RemotePath::parse(target).ok());
        let inside = above(&path).next().unwrap_or_default();
        let real = folder.or_else(|| self.real(inside)?.resolve(&told?).ok());
        let real = real.map(|real| real.in_encoding(encoding));
        let folders = above(&path).chain([&[][..]]);
        let mut is_circle = false;
        let mut links = 0;
        for folder in folders {
            is_circle |= real.is_some() && self.real(folder) == real;
            links += usize::from(self.followed.contains_key(folder));
        }
        if is_circle || links >= LINKS_DEEP_MAX {
            return self.survey.leave_out(path, Why::Circle);
        }
        self.followed.insert(path.clone(), real);
        self.add_folder(path, part)
    }

    /// Returns the directory that `path` is, with all links resolved; `None` if that is not known.
    fn real(&self, path: &[u8]) -> Option<RemotePath> {
        let link = std::iter::once(path).chain(above(path));
        let mut link = link.filter_map(|link| Some((link, self.followed.get(link)?)));
        let Some((link, real)) = link.next() else { return place(self.top, path).ok() };
        let rest = path.get(link.len()..).unwrap_or_default();
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        place(real.as_ref()?, rest).ok()
    }
}
