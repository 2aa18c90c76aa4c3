//! Words that users know from other programs, with what portolan calls the same thing.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Words with the advice for all of them.
type KnownWords = &'static [(&'static [&'static str], &'static str)];

/// Commands of lftp, rclone, ncftp, git-ftp, cron and shells, with the advice.
const COMMANDS: KnownWords = &[
    (
        &["suggest", "rules"],
        "`portolan nat suggest --format ufw` prints the rules for one firewall; `portolan doctor URL` tests a server and \
         suggests those that are missing",
    ),
    (
        &["sync", "synchronize", "synchronise", "rsync", "bisync"],
        "`portolan mirror --delete SOURCE TARGET` makes one side like the other; --dry-run shows what it would do",
    ),
    (
        &["copy", "cp", "copyto", "transfer"],
        "`portolan get` and `portolan put` copy files, with -r directories; `portolan mirror` copies what changed",
    ),
    (
        &["upload", "send", "mput", "ncftpput", "stor", "store"],
        "`portolan put FILE… URL` uploads files, with -r directories",
    ),
    (
        &["download", "fetch", "mget", "pget", "ncftpget", "retr", "wget", "curl", "rcat"],
        "`portolan get URL… [LOCAL]` downloads files, also by patterns such as 'URL/*.csv', with -r directories",
    ),
    (&["push", "release"], "`portolan deploy DIR URL` puts a built site on a server"),
    (
        &["catchup", "adopt"],
        "`portolan deploy --adopt DIR URL` takes over a site that is on the server already",
    ),
    (
        &["delete", "del", "dele", "remove", "unlink", "mrm", "deletefile"],
        "`portolan rm URL…` removes files, with -r directories",
    ),
    (&["purge", "rmdir", "rmtree"], "`portolan rm -r URL` removes a directory with its contents"),
    (&["rename", "move", "moveto"], "`portolan mv URL NEW_NAME` renames a file or directory"),
    (
        &["dir", "list", "lsl", "lsd", "lsf", "lsjson", "nlist", "rels", "cls"],
        "`portolan ls URL` lists a directory, with -R all below it; --json is for programs",
    ),
    (&["tree"], "`portolan ls -R URL` and `portolan find URL` list everything below a directory"),
    (
        &["open", "connect", "login", "lftp", "ftp", "ncftp", "prompt", "repl", "interactive"],
        "`portolan shell URL` opens a session prompt",
    ),
    (&["size", "usage", "space"], "`portolan du URL` shows the bytes below each directory"),
    (
        &["checksum", "hashsum", "md5sum", "md5", "sha1sum", "sha256sum", "sha256"],
        "`portolan hash URL…` prints hashes; --algorithm md5 and others select one",
    ),
    (
        &["config", "bookmark", "bookmarks", "remote", "remotes", "sites"],
        "`portolan site add NAME URL` saves a server; `portolan site list` shows them",
    ),
    (
        &["import"],
        "`portolan site import FILE` reads the sites of FileZilla, WinSCP, lftp, rclone and ncftp",
    ),
    (
        &["trust", "known-hosts", "certificate"],
        "`portolan doctor URL` shows the certificate with its pin; `--set pin=SHA256`, also of `portolan site add`, trusts it",
    ),
    (
        &["test", "ping", "diagnose", "diag", "debug"],
        "`portolan doctor URL` tests a server, `portolan site test NAME` a saved site, `portolan rehearse SCRIPT` a script",
    ),
    (&["status", "ps"], "`portolan jobs` lists the jobs, `portolan runs` what has run"),
    (
        &["history", "log", "logs", "last"],
        "`portolan runs` lists what has run, `portolan show RUN --log` has the log of one",
    ),
    (
        &["start", "daemon", "scheduler", "service", "up", "cron"],
        "`portolan serve` runs the jobs on their schedules; `portolan next` shows when they are due",
    ),
    (
        &["schedule", "crontab", "calendar"],
        "`portolan next` shows when jobs run; `portolan serve` runs them",
    ),
    (&["exec", "eval", "script", "execute"], "`portolan run SCRIPT` runs a script"),
    (
        &["validate", "lint", "verify"],
        "`portolan check FILE` checks scripts and jobs files, `portolan mirror --check SOURCE TARGET` whether two sides are equal",
    ),
    (
        &["backup"],
        "`portolan mirror SOURCE TARGET` copies a directory; `--trash` keeps what it replaces and deletes",
    ),
    (
        &["watch", "keepuptodate"],
        "`portolan mirror --watch DIR URL` mirrors again after each change",
    ),
    (
        &["undo", "revert", "restore"],
        "`portolan rollback URL` undoes a deployment, `portolan nat revert` NAT rules",
    ),
    (
        &["cleanup", "clean", "expire", "retention"],
        "`portolan prune URL` deletes old files by number and age",
    ),
];

