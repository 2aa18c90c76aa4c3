//! The options of a mirror as rows, from which keys, flags and manuals follow.

use super::{
    options::{Compare, MirrorRequest, OnConflict, StateIn},
    pattern_files::{exclude_from, include_from},
    trash_rules::{TRASH_HELP, TRASH_MANUAL, TrashRules},
};
use portolan_core::{
    limits::{MIRROR_RETRIES_MAX, PARALLEL_AUTO, PARALLEL_MAX},
    option_table::{
        NUMBER_MAX,
        OptionKind::{
            Choice, Count, CountOrAuto, Duration as Time, Flag, FlagOrAuto, Number, Pairs, Rate,
            Size, Text, Texts,
        },
        OptionRow, OptionTable,
    },
};
use portolan_remote::transfer::InPlace;

/// Every option of a mirror.
pub const OPTIONS: OptionTable<MirrorRequest> =
    OptionTable { rows: ROWS, usual: MirrorRequest::default };

type MirrorRow = OptionRow<MirrorRequest>;

const ROWS: &[MirrorRow] = &[
    MirrorRow::new(
        "delete",
        Flag(|it, on| it.options.delete = on),
        "files that are not in the source are deleted, last, and only if nothing failed",
    )
    .usual("false")
    .flag("delete", "Delete what the source lacks: last, and only if nothing failed"),
    MirrorRow::new(
        "move",
        Flag(|it, on| it.options.moves = on),
        "each file is removed from the source once its copy is verified: files that were transferred by their sizes, \
         files that were there already by their content (`compare` is \"checksum\" then). Folders stay; a file whose \
         copy cannot be verified stays, and so does one that has changed meanwhile. Not with `delete`. `report.moved` \
         counts them",
    )
    .usual("false")
    .flag("move", "Remove files from the source once their copies are verified"),
    MirrorRow::new(
        "dry_run",
        Flag(|it, on| it.dry_run = on),
        "nothing is done; `report.plan` has the steps",
    )
    .usual("false")
    .flag("dry-run", "Show what would be done, but do nothing"),
    MirrorRow::new(
        "include",
        Texts(|it, patterns| it.options.include = patterns),
        "patterns as in .gitignore, of which a file must match one; the last that matches wins. What begins with `re:` is a \
         regular expression on the path, which ends with a slash for a folder: `\"re:^img/.*\\.jpe?g$\"`",
    )
    .flag(
        "include",
        "Mirror only what matches, as in .gitignore; may be repeated, the last match wins",
    )
    .value_name("GLOB"),
    MirrorRow::new(
        "exclude",
        Texts(|it, patterns| it.options.exclude = patterns),
        "patterns of what is neither transferred nor deleted; those of a file `.portolanignore` in the local folder \
         come first",
    )
    .flag(
        "exclude",
        "Skip what matches, as in .gitignore; may be repeated, evaluated after .portolanignore",
    )
    .value_name("GLOB"),
    include_from(|it, files| it.lists.include_from = files),
    exclude_from(|it, files| it.lists.exclude_from = files),
    MirrorRow::new(
        "files_from",
        Text(|it, file| {
            it.lists.files_from = Some(file.to_owned());
            Ok(())
        }),
        "a file with the paths that are mirrored, one a line, each below the folder; that of a folder means all that is \
         in it. Everything else is neither transferred nor deleted",
    )
    .flag("files-from", "Mirror only the paths in this file, one a line")
    .value_name("FILE"),
    MirrorRow::new(
        "gitignore",
        Flag(|it, on| it.options.gitignore = on),
        "what the `.gitignore` files in the local folder exclude, and `.git` itself, is neither transferred nor deleted",
    )
    .usual("false")
    .flag("gitignore", "Skip what the .gitignore files of the local directory exclude"),
    MirrorRow::new(
        "max_depth",
        Count(1..=u16::MAX, |it, levels| it.options.max_depth = Some(levels)),
        "the number of folder levels that are mirrored: 1 is the folder itself without those in it; what is deeper is \
         neither transferred nor deleted",
    )
    .flag("max-depth", "Number of directory levels to mirror; 1 is without subdirectories"),
    MirrorRow::new(
        "compare",
        Choice(&[
            ("auto", |it| it.options.compare = Compare::Auto),
            ("size", |it| it.options.compare = Compare::Size),
            ("size_time", |it| it.options.compare = Compare::SizeTime),
            ("checksum", |it| it.options.compare = Compare::Checksum),
        ]),
        "\"auto\" compares with the state of the last run: local content, remote size and time; the others compare \
         the current state of both sides",
    )
    .usual("auto")
    .flag("compare", "Comparison of files")
    .value_name("MODE"),
    MirrorRow::new(
        "parallel",
        CountOrAuto(1..=PARALLEL_MAX, |it, sessions| {
            it.options.parallel = sessions.unwrap_or(PARALLEL_AUTO);
        }),
        "the number of concurrent sessions, by default that of `ftp::connect`; with \"auto\" as many as make it faster",
    )
    .flag("parallel", "Number of concurrent sessions, or `auto` to find the fastest"),
    MirrorRow::new(
        "max_delete",
        Number(0..=NUMBER_MAX, |it, most| it.options.max_delete = Some(most)),
        "more deletions than that stop the run before anything is done, as does half of the folder",
    )
    .flag("max-delete", "Do nothing if more than this number would be deleted"),
    MirrorRow::new(
        "trash",
        Pairs(|it, pairs| {
            let (folder, rules) = TrashRules::read(pairs)?;
            (it.options.trash, it.options.trash_rules) = (Some(folder), rules);
            Ok(())
        }),
        TRASH_MANUAL,
    )
    .flag("trash", TRASH_HELP)
    .value_name("DIR"),
    MirrorRow::new(
        "staged",
        Flag(|it, on| it.options.staged = on),
        "all files are transferred under temporary names first, and only when each has arrived are all of them \
         renamed; the deletions come last. If a file does not arrive, the target is unchanged; if a rename fails, \
         `report.placed` has the files that were renamed, and nothing is deleted",
    )
    .usual("false")
    .flag("staged", "Transfer everything to temporary names, then rename all"),
    MirrorRow::new(
        "resume",
        Flag(|it, on| it.options.resume = on),
        "a file that broke off continues where it ended, if it is still the same file",
    )
    .usual("false")
    .flag("resume", "Resume interrupted transfers of files that are unchanged"),
    MirrorRow::new(
        "verify",
        Flag(|it, on| it.options.verify = Some(on)),
        "a file whose size cannot be confirmed has failed; true with `delete`",
    )
    .flag("verify", "Fail files whose size cannot be verified [default: if --delete is on]"),
    MirrorRow::new(
        "preserve_times",
        Flag(|it, on| it.options.preserve_times = on),
        "files get the modification times that they have in the source",
    )
    .usual("true")
    .flag("no-preserve-times", "Do not preserve the modification times of the source"),
    MirrorRow::new(
        "follow_links",
        Flag(|it, on| it.options.follow_links = on),
        "links of the source are followed, local ones only inside the folder (one that leads out is an error), remote \
         ones to any target; cycles are detected and skipped. Otherwise symbolic links are skipped and reported. In \
         the target nothing is ever written or deleted through a link",
    )
    .usual("false")
    .flag(
        "follow-links",
        "Follow links of the source: local ones only within it, remote ones anywhere",
    ),
    MirrorRow::new(
        "newer_only",
        Flag(|it, on| it.options.newer_only = on),
        "a file of the target is kept unless that of the source is newer",
    )
    .usual("false")
    .flag("newer-only", "Skip files that are not newer in the source"),
    MirrorRow::new(
        "on_conflict",
        Choice(&[
            ("source", |it| it.options.on_conflict = OnConflict::Source),
            ("keep", |it| it.options.on_conflict = OnConflict::Keep),
            ("newer", |it| it.options.on_conflict = OnConflict::Newer),
            ("fail", |it| it.options.on_conflict = OnConflict::Fail),
        ]),
        "which side wins if the target has changed since the last run; with \"fail\" nothing is done",
    )
    .usual("source")
    .flag("on-conflict", "Winner if the target changed since the last run")
    .value_name("WHO"),
    MirrorRow::new(
        "once",
        Flag(|it, on| it.options.once = on),
        "a file is transferred once: if it was removed from the target since, or changed there, it is left alone until that \
         of the source changes. What was transferred is in the state of the mirror",
    )
    .usual("false")
    .flag("once", "Transfer each file once, whatever becomes of it in the target"),
    MirrorRow::new(
        "rate_limit",
        Rate(|it, rate| it.options.rate_limit = rate),
        "bytes per second of all sessions together, such as `\"2MiB\"`",
    )
    .flag("rate-limit", "Maximum bytes per second of all sessions, such as 2MiB"),
    MirrorRow::new(
        "retries",
        Count(0..=MIRROR_RETRIES_MAX, |it, retries| it.options.retries = retries),
        "the number of retries of a file after a temporary error (a broken connection, 421, 425, 426, 450, 451), each \
         after a longer wait",
    )
    .usual("4")
    .flag("retries", "Number of retries per file after a temporary failure"),
    MirrorRow::new(
        "inplace",
        FlagOrAuto(|it, when| it.options.in_place = Some(InPlace::when(when))),
        "as for `put`, by default that of `ftp::connect`; `report.in_place` counts such files. Staged mirrors never \
         do this",
    )
    .flag("inplace", "Upload directly to final names: true (existing files are lost), false, or auto [default: auto]",
    ),
    MirrorRow::new(
        "state",
        Choice(&[
            ("local", |it| it.options.state = StateIn::Local),
            ("remote", |it| it.options.state = StateIn::Remote),
        ]),
        "\"remote\" keeps the state of both sides in a file on the server, for hosts without a state of their own",
    )
    .usual("local")
    .flag("state-remote", "Keep the state of both sides on the server, for stateless hosts")
    .for_word("remote"),
    MirrorRow::new(
        "trust_state",
        Flag(|it, on| it.options.trust_state = on),
        "the state of the last run is trusted, except for a sample of files that are verified",
    )
    .usual("false")
    .flag("trust-state", "Trust the state of the last run; verify only a sample"),
    MirrorRow::new(
        "min_size",
        Size(|it, size| it.options.bounds.min_size = Some(size)),
        "smaller files are neither transferred nor deleted",
    )
    .flag("min-size", "Minimum size of the files to mirror"),
    MirrorRow::new(
        "max_size",
        Size(|it, size| it.options.bounds.max_size = Some(size)),
        "larger files, such as those over `\"64MiB\"`, are neither transferred nor deleted",
    )
    .flag("max-size", "Maximum size of the files to mirror, such as 64MiB"),
    MirrorRow::new(
        "newer_than",
        Time(|it, age| it.newer_than = Some(age)),
        "files not modified within this time, such as `\"36h\"` or `now() - job::LAST_SUCCESS`, are neither transferred nor deleted",
    )
    .flag("newer-than", "Mirror only files modified within this time, such as 36h"),
    MirrorRow::new(
        "older_than",
        Time(|it, age| it.older_than = Some(age)),
        "files modified within this time are neither transferred nor deleted",
    )
    .flag("older-than", "Mirror only files not modified within this time"),
    MirrorRow::new(
        "max_file_size",
        Size(|it, size| it.options.caps.max_file_size = Some(size)),
        "a run that would transfer a larger file does nothing",
    )
    .flag("max-file-size", "Do nothing if a larger file would be transferred"),
    MirrorRow::new(
        "max_total",
        Size(|it, size| it.options.caps.max_total = Some(size)),
        "a run that would transfer more bytes than that in total does nothing",
    )
    .flag("max-total", "Do nothing if more than this would be transferred in total"),
    MirrorRow::new(
        "min_free",
        Size(|it, size| it.options.caps.min_free = Some(size)),
        "a run that would leave less local disk space free does nothing",
    )
    .flag("min-free", "Do nothing if less local disk space than this would stay free"),
];
