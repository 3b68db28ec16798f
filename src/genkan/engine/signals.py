"""
What other parties are told of a change, and what they are told follows from the change itself.

Whatever ends sessions, changes what proves a person, switches an account or moves its risk is a signal because it is
written, so nobody who writes it can forget to tell. Pure; knows nothing of tokens, streams' ways or storage.
Source: emergency-protocol 11; SSF 1.0, CAEP 1.0, RISC 1.0, CAEP Interoperability Profile 1.0; SSPR-04, WHK-06, WHK-09.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from genkan.engine.flow import guid
from genkan.engine.messages import (
    Directory,
    Effect,
    Emit,
    Entropy,
    PutAuthenticator,
    PutSubject,
    RevokeGrants,
    Signal,
)
from genkan.engine.transaction import Loaded
from genkan.model import Authenticator, Kind, RiskLevel, Stream, Subject

CAEP: Final = "https://schemas.openid.net/secevent/caep/event-type/"
RISC: Final = "https://schemas.openid.net/secevent/risc/event-type/"
SSF: Final = "https://schemas.openid.net/secevent/ssf/event-type/"

SESSION_REVOKED: Final = CAEP + "session-revoked"
CREDENTIAL_CHANGE: Final = CAEP + "credential-change"
RISK_LEVEL_CHANGE: Final = CAEP + "risk-level-change"
DEVICE_COMPLIANCE_CHANGE: Final = CAEP + "device-compliance-change"
ACCOUNT_DISABLED: Final = RISC + "account-disabled"
ACCOUNT_ENABLED: Final = RISC + "account-enabled"
CHANGE_REQUIRED: Final = RISC + "account-credential-change-required"
CREDENTIAL_COMPROMISE: Final = RISC + "credential-compromise"
RECOVERY_ACTIVATED: Final = RISC + "recovery-activated"
RECOVERY_INFORMATION_CHANGED: Final = RISC + "recovery-information-changed"

EVENTS: Final = (
    SESSION_REVOKED,
    CREDENTIAL_CHANGE,
    RISK_LEVEL_CHANGE,
    DEVICE_COMPLIANCE_CHANGE,
    ACCOUNT_DISABLED,
    ACCOUNT_ENABLED,
    CHANGE_REQUIRED,
    CREDENTIAL_COMPROMISE,
    RECOVERY_ACTIVATED,
    RECOVERY_INFORMATION_CHANGED,
)
"""Every event that a receiver may ask for."""
VERIFICATION: Final = SSF + "verification"
STREAM_UPDATED: Final = SSF + "stream-updated"
"""The two that are about a stream, and that nobody asks for."""

_NAMED: Final = {uri.rpartition("/")[2]: uri for uri in EVENTS}

EMAIL_CODES: Final = "email-otp"
"""A credential type that CAEP does not list: for receivers that said they know it."""
TYPES: Final[Mapping[Kind, str]] = {
    Kind.PASSWORD: "password",
    Kind.SMS_OTP: "phone-sms",
    Kind.EMAIL_OTP: EMAIL_CODES,
    Kind.PASSKEY: "fido2-platform",
    Kind.FEDERATED: "verifiable-credential",
}
"""What CAEP calls each kind of authenticator."""
ROAMING: Final = "fido2-roaming"
"""The same of a passkey on a security key."""

LEVELS: Final[Mapping[RiskLevel, str]] = {"none": "LOW", "low": "LOW", "medium": "MEDIUM", "high": "HIGH"}
"""CAEP's three levels; of what nobody has looked at nothing is said."""

REMOVED_FOLLOWS: Final = timedelta(days=7)
"""So long a receiver is still told of somebody whom it removed (SSF 1.0, 9.3: malicious subject removal)."""
SET_LIFETIME: Final = timedelta(days=7)
"""So long a signal is offered to a receiver that does not take it."""

Initiator = Literal["user", "admin", "policy", "system"]

REASONS: Final[Mapping[str, str]] = {
    SESSION_REVOKED: "Every session of the account was ended.",
    CREDENTIAL_CHANGE: "What proves the account was changed.",
    RISK_LEVEL_CHANGE: "The risk of the account was judged anew.",
}
"""`reason_admin` of CAEP's events, which the interoperability profile wants. It says nothing that only we may know."""


