"""The audit log is a chain: whoever changes what is written in it breaks it."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from genkan.engine.messages import Deliver, Directory
from genkan.engine.transaction import Needs
from genkan.model import Tenant
from tests.store.worlds import TENANT, SqlitePlace, Store, a_message, a_record, opened, writes


async def written(store: Store, count: int) -> None:
    """Write so many rows, several in each batch."""
    await asyncio.gather(*(store.run(Needs(), writes(a_record(f"row:{i}"))) for i in range(count)))


@pytest.mark.proves("LOG-05")
@pytest.mark.parametrize(
    ("harm", "row"),
    [
        ("DELETE FROM audit WHERE seq = 1", 2),
        ("DELETE FROM audit WHERE seq = 5", 6),
        ("UPDATE audit SET reason = '' WHERE seq = 5", 5),
        ("UPDATE audit SET at = at + 1 WHERE seq = 5", 5),
        ("UPDATE audit SET category = 'Policy' WHERE seq = 5", 5),
        ("UPDATE audit SET link = NULL WHERE seq <= 5", 6),
        ("UPDATE audit SET link = NULL WHERE seq = 5", 5),
        ("UPDATE audit SET link = (SELECT link FROM audit WHERE seq = 4) WHERE seq = 5", 5),
        ("UPDATE audit SET seq = 100 WHERE seq = 10", 100),
    ],
)
def test_what_was_done_to_the_log_is_found(tmp_path: Path, harm: str, row: int) -> None:
    async def story() -> None:
        place = SqlitePlace(tmp_path)
        async with opened(place) as store:
            await written(store, 10)
            whole = await store.verify_trail()
            assert (whole.rows, whole.before, whole.broken_at) == (10, 0, None)
            place.execute(store, harm)
            assert (await store.verify_trail()).broken_at == row

    asyncio.run(story())


@pytest.mark.proves("LOG-05")
def test_rows_cut_off_at_the_end_are_missed_by_a_head_that_was_noted(tmp_path: Path) -> None:
    async def story() -> None:
        place = SqlitePlace(tmp_path)
        async with opened(place) as store:
            await written(store, 5)
            noted = (await store.verify_trail()).head
            await written(store, 5)
            assert (await store.verify_trail(noted)).knows_head is True
            place.execute(store, "DELETE FROM audit WHERE seq >= 5")
            cut = await store.verify_trail(noted)
            assert (cut.broken_at, cut.knows_head) == (None, False)

    asyncio.run(story())


def test_a_chain_goes_on_after_a_restart_an_undone_step_and_a_wipe(tmp_path: Path) -> None:
    def fails(_: object) -> tuple[None, None]:
        raise KeyError

    async def story() -> None:
        place = SqlitePlace(tmp_path)
        async with opened(place) as store:
            await written(store, 3)
            answers = await asyncio.gather(
                store.run(Needs(), writes(a_record())),
                store.run(Needs(), fails),  # type: ignore[arg-type]
                store.run(Needs(), writes(a_record())),
                return_exceptions=True,
            )
            assert [type(a) for a in answers] == [type(None), KeyError, type(None)]
        async with opened(place) as store:
            await written(store, 3)
            assert ((found := await store.verify_trail()).rows, found.broken_at) == (8, None)
            await store.wipe(Directory(tenant=Tenant(id=TENANT, name="north")))
            await written(store, 2)
            assert ((found := await store.verify_trail()).rows, found.broken_at) == (2, None)

    asyncio.run(story())


def test_a_row_about_a_lost_message_is_in_the_chain_too(tmp_path: Path) -> None:
    async def story() -> None:
        place = SqlitePlace(tmp_path)
        async with opened(place) as store:
            await store.run(Needs(), writes(Deliver(a_message()), a_record()))
            place.execute(store, "UPDATE outbox SET body = X'00'")
            assert await store.lease(10) == []
            assert ((found := await store.verify_trail()).rows, found.broken_at) == (2, None)

    asyncio.run(story())


def test_rows_of_before_the_chain_are_counted_and_not_believed(tmp_path: Path) -> None:
    async def story() -> None:
        place = SqlitePlace(tmp_path)
        async with opened(place) as store:
            await written(store, 2)
            place.execute(store, "UPDATE audit SET link = NULL")
        async with opened(place) as store:
            await written(store, 3)
            found = await store.verify_trail()
            assert (found.rows, found.before, found.broken_at) == (3, 2, None)

    asyncio.run(story())


def test_another_master_key_makes_another_chain(tmp_path: Path) -> None:
    async def story() -> None:
        place = SqlitePlace(tmp_path)
        async with opened(place) as store:
            await written(store, 2)
            store._chain_key = hashlib.sha256(b"somebody else's").digest()
            assert (await store.verify_trail()).broken_at == 1

    asyncio.run(story())
