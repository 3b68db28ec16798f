"""
Tenants' databases in PostgreSQL, each in a schema of its own, shared by any number of processes.

Whoever writes to a tenant holds its lock from BEGIN to COMMIT, so batches of all processes follow one another and each
sees all that was committed before it: what is proven of one writer holds for many. A process that stands still in a
transaction loses its connection, and with it the lock, after `IDLE`.
Source: docs/decisions/0012-one-writer-at-a-time-on-many-nodes.md; postgresql.org/docs/15, explicit-locking; TIM-01.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar, cast

import psycopg
from psycopg import RawCursor
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row
from psycopg.types.numeric import Int8Dumper
from psycopg_pool import ConnectionPool

from genkan.engine.transaction import Loaded, Needs, StoreUnavailable
from genkan.store import documents, sql
from genkan.store.batch import BATCH, Answer, Batches, Connection, Faults, Waiting
from genkan.store.migrations import expect_schema, migrate
from genkan.store.sealing import CannotOpen, KeyPurpose, Keys, Sealer
from genkan.store.tenant import Reader, Store, check_owner, claim

T = TypeVar("T")

PREFIX: Final = "genkan_"
"""How the name of a tenant's schema begins; its id follows."""

CONNECTIONS: Final = 10
"""At most, of one process, for all its tenants together."""

PATIENCE: Final = timedelta(seconds=3)
"""How long somebody waits for a connection."""
LOCK: Final = timedelta(seconds=5)
"""How long a batch waits for those of other processes."""
IDLE: Final = timedelta(seconds=3)
"""How long a transaction may stand still before the server ends it: its process is stopped, or gone."""
STATEMENT: Final = timedelta(seconds=5)
READING: Final = timedelta(seconds=30)
"""How long one statement may take: of a batch, and of one who only reads."""
FAULTS: Final = Faults(
    any=psycopg.Error,
    conflicts=(psycopg.IntegrityError,),
    bugs=(psycopg.ProgrammingError, psycopg.DataError, psycopg.InterfaceError),
)


AT_ONCE: Final = """
SELECT f.version, f.body, g.revision, g.revoked_at, g.body, s.body, p.body,
       ARRAY(SELECT a.body FROM authenticator a WHERE a.subject = s.id AND a.state = 'active'),
       CASE WHEN CAST(? AS boolean) THEN ARRAY(
           WITH RECURSIVE containing (id) AS (
               SELECT group_id FROM membership WHERE member_id = s.id
                UNION
               SELECT m.group_id FROM membership m JOIN containing c ON m.member_id = c.id
           ) SELECT id FROM containing) END
  FROM (SELECT) AS one
  LEFT JOIN flow f ON f.id = CAST(? AS bytea)
  LEFT JOIN refresh_grant g ON g.id = CAST(? AS text)
  LEFT JOIN subject s ON s.id = coalesce(CAST(? AS text), f.subject, g.subject, (
      SELECT i.subject FROM identifier i
       WHERE i.key = coalesce(CAST(? AS text), CAST(f.body AS json) #>> '{identifier,key}')))
  LEFT JOIN footprint p ON p.subject = s.id
"""
"""What a step is decided on but for its counters: flow, grant, person, their methods and groups."""


class Seen:
    """Rows that were read before they were asked for."""

    rowcount = 0

    def __init__(self, rows: list[sql.Row]) -> None:
        self._rows = rows

    def fetchone(self) -> sql.Row | None:
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[sql.Row]:
        return self._rows


