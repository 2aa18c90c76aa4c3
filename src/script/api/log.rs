//! Log messages of a script.

use rhai::{Dynamic, NativeCallContext, export_module};

use crate::{
    observe::MessageLevel,
    script::{raise::RhaiResultOf, run::ScriptRun, show},
};

fn say(ctx: &NativeCallContext<'_>, level: MessageLevel, message: &Dynamic) -> RhaiResultOf<()> {
    ScriptRun::of(ctx)?.say(level, show::text(message));
    Ok(())
}

/// Messages for the log and the user who follows the run. `print` is for output.
#[export_module]
pub mod functions {
    /// Logs an informational message.
    ///
    /// ```rhai
    /// log::info("catalogue is up to date");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn info(ctx: NativeCallContext<'_>, message: Dynamic) -> RhaiResultOf<()> {
        say(&ctx, MessageLevel::Info, &message)
    }

    /// Logs a warning; the run continues.
    ///
    /// ```rhai
    /// log::warn("no new files since yesterday");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn warn(ctx: NativeCallContext<'_>, message: Dynamic) -> RhaiResultOf<()> {
        say(&ctx, MessageLevel::Warn, &message)
    }

    /// Logs an error.
    ///
    /// ```rhai
    /// log::error("the supplier's server is not reachable");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn error(ctx: NativeCallContext<'_>, message: Dynamic) -> RhaiResultOf<()> {
        say(&ctx, MessageLevel::Error, &message)
    }

    /// Logs a message for troubleshooting; shown with `--log-level debug`.
    ///
    /// ```rhai
    /// log::debug(`took route ${"epsv"}`);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn debug(ctx: NativeCallContext<'_>, message: Dynamic) -> RhaiResultOf<()> {
        say(&ctx, MessageLevel::Debug, &message)
    }
}
