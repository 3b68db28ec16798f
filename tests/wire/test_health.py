"""Readiness: databases that answer, and whose clock is this machine's."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from genkan.exchange import Request
from genkan.wire import health

NOW = datetime(2030, 1, 1, tzinfo=UTC)


async def never() -> datetime:
    await asyncio.sleep(60)
    return NOW


@pytest.mark.parametrize(
    ("drift", "status"),
    [(timedelta(seconds=s), 200 if abs(s) <= 2 else 503) for s in (-3, -2, 0, 2, 3)],
)
def test_a_node_whose_clock_is_not_the_databases_gets_no_requests(drift: timedelta, status: int) -> None:
    async def look() -> datetime:
        return NOW + drift

    answer = asyncio.run(health.ready([look], lambda: NOW, Request(method="GET", path="/readyz")))

    assert answer.status == status
    assert ("two seconds apart" in str(msgspec.json.decode(answer.body))) == (status == 503)


def test_a_database_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE", timedelta(milliseconds=20))

    answer = asyncio.run(health.ready([never], lambda: NOW, Request(method="GET", path="/readyz")))

    assert answer.status == 503
    assert msgspec.json.decode(answer.body)["why"] == ["a database does not answer"]
