"""
The batch: work that waits is done together in one transaction, one piece after another, and answered after its COMMIT.

While one batch commits the next one fills, so batches grow with the load and no timer is needed. A piece that fails
takes no other with it. Knows no driver, and nothing of what is written; how a batch is run is said by a subclass.
Source: docs/explanation/architecture.md; F-07, F-08, F-11.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from genkan import metrics
from genkan.engine.transaction import Conflict, StoreUnavailable
from genkan.store.sql import Row, Rows, Stale, Statement, Write

T = TypeVar("T")

BATCH: Final = 128
"""Pieces of work in one transaction at most: past it whoever came first waits too long."""

ATTEMPTS: Final = 4
"""How often work is done whose outcome cannot be written."""


class Connection(Protocol):
    """A connection of a driver, in autocommit mode: a transaction begins and ends where it is told to."""

    @property
    def total_changes(self) -> int:
        """Rows changed since it was made; it grows with every change."""
        ...

    def execute(self, text: str, row: Sequence[Any] = (), /) -> Rows: ...

    def commit(self) -> None: ...

    def close(self) -> None: ...


class Faults(NamedTuple):
    """How a driver names what went wrong."""

    any: type[Exception]
    """Every error of the driver."""
    conflicts: tuple[type[Exception], ...]
    """What is written does not fit what is stored: it is worth deciding anew."""
    bugs: tuple[type[Exception], ...]
    """A fault of the one who called; every other error is the database's own."""


class Waiting(NamedTuple):
    """A piece of work, and who waits for it."""

    future: asyncio.Future[Any]
    work: Callable[..., Any]
    arguments: tuple[Any, ...]


class Answer(NamedTuple):
    """What became of a piece of work."""

    future: asyncio.Future[Any]
    value: Any
    error: Exception | None = None


class _DoAgain(Exception):
    """Work failed after it had written: the batch is rolled back and done again, each piece on its own."""


