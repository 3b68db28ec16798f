"""
Where an account was signed in from: enough to tell a place it knows from one that is new, and no more.

It knows networks (reduced to digests), countries and kinds of device, a handful of each, and the last place. Only a
full sign-in leaves a mark, and only one that says something new, so that most sign-ins write nothing here.
Knows nothing of levels of risk, of flows or of storage.
Source: AVL-02; SP 800-63B-4 3.2.2 (previously used addresses).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from genkan.model import Place
from genkan.risk import rate

NETWORKS, COUNTRIES, DEVICES = 12, 8, 8
"""How many of each are remembered, the latest."""

REMEMBERED = timedelta(days=180)
"""A network that was not used for so long is as good as new."""

RENEWED = timedelta(days=1)
"""A mark is written anew when it is older than this."""

LAST_RENEWED = timedelta(hours=1)
"""The same of the last place, whose time tells how fast somebody travels."""


class Seen(Struct, frozen=True):
    """One thing that was seen, and when it last was."""

    what: str
    at: datetime


class Visit(Struct, frozen=True, kw_only=True):
    """Where and when the account was last signed in to, where that is known."""

    place: Place
    at: datetime


class Footprint(Struct, frozen=True, kw_only=True):
    """What an account's earlier full sign-ins have left; the latest first."""

    networks: tuple[Seen, ...] = ()
    countries: tuple[Seen, ...] = ()
    devices: tuple[Seen, ...] = ()
    last: Visit | None = None


class Sighting(Struct, frozen=True, kw_only=True):
    """What a request shows of where it comes from."""

    address: str = ""
    place: Place = Place()
    device: str = ""
    """A platform and a kind of app, as the client says."""

    @property
    def network(self) -> str:
        """The client's network as it is remembered; empty where there are no addresses."""
        return rate.hidden_network(self.address) if self.address else ""


NOTHING = Footprint()


def knows_network(footprint: Footprint, sighting: Sighting, now: datetime) -> bool:
    """The account was signed in from this network before, and not too long ago."""
    return _knows(footprint.networks, sighting.network, now)


def knows_device(footprint: Footprint, sighting: Sighting, now: datetime) -> bool:
    return _knows(footprint.devices, sighting.device, now)


def knows_country(footprint: Footprint, sighting: Sighting, now: datetime) -> bool:
    return _knows(footprint.countries, sighting.place.country or "", now)


def _knows(seen: tuple[Seen, ...], what: str, now: datetime) -> bool:
    return what != "" and any(s.what == what and now - s.at <= REMEMBERED for s in seen)


def after(footprint: Footprint, sighting: Sighting, now: datetime) -> Footprint | None:
    """The footprint after a full sign-in; None where it says nothing new."""
    stepped = replace(
        footprint,
        networks=_noted(footprint.networks, sighting.network, now, NETWORKS),
        countries=_noted(footprint.countries, sighting.place.country or "", now, COUNTRIES),
        devices=_noted(footprint.devices, sighting.device, now, DEVICES),
    )
    if sighting.place != Place() and _moves(footprint.last, sighting.place, now):
        stepped = replace(stepped, last=Visit(place=sighting.place, at=now))
    return None if stepped == footprint else stepped


def _noted(seen: tuple[Seen, ...], what: str, now: datetime, most: int) -> tuple[Seen, ...]:
    if what == "" or any(s.what == what and now - s.at < RENEWED for s in seen):
        return seen
    others = (s for s in seen if s.what != what and now - s.at <= REMEMBERED)
    return (Seen(what, now), *others)[:most]


def _moves(last: Visit | None, place: Place, now: datetime) -> bool:
    return last is None or last.place != place or now - last.at >= LAST_RENEWED
