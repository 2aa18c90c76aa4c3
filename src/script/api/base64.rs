//! Base64: bytes as text.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rhai::{Blob, Dynamic, NativeCallContext, export_module};

use super::sizes::fits_text;
use crate::{
    error::Error,
    script::{
        raise::{Raise, RhaiResultOf},
        value,
    },
};

/// Base64: bytes as text (RFC 4648, section 4).
#[export_module]
pub mod functions {
    /// Returns a string or blob as base64.
    ///
    /// ```rhai
    /// print(base64::encode("user:name"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn encode(ctx: NativeCallContext<'_>, content: Dynamic) -> RhaiResultOf<String> {
        let bytes = value::bytes(&content).or_raise(&ctx)?;
        fits_text(bytes.len(), bytes.len() / 3)?;
        Ok(STANDARD.encode(bytes))
    }

    /// Returns the bytes of a base64 text; line ends and spaces in it are left out. Raises `invalid`.
    ///
    /// ```rhai
    /// print(base64::decode("aGVsbG8=").as_string());
    /// ```
    #[rhai_fn(return_raw)]
    pub fn decode(ctx: NativeCallContext<'_>, text: &str) -> RhaiResultOf<Blob> {
        let text: String = text.split_ascii_whitespace().collect();
        let found = STANDARD.decode(text);
        found.map_err(|error| Error::invalid(format!("it is not base64: {error}"))).or_raise(&ctx)
    }
}
