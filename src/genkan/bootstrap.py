"""
Put the rooms together: the only file that knows every one of them, and the only one that reads the system's clock.

Holds no rule. `development` builds what `genkan dev` serves; everything in it is the real thing but for the way out of
messages, which is the inbox.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import os
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from msgspec import Struct

from genkan import __version__, metrics, model, supervision
from genkan.console import demo_api, dev, pages, world
from genkan.console.world import Delivery, Place
from genkan.delivery.inbox import Inbox
from genkan.delivery.receipts import PATH, ReceiptEndpoint, address, wanted
from genkan.engine import receipts, story
from genkan.engine.aftermath import Since
from genkan.engine.messages import Directory
from genkan.engine.transaction import Outgoing, Settled, SignInQuery, StoreUnavailable
from genkan.exchange import Request, Response
from genkan.policy.model import Policy
from genkan.service import demo
from genkan.service.addresses import Addresses, CannotRead
from genkan.service.admin.door import Actor, Door
from genkan.service.conduct import Conductor, FlowKeys
from genkan.service.emergency import PAGE
from genkan.service.emergency import Door as EmergencyDoor
from genkan.service.extensions import ExtensionCalls
from genkan.service.hashing import Hashing
from genkan.service.incoming import Incoming
from genkan.service.issue import Issuer
from genkan.service.leaks import LeakedPasswords
from genkan.service.otp_send import OtpSend
from genkan.service.outside import Outside
from genkan.service.owner import Owner
from genkan.service.pinned import Pinned
from genkan.service.ports import Sender
from genkan.service.receipts import Receipts
from genkan.service.restoring import Restoring
from genkan.service.risk_source import HttpRiskSource
from genkan.service.signals import Signals
from genkan.service.telephony_risk import HttpTelephonyRisk
from genkan.service.worker import Worker
from genkan.settings import LOOPBACK, BadSettings, Settings, hosts
from genkan.store import carrying
from genkan.store.journal import Journal
from genkan.store.migrations import newest
from genkan.store.places import Places, places
from genkan.store.sealed_file import Lock, Opener, frames, written
from genkan.store.sealing import CannotOpen, KeyPurpose, Keys, Sealer, open_master_key
from genkan.store.sqlite import InUse
from genkan.store.tenant import Reader, Store
from genkan.telemetry import configure, log
from genkan.tokens import metadata
from genkan.tokens.claims import CLIENT_TOKEN_LIFETIME
from genkan.tokens.keys import Algorithm, KeyRing, SigningKey
from genkan.wire import health, registration, ssf
from genkan.wire.emergency import Endpoint as EmergencyEndpoint
from genkan.wire.graph.answers import Pages
from genkan.wire.graph.api import Tenancy
from genkan.wire.graph.tokens import Endpoint
from genkan.wire.http import App, Management, Page, TenantEdge, listen, serve
from genkan.wire.lost_device import Endpoint as LostDevicePage
from genkan.wire.owner import Endpoint as OwnerEndpoint

if TYPE_CHECKING:
    from genkan.delivery.doctor import Finding


class Clock:
    """
    The server's time: the system's, and in development mode moved forward by so much.

    Never backwards (TIM-03): where the system's clock steps back, time goes on at its pace from where it was.
    """

    def __init__(self) -> None:
        self._ahead = timedelta(0)
        self._latest = datetime.now(UTC)
        self._at = time.monotonic()

    def now(self) -> datetime:
        at = time.monotonic()
        self._latest = max(datetime.now(UTC) + self._ahead, self._latest + timedelta(seconds=at - self._at))
        self._at = at
        return self._latest

    @property
    def ahead(self) -> timedelta:
        """How far before the system's clock this one is."""
        return self._ahead

    def move_to(self, now: datetime) -> None:
        """Go on from a later time; an earlier one is passed over."""
        if now > self.now():
            self._ahead = now - datetime.now(UTC)
            self._latest = now


class CannotStart(Exception):
    """The server cannot start. The message says why, and what to do."""


class Surroundings:
    """What a deployment knows beside its tenants: of addresses, of leaked passwords, of risk."""

    def __init__(self, settings: Settings | None = None) -> None:
        """
        Open what the settings name.

        Raises: `CannotStart`.
        """
        settings = settings or Settings()
        lists = {
            "anonymizedIPAddress": settings.anonymous_networks,
            "maliciousIPAddress": settings.bad_networks,
        }
        corpus, api = settings.leaked_passwords, settings.leaked_passwords_api
        try:
            self.addresses = Addresses(
                proxies=settings.proxies,
                geo=settings.geo_database,
                lists={word: path for word, path in lists.items() if path is not None},
            )
            self.leaks = LeakedPasswords(corpus, api) if corpus or api else None
        except CannotRead as error:
            raise CannotStart(f"{error} Give another file, or leave the setting out.") from None
        self.risk_source = None
        if settings.risk_url:
            token = _token(settings.risk_token_file)
            self.risk_source = HttpRiskSource(settings.risk_url, token, settings.risk_deadline / 1000)
        try:
            self.pinned = Pinned(hosts(settings.webhook_hosts), settings.webhook_authorities)
        except OSError as error:  # Of which `ssl.SSLError` is one.
            raise CannotStart(
                f"The authorities in {settings.webhook_authorities} cannot be read: {error.strerror or error}. "
                "Give another file, or leave the setting out."
            ) from None
        self.webhook_client_id = settings.webhook_client_id
        self.journal = settings.journal
        self.telephony_risk = None
        if settings.telephony_risk_url:
            token = _token(settings.telephony_risk_token_file)
            deadline = settings.telephony_risk_deadline / 1000
            self.telephony_risk = HttpTelephonyRisk(settings.telephony_risk_url, token, deadline)

    async def close(self) -> None:
        await self.pinned.close()
        for service in (self.leaks, self.risk_source, self.telephony_risk):
            if service is not None:
                await service.close()


