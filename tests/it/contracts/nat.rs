//! Names of the objects that `portolan nat` makes in the kernel, and keys of its output.

use std::collections::BTreeSet;

use serde_json::Value;

use super::holds;
use crate::nat::rules::{Gate, OFFICE};

fn add_keys(prefix: &str, value: &Value, lines: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                lines.insert(format!("{prefix}.{key}"));
                add_keys(&format!("{prefix}.{key}"), value, lines);
            }
        }
        Value::Array(items) => {
            for item in items {
                add_keys(&format!("{prefix}[]"), item, lines);
            }
        }
        _ => {}
    }
}

#[test]
fn tables_chains_comments_and_documents_keep_their_names() {
    let Some(gate) = Gate::lay() else { return };
    let mut lines = BTreeSet::new();
    for verb in ["plan", "apply", "confirm", "status"] {
        let program = match verb {
            "plan" | "apply" => gate.nat(OFFICE, &[verb, "--json"]),
            _ => {
                let program = gate.portolan(OFFICE).args(["nat", verb, "--json"]);
                gate.router.within(|| program.run())
            }
        };
        let ran = program.any_code().any_stderr();
        for document in serde_json::Deserializer::from_str(ran.stdout_text()).into_iter::<Value>() {
            add_keys(&format!("nat {verb}"), &document.unwrap(), &mut lines);
        }
        drop(ran.any_stdout());
    }
    let is_ours = |line: &&str| line.contains("portolan");
    for line in gate.rules().lines().filter(is_ours) {
        let words = line.trim().trim_end_matches(" {");
        lines.insert(format!("nft {}", words.split("comment ").last().unwrap_or(words)));
    }
    for line in
        gate.rules().split("table inet portolan_office {").nth(1).unwrap_or_default().lines()
    {
        if line.starts_with('}') {
            break;
        }
        if let Some(chain) = line.trim().strip_prefix("chain ") {
            lines.insert(format!("nft chain {}", chain.trim_end_matches(" {")));
        }
    }
    gate.nat(OFFICE, &["revert"]).any_code().forget();
    assert!(lines.contains("nft table inet portolan_office"), "{lines:#?}");
    holds("nat.txt", &lines);
}
