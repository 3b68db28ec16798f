"""
The unmodified `msgraph-sdk` and `azure-identity` against a real `genkan dev --tls` process.

Only base URL and credential differ from what administers Entra.
"""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
from azure.core.credentials import AccessToken
from azure.identity import ClientSecretCredential
from kiota_authentication_azure.azure_identity_authentication_provider import (
    AzureIdentityAuthenticationProvider,
)
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.object_identity import ObjectIdentity
from msgraph.generated.models.password_profile import PasswordProfile
from msgraph.generated.models.user import User
from msgraph.graph_request_adapter import options
from msgraph_core import GraphClientFactory

from tests.server import Server, start

EVERYTHING = "https://graph.microsoft.com/.default"
DOMAIN = "dev.onmicrosoft.com"
STRONG = "seven wet umbrellas 41"
STRONGER = "nine dry umbrellas 52"


class Office(Server):
    """A process with https, and the ways in for an administrator."""

    version = "v1.0"
    """Of the administration API, where a test names none."""

    @property
    def ca_file(self) -> str:
        return str(self.told["ca_file"])

    @property
    def admin(self) -> dict[str, str]:
        return dict(self.told["admin"])

    def credential(self, client_id: str = "", secret: str = "") -> ClientSecretCredential:
        """How azure-identity gets tokens here; the demo tenant's own client unless another is named."""
        credential = ClientSecretCredential(
            self.told["tenant"],
            client_id or self.admin["client_id"],
            secret or self.admin["client_secret"],
            authority=self.base,
            disable_instance_discovery=True,
            connection_verify=self.ca_file,
        )
        self.opened.append(credential)
        return credential

    @property
    def opened(self) -> list[Any]:
        """What a test has opened and has to close."""
        found: list[Any] = self.__dict__.setdefault("_opened", [])
        return found

    async def close_all(self) -> None:
        """Close what a test has opened."""
        for one in self.opened:
            if hasattr(one, "aclose"):
                await one.aclose()
            else:
                one.close()
        self.opened.clear()

    def graph(
        self,
        credential: Any = None,
        *,
        version: str = "",
        base_url: str = "",
        scopes: list[str] | None = None,
    ) -> GraphServiceClient:
        """The SDK's client, as the recipe makes it."""
        provider = AzureIdentityAuthenticationProvider(
            credential or self.credential(), scopes=[EVERYTHING] if scopes is None else scopes
        )
        context = ssl.create_default_context(cafile=self.ca_file)
        bare = httpx.AsyncClient(verify=context)
        self.opened.append(bare._transport)  # The SDK wraps it, and does not close it.
        client = GraphClientFactory.create_with_default_middleware(options=options, client=bare)
        self.opened.append(client)
        adapter = GraphRequestAdapter(provider, client=client)
        adapter.base_url = base_url or f"{self.base}/{version or self.version}"
        return GraphServiceClient(request_adapter=adapter)

    def token_call(self, **form: str) -> httpx2.Response:
        """A token request as it stands."""
        return self.http.post(f"{self.base}/dev/oauth2/v2.0/token", data=form)

    def token(self, client_id: str = "", secret: str = "") -> str:
        """An administration token."""
        answer = self.token_call(
            grant_type="client_credentials",
            client_id=client_id or self.admin["client_id"],
            client_secret=secret or self.admin["client_secret"],
            scope=EVERYTHING,
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str
    ) -> httpx2.Response:
        """A request without the SDK; with a token of the demo tenant's own client unless another is given."""
        if token is None:
            token = self.__dict__.setdefault("_token", None) or self.token()
            self.__dict__["_token"] = token
        sent = {"authorization": f"Bearer {token}"} if token else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        url = path if path.startswith("http") else f"{self.base}/{self.version}{path}"
        if isinstance(body, (bytes, str)):
            return self.http.request(
                method, url, content=body, headers={"content-type": "application/json"} | sent
            )
        return self.http.request(method, url, json=body, headers=sent)

    def made(self, path: str, body: Any) -> dict[str, Any]:
        """POST something that must succeed."""
        answer = self.call("POST", path, body)
        assert answer.status_code in (200, 201), answer.text
        return dict(answer.json())

    def client_with(self, *roles: str) -> tuple[str, str]:
        """A confidential client that holds these permissions: its id and its secret."""
        app = self.made("/applications", {"displayName": f"Robot {uuid.uuid4().hex[:6]}"})
        at = f"/servicePrincipals(appId='{app['appId']}')/appRoleAssignments"
        from genkan.wire.graph.applications import role_id

        for role in roles:
            assert self.call("POST", at, {"appRoleId": role_id(role)}).status_code == 201
        secret = self.made(f"/applications/{app['id']}/addPassword", {})
        return app["appId"], secret["secretText"]

    def a_user(self, **more: Any) -> dict[str, Any]:
        """A user with a new address and a password."""
        address = more.pop("address", None) or f"ada.{uuid.uuid4().hex[:10]}@example.com"
        return self.made("/users", a_user_body(address, **more))


class Static:
    """A credential that hands out one token, and remembers what it was asked for."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.asked: list[dict[str, Any]] = []

    def get_token(self, *scopes: str, **more: Any) -> AccessToken:
        self.asked.append(more)
        token = self.tokens[0] if len(self.tokens) == 1 else self.tokens.pop(0)
        return AccessToken(token, 4102444800)


def a_user_body(address: str, **more: Any) -> dict[str, Any]:
    """The JSON of a local account."""
    return {
        "displayName": "Ada",
        "identities": [{"signInType": "emailAddress", "issuer": DOMAIN, "issuerAssignedId": address}],
        "passwordProfile": {"password": STRONG, "forceChangePasswordNextSignIn": False},
        "passwordPolicies": "DisablePasswordExpiration",
        **more,
    }


def a_user(address: str = "", **more: Any) -> User:
    """The same as the SDK has it."""
    given = {
        "display_name": "Ada",
        "identities": [
            ObjectIdentity(
                sign_in_type="emailAddress", issuer=DOMAIN, issuer_assigned_id=address or an_address()
            )
        ],
        "password_profile": PasswordProfile(password=STRONG, force_change_password_next_sign_in=False),
        "password_policies": "DisablePasswordExpiration",
    }
    return User(**given | more)


def an_address() -> str:
    return f"ada.{uuid.uuid4().hex[:10]}@example.com"


@contextmanager
def running_office(folder: Path, **environment: str) -> Iterator[Office]:
    """A process for the length of a block."""
    office = Office(**vars(start(folder, "--tls", environment=environment)))
    try:
        yield office
    finally:
        office.http.close()
        office.stop()
        if office.process.stdout is not None:
            office.process.stdout.close()


__all__ = [
    "DOMAIN",
    "STRONG",
    "STRONGER",
    "ODataError",
    "Office",
    "Static",
    "a_user",
    "a_user_body",
    "an_address",
]
