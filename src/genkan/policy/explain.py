"""
A decision in plain sentences, for administrators; and What-If, which asks the matcher that sign-in asks.

Decides nothing. Source: conditional-access 12, 14.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from genkan.policy.match import View, mismatches
from genkan.policy.model import STRENGTH, Applied, Context, Decision, Policy
from genkan.policy.trace import find

MISSED = {
    "policyNotEnabled": "it is switched off",
    "users": "it is not about this person",
    "application": "it is not about what was signed in to",
    "userActions": "it is about another action",
    "authenticationContext": "it is about an authentication context that was not asked for",
    "clientApps": "it is about another kind of client",
    "devicePlatform": "it is about another platform",
    "location": "it is about another place",
    "signInRisk": "it is about another risk of the sign-in",
    "userRisk": "it is about another risk of the account",
    "authenticationFlow": "it is about another way of signing in",
}
ASKED = {
    "block": "it blocks",
    "mfa": "it wants a second factor",
    STRENGTH: "it wants a stronger method",
    "passwordChange": "it wants a new password",
    "compliantDevice": "it wants a compliant device",
    "domainJoinedDevice": "it wants a joined device",
    "approvedApplication": "it wants an approved app",
    "compliantApplication": "it wants a protected app",
    "signInFrequency": "it wants a fresh sign-in",
    "": "it asks for nothing",
}
RESULTS = {
    "success": "applied and was met",
    "failure": "applied and was not met",
    "notApplied": "did not apply",
    "notEnabled": "did not apply",
    "unknown": "could not be judged",
    "reportOnlySuccess": "only reports; enforced, it would have been met",
    "reportOnlyFailure": "only reports; enforced, it would have refused",
    "reportOnlyInterrupted": "only reports; enforced, it would have asked for more",
    "reportOnlyNotApplied": "only reports; enforced, it would not have applied",
}


def explain(decision: Decision) -> tuple[str, ...]:
    """What came of it, then one sentence for each policy."""
    return (decision.because, *(explain_policy(entry) for entry in decision.trace))


def explain_policy(entry: Applied) -> str:
    """As: The policy “MFA for all” applied and was not met: it wants a second factor."""
    if entry.result == "unknown":
        because = entry.because
    elif entry.because in MISSED:
        because = MISSED[entry.because]
    else:
        because = " and ".join(ASKED[word] for word in entry.because.split(" + "))
    return f"The policy “{entry.name}” {RESULTS[entry.result]}: {because}."


class WhatIf(Struct, frozen=True, kw_only=True):
    """What would become of one policy."""

    policy: Policy
    applies: bool
    reasons: str
    """Graph's `analysisReasons`: what keeps it from applying, comma-joined; `notSet` when nothing does."""


def what_if(policies: Sequence[Policy], context: Context) -> tuple[WhatIf, ...]:
    """
    Which policies would apply; report-only ones are among them.

    One that cannot be judged is said to apply, for an enforced one would refuse.
    """
    contexts = () if context.kind == "user_action" else context.demand.contexts
    view = View(context, frozenset(contexts))
    return tuple(_what_if(policy, view) for policy in policies)


def _what_if(policy: Policy, view: View) -> WhatIf:
    found = find(policy, view)
    if isinstance(found, Policy):
        return WhatIf(policy=policy, applies=True, reasons="notSet")
    if found.result == "unknown":
        return WhatIf(policy=policy, applies=True, reasons="invalidPolicy")
    return WhatIf(policy=policy, applies=False, reasons=",".join(mismatches(policy, view)))
