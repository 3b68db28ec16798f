"""
One tenant's database, whatever it lies in: what is read of it, and the one door by which it is written.

Knows the statements (`sql`, `people`, `documents`, `outbox`, `chain`) and the batch, and no driver: how a transaction
comes about is said by `sqlite` and `postgres`.
Source: docs/explanation/architecture.md; security requirements TIM-01, TIM-03.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, TypeVar

from genkan import metrics
from genkan.engine import aftermath
from genkan.engine.aftermath import Noted, Since
from genkan.engine.messages import Detection, Directory, Document, Record, SignIn
from genkan.engine.queries import AuditQuery, Listed, Query
from genkan.engine.transaction import (
    Audited,
    Change,
    Dead,
    Decide,
    DetectionQuery,
    Loaded,
    Needs,
    Outgoing,
    Pulse,
    Settled,
    SignInQuery,
    Taken,
    Waiting,
    Way,
)
from genkan.model import Group, Stream, Subject
from genkan.store import carrying, chain, documents, outbox, people, signals, sql
from genkan.store.batch import Batches
from genkan.store.chain import Chain, Chained
from genkan.store.journal import Journal
from genkan.store.people import View
from genkan.store.sealing import CannotOpen, KeyPurpose, Keys, SealBroken, Sealer
from genkan.telemetry import log
from genkan.tokens.keys import SigningKey

T = TypeVar("T")

TRIMMED_EVERY: Final = timedelta(days=1)
"""How much too old the first audit row must be before any is removed: each removal is itself a row."""

SWEPT_AT_ONCE: Final = 500
"""Rows deleted in one transaction, so that nobody waits long for a sweep."""

OURS: Final = frozenset({"revision", "tenant", "seal", carrying.KEYS, chain.ANCHOR})
"""Names in `meta` that are the store's own."""


