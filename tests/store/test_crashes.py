"""What is left when the process is killed, the power fails, the disk is full, a row is damaged (F-07, F-08, F-11)."""

from __future__ import annotations

import asyncio
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from genkan.engine.messages import Deliver, Effect, PutSubject
from genkan.engine.transaction import Change, Conflict, Loaded, Needs, StoreUnavailable
from genkan.store.sealing import SealBroken
from genkan.store.tenant import Store
from genkan.tokens.keys import SigningKey
from tests.store.worlds import (
    START,
    Clock,
    SqlitePlace,
    a_flow,
    a_message,
    a_record,
    a_subject,
    everything,
    fails_once_more,
    looks,
    opened,
    writes,
)

ROOT = Path(__file__).parents[2]

INSERTED = ("flow", "subject", "identifier", "authenticator", "refresh_grant", "bucket", "outbox", "audit")
"""Every table in which `everything` inserts a row."""


LOG_BYTES = 64 * 2**20
"""More than the log ever needs, and a fraction of what is written to it."""


@pytest.fixture
def place(tmp_path: Path) -> SqlitePlace:
    return SqlitePlace(tmp_path)


def rows_of(place: SqlitePlace, store: Store) -> dict[str, int]:
    return {table: place.execute(store, f"SELECT count(*) FROM {table}")[0][0] for table in INSERTED}


# Killed. -------------------------------------------------------------------------------------------------------------


def written(database: Path) -> dict[int, tuple[int, int, int]]:
    """Return what each writer of `writing` has left: failures in its flow, audit rows, messages."""
    connection = sqlite3.connect(database)
    try:
        failures = {
            int.from_bytes(flow): msgspec.json.decode(body)["failures"]
            for flow, body in connection.execute("SELECT id, body FROM flow")
        }
        audited = dict(
            connection.execute(
                "SELECT correlation_id, count(*) FROM audit GROUP BY correlation_id"
            ).fetchall()
        )
        versions = {
            int.from_bytes(flow): version - 1
            for flow, version in connection.execute("SELECT id, version FROM flow")
        }
        (messages,) = connection.execute("SELECT count(*) FROM outbox").fetchone()
        assert messages == sum(audited.values())
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {n: (f, audited.get(f"writer {n}", 0), versions[n]) for n, f in failures.items()}
    finally:
        connection.close()


