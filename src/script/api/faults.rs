//! The errors that a script catches.

use rhai::{Dynamic, ImmutableString, export_module};

use crate::{error::Error as Value, script::raise};

/// Errors as values.
#[export_module]
#[expect(clippy::unwrap_used, reason = "the macro unwraps arguments that the engine has matched")]
pub mod functions {
    /// An error: `err` in `catch (err)`.
    pub type Fault = Value;

    /// Converts any caught value to a fault, including errors of the language and thrown strings.
    ///
    /// ```rhai
    /// try { throw "no order today"; } catch (err) { print(fault(err).message); }
    /// ```
    #[rhai_fn(name = "fault")]
    pub fn normal(err: Dynamic) -> Fault {
        raise::normal(err)
    }

    /// The kind of error: `"unreachable"`, `"timeout"`, `"denied"`, `"refused"`, `"not_found"`, `"busy"`, `"full"`,
    /// `"tls"`, `"protocol"`, `"data_connection"`, `"local"`, `"interrupted"`, `"invalid"`, `"unsupported"`, `"guard"`
    /// or `"denied_by_policy"`.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// try { site.get("/today.csv", "today.csv"); }
    /// catch (err) { if err.kind != "not_found" { throw err; } }
    /// ```
    #[rhai_fn(get = "kind", pure)]
    pub fn kind(err: &mut Fault) -> ImmutableString {
        err.kind.as_str().into()
    }

    /// The side on which it failed: "script", "here", "network" or "server".
    ///
    /// ```rhai
    /// try { local::read("gone"); } catch (err) { print(err.side); }
    /// ```
    #[rhai_fn(get = "side", pure)]
    pub fn side(err: &mut Fault) -> ImmutableString {
        err.side.as_str().into()
    }

    /// The error message.
    ///
    /// ```rhai
    /// try { local::read("gone"); } catch (err) { log::error(err.message); }
    /// ```
    #[rhai_fn(get = "message", pure)]
    pub fn message(err: &mut Fault) -> ImmutableString {
        err.message.as_str().into()
    }

    /// The message of a thrown text: the text itself.
    ///
    /// ```rhai
    /// try { throw "no order today"; } catch (err) { print(err.message); }
    /// ```
    #[rhai_fn(get = "message", pure)]
    pub fn text_message(err: &mut ImmutableString) -> ImmutableString {
        err.clone()
    }

    /// The server's reply code; 0 if there was no reply. Errors of NAT have their stable code here, as in `err.name`.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// try { site.delete("/a"); } catch (err) { print(err.code); }
    /// ```
    #[rhai_fn(get = "code", pure)]
    pub fn code(err: &mut Fault) -> Dynamic {
        err.nat_code().map_or_else(|| i64::from(err.code).into(), Dynamic::from)
    }

    /// The stable code of the error, such as `"login.denied"`, `"timeout"` or `"nat.not_permitted"`: docs/errors.md
    /// and `portolan explain CODE` have the cause and remedy of each. Messages may change between versions, codes do
    /// not.
    ///
    /// ```rhai
    /// try { ftp::connect("ftp://ftp.example.org"); }
    /// catch (err) { if err.name != "connect.refused" { throw err; } }
    /// ```
    #[rhai_fn(get = "name", pure)]
    pub fn name(err: &mut Fault) -> ImmutableString {
        err.stable_code().into()
    }

    /// The server; empty if none is involved.
    ///
    /// ```rhai
    /// try { ftp::connect("ftp://ftp.example.org"); } catch (err) { print(err.host); }
    /// ```
    #[rhai_fn(get = "host", pure)]
    pub fn host(err: &mut Fault) -> ImmutableString {
        err.host.clone().unwrap_or_default().into()
    }

    /// The file or folder; empty if none is involved.
    ///
    /// ```rhai
    /// try { local::read("gone"); } catch (err) { print(err.path); }
    /// ```
    #[rhai_fn(get = "path", pure)]
    pub fn path(err: &mut Fault) -> ImmutableString {
        err.path.clone().unwrap_or_default().into()
    }

    /// True if the same operation may succeed later without any change.
    ///
    /// ```rhai
    /// try { ftp::connect("ftp://ftp.example.org"); } catch (err) { if !err.may_retry { throw err; } }
    /// ```
    #[rhai_fn(get = "may_retry", pure)]
    pub fn may_retry(err: &mut Fault) -> bool {
        err.is_retryable()
    }

    /// Returns the whole error as text.
    #[rhai_fn(name = "to_string", name = "print", name = "debug", name = "to_debug", pure)]
    pub fn text(err: &mut Fault) -> ImmutableString {
        err.to_string().into()
    }
}
