"""The DAG of the integration test: tests/it/airflow.rs starts the schedulers that its tasks ask."""

import datetime
import os

from airflow.sdk import DAG

from airflow_provider_portolan.operators import PortolanOperator

PROGRAM = os.environ["PORTOLAN_PROGRAM"]
FOLDER = os.environ["PORTOLAN_FOLDER"]
LOCAL = {"jobs": f"{FOLDER}/portolan.toml", "state": f"{FOLDER}/state"}

with DAG(
    "portolan",
    schedule=None,
    start_date=datetime.datetime(2026, 1, 1),
    default_args={"program": PROGRAM, "retries": 1, "retry_delay": datetime.timedelta(0)},
) as dag:
    PortolanOperator(task_id="script", script=f"{FOLDER}/hello.rhai", script_args=["{{ dag.dag_id }}"])
    PortolanOperator(task_id="temporary", script=f"{FOLDER}/temporary.rhai")
    PortolanOperator(task_id="permanent", script=f"{FOLDER}/permanent.rhai")
    PortolanOperator(task_id="local", job="day", arguments={"day": "{{ dag.dag_id }}"}, **LOCAL)
    PortolanOperator(task_id="deferred", job="slow", deferrable=True, poll_interval=0.2, **LOCAL)
    relative = {"jobs": "portolan.toml", "state": "state", "directory": FOLDER}
    PortolanOperator(task_id="deferred_relative", job="slow", deferrable=True, poll_interval=0.2, **relative)
    PortolanOperator(task_id="deferred_failure", job="bad", deferrable=True, poll_interval=0.2, **LOCAL)
    fleet = {"job": "day", "arguments": {"day": "portolan"}, "portolan_conn_id": "fleet"}
    PortolanOperator(task_id="fleet", **fleet)
    PortolanOperator(task_id="fleet_deferred", deferrable=True, poll_interval=0.2, **fleet)
