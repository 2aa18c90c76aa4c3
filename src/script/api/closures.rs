//! Replacements of the language's own functions that call a closure of the script: these raise every error in it.
//!
//! Rhai 1.27 continues to sort in another order when the comparator of `sort` fails, takes elements for different when
//! that of `dedup` fails, and takes every result of a predicate other than `true` for `false`. A script that then
//! deletes all but the newest five files deletes the wrong ones. The replacements have the language's names and
//! arguments, and no documentation of their own, by which [`super::super::signatures`] recognizes them as part of the
//! language.

use std::cmp::Ordering;

use rhai::{
    Array, Dynamic, EvalAltResult, FnPtr, FuncRegistration, Map, Module, NativeCallContext,
};

use crate::{
    error::Error,
    script::{
        raise::{RhaiResultOf, raised},
        show,
    },
};

/// The maximum number of characters of a wrong result in the error.
const ANSWER_CHARS_MAX: usize = 40;

type CallContext<'c> = NativeCallContext<'c>;

/// Registers the replacements. A function may be given by its name, as in the language.
pub(super) fn register(module: &mut Module) {
    comparing(module);
    choosing(module);
    telling(module);
    of_maps(module);
}

/// Registers the functions whose closure compares two elements.
fn comparing(module: &mut Module) {
    let params = ["array: &mut Array", "comparer: FnPtr", "()"];
    let named = ["array: &mut Array", "comparer: &str", "()"];
    for name in ["sort", "sort_by"] {
        method(name, params)
            .set_into_module(module, |ctx: CallContext<'_>, a: &mut Array, f: FnPtr| {
                sort(&ctx, a, &f)
            });
    }
    method("sort", named)
        .set_into_module(module, |ctx: CallContext<'_>, a: &mut Array, f: &str| {
            sort(&ctx, a, &FnPtr::new(f)?)
        });
    for name in ["order", "order_by"] {
        let params = ["array: &mut Array", "comparer: FnPtr", "RhaiResultOf<Array>"];
        pure(name, params).set_into_module(
            module,
            |ctx: CallContext<'_>, a: &mut Array, f: FnPtr| {
                let mut sorted = a.clone();
                sort(&ctx, &mut sorted, &f)?;
                Ok::<_, Box<EvalAltResult>>(sorted)
            },
        );
    }
    method("dedup", params)
        .set_into_module(module, |ctx: CallContext<'_>, a: &mut Array, f: FnPtr| {
            dedup(&ctx, a, &f)
        });
    method("dedup", named)
        .set_into_module(module, |ctx: CallContext<'_>, a: &mut Array, f: &str| {
            dedup(&ctx, a, &FnPtr::new(f)?)
        });
}

/// Registers the functions whose closure selects elements.
fn choosing(module: &mut Module) {
    let params = ["array: &mut Array", "filter: FnPtr", "RhaiResultOf<Array>"];
    let named = ["array: &mut Array", "filter: &str", "RhaiResultOf<Array>"];
    pure("filter", params)
        .set_into_module(module, |ctx: CallContext<'_>, a: &mut Array, f: FnPtr| {
            filter(&ctx, a, &f)
        });
    pure("filter", ["array: &mut Array", "filter_func: &str", "RhaiResultOf<Array>"])
        .set_into_module(module, |ctx: CallContext<'_>, a: &mut Array, f: &str| {
            filter(&ctx, a, &FnPtr::new(f)?)
        });
    method("drain", params)
        .set_into_module(module, |ctx: CallContext<'_>, a: &mut Array, f: FnPtr| {
            split(&ctx, "drain", a, &f, true)
        });
    method("drain", named).set_into_module(
        module,
        |ctx: CallContext<'_>, a: &mut Array, f: &str| {
            split(&ctx, "drain", a, &FnPtr::new(f)?, true)
        },
    );
    method("retain", params)
        .set_into_module(module, |ctx: CallContext<'_>, a: &mut Array, f: FnPtr| {
            split(&ctx, "retain", a, &f, false)
        });
    method("retain", named).set_into_module(
        module,
        |ctx: CallContext<'_>, a: &mut Array, f: &str| {
            split(&ctx, "retain", a, &FnPtr::new(f)?, false)
        },
    );
}

