"""
Policies as Entra exports them load as they are: annotations, nulls, read-only members and all.

Three of the usual ones, in the shape of `GET /identity/conditionalAccess/policies/{id}`. Source: conditional-access 2.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from genkan.policy.decide import decide
from genkan.policy.model import Policy
from genkan.policy.validate import Known, validate
from tests.policy.world import a_context

FILES = sorted(Path(__file__).with_name("exported").glob("*.json"))


def exported(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        Path(__file__).with_name("exported").joinpath(f"{name}.json").read_text(encoding="utf-8")
    )
    return document


def loaded(name: str) -> Policy:
    policy = validate(exported(name), Known())
    assert isinstance(policy, Policy), policy
    return policy


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_exported_policy_is_taken_as_it_is_and_means_the_same(file: Path) -> None:
    document, policy = exported(file.stem), loaded(file.stem)

    canonical = msgspec.to_builtins(policy)

    assert canonical["displayName"] == document["displayName"]
    assert canonical["state"] == document["state"]
    for member, value in document["conditions"].items():
        if value not in (None, []):
            stored = canonical["conditions"][member]
            assert (
                {k: tuple(v) for k, v in stored.items() if v} == {k: tuple(v) for k, v in value.items() if v}
                if isinstance(value, dict)
                else sorted(stored) == sorted(value)
            ), member


def test_mfa_for_all_users_asks_everybody() -> None:
    decision = decide([loaded("mfa_for_all_users")], a_context(has="sms"))

    assert decision.outcome == "mfa"


def test_legacy_clients_are_blocked_and_nobody_else() -> None:
    policy = [loaded("block_legacy_clients")]

    assert decide(policy, a_context()).outcome == "allow"
    assert decide(policy, a_context(client_app="browser")).outcome == "allow"
    assert decide(policy, a_context(client_app="other")).outcome == "block"


def test_the_one_that_reports_says_what_it_would_ask_at_risk() -> None:
    policy = [loaded("strong_methods_at_risk")]

    risky = decide(policy, a_context(has="sms", sign_in_risk="high", platform="iOS"))
    calm = decide(policy, a_context(has="sms", sign_in_risk="low", platform="iOS"))

    assert (risky.outcome, risky.trace[0].result) == ("allow", "reportOnlyInterrupted")
    assert risky.trace[0].grant_controls == ("AuthenticationStrength",)
    assert risky.trace[0].session_controls == ("SignInFrequency",)
    assert calm.trace[0].result == "reportOnlyNotApplied"
