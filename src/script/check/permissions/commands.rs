//! Raw commands, keys of maps, and paths that follow from others.

use rhai::{Expr, FnCallExpr, Position};

use super::{Deriver, KnownText, STEPS_MAX};
use crate::{
    permissions::PermissionKind,
    script::needs::{removes_nothing, site_command},
};

impl Deriver<'_> {
    pub(super) fn quoted(&mut self, path: &str, call: &FnCallExpr, at: Position) {
        let text = call.args.first().and_then(|command| self.text(command, STEPS_MAX));
        let known = match text {
            Some(KnownText::Whole(text)) => Some(text),
            // The last word may go on, and others may follow.
            Some(KnownText::Beginning(text)) => {
                let known = text.rsplit_once(' ').map(|(known, _)| known);
                known.filter(|known| !known.trim().is_empty()).map(|known| format!("{known} ?"))
            }
            None => None,
        };
        match &known {
            Some(known) if removes_nothing(known) => {}
            Some(known) if !known.trim().is_empty() => {
                self.found(PermissionKind::RemoteDelete, "");
            }
            _ => self.unknown(path, PermissionKind::RemoteDelete, at),
        }
    }

    /// Finds the path that follows from the first argument of a call without a second one: `a.gz` of `a`, and the
    /// other way round.
    pub(super) fn beside(
        &mut self,
        path: &str,
        kind: PermissionKind,
        call: &FnCallExpr,
        at: Position,
    ) {
        let source = call.args.first().and_then(|value| self.text(value, STEPS_MAX));
        match source {
            Some(KnownText::Whole(source)) if path == "local::gzip" => {
                self.found(kind, &format!("{source}.gz"));
            }
            Some(KnownText::Whole(source)) if path == "local::gunzip" => {
                self.found(kind, source.strip_suffix(".gz").unwrap_or(&source));
            }
            Some(text @ KnownText::Beginning(_)) => match text.folder() {
                Some(folder) => self.found(kind, &folder),
                None => self.unknown(path, kind, at),
            },
            _ => self.unknown(path, kind, at),
        }
    }

    /// Returns the keys of a literal map.
    pub(super) fn keys(&self, value: &Expr) -> Option<Vec<String>> {
        match self.followed(value) {
            Expr::Map(map, _) => Some(map.0.iter().map(|(key, _)| key.name.to_string()).collect()),
            value => {
                let map = value.get_literal_value(None)?.try_cast::<rhai::Map>()?;
                Some(map.keys().map(ToString::to_string).collect())
            }
        }
    }

    /// Returns the commands that an option names as a text or as an array of texts.
    pub(super) fn commands(&self, key: &str, value: &Expr) -> Option<Vec<String>> {
        let texts = match self.followed(value) {
            Expr::Array(texts, _) => texts.into_iter().collect(),
            Expr::DynamicConstant(array, at) => {
                let array = array.read_lock::<rhai::Array>()?;
                let constant = |one: &rhai::Dynamic| Expr::DynamicConstant(one.clone().into(), at);
                array.iter().map(constant).collect()
            }
            one => vec![one],
        };
        let whole = |text: &Expr| match self.text(text, STEPS_MAX)? {
            KnownText::Whole(text) if key == "site" => Some(site_command(&text)),
            KnownText::Whole(text) => Some(text),
            KnownText::Beginning(_) => None,
        };
        texts.iter().map(whole).collect()
    }
}
