//! Texts that a shell or nft could read as more than one word (security class S68).

use super::Gate;

/// A script that tries every hostile text as every text argument of every function of a ruleset.
pub(super) const SCRIPT: &str = r#"
let hostile = [
    "x\"; } ; add table inet evil ; #", "wan; drop", "wan\" drop comment \"", "wan accept", "wan\n\tdrop", "wan}", "{ wan }",
    "$(touch evil)", "`touch evil`", "; touch evil", "-j", "--help", "-f", "*", "w*", "", " ", "10.0.0.1; drop",
    "10.0.0.0/8 drop", "10.0.0.0/8\n", "21; drop", "21 accept", "21-22 drop", "@evil", "21,,22", "../../etc/passwd", "a/b",
    "include \"/etc/passwd\"", "\u202ewan", "wa\u0000n", "::1%wan", "%s%n", "a very long name of an interface",
];
let tried = 0;
let refused = 0;
let note = |err| if err.code.type_of() == "string" && err.code.starts_with("nat.bad_") { 1 } else { throw err; };

for text in hostile {
    tried += 1;
    try { nat::ruleset(text); } catch (err) { refused += note.call(err); }
}
let whole = #{
    masquerade: #{ source: "10.0.0.0/8", out: "wan", to: "203.0.113.1", except: "10.9.0.0/16" },
    forward: #{ in: "wan", ports: "80", to: "10.0.0.1", to_port: "8080", hairpin: "10.0.0.0/8", from: "192.0.2.0/24",
        except: "203.0.113.2", external: "203.0.113.1" },
    allow: #{ in: "lan", out: "wan", source: "10.0.0.0/8", to: "192.0.2.1", except: "192.0.2.9", ports: "80" },
    accept: #{ in: "lan", ports: "53", from: "10.0.0.0/8" },
    clamp_mss: #{ out: "wan" },
    ftp_helper: #{ ports: "21", in: "lan", server: "203.0.113.10" },
    ftp_active: #{ ports: "40000", to: "10.0.0.1", server: "203.0.113.10", in: "wan", external: "203.0.113.1" },
    ftp_server: #{ passive: "50000", control: "21", to: "10.0.0.1", in: "wan", hairpin: "10.0.0.0/8", from: "192.0.2.0/24", external: "203.0.113.1" },
    with_open: #{ ports: "40000", to: "10.0.0.1", server: "203.0.113.10", in: "wan", external: "203.0.113.1" },
};
for name in whole.keys() {
    for key in whole[name].keys() {
        for text in hostile {
            let options = whole[name];
            options[key] = text;
            let rules = nat::ruleset("hostile");
            tried += 1;
            try {
                switch name {
                    "masquerade" => rules.masquerade(options),
                    "forward" => rules.forward(options),
                    "allow" => rules.allow(options),
                    "accept" => rules.accept(options),
                    "clamp_mss" => rules.clamp_mss(options),
                    "ftp_helper" => rules.ftp_helper(options),
                    "ftp_active" => rules.ftp_active(options),
                    "ftp_server" => rules.ftp_server(options),
                    "with_open" => nat::with_open(options, || throw "it opened something"),
                }
                rules.apply(#{ absent_ok: true });
            } catch (err) { refused += note.call(err); }
        }
    }
}
print(`${tried} tried, ${tried - refused} taken`);
"#;

#[test]
fn a_text_that_is_more_than_a_word_changes_nothing() {
    let Some(gate) = Gate::lay() else { return };
    let before = gate.rules();
    let ran = gate.run(SCRIPT).succeeds().any_stderr();
    let said = ran.stdout_text().to_owned();
    let tried: u32 = said.split(' ').next().unwrap().parse().unwrap();
    assert!(tried > 1000, "{said}");
    assert!(said.ends_with(" tried, 0 taken\n"), "{said}");
    // There is no file `evil` either: the check on drop finds no change in the directory.
    drop(ran.any_stdout());
    assert_eq!(gate.rules(), before);
}

/// The same for the functions that ask a router and those that write rules for other firewalls: a text that is not
/// refused must not occur in their output.
const ASKED: &str = r#"
let hostile = [
    "x\"; } ; add table inet evil ; #", "10.0.0.1; reboot", "10.0.0.1\naccept", "$(touch evil)", "`touch evil`", "-j", "*", "",
    "10.0.0.0/8 drop", "21; drop", "21 accept", "50000-50009\n#", "../../etc/passwd", "wa\u0000n", "::1%wan", "%s%n",
];
let formats = ["nft", "iptables", "ufw", "firewalld", "windows", "vsftpd", "proftpd", "pure-ftpd"];
let tried = 0;
let refused = 0;
for format in formats {
    for key in ["from", "external_address", "ports", "control", "side", "mode", "format"] {
        for text in hostile {
            let options = #{ side: "server", mode: "passive", format: format };
            options[key] = text;
            tried += 1;
            try { nat::suggest(options); } catch { refused += 1; }
        }
    }
}
for key in ["ports", "lease", "via"] {
    for text in hostile {
        let options = #{ ports: 40000 };
        options[key] = text;
        tried += 1;
        try { nat::map_ports(options); } catch (err) {
            // It never came as far as to ask.
            if err.code.type_of() == "string" && err.code == "nat.no_gateway" { throw err; }
            refused += 1;
        }
    }
}
print(`${tried} tried, ${tried - refused} taken`);
"#;

#[test]
fn a_text_that_is_more_than_a_word_is_in_no_rule_for_others() {
    let Some(gate) = Gate::lay() else { return };
    let before = gate.rules();
    let ran = gate.run(ASKED).succeeds().any_stderr();
    assert!(ran.stdout_text().ends_with(" tried, 0 taken\n"), "{}", ran.stdout_text());
    drop(ran.any_stdout());
    assert_eq!(gate.rules(), before);
}

#[test]
fn a_hostile_name_on_the_command_line_is_refused() {
    let Some(gate) = Gate::lay() else { return };
    let before = gate.rules();
    for name in ["x; flush ruleset", "x }", "-f", "x\ny", "../x", ""] {
        for verb in ["status", "confirm", "rollback", "revert"] {
            let option = format!("--ruleset={name}");
            let program = gate.portolan("").args(["nat", verb, &option]);
            let ran = gate.router.within(|| program.run());
            ran.fails_with(3).stderr_has("(nat.bad_name)").any_stderr();
        }
    }
    assert_eq!(gate.rules(), before);
}
