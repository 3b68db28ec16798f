"""
A tenant's policies, sorted once by what they are for, so that a decision looks only at those that can be about it.

Most policies of a tenant are about other apps. They get their entry in the trace all the same: it is made once, too.
Decides nothing: whether a policy applies is for `match`, and one that is passed over here is one whose target cannot
match. Source: conditional-access 4.3, 14.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import overload

from genkan.policy.match import View
from genkan.policy.model import Applications, Applied, Conditions, Policy, Users
from genkan.policy.trace import missed


def unreadable(id: str) -> Policy:
    """
    What stands in the place of a policy whose document cannot be read: it is about everybody and cannot be judged.

    So it refuses (CA-02): to pass it over would be permission.
    """
    return Policy(
        id=id,
        display_name="A policy that cannot be read",
        state="enabled",
        conditions=Conditions(
            users=Users(include_users=("All",)),
            applications=Applications(include_applications=("All",)),
            insider_risk_levels="unreadable",
        ),
    )


class PolicySet(Sequence[Policy]):
    """Policies in their order. Immutable; made when they are read, and kept as long as they stay."""

    def __init__(self, policies: Iterable[Policy] = ()) -> None:
        self._policies = tuple(policies)
        self._passed_over: list[Applied] = []
        """The entry of each, should its target not match."""
        self._always: list[int] = []
        self._by_target: dict[str, list[int]] = {}
        """App id, user action or authentication context → positions of the policies that name it."""
        for position, policy in enumerate(self._policies):
            named, word = _target(policy)
            self._passed_over.append(missed(policy, word))
            if policy.state == "disabled":
                continue
            if named is None:
                self._always.append(position)
                continue
            for target in named:
                self._by_target.setdefault(target, []).append(position)

    def __len__(self) -> int:
        return len(self._policies)

    @overload
    def __getitem__(self, position: int) -> Policy: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[Policy, ...]: ...
    def __getitem__(self, position: int | slice) -> Policy | tuple[Policy, ...]:
        return self._policies[position]

    def __eq__(self, other: object) -> bool:
        """The same policies in the same order, however they are held."""
        return isinstance(other, Sequence) and self._policies == tuple(other)

    def __hash__(self) -> int:
        return hash(len(self._policies))

    def sift(self, view: View) -> tuple[list[Applied], list[int]]:
        """The entries that all would have if none were about this, and the positions of those that may be."""
        asked = (view.context.user_action,) if view.context.kind == "user_action" else view.contexts
        positions = {*self._always}
        for target in (*view.targets, *asked):
            positions.update(self._by_target.get(target, ()))
        return self._passed_over.copy(), sorted(positions)


def _target(policy: Policy) -> tuple[tuple[str, ...] | None, str]:
    """What a policy names as its target, None for what must always be looked at; and the condition that names it."""
    if policy.state == "disabled":
        return (), "policyNotEnabled"
    try:
        targets = policy.conditions.applications
        word = policy.conditions.configured[0]
        named = (
            *targets.include_applications,
            *targets.include_user_actions,
            *targets.include_authentication_context_class_references,
        )
    except Exception:  # noqa: BLE001 - one that cannot be read must be looked at, and is found out then
        return None, "application"
    is_wide = not named or "All" in named or targets.application_filter is not None
    return None if is_wide else named, word
