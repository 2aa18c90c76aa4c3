//! Functions, properties, and options of the script language.

use std::collections::BTreeSet;

use super::holds;
use crate::support::program::Portolan;

/// Returns the number of parameters of a signature such as `put(local: string, remote: string)`; `None` for a property.
fn arguments(signature: &str) -> Option<usize> {
    let (_, rest) = signature.split_once('(')?;
    let mut depth = 0_usize;
    let (mut count, mut has_any) = (1, false);
    for c in rest.chars() {
        match c {
            ')' if depth == 0 => break,
            '(' | '<' | '[' => depth += 1,
            ')' | '>' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => count += 1,
            _ => {}
        }
        has_any |= !c.is_whitespace();
    }
    Some(if has_any { count } else { 0 })
}

#[test]
fn every_function_property_and_option_is_still_there() {
    let mut ran = Portolan::new().args(["functions", "--json"]).run().succeeds();
    let manual = ran.json();
    drop(ran.any_stdout());
    let mut lines = BTreeSet::new();
    for function in manual.as_array().unwrap() {
        let name = function["name"].as_str().unwrap();
        for overload in function["overloads"].as_array().unwrap() {
            let signature = overload["signature"].as_str().unwrap();
            lines.insert(match arguments(signature) {
                Some(count) => format!("{name} takes {count}"),
                None => name.to_owned(),
            });
        }
        for option in function["options"].as_array().into_iter().flatten() {
            lines.insert(format!("{name} #{{ {} }}", option.as_str().unwrap()));
        }
    }
    assert!(lines.contains("ftp::connect #{ mode }"), "{lines:#?}");
    holds("language.txt", &lines);
}

#[test]
fn arguments_are_counted() {
    for (signature, count) in [
        ("now() -> Time", Some(0)),
        ("f(a: string)", Some(1)),
        ("f(a: map<string, int>, b: Fn(int, int)) -> string", Some(2)),
        ("site.host -> string", None),
    ] {
        assert_eq!(arguments(signature), count, "{signature}");
    }
}

/// Checks the fields of errors that scripts catch, their kinds, and the constants of a job.
#[test]
fn errors_and_facts_of_jobs_keep_their_names() {
    let fields = ["kind", "side", "message", "code", "host", "path", "may_retry"];
    let rows: String =
        fields.map(|field| format!("print(`{field} ${{type_of(err.{field})}}`);\n")).concat();
    let script = format!(
        "try {{ ftp::connect(\"ftp://127.0.0.1:1/\"); }} catch (err) {{\n{rows}}}\n\
         for fact in [job::NAME, job::ATTEMPT, job::SCHEDULED_FOR, job::TRIGGER] {{ fact.to_string(); }}\n"
    );
    let ran = Portolan::new().script(&script).run().succeeds().any_stderr();
    let lines = ran.stdout_text().lines().map(str::to_owned).collect::<BTreeSet<_>>();
    drop(ran.any_stdout());
    assert_eq!(lines.len(), fields.len(), "{lines:?}");
    holds("errors.txt", &lines);
}