def write_until_killed(folder: Path, seconds: float) -> dict[int, int]:
    """Run `writing` for so long, kill it, and return the last step that it acknowledged to each writer."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.store.writing", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    acknowledged: dict[int, int] = {}
    with process, process.stdout as output:
        until = None
        for line in output:
            number, count = line.split()
            acknowledged[int(number)] = int(count)
            until = until or time.monotonic() + seconds
            if time.monotonic() >= until:
                process.kill()
                # What it had said before it died counts too.
                break
        rest = output.read().splitlines(keepends=True)
        acknowledged |= {int(a): int(b) for a, b in (line.split() for line in rest if line.endswith("\n"))}
    assert process.returncode == -9
    return acknowledged


@pytest.mark.parametrize("rounds", [6, pytest.param(60, marks=pytest.mark.slow)])
def test_a_killed_process_has_lost_nothing_it_acknowledged_and_left_nothing_half(
    place: SqlitePlace, rounds: int
) -> None:
    draw = random.Random(rounds)
    for _ in range(rounds):
        acknowledged = write_until_killed(place.path.parent, draw.uniform(0, 0.6))

        left = written(place.path)

        assert acknowledged
        for number, count in acknowledged.items():
            assert left[number][0] >= count
        for failures, audited, version in left.values():
            assert failures == audited == version


def test_wherever_the_log_breaks_off_each_step_is_whole_or_not_there(
    place: SqlitePlace, tmp_path: Path
) -> None:
    async def fill() -> tuple[bytes, bytes]:
        """Write, and return the files as they are while the process runs."""
        async with opened(place) as store:
            flows = [replace(a_flow(), id=n.to_bytes(16), correlation_id=f"writer {n}") for n in range(5)]
            await asyncio.gather(*[store.run(Needs(), writes(flow=flow)) for flow in flows])

            def one_more(loaded: Loaded) -> tuple[Change, None]:
                change, _ = fails_once_more(loaded)
                return Change(flow=change.flow, effects=(*change.effects, Deliver(a_message()))), None

            for _ in range(8):
                await asyncio.gather(*[store.run(Needs(flow=flow.id), one_more) for flow in flows])
            return place.path.read_bytes(), place.path.with_name("tenant.db-wal").read_bytes()

    database, log = asyncio.run(fill())
    draw = random.Random(7)
    seen = set()
    for number in range(80):
        folder = tmp_path / f"power failure {number}"
        folder.mkdir()
        cut = len(log) - number if number < 20 else draw.randrange(len(log))
        torn = bytearray(log[:cut])
        if number % 3 == 0 and torn:
            torn[draw.randrange(len(torn) // 2, len(torn))] ^= 0x10
        (folder / "tenant.db").write_bytes(database)
        (folder / "tenant.db-wal").write_bytes(bytes(torn))

        try:
            left = written(folder / "tenant.db")
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            left = {}  # The log breaks off before the schema.

        for failures, audited, version in left.values():
            assert failures == audited == version
        seen.add(sum(failures for failures, _, _ in left.values()))
        shutil.rmtree(folder)
    assert len(seen) > 3


# A statement fails. --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", INSERTED)
def test_when_one_insert_fails_the_whole_step_is_undone_and_no_other(place: SqlitePlace, table: str) -> None:
    async def story() -> None:
        bystander = a_flow()
        flow, _, effects = everything()
        async with opened(place) as store:
            await store.run(Needs(), writes(flow=bystander))
            before = rows_of(place, store)
            only_this = {
                "audit": "NEW.action = 'broken'",
                "outbox": "NEW.message = 'broken'",
                "flow": "NEW.subject IS NOT NULL",
            }.get(table, "true")
            place.execute(
                store,
                f"CREATE TRIGGER fault BEFORE INSERT ON {table} WHEN {only_this}"
                " BEGIN SELECT RAISE(ABORT, 'injected'); END",
            )
            broken = (
                *effects,
                a_record("broken"),
                Deliver(replace(a_message(), id="broken")),
            )

            first, failed, second = await asyncio.gather(
                store.run(Needs(flow=bystander.id), fails_once_more),
                store.run(Needs(), writes(*broken, flow=flow)),
                store.run(Needs(flow=bystander.id), fails_once_more),
                return_exceptions=True,
            )

            assert isinstance(failed, Conflict)
            assert "injected" in str(failed)
            assert (first, second) == (1, 2)
            assert rows_of(place, store) == {**before, "audit": 2}
            place.execute(store, "DROP TRIGGER fault")
            await store.run(Needs(), writes(*broken, flow=flow))
            assert (await store.read(Needs(flow=flow.id))).flow == flow

    asyncio.run(story())


@pytest.mark.parametrize("table", ["document", "signing_key", "membership"])
def test_when_an_insert_of_administration_fails_nothing_is_changed(place: SqlitePlace, table: str) -> None:
    async def story() -> None:
        async with opened(place) as store:
            key = SigningKey.generate("ES256", created_at=START, activates_at=START)
            change = {
                "document": lambda: store.replace_directory(store.directory()),
                "signing_key": lambda: store.add_signing_key(key),
                "membership": lambda: store.add_members("staff", ["someone"]),
            }[table]
            place.execute(
                store,
                f"CREATE TRIGGER fault BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'injected'); END",
            )

            with pytest.raises(Conflict):
                await change()

            assert store.directory().revision == 0
            assert place.execute(store, f"SELECT count(*) FROM {table}") == [(0,)]
            place.execute(store, "DROP TRIGGER fault")
            await change()

    asyncio.run(story())


# Nothing can be written. ---------------------------------------------------------------------------------------------


@contextmanager
def no_file_may_grow_past(size: int) -> Iterator[None]:
    """What a full disk looks like to a program, without filling one: a write past it fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_when_the_commit_finds_the_disk_full_everybody_hears_it_and_nothing_has_changed(
    place: SqlitePlace,
) -> None:
    async def story() -> None:
        flows = [a_flow() for _ in range(10)]
        async with opened(place) as store:
            for flow in flows:
                await store.run(Needs(), writes(flow=flow))
            steps = [Needs(flow=flow.id) for flow in flows]
            log = place.path.with_name("tenant.db-wal")

            with no_file_may_grow_past(log.stat().st_size):
                refused = await asyncio.gather(
                    *[store.run(needs, fails_once_more) for needs in steps], return_exceptions=True
                )
                seen = await store.read(steps[0])
                looked = await store.run(steps[0], looks)
            counted = await asyncio.gather(*[store.run(needs, fails_once_more) for needs in steps])

            assert [type(answer) for answer in refused] == [StoreUnavailable] * 10
            assert seen.flow == looked.flow == flows[0]
            assert counted == [1] * 10
            assert len(await store.trail()) == 10

        async with opened(place) as store:
            assert place.execute(store, "SELECT DISTINCT version FROM flow") == [(2,)]

    asyncio.run(story())


