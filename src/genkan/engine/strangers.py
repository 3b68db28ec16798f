"""
Keep strangers from finding out who has an account.

A tenant says whether accounts are revealed at all (ENUM-01). Where they are, whoever asks for too many names is
answered for a while as if they were not (ENUM-07): too many that nobody has, or too many at sign-up, where either
answer tells. A flow notes at its first step which of the two it is, and stays so.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from genkan.engine import steps
from genkan.engine.flow import Flow
from genkan.engine.messages import Count, Event, Facts, Signals, Step
from genkan.model import Purpose, Reason, Tenant
from genkan.risk import rate
from genkan.risk.rate import Limit


def limits(purpose: Purpose, signals: Signals, tenant: Tenant) -> Iterator[str]:
    """The names of the limits that naming somebody may spend from."""
    yield from (bucket for _, bucket in _limits(signals, tenant, purpose))


def _limits(signals: Signals, tenant: Tenant, purpose: Purpose) -> Iterator[tuple[Limit, str]]:
    if signals.address and tenant.enumeration == "compat":
        network = rate.network(signals.address)
        yield rate.UNKNOWN_NAMES, rate.unknown_names(network)
        if purpose is Purpose.SIGN_UP:
            yield rate.NEW_NAMES, rate.new_names(network)


def hides(purpose: Purpose, facts: Facts) -> bool:
    """Accounts are not revealed: to nobody, or not to where this request comes from."""
    tenant = facts.directory.tenant
    return tenant.enumeration == "uniform" or any(
        rate.spend(facts.histories[bucket], limit, facts.now) is None
        for limit, bucket in _limits(facts.signals, tenant, purpose)
    )


def unknown(flow: Flow, event: Event, facts: Facts) -> Step:
    """Say that nobody has this name, and count that it was said. Not to be called where the flow hides it."""
    refused = steps.no(flow, event, facts, Reason.UNKNOWN_SUBJECT)
    return Step(flow=None, reply=refused.reply, effects=(*_told(rate.UNKNOWN_NAMES, facts), *refused.effects))


def signing_up(step: Step, facts: Facts) -> Step:
    """The first step of a sign-up, counted whatever it says: it tells whether the name is taken."""
    return replace(step, effects=(*_told(rate.NEW_NAMES, facts), *step.effects))


def _told(limit: Limit, facts: Facts) -> Iterator[Count]:
    """One more name was told about."""
    for known, bucket in _limits(facts.signals, facts.directory.tenant, Purpose.SIGN_UP):
        if known is limit:
            history = rate.spend(facts.histories[bucket], limit, facts.now) or ()
            if rate.spend(history, limit, facts.now) is None:
                # That was the last one: from here it is hidden for a whole hour, however slowly they were asked for.
                history = (history[-1],) * len(history)
            yield Count(bucket=bucket, history=history, keep_until=rate.keep_until(history, limit))
