"""
Ask a service outside how risky an attempt looks, and do not wait for it longer than a moment.

Whatever goes wrong, the answer is then `hidden`: that nobody knows is a level of its own, and no policy takes it for
anything else. What is told of a person is their id alone. Source: conditional-access 1, 4.4; THR-05.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from genkan.engine.messages import Signals
from genkan.model import Risk, RiskLevel, Secret
from genkan.risk.score import UNKNOWN
from genkan.service.outside import Judge
from genkan.telemetry import log

LONGEST_ANSWER: Final = 16 * 1024
MOST_REASONS: Final = 8


class _Said(Struct, frozen=True):
    """What the service may answer; what else it says is passed over."""

    level: RiskLevel
    reasons: tuple[str, ...] = ()


_said = msgspec.json.Decoder(_Said)


class HttpRiskSource:
    """A service that answers one POST of JSON with a level and reasons."""

    def __init__(self, url: str, token: Secret | None = None, deadline: float = 0.3) -> None:
        """`deadline` is in seconds."""
        self._judge = Judge(url, token, deadline, LONGEST_ANSWER)

    async def ask(self, subject: str | None, client: str, signals: Signals) -> Risk:
        """Its answer, or `hidden` when there is none before the deadline; it never raises."""
        place = signals.place
        about = {
            "userId": subject,
            "appId": client,
            "ipAddress": signals.address,
            "country": place.country,
            "latitude": place.latitude,
            "longitude": place.longitude,
            "platform": signals.platform,
            "clientAppType": signals.client_app,
            "correlationId": signals.correlation_id,
        }
        try:
            said = _said.decode(await self._judge.ask(about))
        except Exception as fault:  # noqa: BLE001 - whatever it was, nobody knows
            log.warning("risk.unanswered", extra={"reason": type(fault).__name__})
            return UNKNOWN
        words = tuple(word for word in said.reasons if word.isascii() and word.isalnum() and len(word) <= 64)
        is_risky = said.level not in ("none", "hidden")
        return Risk(
            level=said.level,
            reasons=(words[:MOST_REASONS] or ("investigationsThreatIntelligence",)) if is_risky else (),
        )

    async def close(self) -> None:
        await self._judge.close()
