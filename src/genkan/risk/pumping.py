"""
Tell people from fraud by what becomes of their codes: people enter them, and whoever is paid per message does not.

A route is a calling code, or the ten thousand numbers around one. Its codes are counted by when they were sent, both
those sent and those used, so that the two are about the same codes. Pure; it is told the time.
Source: MSG-08, MSG-09; conditional-access 13.2.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from datetime import datetime, timedelta
from typing import Final, Literal

from genkan.risk.rate import milliseconds

WINDOW: Final = timedelta(hours=1)
ENOUGH: Final = 50
"""So many codes say something about a route; and so many it gets on trust."""
SHARE: Final = 30
"""Of a hundred codes, so many at least are used where people ask for them."""
GRACE: Final = timedelta(minutes=2)
"""A younger code may still be entered."""
CLOSED: Final = timedelta(hours=6)
LOST: Final = 20
"""So many messages that did not arrive say something about a way."""
KEPT: Final = 400
"""Codes of an hour that are remembered for a route: the newest."""

Verdict = Literal["open", "wait", "close"]


def judge(sent: tuple[int, ...], used: tuple[int, ...], now: datetime) -> Verdict:
    """
    Whether one more code may be sent on a route.

    `close`: of enough codes that had their time too few were used. `wait`: more are open than people have earned with
    those that they used; it passes as soon as codes are entered, so a crowd of people is held up for moments.
    Shapes: epoch milliseconds of when codes were sent, ascending.
    """
    at = milliseconds(now)
    begins = at - WINDOW // timedelta(milliseconds=1)
    if sent:  # No further back than is remembered of what was sent: the two must be about the same codes.
        begins = max(begins, sent[0] - 1)
    ripe = at - GRACE // timedelta(milliseconds=1)
    sent_old, used_old = _between(sent, begins, ripe), _between(used, begins, ripe)
    if sent_old >= ENOUGH and used_old * 100 < sent_old * SHARE:
        return "close"
    sent_all, used_all = _between(sent, begins, at), _between(used, begins, at)
    return "open" if (sent_all - ENOUGH) * SHARE < used_all * 100 else "wait"


def noted(history: tuple[int, ...], sent_at: datetime, now: datetime) -> tuple[int, ...]:
    """Add a code by when it was sent; those of more than an hour ago are forgotten."""
    begins = milliseconds(now) - WINDOW // timedelta(milliseconds=1)
    kept = list(history[bisect_right(history, begins) :])
    insort(kept, milliseconds(sent_at))
    return tuple(kept[-KEPT:])


def leads_nowhere(delivered: int, undelivered: int) -> bool:
    """Whether an operator must know that of the messages that carriers reported on in an hour most were lost."""
    return undelivered >= LOST and undelivered > delivered


def is_closed(history: tuple[int, ...], now: datetime) -> bool:
    """Whether a route that was closed at these times still is."""
    return bool(history) and milliseconds(now) < history[-1] + CLOSED // timedelta(milliseconds=1)


def _between(history: tuple[int, ...], after: int, until: int) -> int:
    """How many after one time and not after another."""
    return max(0, bisect_right(history, until) - bisect_left(history, after + 1))


# Money. ---------------------------------------------------------------------------------------------


def drawn(
    history: tuple[int, ...], price: int, per_day: int, per_month: int, now: datetime
) -> tuple[int, ...] | None:
    """
    Draw a price from a budget; None when it is not in it. 0 is no budget: as much as one likes.

    Shapes: the history is the day, what it has cost, the month, what it has cost; days and months are of UTC. A clock
    that is behind goes on in the later day.
    """
    today, month = now.toordinal(), now.year * 12 + now.month
    day_before, spent_day, month_before, spent_month = history if len(history) == 4 else (0, 0, 0, 0)
    today, month = max(today, day_before), max(month, month_before)
    spent_day = price + (spent_day if today == day_before else 0)
    spent_month = price + (spent_month if month == month_before else 0)
    if (per_day and spent_day > per_day) or (per_month and spent_month > per_month):
        return None
    return today, spent_day, month, spent_month


def warning(before: tuple[int, ...], after: tuple[int, ...], per_day: int, per_month: int) -> str:
    """What an operator must know of a budget that was just drawn from: `low` at four fifths, `spent` at the end."""
    crossed = ""
    for place, cap in ((1, per_day), (3, per_month)):
        is_same = len(before) == 4 and before[place - 1] == after[place - 1]
        had = before[place] if is_same else 0
        if cap and had < cap <= after[place]:
            return "spent"
        if cap and had * 5 < cap * 4 <= after[place] * 5:
            crossed = "low"
    return crossed