/// Flags of curl, lftp, rclone, ncftp, wget and git-ftp, with the advice.
const FLAGS: KnownWords = &[
    (
        &["--dangerous-clean-slate", "--syncroot", "--state-name", "--local-dir", "--server-dir"],
        "the directory and the URL are the operands, the state is found by itself, and --delete-unknown deletes also what no \
         deployment put there",
    ),
    (
        &[
            "-k",
            "--insecure",
            "--no-check-certificate",
            "--ftp-no-check-certificate",
            "--no-verify",
        ],
        "--set pin=SHA256 trusts one certificate (`portolan doctor URL` shows it), --set ca_file=FILE another authority; \
         --set insecure=true checks none",
    ),
    (
        &["-u", "--user", "--username", "--login", "--passwd", "--password", "--pass", "-p"],
        "the user is in the URL, as in ftpes://me@ftp.example.org/; the password comes from --password-file, \
         --password-command, --netrc or PORTOLAN_PASSWORD, and is asked for on a terminal",
    ),
    (
        &["--ssl", "--ssl-reqd", "--ftp-ssl", "--tls", "--use-tls", "--explicit-tls", "--ftps"],
        "the URL says so: ftpes:// is explicit TLS on port 21, ftps:// implicit TLS on port 990",
    ),
    (
        &[
            "--passive",
            "--pasv",
            "--ftp-pasv",
            "--no-passive-ftp",
            "--active",
            "--ftp-port",
            "--disable-epsv",
            "--disable-eprt",
            "--ftp-skip-pasv-ip",
        ],
        "--set mode=passive or --set mode=active; without it, the one that works is found",
    ),
    (&["--port"], "the port is in the URL, as in ftp://ftp.example.org:2121/"),
    (
        &["-o", "--output", "-O", "--output-document", "-T", "--upload-file"],
        "the last operand is the target: `portolan get URL FILE`, `portolan put FILE URL`; - is standard input or output",
    ),
    (&["-c", "--continue", "-C", "--continue-at"], "--resume continues an interrupted transfer"),
    (
        &["--bwlimit", "--limit-rate", "--bandwidth"],
        "--rate-limit RATE, such as 2MiB, limits the bytes per second",
    ),
    (
        &["--transfers", "--checkers", "-P", "-j", "--jobs-parallel", "--multi-thread-streams"],
        "--parallel N is the number of concurrent sessions",
    ),
    (
        &["-n", "--dryrun", "--just-print", "--simulate", "--preview"],
        "--dry-run shows what would be done",
    ),
    (
        &["--update", "--only-newer", "--timestamping", "-N"],
        "--newer-only skips files that are not newer in the source",
    ),
    (&["--size-only", "--ignore-time", "--ignore-times"], "--compare size compares sizes only"),
    (&["--checksum"], "--compare checksum compares contents"),
    (
        &["--ignore-existing", "--no-clobber", "--immutable", "--skip-existing"],
        "--on-exists skip leaves files alone that exist",
    ),
    (
        &["--backup-dir", "--backup", "--backups"],
        "--trash DIR keeps what is replaced or deleted, with overwritten=true",
    ),
    (
        &["-x", "-X", "--exclude-glob", "--filter", "--ignore"],
        "--exclude PATTERN leaves out what matches, as in .gitignore; re:EXPRESSION is a regular expression",
    ),
    (&["-i", "-I", "--include-glob", "--accept"], "--include PATTERN takes only what matches"),
    (
        &[
            "--delete-first",
            "--delete-before",
            "--delete-after",
            "--delete-during",
            "--remove-source-files",
            "-E",
        ],
        "--delete deletes what the source lacks, last; --move removes source files once their copies are verified",
    ),
    (
        &["--server", "--host", "-H"],
        "the server is in the URL, as in ftpes://me@ftp.example.org/folder",
    ),
    (
        &["--debug", "-d", "--trace"],
        "-v shows the dialogue with the server, --log-level debug all of it as a log",
    ),
    (&["--silent", "-s"], "-q shows only output, warnings and errors"),
    (&["--force", "-f", "-y", "--assume-yes"], "commands that ask take --yes"),
    (
        &["--timeout", "--connect-timeout", "--max-time", "-m"],
        "--set connect_timeout=15s, --set reply_timeout=30s and --set data_timeout=30s are the timeouts",
    ),
    (&["--retry", "--tries"], "--retries N is the number of retries"),
    (
        &["-4", "-6", "--ipv4", "--ipv6"],
        "--set family=ipv4 or --set family=ipv6 restricts the addresses",
    ),
    (
        &["--proxy", "--socks5"],
        "--set proxy=socks5://host:1080, or the variables ftp_proxy and all_proxy",
    ),
    (
        &["--charset", "--encoding"],
        "--set encoding=LABEL names the encoding of the server's names, such as windows-1251",
    ),
];

