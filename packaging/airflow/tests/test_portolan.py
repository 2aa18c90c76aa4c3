"""Unit tests: python -m unittest discover -s packaging/airflow/tests, with Airflow installed and src on PYTHONPATH."""

import asyncio
import json
import os
import pathlib
import stat
import tempfile
import unittest
from unittest import mock

from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_portolan import command, get_provider_info
from airflow_provider_portolan.command import Ending, Output, Store, ending, ending_of_run
from airflow_provider_portolan.operators import PortolanOperator
from airflow_provider_portolan.triggers import PortolanTrigger

PASSWORD = "open+sesame/21"
RECORD = """#!/usr/bin/env python3
import json, os, sys
with open(os.environ["RECORD"], "a") as record:
    record.write(json.dumps({"argv": sys.argv[1:], "env": dict(os.environ)}) + "\\n")
print(os.environ.get("ANSWER", ""))
sys.stderr.write(os.environ.get("COMPLAINT", ""))
sys.exit(int(os.environ.get("CODE", "0")))
"""

ANSWER_BY_TURNS = """#!/usr/bin/env python3
import json, pathlib, sys
calls = pathlib.Path("calls")
number = len(calls.read_text().splitlines()) if calls.exists() else 0
with calls.open("a") as record:
    record.write(json.dumps(sys.argv[1:]) + "\\n")
print(pathlib.Path(f"answer{number}").read_text())
"""


