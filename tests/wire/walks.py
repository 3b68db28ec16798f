"""
Sign-ups, resets and sign-ins that go on with the newest token they were given, as the SDKs do.

A walk asserts nothing: its answers are for the test to judge.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.server import BOTH, Reply, newest
from tests.wire import strict
from tests.wire.servers import HereServer, StrictServer, World, _InProcess

ALL_TYPES = "oob password redirect"


class Elsewhere(HereServer):
    """The same world, called from another address than loopback."""

    def __init__(self, world: World, address: str) -> None:
        self.told = world.told
        transport = _InProcess(world._development.app, world._loop)
        transport._inner = httpx2.ASGITransport(app=world._development.app, client=(address, 40_000))
        self.http = httpx2.Client(transport=transport)


@dataclass
class Walk:
    """One flow of one app."""

    server: StrictServer
    app: str
    token: str = ""
    heard: list[Reply] = field(default_factory=list)
    """Every answer so far."""

    def post(self, endpoint: str, **form: str) -> Reply:
        """The answer of an endpoint; what it gives as token is used next."""
        named = {"client_id": self.app, **({"continuation_token": self.token} if self.token else {})}
        answer = self.server.post_form(endpoint, {**named, **form})
        self.token = answer.token or self.token
        self.heard.append(answer)
        return answer

    def redeem(self, **form: str) -> Reply:
        """Ask for tokens when everything is proven."""
        return self.post(strict.TOKEN, grant_type="continuation_token", **form)

    @property
    def errors(self) -> list[str]:
        """What each answer said; a success says nothing."""
        return [answer.error[1] or answer.error[0] for answer in self.heard]


@dataclass
class SignUp(Walk):
    """A new account, or the attempt."""

    address: str = ""

    def start(self, address: str, *, attributes: dict[str, Any] | None = None, **form: str) -> Reply:
        self.address = address
        given = {} if attributes is None else {"attributes": json.dumps(attributes)}
        return self.post(
            strict.SIGNUP_START,
            **{
                "username": address,
                "challenge_type": ALL_TYPES,
                "capabilities": BOTH,
                **given,
                **form,
            },
        )

    def challenge(self) -> Reply:
        return self.post(strict.SIGNUP_CHALLENGE)

    def send(self) -> str:
        """Ask for a code and read it."""
        seen = {m["id"] for m in self.server.messages(self.address)}
        self.challenge().ok()
        return newest(self.server, self.address, "sign_up", seen)

    def prove(self, code: str) -> Reply:
        return self.post(strict.SIGNUP_CONTINUE, grant_type="oob", oob=code)

    def set_password(self, password: str) -> Reply:
        return self.post(strict.SIGNUP_CONTINUE, grant_type="password", password=password)

    def supply(self, **attributes: Any) -> Reply:
        return self.post(strict.SIGNUP_CONTINUE, grant_type="attributes", attributes=json.dumps(attributes))

    def ready_for_password(self, address: str, **start: Any) -> SignUp:
        """The walk, at the moment when the password is to be typed."""
        self.start(address, **start).ok()
        self.prove(self.send())
        assert self.challenge().ok()["challenge_type"] == "password"
        return self


@dataclass
class Reset(Walk):
    """A forgotten password."""

    address: str = ""
    """Where the code is expected."""

    def start(self, username: str, address: str = "", **form: str) -> Reply:
        self.address = address or username
        return self.post(
            strict.RESET_START,
            **{"username": username, "challenge_type": ALL_TYPES, "capabilities": BOTH, **form},
        )

    def challenge(self) -> Reply:
        return self.post(strict.RESET_CHALLENGE)

    def send(self) -> str:
        """Ask for a code and read it."""
        seen = {m["id"] for m in self.server.messages(self.address)}
        self.challenge().ok()
        return newest(self.server, self.address, "reset_password", seen)

    def prove(self, code: str) -> Reply:
        return self.post(strict.RESET_CONTINUE, grant_type="oob", oob=code)

    def submit(self, password: str) -> Reply:
        return self.post(strict.RESET_SUBMIT, new_password=password)

    def poll(self) -> Reply:
        return self.post(strict.RESET_POLL)

    def proven(self, username: str, address: str = "") -> Reset:
        """The walk, at the moment when the new password is to be typed."""
        self.start(username, address).ok()
        self.prove(self.send()).ok()
        return self

    def done(self, username: str, password: str, address: str = "") -> Reset:
        """The walk, when the password has been replaced."""
        self.proven(username, address)
        self.submit(password).ok()
        assert self.poll().ok()["status"] == "succeeded"
        return self
