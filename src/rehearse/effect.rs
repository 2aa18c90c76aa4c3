//! What a plan does to the server: few effects, from which the named plans are made.

use super::{command::Verb, forms::Form, naming::Naming, syntax::Syntax};

/// One way of misbehaving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// These commands are not done, but answered so.
    Instead {
        /// The commands.
        to: Vec<Verb>,
        /// In which case only.
        when: When,
        /// What happens in place of the command.
        act: Act,
    },
    /// These commands are done, and their replies bent; no command at all means every one.
    Twist(Vec<Verb>, Twist),
    /// The command does not exist, and `FEAT` does not name it.
    Missing(Verb),
    /// `PASV` and `EPSV` name a port that is not as it should be.
    Passive(Passive),
    /// The data connection of active mode is not made as it should be.
    Active(Active),
    /// The bytes of these transfers do not flow as they should.
    Flow(Vec<Verb>, Bend),
    /// The final reply of these transfers is not as it should be.
    Final(Vec<Verb>, Ending),
    /// Transfers begin with 125 in place of 150.
    Begins125,
    /// Somebody writes a file anew, with as many bytes, once half of it was sent.
    Rewritten,
    /// Every byte of the control connection comes 5 ms after the one before.
    SlowControl,
    /// The control connection ends after so many bytes of replies.
    CutControl(u64),
    /// The control connection is silent for a while after so many bytes of replies.
    PauseControl(u64),
    /// The reply to this command, counted from 1 in each session, is bent.
    TwistAt(u64, Twist),
    /// The control connection ends at this command, counted from 1 in each session.
    HangUpAt(u64),
    /// Data connections must resume the TLS session of their control connection.
    ReuseTls,
    /// Names are treated so, in every command and from the start.
    Names(Naming),
    /// Paths, and the replies that hold one, have a form of their own.
    Paths(Syntax),
    /// Listings have a form of their own.
    Lines(Form),
    /// Listings leave out names that begin with a dot, whatever their options.
    HidesDots,
    /// Listings end after so many entries.
    Truncates {
        /// How many are shown.
        entries: usize,
        /// Whether the final reply says that there are more.
        says_so: bool,
    },
    /// What stands behind `LIST` is a name, also where it begins with a hyphen; of a file that is not there nothing is
    /// shown.
    OptionsAreNames,
    /// A listing of an empty folder is answered so, without a data connection.
    Empty(&'static str),
    /// `SIZE` of what was uploaded is 0 when it is asked for the first time.
    SizeLater,
    /// `LIST` shows times an hour later once a session has said `QUIT`: in between summer has begun.
    SummerTime,
    /// Bytes are sent and stored as they are, whatever `TYPE` was.
    Binary,
    /// Folders cannot be renamed.
    FoldersStay,
    /// The root holds a file of this name, made by the server, that nobody may change.
    Keeps(&'static str),
}

/// The case in which a command is answered otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Always.
    Always,
    /// When the client has named a port of its own.
    Active,
    /// When the new name of a rename is taken.
    NameTaken,
    /// When the name begins with a dot.
    Hidden,
}

/// What happens in place of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// These bytes are sent.
    Say(Vec<u8>),
    /// These bytes are sent, then the control connection ends.
    SayAndClose(Vec<u8>),
    /// Nothing.
    Silence,
    /// The control connection ends.
    Close,
    /// Lines of a reply that never ends.
    Endless,
    /// A line of a reply that never ends.
    EndlessLine,
}

/// How a reply is bent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Twist {
    /// Sent twice in one packet.
    Twice,
    /// Another reply stands before it in the same packet.
    After(&'static [u8]),
    /// What came in one packet behind the command is thrown away.
    Alone,
    /// Lines that look like replies stand inside of it.
    Trap,
    /// More bytes follow in the same packet.
    More(&'static [u8]),
    /// Other bytes are sent in its place.
    As(Vec<u8>),
    /// The text is left out.
    Bare,
    /// Lines end with LF alone.
    LineFeeds,
    /// It comes two seconds late.
    Late,
    /// It does not come.
    Lost,
    /// The control connection ends in its place.
    Gone,
    /// It comes, then 421 and the end of the control connection.
    Leave,
}

/// What is wrong with the port of passive mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passive {
    /// Nothing listens there.
    Dead,
    /// It answers no handshake.
    Deaf,
    /// The address is foreign and not reachable (`PASV` only).
    Foreign,
    /// The reply holds no port.
    Nonsense,
    /// The reply is well formed, and not as most servers write it.
    Odd,
}

/// What is wrong with the connection of active mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Active {
    /// 150, and then nothing ever.
    Silent,
    /// 150, and then 425.
    Late425,
    /// A stranger connects first and sends rubbish.
    Stranger,
    /// It is made so many milliseconds late.
    Late(u64),
}

/// How the bytes of a transfer are bent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bend {
    /// So many bytes, then a reset; the final reply is 426.
    Reset(u64),
    /// So many bytes, then neither bytes nor an end.
    Stall(u64),
    /// So many bytes, then a proper end.
    Cut(u64),
    /// All bytes, then a reset, though all is well.
    ResetAtEnd,
    /// All bytes, and the connection is left open.
    Open,
    /// Half of the bytes, sent or stored, then a proper end.
    Half,
    /// Some bytes too many.
    Longer,
    /// These bytes and no others.
    Text(Vec<u8>),
    /// Entries without end.
    Endless,
    /// An entry without end.
    EndlessLine,
    /// So many bytes a second.
    Rate(u64),
    /// TLS ends without its farewell.
    NoFarewell,
}

/// How the final reply of a transfer is bent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// Another reply in its place.
    Say(&'static str),
    /// The same, with its line ends.
    Words(Vec<u8>),
    /// It comes two seconds late.
    Late,
    /// It comes in one packet with the 150, before the data.
    Early,
    /// It comes again after 50 ms.
    Again,
    /// It never comes.
    Never,
}