/// Registers the functions whose closure queries an array.
fn telling(module: &mut Module) {
    let one = ["array: &mut Array", "filter: FnPtr", "RhaiResult"];
    let from = ["array: &mut Array", "filter: FnPtr", "start: INT", "RhaiResult"];
    pure("find", one).set_into_module(module, |ctx: CallContext<'_>, a: &mut Array, f: FnPtr| {
        find(&ctx, a, &f, 0)
    });
    pure("find", from)
        .set_into_module(module, |ctx: CallContext<'_>, a: &mut Array, f: FnPtr, start: i64| {
            find(&ctx, a, &f, start)
        });
    pure("index_of", one)
        .set_into_module(module, |ctx: CallContext<'_>, a: &mut Array, f: FnPtr| {
            index_of(&ctx, "index_of", a, &f, 0)
        });
    pure("index_of", from).set_into_module(
        module,
        |ctx: CallContext<'_>, a: &mut Array, f: FnPtr, start: i64| {
            index_of(&ctx, "index_of", a, &f, start)
        },
    );
    let params = ["array: &mut Array", "filter: FnPtr", "RhaiResultOf<bool>"];
    let named = ["array: &mut Array", "filter: &str", "RhaiResultOf<bool>"];
    pure("some", params)
        .set_into_module(module, |ctx: CallContext<'_>, a: &mut Array, f: FnPtr| {
            is_said(&ctx, "some", a, &f, true)
        });
    pure("some", named).set_into_module(module, |ctx: CallContext<'_>, a: &mut Array, f: &str| {
        is_said(&ctx, "some", a, &FnPtr::new(f)?, true)
    });
    pure("all", params).set_into_module(module, |ctx: CallContext<'_>, a: &mut Array, f: FnPtr| {
        is_said(&ctx, "all", a, &f, false).map(|found| !found)
    });
    pure("all", named).set_into_module(module, |ctx: CallContext<'_>, a: &mut Array, f: &str| {
        is_said(&ctx, "all", a, &FnPtr::new(f)?, false).map(|found| !found)
    });
}

/// Registers the functions whose closure selects entries of a map.
fn of_maps(module: &mut Module) {
    let params = ["map: &mut Map", "filter: FnPtr", "RhaiResultOf<Map>"];
    pure("filter", params).set_into_module(
        module,
        |ctx: CallContext<'_>, map: &mut Map, f: FnPtr| {
            split_map(&ctx, "filter", &mut map.clone(), &f, true)
        },
    );
    method("drain", params)
        .set_into_module(module, |ctx: CallContext<'_>, map: &mut Map, f: FnPtr| {
            split_map(&ctx, "drain", map, &f, true)
        });
    method("retain", params)
        .set_into_module(module, |ctx: CallContext<'_>, map: &mut Map, f: FnPtr| {
            split_map(&ctx, "retain", map, &f, false)
        });
}

/// Creates the registration of a function that may change the value on which it is called.
fn method<const N: usize>(name: &str, params: [&str; N]) -> FuncRegistration {
    let new = FuncRegistration::new(name).in_global_namespace().with_params_info(params);
    new.with_purity(false).with_volatility(true)
}

/// Creates the registration of a function that can be called on constants as well.
fn pure<const N: usize>(name: &str, params: [&str; N]) -> FuncRegistration {
    method(name, params).with_purity(true)
}

/// Raises the error for a closure whose result `name` cannot use.
fn not_usable<T>(
    ctx: &CallContext<'_>,
    name: &str,
    wanted: &str,
    given: &Dynamic,
) -> RhaiResultOf<T> {
    let text: String = show::text(given).chars().take(ANSWER_CHARS_MAX).collect();
    let given = match given.type_name() {
        "()" => "nothing".to_owned(),
        "string" => format!("{text:?}"),
        _ => format!("`{text}`"),
    };
    let message = format!("the closure of `{name}` gave {given}, and must give {wanted}");
    Err(raised(Error::invalid(message), ctx.call_position()))
}

