"""
The peacetime part of the emergency API: `/emergency/v1.0/me/…`, for a bearer token of the tenant's own.

JSON alone, so that no form of another site can speak it. A token must be for the built-in API of security
information; what it says is believed only after its signature, and what it allows is decided by `service.owner`.
Source: emergency-protocol 9.2, 9.3; decision 0014; RFC 6750, RFC 9470.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from genkan.engine import passkeys
from genkan.engine.messages import Directory
from genkan.engine.reserve import Proven, Readiness
from genkan.engine.steps import FRESH, is_origin_of
from genkan.exchange import Request, Response, json_response
from genkan.model import SECURITY_INFO, Authenticator, Reason, Secret
from genkan.service.owner import SCOPE, Activity, Caller, Owner, Refusal, Why
from genkan.tokens import jwt, metadata
from genkan.tokens.claims import ACR_TWO_FACTORS
from genkan.tokens.keys import KeyRing
from genkan.wire import ceremonies, entra_v1_words

PREFIX: Final = "/emergency/v1.0/me/"

HEADERS: Final = "authorization"
"""What a browser may send here beside what it may send everywhere."""


class Error(entra_v1_words.Error, frozen=True):
    """How a refusal looks (9.3): in the envelope of the native API."""

    challenge: str = ""
    """What follows `Bearer` in `WWW-Authenticate`."""


_STEP_UP = f'error="insufficient_user_authentication", max_age="{int(FRESH.total_seconds())}"'

NO_TOKEN = Error(
    "invalid_token", 50000, "Send an access token of this tenant.", status=401, challenge=f'scope="{SCOPE}"'
)
BAD_TOKEN = Error(
    "invalid_token",
    50000,
    "The access token is not valid here: get one anew.",
    status=401,
    challenge=f'error="invalid_token", scope="{SCOPE}"',
)
REFUSALS: Final[Mapping[Why, Error]] = {
    "token": BAD_TOKEN,
    "stale": Error(
        "insufficient_user_authentication",
        50078,
        "Sign in again: what was proven is too long ago for this.",
        "reauthentication_required",
        status=401,
        challenge=_STEP_UP,
    ),
    "factor": Error(
        "insufficient_user_authentication",
        50076,
        "Sign in again, with the second factor too.",
        "mfa_required",
        status=401,
        challenge=f'{_STEP_UP}, acr_values="{ACR_TWO_FACTORS}"',
    ),
    "assertion": Error(
        "invalid_grant",
        50126,
        "The passkey did not prove what was asked for; ask anew for a challenge.",
        "invalid_assertion",
    ),
    "password": Error("invalid_grant", 50126, "This is not the current password.", "invalid_password"),
    "taken": Error("conflict", 90100, "This passkey is registered already.", status=409),
    "missing": Error("not_found", 90100, "There is no such passkey.", status=404),
    "too_many": Error(
        "slow_down", 50196, "This was done too often in a day; wait, and try again.", status=429, wait=3600
    ),
}
FOREIGN_ORIGIN = Error("access_denied", 9002326, "This web origin is not registered for the app.", status=403)
NOT_JSON = Error("invalid_request", 90100, "Send the body as application/json.", status=415)
MALFORMED = Error(
    "invalid_request", 90100, "The body cannot be read, or has a member that is not known here."
)


class Endpoint(Struct, frozen=True, kw_only=True):
    """What a tenant answers with here."""

    owner: Owner
    ring: Callable[[], KeyRing]
    directory: Callable[[], Directory]
    clock: Callable[[], datetime]
    base_url: str

    async def __call__(self, request: Request) -> Response:
        """Answer a request to one of `METHODS`, which has the right method. Raises: `StoreUnavailable`."""
        caller = self._caller(request)
        if isinstance(caller, Error):
            return write_error(request, caller, self.clock())
        route, body = _ROUTES[request.path], None
        if route.method == "POST":
            if request.media_type != "application/json":
                return write_error(request, NOT_JSON, self.clock())
            body = _read(request.body, route.body)
            if body is None:
                return write_error(request, MALFORMED, self.clock())
        answer = await route.handler(self, caller, body)
        if isinstance(answer, Refusal):
            answer = REFUSALS[answer.why]
        if isinstance(answer, Reason):
            refused = entra_v1_words.ERRORS[answer]
            answer = Error(
                refused.error, refused.code, refused.text, refused.suberror, refused.status, refused.wait
            )
        return (
            write_error(request, answer, self.clock()) if isinstance(answer, Error) else json_response(answer)
        )

    def _caller(self, request: Request) -> Caller | Error:
        """Who asks, by the token alone."""
        if not request.bearer:
            return NO_TOKEN
        directory, now = self.directory(), self.clock()
        claims = jwt.verify(
            request.bearer,
            self.ring(),
            typ="at+jwt",
            issuer=metadata.issuer(self.base_url, directory.tenant.id),
            audience=SECURITY_INFO,
            now=now,
        )
        if isinstance(claims, jwt.Flaw):
            return BAD_TOKEN
        try:
            said = msgspec.convert(claims, _Claims)
        except msgspec.ValidationError:
            return BAD_TOKEN
        client, origin = directory.clients.get(said.azp), request.headers.get("origin")
        if client is None or SCOPE not in said.scope.split(" "):
            return BAD_TOKEN
        if origin is not None and not is_origin_of(client, origin):
            return FOREIGN_ORIGIN
        return Caller(
            subject=said.oid,
            client=said.azp,
            epoch=said.epoch,
            proven=Proven(at=datetime.fromtimestamp(said.auth_time, UTC), words=said.amr),
            correlation_id=request.correlation_id,
        )


class _Claims(Struct, frozen=True):
    """What is read of a token that has been found authentic."""

    oid: str
    azp: str
    scope: str
    epoch: int
    auth_time: int
    amr: tuple[str, ...]


class _Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """A body without members."""


Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]


class Codes(Struct, frozen=True, kw_only=True):
    """Recovery codes, which are never shown again."""

    codes: tuple[str, ...]
    shown_once: bool = True


class FreezeCode(Struct, frozen=True, kw_only=True):
    """The code that can hold the account."""

    code: str
    can: tuple[str, ...] = ("contain",)


class Asked(Struct, frozen=True, kw_only=True):
    """What to hand to `navigator.credentials`, as JSON (WebAuthn Level 3, 5.1.8 and 5.1.9)."""

    public_key: dict[str, Any]
    expires_in: int = int(passkeys.LIFETIME.total_seconds())


class NewPasskey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The authenticator's answer to a registration."""

    credential: dict[str, Any]
    """A RegistrationResponseJSON."""
    name: Name


