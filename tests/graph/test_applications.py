"""Applications by the SDK: registered, changed, given secrets and certificates, and taken away."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CertificateCredential
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from msgraph.generated.applications.item.add_password.add_password_post_request_body import (
    AddPasswordPostRequestBody,
)
from msgraph.generated.applications.item.remove_password.remove_password_post_request_body import (
    RemovePasswordPostRequestBody,
)
from msgraph.generated.models.application import Application
from msgraph.generated.models.key_credential import KeyCredential
from msgraph.generated.models.native_authentication_apis_enabled import NativeAuthenticationApisEnabled
from msgraph.generated.models.password_credential import PasswordCredential
from msgraph.generated.models.public_client_application import PublicClientApplication

from tests.graph.sdk import EVERYTHING, ODataError, Office, an_address
from tests.server import BOTH, first_factor_by_code, sign_up_by_code

pytestmark = pytest.mark.anyio

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def native_app(**more: Any) -> Application:
    """A mobile app as the SDK has it."""
    given: dict[str, Any] = {
        "display_name": f"Shop {uuid.uuid4().hex[:8]}",
        "sign_in_audience": "AzureADMyOrg",
        "is_fallback_public_client": True,
        "native_authentication_apis_enabled": NativeAuthenticationApisEnabled.All,
        "public_client": PublicClientApplication(redirect_uris=["msauth.com.example.shop://auth"]),
    }
    return Application(**given | more)


def started(office: Office, client: str, address: str) -> tuple[int, tuple[str, str, int]]:
    """Status and error of the first call of a sign-in through an app."""
    answer = office.post(
        "/oauth2/v2.0/initiate",
        client_id=client,
        username=address,
        challenge_type="oob redirect",
        capabilities=BOTH,
    )
    return answer.status, answer.error


def at_clock(office: Office) -> datetime:
    """The server's time. No test of this file moves it: azure-identity goes by the machine's."""
    return datetime.fromisoformat(office.http.get(f"{office.base}/dev/clock").json()["now"])


# Native or not. -----------------------------------------------------------------------------------------------------


@pytest.mark.proves("GR-069", "GR-070", "GR-074")
async def test_native_endpoints_open_for_an_app_made_so_and_close_when_it_is_told_or_deleted(
    office: Office,
) -> None:
    address = an_address()
    sign_up_by_code(office, address)
    graph = office.graph()
    made = await graph.applications.post(native_app())
    at = graph.applications.by_application_id(made.id)
    assert started(office, made.app_id, address) == (200, ("", "", 0))

    await at.patch(
        Application(additional_data={"nativeAuthenticationApisEnabled": "none"}),
    )
    status, error = started(office, made.app_id, address)
    assert (status, error[:2]) == (400, ("invalid_client", "nativeauthapi_disabled"))

    await at.patch(Application(native_authentication_apis_enabled=NativeAuthenticationApisEnabled.All))
    assert started(office, made.app_id, address)[0] == 200
    principal = await graph.service_principals_with_app_id(made.app_id).get()
    assert principal.display_name == made.display_name

    await at.delete()
    assert started(office, made.app_id, address)[1][0] == "unauthorized_client"
    for gone in (at, graph.service_principals.by_service_principal_id(principal.id)):
        with pytest.raises(ODataError) as caught:
            await gone.get()
        assert caught.value.response_status_code == 404


@pytest.mark.proves("GR-070")
async def test_an_app_made_without_the_flag_is_not_native(office: Office) -> None:
    made = await office.graph().applications.post(Application(display_name="Plain"))
    shown = office.call("GET", f"/applications/{made.id}").json()
    assert (shown["nativeAuthenticationApisEnabled"], shown["isFallbackPublicClient"]) == ("none", False)
    assert started(office, made.app_id, an_address())[1][0] == "invalid_client"


@pytest.mark.proves("GR-071", "GR-073")
async def test_a_fetched_app_sent_back_stays_native_and_keeps_everything_else(office: Office) -> None:
    graph = office.graph()
    made = await graph.applications.post(native_app(notes="first", tags=["shop"]))
    fetched = await graph.applications_with_app_id(made.app_id).get()
    assert fetched.id == made.id
    before = office.call("GET", f"/applications/{made.id}").json()

    fetched.notes = "second"
    await graph.applications_with_app_id(made.app_id).patch(fetched)

    after = office.call("GET", f"/applications/{made.id}").json()
    assert after == before | {"notes": "second"}
    assert after["nativeAuthenticationApisEnabled"] == "all"
    with pytest.raises(ODataError) as caught:
        await graph.applications_with_app_id(str(uuid.uuid4())).get()
    assert caught.value.response_status_code == 404


@pytest.mark.proves("GR-075")
@pytest.mark.parametrize(
    "audience", ["AzureADMultipleOrgs", "AzureADandPersonalMicrosoftAccount", "PersonalMicrosoftAccount", ""]
)
async def test_an_app_is_for_this_tenant_alone(office: Office, audience: str) -> None:
    with pytest.raises(ODataError) as caught:
        await office.graph().applications.post(native_app(sign_in_audience=audience))
    error = caught.value
    assert (error.response_status_code, error.error.code) == (400, "Request_BadRequest")
    assert [d.target for d in error.error.details] == ["signInAudience"]


# Secrets. -----------------------------------------------------------------------------------------------------------


@pytest.mark.proves("GR-072", "ADM-08")
async def test_a_secret_is_shown_once_and_works_until_it_is_taken_away(office: Office) -> None:
    graph = office.graph()
    made = await graph.applications.post(Application(display_name="Robot"))
    at = graph.applications.by_application_id(made.id)
    secret = await at.add_password.post(
        AddPasswordPostRequestBody(password_credential=PasswordCredential(display_name="night run"))
    )
    assert len(secret.secret_text) >= 43  # 256 bits in base64url.
    listed = (await at.get()).password_credentials
    assert [(p.key_id, p.display_name, p.secret_text) for p in listed] == [(secret.key_id, "night run", None)]
    assert listed[0].hint == secret.secret_text[:3]
    assert listed[0].end_date_time - listed[0].start_date_time <= timedelta(days=731)
    assert secret.secret_text not in office.call("GET", "/auditLogs/directoryAudits").text
    assert not any(secret.secret_text.encode() in f.read_bytes() for f in office.data.rglob("*.db*"))

    credential = office.credential(made.app_id, secret.secret_text)
    assert credential.get_token(EVERYTHING).token

    await at.remove_password.post(RemovePasswordPostRequestBody(key_id=secret.key_id))
    assert (await at.get()).password_credentials == []
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        office.credential(made.app_id, secret.secret_text).get_token(EVERYTHING)


@pytest.mark.proves("ADM-08")
def test_a_secret_ends_when_it_was_said_to(office: Office) -> None:
    made = office.made("/applications", {"displayName": "Robot"})
    at = f"/applications/{made['id']}/addPassword"

    def with_secret(**times: str) -> tuple[int, list[int]]:
        secret = office.made(at, {"passwordCredential": times})
        assert times.items() <= secret.items()
        form = {"client_id": made["appId"], "client_secret": secret["secretText"], "scope": EVERYTHING}
        answer = office.token_call(grant_type="client_credentials", **form)
        return answer.status_code, answer.json().get("error_codes", [])

    past, present, future = (
        f"{at_clock(office) + timedelta(hours=h):%Y-%m-%dT%H:%M:%SZ}" for h in (-2, -1, 1)
    )
    assert with_secret(startDateTime=past, endDateTime=future) == (200, [])
    assert with_secret(startDateTime=past, endDateTime=present) == (401, [7000222])
    for times in ({"endDateTime": "2200-01-01T00:00:00Z"}, {"startDateTime": future, "endDateTime": past}):
        assert office.call("POST", at, {"passwordCredential": times}).status_code == 400


# Certificates. ------------------------------------------------------------------------------------------------------


class Certified:
    """A key with its certificate, made for a test."""

    def __init__(self, kind: str = "rsa", *, begins: datetime | None = None) -> None:
        self.key: Any = (
            rsa.generate_private_key(public_exponent=65537, key_size=2048)
            if kind == "rsa"
            else ec.generate_private_key(ec.SECP256R1())
        )
        self.algorithm = "RS256" if kind == "rsa" else "ES256"
        begins = begins or datetime(2020, 1, 1, tzinfo=UTC)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "robot.example")])
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + timedelta(days=20 * 365))
            .sign(self.key, hashes.SHA256())
        )

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        key = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return bytes(key) + self.certificate.public_bytes(serialization.Encoding.PEM)

    def assertion(self, office: Office, client: str, **more: Any) -> str:
        """A client assertion (RFC 7523 3), good for five minutes."""
        now = int(at_clock(office).timestamp())
        claims = {
            "iss": client,
            "sub": client,
            "aud": f"{office.base}/dev/oauth2/v2.0/token",
            "jti": uuid.uuid4().hex,
            "nbf": now,
            "exp": now + 300,
        }
        return jwt.encode(claims | more, self.key, algorithm=self.algorithm)


async def certified_app(office: Office, *certified: Certified) -> str:
    """An app that knows these certificates; its app id."""
    graph = office.graph()
    made = await graph.applications.post(Application(display_name="Robot"))
    keys = [
        KeyCredential(type="AsymmetricX509Cert", usage="Verify", display_name="robot", key=one.der)
        for one in certified
    ]
    await graph.applications.by_application_id(made.id).patch(Application(key_credentials=keys))
    return str(made.app_id)


def by_assertion(office: Office, client: str, assertion: str) -> tuple[int, list[int]]:
    """Status and numbers of a token request with an assertion."""
    answer = office.token_call(
        grant_type="client_credentials",
        client_id=client,
        client_assertion=assertion,
        client_assertion_type=ASSERTION,
        scope=EVERYTHING,
    )
    return answer.status_code, answer.json().get("error_codes", [])


@pytest.mark.proves("TOK-16")
async def test_a_certificate_stands_for_a_secret(office: Office) -> None:
    certified = Certified()
    client = await certified_app(office, certified)
    credential = CertificateCredential(
        office.told["tenant"],
        client,
        certificate_data=certified.pem,
        authority=office.base,
        disable_instance_discovery=True,
        connection_verify=office.ca_file,
    )
    office.opened.append(credential)
    token = credential.get_token(EVERYTHING).token
    assert office.call("GET", "/users", token=token).status_code == 403


@pytest.mark.proves("TOK-16")
@pytest.mark.parametrize("kind", ["rsa", "ec"])
async def test_an_assertion_counts_once(office: Office, kind: str) -> None:
    certified = Certified(kind)
    client = await certified_app(office, certified)
    assertion = certified.assertion(office, client)
    assert by_assertion(office, client, assertion) == (200, [])
    assert by_assertion(office, client, assertion) == (401, [700027])
    assert by_assertion(office, client, certified.assertion(office, client)) == (200, [])


@pytest.mark.proves("TOK-16")
async def test_what_is_no_assertion_of_this_client_for_this_endpoint_now(office: Office) -> None:
    certified, foreign = Certified("ec"), Certified("ec")
    client, other = await certified_app(office, certified), await certified_app(office, foreign)
    long_ago, later = 1_600_000_000, 4_000_000_000
    for bad in (
        foreign.assertion(office, client),
        certified.assertion(office, other),
        certified.assertion(office, client, aud="https://login.example/token"),
        certified.assertion(office, client, sub=other),
        certified.assertion(office, client, exp=long_ago),
        certified.assertion(office, client, exp=later),
        certified.assertion(office, client, nbf=later),
        certified.assertion(office, client, exp="soon"),
        jwt.encode({"iss": client, "sub": client}, "secret" * 8, algorithm="HS256"),
        jwt.encode({"iss": client, "sub": client}, "", algorithm="none"),
        certified.assertion(office, client)[:-8] + "AAAAAAAA",
    ):
        assert by_assertion(office, client, bad) == (401, [700027]), bad
    assert by_assertion(office, client, certified.assertion(office, client)) == (200, [])


@pytest.mark.proves("TOK-16")
async def test_a_certificate_that_was_taken_away_proves_nothing(office: Office) -> None:
    certified = Certified("ec")
    client = await certified_app(office, certified)
    graph = office.graph()
    shown = (await graph.applications_with_app_id(client).get()).key_credentials
    assert [(k.display_name, k.key) for k in shown] == [("robot", None)]
    await graph.applications_with_app_id(client).patch(Application(display_name="Robot the second"))
    assert by_assertion(office, client, certified.assertion(office, client)) == (200, [])
    await graph.applications_with_app_id(client).patch(Application(key_credentials=[]))
    assert by_assertion(office, client, certified.assertion(office, client)) == (401, [700027])


async def test_a_customer_signs_in_through_an_app_made_here(office: Office) -> None:
    address = an_address()
    sign_up_by_code(office, address)
    made = await office.graph().applications.post(native_app())
    through_it = replace(office, told=office.told | {"apps": office.told["apps"] | {"otp": made.app_id}})
    assert first_factor_by_code(through_it, address, "openid").ok()["token_type"] == "Bearer"
