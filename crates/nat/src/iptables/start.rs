//! The script that loads a ruleset's chains at boot: pure.

use std::fmt::Write;

use super::{
    names::ChainNames,
    owns::{Own, Owns, text},
};
use crate::check::Family;

/// The beginning of the script. It may be run twice: an existing jump is not added again.
const HEAD: &str = "#!/bin/sh
set -e
PATH=/usr/sbin:/sbin:/usr/bin:/bin
enter() {
    \"$1\" -w 5 -t \"$2\" -C \"$3\" -m comment --comment \"$mark\" -j \"$4\" 2>/dev/null ||
        \"$1\" -w 5 -t \"$2\" -I \"$3\" -m comment --comment \"$mark\" -j \"$4\"
}
leave() {
    \"$1\" -w 5 -t \"$2\" -D \"$3\" -m comment --comment \"$mark\" -j \"$4\" 2>/dev/null || true
    \"$1\" -w 5 -t \"$2\" -F \"$4\" 2>/dev/null || true
    \"$1\" -w 5 -t \"$2\" -X \"$4\" 2>/dev/null || true
}
";

/// Returns a script that loads `owns`, and removes them when it is called with `stop`.
pub(super) fn script(names: &ChainNames, owns: &Owns) -> String {
    let mark = names.mark();
    let mut script = format!("{HEAD}mark='{mark}'\nif [ \"$1\" != stop ]; then\n");
    for family in [Family::V4, Family::V6] {
        let chains = |own: &Own| Own { jumps: Vec::new(), ..own.clone() };
        let of_family = owns.iter().filter(|((of, _), _)| *of == family);
        let of_family: Owns = of_family.map(|(key, own)| (key.clone(), chains(own))).collect();
        if !of_family.is_empty() {
            let (program, text) = (program(family), text(&of_family));
            writeln!(script, "{program}-restore -w 5 --noflush <<'END'\n{text}END").ok();
        }
    }
    each_jump(&mut script, owns, "enter");
    script.push_str("else\n");
    each_jump(&mut script, owns, "leave");
    script.push_str("fi\n");
    script
}

fn each_jump(script: &mut String, owns: &Owns, verb: &str) {
    for ((family, table), own) in owns {
        for (chain, jump) in &own.jumps {
            let target = jump.rsplit(' ').next().unwrap_or(jump);
            writeln!(script, "{verb} {} {table} {chain} {target}", program(*family)).ok();
        }
    }
}

const fn program(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    }
}
