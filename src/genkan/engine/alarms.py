"""
What an operator must see when it happens: audit rows that the shell logs as errors, too.

Source: MSG-08, MSG-09 for text messages; CA-06 for break-glass accounts.
"""

from __future__ import annotations

from collections.abc import Iterator

from genkan.engine import telephony
from genkan.engine.flow import Flow
from genkan.engine.messages import Facts, Ready, Record, Reply

ALARMS = telephony.ALARMS | {
    "break_glass:proven",
    "break_glass:signed_in",
    "emergency:break_glass_containment",
    "emergency:mass_containment",
}
"""Actions of audit rows that an operator must see."""


def of_break_glass(before: Flow | None, flow: Flow | None, reply: Reply, facts: Facts) -> Iterator[Record]:
    """
    Somebody who is there for when all else fails has proven a first factor, or was signed in.

    Policies leave these people out, so whoever has their password has all that is asked for.
    """
    subject, client = facts.subject, facts.client
    if subject is None or client is None or subject.id not in facts.directory.tenant.break_glass:
        return
    if flow is None or flow.subject != subject.id:
        return
    had_proven = before is not None and before.evidence
    happened = {
        "break_glass:proven": flow.evidence and not had_proven,
        "break_glass:signed_in": isinstance(reply, Ready),
    }
    for action, is_so in happened.items():
        if is_so:
            yield Record(
                action=action,
                subject=subject.id,
                client=client.id,
                correlation_id=flow.correlation_id,
                detail={"user": subject.id, "app": client.id},
            )
