"""
What an administrator reads: one person or group, lists of them by a filter, and who changed what.

Knows no driver. A filter becomes SQL here and nowhere else; every value of it is a parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from genkan.engine.messages import Directory, SignIn
from genkan.engine.queries import All, AuditQuery, Filter, Listed, Not, Order, Query, Some, Term, Value, fold
from genkan.engine.transaction import Audited, Loaded, Needs
from genkan.model import Authenticator, Group, Place, Subject
from genkan.store import sql

_subject = msgspec.json.Decoder(Subject).decode
_group = msgspec.json.Decoder(Group).decode
_entry = msgspec.json.Decoder(SignIn).decode

_ALL = 2**31 - 1

PEOPLE: dict[str, str] = {
    "id": "o.id",
    "displayName": "o.display_name",
    "givenName": "o.given_name",
    "surname": "o.surname",
    "mail": "o.mail",
    "principalName": "o.principal_name",
    "accountEnabled": "o.enabled",
    "riskState": "o.risk",
    "createdDateTime": "o.created_at",
    "deletedDateTime": "o.deleted_at",
}
GROUPS: dict[str, str] = {
    "id": "o.id",
    "displayName": "o.display_name",
    "createdDateTime": "o.created_at",
}
"""Properties that have a column."""

KEPT_AFTER_DELETION = timedelta(days=30)
"""So long a person who was deleted can be brought back, and their names stay taken (CAN-10)."""

IDENTITY = "identities"
"""The property whose value is a lookup key (`Identifier.key`, `ForeignIdentity.key`)."""

_EXTENSION = "SELECT 1 FROM subject_extension e WHERE e.subject = o.id AND e.name = ?"
_HIGHEST = "\U0010ffff"
"""Sorts after whatever may follow a prefix."""

_OPERATORS = {"eq": "=", "ge": ">=", "le": "<=", "gt": ">", "lt": "<"}

MEMBERS = """
SELECT m.member_id, s.body, g.body FROM membership m
  LEFT JOIN subject s ON s.id = m.member_id AND s.deleted_at = 0
  LEFT JOIN directory_group g ON g.id = m.member_id
 WHERE m.group_id = ? AND m.member_id > ? ORDER BY m.member_id LIMIT ?
"""
ALL_MEMBERS = """
WITH RECURSIVE inside (id) AS (
    SELECT member_id FROM membership WHERE group_id = ?
     UNION
    SELECT m.member_id FROM membership m JOIN inside i ON m.group_id = i.id
)
SELECT i.id, s.body, g.body FROM inside i
  LEFT JOIN subject s ON s.id = i.id AND s.deleted_at = 0
  LEFT JOIN directory_group g ON g.id = i.id
 WHERE i.id > ? ORDER BY i.id LIMIT ?
"""
GROUPS_OF = """
SELECT g.body FROM membership m JOIN directory_group g ON g.id = m.group_id
 WHERE m.member_id = ? AND g.id > ? ORDER BY g.id LIMIT ?
"""
ALL_GROUPS_OF = """
WITH RECURSIVE containing (id) AS (
    SELECT group_id FROM membership WHERE member_id = ?
     UNION
    SELECT m.group_id FROM membership m JOIN containing c ON m.member_id = c.id
)
SELECT g.body FROM containing c JOIN directory_group g ON g.id = c.id WHERE g.id > ? ORDER BY g.id LIMIT ?
"""
AUDITS = """
SELECT seq, at, action, reason, subject, client, correlation_id, detail, category FROM audit
 WHERE category <> '' AND {} ORDER BY seq DESC LIMIT ?