class Session:
    """A borrowed connection in the words of the store: placeholders are `?`, and times are milliseconds."""

    def __init__(self, pool: ConnectionPool[psycopg.Connection[Any]], schema: str) -> None:
        """Borrow one; whoever has it gives it back by `close`."""
        self._pool = pool
        self._schema = schema
        self._connection = pool.getconn(timeout=PATIENCE.total_seconds())
        self.total_changes = 0

    @property
    def is_broken(self) -> bool:
        """Nothing can be said to the server by it any more."""
        return self._connection.broken or self._connection.closed

    def begin(self, characteristics: str, *further: str) -> None:
        """Begin a transaction in the tenant's schema, by one message to the server."""
        parts = (
            f"BEGIN {characteristics}",
            f"SET LOCAL search_path = {self._schema}",  # It is letters and digits: see `schema_of`.
            _limit("idle_in_transaction_session_timeout", IDLE),
            *further,
        )
        self._connection.execute("; ".join(parts).encode(), prepare=False)

    def execute(self, text: str, row: Sequence[Any] = (), /) -> sql.Rows:
        cursor = self._connection.execute(_numbered(text), row or None)
        self._count(cursor)
        return cursor

    def executemany(self, text: str, rows: Sequence[sql.Row], /) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(_numbered(text), rows)
            self._count(cursor)

    def write(self, writes: Sequence[sql.Write]) -> None:
        """Execute all of these without waiting in between. Raises: `Stale`, as `Batches.write`."""
        with self._connection.pipeline():
            cursors = [self._connection.execute(_numbered(write[0].text), write[1]) for write in writes]
        for (statement, _), cursor in zip(writes, cursors, strict=True):
            if cursor.rowcount != 1 and statement.guarded:
                raise sql.Stale(statement.text)
            self._count(cursor)

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Undo what is open and give the connection back. One that is broken is thrown away."""
        with suppress(psycopg.Error):
            if not self.is_broken:
                self._connection.rollback()
        self._pool.putconn(self._connection)

    def _count(self, cursor: psycopg.Cursor[Any]) -> None:
        if cursor.description is None and cursor.rowcount > 0:
            self.total_changes += cursor.rowcount


class Database:
    """A PostgreSQL database, and this process's connections to it. To be used from one event loop."""

    def __init__(self, url: str, *, prepares: bool = True, connections: int = CONNECTIONS) -> None:
        """
        Connect. `prepares` False: nothing is prepared on the server, for poolers that cannot keep it.

        Raises: `CannotOpen`.
        """
        try:
            said = conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            raise CannotOpen(
                f"The address of the database cannot be read: {error}. "
                "Give it as postgresql://USER:PASSWORD@HOST/DATABASE"
            ) from None
        self.name = f"{said.get('dbname', '')} on {said.get('host', 'this machine')}"
        """What messages call it. Its address has a password in it."""
        self._pool = ConnectionPool(
            url,
            connection_class=psycopg.Connection[Any],
            min_size=1,
            max_size=connections,
            timeout=PATIENCE.total_seconds(),
            reconnect_timeout=PATIENCE.total_seconds(),
            open=False,
            kwargs={
                "autocommit": True,
                "cursor_factory": RawCursor,
                "row_factory": tuple_row,
                "prepare_threshold": 2 if prepares else None,
                "connect_timeout": int(PATIENCE.total_seconds()),
                "application_name": "genkan",
                "tcp_user_timeout": int(LOCK / timedelta(milliseconds=1)),
            },
            configure=_configure,
        )
        self.threads = ThreadPoolExecutor(max_workers=connections, thread_name_prefix="postgres")
        try:
            with psycopg.connect(url, connect_timeout=int(PATIENCE.total_seconds())):
                pass
            self._pool.open()
        except psycopg.Error as error:
            raise self.unreachable(error) from error

    def session(self, tenant_id: str) -> Session:
        """Borrow a connection for a tenant. Raises: `psycopg.OperationalError`."""
        return Session(self._pool, schema_of(tenant_id))

    @contextmanager
    def reading(self, tenant_id: str) -> Iterator[sql.Execute]:
        """A transaction that only reads, and sees one state. Raises: `psycopg.Error`."""
        session = self._begun(
            tenant_id,
            "ISOLATION LEVEL REPEATABLE READ READ ONLY",
            _limit("statement_timeout", READING),
        )
        try:
            yield session.execute
        finally:
            session.close()

    @contextmanager
    def writing(self, tenant_id: str) -> Iterator[sql.Execute]:
        """A transaction in which nobody else writes to this tenant; committed unless the block raises."""
        session = self._begun(tenant_id, "", *_alone(tenant_id))
        try:
            yield session.execute
            session.commit()
        finally:
            session.close()

    def tenants(self) -> list[str]:
        """
        Return the ids of the tenants that have a schema here.

        Raises: `CannotOpen`.
        """
        try:
            with self.reading("") as execute:
                rows = execute(
                    "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, ?) ORDER BY nspname",
                    (PREFIX,),
                ).fetchall()
        except psycopg.Error as error:
            raise self.unreachable(error) from error
        hexes = [name.removeprefix(PREFIX) for (name,) in rows]
        return ["-".join((h[:8], h[8:12], h[12:16], h[16:20], h[20:])) for h in hexes if len(h) == 32]

    def remove(self, tenant_id: str) -> None:
        """
        Delete a tenant's schema with all that is in it.

        Raises: `CannotOpen`.
        """
        try:
            with self.writing(tenant_id) as execute:
                execute(f"DROP SCHEMA {schema_of(tenant_id)} CASCADE", ())
        except psycopg.Error as error:
            raise self.unreachable(error) from error

    def close(self) -> None:
        """Let go of all connections. Done again it does nothing."""
        self.threads.shutdown()
        self._pool.close()

    def unreachable(self, error: Exception) -> CannotOpen:
        """Say that the database cannot be used, and why."""
        why = str(error).strip().partition("\n")[0]
        return CannotOpen(
            f"The database {self.name} cannot be used: {why}. See to it that it runs, that its address is right, "
            "and that its user may create schemas in it."
        )

    def _begun(self, tenant_id: str, characteristics: str, *further: str) -> Session:
        """Borrow a connection that works, and begin. After a restart of the server many are broken at once."""
        for attempt in range(self._pool.max_size + 1):
            session = self.session(tenant_id)
            try:
                session.begin(characteristics, *further)
            except BaseException:
                was_broken = session.is_broken
                session.close()
                if not was_broken or attempt == self._pool.max_size:
                    raise
            else:
                return session
        raise AssertionError("unreachable")


