"""The first administration client: by a token that is good once, for an hour, and only while there is no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from genkan.engine.transaction import Change
from genkan.model import Secret
from genkan.service import clients
from genkan.service.admin import applications, first
from genkan.service.admin.applications import PERMISSIONS, ApplicationChange
from genkan.service.admin.door import Actor, Refusal
from tests.service.offices import OPERATOR, Office, made, office, refused

pytestmark = pytest.mark.anyio

SOMEBODY = Actor(id="bootstrap token", name="bootstrap token", kind="operator", address="192.0.2.7")


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as one:
        yield one


async def redeem(here: Office, text: str, name: str = "Desk") -> first.First | Refusal:
    return await first.redeem(here.door, SOMEBODY, Secret(text), name, None)


async def can_prove_itself(here: Office, by: first.First) -> bool:
    assert by.secret is not None
    proof = clients.Proof(client=by.client.id, secret=Secret(by.secret))
    return isinstance(await clients.authenticate(here.store, proof), clients.Proven)


@pytest.mark.proves("ADM-01")
async def test_the_token_makes_one_administrator_and_no_second(here: Office) -> None:
    assert not here.store.directory().clients
    token = made(await first.issue(here.door, OPERATOR))
    one = made(await redeem(here, token.text))
    assert one.client.app_roles == PERMISSIONS
    assert await can_prove_itself(here, one)
    no = refused(await redeem(here, token.text))
    assert (no.why, list(here.store.directory().clients)) == ("forbidden", [one.client.id])
    assert await here.log() == [
        ("Make bootstrap token", ""),
        ("Make first administrator", ""),
        ("Make first administrator", "forbidden"),
    ]
    rows = [row.record for row in await here.store.trail(limit=10) if row.record.category]
    assert rows[1].detail["actor"] == {"kind": "operator", "id": "bootstrap token", "name": "bootstrap token"}
    told = repr((rows, token, one))
    assert token.text not in told
    assert str(one.secret) not in told


@pytest.mark.proves("ADM-01")
@pytest.mark.parametrize(
    ("waits", "counts"), [(timedelta(minutes=59, seconds=59), True), (timedelta(hours=1), False)]
)
async def test_the_token_is_good_for_an_hour_by_the_clock_of_the_store(
    here: Office, waits: timedelta, counts: bool
) -> None:
    token = made(await first.issue(here.door, OPERATOR))
    here.clock.move(waits)
    answer = await redeem(here, token.text)
    assert isinstance(answer, first.First) is counts
    assert bool(here.store.directory().clients) is counts
    assert (await here.log())[-1] == ("Make first administrator", "" if counts else "forbidden")


@pytest.mark.proves("ADM-01")
async def test_of_many_who_show_it_at_once_one_wins(here: Office) -> None:
    token = made(await first.issue(here.door, OPERATOR))
    answers = await asyncio.gather(*(redeem(here, token.text, f"Desk {n}") for n in range(8)))
    won = [answer for answer in answers if isinstance(answer, first.First)]
    assert [one.client.id for one in won] == list(here.store.directory().clients)


@pytest.mark.proves("ADM-01")
async def test_a_later_token_takes_the_place_of_an_earlier_one(here: Office) -> None:
    earlier = made(await first.issue(here.door, OPERATOR))
    later = made(await first.issue(here.door, OPERATOR))
    assert refused(await redeem(here, earlier.text)).why == "forbidden"
    made(await redeem(here, later.text))


async def test_what_was_never_a_token_leaves_nothing_behind(here: Office) -> None:
    """Anybody can send it, as often as they like: it must not fill the log."""
    for text in ("", "guess", "\ud800"):
        refused(await redeem(here, text))
    made(await first.issue(here.door, OPERATOR))
    before = await here.log()
    for text in ("", "guess", "\ud800"):
        refused(await redeem(here, text))
    assert await here.log() == before


@pytest.mark.proves("ADM-01")
async def test_where_somebody_administers_there_is_no_first(here: Office) -> None:
    token = made(await first.issue(here.door, OPERATOR))
    app = made(await applications.add(here.door, OPERATOR, ApplicationChange(name="Receiver")))
    made(await applications.grant_role(here.door, OPERATOR, app.id, "SharedSignals.Receive"))
    assert first.administrator(here.store.directory()) is None  # It only listens.
    made(await applications.grant_role(here.door, OPERATOR, app.id, "User.Read.All"))
    assert "genkan app add-secret" in refused(await first.issue(here.door, OPERATOR)).text
    assert refused(await redeem(here, token.text)).why == "forbidden"


async def test_a_name_that_none_can_have_does_not_use_the_token_up(here: Office) -> None:
    token = made(await first.issue(here.door, OPERATOR))
    assert refused(await redeem(here, token.text, "\n")).why == "invalid"
    made(await redeem(here, token.text))


async def test_only_a_digest_of_it_is_kept(here: Office) -> None:
    token = made(await first.issue(here.door, OPERATOR))
    one = made(await redeem(here, token.text))

    def nothing(_: object) -> tuple[Change, None]:
        return Change(), None

    await here.store.administer(nothing)  # Whatever is to be written has been.
    folder = here.place.parent
    for text in (token.text, str(one.secret)):
        assert not any(text.encode() in file.read_bytes() for file in folder.iterdir())