"""
GROUP = "SELECT body FROM directory_group WHERE id = ?"
IS_MEMBER = "SELECT 1 FROM membership WHERE member_id = ? AND group_id = ?"
EXPIRED = "SELECT body FROM subject WHERE deleted_at > 0 AND deleted_at <= ? LIMIT ?"
FORGET = (
    "DELETE FROM flow WHERE subject = ?",
    "DELETE FROM refresh_grant WHERE subject = ?",
    "DELETE FROM detection WHERE subject = ?",
    "DELETE FROM authenticator WHERE subject = ?",
    "DELETE FROM identifier WHERE subject = ?",
    "DELETE FROM subject_extension WHERE subject = ?",
    "DELETE FROM membership WHERE member_id = ?",
    "DELETE FROM signal_subject WHERE subject = ?",
    "DELETE FROM subject WHERE id = ?",
)
"""In this order, so that nothing refers to a row that is gone. Their codes, emergencies and networks go with them."""

ENTRIES = "SELECT id, body FROM sign_in WHERE subject = ?"
NAMELESS = "UPDATE sign_in SET body = ? WHERE id = ?"
OWN = {
    "methods": "SELECT body FROM authenticator WHERE subject = ? ORDER BY id",
    "codesOnPaper": "SELECT body FROM reserve WHERE subject = ?",
    "emergencies": "SELECT body FROM emergency WHERE subject = ?",
    "usualNetworks": "SELECT body FROM footprint WHERE subject = ?",
    "sessions": "SELECT body FROM refresh_grant WHERE subject = ? AND revoked_at IS NULL ORDER BY id",
    "signIns": "SELECT body FROM sign_in WHERE subject = ? ORDER BY at, id",
    "foundRisky": "SELECT body FROM detection WHERE subject = ? ORDER BY at, id",
}
"""Where what is kept about a person lies, by the names of the export."""
OWN_AUDIT = """
SELECT seq, at, action, reason, subject, client, correlation_id, detail, category FROM audit
 WHERE subject = ? ORDER BY seq
