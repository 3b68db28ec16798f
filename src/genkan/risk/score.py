"""
How risky an attempt looks, and why.

Every signal has a word, that of Graph's `riskEventType`, a level and a sentence; the attempt has the highest level of
its signals, and two that are not low make it high. What nobody has looked at is `hidden`, which is not `none`.
Pure and without memory: what an account is used to is its footprint.
Source: conditional-access 1, 4.4, 10; admin-graph-api 6.5; THR-05, THR-06.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from math import asin, cos, radians, sin, sqrt

from msgspec import Struct

from genkan.model import Place, Risk, RiskLevel
from genkan.risk.footprint import Footprint, Sighting, Visit, knows_country, knows_device, knows_network


class Sign(Struct, frozen=True):
    """What one signal means."""

    level: RiskLevel
    why: str


SIGNS = {
    "unfamiliarFeatures": Sign(
        "low", "It comes from a network or a kind of device that this account has not been signed in from."
    ),
    "newCountry": Sign("medium", "It comes from a country that this account has not been signed in from."),
    "impossibleTravel": Sign(
        "high", "It comes from so far away from the last sign-in that nobody could have got there since."
    ),
    "anonymizedIPAddress": Sign(
        "medium", "It comes through a network that hides who uses it, such as an anonymous proxy."
    ),
    "maliciousIPAddress": Sign("high", "It comes from a network that is on the list of bad ones."),
    "passwordSpray": Sign(
        "high", "Somebody is trying passwords at many accounts: this password, or from this network."
    ),
    "anomalousUserActivity": Sign("medium", "Many wrong proofs came shortly before the right one."),
    "passkeyCounterWentBack": Sign("high", "The counter of a passkey went back: there may be two of it."),
    "leakedCredentials": Sign("high", "The password is known from a leak."),
    "adminConfirmedUserCompromised": Sign(
        "high", "An administrator confirmed that the account is in the wrong hands."
    ),
    "investigationsThreatIntelligence": Sign("medium", "A service that was asked about it finds it risky."),
}
"""
Every reason there is. A network and a device that are both new are `medium`; what an outside service says beyond these
words has the last one's sentence.
"""

LEVELS: tuple[RiskLevel, ...] = ("hidden", "none", "low", "medium", "high")

_SERIOUS = ("medium", "high")

FASTEST_KM_PER_HOUR = 1000
FAR_KM = 500
"""Addresses are placed wrongly by some hundred kilometres, so near places prove nothing."""

MANY_FAILURES = 10
"""So many wrong proofs in a day before a right one, from where nobody knows, are worth a word."""

UNKNOWN = Risk()
NO_RISK = Risk(level="none")


def assess(
    footprint: Footprint | None,
    sighting: Sighting,
    listed: tuple[str, ...],
    outside: Risk | None,
    now: datetime,
) -> Risk:
    """
    Say how risky an attempt is by what it shows.

    Shapes:   `footprint` None: there is no account yet, or nothing to compare with. `listed` are words of the network
              lists; `outside` is what a service said that was asked, `hidden` when it did not answer in time, and
              None when none is asked.
    """
    found = NO_RISK if footprint is None else _unfamiliar(footprint, sighting, now)
    found = joined(found, *listed)
    if outside is None:
        return found
    if outside.level == "hidden":
        return found if found.reasons else UNKNOWN
    return worst(found, outside)


def _unfamiliar(footprint: Footprint, sighting: Sighting, now: datetime) -> Risk:
    """What is new; where nothing is known of an account everything would be, so nothing is."""
    found = NO_RISK
    has_network, has_device = bool(footprint.networks and sighting.network), bool(footprint.devices)
    new_network = has_network and not knows_network(footprint, sighting, now)
    new_device = has_device and not knows_device(footprint, sighting, now)
    if new_network or new_device:
        level: RiskLevel = "medium" if new_network and new_device else "low"
        found = Risk(level=level, reasons=("unfamiliarFeatures",))
    if footprint.countries and sighting.place.country and not knows_country(footprint, sighting, now):
        found = joined(found, "newCountry")
    if footprint.last is not None and is_too_fast(footprint.last, sighting.place, now):
        found = joined(found, "impossibleTravel")
    return found


def is_too_fast(last: Visit, place: Place, now: datetime) -> bool:
    """Nobody gets from there to here in that time."""
    distance = kilometres(last.place, place)
    if distance is None or distance < FAR_KM:
        return False
    hours = max((now - last.at) / timedelta(hours=1), 0.0)
    return distance > hours * FASTEST_KM_PER_HOUR


def kilometres(here: Place, there: Place) -> float | None:
    """The way along a great circle (haversine formula); None where a place is not known that well."""
    if here.latitude is None or here.longitude is None or there.latitude is None or there.longitude is None:
        return None
    north, south = radians(here.latitude), radians(there.latitude)
    half = (
        sin((south - north) / 2) ** 2
        + cos(north) * cos(south) * sin(radians(there.longitude - here.longitude) / 2) ** 2
    )
    return 2 * 6371.0 * asin(min(1.0, sqrt(half)))


def joined(risk: Risk, *words: str) -> Risk:
    """The same attempt with further reasons."""
    for word in words:
        if word in risk.reasons:
            continue
        level = SIGNS[word].level
        if level in _SERIOUS and risk.level in _SERIOUS:
            level = "high"
        risk = Risk(level=max(risk.level, level, key=LEVELS.index), reasons=(*risk.reasons, word))
    return risk


def worst(one: Risk, other: Risk) -> Risk:
    """What two looks at one attempt come to: the higher level, and the reasons of both."""
    reasons = tuple(dict.fromkeys((*one.reasons, *other.reasons)))
    return Risk(level=max(one.level, other.level, key=LEVELS.index), reasons=reasons)


def sentence(word: str) -> str:
    """Why a reason is one."""
    return SIGNS[word].why if word in SIGNS else SIGNS["investigationsThreatIntelligence"].why
