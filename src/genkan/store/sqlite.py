"""
A tenant's database in one SQLite file.

Connects, and hands work to the batch. What is read and written is in `sql`, what is configured in `documents`, what
goes out in `outbox`.
Source: docs/explanation/architecture.md; sqlite.org/wal.html; security requirements KEY-02, PII-06, TIM-01, TIM-03.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from genkan.engine.messages import Detection, Directory, Document, Record, SignIn
from genkan.engine.queries import AuditQuery, Listed, Query
from genkan.engine.transaction import (
    Audited,
    Change,
    Decide,
    DetectionQuery,
    Loaded,
    Needs,
    Outgoing,
    Settled,
    SignInQuery,
    StoreUnavailable,
)
from genkan.model import Channel, Group, Subject
from genkan.store import chain, documents, outbox, people, sql
from genkan.store.batch import Batches
from genkan.store.chain import Chain, Chained
from genkan.store.migrations import expect_schema, migrate
from genkan.store.people import View
from genkan.store.sealing import CannotOpen, KeyPurpose, Keys, SealBroken, Sealer, sync_folder
from genkan.tokens.keys import SigningKey

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

T = TypeVar("T")

BUSY: Final = timedelta(milliseconds=250)
"""How long to wait for a stranger's lock on the file. The loop stands still meanwhile."""

SWEPT_AT_ONCE: Final = 500
"""Rows deleted in one transaction, so that nobody waits long for a sweep."""

OURS: Final = frozenset({"revision", "tenant", "seal"})
"""Names in `meta` that are the store's own."""


class InUse(CannotOpen):
    """Another process owns the database."""

    def __init__(self, text: str, owner: str) -> None:
        super().__init__(text)
        self.owner = owner
        """Its process id."""


