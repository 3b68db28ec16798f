"""
Tokens are issued in one place, for what was decided in the same step (FLOW-01).

The source is read for who signs and who may say `Ready`; and each check that stands before it is taken out in turn, to
see that it is the one that keeps tokens back.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from msgspec.structs import replace

import genkan
from genkan.engine import advance, renew
from genkan.engine.flow import AwaitingResume, Flow, Offers
from genkan.engine.messages import (
    Directory,
    Entropy,
    Event,
    Facts,
    NeedChoice,
    Ready,
    Refused,
    Renew,
    Resume,
    Step,
)
from genkan.engine.plan import NOTHING_DEMANDED
from genkan.model import (
    Authenticator,
    Client,
    Evidence,
    Identifier,
    Kind,
    MethodSettings,
    Purpose,
    Subject,
    Tenant,
)
from genkan.tokens import grants
from tests.wire.policies import for_everybody

SOURCE = Path(genkan.__file__).parent
NOW = datetime(2031, 3, 4, 5, 6, 7, tzinfo=UTC)
MAILBOX = Identifier("email", "sam@example.com", "sam@example.com")
PHONE = Identifier("phone", "+447812345678", "+447812345678")
APP = Client(id="app", name="Shop")
SAM = Subject(id="sam", identifiers=(MAILBOX,), created_at=NOW)
TENANT = Tenant(id="11111111-1111-4111-8111-111111111111", name="north")
PASSWORD = Authenticator(id="password", subject="sam", kind=Kind.PASSWORD, strong=False, created_at=NOW)
TEXTS = Authenticator(id="phone", subject="sam", kind=Kind.SMS_OTP, target=PHONE, created_at=NOW)
FIRST = Evidence(kind=Kind.PASSWORD, authenticator="password", at=NOW, part="first")
SECOND = Evidence(kind=Kind.SMS_OTP, authenticator="phone", place=PHONE.place, at=NOW, part="second")
MFA = Directory(
    tenant=TENANT,
    clients={"app": APP},
    policies=(for_everybody("mfa"),),
    methods={kind: MethodSettings() for kind in Kind},
)


def facts(**more: Any) -> Facts:
    """Sam, who has a password and a phone, where everybody needs a second factor."""
    given: dict[str, Any] = {
        "now": NOW,
        "directory": MFA,
        "client": APP,
        "subject": SAM,
        "authenticators": (PASSWORD, TEXTS),
        "entropy": Entropy(hashlib.sha256(b"a test").digest()),
        "code_key": b"c" * 32,
        "rotation_key": b"r" * 32,
    }
    return Facts(**given | more)


def flow(*evidence: Evidence) -> Flow:
    """A flow that waits to be redeemed, with this proven: how it came there does not count."""
    return Flow(
        id=b"f" * 16,
        purpose=Purpose.SIGN_IN,
        client="app",
        dialect="entra_v1",
        offers=Offers(password=True, code=True, second_factor=True, enrolment=True),
        stage=AwaitingResume(),
        phase=len(evidence),
        identifier=MAILBOX,
        subject="sam",
        evidence=evidence,
        correlation_id="c",
        created_at=NOW,
        expires_at=NOW + timedelta(minutes=5),
    )


def granted(*evidence: Evidence) -> dict[str, Any]:
    """A grant that rests on this, and the event that redeems it."""
    grant, token = grants.open_grant(
        grant_id=b"g" * 16,
        secret=b"s" * 32,
        subject=SAM,
        client=APP,
        demand=NOTHING_DEMANDED,
        evidence=evidence,
        tenant=TENANT,
        now=NOW,
    )
    return {"grant": grant, "event": Renew(token=token)}


def asked(module: ModuleType, before: Flow | None, event: Event, known: Facts) -> Step:
    """One step of the engine, or of a copy of a part of it."""
    if module.__name__.endswith("renew"):
        assert isinstance(event, Renew)
        step = module.renew(event, APP, known)
    else:
        step = module.advance(before, event, known)
    assert isinstance(step, Step)
    return step


def without(module: ModuleType, check: str, and_then: str) -> ModuleType:
    """The same module with these lines taken out, which stand before `and_then`."""
    source = inspect.getsource(module)
    assert source.count(check + and_then) == 1, check
    changed = ModuleType(module.__name__)
    exec(compile(source.replace(check + and_then, and_then), "changed", "exec"), vars(changed))
    return changed


# Who may sign, and who may say that there are tokens. --------------------------------------------------------------


@cache
def calls() -> tuple[tuple[str, str, str], ...]:
    """Every call in the source: where, in which function, and of what."""
    return tuple(_calls())


def _calls() -> Iterator[tuple[str, str, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.Call):
                        yield str(path.relative_to(SOURCE)), function.name, ast.unparse(node.func)


def callers(*names: str) -> set[tuple[str, str]]:
    return {(where, function) for where, function, called in calls() if called in names}


@pytest.mark.proves("FLOW-01")
def test_one_function_signs_for_people_and_one_for_each_kind_of_program() -> None:
    assert callers("jwt.sign", "sign") == {
        ("service/issue.py", "mint"),
        ("service/issue.py", "for_client"),
        ("service/issue.py", "for_extension"),
        ("service/issue.py", "for_receiver"),
        ("service/issue.py", "event"),
    }
    assert callers("claims.access_token", "access_token") == {("service/issue.py", "mint")}
    signs = [path for path in SOURCE.rglob("*.py") if "tokens.jwt import" in path.read_text(encoding="utf-8")]
    assert signs == [], "nobody takes the signer in by another name"


@pytest.mark.proves("FLOW-01")
def test_tokens_are_minted_for_a_committed_answer_alone_which_two_functions_may_give() -> None:
    minted = {(where, function) for where, function, called in calls() if called.endswith(".mint")}
    assert minted == {("service/conduct.py", "_answer")}
    assert callers("Ready", "messages.Ready") == {
        ("engine/advance.py", "_resume"),
        ("engine/renew.py", "renew"),
    }


# And nothing but what they look at keeps tokens back. ----------------------------------------------------------------


def test_whoever_has_proven_both_factors_gets_tokens() -> None:
    assert isinstance(asked(advance, flow(FIRST, SECOND), Resume(), facts()).reply, Ready)
    redeemed = granted(FIRST, SECOND)
    assert isinstance(asked(renew, None, redeemed["event"], facts(grant=redeemed["grant"])).reply, Ready)


DECIDED = """    if decision.outcome != "allow":
        return planned(flow, event, decision, facts)
