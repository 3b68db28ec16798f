"""
Every statement, what a step reads, and the one interpreter of effects.

Knows no driver and no transaction: a store executes what is named here. The statements read the same on SQLite and
PostgreSQL but for their placeholders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol, TypeAlias, assert_never

import msgspec
from msgspec.structs import replace

from genkan.engine import signals
from genkan.engine.emergency.case import NORMAL, Emergency
from genkan.engine.flow import Flow
from genkan.engine.messages import (
    Count,
    Deliver,
    Detect,
    Detection,
    Directory,
    Document,
    DocumentKind,
    Emit,
    Follow,
    Join,
    Leave,
    LogSignIn,
    PutAuthenticator,
    PutDocument,
    PutEmergency,
    PutFootprint,
    PutGrant,
    PutGroup,
    PutReserve,
    PutSigningKey,
    PutSubject,
    Record,
    RemoveDocument,
    RemoveGroup,
    RevokeGrants,
    SignIn,
    Silence,
)
from genkan.engine.transaction import Audited, Change, DetectionQuery, Loaded, Needs, SignInQuery, way
from genkan.model import (
    Approval,
    Authenticator,
    BootstrapToken,
    Client,
    Extension,
    Grant,
    Group,
    Listener,
    Message,
    Reserve,
    Resource,
    Scalar,
    SignUpFlow,
    Stream,
    Subject,
    Tenant,
    Transmitter,
)
from genkan.policy.model import (
    AuthenticationContext,
    CountryLocation,
    IpLocation,
    Policy,
    Strength,
)
from genkan.risk.footprint import NOTHING, Footprint
from genkan.store.sealing import Sealer
from genkan.tokens.keys import SigningKey

Row: TypeAlias = tuple[Any, ...]


class Rows(Protocol):
    """What a statement leaves behind."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...


Execute: TypeAlias = Callable[[str, Sequence[Any]], Rows]


class Statement(NamedTuple):
    """A statement by which a step writes."""

    text: str
    guarded: bool = False
    """It must change exactly one row; if it does not, what the step was decided on has moved."""
    appends: bool = False
    """It adds a row that no step reads, so all of a batch may be added together at its end."""


Write: TypeAlias = tuple[Statement, Row]


class Stale(Exception):
    """A row is no longer as it was when the step was decided."""


# What a step reads. --------------------------------------------------------------------------------------------------

FLOW = "SELECT version, body FROM flow WHERE id = ?"
GRANT = "SELECT revision, revoked_at, body FROM refresh_grant WHERE id = ?"
SUBJECT = """
SELECT s.body, f.body, e.revision, e.body FROM subject s
  LEFT JOIN footprint f ON f.subject = s.id
  LEFT JOIN emergency e ON e.subject = s.id
 WHERE s.id = ?
"""
HOLDER = """
SELECT s.body, f.body, e.revision, e.body FROM identifier i
  JOIN subject s ON s.id = i.subject
  LEFT JOIN footprint f ON f.subject = s.id
  LEFT JOIN emergency e ON e.subject = s.id
 WHERE i.key = ?
"""
SUBJECT_OF_CASE = "SELECT subject FROM emergency WHERE case_id = ?"
AUTHENTICATORS = "SELECT body FROM authenticator WHERE subject = ? AND state = 'active'"
FAMILIES = "SELECT body FROM refresh_grant WHERE subject = ? AND revoked_at IS NULL ORDER BY id"
EVERY_AUTHENTICATOR = "SELECT body FROM authenticator WHERE subject = ? ORDER BY id"
GROUPS = """
WITH RECURSIVE containing (id) AS (
    SELECT group_id FROM membership WHERE member_id = ?
     UNION
    SELECT m.group_id FROM membership m JOIN containing c ON m.member_id = c.id
)
SELECT id FROM containing
"""
RESERVE = "SELECT body FROM reserve WHERE subject = ?"
BUCKETS = "SELECT name, history FROM bucket WHERE name IN ({})"

# What a step writes. -------------------------------------------------------------------------------------------------

