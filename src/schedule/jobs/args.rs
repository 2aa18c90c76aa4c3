//! Arguments of one run: `--arg KEY=VALUE`.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Reads `KEY=VALUE` texts.
pub fn parse(texts: &[String]) -> Result<Value> {
    let mut args = Map::new();
    for text in texts {
        let (key, value) = text
            .split_once('=')
            .filter(|(key, _)| !key.trim().is_empty())
            .ok_or_else(|| Error::invalid("--arg wants KEY=VALUE, such as day=2026-11-28"))?;
        args.insert(key.trim().to_owned(), value.into());
    }
    Ok(Value::Object(args))
}

/// Checks that `given` can be merged with the arguments of a job: those of an array have no names.
pub fn check(job: &str, of_job: &Value, given: &Value) -> Result<()> {
    let has_some = given.as_object().is_some_and(|given| !given.is_empty());
    if has_some && of_job.is_array() {
        let message = format!(
            "`args` of job `{job}` is an array: --arg gives values to the names of a table"
        );
        return Err(Error::invalid(message));
    }
    Ok(())
}

/// Returns the arguments of a job with those of a request in place of its own. A value gets the type of the one that it
/// replaces, if it can.
pub fn merged(of_job: &Value, given: &Value) -> Value {
    let Some(given) = given.as_object().filter(|given| !given.is_empty()) else {
        return of_job.clone();
    };
    let mut args = match of_job {
        Value::Object(args) => args.clone(),
        Value::Null => Map::new(),
        other => return other.clone(),
    };
    for (key, value) in given {
        let typed = args.get(key).and_then(|old| typed(old, value));
        args.insert(key.clone(), typed.unwrap_or_else(|| value.clone()));
    }
    Value::Object(args)
}

fn typed(old: &Value, new: &Value) -> Option<Value> {
    let parsed: Value = serde_json::from_str(new.as_str()?).ok()?;
    let is_same = (old.is_number() && parsed.is_number())
        || (old.is_boolean() && parsed.is_boolean())
        || (old.is_array() && parsed.is_array())
        || (old.is_object() && parsed.is_object());
    is_same.then_some(parsed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn given(texts: &[&str]) -> Result<Value> {
        parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_given_value_replaces_that_of_the_job_and_keeps_its_type() {
        let of_job = json!({ "day": "today", "most": 3, "deep": true, "list": [1] });
        let args = given(&["day=2026-11-28", "most=7", "deep=false", "list=[2, 3]", "new=1=2"]);
        let wanted = json!({
            "day": "2026-11-28", "most": 7, "deep": false, "list": [2, 3], "new": "1=2"
        });
        assert_eq!(merged(&of_job, &args.unwrap()), wanted);
        let text = given(&["most=many"]).unwrap();
        assert_eq!(merged(&of_job, &text)["most"], "many");
        assert_eq!(merged(&Value::Null, &text), json!({ "most": "many" }));
        assert_eq!(merged(&of_job, &json!({})), of_job);
        assert_eq!(merged(&json!(["a"]), &Value::Null), json!(["a"]));
    }

    #[test]
    fn what_has_no_name_is_refused() {
        for text in ["day", "=1", " =1"] {
            assert!(given(&[text]).unwrap_err().message.contains("KEY=VALUE"), "{text}");
        }
        assert!(check("a", &json!(["x"]), &json!({ "day": "1" })).is_err());
        assert!(check("a", &json!(["x"]), &json!({})).is_ok());
    }
}
