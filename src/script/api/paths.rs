//! Paths as text: local ones and those of servers.

use rhai::{Array, NativeCallContext, export_module};

use crate::{
    error::{Error, Result},
    script::{
        raise::{Raise, RhaiResultOf},
        show,
    },
};

/// Joins two paths with exactly one slash between them.
fn joined(first: &str, second: &str) -> String {
    match (first.is_empty(), second.is_empty()) {
        (true, _) => second.to_owned(),
        (_, true) => first.to_owned(),
        _ => format!("{}/{}", first.trim_end_matches('/'), second.trim_start_matches('/')),
    }
}

fn joined_all(parts: &Array) -> Result<String> {
    let mut whole = String::new();
    for part in parts {
        let text = part.clone().into_string().map_err(|_| {
            Error::invalid(format!("a path is made of strings, got {}", show::text(part)))
        })?;
        whole = joined(&whole, &text);
    }
    Ok(whole)
}

/// Returns the path without slashes at its end, and the place of the last slash before them.
fn cut(path: &str) -> (&str, Option<usize>) {
    let trimmed = path.trim_end_matches('/');
    (trimmed, trimmed.rfind('/'))
}

fn last_name(path: &str) -> &str {
    let (path, slash) = cut(path);
    slash.map_or(path, |slash| path.get(slash + 1..).unwrap_or_default())
}

/// Returns the name before its last dot, and the extension behind it. A dot at the beginning begins the name.
fn parts(name: &str) -> (&str, &str) {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && name != ".." => (stem, extension),
        _ => (name, ""),
    }
}

/// Paths as text, of local files and of files on servers; nothing is looked up.
#[export_module]
pub mod functions {
    /// Returns two paths with one slash between them. The second is always below the first, also if it begins with a slash.
    ///
    /// ```rhai
    /// let target = path::join("in", "order.csv");
    /// ```
    pub fn join(first: &str, second: &str) -> String {
        joined(first, second)
    }

    /// Returns three paths with one slash between each two.
    ///
    /// ```rhai
    /// let target = path::join("archive", now().format("%Y"), "order.csv");
    /// ```
    #[rhai_fn(name = "join")]
    pub fn join_three(first: &str, second: &str, third: &str) -> String {
        joined(&joined(first, second), third)
    }

    /// Returns the paths of an array with one slash between each two.
    ///
    /// ```rhai
    /// let target = path::join(["archive", "2026", "02", "order.csv"]);
    /// ```
    #[rhai_fn(name = "join", return_raw)]
    pub fn join_array(ctx: NativeCallContext<'_>, parts: Array) -> RhaiResultOf<String> {
        joined_all(&parts).or_raise(&ctx)
    }

    /// Returns the folder of a path: "in/2026" for "in/2026/order.csv", "." for "order.csv", "/" for "/order.csv".
    ///
    /// ```rhai
    /// local::mkdir(path::parent("in/2026/order.csv"));
    /// ```
    pub fn parent(path: &str) -> String {
        let (path, slash) = cut(path);
        let parent = match slash {
            None if path.is_empty() => "/",
            None => ".",
            Some(slash) => path.get(..slash).unwrap_or_default().trim_end_matches('/'),
        };
        if parent.is_empty() { "/".into() } else { parent.into() }
    }

    /// Returns the last name of a path: "order.csv" for "in/2026/order.csv".
    ///
    /// ```rhai
    /// for file in local::glob("out/*.csv") { print(path::file_name(file)); }
    /// ```
    pub fn file_name(path: &str) -> String {
        last_name(path).into()
    }

    /// Returns what stands behind the last dot of the last name: "csv" for "in/order.csv"; empty if there is none.
    ///
    /// ```rhai
    /// if path::extension("in/order.CSV").to_lower() == "csv" { print("a table"); }
    /// ```
    pub fn extension(path: &str) -> String {
        parts(last_name(path)).1.into()
    }

    /// Returns the last name without its extension: "order" for "in/order.csv".
    ///
    /// ```rhai
    /// let dated = path::stem("in/order.csv") + now().format("-%Y%m%d") + ".csv";
    /// ```
    pub fn stem(path: &str) -> String {
        parts(last_name(path)).0.into()
    }

    /// Returns the path with another extension; an empty one removes it.
    ///
    /// ```rhai
    /// let target = path::with_extension("in/order.csv", "json");
    /// ```
    pub fn with_extension(path: &str, extension: &str) -> String {
        let name = last_name(path);
        let (stem, _) = parts(name);
        let (whole, _) = cut(path);
        let before = whole.get(..whole.len() - name.len()).unwrap_or_default();
        let dot = if extension.is_empty() { "" } else { "." };
        format!("{before}{stem}{dot}{}", extension.trim_start_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::functions::*;

    #[test]
    fn paths_come_apart_and_together() {
        for (path, folder, name, base, end) in [
            ("in/2026/order.csv", "in/2026", "order.csv", "order", "csv"),
            ("order.csv", ".", "order.csv", "order", "csv"),
            ("/order", "/", "order", "order", ""),
            ("/a/b/", "/a", "b", "b", ""),
            ("a//b", "a", "b", "b", ""),
            (".htaccess", ".", ".htaccess", ".htaccess", ""),
            ("x.tar.gz", ".", "x.tar.gz", "x.tar", "gz"),
            ("..", ".", "..", "..", ""),
            ("/", "/", "", "", ""),
        ] {
            let found = (parent(path), file_name(path), stem(path), extension(path));
            assert_eq!(found, (folder.into(), name.into(), base.into(), end.into()), "{path}");
        }
        assert_eq!(join("in", "/etc/passwd"), "in/etc/passwd");
        assert_eq!(join("in/", "x"), "in/x");
        assert_eq!((join("", "x"), join("y", "")), ("x".into(), "y".into()));
        assert_eq!(join("/", "x"), "/x");
        assert_eq!(join_three("a", "b", "c"), "a/b/c");
        assert_eq!(with_extension("in/order.csv", "json"), "in/order.json");
        assert_eq!(with_extension("in/order", ".gz"), "in/order.gz");
        assert_eq!(with_extension("a.b", ""), "a");
    }
}
