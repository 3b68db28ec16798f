"""
What something that was shown is worth: whether it counts, what it is independent of, and the rank of a claim.

A method counts only if it could not have come from the lost object. Knows nothing of states, paths or time passing.
Source: emergency-protocol 5.4, 6.1 to 6.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import combinations
from typing import Literal

from msgspec import Struct

from genkan.engine.emergency.case import (
    CODES,
    MEDIUM,
    STRONG,
    Case,
    Code,
    Device,
    Emergency,
    Item,
    Means,
    Method,
    Parameters,
    Refusal,
    Shown,
)

Class = Literal["A", "M", "W"]
"""Separate hardware that verified its user · paper, people, papers, a sync fabric · what one screen or head yields."""

CLASSES: dict[Code, Class] = {
    "AN": "A", "SY": "M", "RC": "M", "TC": "M", "IV": "M", "DS": "W", "PW": "W", "EM": "W", "SM": "W", "TO": "W",
}  # fmt: skip

RECENT = timedelta(days=7)
"""What was set by means of another so lately is not independent of it."""

UNUSED = timedelta(days=30)
"""A session that was not used for so long vouches for nobody (8)."""


class Rejected(Struct, frozen=True):
    """It does not count. `because` is for the audit: a client hears one word for all causes."""

    refusal: Refusal
    because: str


class World(Struct, frozen=True, kw_only=True):
    """What evidence is judged against."""

    now: datetime
    emergency: Emergency
    methods: tuple[Method, ...]
    parameters: Parameters
    proofed: bool
    """The account's owner was proofed before: there is an identity to compare with."""

    def method(self, id: str) -> Method | None:
        return next((m for m in self.methods if m.id == id), None)

    @property
    def quarantined(self) -> frozenset[str]:
        """Methods that score zero: by the case, and by outside signals that still stand."""
        case, doubts = self.emergency.case, self.emergency.doubts
        doubted = frozenset(d.method for d in doubts if self.now < d.until)
        return doubted | (case.quarantined if case else frozenset())


def judged(shown: Shown, key: str, world: World, *, containing: bool = False) -> Item | Rejected:
    """
    The item that was shown, if it counts.

    `containing`: it is only to hold the account. A method out of `expired` may do that again, though it scores zero
    for everything else, and a method need not be older than the emergency, unless its kind says so.
    """
    method = world.method(shown.method)
    if shown.key != key:
        return Rejected(Refusal.CLAIM_KEY_MISMATCH, "begun under another claim key")
    if method is None or not shown.right:
        is_passkey = method is not None and method.means is Means.PASSKEY
        return Rejected(Refusal.INVALID_ASSERTION if is_passkey else Refusal.INVALID_CODE, "wrong")
    if method.means is Means.PASSKEY and not (shown.verified and shown.counter_ok):
        return Rejected(
            Refusal.INVALID_ASSERTION, "counter went back" if shown.verified else "user not verified"
        )
    why = _flaw(method, shown, world, containing)
    if why:
        return Rejected(Refusal.EVIDENCE_NOT_ACCEPTED, why)
    return Item(
        id=shown.id,
        code="SY" if method.synced else CODES[method.means],
        method=method.id,
        devices=method.devices,
        has_place=method.has_place,
        touched_at=method.touched_at,
        changed_by=method.changed_by,
        resets=method.resets,
        at=shown.at,
    )


def _flaw(method: Method, shown: Shown, world: World, containing: bool) -> str:
    """Why a right proof does not count; empty if it does."""
    case, restored = world.emergency.case, world.emergency.restored
    opened_at = case.opened_at if case else world.now
    age = opened_at - method.touched_at
    is_held_again = containing and world.emergency.state == "expired"
    if restored is not None and method.id in restored.tombstones:
        return "tombstoned"
    if method.id in world.quarantined and not is_held_again:
        return "quarantined"
    if case is not None and (shown.id in case.burned or method.id in case.burned):
        return "used before"
    if method.means is Means.FREEZE_CODE:
        return "" if containing else "a freeze code can only freeze"
    if method.means is Means.PASSWORD and method.is_known_bad:
        return "known from a leak"
    if method.means in (Means.PASSKEY, Means.SESSION) and age < world.parameters.season_method:
        return "not seasoned"
    if method.means is Means.SESSION:
        last = method.used_at or method.created_at
        if opened_at - last > UNUSED:
            return "not used for long"
        if case is not None and method.devices & frozenset(case.lost):
            return "on a lost device"
    if method.means is Means.IDENTITY and not (world.proofed and shown.pinned):
        return "nobody to compare with" if not world.proofed else "not who was proofed before"
    if containing:
        return ""
    is_new = world.now - method.touched_at < world.parameters.new_method_cool
    if is_new and method.means is not Means.RECOVERY_CODE:
        return "too new"
    if method.changed_by in world.quarantined and world.now - method.touched_at < RECENT:
        return "set by means of a method that is quarantined"
    return ""


# Independence (6.2). --------------------------------------------------------------------------------