class Batches(ABC):
    """The one writer of a database in this process. To be used from one event loop."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        faults: Faults,
        *,
        began: Callable[[], None],
        committed: Callable[[], None],
    ) -> None:
        """
        Begin to take work.

        `began` is called in every new transaction, and after whatever was undone in it; `committed` after every commit.
        """
        self._connect = connect
        self._faults = faults
        self._conflicts: tuple[type[Exception], ...] = (Stale, *faults.conflicts)
        self._began = began
        self._committed = committed
        self._writer: Connection | None = None
        """None after a failure: the next batch connects anew."""
        self._closed = False
        self._alone = False
        """Each piece of work runs in a savepoint of its own."""
        self._appended: dict[Statement, list[Row]] = {}

    # What work may do. -----------------------------------------------------------------------------------------------

    @property
    def writer(self) -> Connection:
        """The connection, connected anew if need be."""
        if self._writer is None:
            self._writer = self._connect()
        return self._writer

    def write(self, writes: Sequence[Write]) -> None:
        """
        Execute the statements of one change, in their order.

        Raises: `Stale` where a guarded one did not change exactly one row.
        """
        execute = self.writer.execute
        for statement, row in writes:
            if execute(statement.text, row).rowcount != 1 and statement.guarded:
                raise Stale(statement.text)

    def append(self, statement: Statement, row: Row) -> None:
        """Insert a row that nobody reads in this transaction: all of a kind are inserted together at its end."""
        if self._alone:
            self.writer.execute(statement.text, row)
        else:
            self._appended.setdefault(statement, []).append(row)

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
        began = time.perf_counter()
        try:
            return await self._enqueue(work, arguments)
        except StoreUnavailable:
            metrics.STORE_FAILURES.inc()
            raise
        finally:
            metrics.STORE_SECONDS.observe(time.perf_counter() - began)

    async def close(self) -> None:
        """Finish what waits, then stop. Done again it does nothing."""
        if self._closed:
            return
        self._closed = True
        with suppress(StoreUnavailable):
            await self._enqueue(int, ())
        await asyncio.to_thread(self._stop)

    @abstractmethod
    def _enqueue(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> asyncio.Future[T]:
        """Put work into the next batch."""

    @abstractmethod
    def _stop(self) -> None:
        """End what runs beside the loop, and let go of the connection. Nothing waits any more."""

    @abstractmethod
    def _open_transaction(self, writer: Connection) -> None:
        """Begin a transaction in which nobody else writes to this database."""

    # The batch. ------------------------------------------------------------------------------------------------------

    def _do(self, batch: Sequence[Waiting]) -> tuple[list[Answer], int]:
        """Do the work in one transaction, which stays open if anything was written; return how many rows were."""
        metrics.BATCH_SIZE.observe(len(batch))
        writer = self._begin()
        before = writer.total_changes
        try:
            answers = self._do_together(writer, batch)
        except _DoAgain:
            writer.execute("ROLLBACK")
            writer = self._begin()
            before = writer.total_changes
            self._alone = True
            try:
                answers = [self._do_alone(writer, waiting) for waiting in batch]
            finally:
                self._alone = False
        changed = writer.total_changes - before
        if not changed:
            writer.execute("COMMIT")
        return answers, changed

    def _begin(self) -> Connection:
        writer = self.writer
        self._open_transaction(writer)
        self._appended.clear()
        self._began()
        return writer

    def _do_together(self, writer: Connection, batch: Sequence[Waiting]) -> list[Answer]:
        answers: list[Answer] = []
        for future, work, arguments in self._arranged(batch):
            before = writer.total_changes
            try:
                answers.append(Answer(future, work(*arguments)))
            except Exception as error:
                if self._is_of_the_database(error):
                    raise
                if isinstance(error, (Stale, self._faults.any)) or writer.total_changes != before:
                    raise _DoAgain from error
                answers.append(Answer(future, None, error))
        try:
            self._flush()
        except Exception as error:
            if self._is_of_the_database(error):
                raise
            raise _DoAgain from error
        return answers

    def _arranged(self, batch: Sequence[Waiting]) -> Iterable[Waiting]:
        """Return the work in the order in which it is done: whoever waits at the same time waits for no other."""
        return batch

    @abstractmethod
    def _flush(self) -> None:
        """Write what was kept back until all the work was done."""

    def _do_alone(self, writer: Connection, waiting: Waiting) -> Answer:
        future, work, arguments = waiting
        conflict: Exception
        for _ in range(ATTEMPTS):
            writer.execute("SAVEPOINT work")
            try:
                value = work(*arguments)
            except Exception as error:
                if self._is_of_the_database(error):
                    raise
                writer.execute("ROLLBACK TO work")
                writer.execute("RELEASE work")
                self._began()
                if not isinstance(error, self._conflicts):
                    return Answer(future, None, error)
                conflict = error
            else:
                writer.execute("RELEASE work")
                return Answer(future, value)
        refused = Conflict(f"decided {ATTEMPTS} times, and each time: {conflict}")
        refused.__cause__ = conflict
        return Answer(future, None, refused)

    def _tell(self, answers: Sequence[Answer], error: Exception | None) -> None:
        """Answer those of a batch. `error`: why nothing of it was written."""
        for future, value, refused in answers:
            if future.done():
                continue
            fault = error or refused
            if fault is None:
                future.set_result(value)
            elif isinstance(fault, self._faults.any) and error is not None:
                unavailable = StoreUnavailable(str(fault))
                unavailable.__cause__ = fault
                future.set_exception(unavailable)
            else:
                future.set_exception(fault)

    def _disconnect(self) -> None:
        """Undo what is open. A connection that has failed is not trusted again."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(self._faults.any):
                writer.close()

    def _is_of_the_database(self, error: Exception) -> bool:
        """True when nothing can be written now, whoever wants to."""
        known: tuple[type[Exception], ...] = (*self._conflicts, *self._faults.bugs)
        return isinstance(error, self._faults.any) and not isinstance(error, known)
