//! The options of single transfers.

use crate::transfer::InPlace;
use portolan_core::{
    limits::{MIRROR_RETRIES, MIRROR_RETRIES_MAX, PARALLEL_MAX},
    option_table::{
        OptionKind::{Choice, Count, EachText, Flag, FlagOrAuto, Rate},
        OptionRow, OptionTable,
    },
};

/// The options of a download or an upload.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is another option")]
pub struct TransferOptions {
    /// True to preserve the modification time of the file.
    pub preserve_times: bool,
    /// True to resume an earlier attempt that broke off.
    pub resume: bool,
    /// The rate limit in bytes per second.
    pub rate_limit: Option<u64>,
    /// The number of sessions, each of which downloads one segment.
    pub segments: u16,
    /// True to fail if the size of the result cannot be confirmed.
    pub verify: bool,
    /// The rule for uploading directly to the final name; `None` for that of the connection.
    pub in_place: Option<InPlace>,
    /// The maximum number of retries after a temporary error.
    pub retries: u16,
    /// The rule for a target that exists.
    pub on_exists: OnExists,
    /// True to remove the source after a verified transfer.
    pub removes_source: bool,
    /// The type of the transfer.
    pub transfer_type: TransferType,
    /// The SITE commands to send before it.
    pub site_commands: Vec<String>,
}

/// The type of a transfer (RFC 959, 3.1.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TransferType {
    /// Bytes as they are.
    #[default]
    Binary,
    /// Text, with the line ends of each side.
    Ascii,
}

impl TransferType {
    /// Returns the argument of TYPE.
    pub const fn argument(self) -> &'static str {
        match self {
            Self::Binary => "I",
            Self::Ascii => "A",
        }
    }
}

/// The rule for a target that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExists {
    /// It is replaced.
    Overwrite,
    /// It stays, and nothing is transferred.
    Skip,
    /// The transfer fails.
    Fail,
    /// It stays, and the new file gets a name with a number.
    Rename,
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self {
            preserve_times: true,
            resume: false,
            rate_limit: None,
            segments: 1,
            verify: false,
            in_place: None,
            retries: MIRROR_RETRIES,
            on_exists: OnExists::Overwrite,
            removes_source: false,
            transfer_type: TransferType::Binary,
            site_commands: Vec::new(),
        }
    }
}

/// Every option of a transfer.
pub const OPTIONS: OptionTable<TransferOptions> =
    OptionTable { rows: ROWS, usual: TransferOptions::default };

type TransferRow = OptionRow<TransferOptions>;

const ROWS: &[TransferRow] = &[
    TransferRow::new(
        "preserve_times",
        Flag(|it, on| it.preserve_times = on),
        "the file gets the time that it has at its source, if the server can tell it or set it",
    )
    .usual("true"),
    TransferRow::new(
        "resume",
        Flag(|it, on| it.resume = on),
        "continue where an earlier attempt broke off, if it is still the same file",
    )
    .usual("false")
    .flag("resume", "Resume an interrupted transfer of the same file"),
    TransferRow::new(
        "rate_limit",
        Rate(|it, rate| it.rate_limit = rate),
        "bytes per second, such as `\"500KiB\"`",
    )
    .flag("rate-limit", "Maximum bytes per second, such as 500KiB"),
    TransferRow::new(
        "segments",
        Count(1..=PARALLEL_MAX, |it, segments| it.segments = segments),
        "downloads only: the number of sessions that each fetch a part of a large file; not with `resume`",
    )
    .usual("1")
    .flag("parallel", "Number of sessions that each download a part of a large file")
    .alias("segments")
    .only_for("get")
    .not_with("resume"),
    TransferRow::new(
        "verify",
        Flag(|it, on| it.verify = on),
        "fail if the server reports no size to compare with",
    )
    .usual("false"),
    TransferRow::new(
        "inplace",
        FlagOrAuto(|it, when| it.in_place = Some(InPlace::when(when))),
        "uploads only: upload directly under the final name, as to drop boxes that refuse temporary names or renames. \
         \"auto\" does so if the server refuses the usual method and no file is seen under that name; true always, and \
         the previous content is lost when the upload begins; false never. By default it is that of `ftp::connect`. \
         `report.in_place` counts such files",
    )
    .flag(
        "inplace",
        "Upload directly to the final name: true (an existing file is lost), false, or auto \
         [default: auto]",
    )
    .only_for("put"),
    TransferRow::new(
        "retries",
        Count(0..=MIRROR_RETRIES_MAX, |it, retries| it.retries = retries),
        "the number of retries after a temporary error (a broken connection, 421, 425, 426, 450, 451), each after a \
         longer wait",
    )
    .usual("4")
    .flag("retries", "Number of retries after a temporary failure"),
    TransferRow::new(
        "on_exists",
        Choice(&[
            ("overwrite", |it| it.on_exists = OnExists::Overwrite),
            ("skip", |it| it.on_exists = OnExists::Skip),
            ("fail", |it| it.on_exists = OnExists::Fail),
            ("rename", |it| it.on_exists = OnExists::Rename),
        ]),
        "the rule for a target that exists: \"overwrite\" replaces it, \"skip\" transfers nothing (`report.skipped` counts it), \
         \"fail\" is an error, \"rename\" gives the new file a name with a number, such as `a.1.csv`",
    )
    .usual("overwrite")
    .flag("on-exists", "If the target exists: overwrite, skip, fail, or rename the new file"),
    TransferRow::new(
        "move",
        Flag(|it, on| it.removes_source = on),
        "remove the source once the transfer is verified: the size at the target agrees. It stays if the server reports no \
         size",
    )
    .usual("false")
    .flag("move", "Remove the source after a verified transfer"),
    TransferRow::new(
        "type",
        Choice(&[
            ("binary", |it| it.transfer_type = TransferType::Binary),
            ("ascii", |it| it.transfer_type = TransferType::Ascii),
        ]),
        "\"ascii\" transfers a text, with the line ends of each side, as z/OS and IBM i want it; sizes cannot be compared then",
    )
    .usual("binary")
    .flag("type", "Type of the transfer: binary, or ascii for a text with the line ends of each side"),
    TransferRow::new(
        "site",
        EachText(|it, commands| {
            it.site_commands = commands.to_vec();
            Ok(())
        }),
        "SITE commands that are sent before the transfer, such as `\"RECFM=FB LRECL=80\"`; a string or an array",
    )
    .flag("site", "SITE command to send before the transfer, such as RECFM=FB")
    .value_name("COMMAND"),
];
