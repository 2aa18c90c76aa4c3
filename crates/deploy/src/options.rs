//! The options of a deployment, one row each.

use std::path::{Path, PathBuf};

use portolan_core::{
    error::{Error, ErrorKind, Origin, Result},
    limits::{MIRROR_RETRIES_MAX, PARALLEL_AUTO, PARALLEL_MAX},
    option_table::{
        NUMBER_MAX,
        OptionKind::{Choice, Count, CountOrAuto, Flag, Number, Pairs, Rate, Text, Texts},
        OptionRow, OptionTable,
    },
};
use portolan_fs::ops::with_nearest_name;
use portolan_mirror::{
    Compare, DeployRules, FileModes, MirrorOptions, PatternFiles, StateIn, exclude_from,
    include_from,
};

use super::{check, git, maintenance};

/// The maximum number of releases that are kept.
const KEEP_MAX: u16 = 1000;

/// A deployment as a user asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployRequest {
    /// The options that a deployment shares with mirrors.
    pub options: MirrorOptions,
    /// The rules by which it differs from them.
    pub rules: DeployRules,
    /// True if the steps are only reported.
    pub dry_run: bool,
    /// True if only files take part that git tracks.
    pub git: bool,
    /// The program that lists these files.
    pub git_program: PathBuf,
    /// The number of releases that can be rolled back; `None` means as many as there are.
    pub keep: Option<u16>,
    /// The address that must answer 200 after the deployment.
    pub check_url: Option<String>,
    /// The local file that is on the server during the deployment.
    pub maintenance: Option<String>,
    /// The directory on the server; `None` means that of the session or the URL.
    pub folder: Option<String>,
    /// The files of patterns and names.
    pub lists: PatternFiles,
}

impl Default for DeployRequest {
    fn default() -> Self {
        let options = MirrorOptions {
            delete: true,
            state: StateIn::Remote,
            parallel: PARALLEL_AUTO,
            ..MirrorOptions::default()
        };
        Self {
            options,
            rules: DeployRules::default(),
            dry_run: false,
            git: false,
            git_program: PathBuf::from("git"),
            keep: None,
            check_url: None,
            maintenance: None,
            folder: None,
            lists: PatternFiles::default(),
        }
    }
}

impl DeployRequest {
    /// Returns the options of the mirror run that deploys the directory `local`. Fails on options that cannot be meant,
    /// and if git is asked and does not answer.
    ///
    /// Reads the files of patterns and names; `allow` returns the path under which a file may be read.
    pub fn mirror_options(
        &self,
        local: &Path,
        allow: impl FnMut(&str) -> Result<PathBuf>,
    ) -> Result<MirrorOptions> {
        if !local.is_dir() {
            let message = "there is no such folder to deploy";
            let fault = Error::new(ErrorKind::NotFound, Origin::Here, message);
            let mut told = with_nearest_name(fault, local).message;
            if told == message {
                told.push_str(": was it built?");
            }
            return Err(Error::invalid(told).at(local.to_string_lossy()));
        }
        if let Some(url) = &self.check_url {
            check::valid(url)?;
        }
        let mut rules = self.rules.clone();
        if self.git {
            rules.tracked = Some(git::tracked(&self.git_program, local)?.into());
        }
        let mut options = MirrorOptions { deploy: Some(rules), ..self.options.clone() };
        self.lists.clone().read_into(&mut options, allow)?;
        if let Some(page) = &self.maintenance {
            options.exclude.push(maintenance::pattern(page)?);
        }
        options.filter(local)?;
        Ok(options)
    }
}

/// Every option of a deployment.
pub const OPTIONS: OptionTable<DeployRequest> =
    OptionTable { rows: ROWS, usual: DeployRequest::default };

type DeployRow = OptionRow<DeployRequest>;

