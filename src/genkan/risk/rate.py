"""
Say whether a limit allows one more, and what its history is then.

A history is the exact log of what was spent, so every window is exact: there is no burst at the edge of a bucket.
Knows nothing of the clock, of storage, or of what is being limited; names in histories are the caller's.
Source: OTP-11 to OTP-13, THR-02 to THR-05, THR-10, AVL-01, AVL-02, MSG-07, CAN-07; native-auth-v1 10.5;
conditional-access 13.2.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from hashlib import blake2b, sha256
from ipaddress import ip_address, ip_network
from typing import Literal

from msgspec import Struct

from genkan.identifiers import base, calling_code
from genkan.model import Identifier, Kind

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Limit(Struct, frozen=True):
    """At most so many in every window, whichever moment it begins at; all windows hold together."""

    name: str
    windows: tuple[tuple[int, timedelta], ...]
    """(how many, in which span), in any order."""
    patience: int | None = None
    """After so many in a row each further one has to wait, longer each time (THR-04). None: nothing waits."""
    is_of_crowd: bool = False
    """It counts what many accounts were tried with, so that a full one tells of an attack on all of them."""

    @property
    def counts_in_a_row(self) -> bool:
        """What is right ends the row."""
        return any(span == IN_A_ROW for _, span in self.windows)


class Pool(Struct, frozen=True):
    """
    A limit for a crowd, too large for a log of every one: so many at once, and then as they drain.

    Its history is one number, the time at which the pool will be empty; a window may hold twice its count.
    """

    name: str
    count: int
    span: timedelta

    @property
    def each(self) -> int:
        """Milliseconds in which one drains."""
        return max(1, self.span // _MILLISECOND // self.count)


def spend(history: tuple[int, ...], limit: Limit | Pool, now: datetime) -> tuple[int, ...] | None:
    """
    Add one to a history, less what no window can see any more; None if the limit refuses.

    Shapes:   `history` is epoch milliseconds, ascending. Its last is the new one, which `refund` wants. A clock that
              is behind the history spends at the history's time: going back would open windows that are full.
    """
    at = milliseconds(now)
    if isinstance(limit, Pool):
        empty = max(history[0] if history else at, at) + limit.each
        return None if empty - at > limit.span // _MILLISECOND else (empty,)
    if history and history[-1] > at:
        at = history[-1]
    oldest = len(history)
    for count, span in limit.windows:
        inside = bisect_right(history, at - span // _MILLISECOND)
        if len(history) - inside >= count:
            return None
        oldest = min(oldest, inside)
    kept = history[oldest:]
    if limit.patience is not None and kept and at < kept[-1] + _wait(len(kept) - limit.patience):
        return None
    return (*kept, at)


FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=1)
"""Where progressive waits begin and end (THR-04)."""


def _wait(beyond: int) -> int:
    """Milliseconds to wait after so many beyond patience: doubled each time."""
    if beyond < 0:
        return 0
    return min(FIRST_WAIT * (1 << min(beyond, 16)), LONGEST_WAIT) // _MILLISECOND


def forgive(history: tuple[int, ...], now: datetime) -> tuple[int, ...]:
    """
    Forget what was counted in a row, because something was right; what is a day old or less goes on to count.

    So whoever guesses on gains nothing by the owner's success (OTP-13).
    """
    return history[bisect_right(history, milliseconds(now) - _DAY // _MILLISECOND) :]


def is_half_full(history: tuple[int, ...], limit: Limit | Pool, now: datetime) -> bool:
    """So much has been spent that something is going on."""
    if not history:
        return False
    if isinstance(limit, Pool):
        return 2 * (history[0] - milliseconds(now)) >= limit.span // _MILLISECOND
    return any(
        2 * (len(history) - bisect_right(history, milliseconds(now) - span // _MILLISECOND)) >= count
        for count, span in limit.windows
    )


def refund(history: tuple[int, ...], at: int) -> tuple[int, ...]:
    """
    Take one spend of that moment back; if it is no longer there, nothing is.

    After it the history may know an earlier time than before: windows stay exact while clocks do not go back past it.
    """
    place = bisect_left(history, at)
    if place == len(history) or history[place] != at:
        return history
    return history[:place] + history[place + 1 :]


def drain(history: tuple[int, ...], limit: Limit | Pool, at: int) -> tuple[int, ...]:
    """Take one spend back from either kind; `at` is what `spend` ended with."""
    if isinstance(limit, Pool):
        return (history[0] - limit.each,) if history else ()
    return refund(history, at)


def keep_until(history: tuple[int, ...], limit: Limit | Pool) -> datetime:
    """Name the moment from which this history is as good as an empty one."""
    if not history:
        return _EPOCH
    if isinstance(limit, Pool):
        return _EPOCH + history[0] * _MILLISECOND
    return _EPOCH + history[-1] * _MILLISECOND + max(span for _, span in limit.windows)


def paced(due: float, now: float, per_second: int) -> float | None:
    """
    Say whether one more request fits the pace, and when the next is due; None if it does not.

    For limits too fast to log each request: a burst of a second's worth is let through, then one at a time.
    Shapes: seconds; `due` is what the last call said, 0 at first. One that lies further ahead than it can, because
            the clock was set back, counts for nothing.
    """
    following = (due if now < due <= now + 1 + 1e-6 else now) + 1 / per_second
    return following if following <= now + 1 + 1e-6 else None


def milliseconds(at: datetime) -> int:
    """Write a time as histories do, exactly and rounded down."""
    return (at - _EPOCH) // _MILLISECOND


# The limits. ----------------------------------------------------------------------------------------

IN_A_ROW = timedelta(days=90)
"""How long a wrong guess counts as one in a row; a right proof ends the row earlier (OTP-12)."""

WRONG_CODES = Limit("wrong codes", ((10, _HOUR), (30, _DAY), (100, IN_A_ROW)))
"""Per account and method, over all flows and clients (OTP-11, OTP-12). Bucket: `guesses`."""

WRONG_CODES_SHORT = Limit("wrong codes", ((5, _DAY), (100, IN_A_ROW)))
"""The same where codes have fewer than eight digits: a year of guessing shall not find one of them (OTP-13)."""

STRANGERS_WRONG_CODES = Limit("strangers' wrong codes", ((7, _HOUR), (21, _DAY), (60, IN_A_ROW)))
"""What strangers may take of it: whatever they do, the owner keeps the rest (AVL-02). Bucket: `guesses_of_lane`."""

STRANGERS_WRONG_CODES_SHORT = Limit("strangers' wrong codes", ((3, _DAY), (60, IN_A_ROW)))
"""The same of the five a day."""

WRONG_CODES_OF_NOBODY = Limit("wrong codes of nobody", ((10, _HOUR), (30, _DAY)))
"""At addresses that nobody holds, many of which share a bucket (THR-10). Bucket: `guesses_of_nobody`."""

WRONG_PASSWORDS = Limit("wrong passwords", ((100, IN_A_ROW),))
"""Per account, of both lanes together (AVL-02). Bucket: `guesses`."""

WAITING_PASSWORDS = Limit("wrong passwords of a lane", ((100, IN_A_ROW),), patience=6)
"""One whole flow and the first try of the next, then ever longer waits (THR-04). Bucket: `guesses_of_lane`."""

STRANGERS_WRONG_PASSWORDS = Limit("strangers' wrong passwords", ((60, IN_A_ROW),), patience=6)
"""The same for strangers, who leave the owner the rest (AVL-02). Bucket: `guesses_of_lane`."""

PASSWORD_OF_NOBODY = Limit("wrong passwords of nobody", ((100, _DAY),), patience=6)
"""At names that nobody has (THR-10). Bucket: `guesses_of_nobody`."""

WRONG_SIGNATURES = Limit("wrong signatures of passkeys", ((20, _HOUR),))
"""
Per account and client network. Nobody guesses a signature, so only the work of it is bounded, and only for whoever
makes it: there is nothing of an account that others could use up (AVL-03). Bucket: `signatures`.
"""

WORK = Limit("use of an answered puzzle", ((1, timedelta(minutes=10)),))
"""One flow for each (THR-08). Bucket: `work`."""

SENDS_OF_PURPOSE = Limit("codes for one purpose", ((5, 15 * _MINUTE),))
"""Per target and purpose (native-auth-v1 10.5). Bucket: `sends_of_purpose`."""

SENDS = Limit("codes", ((10, 15 * _MINUTE),))
"""Per target, whatever the purpose (native-auth-v1 10.5). Bucket: `sends`."""

STRANGERS_SENDS_OF_PURPOSE = Limit("strangers' codes for one purpose", ((4, 15 * _MINUTE),))
"""What strangers may take of it, so that the owner still gets a code (AVL-01). Bucket: of strangers."""

STRANGERS_SENDS = Limit("strangers' codes", ((8, 15 * _MINUTE),))
"""The same of the other. Bucket: of strangers."""

DELETIONS = Limit("people deleted by one administrator", ((20, _HOUR),))
"""Beyond it a second administrator has to agree, where the tenant wants two (ADM-06). Bucket: `deletions`."""

RESETS = Limit("password resets", ((3, _HOUR), (10, _DAY)))
"""Reset flows that sent a code, per account (SSPR-08). Bucket: `resets`."""

STRANGERS_RESETS = Limit("strangers' password resets", ((2, _HOUR), (7, _DAY)))
"""What strangers may take of it (AVL-01). Bucket: of strangers."""

RESETS_FROM_NETWORK = Limit("password resets from a network", ((20, _HOUR),))
"""The same per client network (SSPR-08). Bucket: `resets_from_network`."""

POLLS = Limit("polls of a reset", ((10, timedelta(seconds=1)),))
"""Per flow (SSPR-05). Bucket: `polls`."""

UNKNOWN_NAMES = Limit("names that nobody has", ((20, _HOUR),))
"""How often a client network is told that there is no such account (ENUM-07). Bucket: `unknown_names`."""

NEW_NAMES = Limit("names asked for at sign-up", ((20, _HOUR),))
"""
How often a client network is told whether a name can be signed up, either answer counted: each is one (ENUM-07).
Bucket: `new_names`.
"""

REFUSALS_TOLD = Limit("refused sign-ins that an owner is told of", ((1, _HOUR), (3, _DAY)))
"""Notices of attempts that were refused as dangerous, per subject: a thief shall not flood the owner. Bucket:
`refusals_told`."""

NEW_PLACES_TOLD = Limit("texts about sign-ins from new places", ((1, _DAY),))
"""By text message; mailboxes are told of each. Bucket: `new_places_told`."""

SMS_TO_NUMBER = Limit("SMS to a number", ((3, 10 * _MINUTE), (5, _HOUR), (10, _DAY)))
"""Per number (MSG-07, conditional-access 13.2). Bucket: `sms_to_number`."""

SMS_FOR_SUBJECT = Limit("SMS for a person", ((5, _HOUR), (10, _DAY)))
"""Per subject (MSG-07, conditional-access 13.2). Bucket: `sms_for_subject`."""

SMS_FROM_ADDRESS = Limit("SMS from an address", ((20, _HOUR),))
"""Per client address (conditional-access 13.2). Bucket: `sms_from_address`."""

SMS_FROM_NETWORK = Limit("SMS from a network", ((30, _HOUR),))
"""Per client network (MSG-07). Bucket: `sms_from_network`."""

CLIENT_GUESSES = Limit("wrong proofs of a client", ((20, _HOUR),))
"""Wrong secrets and assertions of a confidential client, per client network (THR-01). Bucket: `client_guesses`."""

PAPERS_ISSUED = Limit("codes on paper issued", ((5, _DAY),))
"""Sheets of recovery codes and freeze codes per subject, each of which is told of everywhere. Bucket: `papers`."""

OWN_PASSWORD = Limit("wrong current passwords", ((5, _HOUR), (20, _DAY)))
"""Of somebody who is signed in and wants another password (PWD-06). Bucket: `own_password`."""

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
def sms_code_limit(per_hour: int, per_day: int) -> Limit | None:
    """Per calling code of a tenant (MSG-07, conditional-access 13.2); 0 switches either off. Bucket: `sms_to_code`."""
    windows = tuple((count, span) for count, span in ((per_hour, _HOUR), (per_day, _DAY)) if count)
    return Limit("SMS to a calling code", windows) if windows else None


SMS_CODE_TOLD = Limit("alarms of a calling code", ((1, _HOUR),))
"""How often an operator is told that a calling code has used up half of a limit. Bucket: `sms_code_told`."""


def wrong_codes(code_length: int) -> Limit:
    """Choose the limit that goes with codes of so many digits."""
    return WRONG_CODES if code_length >= 8 else WRONG_CODES_SHORT


def strangers_wrong_codes(code_length: int) -> Limit:
    """Choose what strangers may take of it."""
    return STRANGERS_WRONG_CODES if code_length >= 8 else STRANGERS_WRONG_CODES_SHORT


@cache
def network_limit(count: int) -> Limit:
    """Wrong guesses from a client network, at whichever accounts (THR-02, THR-05). Bucket: `guesses_from_network`."""
    return Limit("wrong guesses from a network", ((count, _HOUR),), is_of_crowd=True)


@cache
def password_limit(count: int) -> Limit:
    """One and the same wrong password, at whichever accounts and from wherever (THR-05). Bucket: `one_password`."""
    return Limit("one wrong password", ((count, _HOUR),), is_of_crowd=True)


@cache
def crowd(name: str, count: int) -> Pool:
    """Wrong guesses through an app, or in a tenant (THR-02). Buckets: `guesses_through_app`, `guesses_in_tenant`."""
    return Pool(name, count, _HOUR)


# Where each is counted. Numbers, mailboxes and client addresses stand in no key. --------------------


Lane = Literal["whole", "known", "strangers"]
"""
Whom a guess is charged to: a place that the account was fully signed in from before, or strangers (AVL-02).

