//! The permissions that a script needs, as far as its text shows them.

use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};
use serde_json::Value;

use super::{
    Engines, ScriptFinding,
    files::{File, ScriptFiles},
    names::ScriptNames,
    permission_objects::{KnownText, OptionSwitch, before_pattern, folder_of, host_of, host_port},
    types::Types,
    walk::{place, walk},
};
use crate::{
    ftp::proxy::Proxy,
    permissions::{
        PermissionKind::{self, Http, Net},
        PermissionSet,
    },
    script::{
        needs::{FUNCTIONS, PermissionNeed, needs, removes_nothing},
        signatures::{self, Signature},
        source::ScriptSource,
    },
};

mod commands;

/// The maximum number of expressions that are followed from one to the next.
const STEPS_MAX: usize = 8;

/// The permissions of a script.
#[derive(Debug, Default)]
pub struct DerivedPermissions {
    /// Those that literals show.
    pub found: PermissionSet,
    /// The calls whose objects are known only in a run.
    pub unknown: Vec<ScriptFinding>,
}

/// Returns the permissions that `source` and its imports need in a run with `args`; `null` if they are not known.
pub fn derive(source: &ScriptSource, args: &Value) -> DerivedPermissions {
    super::on_large_stack(|| derive_here(source, args)).unwrap_or_default()
}

fn derive_here(source: &ScriptSource, args: &Value) -> DerivedPermissions {
    let engines = Engines::new();
    let known = signatures::all(&engines.strict);
    let operators = signatures::operators(&engines.strict);
    let files = ScriptFiles::load(&engines, source);
    let names = ScriptNames::new(&known, &operators, &files.all);
    let mut derived = DerivedPermissions::default();
    for file in &files.all {
        let types = Types::new(&names, &file.ast);
        let mut one = Deriver { names: &names, file, types, args, derived: &mut derived };
        walk(&file.ast, &mut |path| one.node(path));
    }
    derived.unknown = super::sort(derived.unknown);
    derived
}

struct Deriver<'d> {
    names: &'d ScriptNames<'d>,
    file: &'d File,
    types: Types<'d>,
    args: &'d Value,
    derived: &'d mut DerivedPermissions,
}