INSERT_FLOW = Statement("INSERT INTO flow (id, version, subject, keep_until, body) VALUES (?, 1, ?, ?, ?)")
UPDATE_FLOW = Statement(
    "UPDATE flow SET version = version + 1, subject = ?, keep_until = ?, body = ? WHERE id = ? AND version = ?",
    guarded=True,
)
INSERT_SUBJECT = Statement(
    "INSERT INTO subject (body, display_name, given_name, surname, mail, principal_name, enabled, risk, created_at,"
    " deleted_at, id, revision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)"
)
UPDATE_SUBJECT = Statement(
    "UPDATE subject SET body = ?, display_name = ?, given_name = ?, surname = ?, mail = ?, principal_name = ?,"
    " enabled = ?, risk = ?, created_at = ?, deleted_at = ?, revision = revision + 1 WHERE id = ? AND revision = ?",
    guarded=True,
)
INSERT_EXTENSION = Statement("INSERT INTO subject_extension (subject, name, value) VALUES (?, ?, ?)")
DELETE_EXTENSIONS = Statement("DELETE FROM subject_extension WHERE subject = ?")
INSERT_IDENTIFIER = Statement("INSERT INTO identifier (key, subject) VALUES (?, ?)")
DELETE_IDENTIFIERS = Statement("DELETE FROM identifier WHERE subject = ?")
INSERT_AUTHENTICATOR = Statement(
    "INSERT INTO authenticator (id, subject, revision, state, body) VALUES (?, ?, 1, ?, ?)"
)
INSERT_PASSKEY = Statement("INSERT INTO passkey (credential, authenticator) VALUES (?, ?)")
UPDATE_AUTHENTICATOR = Statement(
    "UPDATE authenticator SET revision = revision + 1, state = ?, body = ? WHERE id = ? AND revision = ?",
    guarded=True,
)
INSERT_GRANT = Statement(
    "INSERT INTO refresh_grant (id, subject, revision, keep_until, revoked_at, body) VALUES (?, ?, 1, ?, ?, ?)"
)
UPDATE_GRANT = Statement(
    "UPDATE refresh_grant SET revision = revision + 1, keep_until = ?, revoked_at = ?, body = ?"
    " WHERE id = ? AND revision = ?",
    guarded=True,
)
INSERT_RESERVE = Statement("INSERT INTO reserve (body, subject, revision) VALUES (?, ?, 1)")
UPDATE_RESERVE = Statement(
    "UPDATE reserve SET body = ?, revision = revision + 1 WHERE subject = ? AND revision = ?", guarded=True
)
REVOKE_GRANTS = Statement(
    "UPDATE refresh_grant SET revision = revision + 1, revoked_at = ? WHERE subject = ? AND revoked_at IS NULL"
)
REPLACE_BUCKET = Statement(
    "INSERT INTO bucket (name, history, keep_until) VALUES (?, ?, ?)"
    " ON CONFLICT (name) DO UPDATE SET history = excluded.history, keep_until = excluded.keep_until"
)
INSERT_OUTBOX = Statement(
    "INSERT INTO outbox (due_at, leased_until, attempts, expires_at, message, channel, body)"
    " VALUES (?, 0, 0, ?, ?, ?, ?)",
    appends=True,
)
INSERT_AUDIT = Statement(
    "INSERT INTO audit (seq, at, action, reason, subject, client, correlation_id, detail, category, link)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    appends=True,
)
"""Its row is one of `audit_row` until the chain has numbered and linked it."""
REPLACE_SIGN_IN = Statement(
    "INSERT INTO sign_in (id, at, correlation_id, subject, client, interactive, reason, keep_until, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET subject = excluded.subject, reason = excluded.reason, body = excluded.body",
    appends=True,
)

REPLACE_FOOTPRINT = Statement(
    "INSERT INTO footprint (subject, body) VALUES (?, ?) ON CONFLICT (subject) DO UPDATE SET body = excluded.body"
)
INSERT_EMERGENCY = Statement("INSERT INTO emergency (case_id, body, subject, revision) VALUES (?, ?, ?, 1)")
UPDATE_EMERGENCY = Statement(
    "UPDATE emergency SET case_id = ?, body = ?, revision = revision + 1 WHERE subject = ? AND revision = ?",
    guarded=True,
)
REPLACE_DETECTION = Statement(
    "INSERT INTO detection (id, at, subject, keep_until, body) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET body = excluded.body",
    appends=True,
)

