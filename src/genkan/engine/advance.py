"""
Advance a flow by one event: `(flow, event, facts) → Step`. Every native sign-in is this file, read from the top.

Pure: no I/O, no clock, no randomness; the same arguments give the same step. A wrong answer is a step, not an
exception, so that the spent try and the audit row commit with the refusal. Tokens are decided in `_resume` alone (and
for a refresh in `renew`), each on the policies and the account of that very moment.
What a sign-up and an enrolment add stands in `sign_up` and `enrol`; how a step ends in `steps`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec.structs import replace

from genkan.engine import (
    alarms,
    attributes,
    budgets,
    challenges,
    enrol,
    extensions,
    held,
    log,
    passkeys,
    reset,
    seats,
    sign_up,
    steps,
    strangers,
    suspicion,
    telephony,
    toll,
)
from genkan.engine.flow import (
    AnyStage,
    AwaitingAttributes,
    AwaitingChoice,
    AwaitingEnrolment,
    AwaitingIdentifier,
    AwaitingNewPassword,
    AwaitingProof,
    AwaitingResume,
    Closed,
    Flow,
    Part,
)
from genkan.engine.messages import (
    Begin,
    Blocks,
    Checked,
    Choose,
    Confirm,
    Count,
    Deliver,
    Effect,
    Enrol,
    Event,
    Facts,
    Fails,
    Identify,
    Look,
    NeedAttributes,
    NeedCheck,
    NeedChoice,
    NeedIdentifier,
    NeedLift,
    NeedNewPassword,
    NeedProof,
    NeedResume,
    Prove,
    PutAuthenticator,
    PutGrant,
    Ready,
    Refused,
    Renew,
    Resume,
    SetPassword,
    Step,
    Supply,
)
from genkan.engine.plan import (
    NOTHING_DEMANDED,
    choices,
    enrolments,
    judge,
    may_enrol,
    planned,
    second_factors,
)
from genkan.engine.renew import renew
from genkan.factors import otp
from genkan.factors.interface import Right
from genkan.model import (
    Attempt,
    Authenticator,
    Challenge,
    Channel,
    Client,
    Evidence,
    Kind,
    Purpose,
    Reason,
    RiskLevel,
)
from genkan.policy.model import Decision
from genkan.risk import rate
from genkan.risk.footprint import knows_network
from genkan.tokens import grants
from genkan.tokens.claims import assurance

LAWFUL: dict[type[AnyStage], frozenset[type[Event]]] = {
    AwaitingIdentifier: frozenset({Identify}),
    AwaitingChoice: frozenset({Choose, Supply, Look}),
    AwaitingProof: frozenset({Choose, Prove, Enrol, Confirm, Supply, Look}),
    AwaitingNewPassword: frozenset({Choose, SetPassword, Look}),
    AwaitingAttributes: frozenset({Supply, Look}),
    AwaitingEnrolment: frozenset({Enrol, Look}),
    AwaitingResume: frozenset({Resume, Look}),
    Closed: frozenset(),
}
"""What may follow what. Whatever is not in the row is refused as out of turn; the functions below refine it by part."""


PARTS: dict[Part, Literal["first", "second", "verified"]] = {
    "first": "first",
    "second": "second",
    "verify": "verified",
    "enrol": "second",
}
"""The role that a right proof plays, by the part of the flow that it was asked in."""


SAID_AS: dict[Kind, str] = {Kind.PASSWORD: "password", Kind.PASSKEY: "passkey"}
"""What a client says it is answering; of all others `code`."""


DANGEROUS: frozenset[RiskLevel] = frozenset({"low", "medium", "high"})
"""Risks that were seen; the others say that there is none, or that nobody looked."""


def advance(flow: Flow | None, event: Event, facts: Facts) -> Step:
    """
    The flow as it is after the event, what the client hears, and what must last: the logs among it.

    `flow` is None for `Begin` and `Renew`, and where the handle led nowhere.
    Refuses: what `LAWFUL` does not list, any other client's flow, an expired or closed one.
    """
    step = _advance(flow, event, facts)
    entry = log.entry(flow, event, facts, step)
    more = (*alarms.of_break_glass(flow, step.flow, step.reply, facts), *((entry,) if entry else ()))
    return replace(step, effects=(*step.effects, *more)) if more else step


def _advance(flow: Flow | None, event: Event, facts: Facts) -> Step:
    client = facts.client
    if client is None:
        return steps.no(flow, event, facts, Reason.UNKNOWN_CLIENT)
    if (unfit := _unfit(client, facts)) is not None:
        return steps.no(flow, event, facts, unfit)
    if isinstance(event, Begin):
        return _begin(event, client, facts)
    if isinstance(event, Renew):
        return renew(event, client, facts)
    if flow is None or flow.client != client.id or isinstance(flow.stage, Closed):
        return steps.no(flow, event, facts, Reason.INVALID_HANDLE)
    if flow.subject is not None and facts.subject is not None and facts.subject.epoch != flow.epoch:
        return steps.no(flow, event, facts, Reason.INVALID_HANDLE)
    if flow.expires_at <= facts.now:
        return steps.no(flow, event, facts, Reason.EXPIRED_HANDLE)
    if type(event) not in LAWFUL[type(flow.stage)]:
        return steps.no(flow, event, facts, Reason.OUT_OF_TURN)
    if flow.evidence and (stopped := held.stopped(flow, event, facts)) is not None:
        return stopped
    if flow.evidence and (unfit := steps.unfit_account(flow, facts)) is not None:
        # Whoever has proven something may be told; and no step after it counts for such an account (FLOW-14).
        return steps.close(flow, event, facts, unfit)
    match event:
        case Identify():
            refused = toll.refusal(flow, event, facts)
            return refused or toll.paid(_identify(flow, event, client, facts), flow, event, facts)
        case Choose():
            return _choose(flow, event, client, facts)
        case Prove():
            return _prove(flow, event, client, facts)
        case SetPassword():
            return _set_password(flow, event, client, facts)
        case Supply():
            return sign_up.supply(flow, event, client, facts)
        case Enrol():
            return enrol.enrol(flow, event, client, facts)
        case Confirm():
            return enrol.confirm(flow, event, client, facts)
        case Look():
            return _look(flow, event, client, facts)
        case Resume():
            return _resume(flow, event, client, facts)


def _begin(event: Begin, client: Client, facts: Facts) -> Step:
    tenant = facts.directory.tenant
    flow = Flow(
        id=facts.entropy.take("flow", 16),
        purpose=event.purpose,
        client=client.id,
        dialect=event.dialect,
        offers=event.offers,
        stage=AwaitingIdentifier(),
        correlation_id=facts.signals.correlation_id,
        created_at=facts.now,
        expires_at=facts.now + tenant.flow_idle,
    )
    return Step(flow=flow, reply=NeedIdentifier())


def _identify(flow: Flow, event: Identify, client: Client, facts: Facts) -> Step:
    """Name the person, and take a seat among their flows. Nothing is verified and nothing is sent."""
    return seats.taken(_identified(flow, event, client, facts), event.identifier, facts)


def _identified(flow: Flow, event: Identify, client: Client, facts: Facts) -> Step:
    flow = replace(flow, identifier=event.identifier, hides=strangers.hides(flow.purpose, facts))
    if flow.purpose is Purpose.SIGN_UP:
        step = sign_up.identify(flow, event, client, facts)
        return step if flow.hides else strangers.signing_up(step, facts)
    if flow.purpose is Purpose.RESET_PASSWORD:
        return reset.identify(flow, event, facts)
    subject = steps.holder(event.identifier, facts)
    if subject is None and not flow.hides:
        return strangers.unknown(flow, event, facts)
    if subject is not None:
        flow = replace(flow, subject=subject.id, epoch=subject.epoch)
    if not flow.offers.passkey:
        first = _first_factor(flow, client, facts)
        if first is Kind.PASSWORD and not flow.offers.password:
            return steps.web(flow, event, facts, "The app did not list the challenge type password")
        if first is not Kind.PASSWORD and not flow.offers.code:
            return steps.web(flow, event, facts, "The app did not list the challenge type oob")
    return steps.go(flow, event, facts, AwaitingChoice(part="first"), NeedChoice(second=False))


def _choose(flow: Flow, event: Choose, client: Client, facts: Facts) -> Step:
    """Put the challenge; said again it is a resend, or a change of method."""
    if event.offers is not None:
        flow = replace(
            flow,
            offers=replace(
                flow.offers,
                password=event.offers.password,
                code=event.offers.code,
                passkey=flow.offers.passkey or event.offers.passkey,
            ),
        )
    match flow.stage:
        case AwaitingNewPassword():
            return steps.go(flow, event, facts, AwaitingNewPassword(offered=True), NeedNewPassword())
        case AwaitingChoice(part="verify") | AwaitingProof(part="verify"):
            return _choose_verification(flow, event, client, facts)
        case AwaitingChoice(part="first") | AwaitingProof(part="first"):
            return _choose_first(flow, event, client, facts)
        case AwaitingChoice(part="second") | AwaitingProof(part="second"):
            return _choose_second(flow, event, client, facts)
        case _:
            return steps.no(flow, event, facts, Reason.OUT_OF_TURN)


def _choose_verification(flow: Flow, event: Choose, client: Client, facts: Facts) -> Step:
    """Send a code to the address that a sign-up names, or to one of the account whose password is reset (OTP-16)."""
    target = reset.target(flow, client, facts) if flow.purpose is Purpose.RESET_PASSWORD else flow.identifier
    if target is None:
        return steps.no(flow, event, facts, Reason.OUT_OF_TURN)
    return challenges.send(flow, event, client, facts, "verify", Kind.EMAIL_OTP, target, None)


def _choose_first(flow: Flow, event: Choose, client: Client, facts: Facts) -> Step:
    """
    An app that lists passkeys is asked for one, whoever it is about: what else there is it learns by leaving them out.
    Else a person with a password proves it, anybody else a code to the sign-in address.
    """
    if _wants_passkey(flow, event):
        challenge = passkeys.asked(flow, facts)
        need = NeedProof(kind=Kind.PASSKEY, signing=passkeys.signing(flow, challenge, facts))
        return steps.go(
            flow, event, facts, AwaitingProof(part="first", challenge=challenge), need, sent=Kind.PASSKEY
        )
    kind = _first_factor(flow, client, facts)
    authenticator = next((a for a in _known(flow, facts) if a.kind is kind and not a.strong), None)
    if kind is Kind.PASSWORD:
        if not flow.offers.password:
            return steps.web(flow, event, facts, "The app did not list the challenge type password")
        challenge = Challenge(
            id=facts.entropy.guid("challenge"),
            kind=kind,
            authenticator=authenticator.id if authenticator else None,
            issued_at=facts.now,
            expires_at=flow.created_at + facts.directory.tenant.flow_lifetime,
        )
        return steps.go(
            flow, event, facts, AwaitingProof(part="first", challenge=challenge), NeedProof(kind=kind)
        )
    if not flow.offers.code:
        return steps.web(flow, event, facts, "The app did not list the challenge type oob")
    target = authenticator.target if authenticator else flow.identifier
    if target is None:
        return steps.no(flow, event, facts, Reason.OUT_OF_TURN)
    return challenges.send(flow, event, client, facts, "first", kind, target, authenticator)


def _wants_passkey(flow: Flow, event: Choose) -> bool:
    """What the app lists now; where it lists nothing, as before."""
    if event.offers is not None:
        return event.offers.passkey
    if isinstance(flow.stage, AwaitingProof):
        return flow.stage.challenge.kind is Kind.PASSKEY
    return flow.offers.passkey


def _choose_second(flow: Flow, event: Choose, client: Client, facts: Facts) -> Step:
    """Challenge the method named, or the only one. Policy is asked again: it may say something else by now."""
    decision = judge(flow, client, facts)
    methods = choices(decision, flow.offers)
    if not methods:
        return planned(flow, event, decision, facts)
    wanted = event.method
    if wanted is None and isinstance(flow.stage, AwaitingProof):
        wanted = flow.stage.challenge.authenticator
    if wanted is None and len(methods) > 1:
        return steps.no(flow, event, facts, Reason.CHOICE_NEEDED)
    chosen = next((a for a in methods if wanted in (None, a.id)), None)
    if chosen is not None and chosen.passkey is not None:
        challenge = passkeys.asked(flow, facts, chosen.id)
        need = NeedProof(kind=Kind.PASSKEY, signing=passkeys.signing_by(chosen, challenge, facts))
        return steps.go(
            flow, event, facts, AwaitingProof(part="second", challenge=challenge), need, sent=Kind.PASSKEY
        )
    if chosen is None or chosen.target is None:
        return steps.no(flow, event, facts, Reason.UNKNOWN_METHOD)
    return challenges.send(flow, event, client, facts, "second", chosen.kind, chosen.target, chosen)


def _prove(flow: Flow, event: Prove, client: Client, facts: Facts) -> Step:
    """Judge a proof. The try is spent before anything is compared, and given back when the proof is right."""
    stage = flow.stage
    if not isinstance(stage, AwaitingProof):
        return steps.no(flow, event, facts, Reason.OUT_OF_TURN)
    if stage.preverified:
        return steps.no(flow, event, facts, Reason.WRONG_KIND)
    challenge = stage.challenge
    if event.kind != SAID_AS.get(challenge.kind, "code"):
        return steps.no(flow, event, facts, Reason.WRONG_KIND)
    if challenge.kind is Kind.PASSKEY:
        return _prove_passkey(flow, event, stage.part, challenge, client, facts)
    authenticator = next((a for a in _known(flow, facts) if a.id == challenge.authenticator), None)
    if challenge.kind is Kind.PASSWORD:
        return _prove_password(flow, event, challenge, authenticator, client, facts)
    if not otp.is_countable(challenge, event.text.text):
        return steps.no(flow, event, facts, Reason.WRONG_CODE)
    lane = budgets.lane(flow, facts)
    budget = tuple(budgets.of_guess(flow, challenge, lane, facts.signals, facts.directory.tenant))
    spent = budgets.spend(budget, facts)
    if spent is None:
        return _wrong(flow, event, client, facts, Reason.WRONG_CODE)
    verdict = otp.verify(challenge, authenticator, event.text.text, facts.now, facts.code_key)
    if not isinstance(verdict, Right) or steps.is_decoy(flow, facts):
        told = _tell_of_end(budgets.ends_row(budget, spent), flow, client, facts)
        return _wrong(flow, event, client, facts, Reason.WRONG_CODE, *spent, *told)
    counts = [*budgets.right(flow, challenge, lane, (), facts), *telephony.used(flow, challenge, facts)]
    words = () if lane == "known" else suspicion.guesses_before(budget, facts)
    return _right(flow, event, stage.part, challenge, authenticator, client, facts, *counts, words=words)


def _prove_password(
    flow: Flow,
    event: Prove,
    challenge: Challenge,
    authenticator: Authenticator | None,
    client: Client,
    facts: Facts,
) -> Step:
    """
    Spend a try and ask the shell to compare; then step again with its verdict.

    The comparison is slow, so it happens between two steps. Tries that are being compared count as spent
    (OTP-09), and only a verdict closes the flow, so that a right password among wrong ones gets through (OTP-10).
    """
    tenant, checked = facts.directory.tenant, facts.checked
    lane = budgets.lane(flow, facts)
    budget = tuple(budgets.of_guess(flow, challenge, lane, facts.signals, tenant))
    tried = budgets.of_password(event.text.text, lane, facts)
    if checked is None or not _is_about(checked, authenticator):
        if checked is None and flow.failures + flow.pending >= tenant.tries_per_step:
            return steps.no(flow, event, facts, Reason.WRONG_PASSWORD)
        spent = budgets.spend(budget, facts) if budgets.spend(tried, facts) is not None else None
        pending = flow.pending + (1 if checked is None else 0)
        beside = facts.directory.tenant.foreign_hashes if flow.hides else ()
        if spent is not None:
            need = NeedCheck(
                authenticator=authenticator, text=event.text, spent=budgets.spent(spent), beside=beside
            )
            return Step(flow=replace(flow, pending=pending), reply=need, effects=spent)
        if checked is None:
            # It has to wait, so whatever the answer is, it is no; the time that it takes must not tell (ENUM-07).
            like = authenticator.material if authenticator else None
            need = NeedCheck(authenticator=None, text=event.text, spent=(), like=like, beside=beside)
            return Step(flow=replace(flow, pending=pending), reply=need)
    flow = replace(flow, pending=max(0, flow.pending - 1))
    if not checked.right or authenticator is None:
        # The password itself is counted now and not before, or those who share a right one would crowd each other out.
        counted = budgets.spend(tried, facts) or ()
        told = _tell_of_end(budgets.has_ended_row(budget, checked.spent, facts), flow, client, facts)
        return _wrong(flow, event, client, facts, Reason.WRONG_PASSWORD, *counted, *told)
    effects: list[Effect] = [*budgets.right(flow, challenge, lane, checked.spent, facts)]
    words = () if lane == "known" else tuple(suspicion.guesses_before((*budget, *tried), facts))
    if checked.rehashed is not None or (checked.leaked and not authenticator.leaked):
        material = checked.rehashed or authenticator.material
        changed = replace(authenticator, material=material, leaked=authenticator.leaked or checked.leaked)
        effects.append(PutAuthenticator(changed))
        others = tuple(a for a in facts.authenticators if a is not authenticator)
        facts = replace(facts, authenticators=(*others, changed))
    if checked.leaked and facts.subject is not None:
        words = (*words, "leakedCredentials")
        facts, found = suspicion.leaked(flow, facts)
        effects += found
    return _right(flow, event, "first", challenge, authenticator, client, facts, *effects, words=words)


def _prove_passkey(
    flow: Flow, event: Prove, part: Part, challenge: Challenge, client: Client, facts: Facts
) -> Step:
    """
    Spend a try and judge a signature: the user verified (WAN-02), the counter gone on (WAN-04).

    A counter that went back is told as a risk, since there may be two of that key.
    """
    lane = budgets.lane(flow, facts)
    budget = tuple(budgets.of_guess(flow, challenge, lane, facts.signals, facts.directory.tenant))
    spent = budgets.spend(budget, facts)
    found = passkeys.signed(flow, event.text.text, challenge, client, facts) if spent is not None else None
    if found is None:
        return _wrong(flow, event, client, facts, Reason.WRONG_PASSKEY, *(spent or ()))
    prover, signed = found
    if not signed.counter_ok:
        cloned = suspicion.cloned(flow, facts)
        return _wrong(flow, event, client, facts, Reason.WRONG_PASSKEY, *(spent or ()), cloned)
    if not signed.verified:
        return _wrong(flow, event, client, facts, Reason.WRONG_PASSKEY, *(spent or ()))
    used = replace(prover, passkey=signed.passkey, last_used_at=facts.now)
    counts = budgets.right(flow, challenge, lane, (), facts)
    return _right(flow, event, part, challenge, used, client, facts, PutAuthenticator(used), *counts)


def _wrong(flow: Flow, event: Event, client: Client, facts: Facts, reason: Reason, *effects: Effect) -> Step:
    """
    One try less. At the limit the flow is over, and even the right answer comes too late (OTP-05, OTP-15).

    What an authenticator was to sign is good for one answer (WAN-01): after a wrong one it is asked anew.
    """
    stage = flow.stage
    if isinstance(stage, AwaitingProof) and stage.challenge.kind is Kind.PASSKEY:
        stage = AwaitingChoice(part=stage.part)
    misses = (*flow.misses, _miss(flow, facts))
    flow = replace(flow, stage=stage, failures=flow.failures + 1, misses=misses)
    if flow.failures >= facts.directory.tenant.tries_per_step:
        told = _warn_owner(flow, client, facts)
        flow = replace(flow, stage=Closed(outcome=Reason.TRIES_EXHAUSTED))
        effects = (*effects, *told)
    return steps.kept(flow, event, facts, Refused(reason=reason), *effects)


def _miss(flow: Flow, facts: Facts) -> Attempt:
    stage = flow.stage
    assert isinstance(stage, AwaitingProof)  # noqa: S101 - only proofs are wrong
    return Attempt(
        kind=stage.challenge.kind,
        part=PARTS[stage.part],
        at=facts.now,
        succeeded=False,
        authenticator=stage.challenge.authenticator,
    )


def _tell_of_end(ends: bool, flow: Flow, client: Client, facts: Facts) -> list[Deliver]:
    """Tell the owner when so much was guessed that no more is judged for a while (OTP-14)."""
    if not ends or facts.subject is None or flow.subject is None:
        return []
    return steps.notices(facts.subject, facts, client, "guesses_exhausted")


def _warn_owner(flow: Flow, client: Client, facts: Facts) -> list[Deliver]:
    """Tell the owner when somebody who has passed the first factor keeps failing the second (OTP-14)."""
    if facts.subject is None or challenges.part_of(flow) != "second":
        return []
    return steps.notices(facts.subject, facts, client, "second_factor_failed")


def _right(
    flow: Flow,
    event: Event,
    part: Part,
    challenge: Challenge,
    authenticator: Authenticator | None,
    client: Client,
    facts: Facts,
    *effects: Effect,
    words: Iterable[str] = (),
) -> Step:
    """Note the evidence: handles of the phase before it are dead from here. Then see what is still to be done."""
    signs_up_by_code = (
        flow.purpose is Purpose.SIGN_UP and facts.directory.user_flow(client).first_factor is Kind.EMAIL_OTP
    )
    role = "first" if part == "verify" and signs_up_by_code else PARTS[part]
    proven = Evidence(
        kind=challenge.kind,
        authenticator=authenticator.id if authenticator else None,
        place=challenge.target.place if challenge.target else None,
        at=facts.now,
        part=role,
    )
    before = flow
    flow, found = suspicion.noticed(steps.proven(flow, proven), facts, words)
    effects = (*effects, *found)
    if (stopped := held.stopped(flow, event, facts)) is not None:
        if isinstance(stopped.reply, NeedLift):
            return stopped
        return replace(stopped, effects=(*stopped.effects, *effects))
    if (unfit := steps.unfit_account(flow, facts)) is not None:
        return steps.close(before, event, facts, unfit)
    if isinstance(event, Prove) and flow.demand is None and flow.subject is not None:
        flow = replace(flow, demand=event.demand)
    if part == "verify" and flow.purpose is Purpose.RESET_PASSWORD:
        return reset.verified(flow, event, facts, *effects)
    if part == "verify":
        return sign_up.further(flow, event, client, facts, *effects)
    if part == "enrol":
        return enrol.enrolled(flow, event, challenge, client, facts, *effects)
    decision = judge(flow, client, facts)
    told = _tell_of_refusal(flow, decision, client, facts)
    return planned(flow, event, decision, facts, *effects, *told)


def _tell_of_refusal(flow: Flow, decision: Decision, client: Client, facts: Facts) -> list[Effect]:
    """Tell the owner, now and then, when somebody who could prove a factor was refused because it looked dangerous."""
    subject = facts.subject
    if subject is None or decision.outcome not in ("block", "deny"):
        return []
    if not {suspicion.seen(flow, facts).level, subject.risk.level} & DANGEROUS:
        return []
    bucket = rate.refusals_told(subject.id)
    history = rate.spend(facts.histories[bucket], rate.REFUSALS_TOLD, facts.now)
    if history is None:
        return []
    return [
        Count(bucket=bucket, history=history, keep_until=rate.keep_until(history, rate.REFUSALS_TOLD)),
        *steps.notices(subject, facts, client, "sign_in_refused"),
    ]


def _set_password(flow: Flow, event: SetPassword, client: Client, facts: Facts) -> Step:
    """Set a password where it is the flow's turn: that of a new account, or a new one after a reset's code."""
    if not isinstance(flow.stage, AwaitingNewPassword) or not flow.stage.offered:
        return steps.no(flow, event, facts, Reason.OUT_OF_TURN)
    if flow.purpose is Purpose.RESET_PASSWORD:
        return reset.set_password(flow, event, client, facts)
    return sign_up.set_password(flow, event, client, facts)


def _resume(flow: Flow, event: Resume, client: Client, facts: Facts) -> Step:
    """
    Decide, here and now, whether there are tokens: the account, every method used, and policy are judged again.

    What has changed since the last proof counts (FLOW-14). Only the outcome `allow` of this very call opens a grant.
    """
    subject = facts.subject
    if subject is None:
        return steps.close(
            flow, event, facts, Reason.INVALID_HANDLE if flow.hides else Reason.UNKNOWN_SUBJECT
        )
    if event.identifier is not None and event.identifier.key not in {i.key for i in subject.identifiers}:
        return steps.no(flow, event, facts, Reason.SUBJECT_MISMATCH)
    if (stopped := held.stopped(flow, event, facts)) is not None:
        return stopped
    if (unfit := steps.unfit_account(flow, facts)) is not None:
        return steps.close(flow, event, facts, unfit)
    active = {a.id for a in facts.authenticators}
    if any(e.authenticator is not None and e.authenticator not in active for e in flow.evidence):
        return steps.close(flow, event, facts, Reason.INVALID_HANDLE)
    demand = flow.demand or event.demand or NOTHING_DEMANDED
    flow = replace(flow, demand=demand)
    decision = judge(flow, client, facts)
    if decision.outcome != "allow":
        return planned(flow, event, decision, facts)
    question = extensions.about_tokens(subject, client, demand, facts)
    heard = extensions.answer(question, facts)
    if heard is None and question is not None:
        return steps.asks(question)
    if isinstance(heard, Blocks | Fails):
        return steps.stopped(flow, event, facts, heard)
    grant, refresh = grants.open_grant(
        grant_id=facts.entropy.take("grant", 16),
        secret=facts.entropy.take("refresh", 32),
        subject=subject,
        client=client,
        demand=demand,
        evidence=flow.evidence,
        tenant=facts.directory.tenant,
        now=facts.now,
    )
    ready = Ready(
        subject=subject,
        client=client,
        demand=demand,
        assurance=assurance(flow.evidence),
        contexts=decision.acrs,
        groups=facts.groups,
        grant=grant,
        refresh=refresh,
        token_id=facts.entropy.guid("token"),
        claims=extensions.claims(question, heard),
    )
    settled = suspicion.settled(flow, decision, facts)
    told = _tell_of_new_place(client, facts)
    flow = replace(flow, stage=Closed(outcome="issued"))
    return steps.kept(flow, event, facts, ready, PutGrant(grant), *settled, *told, decision=decision)


def _tell_of_new_place(client: Client, facts: Facts) -> list[Effect]:
    """
    Tell the owner of tokens that went to a network from which nobody has signed in to this account before.

    Its mailboxes always; its numbers once a day, since those who travel change networks and each text costs money.
    """
    subject, seen = facts.subject, budgets.sighting(facts.signals)
    if subject is None or not facts.directory.tenant.tell_new_places:
        return []
    if not seen.network or not facts.footprint.networks:
        return []  # Nothing is known of the request, or nothing yet of the account.
    if knows_network(facts.footprint, seen, facts.now):
        return []
    notices = steps.notices(subject, facts, client, "new_device")
    bucket = rate.new_places_told(subject.id)
    history = rate.spend(facts.histories[bucket], rate.NEW_PLACES_TOLD, facts.now)
    if history is None:
        return [n for n in notices if n.message.channel is Channel.EMAIL]
    count = Count(bucket=bucket, history=history, keep_until=rate.keep_until(history, rate.NEW_PLACES_TOLD))
    return [count, *notices]


def _look(flow: Flow, event: Look, client: Client, facts: Facts) -> Step:
    """What is awaited, once more. Nothing is written."""
    match flow.stage:
        case AwaitingChoice(part="second") | AwaitingProof(part="second"):
            decision = judge(flow, client, facts)
            if not choices(decision, flow.offers):
                return planned(flow, event, decision, facts)
            return steps.shown(flow, second_factors(decision, flow.offers))
        case AwaitingEnrolment():
            decision = judge(flow, client, facts)
            if decision.outcome != "register":
                return planned(flow, event, decision, facts)
            if may_enrol(flow, client, facts).outcome != "allow":
                return steps.no(flow, event, facts, Reason.ENROLMENT_BLOCKED)
            return steps.shown(flow, enrolments(decision, steps.sign_in_address(facts)))
        case AwaitingProof(challenge=challenge, part=part):
            shown = challenges.label(flow, part, challenge.target) if challenge.target else ""
            return steps.shown(
                flow,
                NeedProof(
                    kind=challenge.kind, hint=shown, length=challenge.length, enrolling=part == "enrol"
                ),
            )
        case AwaitingAttributes():
            lacking = attributes.missing(flow.attributes, facts.directory.user_flow(client).attributes)
            return steps.shown(flow, NeedAttributes(attributes=lacking))
        case AwaitingNewPassword():
            return steps.shown(flow, NeedNewPassword())
        case AwaitingResume() if flow.purpose is Purpose.RESET_PASSWORD:
            return reset.poll(flow, event, facts)
        case AwaitingResume():
            return steps.shown(flow, NeedResume())
        case _:
            return steps.shown(flow, NeedChoice(second=False))


def _unfit(client: Client, facts: Facts) -> Reason | None:
    """Why this client may not speak here at all."""
    if client.kind != "public":
        return Reason.CLIENT_NOT_PUBLIC
    if not client.native:
        return Reason.CLIENT_NOT_NATIVE
    origin = facts.signals.origin
    if origin is not None and not steps.is_origin_of(client, origin):
        return Reason.FOREIGN_ORIGIN
    return None


def _known(flow: Flow, facts: Facts) -> tuple[Authenticator, ...]:
    """The authenticators of the flow's own subject: none for an unknown person, whoever holds the address by now."""
    return facts.authenticators if flow.subject is not None else ()


def _first_factor(flow: Flow, client: Client, facts: Facts) -> Kind:
    """Password for whoever has one, else a code; for an unknown person what newcomers here use (ENUM-02)."""
    if flow.subject is None:
        return facts.directory.user_flow(client).first_factor
    return Kind.PASSWORD if any(a.kind is Kind.PASSWORD for a in _known(flow, facts)) else Kind.EMAIL_OTP


def _is_about(checked: Checked, authenticator: Authenticator | None) -> bool:
    """The verdict was reached on what is stored now."""
    if authenticator is None:
        return checked.authenticator is None
    return checked.authenticator == authenticator.id and checked.revision == authenticator.revision
