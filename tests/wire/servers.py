"""
Two ways to have a server: a `genkan dev` process, and the same application in this process with a tenant to change.

Either speaks HTTP alone, and every answer of a native endpoint passes through `strict.check`.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx2
import msgspec
from msgspec.structs import replace

from genkan import identifiers
from genkan.bootstrap import Clock, Development, TenantRuntime
from genkan.delivery.inbox import Inbox
from genkan.engine.messages import Directory, Effect, PutAuthenticator, PutSubject, SignIn
from genkan.engine.transaction import Change, Loaded, Needs, SignInQuery
from genkan.factors import password as passwords
from genkan.model import Authenticator, Identifier, Kind, Place, Subject
from genkan.service.hashing import Hashing
from genkan.settings import Settings
from genkan.store.sealing import Keys, open_master_key
from genkan.store.sqlite import SqliteStore
from genkan.wire.http import App, TenantEdge
from tests.server import Reply, Server, start
from tests.wire import strict

T = TypeVar("T")

FORM = "application/x-www-form-urlencoded"


class StrictServer(Server):
    """A server of which no answer goes unread."""

    def post(self, path: str, headers: Mapping[str, str] | None = None, **form: str) -> Reply:
        """POST a form to an endpoint of the demo tenant."""
        return self.post_form(path, form, headers)

    def post_form(
        self, path: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None, root: str = "/dev"
    ) -> Reply:
        """The same, with the form as one value; `root` is another tenant or another way to write this one."""
        response = self.http.post(f"{self.base}{root}{path}", data=dict(form), headers=dict(headers or {}))
        return self._read(response, form)

    def post_raw(self, path: str, body: str | bytes, content_type: str = FORM, **headers: str) -> Reply:
        """POST a body as it is to an endpoint of the demo tenant."""
        response = self.http.post(
            f"{self.base}/dev{path}",
            content=body,
            headers={"content-type": content_type, **{n.replace("_", "-"): v for n, v in headers.items()}},
        )
        return self._read(response, {})

    def _read(self, response: httpx2.Response, form: Mapping[str, str]) -> Reply:
        endpoint = "/" + "/".join(part for part in response.url.path.lower().split("/")[2:] if part)
        strict.check(endpoint, form, response)
        return Reply.of(response)

    def arrived(self, to: str, purpose: str, number: int) -> None:
        """Wait until so many messages for a purpose have arrived."""
        deadline = time.monotonic() + 10
        while self.count(to, purpose) < number:
            assert time.monotonic() < deadline, self.messages(to)
            time.sleep(0.01)

    def count(self, to: str, purpose: str) -> int:
        """How many messages for a purpose have arrived."""
        return sum(m["purpose"] == purpose for m in self.messages(to))


@contextmanager
def real_server(folder: Path) -> Iterator[StrictServer]:
    """A process for the length of a block."""
    server = StrictServer(**vars(start(folder)))
    try:
        yield server
    finally:
        server.http.close()
        server.stop()
        if server.process.stdout is not None:
            server.process.stdout.close()


# In this process. -----------------------------------------------------------------------------------


class _Loop:
    """An event loop in a thread of its own, so that tests need not be coroutines."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _InProcess(httpx2.BaseTransport):
    """Hands requests to an ASGI application."""

    def __init__(self, app: App, loop: _Loop) -> None:
        self._inner = httpx2.ASGITransport(app=app)
        self._loop = loop

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._loop.run(self._handle(request))

    async def _handle(self, request: httpx2.Request) -> httpx2.Response:
        again = httpx2.Request(request.method, request.url, headers=request.headers, content=request.read())
        response = await self._inner.handle_async_request(again)
        return httpx2.Response(response.status_code, headers=response.headers, content=await response.aread())


class HereServer(StrictServer):
    """A server in this process: there is nothing to kill or to stop."""

    BASE = "http://localhost:8400"

    def __init__(self, app: App, loop: _Loop, told: dict[str, Any]) -> None:
        self.told = told
        self.http = httpx2.Client(transport=_InProcess(app, loop))


