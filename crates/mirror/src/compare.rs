//! The comparison of a file of the target with that of the source.

use std::cmp::Ordering;

use super::{
    endpoints::Endpoints, options::Compare, pass_options::CompareOptions, plan::Difference,
    tree::Node,
};

/// The result of comparing two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// They are the same.
    Same,
    /// They have the same size, and their times cannot be compared.
    SameSize,
    /// The target's is kept, since it is not known to be older (`newer_only`).
    Kept,
    /// The source's is to be transferred.
    Differs(Difference),
}

/// Compares two files under one name.
pub(super) fn compare(
    source: &Node,
    target: &Node,
    options: CompareOptions,
    heading: &Endpoints,
) -> Judgement {
    let order = source.order(target, heading.unit_ns());
    let is_same_size = source.size.zip(target.size).map(|(one, two)| one == two);
    let judgement = match options.compare {
        Compare::Checksum => by_content(source, target, is_same_size),
        compare => judge(is_same_size, order, compare, heading.keeps_times),
    };
    match judgement {
        Judgement::Differs(_) if options.newer_only && order != Some(Ordering::Greater) => {
            Judgement::Kept
        }
        judgement => judgement,
    }
}

fn by_content(source: &Node, target: &Node, is_same_size: Option<bool>) -> Judgement {
    match is_same_size {
        Some(false) => Judgement::Differs(Difference::Size),
        _ if source.same_content || target.same_content => Judgement::Same,
        _ => Judgement::Differs(Difference::Content),
    }
}

fn judge(
    is_same_size: Option<bool>,
    order: Option<Ordering>,
    compare: Compare,
    keeps_times: bool,
) -> Judgement {
    use Judgement::{Differs, Same, SameSize};
    if is_same_size == Some(false) {
        return Differs(Difference::Size);
    }
    if compare == Compare::Size {
        return if is_same_size.is_some() { Same } else { Differs(Difference::Unknown) };
    }
    match order {
        Some(Ordering::Equal) => Same,
        // The target's time is that of its arrival, which is later than that of the file.
        Some(Ordering::Less) if !keeps_times => Same,
        Some(_) => Differs(Difference::Time),
        None if is_same_size.is_some() => SameSize,
        None => Differs(Difference::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use jiff::Timestamp;

    use super::*;
    use crate::{endpoints::Direction, options::MirrorOptions};
    use portolan_remote::{
        entry::{Modified, Precision},
        path::RemotePath,
    };

    fn file(size: u64, ms: i64, precision: Precision) -> Node {
        let time = Timestamp::from_millisecond(ms).unwrap();
        Node::file(Some(size), Some(Modified::Utc(time, precision)), None)
    }

    fn heading(direction: Direction, keeps_times: bool) -> Endpoints {
        let (local, remote) = (PathBuf::from("/here"), RemotePath::root());
        Endpoints { direction, local, remote, keeps_times, server: String::new() }
    }

    #[test]
    fn times_are_compared_as_exactly_as_both_are_known() {
        use Precision::{Day, Millisecond, Minute, Second};
        let same = Judgement::Same;
        let time = Judgement::Differs(Difference::Time);
        for (direction, apart_ms, precision, judgement) in [
            (Direction::Up, 999, Second, same),
            (Direction::Up, 1000, Second, time),
            (Direction::Up, -1000, Second, time),
            (Direction::Up, 999, Millisecond, same),
            (Direction::Down, 999, Millisecond, time),
            (Direction::Down, 999, Second, same),
            (Direction::Up, 59_999, Minute, same),
            (Direction::Up, 60_000, Minute, time),
            (Direction::Down, 86_399_999, Day, same),
        ] {
            let source = file(1, 1_000_000_000 + apart_ms, Millisecond);
            let target = file(1, 1_000_000_000, precision);
            let found = compare(
                &source,
                &target,
                MirrorOptions::default().comparison(),
                &heading(direction, true),
            );
            assert_eq!(found, judgement, "{direction:?} {apart_ms} {precision:?}");
        }
    }

    #[test]
    fn where_times_are_not_kept_a_later_target_is_the_same() {
        let heading = heading(Direction::Up, false);
        let rules = MirrorOptions::default();
        let (early, late) = (file(1, 0, Precision::Second), file(1, 10_000, Precision::Second));
        assert_eq!(compare(&early, &late, rules.comparison(), &heading), Judgement::Same);
        assert_eq!(
            compare(&late, &early, rules.comparison(), &heading),
            Judgement::Differs(Difference::Time)
        );
    }

    #[test]
    fn s58_a_time_in_an_unknown_zone_decides_nothing() {
        let zoneless = |size| {
            let time = jiff::civil::date(2020, 1, 1).at(0, 0, 0, 0);
            Node::file(Some(size), Some(Modified::Server(time, Precision::Minute)), None)
        };
        let heading = heading(Direction::Down, true);
        let local = file(1, 0, Precision::Millisecond);
        let rules = MirrorOptions::default();
        assert_eq!(
            compare(&zoneless(1), &local, rules.comparison(), &heading),
            Judgement::SameSize
        );
        let size = Judgement::Differs(Difference::Size);
        assert_eq!(compare(&zoneless(2), &local, rules.comparison(), &heading), size);
        let rules = MirrorOptions { newer_only: true, ..rules };
        assert_eq!(compare(&zoneless(2), &local, rules.comparison(), &heading), Judgement::Kept);
    }

    #[test]
    fn sizes_alone_decide_where_that_is_asked_for() {
        let heading = heading(Direction::Down, true);
        let rules = MirrorOptions { compare: Compare::Size, ..MirrorOptions::default() };
        let (one, two) = (file(1, 0, Precision::Second), file(1, 10_000, Precision::Second));
        assert_eq!(compare(&one, &two, rules.comparison(), &heading), Judgement::Same);
    }
}
