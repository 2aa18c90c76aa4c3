//! `portolan functions`: the manual of the language.

use serde_json::json;

use super::{
    ExitResult,
    common::Common,
    report::{self, UsageError},
    table,
};
use crate::{
    error::Error,
    exit_code::Exit,
    script::docs::{self, DocEntry, folded},
};

/// The arguments of `portolan functions`.
#[derive(Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
pub(super) struct Args {
    /// Function to show, such as ftp::connect or get
    name: Option<String>,
    /// Print the whole manual as Markdown
    #[arg(long, conflicts_with_all = ["name", "definitions"])]
    markdown: bool,
    /// Print definitions for editors that support Rhai
    #[arg(long, conflicts_with = "name")]
    definitions: bool,
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    if args.definitions {
        report::output(&docs::definitions());
        return Ok(Exit::Done);
    }
    let all = docs::all_functions();
    let found = match &args.name {
        None => all.iter().collect(),
        Some(name) => docs::find(&all, name),
    };
    if let (Some(name), true) = (&args.name, found.is_empty()) {
        let family: Vec<_> = all.iter().filter(|entry| is_of(entry, name)).cloned().collect();
        if !family.is_empty() {
            if common.json() {
                report::json(&family.iter().map(value).collect::<Vec<_>>());
            } else {
                report::output(&list(&family, table::width()));
            }
            return Ok(Exit::Done);
        }
        let near = docs::near(&all, name).map(|near| format!("; did you mean `{near}`?"));
        let near = near.unwrap_or_else(|| ": `portolan functions` lists all".into());
        let message = format!("there is no function `{name}`{near}");
        return Err(UsageError(Error::invalid(message)).into());
    }
    if args.markdown {
        report::output(&docs::markdown(&all));
    } else if common.json() {
        report::json(&found.into_iter().map(value).collect::<Vec<_>>());
    } else if args.name.is_some() {
        report::output(&found.into_iter().map(whole).collect::<Vec<_>>().join("\n"));
    } else {
        report::output(&list(&all, table::width()));
    }
    Ok(Exit::Done)
}

/// Returns true for a function whose name begins with `name`, such as `csv` or `site`.
fn is_of(entry: &DocEntry, name: &str) -> bool {
    let name = name.trim_end_matches([':', '.']);
    let rest = entry.path.strip_prefix(name).unwrap_or_default();
    !name.is_empty() && rest.starts_with([':', '.'])
}

/// Returns one line per function, grouped by family; descriptions that exceed `width` continue on the next line.
fn list(all: &[DocEntry], width: Option<usize>) -> String {
    let names = all.iter().map(|entry| entry.short().len()).max().unwrap_or(0);
    let mut parts = Vec::new();
    let mut family = "";
    for entry in all {
        if entry.family != family {
            let gap = if family.is_empty() { "" } else { "\n" };
            family = &entry.family;
            parts.push(format!("{gap}{family}\n"));
        }
        let room = width.map_or(usize::MAX, |width| width.saturating_sub(names + 4).max(24));
        let mut lines = folded(&entry.summary(), room).into_iter();
        let first = lines.next().unwrap_or_default();
        parts.push(format!("  {:<names$}  {first}\n", entry.short()));
        parts.extend(lines.map(|line| format!("  {:<names$}  {line}\n", "")));
    }
    parts.concat()
}

/// Returns the full manual of one function.
fn whole(entry: &DocEntry) -> String {
    let mut parts = Vec::new();
    for (number, overload) in entry.overloads.iter().enumerate() {
        let gap = if number == 0 { "" } else { "\n" };
        parts.push(format!("{gap}{}\n", overload.signature));
        parts.push(indented(&overload.text, 2));
        for example in &overload.examples {
            parts.push("\n".into());
            parts.push(indented(example, 4));
        }
    }
    if !entry.options.is_empty() {
        parts.push(format!("\noptions: {}\n", entry.options.join(", ")));
    }
    parts.concat()
}

/// Indents each line of `text` by `columns`.
fn indented(text: &str, columns: usize) -> String {
    let margin = " ".repeat(columns);
    let lines = text.lines().map(|line| format!("{}\n", format!("{margin}{line}").trim_end()));
    lines.collect()
}

fn value(entry: &DocEntry) -> serde_json::Value {
    let overloads = entry.overloads.iter().map(
        |one| json!({ "signature": one.signature, "text": one.text, "examples": one.examples }),
    );
    json!({
        "family": entry.family,
        "name": entry.path,
        "kind": if entry.is_property { "property" } else { "function" },
        "overloads": overloads.collect::<Vec<_>>(),
        "options": entry.options,
    })
}