class World(HereServer):
    """The application of `genkan dev` in this process. A test may change its tenant."""

    def __init__(self, development: Development, loop: _Loop) -> None:
        super().__init__(development.app, loop, msgspec.to_builtins(development.announcement))
        self._development = development
        self._loop = loop
        self.store = development._store

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something where the server runs."""
        return self._loop.run(work)

    @property
    def now(self) -> datetime:
        return self._development.now()

    @property
    def directory(self) -> Directory:
        return self.store.directory()

    @contextmanager
    def changed(self, *documents: Any, without: tuple[str, ...] = (), **tenant: Any) -> Iterator[None]:
        """The directory with these documents and tenant settings, and without policies of these ids; for a block."""
        before = self.directory
        if tenant:
            documents = (*documents, replace(before.tenant, **tenant))
        self.run(self.store.put_documents(*documents))
        if without:
            self.run(self.store.remove_documents(*(("policy", id) for id in without)))
        try:
            yield
        finally:
            self.run(self.store.replace_directory(replace(before, revision=0)))

    def person(
        self,
        address: str,
        *,
        password: str | None = None,
        username: str | None = None,
        seconds: tuple[Identifier, ...] = (),
        age: timedelta = timedelta(0),
        must_change_password: bool = False,
    ) -> dict[str, str]:
        """
        An account as if it had been made `age` ago; signs in by password if it has one, else by e-mail code.

        Returns the ids of its second factors by their targets.
        """
        named = tuple(i for i in (_email(address), username and identifiers.username(username)) if i)
        subject = Subject(
            id=str(uuid4()),
            identifiers=named,
            attributes={"displayName": "Ada"},
            must_change_password=must_change_password,
            created_at=self.now - age,
        )
        material = passwords.hash_new(password, secrets.token_bytes(16)) if password else None
        first = Authenticator(
            id=str(uuid4()),
            subject=subject.id,
            kind=Kind.PASSWORD if material else Kind.EMAIL_OTP,
            target=None if material else _email(address),
            material=material,
            strong=False,
            created_at=subject.created_at,
        )
        others = [
            Authenticator(
                id=str(uuid4()),
                subject=subject.id,
                kind=Kind.SMS_OTP if target.kind == "phone" else Kind.EMAIL_OTP,
                target=target,
                created_at=subject.created_at,
            )
            for target in seconds
        ]
        self.write(PutSubject(subject), *(PutAuthenticator(a) for a in (first, *others)))
        return {a.target.value: a.id for a in others if a.target is not None}

    def subject(self, address: str) -> Subject:
        """Whoever has this sign-in address."""
        found = self.run(self.store.read(Needs(identifier=_email(address).key))).subject
        assert found is not None
        return found

    def sign_ins(self, address: str) -> list[SignIn]:
        """What the sign-in log says of whoever has this address, newest first."""
        query = SignInQuery(subject=self.subject(address).id)
        return list(self.run(self.store.sign_ins(query)))

    @contextmanager
    def located(self, place: Place) -> Iterator[None]:
        """Every address seems to be there, for a block."""
        edge = self._development._tenant.edge
        before, edge.locate = edge.locate, lambda _: place
        try:
            yield
        finally:
            edge.locate = before

    def write(self, *effects: Effect) -> None:
        """Change the tenant's data as a step would."""

        def decide(_: Loaded) -> tuple[Change, None]:
            return Change(effects=effects), None

        self.run(self.store.run(Needs(), decide))


def _email(address: str) -> Identifier:
    found = identifiers.email(address)
    assert found is not None
    return found


@contextmanager
def in_process(folder: Path, **settings: Any) -> Iterator[World]:
    """A world for the length of a block."""
    development = Development(Settings(data=folder, **settings), HereServer.BASE)
    loop = _Loop()
    loop.run(development._start())
    world = World(development, loop)
    try:
        yield world
    finally:
        world.http.close()
        loop.run(development._stop())
        loop.close()


@contextmanager
def two_tenants(folder: Path, north: Directory, south: Directory) -> Iterator[StrictServer]:
    """A server of two tenants, each reached under its own name, for the length of a block."""
    folder.mkdir(exist_ok=True)
    keys, clock, hashing = Keys(open_master_key(folder / "master.key")), Clock(), Hashing(1)
    loop, inbox = _Loop(), Inbox(folder / "inbox.db")
    edges: dict[str, TenantEdge] = {}
    runtimes = []
    for directory in (north, south):
        tenant = directory.tenant
        store = SqliteStore.open(folder / f"{tenant.name}.db", tenant.id, keys, clock.now)
        runtime = TenantRuntime(store, tenant.id, keys, clock, hashing, HereServer.BASE)
        loop.run(store.replace_directory(directory))
        loop.run(runtime.start(inbox))
        runtimes.append(runtime)
        edges |= {tenant.name: runtime.edge, tenant.id: runtime.edge}
    app = App(
        tenants=edges,
        pages={},
        static=lambda *_: None,
        clock=clock.now,
        development=True,
        on_start=_nothing,
        on_stop=_nothing,
    )
    server = HereServer(app, loop, {"base_url": HereServer.BASE})
    try:
        yield server
    finally:
        server.http.close()
        for runtime in runtimes:
            loop.run(runtime.stop())
        hashing.close()
        inbox.close()
        loop.close()


async def _nothing() -> None:
    """There is nothing left to start or stop."""
