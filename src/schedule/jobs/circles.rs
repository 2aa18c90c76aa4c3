//! Cycles among jobs: the strongly connected components of `after` (Tarjan 1972).
//!
//! Linear in the number of jobs and dependencies, since a jobs file with two thousand jobs is read on the scheduler's
//! only thread; and not recursive, since they may all form one chain.

/// The value for a node that has not been visited.
const UNMET: usize = usize::MAX;

/// The state of the search.
struct Search<'g> {
    after: &'g [Vec<usize>],
    /// The order in which each node was visited.
    met: Vec<usize>,
    /// The earliest node that each is known to reach, in that order.
    low: Vec<usize>,
    /// Nodes whose component is not known yet.
    open: Vec<usize>,
    component: Vec<usize>,
    count: usize,
}

/// Returns the component of each node; `after` has the successors of each node. Two nodes of one component reach each
/// other.
pub(super) fn components(after: &[Vec<usize>]) -> Vec<usize> {
    let unmet = vec![UNMET; after.len()];
    let mut search = Search {
        after,
        met: unmet.clone(),
        low: unmet.clone(),
        open: Vec::new(),
        component: unmet,
        count: 0,
    };
    for node in 0..after.len() {
        if at(&search.met, node) == UNMET {
            search.from(node);
        }
    }
    search.component
}

impl Search<'_> {
    fn meet(&mut self, node: usize) {
        put(&mut self.met, node, self.count);
        put(&mut self.low, node, self.count);
        self.count += 1;
        self.open.push(node);
    }

    /// Searches everything reachable from `start`.
    fn from(&mut self, start: usize) {
        // Each node with the number of its next edge.
        let mut path = vec![(start, 0)];
        self.meet(start);
        while let Some((node, edge)) = path.last_mut() {
            let node = *node;
            let next = self.after.get(node).and_then(|all| all.get(*edge)).copied();
            *edge += 1;
            match next {
                Some(next) if at(&self.met, next) == UNMET => {
                    self.meet(next);
                    path.push((next, 0));
                }
                // An edge into a finished component does not matter.
                Some(next) if at(&self.component, next) == UNMET => {
                    self.lower(node, at(&self.met, next));
                }
                Some(_) => {}
                None => {
                    path.pop();
                    self.close(node);
                    if let Some((above, _)) = path.last() {
                        self.lower(*above, at(&self.low, node));
                    }
                }
            }
        }
    }

    fn lower(&mut self, node: usize, to: usize) {
        let low = at(&self.low, node).min(to);
        put(&mut self.low, node, low);
    }

    /// Finishes `node` after all its edges: if it reaches nothing earlier, the open nodes from it on are a component.
    fn close(&mut self, node: usize) {
        if at(&self.low, node) != at(&self.met, node) {
            return;
        }
        while let Some(other) = self.open.pop() {
            put(&mut self.component, other, node);
            if other == node {
                return;
            }
        }
    }
}

fn at(list: &[usize], node: usize) -> usize {
    list.get(node).copied().unwrap_or(UNMET)
}

fn put(list: &mut [usize], node: usize, value: usize) {
    if let Some(place) = list.get_mut(node) {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns true if `to` can be reached from `from`, by exhaustive search.
    fn reaches(after: &[Vec<usize>], from: usize, to: usize) -> bool {
        let (mut seen, mut open) = (vec![false; after.len()], vec![from]);
        while let Some(node) = open.pop() {
            for next in &after[node] {
                if *next == to {
                    return true;
                }
                if !std::mem::replace(&mut seen[*next], true) {
                    open.push(*next);
                }
            }
        }
        false
    }

    proptest! {
        #[test]
        fn two_nodes_share_a_component_if_each_reaches_the_other(
            after in (1..12_usize).prop_flat_map(|count| {
                prop::collection::vec(prop::collection::vec(0..count, 0..4), count)
            }),
        ) {
            let found = components(&after);
            for (one, other) in (0..after.len()).flat_map(|one| (0..one).map(move |other| (one, other))) {
                let wanted = reaches(&after, one, other) && reaches(&after, other, one);
                prop_assert_eq!(found[one] == found[other], wanted, "{} {} {:?}", one, other, after);
            }
        }
    }

    #[test]
    fn a_chain_of_a_million_and_the_same_in_a_circle_are_searched() {
        let count = 1_000_000;
        let mut after: Vec<_> =
            (0..count).map(|node: usize| vec![node.saturating_sub(1)]).collect();
        after[0].clear();
        let mut found = components(&after);
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), count);
        after[0].push(count - 1);
        let found = components(&after);
        assert!(found.iter().all(|one| *one == found[0]));
    }
}
