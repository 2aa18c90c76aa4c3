//! The schema, as numbered migrations from an empty file to the current version. A released migration is never
//! changed.

use super::{
    Database, Store,
    sql::{Sql, SqlResult, values},
};
use portolan_core::error::{Error, ErrorKind, Origin, Result};

/// The migrations; each leads from the schema of its number to the next.
const MIGRATIONS: &[&str] = &[
    // 1: the server records. Times are milliseconds since 1970.
    "CREATE TABLE routes (
        host TEXT NOT NULL,
        port BIGINT NOT NULL,
        login TEXT NOT NULL,
        network TEXT NOT NULL,
        protection TEXT NOT NULL,
        step TEXT NOT NULL,
        failed_mode TEXT NOT NULL,
        tls12_only BOOLEAN NOT NULL,
        refuses_list_all BOOLEAN NOT NULL,
        round_trip_ms BIGINT NOT NULL,
        seen_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        PRIMARY KEY (host, port, login, network, protection)
    )",
    // 2: the address that PASV announces.
    "ALTER TABLE routes ADD COLUMN is_elsewhere BOOLEAN NOT NULL DEFAULT FALSE",
    // 3: the state of mirrors on both sides. Local times are microseconds since 1970; remote times are text that
    // includes their precision, empty if they are not known.
    "CREATE TABLE mirrors (
        id BIGINT NOT NULL PRIMARY KEY,
        host TEXT NOT NULL,
        port BIGINT NOT NULL,
        login TEXT NOT NULL,
        remote TEXT NOT NULL,
        local TEXT NOT NULL,
        seen_at BIGINT NOT NULL,
        UNIQUE (host, port, login, remote, local)
    );
    CREATE TABLE mirror_files (
        mirror BIGINT NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
        path TEXT NOT NULL,
        hash TEXT NOT NULL,
        local_size BIGINT NOT NULL,
        local_us BIGINT,
        remote_size BIGINT,
        remote_time TEXT NOT NULL,
        PRIMARY KEY (mirror, path)
    )",
    // 4: the undo record of each NAT ruleset, as JSON.
    "CREATE TABLE nat_rulesets (
        name TEXT NOT NULL PRIMARY KEY,
        record TEXT NOT NULL,
        changed_at BIGINT NOT NULL
    )",
    // 5: history. A slot of a job has one row, whatever its state; manual runs have no slot, and NULLs are distinct.
    "CREATE TABLE runs (
        id BIGINT NOT NULL PRIMARY KEY,
        job TEXT NOT NULL,
        revision TEXT NOT NULL,
        slot TEXT,
        script TEXT NOT NULL,
        cause TEXT NOT NULL,
        scheduled_for BIGINT,
        moved_from TEXT,
        not_before BIGINT,
        give_up_at BIGINT,
        needs_since BIGINT,
        decided_at BIGINT NOT NULL,
        started_at BIGINT,
        ended_at BIGINT,
        outcome TEXT NOT NULL,
        reason TEXT,
        covers BIGINT NOT NULL,
        attempts BIGINT NOT NULL,
        files BIGINT NOT NULL,
        bytes BIGINT NOT NULL,
        route TEXT,
        fallbacks BIGINT NOT NULL,
        exit_code BIGINT,
        error_kind TEXT,
        error TEXT,
        UNIQUE (job, revision, slot)
    );
    CREATE INDEX runs_by_job ON runs (job, id);
    CREATE INDEX runs_by_outcome ON runs (outcome);
    CREATE TABLE attempts (
        run BIGINT NOT NULL,
        number BIGINT NOT NULL,
        started_at BIGINT NOT NULL,
        ended_at BIGINT,
        outcome TEXT NOT NULL,
        files BIGINT NOT NULL,
        bytes BIGINT NOT NULL,
        route TEXT,
        exit_code BIGINT,
        error_kind TEXT,
        error TEXT,
        PRIMARY KEY (run, number)
    );
    CREATE TABLE run_files (
        run BIGINT NOT NULL,
        number BIGINT NOT NULL,
        attempt BIGINT NOT NULL,
        verb TEXT NOT NULL,
        path TEXT NOT NULL,
        bytes BIGINT NOT NULL,
        verified BOOLEAN NOT NULL,
        error TEXT,
        PRIMARY KEY (run, number)
    );
    CREATE TABLE fallbacks (
        run BIGINT NOT NULL,
        number BIGINT NOT NULL,
        attempt BIGINT NOT NULL,
        host TEXT NOT NULL,
        from_mode TEXT NOT NULL,
        to_mode TEXT NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (run, number)
    );
    CREATE TABLE job_states (
        job TEXT NOT NULL PRIMARY KEY,
        revision TEXT NOT NULL,
        watermark BIGINT,
        label TEXT,
        last_success BIGINT,
        paused_at BIGINT,
        pause_reason TEXT,
        health TEXT NOT NULL
    );
    CREATE TABLE requests (
        job TEXT NOT NULL,
        asked_at BIGINT NOT NULL,
        PRIMARY KEY (job, asked_at)
    );
    CREATE TABLE notices (
        id BIGINT NOT NULL PRIMARY KEY,
        run BIGINT NOT NULL,
        job TEXT NOT NULL,
        event TEXT NOT NULL,
        channel TEXT NOT NULL,
        body TEXT NOT NULL,
        due_at BIGINT NOT NULL,
        tries BIGINT NOT NULL,
        outcome TEXT NOT NULL,
        error TEXT
    );
    CREATE INDEX notices_by_outcome ON notices (outcome, due_at)",
    // 6: data for `why`: the last slot that a row of many skipped ones covers, and the time since which a job has its
    // schedule.
    "ALTER TABLE runs ADD COLUMN up_to BIGINT;
    ALTER TABLE job_states ADD COLUMN since BIGINT;
    CREATE INDEX runs_by_time ON runs (job, scheduled_for)",
    // 7: the support of a server for pipelined commands, in words.
    "ALTER TABLE routes ADD COLUMN habits TEXT NOT NULL DEFAULT ''",
    // 8: the planned changes of mirrors to files of the target: `gone`, `any`, or the number of `bytes` and the time
    // of a local file.
    "CREATE TABLE mirror_intents (
        mirror BIGINT NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
        path TEXT NOT NULL,
        what TEXT NOT NULL,
        size BIGINT,
        local_us BIGINT,
        PRIMARY KEY (mirror, path)
    )",
    // 9: numbers of runs that have left logs and whose rows are lost, and whether that was reported.
    "CREATE TABLE lost_runs (
        up_to BIGINT NOT NULL PRIMARY KEY,
        is_told BOOLEAN NOT NULL
    )",
    // 10: the reason of a decision as a word, and the slot that covers a skipped one. Of older rows only these two
    // reasons were ever needed, and were read from the text.
    "ALTER TABLE runs ADD COLUMN reason_code TEXT;
    ALTER TABLE runs ADD COLUMN covered_by BIGINT;
    UPDATE runs SET reason_code = 'paused' WHERE outcome = 'skipped' AND reason LIKE 'paused since %';
    UPDATE runs SET reason_code = 'covered', covered_by = CAST(strftime('%s', substr(reason, 20, 19)) AS INTEGER) * 1000
        WHERE outcome = 'skipped' AND reason LIKE 'missed, covered by %'",
    // 11: the changes of each NAT ruleset, as JSON, numbered from 1.
    "CREATE TABLE nat_changes (
        ruleset TEXT NOT NULL,
        number BIGINT NOT NULL,
        changed_at BIGINT NOT NULL,
        entry TEXT NOT NULL,
        PRIMARY KEY (ruleset, number)
    )",
    // 12: the arguments of a request and of its run, as JSON, and the past slot that a request is for.
    "ALTER TABLE requests ADD COLUMN args TEXT;
    ALTER TABLE requests ADD COLUMN slot_at BIGINT;
    ALTER TABLE runs ADD COLUMN args TEXT",
    // 13: the bytes of each attempt over time, and the tokens of the page and its API, as hashes.
    "CREATE TABLE run_progress (
        run BIGINT NOT NULL,
        attempt BIGINT NOT NULL,
        elapsed_ms BIGINT NOT NULL,
        bytes BIGINT NOT NULL,
        PRIMARY KEY (run, attempt, elapsed_ms)
    );
    CREATE TABLE tokens (
        name TEXT NOT NULL PRIMARY KEY,
        hash TEXT NOT NULL,
        role TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT
    )",
    // 14: the values that scripts keep, as JSON, by job or script.
    "CREATE TABLE script_values (
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        content TEXT NOT NULL,
        changed_at BIGINT NOT NULL,
        PRIMARY KEY (owner, name)
    )",
    // 15: the times of the last notifications that belong to no run: a job is late, a job still fails, the daily
    // digest.
    "CREATE TABLE alerts (
        job TEXT NOT NULL,
        kind TEXT NOT NULL,
        at BIGINT NOT NULL,
        PRIMARY KEY (job, kind)
    )",
    // 16: the files that have arrived and that runs of a job were given, each once; `site` is empty for files of this
    // host. The time is text as exact as it is known, empty if it is not.
    "CREATE TABLE arrived_files (
        job TEXT NOT NULL,
        site TEXT NOT NULL,
        directory TEXT NOT NULL,
        name TEXT NOT NULL,
        size BIGINT NOT NULL,
        modified TEXT NOT NULL,
        run BIGINT NOT NULL,
        gone_at BIGINT,
        PRIMARY KEY (job, site, directory, name, size, modified)
    );
    CREATE INDEX arrived_files_by_run ON arrived_files (run)",
    // 17: indices for lists of runs by outcome and by time, for what belongs to a run, and for the few jobs that are paused
    // or fail, so that a million runs and a hundred thousand jobs are not read for a page.
    "CREATE INDEX runs_by_state ON runs (outcome, id);
    CREATE INDEX runs_by_moment ON runs (COALESCE(scheduled_for, started_at, decided_at), id, outcome);
    CREATE INDEX notices_by_run ON notices (run);
    CREATE INDEX paused_jobs ON job_states (job) WHERE paused_at IS NOT NULL;
    CREATE INDEX failing_jobs ON job_states (job) WHERE health = 'bad'",
    // 18: the lease of the leader, the workers, and the runs that are dispatched to them. `beat` counts signs of life, and
    // `fence` the tokens that were given.
    "CREATE TABLE leases (
        name TEXT NOT NULL PRIMARY KEY,
        holder TEXT NOT NULL,
        epoch BIGINT NOT NULL,
        beat BIGINT NOT NULL,
        fence BIGINT NOT NULL
    );
    INSERT INTO leases (name, holder, epoch, beat, fence) VALUES ('leader', '', 0, 0, 0);
    CREATE TABLE workers (
        name TEXT NOT NULL PRIMARY KEY,
        boot BIGINT NOT NULL,
        beat BIGINT NOT NULL,
        labels TEXT NOT NULL,
        room BIGINT NOT NULL,
        release TEXT NOT NULL,
        version TEXT NOT NULL,
        clock_ahead_ms BIGINT NOT NULL,
        is_draining BOOLEAN NOT NULL,
        started_at BIGINT NOT NULL
    );
    CREATE TABLE dispatches (
        run BIGINT NOT NULL PRIMARY KEY,
        worker TEXT NOT NULL,
        boot BIGINT NOT NULL,
        fence BIGINT NOT NULL,
        is_between BOOLEAN NOT NULL,
        stop TEXT
    );
    CREATE INDEX dispatches_by_worker ON dispatches (worker, boot)",
    // 19: what was due before a job was resumed is not late.
    "ALTER TABLE job_states ADD COLUMN resumed_at BIGINT",
    // 20: the time for which a worker may act after a heartbeat, the time of its last one, who has stopped a run, and the
    // worker that ran it last, if several share the store.
    "ALTER TABLE workers ADD COLUMN lease_ms BIGINT NOT NULL DEFAULT 0;
    ALTER TABLE workers ADD COLUMN beat_at BIGINT NOT NULL DEFAULT 0;
    ALTER TABLE dispatches ADD COLUMN stopped_by TEXT;
    ALTER TABLE runs ADD COLUMN machine TEXT",
    // 21: the release of the jobs by which the last leader has decided.
    "ALTER TABLE leases ADD COLUMN release TEXT NOT NULL DEFAULT ''",
    // 22: published releases of jobs, which of them is current, and the release by which a run was dispatched.
    "CREATE TABLE releases (
        number BIGINT NOT NULL PRIMARY KEY,
        digest TEXT NOT NULL,
        jobs_digest TEXT NOT NULL,
        format BIGINT NOT NULL,
        version TEXT NOT NULL,
        jobs_file TEXT NOT NULL,
        published_at BIGINT NOT NULL,
        published_by TEXT NOT NULL,
        message TEXT,
        files BIGINT NOT NULL,
        bytes BIGINT NOT NULL,
        current_at BIGINT NOT NULL,
        current_by TEXT NOT NULL
    );
    CREATE TABLE release_files (
        release BIGINT NOT NULL,
        path TEXT NOT NULL,
        digest TEXT NOT NULL,
        bytes BIGINT NOT NULL,
        is_program BOOLEAN NOT NULL,
        PRIMARY KEY (release, path)
    );
    CREATE TABLE release_contents (
        digest TEXT NOT NULL PRIMARY KEY,
        content TEXT NOT NULL
    );
    ALTER TABLE leases ADD COLUMN published BIGINT NOT NULL DEFAULT 0;
    ALTER TABLE dispatches ADD COLUMN release TEXT NOT NULL DEFAULT '';
    ALTER TABLE workers ADD COLUMN never_leads BOOLEAN NOT NULL DEFAULT FALSE;
    ALTER TABLE workers ADD COLUMN missing TEXT NOT NULL DEFAULT '';
    ALTER TABLE workers ADD COLUMN fault TEXT NOT NULL DEFAULT ''",
    // 23: the beginnings and ends of logs, if several machines share the store.
    "CREATE TABLE run_logs (
        run BIGINT NOT NULL,
        start_at BIGINT NOT NULL,
        bytes BIGINT NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (run, start_at)
    )",
];

