//! `nat::ruleset` and what is done with one.

use rhai::{ImmutableString, NativeCallContext, export_module};

use crate::script::{
    raise::{Raise, RhaiResultOf},
    rules,
};

/// Rules of this machine that let FTP through.
#[export_module]
#[expect(clippy::unwrap_used, reason = "the macro unwraps arguments that the engine has matched")]
pub mod functions {
    /// A table of rules.
    pub type Ruleset = rules::Ruleset;

    /// Begins the ruleset `name`, which has the table `inet portolan_<name>` to itself; nothing is changed until it is
    /// applied. Raises `nat.bad_name`.
    ///
    /// ```rhai
    /// let rules = nat::ruleset("office");
    /// print(rules.name);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn ruleset(ctx: NativeCallContext<'_>, name: &str) -> RhaiResultOf<Ruleset> {
        Ruleset::new(name).or_raise(&ctx)
    }

    /// Its name.
    #[rhai_fn(global, get = "name", pure)]
    pub fn name(rules: &mut Ruleset) -> ImmutableString {
        rules.model().name().into()
    }
}
