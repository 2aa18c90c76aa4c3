//! The kinds of faults: a small set of effects, from which the named plans are made.

use super::{forms::ListingStyle, naming::Naming, syntax::Syntax};
use portolan_proto::Verb;

/// A fault of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// These commands are not executed; `act` happens instead.
    Instead {
        /// The commands.
        to: Vec<Verb>,
        /// The condition.
        when: When,
        /// The action in place of the command.
        act: CommandEffect,
    },
    /// These commands are executed, and their replies are altered; an empty list means every command.
    Twist(Vec<Verb>, Twist),
    /// The command does not exist, and `FEAT` does not list it.
    Missing(Verb),
    /// `PASV` and `EPSV` announce a bad port.
    Passive(Passive),
    /// The data connection of active mode is not opened as it should be.
    Active(ActiveModeFault),
    /// A download or listing in the packet of PORT or EPRT is answered before that, and sends nothing (pyftpdlib 2.2.0).
    Overtaken,
    /// The bytes of these transfers are altered.
    Flow(Vec<Verb>, Bend),
    /// The final reply of these transfers is altered.
    Final(Vec<Verb>, Ending),
    /// Transfers begin with 125 instead of 150.
    Begins125,
    /// A file is overwritten in place, with the same size, once half of it has been sent.
    Rewritten,
    /// Every byte of the control connection is sent 5 ms after the one before.
    SlowControl,
    /// The control connection ends after this many bytes of replies.
    CutControl(u64),
    /// The control connection is silent for a while after this many bytes of replies.
    PauseControl(u64),
    /// The reply to this command, counted from 1 in each session, is altered.
    TwistAt(u64, Twist),
    /// The control connection ends at this command, counted from 1 in each session.
    HangUpAt(u64),
    /// Data connections must resume the TLS session of their control connection.
    ReuseTls,
    /// Names are treated in this way, in every command and from the start.
    Names(Naming),
    /// Paths, and the replies that contain one, have this form.
    Paths(Syntax),
    /// Listings have this form.
    Lines(ListingStyle),
    /// Listings leave out names that begin with a dot, whatever their options.
    HidesDots,
    /// Listings are truncated.
    Truncates {
        /// The number of entries shown.
        entries: usize,
        /// True if the final reply tells that there are more.
        says_so: bool,
    },
    /// The argument of `LIST` is a name even if it begins with a hyphen; the listing of a file that does not exist is
    /// empty.
    OptionsAreNames,
    /// The listing of an empty directory is this reply, without a data connection.
    Empty(&'static str),
    /// The first `SIZE` after an upload of a file returns 0.
    SizeLater,
    /// `LIST` shows times an hour later once a session has sent `QUIT`, as if summer time had begun in between.
    SummerTime,
    /// Bytes are sent and stored unchanged, whatever the `TYPE`.
    Binary,
    /// Directories cannot be renamed.
    FoldersStay,
    /// The root contains a file of this name, made by the server, that no client may change.
    Keeps(&'static str),
}

/// The condition under which a command is answered differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Always.
    Always,
    /// The client has named a port of its own (active mode).
    Active,
    /// The new name of a rename exists.
    NameTaken,
    /// The name begins with a dot.
    Hidden,
}

/// The action in place of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CommandEffect {
    /// These bytes are sent.
    Say(Vec<u8>),
    /// These bytes are sent, then the control connection ends.
    SayAndClose(Vec<u8>),
    /// No reply is sent.
    Silence,
    /// The control connection ends.
    Close,
    /// Lines of a reply that never ends.
    Endless,
    /// A single line of a reply that never ends.
    EndlessLine,
}

/// An alteration of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Twist {
    /// The reply is sent twice in one packet.
    Twice,
    /// Another reply precedes it in the same packet.
    After(&'static [u8]),
    /// Whatever arrived behind the command in the same packet is discarded.
    Alone,
    /// The reply contains lines that look like replies.
    Trap,
    /// More bytes follow in the same packet.
    More(&'static [u8]),
    /// Other bytes are sent instead.
    As(Vec<u8>),
    /// The text is left out.
    Bare,
    /// Lines end with LF alone.
    LineFeeds,
    /// The reply is two seconds late.
    Late,
    /// The reply is not sent.
    Lost,
    /// The control connection ends without the reply.
    Gone,
    /// The reply is followed by 421 and the end of the control connection.
    Leave,
}

/// A fault of the port in passive mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passive {
    /// It refuses connections, since it has no listener.
    Dead,
    /// It answers no handshake.
    Deaf,
    /// The address is foreign and not reachable (`PASV` only).
    Foreign,
    /// The reply contains no valid port.
    Nonsense,
    /// The reply is well formed, but unlike that of most servers.
    Odd,
}

/// A fault of the connection in active mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ActiveModeFault {
    /// 150 is sent, and then no connection and no reply.
    Silent,
    /// 150 is sent, and then 425.
    Late425,
    /// A third party connects first and sends garbage.
    Stranger,
    /// The connection is this many milliseconds late.
    Late(u64),
}

/// An alteration of the bytes of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bend {
    /// This many bytes, then a reset; the final reply is 426.
    Reset(u64),
    /// This many bytes, then neither bytes nor an end.
    Stall(u64),
    /// This many bytes, then an orderly close.
    Cut(u64),
    /// All bytes, then a reset, though the transfer succeeded.
    ResetAtEnd,
    /// All bytes, and the connection is left open.
    Open,
    /// Half of the bytes, sent or stored, then an orderly close.
    Half,
    /// Some extra bytes at the end.
    Longer,
    /// These bytes and no others.
    Text(Vec<u8>),
    /// An endless number of entries.
    Endless,
    /// A single endless entry.
    EndlessLine,
    /// This many bytes per second.
    Rate(u64),
    /// TLS ends without `close_notify`.
    NoFarewell,
}

/// An alteration of the final reply of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// Another reply instead, without its line end.
    Say(&'static str),
    /// Another reply instead, with its line ends.
    Words(Vec<u8>),
    /// It is two seconds late.
    Late,
    /// It is sent in one packet with the 150, before the data.
    Early,
    /// It is sent again after 50 ms.
    Again,
    /// It is never sent.
    Never,
}
