"""
The rules of signals that wait: who may send one, when it is tried again, when it is given up, and what is told of that.

A stream's rows are nobody else's, so no receiver waits for another. Knows no driver and no receiver.
Source: emergency-protocol 11; RFC 8935, RFC 8936; WHK-08.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from genkan.engine import signals
from genkan.engine.messages import Record, Signal
from genkan.engine.transaction import Dead, Taken, Waiting
from genkan.store import sql
from genkan.store.outbox import backed_off

LEASE: Final = timedelta(seconds=60)
FIRST_WAIT: Final = timedelta(seconds=2)
LONGEST_WAIT: Final = timedelta(hours=1)
"""Between attempts: doubled each time, up to this."""
GIVE_UP: Final = "Give up security event"
"""What it is called in the log that one was."""
DEAD_KEPT: Final = timedelta(days=30)
"""So long it can be seen what no receiver took."""
AT_ONCE: Final = 500

DUE: Final = """
SELECT id, attempts, body FROM signal
 WHERE stream = ? AND dead_at = 0 AND due_at <= ? AND leased_until <= ? AND (? = 'enabled' OR subject = '')
 ORDER BY id LIMIT ?
"""
"""A stream that is not enabled is told of its own status, and of nothing else."""
LEASED: Final = "UPDATE signal SET leased_until = ?, attempts = attempts + 1 WHERE id = ?"
UNTAKEN: Final = """
SELECT id, attempts, body FROM signal
 WHERE stream = ? AND dead_at = 0 AND (? = 'enabled' OR subject = '') ORDER BY id LIMIT ?
