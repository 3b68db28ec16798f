"""How risky an attempt looks: each signal by itself, several together, and what nobody looked at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genkan.model import Place, Risk, RiskLevel
from genkan.risk import score
from genkan.risk.footprint import NOTHING, Footprint, Sighting, Visit, after
from genkan.risk.score import LEVELS, NO_RISK, SIGNS, UNKNOWN, assess, joined, worst

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LONDON = Place(country="GB", latitude=51.5, longitude=-0.12)
PARIS = Place(country="FR", latitude=48.85, longitude=2.35)
TOKYO = Place(country="JP", latitude=35.68, longitude=139.69)

HOME = Sighting(address="198.51.100.7", place=LONDON, device="iOS/app")
AT_HOME = after(NOTHING, HOME, NOW - HOUR) or NOTHING

risks = st.builds(
    lambda level, words: Risk(level=level, reasons=tuple(words) if level not in ("none", "hidden") else ()),
    st.sampled_from(LEVELS),
    st.lists(st.sampled_from(sorted(SIGNS)), min_size=1, max_size=3, unique=True),
)


def test_london_and_tokyo_are_as_far_apart_as_they_are() -> None:
    assert score.kilometres(LONDON, TOKYO) == pytest.approx(9559, abs=15)
    assert score.kilometres(LONDON, LONDON) == 0
    assert score.kilometres(
        Place(latitude=0, longitude=179), Place(latitude=0, longitude=-179)
    ) == pytest.approx(222, abs=1)
    assert score.kilometres(LONDON, Place(country="JP")) is None


@pytest.mark.parametrize(
    ("place", "hours", "too_fast"),
    [
        pytest.param(TOKYO, 9, True, id="half the world in nine hours"),
        pytest.param(TOKYO, 10, False, id="and in ten"),
        pytest.param(TOKYO, 0, True, id="at once"),
        pytest.param(TOKYO, -1, True, id="before it"),
        pytest.param(PARIS, 0, False, id="too near to tell"),
        pytest.param(Place(country="JP"), 0, False, id="nobody knows where"),
    ],
)
def test_nobody_travels_faster_than_an_aeroplane(place: Place, hours: int, too_fast: bool) -> None:
    last = Visit(place=LONDON, at=NOW - hours * HOUR)

    assert score.is_too_fast(last, place, NOW) is too_fast


@pytest.mark.parametrize("footprint", [None, NOTHING], ids=["no account", "nothing known"])
def test_where_there_is_nothing_to_compare_with_nothing_is_unfamiliar(footprint: Footprint | None) -> None:
    assert (
        assess(footprint, Sighting(address="203.0.113.9", place=TOKYO, device="x"), (), None, NOW) == NO_RISK
    )


def test_where_requests_have_no_addresses_no_network_is_new() -> None:
    assert assess(AT_HOME, Sighting(device="iOS/app"), (), None, NOW) == NO_RISK


def test_lists_count_without_an_account_too() -> None:
    found = assess(None, HOME, ("anonymizedIPAddress", "maliciousIPAddress"), None, NOW)

    assert found == Risk(level="high", reasons=("anonymizedIPAddress", "maliciousIPAddress"))


def test_two_signals_that_are_not_low_are_high_together() -> None:
    far = Sighting(address="203.0.113.9", place=TOKYO, device="iOS/app")

    later = assess(AT_HOME, far, (), None, NOW + 24 * HOUR)
    by_proxy = assess(AT_HOME, far, ("anonymizedIPAddress",), None, NOW + 24 * HOUR)

    assert (later.level, later.reasons) == ("medium", ("unfamiliarFeatures", "newCountry"))
    assert by_proxy.level == "high"


@pytest.mark.parametrize(
    ("listed", "outside", "level"),
    [
        pytest.param((), None, "none", id="nobody else is asked"),
        pytest.param((), Risk(level="none"), "none", id="and finds nothing"),
        pytest.param((), UNKNOWN, "hidden", id="does not answer: nobody knows"),
        pytest.param(("maliciousIPAddress",), UNKNOWN, "high", id="what is known all the same counts"),
        pytest.param((), Risk(level="medium", reasons=("x",)), "medium", id="finds something"),
        pytest.param(
            ("maliciousIPAddress",), Risk(level="low", reasons=("x",)), "high", id="the worst counts"
        ),
    ],
)
def test_what_a_service_says_or_does_not_say(
    listed: tuple[str, ...], outside: Risk | None, level: RiskLevel
) -> None:
    found = assess(AT_HOME, HOME, listed, outside, NOW)

    assert found.level == level
    assert set(found.reasons) >= set(listed) | set(outside.reasons if outside else ())


@settings(max_examples=300, deadline=None)
@given(risks, risks, risks)
def test_the_worst_of_two_is_at_least_either_in_whichever_order(one: Risk, other: Risk, third: Risk) -> None:
    both = worst(one, other)

    assert LEVELS.index(both.level) == max(LEVELS.index(one.level), LEVELS.index(other.level))
    assert set(both.reasons) == {*one.reasons, *other.reasons}
    assert both.level == worst(other, one).level
    assert worst(both, third).level == worst(one, worst(other, third)).level
    assert worst(one, one) == one


@settings(max_examples=300, deadline=None)
@given(risks, st.lists(st.sampled_from(sorted(SIGNS)), max_size=4))
def test_a_further_reason_never_lowers_a_level_and_is_named_once(risk: Risk, words: list[str]) -> None:
    found = joined(risk, *words)

    assert LEVELS.index(found.level) >= LEVELS.index(risk.level)
    assert len(set(found.reasons)) == len(found.reasons)
    assert set(found.reasons) == {*risk.reasons, *words}
    assert joined(found, *words) == found


def test_every_word_has_a_sentence_and_a_level_that_policies_know() -> None:
    for word, sign in SIGNS.items():
        assert score.sentence(word) == sign.why
        assert sign.why.endswith(".")
        assert sign.level in ("low", "medium", "high")
    assert score.sentence("somethingElse").endswith(".")
