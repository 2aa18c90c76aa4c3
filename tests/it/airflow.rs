//! The package for Airflow in `packaging/airflow`: its unit tests, and a DAG in a real Airflow, whose tasks ask a scheduler on
//! this host, ask a fleet, and run scripts.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};

use crate::{
    fleet::machines::{Fleet, ON_REQUEST, job},
    serve::scheduler::Scheduler,
    support::{postgres::PostgresServer, program::leaks::assert_kept, server::skip},
};

/// Reads from the database of Airflow what has become of the tasks.
const ENDS: &str = "
import json, sqlite3, sys
database = sqlite3.connect(sys.argv[1])
tasks = database.execute('SELECT task_id, state, try_number FROM task_instance').fetchall()
values = database.execute(\"SELECT task_id, value FROM xcom WHERE key = 'return_value'\").fetchall()
values = {task: json.loads(value) for task, value in values}
print(json.dumps({task: [state, tries, values.get(task)] for task, state, tries in tasks}))
";

/// An environment of Python with Airflow, and a folder for it.
struct Airflow {
    python: PathBuf,
    home: tempfile::TempDir,
}

impl Airflow {
    /// Returns it; `None` if it is not installed, which has then been reported.
    fn new() -> Option<Self> {
        let packages = env::var_os("PORTOLAN_TEST_SERVERS").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-servers"),
            PathBuf::from,
        );
        let python = packages.join("apache-airflow/bin/python3");
        if python.is_file() {
            return Some(Self { python, home: tempfile::tempdir().unwrap() });
        }
        skip("no Airflow here: run tests/servers/install");
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs Python with words and variables.
    fn run(&self, words: &[&str], variables: &[(&str, String)]) -> Output {
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/airflow");
        let mut command = Command::new(&self.python);
        command
            .args(words)
            .current_dir(&package)
            .env("HOME", self.home.path())
            .env("AIRFLOW_HOME", self.home.path())
            .env("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
            .env("AIRFLOW__CORE__DAGS_FOLDER", self.path("dags"))
            .env("AIRFLOW__CORE__UNIT_TEST_MODE", "False")
            .env("PYTHONPATH", package.join("src"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env_remove("PORTOLAN_STORE")
            .env_remove("PGPASSWORD")
            .envs(variables.iter().cloned());
        command.output().unwrap()
    }

    /// Works like [`Airflow::run`], and must succeed.
    fn succeeds(&self, words: &[&str]) -> String {
        let ran = self.run(words, &[]);
        let said = both(&ran);
        assert!(ran.status.success(), "{words:?}: {said}");
        said
    }
}

fn both(ran: &Output) -> String {
    [&ran.stdout, &ran.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}

#[test]
fn the_unit_tests_of_the_package_for_airflow_pass() {
    let Some(airflow) = Airflow::new() else { return };
    let said = airflow.succeeds(&["-m", "unittest", "discover", "-s", "tests"]);
    assert!(said.contains("\nOK"), "{said}");
}

/// The jobs that the tasks ask for.
fn jobs() -> String {
    [
        job("day", ON_REQUEST, "[job.args]\nday = \"none\"\n"),
        job("slow", ON_REQUEST, ""),
        job("bad", ON_REQUEST, ""),
    ]
    .concat()
}

#[test]
fn a_dag_in_a_real_airflow_retries_what_a_retry_may_cure_and_shows_no_password() {
    let Some(airflow) = Airflow::new() else { return };
    let Some(mut fleet) = Fleet::new(&jobs()) else { return };
    let mut local = Scheduler::new(&jobs());
    let day = "if args.day != \"portolan\" { throw `the day is ${args.day}` }";
    for (name, text) in [
        ("day.rhai", day),
        ("slow.rhai", "sleep(1.5);"),
        ("bad.rhai", "exit(5);"),
        ("hello.rhai", "print(`hello ${args[0]}`);"),
        ("temporary.rhai", "fail_temporarily(\"not yet\");"),
        ("permanent.rhai", "exit(5);"),
    ] {
        local.file(name, text);
        fleet.file(name, text);
    }
    local.start();
    fleet.start("one", &[]);
    fleet.until_known("day");
    fs::create_dir(airflow.path("dags")).unwrap();
    fs::copy("packaging/airflow/tests/dags.py", airflow.path("dags/dags.py")).unwrap();
    airflow.succeeds(&["-m", "airflow", "db", "migrate"]);
    let connection = json!({
        "conn_type": "postgres", "host": "127.0.0.1", "port": fleet.server.port(), "login": "portolan",
        "password": PostgresServer::PASSWORD, "schema": "postgres",
    });
    let folder = local.path("").display().to_string();
    let variables = [
        ("PORTOLAN_PROGRAM", env!("CARGO_BIN_EXE_portolan").to_owned()),
        ("PORTOLAN_FOLDER", folder.trim_end_matches('/').to_owned()),
        ("AIRFLOW_CONN_FLEET", connection.to_string()),
    ];
    let ran = airflow.run(&["-m", "airflow", "dags", "test", "portolan"], &variables);
    assert_kept(&[PostgresServer::PASSWORD], &ran, airflow.home.path());
    let said = both(&ran);

    let database = airflow.path("airflow.db").display().to_string();
    let ends = airflow.succeeds(&["-c", ENDS, &database]);
    let ends: BTreeMap<String, (String, u32, Value)> = serde_json::from_str(&ends).unwrap();
    let brief = ends.iter().map(|(task, (state, tries, _))| (&**task, &**state, *tries));
    let wanted = [
        ("deferred", "success", 1),
        ("deferred_failure", "failed", 1),
        ("deferred_relative", "success", 1),
        ("fleet", "success", 1),
        ("fleet_deferred", "success", 1),
        ("local", "success", 1),
        ("permanent", "failed", 1),
        ("script", "success", 1),
        ("temporary", "failed", 2),
    ];
    assert_eq!(brief.collect::<Vec<_>>(), wanted, "{said}");
    let value = |task: &str, key: &str| ends.get(task).unwrap().2.get(key).cloned().unwrap();
    assert_eq!(value("script", "printed"), json!(["hello portolan"]));
    for (task, name, machine) in [
        ("local", "day", Value::Null),
        ("deferred", "slow", Value::Null),
        ("fleet", "day", "one".into()),
    ] {
        assert_eq!(value(task, "job"), name);
        assert_eq!(value(task, "outcome"), "done");
        assert_eq!(value(task, "exit_code"), 0);
        assert_eq!(value(task, "machine"), machine);
    }
    let seen = local.runs();
    let asked = |name: &str| seen.iter().filter(|run| run["job"] == name).count();
    assert_eq!((asked("day"), asked("slow"), asked("bad")), (1, 2, 1), "{seen:#?}");
    fleet.stop_all();
    local.stop().any_stderr();
}
