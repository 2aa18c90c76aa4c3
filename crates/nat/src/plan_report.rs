//! A plan as JSON and as text, with the lines that differ: pure.

use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use super::{foreign::Warning, plan::RulesetPlan, sysctl::Sysctl};

/// The number of lines shown around a difference.
const LINES_AROUND: usize = 2;

/// Returns the difference from the lines of `old` to those of `new`: `-` before removed lines, `+` before added ones;
/// empty if they are equal.
pub fn diff(old: &str, new: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let diff = TextDiff::from_slices(&old, &new);
    let mut text = String::new();
    for group in diff.grouped_ops(LINES_AROUND) {
        if !text.is_empty() {
            text.push_str(" ...\n");
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            text.push(match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            });
            text.push_str(change.value());
            text.push('\n');
        }
    }
    text
}

/// A plan as scripts and JSON have it.
#[derive(Debug, Clone, Serialize)]
pub struct PlanDocument<'p> {
    ruleset: &'p str,
    table: &'p str,
    backend: &'p str,
    id: String,
    changed: bool,
    live_readable: bool,
    diff: &'p str,
    #[serde(flatten)]
    steps: PlanSteps<'p>,
}

/// The steps of one plan or of several.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PlanSteps<'p> {
    add: Vec<&'p str>,
    change: Vec<ChangedPart<'p>>,
    remove: Vec<&'p str>,
    warnings: Vec<String>,
    sysctl: Vec<String>,
    modules: Vec<&'p str>,
    commands: Vec<String>,
}

/// A part that takes the place of another.
#[derive(Debug, Clone, Serialize)]
struct ChangedPart<'p> {
    old: &'p str,
    new: &'p str,
}

impl<'p> PlanDocument<'p> {
    /// Returns the document of `plan`.
    pub fn of(plan: &'p RulesetPlan) -> Self {
        Self {
            ruleset: &plan.ruleset,
            table: &plan.place,
            backend: &plan.backend,
            id: plan.id(),
            changed: plan.changed,
            live_readable: plan.live_readable,
            diff: &plan.diff,
            steps: PlanSteps::of(std::slice::from_ref(plan)),
        }
    }
}

impl<'p> PlanSteps<'p> {
    /// Returns the steps of all `plans`, in their order.
    pub fn of(plans: &'p [RulesetPlan]) -> Self {
        let mut steps = Self::default();
        for plan in plans {
            steps.add.extend(plan.add.iter().map(String::as_str));
            steps.change.extend(plan.change.iter().map(|(old, new)| ChangedPart { old, new }));
            steps.remove.extend(plan.remove.iter().map(String::as_str));
            steps.warnings.extend(plan.warnings.iter().map(Warning::words));
            steps.sysctl.extend(plan.sysctls.iter().map(Sysctl::words));
            steps.modules.extend(plan.modules.iter().map(String::as_str));
            let modules = plan.modules.iter().map(|module| format!("modprobe {module}"));
            steps.commands.extend(modules);
            steps.commands.extend(plan.loading.iter().cloned());
            let settings = plan.sysctls.iter();
            steps
                .commands
                .extend(settings.map(|one| format!("sysctl -w {}={}", one.key(), one.set)));
        }
        steps
    }
}

/// Returns a plan as text, the summary first.
pub fn words(plan: &RulesetPlan) -> String {
    let mut lines =
        vec![format!("ruleset {} ({}), backend {}", plan.ruleset, plan.place, plan.backend)];
    lines.extend(plan.add.iter().map(|note| format!("  + {note}")));
    lines.extend(plan.change.iter().map(|(old, new)| format!("  ~ {old} => {new}")));
    lines.extend(plan.remove.iter().map(|note| format!("  - {note}")));
    lines.extend(plan.modules.iter().map(|module| format!("  + kernel module {module}")));
    lines.extend(plan.sysctls.iter().map(|one| format!("  + {}", one.words())));
    lines.extend(plan.warnings.iter().map(|one| format!("  ! {}", one.words())));
    if !plan.live_readable {
        lines.push(
            "  live state unreadable without CAP_NET_ADMIN: the full ruleset is shown".into(),
        );
    }
    if plan.changed {
        let warnings = plan.warnings.len();
        let s = if warnings == 1 { "" } else { "s" };
        let switches = plan.sysctls.iter().filter(|one| !one.is_companion()).count();
        let add = plan.add.len() + switches + plan.modules.len();
        let (change, remove) = (plan.change.len(), plan.remove.len());
        if add + change + remove == 0 && !plan.diff.is_empty() && plan.live_readable {
            lines.push("  ! the table was changed by another program; applying restores it".into());
        }
        lines.push(format!(
            "Plan: {add} to add, {change} to change, {remove} to remove, {warnings} warning{s}."
        ));
        if !plan.diff.is_empty() {
            lines.push(String::new());
            lines.push(plan.diff.trim_end().to_owned());
        }
    } else {
        lines.push("No changes. The live ruleset matches the plan.".into());
    }
    lines.join("\n") + "\n"
}

/// Several plans as one document: each plan, and their combined steps.
#[derive(Debug, Serialize)]
pub struct PlansDocument<'p> {
    changed: bool,
    live_readable: bool,
    backend: Option<&'p str>,
    diff: String,
    #[serde(flatten)]
    steps: PlanSteps<'p>,
    rulesets: Vec<PlanDocument<'p>>,
}

impl<'p> PlansDocument<'p> {
    /// Returns the document of `plans`.
    pub fn of(plans: &'p [RulesetPlan]) -> Self {
        Self {
            changed: plans.iter().any(|plan| plan.changed),
            live_readable: plans.iter().all(|plan| plan.live_readable),
            backend: plans.first().map(|plan| plan.backend.as_str()),
            diff: plans.iter().map(|plan| plan.diff.as_str()).collect(),
            steps: PlanSteps::of(plans),
            rulesets: plans.iter().map(PlanDocument::of).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_removed_and_added_lines_with_those_around() {
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
}
