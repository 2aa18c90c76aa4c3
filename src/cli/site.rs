//! `portolan site`: save servers under names, list, show, test and remove them.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use serde_json::{Value, json};

use super::{
    ExitResult,
    ask::ask_password,
    common::{Common, interruptible, with_session},
    report::{self, UsageError},
    table::TextTable,
};
use crate::{
    error::{Error, ErrorKind, Result},
    exit_code::Exit,
    ftp::{path::RemotePath, session::Session, url::Url},
    observe::{counted, visible::visible},
    remote::fs::RemoteFs as _,
    script::sites::{
        SavedSite, SiteBook,
        edit::{self, ChangedFiles, NewSite},
        import::{self, ImportedSite},
    },
};

/// The arguments of `portolan site`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    #[command(subcommand)]
    action: SiteAction,
}

const HELP: &str = "\
Examples:
    portolan site add acme ftpes://me@ftp.example.org/in --ask --set mode=active
    portolan site test acme
    portolan get '@acme/2026/*.csv' downloads/

Sites are kept in sites.toml beside the jobs file, otherwise in the user's configuration directory; passwords are kept in
the directory `secrets` beside it, readable by their owner only.";

#[derive(Debug, clap::Subcommand)]
enum SiteAction {
    /// Save a site; --set gives its options
    Add(AddArgs),
    /// List the saved sites
    List,
    /// Show a site with its options; passwords are not shown
    Show {
        /// Name of the site
        name: String,
    },
    /// Log in to sites and list a directory
    Test {
        /// Names of the sites
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Save the sites of FileZilla, WinSCP, lftp, rclone or ncftp
    Import(ImportArgs),
    /// Remove a site, and the passwords kept for it
    Remove {
        /// Name of the site
        name: String,
    },
}

#[derive(Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "the comments are the help that people read")]
struct AddArgs {
    /// Name of the site, such as acme
    name: String,
    /// Its server and directory, such as ftpes://me@ftp.example.org/in; a password is kept apart
    url: String,
    /// Ask for the password, and keep it in the directory of secrets
    #[arg(long)]
    ask: bool,
    /// Replace a site of that name
    #[arg(long)]
    replace: bool,
    /// File to save it in [default: sites.toml beside a jobs file, else that of the user]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct ImportArgs {
    /// sitemanager.xml, WinSCP.ini, rclone.conf, or the file of bookmarks of lftp or ncftp
    #[arg(value_name = "FILE")]
    source: PathBuf,
    /// Keep their passwords as well, in the directory of secrets
    #[arg(long)]
    passwords: bool,
    /// Only show what would be saved
    #[arg(long)]
    dry_run: bool,
    /// Replace sites of these names
    #[arg(long)]
    replace: bool,
    /// File to save them in [default: sites.toml beside a jobs file, else that of the user]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    match &args.action {
        SiteAction::Add(args) => add(args, common),
        SiteAction::List => list(common),
        SiteAction::Show { name } => show(name, common),
        SiteAction::Test { names } => test(names, common),
        SiteAction::Import(args) => import(args, common),
        SiteAction::Remove { name } => {
            let changed = edit::remove(plain(name)).map_err(wrong)?;
            tell(&format!("removed `{}`", plain(name)), &changed, common);
            Ok(Exit::Done)
        }
    }
}

/// Returns the name of a site, with or without `@`.
fn plain(name: &str) -> &str {
    name.strip_prefix('@').unwrap_or(name)
}

/// Returns the error of a command: that of a wrong command line for an unknown name.
fn wrong(error: Error) -> anyhow::Error {
    match error.kind {
        ErrorKind::Invalid | ErrorKind::Guard => UsageError(error).into(),
        _ => error.into(),
    }
}