def _token(path: Path | None) -> model.Secret | None:
    """
    What a file holds that names a secret.

    Raises: `CannotStart`.
    """
    if path is None:
        return None
    try:
        return model.Secret(path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CannotStart(f"The token in {path} cannot be read: {why}. Give another file.") from None


class StreamSecrets:
    """Seals what receivers of security events want to be shown, each for its stream."""

    def __init__(self, key: bytes, tenant: str) -> None:
        self._sealer = Sealer(key, tenant)

    def seal(self, stream: str, text: str) -> bytes:
        return self._sealer.seal(carrying.STREAM_AUTHORIZATION, stream, text.encode("ascii"))

    def open(self, stream: model.Stream) -> str:
        """Raises: `SealBroken`."""
        return self._sealer.open(carrying.STREAM_AUTHORIZATION, stream.id, stream.authorization).decode(
            "ascii"
        )


DRAIN = timedelta(seconds=5)
"""How long a server that is asked to stop still answers on connections that are open."""

LEAST_TOKEN = 16
"""Characters of the token for metrics."""

ADRIFT = timedelta(seconds=30)
"""How far the clocks of a node and its database may be apart before it issues nothing more (TIM-01)."""

FOLLOWED_EVERY = timedelta(seconds=1)
"""How often a process looks at what others have changed of a tenant that it shares with them (CA-03, KEY-04)."""


class TenantRuntime:
    """One tenant, running: its database, its keys, and what answers for it."""

    def __init__(
        self,
        store: Store,
        tenant_id: str,
        keys: Keys,
        clock: Clock,
        hashing: Hashing,
        base_url: str,
        locate: Callable[[str], model.Place] | None = None,
        surroundings: Surroundings | None = None,
        administration_url: str = "",
    ) -> None:
        """`administration_url` is where administrators are, if not at the public address."""
        around = surroundings or Surroundings()
        self.id = tenant_id
        self.store = store
        self._journal = around.journal
        self.receipts = Receipts(store, keys.of(KeyPurpose.RECEIPTS, tenant_id))
        self._clock = clock
        self._ring = KeyRing()
        self._seen = 0
        """The revision of what is configured when the keys were read."""
        self._following: asyncio.Task[None] | None = None
        self._is_adrift = False
        self.worker: Worker | None = None
        issuer = Issuer(
            base_url=base_url,
            directory=store.directory,
            ring=self.ring,
            pairwise_key=keys.of(KeyPurpose.PAIRWISE, tenant_id),
            caller=around.webhook_client_id,
        )
        self._calls = ExtensionCalls(
            around.pinned,
            directory=store.directory,
            clock=clock.now,
            token=issuer.for_extension,
            key=keys.of(KeyPurpose.WEBHOOKS, tenant_id),
        )
        self.door = Door(store=store, hashing=hashing, on_deliver=self.wake, now=clock.now)
        secrets = StreamSecrets(keys.of(KeyPurpose.SIGNALS, tenant_id), tenant_id)
        self._signals = Signals(
            store,
            around.pinned,
            issuer=issuer,
            directory=store.directory,
            clock=clock.now,
            authorization=secrets.open,
        )
        self.conduct = Conductor(
            store=store,
            directory=store.directory,
            hashing=hashing,
            issuer=issuer,
            keys=FlowKeys(
                handle=keys.of(KeyPurpose.HANDLES, tenant_id),
                code=keys.of(KeyPurpose.CODES, tenant_id),
                rotation=keys.of(KeyPurpose.ROTATION, tenant_id),
            ),
            site=base_url,
            on_deliver=self.wake,
            extensions=self._calls,
            leaks=around.leaks,
            risk_source=around.risk_source,
            telephony_risk=around.telephony_risk,
        )
        self.emergency = EmergencyDoor(
            store=store,
            directory=store.directory,
            hashing=hashing,
            seal=Sealer(keys.of(KeyPurpose.EMERGENCY, tenant_id), tenant_id),
            code_key=keys.of(KeyPurpose.CODES, tenant_id),
            paper_key=keys.of(KeyPurpose.PAPER, tenant_id),
            base_url=base_url,
            on_deliver=self.wake,
        )
        self.edge = TenantEdge(
            conduct=self.conduct,
            ring=self.ring,
            clock=clock.now,
            base_url=base_url,
            locate=locate or around.addresses.locate,
            listed=around.addresses.listed,
            administration=Tenancy(
                door=self.door,
                ring=self.ring,
                base_url=base_url,
                url=administration_url,
                pages=Pages(keys.of(KeyPurpose.PAGES, tenant_id)),
                webhook_secret=self._calls.secret,
            ),
            client_tokens=Endpoint(door=self.door, issuer=issuer, base_url=base_url),
            receivers=ssf.Endpoint(
                door=self.door,
                store=store,
                issuer=issuer,
                signals=self._signals,
                ring=self.ring,
                base_url=base_url,
                seal=secrets.seal,
                incoming=Incoming(
                    store,
                    around.pinned,
                    directory=store.directory,
                    clock=clock.now,
                    issuer=lambda: metadata.issuer(base_url, tenant_id),
                    on_emit=self.wake,
                ),
            ),
            owner=OwnerEndpoint(
                owner=Owner(
                    store=store,
                    hashing=hashing,
                    leaks=around.leaks,
                    paper_key=keys.of(KeyPurpose.PAPER, tenant_id),
                    base_url=base_url,
                    on_deliver=self.wake,
                ),
                ring=self.ring,
                directory=store.directory,
                clock=clock.now,
                base_url=base_url,
            ),
            registration=registration.Endpoint(door=self.door),
            emergency=EmergencyEndpoint(
                door=self.emergency,
                restoring=Restoring(
                    door=self.emergency,
                    hashing=hashing,
                    leaks=around.leaks,
                    code_key=keys.of(KeyPurpose.CODES, tenant_id),
                ),
                directory=store.directory,
                clock=clock.now,
                wall=lambda: clock.now() - clock.ahead,
            ),
            lost_device=LostDevicePage(
                door=self.emergency, directory=store.directory, clock=clock.now, base_url=base_url
            ),
            is_adrift=lambda: self._is_adrift,
        )

    def ring(self) -> KeyRing:
        """The keys that sign and verify."""
        return self._ring

    async def start(self, sender: Sender) -> None:
        """Make the first signing keys if there are none, and begin the background work."""
        if self._journal is not None:
            await self.store.keep(Journal(self._journal, self.id))
        await self.store.give_back_leases()
        await self._rotate_keys()
        way_out = OtpSend(self._calls, sender, self.store.directory)
        self.worker = Worker(
            self.store,
            way_out,
            chores=(self._rotate_keys, self._signals.give_up),
            on_sent=self.emergency.handed_over,
        )
        self.worker.start()
        self._signals.start()
        if self.store.is_shared:
            await self._compare_clocks()
            self._following = asyncio.get_running_loop().create_task(self._follow())

    async def _rotate_keys(self) -> None:
        """Publish the next key where one is due, long before it signs (KEY-03)."""
        self._ring = KeyRing(await self.store.signing_keys())
        now, tenant = self._clock.now(), self.store.directory().tenant
        longest = max(tenant.access_token_lifetime, tenant.id_token_lifetime, CLIENT_TOKEN_LIFETIME)
        algorithms: tuple[Algorithm, ...] = ("RS256", "ES256")
        for algorithm in algorithms:
            activates_at = self._ring.next_activation(algorithm, now)
            if activates_at is None:
                continue
            made = SigningKey.generate(
                algorithm, created_at=now, activates_at=activates_at, rsa_bits=tenant.rsa_bits
            )

            def joined(keys: tuple[SigningKey, ...], made: SigningKey = made) -> tuple[SigningKey, ...]:
                ring = KeyRing(keys)
                is_due = (
                    ring.next_activation(made.algorithm, now) is not None
                )  # Another may have been faster.
                return ring.joined(made, longest).keys if is_due else keys

            self._ring = KeyRing(await self.store.renew_keys(joined))
        self._ring = self._ring.pruned(now)

    async def _follow(self) -> None:
        """See within a second what other processes have changed of the configuration, and take up their keys."""
        while True:
            await asyncio.sleep(FOLLOWED_EVERY.total_seconds())
            try:
                await self._compare_clocks()
                revision = await self.store.refresh()
                if revision != self._seen:
                    self._ring = KeyRing(await self.store.signing_keys()).pruned(self._clock.now())
                    self._seen = revision
            except StoreUnavailable:
                log.warning("follow.store_unavailable")

    async def _compare_clocks(self) -> None:
        """Issue nothing while this machine and the database are not of one mind about the time (TIM-01)."""
        is_adrift = await health.drift(self.store.time, self._clock.now) > ADRIFT
        if is_adrift != self._is_adrift:
            self._is_adrift = is_adrift
            log.error("clock.adrift" if is_adrift else "clock.right_again")

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
        await self._signals.stop()
        if self.worker is not None:
            await self.worker.stop()
        await self.store.close()

    def wake(self) -> None:
        """Let the background work look at the outbox, and at what receivers are to be told."""
        if self.worker is not None:
            self.worker.wake()
        self._signals.wake()


# Looking into a deployment. -------------------------------------------------------------------------


@asynccontextmanager
async def looking_into(
    folder: Path, tenant: str | None, database: str = ""
) -> AsyncIterator[tuple[Reader, Clock]]:
    """
    The database of a tenant of this deployment, to be read, and the clock of its server. A server may run meanwhile.

    `tenant` is its name, an alias or its id; None where there is but one. `database` is PostgreSQL's address.
    Raises: `CannotOpen`.
    """
    async with _readers(folder, database) as readers:
        fitting = [
            (reader, clock) for reader, clock in readers if tenant is None or _is_called(reader, tenant)
        ]
        if len(fitting) != 1:
            names = ", ".join(sorted(reader.directory().tenant.name for reader, _ in readers)) or "none"
            why = "Say which tenant with --tenant" if tenant is None else f"There is no tenant {tenant}"
            where = "the database" if database else f"the folder {folder}"
            raise CannotOpen(f"{why}: {where} has {names}.")
        yield fitting[0]


async def tenants(folder: Path, database: str = "") -> AsyncIterator[model.Tenant]:
    """
    The tenants of a deployment, in a lasting order.

    Raises: `CannotOpen`.
    """
    async with _readers(folder, database) as readers:
        for reader, _ in readers:
            yield reader.directory().tenant


def _keys(folder: Path) -> Keys:
    key = folder / "master.key"
    if not key.exists():
        raise CannotOpen(
            f"There is no deployment in {folder}. Name its folder with --data, or start one: genkan dev"
        )
    return Keys(open_master_key(key))


@asynccontextmanager
async def _readers(
    folder: Path, database: str, keys: Keys | None = None
) -> AsyncIterator[list[tuple[Reader, Clock]]]:
    found: list[tuple[Reader, Clock]] = []
    lie = places(folder, keys or _keys(folder), database)
    try:
        for id in lie.tenants():
            clock = Clock()
            reader = lie.peek(id, clock.now)
            found.append((reader, clock))
            ahead = await reader.meta("clock_ahead")
            clock.move_to(clock.now() + timedelta(microseconds=int(ahead or 0)))
        yield found
    finally:
        for reader, _ in found:
            await reader.close()
        lie.close()


class Office(Struct, frozen=True):
    """What an operator administers a tenant with."""

    door: Door
    store: Store
    clock: Clock
    import_key: bytes
    """From which the ids of people who come from elsewhere follow."""
    seal: Callable[[str, str], bytes]
    """Seals what a receiver of security events wants to be shown, for its stream."""


@asynccontextmanager
async def administering(
    folder: Path, tenant: str | None, database: str = "", journal: Path | None = None
) -> AsyncIterator[Office]:
    """
    The door of a tenant of this deployment: of one in a file for as long as no server owns it.

    Messages that an act puts into the outbox are sent by the server when it runs again.
    Raises: `CannotOpen`.
    """
    async with looking_into(folder, tenant, database) as (reader, clock):
        id = reader.directory().tenant.id
    keys = _keys(folder)
    lie = places(folder, keys, database)
    try:
        store = lie.open(id, clock.now)
    except InUse as error:
        raise CannotOpen(
            f"A server owns the database {error.path}: process {error.owner}. Stop it to change something from the "
            "command line, or let it run and change it by its administration API; it can be looked at meanwhile."
        ) from None
    hashing = Hashing()
    try:
        if journal is not None:
            await store.keep(Journal(journal, id))
        door = Door(store=store, hashing=hashing, on_deliver=lambda: None, now=clock.now)
        yield _office(door, store, clock, keys, id)
    finally:
        hashing.close()
        await store.close()
        lie.close()


def _office(door: Door, store: Store, clock: Clock, keys: Keys, tenant: str) -> Office:
    seal = StreamSecrets(keys.of(KeyPurpose.SIGNALS, tenant), tenant).seal
    return Office(door, store, clock, keys.of(KeyPurpose.IMPORTS, tenant), seal)


def _check_names(tenant: model.Tenant, taken: frozenset[str]) -> None:
    """
    See to it that a new tenant may be called so: its names are the first segments of paths.

    Raises: `CannotOpen`.
    """
    if tenant.name in RESERVED or re.fullmatch(r"[a-z0-9]{1,63}", tenant.name) is None:
        raise CannotOpen(
            f"No tenant can be called {tenant.name}: a name is of small letters and digits, and none of "
            f"{', '.join(sorted(RESERVED))}."
        )
    for name in tenant.aliases:
        if name in RESERVED or re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,252}", name) is None:
            raise CannotOpen(
                f"{name} cannot be a further name: it is of small letters, digits, dots and hyphens."
            )
    if used := taken & {tenant.name, *tenant.aliases}:
        raise CannotOpen(f"There is a tenant called {min(used)} already.")


