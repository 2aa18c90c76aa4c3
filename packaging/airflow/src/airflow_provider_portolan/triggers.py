"""The trigger of a deferred PortolanOperator: it follows one run of a scheduler until its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_portolan.command import Command, is_over, show_words
from airflow_provider_portolan.connection import store_of

#: The time that one question may take.
ASK_SECONDS = 60
#: The questions in a row that may fail: a database that fails over is away for some.
FAILURES_MAX = 30


class PortolanTrigger(BaseTrigger):
    """Follows a run by its number. It asks for nothing, so a triggerer that starts again follows the same run."""

    def __init__(
        self,
        run: int,
        portolan_conn_id: str | None = None,
        program: str = "portolan",
        jobs: str | None = None,
        state: str | None = None,
        poll_interval: float = 5.0,
    ) -> None:
        super().__init__()
        self.run_number = run
        self.portolan_conn_id = portolan_conn_id
        self.program = program
        self.jobs = jobs
        self.state = state
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Returns what the database of Airflow keeps of it: no secret."""
        return (
            "airflow_provider_portolan.triggers.PortolanTrigger",
            {
                "run": self.run_number,
                "portolan_conn_id": self.portolan_conn_id,
                "program": self.program,
                "jobs": self.jobs,
                "state": self.state,
                "poll_interval": self.poll_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Asks for the run at intervals, until it is over."""
        store = await asyncio.to_thread(store_of, self.portolan_conn_id)
        words = show_words(self.run_number, jobs=self.jobs, state=self.state)
        command = Command(words=words, program=self.program, store=store)
        failures = 0
        while True:
            run, error = await self._ask(command)
            if run is not None and is_over(run):
                yield TriggerEvent({"run": run})
                return
            failures = failures + 1 if run is None else 0
            if failures > FAILURES_MAX:
                yield TriggerEvent({"error": f"run {self.run_number} cannot be followed: {error}"})
                return
            await asyncio.sleep(self.poll_interval)

    async def _ask(self, command: Command) -> tuple[dict | None, str]:
        try:
            child = await asyncio.create_subprocess_exec(
                *command.argv(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=command.environ(),
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
