"""
Ask a service outside whether a text message with a code may go to a number, and send nothing where it does not say yes.

Whatever goes wrong, the answer is then `silent`, and stops the message: what is to keep fraud out may not be switched
off by whoever slows it down. It is told the number, so choose one that may know it.
Source: conditional-access 13, 13.2.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import Struct

from genkan.engine.messages import Cleared, NeedClearance, Signals
from genkan.model import Secret
from genkan.service.outside import Judge
from genkan.telemetry import log

LONGEST_ANSWER: Final = 16 * 1024


class _Said(Struct, frozen=True):
    """What the service may answer; what else it says is passed over."""

    action: Literal["allow", "block"]


_said = msgspec.json.Decoder(_Said)


class HttpTelephonyRisk:
    """A service that answers one POST of JSON with `allow` or `block`."""

    def __init__(self, url: str, token: Secret | None = None, deadline: float = 1.0) -> None:
        """`deadline` is in seconds."""
        self._judge = Judge(url, token, deadline, LONGEST_ANSWER)

    async def ask(self, need: NeedClearance, client: str, signals: Signals) -> Cleared:
        """Its answer, or `silent` when there is none before the deadline; it never raises."""
        about = {
            "phoneNumber": need.number.value,
            "purpose": "registration" if need.enrolling else "signIn",
            "userId": need.subject,
            "appId": client,
            "ipAddress": signals.address,
            "country": signals.place.country,
            "platform": signals.platform,
            "clientAppType": signals.client_app,
            "correlationId": signals.correlation_id,
        }
        try:
            said = _said.decode(await self._judge.ask(about))
        except Exception as fault:  # noqa: BLE001 - whatever it was, nobody said that it may be sent
            log.warning("telephony_risk.unanswered", extra={"reason": type(fault).__name__})
            return Cleared(number=need.number.key, answer="silent")
        return Cleared(number=need.number.key, answer=said.action)

    async def close(self) -> None:
        await self._judge.close()