class PostgresReader(Reader):
    """A tenant's schema, to be read only."""

    def __init__(
        self,
        database: Database,
        tenant_id: str,
        sealer: Sealer,
        clock: Callable[[], datetime] | None,
        chain_key: bytes,
    ) -> None:
        """
        Use what `peek` or `open` has prepared. `clock` None: the database's, which all its processes share (TIM-01).

        Raises: `psycopg.Error`.
        """
        super().__init__(tenant_id, sealer, clock or _unknown, chain_key)
        self._has_clock = clock is not None
        self._database = database
        with database.reading(tenant_id) as execute:
            self._committed = documents.read(execute, None, tenant_id)
            self._tick(execute)

    @classmethod
    def peek(
        cls, database: Database, tenant_id: str, keys: Keys, clock: Callable[[], datetime] | None = None
    ) -> PostgresReader:
        """
        Look into a tenant's schema.

        Raises: `CannotOpen`: not there, under another master key, of another schema version, or unreachable.
        """
        sealer = Sealer(keys.of(KeyPurpose.SEALING, tenant_id), tenant_id)
        name = f"{database.name}, schema {schema_of(tenant_id)}"
        try:
            with database.reading(tenant_id) as execute:
                expect_schema(execute, name)
                check_owner(execute, name, tenant_id, sealer)
            return cls(database, tenant_id, sealer, clock, keys.of(KeyPurpose.AUDIT, tenant_id))
        except psycopg.errors.UndefinedTable:
            raise CannotOpen(f"The database {database.name} has no tenant {tenant_id}.") from None
        except psycopg.Error as error:
            raise database.unreachable(error) from error

    async def close(self) -> None:
        """Let go of the tenant; the connections are the database's."""
        self._closed = True

    async def _read(self, load: Callable[[sql.Execute], T]) -> T:
        if self._closed:
            raise StoreUnavailable("the store is closed")

        def read() -> T:
            try:
                with self._database.reading(self._tenant) as execute:
                    return load(execute)
            except psycopg.Error as error:
                raise StoreUnavailable(str(error)) from error

        return await asyncio.get_running_loop().run_in_executor(self._database.threads, read)

    def _tick(self, execute: sql.Execute) -> datetime:
        if self._has_clock:
            return super()._tick(execute)
        (now,) = execute("SELECT clock_timestamp()", ()).fetchone()
        self._now = max(self._now, now.astimezone(UTC))
        return self._now


class PostgresStore(PostgresReader, Store):
    """One tenant's database. To be used from one event loop, beside other processes that use it too."""

    is_shared = True

    def __init__(
        self,
        database: Database,
        tenant_id: str,
        sealer: Sealer,
        clock: Callable[[], datetime] | None,
        chain_key: bytes,
    ) -> None:
        """Use what `open` has prepared."""
        super().__init__(database, tenant_id, sealer, clock, chain_key)
        self._known = self._committed
        self._batches = QueuedBatches(database, tenant_id, began=self._begin, committed=self._publish)

    @classmethod
    def open(
        cls, database: Database, tenant_id: str, keys: Keys, clock: Callable[[], datetime] | None = None
    ) -> PostgresStore:
        """
        Open the tenant's schema: made when there is none, and brought to the present version.

        Raises: `CannotOpen`: under another master key, of a newer version, or unreachable.
        """
        sealer = Sealer(keys.of(KeyPurpose.SEALING, tenant_id), tenant_id)
        schema = schema_of(tenant_id)
        name = f"{database.name}, schema {schema}"
        try:
            with database.writing(tenant_id) as execute:
                execute(f"CREATE SCHEMA IF NOT EXISTS {schema}", ())
                migrate(execute, name, "postgres")
                claim(execute, name, tenant_id, sealer)
            return cls(database, tenant_id, sealer, clock, keys.of(KeyPurpose.AUDIT, tenant_id))
        except psycopg.Error as error:
            raise database.unreachable(error) from error

    async def close(self) -> None:
        """Finish what waits. Done again it does nothing."""
        if not self._closed:
            await super().close()
            await self._batches.close()

    def _load(self, execute: sql.Execute, needs: Needs) -> Loaded:
        """Load by one statement what `sql.load` asks for by many, each of which would be an exchange."""
        asked = (self._known.has_groups, needs.flow, needs.grant, needs.subject, needs.identifier)
        row = execute(AT_ONCE, asked).fetchone()
        flow, grant, person = row[0:2], row[2:5], row[5:7]
        seen = {
            sql.FLOW: [flow] if flow[0] is not None else [],
            sql.GRANT: [grant] if grant[0] is not None else [],
            sql.SUBJECT: [person] if person[0] is not None else [],
            sql.HOLDER: [person] if person[0] is not None else [],
            sql.AUTHENTICATORS: [(body,) for body in row[7] or ()],
            sql.GROUPS: [(group,) for group in row[8] or ()],
        }

        def foreseen(text: str, row: Sequence[Any]) -> sql.Rows:
            return Seen(seen[text]) if text in seen else execute(text, row)

        return super()._load(foreseen, needs)