class Reader(ABC):
    """A tenant's database, to be read only."""

    def __init__(
        self, tenant_id: str, sealer: Sealer, clock: Callable[[], datetime], chain_key: bytes
    ) -> None:
        self._tenant = tenant_id
        self._sealer = sealer
        self._chain_key = chain_key
        self._clock = clock
        self._now = clock()
        self._closed = False
        self._committed: documents.Configuration
        """What is configured, as last committed."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the database. Done again it does nothing."""

    @abstractmethod
    async def _read(self, load: Callable[[sql.Execute], T]) -> T:
        """
        Load something in a transaction of its own, which sees one state.

        Raises: `StoreUnavailable`.
        """

    def directory(self) -> Directory:
        """Return what is configured, as last committed."""
        return self._committed.directory

    async def refresh(self) -> int:
        """See what is configured now, whoever changed it; return its revision."""
        return (await self._read(self._see)).directory.revision

    async def time(self) -> datetime:
        """What time it is for whatever is written now. Raises: `StoreUnavailable`."""
        return await self._read(self._tick)

    async def pulse(self) -> Pulse:
        """Say how it goes. Raises: `StoreUnavailable`."""

        def look(execute: sql.Execute) -> Pulse:
            now = self._tick(execute)
            moment = sql.to_milliseconds(now)
            waiting, due = execute(sql.BACKLOG, (moment,)).fetchone()
            overdue = timedelta(milliseconds=max(0, moment - (due if due is not None else moment)))
            last = execute(chain.HEAD, ()).fetchone()
            return Pulse(now, waiting, overdue, last[0] if last else 0)

        return await self._read(look)

    async def read(self, needs: Needs) -> Loaded:
        """Return one consistent view of what was committed last."""

        def load(execute: sql.Execute) -> Loaded:
            seen = self._see(execute)
            return sql.load(execute, needs, self._tick(execute), seen.directory, seen.has_groups)

        return await self._read(load)

    async def meta(self, name: str) -> str | None:
        """Return a value kept under a name; None when there is none."""
        row = await self._read(lambda execute: execute(sql.META, (name,)).fetchone())
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

        return await self._read(load)

    async def begun_as(self, correlation_id: str) -> tuple[str, ...]:
        """Return the correlation ids of the flows of which some later step had this one."""
        wanted = f'"request":"{correlation_id}"'
        return await self._read(
            lambda execute: tuple(id for (id,) in execute(sql.BEGUN_AS, (wanted,)).fetchall())
        )

    async def sign_ins(self, query: SignInQuery) -> tuple[SignIn, ...]:
        """Return entries of the sign-in log, newest first."""
        return await self._read(lambda execute: sql.sign_ins(execute, query))

    async def people(self, query: Query, *, deleted: bool = False) -> Listed:
        """Return a page of people, deleted ones or the others."""
        return await self._read(lambda execute: people.people(execute, query, deleted=deleted))

    async def groups(self, query: Query) -> Listed:
        """Return a page of groups."""
        return await self._read(lambda execute: people.groups(execute, query))

    async def members(
        self, group: str, *, after: str = "", limit: int = 100, transitive: bool = False
    ) -> tuple[tuple[str, Subject | Group | None], ...]:
        """Return members after this id, by id; beside an id None for what is no person and no group."""
        return await self._read(
            lambda execute: people.members(execute, group, after, limit, transitive=transitive)
        )

    async def groups_of(
        self, member: str, *, after: str = "", limit: int = 100, transitive: bool = False
    ) -> tuple[Group, ...]:
        """Return the groups that somebody is in after this id, by id."""
        return await self._read(
            lambda execute: people.groups_of(execute, member, after, limit, transitive=transitive)
        )

    async def audits(self, query: AuditQuery) -> tuple[Audited, ...]:
        """Return changes by administrators, newest first."""
        return await self._read(lambda execute: people.audits(execute, query))

    async def look(self, at: Callable[[View], T]) -> T:
        """Return what is seen of people and groups in one consistent view of what was committed last."""

        def load(execute: sql.Execute) -> T:
            seen = self._see(execute)
            return at(View(execute, self._tick(execute), seen.directory, seen.has_groups))

        return await self._read(load)

    async def signing_keys(self) -> tuple[SigningKey, ...]:
        """
        Return the signing keys, those that sign first before the others.

        Raises: `SealBroken`.
        """

        return await self._read(self._keys)

    async def verify_trail(self, expected: str | None = None) -> Chained:
        """
        Say whether the audit log is as it was written (LOG-05). `expected` is a head noted earlier.

        Reads all of it: a second for some hundred thousand rows, during which nothing else is done here.
        """
        return await self._read(lambda execute: chain.verify(execute, self._chain_key, expected))

    async def export(self, id: str) -> dict[str, Any] | None:
        """Return everything that is kept about a person and is theirs to know; None for nobody."""
        return await self._read(lambda execute: people.export(execute, id))

    async def detections(self, query: DetectionQuery) -> tuple[Detection, ...]:
        """Return what was found risky, newest first."""
        return await self._read(lambda execute: sql.detections(execute, query))

    async def untaken(self, stream: Stream, limit: int) -> Sequence[Waiting]:
        """Return signals that a receiver who asks for them has not acknowledged, oldest first."""
        return await self._read(lambda execute: signals.untaken(execute, stream.id, stream.status, limit))

    async def dead_signals(self, limit: int = 100) -> tuple[Dead, ...]:
        """Return signals that no receiver took, the latest first."""
        return await self._read(lambda execute: signals.dead(execute, limit))

    async def waiting_signals(self) -> dict[str, tuple[int, int]]:
        """Return for each stream how many signals wait for it, and how many were given up."""
        return await self._read(signals.waiting)

    async def carry_out(
        self,
        put: Callable[[carrying.Frame], None],
        told: carrying.Told = lambda *_: None,
        opened: carrying.Seals | None = None,
    ) -> carrying.Carried:
        """
        Put all of the tenant that is carried elsewhere, as it is at one time, whoever writes meanwhile.

        What is sealed stays so, unless there is something to open it with.
        """

        def carry(execute: sql.Execute) -> carrying.Carried:
            tenant = self._see(execute).directory.tenant
            return carrying.carry(execute, put, tenant, self._tick(execute), told, opened)

        return await self._read(carry)

    # Inside a transaction. -------------------------------------------------------------------------------------------

    def _tick(self, execute: sql.Execute) -> datetime:
        """Read the clock. It never goes backwards (TIM-03)."""
        self._now = max(self._now, self._clock())
        return self._now

    def _see(self, execute: sql.Execute) -> documents.Configuration:
        """Return what is configured, and keep it unless something newer was seen meanwhile."""
        seen = documents.read(execute, self._committed, self._tenant)
        self._keep(seen)
        return seen

    def _keep(self, seen: documents.Configuration) -> None:
        if seen.directory.revision > self._committed.directory.revision:
            self._committed = seen

    def _keys(self, execute: sql.Execute) -> tuple[SigningKey, ...]:
        return tuple(self._open_key(*row) for row in execute(sql.SIGNING_KEYS, ()).fetchall())

    def _open_key(
        self, kid: str, created_at: int, activates_at: int, retires_at: int | None, sealed: bytes
    ) -> SigningKey:
        return SigningKey.from_pem(
            self._sealer.open(sql.SIGNING_KEY_PEM, kid, sealed),
            created_at=sql.from_milliseconds(created_at),
            activates_at=sql.from_milliseconds(activates_at),
            retires_at=None if retires_at is None else sql.from_milliseconds(retires_at),
        )