"""
"""Reads the whole table: for a person who asks, not for a step."""
SECRETS = frozenset(
    {"material", "previous", "digest", "head", "spent", "passkey", "handle", "ceremony", "ticket", "claims"}
)
"""What is kept to compare proofs with: of no use to its owner, and to nobody else a good one."""


class View:
    """What a step of an administrator may look at, in the transaction that will write its outcome."""

    def __init__(self, execute: sql.Execute, now: datetime, directory: Directory, has_groups: bool) -> None:
        self._execute = execute
        self._has_groups = has_groups
        self.now = now
        self.directory = directory

    def person(self, id: str) -> Subject | None:
        """Return a person, deleted ones too."""
        row = self._execute(sql.SUBJECT, (id,)).fetchone()
        return _subject(row[0]) if row else None

    def holder(self, key: str) -> Subject | None:
        """Return whose a name is (`Identifier.key`, `ForeignIdentity.key`, or a line break and a principal name)."""
        row = self._execute(sql.HOLDER, (key,)).fetchone()
        return _subject(row[0]) if row else None

    def authenticators(self, subject: str) -> tuple[Authenticator, ...]:
        """Return what proves a person, active ones only, oldest first."""
        return self.loaded(subject).authenticators

    def every_authenticator(self, subject: str) -> tuple[Authenticator, ...]:
        """Return whatever has ever proven a person, oldest first."""
        rows = self._execute(sql.EVERY_AUTHENTICATOR, (subject,)).fetchall()
        return tuple(sorted((sql.authenticator(body) for (body,) in rows), key=sql.by_age))

    def loaded(self, subject: str) -> Loaded:
        """Return all that a step about a person is decided on."""
        needs = Needs(subject=subject)
        return sql.load(self._execute, needs, self.now, self.directory, self._has_groups)

    def group(self, id: str) -> Group | None:
        """Return a group."""
        row = self._execute(GROUP, (id,)).fetchone()
        return _group(row[0]) if row else None

    def is_member(self, member: str, group: str) -> bool:
        """Say whether somebody is in a group directly."""
        return self._execute(IS_MEMBER, (member, group)).fetchone() is not None

    def containing(self, member: str) -> frozenset[str]:
        """Return every group that somebody is in, directly or through other groups."""
        return frozenset(group for (group,) in self._execute(sql.GROUPS, (member,)).fetchall())

    def history(self, bucket: str) -> tuple[int, ...]:
        """Return the history of a limit."""
        row = self._execute(sql.BUCKETS.format("?"), (bucket,)).fetchone()
        return sql.history_of(row[1]) if row else ()

    def existing(self, kind: Literal["subject", "group"], ids: Iterable[str]) -> frozenset[str]:
        """Return those of these people or groups that there are."""
        table = "directory_group" if kind == "group" else "subject"
        live = " AND deleted_at = 0" if kind == "subject" else ""
        found: set[str] = set()
        for some in _in_parts(tuple(ids)):
            marks = ",".join("?" * len(some))
            rows = self._execute(f"SELECT id FROM {table} WHERE id IN ({marks}){live}", some)  # noqa: S608
            found |= {id for (id,) in rows.fetchall()}
        return frozenset(found)


def people(execute: sql.Execute, query: Query, *, deleted: bool = False) -> Listed:
    """Return a page of people, deleted ones or the others."""
    live = "o.deleted_at > 0" if deleted else "o.deleted_at = 0"
    return _page(execute, query, "subject", PEOPLE, live, _subject)


def groups(execute: sql.Execute, query: Query) -> Listed:
    """Return a page of groups."""
    return _page(execute, query, "directory_group", GROUPS, "TRUE", _group)


def members(
    execute: sql.Execute, group: str, after: str, limit: int, *, transitive: bool = False
) -> tuple[tuple[str, Subject | Group | None], ...]:
    """Return the members of a group after this id, by id; beside an id None for what is no person and no group."""
    rows = execute(ALL_MEMBERS if transitive else MEMBERS, (group, after, limit)).fetchall()
    return tuple(
        (id, _subject(person) if person else _group(inner) if inner else None) for id, person, inner in rows
    )


def groups_of(
    execute: sql.Execute, member: str, after: str, limit: int, *, transitive: bool = False
) -> tuple[Group, ...]:
    """Return the groups that somebody is in after this id, by id."""
    rows = execute(ALL_GROUPS_OF if transitive else GROUPS_OF, (member, after, limit)).fetchall()
    return tuple(_group(body) for (body,) in rows)


def audits(execute: sql.Execute, query: AuditQuery) -> tuple[Audited, ...]:
    """Return changes by administrators, newest first."""
    asked: list[tuple[str, int]] = [
        (text, value)
        for text, value in (
            ("seq = ?", query.seq),
            ("seq < ?", query.before),
            ("at >= ?", None if query.since is None else sql.to_milliseconds(query.since)),
            ("at <= ?", None if query.until is None else sql.to_milliseconds(query.until)),
        )
        if value is not None
    ]
    where = " AND ".join(text for text, _ in asked) or "TRUE"
    rows = execute(AUDITS.format(where), (*(value for _, value in asked), query.limit)).fetchall()
    return tuple(sql.audited(row) for row in rows)


def expired(execute: sql.Execute, before: datetime, limit: int) -> list[str]:
    """Return the ids of people who were deleted before this time."""
    rows = execute(EXPIRED, (sql.to_milliseconds(before), limit)).fetchall()
    return [_subject(body).id for (body,) in rows]


def addresses(execute: sql.Execute, id: str) -> frozenset[str]:
    """Return wherever messages to a person go."""
    held = [sql.authenticator(body) for (body,) in execute(sql.EVERY_AUTHENTICATOR, (id,)).fetchall()]
    row = execute(sql.SUBJECT, (id,)).fetchone()
    names = _subject(row[0]).identifiers if row else ()
    return frozenset(i.value for i in (*names, *(a.target for a in held if a.target is not None)))


def forget(execute: sql.Execute, id: str) -> None:
    """Forget a person for good; the sign-in log goes on to know an id, and no name, network or place (PII-04)."""
    for entry, body in execute(ENTRIES, (id,)).fetchall():
        nameless = replace(_entry(body), name="", address="", place=Place())
        execute(NAMELESS, (sql.encode(nameless).decode(), entry))
    for text in FORGET:
        execute(text, (id,))


def export(execute: sql.Execute, id: str) -> dict[str, Any] | None:
    """Return everything that is kept about a person and is theirs to know, as values for JSON; None for nobody."""
    row = execute(sql.SUBJECT, (id,)).fetchone()
    if row is None:
        return None
    groups = [msgspec.json.decode(body) for (body,) in execute(GROUPS_OF, (id, "", _ALL)).fetchall()]
    own = {
        name: [_told(msgspec.json.decode(body)) for (body,) in execute(text, (id,)).fetchall()]
        for name, text in OWN.items()
    }
    changes = [sql.audited(row) for row in execute(OWN_AUDIT, (id,)).fetchall()]
    return {
        "person": _told(msgspec.json.decode(row[0])),
        "groups": [{"id": group["id"], "name": group["name"]} for group in groups],
        **own,
        "log": [
            {
                "at": one.at,
                "action": one.record.action,
                "reason": one.record.reason,
                "client": one.record.client,
            }
            for one in changes
        ],
    }


def _told(value: Any) -> Any:
    """A value without what only proofs are compared with."""
    if isinstance(value, dict):
        return {name: _told(one) for name, one in value.items() if name not in SECRETS}
    if isinstance(value, list):
        return [_told(one) for one in value]
    return value


# Filters. ------------------------------------------------------------------------------------------------------------


def _page(
    execute: sql.Execute,
    query: Query,
    table: str,
    columns: dict[str, str],
    live: str,
    decode: Callable[[str], Any],
) -> Listed:
    """Return a page. Pages go on after the last entry seen, so that none is lost or doubled while others are added."""
    order = query.order or Order("id")
    column = columns[order.name]
    direction, beyond = ("DESC", "<") if order.descending else ("ASC", ">")
    where, values = [live], list[Any]()
    if query.where is not None:
        where.append(_compiled(query.where, columns, values))
    count = None
    if query.count:
        text = f"SELECT count(*) FROM {table} o WHERE {' AND '.join(where)}"  # noqa: S608
        (count,) = execute(text, values).fetchone()
    if query.after is not None:
        where.append(f"({column}, o.id) {beyond} (?, ?)")
        values += query.after
    by = "o.id " + direction if order.name == "id" else f"{column} {direction}, o.id {direction}"
    rows = execute(
        f"SELECT o.id, {column}, o.body FROM {table} o WHERE {' AND '.join(where)} ORDER BY {by} LIMIT ?",  # noqa: S608
        (*values, query.limit + 1),
    ).fetchall()
    shown = rows[: query.limit]
    return Listed(
        entries=tuple(decode(body) for _, _, body in shown),
        after=(shown[-1][1], shown[-1][0]) if len(rows) > len(shown) else None,
        count=count,
    )


def _compiled(where: Filter, columns: dict[str, str], values: list[Any]) -> str:
    """Return a filter as SQL, its values appended. No column is ever null, so `NOT` means what it says."""
    match where:
        case All(terms):
            return "(" + " AND ".join(_compiled(t, columns, values) for t in terms) + ")" if terms else "TRUE"
        case Some(terms):
            return "(" + " OR ".join(_compiled(t, columns, values) for t in terms) + ")" if terms else "FALSE"
        case Not(term):
            return f"NOT {_compiled(term, columns, values)}"
        case Term(name, op, value):
            if name in columns:
                return "(" + _compared(columns[name], op, value, values) + ")"
            if name == IDENTITY:
                values.append(value)
                return "EXISTS (SELECT 1 FROM identifier i WHERE i.subject = o.id AND i.key = ?)"
            values.append(name.casefold())
            if value is None:
                return f"NOT EXISTS ({_EXTENSION})"
            return f"EXISTS ({_EXTENSION} AND {_compared('e.value', op, _text(value), values)})"


def _compared(column: str, op: str, value: Value | tuple[Value, ...], values: list[Any]) -> str:
    if op == "in":
        several = tuple(_parameter(v) for v in value) if isinstance(value, tuple) else ()
        values += several
        return f"{column} IN ({','.join('?' * len(several))})"
    one = _parameter(value)  # type: ignore[arg-type]
    if op in _OPERATORS:
        values.append(one)
        return f"{column} {_OPERATORS[op]} ?"
    text = str(one)
    if op == "startswith":
        values += (text, text + _HIGHEST)
        return f"{column} >= ? AND {column} <= ?"
    literal = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    if op == "endswith":
        values.append(f"%{literal}")
        return f"{column} LIKE ? ESCAPE '\\'"
    values += (f"{literal}%", f"% {literal}%")
    return f"{column} LIKE ? ESCAPE '\\' OR {column} LIKE ? ESCAPE '\\'"


def _parameter(value: Value) -> str | int:
    """Return a value as columns hold it."""
    match value:
        case None:
            return ""
        case bool():
            return int(value)
        case datetime():
            return sql.to_milliseconds(value)
        case str():
            return str(fold(value))
        case _:
            return value


def _text(value: Value | tuple[Value, ...]) -> Value | tuple[Value, ...]:
    """Return a value as the table of custom attributes holds it: everything is text there."""
    if isinstance(value, tuple):
        return tuple(str(v) for v in value)
    return str(value)


def _in_parts(ids: tuple[str, ...], size: int = 500) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
