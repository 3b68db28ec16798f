"""Conditional Access policies as the tests write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from uuid import uuid4

from genkan.policy.model import Applications, Conditions, GrantControls, Policy, State, Users


def for_everybody(
    *wants: Any,
    id: str = "",
    name: str = "",
    state: State = "enabled",
    operator: Literal["AND", "OR"] = "OR",
    apps: Sequence[str] = ("All",),
    contexts: Sequence[str] = (),
    **conditions: Any,
) -> Policy:
    """A policy for everybody who signs in to these apps, or asks for these contexts, that wants this."""
    targets = Applications(
        include_applications=() if contexts else tuple(apps),
        include_authentication_context_class_references=tuple(contexts),
    )
    return Policy(
        id=id or str(uuid4()),
        display_name=name or " ".join(wants),
        state=state,
        conditions=Conditions(applications=targets, users=Users(include_users=("All",)), **conditions),
        grant_controls=GrantControls(operator=operator, built_in_controls=wants),
    )