class SqliteReader:
    """A tenant's database, to be read only: also beside the process that owns the file."""

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        tenant_id: str,
        sealer: Sealer,
        clock: Callable[[], datetime],
        chain_key: bytes,
    ) -> None:
        """Use what `open` has prepared."""
        self._connect = connect
        self._tenant = tenant_id
        self._sealer = sealer
        self._chain_key = chain_key
        self._clock = clock
        self._now = clock()
        self._closed = False
        self._reader: sqlite3.Connection | None = None
        self._committed = documents.read(self._reading().execute, None, tenant_id)
        """What is configured, as last committed."""

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
                expect_schema(connection, str(path))
                _check_owner(connection, path, tenant_id, sealer)
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

    def directory(self) -> Directory:
        """Return what is configured, as last committed."""
        return self._committed.directory

    async def read(self, needs: Needs) -> Loaded:
        """Return one consistent view of what was committed last."""

        def load(execute: sql.Execute) -> Loaded:
            seen = self._committed = documents.read(execute, self._committed, self._tenant)
            return sql.load(execute, needs, self._tick(), seen.directory, seen.has_groups)

        return self._read(load)

    async def meta(self, name: str) -> str | None:
        """Return a value kept under a name; None when there is none."""
        row = self._read(lambda execute: execute(sql.META, (name,)).fetchone())
        return row[0] if row else None

    async def trail(
        self, correlation_id: str | None = None, *, after: int = 0, limit: int = 100
    ) -> tuple[Audited, ...]:
        """Return audit rows in the order they were written: those of one request, or all, after a row's `seq`."""

        def load(execute: sql.Execute) -> tuple[Audited, ...]:
            if correlation_id is None:
                rows = execute(sql.TRAIL, (after, limit))
            else:
                rows = execute(sql.TRAIL_OF_REQUEST, (correlation_id, after, limit))
            return tuple(sql.audited(row) for row in rows.fetchall())

        return self._read(load)

    async def begun_as(self, correlation_id: str) -> tuple[str, ...]:
        """Return the correlation ids of the flows of which some later step had this one."""
        wanted = f'"request":"{correlation_id}"'
        return self._read(lambda execute: tuple(id for (id,) in execute(sql.BEGUN_AS, (wanted,)).fetchall()))

    async def sign_ins(self, query: SignInQuery) -> tuple[SignIn, ...]:
        """Return entries of the sign-in log, newest first."""
        return self._read(lambda execute: sql.sign_ins(execute, query))

    async def people(self, query: Query, *, deleted: bool = False) -> Listed:
        """Return a page of people, deleted ones or the others."""
        return self._read(lambda execute: people.people(execute, query, deleted=deleted))

    async def groups(self, query: Query) -> Listed:
        """Return a page of groups."""
        return self._read(lambda execute: people.groups(execute, query))

    async def members(
        self, group: str, *, after: str = "", limit: int = 100, transitive: bool = False
    ) -> tuple[tuple[str, Subject | Group | None], ...]:
        """Return members after this id, by id; beside an id None for what is no person and no group."""
        return self._read(lambda execute: people.members(execute, group, after, limit, transitive=transitive))

    async def groups_of(
        self, member: str, *, after: str = "", limit: int = 100, transitive: bool = False
    ) -> tuple[Group, ...]:
        """Return the groups that somebody is in after this id, by id."""
        return self._read(
            lambda execute: people.groups_of(execute, member, after, limit, transitive=transitive)
        )

    async def audits(self, query: AuditQuery) -> tuple[Audited, ...]:
        """Return changes by administrators, newest first."""
        return self._read(lambda execute: people.audits(execute, query))

    async def look(self, at: Callable[[View], T]) -> T:
        """Return what is seen of people and groups in one consistent view of what was committed last."""

        def load(execute: sql.Execute) -> T:
            seen = self._committed = documents.read(execute, self._committed, self._tenant)
            return at(View(execute, self._tick(), seen.directory, seen.has_groups))

        return self._read(load)

    async def signing_keys(self) -> tuple[SigningKey, ...]:
        """
        Return the signing keys, those that sign first before the others.

        Raises: `SealBroken`.
        """

        def load(execute: sql.Execute) -> tuple[SigningKey, ...]:
            return tuple(self._open_key(*row) for row in execute(sql.SIGNING_KEYS, ()).fetchall())

        return self._read(load)

    async def verify_trail(self, expected: str | None = None) -> Chained:
        """
        Say whether the audit log is as it was written (LOG-05). `expected` is a head noted earlier.

        Reads all of it: a second for some hundred thousand rows, during which nothing else is done here.
        """
        return self._read(lambda execute: chain.verify(execute, self._chain_key, expected))

    async def detections(self, query: DetectionQuery) -> tuple[Detection, ...]:
        """Return what was found risky, newest first."""
        return self._read(lambda execute: sql.detections(execute, query))

    # Inside a transaction. -------------------------------------------------------------------------------------------

    def _tick(self) -> datetime:
        """Read the clock. It never goes backwards (TIM-03)."""
        self._now = max(self._now, self._clock())
        return self._now

    def _open_key(
        self, kid: str, created_at: int, activates_at: int, retires_at: int | None, sealed: bytes
    ) -> SigningKey:
        return SigningKey.from_pem(
            self._sealer.open(sql.SIGNING_KEY_PEM, kid, sealed),
            created_at=sql.from_milliseconds(created_at),
            activates_at=sql.from_milliseconds(activates_at),
            retires_at=None if retires_at is None else sql.from_milliseconds(retires_at),
        )

    def _reading(self) -> sqlite3.Connection:
        if self._reader is None:
            self._reader = self._connect()
            self._reader.execute("PRAGMA query_only = ON")
        return self._reader

    def _read(self, load: Callable[[sql.Execute], T]) -> T:
        """Load something in a transaction of its own."""
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


