"""
Send codes: which limits one more of them spends from, and the step that puts one on its way.

Pure like the rest of the engine; the code itself is `factors.otp`'s, the counting `risk.rate`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from msgspec.structs import replace

from genkan import identifiers
from genkan.engine import budgets, extensions, seats, steps, strangers, telephony, toll
from genkan.engine.flow import (
    AwaitingChoice,
    AwaitingNewPassword,
    AwaitingProof,
    AwaitingResume,
    Flow,
    Part,
)
from genkan.engine.messages import (
    Choose,
    Confirm,
    Count,
    Deliver,
    Effect,
    Enrol,
    Event,
    Facts,
    Identify,
    Look,
    NeedClearance,
    NeedProof,
    Prove,
    Resume,
    SetPassword,
    Signals,
    Step,
)
from genkan.engine.transaction import Loaded
from genkan.factors import otp
from genkan.model import (
    Authenticator,
    Challenge,
    Channel,
    Client,
    Identifier,
    Kind,
    Message,
    MessagePurpose,
    Purpose,
    Reason,
    Secret,
    Tenant,
)
from genkan.risk import rate
from genkan.risk.rate import Lane

FIRST_RESEND_AFTER, LONGEST_RESEND_AFTER = timedelta(seconds=30), timedelta(minutes=32)
"""Between two texts of one step: half a minute, then a minute, doubled each time (MSG-10, conditional-access 13.2)."""


def limits(
    event: Event, begun: Purpose | None, loaded: Loaded, signals: Signals, key: bytes
) -> Iterator[str]:
    """
    The names of the limits that `advance` may look at or spend from at this event: the shell loads their histories.

    `begun` is the purpose of a flow that begins in the same breath. `key` is the tenant's for codes; with it a wrong
    password is known again, and nothing else is.
    """
    flow, tenant = loaded.flow, loaded.directory.tenant
    purpose = flow.purpose if flow is not None else begun
    if isinstance(event, Identify) and purpose is not None:
        yield from strangers.limits(purpose, signals, tenant)
        yield from toll.limits(signals, tenant)
        if (row := seats.row(event.identifier, loaded.subject, purpose, signals, tenant)) is not None:
            yield row
    if flow is None:
        return
    if flow.seats:
        yield flow.seats
    match event, flow.stage:
        case Prove(), AwaitingProof(challenge=challenge):
            yield from budgets.names(flow, challenge, signals, tenant)
            yield from telephony.used_buckets(challenge)
            if flow.subject is not None:
                yield rate.refusals_told(flow.subject)
            if challenge.kind is Kind.PASSWORD:
                yield rate.one_password(event.text.text, key)
            if flow.stage.part == "enrol" and challenge.target is not None:
                yield rate.holders(challenge.target)
        case Confirm(), AwaitingProof(challenge=Challenge(target=Identifier() as proven_before)):
            yield rate.holders(proven_before)
        case SetPassword(), AwaitingNewPassword() if flow.subject is not None:
            yield from budgets.of_method(flow.subject, Kind.PASSWORD)
        case Choose(), (AwaitingChoice(part=part) | AwaitingProof(part=part)):
            own = loaded.subject.email if loaded.subject else None
            others = (a.target for a in loaded.authenticators if a.strong or part != "second")
            for target in {*others} if part == "second" else {flow.identifier, own, *others}:
                if target is not None and (part == "second" or target.kind != "phone"):
                    yield from _buckets(target, flow, part, signals, tenant)
        case Look(), AwaitingResume() if flow.purpose is Purpose.RESET_PASSWORD:
            yield rate.polls(flow.id.hex())
        case Resume(), _ if flow.subject is not None:
            yield rate.new_places_told(flow.subject)
        case Enrol(target=Identifier() as target), _:
            yield from (rate.holders(target), rate.holders_told(target))
            yield from _buckets(target, flow, "enrol", signals, tenant)
        case _:
            return


def _buckets(target: Identifier, flow: Flow, part: Part, signals: Signals, tenant: Tenant) -> Iterator[str]:
    yield from (bucket for _, bucket in _send_limits(target, flow, part, signals, tenant, "strangers"))
    if target.kind == "phone":
        yield from telephony.buckets(target)


def _send_limits(
    target: Identifier, flow: Flow, part: Part, signals: Signals, tenant: Tenant, lane: Lane
) -> list[tuple[rate.Limit, str]]:
    """
    Every limit that one more code to this target spends from; the tightest wins (MSG-07).

    Of what anybody may ask for, strangers get a share, so that the owner still gets a code (AVL-01).
    """
    purpose, all_of_them = rate.sends_of_purpose(target, said_purpose(flow, part)), rate.sends(target)
    spent = [(rate.SENDS_OF_PURPOSE, purpose), (rate.SENDS, all_of_them)]
    is_anonymous = lane == "strangers" and part in ("first", "verify")
    if is_anonymous:
        spent.append((rate.STRANGERS_SENDS_OF_PURPOSE, rate.of_strangers(purpose)))
        spent.append((rate.STRANGERS_SENDS, rate.of_strangers(all_of_them)))
    if part == "verify" and flow.purpose is Purpose.RESET_PASSWORD and flow.sends == 0:
        resets = rate.resets(flow.subject or target.place)
        spent.append((rate.RESETS, resets))
        if is_anonymous:
            spent.append((rate.STRANGERS_RESETS, rate.of_strangers(resets)))
        if signals.address:
            network = rate.network(signals.address)
            spent.append((rate.RESETS_FROM_NETWORK, rate.resets_from_network(network)))
    if target.kind == "phone":
        owner = flow.subject or ""
        spent += [
            (rate.SMS_TO_NUMBER, rate.sms_to_number(target)),
            (rate.SMS_FOR_SUBJECT, rate.sms_for_subject(owner)),
        ]
        if tenant.sms_per_prefix:
            spent.append((rate.sms_prefix_limit(tenant.sms_per_prefix), rate.sms_to_prefix(target)))
        if (codes := telephony.limit_of_code(tenant)) is not None:
            spent.append((codes, rate.sms_to_code(target)))
        if signals.address:
            network = rate.network(signals.address)
            spent.append((rate.SMS_FROM_ADDRESS, rate.sms_from_address(signals.address)))
            spent.append((rate.SMS_FROM_NETWORK, rate.sms_from_network(network)))
        if part == "enrol":
            spent += [
                (rate.NUMBER_NEW, rate.number_new(owner, target)),
                (rate.NUMBERS_TRIED, rate.numbers_tried(owner)),
            ]
    return spent


def send(
    flow: Flow,
    event: Event,
    client: Client,
    facts: Facts,
    part: Part,
    kind: Kind,
    target: Identifier,
    authenticator: Authenticator | None,
) -> Step:
    """
    A fresh code on its way; the one before it is dead, and the tries do not start again (OTP-05).

    Where accounts are not to be revealed the step is the same for everybody: nothing goes to an address that is
    nobody's, and a newcomer whose address has an account is told so by mail alone (ENUM-02, ENUM-03).
    """
    by_sms = kind is Kind.SMS_OTP
    if by_sms and not extensions.region_open(facts.directory, client, target):
        return steps.no(flow, event, facts, Reason.REGION_CLOSED)
    exhausted = Reason.TELEPHONY_LIMIT if by_sms else Reason.TOO_MANY_SENDS
    if by_sms and flow.last_sms_at is not None and facts.now < flow.last_sms_at + wait_for_text(flow):
        return steps.no(flow, event, facts, exhausted, "Wait a while before asking for another text message.")
    counts: list[Effect] = []
    is_tried = False
    lane = budgets.lane(flow, facts)
    for limit, bucket in _send_limits(target, flow, part, facts.signals, facts.directory.tenant, lane):
        if limit is rate.NUMBERS_TRIED and is_tried:
            continue
        history = rate.spend(facts.histories[bucket], limit, facts.now)
        if history is None and limit is rate.NUMBER_NEW:
            is_tried = True
        elif history is None:
            return steps.no(
                flow, event, facts, exhausted, "Too many codes were asked for. Wait a while and try again."
            )
        else:
            counts.append(Count(bucket=bucket, history=history, keep_until=rate.keep_until(history, limit)))
    tenant = facts.directory.tenant
    if by_sms and target.key.startswith(tenant.blocked_numbers):
        return steps.no(flow, event, facts, Reason.NUMBER_BLOCKED)
    if by_sms:
        refused, effects_of_money = telephony.spend(flow, target, facts)
        if refused is not None:
            said = "Text messages cannot be sent there now. Wait a while, or choose another method."
            no = steps.no(flow, event, facts, refused, said)
            return replace(no, effects=(*no.effects, *effects_of_money))
        clearance = telephony.cleared(target, facts)
        if clearance is None:
            need = NeedClearance(number=target, subject=flow.subject, enrolling=part == "enrol")
            return Step(flow=None, reply=need)
        if clearance.answer != "allow":
            said = "No text message is sent to this number. Choose another method."
            no = steps.no(flow, event, facts, Reason.NUMBER_BLOCKED, said, telephony_risk=clearance.answer)
            return replace(no, effects=(*no.effects, *counts))
        counts += effects_of_money
    code = facts.entropy.digits("code", tenant.code_length)
    challenge = otp.issue(
        kind,
        target,
        authenticator,
        length=tenant.code_length,
        lifetime=tenant.code_lifetime,
        now=facts.now,
        challenge_id=facts.entropy.guid("challenge"),
        code=code,
        key=facts.code_key,
    )
    effects = [*counts]
    if steps.is_taken(flow, facts):
        own = steps.sign_in_address(facts) or target
        effects.append(steps.notice(own, facts, client, "account_exists"))
    elif flow.subject is not None or flow.purpose is Purpose.SIGN_UP:
        channel = Channel.SMS if by_sms else Channel.EMAIL
        message = Message(
            id=challenge.id,
            channel=channel,
            to=target.value,
            purpose=said_purpose(flow, part),
            code=Secret(code),
            values={"app": client.name, **(_lines_for_apps(client) if by_sms else {})},
            language=steps.language(facts),
            correlation_id=flow.correlation_id,
            **extensions.sending(facts, client, channel),
            created_at=facts.now,
            expires_at=challenge.expires_at,
        )
        effects.append(Deliver(message))
    flow = replace(flow, sends=flow.sends + 1)
    if by_sms:
        flow = replace(flow, texts=flow.texts + 1, last_sms_at=facts.now)
    shown = label(flow, part, target)
    reply = NeedProof(kind=kind, hint=shown, length=challenge.length, enrolling=part == "enrol")
    return steps.go(
        flow, event, facts, AwaitingProof(part=part, challenge=challenge), reply, *effects, sent=kind
    )


def wait_for_text(flow: Flow) -> timedelta:
    """
    How long after the last text of this step the next may follow.

    Each wait but the first is up to a quarter longer, by the flow and the count, so that many who were sent a text at
    the same moment do not all come back at another one.
    """
    doubled = FIRST_RESEND_AFTER * (1 << min(max(0, flow.texts - 1), 16))
    span = min(doubled, LONGEST_RESEND_AFTER)
    spread = rate.digest16(flow.id, str(flow.texts))[0] if flow.texts > 1 else 0
    return span + span * spread / 1024


def _lines_for_apps(client: Client) -> dict[str, str]:
    """What lets a browser or Android hand a code from a text message to this app alone (OTP-18)."""
    lines = {"code_domain": client.code_domain, "android_hash": client.android_hash}
    return {name: value for name, value in lines.items() if value}


def label(flow: Flow, part: Part, target: Identifier) -> str:
    """
    Where a code goes, as it may be shown: masked (OTP-19), but to enrol, where the person has just typed it.

    Where accounts are not revealed it is, before anything is proven, what was typed: whatever else the account has
    would give it away (ENUM-02).
    """
    if part == "enrol":
        return target.value
    typed = flow.identifier if flow.hides and part in ("first", "verify") else None
    return identifiers.mask(typed or target)


def said_purpose(flow: Flow, part: Part) -> MessagePurpose:
    """What a code is for, as a person and the dev inbox are told."""
    return {"first": "sign_in", "verify": flow.purpose.value, "second": "mfa", "enrol": "enrol"}[part]


def part_of(flow: Flow) -> Part | None:
    return flow.stage.part if isinstance(flow.stage, AwaitingChoice | AwaitingProof) else None