@pytest.mark.parametrize(
    "large",
    [
        PutSubject(a_subject(attributes={"note": "x" * 100_000})),
        replace(a_record(), detail={"note": "x" * 100_000}),
    ],
    ids=lambda effect: type(effect).__name__,
)
def test_when_a_statement_finds_the_disk_full_everybody_hears_it_and_nothing_has_changed(
    place: SqlitePlace, large: Effect
) -> None:
    async def story() -> None:
        flow = a_flow()
        async with opened(place) as store:
            await store.run(Needs(), writes(flow=flow))
            [(pages,)] = place.execute(store, "PRAGMA page_count")
            store._batches.writer.execute(f"PRAGMA max_page_count = {pages}").fetchall()

            refused = await asyncio.gather(
                store.run(Needs(flow=flow.id), fails_once_more),
                store.run(Needs(), writes(large)),
                return_exceptions=True,
            )
            counted = await store.run(Needs(flow=flow.id), fails_once_more)
            await store.run(Needs(), writes(large))

            assert [type(answer) for answer in refused] == [StoreUnavailable] * 2
            assert counted == 1

    asyncio.run(story())


def test_when_the_file_is_read_only_everybody_hears_it_until_it_is_not(place: SqlitePlace) -> None:
    async def story() -> None:
        flow = a_flow()
        async with opened(place) as store:
            await store.run(Needs(), writes(flow=flow))
            store._batches.writer.execute("PRAGMA query_only = ON").fetchall()

            with pytest.raises(StoreUnavailable):
                await store.run(Needs(flow=flow.id), fails_once_more)

            assert await store.run(Needs(flow=flow.id), fails_once_more) == 1

    asyncio.run(story())


def test_while_a_stranger_holds_the_database_everybody_hears_it_and_may_still_read(
    place: SqlitePlace,
) -> None:
    async def story() -> None:
        flow = a_flow()
        async with opened(place) as store:
            await store.run(Needs(), writes(flow=flow))
            stranger = sqlite3.connect(place.path, isolation_level=None)
            stranger.execute("BEGIN IMMEDIATE")

            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    await store.run(Needs(flow=flow.id), fails_once_more)
            seen = await store.read(Needs(flow=flow.id))
            stranger.execute("ROLLBACK")
            stranger.close()

            assert seen.flow == flow
            assert await store.run(Needs(flow=flow.id), fails_once_more) == 1

    asyncio.run(story())


def test_when_reading_fails_the_next_read_is_made_anew(place: SqlitePlace) -> None:
    async def story() -> None:
        flow = a_flow()
        async with opened(place) as store:
            await store.run(Needs(), writes(flow=flow))
            store._reading().close()

            with pytest.raises(StoreUnavailable):
                await store.read(Needs(flow=flow.id))

            assert (await store.read(Needs(flow=flow.id))).flow == flow

    asyncio.run(story())


def test_closing_succeeds_also_when_nothing_can_be_written(place: SqlitePlace) -> None:
    async def story() -> None:
        store = place.open(Clock())
        await store.run(Needs(), writes(flow=a_flow()))
        stranger = sqlite3.connect(place.path, isolation_level=None)
        stranger.execute("BEGIN IMMEDIATE")

        await store.close()

        stranger.close()
        async with opened(place) as again:
            assert place.execute(again, "SELECT count(*) FROM flow") == [(1,)]

    asyncio.run(story())