class SqliteStore(SqliteReader):
    """One tenant's database. To be used from one event loop, by one process at a time."""

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
        self._lock = lock
        self._known = self._committed
        """What is configured, as the transaction of the batch sees it."""
        self._chain = Chain(chain_key, lambda: self._batches.writer.execute)
        self._batches = Batches(connect, began=self._begin, committed=self._publish)

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
                migrate(connection, str(path))
                _check(connection, path, tenant_id, sealer)
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

    # The port. -------------------------------------------------------------------------------------------------------

    async def run(self, needs: Needs, decide: Decide[T]) -> T:
        """
        Load, decide, write, commit; return what `decide` returned, only after the commit.

        Raises: `StoreUnavailable`; `Conflict` when its outcome cannot be written on any state.
        """
        return await self._batches.submit(self._step, needs, decide)

    async def administer(self, decide: Callable[[View], tuple[Change, T]]) -> T:
        """
        Let an administrator's step look, decide, and write; return its answer only after the commit.

        `decide` is as that of `run`, but for what it is decided on: it looks for that itself.
        Raises: `StoreUnavailable`; `Conflict` when its outcome cannot be written on any state.
        """
        return await self._batches.submit(self._administer, decide)

    async def lease(self, limit: int, channel: Channel | None = None) -> Sequence[Outgoing]:
        """Take up to `limit` outbox rows that are due; nobody else is given them while the lease lasts."""
        return await self._work(
            lambda execute: outbox.lease(
                execute, limit, self._now, self._sealer, self._auditing(execute), channel
            )
        )

    async def settle(self, settled: Sequence[Settled]) -> None:
        """Forget the rows that came to an end; give the others back, due after a growing wait."""
        if settled:
            await self._work(
                lambda execute: outbox.settle(
                    execute, settled, self._now, self._sealer, self._auditing(execute)
                )
            )

    async def give_back_leases(self) -> None:
        """
        Make due what was leased, at the start of a process: who leased it before is gone, and it is doubtful.

        One process owns the file, so nobody is sending it; to wait for the lease's end would cost a code a fifth of
        its life.
        """
        await self._work(lambda execute: execute(sql.GIVE_ALL_BACK, ()))

    async def sweep(self) -> int:
        """Delete flows, counters, grants and messages that ended long enough ago (PII-06); return how many rows."""
        swept = 0
        for text in sql.SWEEPS:
            deleted = SWEPT_AT_ONCE
            while deleted == SWEPT_AT_ONCE:
                deleted = await self._work(self._sweep, text)
                swept += deleted
        gone = self._now - people.KEPT_AFTER_DELETION
        while purged := await self._work(people.purge, gone, SWEPT_AT_ONCE):
            swept += purged
        return swept

    # Administration. -------------------------------------------------------------------------------------------------

    async def replace_directory(self, new: Directory) -> None:
        """
        Put a directory in the place of the whole one.

        Raises: `Conflict` when the one stored has another revision; a directory of revision 0 replaces any.
        """
        await self._work(documents.replace, new, self._tenant)

    async def put_documents(self, *new: Document) -> None:
        """Insert documents, or replace those of the same kind and id."""
        await self._work(documents.put, new, self._tenant)

    async def remove_documents(self, *keys: documents.Key) -> None:
        """Delete documents by kind and id."""
        await self._work(documents.remove, keys)

    async def add_members(self, group: str, members: Iterable[str]) -> None:
        """Put subjects or groups into a group."""
        await self._work(documents.change_members, sql.ADD_MEMBER, group, members)

    async def remove_members(self, group: str, members: Iterable[str]) -> None:
        """Take subjects or groups out of a group."""
        await self._work(documents.change_members, sql.REMOVE_MEMBER, group, members)

    async def add_signing_key(self, *keys: SigningKey) -> None:
        """Keep signing keys, sealed. Of one that is there already only its times are brought up to date."""

        def put(execute: sql.Execute) -> None:
            for key in keys:
                execute(sql.PUT_SIGNING_KEY.text, sql.signing_key_row(key, self._sealer))

        await self._work(put)

    async def put_meta(self, name: str, value: str) -> None:
        """Keep a value under a name."""
        if name in OURS:
            raise ValueError(f"{name} is the store's own")
        await self._work(lambda execute: execute(sql.PUT_META, (name, value)))

    async def wipe(self, seed: Directory | None = None) -> None:
        """Delete everything but signing keys and `meta`; put this directory in its place, all in one transaction."""

        def wipe(execute: sql.Execute) -> None:
            for text in sql.WIPES:
                execute(text, ())
            documents.touch(execute)
            if seed is not None:
                documents.replace(execute, seed, self._tenant)

        await self._work(wipe)

    # Inside a transaction. -------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._tick()
        self._chain.began()
        self._known = documents.read(self._batches.writer.execute, self._known, self._tenant)

    def _publish(self) -> None:
        self._committed = self._known

    def _step(self, needs: Needs, decide: Decide[T]) -> T:
        known = self._known
        loaded = sql.load(self._batches.writer.execute, needs, self._now, known.directory, known.has_groups)
        change, answer = decide(loaded)
        self._write(change, loaded)
        return answer

    def _administer(self, decide: Callable[[View], tuple[Change, T]]) -> T:
        writer, known = self._batches.writer, self._known
        change, answer = decide(View(writer.execute, self._now, known.directory, known.has_groups))
        self._write(change, Loaded(now=self._now, directory=known.directory))
        self._known = documents.read(writer.execute, known, self._tenant)
        return answer

    def _write(self, change: Change, loaded: Loaded) -> None:
        writer = self._batches.writer
        appended: list[sql.Write] = []
        for statement, row in list(sql.writes(change, loaded, self._sealer)):
            if statement.appends:
                appended.append((statement, row))
            elif writer.execute(statement.text, row).rowcount != 1 and statement.guarded:
                raise sql.Stale(statement.text)
        for statement, row in appended:
            linked = self._chain.linked(row) if statement is sql.INSERT_AUDIT else row
            self._batches.append(statement.text, linked)

    async def _work(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do what is not a step in the batch. What is configured may be another after it."""

        def do() -> T:
            execute = self._batches.writer.execute
            result = work(execute, *arguments)
            self._known = documents.read(execute, self._known, self._tenant)
            return result

        return await self._batches.submit(do)

    def _auditing(self, execute: sql.Execute) -> Callable[[Record], None]:
        """How work beside a step writes an audit row: as the next one of the chain."""

        def audit(record: Record) -> None:
            execute(sql.INSERT_AUDIT.text, self._chain.linked(sql.audit_row(record, self._now)))

        return audit

    def _sweep(self, execute: sql.Execute, text: str) -> int:
        return execute(text, (sql.to_milliseconds(self._now), SWEPT_AT_ONCE)).rowcount


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
            owner,
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _check(connection: sqlite3.Connection, path: Path, tenant_id: str, sealer: Sealer) -> None:
    """
    See to it that this is the database of this tenant under this master key; a new database becomes so.

    Raises: `CannotOpen`.
    """
    if connection.execute(sql.META, ("tenant",)).fetchone() is None:
        with_seal = sealer.seal("meta.value", "seal", tenant_id.encode()).hex()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(sql.PUT_META, ("tenant", tenant_id))
        connection.execute(sql.PUT_META, ("seal", with_seal))
        connection.execute("COMMIT")
        return
    _check_owner(connection, path, tenant_id, sealer)


def _check_owner(connection: sqlite3.Connection, path: Path, tenant_id: str, sealer: Sealer) -> None:
    """
    See to it that this is the database of this tenant under this master key.

    Raises: `CannotOpen`.
    """
    found = connection.execute(sql.META, ("tenant",)).fetchone()
    if found is None:
        raise CannotOpen(f"The database {path} was never used: start a Genkan on it first.")
    if found[0] != tenant_id:
        raise CannotOpen(
            f"The database {path} is that of tenant {found[0]}, not of {tenant_id}: give its own."
        )
    (seal,) = connection.execute(sql.META, ("seal",)).fetchone()
    try:
        sealer.open("meta.value", "seal", bytes.fromhex(seal))
    except SealBroken:
        raise CannotOpen(
            f"The database {path} was made under another master key. Put back the key file that belongs to it; "
            f"without it nothing that is sealed there can be read."
        ) from None


def _unreadable(path: Path, error: sqlite3.Error) -> CannotOpen:
    return CannotOpen(
        f"The database {path} cannot be opened: {error}. See to it that the file is a database of "
        f"Genkan, that its folder is writable and its disk not full."
    )
