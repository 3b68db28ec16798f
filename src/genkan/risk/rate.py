"""
Say whether a limit allows one more, and what its history is then.

A history is the exact log of what was spent, so every window is exact: there is no burst at the edge of a bucket.
Knows nothing of the clock, of storage, or of what is being limited; names in histories are the caller's.
Source: OTP-11, OTP-12, MSG-07, CAN-07; native-auth-v1 10.5; conditional-access 13.2.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from hashlib import sha256
from ipaddress import ip_address, ip_network

from msgspec import Struct

from genkan.identifiers import base, calling_code
from genkan.model import Identifier, Kind

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Limit(Struct, frozen=True):
    """At most so many in every window, whichever moment it begins at; all windows hold together."""

    name: str
    windows: tuple[tuple[int, timedelta], ...]
    """(how many, in which span), in any order."""


def spend(history: tuple[int, ...], limit: Limit, now: datetime) -> tuple[int, ...] | None:
    """
    Add one to a history, less what no window can see any more; None if the limit refuses.

    Shapes:   `history` is epoch milliseconds, ascending. Its last is the new one, which `refund` wants. A clock that
              is behind the history spends at the history's time: going back would open windows that are full.
    """
    at = milliseconds(now)
    if history and history[-1] > at:
        at = history[-1]
    oldest = len(history)
    for count, span in limit.windows:
        inside = bisect_right(history, at - span // _MILLISECOND)
        if len(history) - inside >= count:
            return None
        oldest = min(oldest, inside)
    return (*history[oldest:], at)


def refund(history: tuple[int, ...], at: int) -> tuple[int, ...]:
    """
    Take one spend of that moment back; if it is no longer there, nothing is.

    After it the history may know an earlier time than before: windows stay exact while clocks do not go back past it.
    """
    place = bisect_left(history, at)
    if place == len(history) or history[place] != at:
        return history
    return history[:place] + history[place + 1 :]


def keep_until(history: tuple[int, ...], limit: Limit) -> datetime:
    """Name the moment from which this history is as good as an empty one."""
    if not history:
        return _EPOCH
    return _EPOCH + history[-1] * _MILLISECOND + max(span for _, span in limit.windows)


def milliseconds(at: datetime) -> int:
    """Write a time as histories do, exactly and rounded down."""
    return (at - _EPOCH) // _MILLISECOND


# The limits. ----------------------------------------------------------------------------------------

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

WRONG_GUESSES = Limit("wrong guesses", ((10, _HOUR), (30, _DAY)))
"""Per account and method, over all flows and clients (OTP-11, OTP-12). Bucket: `guesses`."""

WRONG_GUESSES_SHORT = Limit("wrong guesses", ((5, _DAY),))
"""The same where codes have fewer than eight digits: a year of guessing shall not find one of them (OTP-13)."""

SENDS_OF_PURPOSE = Limit("codes for one purpose", ((5, 15 * _MINUTE),))
"""Per target and purpose (native-auth-v1 10.5). Bucket: `sends_of_purpose`."""

SENDS = Limit("codes", ((10, 15 * _MINUTE),))
"""Per target, whatever the purpose (native-auth-v1 10.5). Bucket: `sends`."""

RESETS = Limit("password resets", ((3, _HOUR), (10, _DAY)))
"""Reset flows that sent a code, per account (SSPR-08). Bucket: `resets`."""

RESETS_FROM_NETWORK = Limit("password resets from a network", ((20, _HOUR),))
"""The same per client network (SSPR-08). Bucket: `resets_from_network`."""

UNKNOWN_NAMES = Limit("names that nobody has", ((20, _HOUR),))
"""How often a client network is told that there is no such account (ENUM-07). Bucket: `unknown_names`."""

NEW_NAMES = Limit("names asked for at sign-up", ((20, _HOUR),))
"""
How often a client network is told whether a name can be signed up, either answer counted: each is one (ENUM-07).
Bucket: `new_names`.
"""

SMS_TO_NUMBER = Limit("SMS to a number", ((3, 10 * _MINUTE), (5, _HOUR), (10, _DAY)))
"""Per number (MSG-07, conditional-access 13.2). Bucket: `sms_to_number`."""

SMS_FOR_SUBJECT = Limit("SMS for a person", ((5, _HOUR), (10, _DAY)))
"""Per subject (MSG-07, conditional-access 13.2). Bucket: `sms_for_subject`."""

SMS_FROM_ADDRESS = Limit("SMS from an address", ((20, _HOUR),))
"""Per client address (conditional-access 13.2). Bucket: `sms_from_address`."""

SMS_FROM_NETWORK = Limit("SMS from a network", ((30, _HOUR),))
"""Per client network (MSG-07). Bucket: `sms_from_network`."""

NUMBERS_TRIED = Limit("numbers tried", ((3, _DAY),))
"""Distinct numbers per subject in registration (conditional-access 13.2). Bucket: `numbers_tried`; see `NUMBER_NEW`."""

NUMBER_NEW = Limit("a number tried anew", ((1, _DAY),))
"""
Allows a subject's number once a day; what it refuses has been tried already. Bucket: `number_new`.

