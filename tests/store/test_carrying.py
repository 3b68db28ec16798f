"""What is carried of a database: every table or it is named, in an order that makes sense, and all or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from genkan.engine.aftermath import Since
from genkan.engine.transaction import Needs
from genkan.model import Approval, BootstrapToken, Tenant
from genkan.store import carrying
from genkan.store.carrying import Bearing, Borne, Carried, Closing, Frame, Opening, Rows
from genkan.store.migrations import migrate
from genkan.store.sealing import CannotOpen
from genkan.store.tenant import Store
from tests.store.worlds import (
    PLACES,
    TENANT,
    Clock,
    Place,
    PostgresPlace,
    SqlitePlace,
    everything,
    opened,
    writes,
)

AT = datetime(2030, 1, 2, tzinfo=UTC)
ACTOR = {"kind": "operator", "id": "ada", "name": "ada"}


def test_every_column_of_every_table_is_carried_or_its_table_is_named() -> None:
    connection = sqlite3.connect(":memory:")
    migrate(connection.execute, "memory", "sqlite")
    tables = {
        name: [column[1] for column in connection.execute(f"PRAGMA table_info({name})")]
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        if not name.startswith("sqlite_")
    }
    references = {
        name: {row[2] for row in connection.execute(f"PRAGMA foreign_key_list({name})")} for name in tables
    }
    connection.close()

    carried = {table.name: table for table in carrying.TABLES}
    assert set(carried) | carrying.LEFT_BEHIND == set(tables)
    assert not set(carried) & carrying.LEFT_BEHIND
    seen = set[str]()
    for table in carrying.TABLES:
        assert sorted(table.columns) == sorted(tables[table.name])
        assert references[table.name] <= seen, table.name
        seen.add(table.name)


# The order of frames. ------------------------------------------------------------------------------------------------


def a_file(*rows: Rows) -> list[Frame]:
    counts = dict.fromkeys((table.name for table in carrying.TABLES), 0)
    for one in rows:
        counts[one.table] += len(one.rows)
    return [
        Opening(version="0", schema=1, at=AT),
        Bearing(id="t", name="shop", at=AT, seal=""),
        *rows,
        Borne(counts=counts, accounts=""),
        Closing(1),
    ]


def read(frames: Iterable[Frame]) -> list[Frame]:
    return list(carrying.read("file", map(carrying.encode, frames)))


GROUPS = Rows("membership", [["a", "b"]])
WHOLE = a_file(GROUPS, GROUPS)


def senseless() -> Iterator[Any]:
    for n in range(len(WHOLE)):
        yield pytest.param(WHOLE[:n] + WHOLE[n + 1 :], id=f"without {n}")
        yield pytest.param(WHOLE[: n + 1] + WHOLE[n:], id=f"{n} twice")
    yield pytest.param(WHOLE[::-1], id="backwards")
    yield pytest.param([], id="nothing")
    unknown = Rows("password", [["a"]])
    yield pytest.param([*WHOLE[:2], unknown, *WHOLE[2:]], id="a table that is none")
    narrow = Rows("membership", [["a"]])
    yield pytest.param([*WHOLE[:2], narrow, *WHOLE[3:]], id="too few columns")
    yield pytest.param([*WHOLE[:-1], Closing(2)], id="another number of tenants")


@pytest.mark.parametrize("frames", list(senseless()))
def test_frames_that_make_no_sense_are_refused(frames: list[Frame]) -> None:
    with pytest.raises(CannotOpen, match="no backup that this Genkan can read"):
        read(frames)


def test_frames_that_make_sense_are_read() -> None:
    assert read(WHOLE) == WHOLE
    assert carrying.contents("file", map(carrying.encode, WHOLE)).of("t").bearing.name == "shop"
    with pytest.raises(CannotOpen):
        list(carrying.read("file", [msgspec.msgpack.encode({"type": "other"})]))
    with pytest.raises(CannotOpen):
        list(carrying.read("file", [b"\xc1"]))


# Out of one database and into another. -------------------------------------------------------------------------------


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    made: Place = request.param(tmp_path)
    return made


async def carried_out(store: Store) -> tuple[Carried, list[Rows]]:
    frames: list[Frame] = []
    carried = await store.carry_out(frames.append)
    return carried, [frame for frame in frames if isinstance(frame, Rows)]


async def filled(store: Store, people: int) -> None:
    await store.put_documents(Tenant(id=TENANT, name="shop"))
    for _ in range(people):
        flow, _, effects = everything()
        await store.run(Needs(), writes(*effects, flow=flow))


def rows(place: Place, store: Store, table: str) -> list[Any]:
    return place.execute(store, f"SELECT * FROM {table}")


@pytest.mark.anyio
@pytest.mark.parametrize("people", [0, 3, carrying.ROWS_AT_ONCE, carrying.ROWS_AT_ONCE + 1])
async def test_pages_leave_nobody_out(place: Place, people: int) -> None:
    async with opened(place) as store:
        await filled(store, people)

        carried, frames = await carried_out(store)

    assert carried.borne.counts["subject"] == carried.borne.counts["identifier"] == people
    assert carried.borne.counts["bucket"] == carried.borne.counts["audit"] == people
    ids = [row[0] for frame in frames if frame.table == "subject" for row in frame.rows]
    assert len(ids) == len(set(ids)) == people
    assert all(len(frame.rows) <= carrying.ROWS_AT_ONCE for frame in frames)


@pytest.mark.anyio
@pytest.mark.proves("BKP-02")
async def test_what_was_there_gives_place_to_what_was_carried_and_the_log_goes_on(place: Place) -> None:
    clock = Clock()
    async with opened(place, clock) as store:
        await filled(store, 2)
        approval = Approval(
            id="a",
            kind="policy",
            act="",
            target="",
            name="",
            payload="",
            changes="[]",
            asked_by="",
            asker="",
            asked_at=clock.now,
            expires_at=clock.now,
        )
        await store.put_documents(BootstrapToken(id=TENANT, digest=b"d", expires_at=clock.now), approval)
        carried, frames = await carried_out(store)
        head = (await store.verify_trail()).head
        await filled(store, 3)
        revision = store.directory().revision
        assert len(rows(place, store, "flow")) == 5

        held = await store.take_in(carried, lambda: iter(frames), Since(), ACTOR)

        assert held == ()
        assert len(rows(place, store, "subject")) == 2
        assert [kind for kind, *_ in rows(place, store, "document")] == ["tenant"]
        for table in ("flow", "refresh_grant", "outbox"):
            assert rows(place, store, table) == []
        assert store.directory().revision > revision
        whole = await store.verify_trail(head)
        assert (whole.rows, whole.broken_at, whole.knows_head) == (3, None, True)
        last = (await store.trail(limit=10))[-1].record
        assert (last.action, last.detail["actor"]) == (carrying.RESTORED, ACTOR)
        flow, _, effects = everything()
        await store.run(Needs(), writes(*effects, flow=flow))
        assert (await store.verify_trail()).rows == 4


@pytest.mark.anyio
@pytest.mark.proves("BKP-01")
@pytest.mark.parametrize("fault", ["broken", "other accounts"])
async def test_what_cannot_be_taken_in_whole_changes_nothing(place: Place, fault: str) -> None:
    async with opened(place) as store:
        await filled(store, 2)
        carried, frames = await carried_out(store)
        await filled(store, 1)
        before = {t.name: rows(place, store, t.name) for t in carrying.TABLES}

        def comes() -> Iterator[Rows]:
            yield from frames[:-1] if fault == "broken" else (f for f in frames if f.table != "identifier")
            if fault == "broken":
                raise CannotOpen("cut off")

        with pytest.raises(CannotOpen, match="cut off" if fault == "broken" else "not those of the backup"):
            await store.take_in(carried, comes, Since(), ACTOR)

        assert {t.name: rows(place, store, t.name) for t in carrying.TABLES} == before
        await filled(store, 1)
        assert (await store.verify_trail()).broken_at is None


@pytest.mark.anyio
@pytest.mark.proves("BKP-01")
async def test_a_backup_goes_from_either_kind_of_database_to_the_other(tmp_path: Path) -> None:
    file, schema = SqlitePlace(tmp_path), PostgresPlace(tmp_path)
    ways: tuple[tuple[Place, Place], ...] = ((file, schema), (schema, file))
    for before, after in ways:
        async with opened(before) as store:
            await filled(store, 2)
            carried, frames = await carried_out(store)
        async with opened(after) as store:
            await store.take_in(carried, partial(iter, frames), Since(), ACTOR)
            again, _ = await carried_out(store)
            assert (await store.verify_trail()).broken_at is None
        assert again.borne.accounts == carried.borne.accounts
        assert again.borne.counts == carried.borne.counts | {"audit": carried.borne.counts["audit"] + 1}
