"""
The rules of the outbox: who may send a row, for how long, and when it is tried again.

Knows no driver and no channel. Source: TIM-01, F-04, F-20.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from genkan.engine.messages import Record
from genkan.engine.transaction import Outgoing
from genkan.model import Message
from genkan.store import sql
from genkan.store.sealing import SealBroken, Sealer

LEASE = timedelta(seconds=60)
"""So long a worker may take to send; then the row may be another's."""

FIRST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(minutes=1)
"""Between attempts: doubled each time, up to this. A code lives five minutes; a longer wait would lose it."""

_message = msgspec.json.Decoder(Message).decode


def lease(
    execute: sql.Execute, limit: int, now: datetime, sealer: Sealer, linked: Callable[[sql.Row], sql.Row]
) -> list[Outgoing]:
    """
    Return up to `limit` rows that are due, each leased to the caller. Those past their end are dropped unsent.

    A row that does not open is dropped too, and audited: it would come back for ever. `linked` makes an audit row
    one of the chain.
    """
    leased: list[Outgoing] = []
    moment = sql.to_milliseconds(now)
    until = sql.to_milliseconds(now + LEASE)
    while len(leased) < limit:
        wanted = limit - len(leased)
        rows = execute(sql.DUE, (moment, moment, wanted)).fetchall()
        for row, attempts, end, name, body in rows:
            if end <= moment:
                execute(sql.DROP, (row,))
                continue
            try:
                message = _message(sealer.open(sql.OUTBOX_BODY, name, body))
            except SealBroken:
                execute(sql.DROP, (row,))
                lost = Record(action="outbox:unreadable", detail={"message": name, "row": row})
                execute(sql.INSERT_AUDIT.text, linked(sql.audit_row(lost, now)))
                continue
            execute(sql.LEASE, (until, row))
            leased.append(Outgoing(id=row, message=message, attempts=attempts + 1))
        if len(rows) < wanted:
            break
    return leased


def settle(execute: sql.Execute, sent: Sequence[int], failed: Sequence[int], now: datetime) -> None:
    """Forget the rows that were sent. The failed ones are due again after a wait, or dropped when that is too late."""
    for row in sent:
        execute(sql.DROP, (row,))
    for row in failed:
        if found := execute(sql.ATTEMPTS, (row,)).fetchone():
            attempts, end = found
            due = sql.to_milliseconds(now + wait(row, attempts))
            if due < end:
                execute(sql.GIVE_BACK, (due, row))
            else:
                execute(sql.DROP, (row,))


def wait(row: int, attempts: int) -> timedelta:
    """
    Return how long to wait after so many attempts: doubled each time, and spread by a quarter either way.

    The spread follows from the row and the attempt, so that rows which failed together do not return together.
    """
    span = min(FIRST_WAIT * 2.0 ** min(attempts - 1, 16), LONGEST_WAIT)
    spread = (row * 2654435761 + attempts * 40503) % 1000  # Knuth's multiplicative hash.
    return span * (750 + spread // 2) / 1000
