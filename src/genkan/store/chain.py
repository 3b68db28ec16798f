"""
The chain of the audit log: each row carries a digest over itself and the row before it.

Whoever alters, removes or inserts a row without the master key breaks it from there on. Rows cut off at the end leave
no trace in the database; for that the head of an earlier day is to be kept elsewhere and compared. Rows that are too
old to be kept are removed from the beginning, and an anchor says where the rest goes on from.
Knows nothing of what rows mean. Source: LOG-05, PII-06; docs/decisions/0011.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from genkan.store.sql import META, PUT_META, Execute, Row

OLDEST = "SELECT at FROM audit ORDER BY seq LIMIT 1"
HEAD = "SELECT seq, link FROM audit ORDER BY seq DESC LIMIT 1"
LINKS = """
SELECT seq, at, action, reason, subject, client, correlation_id, detail, category, link FROM audit
 WHERE seq > ? ORDER BY seq LIMIT ?
"""
AT_ONCE = 1000
REMOVE = "DELETE FROM audit WHERE seq <= ?"
FORGET = "DELETE FROM meta WHERE name = ?"

ANCHOR = "audit_anchor"
"""The name in `meta` of the last row that was removed: number, link, and a digest of both under the chain's key."""

_encode = msgspec.json.Encoder().encode


class Chained(Struct, frozen=True, kw_only=True):
    """What a look at the whole chain has found."""

    rows: int
    """Linked rows that are as they were written."""
    before: int
    """Rows of before there was a chain."""
    head: str
    """Number and link of the last row, as `7:5f0c…`; empty when there is none."""
    removed: int = 0
    """The number of the last row that was removed because it was too old; 0 when none was."""
    broken_at: int | None = None
    """The number of the first row that is not as it was written, or before which some are missing."""
    knows_head: bool | None = None
    """Whether the head asked for is in the chain; None when none was asked for, or it was removed long ago."""


class Trimmed(NamedTuple):
    """What was removed from the beginning."""

    rows: int
    until: int
    """The number of the last one."""
    broken_at: int | None
    """The first of them that was not as it was written."""


class _Anchor(NamedTuple):
    """What the first row is linked to."""

    seq: int = 0
    link: bytes = b""


class Chain:
    """Numbers and links the rows of one transaction after the other."""

    def __init__(self, key: bytes, execute: Callable[[], Execute]) -> None:
        self._key = key
        self._execute = execute
        self._head: tuple[int, bytes] | None = None

    def began(self, head: tuple[int, bytes | None] | None = None) -> None:
        """
        A transaction has begun, or something was undone in it: what the last row is must be read again.

        `head`: its number and link, where they have been.
        """
        self._head = None if head is None else (head[0], head[1] or b"")

    def linked(self, row: Row) -> Row:
        """Return an audit row with its number and its link; the next one is linked to it."""
        if self._head is None:
            found = self._execute()(HEAD, ()).fetchone() or _anchor(self._execute(), self._key)
            self._head = (found[0], found[1] or b"")
        seq = self._head[0] + 1
        link = _link(self._key, self._head[1], (seq, *row))
        self._head = seq, link
        return (seq, *row, link)


def verify(execute: Execute, key: bytes, expected: str | None = None) -> Chained:
    """Read the whole log and say whether it is as it was written; `expected` is a head noted earlier."""
    rows = before = 0
    anchor = last = _anchor(execute, key)
    wanted = expected.lower() if expected is not None else None
    noted = int(wanted.partition(":")[0]) if wanted is not None else 0
    is_known = None if wanted is None or noted < anchor.seq else wanted == _said(anchor)
    broken_at = None
    for *row, link in _all(execute):
        if link is None and not rows and not anchor.link:
            before += 1
            continue
        if not _is_linked(key, last.link, row, link):
            broken_at = row[0]
            break
        rows, last = rows + 1, _Anchor(row[0], link)
        if wanted == _said(last):
            is_known = True
    return Chained(
        rows=rows,
        before=before,
        head=_said(last) if last.link else "",
        removed=anchor.seq,
        broken_at=broken_at,
        knows_head=is_known,
    )


def trim(execute: Execute, key: bytes, until: int, limit: int) -> Trimmed | None:
    """
    Remove rows from the beginning that were written before `until` (milliseconds), `limit` at most.

    The rest can still be verified. Whether what goes was as it was written is looked at one last time.
    """
    last = _anchor(execute, key)
    rows, broken_at = 0, None
    for *row, link in execute(LINKS, (0, limit)).fetchall():
        if row[1] >= until:
            break
        if broken_at is None and (link or last.link) and not _is_linked(key, last.link, row, link):
            broken_at = row[0]
        rows, last = rows + 1, _Anchor(row[0], link or b"")
    if not rows:
        return None
    execute(REMOVE, (last.seq,))
    execute(PUT_META, (ANCHOR, f"{_said(last)}:{_seal(key, last).hex()}"))
    return Trimmed(rows, last.seq, broken_at)


def forget(execute: Execute) -> None:
    """A chain begins anew, from nothing."""
    execute(FORGET, (ANCHOR,))


def _anchor(execute: Execute, key: bytes) -> _Anchor:
    """Where the log goes on from. Of an anchor that nobody with the key has made nothing is believed."""
    found = execute(META, (ANCHOR,)).fetchone()
    if found is None:
        return _Anchor()
    try:
        seq, link, seal = found[0].split(":")
        anchor, sealed = _Anchor(int(seq), bytes.fromhex(link)), bytes.fromhex(seal)
    except ValueError:
        return _Anchor()
    return anchor if hmac.compare_digest(sealed, _seal(key, anchor)) else _Anchor()


def _seal(key: bytes, anchor: _Anchor) -> bytes:
    return hmac.digest(key, f"anchor {_said(anchor)}".encode(), "sha256")


def _said(place: _Anchor) -> str:
    return f"{place.seq}:{place.link.hex()}"


def _is_linked(key: bytes, previous: bytes, row: list[Any], link: bytes | None) -> bool:
    return link is not None and hmac.compare_digest(link, _link(key, previous, tuple(row)))


def _all(execute: Execute) -> Iterator[Row]:
    after = 0
    while found := execute(LINKS, (after, AT_ONCE)).fetchall():
        yield from found
        after = found[-1][0]


def _link(key: bytes, previous: bytes, row: Row) -> bytes:
    return hmac.digest(key, previous + _encode(row), "sha256")
