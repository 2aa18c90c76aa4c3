//! Programs of this host.

use rhai::{Array, Map, NativeCallContext, export_module};

use crate::script::{
    programs::ProgramCall,
    raise::{Raise, RhaiResultOf},
    run::ScriptRun,
};

/// Programs of this host, which the run allows: `portolan run --allow-run=PROGRAM`, or `run` in `[job.permissions]`.
#[export_module]
pub mod functions {
    /// Runs a program with its arguments, and returns `#{ code, stdout, stderr }` when it has ended. There is no shell: each
    /// string is one argument, and `*`, `|`, `$` mean nothing. `code` is its exit code, 128 and more for a signal, and one
    /// other than 0 is no error; the outputs are strings, or blobs if they are no UTF-8, at most 8 MiB each. It ends at the
    /// latest with the run, and so does what it has started. Raises `denied_by_policy`, `not_found`, `timeout`, and `guard`
    /// for too much output.
    ///
    /// ```rhai
    /// let done = run::command(["gpg", "--verify", "order.csv.asc"]);
    /// if done.code != 0 { fail("the signature is wrong: " + done.stderr); }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn command(ctx: NativeCallContext<'_>, words: Array) -> RhaiResultOf<Map> {
        command_with(ctx, words, Map::new())
    }

    /// Runs a program with its arguments.
    ///
    /// {options of `run::command`}
    ///
    /// ```rhai
    /// let sorted = run::command(["sort", "-u"], #{ input: local::read("names.txt"), timeout: "1m", env: #{ LC_ALL: "C" } });
    /// local::write("sorted.txt", sorted.stdout);
    /// ```
    #[rhai_fn(name = "command", return_raw, volatile)]
    pub fn command_with(
        ctx: NativeCallContext<'_>,
        words: Array,
        options: Map,
    ) -> RhaiResultOf<Map> {
        let run = ScriptRun::of(&ctx)?;
        ProgramCall::new(&words, &options).and_then(|call| call.run(&run)).or_raise(&ctx)
    }
}
