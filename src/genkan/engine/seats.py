"""
At most five flows at once for one account, purpose and client network: the newest win, the older die silently.

Each flow takes a seat when it learns whom it is about. Who sits where is a history like that of a limit: the moments
of the last five. Flows of another network sit elsewhere, so nobody is unseated by a stranger from there. A name that is
nobody's has seats as well, or they would tell.
Source: FLOW-18.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from msgspec.structs import replace

from genkan.engine.flow import Closed, Flow
from genkan.engine.messages import Count, Facts, Signals, Step
from genkan.model import Identifier, Purpose, Subject, Tenant
from genkan.risk import rate

SEATS = 5


def row(
    identifier: Identifier, subject: Subject | None, purpose: Purpose, signals: Signals, tenant: Tenant
) -> str | None:
    """The name of the seats that a new flow takes one of; None where nobody can say who is asking."""
    if not signals.address:
        return None
    is_told = subject is not None and tenant.enumeration == "compat"
    owner = subject.id if subject is not None and is_told else identifier.place
    return rate.seats(owner, purpose, rate.network(signals.address))


def taken(step: Step, identifier: Identifier, facts: Facts) -> Step:
    """The step by which a flow learnt whom it is about, and its seat; whoever sat there longest has none any more."""
    flow, tenant = step.flow, facts.directory.tenant
    if flow is None or isinstance(flow.stage, Closed):
        return step
    bucket = row(identifier, facts.subject, flow.purpose, facts.signals, tenant)
    if bucket is None:
        return step
    sitting = facts.histories[bucket]
    at = max(rate.milliseconds(facts.now), sitting[-1] + 1 if sitting else 0)
    keep_until = facts.now + tenant.flow_lifetime + timedelta(minutes=1)
    seat = Count(bucket=bucket, history=(*sitting[1 - SEATS :], at), keep_until=keep_until)
    return replace(step, flow=replace(flow, seats=bucket, seat=at), effects=(*step.effects, seat))


def is_lost(flow: Flow, histories: Mapping[str, tuple[int, ...]]) -> bool:
    """Five newer flows have taken all the seats."""
    return bool(flow.seats) and flow.seat not in histories[flow.seats]
