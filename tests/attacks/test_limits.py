"""
What the limits of an account must also do, and do not do yet: each test here fails, and says why.

The day one of them passes it is an error, and moves to where it belongs.
"""

from __future__ import annotations

import pytest

from genkan.factors import otp
from tests.attacks.journeys import challenged, person, prove_first, token_set
from tests.attacks.target import Inside
from tests.attacks.test_races import looking_at, wrong_codes

OWNER = "198.51.100.7"
STRANGER = "203.0.113.9"


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="OTP-12: nothing counts wrong guesses in a row; thirty a day go on for ever",
)
def test_after_a_hundred_wrong_codes_in_a_row_none_is_judged_any_more(here: Inside) -> None:
    who = person(here)
    judged = 0

    with looking_at(otp.verify) as looked:
        for _ in range(5 * 12):
            here.advance(2 * 3600)
            token, code = challenged(here, who)
            before = looked.times
            for wrong in wrong_codes(code, 4):
                prove_first(here, who, token, wrong, "openid")
            judged += looked.times - before

    assert judged <= 100


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="AVL-01, AVL-02: there is one lane; whoever guesses from anywhere keeps the owner out",
)
@pytest.mark.parametrize("app", ["otp", "password"])
def test_a_stranger_who_uses_up_the_guesses_does_not_keep_the_owner_out_where_they_signed_in_before(
    here: Inside, app: str
) -> None:
    here.address = OWNER
    who = person(here, here.otp_app if app == "otp" else here.password_app)
    token, proof = challenged(here, who)
    assert token_set(prove_first(here, who, token, proof, "openid"))

    here.address = STRANGER
    for _ in range(3):
        token, proof = challenged(here, who)
        guesses = wrong_codes(proof, 4) if app == "otp" else [f"wrong {n}" for n in range(4)]
        for guess in guesses:
            assert not token_set(prove_first(here, who, token, guess, "openid"))

    here.address = OWNER
    token, proof = challenged(here, who)
    assert token_set(prove_first(here, who, token, proof, "openid"))
