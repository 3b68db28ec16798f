"""
Two people sign up, sign in and are asked for a second factor, told in plain HTTP against a started `genkan dev`.

Nothing but a form encoder, a JSON decoder and somebody else's JWT library is used, as any app could.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import jwt
import pytest

from tests.server import Server, new_address, new_number, running

BOTH = "mfa_required registration_required"
PASSWORD = "five calm lanterns by the river"


class Wire:
    """POST a form, read JSON: the whole client."""

    def __init__(self, server: Server, client: str) -> None:
        self.server = server
        self.client = client
        self.read: set[str] = set()
        """Ids of messages that were read."""

    def post(self, path: str, **form: str) -> tuple[int, dict[str, Any]]:
        body = urlencode({"client_id": self.client, **form}).encode()
        answer = self.server.http.post(
            f"{self.server.told['authority']}{path}",
            content=body,
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        return answer.status_code, json.loads(answer.content)

    def ok(self, path: str, **form: str) -> dict[str, Any]:
        status, body = self.post(path, **form)
        assert status == 200, body
        return body

    def says(self, error: str, suberror: str, path: str, **form: str) -> dict[str, Any]:
        """The answer, which must be this "continue" error."""
        status, body = self.post(path, **form)
        assert (status, body["error"], body.get("suberror", "")) == (400, error, suberror), body
        return body

    def code(self, to: str, purpose: str) -> str:
        """The code of the one message of a purpose that has not been read yet."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            found = [m for m in self.server.messages(to) if m["id"] not in self.read]
            codes = [m["code"] for m in found if m["purpose"] == purpose]
            self.read |= {m["id"] for m in found}
            if codes:
                assert len(codes) == 1, found
                return str(codes[0])
            time.sleep(0.02)
        raise AssertionError(f"no {purpose} code for {to}")

    def claims(self, tokens: dict[str, Any], name: str, audience: str) -> dict[str, Any]:
        """What a token says, verified with the published keys."""
        told = self.server.told
        with urlopen(Request(f"{told['authority']}/v2.0/.well-known/openid-configuration")) as answer:
            document = json.load(answer)
        key = jwt.PyJWKClient(document["jwks_uri"]).get_signing_key_from_jwt(tokens[name])
        return dict(
            jwt.decode(
                tokens[name],
                key,
                algorithms=["RS256"],
                audience=audience,
                issuer=document["issuer"],
                options={"require": ["exp", "iat", "sub", "auth_time", "amr"]},
            )
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("story") / "data") as process:
        yield process


def sign_in_for_the_api(wire: Wire, address: str) -> dict[str, Any]:
    """The first factor by e-mail code, and whatever is answered to it."""
    begun = wire.ok(
        "/oauth2/v2.0/initiate", username=address, challenge_type="oob redirect", capabilities=BOTH
    )
    sent = wire.ok("/oauth2/v2.0/challenge", continuation_token=begun["continuation_token"])
    status, body = wire.post(
        "/oauth2/v2.0/token",
        continuation_token=sent["continuation_token"],
        grant_type="oob",
        oob=wire.code(address, "sign_in"),
        scope=wire.server.scope,
    )
    assert status == 400, body
    return body


@pytest.mark.proves(
    "V1-081", "V1-099", "V1-102", "V1-107", "V1-116", "V1-119", "V1-130", "V1-132", "V1-182", "V1-185"
)
def test_a_person_with_email_codes_signs_up_and_is_asked_for_a_text_message_when_policy_says_so(
    server: Server,
) -> None:
    wire = Wire(server, server.otp_app)
    address, number = new_address(), new_number()

    # Sign-up by e-mail code, and tokens at once for what no policy guards.
    begun = wire.ok("/signup/v1.0/start", username=address, challenge_type="oob redirect", capabilities=BOTH)
    sent = wire.ok("/signup/v1.0/challenge", continuation_token=begun["continuation_token"])
    assert (sent["challenge_type"], sent["challenge_channel"]) == ("oob", "email")
    code = wire.code(address, "sign_up")
    assert sent["code_length"] == len(code)
    done = wire.ok(
        "/signup/v1.0/continue", continuation_token=sent["continuation_token"], grant_type="oob", oob=code
    )
    tokens = wire.ok(
        "/oauth2/v2.0/token",
        continuation_token=done["continuation_token"],
        grant_type="continuation_token",
        scope="openid profile offline_access",
    )
    claims = wire.claims(tokens, "id_token", server.otp_app)
    assert claims["preferred_username"] == address
    assert claims["amr"] == ["otp"]
    info = json.loads(base64.urlsafe_b64decode(tokens["client_info"] + "=="))
    assert info == {"uid": claims["oid"], "utid": server.told["tenant_id"]}

    # The API wants a second factor, and there is none: a phone is registered.
    asked = sign_in_for_the_api(wire, address)
    assert (asked["suberror"], asked["error_codes"]) == ("registration_required", [50079])
    listed = wire.ok("/register/v1.0/introspect", continuation_token=asked["continuation_token"])
    assert [(m["id"], m["challenge_channel"]) for m in listed["methods"]] == [("sms", "sms")]
    sent = wire.ok(
        "/register/v1.0/challenge",
        continuation_token=listed["continuation_token"],
        challenge_type="oob",
        challenge_target=f"{number[:3]} {number[3:7]} {number[7:]}",
        challenge_channel="sms",
    )
    assert sent["challenge_target"] == number
    done = wire.ok(
        "/register/v1.0/continue",
        continuation_token=sent["continuation_token"],
        grant_type="oob",
        oob=wire.code(number, "enrol"),
    )
    tokens = wire.ok(
        "/oauth2/v2.0/token",
        continuation_token=done["continuation_token"],
        grant_type="continuation_token",
        scope=server.scope,
    )
    assert set(wire.claims(tokens, "access_token", server.told["api"]["client_id"])["amr"]) == {
        "otp",
        "sms",
        "mfa",
    }

    # From now on the phone is asked for.
    asked = sign_in_for_the_api(wire, address)
    assert (asked["suberror"], asked["error_codes"]) == ("mfa_required", [50076])
    listed = wire.ok("/oauth2/v2.0/introspect", continuation_token=asked["continuation_token"])
    (method,) = listed["methods"]
    assert (method["challenge_type"], method["challenge_channel"]) == ("oob", "sms")
    assert number not in json.dumps(listed)
    sent = wire.ok(
        "/oauth2/v2.0/challenge",
        continuation_token=listed["continuation_token"],
        challenge_type="oob redirect",
        id=method["id"],
    )
    assert sent["challenge_channel"] == "sms"
    tokens = wire.ok(
        "/oauth2/v2.0/token",
        continuation_token=sent["continuation_token"],
        grant_type="mfa_oob",
        oob=wire.code(number, "mfa"),
        scope=server.scope,
    )
    claims = wire.claims(tokens, "access_token", server.told["api"]["client_id"])
    assert claims["amr"] == ["otp", "sms", "mfa"]
    assert claims["scp"] == "Things.Read"
    assert "preferred_username" not in claims
    assert {
        "token_type",
        "scope",
        "expires_in",
        "ext_expires_in",
        "access_token",
        "refresh_token",
        "id_token",
        "client_info",
    } <= set(tokens)


