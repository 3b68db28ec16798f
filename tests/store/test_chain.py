"""The audit log is a chain: whoever changes what is written in it breaks it."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from genkan.engine.messages import Deliver, Directory
from genkan.engine.transaction import Needs
from genkan.model import Tenant
from genkan.store.tenant import Store
from tests.store.worlds import TENANT, Clock, SqlitePlace, a_message, a_record, opened, writes


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


# What is too old to be kept. -----------------------------------------------------------------------------------------

KEPT = timedelta(days=100)
FORGED = """
UPDATE meta SET value = (SELECT '6:' || lower(hex(link)) || substr(meta.value, -65) FROM audit WHERE seq = 6)
 WHERE name = 'audit_anchor'
"""
"""An anchor for one row more, with the digest of the real one."""


def kept_for_a_while() -> Directory:
    return Directory(tenant=Tenant(id=TENANT, name="north", audit_retention=KEPT))


async def actions(store: Store) -> list[str]:
    return [row.record.action for row in await store.trail(limit=5000)]


@pytest.mark.proves("LOG-05", "PII-06")
def test_rows_that_are_too_old_go_and_the_rest_is_still_whole(tmp_path: Path) -> None:
    async def story() -> None:
        place, clock = SqlitePlace(tmp_path), Clock()
        async with opened(place, clock) as store:
            await store.replace_directory(kept_for_a_while())
            await written(store, 1203)
            noted = (await store.verify_trail()).head
            clock.move(timedelta(days=50))
            await store.run(Needs(), writes(a_record("young")))
            clock.move(KEPT - timedelta(days=50))
            assert await store.sweep() == 0, (
                "none is older than that, and those a little older wait for a day"
            )
            clock.move(timedelta(days=1, seconds=1))

            assert await store.sweep() == 1203

            assert await actions(store) == ["young", *["audit:trimmed"] * 3]
            found = await store.verify_trail()
            assert (found.rows, found.removed, found.broken_at) == (4, 1203, None)
            assert found.head.startswith("1207:")
            assert (await store.verify_trail(noted)).knows_head is True, "it is the one that the anchor names"
            assert await store.sweep() == 0
        async with opened(place, clock) as store:
            await written(store, 2)
            assert ((found := await store.verify_trail()).rows, found.broken_at) == (6, None)

    asyncio.run(story())


def test_heads_of_before_what_was_removed_say_nothing_and_later_ones_still_do(tmp_path: Path) -> None:
    async def story() -> None:
        place, clock = SqlitePlace(tmp_path), Clock()
        async with opened(place, clock) as store:
            await store.replace_directory(kept_for_a_while())
            await written(store, 2)
            early = (await store.verify_trail()).head
            await written(store, 3)
            clock.move(timedelta(days=50))
            await written(store, 2)
            late = (await store.verify_trail()).head
            clock.move(timedelta(days=60))
            assert await store.sweep() == 5

            assert (await store.verify_trail(early)).knows_head is None
            assert (await store.verify_trail(late)).knows_head is True
            place.execute(store, "DELETE FROM audit WHERE seq >= 7")
            assert (await store.verify_trail(late)).knows_head is False

    asyncio.run(story())


@pytest.mark.proves("LOG-05")
@pytest.mark.parametrize(
    ("harm", "row"),
    [
        ("DELETE FROM meta WHERE name = 'audit_anchor'", 6),
        ("UPDATE meta SET value = replace(value, '5:', '4:') WHERE name = 'audit_anchor'", 6),
        ("UPDATE meta SET value = 'nonsense' WHERE name = 'audit_anchor'", 6),
        ("DELETE FROM audit WHERE seq = 6", 7),
        ("UPDATE audit SET link = NULL WHERE seq = 6", 6),
        ("UPDATE audit SET link = NULL", 6),
        (FORGED, 6),
    ],
)
def test_nobody_without_the_key_removes_more_than_what_was_too_old(
    tmp_path: Path, harm: str, row: int
) -> None:
    async def story() -> None:
        place, clock = SqlitePlace(tmp_path), Clock()
        async with opened(place, clock) as store:
            await store.replace_directory(kept_for_a_while())
            await written(store, 5)
            clock.move(KEPT + timedelta(days=2))
            await written(store, 5)
            assert await store.sweep() == 5
            assert (await store.verify_trail()).broken_at is None

            place.execute(store, harm)

            assert (await store.verify_trail()).broken_at == row

    asyncio.run(story())


def test_that_what_was_removed_was_not_whole_stays_written_down(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        place, clock = SqlitePlace(tmp_path), Clock()
        async with opened(place, clock) as store:
            await store.replace_directory(kept_for_a_while())
            await written(store, 9)
            place.execute(store, "UPDATE audit SET reason = 'another' WHERE seq = 4")
            clock.move(KEPT + timedelta(days=2))
            assert await store.sweep() == 9

            (row,) = await store.trail()
            assert dict(row.record.detail) == {"rows": 9, "until": 9, "broken_at": 4}
            assert (await store.verify_trail()).broken_at is None
        assert [(r.getMessage(), r.row) for r in caplog.records] == [("audit.broken", 4)]  # type: ignore[attr-defined]

    asyncio.run(story())


def test_rows_of_before_the_chain_go_too_and_a_wipe_begins_a_new_one(tmp_path: Path) -> None:
    async def story() -> None:
        place, clock = SqlitePlace(tmp_path), Clock()
        async with opened(place, clock) as store:
            await store.replace_directory(kept_for_a_while())
            await written(store, 2)
            place.execute(store, "UPDATE audit SET link = NULL")
        async with opened(place, clock) as store:
            await written(store, 2)
            clock.move(KEPT + timedelta(days=2))
            assert await store.sweep() == 4
            found = await store.verify_trail()
            assert (found.rows, found.before, found.removed, found.broken_at) == (1, 0, 4, None)
            await store.wipe(kept_for_a_while())
            await written(store, 2)
            found = await store.verify_trail()
            assert (found.rows, found.removed, found.broken_at) == (2, 0, None)

    asyncio.run(story())