@asynccontextmanager
async def founding(folder: Path, tenant: model.Tenant, database: str = "") -> AsyncIterator[Office]:
    """
    The door of a new tenant's empty database. A folder that is no deployment yet becomes one.

    Raises: `CannotOpen`, `CannotStart`.
    """
    _make_folder(folder)
    keys = Keys(open_master_key(folder / "master.key"))
    async with _readers(folder, database) as found:
        there = [reader.directory().tenant for reader, _ in found]
    _check_names(tenant, frozenset(name for one in there for name in (one.name, *one.aliases)))
    lie, clock, hashing = places(folder, keys, database), Clock(), Hashing()
    try:
        store = lie.open(tenant.id, clock.now, tenant.name)
        try:
            door = Door(store=store, hashing=hashing, on_deliver=lambda: None, now=clock.now)
            yield _office(door, store, clock, keys, tenant.id)
        finally:
            await store.close()
    finally:
        hashing.close()
        lie.close()


async def remove_tenant(folder: Path, tenant: str, database: str = "") -> None:
    """
    Delete a tenant and everything of it. No server may own its file.

    Raises: `CannotOpen`.
    """
    async with administering(folder, tenant, database) as office:
        id = office.store.directory().tenant.id
    lie = places(folder, _keys(folder), database)
    try:
        lie.remove(id)
    finally:
        lie.close()


