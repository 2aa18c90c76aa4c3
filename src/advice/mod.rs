//! Advice for administrators: the connections that firewalls have to let through, from a diagnosis of a server.

mod firewall_rules;

pub use self::firewall_rules::{AllowedConnection, rules, rules_with};

use serde_json::{Value, json};

use crate::ftp::doctor::{Advice, Diagnosis, value};

/// Returns a diagnosis as JSON: the fields of [`value`], and
///
/// ```text
/// rules        what to let through for the mode, or for passive mode where none works: [{side ("here" "server"), nft,
///              iptables, words, setting (that limits the passive ports of the server, or null)}]
/// ```
pub fn diagnosis_value(diagnosis: &Diagnosis, verdict: &Advice) -> Value {
    let mut document = value(diagnosis, verdict);
    let rules: Vec<_> = rules(diagnosis, verdict)
        .into_iter()
        .map(|rule| {
            json!({
                "side": rule.side, "nft": rule.nft, "iptables": rule.iptables, "words": rule.words,
                "setting": rule.setting,
            })
        })
        .collect();
    if let Some(fields) = document.as_object_mut() {
        fields.insert("rules".into(), rules.into());
    }
    document
}
