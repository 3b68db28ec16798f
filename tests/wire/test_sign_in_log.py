"""
The sign-in log: one entry for each flow, written anew as it goes on, and one for each refresh.

Source: conditional-access 14.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from genkan.engine.messages import SignIn
from genkan.engine.transaction import Audited, SignInQuery
from genkan.model import DIRECTORY, Kind, Reason
from genkan.service import demo
from tests.server import first_factor_by_code, newest
from tests.wire import strict
from tests.wire.journeys import (
    OPENID,
    PASSWORD,
    account_by_password,
    account_with_phone,
    first_factor_by_password,
    ids,
    listed,
    password_asked,
    proven,
    wrong,
)
from tests.wire.policies import for_everybody
from tests.wire.servers import World


def logged(world: World, correlation_id: str) -> list[SignIn]:
    """What the log says of a request, newest first."""
    return list(world.run(world.store.sign_ins(SignInQuery(correlation_id=correlation_id))))


def became(entry: SignIn) -> str:
    """What became of the demo tenant's enabled policy."""
    (result,) = [applied.result for applied in entry.policies if applied.policy == demo.POLICY]
    return result


@pytest.mark.proves("CAP-009")
def test_one_entry_follows_a_sign_in_from_the_question_to_the_tokens(world: World) -> None:
    address, number = account_with_phone(world)
    before = len(world.sign_ins(address))

    asked = first_factor_by_code(world, address, world.scope)

    waiting, *_ = world.sign_ins(address)
    assert len(world.sign_ins(address)) == before + 1
    assert (waiting.outcome, waiting.reason, waiting.requires_mfa) == ("mfa", None, True)
    assert became(waiting) == "failure"

    method = listed(world, world.otp_app, asked.token)[0]["id"]
    seen = ids(world, number)
    sent = world.post(
        strict.CHALLENGE, client_id=world.otp_app, continuation_token=asked.token, id=method
    ).ok()
    code = newest(world, number, "mfa", seen)
    proven(world, world.otp_app, sent.token, "mfa_oob", wrong(code), world.scope)

    failed, *_ = world.sign_ins(address)
    assert (failed.outcome, failed.reason) == ("refused", Reason.WRONG_CODE)
    assert became(failed) == "failure", "what policy asked for is still told"

    proven(world, world.otp_app, sent.token, "mfa_oob", code, world.scope).ok()

    done, *_ = world.sign_ins(address)
    assert done.id == waiting.id
    assert len(world.sign_ins(address)) == before + 1
    assert (done.outcome, done.reason, done.resource) == ("issued", None, demo.API)
    assert became(done) == "success"
    assert [(s.kind, s.part, s.succeeded) for s in done.steps] == [
        (Kind.EMAIL_OTP, "first", True),
        (Kind.SMS_OTP, "second", False),
        (Kind.SMS_OTP, "second", True),
    ]


@pytest.mark.proves("CAP-047")
def test_a_wrong_password_is_an_entry_in_which_no_policy_was_asked(world: World) -> None:
    address = account_by_password(world)
    with world.changed(for_everybody("block")):
        asked = password_asked(world, address)
        answer = proven(world, world.password_app, asked.token, "password", "not this one")
        entry, *_ = world.sign_ins(address)

    assert answer.error[2] == 50126
    assert (entry.outcome, entry.reason, entry.policies) == ("refused", Reason.WRONG_PASSWORD, ())
    assert [(s.kind, s.succeeded) for s in entry.steps] == [(Kind.PASSWORD, False)]


def test_a_refresh_is_an_entry_of_its_own_that_nobody_took_part_in(world: World) -> None:
    address = account_by_password(world)
    first = first_factor_by_password(world, address, OPENID).ok()
    correlation = str(uuid4())

    world.post(
        strict.TOKEN,
        {"client-request-id": correlation},
        client_id=world.password_app,
        grant_type="refresh_token",
        refresh_token=first["refresh_token"],
        scope=OPENID,
    ).ok()

    (entry,) = logged(world, correlation)
    assert (entry.interactive, entry.outcome, entry.resource) == (False, "issued", DIRECTORY)
    assert became(entry) == "notApplied"


