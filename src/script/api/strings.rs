//! A replacement of the language's own `replace` that checks the size of the result before it is created.
//!
//! The results of all other functions of the language are at most a few times as large as their arguments, and the
//! engine checks their size afterwards. A `replace` of each `a` in 8 MiB by 8 MiB asks for 64 TiB, which kills the
//! process.

use rhai::{EvalAltResult, FuncRegistration, ImmutableString, Module, NativeCallContext, Position};

use crate::script::raise::RhaiResultOf;

/// Registers the replacement.
pub(super) fn register(module: &mut Module) {
    new(["find_string: &str", "substitute_string: &str"]).set_into_module(
        module,
        |ctx: NativeCallContext<'_>, text: &mut ImmutableString, find: &str, new: &str| {
            replace(&ctx, text, find, new)
        },
    );
    new(["find_string: &str", "substitute_character: char"]).set_into_module(
        module,
        |ctx: NativeCallContext<'_>, text: &mut ImmutableString, find: &str, new: char| {
            replace(&ctx, text, find, new.encode_utf8(&mut [0; 4]))
        },
    );
    new(["find_character: char", "substitute_string: &str"]).set_into_module(
        module,
        |ctx: NativeCallContext<'_>, text: &mut ImmutableString, find: char, new: &str| {
            replace(&ctx, text, find.encode_utf8(&mut [0; 4]), new)
        },
    );
    new(["find_character: char", "substitute_character: char"]).set_into_module(
        module,
        |ctx: NativeCallContext<'_>, text: &mut ImmutableString, find: char, new: char| {
            replace(&ctx, text, find.encode_utf8(&mut [0; 4]), new.encode_utf8(&mut [0; 4]))
        },
    );
}

fn new(params: [&str; 2]) -> FuncRegistration {
    let [find, substitute] = params;
    FuncRegistration::new("replace")
        .in_global_namespace()
        .with_params_info(["string: &mut ImmutableString", find, substitute, "()"])
        .with_purity(false)
}

fn replace(
    ctx: &NativeCallContext<'_>,
    text: &mut ImmutableString,
    find: &str,
    new: &str,
) -> RhaiResultOf<()> {
    let count = text.matches(find).count();
    let size = (text.len() - count * find.len()).saturating_add(count.saturating_mul(new.len()));
    if size > ctx.engine().max_string_size() {
        let what = "Length of string".to_owned();
        return Err(Box::new(EvalAltResult::ErrorDataTooLarge(what, Position::NONE)));
    }
    *text = text.replace(find, new).into();
    Ok(())
}
