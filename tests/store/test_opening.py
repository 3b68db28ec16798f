"""Which databases are opened, and what is said about the others."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path
from stat import S_IMODE

import pytest

from genkan.engine.messages import Deliver, PutAuthenticator, PutSubject
from genkan.engine.transaction import Needs
from genkan.store import migrations
from genkan.store.migrations import migrate
from genkan.store.sealing import CannotOpen, Keys
from genkan.store.sqlite import SqliteReader
from genkan.tokens.keys import SigningKey
from tests.store.worlds import (
    MASTER,
    START,
    TENANT,
    Clock,
    SqlitePlace,
    a_flow,
    a_message,
    a_password,
    a_subject,
    opened,
    writes,
)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_database_is_made_for_its_owner_only(tmp_path: Path) -> None:
    async def story() -> None:
        place = SqlitePlace(tmp_path)
        async with opened(place) as store:
            await store.run(Needs(), writes(flow=a_flow()))

            for name in ("tenant.db", "tenant.db-wal", "tenant.db-shm"):
                assert S_IMODE((tmp_path / name).stat().st_mode) == 0o600

    asyncio.run(story())


def test_closing_leaves_one_whole_file(tmp_path: Path) -> None:
    async def story() -> None:
        place = SqlitePlace(tmp_path)
        flow = a_flow()
        async with opened(place) as store:
            await store.run(Needs(), writes(flow=flow))

        assert {name for name, content in contents(tmp_path).items() if content} == {
            "tenant.db",
            "tenant.db.lock",
        }
        with sqlite3.connect(place.path) as connection:
            assert connection.execute("SELECT id FROM flow").fetchall() == [(flow.id,)]
        connection.close()

    asyncio.run(story())


def test_a_database_in_use_is_refused_by_the_name_of_its_owner(tmp_path: Path) -> None:
    async def story() -> None:
        place = SqlitePlace(tmp_path)
        async with opened(place) as store:
            with pytest.raises(CannotOpen, match=f"process {os.getpid()}.*Stop that one"):
                place.open(Clock())

            await store.run(Needs(), writes(flow=a_flow()))
        async with opened(place):
            pass

    asyncio.run(story())


def test_a_database_of_another_tenant_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        place = SqlitePlace(tmp_path)
        async with opened(place):
            pass

        with pytest.raises(CannotOpen, match="tenant"):
            place.open(Clock(), tenant="22222222-2222-4222-8222-222222222222")

        async with opened(place):
            pass

    asyncio.run(story())


@pytest.mark.proves("KEY-02")
def test_a_database_under_another_master_key_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        place = SqlitePlace(tmp_path)
        async with opened(place):
            pass

        with pytest.raises(CannotOpen, match="master key"):
            place.open(Clock(), master=MASTER[::-1])

    asyncio.run(story())


def test_a_database_of_a_newer_genkan_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    async def story() -> None:
        place = SqlitePlace(tmp_path)
        async with opened(place) as store:
            place.execute(store, "UPDATE schema_version SET version = 99")

        with pytest.raises(CannotOpen, match=r"schema 99.*newer"):
            place.open(Clock())

    asyncio.run(story())


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to be taken for one" * 40, b"\x00" * 4096]
)
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    place = SqlitePlace(tmp_path)
    place.path.write_bytes(content)

    with pytest.raises(CannotOpen, match=r"tenant\.db"):
        place.open(Clock())

    assert place.path.read_bytes() == content


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match="nowhere"):
        SqlitePlace(tmp_path / "nowhere").open(Clock())


def test_the_schema_is_made_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "half.db", isolation_level=None)
    connection.execute("CREATE TABLE audit (in_the_way INTEGER)")

    connection.execute("BEGIN")
    with pytest.raises(sqlite3.Error, match="audit"):
        migrate(connection.execute, "half.db", "sqlite")
    connection.execute("ROLLBACK")

    tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    connection.close()
    assert tables == [("audit",)]


def test_a_schema_is_applied_once(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "twice.db", isolation_level=None)

    for _ in range(2):
        migrate(connection.execute, "twice.db", "sqlite")

    versions = connection.execute("SELECT version FROM schema_version").fetchall()
    connection.close()
    assert versions == [(len(list(Path(migrations.__file__).parent.glob("*[!e].sql"))),)]


def test_every_commit_waits_for_the_disk_and_no_commit_for_a_checkpoint(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(SqlitePlace(tmp_path)) as store:
            writer = store._batches.writer

            assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert writer.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
            assert writer.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)

    asyncio.run(story())


@pytest.mark.proves("KEY-02")
def test_codes_addresses_in_messages_and_signing_keys_are_nowhere_in_clear(tmp_path: Path) -> None:
    async def story() -> None:
        place = SqlitePlace(tmp_path)
        key = SigningKey.generate("ES256", created_at=START, activates_at=START)
        subject = a_subject()
        async with opened(place) as store:
            await store.add_signing_key(key)
            await store.run(
                Needs(),
                writes(
                    PutSubject(subject),
                    PutAuthenticator(a_password(subject)),
                    Deliver(a_message(to="canary@example.com")),
                    flow=a_flow(subject),
                ),
            )
            files = b"".join(contents(tmp_path).values())

            for secret in (b"31415926", b"canary@example.com", b"PRIVATE KEY", key.to_pem().split(b"\n")[1]):
                assert secret not in files
            assert MASTER not in files
            assert b"$argon2id$" in files  # So the search would have found the others.

    asyncio.run(story())


# Looking into a database that another process owns. ------------------------------------------------------------------


def peeked(place: SqlitePlace) -> SqliteReader:
    return SqliteReader.peek(place.path, TENANT, Keys(MASTER), Clock())


def test_a_database_is_read_beside_the_process_that_owns_it(tmp_path: Path) -> None:
    async def story() -> None:
        place = SqlitePlace(tmp_path)
        async with opened(place) as store:
            reader = peeked(place)
            try:
                subject = a_subject()
                await store.run(Needs(), writes(PutSubject(subject)))

                loaded = await reader.read(Needs(subject=subject.id))

                assert loaded.subject is not None
                assert loaded.subject.id == subject.id
            finally:
                await reader.close()

    asyncio.run(story())


def test_who_looks_into_a_database_that_is_not_there_is_told_so_and_makes_none(tmp_path: Path) -> None:
    place = SqlitePlace(tmp_path)

    with pytest.raises(CannotOpen, match="There is no database"):
        peeked(place)

    assert not place.path.exists()


def test_who_looks_into_a_database_of_an_older_schema_is_told_what_to_do(tmp_path: Path) -> None:
    place = SqlitePlace(tmp_path)

    async def story() -> None:
        async with opened(place):
            pass

    asyncio.run(story())
    connection = sqlite3.connect(place.path)
    connection.execute("UPDATE schema_version SET version = 1")
    connection.commit()
    connection.close()

    with pytest.raises(CannotOpen, match="has schema 1"):
        peeked(place)
