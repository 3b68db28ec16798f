"""
The sign-in log, the log of changes, and risk, in Graph's words. Read only.

What an index serves is asked of the store; the rest of a filter is judged row by row, a bounded number for each page,
so that a page may be short, even empty, and still lead on to the next.
Source: admin-graph-api 5.7, 6.5; conditional-access 14; LOG-01.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, field
from msgspec.structs import fields, replace

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
Made = TypeVar("Made")
About = TypeVar("About", bound=Hashable)

ROWS, MOST_ROWS = 500, 1000
"""Entries of a page where nothing is said, and at the most."""
LOOKED_AT = 1000
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
    Kind.PASSKEY: "Passkey",
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


class _Sight:
    """One look at the sign-in log: what many of its rows have in common is made once."""

    def __init__(self, directory: Directory, *, with_policies: bool) -> None:
        self._directory = directory
        self.domain = domain(directory.tenant)
        self._with_policies = with_policies
        self._made: dict[object, Any] = {}

    def of(self, entry: SignIn) -> Shown:
        """An entry as it is shown."""
        subject, level, policies = entry.subject, entry.risk.level, entry.policies
        mfa = entry.requires_mfa
        judged, applied = self._once(policies, self._judged)
        outcome = (entry.reason, entry.outcome, entry.number, entry.because)
        status = self._made.get(outcome)
        if status is None:
            status = self._made[outcome] = _shown_status(entry)
        return Shown(
            entry.id,
            exact_time(entry.at),
            subject or "",
            f"{subject}@{self.domain}".lower() if subject else "",
            entry.name,
            entry.client,
            entry.client_name or self._once(("app", entry.client), self._app),
            entry.address,
            CLIENT_APPS.get(entry.client_app, "Other clients"),
            entry.correlation_id,
            entry.interactive,
            KINDS[entry.interactive],
            judged,
            entry.resource,
            self._once(("resource", entry.resource), self._resource),
            status,
            self._once(("device", entry.platform), _device),
            self._once(("location", entry.place.country), _location),
            level,
            entry.account_risk,
            "atRisk" if level in ("low", "medium", "high") else "none",
            "none",
            entry.risk.reasons,
            applied,
            "multiFactorAuthentication" if mfa else "singleFactorAuthentication",
            REQUIREMENT if mfa else [],
            [_detail(step) for step in entry.steps],
            _mfa(entry),
            "nativeAuth",
            [{"id": context, "detail": "required"} for context in entry.contexts],
            [entry.resource],
            self._once(("places", entry.address), self._places),
        )

    def _judged(self, policies: tuple[Applied, ...]) -> tuple[str, list[dict[str, Any]]]:
        """What became of policies, and which they were, as far as that may be seen."""
        return _policy_status(policies), [_applied(one) for one in policies] if self._with_policies else []

    def _app(self, about: tuple[str, str]) -> str:
        app = by_app_id(self._directory, about[1])
        return app.name if app else ""

    def _resource(self, about: tuple[str, str]) -> str:
        if about[1] == DIRECTORY:
            return "Directory"
        resource = self._directory.apis.get(about[1])
        return resource.name if resource else ""

    def _places(self, about: tuple[str, str]) -> list[dict[str, Any]]:
        return _places(about[1], self._directory)

    def _once(self, about: About, make: Callable[[About], Made]) -> Made:
        """What is made of this; the same for whatever is equal."""
        found: Made | None = self._made.get(about)
        if found is None:
            found = self._made[about] = make(about)
        return found


class Shown(Struct, frozen=True, rename="camel", gc=False):
    """
    An entry of the sign-in log as it is shown.

    A struct, and not a dict as elsewhere: a page has a thousand, and its collector of garbage is not to look at each.
    """

    id: str
    created_date_time: str
    user_id: str
    user_principal_name: str
    user_display_name: str
    app_id: str
    app_display_name: str
    ip_address: str
    client_app_used: str
    correlation_id: str
    is_interactive: bool
    sign_in_event_types: list[str]
    conditional_access_status: str
    resource_id: str
    resource_display_name: str
    status: dict[str, Any]
    device_detail: dict[str, Any]
    location: dict[str, Any]
    risk_level_during_sign_in: str
    risk_level_aggregated: str
    risk_state: str
    risk_detail: str
    risk_event_types_v2: tuple[str, ...] = field(name="riskEventTypes_v2")
    applied_conditional_access_policies: list[dict[str, Any]]
    authentication_requirement: str
    authentication_requirement_policies: list[dict[str, str]]
    authentication_details: list[_Detail]
    mfa_detail: dict[str, Any] | None
    authentication_protocol: str
    authentication_context_class_references: list[dict[str, str]]
    conditional_access_audiences: list[str]
    network_location_details: list[dict[str, Any]]


class _Detail(Struct, frozen=True, rename="camel", gc=False):
    """A proof that was tried."""

    authentication_method: str
    authentication_method_detail: None
    authentication_step_date_time: str
    authentication_step_requirement: str
    authentication_step_result_detail: str
    succeeded: bool


NAMES: Mapping[str, str] = {one.encode_name: one.name for one in fields(Shown)}
"""Properties of an entry of the sign-in log, and what holds them here."""
REQUIREMENT = [{"requirementProvider": "multiConditionalAccess", "detail": "Conditional Access"}]
KINDS: Mapping[bool, list[str]] = {True: ["interactiveUser"], False: ["nonInteractiveUser"]}


def some(shown: Shown, names: Iterable[str]) -> dict[str, Any]:
    """These properties of an entry alone."""
    return {name: getattr(shown, NAMES[name]) for name in names}


def shown_sign_in(entry: SignIn, directory: Directory, *, with_policies: bool) -> Shown:
    """Return an entry of the sign-in log as it is shown."""
    return _Sight(directory, with_policies=with_policies).of(entry)


def _shown_status(entry: SignIn) -> dict[str, Any]:
    number, why = _status(entry)
    details = "MFA required" if entry.outcome in ("mfa", "register") else None
    return {"errorCode": number, "failureReason": why or None, "additionalDetails": details}


def _device(about: tuple[str, str]) -> dict[str, Any]:
    platform = about[1]
    return {
        "deviceId": "",
        "displayName": "",
        "operatingSystem": "" if platform == "unknown" else platform,
        "browser": "",
        "isCompliant": False,
        "isManaged": False,
        "trustType": "",
    }


def _location(about: tuple[str, str | None]) -> dict[str, Any]:
    return {"city": None, "state": None, "countryOrRegion": about[1], "geoCoordinates": None}


def _status(entry: SignIn) -> tuple[int, str]:
    if entry.reason is not None:
        error = ERRORS[entry.reason]
        return entry.number or error.code, error.text
    if entry.outcome == "refused":
        return ERRORS[Reason.BLOCKED_BY_POLICY].code, entry.because
    return ENDS_AT[entry.outcome]


def _policy_status(policies: tuple[Applied, ...]) -> str:
    """Of the policies that are enabled."""
    results = {one.result for one in policies}
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


def _detail(step: Attempt) -> _Detail:
    return _Detail(
        METHODS[step.kind],
        None,
        exact_time(step.at),
        PARTS[step.part],
        "Correct" if step.succeeded else "Wrong",
        step.succeeded,
    )


def _mfa(entry: SignIn) -> dict[str, Any] | None:
    for step in reversed(entry.steps):
        if step.part == "second" and step.succeeded:
            return {"authMethod": METHODS[step.kind], "authDetail": None}
    return None


def _places(text: str, directory: Directory) -> list[dict[str, Any]]:
    try:
        address = ip_address(text)
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
    size = lists.top(call, MOST_ROWS, ROWS)
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
    sight = _Sight(call.directory, with_policies=with_policies)
    asked = {term.name.partition("/")[0] for term in _every(where)}
    wanted = tuple(selected(dict.fromkeys(NAMES), call.options.select)) if call.options.select else ()

    async def after(last: SignIn | None, limit: int) -> Sequence[SignIn]:
        return await call.store.sign_ins(replace(query, before=last or query.before, limit=limit))

    def fits(entry: SignIn) -> bool:
        return where is None or _holds(where, some(sight.of(entry), asked), SIGN_IN_FILTERS)

    found, last = await _sifted(size, where, after, fits)
    shown = map(sight.of, found)
    values = [some(one, wanted) for one in shown] if wanted else list(shown)
    goes_on: Sequence[str | int] | None = [last.id, _milliseconds(last.at)] if last is not None else None
    return call.collection("auditLogs/signIns", values, goes_on=goes_on)


async def _sifted(
    size: int,
    where: Filter | None,
    after: Callable[[T | None, int], Awaitable[Sequence[T]]],
    fits: Callable[[T], bool],
) -> tuple[list[T], T | None]:
    """
    Return at most so many rows of a log that fit, and the row after which the list goes on.

    `after` reads the rows after one, so many at most. No more than `LOOKED_AT` rows are looked at for one page.
    """
    found: list[T] = []
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
            if fits(row):
                found.append(row)
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
    value = msgspec.to_builtins(shown_sign_in(found[0], call.directory, with_policies=with_policies))
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
    approved = detail.get("approved_by")
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
        "additionalDetails": [{"key": "approvedBy", "value": approved.get("name")}] if approved else [],
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
    size = lists.top(call, MOST_ROWS, ROWS)
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

    directory = call.directory

    def fits(row: Audited) -> bool:
        return where is None or _holds(where, shown_audit(row, directory), AUDIT_FILTERS)

    found, last = await _sifted(size, where, after, fits)
    values = [selected(shown_audit(one, directory), call.options.select) for one in found]
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
