"""The emergency gate, over the wire: what an account in an emergency may do, and who hears of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from genkan import identifiers
from genkan.engine.emergency.case import Emergency, Means, Restored
from genkan.engine.messages import PutEmergency
from genkan.engine.transaction import Needs
from genkan.model import Kind, Secret
from genkan.service.admin import people
from genkan.service.admin.door import Actor, Refusal
from tests.emergency.on_file import contains, decides
from tests.server import BOTH, Reply, first_factor_by_code, new_address, new_number, newest
from tests.wire import strict, test_owner
from tests.wire.journeys import (
    OPENID,
    PASSWORD,
    code_sent,
    first_factor_by_password,
    ids,
    password_asked,
    proven,
)
from tests.wire.servers import World

MONTH = timedelta(days=30)
REDIRECT = {"challenge_type", "redirect_reason"}


class Owner:
    """Somebody with a number as second factor, who signs in by a password, or by a code to their address."""

    def __init__(self, world: World, password: str | None = PASSWORD) -> None:
        self.world, self.address = world, new_address()
        number = identifiers.phone(new_number())
        assert number is not None
        self.number = number
        world.person(self.address, password=password, seconds=(number,), age=MONTH)

    def hold(self, means: Means = Means.PASSWORD) -> None:
        """The phone is lost: somebody with one weak factor contains the account."""
        email = identifiers.email(self.address)
        assert email is not None
        needs = Needs(identifier=email.key, whole=True)
        self.world.run(self.world.store.run(needs, decides(contains(means=means))))

    @property
    def emergency(self) -> Emergency:
        needs = Needs(subject=self.world.subject(self.address).id)
        return self.world.run(self.world.store.read(needs)).emergency

    def put(self, emergency: Emergency) -> None:
        subject = self.world.subject(self.address).id
        loaded = self.world.run(self.world.store.read(Needs(subject=subject)))
        self.world.write(
            PutEmergency(subject=subject, emergency=emergency, revision=loaded.emergency_revision)
        )


def by_code(world: World, owner: Owner, scope: str = OPENID) -> Reply:
    return first_factor_by_code(world, owner.address, scope)


def reset_code(world: World, owner: Owner) -> tuple[str, str]:
    """A reset at the moment when its code has arrived: token and code."""
    app = world.password_app
    started = world.post(
        strict.RESET_START,
        client_id=app,
        username=owner.address,
        challenge_type="oob redirect",
        capabilities=BOTH,
    ).ok()
    seen = ids(world, owner.address)
    sent = world.post(strict.RESET_CHALLENGE, client_id=app, continuation_token=started.token).ok()
    return sent.token, newest(world, owner.address, "reset_password", seen)


def reset_proven(world: World, owner: Owner) -> Reply:
    token, code = reset_code(world, owner)
    return world.post(
        strict.RESET_CONTINUE,
        client_id=world.password_app,
        continuation_token=token,
        grant_type="oob",
        oob=code,
    )


def assert_redirected(answer: Reply) -> None:
    assert answer.status == 200
    assert set(answer.body) == REDIRECT
    assert answer["challenge_type"] == "redirect"


def assert_refused(answer: Reply) -> None:
    """A reset is over, once its code was right."""
    assert answer.error == ("invalid_grant", "message_only", 53003)


@pytest.mark.proves("DT-15", "CA-05")
def test_a_right_first_factor_leads_to_the_web_and_never_to_tokens(world: World) -> None:
    """There is a policy that lets this app in with one factor: the gate comes before it."""
    for owner, prove in (
        (Owner(world, None), lambda o: by_code(world, o)),
        (Owner(world), lambda o: first_factor_by_password(world, o.address, OPENID)),
    ):
        assert "access_token" in prove(owner).ok().body
        owner.hold(Means.EMAIL)
        assert_redirected(prove(owner))


@pytest.mark.proves("DT-16")
def test_a_wrong_first_factor_tells_nothing(world: World) -> None:
    owner, calm = Owner(world), Owner(world)
    owner.hold()
    answers = []
    for one in (owner, calm):
        asked = password_asked(world, one.address)
        answers.append(proven(world, world.password_app, asked.token, "password", "not this one, no"))
    assert answers[0].error == answers[1].error
    assert answers[0].status == answers[1].status == 400
    assert set(answers[0].body) == set(answers[1].body)


@pytest.mark.proves("FLOW-14")
def test_what_was_proven_before_is_worth_nothing_after(world: World) -> None:
    """A code that was sent, a flow that waits to be redeemed, and a refresh token: all of the earlier epoch."""
    sent_to, waiting, has_session = Owner(world, None), Owner(world), Owner(world)
    sent, code = code_sent(world, sent_to.address)
    token, reset = reset_code(world, waiting)
    tokens = first_factor_by_password(world, has_session.address, OPENID).ok()
    for owner in (sent_to, waiting, has_session):
        owner.hold(Means.EMAIL)
    assert proven(world, world.otp_app, sent.token, "oob", code).error[0] == "invalid_grant"
    continued = world.post(
        strict.RESET_CONTINUE,
        client_id=world.password_app,
        continuation_token=token,
        grant_type="oob",
        oob=reset,
    )
    assert continued.status == 400
    renewed = world.post(
        strict.TOKEN,
        client_id=world.password_app,
        grant_type="refresh_token",
        refresh_token=tokens["refresh_token"],
    )
    assert renewed.error[0] == "invalid_grant"
    assert "hold" not in renewed["error_description"]
    assert "emergency" not in str(renewed.body)


def test_no_password_is_reset_while_an_account_is_held(world: World) -> None:
    owner = Owner(world)
    owner.hold()
    assert_refused(reset_proven(world, owner))


@pytest.mark.proves("DT-28")
def test_after_a_hold_nobody_takes_over_for_a_week(world: World) -> None:
    owner = Owner(world)
    owner.hold()
    world.advance(73 * 3600)
    asked = first_factor_by_password(world, owner.address, world.scope)
    # The password is not asked to be changed yet, since nobody could: the account would be lost to its owner.
    assert asked.error[:2] == ("invalid_grant", "mfa_required")
    state: str = owner.emergency.state
    assert state == "expired"
    assert_refused(reset_proven(world, owner))
    world.advance(7 * 24 * 3600 + 1)
    asked = first_factor_by_password(world, owner.address, world.scope)
    assert asked.error[0] == "invalid_request", "whoever set off the hold knew the password"
    assert reset_proven(world, owner).status == 200
    state = owner.emergency.state
    assert state == "normal"


def test_methods_come_back_with_the_end_of_a_hold(world: World) -> None:
    owner = Owner(world, None)
    owner.hold(Means.EMAIL)
    needs = Needs(subject=world.subject(owner.address).id)
    before = world.run(world.store.read(needs))
    assert before.authenticators == ()
    world.advance(73 * 3600)
    by_code(world, owner)
    after = world.run(world.store.read(needs))
    assert {a.kind for a in after.authenticators} == {Kind.EMAIL_OTP, Kind.SMS_OTP}


@pytest.mark.proves("DT-63")
def test_administrators_change_nothing_of_who_controls_a_held_account(world: World) -> None:
    owner = Owner(world)
    owner.hold()
    door = world._development._tenant.door
    actor = Actor(id="tester", name="tester", kind="operator")
    id, other = world.subject(owner.address).id, identifiers.phone(new_number())
    assert other is not None
    elsewhere = people.Identity("emailAddress", "", new_address())
    acts = (
        people.remove(door, actor, id),
        people.reset_password(door, actor, id, Secret("quiet otter by noon")),
        people.change(door, actor, id, people.PersonChange(identities=(elsewhere,))),
        people.add_method(door, actor, id, Kind.EMAIL_OTP, identifiers.email(new_address()) or other),
        people.change_method(door, actor, id, Kind.SMS_OTP, other),
        people.remove_method(door, actor, id, Kind.SMS_OTP),
    )
    before = world.subject(owner.address)
    for act in acts:
        answer = world.run(act)
        assert isinstance(answer, Refusal)
        assert (answer.why, answer.code) == ("forbidden", "account_in_emergency")
    assert world.subject(owner.address) == before
    renamed = people.PersonChange(attributes={"displayName": "Ada L."})
    assert not isinstance(world.run(people.change(door, actor, id, renamed)), Refusal)


def test_nobody_lays_by_a_way_back_while_an_emergency_is_not_over(world: World) -> None:
    address = new_address()
    world.person(address, password=PASSWORD, age=MONTH)
    bearer = test_owner.token(world, address)
    assert test_owner.ask(world, "POST", test_owner.FREEZE, bearer, {}).status == 200
    now = world.now
    watched = Emergency(state="expired", version=3, clock=now, watch_until=now + timedelta(days=7))
    world.write(PutEmergency(subject=world.subject(address).id, emergency=watched, revision=0))
    for path in (test_owner.FREEZE, test_owner.CODES):
        assert test_owner.ask(world, "POST", path, bearer, {}).status in (401, 403)


def test_a_mailbox_that_a_recovery_has_put_aside_signs_nobody_in(world: World) -> None:
    """It is still the name of the account, so a code goes to it; the code proves nothing any more."""
    owner = Owner(world, None)
    needs = Needs(subject=world.subject(owner.address).id)
    mailbox = next(a for a in world.run(world.store.read(needs)).authenticators if not a.strong)
    now = world.now
    restored = Restored(
        at=now,
        opened_at=now - timedelta(days=4),
        rank=5,
        quarantined=frozenset({mailbox.id}),
        tombstones=frozenset({mailbox.id}),
        probation_until=now + timedelta(days=7),
        undo_until=now + MONTH,
    )
    owner.put(Emergency(state="restored", version=9, clock=now, restored=restored))
    assert_redirected(by_code(world, owner))
    world.advance(8 * 24 * 3600)
    assert_redirected(by_code(world, owner))


def test_in_probation_a_session_lasts_twelve_hours(world: World) -> None:
    owner = Owner(world)
    now = world.now
    restored = Restored(
        at=now,
        opened_at=now,
        rank=5,
        quarantined=frozenset(),
        tombstones=frozenset(),
        probation_until=now + timedelta(days=7),
        undo_until=now + MONTH,
    )
    owner.put(Emergency(state="restored", version=9, clock=now, restored=restored))
    tokens = first_factor_by_password(world, owner.address, OPENID).ok()

    def renew(token: str) -> Reply:
        return world.post(
            strict.TOKEN, client_id=world.password_app, grant_type="refresh_token", refresh_token=token
        )

    world.advance(11 * 3600)
    again = renew(tokens["refresh_token"]).ok()
    world.advance(3600 + 1)
    assert renew(again["refresh_token"]).error == ("invalid_grant", "bad_token", 70043)