/// Returns the result of a predicate.
fn truth(ctx: &CallContext<'_>, name: &str, said: &Dynamic) -> RhaiResultOf<bool> {
    said.as_bool().or_else(|_| not_usable(ctx, name, "true or false", said))
}

/// Returns the result of a predicate for `item` at `index`.
fn holds(
    ctx: &CallContext<'_>,
    name: &str,
    filter: &FnPtr,
    item: &mut Dynamic,
    index: usize,
) -> RhaiResultOf<bool> {
    let index = [i64::try_from(index).unwrap_or(i64::MAX).into()];
    let said = filter.call_raw_with_extra_args(name, ctx, Some(item), [], index, Some(0))?;
    truth(ctx, name, &said)
}

fn filter(ctx: &CallContext<'_>, array: &mut Array, filter: &FnPtr) -> RhaiResultOf<Array> {
    let mut kept = Array::new();
    for (index, item) in array.iter_mut().enumerate() {
        if holds(ctx, "filter", filter, item, index)? {
            kept.push(item.clone());
        }
    }
    Ok(kept)
}

/// Removes and returns the elements for which the predicate returns `taken`; removes none if it fails.
fn split(
    ctx: &CallContext<'_>,
    name: &str,
    array: &mut Array,
    filter: &FnPtr,
    taken: bool,
) -> RhaiResultOf<Array> {
    let mut is_out = Vec::with_capacity(array.len());
    for (index, item) in array.iter_mut().enumerate() {
        is_out.push(holds(ctx, name, filter, item, index)? == taken);
    }
    let mut is_out = is_out.into_iter();
    let (out, rest) =
        std::mem::take(array).into_iter().partition(|_| is_out.next().unwrap_or(false));
    *array = rest;
    Ok(out)
}

fn split_map(
    ctx: &CallContext<'_>,
    name: &str,
    map: &mut Map,
    filter: &FnPtr,
    taken: bool,
) -> RhaiResultOf<Map> {
    let mut is_out = Vec::with_capacity(map.len());
    for (key, item) in map.iter_mut() {
        let key = [key.clone().into()];
        let said = filter.call_raw_with_extra_args(name, ctx, Some(item), key, [], Some(1))?;
        is_out.push(truth(ctx, name, &said)? == taken);
    }
    let mut is_out = is_out.into_iter();
    let (out, rest) = std::mem::take(map).into_iter().partition(|_| is_out.next().unwrap_or(false));
    *map = rest;
    Ok(out)
}

fn find(
    ctx: &CallContext<'_>,
    array: &mut Array,
    filter: &FnPtr,
    start: i64,
) -> RhaiResultOf<Dynamic> {
    let index = index_of(ctx, "find", array, filter, start)?;
    let found = usize::try_from(index).ok().and_then(|index| array.get(index));
    Ok(found.cloned().unwrap_or(Dynamic::UNIT))
}

/// Returns the index of the first element from `start` on for which the predicate is true, or -1.
fn index_of(
    ctx: &CallContext<'_>,
    name: &str,
    array: &mut Array,
    filter: &FnPtr,
    start: i64,
) -> RhaiResultOf<i64> {
    let start = offset(array.len(), start);
    for (index, item) in array.iter_mut().enumerate().skip(start) {
        if holds(ctx, name, filter, item, index)? {
            return Ok(i64::try_from(index).unwrap_or(i64::MAX));
        }
    }
    Ok(-1)
}

/// Returns the index that `start` means, counted from the end if it is negative.
fn offset(length: usize, start: i64) -> usize {
    let distance = usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX);
    if start < 0 { length.saturating_sub(distance) } else { distance }
}