# Backups. -------------------------------------------------------------------------------------------


async def back_up(
    folder: Path,
    path: Path,
    lock: Lock,
    tenant: str | None = None,
    database: str = "",
    told: carrying.Told = lambda *_: None,
    *,
    moves: bool = False,
) -> carrying.Contents:
    """
    Write the tenants of a deployment into a file, or one of them, while servers go on to run.

    Each is as it was at one time; what is sealed stays sealed under the master key, which is not in the file. `moves`:
    it is for another master key, so what is sealed comes open, with the keys that a tenant is known by.
    Raises: `CannotOpen`, `StoreUnavailable`.
    """
    keys = _keys(folder)
    async with _readers(folder, database, keys) as readers:
        chosen = [reader for reader, _ in readers if tenant is None or _is_called(reader, tenant)]
        if not chosen:
            names = ", ".join(sorted(reader.directory().tenant.name for reader, _ in readers)) or "none"
            raise CannotOpen(f"There is nothing to back up: the deployment has the tenants {names}.")
        with written(path, lock) as writer:

            def put(frame: carrying.Frame) -> None:
                writer.put(carrying.encode(frame))

            opening = carrying.Opening(
                version=__version__, schema=newest(), at=datetime.now(UTC), moves=moves
            )
            put(opening)
            opened = [carrying.Seals.of(keys, r.directory().tenant.id) if moves else None for r in chosen]
            pairs = zip(chosen, opened, strict=True)
            carried = tuple([await reader.carry_out(put, told, seals) for reader, seals in pairs])
            put(carrying.Closing(len(carried)))
    return carrying.Contents(opening=opening, tenants=carried)


def contents(path: Path, opener: Opener) -> carrying.Contents:
    """
    Read a whole backup and say what is in it.

    Raises: `CannotOpen`.
    """
    return carrying.contents(path, frames(path, opener))


async def restore(
    folder: Path,
    path: Path,
    opener: Opener,
    actor: Actor,
    *,
    tenant: str | None = None,
    database: str = "",
    replace: bool = False,
    moves: bool = False,
    key_is_lost: bool = False,
    since: Callable[[carrying.Bearing], Since] = lambda _: Since(),
) -> list[tuple[carrying.Carried, tuple[str, ...]]]:
    """
    Put the tenants of a backup, or one of them, into a deployment; return them, and ids of accounts that are held.

    `replace`: in the place of those that are there; no server may own their files. `moves`: they come from another
    master key. `key_is_lost`: their master key is, so what is sealed under it is left behind. `since`: what is known of
    the time since. Each tenant is there whole or as it was before.
    Raises: `CannotOpen`, `CannotStart`, `StoreUnavailable`.
    """
    found = contents(path, opener)
    if found.opening.moves != moves:
        raise CannotOpen(
            f"The file {path} is that of a tenant that moves. Type: genkan tenant import {path}"
            if found.opening.moves
            else f"The file {path} is a backup. Type: genkan restore {path}"
        )
    wanted = [c for c in found.tenants if tenant is None or tenant in (c.bearing.id, c.bearing.name)]
    if not wanted:
        names = ", ".join(c.bearing.name for c in found.tenants)
        raise CannotOpen(f"There is no tenant {tenant} in the backup {path}: it has {names}.")
    if found.opening.schema != newest():
        raise CannotOpen(
            f"The backup {path} has schema {found.opening.schema}, of Genkan {found.opening.version}, and this Genkan "
            f"writes schema {newest()}. Restore it with that one, then start this one on the database."
        )
    key = folder / "master.key"
    if moves or key_is_lost:
        _make_folder(folder)
    elif not key.exists():
        raise CannotOpen(
            f"There is no master key in {folder}, and what is sealed in a backup opens under its own only. Put the key "
            f"file of the deployment there as {key}, with mode 600; if it is lost for good, say --master-key-lost."
        )
    keys = Keys(open_master_key(key))
    for carried in wanted:
        if not key_is_lost:
            _take_up_keys(keys, carried.bearing, path)
        elif carrying.is_sealed_by(
            Sealer(keys.of(KeyPurpose.SEALING, carried.bearing.id), carried.bearing.id), carried.bearing.seal
        ):
            raise CannotOpen(
                f"The master key in {folder} is that of the tenant {carried.bearing.name}, so nothing has to be left "
                "behind: leave out --master-key-lost."
            )
    await _check_places(folder, database, [c.bearing for c in wanted], replace=replace)
    lie = places(folder, keys, database)
    try:
        done: list[tuple[carrying.Carried, tuple[str, ...]]] = []
        for carried in wanted:
            sealed = carrying.Seals.of(keys, carried.bearing.id) if moves else None
            known = since(carried.bearing)
            if key_is_lost:  # No code on paper can be compared any more.
                known = msgspec.structs.replace(known, is_whole=False)
            held = await _take_in(lie, carried, path, opener, known, actor, sealed, key_is_lost=key_is_lost)
            done.append((carried, held))
        return done
    finally:
        lie.close()


