"""The trigger of a deferred PortolanOperator: it follows one run of a scheduler until its end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_portolan.command import Command, Store, is_over, may_go_on, show_words, trigger_words
from airflow_provider_portolan.connection import store_of

#: The time that one question may take.
ASK_SECONDS = 60
#: The questions in a row that may fail: a database that fails over is away for some.
FAILURES_MAX = 30


class PortolanTrigger(BaseTrigger):
    """Follows a run by its number, or a request by its key until it has a run. It asks for nothing, so a triggerer that
    starts again follows the same run.

    :param lease: the lease of the fleet in seconds: a run that was interrupted has ended if it stays so for two of them
    """

    def __init__(
        self,
        run: int | None = None,
        job: str | None = None,
        request: str | None = None,
        lease: float | None = None,
        portolan_conn_id: str | None = None,
        program: str = "portolan",
        jobs: str | None = None,
        state: str | None = None,
        directory: str | None = None,
        poll_interval: float = 5.0,
    ) -> None:
        super().__init__()
        if run is None and (job is None or request is None):
            raise ValueError("PortolanTrigger wants either `run`, or `job` and `request`")
        self.run_number = run
        self.job = job
        self.request = request
        self.lease = lease
        self.portolan_conn_id = portolan_conn_id
        self.program = program
        self.jobs = jobs
        self.state = state
        self.directory = directory
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Returns what the database of Airflow keeps of it: no secret."""
        return (
            "airflow_provider_portolan.triggers.PortolanTrigger",
            {
                "run": self.run_number,
                "job": self.job,
                "request": self.request,
                "lease": self.lease,
                "portolan_conn_id": self.portolan_conn_id,
                "program": self.program,
                "jobs": self.jobs,
                "state": self.state,
                "directory": self.directory,
                "poll_interval": self.poll_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Asks for the run at intervals, until it is over."""
        store = await asyncio.to_thread(store_of, self.portolan_conn_id)
        number, lease = self.run_number, self.lease
        failures = 0
        interrupted: tuple[Any, float] | None = None
        while True:
            run, error = await self._ask(self._command(number, store))
            if run is not None:
                number = run.get("id") or number
                lease = run.get("lease_s") or lease
            if run is None or not may_go_on(run) or not lease:
                interrupted = None
            elif interrupted is None or interrupted[0] != run.get("attempts"):
                interrupted = (run.get("attempts"), time.monotonic())
            is_settled = interrupted is None or time.monotonic() - interrupted[1] >= 2 * lease
            if run is not None and is_over(run) and is_settled:
                yield TriggerEvent({"run": run})
                return
            failures = failures + 1 if run is None else 0
            if failures > FAILURES_MAX:
                what = f"the request {self.request}" if number is None else f"run {number}"
                yield TriggerEvent({"error": f"{what} cannot be followed: {error}"})
                return
            await asyncio.sleep(self.poll_interval)

    def _command(self, number: int | None, store: Store | None) -> Command:
        place = {"jobs": self.jobs, "state": self.state}
        if number is None:
            words = trigger_words(self.job, wait=False, request=self.request, **place)
        else:
            words = show_words(number, **place)
        return Command(words=words, program=self.program, store=store, directory=self.directory)

    async def _ask(self, command: Command) -> tuple[dict | None, str]:
        try:
            child = await asyncio.create_subprocess_exec(
                *command.argv(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=command.environ(),
                cwd=command.directory,
            )
        except OSError as error:
            return None, str(error)
        try:
            output, errors = await asyncio.wait_for(child.communicate(), ASK_SECONDS)
        except asyncio.TimeoutError:
            return None, f"no answer for {ASK_SECONDS} s"
        finally:
            if child.returncode is None:
                child.kill()
        if child.returncode != 0:
            return None, errors.decode("utf-8", "replace").strip()
        run = json.loads(output)
        # What each file and attempt was stays in portolan's own history.
        return {key: value for key, value in run.items() if not key.startswith("each_")}, ""
