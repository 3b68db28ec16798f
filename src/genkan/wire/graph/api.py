"""
The door of the administration API: which route, which tenant, what the token allows; then the noun's own handler.

A route that declares no permission cannot be written down (ADM-02). What a token says is believed only after its
signature; of the roles in it those count that its client still holds. Knows no noun.
Source: admin-graph-api 2, 3.1, 3.3, 4; ADM-02, ADM-03, RFC 6750.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal, Protocol
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from genkan.engine.messages import Directory
from genkan.engine.transaction import StoreUnavailable
from genkan.exchange import Request, Response, json_response
from genkan.model import Client, Extension
from genkan.risk import rate
from genkan.risk.rate import Limit
from genkan.service.admin.door import Act, Actor, Door, Refusal
from genkan.service.clients import may_act_from
from genkan.service.ports import AdminStore
from genkan.telemetry import log
from genkan.tokens import base64url, jwt, metadata
from genkan.tokens.claims import ADMINISTRATION
from genkan.tokens.keys import KeyRing
from genkan.wire.graph.answers import Fault, Pages, next_link, write_fault
from genkan.wire.graph.odata import Options, options

VERSIONS = ("v1.0", "beta")
MAX_BODY_BYTES = 1024 * 1024
DEEPEST_BODY = 32
FRESH = timedelta(minutes=10)
"""How old a token may be for what takes a fresh proof."""
LOGS = "/auditLogs/"

Area = Literal["directory", "policy", "other"]
"""Which of Graph's words for errors a route speaks."""

NOT_FOUND: Mapping[Area, str] = {
    "directory": "Request_ResourceNotFound",
    "policy": "NotFound",
    "other": "ResourceNotFound",
}
BAD: Mapping[Area, str] = {
    "directory": "Request_BadRequest",
    "policy": "BadRequest",
    "other": "BadRequest",
}

Permission = tuple[str, ...]
"""Roles that must all be held; to hold the writing one of a pair is to hold the reading one."""


class Route(Struct, frozen=True):
    """One operation, and who may ask for it."""

    method: Literal["GET", "POST", "PATCH", "DELETE", "PUT"]
    path: str
    """Below the version, as `/users/{id}`; fixed segments are compared without regard to case."""
    permissions: tuple[Permission, ...]
    """Any one of them will do."""
    handler: Callable[[Call], Awaitable[Response]]
    summary: str
    act: Act | None = None
    """What a change is called in the log, for one that is refused while it is being read."""
    area: Area = "directory"

    def __post_init__(self) -> None:
        if not self.permissions or not all(self.permissions):
            raise ValueError(f"{self.method} {self.path} declares no permission")


def holds(role: str, held: frozenset[str]) -> bool:
    """Say whether a role is held, or the one that includes it."""
    return role in held or role.replace(".Read.", ".ReadWrite.", 1) in held


def allows(route: Route, held: frozenset[str]) -> bool:
    """Say whether these roles are enough for a route."""
    return any(all(holds(role, held) for role in permission) for permission in route.permissions)


class Call(Struct, frozen=True, kw_only=True, dict=True):
    """One request that is allowed, and what its handler may use."""

    request: Request
    tenant: Tenancy
    actor: Actor
    params: Mapping[str, str]
    """What stands in the places of the path, as it was written."""
    root: str
    """`https://host/v1.0`, which links begin with."""
    beta: bool
    now: datetime

    @property
    def door(self) -> Door:
        return self.tenant.door

    @property
    def store(self) -> AdminStore:
        return self.tenant.door.store

    @property
    def directory(self) -> Directory:
        return self.tenant.door.store.directory()

    @cached_property
    def options(self) -> Options:
        """The query options. Raises: `Fault`."""
        return options(self.request.query, self.request.headers)

    @cached_property
    def body(self) -> dict[str, Any]:
        """The JSON object of the body. Raises: `Fault`."""
        return read_object(self.request.body)

    @property
    def if_match(self) -> str | None:
        """The version that the caller has seen (`service.admin.door.version`)."""
        given = self.request.headers.get("if-match", "").strip()
        return given.removeprefix("W/").strip('"') or None

    def may(self, *roles: str) -> bool:
        """Say whether the caller holds one of these roles too."""
        return any(holds(role, self.actor.roles) for role in roles)

    # Answers. ------------------------------------------------------------------------------------------

    def context(self, of: str) -> str:
        return f"{self.root}/$metadata#{of}"

    def object(
        self, of: str, value: Mapping[str, Any], *headers: tuple[str, str], status: int = 200
    ) -> Response:
        """One object; `of` is its collection."""
        body = {"@odata.context": self.context(f"{of}/$entity"), **value}
        return json_response(body, status, *headers)

    def created(self, of: str, value: Mapping[str, Any], *headers: tuple[str, str]) -> Response:
        """An object just made."""
        location = f"{self.root}/{of}/{value['id']}"
        return self.object(of, value, ("location", location), *headers, status=201)

    def collection(
        self,
        of: str,
        values: Sequence[Mapping[str, Any] | Struct],
        *,
        count: int | None = None,
        goes_on: Sequence[str | int] | None = None,
    ) -> Response:
        """A page of a list; `goes_on` is the place where the next one begins."""
        body: dict[str, Any] = {"@odata.context": self.context(of)}
        if count is not None:
            body["@odata.count"] = count
        if goes_on is not None:
            token = self.tenant.pages.token(self._about, goes_on, self.now)
            url = self.root + self.request.path
            body["@odata.nextLink"] = next_link(url, self.options.raw, token)
        body["value"] = values
        return json_response(body)

    def place(self) -> list[str | int] | None:
        """Where this page begins; None for the first. Raises: `Fault`."""
        token = self.options.skip_token
        return self.tenant.pages.read(token, self._about, self.now) if token else None

    @property
    def _about(self) -> str:
        said = self.options
        return "\n".join((self.request.path.lower(), said.filter, said.order, said.search))

    def unless_refused(self, answer: Any) -> Any:
        """Return what an act made. Raises: `Fault` for a refusal."""
        if isinstance(answer, Refusal):
            raise Refused(answer)
        return answer


