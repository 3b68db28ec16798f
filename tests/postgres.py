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

    def __init__(self, settings: Sequence[str] = QUICK, follows: Cluster | None = None) -> None:
        """`follows`: the primary of which this is a standby."""
        self.folder = Path(tempfile.mkdtemp(prefix="genkan-pg-"))
        # PostgreSQL refuses to be root.
        self._as = pwd.getpwnam("postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name)
        if os.getuid() == 0:
            os.chown(self.folder, self._as.pw_uid, self._as.pw_gid)
        self._bin = binaries()
        if follows is None:
            self._run(
                "initdb", "-D", self._data, "-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"
            )
        else:
            self._run(
                "pg_basebackup", "-D", self._data, "-h", str(follows.folder), "-U", USER,
                "-R", "-X", "stream", "-c", "fast", "-N",
            )  # fmt: skip
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

    def promote(self) -> None:
        """Make a standby the primary."""
        self._run("pg_ctl", "promote", "-w", "-D", self._data)

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


class Pair:
    """A primary, and a standby that has written down whatever a client was told."""

    def __init__(self) -> None:
        self.primary = Cluster()
        self.standby = Cluster(follows=self.primary)
        with psycopg.connect(self.primary.url(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            while not connection.execute(
                "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
            ).fetchone():
                pass

    def url(self, database: str = "postgres") -> str:
        """The address of whichever of the two can be written to."""
        hosts = f"{self.primary.folder},{self.standby.folder}"
        return f"postgresql://{USER}@/{database}?host={hosts}&target_session_attrs=read-write"

    def remove(self) -> None:
        self.primary.remove()
        self.standby.remove()


class Pooler:
    """PgBouncer in transaction mode, before a cluster: few connections for many."""

    SIZE = 3

    def __init__(self, cluster: Cluster) -> None:
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "PgBouncer is needed: apt-get install pgbouncer"
        self.folder = Path(tempfile.mkdtemp(prefix="genkan-pgb-"))
        (self.folder / "users").write_text(f'"{USER}" ""\n')
        (self.folder / "ini").write_text(
            f"[databases]\n* = host={cluster.folder}\n[pgbouncer]\npool_mode = transaction\n"
            f"default_pool_size = {self.SIZE}\nlisten_port = 6432\nunix_socket_dir = {self.folder}\n"
            f"auth_type = trust\nauth_file = {self.folder}/users\nlogfile = {self.folder}/log\n"
        )
        account = pwd.getpwnam("postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name)
        for path in (self.folder, *self.folder.iterdir()):
            os.chown(path, account.pw_uid, account.pw_gid)
        self._process = subprocess.Popen(
            [program, "-q", self.folder / "ini"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            user=account.pw_uid, group=account.pw_gid, cwd="/",
        )  # fmt: skip
        while not (self.folder / ".s.PGSQL.6432").exists():
            assert self._process.poll() is None, (self.folder / "log").read_text()
        atexit.register(self.remove)

    def url(self, database: str = "postgres") -> str:
        """The address of a database behind it."""
        return f"postgresql://{USER}@/{database}?host={self.folder}&port=6432"

    def remove(self) -> None:
        """Stop it, and delete its folder."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


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
