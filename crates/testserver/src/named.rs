//! The catalog of named fault plans: one row each, with its help text and its effect.

use super::{
    effect::{
        ActiveModeFault, Bend, CommandEffect,
        Effect::{
            self, Begins125, Final, Flow, Instead, Missing, ReuseTls, Rewritten, SlowControl,
        },
        Ending, Passive, Twist, When,
    },
    naming::Naming,
};
use portolan_proto::Verb::{
    self, Appe, Auth, Cwd, Dele, Eprt, Epsv, Feat, Greeting, Hash, List, Mfmt, Mkd, Mlsd, Mlst,
    Nlst, Pass, Pasv, Port, Prot, Retr, Rmd, Rnto, Size, Stor,
};

/// The verbs of listings.
const LISTS: [Verb; 3] = [Mlsd, List, Nlst];
/// The verbs of uploads.
const STORES: [Verb; 2] = [Stor, Appe];
/// The verbs with a data connection.
const TRANSFERS: [Verb; 6] = [Mlsd, List, Nlst, Retr, Stor, Appe];

/// A fault plan, as `--fault` and the help list it.
pub(super) struct FaultRow {
    /// The name.
    pub(super) name: &'static str,
    /// The help text: a description of the fault.
    pub(super) does: &'static str,
    /// The type of the argument, and the constructor of the effect.
    pub(super) make: Make,
}

/// A constructor of an effect, by the type of the argument behind the `=`.
pub(super) enum Make {
    /// No argument.
    Plain(fn() -> Effect),
    /// A number.
    Number(fn(u64) -> Effect),
    /// A number of bytes per second.
    Rate(fn(u64) -> Effect),
    /// Text with escapes.
    Text(fn(Vec<u8>) -> Effect),
    /// The name of a command.
    Command(fn(Verb) -> Effect),
    /// The name of a command, a colon, and text with escapes.
    Reply(fn(Verb, Vec<u8>) -> Effect),
    /// No argument. Changes the kind of server rather than adding a fault, and is therefore never drawn at random.
    Names(Naming),
    /// A number. Changes the kind of server rather than adding a fault, and is therefore never drawn at random.
    NamesBy(fn(u64) -> Naming),
}

const fn plain(name: &'static str, does: &'static str, make: fn() -> Effect) -> FaultRow {
    FaultRow { name, does, make: Make::Plain(make) }
}

const fn number(name: &'static str, does: &'static str, make: fn(u64) -> Effect) -> FaultRow {
    FaultRow { name, does, make: Make::Number(make) }
}

const fn text(name: &'static str, does: &'static str, make: fn(Vec<u8>) -> Effect) -> FaultRow {
    FaultRow { name, does, make: Make::Text(make) }
}

const fn names(name: &'static str, does: &'static str, naming: Naming) -> FaultRow {
    FaultRow { name, does, make: Make::Names(naming) }
}

const fn command(name: &'static str, does: &'static str, make: fn(Verb) -> Effect) -> FaultRow {
    FaultRow { name, does, make: Make::Command(make) }
}

fn say(to: &[Verb], line: &str) -> Effect {
    say_when(When::Always, to, line)
}

fn say_when(when: When, to: &[Verb], line: &str) -> Effect {
    let act = CommandEffect::Say(format!("{line}\r\n").into_bytes());
    Instead { to: to.to_vec(), when, act }
}

fn close_with(to: Verb, line: &str) -> Effect {
    let act = CommandEffect::SayAndClose(format!("{line}\r\n").into_bytes());
    instead(to, act)
}

fn instead(to: Verb, act: CommandEffect) -> Effect {
    Instead { to: vec![to], when: When::Always, act }
}

fn flow(to: &[Verb], bend: Bend) -> Effect {
    Flow(to.to_vec(), bend)
}

fn finish(to: &[Verb], ending: Ending) -> Effect {
    Final(to.to_vec(), ending)
}

fn twist(to: &[Verb], twist: Twist) -> Effect {
    Effect::Twist(to.to_vec(), twist)
}