def named(event: str) -> str:
    """The URI of an event, by that or by the last word of it. Raises: `KeyError`."""
    return event if event in EVENTS else _NAMED[event]


def signal(
    event: str,
    subject: str,
    now: datetime,
    *,
    id: str,
    txn: str,
    since: datetime | None = None,
    **detail: Any,
) -> Signal:
    """
    A signal that a person is told of by: `event` as its URI, or by the last word of it.

    An emergency says what it has to say by this: `signal("session-revoked", subject.id, now, id=…, txn=…,
    since=case.opened_at, initiating_entity="user")`, in the same change as all else, in an `Emit`.
    Raises: `KeyError` for an event that is not of `EVENTS`.
    """
    uri = named(event)
    members: dict[str, Any] = dict(detail)
    if uri == RISK_LEVEL_CHANGE:
        members.setdefault("principal", "USER")
    if uri.startswith(CAEP):
        members.setdefault("reason_admin", {"en": REASONS.get(uri, "The account is in an emergency.")})
        members["event_timestamp"] = int(now.timestamp())
    return Signal(id=id, event=uri, subject=subject, at=now, txn=txn, detail=members, since=since)


def following(
    effects: Sequence[Effect],
    *,
    directory: Directory,
    now: datetime,
    by: Initiator,
    entropy: Entropy,
    person: Callable[[str], Subject | None],
    methods: Callable[[str], Iterable[Authenticator]],
    txn: str = "",
) -> tuple[Emit, ...]:
    """
    The signals that follow from a change; none where nobody hears any.

    `person` and `methods` say how somebody stands before it; of who is only added by it nobody is told anything.
    `txn` is that of what others said, where that is what caused it.
    """
    if not directory.streams:
        return ()
    txn = txn or f"{origin(directory.tenant.id)}.{entropy.guid('signals')}"
    put = {effect.subject.id: effect.subject for effect in effects if isinstance(effect, PutSubject)}
    incidents = {id: incident for id, one in put.items() if (incident := incident_of(one)) is not None}
    said: list[Emit] = []
    for number, (event, subject, detail) in enumerate(_changes(effects, put, person, methods)):
        initiator = "policy" if event == RISK_LEVEL_CHANGE and by == "user" else by
        members = {"initiating_entity": initiator, **detail} if event.startswith(CAEP) else detail
        one = signal(
            event,
            subject,
            now,
            id=entropy.guid(f"signal/{number}"),
            txn=txn,
            since=incidents.get(subject) or _incident(person(subject)),
            **members,
        )
        said.append(Emit(one))
    return tuple(said)


def of_step(effects: Sequence[Effect], loaded: Loaded, entropy: Entropy) -> tuple[Emit, ...]:
    """The signals that follow from what somebody does to their own account."""
    return following(
        effects,
        directory=loaded.directory,
        now=loaded.now,
        by="user",
        entropy=entropy,
        person=lambda id: loaded.subject if loaded.subject and loaded.subject.id == id else None,
        methods=lambda id: (a for a in loaded.authenticators if a.subject == id),
    )


def origin(tenant: str) -> str:
    """How every `txn` of a tenant begins, so that it knows again what comes back to it by way of others."""
    return blake2b(tenant.encode(), digest_size=6).hexdigest()


def incident_of(subject: Subject) -> datetime | None:
    """Since when something is wrong with an account, as far as is known: it was found to be at risk."""
    risk = subject.risk
    is_open = risk.state in ("atRisk", "confirmedCompromised") and risk.level in ("medium", "high")
    return risk.updated_at if is_open else None


def _incident(subject: Subject | None) -> datetime | None:
    return incident_of(subject) if subject is not None else None


_Change = tuple[str, str, dict[str, Any]]
"""Event, person, members."""


def _changes(
    effects: Sequence[Effect],
    put: Mapping[str, Subject],
    person: Callable[[str], Subject | None],
    methods: Callable[[str], Iterable[Authenticator]],
) -> Iterator[_Change]:
    for effect in effects:
        match effect:
            case PutAuthenticator(authenticator) if not _is_new(authenticator.subject, put):
                held = {a.id: a for a in methods(authenticator.subject)}
                yield from _of_method(authenticator, held.get(authenticator.id))
            case RevokeGrants(subject=subject):
                yield SESSION_REVOKED, subject, {}
            case PutSubject(subject) if subject.revision > 0 and (before := person(subject.id)) is not None:
                yield from _of_account(before, subject)