"""
AND_THEN = "    question = extensions.about_tokens("
"""What comes after it: others ask the same."""
REMOVED = """    if any(e.authenticator is not None and e.authenticator not in active for e in flow.evidence):
        return steps.close(flow, event, facts, Reason.INVALID_HANDLE)
"""
RENEWED = """    if decision.outcome != "allow":
        reason = decision.reason or Reason.FACTOR_REQUIRED
        if reason is Reason.PASSWORD_MUST_CHANGE:
            reason = Reason.GRANT_NEEDS_NEW_PASSWORD
        return _not_renewed(client, facts, reason, decision=decision)
"""
DISABLED = """    if subject.status != "active":
        return _not_renewed(client, facts, Reason.GRANT_OF_DISABLED_SUBJECT)
"""
GONE = replace(SAM, status="disabled")


@pytest.mark.proves("FLOW-01")
@pytest.mark.parametrize(
    ("module", "check", "evidence", "more", "reply"),
    [
        (advance, DECIDED, (FIRST,), {}, NeedChoice),
        (advance, REMOVED, (FIRST, SECOND), {"authenticators": (PASSWORD,)}, Refused),
        (renew, RENEWED, (FIRST,), {}, Refused),
        (renew, DISABLED, (FIRST, SECOND), {"subject": GONE}, Refused),
    ],
    ids=["policy", "methods", "policy at refresh", "account at refresh"],
)
def test_each_check_before_tokens_is_the_one_that_keeps_them_back(
    module: ModuleType, check: str, evidence: tuple[Evidence, ...], more: dict[str, Any], reply: type
) -> None:
    redeemed = granted(*evidence)
    before, event = (flow(*evidence), Resume()) if module is advance else (None, redeemed["event"])
    known = facts(**{"grant": redeemed["grant"]} | more)

    assert isinstance(asked(module, before, event, known).reply, reply)
    changed = without(module, check, AND_THEN if check is DECIDED else "")
    assert isinstance(asked(changed, before, event, known).reply, Ready)