_GROUPS: dict[Code, str] = {"EM": "issued", "SM": "issued"}
"""Codes that we send are one kind of method, whatever they travel by."""


def dependence(a: Item, b: Item) -> str:
    """Why two items are not independent; empty if they are."""
    if _GROUPS.get(a.code, a.code) == _GROUPS.get(b.code, b.code):
        return "the same kind of method"
    if a.has_place and b.has_place and (not a.devices or not b.devices or a.devices & b.devices):
        return "may live on one device"
    for one, other in ((a, b), (b, a)):
        if one.changed_by == other.method and other.at - one.touched_at < RECENT:
            return "one was set by means of the other"
        if other.method in one.resets:
            return "one can reset the other"
    return ""


# Rank (6.3). ----------------------------------------------------------------------------------------


def standing(items: Iterable[Item], case: Case | None) -> tuple[Item, ...]:
    """The items that still count: what the case has condemned since scores zero."""
    return tuple(i for i in items if i.code != "FZ" and (case is None or i.method not in case.quarantined))


def class_of(item: Item, case: Case | None) -> Class:
    """Its class; that of a demoted anchor is M."""
    return "M" if case is not None and item.method in case.demoted else CLASSES[item.code]


def pairs(items: Iterable[Item]) -> Iterator[tuple[Item, Item]]:
    return ((a, b) for a, b in combinations(items, 2) if not dependence(a, b))


def rank(items: Iterable[Item], case: Case | None) -> int:
    """How strong a set of items is, from 0 to 7."""
    kept = standing(items, case)
    alone = {"A": 6, "M": 3, "W": 1}
    ranks = [0, *(4 if i.code == "IV" else alone[class_of(i, case)] for i in kept)]
    together = {"AM": 7, "AW": 7, "MM": 5, "MW": 4, "WW": 2}
    for a, b in pairs(kept):
        found = together["".join(sorted((class_of(a, case), class_of(b, case))))]
        ranks.append(5 if found == 4 and "IV" in (a.code, b.code) else found)
    return max(ranks)


def trigger_rank(item: Item) -> int:
    """What an item is worth for holding an account: a freeze code as much as a weak factor (P1)."""
    return 1 if item.code == "FZ" else rank((item,), None)


# Quarantine (5.4). ----------------------------------------------------------------------------------


class Lost(Struct, frozen=True, kw_only=True):
    """What somebody declares lost."""

    devices: tuple[str, ...] = ()
    """The phone first; a security key is named by its own device."""
    everything_on_phone: bool = False
    """Methods of which nobody knows where they live were on it."""
    recovery_codes: bool = False
    """The paper was with it."""


class Condemned(Struct, frozen=True, kw_only=True):
    """What a declaration comes to, by the strength of whoever makes it."""

    lost: tuple[str, ...]
    struck: str | None
    quarantined: frozenset[str]
    demoted: frozenset[str]


def condemned(
    lost: Lost, rank: int, case: Case | None, methods: tuple[Method, ...], devices: tuple[Device, ...]
) -> Condemned:
    """
    What is quarantined and what is demoted. Nobody can condemn what is stronger than they are (P4).

    Below the rank of an anchor one device is struck, and anchors on every further one are only demoted, so that a
    spiteful "all my devices" silences nobody.
    """
    own_keys = {d for m in methods if m.roaming for d in m.devices}
    fabrics = {d.id: d.fabric for d in devices}
    struck = case.struck if case else None
    quarantined: set[str] = set(case.quarantined if case else ())
    demoted: set[str] = set(case.demoted if case else ())
    known = set(case.lost if case else ())
    named = [d for d in dict.fromkeys(lost.devices) if d in fabrics or d in own_keys]
    for device in named:
        is_key = device in own_keys
        if not is_key and struck is None and device not in known:
            struck = device
        for method in methods:
            if not _lives_on(method, device, fabrics.get(device, "")):
                continue
            is_weaker = not method.is_anchor and (rank >= MEDIUM or not method.synced)
            if rank >= STRONG or is_weaker or (device == struck and not method.roaming):
                quarantined.add(method.id)
            elif method.is_anchor and not method.roaming:
                demoted.add(method.id)
    for method in methods:
        is_homeless = method.means in (Means.EMAIL, Means.SMS, Means.TOTP) and not method.devices
        if is_homeless and (lost.everything_on_phone or named):
            quarantined.add(method.id)
        if method.means is Means.RECOVERY_CODE and lost.recovery_codes and rank >= MEDIUM:
            quarantined.add(method.id)
    return Condemned(
        lost=tuple(dict.fromkeys((*(case.lost if case else ()), *named))),
        struck=struck,
        quarantined=frozenset(quarantined),
        demoted=frozenset(demoted) - quarantined,
    )


def _lives_on(method: Method, device: str, fabric: str) -> bool:
    if not method.has_place:
        return False
    if method.synced:
        is_same_fabric = bool(fabric) and method.fabric == fabric
        return device in method.devices or is_same_fabric or method.used_on == device
    return device in method.devices
