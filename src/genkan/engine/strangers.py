"""
Keep strangers from finding out who has an account.

A tenant says whether accounts are revealed at all (ENUM-01). Where they are, whoever asks for too many names that
nobody has is answered for a while as if they were not (ENUM-07). A flow notes at its first step which of the two it
is, and stays so.
"""

from __future__ import annotations

from collections.abc import Iterator

from genkan.engine import steps
from genkan.engine.flow import Flow
from genkan.engine.messages import Count, Event, Facts, Signals, Step
from genkan.model import Reason, Tenant
from genkan.risk import rate


def limits(signals: Signals, tenant: Tenant) -> Iterator[str]:
    """The names of the limits that naming somebody may spend from."""
    if signals.address and tenant.enumeration == "compat":
        yield rate.unknown_names(rate.network(signals.address))


def hides(facts: Facts) -> bool:
    """Accounts are not revealed: to nobody, or not to where this request comes from."""
    return facts.directory.tenant.enumeration == "uniform" or any(
        rate.spend(facts.histories[bucket], rate.UNKNOWN_NAMES, facts.now) is None
        for bucket in limits(facts.signals, facts.directory.tenant)
    )


def unknown(flow: Flow, event: Event, facts: Facts) -> Step:
    """Say that nobody has this name, and count that it was said. Not to be called where the flow hides it."""
    refused = steps.no(flow, event, facts, Reason.UNKNOWN_SUBJECT)
    counts: list[Count] = []
    for bucket in limits(facts.signals, facts.directory.tenant):
        history = rate.spend(facts.histories[bucket], rate.UNKNOWN_NAMES, facts.now) or ()
        if rate.spend(history, rate.UNKNOWN_NAMES, facts.now) is None:
            # That was the last one: from here it is hidden for a whole hour, however slowly they were asked for.
            history = (history[-1],) * len(history)
        until = rate.keep_until(history, rate.UNKNOWN_NAMES)
        counts.append(Count(bucket=bucket, history=history, keep_until=until))
    return Step(flow=None, reply=refused.reply, effects=(*counts, *refused.effects))
