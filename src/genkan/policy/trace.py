"""
The trace: one entry for every policy, which says what became of it and which condition or control decided that.

A policy that cannot be read or judged gets an entry, too, and that entry is what makes a decision refuse.
Knows nothing of the decision. Source: conditional-access 14.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from genkan.policy.ask import Ask, interval
from genkan.policy.match import View, fault_words, first_mismatch
from genkan.policy.model import Applied, Policy, Result, State

REPORT_ONLY: Final = "enabledForReportingButNotEnforced"


def find(policy: Policy, view: View) -> Policy | Applied:
    """The policy itself when it applies; else its entry: what kept it from applying, or a fault."""
    try:
        word = first_mismatch(policy, view)
        if word is not None:
            return missed(policy, word)
        if policy.session_controls is not None:
            interval(policy)  # A sign-in frequency that makes no sense is a fault of the policy, too.
    except Exception as fault:  # noqa: BLE001 - a policy that cannot be read must bind, not vanish
        return Applied(policy.id, policy.display_name, policy.state, "unknown", fault_words(fault))
    return policy


def missed(policy: Policy, word: str) -> Applied:
    """The entry of a policy that this condition keeps from applying."""
    return _missed(policy.id, policy.display_name, policy.state, word)


@lru_cache(maxsize=4096)
def _missed(policy: str, name: str, state: State, word: str) -> Applied:
    """Most policies are not about most people: their entries are made once."""
    if state == "disabled":
        return Applied(policy, name, state, "notEnabled", word)
    return Applied(
        policy, name, state, "reportOnlyNotApplied" if state == REPORT_ONLY else "notApplied", word
    )


def score(policy: Policy, asked: Ask) -> Applied:
    """The entry of a policy that applies: met or not, whatever becomes of the attempt."""
    result: Result
    if asked.fault:
        return Applied(policy.id, policy.display_name, policy.state, "unknown", asked.fault)
    if policy.state == "enabled":
        result = "success" if asked.is_met else "failure"
    elif asked.is_met:
        result = "reportOnlySuccess"
    else:
        result = "reportOnlyFailure" if asked.impossible else "reportOnlyInterrupted"
    wanted = (asked.impossible,) if asked.impossible else asked.controls
    because = " + ".join((*wanted, "signInFrequency") if asked.is_stale else wanted)
    return Applied(
        policy.id,
        policy.display_name,
        policy.state,
        result,
        because,
        policy.grant_words,
        policy.session_words,
    )