/// The fault plans, in the order of the help: ports, transfers, replies, listings, TLS, commands, login, names.
pub(super) const ROWS: &[FaultRow] = &[
    plain("pasv-refused", "answers PASV and EPSV with 502", || {
        say(&[Pasv, Epsv], "502 Command not implemented.")
    }),
    plain("epsv-refused", "answers EPSV with 500", || say(&[Epsv], "500 Unknown command.")),
    plain("pasv-dead", "names a passive port where nothing listens", || {
        Effect::Passive(Passive::Dead)
    }),
    plain("pasv-blackhole", "names a passive port that answers no handshake", || {
        Effect::Passive(Passive::Deaf)
    }),
    plain(
        "pasv-foreign",
        "answers PASV with the address 10.255.255.1 (join it to epsv-refused)",
        || Effect::Passive(Passive::Foreign),
    ),
    plain("pasv-nonsense", "answers PASV and EPSV with ports that do not exist", || {
        Effect::Passive(Passive::Nonsense)
    }),
    plain("pasv-odd", "answers PASV without parentheses and EPSV with other delimiters", || {
        Effect::Passive(Passive::Odd)
    }),
    plain("active-refused", "answers PORT and EPRT with 500", || {
        say(&[Port, Eprt], "500 Illegal PORT command.")
    }),
    plain("eprt-refused", "answers EPRT with 500", || say(&[Eprt], "500 Unknown command.")),
    plain("active-silent", "sends 150 in active mode, never connects, never replies", || {
        Effect::Active(ActiveModeFault::Silent)
    }),
    plain(
        "active-overtaken",
        "answers RETR and LIST before a PORT or EPRT in the same packet, and sends no data",
        || Effect::Overtaken,
    ),
    plain("active-425", "answers transfers in active mode with 425", || {
        say_when(When::Active, &TRANSFERS, "425 Failed to establish connection.")
    }),
    plain("active-late-425", "sends 150 in active mode and then 425", || {
        Effect::Active(ActiveModeFault::Late425)
    }),
    plain(
        "active-stranger",
        "lets 127.0.0.9 connect first in active mode and send rubbish",
        || Effect::Active(ActiveModeFault::Stranger),
    ),
    number("active-late", "connects N milliseconds late in active mode", |ms| {
        Effect::Active(ActiveModeFault::Late(ms))
    }),
    plain("retr-425", "answers RETR with 425", || {
        say(&[Retr], "425 Failed to establish connection.")
    }),
    plain("stor-425", "answers STOR and APPE with 425", || {
        say(&STORES, "425 Failed to establish connection.")
    }),
    number("drop-after", "resets the data connection after N bytes of RETR, then sends 426", |n| {
        flow(&[Retr], Bend::Reset(n))
    }),
    number("stall", "sends N bytes of the file, then neither more nor an end", |n| {
        flow(&[Retr], Bend::Stall(n))
    }),
    plain("short-226", "sends half of the file, then 226", || flow(&[Retr], Bend::Half)),
    number("short", "sends N bytes of the file, then 226", |n| flow(&[Retr], Bend::Cut(n))),
    plain("long-226", "sends more than the file has, then 226", || flow(&[Retr], Bend::Longer)),
    plain(
        "rewritten",
        "sends half of a file, writes it anew in place, and sends the other half",
        || Rewritten,
    ),
    plain("retr-426", "sends all of the file, then 426", || {
        finish(&[Retr], Ending::Say("426 Connection closed; transfer aborted."))
    }),
    plain("retr-451", "sends all of the file, then 451", || {
        finish(&[Retr], Ending::Say("451 Local error in processing."))
    }),
    plain(
        "retr-reset",
        "sends all of the file, resets the data connection, then sends 226",
        || flow(&[Retr], Bend::ResetAtEnd),
    ),
    plain(
        "retr-open",
        "sends all of the file and 226, and leaves the data connection open",
        || flow(&[Retr], Bend::Open),
    ),
    number(
        "stor-drop",
        "resets the data connection after N bytes of an upload, then sends 426",
        |n| flow(&STORES, Bend::Reset(n)),
    ),
    number("stor-stall", "takes N bytes of an upload, then reads no more", |n| {
        flow(&STORES, Bend::Stall(n))
    }),
    plain("stor-short", "stores half of an upload and says 226", || flow(&STORES, Bend::Half)),
    plain("stor-452", "takes all of an upload, then says 452", || {
        finish(&STORES, Ending::Say("452 Insufficient storage space."))
    }),
    plain("stor-552", "takes all of an upload, then says 552", || {
        finish(&STORES, Ending::Say("552 Quota exceeded."))
    }),
    plain("stor-451", "takes all of an upload, then says 451", || {
        finish(&STORES, Ending::Say("451 Local error in processing."))
    }),
    FaultRow {
        name: "slow",
        does: "moves N bytes a second over data connections",
        make: Make::Rate(|rate| flow(&TRANSFERS, Bend::Rate(rate.max(1)))),
    },
    plain("late-226", "sends the final reply two seconds late", || {
        finish(&TRANSFERS, Ending::Late)
    }),
    plain("early-226", "sends 150 and 226 in one packet before the data", || {
        finish(&TRANSFERS, Ending::Early)
    }),
    plain("double-226", "sends the final reply again after 50 ms", || {
        finish(&TRANSFERS, Ending::Again)
    }),
    plain("no-final", "never sends the final reply of a transfer", || {
        finish(&TRANSFERS, Ending::Never)
    }),
    plain("begin-125", "begins transfers with 125 in place of 150", || Begins125),
    plain("slow-control", "sends every byte of a reply 5 ms after the one before", || SlowControl),
    number("control-cut", "ends the session after N bytes of replies", Effect::CutControl),
    number("control-pause", "is silent for 300 ms after N bytes of replies", Effect::PauseControl),
    number("repeat-at", "answers the Nth command twice in one packet", |n| {
        Effect::TwistAt(n, Twist::Twice)
    }),
    number("lost-at", "does the Nth command and never answers", |n| {
        Effect::TwistAt(n, Twist::Lost)
    }),
    number("hang-up-at", "ends the session at its Nth command", Effect::HangUpAt),
    plain("double-reply", "answers DELE twice in one packet", || twist(&[Dele], Twist::Twice)),
    plain("line-feeds", "ends the lines of replies with LF alone", || twist(&[], Twist::LineFeeds)),
    plain("bare-code", "sends replies without text", || twist(&[], Twist::Bare)),
    plain("multiline-trap", "puts lines that look like replies into the reply to CWD", || {
        twist(&[Cwd], Twist::Trap)
    }),
    command("no-reply", "never answers the command", |verb| instead(verb, CommandEffect::Silence)),
    FaultRow {
        name: "reply",
        does: "answers the command so, without doing it (\\r \\n \\0 \\xNN; \\c: no line end)",
        make: Make::Reply(|verb, line| instead(verb, CommandEffect::Say(line))),
    },
    FaultRow {
        name: "done-as",
        does: "does the command and answers so (escapes as in reply)",
        make: Make::Reply(|verb, line| twist(&[verb], Twist::As(line))),
    },
    command("busy-421", "answers the command with 421 and closes the session", |verb| {
        close_with(verb, "421 Service not available.")
    }),
    command("hang-up", "closes the session at the command", |verb| {
        instead(verb, CommandEffect::Close)
    }),
    text("greeting", "greets with this text (escapes as in reply)", |line| {
        instead(Greeting, CommandEffect::Say(line))
    }),
    command("repeat", "answers the command twice in one packet", |verb| {
        twist(&[verb], Twist::Twice)
    }),
    command("alone", "throws away what came behind the command in one packet", |verb| {
        twist(&[verb], Twist::Alone)
    }),
    command("late-reply", "does the command and answers two seconds late", |verb| {
        twist(&[verb], Twist::Late)
    }),
    command("lost-reply", "does the command and never answers", |verb| twist(&[verb], Twist::Lost)),
    command("hang-up-after", "does the command and closes the session without an answer", |verb| {
        twist(&[verb], Twist::Gone)
    }),
    command("leave-after", "answers the command, then sends 421 and closes the session", |verb| {
        twist(&[verb], Twist::Leave)
    }),
    plain("greeting-endless-line", "greets with one line without end", || {
        instead(Greeting, CommandEffect::EndlessLine)
    }),
    plain("greeting-endless", "greets without end", || instead(Greeting, CommandEffect::Endless)),
    plain("feat-endless", "answers FEAT without end", || instead(Feat, CommandEffect::Endless)),
    plain("list-550", "answers MLSD, LIST and NLST with 550", || {
        say(&LISTS, "550 No such file or directory.")
    }),
    plain("list-450", "answers MLSD, LIST and NLST with 450", || say(&LISTS, "450 File busy.")),
    plain("list-426", "sends the whole listing, then 426", || {
        finish(&LISTS, Ending::Say("426 Connection closed; transfer aborted."))
    }),
    plain("list-empty", "sends listings of no bytes, then 226", || flow(&LISTS, Bend::Cut(0))),
    text("listing-end", "ends listings with this reply (escapes as in reply)", |line| {
        finish(&LISTS, Ending::Words(line))
    }),
    text("listing", "sends this text as every listing (escapes as in reply)", |line| {
        flow(&LISTS, Bend::Text(line))
    }),
    number("listing-cut", "ends listings after N bytes, then 226", |n| flow(&LISTS, Bend::Cut(n))),
    number("listing-stall", "sends N bytes of a listing, then neither more nor an end", |n| {
        flow(&LISTS, Bend::Stall(n))
    }),
    number(
        "listing-drop",
        "resets the data connection after N bytes of a listing, then sends 426",
        |n| flow(&LISTS, Bend::Reset(n)),
    ),
    plain("listing-endless-line", "sends listings of one line without end", || {
        flow(&LISTS, Bend::EndlessLine)
    }),
    plain("listing-endless", "sends listings without end", || flow(&LISTS, Bend::Endless)),
    plain("tls-refused", "answers AUTH with 500", || say(&[Auth], "500 Unknown command.")),
    plain("tls-inject", "sends a reply in clear behind the 234 in one packet", || {
        twist(&[Auth], Twist::More(b"230 in\r\n"))
    }),
    plain("prot-refused", "answers PROT with 534", || {
        say(&[Prot], "534 Request denied for policy reasons.")
    }),
    plain("tls-no-close", "ends TLS data without close_notify, then sends 226", || {
        flow(&TRANSFERS, Bend::NoFarewell)
    }),
    plain("tls-reuse", "wants data connections to resume the session's TLS, else 522", || ReuseTls),
    plain("no-size", "has no SIZE", || Missing(Size)),
    plain("no-mlsd", "has no MLSD", || Missing(Mlsd)),
    plain("no-mlst", "has no MLST", || Missing(Mlst)),
    plain("no-mfmt", "has no MFMT", || Missing(Mfmt)),
    plain("no-hash", "has no HASH", || Missing(Hash)),
    plain("rename-refused", "answers RNTO with 550", || say(&[Rnto], "550 Rename failed.")),
    plain("rename-onto-refused", "answers RNTO with 550 when the new name is taken", || {
        say_when(When::NameTaken, &[Rnto], "550 File exists.")
    }),
    plain(
        "dot-names-refused",
        "answers STOR, APPE and RNTO to names with a first dot by 553",
        || say_when(When::Hidden, &[Stor, Appe, Rnto], "553 Prohibited file name."),
    ),
    plain("mkd-refused", "answers MKD with 550", || say(&[Mkd], "550 Permission denied.")),
    plain("delete-refused", "answers DELE and RMD with 550", || {
        say(&[Dele, Rmd], "550 Permission denied.")
    }),
    plain("login-530", "answers PASS with 530", || say(&[Pass], "530 Login incorrect.")),
    plain("login-421", "answers PASS with 421 and closes the session", || {
        close_with(Pass, "421 Too many users, try later.")
    }),
    names("fold-case", "keeps the case of names, and finds them in any", Naming::FoldCase),
    names("lower-case", "stores names in lower case", Naming::LowerCase),
    names(
        "windows-names",
        "finds names in any case, drops dots and blanks at their end, stores _ for <>:\"|?*",
        Naming::Windows,
    ),
    names("decomposed", "stores accents apart from their letters (NFD)", Naming::Decomposed),
    names("plus-blank", "stores a blank for each + in a name", Naming::PlusBlank),
    names("drop-query", "drops ? and all behind it from names", Naming::DropQuery),
    FaultRow {
        name: "cut-names",
        does: "stores at most N bytes of a name",
        make: Make::NamesBy(Naming::Cut),
    },
];
