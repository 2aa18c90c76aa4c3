//! Charts as a sequence diagram of Mermaid.

use super::ModeChart;

/// Returns both charts as one diagram.
pub fn mermaid(charts: &[ModeChart]) -> String {
    let mut lines = vec!["sequenceDiagram".to_owned()];
    let Some(first) = charts.first() else { return lines.join("\n") + "\n" };
    let has_router = first.router.is_some();
    lines.push(format!("    participant C as this machine {}", plain(&first.client)));
    if let Some(router) = &first.router {
        let inside = router.inside.map_or("?".to_owned(), |inside| inside.to_string());
        let outside = router.outside.map_or("?".to_owned(), |outside| outside.to_string());
        lines.push(format!("    participant R as router {inside} / {outside}"));
    }
    lines.push(format!("    participant S as server {}", plain(&first.server)));
    let all = if has_router { "C,R,S" } else { "C,S" };
    for chart in charts {
        lines.push(format!(
            "    Note over {}: {}",
            if has_router { "C,S" } else { all },
            plain(&chart.title)
        ));
        if let Some(router) = &chart.router {
            lines.push(format!("    Note over R: {}", plain(&router.part)));
        }
        for (number, step) in (1..).zip(&chart.steps) {
            let (from, to) = if step.is_outbound { ("C", "S") } else { ("S", "C") };
            // A cross at the end of the arrow: the message does not arrive.
            let arrow = match (&step.broken, step.opens) {
                (Some(_), _) => "-x",
                (None, true) => "->>",
                (None, false) => "-->>",
            };
            lines.push(format!("    {from}{arrow}{to}: {number}. {}", plain(&step.text)));
            if let Some(why) = &step.broken {
                lines.push(format!("    Note right of S: {number} fails, {}", plain(why)));
            }
            if let Some(rule) = &step.rule {
                lines.push(format!("    Note left of C: {number} here, {}", plain(rule)));
            }
        }
    }
    lines.join("\n") + "\n"
}

/// Returns a text without the characters that mean something to Mermaid.
fn plain(text: &str) -> String {
    let kept = |c: char| c.is_alphanumeric() || " .,:-_()/|'".contains(c);
    let arrows = text.replace("->", "to");
    arrows.chars().map(|c| if kept(c) { c } else { ' ' }).collect::<String>().trim().to_owned()
}
