//! The limit on segments where a line takes smaller packets than Ethernet.

use super::{
    Gate,
    reach::{connects, each_filter, ruleset, serve},
};

const MASQUERADE: &str =
    r#"rules.masquerade(#{ source: ["192.168.50.0/24", "2001:db8:50::/64"], out: "wan" });"#;

/// Counts the sizes that connections announce at both ends.
const COUNT: &str = "table inet seen {
    chain in {
        type filter hook input priority filter
        meta nfproto ipv4 tcp flags & syn == syn tcp option maxseg size 1452 counter comment \"fits\"
        meta nfproto ipv6 tcp flags & syn == syn tcp option maxseg size 1432 counter comment \"fits6\"
        meta nfproto ipv4 tcp flags & syn == syn tcp option maxseg size 1460 counter comment \"full\"
    }
}";

impl Gate {
    /// Returns the notes of the sizes that were announced since the last call, at the server and at the client.
    fn announced(&self) -> [Vec<String>; 2] {
        for space in [&self.client, &self.server] {
            space.try_rules(&format!("table inet seen\ndelete table inet seen\n{COUNT}")).unwrap();
        }
        for address in ["203.0.113.10:7000", "[2001:db8:113::10]:7000"] {
            assert!(connects(&self.client, address));
        }
        [&self.server, &self.client].map(|space| {
            let listing = space.read("nft list table inet seen");
            let lines = listing
                .lines()
                .filter(|line| line.contains("comment") && !line.contains("packets 0 "));
            lines.map(|line| line.split('"').nth(1).unwrap().to_owned()).collect()
        })
    }
}

#[test]
fn on_a_narrow_line_connections_announce_what_fits() {
    each_filter(|gate, filter| {
        gate.add_ipv6();
        for address in ["0.0.0.0:7000", "[2001:db8:113::10]:7000"] {
            serve(&gate.server, address);
        }
        let full = ["full"].map(str::to_owned).to_vec();
        let fits = ["fits", "fits6"].map(str::to_owned).to_vec();
        gate.apply_in(filter, MASQUERADE);
        assert_eq!(gate.announced(), [full.clone(), full.clone()], "{filter}: Ethernet");
        // The line of a PPPoE uplink; the server does not know of it.
        gate.router.sh("ip link set wan mtu 1492");
        let plan = gate.nat(&ruleset(MASQUERADE), &["plan"]).fails_with(2);
        drop(plan.stdout_has("  + clamp mss on wan\n").any_stdout());
        gate.apply_in(filter, MASQUERADE);
        assert_eq!(gate.announced(), [fits.clone(), fits.clone()], "{filter}: both directions");
        gate.apply_in(filter, &format!("{MASQUERADE} rules.clamp_mss(false);"));
        assert_eq!(gate.announced(), [full.clone(), full.clone()], "{filter}: switched off");
        gate.apply_in(
            filter,
            &format!("{MASQUERADE} rules.clamp_mss(false); rules.clamp_mss(#{{ out: \"wan\" }});"),
        );
        assert_eq!(gate.announced(), [fits.clone(), fits], "{filter}: on that interface");
        gate.router.sh("ip link set wan mtu 1500");
        let always = format!("{MASQUERADE} rules.clamp_mss(true);");
        gate.apply_in(filter, &always);
        assert!(gate.done(&ruleset(&always), &["status"]).contains("  clamp mss on wan\n"));
        assert_eq!(
            gate.announced(),
            [full.clone(), full],
            "{filter}: nothing is made larger or smaller"
        );
    });
}
