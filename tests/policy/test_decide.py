"""The decision table: each case in `cases/` is what an administrator configures, what happens, and what comes of it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from genkan.model import Kind, Reason
from genkan.policy.decide import decide
from genkan.policy.explain import explain
from genkan.policy.model import Decision
from tests.policy.world import MAILBOX, METHODS, a_context, a_policy, a_span

FILES = sorted(Path(__file__).with_name("cases").glob("*.toml"))

NUMBERS = {
    Reason.REAUTHENTICATION_REQUIRED: 70043,
    Reason.FACTOR_REQUIRED: 50076,
    Reason.NO_METHOD: 50079,
    Reason.PASSWORD_MUST_CHANGE: 50142,
    Reason.DEVICE_NOT_COMPLIANT: 53000,
    Reason.DEVICE_NOT_JOINED: 53001,
    Reason.APP_NOT_APPROVED: 53002,
    Reason.BLOCKED_BY_POLICY: 53003,
    Reason.ENROLMENT_TOO_RISKY: 53004,
    Reason.ENROLMENT_BLOCKED: 53010,
}
KINDS = {Kind.SMS_OTP: "sms", Kind.EMAIL_OTP: "email"}


def cases() -> list[Any]:
    return [
        pytest.param(case, id=f"{case['row']} {case['title']}" if "row" in case else case["title"])
        for file in FILES
        for case in tomllib.loads(file.read_text(encoding="utf-8"))["case"]
    ]


def seen(decision: Decision) -> dict[str, Any]:
    """A decision in the words of the cases."""
    return {
        "outcome": decision.outcome,
        "number": NUMBERS[decision.reason] if decision.reason else None,
        "usable": [a.id for a in decision.usable],
        "registrable": [KINDS[kind] for kind in decision.registrable],
        "places": decision.enrolment_places,
        "open": [
            name
            for name, method in METHODS.items()
            if method.id == name and method.target and decision.is_open(method.kind, method.target, MAILBOX)
        ],
        "multi_factor": decision.requires_mfa,
        "acrs": list(decision.acrs),
        "frequency": decision.session.sign_in_frequency,
        "log": [entry.result for entry in decision.trace],
        "sources": [entry.policy for entry in decision.trace if entry.result in ("success", "failure")],
    }


@pytest.mark.parametrize("case", cases())
def test_case(case: dict[str, Any]) -> None:
    given = dict(case.get("context", {}))
    for name in given.pop("remove", []):
        given[name] = None
    expected = dict({"number": None}, **case["expect"])
    if "frequency" in expected:
        expected["frequency"] = a_span(expected["frequency"])
    says = expected.pop("says", "")

    decision = decide([a_policy(**policy) for policy in case["policies"]], a_context(**given))

    assert {name: seen(decision)[name] for name in expected} == expected
    assert says in decision.because
    assert len(explain(decision)) == 1 + len(decision.trace)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_file_has_a_case_for_every_row_that_it_proves(file: Path) -> None:
    content = tomllib.loads(file.read_text(encoding="utf-8"))

    proven = {int(row[4:]) for row in content["proves"] if re.match("CAP-", row)}

    assert {case["row"] for case in content["case"] if "row" in case} == proven
