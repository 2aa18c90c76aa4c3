"""The operator that runs portolan."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_provider_portolan.command import (
    Command,
    Ending,
    ending,
    ending_of_run,
    is_over,
    may_go_on,
    reason,
    run_words,
    trigger_words,
)
from airflow_provider_portolan.connection import password_of, store_of
from airflow_provider_portolan.process import Process
from airflow_provider_portolan.triggers import PortolanTrigger


class PortolanOperator(BaseOperator):
    """Asks a portolan scheduler for a run of a job and waits for it, or runs a script or a job on the worker itself.

    The result for XCom is portolan's document, with `exit_code`. After exit code 4 (a temporary failure), 6 (some files)
    and 130 (interrupted) Airflow retries the task; after any other one it does not.

    :param job: the job of the scheduler, with `script=None`
    :param script: a script to run on the worker, without a scheduler
    :param script_args: the arguments of the script
    :param run_here: run the job on the worker, without a scheduler (`portolan run --job`)
    :param arguments: arguments of the job that replace its own in this run
    :param slot: a past slot of the job to run, such as `{{ ts }}`
    :param portolan_conn_id: the connection of the PostgreSQL database that the machines of a fleet share; without it the
        store is the one that the environment of the worker, `jobs` or `state` names
    :param password_conn_id: the connection whose password the script gets for its server (PORTOLAN_PASSWORD)
    :param jobs: the jobs file
    :param state: the state directory
    :param program: the program
    :param directory: the working directory
    :param deferrable: wait in the triggerer, without a worker's slot
    :param poll_interval: the seconds between two looks at the run while deferred
    """

    template_fields: Sequence[str] = ("job", "script", "script_args", "arguments", "slot", "jobs", "state", "directory")
    ui_color = "#d5e8f0"

    def __init__(
        self,
        *,
        job: str | None = None,
        script: str | None = None,
        script_args: list[str] | None = None,
        run_here: bool = False,
        arguments: dict | None = None,
        slot: str | None = None,
        portolan_conn_id: str | None = None,
        password_conn_id: str | None = None,
        jobs: str | None = None,
        state: str | None = None,
        program: str = "portolan",
        directory: str | None = None,
        deferrable: bool = False,
        poll_interval: float = 5.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (job is None) == (script is None):
            raise ValueError("PortolanOperator wants either `job` or `script`")
        is_here = script is not None or run_here
        if is_here and (deferrable or arguments or slot or portolan_conn_id):
            raise ValueError("`deferrable`, `arguments`, `slot` and `portolan_conn_id` are for jobs of a scheduler")
        if script_args and script is None:
            raise ValueError("`script_args` are for `script`; the arguments of a job are `arguments`")
        if password_conn_id and not is_here:
            raise ValueError("a run of the scheduler takes its passwords from the scheduler's own secrets")
        if poll_interval <= 0:
            raise ValueError("`poll_interval` is more than 0 seconds")
        self.job = job
        self.script = script
        self.script_args = script_args
        self.run_here = run_here
        self.arguments = arguments
        self.slot = slot
        self.portolan_conn_id = portolan_conn_id
        self.password_conn_id = password_conn_id
        self.jobs = jobs
        self.state = state
        self.program = program
        self.directory = directory
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self._process: Process | None = None

    def execute(self, context: Any) -> dict:
        """Runs the command, and returns its document."""
        place = {"jobs": self.jobs, "state": self.state}
        if self.script is not None:
            words = run_words(self.script, self.script_args, state=self.state)
        elif self.run_here:
            words = run_words(job=self.job, **place)
        else:
            wait = not self.deferrable
            words = trigger_words(self.job, wait=wait, arguments=self.arguments, slot=self.slot, **place)
        command = Command(
            words=words,
            program=self.program,
            store=store_of(self.portolan_conn_id),
            password=password_of(self.password_conn_id),
            directory=self.directory,
        )
        result, code, errors = self._run(command)
        is_asked = ending(code) is Ending.DONE and result.get("outcome") == "asked"
        if is_asked and not (self.deferrable and result.get("request")):
            # Nothing has run, and there is nothing to follow. A retry asks for another run.
            raise AirflowException(f"no scheduler has begun the run of {self.job}: {' '.join(errors)}")
        if not self.deferrable or ending(code) is not Ending.DONE:
            return self._end(result, code, errors)
        if is_over(result) and not (may_go_on(result) and result.get("lease_s")):
            return self._end_of_run(result)
        self.defer(
            trigger=PortolanTrigger(
                run=result.get("id"),
                job=self.job,
                request=result.get("request"),
                lease=result.get("lease_s"),
                portolan_conn_id=self.portolan_conn_id,
                program=self.program,
                directory=self.directory,
                poll_interval=self.poll_interval,
                **place,
            ),
            method_name="execute_complete",
            timeout=self.execution_timeout if isinstance(self.execution_timeout, timedelta) else None,
        )
        return result

    def execute_complete(self, context: Any, event: dict) -> dict:
        """Ends the task after its trigger."""
        if "error" in event:
            raise AirflowException(event["error"])
        return self._end_of_run(event["run"])

    def on_kill(self) -> None:
        """Stops the command. What a scheduler runs goes on: its history shows the end."""
        if self._process is not None:
            self._process.stop()

    def _run(self, command: Command) -> tuple[dict, int, list[str]]:
        try:
            self._process = Process(command, self.log)
        except FileNotFoundError as error:
            raise AirflowFailException(f"there is no {error.filename} on this worker") from None
        try:
            result, code = self._process.wait()
            return result, code, list(self._process.errors)
        finally:
            self._process.stop()
            self._process = None

    def _end_of_run(self, run: dict) -> dict:
        return self._end(run, ending_of_run(run), [])

    def _end(self, result: dict, code: int, errors: list[str]) -> dict:
        what = self.script or self.job
        message = f"{what} has ended with exit code {code}: {reason(result, errors)}"
        match ending(code):
            case Ending.DONE:
                return {**result, "exit_code": code}
            case Ending.RETRY:
                raise AirflowException(message)
            case Ending.FAIL:
                raise AirflowFailException(message)
