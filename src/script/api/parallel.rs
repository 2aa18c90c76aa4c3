//! Several servers at once: a closure on threads of its own.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use rhai::{Array, Dynamic, EvalAltResult, FnPtr, NativeCallContext, export_module};

use crate::{
    error::{Error, ErrorKind, Origin},
    limits::{PARALLEL_CALLS_MAX, SCRIPT_STACK_BYTES},
    script::{
        raise::{Raise, RhaiResultOf, raised},
        run::ScriptRun,
    },
};

/// The results so far, in the order of the list; `None` for a call that has not ended.
type CallResults = Mutex<Vec<Option<RhaiResultOf<Dynamic>>>>;

/// Calls `work` for each element, one after another.
fn in_turn(ctx: &NativeCallContext<'_>, list: Array, work: &FnPtr) -> RhaiResultOf<Array> {
    list.into_iter().map(|item| work.call_within_context(ctx, (item,))).collect()
}

/// Calls `work` for each element, on `count` threads.
#[expect(
    deprecated,
    reason = "the engine calls contexts for other threads volatile; this is their only use"
)]
fn at_once(
    ctx: &NativeCallContext<'_>,
    run: &Arc<ScriptRun>,
    list: Array,
    count: usize,
    work: &FnPtr,
) -> RhaiResultOf<Array> {
    let results: CallResults = Mutex::new(list.iter().map(|_| None).collect());
    let items: Vec<Mutex<Option<Dynamic>>> =
        list.into_iter().map(|item| Mutex::new(Some(item))).collect();
    let (next, store, engine) = (AtomicUsize::new(0), ctx.store_data(), ctx.engine());
    let call_all = || {
        // Its meter is that of the thread on which it is made.
        let own = Arc::new(run.next());
        own.shares(run);
        let mut store = store.clone();
        store.global.tag = Dynamic::from(Arc::clone(&own));
        let ctx = store.create_context(engine);
        while let Some(item) = items.get(next.fetch_add(1, Ordering::SeqCst)) {
            let index = items.iter().position(|one| std::ptr::eq(one, item));
            let Some(item) = item.lock().unwrap_or_else(PoisonError::into_inner).take() else {
                continue;
            };
            let result = work.call_within_context::<Dynamic>(&ctx, (item,));
            let is_end = matches!(
                result.as_ref().map_err(|error| error.unwrap_inner()),
                Err(EvalAltResult::Exit(..) | EvalAltResult::ErrorTerminated(..))
            );
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(place) = index.and_then(|index| results.get_mut(index)) {
                *place = Some(result);
            }
            if is_end {
                // Nothing new is begun.
                next.store(items.len(), Ordering::SeqCst);
            }
        }
        run.takes_over(&own);
    };
    run.uncounted(|| {
        std::thread::scope(|scope| {
            for _ in 0..count {
                let thread = std::thread::Builder::new().name("parallel".into());
                let spawned = thread.stack_size(SCRIPT_STACK_BYTES).spawn_scoped(scope, call_all);
                if spawned.is_err() {
                    // Fewer threads do the same; without any, the results are missing.
                    break;
                }
            }
        });
    });
    collected(ctx, results.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Returns the results, or raises the first error: an end of the script before any other.
fn collected(
    ctx: &NativeCallContext<'_>,
    results: Vec<Option<RhaiResultOf<Dynamic>>>,
) -> RhaiResultOf<Array> {
    let mut all = Array::with_capacity(results.len());
    let mut first = None;
    for result in results {
        match result {
            Some(Ok(value)) => all.push(value),
            Some(Err(error)) => {
                let is_end = matches!(
                    error.unwrap_inner(),
                    EvalAltResult::Exit(..) | EvalAltResult::ErrorTerminated(..)
                );
                if is_end {
                    return Err(error);
                }
                first.get_or_insert(error);
            }
            None => {
                let message = "a call of `parallel` did not begin";
                let fault = Error::new(ErrorKind::Local, Origin::Here, message);
                first.get_or_insert(raised(fault, ctx.call_position()));
            }
        }
    }
    first.map_or(Ok(all), Err)
}

/// Several things at once.
#[export_module]
pub mod functions {
    /// Calls `work` with each element of `list`, `count` of them at once (1 to 16), and returns the results in the order of the
    /// list. All calls end before an error of one is raised; the first one is. Each call should have its session and its files
    /// for itself: a variable of the script that several calls change may lose changes, and one session does one thing at a
    /// time. In a rehearsal the calls are made one after another.
    ///
    /// ```rhai
    /// let hosts = ["ftp://ftp-a.example.org", "ftp://ftp-b.example.org"];
    /// let counts = parallel(hosts, 2, |host| {
    ///     let site = ftp::connect(host);
    ///     site.mirror_down("/pub", path::join("in", site.host)).downloaded
    /// });
    /// print(counts.sum());
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn parallel(
        ctx: NativeCallContext<'_>,
        list: Array,
        count: i64,
        work: FnPtr,
    ) -> RhaiResultOf<Array> {
        let run = ScriptRun::of(&ctx)?;
        let Some(count) =
            usize::try_from(count).ok().filter(|n| (1..=PARALLEL_CALLS_MAX).contains(n))
        else {
            let message =
                format!("parallel takes a number from 1 to {PARALLEL_CALLS_MAX}, got {count}");
            return Err(Error::invalid(message)).or_raise(&ctx);
        };
        let count = count.min(list.len());
        let is_real = run.settings.rehearsal.is_none() && run.settings.nat.described.is_none();
        if count <= 1 || !is_real {
            return in_turn(&ctx, list, &work);
        }
        at_once(&ctx, &run, list, count, &work)
    }
}
