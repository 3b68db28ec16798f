"""What an administrator sees and does of people's passkeys, by Microsoft's own SDK."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgraph.generated.models.authentication_method_state import AuthenticationMethodState
from msgraph.generated.models.fido2_authentication_method import Fido2AuthenticationMethod
from msgraph.generated.models.fido2_authentication_method_configuration import (
    Fido2AuthenticationMethodConfiguration,
)

from genkan.service.demo import SECURITY_INFO_SCOPE
from tests.graph.sdk import Office
from tests.server import Reply, first_factor_by_code, new_address, sign_up_by_code
from tests.wire import strict
from tests.wire.authenticator import Key

ORIGIN = "http://localhost:3000"
TYPES = "webauthn oob redirect"


def own(office: Office, bearer: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = office.http.post(
        f"{office.base}/dev/emergency/v1.0/me/passkeys/{path}",
        json=body,
        headers={"authorization": f"Bearer {bearer}"},
    )
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def has_passkey(office: Office, name: str = "Blue key") -> tuple[str, str, Key]:
    """Address and id of somebody new, and their passkey."""
    address, key = new_address(), Key()
    sign_up_by_code(office, address)
    tokens = first_factor_by_code(office, address, f"openid {SECURITY_INFO_SCOPE}").ok()
    options = own(office, tokens["access_token"], "begin", {})["public_key"]
    own(office, tokens["access_token"], "finish", {"credential": key.made(options, ORIGIN), "name": name})
    return address, str(strict.jwt(tokens["id_token"])[1]["oid"]), key


def signs_in(office: Office, address: str, key: Key) -> Reply:
    app = office.otp_app
    begun = office.post(strict.INITIATE, client_id=app, username=address, challenge_type=TYPES).ok()
    asked = office.post(
        strict.CHALLENGE, client_id=app, continuation_token=begun.token, challenge_type=TYPES
    ).ok()
    return office.post(
        strict.TOKEN,
        client_id=app,
        continuation_token=asked.token,
        grant_type="webauthn",
        credential=json.dumps(key.signed(asked["public_key"], ORIGIN)),
    )


async def test_passkeys_are_listed_shown_and_removed_and_their_owner_is_told(office: Office) -> None:
    address, user, key = has_passkey(office)
    at = office.graph().users.by_user_id(user).authentication
    (one,) = (await at.fido2_methods.get()).value
    every = (await at.methods.get()).value
    same = await at.fido2_methods.by_fido2_authentication_method_id(one.id).get()
    signs_in(office, address, key).ok()
    await at.fido2_methods.by_fido2_authentication_method_id(one.id).delete()

    assert (one.display_name, one.aa_guid) == ("Blue key", "00000000-0000-0000-0000-000000000000")
    assert one.created_date_time is not None
    assert same.id == one.id
    assert [type(m) for m in every if m.id == one.id] == [Fido2AuthenticationMethod]
    assert (await at.fido2_methods.get()).value == []
    assert signs_in(office, address, key).error[:2] == ("invalid_grant", "invalid_assertion")
    assert sum(m["purpose"] == "notice" for m in office.messages(address)) == 2


def test_nobody_elses_passkey_is_shown_or_removed_by_another_persons_path(office: Office) -> None:
    _, mine, _ = has_passkey(office)
    address, theirs, key = has_passkey(office)
    path = "/users/{}/authentication/fido2Methods"
    (one,) = office.call("GET", path.format(theirs)).json()["value"]
    for method in ("GET", "DELETE"):
        assert office.call(method, f"{path.format(mine)}/{one['id']}").status_code == 404
        assert office.call(method, f"{path.format(theirs)}/{mine}").status_code == 404
    signs_in(office, address, key).ok()


@pytest.mark.proves("GR-092")
async def test_passkeys_are_on_unless_switched_off_and_off_is_off_at_once(office: Office) -> None:
    address, _, key = has_passkey(office)
    configurations = (
        office.graph().policies.authentication_methods_policy.authentication_method_configurations
    )
    fido2 = configurations.by_authentication_method_configuration_id("Fido2")
    before = await fido2.get()
    await fido2.patch(Fido2AuthenticationMethodConfiguration(state=AuthenticationMethodState.Disabled))
    refused = signs_in(office, address, key)
    await fido2.delete()

    assert before.state == AuthenticationMethodState.Enabled
    assert refused.error[:2] == ("invalid_grant", "invalid_assertion")
    signs_in(office, address, key).ok()