def _is_new(subject: str, put: Mapping[str, Subject]) -> bool:
    return subject in put and put[subject].revision == 0


def _of_method(after: Authenticator, before: Authenticator | None) -> Iterator[_Change]:
    if before is None:
        how = "create" if after.state == "active" else ""
    elif before.state == "active" and after.state != "active":
        how = "delete" if after.state == "tombstoned" else "revoke"
    elif before.state != "active" and after.state == "active":
        how = "create"
    elif before.target != after.target or before.changed_at != after.changed_at:
        how = "update"
    else:
        how = ""  # It was used, hashed anew, or found in a leak: it proves the same as before.
    if how:
        is_key = after.passkey is not None and after.passkey.roaming
        detail = {"credential_type": ROAMING if is_key else TYPES[after.kind], "change_type": how}
        yield CREDENTIAL_CHANGE, after.subject, detail


def _of_account(before: Subject, after: Subject) -> Iterator[_Change]:
    if before.status == "active" != after.status:
        yield ACCOUNT_DISABLED, after.id, {}
    elif before.status != "active" == after.status:
        yield ACCOUNT_ENABLED, after.id, {}
    if after.must_change_password and not before.must_change_password:
        yield CHANGE_REQUIRED, after.id, {}
    was, level = LEVELS.get(before.risk.level), LEVELS.get(after.risk.level)
    if level is not None and level != (was or "LOW"):
        known = {"previous_level": was} if was is not None else {}
        yield RISK_LEVEL_CHANGE, after.id, {"current_level": level, **known}


# What others say. ---------------------------------------------------------------------------------------------------


class Tightening(Struct, frozen=True, kw_only=True):
    """What follows from what somebody else says of a person. There is nothing that would loosen anything (WHK-07)."""

    level: RiskLevel = "none"
    """The account is at this risk at least."""
    ends: bool = False
    """Its sessions end."""


_ENDS: Final = frozenset({SESSION_REVOKED, RISC + "sessions-revoked"})
_COMPROMISED: Final = frozenset({CREDENTIAL_COMPROMISE})
_DOUBTFUL: Final = frozenset(
    {
        CHANGE_REQUIRED,
        RECOVERY_ACTIVATED,
        RISC + "account-purged",
        RISC + "identifier-changed",
        RISC + "identifier-recycled",
    }
)


def tightening(event: str, members: Mapping[str, Any]) -> Tightening | None:
    """What follows from an event of somebody else's; None: nothing, as from all that says that something is well."""
    if event in _ENDS:
        return Tightening(ends=True)
    if event in _COMPROMISED or (event == ACCOUNT_DISABLED and members.get("reason") == "hijacking"):
        return Tightening(level="high", ends=True)
    if event in _DOUBTFUL or event == ACCOUNT_DISABLED:
        return Tightening(level="medium")
    if event == CREDENTIAL_CHANGE and members.get("change_type") in ("revoke", "delete"):
        return Tightening(level="medium")
    if event == RISK_LEVEL_CHANGE and members.get("principal") == "USER":
        match members.get("current_level"):
            case "HIGH":
                return Tightening(level="high")
            case "MEDIUM":
                return Tightening(level="medium")
    return None


# To whom. -----------------------------------------------------------------------------------------------------------


def heard_by(stream: Stream, emit: Emit) -> Signal | None:
    """
    What a stream is sent of a signal, under an id of its own; None: nothing.

    An e-mail code is a credential to who knows of such; to all others the way to recover has changed.
    """
    said = emit.signal
    if emit.stream:
        return _for(stream, said) if emit.stream == stream.id else None
    if stream.status == "disabled":
        return None
    if said.detail.get("credential_type") == EMAIL_CODES and not stream.email_codes:
        said = replace(said, event=RECOVERY_INFORMATION_CHANGED, detail={})
    return _for(stream, said) if said.event in stream.events else None


def _for(stream: Stream, said: Signal) -> Signal:
    """One token goes to one receiver, so each has an id of its own, and the same one however often it is made."""
    return replace(said, id=guid(blake2b(f"{said.id}/{stream.id}".encode(), digest_size=16).digest()))
