"""The risk of an account: it only grows by what is found, and a new password or an administrator ends it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from genkan.model import AccountRisk, RiskLevel
from genkan.risk import account

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("before", "found", "level"),
    [
        ("hidden", "low", "low"),
        ("none", "medium", "medium"),
        ("medium", "low", "medium"),
        ("low", "high", "high"),
    ],
)
def test_what_is_found_raises_it_and_never_lowers_it(
    before: RiskLevel, found: RiskLevel, level: RiskLevel
) -> None:
    assert account.raised(AccountRisk(level=before), found, NOW).level == level


def test_what_an_administrator_confirmed_stays_so() -> None:
    confirmed = account.confirmed_compromised(NOW)

    assert account.raised(confirmed, "high", NOW + MINUTE) is confirmed
    assert confirmed.state == "confirmedCompromised"


@pytest.mark.parametrize(
    ("asked", "detail"),
    [
        (None, "userPerformedSecuredPasswordReset"),
        (59 * MINUTE, "userPerformedSecuredPasswordChange"),
        (61 * MINUTE, "userPerformedSecuredPasswordReset"),
    ],
)
def test_a_new_password_ends_it(asked: timedelta | None, detail: str) -> None:
    risky = account.raised(AccountRisk(), "high", NOW - timedelta(days=1))
    if asked is not None:
        risky = account.asked_for_change(risky, NOW - asked)

    well = account.changed_password(risky, NOW)

    assert (well.level, well.state, well.detail, well.updated_at) == ("none", "remediated", detail, NOW)


@pytest.mark.parametrize("level", ["hidden", "none"])
def test_where_there_is_none_a_new_password_changes_nothing(level: RiskLevel) -> None:
    risk = AccountRisk(level=level)

    assert account.changed_password(risk, NOW) is risk


def test_an_administrator_may_end_it_in_two_ways() -> None:
    assert (account.dismissed(NOW).level, account.dismissed(NOW).state) == ("none", "dismissed")
    assert (account.confirmed_safe(NOW).level, account.confirmed_safe(NOW).state) == ("none", "confirmedSafe")
