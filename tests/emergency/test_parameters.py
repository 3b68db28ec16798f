"""What an operator may set of the protocol, and what nobody can (emergency-protocol 5.2)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from genkan.engine.emergency.case import MEDIUM_BUDGET, WINDOW, Parameters

HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)

TABLE: tuple[tuple[str, timedelta, timedelta, timedelta | None], ...] = (
    ("hold_weak", 72 * HOUR, 24 * HOUR, 72 * HOUR),
    ("hold_weak_extend", 96 * HOUR, 0 * HOUR, 96 * HOUR),
    ("hold_budget", 168 * HOUR, 24 * HOUR, 168 * HOUR),
    ("hold_medium", 7 * DAY, 3 * DAY, 14 * DAY),
    ("hold_strong", 30 * DAY, 7 * DAY, 90 * DAY),
    ("watch", 7 * DAY, 3 * DAY, 30 * DAY),
    ("season_method", 7 * DAY, 3 * DAY, None),
    ("season_contact", 7 * DAY, 3 * DAY, None),
    ("touch2", HOUR, HOUR / 2, 24 * HOUR),
    ("objection_weak", 24 * HOUR, 0 * HOUR, 48 * HOUR),
    ("contest_max", 30 * DAY, 7 * DAY, 60 * DAY),
    ("ready_window", 72 * HOUR, 24 * HOUR, 7 * DAY),
    ("probation", 7 * DAY, 3 * DAY, None),
    ("undo", 30 * DAY, 14 * DAY, None),
    ("immunity", 30 * DAY, 7 * DAY, 90 * DAY),
    ("new_method_cool", 12 * HOUR, HOUR, 72 * HOUR),
)
"""Name, default, least, most; as the table of the protocol has them."""


@pytest.mark.parametrize(("name", "default", "least", "most"), TABLE, ids=[row[0] for row in TABLE])
def test_what_may_be_set_ends_where_the_protocol_says(
    name: str, default: timedelta, least: timedelta, most: timedelta | None
) -> None:
    def having(value: timedelta) -> timedelta:
        made: dict[str, Any] = {name: value}
        found: timedelta = getattr(Parameters(**made), name)
        return found

    assert getattr(Parameters(), name) == default
    assert having(least) == least
    with pytest.raises(ValueError, match=name):
        having(least - SECOND)
    if most is not None:
        assert having(most) == most
        with pytest.raises(ValueError, match=name):
            having(most + SECOND)


def test_what_nobody_can_set() -> None:
    assert (WINDOW, MEDIUM_BUDGET) == (90 * DAY, 30 * DAY)