/// Returns true if the predicate returns `wanted` for any element.
fn is_said(
    ctx: &CallContext<'_>,
    name: &str,
    array: &mut Array,
    filter: &FnPtr,
    wanted: bool,
) -> RhaiResultOf<bool> {
    for (index, item) in array.iter_mut().enumerate() {
        if holds(ctx, name, filter, item, index)? == wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

fn dedup(ctx: &CallContext<'_>, array: &mut Array, comparer: &FnPtr) -> RhaiResultOf<()> {
    let mut is_kept = Vec::with_capacity(array.len());
    let mut last: Option<&Dynamic> = None;
    for item in array.iter() {
        let is_same = match last {
            None => false,
            Some(last) => {
                let said = comparer.call_raw(ctx, None, [last.clone(), item.clone()])?;
                truth(ctx, "dedup", &said)?
            }
        };
        is_kept.push(!is_same);
        if !is_same {
            last = Some(item);
        }
    }
    let mut is_kept = is_kept.into_iter();
    array.retain(|_| is_kept.next().unwrap_or(true));
    Ok(())
}

fn sort(ctx: &CallContext<'_>, array: &mut Array, comparer: &FnPtr) -> RhaiResultOf<()> {
    let sorted = sorted(array, &mut |left, right| {
        let said = comparer.call_raw(ctx, None, [left.clone(), right.clone()])?;
        let wanted = "a number (below 0 if its first argument comes first) or true or false";
        order(&said).map_or_else(|| not_usable(ctx, ctx.fn_name(), wanted, &said), Ok)
    })?;
    *array = sorted;
    Ok(())
}

/// Returns the order that a comparator means: by the sign of a number, and `true` for "the first comes first". The
/// difference of two times is a number with a fraction.
fn order(said: &Dynamic) -> Option<Ordering> {
    if let Ok(number) = said.as_int() {
        return Some(number.cmp(&0));
    }
    if let Ok(number) = said.as_float() {
        return number.partial_cmp(&0.0);
    }
    said.as_bool().ok().map(|first| if first { Ordering::Less } else { Ordering::Greater })
}

/// Sorts with a stable merge sort that ends at the first error. Unlike that of the standard library it accepts
/// inconsistent results: with `a <= b`, each of two equal elements comes before the other.
fn sorted<E>(
    items: &[Dynamic],
    compare: &mut impl FnMut(&Dynamic, &Dynamic) -> Result<Ordering, E>,
) -> Result<Array, E> {
    let (left, right) = items.split_at(items.len() / 2);
    if left.is_empty() {
        return Ok(right.to_vec());
    }
    let mut left = sorted(left, compare)?.into_iter().peekable();
    let mut right = sorted(right, compare)?.into_iter().peekable();
    let mut merged = Array::with_capacity(items.len());
    while let (Some(first), Some(second)) = (left.peek(), right.peek()) {
        let is_second_first = compare(second, first)? == Ordering::Less;
        merged.extend(if is_second_first { right.next() } else { left.next() });
    }
    merged.extend(left);
    merged.extend(right);
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sorting_is_that_of_the_standard_library_and_stable(all in prop::collection::vec((0..20_i64, any::<i64>()), 0..200)) {
            let pair = |(key, value): &(i64, i64)| Dynamic::from_array(vec![(*key).into(), (*value).into()]);
            let key = |value: &Dynamic| value.read_lock::<Array>().unwrap()[0].as_int().unwrap();
            let items: Array = all.iter().map(pair).collect();
            let found = sorted(&items, &mut |a, b| Ok::<_, ()>(key(a).cmp(&key(b)))).unwrap();
            let mut wanted = all;
            wanted.sort_by_key(|(key, _)| *key);
            let found: Vec<_> = found.iter().map(show::text).collect();
            let wanted: Vec<_> = wanted.iter().map(pair).map(|value| show::text(&value)).collect();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn answers_without_sense_lose_no_element(
            mut all in prop::collection::vec(0..1000_i64, 0..100),
            answers in prop::collection::vec(-1..=1_i64, 1..50),
        ) {
            let items: Array = all.iter().copied().map(Dynamic::from).collect();
            let mut answers = answers.into_iter().cycle();
            let found = sorted(&items, &mut |_, _| Ok::<_, ()>(answers.next().unwrap().cmp(&0)));
            let mut found: Vec<_> = found.unwrap().iter().map(|one| one.as_int().unwrap()).collect();
            all.sort_unstable();
            found.sort_unstable();
            prop_assert_eq!(found, all);
        }
    }
}
