//! The servers, and what was learned of each.

use axum::response::Response;
use maud::html;
use serde_json::Value;

use super::layout::{foreign, page as whole, table, time_of};
use crate::{schedule::facts, store::routes::KnownServer, web::access::Caller};

/// Returns the list of servers, from the values that the API has.
pub(super) fn page(records: &[KnownServer], caller: &Caller) -> Response {
    let all: Vec<Value> = records.iter().map(facts::server).collect();
    let text = |server: &Value, key: &str| {
        foreign(server.get(key).and_then(Value::as_str).unwrap_or_default())
    };
    let heads = ["Server", "User", "TLS", "Mode", "Round trip", "Remarks", "From network", "Seen"];
    let rows = html! {
        @for server in &all {
            tr {
                th scope="row" data-label="Server" {
                    (text(server, "host")) ":" (server.get("port").and_then(Value::as_u64).unwrap_or(0))
                }
                td data-label="User" { (text(server, "user")) }
                td data-label="TLS" { (text(server, "tls")) }
                td data-label="Mode" {
                    (text(server, "mode")) " (" (text(server, "method")) ")"
                    @let failed = text(server, "failed_mode");
                    @if !failed.is_empty() { div.about { (failed) " failed" } }
                }
                td.number data-label="Round trip" {
                    (server.get("round_trip_ms").and_then(Value::as_u64).unwrap_or(0)) " ms"
                }
                td data-label="Remarks" { (remarks(server)) }
                td data-label="From network" { (text(server, "network")) }
                td data-label="Seen" { (time_of(server.get("seen_at").and_then(Value::as_str))) }
            }
        }
    };
    let content = html! {
        h1 { "Servers" }
        p.about { "What earlier sessions have learned, and later ones begin with." }
        div #servers data-live {
            @if all.is_empty() { p { "No server has been used yet." } }
            @else { (table("Servers", &heads, &rows)) }
        }
    };
    whole("Servers", "/servers", caller, &content)
}

fn remarks(server: &Value) -> String {
    let is = |key: &str| server.get(key) == Some(&Value::Bool(true));
    let pipelining = server.get("pipelining").and_then(Value::as_str);
    let parts = [
        is("tls12_only").then(|| "data connections need TLS 1.2".to_owned()),
        is("announced_address").then(|| "data connections use the announced address".to_owned()),
        is("refuses_list_all").then(|| "refuses `LIST -a`".to_owned()),
        pipelining.map(|words| format!("pipelining: {}", foreign(words))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}
