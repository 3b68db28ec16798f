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

LANES: tuple[rate.Lane, ...] = ("whole", "known", "strangers")

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


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 50), st.lists(st.floats(-3, 3), max_size=200))
def test_a_pace_is_never_more_than_twice_kept_in_a_second_and_once_on_the_whole(
    per_second: int, gaps: list[float]
) -> None:
    now, due, let_through = 1e9, 0.0, []
    for gap in gaps:
        now += abs(gap) / per_second
        following = rate.paced(due, now, per_second)
        if following is not None:
            due = following
            let_through.append(now)

    for begin, first in enumerate(let_through):
        for end, last in enumerate(let_through[begin:], begin + 1):
            assert end - begin <= per_second * (1 + last - first) + 1e-3


def test_a_burst_of_a_seconds_worth_is_let_through_and_then_one_at_a_time() -> None:
    due, at_once = 0.0, 0
    while (following := rate.paced(due, 1000.0, 20)) is not None:
        due, at_once = following, at_once + 1

    assert at_once == 20
    assert rate.paced(due, 1000.04, 20) is None
    assert rate.paced(due, 1000.051, 20) is not None
    assert rate.paced(due, 900.0, 20) is not None, "a clock that was set back holds nobody up"


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
        (rate.WRONG_CODES, ((10, HOUR), (30, DAY))),
        (rate.WRONG_CODES_SHORT, ((5, DAY),)),
        (rate.STRANGERS_WRONG_CODES, ((7, HOUR), (21, DAY))),
        (rate.STRANGERS_WRONG_CODES_SHORT, ((3, DAY),)),
        (rate.WRONG_CODES_OF_NOBODY, ((10, HOUR), (30, DAY))),
        (rate.network_limit(100), ((100, HOUR),)),
        (rate.password_limit(20), ((20, HOUR),)),
        (rate.STRANGERS_SENDS_OF_PURPOSE, ((4, 15 * MINUTE),)),
        (rate.STRANGERS_SENDS, ((8, 15 * MINUTE),)),
        (rate.STRANGERS_RESETS, ((2, HOUR), (7, DAY))),
        (rate.SENDS_OF_PURPOSE, ((5, 15 * MINUTE),)),
        (rate.SENDS, ((10, 15 * MINUTE),)),
        (rate.RESETS, ((3, HOUR), (10, DAY))),
        (rate.RESETS_FROM_NETWORK, ((20, HOUR),)),
        (rate.UNKNOWN_NAMES, ((20, HOUR),)),
        (rate.SMS_TO_NUMBER, ((3, 10 * MINUTE), (5, HOUR), (10, DAY))),
        (rate.sms_prefix_limit(20), ((20, HOUR),)),
        (rate.sms_code_limit(100, 0), ((100, HOUR),)),
        (rate.sms_code_limit(100, 1000), ((100, HOUR), (1000, DAY))),
        (rate.NEW_PLACES_TOLD, ((1, DAY),)),
        (rate.SMS_CODE_TOLD, ((1, HOUR),)),
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
    """What holds for a row of failures is for another test."""
    assert windows == tuple(window for window in limit.windows if window[1] != rate.IN_A_ROW)
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


@pytest.mark.proves("OTP-13")
@pytest.mark.parametrize(("length", "a_day"), [(8, 30), (6, 5)])
def test_a_year_of_patient_guessing_stays_under_the_published_chance(length: int, a_day: int) -> None:
    """The owner signs in every day, and so ends the row of failures each time: the daily cap must hold all the same."""
    limit = rate.wrong_codes(length)
    history: tuple[int, ...] = ()
    guesses = 0

    for turn in range(365 * 24 * 6):
        now = NOW + turn * 10 * MINUTE
        if turn % (24 * 6) == 0:
            history = rate.forgive(history, now)
        after = rate.spend(history, limit, now)
        if after is not None:
            history, guesses = after, guesses + 1

    assert a_day * 365 - 400 < guesses <= a_day * 366
    assert guesses / 10**length < 1 / 500


@pytest.mark.proves("OTP-12", "OTP-13", "AVL-02")
@pytest.mark.parametrize("length", [8, 6])
def test_without_a_success_no_more_than_a_hundred_codes_in_a_row_are_judged_in_both_lanes_together(
    length: int,
) -> None:
    whole, share = rate.wrong_codes(length), rate.strangers_wrong_codes(length)
    everybody: tuple[int, ...] = ()
    strangers: tuple[int, ...] = ()
    judged = {"strangers": 0, "known": 0}

    for turn in range(80 * 24):
        now = NOW + turn * HOUR
        for lane in judged:
            both = rate.spend(everybody, whole, now)
            mine = rate.spend(strangers, share, now) if lane == "strangers" else strangers
            if both is not None and mine is not None:
                everybody, strangers = both, mine
                judged[lane] += 1

    assert sum(judged.values()) == 100
    assert judged["strangers"] <= 60