`whole`: requests have no addresses here, so nobody can be told apart.
"""


def guesses(subject: str, kind: Kind) -> str:
    """Wrong guesses at one method of an account, of both lanes."""
    return f"guess/{kind.value}/{_hidden(subject)}"


def guesses_of_lane(subject: str, kind: Kind, lane: Lane) -> str:
    """The same, of one lane alone."""
    return f"{guesses(subject, kind)}/{lane}"


def guesses_of_nobody(place: str, kind: Kind) -> str:
    """Wrong guesses at a place that is nobody's: 2^18 buckets hold them all, whatever names are made up (THR-10)."""
    return f"guess/{kind.value}/nobody/{int(_hidden(place)[:8], 16) % 2**18:x}"


def signatures(owner: str, network: str, *, is_nobody: bool) -> str:
    """Wrong signatures at an account by a client network; of names that are nobody's as above (THR-10)."""
    slot = _hidden(f"{owner} {network}")
    return f"guess/passkey/nobody/{int(slot[:8], 16) % 2**18:x}" if is_nobody else f"guess/passkey/{slot}"


def guesses_from_network(network: str, kind: Kind) -> str:
    """Wrong guesses by a client network, with each kind of proof apart (THR-03)."""
    return f"guess/{kind.value}/network/{_hidden(network)}"


