"""
Stuffing: a list of 5,000 addresses, each with a password that was leaked somewhere, tried from many places at once.

The bounds, with the limits as they are shipped: from one network at most 100 of the guesses at strangers' accounts are
compared with anything in an hour, whatever the accounts; of one password tried everywhere at most 20 wrong ones, from
however many networks; and whoever owns an account signs in at home all the while.
The budgets are the database's, so what is counted is what was compared (`rate`); hashes are of the cheap kind that an
import brings, since the work of hashing is not what is asked here.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from genkan import identifiers
from genkan.engine.flow import Offers
from genkan.engine.messages import (
    Begin,
    Choose,
    Effect,
    Identify,
    Prove,
    PutAuthenticator,
    PutSubject,
    Ready,
    Resume,
    Signals,
)
from genkan.engine.transaction import Change, Loaded, Needs
from genkan.factors import foreign
from genkan.model import Authenticator, Identifier, Kind, Purpose, Secret, Subject
from genkan.risk import rate
from genkan.service.conduct import Answer, Ask
from tests.attacks.journeys import PASSWORD, challenged, prove_first, token_set
from tests.attacks.lab import MEMORY
from tests.attacks.target import Inside, inside
from tests.attacks.test_limits import OWNER, at_home, counted

pytestmark = pytest.mark.slow

PEOPLE = 5_000
AT_ONCE = 48
OFFERS = Offers(password=True, code=True)


@pytest.fixture(scope="module")
def crowded() -> Iterator[Inside]:
    """A tenant of 5,000 people, each with a password of their own; in memory, since nothing of it is to last."""
    folder = str(MEMORY) if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=folder) as data, inside(Path(data) / "data") as here:
        here.run(filled(here))
        yield here


def address(n: int) -> Identifier:
    found = identifiers.email(f"person{n}@example.com")
    assert found is not None
    return found


def material(n: int) -> Secret:
    """The hash of `own password N`."""
    digest = hashlib.sha512(f"own password {n}salt".encode()).digest()
    found = foreign.read("{SSHA512}" + base64.b64encode(digest + b"salt").decode())
    assert isinstance(found, Secret)
    return found


async def filled(here: Inside) -> None:
    store, now = here.development._store, here.now()
    for start in range(0, PEOPLE, 500):
        effects = list[Effect]()
        for n in range(start, start + 500):
            id = f"{n:08x}-0000-4000-8000-000000000001"
            effects.append(PutSubject(Subject(id=id, identifiers=(address(n),), created_at=now)))
            method = Authenticator(
                id=f"{n:08x}-0000-4000-8000-000000000002",
                subject=id,
                kind=Kind.PASSWORD,
                material=material(n),
                strong=False,
                created_at=now,
            )
            effects.append(PutAuthenticator(method))
        await store.run(Needs(), partial(written, Change(effects=tuple(effects))))


def written(change: Change, _: Loaded) -> tuple[Change, None]:
    return change, None


async def tried(here: Inside, n: int, password: str, source: str) -> Answer:
    """One guess at one account, as the wire would say it."""
    conduct, signals = here.development._tenant.conduct, Signals(address=source)
    client = here.password_app
    begin = Begin(purpose=Purpose.SIGN_IN, offers=OFFERS, dialect="v1")
    begun = await conduct(Ask(client=client, events=(begin, Identify(identifier=address(n)))), signals)
    put = await conduct(Ask(client=client, handle=begun.handle, events=(Choose(),)), signals)
    prove = Prove(kind="password", text=Secret(password))
    return await conduct(Ask(client=client, handle=put.handle, events=(prove, Resume())), signals)


async def stuffed(here: Inside, guesses: list[tuple[int, str, str]]) -> int:
    """Many guesses, so many at once; how many of them got in."""
    lane = asyncio.Semaphore(AT_ONCE)

    async def one(n: int, password: str, source: str) -> bool:
        async with lane:
            return isinstance((await tried(here, n, password, source)).reply, Ready)

    return sum(await asyncio.gather(*(one(*guess) for guess in guesses)))


@pytest.mark.proves("THR-02", "THR-05")
def test_of_five_thousand_accounts_tried_from_one_network_a_hundred_guesses_are_compared(
    crowded: Inside,
) -> None:
    owner = at_home(crowded, crowded.password_app)
    guesses = [(n, f"not theirs {n}", f"203.0.113.{n % 250 + 1}") for n in range(PEOPLE)]

    assert crowded.run(stuffed(crowded, guesses)) == 0

    assert counted(crowded, rate.guesses_from_network("203.0.113.0/24", Kind.PASSWORD)) == 100
    # From then on a password that is right gets nobody in from there: what the list is worth is gone.
    rights = [(n, f"own password {n}", f"203.0.113.{n % 250 + 1}") for n in range(1_000, 1_200)]
    assert crowded.run(stuffed(crowded, rights)) == 0
    crowded.address = OWNER
    token, _ = challenged(crowded, owner)
    assert token_set(prove_first(crowded, owner, token, PASSWORD, "openid"))


@pytest.mark.proves("THR-05")
def test_one_password_tried_at_five_thousand_accounts_from_as_many_networks_is_compared_twenty_times(
    crowded: Inside,
) -> None:
    owner = at_home(crowded, crowded.password_app)
    networks = [f"198.{18 + n // 256 % 2}.{n % 256}.{n // 512 + 1}" for n in range(PEOPLE)]
    guesses = [(n, "winter of discontent", networks[n]) for n in range(PEOPLE)]

    assert crowded.run(stuffed(crowded, guesses)) == 0

    key = crowded.development._tenant.conduct._keys.code
    assert counted(crowded, rate.one_password("winter of discontent", key)) == 20
    spent = sum(
        counted(crowded, rate.guesses_from_network(network, Kind.PASSWORD))
        for network in {rate.network(address) for address in networks}
    )
    assert spent <= 20 + AT_ONCE, "those under way when the twentieth was found wrong are compared too"
    crowded.address = OWNER
    token, _ = challenged(crowded, owner)
    assert token_set(prove_first(crowded, owner, token, PASSWORD, "openid"))