def test_a_sign_up_is_a_sign_in_once_it_asks_for_tokens(world: World) -> None:
    address = account_by_password(world)
    assert world.sign_ins(address) == []

    first_factor_by_password(world, address, OPENID).ok()

    assert [entry.outcome for entry in world.sign_ins(address)] == ["issued"]


def test_the_log_is_kept_for_as_long_as_the_tenant_says(world: World) -> None:
    address = account_by_password(world)
    with world.changed(log_retention=timedelta(days=2)):
        first_factor_by_password(world, address, OPENID).ok()
    world.advance(47 * 3600)
    world.run(world.store.sweep())
    assert len(world.sign_ins(address)) == 1

    world.advance(2 * 3600)
    world.run(world.store.sweep())

    assert world.sign_ins(address) == []


def test_the_log_names_no_mailbox_and_no_number(world: World) -> None:
    address, number = account_with_phone(world)
    first_factor_by_code(world, address, world.scope)

    told = repr(world.sign_ins(address))

    assert address not in told
    assert number not in told


# The audit trail. ------------------------------------------------------------------------------------


class Trail:
    """The rows that each call adds."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen = 0
        self.added()

    def added(self) -> list[tuple[str, str]]:
        """Action and reason of the rows since the last time; each has its client, its time in UTC and its request."""
        rows: list[Audited] = []
        while page := self.world.run(self.world.store.trail(after=self.seen)):
            rows += page
            self.seen = page[-1].seq
        for row in rows:
            assert row.record.client
            assert row.record.correlation_id
            assert row.at.utcoffset() == timedelta(0)
        return [(row.record.action, row.record.reason) for row in rows]


@pytest.mark.proves("LOG-04")
def test_each_authentication_event_leaves_exactly_one_row_whatever_its_outcome(world: World) -> None:
    address, app = account_by_password(world), world.password_app
    trail = Trail(world)

    def call(endpoint: str, **form: str) -> str:
        answer = world.post_form(endpoint, {"client_id": app, **form})
        return answer.token

    token = call(strict.INITIATE, username=address, challenge_type="password oob redirect")
    assert trail.added() == [("sign_in:identify:needchoice", "")]
    token = call(strict.CHALLENGE, continuation_token=token)
    assert trail.added() == [("sign_in:choose:needproof", "")]
    proof = {"grant_type": "password", "scope": OPENID, "continuation_token": token}
    call(strict.TOKEN, password="not this one", **proof)
    assert trail.added() == [("sign_in:prove:refused", "wrong_password")]
    tokens = world.post_form(strict.TOKEN, {"client_id": app, "password": PASSWORD, **proof}).ok()
    assert trail.added() == [("sign_in:prove:needresume", ""), ("sign_in:resume:ready", "")]
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    call(strict.TOKEN, **refresh)
    assert trail.added() == [("session:renew:ready", "")]
    with world.changed(for_everybody("block")):
        call(strict.TOKEN, **refresh)
    assert trail.added() == [("session:renew:refused", "blocked_by_policy")]

    call(strict.INITIATE, username="nobody@example.com", challenge_type="password oob redirect")
    assert trail.added() == [("sign_in:identify:refused", "unknown_subject")]
    call(strict.SIGNUP_START, username=address, challenge_type="password oob redirect")
    assert trail.added() == [("sign_up:identify:refused", "subject_exists")]
    call(strict.RESET_START, username="nobody@example.com", challenge_type="oob redirect")
    assert trail.added() == [("reset_password:identify:refused", "unknown_subject")]
    token = call(strict.RESET_START, username=address, challenge_type="oob redirect")
    assert trail.added() == [("reset_password:identify:needchoice", "")]
    token = call(strict.RESET_CHALLENGE, continuation_token=token)
    assert trail.added() == [("reset_password:choose:needproof", "")]
    call(strict.RESET_CONTINUE, continuation_token=token, grant_type="oob", oob="00000000")
    assert trail.added() == [("reset_password:prove:refused", "wrong_code")]