def guesses_through_app(client: str, kind: Kind) -> str:
    """Wrong guesses through an app."""
    return f"guess/{kind.value}/app/{client}"


def guesses_in_tenant(kind: Kind) -> str:
    """Wrong guesses in the tenant."""
    return f"guess/{kind.value}/tenant"


def one_password(text: str, key: bytes) -> str:
    """
    One password, wherever it is tried: 16 bits of a keyed digest, and nothing of whose it might be.

    That many tell a crowd that tries the same from one that does not; they would not help to guess it.
    """
    slot = blake2b(text.encode("utf-8", "surrogatepass"), key=key, digest_size=2, person=b"one password")
    return f"guess/one/{slot.hexdigest()}"


def work(text: str) -> str:
    """An answered puzzle, whatever its answer."""
    return f"work/{_hidden(text.partition(':')[0])}"


def of_strangers(bucket: str) -> str:
    """What strangers have taken of a budget."""
    return f"{bucket}/strangers"


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


def polls(flow: str) -> str:
    """Polls of a reset. `flow` is the id of its flow."""
    return f"poll/{flow}"


def unknown_names(network: str) -> str:
    """Names that nobody has, asked for by a client network."""
    return f"unknown/network/{_hidden(network)}"


def seats(owner: str, purpose: str, network: str) -> str:
    """Flows of one purpose about an account, or about a name that is nobody's, from a client network."""
    return f"seat/{purpose}/{_hidden(f'{owner}/{network}')}"


