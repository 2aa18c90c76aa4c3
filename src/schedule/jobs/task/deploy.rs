//! The work of a `[job.deploy]`.

use std::ops::Range;

use serde_json::{Value as Json, json};

use super::{PlaceRow, needed, places, remote};
use crate::{
    ftp::url::Url,
    option_table::{OptionKind::Own, OptionTable},
    schedule::jobs::table::{JobsDocument, JobsTable},
};

pub(super) const PLACES: OptionTable<()> = places(&[
    PlaceRow::new("from", Own, "the local directory with the built site; required"),
    PlaceRow::new(
        "to",
        Own,
        "the directory on the server as a URL, which is created if it is missing; required",
    ),
]);

/// Reads the places of a deployment.
pub(super) fn read(
    table: &mut JobsTable<'_>,
    heading: &Range<usize>,
    page: &mut JobsDocument<'_>,
) -> Option<Json> {
    let (from, to) = (needed(table, "from", heading, page), needed(table, "to", heading, page));
    let ((local, local_span), (to, span)) = (from?, to?);
    if Url::is_one(local) {
        page.error(local_span, "`from` is a local directory", None);
        return None;
    }
    if !Url::is_one(to) {
        let hint = Some("such as `to = \"ftpes://deploy@www.example.com/htdocs\"`".into());
        page.error(span, "`to` is a URL", hint);
        return None;
    }
    let place = remote(to, span, page)?;
    Some(json!({ "url": place.url, "remote": place.path, "local": local }))
}
