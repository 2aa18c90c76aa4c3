//! `portolan explain`: the cause and remedy of an error code.

use serde_json::json;

use super::{
    ExitResult,
    common::Common,
    report::{self, UsageError},
    table::TextTable,
};
use crate::{
    error::{
        Error,
        codes::{self, ErrorCode},
    },
    exit_code::Exit,
    similar::nearest,
};

/// The arguments of `portolan explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Code to explain, such as timeout or login.denied; without one, all are listed
    code: Option<String>,
    /// Print all codes as Markdown
    #[arg(long, conflicts_with = "code")]
    markdown: bool,
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let found: Vec<_> = match &args.code {
        None => codes::ALL.iter().collect(),
        // As an error message shows it: in parentheses.
        Some(code) => {
            let code = code.trim_matches(['(', ')', ' ']).to_lowercase();
            let row = codes::explain(&code).ok_or_else(|| unknown(&code))?;
            vec![row]
        }
    };
    if args.markdown {
        report::output(&markdown());
    } else if common.json() {
        report::json(&found.into_iter().map(value).collect::<Vec<_>>());
    } else if args.code.is_some() {
        report::output(&found.into_iter().map(whole).collect::<String>());
    } else {
        let mut table = TextTable::new(&["CODE", "MEANING"]);
        for row in found {
            table.row([row.code, row.meaning].map(str::to_owned));
        }
        report::output(&table.fitted(super::table::width()));
    }
    Ok(Exit::Done)
}

fn unknown(code: &str) -> UsageError {
    let known: Vec<_> = codes::ALL.iter().map(|row| row.code).collect();
    let near = nearest(code, &known).map_or_else(
        || ": `portolan explain` lists all".into(),
        |near| format!("; did you mean `{near}`?"),
    );
    UsageError(Error::invalid(format!("there is no error code `{code}`{near}")))
}

fn whole(row: &ErrorCode) -> String {
    let ErrorCode { code, meaning, cause, remedy } = row;
    format!("{code}: {meaning}\n\nCause:  {cause}\nRemedy: {remedy}\n")
}

fn value(row: &ErrorCode) -> serde_json::Value {
    let ErrorCode { code, meaning, cause, remedy } = row;
    json!({ "code": code, "meaning": meaning, "cause": cause, "remedy": remedy })
}

/// Renders docs/errors.md.
fn markdown() -> String {
    let mut parts = vec![HEAD.to_owned()];
    for row in codes::ALL {
        let ErrorCode { code, meaning, cause, remedy } = row;
        parts
            .push(format!("\n## `{code}`\n\n{meaning}\n\n- Cause: {cause}\n- Remedy: {remedy}.\n"));
    }
    parts.concat()
}

const HEAD: &str = "\
# Errors

Every error has a stable code. A code with a dot belongs to one error, and is named below its message; all other errors have
the code of their kind. Scripts see the code as `err.name` and the kind as `err.kind`, `--json` has the kind in each `fault`, and a code of its own as `name`,
and `portolan explain CODE` prints what is on this page. Messages may change, codes do not.
";