def new_names(network: str) -> str:
    """Names that a client network wanted to sign up."""
    return f"new/network/{_hidden(network)}"


def refusals_told(subject: str) -> str:
    """Notices to a person of sign-ins that were refused as dangerous."""
    return f"told/refused/{_hidden(subject)}"


def new_places_told(subject: str) -> str:
    """Text messages to a person about sign-ins from new places."""
    return f"told/place/{_hidden(subject)}"


DELETED = "deletions"
"""People whom administrators deleted, all of them together: one who has several clients gains nothing by them."""


def client_guesses(client: str, network: str) -> str:
    """Wrong secrets of a confidential client from a client network."""
    return f"client/{_hidden(f'{client}/{network}')}"


def assertion(client: str, text: str) -> str:
    """Whether a client has used this assertion before."""
    return f"assertion/{_hidden(f'{client}/{text}')}"


def sms_to_number(number: Identifier) -> str:
    """SMS to a number."""
    return f"sms/number/{_hidden(number.key)}"


def sms_to_prefix(number: Identifier) -> str:
    """SMS to the ten thousand numbers around a number."""
    return f"sms/prefix/{_hidden(number.key[:-4])}"


def sms_to_code(number: Identifier) -> str:
    """SMS to a number's calling code."""
    return f"sms/code/{calling_code(number)}"