/// Flags of other programs that begin with a letter which clap takes for the flag.
const WHOLE: KnownWords = &[
    (
        &["-name", "-type", "-maxdepth", "-iname"],
        "long options have two dashes here: --name PATTERN, --type f, --max-depth N",
    ),
    (&["-rf", "-fr", "-Rf"], "`portolan rm -r --yes URL` removes directories without asking"),
];

/// Returns what portolan calls the unknown word in a command line, if other programs have it.
pub(super) fn advice(error: &clap::Error, args: &[OsString]) -> Option<&'static str> {
    let (kind, known) = match error.kind() {
        ErrorKind::InvalidSubcommand => (ContextKind::InvalidSubcommand, COMMANDS),
        ErrorKind::UnknownArgument => (ContextKind::InvalidArg, FLAGS),
        _ => return None,
    };
    let ContextValue::String(typed) = error.get(kind)? else { return None };
    let mut words = args.iter().skip(1).filter_map(|word| word.to_str());
    let whole =
        words.find_map(|word| meaning(word, WHOLE)).filter(|_| kind == ContextKind::InvalidArg);
    whole.or_else(|| meaning(typed, known))
}

fn meaning(typed: &str, known: KnownWords) -> Option<&'static str> {
    let typed = typed.split('=').next().unwrap_or_default().trim();
    known.iter().find(|(words, _)| words.contains(&typed)).map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn no_word_of_other_programs_is_one_of_ours_or_is_listed_twice() {
        let command = crate::cli::CommandLine::command();
        for known in [COMMANDS, FLAGS] {
            let mut all: Vec<_> = known.iter().flat_map(|(words, _)| *words).collect();
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count);
        }
        for word in COMMANDS.iter().flat_map(|(words, _)| *words) {
            assert!(command.find_subcommand(word).is_none(), "{word}");
        }
    }

    #[test]
    fn words_are_found_with_and_without_a_value() {
        assert!(meaning("--bwlimit=1M", FLAGS).unwrap().starts_with("--rate-limit"));
        assert!(meaning("-k", FLAGS).unwrap().starts_with("--set pin"));
        assert!(meaning("upload", COMMANDS).unwrap().contains("portolan put"));
        assert_eq!(meaning("mirorr", COMMANDS), None);
    }
}