class Refused(Exception):
    """An act was refused, and the log has it already."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


class Tenancy(Struct, frozen=True, kw_only=True):
    """A tenant as this API sees it."""

    door: Door
    ring: Callable[[], KeyRing]
    base_url: str
    url: str = ""
    """How administrators reach it, where that is another address."""
    pages: Pages
    webhook_secret: Callable[[Extension], str]
    """What signs the questions to an extension."""


class Finder(Protocol):
    """Finds a tenant by its id, or the only one there is by none."""

    def __call__(self, tenant_id: str | None, /) -> Tenancy | None: ...


DONE = Response(status=204)


def read_object(body: bytes) -> dict[str, Any]:
    """
    Return a JSON object, less what `@odata` says beside it but for the type.

    Raises: `Fault`.
    """
    try:
        found = msgspec.json.decode(body or b"null")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Fault(400, "BadRequest", "The body is not JSON.") from None
    if not isinstance(found, dict):
        raise Fault(400, "BadRequest", "The body is not a JSON object.")
    if _depth(found) > DEEPEST_BODY:
        raise Fault(400, "BadRequest", "The body is nested too deeply.")
    return found


def _depth(value: object, level: int = 0) -> int:
    if level > DEEPEST_BODY:
        return level
    inner: Sequence[object] = ()
    if isinstance(value, dict):
        inner = tuple(value.values())
    elif isinstance(value, list):
        inner = value
    return max((_depth(one, level + 1) for one in inner), default=level)


# The door. ----------------------------------------------------------------------------------------------------------


class Api:
    """Answers everything under `/v1.0` and `/beta`."""

    def __init__(self, routes: Sequence[Route], find: Finder) -> None:
        self.routes = tuple(routes)
        self._find = find
        self._table = tuple((_pattern(route.path), route) for route in self.routes)
        self._recent: dict[str, tuple[int, ...]] = {}

    async def __call__(self, request: Request) -> Response:
        """Answer a request whose path begins with the version. Never raises."""
        version, _, rest = request.path.lstrip("/").partition("/")
        request = msgspec.structs.replace(request, path=f"/{rest}")
        tenancy: Tenancy | None = None
        route: Route | None = None
        actor: Actor | None = None
        try:
            tenancy, client, claims = self._authenticated(request)
            moment = tenancy.door.now()
            self._within_limit(client, tenancy, moment)
            actor = Actor(
                id=client.id,
                name=client.name,
                address=request.address,
                correlation_id=request.correlation_id,
                roles=frozenset(claims["roles"]) & frozenset(client.app_roles),
            )
            route, params = self._routed(request)
            if not allows(route, actor.roles):
                raise Fault(
                    403,
                    "Authorization_RequestDenied",
                    "Insufficient privileges to complete the operation.",
                )
            _check_proof(route, tenancy.door.store.directory().tenant.admin_proof, claims, moment)
            call = Call(
                request=request,
                tenant=tenancy,
                actor=actor,
                params=params,
                root=f"{tenancy.url or tenancy.base_url}/{version.lower()}",
                beta=version.lower() == "beta",
                now=moment,
            )
            return await route.handler(call)
        except Refused as no:
            fault = _fault(no.refusal, route.area if route else "directory")
        except Fault as no:
            fault = (
                no
                if route is None or no.code != "BadRequest"
                else Fault(no.status, BAD[route.area], no.message, details=no.details, headers=no.headers)
            )
            if tenancy is not None and actor is not None and route is not None and route.act is not None:
                await _note(tenancy, actor, route.act, fault)
        except StoreUnavailable:
            log.warning("store.unavailable", extra=_about(request))
            fault = Fault(
                503, "ServiceUnavailable", "Too busy; try again in a moment.", headers=(("retry-after", "2"),)
            )
        except Exception:  # noqa: BLE001 - a fault is an answer too, and never a traceback
            log.exception("http.fault", extra=_about(request))
            fault = Fault(500, "InternalServerError", "Something broke on our side; see the log.")
        return write_fault(fault, request, self._now(tenancy))

    def _now(self, tenancy: Tenancy | None) -> datetime:
        known = tenancy or self._find(None)
        return known.door.now() if known is not None else EPOCH

    # Who asks. -----------------------------------------------------------------------------------------

    def _authenticated(self, request: Request) -> tuple[Tenancy, Client, dict[str, Any]]:
        """Return tenant, client and claims of the token. Raises: `Fault`."""
        token = request.bearer
        if not token:
            raise _no_token("Access token is empty.")
        tenancy = self._find(_claimed_tenant(token))
        if tenancy is None:
            raise _no_token("Access token validation failure.")
        directory, now = tenancy.door.store.directory(), tenancy.door.now()
        issuer = metadata.issuer(tenancy.base_url, directory.tenant.id)
        claims = jwt.verify(
            token, tenancy.ring(), typ="at+jwt", issuer=issuer, audience=ADMINISTRATION, now=now
        )
        if claims is jwt.Flaw.WRONG_AUDIENCE:  # A token of ours that is for something else: a customer's.
            raise Fault(
                403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."
            )
        if isinstance(claims, jwt.Flaw):
            expired = claims is jwt.Flaw.EXPIRED
            raise _no_token(
                "Lifetime validation failed, the token is expired."
                if expired
                else "Access token validation failure."
            )
        if claims.get("idtyp") != "app" or not isinstance(claims.get("roles"), list):
            raise Fault(
                403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."
            )
        client = directory.clients.get(str(claims.get("appid")))
        if client is None or client.kind == "public":
            raise _no_token("The application of this token is not there any more.")
        if claims.get("epoch") != client.epoch:
            raise _revoked(now)
        if not may_act_from(client, request.address):
            raise Fault(403, "Authorization_RequestDenied", "This application may not act from this address.")
        return tenancy, client, claims

    def _within_limit(self, client: Client, tenancy: Tenancy, now: datetime) -> None:
        """Spend one request of a client's; kept in this process alone, since it protects nothing but its time."""
        most = tenancy.door.store.directory().tenant.admin_requests
        if most == 0:
            return
        limit = Limit("administration requests", ((most, LIMIT_SPAN),))
        recent = self._recent.get(client.id, ())
        spent = rate.spend(recent, limit, now)
        if spent is None:
            passes = recent[-most] + LIMIT_SPAN // timedelta(milliseconds=1)
            wait = max(1, -(-(passes - rate.milliseconds(now)) // 1000))
            raise Fault(
                429,
                "TooManyRequests",
                "Too many requests; wait and try again.",
                headers=(("retry-after", str(wait)),),
            )
        self._recent[client.id] = spent

    # Which route. --------------------------------------------------------------------------------------

    def _routed(self, request: Request) -> tuple[Route, dict[str, str]]:
        """Return the route of a request, and what stands in its places. Raises: `Fault`."""
        path = request.path
        allowed: list[str] = []
        for pattern, route in self._table:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            if route.method == request.method:
                return route, {name: unquote(value) for name, value in match.groupdict().items()}
            allowed.append(route.method)
        if allowed:
            raise Fault(
                405,
                "Request_BadRequest",
                "Specified HTTP method is not allowed for the request target.",
                headers=(("allow", ", ".join(dict.fromkeys(allowed))),),
            )
        head = path.lstrip("/").partition("/")[0].partition("(")[0].lower()
        if head == "me":
            raise Fault(400, "BadRequest", "/me request is only valid with delegated authentication flow.")
        if head in GRAPH_HAS:
            raise Fault(501, "NotImplemented", "Graph has this path, and Genkan does not.")
        raise Fault(404, "ResourceNotFound", f"Resource not found for the segment '{head[:60]}'.")


EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
LIMIT_SPAN = timedelta(seconds=10)
"""In which `Tenant.admin_requests` are counted."""

GRAPH_HAS = frozenset(
    """
    $batch $metadata admin agreements agreementacceptances appcatalogs applications applicationtemplates auditlogs
    authenticationmethodconfigurations authenticationmethodspolicy certificatebasedauthconfiguration chats
    communications compliance connections contacts contracts copilot datapolicyoperations devicemanagement devices
    directory directoryobjects directoryroles directoryroletemplates domaindnsrecords domains drive drives education
    employeeexperience external filteroperators functions grouplifecyclepolicies groups groupsettings
    groupsettingtemplates identity identitygovernance identityprotection identityproviders informationprotection
    invitations localizations oauth2permissiongrants organization permissiongrants places planner policies print
    privacy reports rolemanagement schemaextensions scopedrolememberships search security serviceprincipals shares
    sites solutions storage subscribedskus subscriptions teams teamstemplates teamwork tenantrelationships users
    """.split()
)
"""First segments of paths that Graph has."""


def _pattern(path: str) -> re.Pattern[str]:
    """Return a pattern for a path: fixed text in any case, and in each place one segment."""
    parts = re.split(r"\{([a-z_]+)\}", path)
    text = "".join(
        f"(?P<{part}>[^/]{{1,512}}?)" if index % 2 else re.escape(part) for index, part in enumerate(parts)
    )
    return re.compile(text, re.IGNORECASE)


def _claimed_tenant(token: str) -> str | None:
    """Return the tenant that a token says it is of, not yet believed."""
    parts = token.split(".", 3) if len(token) <= jwt.LONGEST_TOKEN else ()
    raw = base64url.decode(parts[1]) if len(parts) == 3 else None
    if raw is None:
        return None
    try:
        claims = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    tid = claims.get("tid") if isinstance(claims, dict) else None
    return tid.lower() if isinstance(tid, str) else None


def _no_token(text: str) -> Fault:
    challenge = 'Bearer realm="", authorization_uri="", error="invalid_token"'
    return Fault(401, "InvalidAuthenticationToken", text, headers=(("www-authenticate", challenge),))


def _check_proof(
    route: Route, wanted: Literal["any", "fresh", "certificate"], claims: Mapping[str, Any], now: datetime
) -> None:
    """See to it that who changes something, or takes the logs away, has proven enough (ADM-05). Raises: `Fault`."""
    if wanted == "any" or not (route.method != "GET" or route.path.startswith(LOGS)):
        return
    if wanted == "certificate" and claims.get("azpacr") != "2":
        raise Fault(
            403,
            "Authorization_RequestDenied",
            "This takes a token that was asked for with a certificate: client_assertion, and not client_secret.",
        )
    if now.timestamp() - claims["iat"] > FRESH.total_seconds():
        raise _challenged(now, "A newer token is needed for this: ask for one, and try again.")


def _revoked(now: datetime) -> Fault:
    """A token whose client has lost something since: clients fetch a new one by themselves, once."""
    return _challenged(now, "Continuous access evaluation resulted in challenge: the token was revoked.")


def _challenged(now: datetime, text: str) -> Fault:
    wanted = {"access_token": {"nbf": {"essential": True, "value": str(int(now.timestamp()))}}}
    claims = base64.b64encode(msgspec.json.encode(wanted)).decode()
    challenge = f'Bearer realm="", error="insufficient_claims", claims="{claims}"'
    return Fault(
        401,
        "InvalidAuthenticationToken",
        text,
        headers=(("www-authenticate", challenge),),
    )


def _fault(refusal: Refusal, area: Area) -> Fault:
    """Return a refusal in Graph's words."""
    details = (
        [{"code": refusal.code or "Invalid", "message": refusal.text, "target": refusal.target}]
        if refusal.target
        else []
    )
    match refusal.why:
        case "missing":
            return Fault(404, NOT_FOUND[area], refusal.text)
        case "stale":
            return Fault(412, "PreconditionFailed", refusal.text)
        case "forbidden":
            return Fault(403, "Authorization_RequestDenied", refusal.text, details=details)
        case "unsupported":
            return Fault(501, "NotImplemented", refusal.text)
        case "overloaded":
            return Fault(503, "ServiceUnavailable", refusal.text, headers=(("retry-after", "2"),))
        case "taken" | "invalid":
            return Fault(400, BAD[area], refusal.text, details=details)


async def _note(tenancy: Tenancy, actor: Actor, act: Act, fault: Fault) -> None:
    """Put a change that could not even be read into the log."""
    try:
        await tenancy.door.refuse(actor, act, Refusal(why="invalid", text=fault.message))
    except StoreUnavailable:
        log.warning("store.unavailable")


def _about(request: Request) -> dict[str, str]:
    """What a log line says of a request."""
    return {"path": request.path, "correlation_id": request.correlation_id, "trace_id": request.trace_id}
