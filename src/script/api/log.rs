//! Log messages of a script.

use rhai::{Dynamic, NativeCallContext, export_module};

use crate::{
    observe::Level,
    script::{raise::RhaiResultOf, run::Run, show},
};

fn say(ctx: &NativeCallContext<'_>, level: Level, message: &Dynamic) -> RhaiResultOf<()> {
    Run::of(ctx)?.say(level, show::text(message));
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
        say(&ctx, Level::Info, &message)
    }

    /// Logs a warning; the run continues.
    ///
    /// ```rhai
    /// log::warn("no new files since yesterday");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn warn(ctx: NativeCallContext<'_>, message: Dynamic) -> RhaiResultOf<()> {
        say(&ctx, Level::Warn, &message)
    }

    /// Logs an error.
    ///
    /// ```rhai
    /// log::error("the supplier's server is not reachable");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn error(ctx: NativeCallContext<'_>, message: Dynamic) -> RhaiResultOf<()> {
        say(&ctx, Level::Error, &message)
    }

    /// Logs a message for troubleshooting; shown with `--log-level debug`.
    ///
    /// ```rhai
    /// log::debug(`took route ${"epsv"}`);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn debug(ctx: NativeCallContext<'_>, message: Dynamic) -> RhaiResultOf<()> {
        say(&ctx, Level::Debug, &message)
    }
}
