"""
The risk of an account: what raises it, what closes it, and what an administrator may say about it.

An account is put at risk by what was found, never by what a stranger merely tried: else anybody could have anybody
locked out. Pure; the words are Graph's `riskState` and `riskDetail`.
Source: conditional-access 10; admin-graph-api 6.5; AVL-01.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from genkan.model import AccountRisk, RiskLevel
from genkan.risk.score import LEVELS

CHANGE_FOLLOWS = timedelta(hours=1)
"""A reset so soon after a second factor that was asked for a new password is that change of password."""


def is_risky(risk: AccountRisk) -> bool:
    return risk.level not in ("hidden", "none")


def raised(risk: AccountRisk, level: RiskLevel, now: datetime) -> AccountRisk:
    """Something was found. What an administrator confirmed stays confirmed."""
    if LEVELS.index(risk.level) >= LEVELS.index(level):
        return risk
    return AccountRisk(level=level, state="atRisk", updated_at=now)


def asked_for_change(risk: AccountRisk, now: datetime) -> AccountRisk:
    """A second factor was passed, and the person was sent to change the password."""
    return replace(risk, change_asked_at=now)


def was_sent_to_change(risk: AccountRisk, now: datetime) -> bool:
    """A second factor was passed a short while ago, and a new password was asked for."""
    asked = risk.change_asked_at
    return asked is not None and now - asked <= CHANGE_FOLLOWS


def changed_password(risk: AccountRisk, now: datetime) -> AccountRisk:
    """The password was reset by its owner, and whoever knew it knows nothing any more."""
    if not is_risky(risk):
        return risk
    is_change = was_sent_to_change(risk, now)
    detail = "userPerformedSecuredPasswordChange" if is_change else "userPerformedSecuredPasswordReset"
    return AccountRisk(level="none", state="remediated", detail=detail, updated_at=now)


def confirmed_compromised(now: datetime) -> AccountRisk:
    return AccountRisk(
        level="high", state="confirmedCompromised", detail="adminConfirmedUserCompromised", updated_at=now
    )


def confirmed_safe(now: datetime) -> AccountRisk:
    return AccountRisk(
        level="none", state="confirmedSafe", detail="adminConfirmedAccountSafe", updated_at=now
    )


def dismissed(now: datetime) -> AccountRisk:
    return AccountRisk(level="none", state="dismissed", detail="adminDismissedAllRiskForUser", updated_at=now)
