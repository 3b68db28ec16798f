"""
Step-up for a sensitive action: the sample API asks for more, the app signs in again, and the token says it was done.

Source: conditional-access 7; RFC 9470 section 3.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace

from genkan.engine.messages import Directory
from genkan.policy.model import (
    AuthenticationContext,
)
from genkan.service import demo
from genkan.store.sealing import Keys, open_master_key
from genkan.store.sqlite import SqliteStore
from tests.server import Server, new_address, new_number, newest, register_phone, running, sign_up_by_code
from tests.wire.policies import for_everybody

ROOT = Path(__file__).resolve().parents[2]
CP1 = {"xms_cc": {"values": ["cp1"]}}


def guarded() -> Directory:
    """The demo tenant, where deleting has a name, and a policy on that name; looking needs one factor."""
    seeded = demo.directory("unused")
    api = replace(seeded.resources[demo.API], optional_claims=("xms_cc",))
    return replace(
        seeded,
        resources={api.id: api},
        contexts={"c1": AuthenticationContext(id="c1", display_name="Deleting")},
        policies=(for_everybody("mfa", contexts=("c1",)),),
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("step-up") / "data"
    folder.mkdir(mode=0o700)

    async def seed() -> None:
        keys = Keys(open_master_key(folder / "master.key"))
        store = SqliteStore.open(folder / "dev.db", demo.TENANT_ID, keys, lambda: datetime.now(UTC))
        await store.replace_directory(guarded())
        await store.close()

    asyncio.run(seed())
    with running(folder) as server:
        yield server


@pytest.fixture(scope="module")
def api(server: Server) -> Iterator[httpx2.Client]:
    """The sample, as its first lines say to start it."""
    process = subprocess.Popen(
        [
            sys.executable,
            str(ROOT / "samples/step_up_api/api.py"),
            *("--port", "0", "--authority", server.told["authority"]),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    found = re.search(r"http://\S+(?=/things)", process.stdout.readline())
    assert found is not None
    with httpx2.Client(base_url=found.group()) as client:
        yield client
    process.terminate()
    process.wait(timeout=10)
    process.stdout.close()


@pytest.fixture(scope="module")
def person(server: Server) -> tuple[str, str]:
    """Somebody who has a phone as second factor: their address and number."""
    address, number = new_address(), new_number()
    sign_up_by_code(server, address)
    asked = signed_in(server, address, {"access_token": {"acrs": {"essential": True, "value": "c1"}}})
    register_phone(server, asked["continuation_token"], number)
    server.advance(31)  # Between two texts to a number some time must pass.
    return address, number


def signed_in(server: Server, address: str, claims: dict[str, Any] | None = None) -> dict[str, Any]:
    """The answer to a right first factor, with what the app says in `claims`."""
    client = server.otp_app
    begun = server.post(
        "/oauth2/v2.0/initiate",
        client_id=client,
        username=address,
        challenge_type="oob redirect",
        capabilities="mfa_required registration_required",
    ).ok()
    seen = {m["id"] for m in server.messages(address)}
    sent = server.post("/oauth2/v2.0/challenge", client_id=client, continuation_token=begun.token).ok()
    form = {
        "client_id": client,
        "continuation_token": sent.token,
        "grant_type": "oob",
        "oob": newest(server, address, "sign_in", seen),
        "scope": server.scope,
    }
    if claims is not None:
        form["claims"] = json.dumps(claims)
    return server.post("/oauth2/v2.0/token", None, **form).body


def delete(api: httpx2.Client, token: str) -> httpx2.Response:
    return api.delete("/things/1", headers={"authorization": f"Bearer {token}"})


def challenges(answer: httpx2.Response) -> dict[str, dict[str, str]]:
    """What the API says would help: by its error, the parameters."""
    assert answer.status_code == 401
    found = {}
    for challenge in answer.headers.get_list("www-authenticate"):
        parameters = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        found[parameters["error"]] = parameters
    return found


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return decoded


def test_an_app_that_is_challenged_signs_in_again_and_may_then_delete(
    server: Server, api: httpx2.Client, person: tuple[str, str]
) -> None:
    address, number = person
    plain = signed_in(server, address, {"access_token": CP1})["access_token"]
    assert api.get("/things", headers={"authorization": f"Bearer {plain}"}).status_code == 200
    assert "acrs" not in claims_of(plain)

    challenged = challenges(delete(api, plain))

    assert challenged["insufficient_user_authentication"]["acr_values"] == "urn:genkan:acr:mfa"
    assert challenged["insufficient_user_authentication"]["max_age"] == "300"
    wanted = json.loads(base64.b64decode(challenged["insufficient_claims"]["claims"]))
    wanted["access_token"] |= CP1

    seen = {m["id"] for m in server.messages(number)}
    asked = signed_in(server, address, wanted)
    assert asked["suberror"] == "mfa_required", "policy on the context asks for the factor"
    sent = server.post(
        "/oauth2/v2.0/challenge",
        client_id=server.otp_app,
        continuation_token=asked["continuation_token"],
    ).ok()
    tokens = server.post(
        "/oauth2/v2.0/token",
        client_id=server.otp_app,
        continuation_token=sent.token,
        grant_type="mfa_oob",
        oob=newest(server, number, "mfa", seen),
    ).ok()

    said = claims_of(tokens["access_token"])
    assert said["acrs"] == ["c1"]
    assert said["acr"] == "urn:genkan:acr:mfa"
    assert said["amr"] == ["otp", "sms", "mfa"]
    assert delete(api, tokens["access_token"]).json() == {"deleted": "a teapot"}


def test_an_app_that_does_not_understand_claims_challenges_is_told_in_the_standard_words_alone(
    server: Server, api: httpx2.Client, person: tuple[str, str]
) -> None:
    plain = signed_in(server, person[0])["access_token"]

    assert set(challenges(delete(api, plain))) == {"insufficient_user_authentication"}


def test_what_is_no_access_token_for_this_api_opens_nothing(
    server: Server, api: httpx2.Client, person: tuple[str, str]
) -> None:
    tokens = signed_in(server, person[0])
    header, payload, signature = tokens["access_token"].split(".")
    changed = json.dumps({**claims_of(tokens["access_token"]), "acrs": ["c1"]}).encode()
    forged = f"{header}.{base64.urlsafe_b64encode(changed).decode().rstrip('=')}.{signature}"

    assert api.delete("/things/1").status_code == 401
    for token in ("nonsense", tokens["id_token"], tokens["refresh_token"], forged, f"{header}.{payload}."):
        answer = delete(api, token)
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
