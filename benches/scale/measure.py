#!/usr/bin/env python3
"""The scheduler with many jobs and a long history: time to ready, memory, idle processor time, latency of pages.

    PORTOLAN_SCALE_PROGRAM   the program to measure                    target/release/portolan
    PORTOLAN_SCALE_JOBS      the number of jobs                        1000
    PORTOLAN_SCALE_RUNS      the number of runs in history             10000
    PORTOLAN_SCALE_IDLE      the seconds of idling that are measured   10
    PORTOLAN_SCALE_REQUESTS  the requests for each page                20

It needs nothing but python3, writes into a temporary directory, and prints one line for each figure.
"""

import http.client
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def number(name, usual):
    return int(os.environ.get(f"PORTOLAN_SCALE_{name}", usual))


PROGRAM = Path(os.environ.get("PORTOLAN_SCALE_PROGRAM", "target/release/portolan")).absolute()
JOBS, RUNS = number("JOBS", 1000), number("RUNS", 10000)
IDLE, REQUESTS = number("IDLE", 10), number("REQUESTS", 20)

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo"]

# Most jobs are nightly, some run every hour, and none of them while this measures.
HEAD = """[runner]
state = "state"
listen = "127.0.0.1:0"
anonymous_read = true
retention = { runs = 1000000, total = 10000000, age = "3650d" }
"""


def jobs_file():
    parts = [HEAD]
    for job in range(JOBS):
        cron = "59 * * * *" if job % 100 == 99 else "H H(0-22) * * *"
        more = f'after = ["job-{job - 1}"]\n' if job % 20 == 19 else ""
        parts.append(
            f'[[job]]\nname = "job-{job}"\nscript = "s.rhai"\ncron = "{cron}"\n'
            f'timezone = "{ZONES[job % 4]}"\nretries = 3\ntags = ["t{job % 7}"]\n{more}'
        )
    return "\n".join(parts)


class Scheduler:
    """`portolan serve` in a process of its own."""

    def __init__(self, folder):
        self.began = time.monotonic()
        self.log = open(folder / "log", "w+")
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--jobs", "portolan.toml"], cwd=folder, stdout=self.log, stderr=self.log
        )
        self.folder, self.ready, self.address = folder, None, None
        while self.ready is None:
            text = (folder / "log").read_text()
            if "jobs, state in" in text:
                self.ready = time.monotonic() - self.began
            elif self.process.poll() is not None:
                sys.exit(f"the scheduler ended: {text}")
            time.sleep(0.002)
        self.address = re.search(r"page at http://([^/\s]+)/", text).group(1)

    def status(self, name):
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", text).group(1)) / 1024

    def processor(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def get(self, path):
        began = time.monotonic()
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, len(body), time.monotonic() - began

    def stop(self):
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        return time.monotonic() - began


def settled(scheduler):
    """Waits until the scheduler has nothing more to do than to wait, and returns the seconds since its start."""
    before = scheduler.processor()
    while True:
        time.sleep(0.3)
        now = scheduler.processor()
        if now - before < 0.05:
            return time.monotonic() - scheduler.began
        before = now


def fill(folder):
    """Writes the history: the newest run now, one second apart, one in fifty failed, three of ten skipped."""
    store = sqlite3.connect(folder / "state" / "portolan.db")
    now = int(time.time() * 1000)
    store.execute(
        """INSERT INTO runs (id, job, revision, slot, script, cause, scheduled_for, decided_at, started_at, ended_at,
            outcome, reason, covers, attempts, files, bytes, fallbacks, error)
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
        SELECT i, 'job-' || (i % ?2), 'r', 'U' || i, 's.rhai', 'schedule', ?3 - (?1 - i) * 1000, ?3 - (?1 - i) * 1000,
            ?3 - (?1 - i) * 1000, ?3 - (?1 - i) * 1000 + i % 9000,
            CASE WHEN i % 50 = 7 THEN 'failed' WHEN i % 10 < 3 THEN 'skipped' ELSE 'done' END,
            CASE WHEN i % 10 < 3 THEN 'still running' END, 1, 1, i % 100, i * 1000, 0,
            CASE WHEN i % 50 = 7 THEN '421 too many connections from this address' END FROM n""",
        (RUNS, JOBS, now),
    )
    store.execute("UPDATE job_states SET health = CASE WHEN abs(random()) % 50 = 0 THEN 'bad' ELSE 'good' END")
    store.commit()
    store.close()


PAGES = [
    "/", "/?q=job-77", "/?state=failing", "/?state=paused", f"/?cursor=job-{JOBS // 2}", "/jobs/job-7",
    "/runs", f"/runs?cursor={RUNS // 2}", "/runs?failed=true", "/runs?outcome=partial", "/runs?since=1h",
    "/runs?until=2001-01-01", "/runs?since=2000-01-01&failed=true", "/runs?until=1h&outcome=partial",
    "/runs?job=job-7", "/runs?job=job-7&since=24h&failed=true", f"/runs/{RUNS // 2}", "/calendar", "/servers",
    "/api/v1/jobs", "/api/v1/jobs?limit=1000", "/api/v1/jobs/job-7", "/api/v1/jobs/jb-7", "/api/v1/runs?limit=1000",
    "/api/v1/next", "/api/v1/next?hours=744&limit=1000", "/metrics",
]


def main():
    folder = Path(tempfile.mkdtemp(prefix="portolan-scale-"))
    text = jobs_file()
    (folder / "portolan.toml").write_text(text)
    (folder / "s.rhai").write_text("")
    print(f"{JOBS} jobs ({len(text) / 1e6:.1f} MB), {RUNS} runs, {PROGRAM}")
    began = time.monotonic()
    subprocess.run([PROGRAM, "check", "portolan.toml"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    print(f"check: {time.monotonic() - began:.2f} s")

    first = Scheduler(folder)
    print(f"ready, without a store: {first.ready:.2f} s; at rest after {settled(first):.2f} s")
    first.stop()
    began = time.monotonic()
    fill(folder)
    size = (folder / "state" / "portolan.db").stat().st_size / 1e6
    print(f"history written in {time.monotonic() - began:.1f} s, {size:.0f} MB")

    scheduler = Scheduler(folder)
    print(f"ready: {scheduler.ready:.2f} s; at rest after {settled(scheduler):.2f} s")
    print(f"resident: {scheduler.status('VmRSS'):.0f} MiB, at most {scheduler.status('VmHWM'):.0f} MiB")
    before = scheduler.processor()
    time.sleep(IDLE)
    print(f"processor while idle: {(scheduler.processor() - before) / IDLE * 100:.2f} % of a core")
    for path in PAGES:
        answers = [scheduler.get(path) for _ in range(REQUESTS)]
        times = sorted(took for _, _, took in answers)
        status, bytes_, _ = answers[0]
        p50, p99 = times[len(times) // 2], times[min(len(times) - 1, len(times) * 99 // 100)]
        print(f"{p50 * 1000:8.1f} ms {p99 * 1000:8.1f} ms {bytes_:9} bytes {status} {path}")
    before, began = scheduler.processor(), time.monotonic()
    (folder / "portolan.toml").write_text(text.replace("retries = 3", "retries = 4"))
    while "was read again" not in (folder / "log").read_text() and time.monotonic() - began < 120:
        time.sleep(0.02)
    print(f"reload: {time.monotonic() - began:.2f} s after the change, {scheduler.processor() - before:.2f} s of processor")
    print(f"stopped in {scheduler.stop():.2f} s")


main()
