"""
Count the accounts that have registered one number or mailbox as a second factor: a family may, a farm may not.

What is counted is kept as short digests of who they are, for one place, so the same person counts once. A method that
is taken away goes on to count. Where too many have one place nobody adds themselves: an administrator may, and that is
the review. Pure. Source: ENR-10.
"""

from __future__ import annotations

from datetime import timedelta

from genkan.engine.flow import Flow
from genkan.engine.messages import Count, Effect, Facts, Record
from genkan.model import Identifier
from genkan.risk import rate

MOST = 5
"""Accounts that may add one number or mailbox by themselves."""
REMEMBERED = timedelta(days=3650)


def after(target: Identifier, facts: Facts) -> Count | None:
    """What is to be remembered when this person adds it; None where that needs an administrator."""
    bucket = rate.holders(target)
    held = facts.histories[bucket]
    own = int.from_bytes(rate.digest16(facts.subject.id if facts.subject else "")[:6])
    if own not in held and len(held) >= MOST:
        return None
    return Count(bucket=bucket, history=tuple(sorted({*held, own})), keep_until=facts.now + REMEMBERED)


def alarm(target: Identifier, flow: Flow, facts: Facts) -> list[Effect]:
    """Tell an operator, once an hour for a place, that one account too many wanted it."""
    bucket = rate.holders_told(target)
    history = rate.spend(facts.histories[bucket], rate.SMS_CODE_TOLD, facts.now)
    if history is None:
        return []
    return [
        Count(bucket=bucket, history=history, keep_until=rate.keep_until(history, rate.SMS_CODE_TOLD)),
        Record(
            action="method:shared",
            subject=flow.subject,
            client=flow.client,
            correlation_id=flow.correlation_id,
            detail={"accounts": MOST, "kind": target.kind},
        ),
    ]
