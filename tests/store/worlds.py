"""What the tests of the store build on: a clock, values of the model, and the databases to be tested."""

from __future__ import annotations

import atexit
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import psycopg
from msgspec.structs import replace

from genkan.engine.flow import AwaitingProof, Flow, Offers
from genkan.engine.messages import Count, Deliver, Effect, PutAuthenticator, PutGrant, PutSubject, Record
from genkan.engine.transaction import Change, Decide, Loaded, Outgoing, Settled
from genkan.model import (
    Authenticator,
    Challenge,
    Channel,
    Demand,
    Evidence,
    Grant,
    Identifier,
    Kind,
    Message,
    Purpose,
    Scalar,
    Secret,
    Subject,
)
from genkan.store.postgres import Database, PostgresStore, schema_of
from genkan.store.sealing import Keys
from genkan.store.sqlite import SqliteStore
from genkan.store.tenant import Store
from tests import postgres

TENANT = "11111111-1111-4111-8111-111111111111"
START = datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
MASTER = hashlib.sha256(b"the master key of the tests").digest()

ARGON2 = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$c29tZWhhc2hzb21laGFzaHNvbWVoYXNoc29tZWhhc2g"

_numbers = itertools.count(1)


def guid() -> str:
    """Return an id that no other call returns."""
    return f"{next(_numbers):08x}-0000-4000-8000-000000000000"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def move(self, span: timedelta) -> None:
        self.now += span


class SqlitePlace:
    """Where a SQLite database lies, and a way into it past the store."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tenant.db"

    def open(
        self, clock: Callable[[], datetime], master: bytes = MASTER, tenant: str = TENANT
    ) -> SqliteStore:
        return SqliteStore.open(self.path, tenant, Keys(master), clock)

    def execute(self, store: Store, text: str, *row: Any) -> list[Any]:
        """Execute a statement beside the store, as an operator might, and commit it."""
        assert isinstance(store, SqliteStore)
        connection = store._connect()
        try:
            return connection.execute(text, row).fetchall()
        finally:
            connection.close()


class PostgresPlace:
    """Where a PostgreSQL database lies, and a way into it past the store."""

    def __init__(self, folder: Path) -> None:
        self.url = postgres.emptied(schema_of(TENANT))

    def open(
        self, clock: Callable[[], datetime], master: bytes = MASTER, tenant: str = TENANT
    ) -> PostgresStore:
        return PostgresStore.open(_database(self.url), tenant, Keys(master), clock)

    def execute(self, store: Store, text: str, *row: Any) -> list[Any]:
        """Execute a statement beside the store, as an operator might, and commit it."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"SET search_path = {schema_of(TENANT)}".encode())
            found = connection.execute(text.replace("?", "%s").encode(), row)
            return found.fetchall() if found.description else []


@cache
def _database(url: str) -> Database:
    """The connections that the stores of this process share, as those of a server do."""
    database = Database(url)
    atexit.register(database.close)
    return database


Place = SqlitePlace | PostgresPlace

PLACES = [SqlitePlace, PostgresPlace]
"""Every kind of database there is; each runs through the whole of `test_contract.py`."""


S_co = TypeVar("S_co", bound=Store, covariant=True)


class Opens(Protocol[S_co]):
    """A place with a store of some kind."""

    def open(self, clock: Callable[[], datetime]) -> S_co: ...


@asynccontextmanager
async def opened(place: Opens[S_co], clock: Clock | None = None) -> AsyncIterator[S_co]:
    """Open a store, and close it however the block ends."""
    store = place.open(clock or Clock())
    try:
        yield store
    finally:
        await store.close()


# Values. -------------------------------------------------------------------------------------------------------------


def an_email(name: str = "") -> Identifier:
    key = f"{name or guid()}@example.com"
    return Identifier("email", key, key.capitalize())


def a_subject(*identifiers: Identifier, attributes: dict[str, Scalar] | None = None) -> Subject:
    found = identifiers or (an_email(),)
    return Subject(
        id=guid(), identifiers=found, attributes=attributes or {"city": "Zürich"}, created_at=START
    )


