"""A refresh token is good once; its family has one head, one owner and an end."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from genkan.model import Client, Grant, Reason, Secret
from genkan.tokens import base64url, grants
from genkan.tokens.claims import assurance
from genkan.tokens.grants import Redeemed, Redemption, Refused, Repeated, Reuse
from tests.tokens.world import APP, MIKA, NOW, OTHER_APP, PASSWORD, TENANT, TEXT_SECOND, THINGS_DEMAND

KEY = bytes(range(100, 132))
GRANT_ID = bytes(range(16))
SECRET = bytes(range(32))
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def opened(client: Client = APP) -> tuple[Grant, Secret]:
    return grants.open_grant(
        grant_id=GRANT_ID,
        secret=SECRET,
        subject=MIKA,
        client=client,
        demand=THINGS_DEMAND,
        evidence=(PASSWORD, TEXT_SECOND),
        tenant=TENANT,
        now=NOW,
    )


def redeem(grant: Grant | None, token: Secret, **others: Any) -> Redemption:
    given: dict[str, Any] = {
        "client_id": APP.id,
        "epoch": 0,
        "tenant": TENANT,
        "key": KEY,
        "now": NOW + SECOND,
    }
    return grants.redeem(grant, token, **(given | others))


def rotated(grant: Grant, token: Secret, now: datetime = NOW + SECOND) -> Redeemed:
    done = redeem(grant, token, now=now)
    assert isinstance(done, Redeemed)
    return done


# The text. ------------------------------------------------------------------------------------------


def test_a_token_names_its_grant_and_holds_256_bits_more() -> None:
    text = grants.mint(GRANT_ID, SECRET)

    assert re.fullmatch(r"gkr1\.[A-Za-z0-9_-]{64}", text)
    assert base64url.decode(text.removeprefix("gkr1.")) == GRANT_ID + SECRET
    assert grants.read(text) == (GRANT_ID.hex(), grants.digest(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gkr1.",
        "gkr1." + "A" * 63,
        "gkr1." + "A" * 65,
        "gkr1." + "A" * 64 + "\n",
        "gkr2." + "A" * 64,
        "GKR1." + "A" * 64,
        "gkr1." + "A" * 63 + "=",
        "gkr1." + "A" * 63 + "+",
        "gkr1." + "A" * 63 + "é",
        " gkr1." + "A" * 64,
    ],
)
def test_reads_no_other_text(text: str) -> None:
    assert grants.read(text) is None
    assert redeem(opened()[0], Secret(text)) == Refused(Reason.GRANT_UNKNOWN)
    with pytest.raises(ValueError, match="not a refresh token"):
        grants.successor(text, KEY)


@pytest.mark.parametrize(
    ("grant_id", "secret"), [(b"", SECRET), (GRANT_ID, SECRET[1:]), (GRANT_ID, SECRET * 2)]
)
def test_mints_no_other_length(grant_id: bytes, secret: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        grants.mint(grant_id, secret)


def test_a_successor_follows_from_token_and_key_alone() -> None:
    text = grants.mint(GRANT_ID, SECRET)
    following = grants.successor(text, KEY)

    assert following == grants.successor(text, KEY)
    assert following != text
    assert grants.successor(text, KEY[::-1]) != following
    assert grants.read(following) == (GRANT_ID.hex(), grants.digest(following))


def test_successors_of_two_families_have_nothing_in_common() -> None:
    ours, theirs = (
        base64url.decode(grants.successor(grants.mint(grant_id, SECRET), KEY).removeprefix("gkr1."))
        for grant_id in (GRANT_ID, GRANT_ID[::-1])
    )

    assert ours is not None
    assert theirs is not None
    assert ours[16:] != theirs[16:]


# A new grant. ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("single_page", "idle", "absolute"),
    [(False, 14 * DAY, 90 * DAY), (True, DAY, DAY)],
)
def test_a_grant_ends_by_idleness_and_by_age(single_page: bool, idle: timedelta, absolute: timedelta) -> None:
    grant, token = opened(replace(APP, single_page=single_page))

    assert grant.id == GRANT_ID.hex()
    assert grant.idle_expires_at == NOW + idle
    assert grant.expires_at == NOW + absolute
    assert redeem(grant, token, now=NOW + idle) == Refused(Reason.GRANT_EXPIRED)
    assert isinstance(redeem(grant, token, now=NOW + idle - SECOND), Redeemed)


def test_only_the_digest_is_kept() -> None:
    grant, token = opened()
    after = rotated(grant, token)

    for text, kept in ((token.text, grant), (after.refresh.text, after.grant)):
        secret = base64url.decode(text.removeprefix("gkr1."))
        assert secret is not None
        assert kept.head == grants.digest(text)
        assert secret[16:] not in (kept.head, kept.spent)
    assert token.text not in repr(grant)
    assert after.refresh.text not in repr(after)


# Rotation. ------------------------------------------------------------------------------------------


@pytest.mark.proves("OA-102")
def test_each_use_replaces_the_token() -> None:
    grant, token = opened()

    first = rotated(grant, token)
    second = rotated(first.grant, first.refresh, NOW + DAY)

    assert len({token.text, first.refresh.text, second.refresh.text}) == 3
    assert first.grant.head == grants.digest(first.refresh.text)
    assert first.grant.spent == grant.head
    assert second.grant.rotated_at == NOW + DAY


def test_use_postpones_idleness_but_never_the_end() -> None:
    grant, token = opened()

    after = rotated(grant, token, NOW + 13 * DAY)
    assert after.grant.idle_expires_at == NOW + 27 * DAY
    while after.grant.idle_expires_at < grant.expires_at:
        after = rotated(after.grant, after.refresh, after.grant.idle_expires_at - SECOND)

    assert after.grant.expires_at == grant.expires_at == after.grant.idle_expires_at
    assert redeem(after.grant, after.refresh, now=grant.expires_at) == Refused(Reason.GRANT_EXPIRED)


@pytest.mark.proves("OA-070")
def test_a_refresh_neither_raises_assurance_nor_renews_it() -> None:
    grant, token = opened()

    after = rotated(grant, token, NOW + 9 * DAY)

    assert assurance(after.grant.evidence) == assurance((PASSWORD, TEXT_SECOND))
    assert assurance(after.grant.evidence).auth_time == TEXT_SECOND.at
    assert (after.grant.demand, after.grant.subject, after.grant.created_at) == (THINGS_DEMAND, MIKA.id, NOW)


@pytest.mark.proves("TOK-07", "OA-104")
@pytest.mark.parametrize("seconds", [0, 1, 10])
def test_a_lost_answer_is_given_again_for_ten_seconds(seconds: int) -> None:
    grant, token = opened()
    after = rotated(grant, token)

    again = redeem(after.grant, token, now=after.grant.rotated_at + seconds * SECOND)

    assert again == Repeated(after.grant, after.refresh)


@pytest.mark.proves("TOK-07")
def test_another_client_is_not_given_the_successor() -> None:
    grant, token = opened()
    after = rotated(grant, token)

    assert redeem(after.grant, token, client_id=OTHER_APP.id) == Refused(Reason.GRANT_UNKNOWN)


@pytest.mark.proves("TOK-07", "OA-103")
@pytest.mark.parametrize("late", [10 * SECOND + timedelta(microseconds=1), DAY, -11 * SECOND])
def test_a_spent_token_ends_the_family_afterwards(late: timedelta) -> None:
    grant, token = opened()
    after = rotated(grant, token)
    now = after.grant.rotated_at + late

    reuse = redeem(after.grant, token, now=now)

    assert reuse == Reuse(replace(after.grant, revoked_at=now))
    assert reuse.reason is Reason.GRANT_REVOKED
    assert redeem(reuse.grant, after.refresh) == Refused(Reason.GRANT_REVOKED)
    assert redeem(reuse.grant, token) == Refused(Reason.GRANT_REVOKED)


def test_an_earlier_generation_ends_the_family_at_once() -> None:
    grant, token = opened()
    first = rotated(grant, token)
    second = rotated(first.grant, first.refresh)

    assert isinstance(redeem(second.grant, token), Reuse)


def test_a_made_up_token_of_a_known_grant_ends_the_family() -> None:
    grant, _ = opened()

    assert isinstance(redeem(grant, Secret(grants.mint(GRANT_ID, bytes(32)))), Reuse)


# Refusals. ------------------------------------------------------------------------------------------


def test_unknown_foreign_and_misdirected_tokens_are_refused_alike() -> None:
    grant, token = opened()
    elsewhere = replace(grant, id="ff" * 16)

    refusals = {
        redeem(None, token),
        redeem(grant, token, client_id=OTHER_APP.id),
        redeem(grant, Secret(grants.mint(GRANT_ID, bytes(32))), client_id=OTHER_APP.id),
        redeem(elsewhere, token),
    }

    assert refusals == {Refused(Reason.GRANT_UNKNOWN)}


@pytest.mark.parametrize("epoch", [1, 7, -1])
def test_a_grant_of_another_epoch_is_dead(epoch: int) -> None:
    grant, token = opened()

    assert redeem(grant, token, epoch=epoch) == Refused(Reason.GRANT_REVOKED)


def test_revoking_twice_keeps_the_first_time() -> None:
    grant, token = opened()

    ended = grants.revoked(grant, NOW)

    assert grants.revoked(ended, NOW + DAY) is ended
    assert redeem(ended, token) == Refused(Reason.GRANT_REVOKED)


# Any order of presentations. ------------------------------------------------------------------------


class Family(RuleBasedStateMachine):
    """Clients that hold any of the tokens ever given out, present them in any order and at any pace."""

    def __init__(self) -> None:
        super().__init__()
        self.grant, token = opened()
        self.given = [token]
        self.spent_at: dict[str, datetime] = {}
        self.now = NOW

    @rule(seconds=st.sampled_from([0, 1, 4, 9, 11, 3600]))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule(back=st.integers(min_value=0, max_value=3))
    def present(self, back: int) -> None:
        back = min(back, len(self.given) - 1)
        token = self.given[-1 - back]
        ended_before = self.grant.revoked_at
        done = redeem(self.grant, token, now=self.now)
        if ended_before is not None:
            assert done == Refused(Reason.GRANT_REVOKED)
        elif back == 0:
            assert isinstance(done, Redeemed)
            self.grant = done.grant
            self.given.append(done.refresh)
            self.spent_at[token.text] = self.now
        elif back == 1 and self.now - self.spent_at[token.text] <= 10 * SECOND:
            assert done == Repeated(self.grant, self.given[-1])
        else:
            assert isinstance(done, Reuse)
            self.grant = done.grant

    @rule()
    def present_elsewhere(self) -> None:
        assert redeem(self.grant, self.given[-1], client_id=OTHER_APP.id) == Refused(Reason.GRANT_UNKNOWN)

    @invariant()
    def there_is_one_head(self) -> None:
        heads = [token for token in self.given if grants.digest(token.text) == self.grant.head]
        assert heads == [self.given[-1]]
        assert len({token.text for token in self.given}) == len(self.given)


Family.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_any_order_of_presentations = Family.TestCase
