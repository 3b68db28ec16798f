"""
Ask for a little work before a name is looked at, where a tenant wants that: always, or while it is being attacked.

It is asked for before anything about the name is known, so it says nothing of who has an account. One answered puzzle
opens one flow, for one name, from one network.
Source: THR-05, THR-08.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from genkan.engine import budgets, steps
from genkan.engine.flow import Flow
from genkan.engine.messages import Facts, Identify, Signals, Step
from genkan.model import Kind, Reason, Tenant
from genkan.risk import rate, work
from genkan.risk.rate import Limit, Pool

KINDS = (Kind.PASSWORD, Kind.EMAIL_OTP)
"""First factors, at which anybody may guess."""


def limits(signals: Signals, tenant: Tenant) -> Iterator[str]:
    """The names of the limits that naming somebody may look at or spend from."""
    if tenant.work != "off":
        yield from (bucket for _, bucket in _alarms(signals, tenant))
        yield rate.work(signals.work)


def _alarms(signals: Signals, tenant: Tenant) -> Iterator[tuple[Limit | Pool, str]]:
    """What is half full in an attack."""
    for kind in KINDS:
        if tenant.wrong_guesses_per_tenant:
            yield rate.crowd("in tenant", tenant.wrong_guesses_per_tenant), rate.guesses_in_tenant(kind)
        if signals.address and tenant.wrong_guesses_per_network:
            network = rate.guesses_from_network(rate.network(signals.address), kind)
            yield rate.network_limit(tenant.wrong_guesses_per_network), network


def refusal(flow: Flow, event: Identify, facts: Facts) -> Step | None:
    """The answer that asks for work; None where none is wanted, or where it has been done."""
    if not _is_wanted(facts) or _done(flow, event, facts) is not None:
        return None
    nonce = facts.entropy.take("puzzle", 8)
    bits = facts.directory.tenant.work_bits
    puzzle = work.puzzle(_about(flow, event, facts), bits, nonce, facts.now, facts.code_key)
    return steps.no(flow, event, facts, Reason.WORK_NEEDED, puzzle)


def paid(step: Step, flow: Flow, event: Identify, facts: Facts) -> Step:
    """The step, with the puzzle that opened the way to it used up."""
    if not _is_wanted(facts) or (history := _done(flow, event, facts)) is None:
        return step
    count = budgets.count(rate.work(facts.signals.work), history, rate.WORK)
    return replace(step, effects=(count, *step.effects))


def _is_wanted(facts: Facts) -> bool:
    tenant = facts.directory.tenant
    if tenant.work != "under_attack":
        return tenant.work == "always"
    return any(
        rate.is_half_full(facts.histories[bucket], limit, facts.now)
        for limit, bucket in _alarms(facts.signals, tenant)
    )


def _done(flow: Flow, event: Identify, facts: Facts) -> tuple[int, ...] | None:
    """The history that says that this puzzle is used up; None where it is not answered, or has been used before."""
    text = facts.signals.work
    if work.answered(text, _about(flow, event, facts), facts.now, facts.code_key) is None:
        return None
    return rate.spend(facts.histories[rate.work(text)], rate.WORK, facts.now)


def _about(flow: Flow, event: Identify, facts: Facts) -> str:
    network = rate.network(facts.signals.address)
    return f"{flow.client}\n{flow.purpose}\n{network}\n{event.identifier.key}"
