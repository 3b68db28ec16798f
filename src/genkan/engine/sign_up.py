"""
Sign up: address, password and attributes in any order, and in the end an account.

Nothing is reserved and nothing is sent before the address is proven; the account exists from the step that has
everything (ENR-11). Source: native-auth-v1 6; conditional-access 6.3.
"""

from __future__ import annotations

from msgspec.structs import replace

from genkan.engine import attributes, extensions, steps
from genkan.engine.challenges import part_of
from genkan.engine.flow import (
    AwaitingAttributes,
    AwaitingChoice,
    AwaitingNewPassword,
    AwaitingProof,
    AwaitingResume,
    Flow,
)
from genkan.engine.messages import (
    Blocks,
    Effect,
    Event,
    Facts,
    Fails,
    Heard,
    Identify,
    NeedAttributes,
    NeedChoice,
    NeedNewPassword,
    NeedResume,
    Objects,
    PutAuthenticator,
    PutSubject,
    SetPassword,
    Step,
    Supply,
    Values,
)
from genkan.model import Authenticator, Client, Evidence, Kind, Purpose, Reason, Scalar, Subject, UserFlow


def identify(flow: Flow, event: Identify, client: Client, facts: Facts) -> Step:
    """Name the address of a new account; password and attributes may come along. Nothing is reserved (ENUM-03)."""
    user_flow = facts.directory.user_flow(client)
    if not user_flow.sign_up:
        return steps.no(flow, event, facts, Reason.SIGN_UP_DISABLED)
    if facts.subject is not None and not steps.is_taken(flow, facts):
        return steps.no(flow, event, facts, Reason.SUBJECT_EXISTS)
    by_password = user_flow.first_factor is Kind.PASSWORD
    if not flow.offers.code:
        return steps.web(flow, event, facts, "The app did not list the challenge type oob")
    if by_password and not flow.offers.password:
        return steps.web(flow, event, facts, "The app did not list the challenge type password")
    judged = attributes.judge(event.attributes, user_flow.attributes)
    if judged.refused:
        return steps.no(flow, event, facts, Reason.ATTRIBUTES_REFUSED, attributes=judged.refused)
    flow = replace(flow, attributes=judged.accepted)
    if by_password and event.password is not None:
        if facts.hashed is None or facts.hashed.refused is not None:
            refused = facts.hashed.refused if facts.hashed else None
            return steps.no(flow, event, facts, refused or Reason.PASSWORD_INVALID)
        flow = replace(flow, password=facts.hashed.material)
    return steps.go(flow, event, facts, AwaitingChoice(part="verify"), NeedChoice(second=False))


def set_password(flow: Flow, event: SetPassword, client: Client, facts: Facts) -> Step:
    """Keep the new password, hashed, until the account exists."""
    hashed = facts.hashed
    if hashed is None or hashed.material is None:
        return steps.no(flow, event, facts, (hashed.refused if hashed else None) or Reason.PASSWORD_INVALID)
    flow = replace(flow, password=hashed.material, phase=flow.phase + 1)
    return further(flow, event, client, facts)


def supply(flow: Flow, event: Supply, client: Client, facts: Facts) -> Step:
    """Keep the attributes; before the address is proven that is all that happens."""
    early = isinstance(flow.stage, AwaitingChoice | AwaitingProof)
    if flow.purpose is not Purpose.SIGN_UP or (early and part_of(flow) != "verify"):
        return steps.no(flow, event, facts, Reason.OUT_OF_TURN)
    judged = attributes.judge(event.attributes, facts.directory.user_flow(client).attributes)
    if judged.refused:
        return steps.no(flow, event, facts, Reason.ATTRIBUTES_REFUSED, attributes=judged.refused)
    flow = replace(flow, attributes={**flow.attributes, **judged.accepted})
    if early:
        return steps.go(flow, event, facts, flow.stage, NeedAttributes(unverified=True))
    return further(flow, event, client, facts)


def _lost_race(flow: Flow, event: Event, client: Client, facts: Facts) -> Step:
    """Somebody else, who could read the mailbox too, has signed it up since. Where that is hidden, mail says so."""
    own = steps.sign_in_address(facts)
    if not flow.hides or own is None:
        return steps.close(flow, event, facts, Reason.SUBJECT_EXISTS)
    closed = steps.close(flow, event, facts, Reason.INVALID_HANDLE)
    return replace(closed, effects=(*closed.effects, steps.notice(own, facts, client, "account_exists")))