@pytest.mark.proves("AVL-02")
@pytest.mark.parametrize(
    ("share", "whole"),
    [
        (rate.STRANGERS_WRONG_CODES, rate.WRONG_CODES),
        (rate.STRANGERS_WRONG_CODES_SHORT, rate.WRONG_CODES_SHORT),
        (rate.STRANGERS_WRONG_PASSWORDS, rate.WRONG_PASSWORDS),
        (rate.STRANGERS_SENDS, rate.SENDS),
        (rate.STRANGERS_SENDS_OF_PURPOSE, rate.SENDS_OF_PURPOSE),
        (rate.STRANGERS_RESETS, rate.RESETS),
    ],
    ids=lambda limit: limit.name,
)
def test_strangers_may_never_take_all_of_a_budget(share: Limit, whole: Limit) -> None:
    spans = {span: count for count, span in share.windows}

    for count, span in whole.windows:
        assert spans[span] < count <= 100


@pytest.mark.proves("THR-04")
def test_wrong_passwords_wait_ever_longer_from_half_a_minute_to_an_hour() -> None:
    history: tuple[int, ...] = ()
    now = NOW
    waits = []

    for _ in range(20):
        waited = timedelta(0)
        while (after := rate.spend(history, rate.WAITING_PASSWORDS, now)) is None:
            now += 10 * SECOND
            waited += 10 * SECOND
        history = after
        waits.append(waited)

    assert waits[:6] == [timedelta(0)] * 6
    assert waits[6:14] == [30 * SECOND, *(m * MINUTE for m in (1, 2, 4, 8, 16, 32)), HOUR]
    assert set(waits[14:]) == {HOUR}


def test_a_success_ends_the_row_and_leaves_what_is_younger_than_a_day() -> None:
    history = spent(rate.WRONG_CODES, NOW - 2 * DAY, NOW - 2 * HOUR, NOW - MINUTE)

    assert rate.forgive(history, NOW) == history[1:]
    assert rate.forgive((), NOW) == ()


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 50), spends_by_clocks_that_differ)
def test_a_pool_lets_its_count_through_at_once_and_no_more_than_twice_that_in_its_span(
    count: int, gaps: list[int]
) -> None:
    pool = rate.Pool("any", count, 40 * SECOND)
    history: tuple[int, ...] = ()
    now, log = NOW, []

    for gap in [*[0] * (2 * count), *gaps]:
        now += max(gap, 0) * SECOND
        after = rate.spend(history, pool, now)
        if after is not None:
            history = after
            log.append(rate.milliseconds(now))

    assert log[:count] == [rate.milliseconds(NOW)] * count
    assert count == len([at for at in log if at == rate.milliseconds(NOW)])
    assert all(sum(end - 40_000 < at <= end for at in log) <= 2 * count for end in log)
    assert len(history) == 1


def test_what_is_given_back_to_a_pool_may_be_spent_again() -> None:
    pool = rate.Pool("any", 3, HOUR)
    history: tuple[int, ...] = ()
    for _ in range(3):
        history = rate.spend(history, pool, NOW) or ()

    assert rate.spend(history, pool, NOW) is None
    assert rate.spend(rate.drain(history, pool, history[-1]), pool, NOW) == history
    assert rate.spend(history, pool, rate.keep_until(history, pool)) == rate.spend(
        (), pool, rate.keep_until(history, pool)
    )


@pytest.mark.proves("THR-10")
def test_however_many_names_are_made_up_their_guesses_fit_into_a_bounded_number_of_buckets() -> None:
    buckets = {rate.guesses_of_nobody(f"email:{n}@example.com", Kind.PASSWORD) for n in range(1_000_000)}

    assert len(buckets) <= 2**18
    assert rate.IN_A_ROW not in {span for _, span in rate.PASSWORD_OF_NOBODY.windows}


def test_one_password_is_known_again_and_tells_sixteen_bits_of_itself() -> None:
    key, other = b"k" * 32, b"o" * 32

    assert rate.one_password("five calm lanterns", key) == rate.one_password("five calm lanterns", key)
    assert rate.one_password("five calm lanterns", key) != rate.one_password("five calm lanterns", other)
    assert len(rate.one_password("\ud800", key).rpartition("/")[2]) == 4


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
        *(rate.guesses_of_lane("ada", kind, lane) for kind in Kind for lane in LANES),
        *(rate.guesses_of_nobody("ada", kind) for kind in Kind),
        *(rate.guesses_from_network("192.0.2.0/24", kind) for kind in Kind),
        *(rate.guesses_through_app("app", kind) for kind in Kind),
        *(rate.guesses_in_tenant(kind) for kind in Kind),
        rate.one_password("ada", b"key"),
        rate.of_strangers(rate.sends(address)),
        rate.of_strangers(rate.resets("ada")),
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
