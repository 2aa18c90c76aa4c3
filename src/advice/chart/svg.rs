//! Charts as a picture: three columns, one line for each step.

use std::fmt::Write;

use super::{ChartStep, ModeChart};

/// The width of the picture, and the places of the client, the router and the server in it.
const WIDTH: usize = 900;
const CLIENT: usize = 110;
const ROUTER: usize = 450;
const SERVER: usize = 790;
/// The height of a step, and of the heads of the columns with the title above.
const STEP: usize = 46;
const HEAD: usize = 120;
/// The maximum length of a text in characters: more does not fit between the columns.
const TEXT_LENGTH_MAX: usize = 96;

/// Returns both charts as one picture.
pub fn svg(charts: &[ModeChart]) -> String {
    let height = |chart: &ModeChart| HEAD + STEP * (chart.steps.len() + 1);
    let total: usize = charts.iter().map(height).sum::<usize>().max(STEP);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{total}\" viewBox=\"0 0 {WIDTH} {total}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<defs><marker id=\"end\" markerWidth=\"10\" markerHeight=\"8\" refX=\"9\" \
         refY=\"4\" orient=\"auto\"><path d=\"M0,0 L10,4 L0,8 z\"/></marker></defs>\n<rect width=\"{WIDTH}\" height=\"{total}\" \
         fill=\"white\"/>\n"
    );
    let mut top = 0;
    for chart in charts {
        draw(chart, top, &mut text);
        top += height(chart);
    }
    text + "</svg>\n"
}

fn draw(chart: &ModeChart, top: usize, text: &mut String) {
    write(text, CLIENT - 90, top + 24, "start", "black", &chart.title);
    column(text, CLIENT, top, "this machine", &chart.client, chart.steps.len());
    if let Some(router) = &chart.router {
        let inside = router.inside.map_or("?".to_owned(), |inside| inside.to_string());
        let outside = router.outside.map_or("?".to_owned(), |outside| outside.to_string());
        column(text, ROUTER, top, "router", &format!("{inside} | {outside}"), chart.steps.len());
        write(
            text,
            ROUTER,
            top + HEAD + STEP * chart.steps.len() + 20,
            "middle",
            "gray",
            &router.part,
        );
    }
    column(text, SERVER, top, "server", &chart.server, chart.steps.len());
    for (number, step) in chart.steps.iter().enumerate() {
        arrow(text, top + HEAD + STEP * number + 20, number + 1, step);
    }
}

fn column(text: &mut String, x: usize, top: usize, name: &str, address: &str, steps: usize) {
    let (left, y) = (x - 100, top + 40);
    writeln!(
        text,
        "<rect x=\"{left}\" y=\"{y}\" width=\"200\" height=\"44\" fill=\"none\" stroke=\"black\"/>"
    )
    .ok();
    write(text, x, top + 58, "middle", "black", name);
    write(text, x, top + 76, "middle", "black", address);
    let (from, to) = (top + 84, top + HEAD + STEP * steps);
    writeln!(text, "<line x1=\"{x}\" y1=\"{from}\" x2=\"{x}\" y2=\"{to}\" stroke=\"gray\"/>").ok();
}

fn arrow(text: &mut String, y: usize, number: usize, step: &ChartStep) {
    let (from, to) = if step.is_outbound { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
    let color = if step.broken.is_some() { "red" } else { "black" };
    let dashes = if step.opens { "" } else { " stroke-dasharray=\"6 4\"" };
    writeln!(
        text,
        "<line x1=\"{from}\" y1=\"{y}\" x2=\"{to}\" y2=\"{y}\" stroke=\"{color}\"{dashes} marker-end=\"url(#end)\"/>"
    )
    .ok();
    let middle = CLIENT.midpoint(SERVER);
    write(text, middle, y - 6, "middle", color, &format!("{number}. {}", step.text));
    if let Some(why) = &step.broken {
        write(
            text,
            to.abs_diff(if step.is_outbound { 40 } else { 0 }),
            y + 5,
            "middle",
            color,
            "✗",
        );
        write(text, middle, y + 15, "middle", color, why);
    }
    if let Some(rule) = &step.rule {
        write(text, middle, y + 29, "middle", color, &format!("✗ here: {rule}"));
    }
}

fn write(text: &mut String, x: usize, y: usize, anchor: &str, color: &str, words: &str) {
    let short: String = words.chars().take(TEXT_LENGTH_MAX).collect();
    let safe = short.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    writeln!(
        text,
        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" fill=\"{color}\">{safe}</text>"
    )
    .ok();
}
