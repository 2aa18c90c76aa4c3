//! Numbers as text, and sums over arrays.

use rhai::{Array, Dynamic, NativeCallContext, export_module};

use super::sizes::fits_text;
use crate::{
    error::{Error, Result},
    observe,
    script::{
        raise::{Raise, RhaiResultOf},
        show, value,
    },
};

/// The maximum width and precision of a formatted number: more digits than any number has.
const WIDTH_MAX: usize = 400;

/// A number of a script.
#[derive(Debug, Clone, Copy)]
pub enum ScriptNumber {
    /// A whole number.
    Whole(i64),
    /// A number with a fraction.
    Part(f64),
}

/// One directive of a format, such as `%08.2f`.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of a format, each by itself")]
struct NumberFormat {
    is_left: bool,
    has_zeros: bool,
    has_plus: bool,
    has_groups: bool,
    width: usize,
    precision: Option<usize>,
}

/// Returns the text that `format` makes of `number`.
fn formatted(number: ScriptNumber, format: &str) -> Result<String> {
    let mut result = String::new();
    let mut rest = format;
    let mut count = 0;
    while let Some((before, behind)) = rest.split_once('%') {
        result.push_str(before);
        if let Some(behind) = behind.strip_prefix('%') {
            result.push('%');
            rest = behind;
            continue;
        }
        count += 1;
        let (text, behind) = directive(number, behind, format)?;
        result.push_str(&text);
        rest = behind;
    }
    if count == 1 {
        return Ok(result + rest);
    }
    let message =
        format!("a format has one directive, such as \"%05d\" or \"%.2f\", got \"{format}\"");
    Err(Error::invalid(message))
}

/// Reads one directive behind its `%`, and returns the text with what follows.
fn directive<'f>(number: ScriptNumber, text: &'f str, format: &str) -> Result<(String, &'f str)> {
    let mut found = NumberFormat::default();
    let mut rest = text;
    while let Some(flag) = rest.chars().next() {
        match flag {
            '-' => found.is_left = true,
            '0' => found.has_zeros = true,
            '+' => found.has_plus = true,
            ',' | '\'' => found.has_groups = true,
            _ => break,
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    let wrong = || {
        let message = "a format is like \"%05d\", \"%,d\", \"%x\", \"%.2f\" or \"%e\"";
        Error::invalid(format!("{message}, got \"{format}\""))
    };
    (found.width, rest) = digits(rest).ok_or_else(wrong)?;
    if let Some(behind) = rest.strip_prefix('.') {
        let (precision, behind) = digits(behind).ok_or_else(wrong)?;
        (found.precision, rest) = (Some(precision), behind);
    }
    let kind = rest.chars().next().ok_or_else(wrong)?;
    let body = body(number, kind, &found).ok_or_else(|| match (number, kind) {
        (ScriptNumber::Part(number), 'd' | 'x' | 'X' | 'o' | 'b') => Error::invalid(format!(
            "%{kind} is for whole numbers, got {number}: use %f, or `to_int`"
        )),
        _ => wrong(),
    })?;
    Ok((found.fitted(&body), rest.get(kind.len_utf8()..).unwrap_or_default()))
}

/// Reads digits; `None` for a number that is too large.
fn digits(text: &str) -> Option<(usize, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(end)?;
    let number = if number.is_empty() { 0 } else { number.parse().ok()? };
    (number <= WIDTH_MAX).then_some((number, rest))
}

/// Returns the digits of a number with its sign; `None` if `kind` is not for it.
fn body(number: ScriptNumber, kind: char, format: &NumberFormat) -> Option<String> {
    let precision = format.precision.unwrap_or(6);
    let real = match number {
        #[expect(clippy::cast_precision_loss, reason = "a fraction is asked for")]
        ScriptNumber::Whole(whole) => whole as f64,
        ScriptNumber::Part(part) => part,
    };
    let text = match (kind, number) {
        ('d' | 's', ScriptNumber::Whole(whole)) => whole.to_string(),
        ('s', ScriptNumber::Part(part)) => part.to_string(),
        ('x', ScriptNumber::Whole(whole)) => format!("{whole:x}"),
        ('X', ScriptNumber::Whole(whole)) => format!("{whole:X}"),
        ('o', ScriptNumber::Whole(whole)) => format!("{whole:o}"),
        ('b', ScriptNumber::Whole(whole)) => format!("{whole:b}"),
        ('f', _) => format!("{real:.precision$}"),
        ('e', _) => format!("{real:.precision$e}"),
        _ => return None,
    };
    let text = if format.has_groups { grouped(&text) } else { text };
    let is_signed = text.starts_with('-') || matches!(kind, 'x' | 'X' | 'o' | 'b');
    Some(if format.has_plus && !is_signed { format!("+{text}") } else { text })
}

/// Returns a number with a comma before each group of three digits.
fn grouped(text: &str) -> String {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (whole, part) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let mut result = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            result.push(',');
        }
        result.push(digit);
    }
    result + part
}

impl NumberFormat {
    /// Returns `body` with what its width wants.
    fn fitted(&self, body: &str) -> String {
        let missing = self.width.saturating_sub(body.chars().count());
        if self.is_left {
            return format!("{body}{}", " ".repeat(missing));
        }
        if !self.has_zeros {
            return format!("{}{body}", " ".repeat(missing));
        }
        let signs = usize::from(body.starts_with(['-', '+']));
        let (sign, digits) = body.split_at_checked(signs).unwrap_or(("", body));
        format!("{sign}{}{digits}", "0".repeat(missing))
    }
}