`NUMBERS_TRIED` is spent from only when this one allows, and so counts distinct numbers.
"""


@cache
def sms_prefix_limit(count: int) -> Limit:
    """Per number less its last four digits, since pumping dials through blocks (MSG-07). Bucket: `sms_to_prefix`."""
    return Limit("SMS to neighbouring numbers", ((count, _HOUR),))


@cache
def sms_code_limit(count: int) -> Limit:
    """Per calling code of a tenant (conditional-access 13.2). Bucket: `sms_to_code`."""
    return Limit("SMS to a calling code", ((count, _HOUR),))


def wrong_guesses(code_length: int) -> Limit:
    """Choose the limit that goes with codes of so many digits."""
    return WRONG_GUESSES if code_length >= 8 else WRONG_GUESSES_SHORT


# Where each is counted. Numbers, mailboxes and client addresses stand in no key. --------------------


def guesses(subject: str, kind: Kind) -> str:
    """Wrong guesses at one method of an account. `subject` is its id, or for nobody's account the place guessed at."""
    return f"guess/{kind.value}/{_hidden(subject)}"


def sends(target: Identifier) -> str:
    """Codes to a mailbox, under whichever plus tag (CAN-07), or to a number."""
    return f"send/{_hidden(base(target))}"


def sends_of_purpose(target: Identifier, purpose: str) -> str:
    """The same for one purpose."""
    return f"send/{purpose}/{_hidden(base(target))}"


def resets(subject: str) -> str:
    """Password resets of an account, or of an address that is nobody's."""
    return f"reset/{_hidden(subject)}"


def resets_from_network(network: str) -> str:
    """Password resets asked for by a client network."""
    return f"reset/network/{_hidden(network)}"


def unknown_names(network: str) -> str:
    """Names that nobody has, asked for by a client network."""
    return f"unknown/network/{_hidden(network)}"


def new_names(network: str) -> str:
    """Names that a client network wanted to sign up."""
    return f"new/network/{_hidden(network)}"


def sms_to_number(number: Identifier) -> str:
    """SMS to a number."""
    return f"sms/number/{_hidden(number.key)}"


def sms_to_prefix(number: Identifier) -> str:
    """SMS to the ten thousand numbers around a number."""
    return f"sms/prefix/{_hidden(number.key[:-4])}"


def sms_to_code(number: Identifier) -> str:
    """SMS to a number's calling code."""
    return f"sms/code/{calling_code(number)}"


def sms_for_subject(subject: str) -> str:
    """SMS on behalf of a person."""
    return f"sms/subject/{_hidden(subject)}"


def sms_from_address(address: str) -> str:
    """SMS asked for by a client address."""
    return f"sms/address/{_hidden(address)}"


def sms_from_network(network: str) -> str:
    """SMS asked for by a client network."""
    return f"sms/network/{_hidden(network)}"


def numbers_tried(subject: str) -> str:
    """Distinct numbers a person tried to register."""
    return f"number/tried/{_hidden(subject)}"


def number_new(subject: str, number: Identifier) -> str:
    """Whether a person tried this number."""
    return f"number/new/{_hidden(subject + number.key)}"


def network(address: str) -> str:
    """Name the block of addresses that one person is likely to have: a /24, of IPv6 a /48 (THR-02)."""
    try:
        own = ip_address(address)
    except ValueError:  # Not every transport has addresses.
        return address
    if own.version == 6 and own.ipv4_mapped is not None:  # the same client on a socket that speaks both
        own = own.ipv4_mapped
    return str(ip_network((own.packed, 24 if own.version == 4 else 48), strict=False))


@lru_cache(maxsize=8192)
def _hidden(name: str) -> str:
    """Reduce a name to 128 bits of its digest: enough to tell any two apart, in a key that shows neither."""
    return sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