# A row is damaged. ---------------------------------------------------------------------------------------------------


def test_a_damaged_message_is_dropped_audited_and_holds_up_no_other(place: SqlitePlace) -> None:
    async def story() -> None:
        messages = [a_message() for _ in range(3)]
        async with opened(place) as store:
            await store.run(Needs(), writes(*map(Deliver, messages)))
            [(row, body)] = place.execute(
                store, "SELECT id, body FROM outbox WHERE message = ?", messages[1].id
            )
            flipped = body[:60] + bytes([body[60] ^ 1]) + body[61:]
            place.execute(store, "UPDATE outbox SET body = ? WHERE id = ?", flipped, row)

            leased = await store.lease(10)
            again = await store.lease(10)
            [audited] = await store.trail()

            assert [outgoing.message for outgoing in leased] == [messages[0], messages[2]]
            assert list(again) == []
            assert audited.record.action == "message:unreadable"
            assert audited.record.detail == {"message": messages[1].id, "row": row}

    asyncio.run(story())


def test_a_message_moved_to_another_row_does_not_open_there(place: SqlitePlace) -> None:
    async def story() -> None:
        mine, yours = a_message(to="mine@example.com"), a_message(to="yours@example.com")
        async with opened(place) as store:
            await store.run(Needs(), writes(Deliver(mine), Deliver(yours)))
            place.execute(
                store,
                "UPDATE outbox SET body = (SELECT body FROM outbox WHERE message = ?) WHERE message = ?",
                mine.id,
                yours.id,
            )

            assert [outgoing.message for outgoing in await store.lease(10)] == [mine]

    asyncio.run(story())


def test_a_damaged_signing_key_is_a_clear_failure(place: SqlitePlace) -> None:
    async def story() -> None:
        keys = [SigningKey.generate("ES256", created_at=START, activates_at=START) for _ in range(2)]
        async with opened(place) as store:
            await store.add_signing_key(*keys)
            place.execute(
                store,
                "UPDATE signing_key SET pem = (SELECT pem FROM signing_key WHERE kid = ?) WHERE kid = ?",
                keys[0].kid,
                keys[1].kid,
            )

            with pytest.raises(SealBroken, match=keys[1].kid):
                await store.signing_keys()

    asyncio.run(story())


def test_a_damaged_flow_fails_those_who_ask_for_it_and_nobody_else(place: SqlitePlace) -> None:
    async def story() -> None:
        broken, whole = a_flow(), a_flow()
        async with opened(place) as store:
            await store.run(Needs(), writes(flow=broken))
            await store.run(Needs(), writes(flow=whole))
            place.execute(store, "UPDATE flow SET body = '{' WHERE id = ?", broken.id)

            failed, counted = await asyncio.gather(
                store.run(Needs(flow=broken.id), fails_once_more),
                store.run(Needs(flow=whole.id), fails_once_more),
                return_exceptions=True,
            )

            assert isinstance(failed, msgspec.DecodeError)
            assert counted == 1
            with pytest.raises(msgspec.DecodeError):
                await store.read(Needs(flow=broken.id))

    asyncio.run(story())


# The log. ------------------------------------------------------------------------------------------------------------


def test_under_a_steady_load_the_log_does_not_grow_for_ever(place: SqlitePlace) -> None:
    async def story() -> int:
        async with opened(place) as store:
            flows = [a_flow() for _ in range(64)]
            await asyncio.gather(*[store.run(Needs(), writes(flow=flow)) for flow in flows])
            log = place.path.with_name("tenant.db-wal")
            steps = size = 0

            async def keep_writing(flow: bytes) -> None:
                nonlocal steps, size
                while steps < 20_000:
                    steps += 1
                    await store.run(Needs(flow=flow), fails_once_more)
                    if steps % 500 == 0:
                        size = max(size, log.stat().st_size)

            await asyncio.gather(*[keep_writing(flow.id) for flow in flows])
            return size

    size = asyncio.run(story())

    assert size < LOG_BYTES
