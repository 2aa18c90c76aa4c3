"""Running portolan as a process whose output is logged while it comes."""

from __future__ import annotations

import collections
import logging
import subprocess
import threading

from airflow_provider_portolan.command import LINE_BYTES_MAX, Command, Output

#: The time that portolan has to end its transfers after SIGTERM, before it is killed.
STOP_SECONDS = 60


class Process:
    """A command of portolan in progress."""

    def __init__(self, command: Command, log: logging.Logger) -> None:
        self.log = log
        self.errors: collections.deque[str] = collections.deque(maxlen=20)
        self.output = Output()
        # The command line has no secrets, and the environment, which has them, is not shown.
        log.info("running %s", " ".join(command.argv()))
        self.child = subprocess.Popen(
            command.argv(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=command.environ(),
            cwd=command.directory,
            text=True,
            encoding="utf-8",
            errors="replace",
        )

    def wait(self) -> tuple[dict, int]:
        """Waits for the end, and returns the result and the exit code."""
        reader = threading.Thread(target=self._read_errors, daemon=True)
        reader.start()
        with self.child.stdout as lines:
            while line := lines.readline(LINE_BYTES_MAX):
                shown = self.output.line(line.rstrip("\n"))
                if shown:
                    self.log.info("%s", shown)
        code = self.child.wait()
        reader.join(timeout=STOP_SECONDS)
        return self.output.result(), code

    def _read_errors(self) -> None:
        with self.child.stderr as lines:
            while line := lines.readline(LINE_BYTES_MAX):
                text = line.rstrip("\n")
                if text:
                    self.errors.append(text)
                    self.log.info("%s", text)

    def stop(self) -> None:
        """Asks it to stop at its next file, and kills it if it does not."""
        if self.child.poll() is not None:
            return
        self.child.terminate()
        try:
            self.child.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
