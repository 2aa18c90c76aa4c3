#!/usr/bin/env python3
"""A fleet on PostgreSQL: start with many jobs, an idle fleet, runs a second and their lateness, dead machines; job queues beside.

    PORTOLAN_FLEET_PROGRAM   the program to measure                             target/release/portolan
    PORTOLAN_FLEET_SERVERS   where tests/servers/install has put PostgreSQL     target/test-servers
    PORTOLAN_FLEET_JOBS      the jobs of the start and of the idle fleet        1000
    PORTOLAN_FLEET_MACHINES  the machines of the idle fleet                     10
    PORTOLAN_FLEET_RATE      the runs that are due each second                  10
    PORTOLAN_FLEET_SECONDS   the seconds that each part is measured             20
    PORTOLAN_FLEET_LEASE     the lease in seconds, of dead machines             6
    PORTOLAN_FLEET_PEERS     a folder with graphile-worker and pg-boss from npm (npm install graphile-worker@0.17 pg-boss@10)
    PORTOLAN_FLEET_PEER_RATE the jobs a second that the peers are given         1000
    PORTOLAN_FLEET_PARTS     start,idle,rate,dead,peers                         all of them

It needs python3, and node for the peers; it writes into a temporary directory, starts PostgreSQL with fsync on at a free
port of loopback, and prints one line for each figure. Every program that it starts has ended when it ends.
"""

import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent


def setting(name, usual):
    return os.environ.get(f"PORTOLAN_FLEET_{name}", usual)


PROGRAM = Path(setting("PROGRAM", "target/release/portolan")).absolute()
SERVERS = Path(setting("SERVERS", "target/test-servers")).absolute()
JOBS, MACHINES, RATE = int(setting("JOBS", 1000)), int(setting("MACHINES", 10)), int(setting("RATE", 10))
SECONDS, LEASE, PEER_RATE = int(setting("SECONDS", 20)), int(setting("LEASE", 6)), int(setting("PEER_RATE", 1000))
PEERS, PARTS = setting("PEERS", ""), setting("PARTS", "start,idle,rate,dead,peers").split(",")
TICKS = os.sysconf("SC_CLK_TCK")
#: The time after which whatever is waited for counts as lost.
WAIT_MAX = 300


def say(text):
    print(text, flush=True)


