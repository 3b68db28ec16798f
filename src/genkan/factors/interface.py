"""
What a factor is: a kind of authenticator, its traits, and how its proofs are judged.

Pure: the caller passes the time, the entropy and the key. `Right` carries the authenticator as it must be after use,
so verifying and burning are one value and cannot drift apart.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from genkan.model import Authenticator, Challenge, Channel, Kind, Reason


class Traits(Struct, frozen=True, kw_only=True):
    """What is true of every authenticator of a kind."""

    amr: str
    """The RFC 8176 word."""
    channel: Channel | None
    """How its codes travel; None where nothing is sent."""
    phishing_resistant: bool = False


TRAITS: dict[Kind, Traits] = {
    Kind.PASSWORD: Traits(amr="pwd", channel=None),
    Kind.EMAIL_OTP: Traits(amr="otp", channel=Channel.EMAIL),
    Kind.SMS_OTP: Traits(amr="sms", channel=Channel.SMS),
    Kind.PASSKEY: Traits(amr="pop", channel=None, phishing_resistant=True),
}


class Right(Struct, frozen=True, kw_only=True):
    """The proof was right. `authenticator` is as it must be from now on; None while an address is being proven."""

    challenge: Challenge
    authenticator: Authenticator | None
    at: datetime


class Wrong(Struct, frozen=True, kw_only=True):
    """The proof was not right."""

    reason: Reason


Verdict = Right | Wrong
