//! The work of a `[job.prune]`.

use std::ops::Range;

use serde_json::{Value as Json, json};

use super::{PlaceRow, needed, places, remote};
use crate::{
    option_table::{OptionKind::Own, OptionTable},
    schedule::jobs::table::{JobsDocument, JobsTable},
    script::sites,
};

pub(super) const PLACES: OptionTable<()> = places(&[
    PlaceRow::new(
        "site",
        Own,
        "the server as a URL, or a saved site such as \"@backup\"; required",
    ),
    PlaceRow::new(
        "path",
        Own,
        "the directory whose old files are deleted; without it, that of the URL",
    ),
]);

/// Reads the places of a retention, and checks that something is to stay.
pub(super) fn read(
    table: &mut JobsTable<'_>,
    heading: &Range<usize>,
    page: &mut JobsDocument<'_>,
) -> Option<Json> {
    if table.get("keep_last").is_none() && table.get("older_than").is_none() {
        let hint = Some("such as `keep_last = 7`, `older_than = \"30d\"`, or both".into());
        page.error(heading.clone(), "it does not say what stays", hint);
    }
    let (site, span) = needed(table, "site", heading, page)?;
    if !sites::is_url(site) {
        let hint =
            "such as `site = \"ftpes://me@ftp.example.org\"`, or `\"@backup\"` for a saved site";
        page.error(span, "`site` is a URL or a saved site", Some(hint.into()));
        return None;
    }
    let place = remote(site, span, page)?;
    let path = table.text("path", page);
    if let Some((_, span)) = path.clone().filter(|(path, _)| path.is_empty()) {
        page.error(span, "`path` is empty", None);
        return None;
    }
    let has_pattern =
        place.pattern.is_some() || path.as_ref().is_some_and(|(path, _)| is_pattern(path));
    if has_pattern {
        let span = path.map_or_else(|| heading.clone(), |(_, span)| span);
        let hint = Some("`match` chooses files by their names: `match = \"*.gz\"`".into());
        page.error(span, "the directory has wildcards", hint);
        return None;
    }
    let folder = match (path, place.path.as_str()) {
        (None, folder) => folder.to_owned(),
        (Some((path, _)), ".") => path.to_owned(),
        (Some((path, span)), _) if path.starts_with('/') => {
            let hint =
                Some("leave out one of them, or the slash at the beginning of `path`".into());
            page.error(span, "the URL of `site` has a path already", hint);
            return None;
        }
        (Some((path, _)), folder) => format!("{}/{path}", folder.trim_end_matches('/')),
    };
    Some(json!({ "url": place.url, "folder": folder }))
}

fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?'])
}
