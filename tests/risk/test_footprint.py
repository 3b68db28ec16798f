"""What earlier sign-ins leave: bounded, forgotten in time, and written only when it says something new."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genkan.model import Place
from genkan.risk import footprint
from genkan.risk.footprint import (
    COUNTRIES,
    DEVICES,
    NETWORKS,
    NOTHING,
    REMEMBERED,
    Footprint,
    Sighting,
    after,
    knows_network,
)

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
HOME = Sighting(
    address="198.51.100.7", place=Place(country="GB", latitude=51.5, longitude=-0.1), device="iOS/app"
)
NEIGHBOUR = Sighting(address="198.51.100.201")
ELSEWHERE = Sighting(address="203.0.113.9", place=Place(country="JP", latitude=35.7, longitude=139.7))


def marked(*sightings: tuple[Sighting, timedelta]) -> Footprint:
    found = NOTHING
    for sighting, ago in sightings:
        found = after(found, sighting, NOW - ago) or found
    return found


@pytest.mark.proves("AVL-02")
def test_a_network_is_known_after_one_full_sign_in_and_so_are_its_neighbours() -> None:
    found = marked((HOME, DAY))

    assert knows_network(found, HOME, NOW)
    assert knows_network(found, NEIGHBOUR, NOW)
    assert not knows_network(found, ELSEWHERE, NOW)
    assert not knows_network(found, Sighting(), NOW), "no address is no proof"
    assert not knows_network(NOTHING, HOME, NOW)


def test_a_network_is_forgotten_when_it_was_not_used_for_long() -> None:
    found = marked((HOME, REMEMBERED))

    assert knows_network(found, HOME, NOW)
    assert not knows_network(found, HOME, NOW + MINUTE)


@pytest.mark.parametrize(
    ("sighting", "ago", "is_new"),
    [
        pytest.param(HOME, MINUTE, False, id="the same a minute later"),
        pytest.param(
            HOME, 2 * HOUR, True, id="hours later: when it was there last tells how fast it travels"
        ),
        pytest.param(Sighting(address="198.51.100.7", device="iOS/app"), 2 * HOUR, False, id="no place"),
        pytest.param(Sighting(address="198.51.100.7", device="iOS/app"), DAY, True, id="a day later"),
        pytest.param(ELSEWHERE, MINUTE, True, id="elsewhere"),
        pytest.param(Sighting(), MINUTE, False, id="nothing to see"),
    ],
)
def test_a_sign_in_is_written_down_only_when_it_says_something_new(
    sighting: Sighting, ago: timedelta, is_new: bool
) -> None:
    assert (after(marked((HOME, ago)), sighting, NOW) is not None) is is_new


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60 * 24 * 40)), max_size=60))
def test_a_footprint_is_bounded_and_knows_the_latest(steps: list[tuple[int, int]]) -> None:
    found, now = NOTHING, NOW
    for which, minutes in steps:
        now += minutes * MINUTE
        seen = Sighting(
            address=f"10.0.{which}.1", place=Place(country=f"{which:02}"), device=f"device {which}"
        )
        found = after(found, seen, now) or found

        assert knows_network(found, seen, now)
        assert found.networks[0].what == seen.network or now - found.networks[0].at < DAY

    assert len(found.networks) <= NETWORKS
    assert len(found.countries) <= COUNTRIES
    assert len(found.devices) <= DEVICES
    for seen_things in (found.networks, found.countries, found.devices):
        assert len({s.what for s in seen_things}) == len(seen_things)


def test_no_address_stands_in_it() -> None:
    assert "198.51" not in repr(marked((HOME, DAY)))
    assert Footprint() == footprint.NOTHING
