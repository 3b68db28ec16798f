"""
The token endpoint for clients that act for themselves: the grant `client_credentials`.

Reads the form, lets the service judge the proof, writes the token or the error in the endpoint's own envelope.
Source: admin-graph-api 2; CAEP Interoperability Profile 2.7; RFC 6749 4.4; native-auth-v1 1.6.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from genkan.engine.messages import Refused
from genkan.exchange import Request, Response, json_response
from genkan.model import Reason, Secret
from genkan.risk import rate
from genkan.service import clients
from genkan.service.admin.applications import by_app_id
from genkan.service.admin.door import Door
from genkan.service.admin.streams import RECEIVE, SCOPES
from genkan.service.issue import Issuer
from genkan.tokens import metadata
from genkan.tokens.claims import ADMINISTRATION
from genkan.wire import reading
from genkan.wire.entra_v1_words import TOKEN, Error, write_error, write_refused

GRANT = "client_credentials"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EVERYTHING = "/.default"
FIELDS = frozenset(
    {"client_id", "client_secret", "client_assertion", "client_assertion_type", "grant_type", "scope"}
)

FLAWS: Mapping[clients.Flaw, Error] = {
    "unknown_client": Error("unauthorized_client", 700016, "No app with this client_id is registered here."),
    "public_client": Error(
        "invalid_client", 700025, "This app is a public client, which cannot act for itself.", status=401
    ),
    "no_proof": Error(
        "invalid_client",
        7000218,
        "The request body must contain the parameter client_secret or client_assertion.",
        status=401,
    ),
    "wrong_secret": Error(
        "invalid_client",
        7000215,
        "Invalid client secret provided: send the secret's value and not its id.",
        status=401,
    ),
    "expired_secret": Error(
        "invalid_client", 7000222, "The client secret has expired: make a new one.", status=401
    ),
    "bad_assertion": Error(
        "invalid_client",
        700027,
        "The client assertion is not signed by a certificate of this app, not for this endpoint, out of its time, or "
        "was used before.",
        status=401,
    ),
    "elsewhere": Error("unauthorized_client", 53003, "This app may not act from this address.", status=403),
    "too_many": Error(
        "temporarily_unavailable", 90055, "Too many wrong proofs of this app; wait and try again.", status=429
    ),
}

_NOT_EVERYTHING = Error(
    "invalid_scope", 1002012, "The scope must end in /.default: permissions come as roles."
)
_NO_RECEIVER = Error("unauthorized_client", 70011, f"This app lacks the permission {RECEIVE}.", status=403)
_NO_RESOURCE = Error("invalid_resource", 500011, "There is no such resource for applications here.")


class Endpoint(Struct, frozen=True, kw_only=True):
    """A tenant's token endpoint as far as clients act for themselves."""

    door: Door
    issuer: Issuer
    base_url: str

    async def __call__(self, request: Request) -> Response:
        """
        Answer a token request of this grant.

        Raises: `StoreUnavailable`.
        """
        directory = self.door.store.directory()
        now = self.door.now()
        form = reading.form(request.body, request.query, FIELDS)
        if isinstance(form, Refused):
            return write_refused(request, form, now)
        client_id = form.get("client_id", "").strip().lower()
        if not client_id:
            return write_refused(request, Refused(reason=Reason.PARAMETER_MISSING, detail="client_id"), now)
        scope = form.get("scope", "")
        receives = frozenset(scope.split()) & SCOPES
        refused = None if receives == set(scope.split()) and receives else self._scope(scope)
        if refused is not None:
            return write_error(request, refused, now)
        assertion = form.get("client_assertion", "")
        if assertion and form.get("client_assertion_type") != ASSERTION:
            return write_error(request, FLAWS["bad_assertion"], now)
        names = (directory.tenant.id, directory.tenant.name, *directory.tenant.aliases)
        secret = form.get("client_secret")
        proof = clients.Proof(
            client=client_id,
            secret=None if secret is None or assertion else Secret(secret),
            assertion=assertion,
            audiences=frozenset(
                (
                    metadata.issuer(self.base_url, directory.tenant.id),
                    *(f"{self.base_url}/{name}{TOKEN}" for name in names),
                )
            ),
            address=request.address,
            network=rate.network(request.address),
            correlation_id=request.correlation_id,
        )
        found = await clients.authenticate(self.door.store, proof)
        if isinstance(found, str):
            response = write_error(request, FLAWS[found], now)
            retry = (("retry-after", "60"),) if found == "too_many" else ()
            return replace(response, headers=(*response.headers, *retry))
        if receives:
            if RECEIVE not in found.client.app_roles:
                return write_error(request, _NO_RECEIVER, now)
            return json_response(self.issuer.for_receiver(found, tuple(sorted(receives))))
        app = by_app_id(directory, found.client.id)
        return json_response(self.issuer.for_client(found, app.principal_id if app else ""))

    def _scope(self, scope: str) -> Error | None:
        """Say what is wrong with a scope; the API goes by Graph's name and by ours, with and without its port."""
        words = scope.split()
        if len(words) != 1 or not words[0].endswith(EVERYTHING):
            return _NOT_EVERYTHING
        resource = words[0].removesuffix(EVERYTHING).rstrip("/").lower()
        scheme, _, host = self.base_url.partition("://")
        ours = {
            ADMINISTRATION,
            self.base_url.lower(),
            f"{scheme}://{host.rpartition(':')[0] or host}".lower(),
        }
        return None if resource in ours else _NO_RESOURCE


def is_asked(body: bytes) -> bool:
    """Say whether a token request is of this grant; cheap, because every request for a token passes here."""
    return b"client_credentials" in body and b"grant_type=client_credentials" in body
