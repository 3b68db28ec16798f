"""
The ways to get an account back, and how long each takes. Nobody can waive a delay.

A path is what must be shown, in items that are pairwise independent. Source: emergency-protocol 6.4.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise, permutations
from typing import Any, Literal, cast

from msgspec import Struct

from genkan.engine.emergency.case import Case, Claim, Code, Item, Parameters
from genkan.engine.emergency.evidence import dependence, standing

_HOUR = timedelta(hours=1)
_WEAK: frozenset[Code] = frozenset({"PW", "EM", "SM", "TO", "DS"})


class Path(Struct, frozen=True, kw_only=True):
    """One way. `needs` has a set of items for each that must be shown."""

    name: str
    needs: tuple[frozenset[Code], ...]
    delay: timedelta
    floor: timedelta
    """An operator may configure less than `delay`, never less than this."""
    when: Literal["always", "attested", "attested_weak", "never_had_mfa"] = "always"


def _path(
    name: str,
    needs: str,
    delay: int,
    floor: int,
    when: Literal["always", "attested", "attested_weak", "never_had_mfa"] = "always",
) -> Path:
    sets = tuple(_WEAK if words == "W" else frozenset(words.split("/")) for words in needs.split(" + "))
    return Path(name=name, needs=cast("Any", sets), delay=delay * _HOUR, floor=floor * _HOUR, when=when)


PATHS: tuple[Path, ...] = (
    _path("R1", "AN", 1, 1),
    _path("R2", "AN + SY/RC/TC/IV/DS/PW/EM/SM/TO", 1, 1),
    _path("R3", "IV + RC/TC/SY/PW/DS", 24, 12),
    _path("R4", "RC/TC/SY + RC/TC/SY", 24, 12),
    _path("R5", "IV", 72, 24),
    _path("R6", "RC + PW/DS", 72, 24),
    _path("R7", "TC + PW/DS", 72, 24),
    _path("R8", "RC/TC/SY/IV", 48, 24, "attested"),
    _path("R9", "W + W", 168, 72, "attested_weak"),
    _path("R10", "RC/TC", 72, 24, "never_had_mfa"),
)

ADDS = timedelta(hours=24)
"""What a new place, and a recovery not long ago, each add."""


def open_to(claim: Claim, case: Case, parameters: Parameters, *, had_mfa: bool) -> tuple[Path, ...]:
    """The paths that a claim's evidence satisfies, the quickest first."""
    items = standing(claim.items, case)
    is_attested = case.attested_at is not None
    is_open = {
        "always": True,
        "attested": is_attested,
        "attested_weak": is_attested and parameters.attested_weak,
        "never_had_mfa": not had_mfa,
    }
    found = [p for p in PATHS if is_open[p.when] and _meets(items, p, case)]
    return tuple(sorted(found, key=lambda path: delay_of(path, parameters)))


def _meets(items: tuple[Item, ...], path: Path, case: Case) -> bool:
    for chosen in permutations(items, len(path.needs)):
        if all(_code(i, case) in codes for i, codes in zip(chosen, path.needs, strict=True)) and not any(
            dependence(a, b) for a, b in pairwise(chosen)
        ):
            return True
    return False


def _code(item: Item, case: Case) -> Code:
    """A demoted anchor is worth as much as a synced passkey (5.4)."""
    return "SY" if item.method in case.demoted else item.code


def delay_of(path: Path, parameters: Parameters) -> timedelta:
    """What a path takes here, before modifiers. Whatever is configured, never below its floor."""
    return max(parameters.delays.get(path.name, path.delay), path.floor)


def modified(delay: timedelta, modifiers: tuple[str, ...]) -> timedelta:
    """What it takes in this case: sums first, then doublings. Modifiers only ever add."""
    for _ in {"new_place", "recovered_lately"}.intersection(modifiers):
        delay += ADDS
    for _ in {"lockdown", "two_claims"}.intersection(modifiers):
        delay *= 2
    return delay