def _take_up_keys(keys: Keys, bearing: carrying.Bearing, path: Path) -> None:
    """
    Use the keys that a tenant is known by, and see to it that whatever else of it is sealed can be opened.

    Raises: `CannotOpen`.
    """
    sealer = Sealer(keys.of(KeyPurpose.SEALING, bearing.id), bearing.id)
    own = bearing.keys
    if not own:
        carrying.check_seal(bearing.seal, sealer, bearing.name)
        own = carrying.opened_keys(sealer, bearing.sealed_keys) if bearing.sealed_keys else {}
    try:
        keys.adopt(bearing.id, own)
    except ValueError:
        raise CannotOpen(
            f"The file {path} has keys that this Genkan does not know. Use the one that made it."
        ) from None


async def _check_places(
    folder: Path, database: str, wanted: Sequence[carrying.Bearing], *, replace: bool
) -> None:
    """Raises: `CannotOpen` where a tenant is there that may not be replaced, or another has its name."""
    async with _readers(folder, database) as readers:
        there = [reader.directory().tenant for reader, _ in readers]
    for one in wanted:
        if not replace and any(tenant.id == one.id for tenant in there):
            raise CannotOpen(
                f"The tenant {one.name} is there already. To put the backup in its place, and lose all that came to it "
                "since, say --replace."
            )
        taken = {name for tenant in there if tenant.id != one.id for name in (tenant.name, *tenant.aliases)}
        if used := taken & {one.name, *one.aliases}:
            raise CannotOpen(
                f"Another tenant is called {min(used)} already. Restore into another deployment."
            )


async def _take_in(
    lie: Places,
    carried: carrying.Carried,
    path: Path,
    opener: Opener,
    since: Since,
    actor: Actor,
    sealed: carrying.Seals | None,
    *,
    key_is_lost: bool,
) -> tuple[str, ...]:
    id, name = carried.bearing.id, carried.bearing.name
    is_new, clock = id not in lie.tenants(), Clock()
    try:
        store = lie.open(id, clock.now, name)
    except InUse as error:
        raise CannotOpen(
            f"A server owns the database {error.path}: process {error.owner}. Stop it first: nobody can be served "
            "while a backup takes the place of the database."
        ) from None
    is_done = False
    try:
        held = await store.take_in(
            carried,
            lambda: carrying.of_tenant(path, frames(path, opener), id),
            since,
            {"kind": actor.kind, "id": actor.id, "name": actor.name},
            sealed,
            key_is_lost=key_is_lost,
        )
        is_done = True
    finally:
        await store.close()
        if is_new and not is_done:
            lie.remove(id)
    return held


def _is_called(reader: Reader, name: str) -> bool:
    tenant = reader.directory().tenant
    return name.lower() in (tenant.id, tenant.name, *tenant.aliases)


# Development mode. ----------------------------------------------------------------------------------


def _make_folder(folder: Path) -> None:
    """
    Make a folder for its owner only, unless it is there.

    Raises: `CannotStart`.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStart(
            f"The folder {folder} cannot be used: {error.strerror}. Name a folder with --data, "
            "or a place where one can be made."
        ) from None


class Announcement(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The one line that `genkan dev --json` prints when the server accepts requests."""

    ready: bool
    base_url: str
    tenant: str
    tenant_id: str
    authority: str
    apps: dict[str, str]
    api: dict[str, str]
    admin: dict[str, str]
    inbox_url: str
    ca_file: str = ""


