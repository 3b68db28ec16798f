"""A service outside that is asked about risk: what it is told, what its answer becomes, and how long it has."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from genkan.engine.messages import Signals
from genkan.model import Place, Risk, Secret
from genkan.risk.score import UNKNOWN
from genkan.service.risk_source import HttpRiskSource
from tests.service.servers import outside

HERE = Signals(address="198.51.100.7", place=Place(country="JP"), platform="iOS", correlation_id="c")


async def asked(source: HttpRiskSource) -> Risk:
    try:
        return await source.ask("someone", "app", HERE)
    finally:
        await source.close()


def test_it_is_told_what_the_request_shows_and_who_asks() -> None:
    with outside() as service:
        service.body = b'{"level": "none"}'

        found = asyncio.run(asked(HttpRiskSource(f"{service.url}/judge", Secret("let me in"), 5)))

    path, headers, body = service.heard[0]
    assert found == Risk(level="none")
    assert (path, headers["authorization"], headers["content-type"]) == (
        "/judge",
        "Bearer let me in",
        "application/json",
    )
    assert json.loads(body) == {
        "userId": "someone",
        "appId": "app",
        "ipAddress": "198.51.100.7",
        "country": "JP",
        "latitude": None,
        "longitude": None,
        "platform": "iOS",
        "clientAppType": "mobileAppsAndDesktopClients",
        "correlationId": "c",
    }


@pytest.mark.parametrize(
    ("said", "risk"),
    [
        ({"level": "high", "reasons": ["malwareInfectedIPAddress"]}, ("high", ("malwareInfectedIPAddress",))),
        ({"level": "low"}, ("low", ("investigationsThreatIntelligence",))),
        ({"level": "none", "reasons": ["x"]}, ("none", ())),
        ({"level": "hidden"}, ("hidden", ())),
        ({"level": "medium", "reasons": ["<b>", "a b", "ok", "x" * 65], "more": 1}, ("medium", ("ok",))),
    ],
    ids=lambda value: value.get("level") if isinstance(value, dict) else "",
)
def test_its_answer_is_a_level_and_words(said: dict[str, object], risk: tuple[str, tuple[str, ...]]) -> None:
    with outside() as service:
        service.body = json.dumps(said).encode()

        found = asyncio.run(asked(HttpRiskSource(service.url, None, 5)))

    assert (found.level, found.reasons) == risk


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b""), (200, b"[]"), (200, b'{"level": "extreme"}'), (500, b'{"level": "high"}'), (302, b"")],
)
def test_what_is_no_answer_is_unknown(status: int, body: bytes) -> None:
    with outside() as service:
        service.status, service.body = status, body

        assert asyncio.run(asked(HttpRiskSource(service.url, None, 5))) == UNKNOWN
    assert asyncio.run(asked(HttpRiskSource(service.url, None, 5))) == UNKNOWN, "nobody is there"


def test_nobody_waits_longer_than_the_deadline() -> None:
    with outside() as service:
        service.after, service.body = 3.0, b'{"level": "high"}'
        began = time.monotonic()

        found = asyncio.run(asked(HttpRiskSource(service.url, None, 0.1)))

        assert found == UNKNOWN
        assert time.monotonic() - began < 2