"""
ONE: Final = "SELECT id, attempts, body FROM signal WHERE stream = ? AND jti = ? AND dead_at = 0"
TAKEN: Final = "DELETE FROM signal WHERE id = ?"
AGAIN: Final = "UPDATE signal SET leased_until = 0, due_at = ? WHERE id = ?"
UNSENT: Final = "UPDATE signal SET leased_until = 0, attempts = attempts - 1 WHERE id = ?"
GIVEN_UP: Final = "UPDATE signal SET dead_at = ?, expires_at = ?, leased_until = 0, why = ? WHERE id = ?"
LATE: Final = (
    "SELECT id, stream, attempts, body FROM signal WHERE dead_at = 0 AND expires_at <= ? AND leased_until <= ?"
    " ORDER BY id LIMIT ?"
)
DEAD: Final = (
    "SELECT stream, attempts, dead_at, why, body FROM signal WHERE dead_at > 0 ORDER BY id DESC LIMIT ?"
)
REVIVED: Final = (
    "UPDATE signal SET dead_at = 0, why = '', attempts = 0, due_at = ?, expires_at = ?"
    " WHERE dead_at > 0 AND (? = '' OR jti = ?)"
)
WAITS: Final = "SELECT stream, dead_at > 0, count(*) FROM signal GROUP BY stream, dead_at > 0"

_signal = msgspec.json.Decoder(Signal).decode


def lease(execute: sql.Execute, stream: str, status: str, limit: int, now: datetime) -> list[Waiting]:
    """Return up to `limit` signals that are due, oldest first, each leased to the caller."""
    moment, until = sql.to_milliseconds(now), sql.to_milliseconds(now + LEASE)
    found = execute(DUE, (stream, moment, moment, status, limit)).fetchall()
    for row, _, _ in found:
        execute(LEASED, (until, row))
    return [Waiting(signal=_signal(body), attempts=attempts + 1) for _, attempts, body in found]


def untaken(execute: sql.Execute, stream: str, status: str, limit: int) -> list[Waiting]:
    """Return up to `limit` signals that a receiver who asks for them has not acknowledged, oldest first."""
    found = execute(UNTAKEN, (stream, status, limit)).fetchall()
    return [Waiting(signal=_signal(body), attempts=attempts) for _, attempts, body in found]


def settle(
    execute: sql.Execute,
    stream: str,
    taken: Sequence[Taken],
    now: datetime,
    audit: Callable[[Record], None],
) -> None:
    """Forget what was taken, keep in sight what was refused, and make the rest due after a growing wait."""
    for one in taken:
        found = execute(ONE, (stream, one.id)).fetchone()
        if found is None:  # Acknowledged twice, or another stream's.
            continue
        row, attempts, body = found
        match one.how:
            case "taken":
                execute(TAKEN, (row,))
                audit(_record("signal:taken", stream, _signal(body), attempts))
            case "refused":
                _give_up(execute, row, stream, _signal(body), attempts, one.why, now, audit)
            case "again":
                due = now + max(wait(row, attempts), one.wait or timedelta())
                execute(AGAIN, (sql.to_milliseconds(due), row))
            case "unsent":
                execute(UNSENT, (row,))


def give_up(execute: sql.Execute, now: datetime, audit: Callable[[Record], None]) -> int:
    """Give up what no receiver took in its time; return how many."""
    moment = sql.to_milliseconds(now)
    found = execute(LATE, (moment, moment, AT_ONCE)).fetchall()
    for row, stream, attempts, body in found:
        why = f"nobody took it in {signals.SET_LIFETIME.days} days"
        _give_up(execute, row, stream, _signal(body), attempts, why, now, audit)
    return len(found)


def dead(execute: sql.Execute, limit: int) -> tuple[Dead, ...]:
    """Return what was given up, the latest first."""
    return tuple(
        Dead(
            signal=_signal(body), stream=stream, attempts=attempts, at=sql.from_milliseconds(dead_at), why=why
        )
        for stream, attempts, dead_at, why, body in execute(DEAD, (limit,)).fetchall()
    )


def revive(execute: sql.Execute, id: str, now: datetime) -> int:
    """Offer again what was given up: one of this id, or all; return how many."""
    end = sql.to_milliseconds(now + signals.SET_LIFETIME)
    return execute(REVIVED, (sql.to_milliseconds(now), end, id, id)).rowcount


def waiting(execute: sql.Execute) -> dict[str, tuple[int, int]]:
    """Return for each stream how many signals wait for it, and how many were given up."""
    found: dict[str, tuple[int, int]] = {}
    for stream, is_dead, count in execute(WAITS, ()).fetchall():
        waits, dead = found.get(stream, (0, 0))
        found[stream] = (waits, count) if is_dead else (count, dead)
    return found


def wait(row: int, attempts: int) -> timedelta:
    """Return how long a signal waits after so many attempts."""
    return backed_off(row, attempts, FIRST_WAIT, LONGEST_WAIT)


def _give_up(
    execute: sql.Execute,
    row: int,
    stream: str,
    signal: Signal,
    attempts: int,
    why: str,
    now: datetime,
    audit: Callable[[Record], None],
) -> None:
    until = sql.to_milliseconds(now + DEAD_KEPT)
    execute(GIVEN_UP, (sql.to_milliseconds(now), until, why, row))
    audit(_lost(stream, signal, attempts, why))


def _record(action: str, stream: str, signal: Signal, attempts: int) -> Record:
    detail = {"jti": signal.id, "stream": stream, "event": signal.event, "attempts": attempts}
    return Record(action=action, subject=signal.subject or None, detail=detail)


def _lost(stream: str, signal: Signal, attempts: int, why: str) -> Record:
    """What administrators find among the changes: it is for them to put right."""
    target = {"id": stream, "name": signal.event.rpartition("/")[2], "type": "Other"}
    changes = [
        {"name": name, "old": None, "new": str(value)} for name, value in (("jti", signal.id), ("why", why))
    ]
    return Record(
        action=GIVE_UP,
        category="ApplicationManagement",
        reason="unsent",
        subject=signal.subject or None,
        detail={
            "operation": "Delete",
            "actor": {"kind": "app", "id": "genkan", "name": "Genkan"},
            "targets": [{**target, "changes": changes}],
            "why": f"{why}, after {attempts} attempts",
        },
    )
