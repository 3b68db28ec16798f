"""New apps, and native sign-ups to them, for the tests of what administrators say about both."""

from __future__ import annotations

import json
import uuid
from typing import Any

from tests.graph.sdk import Office
from tests.server import Reply


def a_name(what: str) -> str:
    return f"{what} {uuid.uuid4().hex[:6]}"


def a_native_app(office: Office) -> str:
    """A new native app: its app id."""
    body = {
        "displayName": a_name("Shop"),
        "isFallbackPublicClient": True,
        "nativeAuthenticationApisEnabled": "all",
    }
    return str(office.made("/applications", body)["appId"])


def start(office: Office, app: str, address: str, **form: Any) -> Reply:
    """The first step of a sign-up."""
    if "attributes" in form:
        form["attributes"] = json.dumps(form["attributes"])
    return office.post(
        "/signup/v1.0/start",
        client_id=app,
        username=address,
        challenge_type="oob password redirect",
        **form,
    )


def proven(office: Office, app: str, address: str, **form: Any) -> Reply:
    """A sign-up up to the right code."""
    begun = start(office, app, address, **form).ok()
    sent = office.post("/signup/v1.0/challenge", client_id=app, continuation_token=begun.token).ok()
    return office.post(
        "/signup/v1.0/continue",
        client_id=app,
        continuation_token=sent.token,
        grant_type="oob",
        oob=office.code(address, "sign_up"),
    )


def supplied(office: Office, app: str, token: str, **attributes: Any) -> Reply:
    """The attributes of a sign-up."""
    return office.post(
        "/signup/v1.0/continue",
        client_id=app,
        continuation_token=token,
        grant_type="attributes",
        attributes=json.dumps(attributes),
    )