impl Deriver<'_> {
    fn node(&mut self, path: &[ASTNode<'_>]) {
        match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, at)) | ASTNode::Stmt(Stmt::FnCall(call, at)))
                if call.op_token.is_none() =>
            {
                let name = call.name.as_str();
                match call.namespace.path.as_slice() {
                    // A function of the script hides one of ours.
                    [] if self.names.own(self.file, name).next().is_some() => {}
                    [] => self.called(name, call, *at),
                    [module] => self.called(&format!("{}::{name}", module.name), call, *at),
                    _ => {}
                }
            }
            Some(ASTNode::Expr(Expr::MethodCall(call, at))) if call.namespace.path.is_empty() => {
                let receiver = self.types.receiver(path);
                let name = call.name.as_str();
                let is_it = |one: &&Signature| {
                    let own = one.receiver().map(|own| own.kind.as_str());
                    one.arguments().len() == call.args.len()
                        && own.is_some()
                        && receiver.is_none_or(|receiver| own == Some(receiver))
                };
                let mut paths: Vec<_> =
                    self.names.named(name).filter(is_it).map(Signature::path).collect();
                paths.dedup();
                let is_own = self.names.own(self.file, name).next().is_some();
                for path in paths.iter().filter(|_| receiver.is_some() || !is_own) {
                    self.called(path, call, *at);
                }
            }
            // `options.ca_file = …`: an option that is added to a map.
            Some(ASTNode::Stmt(Stmt::Assignment(parts))) => {
                if let Expr::Dot(pair, ..) = &parts.1.lhs
                    && let Expr::Property(property, at) = &pair.rhs
                {
                    self.assigned(&property.2, &parts.1.rhs, *at);
                }
            }
            _ => {}
        }
    }

    fn assigned(&mut self, key: &str, value: &Expr, at: Position) {
        let mut needs =
            FUNCTIONS.iter().flat_map(|row| row.needs.iter().map(|need| (row.path, need)));
        let option = |(path, need): (&'static str, &PermissionNeed)| match need {
            PermissionNeed::Option(kind, known) if *known == key => Some((path, *kind)),
            _ => None,
        };
        if let Some((path, kind)) = needs.find_map(option) {
            self.option_value(path, kind, value, at);
        }
    }

    fn option_value(&mut self, path: &str, kind: PermissionKind, value: &Expr, at: Position) {
        match (kind, self.text(value, STEPS_MAX)) {
            (Net, Some(KnownText::Whole(text))) => match Proxy::parse(&text) {
                Ok(proxy) => {
                    let (host, port) = proxy.place();
                    self.found(kind, &host_port(host, port));
                }
                Err(_) => self.unknown(path, kind, at),
            },
            (Http, Some(KnownText::Whole(url))) => match host_of(kind, &url) {
                Some(host) => self.found(kind, &host),
                None => self.unknown(path, kind, at),
            },
            (_, Some(KnownText::Whole(text))) => self.found(kind, &text),
            _ => self.unknown(path, kind, at),
        }
    }

    fn called(&mut self, path: &str, call: &FnCallExpr, at: Position) {
        let Some(row) = needs(path) else { return };
        for need in row.needs {
            self.need(path, *need, call, at);
        }
    }

    fn need(&mut self, path: &str, need: PermissionNeed, call: &FnCallExpr, at: Position) {
        let kind = need.kind();
        match need {
            // A raw command is known by its first word.
            PermissionNeed::Plain(_) if path == "site.quote" => self.quoted(path, call, at),
            PermissionNeed::Plain(_) => self.found(kind, ""),
            PermissionNeed::Argument(_, index) => match call.args.get(index) {
                None if path.ends_with("zip") => self.beside(path, kind, call, at),
                value => self.object(path, kind, value, at),
            },
            PermissionNeed::Folder(_, index) => {
                let text = call.args.get(index).and_then(|value| self.text(value, STEPS_MAX));
                match text.and_then(|text| text.folder()) {
                    Some(folder) => self.found(kind, &folder),
                    None => self.unknown(path, kind, at),
                }
            }
            PermissionNeed::SavedPlan(_, index) => {
                let argument = call.args.get(index);
                if argument.and_then(|plan| self.types.kind(plan)) != Some("Plan") {
                    self.unknown(path, kind, at);
                }
            }
            PermissionNeed::Url(_, index) => self.url(path, kind, call.args.get(index), at, ""),
            PermissionNeed::Site(_, index) => self.url(path, kind, call.args.get(index), at, "@"),
            PermissionNeed::Program(index) => {
                let argument = call.args.get(index).map(|argument| self.followed(argument));
                let program = match &argument {
                    Some(Expr::Array(words, _)) => words.first().cloned(),
                    Some(other) => other
                        .get_literal_value(None)
                        .and_then(|value| value.into_array().ok())
                        .and_then(|words| words.first()?.clone().into_immutable_string().ok())
                        .map(|word| Expr::StringConstant(word, at)),
                    None => None,
                };
                self.object(path, kind, program.as_ref(), at);
            }
            of_option => self.option_need(path, of_option, call, at),
        }
    }

    /// Finds what an option needs.
    fn option_need(&mut self, path: &str, need: PermissionNeed, call: &FnCallExpr, at: Position) {
        let kind = need.kind();
        match need {
            PermissionNeed::Keys(_, key) => match self.option(call, key) {
                None => {}
                Some(value) => match self.keys(&value) {
                    Some(keys) => keys.iter().for_each(|key| self.found(kind, key)),
                    None => self.unknown(path, kind, at),
                },
            },
            PermissionNeed::Commands(key) => {
                let Some(value) = self.option(call, key) else { return };
                match self.commands(key, &value) {
                    Some(commands) if commands.iter().all(|it| removes_nothing(it)) => {}
                    Some(_) => self.found(kind, ""),
                    None => self.unknown(path, kind, at),
                }
            }
            PermissionNeed::Option(_, key) => {
                let Some(value) = self.option(call, key) else { return };
                self.option_value(path, kind, &value, at);
            }
            PermissionNeed::If(key, _, index) => match (self.switch(call, key), index) {
                (OptionSwitch::Absent | OptionSwitch::Off, _) => {}
                (OptionSwitch::On, None) => self.found(kind, ""),
                (OptionSwitch::On, Some(index)) => {
                    self.object(path, kind, call.args.get(index), at);
                }
                (OptionSwitch::Unknown, _) => self.unknown(path, kind, at),
            },
            PermissionNeed::Unless(key, _) => match self.switch(call, key) {
                OptionSwitch::Off => {}
                OptionSwitch::Absent | OptionSwitch::On => self.found(kind, ""),
                OptionSwitch::Unknown => self.unknown(path, kind, at),
            },
            PermissionNeed::IfNot(key, _) => match self.switch(call, key) {
                OptionSwitch::On => {}
                OptionSwitch::Absent | OptionSwitch::Off => self.found(kind, ""),
                OptionSwitch::Unknown => self.unknown(path, kind, at),
            },
            PermissionNeed::IfFor(key, _, object) => match self.switch(call, key) {
                OptionSwitch::Absent | OptionSwitch::Off => {}
                OptionSwitch::On => self.found(kind, object),
                OptionSwitch::Unknown => self.unknown(path, kind, at),
            },
            _ => {}
        }
    }

    fn switch(&self, call: &FnCallExpr, key: &str) -> OptionSwitch {
        let Some(value) = self.option(call, key) else { return OptionSwitch::Absent };
        match self.followed(&value).get_literal_value(None) {
            None => OptionSwitch::Unknown,
            // A value of another kind turns it on.
            Some(value) if value.as_bool().unwrap_or(true) => OptionSwitch::On,
            Some(_) => OptionSwitch::Off,
        }
    }

    fn object(&mut self, path: &str, kind: PermissionKind, value: Option<&Expr>, at: Position) {
        let text = value.and_then(|value| self.text(value, STEPS_MAX));
        let known = match text {
            Some(KnownText::Whole(text)) if path == "local::glob" => before_pattern(&text),
            Some(KnownText::Whole(text)) => Some(text),
            Some(KnownText::Beginning(text)) if kind.is_path() => folder_of(&text),
            _ => None,
        };
        match known {
            Some(known) => self.found(kind, &known),
            None => self.unknown(path, kind, value.map_or(at, Expr::position)),
        }
    }

    fn url(
        &mut self,
        path: &str,
        kind: PermissionKind,
        value: Option<&Expr>,
        at: Position,
        sign: &str,
    ) {
        let known = match value.and_then(|value| self.text(value, STEPS_MAX)) {
            Some(KnownText::Whole(text)) if sign.is_empty() => host_of(kind, &text),
            Some(KnownText::Whole(name)) => {
                host_of(kind, &format!("{sign}{}", name.trim_start_matches(sign)))
            }
            // The host is known if the path has begun.
            Some(KnownText::Beginning(text)) => {
                let rest = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
                rest.contains('/').then(|| host_of(kind, &text)).flatten()
            }
            None => None,
        };
        match known {
            Some(known) => self.found(kind, &known),
            None => self.unknown(path, kind, value.map_or(at, Expr::position)),
        }
    }

    /// Returns the value of the option `key` in a literal map among the arguments.
    fn option(&self, call: &FnCallExpr, key: &str) -> Option<Expr> {
        call.args.iter().find_map(|argument| match self.followed(argument) {
            Expr::Map(map, _) => {
                map.0.iter().find(|(name, _)| name.name == key).map(|(_, value)| value.clone())
            }
            Expr::DynamicConstant(value, at) => {
                let map = value.read_lock::<rhai::Map>()?;
                map.get(key).map(|value| Expr::DynamicConstant(Box::new(value.clone()), at))
            }
            _ => None,
        })
    }

    /// Returns the expression that a variable stands for, if it is assigned once.
    fn followed(&self, value: &Expr) -> Expr {
        let mut value = value;
        for _ in 0..STEPS_MAX {
            let Expr::Variable(variable, ..) = value else { break };
            match self.types.variables.value(&variable.1) {
                Some(assigned) if variable.2.path.is_empty() => value = assigned,
                _ => break,
            }
        }
        value.clone()
    }

    fn text(&self, value: &Expr, steps: usize) -> Option<KnownText> {
        let fewer = steps.checked_sub(1)?;
        match self.followed(value) {
            Expr::StringConstant(text, _) => Some(KnownText::Whole(text.to_string())),
            Expr::InterpolatedString(parts, _) => {
                let mut whole = String::new();
                for part in &parts {
                    match self.text(part, fewer) {
                        Some(KnownText::Whole(text)) => whole.push_str(&text),
                        Some(KnownText::Beginning(text)) => {
                            return Some(KnownText::Beginning(whole + text.as_str()));
                        }
                        None => return Some(KnownText::Beginning(whole)),
                    }
                }
                Some(KnownText::Whole(whole))
            }
            Expr::FnCall(call, _) if call.op_token.is_some() && call.name == "+" => {
                let [left, right] = call.args.as_slice() else { return None };
                let left = match self.text(left, fewer)? {
                    KnownText::Whole(left) => left,
                    beginning @ KnownText::Beginning(_) => return Some(beginning),
                };
                Some(match self.text(right, fewer) {
                    Some(KnownText::Whole(right)) => KnownText::Whole(left + right.as_str()),
                    Some(KnownText::Beginning(right)) => {
                        KnownText::Beginning(left + right.as_str())
                    }
                    None => KnownText::Beginning(left),
                })
            }
            Expr::Index(pair, ..) | Expr::Dot(pair, ..) => self.argument(&pair.lhs, &pair.rhs),
            // What stands in `${…}` is a block.
            Expr::Stmt(block) => match block.statements() {
                [Stmt::Expr(only)] => self.text(only, fewer),
                _ => None,
            },
            other => {
                let text = other.get_literal_value(None)?.into_immutable_string().ok()?;
                Some(KnownText::Whole(text.to_string()))
            }
        }
    }

    /// Returns the text of `args[0]` or `args.name`, if the arguments are known.
    fn argument(&self, of: &Expr, key: &Expr) -> Option<KnownText> {
        let is_args = |one: &Expr| {
            matches!(one, Expr::Variable(variable, ..)
                if variable.1 == "args" && variable.2.path.is_empty())
        };
        let value = match key {
            _ if !is_args(of) => None,
            Expr::IntegerConstant(index, _) => self.args.get(usize::try_from(*index).ok()?),
            Expr::StringConstant(key, _) => self.args.get(key.as_str()),
            Expr::Property(property, _) => self.args.get(property.2.as_str()),
            _ => None,
        };
        value?.as_str().map(|text| KnownText::Whole(text.to_owned()))
    }

    fn found(&mut self, kind: PermissionKind, what: &str) {
        self.derived.found.add(kind, what);
    }

    fn unknown(&mut self, path: &str, kind: PermissionKind, at: Position) {
        let place = place(&self.file.shown, at);
        let what = match kind {
            Net | Http => "the host",
            _ if kind.is_path() => "the path",
            _ if kind.is_flag() => "an option",
            _ => "the name",
        };
        let message =
            format!("`{path}` needs `{}`, and {what} is known only in a run", kind.as_str());
        self.derived.unknown.push(ScriptFinding::warning(place, message));
    }
}

