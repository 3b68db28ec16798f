"""A PostgreSQL of the tests' own: made by the machine's binaries in a folder of its own, and gone with the test run."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import psycopg

USER = "genkan"
QUICK = ("fsync=off", "full_page_writes=off", "max_connections=60", "shared_buffers=64MB")
"""The machine does not go down under the tests, so no commit has to wait for the disk."""


def binaries() -> Path:
    """Where the newest PostgreSQL of this machine is."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4].split(".")[0])
    )
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    assert initdb, "PostgreSQL is needed: apt-get install postgresql"
    return Path(initdb).parent


class Cluster:
    """One server. It listens on a socket in its folder only."""

    def __init__(self, settings: Sequence[str] = QUICK) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="genkan-pg-"))
        # PostgreSQL refuses to be root.
        self._as = pwd.getpwnam("postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name)
        if os.getuid() == 0:
            os.chown(self.folder, self._as.pw_uid, self._as.pw_gid)
        self._bin = binaries()
        self._run(
            "initdb", "-D", self._data, "-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"
        )
        self._settings = settings
        self.start()
        atexit.register(self.remove)

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def url(self, database: str = "postgres") -> str:
        """The address of a database in it."""
        return f"postgresql://{USER}@/{database}?host={self.folder}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [f"-k {self.folder}", "-c listen_addresses=''", *(f"-c {s}" for s in self._settings)]
        self._run(
            "pg_ctl", "start", "-w", "-D", self._data, "-l", str(self.folder / "log"), "-o", " ".join(options)
        )

    def stop(self, how: str = "fast") -> None:
        """Stop it: `smart`, `fast` or `immediate`."""
        self._run("pg_ctl", "stop", "-w", "-D", self._data, "-m", how)

    def kill(self) -> None:
        """Kill every process of it at once, as a machine that fails does."""
        pid = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for process in (pid, *map(int, children)):
            os.kill(process, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text():
            pass

    def remove(self) -> None:
        """Stop it if it runs, and delete its folder."""
        if self.folder.exists():
            subprocess.run(
                [self._bin / "pg_ctl", "stop", "-D", self._data, "-m", "immediate"],
                capture_output=True, check=False, user=self._as.pw_uid, cwd="/",
            )  # fmt: skip
            shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._bin / program, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False, timeout=60, user=self._as.pw_uid, group=self._as.pw_gid, cwd="/",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


@cache
def cluster() -> Cluster:
    """The server that the tests of this process share."""
    return Cluster()


def emptied(schema: str) -> str:
    """The address of a database in which this schema is not."""
    with psycopg.connect(cluster().url(), autocommit=True) as connection:
        connection.execute("SET client_min_messages = error")
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())
    return cluster().url()
