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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar, cast

import psycopg
from msgspec.structs import replace
from psycopg import RawCursor
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row
from psycopg.types.numeric import Int8Dumper
from psycopg_pool import ConnectionPool

from genkan.engine.transaction import Decide, Loaded, Needs, StoreUnavailable
from genkan.store import documents, sql
from genkan.store.batch import BATCH, Answer, Batches, Connection, Faults, Waiting
from genkan.store.foresight import Foresight
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
SELECT f.version, f.body, g.revision, g.revoked_at, g.body, s.body, p.body, e.revision, e.body,
       ARRAY(SELECT a.body FROM authenticator a
              WHERE a.subject = s.id AND (a.state = 'active' OR n.whole OR e.subject IS NOT NULL) ORDER BY a.id),
       CASE WHEN n.whole OR e.subject IS NOT NULL THEN ARRAY(
           SELECT r.body FROM refresh_grant r WHERE r.subject = s.id AND r.revoked_at IS NULL ORDER BY r.id) END,
       CASE WHEN CAST(? AS boolean) THEN ARRAY(
           WITH RECURSIVE containing (id) AS (
               SELECT group_id FROM membership WHERE member_id = s.id
                UNION
               SELECT m.group_id FROM membership m JOIN containing c ON m.member_id = c.id
           ) SELECT id FROM containing) END,
       r.body
  FROM unnest(CAST(? AS bytea[]), CAST(? AS text[]), CAST(? AS text[]), CAST(? AS text[]), CAST(? AS boolean[]),
              CAST(? AS text[]), CAST(? AS boolean[])) WITH ORDINALITY
       AS n (flow, granted, subject, identifier, reserved, case_id, whole, place)
  LEFT JOIN flow f ON f.id = n.flow
  LEFT JOIN refresh_grant g ON g.id = n.granted
  LEFT JOIN subject s ON s.id = coalesce(n.subject, (SELECT c.subject FROM emergency c WHERE c.case_id = n.case_id),
      f.subject, g.subject, (
      SELECT i.subject FROM identifier i
       WHERE i.key = coalesce(n.identifier, CAST(f.body AS json) #>> '{identifier,key}')))
  LEFT JOIN footprint p ON p.subject = s.id
  LEFT JOIN reserve r ON n.reserved AND r.subject = s.id
  LEFT JOIN emergency e ON e.subject = s.id
 ORDER BY n.place
"""
"""What steps are decided on but for their counters: flow, grant, person, their methods and groups."""

BUCKETS: Final = "SELECT name, history FROM bucket WHERE name = ANY(CAST(? AS text[]))"

BEGUN: Final = """
SELECT clock_timestamp(), m.value, a.seq, a.link FROM meta m
  LEFT JOIN (SELECT seq, link FROM audit ORDER BY seq DESC LIMIT 1) a ON TRUE WHERE m.name = 'revision'
"""
"""What every transaction begins with: the time, the revision of what is configured, the head of the audit log."""


def _many(statement: sql.Statement, types: str) -> str:
    """Return the statement that inserts as many rows as there are in an array for each of its values."""
    head, _, rest = statement.text.partition(" VALUES (")
    values, _, tail = rest.partition(")")
    kinds = types.split()
    arrays = ", ".join(f"CAST(? AS {kind}[])" for kind in kinds)
    columns = [f"c{n}" for n in range(len(kinds))]
    left = iter(columns)
    chosen = ", ".join(f"n.{next(left)}" if value == "?" else value for value in values.split(", "))
    return f"{head} SELECT {chosen} FROM unnest({arrays}) AS n ({', '.join(columns)}){tail}"  # noqa: S608


MANY: Final = {
    sql.INSERT_FLOW: _many(sql.INSERT_FLOW, "bytea text bigint text"),
    sql.UPDATE_FLOW: (
        "UPDATE flow SET version = flow.version + 1, subject = n.subject, keep_until = n.keep_until, body = n.body"
        " FROM unnest(CAST(? AS text[]), CAST(? AS bigint[]), CAST(? AS text[]), CAST(? AS bytea[]),"
        " CAST(? AS bigint[])) AS n (subject, keep_until, body, id, version)"
        " WHERE flow.id = n.id AND flow.version = n.version"
    ),
    sql.REPLACE_BUCKET: _many(sql.REPLACE_BUCKET, "text text bigint"),
    sql.REPLACE_FOOTPRINT: _many(sql.REPLACE_FOOTPRINT, "text text"),
    sql.INSERT_OUTBOX: _many(sql.INSERT_OUTBOX, "bigint bigint text text bytea"),
    sql.INSERT_AUDIT: _many(sql.INSERT_AUDIT, "bigint bigint text text text text text text text bytea"),
    sql.REPLACE_SIGN_IN: _many(sql.REPLACE_SIGN_IN, "text bigint text text text bigint text bigint text"),
}
"""What nearly every step writes, for all steps of a batch at once."""

UPSERTS: Final = frozenset({sql.REPLACE_BUCKET, sql.REPLACE_FOOTPRINT, sql.REPLACE_SIGN_IN})
"""One statement changes a row once; which row is said by the first value."""


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

    def begin(self, characteristics: str, *further: str) -> sql.Row | None:
        """
        Begin a transaction in the tenant's schema, by one message to the server.

        Return the first row of the last of `further`.
        """
        parts = (
            f"BEGIN {characteristics}",
            f"SET LOCAL search_path = {self._schema}",  # It is letters and digits: see `schema_of`.
            _limit("idle_in_transaction_session_timeout", IDLE),
            *further,
        )
        cursor = self._connection.execute("; ".join(parts).encode(), prepare=False)
        while cursor.nextset():
            pass
        return cursor.fetchone() if cursor.description else None

    def execute(self, text: str, row: Sequence[Any] = (), /) -> sql.Rows:
        cursor = self._connection.execute(_numbered(text), row or None)
        self._count(cursor)
        return cursor

    def write(self, writes: Sequence[sql.Write]) -> None:
        """
        Execute all of these without waiting in between, those that many steps have in common together and last.

        Raises: `Stale`, as `Batches.write`.
        """
        with self._connection.pipeline():
            done = [
                (statement, size, self._connection.execute(_numbered(text), row))
                for statement, size, text, row in _together(writes)
            ]
        for statement, size, cursor in done:
            if cursor.rowcount != size and statement.guarded:
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
                check_owner(execute, name, tenant_id, keys)
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
        self._foresight = Foresight()
        self._batches: QueuedBatches = QueuedBatches(
            database, tenant_id, began=self._begin, committed=self._publish, foresee=self._foresee
        )

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
                claim(execute, name, tenant_id, keys)
            return cls(database, tenant_id, sealer, clock, keys.of(KeyPurpose.AUDIT, tenant_id))
        except psycopg.Error as error:
            raise database.unreachable(error) from error

    async def close(self) -> None:
        """Finish what waits. Done again it does nothing."""
        if not self._closed:
            await super().close()
            await self._batches.close()

    # Inside a transaction. -------------------------------------------------------------------------------------------

    def _take_time(self, execute: sql.Execute) -> None:
        for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
            execute(_limit(setting, timedelta()), ())

    def _begin(self) -> None:
        """Begin with what the transaction was told at its beginning, and ask again only after something was undone."""
        self._foresight.clear()
        row = self._batches.begun()
        if row is None:
            super()._begin()
            return
        now, revision, *head = row
        self._now = max(self._now, self._clock() if self._has_clock else now.astimezone(UTC))
        self._chain.began(None if head[0] is None else (head[0], head[1]))
        if revision != self._known.revision:
            self._known = documents.read(self._batches.writer.execute, self._known, self._tenant)

    def _step(self, needs: Needs, decide: Decide[T]) -> T:
        loaded = self._load(self._batches.writer.execute, needs)
        change, answer = decide(loaded)
        self._write(change, loaded)
        if self._batches.defers:
            self._foresight.wrote(change)
        return answer

    def _foresee(self, steps: Sequence[Needs]) -> None:
        """Read for all these steps what each will need, by two exchanges with the server."""
        execute, foresight = self._batches.writer.execute, self._foresight
        names: dict[str, None] = {}
        steps = [needs for needs in steps if _is_text(needs)]
        for needs, loaded in zip(steps, self._states(execute, steps), strict=True):
            if needs.buckets is not None:
                try:
                    names.update(dict.fromkeys(needs.buckets(loaded)))
                except Exception:  # noqa: BLE001, S112 - it fails again when it is that step's turn, and takes no other with it.
                    continue
            foresight.foresee(needs, loaded)
        foresight.limits(_histories(execute, names), names)

    def _load(self, execute: sql.Execute, needs: Needs) -> Loaded:
        foresight = self._foresight
        loaded = foresight.take(needs)
        if loaded is None:
            self._batches.catch_up()
            (loaded,) = self._states(execute, (needs,))
        if needs.buckets is None or not (names := dict.fromkeys(needs.buckets(loaded))):
            return loaded
        known = foresight.histories if self._batches.defers else {}
        if unknown := [name for name in names if name not in known]:
            found = _histories(execute, unknown)
            known |= {name: found.get(name, ()) for name in unknown}
        return replace(loaded, histories={name: known[name] for name in names})

    def _states(self, execute: sql.Execute, steps: Sequence[Needs]) -> Iterator[Loaded]:
        """Load for each of these what `sql.load` would ask for by many statements; no limits yet."""
        known = self._known
        asked = (
            known.has_groups,
            [needs.flow for needs in steps],
            [needs.grant for needs in steps],
            [needs.subject for needs in steps],
            [needs.identifier for needs in steps],
            [needs.reserve for needs in steps],
            [needs.case for needs in steps],
            [needs.whole for needs in steps],
        )
        for needs, row in zip(steps, execute(AT_ONCE, asked).fetchall(), strict=True):
            flow, grant, person = row[0:2], row[2:5], row[5:9]
            seen = {
                sql.FLOW: [flow] if flow[0] is not None else [],
                sql.GRANT: [grant] if grant[0] is not None else [],
                sql.SUBJECT: [person] if person[0] is not None else [],
                sql.HOLDER: [person] if person[0] is not None else [],
                sql.AUTHENTICATORS: [(body,) for body in row[9] or ()],
                sql.EVERY_AUTHENTICATOR: [(body,) for body in row[9] or ()],
                sql.FAMILIES: [(body,) for body in row[10] or ()],
                sql.GROUPS: [(group,) for group in row[11] or ()],
                sql.SUBJECT_OF_CASE: [(needs.case,)]
                if person[0] is not None
                else [],  # They are in `person`.
                sql.RESERVE: [(row[12],)] if row[12] is not None else [],
            }
            state = replace(needs, buckets=None)
            yield sql.load(_foreseen(seen), state, self._now, known.directory, known.has_groups)


def _is_text(needs: Needs) -> bool:
    """PostgreSQL can be asked for it. What bears a NUL it cannot; such a step fails when it is its turn, and alone."""
    return not any(
        "\0" in (name or "") for name in (needs.identifier, needs.grant, needs.subject, needs.case)
    )


def _foreseen(seen: Mapping[str, list[sql.Row]]) -> sql.Execute:
    """Answer statements with what was read before."""
    return lambda text, _: Seen(seen[text])


def _histories(execute: sql.Execute, names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return the histories that there are of these limits."""
    asked = list(names)
    return (
        {name: sql.history_of(body) for name, body in execute(BUCKETS, (asked,)).fetchall()} if asked else {}
    )


class QueuedBatches(Batches):
    """The writer of one tenant in this process: a thread that does one batch after the other."""

    def __init__(
        self,
        database: Database,
        tenant_id: str,
        *,
        began: Callable[[], None],
        committed: Callable[[], None],
        foresee: Callable[[Sequence[Needs]], None],
    ) -> None:
        """Begin to take work. `foresee` is told what the steps of a batch need before the first of them runs."""
        super().__init__(lambda: database.session(tenant_id), FAULTS, began=began, committed=committed)
        self._alone_here = _alone(tenant_id)
        self._foresee = foresee
        self._told: sql.Row | None = None
        self._kept_back: list[sql.Write] = []
        self.defers = False
        """Steps run, and what they write is kept back until somebody must see it."""
        self._queue: SimpleQueue[tuple[asyncio.AbstractEventLoop, Waiting] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="store-batch", daemon=True)
        self._thread.start()

    def begun(self) -> sql.Row | None:
        """Return the row of `BEGUN` that the transaction began with, once."""
        told, self._told = self._told, None
        return told

    def write(self, writes: Sequence[sql.Write]) -> None:
        """Execute the statements of one change by one exchange with the server, or keep them back."""
        self._kept_back += writes
        if not self.defers:
            self.catch_up()

    def catch_up(self) -> None:
        """Execute what was kept back. Raises: `Stale`."""
        writes, self._kept_back = self._kept_back, []
        if writes:
            cast("Session", self.writer).write(writes)

    def _arranged(self, batch: Sequence[Waiting]) -> Iterator[Waiting]:
        """Other work first, then the steps, with what they need read for all of them before."""
        steps = [
            waiting for waiting in batch if waiting.arguments and isinstance(waiting.arguments[0], Needs)
        ]
        yield from (waiting for waiting in batch if waiting not in steps)
        if steps:
            self._foresee([waiting.arguments[0] for waiting in steps])
            self.defers = True
            yield from steps

    def _flush(self) -> None:
        self._kept_back += [(statement, row) for statement, rows in self._appended.items() for row in rows]
        self.catch_up()

    def _enqueue(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put((loop, Waiting(future, work, arguments)))
        return future

    def _open_transaction(self, writer: Connection) -> None:
        self._kept_back.clear()
        self.defers = False
        self._told = cast("Session", writer).begin("", *self._alone_here, BEGUN)

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


def _together(writes: Sequence[sql.Write]) -> Iterator[tuple[sql.Statement, int, str, sql.Row]]:
    """Yield what to execute for these, each with the rows it must change if it is guarded."""
    many: dict[sql.Statement, list[sql.Row]] = {}
    for statement, row in writes:
        if statement in MANY:
            many.setdefault(statement, []).append(row)
        else:
            yield statement, 1, statement.text, row
    for statement, rows in many.items():
        for some in _apart(rows) if statement in UPSERTS else (rows,):
            yield statement, len(some), MANY[statement], tuple(map(list, zip(*some, strict=True)))


def _apart(rows: Sequence[sql.Row]) -> Iterator[list[sql.Row]]:
    """Yield the rows in their order, no two for one key at once."""
    while rows:
        some: dict[Any, sql.Row] = {}
        later = [row for row in rows if some.setdefault(row[0], row) is not row]
        yield list(some.values())
        rows = later


@lru_cache(maxsize=1024)
def _numbered(text: str) -> bytes:
    """Return a statement with PostgreSQL's placeholders. No statement of ours has a question mark otherwise."""
    first, *others = text.split("?")
    return (first + "".join(f"${n}{part}" for n, part in enumerate(others, 1))).encode()


def _unknown() -> datetime:
    """The time before the database was asked."""
    return datetime.min.replace(tzinfo=UTC)