class Renamed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a passkey is to be called."""

    id: Annotated[str, Meta(max_length=64)]
    name: Name


class NewPassword(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The password that there is, and the one that is to be."""

    current_password: Annotated[str, Meta(min_length=1, max_length=1024)]
    new_password: Annotated[str, Meta(min_length=1, max_length=1024)]


class PasswordChanged(Struct, frozen=True):
    """Done; every session has ended, so sign in again."""

    signed_out: bool = True


class Removal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A passkey to remove, and a signature that allows it."""

    id: Annotated[str, Meta(max_length=64)]
    credential: dict[str, Any]
    """An AuthenticationResponseJSON."""


class OwnPasskey(Struct, frozen=True, kw_only=True):
    """A passkey, as its owner may see it."""

    id: str
    name: str
    created: str
    last_used: str | None
    anchor: bool
    """Its device never gives it away, so it counts as an anchor in an emergency."""
    backed_up: bool
    security_key: bool
    aaguid: str


class OwnPasskeys(Struct, frozen=True, kw_only=True):
    """All of them, oldest first."""

    passkeys: tuple[OwnPasskey, ...]


def _shown(authenticator: Authenticator) -> OwnPasskey:
    found, used = authenticator.passkey, authenticator.last_used_at
    assert found is not None  # noqa: S101 - `Owner` hands out no other
    return OwnPasskey(
        id=authenticator.id,
        name=authenticator.name,
        created=f"{authenticator.created_at:%Y-%m-%dT%H:%M:%SZ}",
        last_used=f"{used:%Y-%m-%dT%H:%M:%SZ}" if used else None,
        anchor=not found.synced,
        backed_up=found.backed_up,
        security_key=found.roaming,
        aaguid=found.aaguid,
    )


async def _passkeys(endpoint: Endpoint, caller: Caller, _: Any) -> Answer:
    found = await endpoint.owner.passkeys(caller)
    return found if isinstance(found, Refusal) else OwnPasskeys(passkeys=tuple(map(_shown, found)))


async def _begin_registration(endpoint: Endpoint, caller: Caller, _: Any) -> Answer:
    asked = await endpoint.owner.begin(caller, "register")
    if isinstance(asked, Refusal):
        return asked
    timeout = int(passkeys.LIFETIME.total_seconds() * 1000)
    return Asked(public_key=ceremonies.creation(asked, timeout))


async def _register(endpoint: Endpoint, caller: Caller, body: NewPasskey) -> Answer:
    said = body.credential.get("authenticatorAttachment")
    done = await endpoint.owner.register_passkey(
        caller, body.credential, body.name, roaming=said == "cross-platform"
    )
    return done if isinstance(done, Refusal) else _shown(done)


async def _rename(endpoint: Endpoint, caller: Caller, body: Renamed) -> Answer:
    done = await endpoint.owner.rename_passkey(caller, body.id, body.name)
    return done if isinstance(done, Refusal) else _shown(done)


async def _begin_removal(endpoint: Endpoint, caller: Caller, _: Any) -> Answer:
    asked = await endpoint.owner.begin(caller, "remove")
    if isinstance(asked, Refusal):
        return asked
    timeout = int(passkeys.LIFETIME.total_seconds() * 1000)
    return Asked(public_key=ceremonies.request(asked.challenge, asked.rp_id, asked.credentials, timeout))


async def _remove(endpoint: Endpoint, caller: Caller, body: Removal) -> Answer:
    done = await endpoint.owner.remove_passkey(caller, body.id, body.credential)
    return done if isinstance(done, Refusal) else _shown(done)


async def _password(endpoint: Endpoint, caller: Caller, body: NewPassword) -> Answer:
    current, new = Secret(body.current_password), Secret(body.new_password)
    refused = await endpoint.owner.change_password(caller, current, new)
    return PasswordChanged() if refused is None else refused


Answer = Struct | Refusal | Reason | Error


async def _readiness(endpoint: Endpoint, caller: Caller, _: Any) -> Answer:
    return await endpoint.owner.readiness(caller)


async def _activity(endpoint: Endpoint, caller: Caller, _: Any) -> Answer:
    return await endpoint.owner.activity(caller)


async def _recovery_codes(endpoint: Endpoint, caller: Caller, _: Any) -> Answer:
    codes = await endpoint.owner.issue_recovery_codes(caller)
    return codes if isinstance(codes, Refusal) else Codes(codes=tuple(c.text for c in codes))


async def _freeze_code(endpoint: Endpoint, caller: Caller, _: Any) -> Answer:
    code = await endpoint.owner.issue_freeze_code(caller)
    return FreezeCode(code=code.text) if isinstance(code, Secret) else code


class Route(Struct, frozen=True):
    """One operation."""

    method: Literal["GET", "POST"]
    path: str
    handler: Callable[[Endpoint, Caller, Any], Awaitable[Answer]]
    summary: str
    answer: type[Struct]
    body: type[Struct] = _Nothing


ROUTES: Final = (
    Route("GET", PREFIX + "emergency-readiness", _readiness, "How well the account is prepared", Readiness),
    Route("GET", PREFIX + "activity", _activity, "Recent sign-ins and security changes", Activity),
    Route("POST", PREFIX + "password", _password, "Change the password", PasswordChanged, NewPassword),
    Route("POST", PREFIX + "recovery-codes", _recovery_codes, "Make new recovery codes", Codes),
    Route("POST", PREFIX + "freeze-code", _freeze_code, "Make a new freeze code", FreezeCode),
    Route("GET", PREFIX + "passkeys", _passkeys, "The passkeys that there are", OwnPasskeys),
    Route("POST", PREFIX + "passkeys/begin", _begin_registration, "Begin to register a passkey", Asked),
    Route("POST", PREFIX + "passkeys/finish", _register, "Register it", OwnPasskey, NewPasskey),
    Route("POST", PREFIX + "passkeys/rename", _rename, "Call a passkey something else", OwnPasskey, Renamed),
    Route("POST", PREFIX + "passkeys/begin-removal", _begin_removal, "Begin to remove a passkey", Asked),
    Route("POST", PREFIX + "passkeys/remove", _remove, "Remove it", OwnPasskey, Removal),
)
METHODS: Final[Mapping[str, tuple[str, ...]]] = {route.path: (route.method,) for route in ROUTES}
"""Every endpoint here, and the methods it takes."""
_ROUTES = {route.path: route for route in ROUTES}


def _read(body: bytes, shape: type[Struct]) -> Any:
    """The body as this shape; None for any other. An empty one is an empty object."""
    try:
        return msgspec.json.decode(body or b"{}", type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def write_error(request: Request, error: Error, now: datetime) -> Response:
    """The envelope, and the challenge of a bearer token where one belongs (RFC 6750 3, RFC 9470 3)."""
    response = entra_v1_words.write_error(request, error, now)
    if error.challenge:
        challenge = ("www-authenticate", f"Bearer {error.challenge}")
        response = replace(response, headers=(*response.headers, challenge))
    return response