/// Adds up numbers: a whole number if all of them are.
fn total(array: &Array) -> Result<Dynamic> {
    let mut whole: i64 = 0;
    let mut part: Option<f64> = None;
    for item in array {
        match (item.as_int(), item.as_float()) {
            (Ok(number), _) => {
                let sum = whole.checked_add(number);
                whole = sum.ok_or_else(|| Error::invalid("the sum is too large"))?;
            }
            (_, Ok(number)) => part = Some(part.unwrap_or(0.0) + number),
            _ => {
                let message = format!("`sum` adds numbers, got {}", show::text(item));
                return Err(Error::invalid(message));
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a sum with fractions has this precision")]
    Ok(part.map_or_else(|| whole.into(), |part| (part + whole as f64).into()))
}

/// Numbers as text.
#[export_module]
#[expect(clippy::unwrap_used, reason = "the macro unwraps arguments that the engine has matched")]
pub mod functions {
    /// Returns the number as text, in the form of printf: `%d` whole, `%x` hexadecimal, `%o` octal, `%b` binary, `%f`
    /// with a fraction, `%e` with an exponent. Between `%` and the letter: `0` leading zeros, `,` thousands, `+` a sign, `-`
    /// to the left, the width, and `.2` for two places. Text around it stays. Raises `invalid`.
    ///
    /// ```rhai
    /// let file = 7.format("part-%05d.csv");
    /// print(1234567.format("%,d") + " bytes");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn format(
        ctx: NativeCallContext<'_>,
        number: &mut i64,
        format: &str,
    ) -> RhaiResultOf<String> {
        formatted(ScriptNumber::Whole(*number), format).or_raise(&ctx)
    }

    /// Returns a number with a fraction as text.
    ///
    /// ```rhai
    /// print(3.14159.format("%.2f"));
    /// ```
    #[rhai_fn(name = "format", return_raw, pure)]
    pub fn format_part(
        ctx: NativeCallContext<'_>,
        number: &mut f64,
        format: &str,
    ) -> RhaiResultOf<String> {
        formatted(ScriptNumber::Part(*number), format).or_raise(&ctx)
    }

    /// Returns a number of bytes for people, such as "1.5 MiB".
    ///
    /// ```rhai
    /// print(format_size(local::size("backup.tar")));
    /// ```
    pub fn format_size(bytes: i64) -> String {
        observe::format_size(u64::try_from(bytes).unwrap_or(0))
    }

    /// Returns a duration for people: a number of seconds, or the difference of two times.
    ///
    /// ```rhai
    /// print(format_duration(now() - local::modified("order.csv")) + " old");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn format_duration(ctx: NativeCallContext<'_>, seconds: Dynamic) -> RhaiResultOf<String> {
        let found = value::duration(&seconds).map(observe::format_duration);
        let wrong = || {
            let given = show::text(&seconds);
            Error::invalid(format!("format_duration wants a number of seconds, got {given}"))
        };
        found.ok_or_else(wrong).or_raise(&ctx)
    }

    /// Returns the elements as text, with `separator` between them.
    ///
    /// ```rhai
    /// print(["a.csv", "b.csv"].join(", "));
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn join(array: &mut Array, separator: &str) -> RhaiResultOf<String> {
        let mut result = String::new();
        for (index, item) in array.iter().enumerate() {
            if index > 0 {
                result.push_str(separator);
            }
            let text = show::text(item);
            fits_text(result.len(), text.len())?;
            result.push_str(&text);
        }
        Ok(result)
    }

    /// Returns the sum of the elements; 0 for none. Raises `invalid` for an element that is no number.
    ///
    /// ```rhai
    /// let bytes = local::list("out").map(|entry| entry.size).sum();
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn sum(ctx: NativeCallContext<'_>, array: &mut Array) -> RhaiResultOf<Dynamic> {
        total(array).or_raise(&ctx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted_as_printf_does() {
        use ScriptNumber::{Part, Whole};
        for (number, format, wanted) in [
            (Whole(7), "%05d", "00007"),
            (Whole(-7), "%05d", "-0007"),
            (Whole(7), "part-%03d.csv", "part-007.csv"),
            (Whole(7), "%d%%", "7%"),
            (Whole(1_234_567), "%,d", "1,234,567"),
            (Whole(-123), "%,d", "-123"),
            (Whole(255), "%x", "ff"),
            (Whole(255), "%04X", "00FF"),
            (Whole(5), "%b", "101"),
            (Whole(7), "%+d", "+7"),
            (Whole(7), "%-4d|", "7   |"),
            (Whole(7), "%4d|", "   7|"),
            (Whole(2), "%.2f", "2.00"),
            (Part(2.71), "%.1f", "2.7"),
            (Part(-1234.5), "%,.1f", "-1,234.5"),
            (Part(0.5), "%f", "0.500000"),
            (Part(1500.0), "%.1e", "1.5e3"),
        ] {
            assert_eq!(formatted(number, format).unwrap(), wanted, "{format}");
        }
        for (number, format) in [
            (Whole(1), "no"),
            (Whole(1), "%"),
            (Whole(1), "%d %d"),
            (Whole(1), "%q"),
            (Whole(1), "%99999d"),
            (Part(1.5), "%d"),
        ] {
            assert!(formatted(number, format).is_err(), "{format}");
        }
    }

    #[test]
    fn sums_are_whole_where_all_numbers_are() {
        let sum = |items: Array| total(&items).map(|sum| show::text(&sum));
        assert_eq!(sum(vec![1.into(), 2.into()]).unwrap(), "3");
        assert_eq!(sum(vec![1.into(), 0.5.into()]).unwrap(), "1.5");
        assert_eq!(sum(Array::new()).unwrap(), "0");
        assert!(sum(vec!["x".into()]).is_err());
        assert!(sum(vec![i64::MAX.into(), 1.into()]).is_err());
    }
}
