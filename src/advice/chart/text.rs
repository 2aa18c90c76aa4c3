//! The steps of a chart as text.

use super::ModeChart;

/// Returns the router and the numbered steps, one line each, with a mark at the one that fails.
pub fn steps(chart: &ModeChart, unicode: bool) -> Vec<String> {
    let (right, left, cross) = if unicode { ("→", "←", "✗") } else { ("->", "<-", "x") };
    let mut lines = Vec::new();
    if let Some(router) = &chart.router {
        let inside = router.inside.map_or("?".to_owned(), |inside| inside.to_string());
        let outside = router.outside.map_or("?".to_owned(), |outside| outside.to_string());
        lines.push(format!("router {inside} | {outside}: {}", router.part));
    }
    for (number, step) in (1..).zip(&chart.steps) {
        let way = if step.is_outbound { right } else { left };
        let text = if unicode { step.text.replace("->", right) } else { step.text.clone() };
        let broken = step.broken.as_ref().map(|why| format!(" {cross} {why}")).unwrap_or_default();
        lines.push(format!("{number}. {way} {text}{broken}"));
        lines.extend(step.rule.as_ref().map(|rule| format!("{cross} here: {rule}")));
    }
    lines
}
