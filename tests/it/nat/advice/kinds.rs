//! The kinds of advice, each with the tests that carry it out: a kind without one is found here.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A kind, and the tests that follow it; none where it tells no command and no line for a script, or where nothing on
/// Debian understands it.
type AdviceKind = (&'static str, &'static [&'static str]);

/// The topics of warnings in plans.
const TOPICS: &[AdviceKind] = &[
    (
        "address",
        &[
            "a_source_address_that_is_gone_is_mended_in_each_way_that_is_told",
            "an_external_address_of_the_providers_is_told_at_plan_and_status",
        ],
    ),
    ("backend", &[]),
    (
        "blocked",
        &[
            "every_drop_of_others_is_named_mended_and_told_no_more",
            "remedies_for_ipv6_open_their_ways_alone_in_every_filter",
            "ufw_is_opened_for_each_way_of_a_plan_by_its_own_commands",
            "firewalld_is_opened_for_each_way_of_a_plan_whatever_the_zones",
        ],
    ),
    ("clamp", &[]),
    ("conflict", &[]),
    (
        "cut off",
        &[
            "services_are_named_before_they_are_cut_off",
            "a_login_over_a_tunnel_whose_packets_would_be_dropped_is_refused",
        ],
    ),
    ("hidden", &[]),
    (
        "idle",
        &[
            "forwarding_that_is_missing_is_told_with_what_switches_it_on",
            "ipv6_that_is_turned_off_is_told_with_what_turns_it_on",
        ],
    ),
    ("interface", &[]),
    ("isolate", &["the_allow_for_dockers_bridge_passes_its_published_ports"]),
    // Its command changes nothing: it shows what nft does not.
    ("legacy", &[]),
    ("port", &[]),
    ("refused", &[]),
    ("reverse path", &["answers_by_another_uplink_are_told_and_the_remedy_leads_them_back"]),
    ("sample", &[]),
    ("trial", &[]),
    ("uplink", &["answers_by_another_uplink_are_told_and_the_remedy_leads_them_back"]),
];

/// The formats of `nat::suggest`.
const FORMATS: &[AdviceKind] = &[
    (
        "nft",
        &[
            "nft_inserts_into_the_chain_that_filters_whatever_its_name",
            "a_client_lets_out_its_connections_to_the_server_alone",
            "nft_opens_a_pinhole_in_the_chain_of_the_router",
        ],
    ),
    (
        "iptables",
        &[
            "iptables_inserts_before_the_reject_at_the_end",
            "a_client_lets_out_its_connections_to_the_server_alone",
            "iptables_opens_a_pinhole_before_the_reject_at_the_end",
        ],
    ),
    (
        "ufw",
        &[
            "ufw_takes_the_suggestion_and_passes_nothing_else",
            "a_server_in_active_mode_lets_out_its_data_connections_alone",
            "ufw_opens_a_pinhole_by_a_route_of_its_own",
        ],
    ),
    (
        "firewalld",
        &[
            "firewalld_takes_the_suggestion_into_the_zone_of_the_interface",
            "a_server_in_active_mode_lets_out_its_data_connections_alone",
            "firewalld_opens_a_pinhole_to_the_host_of_the_suggestion_alone",
        ],
    ),
    ("windows", &[]),
    ("openwrt", &[]),
    ("routeros", &[]),
    ("pf", &[]),
    ("aws", &[]),
    ("azure", &[]),
    ("gcp", &[]),
    ("hetzner", &[]),
    (
        "vsftpd",
        &[
            "each_server_stays_within_the_range_of_its_settings",
            "vsftpd_connects_from_the_port_of_its_settings",
        ],
    ),
    ("proftpd", &["each_server_stays_within_the_range_of_its_settings"]),
    ("pure-ftpd", &["each_server_announces_the_external_address_of_its_settings"]),
    ("filezilla", &[]),
    ("iis", &[]),
];

/// Returns the text of every Rust file below a folder of the repository.
fn sources(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

/// Returns the text in quotes at the beginning of `text`.
fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.split('"').next()
}

/// Returns the topics of all warnings, by name or by the constant that holds it.
fn topics() -> BTreeSet<String> {
    let all = sources("crates/nat/src");
    let named = |constant: &str| {
        let head = format!("const {constant}: &str = ");
        let found = all.iter().find_map(|text| quoted(text.split_once(&head)?.1));
        found.unwrap_or_else(|| panic!("no constant {constant}")).to_owned()
    };
    let mut found = BTreeSet::new();
    for text in &all {
        for (head, topic) in
            text.match_indices("about: ").map(|(at, word)| text.split_at(at + word.len()))
        {
            // A change that the watcher has mended is no warning, nor is a remark in a comment.
            let is_other = head.ends_with("Mended { about: ") || head.ends_with("is about: ");
            let constant = topic.split(|one: char| !one.is_ascii_uppercase() && one != '_').next();
            match (quoted(topic), constant) {
                _ if is_other => {}
                (Some(topic), _) => {
                    found.insert(topic.to_owned());
                }
                (None, Some(constant)) if !constant.is_empty() => {
                    found.insert(named(constant));
                }
                // The declaration of the field itself.
                _ => {}
            }
        }
    }
    found
}

/// Returns the formats, in the order of the table of options.
fn formats() -> Vec<String> {
    let all = sources("src/script/api");
    let found =
        all.iter().flat_map(|text| text.lines()).filter(|line| line.contains("|it| it.format = "));
    found.map(|line| quoted(line.trim().trim_start_matches('(')).unwrap().to_owned()).collect()
}

#[test]
fn each_kind_of_advice_has_a_test_that_follows_it() {
    let known: BTreeSet<_> = TOPICS.iter().map(|(topic, _)| (*topic).to_owned()).collect();
    assert_eq!(topics(), known, "a topic of warnings without a row, or a row without a topic");
    let known: Vec<_> = FORMATS.iter().map(|(format, _)| (*format).to_owned()).collect();
    assert_eq!(formats(), known, "a format without a row, or a row without a format");
    let tests = sources("tests/it/nat");
    for test in TOPICS.iter().chain(FORMATS).flat_map(|(_, tests)| *tests) {
        let head = format!("#[test]\nfn {test}() {{");
        assert!(tests.iter().any(|text| text.contains(&head)), "no test {test}");
    }
}
