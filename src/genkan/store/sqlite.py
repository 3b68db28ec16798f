"""
A tenant's database in one SQLite file.

Connects, owns the file, and reads. What every database does is in `tenant`, how work is committed here in `wal`.
Source: docs/explanation/architecture.md; sqlite.org/wal.html; security requirements KEY-02, PII-06, TIM-01, TIM-03.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Final, TypeVar

from genkan.engine.transaction import StoreUnavailable
from genkan.store import documents, sql
from genkan.store.migrations import expect_schema, migrate
from genkan.store.sealing import CannotOpen, KeyPurpose, Keys, Sealer, sync_folder
from genkan.store.tenant import Reader, Store, check_owner, claim
from genkan.store.wal import WalBatches

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

T = TypeVar("T")

BUSY: Final = timedelta(milliseconds=250)
"""How long to wait for a stranger's lock on the file. The loop stands still meanwhile."""


class InUse(CannotOpen):
    """Another process owns the database."""

    def __init__(self, text: str, path: Path, owner: str) -> None:
        super().__init__(text)
        self.path = path
        self.owner = owner
        """Its process id."""


class SqliteReader(Reader):
    """A tenant's database, to be read only: also beside the process that owns the file."""

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        tenant_id: str,
        sealer: Sealer,
        clock: Callable[[], datetime],
        chain_key: bytes,
    ) -> None:
        """Use what `peek` or `open` has prepared."""
        super().__init__(tenant_id, sealer, clock, chain_key)
        self._connect = connect
        self._reader: sqlite3.Connection | None = None
        self._committed = documents.read(self._reading().execute, None, tenant_id)

    @classmethod
    def peek(cls, path: Path, tenant_id: str, keys: Keys, clock: Callable[[], datetime]) -> SqliteReader:
        """
        Look into a tenant's database, whoever owns it.

        Raises: `CannotOpen`: not there, of another tenant, under another master key, of another schema, or none.
        """
        if not path.exists():
            raise CannotOpen(
                f"There is no database {path}. Name the folder of a deployment with --data, "
                f"or start one: genkan dev"
            )
        sealer = Sealer(keys.of(KeyPurpose.SEALING, tenant_id), tenant_id)
        try:
            connection = _connect(path)
            try:
                expect_schema(connection.execute, str(path))
                check_owner(connection.execute, str(path), tenant_id, keys)
            finally:
                connection.close()
            return cls(lambda: _connect(path), tenant_id, sealer, clock, keys.of(KeyPurpose.AUDIT, tenant_id))
        except sqlite3.Error as error:
            raise _unreadable(path, error) from error

    @staticmethod
    def tenant_of(path: Path) -> str | None:
        """
        Return the id of the tenant whose database this is; None when it is nobody's or no database of Genkan.

        Raises: `CannotOpen` when it cannot be read at all.
        """
        try:
            connection = _connect(path)
            try:
                found = connection.execute(sql.META, ("tenant",)).fetchone()
            finally:
                connection.close()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise _unreadable(path, error) from error
        except sqlite3.Error as error:
            raise _unreadable(path, error) from error
        return found[0] if found else None

    async def close(self) -> None:
        """Let go of the file. Done again it does nothing."""
        self._closed = True
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _reading(self) -> sqlite3.Connection:
        if self._reader is None:
            self._reader = self._connect()
            self._reader.execute("PRAGMA query_only = ON")
        return self._reader

    async def _read(self, load: Callable[[sql.Execute], T]) -> T:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        try:
            reader = self._reading()
            reader.execute("BEGIN")
            try:
                return load(reader.execute)
            finally:
                reader.execute("ROLLBACK")
        except sqlite3.Error as error:
            if self._reader is not None:
                self._reader.close()
                self._reader = None
            raise StoreUnavailable(str(error)) from error


class SqliteStore(SqliteReader, Store):
    """One tenant's database. To be used from one event loop, by one process at a time."""

    is_shared = False

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        tenant_id: str,
        sealer: Sealer,
        clock: Callable[[], datetime],
        chain_key: bytes,
        lock: IO[str],
    ) -> None:
        """Use what `open` has prepared."""
        super().__init__(connect, tenant_id, sealer, clock, chain_key)
        self._known = self._committed
        self._lock = lock
        self._batches = WalBatches(connect, began=self._begin, committed=self._publish)

    @classmethod
    def open(cls, path: Path, tenant_id: str, keys: Keys, clock: Callable[[], datetime]) -> SqliteStore:
        """
        Open the tenant's database: made when there is none, and brought to the present schema.

        Raises: `CannotOpen`: in use, of another tenant, under another master key, of a newer schema, or no database.
        """
        sealer = Sealer(keys.of(KeyPurpose.SEALING, tenant_id), tenant_id)
        with ExitStack() as undo:
            lock = undo.enter_context(_lock(path))
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                sync_folder(path.parent)
            try:
                connection = _connect(path)
                undo.callback(connection.close)
                connection.execute("BEGIN IMMEDIATE")
                migrate(connection.execute, str(path), "sqlite")
                claim(connection.execute, str(path), tenant_id, keys)
                connection.execute("COMMIT")
                chain_key = keys.of(KeyPurpose.AUDIT, tenant_id)
                store = cls(lambda: _connect(path), tenant_id, sealer, clock, chain_key, lock)
                connection.close()
            except sqlite3.Error as error:
                raise _unreadable(path, error) from error
            undo.pop_all()
            return store

    async def close(self) -> None:
        """Finish what waits, bring everything into the one file, and let go of it. Done again it does nothing."""
        if self._closed:
            return
        await super().close()
        await self._batches.close()
        self._lock.close()

    async def give_back_leases(self) -> None:
        """
        Make due what was leased, at the start of a process: who leased it before is gone, and it is doubtful.

        One process owns the file, so nobody is sending it; to wait for the lease's end would cost a code a fifth of
        its life.
        """
        await self._work(lambda execute: execute(sql.GIVE_ALL_BACK, ()))


def _connect(path: Path) -> sqlite3.Connection:
    """Connect to the file, which must be there."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY.total_seconds(),
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        for setting in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "wal_autocheckpoint = 0",
            "cache_size = -16384",
            "foreign_keys = ON",
            "trusted_schema = OFF",
        ):
            connection.execute(f"PRAGMA {setting}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _for_owner(path: str, flags: int) -> int:
    """Open a file that, when it is made, is its owner's only."""
    return os.open(path, flags, 0o600)


def _lock(path: Path) -> IO[str]:
    """
    Return the open lock file beside a database; it is locked until it is closed or the process ends.

    Raises: `CannotOpen`.
    """
    try:
        file = open(path.with_name(f"{path.name}.lock"), "a+", encoding="utf-8", opener=_for_owner)  # noqa: SIM115 - it is the lock, held as long as the store
    except OSError as error:
        raise CannotOpen(
            f"The database {path} cannot be opened: {error}. See to it that its folder exists and is writable."
        ) from error
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise InUse(
            f"The database {path} is in use by another Genkan, process {owner}. Stop that one first, or give this "
            f"one another database: one process owns the file.",
            path,
            owner,
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _unreadable(path: Path, error: sqlite3.Error) -> CannotOpen:
    return CannotOpen(
        f"The database {path} cannot be opened: {error}. See to it that the file is a database of "
        f"Genkan, that its folder is writable and its disk not full."
    )