_SIGNAL = (
    "INSERT INTO signal (jti, stream, subject, due_at, leased_until, attempts, expires_at, dead_at, why, body)"
    " SELECT CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT), 0, 0, CAST(? AS BIGINT), 0, '',"
    " CAST(? AS TEXT) WHERE {} (SELECT 1 FROM signal_subject WHERE stream = ? AND subject = ? AND until {} ?)"
)
INSERT_SIGNAL = Statement(_SIGNAL.format("NOT EXISTS", "<="))
"""Unless the stream was to be told no more of the person at the time that is the last of its values."""
INSERT_WANTED_SIGNAL = Statement(_SIGNAL.format("EXISTS", ">"))
"""If the stream was still to be told of the person at that time."""
FOLLOW = Statement(
    "INSERT INTO signal_subject (stream, subject, until) VALUES (?, ?, ?)"
    " ON CONFLICT (stream, subject) DO UPDATE SET until = excluded.until"
)
SILENCE = Statement("DELETE FROM signal WHERE stream = ? AND subject <> ''")
FORGET_SIGNALS = Statement("DELETE FROM signal WHERE stream = ?")
UNFOLLOW = Statement("DELETE FROM signal_subject WHERE stream = ?")

# What an administrator's step writes beside. -------------------------------------------------------------------------

INSERT_GROUP = Statement(
    "INSERT INTO directory_group (body, display_name, created_at, id, revision) VALUES (?, ?, ?, ?, 1)"
)
UPDATE_GROUP = Statement(
    "UPDATE directory_group SET body = ?, display_name = ?, created_at = ?, revision = revision + 1"
    " WHERE id = ? AND revision = ?",
    guarded=True,
)
DELETE_GROUP = Statement("DELETE FROM directory_group WHERE id = ?", guarded=True)
FORGET_GROUP = Statement("DELETE FROM membership WHERE group_id = ? OR member_id = ?")
JOIN = Statement("INSERT INTO membership (member_id, group_id) VALUES (?, ?)")
LEAVE = Statement("DELETE FROM membership WHERE member_id = ? AND group_id = ?", guarded=True)
PUT_ONE_DOCUMENT = Statement(
    "INSERT INTO document (kind, id, revision, body) VALUES (?, ?, 1, ?)"
    " ON CONFLICT (kind, id) DO UPDATE SET revision = document.revision + 1, body = excluded.body"
)
REMOVE_ONE_DOCUMENT = Statement("DELETE FROM document WHERE kind = ? AND id = ?", guarded=True)
TOUCH = Statement(
    "UPDATE meta SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) WHERE name = ?", guarded=True
)
"""Lets everybody know that what they keep in memory of documents, memberships and keys is of yesterday."""

# Everything else. ----------------------------------------------------------------------------------------------------

DUE = """
SELECT id, attempts, expires_at, leased_until, message, body FROM outbox
 WHERE due_at <= ? AND leased_until <= ? AND (? = '' OR channel IN (?, '')) ORDER BY due_at, id LIMIT ?
"""
LEASE = "UPDATE outbox SET leased_until = ?, attempts = attempts + 1 WHERE id = ?"
GIVE_BACK = "UPDATE outbox SET leased_until = 0, due_at = ? WHERE id = ?"
GIVE_ALL_BACK = "UPDATE outbox SET leased_until = 1 WHERE leased_until > 0"
BACKLOG = "SELECT count(*), min(CASE WHEN leased_until <= ? THEN due_at END) FROM outbox"
LEASED = "SELECT attempts, expires_at, message, body FROM outbox WHERE id = ?"
WAITING = "SELECT id, message, body FROM outbox"
DROP = "DELETE FROM outbox WHERE id = ?"

SWEEPS = (
    "DELETE FROM flow WHERE id IN (SELECT id FROM flow WHERE keep_until <= ? LIMIT ?)",
    "DELETE FROM refresh_grant WHERE id IN (SELECT id FROM refresh_grant WHERE keep_until <= ? LIMIT ?)",
    "DELETE FROM bucket WHERE name IN (SELECT name FROM bucket WHERE keep_until <= ? LIMIT ?)",
    "DELETE FROM sign_in WHERE id IN (SELECT id FROM sign_in WHERE keep_until <= ? LIMIT ?)",
    "DELETE FROM detection WHERE id IN (SELECT id FROM detection WHERE keep_until <= ? LIMIT ?)",
    "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE expires_at <= ? LIMIT ?)",
    "DELETE FROM signal WHERE id IN (SELECT id FROM signal WHERE dead_at > 0 AND expires_at <= ? LIMIT ?)",
)

