//! HTTP requests.

use rhai::{Map, NativeCallContext, export_module};
use ureq::http::Method;

use crate::script::{
    http_client::HttpRequest,
    raise::{Raise, RhaiResultOf},
    run::ScriptRun,
};

fn send(
    ctx: &NativeCallContext<'_>,
    method: Method,
    name: &str,
    url: &str,
    options: &Map,
) -> RhaiResultOf<Map> {
    let run = ScriptRun::of(ctx)?;
    HttpRequest::new(method, name, url, options)
        .and_then(|request| request.send(&run))
        .or_raise(ctx)
}

/// HTTP requests, to hosts that the run allows: `portolan run --allow-http=HOST`, or `http` in `[job.permissions]`.
#[export_module]
pub mod functions {
    /// Fetches a URL: `#{ status, headers, body, json }`. `status` is a number, and 404 or 500 is no error; the keys of
    /// `headers` are in lower case; `body` is a string, or a blob if it is no UTF-8; `json` is the value of a body that is
    /// JSON, or `()`. Redirects are followed if their host is allowed as well. An address of this host or of its link, such
    /// as 127.0.0.1 or 169.254.169.254, has to be allowed itself, whatever name leads to it. Raises `denied_by_policy`,
    /// `unreachable`, `timeout`, `tls`, and `guard` for an answer that is too large.
    ///
    /// ```rhai
    /// let answer = http::get("https://api.example.com/orders");
    /// if answer.status != 200 { fail(`the API answered ${answer.status}`); }
    /// for order in answer.json { print(order.id); }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn get(ctx: NativeCallContext<'_>, url: &str) -> RhaiResultOf<Map> {
        send(&ctx, Method::GET, "http::get", url, &Map::new())
    }

    /// Fetches a URL.
    ///
    /// {options of `http::get`}
    ///
    /// ```rhai
    /// let answer = http::get("https://api.example.com/orders", #{
    ///     headers: #{ Authorization: secret("API_LOGIN") }, timeout: "10s", retries: 3,
    /// });
    /// ```
    #[rhai_fn(name = "get", return_raw, volatile)]
    pub fn get_with(ctx: NativeCallContext<'_>, url: &str, options: Map) -> RhaiResultOf<Map> {
        send(&ctx, Method::GET, "http::get", url, &options)
    }

    /// Asks for the headers of a URL, without its content.
    ///
    /// ```rhai
    /// print(http::head("https://www.example.com/big.iso").headers["content-length"]);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn head(ctx: NativeCallContext<'_>, url: &str) -> RhaiResultOf<Map> {
        send(&ctx, Method::HEAD, "http::head", url, &Map::new())
    }

    /// Asks for the headers of a URL.
    ///
    /// {options of `http::head`}
    ///
    /// ```rhai
    /// let answer = http::head("https://www.example.com/", #{ timeout: "5s" });
    /// ```
    #[rhai_fn(name = "head", return_raw, volatile)]
    pub fn head_with(ctx: NativeCallContext<'_>, url: &str, options: Map) -> RhaiResultOf<Map> {
        send(&ctx, Method::HEAD, "http::head", url, &options)
    }

    /// Sends nothing to a URL by POST, as hooks want it.
    ///
    /// ```rhai
    /// http::post("https://hooks.example.com/deployed");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn post(ctx: NativeCallContext<'_>, url: &str) -> RhaiResultOf<Map> {
        send(&ctx, Method::POST, "http::post", url, &Map::new())
    }

    /// Sends content to a URL by POST.
    ///
    /// {options of `http::post`}
    ///
    /// ```rhai
    /// let answer = http::post("https://hooks.example.com/deployed", #{ json: #{ text: "done", at: now() } });
    /// ```
    #[rhai_fn(name = "post", return_raw, volatile)]
    pub fn post_with(ctx: NativeCallContext<'_>, url: &str, options: Map) -> RhaiResultOf<Map> {
        send(&ctx, Method::POST, "http::post", url, &options)
    }

    /// Sends content to a URL by PUT.
    ///
    /// {options of `http::put`}
    ///
    /// ```rhai
    /// http::put("https://files.example.com/report.csv", #{ body: local::read("report.csv") });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn put(ctx: NativeCallContext<'_>, url: &str, options: Map) -> RhaiResultOf<Map> {
        send(&ctx, Method::PUT, "http::put", url, &options)
    }
}
