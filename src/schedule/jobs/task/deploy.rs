//! The work of a `[job.deploy]`.

use std::ops::Range;

use serde_json::{Value as Json, json};

use super::{PlaceRow, needed, places, remote};
use crate::{
    deploy::web_host,
    option_table::{OptionKind::Own, OptionTable},
    permissions::PermissionOptions,
    schedule::jobs::table::{JobsDocument, JobsTable},
    script::sites,
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
    if sites::is_url(local) {
        page.error(local_span, "`from` is a local directory", None);
        return None;
    }
    if !sites::is_url(to) {
        let hint = Some("such as `to = \"ftpes://deploy@www.example.com/htdocs\"`".into());
        page.error(span, "`to` is a URL", hint);
        return None;
    }
    let place = remote(to, span, page)?;
    Some(json!({ "url": place.url, "remote": place.path, "local": local }))
}

/// Returns what the options ask for beside files and servers: the program `git`, and the host of `check_url`. To name
/// them in the job allows them.
pub(super) fn permissions(options: &Json) -> PermissionOptions {
    let mut needed = PermissionOptions::default();
    if options.get("git").and_then(Json::as_bool) == Some(true) {
        needed.run.push("git".to_owned());
    }
    let url = options.get("check_url").and_then(Json::as_str);
    if let Some((host, port)) = url.and_then(web_host) {
        let is_v6 = host.contains(':');
        needed.http.push(if is_v6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") });
    }
    needed
}
