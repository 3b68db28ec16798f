"""
What a provider is: something that takes one message, and says what became of it.

The answers are four, and the difference between the last two is what keeps a code from being sent twice, or not at all.
Knows no provider and no storage. Source: MSG-11, F-04, F-05.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol, TypeAlias

from msgspec import Struct

from genkan.delivery.messages import Rendered
from genkan.model import Brand, Channel, Message


class Handed(Struct, frozen=True):
    """The provider has it and answers for it."""

    reference: str = ""
    """What the provider calls it."""


class Refused(Struct, frozen=True):
    """This person cannot be reached, by nobody and never."""

    why: str


class Failed(Struct, frozen=True, kw_only=True):
    """It was certainly not sent: another provider may try, or this one later."""

    why: str
    wait: timedelta | None = None
    """How long the provider asks to be left alone."""
    is_fault: bool = True
    """The provider is to blame, and not this message: after several in a row it is left alone for a while."""
    for_good: bool = False
    """This provider will never take this message."""


class Unclear(Struct, frozen=True):
    """The provider fell silent when the message was already on its way: perhaps it was sent."""

    why: str


Result: TypeAlias = Handed | Refused | Failed | Unclear

Tell: TypeAlias = Callable[[str], None]
"""Hears the conversation line by line, secrets left out: for `genkan doctor`."""


def silent(line: str) -> None:
    """Tell nobody."""


class Parcel(Struct, frozen=True, kw_only=True):
    """One message on its way to one provider."""

    message: Message
    said: Rendered
    brand: Brand
    within: float
    """Seconds by which the provider's answer is there, whatever the provider does."""
    lasts: float
    """Seconds after which nobody needs the message any more: a provider may let it wait no longer."""
    receipt: Callable[[str], str] | None = None
    """By the name of a provider, the address to which it may report what became of the message; or empty."""
    tell: Tell = silent


class Provider(Protocol):
    """A way out. In `why` stands what an operator needs, and never an address, a number or a code."""

    @property
    def name(self) -> str: ...

    @property
    def channel(self) -> Channel: ...

    @property
    def at_once(self) -> int:
        """How many messages it may be handed at the same time."""
        ...

    @property
    def repeats(self) -> bool:
        """It knows a message again by its id, so that one sent twice arrives once."""
        ...

    def takes(self, message: Message) -> bool:
        """Whether it is meant for this message."""
        ...

    async def hand_over(self, parcel: Parcel) -> Result: ...

    async def close(self) -> None: ...