class MailProvider:
    """The way out for messages in development mode: to the inbox, unless it is told to fail."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self.lanes = inbox.lanes
        self.state = Delivery()

    async def send(self, outgoing: Sequence[Outgoing]) -> Sequence[Settled]:
        if self.state.failing:
            self.state = Delivery(failing=True, refused=self.state.refused + len(outgoing))
            return [Settled(id=one.id, how="again", why="told to fail") for one in outgoing]
        return await self._inbox.send(outgoing)


class Development:
    """Everything that `genkan dev` serves, from one folder."""

    def __init__(self, settings: Settings, base_url: str, ca_file: str = "") -> None:
        folder = settings.data
        self._surroundings = Surroundings(settings)
        _make_folder(folder)
        keys = Keys(open_master_key(folder / "master.key"))
        secret = hmac.digest(keys.of(KeyPurpose.DEVELOPMENT, demo.TENANT_ID), b"admin client", "sha256")
        self._admin_secret = base64.urlsafe_b64encode(secret).decode().rstrip("=")
        self._clock = Clock()
        self._places = _places(settings, keys, has_the_time=False)  # Tests move the clock.
        self._store = self._places.open(demo.TENANT_ID, self._clock.now, demo.TENANT)
        self._inbox = Inbox(
            folder / "inbox.db",
            lambda: self._store.directory().tenant.brand,
            f"{base_url}/{demo.TENANT}{PAGE}",
        )
        self._mail = MailProvider(self._inbox)
        self._place = Place()
        self._hashing = Hashing(settings.hashing_workers)
        self._tenant = TenantRuntime(
            self._store,
            demo.TENANT_ID,
            keys,
            self._clock,
            self._hashing,
            base_url,
            locate=self._locate,
            surroundings=self._surroundings,
        )
        authority = f"{base_url}/{demo.TENANT}"
        self.announcement = Announcement(
            ready=True,
            base_url=base_url,
            tenant=demo.TENANT,
            tenant_id=demo.TENANT_ID,
            authority=authority,
            apps={"otp": demo.OTP_APP, "password": demo.PASSWORD_APP},
            api={"client_id": demo.API, "scope": demo.API_SCOPE},
            admin={
                "client_id": demo.ADMIN,
                "client_secret": self._admin_secret,
                "graph_url": f"{base_url}/v1.0",
            },
            inbox_url=f"{base_url}/dev/inbox",
            ca_file=ca_file,
        )
        self._published: Outside | None = None
        self._api = demo_api.DemoApi(authority, demo.API, self._fetch, self._clock.now)
        seeded = demo.directory(self._admin_secret).tenant
        names = (seeded.name, seeded.id, *seeded.aliases)
        self.app = App(
            tenants=dict.fromkeys(names, self._tenant.edge),
            pages={(method, path): page for method, path, page in self._pages(seeded.code_lifetime)},
            static=pages.static_file,
            clock=self._clock.now,
            development=True,
            apparent_address=lambda: self._place.address,
            behind_proxies=self._surroundings.addresses.client if settings.proxies else None,
            on_start=self._start,
            on_stop=self._stop,
        )

    def _locate(self, address: str) -> model.Place:
        """Where a request comes from: where the playground says, else where the database of places says."""
        if self._place.country is not None:
            return model.Place(country=self._place.country)
        return self._surroundings.addresses.locate(address)

    def _pages(self, code_lifetime: timedelta) -> list[tuple[str, str, Page]]:
        told = self.announcement
        context = pages.StartContext(
            base_url=told.base_url,
            tenant=told.tenant,
            tenant_id=told.tenant_id,
            authority=told.authority,
            otp_client_id=told.apps["otp"],
            password_client_id=told.apps["password"],
            api_client_id=told.api["client_id"],
            api_scope=told.api["scope"],
            admin_client_id=told.admin["client_id"],
            graph_url=told.admin["graph_url"],
            inbox_url=told.inbox_url,
            ca_file=told.ca_file or None,
            version=__version__,
            code_seconds=int(code_lifetime.total_seconds()),
        )
        return [
            *pages.routes(context),
            *dev.routes(self._inbox, self, self),
            *world.routes(self),
            *self._api.routes(),
        ]

    async def _fetch(self, url: str) -> bytes:
        """What the demo API reads of what is published: over HTTP, as anybody's would."""
        if self._published is None:
            ca = self.announcement.ca_file
            trusted = ssl.create_default_context(cafile=ca) if ca else None
            self._published = Outside(demo_api.LONGEST, local=True, trusted=trusted)
        return await self._published.ask("GET", url, {})

    async def _start(self) -> None:
        self._clock.move_to(
            self._clock.now() + timedelta(microseconds=int(await self._store.meta("clock_ahead") or 0))
        )
        if not self._store.directory().clients:
            await self._store.replace_directory(demo.directory(self._admin_secret))
        await self._tenant.start(self._mail)

    async def _stop(self) -> None:
        await self._tenant.stop()
        self._hashing.close()
        await self._surroundings.close()
        if self._published is not None:
            await self._published.close()
        self._inbox.close()
        self._places.close()

    # What the endpoints of development mode ask for.

    def now(self) -> datetime:
        return self._clock.now()

    async def move_to(self, now: datetime) -> None:
        """Move the clock, and remember it: after a restart time must not run backwards."""
        self._clock.move_to(now)
        await self._store.put_meta("clock_ahead", str(int(self._clock.ahead / timedelta(microseconds=1))))

    async def reset(self) -> None:
        self._place = Place()
        self._mail.state = Delivery()
        await self._store.wipe(demo.directory(self._admin_secret))
        await self._inbox.clear()
        self._api.forget()

    def policies(self) -> Sequence[Policy]:
        return self._store.directory().policies

    async def put_policy(self, policy: Policy) -> None:
        await self._store.put_documents(policy)

    @property
    def place(self) -> Place:
        return self._place

    def move(self, place: Place) -> None:
        self._place = place

    @property
    def delivery(self) -> Delivery:
        return self._mail.state

    def fail_delivery(self, failing: bool) -> None:
        """Begin to refuse messages and count anew, or take them again; what waits is looked at right away."""
        self._mail.state = Delivery(failing=failing)
        self._tenant.wake()

    async def stories(self, correlation_id: str) -> Sequence[story.Story]:
        entries = await self._store.sign_ins(SignInQuery(correlation_id=correlation_id))
        return story.tell(entries, await self._store.trail(correlation_id), self._store.directory())


def _places(settings: Settings, keys: Keys, *, has_the_time: bool = True) -> Places:
    """
    Where the tenants lie that are to be served.

    Raises: `CannotOpen`.
    """
    return places(
        settings.data,
        keys,
        settings.database,
        connections=settings.database_connections,
        prepares=settings.database_prepares,
        has_the_time=has_the_time,
    )


# Production. ---------------------------------------------------------------------------------------


class Seed(Struct, frozen=True, forbid_unknown_fields=True):
    """The tenant that a new deployment begins with, as its file has it."""

    tenant: model.Tenant
    apps: tuple[model.Client, ...] = ()
    apis: tuple[model.Resource, ...] = ()
    policies: tuple[Policy, ...] = ()
    methods: dict[model.Kind, model.MethodSettings] = {}

    def directory(self) -> Directory:
        return Directory(
            tenant=self.tenant,
            clients={app.id: app for app in self.apps},
            resources={api.id: api for api in self.apis},
            policies=self.policies,
            methods=self.methods,
        )


RESERVED = frozenset(
    {"api", "admin", "beta", "v1.0", "healthz", "readyz", "metrics", "static", "dev", "delivery"}
)
"""Names that no tenant may have here."""


