"""
Issue and judge one-time codes that travel by e-mail or SMS.

Knows nothing of flows, tries, limits, delivery, storage, the clock or randomness: the caller draws the code, passes
the time and counts. A code is kept only as its digest.
Source: SP 800-63B-4 3.1.3.2; OTP-02, OTP-06, OTP-07, OTP-17, OTP-23.
"""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta

from msgspec.structs import replace

from genkan.factors.interface import Right, Verdict, Wrong
from genkan.model import Authenticator, Challenge, Identifier, Kind, Reason

_WRONG = Wrong(reason=Reason.WRONG_CODE)

# What keyboards, messages and screen readers put between or in place of the digits (OTP-23). Digits of other scripts
# are no spelling of a code that anybody was sent.
_BLANKS = " \t\u00a0\u2007\u2009\u202f\u3000"
_HYPHENS = "-\u2010\u2011\u2012\u2013\u2014\u2212\uff0d"
_normal = str.maketrans("０１２３４５６７８９", "0123456789", _BLANKS + _HYPHENS)


def issue(
    kind: Kind,
    target: Identifier | None,
    authenticator: Authenticator | None,
    *,
    length: int,
    lifetime: timedelta,
    now: datetime,
    challenge_id: str,
    code: str,
    key: bytes,
) -> Challenge:
    """
    Put the question whose answer is `code`, bound to the authenticator as it is at this moment.

    Shapes:   `kind` is one that sends codes; `target` is None of a code that goes nowhere; `authenticator` is None
              while an address is only being proven; `code` is `length` ASCII digits.
    """
    return Challenge(
        id=challenge_id,
        kind=kind,
        authenticator=None if authenticator is None else authenticator.id,
        authenticator_revision=0 if authenticator is None else authenticator.revision,
        target=target,
        answer=_digest(challenge_id, code, key),
        length=length,
        issued_at=now,
        expires_at=now + lifetime,
    )


def verify(
    challenge: Challenge, authenticator: Authenticator | None, text: str, now: datetime, key: bytes
) -> Verdict:
    """
    Right if `text` is the code of this challenge, in time, and its authenticator has not changed since.

    Shapes:   `authenticator` is the challenge's as it is stored now, None if it is gone or there never was one. The
              work is the same whatever is wrong, so a decoy's challenge takes as long as a real one.
    Refuses:  `wrong_code`, whatever the cause.
    """
    same = hmac.compare_digest(_digest(challenge.id, _normalised(text), key), challenge.answer)
    if not same & (now < challenge.expires_at) & _still_stands(challenge, authenticator):
        return _WRONG
    used = None if authenticator is None else replace(authenticator, last_used_at=now)
    return Right(challenge=challenge, authenticator=used, at=now)


def is_countable(challenge: Challenge, text: str) -> bool:
    """Say whether an answer uses a try: it does if it is as long as the code, whatever it is made of (OTP-23)."""
    return len(_normalised(text)) == challenge.length


def _still_stands(challenge: Challenge, authenticator: Authenticator | None) -> bool:
    """Say whether what the code was sent for is what it was (OTP-17)."""
    if authenticator is None:
        return challenge.authenticator is None
    return (
        authenticator.id == challenge.authenticator
        and authenticator.revision == challenge.authenticator_revision
        and authenticator.state == "active"
        and authenticator.kind == challenge.kind
    )


def _normalised(text: str) -> str:
    """Write an answer as the digits that were meant."""
    return text if text.isascii() and text.isdigit() else text.translate(_normal)


def _digest(challenge_id: str, code: str, key: bytes) -> bytes:
    """Reduce a code to what may be stored. An answer may hold anything, lone surrogates too, and none may fail here."""
    return hmac.digest(key, (challenge_id + code).encode("utf-8", "surrogatepass"), "sha256")
