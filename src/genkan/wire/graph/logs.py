"""
The sign-in log, the log of changes, and risk, in Graph's words. Read only.

What an index serves is asked of the store; the rest of a filter is judged row by row, a bounded number for each page,
so that a page may be short, even empty, and still lead on to the next.
Source: admin-graph-api 5.7, 6.5; conditional-access 14; LOG-01.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from genkan.engine.messages import Detection, Directory, SignIn
from genkan.engine.queries import All, AuditQuery, Filter, Not, Query, Some, Term, holds
from genkan.engine.transaction import Audited, DetectionQuery, SignInQuery
from genkan.exchange import Response
from genkan.model import DIRECTORY, Attempt, Kind, Reason, Subject
from genkan.policy.model import Applied, IpLocation
from genkan.service.admin import people
from genkan.service.admin.applications import by_app_id
from genkan.service.admin.door import domain
from genkan.wire.entra_v1_words import ERRORS
from genkan.wire.graph import lists
from genkan.wire.graph.answers import Fault, bad, exact_time, time
from genkan.wire.graph.api import DONE, Call, Route
from genkan.wire.graph.odata import Properties, order, read_filter, unsupported
from genkan.wire.graph.permissions import DETECTIONS_READ, LOGS_READ, RISK_READ, RISK_WRITE
from genkan.wire.graph.reads import selected, texts, written
from genkan.wire.graph.users import principal_name

T = TypeVar("T", SignIn, Audited)

MOST_ROWS = 1000
LOOKED_AT = 4000
"""Rows that one page looks at, at most."""

SIGN_IN_FILTERS: Properties = {
    "id": "text",
    "createdDateTime": "time",
    "userId": "text",
    "userPrincipalName": "text",
    "userDisplayName": "text",
    "appId": "text",
    "appDisplayName": "text",
    "ipAddress": "text",
    "correlationId": "text",
    "clientAppUsed": "text",
    "conditionalAccessStatus": "text",
    "resourceId": "text",
    "resourceDisplayName": "text",
    "isInteractive": "bool",
    "riskLevelDuringSignIn": "text",
    "riskLevelAggregated": "text",
    "riskState": "text",
    "riskDetail": "text",
    "status/errorCode": "number",
    "location/city": "text",
    "location/state": "text",
    "location/countryOrRegion": "text",
    "deviceDetail/operatingSystem": "text",
    "deviceDetail/browser": "text",
    "signInEventTypes": "texts",
}
AUDIT_FILTERS: Properties = {
    "id": "text",
    "activityDateTime": "time",
    "activityDisplayName": "text",
    "category": "text",
    "correlationId": "text",
    "loggedByService": "text",
    "operationType": "text",
    "result": "text",
    "initiatedBy/app/appId": "text",
    "initiatedBy/app/displayName": "text",
    "initiatedBy/app/servicePrincipalId": "text",
}
DETECTION_FILTERS: Properties = {
    "id": "text",
    "userId": "text",
    "riskEventType": "text",
    "riskLevel": "text",
    "riskState": "text",
    "correlationId": "text",
    "detectedDateTime": "time",
    "activityDateTime": "time",
}
RISKY_FILTERS: Properties = {"id": "text", "riskState": "text", "riskLevel": "text"}

CONTROLS = {
    "mfa": "Mfa",
    "block": "Block",
    "compliantDevice": "RequireCompliantDevice",
    "domainJoinedDevice": "RequireDomainJoinedDevice",
    "approvedApplication": "RequireApprovedApp",
    "compliantApplication": "RequireCompliantApp",
    "passwordChange": "PasswordChange",
}
METHODS = {
    Kind.PASSWORD: "Password",
    Kind.EMAIL_OTP: "Email one-time passcode",
    Kind.SMS_OTP: "Text message",
}
PARTS = {
    "first": "Primary authentication",
    "second": "Secondary authentication",
    "verified": "Primary authentication",
}
CLIENT_APPS = {"browser": "Browser", "mobileAppsAndDesktopClients": "Mobile Apps and Desktop clients"}

ENDS_AT: dict[str, tuple[int, str]] = {
    "issued": (0, ""),
    "allow": (0, ""),
    "mfa": (50074, "Strong authentication is required."),
    "register": (50079, "A second factor must be registered first."),
    "web": (50011, "The sign-in went on in a browser."),
}
"""By `SignIn.outcome`."""


class _Conditions(Struct, frozen=True):
    """The part of a filter that an index serves."""

    equal: dict[str, object]
    since: datetime | None
    until: datetime | None


def _served(where: Filter | None, moment: str) -> _Conditions:
    """Return what a filter asks of properties that have an index, as far as all of it must hold."""
    equal: dict[str, object] = {}
    since = until = None
    for term in _terms(where):
        if term.name == moment and isinstance(term.value, datetime):
            if term.op in ("ge", "gt", "eq"):
                since = max(since or term.value, term.value)
            if term.op in ("le", "lt", "eq"):
                until = min(until or term.value, term.value)
        elif term.op == "eq":
            equal.setdefault(term.name, term.value)
    return _Conditions(equal, since, until)


def _terms(where: Filter | None) -> Iterator[Term]:
    if isinstance(where, Term):
        yield where
    elif isinstance(where, All):
        for inner in where.terms:
            yield from _terms(inner)


def _filter(call: Call, properties: Properties, moment: str) -> Filter | None:
    """Return the filter of a log. Raises: `Fault`."""
    said = call.options
    if said.search or said.skip or said.expand:
        raise unsupported("Logs take $filter, $top, $orderby and $select.")
    by = order(said.order, properties, frozenset({moment}))
    if by is not None and not by.descending:
        raise unsupported("Logs are sorted from the newest on: use desc.")
    return read_filter(said.filter, properties).filter if said.filter else None


def _same_text(found: object) -> str | None:
    return found.lower() if isinstance(found, str) else None


# Sign-ins. ----------------------------------------------------------------------------------------------------------


def shown_sign_in(entry: SignIn, directory: Directory, *, with_policies: bool) -> dict[str, Any]:
    """Return an entry of the sign-in log as it is shown."""
    number, why = _status(entry)
    app = by_app_id(directory, entry.client)
    resource = directory.apis.get(entry.resource)
    level, account = entry.risk.level, entry.account_risk
    details = "MFA required" if entry.outcome in ("mfa", "register") else None
    principal = f"{entry.subject}@{domain(directory.tenant)}" if entry.subject else ""
    return {
        "id": entry.id,
        "createdDateTime": exact_time(entry.at),
        "userId": entry.subject or "",
        "userPrincipalName": principal.lower(),
        "userDisplayName": entry.name,
        "appId": entry.client,
        "appDisplayName": entry.client_name or (app.name if app else ""),
        "ipAddress": entry.address,
        "clientAppUsed": CLIENT_APPS.get(entry.client_app, "Other clients"),
        "correlationId": entry.correlation_id,
        "isInteractive": entry.interactive,
        "signInEventTypes": ["interactiveUser" if entry.interactive else "nonInteractiveUser"],
        "conditionalAccessStatus": _policy_status(entry),
        "resourceId": entry.resource,
        "resourceDisplayName": "Directory"
        if entry.resource == DIRECTORY
        else resource.name
        if resource
        else "",
        "status": {"errorCode": number, "failureReason": why or None, "additionalDetails": details},
        "deviceDetail": {
            "deviceId": "",
            "displayName": "",
            "operatingSystem": "" if entry.platform == "unknown" else entry.platform,
            "browser": "",
            "isCompliant": False,
            "isManaged": False,
            "trustType": "",
        },
        "location": {
            "city": None,
            "state": None,
            "countryOrRegion": entry.place.country,
            "geoCoordinates": None,
        },
        "riskLevelDuringSignIn": level,
        "riskLevelAggregated": account,
        "riskState": "atRisk" if level in ("low", "medium", "high") else "none",
        "riskDetail": "none",
        "riskEventTypes_v2": list(entry.risk.reasons),
        "appliedConditionalAccessPolicies": [_applied(one) for one in entry.policies]
        if with_policies
        else [],
        "authenticationRequirement": "multiFactorAuthentication"
        if entry.requires_mfa
        else "singleFactorAuthentication",
        "authenticationRequirementPolicies": [
            {"requirementProvider": "multiConditionalAccess", "detail": "Conditional Access"}
        ]
        if entry.requires_mfa
        else [],
        "authenticationDetails": [_detail(one) for one in entry.steps],
        "mfaDetail": _mfa(entry),
        "authenticationProtocol": "nativeAuth",
        "authenticationContextClassReferences": [{"id": c, "detail": "required"} for c in entry.contexts],
        "conditionalAccessAudiences": [entry.resource],
        "networkLocationDetails": _places(entry, directory),
    }


def _status(entry: SignIn) -> tuple[int, str]:
    if entry.reason is not None:
        error = ERRORS[entry.reason]
        return entry.number or error.code, error.text
    if entry.outcome == "refused":
        return ERRORS[Reason.BLOCKED_BY_POLICY].code, entry.because
    return ENDS_AT[entry.outcome]


def _policy_status(entry: SignIn) -> str:
    """Of the policies that are enabled."""
    results = {one.result for one in entry.policies}
    if results & {"failure", "unknown"}:
        return "failure"
    return "success" if "success" in results else "notApplied"


def _applied(one: Applied) -> dict[str, Any]:
    return {
        "id": one.policy,
        "displayName": one.name,
        "enforcedGrantControls": [CONTROLS.get(word, word) for word in one.grant_controls],
        "enforcedSessionControls": [word[:1].upper() + word[1:] for word in one.session_controls],
        "result": one.result,
    }


def _detail(step: Attempt) -> dict[str, Any]:
    return {
        "authenticationMethod": METHODS[step.kind],
        "authenticationMethodDetail": None,
        "authenticationStepDateTime": exact_time(step.at),
        "authenticationStepRequirement": PARTS[step.part],
        "authenticationStepResultDetail": "Correct" if step.succeeded else "Wrong",
        "succeeded": step.succeeded,
    }


def _mfa(entry: SignIn) -> dict[str, Any] | None:
    second = next((s for s in reversed(entry.steps) if s.part == "second" and s.succeeded), None)
    return {"authMethod": METHODS[second.kind], "authDetail": None} if second else None


_address = lru_cache(maxsize=4096)(ip_address)
"""A page of the log names the same addresses time and again."""


def _places(entry: SignIn, directory: Directory) -> list[dict[str, Any]]:
    try:
        address = _address(entry.address)
    except ValueError:
        return []
    inside = [p for p in directory.locations.values() if isinstance(p, IpLocation) and p.contains(address)]
    kinds = ((True, "trustedNamedLocation"), (False, "namedNetwork"))
    return [
        {"networkType": kind, "networkNames": names}
        for trusted, kind in kinds
        if (names := [p.display_name for p in inside if p.is_trusted == trusted])
    ]


async def _sign_ins(call: Call) -> Response:
    where = _filter(call, SIGN_IN_FILTERS, "createdDateTime")
    served = _served(where, "createdDateTime")
    size = lists.top(call, MOST_ROWS, MOST_ROWS)
    asks_kind = any(t.name in ("signInEventTypes", "isInteractive", "id") for t in _every(where))
    user = _same_text(served.equal.get("userId"))
    principal = _same_text(served.equal.get("userPrincipalName"))
    if user is None and principal is not None:
        user = principal.partition("@")[0]
    place = call.place()
    query = SignInQuery(
        id=_same_text(served.equal.get("id")),
        correlation_id=_same_text(served.equal.get("correlationId")),
        subject=user,
        client=_same_text(served.equal.get("appId")),
        interactive=None if asks_kind else True,
        since=served.since,
        until=served.until + MILLISECOND if served.until else None,
        before=_before(place) if place else None,
    )
    with_policies = call.may("Policy.Read.All", "Policy.Read.ConditionalAccess")
    directory = call.directory

    async def after(last: SignIn | None, limit: int) -> Sequence[SignIn]:
        return await call.store.sign_ins(replace(query, before=last or query.before, limit=limit))

    def show(entry: SignIn) -> dict[str, Any]:
        return shown_sign_in(entry, directory, with_policies=with_policies)

    found, last = await _sifted(size, where, SIGN_IN_FILTERS, after, show)
    values = [selected(one, call.options.select) for one in found]
    goes_on: Sequence[str | int] | None = [last.id, _milliseconds(last.at)] if last is not None else None
    return call.collection("auditLogs/signIns", values, goes_on=goes_on)


async def _sifted(
    size: int,
    where: Filter | None,
    properties: Properties,
    after: Callable[[T | None, int], Awaitable[Sequence[T]]],
    show: Callable[[T], dict[str, Any]],
) -> tuple[list[dict[str, Any]], T | None]:
    """
    Return at most so many rows of a log that fit, as they are shown; and the row after which the list goes on.

    `after` reads the rows after one, so many at most. No more than `LOOKED_AT` rows are looked at for one page.
    """
    found: list[dict[str, Any]] = []
    looked = 0
    last: T | None = None
    at_once = 500 if where is not None else min(size + 1, 500)
    while True:
        rows = await after(last, at_once)
        for row in rows:
            if len(found) == size or looked >= LOOKED_AT:
                return found, last
            looked += 1
            last = row
            value = show(row)
            if _holds(where, value, properties):
                found.append(value)
        if len(rows) < at_once:
            return found, None


MILLISECOND = timedelta(milliseconds=1)
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _milliseconds(at: datetime) -> int:
    return (at - EPOCH) // MILLISECOND


def _before(place: list[str | int]) -> SignIn:
    """Return an entry that stands for the last one of the page before."""
    from genkan.model import Purpose

    return SignIn(
        id=str(place[0]),
        at=EPOCH + MILLISECOND * int(place[1]),
        correlation_id="",
        subject=None,
        client="",
        client_name="",
        resource="",
        purpose=Purpose.SIGN_IN,
        interactive=True,
        outcome="issued",
    )


def _every(where: Filter | None) -> Iterator[Term]:
    match where:
        case Term():
            yield where
        case All(terms) | Some(terms):
            for inner in terms:
                yield from _every(inner)
        case Not(term):
            yield from _every(term)


def _holds(where: Filter | None, value: dict[str, Any], properties: Properties) -> bool:
    return holds(where, lambda name: lists.look(value, name, properties))


async def _sign_in(call: Call) -> Response:
    found = await call.store.sign_ins(SignInQuery(id=call.params["id"].lower(), limit=1))
    if not found:
        raise Fault(404, "ResourceNotFound", "There is no such sign-in.")
    with_policies = call.may("Policy.Read.All", "Policy.Read.ConditionalAccess")
    value = shown_sign_in(found[0], call.directory, with_policies=with_policies)
    return call.object("auditLogs/signIns", selected(value, call.options.select))


# Changes. -----------------------------------------------------------------------------------------------------------


def shown_audit(row: Audited, directory: Directory) -> dict[str, Any]:
    """Return a change by an administrator as it is shown."""
    record = row.record
    detail: Any = record.detail
    actor = detail.get("actor", {})
    app = by_app_id(directory, str(actor.get("id"))) if actor.get("kind") == "app" else None
    by_app = {
        "appId": actor.get("id"),
        "displayName": actor.get("name"),
        "servicePrincipalId": app.principal_id if app else None,
        "servicePrincipalName": None,
    }
    by_user = {
        "id": None,
        "displayName": actor.get("name"),
        "userPrincipalName": actor.get("id"),
        "ipAddress": None,
    }
    is_app = actor.get("kind") == "app"
    return {
        "id": _audit_id(row),
        "activityDateTime": exact_time(row.at),
        "activityDisplayName": record.action,
        "category": record.category,
        "correlationId": record.correlation_id,
        "loggedByService": "Core Directory",
        "operationType": detail.get("operation"),
        "result": "failure" if record.reason else "success",
        "resultReason": detail.get("why", ""),
        "initiatedBy": {"app": by_app if is_app else None, "user": None if is_app else by_user},
        "targetResources": [_target(one) for one in detail.get("targets", ())],
        "additionalDetails": [],
    }


def _audit_id(row: Audited) -> str:
    return f"Directory_{row.record.correlation_id or '0'}_{row.seq}"


def _target(target: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": target.get("id") or None,
        "displayName": target.get("name") or None,
        "type": target.get("type"),
        "userPrincipalName": None,
        "groupType": None,
        "modifiedProperties": [
            {"displayName": one["name"], "oldValue": one["old"], "newValue": one["new"]}
            for one in target.get("changes", ())
        ],
    }


async def _audits(call: Call) -> Response:
    where = _filter(call, AUDIT_FILTERS, "activityDateTime")
    served = _served(where, "activityDateTime")
    size = lists.top(call, MOST_ROWS, MOST_ROWS)
    place = call.place()
    query = AuditQuery(
        since=served.since,
        until=served.until,
        before=int(place[0]) if place else None,
        seq=_seq(str(served.equal["id"])) if "id" in served.equal else None,
    )

    async def after(last: Audited | None, limit: int) -> Sequence[Audited]:
        before = last.seq if last is not None else query.before
        return await call.store.audits(replace(query, before=before, limit=limit))

    def show(row: Audited) -> dict[str, Any]:
        return shown_audit(row, call.directory)

    found, last = await _sifted(size, where, AUDIT_FILTERS, after, show)
    values = [selected(one, call.options.select) for one in found]
    goes_on = [last.seq] if last is not None else None
    return call.collection("auditLogs/directoryAudits", values, goes_on=goes_on)


def _seq(id: str) -> int:
    digits = id.rpartition("_")[2]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else 0


async def _audit(call: Call) -> Response:
    id = call.params["id"]
    found = await call.store.audits(AuditQuery(seq=_seq(id), limit=1))
    if not found or _audit_id(found[0]).lower() != id.lower():
        raise Fault(404, "ResourceNotFound", "There is no such change.")
    value = selected(shown_audit(found[0], call.directory), call.options.select)
    return call.object("auditLogs/directoryAudits", value)


# Risk. --------------------------------------------------------------------------------------------------------------


def shown_risky(subject: Subject, directory: Directory) -> dict[str, Any]:
    """Return a user at risk as it is shown."""
    risk = subject.risk
    return {
        "id": subject.id,
        "isDeleted": subject.status == "deleted",
        "isProcessing": False,
        "riskLevel": risk.level,
        "riskState": risk.state,
        "riskDetail": risk.detail,
        "riskLastUpdatedDateTime": time(risk.updated_at),
        "userDisplayName": subject.attributes.get("displayName"),
        "userPrincipalName": principal_name(subject, directory.tenant),
    }


async def _risky(call: Call) -> Response:
    said = call.options
    if said.search or said.skip or said.expand or said.order:
        raise unsupported("Users at risk take $filter, $top and $select.")
    where: Filter | None = read_filter(said.filter, RISKY_FILTERS).filter if said.filter else None
    place = call.place()
    at_risk = Term("riskState", "gt", "")
    query = Query(
        where=at_risk, after=(str(place[0]), str(place[0])) if place else None, limit=lists.top(call)
    )
    found = await call.store.people(query)
    values = [shown_risky(one, call.directory) for one in found.entries if isinstance(one, Subject)]
    kept = [selected(one, said.select) for one in values if _holds(where, one, RISKY_FILTERS)]
    return call.collection(
        "identityProtection/riskyUsers", kept, goes_on=[found.after[1]] if found.after else None
    )


async def _risky_user(call: Call) -> Response:
    id = call.params["id"].lower()
    subject = await call.store.look(lambda view: view.person(id))
    if subject is None or subject.risk.state == "none":
        raise Fault(404, "ResourceNotFound", "There is no such user at risk.")
    return call.object("identityProtection/riskyUsers", shown_risky(subject, call.directory))


async def _history(call: Call) -> Response:
    """What is known of it: how it stands, and what was found."""
    id = call.params["id"].lower()
    subject = await call.store.look(lambda view: view.person(id))
    if subject is None or subject.risk.state == "none":
        raise Fault(404, "ResourceNotFound", "There is no such user at risk.")
    found = await call.store.detections(DetectionQuery(subject=id, limit=100))
    item = shown_risky(subject, call.directory) | {
        "id": f"{id}_0",
        "userId": id,
        "initiatedBy": None,
        "activity": {
            "detail": subject.risk.detail,
            "eventTypes": [],
            "riskEventTypes": [d.word for d in found],
        },
    }
    return call.collection(f"identityProtection/riskyUsers('{id}')/history", [item])


def _verdict(word: Any) -> Callable[[Call], Any]:
    async def handler(call: Call) -> Response:
        given = written(call.body, kind="none", writable=("userIds",))
        ids = texts(given.get("userIds"), "userIds")
        if not 0 < len(ids) <= 60:
            raise bad("userIds are 1 to 60 ids.", "userIds")
        known = {id.lower() for id in ids}
        there = await call.store.look(lambda view: view.existing("subject", known))
        if known - there:
            raise Fault(404, "ResourceNotFound", "One of the users is not there; nothing was changed.")
        for id in sorted(known):
            call.unless_refused(await people.set_risk(call.door, call.actor, id, word))
        return DONE

    return handler


def shown_detection(found: Detection, names: dict[str, Subject], directory: Directory) -> dict[str, Any]:
    """Return what was found risky as it is shown."""
    subject = names.get(found.subject)
    return {
        "id": found.id,
        "requestId": found.request or None,
        "correlationId": found.correlation_id or None,
        "riskEventType": found.word,
        "riskLevel": found.level,
        "riskState": found.state,
        "riskDetail": found.detail,
        "source": "Genkan",
        "detectionTimingType": "realtime",
        "activity": found.activity,
        "tokenIssuerType": "AzureAD",
        "ipAddress": found.address or None,
        "location": {
            "city": None,
            "state": None,
            "countryOrRegion": found.place.country,
            "geoCoordinates": None,
        },
        "activityDateTime": exact_time(found.at),
        "detectedDateTime": exact_time(found.at),
        "lastUpdatedDateTime": exact_time(found.updated_at),
        "additionalInfo": "[]",
        "userId": found.subject,
        "userDisplayName": subject.attributes.get("displayName") if subject else None,
        "userPrincipalName": principal_name(subject, directory.tenant) if subject else None,
    }


async def _detections(call: Call) -> Response:
    where = _filter(call, DETECTION_FILTERS, "detectedDateTime")
    served = _served(where, "detectedDateTime")
    size = lists.top(call, 500, 100)
    place = call.place()
    before = _detection_at(place) if place else None
    query = DetectionQuery(subject=_same_text(served.equal.get("userId")), before=before, limit=size + 1)
    rows = await call.store.detections(query)
    page = rows[:size]
    ids = {row.subject for row in page}
    names = await call.store.look(lambda view: {id: p for id in ids if (p := view.person(id)) is not None})
    values = [shown_detection(row, names, call.directory) for row in page]
    kept = [selected(one, call.options.select) for one in values if _holds(where, one, DETECTION_FILTERS)]
    goes_on: list[str | int] | None = None
    if len(rows) > size:
        goes_on = [page[-1].id, _milliseconds(page[-1].at)]
    return call.collection("identityProtection/riskDetections", kept, goes_on=goes_on)


def _detection_at(place: list[str | int]) -> Detection:
    at = EPOCH + MILLISECOND * int(place[1])
    return Detection(id=str(place[0]), at=at, updated_at=at, subject="", word="", level="none")


async def _detection(call: Call) -> Response:
    id = call.params["id"].lower()
    rows = await call.store.detections(DetectionQuery(id=id, limit=1))
    if not rows:
        raise Fault(404, "ResourceNotFound", "There is no such detection.")
    names = await call.store.look(
        lambda view: {rows[0].subject: p} if (p := view.person(rows[0].subject)) is not None else {}
    )
    return call.object("identityProtection/riskDetections", shown_detection(rows[0], names, call.directory))


def _routes() -> tuple[Route, ...]:
    found: list[Route] = []

    def route(method: Any, path: str, permissions: Any, handler: Any, summary: str, act: Any = None) -> None:
        found.append(Route(method, path, permissions, handler, summary, act, "other"))

    route("GET", "/auditLogs/signIns", LOGS_READ, _sign_ins, "List sign-ins")
    route("GET", "/auditLogs/signIns/{id}", LOGS_READ, _sign_in, "Get a sign-in")
    route("GET", "/auditLogs/directoryAudits", LOGS_READ, _audits, "List changes")
    route("GET", "/auditLogs/directoryAudits/{id}", LOGS_READ, _audit, "Get a change")
    at = "/identityProtection/riskyUsers"
    route("GET", at, RISK_READ, _risky, "List users at risk")
    route("GET", at + "/{id}", RISK_READ, _risky_user, "Get a user at risk")
    route("GET", at + "/{id}/history", RISK_READ, _history, "List what became of a user's risk")
    for action, word in (
        ("confirmCompromised", "compromised"),
        ("confirmSafe", "safe"),
        ("dismiss", "dismissed"),
    ):
        for name in (action, f"microsoft.graph.{action}"):
            route(
                "POST", f"{at}/{name}", RISK_WRITE, _verdict(word), f"Say that users are {word}", people.RISK
            )
    at = "/identityProtection/riskDetections"
    route("GET", at, DETECTIONS_READ, _detections, "List what was found risky")
    route("GET", at + "/{id}", DETECTIONS_READ, _detection, "Get what was found risky")
    return tuple(found)


ROUTES = _routes()
