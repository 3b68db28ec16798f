"""
How a step ends: the flow goes on, stays as it was, or is over; each with its audit row.

Small words that the rest of the engine is written in. Decides nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from genkan.engine import extensions
from genkan.engine.flow import AnyStage, Closed, Flow
from genkan.engine.messages import (
    Blocks,
    Deliver,
    Effect,
    Entropy,
    Event,
    Facts,
    Fails,
    NeedCall,
    Prove,
    Question,
    Record,
    Refused,
    Reply,
    Step,
    Web,
)
from genkan.engine.transaction import Loaded
from genkan.model import Channel, Client, Evidence, Identifier, Kind, Message, Purpose, Reason, Subject
from genkan.policy.model import Applied, Decision

NOT_ABOUT_IT = frozenset({"notApplied", "notEnabled", "reportOnlyNotApplied"})

NOTICE_LIFETIME = timedelta(days=3)
"""A notice to the owner is worth sending this long."""

WRONG = frozenset({Reason.WRONG_CODE, Reason.WRONG_PASSKEY, Reason.WRONG_PASSWORD})
"""Refusals of a proof."""

FRESH = timedelta(minutes=10)
"""What was proven longer ago does not let anybody register a method (ENR-01)."""


def go(
    flow: Flow,
    event: Event,
    facts: Facts,
    stage: AnyStage,
    reply: Reply,
    *effects: Effect,
    decision: Decision | None = None,
    **detail: Any,
) -> Step:
    """The flow goes on to `stage`, and its idle time starts again (FLOW-16)."""
    flow = replace(flow, stage=stage, expires_at=idle_end(flow, facts))
    return kept(flow, event, facts, reply, *effects, decision=decision, **detail)


def idle_end(flow: Flow, facts: Facts) -> datetime:
    """When the flow ends if nothing more is said."""
    tenant = facts.directory.tenant
    return min(facts.now + tenant.flow_idle, flow.created_at + tenant.flow_lifetime)


def kept(
    flow: Flow,
    event: Event,
    facts: Facts,
    reply: Reply,
    *effects: Effect,
    decision: Decision | None = None,
    **detail: Any,
) -> Step:
    """The flow is written as it is, with what the step did. Of policies the audit row names those that applied."""
    if decision is not None:
        detail["policies"] = applied(decision)
    record = _record(flow, event, facts, reply, detail)
    return Step(flow=flow, reply=reply, effects=(*effects, record), decision=decision)


def applied(decision: Decision) -> list[Applied]:
    """The entries of the policies that were about this; all of them stand in the sign-in log."""
    return [entry for entry in decision.trace if entry.result not in NOT_ABOUT_IT]


def close(flow: Flow, event: Event, facts: Facts, reason: Reason) -> Step:
    """The flow is over."""
    return kept(replace(flow, stage=Closed(outcome=reason)), event, facts, Refused(reason=reason))


def stopped(flow: Flow, event: Event, facts: Facts, by: Blocks | Fails, *effects: Effect) -> Step:
    """The flow is over, because an extension says so, or fails."""
    flow = replace(flow, stage=Closed(outcome=stop(by).reason))
    more: dict[str, Any] = {"number": by.number} if isinstance(by, Fails) else {}
    return kept(flow, event, facts, stop(by), *effects, **more)


def stop(by: Blocks | Fails) -> Refused:
    """What is heard of it: the extension's words for the person, and nothing of what is wrong with an extension."""
    if isinstance(by, Blocks):
        return Refused(reason=Reason.BLOCKED_BY_EXTENSION, detail=by.message)
    return Refused(reason=Reason.EXTENSION_FAILED, number=by.number)


def asks(question: Question) -> Step:
    """Nothing is decided before an extension has answered."""
    return Step(flow=None, reply=NeedCall(question))


def web(flow: Flow, event: Event, facts: Facts, because: str) -> Step:
    return kept(replace(flow, stage=Closed(outcome="web")), event, facts, Web(because=because))


def no(
    flow: Flow | None,
    event: Event,
    facts: Facts,
    reason: Reason,
    detail: str = "",
    *,
    attributes: tuple[str, ...] = (),
    **recorded: Any,
) -> Step:
    """Refuse, and leave the flow exactly as it was. `recorded` goes into the audit row."""
    reply = Refused(reason=reason, detail=detail, attributes=attributes)
    if flow is None:
        return Step(flow=None, reply=reply)
    return Step(flow=None, reply=reply, effects=(_record(flow, event, facts, reply, recorded),))


def shown(flow: Flow, reply: Reply) -> Step:
    return Step(flow=None, reply=reply)


def proven(flow: Flow, evidence: Evidence) -> Flow:
    """The next phase: more is proven, and the tries are counted anew."""
    return replace(
        flow,
        evidence=(*flow.evidence, evidence),
        phase=flow.phase + 1,
        failures=0,
        pending=0,
        sends=0,
        texts=0,
        last_sms_at=None,
    )


