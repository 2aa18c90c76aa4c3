//! Values of a script as text and as JSON: the engine itself knows our types only by their Rust names.

use rhai::{Array, Dynamic, Map};
use serde_json::Value;

use super::value::Time;
use crate::{
    error::Error,
    mirror::report::Report,
    observe::json::{fault_value, line},
    secret::Secret,
};

/// Returns a value as text, for messages and errors. A secret is `***`, also inside an array or a map.
pub fn text(value: &Dynamic) -> String {
    let inner = |value: &Dynamic| {
        if value.is_string() { format!("{value:?}") } else { text(value) }
    };
    if let Some(array) = value.read_lock::<Array>() {
        let all: Vec<_> = array.iter().map(inner).collect();
        return format!("[{}]", all.join(", "));
    }
    if let Some(map) = value.read_lock::<Map>() {
        let all: Vec<_> =
            map.iter().map(|(key, value)| format!("{key:?}: {}", inner(value))).collect();
        return format!("#{{{}}}", all.join(", "));
    }
    own(value).unwrap_or_else(|| value.to_string())
}

/// Returns the text of a value of one of our types.
fn own(value: &Dynamic) -> Option<String> {
    fn of<T: ToString + Send + Sync + Clone + 'static>(value: &Dynamic) -> Option<String> {
        value.read_lock::<T>().map(|value| value.to_string())
    }
    of::<Secret>(value)
        .or_else(|| of::<Time>(value))
        .or_else(|| of::<Error>(value))
        .or_else(|| of::<Report>(value))
}

/// Returns a value as one line of JSON.
pub fn json(value: &Dynamic) -> String {
    String::from_utf8_lossy(&line(&tree(value))).into_owned()
}

/// Returns a value as JSON with indented lines.
pub fn json_lines(value: &Dynamic) -> String {
    serde_json::to_string_pretty(&tree(value)).unwrap_or_default()
}

fn tree(value: &Dynamic) -> Value {
    if let Some(array) = value.read_lock::<Array>() {
        return array.iter().map(tree).collect();
    }
    if let Some(map) = value.read_lock::<Map>() {
        return map.iter().map(|(key, value)| (key.to_string(), tree(value))).collect();
    }
    if let Some(fault) = value.read_lock::<Error>() {
        return fault_value(&fault);
    }
    if let Some(report) = value.read_lock::<Report>() {
        return serde_json::to_value(&*report).unwrap_or_default();
    }
    match (value.as_int(), value.as_float(), value.as_bool()) {
        (Ok(number), _, _) => number.into(),
        (_, Ok(number), _) => number.into(),
        (_, _, Ok(flag)) => flag.into(),
        _ if value.is_unit() => Value::Null,
        _ => text(value).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stays_hidden_however_deep_it_lies() {
        let secret = || Dynamic::from(Secret::new("hunter2"));
        let map = Map::from([("s".into(), secret()), ("t".into(), "a\"b".into())]);
        let value = Dynamic::from(vec![secret(), map.into(), 1.into(), Dynamic::UNIT]);
        assert_eq!(text(&value), r#"[***, #{"s": ***, "t": "a\"b"}, 1, ]"#);
        assert_eq!(json(&value), r#"["***",{"s":"***","t":"a\"b"},1,null]"#);
    }
}
