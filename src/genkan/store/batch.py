"""
The batched commit: work that waits is done together in one transaction, and answered after its COMMIT.

The work runs in the event loop's thread, one piece after another; COMMIT, which waits for the disk, runs in a thread
of its own. While one batch commits the next one fills, so batches grow with the load and no timer is needed.
Knows SQLite's transactions and write-ahead log, and nothing of what is written.
Source: docs/explanation/architecture.md; sqlite.org/wal.html and lang_savepoint.html; F-07, F-08, F-11.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, Literal, NamedTuple, TypeVar

from genkan.engine.transaction import Conflict, StoreUnavailable
from genkan.store.sql import Row, Stale

T = TypeVar("T")

BATCH: Final = 128
"""Pieces of work in one transaction at most: past it the loop would serve nobody for too long."""

ATTEMPTS: Final = 4
"""How often work is done whose outcome cannot be written."""

CHECKPOINT_AFTER: Final = 8000
"""Rows changed. Each costs the log a page or two of 4 KiB, so the log stays at some tens of megabytes."""

CONFLICTS: Final = (Stale, sqlite3.IntegrityError)
"""What is written does not fit what is stored: it is worth deciding anew."""

_BUGS: Final = (sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.InterfaceError)
"""SQLite's word for a fault of the one who called; every other error is the database's own."""

PASS: Final = "PRAGMA wal_checkpoint(PASSIVE)"
"""Copies what it can of the log, and makes nobody wait."""

PASSES: Final = 4
FEW_PAGES: Final = 64
"""Passes over the log are made until one finds no more than this, but not for ever."""


class _Waiting(NamedTuple):
    future: asyncio.Future[Any]
    work: Callable[..., Any]
    arguments: tuple[Any, ...]


class _Answer(NamedTuple):
    future: asyncio.Future[Any]
    value: Any
    error: Exception | None = None


class _DoAgain(Exception):
    """Work failed after it had written: the batch is rolled back and done again, each piece on its own."""


class Batches:
    """The one writer of a database. To be used from one event loop."""

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        *,
        began: Callable[[], None],
        committed: Callable[[], None],
    ) -> None:
        """
        Begin to take work.

        `connect` makes a connection in autocommit mode and without automatic checkpoints. `began` is called in every
        new transaction, and after whatever was undone in it; `committed` after every commit.
        """
        self._connect = connect
        self._began = began
        self._committed = committed
        self._writer: sqlite3.Connection | None = None
        """None after a failure: the next batch connects anew."""

        self._waiting: list[_Waiting] = []
        self._busy = False
        """A batch is about to run, or is being committed."""
        self._closed = False
        self._alone = False
        """Each piece of work runs in a savepoint of its own."""
        self._appended: dict[str, list[Row]] = {}

        self._changed = 0
        """Rows changed since the last checkpoint began."""
        self._checkpoint: Literal["none", "passing", "passed"] = "none"
        """`passed`: the log has been copied; only what was committed meanwhile is left."""
        self._commits: SimpleQueue[tuple[asyncio.AbstractEventLoop, list[_Answer]] | None] = SimpleQueue()
        self._checkpoints: SimpleQueue[bool] = SimpleQueue()
        self._threads = (
            threading.Thread(target=self._commit_batches, name="store-commit", daemon=True),
            threading.Thread(target=self._copy_log, name="store-checkpoint", daemon=True),
        )
        for thread in self._threads:
            thread.start()

    # What work may do. -----------------------------------------------------------------------------------------------

    @property
    def writer(self) -> sqlite3.Connection:
        """The connection, connected anew if need be."""
        if self._writer is None:
            self._writer = self._connect()
        return self._writer

    def append(self, text: str, row: Row) -> None:
        """Insert a row that nobody reads in this transaction: all of a kind are inserted together at its end."""
        if self._alone:
            self.writer.execute(text, row)
        else:
            self._appended.setdefault(text, []).append(row)

    # Submitting. -----------------------------------------------------------------------------------------------------

    async def submit(self, work: Callable[..., T], *arguments: Any) -> T:
        """
        Do the work in the next batch and return what it returned, after the commit.

        An exception that it raises reaches the caller, and only this work is undone. It is done again, on the newer
        state, when what it wrote did not fit.
        Raises: `StoreUnavailable`; `Conflict` when what it writes never fits.
        """
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return await self._enqueue(work, arguments)

    async def close(self) -> None:
        """Finish what waits, then stop and bring everything into the database file. Done again it does nothing."""
        if self._closed:
            return
        self._closed = True
        with suppress(StoreUnavailable):
            await self._enqueue(int, ())
        await asyncio.to_thread(self._stop)

    def _enqueue(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Waiting(future, work, arguments))
        if not self._busy:
            self._busy = True
            loop.call_soon(self._run)
        return future

    # The batch. ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Do what waits and hand the commit over. Nobody is answered before it, unless nothing was written."""
        batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        batch = [waiting for waiting in batch if not waiting.future.done()]  # Some have been cancelled.
        try:
            answers, changed = self._do(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it.
            self._finish([_Answer(waiting.future, None) for waiting in batch], error)
            return
        if not changed:
            self._finish(answers, None)
            return
        self._changed += changed
        if self._changed >= CHECKPOINT_AFTER and self._checkpoint == "none":
            self._changed, self._checkpoint = 0, "passing"
            self._checkpoints.put(True)
        self._commits.put((asyncio.get_running_loop(), answers))

    def _do(self, batch: Sequence[_Waiting]) -> tuple[list[_Answer], int]:
        """Do the work in one transaction, which stays open if anything was written; return how many rows were."""
        writer = self._begin()
        before = writer.total_changes
        try:
            answers = self._do_together(writer, batch)
        except _DoAgain:
            writer.execute("ROLLBACK")
            self._begin()
            self._alone = True
            try:
                answers = [self._do_alone(writer, waiting) for waiting in batch]
            finally:
                self._alone = False
        changed = writer.total_changes - before
        if not changed:
            writer.execute("COMMIT")
        return answers, changed

    def _begin(self) -> sqlite3.Connection:
        writer = self.writer
        writer.execute("BEGIN IMMEDIATE")
        self._appended.clear()
        self._began()
        return writer

    def _do_together(self, writer: sqlite3.Connection, batch: Sequence[_Waiting]) -> list[_Answer]:
        answers: list[_Answer] = []
        for future, work, arguments in batch:
            before = writer.total_changes
            try:
                answers.append(_Answer(future, work(*arguments)))
            except Exception as error:
                if _is_of_the_database(error):
                    raise
                if isinstance(error, CONFLICTS) or writer.total_changes != before:
                    raise _DoAgain from error
                answers.append(_Answer(future, None, error))
        try:
            for text, rows in self._appended.items():
                writer.executemany(text, rows)
        except Exception as error:
            if _is_of_the_database(error):
                raise
            raise _DoAgain from error
        return answers

    def _do_alone(self, writer: sqlite3.Connection, waiting: _Waiting) -> _Answer:
        future, work, arguments = waiting
        conflict: Exception
        for _ in range(ATTEMPTS):
            writer.execute("SAVEPOINT work")
            try:
                value = work(*arguments)
            except Exception as error:
                if _is_of_the_database(error):
                    raise
                writer.execute("ROLLBACK TO work")
                writer.execute("RELEASE work")
                self._began()
                if not isinstance(error, CONFLICTS):
                    return _Answer(future, None, error)
                conflict = error
            else:
                writer.execute("RELEASE work")
                return _Answer(future, value)
        refused = Conflict(f"decided {ATTEMPTS} times, and each time: {conflict}")
        refused.__cause__ = conflict
        return _Answer(future, None, refused)

    def _finish(self, answers: Sequence[_Answer], error: Exception | None, goes_on: bool = True) -> None:
        """Answer those of a batch. `error`: why nothing of it was written."""
        if goes_on:
            self._go_on()
        if error is None:
            self._committed()
        else:
            self._disconnect()
        for future, value, refused in answers:
            if future.done():
                continue
            fault = error or refused
            if fault is None:
                future.set_result(value)
            elif isinstance(fault, sqlite3.Error) and error is not None:
                unavailable = StoreUnavailable(str(fault))
                unavailable.__cause__ = fault
                future.set_exception(unavailable)
            else:
                future.set_exception(fault)

    def _go_on(self) -> None:
        """Let the next batch run, before those who were just answered come back."""
        self._busy = bool(self._waiting)
        if self._busy:
            asyncio.get_running_loop().call_soon(self._run)

    def _disconnect(self) -> None:
        """Undo what is open. A connection that has failed is not trusted again."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(sqlite3.Error):
                writer.close()

    # The threads. ----------------------------------------------------------------------------------------------------

    def _commit_batches(self) -> None:
        """
        Commit one batch after the other.

        Where the log has just been copied, what came meanwhile is copied here before the next batch may begin. So all
        of the log is in the database for a moment, and SQLite begins it anew; under a steady load it would grow
        for ever otherwise.
        """
        while (commit := self._commits.get()) is not None:
            loop, answers = commit
            writer = self.writer
            error = None
            try:
                writer.commit()
            except sqlite3.Error as failed:
                error = failed
            holds = error is None and self._checkpoint == "passed"
            with suppress(RuntimeError):  # The loop is closed, so nobody waits any more.
                loop.call_soon_threadsafe(self._finish, answers, error, not holds)
                if holds:
                    with suppress(sqlite3.Error):
                        writer.execute(PASS).fetchone()
                    self._checkpoint = "none"
                    loop.call_soon_threadsafe(self._go_on)

    def _copy_log(self) -> None:
        """
        Copy the log into the database while others write. It is what takes long in a checkpoint.

        Each pass copies what was committed during the one before, so that little is left for `_commit_batches`.
        """
        while self._checkpoints.get():
            try:
                connection = self._connect()
                try:
                    copied = 0
                    for _ in range(PASSES):
                        before = copied
                        _, _, copied = connection.execute(PASS).fetchone()
                        if copied - before < FEW_PAGES:
                            break
                finally:
                    connection.close()
            except sqlite3.Error:
                self._checkpoint = "none"
            else:
                self._checkpoint = "passed"

    def _stop(self) -> None:
        self._commits.put(None)
        self._checkpoints.put(False)
        for thread in self._threads:
            thread.join()
        with suppress(sqlite3.Error):
            self.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._disconnect()


def _is_of_the_database(error: Exception) -> bool:
    """True when nothing can be written now, whoever wants to."""
    return isinstance(error, sqlite3.Error) and not isinstance(error, (*CONFLICTS, *_BUGS))
