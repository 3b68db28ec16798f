"""
What the policies of a tenant want of one attempt, at this moment.

`decide` is the whole of it: which policies apply (`match`), what each of them asks (`ask`) of a person with this
`standing`, and the one thing that comes next. It is asked anew after every proof, at every issue of tokens and at
every refresh, and its answer is never kept: a flow carries what was proven, not a verdict.
What cannot be judged is refused.
Knows nothing of flows, dialects, storage or the clock.
Source: conditional-access 4 to 12; CA-01 to CA-07.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from genkan.model import SECURITY_INFO, Kind, Purpose, Reason
from genkan.policy.ask import Ask, ask, interval, is_fresh, oldest_second
from genkan.policy.index import PolicySet
from genkan.policy.match import Fault, View, fault_words
from genkan.policy.model import (
    AUTHENTICATION_CONTEXTS,
    STRENGTH,
    Applications,
    Applied,
    Conditions,
    Context,
    Decision,
    GrantControls,
    Person,
    Policy,
    Session,
    Users,
)
from genkan.policy.standing import Standing, first_factor
from genkan.policy.trace import REPORT_ONLY, find, score


def decide(policies: Sequence[Policy], context: Context) -> Decision:
    """
    Say what is still wanted before there may be tokens, with a trace of every policy.

    Before a first factor is proven nothing is evaluated, so nothing can be learnt about policies without one.
    Raises:   nothing; a fault is a refusal, and the trace says so.
    Source:   conditional-access 5.
    """
    try:
        first, person = first_factor(context), context.person
        if context.kind == "client" and person is None:
            return _decide_for_client(policies, context)
        if context.kind == "client" or person is None or first is None:
            return NOTHING_PROVEN
        return _decide_for_person(policies, Standing(context, person, first))
    except Exception as fault:  # noqa: BLE001 - whatever it was: who cannot judge must refuse
        return replace(FAULTY, trace=(Applied("", "any", "enabled", "unknown", fault_words(fault)),))


class Case(Struct, frozen=True):
    """All that bears on the conclusion: the person, the enabled policies that apply, and what these ask."""

    standing: Standing
    binding: tuple[Policy, ...]
    asks: tuple[Ask, ...]
    is_faulty: bool
    """Some policy could not be judged."""


def _decide_for_person(policies: Sequence[Policy], standing: Standing) -> Decision:
    """
    Find the policies that apply, see what each asks, and conclude.

    Only enabled policies bind. Report-only ones are judged alike, but for the trace alone.
    """
    context = standing.context
    if context.security_defaults:
        policies = (*policies, _security_defaults(standing.person))
    if standing.person.has_leaked_password:
        has_second = standing.usable or standing.passkeys
        policies = (*policies, LEAKED_PASSWORD_WITH_MFA if has_second else LEAKED_PASSWORD)
    if context.demand.resource == SECURITY_INFO and standing.registered:
        policies = (*policies, SECURITY_INFO_WITH_MFA)
    if not isinstance(policies, PolicySet):
        policies = PolicySet(policies)
    contexts = () if context.kind == "user_action" else context.demand.contexts
    if not AUTHENTICATION_CONTEXTS.issuperset(contexts):
        raise Fault("an authentication context is not known")

    view = View(context, frozenset(contexts))
    trace, positions = policies.sift(view)
    applying: list[tuple[int, Policy]] = []
    for position in positions:
        found = find(policies[position], view)
        if isinstance(found, Policy):
            applying.append((position, found))
        else:
            trace[position] = found
    binding = tuple(policy for _, policy in applying if policy.state == "enabled")
    for policy in binding:
        standing = standing.limited(oldest_second(policy, context))

    answers: dict[str, Ask] = {}
    asks: list[Ask] = []
    for position, policy in applying:
        asked = answers.get(policy.controls)
        if asked is None:  # Many policies ask the same.
            asked = answers[policy.controls] = ask(policy, standing)
        if policy.state == "enabled":
            asks.append(asked)
        trace[position] = score(policy, asked)

    judged = (trace[position] for position in positions)
    faults = [entry for entry in judged if entry.result == "unknown" and entry.state != REPORT_ONLY]
    case = Case(standing, binding, tuple(asks), is_faulty=bool(faults))
    decision = _conclude_enrolment(case) if context.kind == "user_action" else _conclude(case)
    acrs = (*contexts, *_contexts_met_unasked(policies, standing)) if decision.outcome == "allow" else ()
    return replace(
        decision,
        acrs=acrs,
        requires_mfa=_requires_mfa(asks),
        session=_session(binding),
        trace=tuple(trace),
    )


def _decide_for_client(policies: Sequence[Policy], context: Context) -> Decision:
    """A client that acts for itself: policies are for people, so none applies. No context is earned either."""
    view = View(context, frozenset())
    trace = tuple(entry for entry in (find(p, view) for p in policies) if isinstance(entry, Applied))
    return replace(SATISFIED, trace=trace)


def _security_defaults(person: Person) -> Policy:
    """The rule of security defaults, written as a policy: whoever holds a role needs MFA. Source: 12."""
    return Policy(
        id="securityDefaults",
        display_name="Security defaults",
        state="enabled",
        conditions=Conditions(
            users=Users(include_roles=tuple(person.roles)),
            applications=Applications(include_applications=("All",)),
        ),
        grant_controls=GrantControls(operator="OR", built_in_controls=("mfa",)),
    )


LEAKED_PASSWORD = Policy(
    id="leakedPassword",
    display_name="A leaked password must be changed",
    state="enabled",
    conditions=Conditions(
        users=Users(include_users=("All",)), applications=Applications(include_applications=("All",))
    ),
    grant_controls=GrantControls(operator="AND", built_in_controls=("passwordChange",)),
)
"""Whoever signs in by a password that others may know has to set another, whatever else holds. Source: THR-06."""

LEAKED_PASSWORD_WITH_MFA = replace(
    LEAKED_PASSWORD,
    grant_controls=GrantControls(operator="AND", built_in_controls=("mfa", "passwordChange")),
)
"""Where there is a second factor it comes first: only who passes it learns that the password was right and leaked."""

SECURITY_INFO_WITH_MFA = Policy(
    id="securityInfo",
    display_name="Security information needs every factor that there is",
    state="enabled",
    conditions=Conditions(
        users=Users(include_users=("All",)),
        applications=Applications(include_applications=(SECURITY_INFO,)),
    ),
    grant_controls=GrantControls(operator="OR", built_in_controls=("mfa",)),
)
"""Whoever has a second factor shows it before they change how they prove themselves. Source: ENR-01, SES-08."""

# What comes next? -------------------------------------------------------------------------------------

SATISFIED = Decision(outcome="allow", because="Every policy that applies is satisfied.")

NOTHING_PROVEN = Decision(
    outcome="deny",
    reason=Reason.BLOCKED_BY_POLICY,
    because="Nothing is decided before a first factor is proven.",
)
BLOCKED = Decision(
    outcome="block",
    reason=Reason.BLOCKED_BY_POLICY,
    because="A policy does not allow this sign-in.",
)
FAULTY = Decision(
    outcome="deny",
    reason=Reason.BLOCKED_BY_POLICY,
    because="This sign-in could not be judged, so it is refused.",
)
TOO_WEAK = Decision(
    outcome="deny",
    reason=Reason.BLOCKED_BY_POLICY,
    because="None of your methods is strong enough for what you are signing in to.",
)
DEVICE_NOT_COMPLIANT = Decision(
    outcome="deny",
    reason=Reason.DEVICE_NOT_COMPLIANT,
    because="Only a managed device may sign in here, and this one is not known as such.",
)
DEVICE_NOT_JOINED = replace(DEVICE_NOT_COMPLIANT, reason=Reason.DEVICE_NOT_JOINED)
APP_NOT_APPROVED = Decision(
    outcome="deny",
    reason=Reason.APP_NOT_APPROVED,
    because="Only an approved app may sign in here, and this one is not known as such.",
)
STALE = Decision(
    outcome="reauth",
    reason=Reason.REAUTHENTICATION_REQUIRED,
    because="You signed in too long ago; sign in again.",
)
FACTOR_REQUIRED = Decision(
    outcome="mfa",
    reason=Reason.FACTOR_REQUIRED,
    because="A second factor is needed; sign in again.",
)
TOO_RISKY_TO_ENROL = Decision(
    outcome="deny",
    reason=Reason.ENROLMENT_TOO_RISKY,
    because="This sign-in is unusual, so no second factor can be registered in it.",
)
ENROLMENT_BLOCKED = Decision(
    outcome="deny",
    reason=Reason.ENROLMENT_BLOCKED,
    because="A policy does not allow a second factor to be registered now.",
)
NO_METHOD = Decision(
    outcome="no_method",
    reason=Reason.NO_METHOD,
    because="A second factor is needed, and you have none that may be used here; ask your administrator.",
)
PASSWORD_CHANGE = Decision(
    outcome="password_change",
    reason=Reason.PASSWORD_MUST_CHANGE,
    because="Your password must be changed first; reset it, then sign in again.",
)

IMPOSSIBLE = {
    STRENGTH: TOO_WEAK,
    "compliantDevice": DEVICE_NOT_COMPLIANT,
    "domainJoinedDevice": DEVICE_NOT_JOINED,
    "approvedApplication": APP_NOT_APPROVED,
    "compliantApplication": APP_NOT_APPROVED,
}
"""The refusal for a control that cannot be met, in the order of prompts: of several the first is given."""


def _conclude(case: Case) -> Decision:
    """
    The one thing that comes next.

    All policies must be satisfied, and each question is put to all of them at once: so their order never matters.
    Source: conditional-access 5, phase 2.
    """
    impossible = {a.impossible for a in case.asks}
    if "block" in impossible:
        return BLOCKED
    if case.is_faulty:
        return FAULTY
    if any(impossible):
        return next(refusal for control, refusal in IMPOSSIBLE.items() if control in impossible)
    if any(a.is_stale for a in case.asks):
        return STALE
    if any(a.wants_second_factor for a in case.asks):
        return _second_factor(case)
    if case.standing.context.enrolled and _requires_mfa(case.asks) and _is_risky(case):
        return TOO_RISKY_TO_ENROL  # The risk came up after the method was registered.
    if any("passwordChange" in a.unmet for a in case.asks):
        return PASSWORD_CHANGE
    return SATISFIED


def _conclude_enrolment(case: Case) -> Decision:
    """The user action of registering: whatever is unmet refuses it, since nothing can be asked here. Source: 11."""
    if any(a.impossible == "block" for a in case.asks):
        return replace(ENROLMENT_BLOCKED, outcome="block")
    if case.is_faulty:
        return FAULTY
    return SATISFIED if all(a.is_met for a in case.asks) else ENROLMENT_BLOCKED


def _second_factor(case: Case) -> Decision:
    """
    Ask for a second factor that satisfies every policy, or have one registered, or say that there is none.

    Source: conditional-access 6.2, 8, 10.
    """
    standing = case.standing
    if standing.context.kind == "refresh":
        return FACTOR_REQUIRED
    strengths = [a.strength for a in case.asks if STRENGTH in a.unmet and a.strength is not None]

    def is_strong_enough(kind: Kind) -> bool:
        return all(standing.meets(strength, kind) for strength in strengths)

    usable = tuple(a for a in standing.usable if is_strong_enough(a.kind))
    passkeys = standing.passkeys if is_strong_enough(Kind.PASSKEY) else ()
    if usable:
        return Decision(outcome="mfa", because="A second factor is needed.", usable=usable, passkeys=passkeys)
    if passkeys:
        return Decision(
            outcome="mfa", because="A second factor is needed; yours is a passkey.", passkeys=passkeys
        )
    registrable = tuple(kind for kind in standing.registrable if is_strong_enough(kind))
    if registrable and _is_risky(case):
        return TOO_RISKY_TO_ENROL
    if registrable:
        return Decision(
            outcome="register",
            because="A second factor is needed, and you have none yet; register one.",
            registrable=registrable,
            enrolment_places="any" if standing.may_enrol_anywhere else "sign_in_address",
            spent_places=standing.spent,
        )
    return TOO_WEAK if strengths else _no_method(standing)


def _is_risky(case: Case) -> bool:
    """
    Some policy applies because of a risk; the level `none` is no risk.

    Nobody may add a method of their own to an account that might be in the wrong hands.
    Source: conditional-access 10.
    """
    conditions = [policy.conditions for policy in case.binding]
    of_sign_in = case.standing.context.sign_in_risk != "none" and any(
        c.sign_in_risk_levels for c in conditions
    )
    of_user = case.standing.person.risk != "none" and any(c.user_risk_levels for c in conditions)
    return of_sign_in or of_user


def _requires_mfa(asks: Sequence[Ask]) -> bool:
    return any(a.rests_on_second_factor for a in asks)


def _no_method(standing: Standing) -> Decision:
    """Terminal, so the sentence says where the way in is. Source: conditional-access 6.2, 6.3."""
    if standing.person.waits_after_reset:
        because = "The password was reset a short while ago; sign in again 24 hours after that."
        return replace(NO_METHOD, because=because)
    if standing.context.purpose is Purpose.RESET_PASSWORD and standing.is_held_up_by_reset:
        because = "The code of the reset cannot be your second factor as well; sign in again."
        return replace(NO_METHOD, because=because)
    can_open = standing.person.sign_in_place is not None and not standing.may_enrol_anywhere
    if can_open and not standing.registered and standing.is_enabled(Kind.SMS_OTP):
        because = "A second factor is needed. Reset your password: its code lets you register a phone."
        return replace(NO_METHOD, because=because)
    return NO_METHOD


# What goes with it. -----------------------------------------------------------------------------------


def _contexts_met_unasked(policies: Sequence[Policy], standing: Standing) -> tuple[str, ...]:
    """
    The authentication contexts that nobody asked for and that are satisfied as things stand.

    Only for resources that want to know, only those that some policy is about, and without ever asking for more.
    Source: conditional-access 7.
    """
    context = standing.context
    if not context.wants_acrs or context.kind == "user_action":
        return ()
    named = {
        name
        for policy in policies
        if policy.state == "enabled"
        for name in policy.conditions.applications.include_authentication_context_class_references
    }
    unasked = sorted(
        (named & AUTHENTICATION_CONTEXTS).difference(context.demand.contexts), key=lambda name: int(name[1:])
    )
    return tuple(name for name in unasked if _is_context_met(name, policies, standing))


def _is_context_met(name: str, policies: Sequence[Policy], standing: Standing) -> bool:
    """Every policy about the context that applies to this person is met, and every factor is fresh enough for it."""
    view = View(standing.context, frozenset({name}))
    about = [
        p
        for p in policies
        if name in p.conditions.applications.include_authentication_context_class_references
    ]
    for policy in about:
        found = find(policy, view)
        if isinstance(found, Applied):
            is_met = found.result != "unknown"
        else:
            is_met = ask(found, standing).is_met and is_fresh(found, standing)
        if found.state == "enabled" and not is_met:
            return False
    return True


def _session(binding: Sequence[Policy]) -> Session:
    """The session controls of all applying policies: the shortest frequency, and never before always."""
    controls = [policy.session_controls for policy in binding if policy.session_controls]
    if not controls:
        return NO_SESSION
    intervals = [limit for policy in binding if (limit := interval(policy)) is not None]
    browsers = [c.persistent_browser for c in controls if c.persistent_browser is not None]
    modes = {browser.mode for browser in browsers if browser.is_enabled}
    return Session(
        sign_in_frequency=min(intervals, default=None),
        persistent_browser="never" if "never" in modes else "always" if "always" in modes else None,
    )


NO_SESSION = Session()