fn add(args: &AddArgs, common: &Common) -> ExitResult {
    let added = || -> Result<ChangedFiles> {
        let url = Url::parse(&args.url)?;
        let password_command = common.password_command()?;
        let password = if args.ask {
            if !io::stdin().is_terminal() {
                let message =
                    "--ask wants a terminal: --password-file FILE takes the password from a file";
                return Err(Error::invalid(message));
            }
            ask_password(&url.site.user, &url.site.host)?
        } else if password_command.is_some() {
            None
        } else {
            common.named_password()?
        };
        let site = NewSite {
            name: plain(&args.name).to_owned(),
            url: args.url.clone(),
            options: common.overrides()?.map().clone(),
            password_command,
            password,
        };
        let file = args.file.clone().map_or_else(edit::usual_file, Ok)?;
        edit::add(&file, site, args.replace)
    };
    let changed = added().map_err(wrong)?;
    tell(&format!("saved `{}`", plain(&args.name)), &changed, common);
    Ok(Exit::Done)
}

/// Prints the files that have changed.
fn tell(done: &str, changed: &ChangedFiles, common: &Common) {
    let shown = |path: &PathBuf| visible(path.as_os_str().as_encoded_bytes());
    if common.json() {
        let secrets: Vec<_> = changed.secrets.iter().map(shown).collect();
        report::json(&json!({ "file": shown(&changed.file), "secrets": secrets }));
        return;
    }
    let secrets = changed.secrets.iter().map(|path| format!("its password: {}\n", shown(path)));
    let secrets: String = secrets.collect();
    report::output(&format!("{done} in {}\n{secrets}", shown(&changed.file)));
}

fn list(common: &Common) -> ExitResult {
    let book = SiteBook::read().map_err(wrong)?;
    let sites: Vec<_> =
        book.names().into_iter().map(|(name, file)| (name, file, book.find(name))).collect();
    if common.json() {
        let value = |(name, file, site): &(&str, &std::path::Path, Result<SavedSite>)| {
            let file = visible(file.as_os_str().as_encoded_bytes());
            match site {
                Ok(site) => json!({ "name": name, "url": site.public_url(), "file": file }),
                Err(error) => {
                    json!({ "name": name, "url": Value::Null, "file": file, "error": error.message })
                }
            }
        };
        report::json(&sites.iter().map(value).collect::<Vec<_>>());
        return Ok(Exit::Done);
    }
    if sites.is_empty() {
        report::print("no sites are saved: portolan site add NAME URL saves one\n");
        return Ok(Exit::Done);
    }
    let mut table = TextTable::new(&["site", "url", "file"]);
    for (name, file, site) in &sites {
        let url = match site {
            Ok(site) => visible(site.public_url()),
            Err(error) => format!("error: {}", visible(&error.message)),
        };
        table.row([visible(*name), url, visible(file.as_os_str().as_encoded_bytes())]);
    }
    report::output(&table.text());
    Ok(Exit::Done)
}

fn show(name: &str, common: &Common) -> ExitResult {
    let site = SiteBook::read().and_then(|book| book.find(plain(name))).map_err(wrong)?;
    let file = visible(site.file.as_os_str().as_encoded_bytes());
    let password = site.password_source();
    if common.json() {
        let options: serde_json::Map<_, _> = site
            .public_options()
            .into_iter()
            .map(|(key, value)| (key.to_owned(), Value::from(value)))
            .collect();
        report::json(&json!({
            "name": site.name, "url": site.public_url(), "file": file, "password": password,
            "options": options,
        }));
        return Ok(Exit::Done);
    }
    let mut table = TextTable::new(&["site", site.name.as_str()]);
    table.row(["url".into(), visible(site.public_url())]);
    for (key, value) in site.public_options().into_iter().filter(|(key, _)| *key != "password") {
        table.row([key.into(), visible(value)]);
    }
    table.row(["password".into(), password.unwrap_or_else(|| "none".into())]);
    table.row(["file".into(), file]);
    report::output(&table.text());
    Ok(Exit::Done)
}