class WithProgram(unittest.TestCase):
    """Tests with a program that records its command line and its environment."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.record = pathlib.Path(folder.name, "record")
        self.program = pathlib.Path(folder.name, "portolan")
        self.program.write_text(RECORD)
        self.program.chmod(stat.S_IRWXU)

    def run_with(self, operator_options, answer=None, code=0, complaint=""):
        """Runs an operator, and returns its result or what it raises."""
        environ = {"RECORD": str(self.record), "CODE": str(code), "COMPLAINT": complaint}
        if answer is not None:
            environ["ANSWER"] = json.dumps(answer)
        environ["AIRFLOW_CONN_FLEET"] = json.dumps(
            {
                "conn_type": "postgres",
                "host": "db.example.com",
                "port": 5433,
                "login": "por@olan",
                "password": PASSWORD,
                "schema": "fleet",
                "extra": {"sslrootcert": "/ca.pem", "keepalives": 1},
            }
        )
        with mock.patch.dict(os.environ, environ):
            operator = PortolanOperator(task_id="t", program=str(self.program), **operator_options)
            log = mock.Mock()
            with mock.patch.object(PortolanOperator, "log", log):
                try:
                    result = operator.execute({})
                except (AirflowException, TaskDeferred) as raised:
                    result = raised
            return result, [call.args[0] % call.args[1:] for call in log.info.call_args_list]

    def calls(self):
        """Returns the command lines and environments so far."""
        return [json.loads(line) for line in self.record.read_text().splitlines()]


class Commands(WithProgram):
    """What portolan is given."""

    def test_the_password_of_the_store_is_in_the_environment_alone(self):
        run = {"id": 7, "job": "a", "outcome": "done", "exit_code": 0}
        options = {"job": "a", "portolan_conn_id": "fleet", "arguments": {"day": "2026-12-01", "n": 3}, "slot": "T"}
        result, logs = self.run_with(options, run)
        self.assertEqual(result, run)
        self.assertIn("running ", logs[0])
        (call,) = self.calls()
        words = ["--json", "--no-progress", "trigger", "--wait", "--arg=day=2026-12-01", "--arg=n=3", "--slot=T", "--", "a"]
        self.assertEqual(call["argv"], words)
        self.assertEqual(call["env"]["PGPASSWORD"], PASSWORD)
        address = "postgres://por%40olan@db.example.com:5433/fleet?sslrootcert=%2Fca.pem"
        self.assertEqual(call["env"]["PORTOLAN_STORE"], address)
        for text in [*call["argv"], *logs, call["env"]["PORTOLAN_STORE"], repr(Store("h", password=PASSWORD))]:
            self.assertNotIn(PASSWORD, text)

    def test_a_script_runs_on_the_worker_with_its_password(self):
        done = {"event": "run_done", "fault": None, "ms": 2}
        options = {"script": "-odd.rhai", "script_args": ["--x", 1], "password_conn_id": "fleet"}
        result, logs = self.run_with(options, done)
        self.assertEqual(result, {**done, "exit_code": 0})
        (call,) = self.calls()
        self.assertEqual(call["argv"], ["--json", "--no-progress", "run", "--", "-odd.rhai", "--x", "1"])
        self.assertEqual(call["env"]["PORTOLAN_PASSWORD"], PASSWORD)
        self.assertNotIn(PASSWORD, "".join(logs))

    def test_a_job_runs_on_the_worker_without_a_scheduler(self):
        self.run_with({"job": "a", "run_here": True, "jobs": "/j.toml", "state": "/s"}, {"event": "run_done"})
        words = ["--json", "--no-progress", "run", "--jobs=/j.toml", "--job=a", "--state=/s"]
        self.assertEqual(self.calls()[0]["argv"], words)

    def test_what_makes_no_sense_is_refused(self):
        for options in [
            {},
            {"job": "a", "script": "b"},
            {"script": "a", "deferrable": True},
            {"script": "a", "portolan_conn_id": "fleet"},
            {"job": "a", "script_args": ["x"]},
            {"job": "a", "password_conn_id": "fleet"},
            {"job": "a", "run_here": True, "slot": "T"},
            {"job": "a", "poll_interval": 0},
        ]:
            with self.subTest(options), self.assertRaises(ValueError):
                PortolanOperator(task_id="t", **options)

    def test_a_program_that_is_missing_fails_without_a_retry(self):
        operator = PortolanOperator(task_id="t", job="a", program="/nowhere/portolan")
        with self.assertRaisesRegex(AirflowFailException, "there is no /nowhere/portolan"):
            operator.execute({})


class Endings(WithProgram):
    """What becomes of exit codes."""

    def test_each_exit_code_has_its_ending(self):
        wanted = {0: Ending.DONE, 4: Ending.RETRY, 6: Ending.RETRY, 130: Ending.RETRY, -9: Ending.RETRY}
        for code in [*range(8), 130, -9, 99]:
            self.assertIs(ending(code), wanted.get(code, Ending.FAIL), code)

    def test_exit_4_is_retried_and_exit_5_is_not(self):
        for code, kind in [(4, AirflowException), (5, AirflowFailException), (2, AirflowFailException)]:
            raised, _ = self.run_with({"job": "a"}, code=code, complaint="error: no such thing\n")
            self.assertEqual(type(raised), kind, code)
            self.assertIn(f"exit code {code}: error: no such thing", str(raised))

    def test_runs_of_a_scheduler_end_as_trigger_ends(self):
        for run, code in [
            ({"outcome": "done", "exit_code": 0}, 0),
            ({"outcome": "partial", "exit_code": 6}, 6),
            ({"outcome": "interrupted", "exit_code": None}, 130),
            ({"outcome": "failed", "exit_code": 5}, 5),
            ({"outcome": "failed", "exit_code": 5, "error_kind": "timeout"}, 4),
            ({"outcome": "failed", "exit_code": None}, 4),
            ({"outcome": "skipped", "exit_code": None}, 4),
        ]:
            self.assertEqual(ending_of_run(run), code, run)

    def test_output_that_is_no_document_is_logged(self):
        output = Output()
        self.assertEqual(output.line("[1]"), "[1]")
        self.assertEqual(output.line("\x00"), "\x00")
        self.assertEqual(output.line('{"event": "printed", "text": "hello"}'), "hello")
        self.assertIsNone(output.line('{"event": "run_done", "ms": 1}'))
        self.assertEqual(output.result(), {"event": "run_done", "ms": 1, "printed": ["hello"]})


class Deferring(WithProgram):
    """Waiting in the triggerer."""

    def test_a_deferred_task_asks_once_and_follows_the_run_by_its_number(self):
        options = {"job": "a", "portolan_conn_id": "fleet", "deferrable": True, "jobs": "/j", "poll_interval": 1}
        raised, _ = self.run_with(options, {"id": 7, "outcome": "running"})
        self.assertIsInstance(raised, TaskDeferred)
        self.assertNotIn("--wait", self.calls()[0]["argv"])
        path, kwargs = raised.trigger.serialize()
        self.assertEqual(path, "airflow_provider_portolan.triggers.PortolanTrigger")
        self.assertNotIn(PASSWORD, json.dumps(kwargs))
        self.assertEqual(PortolanTrigger(**kwargs).serialize(), (path, kwargs))
        self.assertEqual(kwargs["run"], 7)

    def test_a_request_that_nobody_has_taken_up_is_no_success(self):
        asked = {"job": "a", "id": None, "outcome": "asked"}
        for deferrable, answer in [(True, asked), (False, asked), (False, {**asked, "request": "M1"})]:
            raised, _ = self.run_with({"job": "a", "deferrable": deferrable}, answer)
            self.assertEqual(type(raised), AirflowException, answer)

    def test_a_deferred_task_follows_its_request_until_it_has_a_run(self):
        folder = self.program.parent
        options = {"job": "a", "deferrable": True, "state": "state", "directory": str(folder), "poll_interval": 0.01}
        raised, _ = self.run_with(options, {"job": "a", "id": None, "outcome": "asked", "request": "M1"})
        self.assertIsInstance(raised, TaskDeferred)
        _, kwargs = raised.trigger.serialize()
        self.assertEqual((kwargs["run"], kwargs["request"], kwargs["directory"]), (None, "M1", str(folder)))
        # The program answers from where it runs.
        answers = [{"id": None, "outcome": "asked"}, {"id": 7, "outcome": "running"}, {"id": 7, "outcome": "done"}]
        for number, answer in enumerate(answers):
            (folder / f"answer{number}").write_text(json.dumps(answer))
        self.program.write_text(ANSWER_BY_TURNS)
        payload = asyncio.run(self.first(PortolanTrigger(**kwargs)))
        self.assertEqual(payload, {"run": {"id": 7, "outcome": "done"}})
        asked = ["--json", "--no-progress", "trigger", "--request=M1", "--state=state", "--", "a"]
        shown = ["--json", "--no-progress", "show", "--state=state", "--", "7"]
        calls = [json.loads(line) for line in (folder / "calls").read_text().splitlines()]
        self.assertEqual(calls, [asked, asked, shown])

    def test_an_interrupted_run_of_a_fleet_has_ended_after_two_leases(self):
        interrupted = {"id": 7, "outcome": "interrupted", "error_kind": "interrupted", "attempts": 1}
        done = {"id": 7, "outcome": "done", "attempts": 2}
        stopped = {**interrupted, "error_kind": "stopped"}
        for lease, answers, wanted in [
            (10, [interrupted, {"id": 7, "outcome": "waiting"}, done], done),
            (0.02, [interrupted] * 99, interrupted),
            (None, [interrupted, done], interrupted),
            (10, [stopped, done], stopped),
        ]:
            trigger = PortolanTrigger(run=7, lease=lease, poll_interval=0.01)
            with mock.patch.object(trigger, "_ask", mock.AsyncMock(side_effect=[(run, "") for run in answers])) as ask:
                self.assertEqual(asyncio.run(self.first(trigger)), {"run": wanted})
                self.assertEqual(ask.await_count > 3, lease == 0.02)
        raised, _ = self.run_with({"job": "a", "deferrable": True}, {**interrupted, "lease_s": 15.0})
        self.assertIsInstance(raised, TaskDeferred)
        self.assertEqual(raised.trigger.serialize()[1]["lease"], 15.0)

    @staticmethod
    async def first(trigger):
        """Returns the first event of a trigger."""
        async for event in trigger.run():
            return event.payload

    def test_a_run_that_is_over_is_the_end(self):
        run = {"id": 7, "outcome": "failed", "exit_code": 5, "error": "gone"}
        raised, _ = self.run_with({"job": "a", "deferrable": True}, run)
        self.assertEqual(type(raised), AirflowFailException)
        self.assertIn("gone", str(raised))

    def test_the_trigger_bears_a_store_that_is_away(self):
        answers = [(1, ""), (0, {"id": 7, "outcome": "running"}), (0, {"id": 7, "outcome": "done", "each_file": [1]})]
        trigger = PortolanTrigger(run=7, poll_interval=0.01)

        async def ask(_):
            code, run = answers.pop(0)
            return (None, "away") if code else ({k: v for k, v in run.items() if k != "each_file"}, "")

        async def first():
            with mock.patch.object(trigger, "_ask", ask):
                async for event in trigger.run():
                    return event.payload

        self.assertEqual(asyncio.run(first()), {"run": {"id": 7, "outcome": "done"}})

    def test_the_trigger_gives_up_in_the_end(self):
        trigger = PortolanTrigger(run=7, program="/nowhere/portolan", poll_interval=0.001)

        async def first():
            async for event in trigger.run():
                return event.payload

        self.assertIn("run 7 cannot be followed", asyncio.run(first())["error"])

    def test_the_end_of_the_trigger_is_that_of_the_task(self):
        operator = PortolanOperator(task_id="t", job="a", deferrable=True)
        run = {"id": 7, "outcome": "done", "exit_code": 0}
        self.assertEqual(operator.execute_complete({}, {"run": run}), run)
        with self.assertRaises(AirflowException):
            operator.execute_complete({}, {"error": "away"})


class Package(unittest.TestCase):
    """What Airflow is told of the package."""

    def test_airflow_accepts_what_it_is_told(self):
        self.assertEqual(get_provider_info()["package-name"], "airflow-provider-portolan")
        self.assertEqual(command.PRINTED_MAX, 100)


if __name__ == "__main__":
    unittest.main()
