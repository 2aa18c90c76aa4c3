//! `portolan token`: the tokens of the page and its API.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    ExitResult,
    common::Common,
    place::failed,
    report,
    store::JobsStore,
    table::{TextTable, width},
    times::local,
};
use crate::{
    clock::Clock,
    duration::parse_duration,
    error::{Error, Result},
    exit_code::Exit,
    observe::visible::visible,
    similar::nearest,
    store::tokens::{TokenRecord, TokenRole},
    web::tokens::{check_name, hash_of, new_token},
};

/// The arguments of `portolan token`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    #[command(subcommand)]
    command: TokenCommand,
}

const HELP: &str = "\
Examples:
    portolan token add alice --role operate
    portolan token add prometheus --role read --expires 90d
    portolan token list
    portolan token revoke alice
    curl -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:8080/api/v1/jobs";

#[derive(Debug, clap::Subcommand)]
enum TokenCommand {
    /// Make a token and print it: it is shown only once
    Add {
        /// Name of the token: who or what uses it
        name: String,
        /// Rights: read, or operate to run, pause, resume and stop as well
        #[arg(long, value_name = "ROLE", default_value = "read", value_parser = role)]
        role: TokenRole,
        /// Time after which it is refused, such as 90d [default: never]
        #[arg(long, value_name = "TIME", value_parser = lifetime)]
        expires: Option<SignedDuration>,
        #[command(flatten)]
        jobs: JobsStore,
    },
    /// List the tokens without their secret parts
    List {
        #[command(flatten)]
        jobs: JobsStore,
    },
    /// Remove a token: it is refused from now on
    Revoke {
        /// Name of the token
        name: String,
        #[command(flatten)]
        jobs: JobsStore,
    },
}

fn role(text: &str) -> Result<TokenRole, String> {
    text.parse().map_err(|_| format!("a role is {}", TokenRole::NAMES.join(" or ")))
}

/// The longest lifetime of a token: ten years.
const LIFETIME_MAX: SignedDuration = SignedDuration::from_hours(3650 * 24);

fn lifetime(text: &str) -> Result<SignedDuration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<i64>().ok());
    let days = days.and_then(|days| days.checked_mul(24)).map(SignedDuration::from_hours);
    let time = days.or_else(|| SignedDuration::try_from(parse_duration(text)?).ok());
    let time = time.filter(|time| time.is_positive() && *time <= LIFETIME_MAX);
    time.ok_or_else(|| "a time is such as 12h or 90d, ten years at most".to_owned())
}

pub(super) fn run(args: &Args, common: &Common) -> ExitResult {
    let done = match &args.command {
        TokenCommand::Add { name, role, expires, jobs } => add(name, *role, *expires, jobs, common),
        TokenCommand::List { jobs } => list(jobs, common),
        TokenCommand::Revoke { name, jobs } => revoke(name, jobs, common),
    };
    done.map_err(failed)?;
    Ok(Exit::Done)
}

fn value(token: &TokenRecord) -> Value {
    json!({
        "name": token.name,
        "role": token.role.as_str(),
        "created_at": token.created_at.to_string(),
        "expires_at": token.expires_at.map(|at| at.to_string()),
    })
}

fn add(
    name: &str,
    role: TokenRole,
    lifetime: Option<SignedDuration>,
    jobs: &JobsStore,
    common: &Common,
) -> Result<()> {
    check_name(name)?;
    let now = Clock::System.now();
    let expires_at = lifetime.map(|time| now.saturating_add(time).unwrap_or(Timestamp::MAX));
    let record = TokenRecord { name: name.to_owned(), role, created_at: now, expires_at };
    let token = new_token();
    if !jobs.open(common)?.add_token(&record, &hash_of(token.reveal()))? {
        let message = format!("there is a token `{name}` already; revoke it first");
        return Err(Error::invalid(message));
    }
    if common.json() {
        let mut value = value(&record);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("token".into(), token.reveal().into());
        }
        report::json(&value);
        return Ok(());
    }
    let words = match role {
        TokenRole::Read => "may read",
        TokenRole::Operate => "may read, run, pause, resume and stop",
    };
    report::print(&format!("`{name}` {words}; its token is shown only once:\n"));
    report::output(&format!("{}\n", token.reveal()));
    Ok(())
}

fn list(jobs: &JobsStore, common: &Common) -> Result<()> {
    let tokens = jobs.open(common)?.tokens()?;
    if common.json() {
        report::json(&tokens.iter().map(value).collect::<Vec<_>>());
        return Ok(());
    }
    if tokens.is_empty() {
        report::print("there are no tokens; `portolan token add NAME` makes one\n");
        return Ok(());
    }
    let mut table = TextTable::new(&["name", "role", "made", "expires"]);
    for token in &tokens {
        table.row([
            visible(&token.name),
            token.role.as_str().to_owned(),
            local(token.created_at),
            token.expires_at.map_or_else(|| "never".to_owned(), local),
        ]);
    }
    report::output(&table.fitted(width()));
    Ok(())
}

fn revoke(name: &str, jobs: &JobsStore, common: &Common) -> Result<()> {
    let mut store = jobs.open(common)?;
    if !store.revoke_token(name)? {
        let known = store.tokens()?;
        let known: Vec<_> = known.iter().map(|token| token.name.as_str()).collect();
        let near = nearest(name, &known).map(|near| format!("; did you mean `{near}`?"));
        let message = format!("there is no token `{}`{}", visible(name), near.unwrap_or_default());
        return Err(Error::invalid(message));
    }
    if common.json() {
        report::json(&json!({ "name": name, "revoked": true }));
    } else {
        report::output(&format!("`{name}` is revoked\n"));
    }
    Ok(())
}
