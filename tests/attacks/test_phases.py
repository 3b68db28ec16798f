"""
Every phase of a flow × every call: only what native-auth-v1 1.8 allows succeeds, and nothing else changes a thing.

Each phase is reached by the calls of an app, and each call carries everything right but its turn: the code that was
sent, the password of the account, a number that could be registered.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks import lab as labs
from tests.attacks.envelope import GOES_ON, GOES_ON_BY_SUBERROR
from tests.attacks.journeys import (
    REGISTER_CONTINUE,
    SIGNUP_START,
    STARTS,
    TOKEN,
    bad_token,
    begin,
    token_set,
)
from tests.attacks.lab import CELLS, LEGAL, PLACES, Cell, Lab
from tests.server import Reply, new_address

WRONG_TYPE = ("invalid_grant", "", 400002)
UNFIT = ("invalid_grant", "", 55200)

SAID_OTHERWISE = {
    ("SI.pwd", (TOKEN, "oob")): WRONG_TYPE,
    ("SI.oob", (TOKEN, "password")): WRONG_TYPE,
    ("REG.oob", (REGISTER_CONTINUE, "continuation_token")): UNFIT,
    ("REG.pre", (REGISTER_CONTINUE, "oob")): UNFIT,
}
"""Where a proof of the wrong kind has an answer of its own (native-auth-v1 4.3, 5.3)."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with labs.opened() as found:
        yield found


def name(cell: Cell) -> str:
    return " ".join(cell).strip("/ ")


def goes_on(reply: Reply) -> bool:
    """The call was let in, and the flow lives or has ended in tokens."""
    error, suberror, _ = reply.error
    return reply.status == 200 or error in GOES_ON or suberror in GOES_ON_BY_SUBERROR


@pytest.mark.proves("FLOW-03", "FLOW-20")
@pytest.mark.parametrize("phase", PLACES)
def test_a_call_that_the_phase_does_not_allow_is_an_invalid_token_and_changes_nothing(
    lab: Lab, phase: str
) -> None:
    place = PLACES[phase](lab)
    before = lab.stored()

    answers = {}
    for cell in CELLS:
        if cell not in LEGAL[place.phase]:
            answers[cell] = place.say(lab, cell)
            assert lab.stored() == before, cell

    assert len(answers) == len(CELLS) - len(LEGAL[place.phase])
    for cell, reply in answers.items():
        expected = SAID_OTHERWISE.get((place.phase, cell), bad_token(cell[0]))
        assert reply.error == expected, (cell, reply.body)
        assert not reply.token
        assert not token_set(reply)
    for cell in sorted(LEGAL[place.phase])[:1]:
        assert goes_on(place.say(lab, cell)), cell


@pytest.mark.proves("FLOW-03")
@pytest.mark.parametrize(
    ("phase", "cell"),
    [
        pytest.param(phase, cell, id=f"{phase} {name(cell)}")
        for phase in PLACES
        if phase in LEGAL
        for cell in sorted(LEGAL[phase])
    ],
)
def test_a_call_that_the_phase_allows_succeeds(lab: Lab, phase: str, cell: Cell) -> None:
    place = PLACES[phase](lab)

    reply = place.say(lab, cell)

    assert goes_on(reply), reply.body


@pytest.mark.proves("FLOW-03")
@pytest.mark.parametrize("phase", PLACES)
def test_a_token_of_a_flow_is_no_refresh_token(lab: Lab, phase: str) -> None:
    place = PLACES[phase](lab)
    before = lab.stored()

    reply = lab.said(TOKEN, place.who.client, grant_type="refresh_token", refresh_token=place.token)

    assert reply.error == ("invalid_grant", "bad_token", 70000)
    assert lab.stored() == before


@pytest.mark.proves("FLOW-03")
def test_a_refresh_token_is_no_token_of_a_flow(lab: Lab) -> None:
    place = labs.su_done(lab)
    issued = place.say(lab, (TOKEN, "continuation_token"), scope="openid").ok()
    before = lab.stored()

    for cell in CELLS:
        reply = place.say(lab, cell, continuation_token=issued["refresh_token"])
        assert reply.error == bad_token(cell[0]), cell

    assert lab.stored() == before


@pytest.mark.proves("FLOW-04")
@pytest.mark.parametrize("phase", PLACES)
def test_a_token_of_one_app_is_an_invalid_one_to_the_other_in_every_phase(lab: Lab, phase: str) -> None:
    place = PLACES[phase](lab)
    other = next(app for app in (lab.otp_app, lab.password_app) if app != place.who.client)
    before = lab.stored()

    for cell in CELLS:
        reply = place.say(lab, cell, client=other)
        assert reply.error == bad_token(cell[0]), cell
        assert lab.stored() == before, cell


@pytest.mark.parametrize("phase", ["SI.oob", "MFA.oob", "REG.required", "SU.pwd", "RP.verified"])
def test_a_beginning_that_carries_a_token_begins_anew_and_leaves_that_flow_as_it_was(
    lab: Lab, phase: str
) -> None:
    place = PLACES[phase](lab)
    before = lab.stored()["flow"]

    for path in STARTS:
        username = new_address() if path == SIGNUP_START else place.who.address
        begin(lab, path, place.who.client, username, continuation_token=place.token)

    assert set(before) <= set(lab.stored()["flow"])
    assert goes_on(place.say(lab, min(LEGAL[place.phase])))
