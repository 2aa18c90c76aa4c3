//! TLS, and its plans of faults.

use super::faults::{CASES, TALKS};
use crate::rehearse::Plan;

/// The plans that are looked at here.
const PLANS: [&str; 5] = ["tls-refused", "tls-inject", "prot-refused", "tls-no-close", "tls-reuse"];

#[test]
fn no_plan_is_without_a_test() {
    let name = |plan: &'static str| plan.split(['=', '*', '@']).next().unwrap();
    let tested: Vec<_> = TALKS
        .iter()
        .map(|(plan, _)| name(plan))
        .chain(CASES.iter().map(|(plan, _)| name(plan)))
        .chain(PLANS)
        .collect();
    for (plan, _) in Plan::ALL {
        assert!(tested.contains(plan), "{plan}");
    }
}
