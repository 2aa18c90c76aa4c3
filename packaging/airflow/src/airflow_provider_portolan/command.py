"""The command line and the environment of portolan, and the meaning of how it ends. No Airflow in here."""

from __future__ import annotations

import dataclasses
import enum
import json
import os
from urllib.parse import quote, urlencode

#: The longest line of output that is read, and the most lines of a script's output that become a result.
LINE_BYTES_MAX = 1024 * 1024
PRINTED_MAX = 100


class Ending(enum.Enum):
    """What a task does after an exit code."""

    DONE = "done"
    RETRY = "retry"
    FAIL = "fail"


#: The exit codes that another attempt may cure: a temporary failure, a part of the files, an interruption. All others are
#: mistakes, permanent failures, stops by a guard, or bugs.
RETRIED = frozenset({4, 6, 130})


def ending(code: int) -> Ending:
    """Returns what a task does after an exit code; a process that a signal has ended has a negative one."""
    if code == 0:
        return Ending.DONE
    return Ending.RETRY if code in RETRIED or code < 0 else Ending.FAIL


def ending_of_run(run: dict) -> int:
    """Returns the exit code of a run of the scheduler, as `portolan trigger --wait` has it."""
    outcome = run.get("outcome")
    if outcome in ("done", "partial", "interrupted"):
        return {"done": 0, "partial": 6, "interrupted": 130}[outcome]
    code = run.get("exit_code")
    if run.get("error_kind") == "timeout" or not code:
        return 4
    return int(code)


def is_over(run: dict) -> bool:
    """Returns true for a run that neither waits nor is in progress, nor is a request that no scheduler has taken up."""
    return run.get("outcome") not in ("waiting", "running", "asked")


def may_go_on(run: dict) -> bool:
    """Returns true for a run that another machine of a fleet may go on with: the leader decides that within two leases."""
    return run.get("outcome") == "interrupted" and run.get("error_kind") == "interrupted"


@dataclasses.dataclass(frozen=True)
class Store:
    """The store that the machines of a fleet share; its password is never part of the address."""

    host: str
    port: int | None = None
    user: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    database: str | None = None
    options: dict[str, str] = dataclasses.field(default_factory=dict)

    def address(self) -> str:
        """Returns the address, without the password."""
        login = f"{quote(self.user, safe='')}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        query = f"?{urlencode(self.options)}" if self.options else ""
        return f"postgres://{login}{self.host}{port}/{quote(self.database or 'portolan', safe='')}{query}"


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of portolan."""

    words: tuple[str, ...]
    program: str = "portolan"
    store: Store | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    directory: str | None = None

    def argv(self) -> list[str]:
        """Returns the command line, in which no secret is."""
        return [self.program, "--json", "--no-progress", *self.words]

    def environ(self) -> dict[str, str]:
        """Returns the environment: that of this process, and the secrets of the command."""
        environ = dict(os.environ)
        if self.store is not None:
            environ["PORTOLAN_STORE"] = self.store.address()
            # One of the worker's own would be used for another database.
            environ.pop("PGPASSWORD", None)
            if self.store.password:
                environ["PGPASSWORD"] = self.store.password
        if self.password is not None:
            environ["PORTOLAN_PASSWORD"] = self.password
        return environ


def trigger_words(
    job: str,
    *,
    wait: bool,
    arguments: dict | None = None,
    slot: str | None = None,
    request: str | None = None,
    jobs: str | None = None,
    state: str | None = None,
) -> tuple[str, ...]:
    """Returns the words of `portolan trigger`; with `request` it follows an earlier one and asks for nothing."""
    words = ["trigger", *(["--wait"] if wait else [])]
    for key, value in (arguments or {}).items():
        text = value if isinstance(value, str) else json.dumps(value)
        words.append(f"--arg={key}={text}")
    words += _options(jobs=jobs, slot=slot, request=request, state=state)
    # What follows is a name, whatever it begins with.
    return (*words, "--", job)


def show_words(run: int, *, jobs: str | None = None, state: str | None = None) -> tuple[str, ...]:
    """Returns the words of `portolan show`."""
    return ("show", *_options(jobs=jobs, state=state), "--", str(run))


def run_words(
    script: str | None = None,
    script_args: list[str] | None = None,
    *,
    job: str | None = None,
    jobs: str | None = None,
    state: str | None = None,
) -> tuple[str, ...]:
    """Returns the words of `portolan run`, of a script or of a job in the foreground."""
    if script is None:
        return ("run", *_options(jobs=jobs, job=job, state=state))
    return ("run", *_options(state=state), "--", script, *(str(arg) for arg in script_args or []))


def _options(**options: str | None) -> list[str]:
    return [f"--{name}={value}" for name, value in options.items() if value is not None]


class Output:
    """What portolan has written: events, or one document."""

    def __init__(self) -> None:
        self.last: dict | None = None
        self.printed: list[str] = []

    def line(self, line: str) -> str | None:
        """Takes a line of standard output. Returns what a log shows of it."""
        try:
            value = json.loads(line)
        except ValueError:
            return line
        if not isinstance(value, dict):
            return line
        event = value.get("event")
        if event == "printed":
            text = str(value.get("text", ""))
            if len(self.printed) < PRINTED_MAX:
                self.printed.append(text)
            return text
        if event is None or event == "run_done":
            self.last = value
            return None
        return line

    def result(self) -> dict:
        """Returns the result for XCom: the last document, and what a script has printed."""
        result = dict(self.last or {})
        if self.printed:
            result["printed"] = self.printed
        return result


def reason(result: dict, errors: list[str]) -> str:
    """Returns why a command has failed, for the error of the task."""
    fault = result.get("fault")
    if isinstance(fault, dict):
        fault = fault.get("message")
    return str(result.get("error") or result.get("reason") or fault or " ".join(errors[-3:]) or "no reason given")
