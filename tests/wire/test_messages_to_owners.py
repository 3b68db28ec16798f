"""What leaves for the owner of an account: notices of danger, in the owner's language, and codes with their lines."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from msgspec.structs import replace

from genkan import identifiers
from genkan.engine.messages import PutSubject
from genkan.engine.transaction import Change, Loaded, Needs
from genkan.model import AccountRisk, Brand, Subject
from tests.server import first_factor_by_code, new_address, new_number
from tests.wire.journeys import OPENID, PASSWORD, begun, challenged, first_factor_by_password, proven
from tests.wire.policies import for_everybody
from tests.wire.servers import World, in_process


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("owners") / "data"
    with in_process(folder, trusted_proxies="127.0.0.0/8") as opened:
        yield opened


def signs_in(world: World, address: str, network: str) -> None:
    """Tokens, by password, for somebody at this address."""
    world.http.headers["x-forwarded-for"] = network
    try:
        first_factor_by_password(world, address, OPENID).ok()
    finally:
        del world.http.headers["x-forwarded-for"]


def changed(world: World, address: str, **changes: object) -> None:
    """A person as an administrator has changed them."""
    key = identifiers.email(address)
    assert key is not None

    def decide(loaded: Loaded) -> tuple[Change, None]:
        assert loaded.subject is not None
        subject: Subject = replace(loaded.subject, **changes)
        return Change(effects=(PutSubject(subject),)), None

    world.run(world.store.run(Needs(identifier=key.key), decide))


def refused(world: World, address: str) -> None:
    """A right password, and a refusal all the same."""
    asked = challenged(world, world.password_app, begun(world, world.password_app, address).token)
    assert proven(world, world.password_app, asked.token, "password", PASSWORD).error[0] != ""


def subjects(world: World, to: str) -> list[str]:
    return [m["subject"] or m["text"] for m in world.messages(to) if m["purpose"] == "notice"]


def test_the_owner_is_told_everywhere_of_a_sign_in_that_was_refused_as_dangerous(world: World) -> None:
    address, number = new_address(), new_number()
    phone = identifiers.phone(number)
    assert phone is not None
    world.person(address, password=PASSWORD, seconds=(phone,))
    changed(world, address, risk=AccountRisk(level="high", state="atRisk"))
    with world.changed(for_everybody("block", user_risk_levels=("high",))):
        refused(world, address)
        world.arrived(address, "notice", 1)
        world.arrived(number, "notice", 1)

        notice = world.messages(address)[0]
        assert notice["subject"] == "A sign-in to your account was refused"
        assert "Change your password now." in notice["text"]
        assert "Was it not you?" in world.messages(number)[0]["text"]


def test_a_thief_cannot_flood_the_owner_with_refusals(world: World) -> None:
    address = new_address()
    world.person(address, password=PASSWORD)
    changed(world, address, risk=AccountRisk(level="high", state="atRisk"))
    with world.changed(for_everybody("block", user_risk_levels=("high",))):
        for _ in range(4):
            refused(world, address)
        world.advance(3601)
        refused(world, address)
        world.arrived(address, "notice", 2)

        assert len(subjects(world, address)) == 2


def test_a_refusal_that_has_nothing_to_do_with_danger_is_no_news(world: World) -> None:
    address = new_address()
    world.person(address, password=PASSWORD)
    policy = replace(
        for_everybody("block", user_risk_levels=("high",)),
        conditions=replace(
            for_everybody("block", user_risk_levels=("high",)).conditions, user_risk_levels=()
        ),
    )
    with world.changed(policy):
        refused(world, address)

    assert subjects(world, address) == []


HOME, AWAY, FURTHER = "198.51.100.7", "203.0.113.9", "192.0.2.44"
NEW_DEVICE = "A new device signed in to your account"


def test_the_owner_is_told_of_tokens_that_went_to_a_place_nobody_signed_in_from_before(world: World) -> None:
    address, number = new_address(), new_number()
    phone = identifiers.phone(number)
    assert phone is not None
    world.person(address, password=PASSWORD, seconds=(phone,))
    signs_in(world, address, HOME)
    signs_in(world, address, "198.51.100.200")
    assert subjects(world, address) == [], "the first place of an account is no news, nor is its neighbour"

    signs_in(world, address, AWAY)
    world.arrived(address, "notice", 1)
    world.arrived(number, "notice", 1)

    notice = world.messages(address)[0]
    assert notice["subject"] == NEW_DEVICE
    assert "Change your password now and tell the people who run the service." in notice["text"]
    assert "Was it not you? Change your password now." in world.messages(number)[0]["text"]
    signs_in(world, address, AWAY)
    assert len(subjects(world, address)) == 1, "and then the account knows it"

    signs_in(world, address, FURTHER)
    world.arrived(address, "notice", 2)
    assert len(subjects(world, number)) == 1, "texts cost money: one a day"
    world.advance(24 * 3600)
    signs_in(world, address, "192.0.3.1")
    world.arrived(number, "notice", 2)


def test_a_sign_in_from_a_new_place_that_came_to_nothing_is_no_news(world: World) -> None:
    address = new_address()
    world.person(address, password=PASSWORD)
    signs_in(world, address, HOME)
    world.http.headers["x-forwarded-for"] = AWAY
    try:
        asked = first_factor_by_password(world, address, world.scope)
        first_factor_by_password(world, address, OPENID, "not this one, no")
    finally:
        del world.http.headers["x-forwarded-for"]

    assert asked.error[0] != ""
    assert subjects(world, address) == []


def test_a_tenant_may_leave_new_places_untold(world: World) -> None:
    address = new_address()
    world.person(address, password=PASSWORD)
    with world.changed(tell_new_places=False):
        signs_in(world, address, HOME)
        signs_in(world, address, AWAY)

    assert subjects(world, address) == []


def test_a_person_gets_codes_in_their_language(world: World) -> None:
    address, other = new_address(), new_address()
    for to in (address, other):
        world.person(to)
    changed(world, address, attributes={"preferredLanguage": "fr-CH"})

    with world.changed(brand=Brand(language="de", name="Contoso")):
        first_factor_by_code(world, address, world.scope)
        first_factor_by_code(world, other, world.scope)

        assert subjects_of_codes(world, address) == ["Votre code de connexion pour Contoso"]
        assert subjects_of_codes(world, other) == ["Ihr Anmeldecode für Contoso"]


def subjects_of_codes(world: World, to: str) -> list[str]:
    return [m["subject"] for m in world.messages(to) if m["purpose"] == "sign_in"]


@pytest.mark.proves("OTP-18")
def test_a_code_by_text_message_is_bound_to_the_site_of_the_app_that_asked_for_it(world: World) -> None:
    address, number = new_address(), new_number()
    phone = identifiers.phone(number)
    assert phone is not None
    world.person(address, seconds=(phone,), age=timedelta(days=2))
    client = replace(world.directory.clients[world.otp_app], code_domain="shop.example.com")
    with world.changed(client):
        first = first_factor_by_code(world, address, world.scope)
        challenged(world, world.otp_app, first.token)
        code = world.code(number, "mfa")

        assert world.messages(number)[0]["text"].endswith(f"\n\n@shop.example.com #{code}")
    assert "shop.example.com" not in world.messages(address)[0]["text"]