/// Saves the sites of another program; one that cannot be saved is told, and the rest is saved.
fn import(args: &ImportArgs, common: &Common) -> ExitResult {
    let found = import::read_file(&args.source).map_err(wrong)?;
    let file = args.file.clone().map_or_else(edit::usual_file, Ok).map_err(wrong)?;
    let mut told = Vec::new();
    let mut skipped = found.left_out;
    for site in found.sites {
        let ImportedSite { name, url, options, password } = site;
        let has_password = password.is_some();
        let password = password.filter(|_| args.passwords);
        let options = if args.passwords { options } else { import::without_secrets(options) };
        let new = NewSite {
            name: name.clone(),
            url: url.clone(),
            options,
            password,
            ..NewSite::default()
        };
        let added = if args.dry_run {
            edit::check(&new).map(|()| ChangedFiles::default())
        } else {
            edit::add(&file, new, args.replace)
        };
        match added {
            Ok(changed) => {
                let is_kept = !changed.secrets.is_empty() || (args.dry_run && args.passwords);
                let is_left = has_password && !is_kept;
                told.push((name, url, is_left));
            }
            Err(error) => skipped.push((name, error.message)),
        }
    }
    if common.json() {
        let sites: Vec<_> =
            told.iter().map(|(name, url, _)| json!({ "name": name, "url": url })).collect();
        let left_out: Vec<_> =
            skipped.iter().map(|(name, why)| json!({ "name": name, "reason": why })).collect();
        report::json(&json!({ "sites": sites, "left_out": left_out }));
    } else {
        let did = if args.dry_run { "would save" } else { "saved" };
        let line = |(name, url, is_left): &(String, String, bool)| {
            let left = if *is_left { ", without its password (--passwords keeps it)" } else { "" };
            format!("{did} `{}`: {}{left}\n", visible(name), visible(url))
        };
        report::output(&told.iter().map(line).collect::<String>());
    }
    for (name, why) in &skipped {
        report::print(&format!("left out `{}`: {}\n", visible(name), visible(why)));
    }
    for (name, why) in found.without_password.iter().filter(|_| args.passwords) {
        report::print(&format!("no password of `{}`: {}\n", visible(name), visible(why)));
    }
    Ok(if told.is_empty() && !skipped.is_empty() { Exit::Usage } else { Exit::Done })
}

/// Logs in to each site. The first failure decides the exit code, and the others are tried nevertheless.
fn test(names: &[String], common: &Common) -> ExitResult {
    let prepared = || -> Result<_> {
        let mut sites = Vec::new();
        for name in names {
            let (site, url) = common.place(&format!("@{}", plain(name)))?;
            sites.push((plain(name).to_owned(), url.path, site));
        }
        Ok((sites, common.quiet_context()?))
    };
    let (sites, context) = prepared().map_err(UsageError)?;
    let (stop, json) = (context.stop.clone(), common.json());
    interruptible(&stop, move || {
        let mut exit = Exit::Done;
        let mut found = Vec::new();
        for (name, folder, site) in sites {
            let mut facts = Value::Null;
            let tested = with_session(site, &context, async |session| {
                facts = facts_of(session, folder).await?;
                Ok(())
            });
            if let Err(error) = &tested {
                if !json {
                    report::print(&format!("{}: failed\n", visible(&name)));
                }
                let code = report::fault(error);
                exit = if exit == Exit::Done { code } else { exit };
            } else if !json {
                report::output(&line(&name, &facts));
            }
            let error = tested.err().map(|error| error.to_string());
            found.push(
                json!({ "name": name, "works": error.is_none(), "error": error, "facts": facts }),
            );
        }
        if json {
            report::json(&found);
        }
        Ok(exit)
    })
}

/// Lists the directory of a site, and returns what is worth knowing of the session.
async fn facts_of(session: &mut Session, folder: Option<RemotePath>) -> Result<Value> {
    let path = folder.map_or_else(|| RemotePath::parse("."), Ok)?;
    let listing = session.list_whole(&path).await?;
    let site = session.site();
    Ok(json!({
        "host": site.host, "user": site.user, "tls": site.tls.as_str(), "route": session.route(),
        "path": session.absolute(&path)?.to_string(), "entries": listing.entries.len(),
    }))
}

fn line(name: &str, facts: &Value) -> String {
    let text = |key: &str| visible(facts.get(key).and_then(Value::as_str).unwrap_or_default());
    let protection = match text("tls").as_str() {
        "off" => "without TLS".to_owned(),
        tls => format!("with {tls} TLS"),
    };
    let entries = facts.get("entries").and_then(Value::as_u64).unwrap_or_default();
    let entries = counted(entries, "entry");
    format!(
        "{}: works: {} on {} {protection}, {} by {}, {entries} in {}\n",
        visible(name),
        text("user"),
        text("host"),
        "data connections",
        text("route"),
        text("path")
    )
}