class Store(Reader):
    """One tenant's database. To be used from one event loop."""

    is_shared: ClassVar[bool]
    """Other processes may write to it as well."""

    _batches: Batches

    def __init__(
        self, tenant_id: str, sealer: Sealer, clock: Callable[[], datetime], chain_key: bytes
    ) -> None:
        self._journal: Journal | None = None
        super().__init__(tenant_id, sealer, clock, chain_key)
        self._known: documents.Configuration
        """What is configured, as the transaction of the batch sees it."""
        self._chain = Chain(chain_key, lambda: self._batches.writer.execute)

    async def keep(self, journal: Journal) -> None:
        """Tell a journal from now on what a restore must not undo; whatever steps write."""
        self._journal = journal
        journal.begin(await self.time())

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

    async def lease(self, limit: int, channel: Way | None = None) -> Sequence[Outgoing]:
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
        """Make due, at the start of a process, what another has leased that is certainly gone."""

    async def lease_signals(self, stream: Stream, limit: int) -> Sequence[Waiting]:
        """Take up to `limit` signals of a stream that are due; nobody else is given them while the lease lasts."""
        return await self._work(
            lambda execute: signals.lease(execute, stream.id, stream.status, limit, self._now)
        )

    async def settle_signals(self, stream: str, taken: Sequence[Taken]) -> None:
        """Write down what became of signals of a stream; those of other streams are passed over."""
        if taken:
            await self._work(
                lambda execute: signals.settle(execute, stream, taken, self._now, self._auditing(execute))
            )

    async def give_up_signals(self) -> int:
        """Give up what no receiver took in its time; return how many."""
        return await self._work(lambda execute: signals.give_up(execute, self._now, self._auditing(execute)))

    async def revive_signals(self, id: str = "") -> int:
        """Offer again what was given up: the one of this id, or all; return how many."""
        return await self._work(lambda execute: signals.revive(execute, id, self._now))

    async def sweep(self) -> int:
        """Delete what ended long enough ago, and what logs keep no longer (PII-06); return how many rows."""
        swept = 0
        for text in sql.SWEEPS:
            deleted = SWEPT_AT_ONCE
            while deleted == SWEPT_AT_ONCE:
                deleted = await self._work(self._sweep, text)
                swept += deleted
        gone = self._now - people.KEPT_AFTER_DELETION
        while purged := await self._work(self._purge, gone):
            swept += purged
        return swept + await self._trim()

    async def _trim(self) -> int:
        """Remove what the audit log keeps no longer; return how many rows."""
        oldest = await self._read(lambda execute: execute(chain.OLDEST, ()).fetchone())
        until = self._now - self.directory().tenant.audit_retention
        if oldest is None or oldest[0] >= sql.to_milliseconds(until - TRIMMED_EVERY):
            return 0
        removed = 0
        while (trimmed := await self._work(self._trim_some, until)) is not None:
            removed += trimmed.rows
            if trimmed.broken_at is not None:
                metrics.AUDIT_BROKEN.inc()
                log.error("audit.broken", extra={"row": trimmed.broken_at})
        return removed

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

    async def renew_keys(
        self, decide: Callable[[tuple[SigningKey, ...]], Iterable[SigningKey]]
    ) -> tuple[SigningKey, ...]:
        """
        Keep what `decide` makes of the signing keys that there are, while nobody else changes them; return it.

        Raises: `SealBroken`; `StoreUnavailable`.
        """

        def renew(execute: sql.Execute) -> tuple[SigningKey, ...]:
            before = self._keys(execute)
            after = tuple(decide(before))
            if changed := [key for key in after if key not in before]:
                for key in changed:
                    execute(sql.PUT_SIGNING_KEY.text, sql.signing_key_row(key, self._sealer))
                documents.touch(execute)
            return after

        return await self._work(renew)

    async def erase(self, id: str) -> None:
        """Forget a person for good who was deleted, without waiting until they can be brought back no more."""

        def erase(execute: sql.Execute) -> None:
            outbox.forget(execute, people.addresses(execute, id), self._sealer)
            self._forget(execute, id)
            self._auditing(execute)(Record(action="user:erased", subject=id))

        await self._work(erase)

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
            chain.forget(execute)
            documents.touch(execute)
            if seed is not None:
                documents.replace(execute, seed, self._tenant)

        await self._work(wipe)

    async def take_in(
        self,
        carried: carrying.Carried,
        rows: Callable[[], Iterable[carrying.Rows]],
        since: Since,
        actor: Mapping[str, str],
        sealed: carrying.Seals | None = None,
        *,
        key_is_lost: bool = False,
    ) -> tuple[str, ...]:
        """
        Put what was carried in the place of everything, in one transaction; return the ids of accounts held after it.

        `rows` begins anew each time it is called. `sealed`: what was opened when it was carried out is sealed by it.
        `key_is_lost`: what is sealed there can be opened by nobody.
        Raises: `CannotOpen` where accounts are not as they were carried; whatever `rows` raises.
        """

        def take(execute: sql.Execute) -> tuple[str, ...]:
            self._take_time(execute)
            carrying.empty(execute)
            now = max(self._now, carried.bearing.at)
            fate = carrying.Fate(
                now=now, since=since, draw=lambda: os.urandom(16), seals=sealed, key_is_lost=key_is_lost
            )
            found, held = carrying.fill(execute, rows(), fate)
            if sealed is not None:
                execute(sql.PUT_META, (carrying.KEYS, sealed.keys(carried.bearing.keys)))
            if found != carried.borne.accounts:
                raise CannotOpen(
                    "The accounts in the database are not those of the backup. Nothing was changed."
                )
            for id in since.erased():
                people.forget(execute, id)
            self._chain.began()
            self._auditing(execute)(carrying.record(carried, held, since, actor))
            documents.touch(execute)
            return held

        return await self._work(take)

    # Inside a transaction. -------------------------------------------------------------------------------------------

    def _take_time(self, execute: sql.Execute) -> None:
        """Let this transaction take as long as it needs."""

    def _begin(self) -> None:
        execute = self._batches.writer.execute
        self._tick(execute)
        self._chain.began()
        self._known = documents.read(execute, self._known, self._tenant)

    def _publish(self) -> None:
        self._keep(self._known)

    def _step(self, needs: Needs, decide: Decide[T]) -> T:
        loaded = self._load(self._batches.writer.execute, needs)
        change, answer = decide(loaded)
        self._write(change, loaded)
        return answer

    def _load(self, execute: sql.Execute, needs: Needs) -> Loaded:
        known = self._known
        return sql.load(execute, needs, self._now, known.directory, known.has_groups)

    def _administer(self, decide: Callable[[View], tuple[Change, T]]) -> T:
        writer, known = self._batches.writer, self._known
        change, answer = decide(View(writer.execute, self._now, known.directory, known.has_groups))
        self._write(change, Loaded(now=self._now, directory=known.directory))
        self._known = documents.read(writer.execute, known, self._tenant)
        return answer

    def _write(self, change: Change, loaded: Loaded) -> None:
        if self._journal is not None:
            self._journal.note(tuple(aftermath.noted(change, loaded, self._tenant)))
        now: list[sql.Write] = []
        appended: list[sql.Write] = []
        for write in sql.writes(change, loaded, self._sealer):
            (appended if write[0].appends else now).append(write)
        self._batches.write(now)
        for statement, row in appended:
            linked = self._chain.linked(row) if statement is sql.INSERT_AUDIT else row
            self._batches.append(statement, linked)

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

    def _trim_some(self, execute: sql.Execute, until: datetime) -> chain.Trimmed | None:
        """Remove some audit rows. That they were is a row, too, which says whether they were as they were written."""
        trimmed = chain.trim(execute, self._chain_key, sql.to_milliseconds(until), SWEPT_AT_ONCE)
        if trimmed is not None:
            self._auditing(execute)(Record(action="audit:trimmed", detail=trimmed._asdict()))
        return trimmed

    def _purge(self, execute: sql.Execute, before: datetime) -> int:
        """Forget people who were deleted before this time; return how many."""
        ids = people.expired(execute, before, SWEPT_AT_ONCE)
        for id in ids:
            self._forget(execute, id)
        return len(ids)

    def _forget(self, execute: sql.Execute, id: str) -> None:
        if self._journal is not None:
            self._journal.note([Noted(at=self._now, tenant=self._tenant, what="erased", about=id)])
        people.forget(execute, id)

    def _sweep(self, execute: sql.Execute, text: str) -> int:
        return execute(text, (sql.to_milliseconds(self._now), SWEPT_AT_ONCE)).rowcount