def times(process):
    """Returns the processor time of a process with its children that have ended, in seconds."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        # Nanoseconds of each thread: short turns are lost in ticks.
        threads = [(task / "schedstat").read_text() for task in Path(f"/proc/{process}/task").iterdir()]
    except OSError:
        return 0
    ended = sum(int(field) for field in fields[13:15]) / TICKS
    return ended + sum(int(thread.split()[0]) for thread in threads) / 1e9


def children(process):
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


def processor(process):
    """Returns the processor time of a process and of all below it."""
    return times(process) + sum(processor(child) for child in children(process))


def resident(process):
    text = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", text).group(1)) / 1024


def until(found, what):
    """Waits for what `found` returns."""
    ends = time.monotonic() + WAIT_MAX
    while time.monotonic() < ends:
        value = found()
        if value:
            return value
        time.sleep(0.05)
    raise SystemExit(f"{what}: not within {WAIT_MAX} s")


def at_rest(process):
    """Waits until a process has nothing more to do than to wait, and returns the time of that."""
    began, before = time.monotonic(), processor(process)
    while True:
        time.sleep(0.3)
        now = processor(process)
        if now - before < 0.05:
            return began
        began, before = time.monotonic(), now


class Postgres:
    """A server with an empty database for each part, as another user than root."""

    def __init__(self, folder):
        programs = next(SERVERS.glob("usr/lib/postgresql/*/bin"), None)
        if programs is None:
            raise SystemExit(f"there is no PostgreSQL in {SERVERS}: tests/servers/install fetches it")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.folder, prefix = folder / "postgres", []
        self.folder.mkdir()
        if os.getuid() == 0:
            user = pwd.getpwnam("nobody")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
            if subprocess.run([*prefix, "test", "-x", programs / "postgres"], check=False).returncode:
                os.chown(self.folder, 0, 0)
                prefix = ["unshare", "--user", "--map-user=65534"]
        data, log = self.folder / "data", open(folder / "postgres.log", "w")
        options = {"stdout": log, "stderr": log, "cwd": "/"}
        words = [programs / "initdb", "-D", data, "-A", "trust", "-U", "portolan", "-E", "UTF8", "--no-locale"]
        subprocess.run([*prefix, *words], check=True, **options)
        words = [programs / "postgres", "-D", data, "-k", self.folder, "-p", str(self.port)]
        words += ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=400"]
        self.server = subprocess.Popen([*prefix, *words], **options)
        until(lambda: "ready to accept connections" in (folder / "postgres.log").read_text(), "PostgreSQL")

    def sql(self, text, database="postgres"):
        """Runs a statement, in the words of the protocol: there is no client here. Returns the first column."""
        with socket.create_connection(("127.0.0.1", self.port)) as stream:
            start = b"\0\3\0\0user\0portolan\0database\0" + database.encode() + b"\0\0"
            stream.sendall((len(start) + 4).to_bytes(4, "big") + start)
            body = text.encode() + b"\0"
            stream.sendall(b"Q" + (len(body) + 4).to_bytes(4, "big") + body + b"X\0\0\0\4")
            answer = b""
            while part := stream.recv(65536):
                answer += part
        values = []
        while answer:
            kind, length = answer[:1], int.from_bytes(answer[1:5], "big")
            if kind == b"E":
                raise SystemExit(f"{text}: {answer[5:length + 1]}")
            if kind == b"D":
                size = int.from_bytes(answer[7:11], "big")
                values.append(answer[11 : 11 + size].decode())
            answer = answer[length + 1 :]
        return values

    def database(self, name):
        self.sql(f"CREATE DATABASE {name}")
        return f"postgres://portolan@127.0.0.1:{self.port}/{name}?sslmode=disable"

    def transactions(self, name):
        return int(self.sql(f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{name}'")[0])

    def load(self, database, seconds):
        """Returns the share of a core and the transactions a second that the server takes for `seconds`."""
        before, count, began = processor(self.server.pid), self.transactions(database), time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        share = (processor(self.server.pid) - before) / took * 100
        return f"{share:.1f} % of a core, {(self.transactions(database) - count) / took:.0f} transactions/s"

    def stop(self):
        self.server.send_signal(signal.SIGQUIT)
        self.server.wait()


class Fleet:
    """Machines that share a jobs file and a database."""

    def __init__(self, folder, server, name, text):
        self.folder, self.name, self.address = folder / name, name, server.database(name)
        self.folder.mkdir()
        (self.folder / "portolan.toml").write_text(f'[runner]\nstore = "{self.address}"\n{text}')
        (self.folder / "nothing.rhai").write_text("")
        (self.folder / "long.rhai").write_text("sleep(600.0);")
        self.machines, self.begun = {}, {}

    def start(self, name, *more):
        log = open(self.folder / f"{name}.log", "w")
        words = [PROGRAM, "serve", "--name", name, "--state", self.folder / f"state-{name}", *more]
        self.begun[name] = time.monotonic()
        self.machines[name] = subprocess.Popen(words, cwd=self.folder, stdout=log, stderr=log)

    def ready(self, name):
        """Waits until a machine has joined, and returns the seconds since its start."""
        def joined():
            if self.machines[name].poll() is not None:
                raise SystemExit(f"{name} has ended: {(self.folder / f'{name}.log').read_text()}")
            return "shares the schedule" in (self.folder / f"{name}.log").read_text()
        until(joined, name)
        return time.monotonic() - self.begun[name]

    def ask(self, *words):
        done = subprocess.run(
            [PROGRAM, "--json", *words, "--store", self.address], cwd="/", check=False, capture_output=True, text=True
        )
        try:
            return json.loads(done.stdout or "[]")
        except ValueError:
            return []

    def leader(self):
        leads = (row["name"] for row in self.ask("machines") if row["role"] == "leader" and row["alive"])
        return next(leads, None)

    def processor(self):
        return sum(processor(machine.pid) for machine in self.machines.values())

    def kill(self, name):
        machine = self.machines.pop(name)
        machine.kill()
        machine.wait()
        return time.monotonic()

    def stop(self):
        for machine in self.machines.values():
            machine.send_signal(signal.SIGTERM)
        for machine in self.machines.values():
            try:
                machine.wait(timeout=60)
            except subprocess.TimeoutExpired:
                machine.kill()
                machine.wait()
        self.machines.clear()


def job(name, cron, script="nothing", more=""):
    return f'[[job]]\nname = "{name}"\nscript = "{script}.rhai"\ncron = "{cron}"\n{more}\n'


def seconds(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def rank(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def measure_start(folder, server):
    """The first machine with many jobs, on an empty database and on one that knows them."""
    text = "".join(job(f"job-{number}", "H H(0-22) * * *") for number in range(JOBS))
    fleet = Fleet(folder, server, "start", text)
    try:
        for place in ["an empty database", "a database that knows them"]:
            before = processor(server.server.pid)
            fleet.start("one")
            ready = fleet.ready("one")
            until(lambda: fleet.leader() == "one", "a leader")
            leads = time.monotonic() - fleet.begun["one"]
            rest = at_rest(fleet.machines["one"].pid) - fleet.begun["one"]
            took = processor(server.server.pid) - before
            memory = resident(fleet.machines["one"].pid)
            say(f"start: {JOBS} jobs, {place}: joined {ready:.2f} s, leads {leads:.2f} s, at rest {rest:.2f} s, {memory:.0f} MiB, "
                f"{took:.2f} s of the database")
            fleet.stop()
    finally:
        fleet.stop()


def measure_idle(folder, server):
    """A fleet with nothing to do."""
    text = "".join(job(f"job-{number}", "0 0 29 2 *") for number in range(JOBS))
    fleet = Fleet(folder, server, "idle", text)
    try:
        for number in range(MACHINES):
            fleet.start(f"m{number}")
        for name in list(fleet.machines):
            fleet.ready(name)
        until(fleet.leader, "a leader")
        time.sleep(5)
        before = fleet.processor()
        load = server.load("idle", SECONDS)
        share = (fleet.processor() - before) / SECONDS * 100
        say(f"idle: {MACHINES} machines, {JOBS} jobs: database {load}; all machines {share:.1f} % of a core")
    finally:
        fleet.stop()


def measure_rate(folder, server):
    """Runs that do nothing, all due at the same moment of each second; each is a process."""
    text = "max_running = 64\n" + "".join(job(f"job-{number}", "* * * * * *") for number in range(RATE))
    fleet = Fleet(folder, server, "rate", text)
    try:
        for number in range(3):
            fleet.start(f"m{number}")
            fleet.ready(f"m{number}")
        until(lambda: any(run["outcome"] == "done" for run in fleet.ask("runs", "--limit", "10")), "a run")
        time.sleep(3)
        before, began = fleet.processor(), time.time()
        load = server.load("rate", SECONDS)
        share, ended = (fleet.processor() - before) / SECONDS * 100, time.time()
        time.sleep(5)
        runs = fleet.ask("runs", "--limit", str(RATE * (SECONDS + 20)))
        due = [run for run in runs if run["scheduled_for"] and began <= seconds(run["scheduled_for"]) <= ended]
        late = [seconds(run["started_at"]) - seconds(run["scheduled_for"]) for run in due if run["started_at"]]
        # History has the start as the leader decides it; the end is that of the process.
        end = [seconds(run["ended_at"]) - seconds(run["scheduled_for"]) for run in due if run["outcome"] == "done"]
        done = sum(run["outcome"] == "done" for run in due)
        skipped = sum(run["outcome"] == "skipped" for run in due)
        late, end = late or [float("nan")], end or [float("nan")]
        say(f"rate: {RATE} due a second on 3 machines: {done / SECONDS:.1f} done/s, {skipped} skipped, late p50 "
            f"{rank(late, 0.5) * 1000:.0f} ms, p99 {rank(late, 0.99) * 1000:.0f} ms, ended p50 {rank(end, 0.5) * 1000:.0f} ms, p99 {rank(end, 0.99) * 1000:.0f} ms after "
            f"their slot; database {load}; machines {share:.0f} % of a core")
    finally:
        fleet.stop()


def measure_dead(folder, server):
    """The time until what a dead machine ran begins again."""
    text = f'lease = "{LEASE}s"\n' + job("long", "0 0 29 2 *", "long", 'needs = { place = "x" }')
    for has_lease in [False, True]:
        fleet = Fleet(folder, server, f"dead{int(has_lease)}", text)
        try:
            # The leader runs it, or one of two others does.
            fleet.start("first", *(["--label", "place=x"] if has_lease else []))
            fleet.ready("first")
            until(lambda: fleet.leader() == "first", "a leader")
            if not has_lease:
                fleet.start("second", "--label", "place=x")
                fleet.ready("second")
            until(lambda: fleet.ask("trigger", "long").get("id"), "a run")
            running = lambda: next((run for run in fleet.ask("runs", "--limit", "1") if run["outcome"] == "running"), None)
            machine = until(running, "the run")["machine"]
            fleet.start("other", "--label", "place=x")
            fleet.ready("other")
            time.sleep(1)
            killed = fleet.kill(machine)
            until(lambda: (run := running()) and run["machine"] == "other" and run["attempts"] > 1, "the run again")
            took = time.monotonic() - killed
            who = "the machine that leads" if has_lease else "another machine"
            say(f"dead: {who}: its run began again after {took:.1f} s, {took / LEASE:.2f} leases of {LEASE} s")
        finally:
            fleet.stop()


def measure_peers(_, server):
    """Job queues on the same server, whose jobs are functions in one process of node."""
    if not PEERS:
        return say("peers: PORTOLAN_FLEET_PEERS names no folder with them")
    for peer in ["graphile-worker", "pg-boss"]:
        database = peer.replace("-", "_")
        address = server.database(database)
        words = ["node", HERE / "peers.cjs", peer, address, str(PEER_RATE), str(SECONDS)]
        before = processor(server.server.pid)
        done = subprocess.run(words, cwd=PEERS, check=False, capture_output=True, text=True, timeout=WAIT_MAX)
        if done.returncode:
            say(f"peers: {peer} has failed: {done.stderr.strip()[-300:]}")
            continue
        figures = json.loads(done.stdout.splitlines()[-1])
        share = (processor(server.server.pid) - before) / figures["seconds"] * 100
        say(f"peers: {peer} {figures['version']}, {PEER_RATE} jobs/s added: {figures['done'] / figures['seconds']:.0f} done/s, late p50 "
            f"{figures['p50']:.0f} ms, p99 {figures['p99']:.0f} ms; database {share:.1f} % of a core; node {figures['processor']:.0f} %")


def main():
    folder = Path(tempfile.mkdtemp(prefix="portolan-fleet-"))
    folder.chmod(0o755)
    say(f"{PROGRAM}, load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    server = Postgres(folder)
    try:
        for part in PARTS:
            globals()[f"measure_{part}"](folder, server)
    finally:
        server.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
