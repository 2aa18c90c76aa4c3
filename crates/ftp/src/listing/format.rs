//! The formats of server listings, and the permitted uses of each.

use super::{
    as400_guardian, dos, eplf, line::ParsedLine, ls_time::Hints, mlsx, names, netware_mac, nortel,
    os2_vxworks, unix, vms, zos,
};
use strum::IntoStaticStr;

/// The format of a listing. The sources are RFC 3659 for MLSD, cr.yp.to/ftp/list/eplf.html for EPLF, the servers
/// themselves for Unix and DOS, and for the rest the parsers of Commons Net, `FluentFTP`, `FileZilla` and lftp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum ListingFormat {
    /// An unknown format: no line identified it.
    Unknown,
    /// The facts of MLSD and MLST.
    Mlsd,
    /// The output of `ls -l`, and similar ones.
    Unix,
    /// The output of IIS and `dir`.
    Dos,
    /// The easily parsed LIST format.
    Eplf,
    /// Novell Netware.
    Netware,
    /// `OpenVMS`.
    Vms,
    /// z/OS data sets.
    Mvs,
    /// Members of a z/OS partitioned data set.
    MvsMember,
    /// The z/OS job queue.
    MvsJes,
    /// IBM i.
    Os400,
    /// Classic Mac servers, which list the sizes of both forks.
    Mac,
    /// Tandem, `NonStop` Guardian.
    Guardian,
    /// OS/2.
    Os2,
    /// `VxWorks`.
    Vxworks,
    /// Connect:Enterprise mailboxes.
    Enterprise,
    /// Nortel routers (`wfFtp`).
    Nortel,
    /// HP MPE.
    Mpe,
    /// The names of NLST only.
    Names,
}

impl ListingFormat {
    /// All formats that a LIST may have. If two explain the same number of lines, the earlier one is used: Unix reads
    /// the files of a Mac listing too, but with the forks as links and owners.
    pub(super) const LISTED: [Self; 17] = [
        Self::Mac,
        Self::Unix,
        Self::Dos,
        Self::Eplf,
        Self::Mlsd,
        Self::Netware,
        Self::Vms,
        Self::Mvs,
        Self::MvsMember,
        Self::MvsJes,
        Self::Os400,
        Self::Guardian,
        Self::Os2,
        Self::Vxworks,
        Self::Enterprise,
        Self::Nortel,
        Self::Mpe,
    ];

    /// Returns the name used in logs and `--json`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns true if entries missing from such a listing may be deleted elsewhere: only formats that were seen live
    /// on many servers.
    pub const fn may_delete(self) -> bool {
        matches!(self, Self::Mlsd | Self::Unix | Self::Dos)
    }

    /// Returns true if the format lists files and directories; a job queue has neither and cannot be mirrored (rule
    /// L10).
    pub const fn is_tree(self) -> bool {
        !matches!(self, Self::MvsJes)
    }

    /// Parses one line, which has no line end and is not blank.
    pub(super) fn read(self, line: &[u8], hints: &mut Hints) -> ParsedLine {
        match self {
            Self::Unknown => ParsedLine::Unread,
            Self::Mlsd => mlsx::read(line),
            Self::Unix => unix::read(line, hints),
            Self::Dos => dos::read(line, hints),
            Self::Eplf => eplf::read(line),
            Self::Netware => netware_mac::netware(line, hints),
            Self::Vms => vms::read(line),
            Self::Mvs => zos::data_set(line),
            Self::MvsMember => zos::member(line, hints),
            Self::MvsJes => zos::job(line),
            Self::Os400 => as400_guardian::os400(line),
            Self::Mac => netware_mac::mac(line, hints),
            Self::Guardian => as400_guardian::guardian(line),
            Self::Os2 => os2_vxworks::os2(line),
            Self::Vxworks => os2_vxworks::vxworks(line),
            Self::Enterprise => netware_mac::enterprise(line, hints),
            Self::Nortel => nortel::router(line, hints),
            Self::Mpe => nortel::mpe(line),
            Self::Names => names::read(line),
        }
    }
}
