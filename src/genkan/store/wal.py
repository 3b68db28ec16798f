"""
Batches on SQLite: the work runs in the event loop's thread, COMMIT, which waits for the disk, in a thread of its own.

The write-ahead log is copied into the database beside both, so that nobody waits for that.
Knows SQLite's transactions and its log, and nothing of what is written.
Source: docs/explanation/architecture.md; sqlite.org/wal.html and lang_savepoint.html.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, Literal, TypeVar, cast

from genkan.store.batch import BATCH, Answer, Batches, Connection, Faults, Waiting

T = TypeVar("T")

CHECKPOINT_AFTER: Final = 8000
"""Rows changed. Each costs the log a page or two of 4 KiB, so the log stays at some tens of megabytes."""

FAULTS: Final = Faults(
    any=sqlite3.Error,
    conflicts=(sqlite3.IntegrityError,),
    bugs=(sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.InterfaceError),
)

PASS: Final = "PRAGMA wal_checkpoint(PASSIVE)"
"""Copies what it can of the log, and makes nobody wait."""

PASSES: Final = 4
FEW_PAGES: Final = 64
"""Passes over the log are made until one finds no more than this, but not for ever."""


class WalBatches(Batches):
    """The one writer of a file."""

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        *,
        began: Callable[[], None],
        committed: Callable[[], None],
    ) -> None:
        """Begin to take work. `connect` makes a connection without automatic checkpoints."""
        super().__init__(connect, FAULTS, began=began, committed=committed)
        self._waiting: list[Waiting] = []
        self._busy = False
        """A batch is about to run, or is being committed."""
        self._changed = 0
        """Rows changed since the last checkpoint began."""
        self._checkpoint: Literal["none", "passing", "passed"] = "none"
        """`passed`: the log has been copied; only what was committed meanwhile is left."""
        self._commits: SimpleQueue[tuple[asyncio.AbstractEventLoop, list[Answer]] | None] = SimpleQueue()
        self._checkpoints: SimpleQueue[bool] = SimpleQueue()
        self._threads = (
            threading.Thread(target=self._commit_batches, name="store-commit", daemon=True),
            threading.Thread(target=self._copy_log, name="store-checkpoint", daemon=True),
        )
        for thread in self._threads:
            thread.start()

    def _enqueue(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append(Waiting(future, work, arguments))
        if not self._busy:
            self._busy = True
            loop.call_soon(self._run)
        return future

    def _open_transaction(self, writer: Connection) -> None:
        writer.execute("BEGIN IMMEDIATE")

    def _flush(self) -> None:
        writer = cast("sqlite3.Connection", self.writer)
        for statement, rows in self._appended.items():
            writer.executemany(statement.text, rows)

    # In the loop's thread. -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Do what waits and hand the commit over. Nobody is answered before it, unless nothing was written."""
        batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        batch = [waiting for waiting in batch if not waiting.future.done()]  # Some have been cancelled.
        try:
            answers, changed = self._do(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it.
            self._finish([Answer(waiting.future, None) for waiting in batch], error)
            return
        if not changed:
            self._finish(answers, None)
            return
        self._changed += changed
        if self._changed >= CHECKPOINT_AFTER and self._checkpoint == "none":
            self._changed, self._checkpoint = 0, "passing"
            self._checkpoints.put(True)
        self._commits.put((asyncio.get_running_loop(), answers))

    def _finish(self, answers: Sequence[Answer], error: Exception | None, goes_on: bool = True) -> None:
        """Answer those of a batch. `error`: why nothing of it was written."""
        if goes_on:
            self._go_on()
        if error is None:
            self._committed()
        else:
            self._disconnect()
        self._tell(answers, error)

    def _go_on(self) -> None:
        """Let the next batch run, before those who were just answered come back."""
        self._busy = bool(self._waiting)
        if self._busy:
            asyncio.get_running_loop().call_soon(self._run)

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
