"""How to get to where a test begins. Every step asserts that it went well, and says no more."""

from __future__ import annotations

import json
from typing import Any

from tests.server import (
    BOTH,
    Reply,
    first_factor_by_code,
    new_address,
    new_number,
    newest,
    register_phone,
    sign_up_by_code,
)
from tests.wire import strict
from tests.wire.servers import StrictServer

PASSWORD = "lively heron at dusk"
OPENID = "openid profile offline_access"


def begun(
    server: StrictServer,
    app: str,
    address: str,
    types: str = "oob password redirect",
    capabilities: str = BOTH,
) -> Reply:
    """A sign-in that knows who it is about."""
    return server.post(
        strict.INITIATE, client_id=app, username=address, challenge_type=types, capabilities=capabilities
    ).ok()


def challenged(server: StrictServer, app: str, token: str, **more: str) -> Reply:
    return server.post_form(strict.CHALLENGE, {"client_id": app, "continuation_token": token, **more}).ok()


def proven(
    server: StrictServer, app: str, token: str, grant: str, proof: str, scope: str = OPENID, **more: str
) -> Reply:
    """The answer of the token endpoint to a code or a password."""
    field = "password" if grant == "password" else "oob"
    form = {"client_id": app, "continuation_token": token, "grant_type": grant, field: proof, "scope": scope}
    return server.post_form(strict.TOKEN, {**form, **more})


def redeemed(server: StrictServer, app: str, token: str, **more: str) -> Reply:
    """The answer of the token endpoint when everything is proven."""
    form = {"client_id": app, "continuation_token": token, "grant_type": "continuation_token", **more}
    return server.post_form(strict.TOKEN, form)


def wrong(code: str) -> str:
    """A code of the same length that is another."""
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"


# Accounts. ------------------------------------------------------------------------------------------


def account_by_code(server: StrictServer) -> str:
    """The address of a new account that signs in by e-mail code."""
    address = new_address()
    sign_up_by_code(server, address)
    return address


def signed_up_by_password(server: StrictServer, address: str, password: str = PASSWORD) -> Reply:
    """The last answer of the sign-up of an account with a password: its token waits to be redeemed."""
    app = server.password_app
    started = server.post(
        strict.SIGNUP_START,
        client_id=app,
        username=address,
        password=password,
        attributes=json.dumps({"displayName": "Ada"}),
        challenge_type="oob password redirect",
        capabilities=BOTH,
    ).ok()
    sent = server.post(strict.SIGNUP_CHALLENGE, client_id=app, continuation_token=started.token).ok()
    return server.post(
        strict.SIGNUP_CONTINUE,
        client_id=app,
        continuation_token=sent.token,
        grant_type="oob",
        oob=server.code(address, "sign_up"),
    ).ok()


def account_by_password(server: StrictServer, password: str = PASSWORD) -> str:
    """The address of a new account that signs in by password."""
    address = new_address()
    signed_up_by_password(server, address, password)
    return address


def account_with_phone(server: StrictServer) -> tuple[str, str]:
    """Address and number of an account that signs in by e-mail code and has a phone as second factor."""
    address, number = account_by_code(server), new_number()
    asked = first_factor_by_code(server, address, server.scope)
    redeemed(server, server.otp_app, register_phone(server, asked.token, number).token).ok()
    server.advance(31)  # Between two texts to a number some time must pass.
    return address, number


# On the way. ----------------------------------------------------------------------------------------


def code_sent(server: StrictServer, address: str, capabilities: str = BOTH) -> tuple[Reply, str]:
    """A sign-in by code at the moment when the code has arrived."""
    app, seen = server.otp_app, ids(server, address)
    sent = challenged(server, app, begun(server, app, address, capabilities=capabilities).token)
    return sent, newest(server, address, "sign_in", seen)


def password_asked(server: StrictServer, address: str, capabilities: str = BOTH) -> Reply:
    """A sign-in at the moment when the password is to be typed."""
    app = server.password_app
    return challenged(server, app, begun(server, app, address, capabilities=capabilities).token)


def first_factor_by_password(
    server: StrictServer,
    address: str,
    scope: str,
    password: str = PASSWORD,
    capabilities: str = BOTH,
    **more: str,
) -> Reply:
    """The answer to a right password."""
    asked = password_asked(server, address, capabilities)
    return proven(server, server.password_app, asked.token, "password", password, scope, **more)


def listed(server: StrictServer, app: str, token: str) -> list[dict[str, Any]]:
    """The second factors that may be used."""
    found = server.post(strict.INTROSPECT, client_id=app, continuation_token=token).ok()
    methods: list[dict[str, Any]] = found["methods"]
    return methods


def ids(server: StrictServer, to: str) -> set[str]:
    """What has arrived so far."""
    return {m["id"] for m in server.messages(to)}
