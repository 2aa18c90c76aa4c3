//! The functions of the run itself: secrets, waiting, retries, exit.

use std::time::Duration;

use rhai::{
    Array, Dynamic, EvalAltResult, FnPtr, ImmutableString, Map, NativeCallContext, Position,
    export_module,
};

use crate::{
    error::{Error, ErrorKind, Origin, Result},
    limits::RETRIES_MAX,
    option_table::{OptionKind, OptionRow, OptionTable},
    script::{
        options,
        raise::{self, Raise, RhaiResultOf, raised},
        run::ScriptRun,
        secrets, show, value,
    },
    secret::Secret as Value,
};

/// Waits, unless the run is stopped or only describes rulesets.
fn pause(run: &ScriptRun, time: Duration) -> Result<()> {
    if run.settings.nat.described.is_some() {
        return Ok(());
    }
    run.wait(async { run.context.stop.run_until_cancelled(tokio::time::sleep(time)).await })
}

fn wait(ctx: &NativeCallContext<'_>, time: &Dynamic) -> RhaiResultOf<()> {
    let run = ScriptRun::of(ctx)?;
    let found = value::duration(time).ok_or_else(|| {
        Error::invalid(format!(
            "sleep wants a duration such as \"90s\" or \"5m\", got {}",
            show::text(time)
        ))
    });
    found.and_then(|time| pause(&run, time)).or_raise(ctx)
}

/// The options of `retry`.
#[derive(Debug)]
pub struct RetryOptions {
    /// The maximum number of attempts.
    attempts: u16,
    /// The pause after the first.
    backoff: Duration,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self { attempts: 3, backoff: Duration::from_secs(1) }
    }
}

/// Every option of `retry`.
pub(in crate::script) const RETRY: OptionTable<RetryOptions> = OptionTable {
    rows: &[
        OptionRow::<RetryOptions>::new(
            "attempts",
            OptionKind::Count(1..=RETRIES_MAX, |it, attempts| it.attempts = attempts),
            "the number of attempts in all",
        )
        .usual("3"),
        OptionRow::<RetryOptions>::new(
            "backoff",
            OptionKind::Duration(|it, time| it.backoff = time),
            "the pause after the first attempt, which doubles each time",
        )
        .usual("1s"),
    ],
    usual: RetryOptions::default,
};

fn try_again(
    ctx: &NativeCallContext<'_>,
    options: &RetryOptions,
    work: &FnPtr,
) -> RhaiResultOf<Dynamic> {
    let run = ScriptRun::of(ctx)?;
    let attempts = options.attempts;
    let mut time = options.backoff;
    for attempt in 1.. {
        let error = match work.call_within_context::<Dynamic>(ctx, ()) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let fault = match error.unwrap_inner() {
            EvalAltResult::ErrorRuntime(value, _) => raise::normal(value.clone()),
            // A mistake in the script or a limit: another attempt would not help.
            _ => return Err(error),
        };
        if attempt >= attempts || !fault.is_retryable() {
            return Err(error);
        }
        let text = format!("{fault}; trying again ({attempt} of {})", attempts - 1);
        run.context.observer.warn(text);
        pause(&run, time).or_raise(ctx)?;
        time = time.saturating_mul(2);
    }
    Ok(Dynamic::UNIT)
}

/// Raises the error of `fail` and `fail_temporarily`, at the place of the call.
fn fail_with(ctx: &NativeCallContext<'_>, fault: Error) -> RhaiResultOf<()> {
    let position = ctx.call_position();
    Err(raised(fault, if position.is_none() { Position::NONE } else { position }))
}

/// The largest exit code of a script: shells use 126 and above for commands that cannot be run, and for signals.
const EXIT_CODE_MAX: u8 = 125;

/// Returns the error message for `exit(given)`.
pub(in crate::script) fn wrong_code(given: &str) -> String {
    let given = if given.is_empty() { "()" } else { given };
    format!(
        "exit takes a whole number, got {given}: fail(\"...\") ends a script with an error in words"
    )
}

/// The functions of the run itself.
#[export_module]
#[expect(clippy::unwrap_used, reason = "the macro unwraps arguments that the engine has matched")]
pub mod functions {
    /// A password or similar, which is never shown.
    pub type Secret = Value;