class QueuedBatches(Batches):
    """The writer of one tenant in this process: a thread that does one batch after the other."""

    def __init__(
        self, database: Database, tenant_id: str, *, began: Callable[[], None], committed: Callable[[], None]
    ) -> None:
        """Begin to take work."""
        super().__init__(lambda: database.session(tenant_id), FAULTS, began=began, committed=committed)
        self._alone_here = _alone(tenant_id)
        self._queue: SimpleQueue[tuple[asyncio.AbstractEventLoop, Waiting] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="store-batch", daemon=True)
        self._thread.start()

    def write(self, writes: Sequence[sql.Write]) -> None:
        """Execute the statements of one change by one exchange with the server."""
        if writes:
            cast("Session", self.writer).write(writes)

    def _enqueue(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put((loop, Waiting(future, work, arguments)))
        return future

    def _open_transaction(self, writer: Connection) -> None:
        cast("Session", writer).begin("", *self._alone_here)

    def _begin(self) -> Connection:
        """Begin; where the connection was broken already, nothing was done by it, and another one will do."""
        for _ in range(CONNECTIONS):
            try:
                return super()._begin()
            except psycopg.OperationalError:
                session = cast("Session | None", self._writer)
                if session is None or not session.is_broken:  # None is to be had, or this one works.
                    raise
                self._disconnect()
        return super()._begin()

    # In the thread. --------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        """Do what waits, batch after batch, until the end."""
        while (first := self._queue.get()) is not None:
            loop, batch, ends = first[0], [first[1]], False
            with suppress(Empty):
                while len(batch) < BATCH and not ends:
                    more = self._queue.get_nowait()
                    if more is None:
                        ends = True
                    else:
                        batch.append(more[1])
            answers, error = self._done([waiting for waiting in batch if not waiting.future.done()])
            with suppress(RuntimeError):  # The loop is closed, so nobody waits any more.
                loop.call_soon_threadsafe(self._tell, answers, error)
            if ends:
                return

    def _done(self, batch: Sequence[Waiting]) -> tuple[Sequence[Answer], Exception | None]:
        """Do a batch and commit it; return why nothing of it was written, if so."""
        try:
            answers, changed = self._do(batch)
            if changed:
                self.writer.commit()
            self._committed()
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it.
            return [Answer(waiting.future, None) for waiting in batch], error
        else:
            return answers, None
        finally:
            self._disconnect()  # Others may need the connection.

    def _stop(self) -> None:
        self._queue.put(None)
        self._thread.join()


def schema_of(tenant_id: str) -> str:
    """Return the name of a tenant's schema. Raises: `ValueError` for what is no id of a tenant."""
    name = PREFIX + tenant_id.replace("-", "").lower()
    if not name.isascii() or not name.isidentifier():
        raise ValueError(f"{tenant_id} is no id of a tenant")
    return name


def _alone(tenant_id: str) -> tuple[str, ...]:
    """What to say at the beginning of a transaction in which nobody else may write to this tenant."""
    digest = hashlib.blake2b(schema_of(tenant_id).encode(), digest_size=8).digest()
    key = int.from_bytes(digest, "big", signed=True)
    return (
        _limit("lock_timeout", LOCK),
        f"SELECT pg_advisory_xact_lock({key})",
        _limit("statement_timeout", STATEMENT),
    )


def _limit(setting: str, span: timedelta) -> str:
    return f"SET LOCAL {setting} = {span // timedelta(milliseconds=1)}"


def _configure(connection: psycopg.Connection[Any]) -> None:
    # Every number is a BIGINT, so that a statement is prepared once and not for each size of number.
    connection.adapters.register_dumper(int, Int8Dumper)


@lru_cache(maxsize=1024)
def _numbered(text: str) -> bytes:
    """Return a statement with PostgreSQL's placeholders. No statement of ours has a question mark otherwise."""
    first, *others = text.split("?")
    return (first + "".join(f"${n}{part}" for n, part in enumerate(others, 1))).encode()


def _unknown() -> datetime:
    """The time before the database was asked."""
    return datetime.min.replace(tzinfo=UTC)