META = "SELECT value FROM meta WHERE name = ?"
PUT_META = (
    "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)

DOCUMENTS = "SELECT kind, id, body FROM document ORDER BY kind, id"
PUT_DOCUMENT = PUT_ONE_DOCUMENT.text
REMOVE_DOCUMENT = REMOVE_ONE_DOCUMENT.text
REMOVE_DOCUMENTS = "DELETE FROM document"
HAS_MEMBERSHIPS = "SELECT EXISTS (SELECT 1 FROM membership)"
ADD_MEMBER = "INSERT INTO membership (member_id, group_id) VALUES (?, ?) ON CONFLICT DO NOTHING"
REMOVE_MEMBER = "DELETE FROM membership WHERE member_id = ? AND group_id = ?"

SIGNING_KEYS = (
    "SELECT kid, created_at, activates_at, retires_at, pem FROM signing_key ORDER BY activates_at, kid"
)
PUT_SIGNING_KEY = Statement(
    "INSERT INTO signing_key (kid, algorithm, created_at, activates_at, retires_at, pem) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (kid) DO UPDATE SET activates_at = excluded.activates_at, retires_at = excluded.retires_at"
)

TRAIL = """
SELECT seq, at, action, reason, subject, client, correlation_id, detail, category FROM audit
 WHERE seq > ? ORDER BY seq LIMIT ?
"""
BEGUN_AS = "SELECT DISTINCT correlation_id FROM audit WHERE replace(detail, ?, '') <> detail LIMIT 10"
"""Reads the whole table: for a person who asks, not for a step."""
TRAIL_OF_REQUEST = """
SELECT seq, at, action, reason, subject, client, correlation_id, detail, category FROM audit
 WHERE correlation_id = ? AND seq > ? ORDER BY seq LIMIT ?
"""

SIGN_INS = "SELECT body FROM sign_in WHERE {} ORDER BY at DESC, id DESC LIMIT ?"
"""Newest first."""

DETECTIONS = "SELECT body FROM detection WHERE {} ORDER BY at DESC, id DESC LIMIT ?"
"""Newest first."""

# In this order, so that nothing refers to a row that is gone. Keys and `meta` stay.
WIPES = tuple(
    f"DELETE FROM {table}"  # noqa: S608
    for table in (
        "flow",
        "refresh_grant",
        "passkey",
        "authenticator",
        "identifier",
        "subject_extension",
        "footprint",
        "reserve",
        "emergency",
        "detection",
        "subject",
        "directory_group",
        "membership",
        "bucket",
        "outbox",
        "signal",
        "signal_subject",
        "audit",
        "sign_in",
        "document",
    )
)

# Values. -------------------------------------------------------------------------------------------------------------

EXTENSION = "extension_"
"""How the names of custom attributes begin."""

REVISION = "revision"
"""The name in `meta` of what `TOUCH` counts."""

TOUCHING = (PutDocument, RemoveDocument, Join, Leave, RemoveGroup, PutSigningKey)

OUTBOX_BODY = "outbox.body"
SIGNING_KEY_PEM = "signing_key.pem"
"""Places of sealed values."""

FLOWS_KEPT = timedelta(hours=1)
"""After its end a flow is still found, and so refused as expired and not as unknown. PII-06 allows a day."""

GRANTS_KEPT = timedelta(days=7)
"""After its end a grant is still found, so that the reuse of a spent refresh token is told from a made-up one."""

FOR_GOOD = 2**53
"""Milliseconds that no clock reaches."""

_KEPT_TO = 15 * 60 * 1000
"""Milliseconds to a multiple of which `keep_until` is rounded up: a quarter of an hour."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

encode = msgspec.json.Encoder().encode
_flow = msgspec.json.Decoder(Flow).decode
_subject = msgspec.json.Decoder(Subject).decode
authenticator = msgspec.json.Decoder(Authenticator).decode
_grant = msgspec.json.Decoder(Grant).decode
history_of = msgspec.json.Decoder(tuple[int, ...]).decode
_emergency = msgspec.json.Decoder(Emergency).decode
_footprint = msgspec.json.Decoder(Footprint).decode
_reserve = msgspec.json.Decoder(Reserve).decode
_detection = msgspec.json.Decoder(Detection).decode
_sign_in = msgspec.json.Decoder(SignIn).decode
_detail = msgspec.json.Decoder(dict[str, Any]).decode


def to_milliseconds(moment: datetime) -> int:
    """Return a time as it stands in a column."""
    return (moment - _EPOCH) // _MILLISECOND


def keep_until(end: datetime, kept: timedelta = timedelta()) -> int:
    """Return until when a row is kept that ends then."""
    return -(-to_milliseconds(end + kept) // _KEPT_TO) * _KEPT_TO


def from_milliseconds(count: int) -> datetime:
    """Return the time that a column holds."""
    return _EPOCH + count * _MILLISECOND


# The step. -----------------------------------------------------------------------------------------------------------


def load(execute: Execute, needs: Needs, now: datetime, directory: Directory, has_groups: bool) -> Loaded:
    """Return what is needed, from one consistent state. `has_groups` False: the tenant has no memberships at all."""
    needs = of_case(execute, needs)
    flow, version, grant = None, 0, None
    if needs.flow is not None and (row := execute(FLOW, (needs.flow,)).fetchone()):
        version, flow = row[0], _flow(row[1])
    if needs.grant is not None and (row := execute(GRANT, (needs.grant,)).fetchone()):
        grant = _grant_of(*row)
    subject, footprint, revision, emergency = _load_subject(execute, needs, flow, grant)
    authenticators: tuple[Authenticator, ...] = ()
    held: tuple[Authenticator, ...] = ()
    families: tuple[Grant, ...] = ()
    groups: frozenset[str] = frozenset()
    reserve: Reserve | None = None
    if subject is not None:
        if needs.reserve and (row := execute(RESERVE, (subject.id,)).fetchone()):
            reserve = _reserve(row[0])
        is_whole = needs.whole or revision > 0
        rows = execute(EVERY_AUTHENTICATOR if is_whole else AUTHENTICATORS, (subject.id,)).fetchall()
        authenticators = tuple([authenticator(body) for (body,) in rows])
        if len(authenticators) > 1:
            authenticators = tuple(sorted(authenticators, key=by_age))
        if is_whole:
            held, authenticators = authenticators, tuple(a for a in authenticators if a.state == "active")
            families = tuple([_grant(body) for (body,) in execute(FAMILIES, (subject.id,)).fetchall()])
        if has_groups:
            groups = frozenset([group for (group,) in execute(GROUPS, (subject.id,)).fetchall()])
    loaded = Loaded(
        now=now,
        directory=directory,
        flow=flow,
        flow_version=version,
        subject=subject,
        authenticators=authenticators,
        groups=groups,
        grant=grant,
        footprint=footprint,
        reserve=reserve,
        emergency=emergency,
        emergency_revision=revision,
        held=held,
        families=families,
    )
    if needs.buckets is None or not (names := dict.fromkeys(needs.buckets(loaded), ())):
        return loaded
    found = execute(BUCKETS.format(",".join("?" * len(names))), tuple(names)).fetchall()
    return replace(loaded, histories=names | {name: history_of(body) for name, body in found})


def of_case(execute: Execute, needs: Needs) -> Needs:
    """What to load, where a case is named: the subject that it is about, or nobody."""
    if needs.case is None:
        return needs
    row = execute(SUBJECT_OF_CASE, (needs.case,)).fetchone()
    return replace(needs, case=None, subject=row[0] if row else None)


def _load_subject(
    execute: Execute, needs: Needs, flow: Flow | None, grant: Grant | None
) -> tuple[Subject | None, Footprint, int, Emergency]:
    subject = needs.subject or (flow and flow.subject) or (grant and grant.subject)
    if subject:
        row = execute(SUBJECT, (subject,)).fetchone()
    else:
        key = needs.identifier or (flow and flow.identifier and flow.identifier.key)
        row = execute(HOLDER, (key,)).fetchone() if key else None
    if row is None:
        return None, NOTHING, 0, NORMAL
    body, footprint, revision, emergency = row
    return (
        _subject(body),
        NOTHING if footprint is None else _footprint(footprint),
        revision or 0,
        NORMAL if emergency is None else _emergency(emergency),
    )


def _grant_of(revision: int, revoked_at: int | None, body: str) -> Grant:
    """Return a grant. A revocation has written the columns only."""
    grant = _grant(body)
    if grant.revision == revision:
        return grant
    return replace(
        grant, revision=revision, revoked_at=None if revoked_at is None else from_milliseconds(revoked_at)
    )


def by_age(authenticator: Authenticator) -> tuple[datetime, str]:
    return authenticator.created_at, authenticator.id


def writes(change: Change, loaded: Loaded, sealer: Sealer) -> Iterator[Write]:
    """Yield what a change comes to, in the order in which it must be written."""
    flow = change.flow
    if flow is not None:
        row: Row = (flow.subject, keep_until(flow.expires_at, FLOWS_KEPT), encode(flow).decode())
        if loaded.flow is not None and loaded.flow.id == flow.id:
            yield UPDATE_FLOW, (*row, flow.id, loaded.flow_version)
        else:
            yield INSERT_FLOW, (flow.id, *row)
    for effect in change.effects:
        if type(effect) is PutSubject:  # What refers to a subject is written after it.
            yield from _put_subject(effect.subject, loaded.subject)
    if any(isinstance(effect, TOUCHING) for effect in change.effects):
        yield TOUCH, (REVISION,)
    signed_in: dict[str, LogSignIn] = {}
    for effect in change.effects:
        match effect:
            case Record():
                yield INSERT_AUDIT, audit_row(effect, loaded.now)
            case LogSignIn():
                signed_in[effect.entry.id] = effect
            case Count():
                history = encode(effect.history).decode()
                yield REPLACE_BUCKET, (effect.bucket, history, keep_until(effect.keep_until))
            case Deliver():
                yield INSERT_OUTBOX, _outbox_row(effect.message, loaded.now, sealer)
            case PutAuthenticator():
                yield _putauthenticator(effect.authenticator)
                if effect.authenticator.revision == 0 and effect.authenticator.passkey is not None:
                    yield INSERT_PASSKEY, (effect.authenticator.passkey.credential, effect.authenticator.id)
            case PutReserve():
                yield _put_reserve(effect.reserve)
            case PutGrant():
                yield _put_grant(effect.grant)
            case RevokeGrants():
                yield REVOKE_GRANTS, (to_milliseconds(effect.at), effect.subject)
            case PutFootprint():
                yield REPLACE_FOOTPRINT, (effect.subject, encode(effect.footprint).decode())
            case PutEmergency():
                yield _put_emergency(effect)
            case Detect():
                yield REPLACE_DETECTION, _detection_row(effect)
            case Emit():
                yield from _emitted(effect, loaded.directory)
            case Silence():
                yield FORGET_SIGNALS if effect.all else SILENCE, (effect.stream,)
                if effect.all:
                    yield UNFOLLOW, (effect.stream,)
            case Follow():
                until = FOR_GOOD if effect.until is None else to_milliseconds(effect.until)
                yield FOLLOW, (effect.stream, effect.subject, until)
            case PutSubject():
                pass
            case PutGroup():
                yield _put_group(effect.group)
            case RemoveGroup():
                yield FORGET_GROUP, (effect.id, effect.id)
                yield DELETE_GROUP, (effect.id,)
            case Join():
                yield JOIN, (effect.member, effect.group)
            case Leave():
                yield LEAVE, (effect.member, effect.group)
            case PutDocument():
                yield PUT_ONE_DOCUMENT, document_row(effect.document)
            case RemoveDocument():
                yield REMOVE_ONE_DOCUMENT, (effect.kind, effect.id)
            case PutSigningKey():
                yield PUT_SIGNING_KEY, signing_key_row(effect.key, sealer)
            case _:
                assert_never(effect)
    for entry in signed_in.values():  # Of several in one change the last says it all.
        yield REPLACE_SIGN_IN, _sign_in_row(entry)


def _put_subject(subject: Subject, before: Subject | None) -> Iterator[Write]:
    """Yield the writes of a subject and, where they have changed, of its identifiers."""
    row = _subject_row(subject)
    extensions = [(n, v) for n, v in subject.attributes.items() if n.startswith(EXTENSION)]
    if subject.revision == 0:
        yield INSERT_SUBJECT, row
    else:
        yield UPDATE_SUBJECT, (*row, subject.revision)
        yield DELETE_EXTENSIONS, (subject.id,)
    for name, value in extensions:
        yield INSERT_EXTENSION, (subject.id, name.casefold(), text_of(value))
    if subject.revision > 0:
        if before is not None and before.id == subject.id and before.identifiers == subject.identifiers:
            return
        yield DELETE_IDENTIFIERS, (subject.id,)
    for key in keys_of(subject):
        yield INSERT_IDENTIFIER, (key, subject.id)


def keys_of(subject: Subject) -> Iterable[str]:
    """Return every key by which a subject is found, once each."""
    keys = dict.fromkeys((*(i.key for i in subject.identifiers), *(f.key for f in subject.foreign)))
    if subject.principal_name:
        keys[f"\n{subject.principal_name.lower()}"] = None
    return keys


def _subject_row(subject: Subject) -> Row:
    said, email = subject.attributes, subject.email
    return (
        encode(replace(subject, revision=subject.revision + 1)).decode(),
        text_of(said.get("displayName", "")),
        text_of(said.get("givenName", "")),
        text_of(said.get("surname", "")),
        text_of(said.get("mail") or (email.value if email else "")),
        subject.principal_name.casefold(),
        int(subject.status == "active"),
        "" if subject.risk.state == "none" else subject.risk.state.casefold(),
        to_milliseconds(subject.created_at),
        0 if subject.deleted_at is None else to_milliseconds(subject.deleted_at),
        subject.id,
    )


def signing_key_row(key: SigningKey, sealer: Sealer) -> Row:
    """Return a signing key as `PUT_SIGNING_KEY` takes it."""
    times = (
        None if time is None else to_milliseconds(time)
        for time in (key.created_at, key.activates_at, key.retires_at)
    )
    return key.kid, key.algorithm, *times, sealer.seal(SIGNING_KEY_PEM, key.kid, key.to_pem())


def text_of(value: Scalar) -> str:
    """Return a value as columns of text hold it, in its folded case."""
    return str(value).casefold()


def _put_group(group: Group) -> Write:
    revision = group.revision
    row = (
        encode(replace(group, revision=revision + 1)).decode(),
        text_of(group.name),
        to_milliseconds(group.created_at),
        group.id,
    )
    return (INSERT_GROUP, row) if revision == 0 else (UPDATE_GROUP, (*row, revision))


def document_row(document: Document) -> Row:
    """Return a document as `PUT_DOCUMENT` takes it."""
    value = document[1] if isinstance(document, tuple) else document
    return (*key_of(document), encode(value).decode())


def key_of(document: Document) -> tuple[DocumentKind, str]:
    """Return kind and id of a document."""
    match document:
        case Tenant():
            return "tenant", document.id
        case Client():
            return "client", document.id
        case Resource():
            return "resource", document.id
        case Policy():
            return "policy", document.id
        case IpLocation() | CountryLocation():
            return "location", document.id
        case Strength():
            return "strength", document.id
        case AuthenticationContext():
            return "context", document.id
        case SignUpFlow():
            return "sign_up_flow", document.id
        case Extension():
            return "extension", document.id
        case Listener():
            return "listener", document.id
        case Stream():
            return "stream", document.id
        case Transmitter():
            return "transmitter", document.id
        case BootstrapToken():
            return "bootstrap_token", document.id
        case Approval():
            return "approval", document.id
        case (kind, _):
            return "method", kind.value


def _putauthenticator(authenticator: Authenticator) -> Write:
    revision, state = authenticator.revision, authenticator.state
    body = encode(replace(authenticator, revision=revision + 1)).decode()
    if revision == 0:
        return INSERT_AUTHENTICATOR, (authenticator.id, authenticator.subject, state, body)
    return UPDATE_AUTHENTICATOR, (state, body, authenticator.id, revision)


def _put_reserve(reserve: Reserve) -> Write:
    revision = reserve.revision
    row = (encode(replace(reserve, revision=revision + 1)).decode(), reserve.subject)
    return (INSERT_RESERVE, row) if revision == 0 else (UPDATE_RESERVE, (*row, revision))


def _put_grant(grant: Grant) -> Write:
    revision = grant.revision
    body = encode(replace(grant, revision=revision + 1)).decode()
    end = keep_until(min(grant.idle_expires_at, grant.expires_at), GRANTS_KEPT)
    revoked_at = None if grant.revoked_at is None else to_milliseconds(grant.revoked_at)
    if revision == 0:
        return INSERT_GRANT, (grant.id, grant.subject, end, revoked_at, body)
    return UPDATE_GRANT, (end, revoked_at, body, grant.id, revision)


def _put_emergency(effect: PutEmergency) -> Write:
    case = effect.emergency.case
    row = (case.id if case else None, encode(effect.emergency).decode(), effect.subject)
    return (INSERT_EMERGENCY, row) if effect.revision == 0 else (UPDATE_EMERGENCY, (*row, effect.revision))


def _outbox_row(message: Message, now: datetime, sealer: Sealer) -> Row:
    body = sealer.seal(OUTBOX_BODY, message.id, encode(message))
    return to_milliseconds(now), to_milliseconds(message.expires_at), message.id, str(way(message)), body


def _emitted(emit: Emit, directory: Directory) -> Iterator[Write]:
    """Yield the rows of a signal: one for each receiver, who takes it or not whatever becomes of the others."""
    for stream in directory.streams.values():
        said = signals.heard_by(stream, emit)
        if said is None:
            continue
        statement = INSERT_SIGNAL if stream.every_subject or not said.subject else INSERT_WANTED_SIGNAL
        at, since = to_milliseconds(said.at), to_milliseconds(said.since or said.at)
        end = to_milliseconds(said.at + signals.SET_LIFETIME)
        about = (stream.id, said.subject, since)
        yield statement, (said.id, stream.id, said.subject, at, end, encode(said).decode(), *about)


def audit_row(record: Record, now: datetime) -> Row:
    """Return a record as the chain takes it, and `INSERT_AUDIT` with its number before and its link after."""
    return (
        to_milliseconds(now),
        record.action,
        record.reason,
        record.subject,
        record.client,
        record.correlation_id,
        encode(record.detail).decode(),
        record.category,
    )


def _sign_in_row(effect: LogSignIn) -> Row:
    entry = effect.entry
    return (
        entry.id,
        to_milliseconds(entry.at),
        entry.correlation_id,
        entry.subject,
        entry.client,
        int(entry.interactive),
        entry.reason or "",
        keep_until(effect.keep_until),
        encode(entry).decode(),
    )


def sign_ins(execute: Execute, query: SignInQuery) -> tuple[SignIn, ...]:
    """Return entries of the sign-in log, newest first."""
    asked = (
        ("id = ?", query.id),
        ("correlation_id = ?", query.correlation_id),
        ("subject = ?", query.subject),
        ("client = ?", query.client),
        ("interactive = ?", None if query.interactive is None else int(query.interactive)),
    )
    return tuple(map(_sign_in, _newest(execute, SIGN_INS, query, asked)))


def _newest(
    execute: Execute,
    text: str,
    query: SignInQuery | DetectionQuery,
    asked: Iterable[tuple[str, str | int | None]],
) -> Iterator[str]:
    """Yield the bodies of a log's page, newest first; what is asked for None is not asked for."""
    conditions: list[str] = []
    values: list[str | int] = []
    since, until = (None if t is None else to_milliseconds(t) for t in (query.since, query.until))
    for condition, value in (*asked, ("at >= ?", since), ("at < ?", until)):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    if query.before is not None:
        conditions.append("(at, id) < (?, ?)")
        values += (to_milliseconds(query.before.at), query.before.id)
    where = " AND ".join(conditions) or "TRUE"
    for (body,) in execute(text.format(where), (*values, query.limit)).fetchall():
        yield body


def _detection_row(effect: Detect) -> Row:
    found = effect.detection
    end = keep_until(effect.keep_until)
    return found.id, to_milliseconds(found.at), found.subject, end, encode(found).decode()


def detections(execute: Execute, query: DetectionQuery) -> tuple[Detection, ...]:
    """Return what was found risky, newest first."""
    asked = (("id = ?", query.id), ("subject = ?", query.subject))
    return tuple(map(_detection, _newest(execute, DETECTIONS, query, asked)))


def audited(row: Row) -> Audited:
    """Return an audit row as a value."""
    seq, at, action, reason, subject, client, correlation_id, detail, category = row
    record = Record(
        action=action,
        category=category,
        reason=reason,
        subject=subject,
        client=client,
        correlation_id=correlation_id,
        detail=_detail(detail),
    )
    return Audited(seq=seq, at=from_milliseconds(at), record=record)
