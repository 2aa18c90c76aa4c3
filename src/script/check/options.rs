//! The check of options in map literals: their keys, and values that are constants.

use crate::similar::nearest;
use rhai::{Expr, FnCallExpr, Map, Position};

use super::{ScriptFinding, calls::Calls};
use crate::{
    ftp::{proxy::Proxy, url::Url},
    script::{
        api::run::wrong_code,
        options::{Taker, taker},
        show,
        sites::{SiteBook, parse_url},
        value::parse_duration,
    },
};

/// The hint for keeping a password out of a script.
const SECRET_HINT: &str =
    "secret(\"NAME\") takes it from the environment variable NAME or a systemd credential";

/// Checks the arguments of `call`, a function of ours if `name` is one that takes options.
pub(super) fn check(calls: &mut Calls<'_>, name: &str, call: &FnCallExpr) {
    match (name, call.args.first()) {
        ("ftp::connect" | "ftp::doctor", Some(Expr::StringConstant(text, at))) => {
            url(calls, text, *at);
        }
        ("ftp::site", Some(Expr::StringConstant(text, at))) => {
            saved(calls, &format!("@{text}"), *at);
        }
        ("sleep", Some(Expr::StringConstant(text, at))) if parse_duration(text).is_none() => {
            let message =
                format!("sleep wants a duration such as \"90s\" or \"5m\", got \"{text}\"");
            calls.wrong_value(*at, message, None);
        }
        ("exit", Some(code)) => exit(calls, code),
        _ => {}
    }
    let Some(taker) = taker(name) else { return };
    for argument in &call.args {
        let variable = match argument {
            Expr::Variable(variable, ..) => calls.types.variables.value(&variable.1).cloned(),
            _ => None,
        };
        if let Expr::Map(map, _) = variable.as_ref().unwrap_or(argument) {
            for (key, value) in &map.0 {
                option(calls, taker, (&key.name, key.pos), value);
            }
        }
    }
}

/// Checks the argument of `exit`: `exit("text")` would end with success in the language itself, and fails in a run.
fn exit(calls: &mut Calls<'_>, code: &Expr) {
    if let Some(kind) = calls.types.kind(code).filter(|kind| *kind != "int") {
        let text = code.get_literal_value(None).map_or_else(
            || format!("a value that is no number ({})", kind.to_lowercase()),
            |value| if value.is_string() { format!("{value:?}") } else { show::text(&value) },
        );
        calls.error(code.position(), wrong_code(&text), None);
    }
}

fn url(calls: &mut Calls<'_>, text: &str, at: Position) {
    if text.starts_with('@') {
        return saved(calls, text, at);
    }
    match Url::parse(text) {
        Err(fault) => calls.wrong_value(at, fault.to_string(), None),
        Ok(url) if url.site.password.is_some() => {
            let place = calls.place(at);
            let found = ScriptFinding::warning(place, "a password stands in this URL");
            calls.findings.push(found.hint(Some(SECRET_HINT.into())));
        }
        Ok(_) => {}
    }
}

/// Checks the name of a saved site, if any site is saved here: the script may run where another file of sites is.
fn saved(calls: &mut Calls<'_>, text: &str, at: Position) {
    let has_sites = SiteBook::read().is_ok_and(|book| !book.names().is_empty());
    if let Some(fault) = parse_url(text).err().filter(|_| has_sites) {
        let found = ScriptFinding::warning(calls.place(at), fault.to_string());
        calls.findings.push(found);
    }
}

fn option(calls: &mut Calls<'_>, taker: &Taker, (key, at): (&str, Position), value: &Expr) {
    let keys = taker.keys();
    if !keys.contains(&key) {
        let message = format!("`{}` has no option `{key}`", taker.name);
        let hint = nearest(key, &keys).map_or_else(
            || format!("its options are {}", keys.join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        calls.wrong_value(at, message, Some(hint));
        return;
    }
    let Some(constant) = value.get_literal_value(None) else { return };
    let is_secret = matches!(key, "password" | "account");
    if is_secret && constant.is_string() {
        let found = ScriptFinding::warning(
            calls.place(value.position()),
            format!("this {key} stands in the script"),
        );
        calls.findings.push(found.hint(Some(SECRET_HINT.into())));
    }
    let is_proxy = key == "proxy" && constant.is_string();
    let proxy = is_proxy.then(|| constant.clone().into_string().ok()).flatten();
    let proxy = proxy.and_then(|text| Proxy::parse(&text).ok());
    if proxy.is_some_and(|proxy| proxy.has_password()) {
        let place = calls.place(value.position());
        let found = ScriptFinding::warning(place, "a password stands in this proxy");
        calls.findings.push(found.hint(Some(SECRET_HINT.into())));
    }
    let map: Map = [(key.into(), constant)].into_iter().collect();
    if let Err(fault) = taker.check(&map) {
        calls.wrong_value(value.position(), fault.message, None);
    }
}