/// Returns the files that `source` imports, as far as their names are literals; `None` if one is not.
pub fn imports(source: &ScriptSource) -> Option<Vec<std::path::PathBuf>> {
    // Most scripts have none, and this comes before each confined run.
    if !source.text().contains("import") {
        return Some(Vec::new());
    }
    super::on_large_stack(|| ScriptFiles::load(&Engines::new(), source).import_paths()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> (String, Vec<String>) {
        block_with(text, &Value::Null)
    }

    fn block_with(text: &str, args: &Value) -> (String, Vec<String>) {
        let derived = derive(&ScriptSource::from_text(text, "a.rhai", "."), args);
        let unknown = derived.unknown.iter();
        let unknown = unknown.map(|one| format!("{}: {}", one.place.line, one.message)).collect();
        (derived.found.lines().join("\n"), unknown)
    }

    #[test]
    fn literals_show_hosts_paths_and_names() {
        let (lines, unknown) = block(
            r#"
            const FOLDER = "in";
            let url = "ftpes://me@www.example.com:2121/htdocs";
            let options = #{ password: secret("WWW"), ca_file: "ca.pem", proxy: "http://gate" };
            let site = ftp::connect(url, options);
            site.get("/a.csv", FOLDER + "/a.csv");
            site.put(`out/${now()}.csv`, "/in/");
            site.mirror_up("dist", "/htdocs", #{ delete: true });
            site.mirror_down("/pub", "pub", #{ delete: true });
            site.deploy("built", #{ delete: false, git: true, maintenance: "wait.html" });
            for file in local::glob("logs/*/x*.log") { local::delete("logs/" + file); }
            let user = env("USER");
            http::post("https://api.example.com/v1/" + user, #{});
            run::command(["git", "pull"], #{});
            ftp::connect("ftp://[::1]");
            "#,
        );
        assert_eq!(
            lines,
            r#"net = ["[::1]:21", "gate:8080", "www.example.com:2121"]
read = ["built", "ca.pem", "dist", "logs", "out", "wait.html"]
write = ["in/a.csv", "pub"]
delete = ["logs", "pub"]
remote_delete = true
run = ["git"]
http = ["api.example.com:443"]
env = ["USER"]
secret = ["WWW"]"#
        );
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn what_is_computed_is_told_with_its_line() {
        let (lines, unknown) = block(
            "let site = ftp::connect(args[0]);\nlocal::read(args[1]);\nlet d = args[2] == \"x\";\n\
             site.mirror_up(\"a\", \"/\", #{ delete: d });\nsecret(args[3]);\n",
        );
        assert_eq!(lines, "read = [\"a\"]");
        assert_eq!(
            unknown,
            [
                "1: `ftp::connect` needs `net`, and the host is known only in a run",
                "2: `local::read` needs `read`, and the path is known only in a run",
                "4: `site.mirror_up` needs `remote_delete`, and an option is known only in a run",
                "5: `secret` needs `secret`, and the name is known only in a run",
            ]
        );
    }

    #[test]
    fn the_arguments_of_a_job_are_known() {
        let text = "let url = args[0];\nlet options = #{};\noptions.ca_file = env(\"CA\");\n\
             let site = ftp::connect(url, options);\nsite.get(\"/a\", `${args[1]}/a`);\n";
        let args = serde_json::json!(["ftps://h/x", "in"]);
        let (lines, unknown) = block_with(text, &args);
        assert_eq!(lines, "net = [\"h:990\"]\nwrite = [\"in/a\"]\nenv = [\"CA\"]");
        assert_eq!(
            unknown,
            ["3: `ftp::connect` needs `read`, and the path is known only in a run"]
        );
        let text = "local::read(args.target); local::read(args[\"other\"]);";
        let args = serde_json::json!({ "target": "a", "other": "b" });
        assert_eq!(block_with(text, &args).0, "read = [\"a\", \"b\"]");
    }

    #[test]
    fn values_and_own_functions_need_nothing() {
        let (lines, unknown) = block(
            "fn secret(x) { x }\nlet a = [1].map(|x| x + 1); print(secret(\"A\"));\n\
             if false { local::read(\"a\"); }\n",
        );
        assert_eq!(lines, "read = [\"a\"]");
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
