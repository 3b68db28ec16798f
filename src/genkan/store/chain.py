"""
The chain of the audit log: each row carries a digest over itself and the row before it.

Whoever alters, removes or inserts a row without the master key breaks it from there on. Rows cut off at the end leave
no trace in the database; for that the head of an earlier day is to be kept elsewhere and compared.
Knows nothing of what rows mean. Source: LOG-05.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator

import msgspec
from msgspec import Struct

from genkan.store.sql import Execute, Row

HEAD = "SELECT seq, link FROM audit ORDER BY seq DESC LIMIT 1"
LINKS = """
SELECT seq, at, action, reason, subject, client, correlation_id, detail, category, link FROM audit
 WHERE seq > ? ORDER BY seq LIMIT ?
"""
AT_ONCE = 1000

_encode = msgspec.json.Encoder().encode


class Chained(Struct, frozen=True, kw_only=True):
    """What a look at the whole chain has found."""

    rows: int
    """Linked rows that are as they were written."""
    before: int
    """Rows of before there was a chain."""
    head: str
    """The link of the last row, in hexadecimal; empty when there is none."""
    broken_at: int | None = None
    """The number of the first row that is not as it was written, or before which some are missing."""
    knows_head: bool | None = None
    """Whether the head asked for is in the chain; None when none was asked for."""


class Chain:
    """Numbers and links the rows of one transaction after the other."""

    def __init__(self, key: bytes, execute: Callable[[], Execute]) -> None:
        self._key = key
        self._execute = execute
        self._head: tuple[int, bytes] | None = None

    def began(self) -> None:
        """A transaction has begun, or something was undone in it: what the last row is must be read again."""
        self._head = None

    def linked(self, row: Row) -> Row:
        """Return an audit row with its number and its link; the next one is linked to it."""
        if self._head is None:
            found = self._execute()(HEAD, ()).fetchone()
            self._head = (found[0], found[1] or b"") if found else (0, b"")
        seq = self._head[0] + 1
        link = _link(self._key, self._head[1], (seq, *row))
        self._head = seq, link
        return (seq, *row, link)


def verify(execute: Execute, key: bytes, expected: str | None = None) -> Chained:
    """Read the whole log and say whether it is as it was written; `expected` is a head noted earlier."""
    rows = before = 0
    previous = b""
    is_known = None if expected is None else False
    for *row, link in _all(execute):
        if link is None and not rows:
            before += 1
            continue
        if link is None or not hmac.compare_digest(link, _link(key, previous, tuple(row))):
            return Chained(
                rows=rows, before=before, head=previous.hex(), broken_at=row[0], knows_head=is_known
            )
        rows, previous = rows + 1, link
        if expected is not None and link.hex() == expected.lower():
            is_known = True
    return Chained(rows=rows, before=before, head=previous.hex(), knows_head=is_known)


def _all(execute: Execute) -> Iterator[Row]:
    after = 0
    while found := execute(LINKS, (after, AT_ONCE)).fetchall():
        yield from found
        after = found[-1][0]


def _link(key: bytes, previous: bytes, row: Row) -> bytes:
    return hmac.digest(key, previous + _encode(row), "sha256")
