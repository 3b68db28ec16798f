"""
What one policy that applies asks of one person: which of its alternatives, and what of that is still unmet.

Knows nothing of the other policies, but for the age a second factor may have, which the standing carries.
Source: conditional-access 5, 8, 9.
"""

from __future__ import annotations

from datetime import timedelta

from msgspec import Struct

from genkan.model import Purpose
from genkan.policy.match import Fault, fault_words
from genkan.policy.model import BUILT_IN_STRENGTHS, STRENGTH, Context, GrantControls, Policy, Strength
from genkan.policy.standing import Standing

PRICES = {"mfa": 1, STRENGTH: 2, "passwordChange": 3}
"""What a person can do for a control, and how much it is to ask."""

UNKEPT = frozenset({"compliantDevice", "domainJoinedDevice", "approvedApplication", "compliantApplication"})
"""Controls that nobody can meet, for Genkan keeps no register of devices; exported policies contain them (2.3)."""

EVERY_TIME = timedelta(minutes=5)
"""The sign-in frequency "every time" prompts nobody more often than this (section 9)."""


class Ask(Struct, frozen=True, kw_only=True):
    """What one applying policy asks."""

    controls: tuple[str, ...] = ()
    """The alternative that is asked for, met or not."""
    unmet: tuple[str, ...] = ()
    """Those of its controls that the person has still to meet."""
    impossible: str | None = None
    """The control that leaves no alternative: `block`, or one that this person cannot meet."""
    strength: Strength | None = None
    is_stale: bool = False
    """The sign-in is older than the policy allows."""
    fault: str = ""
    """Why it could not be said what the policy asks."""

    @property
    def is_met(self) -> bool:
        return not (self.unmet or self.impossible or self.is_stale or self.fault)

    @property
    def rests_on_second_factor(self) -> bool:
        return "mfa" in self.controls or STRENGTH in self.controls

    @property
    def wants_second_factor(self) -> bool:
        return "mfa" in self.unmet or STRENGTH in self.unmet


def ask(policy: Policy, standing: Standing) -> Ask:
    """What the policy asks of this person; what is not known makes it a fault."""
    try:
        return _ask(policy, standing)
    except Exception as fault:  # noqa: BLE001 - a policy that cannot be judged must bind, not vanish
        return Ask(fault=fault_words(fault))


def _ask(policy: Policy, standing: Standing) -> Ask:
    """
    Resolve the controls to alternatives, drop those that this person cannot meet, and ask for the cheapest.

    Source:   conditional-access 5, phase 2.
    """
    grant, is_stale = policy.grant_controls, _is_stale(policy, standing)
    if grant is None:
        return Ask(is_stale=is_stale)
    if "block" in grant.built_in_controls:
        return Ask(impossible="block")
    if grant.terms_of_use or grant.custom_authentication_factors:
        raise Fault("terms of use and custom factors cannot be evaluated")
    if not grant.controls or grant.operator not in ("AND", "OR"):
        raise Fault("the grant controls make no sense")
    strength = _strength(grant, standing.context)
    standing = standing.limited(oldest_second(policy, standing.context))

    possible = [a for a in grant.alternatives if all(_is_possible(c, strength, standing) for c in a)]
    if not possible:
        impossible = next(c for c in grant.controls if not _is_possible(c, strength, standing))
        return Ask(impossible=impossible)
    unmet = {a: tuple(c for c in a if not _is_met(c, strength, standing)) for a in possible}
    controls = min(possible, key=lambda a: max((PRICES[c] for c in unmet[a]), default=0))
    return Ask(controls=controls, unmet=unmet[controls], strength=strength, is_stale=is_stale)


def _strength(grant: GrantControls, context: Context) -> Strength | None:
    """None, too, for a strength that is not there any more: nobody can meet it."""
    if grant.authentication_strength is None:
        return None
    wanted = grant.authentication_strength.id
    return context.strengths.get(wanted) or BUILT_IN_STRENGTHS.get(wanted)


def _is_possible(control: str, strength: Strength | None, standing: Standing) -> bool:
    if control == STRENGTH:
        return strength is not None and standing.could_meet(strength)
    if control in PRICES:
        return True
    if control in UNKEPT:
        return False
    raise Fault("a control is not known")


def _is_met(control: str, strength: Strength | None, standing: Standing) -> bool:
    if control == STRENGTH:
        return strength is not None and standing.meets(strength)
    if control == "mfa":
        return standing.has_two_factors
    # A reset sets a new password. One set earlier has lowered the risk, so that the policy no longer applies.
    return standing.context.purpose is Purpose.RESET_PASSWORD


# How old may the factors be? --------------------------------------------------------------------------


def interval(policy: Policy) -> timedelta | None:
    """
    The policy's sign-in frequency, None when it sets none.

    Raises:   `Fault` for one without a number.
    """
    frequency = policy.session_controls.sign_in_frequency if policy.session_controls else None
    if frequency is None or not frequency.is_enabled:
        return None
    if frequency.frequency_interval == "everyTime":
        return EVERY_TIME
    if frequency.value is None or frequency.type is None:
        raise Fault("the sign-in frequency makes no sense")
    return timedelta(hours=frequency.value) if frequency.type == "hours" else timedelta(days=frequency.value)


def is_fresh(policy: Policy, standing: Standing) -> bool:
    """No factor is older than the policy's sign-in frequency."""
    limit, now = interval(policy), standing.context.now
    return limit is None or all(now - e.at <= limit for e in (standing.first, *standing.seconds))


def _is_stale(policy: Policy, standing: Standing) -> bool:
    """Only a refresh can be: a sign-in that is under way is always fresh."""
    if standing.context.kind != "refresh" or _repeats_second_only(policy):
        return False
    return not is_fresh(policy, standing)


def oldest_second(policy: Policy, context: Context) -> timedelta | None:
    """On a refresh: beyond this age a second factor counts as absent. None: any age will do."""
    if context.kind != "refresh" or not _repeats_second_only(policy):
        return None
    return interval(policy)


def _repeats_second_only(policy: Policy) -> bool:
    frequency = policy.session_controls.sign_in_frequency if policy.session_controls else None
    return frequency is not None and frequency.authentication_type == "secondaryAuthentication"