def _valued(heard: Heard | None, user_flow: UserFlow) -> dict[str, Scalar] | Blocks | Fails:
    """The values that an extension gives: of what is collected, and all of them of its type."""
    if isinstance(heard, Blocks | Fails):
        return heard
    if not isinstance(heard, Values):
        return {}
    judged = attributes.judge_theirs(heard.attributes, user_flow.attributes)
    if judged.refused:
        return Fails(number=extensions.BAD_BODY, why="a value does not fit its attribute")
    return judged.accepted


def _objected(
    flow: Flow, event: Event, heard: Objects, user_flow: UserFlow, facts: Facts, *effects: Effect
) -> Step:
    """
    An extension does not take the attributes: whoever has just handed them in hears which, as of any that are refused.

    Where they were handed in earlier, those it names are asked for again. What nobody is asked cannot be mended.
    """
    asked = tuple(attribute for attribute in user_flow.attributes if attribute.asked)
    about = tuple(a for a in asked if a.name in heard.attributes) or asked
    if not about:
        return steps.stopped(flow, event, facts, Blocks(heard.message), *effects)
    names = tuple(attribute.name for attribute in about)
    if isinstance(event, Supply):
        return steps.no(flow, event, facts, Reason.ATTRIBUTES_REFUSED, heard.message, attributes=names)
    kept = {name: value for name, value in flow.attributes.items() if name not in names}
    again = NeedAttributes(attributes=tuple(replace(attribute, required=True) for attribute in about))
    return steps.go(replace(flow, attributes=kept), event, facts, AwaitingAttributes(), again, *effects)


def further(flow: Flow, event: Event, client: Client, facts: Facts, *effects: Effect) -> Step:
    """What a sign-up still lacks, in the order of native-auth-v1 6.3; with nothing lacking, the account."""
    user_flow = facts.directory.user_flow(client)
    if not user_flow.sign_up:
        return steps.close(flow, event, facts, Reason.SIGN_UP_DISABLED)
    by_password = user_flow.first_factor is Kind.PASSWORD
    if by_password and flow.password is None:
        return steps.go(flow, event, facts, AwaitingNewPassword(offered=False), NeedNewPassword(), *effects)
    if not flow.started:
        question = extensions.about_sign_up(
            "attributes_start", flow, client, user_flow.attributes, flow.attributes, facts
        )
        heard = extensions.answer(question, facts)
        if heard is None and question is not None:
            return steps.asks(question)
        prefilled = _valued(heard, user_flow)
        if isinstance(prefilled, Blocks | Fails):
            return steps.stopped(flow, event, facts, prefilled, *effects)
        flow = replace(flow, started=True, attributes={**prefilled, **flow.attributes})
    lacking = attributes.missing(flow.attributes, user_flow.attributes)
    if lacking:
        return steps.go(
            flow, event, facts, AwaitingAttributes(), NeedAttributes(attributes=lacking), *effects
        )
    if facts.subject is not None or flow.identifier is None:
        return _lost_race(flow, event, client, facts)
    held = attributes.completed(flow.attributes, user_flow.attributes)
    question = extensions.about_sign_up("attributes_submit", flow, client, user_flow.attributes, held, facts)
    heard = extensions.answer(question, facts)
    if heard is None and question is not None:
        return steps.asks(question)
    if isinstance(heard, Objects):
        return _objected(flow, event, heard, user_flow, facts, *effects)
    modified = _valued(heard, user_flow)
    if isinstance(modified, Blocks | Fails):
        return steps.stopped(flow, event, facts, modified, *effects)
    held |= modified
    subject = Subject(
        id=facts.entropy.guid("subject"),
        identifiers=(flow.identifier,),
        attributes=attributes.kept(held, user_flow.attributes),
        created_at=facts.now,
    )
    first = Authenticator(
        id=facts.entropy.guid("authenticator"),
        subject=subject.id,
        kind=Kind.PASSWORD if by_password else Kind.EMAIL_OTP,
        target=None if by_password else flow.identifier,
        material=flow.password,
        strong=False,
        source="sign_up",
        created_at=facts.now,
    )
    if by_password:
        proven = Evidence(kind=Kind.PASSWORD, authenticator=first.id, at=facts.now, part="first")
        flow = replace(flow, evidence=(*flow.evidence, proven), password=None)
    else:
        flow = replace(flow, evidence=tuple(replace(e, authenticator=first.id) for e in flow.evidence))
    flow = replace(flow, subject=subject.id, attributes={})
    created = (*effects, PutSubject(subject), PutAuthenticator(first))
    return steps.go(flow, event, facts, AwaitingResume(), NeedResume(), *created, subject=subject.id)