@pytest.mark.proves("V1-126", "V1-129", "V1-143", "V1-144", "V1-147", "V1-148", "V1-159", "V1-098", "V1-101")
def test_a_person_with_a_password_registers_the_address_just_proven_and_is_asked_for_a_code_next_time(
    server: Server,
) -> None:
    wire = Wire(server, server.password_app)
    address = new_address()

    # Sign-up: the address, then the password, then the name.
    begun = wire.ok(
        "/signup/v1.0/start", username=address, challenge_type="oob password redirect", capabilities=BOTH
    )
    sent = wire.ok("/signup/v1.0/challenge", continuation_token=begun["continuation_token"])
    asked = wire.says(
        "credential_required",
        "",
        "/signup/v1.0/continue",
        continuation_token=sent["continuation_token"],
        grant_type="oob",
        oob=wire.code(address, "sign_up"),
    )
    offered = wire.ok("/signup/v1.0/challenge", continuation_token=asked["continuation_token"])
    assert offered["challenge_type"] == "password"
    asked = wire.says(
        "attributes_required",
        "",
        "/signup/v1.0/continue",
        continuation_token=offered["continuation_token"],
        grant_type="password",
        password=PASSWORD,
    )
    assert asked["required_attributes"] == [{"name": "displayName", "type": "string", "required": True}]
    done = wire.ok(
        "/signup/v1.0/continue",
        continuation_token=asked["continuation_token"],
        grant_type="attributes",
        attributes=json.dumps({"displayName": "Ada Lovelace"}),
    )

    # The API wants a second factor: the address that was proven a moment ago needs no second code.
    asked = wire.says(
        "invalid_grant",
        "registration_required",
        "/oauth2/v2.0/token",
        continuation_token=done["continuation_token"],
        grant_type="continuation_token",
        scope=server.scope,
    )
    listed = wire.ok("/register/v1.0/introspect", continuation_token=asked["continuation_token"])
    assert [m["id"] for m in listed["methods"]] == ["sms", "email"]
    email = listed["methods"][1]
    assert email["login_hint"] == address
    ready = wire.ok(
        "/register/v1.0/challenge",
        continuation_token=listed["continuation_token"],
        challenge_type="oob",
        challenge_target=email["login_hint"],
        challenge_channel="email",
    )
    assert ready["challenge_type"] == "preverified"
    done = wire.ok(
        "/register/v1.0/continue",
        continuation_token=ready["continuation_token"],
        grant_type="continuation_token",
    )
    tokens = wire.ok(
        "/oauth2/v2.0/token",
        continuation_token=done["continuation_token"],
        grant_type="continuation_token",
        scope=server.scope,
    )
    claims = wire.claims(tokens, "id_token", server.password_app)
    assert claims["name"] == "Ada Lovelace"
    assert set(claims["amr"]) == {"pwd", "otp", "mfa"}

    # Next time: the password, then a code to that address.
    begun = wire.ok(
        "/oauth2/v2.0/initiate", username=address, challenge_type="password redirect", capabilities=BOTH
    )
    put = wire.ok("/oauth2/v2.0/challenge", continuation_token=begun["continuation_token"])
    assert put["challenge_type"] == "password"
    asked = wire.says(
        "invalid_grant",
        "mfa_required",
        "/oauth2/v2.0/token",
        continuation_token=put["continuation_token"],
        grant_type="password",
        password=PASSWORD,
        scope=server.scope,
    )
    sent = wire.ok("/oauth2/v2.0/challenge", continuation_token=asked["continuation_token"])
    assert (sent["challenge_type"], sent["challenge_channel"]) == ("oob", "email")
    tokens = wire.ok(
        "/oauth2/v2.0/token",
        continuation_token=sent["continuation_token"],
        grant_type="mfa_oob",
        oob=wire.code(address, "mfa"),
    )
    claims = wire.claims(tokens, "access_token", server.told["api"]["client_id"])
    assert claims["amr"] == ["pwd", "otp", "mfa"]
    assert claims["scp"] == "Things.Read"
    assert {m["purpose"] for m in server.messages(address)} == {"sign_up", "notice", "mfa"}