# Whose a database is. ------------------------------------------------------------------------------------------------


def claim(execute: sql.Execute, name: str, tenant_id: str, keys: Keys) -> None:
    """
    See to it that this is the database of this tenant under this master key; a new one becomes so.

    `name` is what a message calls the database. To be called in a transaction.
    Raises: `CannotOpen`.
    """
    if execute(sql.META, ("tenant",)).fetchone() is None:
        sealer = Sealer(keys.of(KeyPurpose.SEALING, tenant_id), tenant_id)
        execute(sql.PUT_META, ("tenant", tenant_id))
        execute(sql.PUT_META, ("seal", sealer.seal("meta.value", "seal", tenant_id.encode()).hex()))
    else:
        check_owner(execute, name, tenant_id, keys)


def check_owner(execute: sql.Execute, name: str, tenant_id: str, keys: Keys) -> None:
    """
    See to it that this is the database of this tenant under this master key, and use the keys that it came with.

    Raises: `CannotOpen`.
    """
    found = execute(sql.META, ("tenant",)).fetchone()
    if found is None:
        raise CannotOpen(f"The database {name} was never used: start a Genkan on it first.")
    if found[0] != tenant_id:
        raise CannotOpen(
            f"The database {name} is that of tenant {found[0]}, not of {tenant_id}: give its own."
        )
    (seal,) = execute(sql.META, ("seal",)).fetchone()
    sealer = Sealer(keys.of(KeyPurpose.SEALING, tenant_id), tenant_id)
    try:
        sealer.open("meta.value", "seal", bytes.fromhex(seal))
        if (own := execute(sql.META, (carrying.KEYS,)).fetchone()) is not None:
            keys.adopt(tenant_id, carrying.opened_keys(sealer, own[0]))
    except SealBroken:
        raise CannotOpen(
            f"The database {name} was made under another master key. Put back the key file that belongs to it; "
            f"without it nothing that is sealed there can be read."
        ) from None