def sms_code_told(number: Identifier) -> str:
    """Alarms of a number's calling code."""
    return f"sms/told/{calling_code(number)}"


def sms_sent(route: str) -> str:
    """Codes sent on a route (`risk.pumping`)."""
    return f"sms/sent/{_hidden(route)}"


def sms_used(route: str) -> str:
    """Those of them that were used."""
    return f"sms/used/{_hidden(route)}"


def sms_closed(route: str) -> str:
    """When a route was closed."""
    return f"sms/closed/{_hidden(route)}"


def receipt(message: str) -> str:
    """Whether how a message ended was told."""
    return f"sms/receipt/{_hidden(message)}"


def sms_receipts(calling_code: str, how: str) -> str:
    """Messages to a calling code that were told of as delivered, or as not."""
    return f"sms/{how}/{calling_code}"


def sms_undelivered_told(calling_code: str) -> str:
    """Alarms about what does not arrive at a calling code."""
    return f"sms/undelivered/told/{calling_code}"


def holders(target: Identifier) -> str:
    """Accounts that have a number or mailbox as a second factor; not times, but who (`engine.holders`)."""
    return f"holders/{_hidden(base(target))}"


def holders_told(target: Identifier) -> str:
    """Alarms about one that too many have."""
    return f"holders/told/{_hidden(base(target))}"


def sms_for_subject(subject: str) -> str:
    """SMS on behalf of a person."""
    return f"sms/subject/{_hidden(subject)}"


def sms_from_address(address: str) -> str:
    """SMS asked for by a client address."""
    return f"sms/address/{_hidden(address)}"


def sms_from_network(network: str) -> str:
    """SMS asked for by a client network."""
    return f"sms/network/{_hidden(network)}"


def papers(subject: str) -> str:
    """Codes on paper that were issued to a person."""
    return f"papers/{_hidden(subject)}"


def own_password(subject: str) -> str:
    """Wrong current passwords of a person who is signed in."""
    return f"password/own/{_hidden(subject)}"


def numbers_tried(subject: str) -> str:
    """Distinct numbers a person tried to register."""
    return f"number/tried/{_hidden(subject)}"


def number_new(subject: str, number: Identifier) -> str:
    """Whether a person tried this number."""
    return f"number/new/{_hidden(subject + number.key)}"


def hidden_network(address: str) -> str:
    """A client's network as it may be remembered."""
    return _hidden(network(address))


@lru_cache(maxsize=8192)
def network(address: str) -> str:
    """Name the block of addresses that one person is likely to have: a /24, of IPv6 a /48 (THR-02)."""
    try:
        own = ip_address(address)
    except ValueError:  # Not every transport has addresses.
        return address
    if own.version == 6 and own.ipv4_mapped is not None:  # the same client on a socket that speaks both
        own = own.ipv4_mapped
    return str(ip_network((own.packed, 24 if own.version == 4 else 48), strict=False))


def digest16(*parts: bytes | str) -> bytes:
    """16 bytes that stand for these, and tell nothing of them."""
    return sha256(b"".join(p if isinstance(p, bytes) else p.encode() for p in parts)).digest()[:16]


@lru_cache(maxsize=8192)
def _hidden(name: str) -> str:
    """Reduce a name to 128 bits of its digest: enough to tell any two apart, in a key that shows neither."""
    return sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
