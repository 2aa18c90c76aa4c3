//! Advice for administrators, from a diagnosis of a server: the connections that firewalls have to let through, and the
//! chart of them.

pub mod chart;
mod firewall_rules;

pub use self::firewall_rules::{AllowedConnection, rules, rules_with};

use serde_json::{Value, json};

use crate::{
    ftp::doctor::{Advice, Diagnosis, value},
    nat::suggest::filter_chains,
};

/// Adds what this host itself filters to a diagnosis, which a failed connection may be due to.
pub fn look_at_host(diagnosis: &mut Diagnosis) {
    let chains = filter_chains::here().into_iter().filter(|chain| chain.hook == "output");
    diagnosis.own_filters = chains.map(|chain| chain.words()).collect();
}

/// Returns a diagnosis as JSON: the fields of [`value`], and
///
/// ```text
/// rules        what to let through for the mode, or for passive mode where none works: [{side ("here" "server"), nft,
///              nft_note (how to find the chain where nft's is assumed, or null), iptables, words,
///              setting (that limits the passive ports of the server, or null)}]
/// channels     for filters without state, both ways: [{mode, from, to, opens (true if the first packet goes that way),
///              what}]
/// ```
pub fn diagnosis_value(diagnosis: &Diagnosis, verdict: &Advice) -> Value {
    let mut document = value(diagnosis, verdict);
    let rules: Vec<_> = rules(diagnosis, verdict)
        .into_iter()
        .map(|rule| {
            json!({
                "side": rule.side, "nft": rule.nft, "nft_note": rule.nft_note, "iptables": rule.iptables,
                "words": rule.words, "setting": rule.setting,
            })
        })
        .collect();
    if let Some(fields) = document.as_object_mut() {
        fields.insert("rules".into(), rules.into());
        let channels = chart::channels(diagnosis, verdict).into_iter().map(|one| {
            json!({
                "mode": one.mode, "from": one.from, "to": one.to, "opens": one.opens, "what": one.what,
            })
        });
        fields.insert("channels".into(), channels.collect());
    }
    document
}
