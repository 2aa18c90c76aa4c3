//! The description of the API: it names every resource, and what is answered has the form that it says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::client::Site;
use crate::serve::scheduler::on_request;

/// Returns the resources of the server's table: path and method.
fn routes() -> BTreeSet<(String, String)> {
    let source = include_str!("../../../src/web/server.rs");
    let api = source.split("let api = Router::new()").nth(1).unwrap();
    let api = api.split("let pages").next().unwrap();
    let route = |part: &str| {
        let path = part.split('"').nth(1).unwrap().to_owned();
        let method = if part.contains("post(") { "post" } else { "get" };
        (path, method.to_owned())
    };
    api.split(".route(").skip(1).map(route).collect()
}

#[test]
fn every_resource_is_described_and_no_other() {
    let site = Site::start("", &on_request("a", ""));
    let document = site.get("/api/v1/openapi.json").send().is(200);
    assert_eq!(document["openapi"], "3.1.0");
    let mut described = BTreeSet::new();
    let mut names = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            described.insert((path.clone(), method.clone()));
            *names.entry(operation["operationId"].as_str().unwrap().to_owned()).or_insert(0) += 1;
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|code| code.starts_with('2')), "{path}");
        }
    }
    assert_eq!(described, routes());
    assert!(names.values().all(|count| *count == 1), "{names:?}");
    drop(site.stop());
}

#[test]
fn what_needs_no_token_here_is_described_so() {
    for (runner, anonymous) in [("", false), ("anonymous_read = true", true)] {
        let site = Site::start(runner, &on_request("a", ""));
        let document = site.get("/api/v1/openapi.json").send().is(200);
        assert_eq!(document["security"], json!([{ "token": [] }]));
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let wanted = match (path.as_str(), method.as_str()) {
                    ("/openapi.json", _) => json!([]),
                    (_, "get") if anonymous => json!([{ "token": [] }, {}]),
                    _ => Value::Null,
                };
                assert_eq!(operation["security"], wanted, "{method} {path}");
            }
        }
        drop(site.stop());
    }
}

/// Fails unless `value` has exactly the fields of the schema `name`.
#[track_caller]
fn has_fields(document: &Value, name: &str, value: &Value) {
    let schema = document.pointer(&format!("/components/schemas/{name}")).unwrap();
    let parts = schema.get("allOf").and_then(Value::as_array).cloned();
    let parts = parts.unwrap_or_else(|| vec![schema.clone()]);
    let of = |part: &Value| match part.get("$ref").and_then(Value::as_str) {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap().clone(),
        None => part.clone(),
    };
    let fields = parts.iter().map(of).flat_map(|part| {
        let properties = part.get("properties").and_then(Value::as_object).unwrap();
        properties.keys().cloned().collect::<Vec<_>>()
    });
    let described: BTreeSet<String> = fields.collect();
    let found: BTreeSet<String> = value.as_object().unwrap().keys().cloned().collect();
    assert_eq!(found, described, "{name}");
}

#[test]
fn documents_have_the_fields_that_are_described() {
    let site = Site::start("anonymous_read = true", &on_request("a", ""));
    site.scheduler.file("a.rhai", "");
    let token = site.token("alice", "operate");
    let document = site.get("/api/v1/openapi.json").send().is(200);
    drop(site.scheduler.command(&["trigger", "a", "--wait"]).succeeds().any_stdout());
    let has = |name: &str, value: &Value| has_fields(&document, name, value);
    has("Job", &site.get("/api/v1/jobs/a").send().is(200));
    has("Run", &site.get("/api/v1/runs").send().is(200)[0]);
    has("RunDetails", &site.get("/api/v1/runs/1").send().is(200));
    has("JobState", &site.post("/api/v1/jobs/a/pause").bearer(&token).send().is(200));
    has("Error", &site.get("/api/v1/runs/9").send().is(404));
    drop(site.stop());
}
