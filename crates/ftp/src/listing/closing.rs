//! The reply that closes a listing: some servers list only a part of a directory, and report that only there.

/// The word beginnings by which a server reports an incomplete listing.
const CUT: [&str; 19] = [
    "truncat",
    "trunkat",
    "tronqu",
    "trunca",
    "incomplet",
    "unvollst",
    "abgeschnitten",
    "partial",
    "abort",
    "cut off",
    "cut short",
    "too many",
    "only first",
    "only the first",
    "not all",
    "exceed",
    "omitted",
    "suppressed",
    "maximum",
];
/// The word for a limit on the number of entries, unless the line denies it.
const LIMIT: &str = "limit";
/// The words of lines that concern something other than entries.
const OTHERS: [&str; 9] =
    ["bandwidth", "speed", "rate", "/s", "quota", "connection", "session", "upload", "download"];

/// Returns true if `words`, the lines of a reply joined by ` / `, report that a listing is incomplete.
pub(crate) fn says_cut(words: &str) -> bool {
    words.to_lowercase().split(" / ").any(is_cut)
}

fn is_cut(line: &str) -> bool {
    if OTHERS.iter().any(|other| line.contains(other)) {
        return false;
    }
    CUT.iter().any(|stem| begins_word(line, stem))
        || begins_word(line, LIMIT)
            && !["no limit", "without limit"].iter().any(|no| line.contains(no))
        || tells_a_part(line)
}

/// Returns true if a word of `line` begins with `stem`.
fn begins_word(line: &str, stem: &str) -> bool {
    line.match_indices(stem).any(|(at, _)| {
        !line.get(..at).is_some_and(|before| before.ends_with(char::is_alphanumeric))
    })
}

/// Returns true for `first 500`, `500 of 1200`, `500 out of 1200`.
fn tells_a_part(line: &str) -> bool {
    let words: Vec<_> = line.split(|letter: char| !letter.is_alphanumeric()).collect();
    let words: Vec<_> =
        words.into_iter().filter(|word| !word.is_empty() && *word != "out").collect();
    let number = |word: &str| word.parse::<u64>().ok();
    let is_first =
        words.windows(2).any(|pair| matches!(pair, ["first", count] if number(count).is_some()));
    let is_part = words.windows(3).any(|three| {
        matches!(three, [some, "of", all] if number(some).zip(number(all)).is_some_and(|(some, all)| some < all))
    });
    is_first || is_part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_that_speaks_of_a_part_is_heard() {
        for words in [
            "226 Output truncated to 2000 matches",
            "226 Options: -a -l / Output truncated to 2000 matches / 2000 matches total",
            "226 Transfer complete (listing incomplete)",
            "250 Limit reached",
            "226 Directory listing limited to 500 entries.",
            "226 Only the first 1000 files are shown",
            "226 Showing first 250 entries",
            "226 Listed 500 of 1200 entries.",
            "226 500 out of 1200 shown",
            "226 Partial listing sent",
            "226 Too many files, list has been cut short",
            "226 maximum number of entries exceeded",
            "226 Liste tronquée",
            "226 Not all entries could be read",
        ] {
            assert!(says_cut(words), "{words}");
        }
    }

    #[test]
    fn a_reply_that_speaks_of_anything_else_is_not() {
        for words in [
            "226 Transfer complete.",
            "226 Directory send OK.",
            "226 Options: -a -l / 12 matches total",
            "226 Closing data connection, 0.1 s, unlimited",
            "226 Transfer complete / Bandwidth limit: 500 KB/s",
            "226 Quota: 5 of 10 MB used, upload limit 10 MB",
            "226 Done, no limit",
            "226 3 of 3 entries listed",
            "250 OK",
            "",
        ] {
            assert!(!says_cut(words), "{words}");
        }
    }
}
