//! The example of docs/nat.md for parts of rulesets, as it stands there.

use super::reach::each_filter;

#[test]
fn the_example_of_the_documentation_is_applied_as_it_stands() {
    let page = include_str!("../../../../docs/nat.md");
    let mut blocks = page.split("```rhai\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let block = blocks.find(|block| block.contains("nat::ruleset(\"branch\")")).unwrap();
    each_filter(|gate, filter| {
        gate.add_ipv6();
        gate.router.sh("ip link set lan down; ip link set lan name eth0; ip link set eth0 up
            ip link set wan down; ip link set wan name eth1; ip link set eth1 up
            ip route add 192.168.0.0/24 dev eth0; ip route add 192.168.7.0/24 dev eth0");
        let ran = gate.nat(block, &["apply", "--backend", filter]).succeeds();
        drop(ran.stdout("branch: applied\n").any_stderr());
        let plan = gate.done(block, &["plan"]);
        assert!(plan.ends_with("\nNo changes. The live ruleset matches the plan.\n"), "{plan}");
        let status = gate.done(block, &["status"]);
        for part in [
            "  masquerade 192.168.0.0/24, 192.168.7.0/24 -> eth1 except 10.0.0.0/8\n",
            "  forward 2222 -> 192.168.0.5 port 22 from eth1 for 198.51.100.7, 203.0.113.0/24\n",
            "  allow eth1 -> eth0 to 2001:db8::5 tcp 21, 50000-50009\n",
            "  accept tcp+udp 53 from eth0\n",
        ] {
            assert!(status.contains(part), "{filter}: {status}");
        }
    });
}