/// Applies the migrations that the file lacks, all or none; another process may do the same. Returns true if the file
/// was new.
pub(super) fn migrate(store: &mut Store) -> Result<bool> {
    climb(store, MIGRATIONS)
}

fn climb(store: &mut Store, migrations: &[&str]) -> Result<bool> {
    let ours = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    // A file is not locked only to see that nothing is to be done.
    let mut found = if is_file(store) { store.query(version)? } else { 0 };
    let mut is_new = false;
    if found < ours {
        found = store.transact(|sql| {
            // Other processes may do the same.
            sql.lock("migrations")?;
            let found = version(sql)?;
            is_new = found == 0;
            for (number, statements) in (1_i64..).zip(migrations).skip_while(|(at, _)| *at <= found)
            {
                sql.migrate(statements)?;
                sql.execute("INSERT INTO migrations (number) VALUES ($1)", &values![number])?;
            }
            Ok(found.max(ours))
        })?;
    }
    if found > ours {
        let remedy = if is_file(store) { "one, or another folder with --state" } else { "one" };
        let message = format!(
            "cannot use the store: a newer portolan wrote it (its schema is {found}, this one knows {ours}); use that \
             {remedy}"
        );
        return Err(Error::new(ErrorKind::Local, Origin::Here, message).at(store.place()));
    }
    Ok(is_new)
}

const fn is_file(store: &Store) -> bool {
    matches!(store.database, Database::Sqlite(..))
}

/// Returns the number of the last applied migration.
fn version(sql: &dyn Sql) -> SqlResult<i64> {
    sql.batch("CREATE TABLE IF NOT EXISTS migrations (number BIGINT NOT NULL PRIMARY KEY)")?;
    let last = "SELECT number FROM migrations ORDER BY number DESC LIMIT 1";
    Ok(sql.value(last, &[])?.unwrap_or(0))
}

#[cfg(test)]
mod tests;
