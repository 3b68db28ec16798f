"""A service outside that is asked before a text message: what it is told, and that only its yes is one."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from genkan import identifiers
from genkan.engine.messages import Cleared, NeedClearance, Signals
from genkan.model import Place, Secret
from genkan.service.telephony_risk import HttpTelephonyRisk
from tests.service.servers import outside

HERE = Signals(address="198.51.100.7", place=Place(country="GB"), platform="iOS", correlation_id="c")
PHONE = identifiers.phone("+447812345678")
assert PHONE is not None
NEED = NeedClearance(number=PHONE, subject="someone", enrolling=True)


async def asked(service: HttpTelephonyRisk) -> Cleared:
    try:
        return await service.ask(NEED, "app", HERE)
    finally:
        await service.close()


def test_it_is_told_the_number_and_what_the_message_is_for() -> None:
    with outside() as service:
        service.body = b'{"action": "allow", "more": 1}'

        found = asyncio.run(asked(HttpTelephonyRisk(f"{service.url}/ask", Secret("let me in"), 5)))

    path, headers, body = service.heard[0]
    assert found == Cleared(number=NEED.number.key, answer="allow")
    assert (path, headers["authorization"]) == ("/ask", "Bearer let me in")
    assert json.loads(body) == {
        "phoneNumber": "+447812345678",
        "purpose": "registration",
        "userId": "someone",
        "appId": "app",
        "ipAddress": "198.51.100.7",
        "country": "GB",
        "platform": "iOS",
        "clientAppType": "mobileAppsAndDesktopClients",
        "correlationId": "c",
    }


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (200, b'{"action": "block"}', "block"),
        (200, b'{"action": "Allow"}', "silent"),
        (200, b'{"allow": true}', "silent"),
        (200, b"", "silent"),
        (500, b'{"action": "allow"}', "silent"),
        (302, b'{"action": "allow"}', "silent"),
        (200, b'{"action": "allow", "why": "' + b"x" * 17_000 + b'"}', "silent"),
    ],
)
def test_nothing_but_its_yes_is_one(status: int, body: bytes, answer: str) -> None:
    with outside() as service:
        service.status, service.body = status, body

        assert asyncio.run(asked(HttpTelephonyRisk(service.url, None, 5))).answer == answer
    assert asyncio.run(asked(HttpTelephonyRisk(service.url, None, 5))).answer == "silent", "nobody is there"


def test_a_yes_after_the_deadline_is_none() -> None:
    with outside() as service:
        service.after, service.body = 3.0, b'{"action": "allow"}'
        began = time.monotonic()

        assert asyncio.run(asked(HttpTelephonyRisk(service.url, None, 0.1))).answer == "silent"
        assert time.monotonic() - began < 2