    /// Returns the secret `name`: the first that exists of a systemd credential (`$CREDENTIALS_DIRECTORY`), the file of
    /// that name in `$PORTOLAN_SECRETS` or `secrets` (mode 0600), the machine of that name in `$NETRC` or `~/.netrc`,
    /// the environment variable. Prints as `***`. Raises `not_found`.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftpes://deploy@www.example.com", #{ password: secret("WWW_PASSWORD") });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn secret(ctx: NativeCallContext<'_>, name: &str) -> RhaiResultOf<Secret> {
        let run = ScriptRun::of(&ctx)?;
        run.permissions().allow_secret(name).or_raise(&ctx)?;
        let found = secrets::find(name, run.settings.rehearsal.is_some()).or_raise(&ctx)?;
        if let Some(recorder) = &run.context.recorder {
            recorder.hide(&found.secret);
        }
        // An interactive user has set it a moment ago; a service has it there for months.
        if found.is_exposed && run.settings.job.is_scheduled {
            run.context.observer.warn_once(format!(
                "the secret `{name}` comes from the environment, which other programs of this user can read; a systemd \
                 credential or a file with mode 0600 is safer"
            ));
        }
        Ok(found.secret)
    }

    /// Returns `***` in place of a secret.
    #[rhai_fn(name = "to_string", name = "print", name = "debug", name = "to_debug", pure)]
    pub fn hidden(secret: &mut Secret) -> ImmutableString {
        secret.to_string().into()
    }

    /// Joins a string and a secret; the secret stays hidden.
    #[rhai_fn(name = "+")]
    pub fn text_and_secret(text: &str, secret: Secret) -> ImmutableString {
        format!("{text}{secret}").into()
    }

    /// Joins a secret and a string; the secret stays hidden.
    #[rhai_fn(name = "+")]
    pub fn secret_and_text(secret: Secret, text: &str) -> ImmutableString {
        format!("{secret}{text}").into()
    }

    /// Returns the environment variable `name`, or `()` if it is not set.
    ///
    /// ```rhai
    /// let branch = env("CI_COMMIT_BRANCH") ?? "main";
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn env(ctx: NativeCallContext<'_>, name: &str) -> RhaiResultOf<Dynamic> {
        ScriptRun::of(&ctx)?.permissions().allow_env(name).or_raise(&ctx)?;
        Ok(std::env::var(name).map_or(Dynamic::UNIT, Into::into))
    }

    /// Waits for a duration: `"90s"`, `"5m"`, or a number of seconds. Ends at once if the run is stopped.
    ///
    /// ```rhai
    /// sleep("250ms");
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn sleep(ctx: NativeCallContext<'_>, time: &str) -> RhaiResultOf<()> {
        wait(&ctx, &time.into())
    }

    /// Waits for a number of seconds.
    #[rhai_fn(name = "sleep", return_raw, volatile)]
    pub fn sleep_whole(ctx: NativeCallContext<'_>, seconds: i64) -> RhaiResultOf<()> {
        wait(&ctx, &seconds.into())
    }

    /// Waits for a number of seconds.
    #[rhai_fn(name = "sleep", return_raw, volatile)]
    pub fn sleep_part(ctx: NativeCallContext<'_>, seconds: f64) -> RhaiResultOf<()> {
        wait(&ctx, &seconds.into())
    }

    /// Runs `work`, and retries it after a temporary error (`err.may_retry`), such as that of `fail_temporarily`. Returns the
    /// result of `work`.
    ///
    /// {options of `retry`}
    ///
    /// ```rhai
    /// let site = retry(#{ attempts: 5, backoff: "10s" }, || ftp::connect("ftp://ftp.example.org"));
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn retry(ctx: NativeCallContext<'_>, options: Map, work: FnPtr) -> RhaiResultOf<Dynamic> {
        let options = options::read(&options, "retry", &RETRY).or_raise(&ctx)?;
        try_again(&ctx, &options, &work)
    }

    /// Retries `work` with only the number of attempts given.
    ///
    /// ```rhai
    /// let site = retry(2, || ftp::connect("ftp://ftp.example.org"));
    /// ```
    #[rhai_fn(name = "retry", return_raw, volatile)]
    pub fn retry_times(
        ctx: NativeCallContext<'_>,
        attempts: i64,
        work: FnPtr,
    ) -> RhaiResultOf<Dynamic> {
        let attempts = u16::try_from(attempts.max(1)).unwrap_or(RETRIES_MAX).min(RETRIES_MAX);
        try_again(&ctx, &RetryOptions { attempts, ..RetryOptions::default() }, &work)
    }

    /// Ends the script, and the program with the exit code `code`, from 0 to 125, without an error message; `catch` cannot
    /// stop it. A code that `portolan --help` lists has its meaning: after 4, a job is retried that retries `busy`; 6 is a
    /// partial success; any other code than 0 is a failure. Raises an error for a code that no program may end with by itself.
    ///
    /// ```rhai
    /// if !local::exists("order.csv") { exit(0); }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn exit(ctx: NativeCallContext<'_>, code: i64) -> RhaiResultOf<()> {
        let position = ctx.call_position();
        let known = u8::try_from(code).ok().filter(|code| *code <= EXIT_CODE_MAX);
        let Some(code) = known else {
            let message = format!("exit takes a code from 0 to {EXIT_CODE_MAX}, got {code}");
            let fault = Error::invalid(message);
            return Err(Box::new(EvalAltResult::ErrorTerminated(Dynamic::from(fault), position)));
        };
        if let Ok(run) = ScriptRun::of(&ctx) {
            run.ended_with(code);
        }
        // The run looks for the code first; a prompt shows the message.
        Err(Box::new(if code == 0 {
            EvalAltResult::Exit(Dynamic::UNIT, position)
        } else {
            let fault = Error::invalid(format!("the script ended itself with exit({code})"));
            EvalAltResult::ErrorTerminated(Dynamic::from(fault), position)
        }))
    }

    /// Fails for any other value than a whole number; use `fail` to end a script with a message.
    ///
    /// ```rhai
    /// if !local::exists("order.csv") { fail("there is no order"); }
    /// ```
    #[rhai_fn(name = "exit", return_raw, volatile)]
    pub fn exit_other(ctx: NativeCallContext<'_>, value: Dynamic) -> RhaiResultOf<()> {
        let fault = Error::invalid(wrong_code(&show::text(&value)));
        let position = ctx.call_position();
        Err(Box::new(EvalAltResult::ErrorTerminated(Dynamic::from(fault), position)))
    }

    /// Returns a map as one line of JSON. Secrets are `***`, times and errors are as they print.
    ///
    /// ```rhai
    /// print(#{ name: "a.csv", at: now() }.to_json());
    /// ```
    #[rhai_fn(name = "to_json", global, pure)]
    pub fn map_to_json(map: &mut Map) -> String {
        show::json(&Dynamic::from_map(map.clone()))
    }

    /// Returns an array as one line of JSON.
    ///
    /// ```rhai
    /// print(local::list(".").to_json());
    /// ```
    #[rhai_fn(name = "to_json", global, pure)]
    pub fn array_to_json(array: &mut Array) -> String {
        show::json(&Dynamic::from_array(array.clone()))
    }

    /// Ends the script with an error message of your own, which `catch` can handle.
    ///
    /// ```rhai
    /// if local::size("out.csv") == 0 { fail("out.csv is empty"); }
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn fail(ctx: NativeCallContext<'_>, message: &str) -> RhaiResultOf<()> {
        fail_with(&ctx, Error::invalid(message))
    }

    /// Ends the script, or the attempt of `retry`, with a temporary error of your own: `retry` tries again, and so does a job
    /// with `retries`. Its kind is "busy", the exit code 4; `catch` can handle it.
    ///
    /// ```rhai
    /// let site = ftp::connect("ftp://ftp.example.org");
    /// retry(#{ attempts: 10, backoff: "30s" }, || {
    ///     if !site.exists("/out/done.flag") { fail_temporarily("the day is not closed yet"); }
    /// });
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn fail_temporarily(ctx: NativeCallContext<'_>, message: &str) -> RhaiResultOf<()> {
        fail_with(&ctx, Error::new(ErrorKind::Busy, Origin::Here, message))
    }
}
