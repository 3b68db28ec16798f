"""
A receiver of security events that knows nothing of Genkan: it reads what is published, and believes nothing else.

Everything is judged by what the specifications say and by joserfc. Source: SSF 1.0, CAEP 1.0, RISC 1.0, RFC 8417,
RFC 9493, CAEP Interoperability Profile 1.0.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any

import httpx2
from joserfc import jws
from joserfc.jwk import KeySet, RSAKey
from msgspec.structs import replace

from genkan.model import Client, ClientSecret
from tests.wire.servers import World

CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
SSF = "https://schemas.openid.net/secevent/ssf/event-type/"
PUSH, POLL = "urn:ietf:rfc:8935", "urn:ietf:rfc:8936"

CREDENTIALS = {
    "password",
    "pin",
    "x509",
    "fido2-platform",
    "fido2-roaming",
    "fido-u2f",
    "verifiable-credential",
    "phone-voice",
    "phone-sms",
    "app",
}


@dataclass
class Event:
    """A token that is in order."""

    claims: dict[str, Any]
    type: str
    members: dict[str, Any]

    @property
    def about(self) -> str:
        return str(self.claims["sub_id"].get("sub", ""))

    @property
    def jti(self) -> str:
        return str(self.claims["jti"])


class Stranger:
    """A receiver at a tenant of a world."""

    def __init__(self, world: World, *, permitted: bool = True, networks: tuple[str, ...] = ()) -> None:
        self.world = world
        self.id = f"{secrets.token_hex(4)}-0000-4000-8000-{secrets.token_hex(6)}"
        self.secret = secrets.token_urlsafe(24)
        self.client = Client(
            id=self.id,
            name=f"Receiver {self.id[:8]}",
            kind="confidential",
            native=False,
            secrets=(ClientSecret(id=self.id, digest=hashlib.sha256(self.secret.encode()).digest()),),
            app_roles=("SharedSignals.Receive",) if permitted else (),
            networks=networks,
        )
        world.run(world.store.put_documents(self.client))
        self.seen: set[str] = set()
        self._token = ""

    def without_permission(self) -> None:
        self.client = replace(self.client, app_roles=(), epoch=self.client.epoch + 1)
        self.world.run(self.world.store.put_documents(self.client))

    # What is published. --------------------------------------------------------------------------------

    @property
    def configuration(self) -> dict[str, Any]:
        """Found from the issuer alone, by the way of SSF 1.0, 7.2."""
        openid = self.world.http.get(f"{self.world.base}/dev/v2.0/.well-known/openid-configuration").json()
        scheme, _, rest = str(openid["issuer"]).partition("://")
        host, _, path = rest.partition("/")
        found = self.world.http.get(f"{scheme}://{host}/.well-known/ssf-configuration/{path}")
        assert found.status_code == 200, found.text
        told = dict(found.json())
        assert told["issuer"] == openid["issuer"]
        return told

    def token(self, scope: str = "ssf.manage ssf.read") -> httpx2.Response:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.id,
            "client_secret": self.secret,
            "scope": scope,
        }
        return self.world.http.post(f"{self.world.base}/dev/oauth2/v2.0/token", data=form)

    def ask(
        self, method: str, endpoint: str, body: Any = None, token: str | None = None, **query: str
    ) -> httpx2.Response:
        """Call an endpoint by its name in the configuration, or by its address."""
        if token is None:
            if not self._token:
                self._token = str(self.token().json()["access_token"])
            token = self._token
        url = endpoint if "://" in endpoint else str(self.configuration[endpoint])
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return self.world.http.request(method, url, json=body, params=query, headers=headers)

    def fresh(self) -> Stranger:
        """The same, with a token of now."""
        self._token = ""
        return self

    # Streams. ------------------------------------------------------------------------------------------

    def create(self, url: str = "", header: str = "", **more: Any) -> dict[str, Any]:
        """Create a stream: pushed to an address, or asked for."""
        delivery: dict[str, Any] = {"method": PUSH, "endpoint_url": url} if url else {"method": POLL}
        if header:
            delivery["authorization_header"] = header
        made = self.ask("POST", "configuration_endpoint", {"delivery": delivery, **more})
        assert made.status_code == 201, made.text
        return dict(made.json())

    def poll(self, **body: Any) -> list[Event]:
        """What there is, each looked at; nothing is acknowledged unless the body says so."""
        answer = self.asked(**body)
        assert answer.status_code == 200, answer.text
        found = [self.read(token) for token in answer.json()["sets"].values()]
        assert [event.jti for event in found] == list(answer.json()["sets"])
        return found

    def asked(self, **body: Any) -> httpx2.Response:
        (stream,) = self.ask("GET", "configuration_endpoint").json()
        return self.ask("POST", stream["delivery"]["endpoint_url"], {"returnImmediately": True, **body})

    def drain(self) -> list[Event]:
        """Everything there is, acknowledged."""
        found = self.poll()
        if found:
            self.poll(ack=[event.jti for event in found], maxEvents=0)
        return found

    # Tokens. -------------------------------------------------------------------------------------------

    def read(self, token: str) -> Event:
        """What a token says. It has to be in order in every way that is written down."""
        told = self.configuration
        keys = KeySet.import_key_set(self.world.http.get(told["jwks_uri"]).json())
        header = json.loads(_decoded(token.split(".", maxsplit=1)[0]))
        assert header["typ"] == "secevent+jwt"  # RFC 8417 2.3
        assert header["alg"] == "RS256"
        key = next(k for k in keys.keys if k.kid == header["kid"])
        assert isinstance(key, RSAKey)
        assert key.raw_value.key_size >= 2048
        signed = jws.deserialize_compact(token, key, algorithms=["RS256"])
        claims = json.loads(signed.payload)
        assert set(claims) == {"iss", "aud", "iat", "jti", "txn", "sub_id", "events"}  # no sub, no exp
        assert claims["iss"] == told["issuer"]
        assert claims["aud"] == self.id
        assert claims["jti"] not in self.seen or not self.is_strict
        assert isinstance(claims["iat"], int)
        (type_, members) = next(iter(claims["events"].items()))
        assert len(claims["events"]) == 1
        self._about(claims["sub_id"], type_)
        self._members(type_, members)
        self.seen.add(claims["jti"])
        return Event(claims, type_, members)

    is_strict = False
    """A `jti` that comes a second time is a fault."""

    def _about(self, subject: dict[str, Any], type_: str) -> None:
        if type_.startswith(SSF):
            assert subject == {"format": "opaque", "id": self.stream_id}
        else:
            assert set(subject) == {"format", "iss", "sub"}
            assert subject["format"] == "iss_sub"
            assert subject["iss"] == self.configuration["issuer"]

    @property
    def stream_id(self) -> str:
        (stream,) = self.ask("GET", "configuration_endpoint").json()
        return str(stream["stream_id"])

    def _members(self, type_: str, members: dict[str, Any]) -> None:
        if type_.startswith(CAEP):
            assert isinstance(members["event_timestamp"], int)
            assert members["initiating_entity"] in {"admin", "user", "policy", "system"}
            assert all(isinstance(text, str) and text for text in members["reason_admin"].values())
            assert members["reason_admin"]
        if type_ == CAEP + "credential-change":
            assert members["change_type"] in {"create", "revoke", "update", "delete"}
            assert members["credential_type"] in CREDENTIALS
        if type_ == CAEP + "risk-level-change":
            assert members["principal"] == "USER"
            assert members["current_level"] in {"LOW", "MEDIUM", "HIGH"}
            assert members.get("previous_level", "LOW") in {"LOW", "MEDIUM", "HIGH"}
        if type_ == RISC + "account-disabled":
            assert members.get("reason", "hijacking") in {"hijacking", "bulk-account"}


def _decoded(text: str) -> bytes:
    import base64

    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
