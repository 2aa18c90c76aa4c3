//! The diagram of the connections that a mode needs. Pure.

use std::net::SocketAddr;

use crate::ftp::{
    doctor::{Diagnosis, Endpoint, ModeProbe},
    site::{Mode, TlsMode},
};

/// The characters of a diagram.
pub(super) struct Pen {
    /// A horizontal line.
    pub(super) line: char,
    side: char,
    corners: [char; 4],
    right: char,
    left: char,
}

impl Pen {
    /// Returns Unicode characters if the locale supports them, else ASCII.
    pub(super) const fn new(unicode: bool) -> Self {
        if unicode {
            Self {
                line: '─', side: '│', corners: ['┌', '┐', '└', '┘'], right: '▶', left: '◀'
            }
        } else {
            Self { line: '-', side: '|', corners: ['+', '+', '+', '+'], right: '>', left: '<' }
        }
    }
}

/// The width of the whole diagram in columns, without its indent.
const WIDTH: usize = 76;
/// The minimum length of an arrow in columns.
const ARROW: usize = 16;

/// The direction in which a connection is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ArrowDirection {
    Out,
    In,
}

/// One connection: its local port, its remote port, and the direction in which it is opened.
struct Channel {
    here: String,
    there: String,
    name: &'static str,
    way: ArrowDirection,
}

/// Draws the two connections of `mode` as they were seen at `door`.
pub(super) fn chart(survey: &Diagnosis, door: &Endpoint, mode: Mode, pen: &Pen) -> String {
    let is_of_mode = |trial: &&ModeProbe| trial.step.is_active() == (mode == Mode::Active);
    let seen = door.trials.iter().filter(is_of_mode).find(|trial| trial.carries());
    let seen = seen.and_then(|trial| trial.address.parse::<SocketAddr>().ok());
    let port = |seen: Option<u16>| match seen {
        Some(port) => format!("port {port} (any above 1023)"),
        None => "any port above 1023".to_owned(),
    };
    let control = Channel {
        here: port(door.local.map(|local| local.port())),
        there: format!("port {} (commands)", door.address.port()),
        name: "commands",
        way: ArrowDirection::Out,
    };
    let range = survey.site.port_range.as_ref();
    let range = range.map(|range| format!("port {}-{}", range.start(), range.end()));
    let data = match mode {
        Mode::Active => Channel {
            here: range.unwrap_or_else(|| port(seen.map(|seen| seen.port()))),
            there: if door.tls == TlsMode::Implicit {
                "port 989, or any above 1023"
            } else {
                "port 20, or any above 1023"
            }
            .into(),
            name: "data",
            way: ArrowDirection::In,
        },
        Mode::Passive | Mode::Auto | Mode::Race => Channel {
            here: port(None),
            there: port(seen.map(|seen| seen.port())),
            name: "data",
            way: ArrowDirection::Out,
        },
    };
    let ours = door.local.map(|local| local.ip().to_canonical().to_string());
    let theirs = door.address.ip().to_canonical().to_string();
    draw(&ours.unwrap_or_default(), &theirs, &[control, data], pen)
}

fn draw(ours: &str, theirs: &str, channels: &[Channel], pen: &Pen) -> String {
    let wide = |own: &str, texts: &mut dyn Iterator<Item = &String>| {
        let most = texts.map(|text| text.chars().count()).max().unwrap_or(0);
        most.max(own.len())
    };
    let left = wide(ours, &mut channels.iter().map(|channel| &channel.here));
    let right = wide(theirs, &mut channels.iter().map(|channel| &channel.there));
    let arrow = WIDTH.saturating_sub(left + right + 8).max(ARROW);
    let gap = " ".repeat(arrow);
    let line = |count: usize| pen.line.to_string().repeat(count);
    let [tl, tr, bl, br] = pen.corners;
    let side = pen.side;
    let mut rows = vec![
        format!("{:<w$}{gap}{}", "this machine", "the server", w = left + 4),
        format!("{tl}{}{tr}{gap}{tl}{}{tr}", line(left + 2), line(right + 2)),
        format!("{side} {ours:<left$} {side}{gap}{side} {theirs:<right$} {side}"),
    ];
    for Channel { here, there, name, way } in channels {
        let text = format!(" {name} ");
        let before = arrow.saturating_sub(text.len() + 1) / 2;
        let after = arrow.saturating_sub(text.len() + 1 + before);
        let shaft = match way {
            ArrowDirection::Out => format!("{}{text}{}{}", line(before), line(after), pen.right),
            ArrowDirection::In => format!("{}{}{text}{}", pen.left, line(after), line(before)),
        };
        rows.push(format!("{side} {here:<left$} {side}{shaft}{side} {there:<right$} {side}"));
    }
    rows.push(format!("{bl}{}{br}{gap}{bl}{}{br}", line(left + 2), line(right + 2)));
    let rows: Vec<_> = rows.iter().map(|row| format!("  {}\n", row.trim_end())).collect();
    rows.concat()
}
