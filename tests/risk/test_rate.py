"""Limits: no window ever holds more than it may, and what is given back may be spent again."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genkan import identifiers
from genkan.model import Identifier, Kind
from genkan.risk import rate
from genkan.risk.rate import Limit

NOW = datetime(2026, 11, 24, 3, 33, tzinfo=UTC)
MILLISECOND, SECOND, MINUTE = timedelta(milliseconds=1), timedelta(seconds=1), timedelta(minutes=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NUMBER = Identifier("phone", "+442079460034", "+442079460034")

limits = st.builds(
    lambda windows: Limit("any", tuple((count, span * SECOND) for count, span in windows)),
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 40)), min_size=1, max_size=3),
)

# Seconds between one event and the next.
spends = st.lists(st.integers(0, 12), max_size=60)
spends_by_clocks_that_differ = st.lists(st.integers(-8, 12), max_size=60)
spends_and_refunds = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), max_size=60)


def holds(limit: Limit, log: list[int]) -> bool:
    """Say whether every window that ends with a spend holds at most its count."""
    return all(
        sum(end - span // MILLISECOND < at <= end for at in log) <= count
        for count, span in limit.windows
        for end in log
    )


def spent(limit: Limit, *times: datetime) -> tuple[int, ...]:
    """A history of spends that were all allowed."""
    history: tuple[int, ...] = ()
    for time in times:
        after = rate.spend(history, limit, time)
        assert after is not None
        history = after
    return history


@settings(max_examples=300, deadline=None)
@given(limits, spends_by_clocks_that_differ)
def test_no_window_ever_holds_more_than_its_count_even_if_clocks_differ(
    limit: Limit, gaps: list[int]
) -> None:
    now = NOW
    history: tuple[int, ...] = ()
    log: list[int] = []

    for gap in gaps:
        now += gap * SECOND
        after = rate.spend(history, limit, now)
        if after is not None:
            history = after
            log.append(history[-1])

    assert holds(limit, log)


@settings(max_examples=300, deadline=None)
@given(limits, spends_and_refunds)
def test_no_window_ever_holds_more_than_its_count_even_if_some_is_given_back(
    limit: Limit, happening: list[tuple[int, int]]
) -> None:
    now = NOW
    history: tuple[int, ...] = ()
    log: list[int] = []

    for gap, given_back in happening:
        now += gap * SECOND
        for at in history[:given_back]:
            history = rate.refund(history, at)
            log.remove(at)
        after = rate.spend(history, limit, now)
        if after is not None:
            history = after
            log.append(history[-1])

    assert holds(limit, log)


@settings(max_examples=300, deadline=None)
@given(limits, spends)
def test_a_limit_refuses_only_when_a_window_is_full_and_forgets_nothing_that_counts(
    limit: Limit, gaps: list[int]
) -> None:
    now = NOW
    history: tuple[int, ...] = ()
    log: list[int] = []
    surprises = []

    for gap in gaps:
        now += gap * SECOND
        at = rate.milliseconds(now)
        has_room = holds(limit, [*log, at])
        after = rate.spend(history, limit, now)
        if (after is not None) is not has_room:
            surprises.append(at)
        if after is not None:
            history = after
            log.append(at)

    assert surprises == []
    assert list(history) == log[len(log) - len(history) :]
    assert len(history) <= max(count for count, _ in limit.windows)


@settings(max_examples=300, deadline=None)
@given(limits, st.integers(0, 100))
def test_a_refund_undoes_a_spend(limit: Limit, later: int) -> None:
    history = spent(limit, NOW)

    after = rate.spend(history, limit, NOW + later * SECOND)

    if after is not None:
        back = rate.refund(after, after[-1])
        assert back == history[len(history) - len(back) :]
        assert rate.spend(back, limit, NOW + later * SECOND) == after


def test_a_refund_takes_one_spend_of_that_moment_and_no_other() -> None:
    history = (1, 2, 2, 3)

    results = [rate.refund(history, at) for at in (2, 0, 4, 1, 3)]

    assert results == [(1, 2, 3), history, history, (2, 2, 3), (1, 2, 2)]
    assert rate.refund((), 1) == ()


def test_a_clock_that_went_back_opens_no_window_anew() -> None:
    limit = Limit("two an hour", ((2, HOUR),))
    history = spent(limit, NOW, NOW + MINUTE)

    verdicts = [rate.spend(history, limit, NOW + offset) for offset in (-2 * HOUR, MINUTE, HOUR)]

    assert verdicts[:2] == [None, None]
    assert verdicts[2] == (rate.milliseconds(NOW + MINUTE), rate.milliseconds(NOW + HOUR))


@settings(max_examples=300, deadline=None)
@given(limits, st.lists(st.integers(0, 50), min_size=1, max_size=10))
def test_a_history_may_be_dropped_from_the_moment_named_and_not_before(limit: Limit, gaps: list[int]) -> None:
    now = NOW
    history: tuple[int, ...] = ()
    for gap in gaps:
        now += gap * SECOND
        history = rate.spend(history, limit, now) or history

    end = rate.keep_until(history, limit)
    at_the_end = rate.spend(history, limit, end)
    just_before = rate.spend(history, limit, end - MILLISECOND)

    assert at_the_end == rate.spend((), limit, end)
    assert just_before is None or just_before[0] == history[-1]


def test_an_empty_history_need_not_be_kept() -> None:
    until = rate.keep_until((), rate.SENDS)

    assert until < NOW


@pytest.mark.parametrize("part", [timedelta(0), timedelta(microseconds=1), timedelta(microseconds=999)])
def test_times_are_exact_to_the_millisecond(part: timedelta) -> None:
    found = [rate.milliseconds(NOW + ms * MILLISECOND + part) for ms in range(1000)]

    assert found == [rate.milliseconds(NOW) + ms for ms in range(1000)]


@pytest.mark.parametrize(
    ("limit", "windows"),
    [
        (rate.WRONG_GUESSES, ((10, HOUR), (30, DAY))),
        (rate.WRONG_GUESSES_SHORT, ((5, DAY),)),
        (rate.SENDS_OF_PURPOSE, ((5, 15 * MINUTE),)),
        (rate.SENDS, ((10, 15 * MINUTE),)),
        (rate.RESETS, ((3, HOUR), (10, DAY))),
        (rate.RESETS_FROM_NETWORK, ((20, HOUR),)),
        (rate.UNKNOWN_NAMES, ((20, HOUR),)),
        (rate.SMS_TO_NUMBER, ((3, 10 * MINUTE), (5, HOUR), (10, DAY))),
        (rate.sms_prefix_limit(20), ((20, HOUR),)),
        (rate.sms_code_limit(100), ((100, HOUR),)),
        (rate.SMS_FOR_SUBJECT, ((5, HOUR), (10, DAY))),
        (rate.SMS_FROM_ADDRESS, ((20, HOUR),)),
        (rate.SMS_FROM_NETWORK, ((30, HOUR),)),
        (rate.NUMBERS_TRIED, ((3, DAY),)),
        (rate.NUMBER_NEW, ((1, DAY),)),
    ],
    ids=lambda value: value.name if isinstance(value, Limit) else "",
)
def test_each_limit_allows_its_count_in_its_span_and_no_more(
    limit: Limit, windows: tuple[tuple[int, timedelta], ...]
) -> None:
    allowed = {span: 0 for _, span in windows}
    history: tuple[int, ...] = ()

    step = min(span / (2 * count) for count, span in windows)
    for turn in range(int(DAY / step)):
        after = rate.spend(history, limit, NOW + turn * step)
        if after is not None:
            history = after
            for span in allowed:
                allowed[span] += turn * step < span

    assert allowed == {span: count for count, span in windows}
    assert rate.spend(history, limit, NOW + 2 * DAY) is not None


@pytest.mark.parametrize(("length", "most"), [(8, 30 * 366), (6, 5 * 366)])
def test_a_year_of_patient_guessing_stays_under_the_published_chance(length: int, most: int) -> None:
    limit = rate.wrong_guesses(length)
    history: tuple[int, ...] = ()
    guesses = 0

    for turn in range(365 * 24 * 6):
        after = rate.spend(history, limit, NOW + turn * 10 * MINUTE)
        if after is not None:
            history, guesses = after, guesses + 1

    assert most - 400 < guesses <= most
    assert guesses / 10**length < 1 / 500


@pytest.mark.proves("CAN-07")
def test_codes_to_any_tag_of_a_mailbox_are_counted_together() -> None:
    typed = ["ada@example.com", "Ada+shop@Example.com", "ada+x+y@example.com"]

    found = [identifiers.email(text) for text in typed]

    accounts = {address.key for address in found if address}
    assert len(accounts) == 3
    assert len({rate.sends(address) for address in found if address}) == 1
    assert len({rate.sends_of_purpose(address, "sign_in") for address in found if address}) == 1


def test_every_counter_has_its_own_bucket() -> None:
    address = Identifier("email", "ada@example.com", "ada@example.com")
    neighbour = Identifier("phone", "+442079460035", "+442079460035")

    keys = [
        *(rate.guesses(subject, kind) for subject in ("ada", "bob") for kind in Kind),
        *(rate.sends(target) for target in (address, NUMBER, neighbour)),
        *(rate.sends_of_purpose(target, p) for target in (address, NUMBER) for p in ("sign_in", "mfa")),
        *(rate.sms_to_number(number) for number in (NUMBER, neighbour)),
        rate.sms_to_prefix(NUMBER),
        rate.sms_to_code(NUMBER),
        rate.sms_for_subject("ada"),
        rate.sms_from_address("192.0.2.7"),
        rate.sms_from_network("192.0.2.0/24"),
        rate.resets_from_network("192.0.2.0/24"),
        rate.unknown_names("192.0.2.0/24"),
        rate.numbers_tried("ada"),
        rate.resets("ada"),
        *(rate.number_new(subject, number) for subject in ("ada", "bob") for number in (NUMBER, neighbour)),
    ]

    assert len(set(keys)) == len(keys)
    assert rate.sms_to_prefix(NUMBER) == rate.sms_to_prefix(neighbour)
    assert all(len(key) < 60 for key in keys)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        ("192.0.2.255", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:1:2::7", "2001:db8:1::/48"),
        ("2001:db8:1:ffff::7", "2001:db8:1::/48"),
        ("2001:db8:2::7", "2001:db8:2::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_a_client_network_is_a_24_or_a_48(address: str, network: str) -> None:
    assert rate.network(address) == network


def test_no_bucket_shows_a_mailbox_a_number_or_a_client_address() -> None:
    address = Identifier("email", "ada@example.com", "ada@example.com")

    keys = [
        rate.guesses(address.place, Kind.EMAIL_OTP),
        rate.sends(address),
        rate.sends(NUMBER),
        rate.sends_of_purpose(NUMBER, "mfa"),
        rate.sms_to_number(NUMBER),
        rate.sms_to_prefix(NUMBER),
        rate.sms_from_address("192.0.2.7"),
        rate.sms_from_network("192.0.2.0/24"),
        rate.resets_from_network("192.0.2.0/24"),
        rate.unknown_names("192.0.2.0/24"),
        rate.number_new("ada", NUMBER),
    ]

    assert not any(clear in key for key in keys for clear in ("ada", "example", "44207", "192"))
