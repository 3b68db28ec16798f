"""What holds for every kind of authenticator, whatever its proofs are made of."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from genkan.factors import otp, passkey, password
from genkan.factors.interface import TRAITS, Right
from genkan.model import Authenticator, Channel, Identifier, Kind
from tests.wire.authenticator import Key, b64

NOW = datetime(2026, 11, 24, 3, 33, tzinfo=UTC)
KEY = b"k" * 32


class Asked(Struct):
    """A person who was asked for a proof: what is right, and whether an answer is."""

    right: str
    is_right: Callable[[str], bool]


def asked_for_code(kind: Kind, subject: str) -> Asked:
    target = {
        Kind.EMAIL_OTP: Identifier("email", "ada@example.com", "ada@example.com"),
        Kind.SMS_OTP: Identifier("phone", "+442079460034", "+442079460034"),
    }[kind]
    authenticator = Authenticator(
        id=f"{subject}-{kind}", subject=subject, kind=kind, target=target, created_at=NOW
    )
    code = {"ada": "31415926", "bob": "27182818"}[subject]
    challenge = otp.issue(
        kind,
        target,
        authenticator,
        length=8,
        lifetime=timedelta(minutes=5),
        now=NOW,
        challenge_id=f"challenge of {subject}",
        code=code,
        key=KEY,
    )
    return Asked(code, lambda text: isinstance(otp.verify(challenge, authenticator, text, NOW, KEY), Right))


def asked_for_password(kind: Kind, subject: str) -> Asked:
    right = f"{subject} and the seven otters"
    stored = password.hash_new(right, subject.encode() * 6)
    return Asked(right, lambda text: password.verify(stored, text))


def asked_for_passkey(kind: Kind, subject: str) -> Asked:
    key, origin = Key(), "https://shop.example"
    challenge, handle = subject.encode().ljust(32), b"h" * 32
    question = {"challenge": b64(challenge), "user": {"id": b64(handle)}}
    made = passkey.made(key.made(question, origin), challenge, key.rp_id, origin, roaming=False)
    assert made is not None
    right = json.dumps(key.signed(question, origin))

    def is_right(text: str) -> bool:
        found = passkey.signed(passkey.read(text) or {}, made, challenge, origin, handle)
        return found is not None and found.verified

    return Asked(right, is_right)


ASK: dict[Kind, Callable[[Kind, str], Asked]] = {
    Kind.EMAIL_OTP: asked_for_code,
    Kind.SMS_OTP: asked_for_code,
    Kind.PASSWORD: asked_for_password,
    Kind.PASSKEY: asked_for_passkey,
}

every_kind = pytest.mark.parametrize("kind", list(TRAITS))
"""Those that native apps can prove: what is proven at another provider has no factor of its own."""


@every_kind
def test_every_kind_has_traits(kind: Kind) -> None:
    traits = TRAITS[kind]

    assert traits.amr
    assert (traits.channel is None) == (kind in (Kind.PASSWORD, Kind.PASSKEY))
    assert traits.phishing_resistant == (kind is Kind.PASSKEY)


def test_every_kind_is_proven_here_or_elsewhere() -> None:
    assert {*Kind} - TRAITS.keys() == {Kind.FEDERATED}


def test_no_two_kinds_send_by_one_channel() -> None:
    channels = [traits.channel for traits in TRAITS.values() if traits.channel is not None]

    assert sorted(channels) == sorted(Channel)


@every_kind
def test_the_right_proof_is_right_and_stays_right(kind: Kind) -> None:
    asked = ASK[kind](kind, "ada")

    verdicts = [asked.is_right(asked.right) for _ in range(2)]

    assert verdicts == [True, True]


@every_kind
def test_nobody_is_proven_by_the_proof_of_another(kind: Kind) -> None:
    ada, bob = (ASK[kind](kind, subject) for subject in ("ada", "bob"))

    verdicts = ada.is_right(bob.right), bob.is_right(ada.right)

    assert verdicts == (False, False)


@every_kind
@pytest.mark.parametrize(
    "spoil", [str.upper, lambda t: t[:-1], lambda t: t + t[-1], lambda t: t[::-1], lambda t: ""]
)
def test_nearly_right_is_wrong(kind: Kind, spoil: Callable[[str], str]) -> None:
    asked = ASK[kind](kind, "ada")
    near = spoil(asked.right)

    assert asked.is_right(near) is (near == asked.right)


@every_kind
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec=None), max_size=40))
def test_no_answer_raises(kind: Kind, text: str) -> None:
    asked = ASK[kind](kind, "ada")

    assert not asked.is_right(text)
