"""
Guard the money that text messages cost: a route on which nobody enters the codes is closed, and a budget has an end.

And whoever knows more of a number may be asked last of all, and stops the message by saying no, or nothing.
Pure; the judging is `risk.pumping`'s. Source: MSG-08, MSG-09; conditional-access 13.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from genkan import identifiers
from genkan.engine.flow import Flow
from genkan.engine.messages import Cleared, Count, Effect, Facts, Record
from genkan.model import Challenge, Channel, Identifier, Reason, Tenant
from genkan.risk import pumping, rate

BUDGET = "sms/budget"
"""The bucket of the tenant's money."""

_MONTH = timedelta(days=32)


def buckets(target: Identifier) -> Iterator[str]:
    """The histories that one more text message to this number is judged by."""
    yield BUDGET
    yield rate.sms_code_told(target)
    for route in routes(target):
        yield from (rate.sms_sent(route), rate.sms_used(route), rate.sms_closed(route))


def used_buckets(challenge: Challenge) -> Iterator[str]:
    """The histories that a right answer to this challenge is noted in."""
    if challenge.target is not None and challenge.target.kind == "phone":
        yield from (rate.sms_used(route) for route in routes(challenge.target))


def routes(target: Identifier) -> tuple[str, str]:
    """The routes of a number: its calling code, and the numbers around it."""
    return identifiers.calling_code(target), target.key[:-4]


def limit_of_code(tenant: Tenant) -> rate.Limit | None:
    """What one calling code may have."""
    return rate.sms_code_limit(tenant.sms_per_calling_code, tenant.sms_per_calling_code_daily)


def spend(flow: Flow, target: Identifier, facts: Facts) -> tuple[Reason | None, list[Effect]]:
    """Whether one more text message may go to this number, and what is to be written down either way."""
    tenant, effects = facts.directory.tenant, list[Effect]()
    for route in routes(target):
        sent, used = facts.histories[rate.sms_sent(route)], facts.histories[rate.sms_used(route)]
        closed = rate.sms_closed(route)
        if pumping.is_closed(facts.histories[closed], facts.now):
            return Reason.NUMBER_BLOCKED, []
        match pumping.judge(sent, used, facts.now):
            case "close":
                at = (rate.milliseconds(facts.now),)
                keep = facts.now + pumping.CLOSED
                alarm = _alarm("sms:closed", flow, route=route, sent=len(sent), used=len(used))
                return Reason.NUMBER_BLOCKED, [Count(bucket=closed, history=at, keep_until=keep), alarm]
            case "wait":
                return Reason.TELEPHONY_LIMIT, []
            case "open":
                history = pumping.noted(sent, facts.now, facts.now)
                keep = facts.now + pumping.WINDOW
                effects.append(Count(bucket=rate.sms_sent(route), history=history, keep_until=keep))
    effects += _half_of_code(flow, target, facts)
    price = tenant.sms_prices.get(identifiers.calling_code(target), 1)
    caps = (tenant.sms_daily_budget, tenant.sms_monthly_budget)
    before = facts.histories[BUDGET]
    after = pumping.drawn(before, price, *caps, facts.now)
    if after is None:
        return Reason.TELEPHONY_LIMIT, []
    effects.append(Count(bucket=BUDGET, history=after, keep_until=facts.now + _MONTH))
    if state := pumping.warning(before, after, *caps):
        effects.append(_alarm(f"sms:budget_{state}", flow, day=after[1], month=after[3]))
    return None, effects


def cleared(target: Identifier, facts: Facts) -> Cleared | None:
    """What was said of this number by whoever is to be asked; None where that has still to be done."""
    if not facts.asks_before_texts:
        return Cleared(number=target.key, answer="allow")
    said = facts.cleared
    return said if said is not None and said.number == target.key else None


def _half_of_code(flow: Flow, target: Identifier, facts: Facts) -> list[Effect]:
    """Tell an operator, once an hour, that a calling code has used up half of what it may have (13.2)."""
    limit = limit_of_code(facts.directory.tenant)
    if limit is None:
        return []
    after = rate.spend(facts.histories[rate.sms_to_code(target)], limit, facts.now)
    if after is None or not rate.is_half_full(after, limit, facts.now):
        return []
    told = rate.sms_code_told(target)
    history = rate.spend(facts.histories[told], rate.SMS_CODE_TOLD, facts.now)
    if history is None:
        return []
    code = identifiers.calling_code(target)
    return [
        Count(bucket=told, history=history, keep_until=rate.keep_until(history, rate.SMS_CODE_TOLD)),
        _alarm("sms:code_half_spent", flow, calling_code=code, sent=len(after)),
    ]


def used(flow: Flow, challenge: Challenge, facts: Facts) -> list[Effect]:
    """Note that a code from a text message was entered: people are on that route."""
    if challenge.target is None or challenge.target.kind != "phone":
        return []
    keep = facts.now + pumping.WINDOW
    counts: list[Effect] = [
        Count(
            bucket=rate.sms_used(route),
            history=pumping.noted(facts.histories[rate.sms_used(route)], challenge.issued_at, facts.now),
            keep_until=keep,
        )
        for route in routes(challenge.target)
    ]
    return [*counts, _used(flow, challenge)]


def _used(flow: Flow, challenge: Challenge) -> Record:
    """What became of the message, beside what the provider says of it; it bears the id of its challenge."""
    code = identifiers.calling_code(challenge.target) if challenge.target else ""
    detail = {"message": challenge.id, "channel": Channel.SMS.value, "calling_code": code}
    return Record(
        action="message:used",
        subject=flow.subject,
        client=flow.client,
        correlation_id=flow.correlation_id,
        detail=detail,
    )


def _alarm(action: str, flow: Flow, **detail: str | int) -> Record:
    """An audit row that an operator must see: the shell logs it as an error."""
    return Record(action=action, client=flow.client, correlation_id=flow.correlation_id, detail=detail)


ALARMS = frozenset(
    {
        "method:shared",
        "sms:closed",
        "sms:code_half_spent",
        "sms:undelivered",
        "sms:budget_low",
        "sms:budget_spent",
    }
)
"""Actions of audit rows that an operator must see."""
