//! JSON: any value of the language as text, and back.

use rhai::{Array, Dynamic, Map, NativeCallContext, export_module};
use serde_json::Value;

use crate::{
    error::{Error, Result},
    files::ops,
    limits::READ_BYTES_MAX,
    script::{
        raise::{Raise, RhaiResultOf},
        run::ScriptRun,
        show,
    },
};

/// Returns the value that a JSON text means. Nesting is limited by the parser.
pub(in crate::script) fn parsed(text: &str) -> Result<Dynamic> {
    let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| Error::invalid(format!("it is not JSON: {error}")))?;
    Ok(of_json(value))
}

fn of_json(value: Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(flag) => flag.into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Value::String(text) => text.into(),
        Value::Array(items) => items.into_iter().map(of_json).collect::<Array>().into(),
        Value::Object(entries) => {
            let entries = entries.into_iter().map(|(key, item)| (key.into(), of_json(item)));
            entries.collect::<Map>().into()
        }
    }
}

/// JSON, of any value: `()` is `null`; times, errors and reports are as `to_json` writes them; secrets are `***`.
#[export_module]
pub mod functions {
    /// Returns the value of a JSON text: a map, an array, a string, a number, `true`, `false`, or `()` for `null`. Raises
    /// `invalid` with the line and column.
    ///
    /// ```rhai
    /// let orders = json::parse(`[{"id": 7, "paid": true}]`);
    /// print(orders[0].id);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn parse(ctx: NativeCallContext<'_>, text: &str) -> RhaiResultOf<Dynamic> {
        parsed(text).or_raise(&ctx)
    }

    /// Returns any value as one line of JSON.
    ///
    /// ```rhai
    /// print(json::format(#{ name: "a.csv", at: now() }));
    /// ```
    pub fn format(value: Dynamic) -> String {
        show::json(&value)
    }

    /// Returns any value as JSON with indented lines.
    ///
    /// ```rhai
    /// print(json::pretty(local::list(".")));
    /// ```
    pub fn pretty(value: Dynamic) -> String {
        show::json_lines(&value)
    }

    /// Returns the value of a JSON file of at most 8 MiB. Raises `not_found`, and `invalid`.
    ///
    /// ```rhai
    /// let settings = json::read("settings.json");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn read(ctx: NativeCallContext<'_>, path: &str) -> RhaiResultOf<Dynamic> {
        let run = ScriptRun::of(&ctx)?;
        let bytes = run.uncounted(|| ops::read(run.readable(path)?, READ_BYTES_MAX));
        let value = bytes.and_then(|bytes| {
            let text = String::from_utf8(bytes).map_err(|_| Error::invalid("it is not UTF-8 text"));
            text.and_then(|text| parsed(&text)).map_err(|error| error.at(path))
        });
        value.or_raise(&ctx)
    }

    /// Writes any value to a file as JSON with indented lines, replacing its content atomically.
    ///
    /// ```rhai
    /// json::write("seen.json", #{ files: ["a.csv"], at: now() });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn write(ctx: NativeCallContext<'_>, path: &str, value: Dynamic) -> RhaiResultOf<()> {
        let run = ScriptRun::of(&ctx)?;
        let text = show::json_lines(&value) + "\n";
        run.uncounted(|| ops::write(run.writable(path)?, text.as_bytes())).or_raise(&ctx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_whatever_stands_at_its_top() {
        for (text, wanted) in [
            (r#"{"a": [1, 2.5, null, true]}"#, r#"{"a":[1,2.5,null,true]}"#),
            ("[]", "[]"),
            ("\u{feff}\"x\"", "\"x\""),
            ("18446744073709551615", "1.8446744073709552e+19"),
        ] {
            assert_eq!(show::json(&parsed(text).unwrap()), wanted);
        }
        let error = parsed("{\"a\": }").unwrap_err();
        assert_eq!(error.message, "it is not JSON: expected value at line 1 column 7");
        assert!(parsed(&"[".repeat(100_000)).is_err(), "nesting has a limit");
    }
}
