//! The line difference of two listings: pure.

/// The number of context lines around a difference.
const AROUND: usize = 2;
/// The maximum number of line pairs to compare; above it, all lines are shown as removed and added. Portolan's own
/// tables are far below it.
const PAIRS_MAX: usize = 4_000_000;

/// One line of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DiffLine<'t> {
    Same(&'t str),
    Gone(&'t str),
    Fresh(&'t str),
}

/// Returns the difference from `old` to `new`: `-` before removed lines, `+` before added ones; empty if they are
/// equal.
pub(super) fn diff(old: &str, new: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let lines = compare(&old, &new);
    let is_near = |at: usize| {
        let from = at.saturating_sub(AROUND);
        let near = lines.get(from..(at + AROUND + 1).min(lines.len())).unwrap_or_default();
        near.iter().any(|line| !matches!(line, DiffLine::Same(_)))
    };
    let mut text = String::new();
    let mut is_gap = false;
    for (at, line) in lines.iter().enumerate() {
        if !is_near(at) {
            is_gap = true;
            continue;
        }
        if is_gap && !text.is_empty() {
            text.push_str(" ...\n");
        }
        is_gap = false;
        let (sign, line) = match line {
            DiffLine::Same(line) => (' ', line),
            DiffLine::Gone(line) => ('-', line),
            DiffLine::Fresh(line) => ('+', line),
        };
        text.push(sign);
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Compares by the longest common subsequence.
fn compare<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<DiffLine<'t>> {
    if old.len().saturating_mul(new.len()) > PAIRS_MAX {
        let gone = old.iter().copied().map(DiffLine::Gone);
        return gone.chain(new.iter().copied().map(DiffLine::Fresh)).collect();
    }
    // lengths[i][j]: the length of the longest common subsequence of old[i..] and new[j..].
    let mut lengths = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    let at = |lengths: &[Vec<usize>], i: usize, j: usize| {
        lengths.get(i).and_then(|row| row.get(j)).copied().unwrap_or(0)
    };
    for (i, before) in old.iter().enumerate().rev() {
        for (j, after) in new.iter().enumerate().rev() {
            let length = if before == after {
                at(&lengths, i + 1, j + 1) + 1
            } else {
                at(&lengths, i + 1, j).max(at(&lengths, i, j + 1))
            };
            if let Some(cell) = lengths.get_mut(i).and_then(|row| row.get_mut(j)) {
                *cell = length;
            }
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    loop {
        match (old.get(i), new.get(j)) {
            (Some(before), Some(after)) if before == after => {
                lines.push(DiffLine::Same(before));
                (i, j) = (i + 1, j + 1);
            }
            (Some(before), after)
                if after.is_none() || at(&lengths, i + 1, j) >= at(&lengths, i, j + 1) =>
            {
                lines.push(DiffLine::Gone(before));
                i += 1;
            }
            (_, Some(after)) => {
                lines.push(DiffLine::Fresh(after));
                j += 1;
            }
            _ => return lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_goes_and_what_comes() {
        assert_eq!(diff("a\nb\n", "a\nb\n"), "");
        assert_eq!(diff("", "a\n"), "+a\n");
        assert_eq!(diff("a\n", ""), "-a\n");
        assert_eq!(diff("a\nb\nc\n", "a\nx\nc\n"), " a\n-b\n+x\n c\n");
        let long: Vec<_> = (0..20).map(|number| format!("{number}\n")).collect();
        let long = long.concat();
        let changed = long.replace("\n5\n", "\n").replace("\n15\n", "\n").replacen("0\n", "", 1);
        assert_eq!(
            diff(&long, &changed),
            "-0\n 1\n 2\n 3\n 4\n-5\n 6\n 7\n ...\n 13\n 14\n-15\n 16\n 17\n"
        );
    }

    proptest::proptest! {
        /// Removed and common lines are the old text, added and common lines the new one.
        #[test]
        fn both_texts_are_in_it(old in "[ab\n]{0,24}", new in "[ab\n]{0,24}") {
            let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
            let lines = compare(&old, &new);
            let side = |skip: fn(&DiffLine<'_>) -> bool| -> Vec<&str> {
                lines.iter().filter(|line| !skip(line)).map(|line| match line {
                    DiffLine::Same(text) | DiffLine::Gone(text) | DiffLine::Fresh(text) => *text,
                }).collect()
            };
            proptest::prop_assert_eq!(side(|line| matches!(line, DiffLine::Fresh(_))), old);
            proptest::prop_assert_eq!(side(|line| matches!(line, DiffLine::Gone(_))), new);
        }
    }
}
