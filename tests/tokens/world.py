"""One tenant, two applications, two APIs and one person: what the tests of this room are about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from genkan.model import (
    Assurance,
    Client,
    Demand,
    Evidence,
    Identifier,
    Kind,
    Resource,
    Subject,
    Tenant,
)
from genkan.tokens import metadata
from genkan.tokens.claims import Issue
from genkan.tokens.keys import Algorithm, KeyRing, SigningKey

NOW = datetime(2026, 3, 4, 9, 12, 45, tzinfo=UTC)
BASE_URL = "https://id.example.com"

TENANT = Tenant(id="11111111-2222-3333-4444-555555555555", name="contoso", aliases=("contoso.example",))
THINGS = Resource(
    id="aaaaaaaa-0000-4000-8000-0000000000b1",
    name="Things",
    uri="api://things",
    scopes=("Things.Read", "Things.Write", "Things.Purge"),
)
ORDERS = Resource(
    id="aaaaaaaa-0000-4000-8000-0000000000b2",
    name="Orders",
    uri="https://orders.example.com/v1",
    scopes=("Read",),
)
RESOURCES = {resource.id: resource for resource in (THINGS, ORDERS)}
APP = Client(
    id="aaaaaaaa-0000-4000-8000-0000000000a1",
    name="App",
    scopes=("api://things/Things.Read", "api://things/Things.Write", "https://orders.example.com/v1/Read"),
)
OTHER_APP = Client(id="aaaaaaaa-0000-4000-8000-0000000000a2", name="Other", scopes=APP.scopes)

ADDRESS = Identifier(kind="email", key="mika@example.com", value="Mika@example.com")
NUMBER = Identifier(kind="phone", key="+442079460000", value="+442079460000")
MIKA = Subject(
    id="8a1b0000-0000-4000-8000-000000000001",
    identifiers=(ADDRESS,),
    attributes={"displayName": "Mika Korhonen", "city": "Turku"},
    created_at=NOW - timedelta(days=30),
)

PASSWORD = Evidence(kind=Kind.PASSWORD, authenticator="p", at=NOW - timedelta(minutes=3), part="first")
MAIL_FIRST = Evidence(
    kind=Kind.EMAIL_OTP, authenticator="e", place=ADDRESS.place, at=NOW - timedelta(minutes=3), part="first"
)
MAIL_SECOND = Evidence(
    kind=Kind.EMAIL_OTP, authenticator="m", place=ADDRESS.place, at=NOW - timedelta(minutes=1), part="second"
)
MAIL_VERIFIED = Evidence(
    kind=Kind.EMAIL_OTP, place=ADDRESS.place, at=NOW - timedelta(minutes=5), part="verified"
)
TEXT_SECOND = Evidence(
    kind=Kind.SMS_OTP, authenticator="s", place=NUMBER.place, at=NOW - timedelta(minutes=1), part="second"
)

OIDC_DEMAND = Demand(
    scopes=("openid", "profile", "offline_access"), resource="00000002-0000-0000-c000-000000000000"
)
THINGS_DEMAND = Demand(
    scopes=(
        "openid",
        "profile",
        "offline_access",
        "email",
        "api://things/Things.Read",
        "api://things/Things.Write",
    ),
    resource=THINGS.id,
)

ISSUE = Issue(
    issuer=metadata.issuer(BASE_URL, TENANT.id),
    tenant=TENANT,
    client=APP,
    subject=MIKA,
    demand=THINGS_DEMAND,
    resource=THINGS,
    assurance=Assurance(
        amr=("pwd", "sms", "mfa"), acr="urn:genkan:acr:mfa", auth_time=NOW - timedelta(minutes=1)
    ),
    token_id="c0ffee00-0000-4000-8000-000000000001",
    now=NOW,
    pairwise_key=bytes(range(32)),
)


def a_key(algorithm: Algorithm = "RS256", number: int = 0) -> SigningKey:
    """Return a key that signs since yesterday; the same one for the same number."""
    return _a_key(algorithm, number)


@cache
def _a_key(algorithm: Algorithm, number: int) -> SigningKey:
    return SigningKey.generate(
        algorithm, created_at=NOW - timedelta(days=2), activates_at=NOW - timedelta(days=1)
    )


RING = KeyRing(keys=(a_key("RS256"), a_key("ES256")))
