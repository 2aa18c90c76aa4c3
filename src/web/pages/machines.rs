//! The machines that share the schedule.

use axum::response::Response;
use maud::html;

use super::layout::{badge, foreign, page as whole, table};
use crate::{schedule::machines::MachineState, web::access::Caller};

/// Returns the list of machines.
pub(super) fn page(machines: &[MachineState], caller: &Caller) -> Response {
    let heads = ["Machine", "Role", "Runs", "Heartbeat", "Labels", "Version", "Jobs", "Clock"];
    let rows = html! {
        @for machine in machines {
            tr {
                th scope="row" data-label="Machine" { (foreign(&machine.record.name)) }
                td data-label="Role" { (badge(machine.role())) }
                td.number data-label="Runs" { (machine.running) "/" (machine.record.room) }
                td data-label="Heartbeat" { (machine.heartbeat()) }
                td data-label="Labels" { (foreign(&machine.record.labels.replace('\n', " "))) }
                td data-label="Version" { (foreign(&machine.record.version)) }
                td data-label="Jobs" { (foreign(&machine.release_words())) }
                td data-label="Clock" { (machine.clock_words()) }
            }
        }
    };
    let content = html! {
        h1 { "Machines" }
        p.about { "Each runs what the leader gives it. If the leader is gone, another one leads." }
        div #machines data-live {
            @if machines.is_empty() { p { "This scheduler shares its jobs with no other machine." } }
            @else { (table("Machines", &heads, &rows)) }
        }
    };
    whole("Machines", "/machines", caller, &content)
}