class Production:
    """Everything that `genkan serve` serves: every tenant of one folder, and messages that leave for real."""

    def __init__(self, settings: Settings) -> None:
        """
        Raises: `CannotStart`, `CannotOpen`, `BadSettings`.
        """
        from genkan.delivery.dispatch import build

        _refuse_unsafe(settings)
        self._settings = settings
        self._providers = build(settings, lambda: datetime.now(UTC))
        self._surroundings = Surroundings(settings)
        _make_folder(settings.data)
        keys = Keys(open_master_key(settings.data / "master.key"))
        self._clock, self._hashing = Clock(), Hashing(settings.hashing_workers, settings.workers)
        self._seeds: list[tuple[Store, Directory]] = []
        self._tenants: list[TenantRuntime] = []
        names: dict[str, TenantEdge] = {}
        self._places = _places(settings, keys)
        for store, tenant in self._stores(settings):
            runtime = TenantRuntime(
                store,
                tenant.id,
                keys,
                self._clock,
                self._hashing,
                settings.url.rstrip("/"),
                surroundings=self._surroundings,
                administration_url=settings.administration_url.rstrip("/"),
            )
            self._tenants.append(runtime)
            names |= dict.fromkeys((tenant.name, tenant.id, *tenant.aliases), runtime.edge)
        self.app = App(
            tenants=names,
            pages={
                ("GET", "/healthz"): health.alive,
                ("GET", "/readyz"): self._is_ready,
                **self._receipt_pages(),
            },
            static=lambda *_: None,
            clock=self._clock.now,
            development=False,
            behind_proxies=self._surroundings.addresses.client if settings.proxies else None,
            administration_port=settings.administration_at[1] if settings.administration_at else None,
            on_start=self._start,
            on_stop=self._stop,
        )

    def _stores(self, settings: Settings) -> Iterator[tuple[Store, model.Tenant]]:
        """The databases of the deployment, and whose they are; a new one for the seed."""
        found = dict.fromkeys(self._places.tenants(), "")
        seed = _seed(settings.seed) if settings.seed is not None else None
        if seed is not None:
            found.setdefault(seed.tenant.id, seed.tenant.name)
        if not found:
            raise CannotStart(
                f"There is no tenant in {self._places.name}. Describe one in a file and name it with --seed; see "
                "docs/how-to/run-in-production.md."
            )
        for id, name in found.items():
            store = self._places.open(id, self._clock.now, name)
            tenant = store.directory().tenant
            if seed is not None and seed.tenant.id == id and not store.directory().clients:
                tenant = seed.tenant
                self._seeds.append((store, seed.directory()))
            if tenant.name in RESERVED:
                raise CannotStart(
                    f"A tenant in {self._places.name} is named {tenant.name}, which none may be called here: it is a "
                    "development tenant, or takes the place of a path of Genkan. Name another folder with --data."
                )
            yield store, tenant

    async def _start(self) -> None:
        for store, directory in self._seeds:
            await store.replace_directory(directory)
        for runtime in self._tenants:
            await runtime.start(self._way_out(runtime))

    async def _is_ready(self, request: Request) -> Response:
        looks = [runtime.store.time for runtime in self._tenants]
        return await health.ready(looks, self._clock.now, request)

    def management(self) -> Management:
        """What is told on the address for operators' machines."""
        path = self._settings.metrics_token_file
        token = _token(path)
        if token is not None and len(token.text) < LEAST_TOKEN:
            raise CannotStart(
                f"The token in {path} is shorter than {LEAST_TOKEN} characters. Make a longer one."
            )
        return Management({"/metrics": self._figures}, token)

    async def _figures(self, _: Request) -> Response:
        """`GET /metrics`. What only the databases know is asked of them now."""
        now = self._clock.now
        looks = await asyncio.gather(*(health.seen(runtime.store.pulse, now) for runtime in self._tenants))
        seen = [look for look in looks if look is not None]
        metrics.UNAVAILABLE.set(len(looks) - len(seen))
        if seen:
            metrics.OUTBOX_WAITING.set(sum(pulse.waiting for pulse, _ in seen))
            metrics.OUTBOX_OVERDUE.set(max(pulse.overdue for pulse, _ in seen).total_seconds())
            metrics.AUDIT_ROWS.set(sum(pulse.audit_rows for pulse, _ in seen))
            metrics.CLOCK_DRIFT.set(max(drift for _, drift in seen).total_seconds())
        since = [key.activates_at for runtime in self._tenants for key in runtime.ring().present(now())]
        metrics.KEY_AGE.set((now() - min(since, default=now())).total_seconds())
        return Response(body=metrics.exposition(), content_type=metrics.CONTENT_TYPE)

    def _way_out(self, runtime: TenantRuntime) -> Sender:
        from genkan.delivery.dispatch import Dispatch

        def receipt(message: model.Message, provider: str) -> str:
            text = receipts.reference(message, self._clock.now(), runtime.receipts.key)
            return address(self._settings.url.rstrip("/"), provider, runtime.id, text) if text else ""

        brand = lambda: runtime.store.directory().tenant.brand  # noqa: E731
        return Dispatch(self._providers, brand, self._clock.now, receipt, runtime.emergency.page)

    def _receipt_pages(self) -> dict[tuple[str, str], Page]:
        """The endpoints to which providers report, for those whose reports can be verified."""
        by_id = {runtime.id: runtime.receipts for runtime in self._tenants}

        async def note(tenant: str, reference: str, message: str, receipt: receipts.Receipt) -> bool:
            found = by_id.get(tenant)
            return found is not None and await found.note(reference, message, receipt)

        url = self._settings.url.rstrip("/")
        return {
            ("POST", f"{PATH}{name}"): ReceiptEndpoint(name, provider, url, note)
            for name, provider in wanted(self._settings).items()
        }

    async def _stop(self) -> None:
        for runtime in self._tenants:
            await runtime.stop()
        for provider in self._providers:
            await provider.close()
        await self._surroundings.close()
        self._hashing.close()
        self._places.close()


def _refuse_unsafe(settings: Settings) -> None:
    """
    What nobody should run with.

    Raises: `CannotStart`.
    """
    if not settings.email:
        raise CannotStart(
            "No mail relay is set, so nobody could get a code. Name one: GENKAN_EMAIL_RELAY_HOST and "
            "GENKAN_EMAIL_RELAY_SENDER, or [email.relay] in the settings file. To try Genkan: genkan dev"
        )
    if not settings.sms:
        log.warning("serve.no_sms_provider")
    if not settings.url:
        raise CannotStart(
            "The public address is not set. Say under which address apps reach this server, as "
            "GENKAN_URL=https://login.example.com"
        )
    if settings.tls:
        raise CannotStart(
            "GENKAN_TLS is for genkan dev. Here give GENKAN_CERTIFICATE and GENKAN_PRIVATE_KEY."
        )
    if settings.url.startswith("https:") and settings.certificate is None and not settings.proxies:
        raise CannotStart(
            "Nobody ends TLS for this address. Give GENKAN_CERTIFICATE and GENKAN_PRIVATE_KEY, or say from where your "
            "reverse proxy comes, as GENKAN_TRUSTED_PROXIES=127.0.0.1"
        )
    at = settings.metrics_at
    if at is not None and at[0] not in LOOPBACK and settings.metrics_token_file is None:
        raise CannotStart(
            f"Anybody who reaches {settings.metrics} could read the metrics. Give GENKAN_METRICS an address of this "
            "machine, as 127.0.0.1:9464, or name a file with a token: GENKAN_METRICS_TOKEN_FILE"
        )
    for path in (settings.certificate, settings.private_key):
        if path is not None and not path.is_file():
            raise CannotStart(f"The file {path} is not there.")


