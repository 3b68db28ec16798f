"""
The rules of the outbox: who may send a row, for how long, when it is tried again, and what is told of its end.

Knows no driver and no provider. Source: TIM-01, OTP-21, F-04, F-05, F-20.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from genkan.engine.messages import Record
from genkan.engine.transaction import Outgoing, Settled, Way
from genkan.identifiers import calling_code_of
from genkan.model import Channel, Message
from genkan.store import sql
from genkan.store.sealing import SealBroken, Sealer

LEASE = timedelta(seconds=60)
"""So long a worker may take to send; then the row may be another's."""

FIRST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(minutes=1)
"""Between attempts: doubled each time, up to this. A code lives five minutes; a longer wait would lose it."""
LONGEST_SHARE = 200
"""What lives longer may wait longer: up to this fraction of what is left of its life."""

_message = msgspec.json.Decoder(Message).decode


def lease(
    execute: sql.Execute,
    limit: int,
    now: datetime,
    sealer: Sealer,
    audit: Callable[[Record], None],
    channel: Way | None = None,
) -> list[Outgoing]:
    """
    Return up to `limit` rows that are due, each leased to the caller; of one channel, if one is named.

    Those past their end are dropped unsent, and so is a row that does not open, which would come back for ever; both
    are audited. A row whose earlier lease was never settled is given out as doubtful.
    """
    leased: list[Outgoing] = []
    moment = sql.to_milliseconds(now)
    until = sql.to_milliseconds(now + LEASE)
    way = channel or ""
    while len(leased) < limit:
        wanted = limit - len(leased)
        rows = execute(sql.DUE, (moment, moment, way, way, wanted)).fetchall()
        for row, attempts, end, leased_until, name, body in rows:
            try:
                message = _message(sealer.open(sql.OUTBOX_BODY, name, body))
            except SealBroken:
                execute(sql.DROP, (row,))
                audit(Record(action="message:unreadable", detail={"message": name, "row": row}))
                continue
            if end <= moment:
                execute(sql.DROP, (row,))
                audit(_ended("late", message, attempts))
                continue
            execute(sql.LEASE, (until, row))
            leased.append(Outgoing(id=row, message=message, attempts=attempts + 1, doubtful=leased_until > 0))
        if len(rows) < wanted:
            break
    return leased


def settle(
    execute: sql.Execute,
    settled: Sequence[Settled],
    now: datetime,
    sealer: Sealer,
    audit: Callable[[Record], None],
) -> None:
    """
    Forget the rows that came to an end. Others are due again after a wait, or dropped when that is too late.

    A row's end is audited where a provider has said something, and always when the message was not sent.
    """
    for one in settled:
        found = execute(sql.LEASED, (one.id,)).fetchone()
        if found is None:
            continue
        attempts, end, name, body = found
        how: str = one.how
        if how == "again":
            left = sql.from_milliseconds(end) - now
            due = sql.to_milliseconds(now + max(wait(one.id, attempts, left), one.wait or timedelta()))
            if due < end:
                execute(sql.GIVE_BACK, (due, one.id))
                continue
            how = "late"
        execute(sql.DROP, (one.id,))
        if one.provider or how != "sent":
            message = _message(sealer.open(sql.OUTBOX_BODY, name, body))
            audit(_ended(how, message, attempts, one))


def forget(execute: sql.Execute, addresses: Container[str], sealer: Sealer) -> None:
    """Drop, unsent, what waits for these addresses. Reads all that waits."""
    for row, name, body in execute(sql.WAITING, ()).fetchall():
        with suppress(SealBroken):  # It is dropped when it is due.
            if _message(sealer.open(sql.OUTBOX_BODY, name, body)).to in addresses:
                execute(sql.DROP, (row,))


def wait(row: int, attempts: int, left: timedelta) -> timedelta:
    """Return how long a message waits after so many attempts."""
    return backed_off(row, attempts, FIRST_WAIT, max(LONGEST_WAIT, left / LONGEST_SHARE))


def backed_off(row: int, attempts: int, first: timedelta, longest: timedelta) -> timedelta:
    """
    Return how long to wait after so many attempts: doubled each time, and spread by a quarter either way.

    The spread follows from the row and the attempt, so that rows which failed together do not return together.
    """
    span = min(first * 2.0 ** min(attempts - 1, 16), longest)
    spread = (row * 2654435761 + attempts * 40503) % 1000  # Knuth's multiplicative hash.
    return span * (750 + spread // 2) / 1000


def _ended(how: str, message: Message, attempts: int, one: Settled | None = None) -> Record:
    """What became of a message, for the operator alone (OTP-21). No address and no code is in it."""
    detail = {
        "message": message.id,
        "channel": message.channel.value,
        "purpose": message.purpose,
        "attempts": attempts,
    }
    if message.channel is Channel.SMS:
        detail["calling_code"] = calling_code_of(message.to)
    if one is not None:
        said = {"provider": one.provider, "reference": one.reference, "why": one.why}
        detail |= {name: value for name, value in said.items() if value}
    return Record(action=f"message:{how}", correlation_id=message.correlation_id, detail=detail)