def a_password(subject: Subject) -> Authenticator:
    return Authenticator(
        id=guid(), subject=subject.id, kind=Kind.PASSWORD, material=Secret(ARGON2), created_at=START
    )


def a_mailbox(subject: Subject) -> Authenticator:
    return Authenticator(
        id=guid(),
        subject=subject.id,
        kind=Kind.EMAIL_OTP,
        target=subject.email,
        created_at=START + timedelta(seconds=1),
    )


def a_flow(subject: Subject | None = None, identifier: Identifier | None = None) -> Flow:
    flow = guid()
    return Flow(
        id=hashlib.blake2b(flow.encode(), digest_size=16).digest(),
        purpose=Purpose.SIGN_IN,
        client=guid(),
        dialect="entra_v1",
        offers=Offers(password=True, code=True),
        stage=AwaitingProof(
            part="first",
            challenge=Challenge(
                id=guid(),
                kind=Kind.EMAIL_OTP,
                target=identifier,
                answer=b"\x00\xffdigest",
                length=8,
                issued_at=START,
                expires_at=START + timedelta(minutes=5),
            ),
        ),
        identifier=identifier,
        subject=subject.id if subject else None,
        evidence=(Evidence(kind=Kind.PASSWORD, at=START, part="first"),),
        correlation_id=flow,
        created_at=START,
        expires_at=START + timedelta(minutes=10),
    )


def a_grant(subject: Subject) -> Grant:
    return Grant(
        id=hashlib.blake2b(guid().encode(), digest_size=16).hexdigest(),
        subject=subject.id,
        client=guid(),
        demand=Demand(scopes=("openid",), resource=guid()),
        evidence=(),
        epoch=0,
        head=b"head",
        rotated_at=START,
        created_at=START,
        idle_expires_at=START + timedelta(days=14),
        expires_at=START + timedelta(days=90),
    )


def a_message(to: str = "someone@example.com", now: datetime = START) -> Message:
    return Message(
        id=guid(),
        channel=Channel.EMAIL,
        to=to,
        purpose="sign_in",
        code=Secret("31415926"),
        values={"name": "Zoë"},
        created_at=now,
        expires_at=now + timedelta(minutes=5),
    )


def a_record(action: str = "signin:proof:wrong", correlation_id: str = "") -> Record:
    return Record(
        action=action, reason="wrong_code", correlation_id=correlation_id, detail={"kind": "email_otp"}
    )


# Steps. --------------------------------------------------------------------------------------------------------------


def writes(*effects: Effect, flow: Flow | None = None) -> Decide[None]:
    """Return a step that writes this, whatever was loaded."""
    return lambda _: (Change(flow=flow, effects=effects), None)


def looks(loaded: Loaded) -> tuple[Change, Loaded]:
    """A step that writes nothing and answers with what it saw."""
    return Change(), loaded


def fails_once_more(loaded: Loaded) -> tuple[Change, int]:
    """A step that counts a failure in the flow and says so."""
    assert loaded.flow is not None
    failures = loaded.flow.failures + 1
    flow = replace(loaded.flow, failures=failures)
    return Change(flow=flow, effects=(a_record(correlation_id=flow.correlation_id),)), failures


def everything() -> tuple[Flow, Subject, tuple[Effect, ...]]:
    """Return one of each kind of effect, about one subject, in one change."""
    subject = a_subject()
    effects: tuple[Effect, ...] = (
        a_record(),
        PutAuthenticator(a_mailbox(subject)),
        PutSubject(subject),
        PutGrant(a_grant(subject)),
        Count(bucket="guesses:" + subject.id, history=(1, 2), keep_until=START + timedelta(hours=1)),
        Deliver(a_message()),
    )
    return a_flow(subject), subject, effects


def ended(how: Literal["sent", "unclear", "refused", "again"], *rows: Outgoing, **said: Any) -> list[Settled]:
    """What became of leased rows."""
    return [Settled(id=row.id, how=how, **said) for row in rows]