def _seed(path: Path) -> Seed:
    """
    The tenant that a file describes.

    Raises: `CannotStart`.
    """
    import tomllib

    try:
        seed = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Seed, strict=False)
    except OSError as error:
        raise CannotStart(f"The seed {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeError, msgspec.ValidationError) as error:
        raise CannotStart(f"The seed {path} cannot be used: {error}.") from None
    if seed.tenant.name in RESERVED or not seed.tenant.name.isascii() or not seed.tenant.name.isalnum():
        raise CannotStart(
            f"The seed {path} names its tenant {seed.tenant.name}: letters and digits, and none of ours."
        )
    return seed


def _listening(at: tuple[str, int], said: str, another: str) -> list[socket.socket]:
    """Listen at an address. Raises: `CannotStart`, which says what to give another of."""
    try:
        return listen(*at)
    except OSError as error:
        raise CannotStart(
            f"{said} cannot be listened on: {error.strerror}. Give another {another}."
        ) from None


Listening = tuple[list[socket.socket], list[list[socket.socket]]]
"""What is served to the world and to administrators; and the metrics' sockets, those of each worker."""


def _addresses(settings: Settings) -> Listening:
    """Listen where the settings say. Raises: `CannotStart`."""
    public = settings.host, settings.port
    sockets = _listening(public, f"{settings.host}:{settings.port}", "--host or --port")
    if settings.administration_at is not None:
        sockets += _listening(
            settings.administration_at,
            settings.administration,
            "address of this machine as GENKAN_ADMINISTRATION",
        )
    if settings.metrics_at is None:
        return sockets, [[] for _ in range(settings.workers)]
    host, first = settings.metrics_at
    ports = [first + number if first else 0 for number in range(settings.workers)]
    return sockets, [_listening((host, port), f"{host}:{port}", "GENKAN_METRICS") for port in ports]


def run_production(settings: Settings, inherited: str = "") -> None:
    """
    Serve every tenant of the folder or the database until the process is asked to stop.

    `inherited` is what a worker was told by its parent, whose sockets it serves.
    Raises: `CannotStart`, `CannotOpen`, `BadSettings`.
    """
    configure(settings.log_level)
    production = Production(settings)
    told = None
    if inherited:
        told = supervision.Inherited.read(inherited)
        sockets, own = supervision.inherited(told.public), supervision.inherited(told.metrics)
    else:
        sockets, (own,) = _addresses(settings)
    management = (production.management(), own) if own else None

    def ready() -> None:
        if told is not None:
            supervision.attend(told.channel)
        log.info("serve.ready", extra={"url": settings.url, "port": sockets[0].getsockname()[1]})

    serve(
        production.app,
        sockets,
        on_ready=ready,
        certificate=str(settings.certificate) if settings.certificate else None,
        private_key=str(settings.private_key) if settings.private_key else None,
        management=management,
        drain=DRAIN.total_seconds(),
    )


def run_workers(settings: Settings, command: Sequence[str], read: Callable[[], Settings]) -> int:
    """
    Keep several processes serving one address until this one is asked to stop; return its exit status.

    `command` begins one of them; what it inherits is put behind. `read` reads the settings anew.
    Raises: `CannotStart`.
    """
    configure(settings.log_level)
    if not settings.database:
        raise CannotStart(
            f"{settings.workers} workers cannot serve tenants that are files: one process owns a SQLite file. Give "
            "GENKAN_DATABASE the address of a PostgreSQL, or leave out --workers."
        )
    if os.name != "posix":
        raise CannotStart("Several workers need an operating system of the Unix kind. Leave out --workers.")

    def rereads() -> bool:
        try:
            now = read()
        except BadSettings as error:
            log.error("workers.bad_settings", extra={"why": str(error)})
            return False
        if changed := [name for name in OF_THE_PARENT if getattr(now, name) != getattr(settings, name)]:
            log.warning("workers.restart_needed", extra={"settings": ", ".join(changed)})
        return True

    public, metrics = _addresses(settings)
    return supervision.Supervisor(command, public, metrics, rereads).run()


OF_THE_PARENT = ("host", "port", "administration", "metrics", "workers")
"""Settings that hold for as long as the parent of workers lives."""


def examine_delivery(
    settings: Settings, to: str | None, only: str | None, say: Callable[[Finding], None]
) -> bool:
    """
    See whether messages can leave; with `to`, by sending one. True when all is well.

    Raises: `BadSettings`.
    """
    from genkan.delivery import doctor

    def clock() -> datetime:
        return datetime.now(UTC)

    if to is None:
        return asyncio.run(doctor.examine(settings, clock, say))
    return asyncio.run(doctor.send_test(settings, clock, to, only, say))


def run_development(settings: Settings, *, as_json: bool) -> None:
    """
    Serve development mode until the process is asked to stop.

    Raises: `CannotStart`, `CannotOpen`.
    """
    configure(settings.log_level)
    if settings.host not in LOOPBACK:
        raise CannotStart(
            f"Development mode listens on loopback only, and {settings.host} is not: everybody there could read the "
            "inbox and move the clock. Leave out --host."
        )
    try:
        sockets = listen(
            "localhost" if settings.host in ("127.0.0.1", "localhost") else settings.host, settings.port
        )
    except OSError as error:
        raise CannotStart(
            f"Port {settings.port} cannot be used: {error.strerror}. Stop what uses it, or pick a free port: "
            "genkan dev --port 0"
        ) from None
    scheme = "https" if settings.tls else "http"
    base_url = f"{scheme}://localhost:{sockets[0].getsockname()[1]}"
    certificate = _certificate(settings.data) if settings.tls else None
    development = Development(settings, base_url, str(certificate.ca) if certificate else "")

    def ready() -> None:
        if as_json:
            click.echo(msgspec.json.encode(development.announcement))
        else:
            click.echo(_welcome(development.announcement))

    serve(
        development.app,
        sockets,
        on_ready=ready,
        certificate=str(certificate.chain) if certificate else None,
        private_key=str(certificate.key) if certificate else None,
    )


class Certificate(Struct, frozen=True):
    """Where the files for https are."""

    ca: Path
    chain: Path
    key: Path


def _certificate(folder: Path) -> Certificate:
    """A certificate for localhost from a throw-away authority of this folder; made anew at each start."""
    import trustme

    tls = folder / "tls"
    _make_folder(folder)
    _make_folder(tls)
    certificate = Certificate((tls / "ca.pem").resolve(), tls / "server.pem", tls / "server.key")
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1", "::1")
    authority.cert_pem.write_to_path(certificate.ca)
    server.private_key_pem.write_to_path(certificate.key)
    certificate.key.chmod(0o600)
    certificate.chain.write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
    return certificate


def _welcome(told: Announcement) -> str:
    """What a person reads in the terminal."""
    lines = [
        "",
        f"  Genkan {__version__} · development mode",
        "",
        f"  Start here   {told.base_url}/",
        f"  Inbox        {told.inbox_url}",
        f"  Authority    {told.authority}",
        f"  Apps         {told.apps['otp']}  e-mail codes",
        f"               {told.apps['password']}  passwords",
        f"  API scope    {told.api['scope']}  (policy asks for a second factor)",
        f"  Admin        {told.admin['client_id']}",
        f"  Secret       {told.admin['client_secret']}",
        *([f"  CA file      {told.ca_file}"] if told.ca_file else []),
        "",
        "  Stop with Ctrl+C.",
        "",
    ]
    return "\n".join(lines)