def _record(flow: Flow, event: Event, facts: Facts, reply: Reply, detail: dict[str, Any]) -> Record:
    """
    The audit row of this step (LOG-04): what was said, what came of it, and why.

    It stands under the correlation id that the flow began with; `request` is that of this step, where it has another.
    """
    outcome = "refused" if isinstance(reply, Refused) else type(reply).__name__.lower()
    is_wrong = isinstance(reply, Refused) and reply.reason in WRONG
    if isinstance(event, Prove) and (tried := flow.misses if is_wrong else flow.evidence):
        detail["kind"] = tried[-1].kind
    if facts.signals.correlation_id != flow.correlation_id:
        detail["request"] = facts.signals.correlation_id
    return Record(
        action=f"{flow.purpose}:{type(event).__name__.lower()}:{outcome}",
        reason=reply.reason if isinstance(reply, Refused) else "",
        subject=flow.subject,
        client=flow.client,
        correlation_id=flow.correlation_id,
        detail=detail,
    )


def unfit_account(flow: Flow, facts: Facts) -> Reason | None:
    """Why the account may not go on, told only after a right proof (ENUM-07). A reset changes a password that must."""
    subject = facts.subject
    if subject is None or flow.subject is None:
        return None
    if subject.status != "active":
        return Reason.SUBJECT_DISABLED
    if flow.purpose is Purpose.RESET_PASSWORD or not owes_password(subject, flow.evidence):
        return None
    return Reason.PASSWORD_MUST_CHANGE


def owes_password(subject: Subject, evidence: tuple[Evidence, ...]) -> bool:
    """The password must be changed before these proofs count. It says nothing of a passkey, which needs none."""
    has_key = any(e.kind is Kind.PASSKEY and e.part == "first" for e in evidence)
    return subject.must_change_password and not has_key


def holder(identifier: Identifier, facts: Facts) -> Subject | None:
    """
    Whom a name that somebody typed means.

    Where usernames are switched off they are nobody's, and so is a name whose account was deleted: that it stays taken
    for a while is for a sign-up to say.
    """
    if identifier.kind == "username" and not facts.directory.tenant.usernames:
        return None
    is_gone = facts.subject is not None and facts.subject.status == "deleted"
    return None if is_gone else facts.subject


def is_taken(flow: Flow, facts: Facts) -> bool:
    """A sign-up for an address that has an account, where that may not be shown (ENUM-03)."""
    is_newcomer = flow.purpose is Purpose.SIGN_UP and flow.subject is None
    return flow.hides and is_newcomer and facts.subject is not None


def is_decoy(flow: Flow, facts: Facts) -> bool:
    """The flow is about nobody, or not about whom it says: no proof is ever right in it."""
    return is_taken(flow, facts) or (flow.subject is None and flow.purpose is not Purpose.SIGN_UP)


def sign_in_address(facts: Facts) -> Identifier | None:
    return facts.subject.email if facts.subject else None


def facts(loaded: Loaded, entropy: Entropy, client: Client | None = None) -> Facts:
    """What may be known of an account where somebody does something to it outside a flow, and answers no code."""
    return Facts(
        now=loaded.now,
        directory=loaded.directory,
        client=client,
        subject=loaded.subject,
        authenticators=loaded.authenticators,
        histories=loaded.histories,
        entropy=entropy,
        code_key=b"",
    )


def notices(subject: Subject, facts: Facts, client: Client, template: str, **values: str) -> list[Deliver]:
    """
    Tell the owner what was changed, at each mailbox and number of the account (ENR-03, SSPR-04).

    Whoever has just used one of them to change something so cannot keep it from the others.
    """
    known = (*subject.identifiers, *(a.target for a in facts.authenticators))
    places = {i.place: i for i in known if i is not None and _is_reachable(i, client, facts)}
    return [notice(to, facts, client, template, **values) for to in places.values()]


def notice(to: Identifier, facts: Facts, client: Client, template: str, **values: str) -> Deliver:
    """Tell one mailbox or number something that needs no answer."""
    return Deliver(
        Message(
            id=facts.entropy.guid(f"notice/{to.place}"),
            channel=Channel.SMS if to.kind == "phone" else Channel.EMAIL,
            to=to.value,
            purpose="notice",
            template=template,
            values={"app": client.name, **values},
            language=language(facts),
            correlation_id=facts.signals.correlation_id,
            created_at=facts.now,
            expires_at=facts.now + NOTICE_LIFETIME,
        )
    )


def is_origin_of(client: Client, origin: str) -> bool:
    """The origin is on the client's list; an entry without a port stands for every port of `localhost` (BRW-01)."""
    if origin in client.origins:
        return True
    scheme_and_host, _, port = origin.rpartition(":")
    return port.isdigit() and scheme_and_host in client.origins and scheme_and_host.endswith("//localhost")


def language(facts: Facts) -> str:
    """What the person speaks, where the account says so."""
    spoken = facts.subject.attributes.get("preferredLanguage") if facts.subject else None
    return spoken if isinstance(spoken, str) else ""


def _is_reachable(identifier: Identifier, client: Client, facts: Facts) -> bool:
    """Messages go to mailboxes, and to numbers to which codes would go."""
    if identifier.kind != "phone":
        return identifier.kind == "email"
    blocked = facts.directory.tenant.blocked_numbers
    return extensions.region_open(facts.directory, client, identifier) and not identifier.key.startswith(
        blocked
    )
