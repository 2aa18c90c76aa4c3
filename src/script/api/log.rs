//! Messages of a script.

use rhai::{Dynamic, NativeCallContext, export_module};

use crate::{
    observe::Level,
    script::{raise::RhaiResultOf, run::Run, show},
};

fn say(ctx: &NativeCallContext<'_>, level: Level, message: &Dynamic) -> RhaiResultOf<()> {
    Run::of(ctx)?.say(level, show::text(message));
    Ok(())
}

/// Messages for whoever watches the run or reads its log. `print` is for output.
#[export_module]
pub mod functions {
    /// Says what a run normally says.
    ///
    /// ```rhai
    /// log::info("catalogue is up to date");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn info(ctx: NativeCallContext<'_>, message: Dynamic) -> RhaiResultOf<()> {
        say(&ctx, Level::Info, &message)
    }

    /// Says what should be mended, though the run goes on.
    ///
    /// ```rhai
    /// log::warn("no new files since yesterday");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn warn(ctx: NativeCallContext<'_>, message: Dynamic) -> RhaiResultOf<()> {
        say(&ctx, Level::Warn, &message)
    }

    /// Says what failed.
    ///
    /// ```rhai
    /// log::error("the supplier's server is not reachable");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn error(ctx: NativeCallContext<'_>, message: Dynamic) -> RhaiResultOf<()> {
        say(&ctx, Level::Error, &message)
    }

    /// Says what helps to find a cause; shown at `--log-level debug`.
    ///
    /// ```rhai
    /// log::debug(`took route ${"epsv"}`);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn debug(ctx: NativeCallContext<'_>, message: Dynamic) -> RhaiResultOf<()> {
        say(&ctx, Level::Debug, &message)
    }
}
