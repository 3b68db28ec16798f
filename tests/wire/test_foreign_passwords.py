"""People whose passwords another system hashed sign in as ever, and leave that hash behind."""

from __future__ import annotations

from collections.abc import Iterator

import bcrypt
import pytest
from msgspec.structs import replace

from genkan.engine.messages import PutAuthenticator
from genkan.engine.transaction import Needs
from genkan.factors import foreign
from genkan.model import Authenticator, Secret
from tests.server import new_address
from tests.wire.journeys import OPENID, PASSWORD, first_factor_by_password
from tests.wire.servers import World
from tests.wire.test_timing import MEASURABLE, compared, flows, guess, lock


def moved(world: World, address: str, cost: int = 5) -> Authenticator:
    """An account whose password was hashed elsewhere."""
    world.person(address, password=PASSWORD)
    held = password_of(world, address)
    material = foreign.read(bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(cost)).decode())
    assert isinstance(material, Secret)
    world.write(PutAuthenticator(replace(held, material=material)))
    return password_of(world, address)


def password_of(world: World, address: str) -> Authenticator:
    (held,) = world.run(world.store.read(Needs(identifier=address))).authenticators
    assert held.material is not None
    return held


@pytest.mark.proves("PWD-05")
def test_the_first_sign_in_keeps_the_password_and_replaces_the_hash(world: World) -> None:
    before = moved(world, address := new_address())

    assert "access_token" in first_factor_by_password(world, address, OPENID).body

    after = password_of(world, address)
    assert after.id == before.id
    assert after.material is not None
    assert after.material.text.startswith("$argon2id$")
    assert "access_token" in first_factor_by_password(world, address, OPENID).body
    assert password_of(world, address).material == after.material, "and it is hashed anew once"


def test_a_wrong_password_changes_nothing(world: World) -> None:
    before = moved(world, address := new_address())

    refused = first_factor_by_password(world, address, OPENID, "quiet otter at dawn")

    assert refused.error == ("invalid_grant", "", 50126)
    assert password_of(world, address) == before


def people(world: World, count: int, cost: int) -> list[str]:
    addresses = [new_address() for _ in range(count)]
    for address in addresses:
        moved(world, address, cost)
    return addresses


@pytest.mark.slow
@pytest.mark.proves("V1-205")
def test_uniform_a_wrong_password_takes_as_long_whether_another_system_hashed_the_right_one(
    world: World,
) -> None:
    addresses = people(world, 20, 10)
    material = password_of(world, addresses[0]).material
    assert material is not None
    with world.changed(enumeration="uniform", foreign_hashes=(foreign.dummy(material),)):
        known = flows(world, addresses)
        unknown: Iterator[str] = flows(world, [new_address() for _ in range(25)])

        found = compared(guess(world, known), guess(world, unknown), pairs=60)

    assert not found.differs(MEASURABLE)


@pytest.mark.slow
@pytest.mark.proves("ENUM-07")
def test_compat_such_a_wrong_password_takes_as_long_while_the_account_has_to_wait(world: World) -> None:
    free, waiting = people(world, 25, 10), people(world, 25, 10)
    for address in waiting:
        lock(world, address)

    found = compared(guess(world, flows(world, free)), guess(world, flows(world, waiting)), pairs=60)

    assert not found.differs(MEASURABLE)