const ROWS: &[DeployRow] = &[
    DeployRow::new(
        "dry_run",
        Flag(|it, on| it.dry_run = on),
        "nothing is done; `report.plan` has the steps",
    )
    .usual("false")
    .flag("dry-run", "Show what would be done, but do nothing"),
    DeployRow::new(
        "folder",
        Text(|it, folder| {
            it.folder = Some(folder.to_owned());
            Ok(())
        }),
        "the folder on the server, which is made if it is missing; by default that of the session",
    ),
    DeployRow::new(
        "delete",
        Flag(|it, on| it.options.delete = on),
        "files that an earlier deployment put there and that are not in the folder any more are deleted, last, and only \
         if nothing failed",
    )
    .usual("true")
    .flag("no-delete", "Delete nothing, not even what was deployed before"),
    DeployRow::new(
        "delete_unknown",
        Flag(|it, on| it.rules.deletes_unknown = on),
        "files that no deployment put there are deleted as well: uploads of visitors, `.well-known`, files of the host",
    )
    .usual("false")
    .flag("delete-unknown", "Delete also what no deployment put there"),
    DeployRow::new(
        "max_delete",
        Number(0..=NUMBER_MAX, |it, most| it.options.max_delete = Some(most)),
        "more deletions than that stop the deployment before anything is done. Without it, that many files of others as \
         are half of the folder do; files that were deployed before do not count for that",
    )
    .flag("max-delete", "Do nothing if more than this number would be deleted"),
    DeployRow::new(
        "include",
        Texts(|it, patterns| it.options.include = patterns),
        "patterns as in .gitignore, of which a file must match one; the last that matches wins. What begins with `re:` is a \
         regular expression on the path",
    )
    .flag("include", "Deploy only what matches, as in .gitignore; may be repeated")
    .value_name("GLOB"),
    DeployRow::new(
        "exclude",
        Texts(|it, patterns| it.options.exclude = patterns),
        "patterns of what is neither sent nor deleted; those of a file `.portolanignore` in the folder come first. \
         `\"!.env.example\"` sends what is left out by default",
    )
    .flag("exclude", "Skip what matches, as in .gitignore; may be repeated")
    .value_name("GLOB"),
    include_from(|it, files| it.lists.include_from = files),
    exclude_from(|it, files| it.lists.exclude_from = files),
    DeployRow::new(
        "files_from",
        Text(|it, file| {
            it.lists.files_from = Some(file.to_owned());
            Ok(())
        }),
        "a file with the paths that are deployed, one a line, each below the folder; that of a folder means all that is \
         in it. Everything else is neither sent nor deleted",
    )
    .flag("files-from", "Deploy only the paths in this file, one a line")
    .value_name("FILE"),
    DeployRow::new(
        "gitignore",
        Flag(|it, on| it.options.gitignore = on),
        "what the `.gitignore` files in the folder exclude is neither sent nor deleted",
    )
    .usual("false")
    .flag("gitignore", "Skip what the .gitignore files of the directory exclude"),
    DeployRow::new(
        "default_excludes",
        Flag(|it, on| it.rules.default_excludes = on),
        "`.git*`, `.env*`, `.svn`, `.hg`, `.idea`, `.vscode`, `node_modules/.cache`, `.DS_Store`, `Thumbs.db`, \
         `desktop.ini`, `*.swp` and `*~` are left out",
    )
    .usual("true")
    .flag("no-default-excludes", "Send also .git*, .env* and the like"),
    DeployRow::new(
        "git",
        Flag(|it, on| it.git = on),
        "only files that git tracks are sent; the program `git` lists them",
    )
    .usual("false")
    .flag("git", "Send only files that git tracks"),
    DeployRow::new(
        "adopt",
        Flag(|it, on| it.options.compare = if on { Compare::Checksum } else { Compare::Auto }),
        "a site that is there already is taken over: files are compared by content, and those that are equal are not sent",
    )
    .usual("false")
    .flag("adopt", "Take over an existing site: compare by content, send what differs"),
    DeployRow::new(
        "staged",
        Flag(|it, on| it.options.staged = on),
        "all files are sent under temporary names first, and only when each has arrived are all of them renamed; \
         otherwise the site stays as it was",
    )
    .usual("false")
    .flag("staged", "Transfer everything to temporary names, then rename all"),
    DeployRow::new(
        "last",
        Texts(|it, patterns| it.rules.last = patterns),
        "patterns of files that are sent after all others, and not at all if one of these failed; `*.html` and `*.htm` \
         without it",
    )
    .flag("last", "Send what matches after everything else [default: *.html, *.htm]")
    .value_name("GLOB"),
    DeployRow::new(
        "modes",
        Pairs(|it, pairs| {
            it.rules.modes = FileModes::parse(pairs)?;
            Ok(())
        }),
        "the permissions on the server: \"keep\" sets those that files have here, \
         `#{ files: \"644\", directories: \"755\", executable: \"755\" }` fixed ones; without it, the server decides",
    )
    .flag("modes", "Set permissions: keep, or files=644,directories=755,executable=755")
    .value_name("MODES"),
    DeployRow::new(
        "keep",
        Count(0..=KEEP_MAX, |it, count| it.keep = Some(count)),
        "the number of deployments that `rollback` can undo: the old bytes of what they replace and delete stay on the \
         server; without it as many as there are, none at first",
    )
    .flag("keep", "Number of deployments that `portolan rollback` can undo"),
    DeployRow::new(
        "check_url",
        Text(|it, url| {
            check::valid(url)?;
            it.check_url = Some(url.to_owned());
            Ok(())
        }),
        "an address, such as `\"https://www.example.com/\"`, that must answer 200 after the deployment: otherwise that \
         is undone",
    )
    .flag("check-url", "Undo the deployment unless this address answers 200 after it")
    .value_name("URL"),
    DeployRow::new(
        "maintenance",
        Text(|it, file| {
            it.maintenance = Some(file.to_owned());
            Ok(())
        }),
        "a local file that is put into the folder on the server, under its own name, before anything is changed, and \
         removed when the deployment has succeeded or was undone",
    )
    .flag("maintenance", "Put this page on the server for the time of the deployment")
    .value_name("FILE"),
    DeployRow::new(
        "parallel",
        CountOrAuto(1..=PARALLEL_MAX, |it, sessions| {
            it.options.parallel = sessions.unwrap_or(PARALLEL_AUTO);
        }),
        "the number of concurrent sessions; with \"auto\" as many as make it faster",
    )
    .usual("auto")
    .flag("parallel", "Number of concurrent sessions, or `auto` to find the fastest"),
    DeployRow::new(
        "retries",
        Count(0..=MIRROR_RETRIES_MAX, |it, retries| it.options.retries = retries),
        "the number of retries of a file after a temporary error, each after a longer wait",
    )
    .usual("4")
    .flag("retries", "Number of retries per file after a temporary failure"),
    DeployRow::new(
        "rate_limit",
        Rate(|it, rate| it.options.rate_limit = rate),
        "bytes per second of all sessions together, such as `\"2MiB\"`",
    )
    .flag("rate-limit", "Maximum bytes per second of all sessions, such as 2MiB"),
    DeployRow::new(
        "follow_links",
        Flag(|it, on| it.options.follow_links = on),
        "symbolic links are followed, only inside the folder: one that leads out is an error. Otherwise they are skipped",
    )
    .usual("false")
    .flag("follow-links", "Follow symbolic links within the directory"),
    DeployRow::new(
        "on_conflict",
        Choice(&[
            ("source", |it| it.options.on_conflict = portolan_mirror::OnConflict::Source),
            ("keep", |it| it.options.on_conflict = portolan_mirror::OnConflict::Keep),
            ("fail", |it| it.options.on_conflict = portolan_mirror::OnConflict::Fail),
        ]),
        "which side wins if a deployed file was changed on the server since; with \"fail\" nothing is done",
    )
    .usual("source")
    .flag("on-conflict", "Winner if a deployed file was changed on the server")
    .value_name("WHO"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_and_a_pattern_that_is_none_are_refused() {
        let allow = |file: &str| Ok(PathBuf::from(file));
        let request = DeployRequest::default();
        let fault = request.mirror_options(Path::new("/no/such/dist"), allow).unwrap_err();
        assert!(fault.to_string().contains("was it built"), "{fault}");
        let mut request = DeployRequest::default();
        request.rules.last = vec!["..".to_owned()];
        let here = tempfile::tempdir().unwrap();
        assert!(request.mirror_options(here.path(), allow).is_err());
        request.rules.last = vec!["sw.js".to_owned()];
        assert!(request.mirror_options(here.path(), allow).is_ok());
    }
}
